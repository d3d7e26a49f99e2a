"""CIFAR-10, seven times: dropout, batch normalization, L2, one unit more, twice the width.

Net: [conv32 conv32 pool] [conv64 conv64 pool] FC512 FC10, 3x3, ReLU. The published results
(training / validation accuracy) are I 84/79, II 98/79, III 89/82, IV 94/76, V 86/83, VI 89/84, VII
92/84 percent; what they were trained with is not, so the order of the effects is what can come out
again, not the figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from minicnn import nn, optim
from minicnn.training.experiments.drawing import COLORS, colors, draw_dots, finish, legend_above
from minicnn.training.experiments.experiment import Claim, Column, Experiment
from minicnn.training.experiments.recipes import measures
from minicnn.training.recipes import preparation

EPOCHS, L2 = 10, 1e-3
CONV_DROPOUT, DENSE_DROPOUT = 0.1, 0.3  # more of it needs more epochs than ten


@dataclass(frozen=True)
class Plan:
    """What one of the seven has."""

    batch_norm: bool = True
    conv_dropout: bool = True
    l2: bool = False
    units: tuple[int, ...] = (32, 64)  # maps of each unit's convolutions


PLANS = {
    "I": Plan(batch_norm=False),
    "II": Plan(conv_dropout=False),
    "III": Plan(),
    "IV": Plan(conv_dropout=False, l2=True),
    "V": Plan(l2=True),
    "VI": Plan(l2=True, units=(32, 64, 128)),
    "VII": Plan(l2=True, units=(64, 128)),
}
PUBLISHED = {  # training, validation accuracy
    "I": (0.84, 0.79), "II": (0.98, 0.79), "III": (0.89, 0.82), "IV": (0.94, 0.76),
    "V": (0.86, 0.83), "VI": (0.89, 0.84), "VII": (0.92, 0.84),
}  # fmt: skip


def build(plan: Plan):
    """The net; its dense layers are called "fc1" and "fc2"."""
    model, before = nn.Sequential(), 3
    for unit, maps in enumerate(plan.units, 1):
        layers = []
        for _ in range(2):
            conv = nn.Conv2d(before, maps, 3, padding=1, bias=not plan.batch_norm)
            normal = [nn.BatchNorm2d(maps)] if plan.batch_norm else []
            layers += [conv, *normal, nn.ReLU()]
            before = maps
        drop = [nn.Dropout(CONV_DROPOUT)] if plan.conv_dropout else []
        setattr(model, f"unit{unit}", nn.Sequential(*layers, nn.MaxPool2d(2), *drop))
    side = 32 // 2 ** len(plan.units)
    model.flatten = nn.Flatten()
    model.fc1 = nn.Linear(before * side**2, 512, activation="relu")
    model.dropout = nn.Dropout(DENSE_DROPOUT)
    model.fc2 = nn.Linear(512, 10)
    return model


def epoch_work(history) -> tuple[float, float]:
    """(processor seconds, work) of an epoch, medians: what else the machine does counts little.

    The work is these seconds times the machine's speed in a matrix product just then.
    """
    seconds = [e["seconds"] for e in history]
    if "cpu_seconds" in history[0]:  # not on a GPU; they are counted from the beginning
        so_far = [0.0, *(e["cpu_seconds"] for e in history)]
        seconds = [after - before for before, after in pairwise(so_far)]
    speeds = [e.get("machine_gflops", 1.0) for e in history]
    return median(seconds), median(s * speed for s, speed in zip(seconds, speeds))


def variant(name):
    """One of the seven as a run."""

    def run(work):
        plan, prepared = PLANS[name], preparation("cifar10")
        normal = {"mean": prepared.mean, "std": prepared.std}
        train, test = work.data("cifar10", "train"), work.data("cifar10", "test")
        model = build(plan)
        rules = [("fc*.weight", {"weight_decay": L2})] if plan.l2 else []
        groups = optim.named_groups(model, *rules)
        testing = work.loader(test, 500, training=False, **normal)
        trainer = work.fit(
            model, optim.SGD(groups, 0.02, momentum=0.9), work.loader(train, 64, **normal),
            testing, EPOCHS,
        )  # fmt: skip
        found = measures(trainer)
        some = work.loader(work.few(train, 10_000), 500, training=False, **normal)
        known = trainer.evaluate(some).accuracy
        cpu, work = epoch_work(found["history"])
        return found | {
            "known": known, "gap": known - found["accuracy"], "epoch_cpu_seconds": cpu,
            "epoch_work": work,
        }  # fmt: skip

    return run


def claims(results):
    known, new, gap, work = (
        {v: float(results.mean(v, m)) for v in PLANS}
        for m in ("known", "accuracy", "gap", "epoch_work")
    )
    ratio = work["VI"] / work["V"]
    deep, wide = (new[v] for v in ("VI", "VII"))
    return [
        Claim(f"5.1 dropout after the convolutions closes the gap: III {gap['III']:.1%}, "
              f"II {gap['II']:.1%}", gap["III"] < gap["II"]),
        Claim("5.2 batch norm without it overfits most: the largest gaps are those of "
              + " and ".join(sorted(PLANS, key=gap.get)[-2:]),
              set(sorted(PLANS, key=gap.get)[-2:]) == {"II", "IV"}),
        Claim(f"5.3 L2 without it does not help: IV {new['IV']:.1%}, II {new['II']:.1%}",
              new["IV"] <= new["II"]),
        Claim(f"5.3 IV is the worst of all: the worst is {min(new, key=new.get)}, "
              f"{min(new.values()):.1%}", min(new, key=new.get) == "IV"),
        Claim(f"5.4 depth and width end level, within a point: VI {deep:.1%}, VII {wide:.1%}",
              abs(deep - wide) <= 0.01),
        Claim(f"5.4 width overfits more: gap of VII {gap['VII']:.1%}, of VI {gap['VI']:.1%}",
              gap["VII"] > gap["VI"]),
        Claim(f"5.5 deeper trains slower: an epoch of VI is {ratio:.2f} times the work of V's",
              ratio > 1),
        Claim(f"VI or VII reaches 82%: {max(deep, wide):.1%}", max(deep, wide) >= 0.82),
    ]  # fmt: skip


def draw(results, figure):
    left, right = figure.subplots(1, 2)
    draw_dots(results, left, {"known": "training", "accuracy": "validation"}, "accuracy")
    for row, name in enumerate(colors(results)):
        for k, value in enumerate(PUBLISHED[name]):
            label = "published" if row == k == 0 else None
            left.plot(value, row, "x", color=COLORS[k], markersize=5, label=label)
    legend_above(left)
    for name, color in colors(results).items():
        values = results.curve(name, "val_accuracy")
        right.plot(range(1, len(values) + 1), values, color=color, label=name)
    right.legend(frameon=False, fontsize=8, ncols=2)
    finish(right, "validation accuracy", "epoch")


EXPERIMENTS = [
    Experiment(
        "cifar",
        "CIFAR-10, experiments I to VII",
        "What do dropout, batch normalization, L2, depth and width do for a small net?",
        f"{EPOCHS} epochs of all 50,000 training images for each of the seven, without "
        "augmentation; SGD with momentum 0.9, batch 64, lr 0.02 along a cosine. Dropout is "
        f"{CONV_DROPOUT:g} after each unit and {DENSE_DROPOUT:g} after FC512; L2 is a weight decay "
        f"of {L2:g} on both dense layers. The 10,000 test images validate; they decide nothing, "
        "the last epoch counts. Training accuracy is that of 10,000 training images afterwards, "
        "without dropout. Work: processor seconds of an epoch times the machine's speed in a "
        "matrix product just then. I dropout, no batch norm; II batch norm, dropout in FC only; "
        "III both everywhere; IV as II with L2; V as III with L2; VI as V with a unit of two "
        "conv128; VII as V with 64 and 128 maps.",
        {name: variant(name) for name in PLANS}, (0, 1), claims,
        (
            Column("validation", "accuracy"),
            Column("training", "known"),
            Column("gap", "gap"),
            Column("processor s / epoch", "epoch_cpu_seconds", "{:.0f}"),
            Column("work / epoch, GFLOP", "epoch_work", "{:,.0f}"),
            Column("waiting", "waiting", "{:.1%}"),
        ),
        draw, {"I": 0.9, "VI": 1.4, "VII": 3.2},
    ),
]  # fmt: skip
