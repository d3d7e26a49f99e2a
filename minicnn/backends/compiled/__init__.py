"""The fast backend, with its work that no matrix product does compiled from `kernels/*.cu`.

Pooling, batch normalization, depthwise convolution and Winograd's transforms multiply little and
move much. NumPy walks through memory once for each step of a formula, and its shortest loops are a
pixel's channels; a compiled loop does all steps of a number at once. So where there is a C++
compiler, these operations run the very CUDA kernels that a GPU would, compiled for this CPU
(`minicnn.emulator.native`): a thread takes as many channels as fit into the CPU's registers. The
classes are those of `minicnn.backends.cuda`; only how a kernel is launched differs. Convolutions
with few filters, too, move more than they multiply: see `direct` and `direct_weights`; so do fully
connected layers of few rows: see `linear`.

float64, and arrays without a compiler at hand, run the fast backend's NumPy.
"""

from __future__ import annotations

import warnings

import numpy as np

from minicnn.backends import fast, redraw
from minicnn.backends.compiled import direct, winograd
from minicnn.backends.compiled.linear import Linear
from minicnn.backends.compiled.registers import register_floats, whole_registers
from minicnn.backends.cuda import conv, normalization, optim, pooling
from minicnn.backends.cuda.epilogue import CODES, FROM_OUTPUT
from minicnn.backends.fast import activation, convolution, ending, memory
from minicnn.backends.fast import conv as fast_conv
from minicnn.backends.fast import optim as fast_optim
from minicnn.backends.fast.activation import SMALL
from minicnn.backends.fast.rows import flat
from minicnn.backends.fast.workers import use_team
from minicnn.backends.launch import (
    MOST_LANES,
    compiled_for_speed,
    lanes_of,
    launch,
    launch_each,
)
from minicnn.emulator.team import Team


def can_compile() -> bool:
    """Whether a kernel can be compiled for speed here; says why not, if there is a compiler."""
    from minicnn.emulator import CompilerNotFound, EmulatorError
    from minicnn.emulator.native import load_native

    probe = 'extern "C" __global__ void probe(float* x) { x[threadIdx.x] = 1; }'
    try:
        load_native('#include "common.cuh"\n' + probe, "probe", {})
    except CompilerNotFound:
        return False
    except (EmulatorError, OSError) as error:
        warnings.warn(
            f"kernels cannot be compiled for speed here ({error}); NumPy runs in their place; "
            'minicnn.use_backend("fast") asks for that without this warning',
            RuntimeWarning, stacklevel=2,
        )  # fmt: skip
        return False
    return True


class Compiled:
    """An operation of `minicnn.backends.cuda`, for float32; other dtypes run as `fast` has them."""

    def forward(self, *arrays):
        if any(a is not None and a.dtype != np.float32 for a in arrays):
            redraw(self, "fast")
            return self.forward(*arrays)
        with compiled_for_speed():
            return super().forward(*arrays)

    def backward(self, dy):
        with compiled_for_speed():
            return super().backward(dy)


class Ends(Compiled):
    """The same for an operation that ends in an activation."""

    @property
    def in_kernel(self):
        """Activations of straight pieces: for others NumPy's exponential function is faster."""
        return self.activation if self.activation in FROM_OUTPUT else None


# ---------------------------------------------------------------------------
# Convolution: large products are BLAS's; direct convolution and Winograd's transforms are compiled
# ---------------------------------------------------------------------------
COST = convolution.WinogradCost(1.25, 60, lambda F, C, O: 30 * (F + 2) ** 2 * (C + O))
ALGORITHMS = direct.Algorithms(convolution.table(winograd.COMPILED), COST)


class Conv2d(fast_conv.Conv2d):
    """The same algorithms."""

    algorithms = ALGORITHMS


class ConvTranspose2d(fast_conv.ConvTranspose2d):
    """The same algorithms."""

    algorithms = ALGORITHMS


BLOCK = 8  # threads: few, since those of a weight gradient are few, and blocks are shared


class DepthwiseConv2d(Ends, conv.DepthwiseConv2d):
    """Many times as fast as NumPy's shifted multiply-adds."""

    column_sum = staticmethod(ending.column_sum)

    def launch(self, direction, elements, args, O, defines=()):
        """As many lanes as are a few registers."""
        lanes = whole_registers(O, register_floats())
        if lanes is None or self.shapes[0][1] != O:
            super().launch(direction, elements, args, O, defines)
            return
        grid = (-(-elements // (lanes * BLOCK)),)
        defines = (("LANES", lanes), *defines)
        launch(self.file, f"depthwise_{direction}", grid, (BLOCK,), args, dtype=np.float32,
               defines=defines)  # fmt: skip

    def pixels(self, width):
        """As many as registers have room for the sums of, and as fill a row."""
        most = 7 if register_floats() == 16 else 4
        return min(range(most // 2 + 1, most + 1), key=lambda n: (-(-width // n) * n, -n))

    def input_gradient(self, dz, w, geometry):
        """With stride 1 it is dz convolved with the filters turned around."""
        M, C, H, W, OH, OW, KH, KW, SH, SW, PH, PW, DH, DW = geometry
        if (M, SH, SW) != (1, 1, 1):
            return super().input_gradient(dz, w, geometry)
        dx = memory.empty((len(dz), H, W, C), dz.dtype)
        turned = np.ascontiguousarray(conv.cells(w)[::-1, ::-1])
        padding = DH * (KH - 1) - PH, DW * (KW - 1) - PW
        back = (1, C, OH, OW, H, W, KH, KW, 1, 1, *padding, DH, DW)
        self.correlate(dz, turned, None, None, dx, back, CODES[None])
        return dx


class MaxPool2d(Compiled, pooling.MaxPool2d):
    """One walk over the image."""


class AvgPool2d(Compiled, pooling.AvgPool2d):
    """One walk over the image."""


class _Through:
    """One walk back, where NumPy makes a mask and multiplies by it."""

    def backward(self, dy):
        (y,) = self.saved
        if dy.dtype != np.float32 or dy.size < SMALL:
            return super().backward(dy)
        dx = memory.empty_like(dy)
        with compiled_for_speed():
            args = (flat(dy), flat(y), flat(dx), dy.size)
            launch_each("activation/relu.cu", f"{self.kind}_backward", dy.size, args,
                        dtype=dy.dtype, channels=dy.size)  # fmt: skip
        return dx


class ReLU(_Through, activation.ReLU):
    """Forward as in NumPy, which has one walk for it."""


class ReLU6(_Through, activation.ReLU6):
    """The same."""


# ---------------------------------------------------------------------------
# Batch normalization: a CPU's thread has its columns' rows to itself
# ---------------------------------------------------------------------------
PART = 2**17  # bytes of the rows of a part
CACHED = 2**22  # bytes of an array that may still be in the cache
WIDEST = 96  # lanes to read a larger one with: in memory's order, or nearly so


def parts_of(kernel, x, width, args):
    """Sums over parts of the rows of x (R, C), `width` numbers a channel: (P, width, C)."""
    R, C = x.shape
    P = min(max(R * C * x.itemsize // PART, 1), normalization.MOST_PARTS)
    lanes = lanes_of(C, MOST_LANES if x.nbytes <= CACHED else WIDEST)
    parts = memory.empty((P, width, C), x.dtype)
    launch(
        normalization.FILE, f"{kernel}_parts", (C // lanes, P), (1, 1), (*args, parts, R, C),
        dtype=x.dtype, defines=(("LANES", lanes),),
    )  # fmt: skip
    return parts


class Moments(Compiled, normalization.Moments):
    """Welford's update in every part; the parts are joined in float64."""

    parts_of = staticmethod(parts_of)

    @staticmethod
    def joined(parts, x):
        n, mean = parts[:, 0, 0].astype(np.float64), parts[:, 1].astype(np.float64)
        centre = n @ mean / len(x)
        mean -= centre
        Q = parts[:, 2].sum(axis=0, dtype=np.float64) + n @ (mean * mean)
        moments = np.empty((2, x.shape[1]), x.dtype)
        np.add(x[0], centre, out=moments[0], casting="same_kind")
        np.divide(Q, len(x), out=moments[1], casting="same_kind")
        return moments


class BatchNorm(Ends, normalization.BatchNorm):
    """One walk forward, with the shortcut and the activation; two backward."""

    parts_of = staticmethod(parts_of)

    @staticmethod
    def joined(parts, channels, share):
        sums = np.empty((4, parts.shape[2]), parts.dtype)
        sums[:2] = parts.sum(axis=0, dtype=np.float64)
        np.multiply(sums[:2], channels[2] * share, out=sums[2:])
        sums[3] *= channels[1]
        return sums


# ---------------------------------------------------------------------------
# The optimiser's step
# ---------------------------------------------------------------------------
class SGDUpdate(optim.SGDUpdate, fast_optim.SGDUpdate):
    """One walk through w, g and v, with the bits of the readable step."""

    @classmethod
    def step(cls, w, g, v, *settings):
        if w.dtype != np.float32 or w.size < SMALL:
            return super(optim.SGDUpdate, cls).step(w, g, v, *settings)  # the fast one
        with compiled_for_speed():
            return super().step(w, g, v, *settings)


def operations() -> dict:
    """The table of this backend on this machine."""
    drawn = (Conv2d, ConvTranspose2d, DepthwiseConv2d, Linear, MaxPool2d, AvgPool2d, ReLU, ReLU6,
             Moments, BatchNorm, SGDUpdate)  # fmt: skip
    if not can_compile():
        return dict(fast.OPERATIONS)
    use_team(Team())
    return fast.OPERATIONS | {operation.__name__: operation for operation in drawn}


OPERATIONS = operations()
