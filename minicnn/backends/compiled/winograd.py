"""Winograd's transforms as a GPU does them, compiled for this CPU: no copies, few multiplications.

NumPy's transforms (`minicnn.backends.fast.winograd_tiles`) are products with matrices that are
mostly zeros and ones, between copies to and fro. The kernels of `kernels/conv/winograd.cu` read a
window, add what has to be added, and write: with 64 channels that saves half of the time. The
products between the transforms stay NumPy's.
"""

from __future__ import annotations

import numpy as np

from minicnn.backends.cuda.epilogue import CODES
from minicnn.backends.cuda.winograd import across
from minicnn.backends.fast import memory
from minicnn.backends.fast.ending import Ending
from minicnn.backends.fast.tiles import length
from minicnn.backends.fast.winograd_tiles import Transforms
from minicnn.backends.fast.workers import share_blocks
from minicnn.backends.launch import THREADS, lanes_of, native

LANES = 16  # at most; a thread has dozens of them


def launch(name, F, elements, channels, args, share=None):
    """Run a kernel of winograd.cu with a thread for each LANES elements, on this thread alone."""
    lanes = lanes_of(channels, LANES)
    kernel = native("conv/winograd.cu", name, (("F", F), ("LANES", lanes)))
    kernel((-(-elements // lanes // THREADS),), (THREADS,), args, share)


class Tiles:
    """Tiles of an array (N, H, W, channels) for blocks of an output (N, OH, OW)."""

    def __init__(self, array, output, F):
        self.array, self.F = np.ascontiguousarray(array), F
        self.shape, self.across = array.shape[1:], across(output, F)

    def fill(self, name, t, out, args):
        """out (P*P, tiles, channels), whose points may lie apart, from a block of tiles."""
        (H, W, C), point = self.shape, out.strides[0] // out.itemsize
        elements = length(t.rows) * C
        args = (self.array, out[0], elements, t.rows.start, C, point, C, H, W, *self.across, *args)
        launch(name, self.F, elements, C, args)
        return out


class Images(Tiles):
    """V of x."""

    def __init__(self, x, blocks, padding, F):
        size = (x.shape[1] + 2 * padding[0] - 2, x.shape[2] + 2 * padding[1] - 2)
        super().__init__(x, size, F)
        self.padding = padding

    def of(self, worker, t, out):
        """V (P*P, tiles, C) of a block."""
        return self.fill("winograd_image", t, out, self.padding)


class OutputGradients(Tiles):
    """dM of dz."""

    def __init__(self, dz, blocks, F):
        super().__init__(dz, dz.shape[1:3], F)

    def of(self, worker, t, out):
        """dM (P*P, tiles, O) of a block."""
        return self.fill("winograd_output_gradient", t, out, ())


class Outputs:
    """From M to y, finished."""

    def __init__(self, y, blocks, F, end):
        end = Ending() if end is None else end
        add = None if end.add is None else np.ascontiguousarray(end.add)
        self.y, self.F, self.ends = y, F, (end.bias, add)
        self.sizes = (*y.shape[1:3], *across(y.shape[1:3], F), CODES[end.activation])

    def put(self, worker, t, M):
        """Fill a block of y from M (P*P, tiles, O), whose points may lie apart."""
        O, point = M.shape[2], M.strides[0] // M.itemsize
        elements = length(t.rows) * O
        args = (M[0], *self.ends, self.y, elements, t.rows.start, O, point, O, *self.sizes)
        launch("winograd_output", self.F, elements, O, args)


def filters(w, F, turned):
    """U (P*P, O, C) of w (O, 3, 3, C), or of its filters turned by half a turn."""
    O, _, _, C = w.shape
    U = memory.empty(((F + 2) ** 2, O, C), w.dtype)
    args = (np.ascontiguousarray(w), U, O * C, O, C, int(turned), 0)
    launch("winograd_filter", F, O * C, C, args, share_blocks)
    return U


def filter_gradient(dU, F):
    """dw (O, 3, 3, C) of dU (P*P, O, C)."""
    _, O, C = dU.shape
    dw = memory.empty((O, 3, 3, C), dU.dtype)
    launch("winograd_filter_gradient", F, O * C, C, (dU, dw, O * C, C), share_blocks)
    return dw


COMPILED = Transforms(Images, Outputs, OutputGradients, filters, filter_gradient)
