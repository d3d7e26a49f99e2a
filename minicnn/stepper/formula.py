"""What an operation computes, as text with the actual sizes in it."""

from __future__ import annotations

import math

from minicnn.stepper.elementwise import TEXTS, activation_texts, texts
from minicnn.stepper.notation import over, shape_of, wanted
from minicnn.stepper.resampling_formulas import RESAMPLING_FORMULAS
from minicnn.stepper.row_formulas import ROW_FORMULAS


def formula(step) -> str:
    """The formula of a step, one equation a line; see `Step.formula`."""
    write = FORMULAS.get(step.operation)
    if not step.ours or step.held is None:
        lines = _unknown(step)
    elif step.operation in TEXTS:
        lines = _elementwise(step)
    elif write is None:
        lines = _unknown(step)
    else:
        lines = write(step)
    return "\n".join(lines)


# ---------------------------------------------------------------------------
# One function per operation: equations for the step's direction
# ---------------------------------------------------------------------------
def _window_index(step):
    """Text of the row and column of x that cell (u, v) of window (i, j) is at."""
    texts, op = [], step.op
    dilation = getattr(op, "dilation", (1, 1))
    for letter, cell, s, p, d in zip("ij", "uv", op.stride, op.padding, dilation):
        start, cell = (k if n == 1 else f"{n}{k}" for k, n in ((letter, s), (cell, d)))
        texts.append(f"{start}+{cell}" + (f"-{p}" if p else ""))
    return texts


def _conv2d(step):
    N, O, OH, OW = shape_of(step, "y")
    _, C, KH, KW = shape_of(step, "w")
    row, column = _window_index(step)
    group = f", c counted from o's group of {step.op.groups}" if step.op.groups > 1 else ""
    z, dz = step.z_name, f"d{step.z_name}"
    if step.direction == "forward":
        bias = "b[o] + " if _given(step, "b") else ""
        add = " + add[n,o,i,j]" if _given(step, "add") else ""
        return [
            *_activation(step),
            f"{z}[n,o,i,j] = {bias}Σ x[n,c,{row},{column}] · w[o,c,u,v]{add}",
            f"for {over(n=N, o=O, i=OH, j=OW)}; sum over {over(c=C, u=KH, v=KW)}{group}",
        ]
    return _activation(step) + wanted(step, {
        "x": f"dx[n,c,p,q] = Σ {dz}[n,o,i,j] · w[o,c,u,v]   over o < {O}, {row} = p, {column} = q",
        "w": f"dw[o,c,u,v] = Σ {dz}[n,o,i,j] · x[n,c,{row},{column}]   "
             f"over {over(n=N, i=OH, j=OW)}",
        "b": f"db[o] = Σ {dz}[n,o,i,j]   over {over(n=N, i=OH, j=OW)}",
        "add": f"dadd = {dz}",
    })  # fmt: skip


def _activation(step):
    """The equation of the activation at the end of a fused operation, if there is one."""
    if step.activation is None:
        return []
    value, slope = activation_texts(step.activation)
    if step.direction == "forward":
        return [f"y = {value}, element by element: {step.activation}"]
    return [f"dz = dy · {slope}: {step.activation}"]


def _given(step, letter):
    return step.held[step.letters.index(letter)] is not None


def _linear(step):
    *_, O = shape_of(step, "y")
    *rows, I = shape_of(step, "x")
    n = ",".join("nmlk"[: len(rows)]) + "," if rows else ""
    sizes = {letter: size for letter, size in zip("nmlk", rows)}
    z, dz = step.z_name, f"d{step.z_name}"
    if step.direction == "forward":
        bias = "b[o] + " if _given(step, "b") else ""
        add = f" + add[{n}o]" if _given(step, "add") else ""
        return [
            *_activation(step),
            f"{z}[{n}o] = {bias}Σ x[{n}i] · w[o,i]{add}",
            f"for {over(**sizes, o=O)}; sum over {over(i=I)}",
        ]
    at = f"   over {over(**sizes)}" if sizes else ""
    return _activation(step) + wanted(step, {
        "x": f"dx[{n}i] = Σ {dz}[{n}o] · w[o,i]   over {over(o=O)}",
        "w": f"dw[o,i] = Σ {dz}[{n}o] · x[{n}i]{at}",
        "b": f"db[o] = Σ {dz}[{n}o]{at}",
        "add": f"dadd = {dz}",
    })  # fmt: skip


def _batch_norm(step):
    C, z, dz = shape_of(step, "x")[1], step.z_name, f"d{step.z_name}"
    w, b = ("w[c] · " * _given(step, "w"), " + b[c]" * _given(step, "b"))
    xhat = f"x̂ = (x - mean[c]) / sqrt(var[c] + {step.op.eps:g})"
    whose = "of this batch" if step.op.training else "the running ones"
    if step.direction == "forward":
        return [
            *_activation(step),
            f"{z} = {w}x̂{b}{' + add' * _given(step, 'add')}, with {xhat}",
            f"for each channel {over(c=C)}; mean and variance {whose}",
        ]
    moved = f"({dz} - mean({dz}) - x̂ mean({dz} x̂))" if step.op.training else dz
    lines = [*_activation(step), f"with {xhat}, mean and variance {whose}:"]
    return lines + wanted(step, {
        "x": f"dx = {w}{moved} / sqrt(var[c] + {step.op.eps:g})",
        "w": f"dw[c] = Σ {dz} · x̂   over the channel's elements",
        "b": f"db[c] = Σ {dz}   over the channel's elements",
        "add": f"dadd = {dz}",
    })  # fmt: skip


def _max_pool2d(step):
    N, C, OH, OW = shape_of(step, "y")
    KH, KW = step.op.kernel
    row, column = _window_index(step)
    if step.direction == "forward":
        return [
            f"y[n,c,i,j] = the largest x[n,c,{row},{column}]",
            f"for {over(n=N, c=C, i=OH, j=OW)}; among {over(u=KH, v=KW)}",
        ]
    return ["dx[n,c,p,q] = Σ dy[n,c,i,j]   over the windows (i,j) whose largest x is at (p,q)"]


def _pool_indices(step):
    W = shape_of(step, "x")[3]
    return [f"y[n,c,i,j] = {W} h + w, with x[n,c,h,w] the largest of window (i,j): its place"]


def _avg_pool2d(step):
    N, C, OH, OW = shape_of(step, "y")
    KH, KW = step.op.kernel
    divisors = step.op.divisors()
    divisor = divisors[0, 0] if (divisors == divisors[0, 0]).all() else "D[i,j]"
    row, column = _window_index(step)
    if step.direction == "forward":
        return [
            f"y[n,c,i,j] = 1/{divisor} Σ x[n,c,{row},{column}]",
            f"for {over(n=N, c=C, i=OH, j=OW)}; sum over {over(u=KH, v=KW)}",
        ]
    return [f"dx[n,c,p,q] = Σ dy[n,c,i,j] / {divisor}   over the windows (i,j) that saw (p,q)"]


def _moments(step):
    R = shape_of(step, "x")[0] * math.prod(shape_of(step, "x")[2:])
    return [
        f"mean[c] = 1/{R} Σ x[n,c,...], var[c] = 1/{R} Σ (x[n,c,...] - mean[c])²",
        f"for each channel {over(c=shape_of(step, 'x')[1])}; y is (mean, var)",
    ]


def _dropout(step):
    keep = f"{step.op.keep:g}"
    if step.direction == "forward":
        return [f"y = x · m / {keep}, m = 1 with probability {keep}, else 0"]
    return [f"dx = dy · m / {keep}, with the m of the forward pass"]


def _cat(step):
    axis = step.op.dim
    if step.direction == "forward":
        return [f"y = {', '.join(step.letters)} one behind the other along axis {axis}"]
    return wanted(step, {k: f"d{k} = its own part of dy along axis {axis}" for k in step.letters})


def _adaptive_avg_pool2d(step):
    H, W = shape_of(step, "x")[2:]
    N, C, OH, OW = shape_of(step, "y")
    window = f"floor(i {H}/{OH}) <= h < ceil((i+1) {H}/{OH}), w likewise by {W}/{OW}"
    if step.direction == "forward":
        return [f"y[n,c,i,j] = mean of x[n,c,h,w], {window}", f"for {over(n=N, c=C, i=OH, j=OW)}"]
    return [f"dx[n,c,h,w] = Σ dy[n,c,i,j] / (cells of window (i,j)) over those with {window}"]


def _adaptive_max_pool2d(step):
    H, W = shape_of(step, "x")[2:]
    N, C, OH, OW = shape_of(step, "y")
    window = f"floor(i {H}/{OH}) <= h < ceil((i+1) {H}/{OH}), w likewise by {W}/{OW}"
    if step.direction == "forward":
        sizes = over(n=N, c=C, i=OH, j=OW)
        return [f"y[n,c,i,j] = the largest x[n,c,h,w], {window}", f"for {sizes}"]
    return ["dx[n,c,h,w] = Σ dy[n,c,i,j]   over the windows (i,j) whose largest x is at (h,w)"]


def _conv_transpose2d(step):
    N, C, H, W = shape_of(step, "x")
    O, (_, _, KH, KW) = shape_of(step, "y")[1], shape_of(step, "w")
    row, column = _window_index(step)
    group = f", c of o's group of {step.op.groups}" if step.op.groups > 1 else ""
    if step.direction == "forward":
        bias = "b[o] + " if _given(step, "b") else ""
        return [
            f"y[n,o,p,q] = {bias}Σ x[n,c,i,j] · w[c,o,u,v]   over {row} = p, {column} = q",
            f"for {over(n=N, o=O)}; sum over {over(c=C, i=H, j=W, u=KH, v=KW)}{group}",
        ]
    return wanted(step, {
        "x": f"dx[n,c,i,j] = Σ dy[n,o,{row},{column}] · w[c,o,u,v]   over {over(o=O, u=KH, v=KW)}",
        "w": f"dw[c,o,u,v] = Σ x[n,c,i,j] · dy[n,o,{row},{column}]   over {over(n=N, i=H, j=W)}",
        "b": f"db[o] = Σ dy[n,o,p,q]   over {over(n=N)} and all pixels",
    })  # fmt: skip


def _local_response_norm(step):
    op, (before, after) = step.op, step.op.reach()
    s = f"s[c] = {op.k:g} + {op.alpha:g}/{op.size} Σ x[k]²   over c-{before} <= k <= c+{after}"
    if step.direction == "forward":
        return [f"y[c] = x[c] s[c]^-{op.beta:g}", f"{s}, at each pixel by itself"]
    factor = f"2 · {op.alpha:g} · {op.beta:g}/{op.size}"
    return [
        f"dx[c] = g[c] - {factor} x[c] Σ g[k] x[k] / s[k]   over c-{after} <= k <= c+{before}",
        f"with g = dy s^-{op.beta:g}, {s}",
    ]


def _pad(step):
    mode = f"the value {step.op.value:g}" if step.op.mode == "constant" else step.op.mode
    sides = " and ".join(f"{a}, {b}" for a, b in step.op.sides)
    if step.direction == "forward":
        shapes = f"{shape_of(step, 'x')} to {shape_of(step, 'y')}"
        return [f"y = x with a border of {sides} (before, after), {mode}: {shapes}"]
    return ["dx = the sum of dy over the places of y that an element of x is at"]


def _elementwise(step):
    text, slopes = texts(step)
    if step.direction == "forward":
        return [f"y = {text}, element by element"]
    lines = []
    for k in slopes:
        factor = "" if slopes[k] == "1" else f" · {slopes[k]}"
        repeated = shape_of(step, k) != shape_of(step, "y")
        added = ", added up where it was repeated" if repeated else ""
        lines.append((k, f"d{k} = dy{factor}{added}"))
    return wanted(step, dict(lines))


def _unknown(step):
    letters = ", ".join(step.letters)
    if step.direction == "forward":
        return [f"y = {step.operation}({letters})"]
    return [f"{', '.join('d' + k for k in step.letters)} from dy, by {step.operation}.backward"]


FORMULAS = {
    "BatchNorm": _batch_norm,
    "Conv2d": _conv2d,
    "DepthwiseConv2d": _conv2d,
    "Linear": _linear,
    "MaxPool2d": _max_pool2d,
    "AvgPool2d": _avg_pool2d,
    "Moments": _moments,
    "Dropout": _dropout,
    "Dropout2d": _dropout,
    "Cat": _cat,
    "AdaptiveAvgPool2d": _adaptive_avg_pool2d,
    "AdaptiveMaxPool2d": _adaptive_max_pool2d,
    "ConvTranspose2d": _conv_transpose2d,
    "LocalResponseNorm": _local_response_norm,
    "Pad": _pad,
    "PoolIndices": _pool_indices,
    **RESAMPLING_FORMULAS,
    **ROW_FORMULAS,
}
