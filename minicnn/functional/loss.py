"""Losses."""

from __future__ import annotations

import operator
from math import prod

import numpy as np

from minicnn.backends import to_device, xp
from minicnn.functional.arguments import as_number, check_same_dtype
from minicnn.ops.loss import (
    CapsuleMargin,
    NegativeLogLikelihood,
    SoftmaxCrossEntropy,
    SoftTargetCrossEntropy,
    SquaredError,
)
from minicnn.ops.operands import beside, check_float
from minicnn.tensor import Tensor, as_array

REDUCTIONS = ("none", "mean", "sum")


# ---------------------------------------------------------------------------
# Losses of class scores
# ---------------------------------------------------------------------------
def cross_entropy(
    input, target, weight=None, *, ignore_index=-100, reduction="mean", label_smoothing=0.0
) -> Tensor:
    """Softmax cross-entropy of scores against classes, or against probabilities of classes.

    With p the softmax of input along the class axis, each row n (a sample, or a pixel of one) has
    the loss L[n] = sum over k of -w[k] q[n,k] ln p[n,k]. Here q[n] is the target distribution: 1
    for the class target[n] and 0 for the others, or target[n] itself; label smoothing s makes it
    (1 - s) q + s / K.

    Parameters
    ----------
    input : Tensor (K,), (N, K) or (N, K, d1, ...)
        Scores (logits), not probabilities.
    target : integers (), (N,) or (N, d1, ...); or floats of input's shape
        The right classes, 0 to K - 1; or probabilities of all classes, which can want a gradient.
    weight : Tensor or array (K,), optional
        Weights w of the classes: constants.
    ignore_index : int
        Rows of this class count as 0 and are left out of the mean. Not for probabilities.
    reduction : "mean", "sum" or "none"
        The mean over rows is weighted: the sum of L[n] divided by the sum of w[target[n]]. With
        probabilities it is divided by the number of rows, as in PyTorch. Where all rows are
        ignored the mean is NaN, as in PyTorch, and its gradient 0.
    label_smoothing : float
        s, 0 to 1. Szegedy et al., "Rethinking the Inception architecture", 2016.

    Returns
    -------
    Tensor ()
        In nats; target's shape (input's without the class axis) with reduction="none".

    Raises
    ------
    ValueError
        If shapes do not fit together, a mean has no rows, or a value is out of range.
    TypeError
        If input is not float32 or float64, or target holds neither integers nor floats.

    0 ln 0 counts as 0, where PyTorch gives NaN.
    """
    name = "cross_entropy"
    x = _scores(name, input, reduction)
    smoothing = as_number(
        name, "label_smoothing", label_smoothing, "from 0 to 1", lambda s: 0 <= s <= 1
    )
    w = _class_weights(name, weight, x)
    target, K = _as_tensor(target, x), _classes(x)
    if target.dtype.kind == "f" and target.shape == x.shape:
        if _ignored(name, ignore_index) >= 0:
            raise ValueError(
                f"{name}: ignore_index expects class numbers in target, but target holds "
                f"probabilities and ignore_index is {ignore_index}; leave it out"
            )
        check_same_dtype(name, x, target=target)
        q = _rows(target)
        q = q * (1 - smoothing) + smoothing / K if smoothing else q
        y = SoftTargetCrossEntropy.apply(_rows(x), q if w is None else q * Tensor._wrap(w))
        return _reduced(y, reduction, x, y.size)
    t, kept = _class_numbers(name, target, x, ignore_index)
    if w is None and kept is None and reduction == "mean" and smoothing == 0:
        return SoftmaxCrossEntropy.apply(_rows(x), Tensor._wrap(t))
    lib = xp(t)
    kept = lib.ones(t.shape, bool) if kept is None else kept
    w = lib.ones(K, x.dtype) if w is None else w
    q = (1 - smoothing) * (t[:, None] == lib.arange(K)) + smoothing / K
    q = (q * w * kept[:, None]).astype(x.dtype)
    y = SoftTargetCrossEntropy.apply(_rows(x), Tensor._wrap(q))
    return _reduced(y, reduction, x, float((w[t] * kept).sum(dtype=np.float64)))


def nll_loss(input, target, weight=None, *, ignore_index=-100, reduction="mean") -> Tensor:
    """Negative log-likelihood: L[n] = -w[target[n]] input[n, target[n]] for each row n.

    nll_loss(log_softmax(x, 1), target) is cross_entropy(x, target).

    Parameters
    ----------
    input : Tensor (K,), (N, K) or (N, K, d1, ...)
        Logarithms of probabilities.
    target : integers (), (N,) or (N, d1, ...)
        The right classes, 0 to K - 1.
    weight, ignore_index, reduction
        As for `cross_entropy`. A row of weight 0 counts as 0 even where input is -infinity.

    Returns and Raises are those of `cross_entropy`.
    """
    x = _scores("nll_loss", input, reduction)
    w = _class_weights("nll_loss", weight, x)
    t, kept = _class_numbers("nll_loss", _as_tensor(target, x), x, ignore_index)
    share = xp(t).ones(t.shape, x.dtype) if w is None else w[t]
    share = share if kept is None else share * kept
    y = NegativeLogLikelihood.apply(_rows(x), Tensor._wrap(t), Tensor._wrap(share))
    return _reduced(y, reduction, x, float(share.sum(dtype=np.float64)))


def margin_loss(
    input, target, *, m_plus=0.9, m_minus=0.1, down_weight=0.5, reduction="mean"
) -> Tensor:
    """Margin loss of capsules: a class that is there is a long vector, any other a short one.

    L[n] = sum over k of T max(0, m_plus - v)^2 + down_weight (1 - T) max(0, v - m_minus)^2, with
    v = input[n,k], and T = 1 where class k is there, else 0. Not in PyTorch.

    Parameters
    ----------
    input : Tensor (N, K)
        Lengths of the class capsules.
    target : integers (N,), or bools or integers 0 and 1 (N, K)
        The class of each row; or T, where there can be several.
    m_plus, m_minus, down_weight : float
    reduction : "mean", "sum" or "none"
        Over rows.

    Returns
    -------
    Tensor ()
        (N,) with reduction="none".

    Raises
    ------
    ValueError, TypeError
        If an argument breaks the rules above.

    Sabour, Frosst, Hinton, "Dynamic routing between capsules", 2017.
    """
    name = "margin_loss"
    numbers = {"m_plus": m_plus, "m_minus": m_minus, "down_weight": down_weight}
    for key, value in numbers.items():
        numbers[key] = as_number(name, key, value, "that is finite", np.isfinite)
    x = _scores(name, input, reduction)
    if x.ndim != 2:
        raise ValueError(f"{name}: input expects lengths (N, K), but has {x.shape}")
    target = _as_tensor(target, x)
    if target.dtype.kind in "biu" and target.shape == x.shape:
        t = to_device(target._data, x.device)
        if ((t != 0) & (t != 1)).any():
            raise ValueError(f"{name}: target (N, K) expects 0 and 1, but holds other numbers")
        there = t != 0
    else:
        classes, _ = _class_numbers(name, target, x, None)
        there = classes[:, None] == xp(classes).arange(x.shape[1])
    y = CapsuleMargin.apply(x, Tensor._wrap(there), **numbers)
    return _reduced(y, reduction, x, y.size)


# ---------------------------------------------------------------------------
# Losses of numbers
# ---------------------------------------------------------------------------
def mse_loss(input, target, *, reduction="mean") -> Tensor:
    """Squared error: (input - target)^2, element by element, and the mean of all elements.

    Parameters
    ----------
    input, target : Tensor, any shape, both the same
        Shapes that only broadcast are refused (PyTorch warns): (N, 1) against (N,) would compare
        every element with every other.
    reduction : "mean", "sum" or "none"

    Returns
    -------
    Tensor ()
        input's shape with reduction="none".

    Raises
    ------
    ValueError
        If the shapes differ, or a mean has no elements.
    TypeError
        If the tensors are not float32 or float64, both the same.
    """
    x = check_float("mse_loss", input)
    t = check_float("mse_loss", beside(target, x))
    check_same_dtype("mse_loss", x, target=t)
    _check_reduction("mse_loss", reduction)
    if x.shape != t.shape:
        raise ValueError(
            f"mse_loss: input and target expect one shape, but have {x.shape} and {t.shape}; "
            "reshape one of them"
        )
    if reduction == "mean" and x.size == 0:
        raise ValueError(
            f"mse_loss: the mean needs an element, but input has {x.shape}; use reduction='sum'"
        )
    y = SquaredError.apply(x, t)
    return y if reduction == "none" else y.sum() if reduction == "sum" else y.mean()


# ---------------------------------------------------------------------------
# Rows: the class axis last, everything else in one axis before it
# ---------------------------------------------------------------------------
def _classes(x):
    """K."""
    return x.shape[1 if x.ndim > 1 else 0]


def _rows(x):
    """x (K,), (N, K) or (N, K, d1, ...) as (R, K); a view where memory is channels-last."""
    if x.ndim == 2:
        return x
    if x.ndim == 1:
        return x.reshape(1, -1)
    N, K, *sizes = x.shape
    pixels = prod(sizes)
    return x.reshape(N, K, pixels).permute(0, 2, 1).reshape(N * pixels, K)


def _reduced(y, reduction, x, total):
    """The losses y (R,) of the rows of x, added up, or added up and divided by total."""
    if reduction == "none":
        return y.reshape(*x.shape[:1], *x.shape[2:]) if x.ndim > 1 else y.reshape(())
    y = y.sum()
    if reduction == "mean":
        y = y / total if total else y + float("nan")  # nothing was kept; the gradient stays 0
    return y


# ---------------------------------------------------------------------------
# Rules of the arguments
# ---------------------------------------------------------------------------
def _check_reduction(name, reduction):
    if reduction not in REDUCTIONS:
        raise ValueError(
            f"{name}: reduction expects 'none', 'mean' or 'sum', but got {reduction!r}"
        )


def _scores(name, input, reduction):
    """input as a float tensor with a class axis."""
    x = check_float(name, input)
    _check_reduction(name, reduction)
    if x.ndim == 0 or _classes(x) == 0 or (reduction == "mean" and x.size == 0):
        raise ValueError(
            f"{name}: input expects scores (K,), (N, K) or (N, K, d1, ...), none of size 0, but "
            f"has {x.shape} (without a mean, only K must not be 0)"
        )
    return x


def _as_tensor(value, x):
    """value as a tensor: what is none yet is put where x lies; Python's floats take its dtype."""
    if isinstance(value, Tensor):
        return value
    return Tensor._wrap(to_device(as_array(value, x.dtype), x.device))


def _ignored(name, ignore_index):
    if isinstance(ignore_index, bool) or not hasattr(ignore_index, "__index__"):
        raise TypeError(f"{name}: ignore_index expects an int, but got {ignore_index!r}")
    return operator.index(ignore_index)


def _class_numbers(name, target, x, ignore_index):
    """(classes int64, whether a row is kept), both (R,) on x's device; 0 for what is ignored.

    The second is None where all rows are kept.
    """
    if target.dtype.kind not in "iu":
        raise TypeError(
            f"{name}: target expects integer class numbers, but is {target.dtype}; "
            "convert it with .to(np.int64)"
        )
    shape = (*x.shape[:1], *x.shape[2:]) if x.ndim > 1 else ()
    if target.shape != shape:
        raise ValueError(
            f"{name}: target expects one class per row of input, shape {shape}, "
            f"but has {target.shape}"
        )
    t = to_device(target._data, x.device).reshape(-1).astype(np.int64, copy=False)
    ignored = None if ignore_index is None else _ignored(name, ignore_index)
    (low, high), K, kept = _range(t), _classes(x), None
    if ignored is not None and low <= ignored <= high and (t == ignored).any():
        kept = t != ignored
        t = xp(t).where(kept, t, 0)
        low, high = _range(t)
    if low < 0 or high >= K:
        raise ValueError(
            f"{name}: target expects classes 0 to {K - 1} (input.shape[{min(x.ndim - 1, 1)}] - 1), "
            f"but holds {low if low < 0 else high}"
        )
    return t, kept


def _range(t):
    """The least and the largest of the class numbers."""
    return (int(t.min()), int(t.max())) if t.size else (0, 0)


def _class_weights(name, weight, x):
    """weight as an array (K,) of x's dtype on x's device, or None."""
    if weight is None:
        return None
    w = _as_tensor(weight, x)
    if w.requires_grad:
        raise ValueError(f"{name}: weight is a constant of the loss; pass weight.detach()")
    if w.dtype.kind not in "fiu":
        raise TypeError(f"{name}: weight expects numbers, but is {w.dtype}")
    if w.shape != (_classes(x),):
        raise ValueError(
            f"{name}: weight expects one number per class, shape ({_classes(x)},), "
            f"but has {w.shape}"
        )
    return to_device(w._data, x.device).astype(x.dtype, copy=False)
