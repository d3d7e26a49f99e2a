"""A net of ours as the PyTorch net that runs the same operations on equal weights.

What our net does is written down once (`minicnn.nn.graph.trace`, shapes only), and becomes a
`torch.fx` graph of PyTorch's own layers, whose generated `forward` is plain PyTorch code: the peer
pays for no interpreter of ours. A ReLU writes over its input where nobody else reads that, as
torchvision's nets do.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import torch
from torch import fx, nn

from minicnn import Tensor, no_grad, use_backend
from minicnn.backends.shapes import blank
from minicnn.nn.graph import Node, trace

ACTIVATIONS = {"relu": nn.ReLU, "relu6": nn.ReLU6, "silu": nn.SiLU, "hardswish": nn.Hardswish}


def convert(model, image) -> fx.GraphModule:
    """The PyTorch net of a net in training mode that takes images (C, H, W), with equal weights.

    Raises
    ------
    ValueError
        If the net runs an operation that has no counterpart here.
    """
    state = {name: array.copy() for name, array in model.state_dict().items()}
    with use_backend("shapes"), no_grad():
        graph = trace(model.train(), Tensor(blank((2, *image), np.float32)))
    model.load_state_dict(state)  # the pass has moved running statistics
    return Converter(model, graph).net()


class Converter:
    """Walks a graph of ours and builds PyTorch's, node by node."""

    def __init__(self, model, graph):
        self.layers = dict(model.named_modules())
        self.nodes = [node for node in graph.nodes if node.name != "Moments"]
        self.readers = Counter(
            id(s) for node in self.nodes for s in node.sources if isinstance(s, Node)
        )
        self.root, self.graph, self.made = nn.Module(), fx.Graph(), {}
        self.input = self.graph.placeholder("x")

    def net(self):
        """The whole net."""
        for node in self.nodes:
            if not hasattr(self, node.name):
                raise ValueError(f"pytorch_net: there is no rule for {node.name}; write one")
            self.made[node] = getattr(self, node.name)(node)
        self.graph.output(self.made[self.nodes[-1]])
        return fx.GraphModule(self.root, self.graph)

    def source(self, node, k=0):
        """The fx node that makes input k."""
        found = node.sources[k]
        return self.made[found] if isinstance(found, Node) else self.input

    def call(self, layer, *args):
        """A call of a new layer."""
        name = f"layer{len(list(self.root.children()))}"
        self.root.add_module(name, layer)
        return self.graph.call_module(name, args)

    # -- layers with weights --------------------------------------------------
    def loaded(self, layer, node):
        """The PyTorch layer with the weights and statistics of ours; then its add and activation.

        Inputs past the bias are those of `minicnn.ops.epilogue.Fused`.
        """
        state = {k: torch.tensor(v) for k, v in self.layers[node.layer].state_dict().items()}
        layer.load_state_dict(state)
        y = self.call(layer, self.source(node))
        if node.sources[-1] is not None:
            y = self.graph.call_function(torch.add, (y, self.source(node, -1)))
        activation = node.op.activation
        return y if activation is None else self.call(ACTIVATIONS[activation](inplace=True), y)

    def Conv2d(self, node):  # noqa: N802 - the operation's name
        """A convolution, depthwise ones included."""
        (_, C, *_), (O, _, *kernel), op = *node.op.shapes[:2], node.op
        layer = nn.Conv2d(C, O, tuple(kernel), op.stride, op.padding, op.dilation, op.groups,
                          bias=node.sources[2] is not None)  # fmt: skip
        return self.loaded(layer, node)

    DepthwiseConv2d = Conv2d

    def Linear(self, node):  # noqa: N802
        """A dense layer."""
        O, I = node.op.shapes[1]
        return self.loaded(nn.Linear(I, O, bias=node.sources[2] is not None), node)

    def BatchNorm(self, node):  # noqa: N802
        """A batch normalization with its running statistics."""
        ours = self.layers[node.layer]
        return self.loaded(nn.BatchNorm2d(ours.num_features, ours.eps, ours.momentum), node)

    # -- layers without -------------------------------------------------------
    def ReLU(self, node):  # noqa: N802
        """Writes over its input if it alone reads it."""
        return self.call(nn.ReLU(inplace=self.readers[id(node.sources[0])] == 1), self.source(node))

    def ReLU6(self, node):  # noqa: N802
        """As ReLU."""
        alone = self.readers[id(node.sources[0])] == 1
        return self.call(nn.ReLU6(inplace=alone), self.source(node))

    def MaxPool2d(self, node):  # noqa: N802
        """Largest of each window."""
        op = node.op
        layer = nn.MaxPool2d(op.kernel, op.stride, op.padding, op.dilation, ceil_mode=op.ceil_mode)
        return self.call(layer, self.source(node))

    def AdaptiveAvgPool2d(self, node):  # noqa: N802
        """Mean of each window."""
        return self.call(nn.AdaptiveAvgPool2d(node.op.size), self.source(node))

    def Dropout(self, node):  # noqa: N802
        """The same share of zeros, other ones."""
        return self.call(nn.Dropout(1 - node.op.keep), self.source(node))

    # -- functions ------------------------------------------------------------
    def Add(self, node):  # noqa: N802
        """The end of a residual block."""
        return self.graph.call_function(torch.add, (self.source(node), self.source(node, 1)))

    def Cat(self, node):  # noqa: N802
        """Branches side by side."""
        parts = [self.source(node, k) for k in range(len(node.sources))]
        return self.graph.call_function(torch.cat, (parts, node.op.dim))

    def Reshape(self, node):  # noqa: N802
        """All features of an image in a row: the only reshaping the nets here do."""
        if len(node.shape) != 2 or node.shape[0] != node.op.shapes[0][0]:
            raise ValueError(f"pytorch_net: expects a reshape to (N, features), got {node.shape}")
        return self.graph.call_function(torch.flatten, (self.source(node), 1))
