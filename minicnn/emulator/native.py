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

WORTH_SHARING = 2**18  # numbers that a launch works on for several workers to share it


def load_native(source, name: str, defines: dict) -> NativeKernel:
    """The kernel `name`, compiled for speed; arguments and errors are those of `load`."""
    source = Source(*_read(source, name), dict(defines))
    parameters = parse_signature(source.text, name, source.defines)
    library = source.build(name, parameters, "fast")
    return NativeKernel(name, parameters, ctypes.CDLL(str(library)), int(defines.get("LANES", 1)))


class NativeKernel:
    """A kernel that is launched as CuPy's: `kernel(grid, block, args)`.

    `share(run, cells, blocks)` says who runs a launch where there is enough work to share: it calls
    run(cells, first, last) for parts of the blocks. The caller alone does, unless it is given.
    """

    def __init__(self, name: str, parameters: tuple[Parameter, ...], code, lanes: int):
        self.name, self.parameters, self.lanes = name, parameters, lanes
        self._run = code.emu_run
        self._run.argtypes = (ctypes.c_char_p, ctypes.c_uint64, ctypes.c_uint64)
        self._run.restype = None
        self._cells = struct.Struct("=" + "".join(map(_cell_format, parameters)) + "6I")

    def __call__(self, grid, block, args, share=None, work=0) -> None:
        """Run all threads, blocks in any order; by `share` if there is enough work.

        That is as many numbers as the largest array has, or as there are threads times lanes, or
        `work`, for a kernel that does much with each.

        Raises
        ------
        TypeError, ValueError
            If an array is not what the kernel's parameter takes.
        """
        values = [
            _address(self.name, p, a) if p.pointer else a
            for p, a in zip(self.parameters, args, strict=True)
        ]
        blocks, threads = prod(grid), prod(block)
        sizes = (*grid, *(1,) * (3 - len(grid)), *block, *(1,) * (3 - len(block)))
        cells = self._cells.pack(*values, *sizes)
        largest = max((a.size for a in args if isinstance(a, np.ndarray)), default=0)
        work = max(blocks * threads * self.lanes, largest, work)
        if share is None or work <= WORTH_SHARING:
            self._run(cells, 0, blocks)
        else:
            share(self._run, cells, blocks)


def _address(kernel, parameter, array):
    """What goes into a pointer's cell."""
    if array is None:
        return 0
    if not isinstance(array, np.ndarray) or array.dtype != parameter.dtype:
        raise TypeError(
            f"{kernel}: parameter {parameter} wants a NumPy array of {parameter.dtype}, but got "
            f"{getattr(array, 'dtype', type(array).__name__)}; convert it first"
        )
    if not array.flags.c_contiguous:
        raise ValueError(
            f"{kernel}: parameter {parameter} wants a C-contiguous array, but got one with strides "
            f"{array.strides}; pass np.ascontiguousarray(...) of it"
        )
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))  # a quarter of the other's time
    except (TypeError, ValueError):  # read-only, or empty
        return array.__array_interface__["data"][0]
