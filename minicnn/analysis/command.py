"""`minicnn summary`."""

from __future__ import annotations

from minicnn.arguments import COUNT, image_shape

EXAMPLES = """\
examples:
  minicnn summary resnet50
  minicnn summary resnet50 --depth 2       one row for each block
  minicnn summary lenet --input 1x32x32

from     the rows it takes its input from, where that is not just the row above
memory   what it keeps for the walk back, for one image
field    receptive field: how many pixels high and wide a unit sees
"""


def add_arguments(add):
    """The arguments of the command, but for the model."""
    text = "size of the image (default: what the net was made for)"
    add("--input", metavar="CxHxW", type=image_shape, help=text)
    text = "show modules that lie deeper than this as one row (default: show all)"
    add("--depth", metavar="N", type=COUNT, help=text)


def summary(options) -> int:
    """Print the summary of a net."""
    from minicnn import analysis

    try:
        print(analysis.summary(options.model, options.input, options.depth))
    except ValueError as error:  # an image that the net does not take
        return options.parser.fail(error)
    return 0
