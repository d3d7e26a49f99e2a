"""The definition: every operation as nested loops over single numbers.

Nothing is clever here, so nothing can be misread. It is slow (a microsecond or so a term) and it is
what every other drawing is compared with.
"""

from __future__ import annotations

from minicnn.backends.loops import (
    activation,
    conv,
    dropout,
    joining,
    linear,
    loss,
    normalization,
    pooling,
    upsample,
)

OPERATIONS = {
    operation.__name__: operation
    for family in (
        activation,
        conv,
        dropout,
        joining,
        linear,
        loss,
        normalization,
        pooling,
        upsample,
    )
    for operation in family.OPERATIONS
}
