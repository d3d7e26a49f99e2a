"""LeNet-5 whole: counted, the same on every backend and in PyTorch, gradients checked."""

from __future__ import annotations

import numpy as np
import pytest

import minicnn
from minicnn import Tensor, models
from minicnn import functional as F
from minicnn.checks import gradcheck
from minicnn.models.lenet import C3_TABLE, LeNet, LeNet5_1998, glyphs

TOLERANCE = {np.float64: 1e-10, np.float32: 1e-5}


def images(count, size=28, dtype=np.float64):
    return np.random.default_rng(3).random((count, 1, size, size)).astype(dtype)


def loss_and_gradients(backend, build, dtype, count=2):
    """The loss, the image's gradient and all parameters' gradients, by name."""
    minicnn.manual_seed(0)
    model = build().to(dtype).to(backend.device)
    x = Tensor(images(count, model.image_size, dtype), requires_grad=True)
    with backend.running():
        loss = F.cross_entropy(model(x.to(backend.device)), np.arange(count))
        loss.backward()
    found = {name: p.grad.numpy() for name, p in model.named_parameters()}
    return {"loss": loss.numpy(), "image": x.grad.numpy(), **found}


def relative_error(got, expected):
    return float(np.abs(got - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize(
    "backend", ["numpy", "emulator", pytest.param("cuda", marks=pytest.mark.gpu)], indirect=True
)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("build", [LeNet, LeNet5_1998])
def test_all_drawings_agree_on_a_batch(build, dtype, backend, loops):
    expected = loss_and_gradients(loops, build, np.float64)  # whose rounding is nobody's error
    got = loss_and_gradients(backend, build, dtype)
    assert got.keys() == expected.keys()
    errors = {name: relative_error(got[name], expected[name]) for name in got}
    assert max(errors.values()) < TOLERANCE[dtype], errors


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_pytorch_agrees_on_a_batch(dtype, backend):
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    nn = torch.nn
    theirs = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    ).to(torch.float64 if dtype == np.float64 else torch.float32)  # fmt: skip
    minicnn.manual_seed(0)
    model = LeNet().to(dtype)
    with torch.no_grad():
        for p, (_, q) in zip(theirs.parameters(), model.named_parameters(), strict=True):
            p.copy_(torch.from_numpy(q.numpy().copy()))
    x = torch.from_numpy(images(2, dtype=dtype)).requires_grad_()
    loss = nn.functional.cross_entropy(theirs(x), torch.arange(2))
    loss.backward()
    got = list(loss_and_gradients(backend, LeNet, dtype).values())
    expected = [loss.detach(), x.grad, *(p.grad for p in theirs.parameters())]
    for ours, t in zip(got, expected, strict=True):
        assert relative_error(ours, t.numpy()) < TOLERANCE[dtype]


@pytest.mark.parametrize("build", [LeNet, LeNet5_1998])
def test_whole_net_gradients_equal_differences(build, backend):
    minicnn.manual_seed(0)
    model = build().to(np.float64).to(backend.device)
    parameters = dict(model.named_parameters())
    x = Tensor(images(1, model.image_size), requires_grad=True)
    slow = backend.name == "loops"  # a forward pass of the definition takes a third of a second

    def loss(x, *_):
        return F.cross_entropy(model(x.to(backend.device)), [3])

    with backend.running():
        report = gradcheck(
            loss, x, *parameters.values(),
            max_coordinates=1 if slow else 20, directions=1 if slow else 3,
        )  # fmt: skip
    assert report.checked >= len(parameters) + 1 and not report.skipped
    assert report.max_error < 1e-6


# ---------------------------------------------------------------------------
# Facts of the paper and of the course
# ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("model", "count"),
    [(LeNet(), 61_706), (LeNet(image_size=32, padding=0), 61_706), (LeNet(padding=0), 44_426),
     (LeNet5_1998(), 60_000), (LeNet5_1998("linear", padding=0), 60_850)],
)  # fmt: skip
def test_parameter_counts(model, count):
    assert model.num_parameters() == count
    assert model(Tensor(images(1, model.image_size, np.float32))).shape == (1, 10)


def test_layers_of_1998_have_the_papers_counts():
    net = LeNet5_1998()
    counts = [m.num_parameters() for m in (net.c1, net.s2, net.c3, net.s4, net.c5, net.f6)]
    assert counts == [156, 12, 1516, 32, 48_120, 10_164]


def test_the_table_connects_c3_as_published():
    assert [len(maps) for maps in C3_TABLE] == [3] * 6 + [4] * 9 + [6]
    assert len(set(C3_TABLE)) == 16
    net = LeNet5_1998()
    x = np.zeros((1, 6, 5, 5), np.float32)
    x[0, 4] = 1  # map 4 of S2 reaches exactly the maps of C3 that name it
    with minicnn.no_grad():
        silent = net.c3(Tensor(np.zeros_like(x))).numpy()
        heard = net.c3(Tensor(x)).numpy()
    reached = np.flatnonzero((heard != silent).reshape(16))
    assert reached.tolist() == [o for o, maps in enumerate(C3_TABLE) if 4 in maps]


def test_rbf_answers_with_the_distance_to_the_drawn_digits():
    net = LeNet5_1998()
    assert glyphs().shape == (10, 84) and set(np.unique(glyphs())) == {-1, 1}
    scores = net.output(Tensor(glyphs())).numpy()
    assert (np.diag(scores) == 0).all()
    expected = -((glyphs()[:, None] - glyphs()[None]) ** 2).sum(2)
    np.testing.assert_array_equal(scores, expected)
    assert (scores.argmax(1) == np.arange(10)).all()


def test_builders():
    assert models.names()[:2] == ["lenet", "lenet5_1998"]
    assert models.build("lenet", num_classes=5).fc3.out_features == 5
    with pytest.raises(ValueError, match="there is no model 'lente'; did you mean 'lenet'?"):
        models.build("lente")
    with pytest.raises(ValueError, match="an image_size of 8 with padding 0 leaves nothing"):
        LeNet(image_size=8, padding=0)
    with pytest.raises(ValueError, match="output expects 'rbf' or 'linear', but got 'svm'"):
        LeNet5_1998("svm")
