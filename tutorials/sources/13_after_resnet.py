# %% [markdown]
# # 13 After ResNet: wider, sparser, and found by machines
#
# With shortcuts, depth was no longer the problem. So what else can be changed? The years after
# ResNet tried everything: the order inside a block, its width, the number of its paths, who is
# joined to whom, what a convolution has to compute at all. In the end a net designed nets.
#
# **You will** see that ResNeXt's 32 paths are one grouped convolution; write the block that lets
# each channel know of the whole image; cut a convolution's cost to a ninth; shuffle channels with a
# transpose; watch a controller learn to propose cells; and grow a net in three directions at once.
#
# **You need** [11](11_inception.ipynb) and [12](12_resnet.ipynb). Three exercises; half an hour. No
# data but minicnn's own digits.

# %%
import inspect
import tempfile
import time

import matplotlib.pyplot as plt
import numpy as np

import minicnn
from minicnn import Tensor, models, nn, no_grad
from minicnn import functional as F
from minicnn.analysis import cost, summary
from minicnn.nn import init

TEAL = "#0f766e"


def build(name):
    """A net whose weights nobody looks at."""
    with init.empty():
        return models.build(name)


# %% [markdown]
# ## 1 Another order: pre-activation
#
# In the ResNet of 2015 a ReLU stands *behind* the sum. So a little is lost at each block after all:
# whatever is negative does not get past. A year later the same authors moved normalisation and ReLU
# to the front of the block. Now nothing stands in the way from the first block to the last.

# %%
from minicnn.models.preact_resnet import PreActBasicBlock, _PreActBlock
from minicnn.models.resnet import BasicBlock

print(inspect.getsource(_PreActBlock.forward))
print(inspect.getsource(BasicBlock.forward))

# %% [markdown]
# Let ten blocks learn nothing: the last weights of each are 0, so f(x) = 0. Send numbers of both
# signs through, and look what comes out, and what comes back.


# %%
def ten_idle_blocks(kind):
    """Ten blocks of this kind whose f is 0."""
    blocks = nn.Sequential(*(kind(8, 8) for _ in range(10))).eval()
    for block in blocks:
        init.constant_(block.conv2.weight, 0)
    return blocks


x = np.random.default_rng(0).normal(size=(2, 8, 6, 6)).astype(np.float32)
passes = {}
for name, kind in (("2015, ReLU behind", BasicBlock), ("2016, ReLU before", PreActBasicBlock)):
    image = Tensor(x, requires_grad=True)
    y = ten_idle_blocks(kind)(image)
    y.sum().backward()
    passes[name] = (y.numpy() == x).mean(), (image.grad.numpy() == 1).mean()
    print(f"{name}: {passes[name][0]:.0%} of the numbers pass as they are, "
          f"{passes[name][1]:.0%} of the gradient comes back as it is")  # fmt: skip
assert passes["2016, ReLU before"] == (1, 1)
assert passes["2015, ReLU behind"][0] < 0.6

# %% [markdown]
# Half of the numbers are stopped at the first ReLU of the old order. In the new one x comes out at
# the far end plus a sum of small corrections, x + f₁ + f₂ + ..., and nets of 1,001 layers train.
#
# ## 2 Wider
#
# A thousand layers run one after the other. Zagoruyko and Komodakis asked whether they have to.
# **Wide ResNets** multiply all channels by k: WRN-28-10 has 28 layers, ten times as wide.
#
# **On paper:** ten times the channels, in and out. How many times the weights?

# %%
print("net               layers   parameters   multiplications")
for name, layers in (("cifar_preact1001", 1001), ("cifar_preact110", 110), ("wrn_16_8", 16),
                     ("wrn_28_10", 28), ("resnet50", 50), ("wide_resnet50_2", 50)):  # fmt: skip
    found = cost(name)
    print(f"{name:17} {layers:6} {found.parameters:12,} {found.macs / 1e9:14.2f}G")
assert cost("wrn_28_10").parameters == 36_479_194
assert cost("wide_resnet50_2").parameters == 68_883_240

# %% [markdown]
# Weights grow with the square of the width, and in proportion to the depth. What does width buy?
# A wide layer is one large matrix product, and those run fast; many thin layers are many small
# ones, each waiting for the one before. Two nets for CIFAR of about equal size, on this machine:

# %%
from minicnn.models.wide_resnet import wide_resnet

minicnn.manual_seed(0)
images = Tensor(np.random.default_rng(0).normal(size=(16, 3, 32, 32)).astype(np.float32))
for depth, width in ((166, 1), (16, 4)):
    net = wide_resnet(depth, width).eval()
    size = cost(net, (3, 32, 32))
    seconds = []
    with no_grad():
        for _ in range(4):
            start = time.perf_counter()
            net(images)
            seconds.append(time.perf_counter() - start)
    print(f"{depth:3} layers, width x{width}: {size.parameters:9,} parameters, "
          f"{size.macs / 1e9:.2f}G, {min(seconds) * 1000:5.0f} ms for 16 images")  # fmt: skip

# %% [markdown]
# ## 3 More paths: ResNeXt
#
# Inception had a few different paths, each designed by hand. ResNeXt has many equal ones. A
# bottleneck of 256 channels is cut into 32 paths: 1 × 1 to 4 channels, 3 × 3 among these four, 1 ×
# 1 back to 256. All 32 are added up. Written as it is said:

# %%
rng = np.random.default_rng(0)
squeeze = Tensor(rng.normal(size=(128, 256, 1, 1)))  # 32 paths of 4 channels: 128
middle = Tensor(rng.normal(size=(128, 4, 3, 3)))
expand = Tensor(rng.normal(size=(256, 128, 1, 1)))
x = Tensor(rng.normal(size=(1, 256, 7, 7)))

total = 0
for k in range(32):
    mine = slice(4 * k, 4 * k + 4)
    path = F.relu(F.conv2d(x, squeeze[mine]))
    path = F.relu(F.conv2d(path, middle[mine], padding=1))
    total = total + F.conv2d(path, expand[:, mine])

y = F.relu(F.conv2d(x, squeeze))
y = F.relu(F.conv2d(y, middle, padding=1, groups=32))
y = F.conv2d(y, expand)
difference = np.abs(total.numpy() - y.numpy()).max()
print(f"32 paths against one grouped convolution: largest difference {difference:.0e}, "
      f"of numbers up to {np.abs(y.numpy()).max():.0f}")  # fmt: skip
assert np.allclose(total.numpy(), y.numpy(), rtol=0, atol=1e-9)

# %% [markdown]
# The same numbers. The 1 × 1 convolutions of all paths lie side by side in one large one; the sum
# over paths is the sum that the last 1 × 1 forms anyway. Only the middle must keep the paths apart,
# and that is what `groups=32` means. (AlexNet's two towers of 2012, made for want of memory, are
# `groups=2`.)
#
# Who sees whom? A picture of that can be *measured*: the gradient of one output channel says which
# input channels it depends on.


# %%
def who_sees_whom(layer, C=16):
    """(C out, C in) booleans: which input channels move which output channel."""
    seen = []
    for c in range(C):
        x = Tensor(np.random.default_rng(0).normal(size=(1, C, 5, 5)), requires_grad=True)
        layer(x)[:, c].sum().backward()
        seen.append((x.grad.numpy() != 0).any(axis=(0, 2, 3)))
    return np.array(seen)


def draw_who(ax, layer, title):
    ax.imshow(~who_sees_whom(layer), cmap="gray", vmin=-0.6, vmax=1)
    ax.set(title=title, xticks=[], yticks=[], xlabel="channels in", ylabel="channels out")
    ax.title.set_fontsize(10)


def conv(k, groups):
    return nn.Conv2d(16, 16, k, padding=k // 2, groups=groups).to("float64")


minicnn.manual_seed(0)
fig, axes = plt.subplots(1, 3, figsize=(8, 2.8))
for ax, groups, title in zip(axes, (1, 4, 16), ("full", "groups=4", "depthwise: groups=16")):
    layer = conv(3, groups)
    draw_who(ax, layer, f"{title}\n{layer.weight.size:,} weights")

# %% [markdown]
# At equal cost more paths do better, says the paper: [P] ResNet-50 23.9% top-1 error, ResNeXt-50
# with 32 paths of 4 channels 22.2% (one net, one crop, ImageNet validation). The cost *is* about
# equal:

# %%
for name in ("resnet50", "resnext50_32x4d"):
    print(f"{name:16} {cost(name).parameters:11,} parameters {cost(name).macs / 1e9:.2f}G")
assert cost("resnext50_32x4d").parameters == 25_028_904

# %% [markdown]
# ## 4 Channels that know of the whole image: SENet
#
# A 3 × 3 convolution decides about a pixel by its neighbours. It cannot know that the image shows a
# beach. **Squeeze-and-excitation** tells it:
#
# - *squeeze*: the mean of each channel over all pixels (global average pooling), C numbers;
# - *excite*: two small dense layers, C to S, ReLU, S to C, sigmoid: a number from 0 to 1 a channel;
# - *scale*: each channel times its number.
#
# ### Exercise 13.1: squeeze, excite, scale
#
# x (N, C, H, W); w1 (S, C), b1 (S,); w2 (C, S), b2 (C,). All NumPy arrays. Give the scaled x.


# %%
def my_squeeze_excitation(x, w1, b1, w2, b2):
    raise NotImplementedError("mean, dense, ReLU, dense, sigmoid; then times x")


minicnn.check(my_squeeze_excitation)

# %% [markdown]
# What one output pixel can see, measured by its gradient: a single 3 × 3 convolution, and the same
# with squeeze-and-excitation behind it. (Colours are on a logarithmic scale; black is 0.)

# %%
from minicnn.models.blocks import SqueezeExcitation

minicnn.manual_seed(1)
layer, attention = nn.Conv2d(4, 4, 3, padding=1), SqueezeExcitation(4, 4)
fig, axes = plt.subplots(1, 2, figsize=(6, 2.8))
fields = []
for ax, net, title in zip(axes, (layer, nn.Sequential(layer, attention)), ("3 x 3", "with SE")):
    x = Tensor(np.random.default_rng(0).normal(size=(1, 4, 15, 15)).astype(np.float32),
               requires_grad=True)  # fmt: skip
    net(x)[0, :, 7, 7].sum().backward()
    moved = np.abs(x.grad.numpy()[0]).sum(axis=0)
    fields.append(int((moved > 0).sum()))
    ax.imshow(np.log10(moved + 1e-6), cmap="magma", vmin=-6, vmax=0)
    ax.set_title(f"{title}: {fields[-1]} pixels", fontsize=10)
    ax.axis("off")
assert fields == [9, 225]
print(inspect.getsource(SqueezeExcitation.forward))

# %% [markdown]
# Faintly, but everywhere. What does it cost? One such block in each of ResNet-50's sixteen, with S
# = C / 16. **On paper:** 2 · C · S weights and C + S biases each, with 3 blocks of 256 channels, 4
# of 512, 6 of 1,024 and 3 of 2,048.

# %%
blocks = {256: 3, 512: 4, 1024: 6, 2048: 3}
extra = sum(n * (2 * C * (C // 16) + C + C // 16) for C, n in blocks.items())
base, se = cost("resnet50"), cost("seresnet50")
print(f"ResNet-50 {base.parameters:,} + {extra:,} = SE-ResNet-50 {se.parameters:,}")
print(f"multiplications: {se.macs / base.macs - 1:+.2%}")
assert base.parameters + extra == se.parameters == 28_088_024

# %% [markdown]
# A tenth more parameters, and next to no work. With it SENet won the last ILSVRC (2017).
#
# ## 5 Everybody is joined to everybody: DenseNet
#
# ResNet *adds* a layer's output to what went before; afterwards nobody can take it apart again.
# DenseNet *lays it beside*. Each layer reads all maps that were made before it, and adds only a few
# new ones (32). In a block of L layers, layer l has l connections to what came before (the block's
# input is the first): L(L + 1)/2 in all.

# %%
from minicnn.models.densenet import DenseBlock

print(inspect.getsource(DenseBlock.forward))
with init.empty():
    block = DenseBlock(6, in_channels=64, growth=32, bottleneck=4, dropout=0.0)
connections = 0
for k, (name, layer) in enumerate(block.children(), 1):
    reads = [64] + [32] * (k - 1)
    assert layer.conv1.in_channels == sum(reads)
    connections += len(reads)
    print(f"{name}: reads {' + '.join(map(str, reads))} = {sum(reads)} channels")
print(f"{connections} connections = 6 · 7 / 2")
assert connections == 6 * 7 // 2 == 21

# %% [markdown]
# No layer has to make again what another has made already. So few channels a layer will do:
# DenseNet-121 has 8 million parameters, a third of ResNet-50's.
#
# **What is said about it:** "a 50-layer DenseNet beats a 152-layer ResNet". Which DenseNets are
# there in the paper? Their layers, counted:

# %%
for name in [n for n in models.names() if n.startswith("densenet")]:
    net = build(name)
    layers = sum(p.ndim > 1 for p in net.parameters())
    print(f"{name}: {layers} layers, {net.num_parameters():,} parameters")
    assert layers == int(name.removeprefix("densenet")) != 50
assert build("densenet121").num_parameters() == 7_978_856

# %% [markdown]
# None of 50 layers. (The paper compares DenseNet-201, 20 million parameters, with a ResNet-101 of
# more than 40 million.) Another sentence of this kind, "Inception-v4 = ResNet + Inception", was
# taken apart in [11](11_inception.ipynb): that is Inception-ResNet; v4 adds nothing at all.

# %%
for name in ("inception_v4", "inception_resnet_v2"):
    adds = sum(row.layer == "add()" for row in summary(name).rows)
    print(f"{name:20} {adds:2} sums")
    assert adds == {"inception_v4": 0, "inception_resnet_v2": 40}[name]

# %% [markdown]
# ## 6 A convolution for a ninth: MobileNet
#
# A convolution of C channels to N does two things at once: it looks at neighbours, and it mixes
# channels. MobileNet does one after the other. *Depthwise*: one k × k filter for each channel, on
# that channel alone (`groups=C`, the third picture above). *Pointwise*: a 1 × 1 convolution mixes
# the channels at each pixel.
#
# ### Exercise 13.2: what it costs
#
# Multiplications of both parts together, for C channels to N, a kernel × kernel filter, H × W
# pixels out. (Without biases.)


# %%
def my_separable_macs(C, N, kernel, H, W):
    raise NotImplementedError("depthwise plus pointwise")


minicnn.check(my_separable_macs)

# %% [markdown]
# The full convolution needs H·W·C·N·k². Divide, and C, H and W drop out: the ratio is **1/N +
# 1/k²**. With many filters 1/N hardly counts: a 3 × 3 costs a ninth.

# %%
C, k = 64, 3
counts = np.array([1, 2, 4, 8, 16, 32, 64, 128, 256, 512])
ratios = []
for N in counts.tolist():
    full = nn.Conv2d(C, N, k, padding=1)
    parts = nn.Sequential(nn.Conv2d(C, C, k, padding=1, groups=C), nn.Conv2d(C, N, 1))
    ratios.append(cost(parts, (C, 14, 14)).macs / cost(full, (C, 14, 14)).macs)
assert np.allclose(ratios, 1 / counts + 1 / k**2)
plt.figure(figsize=(5.4, 2.6))
plt.plot(counts, ratios, "o", color=TEAL, label="counted by minicnn")
plt.plot(counts, 1 / counts + 1 / 9, color=TEAL, lw=0.8, label="1/N + 1/9")
plt.axhline(1 / 9, color="gray", ls=":")
plt.xscale("log", base=2)
plt.xticks(counts, counts)
plt.xlabel("filters N")
plt.title("separable / full, multiplications", fontsize=10)
_ = plt.legend(frameon=False, fontsize=8)

# %% [markdown]
# (With a single filter it is dearer: 1 + 1/9.) And in the whole net? Where does the work go once
# the 3 × 3 filters are that cheap?

# %%
shares = {"1x1": 0, "depthwise": 0, "other": 0}
for row in summary("mobilenet_v1").rows:
    if row.kind.startswith("Conv2d") and row.macs:
        place = "1x1" if "pw" in row.layer else "depthwise" if "dw" in row.layer else "other"
        shares[place] += row.macs
whole = sum(shares.values())
print("MobileNet's multiplications:", {name: f"{m / whole:.1%}" for name, m in shares.items()})
for name, count in (("vgg16", 138_357_544), ("mobilenet_v1", 4_231_976),
                    ("mobilenet_v2", 3_504_872)):  # fmt: skip
    assert cost(name).parameters == count
    print(f"{name:13} {count:11,} parameters {cost(name).macs / 1e9:6.2f}G")

# %% [markdown]
# A warning: multiplications are not seconds. A depthwise convolution does so little with each
# number it fetches that it waits for memory most of the time. (MobileNet v2 turns the bottleneck
# around: narrow outside, wide inside, and the shortcut joins the narrow ends.)
#
# ## 7 A transpose: ShuffleNet
#
# Nearly all work is now in the 1 × 1 convolutions. Then put *them* into groups as well! But one
# grouped layer after another, and a group never hears of the others. ShuffleNet deals the channels
# out anew in between, as one deals cards: the first of each group, then the second of each, ...
#
# ### Exercise 13.3: channel shuffle
#
# x (N, C, H, W), C divisible by `groups`. Write the channels as a table with a row for each group,
# transpose it, read it row by row.


# %%
def my_channel_shuffle(x, groups):
    raise NotImplementedError("reshape, swap two axes, reshape")


minicnn.check(my_channel_shuffle)

# %%
cards = np.arange(12).reshape(1, 12, 1, 1)
print("before", cards.ravel(), " as a table of 3 groups:")
print(cards.reshape(3, 4))
print("after ", F.channel_shuffle(Tensor(cards.astype(np.float32)), 3).numpy().ravel().astype(int))


class Shuffle(nn.Module):
    def forward(self, x):
        return F.channel_shuffle(x, 4)


minicnn.manual_seed(0)
fig, axes = plt.subplots(1, 3, figsize=(8, 2.6))
draw_who(axes[0], conv(1, 4), "one grouped 1 x 1")
draw_who(axes[1], nn.Sequential(conv(1, 4), conv(1, 4)), "two of them")
mixed = nn.Sequential(conv(1, 4), Shuffle(), conv(1, 4))
draw_who(axes[2], mixed, "two, shuffled in between")
assert who_sees_whom(mixed).all()

# %% [markdown]
# With one shuffle everybody hears of everybody, for no multiplication at all.
#
# ## 8 Nets that design nets
#
# So many choices! Zoph and Le let a net make them. A **controller**, a recurrent net, writes an
# architecture word by word: from where, which operation, from where, ... The net it describes is
# trained for a moment, and its accuracy R on images held back is the controller's *reward*.
#
# R is no function that one could differentiate. **REINFORCE** needs no slope of R: make the words
# of a good proposal likelier, those of a bad one less so. With b, the usual reward (a running mean
# of those so far), the loss is −(R − b) · log p(words). The code below adds a little to the loss so
# that the controller keeps trying other words. minicnn's experiment `nas`:

# %%
from minicnn.training.experiments import search
from minicnn.training.experiments.work import Work

print(inspect.getsource(search.Learner.learn))
print(f"words: {list(search.OPERATIONS)}; {int(np.prod(search.CHOICES))} different cells")

# %% [markdown]
# First, what is a cell worth? Three of them, each trained as in the experiment (two epochs on 1,000
# digits of 8 × 8), and scored on 437 others:

# %%
names = list(search.OPERATIONS)


def cell(*nodes):
    """Words of a cell, from (source, operation) pairs."""
    return [word for source, name in nodes for word in (source, names.index(name))]


with tempfile.TemporaryDirectory() as folder:
    work = Work(folder, seed=0)
    for words in (
        cell((0, "identity"), (0, "identity"), (0, "max pool 3x3")),
        cell((0, "conv 1x1"), (1, "conv 1x1"), (2, "conv 1x1")),
        cell((0, "conv 3x3"), (1, "conv 3x3"), (2, "identity")),
    ):
        print(f"{search.reward(work, words):6.1%}  {search.describe(words)}")

# %% [markdown]
# Then the search. A hundred proposals and their trainings, three times, and as many random ones
# beside them, take six minutes of processor time. So here are the stored results, with the machine
# they come from. `minicnn experiment nas` does it again.

# %%
from minicnn.training import experiments

nas, results = experiments.load("nas"), experiments.committed("nas")
print(experiments.results.table(nas, results))
print(experiments.results.circumstances(results))
figure = plt.figure(figsize=(9, 3), layout="constrained")
nas.draw(results, figure)

# %% [markdown]
# Lines are means of the three seeds, bands reach from the lowest seed to the highest. Left, the
# rewards: the controller begins like chance, and learns. Right, what counts in the end, the best
# cell so far: chance is not bad at all! The claims, as the results bear them out:

# %%
for claim in nas.claims(results):
    print("yes" if claim.holds else "NO ", claim.text)
assert all(claim.holds for claim in nas.claims(results)[:3])
best = max(results.runs, key=lambda run: run["best"])
print(f"\nbest cell, by {best['variant']}: {best['cell']}")

# %% [markdown]
# Random search is the honest rival. On the best cell alone the controller's lead is a point, on a
# space of 750 cells. Later papers found the same on large spaces: much of the gain is in the
# *space*, which people had designed. To read: **NASNet** (Zoph and others, 2018: search a small
# cell, stack it by hand; hundreds of GPUs for days), **AmoebaNet** (Real and others, 2019:
# evolution in place of a controller), **ENAS** (Pham and others, 2018: all proposals share their
# weights, a thousand times cheaper).
#
# ## 9 Grow in all directions: EfficientNet
#
# You have a good small net and may spend twice the work. More layers, more channels, or larger
# images? Tan and Le: all three, in fixed proportion. Depth × 1.2, width × 1.1, resolution × 1.15.
# **On paper:** work grows with depth, with the *square* of width and of resolution. How much is
# that for one step?

# %%
from minicnn.models.efficientnet import compound_scale

depth, width, resolution = compound_scale(1)
print(f"{depth} · {width}² · {resolution}² = {depth * width**2 * resolution**2:.3f}")
assert round(depth * width**2 * resolution**2, 2) == 1.92

# %%
sizes = [f"efficientnet_b{k}" for k in range(8)]
found = [cost(name) for name in sizes]
print("     pixels   parameters   multiplications")
for k, (name, c) in enumerate(zip(sizes, found)):
    print(f"B{k}   {models.info(name).input_shape[1]:6} {c.parameters:12,} {c.macs / 1e9:12.2f}G")
assert (found[0].parameters, found[7].parameters) == (5_288_548, 66_347_960)

plt.figure(figsize=(5.4, 2.6))
plt.semilogy(range(8), [c.macs / 1e9 for c in found], "o-", color=TEAL, label="B0 to B7, counted")
rule = [found[0].macs / 1e9 * 1.92**k for k in range(8)]
plt.semilogy(range(8), rule, color="gray", ls=":", label="B0 times 1.92 for each step")
plt.xlabel("step")
plt.title("multiplications, thousand millions", fontsize=10)
_ = plt.legend(frameon=False, fontsize=8)

# %% [markdown]
# "About 2" is 1.92, as counted. From B0 to B7 the rule would give 1.92⁷ = 96 times the work; the
# published sizes are rounded by hand and come to just about that.
#
# ### Published results
#
# Not measured here.
#
# | [P] net | top-1, ImageNet validation | how, from where |
# |---|---|---|
# | ResNet-50 (2015) | 76.1% | one net, one crop; torchvision's weights |
# | ResNeXt-50 32x4d (2016) | 77.6% | the same |
# | DenseNet-121 (2016) | 74.4% | the same |
# | SE-ResNet-50 (2017) | 76.7% | the paper's table, one crop |
# | MobileNet v1 (2017) | 70.6% | the paper's table 4 |
# | MobileNet v2 (2018) | 71.9% | torchvision's weights |
# | EfficientNet-B0, B7 (2019) | 77.7%, 84.1% | torchvision's weights, 224 and 600 pixels |
#
# ## What you have seen
#
# - Pre-activation clears the way: x plus a sum of corrections.
# - Width costs its square, and runs in fewer, larger steps.
# - Equal paths with common ends are one grouped convolution.
# - Squeeze-and-excitation: every channel scaled by what the whole image holds.
# - DenseNet: L(L + 1)/2 connections, few channels a layer.
# - Separable: 1/N + 1/k² of the cost. A shuffle is a transpose.
# - A controller learns from rewards alone; random search is hard to beat.
#
# **Next:** [14 Transfer learning](14_transfer_learning.ipynb): what to do with only 500 photos.
#
# **To read:** He and others, "Identity mappings in deep residual networks", 2016; Zagoruyko and
# Komodakis, "Wide residual networks", 2016; Xie and others, "Aggregated residual transformations",
# 2016; Hu, Shen, Sun, "Squeeze-and-excitation networks", 2017; Huang and others, "Densely connected
# convolutional networks", 2016; Howard and others, "MobileNets", 2017; Zhang and others,
# "ShuffleNet", 2017; Zoph and Le, "Neural architecture search with reinforcement learning", 2017;
# Li and Talwalkar, "Random search and reproducibility", 2019; Tan and Le, "EfficientNet", 2019.
