"""Writes kernels/REGISTERS.md: what every kernel takes, so that a change of it shows in a diff.

python tests/make_registers.py
"""

from __future__ import annotations

import os

from test_nvrtc import REGISTERS, cubin, needs, sources, taken

from minicnn.paths import kernels_dir

HEAD = """# Registers

Registers a thread, and bytes spilled to memory where there were too few, as ptxas reports them
(NVRTC {version}). A multiprocessor has 65,536 registers: at 128 a thread, 512 threads run on it at
a time. Tile sizes are those at the top of each file. Written by `tests/make_registers.py`.

| file | kernel | type | {architectures} |
|---|---|---|{dashes}|
"""


def table(nvrtc) -> str:
    """The whole file."""
    rows, architectures = {}, {}
    for case in sources():
        path, real, architecture = case.values
        options = (f"-I{kernels_dir()}", f"-Dreal={real}")
        _, log = cubin(nvrtc, path.read_text(encoding="utf-8"), path.name, architecture, *options)
        name = path.relative_to(kernels_dir()).as_posix()
        architectures[architecture] = None
        for kernel, registers, spilled in needs(log):
            row = rows.setdefault((name, kernel, real), {})
            row[architecture] = taken(registers, spilled)
    head = HEAD.format(
        version=version(nvrtc), architectures=" | ".join(architectures),
        dashes="|".join("--:" for _ in architectures),
    )  # fmt: skip
    lines = [
        " | ".join(["", *key, *(row.get(a, "") for a in architectures), ""]).strip()
        for key, row in rows.items()
    ]
    return head + "\n".join(lines) + "\n"


def version(nvrtc) -> str:
    """NVRTC's version: "13.5"."""
    return ".".join(map(str, nvrtc.getVersion()))


if __name__ == "__main__":
    from cupy_backends.cuda.libs import nvrtc

    new = REGISTERS.with_suffix(".new")
    new.write_text(table(nvrtc), encoding="utf-8")
    os.replace(new, REGISTERS)
