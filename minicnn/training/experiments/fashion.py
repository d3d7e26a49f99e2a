"""Fashion-MNIST, with few images: what dropout and batch normalization do; seven nets for one."""

from __future__ import annotations

import numpy as np

from minicnn import nn, optim
from minicnn.nn import init
from minicnn.training.experiments.drawing import COLORS, draw_dots, finish
from minicnn.training.experiments.experiment import Claim, Column, Experiment
from minicnn.training.experiments.recipes import measures
from minicnn.training.transfer import features

IMAGES, EPOCHS, MEMBERS = 12_000, 15, 7
NORMAL = {"mean": 0.2860, "std": 0.3530}


def small_net(batch_norm: bool, dropout: float):
    """[conv16 pool] [conv32 pool] FC128 FC10, all 3x3 and ReLU: 206,922 parameters."""

    def block(before, after):
        normal = [nn.BatchNorm2d(after)] if batch_norm else []
        conv = nn.Conv2d(before, after, 3, padding=1, bias=not batch_norm)
        return [conv, *normal, nn.ReLU(), nn.MaxPool2d(2), *_drop(dropout / 2)]

    return nn.Sequential(
        *block(1, 16), *block(16, 32), nn.Flatten(), nn.Linear(32 * 7 * 7, 128), nn.ReLU(),
        *_drop(dropout), nn.Linear(128, 10),
    )  # fmt: skip


def _drop(p):
    return [nn.Dropout(p)] if p else []


def _train(work, model, name="fit", part=(0, 1), seed=None):
    """The trainer of a net on every fifth image, and loaders of those and of the test images."""
    train = work.few(work.data("fashion-mnist", "train"), IMAGES)
    test = work.data("fashion-mnist", "test")
    learning = work.loader(train, 64, seed=work.seed if seed is None else seed, **NORMAL)
    loaders = [work.loader(part, 500, training=False, **NORMAL) for part in (train, test)]
    trainer = work.fit(
        model, optim.SGD(model.parameters(), 0.05, momentum=0.9, weight_decay=5e-4),
        learning, loaders[1], EPOCHS, name=name, part=part,
    )  # fmt: skip
    return trainer, *loaders


# ---------------------------------------------------------------------------
# Dropout and batch normalization
# ---------------------------------------------------------------------------
def ablation(batch_norm, dropout):
    """A variant: the net with or without either."""

    def run(work):
        trainer, seen, _ = _train(work, small_net(batch_norm, dropout))
        found = measures(trainer)
        known = trainer.evaluate(seen)  # the same images as in training, but no dropout
        first = found["history"][0]["train_loss"]
        gap = known.accuracy - found["accuracy"]
        return found | {"known": known.accuracy, "gap": gap, "first_loss": first}

    return run


PLAIN, DROPOUT, NORM, BOTH = "neither", "dropout", "batch norm", "both"


def ablation_claims(results):
    def mean(variant, measure):
        return float(results.mean(variant, measure))

    def less(measure, form, low, high, text):
        a, b = mean(low, measure), mean(high, measure)
        return Claim(text.format(form.format(a), form.format(b)), a < b)

    best = max((PLAIN, DROPOUT, NORM, BOTH), key=lambda v: mean(v, "accuracy"))
    return [
        less("gap", "{:.2%}", DROPOUT, PLAIN,
             "dropout narrows the gap between known and new images: {} against {} without"),
        less("gap", "{:.2%}", BOTH, NORM,
             "also beside batch norm: {} against {}"),
        less("first_loss", "{:.3f}", NORM, PLAIN,
             "batch norm learns faster: training loss {} in the first epoch, {} without"),
        less("accuracy", "{:.2%}", PLAIN, NORM,
             "batch norm alone is better on new images: {} without, {} with it"),
        Claim(f"both together are best on new images (best: {best}, "
              f"{mean(best, 'accuracy'):.2%})", best == BOTH),
    ]  # fmt: skip


def draw_ablation(results, figure):
    left, right = figure.subplots(1, 2)
    labels = {"known": "training", "accuracy": "test"}
    draw_dots(results, left, labels, "accuracy at the end")
    for variant, color in zip((PLAIN, DROPOUT, NORM, BOTH), COLORS):
        values = results.curve(variant, "val_loss")
        right.plot(range(1, len(values) + 1), values, color=color, label=variant)
    right.legend(frameon=False, fontsize=8)
    finish(right, "loss on the test images", "epoch", percent=False)


# ---------------------------------------------------------------------------
# An ensemble
# ---------------------------------------------------------------------------
def ensemble(work) -> dict:
    """Seven nets that differ in their first weights and in the order of the images."""
    sums, single, together = 0.0, [], []
    for k in range(MEMBERS):
        init.manual_seed(MEMBERS * work.seed + k)
        seed = MEMBERS * work.seed + k
        trainer, _, test = _train(work, small_net(True, 0.5), f"net-{k}", (k, MEMBERS), seed)
        scores, labels = features(trainer.model, test)
        p = np.exp(scores - scores.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        sums = sums + p
        single.append(float(np.mean(p.argmax(axis=1) == labels)))
        together.append(float(np.mean(sums.argmax(axis=1) == labels)))
    return {
        "single": single, "together": together, "mean": float(np.mean(single)),
        "best": max(single), "all": together[-1], "gain": together[-1] - float(np.mean(single)),
    }  # fmt: skip


def ensemble_claims(results):
    mean, best, all_ = (float(results.mean(SEVEN, name)) for name in ("mean", "best", "all"))
    return [
        Claim(f"seven nets together are right more often than one: {all_:.2%} against {mean:.2%} "
              "on average", all_ > mean),
        Claim(f"and more often than the best of the seven: {all_:.2%} against {best:.2%}",
              all_ > best),
    ]  # fmt: skip


SEVEN = "seven nets"


def draw_ensemble(results, figure):
    ax = figure.subplots()
    for run in results.runs:
        nets = range(1, len(run["together"]) + 1)
        first = run is results.runs[0]
        ax.plot(nets, run["single"], ".", color=COLORS[0], alpha=0.5,
                label="the k-th net alone" if first else None)  # fmt: skip
    ax.plot(nets, results.mean(SEVEN, "together"), "o-", color=COLORS[1],
            label="the first k nets together")  # fmt: skip
    ax.axhline(results.mean(SEVEN, "mean"), color=COLORS[0], lw=1, ls="--", label="mean of one net")
    ax.legend(frameon=False, fontsize=8, loc="lower right")
    finish(ax, "accuracy on the test images", "nets")


SETUP = (
    f"Every fifth of the 60,000 training images ({IMAGES:,}), {EPOCHS} epochs, SGD with momentum "
    "0.9, batch 64, lr 0.05 along a cosine, weight decay 5e-4; no augmentation. Net: "
    "[conv16 pool] [conv32 pool] FC128 FC10, 3x3, ReLU; dropout is 0.25 after each pool and 0.5 "
    "after FC128. The test images decide nothing: the last epoch counts."
)
EXPERIMENTS = [
    Experiment(
        "fashion-ablation",
        "Dropout and batch normalization on Fashion-MNIST",
        "What do dropout and batch normalization each do, and both together?",
        SETUP + " The training images' accuracy is taken after the training, without dropout.",
        {
            PLAIN: ablation(False, 0.0),
            DROPOUT: ablation(False, 0.5),
            NORM: ablation(True, 0.0),
            BOTH: ablation(True, 0.5),
        },
        (0, 1, 2), ablation_claims,
        (
            Column("test images", "accuracy"),
            Column("training images", "known"),
            Column("gap", "gap"),
            Column("loss, first epoch", "first_loss", "{:.3f}"),
        ),
        draw_ablation,
    ),
    Experiment(
        "ensemble",
        "Seven nets for one",
        "How much better are seven nets together than one? AlexNet's authors took seven, too.",
        SETUP + " The nets differ in their first weights and the order of the images; their "
        "probabilities are averaged.",
        {SEVEN: ensemble}, (0,), ensemble_claims,
        (
            Column("one net, mean", "mean"),
            Column("the best one", "best"),
            Column("together", "all"),
            Column("gain", "gain"),
        ),
        draw_ensemble, size=(6, 3.6),
    ),
]  # fmt: skip
