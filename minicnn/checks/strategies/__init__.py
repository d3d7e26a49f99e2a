"""Hypothesis strategies: arguments of minicnn's functions, drawn over their whole range.

Each strategy named after a function of `minicnn.functional` draws a `Case` of it: arrays of small,
odd, ragged shapes in any memory order, with kernels, strides and paddings that need not divide
anything. A failing case shrinks to the smallest one. Use them for your own functions, too:

    @given(strategies.max_pool2d())
    def test_mine(case):
        expected = case.run().numpy()
        assert np.allclose(my_max_pool2d(*case.arrays, **case.settings), expected)
"""

from minicnn.checks.strategies.activation import relu, sigmoid, tanh
from minicnn.checks.strategies.cases import MEMORY_ORDERS, Case, arrays, in_memory_order
from minicnn.checks.strategies.conv import conv2d
from minicnn.checks.strategies.linear import linear
from minicnn.checks.strategies.loss import cross_entropy
from minicnn.checks.strategies.pooling import avg_pool2d, max_pool2d

FUNCTIONS = {
    strategy.__name__: strategy
    for strategy in (
        avg_pool2d, conv2d, cross_entropy, linear, max_pool2d, relu, sigmoid, tanh,
    )
}  # fmt: skip

__all__ = ["FUNCTIONS", "MEMORY_ORDERS", "Case", "arrays", "in_memory_order", *FUNCTIONS]
