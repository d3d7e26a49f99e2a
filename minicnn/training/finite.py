"""Numbers that are not finite: whether there are any, and where the first one came from."""

from __future__ import annotations

import math
from contextlib import contextmanager

import numpy as np

from minicnn.backends import xp
from minicnn.functional.dropout import stream
from minicnn.layout import nhwc
from minicnn.tensor import FLOATS, _recorder


class DivergenceError(ArithmeticError):
    """The loss, or a gradient, is no longer a finite number."""


# ---------------------------------------------------------------------------
# Checks
# ---------------------------------------------------------------------------
def check_loss(trainer, loss, x, y, masks, where=None) -> None:
    """Raise a DivergenceError if a batch's loss is infinite or NaN.

    `masks` is the counter of the dropout masks before the batch was run.
    """
    if not math.isfinite(loss.item()):
        _diverged(trainer, f"the loss is {loss.item()}", x, y, masks, where)


def check_gradients(trainer, x, y, masks) -> None:
    """Raise a DivergenceError if a gradient is not finite: it must not reach the weights."""
    if all_finite([p.grad._data for p in trainer.optimizer.parameters if p.grad is not None]):
        return
    for name, p in trainer.model.named_parameters():
        if p.grad is not None and not all_finite([p.grad._data]):
            _diverged(trainer, f"the gradient of {name} is not finite", x, y, masks)


def _diverged(trainer, what, x, y, masks, where=None):
    where = where or f"at epoch {len(trainer.history) + 1}, batch {trainer.batch + 1}"
    trainer.optimizer.zero_grad()
    culprit = first_culprit(
        trainer.model, trainer.input(x), lambda x: trainer.loss(trainer.model(x), y), masks
    )
    trainer.optimizer.zero_grad()
    raise DivergenceError(
        f"{what} {where}: {culprit}. The weights have run away, or the images are broken; lower "
        f"the learning rate (it was {trainer.optimizer.lr:.3g} here) and start again"
    )


def all_finite(arrays) -> bool:
    """Whether every number of every array is finite, at the cost of reading them once."""
    arrays = list(arrays)
    lib = xp(arrays[0]) if arrays else np
    if lib is not np:  # ask a GPU once, not once an array
        return bool(lib.stack([lib.isfinite(a).all() for a in arrays]).all())
    with np.errstate(over="ignore", invalid="ignore"):
        return all(_finite(a) for a in arrays)


def _finite(array) -> bool:
    flat = (nhwc(array) if array.ndim == 4 else array).ravel()
    # The sum of squares is quicker to have; it overflows long before the numbers do.
    return math.isfinite(np.dot(flat, flat)) or bool(np.isfinite(flat).all())


def first_culprit(model, x, loss_of, counter) -> str:
    """Where the first number that is not finite arises when a batch is run again, in words.

    Parameters
    ----------
    model : Module
        With the weights that the batch was run with.
    x : Tensor
        The batch's input.
    loss_of : function
        From x to the loss; run forward and, if there is a tape, backward. Adds to the gradients.
    counter : int
        Of the dropout masks, before the batch was run: the same ones are drawn again.
    """
    if not all_finite([x._data]):
        return "the input of the net holds numbers that are not finite: look at the images"
    for name, p in model.named_parameters():
        if not all_finite([p._data]):
            return f"{name} holds numbers that are not finite, before the net has run"
    watch = Watch(model)
    stream.counter = counter
    with watch.watching():
        loss = loss_of(x)
        if watch.found is None and loss.requires_grad:
            loss.backward()
    return watch.found or "none of it came up when the batch was run a second time"


class Watch:
    """A recorder (see `minicnn.tensor`) that notes the first operation gone wrong."""

    def __init__(self, model):
        self.found = None
        self.names = {}
        for name, module in model.named_modules():
            self.names.setdefault(id(module), name)
        self.running = []  # the modules that are running, outermost first
        self.layers = {}  # operation -> the layer it ran in

    @contextmanager
    def watching(self):
        """Be told of what runs inside."""
        token = _recorder.set(self)
        try:
            yield self
        finally:
            _recorder.reset(token)

    @contextmanager
    def inside(self, module, inputs=()):
        self.running.append(module)
        try:
            yield
        finally:
            self.running.pop()

    def forward(self, op, inputs, output):
        self.layers[op] = self._layer()
        if self.found is None and not _fine(output._data):
            own = [k for k, t in enumerate(inputs) if t is not None and not _fine(t._data)]
            what = f"of {op.name} in {self.layers[op]}"
            self.found = (
                f"it came in as input {own[0]} {what}, in the forward pass"
                if own
                else f"the first such number is in the output {what}, in the forward pass"
            )

    def backward(self, entry, dy, grads):
        wrong = [k for k, g in enumerate(grads) if g is not None and not _fine(g)]
        if self.found is None and wrong:
            self.found = (
                f"the first such number is in the gradient of input {wrong[0]} of {entry.name} "
                f"in {self.layers.get(entry, 'an operation before the net')}, in the backward pass"
            )

    def _layer(self):
        if not self.running:
            return "the loss"
        module = self.running[-1]
        name = self.names.get(id(module))
        kind = type(module).__name__
        return f"layer {name} ({kind})" if name else f"the net itself ({kind})"


def _fine(array):
    return array.dtype not in FLOATS or all_finite([array])
