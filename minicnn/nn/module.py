"""Module: a tree of layers, and by name the parameters and buffers in it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minicnn.layout import channels_last
from minicnn.tensor import FLOATS, Tensor, _recorder


class Parameter(Tensor):
    """A tensor that a module learns: `requires_grad` is on, 4-D values are kept channels-last."""

    __slots__ = ()

    def __init__(self, data):
        super().__init__(data)
        self._data = channels_last(self._data)
        self.requires_grad = True

    def __repr__(self):
        return super().__repr__().replace("Tensor(", "Parameter(", 1)


class Buffer(Tensor):
    """A tensor that a module keeps but does not learn, such as a running mean.

    It is saved, loaded and moved with the parameters, and is not one of `parameters()`. The module
    changes it with `assign_`. `.to(dtype)` converts floats and leaves integers as they are.
    """

    __slots__ = ()

    def __repr__(self):
        return super().__repr__().replace("Tensor(", "Buffer(", 1)


class Module:
    """A layer or a net: parameters and other modules as attributes, `forward` as its function.

    Subclasses call `super().__init__()`, set attributes, and define `forward`. Parameters, buffers
    and modules found among the attributes are known by name, in the order they were set.

    Attributes
    ----------
    training : bool
        True in training mode; `train()` and `eval()` set it for the whole tree.
    """


    def __init__(self):
        self.training = True

    def forward(self, *inputs):
        """Compute the output; called by `module(*inputs)`."""
        raise NotImplementedError(f"{type(self).__name__} defines no forward")

    def __call__(self, *inputs, **settings):
        recorder = _recorder.get()
        if recorder is None:
            return self.forward(*inputs, **settings)
        with recorder.inside(self, inputs):
            return self.forward(*inputs, **settings)

    # -- the tree -----------------------------------------------------------
    def children(self) -> Iterator[tuple[str, Module]]:
        """(name, module) of the modules directly below."""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """(dotted name, module) of the whole tree, this module first with the name `prefix`."""
        yield prefix, self
        for name, child in self.children():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name)

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """(dotted name, parameter) of the whole tree; a shared one once, under its first name."""
        return self._named(Parameter)

    def named_buffers(self) -> Iterator[tuple[str, Buffer]]:
        """(dotted name, buffer) of the whole tree; a shared one once, under its first name."""
        return self._named(Buffer)

    def _named(self, *kinds):
        """(dotted name, attribute) of the tree's attributes of these kinds.

        Module by module, and in each module kind by kind: the order of PyTorch's `state_dict`.
        """
        seen = set()
        for path, module in self.named_modules():
            for kind in kinds:
                for name, value in vars(module).items():
                    if isinstance(value, kind) and id(value) not in seen:
                        seen.add(id(value))
                        yield f"{path}.{name}" if path else name, value

    def parameters(self) -> Iterator[Parameter]:
        """The parameters of the whole tree, each once."""
        for _, parameter in self.named_parameters():
            yield parameter

    def num_parameters(self) -> int:
        """How many numbers are learnt: the sizes of all parameters added up."""
        return sum(p.size for p in self.parameters())

    # -- state --------------------------------------------------------------
    def state_dict(self) -> dict[str, np.ndarray]:
        """Parameters and buffers by name, as read-only NumPy arrays.

        On a CPU they follow later changes: copy them (`array.copy()`) to keep a moment.
        """
        return {name: t.numpy() for name, t in self._named(Parameter, Buffer)}

    def load_state_dict(self, state) -> None:
        """Set all parameters and buffers from arrays by name. Either all are set, or none.

        Parameters
        ----------
        state : dict of str to array
            As from `state_dict`: the same names, the same shapes; values are converted to the
            dtype of the parameter or buffer.

        Raises
        ------
        ValueError
            If names are missing or unknown, or a shape differs; the message lists all of them.
        """
        own = dict(self._named(Parameter, Buffer))
        values = {
            name: v._data if isinstance(v, Tensor) else np.asarray(v) for name, v in state.items()
        }
        faults = [f"missing: {name}" for name in own if name not in values]
        faults += [f"unexpected: {name}" for name in values if name not in own]
        faults += [
            f"{name} has shape {values[name].shape}, but the model's has {t.shape}"
            for name, t in own.items()
            if name in values and values[name].shape != t.shape
        ]
        faults += [
            f"{name} holds {v.dtype}, but numbers are needed"
            for name, v in values.items()
            if v.dtype.kind not in "fiu"
        ]
        if faults:
            raise ValueError(
                f"load_state_dict: {type(self).__name__} was not changed, because the names and "
                "shapes must match: " + "; ".join(faults)
            )
        for name, t in own.items():
            t.assign_(values[name].astype(t.dtype, copy=False))

    # -- mode, device, dtype ------------------------------------------------
    def train(self, mode: bool = True):
        """Put the whole tree in training mode (or, with False, evaluation mode). Returns self."""
        for _, module in self.named_modules():
            module.training = bool(mode)
        return self

    def eval(self):
        """Put the whole tree in evaluation mode. Returns self."""
        return self.train(False)

    def to(self, target):
        """Move parameters and buffers to a device, or convert them to float32 or float64.

        Gradients are dropped. Integer buffers (counts) keep their dtype. Returns self. Raises as
        `Tensor.to` does, before anything has changed.
        """
        own = [t for _, t in self._named(Parameter, Buffer)]
        moved = [t.detach().to(target) for t in own]
        for t, m in zip(own, moved):
            if t.dtype in FLOATS and m.dtype not in FLOATS:
                raise TypeError(f"to: parameters must be float32 or float64, but got {target!r}")
        for t, m in zip(own, moved):
            if t.dtype in FLOATS or m.dtype == t.dtype:
                t._data, t.grad = channels_last(m._data), None
                t._version = [t._version[0] + 1, None]
        return self

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for p in self.parameters():
            p.grad = None

    # -- reading ------------------------------------------------------------
    def extra_repr(self) -> str:
        """What `repr` shows between the brackets of a layer."""
        return ""

    def __repr__(self):
        lines = [f"({name}): {child!r}" for name, child in self.children()]
        if not lines:
            return f"{type(self).__name__}({self.extra_repr()})"
        body = "\n".join(lines).replace("\n", "\n  ")
        return f"{type(self).__name__}(\n  {body}\n)"


class Sequential(Module):
    """Modules one after the other, named by their place: "0", "1", ..."""

    def __init__(self, *modules: Module):
        super().__init__()
        for k, module in enumerate(modules):
            if not isinstance(module, Module):
                raise TypeError(
                    f"Sequential: expects modules, but argument {k} is {module!r}; "
                    "wrap a function in a Module"
                )
            setattr(self, str(k), module)

    def forward(self, x):
        from minicnn.nn.in_turn import in_turn  # which knows the layers, and they this file

        return in_turn([module for _, module in self.children()], x)

    def __len__(self):
        return sum(1 for _ in self.children())

    def __getitem__(self, k: int) -> Module:
        return [module for _, module in self.children()][k]

    def __iter__(self):
        return (module for _, module in self.children())
