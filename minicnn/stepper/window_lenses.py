"""Lenses on pooling: numbers computed from a window."""

from __future__ import annotations

import numpy as np

from minicnn.stepper.lens import add_up
from minicnn.stepper.notation import shifted


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


def pool_indices_y(step, n, c, i, j):
    """The place h W + w of a pooling's winner."""
    if step.op.pool.__name__ == "AdaptiveMaxPool2d":
        h, w = AdaptiveMaxPool.winner(step, n, c, i, j)[2]
        fields = AdaptiveMaxPool.y(step, n, c, i, j)
    else:
        h, w = MaxPool.winner(step.op, step.inputs["x"][n, c], i, j)
        fields = MaxPool.y(step, n, c, i, j)
    W = step.inputs["x"].shape[3]
    return fields | {
        "formula": f"{W} h + w = {W} · {h} + {w}, with (h, w) the place of {fields['formula']}",
        "sum": np.int64(h * W + w),
        "note": "counted row by row: what unpooling puts a value back by",
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
    def seen_by(step, p, q):
        """All windows that see pixel (p, q): slices of i and j, and their rows and columns."""
        shape, size = step.op.shapes[0][2:], step.op.size
        spans, counts = [], []
        for pixel, whole, count in zip((p, q), shape, size):
            windows = [AdaptiveAvgPool.pixels(k, whole, count) for k in range(count)]
            seen = [k for k, (start, end) in enumerate(windows) if start <= pixel < end]
            spans.append(slice(seen[0], seen[-1] + 1))
            counts.append(np.array([windows[k][1] - windows[k][0] for k in seen]))
        return spans, counts

    @staticmethod
    def dx(step, n, c, p, q):
        spans, counts = AdaptiveAvgPool.seen_by(step, p, q)
        window = step.dy[n, c, spans[0], spans[1]]
        cells = np.multiply.outer(*counts)
        return add_up(
            window, products=window / cells.astype(window.dtype), axes="ij",
            starts=(spans[0].start, spans[1].start),
        ) | {
            "formula": f"Σ dy[{n},{c},i,j] / {cells.item() if cells.size == 1 else 'its cells'}",
            "labels": (f"dy[{n},{c}], windows", ""),
        }  # fmt: skip


class AdaptiveMaxPool:
    """y[n,c,i,j] = the largest x[n,c,h,w] of the windows that `AdaptiveAvgPool` averages."""

    @staticmethod
    def winner(step, n, c, i, j):
        """The window's corner and its values, and the pixel of its first largest value."""
        x, size = step.inputs["x"], step.op.size
        (top, bottom), (left, right) = map(AdaptiveAvgPool.pixels, (i, j), x.shape[2:], size)
        window = x[n, c, top:bottom, left:right]
        u, v = (int(k) for k in np.unravel_index(window.argmax(), window.shape))
        return (top, left), window, (top + u, left + v)

    @staticmethod
    def y(step, n, c, i, j):
        (top, left), window, (h, w) = AdaptiveMaxPool.winner(step, n, c, i, j)
        return {
            "formula": f"the largest of x[{n},{c},{shifted('u', top)},{shifted('v', left)}]",
            "sum": window[h - top, w - left],
            "window": window,
            "winner": (h - top, w - left),
            "axes": ("u", "v"),
            "starts": (0, 0),
            "labels": (f"window of x[{n},{c}]", ""),
            "note": f"the winner is x[{n},{c},{h},{w}]: it alone gets the gradient",
        }

    @staticmethod
    def dx(step, n, c, p, q):
        spans, _ = AdaptiveAvgPool.seen_by(step, p, q)
        dy = step.dy[n, c, spans[0], spans[1]]
        won = np.zeros(dy.shape, dy.dtype)
        for a, b in np.ndindex(won.shape):
            won[a, b] = AdaptiveMaxPool.winner(
                step, n, c, spans[0].start + a, spans[1].start + b)[2] == (p, q)  # fmt: skip
        return add_up(dy, won, axes="ij", starts=(spans[0].start, spans[1].start)) | {
            "formula": f"Σ dy[{n},{c},i,j] · (1 where x[{n},{c},{p},{q}] won, else 0)",
            "labels": (f"dy[{n},{c}], windows", "won there"),
            "note": "" if won.any()
            else "this pixel is the largest of no window, so it gets no gradient",
        }
