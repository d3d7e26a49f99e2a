"""Lenses on normalization and dropout."""

from __future__ import annotations

import numpy as np

from minicnn.ops.normalization import channel_sums
from minicnn.stepper.lens import add_up, at, epsilon

SEVERAL = 16  # roundings of one number, where libraries compute in different ways


# ---------------------------------------------------------------------------
# Batch normalization
# ---------------------------------------------------------------------------
def moments_y(step, which, c):
    """The mean (y[0,c]) or the variance (y[1,c]) of a channel."""
    x, mean = step.inputs["x"][:, c], step.output[0, c]
    axes = "nijk"[: x.ndim]
    place = ",".join(["n", str(c), *axes[1:]])
    if which == 0:
        return add_up(x, axes=axes, divisor=x.size) | {
            "formula": f"1/{x.size} Σ x[{place}]", "labels": (f"x[{{k}},{c}]", ""),
            "note": "the mean of the channel over all images of the batch",
        }  # fmt: skip
    fields = add_up(x - mean, x - mean, axes=axes, divisor=x.size)
    return fields | {
        "formula": f"1/{x.size} Σ d[{place}]², d = x - mean[{c}]",
        "labels": (f"d[{{k}},{c}]", f"d[{{k}},{c}]"),
        "parts": {f"mean[{c}]": mean},
        "note": "the variance: how far the channel's elements lie from their mean, squared",
        "rounding": SEVERAL * fields["rounding"] + (epsilon(x.dtype) * float(mean)) ** 2,
    }


def channel(step, c):
    """Mean, variance, 1/sqrt(var + eps), weight and bias of a channel; w and b may be None."""
    _, moments, w, b, _ = step.inputs.values()
    mean, var = moments[:, c]
    factor = 1 / np.sqrt(var + moments.dtype.type(step.op.eps))
    return mean, var, factor, *(None if k is None else k[c] for k in (w, b))


def batch_norm_y(step, *index):
    c, x = index[1], step.inputs["x"][index]
    mean, var, factor, w, b = channel(step, c)
    xhat = (x - mean) * factor
    parts = {at("x", index): x, f"mean[{c}]": mean, f"var[{c}]": var, "x̂": xhat}
    parts |= {f"{k}[{c}]": v for k, v in (("w", w), ("b", b)) if v is not None}
    z = xhat if w is None else xhat * w
    size = abs(float(z)) + abs(float(mean * factor)) * (1 if w is None else abs(float(w)))
    scale, shift = ("" if w is None else f"w[{c}] "), ("" if b is None else f" + b[{c}]")
    return {
        "formula": f"{scale}({at('x', index)} - mean[{c}]) / sqrt(var[{c}] + {step.op.eps:g})"
        + shift,
        "sum": z if b is None else z + b,
        "parts": parts,
        "note": "mean and variance are "
        + ("this batch's" if step.op.training else "the running ones"),
        "rounding": SEVERAL * epsilon(x.dtype) * (size + (0 if b is None else abs(float(b)))),
    }


def batch_norm_dx(step, *index):
    """Three terms in training: what arrived, less what moves and what stretches the batch."""
    c, d = index[1], f"d{step.z_name}"
    x, dz = step.inputs["x"][:, c], step.dz[:, c]
    mean, _, factor, w, _ = channel(step, c)
    xhat = (x - mean) * factor
    place = (index[0], *index[2:])
    terms = {at(d, index): dz[place]}
    if step.op.training:
        shift, stretch = (a.mean(dtype=np.float64).astype(dz.dtype) for a in (dz, dz * xhat))
        terms |= {f"- mean({d})": -shift, f"- x̂ mean({d} x̂)": -xhat[place] * stretch}
    scale = factor if w is None else factor * w
    size = sum(map(abs, terms.values())) + np.abs(dz).mean() * (1 + abs(xhat[place]))
    inner = "".join(f" {k}" for k in terms).strip()
    return {
        "formula": f"{'' if w is None else f'w[{c}] '}({inner}) / sqrt(var[{c}] + "
        f"{step.op.eps:g})",
        "sum": sum(terms.values()) * scale,
        "parts": terms | {"x̂": xhat[place], f"{'' if w is None else 'w'}/sqrt(var + eps)": scale},
        "note": "mean and variance are the batch's own and move with x: that takes away what would "
        "shift or stretch the whole channel" if step.op.training
        else "mean and variance are constants in evaluation, so one term is left",
        "rounding": SEVERAL * epsilon(dz.dtype) * abs(float(scale)) * float(size)
        * (1 + np.sqrt(dz.size)),
    }  # fmt: skip


def batch_norm_dw(step, c):
    x, dz, d = step.inputs["x"][:, c], step.dz[:, c], f"d{step.z_name}"
    mean, _, factor, *_ = channel(step, c)
    fields = add_up(dz, (x - mean) * factor, axes="nijk"[: dz.ndim])
    rest = ",".join("ijk"[: dz.ndim - 1])
    rest = f",{rest}" if rest else ""
    fields["rounding"] *= SEVERAL
    return fields | {
        "formula": f"Σ {d}[n,{c}{rest}] · x̂[n,{c}{rest}]",
        "labels": (f"{d}[{{k}},{c}]", f"x̂[{{k}},{c}]"),
    }


def batch_norm_db(step, c):
    dz, d = step.dz[:, c], f"d{step.z_name}"
    rest = "".join(f",{k}" for k in "ijk"[: dz.ndim - 1])
    return add_up(dz, axes="nijk"[: dz.ndim]) | {
        "formula": f"Σ {d}[n,{c}{rest}]", "labels": (f"{d}[{{k}},{c}]", ""),
    }  # fmt: skip


# ---------------------------------------------------------------------------
# Dropout: the same mask forward and backward
# ---------------------------------------------------------------------------
def dropout(step, index, name, array):
    from minicnn.ops.dropout import scale

    mask, keep = np.broadcast_to(step.op.mask(step.inputs["x"]), array.shape)[index], step.op.keep
    value = array[index] * mask * array.dtype.type(scale(keep))
    return {
        "formula": f"{at(name, index)} · {int(mask)} / {keep:g}",
        "sum": value,
        "parts": {at(name, index): array[index], "mask": np.int64(mask)},
        "note": f"it was kept, and multiplied by 1/{keep:g} so that the mean stays" if mask
        else "it was dropped: 0 forward, and no gradient comes back through it",
        "rounding": SEVERAL * epsilon(array.dtype) * abs(float(value)),
    }  # fmt: skip


def dropout_y(step, *index):
    return dropout(step, index, "x", step.inputs["x"])


def dropout_dx(step, *index):
    return dropout(step, index, "dy", step.dy)


# ---------------------------------------------------------------------------
# Local response normalization
# ---------------------------------------------------------------------------
def _neighbours(c, before, after, C):
    """The channels of a window around c, first and one past the last."""
    return max(0, c - before), min(C, c + after + 1)


def _column(step, index):
    """All channels of a pixel: x, and the s that each is divided by a power of."""
    n, _, *pixel = index
    x, op = step.inputs["x"][(n, slice(None), *pixel)], step.op
    sums = channel_sums((x * x)[None, None, None], *op.reach())[0, 0, 0]
    return x, (op.k + op.alpha / op.size * sums).astype(x.dtype)


def response_norm_y(step, *index):
    c, op = index[1], step.op
    x, s = _column(step, index)
    first, end = _neighbours(c, *op.reach(), len(x))
    factor = s[c] ** -x.dtype.type(op.beta)
    others = at("x", (index[0], "k", *index[2:]))
    return add_up(x[first:end], x[first:end], axes="k", starts=(first,)) | {
        "formula": f"{at('x', index)} ({op.k:g} + {op.alpha:g}/{op.size} Σ {others}²)^-{op.beta:g}",
        "sum": x[c] * factor,
        "labels": ("x", "x"),
        "parts": {at("x", index): x[c], "s": s[c], f"s^-{op.beta:g}": factor},
        "note": f"the squares of channels {first} to {end - 1} damp channel {c}: s is what is in "
        "the brackets",
        "rounding": SEVERAL * epsilon(x.dtype) * abs(float(x[c] * factor)) * (1 + op.size),
    }


def response_norm_dx(step, *index):
    c, op = index[1], step.op
    x, s = _column(step, index)
    dy = step.dy[(index[0], slice(None), *index[2:])]
    g = dy * s ** -x.dtype.type(op.beta)
    before, after = op.reach()
    first, end = _neighbours(c, after, before, len(x))
    part = g[first:end] / s[first:end]
    fields = add_up(part, x[first:end], axes="k", starts=(first,))
    scale = x.dtype.type(2 * op.alpha * op.beta / op.size)
    name = f"2 · {op.alpha:g} · {op.beta:g}/{op.size}"
    return fields | {
        "formula": f"g[{c}] - {name} {at('x', index)} Σ g[k]/s[k] · x[k], g = dy s^-{op.beta:g}",
        "sum": g[c] - scale * x[c] * fields["sum"],
        "labels": ("g/s", "x"),
        "parts": {f"g[{c}]": g[c], at("x", index): x[c], name: scale},
        "note": f"channel {c} also damps its neighbours: those of channels {first} to {end - 1}",
        "rounding": SEVERAL * epsilon(x.dtype) * (
            abs(float(g[c])) + abs(float(scale * x[c])) * float(np.abs(fields["products"]).sum())
        ) * (1 + op.size),
    }  # fmt: skip
