"""`minicnn train`."""

from __future__ import annotations

import math
import sys
from dataclasses import asdict
from pathlib import Path

from minicnn import backends
from minicnn.arguments import COUNT, INDEX, number, one_of
from minicnn.data import DataError

EXAMPLES = """\
examples:
  minicnn train lenet
  minicnn train lenet --data mnist --epochs 3 --seed 1
  minicnn train lenet --lr 0.02 --batch-size 32 --out runs/small-steps
  minicnn train lenet --optimizer adam --schedule one-cycle --out runs/adam
  minicnn train lenet --resume       after a power cut, or Ctrl-C

The same settings give bit-identical weights again, on the same machine, also with a break and
--resume. MNIST and Fashion-MNIST are downloaded once, unless
MINICNN_DATA names a folder that holds them.
"""
LR = number(float, "a number over 0", lambda v: 0 < v < math.inf)
MOMENTUM = number(float, "a number of 0 or more and under 1", lambda v: 0 <= v < 1)
DECAY = number(float, "a number of 0 or more", lambda v: 0 <= v < math.inf)


def train(options) -> int:
    """`minicnn train`."""
    from minicnn.interop import WeightsError
    from minicnn.training import DivergenceError
    from minicnn.training.fitting import MisfitError
    from minicnn.training.run import Run

    fail = options.parser.fail
    out = options.out or Path("runs") / f"{options.model}-{options.data}"
    try:
        settings = resumed_settings(options, out) if options.resume else train_settings(options)
        run = Run(settings, out, not options.quiet, options.keep, options.resume)
    except (DataError, MisfitError, WeightsError, OSError) as error:
        return fail(error)
    if not options.quiet:
        print(describe(run), flush=True)
    if run.replaces:
        print(
            "{}: the run in {}, at epoch {} of {}, is replaced when this one's first epoch is over "
            "(--resume would go on with it)".format(options.parser.prog, out, *run.replaces),
            file=sys.stderr,
        )
    try:
        run.train()
    except (DivergenceError, OSError) as error:
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

    chosen = asdict(recipe(options.model, options.data, options.optimizer or "sgd"))
    for name in chosen:
        if getattr(options, name) is not None:
            chosen[name] = getattr(options, name)
    if options.momentum is not None and chosen["optimizer"] != "sgd":
        options.parser.error("--momentum is a setting of sgd, not of adam; leave one of them out")
    device = known_device(options, options.device or "cpu")
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
        seed=options.seed or 0,
        threads=options.threads or 1,
        device=device,
        backend=backend if device == "cpu" else "cuda",
        **chosen,
    )


def known_device(options, name) -> str:
    """The device's full name, or the end of the command if there is none of that name."""
    try:
        return backends.check_device(name)
    except (ValueError, RuntimeError) as error:
        options.parser.error(str(error))


def resumed_settings(options, out):
    """The settings of the run in `out`; what is given beside --resume must be the same."""
    from minicnn.training.run import saved_settings

    settings = saved_settings(out)
    for name, value in asdict(settings).items():
        given = getattr(options, name)
        if name == "device" and given:
            given = known_device(options, given)
        if given not in (None, value):
            flag = name if name == "model" else f"--{name.replace('_', '-')}"
            options.parser.error(
                f"the run in {out} was begun with {flag} {value}, but now it is {given}; "
                f"leave it out, or start another run without --resume"
            )
    known_device(options, settings.device)  # it may have been another machine
    return settings


def describe(run) -> str:
    """What is about to be trained, in two lines."""
    s = run.settings
    return (
        f"{s.model} on {s.data}: {run.model.num_parameters():,} parameters, "
        f"{len(run.train_loader.dataset):,} images to learn from, "
        f"{len(run.test_loader.dataset):,} to test\n"
        f"{s.epochs} epochs, batch size {s.batch_size}, {s.optimizer}, lr {s.lr:g} ({s.schedule}), "
        f"{f'momentum {s.momentum:g}, ' if s.optimizer == 'sgd' else ''}"
        f"weight decay {s.weight_decay:g}, seed {s.seed}, {s.device} ({s.backend}, "
        f"{s.threads} thread{'s'[: s.threads > 1]})"
        + (f"\ngoing on after epoch {len(run.history)}" if run.trainer.resumed else "")
    )


# ---------------------------------------------------------------------------
# Arguments
# ---------------------------------------------------------------------------
def add_arguments(add):
    """The arguments of the command, but for the model and the data set."""
    from minicnn.training.recipes import OPTIMIZERS, SCHEDULES

    for flag, kind, metavar, text in (
        ("epochs", COUNT, "N", "walks over the training images"),
        ("batch-size", COUNT, "N", "images in one step"),
        ("lr", LR, "X", "learning rate at the start"),
        ("momentum", MOMENTUM, "X", "share of the last step that goes into the next"),
        ("weight-decay", DECAY, "X", "pull of the weights towards 0"),
    ):
        text = f"{text} ({by_data(flag.replace('-', '_'))})"
        add(f"--{flag}", type=kind, metavar=metavar, help=text)
    for flag, names, default in (
        ("optimizer", OPTIMIZERS, "sgd"),
        ("schedule", SCHEDULES, "cosine"),
    ):
        text = f"{', '.join(names)} (default: {default})"
        add(f"--{flag}", type=one_of(flag, names), metavar="NAME", help=text)
    text = "of the first weights and the order of the images (default: 0)"
    add("--seed", type=INDEX, metavar="N", help=text)
    add("--device", metavar="NAME", help="cpu, or cuda for a GPU (default: cpu)")
    text = f"who computes on a CPU: {', '.join(backends.CHOICES)}"
    text += f" (default: {backends.current_backend()})"
    add("--backend", metavar="NAME", type=one_of("backend", backends.CHOICES), help=text)
    text = "threads of one matrix product; more than one slows LeNet down (default: 1)"
    add("--threads", type=COUNT, metavar="N", help=text)
    text = "where the files go; older ones there are replaced (default: runs/MODEL-DATA)"
    add("--out", type=Path, metavar="DIR", help=text)
    text = "go on with the run in DIR, with its settings, to the bits it would have come to"
    add("--resume", action="store_true", help=text)
    text = "checkpoints to keep, of those written after each epoch (default: 1)"
    add("--keep", type=COUNT, metavar="N", default=1, help=text)
    add("--quiet", action="store_true", help="print the result only")


def by_data(setting) -> str:
    """What a setting is where it is not given: "default: 20 for digits, 10 for mnist"."""
    from minicnn.training.recipes import LR_OF_ADAM, LR_OF_MODEL, RECIPES

    values = {name: getattr(recipe, setting) for name, recipe in RECIPES.items()}
    if len(set(values.values())) == 1:
        words = [str(values["digits"])]
    else:
        words = [f"{value} for {name}" for name, value in values.items()]
    if setting == "lr":
        words += [f"{value} for {name}" for name, value in LR_OF_MODEL.items()]
        words += [f"{LR_OF_ADAM} with adam"]
    return f"default: {', '.join(words)}"
