"""What operations do to every element: as text, as a value, and the slope that gradients take."""

from __future__ import annotations

import math
import re

import numpy as np

from minicnn.ops.epilogue import ACTIVATIONS
from minicnn.ops.erf import erfc

TEXTS = {  # operation -> formula, and each input's slope dy/d(input); settings in braces
    "ReLU": ("max(x, 0)", {"x": "(1 where x > 0, else 0)"}),
    "ReLU6": ("min(max(x, 0), 6)", {"x": "(1 where 0 < x < 6, else 0)"}),
    "Hardswish": (
        "x min(max(x + 3, 0), 6) / 6", {"x": "(0 up to x = -3, x/3 + 1/2 up to x = 3, then 1)"}),
    "Tanh": ("tanh x", {"x": "(1 - y²)"}),
    "ScaledTanh": ("1.7159 tanh(2x/3)", {"x": "2/3 (1.7159 - y²/1.7159)"}),
    "Sigmoid": ("1 / (1 + e^-x)", {"x": "y (1 - y)"}),
    "SiLU": ("x / (1 + e^-x)", {"x": "(1 + x + e^x) e^x / (1 + e^x)²"}),
    "LeakyReLU": (
        "x where x > 0, else {negative_slope:g} x",
        {"x": "(1 where x > 0, else {negative_slope:g})"}),
    "PReLU": (
        "x where x > 0, else a x",
        {"x": "(1 where x > 0, else a)", "a": "(0 where x > 0, else x)"}),
    "GELU": ("x P(x), P(x) = erfc(-x/√2) / 2", {"x": "(P(x) + x e^(-x²/2) / √(2π))"}),
    "GELUTanh": (
        "x (1 + tanh v) / 2, v = √(2/π) (x + 0.044715 x³)",
        {"x": "((1 + tanh v) / 2 + x (1 - tanh² v) / 2 · √(2/π) (1 + 0.134145 x²))"}),
    "Exp": ("e^x", {"x": "y"}),
    "Log": ("ln x", {"x": "1/x"}),
    "Negate": ("-x", {"x": "(-1)"}),
    "Cast": ("x, in another dtype", {"x": "1"}),
    "ToDevice": ("x, on another device", {"x": "1"}),
    "Add": ("a + b", {"a": "1", "b": "1"}),
    "Subtract": ("a - b", {"a": "1", "b": "(-1)"}),
    "Multiply": ("a · b", {"a": "b", "b": "a"}),
    "Divide": ("a / b", {"a": "1/b", "b": "(-a/b²)"}),
    "Power": ("a^b", {"a": "b a^(b-1)", "b": "y ln a"}),
    "SquaredError": ("(x - t)²", {"x": "2 (x - t)", "t": "(-2 (x - t))"}),
    "Hardsigmoid": ("min(max(x + 3, 0), 6) / 6", {"x": "(1/6 where -3 < x < 3, else 0)"}),
}  # fmt: skip


def _sigmoid(x):
    return (np.tanh(x * 0.5) + 1) * 0.5


def _silu_slope(y, x):
    return _sigmoid(x) + y * _sigmoid(-x)


def _hardswish_slope(y, x):
    return np.where(x <= -3, 0, np.where(x < 3, x / 3 + 0.5, 1))


def _normal_share(x):
    return erfc(x * -math.sqrt(0.5)) * 0.5


def _gelu_slope(y, x):
    return _normal_share(x) + x * np.exp(x * x * -0.5) / math.sqrt(2 * math.pi)


def _gelu_tanh(x):
    return np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x))


def _gelu_tanh_slope(y, x):
    t, dv = _gelu_tanh(x), math.sqrt(2 / math.pi) * (1 + 0.134145 * x * x)
    return (1 + t) * 0.5 + np.where(abs(t) == 1, 0, x * ((1 - t * t) * 0.5) * dv)


def texts(step) -> tuple[str, dict[str, str]]:
    """Formula and slopes of a step, with its settings filled in."""
    text, slopes = TEXTS[step.operation]
    filled = [words.format(**step.settings) for words in (text, *slopes.values())]
    return filled[0], dict(zip(slopes, filled[1:]))


def arguments(step) -> dict:
    """What the functions below take: inputs that broadcast, and LeakyReLU's setting."""
    found = dict(step.inputs)
    if step.operation == "PReLU":
        found["a"] = step.op.along_channels(found["a"])
    if step.operation == "LeakyReLU":
        found["negative_slope"] = step.output.dtype.type(step.settings["negative_slope"])
    return found


VALUES = {
    "ReLU": lambda x: np.maximum(x, 0),
    "ReLU6": lambda x: np.clip(x, 0, 6),
    "Hardswish": lambda x: x * (np.clip(x + 3, 0, 6) / 6),
    "Tanh": np.tanh,
    "ScaledTanh": lambda x: 1.7159 * np.tanh(x * (2 / 3)),
    "Sigmoid": _sigmoid,
    "SiLU": lambda x: x * _sigmoid(x),
    "LeakyReLU": lambda x, s: np.where(x > 0, x, s * x),
    "PReLU": lambda x, a: np.where(x > 0, x, a * x),
    "GELU": lambda x: x * _normal_share(x),
    "GELUTanh": lambda x: x * ((1 + _gelu_tanh(x)) * 0.5),
    "Exp": np.exp,
    "Log": np.log,
    "Negate": np.negative,
    "Cast": lambda x: x,
    "ToDevice": lambda x: x,
    "Add": np.add,
    "Subtract": np.subtract,
    "Multiply": np.multiply,
    "Divide": np.divide,
    "Power": np.power,
    "SquaredError": lambda x, t: (x - t) * (x - t),
    "Hardsigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
}
SLOPES = {  # slope(y, *inputs), all of the output's shape
    "ReLU": {"x": lambda y, x: y > 0},  # as x > 0 is, and y is what backward keeps
    "ReLU6": {"x": lambda y, x: (y > 0) & (y < 6)},
    "Hardswish": {"x": _hardswish_slope},
    "Tanh": {"x": lambda y, x: 1 - y * y},
    "ScaledTanh": {"x": lambda y, x: 2 / 3 * (1.7159 - y * y / 1.7159)},
    "Sigmoid": {"x": lambda y, x: y * (1 - y)},
    "SiLU": {"x": _silu_slope},
    "LeakyReLU": {"x": lambda y, x, s: np.where(x > 0, 1, s)},
    "PReLU": {
        "x": lambda y, x, a: np.where(x > 0, 1, a), "a": lambda y, x, a: np.where(x > 0, 0, x)},
    "GELU": {"x": _gelu_slope},
    "GELUTanh": {"x": _gelu_tanh_slope},
    "Exp": {"x": lambda y, x: y},
    "Log": {"x": lambda y, x: 1 / x},
    "Negate": {"x": lambda y, x: -np.ones_like(x)},
    "Cast": {"x": lambda y, x: np.ones_like(x)},
    "ToDevice": {"x": lambda y, x: np.ones_like(x)},
    "Add": {"a": lambda y, a, b: np.ones_like(y), "b": lambda y, a, b: np.ones_like(y)},
    "Subtract": {"a": lambda y, a, b: np.ones_like(y), "b": lambda y, a, b: -np.ones_like(y)},
    "Multiply": {"a": lambda y, a, b: b, "b": lambda y, a, b: a},
    "Divide": {"a": lambda y, a, b: 1 / b, "b": lambda y, a, b: -a / (b * b)},
    "Power": {
        "a": lambda y, a, b: b * a ** np.where(b == 0, 0, b - 1),
        "b": lambda y, a, b: y * np.log(np.where(a == 0, 1, a)),
    },
    "SquaredError": {"x": lambda y, x, t: 2 * (x - t), "t": lambda y, x, t: -2 * (x - t)},
    "Hardsigmoid": {"x": lambda y, x: ((x > -3) & (x < 3)) / 6},
}  # fmt: skip


# ---------------------------------------------------------------------------
# The activation at the end of a fused operation, y = activation(z)
# ---------------------------------------------------------------------------
def activation_texts(activation) -> tuple[str, str]:
    """Formula and slope of an activation ("relu") as functions of z."""
    text, slopes = TEXTS[ACTIVATIONS[activation].__name__]
    return tuple(re.sub(r"\bx\b", "z", words) for words in (text, slopes["x"]))


def activated(activation, z):
    """activation(z), in z's dtype."""
    with np.errstate(all="ignore"):
        return np.asarray(VALUES[ACTIVATIONS[activation].__name__](z)).astype(z.dtype)[()]


def before_activation(activation, dy, y, z):
    """dz = dy times the activation's slope, in dy's dtype."""
    with np.errstate(all="ignore"):
        slope = np.asarray(SLOPES[ACTIVATIONS[activation].__name__]["x"](y, z))
        return dy * slope.astype(dy.dtype)
