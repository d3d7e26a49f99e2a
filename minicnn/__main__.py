"""The command line: `minicnn train` and the other commands; `python -m minicnn` is the same."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import minicnn
from minicnn import data, models
from minicnn.analysis import bench_command
from minicnn.analysis import command as analysis
from minicnn.arguments import COUNT, INDEX, Parser, one_of
from minicnn.grading import command as grade_command
from minicnn.interop import command as export_command
from minicnn.stepper import kernel_command
from minicnn.training import command as report_command
from minicnn.training import train_command
from minicnn.training.experiments import command as experiment_command

EXAMPLES = {
    "minicnn": """\
examples:
  minicnn train lenet                LeNet learns handwritten digits, in less than a minute
  minicnn report runs/lenet-digits   how that went, and what it gets wrong
  minicnn step lenet                 walk through one pass, number by number
  minicnn step-kernel conv/im2col.cu walk through one CUDA thread, line by line; no GPU needed
  minicnn summary resnet50           what runs in it: shapes, parameters, MACs, memory
  minicnn export lenet --onnx FILE   a file that other programs run
  minicnn experiment                 the course's experiments, each one command
  minicnn grade FOLDER               mark the exercises in a class's notebooks
  minicnn train --help               all settings of a command
""",
    "train": train_command.EXAMPLES,
    "summary": analysis.EXAMPLES,
    "export": export_command.EXAMPLES,
    "bench": bench_command.EXAMPLES,
    "step": """\
examples:
  minicnn step lenet
  minicnn step lenet --index 7 --weights runs/lenet-digits/weights.safetensors
  minicnn step cifar_resnet20 --page resnet20.html
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
# step
# ---------------------------------------------------------------------------
def step(options) -> int:
    """`minicnn step`."""
    from minicnn.interop import WeightsError, load_into
    from minicnn.stepper import terminal
    from minicnn.training.fitting import MisfitError

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
            page=options.page,
        )
    except (data.DataError, MisfitError, WeightsError, FileNotFoundError) as error:
        return fail(error)
    return 0


# ---------------------------------------------------------------------------
# Arguments
# ---------------------------------------------------------------------------
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
        (train_command.train, train_command.add_arguments,
         "train a net and save its weights and history"),
        (step, add_step_arguments, "walk through one pass of a net, forward and backward"),
        (analysis.summary, analysis.add_arguments, "show what runs in a net, and what it costs"),
        (bench_command.bench, bench_command.add_arguments, "time a net, operation by operation"),
        (export_command.export, export_command.add_arguments, "write a net to an ONNX file"),
    ):  # fmt: skip
        name = function.__name__
        sub = commands.add_parser(
            name, help=text, description=f"{text.capitalize()}.", epilog=EXAMPLES[name], **layout
        )
        sub.set_defaults(command=function, parser=sub)
        on_data = name in ("train", "step")  # the others look at the net alone
        names = models.names("classification" if on_data else None)
        known, text = one_of("model", names), ", ".join(names)
        sub.add_argument("model", metavar="MODEL", type=known, help=text)
        if on_data:
            known = one_of("data set", data.NAMES)
            text = f"{', '.join(data.NAMES)} (default: digits)"
            sub.add_argument("--data", metavar="NAME", type=known, default="digits", help=text)
        add_arguments(sub.add_argument)
    sub = commands.add_parser("step-kernel", **kernel_command.HELP, **layout)
    sub.set_defaults(command=kernel_command.step_kernel, parser=sub)
    kernel_command.add_arguments(sub.add_argument, COUNT)
    sub = commands.add_parser("report", **report_command.HELP, **layout)
    sub.set_defaults(command=report_command.report, parser=sub)
    report_command.add_arguments(sub.add_argument)
    sub = commands.add_parser("experiment", **experiment_command.HELP, **layout)
    sub.set_defaults(command=experiment_command.experiment, parser=sub)
    experiment_command.add_arguments(sub.add_argument)
    sub = commands.add_parser("grade", **grade_command.HELP, **layout)
    sub.set_defaults(command=grade_command.grade_command, parser=sub)
    grade_command.add_arguments(sub.add_argument)
    return parser


def add_step_arguments(add):
    add("--index", type=INDEX, metavar="N", default=0, help="which image to take (default: 0)")
    text = "trained weights, as `minicnn train` saves them (default: random ones)"
    add("--weights", type=Path, metavar="FILE", help=text)
    add("--seed", type=INDEX, metavar="N", default=0, help="of random weights (default: 0)")
    text = "write the steps as a page for a browser, in place of walking them here"
    add("--page", type=Path, metavar="FILE", help=text)


if __name__ == "__main__":
    sys.exit(main())
