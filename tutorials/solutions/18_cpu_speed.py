"""Solutions of 18."""

import numpy as np


def my_tiled_matmul(a, b, tile):
    (M, K), N = a.shape, b.shape[1]
    y = np.zeros((M, N))
    for m in range(0, M, tile):
        for n in range(0, N, tile):
            for k in range(0, K, tile):
                y[m : m + tile, n : n + tile] += (
                    a[m : m + tile, k : k + tile] @ b[k : k + tile, n : n + tile]
                )
    return y


def my_winograd(x, w):
    m1, m4 = (x[0] - x[2]) * w[0], (x[1] - x[3]) * w[2]
    m2 = (x[1] + x[2]) * (w[0] + w[1] + w[2]) / 2
    m3 = (x[2] - x[1]) * (w[0] - w[1] + w[2]) / 2
    return np.array([m1 + m2 + m3, m2 - m3 - m4])
