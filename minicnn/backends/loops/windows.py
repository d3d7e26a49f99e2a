"""What convolution and pooling share: which input pixel a window's cell is."""

from __future__ import annotations

from itertools import product


def output_shape(shape, kernel, stride, padding, channels):
    """(N, O, OH, OW) of a convolution or pooling."""
    N, _, H, W = shape
    OH = (H + 2 * padding[0] - kernel[0]) // stride[0] + 1
    OW = (W + 2 * padding[1] - kernel[1]) // stride[1] + 1
    return N, channels, OH, OW


def indices(*sizes):
    """All index tuples of an array of these sizes, in row-major order."""
    return product(*map(range, sizes))


class Windowed:
    """What convolution and pooling share: which input pixel a window's cell is."""

    def cells(self, i, j, kernel, shape):
        """(u, v, h, w) of the cells of window (i, j) that lie inside the image."""
        for u, v in indices(*kernel):
            h = i * self.stride[0] + u - self.padding[0]
            w = j * self.stride[1] + v - self.padding[1]
            if 0 <= h < shape[2] and 0 <= w < shape[3]:
                yield u, v, h, w
