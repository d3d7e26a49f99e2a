"""`check` on CUDA kernels, and how `minicnn grade` marks them."""

from __future__ import annotations

import json
import os

import pytest

from minicnn.checks import check, search
from minicnn.checks.kernels import KERNELS, kernel_name
from minicnn.grading import grade_notebook, kernels
from minicnn.grading.kernels import marked, refused, source_of

pytestmark = pytest.mark.usefixtures("compiler")

PLACE = "int i = blockIdx.x * blockDim.x + threadIdx.x;"


def saxpy(body, parameters="float a, const float* x, float* y, int n"):
    return f'extern "C" __global__ void my_saxpy({parameters})\n{{\n    {body}\n}}\n'


def transpose(barrier="__syncthreads();", read="tile[i][j]", first="if (inside)"):
    return f"""
extern "C" __global__ void my_transpose(const float* x, float* y, int R, int C)
{{
    __shared__ float tile[32][33];
    int i = threadIdx.x, j = threadIdx.y, r = 32 * blockIdx.y, c = 32 * blockIdx.x;
    bool inside = r + j < R && c + i < C;
    {first} tile[j][i] = x[(r + j) * C + c + i];
    {barrier}
    if (c + j < C && r + i < R) y[(c + j) * R + r + i] = {read};
}}
"""


RIGHT = {"saxpy": saxpy(PLACE + " if (i < n) y[i] = a * x[i] + y[i];"), "transpose": transpose()}
WRONG = {  # name: (source, words of the problem, words of the hint)
    "no bound": (saxpy(PLACE + " y[i] = a * x[i] + y[i];"), "leaves an array", "last block"),
    "no block": (saxpy("int i = threadIdx.x; if (i < n) y[i] = a * x[i] + y[i];"), "has a race",
                 "blockIdx.x * blockDim.x"),
    "y forgotten": (saxpy(PLACE + " if (i < n) y[i] = a * x[i];"), "wrong values", "written over"),
    "a forgotten": (saxpy(PLACE + " if (i < n) y[i] += x[i];"), "wrong values", "a is left out"),
    "no barrier": (transpose(barrier=""), "has a race", "__syncthreads"),
    "two barriers": (transpose(barrier="if (i > 3) __syncthreads();\n    __syncthreads();"),
                     "threads that miss a barrier", "out of the `if`"),
    "not turned": (transpose(read="tile[j][i]", first="tile[j][i] = 0; if (inside)"),
                   "wrong values", None),
    "not written": (transpose(read="y[(c + j) * R + r + i]"), "unwritten", "thread that writes it"),
    "endless": (saxpy("while (a > -9) a = a > 5 ? a : 6;"), "does not come to an end", "loop"),
    "blank": (saxpy("// your lines"), "NotImplementedError", "Your own code"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def fewer_cases(monkeypatch):
    monkeypatch.setattr(search, "EXAMPLES", 20)
    monkeypatch.setattr(search, "SMALLER", 20)


@pytest.mark.parametrize("name", KERNELS)
def test_right_kernels_pass(name, monkeypatch):
    monkeypatch.setattr(search, "SECONDS", 600.0)  # all cases, however busy the machine
    report = check(RIGHT[name], time_limit=60)
    assert report and report.like == name and report.tried > 20, report


@pytest.mark.parametrize("name", WRONG)
def test_wrong_kernels_are_told_what_is_wrong(name):
    source, problem, hint = WRONG[name]
    report = check(source, time_limit=60)
    assert not report and not report.callable
    assert problem in report.problem, report
    assert hint is None or hint in report.hint, report
    assert "Try it yourself" not in repr(report)


@pytest.mark.parametrize(
    "source, words",
    [
        ("void f() {}", "there is no kernel in this text"),
        (saxpy("", "const float* x, float* y, int n, float a"), "in this order"),
        ('extern "C" __global__ void mine(int n) {}', "rename it"),
    ],
    ids=["no kernel", "parameters", "name"],
)
def test_other_texts_get_one_error(source, words):
    with pytest.raises(ValueError, match=words):
        check(source)


def test_a_name_behind_launch_bounds():
    assert kernel_name('extern "C" __global__ void __launch_bounds__(64)\nit(int n) {}') == "it"


# ---------------------------------------------------------------------------
# Grading
# ---------------------------------------------------------------------------
HOSTILE = {
    "system": saxpy('system("touch evil");'),
    "declared": 'extern "C" int system(const char*);\n' + saxpy('system("touch evil");'),
    "pointer": saxpy('int (*f)(const char*) = system; f("touch evil");'),
    "in brackets": saxpy('(system)("touch evil");'),
    "joined": "#define C(a, b) a##b\n" + saxpy('C(sys, tem)("touch evil");'),
    "split": saxpy('sys\\\ntem("touch evil");'),
    "escaped": saxpy('\\u0073ystem("touch evil");'),
    "macro": "#define call system\n" + saxpy('call("touch evil");'),
    "macro with arguments": "#define call(f) f(0)\n" + saxpy("call(abort);"),
    "template": "template <int (*F)(const char*)> void f() { F(0); }\n" + saxpy("f<system>();"),
    "lambda": saxpy("[] { abort(); }();"),
    "array": saxpy('int (*f[])(const char*) = {system}; f[0]("touch evil");'),
    "assembly": saxpy('asm("syscall");'),
    "builtin": saxpy("__builtin_trap();"),
    "attribute": '__attribute__((alias("system"))) int f(const char*);\n' + saxpy("f(0);"),
    "runtime": saxpy("emu_syncthreads();"),
    "file": '#include "/etc/passwd"\n' + saxpy(""),
    "header": "#include <unistd.h>\n" + saxpy(""),
    "raw string": saxpy('const char* s = R"(")"; system("touch evil"); s = R"(")";'),
    "between quotes": saxpy("int k = 1'0 + system(0) + 2'0;"),
    "own of that name": "void system(int i) {}\n" + saxpy('system("touch evil");'),
    "header by macro": "#define H <unistd.h>\n#include H\n" + saxpy(""),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_calls_the_system_is_not_compiled(name, monkeypatch):
    monkeypatch.setattr(kernels.subprocess, "Popen", None)  # it must not come to that
    assert marked(HOSTILE[name], 10**9, 10)["verdict"].startswith("is not compiled here: it ")


@pytest.mark.parametrize(
    "source",
    [
        *RIGHT.values(),
        *(source for source, _, _ in WRONG.values()),
        '#include "common.cuh"\n#define SIDE 32\n' + saxpy("int i = (int)(threadIdx.x * (1 + 1));"),
        "__device__ float twice(float v) { return 2 * (v); }\n" + saxpy("y[0] = twice((float)n);"),
        saxpy(
            "for (int i = (0); i < (n); i++) { if ((i) > (2)) (y[i] = 0); while (false) (i++); }"
        ),
        "#define AT(r, c) ((r) * 8 + (c))\n"
        + saxpy("int index = AT(0, 1); y[index] = expf(-x[0]);"),
        saxpy(
            "struct Pair { float a, b; } pair = {x[0], sqrtf(x[1])}; y[0] = max(pair.a, pair.b);"
        ),
        "template <class T> __device__ T half(T v) { return v / 2; }\n"
        + saxpy("y[0] = half<float>(a);"),
    ],
)
def test_what_a_student_writes_is_compiled(source):
    assert refused(source) is None


def test_the_last_text_of_that_name_counts():
    cells = ["my_saxpy = 'one'", "this is no Python", "my_saxpy = 2", "my_saxpy = 'two'", "x = '3'"]
    assert source_of(cells, "my_saxpy") == "two"
    assert source_of(cells, "my_transpose") is None
    assert source_of(["my_saxpy = open('/etc/passwd').read()"], "my_saxpy") is None


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="grade fences notebooks in on Linux and macOS")
def test_kernels_of_a_notebook_are_marked(tmp_path):
    cells = [
        f"my_saxpy = {RIGHT['saxpy']!r}",
        f"my_transpose = {WRONG['no barrier'][0]!r}",
        "def my_sectors(addresses):\n    return len({a // 32 for a in addresses.tolist()})",
    ]
    notebook = {
        "metadata": {"minicnn": {"tutorial": "16_gpu_kernels"}},
        "cells": [{"cell_type": "code", "source": cell} for cell in cells],
    }
    path = tmp_path / "ada.ipynb"
    path.write_text(json.dumps(notebook), encoding="utf-8")
    marks = {m.exercise: m for m in grade_notebook(path).marks}
    assert [m.right for m in marks.values()] == [True, True, False, False]
    assert marks["my_transpose"].verdict.startswith("has a race: my_transpose.cu line ")
    assert marks["my_bank_cycles"].verdict == "is not in the notebook"


@pytest.mark.slow
@pytest.mark.parametrize(
    "source, verdict",
    [
        (saxpy("int i = ;"), "does not compile"),
        (saxpy("// nothing yet"), "is blank"),
        (saxpy("while (a > -9) a = a > 5 ? a : 6;"), "does not come to an end"),
    ],
    ids=["syntax", "blank", "endless"],
)
def test_verdicts(source, verdict):
    assert verdict in marked(source, 2 * 10**9, 60)["verdict"]
