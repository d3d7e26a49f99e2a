"""Batch normalization in pieces that stay in the cache, its add and activation with it.

**Statistics.** One walk over x: sums of d = x - s and of d^2, in float32 within a piece and float64
over the pieces; mean = s + mean(d), var = mean(d^2) - mean(d)^2. The shift s is the mean of some
rows of the batch. Nothing is lost while mean(d) is not large beside the spread; if the rows chosen
misled, so that it is, the walk is made once more with the mean that was found.

**Forward.** y = x a + c with a = w / sqrt(var + eps), c = b - mean a: two steps an element, not
four. Where |mean| is many times the spread the two terms would be large and cancel; then it is
y = (x - mean) a + b.

**Backward.** Kept are x and, with a ReLU, y: not xhat, which follows from x. A first walk sums dz
and dz (x - mean), a second gives dx = a dz - (x - mean) q - p, with q = a mean(dz xhat) /
sqrt(var + eps) and p = a mean(dz). dz = dy (y > 0) is worked out in both walks, unless `add` wants
it stored.
"""

from __future__ import annotations

import numpy as np

from minicnn.backends.fast import memory
from minicnn.backends.fast.ending import IN_TILES, InTiles, passes
from minicnn.backends.fast.rows import Rows
from minicnn.layout import from_rows, rows

FAR = 8  # a mean so many times the spread is taken off first
MISLED = 64  # mean(d)^2 over var: past this, digits of var were lost
SAMPLE = 64  # rows whose mean is the shift


class Moments:
    """One walk, or two if the shift misled."""

    def forward(self, x):
        x = contiguous_rows(x)
        if not len(x):
            return np.zeros((2, x.shape[1]), x.dtype)
        shift = x[:: max(1, len(x) // SAMPLE)].mean(axis=0, dtype=np.float64)
        mean, var = shifted_moments(x, shift)
        off = mean - shift
        if (off * off > MISLED * var).any():
            mean, var = shifted_moments(x, mean)
        return np.stack([mean, var]).astype(x.dtype)


def shifted_moments(x, shift):
    """(mean, var) of the columns of x, by sums of what is left when `shift` is taken off."""
    walk = Rows(x.shape, x.dtype)
    shift = shift.astype(x.dtype)
    wide, sums, scratch = walk.wide(shift), walk.sums(2), walk.scratch()

    def piece(worker, i, part):
        d = part.scratch(scratch[worker])
        np.subtract(part.of(x), wide[: part.width], out=d)
        sums[i, 0] = walk.add_up(d)
        np.multiply(d, d, out=d)
        sums[i, 1] = walk.add_up(d)

    walk.each(piece)
    first, second = sums.sum(axis=0) / len(x)
    return shift + first, np.maximum(second - first * first, 0)


class BatchNorm(InTiles):
    """One walk forward, two backward."""

    def forward(self, x, moments, w, b, add):
        x2 = contiguous_rows(x)
        mean, var = moments.astype(np.float64)
        factor = 1 / np.sqrt(var + self.eps)
        self.save(x2, mean, factor, w)
        y = memory.empty(x2.shape, x.dtype)
        affine = Affine(mean, factor, w, b)
        walk = Rows(x2.shape, x.dtype)
        activate = IN_TILES.get(self.activation)
        centre, a, c = (None if v is None else walk.wide(v) for v in affine.numbers())
        add2 = None if add is None else contiguous_rows(add)

        def piece(worker, i, part):
            source, out = part.of(x2), part.of(y)
            if centre is not None:
                source = np.subtract(source, centre[: part.width], out=out)
            np.multiply(source, a[: part.width], out=out)
            out += c[: part.width]
            if add2 is not None:
                out += part.of(add2)
            if activate is not None:
                activate(out)

        walk.each(piece)
        return self.ended(from_rows(y, x.shape))

    def backward(self, dy):
        x, mean, factor, w, *kept = self.saved
        y = kept[0] if self.in_tiles else None
        if y is None:
            dy = self.back_to_z(dy, kept)
        walk = Backward(self, x, y, contiguous_rows(dy), Affine(mean, factor, w, None))
        sum_dz, sum_dzx = walk.sums()
        dw = factor * sum_dzx
        dx = walk.input_gradient(sum_dz, dw) if self.needs[0] else None
        dadd = dy if walk.dz is None else from_rows(walk.dz, dy.shape)
        return (
            None if dx is None else from_rows(dx, dy.shape),
            None,
            dw.astype(dy.dtype),
            sum_dz.astype(dy.dtype),
            dadd if self.needs[4] else None,
        )


class Affine:
    """z = (x - centre) a + c by channel, in as few steps as digits allow."""

    def __init__(self, mean, factor, w, b):
        self.a = factor if w is None else factor * w
        self.mean, self.factor = mean, factor
        far = bool((np.abs(mean) * factor > FAR).any())
        self.centre = mean if far else None
        self.rest = np.zeros_like(mean) if far else mean  # mean - centre
        self.b = 0 if b is None else b

    def numbers(self):
        """(centre or None, a, c)."""
        return self.centre, self.a, self.b - self.rest * self.a


class Backward:
    """The two walks back over x, y (or None) and dy."""

    def __init__(self, op, x, y, dy, affine):
        self.op, self.x, self.dy, self.affine = op, x, dy, affine
        self.y = None if y is None else contiguous_rows(y)
        self.walk = Rows(x.shape, x.dtype)
        self.masks = self.walk.scratch(bool) if y is not None else None
        self.first, self.second = self.walk.scratch(), self.walk.scratch()
        self.dz = None  # where `add` wants it
        if y is not None and op.needs[4]:
            self.dz = memory.empty(x.shape, x.dtype)

    def dz_of(self, worker, part, known=False):
        """A piece of dz."""
        dy = part.of(self.dy)
        if self.y is None:
            return dy
        out = part.scratch(self.first[worker]) if self.dz is None else part.of(self.dz)
        if self.dz is not None and known:
            return out
        mask = part.scratch(self.masks[worker])
        passes(part.of(self.y), self.op.activation, mask)
        return np.multiply(dy, mask, out=out)

    def sums(self):
        """The sums of dz and of dz (x - mean) over all rows, in float64."""
        walk, affine = self.walk, self.affine
        sums = walk.sums(2)
        centre = None if affine.centre is None else walk.wide(affine.centre)

        def piece(worker, i, part):
            dz, product = self.dz_of(worker, part), part.scratch(self.second[worker])
            x = part.of(self.x)
            if centre is not None:
                x = np.subtract(x, centre[: part.width], out=product)
            np.multiply(x, dz, out=product)
            sums[i, 0], sums[i, 1] = walk.add_up(dz), walk.add_up(product)

        walk.each(piece)
        sum_dz, sum_dzx = sums.sum(axis=0)
        return sum_dz, sum_dzx - affine.rest * sum_dz

    def input_gradient(self, sum_dz, dw):
        """dx = a dz in evaluation; in training less (x - mean) q + p."""
        walk, affine, R = self.walk, self.affine, max(len(self.x), 1)
        dx = memory.empty(self.x.shape, self.x.dtype)
        q, p = affine.a * affine.factor * dw / R, affine.a * sum_dz / R
        centre, a, q, p = (
            None if v is None else walk.wide(v)
            for v in (affine.centre, affine.a, q, p - affine.rest * q)
        )

        def piece(worker, i, part):
            out, dz = part.of(dx), self.dz_of(worker, part, known=True)
            np.multiply(dz, a[: part.width], out=out)
            if self.op.training:
                x, moved = part.of(self.x), part.scratch(self.second[worker])
                if centre is not None:
                    x = np.subtract(x, centre[: part.width], out=moved)
                np.multiply(x, q[: part.width], out=moved)
                moved += p[: part.width]
                out -= moved

        walk.each(piece)
        return dx


def contiguous_rows(x):
    """x (N, C, ...) as (R, C) in row-major memory."""
    return np.ascontiguousarray(rows(x))


OPERATIONS = (Moments, BatchNorm)
