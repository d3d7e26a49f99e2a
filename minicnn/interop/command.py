"""`minicnn export`."""

from __future__ import annotations

from pathlib import Path

from minicnn.arguments import COUNT, INDEX, image_shape

EXAMPLES = """\
examples:
  minicnn export lenet --onnx lenet.onnx --weights runs/lenet-digits/weights.safetensors
  minicnn export resnet18 --onnx net.onnx --weights net.npz --input 3x32x32 --classes 10

The file takes batches (N, C, H, W) of any N, as prepared as in training, and any program for ONNX
files runs it. Weights that were trained on images of other channels or in other classes than the
net was made for need --input and --classes.
"""


def add_arguments(add):
    """The arguments of the command, but for the model."""
    add("--onnx", type=Path, metavar="FILE", required=True, help="where the net goes")
    text = "trained weights, .safetensors or .npz (default: random ones)"
    add("--weights", type=Path, metavar="FILE", help=text)
    text = "size of an image (default: what the net was made for)"
    add("--input", type=image_shape, metavar="CxHxW", help=text)
    text = "classes that it tells apart (default: as many as it was made for)"
    add("--classes", type=COUNT, metavar="N", help=text)
    add("--seed", type=INDEX, metavar="N", default=0, help="of random weights (default: 0)")


def export(options) -> int:
    """Write a net to an ONNX file."""
    from minicnn.interop import ExportError, export_onnx, load_into

    try:
        model, shape = net_of(options)
        if options.weights is not None:
            load_into(model, options.weights)
        export_onnx(model, options.onnx, shape)
    except (ExportError, ImportError, OSError, ValueError) as error:
        return options.parser.fail(error)
    trained = "untrained (no weights given)" if options.weights is None else options.weights
    print(
        f"{options.model}, {model.num_parameters():,} parameters, {trained}, for images of "
        f"{'x'.join(map(str, shape))}\nsaved {options.onnx}"
    )
    return 0


def net_of(options):
    """(the net, the size of one image) that were asked for."""
    from minicnn import manual_seed, models

    made_for = models.info(options.model).input_shape
    shape = options.input or made_for
    if len(shape) != len(made_for):
        raise ValueError(
            f"{options.model} takes images of {'x'.join(map(str, made_for))}, but --input has "
            f"{len(shape)} numbers; give {len(made_for)}"
        )
    settings = {}
    if shape[-3] != made_for[-3]:
        settings["in_channels"] = shape[-3]
    if options.classes is not None:
        settings["num_classes"] = options.classes
    manual_seed(options.seed)
    try:
        return models.build(options.model, **settings), shape
    except TypeError as error:  # the builder takes no such setting
        raise ValueError(
            f"{options.model} has no choice of {' and '.join(settings)}; leave out --classes, and "
            f"give --input with {made_for[-3]} channels"
        ) from error
