"""Stepping through a CUDA thread: its lines, its variables, its memory, and the walker."""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn import emulator
from minicnn.__main__ import main
from minicnn.emulator import EmulatorError, load
from minicnn.emulator.statements import Statements
from minicnn.emulator.values import Pointer
from minicnn.emulator.view import card
from minicnn.stepper import kernel_examples
from minicnn.stepper.kernel_terminal import listing, walk_kernel

ROOT = Path(__file__).resolve().parent.parent
ZIG = f"{sys.executable} -m ziglang c++"
HERE_IT_WORKS = platform.system() == "Linux" and platform.machine() in ("x86_64", "AMD64")
pytestmark = pytest.mark.skipif(not HERE_IT_WORKS, reason="stepping needs Linux on x86-64")


@pytest.fixture(params=["found", "zig"])
def any_compiler(request, compiler, monkeypatch):
    """The compiler that the emulator finds, and the one that pip can install."""
    if request.param == "zig":
        if find_spec("ziglang") is None:
            pytest.skip("needs the ziglang package")
        monkeypatch.setenv("CXX", ZIG)
    return request.param


def step(source, name, block, args, **where):
    """Steps through a thread of one block of a kernel given as text."""
    kernel = load('#include "common.cuh"\n' + source.lstrip(), name, where.pop("defines", None))
    return emulator.step(kernel, (1,), block, args, **where)


def changes(walk, depth=0):
    """The changes of the kernel's own lines, pointers as text."""
    return [
        {k: str(v) if isinstance(v, Pointer) else v for k, v in s.changes.items()}
        for s in walk
        if s.depth == depth
    ]


# ---- values: each line against a simulation in Python ------------------------------------------
class Simulation:
    """Python's variables; `line` notes which of them a line changed."""

    def __init__(self):
        self.known, self.lines = {}, []

    def line(self, **values):
        changed = {k: v for k, v in values.items() if self.known.get(k, self) != v}
        self.known.update(values)
        self.lines.append(changed)


def im2col_in_python(index, C, H, W, OH, OW, KH, KW, SH, SW, PH, PW, DH, DW):
    """Every line of kernels/conv/im2col.cu for one thread, and where it reads x (or None)."""
    s = Simulation()
    s.line(index=index)
    s.line()  # the test of index
    s.line(rest=index)
    rest = index
    for name, size in (("c", C), ("v", KW), ("u", KH), ("j", OW)):
        s.line(**{name: rest % size, "rest": rest // size})
        rest //= size
    s.line(i=rest % OH)
    s.line(n=rest // OH)
    k = s.known
    s.line(h=k["i"] * SH + k["u"] * DH - PH)
    s.line(w=k["j"] * SW + k["v"] * DW - PW)
    s.line(inside=0 <= k["h"] < H and 0 <= k["w"] < W)
    s.line()  # the write
    return s.lines, (k["n"], k["h"], k["w"], k["c"]) if k["inside"] else None


@st.composite
def im2col_launches(draw):
    N, C, H, W, KH, KW, SH, SW, DH, DW = (
        draw(st.integers(1, most)) for most in (2, 3, 6, 6, 3, 3, 2, 2, 2, 2)
    )
    PH, PW = draw(st.integers(0, 2)), draw(st.integers(0, 2))
    H, W = H + DH * (KH - 1), W + DW * (KW - 1)
    OH = (H + 2 * PH - DH * (KH - 1) - 1) // SH + 1
    OW = (W + 2 * PW - DW * (KW - 1) - 1) // SW + 1
    elements = N * OH * OW * KH * KW * C
    return (
        N,
        elements,
        (C, H, W, OH, OW, KH, KW, SH, SW, PH, PW, DH, DW),
        draw(st.integers(0, elements - 1)),
    )


@pytest.mark.parametrize(("real", "dtype"), [("float", np.float32), ("double", np.float64)])
@settings(max_examples=25)
@given(drawn=im2col_launches())
def test_every_line_of_im2col_equals_python(compiler, real, dtype, drawn):
    N, elements, sizes, index = drawn
    C, H, W, OH, OW, KH, KW = sizes[:7]
    x = np.random.default_rng(0).standard_normal((N, H, W, C)).astype(dtype)
    col = np.zeros((N * OH * OW, KH * KW * C), dtype)
    kernel = load("conv/im2col.cu", "im2col", {"real": real})
    grid, args = (-(-elements // 64),), (x, col, np.int64(elements), *sizes)
    where = {"block_index": index // 64, "thread": index % 64}
    walk = emulator.step(kernel, grid, (64,), args, **where)

    lines, read = im2col_in_python(index, *sizes)
    assert changes(walk) == lines
    assert walk[0].locals["elements"] == elements
    assert [(a.place.array, a.place.position) for a in walk[-1].reads] == (
        [("x", read)] if read else []
    )
    kernel(grid, (64,), args)
    ((write,),) = (s.writes for s in walk if s.writes)
    assert (write.place.array, write.place.index) == ("col", index)
    assert write.value == col.flat[index]
    assert walk.stopped is None


def test_every_line_of_im2col_with_each_compiler(any_compiler):
    sizes = (3, 7, 5, 4, 3, 3, 3, 2, 2, 1, 1, 1, 1)
    x = np.arange(2 * 7 * 5 * 3, dtype=np.float32).reshape(2, 7, 5, 3)
    col = np.zeros((24, 27), np.float32)
    kernel = load("conv/im2col.cu", "im2col")
    for thread in (0, 30, 500, 647):
        walk = emulator.step(kernel, (1,), (648,), (x, col, col.size, *sizes), thread=thread)
        lines, read = im2col_in_python(thread, *sizes)
        assert changes(walk) == lines
        assert [a.value for a in walk[-1].reads] == ([x[read]] if read else [])


def tiled_args(M, N, K):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((M, K)), rng.standard_normal((K, N))
    a, b, c = a.astype(np.float32), b.astype(np.float32), np.zeros((M, N), np.float32)
    return {
        "A": a, "B": b, "C": c, "M": M, "N": N, "K": K, "a_row": K, "a_column": 1, "b_row": N,
        "b_column": 1, "activation": 0, "bias": np.ones(N, np.float32), "add": None,
    }  # fmt: skip


def test_tiled_product_line_by_line(any_compiler):
    kernel = load("matmul/tiled.cu", "matmul", {"TILE": 4})
    named = tiled_args(6, 7, 9)
    a, b, c = named["A"], named["B"], named["C"]
    args = [named[p.name] for p in kernel.parameters]
    kernel((2, 2), (4, 4), args)
    expected = c.copy()
    c[:] = 0
    for y, x in np.ndindex(2, 3):  # rows 4 and 5, columns 4 to 6
        walk = emulator.step(kernel, (2, 2), (4, 4), args, block_index=(1, 1), thread=(x, y))
        total, totals = np.float32(0), [0.0]
        for k in range(12):  # with the tile's zeros beyond column 9
            product = a[4 + y, k] * b[k, 4 + x] if k < 9 else np.float32(0)
            if total + product != total:
                totals.append(float(total + product))
            total += product
        assert walk.history("total") == totals
        assert walk.history("k") == [0, 4, 8]
        (write,) = (w for s in walk for w in s.writes if w.place.array == "C")
        assert write.place.position == (4 + y, 4 + x)
        assert write.value == expected[4 + y, 4 + x]
        assert sum("__syncthreads()" in s.waits for s in walk) == 6
    assert not c.any()  # stepping works on copies


@pytest.mark.parametrize("lane", [0, 5, 31])
def test_warp_functions_and_shuffles(any_compiler, lane):
    x = np.random.default_rng(1).standard_normal((2, 40)).astype(np.float32)
    y, kernel = np.zeros_like(x), load("activation/softmax.cu", "softmax_forward")
    args = (x, y, 2, 40, 1)
    kernel((1,), (128,), args)
    walk = emulator.step(kernel, (1,), (128,), args, thread=32 + lane)
    written = {w.place.position: w.value for s in walk for w in s.writes}
    assert written == {(1, k): y[1, k] for k in range(lane, 40, 32)}
    inner = [s for s in walk if s.function == "online_softmax"]
    assert {s.depth for s in inner} == {1}
    assert sum(s.waits.count("a shuffle") for s in inner) == 10
    (call,) = (s for s in walk if "online_softmax(" in s.source)
    assert call.changes["m"] == x[1].max()  # through a reference
    assert math.isclose(call.changes["s"], np.exp(x[1] - x[1].max()).sum(), rel_tol=1e-6)
    assert walk.history("m", "online_softmax")[-1] == x[1].max()


# ---- the language ----------------------------------------------------------------------------
LANGUAGE = """
struct Pair { float a; int b[2]; };
template <int N> __device__ float4 scale(const float4* p, const float (&f)[N])
{
    float4 v = p[0];
    #pragma unroll
    for (int i = 0; i < N; i++) v.x *= f[i];
    v.y += 1;
    return v;
}
template <int T> __global__ void language(const float* x, float* y, int n)
{
    extern __shared__ float part[];
    __shared__ int2 pairs[4][2];
    float f[3] = {1, 2, 3};
    Pair p;
    p.a = n;
    float4 v = scale<3>((const float4*)x + threadIdx.x, f);
    p.b[1] = T;
    part[threadIdx.x] = v.x;
    pairs[threadIdx.x][1].y = 7;
    __syncthreads();
    const float* z = x + 5;
    ((float4*)y)[threadIdx.x] = v;
    float w = __shfl_xor_sync(0xf, v.x, 1);
    do {
        n--;
    } while (n > 0);
    atomicAdd(&y[0],
              w + part[3] +
              z[0]);
}
"""


def test_language(any_compiler):
    x, y = np.arange(16, dtype=np.float32), np.zeros(16, np.float32)
    walk = step(LANGUAGE, "language<5>", (4,), (x, y, 3), shared_mem=16, thread=2)
    v = {"x": 48.0, "y": 10.0, "z": 10.0, "w": 11.0}
    assert changes(walk)[:3] == [
        {"f": [1.0, 2.0, 3.0]},
        {"p": {"a": 3.0, "b": None}},
        {"v": v},
    ]
    assert [v["x"] for v in walk.history("v", "scale<3>")] == [8, 16, 48, 48]
    assert changes(walk)[3] == {"p": {"a": 3.0, "b": [None, 5]}}
    assert walk.history("z") == [Pointer("x", 5, (5,))]
    assert walk.history("n") == [3, 2, 1, 0]
    written = [(str(w.place), w.value) for s in walk for w in s.writes]
    assert written == [
        ("part[2]", 48.0), ("pairs[2, 1, 1]", 7), ("y[8]", 48.0), ("y[9]", 10.0), ("y[10]", 10.0),
        ("y[11]", 11.0), ("y[0]", walk[-1].reads[-1].value + 72 + 5 + walk[-1].reads[0].value),
    ]  # fmt: skip
    assert walk[-1].last_line - walk[-1].line == 2  # one statement on three lines
    assert [a.memory for a in walk.arrays] == ["global", "global", "shared", "shared"]
    assert not y.any()


CALLS = """
__device__ __attribute__((always_inline)) inline int twice(int a) { return 2 * a; }
__device__ int factorial(int n)
{
    if (n < 2)
        return 1;
    return n * factorial(n - 1);
}
__global__ void calls(int* y)
{
    int a = twice(3) + twice(4);
    auto add = [&](int b) {
        a += b;
    };
    add(factorial(4));
    y[0] = a;
}
"""


def test_calls(any_compiler):
    walk = step(CALLS, "calls", (1,), (np.zeros(1, np.int32),))
    assert [s.locals["a"] for s in walk if s.function == "twice"] == [3, 4]
    assert [s.locals["n"] for s in walk if "if (n < 2)" in s.source] == [4, 3, 2, 1]
    assert max(s.depth for s in walk) == 4
    assert walk.history("a") == [14, 38]
    assert [s.depth for s in walk if "a += b" in s.source] == [1]


def test_shared_memory_by_other_names(any_compiler):
    source = """
    __device__ float first(const float* part, const float* tile) { return part[1] + tile[0]; }
    __global__ void shared(float* y)
    {
        extern __shared__ float part[];
        __shared__ float tile[2][3];
        part[1] = 1;
        tile[1][2] = 2;
        y[0] = first(part, &tile[1][2]);
    }"""
    walk = step(source, "shared", (1,), (np.zeros(1, np.float32),), shared_mem=8)
    inner = next(s for s in walk if s.depth == 1)
    assert {k: str(v) for k, v in inner.locals.items()} == {
        "part": "part + 0", "tile": "tile + 5 -> tile[1, 2]",
    }  # fmt: skip
    assert [str(a) for a in inner.reads] == ["part[1] = 1", "tile[1, 2] = 2"]
    assert walk[-2].locals.keys() == {"y"}  # shared memory is among the arrays
    assert [a.name for a in walk.arrays] == ["y", "part", "tile"]


OBJECTS = """
__constant__ float table[3] = {1, 2, 3};
__device__ int counter = 5;
namespace tools {
struct Sum {
    float sum;
    __device__ Sum() : sum(0) {}
    __device__ void add(float v) {
        sum += v;
    }
};
enum Mode { off, on };
template <class T, int N> struct Tile { T v[N][N]; };
}
extern "C" {
__global__ void objects(const unsigned char* image, bool* flags, double* d, int n)
{
    tools::Sum total;
    tools::Mode mode = tools::on;
    tools::Tile<short, 2> tile = {{{1, 2}, {3, 4}}};
    for (int i = 0; i < 3; ++i)
        total.add(table[i] * image[i]);
    counter += 3;
    flags[1] = mode == tools::on && n;
    float* inside = &total.sum;
    tools::Sum* whole = &total;
    float& same = whole->sum;
    same *= 2;
    const float* rows[2] = {table, inside};
    switch (n) {
    case 0:
        d[1] = 1;
        break;
    case 4:
        d[1] = *rows[1];
    default:
        d[2] = 3;
    }
    printf("%d\\n", n);
}
}
"""


def test_objects(any_compiler, capfd):
    image, flags, d = np.array([10, 20, 203], np.uint8), np.zeros(2, bool), np.zeros(3)
    walk = step(OBJECTS, "objects", (1,), (image, flags, d, 4))
    assert walk.history("mode") == ["on"]
    assert walk.history("tile") == [{"v": [[1, 2], [3, 4]]}]
    parts = [part for s in walk if s.depth == 0 for part in s.differences()]
    assert [(a, b) for name, a, b in parts if name == "total.sum"] == [
        (0.0, 10.0), (10.0, 50.0), (50.0, 659.0), (659.0, 1318.0),
    ]  # fmt: skip
    assert walk.history("same") == [659.0, 1318.0]
    assert [str(walk.history(name)[-1]) for name in ("inside", "whole")] == ["&total.sum", "&total"]
    assert [str(p) for p in walk.history("rows")[-1]] == ["table + 0", "&total.sum"]
    assert [str(a) for s in walk if "counter" in s.source for a in (*s.reads, *s.writes)] == [
        "counter = 5", "counter = 8",
    ]  # fmt: skip
    assert [str(w) for s in walk for w in s.writes][1:] == [
        "flags[1] = true", "d[1] = 1318", "d[2] = 3",
    ]  # fmt: skip
    assert [s.source.strip() for s in walk if "case" in s.source or "break" in s.source] == []
    assert {a.name: a.memory for a in walk.arrays}["table"] == "device"
    assert capfd.readouterr().out == "4\n"
    json.dumps(walk.to_json(), allow_nan=False)


LOOPS = """
__global__ void loops(const float* x, float* y, int n)
{
    float sum = 0, best; int where;
    for (int i = 0; i < n; i++) sum += x[i];
    for (int i = 0; i < n; i++) {
        float twice = 2 * x[i];
        if (i == 0 || twice > best) {
            best = twice;
            where = i;
        } else if (twice < 0)
            sum = NAN;
    }
    y[0] = sum; y[1] = best + where;
}
"""


def test_loops_and_values_that_are_not_set(any_compiler):
    x = np.array([1, 5, -2, 4], np.float32)
    walk = step(LOOPS, "loops", (1,), (x, np.zeros(2, np.float32), 4))
    assert changes(walk)[0] == {"sum": 0.0}
    assert walk.history("sum")[:5] == [0.0, 1.0, 6.0, 4.0, 8.0]
    assert math.isnan(walk.history("sum")[5])
    assert len(walk.history("sum")) == 6  # a NaN that stays one is no change
    first = next(s for s in walk if "if (i == 0" in s.source)
    assert first.locals.keys() == {"x", "y", "n", "sum", "i", "twice"}
    assert walk.history("best") == [2.0, 10.0]
    assert [s.locals["i"] for s in walk if "float twice" in s.source] == [0, 1, 2, 3]
    assert all("twice" not in s.locals for s in walk if "float twice" in s.source)
    assert [s.line for s in walk if "else if" in s.source] == [11] * 2  # when it is evaluated


def test_in_place_and_unaligned_frames(any_compiler):
    source = """
    __global__ void f(const float* x, float* y)
    {
        alignas(64) float v[4] = {1, 2, 3, 4};
        int n = 7;
        y[1] = x[0] + v[n - 4];
        y[2] = x[1];
    }"""
    x = np.array([1, 0, 0, 9], np.float32)
    walk = step(source, "f", (1,), (x, x[:3]))
    assert walk[-1].reads[0].value == 5.0  # what the line before wrote
    for s in walk[1:]:  # a variable that cannot be read is left out, never wrong
        assert s.locals.get("v", [1.0, 2.0, 3.0, 4.0]) == [1.0, 2.0, 3.0, 4.0]
    assert walk[-1].locals.get("n", 7) == 7
    np.testing.assert_array_equal(x, [1, 0, 0, 9])


# ---- why a walk ends early ---------------------------------------------------------------------
ENDS = """
__global__ void ends(const float* x, float* y, int n)
{
    y[threadIdx.x] = n;
    assert(n != 1);
    if (n == 2)
        y[4] = 1;
    if (n == 3) y[0] = x[-1];
    if (n == 4 && threadIdx.x == 1) for (;;) y[1] += 1;
    if (n == 5 && threadIdx.x == 0) __syncthreads();
    if (n == 5) __syncthreads();
}
"""


@pytest.mark.parametrize(
    ("n", "thread", "limit", "words"),
    [
        (1, 0, 9, ["line 5 of ends.cu", "assertion failed: n != 1"]),
        (2, 0, 9, ["line 7 of ends.cu", "write of 4 bytes at y[4]", "has 4 elements"]),
        (3, 0, 9, ["line 8 of ends.cu", "read of 4 bytes at x[-1]"]),
        (4, 1, 50, ["stopped after 50 steps", "limit is 50", "pass a larger one"]),
        (4, 0, 50, ["thread (1, 0, 0)", "line 9 of ends.cu", "is a loop endless?"]),
        (5, 0, 9, ["divergent __syncthreads()"]),
        (0, 3, 7, None),  # as many steps as the limit allows
        (0, 3, 6, ["limit is 6"]),
    ],
)
def test_ends(any_compiler, n, thread, limit, words):
    x = np.ones(4, np.float32)
    walk = step(ENDS, "ends", (4,), (x, x.copy(), n), thread=thread, limit=limit)
    assert 1 <= len(walk) <= limit
    if words is None:
        assert walk.stopped is None
    else:
        assert all(word in walk.stopped for word in words), walk.stopped
        walk.goto(len(walk))
        assert "the walk ends here" in card(walk)
        with pytest.raises(IndexError, match="is the last one; the walk ends early: "):
            walk.next()
    if n == 4:  # the emulator goes on as if nothing had happened
        assert step(ENDS, "ends", (4,), (x, x.copy(), 0)).stopped is None


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_loops_that_do_nothing(any_compiler, n):
    source = """
    __global__ void idle(int n) {
        if (n == 1) for (;;);
        if (n == 2) while (true) ;
        if (n == 3) do ; while (n == 3);
        if (n == 4) { here: goto here; }
    }"""
    walk = step(source, "idle", (1,), (n,), limit=100)
    assert f"stopped after 2 steps, because line {2 + n} of idle.cu never ends" in walk.stopped or (
        walk.stopped == "stopped after 100 steps, because limit is 100; pass a larger one"
    )
    assert walk[-1].line == 2 + n


def test_a_failure_before_the_thread_began(compiler):
    x = np.ones(4, np.float32)
    walk = step(ENDS, "ends", (4,), (x, x.copy(), 1), thread=2)
    assert len(walk) == 0
    assert "assertion failed" in card(walk)
    assert "assertion failed" in listing(walk)
    with pytest.raises(IndexError, match="assertion failed"):
        _ = walk.current


@pytest.mark.parametrize(
    ("where", "error", "words"),
    [
        ({"thread": (4, 0)}, ValueError, r"thread is \(4, 0, 0\), but the block is \(4, 1, 1\)"),
        ({"thread": -1}, ValueError, "thread is"),
        ({"thread": "3"}, TypeError, "thread must be 1 to 3 integers"),
        ({"block_index": 1}, ValueError, "block_index is"),
        ({"limit": 0}, ValueError, "limit is 0"),
        ({"shared_mem": 1 << 20}, ValueError, "shared_mem"),
    ],
)
def test_refuses(compiler, where, error, words):
    x = np.ones(4, np.float32)
    with pytest.raises(error, match=words):
        step(ENDS, "ends", (4,), (x, x.copy(), 0), **where)


def test_refuses_wrong_arguments_and_other_machines(compiler, monkeypatch):
    x = np.ones(4, np.float32)
    with pytest.raises(TypeError, match="wants a float32 array"):
        step(ENDS, "ends", (4,), (x, x.astype(np.float64), 0))
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    with pytest.raises(EmulatorError, match="x86-64 only so far, but this is Linux on arm64"):
        step(ENDS, "ends", (4,), (x, x.copy(), 0))


# ---- the walk ----------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def walk(compiler):
    x, y = np.arange(16, dtype=np.float32), np.zeros(16, np.float32)
    return step(LANGUAGE, "language<5>", (4,), (x, y, 3), shared_mem=16, thread=1)


def test_moves(walk):
    assert walk.goto(1).number == 1
    assert walk.next().number == 2
    call = walk.until(18)
    assert "scale<3>" in call.source
    assert walk.next().function == "scale<3>"
    assert walk.out().line == 19
    walk.goto(call.number)
    assert walk.over().line == 19
    assert walk.back().function == "scale<3>"
    assert [s.line for s in walk.at_line(30)] == [29]  # the second of its lines
    walk.goto(1)
    with pytest.raises(IndexError, match="out: after step 1 its function does not return"):
        walk.out()
    walk.goto(len(walk))
    with pytest.raises(IndexError, match="over: after step .* neither its function nor a caller"):
        walk.over()
    walk.goto(1)
    with pytest.raises(IndexError, match="back: step 1 is the first one"):
        walk.back()
    with pytest.raises(IndexError, match="until: line 999 is not executed after step 1"):
        walk.until(999)
    with pytest.raises(IndexError, match=f"they run from 1 to {len(walk)}"):
        walk.goto(0)
    with pytest.raises(KeyError, match="there is no variable 'nobody' here; there are: f, n, p"):
        walk.history("nobody")
    assert walk.current.number == 1
    with pytest.raises(TypeError):
        walk[0].locals["n"] = 4


def test_text(walk):
    walk.goto(walk.at_line(7)[1].number)
    text = repr(walk)
    assert "language<5>: blockIdx (0, 0, 0), threadIdx (1, 0, 0)" in text
    assert "in scale<3> called from line 18" in text
    assert "\n>   7      for (int i = 0; i < N; i++) v.x *= f[i];\n" in text
    assert "* i = 1 -> 2" in text
    assert "p = x + 4" in text
    assert all(len(line) <= 100 for line in text.splitlines())
    walk.goto(walk.at_line(22)[0].number)
    assert "waits for other threads at __syncthreads()" in repr(walk)
    assert repr(walk[0]) == "<step 1, line 15: float f[3] = {1, 2, 3};  // f = [1, 2, 3]>"


def test_plain_data(walk):
    data = json.loads(json.dumps(walk.to_json(), allow_nan=False))
    assert data["thread"] == [1, 0, 0]
    assert len(data["steps"]) == len(walk)
    first = data["steps"][0]
    assert data["sources"][first["file"]].split("\n")[first["line"] - 1] == first["source"]
    assert first["locals"]["n"] == 3
    assert data["steps"][2]["locals"]["x"]["pointer"] == "x + 0"
    assert {"text": "part[1]", "array": "part", "index": 1, "position": [1], "value": 24.0} in [
        write for s in data["steps"] for write in s["writes"]
    ]


def test_infinity_in_plain_data(compiler):
    source = "__global__ void f(float* y) { float a = INFINITY; float b = a - a; y[0] = b; }"
    walk = step(source.replace("; ", ";\n"), "f", (1,), (np.zeros(1, np.float32),))
    last = walk.to_json()["steps"][-1]
    assert last["locals"]["a"] == "inf"
    assert "nan" in last["locals"]["b"]
    json.dumps(walk.to_json(), allow_nan=False)


# ---- the walker --------------------------------------------------------------------------------
def keys(walk, *answers):
    """What the walker writes for these keys and answers."""
    written, waiting = [], list(answers)

    def read(question=None):
        return waiting.pop(0) if waiting else None

    walk_kernel(walk, read, written.append)
    return "\n".join(written)


def test_keys(walk):
    walk.goto(1)
    text = keys(
        walk, *["n", "v", "u", "30", "b", "x", "w", "n", "g", "4", "o", "a", "?", "l", "q", "n"]
    )
    assert f"{len(walk)} steps recorded" in text
    assert "'x' is no key here" in text
    assert "n: 3, 2, 1, 0" in text
    assert "pairs: int32 (4, 2, 2), shared memory" in text
    assert "next line, into functions" in text
    assert listing(walk) in text
    assert walk.current.line == 19  # where step 4's function has returned


def test_keys_that_cannot_be_obeyed(walk):
    walk.goto(1)
    text = keys(walk, "b", "u", "abc", "u", "", "g", "999", "w", "nobody")
    assert "back: step 1 is the first one" in text
    assert "a whole number is needed here, but got 'abc'" in text
    assert "there is no step 999" in text
    assert "there is no variable 'nobody' here" in text
    assert walk.current.number == 1


def test_without_keys_all_steps_are_printed(walk):
    assert listing(walk) in keys(walk)


# ---- the command -------------------------------------------------------------------------------
def process(*argv, stdin=""):
    return subprocess.run(
        [sys.executable, "-m", "minicnn", "step-kernel", *argv],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        input=stdin,
        capture_output=True,
        text=True,
    )


def test_command_in_a_pipe(compiler):
    done = process("conv/im2col.cu", "--thread", "30", stdin="n v u 29 q\n")
    assert done.returncode == 0, done.stderr
    assert "step 14 of 14, line 29 of im2col.cu" in done.stdout
    assert "threadIdx (30, 0, 0)" in done.stdout


def test_command_saves_data_and_takes_files_of_ones_own(compiler, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = (ROOT / "kernels" / "conv" / "im2col.cu").read_text().replace("long long rest", "long R")
    Path("mine.cu").write_text(own.replace("rest", "R"))
    code = main(["step-kernel", "mine.cu", "--thread", "3,0,0", "--json", "steps.json"])
    assert (code, capsys.readouterr().err) == (0, "")
    data = json.loads(Path("steps.json").read_text())
    assert next(s["changes"]["R"] for s in data["steps"] if "R" in s["changes"]) == 3


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["nothing.cu"], "there is no kernel file 'nothing.cu'"),
        (["conv/im2col.cu", "nothing"], "has no kernel 'nothing'; its kernels: im2col"),
        (["conv/im2col.cu", "--thread", "999"], "choose one inside"),
        (["conv/im2col.cu", "--thread", "a"], "expects 1 to 3 whole numbers"),
        (["unknown.cu"], "no example launch is known for kernel unknown"),
        (["conv/im2col.cu", "--limit", "0"], "expects a whole number of 1 or more"),
    ],
)
def test_command_refuses(compiler, capsys, tmp_path, monkeypatch, argv, words):
    monkeypatch.chdir(tmp_path)
    Path("unknown.cu").write_text("__global__ void unknown(float* y) { y[0] = 1; }")
    assert main(["step-kernel", *argv]) == 2
    assert words in capsys.readouterr().err


EXAMPLES = [
    (file, name)
    for file in sorted(kernel_examples.files())
    for name in kernel_examples.kernels_in((ROOT / "kernels" / file).read_text(encoding="utf-8"))
]
QUICK = {("conv/col2im.cu", "col2im"), ("reduction/sum_shuffle.cu", "sum")}


@pytest.mark.parametrize(
    ("file", "name"),
    [p if p in QUICK else pytest.param(*p, marks=pytest.mark.slow) for p in EXAMPLES],
)
def test_every_kernel_has_an_example_that_can_be_stepped(compiler, file, name):
    found = kernel_examples.example(file, name)
    launch = found.kernel, found.grid, found.block, found.args, found.shared_mem
    walk = emulator.step(*launch, limit=100_000)
    assert walk.stopped is None
    assert len(walk) >= 2
    copies = [np.array(a) if isinstance(a, np.ndarray) else a for a in found.args]
    found.kernel(found.grid, found.block, copies, found.shared_mem)
    results = dict(zip((p.name for p in found.kernel.parameters), copies, strict=True))
    last = {w.place: w.value for s in walk for w in s.writes if w.place.array in results}
    if "atomic" not in " ".join(s.source for s in walk):
        for place, value in last.items():
            assert np.array_equal(results[place.array].flat[place.index], value, equal_nan=True)


# ---- statements --------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("source", "places"),
    [
        ("a = 1;\nb = 2;", [(1, 1), (2, 2)]),
        ("a = f(1,\n  2)\n  + 3;\nb;", [(1, 3), (1, 3), (1, 3), (4, 4)]),
        ("if (a)\n  b;\nelse\n  c;", [(1, 1), (2, 2), (3, 3), (4, 4)]),
        ("for (;;\n) {\n  a; // ;\n}", [(1, 2), (1, 2), (3, 3), (4, 4)]),
        ("if (a) b =\n  c;", [(1, 2), (1, 2)]),
        ("#define A \\\n  b;\n\na;", [(1, 2), (1, 2), (3, 3), (4, 4)]),
        ("case 1:\n  a;\n} else {\n/* ; */ b\n;", [(1, 1), (2, 2), (3, 3), (4, 5), (4, 5)]),
        ("while (a", [(1, 1)]),
    ],
)
def test_statements(source, places):
    statements = Statements(source)
    assert [statements.at(line + 1) for line in range(len(places))] == places
