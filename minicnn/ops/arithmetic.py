"""Element-wise arithmetic with broadcasting, and the matrix product."""

from __future__ import annotations

import numpy as np

from minicnn.backends import xp
from minicnn.ops.operands import (
    cast,
    check_broadcast,
    check_float,
    operand,
    pair,
    result_dtype,
    unbroadcast,
)
from minicnn.tensor import FLOATS, Function, Tensor


# ---------------------------------------------------------------------------
# Two operands
# ---------------------------------------------------------------------------
class Add(Function):
    """y = a + b."""

    def forward(self, a, b):
        return a + b

    def backward(self, dy):
        a, b = self.shapes
        return unbroadcast(dy, a), unbroadcast(dy, b)


class Subtract(Function):
    """y = a - b."""

    def forward(self, a, b):
        return a - b

    def backward(self, dy):
        a, b = self.shapes
        return unbroadcast(dy, a), unbroadcast(-dy, b)


class Multiply(Function):
    """y = a b. Each factor's gradient is dy times the other factor."""

    def forward(self, a, b):
        self.save(a, b)
        return a * b

    def backward(self, dy):
        a, b = self.saved
        return (
            unbroadcast(dy * b, a.shape) if self.needs[0] else None,
            unbroadcast(dy * a, b.shape) if self.needs[1] else None,
        )


class Divide(Function):
    """y = a / b; da = dy / b, db = -dy a / b^2."""

    def forward(self, a, b):
        self.save(a, b)
        return a / b

    def backward(self, dy):
        a, b = self.saved
        return (
            unbroadcast(dy / b, a.shape) if self.needs[0] else None,
            unbroadcast(-dy * a / (b * b), b.shape) if self.needs[1] else None,
        )


class Power(Function):
    """y = a^b; da = dy b a^(b-1), db = dy y log a (0 where a is 0, as in PyTorch)."""

    def forward(self, a, b):
        y = a**b
        self.save(a, b, y)
        return y

    def backward(self, dy):
        a, b, y = self.saved
        da = db = None
        if self.needs[0]:
            slope = b * a ** xp(a).where(b == 0, 0, b - 1)  # a^0 is constant, also at a = 0
            da = unbroadcast(dy * slope, a.shape)
        if self.needs[1]:
            zero = a == 0
            log = xp(a).log(xp(a).where(zero, 1, a))
            db = unbroadcast(dy * y * log, b.shape)
        return da, db


class MatMul(Function):
    """y = a b for matrices, or stacks of them (leading axes broadcast); da = dy b', db = a' dy."""

    def forward(self, a, b):
        self.save(a, b)
        return a @ b

    def backward(self, dy):
        a, b = self.saved
        return (
            unbroadcast(dy @ b.swapaxes(-1, -2), a.shape) if self.needs[0] else None,
            unbroadcast(a.swapaxes(-1, -2) @ dy, b.shape) if self.needs[1] else None,
        )


# ---------------------------------------------------------------------------
# One operand
# ---------------------------------------------------------------------------
class Negate(Function):
    """y = -x."""

    def forward(self, x):
        return -x

    def backward(self, dy):
        return -dy


class Exp(Function):
    """y = e^x; dx = dy y."""

    def forward(self, x):
        y = xp(x).exp(x)
        self.save(y)
        return y

    def backward(self, dy):
        return dy * self.saved[0]


class Log(Function):
    """y = ln x; dx = dy / x."""

    def forward(self, x):
        self.save(x)
        return xp(x).log(x)

    def backward(self, dy):
        return dy / self.saved[0]


# ---------------------------------------------------------------------------
# Functions
# ---------------------------------------------------------------------------
def add(a, b) -> Tensor:
    """a + b, broadcast."""
    return Add.apply(*pair("add", a, b))


def subtract(a, b) -> Tensor:
    """a - b, broadcast."""
    return Subtract.apply(*pair("subtract", a, b))


def multiply(a, b) -> Tensor:
    """a * b element by element, broadcast."""
    return Multiply.apply(*pair("multiply", a, b))


def divide(a, b) -> Tensor:
    """a / b, broadcast; integers become float32 first, as in PyTorch."""
    a, b = pair("divide", a, b)
    if a.dtype not in FLOATS:
        a, b = cast(a, np.float32), cast(b, np.float32)
    return Divide.apply(a, b)


def power(a, b) -> Tensor:
    """a to the power b, broadcast."""
    return Power.apply(*pair("power", a, b))


def negate(x) -> Tensor:
    """-x."""
    return Negate.apply(x)


def exp(x) -> Tensor:
    """e to the power x."""
    return Exp.apply(check_float("exp", x))


def log(x) -> Tensor:
    """Natural logarithm; -inf at 0 and NaN below, as in NumPy."""
    return Log.apply(check_float("log", x))


def matmul(a, b) -> Tensor:
    """Matrix product a @ b.

    Parameters
    ----------
    a : Tensor (..., n, k) or (k,)
    b : Tensor (..., k, m) or (k,)
        Leading axes broadcast; a vector counts as one row (a) or one column (b).

    Raises
    ------
    ValueError
        If a side has no dimensions, or the inner sizes differ.
    """
    like = a if isinstance(a, Tensor) else b
    a, b = operand(a, like), operand(b, like)
    if not a.ndim or not b.ndim:
        raise ValueError(
            f"matmul: expects at least one dimension on each side, but got shapes {a.shape} and "
            f"{b.shape}; multiply by a number with *"
        )
    if a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise ValueError(
            f"matmul: the last size of {a.shape} must equal the last but one of {b.shape} (its "
            "only one for a vector); transpose or reshape one of them"
        )
    check_broadcast("matmul", a.shape[:-2], b.shape[:-2])
    if a.dtype != b.dtype:
        dtype = result_dtype(a, b)
        a, b = cast(a, dtype), cast(b, dtype)
    row, column = a.ndim == 1, b.ndim == 1
    y = MatMul.apply(a.reshape(1, -1) if row else a, b.reshape(-1, 1) if column else b)
    if row or column:
        kept = [n for k, n in zip((-2, -1), y.shape[-2:]) if not (row if k == -2 else column)]
        y = y.reshape(*y.shape[:-2], *kept)
    return y


def _compare(name, test):
    def compare(a, b):
        a, b = pair(name, a.detach(), b)
        return Tensor._wrap(np.asarray(test(a._data, b._data)))

    compare.__name__ = name
    compare.__doc__ = f"`{name}`, element by element: a bool tensor without gradient."
    return compare


def _to(self, target) -> Tensor:
    """This tensor on another device ("cpu", "cuda", "cuda:1") or in another dtype.

    Returns the tensor itself if nothing has to change. The gradient comes back to where and what
    this tensor is.
    """
    if isinstance(target, str) and (target == "cpu" or target.startswith("cuda")):
        from minicnn.ops.shape import to_other_device

        return to_other_device(self, target)
    try:
        dtype = np.dtype(target)
    except TypeError:
        dtype = None
    if dtype is None or (dtype not in FLOATS and dtype.kind not in "iub"):
        raise TypeError(
            f"to: expects a device ('cpu', 'cuda', 'cuda:1') or a dtype (float32, float64, an "
            f"integer, bool), but got {target!r}"
        )
    return cast(self, dtype)


Tensor.__add__ = add
Tensor.__radd__ = lambda b, a: add(a, b)
Tensor.__sub__ = subtract
Tensor.__rsub__ = lambda b, a: subtract(a, b)
Tensor.__mul__ = multiply
Tensor.__rmul__ = lambda b, a: multiply(a, b)
Tensor.__truediv__ = divide
Tensor.__rtruediv__ = lambda b, a: divide(a, b)
Tensor.__pow__ = power
Tensor.__rpow__ = lambda b, a: power(a, b)
Tensor.__matmul__ = matmul
Tensor.__rmatmul__ = lambda b, a: matmul(a, b)
Tensor.__neg__ = negate
Tensor.__eq__ = _compare("equal", lambda a, b: a == b)
Tensor.__ne__ = _compare("not_equal", lambda a, b: a != b)
Tensor.__lt__ = _compare("less", lambda a, b: a < b)
Tensor.__le__ = _compare("less_equal", lambda a, b: a <= b)
Tensor.__gt__ = _compare("greater", lambda a, b: a > b)
Tensor.__ge__ = _compare("greater_equal", lambda a, b: a >= b)
Tensor.__hash__ = object.__hash__
Tensor.exp = exp
Tensor.log = log
Tensor.to = _to
