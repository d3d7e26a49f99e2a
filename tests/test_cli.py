"""The command line: what it saves, what it says, and how it refuses."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

import minicnn
from minicnn import data, interop, manual_seed, models
from minicnn.__main__ import main
from minicnn.data import DataUnavailableError
from minicnn.training.recipes import RECIPES
from minicnn.training.run import Run, Settings

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def few_digits(monkeypatch, tmp_path):
    """Every run is small, and its files go to a folder of its own."""
    monkeypatch.chdir(tmp_path)
    whole = data.load

    def load(name, split="train", size=None):
        return whole(name, split, size=size)[:48]

    monkeypatch.setattr("minicnn.training.run.load", load)


def run(capsys, *argv):
    """(exit code, standard output, standard error) of a command."""
    code = main([str(word) for word in argv])
    return code, *capsys.readouterr()


def process(*argv, stdin=""):
    return subprocess.run(
        [sys.executable, "-m", "minicnn", *argv],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        input=stdin,
        capture_output=True,
        text=True,
    )


# ---------------------------------------------------------------------------
# train
# ---------------------------------------------------------------------------
def test_train_saves_weights_and_history(capsys):
    code, out, err = run(capsys, "train", "lenet", "--epochs", 2, "--seed", 3, "--batch-size", 16)
    assert (code, err) == (0, "")
    folder = Path("runs") / "lenet-digits"
    assert f"saved {folder / 'weights.safetensors'}" in out
    assert str(folder / "history.json") in out
    assert out.count("images/s") == 2

    record = json.loads((folder / "history.json").read_text(encoding="utf-8"))
    assert record["settings"] == {
        "model": "lenet", "data": "digits", "epochs": 2, "batch_size": 16, "lr": 0.05,
        "momentum": 0.9, "weight_decay": 5e-3, "seed": 3, "device": "cpu",
        "backend": minicnn.current_backend(), "threads": 1, "optimizer": "sgd",
        "schedule": "cosine",
    }  # fmt: skip
    assert record["parameters"] == 61706
    assert record["minicnn"] == minicnn.__version__ and record["numpy"] == np.__version__
    assert record["python"] == sys.version.split()[0].rstrip("+")
    assert [entry["epoch"] for entry in record["epochs"]] == [1, 2]
    assert record["seconds"] >= sum(entry["seconds"] for entry in record["epochs"]) * 0.99
    assert record["interrupted"] is False

    model = models.build("lenet")
    interop.load_into(model, folder / "weights.safetensors")
    assert interop.read_metadata(folder / "weights.safetensors")["seed"] == "3"


def test_the_saved_weights_are_the_trained_ones(tmp_path):
    settings = Settings("lenet", "digits", 1, 16, 0.05, 0.9, 5e-4, 0, "cpu", "numpy")
    job = Run(settings, tmp_path / "a" / "b", progress=False)
    before = {name: array.copy() for name, array in job.model.state_dict().items()}
    job.train()
    weights, _ = job.save()
    for name, array in interop.load(weights).items():
        np.testing.assert_array_equal(array, job.model.state_dict()[name])
        assert not np.array_equal(array, before[name])


def test_the_same_settings_give_the_same_file(capsys, tmp_path):
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        argv = "train", "lenet", "--epochs", 1, "--seed", seed, "--out", folder, "--quiet"
        assert run(capsys, *argv)[0] == 0
    a, b, c = ((tmp_path / f / "weights.safetensors").read_bytes() for f in "abc")
    assert a == b != c


def test_quiet_prints_the_result_only(capsys):
    code, out, err = run(capsys, "train", "lenet", "--epochs", 1, "--quiet", "--out", "here")
    assert (code, err) == (0, "")
    first, *saved = out.splitlines()
    assert "of the 48 test images right after 1 epoch, " in first
    assert [Path(line.split()[-1]).name for line in saved] == [
        "weights.safetensors",
        "history.json",
    ]


def test_backend_is_honoured(capsys, monkeypatch):
    used = []
    fit = "minicnn.training.trainer.Trainer.fit"
    monkeypatch.setattr(fit, lambda *_: used.append(minicnn.current_backend()))
    run(capsys, "train", "lenet", "--backend", "loops")
    assert used == ["loops"]


@pytest.mark.parametrize("model", models.names())
@pytest.mark.parametrize("name", data.NAMES)
def test_every_recipe_can_be_used(model, name):
    from minicnn.training.recipes import recipe

    settings = asdict(recipe(model, name))
    assert settings["epochs"] >= 1 and settings["batch_size"] >= 1
    assert 0 < settings["lr"] < 1 and 0 <= settings["momentum"] < 1
    assert settings.keys() == asdict(RECIPES[name]).keys()


def test_a_run_that_diverges(capsys):
    argv = "train", "lenet", "--epochs", 3, "--lr", 1e6, "--quiet"
    code, out, err = run(capsys, *argv)
    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert err.startswith("minicnn train: the loss is ") and "lower the learning rate" in err
    assert not Path("runs/lenet-digits/weights.safetensors").exists()


def interrupt_after(epochs, monkeypatch):
    from minicnn.training import Trainer

    evaluate = Trainer.evaluate

    def stop(self, loader):
        if len(self.history) == epochs:
            raise KeyboardInterrupt
        return evaluate(self, loader)

    monkeypatch.setattr(Trainer, "evaluate", stop)


def test_ctrl_c_saves_the_finished_epochs(capsys, monkeypatch):
    interrupt_after(1, monkeypatch)
    code, out, _ = run(capsys, "train", "lenet", "--epochs", 3, "--out", "here", "--quiet")
    assert code == 130 and out.startswith("interrupted: ") and "after 1 epoch, " in out
    record = json.loads(Path("here/history.json").read_text(encoding="utf-8"))
    assert record["interrupted"] is True and len(record["epochs"]) == 1
    assert Path("here/weights.safetensors").is_file()


def test_ctrl_c_in_the_first_epoch_saves_nothing(capsys, monkeypatch):
    interrupt_after(0, monkeypatch)
    code, _, err = run(capsys, "train", "lenet", "--out", "here", "--quiet")
    assert code == 130 and "interrupted" in err
    assert not list(Path("here").iterdir())


def test_a_disk_that_is_full_at_the_end(capsys, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("minicnn.interop.files.os.fsync", full)
    code, _, err = run(capsys, "train", "lenet", "--epochs", 1, "--quiet")
    assert (code, len(err.splitlines())) == (1, 1)
    assert "step-00000001.safetensors could not be written (No space left on device)" in err
    assert not list(Path("runs/lenet-digits").iterdir())


# ---------------------------------------------------------------------------
# train: going on
# ---------------------------------------------------------------------------
def without_clocks(folder):
    record = json.loads((Path(folder) / "history.json").read_text(encoding="utf-8"))
    for entry in record["epochs"]:
        del entry["seconds"], entry["images_per_second"]
    return record["epochs"]


@pytest.mark.parametrize("words", [(), ("--optimizer", "adamw", "--schedule", "plateau")])
def test_resume_comes_to_the_same_bits(words, capsys, monkeypatch):
    argv = "train", "lenet", "--epochs", 4, "--batch-size", 16, "--seed", 2, *words
    assert run(capsys, *argv, "--out", "whole")[0] == 0
    with monkeypatch.context() as patch:
        interrupt_after(2, patch)
        assert run(capsys, *argv, "--out", "broken")[0] == 130
    code, out, err = run(capsys, "train", "lenet", "--resume", "--out", "broken")
    assert (code, err) == (0, "") and "going on after epoch 2" in out
    weights = [Path(folder, "weights.safetensors").read_bytes() for folder in ("whole", "broken")]
    assert weights[0] == weights[1]
    assert without_clocks("whole") == without_clocks("broken")
    lines = Path("broken/history.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3, 4]

    code, out, _ = run(capsys, "train", "lenet", "--resume", "--out", "broken", "--quiet")
    assert code == 0 and "after 4 epochs" in out  # nothing was left to do


def test_keep(capsys):
    run(capsys, "train", "lenet", "--epochs", 4, "--batch-size", 16, "--keep", 3, "--out", "here")
    steps = sorted(path.stem for path in Path("here").glob("step-*"))
    assert steps == ["step-00000006", "step-00000009", "step-00000012"]


def test_a_new_run_replaces_an_older_one(capsys, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt_after(2, patch)
        run(capsys, "train", "lenet", "--epochs", 5, "--batch-size", 8, "--out", "here")
    code, _, err = run(capsys, "train", "lenet", "--epochs", 1, "--out", "here", "--keep", 2)
    assert code == 0
    assert "the run in here, at epoch 2 of 5, is replaced when this one's first epoch" in err
    assert [path.stem for path in Path("here").glob("step-*")] == ["step-00000001"]
    assert run(capsys, "train", "lenet", "--epochs", 1, "--out", "here")[2] == ""


@pytest.mark.parametrize(
    "words, text",
    [
        (("--lr", "0.1"), "was begun with --lr 0.05, but now it is 0.1; leave it out"),
        (("--optimizer", "adam"), "was begun with --optimizer sgd, but now it is adam"),
        (("--threads", "2"), "was begun with --threads 1, but now it is 2"),
        (("--data", "mnist"), "was begun with --data digits, but now it is mnist"),
    ],
)
def test_resume_with_other_settings(words, text, capsys):
    run(capsys, "train", "lenet", "--epochs", 1, "--out", "here")
    before = {path: path.read_bytes() for path in Path("here").iterdir()}
    code, out, err = run(capsys, "train", "lenet", "--resume", "--out", "here", *words)
    assert (code, out, len(err.splitlines())) == (2, "", 1) and text in err
    assert {path: path.read_bytes() for path in Path("here").iterdir()} == before


def test_resume_without_a_checkpoint(capsys):
    code, out, err = run(capsys, "train", "lenet", "--resume", "--out", "nowhere")
    assert (code, out) == (2, "") and "nowhere holds no checkpoint to go on from" in err
    assert not Path("nowhere").exists()


def test_momentum_is_sgds(capsys):
    argv = "train", "lenet", "--optimizer", "adam", "--momentum", "0.5"
    code, _, err = run(capsys, *argv)
    assert code == 2 and "--momentum is a setting of sgd" in err


# ---------------------------------------------------------------------------
# step
# ---------------------------------------------------------------------------
def test_step_hands_over(capsys, monkeypatch):
    from minicnn.stepper import terminal

    seen = []
    monkeypatch.setattr(terminal, "main", lambda *args, **settings: seen.append((args, settings)))
    assert run(capsys, "step", "lenet")[0] == 0
    assert run(capsys, "step", "lenet", "--index", 7, "--seed", 5, "--weights", "w")[0] == 0
    common = {"data": "digits", "load": interop.load_into, "page": None}
    assert seen == [
        (("lenet",), {"index": 0, "seed": 0, "weights": None} | common),
        (("lenet",), {"index": 7, "seed": 5, "weights": Path("w")} | common),
    ]


def test_step_walks_with_trained_weights():
    manual_seed(3)
    interop.save(models.build("lenet"), "w.safetensors")
    done = process("step", "lenet", "--weights", "w.safetensors", "--index", "2", stdin="n n q\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert "with weights w.safetensors: test image 2 of digits" in done.stdout


@pytest.mark.parametrize(
    "argv, text",
    [
        (["--index", "360"], "--index 360: digits has images 0 to 359"),
        (["--weights", "none"], "none: there is no such file"),
        (["--weights", "bad"], "bad is no whole safetensors file"),
        (["--weights", "other"], "other does not fit: load_state_dict: LeNet was not changed"),
    ],
)
def test_step_refuses(argv, text, capsys):
    Path("bad").write_bytes(b"bad")
    interop.save({"w": np.ones(2)}, "other")
    code, out, err = run(capsys, "step", "lenet", *argv)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert err.startswith("minicnn step: ") and text in err


# ---------------------------------------------------------------------------
# Help and version
# ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    "argv, texts",
    [
        (["--help"], ["usage: minicnn ", "train ", "step ", "examples:"]),
        ([], ["usage: minicnn ", "train ", "step "]),
        (["train", "--help"], ["usage: minicnn train ", "--epochs N", "default: 20 for digits",
                               "64 for digits", "default: cpu", "runs/MODEL-DATA", "examples:"]),
        (["step", "--help"], ["usage: minicnn step ", "--index N", "default: 0", "examples:"]),
        (["--version"], [f"minicnn {minicnn.__version__}\n"]),
    ],
)  # fmt: skip
def test_help(argv, texts, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    code, out, err = run(capsys, *argv)
    assert (code, err) == (0, "")
    for text in texts:
        assert text in out


def test_every_setting_is_explained(capsys):
    """No option without a text, and every default is shown."""
    text = " ".join(run(capsys, "train", "--help")[1].split())
    for name, value in asdict(RECIPES["digits"]).items():
        assert f"--{name.replace('_', '-')} " in text
        assert f"(default: {value}" in text


# ---------------------------------------------------------------------------
# Refusals: one line on stderr, exit code 2, nothing written
# ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    "argv, text",
    [
        (["train"], "required: MODEL"),
        (["train", "lenett"], "no model 'lenett'; did you mean 'lenet'? (try "),
        (["train", "xyz"], "there is no model 'xyz'; choose one of lenet, "),
        (["train", "lenet", "--data", "mnits"], "no data set 'mnits'; did you mean 'mnist'?"),
        (["train", "lenet", "--backend", "loop"], "no backend 'loop'; did you mean 'loops'?"),
        (["train", "lenet", "--epochs", "0"], "--epochs: expects a whole number of 1 or more"),
        (["train", "lenet", "--epochs", "1.5"], "but got '1.5'"),
        (["train", "lenet", "--batch-size", "0"], "--batch-size: expects a whole number of 1"),
        (["train", "lenet", "--lr", "0"], "--lr: expects a number over 0, but got '0'"),
        (["train", "lenet", "--lr", "-1"], "--lr: expects a number over 0, but got '-1'"),
        (["train", "lenet", "--lr", "nan"], "--lr: expects a number over 0, but got 'nan'"),
        (["train", "lenet", "--lr", "inf"], "--lr: expects a number over 0, but got 'inf'"),
        (["train", "lenet", "--momentum", "1"], "--momentum: expects a number of 0 or more and"),
        (["train", "lenet", "--weight-decay", "-1"], "--weight-decay: expects a number of 0"),
        (["train", "lenet", "--seed", "-1"], "--seed: expects a whole number of 0 or more"),
        (["train", "lenet", "--device", "gpu"], "expects 'cpu', 'cuda' or 'cuda:N', but got 'gpu'"),
        (["train", "lenet", "--device", "cuda:99"], "cuda:99"),
        (["train", "lenet", "--epoch", "3"], "unrecognized arguments: --epoch"),
        (["train", "lenet", "--out", "file"], "file cannot be made a folder"),
        (["train", "lenet", "--out", "file/below"], "below cannot be made a folder"),
        (["step", "lenet", "--index", "-1"], "--index: expects a whole number of 0 or more"),
        (["steps", "lenet"], "invalid choice: 'steps'"),
    ],
)
def test_refusals(argv, text, capsys, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    code, out, err = run(capsys, *argv)
    assert (code, out, len(err.splitlines())) == (2, "", 1), err
    assert err.startswith("minicnn") and text in err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_data_that_cannot_be_had(capsys, monkeypatch, tmp_path):
    def no_network(*_):
        raise DataUnavailableError("the file could not\nbe downloaded")

    monkeypatch.setattr("minicnn.data.download.fetch", no_network)
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MINICNN_DATA", raising=False)
    code, out, err = run(capsys, "train", "lenet", "--data", "mnist")
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert "could not be downloaded" in err and "MINICNN_DATA" in err
    assert not Path("runs").exists()


def test_no_compiler_for_the_emulator(capsys, monkeypatch):
    from minicnn import emulator

    def none_there():
        raise emulator.CompilerNotFound("no C++ compiler was found")

    monkeypatch.setattr(emulator, "find_compiler", none_there)
    code, _, err = run(capsys, "train", "lenet", "--backend", "emulator")
    assert code == 2 and err.startswith("minicnn train: no C++ compiler was found")


def test_device_and_backend_exclude_each_other(capsys, monkeypatch):
    monkeypatch.setattr("minicnn.backends.check_device", lambda device: "cuda:0")
    argv = "train", "lenet", "--device", "cuda", "--backend", "loops"
    code, _, err = run(capsys, *argv)
    assert code == 2 and "--backend loops chooses who runs arrays on the CPU" in err


def test_a_bug_of_ours_shows_where_it_is(capsys, monkeypatch):
    def bug(self):
        raise ValueError("a bug")

    monkeypatch.setattr(Run, "train", bug)
    with pytest.raises(ValueError, match="a bug"):
        main(["train", "lenet", "--quiet"])


# ---------------------------------------------------------------------------
# As a process
# ---------------------------------------------------------------------------
def test_python_m_minicnn():
    done = process("train", "lenet", "--epochs", "1", "--quiet", "--out", "here")
    assert (done.returncode, done.stderr) == (0, "")
    share = float(done.stdout.split("%")[0]) / 100
    record = json.loads(Path("here/history.json").read_text(encoding="utf-8"))
    assert math.isclose(record["epochs"][-1]["val_accuracy"], share, abs_tol=1e-4)
    assert share > 0.15  # after one epoch of the real digits; guessing has 0.1


def test_a_refusal_of_a_process():
    done = process("train", "lenet", "--epochs", "zero")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX pipes")
def test_a_reader_that_leaves():
    """As in `minicnn train lenet | true`."""
    read, write = os.pipe()
    os.close(read)
    argv = [sys.executable, "-m", "minicnn", "train", "lenet", "--epochs", "1", "--out", "here"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(argv, env=environment, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")
