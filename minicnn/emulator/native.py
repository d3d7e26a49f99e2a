"""Kernels compiled for speed: a CPU's own way to run a CUDA kernel whose threads do not wait.

The emulator plays every thread as CUDA would, and can check it; that costs a call a thread. Here
the kernel is compiled into a loop over the threads, optimised for this CPU, and the blocks of a
launch are shared by worker threads. Kernels of `kernels/lanes.cuh` take LANES channels a thread,
which become vector instructions. Nothing is checked but dtypes and memory order: that the kernel is
right is what the emulator is for.
"""

from __future__ import annotations

import ctypes
import struct
from math import prod

import numpy as np

from .launch import Source, _cell_format, _read
from .signature import Parameter, parse_signature

WORTH_SHARING = 2**14  # threads times lanes that a launch has for several workers to share it
PIECES = 16  # that the blocks of a launch are shared out in


def load_native(source, name: str, defines: dict) -> NativeKernel:
    """The kernel `name`, compiled for speed; arguments and errors are those of `load`."""
    source = Source(*_read(source, name), dict(defines))
    parameters = parse_signature(source.text, name, source.defines)
    library = source.build(name, parameters, "fast")
    return NativeKernel(name, parameters, ctypes.CDLL(str(library)), int(defines.get("LANES", 1)))


class NativeKernel:
    """A kernel that is launched as CuPy's: `kernel(grid, block, args)`.

    `run(function, count, parallel)` says who runs the pieces of a launch, function(worker, i) for
    every i < count: the caller alone unless it is given.
    """

    def __init__(self, name: str, parameters: tuple[Parameter, ...], code, lanes: int):
        self.name, self.parameters, self.lanes = name, parameters, lanes
        self._run = code.emu_run
        number, pointer = ctypes.c_uint64, ctypes.c_void_p
        self._run.argtypes = (pointer, ctypes.c_uint * 3, ctypes.c_uint * 3, number, number)
        self._run.restype = None
        self._cells = struct.Struct("=" + "".join(map(_cell_format, parameters)))

    def __call__(self, grid, block, args, run=None) -> None:
        """Run all threads; blocks in any order, `parallel` if there is enough work.

        Raises
        ------
        TypeError, ValueError
            If an array is not what the kernel's parameter takes.
        """
        values = [_value(self.name, p, a) for p, a in zip(self.parameters, args, strict=True)]
        cells = ctypes.create_string_buffer(self._cells.pack(*values))
        first = ctypes.addressof(cells)
        addresses = (ctypes.c_void_p * len(values))(*range(first, first + 8 * len(values), 8))
        blocks, threads = prod(grid), prod(block)
        grid = (ctypes.c_uint * 3)(*grid, *(1,) * (3 - len(grid)))
        block = (ctypes.c_uint * 3)(*block, *(1,) * (3 - len(block)))
        parallel = blocks * threads * self.lanes > WORTH_SHARING
        pieces = min(blocks, PIECES) if parallel else 1

        def piece(_, k):
            self._run(addresses, grid, block, blocks * k // pieces, blocks * (k + 1) // pieces)

        (run or _alone)(piece, pieces, parallel)


def _alone(function, count, parallel):
    """Who runs the pieces where nobody else was named."""
    for i in range(count):
        function(0, i)


def _value(kernel, parameter, argument):
    """What goes into an argument's cell."""
    if not parameter.pointer:
        return argument
    if argument is None:
        return 0
    if not isinstance(argument, np.ndarray) or argument.dtype != parameter.dtype:
        raise TypeError(
            f"{kernel}: parameter {parameter} wants a NumPy array of {parameter.dtype}, but got "
            f"{getattr(argument, 'dtype', type(argument).__name__)}; convert it first"
        )
    if not argument.flags.c_contiguous:
        raise ValueError(
            f"{kernel}: parameter {parameter} wants a C-contiguous array, but got one with strides "
            f"{argument.strides}; pass np.ascontiguousarray(...) of it"
        )
    return argument.__array_interface__["data"][0]
