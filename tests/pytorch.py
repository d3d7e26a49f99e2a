"""PyTorch's answer to a case, for those who compare with it."""

from __future__ import annotations

import numpy as np

from minicnn.checks.strategies.cases import BEFORE_ADD


def output_gradient(shape):
    """The gradient of the output that comparisons start backward with."""
    return np.random.default_rng(0).standard_normal(shape)


def in_pytorch(case):
    """(output, gradient of each array or None) of a case, as NumPy arrays."""
    import torch

    inputs = [None if a is None else torch.from_numpy(np.array(a, order="C")) for a in case.arrays]
    for t in inputs:
        if t is not None and t.is_floating_point():
            t.requires_grad_()
    settings = dict(case.settings)
    activation = settings.pop("activation", None)
    count = BEFORE_ADD.get(case.name, len(inputs))
    y = getattr(torch.nn.functional, case.name)(*inputs[:count], **settings)
    for add in inputs[count:]:  # PyTorch fuses nothing here: the sum and the activation come after
        y = y if add is None else y + add
    y = y if activation is None else getattr(torch.nn.functional, activation)(y)
    if y.requires_grad:
        y.backward(torch.from_numpy(output_gradient(y.shape)).to(y.dtype))
    grads = [None if t is None or t.grad is None else t.grad.numpy() for t in inputs]
    return y.detach().numpy(), grads
