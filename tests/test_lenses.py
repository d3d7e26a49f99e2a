"""Lenses on transposed convolution, padding, products, response norm, softmax and other losses."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minicnn
from minicnn import Tensor
from minicnn import functional as F
from minicnn.stepper.moving_lenses import moved_from

NORMAL = np.vectorize(lambda x: math.erfc(-x / math.sqrt(2)) / 2)  # its share below x
DENSITY = np.vectorize(lambda x: math.exp(-x * x / 2) / math.sqrt(2 * math.pi))
GELU_TANH = np.vectorize(
    lambda x: (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2)  # fmt: skip


def leaf(rng, *shape):
    return Tensor(rng.standard_normal(shape), requires_grad=True)


def recorded(function, *inputs, seed=0):
    """The steps of `function(*inputs)` and of a backward with a random gradient."""
    with minicnn.use_backend("numpy"), minicnn.record() as steps:
        y = function(*inputs)
        y.backward(np.random.default_rng(seed).standard_normal(y.shape))
    return steps


def any_index(rng, shape):
    return tuple(int(rng.integers(n)) for n in shape)


def unit(shape, index):
    """All zeros, and a one at the index."""
    array = np.zeros(shape)
    array[index] = 1
    return Tensor(array)


def check(lens, expected):
    """A lens gives this number, and what was recorded; its terms add up to its own total."""
    np.testing.assert_allclose([lens.sum, lens.recorded], expected, rtol=1e-9, atol=1e-12)
    assert "another way" not in lens.agreement and repr(lens) and lens._repr_html_()
    assert all(len(line) <= 100 for line in repr(lens).split("\n"))


def check_linear(steps, run, inputs, rng):
    """Gradients of a map that is linear in each input: dy . map(unit vector)."""
    forward, backward = steps[0], steps[-1]
    index = any_index(rng, forward.output.shape)
    lens = forward.into(*index)
    check(lens, run(*inputs).numpy()[index])
    for k, (letter, x) in enumerate(zip(forward.letters, inputs)):
        place = any_index(rng, x.shape)
        others = [unit(x.shape, place) if m == k else a for m, a in enumerate(inputs)]
        lens = backward.into(*place, of=letter)
        check(lens, (backward.dy * run(*others).numpy()).sum())
        if lens.products is not None and lens.divisor is None:
            np.testing.assert_allclose(lens.products.sum(), lens.sum, rtol=1e-9, atol=1e-12)


pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@settings(max_examples=40)
@given(pairs, pairs, pairs, st.integers(1, 2), st.booleans(), st.integers(0, 99))
def test_transposed_convolution(kernel, stride, dilation, groups, with_bias, seed):
    rng = np.random.default_rng(seed)
    padding = tuple(int(rng.integers(0, (k - 1) * d // 2 + 1)) for k, d in zip(kernel, dilation))
    extra = tuple(int(rng.integers(max(s, d))) for s, d in zip(stride, dilation))
    x, w = leaf(rng, 2, 2 * groups, 3, 4), leaf(rng, 2 * groups, 3, *kernel)
    b = leaf(rng, 3 * groups) if with_bias else None

    def run(x, w):
        return F.conv_transpose2d(x, w, None, stride, padding, extra, groups, dilation)

    check_linear(recorded(run, x, w, seed=seed), run, (x, w), rng)
    steps = recorded(
        lambda: F.conv_transpose2d(x, w, b, stride, padding, extra, groups, dilation), seed=seed)
    index = any_index(rng, steps[0].output.shape)
    check(steps[0].into(*index), steps[0].output[index])
    if b is not None:
        check(steps[-1].into(index[1], of="bias"), steps[-1].dy[:, index[1]].sum())


@pytest.mark.parametrize("mode", ["constant", "replicate", "reflect", "circular"])
@given(st.tuples(*[st.integers(0, 2)] * 4), st.integers(0, 99))
@settings(max_examples=15)
def test_padding(mode, sides, seed):
    rng = np.random.default_rng(seed)
    x = leaf(rng, 1, 2, 4, 5)
    value = 0.5 if mode == "constant" else 0
    run = lambda x: F.pad(x, sides, mode, value)  # noqa: E731
    steps = recorded(run, x, seed=seed)
    if len(steps) < 2:  # nothing was to be padded
        return
    index = any_index(rng, steps[0].output.shape)
    check(steps[0].into(*index), steps[0].output[index])
    place = any_index(rng, x.shape)
    moved = F.pad(unit(x.shape, place), sides, mode).numpy()
    check(steps[-1].into(*place), (steps[-1].dy * moved).sum())
    source = moved_from(steps[0])
    np.testing.assert_array_equal(
        np.where(source < 0, value, x.numpy().ravel()[source]), steps[0].output)


@pytest.mark.parametrize(
    "shapes",
    [((2, 3), (3, 4)), ((5, 2, 3), (3, 4)), ((2, 3), (5, 3, 4)), ((5, 1, 2, 3), (4, 3, 2))],
)
def test_matrix_products(shapes):
    rng = np.random.default_rng(0)
    inputs = [leaf(rng, *shape) for shape in shapes]
    steps = recorded(lambda a, b: a @ b, *inputs)
    for _ in range(5):
        check_linear(steps, lambda a, b: a @ b, inputs, rng)


def test_local_response_norm():
    rng = np.random.default_rng(0)
    x = leaf(rng, 2, 7, 3, 3)
    steps = recorded(lambda x: F.local_response_norm(x, 4, 0.3, 0.75, 2.0), x)
    for _ in range(20):
        n, c, h, w = index = any_index(rng, x.shape)
        near = x.numpy()[n, max(0, c - 2) : c + 2, h, w]
        s = 2.0 + 0.3 / 4 * (near**2).sum()
        lens = steps[0].into(*index)
        np.testing.assert_array_equal(lens.window, near)
        np.testing.assert_allclose(lens.parts["s"], s)
        check(lens, x.numpy()[index] * s**-0.75)
        check(steps[1].into(*index), steps[1].grads["x"][index])


def test_adaptive_max_pooling_with_ties():
    rng = np.random.default_rng(0)
    x = Tensor(rng.integers(-2, 1, (2, 2, 7, 5)).astype(float), requires_grad=True)
    steps = recorded(lambda x: F.adaptive_max_pool2d(x, (3, 4)), x)
    for n, c, i, j in np.ndindex(2, 2, 3, 4):
        lens = steps[0].into(n, c, i, j)
        assert lens.exact and lens.window[lens.winner] == lens.window.max()
    for index in np.ndindex(*x.shape):
        check(steps[1].into(*index), steps[1].grads["x"][index])


@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("function", [F.softmax, F.log_softmax])
def test_softmax(function, dim):
    rng = np.random.default_rng(0)
    x = leaf(rng, 3, 4, 5)
    steps = recorded(lambda x: function(x, dim=dim), x)
    for _ in range(10):
        index = any_index(rng, x.shape)
        p = np.exp(x.numpy()) / np.exp(x.numpy()).sum(axis=dim, keepdims=True)
        check(steps[0].into(*index), (np.log(p) if function is F.log_softmax else p)[index])
        check(steps[1].into(*index), steps[1].grads["x"][index])


@pytest.mark.parametrize(
    "function",
    [
        lambda x, q: F.nll_loss(x, [0, 2, 1], [0.5, 0, 2.0], reduction="none"),
        lambda x, q: F.cross_entropy(x, [0, 2, 1], reduction="none"),
        lambda x, q: F.cross_entropy(x, q, reduction="none"),
        lambda x, q: F.cross_entropy(x, [0, 2, 1], label_smoothing=0.2, reduction="none"),
        lambda x, q: F.margin_loss(x, [0, 2, 1], reduction="none"),
        lambda x, q: F.mse_loss(x, q, reduction="none"),
        lambda x, q: F.hardsigmoid(x * 3),
    ],
)
def test_losses(function):
    rng = np.random.default_rng(0)
    x, q = leaf(rng, 3, 3), Tensor(rng.dirichlet([1, 1, 1], 3), requires_grad=True)
    for step in recorded(function, x, q):
        grads = [k for k, g in step.grads.items() if g is not None]
        for of in grads or [None]:
            array = step.target(of)[1]
            for index in np.ndindex(*array.shape):
                check(step.into(*index, of=of), array[index])


@pytest.mark.parametrize(
    "function, value, slope",
    [
        (lambda x: F.leaky_relu(x, 0.2), lambda x: np.maximum(x, 0.2 * x),
         lambda x: np.where(x > 0, 1, 0.2)),
        (F.gelu, lambda x: x * NORMAL(x), lambda x: NORMAL(x) + x * DENSITY(x)),
        (lambda x: F.gelu(x, "tanh"), lambda x: x * GELU_TANH(x),
         lambda x: GELU_TANH(x) + 2 * x * GELU_TANH(x) * (1 - GELU_TANH(x))
         * np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * x * x)),
    ],
)  # fmt: skip
def test_activations(function, value, slope):
    x = Tensor(np.linspace(-6, 6, 40).reshape(2, 20), requires_grad=True)
    steps = recorded(function, x)
    for index in np.ndindex(*x.shape):
        check(steps[0].into(*index), value(x.numpy())[index])
        check(steps[1].into(*index), (steps[1].dy * slope(x.numpy()))[index])


@pytest.mark.parametrize("shape, slopes", [((2, 3, 4, 2), 3), ((2, 3, 4, 2), 1), ((2, 1), 1)])
def test_a_prelus_weight_gathers_where_its_channel_is_negative(shape, slopes):
    rng = np.random.default_rng(0)
    x, a = leaf(rng, *shape), Tensor(np.linspace(0.1, 0.3, slopes), requires_grad=True)
    forward, backward = recorded(F.prelu, x, a)
    across = np.moveaxis(np.broadcast_to(a.numpy(), (*shape[:1], *shape[2:], shape[1])), -1, 1)
    slope = np.where(x.numpy() > 0, 1, across)
    for index in np.ndindex(*shape):
        check(forward.into(*index), (slope * x.numpy())[index])
        check(backward.into(*index, of="x"), (slope * backward.dy)[index])
    for c in range(slopes):
        lens = backward.into(c, of="a")
        own = np.s_[:, c] if slopes > 1 else np.s_[:]
        gathered = (np.minimum(x.numpy(), 0) * backward.dy)[own]
        np.testing.assert_allclose(lens.products, gathered, rtol=1e-12)
        check(lens, gathered.sum())


@pytest.mark.parametrize("how", [
    {"mode": "nearest"}, {"mode": "bilinear"}, {"mode": "bilinear", "align_corners": True},
])  # fmt: skip
@given(st.tuples(st.integers(1, 9), st.integers(1, 9)), st.integers(0, 99))
@settings(max_examples=25)
def test_upsampling(how, size, seed):
    rng = np.random.default_rng(seed)
    x = leaf(rng, 2, 2, 4, 5)
    run = lambda x: F.interpolate(x, size, **how)  # noqa: E731
    for _ in range(3):
        check_linear(recorded(run, x, seed=seed), run, (x,), rng)


def test_an_output_between_four_pixels_reads_them_by_their_distance():
    x = Tensor(np.arange(12.0).reshape(1, 1, 3, 4), requires_grad=True)
    forward, backward = recorded(lambda x: F.interpolate(x, (6, 8), mode="bilinear"), x)
    lens = forward.into(0, 0, 1, 4)  # at row 0.25, column 1.75
    np.testing.assert_array_equal(lens.weights, np.outer([0.75, 0.25], [0.25, 0.75]))
    np.testing.assert_array_equal(lens.window, x.numpy()[0, 0, :2, 1:3])
    assert lens.starts == (0, 1) and "row 0.25, column 1.75" in lens.note
    lens = backward.into(0, 0, 1, 1)  # four outputs along each axis read it
    np.testing.assert_array_equal(lens.weights, np.outer(*[[0.25, 0.75, 0.75, 0.25]] * 2))
    assert lens.starts == (1, 1)


@pytest.mark.parametrize("pool", [
    lambda x: F.max_pool2d(x, 3, stride=2, padding=1, return_indices=True),
    lambda x: F.max_pool2d(x, 2, stride=2, padding=1, dilation=2, return_indices=True),
    lambda x: F.adaptive_max_pool2d(x, 3, return_indices=True),
])  # fmt: skip
def test_unpooling(pool):
    rng = np.random.default_rng(0)
    x = Tensor(rng.integers(-3, 3, (2, 2, 6, 6)).astype(float))  # windows overlap and share maxima
    with minicnn.record() as steps:
        small, places = pool(x)
    for index in np.ndindex(*places.shape):
        lens = steps[-1].into(*index)
        check(lens, places.numpy()[index])
        assert x.numpy()[index[:2]].ravel()[lens.sum] == small.numpy()[index]
    small = Tensor(small.numpy() + 10, requires_grad=True)
    forward, backward = recorded(lambda s: F.max_unpool2d(s, places, 2), small)
    y, owner = np.zeros((2, 2, 36)), {}
    for (n, c, *pixel), place in np.ndenumerate(places.numpy()):
        y[n, c, place], owner[n, c, place] = small.numpy()[n, c, *pixel], pixel
    for n, c, p, q in np.ndindex(2, 2, 6, 6):
        check(forward.into(n, c, p, q), y[n, c, p * 6 + q])
    flat = backward.dy.reshape(y.shape)
    for n, c, *pixel in np.ndindex(*small.shape):
        place = places.numpy()[n, c, *pixel]
        stays = owner[n, c, place] == pixel
        check(backward.into(n, c, *pixel), flat[n, c, place] if stays else 0)


@pytest.mark.parametrize("shape", [(3, 4, 2, 5), (6, 4)])
def test_mean_and_variance_of_a_batch(shape):
    rng = np.random.default_rng(0)
    x = Tensor(rng.standard_normal(shape) + 1000, requires_grad=True)
    step = recorded(lambda x: F.batch_norm(x, training=True), x)[0]
    over = tuple(k for k in range(len(shape)) if k != 1)
    for c in range(4):
        check(step.into(0, c), x.numpy().mean(over)[c])
        check(step.into(1, c), x.numpy().var(over)[c])
