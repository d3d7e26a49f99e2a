"""What a net costs: numbers to learn, multiplications, numbers to keep.

A MAC is one multiplication whose product is added to a sum. They are counted operation by operation
as a pass runs, so nothing is counted twice, and nothing is missed that is not a layer. Counted
are the products of convolutions, dense layers and matrix products; what costs one step an element
(activations, normalization, pooling, biases) is not, as is usual in papers. "Operations" and FLOPs
are 2 a MAC.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from minicnn.analysis.passes import shape_pass
from minicnn.nn.graph import Graph, Node

# One number in, one number out, and no other layer's backward needs what came in.
ACTIVATIONS = (
    "ReLU", "LeakyReLU", "PReLU", "ReLU6", "Hardsigmoid", "Hardswish", "Tanh", "ScaledTanh",
    "Sigmoid", "SiLU", "GELU", "GELUTanh", "Dropout", "Dropout2d",
)  # fmt: skip


def macs(node: Node) -> int:
    """Multiplications of one operation.

    Convolution: N O OH OW * (C/G) KH KW; transposed: N C H W * (O/G) KH KW; dense layer: an
    output's I for each output; matrix product: the inner size for each output.
    """
    shapes = node.op.shapes
    if node.name in ("Conv2d", "DepthwiseConv2d"):
        return math.prod(node.shape) * math.prod(shapes[1][1:])
    if node.name == "ConvTranspose2d":
        return math.prod(shapes[0]) * math.prod(shapes[1][1:])
    if node.name == "Linear":
        return math.prod(node.shape) * shapes[1][1]
    if node.name == "MatMul":
        return math.prod(node.shape) * shapes[0][-1]
    return 0


def kept(node: Node) -> int:
    """Numbers of its own that an operation's output holds: none, if it is a view of its input."""
    if not node.fed or node.op.may_alias:
        return 0
    return math.prod(node.shape)


def in_place(node: Node) -> bool:
    """Whether an operation can write its output over its input."""
    return node.name in ACTIVATIONS


@dataclass(frozen=True)
class Cost:
    """What one image costs in one pass.

    Attributes
    ----------
    input_shape : tuple of int
        (C, H, W) of the image.
    parameters : int
        Numbers learnt, each counted once.
    idle_parameters : int
        Those of parts that did not run in evaluation, such as training heads.
    macs : int
        Multiply-accumulates; see `minicnn.analysis.cost`.
    activations : int
        Numbers kept for backward, with every operation's output kept, and the image.
    activations_in_place : int
        The same with activation functions written over their inputs.
    gradients : int
        Numbers that the walk back adds: a gradient for every output it passes. 0 where it was not
        walked, as in `summary`.
    value_bytes : int
        Bytes of a number: 4 for float32.
    """

    input_shape: tuple[int, ...]
    parameters: int
    idle_parameters: int
    macs: int
    activations: int
    activations_in_place: int
    gradients: int
    value_bytes: int

    @property
    def operations(self) -> int:
        """FLOPs: two for each MAC."""
        return 2 * self.macs

    @property
    def parameter_bytes(self) -> int:
        """Memory of the parameters."""
        return self.parameters * self.value_bytes

    @property
    def activation_bytes(self) -> int:
        """Memory of `activations`."""
        return self.activations * self.value_bytes


def cost(model, input_shape=None) -> Cost:
    """Count what one image costs, without computing a number.

    Parameters
    ----------
    model : Module or str
        A net, or the name of one in `minicnn.models`.
    input_shape : (C, H, W), optional
        In pixels; a named model has its own.

    Returns
    -------
    Cost

    Raises
    ------
    TypeError, ValueError
        If the model does not take such an input, or an argument is of the wrong kind.
    """
    return count(*shape_pass(model, input_shape, backward=True))


def count(model, graph: Graph) -> Cost:
    """The cost of a pass that `trace` has written down."""
    used = {id(p) for node in graph.nodes for p in node.parameters()}
    image = graph.inputs[0]
    outputs = [(node, kept(node)) for node in graph.nodes]
    return Cost(
        input_shape=image.shape[1:],
        parameters=model.num_parameters(),
        idle_parameters=sum(p.size for p in model.parameters() if id(p) not in used),
        macs=sum(map(macs, graph.nodes)),
        activations=image.size + sum(n for _, n in outputs),
        activations_in_place=image.size + sum(n for node, n in outputs if not in_place(node)),
        gradients=sum(n for node, n in outputs if node.gradient),
        value_bytes=image.dtype.itemsize,
    )
