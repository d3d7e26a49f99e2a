"""The architectures, one file per paper, in the order of history."""

from __future__ import annotations

import difflib

from minicnn.models.lenet import LeNet, LeNet5_1998

_BUILDERS = {"lenet": LeNet, "lenet5_1998": LeNet5_1998}

__all__ = ["LeNet", "LeNet5_1998", "build", "names"]


def names() -> list[str]:
    """The names that `build` knows, in the order of history."""
    return list(_BUILDERS)


def build(name: str, **settings):
    """A new net by name.

    Parameters
    ----------
    name : str
        One of `names()`.
    **settings
        Handed to the net, for example num_classes=10.

    Raises
    ------
    ValueError
        If there is no net of that name; the message suggests the nearest.
    """
    if name not in _BUILDERS:
        near = difflib.get_close_matches(str(name), _BUILDERS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"build: there is no model {name!r}; {hint}names: {', '.join(_BUILDERS)}")
    return _BUILDERS[name](**settings)
