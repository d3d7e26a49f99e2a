"""The architectures, one file per paper, in the order of history.

A file registers its models in a list `MODELS` (see `registry.Model`); `FILES` lists the files.
"""

from __future__ import annotations

import difflib
from functools import cache
from importlib import import_module

from minicnn.models.registry import Model

FILES = (
    "lenet",
    "alexnet",
    "zfnet",
    "localization",
    "vgg",
    "googlenet",
    "video",
    "unet",
    "inception_v3",
    "resnet",
    "resnet_cifar",
    "inception_v4",
    "inception_resnet",
    "squeezenet",
    "preact_resnet",
    "wide_resnet",
    "enet",
    "densenet",
    "resnext",
    "mobilenet_v1",
    "shufflenet_v1",
    "nasnet",
    "senet",
    "capsnet",
    "mobilenet_v2",
    "shufflenet_v2",
    "mnasnet",
    "mobilenet_v3",
    "efficientnet",
)  # fmt: skip

__all__ = ["Model", "build", "info", "names"]


@cache
def _models() -> dict[str, Model]:
    """All registered models by name."""
    found = {}
    for file in FILES:
        for model in import_module(f"minicnn.models.{file}").MODELS:
            assert model.name not in found, f"two models are called {model.name}"
            found[model.name] = model
    return found


def __getattr__(name: str):
    """A builder by its own name: `models.LeNet`, `models.resnet18`."""
    for model in _models().values():
        if model.builder.__name__ == name:
            return model.builder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def names(task: str | None = "classification") -> list[str]:
    """The names that `build` knows for a task (see `Model`), in the order of history; None: all."""
    return [name for name, model in _models().items() if task in (None, model.task)]


def info(name: str) -> Model:
    """What is known of a model: sizes, published figures and their sources.

    Raises
    ------
    ValueError
        If there is no model of that name; the message suggests the nearest.
    """
    known = _models()
    if name not in known:
        near = difflib.get_close_matches(str(name), known, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(
            f"build: there is no model {name!r}; {hint}models.names() lists all {len(known)}"
        )
    return known[name]


def build(name: str, **settings):
    """A new net by name.

    Parameters
    ----------
    name : str
        One of `names(None)`.
    **settings
        Handed to the net, for example num_classes=10.

    Raises
    ------
    ValueError
        If there is no net of that name; the message suggests the nearest.
    """
    return info(name).builder(**settings)
