"""`minicnn bench`."""

from __future__ import annotations

import argparse
from pathlib import Path

from minicnn import backends

EXAMPLES = """\
examples:
  minicnn bench resnet18                     how long a training step and inference take
  minicnn bench --profile resnet18           and which operations take it
  minicnn bench --profile resnet18 --picture resnet18.png

The benchmark that compares with PyTorch is `make bench`, in a checkout.
"""


def count(text: str) -> int:
    """An argparse type: 1 or more."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expects a whole number of 1 or more, but got {text!r}")
    return int(text)


def add_arguments(add):
    """The arguments of the command, but for the model."""
    add("--profile", action="store_true", help="show the time of every operation")
    add("--batch", type=count, metavar="N", default=4, help="images in a step (default: 4)")
    add("--inference", action="store_true", help="inference alone, not a training step")
    add("--steps", type=count, metavar="N", default=5, help="steps to take the median of (5)")
    text = f"who computes: {', '.join(backends.CHOICES)} (default: {backends.current_backend()})"
    add("--backend", choices=backends.CHOICES, metavar="NAME", default=None, help=text)
    add("--picture", type=Path, metavar="FILE", help="save a bar picture (needs matplotlib)")


def bench(options) -> int:
    """Time a net."""
    from minicnn.analysis.profile import profile

    modes = (False,) if options.inference else (True, False)
    with backends.use_backend(options.backend or backends.current_backend()):
        found = [
            profile(options.model, options.batch, training=mode, steps=options.steps)
            for mode in (modes[:1] if options.profile or options.picture else modes)
        ]
    for each in found:
        if options.profile:
            print(each)
        else:
            images = options.batch / each.seconds
            print(f"{each.title}: {1e3 * each.seconds:.1f} ms, {images:.1f} images/s")
    if options.picture:
        try:
            found[0].plot().savefig(options.picture, dpi=150)
        except (ImportError, OSError, ValueError) as error:
            return options.parser.fail(error, code=1)
        print(f"saved {options.picture}")
    return 0
