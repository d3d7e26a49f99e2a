"""Builds an ONNX graph from two passes of a net."""

from __future__ import annotations

from collections import Counter

import numpy as np

from minicnn.interop.onnx.base import ExportError, value_of
from minicnn.interop.onnx.forms import FORMS
from minicnn.nn.graph import Node
from minicnn.tensor import Tensor

OPSET = 18
INPUT = "input"


class Writer:
    """Builds an ONNX graph from two passes of a net.

    The functions of `forms` call `add`, `constant` and `statistic`.
    """

    def __init__(self, model, passes):
        from onnx import helper, numpy_helper

        self.helper, self.to_proto = helper, numpy_helper.from_array
        self.graph, double = passes
        self.twin = dict(zip(self.graph.nodes, double.nodes, strict=True))  # of the batch of two
        self.keys = {id(t._data): key for key, t in _state(model)}
        self.state = dict(_state(model))
        self.names = {}  # node -> name of its value
        self.nodes, self.weights, self.counts = [], {}, Counter()

    def model(self, name):
        """The whole as a ModelProto."""
        from minicnn import __version__

        for node in self.wanted():
            self.names[node] = self.form(node)
        outputs = self.outputs()
        used = {name for node in self.nodes for name in node.input}
        graph = self.helper.make_graph(
            self.nodes, name, [self.info(INPUT, self.graph.inputs[0])], outputs,
            [self.to_proto(np.array(self.weights[key], order="C"), key) for key in self.weights
             if key in used],
        )  # fmt: skip
        proto = self.helper.make_model(
            graph,
            opset_imports=[self.helper.make_opsetid("", OPSET)],
            producer_name="minicnn",
            producer_version=__version__,
        )
        proto.ir_version = 8  # the one of OPSET's time: older programs read it, too
        return proto

    def wanted(self) -> list[Node]:
        """The operations that lead from the input to what the net returned, in order."""
        found, stack = set(), [self.graph.node_of(tensor) for tensor in _flat(self.graph.result)]
        while stack:
            node = stack.pop()
            if isinstance(node, Node) and node.fed and node not in found:
                found.add(node)
                stack.extend(node.sources)
        return [node for node in self.graph.nodes if node in found]

    def form(self, node: Node) -> str:
        """Write an operation down; the name of its output."""
        write = FORMS.get(node.name)
        where = f" in {node.layer}" if node.layer else ""
        if write is None:
            raise ExportError(
                f"export_onnx: {node.name}{where} has no ONNX form here; export the part of the "
                "net before it"
            )
        inputs = [self.source(node, k) for k in range(len(node.sources))]
        try:
            return write(self, node, inputs)
        except ExportError as error:
            raise ExportError(f"export_onnx: {node.name}{where}: {error}") from None

    def source(self, node, k) -> str | None:
        """The name of an operation's k-th input."""
        source = node.sources[k]
        if source is None:
            return None
        if self.graph.is_input(source):
            return INPUT
        if source in self.names:
            return self.names[source]
        tensor = value_of(source)
        if (key := self.keys.get(id(tensor._data))) is not None:  # a parameter or buffer
            self.weights[key] = tensor.numpy()
            return key
        array = value_of(self.twin[node].sources[k]).numpy()
        for axis, (n, m) in enumerate(zip(tensor.shape, array.shape)):
            if n != m:  # it grows with the batch: one of many equal parts will do
                part = array.take([0], axis)
                if not (array == part).all():
                    raise ExportError(f"export_onnx: {node.name} in {node.layer!r} uses a constant "
                                      "of its own for each image of the batch")  # fmt: skip
                array = part
        return self.constant(array, array.dtype)

    # -- what the forms use ---------------------------------------------------
    def add(self, kind, inputs, node=None, output=0, **attributes) -> str:
        """Append an ONNX node; the name of its output with this number."""
        layer = node.layer if node is not None and node.layer else ""
        outputs = [self.fresh(f"{layer}/{kind}" if layer else kind) for _ in range(output + 1)]
        inputs = ["" if name is None else name for name in inputs]
        self.nodes.append(self.helper.make_node(kind, inputs, outputs, outputs[0], **attributes))
        return outputs[output]

    def constant(self, value, dtype) -> str:
        """The name of an array of numbers."""
        array = np.asarray(value, dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self.keys:
            self.keys[key] = self.fresh("constant")
            self.weights[self.keys[key]] = array
        return self.keys[key]

    def statistic(self, node, name, array) -> str:
        """A running statistic, under its name in the state_dict if it stands there."""
        key = f"{node.layer}.{name}" if node.layer else name
        buffer = self.state.get(key)
        if buffer is not None and np.array_equal(buffer.numpy(), array):
            self.weights[key] = buffer.numpy()
            return key
        return self.constant(array, array.dtype)

    # -- parts ----------------------------------------------------------------
    def fresh(self, name) -> str:
        """`name`, or with a number behind it if there is one already."""
        self.counts[name] += 1
        return f"{name}_{self.counts[name]}"

    def outputs(self):
        """What the net returned: "output", or "output0", "output1", ..."""
        results = _flat(self.graph.result)
        infos = []
        for k, tensor in enumerate(results):
            name = "output" if len(results) == 1 else f"output{k}"
            made = self.names.get(self.graph.node_of(tensor))
            if made is None:
                raise ExportError("export_onnx: an output that does not depend on the input has no "
                                  "ONNX form here")  # fmt: skip
            self.nodes.append(self.helper.make_node("Identity", [made], [name], name))
            infos.append(self.info(name, tensor))
        return infos

    def info(self, name, tensor):
        """A value's name, dtype and shape, with a batch of any size."""
        kind = self.helper.np_dtype_to_tensor_dtype(tensor.dtype)
        return self.helper.make_tensor_value_info(name, kind, ["N", *tensor.shape[1:]])


def _state(model):
    """(name, tensor) of all parameters and buffers."""
    yield from model.named_parameters()
    yield from model.named_buffers()


def _flat(result):
    """All tensors among what a net returned."""
    if isinstance(result, Tensor):
        return [result]
    return [tensor for part in result for tensor in _flat(part)]
