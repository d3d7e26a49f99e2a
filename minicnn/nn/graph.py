"""A pass as a graph: which operations ran, on what, and inside which modules.

    graph = trace(model, x)
    for node in graph.nodes:
        print(node.layer, node.name, node.shape)

What a net's `forward` did is written down as it happens, so a function called in passing
(`F.relu(x)`, `x + y`) is there beside the layers, and whatever was not run is not.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from minicnn.nn.module import Module, Parameter
from minicnn.tensor import Function, Tensor, _recorder


@dataclass(eq=False)
class Call:
    """A module that was called.

    Attributes
    ----------
    module : Module
    layer : str
        Its dotted name in the net, "" for the net itself.
    inputs : tuple
        What it was called with.
    steps : list of Call and Node
        What it called and ran, in that order.
    """

    module: Module
    layer: str
    inputs: tuple
    steps: list = field(default_factory=list)

    def nodes(self):
        """All operations that ran inside, in the order they ran."""
        for step in self.steps:
            if isinstance(step, Call):
                yield from step.nodes()
            else:
                yield step


@dataclass(eq=False)
class Node:
    """An operation that ran.

    Attributes
    ----------
    op : Function
        With its settings.
    sources : tuple
        For each input the Node that made it, the Tensor itself where none did (the net's input, a
        parameter, a constant), or None where it was left out.
    output : Tensor
    layer : str
        Dotted name of the innermost module it ran in.
    fed : bool
        Whether it depends on the net's input. (What is worked out of parameters alone does not.)
    gradient : tuple of int or None
        Shape of the gradient that arrived at its output, if the walk back passed here.
    """

    op: Function
    sources: tuple
    output: Tensor
    layer: str
    fed: bool
    gradient: tuple[int, ...] | None = None

    @property
    def name(self) -> str:
        """The operation's name, such as "Conv2d"."""
        return self.op.name

    @property
    def shape(self) -> tuple[int, ...]:
        """The output's shape."""
        return self.output.shape

    def parameters(self) -> list[Parameter]:
        """The parameters among the inputs."""
        return [source for source in self.sources if isinstance(source, Parameter)]


class Graph:
    """One pass of a net.

    Attributes
    ----------
    call : Call
        Of the net itself; all others are inside.
    nodes : list of Node
        In the order they ran.
    inputs : tuple of Tensor
        What the net was called with.
    result
        What it returned: a Tensor, or several.
    """

    def __init__(self, inputs):
        self.inputs = inputs
        self.call = self.result = None
        self.nodes = []
        self._made = {}  # id of an array -> the node it came from; nodes keep the arrays alive

    def node_of(self, tensor) -> Node | None:
        """The operation that made a tensor (or the one it was detached from)."""
        return self._made.get(id(tensor._data))

    def _add(self, op, inputs, output, layer):
        sources = tuple(None if t is None else self.node_of(t) or t for t in inputs)
        fed = any(s.fed if isinstance(s, Node) else self.is_input(s) for s in sources)
        node = Node(op, sources, output, layer, fed)
        self.nodes.append(node)
        self._made[id(output._data)] = node
        return node

    def is_input(self, tensor) -> bool:
        """Whether this is what the net was called with."""
        return isinstance(tensor, Tensor) and any(tensor._data is t._data for t in self.inputs)


def trace(model: Module, *inputs: Tensor, backward: bool = False) -> Graph:
    """Call the model and write down what runs.

    Backend, gradient mode and the model's own mode are those that are on. With `backward`, the tape
    is walked back from the model's result (the first of several), with gradients of 1.

    Raises
    ------
    RuntimeError
        If a recording is under way already.
    """
    if _recorder.get() is not None:
        raise RuntimeError("trace: a recording is under way already; end it first")
    graph = Graph(inputs)
    token = _recorder.set(_Recorder(graph, model))
    try:
        graph.result = model(*inputs)
        if backward and (y := first_tensor(graph.result)).requires_grad:
            y.backward(np.ones(y.shape, y.dtype))
    finally:
        _recorder.reset(token)
    return graph


def first_tensor(result) -> Tensor:
    """What a net returned, or the first of several things that it returned."""
    while isinstance(result, (tuple, list)):
        result = result[0]
    return result


@contextmanager
def evaluating(model):
    """The model in evaluation mode inside the block; its modes and gradients are put back."""
    modes = [(module, module.training) for _, module in model.named_modules()]
    grads = [(p, p.grad) for p in model.parameters()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for p, grad in grads:
            p.grad = grad


class _Recorder:
    """What the tape and the modules report to (see `minicnn.tensor`)."""

    def __init__(self, graph, model):
        self.graph = graph
        self.running = []
        self.ran = {}  # operation -> its node
        self.names = {}
        for name, module in model.named_modules():
            self.names.setdefault(id(module), name)  # a shared module has its first name

    @contextmanager
    def inside(self, module, inputs):
        """What runs in this block belongs to `module`."""
        name = self.names.get(id(module), type(module).__name__)
        call = Call(module, name, inputs)
        if self.running:
            self.running[-1].steps.append(call)
        else:
            self.graph.call = call
        self.running.append(call)
        try:
            yield
        finally:
            self.running.pop()

    def forward(self, op, inputs, output):
        """An operation has run."""
        call = self.running[-1]
        node = self.ran[op] = self.graph._add(op, inputs, output, call.layer)
        call.steps.append(node)

    def backward(self, entry, dy, grads):
        """The walk back has passed an operation."""
        if entry in self.ran:
            self.ran[entry].gradient = dy.shape
