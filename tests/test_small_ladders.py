"""Reductions and transpositions as kernels: every rung, in every order of threads."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from launches import numbers, threads_run, vast

from minicnn import emulator
from minicnn.backends.cuda import reduction, transpose
from minicnn.backends.cuda.reduction import COLUMN_SUM_RUNGS, SUM_RUNGS
from minicnn.emulator import load
from minicnn.emulator.launch import ORDERS

pytestmark = pytest.mark.usefixtures("compiler")

DTYPES = st.sampled_from([np.float32, np.float64])
IN_ORDER = st.sampled_from(list(ORDERS))
RAGGED = st.one_of(st.integers(0, 9), st.integers(28, 37), st.integers(60, 70))


# ---------------------------------------------------------------------------
# Sums
# ---------------------------------------------------------------------------
@pytest.mark.parametrize("rung", ["auto", *SUM_RUNGS])
def test_sum(rung):
    @settings(max_examples=20)
    @given(st.one_of(st.integers(0, 600), st.integers(65_500, 65_600)), DTYPES, IN_ORDER)
    def run(n, dtype, order):
        x = numbers(n, dtype=dtype)
        with threads_run(order):
            y = reduction.sum(x, rung)
        assert y.shape == () and y.dtype == dtype
        exact = math.fsum(x.tolist())
        assert abs(y - exact) <= n * np.finfo(dtype).eps * abs(x).sum(dtype=np.float64)

    run()


def test_sum_of_more_than_one_grid():
    """Blocks that add more than one number a thread, and rungs that need a third launch."""
    x = np.ones(300_001, np.float32)
    for rung in SUM_RUNGS:
        assert reduction.sum(x, rung) == 300_001, rung


def test_trees_lose_less():
    """One number after the other, 0.1 is not added any more in the end; in pairs it is."""
    x = np.full(2**20, 0.1, np.float32)
    exact = 2**20 * float(np.float32(0.1))
    error = {rung: abs(float(reduction.sum(x, rung)) - exact) / exact for rung in SUM_RUNGS}
    assert error["naive"] > 1e-3
    assert all(error[rung] < 1e-5 for rung in SUM_RUNGS if rung != "naive")


@pytest.mark.parametrize("rung", ["auto", *COLUMN_SUM_RUNGS])
def test_column_sum(rung):
    rows = st.one_of(RAGGED, st.integers(500, 1100))

    @settings(max_examples=20)
    @given(rows, RAGGED.filter(bool), DTYPES, IN_ORDER)
    def run(R, C, dtype, order):
        x = numbers(R, C, dtype=dtype)
        with threads_run(order):
            y = reduction.column_sum(x, rung)
        assert y.shape == (C,) and y.dtype == dtype
        allowed = R * np.finfo(dtype).eps * abs(x).sum(0, dtype=np.float64)
        assert (abs(y - x.sum(0, dtype=np.float64)) <= allowed).all()

    run()


@pytest.mark.parametrize("shape", [(1000,), (70, 33), (2, 3, 4, 5)])
def test_sums_repeat_bit_for_bit(shape):
    x = numbers(*shape)
    for rung in SUM_RUNGS:
        bits = set()
        for order in ORDERS:
            with threads_run(order):
                bits.add(reduction.sum(x, rung).tobytes())
        assert len(bits) == 1, rung


def test_column_sum_cuts_long_columns():
    assert reduction._parts(100, 64) == 1
    assert reduction._parts(100_352, 64) == 256
    assert reduction._parts(100_352, 2048) == 8
    assert reduction._parts(2**33, 1) == 512


# ---------------------------------------------------------------------------
# Transposition
# ---------------------------------------------------------------------------
@pytest.mark.parametrize("rung", ["auto", *transpose.RUNGS])
def test_transpose(rung):
    @settings(max_examples=20)
    @given(RAGGED, RAGGED, DTYPES, IN_ORDER)
    def run(R, C, dtype, order):
        x = numbers(R, C, dtype=dtype)
        with threads_run(order):
            y = transpose.transpose(x, rung)
        assert y.flags.c_contiguous
        np.testing.assert_array_equal(y, x.T)

    run()


def test_a_view_is_transposed():
    x = numbers(40, 70)[::2, 3:]
    np.testing.assert_array_equal(transpose.transpose(x), x.T)


# ---------------------------------------------------------------------------
# What the headers say, counted
# ---------------------------------------------------------------------------
@pytest.mark.parametrize("rung, sectors_written, conflicts", [
    ("naive", 32, None), ("tiled", 4, 32), ("padded", 4, 1), ("rows", 4, 1),
])  # fmt: skip
def test_transposition_is_what_the_headers_say(rung, sectors_written, conflicts):
    """Sectors for a warp's 32 numbers; how much longer a column of the tile takes than a row."""
    x, y = numbers(64, 96), numbers(96, 64)
    kernel, tiled = load(f"transpose/{rung}.cu", "transpose"), rung != "naive"
    grid, block = ((6,), transpose.BLOCKS[rung]) if tiled else ((24,), (256,))
    trace = emulator.trace(kernel, grid, block, (x, y, 64, 96))
    assert trace.sectors("x") == 4 and trace.sectors("y") == sectors_written
    reads = [line for line in trace.lines() if line.shared and line.kind == "reads"]
    assert len(reads) == tiled
    for line in reads:
        assert line.bank_cycles == conflicts * line.least_bank_cycles


def test_the_sanitizer_finds_nothing():
    """No race, nothing read before it is written, nothing outside of an array."""
    x = numbers(300, 37)
    with emulator.checking() as findings:
        for rung in SUM_RUNGS:
            reduction.sum(x, rung)
        for rung in COLUMN_SUM_RUNGS:
            reduction.column_sum(x, rung)
        for rung in transpose.RUNGS:
            transpose.transpose(x, rung)
    assert not findings


# ---------------------------------------------------------------------------
# Names of rungs
# ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    "function", [reduction.sum, reduction.column_sum, transpose.transpose], ids=lambda f: f.__name__
)
def test_unknown_rungs(function):
    text = f"{function.__name__}: rung expects one of 'auto', 'naive', .* but got 'best'"
    with pytest.raises(ValueError, match=text):
        function(numbers(3, 4), rung="best")


# ---------------------------------------------------------------------------
# Sizes: 64-bit places, 31-bit grids
# ---------------------------------------------------------------------------
@pytest.mark.parametrize("rung", transpose.RUNGS)
def test_transpose_beyond_31_bits(rung):
    """The first block of 3 rows of 2^30 numbers, and of 2^30 rows of 3."""
    file = f"transpose/{rung}.cu"
    block, long = transpose.BLOCKS.get(rung, (256,)), 2**30
    kernel = load(file, "transpose")

    x, y = vast(3, long), vast(long, 3)
    x[:, :32] = numbers(3, 32)
    kernel((1,), block, (x, y, 3, long))
    rows = 1 if rung == "naive" else 3  # its first 256 threads are in the first row
    np.testing.assert_array_equal(y[:32, :rows], x[:rows, :32].T)

    x, y = vast(long, 3), vast(3, long)
    x[:32] = numbers(32, 3)
    kernel((1,), block, (x, y, long, 3))
    np.testing.assert_array_equal(y[:, :32], x[:32].T)


@pytest.mark.parametrize("file, name, block", [
    ("reduction/column_sum_naive.cu", "column_sum", (256,)),
    ("reduction/column_sum.cu", "column_sum", (32, 8)),
    ("reduction/column_sum_parts.cu", "parts", (32, 8)),
])  # fmt: skip
def test_column_sum_beyond_31_bits(file, name, block):
    """The first block of 5 rows of 2^30 numbers."""
    x, y = vast(5, 2**30), np.empty(256, np.float32)
    x[:, :256] = numbers(5, 256)
    load(file, name)((1,), block, (x, y, 5, 2**30, *((5,) if name == "parts" else ())))
    np.testing.assert_allclose(y[:32], x[:, :32].sum(0), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_sum_beyond_31_bits():
    x = vast(2**31 + 100)
    x[[5, 2**31 - 1, 2**31 + 99]] = 1, 2, 4
    kernel, y = load("reduction/sum_grid_stride.cu", "sum"), np.empty(2, np.float32)
    kernel((2,), (256,), (x, y, x.size), timeout=120)
    assert y.sum() == 7


@pytest.mark.slow
def test_more_than_65535_blocks():
    x = np.arange(65_537 * 32, dtype=np.float32).reshape(1, -1)
    np.testing.assert_array_equal(transpose.transpose(x), x.T)
    np.testing.assert_array_equal(reduction.column_sum(x, "shared"), x[0])
    assert reduction.sum(np.ones(65_537 * 256, np.float32), "sequential") == 65_537 * 256
