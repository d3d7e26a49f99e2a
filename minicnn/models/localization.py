"""Localisation: what it is, and where (Sermanet et al., 2013).

One net, two heads: beside the scores of the classes, four numbers for a box. The box is learnt by
regression, on the same features.

    image -> any classifier, without its last layer -> features -> fc, K      the class
                                                                -> fc, 4      the box

A box is (x, y, width, height), its middle and its size, as fractions of the image from 0 to 1.
"""

from __future__ import annotations

from minicnn import functional as F
from minicnn.functional.arguments import as_count
from minicnn.models.blocks import classifier
from minicnn.models.registry import Model
from minicnn.models.resnet import resnet18
from minicnn.nn import Conv2d, Linear, Module, Sequential
from minicnn.tensor import Tensor


def cut_head(model: Module) -> int:
    """Take a classifier's last layer away, so that it gives features; returns how many.

    The layer is the last one that has weights of its own: a Linear (what most nets end with), or a
    1x1 convolution (SqueezeNet).

    Parameters
    ----------
    model : Module
        Changed.

    Raises
    ------
    ValueError
        If the model ends with anything else.
    """
    weighted = [
        (name, module) for name, module in model.named_modules()
        if getattr(module, "weight", None) is not None
    ]  # fmt: skip
    name, layer = weighted[-1] if weighted else ("", None)
    if isinstance(layer, Linear):
        features = layer.in_features
    elif isinstance(layer, Conv2d) and layer.kernel_size == (1, 1) and layer.groups == 1:
        features = layer.in_channels
    else:
        raise ValueError(
            f"cut_head: the last layer with weights must be a Linear or a 1x1 Conv2d, but that of "
            f"{type(model).__name__} is {layer!r}; give a net that classifies"
        )
    *path, last = name.split(".")
    owner = model
    for step in path:
        owner = getattr(owner, step)
    setattr(owner, last, Sequential())  # of nothing: hands on what it gets
    return features


class Localizer(Module):
    """Class and box of the one thing in an image.

    Parameters
    ----------
    backbone : Module
        A classifier; its last layer is cut off.
    num_classes : int
        K.

    Returns
    -------
    (scores, boxes) : Tensors (N, K) and (N, 4)
    """

    def __init__(self, backbone, num_classes):
        super().__init__()
        self.backbone = backbone
        features = cut_head(backbone)
        self.classes = classifier(features, as_count("Localizer", "num_classes", num_classes))
        self.box = classifier(features, 4)

    def forward(self, x):
        features = self.backbone(x)
        return self.classes(features), F.sigmoid(self.box(features))

    def loss(self, x, classes, boxes, weight=1.0):
        """Cross-entropy of the classes, plus `weight` times the mean squared error of the boxes."""
        scores, found = self(x)
        return F.cross_entropy(scores, classes) + weight * F.mse_loss(found, boxes)


def overlap(a, b):
    """Area that two boxes share, divided by the area that they cover (intersection over union).

    Parameters
    ----------
    a, b : arrays or Tensors (..., 4)
        Boxes (x, y, width, height).

    Returns
    -------
    array (...)
        From 0 to 1; 0 where neither covers anything.
    """
    a, b = (t.numpy() if isinstance(t, Tensor) else t for t in (a, b))
    shared = 1.0
    for k in (0, 1):
        low = (a[..., k] - a[..., k + 2] / 2).clip(b[..., k] - b[..., k + 2] / 2)
        high = (a[..., k] + a[..., k + 2] / 2).clip(None, b[..., k] + b[..., k + 2] / 2)
        shared = shared * (high - low).clip(0)
    covered = a[..., 2] * a[..., 3] + b[..., 2] * b[..., 3] - shared
    return shared / (covered + (covered == 0))


# ---------------------------------------------------------------------------
# Registry
# ---------------------------------------------------------------------------
def localizer_resnet18(num_classes=1000, **settings) -> Localizer:
    """A box beside the class, on ResNet-18; settings are `ResNet`'s."""
    return Localizer(resnet18(**settings), num_classes)


PAPER = (
    "Sermanet et al., OverFeat: integrated recognition, localization and detection using "
    "convolutional networks, 2013"
)
MODELS = [
    Model(
        localizer_resnet18, PAPER, (3, 224, 224), (3, 96, 96), 11_691_564,
        "resnet18's 11,689,512, and 512 weights and a bias for each of four numbers",
        task="localization",
    ),
]  # fmt: skip
