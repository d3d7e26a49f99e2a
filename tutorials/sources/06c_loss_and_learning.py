# %% [markdown]
# # 06c Softmax, cross-entropy, momentum, and how to begin
#
# A net gives ten numbers. How wrong are they? In which direction should each of 61,706 weights
# move, and how far? And where should they all start? Four short answers make a net learn, and each
# of them goes wrong in a way that is worth having seen once.
#
# **You will** turn scores into probabilities without overflow; derive the most convenient gradient
# of all; watch momentum run down a valley; and start a deep net so that it neither dies nor
# explodes.
#
# **You need** [04](04_autograd.ipynb), and a net to think of: [06](06_lenet.ipynb). Three
# exercises; half an hour.

# %%
import inspect

import matplotlib.pyplot as plt
import numpy as np

import minicnn
from minicnn import Tensor, nn
from minicnn import functional as F

# %% [markdown]
# ## 1 From scores to probabilities
#
# The last layer gives a *score* for each class, any number. Probabilities must be positive and add
# up to 1. *Softmax* makes them so: p_k = e^{x_k} / Σ e^{x_j}. The largest score gets the largest
# share, and only *differences* of scores matter: add 100 to all of them, and nothing changes.

# %%
scores = np.array([2.0, 1.0, -1.0])


def softmax(x):
    e = np.exp(x)
    return e / e.sum()


print("scores     ", scores, " probabilities", softmax(scores).round(3))
print("plus 100   ", scores + 100, " probabilities", softmax(scores + 100).round(3))
with np.errstate(all="ignore"):
    print("times 1000 ", 1000 * scores, " probabilities", softmax(1000 * scores))

# %% [markdown]
# The last line is the trap: e²⁰⁰⁰ is larger than any float, infinity divided by infinity is *not a
# number*, and one NaN is enough to ruin a training. The cure costs one subtraction. Only
# differences matter, so take the largest score off all of them first; then no exponent is above 0.

# %%
shifted = 1000 * scores - (1000 * scores).max()
print("softmax of the shifted scores:", softmax(shifted))
print("minicnn:                      ", F.softmax(Tensor(1000 * scores), dim=0).numpy())

# %% [markdown]
# ## 2 How wrong is it? Cross-entropy
#
# Look at the probability p of the *right* class. The loss is -log p: 0 if the net is sure and
# right, and it grows without end the more surely it is wrong. A net that knows nothing gives each
# of ten classes 1/10, so it starts at -log(1/10) = 2.303. **Remember that number.** If a training
# starts far above it, something is amiss before the first step.

# %%
p = np.linspace(0.005, 1, 200)
plt.figure(figsize=(5, 2.6))
plt.plot(p, -np.log(p), color="#0f766e")
plt.axvline(0.1, color="gray", linestyle=":")
plt.text(0.11, 4.5, "knows nothing: 2.303", color="gray", fontsize=8)
plt.xlabel("probability of the right class")
plt.title("loss", fontsize=10)
print("ln 10 =", round(np.log(10), 4), "  at equal scores:",
      round(F.cross_entropy(Tensor(np.zeros((4, 10))), np.arange(4)).item(), 4))  # fmt: skip

# %% [markdown]
# **The gradient.** Write the loss of one image out: L = -x_t + log Σ e^{x_j}, with t the right
# class. The slope of the second part in x_k is e^{x_k} / Σ e^{x_j}, which is p_k itself. So
#
# $$\frac{\partial L}{\partial x_k} = p_k - [k = t]$$
#
# *What it said minus what is right*. Over a batch of N images the mean is taken, so all is divided
# by N. Softmax and logarithm, so clumsy alone, cancel each other out: that is why libraries have
# them as one function.

# %%
x = Tensor(scores[None], requires_grad=True)
F.cross_entropy(x, np.array([1])).backward()
print("p - [k = t]:", (softmax(scores) - np.eye(3)[1]).round(4))
print("minicnn:    ", x.grad.numpy()[0].round(4))

# %% [markdown]
# ### Exercise 6c.1: cross-entropy
#
# Scores x (N, K), class numbers t (N,). Return the mean over the batch, a single number. The check
# also tries scores in the thousands.


# %%
def my_cross_entropy(x, t):
    raise NotImplementedError("mean of -log p of the right class")


minicnn.check(my_cross_entropy)

# %% [markdown]
# ### Exercise 6c.2: and its gradient
#
# The same x (N, K) and t (N,). Return the gradient of that mean with respect to x, in x's shape.


# %%
def my_cross_entropy_backward(x, t):
    raise NotImplementedError("p minus 1 at the right class, over N")


minicnn.check(my_cross_entropy_backward)

# %% [markdown]
# The one in the library, `forward` directly above `backward`:

# %%
from minicnn.ops.loss import SoftmaxCrossEntropy

print(inspect.getsource(SoftmaxCrossEntropy))

# %% [markdown]
# ## 3 Down the valley: momentum
#
# Gradient descent takes a step against the gradient: w = w - lr · dw. In a long narrow valley that
# is miserable. The gradient points at the other wall, hardly along the floor. A large step jumps
# from wall to wall, a small one takes for ever.
#
# **Momentum** keeps a running sum: v = momentum · v + dw, and w = w - lr · v. What changes its sign
# at each step cancels out, what keeps its direction adds up. A ball with some mass, in place of a
# hiker without memory. Below the valley is f(a, b) = a²/2 + 50 b², a hundred times steeper across
# than along. The grey lines join places of equal height, the lowest place is (0, 0), and each of
# the three ways has 60 steps.


# %%
def descend(lr, momentum, steps=60):
    """Positions on the way down f(a, b) = a²/2 + 100 b²/2, by minicnn's SGD."""
    w = Tensor(np.array([-9.0, 0.6]), requires_grad=True)
    curvature = Tensor(np.array([1.0, 100.0]))
    optimizer = minicnn.optim.SGD([w], lr=lr, momentum=momentum)
    way = [w.numpy().copy()]
    for _ in range(steps):
        optimizer.zero_grad()
        (curvature * w * w / 2).sum().backward()
        optimizer.step()
        way.append(w.numpy().copy())
    return np.array(way)


a, b = np.meshgrid(np.linspace(-10, 4, 80), np.linspace(-1.2, 1.2, 60))
fig, axes = plt.subplots(1, 3, figsize=(11, 2.3), sharey=True)
distances = []
for ax, (lr, momentum) in zip(axes, ((0.002, 0.0), (0.0195, 0.0), (0.0195, 0.9))):
    way = descend(lr, momentum)
    ax.contour(a, b, a**2 / 2 + 50 * b**2, levels=12, colors="#c9cdd2", linewidths=0.7)
    ax.plot(*way.T, "o-", markersize=2, linewidth=0.9, color="#0f766e")
    far = np.linalg.norm(way[-1])
    distances.append(far)
    ax.set_title(f"lr {lr}, momentum {momentum}: {far:.2f} to go", fontsize=9)
    ax.set_xlabel("a")
axes[0].set_ylabel("b")
assert distances[2] < distances[1] / 3 < distances[0] / 3

# %% [markdown]
# How much faster is it? With all gradients alike, v grows to dw · (1 + m + m² + ...) = dw / (1 -
# m): with m = 0.9 every step is ten times as long. So when you add momentum, the learning rate
# usually has to come down.

# %%
v = 0.0
for step in range(1, 41):
    v = 0.9 * v + 1.0
    if step in (1, 2, 5, 10, 40):
        print(f"after {step:2} steps with gradient 1: v = {v:.3f}")
print("1 / (1 - 0.9) =", round(1 / (1 - 0.9), 3))

# %% [markdown]
# ### Exercise 6c.3: one step
#
# Return the new w and the new v. (Books differ here. This is PyTorch's form, and AlexNet's recipe
# (momentum 0.9, learning rate 0.01) fits it.)


# %%
def my_sgd_step(w, dw, v, lr, momentum):
    raise NotImplementedError("first v, then w")


minicnn.check(my_sgd_step)

# %% [markdown]
# ## 4 Where to begin
#
# All weights 0? Then all units of a layer compute the same, get the same gradient, and stay the
# same for ever. So weights start at random. But how large?
#
# A unit adds up n products. If the inputs have variance 1 and the weights variance s², the sum has
# variance n s². Layer upon layer that factor is multiplied: above 1 the numbers explode, below 1
# they die. ReLU throws away the negative half, so to keep the scale n s² has to be 2: **He's
# initialisation**, s = √(2 / n), with n = C · KH · KW the products of one sum.


# %%
def spread(gain, depth=30, C=64):
    """Standard deviation of what each of `depth` convolutions with ReLU hands on."""
    rng = np.random.default_rng(0)
    x = Tensor(rng.normal(size=(4, C, 12, 12)).astype(np.float32))
    found = []
    for _ in range(depth):
        w = rng.normal(size=(C, C, 3, 3)) * np.sqrt(gain / (C * 9))
        w = Tensor(w.astype(np.float32))
        x = F.relu(F.conv2d(x, w, padding=1, padding_mode="circular"))
        found.append(float(x.numpy().std()))
    return found


plt.figure(figsize=(5.6, 3))
for gain, name, color in ((4, "twice as much", "#c2570c"), (2, "He: 2 / n", "#0f766e"),
                          (1, "half: 1 / n", "#2166ac")):  # fmt: skip
    found = spread(gain)
    plt.semilogy(range(1, 31), found, color=color, label=name)
    print(f"variance {gain}/n: after 30 layers {found[-1]:.2g}")
plt.xlabel("layer")
plt.title("spread of the activations", fontsize=10)
_ = plt.legend(frameon=False, fontsize=8)

# %% [markdown]
# A factor of 2 in the variance, and after 30 layers the numbers are thirty thousand times too large
# or too small. minicnn's own:

# %%
minicnn.manual_seed(0)
layer = nn.Conv2d(64, 128, 3)
nn.init.he_normal_(layer.weight)
print("weights:", round(float(layer.weight.numpy().std()), 5), "  √(2 / 576):",
      round(float(np.sqrt(2 / (64 * 9))), 5))  # fmt: skip

# %% [markdown]
# (Glorot's older rule, "Xavier", has 2 / (n_in + n_out), which fits tanh. A lecture ascribes
# "Xavier initialisation" to He; his rule is the one above.)
#
# ## What you have seen
#
# - Softmax with the largest score taken off; never without.
# - Loss -log p of the right class, 2.303 for ten classes at the start; gradient p - [k = t].
# - Momentum adds up what stays and cancels what swings; with 0.9, steps are ten times as long.
# - He: variance 2/n, so that 30 layers keep their scale.
#
# **Next:** [10 Receptive fields](10_receptive_fields.ipynb); then the large nets: [07
# VGG-16](07_vgg16.ipynb), [08](08_cifar_experiments.ipynb), [09 AlexNet](09_alexnet_zfnet.ipynb).
#
# **To read:** Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
# networks", 2010; He, Zhang, Ren, Sun, "Delving deep into rectifiers", 2015; Sutskever et al., "On
# the importance of initialization and momentum in deep learning", 2013.
