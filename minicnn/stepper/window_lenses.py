"""Lenses on convolution and pooling: numbers computed from a window."""

from __future__ import annotations

import numpy as np

from minicnn.stepper.formula import shifted
from minicnn.stepper.lens import add_up


def corner(op, i, j):
    """Row and column of x at the top left of window (i, j); negative in the padding."""
    return i * op.stride[0] - op.padding[0], j * op.stride[1] - op.padding[1]


def cut(x, top, left, kernel):
    """The window x[..., top:top+KH, left:left+KW], 0 in the padding."""
    (H, W), (KH, KW) = x.shape[-2:], kernel
    out = np.zeros((*x.shape[:-2], KH, KW), x.dtype)
    rows = slice(max(0, -top), max(0, min(KH, H - top)))
    columns = slice(max(0, -left), max(0, min(KW, W - left)))
    inside = x[..., max(0, top) : max(0, top + KH), max(0, left) : max(0, left + KW)]
    out[..., rows, columns] = inside
    return out


def windows_over(pixel, stride, padding, kernel, count):
    """Along one axis: the windows, of `count`, that see a pixel; first and one past the last."""
    place = pixel + padding
    first = max(0, -((kernel - 1 - place) // stride))
    return first, max(first, min(count, place // stride + 1))


def seen_by(op, p, q, kernel, size):
    """All windows that see pixel (p, q): slices of i and j, and the cells u and v it is at."""
    slices, cells = [], []
    for axis, pixel in enumerate((p, q)):
        stride, padding = op.stride[axis], op.padding[axis]
        first, end = windows_over(pixel, stride, padding, kernel[axis], size[axis])
        slices.append(slice(first, end))
        cells.append(pixel + padding - stride * np.arange(first, end))
    return slices, cells


NOBODY = "no window looks at this pixel, so it has no influence"


def times(count, letter):
    """"u", or "2u"."""
    return letter if count == 1 else f"{count}{letter}"


class Conv:
    """z[n,o,i,j] = b[o] + sum over (c,u,v) of x[n, k+c, i*SH+u*DH-PH, j*SW+v*DW-PW] w[o,c,u,v].

    k is the first channel of o's group: 0, if there is one group.
    """

    @staticmethod
    def group(step, o):
        """The first channel that filter o looks at."""
        O, C = step.op.shapes[1][:2]
        return o // (O // step.op.groups) * C

    @staticmethod
    def y(step, n, o, i, j):
        x, w, b, _ = step.inputs.values()
        top, left = corner(step.op, i, j)
        (DH, DW), first = step.op.dilation, Conv.group(step, o)
        _, C, KH, KW = w.shape
        window = cut(x[n, first : first + C], top, left, ((KH - 1) * DH + 1, (KW - 1) * DW + 1))
        fields = add_up(
            window[:, ::DH, ::DW], w[o], axes="cuv", bias=None if b is None else b[o]
        )
        bias = "" if b is None else f" + b[{o}]"
        row, column = shifted(times(DH, "u"), top), shifted(times(DW, "v"), left)
        return fields | {
            "formula": f"Σ x[{n},{shifted('c', first)},{row},{column}] · w[{o},c,u,v]{bias}",
            "labels": (f"window of x[{n},{{k}}{f'+{first}' if first else ''}]",
                       f"filter w[{o},{{k}}]"),
        }  # fmt: skip

    @staticmethod
    def dx(step, n, c, p, q):
        """Each window that saw the pixel sends its gradient back through one weight."""
        dz, d, w, op = step.dz, f"d{step.z_name}", step.inputs["w"], step.op
        O, C, *kernel = w.shape
        own, size = c % C, O // op.groups
        first = c // C * size  # of the filters that look at this channel
        span = [(k - 1) * step_ + 1 for k, step_ in zip(kernel, op.dilation)]
        (rows, columns), (u, v) = seen_by(op, p, q, span, dz.shape[2:])
        weights = w[first : first + size, own][:, u[:, None] // op.dilation[0], v // op.dilation[1]]
        hit = (u[:, None] % op.dilation[0] == 0) & (v % op.dilation[1] == 0)
        fields = add_up(
            dz[n, first : first + size, rows, columns],
            np.where(hit, weights, weights.dtype.type(0)),
            axes="oij",
            starts=(first, rows.start, columns.start),
        )
        cells = [
            str(pixel + pad) + f"-{times(s, letter)}"
            for pixel, pad, letter, s in zip((p, q), op.padding, "ij", op.stride)
        ]
        cells = [cell if d == 1 else f"({cell})/{d}" for cell, d in zip(cells, op.dilation)]
        where = "" if hit.all() else "; a 0 is where the pixel lies between two cells of the window"
        return fields | {
            "formula": f"Σ {d}[{n},o,i,j] · w[o,{own},{cells[0]},{cells[1]}]",
            "labels": (f"{d}[{n},{{k}}], windows", f"w[{{k}},{own}] they used"),
            "note": f"each window used one weight on this pixel{where}" if fields["products"].size
            else NOBODY,
        }  # fmt: skip

    @staticmethod
    def dw(step, o, c, u, v):
        """Every position the weight was used at: gradient there times the pixel it met."""
        dz, d, x, op = step.dz, f"d{step.z_name}", step.inputs["x"], step.op
        _, _, OH, OW = dz.shape
        SH, SW = op.stride
        channel = Conv.group(step, o) + c
        top, left = (k * d - pad for k, d, pad in zip((u, v), op.dilation, op.padding))
        met = cut(x[:, channel], top, left, ((OH - 1) * SH + 1, (OW - 1) * SW + 1))[:, ::SH, ::SW]
        row, column = shifted(times(SH, "i"), top), shifted(times(SW, "j"), left)
        return add_up(dz[:, o], met, axes="nij") | {
            "formula": f"Σ {d}[n,{o},i,j] · x[n,{channel},{row},{column}]",
            "labels": (f"{d}[{{k}},{o}]", f"x[{{k}},{channel}] it met"),
        }

    @staticmethod
    def db(step, o):
        d = f"d{step.z_name}"
        return add_up(step.dz[:, o], axes="nij") | {
            "formula": f"Σ {d}[n,{o},i,j]",
            "labels": (f"{d}[{{k}},{o}]", ""),
        }


class MaxPool:
    """y[n,c,i,j] = the largest x in the window; dy goes to the first place it is at."""

    @staticmethod
    def span(op):
        """Rows and columns from a window's first cell to its last."""
        return tuple(d * (k - 1) + 1 for k, d in zip(op.kernel, op.dilation))

    @staticmethod
    def winner(op, x, i, j):
        """Pixel (h, w) of the first largest x (H, W) of window (i, j), never in the padding."""
        (H, W), starts = x.shape, corner(op, i, j)
        h, w = (
            np.array([p for p in start + d * np.arange(k) if 0 <= p < n])
            for start, n, k, d in zip(starts, (H, W), op.kernel, op.dilation)
        )
        row, column = np.unravel_index(x[h[:, None], w].argmax(), (len(h), len(w)))
        return int(h[row]), int(w[column])

    @staticmethod
    def y(step, n, c, i, j):
        x, op = step.inputs["x"][n, c], step.op
        (top, left), (DH, DW) = corner(op, i, j), op.dilation
        h, w = MaxPool.winner(op, x, i, j)
        u, v = (h - top) // DH, (w - left) // DW
        window = cut(x, top, left, MaxPool.span(op))[::DH, ::DW]
        row, column = ("u" if DH == 1 else f"{DH}u"), ("v" if DW == 1 else f"{DW}v")
        return {
            "formula": f"the largest of x[{n},{c},{shifted(row, top)},{shifted(column, left)}]",
            "sum": x[h, w],
            "window": window,
            "winner": (u, v),
            "axes": ("u", "v"),
            "starts": (0, 0),
            "labels": (f"window of x[{n},{c}]", ""),
            "note": f"the winner is x[{n},{c},{h},{w}]: it alone gets the gradient",
        }

    @staticmethod
    def dx(step, n, c, p, q):
        dy, x, op = step.dy[n, c], step.inputs["x"][n, c], step.op
        (rows, columns), (u, v) = seen_by(op, p, q, MaxPool.span(op), dy.shape)
        won = np.zeros((len(u), len(v)), dy.dtype)
        for a, b in np.ndindex(won.shape):
            won[a, b] = MaxPool.winner(op, x, rows.start + a, columns.start + b) == (p, q)
        note = "" if won.size else NOBODY
        if won.size and not won.any():
            note = "this pixel is the largest of no window, so it gets no gradient"
        return add_up(
            dy[rows, columns], won, axes="ij", starts=(rows.start, columns.start)
        ) | {
            "formula": f"Σ dy[{n},{c},i,j] · (1 where x[{n},{c},{p},{q}] won, else 0)",
            "labels": (f"dy[{n},{c}], windows", "won there"),
            "note": note,
        }


class AvgPool:
    """y[n,c,i,j] = 1/D[i,j] times the window's sum; every cell gets an equal share of dy.

    D is KH KW, but where windows hang over the end, or padding is not counted, or D is given.
    """

    @staticmethod
    def y(step, n, c, i, j):
        top, left = corner(step.op, i, j)
        window = cut(step.inputs["x"][n, c], top, left, step.op.kernel)
        divisor = int(step.op.divisors()[i, j])
        return add_up(window, axes="uv", divisor=divisor) | {
            "formula": f"1/{divisor} Σ x[{n},{c},{shifted('u', top)},{shifted('v', left)}]",
            "labels": (f"window of x[{n},{c}]", ""),
        }

    @staticmethod
    def dx(step, n, c, p, q):
        dy, kernel = step.dy[n, c], step.op.kernel
        (rows, columns), _ = seen_by(step.op, p, q, kernel, dy.shape)
        window, divisors = dy[rows, columns], step.op.divisors()
        shares = window / divisors[rows, columns].astype(dy.dtype)
        same = (divisors == divisors[0, 0]).all()
        return add_up(
            window, products=shares, axes="ij", starts=(rows.start, columns.start)
        ) | {
            "formula": f"Σ dy[{n},{c},i,j] / {divisors[0, 0] if same else 'D[i,j]'}",
            "labels": (f"dy[{n},{c}], windows", ""),
            "note": "" if window.size else NOBODY,
        }


class AdaptiveAvgPool:
    """y[n,c,i,j] = mean of x[n,c,h,w], floor(i H/OH) <= h < ceil((i+1) H/OH), w likewise."""

    @staticmethod
    def pixels(k, size, count):
        """The first pixel of window k along an axis, and one past its last."""
        return k * size // count, -(-(k + 1) * size // count)

    @staticmethod
    def y(step, n, c, i, j):
        x, size = step.inputs["x"], step.op.size
        (top, bottom), (left, right) = map(AdaptiveAvgPool.pixels, (i, j), x.shape[2:], size)
        window = x[n, c, top:bottom, left:right]
        return add_up(window, axes="uv", divisor=window.size) | {
            "formula": f"1/{window.size} Σ x[{n},{c},{shifted('u', top)},{shifted('v', left)}]",
            "labels": (f"window of x[{n},{c}]", ""),
        }

    @staticmethod
    def dx(step, n, c, p, q):
        shape, size = step.op.shapes[0][2:], step.op.size
        spans, counts = [], []
        for pixel, whole, count in zip((p, q), shape, size):
            windows = [AdaptiveAvgPool.pixels(k, whole, count) for k in range(count)]
            seen = [k for k, (start, end) in enumerate(windows) if start <= pixel < end]
            spans.append(slice(seen[0], seen[-1] + 1))
            counts.append(np.array([windows[k][1] - windows[k][0] for k in seen]))
        window = step.dy[n, c, spans[0], spans[1]]
        cells = np.multiply.outer(*counts)
        return add_up(
            window, products=window / cells.astype(window.dtype), axes="ij",
            starts=(spans[0].start, spans[1].start),
        ) | {
            "formula": f"Σ dy[{n},{c},i,j] / {cells.item() if cells.size == 1 else 'its cells'}",
            "labels": (f"dy[{n},{c}], windows", ""),
        }  # fmt: skip
