"""The training loop: it learns, counts right, stops clearly, and repeats bit for bit."""

from __future__ import annotations

import io
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn import Tensor, current_backend, is_grad_enabled, manual_seed, models, nn, use_backend
from minicnn import functional as F
from minicnn.data import DataLoader, load
from minicnn.nn import Linear, Module
from minicnn.optim import SGD
from minicnn.training import DivergenceError, Running, Trainer, accuracy, constant, cosine

ROOT = Path(__file__).resolve().parent.parent
FIELDS = ["epoch", "lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "val_top5",
          "seconds", "images_per_second"]  # fmt: skip


def points(batches=4, size=8, seed=0):
    """Batches of points in the plane; the class says on which side of a line they lie."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(batches, size, 2)).astype(np.float32)
    return list(zip(x, (x[..., 0] > x[..., 1]).astype(np.int64)))


def trainer(lr=0.5, model=None, **settings):
    manual_seed(0)
    model = model or Linear(2, 2)
    return Trainer(model, SGD(model.parameters(), lr=lr), progress=False, **settings)


# ---------------------------------------------------------------------------
# What fit does
# ---------------------------------------------------------------------------
def test_fit_is_the_textbook_loop():
    """The same steps written out, with the cosine from 1 to 0."""
    coach = trainer(lr=0.5, schedule=cosine)
    coach.fit(points(), points(1), epochs=3)

    manual_seed(0)
    model = Linear(2, 2)
    for step in range(12):
        x, y = points()[step % 4]
        model.zero_grad()
        F.cross_entropy(model(Tensor(x)), y).backward()
        lr = 0.5 * (1 + math.cos(math.pi * step / 12)) / 2
        for p in model.parameters():
            p.assign_(p.data - lr * p.grad.data)
    for found, expected in zip(coach.model.parameters(), model.parameters()):
        np.testing.assert_allclose(found.data, expected.data, rtol=1e-5, atol=1e-7)


def test_it_learns():
    history = trainer().fit(points(20), points(5, seed=1), epochs=10)
    assert history[-1]["val_accuracy"] > 0.9
    assert history[-1]["train_loss"] < history[0]["train_loss"] / 2


def test_a_loss_with_label_smoothing():
    history = trainer(loss=nn.CrossEntropyLoss(label_smoothing=0.2)).fit(points(20), points(5), 10)
    least = 0.9 * math.log(1 / 0.9) + 0.1 * math.log(1 / 0.1)  # the targets' own entropy
    assert least < history[-1]["val_loss"] < history[0]["val_loss"]
    assert history[-1]["val_accuracy"] > 0.9


def test_history():
    coach = trainer(lr=0.5, schedule=cosine)
    history = coach.fit(points(), points(2, seed=1), epochs=2)
    assert history is coach.history and [list(entry) for entry in history] == [FIELDS, FIELDS]
    assert [entry["epoch"] for entry in history] == [1, 2]
    assert [entry["lr"] for entry in history] == pytest.approx([0.5, 0.25])
    assert all(entry["seconds"] > 0 and entry["images_per_second"] > 0 for entry in history)
    x, y = (np.concatenate(part) for part in zip(*points(2, seed=1)))
    scores = coach.model(Tensor(x))
    assert history[-1]["val_loss"] == pytest.approx(F.cross_entropy(scores, y).item(), rel=1e-5)
    assert history[-1]["val_accuracy"] == np.mean(scores.data.argmax(1) == y)
    assert coach.fit(points(), points(1), epochs=1)[-1]["epoch"] == 3


def test_the_learning_rate_comes_back():
    coach = trainer(lr=0.5, schedule=cosine)
    coach.fit(points(), points(1), epochs=2)
    assert coach.optimizer.lr == 0.5


class Spy(Linear):
    """Notes in which mode it was run."""

    def __init__(self):
        super().__init__(2, 2)
        self.seen = []

    def forward(self, x):
        self.seen.append((self.training, is_grad_enabled(), current_backend(), x.dtype.name))
        return super().forward(x)


def test_modes_backend_and_dtype():
    spy = Spy()
    coach = trainer(model=spy.to(np.float64))
    with use_backend("loops"):
        coach.fit(points(2), points(1), epochs=1)
    step, validation = (True, True, "loops", "float64"), (False, False, "loops", "float64")
    assert spy.seen == [step, step, validation]
    assert is_grad_enabled()


@pytest.mark.parametrize("backend", ["loops", "emulator"])
def test_backends_train_alike(backend, request):
    """Two steps of LeNet give the same weights on every backend."""
    if backend == "emulator":
        request.getfixturevalue("compiler")
    data = load("digits", "train", size=28)[:2]
    weights = []
    for name in (backend, "numpy"):
        coach = trainer(lr=0.1, model=_lenet())
        with use_backend(name):
            coach.fit(DataLoader(data, 1), DataLoader(data[:1], 1), epochs=1)
        weights.append(coach.model.state_dict())
    for name, expected in weights[1].items():
        np.testing.assert_allclose(weights[0][name], expected, rtol=1e-4, atol=1e-6)


def _lenet():
    manual_seed(1)
    return models.build("lenet")


@pytest.mark.gpu
def test_a_gpu_trains_alike():
    data = load("digits", "train", size=28)[:64]
    weights = []
    for device in ("cuda", "cpu"):
        coach = trainer(lr=0.1, model=_lenet().to(device))
        coach.fit(DataLoader(data, 16), DataLoader(data, 16), epochs=1)
        assert all(p.device.startswith(device) for p in coach.model.parameters())
        weights.append(coach.model.state_dict())
    for name, expected in weights[1].items():
        np.testing.assert_allclose(weights[0][name], expected, rtol=1e-3, atol=1e-5)


# ---------------------------------------------------------------------------
# Repeating a run
# ---------------------------------------------------------------------------
REPEAT = """
import sys, numpy as np
from minicnn import manual_seed, models
from minicnn.data import DataLoader, load
from minicnn.interop import save
from minicnn.optim import SGD
from minicnn.training import Trainer, cosine
manual_seed(int(sys.argv[1]))
model = models.build("lenet")
train, test = load("digits", "train", size=28)[:320], load("digits", "test", size=28)[:64]
optimizer = SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
trainer = Trainer(model, optimizer, schedule=cosine, progress=False)
loader = DataLoader(train, 64, shuffle=True, seed=int(sys.argv[1]))
trainer.fit(loader, DataLoader(test, 64), epochs=1)
save(model, sys.argv[2])
"""


def test_the_same_seed_gives_the_same_bits(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "random"}
    files = []
    for run, seed in enumerate([5, 5, 6]):
        files.append(tmp_path / str(run))
        subprocess.run(
            [sys.executable, "-c", REPEAT, str(seed), files[-1]], env=environment, check=True
        )
    once, again, other = (file.read_bytes() for file in files)
    assert once == again
    assert once != other


# ---------------------------------------------------------------------------
# Stopping
# ---------------------------------------------------------------------------
class Poisoned(Linear):
    """Gives NaN from the k-th call on."""

    def __init__(self, k):
        super().__init__(2, 2)
        self.left = k

    def forward(self, x):
        self.left -= 1
        return super().forward(x) * (1.0 if self.left > 0 else math.nan)


@pytest.mark.parametrize(
    "k, text, finished",
    [
        (1, "loss is nan at epoch 1, batch 1: .* lower the learning rate .it was 0.5", 0),
        (8, "loss is nan at epoch 2, batch 3", 1),  # an epoch is 4 batches and 1 of validation
        (5, "loss is nan at batch 1 of the validation after epoch 1", 0),
    ],
)
def test_a_loss_that_is_no_number_stops(k, text, finished):
    coach = trainer(model=Poisoned(k))
    with pytest.raises(DivergenceError, match=text):
        coach.fit(points(), points(1), epochs=3)
    assert len(coach.history) == finished
    assert all(np.isfinite(p.data).all() for p in coach.model.parameters())
    assert coach.optimizer.lr == 0.5


def test_a_learning_rate_that_is_too_high_stops():
    coach = trainer(lr=1e30, model=nn.Sequential(Linear(2, 8), nn.ReLU(), Linear(8, 2)))
    with pytest.raises(DivergenceError, match=r"loss is (nan|inf) at epoch 1, batch \d: .*wei"):
        coach.fit(points(), points(1), epochs=3)


def test_ctrl_c_leaves_the_finished_epochs():
    def loss(scores, y):
        if len(coach.history) == 2:
            raise KeyboardInterrupt
        return F.cross_entropy(scores, y)

    coach = trainer(loss=loss, schedule=cosine)
    with pytest.raises(KeyboardInterrupt):
        coach.fit(points(), points(1), epochs=5)
    assert [entry["epoch"] for entry in coach.history] == [1, 2]
    assert coach.optimizer.lr == 0.5


# ---------------------------------------------------------------------------
# What a person sees
# ---------------------------------------------------------------------------
class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_shows_a_bar(monkeypatch, capsys):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    model = Linear(2, 2)
    Trainer(model, SGD(model.parameters(), lr=0.1)).fit(points(), points(1), epochs=2)
    for text in ("epoch 1/2", "epoch 2/2", "loss ", "accuracy ", "images/s"):
        assert text in screen.getvalue()
    lines = capsys.readouterr().out.splitlines()
    assert [line[:10] for line in lines] == ["epoch 1/2:", "epoch 2/2:"]
    assert all("validation loss" in line and "images/s" in line for line in lines)


@pytest.mark.parametrize("progress, lines", [(True, 1), (False, 0)])
def test_no_bar_in_a_file(progress, lines, capsys):
    model = Linear(2, 2)
    coach = Trainer(model, SGD(model.parameters(), lr=0.1), progress=progress)
    coach.fit(points(), points(1), epochs=1)
    out, err = capsys.readouterr()
    assert (len(out.splitlines()), err) == (lines, "")


# ---------------------------------------------------------------------------
# Metrics and schedules
# ---------------------------------------------------------------------------
def test_accuracy():
    scores = np.array([[1.0, 2.0], [3.0, 0.0], [5.0, 5.0], [0.0, 1.0]])
    assert accuracy(scores, [1, 0, 0, 0]) == 0.75  # of equal scores the first counts
    assert accuracy(Tensor(scores), Tensor(np.array([0, 1, 1, 0]))) == 0


@pytest.mark.parametrize("scores, target", [((3,), (3,)), ((3, 2), (2,)), ((0, 2), (0,))])
def test_accuracy_of_shapes_that_do_not_fit(scores, target):
    with pytest.raises(ValueError, match="accuracy: expects scores .* but got"):
        accuracy(np.zeros(scores), np.zeros(target, int))


@given(st.lists(st.integers(1, 5), min_size=1, max_size=5), st.integers(0, 99))
def test_batches_of_any_size_count_by_their_images(sizes, seed):
    rng = np.random.default_rng(seed)
    scores, y = rng.normal(size=(sum(sizes), 3)), rng.integers(0, 3, sum(sizes))
    running, at = Running(), 0
    for n in sizes:
        part = slice(at, at + n)
        running.add(F.cross_entropy(Tensor(scores[part]), y[part]).item(), scores[part], y[part])
        at += n
    assert running.images == sum(sizes)
    assert running.loss == pytest.approx(F.cross_entropy(Tensor(scores), y).item())
    assert running.accuracy == pytest.approx(accuracy(scores, y))


def test_schedules():
    progress = np.linspace(0, 1, 11)
    assert [constant(p) for p in progress] == [1.0] * 11
    factors = [cosine(p) for p in progress]
    assert factors[0] == 1 and factors[5] == pytest.approx(0.5) and factors[10] == 0
    assert all(np.diff(factors) < 0)


# ---------------------------------------------------------------------------
# Errors
# ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    "train, validation, epochs, error, text",
    [
        (points(), points(), 0, ValueError, "epochs expects 1 or more, but got 0"),
        (points(), points(), 2.0, TypeError, "epochs expects an int, but got 2.0"),
        (points(), points(), True, TypeError, "epochs expects an int, but got True"),
        ([], points(), 1, ValueError, "train_loader expects at least one batch, but is empty"),
        (points(), [], 1, ValueError, "validation_loader expects at least one batch"),
    ],
)
def test_errors_of_fit(train, validation, epochs, error, text):
    coach = trainer()
    before = coach.model.weight.data.copy()
    with pytest.raises(error, match=f"fit: {text}"):
        coach.fit(train, validation, epochs)
    np.testing.assert_array_equal(coach.model.weight.data, before)
    assert coach.history == []


def test_errors_of_trainer():
    model, other = Linear(2, 2), Linear(2, 2)
    with pytest.raises(TypeError, match="model expects a Module, but got <function relu"):
        Trainer(F.relu, SGD(model.parameters()))
    with pytest.raises(ValueError, match="optimizer learns parameters that are not the model's"):
        Trainer(model, SGD(other.parameters()))
    assert isinstance(Trainer(model, SGD([model.weight])).model, Module)  # some may be frozen


# ---------------------------------------------------------------------------
# Threads
# ---------------------------------------------------------------------------
@pytest.mark.parametrize(("threads", "expected"), [(1, 1), (None, "as before")])
def test_matrix_products_are_held_to_the_threads_and_let_go(threads, expected):
    from threadpoolctl import threadpool_info

    def blas():
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    before, seen = blas(), []

    def loss(scores, y):
        seen.append(blas())
        return F.cross_entropy(scores, y)

    trainer(loss=loss, threads=threads).fit(points(1), points(1), epochs=1)
    assert seen == [before if expected == "as before" else [1] * len(before)] * 2
    assert blas() == before


def test_threads_is_a_count():
    with pytest.raises(ValueError, match="Trainer: threads expects 1 or more, but got 0"):
        trainer(threads=0)
