# %% [markdown]
# # 01 Images are arrays
#
# A network never sees a picture. It sees numbers in a grid. Before the first convolution it pays to
# know that grid well: which axis is which, how bright a number is, and what happens to the numbers
# when the picture moves by a hair.
#
# **You will** take a colour image apart and put it together again; turn it grey; know the shapes
# (H, W, C) and (N, C, H, W) by heart; see why comparing pixels is a poor way to compare pictures;
# and meet the filter that the brain uses.
#
# **You need** a little NumPy. Two exercises; half an hour.

# %%
import matplotlib.pyplot as plt
import numpy as np

import minicnn
from minicnn import Tensor
from minicnn import functional as F
from minicnn.plots import show

# %% [markdown]
# ## 1 Three numbers make a colour
#
# A grey image of H rows and W columns is an array (H, W), or (H, W, 1): one number for each pixel.
# A colour image has three numbers for each pixel, how much red, green and blue light it sends: (H,
# W, 3). With 8 bits, each goes from 0 (none) to 255 (all there is).
#
# Here is a picture of 4 × 4 pixels. How many numbers is that?

# %%
red, white, black = (255, 0, 0), (255, 255, 255), (0, 0, 0)
blue, yellow = (0, 0, 255), (255, 255, 0)
image = np.array([[red, red, white, white],
                  [red, yellow, yellow, white],
                  [blue, yellow, yellow, black],
                  [blue, blue, black, black]], np.uint8)  # fmt: skip
print("shape", image.shape, "  numbers", image.size)
show(image, scale=2)

# %% [markdown]
# 4 × 4 × 3 = 48 numbers. Take it apart: each channel alone is an image (H, W). Bright means much of
# that colour. White has all three, red only the first, yellow the first two.

# %%
channels = [image[:, :, c] for c in range(3)]
show(*channels, titles=["red", "green", "blue"], scale=2)
print("white:", image[0, 3], "  red:", image[0, 0], "  yellow:", image[1, 1])

# %% [markdown]
# And back: a colour image is the **sum** of its three channels, each in its own colour. Every pixel
# below is the sum of the same pixel in the three pictures.

# %%
alone = [np.zeros_like(image) for _ in range(3)]
for c in range(3):
    alone[c][:, :, c] = image[:, :, c]
total = alone[0] + alone[1] + alone[2]
show(*alone, total, titles=["red", "+ green", "+ blue", "= image"])
assert np.array_equal(total, image)

# %% [markdown]
# ### A trap: 8 bits are full quickly
#
# `uint8` holds 0 to 255 and no more. Beyond that it starts again at 0, without a word. So networks
# compute with floating-point numbers, and the first thing that happens to an image is a division by
# 255.

# %%
bright = np.array([200, 250], np.uint8)
print("uint8:  200 + 100 =", (bright + np.uint8(100))[0], "  and 250 + 100 =",
      (bright + np.uint8(100))[1])
print("float:  200 + 100 =", float(bright[0]) + 100)
print("scaled: 200 / 255 =", round(200 / 255, 3))

# %% [markdown]
# ## 2 A photo, and its grey twin
#
# Rear Admiral Grace Hopper wrote one of the first compilers. Her photo (US Navy, public domain)
# comes with matplotlib, so it is on your machine already.

# %%
import matplotlib.cbook

photo = plt.imread(matplotlib.cbook.get_sample_data("grace_hopper.jpg"))
photo = photo[:360:2, 60:420:2]  # every second pixel of the face
print("shape", photo.shape, photo.dtype, "  from", photo.min(), "to", photo.max())
show(photo, *[photo[:, :, c] for c in range(3)], titles=["", "red", "green", "blue"], scale=2.2)

# %% [markdown]
# Grey is not the mean of the three. The eye takes most of its brightness from green and little from
# blue, so the usual shares are 0.299 red + 0.587 green + 0.114 blue.
#
# **Which axis is which?** Files and screens have the colour last: (H, W, C). Networks have it
# first, and a batch of N images in front: (N, C, H, W). One line turns one into the other. Read it
# slowly, half of all bugs live there:

# %%
batch = photo.transpose(2, 0, 1)[None] / np.float32(255)  # (H, W, C) -> (C, H, W) -> (1, C, H, W)
print("photo", photo.shape, " -> batch", batch.shape, batch.dtype)
row, column = 30, 100
print("red at (30, 100):", photo[row, column, 0], "=", round(255 * batch[0, 0, row, column]))

# %% [markdown]
# ### Exercise 1.1: turn a batch grey
#
# Fill in the function. It gets images (N, 3, H, W) and gives (N, 1, H, W): the axis of the channels
# stays, with one channel in it. The cell marks your function: it tries it on many small batches and
# shows the smallest one that goes wrong, with a hint. Run it first as it is.


# %%
def my_grey(x):
    raise NotImplementedError("0.299 red + 0.587 green + 0.114 blue")


minicnn.check(my_grey)

# %% [markdown]
# (Solutions are in `tutorials/solutions`. They help most after ten minutes of trying.)
#
# ## 3 Digits
#
# 1,797 handwritten digits come with minicnn: 8 × 8 pixels, grey, written in ink on paper, so that 0
# is paper. With `size=28` they get the size of MNIST's, the best-known data set of
# handwritten digits.

# %%
digits = minicnn.data.load("digits", "train")
print(digits, "\nimages", digits.images.shape, digits.images.dtype, " labels", digits.labels[:8])
zero = digits.images[np.flatnonzero(digits.labels == 0)[0], 0]
show(zero, cmap="gray_r", scale=4)

# %% [markdown]
# You can read the zero from the numbers alone, if you squint. A network has to do just that.
#
# **A printed figure that is wrong.** A well-known text calls such a zero from MNIST "18 ×
# 18". MNIST's file of training images has 47,040,016 bytes: 16 for the header, and one for each
# pixel of 60,000 images. So:

# %%
pixels = (47_040_016 - 16) / 60_000
print("pixels in an image:", pixels, "=", pixels**0.5, "x", pixels**0.5)
print("the text's 18 x 18 would be", 18 * 18)

# %% [markdown]
# 28 × 28. (The digit itself was fitted into 20 × 20 pixels, with a border around it; whoever cuts a
# picture out by eye may well count 18.)
#
# ## 4 Why not just compare pixels?
#
# The simplest classifier of all: to read a digit, look for the most similar image that you know,
# pixel by pixel, and say what that is. It learns nothing, and it is surprisingly good.

# %%
train = minicnn.data.load("digits", "train", size=28)
test = minicnn.data.load("digits", "test", size=28)
known = train.images.reshape(len(train), -1) / np.float32(255)


def nearest(images):
    """The label of the training image with the smallest squared distance, for each image."""
    x = images.reshape(len(images), -1) / np.float32(255)
    distance = (x**2).sum(1)[:, None] - 2 * x @ known.T + (known**2).sum(1)
    return train.labels[distance.argmin(1)]


right = (nearest(test.images) == test.labels).mean()
print(f"{right:.1%} of {len(test)} digits right")

# %% [markdown]
# Now shift the test images to the right by a few of their 28 columns. You hardly notice:

# %%
shifts = range(6)
moved = [np.roll(test.images, s, axis=3) for s in shifts]
show(*[m[5, 0] for m in moved], titles=[f"by {s}" for s in shifts], cmap="gray_r", scale=1.3)

shares = [(nearest(m) == test.labels).mean() for m in moved]
plt.figure(figsize=(5.4, 2.6))
plt.plot(shifts, shares, "o-", color="#0f766e")
plt.axhline(0.1, color="gray", linestyle=":")
plt.text(0.1, 0.12, "guessing", color="gray", fontsize=8)
plt.xlabel("shift in pixels")
plt.title("share of digits read correctly by comparing pixels")
plt.ylim(0, 1.05)
print("  ".join(f"{share:.0%}" for share in shares))
assert shares[0] > 0.95 and shares[5] < 0.3

# %% [markdown]
# Five pixels to the right, and three of four answers are wrong. To the array the shifted image is
# another image: where there is ink in either of the two, nearly every number has changed.

# %%
a, b = (test.images[k, 0] / 255.0 for k in np.flatnonzero(test.labels == 3)[:2])
other = test.images[np.flatnonzero(test.labels == 8)[0], 0] / 255.0


def distance(p, q):
    return np.sqrt(((p - q) ** 2).sum())


print(f"a 3 and the same 3, shifted by 3: {distance(a, np.roll(a, 3, axis=1)):.2f}")
print(f"a 3 and somebody else's 3:        {distance(a, b):.2f}")
print(f"a 3 and an 8:                     {distance(a, other):.2f}")
assert distance(a, np.roll(a, 3, axis=1)) > 1.5 * distance(a, b)

# %% [markdown]
# The shifted 3 is further from itself than from somebody else's 3, and nearly as far as from an 8.
# Shift, size, light, clutter: all of them change a great many numbers and not the meaning. What we
# need compares **small parts**, and looks for them **everywhere** in the image. That is a
# convolution, and it is the next tutorial.
#
# ## 5 What the eye does
#
# In 1959 Hubel and Wiesel put electrodes into a cat's visual cortex, and later shared a Nobel prize
# for what they heard. On the way there, from the eye to the cortex, are cells with a *centre* and a
# *surround* (Kuffler had found them in the eye in 1953): light in the centre excites them, light in
# the ring around it holds them back.
#
# As numbers: positive weights in the centre, negative ones in the ring, and the sum is 0. Its
# answer is what every filter's answer will be from now on: multiply each pixel by its weight, and
# add up. (In the pictures of this course orange is positive and blue is negative, wherever there
# are negative numbers.)

# %%
radius = np.hypot(*np.mgrid[-5:6, -5:6])
centre, ring = radius <= 2.5, (radius > 2.5) & (radius <= 5)
cell = np.where(centre, 1 / centre.sum(), 0) - np.where(ring, 1 / ring.sum(), 0)
print(f"sum of the weights: {cell.sum():.1e}")


def answer(light):
    """Each pixel times its weight, added up."""
    return (cell * light).sum()


spots = [(radius <= r) * 1.0 for r in (0.5, 1.5, 2.5, 3.5, 5.5)]
titles = [f"answer {round(answer(s), 2) + 0.0:.2f}" for s in spots]
show(cell, *spots, titles=["weights of the cell", *titles], numbers=False, same=False, scale=1.5)

# %%
sizes = np.arange(0, 7, 0.25)
plt.figure(figsize=(5, 2.6))
plt.plot(sizes, [answer(radius <= r) for r in sizes], color="#0f766e")
plt.axvline(2.5, color="gray", linestyle=":")
plt.text(2.6, 0.05, "edge of the centre", color="gray", fontsize=8)
plt.xlabel("radius of the spot of light, in pixels")
plt.title("answer of the cell")
best = [float(r) for r in sizes if np.isclose(answer(radius <= r), 1)]
print("most for spots of radius", *best)
print("uniform light:", round(abs(answer(np.ones((11, 11)))), 12))
assert 2.5 in best and abs(answer(np.ones((11, 11)))) < 1e-12

# %% [markdown]
# The answer grows while light falls into the centre, is largest for a spot of the centre's size,
# and dies when all is lit alike. So such a cell does not report *how bright* it is. It reports that
# *something is there*.
#
# One cell looks at one place. A whole retina of them, one at each pixel and all with the same
# weights, gives a new image. Try it on the photo: the even background vanishes, and the outlines
# stay.

# %%
grey = Tensor((batch * np.array([0.299, 0.587, 0.114]).reshape(1, 3, 1, 1)).sum(1, keepdims=True))
retina = F.conv2d(grey, Tensor(cell[None, None]), padding=5).numpy()
show(grey.numpy()[0, 0], scale=2.6)
show(retina[0, 0], np.abs(retina[0, 0]), titles=["answers", "their size"], scale=2.6, same=False)

# %% [markdown]
# ### Exercise 1.2: standardize
#
# Networks learn best from numbers around 0 with a spread of about 1. So each channel c of the
# images (N, C, H, W) has its mean taken off, and is divided by its standard deviation. Both are
# given, one number for each channel: shape (C,). What has to happen to their shape, so that NumPy
# matches them with axis 1?


# %%
def my_standardize(x, mean, std):
    raise NotImplementedError("(x - mean) / std, channel by channel")


minicnn.check(my_standardize)

# %% [markdown]
# ## What you have seen
#
# - A grey image is (H, W), a colour image (H, W, 3), a batch for a network (N, C, H, W).
# - White is (255, 255, 255); a colour image is the sum of its channels.
# - A shift of three pixels can be a larger change than another digit.
# - A filter's answer is a sum of products. With weights that add up to 0 it ignores even light and
#   answers to structure.
#
# **Next:** [02 Convolution](02_convolution.ipynb), the same filter at every place.
#
# **To read:** Hubel and Wiesel, "Receptive fields of single neurones in the cat's striate cortex",
# 1959.
