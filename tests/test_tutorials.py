"""The notebooks: run from a clean kernel, kept with the outputs of their own text, and readable.

README's code is run here, too.
"""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "tutorials" / "sources").glob("*.py"))
NOTEBOOKS = sorted((ROOT / "tutorials").glob("*.ipynb"))
LARGEST = 1_000_000  # bytes, figures included
SCREEN, WIDTH = 40, 100  # lines of a cell, and characters of a line


@pytest.fixture(scope="module")
def build():
    """tutorials/build.py, which makes notebooks of sources."""
    for name in ("jupytext", "nbclient"):
        pytest.importorskip(name, reason="needs what makes the tutorials")
    from tutorials import build

    return build


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES, ids=lambda p: p.stem)
def test_runs_from_a_clean_kernel(build, source, tmp_path):
    notebook = build.unrun(source)
    build.run(notebook, tmp_path)  # raises at the first cell that does
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")


@pytest.mark.parametrize("source", SOURCES, ids=lambda p: p.stem)
def test_is_kept_with_the_outputs_of_this_text(build, source):
    assert build.is_current(source), "run `make tutorials`, and commit the notebook"


def test_every_notebook_has_a_source():
    assert SOURCES and [p.stem for p in NOTEBOOKS] == [p.stem for p in SOURCES]


def test_a_changed_text_is_noticed(build, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "HERE", tmp_path)
    source = tmp_path / "01_small.py"
    source.write_text("# %% [markdown]\n# # Title\n\n# %%\n1 + 1\n")
    build.build(source)
    assert build.is_current(source)
    kept = (tmp_path / "01_small.ipynb").read_text()
    source.write_text(source.read_text().replace("1 + 1", "1 + 2"))
    assert not build.is_current(source)
    # Somebody puts the new text into the notebook, and leaves the old outputs there.
    (tmp_path / "01_small.ipynb").write_text(kept.replace("1 + 1", "1 + 2"))
    assert not build.is_current(source)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_is_kept_with_its_outputs_and_small(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.encode()) < LARGEST
    assert '"output_type": "error"' not in text
    assert '"execution_count": null' not in text, f"run {path.name} and save it with its outputs"


@pytest.mark.parametrize("source", SOURCES, ids=lambda p: p.stem)
def test_no_cell_is_longer_than_a_screen(build, source):
    for cell in build.unrun(source).cells:
        text = cell.source if cell.cell_type == "code" else " \n".join(
            textwrap.fill(" ".join(paragraph.split()), WIDTH) + "\n"
            if not paragraph.lstrip().startswith(("|", "-", "1.", ">")) else paragraph
            for paragraph in cell.source.split("\n\n")
        )  # fmt: skip
        assert len(text.splitlines()) <= SCREEN, cell.source


@pytest.mark.parametrize("source", SOURCES, ids=lambda p: p.stem)
def test_links_between_notebooks_lead_somewhere(source):
    names = re.findall(r"\]\((\w+\.ipynb)\)", source.read_text(encoding="utf-8"))
    assert {name.removesuffix(".ipynb") for name in names} <= {p.stem for p in SOURCES}


def test_spelling():
    if find_spec("codespell_lib") is None:
        pytest.skip("needs codespell")
    texts = [ROOT / "README.md", *SOURCES, *(ROOT / "tutorials").glob("*.md")]
    command = [sys.executable, "-m", "codespell_lib", *map(str, texts)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_code_of_the_readme_runs(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # it writes a page
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    code = blocks[0] + blocks[1].replace('"emulator"', '"numpy"')
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    steps = names["steps"]
    assert len(steps) == 26 and steps.current.label == "conv2"
    assert names["loss"].shape == ()
