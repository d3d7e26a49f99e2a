# %% [markdown]
# # 18 Inside CPU speed
#
# A convolution is seven nested loops. Written down like that it is correct, short, and thousands of
# times slower than it need be. In this notebook you take one layer from there to where your
# processor has little left to give, one idea at a time, and measure what each idea is worth.
#
# **You will** measure the most your processor can do; watch a cache run full; cut a product into
# tiles; derive Winograd's trick and count its multiplications; and see which way minicnn takes for
# which layer, and why.
#
# **You need** [02](02_convolution.ipynb) and [05](05_backprop_conv.ipynb). Two exercises; half an
# hour. All figures are measured on *your* machine while you read. Where the text says "faster",
# look at the number.

# %%
import inspect
import time
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
from threadpoolctl import threadpool_limits

import minicnn
from minicnn import Tensor, no_grad, use_backend
from minicnn import functional as F
from minicnn.analysis import profile
from minicnn.analysis.chart import write_names

INK, WARM, COLD = "#0f766e", "#c2570c", "#2166ac"
rng = np.random.default_rng(0)

# %% [markdown]
# ## 1 The most there is
#
# Speed is counted in operations a second, a multiplication and an addition being two. What is the
# best this processor can do? Ask what does nothing else all day: a large product of matrices. We
# use one thread and its own *processor time*, so that other programs disturb us least, and take the
# best of several turns.

# %%
minicnn.set_num_threads(1)
limits = threadpool_limits(1)


def race(*calls, turns=4, least=0.03):
    """Processor time of each call: the best of some turns, each of `least` seconds or one call."""
    best = [np.inf] * len(calls)
    for turn in range(turns + 1):
        for k, call in enumerate(calls):
            start, runs = time.thread_time(), 0
            while not runs or time.thread_time() - start < least:
                call()
                runs += 1
            if turn:  # the first turn is thrown away: memory is fetched, kernels are compiled
                best[k] = min(best[k], (time.thread_time() - start) / runs)
    return best


size = 1024
A, B, C = (rng.standard_normal((size, size), np.float32) for _ in range(3))
(best,) = race(partial(np.matmul, A, B, out=C))
PEAK = 2 * size**3 / best / 1e9
print(f"a product of {size} x {size} matrices: {PEAK:.0f}G operations a second with one thread")

# %% [markdown]
# That is the peak we compare with from here on.
#
# ## 2 The definition: loops
#
# minicnn's *loops* backend is the formula, nothing else. A small layer (16 channels, 16 filters of
# 3 × 3, 14 × 14 pixels), because it will take a while:

# %%
from minicnn.backends.loops.conv import Conv2d as LoopConv2d

print(inspect.getsource(LoopConv2d.forward))


def numbers(N, C, H, W):
    """Random numbers (N, C, H, W), with the channels of a pixel side by side in memory."""
    return Tensor(rng.standard_normal((N, H, W, C), np.float32).transpose(0, 3, 1, 2))


small = numbers(1, 16, 14, 14), numbers(16, 16, 3, 3)
with use_backend("loops"), no_grad():
    start = time.thread_time()
    F.conv2d(*small, padding=1)
    by_loops = 2 * 14 * 14 * 16 * 16 * 9 / (time.thread_time() - start) / 1e9
print(f"{by_loops:.5f}G operations a second: 1/{PEAK / by_loops:,.0f} of the peak")

# %% [markdown]
# Why so slow? Python looks up names, types and indices anew for each product. Of all that work, the
# product itself is next to nothing.
#
# ## 3 One long copy, one product: im2col
#
# The way out you know from [05](05_backprop_conv.ipynb): write the windows below each other, and
# let one matrix product do the rest. From now on the layer is a real one, from VGG or ResNet: 64
# channels, 64 filters of 3 × 3, 56 × 56 pixels.

# %%
x, w = numbers(1, 64, 56, 56), numbers(64, 64, 3, 3)
OPERATIONS = 2 * 56 * 56 * 64 * 64 * 9


def conv(algorithm):
    with no_grad():
        return F.conv2d(x, w, padding=1, algorithm=algorithm)


def show(name, t, operations=OPERATIONS):
    speed = operations / t / 1e9
    print(f"{name:28} {1e3 * t:7.2f} ms  {speed:6.1f}G operations a second, "
          f"{speed / PEAK:5.1%} of the peak")  # fmt: skip


show("im2col", *race(partial(conv, "im2col")))

# %% [markdown]
# A leap. But where is the rest? Take the two halves apart: the copy, and the product.

# %%
padded = np.pad(x.numpy()[0].transpose(1, 2, 0), ((1, 1), (1, 1), (0, 0)))  # (58, 58, 64)
view = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (0, 1)).transpose(0, 1, 3, 4, 2)
col = np.empty((56 * 56, 9 * 64), np.float32)
filters = np.ascontiguousarray(w.numpy().transpose(2, 3, 1, 0)).reshape(9 * 64, 64)
y = np.empty((56 * 56, 64), np.float32)

copying, product = race(partial(np.copyto, col.reshape(view.shape), view),
                        partial(np.matmul, col, filters, out=y))  # fmt: skip
print(f"copy {1e3 * copying:.2f} ms, product {1e3 * product:.2f} ms; the matrix of windows has "
      f"{col.nbytes / 1e6:.1f} MB, the image {padded.nbytes / 1e6:.1f} MB")  # fmt: skip
assert np.allclose(y.reshape(56, 56, 64), conv("im2col").numpy()[0].transpose(1, 2, 0), atol=1e-3)

# %% [markdown]
# The copy computes nothing, and still takes its share. Every pixel is written nine times, and read
# again by the product. How fast a number can be read depends on where it is.
#
# ## 4 Where numbers are: caches
#
# Memory is far away. So a processor keeps what was used last in *caches*: a tiny one that answers
# at once, a larger one that takes longer, a third. Double arrays of growing size in place (read a
# number, write a number), and see how many bytes pass in a second:

# %%
SIZES = [2**k for k in range(15, 27)]  # bytes: 32 KB to 64 MB
arrays = [np.ones(size // 4, np.float32) for size in SIZES]
best = race(*(partial(np.multiply, a, 1.0001, out=a) for a in arrays))
rates = [2 * size / t / 1e9 for size, t in zip(SIZES, best)]  # bytes read, and bytes written
fig, ax = plt.subplots(figsize=(6.5, 3))
ax.plot(SIZES, rates, "o-", color=INK, markersize=4)
ax.axvline(col.nbytes, color=WARM, linewidth=1)
ax.text(col.nbytes * 0.93, 1, "the matrix\nof windows", color=WARM, fontsize=8, ha="right")
ax.set_xscale("log", base=2)
ax.set_xticks(SIZES[::3], [f"{s >> 10} KB" if s < 1 << 20 else f"{s >> 20} MB"
                            for s in SIZES[::3]])  # fmt: skip
ax.set_ylim(0)
ax.set_xlabel("size of the array")
ax.set_title("thousand million bytes a second", fontsize=10)
ax.spines[["top", "right"]].set_visible(False)
print(f"most: {max(rates):.0f} GB/s; at 64 MB: {rates[-1]:.0f} GB/s")

# %% [markdown]
# Each step down is a cache that has run full. (On the left, where the line still rises, a good part
# of the time goes into calling NumPy, not into the work itself.) The lesson is old and simple:
# **use a number again while it is still near.**
#
# ## 5 Tiles
#
# For a matrix product that means: cut it into tiles. A tile of the result needs a strip of rows and
# a strip of columns. Take these in pieces that fit into the cache, and each number fetched serves a
# whole tile:
#
#     for each tile (m, n) of the result:
#         for each tile k along the sum:
#             y[m, n] += a[m, k] @ b[k, n]
#
# (Inside, tiles can have tiles again: one for each cache, the smallest for the registers. That is
# what NumPy's matrix product does beneath `@`, and what [16](16_gpu_kernels.ipynb) does on a GPU.)
#
# ### Exercise 18.1: a product in tiles
#
# `tile` is the side of a tile. Sizes need not be multiples of it: the tiles at the edge are smaller
# then, which slices do by themselves. Use `@` for the small products.


# %%
def my_tiled_matmul(a, b, tile):
    raise NotImplementedError("three loops over tiles, with += inside")


minicnn.check(my_tiled_matmul)

# %% [markdown]
# Now the convolution. There is no need to write the whole matrix of windows before the product
# starts. Write a few rows of it, multiply them while they are in the cache, and write the next rows
# *over* them. How many? Try:


# %%
def tiled(rows):
    """The layer, `rows` rows of the output at a time."""
    scratch = col[: rows * 56]
    for i in range(0, 56, rows):
        piece = view[i : i + rows]
        part = scratch[: len(piece) * 56]
        np.copyto(part.reshape(piece.shape), piece)
        np.matmul(part, filters, out=y[i * 56 : (i + len(piece)) * 56])


ROWS = (1, 2, 4, 7, 14, 28, 56)
product, *found = race(partial(np.matmul, col, filters, out=y),
                       *(partial(tiled, rows) for rows in ROWS))  # fmt: skip
ms = [1e3 * t for t in found]
kilobytes = [rows * 56 * col.shape[1] * 4 / 1024 for rows in ROWS]
plt.figure(figsize=(6, 2.8))
plt.plot(kilobytes, ms, "o-", color=INK)
plt.axhline(1e3 * product, color=WARM, linewidth=1, linestyle=":")
plt.text(kilobytes[-1], 0.97e3 * product, "the product alone", color=WARM, fontsize=8,
         ha="right", va="top")  # fmt: skip
plt.xscale("log", base=2)
plt.xticks(kilobytes, [f"{k:.0f}" for k in kilobytes])
plt.ylim(0, 1.1 * max(ms))
plt.xlabel("KB of windows at a time")
plt.title("ms for the layer", fontsize=10)
plt.gca().spines[["top", "right"]].set_visible(False)
print("  ".join(f"{k:.0f} KB: {t:.2f} ms" for k, t in zip(kilobytes, ms)))

# %% [markdown]
# At the right end nothing is cut, that is im2col. Towards the left the windows stay in the cache;
# at the very left the products become so small that starting them costs more than is saved. (The
# dotted line is the product alone, of windows that somebody has written before. It fetches them all
# from far away, and so it may lose even against tiles that copy *and* multiply.) minicnn's *tiled*
# algorithm aims for about 1 MB of windows at a time:

# %%
from minicnn.backends.fast import tiled as file

print(f"COLUMNS = {file.COLUMNS:,} bytes\n")
print(inspect.getsource(file.tiles_of))
for name, t in zip(("im2col", "tiled"), race(partial(conv, "im2col"), partial(conv, "tiled"))):
    show(name, t)

# %% [markdown]
# ## 6 Fewer multiplications: Winograd
#
# So far every idea moved the same products to a better place. Now for something else: *make fewer
# of them*. Two neighbouring outputs of a filter (g₀, g₁, g₂) over four numbers d₀ ... d₃:
#
# | | | products |
# |---|---|---|
# | y₀ | d₀g₀ + d₁g₁ + d₂g₂ | 3 |
# | y₁ | d₁g₀ + d₂g₁ + d₃g₂ | 3 |
#
# Six. It looks as if nothing could be saved, for no product stands there twice. Winograd found
# (1980) that four are enough:
#
# | | |
# |---|---|
# | m₁ = (d₀ - d₂) g₀ | m₂ = (d₁ + d₂) (g₀ + g₁ + g₂) / 2 |
# | m₄ = (d₁ - d₃) g₂ | m₃ = (d₂ - d₁) (g₀ - g₁ + g₂) / 2 |
#
# and y₀ = m₁ + m₂ + m₃, y₁ = m₂ - m₃ - m₄. Check y₀ on paper: in m₂ + m₃, everything with d₁ adds
# up to d₁g₁, and everything with d₂ to d₂(g₀ + g₂). The d₂g₀ too much is just what m₁ takes off. ∎
#
# The filter's part, (g₀ + g₁ + g₂) / 2, is worked out once and used at every place of the image. So
# it does not count.
#
# ### Exercise 18.2: F(2, 3)
#
# Write it: x (4,) and w (3,) to y (2,).


# %%
def my_winograd(x, w):
    raise NotImplementedError("m1, m2, m3, m4, and the two sums")


minicnn.check(my_winograd)

# %% [markdown]
# `check` sees the result, not how you got it. So let the numbers count for themselves: these notice
# whenever two of them are multiplied.


# %%
class Counted(float):
    """A number that counts the products it takes part in. Halving is no product."""

    made = 0

    def __mul__(self, other):
        Counted.made += isinstance(other, Counted)
        return Counted(float(self) * other)

    def __add__(self, other):
        return Counted(float(self) + other)

    def __sub__(self, other):
        return Counted(float(self) - other)


def winograd(d, g):
    plus, minus = (g[0] + g[1] + g[2]) * 0.5, (g[0] - g[1] + g[2]) * 0.5
    m1, m2, m3 = (d[0] - d[2]) * g[0], (d[1] + d[2]) * plus, (d[2] - d[1]) * minus
    m4 = (d[1] - d[3]) * g[2]
    return [m1 + m2 + m3, m2 - m3 - m4]


def definition(d, g):
    return [d[i] * g[0] + d[i + 1] * g[1] + d[i + 2] * g[2] for i in (0, 1)]


d, g = [Counted(v) for v in (3, 1, 4, 1)], [Counted(v) for v in (2, 7, 1)]
for name, function in (("by definition", definition), ("Winograd", winograd)):
    Counted.made = 0
    print(f"{name:14} {[float(v) for v in function(d, g)]}  with {Counted.made} products")

# %% [markdown]
# (Try it with yours: `my_winograd(d, g)`, if it gets along with lists.)
#
# **As matrices.** All of it is y = A((G g) ∘ (B d)), where ∘ multiplies number by number: B and A
# only add and subtract. In two dimensions rows and columns are treated alike: a tile of 4 × 4
# pixels gives 2 × 2 outputs with 16 products, where the definition takes 36.

# %%
from minicnn.backends.fast import winograd_tiles as matrices

for name in "BGA":
    print(f"{name} =", str(getattr(matrices, name)[2]).replace("], ", "],\n     "))
A2, B2, G2 = (np.array(getattr(matrices, name)[2]) for name in "ABG")
tile, kernel = rng.normal(size=(4, 4)), rng.normal(size=(3, 3))
products = (G2 @ kernel @ G2.T) * (B2 @ tile @ B2.T)  # 16 of them
by_definition = F.conv2d(Tensor(tile[None, None]), Tensor(kernel[None, None])).numpy()[0, 0]
print("\nlargest difference:", np.abs(A2 @ products @ A2.T - by_definition).max())
assert np.allclose(A2 @ products @ A2.T, by_definition)
for F_ in (2, 4):
    P = F_ + 2
    print(f"F({F_} x {F_}, 3 x 3): {9 * F_**2} products by definition, {P**2} by Winograd: "
          f"{9 * F_**2 / P**2:.2f} times fewer")  # fmt: skip

# %% [markdown]
# With many channels the sums over them can be made *between* the transforms. So the products become
# matrix products again, one for each of the 16 (or 36) places, and the transforms cost little
# beside them.
#
# **Nothing is free.** B and G of F(4 × 4) add numbers of very different size, and digits are lost.
# Compare with the same layer in float64:

# %%
exact = F.conv2d(Tensor(x.numpy().astype(float)), Tensor(w.numpy().astype(float)), padding=1)
WAYS = ("im2col", "tiled", "winograd2", "winograd4")
for way, t in zip(WAYS, race(*(partial(conv, way) for way in WAYS))):
    error = np.abs(conv(way).numpy() - exact.numpy()).max() / np.abs(exact.numpy()).max()
    show(way, t)
    print(f"{'':28} largest error {error:.1e} of the largest result")

# %% [markdown]
# Four times fewer products, but not four times as fast: the transforms take their share, and they
# add and move more than they multiply. (A share above 100%, where you see one, is no mistake.
# Operations are counted by the definition here, and Winograd makes fewer.) A digit or so is lost
# for it, which a net does not notice. A gradient check would: float64 never takes Winograd in
# minicnn.
#
# ## 7 Which way for which layer?
#
# There is no best algorithm, only a best one for a shape. One more joins in if you have a C++
# compiler: *direct* copies no windows at all. A few registers full of filters are multiplied by a
# few neighbouring pixels where they lie, and NumPy has no loop like that; `kernels/conv/direct.cu`
# has, one of the first kernels on a GPU's ladder, compiled for your CPU. Where filters are few, to
# copy windows takes longer than to multiply them, and it wins.
#
# Five layers, from the first of VGG to the last of ResNet. `auto` is what minicnn takes:

# %%
from minicnn.backends import drawing
from minicnn.backends.geometry import Geometry
from minicnn.ops.conv import Conv2d

algorithms, float32 = drawing(Conv2d, "cpu").algorithms, np.dtype("float32")


def allowed(way, geometry):
    """Whether an algorithm can compute a layer: Winograd's is for 3 x 3 with stride 1 alone."""
    return way not in algorithms.table or not algorithms.table[way].rule(geometry, float32)


LAYERS = {  # name: (C, size, O, kernel, stride)
    "first of VGG": (3, 112, 64, 3, 1),
    "stem of ResNet": (3, 112, 64, 7, 2),
    "64 channels, 3 x 3": (64, 56, 64, 3, 1),
    "64 to 256, 1 x 1": (64, 56, 256, 1, 1),
    "512 channels, 3 x 3": (512, 7, 512, 3, 1),
}
ALL = (*WAYS, *(way for way in ["direct"] if way in algorithms.table), "auto")
print(f"{'ms':22}" + "".join(f"{way:>11}" for way in ALL) + "   auto takes")
for name, (C, size, O, K, S) in LAYERS.items():
    lx, lw = numbers(1, C, size, size), numbers(O, C, K, K)
    g = Geometry.of(lx.shape, lw.shape, (S, S), (K // 2,) * 2, (1, 1), 1)
    layer = partial(F.conv2d, lx, lw, stride=S, padding=K // 2)
    ways = [way for way in ALL if allowed(way, g)]
    with no_grad():
        best = dict(zip(ways, race(*(partial(layer, algorithm=way) for way in ways))))
    cells = [f"{1e3 * best[way]:11.2f}" if way in best else f"{'-':>11}" for way in ALL]
    print(f"{name:22}" + "".join(cells), " ", algorithms.choose(g, float32))

# %% [markdown]
# How does it choose? By shape alone (and by how wide a register is), with a formula for what each
# would cost. It never measures: then the same program would take another way on another day, and
# its last digits would change. Among NumPy's ways:

# %%
from minicnn.backends.fast import convolution

print(inspect.getsource(convolution.Algorithms.choose))
print(inspect.getsource(convolution.cost_of_tiled))
print(inspect.getsource(convolution.WinogradCost))
try:
    F.conv2d(numbers(1, 3, 32, 32), numbers(8, 3, 7, 7), algorithm="winograd4")
except ValueError as error:
    print("And if you ask for the impossible:\n", error)

# %% [markdown]
# Is the choice always the best on your machine? See for yourself in the table; the formula's
# constants were fitted elsewhere.
#
# ## 8 When there is little to multiply
#
# A depthwise convolution (MobileNet's) has one filter for each channel. Nine products for each
# number read: no matrix product can be made of that. NumPy takes nine walks through memory, one for
# each cell of the filter. Here a compiled loop helps: all nine while the number is in a register.
# minicnn compiles it from the very file that a GPU would run, `kernels/conv/depthwise.cu`, if you
# have a C++ compiler. What do the two do, and what does a ReLU, beside the layers above?

# %%
from minicnn.backends.compiled import can_compile

deep, dw = numbers(1, 96, 112, 112), numbers(96, 1, 3, 3)
found = {}  # name: (operations for each byte of memory, thousand million operations a second)


def on(backend, function, *arguments, **settings):
    with use_backend(backend), no_grad():
        return function(*arguments, **settings)


calls = {f"depthwise, {b}": partial(on, b, F.conv2d, deep, dw, padding=1, groups=96)
         for b in ("fast", *["compiled"] * can_compile())}  # fmt: skip
calls |= {"ReLU": partial(on, "fast", F.relu, deep)}
calls |= {f"3 x 3, {way}": partial(conv, way) for way in ("im2col", "winograd4")}
for name, t in zip(calls, race(*calls.values())):
    made, moved = OPERATIONS, 4 * (2 * 56 * 56 * 64 + w.size)
    if name.startswith(("depthwise", "ReLU")):
        made, moved = (1 if name == "ReLU" else 18) * deep.size, 4 * 2 * deep.size
    show(name, t, made)
    found[name] = made / moved, made / t / 1e9

# %% [markdown]
# One picture says why. Across, how many operations a layer makes for each byte that has to come
# from memory or go there. Up, how many it makes in a second. Two things hold it down: the peak (the
# flat roof), and memory (the slanting one: so many bytes a second, so many operations a byte).
# Together they are called the **roofline**.

# %%
fig, ax = plt.subplots(figsize=(7, 4))
across = np.geomspace(0.06, 400)
ax.loglog(across, np.minimum(PEAK, rates[-1] * across), color="#9aa3ab")
for name, point in found.items():
    ax.loglog(*point, "o", color=WARM if "depth" in name else INK, markersize=6)
ax.set_xlabel("operations for each byte of memory")
ax.set_title("thousand million operations a second, and the roof", fontsize=10)
ax.spines[["top", "right"]].set_visible(False)
write_names(ax, [(*point, name) for name, point in found.items()])

# %% [markdown]
# What stands under the slanting part waits for memory, and no cleverer arithmetic will help it:
# move less, or do more with what is there (that is why minicnn puts ReLU and bias into the
# convolution before them). What stands under the flat part can be helped by arithmetic. (A point
# may also lie above the slant: its numbers were in a cache.)
#
# ## 9 A whole net
#
# Where does the time go in all of ResNet-18? `minicnn bench --profile resnet18` tells, operation by
# operation, with the share of this machine's peak. Here at 64 × 64 pixels, forward only; times are
# by the clock on the wall this time.

# %%
found = profile("resnet18", batch=2, input_shape=(3, 64, 64), training=False, steps=3)
print(f"{found.title}: {1e3 * found.seconds:.1f} ms\n")
for t in [t for t in found.by_operation() if t.direction == "forward"]:
    speed = f"{t.gflops:6.1f}G a second, {t.gflops / found.peak:4.0%} of the peak"
    print(f"{t.name:20} {t.layer:12} {1e3 * t.seconds:7.2f} ms {t.seconds / found.seconds:6.1%}  "
          f"{speed if t.operations else ''}")  # fmt: skip
found.plot().set_size_inches(7, 5)

# %% [markdown]
# ## What you have seen
#
# - Loops in Python, im2col, tiles, Winograd: each step has a reason, and you have its figure.
# - Use a number again while it is near; that is what tiles are for.
# - F(2, 3) makes two outputs with four products in place of six, and pays with digits.
# - Operations for each byte decide whether arithmetic or memory is the limit.
# - A library chooses by shape; a good one chooses the same way every day.
#
# **Try:** `minicnn.set_num_threads(None)` gives minicnn all your processors back; what becomes of
# section 3's figures? `minicnn bench --profile mobilenet_v2 --backend fast`, and the same with
# `--backend compiled`.
#
# **Next:** [16 GPU kernels without a GPU](16_gpu_kernels.ipynb), where the same ideas come back
# with other names. Or [15 What nets cost](15_cost.ipynb), the view from above.
#
# **To read:** Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", 2008;
# Lavin and Gray, "Fast algorithms for convolutional neural networks", 2016; Williams, Waterman,
# Patterson, "Roofline: an insightful visual performance model", 2009.
