"""The emulator's sanitizer: seeded bugs are found at their lines, clean kernels are clean."""

import importlib.util
import threading
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minicnn.emulator.compiler as building
import minicnn.functional as F
from minicnn import Tensor, use_backend
from minicnn.checks import strategies
from minicnn.emulator import EmulatorError, check, checking, load

BUGS = Path(__file__).with_name("seeded_bugs")
ORDERS = ["forward", "reverse", "shuffled"]


@pytest.fixture(params=["found", pytest.param("zig", marks=pytest.mark.slow)])
def toolchain(request, compiler, monkeypatch):
    """The compiler that the search finds, and zig."""
    if request.param == "zig":
        if importlib.util.find_spec("ziglang") is None:
            pytest.skip("needs the ziglang package")
        monkeypatch.setattr(building, "find_compiler", building._try_zig)
    return request.param


def numbers(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def kernel(body, parameters="float* x, int n", before=""):
    """Kernel k; line 3 is the body's first, or later by the lines of `before`."""
    head = f'#include "common.cuh"\n{before}extern "C" __global__ void k({parameters}) {{\n'
    return load(f"{head}{body}\n}}\n", "k")


def run(body, grid, block, args, shared_mem=0, **settings):
    names = {key: settings.pop(key) for key in ("parameters", "before") if key in settings}
    return check(kernel(body, **names), grid, block, args, shared_mem, **settings)


# ---- seeded bugs -----------------------------------------------------------------------------
# file: (kernel, grid, block, arguments, kind, array, words of the message)
SEEDED = {
    "missing_barrier": (
        "matmul", (2, 2), (8, 8),
        lambda: (numbers(16, 16), numbers(16, 16), numbers(16, 16), 16),
        "race", ("a_tile", "b_tile"), "no barrier between",
    ),
    "off_by_one_bound": (
        "relu", (2,), (64,), lambda: (numbers(100), numbers(100), 100),
        "out-of-bounds", ("y",), "thread (36,0,0) writes y[100], but y has 100 elements",
    ),
    "wrong_stride_col2im": (
        "col2im", (1,), (64,), lambda: (numbers(36, 9), numbers(8, 8), 8, 8, 6, 6, 3),
        "out-of-bounds", ("col",), "but col has 324 elements (shape (36, 9))",
    ),
    "missing_syncwarp": (
        "warp_sum", (1,), (32,), lambda: (numbers(32), numbers(1)),
        "race", ("part",), "no barrier between, not even __syncwarp()",
    ),
    "unwritten_tile_edge": (
        "convolve", (2,), (64,), lambda: (numbers(128), numbers(3), numbers(128), 128),
        "uninitialised", ("tile",), "thread (63,0,0) reads tile[65], which no thread",
    ),
    "divergent_barrier": (
        "block_sum", (1,), (64,), lambda: (numbers(64), numbers(1)),
        "divergent-barrier", ("",), "all must reach the same one",
    ),
    "cross_block_scatter": (
        "bias_gradient", (4,), (32,), lambda: (numbers(4, 32), numbers(32), 32),
        "race", ("db",), "block (1,0,0) thread (0,0,0)",
    ),
    "endless_loop": (
        "twice", (2,), (32,), lambda: (numbers(100), numbers(100), 100),
        "timeout", ("",), "an endless loop?",
    ),
}  # fmt: skip


def bug_line(name):
    lines = (BUGS / f"{name}.cu").read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if line.endswith("// BUG"))


@pytest.mark.parametrize("order", ["forward", "reverse"])
@pytest.mark.parametrize("name", SEEDED)
def test_seeded_bug_is_found_at_its_line(toolchain, name, order):
    entry, grid, block, args, kind, arrays, words = SEEDED[name]
    file = BUGS / f"{name}.cu"
    found = check(load(file, entry), grid, block, args(), order=order, timeout=0.3)
    assert {(f.kind, f.line) for f in found} == {(kind, bug_line(name))}
    assert {f.array for f in found} == set(arrays)
    assert all(Path(f.file) == file for f in found)
    if order == "forward" or kind not in ("race", "timeout"):
        assert words in repr(found[0])
    assert check(load(file, entry, {"FIXED": 1}), grid, block, args(), order=order) == []


def test_every_seeded_file_is_tested():
    traced = {"bank_conflicts", "uncoalesced_load"}  # test_trace.py
    assert {file.stem for file in BUGS.glob("*.cu")} == {*SEEDED, *traced}


def test_a_finding_reads_like_a_sentence(compiler):
    name = "missing_barrier"
    entry, grid, block, args, *_ = SEEDED[name]
    found = check(load(BUGS / f"{name}.cu", entry), grid, block, args())
    a_tile = next(f for f in found if f.array == "a_tile")
    assert repr(a_tile) == (
        f"race: missing_barrier.cu line {bug_line(name)}, block (0,0,0) thread (0,0,0) reads "
        "a_tile[0][1], which thread (1,0,0) writes (line 14) with no barrier between, "
        f"not even __syncwarp() (and {a_tile.count - 1} more like it)"
    )
    assert (a_tile.block, a_tile.thread, a_tile.index) == ((0, 0, 0), (0, 0, 0), 1)
    assert (a_tile.other_thread, a_tile.other_line) == ((1, 0, 0), 14)


# ---- clean kernels ---------------------------------------------------------------------------
@pytest.mark.parametrize("name", sorted(strategies.FUNCTIONS))
@settings(max_examples=4)
@given(data=st.data())
def test_our_kernels_are_clean(compiler, name, data):
    case = data.draw(getattr(strategies, name)())
    with checking() as found, use_backend("emulator"):
        y = case.run(case.tensors())
        if y.requires_grad:
            y.backward(Tensor(np.ones(y.shape, y.dtype)))
    assert found == []


@pytest.mark.slow
@pytest.mark.parametrize("order", ORDERS)
def test_a_network_is_clean_and_equal_to_a_plain_run(compiler, order):
    """LeNet's first block on a batch that fills more than one block of threads."""
    x, w, b = (Tensor(numbers(*shape)) for shape in [(8, 3, 28, 28), (20, 3, 5, 5), (20,)])
    results = []
    for checked in (False, True):
        with use_backend("emulator"), checking() if checked else nullcontext([]) as found:
            y = F.max_pool2d(F.relu(F.conv2d(x, w, b, padding=2)), 2)
        assert found == []
        results.append(y.numpy())
    np.testing.assert_array_equal(*results)


# ---- races -----------------------------------------------------------------------------------
@pytest.mark.parametrize("order", ORDERS)
def test_atomics_do_not_race_with_each_other(toolchain, order):
    body = "atomicAdd(&x[threadIdx.x % 3], 1.0f); atomicMax(&count[0], n);"
    x, count = np.zeros(3, np.float32), np.zeros(1, np.int32)
    parameters = "float* x, int* count, int n"
    args = (x, count, 7)
    assert run(body, (3,), (64,), args, parameters=parameters, order=order) == []
    np.testing.assert_array_equal([*x, *count], [66, 63, 63, 7])


@pytest.mark.parametrize("order", ORDERS)
def test_an_atomic_races_with_a_plain_read(toolchain, order):
    (f,) = run("if (threadIdx.x) atomicAdd(&x[0], 1.0f);\nelse\nx[1] = x[0];", (1,), (2,),
               (np.zeros(2, np.float32), 0), order=order)  # fmt: skip
    assert (f.kind, f.array, f.index) == ("race", "x", 0)
    assert {f.line, f.other_line} == {3, 5}
    assert "atomically update" in f.message


def test_equal_writes_race_too(toolchain):
    body = "__shared__ int flag[2];\nflag[VALUE] = 1;\n__syncthreads();\nx[threadIdx.x] = flag[1];"
    x = np.zeros(40, np.float32)
    (same,) = run(body.replace("[VALUE]", "[1]"), (1,), (40,), (x, 0))
    assert (same.kind, same.line, same.array, same.index) == ("race", 4, "flag", 1)
    assert "both wrote the same value" in same.message
    body = body.replace("flag[VALUE] = 1", "flag[1] = threadIdx.x")
    (other,) = run(body, (1,), (40,), (x, 0))
    assert other.kind == "race"
    assert "the same value" not in other.message


def test_a_shuffle_orders_no_memory(toolchain):
    body = """__shared__ float a[32];
    a[threadIdx.x] = 1;
    int other = __shfl_sync(0xffffffffu, (int)threadIdx.x, 1);
    x[threadIdx.x] = a[other];"""
    (f,) = run(body, (1,), (32,), (np.zeros(32, np.float32), 0))
    assert (f.kind, f.line, f.other_line, f.array, f.index) == ("race", 6, 4, "a", 1)


@pytest.mark.parametrize("order", ORDERS)
def test_syncwarp_orders_its_lanes_and_those_they_have_met(toolchain, order):
    """0 and 1 meet, then 1 and 2: what 0 wrote first is ordered before 2's read, not before 3's."""
    body = """__shared__ float a[32];
    int t = threadIdx.x;
    if (t == 0) a[0] = 1;
    if (t < 2) __syncwarp(0x3);
    if (t == 1 || t == READER) __syncwarp(2 | 1 << READER);
    if (t == 2) x[t] = a[0];
    if (t == 0) a[1] = 1;
    if (t == 1) x[0] = a[LATE];"""
    x = np.zeros(32, np.float32)
    for reader, late, expected in ((2, 0, []), (3, 0, [(8, 0)]), (2, 1, [(10, 1)])):
        text = body.replace("READER", str(reader)).replace("LATE", str(late))
        found = run(text, (1,), (32,), (x, 0), order=order)
        assert [(f.line if f.line > 7 else f.other_line, f.index) for f in found] == expected


@pytest.mark.parametrize("fence", ["__threadfence();", ""])
def test_the_last_block_may_read_what_fenced_blocks_wrote(toolchain, fence):
    """The pattern of NVIDIA's threadFenceReduction sample."""
    body = f"""__shared__ bool last;
    if (threadIdx.x == 0) {{
        x[blockIdx.x] = blockIdx.x;
        {fence}
        last = atomicInc(&done, gridDim.x - 1) == gridDim.x - 1;
    }}
    __syncthreads();
    if (last && threadIdx.x == 0)
        for (int i = 0; i < n; i++)
            y[0] += x[i];"""
    y = np.zeros(1, np.float32)
    found = run(body, (4,), (32,), (numbers(4), y, 4), parameters="float* x, float* y, int n",
                before="__device__ unsigned done;\n")  # fmt: skip
    assert y[0] == 6
    assert [(f.kind, f.line, f.array) for f in found] == ([] if fence else [("race", 13, "x")])


def test_arrays_that_overlap_are_one_memory(toolchain):
    x = numbers(65)
    body = "y[threadIdx.x] = x[threadIdx.x];"
    parameters = "const float* x, float* y"
    assert run(body, (1,), (64,), (x[:64], x[:64]), parameters=parameters) == []  # in place
    expected = x[0]
    (f,) = run(body, (1,), (64,), (x[1:], x[:64]), parameters=parameters)
    assert (f.kind, f.line) == ("race", 3)
    assert x[0] != expected or x[0] == x[1]


def test_an_empty_array_beside_another(compiler):
    x, y = numbers(4), np.zeros(4, np.float32)
    body, parameters = (
        "y[threadIdx.x] = x[threadIdx.x];",
        "const float* e, const float* x, float* y",
    )
    assert run(body, (1,), (4,), (x[:0], x, y), parameters=parameters) == []
    np.testing.assert_array_equal(x, y)
    (f,) = run("y[0] = e[0];", (1,), (1,), (x[:0], x, y), parameters=parameters)
    assert (f.kind, f.line) == ("out-of-bounds", 3)


# ---- out of bounds ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("address", "words"),
    [("0x7f1234567890ull", "far from every array"), ("8ull", "through a null pointer")],
)
def test_a_wild_write_harms_nothing(toolchain, address, words):
    x = numbers(64)
    before = x.copy()
    (f,) = run(f"float* p = (float*){address};\np[0] = 1;\nx[0] = 9;", (4,), (32,), (x, 0))
    assert (f.kind, f.line, f.array, f.index) == ("out-of-bounds", 4, "", None)
    assert words in f.message
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("index", [-1, 64, 70, 4_000_000])
def test_neighbours_in_memory_are_not_reached(toolchain, index):
    """The arrays lie side by side in Python's memory; the sanitizer keeps them apart."""
    memory = np.zeros(192, np.float32)
    x, y = memory[64:128], memory[128:]
    (f,) = run(
        "x[n] = 1; y[0] = 1;", (1,), (1,), (x, y, index), parameters="float* x, float* y, int n"
    )
    assert (f.kind, f.line, f.array, f.index) == ("out-of-bounds", 3, "x", index)
    assert not memory.any()


def test_what_was_written_before_is_kept(toolchain):
    x = np.zeros(8, np.float32)
    (f,) = run("x[threadIdx.x] = 1 + threadIdx.x;", (1,), (16,), (x, 0))
    assert (f.thread, f.index) == ((8, 0, 0), 8)
    np.testing.assert_array_equal(x, np.arange(1, 9))


@pytest.mark.parametrize(("declaration", "use", "name", "words"), [
    ("float acc[4] = {};", "for (int i = 0; i <= n; i++) acc[i] += x[i]; x[0] = acc[0];", "acc",
     "uses index 4 of acc, a float"),
    ("__shared__ float tile[4][8];", "tile[0][n + 4] = x[0];", "tile", "uses index 8 of tile"),
    ("extern __shared__ double part[];", "part[n] = 1;", "part", "writes part[4], but part has 4"),
    ("__shared__ double s[3]; double* p = s;", "p[n] = 1;", "s", "writes s[4], but s has 3"),
    ("float* p = table;", "x[0] = p[n];", "table", "reads table[4], but table has 4 elements"),
])  # fmt: skip
def test_every_kind_of_array_has_bounds(toolchain, declaration, use, name, words):
    x = np.zeros(16, np.float32)
    (f,) = run(f"{declaration}\n{use}", (1,), (1,), (x, 4), 32,
               before="__device__ float table[4] = {1, 2, 3, 4};\n")  # fmt: skip
    index = 8 if name == "tile" else 4
    assert (f.kind, f.line, f.array, f.index) == ("out-of-bounds", 5, name, index)
    assert words in f.message


def test_misaligned_vector_load(compiler):
    (f,) = run("float4 v = *(float4*)(x + n);\nx[0] = v.x;", (1,), (1,), (numbers(16), 2))
    assert (f.kind, f.line, f.array, f.index) == ("misaligned", 3, "x", 2)
    assert run("float4 v = *(float4*)(x + n);\nx[0] = v.x;", (1,), (1,), (numbers(16), 4)) == []


def test_indices_are_shown_in_the_arrays_shape(compiler):
    body = "x[7] += 1;"
    (f,) = run(body, (2,), (1,), (np.zeros((2, 3, 4), np.float32), 0))
    assert f.index == 7
    assert "x[7] (element (0,1,3))" in f.message


# ---- the rest --------------------------------------------------------------------------------
def test_deadlock_and_assertion(toolchain):
    x = numbers(32)
    body = "if (threadIdx.x < 16)\n__syncwarp();\nelse\n__syncthreads();"
    (f,) = run(body, (1,), (32,), (x, 0))
    assert (f.kind, f.line, f.thread) == ("deadlock", 4, (0, 0, 0))
    (f,) = run("assert(threadIdx.x < 5);", (1,), (32,), (x, 0))
    assert (f.kind, f.line, f.thread) == ("assertion", 3, (5, 0, 0))


ENDLESS = {
    "that writes": "while (n > 0) x[0] += 1;",
    "that does nothing": "volatile int i = 1; while (i) { }",
    "at a barrier": "for (;;) __syncthreads();",
    "that prints": 'while (n) printf("%s", "");',
}


@pytest.mark.parametrize("body", ENDLESS.values(), ids=ENDLESS)
def test_endless_loop(toolchain, body):
    endless, x = kernel(f"\n{body}"), numbers(64)
    (f,) = check(endless, (2,), (40,), (x, 1), timeout=0.2)
    assert (f.kind, f.line, f.block) == ("timeout", 4, (0, 0, 0))
    with pytest.raises(EmulatorError, match=r"k: block \(0, 0, 0\), .* is still running 0.2 sec"):
        endless((2,), (40,), (x, 1), timeout=0.2)
    kernel("x[threadIdx.x] = n;")((1,), (64,), (x, 3))  # and the emulator still works
    assert (x == 3).all()


def test_a_loop_without_a_statement(toolchain):
    """GCC leaves nothing of it that could call the sanitizer: the timer ends it."""
    (f,) = check(kernel("for (;;) n += 1;"), (2,), (40,), (numbers(64), 1), timeout=0.2)
    assert (f.kind, f.block) == ("timeout", (0, 0, 0)) and "an endless loop?" in f.message
    x = numbers(64)
    kernel("x[threadIdx.x] = n;")((1,), (64,), (x, 3))  # and the emulator still works
    assert (x == 3).all()


def test_many_short_blocks_are_not_an_endless_loop(compiler):
    x = np.zeros(1, np.float32)
    body = "volatile int i = 0; while (i < n) i++; atomicAdd(x, 1);"
    slow = kernel(body)
    slow((400,), (1,), (x, 1_000_000), timeout=0.2)
    assert x[0] == 400


def test_another_threads_endless_loop_ends_there(compiler):
    raised = []

    def launch():
        try:
            kernel("while (n) x[0] += 1;")((1,), (1,), (numbers(1), 1), timeout=0.2)
        except EmulatorError as error:
            raised.append(str(error))

    thread = threading.Thread(target=launch)
    thread.start()
    thread.join()
    assert len(raised) == 1


@pytest.mark.parametrize("timeout", [-1, float("nan"), "1"])
def test_wrong_timeout(compiler, timeout):
    with pytest.raises(ValueError, match="pass seconds, or 0 for ever"):
        kernel("x[0] = n;")((1,), (1,), (numbers(1), 1), timeout=timeout)


def test_launch_rules_hold_under_the_sanitizer(compiler):
    with pytest.raises(TypeError, match="wants a float32 array"):
        run("x[0] = n;", (1,), (1,), (np.zeros(1), 1))
    with checking() as found, pytest.raises(ValueError, match="CUDA allows"):
        kernel("x[0] = n;")((1,), (4096,), (numbers(1), 1))
    assert found == []


def test_arrays_that_are_too_large_are_refused(compiler):
    x = np.empty(2**29 + 1, np.float32)  # never touched: takes no memory
    with pytest.raises(MemoryError, match="takes 2048 MB at most; launch it on smaller arrays"):
        run("x[0] = n;", (1,), (1,), (x, 1))


def test_checking_ends_with_its_block(compiler):
    racy, x = kernel("x[0] += 1;"), np.zeros(1, np.float32)
    with checking() as found:
        racy((2,), (1,), (x, 0))
        racy((2,), (1,), (x, 0))
    racy((2,), (1,), (x, 0))
    assert [f.kind for f in found] == ["race", "race"]
    assert x[0] == 6


def test_shared_variables_of_any_form(toolchain):
    body = """__shared__ union { float f[4]; int i[4]; } both;
    __shared__ __align__(16) float a[2][(1 + 1) * 2], b, *p;
    volatile __shared__ int last;
    both.f[threadIdx.x] = a[1][threadIdx.x] = threadIdx.x;
    if (threadIdx.x == 0) { b = last = 1; p = &b; }
    __syncthreads();
    x[threadIdx.x] = both.f[3] + a[1][2] + *p + last;
    x[4 + threadIdx.x] = a[0][n];"""
    x = np.zeros(8, np.float32)
    (f,) = run(body, (1,), (4,), (x, 1))
    assert (f.kind, f.line, f.array, f.index) == ("uninitialised", 10, "a", 1)
    assert "reads a[0][1], which no thread" in f.message
    assert x[3] == 7


def test_device_variables_may_be_read_and_written(toolchain):
    before = "__device__ int total = 3, more[2] = {1, 2};\n__constant__ float scale = 2;\n"
    x = numbers(1)
    body = "total += more[1]; x[0] = scale * total; total = 3;"
    assert run(body, (1,), (1,), (x, 0), before=before) == []
    assert x[0] == 10
