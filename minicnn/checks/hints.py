"""Which mistake gives the results that a student's function gave?

Two ways to find out. Known mistakes are computed: the reference is run the wrong way (without
padding, with the kernel flipped, ...), and the one whose results equal the student's is named. If
none does, the failing and the passing cases are compared: if the function fails wherever the stride
is over 1, and only there, that is said.
"""

from __future__ import annotations

import numpy as np

from minicnn.checks.mistakes import mistakes_of
from minicnn.checks.mistakes.shared import pair
from minicnn.checks.verdict import equal

ERRORS = (ValueError, TypeError, IndexError, KeyError, ZeroDivisionError)  # does not apply here


def find_hint(reference, trial, fractions, drawn) -> str | None:
    """A sentence or two about the likely mistake.

    Parameters
    ----------
    trial : Trial
        The smallest failing case.
    fractions : list of Trial
        Cases, failing and passing, with fractions for values, so that no two mistakes give the same
        by chance.
    drawn : list of Trial
        Cases as drawn, for mistakes that show for special values alone (ties, zeros).
    """
    if trial.problem.remedy:
        return f"{trial.problem.remedy}."
    cases = fractions if any(t.problem for t in fractions) else [*fractions, *drawn]
    with_results = [t for t in [trial, *cases] if t.got is not None]
    hint = _mistake(reference, with_results) or _rounding(trial) or _where(cases)
    if hint is None and trial.error is not None:
        return "Call it with this case and look at the line named above."
    return hint


# ---------------------------------------------------------------------------
# Known mistakes
# ---------------------------------------------------------------------------
def _mistake(reference, cases):
    """The known mistake whose results are the student's, in all cases or at least in most."""
    first = next((t for t in cases if t.problem), None)  # the smallest, if it has a result
    if first is None:
        return None
    k = next(k for k, (g, e) in enumerate(zip(first.got, first.expected)) if not equal(g, e))
    best, most = None, 0.5
    for text, wrong in mistakes_of(reference):
        share = _explained(reference, wrong, k, cases)
        if share > most:
            best, most = text, share
        if share == 1:
            break
    if best is None:
        return None
    which = f"{reference.outputs[k]}: " if len(reference.outputs) > 1 else ""
    more = "" if most == 1 else " And there seems to be another mistake besides."
    return f"{which}{best}.{more}"


def _explained(reference, wrong, k, cases):
    """The share of cases in which a mistake gives output k as the student's function did.

    0 if most of the failing cases do not allow the mistake.
    """
    right = other = impossible = 0
    for t in cases:
        try:
            with np.errstate(all="ignore"):
                result = wrong(reference.run, reference.parameters | t.args, t.expected)[k]
        except ERRORS:
            impossible += t.problem is not None
            continue
        if result is None:
            return 0
        same = equal(t.got[k], np.asarray(result))
        right += same and t.problem is not None
        other += not same
    return right / (right + other) if right > impossible else 0


def _rounding(trial):
    """Right but for the last digits: computed in float32 somewhere."""
    for g, e in zip(trial.got or (), trial.expected):
        if np.shape(g) == e.shape and not equal(g, e) and np.allclose(g, e, rtol=1e-4, atol=1e-4):
            return (
                "The result is nearly right: digits are lost on the way, as when a part is computed"
                " in float32 or rounded. Make arrays with the dtype of the input: x.dtype."
            )
    return None


# ---------------------------------------------------------------------------
# Where it fails
# ---------------------------------------------------------------------------
def _where(cases):
    """The condition that all failing cases meet and no passing case does."""
    failing = [t.args for t in cases if t.problem]
    passing = [t.args for t in cases if not t.problem]
    if len(failing) < 2 or len(passing) < 2:
        return None
    for text, holds in CONDITIONS:
        if all(holds(a) for a in failing) and not any(holds(a) for a in passing):
            return f"It fails {text}, and only there."
    return None


def _setting(name, largest):
    return lambda a: a.get(name) is not None and max(pair(a[name])) > largest


def _is_pair(name):
    return lambda a: isinstance(a.get(name), tuple)


def _kernel(a):
    return a["w"].shape[2:] if a.get("w") is not None and a["w"].ndim == 4 else pair(
        a.get("kernel_size", 1)
    )


def _image(a):
    x, size = a.get("x"), a.get("size")
    if x is not None and x.ndim == 4:
        return x.shape
    return size if isinstance(size, tuple) else (1, 1, 1, 1)


def _overlapping(a):
    stride = pair(a.get("stride") or a.get("kernel_size", 1))
    return any(s < k for s, k in zip(stride, _kernel(a)))


CONDITIONS = [
    ("where kernel_size is a pair (KH, KW)", _is_pair("kernel_size")),
    ("where stride is a pair (SH, SW)", _is_pair("stride")),
    ("where padding is a pair (PH, PW)", _is_pair("padding")),
    ("where dilation is a pair (DH, DW)", _is_pair("dilation")),
    ("where an argument is a pair (for H, for W)",
     lambda a: any(isinstance(v, tuple) and len(v) == 2 for v in a.values())),
    ("where the kernel is not square", lambda a: _kernel(a)[0] != _kernel(a)[1]),
    ("where the input is not square", lambda a: _image(a)[2] != _image(a)[3]),
    ("where kernel or input are not square",
     lambda a: _kernel(a)[0] != _kernel(a)[1] or _image(a)[2] != _image(a)[3]),
    ("with a padding", _setting("padding", 0)),
    ("with a stride over 1", _setting("stride", 1)),
    ("with a dilation over 1", _setting("dilation", 1)),
    ("with groups over 1", _setting("groups", 1)),
    ("where windows overlap", _overlapping),
    ("where windows do not overlap", lambda a: not _overlapping(a)),
    ("with more than one image", lambda a: _image(a)[0] > 1),
    ("with more than one input channel", lambda a: _image(a)[1] > 1),
    ("with more than one filter", lambda a: a.get("w") is not None and a["w"].shape[0] > 1),
    ("with a kernel larger than 1", lambda a: max(_kernel(a)) > 1),
    ("without a bias", lambda a: "b" in a and a["b"] is None),
    ("with a bias", lambda a: a.get("b") is not None),
    ("with more or fewer than 2 axes", lambda a: "x" in a and a["x"].ndim != 2),
    ("where an array is not contiguous in memory (it may be a transposed view)",
     lambda a: any(isinstance(v, np.ndarray) and not v.flags.c_contiguous for v in a.values())),
]  # fmt: skip
