"""The receptive field: which pixels of the image one unit of a layer can see.

Along an axis, unit i of a layer sees the pixels from first + i*jump to last + i*jump: the field's
size is last - first + 1, and neighbouring units look `jump` pixels apart. The image itself has
first = last = 0 and jump = 1. A window of K cells, D apart, with stride S and padding P moves

    first -= P jump,    last += ((K - 1) D - P) jump,    jump *= S,

so the size grows by (K - 1) D jump: two 3x3 convolutions see 5 x 5 pixels, three see 7 x 7. Where
branches meet, the unit sees from the first pixel of any of them to the last of any. A dense layer
and a global pooling see the whole image.

References
----------
Araujo, Norris, Sim, "Computing receptive fields of convolutional neural networks", 2019.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from minicnn.nn.graph import Graph, Node


@dataclass(frozen=True)
class Span:
    """What unit 0 sees along one axis, in pixels, and how far apart units look."""

    first: Fraction = Fraction(0)
    last: Fraction = Fraction(0)
    jump: Fraction = Fraction(1)

    @property
    def size(self) -> int:
        """How many pixels a unit sees."""
        return math.ceil(self.last - self.first) + 1

    def window(self, kernel, stride=1, padding=0, dilation=1) -> Span:
        """What a unit sees through a window on these units."""
        return Span(
            self.first - padding * self.jump,
            self.last + ((kernel - 1) * dilation - padding) * self.jump,
            self.jump * stride,
        )

    def of(self, unit: int) -> tuple[int, int]:
        """The first and the last pixel that a unit sees; they may lie outside the image."""
        return math.floor(self.first + unit * self.jump), math.ceil(self.last + unit * self.jump)


def fields(graph: Graph) -> dict[Node, tuple[Span, Span] | None]:
    """The field of each operation's output along H and W; None where it is the whole image."""
    found = {}
    for node in graph.nodes:
        if node.fed:
            found[node] = _field(node, [_of_source(s, graph, found) for s in node.sources])
    return found


def _of_source(source, graph, found):
    """(shape, field) of an input, or None if it does not depend on the image."""
    if source in found:
        return source.shape, found[source]
    return (source.shape, (Span(), Span())) if graph.is_input(source) else None


def _field(node, sources):
    given = [source for source in sources if source is not None]
    if len(node.shape) < 4 or not given or any(field is None for _, field in given):
        return None
    shape, field = given[0]
    fields = [field for _, field in given]
    if node.name in WINDOWS:
        added = [field for shape, field in given[1:] if shape == node.shape]  # by fusion
        fields = [WINDOWS[node.name](node.op, field), *added]
    elif node.name in ("Linear", "MatMul") or shape[-2:] != node.shape[-2:]:
        return None
    if None in fields:
        return None
    return tuple(_hull([field[axis] for field in fields]) for axis in (0, 1))


def _hull(spans):
    """From the first pixel of any to the last of any."""
    return Span(
        min(s.first for s in spans), max(s.last for s in spans), max(s.jump for s in spans)
    )


# ---------------------------------------------------------------------------
# Operations that look through windows, or move pixels
# ---------------------------------------------------------------------------
def _conv(op, field):
    settings = zip(op.shapes[1][2:], op.stride, op.padding, op.dilation)
    return tuple(span.window(*s) for span, s in zip(field, settings))


def _pool(op, field):
    settings = zip(op.kernel, op.stride, op.padding, op.dilation)
    return tuple(span.window(*s) for span, s in zip(field, settings))


def _adaptive(op, field):
    """Windows of ceil(n/o) pixels n/o apart; one more where they do not begin at a pixel."""
    if op.size == (1, 1) and op.shapes[0][2:] != (1, 1):
        return None
    sizes = zip(op.shapes[0][2:], op.size)
    ratios = [Fraction(n, o) for n, o in sizes]
    return tuple(
        span.window(math.ceil(r) + (r.denominator > 1), r) for span, r in zip(field, ratios)
    )


def _transposed(op, field):
    """Output o is stamped by the inputs i with o = i S + u D - P, so i from (o+P-(K-1)D)/S on."""
    spans = []
    for span, k, s, p, d in zip(field, op.shapes[1][2:], op.stride, op.padding, op.dilation):
        first, last = Fraction(p - (k - 1) * d, s), Fraction(p, s)
        spans.append(
            Span(span.first + first * span.jump, span.last + last * span.jump, span.jump / s)
        )
    return tuple(spans)


def _upsample(op, field):
    """Output i lies at i n/m; it reads the pixel before, and in bilinear the pixel behind, too."""
    spans = []
    for span, (n, m) in zip(field, op.spans):
        step = Fraction(n) / Fraction(m)
        reach = 1 - step if step < 1 else Fraction(0)
        behind = Fraction(0) if op.name == "UpsampleNearest2d" else Fraction(1)
        spans.append(
            Span(
                span.first - max(reach, behind / 2) * span.jump,
                span.last + behind * span.jump,
                span.jump * step,
            )
        )
    return tuple(spans)


def _pad(op, field):
    sides = op.sides if len(op.sides) == 2 else ((0, 0), *op.sides)
    return tuple(span.window(1, 1, before) for span, (before, _) in zip(field, sides))


def _index(op, field):
    """Every s-th pixel from a first one on, as in x[:, :, ::2, ::2]; the rest sees everything."""
    key = [k for k in op.key if k is not Ellipsis]
    if len(key) != len(op.key):
        place = op.key.index(Ellipsis)
        key[place:place] = [slice(None)] * (4 - len(key))
    key += [slice(None)] * (4 - len(key))
    if len(key) != 4 or not all(isinstance(k, slice) for k in key):
        return None
    steps = [k.indices(n) for k, n in zip(key[2:], op.shapes[0][2:])]
    return tuple(span.window(1, step, -start) for span, (start, _, step) in zip(field, steps))


WINDOWS = {
    "Conv2d": _conv,
    "DepthwiseConv2d": _conv,
    "ConvTranspose2d": _transposed,
    "MaxPool2d": _pool,
    "AvgPool2d": _pool,
    "AdaptiveAvgPool2d": _adaptive,
    "AdaptiveMaxPool2d": _adaptive,
    "UpsampleNearest2d": _upsample,
    "UpsampleBilinear2d": _upsample,
    "Pad": _pad,
    "Index": _index,
}
