"""Layers put together where nobody watches: the same numbers, and nothing that nobody asked for."""

from __future__ import annotations

import numpy as np
import pytest

import minicnn
from minicnn import Tensor, nn, no_grad, use_backend
from minicnn import functional as F
from minicnn.models.resnet import BasicBlock
from minicnn.nn.graph import trace
from minicnn.nn.in_turn import in_turn


def net(activation=nn.ReLU, affine=True, bias=False, groups=1):
    """Two convolutions with all that can follow one, statistics as after training."""
    minicnn.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(4, 8, 3, padding=1, bias=bias, groups=groups),
        nn.BatchNorm2d(8, affine=affine),
        activation(),
        nn.Conv2d(8, 6, 3, padding="same", padding_mode="reflect"),
        activation(),
        nn.Flatten(),
        nn.Linear(6 * 25, 3),
        activation(),
    )
    random = np.random.default_rng(1)
    norm = model[1]
    norm.running_mean.assign_(random.standard_normal(8).astype(np.float32))
    norm.running_var.assign_(random.uniform(0.5, 2, 8).astype(np.float32))
    if affine:
        norm.weight.assign_(random.standard_normal(8).astype(np.float32))
        norm.bias.assign_(random.standard_normal(8).astype(np.float32))
    return model


def image():
    return Tensor(np.random.default_rng(2).standard_normal((2, 4, 5, 5)).astype(np.float32))


def names(model, x):
    """The operations that run: a profile's recorder watches the clock only."""
    from minicnn.analysis.profile import Stopwatch
    from minicnn.tensor import _recorder

    watch = Stopwatch(model)
    token = _recorder.set(watch)
    try:
        model(x)
    finally:
        _recorder.reset(token)
    return [name for _, name, *_ in watch.rows]


@pytest.mark.parametrize("activation", [nn.ReLU, nn.ReLU6, nn.Tanh])
@pytest.mark.parametrize("backend", ["fast", "emulator"])
@pytest.mark.parametrize("settings", [{}, {"affine": False, "bias": True}, {"groups": 4}])
def test_evaluation_gives_what_layers_apart_give(activation, backend, settings):
    model = net(activation, **settings).eval()
    with use_backend("numpy"), no_grad():
        apart = model(image()).numpy()
    with use_backend(backend), no_grad():
        np.testing.assert_allclose(model(image()).numpy(), apart, atol=2e-5)


def test_training_gives_the_gradients_of_layers_apart():
    found = []
    for backend in ("numpy", "fast"):
        model = net()
        with use_backend(backend):
            F.cross_entropy(model(image()), np.array([0, 2])).backward()
        found.append([p.grad.numpy() for p in model.parameters()])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_what_runs():
    model, x = net(), image()
    with use_backend("fast"):
        assert names(model, x) == ["Conv2d", "Moments", "BatchNorm", "Pad", "Conv2d", "Reshape",
                                   "Linear"]  # fmt: skip
        model.eval()
        assert names(model, x)[:2] == ["Conv2d", "BatchNorm"]  # a gradient could be wanted
        with no_grad():
            assert names(model, x) == ["Conv2d", "Pad", "Conv2d", "Reshape", "Linear"]
        model[1].train()
        with no_grad():
            assert names(model, x)[:3] == ["Conv2d", "Moments", "BatchNorm"]


def test_filters_that_outnumber_what_they_give_are_not_multiplied():
    """A convolution of 36 weights a filter and its normalization, over 36 places and over 35."""
    model = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()).eval()
    random = np.random.default_rng(2)
    with use_backend("fast"), no_grad():
        for size, expected in (((6, 6), ["Conv2d"]), ((5, 7), ["Conv2d", "BatchNorm"])):
            x = Tensor(random.standard_normal((1, 4, *size)).astype(np.float32))
            assert names(model, x) == expected


def block():
    """A residual block, statistics and factors as after training."""
    minicnn.manual_seed(0)
    model, random = BasicBlock(4, 6, stride=2), np.random.default_rng(1)
    for _, module in model.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.assign_(random.standard_normal(6).astype(np.float32))
            module.running_var.assign_(random.uniform(0.5, 2, 6).astype(np.float32))
            module.weight.assign_(random.standard_normal(6).astype(np.float32))
    return model


def test_what_comes_around_is_added_at_the_end():
    model, x = block(), image()
    with use_backend("fast"):
        inside = ["Conv2d", "Moments", "BatchNorm"]
        assert names(model, x) == inside * 3
        with no_grad():
            model.eval()  # the way around is folded: its filters have 4 weights each
            assert names(model, x) == ["Conv2d"] + ["Conv2d", "BatchNorm"] * 2
    shown = [node.name for node in trace(model, x).nodes]
    assert shown == ["Conv2d", "BatchNorm"] * 2 + ["ReLU", "Conv2d", "BatchNorm", "Add", "ReLU"]


@pytest.mark.parametrize("backend", ["fast", "compiled", "emulator"])
@pytest.mark.parametrize("training", [True, False])
def test_a_block_gives_what_its_layers_give_apart(backend, training):
    found = []
    for name in ("numpy", backend):
        model, x = block().train(training), image()
        x.requires_grad = True
        with use_backend(name):
            y = model(x)
            (y * y).sum().backward()
            with no_grad():
                again = model.eval()(x)
        found.append([y.numpy(), again.numpy(), x.grad.numpy(),
                      *(p.grad.numpy() for p in model.parameters())])  # fmt: skip
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(other, one, atol=2e-5 * max(1, np.abs(one).max()))


def test_a_recorded_pass_shows_every_layer():
    graph = trace(net().eval(), image())
    assert [node.name for node in graph.nodes] == [
        "Conv2d", "BatchNorm", "ReLU", "Pad", "Conv2d", "ReLU", "Reshape", "Linear", "ReLU",
    ]  # fmt: skip


def test_a_forward_of_somebody_s_own_is_left_alone():
    class Doubled(nn.ReLU):
        def forward(self, x):
            return super().forward(x) * 2

    class Plain(nn.Conv2d):
        def forward(self, x):
            return super().forward(x)

    minicnn.manual_seed(0)
    layers = [Plain(4, 8, 3), nn.ReLU(), nn.Conv2d(8, 2, 3), Doubled()]
    with use_backend("fast"):
        together = nn.Sequential(*layers)(image()).numpy()
        x = F.relu(layers[0](image()))
        np.testing.assert_allclose(together, (F.relu(layers[2](x)) * 2).numpy(), rtol=1e-6)


def test_a_layer_that_activates_already_does_so_first():
    layer = nn.Conv2d(4, 8, 3, activation="relu6")
    with use_backend("fast"):
        found = in_turn([layer], image() * 30, "relu")
        np.testing.assert_array_equal(found.numpy(), layer(image() * 30).numpy())


def test_nothing_learns_or_moves_in_evaluation():
    model = net().eval()
    before = {name: array.copy() for name, array in model.state_dict().items()}
    with use_backend("fast"), no_grad():
        model(image())
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
