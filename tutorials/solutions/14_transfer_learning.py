"""Solutions of 14."""

import numpy as np


def my_nearest(references, queries, k):
    squares = ((queries[:, None] - references[None]) ** 2).sum(axis=2)
    return np.argsort(squares, axis=1)[:, :k]
