"""Solutions of 01."""

import numpy as np


def my_grey(x):
    shares = np.array([0.299, 0.587, 0.114]).reshape(1, 3, 1, 1)
    return (x * shares).sum(axis=1, keepdims=True)


def my_standardize(x, mean, std):
    return (x - mean.reshape(1, -1, 1, 1)) / std.reshape(1, -1, 1, 1)
