"""Is a backward right? Its gradient against differences of the function's values."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from math import prod

import numpy as np

from minicnn.choices import Choices
from minicnn.tensor import Tensor, no_grad


class GradcheckError(AssertionError):
    """A gradient that disagrees with the differences of the function."""


@dataclass
class GradcheckReport:
    """What `gradcheck` looked at.

    Attributes
    ----------
    checked : int
        Slopes that agreed: along single coordinates or along random directions.
    skipped : list of str
        Points at which the function has no derivative, and so nothing could be compared.
    max_error : float
        Largest `|gradient - difference| / max(1, |gradient|, |difference|)` among the checked.
    """

    checked: int = 0
    skipped: list[str] = field(default_factory=list)
    max_error: float = 0.0

    def __str__(self):
        text = f"gradcheck: {self.checked} slopes agree, largest error {self.max_error:.1e}"
        if self.skipped:
            shown = "; ".join(self.skipped[:3]) + ("; ..." if len(self.skipped) > 3 else "")
            text += f"; {len(self.skipped)} skipped, where there is no derivative: {shown}"
        return text

    __repr__ = __str__


def gradcheck(
    function,
    *inputs: Tensor,
    eps: float = 1e-6,
    rtol: float = 1e-5,
    atol: float = 1e-7,
    max_coordinates: int = 100,
    directions: int = 5,
    seed: int = 0,
    replay: bool = False,
) -> GradcheckReport:
    """Compare a function's gradients with central differences.

    For L(x) = sum of r * function(x), with fixed random weights r, the slope along a direction d is
    (L(x + eps d) - L(x - eps d)) / (2 eps), up to an error of order eps^2, and must equal
    sum of d * dL/dx. Small inputs are tried along every coordinate, large ones along random
    directions. Where the slope differs from the gradient and the slopes to the left and to the
    right keep apart as eps shrinks, the function has a kink at x: the point is skipped and
    reported.

    Parameters
    ----------
    function : callable
        Called with the inputs; returns a Tensor of any shape. It may also reach the inputs by
        another way (a model's parameters): their values are changed in place, and put back.
    *inputs : Tensor
        float64. Those with requires_grad=True are checked; they must be leaves.
    eps : float
        Step of the differences, in the units of the inputs.
    rtol, atol : float
        Allowed: `|slope - gradient| <= atol + rtol * max(|slope|, |gradient|)`.
    max_coordinates : int
        Inputs with more elements are checked along random directions.
    directions : int
        How many random directions for each large input.
    seed : int
        For r and the directions.
    replay : bool
        Let piecewise operations (ReLU, max pooling, ...) choose in the differences as they chose
        at x (see `minicnn.choices.Choices`): no kinks, and whole nets to many more digits.

    Returns
    -------
    GradcheckReport

    Raises
    ------
    GradcheckError
        If a gradient is wrong, or no slope at all could be checked.
    TypeError, ValueError
        If an input is no float64 leaf, or none wants a gradient, or the function is not
        deterministic.
    """
    wanted = _wanted(inputs)
    rng = np.random.default_rng(seed)
    gradients, loss = _analytic(function, inputs, wanted, rng, replay)
    report = GradcheckReport()
    for k, gradient in zip(wanted, gradients):
        t = inputs[k]
        for label, direction in _directions(t.shape, max_coordinates, directions, rng):
            expected = float((gradient * direction).sum())
            probe = _Probe(loss, t, direction)
            verdict, slope = _compare(probe, expected, eps, rtol, atol)
            where = f"input {k}{label}"
            if verdict == "kink":
                report.skipped.append(where)
            elif verdict == "wrong":
                raise GradcheckError(
                    f"gradcheck: wrong gradient for {where} of shape {t.shape}: backward gives "
                    f"{expected:.10g}, but the function's values give {slope:.10g} (a "
                    f"difference of {abs(slope - expected):.2g}); check the backward of the "
                    "operations in between"
                )
            else:
                report.checked += 1
                error = abs(slope - expected) / max(1.0, abs(slope), abs(expected))
                report.max_error = max(report.max_error, error)
    if not report.checked:
        raise GradcheckError(f"gradcheck: nothing could be checked, try other inputs; {report}")
    return report


def _wanted(inputs):
    """Numbers of the inputs to check, or an error about an input that cannot be."""
    for k, t in enumerate(inputs):
        if not isinstance(t, Tensor):
            raise TypeError(f"gradcheck: input {k} must be a Tensor, but is {type(t).__name__}")
        if t.requires_grad and t.dtype != np.float64:
            raise TypeError(
                f"gradcheck: input {k} is {t.dtype}, but differences need float64: "
                "use .to(np.float64)"
            )
        if t.requires_grad and not t.is_leaf:
            raise ValueError(f"gradcheck: input {k} must be a leaf; start from its .detach()")
    wanted = [k for k, t in enumerate(inputs) if t.requires_grad and t.size]
    if not wanted:
        raise ValueError("gradcheck: no input has requires_grad=True and elements to check")
    return wanted


def _analytic(function, inputs, wanted, rng, replay):
    """The gradients by backward, and the loss L as a function of no arguments."""
    before, choices = [t.grad for t in inputs], Choices()
    try:
        for t in inputs:
            t.grad = None
        with choices.record() if replay else nullcontext():
            y = function(*inputs)
        if not isinstance(y, Tensor):
            raise TypeError(
                f"gradcheck: function must return a Tensor, but returned a {type(y).__name__}"
            )
        weights = rng.standard_normal(y.shape)
        y.backward(weights)
        gradients = [
            np.zeros(inputs[k].shape) if inputs[k].grad is None else inputs[k].grad.numpy()
            for k in wanted
        ]
    finally:
        for t, grad in zip(inputs, before):
            t.grad = grad

    def loss():
        with no_grad(), choices.replay() if replay else nullcontext():
            return float((function(*inputs).numpy() * weights).sum())

    if loss() != loss():
        raise ValueError(
            "gradcheck: function gives different values for the same inputs (or NaN); "
            "fix its random numbers"
        )
    return gradients, loss


def _directions(shape, max_coordinates, directions, rng):
    """(label, direction) pairs: every coordinate of a small array, random ones of a large array."""
    if prod(shape) <= max_coordinates:
        for index in np.ndindex(shape):
            direction = np.zeros(shape)
            direction[index] = 1
            yield (str(list(index)) if index else ""), direction
    else:
        for k in range(directions):
            yield f", random direction {k}", rng.standard_normal(shape)


class _Probe:
    """The loss as a function of the step along one direction of one input."""

    def __init__(self, loss, t, direction):
        self.loss, self.t, self.direction = loss, t, direction
        self.base = np.array(t.numpy())

    def __call__(self, step):
        try:
            self.t.assign_(self.base + step * self.direction)
            return self.loss()
        finally:
            self.t.assign_(self.base)


def _compare(probe, expected, eps, rtol, atol):
    """("right" | "kink" | "wrong", slope) for one direction."""
    here = probe(0.0)
    jumps = []
    for step in (eps, eps / 10):  # a kink close by may lie between the steps: look closer
        above, below = probe(step), probe(-step)
        slope = (above - below) / (2 * step)
        if abs(slope - expected) <= atol + rtol * max(abs(slope), abs(expected)):
            return "right", slope
        jumps.append(abs((above - here) - (here - below)) / step)
    # Where the function is smooth the jump of its slope shrinks with the step.
    if jumps[1] > jumps[0] / 2 and jumps[1] > atol + rtol * abs(expected):
        return "kink", slope
    return "wrong", slope
