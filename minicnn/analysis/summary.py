"""A net as a table: what runs, in order, with sizes and costs."""

from __future__ import annotations

from dataclasses import dataclass

from minicnn.analysis.cost import Cost, count, kept, macs
from minicnn.analysis.field import fields
from minicnn.analysis.passes import shape_pass
from minicnn.analysis.table import human, table
from minicnn.nn.graph import Call


@dataclass
class Row:
    """A layer that was called, or a function called in passing.

    Attributes
    ----------
    number : int or None
        Counted from 1; None for a line that only names what holds the layers below it.
    depth : int
        How many modules it lies in.
    layer : str
        Its dotted name, or "relu()" for a function.
    kind : str
        Its class, and its window.
    sources : tuple of int
        Numbers of the rows it takes its inputs from; 0 is the image.
    shape : tuple of int
        Of one output, without the batch.
    parameters : int
        Numbers learnt here that no row above counts already.
    macs : int
    activations : int
        Numbers kept for backward.
    field : tuple of int or None
        Height and width of what a unit sees, in pixels; None for the whole image.
    """

    number: int | None
    depth: int
    layer: str
    kind: str
    sources: tuple[int, ...] = ()
    shape: tuple[int, ...] = ()
    parameters: int = 0
    macs: int = 0
    activations: int = 0
    field: tuple[int, int] | None = None
    branches: bool = False  # whether its inputs are not just the row above


@dataclass
class Summary:
    """What `summary` found; printed, it is a table of at most 100 columns.

    Attributes
    ----------
    name : str
        The net's class.
    rows : list of Row
    cost : Cost
        The totals.
    """

    name: str
    rows: list[Row]
    cost: Cost

    def __str__(self):
        return "\n".join([*table(self.rows, self.cost.value_bytes), "", *self.totals()])

    __repr__ = __str__

    def totals(self) -> list[str]:
        """The lines below the table."""
        c, size = self.cost, self.cost.value_bytes
        lines = [
            f"{self.name}, one image of {'×'.join(map(str, c.input_shape))}",
            f"parameters   {c.parameters:,} ({human(c.parameter_bytes, 'B')})",
            f"MACs         {human(c.macs)}; operations, two for each: {human(c.operations)}",
            f"activations  {human(c.activations)} numbers ({human(c.activation_bytes, 'B')}) with "
            "every output kept;",
            f"             {human(c.activations_in_place)} "
            f"({human(c.activations_in_place * size, 'B')}) "
            "with activation functions written over their inputs",
        ]
        if c.idle_parameters:
            lines[1] += f", {c.idle_parameters:,} of them in parts that run in training only"
        return lines


def summary(model, input_shape=None, depth=None) -> Summary:
    """What runs in a net, in order: shapes, parameters, MACs, memory, receptive field.

    No number is computed: a net of any size takes a moment.

    Parameters
    ----------
    model : Module or str
        A net, or the name of one in `minicnn.models`.
    input_shape : (C, H, W), optional
        In pixels; a named model has its own.
    depth : int, optional
        Show modules that lie deeper than this as one row; 1 shows the net's own layers and blocks.

    Returns
    -------
    Summary

    Raises
    ------
    TypeError, ValueError
        If the model does not take such an input, or an argument is of the wrong kind.
    """
    if depth is not None and (not isinstance(depth, int) or isinstance(depth, bool)):
        raise TypeError(f"summary: depth expects an int or None, but got {depth!r}")
    if depth is not None and depth < 1:
        raise ValueError(f"summary: depth expects 1 or more, but got {depth}")
    model, graph = shape_pass(model, input_shape)
    rows = _Rows(graph, depth)
    rows.add_steps(graph.call, 0)
    return Summary(type(model).__name__, rows.rows, count(model, graph))


class _Rows:
    """Collects the rows of a graph."""

    def __init__(self, graph, max_depth):
        self.rows, self.max_depth = [], max_depth
        self.graph, self.fields = graph, fields(graph)
        self.number_of = {}  # node -> number of its row
        self.counted = set()  # ids of parameters
        self.numbers, self.last = 0, 0  # rows so far, and the last one that ran anything

    def add_steps(self, call, depth):
        """A row, or rows, for each step of a call."""
        for step in call.steps:
            if not isinstance(step, Call):
                self.add(f"{step.name.lower()}()", "", [step], depth)
            elif self.is_leaf(step, depth):
                self.add(step.layer, describe(step.module), list(step.nodes()), depth, step)
            else:
                self.rows.append(Row(None, depth, step.layer, type(step.module).__name__))
                self.add_steps(step, depth + 1)

    def is_leaf(self, call, depth):
        """Whether a call is shown as one row."""
        deep = self.max_depth is not None and depth + 1 >= self.max_depth
        return deep or not any(isinstance(step, Call) for step in call.steps)

    def add(self, layer, kind, nodes, depth, call=None):
        """One row."""
        self.numbers += 1
        fed = [node for node in nodes if node.fed]
        row = Row(self.numbers, depth, layer, kind)
        row.parameters = self.parameters(nodes)
        row.macs, row.activations = sum(map(macs, nodes)), sum(map(kept, nodes))
        if fed:
            self.number_of.update(dict.fromkeys(nodes, row.number))
            row.shape, found = fed[-1].shape[1:], self.fields[fed[-1]]
            row.field = found and tuple(span.size for span in found)
            row.sources = self.sources(nodes, row.number)
            row.branches = row.sources != (self.last,)
            self.last = row.number
        elif call is not None and call.inputs:
            row.shape, row.kind = call.inputs[0].shape[1:], f"{kind} (passes on)"
        self.rows.append(row)

    def parameters(self, nodes):
        """How many numbers are learnt in these operations and were not counted before."""
        new = {id(p): p.size for node in nodes for p in node.parameters()}
        new = {key: size for key, size in new.items() if key not in self.counted}
        self.counted.update(new)
        return sum(new.values())

    def sources(self, nodes, number):
        """Numbers of the rows that these operations take the image's features from."""
        found = {}
        for source in [source for node in nodes for source in node.sources]:
            if self.graph.is_input(source):
                found[0] = None
            elif self.number_of.get(source, number) != number:
                found[self.number_of[source]] = None
        return tuple(found)


def describe(module) -> str:
    """A module's class and its window: "Conv2d 3x3/2 g32"."""
    text = type(module).__name__
    kernel, stride = getattr(module, "kernel_size", None), getattr(module, "stride", None)
    if isinstance(kernel, tuple):
        text += " " + "x".join(map(str, kernel))
        if isinstance(stride, tuple) and stride != (1, 1):
            text += "/" + "x".join(map(str, stride if stride[0] != stride[1] else stride[:1]))
    groups = getattr(module, "groups", 1)
    return text + (f" g{groups}" if groups != 1 else "")
