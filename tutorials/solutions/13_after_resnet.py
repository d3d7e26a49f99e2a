"""Solutions of 13."""

import numpy as np


def my_squeeze_excitation(x, w1, b1, w2, b2):
    squeezed = np.maximum(x.mean(axis=(2, 3)) @ w1.T + b1, 0)
    with np.errstate(over="ignore"):
        scale = 1 / (1 + np.exp(-(squeezed @ w2.T + b2)))
    return x * scale[:, :, None, None]


def my_separable_macs(C, N, kernel, H, W):
    return H * W * (C * kernel**2 + C * N)


def my_channel_shuffle(x, groups):
    N, C, H, W = x.shape
    return x.reshape(N, groups, C // groups, H, W).swapaxes(1, 2).reshape(N, C, H, W)
