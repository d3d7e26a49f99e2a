"""Loads a CUDA kernel on the CPU and launches it as CuPy's RawKernel is launched."""

from __future__ import annotations

import ctypes
import operator
import os
import struct
import threading
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..paths import kernels_dir
from .compiler import EmulatorError, build, translate
from .signature import address, check_arguments, parse_signature

MAX_GRID = (2**31 - 1, 65535, 65535)
MAX_BLOCK = (1024, 1024, 64)
MAX_THREADS = 1024
MAX_SHARED = 227 * 1024
ORDERS = {"forward": 0, "reverse": 1, "shuffled": 2}
TIMEOUT = 10.0  # seconds

# A kernel's library keeps the launch it is running in global variables, and all libraries share
# the stacks: one launch at a time.
_lock = threading.RLock()
_kernels: dict[Path, Kernel] = {}
_stacks: ctypes.c_void_p | None = None

# A function that launches come to instead of running: the sanitizer's (see sanitizer.checking).
instead: ContextVar[Callable | None] = ContextVar("minicnn_emulator_instead", default=None)


def _renew_lock() -> None:
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):  # a child must not inherit a lock that nobody will release
    os.register_at_fork(after_in_child=_renew_lock)


def load(source: str | Path, name: str, defines: dict | None = None) -> Kernel:
    """Compiles a CUDA kernel for the CPU; a second call finds the result in the cache.

    Parameters
    ----------
    source : str or Path
        A `.cu` file, found as given or below the `kernels` folder, or CUDA C source text (a string
        with a line break or a brace).
    name : str
        The kernel's name, a template with its arguments: `"im2col"`, `"sgemm<16>"`.
    defines : dict, optional
        Macros: `{"real": "double"}` is the compiler's `-Dreal=double`.

    Returns
    -------
    Kernel
        Call it with `(grid, block, args, shared_mem=0)`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError, TypeError
        If the source has no such kernel, or one whose parameters cannot be passed.
    CompilerNotFound
        If the machine has no C++ compiler.
    EmulatorError
        If the kernel does not compile.
    """
    defines = dict(defines or {})
    source = Source(*_read(source, name), defines)
    parameters = parse_signature(source.text, name, defines)
    library = source.build(name, parameters, "plain")
    with _lock:
        if library not in _kernels:
            _kernels[library] = Kernel(name, parameters, library, source)
        return _kernels[library]


@dataclass(frozen=True)
class Source:
    """A kernel's source: its text, what errors call it, the folders of its headers, its macros."""

    text: str
    label: str
    folders: list[Path]
    defines: dict

    def build(self, name: str, parameters: tuple, mode: str) -> Path:
        """The library of kernel `name`, compiled in one of compiler.py's modes."""
        text = translate(self.text, self.label, name, parameters, self.defines)
        return build(text, self.label, name, self.folders, mode)


def _read(source: str | Path, name: str) -> tuple[str, str, list[Path]]:
    """The source's text, what to call it in error messages, and the folder of its headers."""
    if isinstance(source, str) and ("\n" in source or "{" in source):
        return source, f"{name.partition('<')[0]}.cu", []
    given = Path(source)
    for path in (given, kernels_dir() / given):
        if path.is_file():
            path = path.resolve()
            return path.read_text(encoding="utf-8"), str(path), [path.parent]
    raise FileNotFoundError(
        f"kernel file {str(source)!r} is neither here ({Path.cwd()}) nor in {kernels_dir()}; "
        "pass a .cu file's path, or source text"
    )


class Kernel:
    """A CUDA kernel that runs on the CPU; made by `load`.

    Attributes
    ----------
    name : str
    parameters : tuple of Parameter
    library : Path
        The compiled file.
    source : Source
        What it was compiled from.
    """

    def __init__(self, name: str, parameters: tuple, library: Path, source: Source):
        self.name, self.parameters, self.library, self.source = name, parameters, library, source
        self._code = ctypes.CDLL(str(library))
        self._entry = ctypes.cast(self._code.emu_entry, ctypes.c_void_p)
        self._launch = self._code.emu_launch
        pointer, number = ctypes.c_void_p, ctypes.c_uint
        self._launch.argtypes = (
            pointer, pointer, number * 3, number * 3, number, ctypes.c_int, ctypes.c_uint64,
            pointer, ctypes.c_double,
        )  # fmt: skip
        self._code.emu_message.restype = ctypes.c_char_p
        # Every argument takes one 8-byte cell; the kernel is given the cells' addresses.
        self._cells = struct.Struct("=" + "".join(_cell_format(p) for p in parameters))
        self._buffer = ctypes.create_string_buffer(max(8, 8 * len(parameters)))
        first = ctypes.addressof(self._buffer)
        cells = [first + 8 * i for i in range(len(parameters))]
        self._addresses = (ctypes.c_void_p * max(1, len(cells)))(*cells)

    def __repr__(self) -> str:
        return f"Kernel({self.name}({', '.join(map(str, self.parameters))}))"

    def __call__(
        self, grid, block, args, shared_mem=0, *, order="forward", seed=0, timeout=TIMEOUT
    ) -> None:
        """Runs the kernel for every thread of the grid, and returns when all are done.

        Parameters
        ----------
        grid, block : tuple of 1 to 3 int
            Blocks in the grid and threads in a block, x first.
        args : sequence
            NumPy arrays (or None) for pointers, NumPy scalars of the exact dtype for numbers; a
            Python integer will do where the kernel wants an integer.
        shared_mem : int
            Bytes of dynamic shared memory.
        order : {"forward", "reverse", "shuffled"}
            In which order blocks, and the threads of a block, run. A GPU promises none: a result
            that depends on it is a race.
        seed : int
            Chooses the shuffled order.
        timeout : float
            Seconds that one block may take: a block that takes longer is taken to be in an endless
            loop. 0: for ever. (Windows cannot interrupt a launch; `check` can, everywhere.)

        Raises
        ------
        EmulatorError
            If threads wait for each other for ever, reach different barriers, call `__trap()`,
            fail an `assert` or never finish; arrays keep what was written until then.
        TypeError, ValueError
            If the launch or an argument is not what CUDA or the kernel accepts.
        """
        call_instead = instead.get()
        if call_instead is not None:
            call_instead(self, grid, block, args, shared_mem, order, seed, timeout)
            return
        prepared = self.prepare(grid, block, args, shared_mem, order, seed, timeout)
        with _lock:
            failed = self.run(*prepared)
            message = self._code.emu_message().decode(errors="replace") if failed else ""
        if failed:
            raise EmulatorError(f"{self.name}: {message}")

    def prepare(self, grid, block, args, shared_mem, order, seed, timeout) -> tuple:
        """The values of a launch's arguments, and the launch's settings, all checked."""
        grid = _dimensions(self.name, "grid", grid, MAX_GRID)
        block = _dimensions(self.name, "block", block, MAX_BLOCK)
        shared_mem = _check_launch(self.name, block, shared_mem, order)
        if not isinstance(timeout, (int, float)) or not 0 <= timeout < 1e9:
            raise ValueError(f"{self.name}: timeout is {timeout!r}; pass seconds, or 0 for ever")
        values = check_arguments(self.name, self.parameters, args)
        return values, grid, block, shared_mem, ORDERS[order], seed % 2**64, float(timeout)

    def run(self, values, grid, block, shared_mem, order, seed, timeout) -> int:
        """Launches with what `prepare` returned, while holding `_lock`; 1 if it failed."""
        global _stacks
        cells = [_cell(self.name, p, v) for p, v in zip(self.parameters, values, strict=True)]
        if _stacks is None:
            _stacks = _new_stacks(self._code)
        self._cells.pack_into(self._buffer, 0, *cells)
        return self._launch(
            self._entry, self._addresses, grid, block, shared_mem, order, seed, _stacks, timeout
        )


def _new_stacks(code: ctypes.CDLL) -> ctypes.c_void_p:
    code.emu_new_stacks.restype = ctypes.c_void_p
    stacks = code.emu_new_stacks()
    if not stacks:
        raise MemoryError("the emulator cannot reserve 96 MB of address space for its stacks")
    return ctypes.c_void_p(stacks)


def _cell_format(parameter) -> str:
    if parameter.pointer:
        return "Q"
    code = {"l": "q", "L": "Q"}.get(parameter.dtype.char, parameter.dtype.char)
    return f"{code}{8 - parameter.dtype.itemsize}x"


def _cell(kernel: str, parameter, value):
    """What goes into an argument's cell: an address, or the number itself."""
    if not parameter.pointer or isinstance(value, np.uintp):
        return value
    if not isinstance(value, np.ndarray):
        raise TypeError(
            f"{kernel}: parameter {parameter.name} wants a NumPy array, but got a "
            f"{type(value).__module__}.{type(value).__name__}; the emulator works in the CPU's "
            "memory: copy the array there first"
        )
    return address(value)


def _dimensions(kernel: str, what: str, size, limits) -> ctypes.Array:
    """A grid or block as three unsigned numbers, checked against CUDA's limits."""
    if not isinstance(size, (tuple, list)) or not 1 <= len(size) <= 3:
        raise TypeError(f"{kernel}: {what} is {size!r}; pass a tuple of 1 to 3 integers")
    try:
        size = tuple(operator.index(length) for length in size)
    except TypeError:
        raise TypeError(f"{kernel}: {what} is {size!r}; pass a tuple of 1 to 3 integers") from None
    for axis, length, limit in zip("xyz", size, limits, strict=False):
        if not 1 <= length <= limit:
            raise ValueError(
                f"{kernel}: {what}.{axis} is {length}, but CUDA allows 1 to {limit}; "
                "change the launch's shape"
            )
    return (ctypes.c_uint * 3)(*size, *(1,) * (3 - len(size)))


def _check_launch(kernel: str, block, shared_mem, order: str) -> int:
    threads = block[0] * block[1] * block[2]
    if threads > MAX_THREADS:
        raise ValueError(
            f"{kernel}: a block of {tuple(block)} has {threads} threads, but CUDA allows "
            f"{MAX_THREADS}; use smaller blocks and more of them"
        )
    shared_mem = operator.index(shared_mem)
    if not 0 <= shared_mem <= MAX_SHARED:
        raise ValueError(
            f"{kernel}: shared_mem is {shared_mem} bytes, but CUDA allows 0 to {MAX_SHARED}; "
            "use smaller tiles"
        )
    if order not in ORDERS:
        raise ValueError(f"{kernel}: order is {order!r}; use one of {', '.join(ORDERS)}")
    return shared_mem
