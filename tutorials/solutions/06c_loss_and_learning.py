"""Solutions of 06c."""

import numpy as np


def log_softmax(x):
    shifted = x - x.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def my_cross_entropy(x, t):
    return -log_softmax(x)[np.arange(len(x)), t].mean()


def my_cross_entropy_backward(x, t):
    dx = np.exp(log_softmax(x))
    dx[np.arange(len(x)), t] -= 1
    return dx / len(x)


def my_sgd_step(w, dw, v, lr, momentum):
    v = momentum * v + dw
    return w - lr * v, v
