"""Every public function's errors: what was given, the rule, what to do."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from minicnn import Tensor
from minicnn import functional as F

X = Tensor(np.ones((2, 3, 6, 6), np.float32))
W = Tensor(np.ones((4, 3, 3, 3), np.float32))
ROWS = Tensor(np.ones((2, 5), np.float32))
INTS = Tensor(np.ones((2, 3, 6, 6), np.int64))

ERRORS = {
    "conv2d channels": (
        lambda: F.conv2d(Tensor(np.ones((8, 4, 32, 32), np.float32)), W), ValueError,
        r"conv2d: weight expects 3 input channels \(weight.shape\[1\]\), but input has 4: \(8, 4"),
    "conv2d without batch": (
        lambda: F.conv2d(Tensor(np.ones((3, 6, 6), np.float32)), W), ValueError,
        r"conv2d: input expects 4 dimensions .*, but has 3: .*x.reshape\(1, \*x.shape\)"),
    "conv2d weight": (
        lambda: F.conv2d(X, Tensor(np.ones((4, 3), np.float32))), ValueError,
        r"conv2d: weight expects 4 dimensions, none of size 0, but has shape \(4, 3\)"),
    "conv2d bias": (
        lambda: F.conv2d(X, W, Tensor(np.ones(3, np.float32))), ValueError,
        r"conv2d: bias expects shape \(4,\), one number per output .* but has \(3,\)"),
    "conv2d dtype": (
        lambda: F.conv2d(X, W.to(np.float64)), TypeError,
        r"conv2d: input is float32 but weight is float64; they must be equal"),
    "conv2d bias dtype": (
        lambda: F.conv2d(X, W, Tensor(np.ones(4))), TypeError,
        r"conv2d: input is float32 but bias is float64; they must be equal"),
    "conv2d integers": (
        lambda: F.conv2d(INTS, W), TypeError, r"conv2d: expects a float32 or float64 .* got int64"),
    "conv2d stride 0": (
        lambda: F.conv2d(X, W, stride=0), ValueError,
        r"conv2d: stride expects an int or a pair .* at least 1, but got 0"),
    "conv2d stride pair": (
        lambda: F.conv2d(X, W, stride=(1, 2, 3)), ValueError, r"stride expects .* got \(1, 2, 3\)"),
    "conv2d stride kind": (
        lambda: F.conv2d(X, W, stride=1.5), TypeError, r"stride expects an int .* but got 1.5"),
    "conv2d stride bool": (
        lambda: F.conv2d(X, W, stride=True), TypeError, r"stride expects an int .* but got True"),
    "conv2d padding": (
        lambda: F.conv2d(X, W, padding=-1), ValueError, r"padding expects .* at least 0, but got"),
    "conv2d too small": (
        lambda: F.conv2d(Tensor(np.ones((1, 3, 2, 6), np.float32)), W), ValueError,
        r"conv2d: a kernel of \(3, 3\) does not fit into an input of \(2, 6\) with padding"),
    "max_pool2d dimensions": (
        lambda: F.max_pool2d(ROWS, 2), ValueError, r"max_pool2d: input expects 4 dimensions"),
    "max_pool2d kernel": (
        lambda: F.max_pool2d(X, 0), ValueError, r"max_pool2d: kernel_size expects .* but got 0"),
    "max_pool2d padding": (
        lambda: F.max_pool2d(X, 2, padding=2), ValueError,
        r"max_pool2d: padding may be at most half the kernel.* got padding \(2, 2\) with"),
    "max_pool2d stride": (
        lambda: F.max_pool2d(X, 2, stride="2"), TypeError, r"max_pool2d: stride .* got '2'"),
    "max_pool2d too small": (
        lambda: F.max_pool2d(X, 7), ValueError, r"max_pool2d: a kernel of \(7, 7\) does not fit"),
    "max_pool2d integers": (
        lambda: F.max_pool2d(INTS, 2), TypeError, r"max_pool2d: expects a float32 or float64"),
    "avg_pool2d padding": (
        lambda: F.avg_pool2d(X, 3, padding=2), ValueError, r"avg_pool2d: padding may be at most"),
    "avg_pool2d kernel": (
        lambda: F.avg_pool2d(X, (2, 0)), ValueError, r"avg_pool2d: kernel_size .* got \(2, 0\)"),
    "linear features": (
        lambda: F.linear(ROWS, Tensor(np.ones((3, 4), np.float32))), ValueError,
        r"linear: weight expects 4 features \(weight.shape\[1\]\) in input's last axis, but input"),
    "linear on images": (
        lambda: F.linear(X, Tensor(np.ones((3, 108), np.float32))), ValueError,
        r"flatten it first with x.flatten\(1\)"),
    "linear weight": (
        lambda: F.linear(ROWS, Tensor(np.ones(5, np.float32))), ValueError,
        r"linear: weight expects 2 dimensions \(O, I\), but has \(5,\)"),
    "linear bias": (
        lambda: F.linear(ROWS, Tensor(np.ones((3, 5), np.float32)), Tensor([1.0])), ValueError,
        r"linear: bias expects shape \(3,\)"),
    "linear dtype": (
        lambda: F.linear(ROWS, Tensor(np.ones((3, 5)))), TypeError, r"but weight is float64"),
    "linear integers": (
        lambda: F.linear(ROWS.to(np.int64), ROWS), TypeError, r"linear: expects a float32 or"),
    "relu": (lambda: F.relu(INTS), TypeError, r"relu: expects a float32 or float64 tensor"),
    "tanh": (lambda: F.tanh([1, 2]), TypeError, r"tanh: expects a float32 or float64 tensor"),
    "sigmoid": (lambda: F.sigmoid(INTS), TypeError, r"sigmoid: expects a float32 or float64"),
    "cross_entropy of nothing": (
        lambda: F.cross_entropy(ROWS[:0], np.zeros(0, int)), ValueError, r"none of size 0"),
    "cross_entropy rows": (
        lambda: F.cross_entropy(ROWS, [1, 2, 3]), ValueError,
        r"cross_entropy: target expects one class per row of input, shape \(2,\), but has \(3,\)"),
    "cross_entropy class": (
        lambda: F.cross_entropy(ROWS, [1, 5]), ValueError,
        r"cross_entropy: target expects classes 0 to 4 .* but holds 5"),
    "cross_entropy negative": (
        lambda: F.cross_entropy(ROWS, [-1, 2]), ValueError, r"classes 0 to 4 .* but holds -1"),
    "cross_entropy floats": (
        lambda: F.cross_entropy(ROWS, [1.0, 2.0]), TypeError,
        r"cross_entropy: target expects integer class numbers, but is float32"),
    "cross_entropy integers": (
        lambda: F.cross_entropy(ROWS.to(np.int64), [1, 2]), TypeError, r"cross_entropy: expects a"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors_say_what_was_given_and_what_the_rule_is(name):
    call, error, text = ERRORS[name]
    with pytest.raises(error, match=text):
        call()


def test_every_public_function_has_an_error_test():
    """Here, or in the ERRORS of the family's own file; a key begins with the function's name."""
    families = [path.stem for path in Path(__file__).parent.glob("test_*.py")]
    tables = [getattr(import_module(name), "ERRORS", {}) for name in families]
    tested = {name.split()[0] for table in tables for name in table}
    assert set(F.__all__) <= tested


def test_accepts_arrays_and_lists_where_it_accepts_tensors():
    y = F.conv2d(np.ones((1, 1, 3, 3), np.float32), np.ones((1, 1, 3, 3), np.float32))
    assert y.shape == (1, 1, 1, 1) and y.item() == 9
    assert F.relu([-1.0, 2.0]).numpy().tolist() == [0, 2]
    assert F.cross_entropy([[0.0, 0.0]], [1]).item() == pytest.approx(np.log(2))


def test_what_a_stride_leaves_over_is_not_looked_at():
    x = np.zeros((1, 1, 4, 4), np.float32)
    x[..., 3, :] = x[..., :, 3] = np.nan
    y = F.conv2d(x, np.ones((1, 1, 3, 3), np.float32), stride=2)  # (4,4) by 3x3 stride 2
    assert y.shape == (1, 1, 1, 1) and y.item() == 0


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "expected"),
    [((6, 6), 3, 1, 0, (4, 4)), ((28, 28), 5, 1, 2, (28, 28)), ((227, 227), 11, 4, 0, (55, 55)),
     ((7, 9), (3, 2), (2, 3), (1, 0), (4, 3))],
)  # fmt: skip
def test_output_sizes(size, kernel, stride, padding, expected):
    KH, KW = kernel if isinstance(kernel, tuple) else (kernel, kernel)
    w = np.ones((1, 1, KH, KW), np.float32)
    y = F.conv2d(np.ones((1, 1, *size), np.float32), w, None, stride, padding)
    assert y.shape[2:] == expected
