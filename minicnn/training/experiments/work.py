"""What a run has at hand: its seed, its data, a training that can be interrupted, a memory."""

from __future__ import annotations

import json
import time
from functools import lru_cache
from pathlib import Path

import numpy as np

from minicnn import functional as F
from minicnn.data import DataLoader, ImageFolder
from minicnn.data import load as load_data
from minicnn.interop import write_file
from minicnn.nn import init
from minicnn.training.callbacks import Callback
from minicnn.training.checkpoint import Checkpoints, checkpoints, load_checkpoint, newest
from minicnn.training.logs import Speedometer, WaitingTime
from minicnn.training.schedules import cosine
from minicnn.training.trainer import Trainer

QUICK_IMAGES, QUICK_EPOCHS = 64, 2


_loaded = lru_cache(maxsize=2)(load_data)  # the halves of one data set, for all runs


class Work:
    """One run of an experiment, while it runs.

    Parameters
    ----------
    folder : Path
        Of this run alone.
    seed : int
        The run begins with `manual_seed(seed)`.
    device : str
    quick : bool
        Whether 64 images and two epochs will do, to see that it works.
    watch : callable, optional
        `watch(share, text, whole)` is told how far the run is, from 0 to 1, and whether the text
        is to stay.
    """

    def __init__(self, folder: Path, seed: int, device="cpu", quick=False, watch=None):
        self.folder, self.seed, self.device, self.quick = Path(folder), seed, device, quick
        self.watch = watch or (lambda share, text, whole=False: None)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._notes = {}  # by file
        init.manual_seed(seed)

    # -- data ---------------------------------------------------------------
    def data(self, name: str, split: str, **settings):
        """`minicnn.data.load`, or a few images of it if the run is quick."""
        return self.few(_loaded(name, split, **settings))

    def few(self, dataset, count: int | None = None):
        """`count` images evenly spaced in a data set; 64 if the run is quick, else all of it."""
        count = min(count or len(dataset), QUICK_IMAGES if self.quick else len(dataset))
        if count == len(dataset):
            return dataset
        return dataset[np.arange(count) * len(dataset) // count]

    def loader(self, dataset, batch_size=64, augment=None, training=True, **settings):
        """A loader; of images to learn from in a new order each epoch, with the run's seed."""
        if training:
            settings = {"shuffle": True, "seed": self.seed, "transform": augment, **settings}
        if augment is not None or isinstance(dataset, ImageFolder):
            settings.setdefault("workers", 1)
        return DataLoader(dataset, batch_size, **settings)

    # -- training -----------------------------------------------------------
    def epochs(self, count: int) -> int:
        """So many epochs, or two if the run is quick."""
        return min(count, QUICK_EPOCHS) if self.quick else count

    def fit(
        self, model, optimizer, train, test, epochs, *, schedule=cosine, loss=F.cross_entropy,
        callbacks=(), name="fit", part=(0, 1), threads=1,
    ):  # fmt: skip
        """Train, or go on where an interrupted training was; returns the trainer.

        Parameters are those of `Trainer` and its `fit`, and

        name : str
            Of the training within the run.
        part : (int, int)
            Which of how many trainings of the run it is, for the estimate of the time left.
        """
        folder = self.folder / name
        told = _Tell(self, part)
        clocks = [Speedometer(), WaitingTime(), CPUTime()] if self.device == "cpu" else []
        kept = Checkpoints(folder, every=200)
        trainer = Trainer(
            model.to(self.device), optimizer, loss, schedule, threads, progress=False,
            callbacks=[*callbacks, *clocks, kept, told],
        )  # fmt: skip
        if checkpoints(folder):
            load_checkpoint(trainer, newest(folder))
        trainer.fit(train, test, self.epochs(epochs))
        return trainer

    # -- memory -------------------------------------------------------------
    def once(self, key: str, compute, shared: bool = False):
        """`compute()`, or what it gave when it was called for this key before: what JSON can hold.

        In a run that was interrupted, what was computed before is not computed again. If `shared`,
        before means in any run of the experiment.
        """
        path = (self.folder.parent if shared else self.folder) / "notes.jsonl"
        if path not in self._notes:
            self._notes[path] = _read_notes(path)
        notes = self._notes[path]
        if key not in notes:
            notes[key] = compute()
            with open(path, "a", encoding="utf-8") as file:
                file.write(json.dumps([key, notes[key]], allow_nan=False) + "\n")
        return notes[key]


def _read_notes(path) -> dict:
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    *lines, cut = text.split("\n")
    if cut:  # by a crash: what is appended must begin a line
        write_file(path, "".join(f"{line}\n" for line in lines).encode())
    return dict(json.loads(line) for line in lines)


class _Tell(Callback):
    """Says how far a training is."""

    last = True

    def __init__(self, work, part):
        self.work, self.part, self.said = work, part, 0.0

    def after_step(self, trainer):
        now = time.perf_counter()
        if now - self.said > 0.5:
            self.said = now
            r = trainer.running
            self._say(
                trainer, f"loss {r.loss:.4f}, accuracy {r.accuracy:.2%}, "
                f"{r.images_per_second:,.0f} images/s", trainer.epoch + 1,
            )  # fmt: skip

    def after_epoch(self, trainer):
        e = trainer.history[-1]
        self._say(
            trainer, f"loss {e['train_loss']:.4f}, accuracy {e['train_accuracy']:.2%}; validation "
            f"{e['val_loss']:.4f}, {e['val_accuracy']:.2%}; {e['seconds']:.1f} s", trainer.epoch,
            whole=True,
        )  # fmt: skip

    def _say(self, trainer, text, epoch, whole=False):
        k, n = self.part
        name = f"{k + 1} of {n}, " if n > 1 else ""
        share = min((k + trainer.progress) / n, 1.0)
        self.work.watch(share, f"{name}epoch {epoch}/{trainer.epochs}: {text}", whole)


class CPUTime(Callback):
    """Notes the seconds of processor time, of all threads, that a training has taken so far."""

    state = ("before",)

    def __init__(self):
        self.before = 0.0

    def before_fit(self, trainer):
        self.start = time.process_time()

    def after_epoch(self, trainer):
        trainer.history[-1]["cpu_seconds"] = self.before + time.process_time() - self.start

    def state_dict(self):
        return {"before": self.before + time.process_time() - self.start}
