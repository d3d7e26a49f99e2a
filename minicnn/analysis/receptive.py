"""The receptive field of one unit, worked out twice: by formula, and by the gradient."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np

from minicnn.analysis.field import Span, fields
from minicnn.analysis.passes import as_input_shape, shape_pass
from minicnn.backends import use_backend
from minicnn.nn import Module
from minicnn.nn.graph import Graph, evaluating, trace
from minicnn.tensor import Tensor


@dataclass(frozen=True)
class ReceptiveField:
    """What one unit of a layer sees.

    Attributes
    ----------
    layer : str
        The layer's dotted name.
    unit : (int, int)
        Row and column of the unit among the layer's outputs.
    rows, columns : (int, int)
        First and last row and column of the image that it sees. By formula they may lie outside
        the image, in the padding.
    spans : (Span, Span) or None
        Size, jump and start for any unit, along H and W; only by formula.
    """

    layer: str
    unit: tuple[int, int]
    rows: tuple[int, int]
    columns: tuple[int, int]
    spans: tuple[Span, Span] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the field in pixels."""
        return self.rows[1] - self.rows[0] + 1, self.columns[1] - self.columns[0] + 1

    def inside(self, shape) -> ReceptiveField:
        """The part of the field that lies in an image (C, H, W)."""
        rows, columns = (
            (max(first, 0), min(last, n - 1))
            for (first, last), n in zip((self.rows, self.columns), shape[-2:])
        )
        return ReceptiveField(self.layer, self.unit, rows, columns)


def receptive_field(model, input_shape, layer=None, unit=None, by="formula") -> ReceptiveField:
    """Which pixels of the image a unit can see.

    By formula: the sizes of all windows on the way, joined (see `minicnn.analysis.field`). By
    gradient: weights are set to positive numbers, so that nothing cancels, a gradient of 1 starts
    at the unit, and the field is where it reaches the image. The two agree wherever the formula's
    field lies inside the image.

    Parameters
    ----------
    model : Module or str
        It stays as it is.
    input_shape : (C, H, W)
        In pixels.
    layer : str, optional
        Dotted name of a layer; the last one that still has pixels if left out.
    unit : (row, column), optional
        The middle one if left out.
    by : "formula" or "gradient"

    Returns
    -------
    ReceptiveField

    Raises
    ------
    ValueError
        If there is no such layer or unit, or the layer's units see the whole image by a dense layer
        or global pooling, where there is no formula.

    References
    ----------
    Luo, Li, Urtasun, Zemel, "Understanding the effective receptive field in deep convolutional
    neural networks", 2016.
    """
    if by not in ("formula", "gradient"):
        raise ValueError(f"receptive_field: by expects 'formula' or 'gradient', but got {by!r}")
    shape = as_input_shape(input_shape)
    model, graph = shape_pass(model, shape)
    found = fields(graph)
    k = _place_of(graph, found, layer)
    node = graph.nodes[k]
    name, unit = node.layer if layer is None else layer, _as_unit(node, unit)
    if by == "formula":
        spans = found[node]
        if spans is None:
            raise ValueError(
                f"receptive_field: a unit of {name!r} sees the whole image; choose a layer "
                "before the dense layers and global poolings"
            )
        return ReceptiveField(name, unit, *(span.of(i) for span, i in zip(spans, unit)), spans)
    return ReceptiveField(name, unit, *_reached(model, shape, k, unit))


def _place_of(graph: Graph, found, layer) -> int:
    """Number of the operation whose output is the layer's."""
    if layer is None:
        places = [k for k, node in enumerate(graph.nodes) if found.get(node) is not None]
        if not places:
            raise ValueError("receptive_field: no layer of this net has pixels of its own")
        return places[-1]
    inside = [
        k
        for k, node in enumerate(graph.nodes)
        if node.fed and (node.layer == layer or node.layer.startswith(f"{layer}."))
    ]
    if not inside:
        raise ValueError(f"receptive_field: no operation ran in a layer {layer!r}; names are those "
                         "of model.named_modules()")  # fmt: skip
    if len(graph.nodes[inside[-1]].shape) != 4:
        raise ValueError(
            f"receptive_field: layer {layer!r} gives {graph.nodes[inside[-1]].shape}, which has no "
            "rows and columns; choose one that gives (N, C, H, W)"
        )
    return inside[-1]


def _as_unit(node, unit):
    """The unit, checked, or the one in the middle."""
    size = node.shape[2:]
    if unit is None:
        return size[0] // 2, size[1] // 2
    if len(unit) != 2 or not all(0 <= i < n for i, n in zip(unit, size)):
        raise ValueError(
            f"receptive_field: unit expects (row, column) in an output of {size}, but got {unit!r}"
        )
    return tuple(unit)


# ---------------------------------------------------------------------------
# By gradient
# ---------------------------------------------------------------------------
def _reached(model, shape, k, unit):
    """First and last row, and first and last column, that the unit's gradient reaches.

    A maximum hands its gradient to one pixel. In an image that rises towards a corner all maxima
    lie at that corner of their windows (positive, averaging weights keep it rising), so the falling
    and the rising image together reach all four sides.
    """
    model = _averaging(copy.deepcopy(model)).to(np.float64)
    C, H, W = shape
    ramp = 1 + (np.arange(H)[:, None] / H + np.arange(W) / W) / 2
    reached = np.zeros((H, W), bool)
    with use_backend("numpy"), evaluating(model):
        for image in (ramp, ramp[::-1, ::-1]):
            x = Tensor(np.broadcast_to(image, (1, C, H, W)).copy(), requires_grad=True)
            y = trace(model, x).nodes[k].output
            dy = np.zeros(y.shape)
            dy[:, :, unit[0], unit[1]] = 1
            y.backward(dy)
            reached |= (x.grad.numpy() != 0).any(axis=(0, 1))
    return tuple(
        (int(lines[0]), int(lines[-1]))
        for lines in (np.flatnonzero(reached.any(axis=1)), np.flatnonzero(reached.any(axis=0)))
    )


def _averaging(model: Module) -> Module:
    """The model with weights that take means: all equal, positive, of sum 1; no bias, no shift."""
    state = {name: np.zeros(value.shape) for name, value in model.state_dict().items()}
    for name, value in state.items():
        if value.ndim > 1:
            value[:] = 1 / value[0].size
        elif name.endswith(("weight", "running_var")):
            value[...] = 1
    model.load_state_dict(state)
    return model
