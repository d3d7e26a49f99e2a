"""What a student's function is compared with: minicnn's own functions, and their gradients.

Arguments go by the letters of the formulas: x input, w weight, b bias, t target, dy the gradient of
the output; the others by the names that `minicnn.functional` gives them.
"""

from __future__ import annotations

import inspect
from functools import cache

import numpy as np

from minicnn import functional
from minicnn.backends import use_backend
from minicnn.checks.course import COURSE
from minicnn.checks.course_nets import NETS
from minicnn.checks.kernels import KERNELS
from minicnn.checks.machine import MACHINE
from minicnn.tensor import Tensor, no_grad

REQUIRED = inspect.Parameter.empty
LETTERS = {"input": "x", "weight": "w", "bias": "b", "target": "t"}
FUSED = ("activation", "add")  # what a GPU makes of a function; nobody has to write that

# Names that students and other books use. The first that a reference knows is meant.
ALIASES = {
    **{name: (letter,) for name, letter in LETTERS.items()},
    "X": ("x",), "image": ("x",), "images": ("x",), "logits": ("x",), "scores": ("x",),
    "W": ("w",), "weights": ("w",), "filters": ("w",), "gamma": ("w",),
    "kernel": ("w", "kernel_size"), "k": ("kernel_size",), "pool_size": ("kernel_size",),
    "beta": ("b",), "y": ("t",), "labels": ("t",), "targets": ("t",), "strides": ("stride",),
    "pad": ("padding",), "p": ("padding",), "s": ("stride",), "cols": ("col",), "shape": ("size",),
    "x_shape": ("size",), "input_shape": ("size",), "epsilon": ("eps",), "dropout": ("p",),
    "class_weights": ("w",), "smoothing": ("label_smoothing",),
    **dict.fromkeys(("dout", "grad", "grad_output", "dY", "dcol"), ("dy",)),
}  # fmt: skip

# Functions that are compared, with the arguments that have gradients.
FUNCTIONS = {
    "avg_pool2d": ("x",),
    "batch_norm": ("x", "w", "b"),
    "col2im": ("col",),
    "conv2d": ("x", "w", "b"),
    "cross_entropy": ("x",),
    "dropout": ("x",),
    "im2col": ("x",),
    "linear": ("x", "w", "b"),
    "local_response_norm": ("x",),
    "max_pool2d": ("x",),
    "relu": ("x",),
    "sigmoid": ("x",),
    "tanh": ("x",),
}
PLAIN = {**COURSE, **NETS, **KERNELS, **MACHINE}
NAMES = (*FUNCTIONS, *(f"{name}_backward" for name in FUNCTIONS), *PLAIN)


@cache
def reference(name):
    """The reference of this name (one of NAMES)."""
    if name in PLAIN:
        return PLAIN[name]
    base = name.removesuffix("_backward")
    forward = SPECIAL.get(base, Forward)(base)
    return forward if name == base else Backward(forward)


class Forward:
    """A function of `minicnn.functional`.

    Attributes
    ----------
    name, base : str
        Its name, with and without "_backward".
    parameters : dict
        Its arguments and their defaults (REQUIRED, where there is none).
    outputs : tuple of str
        What it returns.
    """

    outputs = ("y",)
    letters = LETTERS

    def __init__(self, name):
        self.name = self.base = name
        self.function = getattr(functional, name)
        parameters = inspect.signature(self.function).parameters
        words = [word for word in parameters if word not in FUSED]
        self.words = {self.letters.get(word, word): word for word in words}
        self.parameters = {n: parameters[w].default for n, w in self.words.items()}

    def tensor(self, args):
        """The function's output as a Tensor; `args` by letters."""
        with use_backend("numpy"):
            return self.function(**{self.words[name]: v for name, v in args.items()})

    def run(self, args):
        """The outputs, a tuple of arrays. Raises ValueError where the arguments do not fit."""
        with no_grad(), np.errstate(all="ignore"):
            return (np.array(self.tensor(args).numpy()),)

    def draw(self, draw, taken):
        """Arguments drawn by hypothesis, those in `taken` and no others."""
        from hypothesis import reject

        from minicnn.checks.strategies import FUNCTIONS as STRATEGIES

        case = draw(STRATEGIES[self.name]())
        names = list(self.parameters)
        args = dict(zip(names, case.arrays)) | case.settings
        if not _in_pixels(args.get("padding", 0)) or args["x"].ndim == 0:
            reject()
        if "groups" in args and "groups" not in taken:  # keep the channels that one group has
            args["x"] = args["x"][:, : args["w"].shape[1]]
        return {name: simplest(value) for name, value in args.items() if name in taken}

    def mend(self, args):
        """Change in place what numbers put anywhere in the arrays have made impossible."""


class Backward:
    """The gradients of a function's inputs, given the gradient dy of its output."""

    def __init__(self, forward):
        self.forward, self.base = forward, forward.base
        self.name = f"{forward.base}_backward"
        self.wanted = FUNCTIONS[forward.base]
        self.outputs = tuple(f"d{name}" for name in self.wanted)
        dy = 1.0 if self.base == "cross_entropy" else REQUIRED  # a loss starts the backward pass
        self.parameters = {"dy": dy, **forward.parameters}
        self.mend = forward.mend

    def run(self, args):
        args = dict(args)
        dy = np.asarray(args.pop("dy", 1.0))
        for name in self.wanted:
            if args.get(name) is None:
                args[name] = stand_in(name, args)
            args[name] = Tensor(args[name], requires_grad=True)
        with np.errstate(all="ignore"):
            y = self.forward.tensor(args)
            y.backward(dy)
        return tuple(np.array(args[name].grad.numpy()) for name in self.wanted)

    def draw(self, draw, taken):
        from minicnn.checks.strategies import arrays

        args = self.forward.draw(draw, taken)
        if "dy" not in taken:
            return args
        (y,) = self.forward.run(args)
        dy = draw(arrays(y.shape))
        return {"dy": dy if dy.ndim else float(dy), **args}


class Col2im(Forward):
    """col2im of a matrix that fits its image, with the settings that are taken."""

    letters = {**LETTERS, "input": "col"}

    def draw(self, draw, taken):
        from minicnn.checks.strategies import arrays

        args = reference("im2col").draw(draw, {*taken, "x"})
        (col,) = reference("im2col").run(args)
        return {"col": draw(arrays(col.shape)), "size": args.pop("x").shape, **args}


class CrossEntropy(Forward):
    """The mean cross-entropy of scores (N, K) and class numbers (N,).

    Beginners leave it at that; who takes weights of the classes, ignore_index or label_smoothing
    has them tried, too. At least one row counts, and weights are above 0.
    """

    def __init__(self, name):
        super().__init__(name)
        del self.parameters["reduction"]

    def draw(self, draw, taken):
        from hypothesis import strategies as st
        from hypothesis.extra import numpy as hnp

        from minicnn.checks.strategies import arrays

        N, K = draw(st.integers(1, 4)), draw(st.integers(1, 6))
        t = draw(hnp.arrays(np.int64, N, elements=st.integers(0, K - 1)))
        args = {"x": draw(arrays((N, K))), "t": t}
        if "w" in taken:
            weights = hnp.arrays(np.float64, K, elements=st.floats(1, 4, width=16))
            args["w"] = draw(st.none() | weights)
        if "ignore_index" in taken:
            ignored = args["ignore_index"] = draw(st.sampled_from([-100, -1, 0, K - 1]))
            t[draw(hnp.arrays(bool, N))] = ignored
            if (t == ignored).all():
                args["ignore_index"], t[...] = -100, max(ignored, 0)
        if "label_smoothing" in taken:
            args["label_smoothing"] = draw(st.sampled_from([0.0, 0.5, 0.1, 1.0]))
        return args

    def mend(self, args):
        if (w := args.get("w")) is not None:
            w[...] = np.where(w == 0, 1, np.abs(w))


class BatchNorm(Forward):
    """Batch normalization in training mode: statistics from the batch, no running ones."""

    def __init__(self, name):
        super().__init__(name)
        self.parameters = {
            "x": REQUIRED, "w": None, "b": None, "eps": self.parameters["eps"],
        }  # fmt: skip

    def tensor(self, args):
        fixed = {"running_mean": None, "running_var": None, "training": True}
        return super().tensor(args | fixed)

    def draw(self, draw, taken):
        from hypothesis import strategies as st

        from minicnn.checks.strategies import arrays

        shape = (draw(st.integers(2, 3)), *(draw(st.integers(1, 3)) for _ in "CHW"))
        args = {"x": draw(arrays(shape))}
        for name in ("w", "b"):
            args[name] = draw(st.none() | arrays(shape[1:2]))
        args["eps"] = draw(st.sampled_from([1e-5, 0.5]))
        return {name: value for name, value in args.items() if name in taken}


class LocalResponseNorm(Forward):
    """Local response normalization, with alphas of which more than the last digits can tell."""

    def draw(self, draw, taken):
        args = super().draw(draw, taken)
        if args.get("alpha", 1.0) < 0.01:
            args["alpha"] = 1.0
        return args


class Dropout(Forward):
    """Dropout with the coin already tossed: y = x * mask / (1 - p), mask True where x is kept."""

    def __init__(self, name):
        self.name = self.base = name
        self.parameters = {"x": REQUIRED, "p": 0.5, "mask": REQUIRED}

    def tensor(self, args):
        x = args["x"] if isinstance(args["x"], Tensor) else Tensor(args["x"])
        return x * Tensor(args["mask"] / (1 - args.get("p", 0.5)))

    def draw(self, draw, taken):
        from hypothesis import strategies as st
        from hypothesis.extra import numpy as hnp

        from minicnn.checks.strategies import arrays

        shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)))
        args = {"x": draw(arrays(shape)), "mask": draw(hnp.arrays(bool, shape))}
        args["p"] = draw(st.sampled_from([0.5, 0.0, 0.25, 0.75]))
        return {name: value for name, value in args.items() if name in taken}


SPECIAL = {
    "batch_norm": BatchNorm, "col2im": Col2im, "cross_entropy": CrossEntropy, "dropout": Dropout,
    "local_response_norm": LocalResponseNorm,
}  # fmt: skip


def _in_pixels(padding):
    """Whether a padding is a number or a pair of them: not "same", and not four sides."""
    return all(isinstance(p, int) for p in (padding if isinstance(padding, tuple) else (padding,)))


def simplest(value):
    """A pair of equal numbers as one number, so that both forms of an argument are tried."""
    return value[0] if isinstance(value, tuple) and value == (value[0],) * 2 else value


def stand_in(name, args):
    """What to give for an argument that may be None to a function that does not know None."""
    if name == "stride":
        return args["kernel_size"]
    if name == "b" and "w" in args and args["w"] is not None:
        return np.zeros(args["w"].shape[0])
    return np.ones(args["x"].shape[1]) if name == "w" else np.zeros(args["x"].shape[1])
