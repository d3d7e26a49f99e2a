# %% [markdown]
# # 05 Backpropagation through convolution: im2col and col2im
#
# How does a convolution's gradient go back to its image and to its filter? The formulas look
# frightening and are not. There is a trick that makes of every convolution one matrix product, and
# a matrix product's backward you know already.
#
# **You will** derive both gradients on a signal of five numbers; write im2col and col2im; put them
# together to the whole backward pass of a convolution; and see that it is again a convolution.
#
# **You need** [02](02_convolution.ipynb) and [04](04_autograd.ipynb). Three exercises; half an
# hour.

# %%
import inspect

import numpy as np

import minicnn
from minicnn import Tensor
from minicnn import functional as F
from minicnn.plots import show

# %% [markdown]
# ## 1 Five numbers and a filter of three
#
# x = (x₀ ... x₄), w = (w₀, w₁, w₂): three outputs, y₀, y₁, y₂. Every product that is made:
#
# | | x₀ | x₁ | x₂ | x₃ | x₄ |
# |---|---|---|---|---|---|
# | y₀ | w₀ | w₁ | w₂ | | |
# | y₁ | | w₀ | w₁ | w₂ | |
# | y₂ | | | w₀ | w₁ | w₂ |
#
# Read it along the rows, and it is forward: y₁ = w₀x₁ + w₁x₂ + w₂x₃. Read it down a column, and it
# is backward: x₂ took part in all three outputs, with w₂, w₁ and w₀. So dx₂ = w₂ dy₀ + w₁ dy₁ + w₀
# dy₂: **the filter, turned round**. And each weight met three numbers: dw₀ = x₀ dy₀ + x₁ dy₁ + x₂
# dy₂.
#
# The table is a matrix, T. Then y = T x, and by the rule for matrix products dx = Tᵀ dy.

# %%
x, w, dy = np.array([1.0, 3, 2, 0, 4]), np.array([2.0, -1, 1]), np.array([1.0, 2, -1])
T = np.array([[w[k - i] if 0 <= k - i < 3 else 0 for k in range(5)] for i in range(3)])
dw = np.array([(x[v : v + 3] * dy).sum() for v in range(3)])
show(T, T.T, titles=["T: forward", "its transpose: backward"], squares=True, scale=2)
print("y  =", T @ x)
print("dx =", T.T @ dy)
print("dw =", dw)

# %% [markdown]
# And minicnn, with an image of one row:

# %%
tx = Tensor(x.reshape(1, 1, 1, 5), requires_grad=True)
tw = Tensor(w.reshape(1, 1, 1, 3), requires_grad=True)
y = F.conv2d(tx, tw)
y.backward(dy.reshape(1, 1, 1, 3))
print("y  =", y.numpy().ravel())
print("dx =", tx.grad.numpy().ravel())
print("dw =", tw.grad.numpy().ravel())
assert np.array_equal(tx.grad.numpy().ravel(), T.T @ dy)

# %% [markdown]
# ## 2 im2col: a window in every row
#
# T has many zeros, and for real images it would be huge. Turn the idea around: leave the filter as
# it is, and write the *windows* below each other. One row for each output, holding the numbers it
# looks at. Then one matrix product does the whole convolution.

# %%
image = np.array([[0.0, 1, 2, 1], [3, 0, 1, 2], [1, 2, 0, 1], [2, 0, 1, 3]])
col = F.im2col(Tensor(image[None, None]), 3).numpy()
kernel = np.array([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]])
show(image, col, kernel.reshape(9, 1), col @ kernel.reshape(9, 1), same=False,
     squares=True, scale=2.6,
     titles=["image", "a window in every row", "filter", "product"])  # fmt: skip
product = (col @ kernel.ravel()).reshape(2, 2)
direct = F.conv2d(Tensor(image[None, None]), Tensor(kernel[None, None])).numpy()[0, 0]
print("product:", product.tolist(), "  convolution:", direct.tolist())
assert np.array_equal(product, direct)

# %% [markdown]
# It costs memory: with a 3 × 3 filter every pixel is copied up to nine times. It is faster all the
# same, because a matrix product is what computers are best at. Caffe, one of the first libraries
# for such nets, did it this way, and minicnn's readable convolution does.
#
# Which order do the numbers of a row have? Any will do, if the filter has the same. minicnn takes
# (u, v, c): row of the window, column, channel. Then the channels of a pixel, which lie side by
# side in memory, are copied in one go.

# %%
from minicnn.ops import windows

print(inspect.getsource(windows.windows))
print(inspect.getsource(windows.im2col))

# %% [markdown]
# `windows` copies nothing. It is a *view*: the same memory, read with other steps (strides). The
# copying happens in `reshape`, in a few long pieces. Look how little that takes:

# %%
big = np.zeros((8, 56, 56, 64), np.float32)
view = windows.windows(big, (3, 3), (1, 1))
print("image", big.shape, f"{big.nbytes / 1e6:.1f} MB")
print("view ", view.shape, "shares the memory:", np.shares_memory(big, view))
print(f"as rows it would take {view.size * 4 / 1e6:.1f} MB")

# %% [markdown]
# ### Exercise 5.1: im2col
#
# Fill in the function: x (N, C, H, W) to col (N·OH·OW, KH·KW·C). Loops over n, i, j are fine. Rows
# in the order (n, i, j), numbers in the order (u, v, c). `kernel_size` and `stride` are numbers or
# pairs (for H, for W). A helper turns both into pairs.


# %%
def pair(value):
    return value if isinstance(value, tuple) else (value, value)


def my_im2col(x, kernel_size, stride):
    raise NotImplementedError("a row for each window")


minicnn.check(my_im2col)

# %% [markdown]
# ## 3 col2im: the way back
#
# im2col *copies* each pixel into several rows. What is the backward of copying? If a number was
# used three times, its gradient is the sum of three. So backward each pixel collects what all its
# copies got: **col2im adds up**. Fill the rows with ones, and you see how many copies each pixel
# has:

# %%
sizes = [(5, 3, 1), (5, 3, 2), (6, 2, 2)]
counts = []
for H, K, S in sizes:
    rows = F.im2col(Tensor(np.zeros((1, 1, H, H))), K, S).shape[0]
    ones = Tensor(np.ones((rows, K * K)))
    counts.append(F.col2im(ones, (1, 1, H, H), K, S).numpy()[0, 0])
titles = [f"{H} x {H}, window {K}, stride {S}" for H, K, S in sizes]
show(*counts, titles=titles, same=False, scale=2.3)

# %% [markdown]
# Mathematicians say: col2im is the *adjoint* (the transpose) of im2col. There is a test for such
# pairs that needs no derivative. For any a and b, ⟨im2col(a), b⟩ = ⟨a, col2im(b)⟩. One line, and it
# finds nearly every mistake:

# %%
rng = np.random.default_rng(0)
a = rng.normal(size=(2, 3, 7, 6))
settings = {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 0)}
col = F.im2col(Tensor(a), **settings).numpy()
b = rng.normal(size=col.shape)
back = F.col2im(Tensor(b), a.shape, **settings).numpy()
print("<im2col(a), b> =", (col * b).sum(), "\n<a, col2im(b)> =", (a * back).sum())
assert np.isclose((col * b).sum(), (a * back).sum())

# %% [markdown]
# ### Exercise 5.2: col2im
#
# The reverse of your loop, with `+=`. `size` is (N, C, H, W), the shape of the image to make.


# %%
def my_col2im(col, size, kernel_size, stride):
    raise NotImplementedError("each row back to its window, added up")


minicnn.check(my_col2im)

# %% [markdown]
# ## 4 The whole backward pass
#
# Now it falls into place. With col = im2col(x), and the filters as rows of a matrix W (O, KH·KW·C):
#
# | forward | backward |
# |---|---|
# | z = col Wᵀ + b | dW = dzᵀ col, dcol = dz W, db = sum of dz over all rows |
# | col = im2col(x) | dx = col2im(dcol) |
#
# The first row is the dense layer of [04](04_autograd.ipynb), nothing else. Here it is in minicnn.
# (Two things are more than you need: groups, and an activation that may come right behind it.)

# %%
from minicnn.ops.conv import Conv2d

print(inspect.getsource(Conv2d.forward))
print(inspect.getsource(Conv2d.backward))

# %% [markdown]
# ### Exercise 5.3: the backward of a convolution
#
# You have all the parts: dx, dw, db from dy (N, O, OH, OW), x and w. Write it with your own im2col
# and col2im, or with loops. Mind the orders: dy has its channels in axis 1, and rows of col are (n,
# i, j).


# %%
def my_conv2d_backward(dy, x, w):
    raise NotImplementedError("dx, dw, db")


minicnn.check(my_conv2d_backward)

# %% [markdown]
# ## 5 Both gradients are convolutions again
#
# Section 1 said: dx is dy with the filter turned round. So for a whole image (with stride 1 and no
# padding): pad dy by F - 1 on each side, turn the filters by 180°, swap their input and output
# channels, and convolve. And the filter's gradient is the image convolved with dy as the filter.
# Fast libraries compute them that way; it needs no col2im.

# %%
x, w = rng.normal(size=(2, 3, 8, 8)), rng.normal(size=(4, 3, 3, 3))
tx, tw = Tensor(x, requires_grad=True), Tensor(w, requires_grad=True)
y = F.conv2d(tx, tw)
dy = rng.normal(size=y.shape)
y.backward(dy)

turned = w[:, :, ::-1, ::-1].swapaxes(0, 1).copy()
dx = F.conv2d(Tensor(dy), Tensor(turned), padding=2).numpy()
# dw: the batch takes the part of the channels, so that the sum runs over the images.
dw = F.conv2d(Tensor(x.swapaxes(0, 1).copy()), Tensor(dy.swapaxes(0, 1).copy())).numpy()
print("dx:", np.allclose(dx, tx.grad.numpy()), "  dw:", np.allclose(dw.swapaxes(0, 1), tw.grad))

# %% [markdown]
# ## 6 Step into one gradient
#
# Which terms does one pixel's gradient consist of? `record` keeps the pass, and the lens takes one
# number apart: the windows that saw this pixel, each with its dy and the weight it used.

# %%
x = Tensor(rng.integers(0, 4, (1, 1, 4, 4)) * 1.0, requires_grad=True)
w = Tensor(kernel[None, None], requires_grad=True)
with minicnn.record() as steps:
    F.conv2d(x, w).backward(np.array([[[[1.0, 2], [3, 4]]]]))
steps.goto("conv2d", direction="backward")
steps.into(0, 0, 1, 2)

# %% [markdown]
# ## What you have seen
#
# - Forward along the rows of T, backward down its columns.
# - im2col writes a window into every row; a convolution is then a matrix product.
# - Its backward is the dense layer's, and col2im, which adds up where windows overlap.
# - dx is a convolution with the filter turned round; dw is the image convolved with dy.
# - The adjoint test ⟨A a, b⟩ = ⟨a, Aᵀ b⟩ checks such a pair without any derivative.
#
# **Try:** `minicnn step-kernel conv/im2col.cu --thread 3` walks through im2col on an emulated
# GPU, where each number of `col` has a thread of its own.
#
# **Next:** [06 LeNet](06_lenet.ipynb), the first net that is put together of all these parts.
#
# **To read:** Chellapilla, Puri, Simard, "High performance convolutional neural networks for
# document processing", 2006 (im2col's first appearance).
