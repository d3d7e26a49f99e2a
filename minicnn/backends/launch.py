"""Starts a kernel of `kernels/` where the arrays are: on a GPU through CuPy, else in the emulator.

Everything above this file is the same for both, so what runs without a GPU is what runs on one.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from minicnn.backends import xp
from minicnn.paths import kernels_dir

THREADS = 256  # of a block, for kernels with one thread per element


def launch(file, name, grid, block, args, *, dtype, shared_mem=0):
    """Run kernel `name` of `kernels/<file>` with `real` meaning `dtype`.

    Parameters
    ----------
    file, name : str
    grid, block : tuple of int
    args : sequence
        Contiguous arrays (the first argument is one; it says where to run) and integers.
    dtype : numpy dtype
        float32 or float64.
    shared_mem : int
        Dynamic shared memory in bytes.

    Raises
    ------
    TypeError, ValueError
        If an argument is not what the kernel's parameter takes.
    """
    if 0 in grid:
        return  # nothing to do, and an empty grid is an error in CUDA
    if xp(args[0]) is np:
        _emulated(file, name, _real(dtype))(grid, block, args, shared_mem=shared_mem)
    else:
        with args[0].device:
            kernel, parameters = _compiled(file, name, _real(dtype))
            from minicnn.emulator.signature import check_arguments

            kernel(grid, block, check_arguments(name, parameters, args), shared_mem=shared_mem)


def launch_each(file, name, elements, args, *, dtype):
    """Run a kernel with one thread for each of `elements` elements."""
    launch(file, name, (-(-elements // THREADS),), (THREADS,), args, dtype=dtype)


def _real(dtype):
    return {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}[np.dtype(dtype)]


@cache
def _emulated(file, name, real):
    """The kernel, compiled for the CPU."""
    from minicnn.emulator import load

    return load(kernels_dir() / file, name, {"real": real})


@cache
def _compiled(file, name, real):
    """The kernel as a CuPy RawKernel, and its parameters."""
    import cupy

    from minicnn.emulator.signature import parse_signature

    source = (kernels_dir() / file).read_text()
    options = (f"-I{kernels_dir()}", f"-Dreal={real}", "--std=c++17")
    parameters = parse_signature(source, name, {"real": real})
    return cupy.RawKernel(source, name, options), parameters
