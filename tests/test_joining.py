"""Joining, shuffling channels, shortcuts: facts, edge cases and errors."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn import Tensor, nn
from minicnn import functional as F
from minicnn.layout import nchw, nhwc


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def leaves(*shapes):
    return [Tensor(random(*shape, seed=k), requires_grad=True) for k, shape in enumerate(shapes)]


# ---------------------------------------------------------------------------
# Cat and stack
# ---------------------------------------------------------------------------
def test_an_inception_module_joins_channels_and_splits_their_gradient(backend):
    xs = leaves((2, 64, 3, 3), (2, 128, 3, 3), (2, 32, 3, 3), (2, 32, 3, 3))
    with backend.running():
        y = F.cat([x.to(backend.device) for x in xs], 1)
        dy = random(2, 256, 3, 3, seed=9)
        y.backward(dy)
    assert y.shape == (2, 256, 3, 3) and nhwc(y.data).flags.c_contiguous
    np.testing.assert_array_equal(y.numpy(), np.concatenate([x.numpy() for x in xs], 1))
    for x, part in zip(xs, np.split(dy, [64, 192, 224], 1), strict=True):
        np.testing.assert_array_equal(x.grad.numpy(), part)


def test_a_tensor_joined_with_itself_gets_the_sum_of_both_parts(backend):
    (x,) = leaves((2, 3))
    with backend.running():
        moved = x.to(backend.device)
        F.cat([moved, moved], 1).backward(np.arange(12.0).reshape(2, 6))
    np.testing.assert_array_equal(x.grad.numpy(), [[3, 5, 7], [15, 17, 19]])


def test_a_dense_block_counts_channels():
    """DenseNet-121's first block: 64 channels, and 32 more from each of 6 layers."""
    x = Tensor(random(1, 64, 2, 2).astype(np.float32))
    for _ in range(6):
        x = F.cat([x, nn.Conv2d(x.shape[1], 32, 3, padding=1)(x)], dim=1)
    assert x.shape == (1, 256, 2, 2)


def test_cat_of_one_tensor_is_a_copy():
    (x,) = leaves((2, 3))
    y = F.cat([x])
    np.testing.assert_array_equal(y.numpy(), x.numpy())
    assert not np.shares_memory(y.data, x.data)


@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [
        ((np.float32, np.float64), np.float64),
        ((np.int64, np.float32), np.float32),
        ((np.bool_, np.int64), np.int64),
        ((np.int8, np.uint8), np.int16),
    ],
)
@pytest.mark.parametrize("function", [F.cat, F.stack])
def test_mixed_dtypes_promote(function, dtypes, expected):
    y = function([Tensor(np.ones(2, dtype)) for dtype in dtypes])
    assert y.dtype == expected


def test_the_gradient_comes_back_in_each_tensors_dtype():
    a, b = Tensor(np.ones(2, np.float32), requires_grad=True), Tensor(np.ones(3))
    F.cat([a, b]).sum().backward()
    assert a.grad.dtype == np.float32


@pytest.mark.parametrize("dim", [0, 1, 2, 3, -1, -4])
def test_stack_makes_a_new_axis(backend, dim):
    xs = leaves((2, 3, 4), (2, 3, 4), (2, 3, 4))
    expected = np.stack([x.numpy() for x in xs], dim)
    dy = random(*expected.shape, seed=9)
    with backend.running():
        y = F.stack([x.to(backend.device) for x in xs], dim)
        y.backward(dy)
    np.testing.assert_array_equal(y.numpy(), expected)
    for k, x in enumerate(xs):
        np.testing.assert_array_equal(x.grad.numpy(), dy.take(k, axis=dim))


def test_stack_joins_numbers():
    assert F.stack([Tensor(1.0), Tensor(2.0)]).numpy().tolist() == [1, 2]


@pytest.mark.parametrize("function", ["cat", "stack"])
@pytest.mark.parametrize("dim", range(-4, 4))
def test_joining_equals_pytorchs(function, dim):
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    xs = leaves(*[(2, 3, 4, 5)] * 3)
    y = getattr(F, function)(xs, dim)
    dy = random(*y.shape, seed=9)
    y.backward(dy)
    theirs = [torch.tensor(x.numpy(), requires_grad=True) for x in xs]
    z = getattr(torch, function)(theirs, dim)
    z.backward(torch.from_numpy(dy))
    np.testing.assert_array_equal(y.numpy(), z.detach().numpy())
    for x, t in zip(xs, theirs, strict=True):
        np.testing.assert_array_equal(x.grad.numpy(), t.grad.numpy())


# ---------------------------------------------------------------------------
# Channel shuffle
# ---------------------------------------------------------------------------
def test_channel_shuffle_of_the_paper(backend):
    x = np.arange(6.0).reshape(1, 6, 1, 1)
    with backend.running():
        y = F.channel_shuffle(Tensor(x).to(backend.device), 3)
    assert y.numpy().ravel().tolist() == [0, 2, 4, 1, 3, 5]


def test_shuffling_back_undoes_it(backend):
    x = Tensor(random(2, 12, 3, 2))
    with backend.running():
        y = F.channel_shuffle(F.channel_shuffle(x.to(backend.device), 3), 4)
    np.testing.assert_array_equal(y.numpy(), x.numpy())


def test_after_a_shuffle_each_group_has_seen_every_group():
    groups = Tensor(np.repeat(np.arange(4.0), 4).reshape(1, 16, 1, 1))
    y = nn.ChannelShuffle(4)(groups).numpy().reshape(4, 4)
    np.testing.assert_array_equal(y, [[0, 1, 2, 3]] * 4)
    assert repr(nn.ChannelShuffle(4)) == "ChannelShuffle(groups=4)"


# ---------------------------------------------------------------------------
# Shortcuts
# ---------------------------------------------------------------------------
def test_a_residual_block_that_does_nothing_is_the_identity_and_doubles_no_gradient(backend):
    (x,) = leaves((2, 3, 4, 4))
    with backend.running():
        moved = x.to(backend.device)
        w = Tensor(np.zeros((3, 3, 3, 3)), requires_grad=True)
        y = F.conv2d(moved, w.to(backend.device), padding=1) + moved
        dy = random(2, 3, 4, 4, seed=9)
        y.backward(dy)
    np.testing.assert_array_equal(y.numpy(), x.numpy())
    np.testing.assert_array_equal(x.grad.numpy(), dy)
    assert w.grad.numpy().any()


def test_both_ways_of_a_residual_block_give_the_input_its_gradient(backend):
    """y = F(x) + x, with F a 1x1 convolution by 3: dy/dx = 3 + 1."""
    (x,) = leaves((2, 1, 4, 4))
    with backend.running():
        moved = x.to(backend.device)
        y = F.conv2d(moved, Tensor(np.full((1, 1, 1, 1), 3.0)).to(backend.device)) + moved
        y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 4)


@pytest.mark.parametrize(
    ("zeros", "stride", "out_channels", "before"),
    [("around", 2, 32, 8), ("after", 2, 32, 0), ("around", 1, 19, 1), ("around", 3, 16, 0)],
)
def test_zero_pad_shortcut(backend, zeros, stride, out_channels, before):
    (x,) = leaves((2, 16, 5, 7))
    layer = nn.ZeroPadShortcut(16, out_channels, stride, zeros)
    with backend.running():
        y = layer(x.to(backend.device))
        dy = random(*y.shape, seed=9)
        y.backward(dy)
    expected = np.zeros((2, out_channels, -(-5 // stride), -(-7 // stride)))
    expected[:, before : before + 16] = x.numpy()[:, :, ::stride, ::stride]
    np.testing.assert_array_equal(y.numpy(), expected)
    dx = np.zeros(x.shape)
    dx[:, :, ::stride, ::stride] = dy[:, before : before + 16]
    np.testing.assert_array_equal(x.grad.numpy(), dx)
    assert layer.num_parameters() == 0


def test_zero_pad_shortcut_keeps_dtype_and_memory_order():
    x = Tensor(nchw(np.ones((1, 8, 8, 4), np.float32)))
    y = nn.ZeroPadShortcut(4, 8, 2)(x)
    assert y.dtype == np.float32 and nhwc(y.data).flags.c_contiguous


def test_shortcuts_show_themselves():
    assert repr(nn.ZeroPadShortcut(16, 32, 2)) == "ZeroPadShortcut(16, 32, stride=2)"
    assert repr(nn.ZeroPadShortcut(1, 2, zeros="after")).endswith("stride=1, zeros='after')")


def test_a_projection_takes_the_shape_that_a_zero_padded_shortcut_takes():
    x = Tensor(random(2, 16, 9, 9).astype(np.float32))
    projection = nn.Sequential(nn.Conv2d(16, 32, 1, stride=2, bias=False), nn.BatchNorm2d(32))
    assert projection(x).shape == nn.ZeroPadShortcut(16, 32, 2)(x).shape == (2, 32, 5, 5)


# ---------------------------------------------------------------------------
# Errors
# ---------------------------------------------------------------------------
X = Tensor(np.ones((2, 6, 4, 4), np.float32))

ERRORS = {
    "cat of a tensor": (
        lambda: F.cat(X), TypeError,
        r"cat: tensors expects a list or tuple .* got a Tensor; write cat\(\[a, b\]\)"),
    "cat of nothing": (
        lambda: F.cat([]), ValueError, r"cat: tensors expects at least one tensor, but got none"),
    "cat of numbers": (
        lambda: F.cat([Tensor(1.0)]), ValueError, r"cat: expects tensors with an axis .* stack"),
    "cat shapes": (
        lambda: F.cat([X, X, X[:, :, 1:]], 1), ValueError,
        r"cat: shapes must be equal but for axis 1, but tensor 0 has \(2, 6, 4, 4\) and tensor 2 "
        r"has \(2, 6, 3, 4\); crop, pad"),
    "cat dimensions": (
        lambda: F.cat([X, X[0]], 1), ValueError, r"tensor 1 has \(6, 4, 4\)"),
    "cat dim": (
        lambda: F.cat([X], 4), ValueError, r"cat: dim 4 is out of range for a tensor of 4 dim"),
    "cat dim kind": (lambda: F.cat([X], (1,)), TypeError, r"cat: dim expects an int, .* \(1,\)"),
    "cat dim bool": (lambda: F.cat([X], True), TypeError, r"cat: dim expects an int, .* got True"),
    "stack of a tensor": (
        lambda: F.stack(X), TypeError, r"stack: tensors expects a list or tuple of tensors"),
    "stack shapes": (
        lambda: F.stack([X, X[:1]]), ValueError,
        r"stack: shapes must be equal, but tensor 0 has \(2, 6, 4, 4\) and tensor 1 has \(1, 6"),
    "stack dim": (
        lambda: F.stack([X], 5), ValueError, r"stack: dim 5 is out of range .* -5 to 4"),
    "channel_shuffle groups": (
        lambda: F.channel_shuffle(X, 4), ValueError,
        r"channel_shuffle: groups must divide .* got 4 groups for 6 channels: \(2, 6, 4, 4\)"),
    "channel_shuffle no groups": (
        lambda: F.channel_shuffle(X, 0), ValueError, r"groups expects 1 or more, but got 0"),
    "channel_shuffle kind": (
        lambda: F.channel_shuffle(X, 2.0), TypeError, r"groups expects an int, but got 2.0"),
    "channel_shuffle dimensions": (
        lambda: F.channel_shuffle(X[0], 2), ValueError, r"channel_shuffle: input expects 4 dim"),
    "channel_shuffle integers": (
        lambda: F.channel_shuffle(X.to(np.int64), 2), TypeError, r"channel_shuffle: expects a fl"),
    "ChannelShuffle": (
        lambda: nn.ChannelShuffle("2"), TypeError, r"ChannelShuffle: groups expects an int"),
    "ZeroPadShortcut channels": (
        lambda: nn.ZeroPadShortcut(8, 4), ValueError,
        r"ZeroPadShortcut: out_channels must be at least in_channels, but got 4 for 8; .* project"),
    "ZeroPadShortcut stride": (
        lambda: nn.ZeroPadShortcut(8, 16, 0), ValueError, r"stride expects 1 or more, but got 0"),
    "ZeroPadShortcut zeros": (
        lambda: nn.ZeroPadShortcut(8, 16, zeros="before"), ValueError,
        r"ZeroPadShortcut: zeros expects 'around' or 'after', but got 'before'"),
    "ZeroPadShortcut input": (
        lambda: nn.ZeroPadShortcut(8, 16)(X), ValueError,
        r"ZeroPadShortcut: input expects shape \(N, 8, H, W\), but has \(2, 6, 4, 4\)"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors_say_what_was_given_and_what_the_rule_is(name):
    call, error, text = ERRORS[name]
    with pytest.raises(error, match=text):
        call()
