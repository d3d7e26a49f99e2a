"""The course's numbers, computed: sections 1 to 3 (see test_course_facts.py).

What needs a trained net or real data has a test of its own below the table.
"""

from __future__ import annotations

import numpy as np
import pytest
from course import registrar

import minicnn
from minicnn import Tensor, nn
from minicnn import functional as F
from minicnn.analysis import summary
from minicnn.layout import output_size

CASES = {}
fact = registrar(CASES)

VERTICAL = np.array([[1.0, 0, -1]] * 3)
SOBEL = np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])


def convolve(image, kernel, **settings):
    """One image (H, W) with one filter."""
    x, w = (Tensor(np.asarray(a, np.float64)[None, None]) for a in (image, kernel))
    return F.conv2d(x, w, **settings).numpy()[0, 0]


def draws(*shapes):
    """Random arrays, the same each time."""
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape) for shape in shapes]


def size(W, kernel, S=1, P=0):
    return output_size((W, W), (kernel, kernel), (S, S), (P, P))[0]


# ---------------------------------------------------------------------------
# 1 Images and receptive fields
# ---------------------------------------------------------------------------
@fact("1.1", ("numbers", 48), ("white", (255, 255, 255)), ("red", (255, 0, 0)),
      ("range", (0, 255)), ("sum-of-channels", True))  # fmt: skip
def colour(name):
    """A 4 x 4 image, half red, half white: pixels as ImageFolder and matplotlib have them."""
    x = np.zeros((4, 4, 3), np.uint8)
    x[:2], x[2:, :, 0], x[2:, :, 1:] = 255, 255, 0
    alone = [x * (np.arange(3) == c).astype(np.uint8) for c in range(3)]
    return {
        "numbers": x.size,
        "white": tuple(x[0, 0].tolist()),
        "red": tuple(x[3, 0].tolist()),
        "range": (np.iinfo(x.dtype).min, np.iinfo(x.dtype).max),
        "sum-of-channels": np.array_equal(sum(alone), x),
    }[name]


@fact("1.2-mnist-pixels", {"as it is": 28, "printed": 18, "printed has": 324, "has": 784})
def mnist_pixels():
    """[*] A text calls its MNIST zero "18 x 18": the file of training images has 47,040,016 bytes,
    16 of them a header; the test below looks at the file itself."""
    pixels = (47_040_016 - 16) // 60_000
    assert pixels == models_input("lenet")
    return {"as it is": int(pixels**0.5), "printed": 18, "printed has": 18 * 18, "has": pixels}


def models_input(name):
    """Pixels of a model's images."""
    _, H, W = minicnn.models.info(name).input_shape
    return H * W


@fact("1.3", ("sum", 0.0), ("uniform-light", 0.0), ("best-spot", 2.5), ("grows-inside", True))
def centre_surround(name):
    radius = np.hypot(*np.mgrid[-7:8, -7:8])
    centre, ring = radius <= 2.5, (radius > 2.5) & (radius <= 5)
    cell = centre / centre.sum() - ring / ring.sum()
    radii = [0.5, 1.5, 2.5, 3.5, 4.5, 6.0]
    answers = [convolve(radius <= r, cell).item() for r in radii]
    return {
        "sum": round(cell.sum(), 12),
        "uniform-light": abs(round(convolve(np.full((15, 15), 0.7), cell).item(), 12)),
        "best-spot": radii[int(np.argmax(answers))],
        "grows-inside": answers[0] < answers[1] < answers[2],
    }[name]


# ---------------------------------------------------------------------------
# 2 Convolution
# ---------------------------------------------------------------------------
@fact("2.1", ("vertical", [[0, 30, 30, 0]] * 4), ("horizontal", [[0, 30, 30, 0]] * 4),
      ("thirds", [[30, 30, -30, -30]] * 4))  # fmt: skip
def edges(name):
    halves = np.repeat([[10, 10, 10, 0, 0, 0]], 6, axis=0)
    thirds = np.repeat([[10, 10, 0, 0, 10, 10]], 6, axis=0)
    return {
        "vertical": lambda: convolve(halves, VERTICAL),
        "horizontal": lambda: convolve(halves.T, VERTICAL.T).T,
        "thirds": lambda: convolve(thirds, VERTICAL),
    }[name]().tolist()


@fact("2.1-as-printed", {"left": 30, "right": 0, "answer": 30, "printed": 30, "20 and 10": 10})
def edge_sums():
    """[*] "20 - (-10)": the window's columns sum to 30 and 0."""
    window = np.repeat([[10, 10, 0]], 3, axis=0)
    left, right = window[:, 0].sum(), window[:, 2].sum()
    answer = convolve(window, VERTICAL).item()
    return {"left": left, "right": right, "answer": answer, "printed": 20 - -10, "20 and 10": 10}


@fact("2.2", ("magnitude", True), ("angle", True))
def sobel(name):
    """A ramp in any direction: the pair gives 8 times its slope, and its direction."""
    for degrees in (0, 30, 90, 135, -60):
        v, u = np.mgrid[:9, :9]
        direction = np.radians(degrees)
        ramp = 0.5 * (u * np.cos(direction) + v * np.sin(direction))
        gx, gy = convolve(ramp, SOBEL), convolve(ramp, SOBEL.T)
        if name == "magnitude" and not np.allclose(np.hypot(gx, gy), 8 * 0.5):
            return degrees
        if name == "angle" and not np.allclose(np.degrees(np.arctan2(gy, gx)), degrees):
            return degrees
    return True


@fact("2.3", ("cross-correlation", True), ("flipped-is-the-mathematicians", True))
def flipped(name):
    x, w = draws(12, 4)
    turn = -1 if name.startswith("flipped") else 1
    ours = convolve(x[None], w[None, ::turn])[0]
    theirs = np.convolve(x, w, "valid") if turn < 0 else np.correlate(x, w, "valid")
    return np.allclose(ours, theirs)


@fact("2.4", ("6-by-3", 4), ("and-again", 2), ("same", [28] * 4))
def sizes(name):
    if name == "same":
        layers = [nn.Conv2d(1, 1, k, padding=(k - 1) // 2) for k in (1, 3, 5, 7)]
        return [summary(layer, (1, 28, 28)).rows[-1].shape[1] for layer in layers]
    once = summary(nn.Conv2d(1, 1, 3), (1, 6, 6)).rows[-1].shape[1]
    return once if name == "6-by-3" else size(once, 3)


@fact("2.5", ("4-by-3-stride-2", (1, [3])), ("5-by-2-stride-2", (2, [4])))
def floors(name):
    """(outputs along an axis, the rows that nobody reads)."""
    H, kernel, stride = int(name[0]), int(name[5]), int(name[-1])
    x = Tensor(np.zeros((1, 1, H, H)), requires_grad=True)
    y = F.conv2d(x, Tensor(np.ones((1, 1, kernel, kernel))), stride=stride)
    y.sum().backward()
    unread = np.flatnonzero((x.grad.numpy()[0, 0] == 0).all(axis=1)).tolist()
    assert y.shape[2] == size(H, kernel, stride)
    return y.shape[2], unread


@fact("2.6", ("shrunk-is-zero-padding", True), ("rescaled-is-partial", True),
      ("they-differ-at-the-border-alone", True), ("repeated-edge-keeps-white", True))  # fmt: skip
def border(name):
    x, w = draws((7, 6), (3, 3))
    zeros, shrunk = convolve(x, w, padding=1), shrunk_filter(x, w)
    partial = F.partial_conv2d(*(Tensor(a[None, None]) for a in (x, w)), padding=1).numpy()[0, 0]
    differ = ~np.isclose(zeros, partial)
    ring = np.pad(np.zeros((5, 4), bool), 1, constant_values=True)
    white = np.ones((5, 5))
    return {
        "shrunk-is-zero-padding": np.allclose(shrunk, zeros),
        "rescaled-is-partial": np.allclose(shrunk_filter(x, w, rescaled=True), partial),
        "they-differ-at-the-border-alone": np.array_equal(differ, ring),
        "repeated-edge-keeps-white": np.allclose(
            convolve(white, white[:3, :3] / 9, padding=1, padding_mode="replicate"), 1
        ),
    }[name]


def shrunk_filter(x, w, rescaled=False):
    """At the border the filter is cut to the cells inside, and if asked for, scaled by 9/inside."""
    y = np.zeros(x.shape)
    for i, j in np.ndindex(x.shape):
        rows, columns = (slice(max(k - 1, 0), k + 2) for k in (i, j))
        window = x[rows, columns]
        cut = w[rows.start - i + 1 :, columns.start - j + 1 :][: window.shape[0], : window.shape[1]]
        y[i, j] = (window * cut).sum() * (9 / window.size if rescaled else 1)
    return y


@fact("2.7", ("depth", [1, 8, 64]), ("height-and-width", [(9, 9)] * 4))
def depth(name):
    if name == "depth":
        layers = [nn.Conv2d(3, filters, 3, padding=1) for filters in (1, 8, 64)]
        return [summary(layer, (3, 9, 9)).rows[-1].shape[0] for layer in layers]
    layers = [nn.Conv2d(3, 5, k, padding=k // 2) for k in (1, 3, 5, 7)]
    return [summary(layer, (3, 9, 9)).rows[-1].shape[1:] for layer in layers]


@fact("2.8", ("products", 12), ("parameters", 13), ("numbers-out", 1), ("is-their-sum", True))
def one_filter(name):
    layer = nn.Conv2d(3, 1, 2).to("float64")
    (x,) = draws((1, 3, 2, 2))
    y = layer(Tensor(x)).numpy()
    products = x * layer.weight.numpy()
    return {
        "products": products.size,
        "parameters": layer.num_parameters(),
        "numbers-out": y.size,
        "is-their-sum": np.isclose(y.item(), products.sum() + layer.bias.numpy().item()),
    }[name]


@fact("2.9", ("maps", (64, 224, 224)), ("weights", 1_728), ("with-biases", 1_792),
      ("dense-in", 150_528), ("dense-out", 3_211_264), ("dense-weights", 483_385_147_392),
      ("a-unit-sees", 27))  # fmt: skip
def vgg_first(name):
    """[*] "every neuron is connected to every neuron": 27 of 150,528."""
    layer = nn.Conv2d(3, 64, 3, padding=1)
    row = summary("vgg16").rows[1]  # behind the row of `features`
    dense = (224 * 224 * 3, 224 * 224 * 64)
    x = Tensor(np.zeros((1, 3, 9, 9), np.float32), requires_grad=True)
    layer(x)[0, 0, 4, 4].backward()
    return {
        "maps": row.shape,
        "weights": layer.weight.size,
        "with-biases": layer.num_parameters(),
        "dense-in": dense[0],
        "dense-out": dense[1],
        "dense-weights": dense[0] * dense[1],
        "a-unit-sees": int((x.grad.numpy() != 0).sum()),
    }[name]


@fact("2.10", ("weights", 2_048), ("shape", (2, 32, 5, 7)), ("is-a-dense-layer", True))
def one_by_one(name):
    layer, dense = nn.Conv2d(64, 32, 1, bias=False), nn.Linear(64, 32, bias=False)
    dense.weight.assign_(layer.weight.numpy()[:, :, 0, 0])
    (x,) = draws((2, 64, 5, 7))
    x = x.astype(np.float32)
    y = layer(Tensor(x)).numpy()
    at_each_pixel = dense(Tensor(x.transpose(0, 2, 3, 1))).numpy().transpose(0, 3, 1, 2)
    return {
        "weights": layer.num_parameters(),
        "shape": y.shape,
        "is-a-dense-layer": np.allclose(y, at_each_pixel, atol=1e-5),
    }[name]


# ---------------------------------------------------------------------------
# 3 Pooling
# ---------------------------------------------------------------------------
@fact("3.1", ("max", [[6, 8], [3, 4]]), ("average", [[3.25, 5.25], [2, 2]]))
def pooled(name):
    x = np.array([[1.0, 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 2, 3, 4]])
    pool = F.max_pool2d if name == "max" else F.avg_pool2d
    return pool(Tensor(x[None, None]), 2, 2).numpy()[0, 0].tolist()


@fact("3.2", ("shape", (8, 64, 14, 14)), ("a-channel-alone", True), ("learns", 0))
def channels(name):
    (x,) = draws((8, 64, 28, 28))
    y = F.max_pool2d(Tensor(x), 2).numpy()
    return {
        "shape": y.shape,
        "a-channel-alone": np.array_equal(F.max_pool2d(Tensor(x[:, 5:6]), 2).numpy(), y[:, 5:6]),
        "learns": nn.MaxPool2d(2).num_parameters(),
    }[name]


@fact("3.3-a-pooled-map-changes-less", True)
def shifted():
    """Edge maps of all 360 test digits, before and after a shift by one pixel."""
    digits = minicnn.data.load("digits", "test", size=28).images / 255.0
    kernel = Tensor(SOBEL[None, None])
    maps = [F.relu(F.conv2d(Tensor(np.roll(digits, s, axis=3)), kernel, padding=1)) for s in (0, 1)]

    def change(a, b):
        return np.linalg.norm(a.numpy() - b.numpy()) / np.linalg.norm(a.numpy())

    changes = [change(*maps), *(change(*(F.max_pool2d(m, k) for m in maps)) for k in (2, 4))]
    return changes[0] > changes[1] > changes[2]


@fact("3.4", ("strided-convolution-can-be-a-pooling", True), ("capsules-do-not-pool", 0))
def instead(name):
    if name == "capsules-do-not-pool":
        return sum("Pool" in row.kind for row in summary("capsnet").rows)
    (x,) = draws((2, 8, 6, 6))
    quarter = Tensor(np.full((8, 1, 2, 2), 0.25))
    strided = F.conv2d(Tensor(x), quarter, stride=2, groups=8).numpy()
    return np.allclose(strided, F.avg_pool2d(Tensor(x), 2).numpy())


# ---------------------------------------------------------------------------
# 6.14 and 6.18, what test_course_facts.py does not hold
# ---------------------------------------------------------------------------
@fact("6.14-identity-layers-copy-a-net", True)
def copied():
    """A convolution whose filter passes its own channel on, and a ReLU, change no activation."""
    minicnn.manual_seed(0)
    shallow = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()]
    identity = nn.Conv2d(8, 8, 3, padding=1, bias=False)
    weight = np.zeros((8, 8, 3, 3), np.float32)
    weight[range(8), range(8), 1, 1] = 1
    identity.weight.assign_(weight)
    x = Tensor(draws((2, 3, 9, 9))[0].astype(np.float32))
    deep = nn.Sequential(*shallow, identity, nn.ReLU(), identity, nn.ReLU())
    return np.array_equal(nn.Sequential(*shallow)(x).numpy(), deep(x).numpy())


@fact("6.18-depths-of-densenets", [121, 161, 169, 201])
def densenets():
    """[*] "50-layer DenseNet beats 152-layer ResNet": there is no DenseNet of 50 layers."""
    names = [name for name in minicnn.models.names() if name.startswith("densenet")]
    for name in names:
        with nn.init.empty():
            model = minicnn.models.build(name)
        layers = sum(p.ndim > 1 for p in model.parameters())
        assert layers == int(name.removeprefix("densenet"))
    return sorted(int(name.removeprefix("densenet")) for name in names)


@pytest.mark.parametrize("case", CASES)
def test_fact(case):
    function, expected = CASES[case]
    assert function() == expected


def test_mnist_is_28_by_28(data_dir):
    """1.2, on the file itself."""
    train = minicnn.data.load("mnist", "train")
    assert train.images.shape == (60_000, 1, 28, 28)
    zero = train.images[np.flatnonzero(train.labels == 0)[0], 0]
    rows, columns = (np.flatnonzero(zero.any(axis=k)) for k in (1, 0))
    assert max(np.ptp(rows), np.ptp(columns)) + 1 <= 20  # the digit itself lies in 20 x 20
