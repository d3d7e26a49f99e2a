"""The ladder of convolution kernels: every rung and direction against the definition."""

from __future__ import annotations

import re
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_nvrtc import cubin, needs

import minicnn
from minicnn import emulator
from minicnn.backends import algorithm as algorithms
from minicnn.backends import launch as launcher
from minicnn.backends.cuda import convolution, implicit_gemm, tensor_cores, winograd
from minicnn.backends.geometry import Geometry
from minicnn.functional import conv2d, conv_transpose2d
from minicnn.layout import output_size
from minicnn.paths import kernels_dir
from minicnn.tensor import Tensor

pytestmark = pytest.mark.usefixtures("compiler")

IN_DOUBLE = ["naive", "coalesced", "direct", "shared_tile", "register_tile", "im2col"]
DIRECT = [*IN_DOUBLE, "implicit_gemm"]
WINOGRAD = ["winograd2", "winograd4"]
DIRECTIONS = ["forward", "input_gradient", "weight_gradient"]
TILE_NAMES = [f"{tile.m}x{tile.n}" for tile in implicit_gemm.TILES]
ONE = (1, 1)


# ---------------------------------------------------------------------------
# A problem, its answer, and how far a rung may be from it
# ---------------------------------------------------------------------------
class Problem:
    """Numbers for a convolution: x, w, b, dy and add, in float32's grid."""

    def __init__(self, N, C, O, size, kernel, stride=ONE, padding=(0, 0), dilation=ONE, groups=1):
        self.settings = {
            "stride": stride, "padding": padding, "dilation": dilation, "groups": groups,
        }  # fmt: skip
        rng = np.random.default_rng(0)

        def numbers(*shape):
            return rng.standard_normal(shape, np.float32)

        self.x, self.w = numbers(N, C * groups, *size), numbers(O * groups, C, *kernel)
        self.b = numbers(O * groups)
        output = output_size(size, kernel, stride, padding, dilation)
        self.dy, self.add = numbers(N, O * groups, *output), numbers(N, O * groups, *output)
        cells = kernel[0] * kernel[1]
        self.terms = (C * cells, O * cells, N * output[0] * output[1])  # of each result's sum

    def run(self, rung, dtype=np.float32, bias=True, add=False, activation=None):
        """(y, dx, dw) by a rung."""
        x, w, dy = (a.astype(dtype) for a in (self.x, self.w, self.dy))
        b, add = (a.astype(dtype) if on else None for a, on in ((self.b, bias), (self.add, add)))
        how = {**self.settings, "algorithm": rung}
        return (
            convolution.forward(x, w, b, add, activation=activation, **how),
            convolution.input_gradient(dy, w, x.shape, **how),
            convolution.weight_gradient(x, dy, w.shape, **how),
        )

    def answer(self, absolute=False):
        """(y, dx, dw) by the readable operation in float64; of all absolute values, if asked."""
        arrays = [a.astype(np.float64) for a in (self.x, self.w, self.b, self.dy)]
        x, w, b, dy = (np.abs(a) for a in arrays) if absolute else arrays
        x, w, b = (Tensor(a, requires_grad=True) for a in (x, w, b))
        y = conv2d(x, w, b, **self.settings)
        y.backward(Tensor(dy))
        return y.numpy(), x.grad.numpy(), w.grad.numpy()

    def check(self, results, factor=0.0, unit=2.0**-24):
        """Each result is as near as rounding allows.

        A sum of n products, added in whatever order, is wrong by at most (n + 1) u times the sum of
        the products' absolute values, u being the unit roundoff; the bias is one more. `factor` is
        how much more each product is off.
        """
        for result, exact, size, n in zip(
            results, self.answer(), self.answer(absolute=True), self.terms, strict=True
        ):
            assert result.shape == exact.shape
            assert (np.abs(result - exact) <= ((n + 3) * unit + factor) * size + 1e-300).all()


@st.composite
def problems(draw, channels=(1, 2, 3, 4, 5, 8, 12), most_groups=3):
    """Ragged problems of any geometry."""
    kernel = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    stride, dilation = ((draw(st.integers(1, n)), draw(st.integers(1, n))) for n in (3, 2))
    padding = (draw(st.integers(0, 3)), draw(st.integers(0, 3)))
    size = tuple(
        draw(st.integers(max(1, d * (k - 1) + 1 - 2 * p), 12))
        for k, p, d in zip(kernel, padding, dilation)
    )
    C, O = draw(st.sampled_from(channels)), draw(st.sampled_from(channels))
    groups = draw(st.integers(1, most_groups))
    return Problem(draw(st.integers(1, 3)), C, O, size, kernel, stride, padding, dilation, groups)


# One tile and a bit more in every direction; channels in multiples of 4 and not.
OVER_A_TILE = {
    "1x1": (1, 36, 132, (12, 11), (1, 1)),
    "3x3": (2, 12, 68, (9, 8), (3, 3), ONE, (1, 1)),
    "stem": (1, 3, 33, (25, 27), (7, 7), (2, 2), (3, 3)),
    "stride": (2, 9, 20, (11, 13), (3, 2), (2, 3), (1, 0)),
    "dilated groups": (1, 4, 8, (13, 12), (3, 3), (2, 1), (2, 2), (2, 3), 3),
}


# ---------------------------------------------------------------------------
# Every rung computes a convolution
# ---------------------------------------------------------------------------
@pytest.mark.parametrize("rung", DIRECT)
@pytest.mark.parametrize("name", OVER_A_TILE)
def test_rungs_agree_with_the_definition(rung, name):
    problem = Problem(*OVER_A_TILE[name])
    problem.check(problem.run(rung))


@pytest.mark.parametrize("rung", DIRECT)
@settings(max_examples=15)
@given(problem=problems())
def test_rungs_agree_on_ragged_shapes(rung, problem):
    problem.check(problem.run(rung))


@pytest.mark.parametrize("rung", IN_DOUBLE)
@pytest.mark.parametrize("name", ["3x3", "dilated groups"])
def test_plain_rungs_compute_in_double(rung, name):
    problem = Problem(*OVER_A_TILE[name])
    results = problem.run(rung, np.float64)
    assert all(result.dtype == np.float64 for result in results)
    problem.check(results, unit=2.0**-53)


@pytest.mark.parametrize("tile", implicit_gemm.TILES, ids=TILE_NAMES)
@pytest.mark.parametrize("C", [132, 5], ids=["by four", "one by one"])
def test_every_tile_of_the_implicit_gemm(tile, C, monkeypatch):
    monkeypatch.setattr(implicit_gemm, "TILES", (tile,))
    problem = Problem(2, C, C, (9, 8), (2, 1), (1, 1), (1, 0))
    problem.check(problem.run("implicit_gemm"))


@settings(max_examples=15)
@given(problem=problems(channels=(4, 8, 12, 68)))
def test_tensor_cores_round_factors_to_10_bits(problem):
    """Each factor is off by 2^-11 of its size at most, and so a product by 2^-10 and a bit."""
    problem.check(problem.run("tf32"), factor=2.0**-10 + 2.0**-22)


@pytest.mark.parametrize("tile", [tensor_cores.LARGE, tensor_cores.SMALL], ids=["128", "64"])
def test_every_tile_of_the_tensor_cores(tile, monkeypatch):
    monkeypatch.setattr(tensor_cores, "choose_tile", lambda *_: tile)
    problem = Problem(2, 20, 132, (9, 8), (2, 1), (1, 1), (1, 0))
    results = problem.run("tf32")
    problem.check(results, factor=2.0**-10 + 2.0**-22)
    with pytest.raises(AssertionError):  # so they were rounded
        problem.check(results)


WINOGRAD_ERROR = {"winograd2": 6e-7, "winograd4": 9e-6}  # of the largest result's size, see below


@pytest.mark.parametrize("rung", WINOGRAD)
@settings(max_examples=25)
@given(
    N=st.integers(1, 3), C=st.sampled_from([1, 3, 4, 20]), O=st.sampled_from([1, 4, 7, 36]),
    size=st.tuples(st.integers(3, 14), st.integers(3, 14)),
    padding=st.tuples(st.integers(0, 4), st.integers(0, 4)),
)  # fmt: skip
def test_winograd_agrees_with_the_definition(rung, N, C, O, size, padding):
    """The transforms mix a tile's numbers, so the error is that of the largest one.

    Measured in size, the sum of the products' absolute values, it was 2e-7 for F(2x2) and 3e-6 for
    F(4x4), whose matrices have entries from 1/24 to 8, at most in 150 such problems, and 2e-7 for
    the direct sum. The limits are three times that.
    """
    problem = Problem(N, C, O, size, (3, 3), ONE, padding)
    for result, exact, scale in zip(
        problem.run(rung), problem.answer(), problem.answer(absolute=True), strict=True
    ):
        assert np.abs(result - exact).max() <= WINOGRAD_ERROR[rung] * scale.max()


def test_winograd_takes_images_in_batches(monkeypatch):
    problem = Problem(5, 4, 8, (6, 7), (3, 3), ONE, (1, 1))
    whole = problem.run("winograd4")
    monkeypatch.setattr(winograd, "WORKSPACE", 2 * 4 * 36 * 12 * 4)  # two images' tiles
    assert len(winograd.batches((6, 7), 5, 12, 4)) == 3
    parts = problem.run("winograd4")
    for a, b in zip(whole[:2], parts[:2], strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(parts[2], whole[2], rtol=0, atol=1e-5 * np.abs(whole[2]).max())


def test_a_weight_gradient_is_split_and_added_in_order(monkeypatch):
    problem = Problem(3, 4, 8, (20, 21), (3, 3))
    geometry = Geometry.of(problem.x.shape, problem.w.shape, ONE, (0, 0), ONE, 1)
    assert -(-geometry.pixels // implicit_gemm.chunk_length(geometry)) == 4
    problem.check(problem.run("implicit_gemm"))
    partial_sums = np.array([[1.0, 2**-24], [2**-24, 2**-24], [2**-24, 1.0]], np.float32)
    total = implicit_gemm.add_partials(partial_sums)
    np.testing.assert_array_equal(total, [1, 1 + 2**-23])  # (1 + tiny) + tiny is 1


@pytest.mark.parametrize("stride", [1, 2])
def test_few_results_are_made_in_parts(stride, monkeypatch):
    problem = Problem(1, 66, 68, (6, 5), (3, 3), (stride, stride), (1, 1))
    assert implicit_gemm.parts_of_a_sum(30, 68, 1, 9 * 66) == 4
    results = problem.run("implicit_gemm", add=True, activation="relu")
    problem.check(problem.run("implicit_gemm"))
    monkeypatch.setattr(implicit_gemm, "FEW", 0)
    for parts, whole in zip(results, problem.run("implicit_gemm", add=True, activation="relu")):
        np.testing.assert_allclose(parts, whole, rtol=0, atol=1e-4)


@pytest.mark.parametrize("rung", [*DIRECT, *WINOGRAD, "tf32"])
@pytest.mark.parametrize("activation", [None, "relu", "silu"])
def test_bias_add_and_activation_are_part_of_the_kernel(rung, activation):
    problem = Problem(1, 4, 8, (6, 5), (3, 3), ONE, (1, 1))
    bare = problem.run(rung, bias=False)[0]
    z = bare.astype(np.float64) + problem.b[:, None, None] + problem.add
    slope = {None: 1, "relu": z > 0, "silu": 1 / (1 + np.exp(-z))}[activation]
    y = problem.run(rung, add=True, activation=activation)[0]
    np.testing.assert_allclose(y, z * slope, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rung", [*DIRECT, "tf32"])
@pytest.mark.parametrize("name", ["3x3", "dilated groups"])
def test_a_nan_reaches_only_who_sees_it(rung, name):
    """A panel's numbers beyond the sum are zeros, not whatever lies there times zero."""
    problem = Problem(*OVER_A_TILE[name])
    for array in (problem.x, problem.dy):
        array[:, :, -3:, -2] = np.nan
    problem.w[-1] = np.nan
    for result, exact in zip(problem.run(rung), problem.answer(), strict=True):
        np.testing.assert_array_equal(np.isnan(result), np.isnan(exact))


# ---------------------------------------------------------------------------
# More than 2^31 numbers: files with holes, of which only a few pages are ever touched
# ---------------------------------------------------------------------------
def mostly_nothing(path, *shape):
    """A (N, C, H, W) view of an array in memory order that is all zeros."""
    N, C, H, W = shape
    return np.memmap(path, np.float32, "w+", shape=(N, H, W, C)).transpose(0, 3, 1, 2)


@pytest.mark.slow
@pytest.mark.parametrize("rung", DIRECT)
def test_windows_far_apart_in_a_large_image(rung, tmp_path):
    C, far = 2**15 + 8, 2**8 - 1
    x = mostly_nothing(tmp_path / "x", 1, C, far + 1, far + 1)
    assert x.size > 2**31
    corners = np.random.default_rng(0).integers(-4, 5, (C, 2, 2)).astype(np.float32)
    x[0, :, ::far, ::far] = corners
    w = np.ones((4, C, 1, 1), np.float32)
    y = convolution.forward(x, w, stride=(far, far), algorithm=rung)
    np.testing.assert_array_equal(y[0, 3], corners.sum(axis=0))
    dy = np.broadcast_to(np.arange(4, dtype=np.float32).reshape(2, 2), (1, 4, 2, 2))
    dw = convolution.weight_gradient(x, dy, w.shape, stride=(far, far), algorithm=rung)
    np.testing.assert_array_equal(dw[3, :, 0, 0], (corners * dy[0, 0]).sum(axis=(1, 2)))


@pytest.mark.slow
@pytest.mark.parametrize("rung", ["naive", "coalesced", "implicit_gemm", "tf32"])
def test_few_windows_of_a_large_output_have_a_gradient(rung, tmp_path):
    edge = 2**14 - 1  # of padding, around an image of 2 x 2
    dy = mostly_nothing(tmp_path / "dy", 1, 12, 2 * edge + 2, 2 * edge + 2)
    middle = np.arange(4, dtype=np.float32).reshape(2, 2)
    dy[0, :, edge : edge + 2, edge : edge + 2] = middle
    assert edge * (2 * edge + 2) * 12 > 2**31
    w = np.ones((12, 4, 1, 1), np.float32)
    dx = convolution.input_gradient(dy, w, (1, 4, 2, 2), padding=(edge, edge), algorithm=rung)
    np.testing.assert_array_equal(dx[0, 0], 12 * middle)


# ---------------------------------------------------------------------------
# The same bits every time
# ---------------------------------------------------------------------------
@pytest.mark.parametrize("rung", [*DIRECT, *WINOGRAD, "tf32"])
def test_the_order_of_threads_and_blocks_changes_nothing(rung, monkeypatch):
    problem = Problem(3, 8, 36, (10, 9), (3, 3), ONE, (1, 1))
    first = problem.run(rung)
    compiled = launcher._emulated
    for order in ("reverse", "shuffled"):
        ordered = lambda *key, order=order: partial(compiled(*key), order=order)  # noqa: E731
        monkeypatch.setattr(launcher, "_emulated", ordered)
        for a, b in zip(first, problem.run(rung), strict=True):
            np.testing.assert_array_equal(a, b)


def test_no_bit_depends_on_the_tile(monkeypatch):
    problem = Problem(2, 8, 12, (9, 8), (3, 2), (2, 1), (1, 1))
    results = []
    for tile in implicit_gemm.TILES:
        monkeypatch.setattr(implicit_gemm, "choose_tile", lambda *_, tile=tile: tile)
        results.append(problem.run("implicit_gemm"))
    for result in results[1:]:
        for a, b in zip(results[0], result, strict=True):
            np.testing.assert_array_equal(a, b)


# ---------------------------------------------------------------------------
# Which rung
# ---------------------------------------------------------------------------
def geometry(C, O, size, kernel=3, stride=1, padding=1, groups=1, N=64):
    pairs = ((n, n) for n in (stride, padding, 1))
    return Geometry.of((N, C * groups, size, size), (O * groups, C, kernel, kernel), *pairs, groups)


X32, X64 = np.zeros(1, np.float32), np.zeros(1)


@pytest.mark.parametrize(
    ("shape", "rung"),
    [
        (geometry(3, 64, 224), "implicit_gemm"),
        (geometry(64, 64, 56), "winograd4"),
        (geometry(512, 512, 7), "winograd4"),
        (geometry(512, 512, 5), "implicit_gemm"),  # 25 of 64 outputs of its tiles are wanted
        (geometry(512, 512, 14, N=4), "implicit_gemm"),  # 64 tiles
        (geometry(64, 64, 56, stride=2), "implicit_gemm"),
        (geometry(256, 64, 56, kernel=1, padding=0), "implicit_gemm"),
        (geometry(64, 64, 14, groups=4), "implicit_gemm"),
    ],
    ids=str,
)
def test_auto_chooses_by_shape(shape, rung):
    of_input = "im2col" if shape.C == 3 else rung
    assert convolution.choose(shape, X32) == rung
    assert convolution.choose(shape, X32, of_input=True) == of_input
    assert convolution.choose(shape, X64) == "im2col"


def test_auto_takes_tf32_only_when_it_is_allowed():
    wide, stem = geometry(64, 64, 56), geometry(3, 64, 224)
    try:
        algorithms.allow_tf32()
        assert convolution.choose(wide, X32) == "tf32"
        assert convolution.choose(stem, X32) == "implicit_gemm"
        assert convolution.choose(wide, X64) == "im2col"
    finally:
        algorithms.allow_tf32(False)
    assert convolution.choose(wide, X32) == "winograd4"


@pytest.mark.parametrize("rung", [*DIRECT, *WINOGRAD, "tf32"])
def test_a_batch_of_none(rung):
    problem = Problem(0, 4, 8, (6, 5), (3, 3), ONE, (1, 1))
    y, dx, dw = problem.run(rung)
    assert y.shape == (0, 8, 6, 5) and dx.shape == (0, 4, 6, 5)
    np.testing.assert_array_equal(dw, np.zeros_like(problem.w))


@settings(max_examples=10)
@given(problem=problems())
def test_auto_computes_whatever_there_is(problem):
    problem.check(problem.run("auto"))


def test_choosing_an_algorithm_lasts_as_long_as_its_block():
    assert algorithms.current_algorithm() == "auto"
    with algorithms.use_algorithm("im2col"):
        assert algorithms.current_algorithm() == "im2col"
    assert algorithms.current_algorithm() == "auto"
    assert set(algorithms.KNOWN["cuda"]) == {"auto", *convolution.RUNGS}


REFUSALS = {
    "unknown": (dict(algorithm="fft"), "algorithm expects one of 'auto', .* but got 'fft'"),
    "winograd stride": (
        dict(algorithm="winograd4", stride=(2, 2)),
        r"'winograd4' needs a 3x3 kernel, stride 1.* stride \(2, 2\).*; use 'auto'"),
    "winograd groups": (dict(algorithm="winograd2", groups=2), "one group, but .* 2 groups"),
    "winograd double": (
        dict(algorithm="winograd4", dtype=np.float64),
        "computes in float32, but the arrays are float64"),
    "tf32 channels": (dict(algorithm="tf32"), "multiples of 4 .* 3 input and 8 output channels"),
    "tf32 double": (dict(algorithm="tf32", dtype=np.float64), "computes in float32"),
    "grid": (dict(algorithm="implicit_gemm", stride=(300, 300)), r"65535 .* stride \(300, 300\)"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_a_rung_says_what_it_cannot_compute(name):
    how, text = REFUSALS[name]
    how = dict(how)
    dtype, groups = how.pop("dtype", np.float32), how.get("groups", 1)
    x, w = np.ones((1, 3 * groups, 8, 8), dtype), np.ones((8 * groups, 3, 3, 3), dtype)
    with pytest.raises(ValueError, match=text):
        convolution.forward(x, w, **how)


def test_tensor_cores_need_a_gpu_that_has_them(monkeypatch):
    monkeypatch.setattr(convolution, "capability", lambda _: (7, 5))
    with pytest.raises(ValueError, match="needs a GPU of sm_80 or newer, but this one is sm_75"):
        convolution.rung("tf32", geometry(64, 64, 56), X32)


def test_use_algorithm_names_those_there_are():
    with (
        pytest.raises(ValueError, match="use_algorithm: expects one of 'auto', .* but got 'fft'"),
        algorithms.use_algorithm("fft"),
    ):
        pass


# ---------------------------------------------------------------------------
# The public way: a convolution under use_algorithm
# ---------------------------------------------------------------------------
@pytest.mark.parametrize("rung", ["auto", *convolution.RUNGS])
def test_use_algorithm_chooses_for_conv2d_and_its_gradients(rung, monkeypatch):
    ran, find = [], convolution.rung
    spy = lambda name, *rest, **more: ran.append(name) or find(name, *rest, **more)  # noqa: E731
    monkeypatch.setattr(convolution, "rung", spy)
    problem = Problem(2, 4, 8, (6, 5), (3, 3), ONE, (1, 1))
    x, w, b = (Tensor(a, requires_grad=True) for a in (problem.x, problem.w, problem.b))
    with minicnn.use_backend("emulator"):
        with minicnn.use_algorithm(rung):
            y = conv2d(x, w, b, **problem.settings)
        y.backward(Tensor(problem.dy))  # as forward, though the block has ended
    assert ran == [rung] * 3
    for result, exact in zip((y, x.grad, w.grad), problem.answer(), strict=True):
        np.testing.assert_allclose(result.numpy(), exact, rtol=0, atol=5e-3 * np.abs(exact).max())


@pytest.mark.parametrize("rung", [*DIRECT, "tf32"])
def test_transposed_convolution_climbs_the_same_ladder(rung):
    rng = np.random.default_rng(0)
    arrays = rng.standard_normal((2, 8, 4, 3)), rng.standard_normal((8, 4, 3, 2))
    how = {"stride": 2, "padding": 1, "output_padding": (1, 0), "groups": 2, "dilation": (1, 2)}

    def forward_backward(dtype):
        x, w = (Tensor(a.astype(np.float32).astype(dtype), requires_grad=True) for a in arrays)
        y = conv_transpose2d(x, w, **how)
        (y * y).sum().backward()
        return y.numpy(), x.grad.numpy(), w.grad.numpy()

    with minicnn.use_backend("emulator"), minicnn.use_algorithm(rung):
        results = forward_backward(np.float32)
    tolerance = 5e-3 if rung == "tf32" else 5e-6
    for result, exact in zip(results, forward_backward(np.float64), strict=True):
        np.testing.assert_allclose(result, exact, rtol=0, atol=tolerance * np.abs(exact).max())


# ---------------------------------------------------------------------------
# What the GPU makes of it
# ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    "direction",
    ["forward", *(pytest.param(d, marks=pytest.mark.slow) for d in DIRECTIONS[1:])],
)
def test_the_main_tile_wastes_no_access_to_memory(direction):
    """Reads and writes of global memory are coalesced, and no two lanes want the same bank."""
    tile, shape = implicit_gemm.TILES[0], Geometry(1, 1, 128, 128, (16, 16), (16, 16), (1, 1))
    x, w, y = (np.ones(s, np.float32) for s in (shape.x_shape, shape.w_shape, shape.y_shape))
    args = {
        "forward": (x, w, None, None, y, shape.pixels, *shape.numbers, 0),
        "input_gradient": (y, w, x, shape.N, *shape.numbers),
        "weight_gradient": (x, y, w, shape.pixels, shape.pixels, *shape.numbers),
    }[direction]
    name = f"implicit_gemm_{direction}"
    macros = dict(tile.defines(4, 4))
    kernel = emulator.load(kernels_dir() / f"conv/{name}.cu", name, macros)
    lines = emulator.trace(kernel, (1, 1, 1), (tile.threads,), args).lines()
    assert len(lines) > 8
    for line in lines:
        assert line.sectors == line.least_sectors, line
        assert line.bank_cycles == line.least_bank_cycles, line


# ---------------------------------------------------------------------------
# What the compiler makes of it
# ---------------------------------------------------------------------------
def compiled(nvrtc, file, architecture, **macros):
    """What the compiler says of a kernel: (registers, bytes spilled)."""
    path = kernels_dir() / "conv" / file
    options = [f"-I{kernels_dir()}", *(f"-D{name}={value}" for name, value in macros.items())]
    source = path.read_text(encoding="utf-8")
    _, log = cubin(nvrtc, source, file, architecture, *options)
    assert "warning" not in log, log
    ((_, registers, spilled),) = needs(log)
    return registers, spilled


@pytest.mark.parametrize(
    ("tile", "architecture"),
    [(implicit_gemm.TILES[0], name) for name in ("sm_75", "sm_80", "sm_90")]
    + [(tile, "sm_80") for tile in implicit_gemm.TILES[1:]],
    ids=lambda value: value if isinstance(value, str) else f"{value.m}x{value.n}",
)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_tiles_fit_in_registers(nvrtc, tile, architecture, direction):
    """As many threads as intended fit on a multiprocessor, and nothing is spilled to memory."""
    macros = dict(tile.defines(4, 4))
    registers, spilled = compiled(nvrtc, f"implicit_gemm_{direction}.cu", architecture, **macros)
    assert registers <= 128 and spilled == 0


@pytest.mark.slow
@pytest.mark.parametrize("tile", implicit_gemm.TILES, ids=TILE_NAMES)
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(("a", "b"), [(1, 1), (1, 4), (4, 1)])
def test_tiles_read_one_by_one_fit_in_registers(nvrtc, tile, direction, a, b):
    """Where channels are no multiple of 4, with as few threads as `BLOCKS_AT_ONCE` says."""
    macros = dict(tile.defines(a, b))
    registers, spilled = compiled(nvrtc, f"implicit_gemm_{direction}.cu", "sm_80", **macros)
    assert registers <= (168 if tile.threads < 256 else 255) and spilled == 0


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_small_tensor_core_tile_fits_in_registers(nvrtc, direction):
    macros = dict(tensor_cores.SMALL.defines)
    registers, spilled = compiled(nvrtc, f"tf32_{direction}.cu", "sm_80", **macros)
    assert registers <= 128 and spilled == 0


@pytest.mark.parametrize("F", [2, 4])
def test_winograd_keeps_its_tiles_in_registers(nvrtc, F):
    path = kernels_dir() / "conv/winograd.cu"
    source = path.read_text(encoding="utf-8")
    _, log = cubin(nvrtc, source, path.name, "sm_80", f"-I{kernels_dir()}", f"-DF={F}")
    assert all(registers <= 96 and spilled == 0 for _, registers, spilled in needs(log))
    assert not re.search(r"[1-9]\d* bytes stack frame", log)  # an array that is no register
