"""A net made for its data set: channels, size and classes, or an error that says what is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn import Tensor, manual_seed, models
from minicnn.__main__ import main
from minicnn.data import Dataset, load
from minicnn.training.fitting import MisfitError, build_for
from minicnn.training.recipes import PREPARATIONS, preparation, recipe


@pytest.mark.parametrize("name", ["lenet", "cifar_resnet20", "squeezenet1_1", "mobilenet_v2"])
@pytest.mark.parametrize(("shape", "classes"), [((3, 32, 32), 100), ((1, 28, 28), 10)])
def test_a_net_fits_its_images(name, shape, classes):
    model = build_for(name, shape, classes)
    model.eval()
    assert model(Tensor(np.zeros((2, *shape), np.float32))).shape == (2, classes)


def test_it_draws_the_weights_that_build_draws():
    weights = []
    for make in (lambda: models.build("lenet"), lambda: build_for("lenet", (1, 28, 28), 10)):
        manual_seed(3)
        weights.append(make().state_dict())
    for name, array in weights[0].items():
        np.testing.assert_array_equal(weights[1][name], array)


@pytest.mark.parametrize(
    ("name", "shape", "classes", "message"),
    [
        ("lenet5_1998", (3, 32, 32), 10, "lenet5_1998 cannot take images of 3x32x32 in 10 classes"),
        ("lenet5_1998", (1, 28, 28), 47, r"47 classes: its scores have shape \(1, 10\), but must"),
        ("lenet", (1, 8, 8), 10, "1x8x8 in 10 classes: LeNet: an image_size of 8 with padding 2"),
        ("inception_v3", (3, 32, 32), 10, "expects images of at least 75 x 75.*; choose another"),
    ],
)
def test_a_net_that_does_not_fit(name, shape, classes, message):
    with pytest.raises(MisfitError, match=message):
        build_for(name, shape, classes)


def test_an_unknown_net():
    with pytest.raises(ValueError, match="there is no model 'lenett'; did you mean 'lenet'"):
        build_for("lenett", (1, 28, 28), 10)


# ---------------------------------------------------------------------------
# On the command line
# ---------------------------------------------------------------------------
@pytest.fixture
def cifar(monkeypatch, tmp_path):
    """48 images in the form of CIFAR's, whichever is asked for."""

    def few(name, split="train", *, size=None):
        if not name.startswith("cifar"):
            return load(name, split, size=size)[:48]
        rng = np.random.default_rng(split == "test")
        images = rng.integers(0, 256, (48, 3, 32, 32), np.uint8)
        classes = tuple(map(str, range(int(name.removeprefix("cifar")))))
        return Dataset(images, np.arange(48) % len(classes), classes, name, split)

    monkeypatch.chdir(tmp_path)
    for place in ("minicnn.training.run", "minicnn.data"):
        monkeypatch.setattr(f"{place}.load", few)


@pytest.mark.parametrize(
    ("model", "name"), [("lenet", "cifar10"), ("lenet", "cifar100"), ("cifar_resnet20", "cifar10"),
                        ("cifar_resnet20", "digits")],
)  # fmt: skip
def test_train(cifar, capsys, model, name):
    argv = ["train", model, "--data", name, "--epochs", "1", "--batch-size", "24", "--lr", "0.01"]
    assert main(argv) == 0
    out, err = capsys.readouterr()
    assert err == "" and f"{model} on {name}: " in out and "of the 48 test images right" in out


def test_a_misfit_is_one_line(cifar, capsys):
    for command in ("train", "step"):
        assert main([command, "lenet5_1998", "--data", "cifar10"]) == 2
        out, err = capsys.readouterr()
        assert out == "" and len(err.splitlines()) == 1
        assert "lenet5_1998 cannot take images of 3x32x32 in 10 classes" in err


def test_step_takes_colour(cifar, capsys, monkeypatch):
    from minicnn.stepper import terminal

    walked = []
    monkeypatch.setattr(terminal, "walk", walked.append)
    assert main(["step", "lenet", "--data", "cifar10", "--index", "7"]) == 0
    assert len(walked) == 1 and "test image 7 of cifar10, class 7" in capsys.readouterr().out


def test_the_learning_rate_suits_the_model_and_the_data():
    assert recipe("lenet", "cifar10").lr == 0.02 < recipe("cifar_resnet20", "cifar10").lr == 0.1
    assert recipe("lenet", "digits").lr == 0.05 > recipe("lenet5_1998", "digits").lr


def test_preparations():
    for name in PREPARATIONS:
        training, testing = (preparation(name).loader(training=t) for t in (True, False))
        assert "transform" not in testing
        assert all(training[key] == value for key, value in testing.items())
    assert preparation("mnist").loader(training=True) == {"mean": None, "std": None}
