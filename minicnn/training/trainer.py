"""The training loop, in the form of the textbook."""

from __future__ import annotations

import operator
from contextlib import ExitStack, contextmanager
from itertools import islice

import numpy as np
from threadpoolctl import threadpool_limits

from minicnn import functional as F
from minicnn.functional.arguments import as_count
from minicnn.functional.dropout import stream
from minicnn.nn import Module
from minicnn.tensor import Tensor, no_grad
from minicnn.training.finite import DivergenceError, check_gradients, check_loss
from minicnn.training.metrics import Evaluation, Running
from minicnn.training.progress import Progress
from minicnn.training.schedules import constant
from minicnn.training.state import go_on_with

__all__ = ["DivergenceError", "Trainer"]


class Trainer:
    """Trains a model on batches (x, y), and writes down how it went.

    Batches go to the device the model's parameters are on; on a CPU the current backend runs them
    (`with use_backend("loops"): trainer.fit(...)`).

    Parameters
    ----------
    model : Module
    optimizer : Optimizer
        Its groups' learning rates are those that the schedule's factor is 1 for.
    loss : callable
        `loss(scores, y)` gives the mean loss of a batch as a Tensor of one element.
    schedule : callable
        From progress (0 at the first step, towards 1 at the end) to a factor on the learning rates;
        see `minicnn.training.schedules`.
    threads : int or None
        Threads of one matrix product on the CPU while training; None leaves them as they are. One
        is best for nets like LeNet: their products are too small to be worth sharing. (The fast
        backend shares tiles, not products: its threads are those of `minicnn.set_num_threads`.)
    progress : bool
        Show a progress bar (on a terminal), and print a line after each epoch.
    callbacks : sequence of Callback
        Told of everything in this order, those that write things down last; see
        `minicnn.training.callbacks`.

    Attributes
    ----------
    history : list of dict
        One entry for each finished epoch, whatever stops the training: epoch (from 1, counting on
        over several fits), lr (its first step's, of the first group), train_loss and
        train_accuracy (means over the epoch, while the weights change), val_loss, val_accuracy,
        val_top5, seconds, images_per_second (of training alone).
    epochs, batches : int
        How many epochs `fit` runs, and batches in each.
    epoch, batch, step : int
        How many are done: epochs of this `fit`, batches of this epoch, steps of all fits.
    running : Running
        Of this epoch.
    validation : Evaluation
        The last one, with its confusion matrix.
    lr_factor : float
        On all learning rates, beside the schedule's; callbacks may change it.
    stop : bool
        A callback sets it to end `fit` after the epoch.
    resumed : bool
        Whether `fit` goes on from a checkpoint.

    Raises
    ------
    TypeError, ValueError
        If model is no Module, or the optimiser's parameters are not the model's.
    """

    def __init__(
        self, model, optimizer, loss=F.cross_entropy, schedule=constant, threads=1, progress=True,
        callbacks=(),
    ):  # fmt: skip
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
        callbacks = [*callbacks, Progress()] if progress else list(callbacks)
        self.callbacks = sorted(callbacks, key=lambda callback: callback.last)
        self.history = []
        self.step = self.epochs = self.batches = 0
        self.validation = self.train_loader = None
        self.base_lrs = [group["lr"] for group in optimizer.param_groups]
        self._start_afresh()

    def _start_afresh(self):
        self.epoch = self.batch = 0
        self.running = Running()
        self.lr_factor, self.stop, self.resumed = 1.0, False, False
        self.resumed_data = None  # what the checkpoint's batches were cut from

    # -- the loop -----------------------------------------------------------
    def fit(self, train_loader, validation_loader, epochs: int) -> list[dict]:
        """Train for some epochs, with a validation after each; returns the history.

        The schedule runs once over these epochs. The model is left in evaluation mode, and the
        optimiser with the learning rates it had. After `load_checkpoint` this goes on with the
        epoch and the batch where the checkpoint was written.

        Parameters
        ----------
        train_loader, validation_loader : DataLoader, or list of (x, y)
            x (N, C, H, W) floats, y (N,) integers: arrays or Tensors.
        epochs : int
            1 or more, those before the checkpoint included.

        Raises
        ------
        DivergenceError
            If the loss or a gradient becomes infinite or NaN; says at which epoch and batch, and
            where in the net. The weights are those before the step.
        TypeError, ValueError
            If epochs is no int of 1 or more, a loader is empty, or the checkpoint's was another.
        """
        self.epochs = self._check(train_loader, validation_loader, epochs)
        with self._fitting(train_loader):
            while self.epoch < self.epochs and not self.stop:
                entry = {"epoch": len(self.history) + 1, "lr": self._lr_at(self.epoch)}
                self._train_epoch()
                speed = self.running.images_per_second
                with ExitStack() as around:
                    for callback in self.callbacks:
                        around.enter_context(callback.validation(self))
                    self.validation = self.evaluate(validation_loader)
                self._note(entry, speed)
                self._tell("after_epoch")
            self._tell("after_fit")
        return self.history

    # A loss that overflows is reported by name below, not by NumPy's warnings.
    @np.errstate(over="ignore", invalid="ignore", divide="ignore")
    def _train_epoch(self) -> None:
        """One walk over the training data, a step of the optimiser for each batch."""
        if self.batch == 0:
            self.running = Running()
        self.model.train()
        self._tell("before_epoch")
        for x, y in islice(self.train_loader, self.batch, None):
            self.set_lr(self.schedule(self.progress) * self.lr_factor)

            self.optimizer.zero_grad()
            masks = stream.counter
            scores = self.model(self.input(x))
            loss = self.loss(scores, y)
            check_loss(self, loss, x, y, masks)
            loss.backward()
            check_gradients(self, x, y, masks)
            self._tell("before_step")
            self.optimizer.step()

            self.running.add(loss.item(), scores, y)
            self.batch, self.step = self.batch + 1, self.step + 1
            self._tell("after_step")

    @no_grad()
    @np.errstate(over="ignore", invalid="ignore", divide="ignore")
    def evaluate(self, loader) -> Evaluation:
        """Mean loss, accuracy and top-5, and the confusion matrix over a loader: an `Evaluation`.

        In evaluation mode and without gradients.
        """
        self.model.eval()
        evaluation = Evaluation()
        for batch, (x, y) in enumerate(loader):
            masks = stream.counter
            scores = self.model(self.input(x))
            loss = self.loss(scores, y)
            where = f"at batch {batch + 1} of the validation after epoch {len(self.history) + 1}"
            check_loss(self, loss, x, y, masks, where)
            evaluation.add(loss.item(), scores, y)
        return evaluation

    @property
    def progress(self) -> float:
        """Of this `fit`, from 0 towards 1."""
        return (self.epoch + self.batch / self.batches) / self.epochs

    # -- around the loop ----------------------------------------------------
    @contextmanager
    def _fitting(self, train_loader):
        """What `fit` sets up, and takes down whatever happens."""
        self.train_loader, self.batches = train_loader, len(train_loader)
        if self.resumed:
            go_on_with(self)
        self.base_lrs = [group["lr"] for group in self.optimizer.param_groups]
        limit = threadpool_limits(self.threads, user_api="blas")
        try:
            self._tell("before_fit")
            yield
        finally:
            self._tell("close")
            self.set_lr(1.0)
            self._start_afresh()
            limit.restore_original_limits()

    def _tell(self, moment):
        for callback in self.callbacks:
            getattr(callback, moment)(self)

    def _note(self, entry, speed):
        """Add an epoch to the history; from here on it is done."""
        running, validation = self.running, self.validation
        self.history.append(
            entry
            | {
                "train_loss": running.loss,
                "train_accuracy": running.accuracy,
                "val_loss": validation.loss,
                "val_accuracy": validation.accuracy,
                "val_top5": validation.top5,
                "seconds": running.elapsed,
                "images_per_second": speed,
            }
        )
        self.epoch, self.batch = self.epoch + 1, 0

    def set_lr(self, factor: float) -> None:
        """Give every group its own learning rate times `factor`."""
        for group, lr in zip(self.optimizer.param_groups, self.base_lrs):
            group["lr"] = lr * factor

    def _lr_at(self, epoch) -> float:
        return self.base_lrs[0] * (self.schedule(epoch / self.epochs) * self.lr_factor)

    def input(self, x) -> Tensor:
        """A batch of images on the model's device, in the parameters' dtype."""
        parameter = self.optimizer.parameters[0]
        return Tensor(x).to(parameter.device).to(parameter.dtype)

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
