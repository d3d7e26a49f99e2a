"""The command line: `minicnn train`, `minicnn step`; `python -m minicnn` is the same."""

from __future__ import annotations

import argparse
import difflib
import math
import os
import sys
from dataclasses import asdict
from pathlib import Path

import minicnn
from minicnn import backends, data, models

EXAMPLES = {
    "minicnn": """\
examples:
  minicnn train lenet                LeNet learns handwritten digits, in less than a minute
  minicnn step lenet                 walk through one pass, number by number
  minicnn train --help               all settings of a command
""",
    "train": """\
examples:
  minicnn train lenet
  minicnn train lenet --data mnist --epochs 3 --seed 1
  minicnn train lenet --lr 0.02 --batch-size 32 --out runs/small-steps

The lr falls to 0 along half a cosine. The same settings give bit-identical weights again, on the
same machine. MNIST and Fashion-MNIST are downloaded once, unless
MINICNN_DATA names a folder that holds them.
""",
    "step": """\
examples:
  minicnn step lenet
  minicnn step lenet --index 7 --weights runs/lenet-digits/weights.safetensors
""",
}


def main(argv: list[str] | None = None) -> int:
    """Run a command; 0 if all is well, 2 for a wrong argument, 1 for a run that failed, 130 if
    it was interrupted."""
    try:
        options = build_parser().parse_args(argv)
        return options.command(options)
    except SystemExit as stop:  # how argparse ends: help, version, a wrong argument
        return stop.code or 0
    except KeyboardInterrupt:
        print("\nminicnn: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has left, as in `minicnn train ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the last flush
        return 1


# ---------------------------------------------------------------------------
# train
# ---------------------------------------------------------------------------
def train(options) -> int:
    """`minicnn train`."""
    from minicnn.training import DivergenceError
    from minicnn.training.run import Run

    fail = options.parser.fail
    settings = train_settings(options)
    out = options.out or Path("runs") / f"{settings.model}-{settings.data}"
    try:
        run = Run(settings, out, progress=not options.quiet)
    except (data.DataError, OSError) as error:
        return fail(error)
    if not options.quiet:
        print(describe(run), flush=True)
    try:
        run.train()
    except DivergenceError as error:
        return fail(error, code=1)
    if not run.history:
        raise KeyboardInterrupt  # it came before there was anything to save
    try:
        weights, history = run.save()
    except OSError as error:
        return fail(error, code=1)
    n, last = len(run.history), run.history[-1]
    print(
        f"{'interrupted: ' if run.interrupted else ''}{last['val_accuracy']:.2%} of the "
        f"{len(run.test_loader.dataset):,} test images right after {n} epoch{'s'[: n > 1]}, "
        f"{run.seconds:.1f} s\nsaved {weights}\n      {history}"
    )
    return 130 if run.interrupted else 0


def train_settings(options):
    """The settings: what was asked for, and the data set's recipe for the rest."""
    from minicnn.training.recipes import recipe
    from minicnn.training.run import Settings

    chosen = asdict(recipe(options.model, options.data))
    for name in chosen:
        if getattr(options, name) is not None:
            chosen[name] = getattr(options, name)
    try:
        device = backends.check_device(options.device)
    except (ValueError, RuntimeError) as error:
        options.parser.error(str(error))
    backend = options.backend or backends.current_backend()
    if device != "cpu" and options.backend:
        options.parser.error(
            f"--backend {options.backend} chooses who runs arrays on the CPU, but --device is "
            f"{options.device}; leave one of them out"
        )
    if backend == "emulator":
        from minicnn import emulator

        try:
            emulator.find_compiler()
        except emulator.CompilerNotFound as error:
            options.parser.error(str(error))
    return Settings(
        model=options.model,
        data=options.data,
        seed=options.seed,
        threads=options.threads,
        device=device,
        backend=backend if device == "cpu" else "cuda",
        **chosen,
    )


def describe(run) -> str:
    """What is about to be trained, in two lines."""
    s = run.settings
    return (
        f"{s.model} on {s.data}: {run.model.num_parameters():,} parameters, "
        f"{len(run.train_loader.dataset):,} images to learn from, "
        f"{len(run.test_loader.dataset):,} to test\n"
        f"{s.epochs} epochs, batch size {s.batch_size}, lr {s.lr:g}, momentum {s.momentum:g}, "
        f"weight decay {s.weight_decay:g}, seed {s.seed}, {s.device} ({s.backend}, "
        f"{s.threads} thread{'s'[: s.threads > 1]})"
    )


# ---------------------------------------------------------------------------
# step
# ---------------------------------------------------------------------------
def step(options) -> int:
    """`minicnn step`."""
    from minicnn.interop import WeightsError, load_into
    from minicnn.stepper import terminal

    fail = options.parser.fail
    try:
        count = len(data.load(options.data, "test"))
        if options.index >= count:
            return fail(f"--index {options.index}: {options.data} has images 0 to {count - 1}")
        terminal.main(
            options.model,
            data=options.data,
            index=options.index,
            seed=options.seed,
            weights=options.weights,
            load=load_into,
        )
    except (data.DataError, WeightsError, FileNotFoundError) as error:
        return fail(error)
    return 0


# ---------------------------------------------------------------------------
# Arguments
# ---------------------------------------------------------------------------
class Parser(argparse.ArgumentParser):
    """argparse, with every error in one line."""

    def error(self, message):
        self.exit(2, f"{self.prog}: {message} (try {self.prog} --help)\n")

    def fail(self, error, code: int = 2) -> int:
        """Say what went wrong on stderr, in one line; returns the exit code."""
        print(f"{self.prog}: {' '.join(str(error).split())}", file=sys.stderr)
        return code


def number(kind, rule, holds):
    """An argparse type: a number of this kind that keeps the rule."""

    def parse(text):
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not holds(value):
            raise argparse.ArgumentTypeError(f"expects {rule}, but got {text!r}")
        return value

    return parse


def one_of(what, names):
    """An argparse type: one of the names; the error suggests the nearest."""

    def parse(text):
        if text not in names:
            near = difflib.get_close_matches(text, names, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise argparse.ArgumentTypeError(
                f"there is no {what} {text!r}; {hint}choose one of {', '.join(names)}"
            )
        return text

    return parse


COUNT = number(int, "a whole number of 1 or more", lambda v: v >= 1)
INDEX = number(int, "a whole number of 0 or more", lambda v: v >= 0)
LR = number(float, "a number over 0", lambda v: 0 < v < math.inf)
MOMENTUM = number(float, "a number of 0 or more and under 1", lambda v: 0 <= v < 1)
DECAY = number(float, "a number of 0 or more", lambda v: 0 <= v < math.inf)


def by_data(setting) -> str:
    """What a setting is where it is not given: "default: 20 for digits, 10 for mnist"."""
    from minicnn.training.recipes import LR_OF_MODEL, RECIPES

    values = {name: getattr(recipe, setting) for name, recipe in RECIPES.items()}
    if len(set(values.values())) == 1:
        words = [str(values["digits"])]
    else:
        words = [f"{value} for {name}" for name, value in values.items()]
    if setting == "lr":
        words += [f"{value} for {name}" for name, value in LR_OF_MODEL.items()]
    return f"default: {', '.join(words)}"


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    layout = {"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False}
    parser = Parser(
        prog="minicnn",
        description="How convolutional networks work, from a pixel to a trained net.",
        epilog=EXAMPLES["minicnn"],
        **layout,
    )
    parser.add_argument("--version", action="version", version=f"minicnn {minicnn.__version__}")
    parser.set_defaults(command=lambda options: parser.print_help() or 0)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)
    for function, add_arguments, text in (
        (train, add_train_arguments, "train a net and save its weights and history"),
        (step, add_step_arguments, "walk through one pass of a net, forward and backward"),
    ):
        name = function.__name__
        sub = commands.add_parser(
            name, help=text, description=f"{text.capitalize()}.", epilog=EXAMPLES[name], **layout
        )
        sub.set_defaults(command=function, parser=sub)
        text = ", ".join(models.names())
        sub.add_argument("model", metavar="MODEL", type=one_of("model", models.names()), help=text)
        known, text = one_of("data set", data.NAMES), f"{', '.join(data.NAMES)} (default: digits)"
        sub.add_argument("--data", metavar="NAME", type=known, default="digits", help=text)
        add_arguments(sub.add_argument)
    return parser


def add_train_arguments(add):
    for flag, kind, metavar, text in (
        ("epochs", COUNT, "N", "walks over the training images"),
        ("batch-size", COUNT, "N", "images in one step"),
        ("lr", LR, "X", "learning rate at the start"),
        ("momentum", MOMENTUM, "X", "share of the last step that goes into the next"),
        ("weight-decay", DECAY, "X", "pull of the weights towards 0"),
    ):
        text = f"{text} ({by_data(flag.replace('-', '_'))})"
        add(f"--{flag}", type=kind, metavar=metavar, help=text)
    text = "of the first weights and the order of the images (default: 0)"
    add("--seed", type=INDEX, metavar="N", default=0, help=text)
    add("--device", metavar="NAME", default="cpu", help="cpu, or cuda for a GPU (default: cpu)")
    text = f"who computes on a CPU: {', '.join(backends.CHOICES)}"
    text += f" (default: {backends.current_backend()})"
    add("--backend", metavar="NAME", type=one_of("backend", backends.CHOICES), help=text)
    text = "threads of one matrix product; more than one slows LeNet down (default: 1)"
    add("--threads", type=COUNT, metavar="N", default=1, help=text)
    text = "where the files go; older ones there are replaced (default: runs/MODEL-DATA)"
    add("--out", type=Path, metavar="DIR", help=text)
    add("--quiet", action="store_true", help="print the result only")


def add_step_arguments(add):
    add("--index", type=INDEX, metavar="N", default=0, help="which image to take (default: 0)")
    text = "trained weights, as `minicnn train` saves them (default: random ones)"
    add("--weights", type=Path, metavar="FILE", help=text)
    add("--seed", type=INDEX, metavar="N", default=0, help="of random weights (default: 0)")


if __name__ == "__main__":
    sys.exit(main())
