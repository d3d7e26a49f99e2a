"""LeNet against dense layers, and ReLU against tanh: why nets have the parts they have."""

from __future__ import annotations

from functools import partial

from minicnn import nn, optim
from minicnn.nn import init
from minicnn.training.callbacks import Callback
from minicnn.training.experiments.drawing import COLORS, draw_curves, finish
from minicnn.training.experiments.experiment import Claim, Column, Experiment
from minicnn.training.experiments.recipes import measures
from minicnn.training.recipes import preparation
from minicnn.training.schedules import constant


# ---------------------------------------------------------------------------
# Convolutions against dense layers
# ---------------------------------------------------------------------------
def dense_net(*sizes):
    """Dense layers of these sizes with ReLU between them, for images of 28x28 and ten classes."""
    layers = [nn.Flatten()]
    for before, after in zip((784, *sizes), (*sizes, 10)):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def small_lenet(first, second, hidden):
    """LeNet's plan with fewer maps and one hidden dense layer."""
    return nn.Sequential(
        nn.Conv2d(1, first, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(first, second, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(25 * second, hidden), nn.ReLU(), nn.Linear(hidden, 10),
    )  # fmt: skip


DENSE = {f"dense {'-'.join(map(str, s))}": s for s in ((32,), (128,), (512,))}
CONVOLUTIONS = {f"conv {a}-{b}, dense {h}": (a, b, h) for a, b, h in ((3, 6, 16), (4, 8, 32),
                                                                      (6, 16, 120))}  # fmt: skip
MNIST_IMAGES, MNIST_EPOCHS = 6_000, 8


def on_mnist(build, sizes):
    """A variant: a net on every tenth training image."""

    def run(work):
        train = work.few(work.data("mnist", "train"), MNIST_IMAGES)
        normal = {"mean": 0.1307, "std": 0.3081}
        model = build(*sizes)
        trainer = work.fit(
            model, optim.SGD(model.parameters(), 0.02, momentum=0.9, weight_decay=5e-4),
            work.loader(train, 64, **normal),
            work.loader(work.data("mnist", "test"), 500, training=False, **normal), MNIST_EPOCHS,
        )  # fmt: skip
        return measures(trainer)

    return run


def equal_claims(results):
    """The smallest convolutional net that is as good as the best dense one, beside it."""

    def accuracy(variant):
        return float(results.mean(variant, "accuracy"))

    best = max(DENSE, key=accuracy)
    as_good = [v for v in CONVOLUTIONS if accuracy(v) >= accuracy(best)]
    if not as_good:
        return [Claim(f"no convolutional net is as good as {best}", False)]
    small = min(as_good, key=lambda v: results.mean(v, "parameters"))
    less, more = (int(results.mean(v, "parameters")) for v in (small, best))
    return [
        Claim(f"{small} reads {accuracy(small):.2%} with {less:,} parameters, the best dense net "
              f"({best}) {accuracy(best):.2%} with {more:,}: {more / less:.0f} times as many",
              more > 10 * less),
    ]  # fmt: skip


def draw_equal(results, figure):
    ax = figure.subplots()
    for group, color, name in ((DENSE, COLORS[1], "dense layers"),
                               (CONVOLUTIONS, COLORS[0], "with convolutions")):  # fmt: skip
        points = [(float(results.mean(v, "parameters")), float(results.mean(v, "accuracy")))
                  for v in group]  # fmt: skip
        ax.semilogx(*zip(*points), "o-", color=color, label=name)
    ax.legend(frameon=False, fontsize=8)
    finish(ax, "accuracy on the test images", "parameters")


# ---------------------------------------------------------------------------
# ReLU against tanh
# ---------------------------------------------------------------------------
TARGET, MOST_EPOCHS, CIFAR_IMAGES = 1.4, 12, 2_000
RATES = (0.01, 0.02)
ACTIVATIONS = {"ReLU": (nn.ReLU, init.he_normal_), "tanh": (nn.Tanh, init.xavier_normal_)}


class Until(Callback):
    """Stops after the epoch in which the mean training loss falls below a target."""

    def __init__(self, target: float):
        self.target = target

    def after_epoch(self, trainer):
        trainer.stop = trainer.history[-1]["train_loss"] < self.target


def four_layers(activation, initializer):
    """[conv16 pool] [conv32 pool] [conv32 pool] FC10, 3x3, for images of 32x32 in colour."""
    layers = []
    for before, after in ((3, 16), (16, 32), (32, 32)):
        conv = nn.Conv2d(before, after, 3, padding=1, initializer=initializer)
        layers += [conv, activation(), nn.MaxPool2d(2)]
    small = partial(init.normal_, std=0.01)  # all classes alike to begin with
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, 10, initializer=small))


def race(activation, initializer):
    """A variant: the fewest epochs to the target, of all learning rates."""

    def run(work):
        prepared = preparation("cifar10")
        normal = {"mean": prepared.mean, "std": prepared.std}
        train = work.few(work.data("cifar10", "train"), CIFAR_IMAGES)
        test = work.loader(work.data("cifar10", "test")[:500], 500, training=False, **normal)
        found = {}
        for k, lr in enumerate(RATES):
            init.manual_seed(work.seed)
            model = four_layers(activation, initializer)
            trainer = work.fit(
                model, optim.SGD(model.parameters(), lr, momentum=0.9),
                work.loader(train, 64, **normal), test, MOST_EPOCHS, schedule=constant,
                callbacks=[Until(TARGET)], name=f"lr-{lr}", part=(k, len(RATES)),
            )  # fmt: skip
            found[lr] = measures(trainer)
        lr = min(RATES, key=lambda rate: (found[rate]["epochs"], found[rate]["train_loss"]))
        tried = {str(rate): found[rate]["epochs"] for rate in RATES}
        return found[lr] | {"lr": lr, "tried": tried}

    return run


def race_claims(results):
    relu, tanh = (float(results.mean(v, "epochs")) for v in ACTIVATIONS)
    reached = all(results.mean(v, "train_loss") < TARGET for v in ACTIVATIONS)
    return [
        Claim(f"both come to a training loss of {TARGET}: ReLU in {relu:.0f} epochs, tanh in "
              f"{tanh:.0f}", bool(reached)),
        Claim("ReLU is there sooner", bool(reached and relu < tanh)),
        Claim(f"six times as soon, as in the paper: {tanh / relu:.1f} times",
              bool(reached and tanh >= 6 * relu)),
    ]  # fmt: skip


EXPERIMENTS = [
    Experiment(
        "lenet-mlp",
        "Convolutions against dense layers on MNIST",
        "How many parameters does a net of dense layers need to read digits as well as one with "
        "convolutions?",
        f"Every tenth of the 60,000 training images ({MNIST_IMAGES:,}), {MNIST_EPOCHS} epochs, SGD "
        "with momentum 0.9, batch 64, lr 0.02 along a cosine, weight decay 5e-4; no augmentation. "
        "Convolutions 5x5, a max pooling behind each. All 10,000 test images; they decide nothing: "
        "the last epoch counts.",
        {**{name: on_mnist(dense_net, s) for name, s in DENSE.items()},
         **{name: on_mnist(small_lenet, s) for name, s in CONVOLUTIONS.items()}},
        (0, 1), equal_claims,
        (Column("parameters", "parameters", "{:,.0f}"), Column("test images", "accuracy"),
         Column("training images", "train_accuracy")),
        draw_equal, size=(6, 3.6),
    ),
    Experiment(
        "relu-tanh",
        "ReLU against tanh",
        "After how many epochs does a net of four layers come to a training loss of "
        f"{TARGET}, with ReLU and with tanh?",
        f"Every 25th of CIFAR-10's 50,000 training images ({CIFAR_IMAGES:,}), batch 64, SGD "
        "with momentum 0.9, constant lr, no weight decay. Net: three convolutions 3x3 of 16, 32, "
        "32 maps with a max pooling behind each, FC10; He's initialisation for ReLU, Glorot's for "
        f"tanh. Each has the better of the rates {' and '.join(map(str, RATES))}. The paper's "
        "figure 1: four layers, to 25% training error, each with a rate of its own, ReLU six times "
        "as fast.",
        {name: race(*parts) for name, parts in ACTIVATIONS.items()}, (0,), race_claims,
        (Column("epochs", "epochs", "{:.0f}"), Column("lr", "lr", "{:g}"),
         Column("training loss", "train_loss", "{:.3f}")),
        draw_curves(("train_loss", "training loss")), size=(6, 3.6),
    ),
]  # fmt: skip
