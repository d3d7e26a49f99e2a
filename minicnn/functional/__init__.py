"""The public functions: what they compute, what they accept, and the error where they do not.

Names, arguments and meaning are those of `torch.nn.functional`. Each checks its arguments and hands
over to an operation in `minicnn.ops`, where the arithmetic is. Arithmetic, reshaping and reductions
are methods of `Tensor`.
"""

from minicnn.functional.activation import relu, sigmoid, tanh
from minicnn.functional.conv import conv2d
from minicnn.functional.linear import linear
from minicnn.functional.loss import cross_entropy
from minicnn.functional.pooling import avg_pool2d, max_pool2d

__all__ = [
    "avg_pool2d",
    "conv2d",
    "cross_entropy",
    "linear",
    "max_pool2d",
    "relu",
    "sigmoid",
    "tanh",
]
