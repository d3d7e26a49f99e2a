# %% [markdown]
# # 00 Quickstart: from a pixel to a trained network
#
# In ten minutes you load handwritten digits, look at one, build LeNet, step through one pass number
# by number, train the network, and check a gradient. It all runs on a laptop without a GPU, in well
# under three minutes of computing.
#
# What you need: Python, and an idea of what a matrix is. What you get: the map of minicnn.

# %%
import matplotlib.pyplot as plt
import numpy as np

import minicnn
from minicnn import Tensor
from minicnn import functional as F

minicnn.manual_seed(0)  # the same weights every time
minicnn.__version__

# %% [markdown]
# ## 1 An image is an array
#
# 1,797 digits come with minicnn, 8 × 8 pixels each, so no download is needed. `size=28` enlarges
# every pixel to a 3 × 3 block and adds a border of 2, so that networks made for MNIST's 28 × 28
# images fit unchanged.

# %%
train = minicnn.data.load("digits", "train", size=28)
test = minicnn.data.load("digits", "test", size=28)
print(train)
print(test)
print("one image has shape", train.images[0].shape, "and values from",
      train.images[0].min(), "to", train.images[0].max())

# %%
fig, axes = plt.subplots(1, 8, figsize=(10, 1.6))
for k, ax in enumerate(axes):
    ax.imshow(train.images[k, 0], cmap="gray_r")
    ax.set_title(train.labels[k])
    ax.axis("off")

# %% [markdown]
# A loader shuffles the images, scales the pixels to 0...1 and hands them out in batches; the order
# depends on nothing but the seed and the epoch.

# %%
batches = minicnn.data.DataLoader(train, batch_size=64, shuffle=True, seed=0)
x, y = next(iter(batches))
print("x", x.shape, x.dtype, "  y", y[:12])

# %% [markdown]
# ## 2 LeNet
#
# LeCun's network of 1998 in the form that is taught today: convolution, pooling, convolution,
# pooling, and three dense layers. Behind most of them stands *ReLU*, which replaces what is
# negative by 0: max(x, 0). The code is short enough to read whole.

# %%
import inspect

from minicnn.models import LeNet

print(inspect.getsource(LeNet.forward))
model = LeNet()
model

# %% [markdown]
# **Counting by hand.** A 5 × 5 filter over `C` channels has 25 `C` weights and one bias:

# %%
by_hand = {
    "conv1": 6 * (25 * 1 + 1),
    "conv2": 16 * (25 * 6 + 1),
    "fc1": 120 * (400 + 1),
    "fc2": 84 * (120 + 1),
    "fc3": 10 * (84 + 1),
}
for name, layer in model.children():
    if name in by_hand:
        assert layer.num_parameters() == by_hand[name]
        print(f"{name:6} {by_hand[name]:6,}")
print(f"total  {model.num_parameters():6,}")

# %% [markdown]
# ## 3 Step through one pass
#
# `record()` keeps every operation of the pass, forward and backward. The image is given
# `requires_grad=True`, so that its own gradient is recorded, too.

# %%
image = Tensor(test.images[4:5] / np.float32(255), requires_grad=True)
with minicnn.record() as steps:
    loss = F.cross_entropy(model(image), test.labels[4:5])
    loss.backward()
steps

# %%
steps.next()  # the first operation; again for the next one, steps.back() for the one before

# %% [markdown]
# **Into one number.** Output pixel (12, 13) of channel 2 looked at a 5 × 5 window. Here are the
# window, the filter, and the products that were added up:

# %%
lens = steps.into(0, 2, 12, 13)
lens

# %% [markdown]
# **And backward.** How does the loss change with one pixel of the image? Every window that saw this
# pixel has a say: its gradient times the weight it used. All those terms add up.

# %%
steps.goto("conv1", direction="backward")
steps.into(0, 0, 12, 13)

# %% [markdown]
# The same walk in a terminal: `minicnn step lenet`.
#
# ## 4 Train
#
# One step of training: compute the loss of a batch, let `backward` find how every weight should
# change, and move all weights a little against their gradient. `Trainer` repeats that; its loop is
# the textbook's. (An *epoch* is one pass over all training images. What `momentum` and
# `weight_decay` do, [06c](06c_loss_and_learning.ipynb) and [08](08_cifar_experiments.ipynb) say.)

# %%
from minicnn.optim import SGD
from minicnn.training import Trainer
from minicnn.training.schedules import cosine

optimizer = SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-3)
trainer = Trainer(model, optimizer, schedule=cosine)  # lr falls to 0 along half a cosine
validation = minicnn.data.DataLoader(test, batch_size=120)
history = trainer.fit(batches, validation, epochs=12)

# %%
epochs = [h["epoch"] for h in history]
fig, (left, right) = plt.subplots(1, 2, figsize=(10, 3))
for part, label in (("train", "training"), ("val", "test")):
    left.plot(epochs, [h[f"{part}_loss"] for h in history], label=label)
    right.plot(epochs, [h[f"{part}_accuracy"] for h in history], label=label)
left.set(xlabel="epoch", title="loss")
right.set(xlabel="epoch", title="accuracy", ylim=(0.8, 1.005))
right.legend()
assert history[-1]["val_accuracy"] > 0.96

# %% [markdown]
# The digits it still gets wrong, if any: what it says, and in brackets what they are.

# %%
with minicnn.no_grad():
    scores = model(Tensor(test.images / np.float32(255))).numpy()
said = scores.argmax(axis=1)
wrong = np.flatnonzero(said != test.labels)[:10]
fig, axes = plt.subplots(1, 10, figsize=(10, 1.5))
for ax in axes:
    ax.axis("off")
for k, ax in zip(wrong, axes):
    ax.imshow(test.images[k, 0], cmap="gray_r")
    ax.set_title(f"{said[k]} ({test.labels[k]})")
print(f"{(said == test.labels).mean():.1%} of {len(test)} test digits right")

# %% [markdown]
# ## 5 Check a gradient
#
# How do we know that a `backward` is right? Move a weight a little and see how the loss answers.
# `gradcheck` does that, in float64, for every weight or along random directions; where a function
# has a kink (ReLU at 0), it says so and skips it.

# %%
precise = LeNet().to("float64")
x64 = Tensor(test.images[:2] / 255, requires_grad=True)
minicnn.gradcheck(
    lambda x, *weights: F.cross_entropy(precise(x), test.labels[:2]),
    x64, *precise.parameters(), max_coordinates=20, directions=3,
)


# %% [markdown]
# The skipped slopes are those of the image and of `conv1`'s biases. The background of a digit is
# exactly 0 and so are the biases of a new network, so there `conv1` answers exactly 0: every ReLU
# stands on its kink. A little noise on the image (`test.images[:2] / 255 + 0.1 * noise`) leaves
# nothing to skip.
#
# Now a function of your own. This one has a mistake in its gradient. Read the message, mend it, and
# run the cell again. (`gradcheck` takes a random weighted sum of the outputs, so the two slopes
# that it names are not 3x and 3x² but a multiple of them. Their ratio is right.)

# %%
class Cube(minicnn.Function):
    """y = x³"""

    def forward(self, x):
        self.save(x)
        return x**3

    def backward(self, dy):
        (x,) = self.saved
        return dy * 3 * x  # the mistake


numbers = Tensor(np.array([0.5, 1.5, 2.0]), requires_grad=True)
try:
    print(minicnn.gradcheck(Cube.apply, numbers))
except AssertionError as error:
    print(error)

# %% [markdown]
# ## 6 Three ways to compute the same thing
#
# What the network ran on, the step in section 3 says: `backend compiled` is C++, `backend fast` is
# NumPy and needs no compiler. The same operations exist as plain loops (the definition), as short
# NumPy, and as CUDA kernels for a GPU. Without a GPU the kernels run in an emulator, if there is a
# C++ compiler. All of them must give the same loss, but for the rounding of its last digits.

# %%
from minicnn.emulator import CompilerNotFound

for backend in ("loops", "numpy", "emulator"):
    try:
        with minicnn.use_backend(backend), minicnn.no_grad():
            print(f"{backend:9}", F.cross_entropy(precise(x64), test.labels[:2]).item())
    except CompilerNotFound as error:
        print(f"{backend:9}", error)

# %% [markdown]
# ## What you have seen
#
# - An image is an array; a network is functions applied one after the other.
# - Nearly every number in it is a sum of products, and so are the gradients. You can open each one.
# - Training is `backward` and a small step, many times.
# - A gradient is not to be believed but checked.
#
# **Next:** [01 Images are arrays](01_images.ipynb), where the course begins.
#
# **Try:** `minicnn step lenet --weights ...` with weights that `minicnn train lenet` saved;
# `minicnn train lenet --data mnist`; the operations in `minicnn/ops`, each `forward` directly above
# its `backward`.
