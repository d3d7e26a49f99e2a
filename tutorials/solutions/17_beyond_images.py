"""Solutions of 17."""

import numpy as np


def my_overlap(a, b):
    low = np.maximum(a[:, :2] - a[:, 2:] / 2, b[:, :2] - b[:, 2:] / 2)
    high = np.minimum(a[:, :2] + a[:, 2:] / 2, b[:, :2] + b[:, 2:] / 2)
    shared = np.maximum(high - low, 0).prod(axis=1)
    return shared / (a[:, 2:].prod(axis=1) + b[:, 2:].prod(axis=1) - shared)


def my_pixel_accuracy(x, t):
    return (x.argmax(axis=1) == t).mean()
