# %% [markdown]
# # 12 ResNet: degradation and the identity
#
# By 2015 everybody knew that deeper is better. Then somebody made a plain net of 56 layers, and it
# was worse than the one of 20: not on new images only, on the training images themselves. So it had
# not overfitted. It could not be *trained*. The cure is one plus sign.
#
# **You will** see that a deeper net can always copy a shallower one; find where the copy gets lost
# in training; build the block that starts as a copy; and count what a bottleneck saves.
#
# **You need** [02](02_convolution.ipynb), [04](04_autograd.ipynb), [07](07_vgg16.ipynb); twenty
# minutes. No function to write, but a question to answer on paper.

# %%
import inspect
import itertools
import math

import matplotlib.pyplot as plt
import numpy as np

import minicnn
from minicnn import Tensor, models, nn, no_grad
from minicnn import functional as F
from minicnn.analysis import receptive_field, summary
from minicnn.models.resnet import BasicBlock, Bottleneck
from minicnn.nn import init
from minicnn.training import experiments

# %% [markdown]
# ## 1 A deeper net cannot be worse. Or can it?
#
# Take a net that works. Put more layers behind its features, each of which hands on what it gets. A
# convolution can do that: filter number k is 1 in the middle of channel k, and 0 elsewhere. The
# ReLU behind it changes nothing either, since what comes out of a ReLU is not negative.


# %%
def copying(C):
    """A 3x3 convolution that hands on its C channels."""
    layer = nn.Conv2d(C, C, 3, padding=1, bias=False)
    weight = np.zeros((C, C, 3, 3), np.float32)
    weight[range(C), range(C), 1, 1] = 1
    layer.weight.assign_(weight)
    return layer


minicnn.manual_seed(0)
features = [nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU()]
head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)]
shallow = nn.Sequential(*features, *head)
deep = nn.Sequential(*features, *[m for _ in range(20) for m in (copying(16), nn.ReLU())], *head)

shallow.to(np.float64), deep.to(np.float64)  # the fast ways for 3x3 in float32 round a little
images = Tensor(np.random.default_rng(0).normal(size=(4, 3, 32, 32)))
with no_grad():
    same = np.array_equal(shallow(images).numpy(), deep(images).numpy())
print("3 layers and 23 layers give the same scores:", same)
assert same

# %% [markdown]
# So the deep net *can* be as good: the solution exists. In the paper, on CIFAR-10, the trained
# plain net of 56 layers is worse than the one of 20 all the same, on its own training images [P].
# The optimiser does not find what we have just written down in a few lines. That is called
# **degradation**. The experiment `degradation` trains plain and residual nets of both depths. It
# takes three hours, and far fewer epochs than the paper's 164; what came out:

# %%
experiment, results = experiments.load("degradation"), experiments.committed("degradation")
print(experiments.results.page(experiment, results))
experiment.draw(results, plt.figure(figsize=experiment.size, layout="constrained"))

# %% [markdown]
# The plain nets show it at once. The deeper residual net starts a little slower than the other,
# has caught up by the fourth epoch, and ends ahead, on its training images and on new ones. That is
# one seed, and the lead is small; but compare the two nets of 56 layers, which differ in the
# shortcuts alone.
#
# ## 2 Why is the copy so hard to find?
#
# Training follows the gradient. That helps only if the gradient says nearly the same a small step
# further on. Balduzzi and others looked at just that: feed a net with single numbers x from -2 to 2
# and plot the slope of its output over x. Dense layers with He's initialisation, before any
# training:


# %%
def slopes(depth, shortcut, seed=0, width=128, points=256):
    """dy/dx at many x, for a random net of so many layers."""
    rng = np.random.default_rng(seed)

    def normal(*shape):
        return Tensor(rng.normal(size=shape))

    x = Tensor(np.linspace(-2, 2, points)[:, None], requires_grad=True)
    y = F.relu(F.linear(x, normal(width, 1), normal(width)))
    for _ in range(depth):
        w = normal(width, width) * np.sqrt(2 / width)
        y = y + F.linear(F.relu(y), w) * 0.3 if shortcut else F.relu(F.linear(y, w))
    F.linear(y, normal(1, width)).sum().backward()
    return x.grad.numpy()[:, 0]


nets = (("plain, 2 layers", 2, False), ("plain, 50", 50, False), ("50, with shortcuts", 50, True))
fig, axes = plt.subplots(1, 3, figsize=(11, 2.3))
for ax, (title, depth, shortcut) in zip(axes, nets):
    g = slopes(depth, shortcut)
    ax.plot(np.linspace(-2, 2, len(g)), g / np.abs(g).max(), color="#0f766e", lw=0.9)
    ax.set(title=title, xlabel="x", yticks=[])
    ax.title.set_fontsize(10)
axes[0].set_ylabel("slope dy/dx")

# %% [markdown]
# The slope of a shallow net goes up and down slowly. That of a deep plain one looks like noise: a
# little further on it may say the opposite. With shortcuts most of the calm is back. As a number:
# how much is the slope at one x like the slope four points further on? (Their correlation, which is
# 1 for the same and 0 for no likeness; the mean of eight random nets.)


# %%
def likeness(g, apart=4):
    """Correlation of a slope with the one `apart` points further on."""
    g = g - g.mean()
    return (g[:-apart] * g[apart:]).mean() / (g * g).mean()


found = {}
for shortcut in (False, True):
    for depth in (2, 10, 24, 50):
        value = np.mean([likeness(slopes(depth, shortcut, seed)) for seed in range(8)])
        found[shortcut, depth] = value
        print(f"{'shortcuts' if shortcut else 'plain':10} {depth:3} layers: {value:.2f}")
assert found[False, 50] < 0.5 < found[True, 50]

# %% [markdown]
# The deeper the plain net, the lower it is. Its gradient is there, but a step along it leads
# somewhere else than it promised. (Here without batch normalisation, on one number; the paper shows
# the same for convolutional nets with it.)
#
# ## 3 One plus sign
#
# He, Zhang, Ren and Sun let the layers learn a *difference*: y = x + f(x). If the best thing to do
# is nothing, f has to become 0, and weights find 0 easily. In the code the plus sign is called
# `add`: the last layer of f adds it to its result, and then activates that, while the numbers are
# at hand. (Where there is no shortcut, it is a block of a plain net. `downsample` is a 1 × 1
# convolution for the few blocks whose output has another size than x.)

# %%
print(inspect.getsource(BasicBlock.forward))

# %% [markdown]
# Does it pass its input on when f is 0? Set the scale of the block's last batch norm to 0 (that is
# how minicnn starts its ResNets, if you ask for it) and send numbers through that are not negative:

# %%
minicnn.manual_seed(0)
block = BasicBlock(8, 8).eval()
init.constant_(block.last_norm().weight, 0)
x = np.abs(np.random.default_rng(0).normal(size=(2, 8, 6, 6))).astype(np.float32)
with no_grad():
    print("output = input, bit for bit:", np.array_equal(block(Tensor(x)).numpy(), x))

# %% [markdown]
# **And backward?** dy goes to both terms of a sum. So the shortcut hands it to x as it is, whatever
# f does: a way back without any weights. (Only the ReLU behind the sum stops some of it;
# [13](13_after_resnet.ipynb) moves that ReLU.) Let us measure how much of the gradient arrives at
# the image of a net before training, plain and residual, layer by layer the same otherwise (He et
# al.'s nets for CIFAR):

# %%
rng = np.random.default_rng(0)
image = rng.normal(size=(8, 3, 32, 32)).astype(np.float32)
print("net        gradient's size at the image, before training")
arrived = {}
for depth in (20, 56):
    for kind in ("plain", "resnet"):
        minicnn.manual_seed(0)
        net = models.build(f"cifar_{kind}{depth}")
        x = Tensor(image, requires_grad=True)
        F.cross_entropy(net(x), np.arange(8)).backward()
        arrived[kind, depth] = np.abs(x.grad.numpy()).mean()
        print(f"{kind + '-' + str(depth):10} {arrived[kind, depth]:.1e}")
assert arrived["plain", 56] > 100 * arrived["plain", 20]
assert arrived["resnet", 56] < 10 * arrived["resnet", 20]

# %% [markdown]
# So the old explanation, that gradients *vanish* in deep nets, does not survive here: with batch
# norm in every layer, the plain net's gradient is hundreds of times larger with 56 layers than with
# 20, the residual net's only a few times. It is not too small, it is unsteady.
#
# ## 4 The family
#
# Each stage halves H and W and doubles the channels, so the volume halves. Global average pooling
# at the end, one dense layer, no dropout; and any size of image will do.

# %%
stages = [row for row in summary("resnet50", depth=1).rows if row.layer.startswith("layer")]
for row in stages:
    print(f"{row.layer}  {'×'.join(map(str, row.shape)):14} {math.prod(row.shape):9,} numbers")
volumes = [math.prod(row.shape) for row in stages]
assert all(b * 2 == a for a, b in itertools.pairwise(volumes))
for size in ((3, 224, 224), (3, 160, 256), (3, 65, 33)):
    print("image", size, "-> scores", summary("resnet50", size).rows[-1].shape)

# %%
print("net         parameters    multiplications   sees")
for depth in (18, 34, 50, 101, 152):
    found = summary(f"resnet{depth}")
    sees, _ = receptive_field(f"resnet{depth}", (3, 224, 224)).size
    print(f"ResNet-{depth:<4} {found.cost.parameters:11,} {found.cost.macs / 1e9:12.2f}G {sees:9}")
with init.empty():
    net = models.build("resnet34")
counted = [k for k, p in net.named_parameters() if p.ndim > 1 and "downsample" not in k]
print("ResNet-34's layers with weights, shortcuts aside:", len(counted), "(a text has 35)")

# %% [markdown]
# ResNet-50 has more layers than ResNet-34, more channels, and few more multiplications. How?
#
# **The bottleneck.** At 256 channels, two 3 × 3 need 2 · 9 · 256² weights. The bottleneck squeezes
# to 64 with a 1 × 1, does its 3 × 3 there, and comes back with another 1 × 1. It is Inception's
# trick. **On paper:** how many weights? (Below, `in_turn` runs a convolution, its batch norm and,
# if it is named, a ReLU; `end` is the plus sign and the ReLU after it.)

# %%
for name, block in (("two 3x3", BasicBlock(256, 256)), ("bottleneck", Bottleneck(256, 64))):
    weights = [p.size for p in block.parameters() if p.ndim > 1]
    print(f"{name:11} {' + '.join(f'{w:,}' for w in weights)} = {sum(weights):,}")
print(inspect.getsource(Bottleneck.residual))

# %% [markdown]
# ## 5 What is said about it
#
# Some things that are in print, and what the paper or the count says:
#
# | in print | it is |
# |---|---|
# | "35 layers" | 34 with weights (counted above); a pooling has none |
# | weight decay "1e-5" | 1e-4 (the paper, section 3.4) |
# | "Xavier initialisation from He" | He's own: variance 2/n, [06c](06c_loss_and_learning.ipynb) |
# | ResNet-50 has "25.6M" or "25.5M" | 25,557,032, rounded 25.6M; 25.5M is cut off, not rounded |
#
# ### Published results
#
# | [P] net | top-5 error, ILSVRC | how |
# |---|---|---|
# | GoogLeNet (2014) | 6.7% | seven nets, challenge |
# | ResNet (2015) | 3.57% | an ensemble, challenge |
# | a person | about 5% | one who had trained for it |
#
# ## What you have seen
#
# - A deeper net can copy a shallower one; training does not find the copy.
# - Deep plain nets have unsteady gradients; y = x + f(x) keeps them calm, and starts near the copy.
# - A bottleneck at 256 channels has 69,632 weights in place of 1,179,648.
#
# **Next:** [13 After ResNet](13_after_resnet.ipynb): what else can be changed about a net.
#
# **To read:** He, Zhang, Ren, Sun, "Deep residual learning for image recognition", 2015; Balduzzi
# et al., "The shattered gradients problem", 2017.
