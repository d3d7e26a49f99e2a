"""Lenses on upsampling and unpooling: which pixels an output reads, and which outputs read it."""

from __future__ import annotations

import numpy as np

from minicnn.stepper.lens import add_up, at

# ---------------------------------------------------------------------------
# Upsampling
# ---------------------------------------------------------------------------
UPSAMPLING = ("UpsampleNearest2d", "UpsampleBilinear2d")


def positions(op, axis):
    """(low, t): along axis 0 (H) or 1 (W) each output lies t behind pixel `low`."""
    found = op.places(axis)
    return found if isinstance(found, tuple) else (found, np.zeros(len(found)))


def pixels_of(op, axis, i, dtype):
    """The first pixel that output i reads along an axis; the weights of it and of the next one."""
    low, t = (k[i] for k in positions(op, axis))
    t = dtype.type(t)
    return int(low), np.array([1 - t, t] if t else [1], dtype)


def outputs_at(op, axis, pixel, dtype):
    """The first output that reads a pixel along an axis; the weights that it and others give it."""
    low, t = positions(op, axis)
    t = t.astype(dtype)
    weights = np.where(low == pixel, 1 - t, np.where(low == pixel - 1, t, 0)).astype(dtype)
    seen = np.flatnonzero(weights)
    first, end = (int(seen[0]), int(seen[-1]) + 1) if seen.size else (0, 0)
    return first, weights[first:end]


def upsample_y(step, n, c, i, j):
    x, op = step.inputs["x"], step.op
    (top, rows), (left, columns) = (pixels_of(op, a, k, x.dtype) for a, k in enumerate((i, j)))
    if step.operation == "UpsampleNearest2d":
        return {
            "formula": at("x", (n, c, top, left)), "sum": x[n, c, top, left],
            "note": "a copy of the one pixel that this place falls into",
        }  # fmt: skip
    window = x[n, c, top : top + len(rows), left : left + len(columns)]
    row, column = (float(sum(k[m] for k in positions(op, a))) for a, m in enumerate((i, j)))
    fields = add_up(window, np.outer(rows, columns), axes="hw", starts=(top, left))
    return fields | {
        "formula": f"Σ x[{n},{c},h,w] · weight[h] · weight[w]",
        "labels": (f"pixels of x[{n},{c}]", "weights"),
        "note": f"this place is at row {row:.4g}, column {column:.4g} of x: the nearer a pixel, "
        "the larger its weight",
        "rounding": 2 * fields["rounding"],  # the operation goes along one axis, then the other
    }


def upsample_dx(step, n, c, h, w):
    dy, op = step.dy, step.op
    (top, rows), (left, columns) = (outputs_at(op, a, k, dy.dtype) for a, k in enumerate((h, w)))
    window = dy[n, c, top : top + len(rows), left : left + len(columns)]
    copies = step.operation == "UpsampleNearest2d"
    weights = None if copies else np.outer(rows, columns)
    note = "the outputs that are copies of this pixel" if copies else (
        "each output that read this pixel gives back with the weight it read with")  # fmt: skip
    fields = add_up(window, weights, axes="ij", starts=(top, left))
    return fields | {
        "formula": f"Σ dy[{n},{c},i,j]" + ("" if copies else " · weight[i] · weight[j]"),
        "labels": (f"dy[{n},{c}], outputs", "" if copies else "weights"),
        "note": note if window.size else "no output reads this pixel, so it has no influence",
        "rounding": 2 * fields["rounding"],
    }


# ---------------------------------------------------------------------------
# Unpooling
# ---------------------------------------------------------------------------
def laid_at(step, n, c, place):
    """The pixels of x, as rows of (h, w), that name a place; the last one lies there."""
    return np.argwhere(step.inputs["place"][n, c] == place).tolist()


def unpool_y(step, n, c, p, q):
    x, place = step.inputs["x"], p * step.op.size[1] + q
    pixels = laid_at(step, n, c, place)
    if not pixels:
        return {
            "formula": "0", "sum": x.dtype.type(0),
            "note": f"no x has the place {place}: no maximum was found here",
        }  # fmt: skip
    index = (n, c, *pixels[-1])
    return {
        "formula": at("x", index), "sum": x[index], "parts": {at("place", index): np.int64(place)},
        "note": "the maximum is put back where it was found" if len(pixels) == 1
        else f"{len(pixels)} elements of x have this place: the last stays",
    }  # fmt: skip


def unpool_dx(step, n, c, h, w):
    place = int(step.inputs["place"][n, c, h, w])
    index = (n, c, *divmod(place, step.op.size[1]))
    stays = laid_at(step, n, c, place)[-1] == [h, w]
    return {
        "formula": at("dy", index) if stays else "0",
        "sum": step.dy[index] if stays else step.dy.dtype.type(0),
        "parts": {at("place", (n, c, h, w)): np.int64(place), at("dy", index): step.dy[index]},
        "note": "the gradient of the place that it was put at" if stays
        else "another x with the same place lies there, so this one has no influence",
    }  # fmt: skip
