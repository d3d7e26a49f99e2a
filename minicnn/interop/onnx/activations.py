"""Activations in ONNX."""

from __future__ import annotations

import math

import numpy as np

from minicnn.interop.onnx.base import number, plain


def leaky_relu(g, node, inputs):
    return g.add("LeakyRelu", inputs, node, alpha=node.op.negative_slope)


def relu6(g, node, inputs):
    return g.add("Clip", [inputs[0], number(g, node, 0), number(g, node, 6)], node)


def prelu(g, node, inputs):
    x, slope = inputs
    channels = node.op.shapes[1][0]
    if channels > 1:  # one for each channel: stood along axis 1
        shape = g.constant([channels, *[1] * (len(node.shape) - 2)], np.int64)
        slope = g.add("Reshape", [slope, shape], node)
    return g.add("PRelu", [x, slope], node)


def hardswish(g, node, inputs):
    gate = g.add("HardSigmoid", inputs, node, alpha=1 / 6, beta=0.5)
    return g.add("Mul", [inputs[0], gate], node)


def scaled_tanh(g, node, inputs):
    inner = g.add("Mul", [inputs[0], number(g, node, 2 / 3)], node)
    return g.add("Mul", [g.add("Tanh", [inner], node), number(g, node, 1.7159)], node)


def silu(g, node, inputs):
    return g.add("Mul", [inputs[0], g.add("Sigmoid", inputs, node)], node)


def gelu(g, node, inputs):
    """x (1 + erf(x / sqrt 2)) / 2."""
    inner = g.add("Erf", [g.add("Mul", [inputs[0], number(g, node, math.sqrt(0.5))], node)], node)
    return _half_of_one_plus(g, node, inputs[0], inner)


def gelu_tanh(g, node, inputs):
    """x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2."""
    x = inputs[0]
    cube = g.add("Mul", [g.add("Mul", [x, x], node), x], node)
    inner = g.add("Add", [x, g.add("Mul", [cube, number(g, node, 0.044715)], node)], node)
    inner = g.add("Mul", [inner, number(g, node, math.sqrt(2 / math.pi))], node)
    return _half_of_one_plus(g, node, x, g.add("Tanh", [inner], node))


def _half_of_one_plus(g, node, x, inner):
    gate = g.add("Add", [inner, number(g, node, 1)], node)
    return g.add("Mul", [g.add("Mul", [x, gate], node), number(g, node, 0.5)], node)


def softmax(kind):
    return lambda g, node, inputs: g.add(kind, inputs, node, axis=node.op.dim)


ACTIVATIONS = {"relu": plain("Relu"), "relu6": relu6, "silu": silu, "hardswish": hardswish}
