# %% [markdown]
# # 08 Seven experiments on CIFAR-10
#
# Dropout, batch normalisation, L2, one more layer, twice the width: everybody recommends them all.
# What does each of them do? There is one way to find out: change *one thing at a time*, and look at
# two numbers, the accuracy on the images the net has learnt from, and on new ones.
#
# **You will** build seven nets that differ in one thing each; count where their parameters sit;
# write a step of L2; watch a gap open in a short training; and read a published table with care,
# beside what minicnn measured itself.
#
# **You need** [06c](06c_loss_and_learning.ipynb) and [07](07_vgg16.ipynb). One exercise that marks
# itself, one on paper; half an hour.

# %%
import inspect
import time

import matplotlib.pyplot as plt
import numpy as np

import minicnn
from minicnn import Tensor, nn, optim
from minicnn import functional as F
from minicnn.analysis import cost, summary
from minicnn.data import DataLoader, Dataset, DataUnavailableError, load
from minicnn.training import Trainer, experiments, schedules
from minicnn.training.experiments.cifar import L2, PLANS, PUBLISHED, build

TEAL, ORANGE = "#0f766e", "#c2570c"

# %% [markdown]
# ## 1 The net
#
# CIFAR-10: 50,000 colour photos of 32 × 32 pixels to learn from, 10,000 to test, ten kinds from
# aeroplane to truck. The net is a small VGG: two convolutions of 32 maps, a pooling, two of 64, a
# pooling, a dense layer of 512, one of 10. This is experiment I; here is the code that makes all
# seven:

# %%
print(inspect.getsource(build))

# %% [markdown]
# **On paper:** how many parameters has experiment I? (3 × 3 filters with bias; after two poolings
# the maps are 8 × 8.) Then look:

# %%
print(summary(build(PLANS["I"]), (3, 32, 32)))
by_hand = {
    "conv32": 32 * (3 * 9 + 1), "conv32'": 32 * (32 * 9 + 1), "conv64": 64 * (32 * 9 + 1),
    "conv64'": 64 * (64 * 9 + 1), "FC512": 512 * (64 * 8 * 8 + 1), "FC10": 10 * (512 + 1),
}  # fmt: skip
assert sum(by_hand.values()) == build(PLANS["I"]).num_parameters() == 2_168_362
print(f"FC512 holds {by_hand['FC512'] / sum(by_hand.values()):.0%} of all parameters")

# %% [markdown]
# Remember that: 2.1 of 2.2 million numbers are in *one* dense layer. If anything can learn the
# training images by heart, it is there.
#
# ## 2 The seven
#
# | | what is in it | the question |
# |---|---|---|
# | I | dropout after each unit and after FC512, no batch norm | where we start |
# | II | batch norm, dropout after FC512 only | does batch norm replace the dropout of the units? |
# | III | batch norm, dropout everywhere | or do they go together? |
# | IV | II and L2 on the dense layers | does L2 replace it? |
# | V | III and L2 | does L2 add something? |
# | VI | V and a unit of two conv128 | deeper |
# | VII | V with 64 and 128 maps for 32 and 64 | wider |
#
# (Dropout is 0.1 after a unit and 0.3 after FC512: in ten epochs, more of it would hold the nets
# back.) From the code, so that it is no tale:

# %%
print("      norms   dropouts    L2    maps           parameters   multiplications")
for name, plan in PLANS.items():
    net = build(plan)
    parts = [m for _, m in net.named_modules()]
    norms, drops = (sum(isinstance(m, kind) for m in parts)
                    for kind in (nn.BatchNorm2d, nn.Dropout))  # fmt: skip
    found = cost(net, (3, 32, 32))
    l2, units = "yes" if plan.l2 else "no", "-".join(map(str, plan.units))
    print(f"{name:4} {norms:6} {drops:10} {l2:>5}    {units:10} {found.parameters:14,} "
          f"{found.macs / 1e6:16.1f}M")  # fmt: skip
assert [build(p).num_parameters() for p in PLANS.values()] == [
    2_168_362, 2_168_554, 2_168_554, 2_168_554, 2_168_554, 1_341_674, 4_460_490
]  # fmt: skip

# %% [markdown]
# Two surprises. Batch norm costs 192 parameters net: two for each of 192 maps, and the biases of
# the convolutions, which it makes useless, are gone. And VI, the *deeper* net, has *fewer*
# parameters than V: its third pooling leaves 4 × 4 pixels, so FC512 has half as many inputs.
#
# ## 3 What each of the means does
#
# **Dropout** sets numbers to 0 at random, in training only, and scales up the rest, so that the
# mean stays. After a convolution too: no filter can rely on one neighbour. Eight maps (here: digits
# on light paper), before and after:

# %%
minicnn.manual_seed(1)
paper = np.float32(1.2) - load("digits", "test", size=28).images[:8] / np.float32(255)
maps = paper.reshape(1, 8, 28, 28)
dropped = F.dropout(Tensor(maps), 0.25, training=True).numpy()
fig, axes = plt.subplots(2, 8, figsize=(8, 2.2))
for column, (a, b) in enumerate(zip(maps[0], dropped[0])):
    for ax, m in zip(axes[:, column], (a, b)):
        ax.imshow(m, cmap="gray", vmin=0, vmax=1.6, interpolation="nearest")
        ax.axis("off")
print(f"zeros: {np.mean(dropped == 0):.1%}; mean before {maps.mean():.3f}, "
      f"after {dropped.mean():.3f}")  # fmt: skip

# %% [markdown]
# **Batch norm** makes each map's mean 0 and its deviation 1 over the batch, so
# that learning rates can be high and training is fast. Fast on the training images; nothing in it
# says that new images must profit as well.
#
# **L2** adds a penalty to the loss, λ/2 · Σ w². Its gradient is λ w, so each step also draws every
# weight a little towards 0, large ones more.
#
# ### Exercise 8.1: a step with L2
#
# Plain SGD, without momentum: the new w. (`weight_decay` is the λ; the penalty's gradient goes
# where the gradient goes.)


# %%
def my_l2_step(w, dw, lr, weight_decay):
    raise NotImplementedError("dw and the penalty's gradient, times lr, off w")


minicnn.check(my_l2_step)

# %% [markdown]
# What happens to a weight that no image needs (dw = 0)? It shrinks by the same *factor* at each
# step. With λ = 10⁻³, as in IV to VII, and lr = 0.02:

# %%
w = Tensor(np.array([2.0, 1.0, 0.1]), requires_grad=True)
step = optim.SGD([w], lr=0.02, weight_decay=L2)
steps_per_epoch = 50_000 // 64
for _ in range(10 * steps_per_epoch):
    step.zero_grad()
    (w * 0.0).sum().backward()
    step.step()
print(f"2, 1 and 0.1 after ten epochs: {w.numpy().round(3)}; "
      f"(1 - lr λ)^steps = {(1 - 0.02 * L2) ** (10 * steps_per_epoch):.3f}")  # fmt: skip

# %% [markdown]
# (With momentum 0.9 the steps are ten times as long, so about 0.855¹⁰ = 0.21 is left: a fifth.)
#
# ## 4 A gap opens: live
#
# Not ten epochs of 50,000 photos, which take an hour or more, but four of 1,200. That is far too
# little for good accuracy. What to look at is the gap between the two lines. II against III: batch
# norm in both, dropout in the units in III only. (Without CIFAR-10 on this machine, minicnn's
# digits stand in, enlarged; they are so easy that the gap stays small. Nothing is downloaded;
# `minicnn train lenet --data cifar10` would fetch the photos once.) The curves show the share of
# images that are right.


# %%
def photos():
    """CIFAR-10 if it is on this machine, else minicnn's own digits with three equal channels."""
    try:
        return [load("cifar10", part, download=False) for part in ("train", "test")]
    except DataUnavailableError:
        halves = [load("digits", part, size=28) for part in ("train", "test")]
        pads = (0, 0), (0, 0), (2, 2), (2, 2)
        return [Dataset(np.pad(d.images, pads).repeat(3, axis=1), d.labels, d.classes, d.name)
                for d in halves]  # fmt: skip


train, test = photos()
train, test = train[:: max(1, len(train) // 1200)][:1200], test[:: max(1, len(test) // 400)][:400]
print(f"{train.name}: {len(train):,} images to learn from, {len(test):,} new ones")
fig, axes = plt.subplots(1, 10, figsize=(9, 1.3))
for k, ax in enumerate(axes):
    ax.imshow(train.images[train.labels == k][0].transpose(1, 2, 0))
    ax.set_title(train.classes[k], fontsize=7)
    ax.axis("off")


# %%
def learn(name, epochs=4):
    """Accuracy on training images (afterwards, without dropout) and on new ones, epoch by epoch."""
    plan = PLANS[name]
    minicnn.manual_seed(0)
    net = build(plan)
    rules = [("fc*.weight", {"weight_decay": L2})] if plan.l2 else []
    optimizer = optim.SGD(optim.named_groups(net, *rules), 0.02, momentum=0.9)
    scale = {"mean": 0.47, "std": 0.25}
    known, new = (DataLoader(d, 200, **scale) for d in (train[:400], test))
    curve = []

    class Watch(minicnn.training.Callback):
        def after_epoch(self, trainer):
            curve.append((trainer.evaluate(known).accuracy, trainer.history[-1]["val_accuracy"]))

    trainer = Trainer(net, optimizer, schedule=schedules.cosine, progress=False,
                      callbacks=[Watch()])  # fmt: skip
    trainer.fit(DataLoader(train, 64, shuffle=True, **scale), new, epochs)
    return np.array(curve)


live = {"II": learn("II")}

# %%
live["III"] = learn("III")
fig, axes = plt.subplots(1, 2, figsize=(7, 2.5), sharey=True)
for ax, (name, curve) in zip(axes, live.items()):
    epochs = range(1, len(curve) + 1)
    ax.plot(epochs, curve[:, 0], "o-", color=TEAL, label="images it has learnt from")
    ax.plot(epochs, curve[:, 1], "o-", color=ORANGE, label="new images")
    ax.fill_between(epochs, *curve.T, color=ORANGE, alpha=0.12)
    ax.set(title=f"{name}: gap {curve[-1, 0] - curve[-1, 1]:.0%}", xlabel="epoch", xticks=epochs)
    print(f"{name:4} learnt {curve[-1, 0]:.1%}, new {curve[-1, 1]:.1%}")
_ = axes[1].legend(frameon=False, fontsize=8)

# %% [markdown]
# How much of that is chance? An accuracy p on n images is uncertain by √(p (1 - p) / n): here, with
# 400 of them, by some 2.4 points. So the picture shows what a gap is, and proves nothing. Proof
# takes many images and more than one seed: sections 5 and 6.
#
# Note how the training accuracy is measured: *afterwards, without dropout*. A net's running average
# during training is made with dropout on; comparing that with a validation made without it hides
# half of the gap. A published table that does not say which it is must be read with care.
#
# **Deeper is slower.** VI has more layers than V, VII has wider ones. One step of each, forward and
# backward, on 32 images of noise, on this machine now. (The multiplications are certain. The
# milliseconds are those of a machine that may be busy with other things.)

# %%
x = Tensor(np.random.default_rng(0).normal(size=(32, 3, 32, 32)).astype(np.float32))
labels = np.arange(32) % 10
print("       multiplications   beside V     ms a step   beside V")
base = {}
for name in ("V", "VI", "VII"):
    net, seconds = build(PLANS[name]), []
    for _ in range(6):
        start = time.perf_counter()
        F.cross_entropy(net(x), labels).backward()
        seconds.append(time.perf_counter() - start)
    macs, ms = cost(net, (3, 32, 32)).macs / 1e6, 1000 * min(seconds)
    base = base or {"macs": macs, "ms": ms}
    print(f"{name:4} {macs:15.1f}M {macs / base['macs']:10.2f} {ms:13.0f} {ms / base['ms']:10.2f}")

# %% [markdown]
# ## 5 The published table
#
# A course published these results for the seven. They are **[P]**: not measured here, and how they
# were trained (rate, epochs, seeds) is not said.

# %%
fig, ax = plt.subplots(figsize=(6, 2.6))
print("[P]   training  validation  gap")
for row, (name, (known, new)) in enumerate(PUBLISHED.items()):
    print(f"{name:5} {known:7.0%} {new:10.0%} {100 * (known - new):6.0f} points")
    ax.plot([new, known], [row, row], color="#c9cdd2", zorder=0)
    ax.plot(known, row, "o", color=TEAL, label=None if row else "training")
    ax.plot(new, row, "o", color=ORANGE, label=None if row else "validation")
ax.set_yticks(range(7), PUBLISHED)
ax.invert_yaxis()
ax.set_title("[P] published accuracies", fontsize=10)
_ = ax.legend(frameon=False, fontsize=8)

# %% [markdown]
# What is claimed from it:
#
# 1. dropout after the convolutions closes the gap (III against II);
# 2. batch norm without it overfits most (II and IV);
# 3. L2 without it does not help (IV is the worst of all);
# 4. depth (VI) and width (VII) end level, and width overfits more;
# 5. deeper trains slower.
#
# One run each, differences of a point or two: would they come out again? The figures alone bear out
# 1 to 4 as sentences about the table:

# %%
gap = {name: known - new for name, (known, new) in PUBLISHED.items()}
new = {name: v for name, (_, v) in PUBLISHED.items()}
assert gap["III"] < gap["II"]
assert set(sorted(gap, key=gap.get)[-2:]) == {"II", "IV"}
assert min(new, key=new.get) == "IV"
assert new["VI"] == new["VII"] and gap["VII"] > gap["VI"]
print("as sentences about the published table, 1 to 4 hold")

# %% [markdown]
# ## 6 Measured by minicnn
#
# The experiment `cifar` trains all seven on all 50,000 images, ten epochs, two seeds, and says of
# each sentence whether it came out. It takes hours on a laptop; it can be interrupted, and goes on.

# %%
experiment, results = experiments.load("cifar"), experiments.committed("cifar")
print(experiments.results.page(experiment, results))
experiment.draw(results, plt.figure(figsize=experiment.size, layout="constrained"))

# %% [markdown]
# So about half of the sentences came out. The large effect did: dropout after the convolutions
# closes a third of the gap (III against II, V against IV). Width overfits more than depth, and
# deeper takes longer. But L2 does not hurt here, it helps by less than a point, with dropout and
# without; the worst net is I, the one without batch norm, whose gap is as large as II's; and the
# deeper net is nearly two points better than the wider one. Ten epochs, another rate, another
# dropout: differences of a point or two belong to a recipe, and a table without its recipe cannot
# be argued with.
#
# ## What you have seen
#
# - One thing at a time, and always two numbers: on images that were learnt, and on new ones.
# - Nearly all parameters of such a net sit in its first dense layer.
# - L2 draws each weight towards 0 by a factor a step; dropout breaks up agreements between units.
# - A published figure without its recipe cannot be checked, only compared.
#
# **Next:** [09 AlexNet, ZFNet](09_alexnet_zfnet.ipynb), the net that made dropout and ReLU known.
#
# **To read:** Srivastava and others, "Dropout: a simple way to prevent neural networks from
# overfitting", 2014; Ioffe and Szegedy, "Batch normalization", 2015; Li and others, "Understanding
# the disharmony between dropout and batch normalization by variance shift", 2019.
