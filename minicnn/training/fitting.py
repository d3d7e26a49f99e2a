"""A net made for the images it will see: their channels, their size, their classes."""

from __future__ import annotations

import inspect

import numpy as np

from minicnn import models
from minicnn.backends import use_backend
from minicnn.backends.shapes import blank
from minicnn.nn import Module
from minicnn.nn.graph import evaluating
from minicnn.tensor import Tensor, no_grad


class MisfitError(ValueError):
    """A model cannot take the images of a data set, or has not its number of classes."""


def build_for(name: str, input_shape: tuple[int, int, int], num_classes: int) -> Module:
    """A new net by name, for images (C, H, W) in num_classes classes.

    The builder gets num_classes, in_channels and image_size, each if it takes it. One pass by
    shapes alone then shows whether the net fits.

    Raises
    ------
    MisfitError
        If it does not.
    ValueError
        If there is no net of that name.
    """
    builder = models.info(name).builder
    C, H, W = input_shape
    wanted = {"num_classes": num_classes, "in_channels": C, "image_size": H}
    images = f"images of {C}x{H}x{W} in {num_classes} classes"
    try:
        model = builder(**_accepted(builder, wanted))
        with use_backend("shapes"), evaluating(model), no_grad():
            scores = model(Tensor(blank((1, C, H, W), np.float32)))
    except ValueError as error:
        raise MisfitError(
            f"{name} cannot take {images}: {error}; choose another model or data set"
        ) from error
    if scores.shape != (1, num_classes):
        raise MisfitError(
            f"{name} cannot take {images}: its scores have shape {scores.shape}, but must have "
            f"(1, {num_classes}); choose another model or data set"
        )
    return model


def _accepted(builder, settings: dict) -> dict:
    """Those settings that a builder has a parameter for.

    One with **settings hands them on: num_classes and in_channels, which all such nets take.
    """
    parameters = inspect.signature(builder).parameters
    hands_on = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    known = {*parameters, *(["num_classes", "in_channels"] if hands_on else [])}
    return {name: value for name, value in settings.items() if name in known}
