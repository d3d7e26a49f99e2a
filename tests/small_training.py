"""A small training with everything in it that has a state; without pytest, for child processes."""

from __future__ import annotations

import numpy as np

from minicnn import manual_seed, nn, optim
from minicnn.data import DataLoader, load
from minicnn.training import Trainer, schedules
from minicnn.training.callbacks import (
    EMA,
    ClipGradients,
    EarlyStopping,
    ReduceLROnPlateau,
    Vary,
)

OPTIMIZERS = {
    "sgd": lambda groups: optim.SGD(groups, lr=0.05, momentum=0.9, nesterov=True),
    "plain": lambda groups: optim.SGD(groups, lr=0.05),
    "adam": lambda groups: optim.Adam(groups, lr=2e-3, amsgrad=True),
    "adamw": lambda groups: optim.AdamW(groups, lr=2e-3),
}


def small_net():
    """All that has a state: 4-D weights, batch norm's running statistics, dropout's masks."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Dropout2d(0.2), nn.Flatten(), nn.Dropout(0.3), nn.Linear(64, 10),
    )  # fmt: skip


def training(optimizer="sgd", callbacks=(), images=96, seed=0, schedule=schedules.cosine):
    """(trainer, loader to learn from, loader to validate with)."""
    manual_seed(seed)
    model = small_net()
    rules = (optim.is_vector, {"weight_decay": 0.0}), ("7", {"lr": 0.01, "weight_decay": 1e-3})
    made = OPTIMIZERS[optimizer](optim.named_groups(model, *rules))
    trainer = Trainer(model, made, schedule=schedule, progress=False, callbacks=callbacks)
    noise = lambda x, rng: x + 0.05 * rng.standard_normal(x.shape)  # noqa: E731
    train = DataLoader(load("digits")[:images], 16, shuffle=True, seed=seed, transform=noise)
    return trainer, train, DataLoader(load("digits", "test")[:40], 20)


def outcome(trainer):
    """All that a training leaves, but for the clock's readings."""
    clock = ("seconds", "images_per_second")
    history = [{k: v for k, v in e.items() if k not in clock} for e in trainer.history]
    memories = [v for s in trainer.optimizer.state_dict()["state"] for v in s.values()]
    arrays = [*trainer.model.state_dict().values(), *memories]
    return history, [np.asarray(a).tobytes() for a in arrays]


def everything():
    """Callbacks with a state, and some without."""
    return [
        EMA(0.9), ReduceLROnPlateau(patience=1, min_delta=0.05), EarlyStopping(3, min_delta=0.02),
        ClipGradients(1.0), Vary("weight_decay", lambda progress: 1e-3 * progress),
    ]  # fmt: skip
