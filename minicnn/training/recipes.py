"""What `minicnn train` uses where nothing else is asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace

from minicnn import optim
from minicnn.data.transforms import Compose, RandomCrop, RandomHorizontalFlip, Transform
from minicnn.training import schedules


@dataclass(frozen=True)
class Recipe:
    """Settings of a training run: SGD, the lr falling to 0 along half a cosine.

    The names of optimisers and schedules are those of `OPTIMIZERS` and `SCHEDULES`.
    """

    epochs: int
    batch_size: int
    lr: float
    momentum: float = 0.9
    weight_decay: float = 5e-4
    optimizer: str = "sgd"
    schedule: str = "cosine"


RECIPES = {  # by data set
    "digits": Recipe(epochs=20, batch_size=64, lr=0.05, weight_decay=5e-3),
    "mnist": Recipe(epochs=10, batch_size=32, lr=0.03, weight_decay=1e-3),
    "fashion-mnist": Recipe(epochs=10, batch_size=32, lr=0.03, weight_decay=1e-3),
    # He, Zhang, Ren, Sun, 2015, section 4.2, but for the epochs (164) and the steps of the lr.
    "cifar10": Recipe(epochs=30, batch_size=128, lr=0.1, weight_decay=1e-4),
    "cifar100": Recipe(epochs=30, batch_size=128, lr=0.1, weight_decay=1e-4),
}

LR_OF_MODEL = {
    # Scores that are squared distances have slopes several times as steep as a dense layer's.
    "lenet5_1998": 0.005,
    # Without batch normalization the lr of ResNets is too high: the scores stay where they are.
    "lenet on cifar10": 0.02,
    "lenet on cifar100": 0.02,
}
LR_OF_ADAM = 0.001  # its steps are about as large as the lr, whatever the gradients

OPTIMIZERS = {"sgd": optim.SGD, "adam": optim.Adam, "adamw": optim.AdamW}
SCHEDULES = {
    "constant": schedules.constant,
    "cosine": schedules.cosine,
    "warm-up": schedules.warm_up(schedules.cosine),
    "one-cycle": schedules.one_cycle(),
    "steps": schedules.steps(),
    "plateau": schedules.constant,  # and callbacks.ReduceLROnPlateau
}


def recipe(model: str, data: str, optimizer: str = "sgd") -> Recipe:
    """The recipe of a data set, with the lr that suits the model and the optimiser."""
    chosen = RECIPES[data]
    lr = LR_OF_ADAM
    if optimizer == "sgd":
        lr = LR_OF_MODEL.get(f"{model} on {data}", LR_OF_MODEL.get(model, chosen.lr))
    return replace(chosen, lr=lr, optimizer=optimizer)


@dataclass(frozen=True)
class Preparation:
    """What happens to a data set's images before a net sees them.

    Attributes
    ----------
    size : int, optional
        In pixels, where `load` has a choice.
    augment : Transform, optional
        Of the training images alone.
    mean, std : floats, optional
        Of the training images, channel by channel; for all images.
    """

    size: int | None = None
    augment: Transform | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def loader(self, training: bool) -> dict:
        """The settings of a DataLoader."""
        chosen = {"mean": self.mean, "std": self.std}
        if training and self.augment is not None:
            chosen |= {"transform": self.augment, "workers": 1}
        return chosen


SHIFT_AND_MIRROR = Compose([RandomCrop(32, padding=4), RandomHorizontalFlip()])
PREPARATIONS = {  # by data set; the others' images are as they are
    "digits": Preparation(size=28),
    "cifar10": Preparation(
        augment=SHIFT_AND_MIRROR, mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616)
    ),
    "cifar100": Preparation(
        augment=SHIFT_AND_MIRROR, mean=(0.5071, 0.4865, 0.4409), std=(0.2673, 0.2564, 0.2762)
    ),
}


def preparation(data: str) -> Preparation:
    """How the images of a data set are prepared."""
    return PREPARATIONS.get(data, Preparation())
