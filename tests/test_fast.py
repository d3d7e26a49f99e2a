"""The fast backend's algorithms, and how they are chosen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import minicnn
from minicnn import Tensor, use_backend
from minicnn import functional as F
from minicnn.backends import algorithm as algorithms
from minicnn.backends.fast import (
    banded,
    convolution,
    tiled,
    tiles,
    winograd,
    winograd_tiles,
    workers,
)
from minicnn.backends.geometry import Geometry
from minicnn.checks import strategies

TOLERANCE = {"float32": 3e-6, "float64": 1e-12}  # of the largest number of a result
WINOGRAD = {"winograd": 2e-5, "winograd2": 3e-6, "winograd4": 2e-5}  # the same, float32
BACKENDS = ["fast", "compiled"]
NAMED = tuple(name for name in algorithms.KNOWN["fast"] if name not in ("auto", "im2col"))


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    """A number of threads, and the one before afterwards."""
    before = workers._chosen
    minicnn.set_num_threads(request.param)
    yield request.param
    minicnn.set_num_threads(before)


@pytest.fixture
def everything_shared(monkeypatch):
    """Tiles of a few pixels, and work of any size is shared by the threads."""
    run = workers.run
    monkeypatch.setattr(tiled, "run", lambda function, count, parallel: run(function, count))
    monkeypatch.setattr(tiled, "PIXELS", 5)
    monkeypatch.setattr(tiled, "COLUMNS", 1000)
    monkeypatch.setattr(tiled, "LEAST", 3)
    monkeypatch.setattr(winograd, "BLOCK", 5000)


def random(*shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def forward_backward(case, backend="fast", algorithm=None, dtype=np.float64):
    """The output and all gradients of a conv2d case."""
    inputs = [
        None if a is None else Tensor(a.astype(dtype), requires_grad=True) for a in case.arrays
    ]
    with use_backend(backend):
        y = F.conv2d(*inputs, **case.settings, algorithm=algorithm)
        y.backward(Tensor(random(*y.shape).astype(dtype)))
    return [y.numpy(), *(None if t is None else t.grad.numpy() for t in inputs)]


def refuses(name, case, dtype):
    """Whether an algorithm cannot compute a case."""
    x, w, _ = case.arrays
    s = {"stride": 1, "dilation": 1, "groups": 1, "padding": 0, **case.settings}
    padding = s["padding"]
    if not isinstance(padding, int) and (
        isinstance(padding, str) or any(not isinstance(p, int) for p in padding)
    ):
        return True
    pairs = [(p, p) if isinstance(p, int) else tuple(p) for p in
             (s["stride"], padding, s["dilation"])]  # fmt: skip
    geometry = Geometry.of(x.shape, w.shape, *pairs, s["groups"])
    return convolution.NUMPY.table[name].rule(geometry, np.dtype(dtype)) is not None


def assert_close(got, expected, tolerance):
    """Of (y, dx, dw, db), each within tolerance of its largest number.

    dw and db add up R terms of size 1, a term for each pixel: sqrt(R) is the size of what is
    rounded on the way, however much of it may cancel at the end.
    """
    y = expected[0]
    for k, (g, e) in enumerate(zip(got, expected, strict=True)):
        assert (g is None) == (e is None)
        if e is not None and e.size:
            size = max(1, np.abs(e).max(), (y.size / y.shape[1]) ** 0.5 if k >= 2 else 0)
            np.testing.assert_allclose(g, e, rtol=0, atol=tolerance * size)


# ---------------------------------------------------------------------------
# Each algorithm, by name, against the readable drawing in float64
# ---------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("backend", "name"),
    [*(("fast", n) for n in ("auto", "im2col", "tiled", "banded")),
     ("compiled", "auto"), ("compiled", "banded")],
)  # fmt: skip
@settings(max_examples=40)
@given(case=strategies.conv2d())
def test_an_algorithm_for_all_shapes_equals_the_definition(name, backend, dtype, case):
    if name == "banded":
        assume(not refuses(name, case, dtype))
    expected = forward_backward(case, "numpy")
    assert_close(forward_backward(case, backend, name, dtype), expected, TOLERANCE[dtype.__name__])


@st.composite
def special_case(draw, name):
    """A convolution that the algorithm of that name can compute."""
    N, H, W = draw(st.integers(1, 3)), draw(st.integers(3, 11)), draw(st.integers(3, 11))
    kernel, s = (1, 1), {}
    C, O, groups = draw(st.integers(1, 5)), draw(st.integers(1, 5)), 1
    if name.startswith("winograd"):
        kernel, s["padding"] = (3, 3), (draw(st.integers(0, 4)), draw(st.integers(0, 4)))
    elif name == "depthwise":
        C = O = groups = draw(st.integers(2, 6))
        kernel = draw(st.integers(1, 3)), draw(st.integers(1, 3))
        s["padding"] = draw(st.integers(0, 3)), draw(st.integers(0, 3))
    if name in ("depthwise", "product"):
        s["stride"] = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    seed = draw(st.integers(0, 999))
    x, w = random(N, C, H, W, seed=seed), random(O, C // groups, *kernel, seed=seed + 1)
    bias = draw(st.sampled_from([None, random(O, seed=seed + 2)]))
    return strategies.Case("conv2d", (x, w, bias), {**s, "groups": groups})


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", [n for n in NAMED if n not in ("tiled", "banded")])
@settings(max_examples=40)
@given(data=st.data())
def test_an_algorithm_for_some_shapes_equals_the_definition(name, dtype, backend, data):
    case = data.draw(special_case(name))
    if name in WINOGRAD and dtype == np.float64:
        with pytest.raises(ValueError, match="float32 only, but the arrays are float64"):
            forward_backward(case, backend, name, dtype)
        return
    got = forward_backward(case, backend, name, dtype)
    tolerance = WINOGRAD.get(name, TOLERANCE[dtype.__name__])
    assert_close(got, forward_backward(case, "numpy"), tolerance)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("staged", [False, True])
@pytest.mark.parametrize("name", WINOGRAD)
@pytest.mark.parametrize("channels", [5, 8])  # a thread of a compiled kernel takes 1 or 8
def test_winograd_in_blocks_and_in_stages(
    channels, name, staged, backend, threads, everything_shared, monkeypatch
):
    monkeypatch.setattr(winograd, "STAGED", 1 if staged else 10**9)
    monkeypatch.setattr(winograd_tiles, "WORKSPACE", 10_000)
    C, O = channels, 2 * channels
    arrays = random(3, C, 17, 14), random(O, C, 3, 3), random(O)
    case = strategies.Case("conv2d", arrays, {"padding": (1, 0), "activation": "relu"})
    got = forward_backward(case, backend, name, np.float32)
    assert_close(got, forward_backward(case, "numpy"), WINOGRAD[name])


WHOLE = {  # x, w, settings
    "tiles": ((3, 4, 13, 12), (6, 4, 3, 3), {"padding": 1}),
    "wide": ((1, 2, 4, 40), (3, 2, 3, 3), {}),
    "strides": ((3, 4, 13, 12), (6, 4, 3, 3), {"padding": 1, "stride": (2, 3)}),
    "groups": ((3, 4, 13, 12), (6, 2, 3, 3), {"padding": 2, "groups": 2, "dilation": (1, 2)}),
    "banded": ((3, 1, 12, 12), (6, 1, 5, 5), {"padding": 2}),
}


@pytest.mark.parametrize("activation", [None, "relu", "relu6", "silu", "hardswish"])
@pytest.mark.parametrize("shape", WHOLE)
def test_every_tile_ends_in_bias_shortcut_and_activation(
    shape, activation, threads, everything_shared
):
    x, w, how = WHOLE[shape]
    how = {**how, "activation": activation}
    x, w, b = random(*x), random(*w, seed=1), random(w[0], seed=2)
    shortcut = random(*F.conv2d(x, w, b, **how).shape, seed=3)
    case = strategies.Case("conv2d", (x, w, b), {**how, "add": Tensor(shortcut)})
    name = "banded" if shape == "banded" else None
    assert_close(
        forward_backward(case, "fast", name), forward_backward(case, "numpy"), TOLERANCE["float64"]
    )


@pytest.mark.parametrize(
    ("x", "w", "how"),
    [
        ((2, 3, 70, 71), (40, 3, 7, 7), {"stride": 2, "padding": 3}),
        ((2, 40, 40, 40), (48, 40, 3, 3), {"padding": 1}),
        ((2, 128, 30, 31), (128, 128, 3, 3), {"padding": 1}),
        ((2, 96, 30, 30), (96, 1, 3, 3), {"padding": 1, "groups": 96}),
        ((2, 256, 28, 28), (64, 256, 1, 1), {}),
        ((32, 6, 14, 14), (16, 6, 5, 5), {}),
    ],
    ids=["stem", "fused winograd", "staged winograd", "depthwise", "product", "banded"],
)
def test_the_same_bits_on_any_number_of_threads(x, w, how):
    case = strategies.Case("conv2d", (random(*x), random(*w), random(w[0])), how)
    before, results = workers._chosen, []
    try:
        for threads in (1, 2, 3, 3):
            minicnn.set_num_threads(threads)
            results.append(forward_backward(case, "fast", dtype=np.float32))
    finally:
        minicnn.set_num_threads(before)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)
    for got, expected in zip(results[0], forward_backward(case, "numpy"), strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=2e-5 * np.abs(expected).max())


# ---------------------------------------------------------------------------
# Choice
# ---------------------------------------------------------------------------
CHOICES = {  # N, C, H, O, kernel, stride, groups -> algorithm
    "vgg": ((2, 64, 224, 64, 3, 1, 1), "winograd4"),
    "resnet stem": ((2, 3, 224, 64, 7, 2, 1), "tiled"),
    "resnet 1x1": ((2, 256, 56, 64, 1, 1, 1), "product"),
    "resnet 3x3/2": ((2, 128, 56, 128, 3, 2, 1), "tiled"),
    "mobilenet": ((2, 96, 56, 96, 3, 1, 96), "depthwise"),
    "resnext": ((2, 128, 56, 128, 3, 1, 32), "tiled"),
    "lenet": ((64, 1, 28, 6, 5, 1, 1), "banded"),
    "tiny": ((1, 3, 5, 4, 3, 1, 1), "banded"),
}


@pytest.mark.parametrize("name", CHOICES)
def test_the_choice_goes_by_shape(name):
    (N, C, H, O, K, S, G), expected = CHOICES[name]
    geometry = Geometry.of(
        (N, C, H, H), (O, C // G, K, K), (S, S), (K // 2, K // 2) if K > 1 else (0, 0), (1, 1), G
    )
    assert convolution.NUMPY.choose(geometry, np.dtype(np.float32)) == expected
    in_double = convolution.NUMPY.choose(geometry, np.dtype(np.float64))
    assert in_double == ("tiled" if expected == "winograd4" else expected)


@pytest.mark.parametrize("shape, algorithm", [
    ((1, 3, 8, 16, 3, 1), "im2col"),
    ((1, 3, 16, 16, 3, 1), "auto"),
    ((1, 8, 4, 8, 1, 1), "auto"),
    ((1, 8, 8, 8, 3, 4), "auto"),
])  # fmt: skip
def test_a_tiny_convolution_runs_the_readable_drawing(shape, algorithm):
    N, C, H, O, K, G = shape
    x, w = random(N, C, H, H, dtype=np.float32), random(O, C // G, K, K, dtype=np.float32)
    with use_backend("fast"):
        taken = F.conv2d(Tensor(x, requires_grad=True), w, padding=K // 2, groups=G)._entry
        named = F.conv2d(Tensor(x, requires_grad=True), w, groups=G, algorithm="tiled")._entry
    assert (taken.algorithm, named.algorithm) == (algorithm, "tiled")


def test_the_names_are_those_of_the_table():
    assert set(algorithms.KNOWN["fast"]) == {"auto", "im2col", *convolution.NUMPY.table}


def test_winograd_can_be_turned_off():
    x, w = random(2, 64, 58, 58, dtype=np.float32), random(64, 64, 3, 3, dtype=np.float32)
    exact = F.conv2d(x.astype(np.float64), w.astype(np.float64)).numpy()
    errors = {}
    with use_backend("fast"):
        for name in ("auto", "winograd4", "tiled"):
            with minicnn.use_algorithm(name):
                errors[name] = np.abs(F.conv2d(x, w).numpy() - exact).max()
    assert errors["auto"] == errors["winograd4"] > 2 * errors["tiled"]


ERRORS = {
    "unknown": ("fast", "fft", "use_algorithm: expects one of 'auto', .* but got 'fft'"),
    "elsewhere": ("fast", "shared_tile", "the fast backend has no algorithm 'shared_tile'; use"),
    "numpy": ("numpy", "tiled", "the numpy backend has no algorithm 'tiled'; use one of 'auto'"),
    "loops": ("loops", "im2col", "the loops backend has no algorithm 'im2col'"),
    "rule": ("fast", "winograd", "'winograd' needs a 3x3 kernel, .* got kernel \\(2, 2\\)"),
    "product": ("fast", "product", "'product' needs a 1x1 kernel, .* got kernel \\(2, 2\\)"),
    "depthwise": ("fast", "depthwise", "needs one filter for each channel, but .* 2 channels"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_an_algorithm_that_cannot_be_had_is_a_clear_error(name):
    backend, algorithm, text = ERRORS[name]
    x, w = np.ones((1, 2, 4, 4), np.float32), np.ones((2, 2, 2, 2), np.float32)
    with use_backend(backend), pytest.raises(ValueError, match=text):
        F.conv2d(x, w, algorithm=algorithm)
    assert algorithms.current_algorithm() == "auto"


def test_backward_goes_the_way_forward_went(monkeypatch):
    asked, find = [], convolution.NUMPY.find
    monkeypatch.setattr(
        convolution.NUMPY, "find", lambda name, *rest: asked.append(name) or find(name, *rest)
    )
    x, w = Tensor(random(1, 2, 5, 5), requires_grad=True), Tensor(random(3, 2, 3, 3))
    with use_backend("fast"):
        y = F.conv2d(x, w, algorithm="tiled")
        with minicnn.use_algorithm("im2col"):
            y.sum().backward()
    assert asked == ["tiled", "tiled"]


def test_neighbours_divide_the_row():
    geometry = Geometry.of((1, 1, 28, 28), (6, 1, 5, 5), (1, 1), (2, 2), (1, 1), 1)
    assert banded.neighbours(geometry) == 7
    assert banded.widened(geometry, 7).kernel == (5, 11)


def test_plans_are_kept_within_bounds():
    for plan in (tiles.cut, tiled.classes, convolution.NUMPY.find, Geometry.of):
        assert plan.cache_info().maxsize is not None
    for n in range(1, 400):
        tiles.cut(n, 7, 5, 10)
    assert tiles.cut.cache_info().currsize <= tiles.cut.cache_info().maxsize


@pytest.mark.parametrize("pixels", [1, 3, 7, 20, 50, 1000])
def test_tiles_cover_the_output_once_and_lie_together(pixels):
    matrix = np.arange(3 * 6 * 7).reshape(3, 6, 7)
    covered = []
    for t in tiles.cut(3, 6, 7, pixels):
        piece = matrix[t.n, t.i, t.j].ravel()
        np.testing.assert_array_equal(piece, np.arange(t.rows.start, t.rows.stop))
        assert len(piece) <= max(pixels, 1)
        covered.extend(piece)
    assert covered == list(range(matrix.size))


@pytest.mark.parametrize("whole", [1, 2**14, 2**24])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_weight_gradient_shared_by_cells(whole, stride, monkeypatch):
    """As with a large dw: col in one group of tiles, in several, in one for each tile."""
    g = Geometry.of((5, 6, 17, 13), (40, 3, 3, 3), (stride, stride), (1, 1), (1, 1), 2)
    random = np.random.default_rng(0)
    x, dz = random.standard_normal(g.x_shape), random.standard_normal(g.y_shape)
    monkeypatch.setattr(tiled, "COLUMNS", 2**14)  # several tiles
    monkeypatch.setattr(tiled, "PIXELS", 32)
    expected = tiled.weight_gradient(x, dz, g)
    monkeypatch.setattr(tiled, "SUMS", 0)
    monkeypatch.setattr(tiled, "WHOLE", whole)
    np.testing.assert_allclose(tiled.weight_gradient(x, dz, g), expected, atol=1e-10)
