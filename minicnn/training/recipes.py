"""What `minicnn train` uses where nothing else is asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Recipe:
    """Settings of a training run: SGD, the lr falling to 0 along half a cosine."""

    epochs: int
    batch_size: int
    lr: float
    momentum: float = 0.9
    weight_decay: float = 5e-4


RECIPES = {  # by data set
    "digits": Recipe(epochs=20, batch_size=64, lr=0.05, weight_decay=5e-3),
    "mnist": Recipe(epochs=10, batch_size=32, lr=0.03, weight_decay=1e-3),
    "fashion-mnist": Recipe(epochs=10, batch_size=32, lr=0.03, weight_decay=1e-3),
}

# Scores that are squared distances have slopes several times as steep as a dense layer's.
LR_OF_MODEL = {"lenet5_1998": 0.005}


def recipe(model: str, data: str) -> Recipe:
    """The recipe of a data set, with the lr that suits the model."""
    chosen = RECIPES[data]
    return replace(chosen, lr=LR_OF_MODEL.get(model, chosen.lr))
