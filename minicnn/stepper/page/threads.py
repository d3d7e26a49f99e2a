"""What the CUDA kernels of a pass do, for the page: one thread line by line, one warp's accesses.

An operation runs once more, on the recorded inputs, in the emulator; its launches are caught on the
way, and of each kernel's first one thread 0 is stepped and block 0 is traced.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import numpy as np

from minicnn import emulator
from minicnn.backends import use_backend
from minicnn.emulator import launch
from minicnn.emulator.compiler import EmulatorError
from minicnn.emulator.tracing import DOES, WARP
from minicnn.emulator.values import text_of
from minicnn.paths import kernels_dir
from minicnn.tensor import Tensor, _recorder

LARGEST = 3_000_000  # multiplications, or outputs, of an operation that is run again
LINES = 160  # of a thread's walk
WALKED = 40  # accesses of a warp that are shown, at most


def launches(steps) -> list[dict]:
    """For each kernel of each kind of operation: its source, a thread's walk, a warp's accesses.

    Raises
    ------
    CompilerNotFound
        If there is no C++ compiler.
    """
    emulator.find_compiler()
    found, known = [], set()
    for step in steps.forward():
        if not (step.ours and step.whole) or max(step.macs, step.output.size) > LARGEST:
            continue
        for direction, kernel, *arguments in caught(step):
            key = (step.operation, direction, kernel.name)
            if key not in known:
                known.add(key)
                found.append(described(step.operation, direction, kernel, *arguments))
    return found


def caught(step) -> list[tuple]:
    """(direction, kernel, grid, block, args, shared_mem) of all launches of an operation."""
    found, direction = [], ["forward"]

    def catch(kernel, grid, block, args, shared_mem, *settings):
        copies = tuple(a.copy() if isinstance(a, np.ndarray) else a for a in args)
        found.append((direction[0], kernel, grid, block, copies, shared_mem))
        with _launching(None):
            kernel(grid, block, args, shared_mem)

    textbook = next(c for c in reversed(type(step.op).__mro__) if c.__name__ == step.operation)
    inputs = [
        h and Tensor(h.array, requires_grad=h.array.dtype.kind == "f") for h in step.held
    ]
    token = _recorder.set(None)
    try:
        with _launching(catch), use_backend("emulator"):
            y = textbook.apply(*inputs, **step.settings)
            direction[0] = "backward"
            if step.partner and y.requires_grad:
                y.backward(step.partner.dy)
    finally:
        _recorder.reset(token)
    return found


@contextmanager
def _launching(function):
    token = launch.instead.set(function)
    try:
        yield
    finally:
        launch.instead.reset(token)


def described(operation, direction, kernel, grid, block, args, shared_mem) -> dict:
    """One launch as data."""
    path = Path(kernel.source.label)
    home = kernels_dir().resolve()
    data = {
        "operation": operation, "direction": direction, "kernel": kernel.name,
        "file": f"kernels/{path.resolve().relative_to(home).as_posix()}",
        "text": path.read_text(encoding="utf-8"),
        "grid": list(grid), "block": list(block),
    }  # fmt: skip
    return data | walk_of(kernel, grid, block, args, shared_mem, path.name) | accesses_of(
        kernel, grid, block, args, shared_mem, path.name)  # fmt: skip


def walk_of(kernel, grid, block, args, shared_mem, file) -> dict:
    """The lines that thread 0 executes, each with what it changes, reads and writes."""
    try:
        walk = emulator.step(kernel, grid, block, args, shared_mem, limit=4 * LINES)
    except EmulatorError as error:  # not every machine can step
        return {"walk": [], "stopped": str(error)}
    own = [s for s in walk if s.file.endswith(file)]
    rows = [
        {
            "line": s.line, "last": s.last_line,
            "changes": [f"{name} = {text_of(value)}" for name, _, value in s.differences()],
            "memory": [f"reads {a}" for a in s.reads] + [f"writes {a}" for a in s.writes]
            + [f"waits at {w}" for w in s.waits],
        }
        for s in own[:LINES]
    ]  # fmt: skip
    stopped = walk.stopped or (f"after {LINES} lines" if len(own) > LINES else None)
    return {"walk": rows, "stopped": stopped}


def accesses_of(kernel, grid, block, args, shared_mem, file) -> dict:
    """What the first warp of block 0 reads and writes, line by line, the first time."""
    try:
        trace = emulator.trace(kernel, grid, block, args, shared_mem, blocks=(0, 0, 0))
    except EmulatorError as error:
        return {"accesses": [], "untraced": str(error)}
    rows, found, seen = trace.accesses, [], set()
    mine = rows[(rows["thread"] < WARP) & (rows["block"] == 0)]
    numbers, first = np.unique(mine["warp_access"], return_index=True)
    for number, place in sorted(zip(numbers, first), key=lambda pair: pair[1]):
        one, whole = mine[place], trace.warp_accesses[number]
        array = trace.arrays[one["array"]]
        key = (int(one["line"]), array.name, int(one["kind"]))
        if key in seen or not trace.files[one["file"]].endswith(file) or len(found) == WALKED:
            continue
        seen.add(key)
        lanes = mine[mine["warp_access"] == number]
        what = ("bank_cycles", "least_bank_cycles") if array.shared else (
            "sectors", "least_sectors")  # fmt: skip
        found.append({
            "line": key[0], "array": array.name, "kind": DOES[key[2]], "shared": array.shared,
            "item": array.item, "lanes": lanes["thread"].tolist(), "index": lanes["index"].tolist(),
            "cost": int(whole[what[0]]), "least": int(whole[what[1]]),
        })  # fmt: skip
    return {"accesses": found}
