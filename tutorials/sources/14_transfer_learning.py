# %% [markdown]
# # 14 Transfer learning: what one net knows, another can use
#
# You want to tell five kinds of flowers apart, and you have a few hundred photos. AlexNet was
# trained on a million. Hopeless? No: somebody has already trained a net on that million, of other
# things. Its first layers know edges and textures, and flowers have those, too.
#
# **You will** look at what the units of a trained net like best; find the nearest photos in its
# eyes; freeze it and train a new head in seconds; count what is frozen; see how its scores move
# when a picture is shifted, scaled, darkened and cluttered; and find out when all this does *not*
# pay.
#
# **You need** [10](10_receptive_fields.ipynb) and [12](12_resnet.ipynb). One exercise that marks
# itself, one on paper; half an hour.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import minicnn
from minicnn import Tensor, models, nn, no_grad, optim
from minicnn.analysis import plot_filters, receptive_field
from minicnn.data import DataLoader, Dataset, ImageFolder, extract, load
from minicnn.data.download import own_file
from minicnn.data.transforms import CenterCrop
from minicnn.nn import init
from minicnn.training import Trainer, experiments, schedules
from minicnn.training.transfer import (
    feature_extractor,
    features,
    freeze,
    precision_at,
    replace_head,
)

COLORS = ["#0f766e", "#c2570c", "#2166ac", "#7a5195", "#8a8f98"]

# %% [markdown]
# ## 1 Two nets, one trained
#
# With the photos and SqueezeNet's ImageNet weights in the folder that `MINICNN_DATA` names
# (`flowers160.tar` and `squeezenet/squeezenet_v1.0_imagenet.npz`, which cannot come with minicnn),
# this notebook looks at flowers. Without, it plays the same game with minicnn's own digits: a small
# net has learnt 0 to 4, and is to tell 5 to 9 apart.
#
# SqueezeNet (2016) is a small net of 1.2 million parameters, made of *fire* modules: a 1 × 1
# convolution to few channels, the squeeze, and behind it 1 × 1 and 3 × 3 filters side by side.
#
# First the small net for digits; it is needed either way.


# %%
def digit_net(classes=5):
    """Three convolutions for digits of 8x8, and a head."""
    net, layers, before = nn.Sequential(), [], 1
    for maps in (16, 32, 32):
        conv = nn.Conv2d(before, maps, 3, padding=1, bias=False)
        layers += [conv, nn.BatchNorm2d(maps), nn.ReLU(), *([nn.MaxPool2d(2)] * (before == 16))]
        before = maps
    net.features = nn.Sequential(*layers)
    net.classifier = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, classes))
    return net


def five_digits(part, low):
    """The digits from `low` to `low` + 4, as classes 0 to 4."""
    d = load("digits", part)
    d = d[d.labels // 5 == low // 5]
    return Dataset(d.images, d.labels - low, [str(low + k) for k in range(5)])


def fit(net, train, test, epochs, rules=(), seed=0):
    """Train what is not frozen; the accuracy on `test` after each epoch."""
    groups = optim.named_groups(net, *rules)
    optimizer = optim.SGD(groups, 0.05, momentum=0.9, weight_decay=5e-4)
    trainer = Trainer(net, optimizer, schedule=schedules.cosine, progress=False)
    settings = {"mean": 0.3, "std": 0.37}
    batches = DataLoader(train, 20, shuffle=True, seed=seed, **settings)
    history = trainer.fit(batches, DataLoader(test, 200, **settings), epochs)
    return [entry["val_accuracy"] for entry in history]


minicnn.manual_seed(0)
small = digit_net()
known = fit(small, five_digits("train", 0), five_digits("test", 0), epochs=8)
print(f"the small net tells 0 to 4 apart: {known[-1]:.1%} of the test digits")

# %% [markdown]
# Now the pair for the rest of the notebook: `trained`, and `random`, the same net with fresh
# weights. And the images: 40 to learn from and 20 to test with, of each of five kinds.

# %%
WEIGHTS, PHOTOS = ("squeezenet", "squeezenet_v1.0_imagenet.npz"), ("", "flowers160.tar")
FLOWERS = own_file(*WEIGHTS) is not None and own_file(*PHOTOS) is not None


def of_each(labels, count):
    """Positions of the first `count` of each kind."""
    return np.concatenate([np.flatnonzero(labels == k)[:count] for k in range(5)])


def images_of(dataset, count, **settings):
    """(images, labels, as the net sees them)."""
    some = dataset[of_each(dataset.labels, count)]
    x = np.concatenate([x for x, _ in DataLoader(some, 50, **settings)])
    return x, some.labels


# %%
minicnn.manual_seed(0)
if FLOWERS:
    from minicnn.training.experiments import flowers

    trained, random = flowers.squeezenet(True).eval(), flowers.squeezenet(False).eval()
    MEAN, STD = flowers.MEAN[:, None, None], 1 / 255
    with tempfile.TemporaryDirectory() as folder:
        root = extract(own_file(*PHOTOS), Path(folder) / "flowers")
        train, test = (ImageFolder(root / part) for part in ("train", "test"))
        CLASSES, look = train.classes, {"transform": CenterCrop(160)}
        x, t = images_of(train, 40, **look)
        x_test, t_test = images_of(test, 20, **look)
    LAYERS = {1: "the first", 4: "fire 3", 8: "fire 6", 12: "the last"}
else:
    trained, random = small, digit_net().eval()
    MEAN, STD = 0.3, 0.37
    x, t = images_of(five_digits("train", 5), 40)
    x_test, t_test = images_of(five_digits("test", 5), 20)
    CLASSES, LAYERS = list("56789"), {2: "the first", 5: "the second", 9: "the last"}
print("data:", "flowers, SqueezeNet with ImageNet's weights" if FLOWERS else "digits 5 to 9")
print("images to learn from", x.shape, " to test with", x_test.shape, " kinds", *CLASSES)


def prepared(images, net):
    """As the net has learnt to see them: fresh weights want numbers of about 1."""
    return ((images - MEAN) / (STD if net is not random else 0.3)).astype(np.float32)


# %% [markdown]
# ## 2 What do the units like?
#
# The filters of the first convolution can be looked at: they *are* small pictures.

# %%
for name, net in (("trained", trained), ("random", random)):
    plot_filters(net.features[0], most=24, columns=12).suptitle(name, fontsize=9)

# %% [markdown]
# Later filters have hundreds of channels; nobody can look at those. So ask the other way around:
# send all photos through, note where a unit answers most, and cut out what it saw there. All units
# of a layer see fields of one size; the size grows from layer to layer
# ([10](10_receptive_fields.ipynb)).


# %%
def seen_by(net, images):
    """For each layer: means of its maps (N, C), their maxima in the middle, and where those are."""
    found = {k: [] for k in LAYERS}
    with no_grad():
        for start in range(0, len(images), 20):
            y = Tensor(prepared(images[start : start + 20], net))
            for k, layer in enumerate(net.features):
                y = layer(y)
                if k in LAYERS:
                    maps, q = y.numpy(), y.shape[2] // 4
                    inner = maps[:, :, q:-q, q:-q]  # whose fields lie in the picture, or nearly
                    flat = inner.reshape(*maps.shape[:2], -1)
                    place = q + np.stack(np.unravel_index(flat.argmax(2), inner.shape[2:]), -1)
                    found[k].append((maps.mean(axis=(2, 3)), flat.max(2), place))
    return {k: [np.concatenate(p) for p in zip(*parts)] for k, parts in found.items()}


answers, learnt = seen_by(trained, x_test), seen_by(trained, x)
for k, name in LAYERS.items():
    fields = [receptive_field(trained, x.shape[1:], f"features.{k}", unit).size
              for unit in ((0, 0), (1, 2), (2, 1))]  # fmt: skip
    assert len(set(fields)) == 1
    print(f"{name:10} {answers[k][0].shape[1]:4} maps; every unit sees {fields[0][0]:3} pixels")

# %%
H = x.shape[2]


def as_picture(image, step=1):
    """(C, H, W) as matplotlib wants it, in colour, each `step`-th pixel."""
    return np.repeat(image, 3 // len(image), axis=0).transpose(1, 2, 0)[::step, ::step].clip(0, 1)


def patch(k, n, place):
    """What a unit of layer k saw of test image n, grey where the image ends."""
    field = receptive_field(trained, x.shape[1:], f"features.{k}", tuple(place.tolist()))
    side = field.size[0]
    framed = np.pad(x_test[n], ((0, 0), (side, side), (side, side)), constant_values=0.5)
    (top, _), (left, _) = field.rows, field.columns
    cut = framed[:, top + side : top + 2 * side, left + side : left + 2 * side]
    return as_picture(cut, max(1, side // 40))


fig, axes = plt.subplots(2 * len(LAYERS), 6, figsize=(4.2, 1.5 * len(LAYERS)))
for row, (k, name) in enumerate(LAYERS.items()):
    _, top, place = answers[k]
    order = np.argsort(-top, axis=0)[:6]  # the six photos that each unit likes best
    kinds = (t_test[order] == np.arange(5)[:, None, None]).sum(axis=1).max(axis=0)
    kinds[np.sort(top, axis=0)[-6] <= 0] = 0  # likes fewer than six
    print(f"{name:10} five of the best six are of a kind: {(kinds >= 5).mean():4.0%} of its maps")
    peaks = np.sort(top, axis=0)[-6:].mean(axis=0) / (top.mean(axis=0) + 1e-6)
    for which, unit in enumerate(np.lexsort((-peaks, -kinds))[:2]):
        for ax, n in zip(axes[2 * row + which], order[:, unit]):
            ax.imshow(patch(k, n, place[n, unit]), interpolation="nearest")
            ax.axis("off")
        axes[2 * row + which, 0].set_title(f"{name}, map {unit}", fontsize=7, loc="left", pad=2)
fig.subplots_adjust(wspace=0.05, hspace=0.35)

# %% [markdown]
# Shown are the two maps of each layer whose best photos agree most in kind. From the top down:
# colours and edges, then petals of a colour, then whole blossoms. (Grey is beyond the edge of the
# photo.) The last layer has the largest share of maps that like one kind. It is small even there,
# but nobody has told the net of these kinds. (Of digits it can show strokes, corners and loops, and
# with so few of them the shares go up and down.)
#
# ## 3 Nearest neighbours in its eyes
#
# Cut off the head. What the last layer gives, averaged over its maps, is a short description of the
# photo: its *features*. Two photos are alike if their features are near each other: L2, the root of
# the sum of squared differences.
#
# ### Exercise 14.1: nearest neighbours
#
# references (M, D), queries (N, D): give for each query the positions of its k nearest references,
# nearest first: an array (N, k) of whole numbers.


# %%
def my_nearest(references, queries, k):
    raise NotImplementedError("all distances, an argsort, the first k")


minicnn.check(my_nearest)

# %% [markdown]
# How good are they? Of each test photo's five nearest training photos, how many are of its kind
# (*precision at 5*)? By chance it is a fifth. Three descriptions: raw pixels, the features of the
# random net, those of the trained one.


# %%
def described(net, images):
    """Features (N, C), by minicnn's own extractor."""
    extractor = feature_extractor(net, "features")
    batches = [(prepared(images[k : k + 20], net), np.zeros(20)) for k in range(0, len(images), 20)]
    return features(extractor, batches)[0]


last = max(LAYERS)
tables = {
    "pixels": (x.reshape(len(x), -1), x_test.reshape(len(x_test), -1)),
    "random features": (described(random, x), described(random, x_test)),
    "trained features": (learnt[last][0], answers[last][0]),
}
precision = {}
for name, (references, queries) in tables.items():
    precision[name] = precision_at(5, references, t, queries, t_test)
    print(f"{name:17} {references.shape[1]:6} numbers a photo, precision {precision[name]:.1%}")
if FLOWERS:
    assert precision["trained features"] > precision["random features"] + 0.1

# %%
from minicnn.training.transfer import nearest_neighbors

fig, axes = plt.subplots(3, 6, figsize=(5, 2.7))
found, _ = nearest_neighbors(*tables["trained features"], 5)
for row, query in enumerate((2, 45, 85)):
    shown = [(x_test[query], t_test[query])] + [(x[n], t[n]) for n in found[query]]
    for k, (ax, (image, kind)) in enumerate(zip(axes[row], shown)):
        ax.imshow(as_picture(image, max(1, H // 50)), interpolation="nearest")
        right = kind == t_test[query]
        ax.set_title(CLASSES[kind] + ("?" if not k else ""), fontsize=7, pad=2,
                     color="black" if not k else COLORS[0] if right else COLORS[1])  # fmt: skip
        ax.axis("off")

# %% [markdown]
# Left the question, then the five nearest (orange: another kind). Nothing was trained for this. (If
# digits ran here: a net that has learnt five digits from 720 images is no better than a random one,
# and on such small grey pictures the pixels themselves are best. A million photos make the
# difference.) Is it the depth that does it? The same for each layer:

# %%
print("layer         precision at 5")
by_layer = []
for k, name in LAYERS.items():
    by_layer.append(precision_at(5, learnt[k][0], t, answers[k][0], t_test))
    print(f"{name:12} {by_layer[-1]:6.1%} {'#' * round(40 * by_layer[-1])}")
assert by_layer[-1] > by_layer[0]

# %% [markdown]
# ## 4 Way 1: freeze, and train a new head
#
# Cut off the old head, put a new one for five classes there, and train only that. In minicnn these
# are two calls, on the real net:

# %%
with init.empty():
    net = models.build("squeezenet1_0")
replace_head(net, 5)
frozen = freeze(net, until="classifier")
learning = [name for name, p in net.named_parameters() if p.requires_grad]
print(f"{len(frozen)} tensors are frozen: {', '.join(frozen[:3])}, ..., {frozen[-1]}")
print("these learn:", *learning)
print(f"{sum(p.size for p in net.parameters() if p.requires_grad):,} of "
      f"{net.num_parameters():,} numbers learn")  # fmt: skip

# %% [markdown]
# **The freeze line of a ResNet-50.** A well-known recipe says: "freeze the first 140 layers". Which
# are these? It counts as its framework does: convolution, normalisation, activation, addition,
# padding and pooling are a layer each, and so is the input. **On paper:** 7 before the first block;
# a block has 3 convolutions, 3 normalisations, 3 activations and 1 addition; the first block of a
# stage 2 more, for the shortcut. Where is layer 140?

# %%
layers = 7
for stage, blocks in enumerate((3, 4, 6, 3), 1):
    for block in range(blocks):
        before, layers = layers, layers + 10 + 2 * (block == 0)
        if before < 140 <= layers:
            print(f"layers {before + 1} to {layers} are layer{stage}.{block}; 140 is its "
                  f"{140 - before}th of 10")  # fmt: skip
print(f"{layers} layers in all, before the head")
with init.empty():
    net = models.build("resnet50")
replace_head(net, nn.Linear(2048, 5))
frozen = freeze(net, until="layer3.5.bn3")  # 3 x (convolution, norm, ReLU) but for the last two
learning = [name for name, p in net.named_parameters() if p.requires_grad]
share = sum(p.size for p in net.parameters() if not p.requires_grad) / net.num_parameters()
print(f"{len(frozen)} frozen tensors, {share:.0%} of the numbers, up to {frozen[-1]}")
print(f"{len(learning)} learn: {', '.join(learning[:4])}, ..., {learning[-1]}")
assert layers == 175 and frozen[-1] == "layer3.5.conv3.weight"

# %% [markdown]
# "The first 140 layers" is a third of the net's numbers, and ends in the middle of a block. A list
# of names leaves no doubt; that is why `freeze` returns one.
#
# **Live.** If nothing before the head changes, the features need to be worked out only once. Then a
# head is one dense layer, and its training takes a second. How many photos of each kind does it
# need?


# %%
def head_accuracy(name, count):
    """Of a dense layer trained on so many photos' features of each kind."""
    references, queries = tables[name]
    chosen = of_each(t, count)
    mean, std = references[chosen].mean(axis=0), references[chosen].std(axis=0) + 1e-3
    seen, new = ((a - mean) / std for a in (references[chosen], queries))
    minicnn.manual_seed(0)
    head = nn.Sequential(nn.Dropout(0.5), nn.Linear(seen.shape[1], 5))
    optimizer = optim.SGD(head.parameters(), 0.005, momentum=0.9, weight_decay=1e-2)
    trainer = Trainer(head, optimizer, schedule=schedules.cosine, progress=False)
    order = np.random.default_rng(0).permutation(len(seen))
    batches = [(seen[k].astype(np.float32), t[chosen][k]) for k in np.array_split(order, 5)]
    trainer.fit(batches, [(new.astype(np.float32), t_test)], 40)
    return head, (mean, std), trainer.history[-1]["val_accuracy"]


counts = (1, 2, 5, 10, 20, 40)
plt.figure(figsize=(5, 2.8))
for name, color in (("trained features", COLORS[0]), ("random features", COLORS[4])):
    curve = [head_accuracy(name, count)[2] for count in counts]
    plt.plot(counts, curve, "o-", color=color, label=name)
    print(f"{name:17}", *(f"{count}: {a:.0%}  " for count, a in zip(counts, curve)))
plt.axhline(0.2, color="gray", ls=":")
plt.xscale("log")
plt.xticks(counts, counts)
plt.ylim(0, 1)
plt.xlabel("photos of each kind to learn from")
plt.title("accuracy of a new head on 100 test photos", fontsize=10)
_ = plt.legend(frameon=False, fontsize=8)

# %% [markdown]
# (The dotted line is chance.) With one photo of each kind both are little better than that. The
# more photos, the further ahead the trained features are.
#
# ## 5 How sure is it? Shifted, scaled, darkened, cluttered
#
# The same flower is another array when the camera moves, comes nearer, when a cloud passes, when
# leaves hang into the picture. Take one test photo of each kind, change it a little more each time,
# and plot the probability of the right kind, by the frozen net and the head from above.


# %%
def moved(image, shift=0.0, zoom=1.0):
    """Shifted by a share of its width and enlarged; edges are repeated."""
    n = image.shape[-1]
    i = (np.arange(n) - n / 2) / zoom + n / 2
    rows, columns = (np.clip(np.rint(v), 0, n - 1).astype(int) for v in (i, i - shift * n))
    return image[:, rows][:, :, columns]


def cluttered(image, share):
    """Blocks of another photo, of an eighth of the width, over a share of the picture."""
    n, out = image.shape[-1] // 8, image.copy()
    other = x[0 if not np.array_equal(image, x[0]) else 1]
    for place in np.random.default_rng(0).permutation(64)[: round(64 * share)]:
        i, j = (n * v for v in divmod(int(place), 8))
        out[:, i : i + n, j : j + n] = other[:, i : i + n, j : j + n]
    return out


CHANGES = {
    "shift (share of width)": (np.linspace(-0.5, 0.5, 7), lambda a, v: moved(a, shift=v)),
    "scale": (np.array([0.4, 0.6, 0.8, 1, 1.5, 2, 3]), lambda a, v: moved(a, zoom=v)),
    "light": (np.array([0.05, 0.15, 0.3, 0.5, 0.7, 0.85, 1]), lambda a, v: a * v),
    "clutter (share)": (np.linspace(0, 0.9, 7), cluttered),
}
head, (mean, std), _ = head_accuracy("trained features", 40)
head.eval()


def chances(images, kind):
    """The probability of the right kind for each image."""
    seen = (described(trained, images) - mean) / std
    with no_grad():
        scores = head(Tensor(seen.astype(np.float32)))
        return minicnn.functional.softmax(scores, 1).numpy()[:, kind]


# %%
fig, axes = plt.subplots(2, 4, figsize=(10, 4.3), height_ratios=(1, 1.6), layout="constrained")
sure = np.concatenate([[chances(x_test[n : n + 1], t_test[n])[0]] for n in range(0, 100, 5)])
examples = [5 * max(range(4 * k, 4 * k + 4), key=lambda n: sure[n]) for k in range(5)]
effect = {}
for (name, (values, change)), top, ax in zip(CHANGES.items(), *axes):
    versions = [np.stack([change(x_test[n], v) for v in values]) for n in examples]
    curves = [chances(v, t_test[n]) for v, n in zip(versions, examples)]
    strip = np.concatenate(versions[0][[0, 3, 6]], axis=2)
    top.imshow(as_picture(strip, max(1, H // 50)), interpolation="nearest")
    top.axis("off")
    top.set_title(name, fontsize=10)
    for curve, n, color in zip(curves, examples, COLORS):
        ax.plot(values, curve, color=color, lw=0.9, label=CLASSES[t_test[n]])
    ax.plot(values, np.mean(curves, axis=0), color="black", lw=2, label="mean")
    ax.set_ylim(0, 1.02)
    ax.tick_params(labelsize=8)
    effect[name] = np.mean(curves, axis=0)
axes[1, 0].set_ylabel("probability of the right kind")
fig.legend(*axes[1, 0].get_legend_handles_labels(), loc="outside lower center", ncols=6,
           frameon=False, fontsize=8)  # fmt: skip
for name, curve in effect.items():
    print(f"{name:24}", *(f"{p:5.0%}" for p in curve))

# %% [markdown]
# Black is the mean of the five. (They are photos the net is sure of; others would start lower.)
# Small changes hardly matter, large ones do. Some lines rise again at the end: a picture that is
# mostly another photo may happen to look like the right kind. Against shifts and scales nothing
# protects the net but pooling and what it saw in training; that is why *augmentation* pays: changed
# copies of the photos in training.
#
# ## 6 Way 2: all weights learn on
#
# Start from the trained weights, and train everything, with *small* steps: the early layers, which
# know most already, with the smallest. In minicnn a rule for each part:

# %%
net = models.build("squeezenet1_0")
replace_head(net, 5)
groups = optim.named_groups(
    net, ("features", {"lr": 1e-4}), ("features.[0-7].*", {"lr": 1e-5}),
    ("classifier", {"lr": 5e-3}),
)  # fmt: skip
for group in groups:
    print(f"lr {group['lr']:g}: {len(group['params'])} tensors")
assert [len(group["params"]) for group in groups] == [26, 24, 2]

# %% [markdown]
# That takes minutes on a laptop, not seconds. The experiment `flowers` does all of it with 100
# photos of each kind: both ways, random features, and a net from scratch.

# %%
for name in ("flowers", "few-images"):
    if name not in experiments.names():
        continue
    experiment, results = experiments.load(name), experiments.committed(name)
    print(f"{experiment.title}:", end=" ")
    if results is None:
        print(f"no stored results yet. This makes them: minicnn experiment {name}")
        continue
    print(f"{experiments.results.circumstances(results)}\n")
    print(experiments.results.table(experiment, results))
    for claim in experiment.claims(results):
        print("yes" if claim.holds else "NO ", claim.text)

# %% [markdown]
# ## 7 When does it pay? And when not?
#
# A rule of thumb says: below some 10,000 images, start from a trained net. The counterpoint (He,
# Girshick, Dollár, 2018): from scratch comes to the same, if you train two or three times as long,
# and *more data* beats any trick. Both can be seen on digits, live: the small net knows 0 to 4, and
# learns 5 to 9. Three ways, several numbers of images.


# %%
new, new_test = five_digits("train", 5), five_digits("test", 5)


def learn(way, count, epochs, seed):
    """Accuracy on 5 to 9 after each epoch, from `count` images of each."""
    minicnn.manual_seed(seed)
    net, rules = digit_net(), []
    if way != "from scratch":
        net.load_state_dict(small.state_dict())
        replace_head(net, 5)
    if way == "frozen, new head":
        freeze(net, until="classifier")
    if way == "all fine-tuned":
        rules = [("features", {"lr": 0.02})]
    order = np.random.default_rng(seed).permutation(len(new))
    mixed = new[order]
    return fit(net, mixed[of_each(mixed.labels, count)], new_test, epochs, rules, seed)


# %%
WAYS = {"frozen, new head": COLORS[4], "all fine-tuned": COLORS[0], "from scratch": COLORS[1]}
numbers = (1, 3, 10, 30, 120)
fig, axes = plt.subplots(1, 2, figsize=(9, 2.9), sharey=True)
reached = {}
for way, color in WAYS.items():
    runs = {n: np.mean([learn(way, n, 8, seed) for seed in (0, 1)], axis=0) for n in numbers}
    reached[way] = runs
    axes[0].plot(numbers, [runs[n][-1] for n in numbers], "o-", color=color, label=way)
    axes[1].plot(range(1, 9), runs[30], "o-", color=color, ms=3)
axes[0].set(xscale="log", xlabel="images of each digit", title="after 8 epochs")
axes[0].set_xticks(numbers, numbers)
axes[1].set(xlabel="epoch", title="30 images of each")
axes[0].set_ylabel("accuracy on new 5 to 9")
axes[0].legend(frameon=False, fontsize=8)
print("images of each    " + "".join(f"{n:7}" for n in numbers))
for way, runs in reached.items():
    print(f"{way:18}" + "".join(f"{runs[n][-1]:7.0%}" for n in numbers))

# %%
tuned, fresh = reached["all fine-tuned"], reached["from scratch"]
print("lead of fine-tuning, in points:", {n: round(100 * (tuned[n][-1] - fresh[n][-1]))
                                          for n in numbers})  # fmt: skip
goal = 0.98 * tuned[30][-1]
print(f"epochs to {goal:.1%} with 30 of each: fine-tuned {np.argmax(tuned[30] >= goal) + 1}, "
      + (f"from scratch {np.argmax(fresh[30] >= goal) + 1}" if (fresh[30] >= goal).any()
         else "from scratch not within 8"))  # fmt: skip
print(f"10 of each, fine-tuned: {tuned[10][-1]:.1%}; 120 of each, from scratch: "
      f"{fresh[120][-1]:.1%}")  # fmt: skip
assert fresh[120][-1] > tuned[10][-1]

# %% [markdown]
# Read it honestly. The frozen features are the worst of the three here: a net that has seen 720
# images of five digits has little to hand on. (SqueezeNet has seen a million of a thousand kinds.)
# Fine-tuning starts ahead; the fewer the images and the epochs, the further. With enough of both,
# from scratch is as good. And twelve times the data beats the head start.
#
# ## What you have seen
#
# - Units go from edges to textures to parts; all units of a layer see fields of one size.
# - Features of a net that has seen much put like beside like: the precision at 5.
# - Way 1: freeze, new head. Way 2: train on, with small steps, the smallest early.
# - A freeze line is a list of tensors, not a number of layers.
# - A trained start pays most with few images and little time.
#
# **Next:** [15 What nets cost](15_cost.ipynb): in operations, memory and time, on your machine.
#
# **To read:** Donahue and others, "DeCAF", 2014; Yosinski and others, "How transferable are
# features in deep neural networks?", 2014; Zeiler and Fergus, "Visualizing and understanding
# convolutional networks", 2013 (the patches); He, Girshick, Dollár, "Rethinking ImageNet
# pre-training", 2018.
