"""Runs unmodified CUDA C on the CPU.

`load` compiles a kernel of a `.cu` file with the C++ compiler that is there, behind a header that
explains CUDA's words to it, and returns a `Kernel` that is launched exactly as CuPy's RawKernel.
"""

from .compiler import CompilerNotFound, EmulatorError, find_compiler

__all__ = ["CompilerNotFound", "EmulatorError", "find_compiler", "load"]


def load(source, name, defines=None):
    """Compiles kernel `name` of a `.cu` file or of a source text; see `launch.load`."""
    from .launch import load

    return load(source, name, defines)
