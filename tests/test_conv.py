"""Convolution and its kin: facts, edge cases, errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minicnn
from minicnn import Tensor, nn
from minicnn import functional as F
from minicnn.checks import strategies


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


# ---------------------------------------------------------------------------
# What convolution is
# ---------------------------------------------------------------------------
def test_1x1_convolution_is_a_linear_layer_at_every_pixel(backend):
    x, w, b = random(2, 64, 5, 6), random(32, 64, 1, 1), random(32)
    assert w.size == 2048
    with backend.running():
        x, w, b = (Tensor(a).to(backend.device) for a in (x, w, b))
        y = F.conv2d(x, w, b)
        rows = F.linear(x.permute(0, 2, 3, 1), w.reshape(32, 64), b).permute(0, 3, 1, 2)
    assert y.shape == (2, 32, 5, 6)
    np.testing.assert_allclose(y.numpy(), rows.numpy(), rtol=1e-12, atol=1e-12)


def test_im2col_of_a_1x1_convolution_copies_nothing():
    from minicnn.ops.windows import im2col

    x = np.ascontiguousarray(random(2, 5, 6, 8)).transpose(0, 3, 1, 2)
    assert np.shares_memory(im2col(x, (1, 1), (1, 1), (0, 0)), x)


@pytest.mark.parametrize("groups", [2, 4])
def test_groups_are_convolutions_side_by_side(backend, groups):
    x, w = random(2, 4, 6, 5), random(8, 4 // groups, 3, 2)
    with backend.running():
        whole = F.conv2d(Tensor(x).to(backend.device), Tensor(w).to(backend.device), groups=groups)
        parts = [
            F.conv2d(Tensor(xg).to(backend.device), Tensor(wg).to(backend.device))
            for xg, wg in zip(np.split(x, groups, 1), np.split(w, groups), strict=True)
        ]
    together = np.concatenate([part.numpy() for part in parts], axis=1)
    np.testing.assert_allclose(whole.numpy(), together, rtol=1e-12, atol=1e-12)


def test_depthwise_has_an_operation_of_its_own():
    x, w = Tensor(random(1, 3, 5, 5), requires_grad=True), Tensor(random(6, 1, 3, 3))
    assert F.conv2d(x, w, groups=3)._entry.name == "DepthwiseConv2d"
    assert F.conv2d(x, Tensor(random(6, 3, 3, 3)))._entry.name == "Conv2d"


def test_flipping_the_filter_gives_the_mathematicians_convolution():
    x, w = random(5, 6), random(3, 2)
    mathematical = np.zeros((7, 7))
    for i, j in np.ndindex(x.shape):
        mathematical[i : i + 3, j : j + 2] += x[i, j] * w
    y = F.conv2d(x[None, None], w[None, None, ::-1, ::-1].copy(), padding=(2, 1))
    np.testing.assert_allclose(y.numpy()[0, 0], mathematical)


@settings(max_examples=30)
@given(case=strategies.conv_transpose2d(), seed=st.integers(0, 99))
def test_transposed_convolution_is_the_adjoint_of_convolution(case, seed):
    """<conv_transpose2d(x), z> = <x, conv2d(z)> for every z, with the same weights."""
    x, w, _ = case.arrays
    arguments = {k: v for k, v in case.settings.items() if k != "output_padding"}
    y = F.conv_transpose2d(x, w, None, **case.settings).numpy()
    z = random(*y.shape, seed=seed)
    back = F.conv2d(z, w, None, **arguments).numpy()[:, :, : x.shape[2], : x.shape[3]]
    np.testing.assert_allclose((y * z).sum(), (x * back).sum(), rtol=1e-9, atol=1e-9)


def test_im2col_is_the_picture_in_its_docstring(backend):
    image = Tensor(np.arange(1.0, 10).reshape(1, 1, 3, 3))
    with backend.running():
        rows = F.im2col(image.to(backend.device), 2)
        back = F.col2im(rows, (1, 1, 3, 3), 2)
    assert rows.numpy().tolist() == [[1, 2, 4, 5], [2, 3, 5, 6], [4, 5, 7, 8], [5, 6, 8, 9]]
    seen = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]])
    np.testing.assert_array_equal(back.numpy()[0, 0], image.numpy()[0, 0] * seen)


def test_im2col_holds_what_pytorchs_unfold_holds():
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    x = random(2, 3, 7, 6)
    arguments = {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2)}
    rows = F.im2col(x, (3, 2), **arguments).numpy()
    columns = torch.nn.functional.unfold(torch.from_numpy(x), (3, 2), **arguments).numpy()
    ours = rows.reshape(2, -1, 6, 3).transpose(0, 3, 2, 1).reshape(2, 18, -1)
    np.testing.assert_array_equal(ours, columns)


# ---------------------------------------------------------------------------
# Padding
# ---------------------------------------------------------------------------
@pytest.mark.parametrize(("kernel", "dilation"), [(3, 1), ((5, 3), 1), (2, 2), ((3, 4), 2)])
def test_same_padding_keeps_the_size_as_in_pytorch(kernel, dilation):
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    layer = nn.Conv2d(2, 3, kernel, padding="same", dilation=dilation).to(np.float64)
    x = random(1, 2, 9, 8)
    y = layer(Tensor(x))
    assert y.shape == (1, 3, 9, 8)
    with torch.no_grad():
        w, b = (torch.from_numpy(p.numpy().copy()) for p in layer.parameters())
        z = torch.nn.functional.conv2d(
            torch.from_numpy(x), w, b, padding="same", dilation=dilation
        )
    np.testing.assert_allclose(y.numpy(), z.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("mode", ["zeros", "replicate", "reflect", "circular"])
def test_padding_modes_as_in_pytorch(mode):
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    ours = nn.Conv2d(2, 3, 3, stride=2, padding=(2, 1), padding_mode=mode).to(np.float64)
    theirs = torch.nn.Conv2d(2, 3, 3, stride=2, padding=(2, 1), padding_mode=mode).double()
    x = Tensor(random(2, 2, 6, 7), requires_grad=True)
    t = torch.from_numpy(x.numpy().copy()).requires_grad_()
    with torch.no_grad():
        for p, q in zip(theirs.parameters(), ours.parameters(), strict=True):
            p.copy_(torch.from_numpy(q.numpy().copy()))
    (ours(x) * ours(x)).sum().backward()
    (theirs(t) * theirs(t)).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), rtol=1e-9, atol=1e-9)
    for p, q in zip(theirs.parameters(), ours.parameters(), strict=True):
        np.testing.assert_allclose(q.grad.numpy(), p.grad.numpy(), rtol=1e-9, atol=1e-9)


def test_four_sides_of_padding(backend):
    x, w = random(1, 1, 4, 4), random(1, 1, 3, 3)
    with backend.running():
        x, w = Tensor(x).to(backend.device), Tensor(w).to(backend.device)
        y = F.conv2d(x, w, padding=((2, 0), (1, 3)))
        z = F.conv2d(F.pad(x, (1, 3, 2, 0)), w)
    assert y.shape == (1, 1, 4, 6)
    np.testing.assert_array_equal(y.numpy(), z.numpy())
    assert F.conv2d(x, w, padding="valid").shape == (1, 1, 2, 2)


@pytest.mark.parametrize(
    ("mode", "row"),
    [("constant", [9, 9, 1, 2, 3, 4, 9, 9]), ("replicate", [1, 1, 1, 2, 3, 4, 4, 4]),
     ("reflect", [3, 2, 1, 2, 3, 4, 3, 2]), ("circular", [3, 4, 1, 2, 3, 4, 1, 2])],
)  # fmt: skip
def test_pad_is_the_table_in_its_docstring(mode, row):
    y = F.pad([1.0, 2.0, 3.0, 4.0], (2, 2), mode, value=9)
    assert y.numpy().tolist() == row


def test_shrinking_the_filter_at_the_border_is_zero_padding():
    x, w = random(5, 5), random(3, 3)
    y = F.conv2d(x[None, None], w[None, None], padding=1).numpy()[0, 0]
    for i, j in np.ndindex(5, 5):
        rows, columns = (range(max(0, k - 1), min(5, k + 2)) for k in (i, j))
        shrunk = sum(x[h, k] * w[h - i + 1, k - j + 1] for h in rows for k in columns)
        assert y[i, j] == pytest.approx(shrunk)


def test_partial_convolution_of_a_constant_image_is_constant_for_a_mean(backend):
    x, mean = np.full((1, 1, 5, 4), 3.0), np.full((1, 1, 3, 3), 1 / 9)
    with backend.running():
        x, w = Tensor(x).to(backend.device), Tensor(mean).to(backend.device)
        partial = F.partial_conv2d(x, w, padding=1).numpy()
        plain = F.conv2d(x, w, padding=1).numpy()
    np.testing.assert_allclose(partial, 3)
    assert plain[0, 0, 0, 0] == pytest.approx(3 * 4 / 9)  # zero padding fades at the border


def test_partial_convolution_rescales_by_the_cells_inside():
    x, w, b = random(1, 2, 5, 4), random(3, 2, 3, 3), random(3)
    plain = F.conv2d(x, w, padding=1).numpy()
    inside = np.outer([2, 3, 3, 3, 2], [2, 3, 3, 2])
    expected = plain * 9 / inside + b[:, None, None]
    np.testing.assert_allclose(F.partial_conv2d(x, w, b, padding=1).numpy(), expected)


# ---------------------------------------------------------------------------
# Layers
# ---------------------------------------------------------------------------
def test_layers_pass_their_settings_on():
    layer = nn.Conv2d(4, 8, (3, 2), stride=2, padding=1, dilation=2, groups=4, bias=False)
    x = random(1, 4, 9, 9).astype(np.float32)
    expected = F.conv2d(x, layer.weight, None, 2, 1, 2, 4)
    np.testing.assert_array_equal(layer(Tensor(x)).numpy(), expected.numpy())
    assert repr(layer) == (
        "Conv2d(4, 8, kernel_size=(3, 2), stride=(2, 2), padding=(1, 1), dilation=(2, 2), "
        "groups=4, bias=False)"
    )
    up = nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2)
    assert up(Tensor(x)).shape == (1, 6, 18, 18)
    expected = F.conv_transpose2d(x, up.weight, up.bias, 2, 1, 1, 2)
    np.testing.assert_array_equal(up(Tensor(x)).numpy(), expected.numpy())
    assert "output_padding=(1, 1), groups=2" in repr(up)


def test_saving_memory_order_of_grouped_gradients():
    x = Tensor(random(2, 4, 5, 5), requires_grad=True)
    w = Tensor(random(4, 2, 3, 3), requires_grad=True)
    F.conv2d(x, w, groups=2).sum().backward()
    assert minicnn.layout.nhwc(w.grad._data).flags.c_contiguous


# ---------------------------------------------------------------------------
# Errors
# ---------------------------------------------------------------------------
X = Tensor(np.ones((2, 4, 6, 6), np.float32))
W = Tensor(np.ones((4, 2, 3, 3), np.float32))
ROWS = np.ones((16, 16), np.float32)

ERRORS = {
    "conv2d groups": (
        lambda: F.conv2d(X, W, groups=3), ValueError,
        r"weight expects 6 input channels \(weight.shape\[1\] \* 3 groups\), but input has 4"),
    "conv2d filters": (
        lambda: F.conv2d(X, np.ones((3, 2, 3, 3), np.float32), groups=2), ValueError,
        r"weight has 3 filters .* which 2 groups cannot share equally"),
    "conv2d groups kind": (
        lambda: F.conv2d(X, W, groups=0), ValueError, "groups expects 1 or more, but got 0"),
    "conv2d dilation": (
        lambda: F.conv2d(X, W, groups=2, dilation=3), ValueError,
        r"a kernel of \(3, 3\) with dilation \(3, 3\) does not fit"),
    "conv2d same": (
        lambda: F.conv2d(X, W, groups=2, stride=2, padding="same"), ValueError,
        "padding 'same' keeps the size only with stride 1"),
    "conv2d padding word": (
        lambda: F.conv2d(X, W, groups=2, padding="full"), ValueError, "'same', 'valid' or pixels"),
    "conv2d padding sides": (
        lambda: F.conv2d(X, W, groups=2, padding=((1, 1),)), ValueError,
        r"padding expects \(\(top, bottom\), \(left, right\)\)"),
    "conv2d padding mode": (
        lambda: F.conv2d(X, W, groups=2, padding=1, padding_mode="mirror"), ValueError,
        "padding_mode expects one of .* but got 'mirror'"),
    "partial_conv2d outside": (
        lambda: F.partial_conv2d(X, W, padding=4, groups=2), ValueError,
        "a window of .* lies outside the image .* whole"),
    "partial_conv2d bias": (
        lambda: F.partial_conv2d(X, W, np.ones(3, np.float32), groups=2), ValueError,
        r"partial_conv2d: bias expects shape \(4,\)"),
    "conv_transpose2d channels": (
        lambda: F.conv_transpose2d(X, np.ones((3, 2, 3, 3), np.float32)), ValueError,
        r"weight expects 3 input channels \(weight.shape\[0\]\), but input has 4"),
    "conv_transpose2d groups": (
        lambda: F.conv_transpose2d(X, W, groups=3), ValueError, "cannot be shared equally by 3"),
    "conv_transpose2d output_padding": (
        lambda: F.conv_transpose2d(X, W, stride=2, output_padding=2), ValueError,
        "output_padding must be smaller than stride or dilation"),
    "conv_transpose2d padding": (
        lambda: F.conv_transpose2d(X, W, padding=4), ValueError, "cuts everything off"),
    "im2col": (lambda: F.im2col(X, 7), ValueError, r"im2col: a kernel of \(7, 7\) does not fit"),
    "im2col dimensions": (lambda: F.im2col(ROWS, 2), ValueError, "im2col: input expects 4 dim"),
    "col2im size": (lambda: F.col2im(ROWS, (4, 4), 2), ValueError, r"size expects \(N, C, H, W\)"),
    "col2im shape": (
        lambda: F.col2im(ROWS, (1, 1, 5, 5), 2), ValueError,
        r"has a matrix of shape \(16, 4\), but input has \(16, 16\)"),
    "pad length": (lambda: F.pad(X, (1, 1, 1)), ValueError, r"expects \(left, right\) or"),
    "pad kind": (lambda: F.pad(X, (1, 1.5)), TypeError, "pad expects ints"),
    "pad mode": (lambda: F.pad(X, (1, 1), "edge"), ValueError, "mode expects one of constant"),
    "pad too much": (
        lambda: F.pad(X, (6, 0), "reflect"), ValueError, "'reflect' can add at most 5 pixels"),
    "pad away": (lambda: F.pad(X, (-4, -2)), ValueError, "leaves nothing of an axis of 6 pixels"),
    "pad axes": (lambda: F.pad([1.0], (1, 1, 1, 1)), ValueError, "4 numbers need 2 axes"),
    "nn groups": (
        lambda: nn.Conv2d(4, 6, 3, groups=4), ValueError,
        "groups must divide in_channels and out_channels, but 4 groups"),
    "nn padding mode": (
        lambda: nn.Conv2d(4, 6, 3, padding_mode="same"), ValueError, "padding_mode expects"),
    "nn same": (lambda: nn.Conv2d(4, 6, 3, 2, "same"), ValueError, "only with stride 1"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors_say_what_was_given_and_what_the_rule_is(name):
    call, error, text = ERRORS[name]
    with pytest.raises(error, match=text):
        call()
