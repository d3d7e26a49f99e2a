"""Batch and local response normalization: facts, edge cases, state and errors.

The contract is in test_operations.py; it has batch norm in training. Evaluation is compared here.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minicnn
from minicnn import Tensor, interop, nn, optim
from minicnn import functional as F
from minicnn.checks import gradcheck, strategies
from minicnn.layout import nchw, nhwc


def rng(seed=0):
    return np.random.default_rng(seed)


def images(shape=(4, 3, 5, 2), dtype=np.float32, seed=0):
    return rng(seed).standard_normal(shape).astype(dtype)


# ---------------------------------------------------------------------------
# batch_norm: training
# ---------------------------------------------------------------------------
def test_training_gives_mean_0_and_variance_1(backend):
    x = Tensor(images() * 3 + 7)
    with backend.running():
        y = F.batch_norm(x.to(backend.device), training=True).numpy()
    np.testing.assert_allclose(y.mean((0, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(y.var((0, 2, 3)), 1, atol=1e-4)


@pytest.mark.parametrize("shape", [(40, 2), (1501, 3), (3, 2, 30, 20), (2, 40, 3)], ids=str)
def test_statistics_are_safe_where_the_mean_is_large(backend, shape):
    """float32 with mean 10^4 and deviation 1, against float64: E[x^2] - E[x]^2 is all rounding."""
    x = (rng().standard_normal(shape) + 1e4).astype(np.float32)
    axes = tuple(k for k in range(x.ndim) if k != 1)
    exact = x.astype(np.float64)
    running = np.zeros(shape[1], np.float32), np.zeros(shape[1], np.float32)
    moved = [Tensor(a).to(backend.device) for a in running]
    with backend.running():
        y = F.batch_norm(Tensor(x).to(backend.device), *moved, training=True, momentum=1.0)
    np.testing.assert_allclose(moved[0].numpy(), exact.mean(axes), atol=1.5e-3, rtol=0)
    np.testing.assert_allclose(moved[1].numpy(), exact.var(axes, ddof=1), rtol=2e-6)
    mean, var = (f(exact, axes, keepdims=True) for f in (np.mean, np.var))
    # The mean itself, as a float32 near 10^4, is off by up to 5e-4, and at times by one digit more.
    error = np.abs(y.numpy() * np.sqrt(var + 1e-5) - (exact - mean))
    assert error.max() < 1.5e-3
    naive = (x * x).mean(axes) - x.mean(axes) ** 2
    assert (np.abs(naive - exact.var(axes)) > 0.1).any()


def test_many_rows_are_added_in_parts_that_agree(backend, loops):
    """More than 2 * 512 rows: on cuda several blocks share a channel."""
    x, dy = images((1300, 3), np.float64), images((1300, 3), np.float64, 1)
    results = []
    for where in (backend, loops):
        leaf = Tensor(x, requires_grad=True)
        w = Tensor(np.array([1.0, 2.0, -1.0]), requires_grad=True)
        with where.running():
            y = F.batch_norm(
                leaf.to(where.device), weight=w.to(where.device), training=True, eps=0.1
            )
            y.backward(Tensor(dy).to(where.device))
        results.append((y.numpy(), leaf.grad.numpy(), w.grad.numpy()))
    for got, expected in zip(*results):
        np.testing.assert_allclose(got, expected, atol=1e-10)


def test_a_constant_channel_gives_the_shift(backend):
    x = Tensor(np.full((3, 1, 2, 2), 3.3, np.float32))
    with backend.running():
        y = F.batch_norm(
            x.to(backend.device), bias=Tensor(np.float32([5])).to(backend.device), training=True
        )
    np.testing.assert_allclose(y.numpy(), 5, atol=1e-3)


def test_running_statistics_move_in_training_only(backend):
    x = images()
    mean, var = (Tensor(np.full(3, value, np.float32)).to(backend.device) for value in (2, 3))
    moved = Tensor(x).to(backend.device)
    with backend.running():
        F.batch_norm(moved, mean, var, training=False)
        assert (mean.numpy() == 2).all() and (var.numpy() == 3).all()
        F.batch_norm(moved, mean, var, training=True, momentum=0.25)
    np.testing.assert_allclose(mean.numpy(), 0.75 * 2 + 0.25 * x.mean((0, 2, 3)), rtol=1e-5)
    unbiased = x.var((0, 2, 3), ddof=1)
    np.testing.assert_allclose(var.numpy(), 0.75 * 3 + 0.25 * unbiased, rtol=1e-5)


def test_running_statistics_may_be_plain_arrays():
    mean, var = np.zeros(3, np.float32), np.ones(3, np.float32)
    F.batch_norm(images(), mean, var, training=True, momentum=1.0)
    np.testing.assert_allclose(mean, images().mean((0, 2, 3)), rtol=1e-5)


def test_an_empty_batch_moves_nothing(backend):
    layer = nn.BatchNorm2d(3).to(backend.device)
    x = Tensor(np.ones((0, 3, 2, 2), np.float32)).to(backend.device)
    with backend.running():
        assert layer(x).shape == (0, 3, 2, 2)
    state = layer.state_dict()
    assert not state["running_mean"].any() and (state["running_var"] == 1).all()
    assert state["num_batches_tracked"] == 0


# ---------------------------------------------------------------------------
# batch_norm: evaluation, the contract's part that training does not reach
# ---------------------------------------------------------------------------
def evaluate(backend, case):
    """(output, gradients of input, weight and bias) of a case with running statistics."""
    tensors = case.tensors()
    for t in tensors[1:3]:
        t.requires_grad = False
    with backend.running():
        y = case.run([None if t is None else t.to(backend.device) for t in tensors])
        y.backward(Tensor(rng().standard_normal(y.shape).astype(y.dtype)).to(backend.device))
    chosen = [tensors[0], *tensors[3:]]
    return y, [None if t is None else t.grad.numpy() for t in chosen]


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-5)])
@settings(max_examples=20)
@given(data=st.data())
def test_evaluation_equals_the_loops_definition(backend, loops, dtype, tolerance, data):
    case = data.draw(strategies.batch_norm(training=False)).astype(dtype)
    y, grads = evaluate(backend, case)
    expected, expected_grads = evaluate(loops, case)
    assert y.dtype == dtype
    if y.ndim == 4:
        assert nhwc(y._data).base is not None  # channels-last: a view
    pairs = [(y.numpy(), expected.numpy()), *zip(grads, expected_grads)]
    for got, right in pairs:
        if right is not None:
            scale = max(1, np.abs(right).max())
            np.testing.assert_allclose(got, right, rtol=0, atol=tolerance * scale)


@settings(max_examples=20)
@given(data=st.data())
def test_evaluation_equals_pytorch(backend, data):
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    case = data.draw(strategies.batch_norm(training=False))
    y, grads = evaluate(backend, case)
    theirs = [None if a is None else torch.from_numpy(a.copy()) for a in case.arrays]
    chosen = [theirs[0], *theirs[3:]]
    for t in chosen:
        if t is not None:
            t.requires_grad_()
    z = torch.nn.functional.batch_norm(*theirs, **case.settings)
    z.backward(torch.from_numpy(rng().standard_normal(y.shape)))
    for got, right in zip((y.numpy(), *grads), (z.detach(), *chosen)):
        if right is not None:
            right = right.grad if right.requires_grad else right
            scale = max(1, float(right.abs().max()))
            np.testing.assert_allclose(got, right.numpy(), rtol=0, atol=1e-10 * scale)


def test_gradients_of_evaluation_equal_differences(backend):
    x, w, b = (
        Tensor(a, requires_grad=True)
        for a in (images((3, 2, 2, 2), np.float64), np.array([0.5, -2.0]), np.array([1.0, 3.0]))
    )
    mean, var = (Tensor(np.array(a)).to(backend.device) for a in ([0.3, -1.0], [2.0, 0.1]))

    def function(x, w, b):
        x, w, b = (t.to(backend.device) for t in (x, w, b))
        return F.batch_norm(x, mean, var, w, b)

    with backend.running():
        assert gradcheck(function, x, w, b).checked == 24 + 4


def test_moving_statistics_between_forward_and_backward_does_no_harm(backend):
    layer = nn.BatchNorm2d(3).to(backend.device)
    x = Tensor(images(), requires_grad=True)
    gradients = []
    with backend.running():
        for again in (False, True):
            x.grad = None
            layer.eval()
            y = layer(x.to(backend.device))
            if again:
                layer.train()(Tensor(images() + 9).to(backend.device))
            y.sum().backward()
            gradients.append(x.grad.numpy())
    np.testing.assert_array_equal(*gradients)


# ---------------------------------------------------------------------------
# The layers
# ---------------------------------------------------------------------------
@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("tracked", [True, False])
@pytest.mark.parametrize(
    ("name", "shape"),
    [("BatchNorm2d", (4, 3, 5, 2)), ("BatchNorm1d", (4, 3)), ("BatchNorm1d", (4, 3, 5))],
)
def test_layers_follow_pytorch_through_training_and_evaluation(
    backend, name, shape, momentum, affine, tracked
):
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    options = dict(momentum=momentum, affine=affine, track_running_stats=tracked)
    ours = getattr(nn, name)(3, **options).to(np.float64).to(backend.device)
    theirs = getattr(torch.nn, name)(3, **options).double()
    with backend.running():
        for step in range(4):
            if step == 3:
                ours.eval()
                theirs.eval()
            x = images(shape, np.float64, step) + step
            y, z = ours(Tensor(x).to(backend.device)), theirs(torch.from_numpy(x))
            np.testing.assert_allclose(y.numpy(), z.detach().numpy(), atol=1e-12)
    state, expected = ours.state_dict(), theirs.state_dict()
    assert list(state) == list(expected)  # the same names in the same order
    for key, value in expected.items():
        assert state[key].dtype == value.numpy().dtype
        np.testing.assert_allclose(state[key], value.numpy(), atol=1e-12)


def test_buffers_are_state_and_no_parameters():
    net = nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.BatchNorm2d(2), nn.ReLU())
    assert [name for name, _ in net.named_parameters()] == ["0.weight", "1.weight", "1.bias"]
    assert [name for name, _ in net.named_buffers()] == [
        "1.running_mean", "1.running_var", "1.num_batches_tracked"]  # fmt: skip
    assert net.num_parameters() == 18 + 4
    names = [name for name in net.state_dict() if name.startswith("1.")]
    assert names == [
        "1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked",
    ]  # fmt: skip
    net(images((2, 1, 5, 5))).sum().backward()
    assert all(buffer.grad is None for _, buffer in net.named_buffers())
    assert repr(net[1].running_mean).startswith("Buffer(")


def test_a_shared_buffer_is_saved_once():
    net = nn.Sequential(nn.BatchNorm2d(2))
    net.again = net[0]
    assert len(net.state_dict()) == 5


def test_to_converts_float_buffers_and_leaves_counts():
    layer = nn.BatchNorm2d(2).to(np.float64)
    assert layer.running_mean.dtype == layer.weight.dtype == np.float64
    assert layer.num_batches_tracked.dtype == np.int64
    with pytest.raises(TypeError, match="must be float32 or float64"):
        nn.BatchNorm2d(2, affine=False).to(np.int64)


def test_a_state_goes_out_and_in_with_its_buffers(tmp_path):
    a, b = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    for seed in range(3):
        a(images(seed=seed))
    interop.save(a, tmp_path / "a.safetensors")
    interop.load_into(b, tmp_path / "a.safetensors")
    for name, value in a.state_dict().items():
        np.testing.assert_array_equal(b.state_dict()[name], value)
    assert b.num_batches_tracked.item() == 3 and b.num_batches_tracked.dtype == np.int64
    np.testing.assert_array_equal(b.eval()(images()).numpy(), a.eval()(images()).numpy())


def test_a_state_with_a_wrong_buffer_changes_nothing():
    layer = nn.BatchNorm2d(3)
    state = {name: value + 1 for name, value in layer.state_dict().items()}
    del state["num_batches_tracked"]
    state["running_var"] = np.ones(2)
    with pytest.raises(ValueError, match="missing: num_batches_tracked; running_var has shape"):
        layer.load_state_dict(state)
    assert (layer.weight.numpy() == 1).all() and not layer.running_mean.numpy().any()


# ---------------------------------------------------------------------------
# Frozen layers do not move (a defect of peers)
# ---------------------------------------------------------------------------
def freeze(model):
    for p in model.parameters():
        p.requires_grad = False


def test_a_frozen_layer_does_not_move_in_training_mode(backend):
    net = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2)).to(backend.device)
    x = Tensor(images() + 4).to(backend.device)
    with backend.running():
        net(x)
        freeze(net)
        before = {name: value.copy() for name, value in net.state_dict().items()}
        expected = net.eval()(x).numpy()
        got = net.train()(x).numpy()
    np.testing.assert_array_equal(got, expected)
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)


def test_a_layer_is_frozen_only_if_nothing_in_it_is_learnt():
    layer = nn.BatchNorm2d(3)
    layer.weight.requires_grad = False
    layer(images())
    assert not layer.frozen and layer.num_batches_tracked.item() == 1
    layer.bias.requires_grad = False
    assert layer.frozen
    assert not nn.BatchNorm2d(3, affine=False).frozen


def test_frozen_batch_norm_never_moves(backend):
    trained = nn.BatchNorm2d(3, eps=0.01)
    for seed in range(3):
        trained(images(seed=seed) + 2)
    trained.weight.assign_(np.float32([1, 2, 3]))
    trained.bias.assign_(np.float32([4, 5, 6]))
    frozen = nn.FrozenBatchNorm2d.of(trained).to(backend.device).train()
    x = Tensor(images(), requires_grad=True)
    before = {name: value.copy() for name, value in frozen.state_dict().items()}
    with backend.running():
        y = frozen(x.to(backend.device))
        y.sum().backward()
    np.testing.assert_allclose(y.numpy(), trained.eval()(x).numpy(), atol=1e-5)
    assert list(frozen.parameters()) == [] and x.grad is not None
    assert list(before) == ["weight", "bias", "running_mean", "running_var"]
    for name, value in frozen.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_an_optimizer_step_leaves_a_frozen_batch_norm_alone():
    frozen = nn.FrozenBatchNorm2d(2)
    net = nn.Sequential(nn.Conv2d(3, 2, 1), frozen)
    sgd = optim.SGD(net.parameters(), lr=0.1, weight_decay=0.1)
    net(images()).sum().backward()
    sgd.step()
    assert (frozen.weight.numpy() == 1).all() and (frozen.running_var.numpy() == 1).all()


def test_reprs():
    assert repr(nn.BatchNorm2d(3)) == "BatchNorm2d(3, eps=1e-05, momentum=0.1)"
    assert repr(nn.BatchNorm1d(3, affine=False, track_running_stats=False)) == (
        "BatchNorm1d(3, eps=1e-05, momentum=0.1, affine=False, track_running_stats=False)"
    )
    assert repr(nn.FrozenBatchNorm2d(4)) == "FrozenBatchNorm2d(4, eps=1e-05)"
    assert repr(nn.LocalResponseNorm(5)) == "LocalResponseNorm(5, alpha=0.0001, beta=0.75, k=1.0)"


# ---------------------------------------------------------------------------
# local_response_norm
# ---------------------------------------------------------------------------
def test_local_response_norm_by_hand(backend):
    x = nchw(np.array([1.0, 2, 3, 4]).reshape(1, 1, 1, 4))
    with backend.running():
        y = F.local_response_norm(Tensor(x).to(backend.device), 3, alpha=3.0, beta=1.0, k=2.0)
    # s = 2 + 1 + 4, 2 + 1 + 4 + 9, 2 + 4 + 9 + 16, 2 + 9 + 16
    np.testing.assert_allclose(y.numpy().ravel(), [1 / 7, 2 / 16, 3 / 31, 4 / 27])


def test_an_even_window_reaches_further_back(backend):
    x = nchw(np.array([1.0, 2, 3]).reshape(1, 1, 1, 3))
    with backend.running():
        y = F.local_response_norm(Tensor(x).to(backend.device), 2, alpha=2.0, beta=1.0, k=1.0)
    np.testing.assert_allclose(y.numpy().ravel(), [1 / 2, 2 / 6, 3 / 14])


def test_local_response_norm_of_alexnet_has_the_papers_constants():
    """n = 5, alpha = 1e-4, beta = 0.75, k = 2 of the paper, where alpha is not divided by n."""
    x = images((1, 7, 1, 1), np.float64) * 50
    y = nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2)(Tensor(x)).numpy()
    for c in range(7):
        window = x[0, max(0, c - 2) : c + 3, 0, 0]
        expected = x[0, c, 0, 0] / (2 + 1e-4 * (window**2).sum()) ** 0.75
        assert y[0, c, 0, 0] == pytest.approx(expected, rel=1e-12)


# ---------------------------------------------------------------------------
# Errors
# ---------------------------------------------------------------------------
X = Tensor(np.ones((2, 3, 4, 4), np.float32))
THREE = np.ones(3, np.float32)
WANTED = Tensor(THREE, requires_grad=True)

ERRORS = {
    "batch_norm dimensions": (
        lambda: F.batch_norm(THREE, training=True), ValueError,
        r"batch_norm: input expects \(N, C\), \(N, C, L\) or \(N, C, H, W\) .* but has \(3,\)"),
    "batch_norm no channels": (
        lambda: F.batch_norm(np.ones((2, 0)), training=True), ValueError, r"C of 1 or more"),
    "batch_norm one value": (
        lambda: F.batch_norm(np.ones((1, 3, 1, 1)), training=True), ValueError,
        r"batch_norm: training expects more than one value per channel.* has \(1, 3, 1, 1\)"),
    "batch_norm evaluation": (
        lambda: F.batch_norm(X), ValueError,
        r"batch_norm: evaluation needs running_mean and running_var, but got None"),
    "batch_norm half": (
        lambda: F.batch_norm(X, THREE, training=True), ValueError,
        r"running_mean and running_var go together, but one is None"),
    "batch_norm shape": (
        lambda: F.batch_norm(X, np.ones(2, np.float32), THREE), ValueError,
        r"running_mean expects shape \(3,\), one number per channel .* but has \(2,\)"),
    "batch_norm weight": (
        lambda: F.batch_norm(X, THREE, THREE, np.ones((3, 1), np.float32)), ValueError,
        r"batch_norm: weight expects shape \(3,\).* but has \(3, 1\)"),
    "batch_norm statistics dtype": (
        lambda: F.batch_norm(X, np.ones(3), np.ones(3)), TypeError,
        r"batch_norm: input is float32 but running_mean is float64"),
    "batch_norm weight dtype": (
        lambda: F.batch_norm(X, THREE, THREE, np.ones(3)), TypeError, r"but weight is float64"),
    "batch_norm integers": (
        lambda: F.batch_norm(X.to(np.int64), THREE, THREE), TypeError, r"expects a float32 or"),
    "batch_norm gradient of a statistic": (
        lambda: F.batch_norm(X, WANTED, THREE), ValueError,
        r"running_mean is a statistic and gets no gradient.* pass its .detach\(\)"),
    "batch_norm eps": (
        lambda: F.batch_norm(X, THREE, THREE, eps=0), ValueError,
        r"batch_norm: eps expects a number above 0, but got 0"),
    "batch_norm momentum": (
        lambda: F.batch_norm(X, THREE, THREE, momentum=1.5), ValueError,
        r"batch_norm: momentum expects a number from 0 to 1, but got 1.5"),
    "batch_norm momentum kind": (
        lambda: F.batch_norm(X, THREE, THREE, momentum=None), TypeError, r"but got None"),
    "local_response_norm dimensions": (
        lambda: F.local_response_norm(THREE, 3), ValueError, r"input expects 4 dimensions"),
    "local_response_norm size": (
        lambda: F.local_response_norm(X, 0), ValueError, r"size expects 1 or more, but got 0"),
    "local_response_norm alpha": (
        lambda: F.local_response_norm(X, 3, alpha=-1), ValueError, r"alpha .* of 0 or more.* -1"),
    "local_response_norm beta": (
        lambda: F.local_response_norm(X, 3, beta=np.inf), ValueError, r"beta .* finite.* got inf"),
    "local_response_norm k": (
        lambda: F.local_response_norm(X, 3, k="2"), TypeError, r"k expects a number .* got '2'"),
    "BatchNorm2d features": (lambda: nn.BatchNorm2d(0), ValueError, r"num_features expects 1 or"),
    "BatchNorm2d eps": (lambda: nn.BatchNorm2d(3, eps=-1), ValueError, r"BatchNorm2d: eps expects"),
    "BatchNorm2d momentum": (
        lambda: nn.BatchNorm2d(3, momentum=2), ValueError, r"from 0 to 1 \(or None\), but got 2"),
    "BatchNorm2d dimensions": (
        lambda: nn.BatchNorm2d(3)(Tensor(np.ones((2, 3)))), ValueError,
        r"BatchNorm2d: input expects \(N, C, H, W\), but has \(2, 3\)"),
    "BatchNorm1d dimensions": (
        lambda: nn.BatchNorm1d(3)(X), ValueError,
        r"BatchNorm1d: input expects \(N, C\) or \(N, C, L\), but has \(2, 3, 4, 4\)"),
    "FrozenBatchNorm2d dimensions": (
        lambda: nn.FrozenBatchNorm2d(3)(Tensor(THREE)), ValueError, r"expects \(N, C, H, W\)"),
    "FrozenBatchNorm2d of": (
        lambda: nn.FrozenBatchNorm2d.of(nn.ReLU()), TypeError, r"expects a BatchNorm2d, but got"),
    "FrozenBatchNorm2d untracked": (
        lambda: nn.FrozenBatchNorm2d.of(nn.BatchNorm2d(3, track_running_stats=False)), ValueError,
        r"FrozenBatchNorm2d.of: needs running statistics"),
    "LocalResponseNorm": (
        lambda: nn.LocalResponseNorm(2.5), TypeError, r"LocalResponseNorm: size expects an int"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors_say_what_was_given_and_what_the_rule_is(name):
    call, error, text = ERRORS[name]
    with pytest.raises(error, match=text):
        call()


def test_an_error_in_training_moves_nothing():
    mean, var = np.zeros(3, np.float32), np.ones(3, np.float32)
    with pytest.raises(TypeError, match="but weight is float64"):
        F.batch_norm(X, mean, var, np.ones(3), training=True)
    layer = nn.BatchNorm2d(3)
    with pytest.raises(ValueError, match="more than one value per channel"):
        layer(Tensor(np.ones((1, 3, 1, 1), np.float32)))
    assert not mean.any() and (var == 1).all() and layer.num_batches_tracked.item() == 0


def test_no_grad_and_recording_work():
    with minicnn.no_grad():
        assert not nn.BatchNorm2d(3)(X).requires_grad
    with minicnn.record() as recording:
        nn.BatchNorm2d(3)(X)
    assert [step.operation for step in recording] == ["Moments", "BatchNorm"]
