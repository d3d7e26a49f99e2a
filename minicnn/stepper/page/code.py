"""The source text of operations, as the page's Code tab shows it: loops, numpy, cuda."""

from __future__ import annotations

import inspect
import textwrap
from functools import cache

from minicnn.backends import loops
from minicnn.paths import kernels_dir
from minicnn.stepper.page.lines import lines_of

# The kernel file to read first for an operation; kernels/README.md names the faster rungs.
KERNELS = {
    "Conv2d": "conv/naive.cu", "DepthwiseConv2d": "conv/depthwise.cu", "Im2Col": "conv/im2col.cu",
    "Col2Im": "conv/col2im.cu", "Linear": "matmul/tiled.cu", "MatMul": "matmul/tiled.cu",
    "ReLU": "activation/activation.cu", "Softmax": "activation/softmax.cu",
    "MaxPool2d": "pooling/max_pool.cu", "AvgPool2d": "pooling/avg_pool.cu",
    "AdaptiveAvgPool2d": "pooling/adaptive_pool.cu", "Dropout": "dropout/dropout.cu",
    "BatchNorm": "normalization/batch_norm.cu", "Moments": "normalization/batch_norm.cu",
    "LocalResponseNorm": "normalization/local_response_norm.cu",
    "SoftmaxCrossEntropy": "loss/softmax_cross_entropy.cu",
}  # fmt: skip


def sources(steps) -> dict:
    """For each operation that ran, by name: its drawings, and where each of them stands.

    Returns
    -------
    dict
        operation -> {"loops": {...}, "numpy": {...}, "cuda": {...}}, each with "file", "line",
        "text" and "marks", see `lines.lines_of`.
    """
    return {
        step.operation: drawings(type(step.op), step.operation, step.ours)
        for step in steps
        if step.direction == "forward"
    }


@cache
def drawings(cls, name, ours) -> dict:
    """The source of an operation's class, and of its nested loops where there are some."""
    textbook = next(c for c in reversed(cls.__mro__) if c.__name__ == name)
    classes = {"loops": loops.OPERATIONS.get(name) if ours else None, "numpy": textbook}
    found = {key: source(drawn) for key, drawn in classes.items() if drawn}
    if ours and name in KERNELS:
        text = (kernels_dir() / KERNELS[name]).read_text(encoding="utf-8")
        found["cuda"] = {"file": f"kernels/{KERNELS[name]}", "line": 1, "text": text}
    found = {key: text for key, text in found.items() if text}
    for key, drawn in found.items():
        drawn["marks"] = lines_of(name, key, drawn["text"]) if ours else {}
    return found


def source(cls) -> dict | None:
    """Where an operation is written down, and its text; None if that cannot be read."""
    cls = next(c for c in cls.__mro__ if "forward" in vars(c))  # it may be its parent's
    try:
        lines, first = inspect.getsourcelines(cls)
    except (OSError, TypeError):  # made in an interpreter: there is no file
        return None
    folder, package, inside = inspect.getsourcefile(cls).replace("\\", "/").rpartition("/minicnn/")
    return {
        "file": f"minicnn/{inside}" if package else inside.rpartition("/")[2],
        "line": first,
        "text": textwrap.dedent("".join(lines)),
    }
