"""Few images: a net that has learnt other digits against one that starts fresh.

LeNet learns the digits 0 to 4, and then 5 to 9 from few images or many. Yosinski, Clune, Bengio,
Lipson, "How transferable are features in deep neural networks?", 2014; that a fresh net comes level
if it may learn longer and has images enough: He, Girshick, Dollár, "Rethinking ImageNet
pre-training", 2019.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from minicnn import models, optim
from minicnn.data import Dataset
from minicnn.nn import init
from minicnn.training.experiments.drawing import colors, finish
from minicnn.training.experiments.experiment import Claim, Column, Experiment
from minicnn.training.schedules import cosine
from minicnn.training.trainer import Trainer
from minicnn.training.transfer import freeze, replace_head

COUNTS = (1, 5, 20, 100, 500, 5000)  # images of each new digit
STEPS, LONGER, BATCH = 300, 3, 32
NORMAL = {"mean": 0.1307, "std": 0.3081}
FROZEN, LEARNS = "pretrained, frozen", "pretrained, learns on"
SCRATCH, LONG = "from scratch", "from scratch, three times as long"


def five_digits(data, first) -> Dataset:
    """Those of five digits from `first` on, called 0 to 4."""
    some = data[(data.labels >= first) & (data.labels < first + 5)]
    names = tuple(str(digit) for digit in range(first, first + 5))
    return Dataset(some.images, some.labels - first, names, data.name, data.split)


def first_of_each(data, count) -> Dataset:
    """The first `count` images of each digit, or all there are."""
    places = [np.flatnonzero(data.labels == label)[:count] for label in range(5)]
    return data[np.concatenate(places)]


def pretrained(work):
    """LeNet after one epoch of the digits 0 to 4, with a new last layer."""
    learn, test = (five_digits(work.data("mnist", split), 0) for split in ("train", "test"))
    model = models.build("lenet", num_classes=5)
    trainer = work.fit(
        model, optim.SGD(model.parameters(), 0.03, momentum=0.9, weight_decay=1e-3),
        work.loader(learn, BATCH, **NORMAL), work.loader(test, 500, training=False, **NORMAL),
        1, name="pretraining", part=(0, 2),
    )  # fmt: skip
    init.manual_seed(work.seed)  # also where an interrupted run goes on
    replace_head(trainer.model, 5)
    return trainer.model


def learnt(work, model, data, test, steps, lr) -> float:
    """Accuracy after so many steps, each of 32 images; all images take part equally often."""
    rng = np.random.default_rng(work.seed)
    walks = -(-steps * BATCH // len(data))
    order = np.concatenate([rng.permutation(len(data)) for _ in range(walks)])[: steps * BATCH]
    loader = work.loader(data[order], BATCH, training=False, **NORMAL)
    groups = optim.named_groups(model, ("fc3", {"lr": 0.03}))
    optimizer = optim.SGD(groups, lr, momentum=0.9, weight_decay=1e-3)
    trainer = Trainer(model, optimizer, schedule=cosine, progress=False)
    return trainer.fit(loader, test, 1)[-1]["val_accuracy"]


def variant(known: bool, frozen: bool = False, longer: int = 1):
    """A run: the digits 5 to 9, from more and more images, each time from the same start."""

    def run(work):
        train, test = (five_digits(work.data("mnist", split), 5) for split in ("train", "test"))
        model = pretrained(work) if known else models.build("lenet", num_classes=5)
        start = {name: value.copy() for name, value in model.state_dict().items()}
        if frozen:
            freeze(model, until="fc3")
        steps = 2 if work.quick else longer * STEPS
        testing = work.loader(test, 500, training=False, **NORMAL)
        accuracies = []

        def accuracy(count):
            model.load_state_dict(start)
            few = first_of_each(train, count)
            return learnt(work, model, few, testing, steps, 0.01 if known else 0.03)

        for k, count in enumerate(COUNTS, 1):
            found = work.once(str(count), partial(accuracy, count))
            accuracies.append(found)
            text = f"{count} images of each: accuracy {found:.2%}"
            share = k / len(COUNTS)
            work.watch((1 + share) / 2 if known else share, text, whole=True)
        named = {f"with {count}": value for count, value in zip(COUNTS, accuracies)}
        return {"counts": COUNTS, "accuracies": accuracies, "steps": steps} | named

    return run


VARIANTS = {
    FROZEN: variant(True, frozen=True),
    LEARNS: variant(True),
    SCRATCH: variant(False),
    LONG: variant(False, longer=LONGER),
}


def claims(results):
    mean = {v: dict(zip(COUNTS, results.mean(v, "accuracies"))) for v in VARIANTS}
    few = [n for n in COUNTS if 5 * n < 10_000]
    most = COUNTS[-1]
    level = [n for n in COUNTS if mean[LONG][n] >= mean[LEARNS][n] - 0.005]
    where = ", ".join(f"{n:,}" for n in level) if level else "none of these numbers"
    return [
        Claim(f"with 5 images of each pretraining helps much: {mean[LEARNS][5]:.1%}, from scratch "
              f"{mean[SCRATCH][5]:.1%}", bool(mean[LEARNS][5] - mean[SCRATCH][5] >= 0.05)),
        Claim("with fewer than 10,000 images in all, pretrained is better each time",
              all(mean[LEARNS][n] > mean[SCRATCH][n] for n in few)),
        Claim(f"the gap closes: with {most:,} of each it is "
              f"{100 * (mean[LEARNS][most] - mean[SCRATCH][most]):.1f} points",
              bool(mean[LEARNS][most] - mean[SCRATCH][most] < 0.01)),
        Claim(f"a net from scratch that may learn {LONGER} times as long comes level, within half "
              f"a point, only with many images: {where} of each",
              most in level and 5 not in level),
        Claim("more images beat pretraining: from scratch with 500 of each "
              f"{mean[SCRATCH][500]:.1%}, pretrained with 100 {mean[LEARNS][100]:.1%}",
              bool(mean[SCRATCH][500] > mean[LEARNS][100])),
    ]  # fmt: skip


def draw(results, figure):
    ax = figure.subplots()
    for name, color in colors(results).items():
        line = "--" if name == LONG else "-"
        counts, values = (results.mean(name, m) for m in ("counts", "accuracies"))
        ax.plot(counts, values, "o" + line, color=color, markersize=4, label=name)
    ax.set_xscale("log")
    ax.set_xticks(COUNTS, [f"{n:,}" for n in COUNTS])
    ax.minorticks_off()
    ax.legend(frameon=False, fontsize=8, loc="lower right")
    finish(ax, "accuracy on the test images of 5 to 9", "images of each digit to learn from")


EXPERIMENTS = [
    Experiment(
        "few-images",
        "Few images: pretrained against from scratch",
        "A net knows the digits 0 to 4. With how many images of 5 to 9 does that help, and can a "
        "net that starts fresh make up for it with more images, or with more time?",
        "LeNet on MNIST. Pretrained: one epoch of the 30,596 training images of 0 to 4, then a new "
        f"last layer. All learn the digits 5 to 9 in {STEPS} steps of {BATCH} images, three times "
        f"as long is {LONGER * STEPS}; SGD with momentum 0.9, lr along a cosine, weight decay "
        "1e-3; lr 0.03 from scratch and for the last layer, 0.01 for pretrained layers; frozen: "
        "only the last layer learns. All 4,861 test images of 5 to 9; they decide nothing.",
        VARIANTS, (0,), claims,
        tuple(Column(f"{n:,} of each" if n > 1 else "1 of each", f"with {n}", "{:.1%}")
              for n in COUNTS),
        draw, {FROZEN: 3, LEARNS: 4, SCRATCH: 3, LONG: 8}, (6.5, 3.8),
    ),
]  # fmt: skip
