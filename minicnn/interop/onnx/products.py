"""Convolutions, dense layers and normalization in ONNX."""

from __future__ import annotations

import numpy as np

from minicnn.interop.onnx.activations import ACTIVATIONS
from minicnn.interop.onnx.base import ExportError, number


# ---------------------------------------------------------------------------
# Products
# ---------------------------------------------------------------------------
def fused(write):
    """What the operations with `add` and `activation` share: both come after z."""

    def form(g, node, inputs):
        *inputs, added = inputs
        y = write(g, node, inputs)
        if added is not None:
            y = g.add("Add", [y, added], node)
        if node.op.activation is not None:
            y = ACTIVATIONS[node.op.activation](g, node, [y])
        return y

    return form


def present(inputs):
    """The inputs without those left out at the end."""
    return inputs[:-1] if inputs[-1] is None else inputs


@fused
def conv(g, node, inputs):
    return g.add("Conv", present(inputs), node, **_conv_settings(node.op))


def conv_transpose(g, node, inputs):
    """Rows that `output_padding` asks for: less is cut off at the end, and the rest is bias."""
    op, settings = node.op, _conv_settings(node.op)
    full = [
        (n - 1) * s + d * (k - 1) + 1
        for n, s, d, k in zip(op.shapes[0][2:], op.stride, op.dilation, op.shapes[1][2:])
    ]
    cut = [f - p - o for f, p, o in zip(full, op.padding, op.size)]
    missing = [max(-c, 0) for c in cut]
    settings["pads"] = [*op.padding, *(max(c, 0) for c in cut)]
    if not any(missing):
        return g.add("ConvTranspose", present(inputs), node, **settings)
    x, w, b = inputs
    ends = g.constant([0] * 6 + missing, np.int64)
    y = g.add("Pad", [g.add("ConvTranspose", [x, w], node, **settings), ends], node)
    if b is None:
        return y
    return g.add("Add", [y, g.add("Reshape", [b, g.constant([-1, 1, 1], np.int64)], node)], node)


def _conv_settings(op):
    return {
        "kernel_shape": op.shapes[1][2:],
        "strides": op.stride,
        "pads": [*op.padding, *op.padding],
        "dilations": op.dilation,
        "group": op.groups,
    }


@fused
def linear(g, node, inputs):
    x, w, b = inputs
    if len(node.shape) == 2:
        return g.add("Gemm", present(inputs), node, transB=1)
    y = g.add("MatMul", [x, g.add("Transpose", [w], node, perm=[1, 0])], node)
    return y if b is None else g.add("Add", [y, b], node)


# ---------------------------------------------------------------------------
# Normalization
# ---------------------------------------------------------------------------
@fused
def batch_norm(g, node, inputs):
    moments = node.sources[1]
    if node.op.training:
        raise ExportError("the statistics of the batch have no ONNX form; give the layer running "
                          "statistics")  # fmt: skip
    mean, var = moments.numpy()
    x, _, w, b = inputs
    w = g.constant(np.ones_like(mean), mean.dtype) if w is None else w
    b = g.constant(np.zeros_like(mean), mean.dtype) if b is None else b
    mean, var = g.statistic(node, "running_mean", mean), g.statistic(node, "running_var", var)
    return g.add("BatchNormalization", [x, w, b, mean, var], node, epsilon=node.op.eps)


def local_response_norm(g, node, inputs):
    op, (_, C, H, W) = node.op, node.shape
    if op.size % 2:
        settings = {"alpha": op.alpha, "beta": op.beta, "bias": op.k, "size": op.size}
        return g.add("LRN", inputs, node, **settings)
    # An even window lies otherwise in ONNX: the mean over it as a pooling along the channels.
    x = inputs[0]
    rows = g.constant([0, 1, C, H * W], np.int64)
    squares = g.add("Reshape", [g.add("Mul", [x, x], node), rows], node)
    ends = g.constant([0, 0, op.size // 2, 0, 0, 0, (op.size - 1) // 2, 0], np.int64)
    squares = g.add("Pad", [squares, ends], node)
    mean = g.add("AveragePool", [squares], node, kernel_shape=[op.size, 1])
    mean = g.add("Reshape", [mean, g.constant([0, C, H, W], np.int64)], node)
    s = g.add("Add", [g.add("Mul", [mean, number(g, node, op.alpha)], node),
                      number(g, node, op.k)], node)  # fmt: skip
    return g.add("Mul", [x, g.add("Pow", [s, number(g, node, -op.beta)], node)], node)
