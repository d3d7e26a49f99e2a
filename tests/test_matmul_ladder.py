"""Every rung of the matrix product, in every order of threads, against NumPy in float64."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from launches import numbers, threads_run

from minicnn.backends.algorithm import allow_tf32
from minicnn.backends.cuda import ladder
from minicnn.backends.cuda import matmul as module
from minicnn.backends.cuda.matmul import RUNGS, Matrix, choose, matmul
from minicnn.emulator.launch import ORDERS

pytestmark = pytest.mark.usefixtures("compiler")

ALL = [pytest.param(name, id=name) for name in RUNGS]
IN_ORDER = [name for name in RUNGS if name not in ("split_k", "few_rows", "tf32")]
ACTIVATIONS = {
    None: lambda z: z,
    "relu": lambda z: np.maximum(z, 0),
    "relu6": lambda z: np.clip(z, 0, 6),
    "silu": lambda z: z / (1 + np.exp(-z)),
    "hardswish": lambda z: z * np.clip(z + 3, 0, 6) / 6,
}
STEEPEST = 1.5  # slope of an activation: hardswish's


# ---------------------------------------------------------------------------
# Values
# ---------------------------------------------------------------------------
@st.composite
def products(draw, name):
    """Arguments of a product that the rung can compute, its tiles and k-steps seldom filled."""
    rung = RUNGS[name]
    rows, columns = (max(16, min(side, 128)) for side in rung.tile)
    M = draw(st.one_of(st.integers(1, 9), st.integers(rows - 5, rows + 9)))
    N = draw(st.one_of(st.integers(1, 9), st.integers(columns - 5, columns + 9)))
    K = draw(st.integers(0, 41))
    transposed = draw(st.tuples(st.booleans(), st.booleans()))
    if rung.in_fours:
        a_side, b_side = "M" if transposed[0] else "K", "K" if transposed[1] else "N"
        M = M if a_side != "M" else -(-M // 4) * 4
        N = N if b_side != "N" else -(-N // 4) * 4
        K = K if "K" not in (a_side, b_side) else -(-K // 4) * 4
    dtype = draw(st.sampled_from([np.float32, np.float64] if rung.float64 else [np.float32]))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    a = rng.standard_normal((K, M) if transposed[0] else (M, K)).astype(dtype)
    b = rng.standard_normal((N, K) if transposed[1] else (K, N)).astype(dtype)
    a, b = (m.T if turned else m for m, turned in zip((a, b), transposed))
    # A row turned into a column counts as rows all the same: of size 1, which is no multiple of 4.
    assume(rung.refusal(Matrix.of(a), Matrix.of(b), M, N) is None)
    ends = {"activation": draw(st.sampled_from(list(ACTIVATIONS)))}
    if draw(st.booleans()):
        ends["bias"] = rng.standard_normal(N).astype(dtype)
    if draw(st.booleans()):
        ends["add"] = rng.standard_normal((M, N)).astype(dtype)
    return a, b, ends


def check(y, a, b, ends, factors_error=0.0):
    """y is the product, up to rounding: n eps of the sum of all sizes (Higham, 2002)."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    z, size = a @ b, abs(a) @ abs(b)
    for part in (ends.get("bias"), ends.get("add")):
        if part is not None:
            z, size = z + part, size + abs(part)
    eps = np.finfo(y.dtype).eps
    wanted = ACTIVATIONS[ends["activation"]](z)
    allowed = STEEPEST * size * ((a.shape[1] + 3) * eps + factors_error) + 8 * eps * abs(wanted)
    assert y.shape == wanted.shape and y.flags.c_contiguous
    wrong = ~(abs(y - wanted) <= allowed + 1e-30)
    assert not wrong.any(), f"{wrong.sum()} wrong numbers, first at {np.argwhere(wrong)[0]}"


@pytest.mark.parametrize("name", ALL)
def test_is_the_product(name):
    error = 2.0**-10 if name == "tf32" else 0.0  # both factors by 2^-11

    @settings(max_examples=10 if name == "tf32" else 25)
    @given(products(name), st.sampled_from(list(ORDERS)))
    def run(arguments, order):
        a, b, ends = arguments
        with threads_run(order):
            y = matmul(a, b, **ends, rung=name)
        assert y.dtype == a.dtype
        check(y, a, b, ends, error)

    run()


@settings(max_examples=25)
@given(st.data())
def test_auto_is_the_product(data):
    a, b, ends = data.draw(products(data.draw(st.sampled_from(["coalesced", "warp_tiles_64"]))))
    check(matmul(a, b, **ends), a, b, ends)


@pytest.mark.parametrize("name", ALL)
def test_no_order_of_threads_changes_a_bit(name):
    a, b, add = numbers(132, 28), numbers(28, 140, seed=1), numbers(132, 140, seed=2)
    bits = []
    for order in ORDERS:
        with threads_run(order):
            bits.append(matmul(a, b, add=add, activation="silu", rung=name).tobytes())
    assert len(set(bits)) == 1


@pytest.mark.parametrize("layout", ["nn", "nt", "tn", "tt"])
def test_rungs_add_in_the_same_order(layout):
    """All but split_k, few_rows and tf32 add the products in rising k: no bit differs."""
    a, b = numbers(68, 20), numbers(20, 72, seed=1)
    a = a if layout[0] == "n" else np.ascontiguousarray(a.T).T
    b = b if layout[1] == "n" else np.ascontiguousarray(b.T).T
    naive = matmul(a, b, rung="naive")
    for name in IN_ORDER:
        np.testing.assert_array_equal(matmul(a, b, rung=name), naive, err_msg=name)


@pytest.mark.parametrize("K", [512, 1031, 4096])
def test_split_k_adds_its_parts_in_order(K):
    """As many parts as the shape says, each summed in rising k, joined in order: to the bit."""
    a, b, bias = numbers(K, 5).T, numbers(K, 7, seed=1), numbers(7, seed=2)
    parts = RUNGS["split_k"].parts(5, 7, K)
    length = -(-K // parts // 8) * 8
    total = np.zeros((5, 7), np.float32)
    for first in range(0, K, length):
        part = slice(first, first + length)
        total += matmul(a[:, part], b[part], rung="naive")
    assert parts == K // 512
    np.testing.assert_array_equal(matmul(a, b, bias, rung="split_k"), total + bias)


@pytest.mark.parametrize("name", ALL)
def test_not_a_number_stays_where_it_belongs(name):
    """Rows and columns beyond the edge are computed on some rungs, but nothing of them is kept."""
    a, b = numbers(4, 8), numbers(8, 12, seed=1)
    a[1, 3] = np.nan
    y = matmul(a, b, rung=name)
    assert np.isnan(y[1]).all() and np.isfinite(y[[0, 2, 3]]).all()


@pytest.mark.parametrize("name", ALL)
def test_empty_products(name):
    b = numbers(8, 4)
    assert matmul(numbers(0, 8), b, rung=name).shape == (0, 4)
    np.testing.assert_array_equal(matmul(numbers(4, 0), b[:0], b[0], rung=name), [b[0]] * 4)


def test_views_without_order_are_copied():
    a, b = numbers(12, 20)[::2, ::2], numbers(20, 33, seed=1)[::2, 1:]
    np.testing.assert_allclose(matmul(a, b), a.astype(float) @ b, rtol=1e-4, atol=1e-5)


# ---------------------------------------------------------------------------
# Choice
# ---------------------------------------------------------------------------
def fake(rows, columns, transposed=False, dtype=np.float32, offset=0):
    """A factor as `choose` sees it: sizes and an address, but no memory."""

    class Array:
        shape = (columns, rows) if transposed else (rows, columns)
        __array_interface__ = {"data": (4096 + offset, False)}

    array = np.lib.stride_tricks.as_strided(np.empty(8, dtype), (1, 1), (0, 0)).view(np.ndarray)
    Array.dtype = array.dtype
    return Matrix(Array(), *((1, rows) if transposed else (columns, 1)))


@pytest.fixture
def chosen(monkeypatch):
    """The rung for sizes M, N, K, on a GPU of some capability."""

    def chosen(M, N, K, dtype=np.float32, there=(9, 0), offset=0):
        monkeypatch.setattr(module, "capability", lambda array: there)
        monkeypatch.setattr(module, "address", lambda array: array.__array_interface__["data"][0])
        a, b = fake(M, K, dtype=dtype, offset=offset), fake(K, N, dtype=dtype)
        return choose(a, b, M, N, K)

    yield chosen
    allow_tf32(False)


@pytest.mark.parametrize("M, N, K, name", [
    (100_352, 64, 576, "warp_tiles_64"),  # 32 images of 56 x 56, 64 filters of 3 x 3 x 64
    (25_088, 128, 1152, "warp_tiles"),  # 28 x 28, 128 filters
    (100_352, 192, 64, "warp_tiles"),
    (100_352, 64, 147, "warp_tiles_64"),  # 7 x 7 x 3
    (100_352, 128, 147, "warp_tiles_64"),  # rows of 147 are no multiple of 4
    (64, 576, 100_352, "split_k"),  # its weight gradient
    (4096, 4096, 4096, "warp_tiles"),
    (256, 256, 256, "warp_tiles_64"),
    (36_864, 6, 25, "tiled"),  # LeNet's first layer
    (3, 2**24 + 1, 100, "coalesced"),  # more columns than a two-dimensional grid has tiles
    (64, 1000, 2048, "split_k"),
])  # fmt: skip
def test_the_choice_goes_by_shape(chosen, M, N, K, name):
    assert chosen(M, N, K) == name


def test_the_choice_goes_by_dtype_and_alignment(chosen):
    assert chosen(4096, 4096, 4096, dtype=np.float64) == "register_tile_2d"
    assert chosen(64, 64, 64, dtype=np.float64) == "register_tile_1d"
    assert chosen(8, 64, 64, dtype=np.float64) == "tiled"
    assert chosen(4096, 4096, 4096, offset=4) == "warp_tiles_64"


def test_few_rows_are_chosen_where_both_lie_along_k():
    x, w = numbers(8, 40), numbers(264, 40, seed=1)
    assert choose(Matrix.of(x), Matrix.of(w.T), 8, 264, 40) == "few_rows"
    assert choose(Matrix.of(x), Matrix.of(w.T.copy()), 8, 264, 40) == "tiled"
    assert choose(Matrix.of(x.T.copy().T), Matrix.of(w.T), 8, 264, 40) == "tiled"


def test_few_long_sums_are_cut():
    x, w = numbers(8, 8200), numbers(260, 8200, seed=1)
    assert choose(Matrix.of(x), Matrix.of(w.T), 8, 260, 8192) == "few_rows"
    assert choose(Matrix.of(x), Matrix.of(w.T), 8, 260, 8200) == "split_k"
    x, w = numbers(8, 8200), numbers(264, 8200, seed=1)
    assert choose(Matrix.of(x), Matrix.of(w.T), 8, 264, 8200) == "few_rows"


def test_tensor_cores_are_chosen_when_they_may_and_can_be(chosen):
    allow_tf32()
    assert chosen(4096, 4096, 4096) == "tf32"
    assert chosen(4096, 4096, 4096, there=(7, 5)) == "warp_tiles"
    assert chosen(4096, 4096, 4096, dtype=np.float64) == "register_tile_2d"
    assert chosen(4096, 4096, 4095) == "warp_tiles_64"
    allow_tf32(False)
    assert chosen(4096, 4096, 4096) == "warp_tiles"


# ---------------------------------------------------------------------------
# Rules
# ---------------------------------------------------------------------------
@pytest.mark.parametrize("name", [name for name in RUNGS if RUNGS[name].in_fours])
def test_alignment_is_checked(name):
    a, b = numbers(8, 12), numbers(12, 16, seed=1)
    with pytest.raises(ValueError, match=rf"rung '{name}' reads 4 numbers at once.* size is 11 "):
        matmul(a[:, :11].copy(), b[:11], rung=name)
    with pytest.raises(ValueError, match=rf"rung '{name}' .* which b is contiguous .* size is 15 "):
        matmul(a, b[:, :15].copy(), rung=name)
    shifted = np.empty(97, np.float32)[1:].reshape(8, 12)
    with pytest.raises(ValueError, match=rf"rung '{name}' .* address 0x[0-9a-f]+; use 'auto'"):
        matmul(shifted, b, rung=name)


@pytest.mark.parametrize("name", [name for name in RUNGS if not RUNGS[name].float64])
def test_float64_is_refused_where_it_must_be(name):
    a = numbers(8, 8, dtype=np.float64)
    with pytest.raises(ValueError, match=f"rung '{name}' computes in float32.* are float64"):
        matmul(a, a, rung=name)


def test_an_old_gpu_is_refused(monkeypatch):
    monkeypatch.setattr(module, "capability", lambda array: (7, 5))
    with pytest.raises(ValueError, match="'tf32' needs a GPU of sm_80 or newer.* one is sm_75"):
        matmul(numbers(8, 8), numbers(8, 8), rung="tf32")


@pytest.mark.parametrize("number, pair, name", [
    ("75", (7, 5), "sm_75"), ("80", (8, 0), "sm_80"), ("120", (12, 0), "sm_120"),
])  # fmt: skip
def test_the_capability_of_a_gpu(monkeypatch, number, pair, name):
    monkeypatch.setattr(ladder, "xp", lambda array: None)
    array = SimpleNamespace(device=SimpleNamespace(compute_capability=number))  # as CuPy's
    assert ladder.capability(array) == pair and ladder.named(pair) == name


def test_needs_are_read_from_the_files():
    assert ladder.needed_capability("matmul/tiled.cu") == (7, 5)
    assert ladder.needed_capability("matmul/tf32.cu") == (8, 0)


@pytest.mark.parametrize("arguments, error, text", [
    (((2, 3), (4, 5)), ValueError, r".* got \(2, 3\) and \(4, 5\); their inner sizes"),
    (((2, 3), (3,)), ValueError, r"expects a \(M, K\) and b \(K, N\)"),
    (((2, 3), (3, 4), (3,)), ValueError, r"bias expects the shape \(4,\), but got \(3,\)"),
    (((2, 3), (3, 4), None, (4,)), ValueError, r"add expects the shape \(2, 4\), but got \(4,\)"),
    (((2, 3), (3, 4), None, None, "tanh"), ValueError, "activation expects .* got 'tanh'"),
    (((2, 3), (3, 4), None, None, None, "best"), ValueError, "rung expects one of .* got 'best'"),
])  # fmt: skip
def test_errors(arguments, error, text):
    arrays = [numbers(*a) if isinstance(a, tuple) else a for a in arguments]
    with pytest.raises(error, match=f"matmul: {text}"):
        matmul(*arrays)


def test_errors_in_dtypes():
    with pytest.raises(TypeError, match="all of float32 or all of float64, but got float32, float"):
        matmul(numbers(2, 3), numbers(3, 2, dtype=np.float64))
    with pytest.raises(TypeError, match="but got int64, int64"):
        matmul(np.ones((2, 2), int), np.ones((2, 2), int))


def test_sizes_that_no_grid_covers():
    a, b = fake(2**20, 1), fake(1, 2**20)
    for name in ("naive", "coalesced"):
        refusal = RUNGS[name].refusal(a, b, 2**20, 2**20)
        assert refusal == "would take 4294967296 blocks, but a grid has 2147483647 at most"
    columns = 65535 * 16 + 1
    assert "has room for 1048560 columns" in RUNGS["tiled"].refusal(a, fake(1, columns), 1, columns)
