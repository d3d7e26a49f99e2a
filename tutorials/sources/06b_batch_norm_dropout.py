# %% [markdown]
# # 06b Batch norm and dropout, by hand
#
# Two layers that hardly compute anything, and without which large nets were hard to train.
# *Dropout* (2012) switches units off at random, so that none can rely on its neighbour. *Batch
# normalisation* (2015) brings every channel to the same scale, so that layers do not have to run
# after each other.
#
# Both do something else in training than in use. No layer is easier to write, and none is more
# often used wrongly.
#
# **You will** write both, forward and backward; keep running statistics; see what each of them
# does to a net; and make the two classic mistakes on purpose.
#
# **You need** [04](04_autograd.ipynb) and [06](06_lenet.ipynb). Four exercises; half an hour.

# %%
import inspect

import matplotlib.pyplot as plt
import numpy as np

import minicnn
from minicnn import Tensor, nn, no_grad
from minicnn import functional as F
from minicnn.data import DataLoader, DataUnavailableError, load
from minicnn.optim import SGD
from minicnn.plots import show
from minicnn.training import Trainer, experiments

# %% [markdown]
# ## 1 Batch norm: the same scale for every channel
#
# Think of a layer in the middle of a net. What it gets depends on all the layers before it, and
# they change with every step. Today its input has a mean of 3 and a spread of 10, tomorrow of -1
# and 0.1. So it spends its time on following.
#
# Ioffe and Szegedy's idea: for each channel, take the mean and the variance over *the batch and all
# pixels*, and normalise with them.
#
# $$\hat x = \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} \qquad y = \gamma \hat x + \beta$$
#
# γ and β (in code `weight` and `bias`) are learnt, one of each for a channel. They can undo the
# normalisation, if that should be best; what they say no longer depends on the layers before. ε
# only keeps a constant channel from dividing by 0.

# %%
rng = np.random.default_rng(0)
scales, shifts = np.array([10.0, 0.1, 1.0]), np.array([3.0, -1.0, 0.0])
x = rng.normal(size=(8, 3, 5, 5)) * scales[:, None, None] + shifts[:, None, None]

mean = x.mean(axis=(0, 2, 3), keepdims=True)  # one number for each channel
var = x.var(axis=(0, 2, 3), keepdims=True)
xhat = (x - mean) / np.sqrt(var + 1e-5)
fig, axes = plt.subplots(1, 2, figsize=(9, 2.4))
for ax, values, title in ((axes[0], x, "before"), (axes[1], xhat, "after")):
    for c, color in enumerate(("#2166ac", "#c2570c", "#0f766e")):
        bins = np.linspace(values.min(), values.max(), 40)
        ax.hist(values[:, c].ravel(), bins, histtype="step", lw=1.5, ls=("-", "--", ":")[c],
                color=color, label=f"channel {c}")  # fmt: skip
    ax.set_title(title, fontsize=10)
    ax.set_xlabel("value")
axes[0].set_ylabel("how many")
axes[0].legend(frameon=False, fontsize=8)
fig.tight_layout()
print("numbers in one mean:", x[:, 0].size, "= 8 images x 5 x 5 pixels")

# %% [markdown]
# ### Exercise 6b.1: forward
#
# x (N, C, H, W); gamma and beta (C,). Careful with two things: over which axes the mean is taken,
# and that the variance is divided by the number of values (not by one less).


# %%
def my_batch_norm(x, gamma, beta, eps):
    raise NotImplementedError("normalise each channel, then scale and shift it")


minicnn.check(my_batch_norm)

# %% [markdown]
# ## 2 Backward: the batch moves with you
#
# Say a number x grows by a little. Its x̂ grows. But the mean grows, too, so all the others get
# smaller; and the variance changes, so all are stretched. In a layer with batch norm *every image
# of the batch has a say in the gradient of every other*.
#
# Write g = γ dy for what arrives at x̂, and R for the number of values in a channel. Going through
# all three ways, and adding up (try it with pencil and paper: it takes a page):
#
# $$dx = \frac{1}{\sqrt{\sigma^2 + \epsilon}} \left( g - \text{mean}(g) - \hat x \cdot
# \text{mean}(g \hat x) \right)$$
#
# There is a simple way to read that. Shifting all values of a channel by the same amount changes
# nothing, since the mean is taken off again. So dx must not contain a shift: its mean is 0. And
# stretching them changes nothing either: so dx must not contain a stretch, it is at right angles to
# x̂. The two subtractions take out just that.

# %%
dy = rng.normal(size=x.shape)
gamma, beta = np.array([1.0, 2.0, 0.5]), np.array([0.0, 1.0, -1.0])
t = Tensor(x, requires_grad=True)
F.batch_norm(t, None, None, Tensor(gamma), Tensor(beta), training=True).backward(dy)
dx = t.grad.numpy()

g = dy * gamma[:, None, None]


def each(values):
    """The mean of each channel."""
    return values.mean(axis=(0, 2, 3), keepdims=True)


by_hand = (g - each(g) - xhat * each(g * xhat)) / np.sqrt(var + 1e-5)
print("by hand = minicnn:", np.allclose(dx, by_hand))
print("mean of dx in each channel:    ", each(dx).ravel().round(12) + 0)
print("mean of dx times xhat, likewise:", each(dx * xhat).ravel().round(6) + 0)
assert np.allclose(dx, by_hand)

# %% [markdown]
# The second line of numbers is 0 but for ε, which stops the stretch from being quite without
# effect.
#
# The parameters' gradients are easy: β is added everywhere, γ multiplies x̂, and both are used at
# all R places. So dβ is the sum of dy, and dγ the sum of dy · x̂.
#
# ### Exercise 6b.2: backward
#
# Return three arrays: dx, dγ and dβ. (The check calls the last two dw and db.)


# %%
def my_batch_norm_backward(dy, x, gamma, beta, eps):
    raise NotImplementedError("dx, dgamma, dbeta")


minicnn.check(my_batch_norm_backward)

# %% [markdown]
# The one in the library. (`rows` makes a matrix of x with a column for each channel, so that all
# means are along axis 0.)

# %%
from minicnn.ops.normalization import BatchNorm

print(inspect.getsource(BatchNorm))

# %% [markdown]
# ## 3 In use: running statistics
#
# A trained net should say the same about a photo whoever else is in the batch; and for a batch of
# one image the mean over the batch makes no sense. So the layer keeps *running* statistics while it
# trains, and uses them afterwards:
#
# new = (1 - momentum) · old + momentum · batch
#
# with momentum 0.1. (Mind the name. It has nothing to do with the optimiser's, and it is the share
# of the *new*.) One detail is easily missed. The variance of a batch is a little too small on
# average, because the batch's own mean was taken off it. For the running variance that is put
# right: it is divided by R - 1 in place of R.

# %%
layer = nn.BatchNorm2d(3)
running_mean, running_var = np.zeros(3), np.ones(3)
for step in range(60):
    batch = rng.normal(size=(4, 3, 5, 5)) * scales[:, None, None] + shifts[:, None, None]
    layer(Tensor(batch.astype(np.float32)))
    running_mean = 0.9 * running_mean + 0.1 * batch.mean(axis=(0, 2, 3))
    running_var = 0.9 * running_var + 0.1 * batch.var(axis=(0, 2, 3), ddof=1)
    if step in (0, 4, 19, 59):
        print(f"after {step + 1:2} batches: mean {running_mean.round(2)}  std",
              np.sqrt(running_var).round(2))  # fmt: skip
print("the truth:       mean", shifts, " std", scales)
assert np.allclose(layer.running_mean.numpy(), running_mean, atol=1e-4)
assert np.allclose(layer.running_var.numpy(), running_var, rtol=1e-4)

# %% [markdown]
# ### Exercise 6b.3: running statistics
#
# A batch x (N, C, H, W), the old running mean and variance (C,). Return the new ones.


# %%
def my_running_statistics(x, mean, var, momentum=0.1):
    raise NotImplementedError("the new mean and the new variance")


minicnn.check(my_running_statistics)

# %% [markdown]
# **The first classic mistake: forgetting `eval()`.** A layer in training mode uses the batch's
# statistics, whatever the batch is. The same image, alone with its copy, then beside others:

# %%
image = batch[:1].astype(np.float32)
beside = {"beside a copy of itself": image, "beside three others": batch[1:].astype(np.float32),
          "beside a very bright one": image + 100}  # fmt: skip
for mode in (True, False):
    layer.train(mode)
    for name, others in beside.items():
        with no_grad():
            y = layer(Tensor(np.concatenate([image, others]))).numpy()
        print(f"{'training' if mode else 'evaluation':10} {name:26} "
              f"first number {y[0, 0, 0, 0]:.3f}")  # fmt: skip

# %% [markdown]
# In evaluation mode the answer is the same each time. In training mode it depends on the company.
# (And it is worse than that: each of those calls has also moved the running statistics. The last
# three lines are the same as each other, but the bright image has left its mark in them.)
#
# `Trainer` switches by itself. A loop of your own needs `net.train()` before an epoch and
# `net.eval()` before a test.
#
# ## 4 What batch norm does to a net
#
# Start a deep net badly, with weights a third too small. In [06c](06c_loss_and_learning.ipynb) you
# will see how to choose them; here we let batch norm repair it. Twenty layers, and what each of
# them hands on:


# %%
def spread(batch_norm, depth=20, C=32):
    """Standard deviation of what each of `depth` convolutions with ReLU hands on."""
    rng = np.random.default_rng(0)
    x = Tensor(rng.normal(size=(8, C, 8, 8)).astype(np.float32))
    found = []
    for _ in range(depth):
        w = rng.normal(size=(C, C, 3, 3)) * np.sqrt(2 / (9 * C)) * 2 / 3
        x = F.conv2d(x, Tensor(w.astype(np.float32)), padding=1)
        if batch_norm:
            x = F.batch_norm(x, training=True)
        x = F.relu(x)
        found.append(float(x.numpy().std()))
    return found


plt.figure(figsize=(5.6, 2.6))
for batch_norm, name, color in ((False, "without", "#c2570c"), (True, "with", "#0f766e")):
    plt.semilogy(range(1, 21), spread(batch_norm), "o-", ms=3, color=color, label=name)
plt.xticks(range(0, 21, 5))
plt.xlabel("layer")
plt.title("spread of the activations, batch norm or not", fontsize=10)
_ = plt.legend(frameon=False)

# %% [markdown]
# **And to training.** A small net on digits, with a learning rate (`lr`) that suits it and with one
# that is far too large. Batch norm forgives: if all weights of a filter grow ten times, so do its
# answers, and they are divided by ten. (MNIST is used if it lies on your machine, else minicnn's
# own digits.)


# %%
def digits():
    """MNIST if it is on this machine, else minicnn's own digits."""
    try:
        return [load("mnist", part, download=False) for part in ("train", "test")]
    except DataUnavailableError:
        return [load("digits", part, size=28) for part in ("train", "test")]


train, test = digits()
train, test = train[:: len(train) // 1000 or 1][:1000], test[:: len(test) // 1000 or 1]
print(f"{train.name}: {len(train):,} training images, {len(test):,} test images")


def fit(net, lr, epochs, train=train):
    """Train a net; returns the Trainer."""
    optimizer = SGD(net.parameters(), lr, momentum=0.9)
    trainer = Trainer(net, optimizer, progress=False)
    trainer.fit(DataLoader(train, 50, shuffle=True), DataLoader(test, 500), epochs)
    return trainer


def small_net(batch_norm):
    """Four convolutions with two poolings, and a dense layer; on images made half as large."""
    layers = [nn.AvgPool2d(2)]
    for before, after, pool in ((1, 8, 0), (8, 8, 2), (8, 16, 0), (16, 16, 2)):
        layers += [nn.Conv2d(before, after, 3, padding=1)]
        layers += [nn.BatchNorm2d(after)] * batch_norm + [nn.ReLU()]
        layers += [nn.MaxPool2d(pool)] if pool else []
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * 9, 10))


# %%
plt.figure(figsize=(6, 3))
for lr, style in ((0.02, "-"), (0.2, "--")):
    for batch_norm, color in ((False, "#c2570c"), (True, "#0f766e")):
        minicnn.manual_seed(0)
        try:
            history = fit(small_net(batch_norm), lr, 4).history
        except minicnn.training.DivergenceError as error:
            print(f"lr {lr}, {'with' if batch_norm else 'without'}: {str(error).splitlines()[0]}")
            continue
        name = f"lr {lr}, {'with' if batch_norm else 'without'}"
        losses = [entry["train_loss"] for entry in history]
        plt.plot(range(1, 5), losses, style, marker="o", ms=3, color=color, label=name)
        print(f"{name:16} test images right after 1 and 4 epochs: "
              f"{history[0]['val_accuracy']:.0%}, {history[-1]['val_accuracy']:.0%}")  # fmt: skip
plt.axhline(np.log(10), color="gray", ls=":", lw=1)
plt.text(3.4, np.log(10) - 0.2, "knows nothing", fontsize=8, color="gray")
plt.xticks(range(1, 5))
plt.ylim(0, 3.8)  # room for the legend
plt.xlabel("epoch")
plt.title("training loss, batch norm or not", fontsize=10)
_ = plt.legend(frameon=False, fontsize=8, ncols=2, loc="upper right")

# %% [markdown]
# **Why** it helps is disputed to this day. The authors thought of inputs whose distribution moves
# ("internal covariate shift"). Santurkar and others (2018) put noise *behind* the normalisation, so
# that the distributions moved more than ever, and the net learnt as well; they found that the loss
# becomes smoother. What is certain is what you have just seen.
#
# ## 5 Dropout
#
# In training, each unit is set to 0 with probability p, by a new coin for every image. A unit
# that can rely on nobody has to be of use by itself. Whoever learns from half a class at a time,
# always another half, learns not to leave it all to the best.
#
# In use all units work. Then the next layer would get more than it is used to, with p = 1/2 twice
# as much. So in training what is kept is *divided by 1 - p*, and the mean stays the same:

# %%
x = np.full((8, 12), 1.0)
mask = rng.random(x.shape) >= 0.5  # True for what is kept
show(x, mask * 1.0, x * mask / (1 - 0.5), scale=2.6, titles=["x", "mask", "x · mask / (1 - p)"])
many = Tensor(np.ones((1000, 1000), np.float32))
for p in (0.2, 0.5, 0.8):
    y = F.dropout(many, p, seed=0).numpy()
    print(f"p = {p}: {(y == 0).mean():.1%} are 0, the others {y.max():.2f}; mean {y.mean():.3f}")
print("in evaluation nothing happens:", np.array_equal(F.dropout(many, 0.5, False).numpy(), many))

# %% [markdown]
# **Backward** needs no thought. What was set to 0 had no influence, so its gradient is 0; the rest
# was multiplied by 1 / (1 - p), and so is its gradient. The *same* mask, mind. That is why
# minicnn's masks come from a counter: a mask can be had again, on any machine, without being
# stored.
#
# ### Exercise 6b.4: dropout, both ways
#
# `mask` is True for what is kept.


# %%
def my_dropout(x, p, mask):
    raise NotImplementedError("keep, drop, and scale")


minicnn.check(my_dropout)


# %%
def my_dropout_backward(dy, x, p, mask):
    raise NotImplementedError("the gradient goes where the signal went")


minicnn.check(my_dropout_backward)

# %% [markdown]
# ## 6 What dropout does to a net
#
# A net with many weights can learn its images by heart, and then it also learns what is *wrong* in
# them. To see it plainly, let the teacher err: of a fifth of the 1,000 training images the label is
# replaced by a random one. (The test images keep theirs.) There is no rule behind those labels. Who
# knows them has learnt them by heart.

# %%
from dataclasses import replace

rng = np.random.default_rng(0)
random_labels = rng.integers(0, 10, len(train))
labels = np.where(rng.random(len(train)) < 0.2, random_labels, train.labels)
noisy = replace(train, labels=labels)
false = noisy.labels != train.labels
print(f"{false.sum()} of {len(train):,} labels are false")


def dense_net(p):
    """784-256-256-10, with dropout behind each hidden layer."""
    drop = [nn.Dropout(p)] if p else []
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), *drop,
                         nn.Linear(256, 256), nn.ReLU(), *drop, nn.Linear(256, 10))  # fmt: skip


def said(net, data):
    """The class that a net says for each image."""
    with no_grad():
        return net(Tensor(data.images / np.float32(255))).numpy().argmax(axis=1)


trainers = {}
for p in (0.0, 0.5):
    minicnn.manual_seed(0)
    trainer = trainers[p] = fit(dense_net(p), 0.03, 20, noisy)
    by_heart = (said(trainer.model, noisy) == noisy.labels)[false].mean()
    new = (said(trainer.model, test) == test.labels).mean()
    print(f"dropout {p}: repeats {by_heart:.0%} of the false labels; new images right {new:.1%}")

# %%
fig, axes = plt.subplots(1, 2, figsize=(9, 2.8), sharey=True)
for ax, (p, trainer) in zip(axes, trainers.items()):
    for part, color, name in (("train", "#c9cdd2", "training, as it goes"),
                              ("val", "#0f766e", "new images")):  # fmt: skip
        losses = [entry[f"{part}_loss"] for entry in trainer.history]
        ax.plot(range(1, len(losses) + 1), losses, color=color, label=name)
    ax.set(title=f"dropout {p}", xlabel="epoch", ylim=(0, 2.4), xticks=range(0, 21, 5))
    ax.title.set_fontsize(10)
axes[0].set_ylabel("loss")
_ = axes[1].legend(frameon=False, fontsize=8)

# %% [markdown]
# Look at the share of false labels that it repeats, and at the green lines. Without dropout the net
# has soon understood what it can, and from then on it memorises. With dropout a unit that has
# memorised one image is missing half of the time, so it pays less to do so.
#
# (Does it also read *more new images* rightly? On MNIST yes, here. On minicnn's small digits, of
# which neither net has learnt many by heart after 20 epochs, it costs a little instead. And the
# paper's own figures show no gain for 100 images of MNIST. Measure it.)
#
# **The second classic mistake** is the same as the first. Here is the net with dropout, tested in
# training mode: it answers with half of its units, and differently every time.

# %%
net = trainers[0.5].model
for mode in (False, True, True):
    net.train(mode)
    right = (said(net, test) == test.labels).mean()
    print(f"{'training' if mode else 'evaluation':10} mode: {right:.1%} right")
_ = net.eval()

# %% [markdown]
# ## 7 Where do they go, and do they get on?
#
# - Batch norm stands between a convolution and its ReLU. The convolution then needs no bias, for
#   the mean that it shifts is taken off again; β does its work.
# - Dropout stands behind a large dense layer, with p = 0.5; behind convolutions, if at all, with
#   less: neighbouring pixels say nearly the same, so a dropped one is hardly missed. `Dropout2d`
#   drops whole maps.
# - Before a batch norm, dropout spoils the statistics: the spread in training is larger than in
#   use. Put it behind the last one.

# %%
rng = np.random.default_rng(1)
x = Tensor(np.maximum(rng.normal(size=(4000, 16)), 0).astype(np.float32))
w = Tensor(rng.normal(size=(8, 16)).astype(np.float32))
after = {mode: F.linear(F.dropout(x, 0.5, mode, seed=1), w).numpy().var() for mode in (True, False)}
print(f"variance behind dropout and a dense layer: {after[True]:.2f} in training, "
      f"{after[False]:.2f} in use")  # fmt: skip
layers = [("convolution with bias", nn.Conv2d(8, 8, 3)), ("and batch norm", nn.BatchNorm2d(8))]
images = Tensor(rng.normal(size=(4, 8, 6, 6)).astype(np.float32))
before = layers[1][1](layers[0][1](images)).numpy()
layers[0][1].bias.assign_(np.full(8, 5, np.float32))
shifted = layers[1][1](layers[0][1](images)).numpy()
print(f"a bias of 5 before a batch norm changes its output by {np.abs(shifted - before).max():.1e}")

# %% [markdown]
# Both, alone and together, on Fashion-MNIST over three seeds: that comparison takes longer than a
# notebook should. `minicnn experiment fashion-ablation` does it; what came out, where it is kept
# with minicnn:

# %%
from minicnn.training.experiments.results import table

plan, kept = experiments.load("fashion-ablation"), experiments.committed("fashion-ablation")
if kept is None:
    print(plan.question + "\n(no result of it is stored yet)")
else:
    print(table(plan, kept))
    for claim in plan.claims(kept):
        print(f"\n{'yes' if claim.holds else 'no'}: {claim.text}")

# %% [markdown]
# The last sentence did **not** come out: both together are not best, batch norm alone is. Dropout
# nearly closes the gap, but it does so by reading the *known* images less well, and it reads the
# new ones a little less well, too. A smaller gap is not yet a better net. Had the nets with
# dropout learnt all they could? Look at the new images after 10 epochs and at the end:

# %%
if kept is not None:
    for run in ("neither", "dropout", "batch norm", "both"):
        right, loss = kept.curve(run, "val_accuracy"), kept.curve(run, "val_loss")
        print(f"{run:10}  right: {right[9]:.2%}, then {right[-1]:.2%}   "
              f"loss: {loss[9]:.3f}, then {loss[-1]:.3f}")  # fmt: skip

# %% [markdown]
# Without dropout little happens any more; the nets with dropout still gain about a point. So 15
# epochs are probably too few for nets with that much dropout (a quarter of the numbers behind each
# pooling, half behind the dense layer). To be sure, one would have to train longer.
#
# The loss tells another side of it. With dropout it still falls, and ends lowest. Without dropout
# it *rises*: those nets are right more often, but far too sure of themselves where they are wrong.
#
# And not every "yes" is firm: batch norm's loss in the first epoch differs more from seed to seed
# (the number behind the ±) than it is below the loss without.
#
# ## What you have seen
#
# - Batch norm: mean and variance of each channel over the batch and its pixels; then γ and β.
# - Its gradient has neither a shift nor a stretch in it, and every image has a say in all others.
# - Running statistics for use; `momentum` is the share of the new batch, the variance is taken with
#   R - 1.
# - Dropout: a mask, divided by 1 - p; in use nothing happens.
# - Both are different in training and in use: `net.train()`, `net.eval()`.
#
# **Next:** [06c Softmax, cross-entropy, momentum](06c_loss_and_learning.ipynb).
#
# **To read:** Ioffe and Szegedy, "Batch normalization: accelerating deep network training by
# reducing internal covariate shift", 2015; Srivastava et al., "Dropout: a simple way to prevent
# neural networks from overfitting", 2014; Santurkar et al., "How does batch normalization help
# optimization?", 2018; Li et al., "Understanding the disharmony between dropout and batch
# normalization by variance shift", 2019.
