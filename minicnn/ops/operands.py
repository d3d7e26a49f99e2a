"""How operands meet: as tensors of one dtype whose shapes broadcast, as in PyTorch."""

from __future__ import annotations

import numpy as np

from minicnn.backends import to_device, xp
from minicnn.tensor import FLOATS, Function, Tensor


def unbroadcast(dy, shape):
    """Undo broadcasting: add up dy over the axes along which an array of `shape` was repeated."""
    if dy.shape == shape:
        return dy
    extra = dy.ndim - len(shape)
    dy = dy.sum(axis=tuple(range(extra)))
    repeated = tuple(k for k, n in enumerate(shape) if n == 1 and dy.shape[k] != 1)
    return dy.sum(axis=repeated, keepdims=True) if repeated else dy


def is_number(value) -> bool:
    """Whether this is a Python number or a NumPy scalar (the two count alike)."""
    return isinstance(value, (bool, int, float, np.bool_, np.integer, np.floating))


def _category(dtype):
    return "biuf".index(dtype.kind) if dtype.kind != "u" else 1


def result_dtype(a: Tensor, b: Tensor):
    """The dtype in which two tensors meet, as in PyTorch.

    float beats integer beats bool; within one of these, a tensor with dimensions beats one without;
    else the wider of the two.
    """
    if a.dtype == b.dtype:
        return a.dtype
    rank_a, rank_b = _category(a.dtype), _category(b.dtype)
    if rank_a != rank_b:
        return a.dtype if rank_a > rank_b else b.dtype
    if bool(a.ndim) != bool(b.ndim):
        return a.dtype if a.ndim else b.dtype
    return np.promote_types(a.dtype, b.dtype)


def beside(value, like: Tensor) -> Tensor:
    """`value` as a tensor; what is none yet, an array or a list, is put where `like` lies."""
    if isinstance(value, Tensor):
        return value
    return Tensor._wrap(to_device(Tensor(value)._data, like.device))


def operand(value, like: Tensor) -> Tensor:
    """`value` as a tensor to be combined with `like`: numbers take its dtype and device."""
    if isinstance(value, Tensor) or not is_number(value):
        return beside(value, like)
    kind = np.asarray(value).dtype.kind
    dtype = np.dtype(np.float32) if kind == "f" and like.dtype not in FLOATS else like.dtype
    if kind in "iu" and dtype == np.bool_:
        dtype = np.dtype(np.int64)
    return Tensor._wrap(xp(like._data).asarray(value, dtype=dtype))


def pair(name: str, a, b) -> tuple[Tensor, Tensor]:
    """Two operands as tensors of one dtype whose shapes broadcast."""
    like = a if isinstance(a, Tensor) else b
    a, b = operand(a, like), operand(b, like)
    if a.dtype != b.dtype:
        dtype = result_dtype(a, b)
        a, b = cast(a, dtype), cast(b, dtype)
    if a.shape != b.shape:
        check_broadcast(name, a.shape, b.shape)
    return a, b


def check_broadcast(name, a, b):
    """Raise unless the two shapes broadcast."""
    for n, m in zip(reversed(a), reversed(b)):
        if n != m and n != 1 and m != 1:
            raise ValueError(
                f"{name}: shapes {a} and {b} do not broadcast: counted from the right, sizes must "
                f"be equal or 1, but here {n} meets {m}; reshape one of them"
            )


def check_float(name: str, x: Tensor) -> Tensor:
    """Raise unless x is float32 or float64."""
    if not isinstance(x, Tensor):
        x = Tensor(x)
    if x._data.dtype not in FLOATS:
        raise TypeError(
            f"{name}: expects a float32 or float64 tensor, but got {x.dtype}; "
            "convert it with .to(np.float32)"
        )
    return x


# ---------------------------------------------------------------------------
# Dtype and device
# ---------------------------------------------------------------------------
class Cast(Function):
    """The same values in another dtype; the gradient comes back in the first one."""

    def forward(self, x):
        self.save(x.dtype)
        return x.astype(self.dtype)

    def backward(self, dy):
        return dy.astype(self.saved[0])


def cast(x: Tensor, dtype) -> Tensor:
    """x in the given dtype; x itself if it has it."""
    return x if x.dtype == dtype else Cast.apply(x, dtype=np.dtype(dtype))
