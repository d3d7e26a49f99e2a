"""Helper threads that share the blocks of a launch without Python: see `team.cpp`."""

from __future__ import annotations

import ctypes
from copy import copy

from .compiler import HERE, build

AWAKE = 500_000  # nanoseconds that a helper watches: as long as Python takes between two launches
BOX = 128  # bytes
MOST = 256  # helpers


class Team:
    """The boxes of helper threads, numbered from 0.

    Raises
    ------
    EmulatorError
        If there is no compiler, or `team.cpp` does not compile.
    """

    def __init__(self):
        text = (HERE / "team.cpp").read_text(encoding="utf-8")
        code = ctypes.CDLL(str(build(text, "team.cpp", "team", [], "fast")))
        pointer, number = ctypes.c_void_p, ctypes.c_uint64
        self._watch, self._call, self._share = code.emu_watch, code.emu_call, code.emu_share
        self._watch.argtypes = (pointer, ctypes.c_uint, ctypes.c_int64)
        self._call.argtypes = (pointer,)
        self._share.argtypes = (pointer, ctypes.c_int, pointer, ctypes.c_char_p, number, number)
        self._watch.restype = self._call.restype = None
        self.most = MOST if code.emu_can_watch() else 0
        self._make_boxes()

    def _make_boxes(self):
        self._memory = ctypes.create_string_buffer(BOX * (MOST + 1))
        self._boxes = -(-ctypes.addressof(self._memory) // BOX) * BOX

    def anew(self) -> Team:
        """The same with boxes of its own, for other threads: those of a child process."""
        team = copy(self)
        team._make_boxes()
        return team

    def watch(self, helper: int, taken: int) -> None:
        """What a helper does before it waits in Python: returns when called, or after a while.

        `taken` counts the calls that it has answered, so that none is missed.
        """
        if helper < self.most:
            self._watch(self._boxes + BOX * helper, taken & 0xFFFFFFFF, AWAKE)

    def call(self, helper: int) -> None:
        """Tell a helper that something waits for it in Python."""
        if helper < self.most:
            self._call(self._boxes + BOX * helper)

    def share(self, run, cells: bytes, blocks: int, pieces: int, helpers: int) -> bool:
        """Run all blocks, with the first so many helpers; False, and nothing, unless all watch.

        `run` is a kernel's `emu_run`, as ctypes has it.
        """
        if helpers > self.most:
            return False
        return bool(self._share(self._boxes, helpers, run, cells, blocks, pieces))
