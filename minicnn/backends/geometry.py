"""The sizes of a convolution, as every backend that knows several algorithms asks for them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from minicnn.layout import output_size


@dataclass(frozen=True)
class Geometry:
    """A convolution of N images with G groups of O filters; C channels in a group.

    Pairs are (rows, columns); `size` is (H, W), `output` (OH, OW).
    """

    N: int
    G: int
    C: int
    O: int
    size: tuple[int, int]
    output: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)

    @classmethod
    @lru_cache(1024)
    def of(cls, x_shape, w_shape, stride, padding, dilation, groups, output=None):
        """From the shapes of x (N, C, H, W) and w (O, C/G, KH, KW).

        `output` is as large as can be, unless it is given: a transposed convolution may have fewer
        windows than fit.
        """
        kernel, size = tuple(w_shape[2:]), tuple(x_shape[2:])
        output = output or output_size(size, kernel, stride, padding, dilation)
        C, O = w_shape[1], w_shape[0] // groups
        windows = (tuple(stride), tuple(padding), tuple(dilation))
        return cls(x_shape[0], groups, C, O, size, output, kernel, *windows)

    @property
    def numbers(self):
        """G, C, O, H, W, OH, OW, KH, KW, SH, SW, PH, PW, DH, DW, as kernels/conv takes them."""
        windows = (*self.kernel, *self.stride, *self.padding, *self.dilation)
        return (self.G, self.C, self.O, *self.size, *self.output, *windows)

    @property
    def window(self):
        """Numbers of a window."""
        return self.kernel[0] * self.kernel[1] * self.C

    @property
    def pixels(self):
        """Of the output: N*OH*OW."""
        return self.N * self.output[0] * self.output[1]

    @property
    def x_shape(self):
        """(N, H, W, G*C), as in memory."""
        return (self.N, *self.size, self.G * self.C)

    @property
    def y_shape(self):
        """(N, OH, OW, G*O), as in memory."""
        return (self.N, *self.output, self.G * self.O)

    @property
    def w_shape(self):
        """(G*O, KH, KW, C), as in memory."""
        return (self.G * self.O, *self.kernel, self.C)
