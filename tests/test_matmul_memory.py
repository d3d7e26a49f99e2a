"""What products do to memory: races, traffic, bank conflicts, and places beyond 31 bits."""

from __future__ import annotations

import numpy as np
import pytest
from launches import numbers, vast

from minicnn import emulator
from minicnn.backends.cuda.matmul import LARGEST, RUNGS, Matrix, matmul
from minicnn.emulator import load

pytestmark = pytest.mark.usefixtures("compiler")

ALL = [pytest.param(name, id=name) for name in RUNGS]


# ---------------------------------------------------------------------------
# What the headers say, counted
# ---------------------------------------------------------------------------
@pytest.mark.parametrize("layout", ["nn", "tt"])
@pytest.mark.parametrize("name", ALL)
def test_the_sanitizer_finds_nothing(name, layout):
    """No race, nothing read before it is written, nothing outside of an array."""
    M, N, K = (20, 24, 36) if RUNGS[name].in_fours else (14, 13, 1027 if name == "split_k" else 19)
    a = numbers(M, K) if layout == "nn" else numbers(K, M).T
    b = numbers(K, N) if layout == "nn" else numbers(N, K).T
    with emulator.checking() as findings:
        matmul(a, b, numbers(N), numbers(M, N), "relu", rung=name)
    assert not findings


def traced(name):
    """What a product of (side, 16) and (16, side), a whole number of tiles, does to memory."""
    rung = RUNGS[name]
    side = 128 if 128 in rung.tile else 64
    a, b, y = numbers(side, 16), numbers(16, side), numbers(side, side)
    A, B = Matrix.of(a), Matrix.of(b)
    kernel = load(rung.file, "matmul", {"real": "float", **dict(rung.macros(A, B))})
    args = (a, b, None, None, y, side, side, 16, A.row, A.column, B.row, B.column, 0)
    shared_mem = rung.shared_mem(A, B)
    return emulator.trace(kernel, rung.grid(side, side), rung.block, args, shared_mem=shared_mem)


def test_coalescing_is_what_the_headers_say():
    """Sectors of 32 bytes that a warp takes to read from A and B, and to write to C."""
    naive, coalesced = traced("naive"), traced("coalesced")
    assert [naive.sectors(matrix) for matrix in "ABC"] == [32, 1, 32]
    assert [coalesced.sectors(matrix) for matrix in "ABC"] == [1, 4, 4]


@pytest.mark.parametrize("name, side, times", [
    ("naive", 64, 64), ("coalesced", 64, 64), ("tiled", 64, 64 / 16), ("register_tile_1d", 64, 1),
    ("register_tile_2d", 128, 1), ("vectorised", 128, 1), ("warp_tiles", 128, 1),
    ("warp_tiles_64", 64, 1), ("tf32", 128, 1),
])  # fmt: skip
def test_factors_are_read_as_often_as_the_headers_say(name, side, times):
    trace, bytes_of_a_factor = traced(name), side * 16 * 4
    assert trace.bytes_read("A") == trace.bytes_read("B") == times * bytes_of_a_factor
    assert trace.bytes_written("C") == side * side * 4


@pytest.mark.parametrize("name", ["register_tile_1d", "register_tile_2d", "vectorised", "tf32"])
def test_no_bank_conflicts(name):
    """But for tf32's copies, which the hardware makes 16 bytes at a time."""
    shared = [line for line in traced(name).lines() if line.shared]
    assert shared
    for line in shared:
        if line.file.endswith("tensor_core.cuh"):
            continue
        assert line.bank_cycles == line.least_bank_cycles, line


# ---------------------------------------------------------------------------
# Sizes: 64-bit places, 31-bit grids
# ---------------------------------------------------------------------------
def test_grids_of_huge_products():
    for name, rung in RUNGS.items():
        assert rung.grid(2**31 - 257, 1)[0] > 65535, name
    assert RUNGS["warp_tiles"].grid(2**30, 2**10) == (2**26,)
    assert RUNGS["naive"].grid(2**20, 2**20) == (2**32,)


def test_sizes_beyond_an_int_are_refused():
    a = np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), (LARGEST + 1, 1), (0, 0))
    with pytest.raises(ValueError, match="sizes may be up to 2147483391"):
        matmul(a, np.zeros((1, 1), np.float32))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["coalesced", "warp_tiles_64"])
def test_more_than_65535_blocks(name):
    N = 65_537 * (256 if name == "coalesced" else 64)
    b = (np.arange(N, dtype=np.float32) % 1000).reshape(1, N)
    y = matmul(np.full((1, 1), 2, np.float32), b, rung=name)
    np.testing.assert_array_equal(y, 2 * b)


@pytest.mark.parametrize("name", [name for name in RUNGS if name != "split_k"])
def test_places_beyond_31_bits(name):
    """The first block of a product whose factors and result have more than 2^31 numbers.

    With 4 rows of A 2^30 numbers apart, 5 of B likewise, and 2^30 columns of C, 32-bit arithmetic
    would read and write elsewhere.
    """
    rung, apart, M, N, K = RUNGS[name], 2**30, 4, 2**30, 8
    A, B, C = vast(M * apart), vast(K * apart), vast(M * N)
    a, b = numbers(M, K), numbers(K, 256, seed=1)
    for i in range(M):
        A[i * apart : i * apart + K] = a[i]
    for k in range(K):
        B[k * apart : k * apart + 256] = b[k]
    factors = Matrix(A.reshape(M, apart), apart, 1), Matrix(B.reshape(K, apart), apart, 1)
    args = (A, B, None, None, C, M, N, K, apart, 1, apart, 1, 0)
    macros = {"real": "float", **dict(rung.macros(*factors))}
    kernel = load(rung.file, "matmul", macros)
    kernel((1,), rung.block, args, shared_mem=rung.shared_mem(*factors))
    made = {"coalesced": (1, 256), "tiled": (4, 16), "few_rows": (4, 4)}.get(name, (4, 64))
    y = C.reshape(M, N)[: made[0], : made[1]]
    tolerance = 1e-2 if name == "tf32" else 1e-5
    np.testing.assert_allclose(y, a[: made[0]] @ b[:, : made[1]], rtol=tolerance, atol=tolerance)
