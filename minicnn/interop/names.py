"""What weights are called elsewhere, and here.

A function of this file takes a name in somebody's file and gives minicnn's, for
`load_into(model, path, rename=...)`.
"""

from __future__ import annotations

# The Caffe net calls its modules fire2 to fire9; here they are `features`, with poolings between.
FIRES = {2: 3, 3: 4, 4: 5, 5: 7, 6: 8, 7: 9, 8: 10, 9: 12}
PARTS = {"conv1x1_1": "squeeze", "conv1x1_2": "expand1x1", "conv3x3_2": "expand3x3"}


def squeezenet_v1_0(name: str) -> str:
    """SqueezeNet 1.0 as its authors' Caffe weights are called: fire2/conv1x1_1.weight.

    Those weights want images of 227 x 227 pixels as blue, green, red, each 0 to 255 minus
    104, 117, 123. A name that is none of theirs is given back as it is.
    """
    layer, _, kind = name.rpartition(".")
    if layer == "conv1":
        return f"features.0.{kind}"
    if layer == "conv_final":
        return f"classifier.1.{kind}"
    fire, _, part = layer.removeprefix("fire").partition("/")
    if not fire.isdigit() or int(fire) not in FIRES or part not in PARTS:
        return name
    return f"features.{FIRES[int(fire)]}.{PARTS[part]}.{kind}"
