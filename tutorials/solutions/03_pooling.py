"""Solutions of 03."""

import numpy as np


def windows(x, kernel_size, stride):
    """(i, j, rows, columns) of every window."""
    (KH, KW), (SH, SW) = (v if isinstance(v, tuple) else (v, v) for v in (kernel_size, stride))
    for i in range((x.shape[2] - KH) // SH + 1):
        for j in range((x.shape[3] - KW) // SW + 1):
            yield i, j, slice(i * SH, i * SH + KH), slice(j * SW, j * SW + KW)


def pool(x, kernel_size, stride, number):
    places = list(windows(x, kernel_size, stride))
    y = np.zeros((*x.shape[:2], places[-1][0] + 1, places[-1][1] + 1))
    for i, j, rows, columns in places:
        y[:, :, i, j] = number(x[:, :, rows, columns], axis=(2, 3))
    return y


def my_max_pool2d(x, kernel_size, stride):
    return pool(x, kernel_size, stride, np.max)


def my_avg_pool2d(x, kernel_size, stride):
    return pool(x, kernel_size, stride, np.mean)


def my_max_pool2d_backward(dy, x, kernel_size, stride):
    dx = np.zeros(x.shape)
    for i, j, rows, columns in windows(x, kernel_size, stride):
        for n, c in np.ndindex(x.shape[:2]):
            window = x[n, c, rows, columns]
            u, v = np.unravel_index(window.argmax(), window.shape)
            dx[n, c, rows.start + u, columns.start + v] += dy[n, c, i, j]
    return dx
