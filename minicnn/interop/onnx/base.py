"""What the functions that write an operation in ONNX share.

Each gets the writer `g`, the node, and the names of its inputs; it adds ONNX nodes with `g.add`,
numbers with `g.constant`, and returns the name of the output.
"""

from __future__ import annotations

from minicnn.nn.graph import Node


class ExportError(ValueError):
    """A net that cannot be said in ONNX."""


def plain(kind, **attributes):
    """An operation that ONNX has as it is."""
    return lambda g, node, inputs: g.add(kind, inputs, node, **attributes)


def number(g, node, value):
    """The name of one number in the net's dtype."""
    return g.constant(value, node.output.dtype)


def number_of_rows(g, node, name):
    """The name of [N], a value's first size, worked out when the net runs."""
    return g.add("Shape", [name], node, start=0, end=1)


def value_of(source):
    """The value of an input that does not depend on the net's input."""
    return source.output if isinstance(source, Node) else source
