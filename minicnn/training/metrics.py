"""How well a net does: numbers for a person to follow, without gradients."""

from __future__ import annotations

import time

import numpy as np

from minicnn.tensor import Tensor


def accuracy(scores, target) -> float:
    """Share of rows whose highest score is that of the right class, 0 to 1.

    Parameters
    ----------
    scores : Tensor or array (N, K)
        Of equal scores, the first one's class counts.
    target : integer Tensor or array (N,)

    Raises
    ------
    ValueError
        If the shapes do not fit together, or N or K is 0.
    """
    scores, target = Tensor(scores).numpy(), Tensor(target).numpy()
    if scores.ndim != 2 or 0 in scores.shape or target.shape != scores.shape[:1]:
        raise ValueError(
            f"accuracy: expects scores (N, K) and one class per row (N,), none of size 0, but got "
            f"{scores.shape} and {target.shape}"
        )
    return float(np.mean(scores.argmax(axis=1) == target))


class Running:
    """Mean loss, accuracy and speed over the images seen since it was made."""

    def __init__(self):
        self.start = time.perf_counter()
        self.images = 0
        self.total_loss = 0.0
        self.total_right = 0.0

    def add(self, loss: float, scores, target) -> None:
        """Count one batch, `loss` being its mean.

        Of several scores, as from a net with auxiliary heads, the first are the net's own.
        """
        scores = scores[0] if isinstance(scores, tuple) else scores
        n = len(target)
        self.images += n
        self.total_loss += n * loss
        self.total_right += n * accuracy(scores, target)

    @property
    def loss(self) -> float:
        return self.total_loss / self.images

    @property
    def accuracy(self) -> float:
        return self.total_right / self.images

    @property
    def images_per_second(self) -> float:
        return self.images / (time.perf_counter() - self.start)
