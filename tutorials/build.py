"""Makes the notebooks: each text in tutorials/sources becomes a notebook, run from a clean kernel.

    python tutorials/build.py            those whose text has changed
    python tutorials/build.py --all      all of them
    python tutorials/build.py 02 05      these

A source is Python with cells marked by `# %%` (jupytext's percent format), so that it can be read,
compared and linted. first_cell.py goes in front of its first code cell. A notebook names the
SHA-256 of the text that its outputs belong to.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent
SOURCES = sorted((HERE / "sources").glob("*.py"))
FIRST = (HERE / "first_cell.py").read_text(encoding="utf-8")
SECONDS = 300  # that one cell may take


def notebook_of(source: Path) -> Path:
    """Where the notebook of a source lies."""
    return HERE / f"{source.stem}.ipynb"


def unrun(source: Path) -> nbformat.NotebookNode:
    """The notebook of a source, without outputs."""
    text = source.read_text(encoding="utf-8")
    notebook = jupytext.reads(text, fmt="py:percent")
    place = next(k for k, cell in enumerate(notebook.cells) if cell.cell_type == "code")
    notebook.cells.insert(place, nbformat.v4.new_code_cell(FIRST.strip()))
    digest = hashlib.sha256((FIRST + text).encode()).hexdigest()
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        "minicnn": {"tutorial": source.stem, "sha256": digest},
    }
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for k, cell in enumerate(notebook.cells):
        cell.id = f"cell-{k:02}"
    return notebook


def run(notebook: nbformat.NotebookNode, folder: Path) -> None:
    """Run every cell in a kernel of its own that starts in `folder`; raises where a cell does."""
    info = dict(notebook.metadata["language_info"])
    client = NotebookClient(
        notebook,
        timeout=SECONDS,
        startup_timeout=SECONDS,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the notebook machinery; the kernel is another process
        client.execute()
    notebook.metadata["language_info"] = info  # without the version of this machine's Python


def is_current(source: Path) -> bool:
    """Whether the notebook of a source is there, and has this very text and outputs of it."""
    path, wanted = notebook_of(source), unrun(source)
    if not path.exists():
        return False
    kept = nbformat.read(path, 4)
    same = [(c.cell_type, c.source) for c in kept.cells] == [
        (c.cell_type, c.source) for c in wanted.cells
    ]
    return same and kept.metadata.get("minicnn") == wanted.metadata["minicnn"]


def build(source: Path) -> Path:
    """Run a source and write its notebook."""
    notebook, target = unrun(source), notebook_of(source)
    with tempfile.TemporaryDirectory() as folder:
        run(notebook, Path(folder))
    partial = target.with_suffix(".partial")
    nbformat.write(notebook, partial)
    os.replace(partial, target)
    return target


def main() -> int:
    parser = argparse.ArgumentParser(description="Makes the notebooks from tutorials/sources.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="how their names begin, as 02")
    parser.add_argument("--all", action="store_true", help="also those that are up to date")
    options = parser.parse_args()
    chosen = [s for s in SOURCES if s.stem.startswith(tuple(options.names or [""]))]
    if not chosen:
        parser.error(f"no source begins with {' or '.join(options.names)}")
    for source in chosen:
        if not (options.all or options.names) and is_current(source):
            print(f"{source.stem}: up to date")
            continue
        start = time.monotonic()
        size = build(source).stat().st_size
        print(f"{source.stem}: {time.monotonic() - start:.0f} s, {size / 1000:.0f} kB", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
