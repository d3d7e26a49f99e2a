"""`minicnn step-kernel`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

EXAMPLES = """\
examples:
  minicnn step-kernel conv/im2col.cu                      the file's first kernel, thread 0
  minicnn step-kernel matmul/tiled.cu --thread 3,5 --block 1
  minicnn step-kernel loss/softmax_cross_entropy.cu softmax_cross_entropy_backward
  minicnn step-kernel my_im2col.cu im2col                 your own, if minicnn's takes the same
  minicnn step-kernel conv/im2col.cu < /dev/null          prints all steps

The launch is the one that minicnn itself makes for a small operation. It runs in the emulator: no
GPU is needed, but a C++ compiler is, and Linux on x86-64.
"""
HELP = {
    "help": "walk through one thread of a CUDA kernel, line by line",
    "description": "Walk through one thread of a CUDA kernel, line by line.",
    "epilog": EXAMPLES,
}


def index(text: str) -> tuple[int, ...]:
    """An argparse type: "3" or "3,5" or "3,5,0" as a tuple, x first."""
    parts = text.split(",")
    if len(parts) > 3 or not all(part.strip().isdigit() for part in parts):
        raise argparse.ArgumentTypeError(f"expects 1 to 3 whole numbers, x,y,z, but got {text!r}")
    return tuple(map(int, parts))


def add_arguments(add, count) -> None:
    """The arguments of `minicnn step-kernel`; `count` is argparse's type for 1, 2, 3, ..."""
    add("file", metavar="FILE", help="a .cu file, here or below kernels/, such as conv/im2col.cu")
    add("kernel", metavar="KERNEL", nargs="?", help="one of its kernels (default: the first)")
    add("--thread", metavar="X,Y,Z", type=index, default=(0,), help="threadIdx (default: 0)")
    add("--block", metavar="X,Y,Z", type=index, default=(0,), help="blockIdx (default: 0)")
    text = "steps to record at most (default: 10000)"
    add("--limit", metavar="N", type=count, default=10_000, help=text)
    add("--json", metavar="FILE", type=Path, help="write all steps there instead of walking")


def step_kernel(options) -> int:
    """`minicnn step-kernel`."""
    from minicnn import emulator
    from minicnn.stepper.kernel_examples import example
    from minicnn.stepper.kernel_terminal import walk_kernel
    from minicnn.stepper.terminal import print_text

    try:
        found = example(options.file, options.kernel)
        walk = emulator.step(
            found.kernel, found.grid, found.block, found.args, found.shared_mem,
            block_index=options.block, thread=options.thread, limit=options.limit,
        )  # fmt: skip
        if options.json is not None:
            text = json.dumps(walk.to_json(), allow_nan=False)
            options.json.write_text(text, encoding="utf-8")
            print_text(f"{len(walk)} steps saved: {options.json}")
            return 0
    except (ValueError, OSError, emulator.EmulatorError) as error:
        return options.parser.fail(error)
    walk_kernel(walk)
    return 0
