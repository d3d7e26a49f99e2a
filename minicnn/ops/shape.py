"""Operations that move elements without changing them, and sums over axes."""

from __future__ import annotations

import operator
from math import prod

import numpy as np

from minicnn.backends import check_device, device_of, to_device, xp
from minicnn.ops.operands import check_float
from minicnn.tensor import Function, Tensor


# ---------------------------------------------------------------------------
# Moving elements
# ---------------------------------------------------------------------------
class ToDevice(Function):
    """The same values in another device's memory; the gradient travels back."""

    def forward(self, x):
        self.save(device_of(x))
        return to_device(x, self.target)

    def backward(self, dy):
        return to_device(dy, self.saved[0])


def to_other_device(x: Tensor, device: str) -> Tensor:
    """x on `device`; x itself if it is there."""
    device = check_device(device)
    return x if x.device == device else ToDevice.apply(x, target=device)


class Reshape(Function):
    """The same elements, in row-major NCHW order, in another shape."""

    may_alias = True

    def forward(self, x):
        return x.reshape(self.shape)

    def backward(self, dy):
        return dy.reshape(self.shapes[0])


class Permute(Function):
    """y's axis k is x's axis dims[k]."""

    may_alias = True

    def forward(self, x):
        return x.transpose(self.dims)

    def backward(self, dy):
        return dy.transpose(sorted(range(dy.ndim), key=self.dims.__getitem__))


class Index(Function):
    """y = x[key]. Gradients go back to where the elements were taken from, and add up there."""

    may_alias = True

    def forward(self, x):
        return x[self.key]

    def backward(self, dy):
        dx = xp(dy).zeros(self.shapes[0], dy.dtype)
        if any(isinstance(k, (list, np.ndarray)) or device_of(k) for k in self.key):
            xp(dy).add.at(dx, self.key, dy)  # an index can name one element twice
        else:
            dx[self.key] += dy
        return dx


# ---------------------------------------------------------------------------
# Reductions
# ---------------------------------------------------------------------------
class Sum(Function):
    """y = sum of x over `dims`: every element gets the gradient of the sum it went into."""

    def forward(self, x):
        return x.sum(axis=self.dims, keepdims=self.keepdim)

    def backward(self, dy):
        shape = self.shapes[0]
        return xp(dy).broadcast_to(_keep_dims(dy, shape, self.dims), shape)


class Mean(Function):
    """y = mean of x over `dims`: as the sum, divided by the number of elements."""

    def forward(self, x):
        return x.mean(axis=self.dims, keepdims=self.keepdim)

    def backward(self, dy):
        shape = self.shapes[0]
        count = prod([shape[k] for k in self.dims])
        return xp(dy).broadcast_to(_keep_dims(dy, shape, self.dims) / count, shape)


class Max(Function):
    """y = largest x over `dims`. The gradient goes to the first maximum in row-major order."""

    def forward(self, x):
        winner = self.choose(x)
        self.save(winner, _rows(x, self.dims).shape)
        return self.replay(winner, x)

    def backward(self, dy):
        winner, row_shape = self.saved
        shape = self.shapes[0]
        rows = xp(dy).zeros(row_shape, dy.dtype)
        xp(dy).put_along_axis(rows, winner, dy.reshape(winner.shape), axis=-1)
        kept = [k for k in range(len(shape)) if k not in self.dims]
        order = (*kept, *self.dims)
        back = sorted(range(len(shape)), key=order.__getitem__)
        return rows.reshape([shape[k] for k in order]).transpose(back)

    def choose(self, x):
        """The place of the first maximum among the elements reduced over: (..., 1)."""
        return _rows(x, self.dims).argmax(axis=-1)[..., None]

    def replay(self, winner, x):
        """The elements at those places."""
        y = xp(x).take_along_axis(_rows(x, self.dims), winner, axis=-1)[..., 0]
        return _keep_dims(y, x.shape, self.dims) if self.keepdim else y


def _rows(x, dims):
    """x with the axes `dims` moved to the end and flattened into one."""
    kept = [k for k in range(x.ndim) if k not in dims]
    return x.transpose(*kept, *dims).reshape(*[x.shape[k] for k in kept], -1)


def _keep_dims(y, shape, dims):
    """y, a reduction over `dims` of an array of `shape`, with those axes back as size 1."""
    return y.reshape([1 if k in dims else n for k, n in enumerate(shape)])


# ---------------------------------------------------------------------------
# Functions
# ---------------------------------------------------------------------------
def check_dims(name: str, dim, ndim: int) -> tuple[int, ...]:
    """`dim` (None, an int or several) as a sorted tuple of axes from 0 to ndim - 1."""
    if dim is None:
        return tuple(range(ndim))
    dims = dim if isinstance(dim, (tuple, list)) else (dim,)
    try:
        dims = [operator.index(k) for k in dims]
    except TypeError:
        raise TypeError(
            f"{name}: dim expects None, an int or a tuple of ints, but got {dim!r}"
        ) from None
    for k in dims:
        if not -ndim <= k < ndim:
            raise ValueError(
                f"{name}: dim {k} is out of range for a tensor of {ndim} dimensions; "
                f"it must lie in {-ndim} to {ndim - 1}"
            )
    dims = sorted(k % ndim for k in dims)
    if len(set(dims)) != len(dims):
        raise ValueError(f"{name}: dim {dim!r} names one axis twice; name each once")
    return tuple(dims)


def reshape(x: Tensor, *shape) -> Tensor:
    """x in another shape, elements in row-major order; one size may be -1 (worked out).

    Raises
    ------
    ValueError
        If the number of elements would change.
    """
    if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
        shape = tuple(shape[0])
    known = prod([n for n in shape if n != -1])
    holes = sum(n == -1 for n in shape)
    if holes > 1 or any(n < -1 for n in shape):
        raise ValueError(f"reshape: sizes must be 0 or more, at most one -1, but got {shape}")
    if known != x.size if not holes else (known == 0 or x.size % known):
        raise ValueError(
            f"reshape: {x.shape} has {x.size} elements, which do not fit {shape}; "
            "the product of the sizes must be equal"
        )
    return Reshape.apply(x, shape=tuple(x.size // known if n == -1 else n for n in shape))


def flatten(x: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """x with the axes from start_dim to end_dim (both included) made one.

    Elements keep their row-major NCHW order: (N, C, H, W) with start_dim=1 becomes (N, C*H*W).
    """
    if x.ndim == 0:
        return x.reshape(1)
    (start,) = check_dims("flatten", start_dim, x.ndim)
    (end,) = check_dims("flatten", end_dim, x.ndim)
    if start > end:
        raise ValueError(
            f"flatten: start_dim {start_dim} lies behind end_dim {end_dim} for shape {x.shape}"
        )
    middle = prod(x.shape[start : end + 1])
    return x.reshape(*x.shape[:start], middle, *x.shape[end + 1 :])


def permute(x: Tensor, *dims) -> Tensor:
    """x with its axes reordered: axis k of the result is axis dims[k] of x."""
    if len(dims) == 1 and isinstance(dims[0], (tuple, list)):
        dims = tuple(dims[0])
    if check_dims("permute", dims, x.ndim) != tuple(range(x.ndim)):
        raise ValueError(
            f"permute: dims {dims} must name each of the {x.ndim} axes of {x.shape} once"
        )
    return Permute.apply(x, dims=tuple(k % x.ndim for k in dims))


def transpose(x: Tensor, dim0: int, dim1: int) -> Tensor:
    """x with two axes exchanged."""
    (dim0,), (dim1,) = check_dims("transpose", dim0, x.ndim), check_dims("transpose", dim1, x.ndim)
    dims = list(range(x.ndim))
    dims[dim0], dims[dim1] = dim1, dim0
    return Permute.apply(x, dims=tuple(dims))


def index(x: Tensor, key) -> Tensor:
    """x[key]: integers, slices, None, ..., lists, integer or bool arrays and tensors."""
    key = key if isinstance(key, tuple) else (key,)
    key = tuple(k._data if isinstance(k, Tensor) else k for k in key)
    for k in key:
        if isinstance(k, (float, str)) or getattr(k, "dtype", np.dtype(int)).kind not in "iub":
            raise TypeError(
                f"index: expects integers, slices, None, ... or integer and bool arrays, "
                f"but got {k!r}"
            )
    try:
        return Index.apply(x, key=key)
    except IndexError as error:
        raise IndexError(f"index: {error} (tensor of shape {x.shape})") from None


def reduce_sum(x: Tensor, dim=None, keepdim: bool = False) -> Tensor:
    """Sum over the axes `dim` (an int, several, or None for all)."""
    return Sum.apply(x, dims=check_dims("sum", dim, x.ndim), keepdim=keepdim)


def reduce_mean(x: Tensor, dim=None, keepdim: bool = False) -> Tensor:
    """Mean over the axes `dim` (an int, several, or None for all)."""
    x = check_float("mean", x)
    return Mean.apply(x, dims=check_dims("mean", dim, x.ndim), keepdim=keepdim)


def reduce_max(x: Tensor, dim=None, keepdim: bool = False) -> Tensor:
    """Largest value over the axes `dim` (an int, several, or None for all).

    The gradient goes to the first maximum in row-major order. Unlike PyTorch's, it returns the
    values alone, whatever `dim` is; `argmax` gives their places.

    Raises
    ------
    ValueError
        If there is no element to choose from.
    """
    dims = check_dims("max", dim, x.ndim)
    if any(x.shape[k] == 0 for k in dims):
        raise ValueError(f"max: shape {x.shape} has no elements along dim {dim}; it needs one")
    return Max.apply(x, dims=dims, keepdim=keepdim)


def argmax(x: Tensor, dim: int | None = None) -> Tensor:
    """Place of the (first) largest value along `dim`, or in the flattened tensor: int64."""
    if dim is not None:
        (dim,) = check_dims("argmax", dim, x.ndim)
    if x.size == 0:
        raise ValueError(f"argmax: shape {x.shape} has no elements; it needs one")
    data = x._data if dim is not None else x._data.reshape(-1)
    return Tensor._wrap(np.asarray(data.argmax(axis=0 if dim is None else dim)))


Tensor.reshape = reshape
Tensor.flatten = flatten
Tensor.permute = permute
Tensor.transpose = transpose
Tensor.__getitem__ = index
Tensor.sum = reduce_sum
Tensor.mean = reduce_mean
Tensor.max = reduce_max
Tensor.argmax = argmax
