# %% [markdown]
# # 09 AlexNet, ZFNet, and several nets for one
#
# In autumn 2012 a net from Toronto won the ImageNet challenge: 1,000 kinds of things, and 1.2
# million photos of them to learn from. A program may name five kinds for each new photo. With 16%
# of the photos the right one was not among the net's five; with the next best program it was 26%
# [P]. ([P] marks a published figure that was not measured here.) Within a year nearly everybody in
# the field had changed over. Yet the net was LeNet's plan of 1998, made a thousand times larger,
# with a handful of tricks. Some of the tricks are used to this day, and some are not.
#
# **You will** follow an image through AlexNet; see that its famous two towers are one convolution
# in two groups; write its normalisation; measure ReLU against tanh; look at what ZFNet mended; and
# find out how much several nets are better than one.
#
# **You need** [06](06_lenet.ipynb) and [06c](06c_loss_and_learning.ipynb). One exercise; half an
# hour.

# %%
import inspect

import matplotlib.pyplot as plt
import numpy as np

import minicnn
from minicnn import Tensor, models, nn, no_grad, optim
from minicnn import functional as F
from minicnn.analysis import cost, summary
from minicnn.data import DataLoader, Dataset, DataUnavailableError, load
from minicnn.data.transforms import Compose, PCALighting, RandomCrop, RandomHorizontalFlip
from minicnn.nn import init
from minicnn.training import Trainer, experiments
from minicnn.training.experiments.results import table

with init.empty():  # 60 million weights that nobody will look at
    alexnet = models.build("alexnet_2012")
labels = ["CONV1", "POOL1", "CONV2", "POOL2", "CONV3", "CONV4", "CONV5", "POOL5", "FC6", "FC7",
          "FC8"]  # fmt: skip

# %% [markdown]
# ## 1 The plan
#
# Five convolutions, three dense layers. The first filters are huge, 11 × 11, and move by 4 pixels
# at a time. **On paper:** how large are the first maps? The paper says that its images have 224
# pixels. Try both:

# %%
for pixels in (224, 227):
    print(f"({pixels} - 11) / 4 + 1 = {(pixels - 11) / 4 + 1}")

# %% [markdown]
# 224 does not fit, and the paper's own 55 comes out of 227. So it is 227, as in everybody's code
# since. Now all sizes:

# %%
rows = summary("alexnet_2012").rows
layers = [row for row in rows if row.kind.startswith(("Conv2d", "MaxPool2d", "Linear"))]
fig, ax = plt.subplots(figsize=(11, 2.8))
sizes, x = [], 0
for name, row in zip(labels, layers):
    C, *size = row.shape
    width, height = (C / 80, size[0]) if size else (1, C / 100)
    color = {"Conv": "#0f766e", "MaxP": "#7fb5ae", "Line": "#c2570c"}[row.kind[:4]]
    ax.add_patch(plt.Rectangle((x, -height / 2), width, height, color=color))
    sizes.append((*size, C))
    text = f"{name}\n" + "×".join(map(str, sizes[-1]))
    ax.text(x + width / 2, -30, text, ha="center", va="top", fontsize=7.5)
    x += width + 5
ax.set(xlim=(-2, x - 2), ylim=(-44, 29))
ax.axis("off")
assert sizes == [(55, 55, 96), (27, 27, 96), (27, 27, 256), (13, 13, 256), (13, 13, 384),
                 (13, 13, 384), (13, 13, 256), (6, 6, 256), (4096,), (4096,), (1000,)]  # fmt: skip

# %% [markdown]
# **Counting.** CONV1 has 96 filters of 11 × 11 × 3: 34,848 weights, which slides round to "35K".
# POOL1 has none. The whole net has 60,965,224 parameters. You will find two more figures for
# "AlexNet", and both are right, of other nets:

# %%
conv1 = alexnet.features[0]
print(f"CONV1: 96 x 11 x 11 x 3 = {conv1.weight.size:,} weights; POOL1:",
      alexnet.features[3].num_parameters())  # fmt: skip
with init.empty():
    counts = {
        "2012, in two towers": alexnet.num_parameters(),
        "2012, on one GPU (no towers)": models.build("alexnet_2012", groups=1).num_parameters(),
        "2014, torchvision's `alexnet`": models.build("alexnet").num_parameters(),
    }
for name, count in counts.items():
    print(f"{name:30} {count:11,} parameters")
assert conv1.weight.size == 34_848
assert list(counts.values()) == [60_965_224, 62_378_344, 61_100_840]

# %% [markdown]
# The third one is from a later paper of Krizhevsky's, "One weird trick": 64 first maps in place of
# 96, one tower, no normalisation. Whoever loads "AlexNet" from a library nearly always gets that.
#
# **Where does the cost sit?** As in VGG ([07](07_vgg16.ipynb)): parameters at the back,
# multiplications in front.

# %%
macs, weights = ([getattr(row, name) / 1e6 for row in layers] for name in ("macs", "parameters"))
fig, axes = plt.subplots(1, 2, figsize=(9, 2.8), sharey=True)
for ax, numbers, title in ((axes[0], macs, "multiplications, millions"),
                           (axes[1], weights, "parameters, millions")):  # fmt: skip
    ax.barh(labels, numbers, color="#0f766e")
    ax.set_title(title, fontsize=10)
    ax.spines[["top", "right"]].set_visible(False)
axes[0].invert_yaxis()
print(f"dense layers: {sum(weights[-3:]) / sum(weights):.0%} of the parameters, "
      f"{sum(macs[-3:]) / sum(macs):.0%} of the multiplications")  # fmt: skip

# %% [markdown]
# ## 2 Two towers
#
# A GPU of 2012 had 3 GB of memory. The net did not fit. So the authors cut it in two: each GPU kept
# half of the maps, and only CONV3 and the dense layers looked at both halves. In drawings it looks
# like two nets side by side. It is much simpler than that. A convolution *in two groups* has the
# same effect: the first half of the filters sees the first half of the channels, the second half
# the second.

# %%
convs = [m for _, m in alexnet.named_modules() if isinstance(m, nn.Conv2d)]
fig, axes = plt.subplots(1, 5, figsize=(10, 2.3), layout="constrained")
for k, (ax, conv) in enumerate(zip(axes, convs)):
    O, C, g = conv.out_channels, conv.in_channels, conv.groups
    connected = np.kron(np.eye(g), np.ones((O // g, C // g)))
    ax.imshow(connected, "GnBu", vmin=0, vmax=1.3, aspect="auto", extent=(0, C, O, 0))
    ax.set(title=f"CONV{k + 1}: {'two groups' if g == 2 else 'all'}", xlabel="channel in")
    ax.title.set_fontsize(9)
axes[0].set_ylabel("map out")
print("groups of CONV1 to CONV5:", [conv.groups for conv in convs])
assert [conv.groups for conv in convs] == [1, 2, 1, 2, 2]

# %% [markdown]
# (Coloured: connected. CONV1 sees the three colours, so there is nothing to divide; each tower gets
# 48 of its 96 maps.) The proof, with CONV2's sizes. Two convolutions on two GPUs, and one in two
# groups:

# %%
rng = np.random.default_rng(0)
x, w = (Tensor(rng.standard_normal(shape)) for shape in ((2, 96, 9, 9), (256, 48, 5, 5)))
first_gpu = F.conv2d(x[:, :48], w[:128], padding=2)
second_gpu = F.conv2d(x[:, 48:], w[128:], padding=2)
grouped = F.conv2d(x, w, padding=2, groups=2)
difference = np.abs(F.cat([first_gpu, second_gpu], 1).numpy() - grouped.numpy()).max()
print(f"largest difference: {difference:.1e}")
assert difference < 1e-12

whole, halves = (
    cost(nn.Conv2d(96, 256, 5, padding=2, groups=g), (96, 27, 27)) for g in (1, 2)
)
print(f"CONV2 in one group: {whole.macs / 1e6:.0f} million multiplications, in two: "
      f"{halves.macs / 1e6:.0f}")  # fmt: skip

# %% [markdown]
# Half the connections, half the work. The makeshift outlived its cause: with 32 groups it became
# ResNeXt, with as many groups as channels MobileNet. (The two towers came to different things, too.
# In the paper one has learnt nearly colourless filters, the other colourful ones.)
#
# ## 3 Local response normalisation
#
# In the eye, a cell that is strongly excited damps its neighbours. AlexNet imitates that *between
# maps*. At each pixel, a number is divided by what its neighbouring maps have to say:
#
# $$y_c = x_c \left(k + \frac{\alpha}{n} \sum_{c'} x_{c'}^2 \right)^{-\beta}$$
#
# with the sum over the n = 5 maps around c (its own included), k = 2, β = 0.75. (The paper writes α
# without the n and means 10⁻⁴. PyTorch, Caffe and minicnn divide by n, so there it is 5 · 10⁻⁴.)

# %%
from minicnn.ops.normalization import LocalResponseNorm, channel_sums

x = np.full((1, 16, 1, 1), 10.0)
x[0, 8] = 100.0  # one map is excited
y = F.local_response_norm(Tensor(x), 5, alpha=5e-4, beta=0.75, k=2.0).numpy()
plain = x * 2.0**-0.75  # what k alone would leave
plt.figure(figsize=(6, 2.4))
colors = ["#c2570c" if c == 8 else "#0f766e" for c in range(16)]
plt.bar(range(16), (y / plain).ravel(), color=colors)
plt.title("output of each map, as a share of what k alone would leave", fontsize=10)
plt.xlabel("map (number 8 is ten times as strong as the others)")
print(inspect.getsource(LocalResponseNorm.forward))
print(inspect.getsource(channel_sums))

# %% [markdown]
# All five maps whose window holds the strong one are damped by a quarter, the strong one itself
# among them. The others are hardly touched.
#
# ### Exercise 9.1: local response norm
#
# x (N, C, H, W). For map c the window holds the maps from c - size // 2 to c + (size - 1) // 2,
# those that there are.


# %%
def my_local_response_norm(x, size, alpha, beta, k):
    raise NotImplementedError("x divided by (k + alpha / size * sum of squares) ** beta")


minicnn.check(my_local_response_norm)

# %% [markdown]
# **Normalise first, then pool, or the other way round?** A widely read lecture lists POOL before
# NORM. The paper normalises first. Is that the same? Pooling takes the largest of each map alone,
# and the winners of neighbouring maps need not lie at the same pixel:

# %%
kinds = [row.kind.split(" ")[0] for row in rows]
print("minicnn, as in the paper:", [k for k in kinds if "Norm" in k or "Pool" in k][:4])
x = Tensor(np.maximum(rng.normal(size=(1, 16, 13, 13)), 0) * 50)


def lrn(t):
    return F.local_response_norm(t, 5, alpha=5e-4, beta=0.75, k=2.0)


paper, lecture = F.max_pool2d(lrn(x), 3, 2).numpy(), lrn(F.max_pool2d(x, 3, 2)).numpy()
print(f"the two orders differ by {np.abs(paper - lecture).mean() / paper.mean():.0%} on average")
assert [k for k in kinds if "Norm" in k or "Pool" in k][:2] == ["LocalResponseNorm", "MaxPool2d"]

# %% [markdown]
# It went out of use within two years: VGG's authors tried it and found no gain (they have a net
# with it and one without). Batch normalisation took its place
# ([06b](06b_batch_norm_dropout.ipynb)).
#
# ## 4 The recipe
#
# What was new was less the net than how it was trained. Point by point, with minicnn's name for it:
#
# | | 2012 | in minicnn |
# |---|---|---|
# | activation | ReLU, not tanh | `nn.ReLU` |
# | normalisation | LRN | `nn.LocalResponseNorm` |
# | more images | crops, mirror images | `RandomCrop`, `RandomHorizontalFlip` |
# | and in another light | PCA lighting | `PCALighting` |
# | against learning by heart | dropout 0.5 before FC6 and FC7 | `nn.Dropout` |
# | steps | batch 128, momentum 0.9, weight decay 5 · 10⁻⁴ | `optim.SGD` |
# | learning rate | 0.01, a tenth when it stops getting better | `callbacks.ReduceLROnPlateau` |
# | in the end | seven nets, averaged | section 7 |

# %%
from minicnn.training.callbacks import ReduceLROnPlateau

optimizer = optim.SGD(alexnet.parameters(), lr=1e-2, momentum=0.9, weight_decay=5e-4)
schedule = ReduceLROnPlateau(factor=0.1)
dropouts = [m.p for _, m in alexnet.named_modules() if isinstance(m, nn.Dropout)]
print("lr", optimizer.param_groups[0]["lr"], " dropout", dropouts)
print(inspect.getsource(ReduceLROnPlateau.after_epoch))

# %% [markdown]
# **More images out of few.** Every time an image is used it looks a little different: another
# window, perhaps mirrored, and in another light. *PCA lighting* adds a colour in the direction in
# which the colours of all images differ most, which is roughly how daylight changes. (CIFAR-10's
# photos are used if they lie on your machine, else digits in colour.)


# %%
def photos():
    """CIFAR-10's training images if they are on this machine, else tinted digits of 32 x 32."""
    try:
        return load("cifar10", "train", download=False)
    except DataUnavailableError:
        digits = load("digits", "train", size=28)
        grey = np.pad(digits.images, ((0, 0), (0, 0), (2, 2), (2, 2)))
        tints = np.random.default_rng(0).uniform(0.3, 1, (len(grey), 3, 1, 1))
        return Dataset((grey * tints).astype(np.uint8), digits.labels, digits.classes, "digits")


data = photos()
data = data[:: len(data) // 1250 or 1]
light = PCALighting.of(data.images, std=0.3)  # three times the paper's, so that it can be seen
same = DataLoader(
    data[[7] * 8], 8, transform=Compose([RandomCrop(32, padding=4), RandomHorizontalFlip(), light])
)
variants, _ = next(iter(same))
fig, axes = plt.subplots(1, 9, figsize=(11, 1.6))
for ax, image in zip(axes, [data.images[7] / 255, *variants]):
    ax.imshow(np.clip(image.transpose(1, 2, 0), 0, 1))
    ax.axis("off")
axes[0].set_title("as it is", fontsize=9)
axes[4].set_title("the same, eight times", fontsize=9)
print(f"{data.name}: {len(data):,} images")

# %% [markdown]
# ## 5 ReLU against tanh
#
# "Deep convolutional neural networks with ReLUs train several times faster than their equivalents
# with tanh units." The paper's first figure: a net of four layers on CIFAR-10 comes to 25% training
# error six times as fast. Why should it? tanh *saturates*: far from 0 it is flat, and where it is
# flat no gradient gets through.

# %%
z = np.linspace(-4, 4, 200)
fig, axes = plt.subplots(1, 2, figsize=(8, 2.3))
for name, f, color in (("tanh", F.tanh, "#c2570c"), ("ReLU", F.relu, "#0f766e")):
    t = Tensor(z, requires_grad=True)
    y = f(t)
    y.sum().backward()
    axes[0].plot(z, y.numpy(), color=color, label=name)
    axes[1].plot(z, t.grad.numpy(), color=color)
axes[0].set_title("value", fontsize=10)
axes[1].set_title("slope: what is left of the gradient", fontsize=10)
axes[0].set_ylim(-1.5, 4)
_ = axes[0].legend(frameon=False)

# %% [markdown]
# Let us measure it: a net of four layers, with a start that suits each of the two (He's and
# Glorot's, [06c](06c_loss_and_learning.ipynb)), the same images in the same order.


# %%
def four_layers(activation, initializer):
    """[conv16 pool] [conv32 pool] [conv32 pool] FC10."""
    layers = []
    for before, after in ((3, 16), (16, 32), (32, 32)):
        conv = nn.Conv2d(before, after, 3, padding=1, initializer=initializer)
        layers += [conv, activation(), nn.MaxPool2d(2)]
    last = nn.Linear(512, 10)
    init.normal_(last.weight, std=0.01)  # all classes alike to begin with
    return nn.Sequential(*layers, nn.Flatten(), last)


normal = {"mean": data.images.mean((0, 2, 3)) / 255, "std": data.images.std((0, 2, 3)) / 255}
learning = DataLoader(data, 64, shuffle=True, **normal)
seen = DataLoader(data[:250], 250, **normal)
curves = {}
for name, activation, start in (("ReLU", nn.ReLU, init.he_normal_),
                                ("tanh", nn.Tanh, init.xavier_normal_)):  # fmt: skip
    minicnn.manual_seed(0)
    net = four_layers(activation, start)
    trainer = Trainer(net, optim.SGD(net.parameters(), 0.01, momentum=0.9), progress=False)
    curves[name] = [entry["train_loss"] for entry in trainer.fit(learning, seen, 7)]
    print(f"{name}: " + "  ".join(f"{loss:.2f}" for loss in curves[name]))

# %%
plt.figure(figsize=(5.4, 2.8))
for (name, losses), color in zip(curves.items(), ("#0f766e", "#c2570c")):
    plt.plot(range(1, 8), losses, "o-", ms=3, color=color, label=name)
slow = curves["tanh"][-1]
sooner = next((k + 1 for k, loss in enumerate(curves["ReLU"]) if loss <= slow), None)
plt.axhline(slow, color="gray", ls=":", lw=1)
plt.xlabel("epoch")
plt.title(f"training loss ({data.name}, lr 0.01)", fontsize=10)
plt.legend(frameon=False)
print(f"tanh has a training loss of {slow:.2f} after 7 epochs, ReLU after {sooner}")

# %% [markdown]
# One learning rate may suit one of them better. So the measurement that is kept with minicnn gives
# each of them the better of two, on more images, and counts the epochs to a fixed training loss:

# %%
plan, kept = experiments.load("relu-tanh"), experiments.committed("relu-tanh")
print(table(plan, kept))
for claim in plan.claims(kept):
    print("\n" + ("yes: " if claim.holds else "no: ") + claim.text)
for name in plan.variants:
    tried = kept.of(name)[0]["tried"]
    print(f"{name}: " + ", ".join(f"{n} epochs at lr {lr}" for lr, n in tried.items()))

# %% [markdown]
# With a learning rate of its own for each, ReLU's lead is gone: on few images, with one seed, but
# far from six times. What is different from 2012? Perhaps the start. Glorot's rule was two years
# old then, AlexNet drew all its weights with a standard deviation of 0.01, and a tanh net that
# starts badly sits in the flat parts and stays there. So a published factor belongs to its net, its
# data, its start and its learning rates. What has not changed: ReLU costs next to nothing and does
# not saturate. In deep nets that decides.
#
# ## 6 ZFNet: looking inside
#
# Zeiler and Fergus mended AlexNet by *looking* at it, and Zeiler's company Clarifai won the
# challenge of 2013 with nets of this kind. They ran feature maps backwards through the net, to see
# what in an image had excited a unit. AlexNet's first filters turned out to hold very coarse and
# very fine patterns and little between. And the stride of 4 skipped so much that false patterns
# came up one layer further on, as the bands on a striped shirt that is filmed (moiré). So:
# 7 × 7 in place of 11 × 11, and a stride of 2.

# %%
print(f"{'':9} {'AlexNet':>18} {'ZFNet':>18}")
both = []
for name in ("alexnet_2012", "zfnet"):
    kept_rows = [r for r in summary(name).rows if r.kind.startswith(("Conv2d", "MaxPool2d"))]
    both.append([f"{r.kind.split(' ')[1]:>7} {'×'.join(map(str, r.shape)):>10}" for r in kept_rows])
for label, mine, theirs in zip(labels, *both):
    print(f"{label:9} {mine} {theirs}")
zfnet = summary("zfnet")
with init.empty():
    wide = models.build("zfnet_512").num_parameters()
print(f"\nparameters: 384/384/256 maps {zfnet.cost.parameters:,}; 512/1024/512 {wide:,}")
first = next(r for r in zfnet.rows if r.kind.startswith("Conv2d"))
assert first.kind == "Conv2d 7x7/2"
assert (zfnet.cost.parameters, wide) == (62_357_608, 107_627_624)

# %% [markdown]
# **A description that does not add up.** In lectures ZFNet is "AlexNet, but CONV1 of 7 × 7 with
# stride 2, and 512, 1024, 512 maps". Now the first maps have 110 pixels, twice AlexNet's 55. If all
# else stayed as it was, CONV2 with its stride of 1 would keep them twice as large to the end, and
# the first dense layer would have to take them:

# %%
with init.empty():
    features = models.build("zfnet_512").features
conv2 = next(m for _, m in features.named_modules()
             if isinstance(m, nn.Conv2d) and m.in_channels == 96)  # fmt: skip
print("ZFNet's own CONV2:", conv2)
conv2.stride, conv2.padding = (1, 1), (2, 2)  # AlexNet's
C, H, W = summary(features, (3, 224, 224)).rows[-1].shape
print(f"with AlexNet's: POOL5 gives {C} x {H} x {W}, so FC6 alone has {C * H * W * 4096:,} weights")
assert C * H * W * 4096 == 354_418_688

# %% [markdown]
# 354 million, six times AlexNet. In the paper's figure CONV2 has a stride of 2 as well, and that
# net has 62,357,608 parameters, about as many as AlexNet on one GPU (62,378,344).
#
# ## 7 Several nets for one
#
# Train the same net several times, from other first weights, with the images in another order. Each
# makes mistakes, but not the same ones. Average their *probabilities*, and the odd ones out are
# outvoted. It needs hardly any code, and it has won nearly every challenge since.
#
# Is it not simply that several nets have more weights? So: five small nets against one LeNet, which
# is larger than all five together.


# %%
def digits():
    """MNIST if it is on this machine, else minicnn's own digits."""
    try:
        return [load("mnist", part, download=False) for part in ("train", "test")]
    except DataUnavailableError:
        return [load("digits", part, size=28) for part in ("train", "test")]


train, test = digits()
train, test = train[:: len(train) // 1000 or 1][:1000], test[:: len(test) // 2000 or 1]


def small_lenet():
    """LeNet's plan with 4 and 8 maps, and a hidden layer of 32: 7,674 parameters."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 8, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(200, 32), nn.ReLU(), nn.Linear(32, 10),
    )  # fmt: skip


def probabilities(net, seed, epochs=6):
    """What a net, trained with this seed, makes of the test images: (N, 10)."""
    batches = DataLoader(train, 50, shuffle=True, seed=seed)
    trainer = Trainer(net, optim.SGD(net.parameters(), 0.03, momentum=0.9), progress=False)
    trainer.fit(batches, DataLoader(test[:100], 100), epochs)
    with no_grad():
        return F.softmax(net(Tensor(test.images / np.float32(255))), dim=1).numpy()


# %%
single = []
for seed in range(5):
    minicnn.manual_seed(seed)
    net = small_lenet()
    single.append(probabilities(net, seed))
minicnn.manual_seed(0)
lenet = models.LeNet()
large = probabilities(lenet, 0)


def right(p):
    """The share of test images whose likeliest class is the right one."""
    return (p.argmax(axis=1) == test.labels).mean()


together = [right(np.mean(single[: k + 1], axis=0)) for k in range(5)]
print(f"{test.name}: {len(train):,} images to learn from, {len(test):,} to be tested on")
print("each of the five alone:  ", "  ".join(f"{right(p):.1%}" for p in single))
print("the first k together:    ", "  ".join(f"{share:.1%}" for share in together))
print(f"five small nets, {5 * net.num_parameters():,} parameters: {together[-1]:.1%}")
print(f"one LeNet,       {lenet.num_parameters():,} parameters: {right(large):.1%}")

# %%
plt.figure(figsize=(5.4, 2.8))
plt.plot(range(1, 6), [right(p) for p in single], "o", color="#c9cdd2", label="the k-th alone")
plt.plot(range(1, 6), together, "o-", color="#0f766e", label="the first k together")
plt.axhline(right(large), color="#c2570c", ls="--", lw=1, label="one LeNet")
plt.gca().yaxis.set_major_formatter(lambda share, _: f"{share:.1%}")
plt.xticks(range(1, 6))
plt.xlabel("k, number of nets")
plt.title("test images right", fontsize=10)
_ = plt.legend(frameon=False, fontsize=8)

# %% [markdown]
# So it is not the number of weights: together the five have fewer than the LeNet, and do about as
# well as it does. Each of them alone is some points behind.
#
# **Why averaging cannot hurt much.** The loss -log p is a curve that bends upwards, so the loss of
# an average of probabilities is never more than the average of the losses. That holds always; it is
# a theorem (Jensen's inequality). Check it here. How much is gained depends on how much the nets
# *differ*:

# %%
place = np.arange(len(test)), test.labels
each = [float(-np.log(p[place] + 1e-12).mean()) for p in single]
average = float(-np.log(np.mean(single, axis=0)[place] + 1e-12).mean())
print("loss of each net:", [round(loss, 3) for loss in each])
print(f"their mean {np.mean(each):.3f}; loss of the averaged probabilities {average:.3f}")
assert average <= np.mean(each)
a, b = (p.argmax(axis=1) != test.labels for p in single[:2])
print(f"net 1 is wrong on {a.sum()}, net 2 on {b.sum()}, both on {(a & b).sum()}")

# %% [markdown]
# The price: five trainings, and five times the time for every answer. (With seven larger nets on
# Fashion-MNIST: `minicnn experiment ensemble`.)
#
# ## 8 4,096 numbers for an image
#
# Cut the last layer off AlexNet, and 4,096 numbers are left for each image: FC7's output. The
# authors noticed that images whose 4,096 numbers are close to each other show the same kind of
# thing. That is how transfer learning began.

# %%
dense = [row for row in rows if row.kind == "Linear"]
print("FC6, FC7, FC8:", [row.shape[0] for row in dense])
assert dense[1].shape == (4096,)
print(alexnet.classifier)

# %% [markdown]
# ### Published results
#
# These are the challenges' and the papers', not measured here. They stand apart from everything
# above. (AlexNet's: table 2 of its paper. ZFNet's: the challenge's list of 2013.)
#
# | [P] net | top-5 error, ILSVRC | how |
# |---|---|---|
# | AlexNet (2012) | 18.2% | one net, validation images |
# | AlexNet | 16.4% | five nets, the challenge's figure |
# | AlexNet | 15.4% | seven nets, two of them taught with more photos; validation images |
# | ZFNet (2013) | 11.7% | several nets, the challenge's figure |
#
# From 18.2% to 16.4% by averaging alone.
#
# ## What you have seen
#
# - LeNet's plan at 227 pixels: 60,965,224 parameters in two towers; 62,378,344 in one;
#   torchvision's 61,100,840 are another net's.
# - Two towers are one convolution in two groups.
# - LRN: normalise first, then pool; nobody uses it now.
# - ReLU does not saturate. "Six times faster" belongs to the paper's net; here, with a good start
#   and a rate of its own for each, the two are level.
# - ZFNet looks more finely; with CONV2's stride of 1 it would need 354 million weights in FC6.
# - Several nets that differ are better together than each alone, at several times the price.
#
# **Next:** [10 Receptive fields](10_receptive_fields.ipynb): why 3 × 3 took the place of 11 × 11.
#
# **To read:** Krizhevsky, Sutskever, Hinton, "ImageNet classification with deep convolutional
# neural networks", 2012; Zeiler and Fergus, "Visualizing and understanding convolutional networks",
# 2013.
