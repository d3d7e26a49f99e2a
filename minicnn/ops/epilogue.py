"""Fusion: what an operation does to its result before it lets go of it, y = activation(z + add).

A number that was just computed lies in a register (on a GPU) or in the cache (on a CPU). To add
another to it there, and to activate it, costs little; an operation of its own would read and write
the whole array once more.
"""

from __future__ import annotations

from copy import copy

from minicnn.backends import device_of, drawing
from minicnn.ops.activation import Hardswish, ReLU, ReLU6, SiLU
from minicnn.tensor import Function

ACTIVATIONS = {"relu": ReLU, "relu6": ReLU6, "silu": SiLU, "hardswish": Hardswish}


class Fused(Function):
    """An operation whose last input is `add` and whose setting `activation` is a name, or None.

    It is one entry of the tape with the activation's operation as a part. Its `forward` ends with
    `return self.finish(z, add)`, and its `backward(dy)` begins with `dz = self.back_to_z(dy, kept)`
    and returns dz as the gradient of `add`. Where nothing needs it, z is not stored: y is written
    over it, and who wants to see it has it computed again by `preactivation`.
    """

    activation = None

    def finish(self, z, add):
        """y = activation(z + add); z must be a fresh array, which may be written over."""
        if add is not None:
            z += add
        if self.activation is None:
            return z
        part = self.start_part(z)
        part.out = z  # for those whose slope follows from y; the others keep z
        y = part.forward(z)
        self.saved, part.saved, part.out = (*self.saved, *part.saved), (), None
        return y

    def start_part(self, array):
        """The activation, as the backend that runs `array` draws it."""
        self.part = drawing(ACTIVATIONS[self.activation], device_of(array))()
        return self.part

    def back_to_z(self, dy, kept):
        """The gradient of z + add, from dy and what `finish` saved."""
        if self.activation is None:
            return dy
        self.part.saved = tuple(kept)
        dz, self.part.saved = self.part.backward(dy), ()
        return dz

    def preactivation(self, *arrays):
        """z + add, computed again from the inputs."""
        plain = copy(self)
        plain.activation = None
        return plain.forward(*arrays)

    @property
    def choose(self):
        """With a piecewise activation the operation is piecewise, too: see `Choices`."""
        piecewise = self.activation and ACTIVATIONS[self.activation].choose
        return self.choose_piece if piecewise else None

    def choose_piece(self, *arrays):
        """The piece of the activation that each z is on."""
        return ACTIVATIONS[self.activation]().choose(self.preactivation(*arrays))

    def replay(self, choice, *arrays):
        """The activation's chosen piece of each z."""
        return ACTIVATIONS[self.activation]().replay(choice, self.preactivation(*arrays))
