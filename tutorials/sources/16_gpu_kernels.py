# %% [markdown]
# # 16 GPU kernels without a GPU
#
# A convolution on a GPU is a small program in C, run by thousands of threads at once. To write one
# is not hard. To write one that is right is harder, for a GPU does not complain: it writes beyond
# the end of an array, gives a different result on every tenth run, or takes thirty times as long as
# it should, and says nothing. So we use something that *does* complain. minicnn's **emulator** runs
# unmodified CUDA C on your processor, one thread after the other, and watches every access to
# memory.
#
# **You will** write a kernel and have it checked; break one in two ways, and see both found; count
# what a warp fetches; turn a matrix without wasting memory; walk a thread line by line; and see
# what each rung of a ladder of matrix products buys.
#
# **You need** [05](05_backprop_conv.ipynb), and to be able to read C. Four exercises; half an hour.
# No GPU. But the emulator compiles C, so there has to be a **C++ compiler**: `g++`, `clang++`, or
# simply `pip install ziglang`, which brings one. The next cell says whether you have one.

# %%
import textwrap
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap

import minicnn
from minicnn import Tensor, emulator, use_backend
from minicnn import functional as F
from minicnn.paths import kernels_dir
from minicnn.plots import show

try:
    print("compiler:", emulator.find_compiler().identity)
except emulator.CompilerNotFound as error:
    raise RuntimeError(
        f"{error}\nThis notebook needs a C++ compiler: install g++ or clang++, or run "
        "`%pip install ziglang` in a cell. Then restart the kernel."
    ) from None
INK, WARM, COLD = "#0f766e", "#c2570c", "#2166ac"

# %% [markdown]
# ## 1 A thread for every number
#
# A *kernel* is a function that many **threads** run, all of them the same text. They come in
# **blocks**, and you say how many when you launch it: the grid's number of blocks, and the block's
# number of threads. A thread finds out who it is from three words: `blockIdx` (which block am I
# in?), `threadIdx` (which thread in it?) and `blockDim` (how many are we in a block?). Let each one
# write that down:

# %%
who = r"""
extern "C" __global__ void who(int* block, int* thread)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    block[i] = blockIdx.x;
    thread[i] = threadIdx.x;
}
"""
kernel = emulator.load(who, "who")
block, thread = np.zeros(12, np.int32), np.zeros(12, np.int32)
kernel((3,), (4,), (block, thread))  # 3 blocks of 4 threads
show(block[None], thread[None], np.arange(12)[None], scale=5, columns=1, same=False, numbers=True,
     titles=["blockIdx", "threadIdx", "i = blockIdx * blockDim + threadIdx"])  # fmt: skip

# %% [markdown]
# That line, `blockIdx.x * blockDim.x + threadIdx.x`, begins nearly every kernel in the world.
#
# ### Exercise 16.1: your first kernel
#
# *saxpy* is the "hello world" of the trade: y = a x + y, number by number. It is launched with
# blocks of 64 threads, and with as many blocks as it takes. **There may be more threads than
# numbers**: with n = 70 there are two blocks, so 128 threads. What do the other 58 do?
#
# Write C between the braces. `check` compiles your text, launches it on many sizes, compares the
# numbers, and watches where you read and write.

# %%
my_saxpy = r"""
extern "C" __global__ void my_saxpy(float a, const float* x, float* y, int n)
{
    // your lines
}
"""
minicnn.check(my_saxpy)

# %% [markdown]
# ## 2 Break it: beyond the end
#
# Here is the mistake that everybody makes once, without the question who is inside:

# %%
careless = r"""
extern "C" __global__ void saxpy(float a, const float* x, float* y, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    y[i] = a * x[i] + y[i];
}
"""
kernel = emulator.load(careless, "saxpy")
x, y = np.ones(70, np.float32), np.ones(70, np.float32)
for finding in emulator.check(kernel, (2,), (64,), (np.float32(2), x, y, 70)):
    print(finding)

# %% [markdown]
# On a GPU this very likely *works*. The 58 threads write into whatever lies behind y, some other
# array perhaps, and an hour later something else is wrong. The emulator stops at the first such
# access, before it happens, and names the line, the block, the thread and the number.
#
# ## 3 Break it: a race
#
# Threads of a block can work together. They have **shared memory**: small, fast, seen by the block
# alone. And it is here that things get interesting, because nobody says in which order threads run.
# This one turns 64 numbers round, by way of shared memory. Three runs, three orders:

# %%
hasty = r"""
extern "C" __global__ void turn(const float* x, float* y)
{
    __shared__ float part[64];
    part[threadIdx.x] = x[threadIdx.x];
    y[threadIdx.x] = part[63 - threadIdx.x];
}
"""
kernel = emulator.load(hasty, "turn")
x, y = np.arange(64, dtype=np.float32) + 1, np.zeros(64, np.float32)
for order in ("forward", "reverse", "shuffled"):
    y[:] = 0
    kernel((1,), (64,), (x, y), order=order)
    wrong = np.flatnonzero(y != x[::-1])
    print(f"{order:9} {len(wrong)} of 64 are wrong:", *wrong[:8], "...")

# %% [markdown]
# Half of them are wrong each time, and each time another half. Thread 0 wants `part[63]`, which
# thread 63 writes, sooner or later. That is a **race**: two threads, one place, at least one of
# them writing, and nothing that orders them. Its result depends on chance, so a test may pass a
# thousand times. `check` does not look at the result. It looks for the missing order:

# %%
for finding in emulator.check(kernel, (1,), (64,), (x, y)):
    print(finding)

# %% [markdown]
# The cure is a **barrier**: at `__syncthreads()` every thread of the block waits until all are
# there. (All of them! A barrier inside an `if` that some threads do not enter is the next classic
# mistake, and `check` knows it, too.)

# %%
patient = hasty.replace("    y[", "    __syncthreads();\n    y[")
kernel = emulator.load(patient, "turn")
print("findings:", emulator.check(kernel, (1,), (64,), (x, y)))
for order in ("forward", "reverse", "shuffled"):
    kernel((1,), (64,), (x, y), order=order)
    assert np.array_equal(y, x[::-1])
print("right in every order")

# %% [markdown]
# ## 4 What a warp fetches
#
# Right is not yet fast. A GPU's arithmetic is so quick that most kernels wait for memory, and what
# they wait for can be *counted*, without a GPU.
#
# Threads come in groups of 32, a **warp**, and what a warp's threads ask for on one line is served
# together. The memory does not hand out single numbers then. It hands out **sectors** of 32 bytes,
# that is 8 floats, and a sector is fetched whole even if one number of it is wanted. 32 threads
# that read 32 neighbours need 4 sectors. 32 threads that read every eighth number need 32 of them,
# for the same 128 bytes of use. (Orange: asked for. Light green: fetched along with it. White: left
# alone. A white line ends a sector.)

# %%
fig, axes = plt.subplots(3, 1, figsize=(9, 2.6))
palette = ListedColormap(["#f7f7f5", "#9cc9c4", WARM])  # left alone, fetched, asked for
for ax, step in zip(axes, (1, 2, 8)):
    strip = np.zeros(256)
    asked = step * np.arange(32)
    for number in asked:
        strip[number // 8 * 8 : number // 8 * 8 + 8] = 1
    sectors = int(strip.sum()) // 8
    strip[asked] = 2
    ax.imshow(strip[None], palette, vmin=0, vmax=2, aspect="auto", interpolation="nearest")
    ax.set_xticks(np.arange(-0.5, 256, 8), [], minor=False)
    ax.set(yticks=[], xticklabels=[])
    ax.grid(axis="x", color="white", linewidth=1)
    ax.tick_params(length=0)
    number = f"{step}k" if step > 1 else "k"
    ax.set_title(f"thread k reads number {number}: {sectors} sectors for 32 numbers", fontsize=9,
                 loc="left")  # fmt: skip
plt.tight_layout()

# %% [markdown]
# ### Exercise 16.2: count sectors
#
# `addresses` are the bytes at which the threads of a warp read a float each; every address is a
# multiple of 4. How many sectors are fetched?


# %%
def my_sectors(addresses):
    raise NotImplementedError("how many different sectors of 32 bytes")


minicnn.check(my_sectors)

# %% [markdown]
# ## 5 Turning a matrix
#
# Transposing, y[c, r] = x[r, c], computes nothing at all. It only moves numbers, so it is the
# purest test of how well a kernel moves them. Here is the first rung of minicnn's ladder, and what
# `emulator.trace` counts of it:

# %%
print((kernels_dir() / "transpose/naive.cu").read_text())
R, C = 64, 96
x, y = np.arange(R * C, dtype=np.float32).reshape(R, C), np.zeros((C, R), np.float32)
kernel = emulator.load("transpose/naive.cu", "transpose")
trace = emulator.trace(kernel, (R * C // 256,), (256,), (x, y, R, C))
assert np.array_equal(y, x.T)
print(f"reading x:  {trace.sectors('x'):4.0f} sectors for a warp\n"
      f"writing y:  {trace.sectors('y'):4.0f} sectors for a warp")  # fmt: skip

# %% [markdown]
# Neighbours read neighbours: 4 sectors, the least there is. But they write into a *column* of y,
# and that is 32 sectors for 32 numbers. Turn the roles round, and reading is bad instead. Either
# way one side suffers. Unless the turning happens in shared memory:
#
# 1. the block reads a tile of 32 × 32 numbers, row by row, into shared memory;
# 2. it waits;
# 3. it writes the turned tile row by row: a row of y, read as a *column* of the tile.
#
# ### Exercise 16.3: transpose through a tile
#
# Blocks are 32 × 32 threads (`threadIdx.x` and `threadIdx.y`, x being the neighbour's direction).
# The block's tile begins at row `32 * blockIdx.y` and column `32 * blockIdx.x` of x. x has R rows
# and C columns, which need be no multiples of 32. Number (r, c) of x is `x[r * C + c]`. Shared
# memory is declared like this: `__shared__ float tile[32][32];`

# %%
my_transpose = r"""
extern "C" __global__ void my_transpose(const float* x, float* y, int R, int C)
{
    // a tile, a barrier, a turned tile
}
"""
minicnn.check(my_transpose)

# %% [markdown]
# When it passes, count its sectors here. Is it 4 and 4? (While the exercise is blank, this cell
# prints nothing.)

# %%
from minicnn.checks.kernels import is_blank


def traced(source, name="transpose", R=64, C=96):
    """What a kernel with tiles of 32 x 32 does to memory; minicnn's own count blocks in one row."""
    x, y = np.ones((R, C), np.float32), np.zeros((C, R), np.float32)
    grid = (C // 32, R // 32) if name == "my_transpose" else (C // 32 * R // 32,)
    return emulator.trace(emulator.load(source, name), grid, (32, 32), (x, y, R, C))


if not is_blank(my_transpose):
    print(traced(my_transpose, "my_transpose"))

# %% [markdown]
# ## 6 Banks
#
# One more thing can go wrong, and only counting shows it. Shared memory is laid out over 32
# **banks**: number k lies in bank k mod 32, and a bank hands out one number at a time. If the
# threads of a warp want 32 numbers from 32 banks, that is one turn. If they all want *different
# numbers of the same bank*, it is 32 turns. (All the same number is one turn: it is handed to all.)
#
# Now look at a tile of 32 × 32. A row lies in 32 banks. A column lies in **one**. The cure is as
# small as it is surprising: `tile[32][33]`. One more column, never used, moves each row on by a
# bank:

# %%
fig, axes = plt.subplots(1, 2, figsize=(8, 3.7))
for ax, width in zip(axes, (32, 33)):
    banks = np.arange(32 * width).reshape(32, width) % 32
    ax.imshow(banks, "twilight")
    ax.add_patch(plt.Rectangle((4.5, -0.5), 1, 32, fill=False, edgecolor="black", linewidth=1.5))
    ax.set_title(f"tile[32][{width}]: column 5 lies in {len(set(banks[:, 5].tolist()))} bank"
                 f"{'s' if width > 32 else ''}", fontsize=10)  # fmt: skip
    ax.set_xlabel("a colour for each bank")
    ax.set(xticks=[], yticks=[])
plt.tight_layout()

# %% [markdown]
# ### Exercise 16.4: count turns
#
# `words` are the numbers (indices of 4-byte words in shared memory) that the threads of a warp
# want. How many turns does it take?


# %%
def my_bank_cycles(words):
    raise NotImplementedError("the bank with the most different words decides")


minicnn.check(my_bank_cycles)

# %% [markdown]
# The ladder of transposition, counted by the trace. Each rung is one idea:

# %%
print(f"{'':10}{'sectors a warp':>20}{'':6}{'turns a warp waits for banks':>30}")
print(f"{'':10}{'reading':>10}{'writing':>10}{'':6}{'writing tile':>15}{'reading tile':>15}")
print(f"{'naive':10}{trace.sectors('x'):10.0f}{trace.sectors('y'):10.0f}")
for rung in ("tiled", "padded"):
    found = traced(f"transpose/{rung}.cu")
    write, read = sorted((line for line in found.lines() if line.shared), key=lambda l: l.line)
    turns = [line.bank_cycles / line.warp_accesses for line in (write, read)]
    print(f"{rung:10}{found.sectors('x'):10.0f}{found.sectors('y'):10.0f}{'':6}"
          f"{turns[0]:15.0f}{turns[1]:15.0f}")  # fmt: skip
    assert found.sectors("x") == found.sectors("y") == 4
    assert turns == [1, 32 if rung == "tiled" else 1]

# %% [markdown]
# ## 7 Walk a thread
#
# What does a single thread really do? `emulator.step` records one, line by line, with its variables
# and what it reads and writes. Here thread 1 of a block of 256 that adds up 256 numbers as a tree:
# in each round, the first half of the threads adds what the second half has.

# %%
print("extern" + (kernels_dir() / "reduction/sum_sequential.cu").read_text().split("extern")[1])
kernel = emulator.load("reduction/sum_sequential.cu", "sum")
x, y = np.arange(256, dtype=np.float32), np.zeros(1, np.float32)
try:
    walk = emulator.step(kernel, (1,), (256,), (x, y, 256), thread=1)
except emulator.EmulatorError as error:  # stepping works on Linux on x86-64
    print(error)
else:
    for step in [*walk[:12], *walk[-4:]]:
        wrote = f"   writes {step.writes[0]}" if step.writes else ""
        waits = "   waits" if step.waits else ""
        print(f"{step.number:4} {step}{wrote}{waits}")
    print("\nhalf went through", walk.history("half"))

# %% [markdown]
# Thread 1 reads and writes only while `half` is above 1: in the last round thread 0 works alone,
# and adds `part[1]` to its own number. In a terminal you can go from line to line with a key:
# `minicnn step-kernel reduction/sum_sequential.cu`.
#
# ## 8 The ladder of matrix products
#
# Nearly all the work of a convolutional net is matrix products. For C = A B with N × N numbers,
# each number of C needs N products, and each number of A and of B is used N times. Whether it is
# *fetched* N times is up to the kernel. minicnn has ten rungs of it in `kernels/matmul`, each the
# one below plus one idea. Here are the ideas of the first eight, as their files tell them. (A
# *register* is the place in the processor where a single thread holds a number. A *lane* is a
# thread's place in its warp. m and n are the row and the column of C, and k runs along the sum.)

# %%
from minicnn.backends.cuda.matmul import RUNGS, Matrix

LADDER = {"naive": 1, "coalesced": 2, "tiled": 3, "register_tile_1d": 4, "register_tile_2d": 5,
          "vectorised": 6, "double_buffered": 7, "warp_tiles": 8}  # fmt: skip
for name, number in LADDER.items():
    text = (kernels_dir() / RUNGS[name].file).read_text()
    why = text.partition("// Why:")[2].split("\n#include")[0].split("// Asks")[0]
    why = " ".join(why.replace("//", "").split()) or "a thread for each number, nothing is shared."
    print(textwrap.fill(f"Rung {number}, {name}: {why}", 100, subsequent_indent="    "), "\n")

# %% [markdown]
# Let the emulator count. A product of 128 × 16 by 16 × 128; every rung must give the same numbers,
# and for each of its 262,144 products we ask: how many bytes came from global memory, in sectors,
# as they are really fetched? And how often was shared memory read?

# %%
M = N = 128
K = 16
rng = np.random.default_rng(0)
A, B = rng.standard_normal((M, K), np.float32), rng.standard_normal((K, N), np.float32)


def counted(name):
    """(bytes fetched from A and B, reads of shared memory), for each product."""
    rung, a, b, c = RUNGS[name], Matrix.of(A), Matrix.of(B), np.zeros((M, N), np.float32)
    kernel = emulator.load(rung.file, "matmul", {"real": "float", **dict(rung.macros(a, b))})
    args = (A, B, None, None, c, M, N, K, a.row, a.column, b.row, b.column, 0)
    found = emulator.trace(kernel, rung.grid(M, N), rung.block, args)
    assert np.allclose(c, A @ B, atol=1e-4)
    lines = [line for line in found.lines() if line.kind == "reads"]
    fetched = 32 * sum(line.sectors for line in lines if line.array in "AB")
    shared = [k for k, array in enumerate(found.arrays) if array.shared]
    rows = found.accesses
    reads = np.count_nonzero(np.isin(rows["array"], shared) & (rows["kind"] == 0))
    return fetched / (M * N * K), reads / (M * N * K)


table = {name: counted(name) for name in LADDER}
for name, (fetched, reads) in table.items():
    print(f"{name:18} {fetched:7.3f} bytes from memory, {reads:6.3f} reads of shared memory "
          "for each product")  # fmt: skip

# %%
fig, ax = plt.subplots(figsize=(7, 3))
ax.barh(list(LADDER), [table[name][0] for name in LADDER], color=INK)
for k, name in enumerate(LADDER):
    ax.text(table[name][0] * 1.08, k, f"{table[name][0]:.3g}", va="center", fontsize=8)
ax.set_xscale("log")
ax.invert_yaxis()
ax.set_xlim(0.03, 90)
ax.set_title("bytes fetched from global memory for each product", fontsize=10)
ax.spines[["top", "right"]].set_visible(False)
fetched = [table[name][0] for name in LADDER]
assert all(a >= b for a, b in pairwise(fetched))
print(f"from the first rung to the last: {fetched[0] / fetched[-1]:.0f} times less")

# %% [markdown]
# Read it downwards. *coalesced* is *naive* with two letters exchanged. From *tiled* on, a block
# fetches a number once and many threads use it. *register_tile* does the same once more, one floor
# up: what is in a register serves several products, and shared memory gets its rest. From there on
# the bytes stay the same and the number of *instructions* falls: *vectorised* reads four numbers
# with one. The last two read as much as *vectorised*. What they save this table does not show: time
# spent waiting for memory, and turns at shared memory.
#
# Why does it matter? In the time in which an H100 fetches one float (4 bytes), it can multiply and
# add some 30 to 40 times. At 5 bytes a product it is idle nearly all the time; below a tenth of a
# byte memory no longer holds it up. The table says from which rung on that is so. How *fast* a rung
# is, only a GPU can say; what it asks of memory, you have just counted without one.
#
# ## 9 And your convolution?
#
# It runs on the same kernels. Every launch inside the block below is checked as in sections 2 and
# 3, and so is every kernel in minicnn's tests.

# %%
x = Tensor(rng.standard_normal((2, 3, 9, 8), np.float32), requires_grad=True)
w = Tensor(rng.standard_normal((4, 3, 3, 3), np.float32), requires_grad=True)
with emulator.checking() as findings, use_backend("emulator"):
    y = F.conv2d(x, w, stride=2, padding=1)
    y.backward(np.ones(y.shape, np.float32))
print("findings:", findings)
print("as on the CPU:", np.allclose(y.numpy(), F.conv2d(x, w, stride=2, padding=1).numpy(),
                                    atol=1e-5))  # fmt: skip

# %% [markdown]
# ## What you have seen
#
# - Same text, many threads; each finds its number, and asks whether there is one.
# - A race is two threads, one place, a write, and no order. Look for the missing order, not for a
#   wrong result.
# - A warp fetches whole sectors of 32 bytes, and waits for its busiest bank.
# - Tiles: fetch once, use many times. First in shared memory, then in registers.
#
# **Try:** take the second `__syncthreads()` out of a copy of `kernels/matmul/tiled.cu`, and have
# `emulator.check` explain what it was for. `minicnn step-kernel conv/im2col.cu --thread 3` walks
# through [05](05_backprop_conv.ipynb)'s im2col. With a GPU: `make gpu`.
#
# **Next:** [18 Inside CPU speed](18_cpu_speed.ipynb): the same ideas, on your own processor.
#
# **To read:** `kernels/README.md`, the ladders; NVIDIA, "CUDA C++ programming guide"; Simon Boehm,
# "How to optimize a CUDA matmul kernel", 2022; Volkov, "Better performance at lower occupancy",
# 2010.
