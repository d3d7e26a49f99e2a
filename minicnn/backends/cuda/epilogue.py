"""The end of a fused operation inside the kernel that makes z: see kernels/epilogue.cuh."""

from __future__ import annotations

CODES = {None: 0, "relu": 1, "relu6": 2, "silu": 3, "hardswish": 4}  # as the kernels know them
FROM_OUTPUT = ("relu", "relu6")  # their slope follows from y


class InKernel:
    """A `Fused` operation whose kernel adds `add` and applies the activation `in_kernel`.

    Its forward ends with `return self.finish(y)`. y is kept for backward, unless that can do
    without.
    """

    @property
    def in_kernel(self):
        """The kernel's activation; None if there is none, or if backward will ask for z."""
        asks_for_z = self.activation not in FROM_OUTPUT and any(self.needs)
        return None if asks_for_z else self.activation

    def finish(self, y, add=None, keep=True):
        """y as the kernel wrote it; if it had to write z, the activation by a kernel of its own."""
        if self.in_kernel is None:
            return super().finish(y, add)
        self.start_part(y)
        if keep:
            self.saved = (*self.saved, y)
        return y
