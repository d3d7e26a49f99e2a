"""Pooling and unpooling: facts, edge cases and errors. The contract is in test_operations.py."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minicnn
from minicnn import Tensor, nn
from minicnn import functional as F
from minicnn.checks import strategies
from minicnn.layout import nchw, nhwc
from minicnn.ops.pooling_windows import read_at

INF, NAN = np.inf, np.nan


def image(values, dtype=np.float64):
    """A batch of one image with one channel, that wants a gradient."""
    return Tensor(np.array(values, dtype)[None, None], requires_grad=True)


def run(backend, function, x, *rest, grad=None, **settings):
    """(output, gradient of x) of a call on one image, both (H, W)."""
    x = image(x)
    with backend.running():
        y = function(x.to(backend.device), *rest, **settings)
        y.backward(np.ones(y.shape) if grad is None else np.array(grad)[None, None])
    return y.numpy()[0, 0], x.grad.numpy()[0, 0]


# ---------------------------------------------------------------------------
# Sizes
# ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("size", "expected", "arguments"),
    [
        pytest.param(32, 16, dict(kernel_size=3, stride=2, padding=1), id="stem of ResNet"),
        pytest.param(112, 56, dict(kernel_size=3, stride=2, padding=1), id="stem of ResNet-50"),
        pytest.param(112, 56, dict(kernel_size=3, stride=2, ceil_mode=True), id="GoogLeNet 1"),
        pytest.param(56, 28, dict(kernel_size=3, stride=2, ceil_mode=True), id="GoogLeNet 2"),
        pytest.param(28, 14, dict(kernel_size=3, stride=2, ceil_mode=True), id="GoogLeNet 3"),
        pytest.param(14, 7, dict(kernel_size=2, stride=2, ceil_mode=True), id="GoogLeNet 4"),
        pytest.param(28, 28, dict(kernel_size=3, stride=1, padding=1, ceil_mode=True),
                     id="Inception module"),
        pytest.param(109, 54, dict(kernel_size=3, stride=2, ceil_mode=True), id="SqueezeNet 1.0"),
        pytest.param(111, 55, dict(kernel_size=3, stride=2, ceil_mode=True), id="SqueezeNet 1.1"),
        pytest.param(54, 27, dict(kernel_size=3, stride=2, ceil_mode=True), id="SqueezeNet 2"),
        pytest.param(27, 13, dict(kernel_size=3, stride=2, ceil_mode=True), id="SqueezeNet 3"),
        pytest.param(55, 27, dict(kernel_size=3, stride=2), id="AlexNet, overlapping"),
        pytest.param(224, 112, dict(kernel_size=2), id="VGG-16"),
        pytest.param(7, 3, dict(kernel_size=2), id="what is left over is not looked at"),
        pytest.param(7, 4, dict(kernel_size=2, ceil_mode=True), id="ceil"),
        pytest.param(2, 1, dict(kernel_size=3, stride=2, ceil_mode=True), id="kernel hangs over"),
        # Rounding up alone would say 2, but the second window would begin in the padding.
        pytest.param(1, 1, dict(kernel_size=2, stride=2, padding=1, ceil_mode=True), id="no start"),
        pytest.param(4, 2, dict(kernel_size=2, stride=3, padding=1, ceil_mode=True), id="starts"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("function", [F.max_pool2d, F.avg_pool2d])
def test_sizes(function, size, expected, arguments):
    x = np.zeros((1, 1, size, 9), np.float32)
    y = function(x, **arguments)
    assert y.shape[2] == expected
    swapped = function(x.swapaxes(2, 3), **arguments)
    assert swapped.shape == (1, 1, y.shape[3], expected)
    assert np.isfinite(y.numpy()).all()


def test_ceil_mode_changes_resnets_stem_of_odd_size_only():
    for size in range(4, 12):
        sizes = [
            F.max_pool2d(np.zeros((1, 1, size, size), np.float32), 3, 2, 1, ceil_mode=c).shape[2]
            for c in (False, True)
        ]
        assert sizes == [(size - 1) // 2 + 1, -(-(size - 1) // 2) + 1]


def test_dilation_spreads_a_window(backend):
    x = np.arange(25.0).reshape(5, 5)
    y, dx = run(backend, F.max_pool2d, x, 2, stride=1, dilation=3)
    np.testing.assert_array_equal(y, [[18, 19], [23, 24]])
    np.testing.assert_array_equal(np.argwhere(dx), [[3, 3], [3, 4], [4, 3], [4, 4]])
    y, _ = run(backend, F.max_pool2d, -x, 2, stride=1, dilation=(4, 1))
    np.testing.assert_array_equal(y, [[0, -1, -2, -3]])


def test_windows_need_not_be_square(backend):
    x = np.arange(12.0).reshape(3, 4)
    np.testing.assert_array_equal(run(backend, F.max_pool2d, x, (3, 2))[0], [[9, 11]])
    np.testing.assert_array_equal(run(backend, F.avg_pool2d, x, (1, 4))[0], [[1.5], [5.5], [9.5]])
    np.testing.assert_array_equal(run(backend, F.avg_pool2d, x, (3, 1))[0], [[4, 5, 6, 7]])


# ---------------------------------------------------------------------------
# Who wins
# ---------------------------------------------------------------------------
def test_nothing_beyond_the_image_wins_in_ceil_mode(backend):
    x = -np.arange(1.0, 10).reshape(3, 3)
    y, dx = run(backend, F.max_pool2d, x, 2, ceil_mode=True)
    np.testing.assert_array_equal(y, [[-1, -3], [-7, -9]])
    np.testing.assert_array_equal(dx, [[1, 0, 1], [0, 0, 0], [1, 0, 1]])


@pytest.mark.parametrize(("dilation", "first"), [(1, (0, 0)), (2, (1, 1)), (3, (2, 2))])
def test_minus_infinity_everywhere_goes_to_the_first_cell_inside(backend, dilation, first):
    arguments = dict(kernel_size=3, stride=9, padding=1, dilation=dilation)
    y, dx = run(backend, F.max_pool2d, np.full((6, 6), -INF), **arguments)
    assert y.tolist() == [[-INF]]
    assert np.argwhere(dx).tolist() == [list(first)]


@pytest.mark.parametrize(
    ("x", "winner"),
    [
        ([[1, 3], [3, 3]], (0, 1)), ([[-0.0, 0.0], [0.0, 0.0]], (0, 0)),
        ([[1, INF], [NAN, 2]], (1, 0)), ([[NAN, 9], [9, NAN]], (0, 0)),
        ([[-INF, -INF], [-INF, -INF]], (0, 0)), ([[-INF, -INF], [-INF, -1e300]], (1, 1)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("function", [F.max_pool2d, F.adaptive_max_pool2d])
def test_the_winner_gets_the_whole_gradient(backend, function, x, winner):
    y, dx = run(backend, function, x, 2 if function is F.max_pool2d else 1, grad=[[5.0]])
    np.testing.assert_array_equal(y[0, 0], np.array(x)[winner])
    assert dx[winner] == 5 and np.count_nonzero(dx) == 1


def test_an_infinite_gradient_reaches_its_pixel_alone(backend):
    _, dx = run(backend, F.max_pool2d, [[1.0, 2.0], [3.0, 4.0]], 2, grad=[[INF]])
    np.testing.assert_array_equal(dx, [[0, 0], [0, INF]])


# ---------------------------------------------------------------------------
# Averages
# ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arguments", "divisors"),
    [
        (dict(kernel_size=2, padding=1), [[4, 4], [4, 4]]),
        (dict(kernel_size=2, padding=1, count_include_pad=False), [[1, 2], [2, 4]]),
        (dict(kernel_size=2, ceil_mode=True), [[4, 2], [2, 1]]),  # beyond the end never counts
        (dict(kernel_size=(2, 3), stride=2, padding=1, ceil_mode=True), [[6, 6], [6, 6]]),
        (dict(kernel_size=3, stride=3, padding=1, ceil_mode=True), [[9, 6], [6, 4]]),
        (dict(kernel_size=2, divisor_override=-7), [[-7]]),
    ],
)  # fmt: skip
def test_what_an_average_divides_by(backend, arguments, divisors):
    y, dx = run(backend, F.avg_pool2d, np.ones((3, 3)), **arguments)
    sums, _ = run(backend, F.avg_pool2d, np.ones((3, 3)), **arguments | {"divisor_override": 1})
    np.testing.assert_allclose(y, sums / np.array(divisors), rtol=1e-12)
    np.testing.assert_allclose(dx.sum(), y.sum(), rtol=1e-12)  # x is all ones, and y linear in it


# ---------------------------------------------------------------------------
# Adaptive and global
# ---------------------------------------------------------------------------
def test_global_pooling(backend):
    x = [[1.0, 2.0, 3.0], [4.0, 5.0, 9.0]]
    y, dx = run(backend, F.adaptive_avg_pool2d, x, 1)
    assert y.tolist() == [[4]]
    np.testing.assert_allclose(dx, np.full((2, 3), 1 / 6))
    y, dx = run(backend, F.adaptive_max_pool2d, x, 1)
    assert y.tolist() == [[9]] and dx.tolist() == [[0, 0, 0], [0, 0, 1]]


def test_adaptive_windows_share_a_row_where_the_sizes_do_not_divide(backend):
    x = np.arange(5.0)[:, None]  # windows of rows 0-1, 1-3, 3-4
    y, dx = run(backend, F.adaptive_avg_pool2d, x, (3, 1))
    np.testing.assert_allclose(y[:, 0], [0.5, 2, 3.5])
    np.testing.assert_allclose(dx[:, 0], [1 / 2, 1 / 2 + 1 / 3, 1 / 3, 1 / 3 + 1 / 2, 1 / 2])
    y, dx = run(backend, F.adaptive_max_pool2d, x, (3, None))
    assert y[:, 0].tolist() == [1, 3, 4] and dx[:, 0].tolist() == [0, 1, 0, 1, 1]


@pytest.mark.parametrize("function", [F.adaptive_avg_pool2d, F.adaptive_max_pool2d])
def test_adaptive_pooling_can_keep_and_repeat_pixels(backend, function):
    x = np.arange(6.0).reshape(2, 3)
    y, dx = run(backend, function, x, (None, None))
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(dx, np.ones((2, 3)))
    y, dx = run(backend, function, x, (4, 6))
    np.testing.assert_array_equal(y, x.repeat(2, axis=0).repeat(2, axis=1))
    np.testing.assert_array_equal(dx, np.full((2, 3), 4))


@settings(max_examples=20)
@given(count=st.integers(1, 3), times=st.integers(1, 3), data=st.data())
def test_adaptive_windows_of_equal_size_are_those_of_a_kernel(count, times, data):
    x = data.draw(strategies.arrays((2, 2, count * times, count * times)))
    for fixed, adaptive in ((F.max_pool2d, F.adaptive_max_pool2d),
                            (F.avg_pool2d, F.adaptive_avg_pool2d)):  # fmt: skip
        expected = fixed(x, times).numpy()
        np.testing.assert_allclose(adaptive(x, count).numpy(), expected, atol=1e-12)


# ---------------------------------------------------------------------------
# Winners, and back
# ---------------------------------------------------------------------------
@settings(max_examples=30)
@given(data=st.data())
@pytest.mark.parametrize("name", ["max_pool2d", "adaptive_max_pool2d"])
def test_indices_name_the_winners_pixels(name, backend, data):
    case = data.draw(getattr(strategies, name)())
    x, function = Tensor(case.arrays[0]), getattr(F, name)
    with backend.running():
        y, indices = function(x.to(backend.device), return_indices=True, **case.settings)
    flat = case.arrays[0].reshape(*x.shape[:2], -1)
    found = np.take_along_axis(flat, indices.numpy().reshape(*x.shape[:2], -1), axis=2)
    np.testing.assert_array_equal(found.reshape(y.shape), y.numpy())
    assert indices.dtype == np.int64 and nhwc(indices._data).flags.c_contiguous
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    theirs = getattr(torch.nn.functional, name)(
        torch.from_numpy(case.arrays[0].copy()), return_indices=True, **case.settings
    )
    np.testing.assert_array_equal(y.numpy(), theirs[0].numpy())
    np.testing.assert_array_equal(indices.numpy(), theirs[1].numpy())


@pytest.mark.parametrize("function", [F.max_pool2d, F.adaptive_max_pool2d])
def test_with_indices_the_gradient_flows_all_the_same(backend, function):
    x = image(np.arange(16.0).reshape(4, 4))
    with backend.running():
        y, indices = function(x.to(backend.device), 2, return_indices=True)
        y.sum().backward()
    assert indices.numpy()[0, 0].tolist() == [[5, 7], [13, 15]] and not indices.requires_grad
    assert np.flatnonzero(x.grad.numpy()).tolist() == [5, 7, 13, 15]


@pytest.mark.parametrize("name", ["max_pool2d", "adaptive_max_pool2d"])
@settings(max_examples=10)
@given(data=st.data())
def test_every_backend_gives_places_that_replay_the_pooling(name, backend, data):
    """One form: h*W + w, int32, (N, OH, OW, C). Reading x there is the pooling, made linear."""
    case = data.draw(getattr(strategies, name)())
    x = Tensor(case.arrays[0], requires_grad=True)
    with backend.running():
        y = case.run([x.to(backend.device)])
    winner = y._entry.places()
    assert winner.dtype == np.int32 and winner.shape == nhwc(y.numpy()).shape
    winner = np.array(Tensor(winner).numpy())
    np.testing.assert_array_equal(nchw(read_at(nhwc(x.numpy()), winner)), y.numpy())


def test_unpooling_undoes_pooling_at_the_maxima(backend):
    x = np.array([[1.0, 2, 0], [4, 3, 7], [0, 0, 5]])
    with backend.running():
        y, indices = F.max_pool2d(image(x).to(backend.device), 2, ceil_mode=True,
                                  return_indices=True)  # fmt: skip
        back = F.max_unpool2d(y, indices, 2, output_size=(3, 3))
    np.testing.assert_array_equal(back.numpy()[0, 0], [[0, 0, 0], [4, 0, 7], [0, 0, 5]])
    with backend.running():
        assert F.max_unpool2d(y, indices, 2).shape == (1, 1, 4, 4)
        assert F.max_unpool2d(y, indices, 2, output_size=back.shape).shape == back.shape


def test_of_two_values_for_one_place_the_last_stays_and_gets_the_gradient(backend):
    indices = np.array([[[[3, 0], [3, 3]]]])
    y, dx = run(backend, F.max_unpool2d, [[1.0, NAN], [3.0, 4.0]], indices, 2, 1,
                grad=np.arange(1.0, 10).reshape(3, 3))  # fmt: skip
    np.testing.assert_array_equal(y, [[NAN, 0, 0], [4, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(dx, [[0, 1], [0, 4]])


# ---------------------------------------------------------------------------
# Layers
# ---------------------------------------------------------------------------
LAYERS = {
    "MaxPool2d(kernel_size=(3, 3), stride=(2, 2), padding=(1, 1))": nn.MaxPool2d(3, 2, 1),
    "MaxPool2d(kernel_size=(2, 2), stride=(2, 2), ceil_mode=True, dilation=(2, 1))":
        nn.MaxPool2d(2, dilation=(2, 1), ceil_mode=True),
    "AvgPool2d(kernel_size=(2, 3), stride=(2, 3))": nn.AvgPool2d((2, 3)),
    "AvgPool2d(kernel_size=(2, 2), stride=(1, 1), padding=(1, 1), ceil_mode=True, "
    "count_include_pad=False, divisor_override=3)": nn.AvgPool2d(2, 1, 1, True, False, 3),
    "AdaptiveAvgPool2d(output_size=(1, 1))": nn.AdaptiveAvgPool2d(1),
    "AdaptiveMaxPool2d(output_size=(None, 2))": nn.AdaptiveMaxPool2d((None, 2)),
    "MaxUnpool2d(kernel_size=(2, 2), stride=(2, 2))": nn.MaxUnpool2d(2),
}  # fmt: skip


@pytest.mark.parametrize("text", LAYERS)
def test_layers_say_what_they_are_and_do_what_the_function_does(text):
    layer = LAYERS[text]
    assert repr(layer) == text
    x = np.random.default_rng(0).standard_normal((2, 3, 5, 6))
    name = type(layer).__name__
    if name == "MaxUnpool2d":
        y, indices = nn.MaxPool2d(2, return_indices=True)(x)
        assert layer(y, indices, x.shape).shape == x.shape
        return
    function = getattr(F, {"MaxPool2d": "max_pool2d", "AvgPool2d": "avg_pool2d",
                           "AdaptiveAvgPool2d": "adaptive_avg_pool2d",
                           "AdaptiveMaxPool2d": "adaptive_max_pool2d"}[name])  # fmt: skip
    given = {k: v for k, v in vars(layer).items() if k in function.__code__.co_varnames}
    assert len(given) == function.__code__.co_argcount - 1
    np.testing.assert_array_equal(layer(x).numpy(), function(x, **given).numpy())


def test_layers_can_return_indices():
    x = np.arange(16.0).reshape(1, 1, 4, 4)
    for layer in (nn.MaxPool2d(2, return_indices=True), nn.AdaptiveMaxPool2d(2, True)):
        y, indices = layer(x)
        np.testing.assert_array_equal(y.numpy(), indices.numpy())


# ---------------------------------------------------------------------------
# Lenses of the stepper
# ---------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d"])
@settings(max_examples=25)
@given(data=st.data())
def test_the_stepper_opens_every_kind_of_window(name, data):
    case = data.draw(getattr(strategies, name)())
    x = Tensor(case.arrays[0], requires_grad=True)
    with minicnn.record() as steps:
        y = case.run([x])
        y.backward(np.random.default_rng(0).standard_normal(y.shape))
    forward, backward = steps
    index = tuple(data.draw(st.integers(0, n - 1)) for n in y.shape)
    lens = forward.into(*index)
    np.testing.assert_allclose(lens.sum, lens.recorded, rtol=1e-9, atol=1e-12)
    assert lens.winner is None or lens.window[lens.winner] == lens.recorded
    index = tuple(data.draw(st.integers(0, n - 1)) for n in x.shape)
    lens = backward.into(*index)
    np.testing.assert_allclose(lens.sum, lens.recorded, rtol=1e-9, atol=1e-12)
    assert "more than rounding" not in lens.agreement
    assert repr(forward) and repr(backward)


# ---------------------------------------------------------------------------
# Errors
# ---------------------------------------------------------------------------
X = Tensor(np.ones((2, 3, 6, 6), np.float32))
SMALL = Tensor(np.ones((1, 1, 2, 2), np.float32))
PLACES = np.array([[[[0, 3], [12, 15]]]])
unpool = F.max_unpool2d

ERRORS = {
    "max_pool2d dilation": (
        lambda: F.max_pool2d(X, 2, dilation=0), ValueError,
        r"max_pool2d: dilation expects an int or a pair .* at least 1, but got 0"),
    "max_pool2d dilated too far": (
        lambda: F.max_pool2d(X, 3, dilation=(1, 3)), ValueError,
        r"a kernel of \(3, 3\) does not fit .* padding \(0, 0\) and dilation \(1, 3\); use a"),
    "max_pool2d sees nothing": (
        lambda: F.max_pool2d(np.ones((1, 1, 2, 9), np.float32), 2, padding=1, dilation=3),
        ValueError, r"max_pool2d: every window must see a pixel, but with padding \(1, 1\) and"),
    "max_pool2d padding and dilation": (
        lambda: F.max_pool2d(X, 2, padding=2, dilation=3), ValueError,
        r"max_pool2d: padding may be at most half the kernel"),
    "max_pool2d ceil_mode": (
        lambda: F.max_pool2d(X, 2, ceil_mode=1), TypeError,
        r"max_pool2d: ceil_mode expects True or False, but got 1"),
    "max_pool2d nothing": (
        lambda: F.max_pool2d(np.ones((2, 3, 0, 4), np.float32), 1), ValueError,
        r"max_pool2d: input expects no size 0 but for the batch, but has \(2, 3, 0, 4\)"),
    "max_pool2d too far over": (
        lambda: F.max_pool2d(np.ones((1, 1, 1, 1), np.float32), 3, 2, ceil_mode=True), ValueError,
        r"a kernel of \(3, 3\) does not fit into an input of \(1, 1\)"),
    "avg_pool2d divisor 0": (
        lambda: F.avg_pool2d(X, 2, divisor_override=0), ValueError,
        r"avg_pool2d: divisor_override expects an int other than 0, or None, but got 0"),
    "avg_pool2d divisor": (
        lambda: F.avg_pool2d(X, 2, divisor_override=1.5), TypeError,
        r"avg_pool2d: divisor_override expects an int .* but got 1.5"),
    "avg_pool2d count_include_pad": (
        lambda: F.avg_pool2d(X, 2, count_include_pad=None), TypeError,
        r"avg_pool2d: count_include_pad expects True or False, but got None"),
    "avg_pool2d channels": (
        lambda: F.avg_pool2d(np.ones((2, 0, 4, 4), np.float32), 1), ValueError,
        r"avg_pool2d: input expects no size 0 but for the batch"),
    "adaptive_avg_pool2d size": (
        lambda: F.adaptive_avg_pool2d(X, (2, 0)), ValueError,
        r"adaptive_avg_pool2d: output_size expects an int or a pair .* at least 1, but got \[2, 0"),
    "adaptive_avg_pool2d None": (
        lambda: F.adaptive_avg_pool2d(X, None), TypeError,
        r"adaptive_avg_pool2d: output_size expects an int or a pair .*, but got None"),
    "adaptive_avg_pool2d dimensions": (
        lambda: F.adaptive_avg_pool2d(np.ones((3, 6, 6), np.float32), 1), ValueError,
        r"adaptive_avg_pool2d: input expects 4 dimensions"),
    "adaptive_max_pool2d size": (
        lambda: F.adaptive_max_pool2d(X, (1, 2, 3)), ValueError,
        r"adaptive_max_pool2d: output_size expects an int or a pair .*, but got \[1, 2, 3\]"),
    "adaptive_max_pool2d nothing": (
        lambda: F.adaptive_max_pool2d(np.ones((2, 3, 4, 0), np.float32), 1), ValueError,
        r"adaptive_max_pool2d: input expects no size 0"),
    "max_pool2d return_indices": (
        lambda: F.max_pool2d(X, 2, return_indices="no"), TypeError,
        r"max_pool2d: return_indices expects True or False, but got 'no'"),
    "adaptive_max_pool2d return_indices": (
        lambda: F.adaptive_max_pool2d(X, 2, 1), TypeError, r"return_indices expects .* got 1"),
    "max_unpool2d floats": (
        lambda: unpool(SMALL, PLACES.astype(np.float32), 2), TypeError,
        r"max_unpool2d: indices expects integers, as max_pool2d gives them .* but is float32"),
    "max_unpool2d shape": (
        lambda: unpool(SMALL, PLACES[..., :1], 2), ValueError,
        r"max_unpool2d: indices expects the shape of input, \(1, 1, 2, 2\), but has \(1, 1, 2, 1"),
    "max_unpool2d beyond": (
        lambda: unpool(SMALL, PLACES, 2, output_size=(3, 3)), ValueError,
        r"max_unpool2d: indices expects places 0 to 8 in an output of \(3, 3\), but holds 15;"),
    "max_unpool2d negative": (
        lambda: unpool(SMALL, -PLACES, 2), ValueError, r"places 0 to 15 .* but holds -15"),
    "max_unpool2d size": (
        lambda: unpool(SMALL, PLACES, 2, output_size=(6, 4)), ValueError,
        r"output_size must be less than the stride \(2, 2\) away from \(4, 4\), but got \(6, 4\)"),
    "max_unpool2d size kind": (
        lambda: unpool(SMALL, PLACES, 2, output_size=4), TypeError,
        r"max_unpool2d: output_size expects \(OH, OW\), but got 4"),
    "max_unpool2d vanishes": (
        lambda: unpool(SMALL, PLACES, 1, 1, 1), ValueError,
        r"max_unpool2d: an input of \(2, 2\) .* gives an output of \(0, 0\); use the numbers of"),
    "MaxPool2d layer": (
        lambda: nn.MaxPool2d(2, dilation=0), ValueError, r"MaxPool2d: dilation expects .* got 0"),
    "AvgPool2d layer": (
        lambda: nn.AvgPool2d(2, divisor_override=0), ValueError, r"AvgPool2d: divisor_override"),
    "MaxPool2d ceil_mode": (
        lambda: nn.MaxPool2d(2, ceil_mode=0), TypeError, r"MaxPool2d: ceil_mode expects True or"),
    "AdaptiveAvgPool2d layer": (
        lambda: nn.AdaptiveAvgPool2d(0), ValueError, r"AdaptiveAvgPool2d: output_size expects"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors_say_what_was_given_and_what_the_rule_is(name):
    call, error, text = ERRORS[name]
    with pytest.raises(error, match=text):
        call()
