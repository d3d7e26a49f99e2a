"""The tape: tensors, the functions that make them, and the walk back.

A `Tensor` is an array that remembers which `Function` made it. A `Function` remembers its inputs
and what its gradient needs. That is the whole tape: there is no global list, so memory goes
when the last name for a result goes.

`backward` gathers the functions that lead to a tensor, walks them from the newest to the oldest,
hands each one the gradient of its output and adds up what comes back, where a tensor was used more
than once. Derivatives of derivatives are not supported.
"""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

from minicnn.backends import device_of, drawing, to_device, xp
from minicnn.choices import active_choices
from minicnn.layout import channels_last

_grad_enabled: ContextVar[bool] = ContextVar("minicnn_grad_enabled", default=True)
_recorder: ContextVar = ContextVar("minicnn_recorder", default=None)
_creation = itertools.count()

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


# ---------------------------------------------------------------------------
# Gradient mode
# ---------------------------------------------------------------------------
@contextmanager
def no_grad():
    """Compute without a tape: results made inside need no gradient.

    Works as a `with` block and as a decorator.
    """
    token = _grad_enabled.set(False)
    try:
        yield
    finally:
        _grad_enabled.reset(token)


def is_grad_enabled() -> bool:
    """Whether operations are being put on the tape."""
    return _grad_enabled.get()


# ---------------------------------------------------------------------------
# Function: one entry of the tape
# ---------------------------------------------------------------------------
class Function:
    """One operation: `forward` on arrays, and directly beneath it `backward`.

    `Function.apply(*tensors, **settings)` makes an instance whose attributes are the settings,
    runs `forward(*arrays)` and returns a tensor that remembers the instance. `forward` keeps what
    `backward` needs with `self.save(...)` and reads it back as `self.saved`.
    `backward(dy)` returns one gradient per input (a bare array if there is one input); `None` where
    there is none to give. `self.needs[k]` tells whether input k wants a gradient.

    Attributes
    ----------
    settings : dict
        What `apply` was given by name; each is an attribute, too.
    needs : tuple of bool
    shapes : tuple of tuple of int
        Shapes of the inputs (None for an input left out).
    parents : tuple
        Where the gradients go: for each input that wants one, the Function that made it, or the
        leaf tensor itself. Inputs' values are kept alive only by `save`.
    saved : tuple
        What `forward` saved, until `backward` has used it.
    number : int
        Creation number; `backward` walks by falling number.
    backend : str
        The backend whose drawing this is.
    """

    choose = None  # piecewise operations define it, and replay: see Choices
    may_alias = False  # True where the output can be a view of the first input (reshape, ...)
    backend = "numpy"
    settings: dict = {}
    parents: tuple = ()
    saved: tuple = ()
    walked = False  # True once backward has been here

    def forward(self, *arrays):
        """Compute the output array from the input arrays."""
        raise NotImplementedError(f"{self.name} defines no forward")

    def backward(self, dy):
        """Compute the gradients of the inputs from the gradient of the output."""
        raise NotImplementedError(f"{self.name} defines no backward")

    def lay_out(self, array):
        """An output or a gradient, as the tape hands it on: 4-D ones channels-last."""
        return channels_last(array if type(array) is np.ndarray else _not_scalar(array))

    def save(self, *values):
        """Keep these values until `backward`."""
        self.saved = values

    @property
    def name(self) -> str:
        """The operation's name, whichever backend drew it."""
        return type(self).__name__

    @classmethod
    def apply(cls, *inputs: Tensor | None, **settings) -> Tensor:
        """Run the operation and, where a gradient is wanted, put it on the tape."""
        device, track = None, _grad_enabled.get()
        arrays, shapes, needs, parents, versions = [], [], [], [], []
        for t in inputs:  # (one loop: a comprehension for each takes twice the time)
            if t is None:
                arrays.append(None)
                shapes.append(None)
                needs.append(False)
                parents.append(None)
                continue
            array = t._data
            here = "cpu" if type(array) is np.ndarray else t.device  # (quicker than to ask)
            if device is not None and here != device:
                raise ValueError(
                    f"{cls.__name__}: tensors lie on {device} and {here}, but must lie on one "
                    f"device; move one with .to({device!r})"
                )
            device = here
            arrays.append(array)
            shapes.append(array.shape)
            needs.append(wanted := track and t._requires_grad)
            parents.append((t._entry or t) if wanted else None)
            versions.append((t._version, t._version[0]))
        op = drawing(cls, device)()
        op.__dict__.update(settings)
        op.settings, op.needs, op.shapes = settings, tuple(needs), tuple(shapes)
        choices = active_choices.get() if op.choose is not None else None
        y = op.forward(*arrays) if choices is None else choices.run(op, arrays)
        output = Tensor._wrap(op.lay_out(y))
        if cls.may_alias:
            output._version = inputs[0]._version
        if True in needs:
            versions.append((output._version, output._version[0]))
            op.number, op.parents, op.versions = next(_creation), tuple(parents), versions
            output._requires_grad, output._entry = True, op
        else:
            op.saved = ()
        if (recorder := _recorder.get()) is not None:
            recorder.forward(op, inputs, output)
        return output

    def _check_usable(self):
        """Raise unless `backward` can still give the right gradient."""
        if self.walked:
            raise RuntimeError(
                f"backward: the values saved by {self.name} are gone, because backward already "
                "walked this tape; run the forward pass again first"
            )
        for cell, version in self.versions:
            if cell[0] != version and any(_owner(value) is cell[1] for value in self.saved):
                raise RuntimeError(
                    f"backward: a tensor that {self.name} saved was changed in place afterwards "
                    f"(version {version} when saved, {cell[0]} now); call backward before "
                    "changing it, or run the forward pass again"
                )

    def _gradients(self, dy):
        """What `backward(dy)` gives: an array or None per input, checked, channels-last."""
        grads = self.backward(dy)
        if not isinstance(grads, tuple):
            grads = (grads,)
        if len(grads) != len(self.shapes):
            raise ValueError(
                f"{self.name}.backward returned {len(grads)} gradients for {len(self.shapes)} "
                "inputs; return one for each, None where there is none"
            )
        checked = []
        for k, (dx, shape, wanted) in enumerate(zip(grads, self.shapes, self.needs)):
            if dx is None or not wanted:
                checked.append(None)
                continue
            if dx.shape != shape:
                raise ValueError(
                    f"{self.name}.backward returned a gradient of shape {dx.shape} for input {k} "
                    f"of shape {shape}; the two must be equal"
                )
            checked.append(self.lay_out(dx))
        return checked

    def __repr__(self):
        return f"<{self.name} #{getattr(self, 'number', '-')}, drawn by {self.backend}>"


def _not_scalar(array):
    """NumPy turns arrays without dimensions into scalars when it computes; turn them back."""
    return np.asarray(array) if isinstance(array, np.generic) else array


def _owner(value):
    """The object that owns an array's memory; anything else is its own owner."""
    while (base := getattr(value, "base", None)) is not None and base is not value:
        value = base  # (a dtype is its own base)
    return value


# ---------------------------------------------------------------------------
# Tensor
# ---------------------------------------------------------------------------
def as_array(data, floats=np.float32):
    """`data` as an array minicnn computes with.

    Arrays keep their dtype and memory (nothing is copied); Python numbers and NumPy scalars, and
    lists of them, become float32 (or what `floats` says), int64 or bool.
    """
    if isinstance(data, Tensor):
        return data._data
    if device_of(data) is not None:
        array = data
    else:
        array = np.asarray(data)
        if array.dtype.kind == "f":
            array = array.astype(floats)
    if array.dtype not in FLOATS and array.dtype.kind not in "iub":
        raise TypeError(
            f"Tensor: expects float32, float64, integer or bool data, but got {array.dtype}; "
            "convert it first, for example with array.astype(np.float32)"
        )
    return array


class Tensor:
    """An n-dimensional array with a gradient.

    Parameters
    ----------
    data : array, number or nested list
        Arrays (NumPy, CuPy) are used as they are, without a copy. Numbers become float32 (int64,
        bool for integers and booleans).
    requires_grad : bool
        Whether `backward` shall leave dL/d(this) in `.grad`. Only for float32 and float64.

    Attributes
    ----------
    data : array
        The values; a read-only view in NumPy. Change them with `assign_`.
    grad : Tensor or None
        Sum of the gradients that `backward` brought here, same shape as `data`.
    """

    __slots__ = ("__weakref__", "_data", "_entry", "_requires_grad", "_version", "grad")
    __array_ufunc__ = None  # so that np.ones(3) + t is Tensor.__radd__ and keeps the gradient

    def __init__(self, data, requires_grad: bool = False):
        self._data = as_array(data)
        self._entry = None
        # How often the memory was changed, and then its owner; shared by all that lie in it.
        self._version = [0, None]
        self._requires_grad = False
        self.grad = None
        if requires_grad:
            self.requires_grad = True

    @staticmethod
    def _wrap(array) -> Tensor:
        """A tensor around an array that is known to be one minicnn computes with."""
        t = Tensor.__new__(Tensor)
        t._data = array
        t._entry = None
        t._version = [0, None]
        t._requires_grad = False
        t.grad = None
        return t

    # -- what it is ---------------------------------------------------------
    @property
    def data(self):
        view = self._data.view()
        if isinstance(view, np.ndarray):
            view.flags.writeable = False
        return view

    @property
    def requires_grad(self) -> bool:
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool):
        if value and self._data.dtype not in FLOATS:
            raise TypeError(
                f"requires_grad: only float32 and float64 tensors have gradients, but this one "
                f"is {self._data.dtype}; convert it first with .to(np.float32)"
            )
        if not value and self._entry is not None:
            raise ValueError(
                f"requires_grad: this tensor is the output of {self._entry.name}, only leaves can "
                "be frozen; use .detach()"
            )
        self._requires_grad = bool(value)

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""
        return self._data.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self._data.ndim

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(self._data.size)

    @property
    def dtype(self):
        """NumPy's: float32, unless it was made otherwise."""
        return self._data.dtype

    @property
    def device(self) -> str:
        """"cpu", or "cuda:0" and so on."""
        return device_of(self._data)

    @property
    def is_leaf(self) -> bool:
        """True if no operation on the tape made this tensor."""
        return self._entry is None

    def __len__(self):
        if not self.ndim:
            raise TypeError("len: a tensor without dimensions has no length")
        return self.shape[0]

    def __repr__(self):
        values = np.array2string(self.numpy(), separator=", ", prefix="Tensor(", threshold=60)
        notes = [values]
        if self.dtype != np.float32:
            notes.append(f"dtype={self.dtype}")
        if self.device != "cpu":
            notes.append(f"device={self.device!r}")
        if self._entry is not None:
            notes.append(f"made by {self._entry.name}")
        elif self.requires_grad:
            notes.append("requires_grad=True")
        return f"Tensor({', '.join(notes)})"

    # -- out ----------------------------------------------------------------
    def numpy(self) -> np.ndarray:
        """The values as a read-only NumPy array (copied from a GPU if it lies there)."""
        view = to_device(self._data, "cpu").view()
        view.flags.writeable = False
        return view

    def item(self):
        """The value of a one-element tensor as a Python number."""
        if self._data.size != 1:
            raise ValueError(
                f"item: needs a tensor of one element, but got shape {self.shape}; "
                "index it, or use .numpy()"
            )
        return self._data.item()

    def __float__(self):
        return float(self.item())

    def __int__(self):
        return int(self.item())

    def __bool__(self):
        if self._data.size != 1:
            raise ValueError(
                f"a tensor of shape {self.shape} is neither true nor false; "
                "compare with .all() or .any() of its .numpy()"
            )
        return bool(self._data.item())

    def __array__(self, dtype=None, copy=None):
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __dlpack__(self, **options):
        return self._data.__dlpack__(**options)

    def __dlpack_device__(self):
        return self._data.__dlpack_device__()

    def detach(self) -> Tensor:
        """The same values (and memory) as a leaf that needs no gradient."""
        t = Tensor._wrap(self._data)
        t._version = self._version
        return t

    # -- in-place change ----------------------------------------------------
    def assign_(self, values) -> Tensor:
        """Overwrite the values in place; the tape notices.

        A `backward` that would need the old values raises instead of giving a wrong gradient.

        Raises
        ------
        ValueError
            If the shapes differ, or this tensor is the output of an operation on the tape.
        """
        values = as_array(values, self.dtype)
        if values.shape != self.shape:
            raise ValueError(
                f"assign_: expects values of shape {self.shape}, but got {values.shape}"
            )
        if self._entry is not None:
            raise ValueError(
                f"assign_: this tensor is the output of {self._entry.name} and its gradient "
                "depends on its value; only leaves can be overwritten (use .detach())"
            )
        if values is not self._data:  # a kernel may have written in place
            self._data[...] = to_device(values, self.device)
        self._version[:] = self._version[0] + 1, _owner(self._data)
        return self

    # -- backward -----------------------------------------------------------
    def backward(self, grad=None):
        """Add dL/dx to `.grad` of every leaf x that wants it, for L = sum(grad * self).

        Parameters
        ----------
        grad : array or Tensor, optional
            Gradient of the loss with respect to this tensor, same shape. May be left out for a
            tensor of one element, where it is 1.

        Raises
        ------
        RuntimeError
            If nothing here needs a gradient, if this tape was walked before, or if a saved array
            was changed in place.
        """
        _walk(self, grad)


# ---------------------------------------------------------------------------
# The walk back
# ---------------------------------------------------------------------------
def _walk(root: Tensor, grad):
    """See `Tensor.backward`. Gradients reach the leaves only when the whole walk has gone well."""
    dy = _seed(root, grad)
    recorder = _recorder.get()
    arrived = {root._entry or root: dy}  # gradient of each entry's output, and of each leaf
    entries = _reachable(root._entry)
    for entry in entries:
        entry._check_usable()
    for entry in sorted(entries, key=lambda entry: entry.number, reverse=True):
        dy = arrived.pop(entry, None)
        if dy is None:  # every user of its output gave None
            continue
        grads = entry._gradients(dy)
        for parent, dx in zip(entry.parents, grads):
            if dx is not None:
                arrived[parent] = _not_scalar(arrived[parent] + dx) if parent in arrived else dx
        if recorder is not None:
            recorder.backward(entry, dy, grads)
        entry.walked = True
        entry.saved = ()
    for leaf, dx in arrived.items():
        # Never in place: two leaves may have been handed the same array.
        leaf.grad = Tensor._wrap(dx if leaf.grad is None else _not_scalar(leaf.grad._data + dx))


def _seed(root, grad):
    """The gradient the walk starts with."""
    if not root.requires_grad:
        raise RuntimeError(
            "backward: this tensor does not depend on any tensor with requires_grad=True, so there "
            "is no gradient to compute (was it made inside no_grad, or detached?)"
        )
    if grad is None:
        if root.size != 1:
            raise ValueError(
                f"backward: a tensor of shape {root.shape} needs the gradient of the loss with "
                "respect to it, backward(grad); or reduce it first, for example with .sum()"
            )
        return xp(root._data).ones(root.shape, root.dtype)
    array = as_array(grad, root.dtype)
    if array.shape != root.shape:
        raise ValueError(
            f"backward: grad has shape {array.shape}, but the tensor has {root.shape}; "
            "the two must be equal"
        )
    return channels_last(to_device(array, root.device).astype(root.dtype, copy=False))


def _reachable(entry):
    """All entries the given one depends on, itself included (iterative: nets can be deep)."""
    seen, stack = set(), [entry]
    while stack:
        entry = stack.pop()
        if isinstance(entry, Function) and entry not in seen:
            seen.add(entry)
            stack.extend(entry.parents)
    return seen
