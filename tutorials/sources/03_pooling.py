# %% [markdown]
# # 03 Pooling and invariance
#
# A filter that has found an edge says *where*, to the pixel. Mostly we would rather know that there
# is an edge *about here*. Pooling forgets the exact place, on purpose: it makes one number of each
# small window, and the image four times smaller.
#
# **You will** pool by hand and in code; follow a gradient through a maximum; measure what a shift
# does before and after pooling; and hear the case against it.
#
# **You need** [02](02_convolution.ipynb). Three exercises; half an hour.

# %%
import inspect

import matplotlib.pyplot as plt
import numpy as np

import minicnn
from minicnn import Tensor
from minicnn import functional as F
from minicnn.plots import show

# %% [markdown]
# ## 1 Four numbers become one
#
# Cut the image into windows of 2 × 2 that do not overlap (kernel 2, stride 2). Max pooling keeps
# the largest number of each, average pooling their mean. Work it out on paper before you run the
# cell.

# %%
x = np.array([[1, 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 2, 3, 4]], np.float64)
largest = F.max_pool2d(Tensor(x[None, None]), 2, 2).numpy()[0, 0]
mean = F.avg_pool2d(Tensor(x[None, None]), 2, 2).numpy()[0, 0]
show(x, largest, mean, titles=["x", "max pooling", "average pooling"], scale=2)
assert (largest == [[6, 8], [3, 4]]).all() and (mean == [[3.25, 5.25], [2, 2]]).all()

# %% [markdown]
# There is nothing to learn in it: no weights. And no channel looks at another one. Pooling makes H
# and W smaller and leaves N and C alone:

# %%
batch = Tensor(np.random.default_rng(0).normal(size=(8, 64, 28, 28)).astype(np.float32))
pooled = F.max_pool2d(batch, 2)
print(batch.shape, "->", pooled.shape, " numbers left:", pooled.size / batch.size)
alone = F.max_pool2d(batch[:, 5:6], 2).numpy()
print("channel 5 pooled alone is the same:", np.array_equal(alone, pooled.numpy()[:, 5:6]))

# %% [markdown]
# The definition as plain loops, in minicnn:

# %%
from minicnn.backends.loops.pooling import MaxPool2d as LoopMaxPool2d

print(inspect.getsource(LoopMaxPool2d.forward))

# %% [markdown]
# ### Exercise 3.1: max pooling
#
# `kernel_size` is a number, or a pair (KH, KW); `stride` likewise, and windows may overlap. Sizes
# need not fit: what is left over at the end is not looked at, as in a convolution.


# %%
def my_max_pool2d(x, kernel_size, stride):
    raise NotImplementedError("the largest number of each window")


minicnn.check(my_max_pool2d)

# %% [markdown]
# ### Exercise 3.2: average pooling
#
# The same windows, another number.


# %%
def my_avg_pool2d(x, kernel_size, stride):
    raise NotImplementedError("the mean of each window")


minicnn.check(my_avg_pool2d)

# %% [markdown]
# ## 2 Where does the gradient go?
#
# Training asks of each number: if you had been a little larger, what would have come out? For a
# maximum the answer is simple. The largest number of the window counts in full, and the others
# count for nothing, because the maximum does not notice them. So the gradient goes to the winner
# alone. In an average, all share it evenly.

# %%
dy = np.array([[1.0, 2.0], [3.0, 4.0]])
gradients = []
for pool in (F.max_pool2d, F.avg_pool2d):
    t = Tensor(x[None, None], requires_grad=True)
    pool(t, 2, 2).backward(dy[None, None])
    gradients.append(t.grad.numpy()[0, 0])
show(dy, *gradients, titles=["dy arrives", "max: to the winners", "average: shared"], scale=2)

# %% [markdown]
# **Windows that overlap.** With kernel 3 and stride 2 (as in AlexNet) one number can win in several
# windows. Then it gets the sum of their gradients. A library that writes `=` where it should write
# `+=` is wrong here and right everywhere else; that mistake has been shipped more than once.

# %%
peak = np.zeros((5, 5))
peak[2, 2] = 9
t = Tensor(peak[None, None], requires_grad=True)
y = F.max_pool2d(t, 3, 2)
y.backward(np.array([[[[1.0, 10], [100, 1000]]]]))
show(peak, y.numpy()[0, 0], t.grad.numpy()[0, 0], scale=2, same=False,
     titles=["x", "it wins all four windows", "dx: 1 + 10 + 100 + 1000"])  # fmt: skip
assert t.grad.numpy()[0, 0, 2, 2] == 1111

# %% [markdown]
# And if two numbers of a window are equally large? Somebody has to win. minicnn takes the first one
# in reading order, as PyTorch does. Here is the real code, `forward` directly above `backward`:

# %%
from minicnn.ops.pooling import MaxPool2d

print(inspect.getsource(MaxPool2d.forward))
print(inspect.getsource(MaxPool2d.backward))

# %% [markdown]
# ### Exercise 3.3: backward
#
# `dy` has the shape of the output; give `dx` in the shape of `x`.


# %%
def my_max_pool2d_backward(dy, x, kernel_size, stride):
    raise NotImplementedError("dy of each window goes to its first maximum, and adds up there")


minicnn.check(my_max_pool2d_backward)

# %% [markdown]
# ## 3 What a shift does
#
# In [01](01_images.ipynb) a shift of a few pixels turned an image into a stranger. Now look at a
# feature map, the answers of an edge filter. Shift the digit by one pixel, and compare: how much of
# the map has changed, and how much of the pooled map?

# %%
digits = minicnn.data.load("digits", "test", size=28).images[:, 0] / 255.0
edge = np.array([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]])


def feature_map(images):
    """The answers (H, W) of an edge filter to each image, after ReLU."""
    return F.relu(F.conv2d(Tensor(images[:, None]), Tensor(edge[None, None]), padding=1))


def change(a, b):
    """The size of the difference, as a share of the size of a."""
    return np.linalg.norm(a.numpy() - b.numpy()) / np.linalg.norm(a.numpy())


moved = np.roll(digits, 1, axis=2)
here, there = feature_map(digits), feature_map(moved)
k = 4
pooled, pooled_there = F.max_pool2d(here, 4), F.max_pool2d(there, 4)
show(digits[k], here.numpy()[k, 0], there.numpy()[k, 0], pooled.numpy()[k, 0],
     pooled_there.numpy()[k, 0], same=False, numbers=False, scale=1.9,
     titles=["digit", "map", "map of the shifted", "pooled 4 x 4", "pooled, shifted"])  # fmt: skip
print(f"all 360 digits: map changes by {change(here, there):.0%}, "
      f"pooled map by {change(pooled, pooled_there):.0%}")  # fmt: skip
assert change(pooled, pooled_there) < change(here, there)

# %% [markdown]
# Which shifts are forgiven depends on the window. Let us measure it:

# %%
kernels, shifts = (1, 2, 4, 7, 14), (1, 2, 3, 4)
plt.figure(figsize=(5.4, 3))
for s, mark, color in zip(shifts, "os^D", ("#7fb5ae", "#0f766e", "#c2570c", "#2166ac")):
    there = feature_map(np.roll(digits, s, axis=2))
    changes = [change(F.max_pool2d(here, k), F.max_pool2d(there, k)) for k in kernels]
    plt.plot(range(len(kernels)), changes, f"{mark}-", color=color,
             label=f"{s} pixel{'s' * (s > 1)}")
    print(f"shift {s}:", "  ".join(f"{k}x{k} {c:4.0%}" for k, c in zip(kernels, changes)))
plt.xticks(range(len(kernels)), ["no pooling", *(f"{k} x {k}" for k in kernels[1:])])
plt.xlabel("window of the max pooling")
plt.title("how much a shift changes the map, as a share of its size", fontsize=10)
plt.legend(frameon=False)
_ = plt.ylim(bottom=0)

# %% [markdown]
# Larger windows forgive more, and know less: at 14 × 14 four numbers are left of a map. Networks
# take small steps instead, 2 × 2 after every one or two convolutions.
#
# But "invariant" it is not. Move an image by one pixel, and a number may move to the next window.
# The change is smaller, it is not zero. For a stack of such layers it may even be large now and
# then, since a stride skips places: Zhang (2019) mends that by blurring before the stride.
#
# **Exactly** invariant is only the pooling over the whole map. *Global average pooling* makes one
# number of each map, wherever in it something was found. GoogLeNet and ResNet end with it, and that
# is why they accept images of any size.

# %%
padded = np.pad(digits, ((0, 0), (6, 6), (6, 6)))  # so that nothing leaves the image
before = F.adaptive_avg_pool2d(feature_map(padded), 1)
after = F.adaptive_avg_pool2d(feature_map(np.roll(padded, (3, -4), axis=(1, 2))), 1)
print(f"global average pooling, shift by (3, -4): change {change(before, after):.1e}")

# %% [markdown]
# ## 4 The case against pooling
#
# Two objections are worth knowing.
#
# **A convolution with stride 2 shrinks the map, too**, and can learn how. With one filter for each
# channel, all of whose weights are 1/4, it *is* average pooling; nobody says it must stay that.
# ("Striving for simplicity", Springenberg et al. 2014, replaced every pooling and lost nothing;
# ResNet pools only at its start and its end.)

# %%
batch = Tensor(np.random.default_rng(0).normal(size=(2, 8, 6, 6)))
quarter = Tensor(np.full((8, 1, 2, 2), 1 / 4))
strided = F.conv2d(batch, quarter, stride=2, groups=8).numpy()
print("strided convolution = average pooling:",
      np.allclose(strided, F.avg_pool2d(batch, 2).numpy()))  # fmt: skip

# %% [markdown]
# **Pooling throws away where things are.** A face with its mouth above its eyes has the same parts.
# Hinton called it a disaster that pooling works so well, and with Sabour and Frosst (2017) built
# *capsules*: groups of units that keep an object's pose, and vote on what they see together.
# minicnn has that net as well ([17](17_beyond_images.ipynb) trains a small one):

# %%
from minicnn.analysis import summary

rows = summary("capsnet", depth=1).rows
for row in rows:
    if row.layer in ("conv", "primary", "digits"):
        print(f"{row.layer:8} {row.kind:14} {'×'.join(map(str, row.shape)):10} "
              f"{row.parameters:9,} parameters")  # fmt: skip
print("poolings in it:", sum("Pool" in row.kind for row in rows))

# %% [markdown]
# A small proof of the loss: shuffle the windows of a map, so that the picture becomes nonsense.
# Global pooling cannot tell.

# %%
rng = np.random.default_rng(1)
picture = digits[k]
tiles = picture.reshape(4, 7, 4, 7).transpose(0, 2, 1, 3).reshape(16, 7, 7)[rng.permutation(16)]
nonsense = tiles.reshape(4, 4, 7, 7).transpose(0, 2, 1, 3).reshape(28, 28)
show(picture, nonsense, cmap="gray_r", scale=2, titles=["digit", "its windows, shuffled"])
print("largest pixel:", picture.max(), nonsense.max(),
      "  mean:", round(picture.mean(), 12), round(nonsense.mean(), 12))  # fmt: skip

# %% [markdown]
# ## What you have seen
#
# - Pooling makes one number of each window, channel by channel; it learns nothing.
# - The gradient of a maximum goes to the winner; windows that overlap add theirs up.
# - A shift changes a pooled map less than the map: forgiving, not blind. Global pooling is blind.
# - A strided convolution can take its place, and capsules argue against it.
#
# **Next:** [04 Autograd from scratch](04_autograd.ipynb): where gradients come from.
#
# **To read:** Springenberg et al., "Striving for simplicity: the all convolutional net", 2014;
# Sabour, Frosst, Hinton, "Dynamic routing between capsules", 2017; Zhang, "Making convolutional
# networks shift-invariant again", 2019.
