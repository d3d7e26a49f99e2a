"""The operations as CUDA kernels: on a GPU for CuPy arrays, in the emulator for NumPy arrays.

Each class makes its output arrays, and launches kernels of `kernels/` that fill them. For
convolutions there is a ladder of them (`convolution`), of which `minicnn.use_algorithm` chooses:
"im2col" with our own matrix product is the readable drawing's way.
"""

from __future__ import annotations

from minicnn.backends.cuda import (
    activation,
    conv,
    dropout,
    linear,
    loss,
    normalization,
    optim,
    pooling,
    upsample,
)

OPERATIONS = {
    operation.__name__: operation
    for family in (activation, conv, dropout, linear, loss, normalization, optim, pooling, upsample)
    for operation in family.OPERATIONS
}
