"""Every kernel compiles with NVIDIA's own compiler, for the GPUs students have; no GPU is needed.

NVRTC comes with `pip install minicnn[nvrtc]`. What each kernel takes, registers a thread and bytes
spilled to memory because there were too few, is kept in kernels/REGISTERS.md.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from minicnn.backends.cuda.ladder import named, needed_capability
from minicnn.backends.cuda.matmul import RUNGS
from minicnn.paths import kernels_dir

CAPABILITIES = [(7, 5), (8, 0), (9, 0)]  # T4, A100, H100


def sources():
    """Each `.cu` file, for each type it can be compiled for and each GPU it does not rule out."""
    folder = kernels_dir()
    for path in sorted(folder.rglob("*.cu")):
        name = path.relative_to(folder).as_posix()
        generic = re.search(r"\breal\b", path.read_text(encoding="utf-8"))
        for real in ("float", "double") if generic else ("float",):
            for architecture in architectures(name):
                yield pytest.param(path, real, architecture, id=f"{name}-{real}-{architecture}")


def architectures(file):
    """The GPUs that the file can be compiled for: all, or those from its `// Needs: sm_..` on."""
    return [named(there) for there in CAPABILITIES if there >= needed_capability(file)]


def cubin(nvrtc, source, name, architecture, *options):
    """Machine code for `architecture`, and all that the compiler said; its error, if it fails."""
    program = nvrtc.createProgram(source, name, (), ())
    options = (f"-arch={architecture}", "--std=c++17", "--ptxas-options=-v", *options)
    try:
        nvrtc.compileProgram(program, options)
        return nvrtc.getCUBIN(program), nvrtc.getProgramLog(program)
    except nvrtc.NVRTCError as error:
        raise AssertionError(nvrtc.getProgramLog(program)) from error
    finally:
        nvrtc.destroyProgram(program)


def needs(log):
    """(kernel, registers, bytes spilled) for each kernel, from what ptxas says with -v."""
    entries = re.split(r"Compiling entry function", log)[1:]
    for entry in entries:
        kernel = re.match(r" '(\w+)'", entry).group(1)
        spilled = map(int, re.findall(r"(\d+) bytes spill stores", entry))  # and what it calls
        registers = re.search(r"Used (\d+) registers", entry).group(1)
        yield kernel, int(registers), sum(spilled)


# ---------------------------------------------------------------------------
# The table kept beside the kernels: see make_registers.py
# ---------------------------------------------------------------------------
REGISTERS = kernels_dir() / "REGISTERS.md"


def listed():
    """{(file, kernel, type, architecture): "128" or "32, 4 spilled"}, and the NVRTC it is of."""
    text = REGISTERS.read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("| ").split("|")]
            for line in text.splitlines() if line.startswith("|")]  # fmt: skip
    (*_, first, second, third), _, *rows = rows
    found = {
        (*key, architecture): value
        for *key, a, b, c in rows
        for architecture, value in ((first, a), (second, b), (third, c))
        if value
    }
    return found, re.search(r"NVRTC ([\d.]+)", text).group(1)


def taken(registers, spilled):
    """What the table says of a kernel."""
    return f"{registers}" + (f", {spilled} spilled" if spilled else "")


@pytest.mark.parametrize(("path", "real", "architecture"), list(sources()))
def test_every_kernel_compiles_to_what_the_table_says(nvrtc, path: Path, real, architecture):
    source = path.read_text(encoding="utf-8")
    include = f"-I{kernels_dir()}"
    binary, log = cubin(nvrtc, source, path.name, architecture, include, f"-Dreal={real}")
    assert binary.startswith(b"\x7fELF")
    assert "warning" not in log, log
    kernels = list(needs(log))
    assert kernels, f"{path} has no kernel in it"
    table, version = listed()
    file = path.relative_to(kernels_dir()).as_posix()
    for kernel, registers, spilled in kernels:
        key = (file, kernel, real, architecture)
        assert key in table, "run tests/make_registers.py"
        if version == ".".join(map(str, nvrtc.getVersion())):  # another may choose otherwise
            assert table[key] == taken(registers, spilled), "run tests/make_registers.py"


def test_the_table_lists_no_kernel_that_is_gone():
    there = {(case.values[0].relative_to(kernels_dir()).as_posix(), *case.values[1:])
             for case in sources()}  # fmt: skip
    gone = {key for key in listed()[0] if (key[0], *key[2:]) not in there}
    assert not gone, "run tests/make_registers.py"


def test_a_newer_gpu_is_asked_for():
    assert architectures("matmul/tiled.cu") == ["sm_75", "sm_80", "sm_90"]
    assert architectures("matmul/tf32.cu") == ["sm_80", "sm_90"]


def test_an_older_gpu_is_refused(nvrtc):
    source = (kernels_dir() / "matmul" / "tf32.cu").read_text(encoding="utf-8")
    with pytest.raises(AssertionError, match="needs sm_80"):
        cubin(nvrtc, source, "tf32.cu", "sm_75", f"-I{kernels_dir()}", "-Dreal=float")


def test_a_broken_source_fails(nvrtc):
    source = 'extern "C" __global__ void broken(float *x) { x[threadIdx.x] = nowhere; }'
    with pytest.raises(AssertionError, match='identifier "nowhere" is undefined'):
        cubin(nvrtc, source, "broken.cu", "sm_75")


def test_a_warning_is_seen(nvrtc):
    source = 'extern "C" __global__ void f(float *x) { int unused; x[0] = 1; }'
    _, log = cubin(nvrtc, source, "f.cu", "sm_75")
    assert "warning" in log


def test_spills_are_read(nvrtc):
    """A kernel held to 16 registers with 64 live values has to spill some of them."""
    source = """
    extern "C" __global__ void spill(float *x) {
        float v[64];
        for (int i = 0; i < 64; i++) v[i] = x[i * 999 + threadIdx.x];
        __syncthreads();
        for (int i = 0; i < 64; i++) x[v[63 - i] > 0 ? i : 0] = v[i] * v[63 - i];
    }"""
    _, log = cubin(nvrtc, source, "spill.cu", "sm_80", "--maxrregcount=16")
    ((kernel, registers, spilled),) = needs(log)
    assert kernel == "spill" and registers <= 24 and spilled > 0


# ---------------------------------------------------------------------------
# Tiles and layouts are macros: the rungs of the matrix product, compiled for each of them
# ---------------------------------------------------------------------------
def variants():
    """Each rung with tiles in registers, for each way in which the factors can lie."""
    for name, rung in RUNGS.items():
        if not rung.layouts:
            continue
        for a_along_k, b_along_k in ((1, 0), (1, 1), (0, 0), (0, 1)):
            for vector in (1,) if rung.in_fours else (1, 0):
                layout = (("A_ALONG_K", a_along_k), ("B_ALONG_K", b_along_k), ("VECTOR", vector))
                words = f"{name}-{'nt'[not a_along_k]}{'nt'[b_along_k]}-{1 + 3 * vector}"
                yield pytest.param(rung, rung.defines + layout, id=words)


@pytest.mark.slow
@pytest.mark.parametrize(("rung", "defines"), list(variants()))
def test_no_product_spills(nvrtc, rung, defines):
    source = (kernels_dir() / rung.file).read_text(encoding="utf-8")
    options = [f"-I{kernels_dir()}", "-Dreal=float", *(f"-D{k}={v}" for k, v in defines)]
    for architecture in architectures(rung.file):
        _, log = cubin(nvrtc, source, rung.file, architecture, *options)
        assert "warning" not in log, log
        for kernel, registers, spilled in needs(log):
            print(f"{kernel} {architecture}: {registers} registers, {spilled} bytes spilled")
            assert spilled == 0
