"""What the tape and the checks of arguments add to an operation.

Arrays here are so small that there is little else: 4 channels of 6x6 pixels. The time of an
operation's own `forward` is taken inside the call; what the call takes beyond that is the tape's.
PyTorch's time is that of the whole call, on one thread.
"""

from __future__ import annotations

import time
import timeit
from functools import partial
from types import SimpleNamespace

import numpy as np

CASES = {  # the same for both libraries: F is `functional`, t holds the tensors
    "relu": lambda F, t: F.relu(t.x),
    "add": lambda F, t: t.x + t.x,
    "sum": lambda F, t: t.x.sum(),
    "flatten": lambda F, t: t.x.flatten(1),
    "linear": lambda F, t: F.linear(t.rows, t.rows, t.c),
    "max_pool2d": lambda F, t: F.max_pool2d(t.x, 2),
    "avg_pool2d": lambda F, t: F.avg_pool2d(t.x, 2),
    "dropout": lambda F, t: F.dropout(t.x, 0.5, training=True),
    "batch_norm, evaluation": lambda F, t: F.batch_norm(t.x, t.mean, t.var, t.c, t.c),
    "conv2d 1x1": lambda F, t: F.conv2d(t.x, t.w1, t.c),
    "conv2d 3x3": lambda F, t: F.conv2d(t.x, t.w3, t.c, padding=1),
    "conv2d depthwise": lambda F, t: F.conv2d(t.x, t.wd, t.c, padding=1, groups=4),
    "cross_entropy": lambda F, t: F.cross_entropy(t.rows, t.classes),
}
SHAPES = {
    "x": (1, 4, 6, 6), "rows": (4, 4), "c": (4,),
    "w1": (4, 4, 1, 1), "w3": (4, 4, 3, 3), "wd": (4, 1, 3, 3),
}  # fmt: skip
CALLS = 2000


def tensors(learnt, constant):
    """The cases' tensors; `learnt` and `constant` make one of an array."""
    random = np.random.default_rng(0)
    made = {k: learnt(random.standard_normal(shape, np.float32)) for k, shape in SHAPES.items()}
    made |= {k: constant(np.ones(4, np.float32)) for k in ("mean", "var")}
    return SimpleNamespace(**made, classes=constant(np.arange(4)))


def ours() -> dict:
    """{case: (the whole call, what is the tape's)}, the least of many, in microseconds."""
    import minicnn

    t, found = tensors(lambda a: minicnn.Tensor(a, requires_grad=True), minicnn.Tensor), {}
    for name, case in CASES.items():
        kind = type(case(minicnn.functional, t)._entry)
        forward, inside = kind.forward, 0.0

        def timed(op, *arrays, forward=forward):
            nonlocal inside
            begin = time.perf_counter()
            y = forward(op, *arrays)
            inside = time.perf_counter() - begin
            return y

        kind.forward, pairs = timed, []
        try:
            for _ in range(CALLS):
                begin = time.perf_counter()
                case(minicnn.functional, t)
                whole = time.perf_counter() - begin
                pairs.append((1e6 * whole, 1e6 * (whole - inside)))
        finally:
            kind.forward = forward
        found[name] = tuple(map(min, zip(*pairs)))
    return found


def pytorch() -> dict:
    """{case: the whole call}, the least of many, in microseconds."""
    import torch

    t = tensors(lambda a: torch.from_numpy(a).requires_grad_(), torch.from_numpy)
    calls = {name: partial(case, torch.nn.functional, t) for name, case in CASES.items()}
    return {
        name: 1e6 * min(timeit.repeat(call, number=1, repeat=CALLS)) for name, call in calls.items()
    }
