"""Callbacks: what may happen beside the training loop, each a few lines.

A callback is told when something happens, and may look at and change all of the trainer:

    class Norms(Callback):
        def before_step(self, trainer):
            print(trainer.step, grad_norm(trainer.optimizer.parameters))
"""

from __future__ import annotations

import math
from contextlib import contextmanager

import numpy as np

from minicnn.backends import device_of, to_device
from minicnn.functional.arguments import as_count, as_number
from minicnn.layout import channels_last
from minicnn.optim import clip_grad_norm_
from minicnn.tensor import Tensor


class Callback:
    """Does nothing at any moment; subclasses do something at some.

    Attributes
    ----------
    state : tuple of str
        The names of the attributes that a checkpoint keeps: numbers, arrays, lists or dicts of
        them, None.
    last : bool
        Whether it is told after the others, as who writes down what they have done.
    """

    state: tuple[str, ...] = ()
    last = False

    def before_fit(self, trainer):
        """`fit` begins, or goes on from a checkpoint."""

    def before_epoch(self, trainer):
        """An epoch begins, or goes on."""

    def before_step(self, trainer):
        """The gradients of a batch are there and finite; the optimiser has not used them."""

    def after_step(self, trainer):
        """The optimiser has moved the weights."""

    @contextmanager
    def validation(self, trainer):
        """Around the validation."""
        yield

    def after_epoch(self, trainer):
        """An epoch and its validation are over; `trainer.history[-1]` says how it went."""

    def after_fit(self, trainer):
        """All epochs are over."""

    def close(self, trainer):
        """`fit` ends, by an error or without one."""

    def state_dict(self) -> dict:
        """What a checkpoint keeps."""
        return {name: getattr(self, name) for name in self.state}

    def load_state_dict(self, state: dict) -> None:
        """Go on from a checkpoint."""
        vars(self).update({name: state[name] for name in self.state})


# ---------------------------------------------------------------------------
# Around a step
# ---------------------------------------------------------------------------
class ClipGradients(Callback):
    """`optim.clip_grad_norm_` before each step; `norm` is the last length before clipping."""

    def __init__(self, max_norm: float):
        self.max_norm = as_number("ClipGradients", "max_norm", max_norm, "over 0", lambda v: v > 0)
        self.norm = 0.0

    def before_step(self, trainer):
        self.norm = clip_grad_norm_(trainer.optimizer.parameters, self.max_norm)


class Vary(Callback):
    """Sets any setting of the optimiser's groups by a function of progress, before each step."""

    def __init__(self, setting: str, value):
        self.setting, self.value = setting, value

    def before_fit(self, trainer):
        for group in trainer.optimizer.param_groups:
            if self.setting not in group:
                raise ValueError(
                    f"Vary: this {type(trainer.optimizer).__name__} has no setting "
                    f"{self.setting!r}; it has {', '.join(group.keys() - {'params'})}"
                )

    def before_step(self, trainer):
        for group in trainer.optimizer.param_groups:
            group[self.setting] = self.value(trainer.progress)


class EMA(Callback):
    """Exponential moving average of the weights; the validation looks at the averaged net.

    a = w after the first step, then a = decay * a + (1 - decay) * w after each. Buffers, such as
    running means, are the net's own. PyTorch's AveragedModel with get_ema_multi_avg_fn(decay).

    Parameters
    ----------
    decay : float
        In [0, 1); the average reaches back about 1 / (1 - decay) steps.

    Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", 1992.
    """

    state = ("averages",)

    def __init__(self, decay: float = 0.999):
        rule = "of 0 or more and under 1"
        self.decay = as_number("EMA", "decay", decay, rule, lambda value: 0 <= value < 1)
        self.averages = None  # arrays by the parameter's name

    def after_step(self, trainer):
        named = trainer.model.named_parameters()
        if self.averages is None:
            self.averages = {name: p._data.copy(order="K") for name, p in named}
            return
        for name, p in named:
            a = self.averages[name] = _beside(p, self.averages[name])
            a += (1 - self.decay) * (p._data - a)

    @contextmanager
    def applied(self, model):
        """The model has the averaged weights inside; its own come back."""
        own = {}
        for name, p in model.named_parameters():
            if self.averages is not None:
                own[p] = p._data.copy(order="K")
                p.assign_(_beside(p, self.averages[name]))
        try:
            yield model
        finally:
            for p, values in own.items():
                p.assign_(values)

    def validation(self, trainer):
        return self.applied(trainer.model)

    def state_dict(self):
        averages = self.averages and {k: Tensor(a).numpy() for k, a in self.averages.items()}
        return {"averages": averages}


def _beside(p, array):
    """An average where the parameter lies; one from a file comes in another memory order."""
    if device_of(array) != p.device or (device_of(array) == "cpu" and not array.flags.writeable):
        array = to_device(channels_last(np.array(array)), p.device)
    return array


# ---------------------------------------------------------------------------
# After an epoch
# ---------------------------------------------------------------------------
class _Best(Callback):
    """Knows whether an epoch is better than all before it, and how many have not been."""

    state = ("best", "waited")

    def __init__(self, monitor, patience, min_delta):
        name = type(self).__name__
        self.monitor = monitor
        self.patience = as_count(name, "patience", patience)
        rule = "of 0 or more and finite"
        holds = lambda value: 0 <= value < math.inf  # noqa: E731
        self.min_delta = as_number(name, "min_delta", min_delta, rule, holds)
        self.best, self.waited = None, 0

    def before_fit(self, trainer):
        if not trainer.resumed:
            self.best, self.waited = None, 0

    def better(self, trainer) -> bool:
        """Judge the last epoch: by accuracy more is better, by anything else less."""
        entry = trainer.history[-1]
        if self.monitor not in entry:
            raise ValueError(
                f"{type(self).__name__}: history has no {self.monitor!r}; monitor one of "
                f"{', '.join(entry)}"
            )
        value = entry[self.monitor]
        gain = None if self.best is None else self.best - value
        if gain is not None and any(word in self.monitor for word in ("accuracy", "top5")):
            gain = -gain
        if gain is None or gain > self.min_delta:
            self.best, self.waited = value, 0
            return True
        self.waited += 1
        return False


class ReduceLROnPlateau(_Best):
    """Times `factor` on all learning rates after `patience` epochs without a better one.

    By hand, this was AlexNet's schedule: a tenth when the validation error stopped improving
    (Krizhevsky, Sutskever, Hinton, 2012).

    Parameters
    ----------
    factor : float
        Over 0 and under 1.
    patience : int
        Epochs in a row that are no better than the best one.
    monitor : str
        A number of the history.
    min_delta : float
        What an epoch must be better by, to count as better.
    """

    def __init__(self, factor=0.1, patience=3, monitor="val_loss", min_delta=0.0):
        super().__init__(monitor, patience, min_delta)
        rule = "over 0 and under 1"
        self.factor = as_number(type(self).__name__, "factor", factor, rule, lambda v: 0 < v < 1)

    def after_epoch(self, trainer):
        if not self.better(trainer) and self.waited == self.patience:
            trainer.lr_factor *= self.factor
            self.waited = 0


class EarlyStopping(_Best):
    """Stops after `patience` epochs without a better one, and goes back to the best one's weights.

    Parameters are as for `ReduceLROnPlateau`; `restore_best=False` leaves the last weights.
    Prechelt, "Early stopping, but when?", 1998.
    """

    state = ("best", "waited", "weights")

    def __init__(self, patience=5, monitor="val_loss", min_delta=0.0, restore_best=True):
        super().__init__(monitor, patience, min_delta)
        self.restore_best = bool(restore_best)
        self.weights = None  # of the best epoch

    def before_fit(self, trainer):
        super().before_fit(trainer)
        if not trainer.resumed:
            self.weights = None

    def after_epoch(self, trainer):
        if self.better(trainer):
            if self.restore_best:
                state = trainer.model.state_dict().items()
                self.weights = {name: array.copy(order="K") for name, array in state}
        elif self.waited >= self.patience:
            trainer.stop = True

    def after_fit(self, trainer):
        if self.weights is not None:
            trainer.model.load_state_dict(self.weights)
