"""A CUDA kernel as a student's function: `check` runs its source in the emulator.

Every case is a launch under the sanitizer. So a kernel must not only give the right numbers: a race
or an access out of bounds is found where it happens, also where the numbers come out right.
"""

from __future__ import annotations

import inspect
import re

import numpy as np
from hypothesis import strategies as st

from minicnn.checks.plain import Plain
from minicnn.checks.strategies import arrays
from minicnn.checks.verdict import Problem, RejectedError

SECONDS = 0.25  # of processor time that one block may take
BETWEEN_BLOCKS = (
    "Two threads do the same work. A thread's place is blockIdx.x * blockDim.x + threadIdx.x: its "
    "place in the block alone says which thread it is, not which number it has"
)
WORDS = {  # what the sanitizer finds, and what to do
    "out-of-bounds": ("leaves an array", "The last block may have more threads than there are "
                      "numbers left: compare a thread's place with the size before it touches one"),
    "race": ("has a race", "What one thread writes and another reads needs a barrier in between: "
             "__syncthreads(), reached by all threads of the block"),
    "uninitialised": ("reads what nobody has written", "Has every thread written its part of the "
                      "tile, and is there a __syncthreads() before anybody reads it?"),
    "divergent-barrier": ("has threads that miss a barrier", "All threads of a block must come to "
                          "__syncthreads(): take it out of the `if`, and return only after it"),
    "deadlock": ("waits for ever", "All threads of a block must come to __syncthreads(): take it "
                 "out of the `if`, and return only after it"),
    "timeout": ("does not come to an end", "In a loop something must change each time"),
}  # fmt: skip


# ---------------------------------------------------------------------------
# The kernels to write
# ---------------------------------------------------------------------------
def saxpy(a, x, y):
    """y[i] = a x[i] + y[i], a thread for each i; blocks of 64."""
    return a * x + y


def transpose(x):
    """y[c,r] = x[r,c]; a block of 32 x 32 threads moves a tile of 32 x 32 numbers."""
    return np.ascontiguousarray(x.T)


@st.composite
def _saxpy(draw):
    n = draw(st.integers(1, 200))
    values = {name: draw(arrays((n,))) for name in "xy"}
    return {"a": draw(st.sampled_from([2.0, 0.5, -1.0])), **values}


@st.composite
def _transpose(draw):
    shape = draw(st.integers(1, 70)), draw(st.integers(1, 70))
    values = np.random.default_rng(draw(st.integers(0, 99))).integers(-9, 10, shape)
    return {"x": values.astype(np.float64)}


def _saxpy_launch(a, x, y):
    return (-(-len(x) // 64),), (64,), (np.float32(a), x, y, len(x)), y


def _transpose_launch(x):
    (R, C), y = x.shape, np.full(x.shape[::-1], np.nan, np.float32)
    return (-(-C // 32), -(-R // 32)), (32, 32), (x, y, R, C), y


class KernelReference(Plain):
    """A function, and how its kernel is launched.

    Attributes
    ----------
    declared : str
        The kernel's parameters.
    launch : callable
        The function's arguments as float32 arrays to (grid, block, the kernel's arguments, the
        array that will hold the result).
    """

    def __init__(self, function, draws, declared, launch):
        super().__init__(function, draws)
        self.declared, self.launch = declared, launch

    def mend(self, args):
        """Eighths: float32 holds them, their products with `a` and the sums exactly."""
        for value in args.values():
            if isinstance(value, np.ndarray):
                value[...] = np.rint(8 * value) / 8


KERNELS = {
    "saxpy": KernelReference(
        saxpy, _saxpy, "float a, const float* x, float* y, int n", _saxpy_launch
    ),
    "transpose": KernelReference(
        transpose, _transpose, "const float* x, float* y, int R, int C", _transpose_launch
    ),
}


# ---------------------------------------------------------------------------
# A student's
# ---------------------------------------------------------------------------
class KernelFunction:
    """The source of a CUDA kernel, called like the function it should be like.

    Raises
    ------
    ValueError
        If the source has no kernel, or one of other parameters, or `like` is no exercise.
    CompilerNotFound, EmulatorError
        If there is no C++ compiler, or the kernel does not compile.
    """

    def __init__(self, source, like=None):
        from minicnn import emulator
        from minicnn.emulator.instrumented import instrumented

        self.__name__ = name = kernel_name(source)
        like = name.removeprefix("my_") if like is None else like
        if like not in KERNELS:
            raise ValueError(
                f"check: a kernel can be like {' or '.join(sorted(KERNELS))}, but this one is "
                f"called {name!r}; rename it, or say which is meant: check(source, like='saxpy')"
            )
        self.reference = KERNELS[like]
        self.__signature__ = inspect.signature(self.reference.function)
        self.blank = is_blank(source)
        self.kernel = emulator.load(source, name)
        found = ", ".join(map(str, self.kernel.parameters))
        if found != self.reference.declared:
            raise ValueError(
                f"check: the kernel {name} takes ({found}), but it should take "
                f"({self.reference.declared}), in this order; change its first line"
            )
        instrumented(self.kernel)  # compiled for the sanitizer now, and not in a call's time

    def __call__(self, **args):
        from minicnn import emulator

        if self.blank:
            raise NotImplementedError("the kernel has no line yet")
        args = {
            name: value.astype(np.float32, order="C") if isinstance(value, np.ndarray) else value
            for name, value in args.items()
        }
        grid, block, values, result = self.reference.launch(**args)
        found = emulator.check(self.kernel, grid, block, values, timeout=SECONDS)
        if found:
            words, remedy = WORDS.get(found[0].kind, (f"fails ({found[0].kind})", ""))
            if found[0].other_block not in (None, found[0].block):
                remedy = BETWEEN_BLOCKS
            raise RejectedError(Problem("kernel", f"{words}: {found[0].message}", remedy))
        unwritten = np.argwhere(np.isnan(result))
        if len(unwritten):
            where = ", ".join(map(str, unwritten[0]))
            raise RejectedError(Problem(
                "kernel", f"leaves numbers of its result unwritten, y[{where}] first",
                "Each number needs a thread that writes it: look at how a thread finds its place",
            ))  # fmt: skip
        return result.astype(np.float64)


def kernel_name(source):
    """The name of the first kernel in a source."""
    from minicnn.emulator.signature import blank_comments

    found = re.search(r"__global__[^;{}(]*?(?:__launch_bounds__\s*\([^)]*\)\s*)?(\w+)\s*\(",
                      blank_comments(source))  # fmt: skip
    if found is None:
        raise ValueError(
            "check: there is no kernel in this text; it begins with "
            '`extern "C" __global__ void my_saxpy(...)`'
        )
    return found[1]


def is_blank(source):
    """Whether the kernel's body holds nothing but comments."""
    from minicnn.emulator.signature import blank_comments

    return re.search(r"\)\s*\{\s*\}\s*$", blank_comments(source).strip()) is not None
