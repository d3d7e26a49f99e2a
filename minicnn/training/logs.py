"""What a training writes down while it runs: a line for each epoch, a picture of the curves."""

from __future__ import annotations

import io
import json
import sys
import time
from pathlib import Path

import numpy as np

from minicnn.interop import write_file
from minicnn.training.callbacks import Callback


class HistoryFile(Callback):
    """The history as JSON lines, one for each epoch as soon as it is over.

    Parameters
    ----------
    path : str or Path
        An older file there is replaced after the first epoch. Where the training goes on from a
        checkpoint, the file begins with the epochs before it.
    """

    last = True

    def __init__(self, path):
        self.path = Path(path)

    def before_fit(self, trainer):
        self.begun = False

    def after_epoch(self, trainer):
        history = trainer.history[-1:] if self.begun else trainer.history
        text = "".join(json.dumps(entry, allow_nan=False) + "\n" for entry in history)
        if self.begun:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(text)
        else:
            write_file(self.path, text.encode())
        self.begun = True


def read_history(path) -> list[dict]:
    """The epochs of a `HistoryFile`; a last line that was cut off by a crash is left out."""
    *lines, rest = Path(path).read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines]


class LivePlot(Callback):
    """The curves of loss and accuracy, drawn again after each epoch.

    In a notebook one picture changes in its place; elsewhere give a file.

    Parameters
    ----------
    path : str or Path, optional
        A .png, .svg or .pdf file to draw to; whole at any moment.
    """

    last = True

    def __init__(self, path=None):
        self.path = None if path is None else Path(path)
        self.shown = None  # the notebook's handle on the picture
        if self.path is None and "IPython" not in sys.modules:
            raise ValueError(
                "LivePlot: expects a path where there is no notebook to draw in; "
                "give a file, such as LivePlot('curves.png')"
            )

    def after_epoch(self, trainer):
        from minicnn.training.plots import curves, figure

        drawn = figure(8, 3)
        curves(trainer.history, drawn.subplots(1, 2))
        if self.path is not None:
            file = io.BytesIO()
            drawn.savefig(file, format=self.path.suffix.removeprefix(".") or "png", dpi=120)
            write_file(self.path, file.getvalue())
        elif self.shown is None:
            from IPython.display import display

            self.shown = display(drawn, display_id=True)
        else:
            self.shown.update(drawn)


class Speedometer(Callback):
    """Notes beside each epoch how fast the machine was: times become comparable.

    Other work on a machine, its temperature or its clock can halve its speed. After each epoch a
    matrix product of known size is timed, and the history gets "machine_gflops". An epoch's
    seconds times that number is its work in units of that product: two nets can be compared by it
    though the machine was busy during one of the trainings.

    Parameters
    ----------
    size : int
        Of the square float32 matrices; the best of `repeats` products counts.
    """

    def __init__(self, size: int = 512, repeats: int = 5):
        self.a = np.ones((size, size), np.float32)
        self.repeats = repeats

    def after_epoch(self, trainer):
        trainer.history[-1]["machine_gflops"] = self.gflops()

    def gflops(self) -> float:
        """Thousand million float32 operations in a second, of a matrix product, right now."""
        times = []
        for _ in range(self.repeats):
            start = time.perf_counter()
            self.a @ self.a
            times.append(time.perf_counter() - start)
        return 2 * len(self.a) ** 3 / min(times) / 1e9


class WaitingTime(Callback):
    """Notes beside each epoch which share of its seconds went by waiting for batches.

    The history gets "waiting", from 0 to 1. A loader with workers should keep it near 0; see
    `DataLoader`. Lists of batches are there already: 0.
    """

    def after_epoch(self, trainer):
        entry, running = trainer.history[-1], trainer.running
        seconds = running.images / entry["images_per_second"]
        entry["waiting"] = min(getattr(trainer.train_loader, "waited", 0.0) / seconds, 1.0)
