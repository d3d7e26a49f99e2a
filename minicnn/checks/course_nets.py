"""What `check` compares the functions of the course's later notebooks with (see `course`)."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from minicnn.checks.course import Plain
from minicnn.checks.strategies import arrays


# ---------------------------------------------------------------------------
# The functions
# ---------------------------------------------------------------------------
def squeeze_excitation(x, w1, b1, w2, b2):
    """Images (N, C, H, W), each channel times a number from 0 to 1.

    scale = sigmoid(w2 relu(w1 m + b1) + b2), with m the means of an image's C channels; w1 (S, C),
    w2 (C, S).
    """
    squeezed = np.maximum(x.mean(axis=(2, 3)) @ w1.T + b1, 0)
    return x * sigmoid(squeezed @ w2.T + b2)[:, :, None, None]


def sigmoid(x):
    """1 / (1 + e^-x), without overflow."""
    return np.exp(-np.logaddexp(0, -x))


def channel_shuffle(x, groups):
    """Channels (N, C, H, W) dealt out anew: the first of each group, the second of each, ..."""
    N, C, H, W = x.shape
    return x.reshape(N, groups, C // groups, H, W).swapaxes(1, 2).reshape(x.shape)


def separable_macs(C, N, kernel, H, W):
    """Multiplications of a kernel x kernel depthwise and a 1x1 convolution, C to N channels."""
    return H * W * C * (kernel * kernel + N)


def nearest(references, queries, k):
    """For each query the positions of the k references at the smallest L2 distance (N, k)."""
    squares = ((queries[:, None] - references[None]) ** 2).sum(axis=2)
    return np.argsort(squares, axis=1, kind="stable")[:, :k]


def l2_step(w, dw, lr, weight_decay):
    """A step of SGD with an L2 penalty: w - lr (dw + weight_decay w)."""
    return w - lr * (dw + weight_decay * w)


# ---------------------------------------------------------------------------
# Their arguments
# ---------------------------------------------------------------------------
@st.composite
def _squeeze_excitation(draw):
    N, C, S, H, W = (draw(st.integers(1, most)) for most in (2, 3, 2, 3, 3))
    shapes = {"x": (N, C, H, W), "w1": (S, C), "b1": (S,), "w2": (C, S), "b2": (C,)}
    return {name: draw(arrays(shape)) for name, shape in shapes.items()}


@st.composite
def _channel_shuffle(draw):
    N, groups, each, H, W = (draw(st.integers(1, most)) for most in (2, 4, 4, 2, 2))
    return {"x": draw(arrays((N, groups * each, H, W))), "groups": groups}


@st.composite
def _separable_macs(draw):
    return {name: draw(st.integers(1, 9)) for name in ("C", "N", "kernel", "H", "W")}


@st.composite
def _nearest(draw):
    M, N, D = (draw(st.integers(1, most)) for most in (8, 3, 3))
    values = {"references": draw(arrays((M, D))), "queries": draw(arrays((N, D)))}
    return {**values, "k": draw(st.integers(1, M))}


@st.composite
def _l2_step(draw):
    shape = tuple(draw(st.lists(st.integers(1, 3), min_size=1, max_size=3)))
    rates = {name: draw(st.sampled_from([0.5, 0.25, 2.0])) for name in ("lr", "weight_decay")}
    return {"w": draw(arrays(shape)), "dw": draw(arrays(shape)), **rates}


class Nearest(Plain):
    """`nearest`, on numbers without two equal distances: which came first would be chance."""

    def mend(self, args):
        """Whole numbers, and m / 64 more in the first coordinate of reference m < 8.

        Squares of distances are then whole multiples of 1/32 plus (m / 64)^2, and no two of them
        are equal.
        """
        for name in ("references", "queries"):
            args[name][...] = np.clip(np.rint(args[name]), -99, 99) + 0.0
        args["references"][:, 0] += np.arange(len(args["references"])) / 64


NETS = {
    reference.name: reference
    for reference in (
        Plain(squeeze_excitation, _squeeze_excitation),
        Plain(channel_shuffle, _channel_shuffle),
        Plain(separable_macs, _separable_macs),
        Nearest(nearest, _nearest),
        Plain(l2_step, _l2_step),
    )
}
