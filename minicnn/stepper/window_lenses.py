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


class Conv:
    """z[n,o,i,j] = b[o] + sum over (c,u,v) of x[n, c, i*SH + u - PH, j*SW + v - PW] w[o,c,u,v]."""

    @staticmethod
    def y(step, n, o, i, j):
        x, w, b, _ = step.inputs.values()
        top, left = corner(step.op, i, j)
        fields = add_up(
            cut(x[n], top, left, w.shape[2:]), w[o], axes="cuv", bias=None if b is None else b[o]
        )
        bias = "" if b is None else f" + b[{o}]"
        return fields | {
            "formula": f"Σ x[{n},c,{shifted('u', top)},{shifted('v', left)}] · w[{o},c,u,v]{bias}",
            "labels": (f"window of x[{n},{{k}}]", f"filter w[{o},{{k}}]"),
        }

    @staticmethod
    def dx(step, n, c, p, q):
        """Each window that saw the pixel sends its gradient back through one weight."""
        dz, d, w, op = step.dz, f"d{step.z_name}", step.inputs["w"], step.op
        (rows, columns), (u, v) = seen_by(op, p, q, w.shape[2:], dz.shape[2:])
        fields = add_up(
            dz[n][:, rows, columns],
            w[:, c][:, u[:, None], v],
            axes="oij",
            starts=(0, rows.start, columns.start),
        )
        cells = [
            str(pixel + pad) + (f"-{letter}" if s == 1 else f"-{s}{letter}")
            for pixel, pad, letter, s in zip((p, q), op.padding, "ij", op.stride)
        ]
        return fields | {
            "formula": f"Σ {d}[{n},o,i,j] · w[o,{c},{cells[0]},{cells[1]}]",
            "labels": (f"{d}[{n},{{k}}], windows", f"w[{{k}},{c}] they used"),
            "note": "" if fields["products"].size else NOBODY,
        }

    @staticmethod
    def dw(step, o, c, u, v):
        """Every position the weight was used at: gradient there times the pixel it met."""
        dz, d, x, op = step.dz, f"d{step.z_name}", step.inputs["x"], step.op
        _, _, OH, OW = dz.shape
        SH, SW = op.stride
        top, left = u - op.padding[0], v - op.padding[1]
        met = cut(x[:, c], top, left, ((OH - 1) * SH + 1, (OW - 1) * SW + 1))[:, ::SH, ::SW]
        row, column = ("i" if SH == 1 else f"{SH}i"), ("j" if SW == 1 else f"{SW}j")
        return add_up(dz[:, o], met, axes="nij") | {
            "formula": f"Σ {d}[n,{o},i,j] · x[n,{c},{shifted(row, top)},{shifted(column, left)}]",
            "labels": (f"{d}[{{k}},{o}]", f"x[{{k}},{c}] it met"),
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
