"""The contract that every net of the zoo passes.

Shapes alone are quick, so they are tried for all nets. What computes is tried for a few, and for
all others in the slow part.
"""

from __future__ import annotations

import gzip
import json
import math
import shutil
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from whole_nets import every, gradient_errors, images, settle, smallest_shape, tensors_of

import minicnn
from minicnn import Tensor, interop, models, no_grad, use_backend
from minicnn.backends.shapes import blank
from minicnn.nn import Conv2d, init

NAMES = models.names(None)
QUICK = (
    "lenet", "lenet5_1998", "cifar_resnet20", "squeezenet1_1", "shufflenet_v2_x0_5", "mnasnet0_5",
    "mobilenet_v3_small",
)  # fmt: skip
COMPUTED = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NAMES]


def empty(name, **settings):
    """A net without first weights."""
    with init.empty():
        return models.build(name, **settings)


# ---------------------------------------------------------------------------
# By shapes
# ---------------------------------------------------------------------------
@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_the_published_number(name):
    info = models.info(name)
    assert empty(name).num_parameters() == info.parameters
    assert info.source and info.paper[-4:].isdigit()


def references():
    """{net: [(name, shape), ...]} of torchvision's and timm's state_dicts; see the file's head."""
    stored = Path(__file__).with_name("state_dicts.json.gz")
    libraries = json.loads(gzip.decompress(stored.read_bytes()))
    found = {**libraries["timm"], **libraries["torchvision"]}
    return {net: [entry for line in text.split("\n") for entry in _entries(line)]
            for net, text in found.items()}  # fmt: skip


def _entries(line):
    name, *rest = line.split(" ")
    if rest[:1] == ["norm"]:
        for part in ("weight", "bias", "running_mean", "running_var"):
            yield f"{name}.{part}", (int(rest[1]),)
        yield f"{name}.num_batches_tracked", ()
    else:
        yield name, tuple(map(int, rest[0].split("x"))) if rest else ()


REFERENCES = references()


@pytest.mark.parametrize("name", [name for name in NAMES if name in REFERENCES])
def test_state_dict_is_that_of_torchvision_or_timm(name):
    """Same names, same shapes: files of weights can be exchanged."""
    found = {key: value.shape for key, value in empty(name).state_dict().items()}
    assert found == dict(REFERENCES[name])


def test_the_stored_lists_are_whole():
    def numbers(entries):
        learnt = [shape for key, shape in entries if not key.endswith(("_mean", "_var", "tracked"))]
        return sum(map(math.prod, learnt))

    assert len(REFERENCES) > 70
    assert numbers(REFERENCES["resnet50"]) == 25_557_032
    assert numbers(REFERENCES["vgg16"]) == 138_357_544
    assert numbers(REFERENCES["densenet121"]) == 7_978_856


def check_outputs(name, model, shape, classes):
    """What a net of this task gives for two inputs."""
    with use_backend("shapes"), no_grad():
        scores, *others = tensors_of(model(Tensor(blank((2, *shape)))))
    task = models.info(name).task
    assert scores.shape[:2] == (2, classes)
    assert scores.ndim == (4 if task == "segmentation" else 2)
    if task == "localization":
        assert [y.shape for y in others] == [(2, 4)]
    else:  # the heads that some nets have in training
        assert all(y.shape == scores.shape for y in others)
        assert model.training or not others


CLASSES = {"lenet": 10, "capsnet": 10, "cnn_lstm": 10, "unet": 2, "unet_small": 2}


@pytest.mark.parametrize("name", NAMES)
def test_it_takes_its_two_sizes(name):
    info, model = models.info(name), empty(name).eval()
    cifar = info.input_shape[1:] == (32, 32)
    classes = CLASSES.get(name.removesuffix("5_1998"), 10 if cifar else None)
    with use_backend("shapes"), no_grad():
        found = tensors_of(model(Tensor(blank((2, *info.input_shape)))))[0].shape[1]
    assert found == classes or (classes is None and found in (1000, 1001, 19, 12))
    for shape in (info.input_shape, info.second_shape):
        check_outputs(name, model, shape, found)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "lenet5_1998"])
def test_classes_and_channels_can_be_chosen(name):
    *batch, _, H, W = models.info(name).input_shape
    check_outputs(name, empty(name, num_classes=7, in_channels=2), (*batch, 2, H, W), 7)


@pytest.mark.parametrize("name", NAMES)
def test_a_gradient_comes_to_every_parameter(name):
    model = empty(name)
    with use_backend("shapes"):
        results = tensors_of(model(Tensor(blank((2, *models.info(name).input_shape)))))
        sum((y.sum() for y in results), 0.0).backward()
    assert [key for key, p in model.named_parameters() if p.grad is None] == []


# ---------------------------------------------------------------------------
# By numbers
# ---------------------------------------------------------------------------
@pytest.fixture(scope="module", params=COMPUTED)
def net(request):
    """(name, model in evaluation mode, with statistics as after training)."""
    minicnn.manual_seed(0)
    model = models.build(request.param)
    return request.param, settle(model, images(4, models.info(request.param).second_shape))


@pytest.fixture
def textbook():
    """The readable drawing. Winograd's rounding has bounds of its own, in test_fast.py; here the
    statistics come from 4 images, so nets are steep, and would blow it up to more than 1e-5."""
    with use_backend("numpy"):
        yield


@pytest.fixture
def folder(tmp_path):
    """A folder that goes when the test ends: pytest keeps its own, and VGG's files are large."""
    yield tmp_path
    shutil.rmtree(tmp_path)


def close(got, expected, tolerance):
    """Equal shapes, and equal values but for `tolerance` times the largest of them."""
    assert got.shape == expected.shape
    assert np.isfinite(got).all()
    assert np.abs(got - expected).max() <= tolerance * np.abs(expected).max()


def test_forward_at_its_own_size(net):
    name, model = net
    with no_grad():
        results = tensors_of(model(images(1, models.info(name).input_shape)))
    for y in results:
        assert np.isfinite(y.numpy()).all() and y.numpy().std() > 0


def test_an_output_does_not_depend_on_its_companions(net, textbook):
    """float32's last bit depends on how many rows a matrix product has, by the BLAS. 100 layers
    without end blow that up past 1e-5, so nets that deep compute in float64, to a closer bound."""
    name, model = net
    x, tolerance = images(3, models.info(name).second_shape, seed=1), 1e-5
    if sum(isinstance(module, Conv2d) for _, module in model.named_modules()) > 100:
        model, x, tolerance = deepcopy(model).to(np.float64), x.to(np.float64), 1e-9
    with no_grad():
        together = tensors_of(model(x))
        alone = [tensors_of(model(Tensor(x.data[k : k + 1]))) for k in range(3)]
    for y, *ones in zip(together, *alone, strict=True):
        close(np.concatenate([one.numpy() for one in ones]), y.numpy(), tolerance)


def test_saved_and_loaded_it_gives_the_same(net, folder):
    name, model = net
    x = images(2, models.info(name).second_shape)
    other = empty(name).eval()
    interop.save(model, folder / "w.safetensors")
    interop.load_into(other, folder / "w.safetensors")
    with no_grad():
        for got, expected in zip(tensors_of(other(x)), tensors_of(model(x)), strict=True):
            np.testing.assert_array_equal(got.numpy(), expected.numpy())


def test_onnxruntime_computes_the_same(net, folder, textbook):
    pytest.importorskip("onnx", reason="needs onnx")
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnx")
    name, model = net
    x = images(3, models.info(name).second_shape)
    interop.export_onnx(model, folder / "net.onnx", x.shape[1:])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        folder / "net.onnx", options, providers=["CPUExecutionProvider"]
    )
    with no_grad():
        expected = tensors_of(model(x))
    for got, y in zip(session.run(None, {"input": x.numpy()}), expected, strict=True):
        # A steep net blows up rounding, as well: there 1e-4 is of 1 if its outputs are less (0.02).
        close(got, y.numpy(), 1e-4 / (min(1, np.abs(y.numpy()).max()) if name in STEEP else 1))


# Behind many layers without a way around, a gradient explodes: the very reason for ResNets. And a
# thousand layers add up. There the differences are over a smaller eps than 1e-7.
STEEP = {"cifar_plain56": 1e-8, "cifar_plain110": 2e-10, "cifar_preact1001": 1e-8}
NARROWED = {"unet": {"channels": 16}}  # its maps are as large as its images: 8 GB at full width


@pytest.mark.parametrize("name", COMPUTED)
def test_whole_net_gradients_equal_differences(name):
    minicnn.manual_seed(0)
    model = models.build(name, **NARROWED.get(name, {})).to(np.float64)
    x = images(4, smallest_shape(name), np.float64)
    with every(model, "p", 0.0), use_backend("numpy"):  # no dropout
        errors = gradient_errors(model, x, eps=STEEP.get(name, 1e-7))
    assert max(errors) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lenet", "alexnet", "vgg11", "googlenet", "resnet18"])
@pytest.mark.parametrize(
    "backend", ["emulator", pytest.param("cuda", marks=pytest.mark.gpu)], indirect=True
)
def test_whole_net_gradients_equal_differences_on_cuda(name, backend):
    minicnn.manual_seed(0)
    model = models.build(name).to(np.float64).to(backend.device)
    x = images(4, smallest_shape(name), np.float64).to(backend.device)
    with every(model, "p", 0.0), backend.running():
        errors = gradient_errors(model, x)
    assert max(errors) < 1e-5
