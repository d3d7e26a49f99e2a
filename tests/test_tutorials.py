"""Every notebook runs from a clean kernel, and README's code does what it shows."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "tutorials").glob("*.ipynb"))
LARGEST = 1_000_000  # bytes, figures included


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_runs_from_a_clean_kernel(path, tmp_path):
    nbformat = pytest.importorskip("nbformat", reason="needs nbclient")
    nbclient = pytest.importorskip("nbclient", reason="needs nbclient")
    notebook = nbformat.read(path, 4)
    client = nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the notebook machinery; the kernel is another process
        client.execute()  # raises at the first cell that does
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_is_kept_with_its_outputs_and_small(path):
    text = path.read_text()
    assert len(text.encode()) < LARGEST
    assert '"output_type": "error"' not in text
    assert '"execution_count": null' not in text, f"run {path.name} and save it with its outputs"


def test_there_is_a_notebook():
    assert NOTEBOOKS


def test_the_code_of_the_readme_runs():
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    code = blocks[0] + blocks[1].replace('"emulator"', '"numpy"')
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    steps = names["steps"]
    assert len(steps) == 26 and steps.current.label == "conv2"
    assert names["loss"].shape == ()
