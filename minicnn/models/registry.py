"""What is known of a model before it is built: its name, its size, its published figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Model:
    """A registered model: how to build it, and what its authors published.

    Published figures are facts to compare with, never results of minicnn.

    Attributes
    ----------
    builder : callable
        `builder(num_classes=..., in_channels=..., ...)` returns a Module. Its name, in lower case,
        is the model's name, unless `name` is given.
    paper : str
        Authors, title, year.
    input_shape : (C, H, W)
        The size it was made for; H and W in pixels. For clips (T, C, H, W), of T frames.
    second_shape : (C, H, W)
        Another size that it takes as it stands, in the same form.
    parameters : int
        The published number of trainable parameters, at the builder's default arguments.
    source : str
        Where that number is published, or how it follows from the paper.
    top1, top5 : float, optional
        Published accuracy in percent, single crop, single net, on `dataset`.
    accuracy_source : str
        Where those are published: weights and protocol.
    dataset : str
        What the accuracy was measured on.
    name : str
        Of the model, where it is not the builder's.
    task : str
        What it gives for N inputs: "classification" scores (N, K), "segmentation" scores
        (N, K, H, W), "localization" scores and boxes (N, 4), "video" scores (N, K) of clips.
    """

    builder: Callable
    paper: str
    input_shape: tuple[int, int, int]
    second_shape: tuple[int, int, int]
    parameters: int
    source: str
    top1: float | None = None
    top5: float | None = None
    accuracy_source: str = ""
    dataset: str = "ImageNet, validation"
    name: str = ""
    task: str = "classification"

    def __post_init__(self):
        if not self.name:
            object.__setattr__(self, "name", self.builder.__name__.lower())
