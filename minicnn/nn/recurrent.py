"""Recurrent layers: a cell that takes one step, and layers that walk a whole sequence.

Letters: T steps, N batch, I inputs, H hidden, L layers, D directions (2 if bidirectional).
"""

from __future__ import annotations

import math

import numpy as np

from minicnn import functional as F
from minicnn.backends import xp
from minicnn.functional.arguments import as_count
from minicnn.functional.dropout import as_probability
from minicnn.functional.pooling import as_bool
from minicnn.nn import init
from minicnn.nn.module import Module, Parameter
from minicnn.ops.operands import check_float
from minicnn.tensor import Tensor


# ---------------------------------------------------------------------------
# The two kinds. A state is a tuple of tensors (N, H).
# ---------------------------------------------------------------------------
class _LSTM:
    """What is a long short-term memory's own: four gates, and the state (h, c)."""

    gates, states = 4, 2

    @staticmethod
    def step(x, state, *weights):
        """The next state."""
        return F.lstm_cell(x, state, *weights)

    def unpack(self, hx):
        """The pair (h, c) that the caller gave, as a state."""
        if not isinstance(hx, (tuple, list)) or len(hx) != 2:
            raise TypeError(f"{type(self).__name__}: hx expects a pair (h, c) of tensors, but got "
                            f"a {type(hx).__name__}")  # fmt: skip
        return tuple(hx)

    def pack(self, state):
        """A state as the caller gets it."""
        return tuple(state)


class _GRU:
    """What is a gated recurrent unit's own: three gates, and the state (h,)."""

    gates, states = 3, 1

    @staticmethod
    def step(x, state, *weights):
        """The next state."""
        return (F.gru_cell(x, *state, *weights),)

    def unpack(self, hx):
        """The tensor h that the caller gave, as a state."""
        return (hx,)

    def pack(self, state):
        """A state as the caller gets it."""
        return state[0]


class _Recurrent(Module):
    """What cells and layers share: sizes, and weights in PyTorch's layout."""

    def __init__(self, input_size, hidden_size, bias):
        super().__init__()
        name = type(self).__name__
        self.input_size = as_count(name, "input_size", input_size)
        self.hidden_size = as_count(name, "hidden_size", hidden_size)
        self.bias = as_bool(name, "bias", bias)

    def _make_weights(self, inputs, suffix=""):
        """Set weight_ih, weight_hh, bias_ih, bias_hh, uniform in +-1/sqrt(H) as in PyTorch."""
        H, rows = self.hidden_size, self.gates * self.hidden_size
        shapes = {"weight_ih": (rows, inputs), "weight_hh": (rows, H)}
        if self.bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        bound = 1 / math.sqrt(H)
        for name, shape in shapes.items():
            weight = init.uniform_(Parameter(np.empty(shape, np.float32)), -bound, bound)
            setattr(self, name + suffix, weight)

    def _weights(self, suffix=""):
        """The weights in the order `step` takes them."""
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")[: 4 if self.bias else 2]
        return [getattr(self, name + suffix) for name in names]

    def _start(self, x, hx, shape):
        """The state to begin with: hx, checked, or zeros."""
        if hx is None:
            return (Tensor(xp(x.data).zeros(shape, x.dtype)),) * self.states
        name = type(self).__name__
        state = tuple(check_float(name, s) for s in self.unpack(hx))
        for s in state:
            if s.shape != shape:
                raise ValueError(f"{name}: hx expects shape {shape}, but has {s.shape}")
        return state


# ---------------------------------------------------------------------------
# One step
# ---------------------------------------------------------------------------
class _Cell(_Recurrent):
    """One step, with its own weights."""

    def __init__(self, input_size, hidden_size, bias=True):
        super().__init__(input_size, hidden_size, bias)
        self._make_weights(self.input_size)

    def forward(self, x, hx=None):
        x = check_float(type(self).__name__, x)
        if x.ndim != 2 or x.shape[1] != self.input_size:
            raise ValueError(
                f"{type(self).__name__}: input expects shape (N, {self.input_size}), but has "
                f"{x.shape}"
            )
        state = self._start(x, hx, (x.shape[0], self.hidden_size))
        return self.pack(self.step(x, state, *self._weights()))

    def extra_repr(self):
        text = f"{self.input_size}, {self.hidden_size}"
        return text + ("" if self.bias else ", bias=False")


class LSTMCell(_LSTM, _Cell):
    """`functional.lstm_cell` with its own weights.

    Called with x (N, I) and, if it is not to start with zeros, the pair (h, c) of (N, H); returns
    the next pair.

    Attributes
    ----------
    weight_ih : Parameter (4H, I)
    weight_hh : Parameter (4H, H)
    bias_ih, bias_hh : Parameters (4H,), unless bias=False
    """


class GRUCell(_GRU, _Cell):
    """`functional.gru_cell` with its own weights.

    Called with x (N, I) and, if it is not to start with zeros, h (N, H); returns the next h.

    Attributes
    ----------
    weight_ih : Parameter (3H, I)
    weight_hh : Parameter (3H, H)
    bias_ih, bias_hh : Parameters (3H,), unless bias=False
    """


# ---------------------------------------------------------------------------
# A sequence
# ---------------------------------------------------------------------------
class _Layers(_Recurrent):
    """Layers of cells on top of each other; each walks the whole sequence before the next."""

    def __init__(
        self,
        input_size,
        hidden_size,
        num_layers=1,
        bias=True,
        batch_first=False,
        dropout=0.0,
        bidirectional=False,
    ):
        super().__init__(input_size, hidden_size, bias)
        name = type(self).__name__
        self.num_layers = as_count(name, "num_layers", num_layers)
        self.batch_first = as_bool(name, "batch_first", batch_first)
        self.dropout = as_probability(name, dropout)
        self.bidirectional = as_bool(name, "bidirectional", bidirectional)
        self.directions = ("", "_reverse") if self.bidirectional else ("",)
        for layer in range(self.num_layers):
            inputs = len(self.directions) * self.hidden_size if layer else self.input_size
            for direction in self.directions:
                self._make_weights(inputs, f"_l{layer}{direction}")

    def forward(self, x, hx=None):
        x = self._as_sequence(x)
        D = len(self.directions)
        start = self._start(x, hx, (D * self.num_layers, x.shape[1], self.hidden_size))
        ends = []
        for layer in range(self.num_layers):
            if layer and self.dropout:
                x = F.dropout(x, self.dropout, self.training)
            outputs = []
            for direction, suffix in enumerate(self.directions):
                state = tuple(s[layer * D + direction] for s in start)
                steps = range(x.shape[0])
                steps = reversed(steps) if direction else steps
                y, end = self._walk(x, steps, state, self._weights(f"_l{layer}{suffix}"))
                outputs.append(F.stack(y[::-1] if direction else y))
                ends.append(end)
            x = F.cat(outputs, dim=2)
        end = self.pack([F.stack(parts) for parts in zip(*ends)])
        return (x.transpose(0, 1) if self.batch_first else x), end

    def _walk(self, x, steps, state, weights):
        """(outputs in the order of `steps`, last state) of one layer in one direction."""
        outputs = []
        for t in steps:
            state = self.step(x[t], state, *weights)
            outputs.append(state[0])
        return outputs, state

    def _as_sequence(self, x):
        """x as (T, N, I)."""
        name, order = type(self).__name__, "(N, T, " if self.batch_first else "(T, N, "
        x = check_float(name, x)
        if x.ndim != 3 or x.shape[2] != self.input_size:
            raise ValueError(
                f"{name}: input expects shape {order}{self.input_size}), but has {x.shape}"
            )
        x = x.transpose(0, 1) if self.batch_first else x
        if not x.shape[0]:
            raise ValueError(f"{name}: expects a sequence of at least one step, but got none")
        return x

    def extra_repr(self):
        text = f"{self.input_size}, {self.hidden_size}"
        shown = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0,
                 "bidirectional": False}  # fmt: skip
        for name, usual in shown.items():
            value = getattr(self, name)
            text += "" if value == usual else f", {name}={value}"
        return text


class LSTM(_LSTM, _Layers):
    """Long short-term memories on top of each other, along a sequence.

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.
    num_layers : int
        L; the outputs of a layer are the inputs of the next.
    bias : bool
    batch_first : bool
        Whether sequences are (N, T, I) and not (T, N, I).
    dropout : float
        Probability of a zero in what one layer hands to the next, in training.
    bidirectional : bool
        Whether each layer walks the sequence from its end, too, with weights of its own.

    Attributes
    ----------
    weight_ih_l0 : Parameter (4H, I), (4H, D*H) in layers above the first
    weight_hh_l0 : Parameter (4H, H)
    bias_ih_l0, bias_hh_l0 : Parameters (4H,), unless bias=False
        And so on with l1, ...; `weight_ih_l0_reverse`, ... for the walk from the end.

    Returns
    -------
    output : Tensor (T, N, D*H)
        h of the last layer at every step, (N, T, D*H) with batch_first.
    (h_n, c_n) : Tensors (L*D, N, H)
        The state at the end of each walk.

    `layer(x, (h_0, c_0))` begins with this state in place of zeros.
    """


class GRU(_GRU, _Layers):
    """Gated recurrent units on top of each other, along a sequence.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional
        As for `LSTM`.

    Attributes
    ----------
    weight_ih_l0 : Parameter (3H, I), (3H, D*H) in layers above the first
    weight_hh_l0 : Parameter (3H, H)
    bias_ih_l0, bias_hh_l0 : Parameters (3H,), unless bias=False
        And so on, as for `LSTM`.

    Returns
    -------
    output : Tensor (T, N, D*H)
        h of the last layer at every step, (N, T, D*H) with batch_first.
    h_n : Tensor (L*D, N, H)
        h at the end of each walk.

    `layer(x, h_0)` begins with this state in place of zeros.
    """
