"""Pictures of what a net has learnt and of what it sees, drawn with matplotlib.

Each function draws into new axes and returns the figure. Blue is negative, orange positive.
"""

from __future__ import annotations

import math

import numpy as np

from minicnn.analysis.explain import node_of_layer, one_image
from minicnn.analysis.receptive import receptive_field
from minicnn.nn.graph import evaluating, trace

COLOURS = ["#1c5aa3", "#a0c0e3", "#f7f7f5", "#f9c48c", "#b04804"]
HUE, INK = "#0a6c66", "#1c2024"
SHAPES = (1, 3)  # channels of what can be shown as an image


def plot_filters(layer, most: int = 64, columns: int = 8):
    """The filters of a convolution, in colour where they have three channels.

    Parameters
    ----------
    layer : Module with a `weight`, or array (O, C, KH, KW)
    most, columns : int
        How many filters (or, of more than three channels, kernels) to draw, and how many a row.

    Raises
    ------
    ValueError
        If the weight is not 4-D.
    """
    weight = layer.weight.numpy() if hasattr(layer, "weight") else np.asarray(layer)
    if weight.ndim != 4:
        raise ValueError(f"plot_filters: expects filters (O, C, KH, KW), but got {weight.shape}")
    O, C = weight.shape[:2]
    if C == 3:
        tiles = [(str(o), in_colour(weight[o])) for o in range(min(O, most))]
        return mosaic(tiles, columns, f"{O} filters, each in its own range")
    places = [(o, c) for o in range(O) for c in range(C)][:most]
    tiles = [(f"{o}" if C == 1 else f"{o},{c}", weight[o, c]) for o, c in places]
    return mosaic(tiles, columns, f"{len(places)} of {O * C} kernels", np.abs(weight).max())


def plot_feature_maps(model, image, layer: str, most: int = 32, columns: int = 8):
    """The maps that a layer makes of an image; parameters as in `saliency` and `plot_filters`."""
    x = one_image("plot_feature_maps", image)
    with evaluating(model):
        graph = trace(model, x)
    maps = node_of_layer("plot_feature_maps", graph, layer).output.numpy()[0]
    tiles = [(str(c), maps[c]) for c in range(min(len(maps), most))]
    return mosaic(tiles, columns, f"{layer}: {len(tiles)} of {len(maps)} maps", np.abs(maps).max())


def plot_gradients(model):
    """The size of every parameter's gradient: the root mean square of its numbers, on a log scale.

    Raises RuntimeError if no parameter has a gradient: call it after `loss.backward()`.
    """
    import matplotlib.pyplot as plt

    sizes = {
        name: float(np.sqrt((p.grad.numpy().astype(np.float64) ** 2).mean()))
        for name, p in model.named_parameters() if p.grad is not None
    }  # fmt: skip
    if not sizes:
        raise RuntimeError(
            "plot_gradients: no parameter has a gradient; call loss.backward() first"
        )
    height = max(2.0, 0.17 * len(sizes) + 0.8)
    figure, ax = plt.subplots(figsize=(7, height), layout="constrained")
    ax.barh(range(len(sizes)), list(sizes.values()), color=HUE, height=0.7)
    ax.set_yticks(range(len(sizes)), list(sizes), fontsize=7)
    ax.invert_yaxis()
    if max(sizes.values()) > 0:
        ax.set_xscale("log")
    ax.set_xlabel("root mean square of the gradient")
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    return figure


def plot_map(image, values, title: str = ""):
    """A map of any size, such as `saliency`, `grad_cam` or `occlusion_map` give, on its image."""
    import matplotlib.pyplot as plt

    picture = one_image("plot_map", image).numpy()[0]
    _, H, W = picture.shape
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 3.6), layout="constrained")
    for ax in (left, right):
        show_image(ax, picture)
    values = np.asarray(values)
    top = np.abs(values).max() or 1.0
    smooth = "nearest" if values.shape == (H, W) else "bilinear"
    right.imshow(values, signed(), vmin=-top, vmax=top, interpolation=smooth,
                 alpha=0.9 * np.sqrt(np.abs(values) / top),
                 extent=(-0.5, W - 0.5, H - 0.5, -0.5))  # fmt: skip
    right.set_title(title, fontsize=9, color=INK)
    return figure


def plot_receptive_field(model, image, layer: str, unit=None):
    """The pixels that one unit of a layer can see, framed, and how much each of them moves it.

    Parameters
    ----------
    model, image
        As in `saliency`.
    layer : str
        Dotted name of a layer whose output is a map.
    unit : (i, j), optional
        Of the layer's output; the one in the middle if left out.

    Raises
    ------
    ValueError, IndexError
        If there is no such layer or unit.
    """
    import matplotlib.pyplot as plt
    from matplotlib.patches import Rectangle

    x = one_image("plot_receptive_field", image)
    with evaluating(model):
        graph = trace(model, x)
        node = node_of_layer("plot_receptive_field", graph, layer)
        H, W = node.shape[2:]
        i, j = (H // 2, W // 2) if unit is None else unit
        if not (0 <= i < H and 0 <= j < W):
            raise IndexError(
                f"plot_receptive_field: {layer!r} has units (0, 0) to ({H - 1}, {W - 1}), but got "
                f"({i}, {j})"
            )
        seed = np.zeros(node.shape, node.output.dtype)
        seed[0, :, i, j] = 1
        node.output.backward(seed)
    moved = np.abs(x.grad.numpy()[0]).max(axis=0)
    field = receptive_field(model, x.shape[1:], layer, (i, j))
    figure, ax = plt.subplots(figsize=(4.2, 4.4), layout="constrained")
    show_image(ax, x.numpy()[0], alpha=0.35)
    top = moved.max() or 1.0
    ax.imshow(moved, signed(), vmin=-top, vmax=top, alpha=np.where(moved > 0, 0.75, 0))
    height, width = field.size
    corner = (field.columns[0] - 0.5, field.rows[0] - 0.5)
    ax.add_patch(Rectangle(corner, width, height, fill=False, ec=HUE, lw=2, clip_on=False))
    title = f"unit ({i}, {j}) of {layer} sees {height} x {width} pixels"
    ax.set_title(title, fontsize=9, color=INK)
    return figure


# ---------------------------------------------------------------------------
# Parts
# ---------------------------------------------------------------------------
def signed():
    """The colour map from blue over white to orange."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("signed", COLOURS)


def in_colour(filters):
    """Filters (3, KH, KW) as an image (KH, KW, 3) from 0 to 1."""
    low, high = filters.min(), filters.max()
    return (filters.transpose(1, 2, 0) - low) / ((high - low) or 1)


def show_image(ax, picture, alpha=1.0):
    """An image (C, H, W): grey, or in colour, stretched to its own range."""
    if len(picture) not in SHAPES:
        picture = picture.mean(axis=0, keepdims=True)
    ax.imshow(in_colour(np.repeat(picture, 3 // len(picture), axis=0)), alpha=alpha)
    ax.set_xticks([])
    ax.set_yticks([])


def mosaic(tiles, columns, title, top=None):
    """(caption, map) as small pictures in rows; signed maps share the scale of `top`."""
    import matplotlib.pyplot as plt

    columns = min(columns, len(tiles))
    rows = math.ceil(len(tiles) / columns)
    figure, axes = plt.subplots(rows, columns, figsize=(1.0 * columns, 1.18 * rows + 0.4),
                                layout="constrained", squeeze=False)  # fmt: skip
    for ax in axes.flat:
        ax.axis("off")
    for ax, (caption, tile) in zip(axes.flat, tiles):
        ax.imshow(tile, signed(), vmin=-(top or 1), vmax=top or 1, interpolation="nearest")
        ax.set_title(caption, fontsize=7, pad=2, color=INK)
    figure.suptitle(title, fontsize=9, color=INK)
    return figure
