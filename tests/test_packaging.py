"""minicnn is whole however it is installed: from a wheel, editable, or through PYTHONPATH.

Everything is tried in processes of their own, started in an empty folder, on a copy of the checkout
(a build in the checkout itself could pick up what an older build left there).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

import minicnn

ROOT = Path(__file__).resolve().parent.parent
BIN, EXE = ("Scripts", ".exe") if os.name == "nt" else ("bin", "")


def run(*command, folder, **environment):
    """Standard output of a command run in `folder`, without the tests' own PYTHONPATH."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=inherited | {name: str(value) for name, value in environment.items()},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{command} failed:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def new_venv(folder):
    """Path of the Python of a fresh virtual environment."""
    run(sys.executable, "-m", "venv", folder, folder=folder.parent)
    return folder / BIN / f"python{EXE}"


def shipped(folder):
    """Files below minicnn/ and kernels/ of a checkout, by the names they have when installed."""
    for top, installed in (("minicnn", "minicnn"), ("kernels", "minicnn/kernels")):
        for path in (folder / top).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield f"{installed}/{path.relative_to(folder / top).as_posix()}"


# ---------------------------------------------------------------------------
# Three ways to install
# ---------------------------------------------------------------------------
@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the checkout, without what set-up, builds and tools left there."""
    copy = tmp_path_factory.mktemp("checkout") / "minicnn"
    left = shutil.ignore_patterns(".?*", "build", "dist", "*.egg-info", "__pycache__", "runs")
    shutil.copytree(ROOT, copy, ignore=left)
    return copy


@pytest.fixture(scope="module")
def archives(checkout, tmp_path_factory):
    """(sdist, the wheel made from that sdist, the wheel made from the checkout)."""
    folder = tmp_path_factory.mktemp("archives")
    run(sys.executable, "-m", "build", "--outdir", folder / "by_sdist", checkout, folder=folder)
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", folder / "direct",
        checkout, folder=folder)  # fmt: skip
    (sdist,) = folder.glob("by_sdist/*.tar.gz")
    (by_sdist,) = folder.glob("by_sdist/*.whl")
    (direct,) = folder.glob("direct/*.whl")
    return sdist, by_sdist, direct


WAYS = [
    pytest.param("wheel", marks=pytest.mark.slow),
    pytest.param("editable", marks=pytest.mark.slow),
    "PYTHONPATH",
]


@pytest.fixture(scope="module", params=WAYS)
def installed(request, checkout, tmp_path_factory):
    """An installation: its Python, what the environment must hold, and where minicnn must be."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "PYTHONPATH":
        return Path(sys.executable), {"PYTHONPATH": checkout}, checkout / "minicnn"
    python = new_venv(folder / "venv")
    if request.param == "editable":
        run(python, "-m", "pip", "install", "--editable", checkout, folder=folder)
        return python, {}, checkout / "minicnn"
    _, by_sdist, _ = request.getfixturevalue("archives")
    run(python, "-m", "pip", "install", by_sdist, folder=folder)
    libraries = "import sysconfig; print(sysconfig.get_path('purelib'))"
    purelib = run(python, "-c", libraries, folder=folder).strip()
    return python, {}, Path(purelib) / "minicnn"


LOOK = """
import json, minicnn, minicnn.data, minicnn.paths
kernels = minicnn.paths.kernels_dir()
print(json.dumps({
    "package": minicnn.__path__[0],
    "version": minicnn.__version__,
    "kernels": sorted(path.relative_to(kernels).as_posix() for path in kernels.rglob("*.cu*")),
    "digits": len(minicnn.data.load("digits", "train").labels),
}))
"""


def test_everything_is_found(installed, checkout, tmp_path):
    python, environment, package = installed
    found = json.loads(run(python, "-c", LOOK, folder=tmp_path, **environment))
    sources = checkout / "kernels"
    kernels = sorted(path.relative_to(sources).as_posix() for path in sources.rglob("*.cu*"))
    assert "common.cuh" in kernels and len(kernels) > 1
    assert Path(found.pop("package")).resolve() == package.resolve()
    assert found == {"version": minicnn.__version__, "kernels": kernels, "digits": 1437}


CONVOLVE = """
import sys, numpy as np, minicnn
from minicnn import Tensor, functional as F
x = np.linspace(-1, 1, 2 * 3 * 6 * 5, dtype="float32").reshape(2, 3, 6, 5)
w = np.linspace(1, -1, 4 * 3 * 3 * 2, dtype="float32").reshape(4, 3, 3, 2)
with minicnn.use_backend(sys.argv[1]):
    y = F.conv2d(Tensor(x), Tensor(w), padding=1)
print(*y.data.ravel().tolist())
"""


def test_a_kernel_compiles_and_runs(installed, compiler, tmp_path):
    python, environment, _ = installed
    if "ziglang" in compiler.command:  # the tests' own compiler is a package: bring it along
        run(python, "-m", "pip", "install", "ziglang", folder=tmp_path)
    environment = environment | {"MINICNN_CACHE": tmp_path / "cache"}  # nothing compiled yet
    emulated, readable = (
        np.array(run(python, "-c", CONVOLVE, name, folder=tmp_path, **environment).split(), float)
        for name in ("emulator", "numpy")
    )
    assert readable.size == 2 * 4 * 6 * 6
    np.testing.assert_allclose(emulated, readable, rtol=1e-5, atol=1e-5)
    assert any((tmp_path / "cache").rglob("*")), "the emulator compiled nothing"


def test_the_command_line_answers(installed, tmp_path):
    python, environment, package = installed
    commands = [[python, "-m", "minicnn"]]
    if not environment:  # PYTHONPATH brings no console script
        commands.append([python.with_name(f"minicnn{EXE}")])
    for command in commands:
        text = run(*command, "--help", folder=tmp_path, **environment)
        assert text.startswith("usage: ") and "train" in text


# ---------------------------------------------------------------------------
# What is in the archives
# ---------------------------------------------------------------------------
@pytest.mark.slow
def test_the_wheel_holds_every_file(archives, checkout):
    _, by_sdist, direct = archives
    names = [set(zipfile.ZipFile(wheel).namelist()) for wheel in (by_sdist, direct)]
    package = {name for name in names[1] if name.startswith("minicnn/")}
    assert package == set(shipped(checkout))
    assert names[0] == names[1]
    assert any(name.endswith("/licenses/LICENSE") for name in names[1])


@pytest.mark.slow
def test_the_sdist_holds_what_a_build_needs(archives):
    sdist, _, _ = archives
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    needed = {"setup.py", "pyproject.toml", "README.md", "LICENSE", "kernels/common.cuh"}
    assert needed <= names


# ---------------------------------------------------------------------------
# What `import minicnn` brings along
# ---------------------------------------------------------------------------
NEWCOMERS = """
import sys
import numpy
before = set(sys.modules)
import minicnn
print(*(set(sys.modules) - before))
"""
HEAVY = {"asyncio", "concurrent.futures", "ctypes.util", "http", "logging", "multiprocessing",
         "subprocess", "unittest", "urllib.request"}  # fmt: skip


def test_import_brings_nothing_heavy(tmp_path):
    """Only NumPy and cheap parts of the standard library; the rest comes when it is first used."""
    new = set(run(sys.executable, "-c", NEWCOMERS, folder=tmp_path, PYTHONPATH=ROOT).split())
    assert "minicnn.tensor" in new
    tops = {name.partition(".")[0] for name in new if "cython" not in name}  # those are NumPy's
    assert tops - sys.stdlib_module_names <= {"minicnn", "numpy"}
    assert not new & HEAVY


WITHOUT = """
import sys
for name in ("cupy", "hypothesis", "matplotlib", "safetensors", "torch", "tqdm", "ziglang"):
    sys.modules[name] = None  # importing it is an ImportError from here on
import minicnn
from minicnn import Tensor, functional as F
w = Tensor([[[[1.0, 2.0], [3.0, 4.0]]]], requires_grad=True)
F.conv2d(Tensor([[[[5.0, 6.0], [7.0, 8.0]]]]), w).sum().backward()
print(w.grad.data.tolist())
"""


def test_works_without_what_is_optional(tmp_path):
    """No CuPy, no matplotlib, no compiler to be found: convolution and its gradient still run."""
    without_compiler = {"PATH": tmp_path, "CXX": ""}
    text = run(sys.executable, "-c", WITHOUT, folder=tmp_path, PYTHONPATH=ROOT, **without_compiler)
    assert json.loads(text) == [[[[5.0, 6.0], [7.0, 8.0]]]]
