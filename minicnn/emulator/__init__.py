"""Runs unmodified CUDA C on the CPU.

`load` compiles a kernel of a `.cu` file with the C++ compiler that is there, behind a header that
explains CUDA's words to it, and returns a `Kernel` that is launched exactly as CuPy's RawKernel.

- `check(kernel, grid, block, args)` runs it under the sanitizer and lists its mistakes, each with
  its line; `checking()` does so for every launch inside a `with` block.
- `trace(kernel, grid, block, args)` keeps every access to memory, and counts sectors, bank
  conflicts and bytes.
- `step(kernel, grid, block, args, thread=...)` walks one thread line by line, with its variables.
"""

from importlib import import_module

from .compiler import CompilerNotFound, EmulatorError, find_compiler

_HOMES = {
    "load": "launch",
    "check": "sanitizer",
    "checking": "sanitizer",
    "Finding": "sanitizer",
    "trace": "tracing",
    "Trace": "tracing",
    "step": "stepping",
    "Walk": "walk",
}

__all__ = ["CompilerNotFound", "EmulatorError", "find_compiler", *_HOMES]


def __getattr__(name):
    """Imports a function's module when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
