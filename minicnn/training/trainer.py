"""The training loop, in the form of the textbook."""

from __future__ import annotations

import math
import operator
import time

import numpy as np
from threadpoolctl import threadpool_limits

from minicnn import functional as F
from minicnn.functional.arguments import as_count
from minicnn.nn import Module
from minicnn.tensor import Tensor, no_grad
from minicnn.training.metrics import Running
from minicnn.training.schedules import constant


class DivergenceError(ArithmeticError):
    """The loss is no longer a finite number."""


class Trainer:
    """Trains a model on batches (x, y), and writes down how it went.

    Batches go to the device the model's parameters are on; on a CPU the current backend runs them
    (`with use_backend("loops"): trainer.fit(...)`).

    Parameters
    ----------
    model : Module
    optimizer : SGD or the like
        Has `lr`, `parameters`, `zero_grad()` and `step()`.
    loss : callable
        `loss(scores, y)` gives the mean loss of a batch as a Tensor of one element.
    schedule : callable
        From progress (0 at the first step, towards 1 at the end) to a factor on the optimiser's lr;
        see `minicnn.training.schedules`.
    threads : int or None
        Threads of one matrix product on the CPU while training; None leaves them as they are. One
        is best for nets like LeNet: their products are too small to be worth sharing.
    progress : bool
        Show a progress bar (on a terminal), and print a line after each epoch.

    Attributes
    ----------
    history : list of dict
        One entry for each finished epoch, whatever stops the training: epoch (from 1, counting on
        over several fits), lr (its first step's), train_loss and train_accuracy (means over the
        epoch, while the weights change), val_loss, val_accuracy, seconds, images_per_second (of
        training alone).

    Raises
    ------
    TypeError, ValueError
        If model is no Module, or the optimiser's parameters are not the model's.
    """

    def __init__(
        self, model, optimizer, loss=F.cross_entropy, schedule=constant, threads=1, progress=True
    ):
        if not isinstance(model, Module):
            raise TypeError(f"Trainer: model expects a Module, but got {model!r}")
        own = {id(p) for p in model.parameters()}
        if not all(id(p) in own for p in optimizer.parameters):
            raise ValueError(
                "Trainer: the optimizer learns parameters that are not the model's; make a new one "
                "from model.parameters() after building or replacing layers"
            )
        self.model = model
        self.optimizer = optimizer
        self.loss = loss
        self.schedule = schedule
        self.threads = None if threads is None else as_count("Trainer", "threads", threads)
        self.progress = progress
        self.history = []

    def fit(self, train_loader, validation_loader, epochs: int) -> list[dict]:
        """Train for some epochs, with a validation after each; returns the history.

        The schedule runs once over these epochs. The model is left in evaluation mode, and the
        optimiser with the lr it had.

        Parameters
        ----------
        train_loader, validation_loader : DataLoader, or list of (x, y)
            x (N, C, H, W) floats, y (N,) integers: arrays or Tensors.
        epochs : int
            1 or more.

        Raises
        ------
        DivergenceError
            If the loss becomes infinite or NaN; says at which epoch and batch.
        TypeError, ValueError
            If epochs is no int of 1 or more, or a loader is empty.
        """
        epochs = self._check(train_loader, validation_loader, epochs)
        base_lr = self.optimizer.lr
        limit = threadpool_limits(self.threads, user_api="blas")
        try:
            for epoch in range(epochs):
                start = time.perf_counter()
                lr = base_lr * self.schedule(epoch / epochs)
                train = self._train_epoch(train_loader, base_lr, epoch, epochs)
                speed = train.images_per_second
                validation = self.evaluate(validation_loader)
                self.history.append(
                    {
                        "epoch": len(self.history) + 1,
                        "lr": lr,
                        "train_loss": train.loss,
                        "train_accuracy": train.accuracy,
                        "val_loss": validation.loss,
                        "val_accuracy": validation.accuracy,
                        "seconds": time.perf_counter() - start,
                        "images_per_second": speed,
                    }
                )
                self._report(epoch, epochs)
        finally:
            self.optimizer.lr = base_lr
            limit.restore_original_limits()
        return self.history

    # A loss that overflows is reported by name below, not by NumPy's warnings.
    @np.errstate(over="ignore", invalid="ignore")
    def _train_epoch(self, loader, base_lr, epoch, epochs) -> Running:
        """One walk over the training data, a step of the optimiser for each batch."""
        self.model.train()
        running = Running()
        with self._bar(loader, f"epoch {epoch + 1}/{epochs}") as bar:
            for batch, (x, y) in enumerate(bar):
                progress = (epoch + batch / len(loader)) / epochs
                self.optimizer.lr = base_lr * self.schedule(progress)

                self.optimizer.zero_grad()
                scores = self.model(self._input(x))
                loss = self.loss(scores, y)
                self._check_finite(loss, f"epoch {epoch + 1}, batch {batch + 1}")
                loss.backward()
                self.optimizer.step()

                running.add(loss.item(), scores, y)
                bar.set_postfix_str(
                    f"loss {running.loss:.4f}, accuracy {running.accuracy:.2%}, "
                    f"{running.images_per_second:,.0f} images/s"
                )
        return running

    @no_grad()
    @np.errstate(over="ignore", invalid="ignore")
    def evaluate(self, loader) -> Running:
        """Mean `.loss` and `.accuracy` over a loader, in evaluation mode and without gradients."""
        self.model.eval()
        running = Running()
        for batch, (x, y) in enumerate(loader):
            scores = self.model(self._input(x))
            loss = self.loss(scores, y)
            self._check_finite(
                loss, f"batch {batch + 1} of the validation after epoch {len(self.history) + 1}"
            )
            running.add(loss.item(), scores, y)
        return running

    # -- the small print ----------------------------------------------------
    def _input(self, x) -> Tensor:
        """A batch of images on the model's device, in the parameters' dtype."""
        parameter = self.optimizer.parameters[0]
        return Tensor(x).to(parameter.device).to(parameter.dtype)

    def _check_finite(self, loss, where):
        if not math.isfinite(loss.item()):
            raise DivergenceError(
                f"the loss is {loss.item()} at {where}: the weights have run away; lower the "
                f"learning rate (it was {self.optimizer.lr:.3g} here) and start again"
            )

    @staticmethod
    def _check(train_loader, validation_loader, epochs) -> int:
        """`epochs` as an int, once it and the loaders are known to be good."""
        if isinstance(epochs, bool) or not hasattr(epochs, "__index__"):
            raise TypeError(f"fit: epochs expects an int, but got {epochs!r}")
        if epochs < 1:
            raise ValueError(f"fit: epochs expects 1 or more, but got {epochs}")
        for name, loader in (("train", train_loader), ("validation", validation_loader)):
            if not len(loader):
                raise ValueError(f"fit: {name}_loader expects at least one batch, but is empty")
        return operator.index(epochs)

    def _bar(self, loader, title):
        """tqdm around a loader: shown on a terminal only, gone when the epoch is over."""
        from tqdm import tqdm

        hidden = None if self.progress else True  # None: hidden unless stderr is a terminal
        return tqdm(loader, title, leave=False, disable=hidden, unit="batch", dynamic_ncols=True)

    def _report(self, epoch, epochs):
        if self.progress:
            last = self.history[-1]
            print(
                f"epoch {epoch + 1:{len(str(epochs))}}/{epochs}: "
                f"loss {last['train_loss']:.4f}, accuracy {last['train_accuracy']:.2%}; "
                f"validation loss {last['val_loss']:.4f}, accuracy {last['val_accuracy']:.2%}; "
                f"{last['seconds']:.1f} s, {last['images_per_second']:,.0f} images/s",
                flush=True,
            )
