# %% [markdown]
# # 04 Autograd from scratch
#
# Training asks one question millions of times: if this weight were a little larger, how would the
# loss change? *Autograd* answers it for every weight at once, for the price of about two forward
# passes. You are going to build it, in 60 lines. Then you will find the same lines in minicnn.
#
# **You will** see a gradient as a slope; apply the chain rule by hand, then by machine; train a net
# with your own tape; and check gradients as professionals do, with their three traps.
#
# **You need** derivatives of one variable, and matrix products. Two exercises; half an hour.

# %%
import inspect
import itertools

import matplotlib.pyplot as plt
import numpy as np

import minicnn
from minicnn import Tensor
from minicnn import functional as F

# %% [markdown]
# ## 1 A gradient is a slope
#
# Move x by a little h, and see how f(x) answers. The answer divided by h is the slope. Both ways at
# once, it is more exact: (f(x + h) - f(x - h)) / 2h.


# %%
def f(x):
    return x**3 - 2 * x


def slope(f, x, h=1e-5):
    return (f(x + h) - f(x - h)) / (2 * h)


print("at 2:", slope(f, 2.0), "  by the rule 3x² - 2:", 3 * 2.0**2 - 2)

# %% [markdown]
# For a net with a million weights that takes two million forward passes. There is a better way.
#
# ## 2 The chain rule, by hand
#
# Take y = (a · b + a)². A machine computes it in steps, and each step is easy:
#
# | forward | value | its slopes |
# |---|---|---|
# | p = a · b | 6 | ∂p/∂a = b, ∂p/∂b = a |
# | s = p + a | 8 | ∂s/∂p = 1, ∂s/∂a = 1 |
# | y = s · s | 64 | ∂y/∂s = 2s |
#
# Now walk **backward**, from y to the start. At each step multiply the gradient that arrives by the
# step's own slope, and hand it on. Where a number was used twice, as a was, add up what comes.

# %%
a, b = 2.0, 3.0
p = a * b
s = p + a
y = s * s

dy = 1.0  # y changes with y, one to one
ds = dy * 2 * s
dp, da = ds * 1, ds * 1  # a, for the first time
da += dp * b  # a, for the second time: += and not =
db = dp * a
print(f"y = {y}, dy/da = {da}, dy/db = {db}")
print("by slopes: ", slope(lambda a: (a * b + a) ** 2, a), slope(lambda b: (a * b + a) ** 2, b))

# %% [markdown]
# One walk gave *all* slopes. Note what it needed: the values of the forward pass (s, b, a), and the
# order. A machine has to remember just that. Such a memory is called a *tape*.
#
# ## 3 Your own tape
#
# An **operation** knows two things: `forward` computes, `backward` multiplies the gradient that
# arrives by its own slope. What backward will need, forward keeps in `self`. For arrays it is the
# same as for numbers.


# %%
class Op:
    """One step of a computation: remembers its inputs and when it was made."""

    numbers = itertools.count()

    @classmethod
    def apply(cls, *inputs):
        op = cls()
        op.inputs, op.number = inputs, next(Op.numbers)
        op.output = Var(op.forward(*[v.data for v in inputs]), made_by=op)
        return op.output


class Mul(Op):
    def forward(self, a, b):
        self.a, self.b = a, b
        return a * b

    def backward(self, dy):
        return dy * self.b, dy * self.a


class Add(Op):
    def forward(self, a, b):
        return a + b

    def backward(self, dy):
        return dy, dy


# %% [markdown]
# A **variable** is an array that knows which operation made it, and has a place for its gradient.
# `backward` collects all operations that lead to it, and walks them from the newest to the oldest.
# The newest first: so when an operation's turn comes, everybody who used its output has handed in
# their share.


# %%
class Var:
    """An array that remembers who made it."""

    def __init__(self, data, made_by=None):
        self.data, self.made_by, self.grad = np.asarray(data, np.float64), made_by, None

    def __mul__(self, other):
        return Mul.apply(self, other)

    def __add__(self, other):
        return Add.apply(self, other)

    def backward(self):
        self.grad = np.ones_like(self.data)
        for op in sorted(self.operations(), key=lambda op: op.number, reverse=True):
            for v, dv in zip(op.inputs, op.backward(op.output.grad)):
                if dv is not None:  # None: there is no slope, as for the label of an image
                    v.grad = dv if v.grad is None else v.grad + dv

    def operations(self):
        """All operations on the way to here, each once."""
        found, to_see = set(), [self]
        while to_see:
            op = to_see.pop().made_by
            if op is not None and op not in found:
                found.add(op)
                to_see.extend(op.inputs)
        return found


# %% [markdown]
# That is all. Try it on the example from above: the same numbers must come out.

# %%
a, b = Var(2.0), Var(3.0)
s = a * b + a
y = s * s
y.backward()
print(f"y = {y.data}, dy/da = {a.grad}, dy/db = {b.grad}")
assert (a.grad, b.grad) == (64, 32)

# %% [markdown]
# ## 4 And minicnn's
#
# The same computation with `minicnn.Tensor`, and the tape it leaves. An entry is a `Function`; it
# knows its parents and its number. (s · s has the same parent twice. "drawn by" names the backend,
# the code that computed it.)

# %%
ta, tb = Tensor(2.0, requires_grad=True), Tensor(3.0, requires_grad=True)
ts = ta * tb + ta
ty = ts * ts
entry = ty._entry
print(entry, "<-", entry.parents)
ty.backward()
print(f"y = {ty.item()}, dy/da = {ta.grad.item()}, dy/db = {tb.grad.item()}")

# %% [markdown]
# The walk back, as it stands in `minicnn/tensor.py`. Look for your own lines in it: collect, sort
# by falling number, hand on, add up. What is more: it checks that nobody has changed a saved array
# in the meantime, tells the recorder (that is how you can step through it), and forgets what was
# saved.

# %%
from minicnn import tensor

print(inspect.getsource(tensor._walk))

# %% [markdown]
# And an operation, as it stands in `minicnn/ops`: `forward`, and directly beneath it `backward`.

# %%
from minicnn.ops.activation import Tanh

print(inspect.getsource(Tanh))

# %% [markdown]
# ### Exercise 4.1: the backward of a sigmoid
#
# s(x) = 1 / (1 + e⁻ˣ), and its slope is s (1 - s). `dy` is the gradient that arrives. Multiply.


# %%
def my_sigmoid_backward(dy, x):
    raise NotImplementedError("dy times the slope")


minicnn.check(my_sigmoid_backward)

# %% [markdown]
# ### Exercise 4.2: the backward of a dense layer
#
# y = x wᵀ + b, with x (N, C), w (O, C), b (O,). Three gradients. The shapes nearly tell you the
# answer: dx must be (N, C), made of dy (N, O) and w (O, C). Each bias was added in every row, so
# its gradient is a sum over rows. (The check also tries x with more axes in front; `reshape`
# helps.)


# %%
def my_linear_backward(dy, x, w):
    raise NotImplementedError("dx, dw and db")


minicnn.check(my_linear_backward)

# %% [markdown]
# ## 5 A net on your own tape
#
# Four operations more, and it can learn to read digits. This is no toy: every net in
# `minicnn.models` is trained in just this way, with more kinds of operations.


# %%
class MatMul(Op):
    def forward(self, a, b):
        self.a, self.b = a, b
        return a @ b

    def backward(self, dy):
        return dy @ self.b.T, self.a.T @ dy


class AddRow(Op):
    def forward(self, x, b):
        return x + b  # b is added to every row

    def backward(self, dy):
        return dy, dy.sum(axis=0)  # so it gets the sum over rows


class ReLU(Op):
    def forward(self, x):
        self.passes = x > 0
        return x * self.passes

    def backward(self, dy):
        return (dy * self.passes,)


class CrossEntropy(Op):
    """Mean of -log p(right class); tutorial 06c derives it."""

    def forward(self, scores, labels):
        p = np.exp(scores - scores.max(axis=1, keepdims=True))
        self.p = p / p.sum(axis=1, keepdims=True)
        self.t = np.eye(scores.shape[1])[labels.astype(int)]  # 1 at the right class
        return -(np.log(self.p) * self.t).sum() / len(scores)

    def backward(self, dy):
        return dy * (self.p - self.t) / len(self.t), None


# %%
train, test = (minicnn.data.load("digits", part) for part in ("train", "test"))
rng = np.random.default_rng(0)
sizes = [(64, 32), (32, 10)]
weights = [Var(rng.normal(size=size) * np.sqrt(2 / size[0])) for size in sizes]
biases = [Var(np.zeros(size[1])) for size in sizes]


def scores(images):
    x = Var(images.reshape(len(images), -1) / 255)
    x = ReLU.apply(AddRow.apply(MatMul.apply(x, weights[0]), biases[0]))
    return AddRow.apply(MatMul.apply(x, weights[1]), biases[1])


# %%
losses = []
for _ in range(300):
    rows = rng.choice(len(train), 128, replace=False)
    loss = CrossEntropy.apply(scores(train.images[rows]), Var(train.labels[rows]))
    for p in (*weights, *biases):
        p.grad = None
    loss.backward()
    for p in (*weights, *biases):
        p.data -= 0.5 * p.grad
    losses.append(float(loss.data))

accuracy = (scores(test.images).data.argmax(axis=1) == test.labels).mean()
plt.figure(figsize=(5, 2.4))
plt.plot(losses, color="#0f766e")
plt.xlabel("step")
plt.title(f"loss; {accuracy:.1%} of the test digits right", fontsize=10)
_ = plt.ylim(bottom=0)
assert accuracy > 0.9

# %% [markdown]
# ## 6 Is it right? Gradient checking
#
# A wrong backward does not crash. The net just learns badly, and you look for the fault everywhere
# else. So every backward in minicnn is compared with slopes. Three things you have to know to do
# that.
#
# **Trap 1: the step.** Too large, and the slope is that of a chord. Too small, and the two values
# of f agree in nearly all digits: their difference is rounding. In float32 there is hardly any good
# step left, which is why gradient checks run in float64. (Below, steps get smaller to the right.)

# %%
steps = 10.0 ** np.arange(-13, 0.5, 0.5)
plt.figure(figsize=(5.4, 3))
for dtype, color in ((np.float32, "#c2570c"), (np.float64, "#0f766e")):
    x = dtype(1.3)
    exact = np.cos(1.3)
    errors = []
    for h in steps.astype(dtype):
        found = (np.sin(x + h) - np.sin(x - h)) / (2 * h)
        errors.append(abs(float(found) - exact) / exact + 1e-16)
    plt.loglog(steps, errors, "o-", markersize=3, color=color, label=dtype.__name__)
    print(f"{dtype.__name__}: best step {steps[np.argmin(errors)]:.0e}, error {min(errors):.0e}")
plt.xlabel("step h")
plt.title("error of the slope of sin", fontsize=10)
plt.legend(frameon=False)
plt.gca().invert_xaxis()

# %% [markdown]
# **Trap 2: kinks.** ReLU has two slopes at 0: 0 to the left, 1 to the right. The difference both
# ways gives 1/2, and the backward says 0. Nobody is wrong: there is no derivative. `gradcheck`
# looks at both sides, sees that they do not come together as h shrinks, and skips the point. It
# says so.

# %%
print("slope of ReLU at 0:", slope(lambda x: max(x, 0.0), 0.0))
points = Tensor(np.array([-1.0, 0.0, 2.0]), requires_grad=True)
minicnn.gradcheck(F.relu, points)

# %% [markdown]
# **Trap 3: deep nets.** A net of a thousand ReLUs always has some near their kink. The cure: let
# every ReLU choose in the check as it chose at x (`replay=True`). Then LeNet, all of it, agrees to
# many digits.

# %%
minicnn.manual_seed(0)
lenet = minicnn.models.LeNet().to("float64")
images = minicnn.data.load("digits", "test", size=28)
x = Tensor(images.images[:2] / 255, requires_grad=True)
minicnn.gradcheck(
    lambda x, *weights: F.cross_entropy(lenet(x), images.labels[:2]),
    x, *lenet.parameters(), max_coordinates=20, directions=3, replay=True,
)  # fmt: skip

# %% [markdown]
# And a backward with a mistake, the most common one: a number is used twice, and only one of the
# two slopes is counted. (`gradcheck` adds the outputs up with random weights, so the two numbers in
# its message are not 3 and 6. But one is half of the other.)


# %%
class Square(minicnn.Function):
    """y = x · x"""

    def forward(self, x):
        self.save(x)
        return x * x

    def backward(self, dy):
        (x,) = self.saved
        return dy * x  # x is used twice: 2x


try:
    minicnn.gradcheck(Square.apply, Tensor(np.array([3.0]), requires_grad=True))
except AssertionError as error:
    print(error)

# %% [markdown]
# ## What you have seen
#
# - Backward multiplies the gradient that arrives by a step's own slope, and hands it on.
# - Used twice means added up.
# - A tape needs who made whom, and in which order. Yours is minicnn's, and micrograd's, and
#   PyTorch's.
# - A gradient is not to be believed but checked: in float64, with a middling step, away from kinks.
#
# **Try:** walk through a backward pass, `minicnn step lenet`.
#
# **Next:** [05 Backpropagation through convolution](05_backprop_conv.ipynb).
#
# **To read:** Griewank and Walther, "Evaluating derivatives", 2008, for the whole theory;
# Rumelhart, Hinton, Williams, "Learning representations by back-propagating errors", 1986.
