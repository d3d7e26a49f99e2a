"""Every kernel compiles with NVIDIA's own compiler, for the GPUs students have; no GPU is needed.

NVRTC comes with `pip install minicnn[nvrtc]`. `pytest -rP tests/test_nvrtc.py` shows what each
kernel takes: registers a thread, and bytes spilled to memory because there were too few.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from minicnn.paths import kernels_dir

ARCHITECTURES = ["sm_75", "sm_80", "sm_90"]  # T4, A100, H100


def sources():
    """Each `.cu` file, once for each type it can be compiled for."""
    folder = kernels_dir()
    for path in sorted(folder.rglob("*.cu")):
        name = path.relative_to(folder).as_posix()
        generic = re.search(r"\breal\b", path.read_text(encoding="utf-8"))
        for real in ("float", "double") if generic else ("float",):
            yield pytest.param(path, real, id=f"{name}-{real}")


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
        spilled = re.search(r"(\d+) bytes spill stores", entry).group(1)
        registers = re.search(r"Used (\d+) registers", entry).group(1)
        yield kernel, int(registers), int(spilled)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("path", "real"), list(sources()))
def test_every_kernel_compiles(nvrtc, path: Path, real, architecture):
    source = path.read_text(encoding="utf-8")
    include = f"-I{kernels_dir()}"
    binary, log = cubin(nvrtc, source, path.name, architecture, include, f"-Dreal={real}")
    assert binary.startswith(b"\x7fELF")
    assert "warning" not in log, log
    kernels = list(needs(log))
    assert kernels, f"{path} has no kernel in it"
    for kernel, registers, spilled in kernels:
        print(f"{kernel}<{real}> {architecture}: {registers} registers, {spilled} bytes spilled")


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
