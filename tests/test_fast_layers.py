"""The fast backend's layers that are not convolutions: where tiles end, and where numbers are odd.

That they compute what the definition says is the contract's business (`test_operations.py`); here
are sizes that it does not reach, compared with the readable drawing.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from minicnn import Tensor, no_grad, use_backend
from minicnn import functional as F
from minicnn.backends.fast import activation, ending, memory, optim, pooling, product, rows
from minicnn.layout import nchw, nhwc
from minicnn.ops.pooling_windows import read_at
from minicnn.optim import SGD

RNG = np.random.default_rng(0)


def images(*shape, dtype=np.float32):
    """Random numbers, channels-last."""
    N, C, H, W = shape
    return nchw(RNG.standard_normal((N, H, W, C)).astype(dtype))


def run(backend, function, *arrays, seed=1):
    """(output, gradients) of a function of tensors."""
    tensors = [Tensor(a, requires_grad=True) for a in arrays]
    with use_backend(backend):
        y = function(*tensors)
        y.backward(np.random.default_rng(seed).standard_normal(y.shape).astype(y.dtype))
    return y.numpy(), [t.grad.numpy() for t in tensors]


def assert_as_readable(function, *arrays, rtol=1e-5):
    """The fast drawing gives what the readable one gives in float64."""
    exact, exact_grads = run("numpy", function, *(a.astype(np.float64) for a in arrays))
    y, grads = run("fast", function, *arrays)
    for got, want in zip([y, *grads], [exact, *exact_grads]):
        assert got.dtype == np.float32 and got.shape == want.shape
        if got.ndim == 4:
            assert nhwc(got).flags.c_contiguous
        atol = rtol * max(abs(want).max(initial=0), 1)
        np.testing.assert_allclose(got, want, rtol=rtol, atol=atol)


@pytest.fixture
def small_pieces(monkeypatch):
    """Pieces of 2 KB: everything falls into many, and nothing divides evenly."""
    for module in (ending, rows):
        monkeypatch.setattr(module, "CHUNK", 2**11)
    for module in (activation, pooling):
        monkeypatch.setattr(module, "CHUNK", 2**11)
        monkeypatch.setattr(module, "ELEMENTS", 0)  # and is shared by threads
    for module in (activation, optim):
        monkeypatch.setattr(module, "SMALL", 0)
    monkeypatch.setattr(rows, "ELEMENTS", 0)
    rows.pieces.cache_clear()
    yield
    rows.pieces.cache_clear()


# ---------------------------------------------------------------------------
# Pooling
# ---------------------------------------------------------------------------
POOLINGS = {
    "2x2": {"kernel_size": 2},
    "stem": {"kernel_size": 3, "stride": 2, "padding": 1},
    "ceil": {"kernel_size": (3, 2), "stride": 2, "ceil_mode": True},
    "same": {"kernel_size": 3, "stride": 1, "padding": 1},
    "gaps": {"kernel_size": 2, "stride": (3, 4)},
    "wide": {"kernel_size": (1, 5), "stride": (2, 3), "padding": (0, 2)},
}


@pytest.mark.parametrize("name", POOLINGS)
@pytest.mark.parametrize("shape", [(3, 5, 17, 13), (2, 1, 9, 40), (0, 4, 8, 8), (1, 70, 6, 7)])
def test_pooling_over_tiles_that_do_not_divide_the_image(name, shape, small_pieces):
    x = images(*shape)
    assert_as_readable(lambda t: F.max_pool2d(t, **POOLINGS[name]), x)
    assert_as_readable(lambda t: F.avg_pool2d(t, **POOLINGS[name]), x)


def test_dilated_maxima(small_pieces):
    assert_as_readable(
        lambda t: F.max_pool2d(t, 3, stride=2, padding=1, dilation=2), images(2, 6, 15, 16)
    )


@pytest.mark.parametrize("size", [1, (9, 11), (3, 4)])
def test_adaptive_means(size, small_pieces):
    assert_as_readable(lambda t: F.adaptive_avg_pool2d(t, size), images(3, 7, 9, 11))


def test_a_winner_takes_a_byte_and_names_its_place():
    x = images(2, 3, 8, 8)
    with use_backend("fast"):
        y = F.max_pool2d(Tensor(x, requires_grad=True), 3, 2, 1)
    assert y._entry.saved[0].dtype == np.uint8
    np.testing.assert_array_equal(nchw(read_at(nhwc(x), y._entry.places())), y.numpy())


def test_a_window_of_more_than_256_cells():
    x = np.zeros((1, 1, 20, 20), np.float32)
    x[0, 0, 18, 19] = 1
    with use_backend("fast"):
        t = Tensor(x, requires_grad=True)
        F.max_pool2d(t, 20).sum().backward()
    np.testing.assert_array_equal(t.grad.numpy(), x)


@pytest.mark.parametrize(
    ("cells", "first"),
    [
        ([1, 1, 1, 1], 0),
        ([0, 2, 2, 1], 1),
        ([-np.inf] * 4, 0),
        ([np.nan, 5, np.nan, 1], 0),
        ([1, np.inf, np.nan, np.nan], 2),
        ([-np.inf, -np.inf, np.nan, 0], 2),
    ],
)
def test_ties_infinities_and_nans_have_the_first_maximum(cells, first):
    x = np.array(cells, np.float32).reshape(1, 1, 2, 2)
    with use_backend("fast"):
        t = Tensor(x, requires_grad=True)
        y = F.max_pool2d(t, 2)
        y.backward(np.ones((1, 1, 1, 1), np.float32))
    np.testing.assert_array_equal(y.numpy().ravel(), [x.ravel()[first]])
    np.testing.assert_array_equal(t.grad.numpy().ravel(), np.arange(4) == first)


def test_the_first_maximum_is_never_in_the_padding():
    x = np.full((1, 1, 4, 4), -np.inf, np.float32)
    with use_backend("fast"):
        t = Tensor(x, requires_grad=True)
        F.max_pool2d(t, 3, 3, 1).backward(np.ones((1, 1, 2, 2), np.float32))
    expected = np.zeros((4, 4))
    expected[[0, 0, 2, 2], [0, 2, 0, 2]] = 1
    np.testing.assert_array_equal(t.grad.numpy()[0, 0], expected)


def test_inference_keeps_no_winners():
    with use_backend("fast"), no_grad():
        assert F.max_pool2d(Tensor(images(1, 2, 4, 4)), 2)._entry is None


# ---------------------------------------------------------------------------
# Batch normalization
# ---------------------------------------------------------------------------
@pytest.mark.parametrize("activation", [None, "relu", "relu6", "silu"])
@pytest.mark.parametrize("added", [False, True])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("shape", [(3, 5, 11, 13), (2, 300, 4, 5), (257, 3), (4, 2, 9)])
def test_batch_norm_over_pieces(shape, training, added, activation, small_pieces):
    C = shape[1]
    x = images(*shape) if len(shape) == 4 else RNG.standard_normal(shape).astype(np.float32)
    add = RNG.standard_normal(shape).astype(np.float32)
    w, b = RNG.standard_normal((2, C)).astype(np.float32)
    mean, var = RNG.standard_normal(C).astype(np.float32), np.linspace(0.5, 2, C, dtype=np.float32)

    def norm(x, w, b, *add):
        statistics = (Tensor(mean.astype(x.dtype)), Tensor(var.astype(x.dtype)))
        return F.batch_norm(x, *statistics, w, b, training, activation=activation,
                            add=add[0] if add else None)  # fmt: skip

    assert_as_readable(norm, x, w, b, *([add] if added else []), rtol=3e-5)


@pytest.mark.parametrize("mean", [0, 1e4, -3e5])
def test_statistics_far_from_zero(mean):
    """A mean of many times the spread leaves the variance its digits."""
    x = images(4, 3, 40, 40) + np.float32(mean)
    running = Tensor(np.zeros(3, np.float32)), Tensor(np.zeros(3, np.float32))
    with use_backend("fast"):
        y = F.batch_norm(Tensor(x), *running, training=True, momentum=1.0).numpy()
    exact, n = x.astype(np.float64), 4 * 40 * 40
    np.testing.assert_allclose(running[0].numpy(), exact.mean((0, 2, 3)), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(running[1].numpy(), exact.var((0, 2, 3)) * n / (n - 1), rtol=1e-5)
    np.testing.assert_allclose(y.std((0, 2, 3)), 1, atol=1e-3)


def test_statistics_where_the_rows_looked_at_first_mislead():
    """Every 64th part of the batch lies elsewhere: the shift is theirs, and must be mended."""
    x = RNG.standard_normal((64 * 500, 2)).astype(np.float32)
    x[:: len(x) // 64] += 1e6
    running = Tensor(np.zeros(2, np.float32)), Tensor(np.zeros(2, np.float32))
    with use_backend("fast"):
        F.batch_norm(Tensor(x), *running, training=True, momentum=1.0)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(running[0].numpy(), exact.mean(0), rtol=1e-5)
    np.testing.assert_allclose(running[1].numpy(), exact.var(0, ddof=1), rtol=1e-5)


def test_a_constant_channel_has_no_variance():
    x = np.full((2, 2, 30, 30), 7.3, np.float32)
    running = Tensor(np.zeros(2, np.float32)), Tensor(np.ones(2, np.float32))
    with use_backend("fast"):
        y = F.batch_norm(Tensor(x), *running, training=True, momentum=1.0)
    assert running[1].numpy().max() < 1e-9
    np.testing.assert_allclose(y.numpy(), 0, atol=1e-3)


def test_batch_norm_of_nothing():
    x = np.zeros((0, 3, 4, 4), np.float32)
    y, (dx,) = run("fast", lambda t: F.batch_norm(t, training=True), x)
    assert y.shape == dx.shape == x.shape


def test_a_nan_stays_in_its_channel():
    x = images(2, 3, 8, 8)
    x[0, 1, 0, 0] = np.nan
    with use_backend("fast"):
        y = F.batch_norm(Tensor(x), training=True).numpy()
    assert np.isnan(y[:, 1]).all() and np.isfinite(y[:, [0, 2]]).all()


# ---------------------------------------------------------------------------
# Activations and sums
# ---------------------------------------------------------------------------
@pytest.mark.parametrize("function", [F.relu, F.relu6])
@pytest.mark.parametrize("shape", [(3, 5, 17, 13), (1000,), (0, 3, 2, 2), (), (7, 301)])
def test_activations_over_pieces(function, shape, small_pieces):
    x = images(*shape) if len(shape) == 4 else RNG.standard_normal(shape).astype(np.float32)
    assert_as_readable(function, 4 * x if x.ndim else np.float32(4) * x[()] * np.ones((), "f4"))


def test_relu_hands_a_nan_on(small_pieces):
    x = np.array([np.nan, -np.inf, np.inf, -0.0, 2], np.float32)
    with use_backend("fast"):
        np.testing.assert_array_equal(F.relu(Tensor(x)).numpy(), [np.nan, 0, np.inf, 0, 2])
        np.testing.assert_array_equal(F.relu6(Tensor(x)).numpy(), [np.nan, 0, 6, 0, 2])


@pytest.mark.parametrize("shapes", [((3, 5, 17, 13),) * 2, ((3, 5, 40, 40), (5, 1, 1))])
def test_sums(shapes, small_pieces):
    a, b = (RNG.standard_normal(shape).astype(np.float32) for shape in shapes)
    assert_as_readable(lambda a, b: a + b, a, b, rtol=2e-5)


@pytest.mark.parametrize("dim", [0, 1, 3])
def test_branches_side_by_side(dim):
    shape = [3, 5, 6, 7]
    parts = [images(*shape[:dim], n, *shape[dim + 1 :]) for n in (4, 1, 9)]
    assert_as_readable(lambda *t: F.cat(t, dim=dim), *parts)


def test_a_branch_that_is_not_learnt_gets_no_gradient():
    a, b = (Tensor(images(2, n, 3, 3), requires_grad=n == 4) for n in (3, 4))
    with use_backend("fast"):
        F.cat([a, b], dim=1).sum().backward()
    assert a.grad is None and (b.grad.numpy() == 1).all()


# ---------------------------------------------------------------------------
# The optimiser
# ---------------------------------------------------------------------------
SETTINGS = (
    {},
    {"weight_decay": 0.1},
    {"momentum": 0.9},
    {"momentum": 0.9, "weight_decay": 0.1},
    {"momentum": 0.9, "weight_decay": 0.1, "nesterov": True},
)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_steps_are_the_readable_ones_bit_for_bit(settings, dtype, small_pieces):
    starts = [images(9, 5, 7, 3, dtype=dtype), RNG.standard_normal(1001).astype(dtype),
              np.asfortranarray(RNG.standard_normal((30, 41)).astype(dtype)),
              np.ascontiguousarray(images(3, 4, 5, 6, dtype=dtype))]  # fmt: skip
    found = {}
    for backend in ("numpy", "fast"):
        weights = [Tensor(a.copy(order="K"), requires_grad=True) for a in starts]
        optimizer, draw = SGD(weights, 0.1, **settings), np.random.default_rng(5)
        with use_backend(backend):
            for _ in range(3):
                for w in weights:
                    w.grad = Tensor(draw.standard_normal(w.shape).astype(dtype))
                optimizer.step()
        found[backend] = [w.numpy() for w in weights]
    for got, want in zip(found["fast"], found["numpy"]):
        np.testing.assert_array_equal(got, want)


def test_a_step_makes_no_new_weights_and_the_tape_sees_it():
    w = Tensor(np.ones(100_000, np.float32), requires_grad=True)
    memory_before = w.data.__array_interface__["data"]
    with use_backend("fast"):
        y = (w * w).sum()
        w.grad = Tensor(np.ones(100_000, np.float32))
        SGD([w], 0.5).step()
        assert w.data.__array_interface__["data"] == memory_before
        with pytest.raises(RuntimeError, match="changed in place"):
            y.backward()


# ---------------------------------------------------------------------------
# Memory
# ---------------------------------------------------------------------------
def test_results_are_not_written_over_by_later_calls():
    x = images(2, 16, 48, 48)
    with use_backend("fast"):
        outputs = [F.relu(F.batch_norm(Tensor(x + k), training=True)) for k in range(3)]
        kept = [y.numpy().copy() for y in outputs]
        for _ in range(5):
            F.max_pool2d(F.relu(Tensor(images(2, 16, 48, 48), requires_grad=True)), 2).sum()
    for y, copy in zip(outputs, kept):
        np.testing.assert_array_equal(y.numpy(), copy)


def test_memory_goes_back_when_a_pass_is_over():
    def step():
        x = Tensor(images(4, 16, 64, 64), requires_grad=True)
        y = F.max_pool2d(F.batch_norm(x, training=True, activation="relu", add=x), 2)
        y.sum().backward()

    with use_backend("fast"), warnings.catch_warnings():
        warnings.simplefilter("error")
        step()
        before = memory.usage().lent
        for _ in range(3):
            step()
        assert memory.usage().lent == before


# ---------------------------------------------------------------------------
# How products are cut
# ---------------------------------------------------------------------------
def numbers(*shape):
    """Random numbers of about 1 / sqrt(the last size)."""
    return (RNG.standard_normal(shape) / shape[-1] ** 0.5).astype(np.float32)


@pytest.mark.parametrize("rows_, outputs", [(1, 4099), (3, 1500), (129, 129), (130, 129)])
def test_linear_of_few_rows_is_cut_by_columns(rows_, outputs, monkeypatch):
    monkeypatch.setattr(product, "WORTH_CUTTING", 2**16)
    cut, multiply = [], product._multiply_columns
    count = lambda *args: cut.append(1) or multiply(*args)  # noqa: E731
    monkeypatch.setattr(product, "_multiply_columns", count)
    arrays = numbers(rows_, 67), numbers(outputs, 67), numbers(outputs), numbers(rows_, outputs)
    assert_as_readable(lambda *t: F.linear(*t[:3], activation="relu6", add=t[3]), *arrays)
    # z = x w', and dx = dz w where that has more columns than rows
    assert len(cut) == (rows_ < outputs) + (rows_ < 67)


@pytest.mark.parametrize("rows_", [0, 1, 63, 64, 200, 1000])
@pytest.mark.parametrize("outputs, inputs", [(5, 7), (3, 300), (300, 3), (130, 131)])
@pytest.mark.parametrize("few", [0, 2**14])
def test_a_weight_gradient_cut_in_every_way(rows_, outputs, inputs, few, monkeypatch):
    """By the longer side, or in parts of the sum where weights are few."""
    monkeypatch.setattr(product, "PART", 32)
    monkeypatch.setattr(product, "CHANNELS", 8)
    monkeypatch.setattr(product, "FEW_WEIGHTS", few)
    monkeypatch.setattr(product, "WORTH_SHARING", 0)
    a, b = RNG.standard_normal((rows_, outputs)), RNG.standard_normal((rows_, inputs))
    found = np.full((outputs, inputs), np.nan)
    product.multiply_transposed(a, b, found)
    np.testing.assert_allclose(found, a.T @ b, atol=1e-10)
