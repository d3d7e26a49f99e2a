"""Indices, sizes and shapes as formulas write them."""

from __future__ import annotations


def shifted(letter: str, offset: int) -> str:
    """"u", "15+u" or "u-2"."""
    if offset == 0:
        return letter
    return f"{offset}+{letter}" if offset > 0 else f"{letter}{offset}"


def over(**sizes: int) -> str:
    """"c < 6, u < 5": the letters run from 0."""
    return ", ".join(f"{letter} < {n}" for letter, n in sizes.items())


def shape_of(step, letter):
    """The shape of the output ("y") or of an input."""
    if letter == "y":
        return step.held_output.shape
    return step.held[step.letters.index(letter)].shape


def wanted(step, lines):
    """The equations of those gradients that were computed."""
    return [line for letter, line in lines.items() if step.grads.get(letter) is not None]
