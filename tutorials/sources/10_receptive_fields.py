# %% [markdown]
# # 10 Receptive fields, and why 3 × 3
#
# A unit deep in a network has never heard of the image. It sees a few numbers of the layer below.
# They, in turn, see a few below them. How much of the *image* does it see, all in all? That patch
# is its **receptive field**. A unit cannot know what lies outside of it.
#
# **You will** work the field out by one line of arithmetic; see it with your own eyes, by a
# gradient; find out why everybody uses 3 × 3; and see that a field has a soft edge.
#
# **You need** [02](02_convolution.ipynb); for the gradients, [04](04_autograd.ipynb). One exercise;
# half an hour.

# %%
import matplotlib.pyplot as plt
import numpy as np

import minicnn
from minicnn import Tensor, models, nn
from minicnn.analysis import cost, receptive_field, summary
from minicnn.plots import show

# %% [markdown]
# ## 1 From the top down
#
# Two layers of 3 × 3. One unit of the second sees 3 numbers in a row. Each of those sees 3 pixels,
# and neighbours overlap: together they see 5, not 9. A third layer adds 2 more, and so on: with
# stride 1, every layer adds F - 1.
#
# Let us see it instead of believing it. Which pixels can change the unit at all? Those whose
# gradient is not 0. All weights are made positive, so that nothing cancels.


# %%
def field_of(*kernels, size=11):
    """The gradient of the middle unit with respect to the image, through such a stack."""
    x = Tensor(np.zeros((1, 1, size, size)), requires_grad=True)
    y = x
    for k in kernels:
        y = minicnn.functional.conv2d(y, Tensor(np.full((1, 1, k, k), 1 / k**2)))
    middle = y.shape[2] // 2
    y[0, 0, middle, middle].backward()
    return x.grad.numpy()[0, 0]


stacks = [(3,), (3, 3), (3, 3, 3), (5,), (7,)]
fields = [field_of(*kernels) for kernels in stacks]
widths = [int((f.sum(axis=0) > 0).sum()) for f in fields]
titles = [" + ".join(f"{k}x{k}" for k in s) + f": {w}" for s, w in zip(stacks, widths)]
show(*[f / f.max() for f in fields], titles=titles, numbers=False, scale=1.7)
assert widths == [3, 5, 7, 5, 7]

# %% [markdown]
# Two 3 × 3 see as much as one 5 × 5, three as much as one 7 × 7. (Look at the brightness, too; we
# come back to it.)
#
# ## 2 Why 3 × 3
#
# If they see the same, which is cheaper? A 5 × 5 filter has 25 weights, two 3 × 3 have 18. With C
# channels in and out, three 3 × 3 need 27C² and one 7 × 7 needs 49C². And the stack has a ReLU
# between its layers, so it can tell more things apart. Fewer weights, the same view, more ReLUs:
# that argument is VGG's. In most nets since then no filter is larger than 3 × 3, but for the first.

# %%
def stack(C, *kernels):
    """Convolutions of C channels, one above the other."""
    return nn.Sequential(*(nn.Conv2d(C, C, k, bias=False) for k in kernels))


for C in (1, 64):
    for small, large in (((3, 3), (5,)), ((3, 3, 3), (7,))):
        a, b = stack(C, *small).num_parameters(), stack(C, *large).num_parameters()
        print(f"C = {C:2}: {len(small)} of 3x3 {a:8,}   one {large[0]}x{large[0]} {b:8,}   "
              f"{a / b:.0%}   ({a // C**2} C² and {b // C**2} C²)")  # fmt: skip

# %% [markdown]
# It is not for nothing. The stack keeps more maps for the backward pass, and a deeper net is harder
# to train; ResNet is about that. The multiplications shrink with the weights:

# %%
for kernels in ((3, 3, 3), (7,)):
    found = cost(nn.Sequential(*(nn.Conv2d(64, 64, k, padding=k // 2) for k in kernels)),
                 (64, 56, 56))  # fmt: skip
    print(f"{'+'.join(map(str, kernels)):6} {found.macs / 1e6:6.0f} million multiplications, "
          f"{found.activations:9,} numbers kept")  # fmt: skip

# %% [markdown]
# ## 3 Strides multiply
#
# Put a pooling with stride 2 in between, and neighbours of the layer above lie *two* pixels apart.
# From there on, a step is 2 pixels of the image, after the next stride 4. Call that the **jump**.
# For each layer, from the image upward:
#
# - size = size + (F - 1) · jump
# - jump = jump · stride
#
# So strides, not filters, are what makes fields large quickly.

# %%
size, jump = 1, 1
plan = [("conv 3x3", 3, 1), ("conv 3x3", 3, 1), ("pool 2x2/2", 2, 2), ("conv 3x3", 3, 1),
        ("conv 3x3", 3, 1), ("pool 2x2/2", 2, 2), ("conv 3x3", 3, 1)]  # fmt: skip
print("layer        sees   jump")
for name, kernel, stride in plan:
    size += (kernel - 1) * jump
    jump *= stride
    print(f"{name:11} {size:5} {jump:6}")

# %% [markdown]
# ### Exercise 10.1: the receptive field
#
# `layers` is an array with a row (kernel, stride) for each layer, from the image upward. Return the
# size of the field of one unit at the top: a whole number of pixels, along one axis.


# %%
def my_receptive_field(layers):
    raise NotImplementedError("two lines in a loop")


minicnn.check(my_receptive_field)

# %% [markdown]
# ## 4 Real nets
#
# minicnn works the field out twice: by this formula, and by the gradient. The two must agree, and
# in its tests they do. The last column of `summary` shows it for every layer:

# %%
print(summary("vgg11", depth=2))

# %% [markdown]
# Below, the fields of the middle unit of some layers of VGG-16, in an image of 224 × 224. Early
# units see an edge, middle ones an eye, late ones the whole head.

# %%
layers = ["features.0", "features.7", "features.14", "features.21", "features.28"]
fig, ax = plt.subplots(figsize=(4, 4))
for layer in layers:
    field = receptive_field("vgg16", (3, 224, 224), layer)
    low, high = field.rows[0], field.rows[1] + 1
    ax.add_patch(plt.Rectangle((low, low), high - low, high - low, fill=False, lw=1.5))
    if high - low > 30:
        ax.text(low + 2, low + 3, f"{field.size[0]}", fontsize=9, va="top", color="#0f766e")
    print(f"{layer:12} sees {field.size[0]:3} pixels, from row {low} to {high - 1}")
ax.set(xlim=(0, 224), ylim=(224, 0), aspect="equal", xlabel="pixels")
ax.set_title("VGG-16: what middle units see", fontsize=10)
plt.show()

# %% [markdown]
# By formula and by gradient, for one of them. A field may reach over the image's edge, into the
# padding; the gradient can only tell the part inside.

# %%
by_formula = receptive_field("vgg16", (3, 224, 224), "features.14")
by_gradient = receptive_field("vgg16", (3, 224, 224), "features.14", by="gradient")
print("formula: ", by_formula.rows, " gradient:", by_gradient.rows)
assert by_formula.rows == by_gradient.rows and by_formula.columns == by_gradient.columns

# %% [markdown]
# How large are the fields of famous nets, at the last layer that still has pixels?

# %%
print("net              sees      image")
for name in ("lenet", "alexnet_2012", "vgg16", "resnet18", "resnet50", "mobilenet_v2"):
    shape = models.info(name).input_shape
    field = receptive_field(name, shape)
    print(f"{name:14} {field.size[0]:6} {shape[1]:9}")

# %% [markdown]
# ResNet-50's units could see an image twice the size of the one they get. Do they need that?
#
# ## 5 The soft edge
#
# Look at the brightness in section 1 again. A pixel in the middle of the field has many ways up to
# the unit, one in the corner has a single one. So the middle counts far more. With many layers the
# influence becomes a bell curve, and the *effective* field is much smaller than the whole:

# %%
fig, axes = plt.subplots(1, 2, figsize=(9, 2.8))
for depth, color in ((2, "#c9cdd2"), (5, "#7fb5ae"), (10, "#0f766e"), (20, "#134e4a")):
    f = field_of(*[3] * depth, size=2 * depth + 1)
    row = f.sum(axis=0) / f.sum()
    x = np.arange(len(row)) - depth
    axes[0].plot(x, row, color=color, label=f"{depth} layers, field {len(row)}")
    order = np.sort(f.ravel())[::-1]
    inside = (np.cumsum(order) < 0.95 * f.sum()).mean()
    print(f"{depth:2} layers: 95% of the influence comes from {inside:.0%} of the field's pixels")
axes[0].set_title("influence along a row", fontsize=10)
axes[0].set_xlabel("pixels from the middle")
axes[0].legend(frameon=False, fontsize=8)
axes[1].imshow(field_of(*[3] * 20, size=41), cmap="magma")
axes[1].set_title("20 layers of 3 x 3: the field, 41 x 41", fontsize=10)
_ = axes[1].axis("off")

# %% [markdown]
# That is why nets have fields, by the formula, larger than their images. Where a wide view matters,
# as in segmentation, pooling and *dilated* convolutions are used (their filters look at every
# second or fourth pixel, so they see further with as many weights). (Here all weights are equal.
# Training changes the shape; with random weights the bell stays, on average.)
#
# ## What you have seen
#
# - Size grows by (F - 1) · jump, the jump by the stride.
# - Two 3 × 3 = 5 × 5, three = 7 × 7, with 18 weights for 25, and 27C² for 49C².
# - The middle of a field counts most.
#
# **Next:** [07 VGG-16 dissected](07_vgg16.ipynb), the net that took 3 × 3 to its end.
#
# **To read:** Simonyan and Zisserman, "Very deep convolutional networks for large-scale image
# recognition", 2014; Luo, Li, Urtasun, Zemel, "Understanding the effective receptive field in deep
# convolutional neural networks", 2016.
