"""Lenses on batch normalization, dropout and concatenation."""

from __future__ import annotations

import numpy as np

from minicnn.stepper.lens import add_up, at, epsilon

SEVERAL = 16  # roundings of one number, where libraries compute in different ways


# ---------------------------------------------------------------------------
# Batch normalization
# ---------------------------------------------------------------------------
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
# Concatenation
# ---------------------------------------------------------------------------
def starts(step):
    """Where each input begins along the axis that they are joined along."""
    sizes = [shape[step.op.dim] for shape in step.op.shapes]
    return np.cumsum([0, *sizes[:-1]])


def cat_y(step, *index):
    axis = step.op.dim
    k = int(np.searchsorted(starts(step), index[axis], side="right")) - 1
    place = list(index)
    place[axis] -= int(starts(step)[k])
    letter = step.letters[k]
    return {
        "formula": at(letter, place),
        "sum": step.inputs[letter][tuple(place)],
        "note": f"the element was only moved: along axis {axis}, {letter} begins at "
        f"{starts(step)[k]}",
    }


def cat_gradient(step, letter, *index):
    place = list(index)
    place[step.op.dim] += int(starts(step)[step.letters.index(letter)])
    return {
        "formula": at("dy", place),
        "sum": step.dy[tuple(place)],
        "note": "each input gets its own part of the gradient",
    }
