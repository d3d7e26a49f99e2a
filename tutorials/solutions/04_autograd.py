"""Solutions of 04."""

import numpy as np


def my_sigmoid_backward(dy, x):
    s = 1 / (1 + np.exp(-x))
    return dy * s * (1 - s)


def my_linear_backward(dy, x, w):
    rows, dy_rows = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
    return dy @ w, dy_rows.T @ rows, dy_rows.sum(axis=0)
