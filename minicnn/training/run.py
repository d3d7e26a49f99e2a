"""One training run from its settings to its files: what `minicnn train` does."""

from __future__ import annotations

import json
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

import minicnn
from minicnn import interop
from minicnn.backends import use_backend
from minicnn.data import DataLoader, load
from minicnn.nn import init
from minicnn.training.callbacks import ReduceLROnPlateau
from minicnn.training.checkpoint import (
    Checkpoints,
    checkpoints,
    load_checkpoint,
    make_folder,
    newest,
    progress_of,
    read_extra,
)
from minicnn.training.fitting import build_for
from minicnn.training.logs import HistoryFile
from minicnn.training.recipes import OPTIMIZERS, SCHEDULES, preparation
from minicnn.training.trainer import Trainer


@dataclass(frozen=True)
class Settings:
    """All that a run depends on, beside the machine."""

    model: str
    data: str
    epochs: int
    batch_size: int
    lr: float
    momentum: float
    weight_decay: float
    seed: int
    device: str
    backend: str
    threads: int = 1
    optimizer: str = "sgd"
    schedule: str = "cosine"


class Run:
    """A model, its data and its trainer, made from settings; files go to the folder `out`.

    Making one reads the data and creates `out`, so that what cannot work fails before training.

    Parameters
    ----------
    settings : Settings
    out : str or Path
        After each epoch a line goes to `history.jsonl` there, and a checkpoint is written.
    progress : bool
        See `Trainer`.
    keep : int
        How many checkpoints are kept.
    resume : bool
        Go on from the newest checkpoint in `out`; the settings must be those of `saved_settings`.

    Raises
    ------
    ValueError
        If a name is unknown, or a setting is out of range.
    MisfitError
        If the model cannot take the images of the data set.
    DataError
        If the data set is broken, or not there and cannot be downloaded.
    OSError
        If `out` cannot be made, or not written to.
    """

    def __init__(self, settings: Settings, out, progress=True, keep=1, resume=False):
        self.settings = settings
        self.out = Path(out)
        init.manual_seed(settings.seed)
        prepared = preparation(settings.data)
        train, test = (load(settings.data, half, size=prepared.size) for half in ("train", "test"))
        self.model = build_for(settings.model, train.images.shape[1:], len(train.classes))
        self.train_loader = DataLoader(
            train,
            settings.batch_size,
            shuffle=True,
            seed=settings.seed,
            **prepared.loader(training=True),
        )
        self.test_loader = DataLoader(test, batch_size=500, **prepared.loader(training=False))
        self.model.to(settings.device)
        self.trainer = Trainer(
            self.model, self._optimizer(), schedule=SCHEDULES[settings.schedule],
            threads=settings.threads, progress=progress, callbacks=self._callbacks(keep),
        )  # fmt: skip
        self.seconds = 0.0
        self.interrupted = False
        make_folder(self.out)
        if resume:
            load_checkpoint(self.trainer, newest(self.out))
            self.seconds = sum(entry["seconds"] for entry in self.history)

    def _optimizer(self):
        s = self.settings
        momentum = {"momentum": s.momentum} if s.optimizer == "sgd" else {}
        make = OPTIMIZERS[s.optimizer]
        return make(self.model.parameters(), s.lr, weight_decay=s.weight_decay, **momentum)

    def _callbacks(self, keep) -> list:
        plateau = [ReduceLROnPlateau()] if self.settings.schedule == "plateau" else []
        extra = {"settings": asdict(self.settings)}
        kept = Checkpoints(self.out, keep, extra=extra, replace=True)
        return [*plateau, kept, HistoryFile(self.out / "history.jsonl")]

    @property
    def replaces(self) -> tuple[int, int] | None:
        """(epochs done, epochs in all) of an unfinished run in `out` that this one replaces."""
        found = [] if self.trainer.resumed else checkpoints(self.out)
        if found:
            done, epochs = progress_of(found[-1])
            return (done, epochs) if done < epochs else None
        return None

    @property
    def history(self) -> list[dict]:
        """The trainer's history."""
        return self.trainer.history

    def train(self) -> None:
        """Train. Ctrl-C stops early; what the finished epochs have brought can still be saved."""
        start = time.perf_counter()
        try:
            with use_backend(self.settings.backend):
                self.trainer.fit(self.train_loader, self.test_loader, self.settings.epochs)
        except KeyboardInterrupt:
            self.interrupted = True
        self.seconds += time.perf_counter() - start

    def save(self) -> tuple[Path, Path]:
        """Write `weights.safetensors` and `history.json`; returns their paths."""
        weights, history = self.out / "weights.safetensors", self.out / "history.json"
        metadata = {name: str(value) for name, value in asdict(self.settings).items()}
        interop.save(self.model, weights, metadata | {"minicnn": minicnn.__version__})
        record = {
            "settings": asdict(self.settings),
            "parameters": self.model.num_parameters(),
            "minicnn": minicnn.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
            "seconds": self.seconds,
            "interrupted": self.interrupted,
            "epochs": self.history,
        }
        text = json.dumps(record, indent=2, allow_nan=False)
        interop.write_file(history, f"{text}\n".encode())
        return weights, history


def saved_settings(out) -> Settings:
    """The settings of the run in a folder, from its newest checkpoint.

    Raises
    ------
    FileNotFoundError, WeightsError
        If the folder holds no checkpoint of a run.
    """
    path = newest(out)
    settings = read_extra(path).get("settings")
    if settings is None:
        raise interop.WeightsError(f"{path} was not written by a run; go on with load_checkpoint")
    return Settings(**settings)
