"""Callbacks: what each does beside the loop, and where a NaN is found to come from."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from minicnn import Tensor, manual_seed, nn
from minicnn import functional as F
from minicnn.optim import SGD, AdamW, grad_norm, named_groups
from minicnn.training import DivergenceError, Trainer, cosine
from minicnn.training.callbacks import (
    EMA,
    Callback,
    ClipGradients,
    EarlyStopping,
    ReduceLROnPlateau,
    Vary,
)
from minicnn.training.finite import all_finite
from minicnn.training.logs import HistoryFile, LivePlot, Speedometer, WaitingTime, read_history


def points(batches=4, size=8, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(batches, size, 2)).astype(np.float32)
    return list(zip(x, (x[..., 0] > x[..., 1]).astype(np.int64)))


def coach(*callbacks, model=None, lr=0.5, **settings):
    manual_seed(0)
    model = model or nn.Linear(2, 2)
    optimizer = SGD(model.parameters(), lr=lr, momentum=0.5)
    return Trainer(model, optimizer, progress=False, callbacks=callbacks, **settings)


MOMENTS = ("before_fit", "before_epoch", "before_step", "after_step", "after_epoch", "after_fit",
           "close")  # fmt: skip


class Spy(Callback):
    """Notes every moment."""

    def __init__(self):
        self.moments = []
        for name in MOMENTS:
            setattr(self, name, lambda trainer, name=name: self.moments.append(name))


class Script(Callback):
    """Overwrites the validation losses by given ones."""

    def __init__(self, losses):
        self.losses = losses

    def after_epoch(self, trainer):
        trainer.history[-1]["val_loss"] = self.losses[trainer.epoch - 1]


# ---------------------------------------------------------------------------
# When
# ---------------------------------------------------------------------------
def test_the_moments():
    spy = Spy()
    coach(spy).fit(points(2), points(1), epochs=2)
    step = ["before_step", "after_step"]
    epoch = ["before_epoch", *step, *step, "after_epoch"]
    assert spy.moments == ["before_fit", *epoch, *epoch, "after_fit", "close"]


def test_close_is_told_of_an_error():
    spy = Spy()
    with pytest.raises(DivergenceError):
        coach(spy, lr=1e30, model=nn.Sequential(nn.Linear(2, 4), nn.Linear(4, 2))).fit(
            points(), points(1), epochs=3
        )
    assert spy.moments[-1] == "close" and "after_fit" not in spy.moments


def test_who_writes_down_comes_last():
    class Last(Callback):
        last = True

    first, second, last = Callback(), Callback(), Last()
    assert coach(first, last, second).callbacks == [first, second, last]


# ---------------------------------------------------------------------------
# What
# ---------------------------------------------------------------------------
def test_clipping():
    norms = []

    class Look(Callback):
        def before_step(self, trainer):
            norms.append(grad_norm(trainer.optimizer.parameters))

    clip = ClipGradients(0.01)
    coach(Look(), clip, Look()).fit(points(), points(1), epochs=1)
    before, after = norms[::2], norms[1::2]
    assert all(norm > 0.01 for norm in before)
    assert after == pytest.approx([0.01] * 4, rel=1e-3)
    assert clip.norm == before[-1]


def test_vary():
    seen = []

    class Look(Callback):
        def after_step(self, trainer):
            seen.append(trainer.optimizer.param_groups[0]["momentum"])

    coach(Vary("momentum", lambda progress: progress / 2), Look()).fit(points(), points(1), 1)
    assert seen == [0.0, 0.125, 0.25, 0.375]
    with pytest.raises(ValueError, match="this SGD has no setting 'beta'; it has "):
        coach(Vary("beta", cosine)).fit(points(), points(1), 1)


def test_ema_agrees_with_pytorch():
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    theirs = torch.nn.Linear(2, 2)
    average = AveragedModel(theirs, multi_avg_fn=get_ema_multi_avg_fn(0.8))

    class Follow(Callback):
        def after_step(self, trainer):
            with torch.no_grad():
                theirs.weight.copy_(torch.tensor(trainer.model.weight.numpy().copy()))
                theirs.bias.copy_(torch.tensor(trainer.model.bias.numpy().copy()))
            average.update_parameters(theirs)

    ema = EMA(0.8)
    coach(ema, Follow()).fit(points(), points(1), epochs=3)
    for name in ("weight", "bias"):
        expected = getattr(average.module, name).detach().numpy()
        np.testing.assert_allclose(ema.averages[name], expected, rtol=1e-5)


def test_ema_is_what_the_validation_sees():
    ema = EMA(0.9)
    trainer = coach(ema)
    history = trainer.fit(points(), points(2, seed=1), epochs=2)
    own = trainer.model.state_dict()["weight"].copy()
    with ema.applied(trainer.model) as model:
        np.testing.assert_array_equal(model.weight.data, ema.averages["weight"])
        assert trainer.evaluate(points(2, seed=1)).loss == history[-1]["val_loss"]
    np.testing.assert_array_equal(trainer.model.weight.data, own)
    assert trainer.evaluate(points(2, seed=1)).loss != history[-1]["val_loss"]


def test_plateau():
    """A tenth after every two epochs that are no better."""
    losses, lrs = [3, 2, 2, 2.5, 1, 1, 1, 1, 1, 0], []

    class Look(Callback):
        def before_step(self, trainer):
            lrs.append(trainer.optimizer.param_groups[0]["lr"])

    trainer = coach(Script(losses), ReduceLROnPlateau(0.1, 2), Look(), lr=1.0)
    history = trainer.fit(points(1), points(1), epochs=10)
    expected = [1, 1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.001]
    assert lrs == pytest.approx(expected)
    assert [entry["lr"] for entry in history] == pytest.approx(expected)
    assert trainer.optimizer.lr == 1.0


def test_plateau_agrees_with_pytorch():
    """Its patience counts from 0, its threshold is a share unless told otherwise."""
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    losses = list(np.random.default_rng(0).uniform(size=60) - np.linspace(0, 1, 60))
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.5, patience=2, threshold=0.01, threshold_mode="abs"
    )
    expected = []
    for loss in losses:
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step(loss)
    ours = ReduceLROnPlateau(0.5, 3, min_delta=0.01)
    history = coach(Script(losses), ours, lr=1.0).fit(points(1), points(1), epochs=60)
    assert [entry["lr"] for entry in history] == pytest.approx(expected)
    assert len(set(expected)) > 3


@pytest.mark.parametrize("restore_best", [True, False])
def test_early_stopping(restore_best):
    weights = []

    class Look(Callback):
        def after_epoch(self, trainer):
            weights.append(trainer.model.weight.data.copy())

    stopping = EarlyStopping(3, restore_best=restore_best)
    trainer = coach(Script([3, 1, 2, 0.9, 1, 1, 1, 0, 0]), Look(), stopping)
    assert len(trainer.fit(points(), points(1), epochs=9)) == 7
    np.testing.assert_array_equal(trainer.model.weight.data, weights[3 if restore_best else 6])
    assert not trainer.stop


def test_a_second_fit_starts_its_waiting_afresh():
    stopping = EarlyStopping(2)
    trainer = coach(Script([1, 1, 1, 0]), stopping)
    assert len(trainer.fit(points(), points(1), epochs=4)) == 3
    assert len(trainer.fit(points(), points(1), epochs=4)) == 6


@pytest.mark.parametrize("monitor, better", [("val_accuracy", True), ("val_loss", False)])
def test_more_accuracy_is_better_and_more_loss_is_worse(monitor, better):
    class Grow(Callback):
        def after_epoch(self, trainer):
            trainer.history[-1][monitor] = trainer.epoch / 10

    trainer = coach(Grow(), EarlyStopping(1, monitor=monitor))
    assert len(trainer.fit(points(), points(1), epochs=5)) == (5 if better else 2)


def test_l2_and_rates_by_layer_in_a_training():
    """Groups are kept apart by the schedule."""
    manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 2))
    optimizer = AdamW(named_groups(model, ("0", {"lr": 1e-3, "weight_decay": 0.1})), lr=0.1)
    seen = []

    class Look(Callback):
        def before_step(self, trainer):
            seen.append([group["lr"] for group in trainer.optimizer.param_groups])

    trainer = Trainer(model, optimizer, schedule=cosine, progress=False, callbacks=[Look()])
    trainer.fit(points(2), points(1), epochs=1)
    np.testing.assert_allclose(seen, [[1e-3, 0.1], [5e-4, 0.05]])
    assert [group["lr"] for group in optimizer.param_groups] == [1e-3, 0.1]


# ---------------------------------------------------------------------------
# What is written down
# ---------------------------------------------------------------------------
def test_history_file(tmp_path):
    path, seen = tmp_path / "history.jsonl", []

    class Look(Callback):
        last = True

        def after_epoch(self, trainer):
            seen.append(len(path.read_text(encoding="utf-8").splitlines()))

    path.write_text("of an older run\n", encoding="utf-8")
    history = coach(HistoryFile(path), Look()).fit(points(), points(1), epochs=3)
    assert seen == [1, 2, 3]
    assert read_history(path) == history
    text = path.read_text(encoding="utf-8")
    path.write_text(text[:-20], encoding="utf-8")  # as after a crash
    assert read_history(path) == history[:2]


def test_live_plot_in_a_file(tmp_path):
    pytest.importorskip("matplotlib", reason="needs matplotlib")
    path, sizes = tmp_path / "curves.png", []

    class Look(Callback):
        last = True

        def after_epoch(self, trainer):
            sizes.append(path.read_bytes())

    coach(LivePlot(path), Look()).fit(points(), points(1), epochs=2)
    assert sizes[0].startswith(b"\x89PNG") and sizes[0] != sizes[1]
    assert [p.name for p in tmp_path.iterdir()] == ["curves.png"]


def test_live_plot_in_a_notebook(monkeypatch):
    pytest.importorskip("matplotlib", reason="needs matplotlib")
    display = pytest.importorskip("IPython.display", reason="needs IPython")
    shown = []

    class Handle:
        def update(self, figure):
            shown.append(figure)

    def show(figure, display_id):
        shown.append(figure)
        return Handle()

    monkeypatch.setattr(display, "display", show)
    coach(LivePlot()).fit(points(), points(1), epochs=3)
    lines = [figure.axes[0].lines[0].get_xdata().tolist() for figure in shown]
    assert lines == [[1], [1, 2], [1, 2, 3]]


def test_live_plot_without_a_notebook(monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    with pytest.raises(ValueError, match="LivePlot: expects a path where there is no notebook"):
        LivePlot()


def test_speedometer():
    history = coach(Speedometer(64, 2)).fit(points(), points(1), epochs=2)
    assert all(entry["machine_gflops"] > 0 for entry in history)
    assert json.dumps(history)


class Slow(list):
    """Batches, and the seconds for which a walk made its user wait for them."""

    waited = 0.0


def test_waiting_time():
    batches, clock = Slow(points()), WaitingTime()
    history = coach(clock).fit(points(), points(1), epochs=1)
    assert history[0]["waiting"] == 0.0  # a list has no such number
    trainer = coach(WaitingTime())
    trainer.callbacks.insert(0, Script([0.0]))
    trainer.callbacks[0].after_epoch = lambda t: t.history[-1].update(images_per_second=64.0)
    batches.waited = 0.125  # of the 32 / 64 seconds that the epoch took
    assert trainer.fit(batches, points(1), epochs=1)[0]["waiting"] == 0.25


# ---------------------------------------------------------------------------
# Where a NaN comes from
# ---------------------------------------------------------------------------
class Log(nn.Module):
    """ln x: minus infinity at 0, NaN below; its gradient is infinite at 0."""

    def forward(self, x):
        return x.log()


def diverged(model, batches=None, loss=F.cross_entropy, lr=0.5):
    trainer = coach(model=model, lr=lr, loss=loss)
    before = [p.data.copy() for p in model.parameters()]
    with pytest.raises(DivergenceError) as error:
        trainer.fit(batches or points(), points(1), epochs=2)
    return str(error.value), before, model


def test_found_in_the_forward_pass():
    manual_seed(0)
    text, before, model = diverged(nn.Sequential(nn.Linear(2, 3), Log(), nn.Linear(3, 2)))
    assert text.startswith("the loss is nan at epoch 1, batch 1: the first such number is in the ")
    assert "output of Log in layer 1 (Log), in the forward pass" in text
    for p, values in zip(model.parameters(), before):
        np.testing.assert_array_equal(p.data, values)


def test_found_in_the_loss():
    text, *_ = diverged(nn.Linear(2, 2), loss=lambda s, y: (s - s).log().sum())
    assert "in the output of Log in the loss, in the forward pass" in text


def test_found_in_the_backward_pass():
    """The loss is finite, the gradient is not: no step is taken."""

    def loss(scores, y):
        return F.cross_entropy(scores, y) + ((scores - scores) ** 0.5).sum()

    text, before, model = diverged(nn.Linear(2, 2), loss=loss)
    assert text.startswith("the gradient of weight is not finite at epoch 1, batch 1: the first ")
    assert "in the gradient of input 0 of Power in the loss, in the backward pass" in text
    for p, values in zip(model.parameters(), before):
        np.testing.assert_array_equal(p.data, values)
        assert p.grad is None


def test_found_in_the_images():
    batches = points()
    batches[2][0][3, 1] = np.inf
    text, *_ = diverged(nn.Linear(2, 2), batches)
    assert "epoch 1, batch 3: the input of the net holds numbers that are not finite" in text


def test_found_in_a_weight():
    class Poison(Callback):
        def after_step(self, trainer):
            if trainer.step == 2:
                trainer.model.bias.assign_([np.nan, 0])

    trainer = coach(Poison())
    with pytest.raises(DivergenceError, match="batch 3: bias holds numbers that are not finite, b"):
        trainer.fit(points(), points(1), epochs=1)


def test_found_in_a_constant():
    class Constant(nn.Linear):
        def forward(self, x):
            return super().forward(x) + Tensor(np.array([0, np.nan], np.float32))

    text, *_ = diverged(Constant(2, 2))
    assert "it came in as input 1 of Add in the net itself (Constant), in the forward pass" in text


def test_dropout_masks_are_drawn_again():
    """The fault shows only under the mask of the batch it was found in."""

    class Touchy(nn.Module):
        def forward(self, x):
            if x.numpy().sum() != 0:
                return x
            return (x - 1).log()

    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.7), Touchy())
    text, *_ = diverged(model, points(200, 1))
    assert "Log in layer 2 (Touchy), in the forward pass" in text


def test_all_finite():
    big = np.full(4, 3e38, np.float32)
    assert all_finite([]) and all_finite([big, np.ones((2, 3, 4, 5))])
    for bad in (np.nan, np.inf, -np.inf):
        x = np.ones((2, 3, 4, 5), np.float32)
        x[1, 2, 3, 4] = bad
        assert not all_finite([big, x])
