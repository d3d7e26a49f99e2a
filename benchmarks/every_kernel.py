"""Runs every function of the contract once on the GPU, forward and backward: for compute-sanitizer.

Shapes are those that hypothesis draws first, so they are small and ragged. The rungs of the
convolution ladder are tried on a size just over one tile.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from minicnn import Tensor
from minicnn.backends.cuda import convolution, matmul
from minicnn.checks import strategies


def functions():
    """One case of every function, in float32."""
    for name in sorted(strategies.FUNCTIONS):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # hypothesis says that example() is not for tests
            case = getattr(strategies, name)().example().astype(np.float32)
        tensors = [None if t is None else t.to("cuda") for t in case.tensors()]
        y = case.run(tensors)
        if y.requires_grad:
            y.backward(Tensor(np.ones(y.shape, y.dtype)).to("cuda"))


def rungs():
    """Every rung of the two ladders, in every direction."""
    import cupy

    a, b = cupy.ones((132, 36), np.float32), cupy.ones((36, 132), np.float32)
    for rung in matmul.RUNGS:
        matmul.matmul(a, b, rung=rung)
    x, w = cupy.ones((1, 12, 13, 11), np.float32), cupy.ones((132, 12, 3, 3), np.float32)
    settings = {"padding": (1, 1)}
    for rung in convolution.RUNGS:
        y = convolution.forward(x, w, algorithm=rung, **settings)
        convolution.input_gradient(y, w, x.shape, algorithm=rung, **settings)
        convolution.weight_gradient(x, y, w.shape, algorithm=rung, **settings)


if __name__ == "__main__":
    functions()
    rungs()
