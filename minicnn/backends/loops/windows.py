"""What convolution and pooling share: which input pixel a window's cell is."""

from __future__ import annotations

from itertools import product

from minicnn.layout import output_size


def output_shape(shape, kernel, stride, padding, channels, dilation=(1, 1)):
    """(N, O, OH, OW) of a convolution or pooling."""
    return shape[0], channels, *output_size(shape[2:], tuple(kernel), stride, padding, dilation)


def indices(*sizes):
    """All index tuples of an array of these sizes, in row-major order."""
    return product(*map(range, sizes))


class Windowed:
    """An operation with a stride, a padding and perhaps a dilation."""

    dilation = (1, 1)

    def cells(self, i, j, kernel, shape):
        """(u, v, h, w) of the cells of window (i, j) that lie inside an image (N, C, H, W)."""
        for u, v in indices(*kernel):
            h = i * self.stride[0] + u * self.dilation[0] - self.padding[0]
            w = j * self.stride[1] + v * self.dilation[1] - self.padding[1]
            if 0 <= h < shape[2] and 0 <= w < shape[3]:
                yield u, v, h, w
