"""Optimisers: their formulas, PyTorch's, groups, clipping, and their errors."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minicnn import Tensor, models, nn
from minicnn import functional as F
from minicnn.optim import (
    SGD,
    Adam,
    AdamW,
    clip_grad_norm_,
    clip_grad_value_,
    grad_norm,
    is_vector,
    named_groups,
)

SETTINGS = [
    pytest.param({}, id="plain"),
    pytest.param({"weight_decay": 0.1}, id="weight decay"),
    pytest.param({"momentum": 0.9}, id="momentum"),
    pytest.param({"momentum": 0.9, "weight_decay": 0.1}, id="momentum and decay"),
    pytest.param({"momentum": 0.9, "nesterov": True}, id="Nesterov"),
    pytest.param({"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}, id="all"),
]
SHAPES = [(3,), (4, 2), (3, 2, 5, 4)]
LRS = [0.1, 0.1, 0.05, 0.02, 0.02]  # a schedule: lr changes from step to step


def values(shape, seed, dtype=np.float64):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def gradient(k, step, dtype=np.float64):
    return values(SHAPES[k], 100 * step + k, dtype)


def trained(settings, dtype=np.float64, kind=SGD):
    """The parameters after five steps, `gradient(k, step)` being the k-th one's gradient."""
    parameters = [
        Tensor(values(shape, k, dtype), requires_grad=True) for k, shape in enumerate(SHAPES)
    ]
    optimizer = kind(parameters, lr=LRS[0], **settings)
    for step, lr in enumerate(LRS):
        optimizer.lr = lr
        give_gradients(parameters, step, dtype)
        optimizer.step()
    return [p.numpy() for p in parameters]


def give_gradients(parameters, step, dtype=np.float64):
    for k, p in enumerate(parameters):
        p.grad = None
        (p * Tensor(gradient(k, step, dtype))).sum().backward()


# ---------------------------------------------------------------------------
# Values
# ---------------------------------------------------------------------------
@pytest.mark.parametrize("settings", SETTINGS)
def test_follows_its_formulas(settings):
    decay, momentum = settings.get("weight_decay", 0.0), settings.get("momentum", 0.0)
    for k, found in enumerate(trained(settings)):
        w = values(SHAPES[k], k)
        v = np.zeros_like(w)
        for step, lr in enumerate(LRS):
            g = gradient(k, step) + decay * w
            v = momentum * v + g
            w = w - lr * (g + momentum * v if settings.get("nesterov") else v)
        np.testing.assert_allclose(found, w, rtol=1e-12, atol=1e-12)


ADAMS = [
    pytest.param(Adam, {}, id="Adam"),
    pytest.param(Adam, {"weight_decay": 0.1}, id="Adam, decay"),
    pytest.param(Adam, {"amsgrad": True, "betas": (0.5, 0.6)}, id="AMSGrad"),
    pytest.param(Adam, {"eps": 0.1, "betas": (0.0, 0.9)}, id="Adam, eps"),
    pytest.param(AdamW, {}, id="AdamW"),
    pytest.param(AdamW, {"weight_decay": 0.3, "amsgrad": True}, id="AdamW, all"),
]
SGDS = [pytest.param(SGD, *p.values, id=f"SGD, {p.id}") for p in SETTINGS]


@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-12), (np.float32, 1e-5)])
@pytest.mark.parametrize("kind, settings", SGDS + ADAMS)
def test_agrees_with_pytorch(kind, settings, dtype, tolerance):
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    theirs = [
        torch.tensor(values(shape, k, dtype), requires_grad=True) for k, shape in enumerate(SHAPES)
    ]
    optimizer = getattr(torch.optim, kind.__name__)(theirs, lr=LRS[0], **settings)
    for step, lr in enumerate(LRS):
        optimizer.param_groups[0]["lr"] = lr
        for k, p in enumerate(theirs):
            p.grad = torch.tensor(gradient(k, step, dtype))
        optimizer.step()
    for p, found in zip(theirs, trained(settings, dtype, kind)):
        assert found.dtype == dtype
        np.testing.assert_allclose(found, p.detach().numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kind", [SGD, Adam, AdamW])
def test_defaults_are_pytorchs(kind):
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    theirs = getattr(torch.optim, kind.__name__)([torch.zeros(1, requires_grad=True)])
    ours = kind([Tensor([0.0], requires_grad=True)])
    default_lr = {"lr": 0.01} if kind is SGD else {}  # theirs is 0.001 in newer versions
    for name, value in ours.param_groups[0].items():
        if name != "params":
            assert value == default_lr.get(name, theirs.param_groups[0][name])


def test_adam_follows_its_formulas():
    b1, b2, eps = 0.8, 0.9, 1e-3
    for k, found in enumerate(trained({"betas": (b1, b2), "eps": eps}, kind=Adam)):
        w, m, v = values(SHAPES[k], k), 0.0, 0.0
        for step, lr in enumerate(LRS):
            g = gradient(k, step)
            m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
            t = step + 1
            w = w - lr * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
        np.testing.assert_allclose(found, w, rtol=1e-12, atol=1e-12)


def test_descends():
    """Minimum of (w - 3)^2, found from far away."""
    w = Tensor(np.array([100.0]), requires_grad=True)
    optimizer = SGD([w], lr=0.1, momentum=0.5)
    for _ in range(100):
        optimizer.zero_grad()
        ((w - 3) * (w - 3)).sum().backward()
        optimizer.step()
    assert w.item() == pytest.approx(3, abs=1e-6)


@pytest.mark.parametrize("kind, settings", SGDS + ADAMS)
def test_the_gradient_is_not_changed(kind, settings):
    w = Tensor(values((3,), 0), requires_grad=True)
    (w * Tensor(values((3,), 1))).sum().backward()
    kind([w], **settings).step()
    np.testing.assert_array_equal(w.grad.numpy(), values((3,), 1))


@pytest.mark.parametrize("kind", [SGD, Adam, AdamW])
def test_parameters_stay_channels_last(kind):
    net = models.build("lenet")
    optimizer = kind(net.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        F.cross_entropy(net(Tensor(values((2, 1, 28, 28), 0, np.float32))), [1, 2]).backward()
        optimizer.step()
    for w in (net.conv1.weight, net.conv2.weight):
        for array in (w.data, *optimizer.state[w].values()):
            if np.ndim(array):
                assert array.transpose(0, 2, 3, 1).flags.c_contiguous


# ---------------------------------------------------------------------------
# Who is moved
# ---------------------------------------------------------------------------
@pytest.mark.parametrize("kind, settings", SGDS + ADAMS)
def test_a_parameter_without_gradient_is_left_alone(kind, settings):
    used, unused = (Tensor(values((3,), k), requires_grad=True) for k in range(2))
    optimizer = kind([used, unused], lr=0.5, **settings)
    (used * used).sum().backward()
    optimizer.step()
    np.testing.assert_array_equal(unused.numpy(), values((3,), 1))
    assert not np.array_equal(used.numpy(), values((3,), 0))


def test_zero_grad_forgets():
    w = Tensor(values((3,), 0), requires_grad=True)
    (w * w).sum().backward()
    optimizer = SGD([w], lr=0.5, weight_decay=0.1)
    optimizer.zero_grad()
    assert w.grad is None
    optimizer.step()
    np.testing.assert_array_equal(w.numpy(), values((3,), 0))


def test_a_step_before_backward_is_noticed():
    w = Tensor(values((3,), 0), requires_grad=True)
    (w * w).sum().backward()
    loss = (w * w).sum()
    SGD([w], lr=0.1).step()
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


# ---------------------------------------------------------------------------
# Groups
# ---------------------------------------------------------------------------
@pytest.mark.parametrize("kind", [SGD, Adam, AdamW])
def test_groups_agree_with_pytorch(kind):
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    own = {"lr": 0.02, "weight_decay": 0.0}
    ours = [Tensor(values(shape, k), requires_grad=True) for k, shape in enumerate(SHAPES)]
    theirs = [torch.tensor(p.numpy().copy(), requires_grad=True) for p in ours]
    optimizers = [
        made([{"params": tensors[:2]}, {"params": tensors[2], **own}], lr=0.1, weight_decay=0.2)
        for made, tensors in ((kind, ours), (getattr(torch.optim, kind.__name__), theirs))
    ]
    for step in range(4):
        give_gradients(ours, step)
        for k, p in enumerate(theirs):
            p.grad = torch.tensor(gradient(k, step))
        for optimizer in optimizers:
            optimizer.param_groups[1]["lr"] /= 2
            optimizer.step()
    for p, q in zip(ours, theirs):
        np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=1e-12, atol=1e-12)


def names_of(net, groups):
    names = {id(p): name for name, p in net.named_parameters()}
    return [
        ([names[id(p)] for p in g["params"]], {k: v for k, v in g.items() if k != "params"})
        for g in groups
    ]


def test_named_groups():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(2, 3), nn.Linear(3, 4))
    net[3].bias.requires_grad = False
    rules = (is_vector, {"weight_decay": 0}), ("0", {"lr": 0.1}), ("[12].weight", {"lr": 0.2})
    assert names_of(net, named_groups(net, *rules)) == [
        (["0.weight"], {"lr": 0.1}),
        (["0.bias"], {"weight_decay": 0, "lr": 0.1}),
        (["1.weight"], {"weight_decay": 0, "lr": 0.2}),
        (["1.bias", "2.bias"], {"weight_decay": 0}),
        (["2.weight"], {"lr": 0.2}),
        (["3.weight"], {}),
    ]
    groups = SGD(named_groups(net, *rules), lr=1.0, weight_decay=0.5).param_groups
    assert [g["lr"] for g in groups] == [0.1, 0.1, 0.2, 1.0, 0.2, 1.0]
    assert [g["weight_decay"] for g in groups] == [0.5, 0.0, 0.0, 0.0, 0.5, 0.5]


def test_a_rule_that_fits_nothing():
    with pytest.raises(ValueError, match=r"no parameter of LeNet fits 'con1'; names are conv1"):
        named_groups(models.build("lenet"), ("con1", {"lr": 0.1}))


def test_weight_decay_of_a_group_is_l2_on_its_layers():
    """As if (decay / 2) w^2 of one layer were added to the loss."""
    weights = []
    for way in ("group", "loss"):
        a, b = (Tensor(values((3,), k), requires_grad=True) for k in range(2))
        groups = [{"params": [a], "weight_decay": 0.4 * (way == "group")}, {"params": [b]}]
        loss = (a * b).sum() + ((a * a).sum() * 0.2 if way == "loss" else 0.0)
        loss.backward()
        SGD(groups, lr=0.1).step()
        weights.append(np.concatenate([a.numpy(), b.numpy()]))
    np.testing.assert_allclose(*weights, rtol=1e-12)


# ---------------------------------------------------------------------------
# State
# ---------------------------------------------------------------------------
@pytest.mark.parametrize("kind, settings", SGDS + ADAMS)
def test_a_state_is_gone_on_from(kind, settings):
    def tensors(source):
        return [Tensor(np.array(p), requires_grad=True) for p in source]

    ours = tensors(values(shape, k) for k, shape in enumerate(SHAPES))
    optimizer = kind(ours, lr=0.1, **settings)
    for step in range(6):
        if step == 3:
            other = tensors(p.numpy() for p in ours)
            again = kind(other, lr=0.7)
            again.load_state_dict(optimizer.state_dict())
            ours, optimizer = other, again
        give_gradients(ours, step)
        optimizer.step()
    whole = tensors(values(shape, k) for k, shape in enumerate(SHAPES))
    optimizer = kind(whole, lr=0.1, **settings)
    for step in range(6):
        give_gradients(whole, step)
        optimizer.step()
    for p, q in zip(ours, whole):
        np.testing.assert_array_equal(p.numpy(), q.numpy())


def test_adam_is_the_same_on_every_backend(backend):
    """There is no kernel for it: every backend runs the readable drawing."""
    weights = []
    for _ in range(2):
        w = Tensor(values((4, 2), 0), requires_grad=True).to(backend.device).detach()
        w.requires_grad = True
        with backend.running():
            (w * w).sum().backward()
            Adam([w]).step()
        weights.append(w.numpy())
    np.testing.assert_array_equal(*weights)


# ---------------------------------------------------------------------------
# Clipping
# ---------------------------------------------------------------------------
@pytest.mark.parametrize("max_norm", [0.1, 3.0, 1e6])
@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-12), (np.float32, 1e-6)])
def test_clipping_agrees_with_pytorch(max_norm, dtype, tolerance):
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    ours = [Tensor(values(shape, 0, dtype), requires_grad=True) for shape in SHAPES]
    theirs = [torch.tensor(p.numpy().copy(), requires_grad=True) for p in ours]
    for clip, their_clip in (
        (clip_grad_norm_, torch.nn.utils.clip_grad_norm_),
        (clip_grad_value_, torch.nn.utils.clip_grad_value_),
    ):
        give_gradients(ours, 0, dtype)
        for k, p in enumerate(theirs):
            p.grad = torch.tensor(gradient(k, 0, dtype))
        norm, their_norm = clip(ours, max_norm), their_clip(theirs, max_norm)
        if norm is not None:
            assert norm == pytest.approx(float(their_norm), rel=tolerance)
        for p, q in zip(ours, theirs):
            assert p.grad.dtype == dtype
            np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=tolerance)


def test_norm_of_gradients_whose_squares_overflow():
    p, unused = (Tensor(np.ones(4, np.float32), requires_grad=True) for _ in range(2))
    p.grad = Tensor(np.full(4, 1e30, np.float32))
    assert grad_norm([p, unused]) == pytest.approx(2e30, rel=1e-6)
    clip_grad_norm_([p, unused], 1.0)
    np.testing.assert_allclose(p.grad.numpy(), 0.5, rtol=1e-6)
    assert grad_norm([unused]) == 0.0
    p.grad = Tensor(np.array([1, np.inf, 0, 0], np.float32))
    assert grad_norm([p]) == math.inf


@pytest.mark.parametrize("clip", [clip_grad_norm_, clip_grad_value_])
@pytest.mark.parametrize("limit, error", [(0.0, ValueError), (-1, ValueError), ("1", TypeError)])
def test_errors_of_clipping(clip, limit, error):
    with pytest.raises(error, match=rf"{clip.__name__}: \w+ expects a number over 0, but got"):
        clip([], limit)


# ---------------------------------------------------------------------------
# Errors
# ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    "name, value, error, text",
    [
        ("lr", -0.1, ValueError, "lr expects a number of 0 or more and finite, but got -0.1"),
        ("lr", math.inf, ValueError, "lr expects .* but got inf"),
        ("lr", math.nan, ValueError, "lr expects .* but got nan"),
        ("lr", "fast", TypeError, "lr expects a number .*, but got 'fast'"),
        ("lr", True, TypeError, "lr expects a number .*, but got True"),
        ("momentum", 1.0, ValueError, "momentum expects a number of 0 or more and under 1"),
        ("momentum", -0.5, ValueError, "momentum expects .* but got -0.5"),
        ("weight_decay", -1, ValueError, "weight_decay expects .* but got -1"),
        ("weight_decay", None, TypeError, "weight_decay expects a number .*, but got None"),
        ("nesterov", True, ValueError, "nesterov=True needs a momentum over 0"),
    ],
)
def test_errors_in_settings(name, value, error, text):
    with pytest.raises(error, match=f"SGD: {text}"):
        SGD([Tensor([1.0], requires_grad=True)], **{name: value})


def test_errors_in_parameters():
    w = Tensor([1.0], requires_grad=True)
    with pytest.raises(ValueError, match="expects at least one parameter, but got none"):
        SGD([])
    with pytest.raises(ValueError, match="a parameter is in the list twice"):
        SGD([w, w])
    with pytest.raises(TypeError, match="expects tensors with requires_grad=True, but got Tensor"):
        SGD([w, Tensor([2.0])])
    with pytest.raises(TypeError, match=r"requires_grad=True, but got array"):
        SGD([np.ones(2)])


def test_errors_in_groups():
    w, v = (Tensor([1.0], requires_grad=True) for _ in range(2))
    with pytest.raises(TypeError, match="every group expects to be a dict with 'params', but got"):
        SGD([{"params": [w]}, v])
    with pytest.raises(TypeError, match="every group expects to be a dict with 'params', but got"):
        SGD([{"lr": 1.0}])
    with pytest.raises(ValueError, match="unknown setting 'beta'; it may have lr, momentum"):
        SGD([{"params": [w], "beta": 1.0}])
    with pytest.raises(ValueError, match="Adam: lr expects a number of 0 or more"):
        Adam([{"params": [w], "lr": -1.0}])
    with pytest.raises(ValueError, match="a parameter is in the list twice"):
        SGD([{"params": [w]}, {"params": w}])


@pytest.mark.parametrize(
    "settings, error, text",
    [
        ({"betas": (0.9, 1.0)}, ValueError, r"betas\[1\] expects a number .* under 1"),
        ({"betas": 0.9}, TypeError, "betas expects a pair of numbers, but got 0.9"),
        ({"eps": 0.0}, ValueError, "eps expects a number over 0 and finite, but got 0.0"),
        ({"weight_decay": -1}, ValueError, "weight_decay expects .* but got -1"),
        ({"lr": "x"}, TypeError, "lr expects .* but got 'x'"),
    ],
)
@pytest.mark.parametrize("kind", [Adam, AdamW])
def test_errors_of_adam(kind, settings, error, text):
    with pytest.raises(error, match=f"{kind.__name__}: {text}"):
        kind([Tensor([1.0], requires_grad=True)], **settings)


def test_a_state_of_other_parameters():
    one, two = ([Tensor(np.ones(n), requires_grad=True)] for n in (2, 3))
    first, second = SGD(one, momentum=0.9), SGD(two, momentum=0.5)
    give = first.state_dict()
    give["state"][0]["momentum_buffer"] = np.ones(2)
    with pytest.raises(ValueError, match="was not changed, because the state is that of other"):
        second.load_state_dict(give)
    assert second.param_groups[0]["momentum"] == 0.5
    with pytest.raises(ValueError, match="another kind of optimiser"):
        Adam(one).load_state_dict(give)
