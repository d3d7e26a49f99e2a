"""Runs an experiment, one run after the other, so that it can be stopped and gone on with."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from pathlib import Path

from minicnn.interop import write_file
from minicnn.training.checkpoint import make_folder
from minicnn.training.experiments.experiment import Experiment
from minicnn.training.experiments.results import Results, duration, rounded, this_machine
from minicnn.training.experiments.work import Work


class OtherPlanError(ValueError):
    """A folder holds runs that were begun in another way."""


def run(experiment: Experiment, out, device: str = "cpu", quick: bool = False) -> Results:
    """Do all runs that are not done yet, and go on with one that was interrupted.

    Parameters
    ----------
    experiment : Experiment
    out : str or Path
        A folder for checkpoints and results; each run has one of its own below `runs`.
    device : str
    quick : bool
        A few images and two epochs of everything, to see that it works.

    Raises
    ------
    OtherPlanError
        If the runs in `out` were begun with another experiment, device or `quick`.
    DataError, DivergenceError, OSError
        What a run raises; those before it are kept.
    """
    out = Path(out)
    make_folder(out)
    _check_plan(out, {"experiment": experiment.name, "device": device, "quick": quick})
    results = []
    runs = experiment.runs[: len(experiment.variants)] if quick else experiment.runs  # one seed
    with Display(experiment, runs) as display:
        for variant, seed in runs:
            folder = out / "runs" / f"{_file_name(variant)}-{seed}"
            path = folder / "result.json"
            if not path.exists():
                display.begin(variant, seed, _spent(folder)["seconds"])
                measures = _one(experiment, variant, seed, folder, device, quick, display)
                write_file(path, f"{json.dumps(measures, allow_nan=False)}\n".encode())
            results.append(json.loads(path.read_text(encoding="utf-8")))
            display.end(variant, results[-1]["seconds"])
    return Results(experiment.name, results, this_machine(device, quick))


def _one(experiment, variant, seed, folder, device, quick, display) -> dict:
    """The measures of one run."""
    work = Work(folder, seed, device, quick, display.watch)
    with _counted(folder):
        measures = experiment.variants[variant](work)
    return rounded({"variant": variant, "seed": seed, **_spent(folder), **measures})


@contextmanager
def _counted(folder):
    """Add the time that goes by inside to what the run has taken before it was interrupted."""
    before, start, cpu = _spent(folder), time.perf_counter(), time.process_time()
    try:
        yield
    finally:
        before["seconds"] += time.perf_counter() - start
        before["cpu_seconds"] += time.process_time() - cpu
        write_file(folder / "spent.json", json.dumps(before).encode())


def _spent(folder) -> dict:
    path = folder / "spent.json"
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8"))
    return {"seconds": 0.0, "cpu_seconds": 0.0}


def _check_plan(out, plan):
    path = out / "plan.json"
    if not path.exists():
        write_file(path, json.dumps(plan).encode())
    elif (then := json.loads(path.read_text(encoding="utf-8"))) != plan:
        raise OtherPlanError(
            f"{out} holds runs that were begun as {then}, but now it is {plan}; "
            "choose another folder with --out, or remove this one"
        )


def _file_name(variant: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in variant).strip("-").lower()


class Display:
    """What a person sees meanwhile: a line for each epoch, a bar, and the time left.

    The time left is that of the runs so far, by their costs, taken on to those that remain.
    """

    def __init__(self, experiment: Experiment, runs):
        self.experiment, self.count = experiment, len(runs)
        self.total = sum(experiment.cost(variant) for variant, _ in runs)
        self.cost = self.seconds = 0.0  # of the runs that are done
        self.done = 0

    def __enter__(self):
        from tqdm import tqdm

        shape = "{percentage:3.0f}%|{bar:20}| {desc}"
        self.bar = tqdm(total=self.total, bar_format=shape, leave=False, disable=None)
        return self

    def __exit__(self, *error):
        self.bar.close()

    def begin(self, variant: str, seed: int, before: float) -> None:
        """A run begins, or goes on after so many seconds."""
        self.name = f"run {self.done + 1} of {self.count}, {variant}, seed {seed}"
        self.now, self.before = self.experiment.cost(variant), before
        self.start = time.perf_counter()

    def watch(self, share: float, text: str, whole: bool = False) -> None:
        """The run has done this share of its work; a line stays if an epoch is whole."""
        cost = self.cost + share * self.now
        seconds = self.seconds + self.before + time.perf_counter() - self.start
        left = (self.total - cost) * seconds / cost if cost else None
        line = f"{self.name}: {text}" + ("" if left is None else f"; {duration(left)} left")
        if whole:
            self.bar.write(line)
        self.bar.n = cost
        self.bar.set_description_str(line)

    def end(self, variant: str, seconds: float) -> None:
        """A run is done, now or before."""
        self.done += 1
        self.cost += self.experiment.cost(variant)
        self.seconds += seconds
