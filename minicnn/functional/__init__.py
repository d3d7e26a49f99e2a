"""The public functions: what they compute, what they accept, and the error where they do not.

Names, arguments and meaning are those of `torch.nn.functional`. Each checks its arguments and hands
over to an operation in `minicnn.ops`, where the arithmetic is. Arithmetic, reshaping and reductions
are methods of `Tensor`.
"""

from minicnn.functional.activation import (
    gelu,
    hardsigmoid,
    hardswish,
    leaky_relu,
    log_softmax,
    prelu,
    relu,
    relu6,
    scaled_tanh,
    sigmoid,
    silu,
    softmax,
    tanh,
)
from minicnn.functional.conv import col2im, conv2d, conv_transpose2d, im2col, partial_conv2d
from minicnn.functional.dropout import dropout, dropout2d
from minicnn.functional.joining import cat, channel_shuffle, stack
from minicnn.functional.linear import linear
from minicnn.functional.loss import cross_entropy, margin_loss, mse_loss, nll_loss
from minicnn.functional.normalization import batch_norm, local_response_norm
from minicnn.functional.padding import pad
from minicnn.functional.pooling import (
    adaptive_avg_pool2d,
    adaptive_max_pool2d,
    avg_pool2d,
    max_pool2d,
)
from minicnn.functional.recurrent import gru_cell, lstm_cell
from minicnn.functional.unpooling import max_unpool2d
from minicnn.functional.upsample import interpolate

__all__ = [
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "avg_pool2d",
    "batch_norm",
    "cat",
    "channel_shuffle",
    "col2im",
    "conv2d",
    "conv_transpose2d",
    "cross_entropy",
    "dropout",
    "dropout2d",
    "gelu",
    "gru_cell",
    "hardsigmoid",
    "hardswish",
    "im2col",
    "interpolate",
    "leaky_relu",
    "linear",
    "local_response_norm",
    "log_softmax",
    "lstm_cell",
    "margin_loss",
    "max_pool2d",
    "max_unpool2d",
    "mse_loss",
    "nll_loss",
    "pad",
    "partial_conv2d",
    "prelu",
    "relu",
    "relu6",
    "scaled_tanh",
    "sigmoid",
    "silu",
    "softmax",
    "stack",
    "tanh",
]
