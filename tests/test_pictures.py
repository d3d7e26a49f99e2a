"""Maps that explain an answer, and the pictures of them."""

from __future__ import annotations

import numpy as np
import pytest

import minicnn
from minicnn import Tensor, analysis, nn
from minicnn import functional as F
from minicnn.analysis import explain
from minicnn.models import LeNet


class Tiny(nn.Module):
    """A convolution, a ReLU and a dense layer: small enough to say by hand what counts."""

    def __init__(self, weight, head):
        super().__init__()
        self.conv = nn.Conv2d(1, len(weight), 3, padding=1, bias=False)
        self.fc = nn.Linear(head.shape[1], len(head), bias=False)
        self.conv.weight.assign_(weight)
        self.fc.weight.assign_(head)

    def forward(self, x):
        return self.fc(F.relu(self.conv(x)).mean(dim=(2, 3)))


@pytest.fixture
def tiny():
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((4, 1, 3, 3)).astype(np.float32)
    return Tiny(weight, rng.standard_normal((3, 4)).astype(np.float32))


@pytest.fixture
def image():
    return np.random.default_rng(1).random((1, 8, 10), np.float32)


def score(model, image, target):
    return model(Tensor(image[None])).numpy()[0, target]


def test_saliency_is_the_slope_of_the_score(tiny, image):
    found = explain.saliency(tiny, image, target=2)
    assert found.shape == (8, 10)
    model = Tiny(tiny.conv.weight.numpy(), tiny.fc.weight.numpy()).to(np.float64)
    image = image.astype(np.float64)
    for h, w in [(0, 0), (3, 4), (7, 9)]:
        moved = [image.copy(), image.copy()]
        moved[0][0, h, w] += 1e-6
        moved[1][0, h, w] -= 1e-6
        slope = (score(model, moved[0], 2) - score(model, moved[1], 2)) / 2e-6
        assert found[h, w] == pytest.approx(abs(slope), abs=1e-6)


def test_saliency_leaves_modes_and_gradients_as_they_were(tiny, image):
    tiny.train()
    F.cross_entropy(tiny(Tensor(image[None])), Tensor([1])).backward()
    before = tiny.fc.weight.grad
    explain.saliency(tiny, image)
    assert tiny.training and tiny.fc.weight.grad is before


def test_grad_cam_weighs_maps_by_their_mean_gradient(tiny, image):
    found = explain.grad_cam(tiny, image, "conv", target=1)
    maps = tiny.conv(Tensor(image[None])).numpy()[0]
    slope = (maps > 0) * tiny.fc.weight.numpy()[1][:, None, None] / 80
    expected = np.maximum((slope.mean(axis=(1, 2))[:, None, None] * maps).sum(axis=0), 0)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)
    with pytest.raises(ValueError, match=r"no layer 'cvon'.*conv, fc"):
        explain.grad_cam(tiny, image, "cvon")
    with pytest.raises(ValueError, match="before the image is flattened"):
        explain.grad_cam(tiny, image, "fc")


@pytest.mark.parametrize("size, stride, batch_size", [(3, 2, 4), (2, 1, 64), (8, 3, 1)])
def test_occlusion_map_is_what_covering_each_place_does(tiny, image, size, stride, batch_size):
    found = explain.occlusion_map(tiny, image, size, stride, target=0, batch_size=batch_size)
    assert found.shape == ((8 - size) // stride + 1, (10 - size) // stride + 1)
    whole = explain.probabilities(tiny(Tensor(image[None])).numpy())[0, 0]
    for i, j in np.ndindex(found.shape):
        covered = image[None].copy()
        covered[..., i * stride : i * stride + size, j * stride : j * stride + size] = 0
        p = explain.probabilities(tiny(Tensor(covered)).numpy())[0, 0]
        assert found[i, j] == pytest.approx(whole - p, abs=1e-6)


def test_wrong_uses(tiny, image):
    with pytest.raises(ValueError, match=r"expects one image.*\(2, 1, 8, 10\)"):
        explain.saliency(tiny, np.stack([image, image]))
    with pytest.raises(IndexError, match="no class 3; they run from 0 to 2"):
        explain.saliency(tiny, image, target=3)
    with pytest.raises(ValueError, match="does not fit into an image of 8 x 10"):
        explain.occlusion_map(tiny, image, size=9)
    with minicnn.record(), pytest.raises(RuntimeError, match="recording is under way"):
        explain.saliency(tiny, image)


# ---------------------------------------------------------------------------
# Pictures
# ---------------------------------------------------------------------------
@pytest.fixture
def plots():
    matplotlib = pytest.importorskip("matplotlib", reason="needs matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    yield analysis
    pyplot.close("all")


def shown(figure):
    """The arrays of a figure's pictures."""
    return [np.asarray(im.get_array()) for ax in figure.axes for im in ax.images]


def test_filters_and_feature_maps_are_the_nets_own(plots):
    minicnn.manual_seed(0)
    model = LeNet()
    image = np.random.default_rng(0).random((1, 28, 28), np.float32)
    filters = shown(plots.plot_filters(model.conv1))
    np.testing.assert_array_equal(np.stack(filters), model.conv1.weight.numpy()[:, 0])
    assert len(shown(plots.plot_filters(model.conv2, most=20))) == 20
    maps = shown(plots.plot_feature_maps(model, image, "conv2"))
    expected = model.conv2(model.pool1(F.relu(model.conv1(Tensor(image[None]))))).numpy()[0]
    np.testing.assert_allclose(np.stack(maps), expected, rtol=1e-5)
    coloured = shown(plots.plot_filters(np.random.default_rng(0).random((4, 3, 5, 5))))
    assert coloured[0].shape == (5, 5, 3)
    with pytest.raises(ValueError, match=r"expects filters"):
        plots.plot_filters(model.fc1)


def test_gradients_need_a_backward(plots, tiny, image):
    with pytest.raises(RuntimeError, match=r"call loss\.backward"):
        plots.plot_gradients(tiny)
    F.cross_entropy(tiny(Tensor(image[None])), Tensor([1])).backward()
    (ax,) = plots.plot_gradients(tiny).axes
    assert [text.get_text() for text in ax.get_yticklabels()] == ["conv.weight", "fc.weight"]
    size = np.sqrt((tiny.fc.weight.grad.numpy() ** 2).mean())
    assert ax.patches[1].get_width() == pytest.approx(size)


def test_a_unit_sees_its_receptive_field(plots):
    minicnn.manual_seed(0)
    image = np.random.default_rng(0).random((1, 28, 28), np.float32)
    (ax,) = plots.plot_receptive_field(LeNet(), image, "conv2", unit=(3, 4)).axes
    (frame,) = ax.patches
    # conv1 sees 5 pixels, pool1 6, conv2 6 + 4 * 2 = 14, from 2 * (3, 4) - 2 on.
    assert (frame.get_width(), frame.get_height()) == (14, 14)
    assert (frame.get_x(), frame.get_y()) == (5.5, 3.5)
    moved = np.asarray(ax.images[1].get_array())
    rows, columns = np.nonzero(moved)
    assert rows.min() >= 4 and rows.max() <= 17 and columns.min() >= 6 and columns.max() <= 19
    with pytest.raises(IndexError, match=r"units \(0, 0\) to \(9, 9\)"):
        plots.plot_receptive_field(LeNet(), image, "conv2", unit=(10, 0))


def test_a_map_of_any_size_is_spread_over_its_image(plots, tiny, image):
    figure = plots.plot_map(image, analysis.grad_cam(tiny, image, "conv"), "Grad-CAM")
    _, right = figure.axes
    assert right.get_title() == "Grad-CAM"
    assert [list(im.get_extent()) for im in right.images] == [[-0.5, 9.5, 7.5, -0.5]] * 2
