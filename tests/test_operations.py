"""One contract that every operation passes, on every backend.

A case (see `minicnn.checks.strategies`) is run by the backend and by the loops definition, in
float64 and float32, forward and backward; PyTorch is asked where it is installed.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pytorch import in_pytorch, output_gradient

import minicnn
from minicnn import Tensor
from minicnn.checks import gradcheck, strategies
from minicnn.checks.strategies import Case
from minicnn.choices import Choices
from minicnn.layout import nhwc

NAMES = sorted(strategies.FUNCTIONS)
NOT_IN_PYTORCH = (  # functions of minicnn alone; hardsigmoid's slope there is a float32 1/6
    "cat", "col2im", "dropout", "dropout2d", "hardsigmoid", "im2col", "margin_loss",
    "partial_conv2d", "scaled_tanh",
)
NEED_A_ROW = (  # refuse an empty batch
    "col2im", "cross_entropy", "margin_loss", "mse_loss", "nll_loss",
)
KINKED = (
    "adaptive_max_pool2d", "fused_batch_norm", "fused_conv2d", "fused_linear", "hardsigmoid",
    "hardswish", "leaky_relu", "max_pool2d", "prelu", "relu", "relu6",
)
TOLERANCE = {np.float64: 1e-10, np.float32: 1e-5}


def cases(name, **options):
    return getattr(strategies, name)(**options)


def forward_backward(backend, case, requires_grad=None):
    """(output, gradients, tensors) of a case run by `backend`, with a fixed output gradient."""
    inputs = case.tensors()
    for k, wanted in (requires_grad or {}).items():
        inputs[k].requires_grad = wanted
    with backend.running():
        moved = [None if t is None else t.to(backend.device) for t in inputs]
        y = case.run(moved)
        if y.requires_grad:
            dy = output_gradient(y.shape).astype(y.dtype)
            y.backward(Tensor(dy).to(backend.device))
    return y, [None if t is None or t.grad is None else t.grad.numpy() for t in inputs], inputs


def on_backend(backend, case):
    """The case as a function of those of its tensors that there are."""

    def function(*tensors):
        moved = iter([t.to(backend.device) for t in tensors])
        return case.run([None if a is None else next(moved) for a in case.arrays])

    return function


def assert_close(got, expected, tolerance, what):
    """Equal shapes, and equal values but for `tolerance` times the largest of them."""
    assert got.shape == expected.shape, what
    if expected.size:
        scale = max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * scale, err_msg=what)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=30)
@given(data=st.data())
def test_equals_the_loops_definition(name, dtype, backend, loops, data):
    case = data.draw(cases(name)).astype(dtype)
    y, grads, _ = forward_backward(backend, case)
    expected_y, expected_grads, _ = forward_backward(loops, case)
    assert y.dtype == dtype
    assert_close(y.numpy(), expected_y.numpy(), TOLERANCE[dtype], "output")
    for k, (got, expected) in enumerate(zip(grads, expected_grads, strict=True)):
        assert (got is None) == (expected is None)
        if got is not None:
            assert got.dtype == dtype
            assert_close(got, expected, TOLERANCE[dtype], f"gradient of input {k}")


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15)
@given(data=st.data())
def test_gradients_equal_differences(name, backend, data):
    case = data.draw(cases(name, **({"distinct": True} if name in KINKED else {})))
    inputs = [t for t in case.tensors() if t is not None]
    with backend.running():
        report = gradcheck(on_backend(backend, case), *inputs, max_coordinates=30, directions=2)
    assert report.checked and not report.skipped


@pytest.mark.parametrize("name", KINKED)
@settings(max_examples=15)
@given(data=st.data())
def test_replayed_choices_leave_no_kink(name, backend, data):
    """Ties and zeros among the values, and all the same every slope agrees."""
    case = data.draw(cases(name))
    inputs, function = [t for t in case.tensors() if t is not None], on_backend(backend, case)
    assume(all(t.size for t in inputs))
    with backend.running():
        plain = function(*inputs)
        report = gradcheck(function, *inputs, max_coordinates=30, directions=2, replay=True)
        choices = Choices()
        with choices.record():
            function(*inputs)
        with choices.replay():
            again = function(*inputs)
    assert report.checked and not report.skipped
    assert_close(again.numpy(), plain.numpy(), 1e-12, "replayed output")


@pytest.mark.parametrize("name", [name for name in NAMES if name not in NOT_IN_PYTORCH])
@settings(max_examples=30)
@given(data=st.data())
def test_equals_pytorch(name, backend, data):
    pytest.importorskip("torch", reason="needs PyTorch")
    case = data.draw(cases(name))
    y, grads, _ = forward_backward(backend, case)
    output, gradients = in_pytorch(case)
    assert_close(y.numpy(), output, 1e-10, "output")
    for got, expected in zip(grads, gradients, strict=True):
        assert (got is None) == (expected is None)
        if got is not None:
            assert_close(got, expected, 1e-10, "gradient")


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15)
@given(data=st.data())
def test_leaves_its_inputs_alone_and_keeps_memory_channels_last(name, backend, data):
    case = data.draw(cases(name))
    before = [None if a is None else a.copy() for a in case.arrays]
    y, grads, _ = forward_backward(backend, case)
    again, grads_again, _ = forward_backward(backend, case)
    for array, copy in zip(case.arrays, before, strict=True):
        assert array is None or np.array_equal(array, copy)
    np.testing.assert_array_equal(y.numpy(), again.numpy())  # deterministic, to the bit
    for g, h in zip(grads, grads_again, strict=True):
        assert g is None or np.array_equal(g, h)
    for array in [y._data, *grads]:
        if array is not None and array.ndim == 4:
            assert nhwc(array).flags.c_contiguous
            assert np.shares_memory(nhwc(array), array) or array.size == 0


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15)
@given(data=st.data())
def test_gives_gradients_only_where_they_are_wanted(name, backend, data):
    case = data.draw(cases(name))
    floats = [k for k, a in enumerate(case.arrays) if a is not None and a.dtype.kind == "f"]
    _, full, _ = forward_backward(backend, case)
    chosen = data.draw(st.sampled_from(floats))
    y, grads, tensors = forward_backward(backend, case, {k: k == chosen for k in floats})
    assert y.requires_grad
    for k in floats:
        if k == chosen:
            np.testing.assert_array_equal(grads[k], full[k])
        else:
            assert tensors[k].grad is None
    y, grads, _ = forward_backward(backend, case, dict.fromkeys(floats, False))
    assert not y.requires_grad and y.is_leaf


@pytest.mark.parametrize("name", [name for name in NAMES if name not in NEED_A_ROW])
@settings(max_examples=10)
@given(data=st.data())
def test_takes_an_empty_batch(name, backend, data):
    case = data.draw(cases(name))
    first, *rest = case.arrays
    assume(first.ndim > (case.name == "linear"))  # of one row linear sees features only
    if name in ("cat", "max_unpool2d"):  # their other arrays have a batch axis, too
        rest = [a[:0] for a in rest]
    if name.startswith("fused") and rest[-1] is not None:
        rest[-1] = rest[-1][:0]
    case = Case(case.name, (first[:0], *rest), case.settings)
    y, grads, tensors = forward_backward(backend, case)
    assert y.shape[0] == 0
    for g, t in zip(grads, tensors, strict=True):
        if g is not None:
            assert g.shape == t.shape and not g.any()


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=10)
@given(data=st.data())
def test_used_twice_gives_twice_the_gradient_and_refuses_a_second_walk(name, backend, data):
    case = data.draw(cases(name))
    _, once, inputs = forward_backward(backend, case)
    for t in inputs:
        if t is not None:
            t.grad = None
    with backend.running():
        moved = [None if t is None else t.to(backend.device) for t in inputs]
        y = case.run(moved) + case.run(moved)
        dy = Tensor(output_gradient(y.shape).astype(y.dtype)).to(backend.device)
        y.backward(dy)
        with pytest.raises(RuntimeError, match="already walked this tape"):
            y.backward(dy)
    for expected, t in zip(once, inputs, strict=True):
        if expected is not None:
            np.testing.assert_allclose(t.grad.numpy(), 2 * expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=10)
@given(data=st.data())
def test_an_input_changed_in_place_is_an_error_or_does_no_harm(name, backend, data):
    case = data.draw(cases(name))
    _, expected, _ = forward_backward(backend, case)
    chosen = data.draw(st.sampled_from([k for k, g in enumerate(expected) if g is not None]))
    copies = tuple(None if a is None else a.copy() for a in case.arrays)
    fresh = Case(case.name, copies, case.settings).tensors()
    inputs = [None if t is None else t.detach().to(backend.device) for t in fresh]
    for t, g in zip(inputs, expected, strict=True):
        if g is not None:
            t.requires_grad = True
    with backend.running():
        y = case.run(inputs)
        inputs[chosen].assign_(np.full(inputs[chosen].shape, 7.0))
        try:
            y.backward(Tensor(output_gradient(y.shape).astype(y.dtype)).to(backend.device))
        except RuntimeError as error:
            assert "was changed in place" in str(error)
            assert all(t is None or t.grad is None for t in inputs)
            return
    for t, g in zip(inputs, expected, strict=True):
        if g is not None:  # the copies lie in another memory order, so sums may round differently
            assert_close(t.grad.numpy(), g, 1e-12, "gradient")


def test_a_tensor_used_twice_gets_both_gradients(backend):
    x = Tensor(np.arange(16.0).reshape(1, 1, 4, 4) - 7.5, requires_grad=True)
    with backend.running():
        moved = x.to(backend.device)
        a, b = minicnn.functional.relu(moved), minicnn.functional.avg_pool2d(moved, 2)
        (a.sum() + b.sum()).backward()
    np.testing.assert_allclose(x.grad.numpy(), (x.numpy() > 0) + 0.25)


# ---------------------------------------------------------------------------
# Facts of single operations
# ---------------------------------------------------------------------------
def run(backend, function, *arrays, grad=None, **settings):
    """(output, gradient of the first array) of one call."""
    leaf = Tensor(np.asarray(arrays[0], np.float64), requires_grad=True)
    with backend.running():
        rest = [Tensor(np.asarray(a, np.float64)).to(backend.device) for a in arrays[1:]]
        y = getattr(minicnn.functional, function)(leaf.to(backend.device), *rest, **settings)
        y.backward(np.ones(y.shape) if grad is None else grad)
    return y.numpy(), leaf.grad.numpy()


def test_max_pool_of_negative_numbers_never_picks_the_padding(backend):
    y, dx = run(backend, "max_pool2d", -np.ones((1, 1, 3, 3)), kernel_size=3, stride=1, padding=1)
    np.testing.assert_array_equal(y, -np.ones((1, 1, 3, 3)))
    assert dx.sum() == 9


def test_max_pool_of_minus_infinity_gives_its_gradient_to_a_pixel(backend):
    y, dx = run(backend, "max_pool2d", np.full((1, 1, 4, 4), -np.inf), kernel_size=3, padding=1)
    assert np.isneginf(y).all()
    assert dx.sum() == 4 and dx[0, 0, 0, 0] == 1  # the first cell inside the image


def test_max_pool_hands_on_nan(backend):
    x = np.array([[1.0, np.nan], [3.0, 2.0]]).reshape(1, 1, 2, 2)
    y, dx = run(backend, "max_pool2d", x, kernel_size=2)
    assert np.isnan(y).all()
    np.testing.assert_array_equal(dx.reshape(2, 2), [[0, 1], [0, 0]])


def test_max_pool_gives_ties_to_the_first_maximum_in_row_major_order(backend):
    _, dx = run(backend, "max_pool2d", [[[[5.0, 7.0], [7.0, 7.0]]]], kernel_size=2)
    np.testing.assert_array_equal(dx.reshape(2, 2), [[0, 1], [0, 0]])


def test_overlapping_windows_add_their_gradients(backend):
    x = np.zeros((1, 1, 3, 3))
    x[0, 0, 1, 1] = 1
    _, dx = run(backend, "max_pool2d", x, kernel_size=2, stride=1)
    assert dx[0, 0, 1, 1] == 4
    _, dx = run(backend, "avg_pool2d", x, kernel_size=2, stride=1)
    np.testing.assert_allclose(dx[0, 0], [[0.25, 0.5, 0.25], [0.5, 1, 0.5], [0.25, 0.5, 0.25]])


def test_pooling_of_the_course(backend):
    x = [[[[1, 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 2, 3, 4]]]]
    np.testing.assert_array_equal(run(backend, "max_pool2d", x, kernel_size=2)[0],
                                  [[[[6, 8], [3, 4]]]])  # fmt: skip
    np.testing.assert_allclose(run(backend, "avg_pool2d", x, kernel_size=2)[0],
                               [[[[3.25, 5.25], [2, 2]]]])  # fmt: skip


def test_the_stem_of_resnet_pools_32_to_16(backend):
    y, _ = run(backend, "max_pool2d", np.zeros((1, 1, 32, 32)), kernel_size=3, stride=2, padding=1)
    assert y.shape == (1, 1, 16, 16)


def test_vertical_edge_of_the_course(backend):
    x = np.zeros((1, 1, 6, 6))
    x[..., :3] = 10
    edge = np.array([[1, 0, -1]] * 3).reshape(1, 1, 3, 3)
    y, _ = run(backend, "conv2d", x, edge)
    np.testing.assert_allclose(y[0, 0], [[0, 30, 30, 0]] * 4)
    y, _ = run(backend, "conv2d", x.swapaxes(2, 3), edge.swapaxes(2, 3))
    np.testing.assert_allclose(y[0, 0], np.array([[0, 30, 30, 0]] * 4).T)


def test_relu_has_slope_0_at_0_and_hands_on_nan(backend):
    y, dx = run(backend, "relu", [-1.0, 0.0, 2.0, np.nan])
    np.testing.assert_array_equal(y, [0, 0, 2, np.nan])
    np.testing.assert_array_equal(dx[:3], [0, 0, 1])


def test_sigmoid_and_cross_entropy_do_not_overflow(backend):
    y, _ = run(backend, "sigmoid", [-1000.0, 1000.0])
    np.testing.assert_allclose(y, [0, 1], atol=1e-300)
    x = Tensor(np.array([[1000.0, 0.0, -1000.0]]), requires_grad=True)
    with backend.running():
        loss = minicnn.functional.cross_entropy(x.to(backend.device), [2])
        loss.backward()
    assert loss.item() == 2000
    np.testing.assert_allclose(x.grad.numpy(), [[1, 0, -1]])


def test_cross_entropy_knows_an_impossible_class(backend):
    x = Tensor(np.array([[0.0, -np.inf]]), requires_grad=True)
    with backend.running():
        loss = minicnn.functional.cross_entropy(x.to(backend.device), [0])
        loss.backward()
    assert loss.item() == 0
    np.testing.assert_array_equal(x.grad.numpy(), [[0, 0]])
