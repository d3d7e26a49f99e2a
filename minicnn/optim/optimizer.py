"""What every optimiser is: groups of parameters with their settings, and a memory for each."""

from __future__ import annotations

import math

import numpy as np

from minicnn.backends import to_device
from minicnn.functional.arguments import as_number
from minicnn.layout import channels_last
from minicnn.tensor import Tensor


class Optimizer:
    """Parameters in groups, each group with settings of its own.

    A subclass names its settings in `defaults`, checks them in `check`, and says in `update` what a
    step does to one parameter.

    Parameters
    ----------
    parameters : iterable of Tensor, or list of dict
        What is learnt. A dict is a group: {"params": iterable of Tensor, "lr": 0.01, ...}; what it
        does not say is as in `defaults`.
    defaults : settings by name

    Attributes
    ----------
    param_groups : list of dict
        As in PyTorch: "params" and all settings of each group, which may be changed between steps.
    parameters : list of Tensor
        Those of all groups, in order.
    state : dict of Tensor to dict
        What the optimiser remembers of each parameter, by PyTorch's names.

    Raises
    ------
    ValueError, TypeError
        If a setting is unknown or out of range, a parameter is named twice, or there is none.
    """

    def __init__(self, parameters, **defaults):
        self.name = type(self).__name__
        groups = list(parameters)
        if not groups or not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        self.param_groups = [self._group(group, defaults) for group in groups]
        self.parameters = [p for group in self.param_groups for p in group["params"]]
        if not self.parameters:
            raise ValueError(f"{self.name}: expects at least one parameter, but got none")
        if len({id(p) for p in self.parameters}) != len(self.parameters):
            raise ValueError(f"{self.name}: a parameter is in the list twice; name each once")
        self.state = {p: {} for p in self.parameters}

    def _group(self, group, defaults) -> dict:
        if not isinstance(group, dict) or "params" not in group:
            raise TypeError(
                f"{self.name}: every group expects to be a dict with 'params', but got {group!r}"
            )
        params = group["params"]
        params = [params] if isinstance(params, Tensor) else list(params)
        for p in params:
            if not isinstance(p, Tensor) or not p.requires_grad:
                raise TypeError(
                    f"{self.name}: expects tensors with requires_grad=True, but got {p!r}"
                )
        unknown = group.keys() - defaults.keys() - {"params"}
        if unknown:
            raise ValueError(
                f"{self.name}: a group has the unknown setting {min(unknown)!r}; "
                f"it may have {', '.join(defaults)}"
            )
        return {"params": params} | self.check({**defaults, **group, "params": None})

    def check(self, settings: dict) -> dict:
        """The settings of a group as plain numbers; raises if one is out of range."""
        raise NotImplementedError(f"{self.name} defines no check")

    def update(self, p, state: dict, group: dict) -> None:
        """Move one parameter that has a gradient; `state` is what is remembered of it."""
        raise NotImplementedError(f"{self.name} defines no update")

    @property
    def lr(self) -> float:
        """The learning rate of the first group; setting it gives it to all groups."""
        return self.param_groups[0]["lr"]

    @lr.setter
    def lr(self, value: float):
        for group in self.param_groups:
            group["lr"] = value

    def step(self) -> None:
        """Move every parameter that has a gradient."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self.update(p, self.state[p], group)

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for p in self.parameters:
            p.grad = None

    # -- to go on later -----------------------------------------------------
    def state_dict(self) -> dict:
        """Everything but the parameters: settings and memories, numbers and read-only arrays.

        On a CPU the arrays follow later steps: copy them to keep a moment.
        """
        groups = [{k: v for k, v in group.items() if k != "params"} for group in self.param_groups]
        state = [
            {name: _numpy(value) for name, value in self.state[p].items()} for p in self.parameters
        ]
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, saved: dict) -> None:
        """Set settings and memories as `state_dict` gave them. Either all are set, or none.

        Raises
        ------
        ValueError
            If they are those of other parameters, or of another kind of optimiser.
        """
        groups, state = saved["param_groups"], saved["state"]
        fits = len(groups) == len(self.param_groups) and len(state) == len(self.parameters)
        fits = fits and all(
            new.keys() == own.keys() - {"params"} for new, own in zip(groups, self.param_groups)
        )
        for p, memory in zip(self.parameters, state):
            arrays = [value for value in memory.values() if hasattr(value, "shape")]
            fits = fits and all(a.shape in ((), p.shape) for a in arrays)
        if not fits:
            raise ValueError(
                f"load_state_dict: this {self.name} of {len(self.parameters)} parameters in "
                f"{len(self.param_groups)} groups was not changed, because the state is that of "
                f"other parameters ({len(state)} in {len(groups)} groups), or of another kind of "
                "optimiser; make the optimiser as it was made then"
            )
        for group, settings in zip(self.param_groups, groups):
            group.update(self.check(dict(settings)))
        for p, memory in zip(self.parameters, state):
            self.state[p] = {name: _like(p, value) for name, value in memory.items()}

    # -- errors -------------------------------------------------------------
    def _number(self, settings, name, end=math.inf) -> float:
        rule = f"of 0 or more and {f'under {end:g}' if end < math.inf else 'finite'}"
        return as_number(self.name, name, settings[name], rule, lambda value: 0 <= value < end)


def _numpy(value):
    return value if isinstance(value, (int, float)) else Tensor._wrap(value).numpy()


def _like(p, value):
    """A remembered array where the parameter lies, in its memory order."""
    if isinstance(value, (int, float)):
        return value
    return to_device(channels_last(np.array(value, p.dtype)), p.device)
