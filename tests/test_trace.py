"""The emulator's trace: sectors, bank conflicts and traffic of kernels whose figures are known."""

from pathlib import Path

import numpy as np
import pytest
from test_sanitizer import bug_line, kernel, numbers, toolchain  # noqa: F401 (a fixture)

from minicnn.emulator import EmulatorError, load, trace

BUGS = Path(__file__).with_name("seeded_bugs")


def line_of(traced, array, kind):
    (found,) = [x for x in traced.lines() if (x.array, x.kind) == (array, kind)]
    return found


# ---- seeded slowness -------------------------------------------------------------------------
def test_bank_conflicts(toolchain):  # noqa: F811
    x, y = numbers(32, 32), np.empty((32, 32), np.float32)
    for defines, cycles in (({}, 32), ({"FIXED": 1}, 1)):
        code = load(BUGS / "bank_conflicts.cu", "transpose", defines)
        traced = trace(code, (1,), (32, 32), (x, y))
        read = line_of(traced, "tile", "reads")
        assert (read.line, read.warp_accesses) == (bug_line("bank_conflicts"), 32)
        assert (read.bank_cycles, read.least_bank_cycles) == (32 * cycles, 32)
        assert line_of(traced, "tile", "writes").bank_cycles == 32
        row = f"tile          reads                          32  {cycles} (1) cycles"
        assert row in str(traced)
        np.testing.assert_array_equal(y, x.T)


def test_uncoalesced_load(toolchain):  # noqa: F811
    x, y = numbers(64, 16), np.empty(64, np.float32)
    for defines, sectors in (({}, 32), ({"FIXED": 1}, 4)):
        code = load(BUGS / "uncoalesced_load.cu", "largest_channel", defines)
        traced = trace(code, (2,), (32,), (x, y, 64, 16))
        read = line_of(traced, "x", "reads")
        assert (read.line, read.warp_accesses) == (bug_line("uncoalesced_load"), 2 * 16)
        assert (read.sectors, read.least_sectors) == (32 * sectors, 32 * 4)
        assert traced.sectors("x") == sectors
        assert traced.sectors("y") == 4


DTYPE = {"float": "f4", "float4": "f4", "double": "f8", "unsigned char": "u1"}


# ---- figures by hand -------------------------------------------------------------------------
@pytest.mark.parametrize(("kind", "index", "sectors", "least"), [
    ("float", "t", 4, 4),
    ("float", "t + 1", 5, 4),
    ("float", "0", 1, 1),
    ("float", "2 * t", 8, 4),
    ("float", "t ^ 31", 4, 4),
    ("double", "t", 8, 8),
    ("unsigned char", "t", 1, 1),
    ("float4", "t", 16, 16),
])  # fmt: skip
def test_sectors(toolchain, kind, index, sectors, least):  # noqa: F811
    code = kernel(f"int t = threadIdx.x;\ny[t] = x[{index}];", f"const {kind}* x, {kind}* y")
    traced = trace(code, (1,), (32,), (np.zeros(256, DTYPE[kind]), np.zeros(128, DTYPE[kind])))
    read = line_of(traced, "x", "reads")
    assert (read.warp_accesses, read.sectors, read.least_sectors) == (1, sectors, least)


@pytest.mark.parametrize(("kind", "index", "cycles", "least"), [
    ("float", "t", 1, 1),
    ("float", "0", 1, 1),  # all read one word: it is handed to all
    ("float", "2 * t", 2, 1),
    ("float", "3 * t", 1, 1),
    ("float", "8 * t", 8, 1),
    ("double", "t", 2, 2),  # half a warp at a time
    ("float4", "t", 4, 4),  # a quarter
    ("unsigned char", "t", 1, 1),
])  # fmt: skip
def test_bank_cycles(toolchain, kind, index, cycles, least):  # noqa: F811
    code = kernel(
        f"""__shared__ {kind} s[256];
        int t = threadIdx.x;
        for (int i = t; i < 256; i += 32) s[i] = {{}};
        __syncthreads();
        y[t] = s[{index}];""",
        f"{kind}* y",
    )
    traced = trace(code, (1,), (32,), (np.zeros(128, DTYPE[kind]),))
    read = line_of(traced, "s", "reads")
    assert (read.warp_accesses, read.bank_cycles, read.least_bank_cycles) == (1, cycles, least)


@pytest.mark.parametrize("order", ["forward", "reverse", "shuffled"])
def test_every_access_is_there(compiler, order):
    """y[i] = x[i] + x[i + 1] for 40 threads: a whole warp, and 8 lanes of another."""
    x, y = numbers(41), np.zeros(40, np.float32)
    code = kernel("int i = threadIdx.x;\ny[i] = x[i]\n+ x[i + 1];", "const float* x, float* y")
    traced = trace(code, (1,), (40,), (x, y), order=order, seed=1)
    rows, names = traced.accesses, [a.name for a in traced.arrays]
    assert len(rows) == 120
    for array, kind, line, shift in (("x", 0, 4, 0), ("x", 0, 5, 1), ("y", 1, 4, 0)):
        here = rows[
            (rows["array"] == names.index(array)) & (rows["line"] == line) & (rows["kind"] == kind)
        ]
        here = np.sort(here, order="thread")
        np.testing.assert_array_equal(here["thread"], np.arange(40))
        np.testing.assert_array_equal(here["index"], np.arange(40) + shift)
        np.testing.assert_array_equal(here["offset"], 4 * here["index"])
        assert set(here["bytes"]) == {4}
    assert sorted(traced.warp_accesses["lanes"]) == [8, 8, 8, 32, 32, 32]
    assert (traced.bytes_read(), traced.bytes_written()) == (320, 160)
    assert traced.bytes_per_output() == (8, 4)
    np.testing.assert_allclose(y, x[:-1] + x[1:])


def test_traffic_of_a_tiled_product(compiler):
    """With tiles of 8, an output of an n x n product costs 2 n / 8 numbers read, not 2 n."""
    n = 24
    a, b, c = numbers(n, n), numbers(n, n), np.empty((n, n), np.float32)
    code = load(BUGS / "missing_barrier.cu", "matmul", {"FIXED": 1})
    traced = trace(code, (n // 8, n // 8), (8, 8), (a, b, c, n))
    assert traced.outputs() == n * n
    assert traced.bytes_per_output() == (4 * 2 * n / 8, 4)
    assert traced.bytes_read("a_tile") == 4 * n * n * n  # each product's factor, from shared memory
    np.testing.assert_allclose(c, a @ b, rtol=1e-4, atol=1e-4)


def test_atomics_read_and_write(compiler):
    counts = np.zeros(4, np.int32)
    traced = trace(kernel("atomicAdd(&x[threadIdx.x % 4], n);", "int* x, int n"), (2,), (32,),
                   (counts, 1))  # fmt: skip
    assert set(traced.accesses["kind"]) == {2}
    assert (traced.bytes_read("x"), traced.bytes_written("x"), traced.outputs()) == (256, 256, 4)


def test_one_block_alone(compiler):
    x = np.zeros(256, np.float32)
    code = kernel("x[thread_index()] = n;")
    traced = trace(code, (2, 4), (32,), (x, 3), blocks=(1, 2))
    assert set(traced.accesses["block"]) == {5}
    assert len(traced.accesses) == 32


def test_what_cannot_be_traced(compiler):
    code, x = kernel("x[threadIdx.x] = n;"), np.zeros(64, np.float32)
    with pytest.raises(EmulatorError, match="more than 16 accesses to memory; trace one block"):
        trace(code, (1,), (64,), (x, 1), limit=16)
    with pytest.raises(EmulatorError, match=r"out-of-bounds: k.cu line 3, .* writes x\[64\]"):
        trace(code, (1,), (65,), (x, 1))
    with pytest.raises(ValueError, match=r"blocks is \(2,\), but the grid is \(2,\)"):
        trace(code, (2,), (32,), (x, 1), blocks=(2,))
    with pytest.raises(ValueError, match="touched no array 'z'; it touched x"):
        trace(code, (1,), (64,), (x, 1)).sectors("z")
