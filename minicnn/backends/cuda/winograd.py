"""Winograd convolution in three steps: transform, a product for each point, transform back.

See kernels/conv/winograd.cu. Arrays are as in memory, float32; F is 2 or 4.
"""

from __future__ import annotations

from minicnn.backends import xp
from minicnn.backends.cuda import implicit_gemm
from minicnn.backends.cuda.epilogue import CODES
from minicnn.backends.fast.tiles import even
from minicnn.backends.geometry import Geometry
from minicnn.backends.launch import launch_each

WORKSPACE = 2**30  # bytes of transformed tiles at a time


def forward(x, w, bias, add, geometry, F, activation=None):
    """activation(conv(x, w) + bias + add), as an array (N, OH, OW, O)."""
    g = geometry
    U = filters(w, g, F, turned=False)
    y = xp(x).empty(g.y_shape, x.dtype)
    convolve(x, U, bias, add, y, g.padding, F, activation)
    return y


def input_gradient(dy, w, geometry, F):
    """dx (N, H, W, C): dy convolved with the filters, turned by half a turn."""
    g = geometry
    dx = xp(dy).empty(g.x_shape, dy.dtype)
    padding = tuple(2 - p for p in g.padding)  # negative: the border of dy is not looked at
    convolve(dy, filters(w, g, F, turned=True), None, None, dx, padding, F)
    return dx


def weight_gradient(x, dy, geometry, F):
    """dw (O, 3, 3, C)."""
    g = geometry
    if g.N == 0:
        return xp(x).zeros(g.w_shape, x.dtype)
    parts = []
    for images in batches(g.output, g.N, g.C + g.O, F):
        V = image_tiles(x[images], g.output, g.padding, F)
        dM = output_gradient_tiles(dy[images], F)
        parts.append(implicit_gemm.partial_weight_gradients(V, dM, points(V, g.O, F)))
    partial = parts[0] if len(parts) == 1 else xp(x).concatenate(parts)
    dU = implicit_gemm.add_partials(partial)
    dw = xp(x).empty(g.w_shape, x.dtype)
    run("winograd_filter_gradient", F, g.O * g.C, dU, dw, g.O * g.C, g.C)
    return dw


# ---------------------------------------------------------------------------
# Steps
# ---------------------------------------------------------------------------
def convolve(x, U, bias, add, y, padding, F, activation=None):
    """Fills y (N, OH, OW, O) from x (N, H, W, C) and transformed filters U (P*P, O, C)."""
    N, *size, O = y.shape
    for images in batches(size, N, x.shape[3] + O, F):
        V = image_tiles(x[images], size, padding, F)
        M = implicit_gemm.forward(V, U, None, None, points(V, O, F))
        part, added = y[images], None if add is None else add[images]
        tiles = V.shape[2]
        run("winograd_output", F, tiles * O, M, bias, added, part, tiles * O, *_laid_out(O, F),
            O, *size, *across(size, F), CODES[activation])  # fmt: skip


def filters(w, geometry, F, turned):
    """U (P*P, O, C) of w; if turned, of the input gradient's filters: (P*P, C, O)."""
    O, C = geometry.O, geometry.C
    U = xp(w).empty(((F + 2) ** 2, *((C, O) if turned else (O, C))), w.dtype)
    run("winograd_filter", F, O * C, w, U, O * C, O, C, int(turned), int(turned))
    return U


def image_tiles(x, output, padding, F):
    """V (1, 1, tiles, P*P*C) of x (N, H, W, C), a tile for every F x F outputs."""
    N, H, W, C = x.shape
    tiles = N * across(output, F)[0] * across(output, F)[1]
    V = xp(x).empty((1, 1, tiles, (F + 2) ** 2 * C), x.dtype)
    run("winograd_image", F, tiles * C, x, V, tiles * C, *_laid_out(C, F), C, H, W,
        *across(output, F), *padding)  # fmt: skip
    return V


def output_gradient_tiles(dy, F):
    """dM (1, 1, tiles, P*P*O) of dy (N, OH, OW, O)."""
    N, *size, O = dy.shape
    tiles = N * across(size, F)[0] * across(size, F)[1]
    dM = xp(dy).empty((1, 1, tiles, (F + 2) ** 2 * O), dy.dtype)
    args = (dy, dM, tiles * O, *_laid_out(O, F), O, *size, *across(size, F))
    run("winograd_output_gradient", F, tiles * O, *args)
    return dM


def _laid_out(channels, F):
    """The first tile, and how far apart tiles and points lie: a tile's points lie together."""
    return 0, (F + 2) ** 2 * channels, channels


def points(V, O, F):
    """The products of all points as one convolution: 1x1, with a group for each point."""
    G, size = (F + 2) ** 2, (1, V.shape[2])
    return Geometry(1, G, V.shape[3] // G, O, size, size, (1, 1))


def across(size, F):
    """Tiles down and across an output of this size."""
    return -(-size[0] // F), -(-size[1] // F)


def batches(size, N, channels, F):
    """The images in equal slices, nearly: V and M are WORKSPACE bytes at most, or one image's."""
    down, right = across(size, F)
    image = down * right * (F + 2) ** 2 * channels * 4
    return even(N, max(1, WORKSPACE // image)) if N else []


def run(name, F, elements, *args):
    """Launch a kernel of winograd.cu with a thread per element."""
    launch_each("conv/winograd.cu", name, elements, args, dtype=args[0].dtype,
                defines=(("F", F),))  # fmt: skip
