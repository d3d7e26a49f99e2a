"""Recipes with a target: a net, a data set, and the accuracy that the training must reach."""

from __future__ import annotations

from statistics import median

from minicnn import models, optim
from minicnn.data.transforms import Compose, RandomCrop, RandomHorizontalFlip
from minicnn.models.resnet_cifar import CifarResNet
from minicnn.training import schedules
from minicnn.training.experiments.drawing import draw_curves
from minicnn.training.experiments.experiment import Claim, Column, Experiment
from minicnn.training.recipes import preparation

COLUMNS = (
    Column("accuracy", "accuracy"),
    Column("training loss", "train_loss", "{:.4f}"),
    Column("s / epoch", "epoch_seconds", "{:.0f}"),
    Column("waiting for data", "waiting", "{:.1%}"),
)
DRAW = draw_curves(("train_loss", "training loss"), ("val_accuracy", "accuracy on the test images"))


def measures(trainer) -> dict:
    """What all trainings are asked for; the last epoch's, nothing is chosen by the test images."""
    history = trainer.history
    last = history[-1]
    return {
        "accuracy": last["val_accuracy"],
        "train_loss": last["train_loss"],
        "train_accuracy": last["train_accuracy"],
        "epochs": len(history),
        "epoch_seconds": median(entry["seconds"] for entry in history),  # pauses do not count
        "images_per_second": max(entry["images_per_second"] for entry in history),
        "parameters": trainer.model.num_parameters(),
        **({"waiting": last["waiting"]} if "waiting" in last else {}),
        "history": history,
    }


def reaches(target: float):
    """The claim that the mean accuracy of every variant is at least this."""

    def claims(results):
        found = []
        for variant in dict.fromkeys(run["variant"] for run in results.runs):
            mean = results.mean(variant, "accuracy")
            text = f"{variant} reaches {mean:.2%} of the test images, at least {target:.2%}"
            found.append(Claim(text, bool(mean >= target)))
        return found

    return claims


# ---------------------------------------------------------------------------
# LeNet on MNIST
# ---------------------------------------------------------------------------
def lenet_on_mnist(work) -> dict:
    """LeNet-5 of 61,706 parameters; images are shifted by up to two pixels."""
    train, test = work.data("mnist", "train"), work.data("mnist", "test")
    model = models.build("lenet")
    weights = optim.named_groups(model, (optim.is_vector, {"weight_decay": 0.0}))
    trainer = work.fit(
        model, optim.SGD(weights, lr=0.05, momentum=0.9, weight_decay=5e-4),
        work.loader(train, 64, RandomCrop(28, padding=2), mean=0.1307, std=0.3081),
        work.loader(test, 500, training=False, mean=0.1307, std=0.3081),
        epochs=20, schedule=schedules.warm_up(schedules.cosine),
    )  # fmt: skip
    return measures(trainer)


# ---------------------------------------------------------------------------
# A small residual net on Fashion-MNIST
# ---------------------------------------------------------------------------
def resnet_on_fashion(work) -> dict:
    """A residual net of 14 layers; images are shifted by up to two pixels and mirrored."""
    train, test = work.data("fashion-mnist", "train"), work.data("fashion-mnist", "test")
    model = CifarResNet(14, in_channels=1)
    augment = Compose([RandomCrop(28, padding=2), RandomHorizontalFlip()])
    trainer = work.fit(
        model, optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=5e-4),
        work.loader(train, 128, augment, mean=0.2860, std=0.3530),
        work.loader(test, 500, training=False, mean=0.2860, std=0.3530),
        epochs=10, schedule=schedules.one_cycle(),
    )  # fmt: skip
    return measures(trainer)


# ---------------------------------------------------------------------------
# ResNet-20 on CIFAR-10
# ---------------------------------------------------------------------------
def resnet_on_cifar(work) -> dict:
    """He, Zhang, Ren, Sun, 2015, section 4.2: 164 epochs, a tenth of the lr after 82 and 123."""
    train, test = work.data("cifar10", "train"), work.data("cifar10", "test")
    prepared = preparation("cifar10")
    model = models.build("cifar_resnet20")
    trainer = work.fit(
        model, optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=1e-4),
        work.loader(train, 128, prepared.augment, mean=prepared.mean, std=prepared.std),
        work.loader(test, 500, training=False, mean=prepared.mean, std=prepared.std),
        epochs=164, schedule=schedules.steps(),
    )  # fmt: skip
    return measures(trainer)


EXPERIMENTS = [
    Experiment(
        "mnist-lenet",
        "LeNet on MNIST",
        "Does LeNet-5 (1998; here with ReLU and max pooling) read 99.2% of the MNIST test digits?",
        "20 epochs of all 60,000 training images, shifted by up to two pixels at random; SGD with "
        "momentum 0.9, batch 64, lr 0.05 along a cosine after a warm-up, weight decay 5e-4 but "
        "not on biases. The test images decide nothing: the last epoch counts.",
        {"LeNet": lenet_on_mnist}, (0, 1), reaches(0.992), COLUMNS, DRAW,
    ),
    Experiment(
        "fashion-resnet",
        "A small residual net on Fashion-MNIST",
        "Does a residual net of 14 layers and 175,000 parameters reach 92.5% on Fashion-MNIST?",
        "10 epochs of all 60,000 training images, shifted by up to two pixels and mirrored at "
        "random; SGD with momentum 0.9, batch 128, one cycle of the lr up to 0.1, weight decay "
        "5e-4. The test images decide nothing: the last epoch counts.",
        {"ResNet-14": resnet_on_fashion}, (0,), reaches(0.925), COLUMNS, DRAW,
    ),
    Experiment(
        "cifar-resnet20",
        "ResNet-20 on CIFAR-10, at full length (for a GPU)",
        "Does ResNet-20, trained from scratch as published, reach the published 91.25%?",
        "164 epochs of all 50,000 training images, padded by 4, cropped and mirrored at random; "
        "SGD with momentum 0.9, batch 128, lr 0.1, a tenth after half and again after three "
        "quarters of the epochs, weight decay 1e-4. The last epoch counts.",
        {"ResNet-20": resnet_on_cifar}, (0,), reaches(0.9125), COLUMNS, DRAW,
    ),
]  # fmt: skip
