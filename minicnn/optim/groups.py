"""Parameter groups by the names of layers."""

from __future__ import annotations

import difflib
from fnmatch import fnmatchcase


def is_vector(name: str, parameter) -> bool:
    """Whether it is a bias, or a scale or shift of a normalization: what should not decay.

    Weights of convolutions and dense layers have two dimensions or more. He et al., "Bag of tricks
    for image classification with convolutional neural networks", 2019.
    """
    return parameter.ndim < 2


def named_groups(model, *rules) -> list[dict]:
    """Groups for an optimiser, by rules on the names of a model's parameters.

    Parameters
    ----------
    model : Module
        Its parameters with requires_grad=True are put into groups; frozen ones are left out.
    rules : (which, settings)
        `which` is a pattern for names (`fnmatch`'s: * for any letters), of a parameter or of a
        module that holds it; or a function of (name, parameter). Where several rules fit, the
        later one's settings win.

    Returns
    -------
    list of dict
        Parameters with equal settings share a group, in the order of the model.

    Raises
    ------
    ValueError
        If a rule fits no parameter of the model; the message suggests the nearest names.

    Examples
    --------
    Weight decay, but not on biases and batch norms:

    >>> optim.SGD(named_groups(net, (is_vector, {"weight_decay": 0})), lr=0.1, weight_decay=1e-4)

    Small steps for early layers, which know most already; L2 on one layer:

    >>> named_groups(net, ("layer1", {"lr": 1e-4}), ("fc", {"lr": 1e-2, "weight_decay": 1e-3}))
    """
    named = list(model.named_parameters())
    for which, _ in rules:
        if not any(fits(which, name, p) for name, p in named):
            modules = [name for name, _ in model.named_modules() if name]
            names = [*modules, *(name for name, _ in named)]
            near = difflib.get_close_matches(str(which), names, n=3)
            raise ValueError(
                f"named_groups: no parameter of {type(model).__name__} fits {which!r}; "
                f"names are {', '.join(near or names[:5])}, ..."
            )
    groups = []
    for name, p in named:
        if not p.requires_grad:
            continue
        settings = {}
        for which, chosen in rules:
            if fits(which, name, p):
                settings.update(chosen)
        same = [g for g in groups if {k: v for k, v in g.items() if k != "params"} == settings]
        if not same:
            same = [{"params": [], **settings}]
            groups += same
        same[0]["params"].append(p)
    return groups


def fits(which, name, parameter) -> bool:
    """Whether a rule's `which` means this parameter; see `named_groups`."""
    if callable(which):
        return which(name, parameter)
    return fnmatchcase(name, which) or fnmatchcase(name, f"{which}.*")
