"""The windows of a pooling, and reading and adding at the pixels they choose.

The windows lie as a convolution's do (`minicnn.ops.windows`), but may hang over the end of the
image. A chosen pixel is named by its place h*W + w in the image, whichever window chose it.
"""

from __future__ import annotations

from itertools import product

from minicnn.backends import xp


def pooled_size(size, kernel, stride, padding, dilation, ceil_mode):
    """(OH, OW) for an input of size (H, W); each argument but the last is a pair.

    OH = floor((H + 2 PH - DH*(KH - 1) - 1) / SH) + 1. With `ceil_mode` the fraction is rounded up,
    so that the last window may hang over the end; but one that would begin after the image, in the
    padding, is left out.
    """
    counts = []
    for n, k, s, p, d in zip(size, kernel, stride, padding, dilation):
        room = n + 2 * p - d * (k - 1) - 1
        count = (-(-room // s) if ceil_mode else room // s) + 1
        if ceil_mode and (count - 1) * s >= n + p:
            count -= 1
        counts.append(count)
    return tuple(counts)


def surround(xh, value, count, kernel, stride, padding, dilation):
    """xh (N, H, W, C) with a border of `value`: PH, PW before it, after it what windows need.

    `count` says how many windows (OH, OW) there are; `windows` of the result finds just as many.
    """
    (N, H, W, C), (PH, PW) = xh.shape, padding
    size = tuple(
        max(p + n, (o - 1) * s + d * (k - 1) + 1)
        for n, o, k, s, p, d in zip((H, W), count, kernel, stride, padding, dilation)
    )
    if size == (H, W):
        return xh
    padded = xp(xh).full((N, *size, C), value, xh.dtype)
    padded[:, PH : PH + H, PW : PW + W] = xh
    return padded


def adaptive_windows(size, count):
    """(i, j, rows, columns) of each of the OH x OW windows that divide an image (H, W) evenly.

    Window i runs from floor(i H / OH) to ceil((i+1) H / OH): windows differ by at most a row, and
    share one where OH does not divide H.
    """
    rows, columns = (
        [slice(i * n // o, -(-(i + 1) * n // o)) for i in range(o)] for n, o in zip(size, count)
    )
    for (i, r), (j, c) in product(enumerate(rows), enumerate(columns)):
        yield i, j, r, c


# ---------------------------------------------------------------------------
# Places: h*W + w names a pixel of an image (H, W)
# ---------------------------------------------------------------------------
def read_at(xh, place):
    """y[n,i,j,c] = the pixel of xh[n,:,:,c] at place[n,i,j,c]."""
    (N, H, W, C), (_, OH, OW, _) = xh.shape, place.shape
    image, flat = xh.reshape(N, H * W, C), place.reshape(N, OH * OW, C)
    return xp(xh).take_along_axis(image, flat, axis=1).reshape(place.shape)


def add_at(place, dyh, size):
    """The adjoint of `read_at`: an image (N, H, W, C) where each pixel is the sum of what read it.

    A place that several windows chose gets all their gradients.
    """
    lib, (N, _, _, C), (H, W) = xp(dyh), dyh.shape, size
    dx = lib.zeros((N, H, W, C), dyh.dtype)
    lib.add.at(dx.reshape(-1), element(place, size).reshape(-1), dyh.reshape(-1))
    return dx


def element(place, size):
    """The number that element (n, place, c) has in an array (N, H, W, C), counted in memory."""
    lib, (N, _, _, C) = xp(place), place.shape
    image = lib.arange(N)[:, None, None, None] * (size[0] * size[1])
    return (image + place) * C + lib.arange(C)
