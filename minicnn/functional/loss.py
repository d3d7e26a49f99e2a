"""Losses."""

from __future__ import annotations

import numpy as np

from minicnn.backends import to_device
from minicnn.ops.arithmetic import check_float
from minicnn.ops.loss import SoftmaxCrossEntropy
from minicnn.tensor import Tensor


def cross_entropy(input, target) -> Tensor:
    """Mean softmax cross-entropy of scores against class numbers.

    L = 1/N sum over n of -log p[n, target[n]], with p[n,k] = e^input[n,k] / sum over l of
    e^input[n,l].

    Parameters
    ----------
    input : Tensor (N, K)
        Scores (logits), not probabilities.
    target : integer Tensor or array (N,)
        The right class of each row, 0 to K - 1.

    Returns
    -------
    Tensor ()
        The mean loss in nats.

    Raises
    ------
    ValueError
        If shapes do not fit together, N is 0, or a class is out of range.
    TypeError
        If input is not float32 or float64, or target holds no integers.
    """
    x = check_float("cross_entropy", input)
    t = target if isinstance(target, Tensor) else Tensor(target)
    if x.ndim != 2 or 0 in x.shape:
        raise ValueError(
            f"cross_entropy: input expects scores (N, K), none of size 0, but has {x.shape}"
        )
    if t.dtype.kind not in "iu":
        raise TypeError(
            f"cross_entropy: target expects integer class numbers, but is {t.dtype}; "
            "convert it with .to(np.int64)"
        )
    if t.shape != x.shape[:1]:
        raise ValueError(
            f"cross_entropy: target expects one class per row of input, shape ({x.shape[0]},), "
            f"but has {t.shape}"
        )
    classes = Tensor._wrap(to_device(t._data, x.device).astype(np.int64, copy=False))
    low, high = int(classes._data.min()), int(classes._data.max())
    if low < 0 or high >= x.shape[1]:
        raise ValueError(
            f"cross_entropy: target expects classes 0 to {x.shape[1] - 1} (input.shape[1] - 1), "
            f"but holds {low if low < 0 else high}"
        )
    return SoftmaxCrossEntropy.apply(x, classes)
