"""Modules: names, state, modes, initialisation."""

from __future__ import annotations

import numpy as np
import pytest

import minicnn
from minicnn import Tensor, nn
from minicnn import functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 2, 3, padding=1)
        self.rest = nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(32, 3, bias=False))

    def forward(self, x):
        return self.rest(self.first(x))


def test_parameters_by_name():
    names = {name: p.shape for name, p in Net().named_parameters()}
    assert names == {
        "first.weight": (2, 1, 3, 3), "first.bias": (2,), "rest.2.weight": (3, 32),
    }  # fmt: skip
    assert Net().num_parameters() == 18 + 2 + 96


def test_a_shared_parameter_is_counted_once():
    net = Net()
    net.again = net.first
    assert net.num_parameters() == 116
    assert "again.weight" not in net.state_dict()


def test_repr_is_a_tree():
    assert repr(Net()) == (
        "Net(\n"
        "  (first): Conv2d(1, 2, kernel_size=(3, 3), padding=(1, 1))\n"
        "  (rest): Sequential(\n"
        "    (0): ReLU()\n"
        "    (1): Flatten()\n"
        "    (2): Linear(32, 3, bias=False)\n"
        "  )\n"
        ")"
    )


def test_train_and_eval_reach_the_whole_tree():
    net = Net().eval()
    assert not any(m.training for _, m in net.named_modules())
    assert all(m.training for _, m in net.train().named_modules())


def test_state_goes_out_and_in():
    a, b = Net(), Net()
    x = Tensor(np.random.default_rng(0).standard_normal((2, 1, 4, 4)).astype(np.float32))
    assert not np.array_equal(a(x).numpy(), b(x).numpy())
    state = {name: value.copy() for name, value in a.state_dict().items()}
    b.load_state_dict(state)
    np.testing.assert_array_equal(a(x).numpy(), b(x).numpy())


def test_a_state_that_does_not_fit_changes_nothing_and_is_described_whole():
    net = Net()
    before = {name: value.copy() for name, value in net.state_dict().items()}
    state = {"first.weight": np.zeros((2, 1, 5, 5)), "rest.2.weight": np.ones((3, 32)), "extra": 1}
    with pytest.raises(ValueError) as error:
        net.load_state_dict(state)
    for part in (
        "Net was not changed", "missing: first.bias", "unexpected: extra",
        "first.weight has shape (2, 1, 5, 5), but the model's has (2, 1, 3, 3)",
    ):  # fmt: skip
        assert part in str(error.value)
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    with pytest.raises(ValueError, match="first.bias holds <U1, but numbers are needed"):
        net.load_state_dict({**before, "first.bias": np.array(["a", "b"])})


def test_weights_lie_channels_last_and_load_from_any_order():
    net = Net()
    layer = nn.Conv2d(3, 4, 3)
    assert layer.weight._data.transpose(0, 2, 3, 1).flags.c_contiguous
    values = np.random.default_rng(0).standard_normal((2, 1, 3, 3)).astype(np.float32)
    net.load_state_dict({**net.state_dict(), "first.weight": np.asfortranarray(values)})
    np.testing.assert_array_equal(net.first.weight.numpy(), values)


def test_to_converts_parameters_and_refuses_integers():
    net = Net().to(np.float64)
    assert {p.dtype for p in net.parameters()} == {np.dtype(np.float64)}
    with pytest.raises(TypeError, match="parameters must be float32 or float64"):
        net.to(np.int64)
    assert {p.dtype for p in net.parameters()} == {np.dtype(np.float64)}


def test_zero_grad():
    net = Net()
    F.cross_entropy(net(Tensor(np.ones((1, 1, 4, 4), np.float32))), [0]).backward()
    assert all(p.grad is not None for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_sequential_is_indexed_and_iterated():
    net = nn.Sequential(nn.ReLU(), nn.Flatten())
    assert len(net) == 2 and isinstance(net[1], nn.Flatten) and next(iter(net)) is net[0]
    with pytest.raises(TypeError, match="Sequential: expects modules, but argument 0 is"):
        nn.Sequential(F.relu)


def test_layers_call_the_function_of_their_name(backend):
    x = Tensor(np.random.default_rng(0).standard_normal((2, 3, 7, 7)).astype(np.float32))
    pairs = [
        (nn.MaxPool2d(3, 2, 1), lambda x: F.max_pool2d(x, 3, 2, 1)),
        (nn.AvgPool2d((2, 3)), lambda x: F.avg_pool2d(x, (2, 3))),
        (nn.ReLU(), F.relu), (nn.Tanh(), F.tanh), (nn.Sigmoid(), F.sigmoid),
        (nn.Flatten(), lambda x: x.flatten(1)), (nn.Flatten(2), lambda x: x.flatten(2)),
    ]  # fmt: skip
    with backend.running():
        x = x.to(backend.device)
        for layer, function in pairs:
            np.testing.assert_array_equal(layer(x).numpy(), function(x).numpy())
        scores = Tensor(np.eye(3, dtype=np.float32)).to(backend.device)
        loss = nn.CrossEntropyLoss()(scores, [0, 1, 2])
        assert loss.item() == F.cross_entropy(scores, [0, 1, 2]).item()


# ---------------------------------------------------------------------------
# Initialisation
# ---------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["uniform", "normal"])
@pytest.mark.parametrize(
    ("scheme", "variance"), [("lecun", 1 / 450), ("xavier", 2 / (450 + 720)), ("he", 2 / 450)]
)
def test_schemes_have_their_variance(scheme, variance, kind):
    minicnn.manual_seed(1)
    weight = nn.Parameter(np.empty((80, 50, 3, 3), np.float32))
    getattr(nn.init, f"{scheme}_{kind}_")(weight)
    values = weight.numpy()
    assert values.var() == pytest.approx(variance, rel=0.03)
    assert abs(values.mean()) < 3 * np.sqrt(variance / values.size)
    if kind == "uniform":
        assert np.abs(values).max() <= np.sqrt(3 * variance)


def test_the_same_seed_gives_the_same_weights():
    minicnn.manual_seed(5)
    a = Net().state_dict()
    minicnn.manual_seed(5)
    b = Net().state_dict()
    minicnn.manual_seed(6)
    c = Net().state_dict()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])
    assert not np.array_equal(a["first.weight"], c["first.weight"])


def test_uniform_normal_and_constant():
    t = Tensor(np.empty(10_000, np.float32))
    assert nn.init.uniform_(t, 1, 3).numpy().min() >= 1 and t.numpy().max() < 3
    assert nn.init.normal_(t, 5.0, 0.1).numpy().mean() == pytest.approx(5, abs=0.01)
    assert (nn.init.constant_(t, 0.5).numpy() == 0.5).all()


class Empty(nn.Module):
    pass


ERRORS = {
    "Conv2d channels": (lambda: nn.Conv2d(0, 3, 3), ValueError, "Conv2d: in_channels expects 1 or"),
    "Conv2d channel kind": (lambda: nn.Conv2d(1, 2.5, 3), TypeError, "out_channels expects an int"),
    "Conv2d kernel": (lambda: nn.Conv2d(1, 1, 0), ValueError, "Conv2d: kernel_size expects"),
    "Conv2d stride": (lambda: nn.Conv2d(1, 1, 3, stride="a"), TypeError, "Conv2d: stride expects"),
    "Conv2d padding": (lambda: nn.Conv2d(1, 1, 3, padding=-1), ValueError, "padding expects .* -1"),
    "Linear": (lambda: nn.Linear(3, True), TypeError, "Linear: out_features expects an int"),
    "MaxPool2d": (lambda: nn.MaxPool2d(2, 0), ValueError, "MaxPool2d: stride expects"),
    "AvgPool2d": (lambda: nn.AvgPool2d(None), TypeError, "AvgPool2d: kernel_size expects"),
    "no forward": (lambda: Empty()(1), NotImplementedError, "Empty defines no forward"),
    "fans": (
        lambda: nn.init.he_normal_(Tensor(np.ones(3))), ValueError,
        r"weights of two dimensions or more, but got shape \(3,\)"),
    "seed": (lambda: minicnn.manual_seed(-1), ValueError, "a seed of 0 or more, but got -1"),
    "seed kind": (lambda: minicnn.manual_seed("1"), TypeError, "expects an int, but got '1'"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors_say_what_was_given_and_what_the_rule_is(name):
    call, error, text = ERRORS[name]
    with pytest.raises(error, match=text):
        call()
