"""The operations as CUDA kernels: on a GPU for CuPy arrays, in the emulator for NumPy arrays.

Each class makes its output arrays, and launches kernels of `kernels/` that fill them. Convolution
is im2col and our own matrix product, as in the readable drawing.
"""

from __future__ import annotations

from minicnn.backends.cuda import (
    activation,
    conv,
    dropout,
    linear,
    loss,
    normalization,
    pooling,
    upsample,
)

OPERATIONS = {
    operation.__name__: operation
    for family in (activation, conv, dropout, linear, loss, normalization, pooling, upsample)
    for operation in family.OPERATIONS
}
