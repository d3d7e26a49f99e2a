"""Degradation: a deeper plain net trains worse, a deeper residual net does not."""

from __future__ import annotations

from minicnn import models, optim
from minicnn.training import schedules
from minicnn.training.experiments.drawing import draw_curves
from minicnn.training.experiments.experiment import Claim, Column, Experiment
from minicnn.training.experiments.recipes import measures
from minicnn.training.recipes import preparation

EPOCHS = 10
NETS = {
    "plain-20": "cifar_plain20",
    "plain-56": "cifar_plain56",
    "residual-20": "cifar_resnet20",
    "residual-56": "cifar_resnet56",
}


def variant(name):
    """A net as a run."""

    def run(work):
        prepared = preparation("cifar10")
        normal = {"mean": prepared.mean, "std": prepared.std}
        train, test = work.data("cifar10", "train"), work.data("cifar10", "test")
        model = models.build(name)
        trainer = work.fit(
            model, optim.SGD(model.parameters(), 0.05, momentum=0.9, weight_decay=1e-4),
            work.loader(train, 64, prepared.augment, **normal),
            work.loader(test, 500, training=False, **normal), EPOCHS,
            schedule=schedules.warm_up(schedules.cosine, share=1 / EPOCHS),
        )  # fmt: skip
        return measures(trainer)

    return run


def claims(results):
    loss = {v: float(results.mean(v, "train_loss")) for v in NETS}
    new = {v: float(results.mean(v, "accuracy")) for v in NETS}
    return [
        Claim(f"the deeper plain net trains worse: training loss {loss['plain-56']:.3f}, "
              f"of 20 layers {loss['plain-20']:.3f}", loss["plain-56"] > loss["plain-20"]),
        Claim(f"the deeper residual net does not: {loss['residual-56']:.3f}, "
              f"of 20 layers {loss['residual-20']:.3f}",
              loss["residual-56"] <= loss["residual-20"]),
        Claim(f"nor on new images: {new['residual-56']:.1%}, of 20 layers "
              f"{new['residual-20']:.1%}", new["residual-56"] >= new["residual-20"]),
    ]  # fmt: skip


EXPERIMENTS = [
    Experiment(
        "degradation",
        "Degradation: plain and residual nets of 20 and 56 layers on CIFAR-10",
        "Does a net get worse when it gets deeper, and do shortcuts help?",
        f"{EPOCHS} epochs (the paper: 164) of all 50,000 training images, padded by 4, cropped and "
        "mirrored at random; SGD with momentum 0.9, batch 64, lr up to 0.05 in the first epoch and "
        "down to 0 along a cosine, weight decay 1e-4: the same for all four nets.",
        {name: variant(net) for name, net in NETS.items()}, (0,), claims,
        (
            Column("training loss", "train_loss", "{:.3f}"),
            Column("training accuracy", "train_accuracy"),
            Column("test accuracy", "accuracy"),
            Column("s / epoch", "epoch_seconds", "{:.0f}"),
        ),
        draw_curves(("train_loss", "training loss"), ("val_accuracy", "accuracy, test images")),
        {"plain-20": 0.9, "plain-56": 2.5, "residual-56": 2.8},
    ),
]  # fmt: skip
