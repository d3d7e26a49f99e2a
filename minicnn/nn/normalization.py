"""Normalization layers."""

from __future__ import annotations

import numpy as np

from minicnn import functional as F
from minicnn.functional.arguments import as_activation, as_count, as_number
from minicnn.functional.normalization import lrn_settings
from minicnn.nn.module import Buffer, Module, Parameter


class _BatchNorm(Module):
    """`functional.batch_norm` with its own scale, shift and running statistics.

    In training mode the batch's statistics are used and the running ones follow; in evaluation
    mode the running ones are used.

    A layer whose weight and bias have requires_grad=False is frozen: it uses the running statistics
    and leaves them as they are, in training mode, too. (In PyTorch such a layer still moves, which
    spoils the features of a net that was meant to be frozen.) A layer without weight and bias is
    frozen by `eval()`, or for good as a `FrozenBatchNorm2d`.

    Parameters
    ----------
    num_features : int
        C.
    eps : float
        Added to the variance.
    momentum : float or None
        The newest batch's share in the running statistics; None for the mean of all batches.
    affine : bool
        Whether there are weight and bias.
    track_running_stats : bool
        Without running statistics the batch's own are used in evaluation, too.
    activation : "relu", "relu6", "silu" or "hardswish", optional
        What the layer ends in; its call takes an `add`, too: `bn(x, add=shortcut)`.

    Attributes
    ----------
    weight, bias : Parameter (C,), or None
        They start at 1 and 0.
    running_mean, running_var : Buffer (C,), or None
        They start at 0 and 1.
    num_batches_tracked : Buffer (), int64, or None
    """

    shapes: dict[int, str] = {}  # what the layer takes, by number of dimensions

    def __init__(
        self,
        num_features,
        eps=1e-5,
        momentum=0.1,
        affine=True,
        track_running_stats=True,
        activation=None,
    ):
        super().__init__()
        name = type(self).__name__
        self.activation = as_activation(name, activation)
        self.num_features = C = as_count(name, "num_features", num_features)
        self.eps = as_number(name, "eps", eps, "above 0", lambda value: value > 0)
        self.momentum = momentum
        if momentum is not None:
            rule = "from 0 to 1 (or None)"
            self.momentum = as_number(name, "momentum", momentum, rule, lambda v: 0 <= v <= 1)
        self.weight = Parameter(np.ones(C, np.float32)) if affine else None
        self.bias = Parameter(np.zeros(C, np.float32)) if affine else None
        self.running_mean = self.running_var = self.num_batches_tracked = None
        if track_running_stats:
            self.running_mean = Buffer(np.zeros(C, np.float32))
            self.running_var = Buffer(np.ones(C, np.float32))
            self.num_batches_tracked = Buffer(np.zeros((), np.int64))

    @property
    def frozen(self) -> bool:
        """Whether weight and bias are there and neither is learnt."""
        learnt = [p.requires_grad for p in self.parameters()]
        return bool(learnt) and not any(learnt)

    def forward(self, x, add=None, activation=None):
        _check_dimensions(self, x)
        tracked = self.running_mean is not None
        training = not tracked or (self.training and not self.frozen)
        moves = tracked and training and x.shape[0] > 0
        momentum = self.momentum
        if momentum is None:
            momentum = 1 / (self.num_batches_tracked.item() + 1) if moves else 0.0
        y = F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias,
            training, momentum, self.eps, activation=activation or self.activation, add=add,
        )  # fmt: skip
        if moves:
            self.num_batches_tracked.assign_(self.num_batches_tracked._data + 1)
        return y

    def extra_repr(self):
        text = f"{self.num_features}, eps={self.eps}, momentum={self.momentum}"
        text += "" if self.weight is not None else ", affine=False"
        text += "" if self.running_mean is not None else ", track_running_stats=False"
        return text + _activation_text(self)


def _activation_text(layer):
    return "" if layer.activation is None else f", activation={layer.activation!r}"


def _check_dimensions(layer, x):
    if x.ndim not in layer.shapes:
        expected = " or ".join(layer.shapes.values())
        raise ValueError(f"{type(layer).__name__}: input expects {expected}, but has {x.shape}")


class BatchNorm1d(_BatchNorm):
    __doc__ = "Batch normalization of (N, C) or (N, C, L).\n\n" + _BatchNorm.__doc__
    shapes = {2: "(N, C)", 3: "(N, C, L)"}


class BatchNorm2d(_BatchNorm):
    __doc__ = "Batch normalization of images (N, C, H, W).\n\n" + _BatchNorm.__doc__
    shapes = {4: "(N, C, H, W)"}


class FrozenBatchNorm2d(Module):
    """Batch normalization that never moves: statistics, scale and shift are all fixed numbers.

    Also in training mode, and whatever an optimiser does: there are no parameters.

    Parameters
    ----------
    num_features : int
        C.
    eps : float
        Added to the variance.
    activation : str, optional
        As in `BatchNorm2d`.

    Attributes
    ----------
    weight, bias, running_mean, running_var : Buffer (C,)
        They start at 1, 0, 0, 1.
    """

    shapes = BatchNorm2d.shapes

    def __init__(self, num_features, eps=1e-5, activation=None):
        super().__init__()
        self.activation = as_activation("FrozenBatchNorm2d", activation)
        self.num_features = C = as_count("FrozenBatchNorm2d", "num_features", num_features)
        self.eps = as_number("FrozenBatchNorm2d", "eps", eps, "above 0", lambda value: value > 0)
        self.weight = Buffer(np.ones(C, np.float32))
        self.bias = Buffer(np.zeros(C, np.float32))
        self.running_mean = Buffer(np.zeros(C, np.float32))
        self.running_var = Buffer(np.ones(C, np.float32))

    @classmethod
    def of(cls, layer: BatchNorm2d) -> FrozenBatchNorm2d:
        """What `layer` is now in evaluation mode, kept for ever.

        Raises
        ------
        TypeError, ValueError
            If it is no BatchNorm2d, or has no running statistics.
        """
        if not isinstance(layer, BatchNorm2d):
            raise TypeError(f"FrozenBatchNorm2d.of: expects a BatchNorm2d, but got {layer!r}")
        if layer.running_mean is None:
            raise ValueError(
                f"FrozenBatchNorm2d.of: needs running statistics, but got {layer!r}; make it "
                "with track_running_stats=True and train it"
            )
        frozen = cls(layer.num_features, layer.eps, layer.activation)
        frozen.to(layer.running_mean.dtype.type).to(layer.running_mean.device)
        for name, value in layer.state_dict().items():
            if name != "num_batches_tracked":
                getattr(frozen, name).assign_(value)
        return frozen

    def forward(self, x, add=None, activation=None):
        _check_dimensions(self, x)
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps,
            activation=activation or self.activation, add=add,
        )  # fmt: skip

    def extra_repr(self):
        return f"{self.num_features}, eps={self.eps}{_activation_text(self)}"


class LocalResponseNorm(Module):
    """`functional.local_response_norm` as a layer."""

    def __init__(self, size, alpha=1e-4, beta=0.75, k=1.0):
        super().__init__()
        self.__dict__.update(lrn_settings("LocalResponseNorm", size, alpha, beta, k))

    def forward(self, x):
        return F.local_response_norm(x, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self):
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
