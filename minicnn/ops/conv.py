"""Convolution, as im2col and a matrix product; its transpose; and the depthwise kind."""

from __future__ import annotations

import numpy as np

from minicnn.backends import xp
from minicnn.layout import filter_rows, nchw, nhwc, output_size, rows
from minicnn.ops.epilogue import Fused
from minicnn.ops.windows import col2im, im2col, pad, unpad, windows
from minicnn.tensor import Function


def channel_groups(groups, *arrays):
    """The arrays (N, C, ...) cut along C into `groups` equal parts: a tuple for each group."""
    for g in range(groups):
        yield tuple(
            a[:, g * (a.shape[1] // groups) : (g + 1) * (a.shape[1] // groups)] for a in arrays
        )


def filter_groups(groups, *arrays):
    """The arrays (O, ...) cut along O into `groups` equal parts: a tuple for each group."""
    yield from (tuple(parts) for parts in zip(*(np.split(a, groups) for a in arrays)))


class Conv2d(Fused):
    """Cross-correlation of x (N, C, H, W) with O filters w (O, C/G, KH, KW), plus a bias b (O,).

    z[n,o,i,j] = b[o] + sum over (c,u,v) of x[n, c, i*SH + u*DH - PH, j*SW + v*DW - PW] w[o,c,u,v],
    where c runs over the channels of the filter's group (all of them, if there is one group).
    Then y = activation(z + add); without the two, y = z (see `Fused`).

    With a window per row (im2col) that is one matrix product, z = col w' + b. So its gradients are
    dw = dz' col and dcol = dz w, and dx adds up dcol where windows overlap (col2im). A 1x1 filter's
    window is the pixel itself: im2col of a channels-last array is then a view, and nothing is
    copied.
    """

    def geometry(self, w):
        """kernel, stride, padding, dilation: how windows lie on the input."""
        return w.shape[2:], self.stride, self.padding, self.dilation

    def forward(self, x, w, b, add):
        self.save(x, w)
        (N, _, H, W), O = x.shape, w.shape[0]
        OH, OW = output_size((H, W), *self.geometry(w))
        parts = zip(channel_groups(self.groups, x), filter_groups(self.groups, w))
        z = [im2col(xg, *self.geometry(w)) @ filter_rows(wg).T for (xg,), (wg,) in parts]
        z = z[0] if self.groups == 1 else xp(x).concatenate(z, axis=1)
        if b is not None:
            z += b
        return self.finish(nchw(z.reshape(N, OH, OW, O)), add)

    def backward(self, dy):
        x, w, *kept = self.saved
        dz = self.back_to_z(dy, kept)
        dx, dw = [], []
        parts = zip(channel_groups(self.groups, x, dz), filter_groups(self.groups, w))
        for (xg, dzg), (wg,) in parts:
            dzg = rows(dzg)  # a row per output pixel, as in col
            if self.needs[0]:
                dx.append(col2im(dzg @ filter_rows(wg), xg.shape, *self.geometry(w)))
            if self.needs[1]:
                col = im2col(xg, *self.geometry(w))
                dw.append((dzg.T @ col).reshape(nhwc(wg).shape))
        lib = xp(dz)
        return (
            lib.concatenate(dx, axis=1) if dx else None,
            nchw(lib.concatenate(dw)) if dw else None,
            dz.sum(axis=(0, 2, 3)) if self.needs[2] else None,
            dz,
        )


class DepthwiseConv2d(Conv2d):
    """Conv2d with a group for each channel: M = O/C filters of its own, (C*M, 1, KH, KW).

    There is nothing to add up over channels, so no matrix product: cell (u, v) of all windows is
    multiplied by its weights, and the KH KW results are added. Output c*M + m belongs to channel c.
    """

    def forward(self, x, w, b, add):
        self.save(x, w)
        view = windows(pad(nhwc(x), self.padding), w.shape[2:], self.stride, self.dilation)
        N, OH, OW, KH, KW, C = view.shape
        weights = w.reshape(C, -1, KH, KW)
        z = xp(x).zeros((N, OH, OW, C, weights.shape[1]), x.dtype)
        for u, v in np.ndindex(KH, KW):
            z += view[:, :, :, u, v, :, None] * weights[:, :, u, v]
        z = z.reshape(N, OH, OW, w.shape[0])
        if b is not None:
            z += b
        return self.finish(nchw(z), add)

    def backward(self, dy):
        x, w, *kept = self.saved
        dz = self.back_to_z(dy, kept)
        padded = pad(nhwc(x), self.padding)
        view = windows(padded, w.shape[2:], self.stride, self.dilation)
        N, OH, OW, KH, KW, C = view.shape
        weights, dw = w.reshape(C, -1, KH, KW), xp(w).zeros((C, w.shape[0] // C, KH, KW), w.dtype)
        dx = xp(x).zeros(padded.shape, x.dtype)
        target = windows(dx, w.shape[2:], self.stride, self.dilation)
        dzc = nhwc(dz).reshape(N, OH, OW, C, w.shape[0] // C)
        for u, v in np.ndindex(KH, KW):
            if self.needs[0]:
                target[:, :, :, u, v] += (dzc * weights[:, :, u, v]).sum(axis=4)
            if self.needs[1]:
                dw[:, :, u, v] = (view[:, :, :, u, v, :, None] * dzc).sum(axis=(0, 1, 2))
        return (
            nchw(unpad(dx, self.padding)) if self.needs[0] else None,
            dw.reshape(w.shape) if self.needs[1] else None,
            dz.sum(axis=(0, 2, 3)) if self.needs[2] else None,
            dz,
        )


class Im2Col(Function):
    """The windows of x (N, C, H, W) as rows (N*OH*OW, KH*KW*C); see `windows.im2col`."""

    def forward(self, x):
        return im2col(x, self.kernel, self.stride, self.padding, self.dilation)

    def backward(self, dy):
        shape = self.shapes[0]
        return col2im(dy, shape, self.kernel, self.stride, self.padding, self.dilation)


class Col2Im(Function):
    """The adjoint of Im2Col: rows added up where windows overlap, an image of `shape`."""

    def forward(self, col):
        return col2im(col, self.shape, self.kernel, self.stride, self.padding, self.dilation)

    def backward(self, dy):
        return im2col(dy, self.kernel, self.stride, self.padding, self.dilation)


class ConvTranspose2d(Function):
    """The adjoint of Conv2d: x (N, C, H, W), w (C, O/G, KH, KW), b (O,).

    y[n, o, i*SH + u*DH - PH, j*SW + v*DW - PW] gets the sum over (c,i,j,u,v) of
    x[n,c,i,j] w[c,o,u,v]: every input pixel stamps its filter on the output. So its forward is the
    convolution's input gradient, and its input gradient is a convolution.
    """

    def geometry(self, w):
        """kernel, stride, padding, dilation: how windows lie on the output."""
        return w.shape[2:], self.stride, self.padding, self.dilation

    def forward(self, x, w, b):
        self.save(x, w)
        shape = (len(x), w.shape[1], *self.size)
        parts = zip(channel_groups(self.groups, x), filter_groups(self.groups, w))
        y = [
            col2im(rows(xg) @ filter_rows(wg), shape, *self.geometry(w), x.shape[2:])
            for (xg,), (wg,) in parts
        ]
        y = y[0] if self.groups == 1 else xp(x).concatenate(y, axis=1)
        return y if b is None else y + b[:, None, None]

    def backward(self, dy):
        x, w = self.saved
        dx, dw = [], []
        parts = zip(channel_groups(self.groups, x, dy), filter_groups(self.groups, w))
        for (xg, dyg), (wg,) in parts:
            col = im2col(dyg, *self.geometry(w), x.shape[2:])
            if self.needs[0]:
                dx.append((col @ filter_rows(wg).T).reshape(nhwc(xg).shape))
            if self.needs[1]:
                dw.append((rows(xg).T @ col).reshape(nhwc(wg).shape))
        lib = xp(dy)
        return (
            nchw(lib.concatenate(dx, axis=3)) if dx else None,
            nchw(lib.concatenate(dw)) if dw else None,
            dy.sum(axis=(0, 2, 3)) if self.needs[2] else None,
        )
