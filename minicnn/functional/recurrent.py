"""One step of a recurrent net: what it remembers, from what it remembered and what it sees."""

from __future__ import annotations

from minicnn.functional.activation import sigmoid, tanh
from minicnn.functional.arguments import as_bias, check_same_dtype
from minicnn.functional.linear import linear
from minicnn.ops.operands import check_float
from minicnn.tensor import Tensor


def lstm_cell(input, hx, weight_ih, weight_hh, bias_ih=None, bias_hh=None) -> tuple[Tensor, Tensor]:
    """One step of a long short-term memory.

    With x the input, h the output of the step before and c the memory, four gates

        i = sigmoid(Wi x + Ui h + bi)      how much to write
        f = sigmoid(Wf x + Uf h + bf)      how much to keep
        g = tanh(Wg x + Ug h + bg)         what to write
        o = sigmoid(Wo x + Uo h + bo)      how much to show

    give c' = f c + i g and h' = o tanh(c'), element by element. The weights lie on top of each
    other in the order i, f, g, o.

    Parameters
    ----------
    input : Tensor (N, I)
    hx : pair (h, c) of Tensors (N, H)
    weight_ih : Tensor (4H, I)
        Wi, Wf, Wg, Wo.
    weight_hh : Tensor (4H, H)
        Ui, Uf, Ug, Uo.
    bias_ih, bias_hh : Tensor (4H,), optional
        Their sum is b; there are two as in PyTorch.

    Returns
    -------
    (h', c') : Tensors (N, H)

    Raises
    ------
    ValueError, TypeError
        If shapes or dtypes do not fit together.

    References
    ----------
    Hochreiter, Schmidhuber, "Long short-term memory", 1997; the gate f: Gers, Schmidhuber, Cummins,
    "Learning to forget", 2000.
    """
    if not isinstance(hx, (tuple, list)) or len(hx) != 2:
        raise TypeError(f"lstm_cell: hx expects a pair (h, c) of tensors, but got {_kind(hx)}")
    biases = (bias_ih, bias_hh)
    x, (h, c) = _check("lstm_cell", 4, input, hx, weight_ih, weight_hh, biases)
    rows = linear(x, weight_ih, bias_ih) + linear(h, weight_hh, bias_hh)
    i, f, g, o = _parts(rows, 4)
    i, f, g, o = sigmoid(i), sigmoid(f), tanh(g), sigmoid(o)
    c = f * c + i * g
    return o * tanh(c), c


def gru_cell(input, hx, weight_ih, weight_hh, bias_ih=None, bias_hh=None) -> Tensor:
    """One step of a gated recurrent unit: a memory that is also the output.

    With x the input and h the memory,

        r = sigmoid(Wr x + Ur h + br)      how much of the memory to look at
        z = sigmoid(Wz x + Uz h + bz)      how much of it to keep
        n = tanh(Wn x + b + r (Un h + b')) what to write

    give h' = (1 - z) n + z h, element by element. The weights lie on top of each other in the order
    r, z, n. As in PyTorch, r is applied after the product Un h, not before it.

    Parameters
    ----------
    input : Tensor (N, I)
    hx : Tensor (N, H)
    weight_ih : Tensor (3H, I)
        Wr, Wz, Wn.
    weight_hh : Tensor (3H, H)
        Ur, Uz, Un.
    bias_ih, bias_hh : Tensor (3H,), optional

    Returns
    -------
    Tensor (N, H)

    Raises
    ------
    ValueError, TypeError
        If shapes or dtypes do not fit together.

    References
    ----------
    Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical machine
    translation", 2014.
    """
    biases = (bias_ih, bias_hh)
    x, (h,) = _check("gru_cell", 3, input, (hx,), weight_ih, weight_hh, biases)
    seen, remembered = linear(x, weight_ih, bias_ih), linear(h, weight_hh, bias_hh)
    (xr, xz, xn), (hr, hz, hn) = _parts(seen, 3), _parts(remembered, 3)
    r, z = sigmoid(xr + hr), sigmoid(xz + hz)
    n = tanh(xn + r * hn)
    return (1 - z) * n + z * h


def _parts(rows, count):
    """(N, count*H) as `count` tensors (N, H)."""
    H = rows.shape[1] // count
    return [rows[:, k * H : (k + 1) * H] for k in range(count)]


def _check(name, gates, input, states, weight_ih, weight_hh, biases):
    """(input, states) as tensors, if all shapes and dtypes fit together."""
    x, w, u = (check_float(name, t) for t in (input, weight_ih, weight_hh))
    if u.ndim != 2 or u.shape[0] != gates * u.shape[1]:
        raise ValueError(
            f"{name}: weight_hh expects shape ({gates}H, H), {gates} blocks of (H, H) on top of "
            f"each other, but has {u.shape}"
        )
    H = u.shape[1]
    if w.ndim != 2 or w.shape[0] != gates * H:
        raise ValueError(f"{name}: weight_ih expects shape ({gates * H}, I), as many rows as "
                         f"weight_hh, but has {w.shape}")  # fmt: skip
    if x.ndim != 2 or x.shape[1] != w.shape[1]:
        raise ValueError(
            f"{name}: input expects shape (N, {w.shape[1]}), with weight_ih of {w.shape}, but has "
            f"{x.shape}"
        )
    states = tuple(check_float(name, s) for s in states)
    for s in states:
        if s.shape != (x.shape[0], H):
            raise ValueError(f"{name}: hx expects shape {(x.shape[0], H)}, a row of memory for "
                             f"each row of input, but has {s.shape}")  # fmt: skip
        check_same_dtype(name, x, hx=s)
    b, d = (as_bias(name, bias, gates * H) for bias in biases)
    check_same_dtype(name, x, weight_ih=w, weight_hh=u, bias_ih=b, bias_hh=d)
    return x, states


def _kind(value):
    """What kind of thing was given, in words."""
    size = f" of {len(value)}" if isinstance(value, (tuple, list)) else ""
    return f"a {type(value).__name__}{size}"
