"""What `into` says where there is nothing to look into."""

from __future__ import annotations

import operator


def check_index(name: str, array, index) -> tuple[int, ...]:
    """`index` as ints from 0, one for each dimension of the array."""
    try:
        index = tuple(operator.index(k) for k in index)
    except TypeError:
        raise TypeError(f"into: indices must be ints, but got {index}") from None
    if len(index) != array.ndim:
        raise ValueError(
            f"into: {name} has shape {array.shape}, so it takes {array.ndim} indices, but got "
            f"{len(index)}: {index}"
        )
    for axis, (k, n) in enumerate(zip(index, array.shape)):
        if not -n <= k < n:
            raise IndexError(
                f"into: index {k} is out of range in axis {axis} of {name}, whose shape is "
                f"{array.shape}; it must lie in 0 to {n - 1}"
            )
    return tuple(k % n for k, n in zip(index, array.shape))


def no_gradient(step, letter) -> str:
    """Why there is no gradient of this input to look into."""
    name, given = step.long_name(letter), step.held[step.letters.index(letter)]
    text = f"into: {step.title} has no gradient of its {name}"
    others = [step.long_name(k) for k, g in step.grads.items() if g is not None]
    hint = f"; there is one with of={' or of='.join(map(repr, others))}" if others else ""
    if given is None:
        return f"{text}, because it was given none{hint}"
    if given.array.dtype.kind != "f":
        return f"{text}, because it holds {given.array.dtype}, not floats{hint}"
    return (
        f"{text}, because nothing asked for it: make it with Tensor(..., requires_grad=True) "
        f"and record again{hint}"
    )


def not_kept(step, name, index, found) -> str:
    """That an element was over the budget, and which ones are there."""
    there = ", ".join(f"{name}[{','.join(map(str, k))}]" for k in found)
    return (
        f"into: what {name}[{','.join(map(str, index))}] was computed from was not kept: "
        f"{step.title} is larger than what was left of the recording's budget; in full there "
        f"{f'are {there}' if there else 'is none of its numbers'}; for all of them, "
        "record(budget=...) with more bytes"
    )
