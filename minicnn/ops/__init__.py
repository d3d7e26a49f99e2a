"""The operations, one file per family: each a class with `forward` directly above `backward`.

This is the readable drawing, in NumPy, and the one to read first. It works by itself; the backends
replace the hot ones by faster or plainer drawings of the same thing.
"""

from minicnn.ops import arithmetic, shape  # noqa: F401  (they give Tensor its operators and methods)
