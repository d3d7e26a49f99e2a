"""What `check` compares the course's functions about machines with: costs, caches and GPUs."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from minicnn import layout
from minicnn.checks.plain import Plain
from minicnn.checks.strategies import arrays

SECTOR, BANKS, WORD = 32, 32, 4  # as minicnn.emulator.tracing counts them


# ---------------------------------------------------------------------------
# The functions
# ---------------------------------------------------------------------------
def conv_macs(size, in_channels, out_channels, kernel, stride=1, padding=0, groups=1):
    """Multiplications of a square convolution for one square image of size x size pixels."""
    out = layout.output_size((size,), (kernel,), (stride,), (padding,), (1,))[0]
    return out * out * out_channels * (in_channels // groups) * kernel * kernel


def line_fit(x, y):
    """The line a x + b with the least squared distances to y, and the correlation r of x and y."""
    dx, dy = x - x.mean(), y - y.mean()
    a = (dx * dy).sum() / (dx * dx).sum()
    return a, y.mean() - a * x.mean(), (dx * dy).sum() / np.sqrt((dx * dx).sum() * (dy * dy).sum())


def tiled_matmul(a, b, tile):
    """a @ b. (That it goes tile by tile shows in the time, not in the result.)"""
    return a @ b


def winograd(x, w):
    """Two outputs of a filter of three, y[i] = x[i] w[0] + x[i+1] w[1] + x[i+2] w[2]."""
    return np.correlate(x, w)


def sectors(addresses):
    """How many sectors of 32 bytes the 4-byte numbers at these addresses lie in."""
    return len(np.unique(addresses // SECTOR))


def bank_cycles(words):
    """How many turns shared memory takes for these 4-byte words: the busiest bank decides."""
    return int(np.bincount(np.unique(words) % BANKS).max())


# ---------------------------------------------------------------------------
# Their arguments
# ---------------------------------------------------------------------------
@st.composite
def _conv_macs(draw):
    kernel, padding, groups = (draw(st.integers(a, b)) for a, b in ((1, 5), (0, 2), (1, 3)))
    return {
        "size": draw(st.integers(max(1, kernel - 2 * padding), 20)),
        "in_channels": groups * draw(st.integers(1, 4)),
        "out_channels": groups * draw(st.integers(1, 4)),
        "kernel": kernel, "stride": draw(st.integers(1, 3)), "padding": padding, "groups": groups,
    }  # fmt: skip


@st.composite
def _line_fit(draw):
    n = draw(st.integers(2, 6))
    return {name: np.rint(4 * draw(arrays((n,)))) / 4 for name in "xy"}  # no two x nearly equal


@st.composite
def _tiled_matmul(draw):
    M, K, N = (draw(st.integers(1, 7)) for _ in "MKN")
    return {"a": draw(arrays((M, K))), "b": draw(arrays((K, N))), "tile": draw(st.integers(1, 4))}


@st.composite
def _winograd(draw):
    return {"x": draw(arrays((4,))), "w": draw(arrays((3,)))}


def _of_a_warp(largest):
    """32 numbers of a warp: side by side, with a step, or anywhere."""
    even = st.tuples(st.integers(0, 9), st.integers(0, 40)).map(
        lambda pair: [pair[0] + pair[1] * lane for lane in range(32)]
    )
    anywhere = st.lists(st.integers(0, largest), min_size=1, max_size=32)
    return (even | anywhere).map(lambda numbers: np.array(numbers, np.int64))


@st.composite
def _sectors(draw):
    return {"addresses": WORD * draw(_of_a_warp(300))}


@st.composite
def _bank_cycles(draw):
    return {"words": draw(_of_a_warp(200))}


# ---------------------------------------------------------------------------
# As references
# ---------------------------------------------------------------------------
class LineFit(Plain):
    """A line needs two different x, and a correlation two different y."""

    def mend(self, args):
        for values in args.values():
            if (values == values[0]).all():
                values[0] += 1


MACHINE = {
    reference.name: reference
    for reference in (
        Plain(bank_cycles, _bank_cycles),
        Plain(conv_macs, _conv_macs),
        LineFit(line_fit, _line_fit, ("a", "b", "r")),
        Plain(sectors, _sectors),
        Plain(tiled_matmul, _tiled_matmul),
        Plain(winograd, _winograd),
    )
}
