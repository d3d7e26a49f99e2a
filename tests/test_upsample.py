"""Resampling: facts, edge cases and errors. The contract is in test_operations.py."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn import Tensor, nn
from minicnn import functional as F


def run(backend, x, grad=None, dtype=np.float64, **settings):
    """(output, gradient of x) of a call on one image, both (H, W)."""
    x = Tensor(np.array(x, dtype)[None, None], requires_grad=True)
    with backend.running():
        y = F.interpolate(x.to(backend.device), **settings)
        y.backward(np.ones(y.shape) if grad is None else np.array(grad, dtype)[None, None])
    return y.numpy()[0, 0], x.grad.numpy()[0, 0]


# ---------------------------------------------------------------------------
# What it is
# ---------------------------------------------------------------------------
def test_nearest_doubles_an_image(backend):
    y, dx = run(backend, [[1, 2], [3, 4]], np.arange(16).reshape(4, 4), scale_factor=2)
    np.testing.assert_array_equal(y, [[1, 1, 2, 2]] * 2 + [[3, 3, 4, 4]] * 2)
    np.testing.assert_array_equal(dx, [[10, 18], [42, 50]])  # each pixel: the sum over its copies


def test_nearest_shrinks_an_image(backend):
    y, dx = run(backend, np.arange(9).reshape(3, 3), size=2)
    np.testing.assert_array_equal(y, [[0, 1], [3, 4]])
    np.testing.assert_array_equal(dx, [[1, 1, 0], [1, 1, 0], [0, 0, 0]])


@pytest.mark.parametrize(
    ("align_corners", "expected"),
    [(False, [0, 0.25, 0.75, 1]), (None, [0, 0.25, 0.75, 1]), (True, [0, 1 / 3, 2 / 3, 1])],
)
def test_bilinear_doubles_a_ramp(backend, align_corners, expected):
    x = [[0, 1], [0, 1]]
    settings = dict(scale_factor=2, mode="bilinear", align_corners=align_corners)
    np.testing.assert_allclose(run(backend, x, **settings)[0], [expected] * 4, atol=1e-15)
    np.testing.assert_allclose(run(backend, np.transpose(x), **settings)[0].T, [expected] * 4,
                               atol=1e-15)  # fmt: skip


def test_halving_bilinearly_is_an_average_pooling(backend):
    x = np.random.default_rng(0).standard_normal((4, 6))
    y, dx = run(backend, x, scale_factor=0.5, mode="bilinear")
    np.testing.assert_allclose(y, F.avg_pool2d(x[None, None], 2).numpy()[0, 0])
    np.testing.assert_allclose(dx, np.full((4, 6), 0.25))


@pytest.mark.parametrize("settings", [
    dict(mode="nearest"), dict(mode="bilinear"), dict(mode="bilinear", align_corners=True),
], ids=str)  # fmt: skip
@pytest.mark.parametrize("size", [(5, 3), (1, 1), (11, 2)])
def test_a_constant_stays_and_every_output_gives_its_gradient_back(backend, settings, size):
    y, dx = run(backend, np.full((5, 3), 7.0), size=size, **settings)
    assert y.shape == size
    np.testing.assert_allclose(y, 7, rtol=1e-14)
    np.testing.assert_allclose(dx.sum(), size[0] * size[1])


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
@pytest.mark.parametrize("how", [dict(size=(4, 5)), dict(scale_factor=1), dict(scale_factor=1.1)])
def test_the_same_size_is_the_same_image(backend, mode, how):
    x = np.random.default_rng(0).standard_normal((4, 5))
    y, _ = run(backend, x, mode=mode, **how)
    np.testing.assert_array_equal(y, x)


def test_align_corners_keeps_the_corners(backend):
    x = np.random.default_rng(0).standard_normal((4, 3))
    y, _ = run(backend, x, size=(9, 7), mode="bilinear", align_corners=True)
    np.testing.assert_allclose(y[::8, ::6], x[::3, ::2], atol=1e-15)


def test_nearest_copies_infinity_and_nan(backend):
    y, _ = run(backend, [[np.inf, np.nan], [-np.inf, 1]], size=(2, 4))
    np.testing.assert_array_equal(y, [[np.inf] * 2 + [np.nan] * 2, [-np.inf] * 2 + [1] * 2])


def test_a_position_that_is_whole_on_paper_is_whole_here(backend):
    """Output 11 of 22 is at 11 * 26/22 = 13; computed as 11 * (26/22) it would be just below."""
    y, _ = run(backend, np.arange(26)[None], size=(1, 22))
    np.testing.assert_array_equal(y[0], np.arange(22) * 26 // 22)


# ---------------------------------------------------------------------------
# Sizes, PyTorch
# ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("size", "how", "expected"),
    [
        ((7, 9), dict(size=5), (5, 5)),
        ((7, 9), dict(size=(3, 20)), (3, 20)),
        ((7, 9), dict(scale_factor=0.5), (3, 4)),
        ((7, 9), dict(scale_factor=(2, 1.5)), (14, 13)),
        ((3, 3), dict(scale_factor=0.34), (1, 1)),
        ((14, 14), dict(scale_factor=2), (28, 28)),
    ],
)
def test_sizes(size, how, expected):
    x = np.zeros((2, 3, *size), np.float32)
    y = F.interpolate(x, **how)
    assert y.shape == (2, 3, *expected) and y.dtype == np.float32
    assert nn.Upsample(**how)(Tensor(x)).shape == y.shape


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
@pytest.mark.parametrize("scale", [2.1, (1.3, 0.7), (0.45, 3.3), 1 / 3])
def test_odd_scale_factors_equal_pytorchs(mode, scale, dtype):
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    x = Tensor(np.random.default_rng(0).standard_normal((2, 3, 9, 7)).astype(dtype),
               requires_grad=True)  # fmt: skip
    t = torch.tensor(x.numpy(), requires_grad=True)
    y = F.interpolate(x, scale_factor=scale, mode=mode)
    z = torch.nn.functional.interpolate(t, scale_factor=scale, mode=mode)
    dy = np.random.default_rng(1).standard_normal(y.shape).astype(dtype)
    y.backward(dy)
    z.backward(torch.from_numpy(dy))
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(y.numpy(), z.detach().numpy(), atol=tolerance)
    np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), atol=tolerance)


def test_the_layer_shows_itself():
    assert repr(nn.Upsample(scale_factor=2)) == "Upsample(scale_factor=(2.0, 2.0), mode='nearest')"
    layer = nn.Upsample((4, 5), mode="bilinear", align_corners=True)
    assert repr(layer) == "Upsample(size=(4, 5), mode='bilinear', align_corners=True)"


# ---------------------------------------------------------------------------
# Errors
# ---------------------------------------------------------------------------
X = Tensor(np.ones((2, 3, 4, 4), np.float32))

ERRORS = {
    "interpolate by nothing": (
        lambda: F.interpolate(X), ValueError,
        r"interpolate: expects either size or scale_factor, but got size=None and scale_factor=N"),
    "interpolate by both": (
        lambda: F.interpolate(X, 8, 2), ValueError, r"either .* got size=8 and scale_factor=2"),
    "interpolate size": (
        lambda: F.interpolate(X, 0), ValueError, r"interpolate: size expects .* but got 0"),
    "interpolate size kind": (
        lambda: F.interpolate(X, 2.0), TypeError, r"interpolate: size expects an int or a pair"),
    "interpolate scale": (
        lambda: F.interpolate(X, scale_factor=0), ValueError,
        r"interpolate: scale_factor expects a number above 0, but got 0"),
    "interpolate scale nan": (
        lambda: F.interpolate(X, scale_factor=float("nan")), ValueError, r"above 0, but got nan"),
    "interpolate scale kind": (
        lambda: F.interpolate(X, scale_factor=("2", 2)), TypeError, r"above 0, but got '2'"),
    "interpolate scale count": (
        lambda: F.interpolate(X, scale_factor=(2, 2, 2)), ValueError,
        r"interpolate: scale_factor expects a number or a pair .* got \(2, 2, 2\)"),
    "interpolate nothing left": (
        lambda: F.interpolate(X, scale_factor=0.2), ValueError,
        r"interpolate: scale_factor 0.2 leaves nothing of an image of \(4, 4\)"),
    "interpolate mode": (
        lambda: F.interpolate(X, 2, mode="bicubic"), ValueError,
        r"interpolate: mode expects 'nearest' or 'bilinear', but got 'bicubic'"),
    "interpolate align_corners": (
        lambda: F.interpolate(X, 2, align_corners=False), ValueError,
        r"interpolate: align_corners is for mode 'bilinear' only, but mode is 'nearest'"),
    "interpolate align_corners kind": (
        lambda: F.interpolate(X, 2, mode="bilinear", align_corners=1), TypeError,
        r"interpolate: align_corners expects True, False or None, but got 1"),
    "interpolate dimensions": (
        lambda: F.interpolate(X[0], 2), ValueError, r"interpolate: input expects 4 dimensions"),
    "interpolate no pixels": (
        lambda: F.interpolate(X[:, :, :0], 2), ValueError, r"expects no size 0 but for the batch"),
    "interpolate integers": (
        lambda: F.interpolate(X.to(np.int64), 2), TypeError, r"interpolate: expects a float32"),
    "Upsample": (lambda: nn.Upsample(), ValueError, r"Upsample: expects either size or scale_f"),
    "Upsample mode": (
        lambda: nn.Upsample(2, mode="cubic"), ValueError, r"Upsample: mode expects 'nearest' or"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors_say_what_was_given_and_what_the_rule_is(name):
    call, error, text = ERRORS[name]
    with pytest.raises(error, match=text):
        call()
