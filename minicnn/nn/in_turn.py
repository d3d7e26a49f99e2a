"""Layers one after the other, put together where that saves walks through memory.

An activation can be done by the layer before it, while its numbers are in the cache; so can the
sum with what comes around a residual block. And in evaluation a convolution and the batch
normalization behind it are one convolution: with a = gamma / sqrt(var + eps) for each filter,

    ((w * x) + b - mean) a + beta  =  (a w) * x + (b - mean) a + beta.

That costs a walk through the filters, so it is done where they are fewer than the numbers it saves
a walk through. What is computed is the same but for rounding, so this is nobody's business but the
clock's. Hence all layers run by themselves where somebody watches: while a pass is recorded, or the
choices of its activations; and on the readable backends. A layer whose own forward was replaced
runs by itself.
"""

from __future__ import annotations

from collections import deque
from math import prod

from minicnn import functional as F
from minicnn.backends import backend_on, xp
from minicnn.choices import active_choices
from minicnn.functional.arguments import as_activation, as_added
from minicnn.nn.activation import ReLU, ReLU6
from minicnn.nn.conv import Conv2d
from minicnn.nn.linear import Linear
from minicnn.nn.normalization import BatchNorm2d, FrozenBatchNorm2d
from minicnn.ops.epilogue import ACTIVATIONS
from minicnn.tensor import Tensor, _recorder, is_grad_enabled

ENDINGS = {ReLU: "relu", ReLU6: "relu6", "relu": "relu", "relu6": "relu6"}
FUNCTIONS = {name: getattr(F, name) for name in ACTIVATIONS}
APART = ("loops", "numpy", "shapes")  # backends that put nothing together


def in_turn(modules, x, activation=None, add=None):
    """The modules one after the other, then the sum with `add`, then the activation.

    Parameters
    ----------
    modules : list of Module
        Each takes what the one before it gave.
    x : Tensor
    activation : "relu", "relu6", "silu" or "hardswish", optional
    add : Tensor, optional
        Of the shape that comes out.

    Raises
    ------
    ValueError, TypeError
        As the modules do; or if there is no such activation, or `add` has another shape.
    """
    left, together = deque(modules), _together(x)
    if add is not None:
        left.append(Plus(add))
    if as_activation("in_turn", activation) is not None:
        left.append(activation)
    while left:
        layer, end = left.popleft(), {}
        if together and left and _are_one(layer, left[0], x) and not _watched(layer, left[0]):
            layer = Folded(layer, left.popleft())
        if together and _takes_ending(layer) and not _watched(layer):
            if left and type(left[0]) is Plus:
                end["add"] = left.popleft().add
            if left and _ending(left[0]) is not None and not _watched(left[0]):
                end["activation"] = _ending(left.popleft())
        x = FUNCTIONS[layer](x) if isinstance(layer, str) else layer(x, **end)
    return x


class Plus:
    """The sum with what comes around."""

    def __init__(self, add):
        self.add = add

    def __call__(self, x):
        return x + as_added("in_turn", self.add, x, x.shape)


def _together(x):
    recorder = _recorder.get()
    watched = recorder is not None and not getattr(recorder, "only_times", False)
    apart = not isinstance(x, Tensor) or backend_on(x.device) in APART
    return not (watched or apart or active_choices.get() is not None)


def _watched(*layers):
    """Whether somebody has put a forward of his own into one of them, to see what it gives."""
    ours = (str, Folded, Plus)
    return any("forward" in vars(layer) for layer in layers if not isinstance(layer, ours))


def _ending(following):
    return ENDINGS.get(following if isinstance(following, str) else type(following))


def _takes_ending(layer):
    known = type(layer) in (Conv2d, Linear, BatchNorm2d, FrozenBatchNorm2d, Folded)
    return known and layer.activation is None


def _are_one(conv, norm, x):
    """Whether they are a convolution of x and a batch normalization that does not learn now."""
    return (
        type(conv) is Conv2d and type(norm) is BatchNorm2d and not is_grad_enabled()
        and conv.activation is None and not norm.training and norm.running_mean is not None
        and norm.num_features == conv.out_channels and _has_few_filters(conv, x)
    )  # fmt: skip


def _has_few_filters(conv, x):
    """Whether the weights are fewer than about the outputs, each divided by the channels."""
    return prod(conv.weight.shape[1:]) * prod(conv.stride) <= prod(x.shape) // x.shape[1]


class Folded:
    """A convolution and a batch normalization in evaluation, as one convolution."""

    def __init__(self, conv: Conv2d, norm: BatchNorm2d):
        self.conv, self.norm, self.activation = conv, norm, norm.activation

    def __call__(self, x, activation=None, add=None):
        conv, norm = self.conv, self.norm
        w, mean, var = (t._data for t in (conv.weight, norm.running_mean, norm.running_var))
        a = 1 / xp(w).sqrt(var + norm.eps)
        if norm.weight is not None:
            a *= norm.weight._data
        b = -mean * a if conv.bias is None else (conv.bias._data - mean) * a
        if norm.bias is not None:
            b += norm.bias._data
        return F.conv2d(
            x, Tensor(w * a[:, None, None, None]), Tensor(b), conv.stride, conv.padding,
            conv.dilation, conv.groups, conv.padding_mode,
            activation=activation or self.activation, add=add,
        )  # fmt: skip
