"""Checkpoints: a training goes on to the same bits, whatever stopped it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from small_training import OPTIMIZERS, everything, outcome, small_net, training

from minicnn import Tensor, interop, manual_seed, nn, optim
from minicnn.data import DataLoader, load
from minicnn.interop import WeightsError
from minicnn.training import Trainer
from minicnn.training.callbacks import EMA, Callback, EarlyStopping
from minicnn.training.checkpoint import (
    Checkpoints,
    checkpoints,
    load_checkpoint,
    newest,
    read_extra,
    save_checkpoint,
)

ROOT = Path(__file__).resolve().parent.parent


class KilledError(Exception):
    """Stands for whatever ends a training."""


class KillAt(Callback):
    last = True

    def __init__(self, step):
        self.at = step

    def after_step(self, trainer):
        if trainer.step == self.at:
            raise KilledError


# ---------------------------------------------------------------------------
# The same bits
# ---------------------------------------------------------------------------
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("step", [1, 7, 12, 17])  # an epoch has 6 steps
def test_it_goes_on_to_the_same_bits(optimizer, step, tmp_path):
    whole, *loaders = training(optimizer, everything())
    whole.fit(*loaders, epochs=4)

    folder = tmp_path / "here"
    callbacks = [*everything(), Checkpoints(folder, every=1), KillAt(step)]
    first, *loaders = training(optimizer, callbacks)
    with pytest.raises(KilledError):
        first.fit(*loaders, epochs=4)

    second, *loaders = training(optimizer, [*everything(), Checkpoints(folder)], seed=0)
    manual_seed(99)  # what comes before must not matter
    list(loaders[0])
    load_checkpoint(second, newest(folder))
    second.fit(*loaders, epochs=4)
    assert outcome(second) == outcome(whole)
    assert second.step == whole.step
    for name, average in whole.callbacks[0].averages.items():
        np.testing.assert_array_equal(second.callbacks[0].averages[name], average)


def test_a_finished_training_has_nothing_left_to_do(tmp_path):
    first, *loaders = training(callbacks=[EarlyStopping(2), Checkpoints(tmp_path)])
    first.fit(*loaders, epochs=2)
    again, *loaders = training(callbacks=[EarlyStopping(2)])
    load_checkpoint(again, newest(tmp_path))
    assert again.fit(*loaders, epochs=2) == first.history
    assert outcome(again) == outcome(first)


def test_an_early_stop_stays_stopped(tmp_path):
    def stopping():
        return [EarlyStopping(1, min_delta=10.0), Checkpoints(tmp_path)]

    first, *loaders = training(callbacks=stopping())
    first.fit(*loaders, epochs=5)
    again, *loaders = training(callbacks=stopping())
    load_checkpoint(again, newest(tmp_path))
    again.fit(*loaders, epochs=5)
    assert len(again.history) == len(first.history) == 2
    assert outcome(again) == outcome(first)


def test_the_next_fit_starts_afresh(tmp_path):
    trainer, *loaders = training(callbacks=[Checkpoints(tmp_path)])
    trainer.fit(*loaders, epochs=2)
    lrs = [group["lr"] for group in trainer.optimizer.param_groups]
    assert lrs == [0.05, 0.05, 0.01]
    trainer.fit(*loaders, epochs=1)
    assert [e["epoch"] for e in trainer.history] == [1, 2, 3] and trainer.step == 18


def test_random_numbers_go_on():
    """Of the initialisers and of dropout; the state is one that JSON can hold."""

    def draw():
        return nn.Linear(3, 2).weight.numpy(), nn.Dropout()(Tensor(np.ones(9))).numpy()

    manual_seed(2**64 - 1)
    draw()
    state = json.loads(json.dumps(nn.init.get_rng_state()))
    expected = draw()
    manual_seed(0)
    nn.init.set_rng_state(state)
    for found, values in zip(draw(), expected):
        np.testing.assert_array_equal(found, values)


def test_extra(tmp_path):
    trainer, *_ = training()
    save_checkpoint(trainer, tmp_path / "c.safetensors", {"note": [1, "two", None]})
    assert read_extra(tmp_path / "c.safetensors") == {"note": [1, "two", None]}
    assert load_checkpoint(trainer, tmp_path / "c.safetensors") == {"note": [1, "two", None]}


# ---------------------------------------------------------------------------
# kill -9
# ---------------------------------------------------------------------------
CHILD = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from small_training import everything, training
from minicnn.training.callbacks import Callback
from minicnn.training.checkpoint import Checkpoints, checkpoints, load_checkpoint, newest
from minicnn.training.checkpoint import save_checkpoint

class Say(Callback):
    def before_step(self, trainer):
        print(trainer.step, flush=True)
        if wait:
            sys.stdin.readline()

folder, wait = sys.argv[1], sys.argv[2] == "wait"
callbacks = [*everything()[:2], Checkpoints(folder, keep=2, every=4), Say()]
trainer, *loaders = training(callbacks=callbacks)
if checkpoints(folder):
    load_checkpoint(trainer, newest(folder))
trainer.fit(*loaders, epochs={epochs})
save_checkpoint(trainer, Path(folder) / "end")
"""
KILLS, EPOCHS = 20, 42  # an epoch has 6 steps: 252 in all, of which 12 at most for each kill


def test_kill_at_any_moment(tmp_path):
    """20 real kills: while Python starts, while a step runs, while a checkpoint is written."""
    chance = random.Random(time.time_ns())
    code = CHILD.format(tests=str(ROOT / "tests"), epochs=EPOCHS)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}

    def start(how="go"):
        argv = [sys.executable, "-c", code, tmp_path / "here", how]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        return subprocess.Popen(argv, env=environment, text=True, **pipes)

    steps = []
    for kill in range(KILLS):
        early = kill % 5 == 4
        with start("wait" if early else "go") as child:
            if early:  # before its first step
                time.sleep(chance.uniform(0, 0.5))
            else:
                for _ in range(chance.randint(1, 12)):
                    steps.append(int(child.stdout.readline()))
                time.sleep(chance.uniform(0, 0.004))
            assert child.poll() is None, "it ended before it could be killed"
            child.kill()
        assert child.returncode == -signal.SIGKILL
        for path in checkpoints(tmp_path / "here"):  # whatever is there is whole
            read_extra(path), interop.load(path)
        assert len(checkpoints(tmp_path / "here")) <= 3
    with start() as child:
        child.communicate()
    assert child.returncode == 0
    assert len(set(steps)) > KILLS  # the kills lay at different places

    whole, *loaders = training(callbacks=everything()[:2])
    whole.fit(*loaders, epochs=EPOCHS)
    resumed, *_ = training(callbacks=everything()[:2])
    load_checkpoint(resumed, tmp_path / "here" / "end")
    assert outcome(resumed) == outcome(whole)
    assert len(checkpoints(tmp_path / "here")) == 2
    assert not list((tmp_path / "here").glob(".*"))


# ---------------------------------------------------------------------------
# The folder
# ---------------------------------------------------------------------------
@pytest.mark.parametrize("keep", [1, 3])
def test_the_last_ones_are_kept(keep, tmp_path):
    trainer, *loaders = training(callbacks=[Checkpoints(tmp_path / "a" / "b", keep=keep)])
    trainer.fit(*loaders, epochs=5)
    names = [path.name for path in checkpoints(tmp_path / "a" / "b")]
    assert names == [f"step-{6 * k:08d}.safetensors" for k in range(6 - keep, 6)]
    assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir()) == names


def test_an_older_one_can_be_gone_on_from(tmp_path):
    trainer, *loaders = training(callbacks=[Checkpoints(tmp_path, keep=4)])
    trainer.fit(*loaders, epochs=4)
    again, *loaders = training(callbacks=[Checkpoints(tmp_path, keep=4)])
    load_checkpoint(again, checkpoints(tmp_path)[1])
    again.fit(*loaders, epochs=3)
    assert [path.name[-14:-12] for path in checkpoints(tmp_path)] == ["06", "12", "18"]


def test_a_new_training_leaves_old_checkpoints_alone(tmp_path):
    trainer, *loaders = training(callbacks=[Checkpoints(tmp_path)])
    trainer.fit(*loaders, epochs=1)
    before = newest(tmp_path).read_bytes()
    another, *loaders = training(callbacks=[Checkpoints(tmp_path)], seed=1)
    with pytest.raises(FileExistsError, match="holds checkpoints of another training; go on from"):
        another.fit(*loaders, epochs=1)
    assert newest(tmp_path).read_bytes() == before


# ---------------------------------------------------------------------------
# What goes wrong
# ---------------------------------------------------------------------------
FULL = """
import resource, sys
sys.path.insert(0, {tests!r})
from small_training import training
from minicnn.training.checkpoint import Checkpoints, load_checkpoint, newest
trainer, *loaders = training(callbacks=[Checkpoints(sys.argv[1])])
load_checkpoint(trainer, newest(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))  # no file may grow beyond 4 kB
trainer.fit(*loaders, epochs=3)
"""


def test_no_room_left(tmp_path):
    """The disk takes 4 kB of the new file and no more: a clear error, and the old one is whole."""
    trainer, *loaders = training(callbacks=[Checkpoints(tmp_path), KillAt(8)])
    with pytest.raises(KilledError):
        trainer.fit(*loaders, epochs=3)
    old = newest(tmp_path)
    before = old.read_bytes()
    code = FULL.format(tests=str(ROOT / "tests"))
    argv = [sys.executable, "-c", code, tmp_path]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert "step-00000012.safetensors could not be written (File too large)" in last, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [old.name]
    assert old.read_bytes() == before


def test_a_folder_that_must_not_be_written_to(tmp_path, monkeypatch):
    trainer, *loaders = training(callbacks=[Checkpoints(tmp_path)])
    before = outcome(trainer)
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write everywhere
    with pytest.raises(PermissionError, match="must not be written to; choose another"):
        trainer.fit(*loaders, epochs=1)
    assert outcome(trainer) == before


def test_no_folder_can_be_made(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    trainer, *loaders = training(callbacks=[Checkpoints(tmp_path / "file")])
    with pytest.raises(FileExistsError, match="file cannot be made a folder"):
        trainer.fit(*loaders, epochs=1)


def test_what_is_no_checkpoint(tmp_path):
    trainer, *_ = training()
    with pytest.raises(FileNotFoundError, match="holds no checkpoint to go on from"):
        newest(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        load_checkpoint(trainer, tmp_path / "none")
    interop.save(trainer.model, tmp_path / "weights.safetensors")
    with pytest.raises(WeightsError, match="is no checkpoint of a training"):
        load_checkpoint(trainer, tmp_path / "weights.safetensors")
    save_checkpoint(trainer, tmp_path / "c")
    (tmp_path / "cut").write_bytes((tmp_path / "c").read_bytes()[:-100])
    with pytest.raises(WeightsError, match="no whole safetensors file"):
        load_checkpoint(trainer, tmp_path / "cut")


def other_callbacks():
    return training(callbacks=[EMA()])[0]


def other_model():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    return Trainer(model, optim.SGD(model.parameters(), momentum=0.9), progress=False)


def other_optimizer():
    return training("adam")[0]


def other_layer():  # as many parameters, but one of another shape that SGD has no memory of yet
    manual_seed(0)
    model = small_net()
    model.__dict__["7"] = nn.Linear(64, 11)
    rules = (optim.is_vector, {"weight_decay": 0.0}), ("7", {"lr": 0.01, "weight_decay": 1e-3})
    made = OPTIMIZERS["sgd"](optim.named_groups(model, *rules))
    return Trainer(model, made, progress=False)


@pytest.mark.parametrize(
    "make, text",
    [
        (other_callbacks, r"saved with the callbacks \[\], but has \['EMA'\]"),
        (other_model, "this SGD of 2 parameters in 1 groups was not changed"),
        (other_optimizer, "this Adam of 6 parameters .* another kind of optimiser"),
        (other_layer, "7.weight has shape .10, 64., but the model's has .11, 64."),
    ],
)
def test_a_checkpoint_of_another_training(make, text, tmp_path):
    save_checkpoint(training()[0], tmp_path / "c")
    trainer = make()
    before, settings = outcome(trainer), json.dumps(trainer.optimizer.state_dict()["param_groups"])
    with pytest.raises(ValueError, match=text):
        load_checkpoint(trainer, tmp_path / "c")
    assert outcome(trainer) == before
    assert json.dumps(trainer.optimizer.state_dict()["param_groups"]) == settings
    assert not trainer.resumed


def test_other_batches_are_noticed(tmp_path):
    trainer, *loaders = training(callbacks=[Checkpoints(tmp_path)])
    trainer.fit(*loaders, epochs=1)
    again, _, validation = training(callbacks=[Checkpoints(tmp_path)])
    load_checkpoint(again, newest(tmp_path))
    with pytest.raises(ValueError, match=r"'batch_size': 16, .* but this one has .*: 32"):
        again.fit(DataLoader(load("digits")[:96], 32, shuffle=True), validation, epochs=2)


def test_lists_of_batches_can_be_gone_on_with(tmp_path):
    x, y = np.random.default_rng(0).normal(size=(5, 4, 3)).astype(np.float32), np.arange(4) % 2
    batches = [(one, y) for one in x]

    def made(*callbacks):
        manual_seed(0)
        model = nn.Linear(3, 2)
        optimizer = optim.SGD(model.parameters(), 0.1)
        return Trainer(model, optimizer, progress=False, callbacks=callbacks)

    whole = made()
    whole.fit(batches, batches, epochs=2)
    with pytest.raises(KilledError):
        made(Checkpoints(tmp_path, every=1), KillAt(7)).fit(batches, batches, epochs=2)
    again = made()
    load_checkpoint(again, newest(tmp_path))
    again.fit(batches, batches, epochs=2)
    assert outcome(again) == outcome(whole)
    assert isinstance(again.model.weight, Tensor)
