"""`minicnn experiment`."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

EXAMPLES = """\
examples:
  minicnn experiment                  what there is, and what has come out
  minicnn experiment nas              about ten minutes on a laptop
  minicnn experiment nas              again, after Ctrl-C or a power cut: it goes on
  minicnn experiment cifar --quick    a few images of everything, to see that it works

Writes results.json, results.md and results.png to DIR, checkpoints and all else below DIR/runs.
"""
HELP = {
    "help": "do one of the course's experiments, such as transfer learning on flowers",
    "description": "Do one of the course's experiments, on real data, and say what comes out.",
    "epilog": EXAMPLES,
}


def add_arguments(add):
    """The arguments of the command."""
    add("name", metavar="NAME", nargs="?", help="which; without it, all are listed")
    text = "where its files go (default: runs/experiments/NAME, with --quick NAME-quick)"
    add("--out", metavar="DIR", type=Path, help=text)
    add("--device", metavar="NAME", default="cpu", help="cpu, or cuda for a GPU (default: cpu)")
    add("--quick", action="store_true", help="64 images and two epochs of all, as a trial")
    text = "write results.md and results.png again, from results.json"
    add("--report", action="store_true", help=text)


def experiment(options) -> int:
    """Run an experiment, or list them."""
    from minicnn import backends
    from minicnn.arguments import one_of
    from minicnn.training import DivergenceError
    from minicnn.training.experiments import load, names

    if options.name is None:
        print(listing())
        return 0
    try:
        chosen = load(one_of("experiment", names())(options.name))
    except argparse.ArgumentTypeError as error:
        options.parser.error(f"argument NAME: {error}")
    try:
        device = backends.check_device(options.device)
        quick = "-quick" if options.quick else ""
        out = options.out or Path("runs", "experiments", chosen.name + quick)
        with _termination_as_ctrl_c():
            print(_do(options, chosen, out, device))
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on", file=sys.stderr)
        return 130
    except DivergenceError as error:
        return options.parser.fail(error, code=1)
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        return options.parser.fail(error)
    return 0


@contextmanager
def _termination_as_ctrl_c():
    """`kill` and a system that shuts down end a run so that its time so far is counted, too."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are for the main thread alone
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _do(options, chosen, out, device) -> str:
    """What the command says when all is done."""
    from minicnn.training import plots
    from minicnn.training.experiments import Results
    from minicnn.training.experiments.results import page, save
    from minicnn.training.experiments.running import run

    plots.figure(1, 1)  # raises now if matplotlib is not there, not after hours
    if options.report:
        results = Results.read(out / "results.json")
    else:
        results = run(chosen, out, device, options.quick)
    paths = save(chosen, results, out, "results")
    return "\n".join([page(chosen, results), *(f"saved {path}" for path in paths)])


def listing() -> str:
    """All experiments: what they ask, and whether results come with minicnn."""
    from minicnn.training.experiments import committed, load, names
    from minicnn.training.experiments.results import duration

    lines = []
    width = max(map(len, names()))
    for name in names():
        results = committed(name)
        known = "no results yet" if results is None else f"took {duration(results.seconds)}"
        lines.append(f"{name:<{width}}  {load(name).title} ({known})")
    return "\n".join([*lines, "", "minicnn experiment NAME does one; its results are below runs."])
