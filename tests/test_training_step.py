"""A whole training step is the same wherever it runs: loss, gradients and new weights.

The reference is the textbook in float64. Rounding alone would leave 1e-5 of a gradient's norm; but
a ReLU whose input is within rounding of 0 may fall on the other side, and if a share s of them does
the gradients change by about the root of s. Winograd turns a few of ResNet-18's: 4e-3 was
measured then, 5e-6 where none turned. A wrong gradient is wrong by about 1.
"""

from __future__ import annotations

import numpy as np
import pytest

from minicnn import Tensor, models, use_backend
from minicnn import functional as F
from minicnn.nn import init
from minicnn.optim import SGD

NETS = {"lenet": ((8, 1, 28, 28), 1e-5), "resnet18": ((4, 3, 64, 64), 1e-2)}


def step(name, dtype, device="cpu"):
    """The loss, the gradients and the new state after one step of SGD."""
    init.manual_seed(0)
    model = models.build(name).train().to(dtype).to(device)
    shape, _ = NETS[name]
    images = np.random.default_rng(1).standard_normal(shape, np.float32).astype(dtype)
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    loss = F.cross_entropy(model(Tensor(images).to(device)), np.arange(shape[0]))
    loss.backward()
    gradients = {key: p.grad.numpy().copy() for key, p in model.named_parameters()}
    optimizer.step()
    state = model.to("cpu").state_dict()
    return loss.item(), gradients, {key: np.array(value) for key, value in state.items()}


def distance(got, exact):
    """The norm of the difference of two dicts of arrays, relative to the exact one's."""
    square = sum(np.sum((got[key] - array) ** 2.0) for key, array in exact.items())
    return (square / sum(np.sum(array**2.0) for array in exact.values())) ** 0.5


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_a_step_is_that_of_the_textbook(name, backend):
    if backend.name == "loops" and name == "resnet18":
        return  # the definition would take hours
    with use_backend("numpy"):
        exact_loss, exact_gradients, exact_state = step(name, np.float64)
    with backend.running():
        loss, gradients, state = step(name, np.float32, backend.device)
    allowed = NETS[name][1]
    assert loss == pytest.approx(exact_loss, rel=1e-5)
    assert distance(gradients, exact_gradients) < allowed
    assert distance(state, exact_state) < allowed
