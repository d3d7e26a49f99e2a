"""SGD: its formulas, PyTorch's, and its errors."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minicnn import Tensor, models
from minicnn import functional as F
from minicnn.optim import SGD

SETTINGS = [
    pytest.param({}, id="plain"),
    pytest.param({"weight_decay": 0.1}, id="weight decay"),
    pytest.param({"momentum": 0.9}, id="momentum"),
    pytest.param({"momentum": 0.9, "weight_decay": 0.1}, id="momentum and decay"),
    pytest.param({"momentum": 0.9, "nesterov": True}, id="Nesterov"),
    pytest.param({"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}, id="all"),
]
SHAPES = [(3,), (4, 2), (3, 2, 5, 4)]
LRS = [0.1, 0.1, 0.05, 0.02, 0.02]  # a schedule: lr changes from step to step


def values(shape, seed, dtype=np.float64):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def gradient(k, step, dtype=np.float64):
    return values(SHAPES[k], 100 * step + k, dtype)


def trained(settings, dtype=np.float64):
    """The parameters after five steps, `gradient(k, step)` being the k-th one's gradient."""
    parameters = [
        Tensor(values(shape, k, dtype), requires_grad=True) for k, shape in enumerate(SHAPES)
    ]
    optimizer = SGD(parameters, lr=LRS[0], **settings)
    for step, lr in enumerate(LRS):
        optimizer.lr = lr
        optimizer.zero_grad()
        for k, p in enumerate(parameters):
            (p * Tensor(gradient(k, step, dtype))).sum().backward()
        optimizer.step()
    return [p.numpy() for p in parameters]


# ---------------------------------------------------------------------------
# Values
# ---------------------------------------------------------------------------
@pytest.mark.parametrize("settings", SETTINGS)
def test_follows_its_formulas(settings):
    decay, momentum = settings.get("weight_decay", 0.0), settings.get("momentum", 0.0)
    for k, found in enumerate(trained(settings)):
        w = values(SHAPES[k], k)
        v = np.zeros_like(w)
        for step, lr in enumerate(LRS):
            g = gradient(k, step) + decay * w
            v = momentum * v + g
            w = w - lr * (g + momentum * v if settings.get("nesterov") else v)
        np.testing.assert_allclose(found, w, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-12), (np.float32, 1e-5)])
@pytest.mark.parametrize("settings", SETTINGS)
def test_agrees_with_pytorch(settings, dtype, tolerance):
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    theirs = [
        torch.tensor(values(shape, k, dtype), requires_grad=True) for k, shape in enumerate(SHAPES)
    ]
    optimizer = torch.optim.SGD(theirs, lr=LRS[0], **settings)
    for step, lr in enumerate(LRS):
        optimizer.param_groups[0]["lr"] = lr
        for k, p in enumerate(theirs):
            p.grad = torch.tensor(gradient(k, step, dtype))
        optimizer.step()
    for p, found in zip(theirs, trained(settings, dtype)):
        assert found.dtype == dtype
        np.testing.assert_allclose(found, p.detach().numpy(), rtol=tolerance, atol=tolerance)


def test_descends():
    """Minimum of (w - 3)^2, found from far away."""
    w = Tensor(np.array([100.0]), requires_grad=True)
    optimizer = SGD([w], lr=0.1, momentum=0.5)
    for _ in range(100):
        optimizer.zero_grad()
        ((w - 3) * (w - 3)).sum().backward()
        optimizer.step()
    assert w.item() == pytest.approx(3, abs=1e-6)


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_gradient_is_not_changed(settings):
    w = Tensor(values((3,), 0), requires_grad=True)
    (w * Tensor(values((3,), 1))).sum().backward()
    SGD([w], **settings).step()
    np.testing.assert_array_equal(w.grad.numpy(), values((3,), 1))


def test_parameters_stay_channels_last():
    net = models.build("lenet")
    optimizer = SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        F.cross_entropy(net(Tensor(values((2, 1, 28, 28), 0, np.float32))), [1, 2]).backward()
        optimizer.step()
    for w in (net.conv1.weight, net.conv2.weight):
        assert w.data.transpose(0, 2, 3, 1).flags.c_contiguous


# ---------------------------------------------------------------------------
# Who is moved
# ---------------------------------------------------------------------------
@pytest.mark.parametrize("settings", SETTINGS)
def test_a_parameter_without_gradient_is_left_alone(settings):
    used, unused = (Tensor(values((3,), k), requires_grad=True) for k in range(2))
    optimizer = SGD([used, unused], lr=0.5, **settings)
    (used * used).sum().backward()
    optimizer.step()
    np.testing.assert_array_equal(unused.numpy(), values((3,), 1))
    assert not np.array_equal(used.numpy(), values((3,), 0))


def test_zero_grad_forgets():
    w = Tensor(values((3,), 0), requires_grad=True)
    (w * w).sum().backward()
    optimizer = SGD([w], lr=0.5, weight_decay=0.1)
    optimizer.zero_grad()
    assert w.grad is None
    optimizer.step()
    np.testing.assert_array_equal(w.numpy(), values((3,), 0))


def test_a_step_before_backward_is_noticed():
    w = Tensor(values((3,), 0), requires_grad=True)
    (w * w).sum().backward()
    loss = (w * w).sum()
    SGD([w], lr=0.1).step()
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


# ---------------------------------------------------------------------------
# Errors
# ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    "name, value, error, text",
    [
        ("lr", -0.1, ValueError, "lr expects a number of 0 or more and finite, but got -0.1"),
        ("lr", math.inf, ValueError, "lr expects .* but got inf"),
        ("lr", math.nan, ValueError, "lr expects .* but got nan"),
        ("lr", "fast", TypeError, "lr expects a number, but got 'fast'"),
        ("lr", True, TypeError, "lr expects a number, but got True"),
        ("momentum", 1.0, ValueError, "momentum expects a number of 0 or more and under 1"),
        ("momentum", -0.5, ValueError, "momentum expects .* but got -0.5"),
        ("weight_decay", -1, ValueError, "weight_decay expects .* but got -1"),
        ("weight_decay", None, TypeError, "weight_decay expects a number, but got None"),
        ("nesterov", True, ValueError, "nesterov=True needs a momentum over 0"),
    ],
)
def test_errors_in_settings(name, value, error, text):
    with pytest.raises(error, match=f"SGD: {text}"):
        SGD([Tensor([1.0], requires_grad=True)], **{name: value})


def test_errors_in_parameters():
    w = Tensor([1.0], requires_grad=True)
    with pytest.raises(ValueError, match="expects at least one parameter, but got none"):
        SGD([])
    with pytest.raises(ValueError, match="a parameter is in the list twice"):
        SGD([w, w])
    with pytest.raises(TypeError, match="expects tensors with requires_grad=True, but got Tensor"):
        SGD([w, Tensor([2.0])])
    with pytest.raises(TypeError, match=r"requires_grad=True, but got array"):
        SGD([np.ones(2)])
