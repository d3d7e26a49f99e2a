"""Transfer learning: frozen layers, new heads, features and their neighbours."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from minicnn import Tensor, manual_seed, models, nn, optim, use_backend
from minicnn import functional as F
from minicnn.backends.shapes import blank
from minicnn.data import DataLoader, Dataset
from minicnn.nn import init
from minicnn.nn.graph import evaluating
from minicnn.tensor import no_grad
from minicnn.training import Trainer
from minicnn.training.transfer import (
    feature_extractor,
    features,
    freeze,
    nearest_neighbors,
    precision_at,
    replace_head,
    unfreeze,
)


class Net(nn.Module):
    """Two convolutions with batch norms, and a head."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(4)
        self.block = nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6))
        self.fc = nn.Linear(6, 3)
        self.unused = nn.ReLU()

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        return self.fc(self.block(x).mean((2, 3)))


def net():
    manual_seed(0)
    return Net()


def images(n=24, seed=0):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (n, 1, 6, 6)).astype(np.uint8)
    return Dataset(pixels, np.arange(n) % 3)


def snapshot(model):
    return {name: array.tobytes() for name, array in model.state_dict().items()}


# ---------------------------------------------------------------------------
# Frozen layers
# ---------------------------------------------------------------------------
EARLY = ["conv1.weight", "conv1.bias", "bn1.weight", "bn1.bias"]


@pytest.mark.parametrize(
    "patterns, until, expected",
    [
        (("conv1", "bn1"), None, EARLY),
        (("*1.*",), None, [*EARLY, "block.1.weight", "block.1.bias"]),
        ((), "block", EARLY),
        ((), "block.1", [*EARLY, "block.0.weight", "block.0.bias"]),
        ((), "conv1", []),
        (("fc.bias",), "bn1", ["conv1.weight", "conv1.bias", "fc.bias"]),
        ((), None, [name for name, _ in net().named_parameters()]),
    ],
)
def test_freeze_names_what_is_frozen(patterns, until, expected):
    model = net()
    assert freeze(model, *patterns, until=until) == expected
    assert [name for name, p in model.named_parameters() if not p.requires_grad] == expected
    learning = [name for name, _ in model.named_parameters() if name not in expected]
    assert unfreeze(model, "fc") == [n for n in EARLY if n in learning] + [
        n for n in learning if n not in EARLY and not n.startswith("fc")
    ] + ["fc.weight", "fc.bias"]
    assert len(unfreeze(model)) == len(list(model.parameters()))


@pytest.mark.parametrize("until", ["bn1", "block", "block.1", "fc"])
def test_what_is_frozen_stays_to_the_bit(until):
    """Weights, and the running statistics of batch norms; all that is not frozen moves."""
    model = net()
    frozen = set(freeze(model, until=until))
    still = {name.rpartition(".")[0] for name in frozen}
    before = snapshot(model)
    learning = [p for p in model.parameters() if p.requires_grad]
    trainer = Trainer(model, optim.SGD(learning, 0.1, 0.9, 1e-2), progress=False)
    loader = DataLoader(images(), 8, shuffle=True)
    trainer.fit(loader, loader, epochs=2)
    for name, after in snapshot(model).items():
        assert (after == before[name]) == (name.rpartition(".")[0] in still), name


def test_an_optimiser_made_before_leaves_alone_what_is_frozen():
    model = net()
    optimizer = optim.SGD(model.parameters(), 0.1, weight_decay=0.1)
    x, y = Tensor(np.ones((2, 1, 6, 6), np.float32)), np.array([0, 1])
    F.cross_entropy(model(x), y).backward()
    freeze(model, "block")  # it has gradients already
    before = snapshot(model.block)
    optimizer.step()
    assert {n: snapshot(model.block)[n] for n in ("0.weight", "1.bias")} == {
        n: before[n] for n in ("0.weight", "1.bias")
    }
    assert model.fc.weight.grad is not None


@pytest.mark.parametrize("call", [freeze, unfreeze, lambda m, *p: freeze(m, *p[:1], until=p[1])])
def test_a_name_that_fits_nothing_changes_nothing(call):
    model = net()
    with pytest.raises(ValueError, match=r"Net has no parameters called 'blocks'.*names are block"):
        call(model, "conv1", "blocks")
    assert all(p.requires_grad for p in model.parameters())


def test_a_module_without_parameters_is_no_line_to_freeze_to():
    with pytest.raises(ValueError, match="no parameters called 'unused'"):
        freeze(net(), until="unused")


# ---------------------------------------------------------------------------
# Another head
# ---------------------------------------------------------------------------
FAMILIES = [
    "lenet", "alexnet", "vgg11", "googlenet", "inception_v3", "resnet18", "cifar_resnet20",
    "squeezenet1_1", "densenet121", "mobilenet_v2", "shufflenet_v2_x0_5", "efficientnet_b0",
]  # fmt: skip


@pytest.mark.parametrize("name", FAMILIES)
def test_nets_of_the_zoo_take_another_number_of_classes(name):
    with init.empty():
        model = models.build(name)
        replace_head(model, 7)
    x = Tensor(blank((1, *models.info(name).input_shape), np.float32))
    with use_backend("shapes"), evaluating(model), no_grad():
        assert model(x).shape == (1, 7)


@pytest.mark.parametrize("name, last", [("lenet5_1998", "output is RBF"), ("capsnet", "digits is")])
def test_a_head_of_an_unusual_kind_is_not_guessed(name, last):
    with init.empty():
        model = models.build(name)
    with pytest.raises(TypeError, match=f"{last}.*give the module to put there"):
        replace_head(model, 7)


def test_a_head_of_the_old_ones_kind_has_its_settings():
    model = nn.Sequential(nn.Conv2d(3, 4, (3, 1), (2, 1), (1, 0), bias=False, activation="relu"))
    new = replace_head(model, 9)
    assert model[0] is new and new.weight.shape == (9, 3, 3, 1)
    assert (new.stride, new.padding, new.bias, new.activation) == ((2, 1), (1, 0), None, "relu")


def test_a_head_of_ones_own():
    model = net().to(np.float64)
    head = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2))
    assert replace_head(model, head, "fc") is head
    assert [name for name, _ in model.named_parameters()][-4:] == [
        "fc.0.weight", "fc.0.bias", "fc.2.weight", "fc.2.bias"
    ]  # fmt: skip
    assert model(Tensor(np.ones((2, 1, 6, 6)))).shape == (2, 2)
    assert head[0].weight.dtype == np.float64


@pytest.mark.parametrize(
    "model, head, layer, error, text",
    [
        (net(), 5, "fc_", ValueError, "Net has no module 'fc_'; names are fc"),
        (net(), 5, "block", TypeError, "block is Sequential, but a number of classes needs a Lin"),
        (net(), 0, None, ValueError, "replace_head: head"),
        (nn.Sequential(nn.ReLU()), 5, None, ValueError, "no layer that could be a head"),
        (nn.Sequential(nn.Conv2d(4, 4, 3, groups=2)), 5, None, TypeError, "in one group"),
    ],
)
def test_heads_that_cannot_be(model, head, layer, error, text):
    before = snapshot(model)
    with pytest.raises(error, match=text):
        replace_head(model, head, layer)
    assert snapshot(model) == before


# ---------------------------------------------------------------------------
# Features
# ---------------------------------------------------------------------------
X = np.random.default_rng(1).random((5, 1, 6, 6)).astype(np.float32)


@pytest.mark.parametrize("layer", ["conv1", "bn1", "block.0", "block", "fc", ""])
def test_features_are_what_the_layer_puts_out(layer):
    model = net().eval()
    x = Tensor(X)
    h = model.conv1(x)
    expected = {"conv1": h, "bn1": model.bn1(h)}
    expected["block.0"] = model.block[0](F.relu(expected["bn1"]))
    expected["block"] = model.block(F.relu(expected["bn1"]))
    expected["fc"] = expected[""] = model(x)
    got = feature_extractor(model, layer)(x)
    np.testing.assert_array_equal(got.numpy(), expected[layer].numpy())


@pytest.mark.parametrize("layer", range(8))
@pytest.mark.parametrize("grad", [True, False])
def test_layers_that_are_put_together_for_speed_are_found_too(layer, grad):
    """A convolution, its norm and its activation run as one, unless one of them is asked for."""
    manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU6(),
        nn.Flatten(), nn.Linear(16, 3), nn.ReLU(),
    ).eval()  # fmt: skip
    model[1].running_mean.assign_(np.linspace(-1, 1, 4, dtype=np.float32))
    x = expected = Tensor(X)
    for module in list(model)[: layer + 1]:
        expected = module(expected)
    with contextlib.nullcontext() if grad else no_grad():
        got = feature_extractor(model, str(layer))(x)
    np.testing.assert_allclose(got.numpy(), expected.numpy(), rtol=1e-5, atol=1e-6)


def test_what_comes_after_does_not_run_and_the_net_is_as_before():
    model, ran = net(), []
    model.fc.forward = lambda x: ran.append(x) or x
    feature_extractor(model, "block")(Tensor(X))
    assert ran == [] and "forward" not in vars(model.block)
    model(Tensor(X))
    assert len(ran) == 1


def test_gradients_flow_through_an_extractor():
    model = net()
    feature_extractor(model, "bn1")(Tensor(X)).sum().backward()
    assert model.bn1.bias.grad is not None and model.fc.weight.grad is None


def test_a_layer_that_does_not_run():
    model = net()
    with pytest.raises(ValueError, match=r"unused of Net did not run on .* \(5, 1, 6, 6\)"):
        feature_extractor(model, "unused")(Tensor(X))
    assert "forward" not in vars(model.unused)
    with pytest.raises(ValueError, match="Net has no module 'blok'; names are block"):
        feature_extractor(model, "blok")


def test_an_error_on_the_way_leaves_the_net_as_it_was():
    model = net()
    with pytest.raises(ValueError, match="expects"):
        feature_extractor(model, "block")(Tensor(X[:, :, 0]))
    assert "forward" not in vars(model.block)


def test_features_of_a_loader():
    model = net()
    data = images(7)
    got, labels = features(feature_extractor(model, "block"), DataLoader(data, 3))
    assert model.training and labels.tolist() == data.labels.tolist()
    model.eval()
    whole = feature_extractor(model, "block")(Tensor(data.images.astype(np.float32) / 255))
    np.testing.assert_allclose(got, whole.numpy().mean(axis=(2, 3)), rtol=1e-5, atol=1e-6)
    scores, _ = features(feature_extractor(model, "fc"), DataLoader(data, 3))
    assert scores.shape == (7, 3)


# ---------------------------------------------------------------------------
# Neighbours
# ---------------------------------------------------------------------------
@given(st.data())
def test_neighbours_by_the_definition(data):
    M, N, D = (data.draw(st.integers(1, 6)) for _ in range(3))
    numbers = st.integers(-3, 3).map(float)  # small ones: ties happen
    a, b = (data.draw(arrays(np.float32, (rows, D), elements=numbers)) for rows in (M, N))
    k = data.draw(st.integers(1, M))
    places, distances = nearest_neighbors(a, b, k)
    for i, query in enumerate(b):
        d = [sum((float(q) - float(r)) ** 2 for q, r in zip(query, row)) ** 0.5 for row in a]
        order = sorted(range(M), key=lambda j: (d[j], j))[:k]
        assert places[i].tolist() == order
        np.testing.assert_allclose(distances[i], [d[j] for j in order], rtol=1e-12)


def test_near_ones_far_from_the_origin_are_told_apart():
    a = np.array([[1e8, 1.0], [1e8, 2.0], [1e8, 4.0]])
    assert nearest_neighbors(a, a[1:2] + np.array([0, 0.6]), 3)[0].tolist() == [[1, 2, 0]]


def test_precision_by_hand():
    a, labels = np.array([[0.0], [1], [2], [10], [11]]), [0, 0, 1, 1, 1]
    # of 0.4 the nearest two are 0 and 1 (right, right), of 10 10 and 11, of 1.6 2 and 1 (one right)
    assert precision_at(2, a, labels, [[0.4], [10], [1.6]], [0, 1, 0]) == pytest.approx(2.5 / 3)


@pytest.mark.parametrize(
    "a, b, k, text",
    [
        (np.ones((3, 2)), np.ones((1, 2)), 4, "k is 4, but there are 3 references"),
        (np.ones((3, 2)), np.ones((1, 3)), 1, r"got \(3, 2\) and \(1, 3\)"),
        (np.ones((3, 2)), np.ones(2), 1, r"expects references \(M, D\) and queries \(N, D\)"),
        (np.ones((3, 2)), np.ones((1, 2)), 0, "nearest_neighbors: k"),
    ],
)
def test_neighbours_that_cannot_be(a, b, k, text):
    with pytest.raises(ValueError, match=text):
        nearest_neighbors(a, b, k)
