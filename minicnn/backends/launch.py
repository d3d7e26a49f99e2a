"""Starts a kernel of `kernels/` where the arrays are: on a GPU through CuPy, else in the emulator.

Everything above this file is the same for both, so what runs without a GPU is what runs on one.
A third way is for speed without a GPU: `compiled_for_speed`, which the backend "compiled" uses.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

import numpy as np

from minicnn.backends import xp
from minicnn.backends.fast import memory
from minicnn.backends.fast.workers import share_blocks
from minicnn.paths import kernels_dir

THREADS = 256  # of a block, for kernels with one thread per element
PLAIN_SHARED = 48 * 1024  # bytes of shared memory that a kernel gets without asking for more


def launch(file, name, grid, block, args, *, dtype, shared_mem=0, defines=()):
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
    defines : tuple of (str, int or str)
        More macros, such as tile sizes: `(("BM", 64), ("BN", 64))`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not what the kernel's parameter takes.
    """
    if 0 in grid:
        return  # nothing to do, and an empty grid is an error in CUDA
    if _compiled_for_speed.get():
        native(file, name, defines)(grid, block, args, share_blocks)
    elif xp(args[0]) is np:
        kernel = _emulated(file, name, _real(dtype), defines)
        kernel(grid, block, args, shared_mem=shared_mem)
    else:
        with args[0].device:
            kernel, parameters = _compiled(file, name, _real(dtype), defines)
            from minicnn.emulator.signature import check_arguments

            if shared_mem > PLAIN_SHARED:
                kernel.max_dynamic_shared_size_bytes = shared_mem
            kernel(grid, block, check_arguments(name, parameters, args), shared_mem=shared_mem)


def launch_each(file, name, elements, args, *, dtype, defines=(), channels=1):
    """Run a kernel with one thread for each of `elements` elements.

    Kernels with LANES (see `kernels/lanes.cuh`) say how many channels lie side by side: compiled
    for speed, a thread takes several of them.
    """
    if _compiled_for_speed.get() and (lanes := lanes_of(channels)) > 1:
        elements //= lanes
        defines = (*defines, ("LANES", lanes))
    grid = (-(-elements // THREADS),)
    launch(file, name, grid, (THREADS,), args, dtype=dtype, defines=defines)


# ---------------------------------------------------------------------------
# Compiled for speed
# ---------------------------------------------------------------------------
_compiled_for_speed: ContextVar[bool] = ContextVar("minicnn_compiled_for_speed", default=False)
MOST_LANES = 32  # more would not fit into a CPU's registers


@contextmanager
def compiled_for_speed():
    """Inside, kernels run on the CPU as vector instructions: arrays are NumPy's and float32."""
    token = _compiled_for_speed.set(True)
    try:
        yield
    finally:
        _compiled_for_speed.reset(token)


@cache
def lanes_of(channels, most=MOST_LANES):
    """How many channels a thread takes: they divide the channels; a multiple of 8 is best."""
    fitting = [n for n in range(2, most + 1, 2) if channels % n == 0]
    return max(fitting, key=lambda n: (n % 8 == 0, n), default=1)


def empty(x, shape, dtype):
    """An array where x lies, whose values are whatever was there."""
    if _compiled_for_speed.get():
        return memory.empty(shape, dtype)
    return xp(x).empty(shape, dtype)


@cache
def native(file, name, defines):
    """The kernel, compiled for speed."""
    from minicnn.emulator.native import load_native

    return load_native(kernels_dir() / file, name, dict(defines))


def _real(dtype):
    return {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}[np.dtype(dtype)]


@cache
def _emulated(file, name, real, defines):
    """The kernel, compiled for the CPU."""
    from minicnn.emulator import load

    return load(kernels_dir() / file, name, {"real": real, **dict(defines)})


@cache
def _headers():
    """A digest of all headers: CuPy's cache of compiled kernels sees sources and options only."""
    digest = hashlib.sha256()
    for path in sorted(kernels_dir().rglob("*.cuh")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@cache
def _compiled(file, name, real, defines):
    """The kernel as a CuPy RawKernel, and its parameters."""
    import cupy

    from minicnn.emulator.signature import parse_signature

    source = (kernels_dir() / file).read_text()
    macros = {"real": real, **dict(defines), "HEADERS": _headers()}
    options = (f"-I{kernels_dir()}", "--std=c++17", *(f"-D{k}={v}" for k, v in macros.items()))
    parameters = parse_signature(source, name, macros)
    return cupy.RawKernel(source, name, options), parameters
