"""What every test file shares: fixtures for what a machine may lack, and the rule on skips."""

from __future__ import annotations

import os
import signal
import warnings
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import settings

from minicnn import use_backend

# No deadline: the first example that reaches a kernel also compiles it.
settings.register_profile("dev", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

# A shell starts background jobs with Ctrl-C ignored, and children inherit that: undo it, or the
# tests of Ctrl-C wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# ---------------------------------------------------------------------------
# What a machine may lack. The reasons are those of allowed_skips.txt.
# ---------------------------------------------------------------------------
@cache
def has_gpu() -> bool:
    """Whether CuPy is installed and sees a device."""
    if find_spec("cupy") is None:
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # CuPy warns on a machine without CUDA
        try:
            import cupy

            return cupy.cuda.runtime.getDeviceCount() > 0
        except Exception:  # no driver, no device, no runtime: CuPy has an error class for each
            return False


def pytest_runtest_setup(item):
    if item.get_closest_marker("gpu") and not has_gpu():
        pytest.skip("needs a GPU")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of data sets that MINICNN_DATA names."""
    if not os.environ.get("MINICNN_DATA"):
        pytest.skip("needs MINICNN_DATA")
    folder = Path(os.environ["MINICNN_DATA"])
    assert folder.is_dir(), f"MINICNN_DATA names {folder}, but there is no such folder"
    return folder


@pytest.fixture(scope="session")
def compiler():
    """The C++ compiler that the emulator uses."""
    from minicnn import emulator

    try:
        return emulator.find_compiler()
    except emulator.CompilerNotFound:
        pytest.skip("needs a C++ compiler")


@pytest.fixture(scope="session")
def nvrtc():
    """CuPy's binding of NVRTC, NVIDIA's compiler for CUDA C; it needs no GPU and no driver."""
    if find_spec("cupy_backends") is None:
        pytest.skip("needs NVRTC")
    from cupy_backends.cuda.libs import nvrtc

    try:
        nvrtc.getVersion()
    except RuntimeError:  # CuPy is there, the library is not
        pytest.skip("needs NVRTC")
    return nvrtc


# ---------------------------------------------------------------------------
# Backends: one fixture, so that a test is written once and runs on all of them
# ---------------------------------------------------------------------------
@dataclass(frozen=True)
class Backend:
    """Where a test's operations run: `with backend.running(): f(x.to(backend.device))`."""

    name: str

    @property
    def device(self) -> str:
        return "cuda:0" if self.name == "cuda" else "cpu"

    def running(self):
        return nullcontext() if self.name == "cuda" else use_backend(self.name)


@pytest.fixture(
    scope="session",
    params=[
        "loops", "numpy", "fast", "compiled", "emulator",
        pytest.param("cuda", marks=pytest.mark.gpu),
    ],
)
def backend(request) -> Backend:
    """Each backend in turn."""
    if request.param in ("compiled", "emulator"):
        request.getfixturevalue("compiler")
    return Backend(request.param)


@pytest.fixture(scope="session")
def loops() -> Backend:
    """The definition that the others are compared with."""
    return Backend("loops")


# ---------------------------------------------------------------------------
# --sanitize: the kernels that the emulator launches are checked on the way
# ---------------------------------------------------------------------------
@pytest.fixture(autouse=True)
def sanitized(request):
    """With --sanitize, fails a test whose launches the emulator's sanitizer finds fault with."""
    if not request.config.getoption("--sanitize"):
        yield
        return
    from minicnn.emulator import checking

    with checking() as found:
        yield
    assert found == []


# ---------------------------------------------------------------------------
# --strict-skips: a skip that nobody allowed fails the run
# ---------------------------------------------------------------------------
ALLOWED_SKIPS = Path(__file__).with_name("allowed_skips.txt")


def pytest_addoption(parser):
    parser.addoption(
        "--sanitize",
        action="store_true",
        help="run every launch of the emulator under its sanitizer (10 times slower)",
    )
    parser.addoption(
        "--strict-skips",
        action="store_true",
        help="fail the run if a test is skipped for a reason not in tests/allowed_skips.txt",
    )
    parser.addoption(
        "--allow-skip",
        action="append",
        default=[],
        metavar="REASON",
        help="with --strict-skips: one more reason to allow (repeatable)",
    )


def pytest_configure(config):
    if config.getoption("--strict-skips"):
        lines = ALLOWED_SKIPS.read_text(encoding="utf-8").splitlines()
        allowed = {line for line in lines if line and not line.startswith("#")}
        allowed.update(config.getoption("--allow-skip"))
        config.pluginmanager.register(StrictSkips(allowed), "strict-skips")


class StrictSkips:
    """Collects skips whose reason is not allowed, and fails the run if there are any."""

    def __init__(self, allowed):
        self.allowed = allowed
        self.refused = []

    def pytest_runtest_logreport(self, report):
        if report.skipped and not hasattr(report, "wasxfail"):
            self._note(report)

    def pytest_collectreport(self, report):
        if report.skipped:
            self._note(report)

    def _note(self, report):
        _, _, message = report.longrepr
        reason = message.removeprefix("Skipped: ")
        if reason not in self.allowed:
            self.refused.append(f"{report.nodeid}: {reason}")

    def pytest_sessionfinish(self, session):
        if self.refused and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter):
        if self.refused:
            terminalreporter.section("skips that are not allowed", red=True, bold=True)
            for line in self.refused:
                terminalreporter.write_line(line)
            terminalreporter.write_line(f"Install what is missing, or say why in {ALLOWED_SKIPS}.")
