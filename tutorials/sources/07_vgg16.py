# %% [markdown]
# # 07 VGG-16 dissected
#
# In 2014 two people from Oxford took one idea to its end: nothing but 3 × 3 convolutions, and many
# of them. VGG is the most regular net there is, which makes it the best one to dissect. Every
# number of its famous table can be worked out on paper, and some printed copies of that table are
# wrong.
#
# **You will** count VGG's weights and its memory, layer by layer; find out where each of them sits
# (it is not the same place); catch three misprints; and see why nobody builds nets like this now.
#
# **You need** [02](02_convolution.ipynb) and [10](10_receptive_fields.ipynb). One exercise; half an
# hour. Nothing is trained, and no weights are downloaded.

# %%
import inspect
import math

import matplotlib.pyplot as plt

import minicnn
from minicnn import models, nn
from minicnn.analysis import cost, summary
from minicnn.nn import init

with init.empty():  # 138 million weights that nobody will look at
    vgg = models.build("vgg16")
parameters = [p for p in vgg.parameters() if p.ndim > 1]  # weights, without biases
rows = [row for row in summary("vgg16").rows if row.number]

# %% [markdown]
# ## 1 The plan
#
# Five stages. In each, a few 3 × 3 convolutions with padding 1, which keep the size, and then a
# pooling that halves it. Maps double from stage to stage until 512. Three dense layers at the end.
# The paper's table of nets is a table in the code, too:

# %%
from minicnn.models import vgg as file

print("maps in the stages:", file.WIDTHS)
for column, counts in file.COLUMNS.items():
    print(f"column {column}: convolutions in each stage {counts}, with the dense layers "
          f"{sum(counts) + 3} layers")  # fmt: skip
dims = [p.ndim for p in parameters]
print(f"VGG-16: {dims.count(4)} convolutions + {dims.count(2)} dense layers")
assert (dims.count(4), dims.count(2)) == (13, 3)

# %% [markdown]
# ## 2 Counting by hand
#
# A convolution with O filters of 3 × 3 on C channels has 3 · 3 · C · O weights and O biases. A
# dense layer has inputs × outputs. Do the first two on paper: 3 · 3 · 3 · 64 = 1,728, and 3 · 3 ·
# 64 · 64 = 36,864.
#
# ### Exercise 7.1: the number of parameters
#
# For a convolution with a square kernel. `bias` says whether there are biases.


# %%
def my_conv_parameters(in_channels, out_channels, kernel, bias=True):
    raise NotImplementedError("weights, and a bias for each filter")


minicnn.check(my_conv_parameters)

# %% [markdown]
# Now all sixteen, by that formula, beside what the net really has:

# %%
plan = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256),
        (256, 512), *[(512, 512)] * 5]  # fmt: skip
by_hand = [9 * C * O for C, O in plan] + [7 * 7 * 512 * 4096, 4096 * 4096, 4096 * 1000]
names = [f"conv {k + 1}" for k in range(13)] + ["fc 6", "fc 7", "fc 8"]
for name, mine, p in zip(names, by_hand, parameters):
    print(f"{name:8} {mine:12,}   {p.size:12,}   {'' if mine == p.size else '<-- differs'}")
assert by_hand == [p.size for p in parameters]
print(f"{'weights':8} {sum(by_hand):12,}\n{'biases':8} {vgg.num_parameters() - sum(by_hand):12,}")
print(f"{'together':8} {vgg.num_parameters():12,}")
assert vgg.num_parameters() == 138_357_544 and sum(by_hand) == 138_344_128

# %% [markdown]
# **Two misprints.** Lecture notes that are copied everywhere have "(3·3·3)·64 = 36,864" for the
# second convolution, and count a pooling as "56·56·64 = 800K". The results are right, the factors
# are not:

# %%
print(f"printed (3*3*3)*64 = {3 * 3 * 3 * 64:7,}   it is (3*3*64)*64 = {3 * 3 * 64 * 64:7,}")
print(f"printed 56*56*64   = {56 * 56 * 64:7,}   it is 112*112*64  = {112 * 112 * 64:7,}")
pool = next(row for row in rows if row.kind.startswith("MaxPool"))
print("the first pooling gives", pool.shape, "=", f"{math.prod(pool.shape):,}", "numbers")

# %% [markdown]
# ## 3 Where do they sit?
#
# Weights are one cost. The other is what a forward pass has to *keep* for the backward pass: all
# maps. (With ReLUs written over their inputs, since ReLU's backward needs only its output.) Draw
# both, layer by layer:

# %%
layers = [row for row in rows if row.kind.startswith(("Conv2d", "MaxPool", "Linear"))]
labels = []
for row in layers:
    kind = "conv" if row.kind.startswith("Conv") else "pool" if "Pool" in row.kind else "fc"
    labels.append(f"{kind} {'×'.join(map(str, row.shape))}")
fig, axes = plt.subplots(1, 2, figsize=(10, 4.4), sharey=True)
values = [math.prod(row.shape) / 1e6 for row in layers]
weights = [row.parameters / 1e6 for row in layers]
for ax, numbers, title in ((axes[0], values, "values kept, millions"),
                           (axes[1], weights, "parameters, millions")):  # fmt: skip
    ax.barh(range(len(layers)), numbers, color="#0f766e")
    ax.set_title(title, fontsize=10)
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_yticks(range(len(layers)), labels, fontsize=8)
axes[0].invert_yaxis()
plt.tight_layout()
share = next(row.parameters for row in layers if "Linear" in row.kind)
print(f"the first dense layer holds {share / vgg.num_parameters():.0%} of all parameters")
print(f"the first two convolutions hold {sum(values[:2]) / sum(values):.0%} of the values kept")

# %% [markdown]
# Memory sits at the front, where maps are large and few. Parameters sit at the back, in one dense
# layer. Hold on to that picture: GoogLeNet gets by with 7 million weights, and the first thing
# it did was to leave that one layer out.
#
# ## 4 How much memory is it?
#
# The same notes say "24M values, 96 MB for an image (forward only)". Add their own column up:

# %%
own_column = 224 * 224 * 3 + sum(math.prod(row.shape) for row in layers)
found = cost("vgg16")
spare = 7 * 7 * 512  # an adaptive pooling in torchvision's form, which does nothing at 224 x 224
with_relus = found.activations - spare - 2 * 4096


def shown(numbers):
    return f"{numbers / 1e6:5.1f}M values, {4 * numbers / 1e6:6.1f} MB"


print("as printed:                          24.0M values,   96.0 MB")
print("the notes' own column, added up:    ", shown(own_column))
print("and with every ReLU's output kept:  ", shown(with_relus))
print("backward, measured on the tape, adds", shown(found.gradients - spare))
assert shown(own_column) == " 15.2M values,   61.0 MB"
assert shown(with_relus) == " 28.8M values,  115.1 MB"

# %% [markdown]
# So the printed figure is neither. 15.2M with ReLUs in place, 28.8M without. And backward about
# doubles it: each value gets a gradient. For a batch of 32, multiply by 32: that is why memory, not
# speed, decides how large a batch can be.
#
# (`summary` says 15.3 and 28.8 million: it also counts the adaptive pooling that torchvision put in
# front of the dense layers, and the ReLUs of the dense layers.)
#
# ## 5 And time?
#
# Multiplications are neither where the memory is nor where the weights are. They are in the middle:

# %%
macs = [row.macs / 1e9 for row in layers]
for label, m, w in zip(labels, macs, weights):
    if m:
        print(f"{label:17} {m:5.2f}G multiplications  {w:7.2f}M parameters  {'#' * round(12 * m)}")
dense = sum(m for row, m in zip(layers, macs) if "Linear" in row.kind)
print(f"\ntogether {sum(macs):.1f}G; the dense layers: {dense / sum(macs):.1%} of them, "
      f"with {sum(weights[-3:]) / sum(weights):.0%} of the parameters")  # fmt: skip

# %% [markdown]
# A weight of a convolution is used at every pixel, one of a dense layer once. That is the
# difference between the two columns.
#
# ## 6 The family, and what was learnt from it
#
# The paper compares six nets. (Marked [P]: published, and not measured here.) A-LRN adds AlexNet's
# normalisation: the paper found no gain from it [P], and it went out of use. C has 1 × 1
# convolutions where D has 3 × 3. It is as deep as D with a narrower view; in the paper it is better
# than B and worse than D [P]. So depth helps, and so does seeing more.

# %%
sizes = {"A": "vgg11", "A-LRN": "vgg11_lrn", "B": "vgg13", "C": "vgg16_c", "D": "vgg16",
         "E": "vgg19"}  # fmt: skip
for column, name in sizes.items():
    with init.empty():
        net = models.build(name)
    kernels = [m.kernel_size[0] for _, m in net.named_modules() if isinstance(m, nn.Conv2d)]
    print(f"{column:6} {name:10} {net.num_parameters():12,} parameters, "
          f"{len(kernels):2} convolutions, {kernels.count(1)} of them 1x1")  # fmt: skip

# %% [markdown]
# **As a source of features.** Cut the last layer off, and 4,096 numbers are left for each image,
# out of FC7. For years these were *the* features for everything: similar images lie close to each
# other in them.

# %%
fc7 = [row for row in rows if row.kind == "Linear"][1]
print("FC7 gives", fc7.shape, "features for an image")
print(inspect.getsource(type(vgg).forward))

# %% [markdown]
# ### Published results
#
# The *top-5 error* is the share of images whose class is not among the net's five first choices.
# ILSVRC is the yearly contest on ImageNet's photos, with 1,000 classes. Nothing here was measured
# by minicnn.
#
# | [P] net | top-5 error, ILSVRC | how |
# |---|---|---|
# | AlexNet (2012) | 16.4% | five nets, challenge; a single net has 18.2% |
# | ZFNet (2013) | 11.7% | several nets, challenge |
# | VGG (2014) | 7.3% | several nets, challenge |
# | GoogLeNet (2014) | 6.7% | seven nets, challenge |
#
# ## What you have seen
#
# - 138,357,544 parameters, 74% of them in one dense layer; most memory in the first two
#   convolutions.
# - 15.2M values forward with ReLUs in place, 28.8M without; about as many again for the gradients.
# - A printed number is not to be believed but added up.
#
# **Next:** [08 Seven experiments on CIFAR-10](08_cifar_experiments.ipynb), on a small VGG; then
# [11 Inception](11_inception.ipynb), which won in the same year with a twentieth of the parameters.
#
# **To read:** Simonyan and Zisserman, "Very deep convolutional networks for large-scale image
# recognition", 2014.
