"""Nets as ONNX files: onnxruntime computes what minicnn computes."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import minicnn
from minicnn import Function, Tensor, interop, models, nn, no_grad
from minicnn import functional as F
from minicnn.__main__ import main
from minicnn.checks import strategies
from minicnn.interop import ExportError, export_onnx
from minicnn.interop.onnx.forms import FORMS

onnx = pytest.importorskip("onnx", reason="needs onnx")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnx")

FUNCTIONS = [
    "adaptive_avg_pool2d", "avg_pool2d", "channel_shuffle", "conv2d", "conv_transpose2d",
    "gelu", "hardsigmoid", "hardswish", "interpolate", "leaky_relu", "linear",
    "local_response_norm", "log_softmax", "max_pool2d", "pad", "prelu", "relu", "relu6",
    "scaled_tanh", "sigmoid", "silu", "softmax", "tanh",
]  # fmt: skip


class Run(nn.Module):
    """A function as a net; its other tensors are parameters."""

    def __init__(self, function, *others):
        super().__init__()
        self.function = function
        for k, other in enumerate(others):
            setattr(self, f"p{k}", nn.Parameter(other) if isinstance(other, np.ndarray) else other)
        self.count = len(others)

    def forward(self, x):
        return self.function(x, *[getattr(self, f"p{k}") for k in range(self.count)])


def in_onnxruntime(path, x):
    """What onnxruntime makes of an array, by the file at `path`."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(None, {"input": x})


def check(model, x, path, tolerance=1e-5):
    """Export, check with the onnx library, run, and compare."""
    export_onnx(model, path, x.shape[1:])
    onnx.checker.check_model(str(path), full_check=True)
    with no_grad():
        expected = model.eval()(Tensor(x))
    expected = expected if isinstance(expected, tuple) else (expected,)
    for got, y in zip(in_onnxruntime(path, x), expected, strict=True):
        assert got.shape == y.shape and got.dtype == y.dtype
        scale = max(1.0, float(np.abs(y.numpy()).max()))
        np.testing.assert_allclose(got, y.numpy(), rtol=0, atol=tolerance * scale)
    return onnx.load(path)


def noise(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


# ---------------------------------------------------------------------------
# Operations
# ---------------------------------------------------------------------------
@pytest.mark.parametrize("name", FUNCTIONS)
@settings(max_examples=25)
@given(data=st.data())
def test_functions_over_their_whole_range(name, data, tmp_path_factory):
    case = data.draw(getattr(strategies, name)()).astype(np.float32)
    x, *others = case.arrays
    assume(x.ndim > 1 and x.size)
    assume(not (name.endswith("softmax") and case.settings["dim"] in (0, -x.ndim)))
    if any(k.dtype.kind != "f" for k in others if k is not None):
        return
    path = tmp_path_factory.getbasetemp() / f"{name}.onnx"
    model = Run(lambda x, *rest: case.function(x, *rest, **case.settings), *others)
    check(model, noise(3, *x.shape[1:]), path, 1e-4)


OTHERS = {
    "arithmetic": lambda x: (x * 2 + 1) / (x * x + 3) - (-x).exp() * 0.5,
    "power and log": lambda x: ((x * x + 1) ** 1.5).log(),
    "matmul": lambda x: x @ x.transpose(2, 3),
    "dense over more axes": lambda x: F.linear(x, Tensor(noise(2, 6)), Tensor(noise(2))),
    "gelu, by tanh": lambda x: F.gelu(x, "tanh"),
    "flatten": lambda x: x.flatten(1),
    "batch into rows": lambda x: x.reshape(-1, 6) * 2,
    "permute": lambda x: x.permute(0, 2, 3, 1),
    "slices": lambda x: x[:, 1:3, ::2, -4:],
    "an integer and a new axis": lambda x: x[:, 2, None, ..., 1],
    "a list of channels": lambda x: x[:, [2, 0, 0]],
    "reductions": lambda x: x.mean(dim=(2, 3), keepdim=True) + x.max(dim=1, keepdim=True)
    - x.sum(dim=-1, keepdim=True),
    "cat with a constant": lambda x: F.cat([x, Tensor(np.zeros((x.shape[0], 2, 5, 6), "f"))], 1),
    "stack": lambda x: F.stack([x, x * 2], dim=1),
    "fused": lambda x: F.conv2d(x, Tensor(noise(4, 4, 1, 1)), activation="relu6", add=x),
    "fused silu": lambda x: F.conv2d(x, Tensor(noise(4, 4, 1, 1)), activation="silu", add=x),
    "fused hardswish": lambda x: F.linear(x.flatten(1), Tensor(noise(2, 120)),
                                          activation="hardswish"),
    "adaptive max": lambda x: F.adaptive_max_pool2d(x, (5, 3)),
    "unpool": lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2,
                                       output_size=(5, 6)),
    "indices, padded": lambda x: F.max_pool2d(x, 3, 2, 1, return_indices=True)[1],
    "indices, hanging over": lambda x: F.max_pool2d(x, 2, 2, ceil_mode=True,
                                                    return_indices=True)[1],
    "two outputs": lambda x: (x + 1, F.relu(x)),
    "statistics as functions": lambda x: F.batch_norm(x, np.full(4, 0.5, "f"), np.full(4, 2, "f")),
    "no batch statistics used": lambda x: x * Tensor(np.ones((x.shape[0], 1, 1, 1), "f")),
    "double": lambda x: x.to(np.float64) * 2,
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_everything_else(name, tmp_path):
    check(Run(OTHERS[name]), noise(3, 4, 5, 6), tmp_path / "f.onnx")


LAYERS = {
    "lstm": (nn.LSTM(4, 5, num_layers=2, batch_first=True, bidirectional=True), (7, 4)),
    "gru": (nn.GRU(4, 5, batch_first=True), (3, 4)),
    "zero-padded shortcut": (nn.ZeroPadShortcut(3, 8, stride=2), (3, 6, 6)),
    "norm without scale": (nn.BatchNorm2d(3, affine=False), (3, 6, 6)),
    "norm of rows": (nn.BatchNorm1d(3), (3,)),
    "frozen norm": (nn.FrozenBatchNorm2d(3), (3, 6, 6)),
    "dropout": (nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(12, 2)), (3, 2, 2)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name, tmp_path):
    layer, shape = LAYERS[name]
    minicnn.manual_seed(0)
    model = Run(lambda x: _first(layer(x)))
    model.layer = layer
    check(model, noise(3, *shape), tmp_path / "f.onnx")


def _first(result):
    return result[0] if isinstance(result, tuple) else result


# ---------------------------------------------------------------------------
# Files
# ---------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["lenet", "lenet5_1998", "cifar_resnet20", "squeezenet1_1"])
def test_weights_have_their_names(name, tmp_path):
    minicnn.manual_seed(0)
    model = models.build(name)
    file = check(model, noise(2, *models.info(name).second_shape), tmp_path / "net.onnx")
    stored = {w.name: onnx.numpy_helper.to_array(w) for w in file.graph.initializer}
    state = model.state_dict()
    for key in state.keys() & stored.keys():
        np.testing.assert_array_equal(stored[key], state[key])
    unsaid = {key for key in state.keys() - stored.keys() if "num_batches" not in key}
    # weights that are worked out of others: C3's filters, put where its table says
    assert unsaid == ({"c3.filters", "s2.weight", "s2.bias", "s4.weight", "s4.bias"}
                      if name == "lenet5_1998" else set())  # fmt: skip
    assert [d.dim_param or d.dim_value for d in file.graph.input[0].type.tensor_type.shape.dim] == [
        "N", *models.info(name).second_shape
    ]


def test_the_model_stays_as_it_is(tmp_path):
    model = models.build("cifar_resnet20").train()
    before = {name: a.copy() for name, a in model.state_dict().items()}
    export_onnx(model, tmp_path / "net.onnx", (3, 32, 32))
    assert model.training and model.conv1.training
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_float64(tmp_path):
    model = Run(lambda x, w: F.relu(x @ w), noise(4, 5)).to(np.float64)
    check(model, noise(3, 2, 4).astype(np.float64), tmp_path / "f.onnx", 1e-12)


class Odd(Function):
    """An operation that nobody knows."""

    def forward(self, x):
        return x * 2


@pytest.mark.parametrize(
    "function, text",
    [
        (Odd.apply, "Odd has no ONNX form here; export the part of the net before it"),
        (lambda x: F.batch_norm(x, training=True), "Moments has no ONNX form"),
        (lambda x: F.im2col(x, 2), "Im2Col has no ONNX form"),
        (lambda x: x.reshape(x.shape[0] * 2, x.shape[0], 1, -1) if x.shape[0] else x,
         "two sizes of .* depend on the batch"),
        (lambda x: x[::-1], "Index: an index .* has no ONNX form"),
        (lambda x: F.adaptive_max_pool2d(x, 3), "windows that divide .* overlap"),
        (lambda x: x * Tensor(np.arange(x.shape[0] * 1.0, dtype="f").reshape(-1, 1, 1, 1)),
         "uses a constant of its own for each image"),
        (lambda x: Tensor(noise(2, 3)) * 1, "an output that does not depend on the input"),
    ],
)  # fmt: skip
def test_what_cannot_be_said(function, text, tmp_path):
    with pytest.raises(ExportError, match=f"export_onnx: .*{text}"):
        export_onnx(Run(function), tmp_path / "f.onnx", (4, 4, 4))
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "f.onnx"
    path.write_bytes(b"old")
    with pytest.raises(ExportError):
        export_onnx(Run(Odd.apply), path, (4, 4, 4))
    with pytest.raises(OSError, match="could not be written"):
        export_onnx(nn.ReLU(), tmp_path / "none" / "f.onnx", (4, 4, 4))
    assert path.read_bytes() == b"old"


def test_without_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(ImportError, match=r"pip install minicnn\[onnx\]"):
        export_onnx(nn.ReLU(), tmp_path / "f.onnx", (4,))


def test_every_form_is_of_an_operation_that_exists():
    from minicnn.backends.shapes import OPERATIONS

    assert FORMS.keys() <= OPERATIONS.keys()
    unsaid = OPERATIONS.keys() - FORMS.keys()
    assert unsaid == {  # losses, what training alone does, and im2col
        "SoftmaxCrossEntropy", "SoftTargetCrossEntropy", "NegativeLogLikelihood", "SquaredError",
        "CapsuleMargin", "Dropout", "Dropout2d", "Moments", "Im2Col", "Col2Im",
    }  # fmt: skip


def test_interop_names_it():
    assert interop.export_onnx is export_onnx


# ---------------------------------------------------------------------------
# minicnn export
# ---------------------------------------------------------------------------
def command(capsys, *argv):
    """(exit code, standard output, standard error) of `minicnn export`."""
    return main(["export", *map(str, argv)]), *capsys.readouterr()


def test_export_writes_the_net_with_its_weights(tmp_path, capsys):
    minicnn.manual_seed(1)
    model = models.build("cifar_resnet20", num_classes=7, in_channels=1).eval()
    interop.save(model, tmp_path / "w.npz")
    argv = "--weights", tmp_path / "w.npz", "--input", "1x20x24", "--classes", 7
    code, out, err = command(capsys, "cifar_resnet20", "--onnx", tmp_path / "net.onnx", *argv)
    assert (code, err) == (0, "")
    assert "for images of 1x20x24" in out and f"saved {tmp_path / 'net.onnx'}" in out
    x = np.random.default_rng(0).standard_normal((3, 1, 20, 24)).astype(np.float32)
    with no_grad():
        expected = model(Tensor(x)).numpy()
    np.testing.assert_allclose(in_onnxruntime(tmp_path / "net.onnx", x)[0], expected, atol=1e-4)


def test_export_of_an_untrained_net_is_that_of_its_seed(tmp_path, capsys):
    for file, seed in (("a", 1), ("b", 1), ("c", 2)):
        argv = "lenet", "--onnx", tmp_path / file, "--seed", seed
        code, out, _ = command(capsys, *argv)
        assert code == 0 and "61,706 parameters, untrained (no weights given)" in out
    a, b, c = ((tmp_path / file).read_bytes() for file in "abc")
    assert a == b != c


@pytest.mark.parametrize(
    "argv, text",
    [
        (["lenet"], "--onnx"),
        (["lenet", "--weights", "none.npz"], "none.npz: there is no such file"),
        (["lenet", "--weights", "bad.npz"], "bad.npz is no whole npz file"),
        (["lenet", "--weights", "other.npz"], "other.npz does not fit: .*missing: conv1.weight"),
        (["lenet", "--input", "28x28"], "takes images of 1x28x28, but --input has 2 numbers"),
        (["lenet", "--input", "1x4x4"], r"a kernel of \(5, 5\) does not fit"),
        (["lenet5_1998", "--classes", "7"], "lenet5_1998 has no choice of num_classes"),
        (["lenet5_1999"], "did you mean 'lenet5_1998'"),
    ],
)
def test_export_refuses_in_one_line(argv, text, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.npz").write_bytes(b"nonsense")
    interop.save({"w": np.ones(2)}, tmp_path / "other.npz")
    if len(argv) > 1 or argv[0] != "lenet":
        argv = [*argv, "--onnx", "net.onnx"]
    code, out, err = command(capsys, *argv)
    assert code == 2 and out == "" and err.startswith("minicnn export: ")
    assert err.count("\n") == 1 and re.search(text, err)
    assert not (tmp_path / "net.onnx").exists()
