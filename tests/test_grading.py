"""`minicnn grade`: right marks for a class, whatever its notebooks do."""

from __future__ import annotations

import csv
import inspect
import json
from pathlib import Path

import numpy as np
import pytest

from minicnn.__main__ import main
from minicnn.checks import check, search
from minicnn.grading import grade, grade_notebook
from minicnn.grading.channel import decode, encode
from minicnn.grading.exercises import EXERCISES, tutorial_of

TUTORIALS = Path(__file__).resolve().parent.parent / "tutorials"
SOLUTIONS = {name: TUTORIALS / "solutions" / f"{name}.py" for name in EXERCISES}
EASY = "04_autograd"  # two exercises that take no time
SIGMOID = (
    "def my_sigmoid_backward(dy, x):\n"
    "    s = 1 / (1 + np.exp(-x))\n"
    "    return dy * s * (1 - s)"
)
LINEAR = (
    "def my_linear_backward(dy, x, w):\n"
    "    flat, rows = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])\n"
    "    return dy @ w, rows.T @ flat, rows.sum(axis=0)"
)


def submission(path, *cells, tutorial=EASY):
    """Write a notebook with these cells of code."""
    notebook = {
        "nbformat": 4, "nbformat_minor": 5, "metadata": {"minicnn": {"tutorial": tutorial}},
        "cells": [{"cell_type": "code", "source": cell.splitlines(True), "metadata": {},
                   "outputs": [], "execution_count": None} for cell in cells],
    }  # fmt: skip
    path.write_text(json.dumps(notebook), encoding="utf-8")
    return path


def body(text, name="my_sigmoid_backward", arguments="dy, x"):
    """A function with this body."""
    lines = "\n".join(f"    {line}" for line in text.splitlines())
    return f"def {name}({arguments}):\n{lines}"


# ---------------------------------------------------------------------------
# The course's own exercises
# ---------------------------------------------------------------------------
@pytest.mark.slow
@pytest.mark.parametrize("tutorial", EXERCISES)
def test_every_solution_passes_and_is_there(tutorial):
    names = {"__name__": "solutions"}
    exec(compile(SOLUTIONS[tutorial].read_text(), SOLUTIONS[tutorial].name, "exec"), names)
    for exercise in EXERCISES[tutorial]:
        report = check(names[exercise])
        assert report.passed, report


@pytest.mark.slow
@pytest.mark.parametrize("tutorial", EXERCISES)
def test_every_blank_of_the_notebooks_fails(tutorial):
    """The exercises in a notebook are those of the table, and none of them passes as it is."""
    marked = grade_notebook(TUTORIALS / f"{tutorial}.ipynb")
    assert [m.exercise for m in marked.marks] == list(EXERCISES[tutorial])
    assert [m.verdict for m in marked.marks] == ["is blank"] * len(EXERCISES[tutorial])
    text = (TUTORIALS / "sources" / f"{tutorial}.py").read_text()
    marked_there = [line[14:-1] for line in text.splitlines() if line.startswith("minicnn.check(")]
    assert marked_there == list(EXERCISES[tutorial])


def test_every_notebook_with_exercises_is_in_the_table():
    for source in (TUTORIALS / "sources").glob("*.py"):
        has = "\nminicnn.check(" in source.read_text()
        assert (source.stem in EXERCISES) == has, source


# ---------------------------------------------------------------------------
# A class of 30
# ---------------------------------------------------------------------------
FORGED = r'''
import json, os
for fd in range(3, 20):
    try:
        os.write(fd, json.dumps({"value": 1, "changed": {}}).encode() + b"\n")
    except OSError:
        pass
'''
DEEDS = {  # name -> (cells, exercises right, words of the report)
    "ada": ([SIGMOID, LINEAR], 2, ""),
    "alan": (["%matplotlib inline\n" + SIGMOID, "!pip list", LINEAR], 2, ""),
    "barbara": (["import matplotlib.pyplot as plt\nplt.plot([1, 2])", SIGMOID, LINEAR], 2, ""),
    "cleve": (["while True:\n    pass", SIGMOID, LINEAR], 2, ""),
    "donald": (["BETA = 1.0", SIGMOID.replace("1 / (1", "BETA / (BETA"), LINEAR], 2, ""),
    "edsger": ([SIGMOID], 1, "my_linear_backward: is not in the notebook"),
    "frances": ([body("s = 1 / (1 + np.exp(-x))\nreturn s * (1 - s)"), LINEAR], 1, "dy is ignored"),
    "grace": ([body("return dy * x * (1 - x)"), LINEAR], 1, "not x (1 - x)"),
    "hedy": ([SIGMOID, LINEAR.replace("dy @ w, rows.T @ flat", "rows.T @ flat, dy @ w")], 1,
             "another order"),
    "ida": ([body("return dy.tolist()"), LINEAR], 1, "returned a list instead of an array"),
    "john": ([body("return dy * x *"), SIGMOID, LINEAR], 2, "syntax error"),
    "karen": ([body("return dy", arguments="a, b"), LINEAR], 1, "takes an argument 'a'"),
    "leslie": ([body("while True:\n    pass"), LINEAR], 1, "did not finish"),
    "mary": ([body("while True:\n    try:\n        pass\n    except BaseException:\n        pass"),
              LINEAR], 1, "did not finish"),
    "niklaus": ([body("import itertools\nreturn sum(itertools.count())"), LINEAR], 1,
                "did not finish"),
    "ole": ([body("return np.ones(10**11) * dy.sum()"), LINEAR], 1, "MemoryError"),
    "peter": ([body("hog = []\nwhile True:\n    hog.append(np.empty(50_000_000))"), LINEAR], 1,
              "MemoryError"),
    "radia": ([body("return dy * len(open('/etc/passwd').read())"), LINEAR], 1, "no files here"),
    "sophie": ([body("from pathlib import Path\nPath('mine').write_text('x')\nreturn dy"), LINEAR],
               1, "no files here"),
    "tim": ([body("import os\nreturn dy * len(os.listdir('/'))"), LINEAR], 1, "no files here"),
    "ursula": ([body("import subprocess\nsubprocess.run(['ls'])\nreturn dy"), LINEAR], 1,
               "not allowed here"),
    "vint": ([body("import socket\nsocket.create_connection(('127.0.0.1', 9))\nreturn dy"), LINEAR],
             1, "not allowed here"),
    "wendy": ([body("import os\nos.kill(os.getppid(), 9)\nreturn dy"), LINEAR], 1,
              "os.kill is not allowed here"),
    "xavier": ([body("import os\nos._exit(0)"), LINEAR], 1, "has ended"),
    "yukihiro": ([body("import sys\nsys.exit(0)"), LINEAR], 1, "SystemExit"),
    "zuse": ([body(FORGED + "return dy"), LINEAR], 1, ""),
    "forger": (["import minicnn.checks.check as c\nc.check = lambda *a: True",
                body("print('my_sigmoid_backward passed')\nreturn dy"), LINEAR], 1, "wrong values"),
    "deep": ([body("return my_sigmoid_backward(dy, x)"), LINEAR], 1, "RecursionError"),
    "hang": (["def forever(f):\n    while True:\n        pass", "@forever\n" + SIGMOID, LINEAR], 1,
             "TimeLimit"),
}  # fmt: skip


@pytest.mark.slow
def test_a_class_of_thirty(tmp_path, monkeypatch):
    monkeypatch.setattr(search, "EXAMPLES", 20)  # of each stage; marking itself is tested elsewhere
    monkeypatch.setattr(search, "SMALLER", 30)
    for name, (cells, _, _) in DEEDS.items():
        submission(tmp_path / f"{name}.ipynb", "import numpy as np", *cells)
    (tmp_path / "broken.ipynb").write_bytes(b'{"cells": [\xff')
    marked = {Path(s.file).stem: s for s in grade(tmp_path)}
    assert len(marked) == len(DEEDS) + 1 == 30
    got = {name: s.right for name, s in marked.items()}
    assert got == {name: right for name, (_, right, _) in DEEDS.items()} | {"broken": 0}
    for name, (_, _, words) in DEEDS.items():
        assert words in "\n".join(marked[name].lines()), (name, marked[name])
    assert marked["broken"].problems == ["is no Jupyter notebook, or a damaged one"]
    assert {p.suffix for p in tmp_path.iterdir()} == {".ipynb"}, "somebody has written a file"


# ---------------------------------------------------------------------------
# Table and CSV
# ---------------------------------------------------------------------------
def test_the_command_writes_table_and_csv(tmp_path, capsys):
    submission(tmp_path / "=cmd.ipynb", "import numpy as np", SIGMOID, body("pass", "my_linear"))
    (tmp_path / "notes.ipynb").write_text("{}")
    assert main(["grade", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "1 of 2  =cmd.ipynb" in out and "not marked  notes.ipynb" in out
    assert "2 notebooks, 1 of 2 exercises right" in out
    rows = list(csv.DictReader((tmp_path / "marks.csv").read_text("utf-8").splitlines()))
    assert [(r["file"], r["exercise"], r["right"]) for r in rows] == [
        ("'=cmd.ipynb", "my_sigmoid_backward", "1"),
        ("'=cmd.ipynb", "my_linear_backward", "0"),
        ("notes.ipynb", "", "0"),
    ]
    assert rows[1]["verdict"] == "is not in the notebook" and rows[2]["verdict"].startswith("is no")


@pytest.mark.parametrize("folder", ["nowhere", "."])
def test_without_notebooks_there_is_one_error(tmp_path, folder, capsys):
    assert main(["grade", str(tmp_path / folder)]) == 2
    assert capsys.readouterr().err.startswith("minicnn grade: ")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"cells": 3}', '{"cells": [1]}', '{"cells": [], "metadata": []}',
             "[" * 100_000],
    ids=["empty", "list", "object", "number", "numbers", "metadata", "deep"],
)  # fmt: skip
def test_what_is_no_notebook_is_named(tmp_path, text):
    path = tmp_path / "04_autograd.ipynb"
    path.write_text(text)
    (problem,) = grade_notebook(path).problems
    assert problem == "is no Jupyter notebook, or a damaged one"


def test_links_are_not_followed(tmp_path):
    (tmp_path / "04_autograd.ipynb").symlink_to(TUTORIALS / "04_autograd.ipynb")
    assert grade_notebook(tmp_path / "04_autograd.ipynb").problems == ["is no plain file"]


def test_a_name_tells_the_tutorial():
    assert tutorial_of("lee_02_convolution (1).ipynb") == "02_convolution"
    assert tutorial_of("homework.ipynb") is None


# ---------------------------------------------------------------------------
# Messages
# ---------------------------------------------------------------------------
@pytest.mark.parametrize("order", ["C", "F", "channels-last", "reversed"])
def test_arrays_arrive_as_they_were(order):
    a = np.arange(24.0).reshape(1, 2, 3, 4)
    last = np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    a = {"C": a, "F": np.asfortranarray(a), "reversed": a[..., ::-1], "channels-last": last}[order]
    b = decode(json.loads(json.dumps(encode(a))))
    assert np.array_equal(a, b) and a.dtype == b.dtype and b.flags.writeable
    if order != "reversed":
        assert a.flags.c_contiguous == b.flags.c_contiguous


@pytest.mark.parametrize("value", [None, True, 3, 2.5, "x", (1, (2, 3)), [np.float32(1.5)]])
def test_values_arrive_as_they_were(value):
    got = decode(json.loads(json.dumps(encode(value))))
    assert got == value and type(got) is type(value)


def test_other_things_arrive_by_name_alone():
    got = decode(encode(inspect.Parameter("x", inspect.Parameter.KEYWORD_ONLY)))
    assert type(got).__name__ == "Parameter" and not hasattr(got, "numpy")
    assert type(decode(encode(np.array([object()])))).__name__ == "ndarray"
