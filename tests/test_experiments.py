"""Experiments: they can be interrupted, every one runs, and what is committed bears its claims."""

from __future__ import annotations

import json
import signal
from types import SimpleNamespace

import numpy as np
import pytest

from minicnn import Tensor, models, nn, optim
from minicnn.__main__ import main
from minicnn.data import Dataset
from minicnn.training import experiments
from minicnn.training.experiments import (
    Claim,
    Experiment,
    Results,
    committed,
    few,
    flowers,
    search,
)
from minicnn.training.experiments.cifar import PLANS, build
from minicnn.training.experiments.drawing import draw_curves
from minicnn.training.experiments.experiment import Column
from minicnn.training.experiments.recipes import measures
from minicnn.training.experiments.results import HERE, duration, page, save, table
from minicnn.training.experiments.running import Display, OtherPlanError, run
from minicnn.training.experiments.work import CPUTime, Work
from minicnn.training.trainer import Trainer

pytest.importorskip("matplotlib", reason="needs matplotlib")
CLOCKS = ("seconds", "cpu_seconds", "images_per_second", "machine_gflops", "waiting")


# ---------------------------------------------------------------------------
# A small one
# ---------------------------------------------------------------------------
def variant(lr, log=None):
    def one(work):
        if log is not None:
            log.append((lr, work.seed))
        model = nn.Sequential(nn.Flatten(), nn.Dropout(0.2), nn.Linear(64, 10))
        train, test = work.data("digits", "train")[:200], work.data("digits", "test")[:50]
        loaders = work.loader(train, 50), work.loader(test, 50, training=False)
        fits = [
            work.fit(model, optim.SGD(model.parameters(), lr), *loaders, 3, name=f"fit-{k}",
                     part=(k, 2)) for k in range(2)
        ]  # fmt: skip
        return measures(fits[1]) | {"weights": float(np.abs(model[2].weight.numpy()).sum())}

    return one


def small(log=None, seeds=(0, 1)):
    return Experiment(
        "small", "A small one", "Is it small?", "Nothing is chosen.",
        {"slow learner": variant(0.01, log), "fast learner": variant(0.5, log)}, seeds,
        lambda results: [Claim("faster", bool(results.mean("fast learner", "accuracy") > 0.1))],
        (Column("accuracy", "accuracy"), Column("no such", "nothing")),
        draw_curves(("train_loss", "loss"), ("val_accuracy", "accuracy")),
        {"fast learner": 3},
    )  # fmt: skip


def without_clocks(value):
    if isinstance(value, dict):
        return {k: without_clocks(v) for k, v in value.items() if not k.endswith(CLOCKS)}
    return [without_clocks(v) for v in value] if isinstance(value, list) else value


@pytest.mark.parametrize("stop_at", [1, 6, 13, 17, 40])
def test_interrupted_and_gone_on_with_it_comes_to_the_same(stop_at, tmp_path, monkeypatch):
    """Ctrl-C at an epoch's end, in the first or second training of a run, in a later run."""
    log = []
    whole = run(small(), tmp_path / "whole")
    count, evaluate = [0], Trainer.evaluate

    def interrupt(self, loader):
        count[0] += 1
        if count[0] == stop_at:
            raise KeyboardInterrupt
        return evaluate(self, loader)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "evaluate", interrupt)
        if stop_at <= 24:
            with pytest.raises(KeyboardInterrupt):
                run(small(log), tmp_path / "broken")
            broken_off = log.copy()
            count[0] = 1000
        again = run(small(log), tmp_path / "broken")
    assert without_clocks(again.runs) == without_clocks(whole.runs)
    assert [(r["variant"], r["seed"]) for r in whole.runs] == [
        ("slow learner", 0), ("fast learner", 0), ("slow learner", 1), ("fast learner", 1)
    ]  # fmt: skip
    if stop_at <= 24:  # what was done before is not done again
        assert log[len(broken_off)] == broken_off[-1] and len(log) == 5
    before = log.copy()
    assert run(small(log), tmp_path / "broken").runs == again.runs and log == before


def test_time_before_an_interruption_counts(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "evaluate", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                run(small(), tmp_path)
    spent = json.loads((tmp_path / "runs" / "slow-learner-0" / "spent.json").read_text())
    first = run(small(), tmp_path).runs[0]
    assert first["seconds"] > spent["seconds"] > 0
    assert first["cpu_seconds"] > spent["cpu_seconds"] > 0


def test_runs_of_another_kind_are_not_mixed(tmp_path):
    run(small(seeds=(0,)), tmp_path, quick=True)
    with pytest.raises(OtherPlanError, match=r"begun as .*'quick': True.* but now .*--out"):
        run(small(seeds=(0,)), tmp_path)


def test_an_error_keeps_the_runs_before_it(tmp_path):
    log = []
    broken = small(log, seeds=(0,))
    broken.variants["fast learner"] = lambda work: 1 / 0
    with pytest.raises(ZeroDivisionError):
        run(broken, tmp_path)
    run(small(log, seeds=(0,)), tmp_path)
    assert log == [(0.01, 0), (0.5, 0)]


# ---------------------------------------------------------------------------
# What a run has at hand
# ---------------------------------------------------------------------------
def test_once(tmp_path):
    calls = []

    def give(value):
        calls.append(value)
        return value

    def ask(seed=0):
        work = Work(tmp_path / f"run-{seed}", seed)
        own = [work.once("a", lambda: give(0.1)), work.once("a", lambda: give(2))]
        return [*own, work.once("b", lambda: give([seed, None]), shared=True)]

    assert ask() == ask() == [0.1, 0.1, [0, None]] and calls == [0.1, [0, None]]
    assert ask(1) == [0.1, 0.1, [0, None]] and calls == [0.1, [0, None], 0.1]


@pytest.mark.parametrize("cut", range(1, 12))
def test_notes_cut_off_by_a_crash(cut, tmp_path):
    work = Work(tmp_path / "run", 0)
    for key in "ab":
        work.once(key, lambda: 12345)
    path = tmp_path / "run" / "notes.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    again = Work(tmp_path / "run", 0)
    assert again.once("a", lambda: 6) == 12345 and again.once("b", lambda: 7) == 7
    assert Work(tmp_path / "run", 0).once("b", lambda: 8) == 7


def test_processor_time_goes_on_from_a_checkpoint(monkeypatch):
    now = [5.0]
    monkeypatch.setattr("time.process_time", lambda: now[0])
    trainer = SimpleNamespace(history=[{}])
    first, second = CPUTime(), CPUTime()
    first.before_fit(trainer)
    now[0] = 8.0
    saved = first.state_dict()
    now[0] = 1.0  # another process
    second.load_state_dict(saved)
    second.before_fit(trainer)
    now[0] = 3.0
    second.after_epoch(trainer)
    assert saved == {"before": 3.0} and trainer.history == [{"cpu_seconds": 5.0}]


def test_quick_is_few_images_and_two_epochs(tmp_path):
    quick, whole = (Work(tmp_path / str(k), 0, quick=k) for k in (True, False))
    assert len(quick.data("digits", "train")) == 64 and len(whole.data("digits", "train")) == 1437
    assert quick.epochs(9) == 2 and quick.epochs(1) == 1 and whole.epochs(9) == 9
    data = whole.data("digits", "train")
    assert whole.few(data, 3).labels.tolist() == data.labels[[0, 479, 958]].tolist()
    assert len(quick.few(data, 1000)) == 64 and len(quick.few(data, 5)) == 5


def test_the_time_left(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    lines = []
    with Display(small(), small().runs) as display:
        monkeypatch.setattr(display.bar, "write", lines.append)
        display.begin("slow learner", 0, 0.0)  # one of eight parts: 1 + 3 + 1 + 3
        now[0] = 60.0
        display.watch(0.5, "half", whole=True)
        display.end("slow learner", 120.0)
        display.begin("fast learner", 0, 30.0)  # it was interrupted after 30 s
        now[0] = 390.0  # 330 s later: 360 for a third
        display.watch(1 / 3, "a third", whole=True)
    assert lines == [
        "run 1 of 4, slow learner, seed 0: half; 15 min left",
        "run 2 of 4, fast learner, seed 0: a third; 24 min left",
    ]
    assert [duration(s) for s in (0.2, 89, 90, 5399, 5401, 36000)] == [
        "0 s", "89 s", "2 min", "1 h 30 min", "1 h 31 min", "10 h 0 min"
    ]  # fmt: skip


# ---------------------------------------------------------------------------
# Results
# ---------------------------------------------------------------------------
MACHINE = {"device": "cpu", "processor": "abacus", "cores": 1, "backend": "fast",
           "minicnn": "1", "numpy": "2", "python": "3"}  # fmt: skip


def results(*accuracies):
    runs = [
        {"variant": v, "seed": s, "seconds": 1.5, "cpu_seconds": 1.0, "accuracy": a,
         "history": [{"train_loss": 1.0, "val_accuracy": a}] * 2}
        for s, row in enumerate(accuracies) for v, a in zip(small().variants, row)
    ]  # fmt: skip
    return Results("small", runs, MACHINE)


def test_the_page():
    assert page(small(), results((0.1, 0.5), (0.2, 0.7))) == """\
# A small one

Is it small?

| run          |        accuracy | no such |
|--------------|----------------:|--------:|
| slow learner |  15.00% ± 7.07% |       – |
| fast learner | 60.00% ± 14.14% |       – |

- Yes: faster

Nothing is chosen.

Seeds 0, 1, the numbers are means ± standard deviations over them. 6 s, 4 s of processor \
time, on cpu (abacus, 1 cores, fast); minicnn 1, NumPy 2, Python 3. `minicnn \
experiment small` does it again.
"""
    assert "- **No**: faster" in page(small(), results((0.1, 0.05)))
    assert "| slow learner |   10.00% |" in table(small(), results((0.1, 0.05)))


def test_files_come_back(tmp_path):
    kept = results((1 / 3, 2e-7), (0.2, 0.7))
    paths = save(small(), kept, tmp_path, "results")
    assert [path.name for path in paths] == ["results.json", "results.md", "results.png"]
    again = Results.read(paths[0])
    assert again.values("slow learner", "accuracy") == [0.333333, 0.2]
    assert again.to_json() == kept.to_json() and paths[2].read_bytes()[:4] == b"\x89PNG"
    assert page(small(), again) == paths[1].read_text(encoding="utf-8")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"experiment": "x"}'])
def test_what_is_no_result(text, tmp_path):
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"results.json holds no results of an experiment"):
        Results.read(path)


# ---------------------------------------------------------------------------
# The experiments
# ---------------------------------------------------------------------------
@pytest.mark.slow
@pytest.mark.parametrize("name", experiments.names())
def test_every_experiment_runs_for_a_few_steps(name, data_dir, tmp_path, capsys):
    pytest.importorskip("PIL", reason="needs Pillow")
    assert main(["experiment", name, "--quick", "--out", str(tmp_path)]) == 0
    out, chosen = capsys.readouterr().out, experiments.load(name)
    found = Results.read(tmp_path / "results.json")
    assert [(r["variant"], r["seed"]) for r in found.runs] == chosen.runs[: len(chosen.variants)]
    assert "A quick run" in out and table(chosen, found) in out
    assert "–" not in table(chosen, found) or name == "flowers"
    assert all(isinstance(claim.holds, bool) and claim.text for claim in chosen.claims(found))


# By experiment with committed results: which of its claims they must bear out; others may fail.
MUST_HOLD = {
    "nas": {0, 1, 2}, "lenet-mlp": {0}, "relu-tanh": {0}, "few-images": {0, 1, 2, 3, 4},
    "mnist-lenet": {0}, "fashion-ablation": {0, 1, 2, 3}, "ensemble": {0, 1},
    "fashion-resnet": {0}, "flowers": {0, 1, 2}, "cifar": {0, 5, 6, 7}, "degradation": {0, 1, 2},
}  # fmt: skip


@pytest.mark.parametrize("name", experiments.names())
def test_what_is_committed_bears_its_claims(name):
    """The page is that of the numbers, all runs are there, and what must come out did."""
    chosen, found = experiments.load(name), committed(name)
    assert (found is not None) == (name in MUST_HOLD)
    if found is None:
        return
    assert found.experiment == name and "quick" not in found.machine
    assert [(r["variant"], r["seed"]) for r in found.runs] == chosen.runs
    assert (HERE / f"{name}.md").read_text(encoding="utf-8") == page(chosen, found)
    assert (HERE / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
    assert {k for k, claim in enumerate(chosen.claims(found)) if claim.holds} >= MUST_HOLD[name]


def test_nothing_else_is_committed():
    kinds = (".json", ".md", ".png")
    known = {f"{name}{kind}" for name in experiments.names() for kind in kinds}
    assert {path.name for path in HERE.glob("*")} <= known


def test_names_are_files_of_their_own_and_costs_are_of_variants():
    for name in experiments.names():
        chosen = experiments.load(name)
        assert chosen.name == name and chosen.costs.keys() <= chosen.variants.keys()
        assert len(set(chosen.seeds)) == len(chosen.seeds) >= 1


# -- CIFAR ------------------------------------------------------------------
@pytest.mark.parametrize(
    "name, parameters",
    [  # convolutions and dense layers by hand, two numbers for each map with batch norm
        ("I", 896 + 9_248 + 18_496 + 36_928 + 2_097_664 + 5_130),
        ("III", 864 + 9_216 + 18_432 + 36_864 + 2 * 192 + 2_097_664 + 5_130),
        ("VI", 864 + 9_216 + 18_432 + 36_864 + 73_728 + 147_456 + 2 * 448 + 1_049_088 + 5_130),
        ("VII", 1_728 + 36_864 + 73_728 + 147_456 + 2 * 384 + 4_194_816 + 5_130),
    ],
)
def test_cifar_nets(name, parameters):
    model = build(PLANS[name])
    assert model.num_parameters() == parameters
    assert model(Tensor(np.zeros((2, 3, 32, 32), np.float32))).shape == (2, 10)


def test_cifar_plans_differ_as_described():
    def count(name, kind):
        return sum(isinstance(m, kind) for _, m in build(PLANS[name]).named_modules())

    dropouts = {name: count(name, nn.Dropout) for name in PLANS}
    assert dropouts == {"I": 3, "II": 1, "III": 3, "IV": 1, "V": 3, "VI": 4, "VII": 3}
    norms = {name: count(name, nn.BatchNorm2d) for name in PLANS}
    assert norms == {"I": 0, "II": 4, "III": 4, "IV": 4, "V": 4, "VI": 6, "VII": 4}
    assert [name for name, plan in PLANS.items() if plan.l2] == ["IV", "V", "VI", "VII"]


# -- flowers ----------------------------------------------------------------
def test_pretrained_squeezenet_takes_red_first(data_dir, monkeypatch):
    from minicnn import interop

    net = models.build("squeezenet1_0").eval()
    path = data_dir / "squeezenet" / "squeezenet_v1.0_imagenet.npz"
    interop.load_into(net, path, rename=interop.names.squeezenet_v1_0)
    x = np.random.default_rng(0).normal(0, 60, (2, 3, 64, 64)).astype(np.float32)
    ours = flowers.squeezenet(True).eval()(Tensor(x)).numpy()
    theirs = net(Tensor(x[:, ::-1].copy())).numpy()
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4 * abs(theirs).max())


def test_flowers_without_their_files(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("MINICNN_DATA", str(tmp_path))
    assert main(["experiment", "flowers", "--out", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert "flowers160.tar was not found" in err or "squeezenet_v1.0" in err
    assert len(err.splitlines()) == 1


def test_few_photos_are_the_first_of_each_kind():
    assert flowers._first_of_each(np.array([1, 0, 0, 1, 0, 1]), 2).tolist() == [1, 2, 0, 3]


def test_fine_tuning_begins_with_a_head_that_fits(monkeypatch, tmp_path):
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 5
    centres = rng.gamma(2.0, 3.0, (5, 512))
    tables = (centres[labels] + rng.normal(0, 1, (2, 40, 512))).astype(np.float32)
    monkeypatch.setattr(flowers, "_features", lambda *_: (tables, labels))
    head = flowers.five_classes()
    model = nn.Sequential()
    model.features = nn.Conv2d(3, 512, 1)
    flowers._learn_head(Work(tmp_path, 0), model, head, None, {})
    scores = head.eval()(Tensor(tables.reshape(80, 512, 1, 1))).numpy()
    assert np.mean(scores.argmax(axis=1) == np.tile(labels, 2)) == 1
    mean = tables.reshape(80, 512).mean(axis=0)
    np.testing.assert_allclose(head.state_dict()["2.running_mean"], mean, rtol=1e-5)


# -- few images -------------------------------------------------------------
def ten_digits(labels):
    images = np.arange(len(labels), dtype=np.uint8)[:, None, None, None]
    return Dataset(np.broadcast_to(images, (len(labels), 1, 28, 28)), np.array(labels))


def test_five_of_ten_digits_and_the_first_of_each():
    data = few.five_digits(ten_digits([9, 0, 5, 4, 5, 8, 9, 9, 6, 7]), 5)
    assert data.labels.tolist() == [4, 0, 0, 3, 4, 4, 1, 2] and data.classes == tuple("56789")
    assert data.images[:, 0, 0, 0].tolist() == [0, 2, 4, 5, 6, 7, 8, 9]
    assert few.five_digits(ten_digits([0, 4, 5]), 0).labels.tolist() == [0, 4]
    chosen = few.first_of_each(data, 2)
    assert chosen.images[:, 0, 0, 0].tolist() == [2, 4, 8, 9, 5, 0, 6]


@pytest.mark.parametrize("count", [1, 7, 64, 65])
def test_all_images_take_part_equally_often(count, monkeypatch, tmp_path):
    seen = []

    class Look:
        def __init__(self, *_, **__):
            pass

        def fit(self, loader, test, epochs):
            seen.extend(loader)
            return [{"val_accuracy": 0.5}]

    monkeypatch.setattr(few, "Trainer", Look)
    data, model = ten_digits([k % 5 for k in range(count)]), models.build("lenet", num_classes=5)
    assert few.learnt(Work(tmp_path, 0), model, data, None, steps=2, lr=0.1) == 0.5
    assert [len(y) for _, y in seen] == [few.BATCH] * 2
    pixels = np.concatenate([x[:, 0, 0, 0] for x, _ in seen])
    times = np.unique(pixels, return_counts=True)[1]
    assert len(times) == min(count, 64) and times.max() - times.min() <= 1


@pytest.mark.parametrize(
    "learns, scratch, longer, hold",
    [
        ((0.4, 0.8, 0.9, 0.95, 0.97, 0.99), (0.3, 0.5, 0.7, 0.9, 0.96, 0.99), 0.01, "11111"),
        ((0.4, 0.5, 0.9, 0.95, 0.97, 0.99), (0.3, 0.5, 0.7, 0.9, 0.94, 0.97), 0.01, "00000"),
        ((0.4, 0.8, 0.9, 0.95, 0.97, 0.99), (0.3, 0.5, 0.7, 0.9, 0.96, 0.99), 0.5, "11101"),
    ],
)
def test_what_is_claimed_of_few_images(learns, scratch, longer, hold):
    curves = {few.FROZEN: learns, few.LEARNS: learns, few.SCRATCH: scratch}
    curves[few.LONG] = [value + longer for value in scratch]
    if hold == "00000":
        curves[few.LONG] = scratch
    runs = [{"variant": v, "seed": 0, "accuracies": list(c)} for v, c in curves.items()]
    found = few.claims(Results("few-images", runs, MACHINE))
    assert "".join("01"[claim.holds] for claim in found) == hold


# -- the search -------------------------------------------------------------
def test_a_cell_is_what_its_words_say():
    """1: conv 1x1 of the input; 2: max pool of 1; 3: identity of the input: 2 + 3 are loose."""
    words = [0, 2, 1, 1, 0, 0]
    cell = search.Cell(words, 4).eval()
    x = Tensor(np.random.default_rng(0).random((2, 4, 6, 6)).astype(np.float32))
    first, second, third = cell.nodes
    np.testing.assert_allclose(cell(x).numpy(), (second(first(x)) + third(x)).numpy(), rtol=1e-6)
    assert search.describe(words) == "1: conv 1x1 of 0, 2: max pool 3x3 of 1, 3: identity of 0"
    assert int(np.prod(search.CHOICES)) == 750


def toy(words):
    """A reward that is known: later, larger operations in a chain are worth more."""
    size = sum((0, 0.2, 0.4, 0.7, 1.0)[word] for word in words[1::2])
    return 1 - np.exp(-0.6 * size - 0.25 * ((words[2] == 1) + (words[4] == 2)))


def rewards_of(kind, seed, steps=20):
    proposer, rewards = kind(seed), []
    for _ in range(steps):
        proposed = proposer.propose()
        assert all(0 <= w < n for words in proposed for w, n in zip(words, search.CHOICES))
        rewards += [toy(words) for words in proposed]
        proposer.learn(rewards[-search.BATCH :])
    return rewards


def test_the_controller_learns_what_is_worth_more():
    controller, chance = (
        np.mean([rewards_of(kind, seed)[-30:] for seed in range(3)])
        for kind in (search.Learner, search.Guesser)
    )
    assert controller > chance + 0.1


def test_reinforce_makes_rewarded_words_likelier():
    learner = search.Learner(0)
    learner.propose()
    words = [w.copy() for w in learner.words]
    learner.usual = 0.5
    learner.optimizer.lr = 1e-3

    def likelihood():
        """Log-probability of each cell that was proposed."""
        step = iter(words)
        scores = learner.controller(lambda t, s: next(step))
        p = [s.numpy() - np.log(np.exp(s.numpy()).sum(1, keepdims=True)) for s in scores]
        return sum(row[np.arange(search.BATCH), w] for row, w in zip(p, words))

    before = likelihood()
    same = [k for k in range(search.BATCH) if all(w[k] == w[0] for w in words)]
    learner.learn([0.9 if k in same else 0.5 for k in range(search.BATCH)])
    assert likelihood()[0] > before[0]


# ---------------------------------------------------------------------------
# The command
# ---------------------------------------------------------------------------
def test_the_list(capsys):
    assert main(["experiment"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[: len(experiments.names())]] == experiments.names()


def test_a_name_that_is_none(capsys):
    assert main(["experiment", "flower"]) == 2
    err = capsys.readouterr().err
    assert "there is no experiment 'flower'; did you mean 'flowers'?" in err
    assert len(err.splitlines()) == 1


def test_report_again_and_interruption(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(experiments, "names", lambda: ["small"])
    monkeypatch.setattr(experiments, "load", lambda name: small(seeds=(0,)))
    argv = ["experiment", "small", "--out", str(tmp_path)]
    assert main([*argv, "--report"]) == 2
    assert "results.json" in capsys.readouterr().err
    terminations = signal.getsignal(signal.SIGTERM)
    for stop in (signal.SIGINT, signal.SIGTERM):  # Ctrl-C, and `kill`
        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "evaluate", lambda *_, stop=stop: signal.raise_signal(stop))
            assert main(argv) == 130
        assert "interrupted; the same command goes on" in capsys.readouterr().err
        spent = json.loads((tmp_path / "runs" / "slow-learner-0" / "spent.json").read_text())
        assert spent["cpu_seconds"] > 0
    assert signal.getsignal(signal.SIGTERM) is terminations
    assert main(argv) == 0
    out = capsys.readouterr().out
    assert "run 2 of 2, fast learner, seed 0: 2 of 2, epoch 3/3: loss" in out
    assert " left" in out and "| fast learner |" in out and "results.png" in out
    made = (tmp_path / "results.md").read_text(encoding="utf-8")
    (tmp_path / "results.md").unlink()
    assert main([*argv, "--report"]) == 0
    assert (tmp_path / "results.md").read_text(encoding="utf-8") == made
