"""Normalization."""

from __future__ import annotations

from minicnn.backends import xp
from minicnn.functional.arguments import (
    as_activation,
    as_added,
    as_count,
    as_images,
    as_number,
    check_same_dtype,
)
from minicnn.ops.normalization import BatchNorm, LocalResponseNorm, Moments
from minicnn.ops.operands import check_float
from minicnn.tensor import Tensor, no_grad


def batch_norm(
    input,
    running_mean=None,
    running_var=None,
    weight=None,
    bias=None,
    training=False,
    momentum=0.1,
    eps=1e-5,
    *,
    activation=None,
    add=None,
) -> Tensor:
    """Batch normalization: every channel brought to mean 0 and variance 1, then scaled and shifted.

    z = weight (input - mean) / sqrt(var + eps) + bias, by channel, and the output is
    y = activation(z + add), the end of a residual block. In training, mean and var are
    those of the channel's R = N*H*W values in this batch (var with 1/R), and the running statistics
    move towards them, in place: running = (1 - momentum) running + momentum batch, where the
    batch's variance is taken with 1/(R - 1). In evaluation they are the running statistics, which
    stay as they are. An empty batch moves nothing.

    Parameters
    ----------
    input : Tensor (N, C), (N, C, L) or (N, C, H, W)
    running_mean, running_var : Tensor or array (C,), optional
        Both or neither; they get no gradient. Needed in evaluation.
    weight, bias : Tensor (C,), optional
        gamma and beta of the paper; 1 and 0 if left out.
    training : bool
    momentum : float
        The batch's share in the running statistics, 0 to 1.
    eps : float
        Above 0, so that a constant channel does not divide by 0.
    activation : "relu", "relu6", "silu" or "hardswish", optional
    add : Tensor of input's shape, optional
        Added before the activation.

    Returns
    -------
    Tensor
        Of input's shape.

    Raises
    ------
    ValueError
        If shapes do not fit together, or a channel has but one value in training, or there is no
        activation of that name.
    TypeError
        If a tensor is not float32 or float64, or the dtypes differ.

    Ioffe and Szegedy, "Batch normalization: accelerating deep network training by reducing internal
    covariate shift", 2015.
    """
    x = check_float("batch_norm", input)
    if x.ndim not in (2, 3, 4) or x.shape[1] == 0:
        raise ValueError(
            "batch_norm: input expects (N, C), (N, C, L) or (N, C, H, W) with C of 1 or more, "
            f"but has {x.shape}"
        )
    eps = as_number("batch_norm", "eps", eps, "above 0", _is_positive)
    momentum = as_number("batch_norm", "momentum", momentum, "from 0 to 1", _is_share)
    C = x.shape[1]
    mean = _per_channel(C, "running_mean", running_mean)
    var = _per_channel(C, "running_var", running_var)
    w, b = _per_channel(C, "weight", weight), _per_channel(C, "bias", bias)
    check_same_dtype("batch_norm", x, running_mean=mean, running_var=var, weight=w, bias=b)
    _check_statistics(mean, var, training)
    if add is not None:
        add = as_added("batch_norm", add, x, x.shape)
    if activation is not None:
        activation = as_activation("batch_norm", activation)
    if training:
        moments = _batch_moments(x)
    else:
        both = xp(x._data).empty((2, C), x.dtype)  # (to fill it is quicker than to stack)
        both[0], both[1] = mean._data, var._data
        moments = Tensor._wrap(both)
    y = BatchNorm.apply(
        x, moments, w, b, add, training=bool(training), eps=eps, activation=activation
    )
    if training and mean is not None:
        _move((mean, var), moments, x.size // C, momentum)
    return y


def _is_positive(number):
    return number > 0


def _is_share(number):
    return 0 <= number <= 1


def _check_statistics(mean, var, training):
    """Raise unless both are there, or are left out in training; and are constants."""
    if mean is None and var is None:
        if not training:
            raise ValueError(
                "batch_norm: evaluation needs running_mean and running_var, but got None; pass "
                "them, or training=True to use the batch's own"
            )
    elif mean is None or var is None:
        raise ValueError(
            "batch_norm: running_mean and running_var go together, but one is None; pass both "
            "or neither"
        )
    elif mean._requires_grad or var._requires_grad:
        argument = "running_mean" if mean._requires_grad else "running_var"
        raise ValueError(
            f"batch_norm: {argument} is a statistic and gets no gradient, but has "
            "requires_grad=True; pass its .detach()"
        )


def _per_channel(channels, argument, value):
    """`value` as a float tensor (C,), or None."""
    if value is None:
        return None
    t = check_float("batch_norm", value)
    if t._data.shape != (channels,):
        raise ValueError(
            f"batch_norm: {argument} expects shape ({channels},), one number per channel "
            f"(input.shape[1]), but has {t.shape}"
        )
    return t


def _batch_moments(x) -> Tensor:
    """The batch's own mean and variance (2, C)."""
    if x.size == x.shape[1]:
        raise ValueError(
            "batch_norm: training expects more than one value per channel, since the variance of "
            f"one value is 0, but input has {x.shape}; use a larger batch, or evaluation"
        )
    with no_grad():
        return Moments.apply(x)


def _move(running, moments, R, momentum):
    """Move the running statistics towards the batch's."""
    if not R:
        return
    mean, var = moments._data
    for t, found in zip(running, (mean, var * (R / (R - 1)))):
        t.assign_((1 - momentum) * t._data + momentum * found)


def local_response_norm(input, size, alpha=1e-4, beta=0.75, k=1.0) -> Tensor:
    """Local response normalization: activity damped by that of neighbouring channels.

    y[n,c,h,w] = input[n,c,h,w] (k + alpha/size sum of input[n,c',h,w]^2)^-beta, the sum over the
    `size` channels c - size//2 <= c' <= c + (size-1)//2 that there are.

    The paper has alpha where this, with PyTorch and Caffe, has alpha/size: AlexNet's n = 5,
    alpha = 10^-4, beta = 0.75, k = 2 is `size=5, alpha=5e-4, beta=0.75, k=2` here.

    Parameters
    ----------
    input : Tensor (N, C, H, W)
    size : int
        How many channels the window holds, its own included.
    alpha : float
        0 or more.
    beta : float
    k : float
        Above 0.

    Returns
    -------
    Tensor (N, C, H, W)

    Raises
    ------
    ValueError, TypeError
        If an argument breaks the rules above.

    Krizhevsky, Sutskever, Hinton, "ImageNet classification with deep convolutional neural
    networks", 2012, section 3.3.
    """
    x = as_images("local_response_norm", input)
    return LocalResponseNorm.apply(x, **lrn_settings("local_response_norm", size, alpha, beta, k))


def lrn_settings(name, size, alpha, beta, k) -> dict:
    """The checked settings of `local_response_norm`, which its layer checks when it is made."""
    return {
        "size": as_count(name, "size", size),
        "alpha": as_number(name, "alpha", alpha, "of 0 or more", lambda value: value >= 0),
        "beta": as_number(name, "beta", beta, "that is finite", lambda v: abs(v) < float("inf")),
        "k": as_number(name, "k", k, "above 0", lambda value: value > 0),
    }
