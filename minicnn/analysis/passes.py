"""One pass of a net, by shapes alone: what every count in this package starts from."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np

from minicnn import models
from minicnn.backends import use_backend
from minicnn.backends.shapes import blank
from minicnn.nn import Module, init
from minicnn.nn.graph import Graph, evaluating, trace
from minicnn.tensor import FLOATS, Tensor, no_grad


def shape_pass(model, input_shape=None, backward=False) -> tuple[Module, Graph]:
    """A net and its graph for one image, in evaluation mode: shapes only, no number is computed.

    Parameters
    ----------
    model : Module or str
        A name is built by `models.build`, without drawing its weights.
    input_shape : (C, H, W), optional
        H and W in pixels; a name's own size if left out.
    backward : bool
        Whether to walk back, too.

    Raises
    ------
    TypeError, ValueError
        If it is neither, or a Module comes without an input_shape, or it is no shape.
    """
    if isinstance(model, str):
        input_shape = input_shape or models.info(model).input_shape
        with init.empty():
            model = models.build(model)
    elif not isinstance(model, Module):
        raise TypeError(f"model: expects a Module or a model's name, but got {model!r}")
    shape = as_input_shape(input_shape)
    dtype = next((p.dtype for p in model.parameters() if p.dtype in FLOATS), np.float32)
    x = Tensor(blank((1, *shape), dtype))
    with use_backend("shapes"), evaluating(model), nullcontext() if backward else no_grad():
        return model, trace(model, x, backward=backward)


def as_input_shape(value) -> tuple[int, ...]:
    """`value` as the shape of one input, without the batch: ints of at least 1."""
    whole = isinstance(value, (tuple, list)) and all(
        isinstance(n, (int, np.integer)) and not isinstance(n, bool) for n in value
    )
    if not whole or not value:
        raise TypeError(
            f"input_shape: expects (C, H, W), the size of one image, but got {value!r}"
        )
    if min(value) < 1:
        raise ValueError(f"input_shape: expects sizes of 1 or more, but got {value!r}")
    return tuple(int(n) for n in value)
