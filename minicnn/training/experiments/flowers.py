"""Transfer learning on flowers: SqueezeNet with ImageNet's weights against one that starts fresh.

500 photos to learn from, 200 to test, five kinds. The photos and the weights are read from
`MINICNN_DATA`: flowers160.tar, with train/KIND/*.jpg and test/KIND/*.jpg inside, and
squeezenet/squeezenet_v1.0_imagenet.npz, its authors' weights.
"""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from minicnn import interop, models, nn, optim
from minicnn.data import DataUnavailableError, ImageFolder, extract
from minicnn.data.download import own_file
from minicnn.data.transforms import CenterCrop, Compose, RandomCrop, RandomHorizontalFlip, Resize
from minicnn.training.experiments.drawing import COLORS, colors, draw_dots, finish
from minicnn.training.experiments.experiment import Claim, Column, Experiment
from minicnn.training.experiments.recipes import measures
from minicnn.training.transfer import (
    feature_extractor,
    features,
    freeze,
    nearest_neighbors,
    replace_head,
)

SHORT, SIZE = 256, 227  # pixels: the shorter side, and what is cut out of it
MEAN = np.array([123, 117, 104]) / 255  # of red, green, blue, as SqueezeNet was trained
FEW = (5, 10, 20, 50, 100)  # photos of each kind, for the head alone


def _needed(folder, file) -> Path:
    path = own_file(folder, file)
    if path is None:
        raise DataUnavailableError(
            f"{Path(folder, file)} was not found: this experiment reads it from the folder that "
            "MINICNN_DATA names; see minicnn/training/experiments/flowers.py"
        )
    return path


@contextmanager
def _photos(work):
    """(photos to learn from, photos to test with), unpacked for a while."""
    with tempfile.TemporaryDirectory() as folder:
        root = extract(_needed("", "flowers160.tar"), Path(folder) / "flowers")
        count = 20 if work.quick else None
        yield tuple(work.few(ImageFolder(root / half), count) for half in ("train", "test"))


def _look(work, *more):
    """The middle of a photo as the net sees it; small if the run is quick."""
    short, size = (64, 56) if work.quick else (SHORT, SIZE)
    return Compose([Resize(short), *(more or [CenterCrop(size)])])


def _augment(work):
    """Another cut of a photo each time, mirrored or not."""
    size = 56 if work.quick else SIZE
    return _look(work, RandomCrop(size), RandomHorizontalFlip())


def _scale(pretrained):
    """SqueezeNet has learnt from numbers up to 255; fresh weights want a deviation of about 1."""
    return {"mean": MEAN, "std": 1 / 255 if pretrained else 0.25}


def squeezenet(pretrained: bool):
    """SqueezeNet 1.0; its authors' weights take blue first, here red does as in all loaders."""
    model = models.build("squeezenet1_0")
    if pretrained:
        path = _needed("squeezenet", "squeezenet_v1.0_imagenet.npz")
        interop.load_into(model, path, rename=interop.names.squeezenet_v1_0)
        first = model.features[0].weight
        first.assign_(first.numpy()[:, ::-1].copy())
    return model


def five_classes():
    """What is put on top: mean over the map, features of deviation 1, dropout, a dense layer."""
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.BatchNorm1d(512), nn.Dropout(0.5),
        nn.Linear(512, 5),
    )  # fmt: skip


# ---------------------------------------------------------------------------
# Way 1: the features stay as they are
# ---------------------------------------------------------------------------
def head_only(pretrained: bool):
    """A variant: features are worked out once, as photos and mirrored; a dense layer learns."""

    def run(work):
        with _photos(work) as (train, test):
            model = squeezenet(pretrained).to(work.device)
            extractor = feature_extractor(model, "features")
            look, scale = _look(work), _scale(pretrained)
            views = look, Compose([look, RandomHorizontalFlip(1.0)])
            tables = [_features(work, extractor, train, view, scale) for view in views]
            seen = [np.concatenate(parts) for parts in zip(*tables)]
            new = _features(work, extractor, test, look, scale)
        trainer = _train_head(work, seen, new, "head")
        found = measures(trainer) | _neighbours(tables[0], new)
        few = [count for count in FEW if count <= np.bincount(tables[0][1]).min()] or [1]
        found["few"], found["accuracies"] = few, []
        for count in few:
            chosen = _first_of_each(seen[1], 2 * count)
            last = _train_head(work, [a[chosen] for a in seen], new, f"few-{count}").history[-1]
            found["accuracies"].append(last["val_accuracy"])
        return found

    return run


def _features(work, extractor, photos, view, scale):
    loader = work.loader(photos, 20, training=False, transform=view, **scale)
    return features(extractor, loader)


def _train_head(work, seen, new, name):
    """Dropout and a dense layer on features scaled to mean 0 and deviation 1."""
    mean, std = seen[0].mean(axis=0), seen[0].std(axis=0) + 1e-6
    order = np.random.default_rng(work.seed).permutation(len(seen[1]))
    x, y = ((seen[0] - mean) / std)[order], seen[1][order]
    batches = [(x[k : k + 50], y[k : k + 50]) for k in range(0, len(x), 50)]
    head = nn.Sequential(nn.Dropout(0.5), nn.Linear(x.shape[1], 5))
    optimizer = optim.SGD(head.parameters(), 0.005, momentum=0.9, weight_decay=1e-2)
    return work.fit(head, optimizer, batches, [((new[0] - mean) / std, new[1])], 30, name=name)


def _first_of_each(labels, count):
    """The positions of the first `count` of each class; photo and mirror image count as two."""
    half = len(labels) // 2
    places = [np.flatnonzero(labels[:half] == kind)[: count // 2] for kind in np.unique(labels)]
    places = np.concatenate(places)
    return np.concatenate([places, places + half])


def _neighbours(known, new):
    """Of each test photo's five nearest training photos in feature space: how many are its kind."""
    found, _ = nearest_neighbors(known[0], new[0], 5)
    return {"precision_at_5": float(np.mean(known[1][found] == new[1][:, None]))}


# ---------------------------------------------------------------------------
# Way 2: the features learn on
# ---------------------------------------------------------------------------
def whole_net(pretrained: bool, epochs: int, rules, until=None):
    """A variant: the net with another head, trained from photos; `rules` give layers their lr."""

    def run(work):
        model = squeezenet(pretrained)
        replace_head(model, five_classes(), "classifier")
        frozen = freeze(model, until=until) if until else []
        optimizer = optim.SGD(optim.named_groups(model, *rules), momentum=0.9, weight_decay=5e-4)
        with _photos(work) as (train, test):
            scale = _scale(pretrained)
            learning = work.loader(train, 20, _augment(work), **scale)
            testing = work.loader(test, 20, training=False, transform=_look(work), **scale)
            trainer = work.fit(model, optimizer, learning, testing, epochs, threads=None)
        return measures(trainer) | {"frozen": frozen}

    return run


PRETRAINED, RANDOM = "frozen features, new head", "random features, new head"
PARTIAL, FULL, SCRATCH = "partly frozen", "all fine-tuned", "from scratch"
EPOCHS, LONG = 8, 16
VARIANTS = {
    PRETRAINED: head_only(True),
    RANDOM: head_only(False),
    PARTIAL: whole_net(
        True, EPOCHS, [("features", {"lr": 2e-4}), ("classifier", {"lr": 5e-3})], "features.10"
    ),
    # A later rule wins: features.10 and 12, which the first pattern fits, too, are in the third.
    FULL: whole_net(
        True, EPOCHS,
        [("features.[0-7]*", {"lr": 1e-5}), ("features.[89]*", {"lr": 1e-4}),
         ("features.1[0-2]*", {"lr": 1e-4}), ("classifier", {"lr": 5e-3})],
    ),
    SCRATCH: whole_net(False, LONG, [("*", {"lr": 1e-2})]),
}  # fmt: skip


def claims(results):
    accuracy = {variant: float(results.mean(variant, "accuracy")) for variant in VARIANTS}
    best = max((PRETRAINED, PARTIAL, FULL), key=accuracy.get)
    quick = [v for v in (PRETRAINED, PARTIAL, FULL) if accuracy[v] >= 0.85]
    minutes = {v: float(results.mean(v, "cpu_seconds")) / 60 for v in quick}
    fast = min(minutes, key=minutes.get) if quick else None
    known, random = (float(results.mean(v, "precision_at_5")) for v in (PRETRAINED, RANDOM))
    return [
        Claim(
            "transfer reaches 85% of the test photos in under 10 minutes of processor time: "
            + (f"{fast}, {accuracy[fast]:.1%} in {minutes[fast]:.1f}" if quick else "none does"),
            bool(quick) and minutes[fast] < 10,
        ),
        Claim(
            f"a net from scratch is clearly worse: {accuracy[SCRATCH]:.1%} after {LONG} epochs, "
            f"{100 * (accuracy[best] - accuracy[SCRATCH]):.1f} points under {best}",
            accuracy[best] - accuracy[SCRATCH] >= 0.1,
        ),
        Claim(
            f"the nearest photos in feature space are of the same kind far more often with "
            f"ImageNet's weights: {known:.1%} of the first five, {random:.1%} with random weights",
            known - random >= 0.1,
        ),
        Claim(
            f"to learn on from the weights is better than to freeze them: {accuracy[FULL]:.1%} "
            f"against {accuracy[PRETRAINED]:.1%}",
            accuracy[FULL] > accuracy[PRETRAINED],
        ),
    ]


def draw(results, figure):
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    draw_dots(results, left, {"accuracy": ""}, "accuracy on 200 test photos")
    left.set_xlim(0, 1.08)
    for row, variant in enumerate(VARIANTS):
        value = results.mean(variant, "accuracy")
        left.annotate(f"{value:.1%}", (value, row), xytext=(0, 7), textcoords="offset points",
                      ha="center", fontsize=8, color=COLORS[0])  # fmt: skip
    for variant in (PRETRAINED, RANDOM):
        counts, values = (results.mean(variant, name) for name in ("few", "accuracies"))
        right.plot(counts, values, "o-", color=colors(results)[variant], label=variant)
    right.set_xscale("log")
    right.set_xticks(FEW, FEW)
    right.minorticks_off()
    right.set_ylim(0, 1)
    finish(right, "accuracy by photos of each kind", "photos of each kind to learn from")
    right.legend(frameon=False, fontsize=8, loc="lower right")


EXPERIMENTS = [
    Experiment(
        "flowers",
        "Transfer learning on flowers",
        "A net has seen a million photos of other things (ImageNet). How much does that help to "
        "tell five kinds of flowers apart, with 100 photos of each?",
        "SqueezeNet 1.0, photos of 227x227 pixels, SGD with momentum 0.9, batch 20, lr along a "
        "cosine. The two with a new head: features worked out once, of each photo and its mirror "
        "image; a dense layer behind dropout of 0.5 learns from them for 30 epochs, batch 50. "
        "Partly frozen: all before fire8 stays, the rest learns with lr 2e-4, the head with 5e-3, "
        f"{EPOCHS} epochs. All fine-tuned: lr 1e-5 up to fire5, 1e-4 up to fire9, 5e-3 for the "
        f"head, {EPOCHS} epochs. From scratch: He's weights, lr 1e-2, {LONG} epochs. These three "
        "see random crops, mirrored at random. The test photos decide nothing: the last epoch "
        "counts.",
        VARIANTS, (0,), claims,
        (
            Column("test photos", "accuracy", "{:.1%}"),
            Column("training photos", "train_accuracy", "{:.1%}"),
            Column("same kind among 5 nearest", "precision_at_5", "{:.1%}"),
            Column("epochs", "epochs", "{:.0f}"),
            Column("processor seconds", "cpu_seconds", "{:.0f}"),
        ),
        draw,
        {PRETRAINED: 2, RANDOM: 2, PARTIAL: 12, FULL: 20, SCRATCH: 60}, (10, 3.6),
    ),
]  # fmt: skip
