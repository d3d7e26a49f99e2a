"""CUDA kernels on the CPU: language, launch rules, errors, and the cache of compiled kernels."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import minicnn.emulator.compiler as building
from minicnn.emulator import CompilerNotFound, EmulatorError, load
from minicnn.emulator.signature import check_arguments, parse_signature

ORDERS = ["forward", "reverse", "shuffled"]

ADD = """
#include "common.cuh"
extern "C" __global__ void __launch_bounds__(256)
add(const real* __restrict__ a, const real* __restrict__ b, real* __restrict__ c, int n)
{
    long long i = thread_index();
    if (i >= n) return;
    c[i] = a[i] + b[i];
}
"""


@pytest.fixture
def fresh_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path))
    return tmp_path / "emulator"


def run(source, name, grid, block, args, **settings):
    load('#include "common.cuh"\n' + source, name, settings.pop("defines", None))(
        grid, block, args, **settings
    )


# ---- the language ----------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("real", "dtype"), [("float", np.float32), ("double", np.float64)])
def test_vector_add(compiler, order, real, dtype):
    a, b = np.random.default_rng(0).standard_normal((2, 1000)).astype(dtype)
    c = np.full(1000, np.nan, dtype)
    load(ADD, "add", {"real": real})((4,), (256,), (a, b, c, 1000), order=order, seed=3)
    np.testing.assert_array_equal(c, a + b)


BLOCK_SUM = """
extern "C" __global__ void block_sum(const float* x, float* sums, int n)
{
    __shared__ float part[256];
    int t = threadIdx.x;
    long long i = thread_index();
    part[t] = i < n ? x[i] : 0.0f;
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        __syncthreads();
        if (t < half) part[t] += part[t + half];
    }
    if (t == 0) sums[blockIdx.x] = part[0];
}
"""

DYNAMIC_SUM = """
extern "C" __global__ void block_sum(const float* x, float* sums, int n)
{
    extern __shared__ __align__(16) float part[];  // one float per thread
    int t = threadIdx.x;
    part[t] = thread_index() < n ? x[thread_index()] : 0.0f;
    __syncthreads();
    if (t > 0) return;  // the others leave before the second barrier
    __syncthreads();
    float sum = 0.0f;
    for (int i = 0; i < blockDim.x; i++) sum += part[i];
    sums[blockIdx.x] = sum;
}
"""

WARP_SUM = """
__device__ __forceinline__ float warp_sum(float v)
{
    #pragma unroll
    for (int offset = 16; offset > 0; offset /= 2) v += __shfl_down_sync(0xffffffffu, v, offset);
    return v;
}
extern "C" __global__ void block_sum(const float* x, float* sums, int n)
{
    __shared__ float part[32];
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    float v = warp_sum(thread_index() < n ? x[thread_index()] : 0.0f);
    if (lane == 0) part[warp] = v;
    __syncthreads();
    if (warp > 0) return;
    v = warp_sum(lane < blockDim.x / 32 ? part[lane] : 0.0f);
    if (lane == 0) sums[blockIdx.x] = v;
}
"""
SUMS = {"static": BLOCK_SUM, "dynamic": DYNAMIC_SUM, "warp": WARP_SUM}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("threads", [32, 256])
@pytest.mark.parametrize(
    "source", [BLOCK_SUM, DYNAMIC_SUM, WARP_SUM], ids=["static", "dynamic", "warp"]
)
def test_block_reduction(compiler, source, threads, order):
    x = np.arange(1000, dtype=np.float32)
    blocks = -(-1000 // threads)
    sums = np.full(blocks, np.nan, np.float32)
    run(
        source,
        "block_sum",
        (blocks,),
        (threads,),
        (x, sums, 1000),
        shared_mem=4 * threads,
        order=order,
    )
    padded = np.zeros(blocks * threads)
    padded[:1000] = x
    np.testing.assert_allclose(sums, padded.reshape(blocks, threads).sum(1), rtol=1e-6)


SHUFFLES = {
    "__shfl_sync(0xffffffffu, v, 5)": lambda lane: np.full(32, 5),
    "__shfl_sync(0xffffffffu, v, 1, 8)": lambda lane: lane // 8 * 8 + 1,
    "__shfl_up_sync(0xffffffffu, v, 3)": lambda lane: np.where(lane < 3, lane, lane - 3),
    "__shfl_down_sync(0xffffffffu, v, 2, 16)": lambda lane: np.where(
        lane % 16 < 14, lane + 2, lane
    ),
    "__shfl_xor_sync(0xffffffffu, v, 1)": lambda lane: lane ^ 1,
    "(lane < 8 ? __shfl_sync(0xffu, v, 7) : v)": lambda lane: np.where(lane < 8, 7, lane),
    "__popc(__ballot_sync(0xffffffffu, lane % 3 == 0))": lambda lane: np.full(32, 11),
    "__any_sync(0xffffffffu, lane == 9)": lambda lane: np.full(32, 1),
    "__all_sync(0xffffffffu, lane != 9)": lambda lane: np.full(32, 0),
}


@pytest.mark.parametrize("kind", ["int", "double"])
@pytest.mark.parametrize("expression", SHUFFLES)
def test_warp_operations(compiler, expression, kind):
    rows = "".join(f"out[{32 * i} + lane] = {each};\n" for i, each in enumerate(SHUFFLES))
    source = f"""extern "C" __global__ void warp(double* out) {{
        int lane = threadIdx.x;
        {kind} v = lane;
        __syncwarp();
        {rows}
    }}"""
    out = np.full((len(SHUFFLES), 32), np.nan)
    run(source, "warp", (1,), (32,), (out,))
    row = out[list(SHUFFLES).index(expression)]
    np.testing.assert_array_equal(row, SHUFFLES[expression](np.arange(32)))


def test_lanes_that_left_give_nan(compiler):
    source = """extern "C" __global__ void from_absent(float* out) {
        if (threadIdx.x >= 16) return;
        out[threadIdx.x] = __shfl_xor_sync(0xffffffffu, 1.0f, threadIdx.x == 0 ? 16 : 0);
    }"""
    out = np.zeros(16, np.float32)
    run(source, "from_absent", (1,), (32,), (out,))
    assert np.isnan(out[0]) and (out[1:] == 1).all()


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("kind", "dtype"), [
    ("int", np.int32), ("unsigned int", np.uint32), ("float", np.float32), ("double", np.float64),
    ("unsigned long long", np.uint64),
])  # fmt: skip
def test_atomic_histogram(compiler, kind, dtype, order):
    source = f"""extern "C" __global__ void histogram(const int* bins, {kind}* counts, int n) {{
        if (thread_index() < n) atomicAdd(&counts[bins[thread_index()]], ({kind})1);
    }}"""
    bins = np.random.default_rng(1).integers(0, 10, 500).astype(np.int32)
    counts = np.zeros(10, dtype)
    run(source, "histogram", (4,), (128,), (bins, counts, 500), order=order)
    np.testing.assert_array_equal(counts, np.bincount(bins, minlength=10))


def test_other_atomics(compiler):
    source = """extern "C" __global__ void atomics(int* out) {
        int t = threadIdx.x;
        atomicMax(&out[0], t); atomicMin(&out[1], t); atomicExch(&out[2], 7);
        if (atomicCAS(&out[3], 0, t + 1) == 0) out[4] = t + 1;
        atomicOr(&out[5], 1 << t % 8);
    }"""
    out = np.array([0, 100, 0, 0, 0, 0], np.int32)
    run(source, "atomics", (1,), (64,), (out,))
    assert out[:3].tolist() == [63, 0, 7] and out[3] == out[4] > 0 and out[5] == 255


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("grid", "block"), [((2,), (3,)), ((2, 3), (4, 5)), ((2, 3, 4), (5, 2, 3))]
)
def test_every_thread_of_every_block_runs_once(compiler, grid, block, order):
    source = """extern "C" __global__ void mark(int* seen) {
        long long b = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
        int t = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
        seen[b * blockDim.x * blockDim.y * blockDim.z + t]++;
    }"""
    seen = np.zeros(np.prod(grid) * np.prod(block), np.int32)
    run(source, "mark", grid, block, (seen,), order=order, seed=5)
    assert (seen == 1).all()


def test_order_of_blocks_and_threads(compiler):
    source = """extern "C" __global__ void record(int* out, int* count) {
        out[atomicAdd(count, 1)] = (int)thread_index();
    }"""

    def sequence(**how):
        out, count = np.zeros(24, np.int32), np.zeros(1, np.int32)
        run(source, "record", (6,), (4,), (out, count), **how)
        return out.tolist()

    assert sequence() == list(range(24))
    assert sequence(order="reverse") == list(range(23, -1, -1))
    assert sorted(sequence(order="shuffled")) == list(range(24))
    assert sequence(order="shuffled", seed=1) == sequence(order="shuffled", seed=1)
    assert sequence(order="shuffled", seed=1) != sequence(order="shuffled", seed=2)


TILED_PRODUCT = """
template <typename T, int TILE>
__global__ void product(const T* A, const T* B, T* C, int M, int N, int K)
{
    __shared__ T a[TILE][TILE + 1], b[TILE][TILE + 1];
    int tx = threadIdx.x, ty = threadIdx.y;
    int row = blockIdx.y * TILE + ty, column = blockIdx.x * TILE + tx;
    T sum = 0;
    for (int k0 = 0; k0 < K; k0 += TILE) {
        a[ty][tx] = row < M && k0 + tx < K ? A[row * K + k0 + tx] : 0;
        b[ty][tx] = k0 + ty < K && column < N ? B[(k0 + ty) * N + column] : 0;
        __syncthreads();
        for (int k = 0; k < TILE; k++) sum += a[ty][k] * b[k][tx];
        __syncthreads();
    }
    if (row < M && column < N) C[row * N + column] = sum;
}
"""


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("kind", "tile"), [("float", 4), ("float", 16), ("double", 32)])
def test_template_with_shared_tiles(compiler, kind, tile, order):
    dtype = np.float32 if kind == "float" else np.float64
    rng = np.random.default_rng(2)
    A, B = rng.standard_normal((33, 18)).astype(dtype), rng.standard_normal((18, 21)).astype(dtype)
    C = np.full((33, 21), np.nan, dtype)
    grid = (-(-21 // tile), -(-33 // tile))
    run(
        TILED_PRODUCT,
        f"product<{kind}, {tile}>",
        grid,
        (tile, tile),
        (A, B, C, 33, 21, 18),
        order=order,
    )
    np.testing.assert_allclose(C, A @ B, rtol=1e-4, atol=1e-5)


def test_vector_types_and_read_only_loads(compiler):
    source = """extern "C" __global__ void twice(const float4* x, float4* y) {
        float4 v = __ldg(&x[threadIdx.x]);
        y[threadIdx.x] = make_float4(2 * v.x, 2 * v.y, 2 * v.z, 2 * v.w);
    }"""
    x = np.arange(32, dtype=np.float32)
    y = np.zeros_like(x)
    run(source, "twice", (1,), (8,), (x, y))
    np.testing.assert_array_equal(y, 2 * x)


def test_arithmetic(compiler):
    source = """extern "C" __global__ void arithmetic(const float* x, float* y) {
        int i = 0;
        y[i++] = rsqrtf(x[0]);
        y[i++] = fmaf(x[0], x[1], 1.0f);
        y[i++] = expf(x[0]) + log(x[0]) + __expf(x[0]);
        y[i++] = min(x[0], x[1]) + max(3, 5) + min(7u, 9u) + max(2ll, 4ll);
        y[i++] = fmaxf(-INFINITY, x[1]);
        y[i++] = isnan(x[0]) + 2 * isnan(x[2]);
        y[i++] = abs(x[1]);
        y[i++] = __umul64hi(1ull << 63, 6ull) + __umulhi(1u << 31, 4u) + __popc(7u);
        y[i++] = __float_as_int(1.0f) == 0x3f800000 && REAL_MAX < REAL_INFINITY;
    }"""
    x, y = np.array([2, -3, np.nan], np.float32), np.zeros(9, np.float32)
    run(source, "arithmetic", (1,), (1,), (x, y))
    expected = [2**-0.5, -5, 2 * np.exp(2) + np.log(2), -3 + 5 + 7 + 4, -3, 2, 3, 3 + 2 + 3, 1]
    np.testing.assert_allclose(y, expected, rtol=1e-6)


@pytest.mark.parametrize("declaration", ["__shared__ float s[8];", "extern __shared__ float s[];"])
def test_shared_memory_starts_as_nan_in_every_block(compiler, declaration):
    source = f"""extern "C" __global__ void unwritten(float* out) {{
        {declaration}
        out[blockIdx.x] = s[3];
        s[3] = 1.0f;
    }}"""
    out = np.zeros(3, np.float32)
    run(source, "unwritten", (3,), (1,), (out,), shared_mem=32)
    assert np.isnan(out).all()


def test_each_kernel_has_its_own_shared_memory_and_statics(compiler):
    """Templates' static variables must not merge across libraries."""
    source = """
    template <int N> __device__ int count() { static int calls = 0; return ++calls; }
    extern "C" __global__ void NAME(int* out) { out[0] = count<1>(); }"""
    for name in ("first_counter", "second_counter"):
        out = np.zeros(1, np.int32)
        run(source.replace("NAME", name), name, (1,), (1,), (out,))
        assert out[0] == 1


def test_null_pointer(compiler):
    source = """extern "C" __global__ void bias(const float* b, float* y) {
        y[0] = b ? b[0] : -1.0f;
    }"""
    y = np.zeros(1, np.float32)
    run(source, "bias", (1,), (1,), (None, y))
    assert y[0] == -1


def test_file_with_header(compiler, tmp_path):
    (tmp_path / "scale.cuh").write_text("__device__ float scaled(float v) { return 3 * v; }\n")
    path = tmp_path / "scale.cu"
    path.write_text(
        '#include "common.cuh"\n#include "scale.cuh"\n'
        'extern "C" __global__ void scale(float* x) { x[threadIdx.x] = scaled(x[threadIdx.x]); }\n'
    )
    x = np.ones(4, np.float32)
    load(path, "scale")((1,), (4,), (x,))
    (tmp_path / "scale.cuh").write_text("__device__ float scaled(float v) { return 5 * v; }\n")
    load(str(path), "scale")((1,), (4,), (x,))  # a changed header is noticed
    assert (x == 15).all()
    with pytest.raises(FileNotFoundError, match=r"absent\.cu.*pass a \.cu file's path"):
        load("absent.cu", "scale")


# ---- what goes wrong while a kernel runs -----------------------------------------------------

FAILURES = {
    "trap": ("if (threadIdx.x == 3) __trap();",
             r"block \(1, 0, 0\), thread \(3, 0, 0\), line 4 of .*\.cu: __trap\(\)"),
    "assert": ("assert(threadIdx.x < 9);",
               r"thread \(9, 0, 0\), line 4 of .*assertion failed: threadIdx\.x < 9"),
    "divergent barrier": ("if (threadIdx.x < 5) __syncthreads();\nelse __syncthreads();",
                          r"divergent __syncthreads\(\): thread \(0, 0, 0\).* line 4 .*"
                          r"thread \(5, 0, 0\).* line 5 "),
    "deadlock": ("if (threadIdx.x < 5) __syncwarp();\nelse __syncthreads();",
                 r"deadlock.*\n.*\(0, 0, 0\) to thread \(4, 0, 0\) waits in __syncwarp\(\) at "
                 r"line 4.*\n.*waits in __syncthreads\(\) at line 5"),
    "two warp operations": ("if (threadIdx.x < 5) __syncwarp();\n"
                            "else __ballot_sync(0xffffffffu, 1);",
                            r"divergent __syncwarp\(\).*line 4.*a vote at line 5"),
    "wrong mask": ("__syncwarp(1u);", r"thread \(1, 0, 0\), line 4 .*lane is not in the mask"),
}  # fmt: skip


@pytest.mark.parametrize("failure", FAILURES)
def test_failure_names_block_thread_and_line(compiler, failure):
    statement, message = FAILURES[failure]
    source = (
        '#include "common.cuh"\nextern "C" __global__ void fails(int* done) {\n'
        f"if (blockIdx.x == 1) {{\n{statement}\n}}\ndone[blockIdx.x] = 1;\n}}"
    )
    done = np.zeros(3, np.int32)
    kernel = load(source, "fails")
    for _ in range(2):  # a failed launch leaves nothing behind
        with pytest.raises(EmulatorError, match=message):
            kernel((3,), (32,), (done,))
    assert done[0] == 1 and done[2] == 0
    done[:] = 0
    kernel((1,), (32,), (done,))
    assert done[0] == 1


def test_compile_error_shows_the_files_own_line(compiler, tmp_path):
    path = tmp_path / "wrong.cu"
    path.write_text(
        '#include "common.cuh"\n/* two\nlines */\nextern "C" __global__ void wrong(float* x) {\n'
        "    __shared__ float s[2],\n        t[2];\n    s[0] = t[0] = undeclared;\n}\n"
    )
    with pytest.raises(
        EmulatorError, match=r"(?s)kernel wrong of .*wrong\.cu:7:.*undeclared"
    ) as error:
        load(path, "wrong")
    assert "does not compile" in str(error.value)


# ---- signatures and arguments ----------------------------------------------------------------


@pytest.mark.parametrize(("declaration", "name", "expected"), [
    ('extern "C" __global__ void f(const float* __restrict__ x, int n) {}', "f",
     [("x", "float*", "float32", True), ("n", "int", "int32", False)]),
    ("template <int N> __global__ void f(double *x, unsigned int n) {}", "f<16>",
     [("x", "double*", "float64", False), ("n", "unsigned int", "uint32", False)]),
    ("template <typename T>\n__global__ void __launch_bounds__(2 * 128)\nf(T* const x, bool b) {}",
     "f<unsigned char>",
     [("x", "unsigned char*", "uint8", False), ("b", "bool", "bool", False)]),
    ("// __global__ void f(int old)\n#define scalar real\n__global__ void f(scalar const *x) {}",
     "f", [("x", "float*", "float32", True)]),
    ("typedef long long wide;\n__global__ void f(wide n, const float4* v) {}", "f",
     [("n", "long long", "int64", False), ("v", "float4*", "float32", True)]),
    ("__device__ int f(int x);\n__global__ void f_other(int y) {}\n__global__ void f(void) {}",
     "f", []),
])  # fmt: skip
def test_signature(declaration, name, expected):
    found = parse_signature(declaration, name)
    assert [(p.name, p.ctype, p.dtype, p.pointer and p.const) for p in found] == expected


def test_signature_applies_defines():
    source = "__global__ void f(const real* x, real a) {}"
    for real, dtype in (("float", np.float32), ("double", np.float64)):
        assert [p.dtype for p in parse_signature(source, "f", {"real": real})] == [dtype, dtype]
    assert parse_signature(source, "f")[1].dtype == np.float32


def test_signature_errors():
    with pytest.raises(ValueError, match=r"no kernel 'g'.*kernels found: f\)"):
        parse_signature("__global__ void f(int n) {}", "g")
    with pytest.raises(TypeError, match=r"kernel f: parameter `Pair p`.*use a number or a pointer"):
        parse_signature("__global__ void f(Pair p) {}", "f")


class FromElsewhere:
    """As little of an array as a CuPy array has in common with NumPy's."""

    def __init__(self, array):
        self.dtype, self.shape, self.flags = array.dtype, array.shape, array.flags


X = np.ones((3, 4), np.float32)
READ_ONLY = np.ones((3, 4), np.float32)
READ_ONLY.flags.writeable = False
WRONG_ARGUMENTS = [
    ((X, X, 3), TypeError, r"3 arguments given, but the kernel has 4 parameters: const float\* x,"),
    ((X.T, X, 3, np.float32(1)), ValueError, r"f: parameter x .*C-contiguous.*ascontiguousarray"),
    ((X.astype(np.float64), X, 3, np.float32(1)), TypeError,
     r"x \(float\*\) wants a float32 array, but got a float64 array of shape \(3, 4\).*astype"),
    (([1.0], X, 3, np.float32(1)), TypeError, r"wants an array, but got a builtins\.list"),
    ((np.float32(1), X, 3, np.float32(1)), TypeError, r"parameter x .*wants an array, but got the"),
    ((X, READ_ONLY, 3, np.float32(1)), ValueError, r"y .*read-only.*declare the parameter const"),
    ((X, X, 3.0, np.float32(1)), TypeError, r"n \(int\) wants a int32 scalar.*Python float 3\.0"),
    ((X, X, np.int64(3), np.float32(1)), TypeError, r"n \(int\) wants a int32 scalar.*int64"),
    ((X, X, 2**31, np.float32(1)), ValueError, r"n \(int\).*to 2147483647, but got 2147483648"),
    ((X, X, 3, 0.5), TypeError, r"a \(float\) .*Python float 0\.5; pass np\.float32\(0\.5\)"),
    ((X, X, 3, 1), TypeError, r"a \(float\) .*Python int 1; pass np\.float32\(1\)"),
    ((X, X, 3, np.float64(1)), TypeError, r"a \(float\) wants a float32 scalar.*float64"),
    ((X, X, X, np.float32(1)), TypeError, r"n \(int\) .*got a float32 array of shape"),
]  # fmt: skip


@pytest.mark.parametrize(("args", "kind", "message"), WRONG_ARGUMENTS)
def test_wrong_arguments(args, kind, message):
    parameters = parse_signature(
        "__global__ void f(const float* x, float* y, int n, float a) {}", "f"
    )
    with pytest.raises(kind, match=message):
        check_arguments("f", parameters, args)


def test_good_arguments_come_back_exact():
    parameters = parse_signature("__global__ void f(const float* x, long long n, bool b) {}", "f")
    array, n, b = check_arguments("f", parameters, (READ_ONLY, 2**40, True))
    assert array is READ_ONLY and n == 2**40 and (n.dtype, b.dtype) == (np.int64, np.bool_)
    assert check_arguments("f", parameters, (FromElsewhere(X), 1, False))[0].shape == X.shape


def test_float4_wants_aligned_arrays():
    parameters = parse_signature("__global__ void f(const float4* x) {}", "f")
    memory = np.zeros(20, np.float32)
    start = -(memory.ctypes.data // 4) % 4
    check_arguments("f", parameters, (memory[start : start + 4],))
    with pytest.raises(ValueError, match="multiple of 16"):
        check_arguments("f", parameters, (memory[start + 1 : start + 5],))


@pytest.mark.parametrize(("grid", "block", "settings", "kind", "message"), [
    ((0,), (1,), {}, ValueError, r"grid\.x is 0, but CUDA allows 1 to 2147483647"),
    ((1, 65536), (1,), {}, ValueError, r"grid\.y is 65536, but CUDA allows 1 to 65535"),
    ((1,), (1, 1, 65), {}, ValueError, r"block\.z is 65, but CUDA allows 1 to 64"),
    ((1,), (64, 32), {}, ValueError, r"has 2048 threads, but CUDA allows 1024"),
    ((1,), (1,), {"shared_mem": 300_000}, ValueError, r"shared_mem is 300000 bytes"),
    ((1,), (1,), {"order": "random"}, ValueError, r"order is 'random'; use one of forward"),
    (4, (1,), {}, TypeError, r"grid is 4; pass a tuple"),
    ((1.5,), (1,), {}, TypeError, r"grid is \(1\.5,\); pass a tuple of 1 to 3 integers"),
    ((1, 1, 1, 1), (1,), {}, TypeError, r"pass a tuple of 1 to 3"),
])  # fmt: skip
def test_launch_limits(compiler, grid, block, settings, kind, message):
    with pytest.raises(kind, match="add: .*" + message):
        load(ADD, "add")(grid, block, (X, X, X.copy(), 12), **settings)


def test_arrays_from_elsewhere_are_refused(compiler):
    with pytest.raises(TypeError, match=r"parameter a wants a NumPy array.*FromElsewhere"):
        load(ADD, "add")((1,), (1,), (FromElsewhere(X), X, X.copy(), 1))


# ---- compiler and cache ----------------------------------------------------------------------


def test_no_compiler(monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(building.shutil, "which", lambda name: None)
    monkeypatch.setattr(building.importlib.util, "find_spec", lambda name: None)
    building._search.cache_clear()
    with pytest.raises(CompilerNotFound, match=r"\$CXX, g\+\+, clang.*apt install.*ziglang"):
        load(ADD, "add")
    monkeypatch.setenv("CXX", "no-such-compiler -O3")
    with pytest.raises(CompilerNotFound, match="CXX is 'no-such-compiler -O3'.*unset it"):
        load(ADD, "add")
    building._search.cache_clear()


def test_second_load_does_not_compile(compiler, fresh_cache, monkeypatch):
    first = load(ADD, "add")
    monkeypatch.setattr(building, "_compile", None)
    assert load(ADD, "add") is first
    assert [path.suffix for path in sorted(fresh_cache.iterdir())].count(building.SUFFIX) == 1
    with pytest.raises(TypeError, match="not callable"):  # other macros, other library
        load(ADD, "add", {"real": "double"})


def test_failed_build_leaves_nothing_behind(compiler, fresh_cache):
    with pytest.raises(EmulatorError, match="does not compile"):
        load(ADD.replace("a[i]", "nothing[i]"), "add")
    assert [path.suffix for path in fresh_cache.iterdir()] == [".o"]  # the runtime


def test_unfinished_file_is_never_used(compiler, fresh_cache, monkeypatch):
    """A build that dies half-way has written its temporary file only."""

    def dies(kind, arguments, what):
        target = arguments[arguments.index("-o") + 1]
        with open(target, "wb") as file:
            file.write(b"half a library")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(building, "_compile", dies)
        with pytest.raises(KeyboardInterrupt):
            load(ADD, "add")
    assert list(fresh_cache.iterdir()) == []
    c = np.zeros_like(X)
    load(ADD, "add")((1,), (32,), (X, X, c, 12))
    assert (c == 2).all()


def test_two_processes_build_at_once(compiler, fresh_cache):
    script = (
        "import numpy as np; from minicnn.emulator import load\n"
        f"x = np.ones(5, np.float32); c = np.zeros(5, np.float32); load({ADD!r}, 'add')"
        "((1,), (32,), (x, x, c, 5)); assert (c == 2).all()"
    )
    root = os.path.dirname(os.path.dirname(os.path.dirname(building.__file__)))
    environment = os.environ | {"PYTHONPATH": root}
    runs = [subprocess.Popen([sys.executable, "-c", script], env=environment) for _ in range(2)]
    assert [process.wait(timeout=120) for process in runs] == [0, 0]
    assert len([path for path in fresh_cache.iterdir() if path.suffix == building.SUFFIX]) == 1


def test_two_python_threads_launch(compiler):
    add, total = load(ADD, "add"), load('#include "common.cuh"\n' + BLOCK_SUM, "block_sum")
    wrong = []

    def work(value):
        a, c = np.full(256, value, np.float32), np.zeros(256, np.float32)
        sums = np.zeros(1, np.float32)
        for _ in range(200):
            add((1,), (256,), (a, a, c, 256))
            total((1,), (256,), (c, sums, 256))
            if not (c == 2 * value).all() or sums[0] != 512 * value:
                wrong.append(value)

    workers = [threading.Thread(target=work, args=(value,)) for value in (1, 2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert wrong == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
def test_forked_child_can_launch(compiler):
    """Even if it was forked while another thread was in the middle of a launch."""
    spin = load(
        """extern "C" __global__ void spin(volatile int* x, int n) {
            for (int i = 0; i < n; i++) x[0] = i;
        }""",
        "spin",
    )
    long_launch = threading.Thread(target=spin, args=((1,), (1,), (np.zeros(1, np.int32), 10**9)))
    long_launch.start()
    time.sleep(0.1)
    child = os.fork()
    if child == 0:
        sums = np.zeros(1, np.float32)
        run(BLOCK_SUM, "block_sum", (1,), (256,), (np.ones(256, np.float32), sums, 256))
        os._exit(0 if sums[0] == 256 else 1)
    deadline = time.monotonic() + 20
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    if ended[0] == 0:
        os.kill(child, 9)
        os.waitpid(child, 0)
    long_launch.join()
    assert ended == (child, 0)


@pytest.mark.slow
def test_zig(fresh_cache, monkeypatch):
    pytest.importorskip("ziglang", reason="needs the ziglang package")
    monkeypatch.setattr(building, "find_compiler", building._try_zig)
    x = np.arange(1000, dtype=np.float32)
    sums = np.zeros(4, np.float32)
    run(WARP_SUM, "block_sum", (4,), (256,), (x, sums, 1000), order="shuffled")
    np.testing.assert_allclose(sums.sum(), x.sum(), rtol=1e-6)
