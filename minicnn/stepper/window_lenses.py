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
    """y[n,o,i,j] = b[o] + sum over (c,u,v) of x[n, c, i*SH + u - PH, j*SW + v - PW] w[o,c,u,v]."""

    @staticmethod
    def y(step, n, o, i, j):
        x, w, b = step.inputs.values()
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
        dy, w, op = step.dy, step.inputs["w"], step.op
        (rows, columns), (u, v) = seen_by(op, p, q, w.shape[2:], dy.shape[2:])
        fields = add_up(
            dy[n][:, rows, columns],
            w[:, c][:, u[:, None], v],
            axes="oij",
            starts=(0, rows.start, columns.start),
        )
        cells = [
            str(pixel + pad) + (f"-{letter}" if s == 1 else f"-{s}{letter}")
            for pixel, pad, letter, s in zip((p, q), op.padding, "ij", op.stride)
        ]
        return fields | {
            "formula": f"Σ dy[{n},o,i,j] · w[o,{c},{cells[0]},{cells[1]}]",
            "labels": (f"dy[{n},{{k}}], windows", f"w[{{k}},{c}] they used"),
            "note": "" if fields["products"].size else NOBODY,
        }

    @staticmethod
    def dw(step, o, c, u, v):
        """Every position the weight was used at: gradient there times the pixel it met."""
        dy, x, op = step.dy, step.inputs["x"], step.op
        _, _, OH, OW = dy.shape
        SH, SW = op.stride
        top, left = u - op.padding[0], v - op.padding[1]
        met = cut(x[:, c], top, left, ((OH - 1) * SH + 1, (OW - 1) * SW + 1))[:, ::SH, ::SW]
        row, column = ("i" if SH == 1 else f"{SH}i"), ("j" if SW == 1 else f"{SW}j")
        return add_up(dy[:, o], met, axes="nij") | {
            "formula": f"Σ dy[n,{o},i,j] · x[n,{c},{shifted(row, top)},{shifted(column, left)}]",
            "labels": (f"dy[{{k}},{o}]", f"x[{{k}},{c}] it met"),
        }

    @staticmethod
    def db(step, o):
        return add_up(step.dy[:, o], axes="nij") | {
            "formula": f"Σ dy[n,{o},i,j]",
            "labels": (f"dy[{{k}},{o}]", ""),
        }


class MaxPool:
    """y[n,c,i,j] = the largest x in the window; dy goes to the first place it is at."""

    @staticmethod
    def winner(step, x, i, j):
        """Cell (u, v) of the first largest x (H, W) of window (i, j), never in the padding."""
        top, left = corner(step.op, i, j)
        (KH, KW), (u, v) = step.op.kernel, (max(0, -top), max(0, -left))
        inside = x[max(0, top) : top + KH, max(0, left) : left + KW]
        row, column = np.unravel_index(inside.argmax(), inside.shape)
        return int(u + row), int(v + column)

    @staticmethod
    def y(step, n, c, i, j):
        x = step.inputs["x"][n, c]
        top, left = corner(step.op, i, j)
        u, v = MaxPool.winner(step, x, i, j)
        window = cut(x, top, left, step.op.kernel)
        return {
            "formula": f"the largest of x[{n},{c},{shifted('u', top)},{shifted('v', left)}]",
            "sum": window[u, v],
            "window": window,
            "winner": (u, v),
            "axes": ("u", "v"),
            "starts": (0, 0),
            "labels": (f"window of x[{n},{c}]", ""),
            "note": f"the winner is x[{n},{c},{top + u},{left + v}]: it alone gets the gradient",
        }

    @staticmethod
    def dx(step, n, c, p, q):
        dy, x, kernel = step.dy[n, c], step.inputs["x"][n, c], step.op.kernel
        (rows, columns), (u, v) = seen_by(step.op, p, q, kernel, dy.shape)
        won = np.zeros((len(u), len(v)), dy.dtype)
        for a, b in np.ndindex(won.shape):
            won[a, b] = MaxPool.winner(step, x, rows.start + a, columns.start + b) == (u[a], v[b])
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
    """y[n,c,i,j] = 1/(KH KW) times the window's sum; every cell gets an equal share of dy."""

    @staticmethod
    def y(step, n, c, i, j):
        top, left = corner(step.op, i, j)
        window = cut(step.inputs["x"][n, c], top, left, step.op.kernel)
        return add_up(window, axes="uv", divisor=window.size) | {
            "formula": f"1/{window.size} Σ x[{n},{c},{shifted('u', top)},{shifted('v', left)}]",
            "labels": (f"window of x[{n},{c}]", ""),
        }

    @staticmethod
    def dx(step, n, c, p, q):
        dy, kernel = step.dy[n, c], step.op.kernel
        (rows, columns), _ = seen_by(step.op, p, q, kernel, dy.shape)
        window, count = dy[rows, columns], kernel[0] * kernel[1]
        shares = window / dy.dtype.type(count)
        return add_up(
            window, products=shares, axes="ij", starts=(rows.start, columns.start)
        ) | {
            "formula": f"Σ dy[{n},{c},i,j] / {count}",
            "labels": (f"dy[{n},{c}], windows", ""),
            "note": "" if window.size else NOBODY,
        }
