"""Nets with weights that others have published: they predict what those weights are known for.

The files are looked for in the folder that MINICNN_DATA names.
"""

from __future__ import annotations

import tarfile

import numpy as np
import pytest

from minicnn import Tensor, interop, models, no_grad
from minicnn.data import load, read_picture
from minicnn.data.transforms import CenterCrop, Compose, Resize
from minicnn.interop import WeightsError


def scores(net, images, batch=500):
    """What a net makes of many images, batch by batch."""
    with no_grad():
        parts = [net(Tensor(images[k : k + batch])) for k in range(0, len(images), batch)]
    return np.concatenate([part.numpy() for part in parts])


# ---------------------------------------------------------------------------
# ResNets for CIFAR-10
# ---------------------------------------------------------------------------
@pytest.mark.slow
@pytest.mark.parametrize(("name", "file", "error"), [
    ("cifar_resnet20", "resnet20-12fca82f.npz", 8.27),
    ("cifar_resnet44", "resnet44-014dd654.npz", 6.90),
])  # fmt: skip
def test_cifar_resnets_reach_their_published_error(name, file, error, data_dir):
    """On all 10,000 test images, normalized with ImageNet's mean and deviation."""
    net = models.build(name).eval()
    interop.load_into(net, data_dir / "cifar-10" / "resnet" / file)
    test = load("cifar10", "test")
    mean, std = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]], np.float32)
    x = (test.images.astype(np.float32) / 255 - mean.reshape(3, 1, 1)) / std.reshape(3, 1, 1)
    assert x.shape == (10_000, 3, 32, 32)
    wrong = scores(net, x).argmax(1) != test.labels
    assert abs(100 * wrong.mean() - error) <= 0.05


# ---------------------------------------------------------------------------
# SqueezeNet for ImageNet
# ---------------------------------------------------------------------------
DAISY = 985  # the one kind of the flower photos that is a class of ImageNet
BLUE_GREEN_RED = np.array([104, 117, 123], np.float32).reshape(3, 1, 1)


def squeezenet(folder):
    """(SqueezeNet 1.0 with its authors' weights, the file)."""
    path = folder / "squeezenet" / "squeezenet_v1.0_imagenet.npz"
    net = models.build("squeezenet1_0").eval()
    interop.load_into(net, path, rename=interop.names.squeezenet_v1_0)
    return net, path


def photos(folder, kind, to):
    """The 40 test photos of a kind of flower, as those weights want them."""
    prepare = Compose([Resize(256), CenterCrop(227)])
    with tarfile.open(folder / "flowers160.tar") as archive:
        of_kind = [m for m in archive if m.name.startswith(f"test/{kind}/") and m.isfile()]
        archive.extractall(to, of_kind, filter="data")
    red_green_blue = [
        prepare(read_picture(to / m.name).astype(np.float32))
        for m in sorted(of_kind, key=lambda m: m.name)
    ]
    return np.stack([image[::-1] - BLUE_GREEN_RED for image in red_green_blue])


def test_weights_of_squeezenet_come_to_their_places(data_dir):
    net, path = squeezenet(data_dir)
    stored = interop.load(path)
    assert len(stored) == len(net.state_dict()) == 52
    np.testing.assert_array_equal(
        net.features[12].expand3x3.weight.numpy(), stored["fire9/conv3x3_2.weight"]
    )
    with pytest.raises(WeightsError, match=r"unexpected: fire2/conv1x1_1\.weight"):
        interop.load_into(net, path)


@pytest.mark.slow
def test_squeezenet_knows_a_daisy(data_dir, tmp_path):
    """Of 40 photos of daisies 34 are daisies to it, and 38 among its first five guesses."""
    pytest.importorskip("PIL", reason="needs Pillow")
    net, _ = squeezenet(data_dir)
    found = {}
    for kind in ("daisy", "tulip"):
        order = scores(net, photos(data_dir, kind, tmp_path), 20).argsort(1)[:, ::-1]
        assert len(order) == 40
        found[kind] = (order[:, 0] == DAISY).sum(), (order[:, :5] == DAISY).any(1).sum()
    # Two classes may score nearly the same, and another decoder of JPEG gives other pixels.
    assert abs(found["daisy"][0] - 34) <= 1 and abs(found["daisy"][1] - 38) <= 1
    assert found["tulip"][0] <= 2


@pytest.mark.slow
def test_squeezenet_predicts_as_in_pytorch(data_dir, tmp_path):
    """The file's own names and arrays in PyTorch: the same scores of real photos."""
    pytest.importorskip("PIL", reason="needs Pillow")
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    conv, relu = torch.nn.functional.conv2d, torch.relu
    net, path = squeezenet(data_dir)
    w = {name: torch.from_numpy(array) for name, array in interop.load(path).items()}
    x = photos(data_dir, "sunflower", tmp_path)[:10]

    def layer(y, name, **settings):
        return relu(conv(y, w[f"{name}.weight"], w[f"{name}.bias"], **settings))

    y = layer(torch.from_numpy(x), "conv1", stride=2)
    for fire in range(2, 10):
        if fire in (2, 5, 9):
            y = torch.nn.functional.max_pool2d(y, 3, 2, ceil_mode=True)
        y = layer(y, f"fire{fire}/conv1x1_1")
        y = torch.cat([layer(y, f"fire{fire}/conv1x1_2"),
                       layer(y, f"fire{fire}/conv3x3_2", padding=1)], 1)  # fmt: skip
    expected = layer(y, "conv_final").mean((2, 3)).numpy()
    got = scores(net, x)
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    np.testing.assert_array_equal(got.argmax(1), expected.argmax(1))
