"""Convolution, as nested loops."""

from __future__ import annotations

import numpy as np

from minicnn.backends.loops.windows import Windowed, indices, output_shape


class Conv2d(Windowed):
    """z[n,o,i,j] = b[o] + the sum over (c,u,v) of

    x[n, k + c, i*SH + u*DH - PH, j*SW + v*DW - PW] w[o,c,u,v], k the first channel of o's group.
    Then y = activation(z + add).
    """

    def forward(self, x, w, b, add):
        self.save(x, w)
        O, C, *kernel = w.shape
        shape = output_shape(x.shape, kernel, self.stride, self.padding, O, self.dilation)
        z = np.zeros(shape, x.dtype)
        for n, o, i, j in indices(*z.shape):
            first = o // (O // self.groups) * C
            total = x.dtype.type(0)
            for c in range(C):
                for u, v, h, k in self.cells(i, j, kernel, x.shape):
                    total += x[n, first + c, h, k] * w[o, c, u, v]
            z[n, o, i, j] = total if b is None else total + b[o]
        return self.finish(z, add)

    def backward(self, dy):
        x, w, *kept = self.saved
        dz = self.back_to_z(dy, kept)
        O, C, *kernel = w.shape
        dx, dw, db = np.zeros_like(x), np.zeros_like(w), np.zeros(O, w.dtype)
        for n, o, i, j in indices(*dz.shape):
            first = o // (O // self.groups) * C
            g = dz[n, o, i, j]
            db[o] += g
            for c in range(C):
                for u, v, h, k in self.cells(i, j, kernel, x.shape):
                    dx[n, first + c, h, k] += g * w[o, c, u, v]
                    dw[o, c, u, v] += g * x[n, first + c, h, k]
        return dx, dw, db, dz


class DepthwiseConv2d(Conv2d):
    """The same definition, with a group for each channel."""


class ConvTranspose2d(Windowed):
    """y[n, k+o, i*SH + u*DH - PH, j*SW + v*DW - PW] += x[n,c,i,j] w[c,o,u,v], and b[o] to all.

    k is the first output channel of input channel c's group.
    """

    def forward(self, x, w, b):
        self.save(x, w)
        C, O, *kernel = w.shape
        y = np.zeros((len(x), O * self.groups, *self.size), x.dtype)
        for n, c, i, j in indices(*x.shape):
            first = c // (C // self.groups) * O
            for o in range(O):
                for u, v, h, k in self.cells(i, j, kernel, y.shape):
                    y[n, first + o, h, k] += x[n, c, i, j] * w[c, o, u, v]
        if b is not None:
            for n, o, h, k in indices(*y.shape):
                y[n, o, h, k] += b[o]
        return y

    def backward(self, dy):
        x, w = self.saved
        C, O, *kernel = w.shape
        dx, dw, db = np.zeros_like(x), np.zeros_like(w), np.zeros(dy.shape[1], w.dtype)
        for n, c, i, j in indices(*x.shape):
            first = c // (C // self.groups) * O
            for o in range(O):
                for u, v, h, k in self.cells(i, j, kernel, dy.shape):
                    dx[n, c, i, j] += dy[n, first + o, h, k] * w[c, o, u, v]
                    dw[c, o, u, v] += dy[n, first + o, h, k] * x[n, c, i, j]
        for n, o, h, k in indices(*dy.shape):
            db[o] += dy[n, o, h, k]
        return dx, dw, db


class Im2Col(Windowed):
    """Row (n,i,j), column (u,v,c) is x[n, c, i*SH + u*DH - PH, j*SW + v*DW - PW], or 0 outside."""

    def places(self, shape):
        """((row, column), place in the image) of every cell inside an image of this shape."""
        N, C, OH, OW = output_shape(
            shape, self.kernel, self.stride, self.padding, shape[1], self.dilation
        )
        for row, (n, i, j) in enumerate(indices(N, OH, OW)):
            for u, v, h, w in self.cells(i, j, self.kernel, shape):
                for c in range(C):
                    yield (row, (u * self.kernel[1] + v) * C + c), (n, c, h, w)

    def rows(self, shape):
        """Shape of the matrix for an image of this shape."""
        N, C, OH, OW = output_shape(
            shape, self.kernel, self.stride, self.padding, shape[1], self.dilation
        )
        return N * OH * OW, self.kernel[0] * self.kernel[1] * C

    def forward(self, x):
        col = np.zeros(self.rows(x.shape), x.dtype)
        for cell, place in self.places(x.shape):
            col[cell] = x[place]
        return col

    def backward(self, dy):
        dx = np.zeros(self.shapes[0], dy.dtype)
        for cell, place in self.places(dx.shape):
            dx[place] += dy[cell]
        return dx


class Col2Im(Im2Col):
    """x[place] = sum of its copies in the rows."""

    def forward(self, col):
        x = np.zeros(self.shape, col.dtype)
        for cell, place in self.places(self.shape):
            x[place] += col[cell]
        return x

    def backward(self, dy):
        return Im2Col.forward(self, dy)


OPERATIONS = (Conv2d, DepthwiseConv2d, ConvTranspose2d, Im2Col, Col2Im)
