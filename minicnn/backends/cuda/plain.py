"""Launches the first rungs of kernels/conv: naive to register_tile.

Arrays are as in memory: x (N, H, W, G*C), y (N, OH, OW, G*O), w (G*O, KH, KW, C).
"""

from __future__ import annotations

from minicnn.backends import xp
from minicnn.backends.cuda.epilogue import CODES
from minicnn.backends.cuda.reduction import column_sum
from minicnn.backends.launch import launch, launch_each

RUNGS = ("naive", "coalesced", "direct", "shared_tile", "register_tile")
PIXELS = 4  # of a thread of `direct`,
NUMBERS = 4  # of a window's row in a thread of its weight gradient,
ENOUGH = 2**17  # of which there are about so many, as far as there are rows to share
TILES = {"shared_tile": (16, (16, 16)), "register_tile": (64, (256,))}  # side, block


def forward(name, x, w, bias, add, geometry, activation=None):
    """activation(conv(x, w) + bias + add), as an array (N, OH, OW, G*O)."""
    g = geometry
    y = xp(x).empty(g.y_shape, x.dtype)
    if name in ("coalesced", "direct"):  # weights with filters side by side: (G, KH, KW, C, O)
        w = xp(w).ascontiguousarray(w.reshape(g.G, g.O, g.window).transpose(0, 2, 1))
    if name == "direct":
        threads = g.N * g.output[0] * -(-g.output[1] // PIXELS) * g.G * g.O
        zeros = xp(x).zeros(g.C, x.dtype)
        args = (x, w, zeros, bias, add, y, threads, g.O, *g.numbers, CODES[activation])
        launch_each("conv/direct.cu", "direct_forward", threads, args, dtype=x.dtype,
                    defines=(("PIXELS", PIXELS),))  # fmt: skip
        return y
    args = (x, w, bias, add, y, g.pixels, *g.numbers, CODES[activation])
    file, kernel = f"conv/{name}.cu", f"{name}_forward"
    if name not in TILES:
        launch_each(file, kernel, y.size, args, dtype=x.dtype)
        return y
    side, block = TILES[name]
    grid = (-(-g.pixels // side) * -(-g.O // side), g.G)
    launch(file, kernel, grid, block, args, dtype=x.dtype)
    return y


def input_gradient(name, dy, w, geometry):
    """dx (N, H, W, G*C)."""
    g, name = geometry, "naive" if name == "naive" else "coalesced"
    dx = xp(dy).empty(g.x_shape, dy.dtype)
    args = (dy, w, dx, g.N * g.size[0] * g.size[1], *g.numbers)
    launch_each(f"conv/{name}.cu", f"{name}_input_gradient", dx.size, args, dtype=dy.dtype)
    return dx


def weight_gradient(name, x, dy, geometry):
    """dw (G*O, KH, KW, C)."""
    if name == "direct":
        return _direct_weight_gradient(x, dy, geometry)
    g, name = geometry, "naive" if name == "naive" else "coalesced"
    dw = xp(x).empty(g.w_shape, x.dtype)
    args = (x, dy, dw, g.N, *g.numbers)
    launch_each(f"conv/{name}.cu", f"{name}_weight_gradient", dw.size, args, dtype=x.dtype)
    return dw


def _direct_weight_gradient(x, dy, g):
    whole = g.G == g.dilation[1] == 1  # a window's row is one run of numbers
    run, runs = (g.kernel[1] * g.C, 1) if whole else (g.C, g.kernel[1])
    threads = g.G * g.O * -(-run // NUMBERS) * runs * g.kernel[0]  # of a part
    rows = g.N * g.output[0]
    rows_of_part = max(1, -(-rows // max(1, ENOUGH // threads)))
    parts = max(1, -(-rows // rows_of_part))
    partial = xp(x).empty((parts, g.G * g.O * g.window), x.dtype)
    args = (x, dy, partial, parts * threads, rows, rows_of_part, *g.numbers)
    launch_each("conv/direct_weight_gradient.cu", "direct_weight_gradient", parts * threads, args,
                dtype=x.dtype, defines=(("NUMBERS", NUMBERS),))  # fmt: skip
    return column_sum(partial).reshape(g.w_shape)
