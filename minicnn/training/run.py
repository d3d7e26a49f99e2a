"""One training run from its settings to its files: what `minicnn train` does."""

from __future__ import annotations

import json
import os
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

import minicnn
from minicnn import interop, models, optim
from minicnn.backends import use_backend
from minicnn.data import DataLoader, load
from minicnn.nn import init
from minicnn.training.schedules import cosine
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


class Run:
    """A model, its data and its trainer, made from settings; files go to the folder `out`.

    Making one reads the data and creates `out`, so that what cannot work fails before training.

    Raises
    ------
    ValueError
        If a name is unknown, or a setting is out of range.
    DataError
        If the data set is broken, or not there and cannot be downloaded.
    OSError
        If `out` cannot be made, or not written to.
    """

    def __init__(self, settings: Settings, out, progress: bool = True):
        self.settings = settings
        self.out = Path(out)
        init.manual_seed(settings.seed)
        self.model = models.build(settings.model)
        images, seed = {"size": self.model.image_size}, settings.seed
        train, test = (load(settings.data, half, **images) for half in ("train", "test"))
        self.train_loader = DataLoader(train, settings.batch_size, shuffle=True, seed=seed)
        self.test_loader = DataLoader(test, batch_size=500)
        self.model.to(settings.device)
        optimizer = optim.SGD(
            self.model.parameters(), settings.lr, settings.momentum, settings.weight_decay
        )
        self.trainer = Trainer(
            self.model, optimizer, schedule=cosine, threads=settings.threads, progress=progress
        )
        self.seconds = 0.0
        self.interrupted = False
        _make_folder(self.out)

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
        self.seconds = time.perf_counter() - start

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


def _make_folder(out):
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise type(error)(
            f"{out} cannot be made a folder ({error.strerror}); choose another place with out"
        ) from error
    if not os.access(out, os.W_OK):
        raise PermissionError(f"{out} is a folder that must not be written to; choose another")
