"""Fused operations, y = activation(z + add): against the operations one by one, memory, errors.

The contract (test_operations.py) runs them over their whole range; here are facts of their own.
"""

from __future__ import annotations

import numpy as np
import pytest

import minicnn
from minicnn import Tensor, nn, use_backend
from minicnn import functional as F
from minicnn.ops.epilogue import ACTIVATIONS


def leaf(*shape, seed=0, dtype=np.float64):
    values = np.random.default_rng(seed).standard_normal(shape).astype(dtype)
    return Tensor(values, requires_grad=True)


def statistics(x):
    """A mean and a variance for each of 4 channels, where x lies."""
    mean, var = [0.1, -0.2, 0.3, 0.0], [1.0, 2.0, 0.5, 1.5]
    return [Tensor(np.array(values)).to(x.device) for values in (mean, var)]


CALLS = {  # function -> (call(*tensors, **fused), its tensors, add last)
    "conv2d": (
        lambda x, w, b, **fused: F.conv2d(x, w, b, 2, 1, **fused),
        [(2, 3, 5, 6), (4, 3, 3, 3), (4,), (2, 4, 3, 3)]),
    "conv2d, 1x1": (
        lambda x, w, b, **fused: F.conv2d(x, w, b, **fused),
        [(2, 3, 3, 3), (4, 3, 1, 1), (4,), (2, 4, 3, 3)]),
    "conv2d, groups": (
        lambda x, w, b, **fused: F.conv2d(x, w, b, groups=2, **fused),
        [(2, 4, 5, 6), (4, 2, 3, 3), (4,), (2, 4, 3, 4)]),
    "conv2d, depthwise": (
        lambda x, w, b, **fused: F.conv2d(x, w, b, groups=2, **fused),
        [(2, 2, 5, 6), (4, 1, 3, 3), (4,), (2, 4, 3, 4)]),
    "linear": (F.linear, [(3, 5), (4, 5), (4,), (3, 4)]),
    "linear, one row": (F.linear, [(5,), (4, 5), (4,), (4,)]),
    "batch_norm, training": (
        lambda x, w, b, **fused: F.batch_norm(x, None, None, w, b, True, **fused),
        [(2, 4, 3, 3), (4,), (4,), (2, 4, 3, 3)]),
    "batch_norm, sequence": (
        lambda x, w, b, **fused: F.batch_norm(x, None, None, w, b, True, **fused),
        [(2, 4, 3), (4,), (4,), (2, 4, 3)]),
    "batch_norm, evaluation": (
        lambda x, w, b, **fused: F.batch_norm(x, *statistics(x), w, b, **fused),
        [(2, 4, 3, 3), (4,), (4,), (2, 4, 3, 3)]),
    "batch_norm, no weights": (
        lambda x, w, b, **fused: F.batch_norm(x, *statistics(x), **fused) + 0 * (w + b).sum(),
        [(2, 4, 3, 3), (4,), (4,), (2, 4, 3, 3)]),
}  # fmt: skip


def results(backend, call, tensors):
    """[output, gradients...] of one call, with a fixed output gradient."""
    for t in tensors:
        t.grad = None
    with backend.running():
        y = call(*[t.to(backend.device) for t in tensors])
        y.backward(np.random.default_rng(9).standard_normal(y.shape))
    return [y.numpy(), *[t.grad.numpy() for t in tensors]]


@pytest.mark.parametrize("activation", [None, *ACTIVATIONS])
@pytest.mark.parametrize("name", CALLS)
def test_fused_is_the_same_as_one_by_one(name, activation, backend):
    function, shapes = CALLS[name]
    tensors = [leaf(*shape, seed=k) for k, shape in enumerate(shapes)]

    def fused(*inputs):
        *inputs, add = inputs
        return function(*inputs, activation=activation, add=add)

    def one_by_one(*inputs):
        *inputs, add = inputs
        z = function(*inputs) + add
        return z if activation is None else getattr(F, activation)(z)

    for got, expected in zip(
        results(backend, fused, tensors), results(backend, one_by_one, tensors), strict=True
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)


def test_the_input_may_be_its_own_shortcut(backend):
    leaves = leaf(2, 3, 4, 4), leaf(3, 3, 1, 1, seed=1)
    fused = results(backend, lambda x, w: F.conv2d(x, w, activation="relu", add=x), leaves)
    plain = results(backend, lambda x, w: F.relu(F.conv2d(x, w) + x), leaves)
    for got, expected in zip(fused, plain, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)


def test_a_shortcut_used_twice_gets_both_gradients(backend):
    x, w, add = leaf(2, 3, 4, 4), leaf(3, 3, 1, 1, seed=1), leaf(2, 3, 4, 4, seed=2)

    def twice(x, w, add):
        y = F.conv2d(x, w, activation="relu6", add=add)
        return F.batch_norm(y, training=True, activation="hardswish", add=add)

    def plain(x, w, add):
        y = F.relu6(F.conv2d(x, w) + add)
        return F.hardswish(F.batch_norm(y, training=True) + add)

    for got, expected in zip(
        results(backend, twice, [x, w, add]), results(backend, plain, [x, w, add]), strict=True
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("activation", ["relu", "relu6"])
def test_the_slope_at_0_is_0_and_nan_goes_through(activation, backend):
    zeros, add = np.zeros((1, 1, 1, 3)), np.array([0.0, 2.0, np.nan]).reshape(1, 1, 1, 3)
    add = Tensor(add, requires_grad=True)
    with backend.running():
        x, w = (Tensor(a).to(backend.device) for a in (zeros, np.zeros((1, 1, 1, 1))))
        y = F.conv2d(x, w, activation=activation, add=add.to(backend.device))
        y.backward(np.ones(y.shape))
    np.testing.assert_array_equal(y.numpy().ravel(), [0, 2, np.nan])
    np.testing.assert_array_equal(add.grad.numpy().ravel()[:2], [0, 1])


# ---------------------------------------------------------------------------
# Time and memory
# ---------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["numpy", "emulator"])
@pytest.mark.parametrize("activation", ["relu", "relu6"])
@pytest.mark.parametrize("function", ["conv2d", "conv2d, depthwise", "batch_norm, training"])
def test_nothing_is_stored_that_is_not_there_anyway(function, activation, name, compiler):
    """What the activation adds to the saved arrays is the output itself."""
    call, shapes = CALLS[function]
    inputs = [leaf(*shape, seed=k) for k, shape in enumerate(shapes)]
    with use_backend(name):
        plain = call(*inputs[:-1])
        y = call(*inputs[:-1], activation=activation, add=inputs[-1])
    more = y._entry.saved[len(plain._entry.saved) :]
    assert len(more) == 1 and np.shares_memory(more[0], y._data)
    y.backward(np.ones(y.shape))
    assert y._entry.saved == () and y._entry.part.saved == ()


@pytest.fixture
def launches(monkeypatch, compiler):
    """The names of the kernels that are launched."""
    from minicnn.backends import launch as module

    names, compiled = [], module._emulated

    def noted(file, name, *rest):
        names.append(name)
        return compiled(file, name, *rest)

    monkeypatch.setattr(module, "_emulated", noted)
    with use_backend("emulator"):
        yield names


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_kernel_that_makes_z_writes_y(activation, launches):
    x, w, b, add = (leaf(*shape) for shape in CALLS["conv2d"][1])
    with minicnn.no_grad():
        F.conv2d(x, w, b, 2, 1, activation=activation, add=add)
        assert launches == ["im2col", "matmul"]
        F.conv2d(x, leaf(3, 1, 3, 3), groups=3, activation=activation)
        F.batch_norm(x, np.zeros(3), np.ones(3), activation=activation)
        F.linear(x, leaf(2, 6), activation=activation)
    batch_norm = ["batch_norm_channels", "batch_norm_apply"]
    assert launches[2:] == ["depthwise_forward", *batch_norm, "matmul"]


def test_where_backward_asks_for_z_the_activation_is_a_kernel_of_its_own(launches):
    x, w = leaf(1, 1, 3, 3), leaf(1, 1, 2, 2)
    F.conv2d(x, w, activation="relu")
    F.conv2d(x, w, activation="silu")
    assert launches == ["im2col", "matmul", "im2col", "matmul", "silu_forward"]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("name", ["loops", "emulator"])
def test_backward_may_run_where_another_backend_is_chosen(name, activation, compiler):
    x, w = leaf(1, 2, 4, 4), leaf(2, 2, 3, 3, seed=1)
    with use_backend(name):
        y = F.conv2d(x, w, activation=activation)
    y.sum().backward()
    got = x.grad.numpy()
    x.grad = None
    F.conv2d(x, w, activation=activation).sum().backward()
    np.testing.assert_allclose(got, x.grad.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_saved_output_that_is_changed_in_place_is_noticed(activation):
    x, add = leaf(2, 3), leaf(2, 3)
    y = F.linear(x, leaf(3, 3), activation=activation, add=add)
    if activation.startswith("relu"):
        y.detach().assign_(np.zeros((2, 3)))
        with pytest.raises(RuntimeError, match="was changed in place"):
            y.sum().backward()
        assert x.grad is None and add.grad is None
    else:
        add.assign_(np.zeros((2, 3)))  # a sum needs none of its terms
        y.sum().backward()
        assert add.grad is not None


# ---------------------------------------------------------------------------
# Layers
# ---------------------------------------------------------------------------
class Block(nn.Module):
    """A residual block, its activations and its sum fused into the normalization or not."""

    def __init__(self, fused):
        super().__init__()
        activation = "relu" if fused else None
        self.fused = fused
        self.conv1 = nn.Conv2d(3, 3, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(3, activation=activation)
        self.conv2 = nn.Conv2d(3, 3, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(3, activation=activation)

    def forward(self, x):
        if self.fused:
            return self.bn2(self.conv2(self.bn1(self.conv1(x))), add=x)
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + x)


def test_a_fused_residual_block_has_the_same_state_and_does_the_same(backend):
    plain, fused = (Block(f).to(np.float64) for f in (False, True))
    assert list(plain.state_dict()) == list(fused.state_dict())
    fused.load_state_dict(plain.state_dict())
    x = leaf(2, 3, 4, 4)
    outcomes = []
    for net in (plain, fused):
        net.to(backend.device)
        outcomes.append(results(backend, net, [x]) + [p.grad.numpy() for p in net.parameters()])
    for got, expected in zip(*outcomes, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-11, atol=1e-11)
    for key, value in plain.state_dict().items():
        np.testing.assert_allclose(fused.state_dict()[key], value, rtol=1e-12)


def test_layers_end_in_an_activation_and_say_so():
    x, rows = leaf(2, 3, 4, 4, dtype=np.float32), leaf(2, 3, dtype=np.float32)
    for layer, inputs, text in (
        (nn.Conv2d(3, 4, 3, activation="relu6"), x, "Conv2d(3, 4, kernel_size=(3, 3), activation="),
        (nn.Linear(3, 4, activation="relu6"), rows, "Linear(3, 4, activation="),
        (nn.BatchNorm2d(3, activation="relu6"), x, "BatchNorm2d(3, eps=1e-05, momentum=0.1, acti"),
        (nn.BatchNorm1d(3, activation="relu6"), rows, "BatchNorm1d(3, eps=1e-05, momentum=0.1, ac"),
        (nn.FrozenBatchNorm2d(3, activation="relu6"), x, "FrozenBatchNorm2d(3, eps=1e-05, activ"),
    ):
        y = layer(inputs)
        assert 0 <= y.numpy().min() <= y.numpy().max() <= 6
        assert y._entry.activation == "relu6"
        assert repr(layer).startswith(text) and "activation='relu6'" in repr(layer)
        shifted = layer(inputs, add=Tensor(np.full(y.shape, 100, np.float32)))
        assert (shifted.numpy() == 6).all()


def test_a_frozen_normalization_keeps_its_activation():
    layer = nn.BatchNorm2d(3, activation="silu")
    layer(leaf(4, 3, 2, 2, dtype=np.float32))
    x, add = leaf(2, 3, 4, 4, dtype=np.float32), leaf(2, 3, 4, 4, seed=1, dtype=np.float32)
    frozen = nn.FrozenBatchNorm2d.of(layer)
    np.testing.assert_array_equal(frozen(x, add).numpy(), layer.eval()(x, add).numpy())


# ---------------------------------------------------------------------------
# The stepper
# ---------------------------------------------------------------------------
def recorded(call, *inputs):
    """The forward and the backward step of the last operation."""
    with minicnn.record() as steps:
        y = call(*inputs)
        y.backward(np.random.default_rng(3).standard_normal(y.shape).astype(y.dtype))
    (backward,) = [step for step in steps if step.direction == "backward"]
    return backward.partner, backward


def test_a_card_names_the_parts_and_shows_what_was_not_stored():
    x, w, b, add = (leaf(*shape, dtype=np.float32) for shape in CALLS["conv2d"][1])
    forward, backward = recorded(
        lambda *ts: F.conv2d(*ts[:3], 2, 1, activation="relu", add=ts[3]), x, w, b, add
    )
    assert forward.label == "conv2d" and "activation relu" in repr(forward)
    assert forward.formula.split("\n")[:2] == [
        "y = max(z, 0), element by element: relu",
        "z[n,o,i,j] = b[o] + Σ x[n,c,2i+u-1,2j+v-1] · w[o,c,u,v] + add[n,o,i,j]",
    ]
    assert "convolution + bias + shortcut before relu, computed again" in repr(forward)
    assert "convolution + bias + shortcut before relu" in forward._repr_html_()
    z = F.conv2d(x, w, b, 2, 1).numpy() + add.numpy()
    np.testing.assert_allclose(forward.z, z, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(forward.output, np.maximum(forward.z, 0))
    assert backward.formula.startswith("dz = dy · (1 where z > 0, else 0): relu\ndx[n,c,p,q] = Σ ")
    assert backward.formula.endswith("dadd = dz")
    assert "gradient before relu, computed again" in repr(backward)
    np.testing.assert_array_equal(backward.dz, backward.grads["add"])
    np.testing.assert_array_equal(backward.grads["add"], backward.dy * (z > 0))


def test_without_an_activation_the_sum_is_called_y():
    forward, backward = recorded(lambda x, w, add: F.linear(x, w, add=add), leaf(2, 3), leaf(4, 3),
                                 leaf(2, 4))  # fmt: skip
    assert forward.formula.startswith("y[n,o] = Σ x[n,i] · w[o,i] + add[n,o]")
    assert backward.formula.endswith("dadd = dy") and "computed again" not in repr(forward)
    np.testing.assert_array_equal(forward.z, forward.output)
    lens = backward.into(1, 2, of="shortcut")
    assert lens.formula == "dy[1,2]" and lens.exact


def test_a_batch_normalization_says_what_it_does():
    x = leaf(3, 4, 2, 2)
    forward, backward = recorded(
        lambda x: F.batch_norm(x, *statistics(x), Tensor(np.ones(4)), activation="hardswish"), x
    )
    assert forward.formula == (
        "y = z min(max(z + 3, 0), 6) / 6, element by element: hardswish\n"
        "z = w[c] · x̂, with x̂ = (x - mean[c]) / sqrt(var[c] + 1e-05)\n"
        "for each channel c < 4; mean and variance the running ones"
    )
    assert "dx = w[c] · dz / sqrt(var[c] + 1e-05)" in backward.formula
    assert "normalization before hardswish, computed again" in repr(forward)
    training, _ = recorded(lambda x: F.batch_norm(x, training=True), x)
    assert training.formula.startswith("y = x̂, with x̂")


@pytest.mark.parametrize("activation", [None, *ACTIVATIONS])
@pytest.mark.parametrize("name", ["loops", "numpy", "emulator"])
@pytest.mark.parametrize("function", ["conv2d", "linear"])
def test_lenses_go_on_to_the_activation(function, name, activation, compiler):
    call, shapes = CALLS[function]
    inputs = [leaf(*shape, seed=k, dtype=np.float32) for k, shape in enumerate(shapes)]
    with use_backend(name):
        forward, backward = recorded(
            lambda *ts: call(*ts[:-1], activation=activation, add=ts[-1]), *inputs
        )
    for index in np.ndindex(forward.output.shape):
        lens = forward.into(*index)
        assert "more than rounding" not in lens.agreement
        assert lens.added == inputs[-1].numpy()[index] and "plus the shortcut" in repr(lens)
        assert lens.z is None or (f"before {activation}" in repr(lens))
    for letter, gradient in backward.grads.items():
        for index in list(np.ndindex(gradient.shape))[::3]:
            lens = backward.into(*index, of=letter)
            assert "more than rounding" not in lens.agreement, lens
            if name == "loops" and activation in (None, "relu", "relu6"):
                assert lens.exact


def test_a_step_whose_input_was_changed_shows_no_z():
    x, w = leaf(2, 3), leaf(4, 3)
    forward, _ = recorded(lambda x, w: F.linear(x, w, activation="relu"), x, w)
    w.assign_(np.zeros((4, 3)))
    assert "computed again" not in repr(forward) and "changed in place" in repr(forward)
    with pytest.raises(RuntimeError, match="changed in place"):
        _ = forward.z


@pytest.mark.parametrize("activation", ["relu6", "silu", "hardswish"])
def test_the_activations_have_lenses_of_their_own(activation):
    forward, backward = recorded(getattr(F, activation), leaf(4, 5, dtype=np.float32))
    for index in np.ndindex(4, 5):
        for lens in (forward.into(*index), backward.into(*index)):
            assert "more than rounding" not in lens.agreement, lens


# ---------------------------------------------------------------------------
# Errors
# ---------------------------------------------------------------------------
X, W = np.ones((2, 3, 4, 4), np.float32), np.ones((3, 3, 3, 3), np.float32)
ROWS = np.ones((2, 3), np.float32)

ERRORS = {
    "unknown": (
        lambda: F.conv2d(X, W, activation="Relu"), ValueError,
        r"conv2d: activation expects None or one of 'relu', 'relu6', 'silu', 'hardswish', but got "
        r"'Relu'; did you mean 'relu'\?"),
    "far": (
        lambda: F.linear(ROWS, ROWS, activation="gelu_tanh"), ValueError,
        r"linear: activation .* but got 'gelu_tanh'; apply another function to the output"),
    "a function": (
        lambda: F.batch_norm(X, training=True, activation=F.relu), TypeError,
        r"batch_norm: activation .* but got <function relu .*apply a function to the output"),
    "add shape": (
        lambda: F.conv2d(X, W, add=X), ValueError,
        r"conv2d: add expects the output's shape \(2, 3, 2, 2\), but has \(2, 3, 4, 4\); give the"),
    "add broadcast": (
        lambda: F.linear(ROWS, ROWS, add=np.ones(2, np.float32)), ValueError,
        r"linear: add expects the output's shape \(2, 2\), but has \(2,\)"),
    "add dtype": (
        lambda: F.batch_norm(X, training=True, add=X.astype(np.float64)), TypeError,
        r"batch_norm: input is float32 but add is float64"),
    "add integers": (
        lambda: F.conv2d(X, W, padding=1, add=X.astype(int)), TypeError, r"expects a float32 or"),
    "Conv2d": (
        lambda: nn.Conv2d(3, 3, 3, activation="swish"), ValueError,
        r"Conv2d: activation .* did you mean 'hardswish'"),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(3, activation=1), TypeError, r"BatchNorm2d: activation"),
    "Linear": (lambda: nn.Linear(3, 3, activation="relu7"), ValueError, r"did you mean 'relu6?'"),
    "FrozenBatchNorm2d": (
        lambda: nn.FrozenBatchNorm2d(3, activation=""), ValueError, r"FrozenBatchNorm2d: activ"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors_say_what_was_given_and_what_the_rule_is(name):
    call, error, text = ERRORS[name]
    with pytest.raises(error, match=text):
        call()


def test_an_error_moves_no_statistics():
    mean, var = np.zeros(3, np.float32), np.ones(3, np.float32)
    for wrong in ({"add": X[:1]}, {"activation": "tanh"}):
        with pytest.raises(ValueError, match="batch_norm: a"):
            F.batch_norm(X, mean, var, training=True, **wrong)
    assert not mean.any() and (var == 1).all()
