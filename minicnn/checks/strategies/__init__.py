"""Hypothesis strategies: arguments of minicnn's functions, drawn over their whole range.

Each strategy named after a function of `minicnn.functional` draws a `Case` of it: arrays of small,
odd, ragged shapes in any memory order, with kernels, strides and paddings that need not divide
anything; those named `fused_...` give it an `activation` and an `add`, too. A failing case shrinks
to the smallest one. Use them for your own functions:

    @given(strategies.max_pool2d())
    def test_mine(case):
        expected = case.run().numpy()
        assert np.allclose(my_max_pool2d(*case.arrays, **case.settings), expected)
"""

from minicnn.checks.strategies.activation import (
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
from minicnn.checks.strategies.cases import MEMORY_ORDERS, Case, arrays, in_memory_order
from minicnn.checks.strategies.conv import (
    col2im,
    conv2d,
    conv_transpose2d,
    fused_conv2d,
    im2col,
    partial_conv2d,
)
from minicnn.checks.strategies.dropout import dropout, dropout2d
from minicnn.checks.strategies.joining import cat, channel_shuffle
from minicnn.checks.strategies.linear import fused_linear, linear
from minicnn.checks.strategies.loss import cross_entropy, margin_loss, mse_loss, nll_loss
from minicnn.checks.strategies.normalization import (
    batch_norm,
    fused_batch_norm,
    local_response_norm,
)
from minicnn.checks.strategies.padding import pad
from minicnn.checks.strategies.pooling import (
    adaptive_avg_pool2d,
    adaptive_max_pool2d,
    avg_pool2d,
    max_pool2d,
    max_unpool2d,
)
from minicnn.checks.strategies.upsample import interpolate

FUNCTIONS = {
    strategy.__name__: strategy
    for strategy in (
        adaptive_avg_pool2d, adaptive_max_pool2d, avg_pool2d, batch_norm, cat, channel_shuffle,
        col2im, conv2d, conv_transpose2d, cross_entropy, dropout, dropout2d, fused_batch_norm,
        fused_conv2d, fused_linear, gelu, hardsigmoid, hardswish, im2col, interpolate,
        leaky_relu, linear, local_response_norm, log_softmax, margin_loss, max_pool2d,
        max_unpool2d, mse_loss, nll_loss, pad, partial_conv2d, prelu, relu, relu6, scaled_tanh,
        sigmoid, silu, softmax, tanh,
    )
}  # fmt: skip

__all__ = ["FUNCTIONS", "MEMORY_ORDERS", "Case", "arrays", "in_memory_order", *FUNCTIONS]
