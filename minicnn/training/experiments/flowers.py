"""Transfer learning on flowers: SqueezeNet with ImageNet's weights against one that starts fresh.

500 photos to learn from, 200 to test, five kinds. The photos and the weights are read from
`MINICNN_DATA`: flowers160.tar, with train/KIND/*.jpg and test/KIND/*.jpg inside, and
squeezenet/squeezenet_v1.0_imagenet.npz, its authors' weights.
"""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from minicnn import functional as F
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
    precision_at,
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


def _looks(work):
    """Two ways to see a photo: its middle, cut out; all of it, squeezed. Small if it is quick."""
    short, size = (64, 56) if work.quick else (SHORT, SIZE)
    return Compose([Resize(short), CenterCrop(size)]), Resize((size, size))


def _augment(work):
    """All of a photo but a margin that changes each time, mirrored or not."""
    short, size = (64, 56) if work.quick else (SHORT, SIZE)
    return Compose([Resize((short, short)), RandomCrop(size), RandomHorizontalFlip()])


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
    """A variant: features are worked out once for each look; a dense layer learns from them."""

    def run(work):
        with _photos(work) as (train, test):
            model = squeezenet(pretrained).to(work.device)
            extractor = feature_extractor(model, "features")
            looks, scale = _looks(work), _scale(pretrained)
            mirrored = [Compose([look, RandomHorizontalFlip(1.0)]) for look in looks]
            seen, labels = _features(work, extractor, train, [*looks, *mirrored], scale, "train")
            new, new_labels = _features(work, extractor, test, looks, scale, "test")
        seen, new = _of_one_length(seen), _of_one_length(new)
        head = partial(_train_head, work, new=new, new_labels=new_labels)
        found = measures(head(seen, labels, name="head")[0])
        found["precision_at_5"] = precision_at(5, seen[0], labels, new[0], new_labels)
        found["few"] = [n for n in FEW if n <= np.bincount(labels).min()] or [1]
        found["accuracies"] = []
        for count in found["few"]:
            chosen = _first_of_each(labels, count)
            trainer, *_ = head(seen[:, chosen], labels[chosen], name=f"few-{count}")
            found["accuracies"].append(trainer.history[-1]["val_accuracy"])
        return found

    return run


def _features(work, extractor, photos, looks, scale, name):
    """Features, (looks, photos, 512), and the photos' labels; kept in the run's folder."""
    tables = []
    for k, look in enumerate(looks):
        path = work.folder / f"{name}-{k}.safetensors"
        if not path.exists():
            loader = work.loader(photos, 20, training=False, transform=look, **scale)
            table, labels = features(extractor, loader)
            interop.save({"features": table, "labels": labels}, path)
        kept = interop.load(path)
        tables.append(kept["features"])
    return np.stack(tables), kept["labels"]


def _of_one_length(tables):
    """Features with a mean square of 1."""
    return tables / np.sqrt(np.mean(tables**2, axis=2, keepdims=True))


def _train_head(work, seen, labels, name, new, new_labels):
    """Dropout and a dense layer on features scaled to mean 0 and deviation 1.

    A new photo's scores are the means over its looks: those of its mean features. Returns the
    trainer, and the features' means and deviations.
    """
    looks, _, size = seen.shape
    x, y = seen.reshape(-1, size), np.tile(labels, looks)
    mean, std = x.mean(axis=0), x.std(axis=0) + 0.1  # some features are always 0 in few photos
    order = np.random.default_rng(work.seed).permutation(len(y))
    x, y = ((x - mean) / std)[order], y[order]
    batches = [(x[k : k + 50], y[k : k + 50]) for k in range(0, len(x), 50)]
    head = nn.Sequential(nn.Dropout(0.5), nn.Linear(size, 5))
    optimizer = optim.SGD(head.parameters(), 0.005, momentum=0.9, weight_decay=1e-2)
    testing = [((new.mean(axis=0) - mean) / std, new_labels)]
    trainer = work.fit(head, optimizer, batches, testing, HEAD_EPOCHS, loss=LOSS, name=name)
    return trainer, mean, std


def _first_of_each(labels, count):
    """The positions of the first `count` of each class."""
    return np.concatenate([np.flatnonzero(labels == kind)[:count] for kind in np.unique(labels)])


# ---------------------------------------------------------------------------
# Way 2: the features learn on
# ---------------------------------------------------------------------------
def whole_net(pretrained: bool, epochs: int, rules, until=None):
    """A variant: the net with another head, trained from photos; `rules` give layers their lr."""

    def run(work):
        model, head, frozen = squeezenet(pretrained), five_classes(), []
        with _photos(work) as (train, test):
            scale = _scale(pretrained)
            if pretrained:
                _learn_head(work, model, head, train, scale)
            replace_head(model, head, "classifier")
            if pretrained:
                frozen = freeze(model, "classifier.2", until=until)
            optimizer = optim.AdamW(optim.named_groups(model, *rules), weight_decay=1e-2)
            learning = work.loader(train, 20, _augment(work), **scale)
            testing = [
                work.loader(test, 20, training=False, transform=look, **scale)
                for look in _looks(work)
            ]
            trainer = work.fit(model, optimizer, learning, testing[1], epochs, loss=LOSS)
            scores, labels = zip(*(features(model, loader) for loader in testing))
        right = np.mean(scores, axis=0).argmax(axis=1) == labels[0]
        return measures(trainer) | {"accuracy": float(np.mean(right)), "frozen": frozen}

    return run


def _learn_head(work, model, head, photos, scale):
    """A head that fits the features as they are: from a random one, they would be torn first.

    Kumar, Raghunathan, Jones, Ma, Liang, "Fine-tuning can distort pretrained features and
    underperform out-of-distribution", 2022.
    """
    whole = _looks(work)[1]
    looks = whole, Compose([whole, RandomHorizontalFlip(1.0)])
    extractor = feature_extractor(model, "features")
    seen, labels = _features(work, extractor, photos, looks, scale, "head")
    trainer, mean, std = _train_head(work, seen, labels, "head", seen[:1], labels)
    dense = trainer.model[1]
    learnt = {"2.running_mean": mean, "2.running_var": std**2}
    learnt |= {"4.weight": dense.weight.numpy(), "4.bias": dense.bias.numpy()}
    head.load_state_dict(head.state_dict() | learnt)


PRETRAINED, RANDOM = "frozen features, new head", "random features, new head"
PARTIAL, FULL, SCRATCH = "partly frozen", "all fine-tuned", "from scratch"
HEAD_EPOCHS, EPOCHS, LONG = 15, 4, 8
LOSS = partial(F.cross_entropy, label_smoothing=0.3)
VARIANTS = {
    PRETRAINED: head_only(True),
    RANDOM: head_only(False),
    PARTIAL: whole_net(
        True, EPOCHS, [("features", {"lr": 1e-4}), ("classifier", {"lr": 3e-4})], "features.10"
    ),
    # A later rule wins: features.10 and 12, which the first pattern fits, too, are in the third.
    FULL: whole_net(
        True, EPOCHS,
        [("features.[0-7]*", {"lr": 1e-5}), ("features.[89]*", {"lr": 1e-4}),
         ("features.1[0-2]*", {"lr": 1e-4}), ("classifier", {"lr": 3e-4})],
    ),
    SCRATCH: whole_net(False, LONG, [("*", {"lr": 1e-3})]),
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
        "SqueezeNet 1.0, pictures of 227x227 pixels, lr along a cosine, label smoothing of 0.3. "
        "The two with a new head: features of one length, worked out once for a photo's middle, "
        "cut out, and for all of it, squeezed, each mirrored, too; a dense layer behind dropout "
        f"of 0.5 learns from them for {HEAD_EPOCHS} epochs, SGD with momentum 0.9, batch 50, lr "
        "0.005, weight decay 0.01. The other three see random crops of the squeezed photo, "
        "mirrored at random; AdamW, batch 20. Partly frozen: all before fire8 stays, the rest "
        "learns with lr 1e-4, the head, which has learnt from frozen features before, with 3e-4, "
        f"{EPOCHS} epochs. All fine-tuned: lr 1e-5 up to fire5, 1e-4 up to fire9, 3e-4 for such a "
        f"head, {EPOCHS} epochs. From scratch: He's weights, lr 1e-3, {LONG} epochs. A test "
        "photo's scores are the means over its middle and all of it. The test photos decide "
        "nothing: looks, features and smoothing were chosen by cross-validation of the head on "
        "the training photos, the rates by how well those are learnt, and the last epoch counts.",
        VARIANTS, (0,), claims,
        (
            Column("test photos", "accuracy", "{:.1%}"),
            Column("training photos", "train_accuracy", "{:.1%}"),
            Column("same kind among 5 nearest", "precision_at_5", "{:.1%}"),
            Column("epochs", "epochs", "{:.0f}"),
            Column("processor seconds", "cpu_seconds", "{:.0f}"),
        ),
        draw,
        {PRETRAINED: 2, RANDOM: 2, PARTIAL: 5, FULL: 9, SCRATCH: 17}, (10, 3.6),
    ),
]  # fmt: skip
