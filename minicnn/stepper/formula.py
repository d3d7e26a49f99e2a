"""What an operation computes, as text with the actual sizes in it."""

from __future__ import annotations

import math

from minicnn.stepper.elementwise import TEXTS, activation_texts


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


def shifted(letter: str, offset: int) -> str:
    """"u", "15+u" or "u-2"."""
    if offset == 0:
        return letter
    return f"{offset}+{letter}" if offset > 0 else f"{letter}{offset}"


def over(**sizes: int) -> str:
    """"c < 6, u < 5": the letters run from 0."""
    return ", ".join(f"{letter} < {n}" for letter, n in sizes.items())


def _shape(step, letter):
    if letter == "y":
        return step.held_output.shape
    return step.held[step.letters.index(letter)].shape


def _wanted(step, lines):
    """The equations of those gradients that were computed."""
    return [line for letter, line in lines.items() if step.grads.get(letter) is not None]


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
    N, O, OH, OW = _shape(step, "y")
    _, C, KH, KW = _shape(step, "w")
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
    return _activation(step) + _wanted(step, {
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
    *_, O = _shape(step, "y")
    *rows, I = _shape(step, "x")
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
    return _activation(step) + _wanted(step, {
        "x": f"dx[{n}i] = Σ {dz}[{n}o] · w[o,i]   over {over(o=O)}",
        "w": f"dw[o,i] = Σ {dz}[{n}o] · x[{n}i]{at}",
        "b": f"db[o] = Σ {dz}[{n}o]{at}",
        "add": f"dadd = {dz}",
    })  # fmt: skip


def _batch_norm(step):
    C, z, dz = _shape(step, "x")[1], step.z_name, f"d{step.z_name}"
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
    return lines + _wanted(step, {
        "x": f"dx = {w}{moved} / sqrt(var[c] + {step.op.eps:g})",
        "w": f"dw[c] = Σ {dz} · x̂   over the channel's elements",
        "b": f"db[c] = Σ {dz}   over the channel's elements",
        "add": f"dadd = {dz}",
    })  # fmt: skip


def _max_pool2d(step):
    N, C, OH, OW = _shape(step, "y")
    KH, KW = step.op.kernel
    row, column = _window_index(step)
    if step.direction == "forward":
        return [
            f"y[n,c,i,j] = the largest x[n,c,{row},{column}]",
            f"for {over(n=N, c=C, i=OH, j=OW)}; among {over(u=KH, v=KW)}",
        ]
    return ["dx[n,c,p,q] = Σ dy[n,c,i,j]   over the windows (i,j) whose largest x is at (p,q)"]


def _avg_pool2d(step):
    N, C, OH, OW = _shape(step, "y")
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


def _softmax_cross_entropy(step):
    N, K = _shape(step, "x")
    p = f"p[n,k] = e^x[n,k] / Σ e^x[n,l]   for {over(n=N, k=K)}; sum over {over(l=K)}"
    if step.direction == "forward":
        return [f"L = {'' if N == 1 else f'1/{N} '}Σ -ln p[n,t[n]]   over {over(n=N)}", p]
    share = "" if N == 1 else f" / {N}"
    return [f"dx[n,k] = dy (p[n,k] - (1 if k = t[n] else 0)){share}", p]


def _moments(step):
    R = _shape(step, "x")[0] * math.prod(_shape(step, "x")[2:])
    return [
        f"mean[c] = 1/{R} Σ x[n,c,...], var[c] = 1/{R} Σ (x[n,c,...] - mean[c])²",
        f"for each channel {over(c=_shape(step, 'x')[1])}; y is (mean, var)",
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
    return _wanted(step, {k: f"d{k} = its own part of dy along axis {axis}" for k in step.letters})


def _adaptive_avg_pool2d(step):
    H, W = _shape(step, "x")[2:]
    N, C, OH, OW = _shape(step, "y")
    window = f"floor(i {H}/{OH}) <= h < ceil((i+1) {H}/{OH}), w likewise by {W}/{OW}"
    if step.direction == "forward":
        return [f"y[n,c,i,j] = mean of x[n,c,h,w], {window}", f"for {over(n=N, c=C, i=OH, j=OW)}"]
    return [f"dx[n,c,h,w] = Σ dy[n,c,i,j] / (cells of window (i,j)) over those with {window}"]


def _moved(text):
    def write(step):
        if step.direction == "forward":
            return [f"y = {text}, {_shape(step, 'x')} to {_shape(step, 'y')}"]
        return [f"dx = dy, put back where the elements came from: {_shape(step, 'x')}"]

    return write


def _reduced(symbol):
    def write(step):
        axes = ", ".join(map(str, step.op.dims))
        if step.direction == "forward":
            shapes = f"{_shape(step, 'x')} to {_shape(step, 'y')}"
            return [f"y = {symbol} of x over axis {axes}: {shapes}"]
        share = " / the number of elements" if step.operation == "Mean" else ""
        return [f"dx = dy{share}, handed to every element of the {symbol}"]

    return write


def _elementwise(step):
    text, slopes = TEXTS[step.operation]
    if step.direction == "forward":
        return [f"y = {text}, element by element"]
    lines = []
    for k in slopes:
        factor = "" if slopes[k] == "1" else f" · {slopes[k]}"
        repeated = _shape(step, k) != _shape(step, "y")
        added = ", added up where it was repeated" if repeated else ""
        lines.append((k, f"d{k} = dy{factor}{added}"))
    return _wanted(step, dict(lines))


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
    "SoftmaxCrossEntropy": _softmax_cross_entropy,
    "Moments": _moments,
    "Dropout": _dropout,
    "Dropout2d": _dropout,
    "Cat": _cat,
    "AdaptiveAvgPool2d": _adaptive_avg_pool2d,
    "ChannelShuffle": _moved("x with the groups' channels dealt out in turn"),
    "Reshape": _moved("x in another shape"),
    "Permute": _moved("x with its axes in another order"),
    "Index": _moved("some elements of x"),
    "Sum": _reduced("sum"),
    "Mean": _reduced("mean"),
}
