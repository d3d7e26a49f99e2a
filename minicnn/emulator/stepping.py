"""Walks one CUDA thread line by line: what it executed, its variables, and the memory it touched.

The kernel is compiled once more, without optimisation, and its assembly gets a call before each
line (assembly.py). The block of the chosen thread runs on copies of the arrays; the calls made by
that thread, each with a copy of its stack, become the steps of a `Walk` (recording.py), with
variables read as the compiler's debug information says (variables.py).
"""

from __future__ import annotations

import ctypes
import json
import operator
import platform
from functools import cache
from pathlib import Path

import numpy as np

from ..paths import kernels_dir
from . import launch
from .compiler import EmulatorError
from .cxx_types import Pointer
from .memory import NEAR, Memory, Region, copy_arrays, dynamic_shared_name
from .recording import READS, Recorder, Site
from .values import Array
from .variables import DebugInformation
from .walk import Walk

LIMIT = 10_000  # steps, unless told otherwise
SITES_PER_STEP = 8  # calls of emu_step in one step, on average, at most: a line may have several
MOST_BYTES = 1 << 28  # of a record
# As in step_runtime.cpp:
NOT_STOPPED, LIMIT_REACHED, ENDLESS_LOOP, ACCESS_OUTSIDE, RECORD_FULL = range(5)


def step(kernel, grid, block, args, shared_mem=0, *, block_index=(0, 0, 0), thread=(0, 0, 0),
         limit=LIMIT) -> Walk:  # fmt: skip
    """Runs one block of a launch, and records every line that one of its threads executes.

    The launch works on copies: the arrays in `args` stay as they are. Only the thread's own block
    runs. CUDA promises no order of blocks, so what it does is what it may do on a GPU; a kernel
    whose blocks wait for each other cannot be stepped through.

    Parameters
    ----------
    kernel : Kernel
        From `minicnn.emulator.load`.
    grid, block, args, shared_mem
        The launch, as for the kernel itself.
    block_index, thread : tuple of 1 to 3 int, or int
        The thread to watch: its blockIdx and threadIdx, x first.
    limit : int
        How many steps are recorded at most.

    Returns
    -------
    Walk
        Its `stopped` says why, if the thread did not come to its end: the limit, a trap, an endless
        loop, an access outside all arrays.

    Raises
    ------
    EmulatorError
        If this machine cannot step (only Linux on x86-64 can so far), or the kernel does not
        compile.
    TypeError, ValueError
        If the launch, an argument or the thread is not what CUDA or the kernel accepts.
    """
    check_machine()
    values, grid, block, shared_mem, *_ = kernel.prepare(
        grid, block, args, shared_mem, "forward", 0, 0
    )
    block_index = _index(kernel.name, "block_index", block_index, grid, "the grid")
    thread = _index(kernel.name, "thread", thread, block, "the block")
    if operator.index(limit) < 1:
        raise ValueError(f"step: limit is {limit}; record at least 1 step")
    for parameter, value in zip(kernel.parameters, values, strict=True):
        launch._cell(kernel.name, parameter, value)  # an array on a GPU is an error
    return _stepped(kernel).walk(grid, block, values, shared_mem, block_index, thread, limit)


def check_machine() -> None:
    """Raises EmulatorError where stepping is not possible."""
    system, machine = platform.system(), platform.machine()
    if system != "Linux" or machine.lower() not in ("x86_64", "amd64"):
        raise EmulatorError(
            "stepping through a kernel works on Linux on x86-64 only so far, but this is "
            f"{system} on {machine}; run the kernel without stepping, or step on another machine"
        )


def _index(kernel: str, what: str, index, size, of: str) -> tuple[int, int, int]:
    """A block's or a thread's index, checked to lie in the grid or block."""
    index = index if isinstance(index, (tuple, list)) else (index,)
    try:
        index = tuple(operator.index(i) for i in index)
    except TypeError:
        index = ()
    if not 1 <= len(index) <= 3:
        raise TypeError(f"{kernel}: {what} must be 1 to 3 integers, x first; pass (3, 0, 0), say")
    index += (0,) * (3 - len(index))
    if not all(0 <= i < n for i, n in zip(index, size, strict=True)):
        raise ValueError(
            f"{kernel}: {what} is {index}, but {of} is {tuple(size)}; choose one inside"
        )
    return index


# ---- the compiled kernel ---------------------------------------------------------------------
class _Result(ctypes.Structure):
    """`Result` of step_runtime.cpp."""

    _fields_ = [
        ("record", ctypes.c_void_p), ("used", ctypes.c_uint64), ("stop", ctypes.c_uint32),
        ("site", ctypes.c_uint32), ("thread", ctypes.c_uint32), ("kind", ctypes.c_uint32),
        ("address", ctypes.c_uint64), ("bytes", ctypes.c_uint64),
    ]  # fmt: skip


@cache
def _stepped(kernel: launch.Kernel) -> SteppedKernel:
    """The kernel compiled for stepping."""
    library = kernel.source.build(kernel.name, kernel.parameters, "step")
    return SteppedKernel(kernel.name, kernel.parameters, library, kernel.source)


class SteppedKernel(launch.Kernel):
    """A kernel compiled for stepping, with the runtime that records."""

    def __init__(self, name: str, parameters: tuple, library: Path, source: launch.Source):
        super().__init__(name, parameters, library, source)
        self._code.emu_step_result.restype = ctypes.POINTER(_Result)
        self._code.emu_step_base.restype = ctypes.c_void_p
        self._code.emu_step_shared.restype = ctypes.c_void_p
        self.base = self._code.emu_step_base()
        self.debug = DebugInformation(library)
        place = ctypes.addressof(ctypes.c_char.in_dll(self._code, "emu_step_sites"))
        table = json.loads(ctypes.string_at(place))
        self.own_file = _shown(self.source.label)
        self.sources = {self.own_file: self.source.text}
        names = {int(number): self._add_source(name) for number, name in table["files"].items()}
        nowhere = Site("", 0, 0)  # for the numbers that stand for no line
        self.sites = [nowhere] * 2 + [Site(names[f], *place) for f, *place in table["sites"]]

    def _add_source(self, file: str) -> str:
        """Keeps the text of a file that the compiler names; returns what steps call the file."""
        label = Path(self.source.label)
        if Path(file) == label or (not label.is_absolute() and Path(file).name == label.name):
            return self.own_file
        self.sources[_shown(file)] = Path(file).read_text(encoding="utf-8", errors="replace")
        return _shown(file)

    def walk(self, grid, block, values, shared_mem, block_index, thread, limit) -> Walk:
        """Runs the block and makes the walk; all arguments are checked already."""
        copies, regions = copy_arrays(self.parameters, values)
        regions += [*self._shared(shared_mem), *self._static()]
        number = block_index[0] + grid[0] * (block_index[1] + grid[1] * block_index[2])
        watched = thread[0] + block[0] * (thread[1] + block[1] * thread[2])
        with launch._lock:
            record, result, message = self._record(
                grid, block, copies, shared_mem, number, watched, limit
            )
        memory = Memory(regions, dynamic_shared_name(self.source.text))
        recorder = Recorder(self.debug, memory, self.base, self.sites, self.sources)
        steps = recorder.steps(record, limit)
        stopped = self._stopped(result, message, block, regions, recorder.cut, len(steps), limit)
        used = [self.own_file, *(step.file for step in steps)]
        return Walk(
            self.name, tuple(grid), tuple(block), block_index, thread,
            [region.array for region in regions],
            {file: self.sources[file] for file in used}, steps, stopped,
        )  # fmt: skip

    def _record(self, grid, block, values, shared_mem, number, watched, limit):
        """Launches, and returns the record, how it ended, and the runtime's message."""
        cells = [
            launch._cell(self.name, p, v) for p, v in zip(self.parameters, values, strict=True)
        ]
        self._cells.pack_into(self._buffer, 0, *cells)
        memory = [(a.ctypes.data, a.nbytes) for a in values if isinstance(a, np.ndarray)]
        memory += [(ctypes.addressof(b), ctypes.sizeof(b)) for b in (self._buffer, self._addresses)]
        bounds = (ctypes.c_uint64 * (2 * len(memory)))(
            *(edge for start, size in memory for edge in (start, start + size))
        )
        failed = self._code.emu_step_launch(
            self._entry, self._addresses, grid, block, shared_mem, _stacks(self._code),
            ctypes.c_uint64(number), watched, ctypes.c_uint64(SITES_PER_STEP * limit),
            ctypes.c_uint64(MOST_BYTES), bounds, len(memory),
        )  # fmt: skip
        result = self._code.emu_step_result().contents
        record = ctypes.string_at(result.record, result.used) if result.used else b""
        kept = _Result.from_buffer_copy(result)
        self._code.emu_step_forget()
        message = self._code.emu_message().decode(errors="replace") if failed else ""
        return memoryview(record), kept, message

    # ---- what the kernel can reach -------------------------------------------
    def _shared(self, size: int) -> list[Region]:
        """The dynamic shared memory, called by the name that the kernel gives it."""
        name = dynamic_shared_name(self.source.text)
        pointer = next(
            (v.type for f in self.debug.functions for v in f.variables if v.name == name), None
        )
        if not size or not isinstance(pointer, Pointer):
            return []
        dtype, inner = pointer.target.flat()
        shape = (size // pointer.target.size, *inner)
        return [Region(Array(name, dtype, shape, "shared"), self._code.emu_step_shared())]

    def _static(self) -> list[Region]:
        """The `__shared__`, `__device__` and `__constant__` variables."""
        regions = []
        for kind, variables in (("shared", self.debug.locals), ("device", self.debug.globals)):
            for variable in variables:
                if not variable.name.startswith("emu_"):
                    dtype, shape = variable.type.flat()
                    array = Array(variable.name, dtype, shape, kind)
                    regions.append(Region(array, self.base + variable.offset))
        return regions

    # ---- why a walk ends early -----------------------------------------------
    def _stopped(self, result, message, block, regions, cut, steps, limit) -> str | None:
        if cut:
            return f"stopped after {steps} steps, because limit is {limit}; pass a larger one"
        if result.stop == LIMIT_REACHED:
            return f"stopped after {steps} steps, because {self._line(result.site)} never ends"
        if result.stop == RECORD_FULL:
            full = f"the record is full ({MOST_BYTES >> 20} MB)"
            return f"stopped after {steps} steps, because {full}"
        if not result.stop:
            return message or None
        who = f"thread {_thread_index(result.thread, block)}, {self._line(result.site)}"
        if result.stop == ENDLESS_LOOP:
            return (
                f"{who}: this thread has run 20 million lines without coming to its end or to a "
                "barrier: is a loop endless?"
            )
        what = "read" if result.kind == READS else "write"
        return f"{who}: a {what} of {result.bytes} bytes {_beside(result, regions)}"

    def _line(self, site: int) -> str:
        if not site:
            return "before its first line"
        return f"line {self.sites[site].line} of {Path(self.sites[site].file).name}"


def _shown(file: str) -> str:
    """What steps call a file: one of minicnn's own by its path below `kernels`."""
    path, home = Path(file), kernels_dir().resolve()
    return path.relative_to(home).as_posix() if path.is_relative_to(home) else file


def _thread_index(number: int, block) -> tuple[int, int, int]:
    return number % block[0], number // block[0] % block[1], number // block[0] // block[1]


def _beside(result, regions) -> str:
    """Where an access outside all arrays lies, from the array that is nearest."""
    near = Memory([r for r in regions if r.array.memory == "global"]).region(result.address, NEAR)
    if near is None:
        return f"at {result.address:#x}, outside all arrays"
    index = (result.address - near.start) // near.array.dtype.itemsize
    name, size = near.array.name, near.bytes // near.array.dtype.itemsize
    return f"at {name}[{index}], outside of {name}, which has {size} elements"


def _stacks(code) -> ctypes.c_void_p:
    if launch._stacks is None:
        launch._stacks = launch._new_stacks(code)
    return launch._stacks
