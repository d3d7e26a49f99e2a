"""Which line of a `.cu` file made an instrumented call.

A hook of the sanitizer knows its return address, no more. Debug information could turn that into a
line, but every platform has a format of its own for it. The compiler's assembly text has not: there
`.loc` directives say which line the following instructions belong to, and each call of a hook is a
line of text. So the text gets a label behind each such call, and at its end a table of labels,
files and lines. The assembler turns the labels into addresses.
"""

from __future__ import annotations

import ctypes
import os
import re

_FILE = re.compile(r'\s*\.file\s+(\d+)\s+"([^"]*)"(?:\s+"([^"]*)")?')
_PLACE = re.compile(r"\s*\.loc\s+(\d+)\s+(\d+)")
_FUNCTION = re.compile(r"\s*\.(?:cfi_startproc|seh_proc)\b")
_CALL = re.compile(r"\s+(?:call\w*|bl)\s.*__(?:tsan|sanitizer_cov)_")


def add_table(assembly: str) -> str:
    """`assembly` with a table `emu_sites` of the calls of the sanitizer's hooks."""
    # What a local label and a C name look like: in Mach-O, elsewhere.
    mach = ".subsections_via_symbols" in assembly
    mark, table_name = ("L", "_emu_sites") if mach else (".L", "emu_sites")
    text, table, files, place, own = [], [], {}, ("0", "0"), False
    for line in assembly.splitlines():
        if "/DEFAULTLIB:libclang_rt." in line:  # on Windows: sanitizer.cpp takes its place
            continue
        text.append(line)
        if found := _PLACE.match(line):
            # Line 0 is the compiler's own work, and what stands in our header is done for the
            # line that asked for it: both belong to the line before.
            ours = files.get(found[1], "").endswith("cuda_shim.h")
            if found[2] != "0" and not (ours and own):
                place, own = found.groups(), not ours
        elif _FUNCTION.match(line):
            own = False
        elif found := _FILE.match(line):
            files[found[1]] = os.path.join(found[2], found[3] or "").rstrip("/\\")
        elif _CALL.match(line):
            behind = f"{mark}emu_site_{len(table)}"
            text.append(f"{behind}:")
            table.append(f"\t.quad {behind}\n\t.quad {mark}emu_file_{place[0]}\n\t.quad {place[1]}")
    names = [f'{mark}emu_file_{k}:\n\t.asciz "{name}"' for k, name in {"0": "?", **files}.items()]
    ending = ["\t.data", "\t.balign 8", f"\t.globl {table_name}", f"{table_name}:"]
    return "\n".join([*text, *ending, *table, "\t.quad 0", *names, ""])


class _Site(ctypes.Structure):
    _fields_ = (("address", ctypes.c_size_t), ("file", ctypes.c_char_p), ("line", ctypes.c_size_t))


def read_table(code: ctypes.CDLL, label: str) -> dict[int, tuple[str, int]]:
    """(file, line) of every instrumented call of a loaded library, by its distance from the table.

    The hooks write down the distance: it fits into 32 bits. `label` is what the kernel's source is
    called; some compilers put the folder they worked in before it.
    """
    code.emu_site_table.restype = ctypes.c_void_p
    start = code.emu_site_table()
    found, at = {}, start
    while (site := _Site.from_address(at)).address:
        file = site.file.decode(errors="replace")
        file = label if os.path.basename(file) == label else file
        found[(site.address - start + 2**31) % 2**32 - 2**31] = file, site.line
        at += ctypes.sizeof(_Site)
    return found
