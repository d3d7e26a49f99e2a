"""Everything about the kernels that only a GPU can tell, in one command: `make gpu`.

1. The tests that need a GPU.
2. compute-sanitizer's memcheck and racecheck on the kernels, where it is installed.
3. Every rung of the matrix product beside cuBLAS on a few sizes.
4. What minicnn chooses by itself, on each convolution layer of four nets (--all: of two published
   lists, too), forward and both gradients, beside cuDNN in the better of PyTorch's two layouts.
5. Every rung of the convolution beside cuDNN, on a few layers.

Peers run through PyTorch at the same precision: TF32 off, and on where ours is TF32. Times are
medians of CUDA events, taken in turns (the ladder's peers once for all rungs). An error is the
largest difference from the float64 result, over the largest number in it. What was not run is
named, with the reason.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LADDER = 70  # seconds, about, that the ladder of convolutions takes
sys.path.insert(0, str(ROOT))

from benchmarks import common  # noqa: E402 - it is a script, too


def main(argv=None) -> int:
    """Run, write a JSON file, print the tables; 1 if a test failed or an error is too large."""
    parser = argparse.ArgumentParser(prog="gpu.py", description=__doc__.partition("\n\n")[0])
    parser.add_argument("--all", action="store_true", help="the published lists of layers, too")
    parser.add_argument("--minutes", type=float, default=9, help="time for everything (9)")
    parser.add_argument("--no-tests", action="store_true", help="only the times")
    parser.add_argument("--out", type=Path, default=common.RESULTS)
    options = parser.parse_args(argv)
    problem = missing()
    if problem:
        parser.exit(2, f"gpu.py: {problem}\n")

    from benchmarks import measure, tables

    clock = common.Clock(60 * options.minutes)
    result = {"machine": machine(), "not_run": [], "conv": [], "layers": []}
    if options.no_tests:
        result["not_run"].append("tests and compute-sanitizer: --no-tests was given")
    else:
        result["tests"] = gpu_tests(clock.left * 0.35)
        result["sanitizer"] = sanitizer(clock.left * 0.2, result["not_run"])
    result["matmul"] = measure.matmul_ladder(clock, result["not_run"])
    result["peak_tflops"] = measure.peaks(result)
    common.write(result, options.out)  # whatever happens to the next
    # What counts comes before the ladder, whose lower rungs take long, and float32 before TF32.
    of_layers = partial(measure.conv_layers, options.all, clock=clock, not_run=result["not_run"])
    result["layers"] = of_layers(tf32=False, keep=LADDER)
    common.write(result, options.out)
    result["conv"] = measure.conv_ladder(clock, result["not_run"])
    common.write(result, options.out)
    result["layers"] += of_layers(tf32=True)

    path = common.write(result, options.out)
    print(tables.report(result))
    print(f"\nwritten: {path}")
    failed = result.get("tests", {}).get("failed") or result.get("sanitizer", {}).get("failed")
    return 1 if failed or tables.wrong(result) else 0


def missing() -> str | None:
    """Why nothing can be measured here, or None."""
    try:
        import cupy
        import torch
    except ImportError as error:
        return f"{error}; it takes CuPy and PyTorch: `make gpu` installs them"
    try:
        cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return f"CuPy finds no GPU ({error}); without one, `make test` runs the kernels on the CPU"
    if not torch.cuda.is_available():
        return "this PyTorch has no CUDA; install one that has, to compare with"
    return None


def machine() -> dict:
    """What was measured on."""
    import cupy
    import numpy
    import torch

    device = cupy.cuda.runtime.getDeviceProperties(0)
    driver, runtime = (
        f"{version // 1000}.{version % 1000 // 10}"
        for version in (cupy.cuda.runtime.driverGetVersion(), cupy.cuda.runtime.runtimeGetVersion())
    )
    return {
        "date": datetime.date.today().isoformat(),
        "device": device["name"].decode(),
        "compute_capability": f"{device['major']}.{device['minor']}",
        "multiprocessors": device["multiProcessorCount"],
        "memory_gib": round(device["totalGlobalMem"] / 2**30, 1),
        "cuda_driver": driver,
        "cuda_runtime": runtime,
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "cupy": cupy.__version__,
        "torch": torch.__version__,
        "cudnn": torch.backends.cudnn.version(),
        "commit": common.commit(),
    }


def _run(command, seconds):
    """(return code or None for a timeout, output) of a command."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, timeout=seconds, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
    except subprocess.TimeoutExpired as late:
        return None, (late.stdout or b"").decode(errors="replace")
    return done.returncode, done.stdout


def gpu_tests(seconds) -> dict:
    """The tests marked gpu, in processes of their own: most of their time compiles kernels."""
    workers = str(min(8, os.cpu_count()))
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-n", workers, "--maxfail=20"]
    code, output = _run(command, seconds)
    lines = output.strip().splitlines()
    end = "stopped: out of time" if code is None else (lines[-1] if lines else "no output")
    print(f"tests: {end}", flush=True)
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    return {"end": end, "failed": failed if code in (0, 1) else [*failed, end]}


def sanitizer(seconds, not_run) -> dict:
    """compute-sanitizer on a small run of the kernels."""
    places = ("compute-sanitizer", "/usr/local/cuda/bin/compute-sanitizer")
    tool = next(filter(None, map(shutil.which, places)), None)
    if tool is None:
        not_run.append("compute-sanitizer: it is not installed")
        return {}
    found = {"failed": []}
    for check in ("memcheck", "racecheck"):
        command = [tool, "--tool", check, "--error-exitcode", "9", sys.executable,
                   str(Path(__file__).with_name("every_kernel.py"))]  # fmt: skip
        code, output = _run(command, seconds / 2)
        if code is None:
            not_run.append(f"compute-sanitizer {check}: out of time")
            continue
        found[check] = output.strip().splitlines()[-1:]
        if code:
            found["failed"].append(f"{check}: {output[-2000:]}")
        print(f"compute-sanitizer {check}: {'failed' if code else 'clean'}", flush=True)
    return found


if __name__ == "__main__":
    sys.exit(main())
