"""Every access to memory that a launch makes, and what they cost on a GPU.

A GPU serves the 32 threads of a warp together. Global memory comes in sectors of 32 bytes: 32
neighbouring floats are 4 sectors, 32 floats far from each other are 32 (NVIDIA, CUDA C++ Best
Practices Guide, "Coalesced Access to Global Memory"). Shared memory has 32 banks, each of which
gives one 4-byte word at a time: words of the same bank must wait for each other.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from . import launch
from .compiler import EmulatorError
from .instrumented import Array, instrumented
from .sanitizer import DOES, READING, UPDATING, WRITING, findings_of

SECTOR, WORD, BANKS, WARP = 32, 4, 32, 32
LIMIT = 1 << 24  # accesses: half a gigabyte
TRACE_FULL = 6  # FailureKind of runtime.h
ACCESS = np.dtype([
    ("block", "u4"), ("thread", "u2"), ("barrier", "u4"), ("file", "u2"), ("line", "u4"),
    ("array", "u2"), ("kind", "u1"), ("index", "i8"), ("offset", "i8"), ("bytes", "u4"),
    ("warp_access", "i8"),
])  # fmt: skip
WARP_ACCESS = np.dtype([
    ("block", "u4"), ("warp", "u2"), ("file", "u2"), ("line", "u4"), ("array", "u2"),
    ("kind", "u1"), ("lanes", "u1"), ("bytes", "u4"), ("sectors", "u4"), ("least_sectors", "u4"),
    ("bank_cycles", "u4"), ("least_bank_cycles", "u4"),
])  # fmt: skip


@dataclass(frozen=True)
class Line:
    """What one line of a kernel does to one array: sums over all warps.

    `sectors` and `least_sectors` count for global memory, `bank_cycles` and `least_bank_cycles` for
    shared memory; `least` is what the same bytes need when they lie side by side.
    """

    file: str
    line: int
    array: str
    kind: str
    shared: bool
    warp_accesses: int
    bytes: int
    sectors: int
    least_sectors: int
    bank_cycles: int
    least_bank_cycles: int


@dataclass(frozen=True)
class Trace:
    """The accesses to memory of one launch; made by `trace`.

    Attributes
    ----------
    accesses : structured array
        One row per access, in the order of the emulator: `block`, `thread` (numbers, counted x
        first), `barrier` (how many the block has passed), `file` and `array` (positions in `files`
        and `arrays`), `line`, `kind` (0 reads, 1 writes, 2 updates atomically), `index` (of the
        first element), `offset` and `bytes` in the array, and `warp_access`: accesses of one warp
        at one place, made together, share its number.
    warp_accesses : structured array
        One row per number: `block`, `warp`, `file`, `line`, `array`, `kind`, `lanes` that took
        part, `bytes` that they asked for, `sectors` and `bank_cycles`, both with the `least_...`.
    arrays : list of Array
        Arguments and variables: `name`, `shape`, `item` (bytes), `shared`.
    files : list of str
    """

    accesses: np.ndarray
    warp_accesses: np.ndarray
    arrays: list[Array]
    files: list[str]

    def lines(self) -> list[Line]:
        """The warps' accesses, added up for each line, array and kind."""
        rows, found = self.warp_accesses, []
        keys, member = np.unique(rows[["file", "line", "array", "kind"]], return_inverse=True)
        sums = ("bytes", "sectors", "least_sectors", "bank_cycles", "least_bank_cycles")
        for number, (file, line, array, kind) in enumerate(keys.tolist()):
            mine = rows[member.ravel() == number]
            totals = {name: int(mine[name].sum()) for name in sums}
            where = self.arrays[array]
            found.append(Line(self.files[file], line, where.name, DOES[kind], where.shared,
                              len(mine), **totals))  # fmt: skip
        return found

    def sectors(self, array: str) -> float:
        """Sectors per warp access to `array`; 4 is the least for 32 floats."""
        return self._mean(array, "sectors")

    def bank_conflicts(self, array: str) -> float:
        """How many times longer than without bank conflicts the accesses to `array` take."""
        rows = self._rows(self.warp_accesses, array)
        least = int(rows["least_bank_cycles"].sum())
        return int(rows["bank_cycles"].sum()) / least if least else 1.0

    def bytes_read(self, array: str | None = None) -> int:
        """Bytes that threads ask for, from one array or from all of global memory."""
        return self._bytes(array, (READING, UPDATING))

    def bytes_written(self, array: str | None = None) -> int:
        """Bytes that threads write, to one array or to all of global memory."""
        return self._bytes(array, (WRITING, UPDATING))

    def outputs(self) -> int:
        """How many different elements of global arrays the kernel wrote."""
        rows = self._global(self.accesses)
        rows = rows[rows["kind"] > 0]
        items = np.array([array.item for array in self.arrays] or [1])[rows["array"]]
        count = np.maximum(rows["bytes"] // items, 1)
        first = np.repeat(rows["index"], count)
        step = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        return len(np.unique(np.stack([np.repeat(rows["array"], count), first + step]), axis=1).T)

    def bytes_per_output(self) -> tuple[float, float]:
        """Bytes of global memory read, and written, per output element."""
        outputs = max(self.outputs(), 1)
        return self.bytes_read() / outputs, self.bytes_written() / outputs

    def _mean(self, array: str, field: str) -> float:
        rows = self._rows(self.warp_accesses, array)
        return float(rows[field].mean()) if len(rows) else 0.0

    def _rows(self, rows: np.ndarray, array: str) -> np.ndarray:
        numbers = [i for i, each in enumerate(self.arrays) if each.name == array]
        if not numbers:
            names = ", ".join(each.name for each in self.arrays)
            raise ValueError(f"the launch touched no array {array!r}; it touched {names}")
        return rows[np.isin(rows["array"], numbers)]

    def _global(self, rows: np.ndarray) -> np.ndarray:
        return rows[~np.array([each.shared for each in self.arrays] or [False])[rows["array"]]]

    def _bytes(self, array: str | None, kinds: tuple[int, ...]) -> int:
        rows = self._global(self.accesses) if array is None else self._rows(self.accesses, array)
        return int(rows["bytes"][np.isin(rows["kind"], kinds)].sum())

    def __str__(self) -> str:
        title = (
            f"{'line':20}  {'array':12}  {'what':18}  warp accesses  cost of one (least possible)"
        )
        return "\n".join([title, *map(_row, self.lines()), self._traffic()])

    def _traffic(self) -> str:
        read, written = self.bytes_per_output()
        return (
            f"global memory: {self.bytes_read()} bytes read, {self.bytes_written()} written; "
            f"{read:.4g} and {written:.4g} for each of {self.outputs()} outputs"
        )


def _row(line: Line) -> str:
    if line.shared:
        cost, least, unit = line.bank_cycles, line.least_bank_cycles, "cycles"
    else:
        cost, least, unit = line.sectors, line.least_sectors, "sectors"
    n = line.warp_accesses
    place = f"{os.path.basename(line.file)}:{line.line}"
    return (
        f"{place:20}  {line.array:12}  {line.kind:18}  {n:13}  "
        f"{cost / n:.4g} ({least / n:.4g}) {unit}"
    )


def trace(
    kernel, grid, block, args, shared_mem=0, *, blocks=None, limit=LIMIT, order="forward", seed=0,
    timeout=launch.TIMEOUT,
) -> Trace:  # fmt: skip
    """Runs a kernel and keeps every access to its arrays and to shared memory.

    Local variables are registers on a GPU: they are not in the trace. A GPU's compiler may join
    accesses (two reads of one element, neighbours into one wide access) that the trace shows as
    they stand in the source.

    Parameters
    ----------
    kernel : Kernel
        From `emulator.load`.
    grid, block, args, shared_mem, order, seed, timeout
        As in a launch.
    blocks : tuple of int, optional
        blockIdx of the one block to trace; all blocks run.
    limit : int
        The most accesses to keep.

    Raises
    ------
    EmulatorError
        If the kernel cannot finish (an access out of bounds, a deadlock), or makes more accesses
        than `limit`.
    """
    code = instrumented(kernel)
    number = -1 if blocks is None else _block_number(kernel.name, blocks, grid)
    record = code.record(grid, block, args, shared_mem, order, seed, timeout,
                         traced=True, traced_block=number, limit=limit)  # fmt: skip
    if record.failure == TRACE_FULL:
        raise EmulatorError(
            f"{kernel.name}: more than {limit} accesses to memory; trace one block with "
            "blocks=(0, 0, 0), launch a smaller grid, or raise limit= (32 bytes each)"
        )
    if record.failure:
        found = findings_of(code, record, block)
        fatal = [f for f in found if f.kind not in ("race", "uninitialised")]
        raise EmulatorError(f"{kernel.name}: {fatal[-1]!r}")
    return _Events(code, record).trace()


def _block_number(kernel: str, block, grid) -> int:
    x, y, z = (*block, 0, 0)[:3]
    width, height, depth = (*grid, 1, 1)[:3]
    if not (0 <= x < width and 0 <= y < height and 0 <= z < depth):
        raise ValueError(f"{kernel}: blocks is {tuple(block)}, but the grid is {tuple(grid)}")
    return x + width * (y + height * z)


class _Events:
    """The sanitizer's events, turned into a Trace."""

    def __init__(self, code, record):
        self.events = record.events
        self.arrays, self.files = [], []
        self._first = []  # of each region: the number of its first array
        for region in record.regions:
            self._first.append(len(self.arrays))
            self.arrays += [array for _, array in region]
        self._starts = [[start for start, _ in region] for region in record.regions]
        self._places = {
            int(site): code.place(int(site), record.places)
            for site in np.unique(self.events["site"])
        }
        self.files = sorted({file for file, _ in self._places.values()})

    def trace(self) -> Trace:
        """The whole of it."""
        accesses = self._accesses()
        accesses["warp_access"] = _together(self.events)
        return Trace(accesses, self._warp_accesses(accesses), self.arrays, self.files)

    def _accesses(self) -> np.ndarray:
        events, rows = self.events, np.zeros(len(self.events), ACCESS)
        for name in ("block", "thread", "barrier", "bytes"):
            rows[name] = events[name]
        rows["kind"] = events["how"]
        for site, (file, line) in self._places.items():
            here = events["site"] == site
            rows["file"][here], rows["line"][here] = self.files.index(file), line
        for number in np.unique(events["region"]):
            here, starts = events["region"] == number, np.array(self._starts[number])
            offset = events["offset"][here]
            which = np.searchsorted(starts, offset, side="right") - 1
            items = np.array([a.item for a in self.arrays[self._first[number] :][: len(starts)]])
            rows["array"][here] = self._first[number] + which
            rows["offset"][here] = offset - starts[which]
            rows["index"][here] = (offset - starts[which]) // items[which]
        return rows

    def _warp_accesses(self, accesses: np.ndarray) -> np.ndarray:
        numbers, first, member, lanes = np.unique(
            accesses["warp_access"], return_index=True, return_inverse=True, return_counts=True
        )
        rows, opening = np.zeros(len(numbers), WARP_ACCESS), accesses[first]
        for name in ("block", "file", "line", "array", "kind"):
            rows[name] = opening[name]
        rows["warp"] = opening["thread"] // WARP
        rows["lanes"] = lanes
        rows["bytes"] = np.bincount(member.ravel(), accesses["bytes"], len(numbers))
        shared = np.array([each.shared for each in self.arrays] or [False])[rows["array"]]
        sectors = _pieces(accesses, member.ravel(), SECTOR)
        words = _pieces(accesses, member.ravel(), WORD)
        count = np.bincount(sectors[0], minlength=len(rows))
        least = -(-np.bincount(words[0], minlength=len(rows)) * WORD // SECTOR)
        rows["sectors"], rows["least_sectors"] = count * ~shared, least * ~shared
        cycles, least = _bank_cycles(accesses, member.ravel(), len(rows))
        rows["bank_cycles"], rows["least_bank_cycles"] = cycles * shared, least * shared
        return rows


def _together(events: np.ndarray) -> np.ndarray:
    """A number for each event: the same for what a warp does at one place at the same time.

    The threads of a warp come to a place one after the other here. What each does there the k-th
    time is what a GPU's warp does together (as long as all of them go round a loop as often).
    """
    order = np.lexsort((np.arange(len(events)), events["site"], events["thread"], events["block"]))
    e = events[order]
    new = np.ones(len(e), bool)
    new[1:] = (
        (e["block"][1:] != e["block"][:-1])
        | (e["thread"][1:] != e["thread"][:-1])
        | (e["site"][1:] != e["site"][:-1])
    )
    starts = np.flatnonzero(new)
    time = np.empty(len(e), np.int64)
    time[order] = np.arange(len(e)) - np.repeat(starts, np.diff([*starts, len(e)]))
    keys = np.stack([events["block"], events["thread"] // WARP, events["site"], time,
                     events["how"]]).astype(np.int64)  # fmt: skip
    return np.unique(keys, axis=1, return_inverse=True)[1].ravel()


def _pieces(accesses: np.ndarray, member: np.ndarray, size: int) -> np.ndarray:
    """The different (warp access, piece of memory) pairs, for pieces of `size` bytes: (2, n)."""
    first = accesses["offset"] // size
    count = (accesses["offset"] + accesses["bytes"] - 1) // size - first + 1
    step = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    pairs = np.stack([np.repeat(member, count), np.repeat(first, count) + step])
    return np.unique(pairs, axis=1)


def _bank_cycles(accesses: np.ndarray, member: np.ndarray, rows: int):
    """Cycles of shared memory per warp access, and the least possible.

    Wide accesses go in parts: 8 bytes a half warp at a time, 16 bytes a quarter. In each part, the
    bank with the most different words decides.
    """
    width = np.minimum(np.maximum(accesses["bytes"], WORD), 4 * WORD).astype(np.int64)
    part = accesses["thread"] % WARP // (WARP * WORD // width)
    group, word = _pieces(accesses, member * 4 + part, WORD)
    loads = np.zeros((rows * 4, BANKS), np.int32)
    np.add.at(loads, (group, word % BANKS), 1)
    cycles = loads.max(axis=1).reshape(rows, 4) if rows else np.zeros((0, 4), np.int32)
    return cycles.sum(axis=1), (cycles > 0).sum(axis=1)
