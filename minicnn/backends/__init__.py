"""Who runs an array: devices, and the drawings that replace the readable operations.

Every operation is drawn in `minicnn/ops` in readable NumPy, and that drawing works by itself. A
backend is a module with a table of replacements, `OPERATIONS = {"Conv2d": Conv2d, ...}`; each is a
plain class with `forward` and `backward` that takes the place of the readable pair. What a backend
does not replace runs the readable version.

========== =============================================================================
loops      the definition: nested `for` loops
numpy      the readable drawing itself
fast       NumPy tuned for a CPU
compiled   the same, with pooling, batch norm and depthwise convolution compiled from `kernels/`
           where there is a C++ compiler; runs CPU arrays unless another one is chosen
emulator   the CUDA kernels of `kernels/`, run on the CPU by `minicnn.emulator`
cuda       the same kernels on a GPU, for CuPy arrays; chosen by the array, not by name
shapes     no numbers at all: what shape everything has, for `minicnn.analysis`
========== =============================================================================
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module

import numpy as np

MODULES = {
    "loops": "minicnn.backends.loops",
    "numpy": None,
    "fast": "minicnn.backends.fast",
    "compiled": "minicnn.backends.compiled",
    "emulator": "minicnn.backends.cuda",
    "cuda": "minicnn.backends.cuda",
    "shapes": "minicnn.backends.shapes",
}
# Those a person may choose to compute on a CPU.
CHOICES = ("loops", "numpy", "fast", "compiled", "emulator")

_backend: ContextVar[str] = ContextVar("minicnn_backend", default="compiled")
_drawn: dict[tuple[str, type], type] = {}


# ---------------------------------------------------------------------------
# Devices
# ---------------------------------------------------------------------------
def xp(array):
    """The array's own library: numpy, or cupy for a CuPy array. Never imports CuPy."""
    cupy = sys.modules.get("cupy")
    return cupy if cupy is not None and isinstance(array, cupy.ndarray) else np


def device_of(array) -> str | None:
    """"cpu" for a NumPy array, "cuda:0" and so on for a CuPy array, None for anything else."""
    if isinstance(array, np.ndarray):
        return "cpu"
    cupy = sys.modules.get("cupy")
    if cupy is not None and isinstance(array, cupy.ndarray):
        return f"cuda:{array.device.id}"
    return None


def check_device(device: str) -> str:
    """The device's full name ("cuda" means "cuda:0"), or an error if there is no such device."""
    if device == "cpu":
        return device
    kind, _, number = str(device).partition(":")
    if kind != "cuda" or not (number or "0").isdigit():
        raise ValueError(f"device: expects 'cpu', 'cuda' or 'cuda:N', but got {device!r}")
    number = int(number or 0)
    try:
        import cupy

        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # no CuPy, or no driver: CuPy has an error class for each
        raise RuntimeError(
            f"device {device!r} needs a CUDA GPU and CuPy, but none can be used here ({error}); "
            "install minicnn[cuda13] or minicnn[cuda12] on a machine with a GPU, or use 'cpu'"
        ) from error
    if number >= count:
        raise ValueError(f"device: {device!r} was asked for, but there are {count} CUDA devices")
    return f"cuda:{number}"


def to_device(array, device: str):
    """The array on `device`, memory order kept; the array itself if it is there already."""
    if device_of(array) == device:
        return array
    from minicnn.layout import nchw, nhwc

    if array.ndim == 4:  # CuPy copies in C order, so hand over the contiguous array
        return nchw(_transfer(nhwc(array), device))
    return _transfer(array, device)


def _transfer(array, device):
    import cupy

    if device == "cpu":
        return cupy.asnumpy(array)
    with cupy.cuda.Device(int(device.partition(":")[2])):
        return cupy.asarray(array)


# ---------------------------------------------------------------------------
# Choice of a drawing
# ---------------------------------------------------------------------------
@contextmanager
def use_backend(name: str):
    """Run operations on CPU arrays by this backend inside the `with` block.

    Parameters
    ----------
    name : "loops", "numpy", "fast", "compiled", "emulator" or "shapes"
        See the table in `minicnn.backends`. CuPy arrays always run on cuda.

    Raises
    ------
    ValueError
        If there is no backend of that name.
    """
    if name not in (*CHOICES, "shapes"):
        hint = "; arrays run on cuda when they lie on a GPU: x.to('cuda')" if name == "cuda" else ""
        raise ValueError(
            f"use_backend: expects one of {', '.join(map(repr, CHOICES))}, but got {name!r}{hint}"
        )
    token = _backend.set(name)
    try:
        yield
    finally:
        _backend.reset(token)


def current_backend() -> str:
    """The backend that runs CPU arrays now."""
    return _backend.get()


def backend_on(device: str | None) -> str:
    """The backend that runs arrays of this device now."""
    return _backend.get() if device is None or device == "cpu" else "cuda"


def drawing(operation: type, device: str | None) -> type:
    """The class that runs `operation` on `device`: the backend's drawing, or the readable one."""
    backend = _backend.get() if device == "cpu" else backend_on(device)
    return _drawn.get((backend, operation)) or _draw(backend, operation)


def _draw(backend, operation):
    replacement = None
    if MODULES[backend] is not None:
        replacement = import_module(MODULES[backend]).OPERATIONS.get(operation.__name__)
    if replacement is None or operation.__module__.partition(".")[0] != "minicnn":
        drawn = operation
    else:
        drawn = type(operation.__name__, (replacement, operation), {"backend": backend})
    _drawn[backend, operation] = drawn
    return drawn


def redraw(op, backend):
    """Let another backend's drawing run an operation that has not run yet."""
    operation = type(op).__bases__[1]  # the readable one: see `_draw`
    op.__class__ = _drawn.get((backend, operation)) or _draw(backend, operation)
