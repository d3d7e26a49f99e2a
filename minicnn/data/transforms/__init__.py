"""Changes of images on their way from the data set to the net, under torchvision's names.

    from minicnn.data import DataLoader, load
    from minicnn.data.transforms import Compose, RandomCrop, RandomHorizontalFlip

    augment = Compose([RandomCrop(32, padding=4), RandomHorizontalFlip()])
    loader = DataLoader(load("cifar10"), 128, shuffle=True, transform=augment)

A transform takes a batch (N, C, H, W), or one image (C, H, W), and returns a new one; it never
changes what it was given. One that draws takes `rng`, too: a `numpy.random.Generator`, or the
`ImageStreams` of a loader, with which each image has random numbers of its own.
"""

from minicnn.data.transforms.base import Compose, Transform
from minicnn.data.transforms.colour import ColorJitter, Normalize, PCALighting
from minicnn.data.transforms.geometry import (
    CenterCrop,
    RandomCrop,
    RandomHorizontalFlip,
    Resize,
    TenCrop,
)
from minicnn.data.transforms.mixing import Cutout, MixUp

__all__ = [
    "CenterCrop",
    "ColorJitter",
    "Compose",
    "Cutout",
    "MixUp",
    "Normalize",
    "PCALighting",
    "RandomCrop",
    "RandomHorizontalFlip",
    "Resize",
    "TenCrop",
    "Transform",
]
