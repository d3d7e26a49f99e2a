"""Solutions of 15."""

import numpy as np


def my_conv_macs(size, in_channels, out_channels, kernel, stride=1, padding=0, groups=1):
    out = (size + 2 * padding - kernel) // stride + 1
    return out * out * out_channels * (in_channels // groups) * kernel * kernel


def my_line_fit(x, y):
    dx, dy = x - x.mean(), y - y.mean()
    a = (dx * dy).sum() / (dx * dx).sum()
    r = (dx * dy).sum() / np.sqrt((dx * dx).sum() * (dy * dy).sum())
    return a, y.mean() - a * x.mean(), r
