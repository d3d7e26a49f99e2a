# %% [markdown]
# # 02 Convolution: edges, stride, padding, sizes
#
# One small filter slides over the whole image and asks the same question everywhere. That is all a
# convolution is, and it is most of what a convolutional network does.
#
# **You will** find edges with nine numbers; write a convolution and have it marked; work out every
# size in a network on paper; see what padding does to the border; and count the weights that
# sharing saves.
#
# **You need** [01](01_images.ipynb). Two exercises; half an hour.

# %%
import inspect

import matplotlib.cbook
import matplotlib.pyplot as plt
import numpy as np

import minicnn
from minicnn import Tensor, nn
from minicnn import functional as F
from minicnn.plots import show


def convolve(image, kernel, **settings):
    """One image (H, W) with one filter (KH, KW), by minicnn: (OH, OW)."""
    x, w = (np.asarray(a, np.float64)[None, None] for a in (image, kernel))
    return F.conv2d(Tensor(x), Tensor(w), **settings).numpy()[0, 0]


# %% [markdown]
# ## 1 Nine numbers that find an edge
#
# An image of 6 × 6 pixels, bright on the left, dark on the right. Where is the edge? You see it at
# once. Here is a filter that sees it, too: left column 1, right column -1. On even ground, bright
# or dark, left and right cancel. On the edge they do not.

# %%
image = np.zeros((6, 6))
image[:, :3] = 10
vertical = np.array([[1, 0, -1], [1, 0, -1], [1, 0, -1]])
answers = convolve(image, vertical)
show(image, vertical, answers, titles=["image", "filter", "answers"], same=False, scale=2.2)
assert (answers == [0, 30, 30, 0]).all()

# %% [markdown]
# Every row of the answers is 0, 30, 30, 0: the edge is found, two pixels wide because the filter is
# three wide. Take one answer apart: the window it looked at, the filter, the nine products.

# %%
i, j = 2, 1
window = image[i : i + 3, j : j + 3]
show(window, vertical, window * vertical, titles=["window", "× filter", "= products"],
     same=False, scale=1.8)  # fmt: skip
print("sum of the products:", (window * vertical).sum(), " answer:", answers[i, j])

# %% [markdown]
# Turn the filter (transpose it), and it finds horizontal edges. And an edge from dark to bright
# gives the opposite sign: filters tell *which way* the brightness falls.

# %%
thirds = np.repeat([[10, 10, 0, 0, 10, 10]], 6, axis=0)
show(image.T, vertical.T, convolve(image.T, vertical.T), thirds, convolve(thirds, vertical),
     titles=["image", "filter", "answers", "bright, dark, bright", "vertical edges"],
     same=False, scale=1.9)  # fmt: skip
assert (convolve(image.T, vertical.T).T == [0, 30, 30, 0]).all()
assert (convolve(thirds, vertical) == [30, 30, -30, -30]).all()

# %% [markdown]
# **A printed explanation that is wrong.** One text explains its 30 as "20 - (-10)",
# beside a "10 - 10 = 0" for the window on even ground. Add up the columns: in the window at the
# edge the left column sums to 30 and the right one to 0, so the answer is 30 - 0. For the text's
# numbers the right side would have to sum to -10, and no pixel is negative. If the sums were 20 and
# 10, the answer would be 10.

# %%
left, right = window[:, 0].sum(), window[:, 2].sum()
print(f"at the edge:    left {left:.0f} - right {right:.0f} = {left - right:.0f}")
print("as printed:     20 - (-10) =", 20 - -10, "  needs a right side of -10")
print("sums 20 and 10: 20 - 10    =", 20 - 10)

# %% [markdown]
# ## 2 The definition
#
# For an image x (N, C, H, W) and O filters w (O, C, KH, KW), with a bias b for each filter:
#
# $$y_{n,o,i,j} = b_o + \sum_{c,u,v} x_{n,\,c,\,i+u,\,j+v}\; w_{o,c,u,v}$$
#
# In words: at each place (i, j), for each filter o, multiply the window by the filter, all channels
# of it, and add up. minicnn has this definition as plain loops. Nobody can misread them:

# %%
from minicnn.backends.loops.conv import Conv2d as LoopConv2d

print(inspect.getsource(LoopConv2d.forward))

# %% [markdown]
# **Is that the mathematician's convolution?** No. Theirs turns the filter by 180° first. What
# networks compute is called *cross-correlation*. Since the filter is learnt, it does not matter
# which of the two it is: it would be learnt the other way round. But when you compare with SciPy or
# with a textbook, it does.

# %%
from numpy import convolve as mathematicians

signal, kernel = np.array([1.0, 4, 2, 0, 3]), np.array([1.0, 0, -2])
ours = convolve(signal[None], kernel[None])[0]
print("as in networks:    ", ours)
print("mathematician's:   ", mathematicians(signal, kernel, "valid"))
print("ours, filter turned:", convolve(signal[None], kernel[None, ::-1])[0])

# %% [markdown]
# ### Exercise 2.1: your own convolution
#
# Fill in `my_conv2d`. Loops are fine, speed does not matter here. `stride` and `padding` come in
# section 4: begin with what you know and leave those two arguments out (the check then tries only
# what your function takes), and add them later.


# %%
def my_conv2d(x, w, b):
    raise NotImplementedError("a window, a filter, a sum: for every n, o, i, j")


minicnn.check(my_conv2d)

# %% [markdown]
# ## 3 Sobel: both directions
#
# The Sobel pair is the classic: like the filter above, but the middle row counts twice, which makes
# it calmer. One finds changes from left to right (gx), its transpose changes from top to bottom
# (gy). Together they are an arrow at each pixel: its length √(gx² + gy²) says how strong the edge
# is, its angle which way it faces.

# %%
photo = plt.imread(matplotlib.cbook.get_sample_data("grace_hopper.jpg"))[:360:2, 60:420:2]
grey = photo @ np.array([0.299, 0.587, 0.114]) / 255
sobel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
gx, gy = convolve(grey, sobel), convolve(grey, sobel.T)
magnitude, angle = np.hypot(gx, gy), np.degrees(np.arctan2(gy, gx))
show(gx, gy, magnitude, titles=["gx", "gy", "magnitude"], scale=3, same=False)
star = slice(30, 58), slice(12, 40)  # a part of the flag
rows, columns = np.nonzero(magnitude[star] > 0.6)
plt.figure(figsize=(3.6, 3.8))
plt.imshow(grey[1:-1, 1:-1][star], cmap="gray", vmin=-0.6, vmax=1)
plt.quiver(columns, rows, gx[star][rows, columns], gy[star][rows, columns], color="#c2570c",
           angles="xy", scale=45, width=0.006)  # fmt: skip
plt.title("a star of the flag: arrows from dark to\nbright, longer where the edge is stronger",
          fontsize=9)  # fmt: skip
_ = plt.axis("off")
i, j = np.unravel_index(magnitude.argmax(), magnitude.shape)
print(f"strongest, at ({i}, {j}): magnitude {magnitude[i, j]:.2f}, angle {angle[i, j]:.0f} degrees "
      "(0: to the right, 90: down)")  # fmt: skip

# %% [markdown]
# Nobody told these eighteen numbers about faces. In a network, nobody tells the filters anything:
# it learns them. Nets that are trained on photos learn edges like these in their first layer
# ([14](14_transfer_learning.ipynb) shows one's).
#
# ## 4 Sizes: stride and padding
#
# A filter of F pixels fits into W pixels W - F + 1 times. With **padding** P, the image first gets
# P pixels more on each side. With **stride** S, the filter moves S pixels at a time. Together:
#
# $$W' = \left\lfloor \frac{W - F + 2P}{S} \right\rfloor + 1$$


# %%
def size(W, F, S=1, P=0):
    return (W - F + 2 * P) // S + 1


print("6 by 3, and again by 3:", size(6, 3), "->", size(size(6, 3), 3))
for F_ in (1, 3, 5, 7):
    print(f"{F_} x {F_} with padding {(F_ - 1) // 2}: 28 stays", size(28, F_, P=(F_ - 1) // 2))
assert all(size(28, k, P=(k - 1) // 2) == 28 for k in (1, 3, 5, 7))

# %% [markdown]
# So without padding an image shrinks with every layer, and "same" padding, (F - 1)/2 for an odd F
# and stride 1, keeps its size.
#
# **When the stride does not fit.** 4 pixels, a filter of 3 and a stride of 2: (4 - 3)/2 + 1 = 1.5.
# All frameworks round down, and the pixels that are left over are *never looked at*. No error, no
# warning. The picture shows how often each pixel was read.


# %%
def times_read(H, F, S):
    """How often each pixel of an H x H image is read by an F x F filter with stride S."""
    x = Tensor(np.zeros((1, 1, H, H)), requires_grad=True)
    F_ones = Tensor(np.ones((1, 1, F, F)))
    minicnn.functional.conv2d(x, F_ones, stride=S).sum().backward()
    return x.grad.numpy()[0, 0]  # each reading adds 1 to the pixel's gradient


cases = [(4, 3, 2), (5, 2, 2), (7, 3, 2)]
show(*[times_read(*case) for case in cases], scale=2.2, same=False,
     titles=[f"{H} x {H}, filter {F}, stride {S}" for H, F, S in cases])  # fmt: skip
for H, k, S in cases:
    used = (size(H, k, S) - 1) * S + k
    print(f"{H} by {k}, stride {S}: places: {size(H, k, S)}; cut off at the end: {H - used}")

# %% [markdown]
# In the first picture a whole row and a whole column are 0. In the last one everything is read, and
# where windows overlap a pixel is read twice or even four times.
#
# ### Exercise 2.2: the size calculator
#
# Return W' by the formula above: a whole number, rounded down where the stride does not fit.


# %%
def my_output_size(size, kernel, stride=1, padding=0):
    raise NotImplementedError("W' by the formula, rounded down")


minicnn.check(my_output_size)

# %% [markdown]
# ## 5 What does the border see?
#
# With padding, the windows at the border look over the edge. At what? Zeros are usual. Repeating
# the edge is another choice. Take a plain white image and a filter that averages. A good answer
# would be white everywhere:

# %%
white, average = np.ones((6, 6)), np.full((3, 3), 1 / 9)
zeros = convolve(white, average, padding=1)
edge = convolve(white, average, padding=1, padding_mode="replicate")
x, w = Tensor(white[None, None]), Tensor(average[None, None])
partial = F.partial_conv2d(x, w, padding=1).numpy()[0, 0]
show(zeros, edge, partial, titles=["zeros", "edge repeated", "partial convolution"], scale=2.3)

# %% [markdown]
# With zeros the border grows dark. That has a second reading: to pad with zeros is **exactly** to
# shrink the filter at the border, to the cells that lie inside. Zeros add nothing to a sum.
#
# *Partial convolution* shrinks it as well, and then scales up by (cells of the filter) / (cells
# inside): at a corner 9/4. The white image stays white. So the two differ, and only at the border:


# %%
def shrunk(image, kernel, rescale=False):
    """Windows cut at the border, filters cut with them."""
    (H, W), (KH, KW) = image.shape, kernel.shape
    y = np.zeros((H, W))
    for i, j in np.ndindex(H, W):
        cells = [(u, v) for u, v in np.ndindex(KH, KW)
                 if 0 <= i + u - KH // 2 < H and 0 <= j + v - KW // 2 < W]  # fmt: skip
        y[i, j] = sum(image[i + u - KH // 2, j + v - KW // 2] * kernel[u, v] for u, v in cells)
        y[i, j] *= KH * KW / len(cells) if rescale else 1
    return y


rng = np.random.default_rng(0)
some, filter_ = rng.normal(size=(6, 7)), rng.normal(size=(3, 3))
with_zeros = convolve(some, filter_, padding=1)
by_minicnn = F.partial_conv2d(Tensor(some[None, None]), Tensor(filter_[None, None]), padding=1)
print("shrunk filter = zero padding:   ", np.allclose(shrunk(some, filter_), with_zeros))
print("shrunk and rescaled = partial:  ", np.allclose(shrunk(some, filter_, True), by_minicnn))
print("the two differ at the border:   ", not np.allclose(with_zeros, by_minicnn))
print("and agree inside:               ",
      np.allclose(with_zeros[1:-1, 1:-1], by_minicnn.numpy()[0, 0, 1:-1, 1:-1]))  # fmt: skip

# %% [markdown]
# ## 6 Channels
#
# A filter is as deep as its input: it has a layer of weights for each channel, and adds up over all
# of them. So a filter of 2 × 2 on a colour image has 2 · 2 · 3 = 12 weights, makes 12 products and,
# with its bias, **one** number. The number of *filters* sets the depth of the output, and nothing
# else does. Padding and stride set H and W, and nothing else does.

# %%
rng = np.random.default_rng(0)
x, w = rng.integers(0, 5, (1, 3, 2, 2)), rng.integers(-2, 3, (1, 3, 2, 2))
b = 10
y = F.conv2d(Tensor(x * 1.0), Tensor(w * 1.0), Tensor(np.array([b * 1.0])))
print("products:", *(x * w).ravel().tolist())
print("their sum, plus the bias:", (x * w).sum() + b, "  by minicnn:", y.item(), y.shape)
for filters in (1, 8, 64):
    out = nn.Conv2d(3, filters, 3, padding=1)(Tensor(np.zeros((1, 3, 32, 32), np.float32)))
    print(f"{filters:2} filters: (1, 3, 32, 32) -> {out.shape}")

# %% [markdown]
# **How much does sharing save?** VGG's first layer makes 64 feature maps of 224 × 224 from a colour
# image (a *feature map* is what comes out of a layer's activation, one image for each filter).
# Because all places share one filter, that takes few weights. A dense layer between the same two
# volumes would connect everything with everything:

# %%
first = nn.Conv2d(3, 64, 3, padding=1)
inputs, outputs = 224 * 224 * 3, 224 * 224 * 64
print(f"convolution: {first.weight.size:,} weights, {first.num_parameters():,} with biases")
print(f"dense layer: {inputs:,} x {outputs:,} = {inputs * outputs:,} weights")
print(f"as float32 that is {4 * inputs * outputs / 1e12:.1f} terabytes")
seen = 3 * 3 * 3
print(f"one unit of the convolution is connected to {seen} numbers of {inputs:,}")

# %% [markdown]
# So when a text says of convolutional networks that "every neuron is connected to every neuron" of
# the next layer, that is wrong: here it is connected to 27 of 150,528. (In the dense layers at a
# net's end it is so.)
#
# ## 7 A filter of 1 × 1
#
# It looks silly: a filter that sees one pixel. But it sees **all channels** of it. It is a small
# dense layer, the same one at every pixel, and it changes the depth and nothing else. Whole
# architectures rest on it.

# %%
squeeze = nn.Conv2d(64, 32, 1, bias=False)
dense = nn.Linear(64, 32, bias=False)
dense.weight.assign_(squeeze.weight.numpy()[:, :, 0, 0])

x = Tensor(rng.normal(size=(2, 64, 7, 9)).astype(np.float32))
by_filter = squeeze(x).numpy()
by_dense = dense(Tensor(x.numpy().transpose(0, 2, 3, 1))).numpy().transpose(0, 3, 1, 2)
print(x.shape, "->", by_filter.shape, f"  {squeeze.num_parameters():,} weights")
print("largest difference:", np.abs(by_filter - by_dense).max())
assert np.allclose(by_filter, by_dense, atol=1e-5)

# %% [markdown]
# ## What you have seen
#
# - A convolution slides one filter over the image: window times filter, added up, at each place.
# - W' = floor((W - F + 2P)/S) + 1, and what does not fit is cut off in silence.
# - Zero padding is a filter that shrinks at the border.
# - A filter is as deep as its input; the number of filters is the depth of the output.
# - Between the same two volumes a convolution has 1,792 numbers, a dense layer 483 thousand
#   million.
#
# **Try:** `minicnn step lenet` walks through a real net's convolutions, number by number.
#
# **Next:** [03 Pooling](03_pooling.ipynb). How the gradient goes back through all this:
# [05](05_backprop_conv.ipynb).
#
# **To read:** Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016; Liu
# et al., "Partial convolution based padding", 2018.
