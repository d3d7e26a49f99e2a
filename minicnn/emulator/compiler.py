"""Turns a CUDA kernel into a shared library for the CPU, once: results are kept in a cache.

A `.cu` file needs only two changes in its text, both to shared memory (`translate`); all else that
CUDA adds to C++ is explained to the compiler by `cuda_shim.h`.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
import inspect
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..paths import cache_dir, kernels_dir
from .assembly import insert_hooks
from .lines import add_table

HERE = Path(__file__).resolve().parent
SUFFIX = ".dll" if sys.platform == "win32" else ".so"
FLAGS = [
    "-std=c++17", "-fvisibility=hidden", "-ffp-contract=off", "-fno-strict-aliasing",
    "-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics", "-fno-stack-protector",
    "-nostdinc++", "-Wframe-larger-than=49152",  # a CUDA thread's stack has 64 KB
]  # fmt: skip
# Clang deletes endless loops unless told not to: they belong to the watchdog.
_CLANG = ("-nostdlib++", "-Werror=frame-larger-than", "-fno-finite-loops")


@dataclass(frozen=True)
class Mode:
    """One way to compile a kernel: flags for its source, and the runtime's files linked with it.

    `flags` go to every compiler, `gcc` and `clang` (zig is one) to one family only; they come
    after the general ones. `rewrite` changes the assembly text on its way to the assembler.
    """

    flags: tuple[str, ...] = ()
    gcc: tuple[str, ...] = ()
    clang: tuple[str, ...] = ()
    runtime: tuple[str, ...] = ("runtime.cpp",)
    rewrite: Callable[[str], str] | None = None

    def flags_for(self, compiler: Compiler) -> tuple[str, ...]:
        """The flags for one compiler."""
        return self.flags + (self.clang if compiler.clang else self.gcc)


# The runtime's functions in which a thread waits; stepping notes their calls.
WAITING = ("syncthreads", "syncwarp", "shuffle", "ballot")
MODES = {
    "plain": Mode(flags=("-O2",)),
    # For speed (see native.py): this CPU's vector instructions, no runtime, no checks.
    "fast": Mode(
        flags=("-DEMU_FAST", "-O3", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi"),
        gcc=("-march=native", "-ffp-contract=fast"),
        clang=(
            "-mcpu=native" if platform.machine() == "arm64" else "-march=native",
            "-ffp-contract=fast-honor-pragmas",  # for kernels whose every result is rounded
        ),
        runtime=(),
    ),
    # Calls before each access to memory (as for ThreadSanitizer, whose library is not used: the
    # calls go to sanitizer.cpp), each array index with known bounds, and each basic block. Little
    # optimisation (Clang's least moves conditions out of loops already), so that accesses and lines
    # are those of the source. Clang's driver refuses a sanitizer where it has no library for it, or
    # links the library; behind the driver it does neither.
    "check": Mode(
        flags=("-DEMU_CHECK", "-fno-optimize-sibling-calls"),
        gcc=("-Og", "-g1", "-fsanitize=thread", "-fsanitize=bounds",
             "-fsanitize-coverage=trace-pc"),
        clang=(
            "-O0", "-gdwarf-4", "-gline-tables-only", "-Xclang", "-fsanitize=thread,array-bounds",
            "-Xclang", "-fsanitize-recover=array-bounds",
            "-mllvm", "-tsan-instrument-read-before-write=1",
            "-fsanitize-coverage=trace-pc,no-prune",
        ),
        runtime=("runtime.cpp", "sanitizer.cpp"),
        rewrite=add_table,
    ),
    # A call before each line and before each access to memory (see stepping.py). Without
    # optimisation every variable lives in memory, all its life in one place. Below the stack
    # pointer there is nothing that a call could destroy (no "red zone").
    "step": Mode(
        flags=(
            "-DEMU_STEP", "-O0", "-g", "-gdwarf-4", "-fno-omit-frame-pointer", "-mno-red-zone",
            *(f"-Demu_{name}=emu_step_{name}" for name in WAITING),
        ),
        gcc=("-fsanitize=thread",),
        clang=("-Xclang", "-fsanitize=thread", "-mllvm", "-tsan-instrument-read-before-write=1"),
        runtime=("step_runtime.cpp",),
        rewrite=insert_hooks,
    ),
}  # fmt: skip


class EmulatorError(RuntimeError):
    """A kernel did not compile, or failed while it ran."""


class CompilerNotFound(EmulatorError):  # noqa: N818 (a plain English sentence when raised)
    """There is no C++ compiler on this machine."""


@dataclass(frozen=True)
class Compiler:
    """A C++ compiler: how to call it, which one it is (for the cache), and its own flags."""

    command: tuple[str, ...]
    identity: str
    flags: tuple[str, ...]
    clang: bool


# ---- search ----------------------------------------------------------------------------------


def find_compiler() -> Compiler:
    """`$CXX`, else g++, else clang++, else the `ziglang` wheel.

    Raises
    ------
    CompilerNotFound
        If none of them works, or if `$CXX` names one that does not.
    """
    return _search(os.environ.get("CXX", "").strip())


@functools.cache
def _search(chosen: str) -> Compiler:
    if chosen:
        compiler = _try_command(tuple(shlex.split(chosen, posix=os.name == "posix")))
        if compiler is None:
            raise CompilerNotFound(
                f"the environment variable CXX is {chosen!r}, but that is no working compiler; "
                "set it to a C++ compiler's path, or unset it to let minicnn search"
            )
        return compiler
    compiler = _try_command(("g++",)) or _try_command(("clang++",)) or _try_zig()
    if compiler is None:
        raise CompilerNotFound(
            "the emulator needs a C++ compiler, but found none: looked for $CXX, g++, clang++ and "
            "the ziglang package; install one of them, for example `apt install g++` (Debian, "
            "Ubuntu), `xcode-select --install` (macOS) or, anywhere, `pip install ziglang`"
        )
    return compiler


def _try_command(command: tuple[str, ...]) -> Compiler | None:
    path = shutil.which(command[0])
    if path is None:
        return None
    try:
        answer = subprocess.run(
            [path, *command[1:], "--version"], capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if answer.returncode != 0:  # macOS has a g++ that only asks to install the real one
        return None
    version = answer.stdout.strip().partition("\n")[0]
    clang = "clang" in answer.stdout
    # GCC merges the static variables of templates across libraries unless told not to, and
    # libstdc++ is never used.
    flags = _CLANG if clang else ("-fno-gnu-unique", "-Werror=frame-larger-than=49152")
    if not clang and sys.platform.startswith("linux"):
        flags += ("-Wl,--as-needed",)
    identity = " ".join([os.path.realpath(path), *command[1:], version])
    return Compiler((path, *command[1:]), identity, flags + _platform_flags(), clang)


def _try_zig() -> Compiler | None:
    if importlib.util.find_spec("ziglang") is None:
        return None
    version = importlib.metadata.version("ziglang")
    # Without -mcpu zig uses every instruction of this CPU; a cache may be shared with others.
    flags = (*_CLANG, "-fno-sanitize=undefined", "-mcpu=baseline")
    command = (sys.executable, "-m", "ziglang", "c++")
    return Compiler(command, f"ziglang {version}", flags + _platform_flags(), clang=True)


def _platform_flags() -> tuple[str, ...]:
    flags = () if sys.platform == "win32" else ("-fPIC",)
    if platform.machine().lower() in ("x86_64", "amd64"):
        flags += ("-fcf-protection=none",)  # switching stacks breaks a shadow stack
    return flags


# ---- translation -----------------------------------------------------------------------------


def translate(source: str, label: str, name: str, parameters, defines: dict) -> str:
    """C++ that compiles behind `cuda_shim.h`: the kernel's source and an entry point.

    - `extern __shared__ float part[];` becomes a pointer to the runtime's dynamic shared memory;
    - every other `__shared__`, `__device__` or `__constant__` variable gets a companion that
      describes it to the runtime;
    - `emu_entry` unpacks an array of pointers to arguments, and calls the kernel; for speed,
      `emu_run` unpacks the arguments and calls it for all threads of the blocks first <= b < last.

    Line numbers are kept, so that error messages show the `.cu` file's own.
    """
    macros = "".join(f"#define {key} {value}\n" for key, value in defines.items())
    kinds = [f"{'const ' if p.pointer and p.const else ''}{p.ctype}" for p in parameters]
    unpacked = ", ".join(f"*({kind}*)values[{i}]" for i, kind in enumerate(kinds))
    locals_ = " ".join(f"{k} v{i} = *({k}*)(cells + {8 * i});" for i, k in enumerate(kinds))
    names = ", ".join(f"v{i}" for i in range(len(kinds)))
    return (
        f'#include "cuda_shim.h"\n{macros}#line 1 "{_quoted(label)}"\n'
        f'{_translate_variables(source)}\n#line 1 "the call of {name}"\n'
        "#ifndef EMU_FAST\n"
        f"EMU_EXPORT EMU_UNCHECKED void emu_entry(void** values) {{ {name}({unpacked}); }}\n"
        f"#else\n{_FAST_LOOP % (8 * len(kinds), locals_, f'{name}({names});')}#endif\n"
    )


# All threads of some blocks, one after the other. The arguments, 8 bytes each, are followed by grid
# and block. What a loop does not change is a local variable: the compiler keeps it in a register.
_FAST_LOOP = """
EMU_EXPORT void emu_run(const char* cells, unsigned long long first, unsigned long long last) {
    const unsigned *grid = (const unsigned*)(cells + %d), *block = grid + 3;
    %s
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block[0], block[1], block[2]};
    emu_last_place.index = -2;
    for (unsigned long long b = first; b < last; b++) {
        blockIdx = {unsigned(b %% grid[0]), unsigned(b / grid[0] %% grid[1]),
                    unsigned(b / grid[0] / grid[1])};
        for (unsigned z = 0; z < block[2]; z++)
            for (unsigned y = 0; y < block[1]; y++)
                for (unsigned x = 0; x < block[0]; x++) {
                    threadIdx = {x, y, z};
                    %s
                }
    }
}
"""


def _quoted(path: str) -> str:
    return path.replace("\\", "/").replace('"', "'")


def _translate_variables(source: str) -> str:
    from .signature import blank_comments

    code, pieces, done = blank_comments(source), [], 0
    shared = r"\b(extern\s+)?((?:volatile\s+)?)__shared__\b([^;{}]*(?:\{[^{}]*\}[^;{}]*)?);"
    device = r"\b__(?:device|constant)__\b([^;{}()=]*(?:=[^;]*|\{[^;]*\})?);"
    for match in re.finditer(f"{shared}|{device}", code):
        if "#" in match.group():  # a macro that holds the word, and what follows it
            continue
        if code[code.rfind("\n", 0, match.start()) + 1 : match.start()].lstrip()[:1] == "#":
            continue
        pieces.append(source[done : match.start()])
        extern, volatile, declaration, of_device = match.groups()
        if of_device is not None:
            kept = source[match.start() : match.end()]
            pieces.append(kept + _companions(of_device, "device"))
        else:
            pieces.append((_dynamic_shared if extern else _static_shared)(volatile, declaration))
            pieces.append("\n" * match.group().count("\n"))
        done = match.end()
    return "".join([*pieces, source[done:]])


def _dynamic_shared(volatile: str, declaration: str) -> str:
    declaration = " ".join(_without_alignment(declaration).split())
    match = re.fullmatch(r"(.*\W)(\w+)\s*\[\s*\]", declaration)
    if not match:
        raise EmulatorError(
            f"`extern __shared__ {declaration};` declares no array without a size; "
            "write `extern __shared__ float name[];`"
        )
    kind, name = volatile + match.group(1).strip(), match.group(2)
    return f"{kind}* const {name} = ({kind}*)emu_dynamic_shared;"


def _static_shared(volatile: str, declaration: str) -> str:
    declaration = " ".join(_without_alignment(declaration).split())
    return f"{volatile}__shared__ {declaration};{_companions(declaration, 'shared')}"


def _companions(declaration: str, memory: str) -> str:
    """Statements that describe the declared variables to the runtime."""
    from .signature import split_commas

    text = ""
    for part in split_commas(declaration):
        declared = re.split(r"=|(?<=[\w\])])\s*\{", part)[0] if memory == "device" else part
        name = re.search(r"(\w+)\s*(?:\[[^\[\]]*\]\s*)*$", declared)[1]
        text += f" static emu_Variable emu_of_{name} = EMU_VARIABLE({name});"
        if memory == "shared":
            text += f" emu_declare_shared(emu_of_{name});"
        else:
            text += f" static emu_DeviceVariable emu_is_{name}(emu_of_{name});"
    return text


def _without_alignment(declaration: str) -> str:
    """Shared memory is aligned to 128 bytes anyway, and `static alignas(16)` is no C++."""
    return re.sub(r"\b(?:alignas|__align__)\s*\([^()]*(?:\([^()]*\)[^()]*)*\)", " ", declaration)


# ---- building --------------------------------------------------------------------------------


def build(text: str, label: str, name: str, folders: list[Path], mode: str = "plain") -> Path:
    """The library for translated source `text`, compiled unless the cache holds it.

    `mode` is one of `MODES`.
    """
    compiler, how = find_compiler(), MODES[mode]
    if mode == "fast":  # what CUDA's compiler understands, in the words of these
        text = text.replace("#pragma unroll\n", "#pragma GCC unroll 64\n")
    include = [*folders, kernels_dir(), HERE]
    flags = [*compiler.flags, *FLAGS, *how.flags_for(compiler)]
    runtime = [_build_runtime(compiler, file) for file in how.runtime]

    def make(target: Path) -> None:
        source = target.with_suffix(".cpp")
        source.write_text(text, encoding="utf-8")
        what = f"kernel {name} of {label}"
        arguments = [*flags, *(f"-I{folder}" for folder in include), str(source)]
        if how.rewrite:
            assembly = target.with_suffix(".s")
            _compile(compiler, [*arguments, "-S", "-o", str(assembly)], what)
            changed = how.rewrite(assembly.read_text(encoding="utf-8"))
            assembly.write_text(changed, encoding="utf-8")
            arguments = [*compiler.flags, str(assembly)]
        arguments += [*map(str, runtime), "-shared", "-o", str(target)]
        _compile(compiler, arguments if SUFFIX == ".dll" else [*arguments, "-lm"], what)

    stem = re.sub(r"[^0-9A-Za-z]+", "_", name).strip("_")
    parts = [text, *_headers(text, include), compiler.identity, *flags]
    if mode == "fast":
        parts.append(_this_cpu())
    if how.rewrite:
        parts.append(Path(inspect.getfile(how.rewrite)).read_text(encoding="utf-8"))
    return _cached(stem, SUFFIX, [*parts, *(file.name for file in runtime)], make)


def _this_cpu() -> str:
    """The instructions this CPU has: a cache may be shared with a machine that lacks some."""
    from numpy._core._multiarray_umath import __cpu_features__

    return " ".join(name for name, has in sorted(__cpu_features__.items()) if has)


def _build_runtime(compiler: Compiler, file: str) -> Path:
    """The object file of one of the runtime's files, which go into every kernel's library."""
    source, flags = HERE / file, [*compiler.flags, *FLAGS, "-O2"]
    text = source.read_text(encoding="utf-8")
    parts = [text, *_headers(text, [HERE]), compiler.identity, *flags]

    def make(target: Path) -> None:
        arguments = [*flags, "-c", str(source), "-o", str(target)]
        _compile(compiler, arguments, "the emulator's runtime")

    return _cached(source.stem, ".o", parts, make)


def _cached(stem: str, suffix: str, parts: list[str], make) -> Path:
    """The cache's file made from `parts`; `make(path)` makes it if it is not there.

    The file's name carries a hash of all that decides its content. It is made in a folder of its
    own and renamed when complete: whoever finds the final name finds a whole file.
    """
    key = hashlib.sha256("\0".join([platform.machine(), *parts]).encode()).hexdigest()[:24]
    cache = cache_dir("emulator")
    final = cache / f"{stem}-{key}{suffix}"
    if not final.is_file():
        with tempfile.TemporaryDirectory(dir=cache, prefix="building-") as folder:
            made = Path(folder, stem + suffix)
            make(made)
            _move(made, final)
    return final


def _move(made: Path, final: Path) -> None:
    try:
        os.replace(made, final)
    except PermissionError:  # Windows: another process made the same file and already uses it
        if not final.is_file():
            raise


def _headers(text: str, folders: list[Path]) -> list[str]:
    """The contents of all headers that `text` includes with quotes, and of those they include."""
    waiting, found = re.findall(r'^\s*#\s*include\s*"([^"]+)"', text, re.MULTILINE), {}
    while waiting:
        name = waiting.pop()
        path = next((f / name for f in folders if (f / name).is_file()), None)
        if path is not None and path not in found:
            found[path] = path.read_text(encoding="utf-8")
            waiting += re.findall(r'^\s*#\s*include\s*"([^"]+)"', found[path], re.MULTILINE)
    return [found[path] for path in sorted(found)]


def _compile(compiler: Compiler, arguments: list[str], what: str) -> None:
    command = [*compiler.command, *arguments]
    answer = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if answer.returncode != 0:
        raise EmulatorError(
            f"{what} does not compile ({compiler.identity}); "
            f"correct the lines named here:\n{answer.stderr.strip()}"
        )
