"""Mistakes in the course's functions about machines."""

from __future__ import annotations

import numpy as np

from minicnn.checks.mistakes.shared import on, only


def macs(sizes, channels=lambda a: a["in_channels"] // a["groups"]):
    """Multiplications with these pixels out, and with so many channels seen by a filter."""
    return on(lambda a: np.asarray(sizes(a) * a["out_channels"] * channels(a) * a["kernel"] ** 2))


def pixels(a):
    return ((a["size"] + 2 * a["padding"] - a["kernel"]) // a["stride"] + 1) ** 2


CONV_MACS = [
    ("A filter looks at the channels of its own group alone, in_channels // groups",
     macs(pixels, lambda a: a["in_channels"])),
    ("Both are divided by groups; every one of the out_channels filters is there, and only what it "
     "looks at is less", on(lambda a: np.asarray(
         pixels(a) * (a["out_channels"] // a["groups"]) * (a["in_channels"] // a["groups"])
         * a["kernel"] ** 2))),
    ("The image has two sides: pixels out, squared", macs(lambda a: int(pixels(a) ** 0.5))),
    ("A filter is put down once for each pixel of the output, not of the input",
     macs(lambda a: a["size"] ** 2)),
    ("The depth is forgotten: a filter has a layer of weights for each channel it sees",
     macs(pixels, lambda a: 1)),
    ("These are operations, two for each multiplication; count the multiplications",
     macs(lambda a: 2 * pixels(a))),
]  # fmt: skip


def through_zero(a):
    """A line without b."""
    slope = (a["x"] * a["y"]).sum() / (a["x"] ** 2).sum()
    return np.asarray(slope)


LINE_FIT = [
    ("This line is held to go through 0; take the means off x and y first",
     only(0, 3, lambda run, a, y: through_zero(a))),
    ("x and y have changed places: the line gives y for an x",
     only(0, 3, lambda run, a, y: run(a | {"x": a["y"], "y": a["x"]})[0])),
    ("b is the mean of y less a times the mean of x, so that the line goes through the middle",
     only(1, 3, lambda run, a, y: np.asarray(a["y"].mean()))),
    ("r is squared here; r itself has a sign", only(2, 3, lambda run, a, y: y[2] ** 2)),
]  # fmt: skip


def whole_tiles(a):
    """The product of what whole tiles cover, and 0 elsewhere or without the last part of k."""
    M, K, N = (v // a["tile"] * a["tile"] for v in (*a["a"].shape, a["b"].shape[1]))
    y = np.zeros((a["a"].shape[0], a["b"].shape[1]))
    y[:M, :N] = a["a"][:M, :K] @ a["b"][:K, :N]
    return y


def last_k(a):
    """Each tile of k written over the one before."""
    start = (a["a"].shape[1] - 1) // a["tile"] * a["tile"]
    return a["a"][:, start:] @ a["b"][start:]


TILED_MATMUL = [
    ("Tiles at the edge are left out, where the size is no multiple of tile: a slice that reaches "
     "over the end is cut by itself", on(whole_tiles)),
    ("A tile of the result is a sum over all tiles along k: add with +=, not =", on(last_k)),
]  # fmt: skip
WINOGRAD = [
    ("The filter is turned around", on(lambda a: np.correlate(a["x"], a["w"][::-1].copy()))),
    ("The sign of m4 is wrong: y1 = m2 - m3 - m4",
     on(lambda a: np.correlate(a["x"], a["w"])
        + np.array([0, 2 * (a["x"][1] - a["x"][3]) * a["w"][2]]))),
    ("The halves are missing in what is made of the filter: (w0 + w1 + w2) / 2",
     lambda run, a, y: (_without_halves(a["x"], a["w"]),)),
]  # fmt: skip


def _without_halves(x, w):
    m1, m4 = (x[0] - x[2]) * w[0], (x[1] - x[3]) * w[2]
    m2, m3 = (x[1] + x[2]) * w.sum(), (x[2] - x[1]) * (w[0] - w[1] + w[2])
    return np.array([m1 + m2 + m3, m2 - m3 - m4])


SECTORS = [
    ("Sectors are counted for each thread, also where several fall into the same one",
     on(lambda a: np.asarray(len(a["addresses"])))),
    ("These are numbers of 4 bytes, or words; an address counts bytes, and a sector has 32",
     on(lambda a: np.asarray(len(np.unique(a["addresses"] // 128))))),
    ("All the way from the lowest to the highest address is counted; only sectors that somebody "
     "asks for are fetched",
     on(lambda a: np.asarray(np.ptp(a["addresses"] // 32) + 1))),
]  # fmt: skip
BANK_CYCLES = [
    ("Threads that ask for the same word do not wait for each other: it is handed to all at once",
     on(lambda a: np.asarray(np.bincount(a["words"] % 32).max()))),
    ("This is how many banks take part; what counts is the bank with the most words to give",
     on(lambda a: np.asarray(len(np.unique(a["words"] % 32))))),
    ("This is how many words there are; banks work side by side",
     on(lambda a: np.asarray(len(np.unique(a["words"]))))),
]  # fmt: skip
SAXPY = [
    ("y is written over; a x is added to what y held", on(lambda a: a["a"] * a["x"])),
    ("a is left out: it multiplies x", on(lambda a: a["x"] + a["y"])),
    ("a multiplies y here; it multiplies x", on(lambda a: a["x"] + a["a"] * a["y"])),
]  # fmt: skip
TRANSPOSE = [
    ("x is copied as it lies: row r and column c of x become row c and column r of y, and a row of "
     "y has R numbers", on(lambda a: a["x"].reshape(a["x"].shape[::-1]))),
]  # fmt: skip
TABLES = {
    "bank_cycles": BANK_CYCLES, "conv_macs": CONV_MACS, "line_fit": LINE_FIT, "sectors": SECTORS,
    "saxpy": SAXPY, "tiled_matmul": TILED_MATMUL, "transpose": TRANSPOSE, "winograd": WINOGRAD,
}  # fmt: skip
