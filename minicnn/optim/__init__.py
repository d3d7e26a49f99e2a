"""Optimisers: one step against the gradient, and what may be done to a gradient before.

    from minicnn import optim

    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    groups = optim.named_groups(model, ("features", {"lr": 1e-4}))
    optimizer = optim.AdamW(groups, lr=1e-3)
"""

from minicnn.optim.adam import Adam, AdamW
from minicnn.optim.clip import clip_grad_norm_, clip_grad_value_, grad_norm
from minicnn.optim.groups import is_vector, named_groups
from minicnn.optim.optimizer import Optimizer
from minicnn.optim.sgd import SGD

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Optimizer",
    "clip_grad_norm_",
    "clip_grad_value_",
    "grad_norm",
    "is_vector",
    "named_groups",
]
