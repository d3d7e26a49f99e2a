# %% [markdown]
# # 17 Beyond one image, beyond one label
#
# So far: one image in, one label out. But the layers never asked for that. The same convolution
# reads the frames of a film, says *where* a thing is, colours in every pixel, reads a row of digits
# of any length, and hears. What changes is what stands behind it, and what the loss compares.
#
# **You will** train small nets of six kinds, each in seconds: for motion, for a box, for every
# pixel, for a row of digits, for sounds, and one made of capsules; and measure what each can know
# and what it cannot.
#
# **You need** [03](03_pooling.ipynb), [06c](06c_loss_and_learning.ipynb). What a recurrent net does
# is told here as far as it is needed. Two exercises; half an hour.

# %%
import inspect

import matplotlib.pyplot as plt
import numpy as np

import minicnn
from minicnn import Tensor, models, nn, no_grad, optim
from minicnn import functional as F
from minicnn.data import Dataset, load, scenes
from minicnn.plots import show
from minicnn.training import cosine

# %% [markdown]
# **The data.** All scenes here are composed from real handwritten digits, while the net trains:
# every batch is new. Test scenes are made of the 360 test digits, which no training scene has
# shown. (`source = "mnist"` takes MNIST, shrunk to the same 8 × 8 pixels: 60,000 digits by about
# 250 people. It is downloaded once.)

# %%
source = "digits"


def small(split):
    """The digits of a split, 8 x 8 pixels."""
    digits = load(source, split)
    if source == "digits":
        return digits
    blocks = digits.images[:, :, 2:26, 2:26].reshape(-1, 1, 8, 3, 8, 3)
    return Dataset(blocks.mean(axis=(3, 5)).astype(np.uint8), digits.labels)


train_digits, test_digits = small("train"), small("test")


def test_scenes(draw, count=400, **settings):
    """Scenes of digits that no training scene has shown; the same ones each time."""
    return draw(test_digits, count, np.random.default_rng(1), **settings)


print(train_digits, test_digits, sep="\n")

# %% [markdown]
# One loop trains all six. `draw` makes a batch, `loss` compares; the rest is Adam, with a learning
# rate that falls to 0.


# %%
def train(model, loss, draw, steps, lr=0.005, batch=64):
    """Steps of Adam, each on a batch that nobody has seen before; prints how the loss falls."""
    rng, optimizer = np.random.default_rng(0), optim.Adam(model.parameters(), lr=lr)
    model.train()
    losses = []
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = lr * cosine(step / steps)
        optimizer.zero_grad()
        value = loss(model, *draw(batch, rng))
        value.backward()
        optimizer.step()
        losses.append(value.item())
    model.eval()
    tenth = steps // 10
    print("loss:", *(f"{np.mean(losses[k : k + tenth]):.2f}" for k in range(0, steps, tenth)))


def scores_of(model, x):
    """What a trained model says, as an array."""
    with no_grad():
        return model(Tensor(x)).numpy()


# %% [markdown]
# ## 1 Video: the order of the frames
#
# Which digit it is, a single frame shows. Where it is going, no frame shows. So a net for films has
# two parts: a CNN makes a vector of *features* from each frame, and a **recurrent** net reads these
# vectors one after the other and keeps a state, its memory. After the last frame the state goes to
# a dense layer.
#
# How much is that for a real film? Two frames a second, one minute, VGG-16 without its last layer:

# %%
from minicnn.backends.shapes import blank
from minicnn.models.video import VideoClassifier
from minicnn.nn import init

with init.empty(), minicnn.use_backend("shapes"), no_grad():
    film = VideoClassifier(models.build("vgg16"), num_classes=4)
    minute = Tensor(blank((1, 2 * 60, 3, 224, 224), np.float32))
    N, T, numbers = film.features(minute).shape
print(f"{T} frames, {numbers:,} features each")
print(inspect.getsource(VideoClassifier.forward))
assert (T, numbers) == (120, 4096)

# %% [markdown]
# Ours is smaller. A digit moves right, down, left or up, three pixels a frame, and what leaves at
# one border enters at the opposite one. It starts anywhere. So a single frame says *nothing* of the
# direction. And six frames in the wrong order? Think about it before you go on.

# %%
x, motions = test_scenes(scenes.moving, 4, speed=3, frames=6)
fig, axes = plt.subplots(4, 6, figsize=(6.6, 4.5))
for clip, motion, row in zip(x, motions, axes):
    row[0].set_ylabel(scenes.MOTION_NAMES[motion], rotation=0, ha="right", va="center")
    for frame, ax in zip(clip, row):
        ax.imshow(frame[0], cmap="gray_r")
        ax.set(xticks=[], yticks=[])


# %%
def video_net():
    """A small CNN for the frames, and an LSTM of 32 numbers behind it."""
    minicnn.manual_seed(0)
    backbone = nn.Sequential(
        nn.Conv2d(1, 16, 5, stride=2, padding=2), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Flatten(), nn.Linear(16 * 4 * 4, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip
    net = VideoClassifier(backbone, num_classes=4, hidden=32)  # cuts the last layer off
    init.normal_(net.fc.weight, std=0.3)
    return net


def in_order(clip, rng):
    return clip


def one_frame(clip, rng):
    return clip[:1]


def shuffled(clip, rng):
    return clip[rng.permutation(len(clip))]


# %%
right = {}
for view in (in_order, shuffled, one_frame):

    def clips(count, rng, digits=train_digits, view=view):
        x, motions = scenes.moving(digits, count, rng, speed=3, frames=6)
        return np.stack([view(clip, rng) for clip in x]), motions

    net = video_net()
    train(net, lambda m, x, t: F.cross_entropy(m(Tensor(x)), t), clips, steps=130, lr=0.004)
    x, motions = clips(400, np.random.default_rng(1), test_digits)
    right[view.__name__] = (scores_of(net, x).argmax(axis=1) == motions).mean()
    print(f"{view.__name__:10} {right[view.__name__]:.0%} of 400 test clips right\n")
assert right["in_order"] > 0.9 and right["one_frame"] < 0.35 and 0.35 < right["shuffled"] < 0.65

# %% [markdown]
# One frame: a quarter, which is guessing. Shuffled frames show along which line the digit moves,
# but a film of "right" played backwards is a film of "left": half is the best that anybody can do.
# Only the order tells the rest, and the state remembers it. (Our recurrent net is an **LSTM**, a
# "long short-term memory". Its code is in `minicnn/functional/recurrent.py`: four dense layers, and
# gates, numbers from 0 to 1 that say by multiplication what is kept.)
#
# ## 2 Localisation: what, and where
#
# A box is four numbers: the middle (x, y), the width and the height, here as fractions of the
# image. So let a net end in *two* dense layers on the same features: ten scores for the class, four
# numbers for the box. The loss is the sum of both: cross-entropy, and the squared error of the box.

# %%
from minicnn.models.localization import Localizer, overlap

print(inspect.getsource(Localizer.forward))
print(inspect.getsource(Localizer.loss))

# %% [markdown]
# When is a box right? Never to the last pixel. One measures how much of it is right: the area that
# both boxes share, over the area that they cover together. That is the **intersection over union**,
# 1 for the same box, 0 for boxes that do not meet. By custom a box counts as found from 1/2 on.
#
# ### Exercise 17.1: intersection over union
#
# `a` and `b` are N boxes each, (N, 4), a row (x, y, width, height) with x, y the middle. Return N
# numbers. Beware of boxes that do not meet.


# %%
def my_overlap(a, b):
    raise NotImplementedError("shared area over covered area")


minicnn.check(my_overlap)

# %% [markdown]
# The scenes: one digit, as it is or twice as large, among pieces of others.

# %%
minicnn.manual_seed(0)
backbone = nn.Sequential(
    nn.Conv2d(1, 16, 5, stride=2, padding=2), nn.BatchNorm2d(16), nn.ReLU(),
    nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
    nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
    nn.Flatten(), nn.Linear(32 * 6 * 6, 96), nn.ReLU(), nn.Linear(96, 10),
)  # fmt: skip
finder = Localizer(backbone, num_classes=10)


def box_loss(model, x, labels, boxes):
    return model.loss(Tensor(x), labels, boxes, weight=20)


train(finder, box_loss, lambda n, rng: scenes.hidden(train_digits, n, rng), steps=250, lr=0.004)
x, labels, boxes = test_scenes(scenes.hidden)
with no_grad():
    scores, found = (y.numpy() for y in finder(Tensor(x)))
shared = overlap(found, boxes)
blind = overlap(np.broadcast_to(boxes.mean(axis=0), boxes.shape), boxes)
print(f"class right:          {(scores.argmax(axis=1) == labels).mean():.0%}")
print(f"overlap, mean:        {shared.mean():.2f}  (one box for all: {blind.mean():.2f})")
print(f"boxes found (> 1/2):  {(shared > 0.5).mean():.0%}  (one box for all: "
      f"{(blind > 0.5).mean():.0%})")  # fmt: skip
assert shared.mean() > 0.6 > 0.4 > blind.mean()


# %%
def draw_box(ax, box, side, color):
    x, y, width, height = box * side
    ax.add_patch(plt.Rectangle((x - width / 2 - 0.5, y - height / 2 - 0.5), width, height,
                               fill=False, color=color, linewidth=2))  # fmt: skip


fig, axes = plt.subplots(1, 7, figsize=(11, 1.9))
for k, ax in enumerate(axes):
    ax.imshow(x[k, 0], cmap="gray_r")
    draw_box(ax, boxes[k], 24, "#2166ac")
    draw_box(ax, found[k], 24, "#c2570c")
    ax.set(xticks=[], yticks=[])
    ax.set_title(f"says {scores[k].argmax()}, overlap {shared[k]:.2f}", fontsize=8)

# %% [markdown]
# (Blue is right, orange is the net's.) It finds most digits, and reads fewer of them: a small net
# that was trained for seconds. It can give *one* box, whatever there is. For many things in one
# image a net says at every place whether something is there, and how its box lies from here (YOLO,
# SSD): the same two heads as 1 × 1 convolutions.
#
# ## 3 Segmentation: a class for every pixel
#
# A dense layer at every pixel is a 1 × 1 convolution ([02](02_convolution.ipynb)), so a net of
# convolutions alone gives a map of scores. But a pixel must know its surroundings, and pooling
# makes maps small. **U-Net** goes down to see far, comes up again by transposed convolutions, and
# joins what it had at that size on the way down: coarse knows what, fine knows where.

# %%
from minicnn.models.unet import UNet

print(inspect.getsource(UNet.forward))

# %% [markdown]
# ### Exercise 17.2: pixel accuracy
#
# Scores `x` (N, K, H, W), right classes `t` (N, H, W). The share of all pixels whose largest score
# is that of the right class.


# %%
def my_pixel_accuracy(x, t):
    raise NotImplementedError("the share of pixels that are right")


minicnn.check(my_pixel_accuracy)

# %% [markdown]
# Class 0 is the background, class 1 + d is ink of digit d. Most pixels are background, so the loss
# counts them less.

# %%
minicnn.manual_seed(0)
painter = UNet(num_classes=11, in_channels=1, channels=12, steps=1, same=True)
weight = Tensor(np.array([0.2] + [1.0] * 10, np.float32))


def pixels_loss(model, x, masks):
    scores = model(Tensor(x)).permute(0, 2, 3, 1).reshape(-1, 11)  # a row for each pixel
    return F.cross_entropy(scores, masks.reshape(-1), weight=weight)


def draw(count, rng, digits=train_digits):
    return scenes.scattered(digits, count, rng, side=20, most=3)


train(painter, pixels_loss, draw, steps=220, batch=32)
x, masks = draw(200, np.random.default_rng(1), test_digits)
said = scores_of(painter, x).argmax(axis=1)
ink = masks > 0
print(f"all pixels right:      {(said == masks).mean():.1%}  (all background: {(~ink).mean():.1%})")
print(f"ink in its own class:  {(said == masks)[ink].mean():.1%}  (all background: 0.0%)")
assert (said == masks)[ink].mean() > 0.4

# %%
fig, axes = plt.subplots(2, 7, figsize=(10, 3))
colors = plt.get_cmap("tab10")(range(10))
colors = np.vstack([[1, 1, 1, 1], colors])
for k, (above, below) in enumerate(axes.T):
    above.imshow(x[k, 0], cmap="gray_r")
    below.imshow(colors[said[k]])
    above.set_title(" ".join(str(c - 1) for c in np.unique(masks[k]) if c), fontsize=9)
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])

# %% [markdown]
# (A colour a digit: 0 blue, 1 orange, 2 green, 3 red, 4 violet, 5 brown, 6 pink, 7 grey, 8 olive, 9
# turquoise.) It has found nearly all the ink, and is often in doubt about whose it is.
#
# Look at the two numbers above, too. A net that says "background" everywhere has most pixels right,
# and is of no use. Whoever tells you a pixel accuracy should tell the share of the background, too;
# papers use the intersection over union of each class, averaged.
#
# ## 4 A row of digits
#
# How many digits a house number has, nobody knows beforehand. A dense layer wants a fixed size; a
# convolution does not care. So slide the whole classifier along the row. Its last convolutions are
# as high as what is left of the image: out comes a row of score vectors, one for every second
# column. There are eleven classes, ten digits and "nothing here".

# %%
minicnn.manual_seed(0)
reader = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
    nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
    nn.Conv2d(32, 64, (6, 5), padding=(0, 2)), nn.ReLU(),
    nn.Conv2d(64, 11, 1),
)  # fmt: skip


def columns_loss(model, x, labels, columns):
    scores = model(Tensor(x)).permute(0, 2, 3, 1).reshape(-1, 11)  # a row for each second column
    return F.cross_entropy(scores, columns[:, ::2].reshape(-1))


train(reader, columns_loss, lambda n, rng: scenes.in_a_row(train_digits, n, rng), steps=250)


# %% [markdown]
# To read: take the best class of each column, write a run of the same class once, leave "nothing"
# out. `3 3 . . 8 8 8 . 8 8` is 3 8 8.


# %%
def read(x):
    """The digits in each image, as text."""
    rows = scores_of(reader, x)[:, :, 0].argmax(axis=1)
    return [
        "".join(str(c) for c, left in zip(row, (scenes.NOTHING, *row))
                if c != left and c != scenes.NOTHING)
        for row in rows.tolist()
    ]  # fmt: skip


def written(labels):
    return ["".join(str(d) for d in row if d != scenes.NOTHING) for row in labels]


x, labels, columns = test_scenes(scenes.in_a_row)
result = np.mean([a == b for a, b in zip(read(x), written(labels))])
print(f"{result:.0%} of {len(x)} rows read without a mistake")
longer, more, _ = test_scenes(scenes.in_a_row, most=12)
print("longer than any in training:", longer.shape, "->", scores_of(reader, longer).shape)
show(*x[:4, 0], longer[0, 0], cmap="gray_r", columns=1, scale=3.2, numbers=False,
     titles=[f"{a} read as {b}" for a, b in zip(written([*labels[:4], *more[:1]]),
                                                 [*read(x[:4]), *read(longer[:1])])])  # fmt: skip
assert result > 0.4

# %% [markdown]
# LeCun and others read bank cheques so (1998). We have told the net where each digit stands. If one
# knows the text alone, CTC (Graves et al., 2006) adds up over all ways of placing it.
#
# ## 5 Sound: the same layer, H = 1
#
# A sound is a row of numbers, 8,000 a second on a telephone. That is an image of height 1. A filter
# of 1 × 128 is slid along it, and nothing has to be written anew:

# %%
signal, weights = np.random.default_rng(0).normal(size=1000), np.hanning(128)
as_image = F.conv2d(Tensor(signal[None, None, None]), Tensor(weights[None, None, None]))
print("like NumPy's for signals:",
      np.allclose(as_image.numpy()[0, 0, 0], np.correlate(signal, weights, "valid")))  # fmt: skip

# %% [markdown]
# Press a key of a telephone, and you hear *two* tones: one for its row, one for its column.

# %%
RATE, LOW, HIGH = 8000, (697, 770, 852, 941), (1209, 1336, 1477)  # in hertz
KEYS = {d: divmod(d - 1, 3) for d in range(1, 10)} | {0: (3, 1)}


def key_tones(count, rng, samples=800, noise=0.5):
    """Sounds (N, 1, 1, samples): noise, and somewhere in it a key for 50 ms; and the keys."""
    keys = rng.integers(0, 10, count)
    x = rng.normal(scale=noise, size=(count, 1, 1, samples)).astype(np.float32)
    time = 2 * np.pi * np.arange(400) / RATE
    for sound, key in zip(x, keys.tolist()):
        row, column = KEYS[key]
        start, (a, b) = rng.integers(0, samples - 399), rng.uniform(0, 2 * np.pi, 2)
        tones = np.sin(LOW[row] * time + a) + np.sin(HIGH[column] * time + b)
        sound[0, 0, start : start + 400] += rng.uniform(0.5, 1) * tones
    return x, keys


sound, key = key_tones(1, np.random.default_rng(3))
plt.figure(figsize=(9, 1.7))
plt.plot(np.arange(800) / 8, sound[0, 0, 0], color="#0f766e", linewidth=0.7)
plt.xlabel("milliseconds")
_ = plt.title(f"key {key[0]}, among noise", fontsize=9)

# %%
minicnn.manual_seed(0)
ear = nn.Sequential(
    nn.Conv2d(1, 16, (1, 128), stride=(1, 8)), nn.ReLU(),
    nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10),
)  # fmt: skip
train(ear, lambda m, x, t: F.cross_entropy(m(Tensor(x)), t), key_tones, steps=150, lr=0.01)
x, keys = key_tones(500, np.random.default_rng(1))
heard = (scores_of(ear, x).argmax(axis=1) == keys).mean()
x, keys = key_tones(500, np.random.default_rng(1), samples=4000)
longer = (scores_of(ear, x).argmax(axis=1) == keys).mean()
print(f"{ear.num_parameters():,} parameters; {heard:.1%} of 500 keys heard; "
      f"in half a second of noise: {longer:.1%}")  # fmt: skip
assert heard > 0.95

# %% [markdown]
# **What has it learnt?** Nobody told it a frequency. Take each filter's spectrum (how strongly it
# answers to which tone) and find its peak:

# %%
filters = ear[0].weight.numpy()[:, 0, 0]
spectra = np.abs(np.fft.rfft(filters, 2048))
hertz = np.fft.rfftfreq(2048, 1 / RATE)
order = spectra.argmax(axis=1).argsort()
fig, (left, right) = plt.subplots(1, 2, figsize=(11, 2.8), width_ratios=(1, 1.4))
left.plot(filters[order[::5]].T + np.arange(4) * 0.6, linewidth=0.9)
left.set(title="some filters", xlabel="sample", yticks=[])
right.plot(hertz, (spectra / spectra.max(axis=1, keepdims=True))[order].T, linewidth=0.8)
for f in (*LOW, *HIGH):
    right.axvline(f, color="black", linestyle=":", linewidth=0.8)
right.set(title="spectra of all filters; dotted: the telephone's seven tones", xlim=(500, 1700),
          xlabel="hertz", yticks=[])  # fmt: skip
peaks = hertz[spectra.argmax(axis=1)]
off = np.abs(peaks[:, None] - np.array([*LOW, *HIGH])).min(axis=1)
print("peaks:", *sorted(peaks.round().astype(int)), "hertz; at most", round(off.max()), "off")

# %% [markdown]
# It has found the telephone's tones by itself. (Speech is handled so, too, mostly after a Fourier
# transform: then a sound *is* an image, frequency by time.)
#
# ## 6 Capsules: what pooling loses
#
# In [03](03_pooling.ipynb) a shuffled picture and the real one looked the same to a global pooling.
# A capsule gives a *vector*: its length says how likely the thing is there, its direction in what
# pose. And each part **predicts** the pose of the whole. An eye that is turned by 30° says: if I
# belong to a face, the face is turned by 30°. When the parts agree, the face is there.
#
# That is all that *routing* does. Start by giving each part's prediction equally to all wholes; add
# up; see which predictions agree with the sum (dot product), and give more to those. Three rounds.
# Four parts, each a unit vector that points upwards in a face; minicnn's own layer:

# %%
from minicnn.models.capsnet import CapsNet, DigitCaps, lengths

print(inspect.getsource(DigitCaps.forward))


# %%
def rotation(degrees):
    """A matrix that turns row vectors."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, s], [-s, c]])


def turned(*degrees):
    """A picture's parts: unit vectors (I, 2) that are upright at 0 degrees."""
    return np.array([[0.0, 1] @ rotation(d) for d in degrees])


face, other = (0, 0, 0, 0), (0, 90, 180, 270)  # how the parts of two wholes stand
pictures = {"a face": face, "a face, turned": (30,) * 4, "its parts, mixed up": (0, 200, 90, 290)}
lengths_of = {}
for rounds in (1, 2, 3):
    layer = DigitCaps(below=4, in_size=2, count=2, size=2, iterations=rounds)
    back = [np.hstack([rotation(-a), rotation(-b)]) for a, b in zip(face, other)]
    layer.weight.assign_(np.array(back, np.float32))
    for name, degrees in pictures.items():
        with no_grad():
            v = layer(Tensor(turned(*degrees)[None].astype(np.float32)))
        lengths_of[name, rounds] = lengths(v).numpy()[0, 0]  # of the capsule "face"

# %%
fig, axes = plt.subplots(1, 3, figsize=(9, 2.9))
for ax, (name, degrees) in zip(axes, pictures.items()):
    parts = turned(*degrees)
    ax.quiver([0] * 4, [0] * 4, *parts.T, scale=1, scale_units="xy", angles="xy", color="#2166ac",
              width=0.012)  # fmt: skip
    by_rounds = ", ".join(f"{lengths_of[name, k]:.2f}" for k in (1, 2, 3))
    ax.set(xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), aspect="equal", xticks=[], yticks=[])
    ax.set_title(f"{name}\nlength after each round:\n{by_rounds}", fontsize=9)
fig.tight_layout()
assert lengths_of["a face, turned", 3] > 0.9 and lengths_of["its parts, mixed up", 3] < 0.1

# %% [markdown]
# The arrows are what the four parts predict for the face (in a face they lie on each other). Each
# part is there in all three pictures, at full length, so the maximum over the parts is 1 each time:
# pooling cannot tell the pictures apart. Capsules can, and the turned face is still a face: its
# *direction* says by how much it is turned.
#
# **On digits.** Two small nets, trained on the same digits, each somewhere in a 14 × 14 image: one
# of capsules, with the decoder that draws the digit again from its vector, and one with global max
# pooling (and a border so wide that no digit touches the edge). Both learn *which* digit it is.


# %%
def one_digit(count, rng, digits=train_digits):
    x, masks = scenes.scattered(digits, count, rng, side=14, most=1)
    return x, masks.max(axis=(1, 2)) - 1


minicnn.manual_seed(0)
with init.empty():
    capsules = CapsNet(reconstruction=True)  # the paper's, made smaller:
capsules.conv, capsules.primary = nn.Conv2d(1, 32, 5), nn.Conv2d(32, 64, 5, stride=2)
capsules.digits, capsules.image_shape = DigitCaps(8 * 3 * 3, 8, 10, 8), (1, 14, 14)
capsules.decoder = nn.Sequential(nn.Linear(80, 128), nn.ReLU(), nn.Linear(128, 196), nn.Sigmoid())
init.normal_(capsules.digits.weight, std=0.4)
pooled = nn.Sequential(
    nn.Conv2d(1, 16, 5, padding=7), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 32, 4), nn.ReLU(),
    nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(32, 10),
)  # fmt: skip
train(capsules, lambda m, x, t: m.loss(Tensor(x), t, weight=0.015), one_digit, 300, 0.006, batch=32)
train(pooled, lambda m, x, t: F.cross_entropy(m(Tensor(x)), t), one_digit, 300, 0.006, batch=32)

# %% [markdown]
# Then we ask both for something that nobody has labelled: *where* is it? A straight line (least
# squares, one for each class) leads from the 8 numbers of the class's capsule, or from the 32
# numbers that the other net has pooled, to the middle of the ink. It is fitted on scenes of
# training digits, and tried on scenes of test digits.


# %%
def of_capsules(x, labels):
    with no_grad():
        return capsules.capsules(Tensor(x)).numpy()[range(len(x)), labels]


def of_pooled(x, labels):
    return scores_of(nn.Sequential(*list(pooled)[:-1]), x)


def of_nothing(x, labels):
    return np.zeros((len(x), 0))


def lines(features, x, labels):
    """For each class: rows (features, 1), and the places (down, right) of the ink."""
    rows = np.column_stack([features(x, labels), np.ones(len(x))])
    ink = x[:, 0] / x.sum(axis=(1, 2, 3))[:, None, None]
    places = np.stack([(ink * axis).sum(axis=(1, 2)) for axis in np.mgrid[:14, :14]], axis=1)
    return [(rows[labels == k], places[labels == k]) for k in range(10)]


fitted, tried = (one_digit(2000, np.random.default_rng(1), d) for d in (train_digits, test_digits))
off = {}
for features in (of_capsules, of_pooled, of_nothing):
    misses = []
    for (a, there), (b, asked) in zip(lines(features, *fitted), lines(features, *tried)):
        misses.append(b @ np.linalg.lstsq(a, there, rcond=None)[0] - asked)
    off[features] = np.sqrt((np.concatenate(misses) ** 2).sum(axis=1).mean())
x, labels = tried
right = {net: (scores_of(net, x).argmax(axis=1) == labels).mean() for net in (capsules, pooled)}
print(f"capsules  which digit: {right[capsules]:.0%}   where: {off[of_capsules]:.1f} pixels off")
print(f"pooling   which digit: {right[pooled]:.0%}   where: {off[of_pooled]:.1f} pixels off")
print(f"guessing                     where: {off[of_nothing]:.1f} pixels off")
assert right[pooled] > 0.5 and off[of_capsules] < 0.9 * off[of_pooled]

# %% [markdown]
# Pooling has thrown the place away, as it was meant to: the largest answer is the same wherever it
# stood, and the line from it does no better than guessing. The capsule has kept some of the place,
# since its decoder had to draw the digit there. At *which* digit it is the pooling net is better
# here, after so short a training. (The paper trains far longer, on MNIST: there the capsules read
# digits as well as the best, and their 16 numbers tell a digit's slant and the width of its stroke
# as well.)
#
# ## What you have seen
#
# - Frames to features, features to a state: a recurrent net knows the order. One frame is a
#   quarter right, shuffled frames half, ordered ones nearly all.
# - A box is four more numbers; it is judged by intersection over union.
# - A class for every pixel: down to see far, up to say where. Most pixels are background.
# - A net of convolutions alone reads rows of any length.
# - Sound is an image with H = 1; the filters found the telephone's tones.
# - Capsules keep the pose that pooling throws away, and believe in a whole when its parts agree.
#
# **Next:** build one of them for data of your own. `minicnn.check` and `minicnn.gradcheck` will
# tell you when a layer is wrong, and `minicnn.record` where.
#
# **To read:** Donahue et al., "Long-term recurrent convolutional networks", 2014; Sermanet et al.,
# "OverFeat", 2013; Ronneberger, Fischer, Brox, "U-Net", 2015; Sabour, Frosst, Hinton, "Dynamic
# routing between capsules", 2017.
