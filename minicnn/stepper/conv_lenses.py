"""Lenses on convolution and its transpose.

Each is made of three sums: over a window (`window_sum`), over the windows that saw a pixel
(`gathered`), over all positions that a weight was used at (`met`). What is a convolution's y, dx
and dw is a transposed convolution's dx, y and dw.
"""

from __future__ import annotations

import numpy as np

from minicnn.stepper.lens import add_up
from minicnn.stepper.notation import shifted
from minicnn.stepper.window_lenses import NOBODY, corner, cut, seen_by, times


def group(op, o):
    """The first channel of x that filter o looks at, for weights (O, C/G, KH, KW)."""
    O, C = op.shapes[1][:2]
    return o // (O // op.groups) * C


def window_sum(op, x, name, w, b, n, o, i, j):
    """Σ over (c,u,v) of x[n, k+c, i*SH+u*DH-PH, j*SW+v*DW-PW] w[o,c,u,v], k the group's first."""
    top, left = corner(op, i, j)
    (DH, DW), first = op.dilation, group(op, o)
    _, C, KH, KW = w.shape
    window = cut(x[n, first : first + C], top, left, ((KH - 1) * DH + 1, (KW - 1) * DW + 1))
    bias = "" if b is None else f" + b[{o}]"
    row, column = shifted(times(DH, "u"), top), shifted(times(DW, "v"), left)
    return add_up(window[:, ::DH, ::DW], w[o], axes="cuv", bias=None if b is None else b[o]) | {
        "formula": f"Σ {name}[{n},{shifted('c', first)},{row},{column}] · w[{o},c,u,v]{bias}",
        "labels": (f"window of {name}[{n},{{k}}{f'+{first}' if first else ''}]",
                   f"filter w[{o},{{k}}]"),
    }  # fmt: skip


def gathered(op, d, name, w, b, n, c, p, q):
    """Each window that saw pixel (p, q) of channel c sends its d back through one weight."""
    O, C, *kernel = w.shape
    own, size = c % C, O // op.groups
    first = c // C * size  # of the filters that look at this channel
    span = [(k - 1) * step_ + 1 for k, step_ in zip(kernel, op.dilation)]
    (rows, columns), (u, v) = seen_by(op, p, q, span, d.shape[2:])
    weights = w[first : first + size, own][:, u[:, None] // op.dilation[0], v // op.dilation[1]]
    hit = (u[:, None] % op.dilation[0] == 0) & (v % op.dilation[1] == 0)
    fields = add_up(
        d[n, first : first + size, rows, columns],
        np.where(hit, weights, weights.dtype.type(0)),
        axes="oij",
        starts=(first, rows.start, columns.start),
        bias=None if b is None else b[c],
    )
    cells = [
        str(pixel + pad) + f"-{times(s, letter)}"
        for pixel, pad, letter, s in zip((p, q), op.padding, "ij", op.stride)
    ]
    cells = [cell if s == 1 else f"({cell})/{s}" for cell, s in zip(cells, op.dilation)]
    where = "" if hit.all() else "; a 0 is where the pixel lies between two cells of the window"
    bias = "" if b is None else f" + b[{c}]"
    return fields | {
        "formula": f"Σ {name}[{n},o,i,j] · w[o,{own},{cells[0]},{cells[1]}]{bias}",
        "labels": (f"{name}[{n},{{k}}], windows", f"w[{{k}},{own}] they used"),
        "note": f"each window used one weight on this pixel{where}" if fields["products"].size
        else NOBODY,
    }  # fmt: skip


def met(op, d, name, x, other, o, c, u, v):
    """Every position that w[o,c,u,v] was used at: d there times the pixel of x it met."""
    _, _, OH, OW = d.shape
    SH, SW = op.stride
    channel = group(op, o) + c
    top, left = (k * s - pad for k, s, pad in zip((u, v), op.dilation, op.padding))
    pixels = cut(x[:, channel], top, left, ((OH - 1) * SH + 1, (OW - 1) * SW + 1))[:, ::SH, ::SW]
    row, column = shifted(times(SH, "i"), top), shifted(times(SW, "j"), left)
    return add_up(d[:, o], pixels, axes="nij") | {
        "formula": f"Σ {name}[n,{o},i,j] · {other}[n,{channel},{row},{column}]",
        "labels": (f"{name}[{{k}},{o}]", f"{other}[{{k}},{channel}] it met"),
    }


def added(d, name, o):
    """The gradient of a bias: it was added everywhere."""
    return add_up(d[:, o], axes="nij") | {
        "formula": f"Σ {name}[n,{o},i,j]", "labels": (f"{name}[{{k}},{o}]", ""),
    }  # fmt: skip


class Conv:
    """z[n,o,i,j] = b[o] + sum over (c,u,v) of x[n, k+c, i*SH+u*DH-PH, j*SW+v*DW-PW] w[o,c,u,v]."""

    @staticmethod
    def y(step, n, o, i, j):
        x, w, b, _ = step.inputs.values()
        return window_sum(step.op, x, "x", w, b, n, o, i, j)

    @staticmethod
    def dx(step, *index):
        return gathered(step.op, step.dz, f"d{step.z_name}", step.inputs["w"], None, *index)

    @staticmethod
    def dw(step, *index):
        return met(step.op, step.dz, f"d{step.z_name}", step.inputs["x"], "x", *index)

    @staticmethod
    def db(step, o):
        return added(step.dz, f"d{step.z_name}", o)


class ConvTranspose:
    """y[n, o, i*SH+u*DH-PH, j*SW+v*DW-PW] gets x[n,c,i,j] w[c,o,u,v] from all (c,i,j,u,v)."""

    @staticmethod
    def y(step, *index):
        x, w, b = step.inputs.values()
        fields = gathered(step.op, x, "x", w, b, *index)
        fields["formula"] = fields["formula"].replace(",o,", ",c,").replace("w[o,", "w[c,")
        note = fields["note"].replace("each window used", "each pixel of x stamped")
        return fields | {
            "axes": ("c", "i", "j"),
            "note": note if fields["products"].size else "no pixel of x reaches here",
        }

    @staticmethod
    def dx(step, n, c, i, j):
        fields = window_sum(step.op, step.dy, "dy", step.inputs["w"], None, n, c, i, j)
        formula = fields["formula"].replace("c,", "o,", 1).replace(f"w[{c},c,", f"w[{c},o,")
        return fields | {"formula": formula, "axes": ("o", "u", "v")}

    @staticmethod
    def dw(step, *index):
        return met(step.op, step.inputs["x"], "x", step.dy, "dy", *index)

    @staticmethod
    def db(step, o):
        return added(step.dy, "dy", o)
