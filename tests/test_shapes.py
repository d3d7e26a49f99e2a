"""The backend that knows shapes only: the same shapes and dtypes as computing, and no memory."""

from __future__ import annotations

import importlib
import pkgutil
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minicnn
from minicnn import Function, Tensor, nn, ops, use_backend
from minicnn import functional as F
from minicnn.backends.shapes import OPERATIONS, blank
from minicnn.checks import strategies

# Looks at values on its way: with the convolution's zeros no window has a cell inside the image.
NEED_VALUES = ("partial_conv2d",)
NAMES = [name for name in sorted(strategies.FUNCTIONS) if name not in NEED_VALUES]


def operations():
    """All operations of minicnn/ops that compute something."""
    for module in pkgutil.iter_modules(ops.__path__):
        for value in vars(importlib.import_module(f"minicnn.ops.{module.name}")).values():
            if isinstance(value, type) and issubclass(value, Function) and "forward" in vars(value):
                yield value.__name__


def test_every_operation_has_a_rule():
    shared = {"Function", "Upsample2d", "ToDevice"}  # drawn by others; and another device's matter
    assert set(operations()) - shared <= OPERATIONS.keys()


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=30)
@given(data=st.data())
def test_shapes_and_dtypes_are_those_of_computing(name, data):
    case = data.draw(getattr(strategies, name)())
    tensors = case.tensors()
    expected = case.run(tensors)
    # Class numbers and the places of maxima are looked at before the operation runs.
    blanks = [
        None
        if t is None
        else Tensor(blank(t.shape, t.dtype) if t.dtype.kind == "f" else t.data,
                    requires_grad=t.requires_grad)
        for t in tensors
    ]  # fmt: skip
    with use_backend("shapes"):
        y = case.run(blanks)
        assert (y.shape, y.dtype) == (expected.shape, expected.dtype)
        assert y.requires_grad == expected.requires_grad
        if y.requires_grad:
            y.backward(np.ones(y.shape, y.dtype))
    if expected.requires_grad:
        expected.backward(np.ones(expected.shape, expected.dtype))
    for got, t in zip(blanks, tensors):
        grad = None if got is None else got.grad
        assert (grad is None) == (t is None or t.grad is None)
        if grad is not None:
            assert (grad.shape, grad.dtype) == (t.shape, t.dtype)


OF_TENSORS = {
    "broadcast": lambda x: (x + x[:, :1]) * 2 - x / x[0] ** 2,
    "matmul": lambda x: x @ x.transpose(2, 3),
    "vectors": lambda x: x @ x[0, 0, 0],
    "exp and log": lambda x: (-x).exp().log(),
    "every second pixel": lambda x: x[:, :, ::2, 1:],
    "some rows": lambda x: x[[0, 1, 0], ..., None],
    "a mask": lambda x: x[:, np.array([True, False, True])],
    "sum": lambda x: x.sum(dim=(1, 3)),
    "mean, axes kept": lambda x: x.mean(dim=(2, 3), keepdim=True),
    "max": lambda x: x.max(dim=-1),
    "all": lambda x: x.sum(),
    "reshape": lambda x: x.reshape(2, -1).flatten(),
    "permute": lambda x: x.permute(3, 1, 0, 2),
    "cast": lambda x: x.to(np.float64) * 2,
    "stack": lambda x: F.stack([x, x], dim=1),
    "indices": lambda x: F.max_pool2d(x, 2, 1, 1, return_indices=True)[1],
    "adaptive indices": lambda x: F.adaptive_max_pool2d(x, 2, return_indices=True)[1],
}


@pytest.mark.parametrize("name", OF_TENSORS)
def test_methods_of_tensors(name):
    x = np.random.default_rng(0).random((2, 3, 4, 5), np.float32) + 1
    expected = OF_TENSORS[name](Tensor(x))
    with use_backend("shapes"):
        y = OF_TENSORS[name](Tensor(blank(x.shape)))
    assert (y.shape, y.dtype) == (expected.shape, expected.dtype)


def test_nothing_is_computed():
    """A pass that would take 60 GB of activations and hours, forward and backward."""
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
                        nn.MaxPool2d(2), nn.Conv2d(8, 8, 3), nn.AdaptiveAvgPool2d(1))  # fmt: skip
    x = Tensor(blank((512, 3, 1024, 1024)), requires_grad=True)
    tracemalloc.start()
    with use_backend("shapes"):
        y = net.eval()(x)
        y.backward(blank(y.shape))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert y.shape == (512, 8, 1, 1) and x.grad.shape == x.shape
    assert peak < 1e6


def test_operations_of_others_run():
    class Twice(Function):
        def forward(self, x):
            return 2 * x

    with use_backend("shapes"):
        assert F.relu(Twice.apply(Tensor(blank((2, 3))))).shape == (2, 3)


def test_layers_without_first_weights():
    minicnn.manual_seed(0)
    with nn.init.empty():
        layers = [nn.Conv2d(3, 4, 3), nn.Linear(5, 6)]
    later = nn.Conv2d(3, 4, 3)
    minicnn.manual_seed(0)
    drawn = nn.Conv2d(3, 4, 3)  # the empty ones took no random numbers
    np.testing.assert_array_equal(later.weight.numpy(), drawn.weight.numpy())
    assert [layer.weight.shape for layer in layers] == [(4, 3, 3, 3), (6, 5)]
    layers[0].load_state_dict(drawn.state_dict())
    np.testing.assert_array_equal(layers[0].weight.numpy(), drawn.weight.numpy())
