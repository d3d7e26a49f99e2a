"""`minicnn summary`."""

from __future__ import annotations

import argparse

EXAMPLES = """\
examples:
  minicnn summary resnet50
  minicnn summary resnet50 --depth 2       one row for each block
  minicnn summary lenet --input 1x32x32

from     the rows it takes its input from, where that is not just the row above
memory   what it keeps for the walk back, for one image
field    receptive field: how many pixels high and wide a unit sees
"""


def input_shape(text: str) -> tuple[int, ...]:
    """An argparse type: "3x224x224" as (3, 224, 224)."""
    parts = text.lower().replace("×", "x").split("x")
    if not parts or not all(part.isdigit() and int(part) > 0 for part in parts):
        raise argparse.ArgumentTypeError(
            f"expects channels, height and width, such as 3x224x224, but got {text!r}"
        )
    return tuple(map(int, parts))


def depth(text: str) -> int:
    """An argparse type: 1 or more."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expects a whole number of 1 or more, but got {text!r}")
    return int(text)


def add_arguments(add):
    """The arguments of the command, but for the model."""
    text = "size of the image (default: what the net was made for)"
    add("--input", metavar="CxHxW", type=input_shape, help=text)
    text = "show modules that lie deeper than this as one row (default: show all)"
    add("--depth", metavar="N", type=depth, help=text)


def summary(options) -> int:
    """Print the summary of a net."""
    from minicnn import analysis

    try:
        print(analysis.summary(options.model, options.input, options.depth))
    except ValueError as error:  # an image that the net does not take
        return options.parser.fail(error)
    return 0
