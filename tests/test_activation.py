"""Facts of the activations: known values, kinks, extremes, and the errors of their functions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minicnn import Tensor, nn
from minicnn import functional as F
from minicnn.ops.erf import erfc

X = Tensor(np.ones((2, 3, 4, 4), np.float32))
INTS = Tensor(np.ones((2, 3), np.int64))

ERRORS = {
    "relu": (lambda: F.relu(INTS), TypeError, r"relu: expects a float32 or float64 tensor"),
    "tanh": (lambda: F.tanh([1, 2]), TypeError, r"tanh: expects a float32 or float64 tensor"),
    "sigmoid": (lambda: F.sigmoid(INTS), TypeError, r"sigmoid: expects a float32 or float64"),
    "relu6": (lambda: F.relu6(INTS), TypeError, r"relu6: expects a float32 or float64"),
    "hardsigmoid": (lambda: F.hardsigmoid(INTS), TypeError, r"hardsigmoid: expects a float32"),
    "hardswish": (lambda: F.hardswish(INTS), TypeError, r"hardswish: expects a float32"),
    "scaled_tanh": (lambda: F.scaled_tanh(INTS), TypeError, r"scaled_tanh: expects a float32"),
    "silu": (lambda: F.silu(INTS), TypeError, r"silu: expects a float32 or float64 tensor"),
    "leaky_relu integers": (lambda: F.leaky_relu(INTS), TypeError, r"leaky_relu: expects a float"),
    "leaky_relu kind": (
        lambda: F.leaky_relu(X, "0.1"), TypeError,
        r"leaky_relu: negative_slope expects a number that is finite, but got '0.1'"),
    "leaky_relu nan": (
        lambda: F.leaky_relu(X, math.nan), ValueError, r"number that is finite, but got nan"),
    "prelu channels": (
        lambda: F.prelu(X, Tensor([0.1, 0.2])), ValueError,
        r"prelu: weight expects shape \(1,\) or \(3,\), .* but has \(2,\), with input \(2, 3,"),
    "prelu without channels": (
        lambda: F.prelu(Tensor([1.0, 2.0]), Tensor([0.1, 0.2])), ValueError,
        r"prelu: weight expects shape \(1,\), one slope for all"),
    "prelu dtype": (
        lambda: F.prelu(X, Tensor(np.ones(3))), TypeError, r"float32 but weight is float64"),
    "gelu approximate": (
        lambda: F.gelu(X, approximate="erf"), ValueError,
        r"gelu: approximate expects 'none' or 'tanh', but got 'erf'"),
    "gelu integers": (lambda: F.gelu(INTS), TypeError, r"gelu: expects a float32 or float64"),
    "softmax dim": (
        lambda: F.softmax(X, 4), ValueError,
        r"softmax: dim expects -4 to 3 for input of shape \(2, 3, 4, 4\), but got 4"),
    "softmax dim kind": (
        lambda: F.softmax(X, None), TypeError, r"softmax: dim expects an int, but got None"),
    "log_softmax dim": (
        lambda: F.log_softmax(X, -5), ValueError, r"log_softmax: dim expects -4 to 3 .* got -5"),
    "log_softmax integers": (
        lambda: F.log_softmax(INTS, 1), TypeError, r"log_softmax: expects a float32 or float64"),
}  # fmt: skip
LAYER_ERRORS = {
    "LeakyReLU": (
        lambda: nn.LeakyReLU(math.inf), ValueError, r"LeakyReLU: negative_slope .* but got inf"),
    "PReLU": (
        lambda: nn.PReLU(0), ValueError, r"PReLU: num_parameters expects 1 or more, but got 0"),
    "PReLU init": (
        lambda: nn.PReLU(1, "a"), TypeError, r"PReLU: init expects a number that is finite"),
    "GELU": (
        lambda: nn.GELU(True), ValueError, r"GELU: approximate expects 'none' or 'tanh'"),
    "Softmax": (
        lambda: nn.Softmax(1.0), TypeError, r"Softmax: dim expects an int, but got 1.0"),
}  # fmt: skip


@pytest.mark.parametrize("name", [*ERRORS, *LAYER_ERRORS])
def test_errors_say_what_was_given_and_what_the_rule_is(name):
    call, error, text = (ERRORS | LAYER_ERRORS)[name]
    with pytest.raises(error, match=text):
        call()


def run(backend, function, x, *rest, **settings):
    """(y, dx) for an output gradient of ones, in float64."""
    leaf = Tensor(np.asarray(x, np.float64), requires_grad=True)
    with backend.running():
        rest = [Tensor(np.asarray(a, np.float64)).to(backend.device) for a in rest]
        y = function(leaf.to(backend.device), *rest, **settings)
        y.backward(np.ones(y.shape))
    return y.numpy(), leaf.grad.numpy()


# ---------------------------------------------------------------------------
# Kinks, NaN, extremes
# ---------------------------------------------------------------------------
KINKS = {  # x: (y, slope)
    "leaky_relu": {-2: (-0.02, 0.01), 0: (0, 0.01), 3: (3, 1)},
    "relu6": {-1: (0, 0), 0: (0, 0), 2: (2, 1), 6: (6, 0), 7: (6, 0)},
    "hardsigmoid": {-4: (0, 0), -3: (0, 0), 0: (0.5, 1 / 6), 3: (1, 0), 4: (1, 0)},
    "hardswish": {-4: (0, 0), -3: (0, 0), 0: (0, 0.5), 3: (3, 1), 4: (4, 1)},
}


@pytest.mark.parametrize("name", KINKS)
def test_slopes_at_kinks_are_those_of_pytorch(name, backend):
    x = list(KINKS[name])
    y, dx = run(backend, getattr(F, name), x)
    np.testing.assert_allclose(y, [KINKS[name][k][0] for k in x], atol=1e-15)
    np.testing.assert_allclose(dx, [KINKS[name][k][1] for k in x], atol=1e-15)
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    t = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    getattr(torch.nn.functional, name)(t).sum().backward()
    np.testing.assert_allclose(dx, t.grad.numpy(), rtol=1e-7)  # hardsigmoid's 1/6 there is float32


ELEMENTWISE = {
    "leaky_relu": F.leaky_relu,
    "prelu": lambda x: F.prelu(x, Tensor(np.full(1, 0.25, x.dtype)).to(x.device)),
    "relu": F.relu,
    "relu6": F.relu6,
    "hardsigmoid": F.hardsigmoid,
    "hardswish": F.hardswish,
    "tanh": F.tanh,
    "scaled_tanh": F.scaled_tanh,
    "sigmoid": F.sigmoid,
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
}
LEFT = {"sigmoid": 0, "relu": 0, "relu6": 0, "hardsigmoid": 0, "hardswish": 0, "silu": 0,
        "gelu": 0, "gelu_tanh": 0, "tanh": -1, "scaled_tanh": -1.7159}  # fmt: skip
RIGHT = {"sigmoid": 1, "relu6": 6, "hardsigmoid": 1, "tanh": 1, "scaled_tanh": 1.7159}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_hands_on_nan(name, backend):
    y, _ = run(backend, ELEMENTWISE[name], [1.0, math.nan])
    assert np.isfinite(y[0]) and np.isnan(y[1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_huge_inputs_neither_overflow_nor_warn(name, dtype, backend):
    huge = float(np.finfo(dtype).max) / 2  # (warnings are errors here)
    x = Tensor(np.array([-huge, -100, 100, huge], dtype), requires_grad=True)
    with backend.running():
        y = ELEMENTWISE[name](x.to(backend.device))
        y.backward(np.ones(4, dtype))
    assert np.isfinite(y.numpy()).all() and np.isfinite(x.grad.numpy()).all()
    if name in LEFT:
        np.testing.assert_allclose(y.numpy()[:2], LEFT[name], atol=1e-15, rtol=1e-6)
        np.testing.assert_allclose(x.grad.numpy()[:2], 0, atol=1e-6)
    np.testing.assert_allclose(y.numpy()[2:], RIGHT.get(name, [100, huge]), rtol=1e-6)


def test_sigmoid_and_silu_are_exact_far_to_the_left(backend):
    x = np.array([-20, -50], np.float32)
    with backend.running():
        y = F.sigmoid(Tensor(x).to(backend.device)).numpy()
        z = F.silu(Tensor(x).to(backend.device)).numpy()
    np.testing.assert_allclose(y, np.exp(x), rtol=1e-6)
    np.testing.assert_allclose(z, x * np.exp(x), rtol=1e-6)


# ---------------------------------------------------------------------------
# Single functions
# ---------------------------------------------------------------------------
def test_erfc_is_exact_to_the_last_digits():
    x = np.linspace(-6, 6, 4001)
    expected = np.array([math.erfc(v) for v in x])
    assert np.abs(erfc(x) - expected).max() < 1e-15
    assert np.abs(erfc(x) / expected - 1).max() < 1e-14
    x = x[np.abs(x) > 0.75]
    assert np.abs((1 - erfc(x)) / [math.erf(v) for v in x] - 1).max() < 1e-15
    assert erfc(np.array(np.inf)) == 0 and erfc(np.array(-np.inf)) == 2
    assert np.isnan(erfc(np.array(np.nan)))
    narrow = erfc(x.astype(np.float32))
    assert narrow.dtype == np.float32 and np.abs(narrow - erfc(x)).max() < 1e-6


def test_gelu_keeps_its_digits_far_to_the_left(backend):
    y, _ = run(backend, F.gelu, [-7.0, 1.0])
    expected = [x * math.erfc(-x / math.sqrt(2)) / 2 for x in (-7.0, 1.0)]
    rtol = 1e-3 if backend.name == "loops" else 1e-13  # the definition, 1 + erf, cancels there
    np.testing.assert_allclose(y, expected, rtol=rtol)


def test_gelu_by_tanh_is_close_to_gelu(backend):
    x = np.linspace(-5, 5, 101)
    exact, close = run(backend, F.gelu, x)[0], run(backend, F.gelu, x, approximate="tanh")[0]
    assert 1e-5 < np.abs(exact - close).max() < 5e-4


def test_scaled_tanh_keeps_1_and_minus_1(backend):
    y, dx = run(backend, F.scaled_tanh, [-1.0, 0.0, 1.0])
    np.testing.assert_allclose(y, [-1, 0, 1], atol=1e-4)
    assert dx[1] == pytest.approx(1.7159 * 2 / 3)


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4), (2, 3, 2, 2)])
def test_prelu_has_a_slope_for_each_channel(shape, backend):
    y, dx = run(backend, F.prelu, -np.ones(shape), [0.1, 0.2, 0.3])
    expected = np.array([0.1, 0.2, 0.3]).reshape(3, *[1] * (len(shape) - 2))
    np.testing.assert_allclose(y, np.broadcast_to(-expected, shape))
    np.testing.assert_allclose(dx, np.broadcast_to(expected, shape))


def test_prelu_with_one_slope_collects_the_gradient_of_all_channels(backend):
    x, a = Tensor(-np.ones((2, 3, 2, 2))), Tensor(np.array([0.5]), requires_grad=True)
    with backend.running():
        F.prelu(x.to(backend.device), a.to(backend.device)).sum().backward()
    assert a.grad.numpy().tolist() == [-24]


@pytest.mark.parametrize("function", [F.softmax, F.log_softmax])
def test_softmax_does_not_overflow_and_ignores_a_shift(function, backend):
    x = np.array([[1000.0, 0.0, -1000.0], [3.0, 3.0, 3.0]])
    y, _ = run(backend, function, x, dim=1)
    p = np.exp(y) if function is F.log_softmax else y
    np.testing.assert_allclose(p, [[1, 0, 0], [1 / 3] * 3], atol=1e-300)
    np.testing.assert_allclose(run(backend, function, x + 1e5, dim=1)[0], y, atol=1e-9)


def test_log_softmax_is_exact_where_softmax_is_0(backend):
    y, _ = run(backend, F.log_softmax, [0.0, -2000.0], dim=0)
    assert y.tolist() == [0, -2000]


def test_softmax_knows_an_impossible_class(backend):
    y, dx = run(backend, F.softmax, [0.0, -math.inf, 0.0], dim=-1)
    assert y.tolist() == [0.5, 0, 0.5] and dx.tolist() == [0, 0, 0]


def test_softmax_of_a_number_and_of_nothing(backend):
    y, dx = run(backend, F.softmax, 3.0, dim=-1)
    assert y.shape == () and y == 1 and dx == 0
    y, dx = run(backend, F.softmax, np.ones((3, 0)), dim=1)
    assert y.shape == dx.shape == (3, 0)


# ---------------------------------------------------------------------------
# Layers
# ---------------------------------------------------------------------------
LAYERS = {
    "LeakyReLU(negative_slope=0.2)": (nn.LeakyReLU(0.2), lambda x: F.leaky_relu(x, 0.2)),
    "PReLU(num_parameters=3)": (nn.PReLU(3), lambda x: F.leaky_relu(x, 0.25)),
    "ReLU()": (nn.ReLU(), F.relu),
    "ReLU6()": (nn.ReLU6(), F.relu6),
    "Hardsigmoid()": (nn.Hardsigmoid(), F.hardsigmoid),
    "Hardswish()": (nn.Hardswish(), F.hardswish),
    "Tanh()": (nn.Tanh(), F.tanh),
    "ScaledTanh()": (nn.ScaledTanh(), F.scaled_tanh),
    "Sigmoid()": (nn.Sigmoid(), F.sigmoid),
    "SiLU()": (nn.SiLU(), F.silu),
    "GELU(approximate='tanh')": (nn.GELU("tanh"), lambda x: F.gelu(x, "tanh")),
    "Softmax(dim=1)": (nn.Softmax(1), lambda x: F.softmax(x, 1)),
    "LogSoftmax(dim=-1)": (nn.LogSoftmax(-1), lambda x: F.log_softmax(x, -1)),
}


@pytest.mark.parametrize("text", LAYERS)
def test_layers_call_their_function_and_show_their_settings(text):
    layer, function = LAYERS[text]
    x = Tensor(np.linspace(-7, 7, 24, dtype=np.float32).reshape(2, 3, 4))
    assert repr(layer) == text
    np.testing.assert_array_equal(layer(x).numpy(), function(x).numpy())


def test_prelu_learns_its_slopes():
    layer = nn.PReLU(2, init=0.1)
    assert layer.num_parameters == 2 and list(layer.state_dict()) == ["weight"]
    layer(Tensor(np.array([[-1.0, 2.0]], np.float32))).sum().backward()
    assert layer.weight.grad.numpy().tolist() == [-1, 0]
