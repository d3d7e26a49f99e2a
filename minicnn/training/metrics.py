"""How well a net does: numbers for a person to follow, without gradients."""

from __future__ import annotations

import time

import numpy as np

from minicnn.functional.arguments import as_count
from minicnn.tensor import Tensor


def accuracy(scores, target, k: int = 1) -> float:
    """Share of rows where the right class is among the k highest scores, 0 to 1.

    Parameters
    ----------
    scores : Tensor or array (N, K)
        Of equal scores, the first one's class comes first. A NaN counts as the highest.
    target : integer Tensor or array (N,)
    k : int
        1 for top-1, 5 for top-5 accuracy; where there are no more than k classes, all is right.

    Raises
    ------
    ValueError
        If the shapes do not fit together, or N or K is 0.
    """
    scores, target = _checked("accuracy", scores, target)
    if as_count("accuracy", "k", k) == 1:
        return float(np.mean(scores.argmax(axis=1) == target))
    return float(np.mean(_ranks(scores, target) < k))


def _ranks(scores, target) -> np.ndarray:
    """How many classes come before the right one in each row."""
    scores = np.where(np.isnan(scores), np.inf, scores)
    right = scores[np.arange(len(target)), target][:, None]
    first = (scores == right) & (np.arange(scores.shape[1]) < target[:, None])
    return np.sum((scores > right) | first, axis=1)


def confusion_matrix(scores, target) -> np.ndarray:
    """How often class j was given to an image of class i: an integer matrix (K, K), rows i.

    Parameters and errors are those of `accuracy`; what lies on the diagonal is right.
    """
    scores, target = _checked("confusion_matrix", scores, target)
    K = scores.shape[1]
    return np.bincount(K * target + scores.argmax(axis=1), minlength=K * K).reshape(K, K)


def _checked(name, scores, target):
    scores, target = Tensor(scores).numpy(), Tensor(target).numpy()
    if scores.ndim != 2 or 0 in scores.shape or target.shape != scores.shape[:1]:
        raise ValueError(
            f"{name}: expects scores (N, K) and one class per row (N,), none of size 0, but got "
            f"{scores.shape} and {target.shape}"
        )
    if target.dtype.kind not in "iu":
        raise TypeError(f"{name}: target expects class numbers, but holds {target.dtype}")
    if target.min() < 0 or target.max() >= scores.shape[1]:
        raise ValueError(
            f"{name}: target expects classes 0 to {scores.shape[1] - 1}, one for each column of "
            f"scores, but has {target.min()} to {target.max()}"
        )
    return scores, target


class Running:
    """Mean loss, accuracy and speed over the images seen since it was made.

    Attributes
    ----------
    images : int
    seconds : float
        Time that went by before it was made, where it goes on with another's numbers.
    """

    def __init__(self):
        self.images = 0
        self.total_loss = 0.0
        self.total_right = 0.0
        self.seconds = 0.0
        self.start = time.perf_counter()

    def add(self, loss: float, scores, target) -> None:
        """Count one batch, `loss` being its mean.

        Of several scores, as from a net with auxiliary heads, the first are the net's own. Where
        target holds probabilities (N, K), as from `MixUp`, the likeliest class is the right one.
        """
        scores = scores[0] if isinstance(scores, tuple) else scores
        target = Tensor(target).numpy()
        target = target.argmax(axis=1) if target.ndim == 2 else target
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
        return self.images / self.elapsed

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self.seconds + time.perf_counter() - self.start

    def state_dict(self) -> dict:
        """The numbers so far."""
        names = ("images", "total_loss", "total_right")
        return {name: getattr(self, name) for name in names} | {"seconds": self.elapsed}

    def load_state_dict(self, state: dict) -> None:
        """Go on with the numbers of another."""
        vars(self).update(state)


class Evaluation(Running):
    """What `Running` counts, and which classes were taken for which.

    Attributes
    ----------
    confusion : integer array (K, K)
        See `confusion_matrix`; of no size before the first batch.
    """

    def __init__(self):
        super().__init__()
        self.total_top5 = 0.0
        self.confusion = np.zeros((0, 0), np.int64)

    def add(self, loss, scores, target):
        super().add(loss, scores, target)
        scores = scores[0] if isinstance(scores, tuple) else scores
        self.total_top5 += len(target) * accuracy(scores, target, k=5)
        matrix = confusion_matrix(scores, target)
        self.confusion = self.confusion + matrix if self.confusion.size else matrix

    @property
    def top5(self) -> float:
        """Share of images whose class is among the five highest scores."""
        return self.total_top5 / self.images

    @property
    def class_accuracy(self) -> np.ndarray:
        """Accuracy for each class (K,); NaN for a class without images."""
        counts = self.confusion.sum(axis=1)
        return np.divide(
            np.diag(self.confusion), counts, out=np.full(len(counts), np.nan), where=counts > 0
        )
