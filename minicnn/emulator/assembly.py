"""Puts a call before each source line, into the assembly that the compiler made of a kernel.

With `-g` the compiler marks in its assembly which instructions belong to which line: `.loc 1 23 9`
is line 23, column 9 of file 1. A call of `emu_step` goes in where a line begins, and where a jump
leads back into a line (a loop that stands on one line). It needs no change in the source, so
macros, templates and several statements on a line are no special cases. Two more calls go in where
a function begins: one tells calls apart, one fills the function's frame with `UNSET` bytes, so that
variables without a value are known.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

HERE = Path(__file__).resolve().parent
UNSET = 0xF5  # as in step_runtime.cpp
ENTERED, STILL = 0, 1  # what emu_step is given where a function begins, and in a loop without a
# line of its own; less than 0: bytes to fill; from 2 on: the number of a site

_FILE = re.compile(r'\s*\.file\s+(\d+)\s+"((?:[^"\\]|\\.)*)"(?:\s+"((?:[^"\\]|\\.)*)")?')
_LOC = re.compile(r"\s*\.loc\s+(\d+)\s+(\d+)\s+(\d+)")
_FUNCTION = re.compile(r"\s*\.type\s+\S+\s*,\s*[@%]function")
_FRAME = re.compile(r"\s*movq\s+%rsp, %rbp")
_ROOM = re.compile(r"\s*subq\s+\$(\d+), %rsp")
_INSTRUCTION = re.compile(r"\s+[a-z]")
_TARGET = re.compile(r"\.L(?:\d+|BB\d+_\d+):")  # of a jump; other labels only mark places


def insert_hooks(assembly: str) -> str:
    """The assembly with calls of `emu_step` in every function that is not the emulator's own.

    The symbol `emu_step_sites` is a text, in JSON: the files' names by number, and for each site,
    from 2 on, the (file, line, column) it stands for.
    """
    files, sites, lines = {}, [], []
    target = False  # whether a jump leads to the next instruction, and no line has begun there
    frame = opening = hooked = None  # of the current function: how far is its frame, where does it
    # open, and which line was given the last call
    for text in assembly.splitlines():
        if target and frame and _INSTRUCTION.match(text):
            lines += _call(STILL)  # `while (true);` may be nothing but this jump
            target = False
        lines.append(text)
        if _TARGET.match(text):
            hooked, target = None, True
        elif _FUNCTION.match(text):
            frame = opening = hooked = None
            target = False
        elif frame is None and _FRAME.match(text):
            frame = "begun"
            lines += _call(ENTERED)
        elif frame == "begun" and (match := _ROOM.match(text)):
            frame = "there"
            lines += _call(-int(match[1]))
        elif match := _FILE.match(text):
            _note_file(files, *match.groups())
        elif match := _LOC.match(text):
            site = file, line, _ = tuple(map(int, match.groups()))
            target = target and (not line or file not in files)
            if opening is None:
                opening = site
            # The opening's place comes twice: before the function's frame is built, and after.
            elif line and file in files and hooked != (file, line) and site != opening:
                hooked = file, line
                sites.append(site)
                lines += _call(len(sites) + STILL)
    return "\n".join([*lines, *_table(files, sites), ""])


def _call(number: int) -> list[str]:
    return [f"\tpushq\t${number}", "\tcall\temu_step"]


def _note_file(files: dict, number: str, first: str, second: str | None) -> None:
    """Adds the file of a `.file` directive, unless it is the emulator's: `.file 1 "dir" "name"`."""
    path = Path(first, second or "")
    if path.parent != HERE and not path.name.startswith("the call of "):
        files[int(number)] = str(path)


def _table(files: dict, sites: list) -> list[str]:
    used = {file: files[file] for file, _, _ in sites}
    text = json.dumps(json.dumps({"files": used, "sites": sites}))  # twice: it is quoted
    return ["\t.section\t.rodata", "\t.globl\temu_step_sites", "emu_step_sites:",
            f"\t.asciz\t{text}"]  # fmt: skip
