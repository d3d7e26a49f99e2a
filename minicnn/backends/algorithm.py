"""Which way of computing a convolution or a product is taken, where a backend knows several."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar

from minicnn.backends import backend_on, device_of

LADDER = (
    "auto", "naive", "coalesced", "direct", "shared_tile", "register_tile", "im2col",
    "implicit_gemm", "winograd2", "winograd4", "tf32",
)  # fmt: skip
TUNED = (
    "auto", "im2col", "tiled", "product", "banded", "depthwise", "winograd", "winograd2",
    "winograd4",
)  # fmt: skip
KNOWN = {  # by backend
    "loops": ("auto",),
    "numpy": ("auto", "im2col"),
    "fast": TUNED,
    "compiled": (*TUNED, "direct"),
    "emulator": LADDER,
    "cuda": LADDER,
}  # fmt: skip
ALGORITHMS = tuple(dict.fromkeys(name for names in KNOWN.values() for name in names))

_algorithm: ContextVar[str] = ContextVar("minicnn_algorithm", default="auto")
_tf32: ContextVar[bool] = ContextVar("minicnn_tf32", default=False)


@contextmanager
def use_algorithm(name: str):
    """Compute convolutions by this algorithm inside the `with` block.

    Parameters
    ----------
    name : str
        "auto" chooses by shape. The others are those of `minicnn.backends.fast.convolution`, and,
        for the cuda backend and the emulator, the rungs of `kernels/conv`; "im2col" is the one that
        all but loops have.

    Raises
    ------
    ValueError
        If there is no algorithm of that name. (That the backend does not have it, or that it cannot
        compute a certain convolution, is an error of the convolution.)
    """
    if name not in ALGORITHMS:
        raise ValueError(
            f"use_algorithm: expects one of {', '.join(map(repr, ALGORITHMS))}, but got {name!r}"
        )
    token = _algorithm.set(name)
    try:
        yield
    finally:
        _algorithm.reset(token)


def current_algorithm() -> str:
    """The algorithm that is asked for now."""
    return _algorithm.get()


def check_algorithm(function: str, array) -> None:
    """Raise ValueError if the backend that runs the array lacks the algorithm that is asked for."""
    asked = _algorithm.get()
    if asked == "auto":
        return
    backend = backend_on(device_of(array))
    known = KNOWN.get(backend, (asked,))
    if asked not in known:
        raise ValueError(
            f"{function}: the {backend} backend has no algorithm {asked!r}; use one of "
            f"{', '.join(map(repr, known))}, or another backend"
        )


def allow_tf32(allowed: bool = True) -> None:
    """Let "auto" choose TF32 tensor cores for float32 (compute capability 8.0 and up).

    TF32 keeps 10 bits of each factor's fraction where float32 has 23: products are wrong by about
    1e-3 of their size, and many times as fast. So it is off until it is asked for.
    """
    _tf32.set(bool(allowed))


def tf32_allowed() -> bool:
    """Whether "auto" may choose TF32."""
    return _tf32.get()
