# %% [markdown]
# # 11 Inception and the 1 × 1 convolution
#
# Which filter should a layer have, 1 × 1, 3 × 3 or 5 × 5? GoogLeNet's answer of 2014 was: all of
# them, side by side, and let the training choose. Done naively that is ruinous. What saved it is
# the silliest filter of all, the one that sees a single pixel.
#
# **You will** join paths of different filters into one volume; count why the naive module cannot be
# stacked; squeeze it with 1 × 1 convolutions; and check half a dozen printed claims about
# GoogLeNet, most of which do not survive.
#
# **You need** [02](02_convolution.ipynb) and [07](07_vgg16.ipynb). No function to write, but four
# questions to answer on paper; twenty minutes.

# %%
import inspect

import matplotlib.pyplot as plt
import numpy as np

import minicnn
from minicnn import Tensor, models, nn
from minicnn.analysis import cost, summary
from minicnn.models.googlenet import Inception, NaiveInception
from minicnn.nn import init

# %% [markdown]
# ## 1 All at once
#
# Four paths get the same input: 1 × 1, 3 × 3 and 5 × 5 filters, and a max pooling of 3 × 3 with
# stride 1. With "same" padding all give the same H and W. So their maps can be laid on each other
# like sheets of paper (`cat` along the channels).
#
# Take a volume of 28 × 28 × 256, and 128, 192 and 96 filters. **On paper:** how many channels come
# out? How many multiplications does the 5 × 5 path need? (Pixels × filters × 25 × 256.)


# %%
def module(C, naive=True, H=28):
    """Summary of one module on H x H x C."""
    with init.empty():
        net = NaiveInception(C, 128, 192, 96) if naive else Inception(C, 128, 64, 192, 64, 96, 64)
        return summary(net, (C, H, H))


naive = module(256)
print(naive)
assert naive.rows[-1].shape == (128 + 192 + 96 + 256, 28, 28)
assert naive.cost.macs == 854_196_224

# %% [markdown]
# 128 + 192 + 96 + 256 = 672 channels, and 854 million multiplications for one module. The real
# code, the paths and how they are joined:

# %%
from minicnn.models.blocks import Branches

print(inspect.getsource(NaiveInception.__init__))
print(inspect.getsource(Branches.forward))

# %% [markdown]
# **Count the values, too.** A lecture says the output has "529k" of them. That is a slip: 28 · 28 ·
# 672, rounded, is 527k.

# %%
C, H, W = naive.rows[-1].shape
print(f"{H} x {W} x {C} = {H * W * C:,}; as printed 529,000")
assert H * W * C == 526_848

# %% [markdown]
# ## 2 Why it cannot be stacked
#
# The pooling path has no filters. It hands on as many channels as it gets. So the depth can only
# grow, module by module, whatever you do, and the price grows with it:

# %%
C, history = 256, []
for _ in range(6):
    found = module(C)
    history.append((C, found.cost.macs / 1e9))
    C = found.rows[-1].shape[0]
for k, (channels, macs) in enumerate(history):
    bar = "#" * round(8 * macs)
    print(f"module {k + 1}: {channels:5,} channels in, {macs:5.2f}G multiplications {bar}")
assert [c for c, _ in history[:3]] == [256, 672, 1_088]

# %% [markdown]
# ## 3 The bottleneck
#
# A 1 × 1 convolution is a small dense layer at each pixel ([02](02_convolution.ipynb)): it keeps H
# and W and sets the depth. So put one with 64 filters *before* the 3 × 3 and the 5 × 5, and one
# *behind* the pooling. **On paper:** channels out? Multiplications of the 5 × 5 path now?

# %%
lean = module(256, naive=False)
print(lean)
assert lean.rows[-1].shape[0] == 128 + 192 + 96 + 64 == 480
assert lean.cost.macs == 271_351_808

# %% [markdown]
# 480 channels and 271 million, a third. Path by path:

# %%
big, small = 28 * 28 * 256, 28 * 28 * 64
paths = {
    "1x1": (big * 128, big * 128),
    "3x3": (big * 9 * 192, big * 64 + small * 9 * 192),
    "5x5": (big * 25 * 96, big * 64 + small * 25 * 96),
    "pooling": (0, big * 64),
}
for k, (name, (before, after)) in enumerate(paths.items()):
    plt.barh(k - 0.2, before / 1e6, 0.38, color="#c9cdd2", label="naive" if not k else None)
    plt.barh(k + 0.2, after / 1e6, 0.38, color="#0f766e", label="with 1x1" if not k else None)
    print(f"{name:8} {before:12,} -> {after:12,}")
print(f"{'all':8} {sum(b for b, _ in paths.values()):12,} -> "
      f"{sum(a for _, a in paths.values()):12,}")  # fmt: skip
plt.yticks(range(4), paths)
plt.gca().invert_yaxis()
plt.gcf().set_size_inches(6, 2.6)
plt.title("millions of multiplications", fontsize=10)
_ = plt.legend(frameon=False)
assert sum(a for _, a in paths.values()) == lean.cost.macs

# %% [markdown]
# **A printed sum that counts twice.** The lecture gives 358 million for the lean module. Take the
# true sum, add the 3 × 3 product a second time, and there it is:

# %%
twice = cost(nn.Conv2d(64, 192, 3, padding=1), (64, 28, 28)).macs
print(f"3x3 product {twice:,}; true sum plus that: {(lean.cost.macs + twice) / 1e6:.0f} million")
assert twice == 86_704_128 and round((lean.cost.macs + twice) / 1e6) == 358

# %% [markdown]
# Is nothing lost? 256 numbers at each pixel are squeezed into 64. If they are alike (neighbouring
# filters often are) little is lost; and with the ReLU behind it, the squeeze is one more layer that
# learns. A test of what a squeeze *can* keep: mix 8 real signals into 256 channels. Then 8 filters
# of 1 × 1 hold everything.

# %%
rng = np.random.default_rng(0)
signals, mixing = rng.normal(size=(8, 14 * 14)), rng.normal(size=(256, 8))
x = Tensor((mixing @ signals).reshape(1, 256, 14, 14))
squeeze = Tensor(np.linalg.pinv(mixing)[:, :, None, None])  # (8, 256, 1, 1)
expand = Tensor(mixing[:, :, None, None])  # (256, 8, 1, 1)
F = minicnn.functional
back = F.conv2d(F.conv2d(x, squeeze), expand).numpy()
print("256 -> 8 -> 256 channels, largest error:", f"{np.abs(back - x.numpy()).max():.1e}")

# %% [markdown]
# ## 4 GoogLeNet, and what is said about it
#
# Nine modules, and at the end no large dense layer but a global average pooling: one number for
# each of 1,024 maps, and one dense layer from there to the classes. (Two small heads help in
# training only. In the paper the third path has 5 × 5 filters, as here; torchvision's weights have
# 3 × 3.)

# %%
print(summary("googlenet_2014", depth=1))

# %%
with init.empty():
    net = models.build("googlenet_2014", aux_logits=False)
    heads = models.build("googlenet_2014").num_parameters()
    alexnet, vgg = (models.build(name).num_parameters() for name in ("alexnet_2012", "vgg16"))
parts = [m for _, m in net.named_modules()]
inner = [m for i in parts if isinstance(i, Inception) for _, m in i.named_modules()]
modules = sum(isinstance(m, Inception) for m in parts)
stem = sum(isinstance(m, nn.Conv2d) for m in parts) - sum(isinstance(m, nn.Conv2d) for m in inner)
dense = sum(isinstance(m, nn.Linear) for m in parts)
layers = stem + 2 * modules + dense
print(f"parameters {net.num_parameters():,}; without the dense layer "
      f"{net.num_parameters() - net.fc.num_parameters():,}; with both heads {heads:,}")
print(f"layers with weights on the longest way: {stem} + 2 x {modules} + {dense} = {layers}")
assert (net.num_parameters(), heads, layers) == (6_998_552, 13_378_280, 22)

# %% [markdown]
# Now the claims you will meet in print, beside what was just counted:

# %%
count = net.num_parameters()
for claim, counted in (
    ('"5 million", "4 million" parameters', f"{count / 1e6:.1f} million"),
    ('"12 times fewer than AlexNet"', f"{alexnet / count:.1f} times"),
    ('"27 times fewer than VGG-16"', f"{vgg / count:.1f} times"),
    ('"28 layers"', f"{layers} with weights"),
    ('"no fully connected layers"', f"{dense}, the last one"),
):
    print(f"{claim:38} {counted}")

# %% [markdown]
# Why do they differ? With 5 million, 12 times is right, AlexNet's 61 million / 5, and so is 27,
# VGG-16's 138 million / 5. So one round figure, once printed, made the others. As to the layers:
# the paper says 22 with weights, or 27 with the poolings. And it took away the *large* dense
# layers, not the last one.
#
# Another one: "Inception-v4 = ResNet + Inception". That is *Inception-ResNet*. Version 4 has no
# shortcut at all; count the additions:

# %%
for name in ("inception_v4", "inception_resnet_v2"):
    adds = sum(row.layer == "add()" for row in summary(name).rows)
    print(f"{name:20} {adds:2} additions of a shortcut")

# %% [markdown]
# ### Published results
#
# | [P] net | top-5 error, ILSVRC | how |
# |---|---|---|
# | VGG (2014) | 7.3% | several nets, challenge |
# | GoogLeNet (2014) | 6.7% | seven nets, challenge |
#
# ## What you have seen
#
# - Paths side by side, joined along the channels.
# - Pooling hands on all its channels, so the naive module can only grow: 256, 672, 1,088.
# - 1 × 1 convolutions before the costly filters: 854 to 271 million multiplications.
# - 6,998,552 parameters, because there is no large dense layer.
#
# **Next:** [12 ResNet](12_resnet.ipynb), which made depth itself harmless.
#
# **To read:** Lin, Chen, Yan, "Network in network", 2013 (1 × 1, global average pooling); Szegedy
# et al., "Going deeper with convolutions", 2014.
