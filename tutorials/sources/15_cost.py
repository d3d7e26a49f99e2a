# %% [markdown]
# # 15 What nets cost
#
# A net that wins a competition is not always one you can use. It may be too slow for your phone,
# too large for its memory, or hot enough to drain its battery. In 2017 Canziani, Paszke and
# Culurciello put the winners of five years side by side and asked not who was best, but what each
# of them costs.
#
# **You will** count operations and measure time and memory, on your own machine; lay a line through
# a cloud of points and say how well it fits; see why the last percent is the dearest; and find the
# net that makes most of its parameters.
#
# **You need** [07](07_vgg16.ipynb) and [12](12_resnet.ipynb). Two exercises; half an hour. Nothing
# is trained, and no weights are downloaded: how long a net takes does not depend on what it has
# learnt.

# %%
import gc
import os
import platform
import time
import tracemalloc

import matplotlib.pyplot as plt
import numpy as np
from threadpoolctl import threadpool_limits

import minicnn
from minicnn import Tensor, models, no_grad
from minicnn.analysis import ILSVRC, compare, cost
from minicnn.analysis.chart import write_names
from minicnn.backends.fast.memory import release

INK, WARM, COLD = "#0f766e", "#c2570c", "#2166ac"
print(f"measured on {platform.machine()}, {os.cpu_count()} CPUs, {platform.system()}; "
      f"minicnn's backend: {minicnn.current_backend()}")  # fmt: skip

# %% [markdown]
# ## 1 What can be known without running anything
#
# Parameters and operations are *counted*: minicnn sends an image's shape through the net and adds
# up. (An operation is a multiplication or an addition, so there are two for each multiplication.)
# Accuracies are another matter. They come from training on ImageNet for days; nobody measures them
# here. They are **published** figures, marked [P] in this course, each with its source.

# %%
NETS = ["alexnet", "vgg11", "vgg16", "googlenet", "resnet18", "resnet34", "resnet50",
        "squeezenet1_0", "squeezenet1_1", "densenet121", "mobilenet_v2",
        "shufflenet_v2_x1_0"]  # fmt: skip
table = compare(NETS)
print(table)

# %% [markdown]
# The column *top-1/M* is what the paper calls **accuracy density**: percent for each million
# parameters. We shall come back to it. First, where the operations come from.
#
# ### Exercise 15.1: count them yourself
#
# The multiplications of a convolution, for one square image of `size` × `size` pixels and a square
# kernel. With `groups`, a filter sees only the channels of its own group. (The size of the output
# you know from [02](02_convolution.ipynb).)


# %%
def my_conv_macs(size, in_channels, out_channels, kernel, stride=1, padding=0, groups=1):
    raise NotImplementedError("pixels out, times filters, times the products of one sum")


minicnn.check(my_conv_macs)

# %% [markdown]
# ## 2 Time
#
# How do you time a net fairly? Three things get in the way. *The first run* is special: memory is
# fetched, kernels may be compiled. So one run is thrown away. *Other programs* take the processor
# from us. So we do not look at the clock on the wall but at the **processor time** of our own
# thread, and have minicnn use one thread only. *Chance*: so each measurement is made four times, in
# turns, and the smallest counts, because nothing makes a program faster than it is.
#
# Images have 128 × 128 pixels here, so that you need not wait: a third of the operations of 224 ×
# 224. The accuracies above belong to 224 and more.

# %%
SIDE = 128
minicnn.set_num_threads(1)
limits = threadpool_limits(1)  # for the matrix products of NumPy outside of minicnn


def milliseconds(net, batches):
    """Processor time for an image at each batch: the least of four turns."""
    rng, found = np.random.default_rng(0), {}
    x = rng.standard_normal((max(batches), 3, SIDE, SIDE), np.float32)
    with no_grad():
        for turn in range(5):
            for batch in batches:
                start, runs = time.thread_time(), 0
                while not runs or time.thread_time() - start < 0.1:
                    net(Tensor(x[:batch]))
                    runs += 1
                ms = 1e3 * (time.thread_time() - start) / runs / batch
                if turn:  # the first one is thrown away
                    found[batch] = min(ms, found.get(batch, ms))
    return found


# %% [markdown]
# All twelve, at a batch of four, and three of them at other batches, too. This takes a while,
# longest for VGG.

# %%
BATCHES, MORE = (1, 2, 4, 8), ("alexnet", "squeezenet1_0", "resnet18")
operations, times = {}, {}
for name in NETS:
    net = models.build(name).eval()
    operations[name] = cost(name, (3, SIDE, SIDE)).operations / 1e9
    found = milliseconds(net, BATCHES if name in MORE else (4,))
    times.update({(name, batch): ms for batch, ms in found.items()})
    del net
    gc.collect()
for name in NETS:
    ms = times[name, 4]
    print(f"{name:20} {operations[name]:7.3f}G operations  {ms:7.1f} ms an image  "
          f"{1e3 * operations[name] / ms:6.1f}G a second")  # fmt: skip

# %% [markdown]
# Look at the last column. The same machine makes several times as many operations a second in one
# net as in another. Large convolutions with many channels keep its arithmetic busy. Thin ones, and
# all the small steps in between (batch norm, ReLU, joining), are mostly moving numbers about, which
# the count of operations does not see.
#
# ## 3 A straight line?
#
# Is the count of operations worth anything, then? Draw time against it, and lay a line through it.
# To "lay a line" means: find a and b such that a x + b misses the points by least, the misses
# squared and added up. Setting the derivatives to zero gives
#
# $$a = \frac{\sum (x_i - \bar x)(y_i - \bar y)}{\sum (x_i - \bar x)^2}, \qquad b = \bar y - a \bar
# x$$
#
# and how well it fits is said by the **correlation** r, between -1 and 1:
#
# $$r = \frac{\sum (x_i - \bar x)(y_i - \bar y)}{\sqrt{\sum (x_i - \bar x)^2 \sum (y_i - \bar
# y)^2}}$$
#
# ### Exercise 15.2: the line
#
# Return a, b and r.


# %%
def my_line_fit(x, y):
    raise NotImplementedError("a, b, r")


minicnn.check(my_line_fit)

# %% [markdown]
# Here with NumPy's own, which gives the same:

# %%
x = np.array([operations[name] for name in NETS])
y = np.array([times[name, 4] for name in NETS])
(a, b), r = np.polyfit(x, y, 1), np.corrcoef(x, y)[0, 1]
fig, ax = plt.subplots(figsize=(8, 4.6))
ax.plot([0, x.max()], [b, a * x.max() + b], color=WARM, linewidth=1)
ax.plot(x, y, "o", color=INK, markersize=5)
ax.set_xlabel("operations for an image, thousand millions")
ax.set_title(f"ms an image = {a:.1f} · operations + {b:.1f},   r = {r:.3f}", fontsize=10)
ax.spines[["top", "right"]].set_visible(False)
ax.set_xlim(-0.2 * x.max())  # room for names
ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}" if value >= 0 else "")
write_names(ax, list(zip(x, y, NETS)))
print(f"line fit: time = {a:.2f} ms for each thousand million operations + {b:.2f} ms, "
      f"r = {r:.3f}")  # fmt: skip

# %% [markdown]
# The paper found the same on an NVIDIA TX1: time is, nearly, a straight line in operations. So a
# count that costs nothing predicts what would take an afternoon to measure. But look at the points
# off the line, too. Above it you will most likely find DenseNet and ResNet-50, which hand on many
# maps for what they multiply: that is moving, not multiplying. VGG is helped by its large 3 x 3
# convolutions: minicnn does those by Winograd's algorithm ([18](18_cpu_speed.ipynb)), with fewer
# multiplications than were counted. And at the left end the line is of little use: it does not go
# through 0, so it may promise the smallest nets twice the time that they take. If two nets differ
# by less than a factor of two in operations, measure before you decide.
#
# ## 4 A whole batch at once
#
# Give the net several images at a time. Is each of them cheaper?

# %%
fig, ax = plt.subplots(figsize=(5.5, 3))
for name, color in zip(MORE, (WARM, COLD, INK)):
    line = [times[name, batch] for batch in BATCHES]
    ax.plot(BATCHES, line, "o-", color=color, label=name)
    print(f"{name:14} ms an image at batch {', '.join(map(str, BATCHES))}:",
          "  ".join(f"{t:.1f}" for t in line))  # fmt: skip
ax.set_xscale("log", base=2)
ax.set_xticks(BATCHES, BATCHES)
ax.set_ylim(0)
ax.set_xlabel("images in a batch")
ax.set_title("ms an image", fontsize=10)
ax.spines[["top", "right"]].set_visible(False)
_ = ax.legend(frameon=False, fontsize=8)

# %% [markdown]
# From one image to eight each of them gets cheaper, as in the paper. (There may be a step up on the
# way: for one image a dense layer multiplies a matrix by a vector, from two on it multiplies
# matrices, which is done in another way.) Some work is done once for a batch, however many images
# are in it: the Python between two layers, and *reading the weights*. In AlexNet it is the weights:
# its dense layers have 58.6 million of them; for one image each of them is fetched from memory for
# a single multiplication, for eight images it serves eight times.
#
# ## 5 Memory
#
# A net needs memory for its parameters, whatever the batch, and for the maps on their way through,
# for each image. Python can tell us the largest amount that was in use at any moment:


# %%
def peak_megabytes(net, batch):
    """The most memory that one forward pass holds beside the net's parameters and its input."""
    x = Tensor(np.zeros((batch, 3, SIDE, SIDE), np.float32))
    release()  # what lies idle from earlier passes
    tracemalloc.start()
    with no_grad():
        net(x)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (peak + x.numpy().nbytes) / 1e6


BATCH_SIZES, memory = (1, 2, 4, 8, 16, 32, 64), {}
for name in MORE:
    net = models.build(name).eval()
    parameters = cost(name).parameter_bytes / 1e6
    memory[name] = [parameters + peak_megabytes(net, batch) for batch in BATCH_SIZES]
    print(f"{name:14} parameters {parameters:6.1f} MB; in all, at batch 1, 2, ... 64:",
          "  ".join(f"{m:.0f}" for m in memory[name]))  # fmt: skip

# %%
fig, axes = plt.subplots(1, 2, figsize=(9, 3.2))
for name, color in zip(MORE, (WARM, COLD, INK)):
    for ax in axes:
        ax.plot(BATCH_SIZES, memory[name], "o-", color=color, label=name, markersize=4)
axes[0].set_title("memory, MB", fontsize=10)
axes[1].set_title("the same with both axes logarithmic", fontsize=10)
axes[1].set_xscale("log", base=2)
axes[1].set_yscale("log", base=2)
axes[1].set_xticks(BATCH_SIZES, BATCH_SIZES)
axes[1].set_yticks([2**k for k in range(4, 10)], [2**k for k in range(4, 10)])
for ax in axes:
    ax.set_xlabel("images in a batch")
    ax.spines[["top", "right"]].set_visible(False)
axes[0].legend(frameon=False, fontsize=8)
plt.tight_layout()

# %% [markdown]
# Flat first, then a straight line. While the parameters are the most of it, a few more images
# hardly show; from where the maps take over, memory grows with each image. AlexNet is flat for
# longest: 244 MB of parameters, and small maps. SqueezeNet has 5 MB of parameters and is nearly all
# maps. (The steps in between are scratch memory, which the largest layer takes in whole blocks.)
#
# ## 6 The last percent is the dearest
#
# Now bring in the accuracies. Take the nets that the paper compared, as far as the zoo has them,
# and keep those that no other one beats in both, cost and accuracy. (VGG drops out at once.) Their
# line bends like a **hyperbola**, accuracy = A - c / operations: steep at first, then nearly flat.

# %%
PAPER = compare(["alexnet", "googlenet", "vgg16", "vgg19", "resnet18", "resnet34", "resnet50",
                 "resnet101", "resnet152", "inception_v3", "inception_v4"])  # fmt: skip
points = sorted((e.cost.operations / 1e9, e.top1, e.info.name) for e in PAPER.entries)
front = [p for p in points if all(q[1] < p[1] for q in points if q[0] < p[0])]
G, top1 = np.array([p[0] for p in front]), np.array([p[1] for p in front])
(c, A), fit = np.polyfit(1 / G, top1, 1), np.corrcoef(1 / G, top1)[0, 1]
print(f"accuracy = {A:.1f} - {-c:.1f} / operations, r = {abs(fit):.3f}; on the line:",
      ", ".join(p[2] for p in front))  # fmt: skip
for wanted in (70, 75, 78, 79):
    print(f"  {wanted}% at {-c / (A - wanted):5.1f}G operations")
assert abs(fit) > 0.98

# %%
fig, axes = plt.subplots(1, 2, figsize=(10, 3.8), sharey=True)
curve = np.geomspace(1.2, 45)
axes[0].plot(curve, A + c / curve, color=WARM, linewidth=1)
for point in points:
    axes[0].plot(*point[:2], "o", color=INK if point in front else "#9aa3ab", markersize=5)
axes[0].set_title("published top-1 [P], operations counted", fontsize=10)
axes[0].set_xlabel("operations, thousand millions")
mine = [(times[e.info.name, 4], e.top1, e.info.name) for e in table.entries]
axes[1].plot([p[0] for p in mine], [p[1] for p in mine], "o", color=COLD, markersize=5)
axes[1].set_title("published top-1 [P], ms measured here, 128 px", fontsize=10)
axes[1].set_xlabel("ms an image")
axes[1].set_xlim(-0.2 * max(p[0] for p in mine))
axes[1].xaxis.set_major_formatter(lambda value, _: f"{value:g}" if value >= 0 else "")
plt.tight_layout()
for ax, named in zip(axes, (points, mine)):
    ax.spines[["top", "right"]].set_visible(False)
    write_names(ax, named)

# %% [markdown]
# Read the printed lines: from 70 to 75, five percent more double the cost; later a single one does,
# from 78 to 79. On the right the same accuracies stand over *your* milliseconds. There are newer
# nets among them (MobileNet, ShuffleNet), which were designed for just this picture; they sit at
# the upper left.
#
# ## 7 Accuracy density
#
# A large part of a net's parameters may do very little. Percent per million parameters says who
# makes most of them.

# %%
entries = sorted([*table.entries, *compare(["vgg19"]).entries], key=lambda e: e.density)
fig, ax = plt.subplots(figsize=(6.5, 3.4))
ax.barh([e.info.name for e in entries], [e.density for e in entries], color=INK)
for k, e in enumerate(entries):
    ax.text(e.density + 0.4, k, f"{e.density:.1f}", va="center", fontsize=7)
ax.set_title("top-1 percent [P] for each million parameters", fontsize=10)
ax.tick_params(labelsize=8)
ax.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# In the paper the winner was **ENet**, made into a classifier: it "squeezes up to 13 times more
# information per parameter" than AlexNet, "and 24 times" VGG-19 [P]. Do the two fit together? Both
# densities are in our table, so both statements give ENet's:

# %%
density = {e.info.name: e.density for e in entries}
enet = models.build("enet_classifier").num_parameters()
print(f"13 x AlexNet's {density['alexnet']:.3f} = {13 * density['alexnet']:.1f} percent per "
      f"million; 24 x VGG-19's {density['vgg19']:.3f} = {24 * density['vgg19']:.1f}")  # fmt: skip
print(f"minicnn's ENet as a classifier has {enet:,} parameters; VGG-19 has "
      f"{models.info('vgg19').parameters / enet:.0f} times as many")  # fmt: skip
print(f"SqueezeNet, which the paper does not have: {density['squeezenet1_1']:.1f}")

# %% [markdown]
# They do fit. But the bars show something the paper could not: SqueezeNet was left out of that
# comparison, and by its published accuracy it is four times as dense again.
#
# And the other two of the paper's findings, counted:

# %%
by_cost = {e.info.name: e.cost for e in PAPER.entries}
most = max(by_cost, key=lambda name: by_cost[name].operations)
print(f"most operations of the paper's nets: {most}, {by_cost[most].operations / 1e9:.1f}G")
least = min(by_cost, key=lambda name: by_cost[name].operations)
heavier = sum(c.parameters > by_cost["alexnet"].parameters for c in by_cost.values())
print(f"fewest: {least}, {by_cost[least].operations / 1e9:.2f}G, with "
      f"{by_cost[least].parameter_bytes / 1e6:.0f} MB of parameters; only {heavier} "
      "of the eleven have more, the VGGs")  # fmt: skip
assert (most, least, heavier) == ("vgg19", "alexnet", 2)

# %% [markdown]
# VGG costs most of all. AlexNet is cheap in operations and heavy in memory.
#
# ## 8 Power: not measured here
#
# The paper also read the power that a GPU board draws, and found that it depends neither on the
# batch nor on the net [P]: a busy chip is a busy chip. So the energy for an image is simply power
# times time. That needs a GPU whose power can be read (`nvidia-smi --query-gpu=power.draw
# --format=csv`); **nothing about power was measured in this notebook**, and the sentence above is
# the paper's.
#
# ## 9 The competition itself
#
# These are published figures, all of them; nothing here was measured by minicnn. Mind the columns:
# an error of seven nets together is not one net's, and one on validation images is not one on the
# secret test. Most quarrels about "who was better" come from mixing them.

# %%
print("[P] ILSVRC, classification, top-5 error")
print(ILSVRC)

# %% [markdown]
# ## What you have seen
#
# - Parameters and operations are counted, time and memory measured, accuracies quoted. Never mix
#   them up.
# - Time is roughly a line in operations; r says how roughly.
# - Memory is flat while parameters dominate, then a line in the batch.
# - Accuracy = A - c / operations: the last percent is the dearest.
# - Percent per million parameters: small nets make most of theirs.
#
# **Try:** `minicnn bench --profile mobilenet_v2` shows which of its operations fall off the line.
#
# **Next:** [16 GPU kernels without a GPU](16_gpu_kernels.ipynb): where the time of one operation
# goes. Or [18 Inside CPU speed](18_cpu_speed.ipynb), the same question on your own processor.
#
# **To read:** Canziani, Paszke, Culurciello, "An analysis of deep neural network models for
# practical applications", 2017; Russakovsky et al., "ImageNet large scale visual recognition
# challenge", 2015.
