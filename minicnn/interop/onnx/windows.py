"""Pooling, resampling and padding in ONNX.

Where ONNX rounds or borders otherwise (ceil_mode, windows that hang over the end), what is written
computes the same numbers by other means.
"""

from __future__ import annotations

import math

import numpy as np

from minicnn.interop.onnx.base import ExportError, number, number_of_rows
from minicnn.ops.padding import sources


def _windows(node, op):
    """Attributes of a pooling whose windows are those of the operation."""
    ends = [
        max(0, (o - 1) * s + d * (k - 1) + 1 - n - p)
        for n, o, k, s, p, d in zip(
            node.op.shapes[0][2:], node.shape[2:], op.kernel, op.stride, op.padding, op.dilation
        )
    ]
    return {"kernel_shape": op.kernel, "strides": op.stride, "pads": [*op.padding, *ends]}


def max_pool(g, node, inputs):
    settings = _windows(node, node.op)
    if _wide(settings):
        ends = [0, 0, *settings["pads"][:2], 0, 0, *settings.pop("pads")[2:]]
        inputs = [g.add("Pad", [*inputs, g.constant(ends, np.int64), number(g, node, -np.inf)],
                        node)]  # fmt: skip
    return g.add("MaxPool", inputs, node, dilations=node.op.dilation, **settings)


def _wide(settings):
    """Whether the padding is as wide as the kernel, which ONNX programs refuse in a pooling."""
    return any(p >= k for p, k in zip(settings["pads"], 2 * settings["kernel_shape"]))


def pool_indices(g, node, inputs):
    """Places in the whole array, as ONNX counts them, as places in their own image."""
    if "size" in node.op.settings:
        raise ExportError("places of adaptive windows have no ONNX form here")
    window = node.op.pool()
    window.__dict__.update(node.op.settings)
    settings = {"dilations": window.dilation, **_windows(node, window)}
    if _wide(settings):
        raise ExportError("places in windows that hang over the end by their whole kernel have no "
                          "ONNX form here")  # fmt: skip
    place = g.add("MaxPool", inputs, node, output=1, **settings)
    pixels = g.constant(math.prod(node.op.shapes[0][2:]), np.int64)
    return g.add("Mod", [place, pixels], node)


def max_unpool(g, node, inputs):
    """Numbers scattered over an array of zeros, each image and channel by itself."""
    (_, C, H, W), pixels = node.op.shapes[0], math.prod(node.op.size)
    rows = number_of_rows(g, node, inputs[0])
    x, place = (
        g.add("Reshape", [name, g.constant([0, C, H * W], np.int64)], node) for name in inputs
    )
    shape = g.add("Concat", [rows, g.constant([C, pixels], np.int64)], node, axis=0)
    zeros = g.add("Expand", [number(g, node, 0), shape], node)
    y = g.add("ScatterElements", [zeros, place, x], node, axis=2)
    return g.add("Reshape", [y, g.constant([0, C, *node.op.size], np.int64)], node)


def avg_pool(g, node, inputs):
    y = g.add("AveragePool", inputs, node, count_include_pad=1, **_windows(node, node.op))
    cells, divisors = math.prod(node.op.kernel), node.op.divisors()
    if (divisors == cells).all():
        return y
    return g.add("Mul", [y, g.constant(cells / divisors, node.output.dtype)], node)


def adaptive_avg_pool(g, node, inputs):
    sizes, count = node.op.shapes[0][2:], node.op.size
    if count == (1, 1):
        return g.add("GlobalAveragePool", inputs, node)
    if not any(n % o for n, o in zip(sizes, count)):
        kernel = [n // o for n, o in zip(sizes, count)]
        return g.add("AveragePool", inputs, node, kernel_shape=kernel, strides=kernel)
    return _resample(g, node, inputs, [_means(n, o) for n, o in zip(sizes, count)])


def adaptive_max_pool(g, node, inputs):
    sizes, count = node.op.shapes[0][2:], node.op.size
    if any(n % o for n, o in zip(sizes, count)):
        raise ExportError(f"windows that divide {sizes} pixels into {count} overlap, which has no "
                          "ONNX form here; choose an output size that divides")  # fmt: skip
    kernel = [n // o for n, o in zip(sizes, count)]
    return g.add("MaxPool", inputs, node, kernel_shape=kernel, strides=kernel)


def _means(size, count):
    """The matrix (count, size) that takes the means of windows that divide an axis evenly."""
    matrix = np.zeros((count, size))
    for i in range(count):
        window = slice(i * size // count, -(-(i + 1) * size // count))
        matrix[i, window] = 1 / (window.stop - window.start)
    return matrix


def _resample(g, node, inputs, matrices):
    """y = A x B': rows and columns mixed by the matrices A and B."""
    rows, columns = (g.constant(m, node.output.dtype) for m in (matrices[0], matrices[1].T))
    return g.add("MatMul", [rows, g.add("MatMul", [inputs[0], columns], node)], node)


def upsample(g, node, inputs):
    """Resize where its rules are ours; else the operation's own weights, as matrices."""
    op = node.op
    sizes = tuple(zip(op.shapes[0][2:], op.size))
    nearest = node.name == "UpsampleNearest2d"
    if not op.align_corners and op.spans != sizes:
        axes = [op.reads(axis, np.dtype(np.float64)) for axis in (1, 2)]
        pairs = zip(axes, sizes)
        return _resample(g, node, inputs, [_reading(reads, n, o) for reads, (n, o) in pairs])
    kind = "asymmetric" if nearest else "align_corners" if op.align_corners else "half_pixel"
    settings = {
        "mode": "nearest" if nearest else "linear",
        "coordinate_transformation_mode": kind,
        "axes": [2, 3],
    }
    if nearest:
        settings["nearest_mode"] = "floor"
    size = g.constant(op.size, np.int64)
    return g.add("Resize", [inputs[0], None, None, size], node, **settings)


def _reading(reads, size, count):
    """The matrix (count, size) of an axis whose outputs are sums of weight * pixel."""
    matrix = np.zeros((count, size))
    for place, weight in reads:
        matrix[np.arange(count), place] += np.reshape(weight, -1)
    return matrix


def pad(g, node, inputs):
    op, ndim = node.op, len(node.shape)
    fixed = ndim - len(op.sides)
    if op.mode == "circular":
        x = inputs[0]
        for axis, side in enumerate(op.sides, fixed):
            place = g.constant(sources(op.shapes[0][axis], side, op.mode), np.int64)
            x = g.add("Gather", [x, place], node, axis=axis)
        return x
    before, after = ([*[0] * fixed, *ends] for ends in zip(*op.sides))
    kind = {"replicate": "edge"}.get(op.mode, op.mode)
    ends = g.constant([*before, *after], np.int64)
    return g.add("Pad", [inputs[0], ends, number(g, node, op.value)], node, mode=kind)
