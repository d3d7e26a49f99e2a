"""Facts of the losses: weights, ignored rows, reductions, shapes, and their functions' errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn import Tensor, nn
from minicnn import functional as F
from minicnn.checks import gradcheck, strategies

ROWS = Tensor(np.ones((2, 5), np.float32))
MAPS = Tensor(np.ones((2, 3, 6, 6), np.float32))
P = np.full((2, 5), 0.2, np.float32)

ERRORS = {
    "cross_entropy of a number": (
        lambda: F.cross_entropy(1.0, 0), ValueError,
        r"cross_entropy: input expects scores \(K,\), \(N, K\) or .*, none of size 0, but has"),
    "cross_entropy of nothing": (
        lambda: F.cross_entropy(ROWS[:0], np.zeros(0, int)), ValueError, r"but has \(0, 5\)"),
    "cross_entropy rows": (
        lambda: F.cross_entropy(ROWS, [1, 2, 3]), ValueError,
        r"cross_entropy: target expects one class per row of input, shape \(2,\), but has \(3,\)"),
    "cross_entropy pixels": (
        lambda: F.cross_entropy(MAPS, [1, 2]), ValueError, r"shape \(2, 6, 6\), but has \(2,\)"),
    "cross_entropy class": (
        lambda: F.cross_entropy(ROWS, [1, 5]), ValueError,
        r"cross_entropy: target expects classes 0 to 4 \(input.shape\[1\] - 1\), but holds 5"),
    "cross_entropy negative": (
        lambda: F.cross_entropy(ROWS, [-1, 2]), ValueError, r"classes 0 to 4 .* but holds -1"),
    "cross_entropy floats": (
        lambda: F.cross_entropy(ROWS, [1.0, 2.0]), TypeError,
        r"cross_entropy: target expects integer class numbers, but is float32"),
    "cross_entropy integers": (
        lambda: F.cross_entropy(ROWS.to(np.int64), [1, 2]), TypeError, r"cross_entropy: expects a"),
    "cross_entropy reduction": (
        lambda: F.cross_entropy(ROWS, [1, 2], reduction="avg"), ValueError,
        r"cross_entropy: reduction expects 'none', 'mean' or 'sum', but got 'avg'"),
    "cross_entropy smoothing": (
        lambda: F.cross_entropy(ROWS, [1, 2], label_smoothing=1.5), ValueError,
        r"cross_entropy: label_smoothing expects a number from 0 to 1, but got 1.5"),
    "cross_entropy smoothing kind": (
        lambda: F.cross_entropy(ROWS, [1, 2], label_smoothing=None), TypeError, r"but got None"),
    "cross_entropy ignore_index": (
        lambda: F.cross_entropy(ROWS, [1, 2], ignore_index=1.0), TypeError,
        r"cross_entropy: ignore_index expects an int, but got 1.0"),
    "cross_entropy ignored probabilities": (
        lambda: F.cross_entropy(ROWS, P, ignore_index=2), ValueError,
        r"ignore_index expects class numbers in target, but target holds probabilities"),
    "cross_entropy dtype of probabilities": (
        lambda: F.cross_entropy(ROWS, P.astype(float)), TypeError, r"but target is float64"),
    "cross_entropy weight": (
        lambda: F.cross_entropy(ROWS, [1, 2], [1.0, 2.0]), ValueError,
        r"cross_entropy: weight expects one number per class, shape \(5,\), but has \(2,\)"),
    "cross_entropy weight kind": (
        lambda: F.cross_entropy(ROWS, [1, 2], [True] * 5), TypeError, r"numbers, but is bool"),
    "cross_entropy learnt weight": (
        lambda: F.cross_entropy(ROWS, [1, 2], Tensor(np.ones(5), requires_grad=True)), ValueError,
        r"cross_entropy: weight is a constant of the loss; pass weight.detach\(\)"),
    "nll_loss probabilities": (
        lambda: F.nll_loss(ROWS, P), TypeError, r"nll_loss: target expects integer class numbers"),
    "nll_loss weight": (
        lambda: F.nll_loss(ROWS, [1, 2], [1.0]), ValueError, r"nll_loss: weight expects"),
    "mse_loss shapes": (
        lambda: F.mse_loss(ROWS, ROWS[0]), ValueError,
        r"mse_loss: input and target expect one shape, but have \(2, 5\) and \(5,\); reshape"),
    "mse_loss dtypes": (
        lambda: F.mse_loss(ROWS, P.astype(float)), TypeError, r"but target is float64"),
    "mse_loss of nothing": (
        lambda: F.mse_loss(ROWS[:0], ROWS[:0]), ValueError, r"the mean needs an element.*\(0, 5\)"),
    "mse_loss reduction": (
        lambda: F.mse_loss(ROWS, ROWS, reduction=None), ValueError, r"mse_loss: reduction expects"),
    "margin_loss pixels": (
        lambda: F.margin_loss(MAPS, [1, 2]), ValueError,
        r"margin_loss: input expects lengths \(N, K\), but has \(2, 3, 6, 6\)"),
    "margin_loss numbers": (
        lambda: F.margin_loss(ROWS, np.full((2, 5), 2)), ValueError,
        r"margin_loss: target \(N, K\) expects 0 and 1, but holds other numbers"),
    "margin_loss floats": (
        lambda: F.margin_loss(ROWS, P), TypeError, r"margin_loss: target expects integer class"),
    "margin_loss class": (
        lambda: F.margin_loss(ROWS, [-100, 1]), ValueError, r"classes 0 to 4 .* but holds -100"),
    "margin_loss margin": (
        lambda: F.margin_loss(ROWS, [0, 1], m_plus=math.inf), ValueError,
        r"margin_loss: m_plus expects a number that is finite, but got inf"),
}  # fmt: skip
LAYER_ERRORS = {
    "CrossEntropyLoss": (
        lambda: nn.CrossEntropyLoss(reduction="avg"), ValueError,
        r"CrossEntropyLoss: reduction expects 'none', 'mean' or 'sum', but got 'avg'"),
}  # fmt: skip


@pytest.mark.parametrize("name", [*ERRORS, *LAYER_ERRORS])
def test_errors_say_what_was_given_and_what_the_rule_is(name):
    call, error, text = (ERRORS | LAYER_ERRORS)[name]
    with pytest.raises(error, match=text):
        call()


def run(backend, function, x, *rest, **options):
    """(loss, dx) in float64; a loss of several numbers gets a gradient of ones."""
    leaf = Tensor(np.asarray(x, np.float64), requires_grad=True)
    with backend.running():
        y = function(leaf.to(backend.device), *rest, **options)
        y.backward(np.ones(y.shape))
    return y.numpy(), leaf.grad.numpy()


# ---------------------------------------------------------------------------
# Weights of the classes: an array among the settings, so the contract does not draw them
# ---------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
@settings(max_examples=30)
@given(data=st.data())
def test_weighted_losses_equal_the_loops_definition_and_pytorch(name, backend, loops, data):
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    case = data.draw(getattr(strategies, name)(weighted=True))
    x, t = case.arrays
    y, dx = run(backend, getattr(F, name), x, t, **case.settings)
    expected, expected_dx = run(loops, getattr(F, name), x, t, **case.settings)
    np.testing.assert_allclose(y, expected, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(dx, expected_dx, rtol=1e-10, atol=1e-10)
    options = {k: torch.tensor(v) if k == "weight" else v for k, v in case.settings.items()}
    theirs = torch.tensor(x.copy(), requires_grad=True)
    z = getattr(torch.nn.functional, name)(theirs, torch.tensor(t.copy()), **options)
    z.sum().backward()
    np.testing.assert_allclose(y, z.detach().numpy(), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(dx, theirs.grad.numpy(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
@settings(max_examples=15)
@given(data=st.data())
def test_gradients_of_weighted_losses_equal_differences(name, backend, data):
    case = data.draw(getattr(strategies, name)(weighted=True))
    with backend.running():
        report = gradcheck(
            lambda *tensors: case.run([t.to(backend.device) for t in tensors]),
            *case.tensors(), max_coordinates=30, directions=2,
        )  # fmt: skip
    assert report.checked and not report.skipped


# ---------------------------------------------------------------------------
# Cross-entropy
# ---------------------------------------------------------------------------
X = np.array([[2.0, 0.0, 1.0], [0.0, 3.0, 0.0]])
LOG_P = X - np.log(np.exp(X).sum(axis=1, keepdims=True))


def test_a_weighted_mean_is_divided_by_the_weights(backend):
    w = [1.0, 2.0, 4.0]
    y, _ = run(backend, F.cross_entropy, X, [2, 1], w)
    assert y == pytest.approx((-4 * LOG_P[0, 2] - 2 * LOG_P[1, 1]) / 6)


def test_label_smoothing_gives_every_class_a_share(backend):
    y, _ = run(backend, F.cross_entropy, X, [2, 1], label_smoothing=0.3, reduction="none")
    expected = -0.7 * LOG_P[[0, 1], [2, 1]] - 0.1 * LOG_P.sum(axis=1)
    np.testing.assert_allclose(y, expected)


@pytest.mark.parametrize("function", [F.cross_entropy, F.nll_loss])
def test_ignored_rows_count_nothing(function, backend):
    y, dx = run(backend, function, X, [-100, 1])
    alone, dx_alone = run(backend, function, X[1:], [1])
    np.testing.assert_allclose(y, alone)
    np.testing.assert_allclose(dx, [[0, 0, 0], dx_alone[0]])


@pytest.mark.parametrize("smoothing", [{}, {"label_smoothing": 0.1}])
def test_the_mean_over_ignored_rows_alone_is_nan_with_gradient_0(smoothing, backend):
    y, dx = run(backend, F.cross_entropy, X, [1, 1], ignore_index=1, **smoothing)
    assert np.isnan(y) and not dx.any()
    y, dx = run(backend, F.cross_entropy, X, [1, 1], ignore_index=1, reduction="sum", **smoothing)
    assert y == 0 and not dx.any()


def test_probabilities_of_one_class_are_the_class(backend):
    y, dx = run(backend, F.cross_entropy, X, np.eye(3)[[2, 1]])
    expected, expected_dx = run(backend, F.cross_entropy, X, [2, 1])
    np.testing.assert_allclose(y, expected)
    np.testing.assert_allclose(dx, expected_dx)


def test_zero_times_minus_infinity_counts_as_0(backend):
    x = [[0.0, -np.inf]]
    assert run(backend, F.cross_entropy, x, np.array([[1.0, 0.0]]))[0] == 0
    assert run(backend, F.cross_entropy, x, [0], [2.0, 1.0])[0] == 0
    assert run(backend, F.nll_loss, x, [1], [1.0, 0.0], reduction="sum")[0] == 0


def test_pixels_are_rows(backend):
    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((2, 3, 4, 5)), rng.integers(0, 3, (2, 4, 5))
    rows, classes = x.transpose(0, 2, 3, 1).reshape(-1, 3), t.reshape(-1)
    for reduction in ("mean", "none"):
        y, dx = run(backend, F.cross_entropy, x, t, reduction=reduction)
        expected, expected_dx = run(backend, F.cross_entropy, rows, classes, reduction=reduction)
        np.testing.assert_allclose(y, expected.reshape(y.shape))
        expected_dx = expected_dx.reshape(2, 4, 5, 3).transpose(0, 3, 1, 2)
        np.testing.assert_allclose(dx, expected_dx, atol=1e-15)
    assert y.shape == (2, 4, 5)


def test_one_row_without_a_batch_axis(backend):
    y, dx = run(backend, F.cross_entropy, X[0], 2)
    assert y.shape == () and y == pytest.approx(-LOG_P[0, 2]) and dx.shape == (3,)
    y, _ = run(backend, F.cross_entropy, X[0], np.array(2), reduction="none")
    assert y.shape == ()


@pytest.mark.parametrize("reduction", ["sum", "none"])
def test_no_rows_have_a_sum(reduction, backend):
    for function, target in [(F.cross_entropy, []), (F.nll_loss, []), (F.mse_loss, X[:0]),
                             (F.margin_loss, []), (F.cross_entropy, X[:0])]:  # fmt: skip
        target = np.array(target, None if len(np.shape(target)) > 1 else np.int64)
        y, dx = run(backend, function, X[:0], target, reduction=reduction)
        assert not y.any() and dx.shape == (0, 3)


def test_nll_loss_of_log_softmax_is_cross_entropy(backend):
    y, dx = run(backend, lambda x, t: F.nll_loss(F.log_softmax(x, 1), t), X, [0, 2])
    expected, expected_dx = run(backend, F.cross_entropy, X, [0, 2])
    np.testing.assert_allclose(y, expected)
    np.testing.assert_allclose(dx, expected_dx)


# ---------------------------------------------------------------------------
# Squared error, margin
# ---------------------------------------------------------------------------
def test_mse_loss_takes_the_mean_of_all_elements(backend):
    y, dx = run(backend, lambda x: F.mse_loss(x, Tensor(np.zeros((2, 3))).to(backend.device)), X)
    assert y == pytest.approx((X * X).sum() / 6)
    np.testing.assert_allclose(dx, X / 3)


def test_margin_loss_of_the_paper(backend):
    v = [[0.95, 0.05, 0.6], [0.5, 0.1, 0.2]]
    y, dx = run(backend, F.margin_loss, v, [0, 0], reduction="none")
    np.testing.assert_allclose(y, [0.5 * 0.5**2, 0.4**2 + 0.5 * 0.1**2])
    np.testing.assert_allclose(dx, [[0, 0, 0.5], [-0.8, 0, 0.1]], atol=1e-15)
    assert run(backend, F.margin_loss, v, [0, 0])[0] == pytest.approx(y.mean())


def test_margin_loss_with_several_classes_there(backend):
    v = [[0.8, 0.8, 0.8]]
    for there in ([[1, 0, 1]], [[True, False, True]]):
        y, _ = run(backend, F.margin_loss, v, np.array(there))
        assert y == pytest.approx(2 * 0.1**2 + 0.5 * 0.7**2)


# ---------------------------------------------------------------------------
# Layers
# ---------------------------------------------------------------------------
W = [1.0, 2.0, 3.0]
LAYERS = {
    "cross entropy": (
        nn.CrossEntropyLoss(W, label_smoothing=0.1), [0, 2], "label_smoothing=0.1",
        lambda x, t: F.cross_entropy(x, t, W, label_smoothing=0.1)),
    "nll": (
        nn.NLLLoss(ignore_index=2), [0, 2], "ignore_index=2",
        lambda x, t: F.nll_loss(x, t, ignore_index=2)),
    "mse": (
        nn.MSELoss(reduction="sum"), X + 1, "reduction='sum'",
        lambda x, t: F.mse_loss(x, t, reduction="sum")),
    "margin": (
        nn.MarginLoss(m_plus=2.0), [0, 2], "m_plus=2.0",
        lambda x, t: F.margin_loss(x, t, m_plus=2.0)),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_layers_call_their_function_and_show_their_settings(name):
    layer, target, text, function = LAYERS[name]
    assert layer(Tensor(X), target).item() == function(Tensor(X), target).item()
    assert text in repr(layer)


def test_numbers_in_a_list_keep_the_precision_of_the_input():
    y, w = Tensor(LOG_P), np.array([0.1, 0.7, 0.3])
    assert F.nll_loss(y, [0, 1], w.tolist()).item() == F.nll_loss(y, [0, 1], w).item()
    q = [[0.1, 0.2, 0.7], [0.3, 0.3, 0.4]]
    assert F.cross_entropy(y, q).item() == F.cross_entropy(y, np.array(q)).item()
