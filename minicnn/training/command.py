"""`minicnn report`."""

from __future__ import annotations

import json
from pathlib import Path

EXAMPLES = """\
examples:
  minicnn train lenet
  minicnn report runs/lenet-digits

Writes report.html and report.png there: curves, confusion matrix, worst mistakes, first filters.
"""
HELP = {
    "help": "show how a training went, and what its net gets wrong",
    "description": "Show how a training went, and what its net gets wrong.",
    "epilog": EXAMPLES,
}


def add_arguments(add):
    """The arguments of the command."""
    text = "where `minicnn train` put its files, such as runs/lenet-digits"
    add("folder", metavar="DIR", type=Path, help=text)


def report(options) -> int:
    """Write the report of a run."""
    try:
        for path in write_report(options.folder):
            print(f"saved {path}")
    except (ValueError, OSError, ImportError) as error:
        return options.parser.fail(error)
    return 0


def write_report(folder: Path) -> list[Path]:
    """Write report.html and report.png of the run in a folder, from its files alone.

    Raises
    ------
    FileNotFoundError, ValueError
        If the run's files are not there or broken.
    ImportError
        If matplotlib is not installed.
    """
    from minicnn import interop
    from minicnn.data import DataLoader, load
    from minicnn.training.fitting import build_for
    from minicnn.training.recipes import preparation
    from minicnn.training.report import Report

    settings, history, facts = _record(folder / "history.json")
    prepared = preparation(settings["data"])
    test = load(settings["data"], "test", size=prepared.size)
    model = build_for(settings["model"], test.images.shape[1:], len(test.classes))
    interop.load_into(model, folder / "weights.safetensors")
    loader = DataLoader(test, 500, **prepared.loader(training=False))
    title = f"{settings['model']} on {settings['data']}"
    made = Report(model, loader, history, title, settings | facts)
    return [made.save(folder / f"report.{kind}") for kind in ("html", "png")]


def _record(path):
    """(settings, epochs, other facts) of a run, from its history.json."""
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: there is no such file; give the folder of a run that `minicnn train` made"
        )
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        settings, epochs = record["settings"], record["epochs"]
        facts = {"parameters": f"{record['parameters']:,}", "seconds": f"{record['seconds']:.1f}"}
        facts |= {name: record[name] for name in ("minicnn", "numpy", "python")}
        if not {"model", "data"} <= settings.keys():
            raise KeyError("model")
    except (json.JSONDecodeError, KeyError, TypeError):
        raise ValueError(
            f"{path} is no record of a run; give the folder of one that `minicnn train` made"
        ) from None
    return settings, epochs, facts
