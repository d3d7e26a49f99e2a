"""The compiled backend: kernels compiled for speed, LANES of them, and what happens without."""

from __future__ import annotations

import time
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from minicnn import Tensor, use_algorithm, use_backend
from minicnn import functional as F
from minicnn.backends import compiled, fast
from minicnn.backends.algorithm import KNOWN
from minicnn.backends.compiled import col2im, direct, direct_weights, linear
from minicnn.backends.fast import workers
from minicnn.backends.fast.workers import get_num_threads, set_num_threads
from minicnn.backends.geometry import Geometry
from minicnn.backends.launch import lanes_of
from minicnn.emulator import CompilerNotFound, EmulatorError, team
from minicnn.emulator.native import load_native
from minicnn.emulator.team import Team
from minicnn.layout import output_size
from minicnn.optim import SGD

pytestmark = pytest.mark.usefixtures("compiler")


def results(backend, function, *shapes, dtype=np.float32, algorithm="auto"):
    """Output and gradients of function(*tensors) on random numbers; a None shape is left out."""
    random = np.random.default_rng(0)
    tensors = [
        None if shape is None
        else Tensor(random.standard_normal(shape).astype(dtype), requires_grad=True)
        for shape in shapes
    ]  # fmt: skip
    with use_backend(backend), use_algorithm(algorithm):
        y = function(*tensors)
        y.backward(random.standard_normal(y.shape).astype(dtype))
        return y, [y.numpy(), *(t.grad.numpy() for t in tensors if t is not None)]


def agree(function, *shapes, tolerance=2e-6, algorithm="auto"):
    """Assert that the kernels ran, and that the loops' answers come out."""
    y, found = results("compiled", function, *shapes, algorithm=algorithm)
    assert y._entry.backend == "compiled"
    _, expected = results("loops", function, *shapes, dtype=np.float64)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == np.float32
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(1, np.abs(b).max()))


# ---------------------------------------------------------------------------
# The answers, for channels that make all kinds of lanes
# ---------------------------------------------------------------------------
CHANNELS = st.sampled_from([1, 2, 3, 4, 6, 8, 10, 12, 14, 16, 24, 28, 40, 58])
SMALL = settings(max_examples=25)


@st.composite
def windows(draw):
    """An image (N, C, H, W) and windows that fit into it."""
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    kernel, stride, dilation = draw(pair), draw(pair), draw(pair)
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    size = [d * (k - 1) + 1 + draw(st.integers(0, 4)) for k, d in zip(kernel, dilation)]
    shape = (draw(st.integers(1, 3)), draw(CHANNELS), *size)
    return shape, kernel, {"stride": stride, "padding": padding, "dilation": dilation}


@SMALL
@given(
    windows(), st.integers(1, 2), st.integers(0, 14), st.integers(0, 3),
    st.sampled_from([0, 16, 48]), st.booleans(), st.sampled_from([None, "relu", "relu6"]),
)  # fmt: skip
@pytest.mark.parametrize("width", [8, 16])
def test_depthwise_convolution(width, case, M, wider, more, channels, bias, activation):
    """Rows longer than a thread's pixels, padding wider than the kernel, registers of all sizes."""
    (N, C, H, W), kernel, how = case
    C = channels or max(2, C)  # one group is an ordinary convolution
    how["padding"] = tuple(p + more for p in how["padding"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "register_floats", lambda: width)
        agree(
            lambda x, w, b: F.conv2d(x, w, b, groups=C, activation=activation, **how),
            (N, C, H, W + wider), (C * M, 1, *kernel), (C * M,) if bias else None,
        )  # fmt: skip


@SMALL
@given(
    st.sampled_from(["winograd2", "winograd4"]), st.sampled_from([3, 8]),
    st.sampled_from([3, 8]), st.tuples(st.integers(3, 11), st.integers(3, 11)),
    st.booleans(), st.booleans(), st.sampled_from([None, "relu", "relu6", "silu"]),
)  # fmt: skip
def test_winograd(algorithm, C, O, size, bias, add, activation):
    agree(
        lambda x, w, b, a: F.conv2d(
            x, w, b, padding=1, activation=activation, add=a
        ),
        (2, C, *size), (O, C, 3, 3), (O,) if bias else None, (2, O, *size) if add else None,
        tolerance=3e-5, algorithm=algorithm,
    )  # fmt: skip


@SMALL
@given(
    windows(), st.sampled_from([1, 1, 2, 3]), st.sampled_from([1, 3, 10, 16, 33, 48, 70]),
    st.booleans(), st.booleans(), st.sampled_from([None, "relu", "relu6", "silu"]),
)  # fmt: skip
def test_direct_convolution(case, G, O, bias, add, activation):
    (N, C, *size), kernel, how = case
    output = output_size(tuple(size), kernel, how["stride"], how["padding"], how["dilation"])
    scale = (C * kernel[0] * kernel[1]) ** -0.5  # a slope hands z's rounding on: z is of size 1
    agree(
        lambda x, w, b, a: F.conv2d(x, w * scale, b, groups=G, activation=activation, add=a, **how),
        (N, G * C, *size), (G * O, C, *kernel), (G * O,) if bias else None,
        (N, G * O, *output) if add else None, algorithm="direct",
    )  # fmt: skip


@SMALL
@given(
    windows(), st.sampled_from([2, 4, 6, 8, 12, 16, 24, 32, 48, 64]), st.sampled_from([8, 16]),
    st.integers(1, 9),
)  # fmt: skip
def test_weight_gradients_of_thin_convolutions(case, O, width, parts):
    (N, C, *size), kernel, how = case
    geometry = Geometry.of(
        (N, C, *size), (O, C, *kernel), how["stride"], how["padding"], (how["dilation"][0], 1), 1
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(direct_weights, "register_floats", lambda: width)
        direct_weights.shape_of.cache_clear()
        assume(min(geometry.output) > 0 and direct_weights.shape_of(geometry) is not None)
        random = np.random.default_rng(0)
        x = random.standard_normal(geometry.x_shape).astype(np.float32)
        dz = random.standard_normal(geometry.y_shape).astype(np.float32)
        patch.setattr(direct_weights, "CACHED", (x.nbytes + dz.nbytes) // parts)
        found = direct_weights.weight_gradient(x, dz, geometry)
    direct_weights.shape_of.cache_clear()
    expected = fast.tiled.weight_gradient(x.astype(np.float64), dz.astype(np.float64), geometry)
    size = max(1, np.abs(expected).max(), geometry.pixels**0.5)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6 * size)


def test_a_thin_weight_gradient_of_no_images_is_0():
    geometry = Geometry.of((0, 3, 8, 8), (16, 3, 3, 3), (1, 1), (1, 1), (1, 1), 1)
    assert direct_weights.shape_of(geometry) is not None
    x, dz = (np.empty(shape, np.float32) for shape in (geometry.x_shape, geometry.y_shape))
    dw = direct_weights.weight_gradient(x, dz, geometry)
    np.testing.assert_array_equal(dw, np.zeros(geometry.w_shape, np.float32))


THIN = {  # N, C, H, O, kernel, stride -> by floats of a register, whether its dw is direct
    "lenet": ((64, 1, 28, 6, 5, 1), {8: False, 16: True}),
    "lenet's second": ((64, 6, 14, 16, 5, 1), {8: True, 16: True}),
    "cifar": ((64, 3, 32, 32, 3, 1), {8: True, 16: True}),
    "vgg": ((2, 3, 224, 64, 3, 1), {8: True, 16: True}),
    "googlenet": ((4, 32, 28, 96, 5, 1), {8: True, 16: True}),
    "googlenet's last": ((4, 192, 7, 384, 3, 1), {8: False, 16: True}),
    "resnet stem": ((4, 3, 224, 64, 7, 2), {8: True, 16: True}),
    "resnet": ((4, 64, 56, 64, 3, 1), {8: False, 16: False}),  # Winograd's
    "resnet's last": ((4, 512, 7, 512, 3, 1), {8: False, 16: False}),
    "stride 2": ((4, 128, 28, 256, 3, 2), {8: False, 16: False}),
    "mobilenet": ((4, 144, 28, 32, 1, 1), {8: False, 16: True}),
    "8 filters at a time": ((4, 120, 28, 248, 5, 1), {8: False, 16: False}),
}


@pytest.mark.parametrize("width", [8, 16])
@pytest.mark.parametrize("name", THIN)
def test_where_thin_weight_gradients_are_direct(name, width, monkeypatch):
    (N, C, H, O, K, S), expected = THIN[name]
    monkeypatch.setattr(direct_weights, "register_floats", lambda: width)
    direct_weights.shape_of.cache_clear()
    padding = (K // 2, K // 2)
    geometry = Geometry.of((N, C, H, H), (O, C, K, K), (S, S), padding, (1, 1), 1)
    found = compiled.ALGORITHMS.others.choose(geometry, np.dtype(np.float32))
    assert direct_weights.suits(geometry, found) == expected[width]
    direct_weights.shape_of.cache_clear()


@pytest.mark.parametrize(
    ("width", "registers", "pixels"),
    [(width, *shape) for width, shapes in direct.SHAPES.items() for shape in shapes],
)
def test_direct_convolution_in_threads_of_every_shape(width, registers, pixels, monkeypatch):
    """Filters and pixels that are no multiples, whatever register this CPU has."""
    monkeypatch.setattr(direct, "shape_of", lambda *_: (1.0, registers * width, pixels))
    monkeypatch.setattr(direct, "CACHED", 0 if pixels % 2 else 2**40)  # filters outside, or inside
    monkeypatch.setattr(direct, "MANY", 0 if pixels % 2 else 2**40)
    agree(
        lambda x, w, b: F.conv2d(x, w, b, padding=1, activation="relu"),
        (2, 9, 11, 23), (37, 9, 3, 3), (37,), algorithm="direct",
    )  # fmt: skip


@SMALL
@given(
    st.integers(1, 9), st.sampled_from([1, 7, 16, 33, 100]), st.sampled_from([1, 3, 4, 17, 64]),
    st.sampled_from([8, 16]), st.booleans(), st.booleans(),
    st.sampled_from([None, "relu", "relu6", "silu"]),
)  # fmt: skip
def test_fully_connected_layer_of_few_rows(M, K, N, width, bias, add, activation):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linear, "register_floats", lambda: width)
        agree(
            lambda x, w, b, a: F.linear(x, w * K**-0.5, b, activation=activation, add=a),
            (M, K), (N, K), (N,) if bias else None, (M, N) if add else None,
        )  # fmt: skip


DIRECT = {  # N, C, H, O, kernel, stride, groups -> algorithm by the floats of a register
    "resnet stem": ((2, 3, 224, 64, 7, 2, 1), {8: "direct", 16: "direct"}),
    "resnext": ((2, 128, 56, 128, 3, 1, 32), {8: "direct", 16: "direct"}),
    "lenet": ((64, 1, 28, 6, 5, 1, 1), {8: "direct", 16: "direct"}),
    "cifar": ((64, 32, 32, 32, 3, 1, 1), {8: "winograd4", 16: "direct"}),
    "vgg": ((2, 64, 224, 64, 3, 1, 1), {8: "winograd4", 16: "winograd4"}),
    "resnet end": ((4, 512, 7, 512, 3, 1, 1), {8: "tiled", 16: "direct"}),
    "mobilenet": ((4, 24, 56, 144, 1, 1, 1), {8: "direct", 16: "direct"}),
    "resnet 1x1": ((4, 256, 14, 128, 1, 1, 1), {8: "product", 16: "direct"}),
    "one pixel": ((64, 64, 1, 16, 1, 1, 1), {8: "product", 16: "product"}),
    "depthwise": ((2, 96, 56, 96, 3, 1, 96), {8: "depthwise", 16: "depthwise"}),
}


@pytest.mark.parametrize("width", [8, 16])
@pytest.mark.parametrize("name", DIRECT)
def test_where_direct_convolution_is_taken(name, width, monkeypatch):
    (N, C, H, O, K, S, G), expected = DIRECT[name]
    monkeypatch.setattr(direct, "register_floats", lambda: width)
    padding = (K // 2, K // 2)
    geometry = Geometry.of((N, C, H, H), (O, C // G, K, K), (S, S), padding, (1, 1), G)
    assert compiled.ALGORITHMS.choose(geometry, np.float32) == expected[width]
    in_double = fast.convolution.NUMPY.choose(geometry, np.float64)
    assert compiled.ALGORITHMS.choose(geometry, np.float64) == in_double


@SMALL
@given(windows(), st.sampled_from([1, 3, 10, 16, 33]))
@pytest.mark.parametrize("cached", [True, False])
def test_col2im_in_blocks_of_images_and_in_whole_steps(cached, case, O):
    (N, C, *size), kernel, how = case
    places = how["stride"], how["padding"], how["dilation"]
    g = Geometry.of((N, C, *size), (O, C, *kernel), *places, 1)
    random = np.random.default_rng(0)
    dz = random.standard_normal(g.y_shape).astype(np.float32)
    w = random.standard_normal(g.w_shape).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(col2im, "BLOCK", 2**19 if cached else 0)
        patch.setattr(col2im, "WORKSPACE", 10_000)
        found = col2im.input_gradient(dz, w, g)
    expected = fast.tiled.input_gradient(dz.astype(np.float64), w.astype(np.float64), g)
    np.testing.assert_allclose(found, expected, atol=2e-6 * max(1, np.abs(expected).max()))


BACK = {  # N, C, H, O, kernel, stride, groups -> who computes the input gradient
    "lenet": ((64, 6, 14, 16, 5, 1, 1), "banded"),
    "resnet downsampling": ((4, 64, 56, 128, 3, 2, 1), "col2im"),
    "resnet end": ((4, 512, 7, 512, 3, 1, 1), "col2im"),
    "alexnet": ((4, 64, 27, 192, 5, 1, 1), "direct"),
    "5x5, stride 2": ((4, 96, 55, 256, 5, 2, 1), "direct"),
    "resnext": ((2, 128, 56, 128, 3, 1, 32), "direct"),
    "vgg": ((2, 64, 28, 64, 3, 1, 1), "winograd4"),
    "1x1": ((4, 64, 28, 64, 1, 1, 1), "product"),
}


@pytest.mark.parametrize("name", BACK)
def test_who_computes_the_input_gradient(name, monkeypatch):
    (N, C, H, O, K, S, G), expected = BACK[name]
    monkeypatch.setattr(direct, "register_floats", lambda: 16)
    geometry = Geometry.of((N, C, H, H), (O, C // G, K, K), (S, S), (K // 2, K // 2), (1, 1), G)
    seen, table = [], dict(compiled.ALGORITHMS.others.table)
    for key in table:
        table[key] = replace(table[key], input_gradient=lambda *_, k=key: seen.append(k))
    monkeypatch.setattr(direct, "input_gradient", lambda *_: seen.append("direct"))
    monkeypatch.setattr(direct.col2im, "input_gradient", lambda *_: seen.append("col2im"))
    monkeypatch.setattr(direct.banded, "input_gradient", lambda *_: seen.append("banded"))
    dz, w = (np.empty(shape, np.float32) for shape in (geometry.y_shape, geometry.w_shape))
    direct.Algorithms(table, compiled.COST).input_gradient(dz, w, geometry)
    assert seen == [expected]


def test_the_names_of_algorithms_are_those_of_the_table():
    assert set(KNOWN["compiled"]) == {"auto", "im2col", *compiled.ALGORITHMS.table}
    assert direct.register_floats() in direct.SHAPES


@SMALL
@given(windows())
def test_max_pooling(case):
    shape, kernel, how = case
    agree(lambda x: F.max_pool2d(x, kernel, **how), shape)


@SMALL
@given(windows(), st.booleans())
def test_average_pooling(case, include):
    shape, kernel, how = case
    del how["dilation"]
    agree(lambda x: F.avg_pool2d(x, kernel, count_include_pad=include, **how), shape)


@SMALL
@given(
    CHANNELS, st.integers(1, 4), st.integers(1, 9), st.booleans(), st.booleans(), st.booleans(),
    st.sampled_from([None, "relu", "relu6", "silu"]),
)  # fmt: skip
def test_batch_normalization(C, N, size, affine, add, training, activation):
    shape = (N, C, size, size + 1)

    def function(x, w, b, shortcut):
        running = [Tensor(np.full(C, v, x.dtype)) for v in (0.25, 2)]
        return F.batch_norm(x, *running, w, b, training, add=shortcut, activation=activation)

    channel = (C,) if affine else None
    agree(function, shape, channel, channel, shape if add else None, tolerance=2e-5)


@pytest.mark.parametrize("function", [F.relu, F.relu6])
@pytest.mark.parametrize("shape", [(3, 5, 31, 27), (2, 16, 20, 20), (2**13,)])
def test_walks_back_through_a_relu(function, shape):
    """Sizes that make 1, 2 and 32 lanes."""
    agree(lambda x: function(x * 4), shape)


def test_statistics_far_from_zero():
    """A mean of 10^4 beside a deviation of 1, over more rows than a part has."""
    x = np.random.default_rng(0).standard_normal((8, 24, 40, 40)) + 1e4
    with use_backend("compiled"):
        y = F.batch_norm(Tensor(x.astype(np.float32)), training=True).numpy()
    exact = x.astype(np.float32).astype(np.float64)
    exact -= exact.mean(axis=(0, 2, 3), keepdims=True)
    exact /= np.sqrt((exact**2).mean(axis=(0, 2, 3), keepdims=True) + 1e-5)
    np.testing.assert_allclose(y, exact, atol=2e-3)


def test_a_nan_wins_and_the_first_of_equals():
    values = np.zeros((1, 16, 4, 4), np.float32)
    values[0, 3, 1, 1] = np.nan
    found = []
    for backend in ("compiled", "loops"):
        with use_backend(backend):
            x = Tensor(values, requires_grad=True)
            y = F.max_pool2d(x, 2)
            y.sum().backward()
        found += [y.numpy(), x.grad.numpy()]
    np.testing.assert_array_equal(found[0], found[2])
    np.testing.assert_array_equal(found[1], found[3])


def test_the_same_bits_on_one_thread_and_on_three():
    def pass_(x, w):
        y = F.conv2d(x, w, padding=1, groups=48, activation="relu6")
        return F.max_pool2d(F.batch_norm(y, training=True), 3, 2)

    before, found = get_num_threads(), []
    try:
        for threads in (1, 3):
            set_num_threads(threads)
            found.append(results("compiled", pass_, (3, 48, 30, 31), (48, 1, 3, 3))[1])
    finally:
        set_num_threads(before)
    for one, three in zip(*found, strict=True):
        np.testing.assert_array_equal(one, three)


@pytest.mark.parametrize("shape", [(64, 16, 3, 3), (9001,), (130, 70), (5, 4)])
@pytest.mark.parametrize("settings", [
    {}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}, {"weight_decay": 0.01},
    {"momentum": 0.5, "weight_decay": 0.1, "nesterov": True},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("order", ["row-major", "channels last", "reversed"])
def test_a_step_of_sgd_gives_numpys_bits(shape, settings, order):
    """Sizes of 1, 28 and 32 lanes, and one that is too small for a kernel."""

    def trained(backend):
        random = np.random.default_rng(0)
        values = random.standard_normal(shape).astype(np.float32)
        if order == "channels last" and len(shape) == 4:
            values = np.ascontiguousarray(values.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        elif order == "reversed":
            values = np.ascontiguousarray(values.T).T
        w = Tensor(values, requires_grad=True)
        optimizer = SGD([w], lr=0.1, **settings)
        with use_backend(backend):
            for _ in range(3):
                optimizer.zero_grad()
                (w * random.standard_normal(shape).astype(np.float32)).sum().backward()
                optimizer.step()
        return w.numpy(), optimizer.velocity[0]

    (w, v), (w_, v_) = trained("compiled"), trained("numpy")
    np.testing.assert_array_equal(w, w_)
    assert (v is None) == (v_ is None)
    if v is not None:
        np.testing.assert_array_equal(v, v_)


def test_lanes():
    assert [lanes_of(C) for C in (1, 3, 6, 20, 24, 32, 58, 64, 144)] == [
        1, 1, 6, 20, 24, 32, 2, 32, 24,
    ]  # fmt: skip


# ---------------------------------------------------------------------------
# Where NumPy runs instead
# ---------------------------------------------------------------------------
def test_float64_runs_the_fast_backend():
    y, found = results("compiled", lambda x: F.max_pool2d(x, 2), (2, 4, 6, 6), dtype=np.float64)
    assert y._entry.backend == "fast"
    _, expected = results("loops", lambda x: F.max_pool2d(x, 2), (2, 4, 6, 6), dtype=np.float64)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture
def failing(monkeypatch):
    """compiled.operations() on a machine where loading a kernel raises this error."""

    def load(error):
        def raising(*_):
            raise error

        monkeypatch.setattr("minicnn.emulator.native.load_native", raising)
        return compiled.operations()

    return load


def test_without_a_compiler_it_is_the_fast_backend(failing):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert failing(CompilerNotFound("none")) == fast.OPERATIONS


@pytest.mark.parametrize("error", [EmulatorError("no headers"), PermissionError("cache")])
def test_a_compiler_that_fails_is_named_once(failing, error):
    with pytest.warns(RuntimeWarning, match=f"cannot be compiled for speed here \\({error}\\)"):
        assert failing(error) == fast.OPERATIONS


# ---------------------------------------------------------------------------
# A kernel by itself
# ---------------------------------------------------------------------------
HEAD = '#include "lanes.cuh"\nextern "C" __global__ void f'


def test_every_thread_of_a_grid_runs_once():
    f = load_native(HEAD + """(int* seen) {
        int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
        int z = blockIdx.z * blockDim.z + threadIdx.z;
        seen[(z * gridDim.y * blockDim.y + y) * gridDim.x * blockDim.x + x] += 1;
    }""", "f", {})  # fmt: skip
    seen = np.zeros((3 * 2, 5 * 2, 7 * 3), np.int32)
    f((7, 5, 3), (3, 2, 2), (seen,))
    np.testing.assert_array_equal(seen, 1)


@pytest.fixture
def watching(monkeypatch):
    """Two workers, whose helper watches for a minute; what the team did is written down."""
    before, pool, shared = get_num_threads(), workers._pool, []

    class Noted(Team):
        def share(self, *args):
            shared.append(super().share(*args))
            return shared[-1]

    monkeypatch.setattr(team, "AWAKE", 60 * 10**9)
    set_num_threads(2)
    workers.use_team(Noted())
    yield shared
    monkeypatch.setattr(team, "AWAKE", 0)
    workers.run(lambda *_: None, 2)  # the helper comes back from the minute, and goes to sleep
    monkeypatch.setattr(workers, "_pool", pool)
    set_num_threads(before)


def test_a_helper_that_watches_takes_launches_and_calls_in_any_order(watching):
    """Nobody waits for the minute to end; each block and each call is done once."""
    f = load_native(HEAD + "(int* seen) { seen[blockIdx.x] += 1; }", "f", {})
    random, start = np.random.default_rng(0), time.monotonic()
    for _ in range(2000):
        count = int(random.integers(1, 200))
        seen, called = np.zeros(count, np.int32), []
        if random.integers(2):
            f((count,), (1,), (seen,), workers.share_blocks, 10**9)
            np.testing.assert_array_equal(seen, 1)
        else:
            workers.run(lambda _, i, to=called: to.append(i), count)
            assert sorted(called) == list(range(count))
        if random.integers(10) == 0:
            time.sleep(random.uniform(0, 1e-3))
    assert time.monotonic() - start < 60
    assert any(watching)  # some without Python


def test_a_team_whose_helpers_are_away_does_nothing():
    assert Team().share(None, b"", 1, 1, 1) is False


def test_places_are_counted_on_as_they_would_be_divided():
    f = load_native(HEAD + """(int* at, long long n, int H, int W, int C) {
        long long i = thread_index();
        if (i >= n) return;
        Place p = place_of(i, H, W, C);
        at[4 * i] = p.n; at[4 * i + 1] = p.h; at[4 * i + 2] = p.w; at[4 * i + 3] = p.c;
    }""", "f", {})  # fmt: skip
    N, H, W, C = 3, 5, 4, 7
    at = np.full((N * H * W * C, 4), -1, np.int32)
    f((-(-len(at) // 32),), (32,), (at, len(at), H, W, C))
    np.testing.assert_array_equal(at, np.argwhere(np.ones((N, H, W, C))))


def test_threads_that_wait_are_refused():
    with pytest.raises(EmulatorError, match="threads of a kernel compiled for speed cannot wait"):
        load_native(HEAD + "(float* x) { __syncthreads(); x[0] = 1; }", "f", {})


@pytest.mark.parametrize(
    ("array", "error", "message"),
    [
        (np.zeros(4), TypeError, "wants a NumPy array of float32, but got float64"),
        (np.zeros(8, np.float32)[::2], ValueError, "wants a C-contiguous array"),
        ([0.0], TypeError, "wants a NumPy array of float32, but got list"),
    ],
)
def test_wrong_arrays(array, error, message):
    f = load_native(HEAD + "(float* x) { x[0] = 1; }", "f", {})
    with pytest.raises(error, match=message):
        f((1,), (1,), (array,))
