"""The gradient checker itself: it must find what is wrong and pass what is right."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn import Function, Tensor, nn
from minicnn import functional as F
from minicnn.checks import GradcheckError, gradcheck
from minicnn.choices import Choices


def leaf(*values):
    return Tensor(np.array(values, np.float64), requires_grad=True)


def with_backward(backward):
    """A function x -> x^3 with the given backward(x, dy)."""

    class Cube(Function):
        def forward(self, x):
            self.save(x)
            return x**3

        def backward(self, dy):
            return backward(self.saved[0], dy)

    return Cube.apply


WRONG = {
    "factor": lambda x, dy: 2 * x**2 * dy,
    "sign": lambda x, dy: -3 * x**2 * dy,
    "forgets dy": lambda x, dy: 3 * x**2,
    "one part in a thousand": lambda x, dy: 3.003 * x**2 * dy,
    "one element": lambda x, dy: 3 * x**2 * dy + 0.01 * (np.arange(x.size) == 1).reshape(x.shape),
    "zero": lambda x, dy: 0 * x,
}


@pytest.mark.parametrize("size", [3, 300])  # every coordinate, and random directions
@pytest.mark.parametrize("name", WRONG)
def test_finds_a_wrong_gradient(name, size):
    x = Tensor(np.linspace(0.5, 2, size), requires_grad=True)
    with pytest.raises(GradcheckError, match="wrong gradient for input 0"):
        gradcheck(with_backward(WRONG[name]), x)


@given(seed=st.integers(0, 1000), size=st.sampled_from([1, 5, 200]))
def test_passes_a_right_one(seed, size):
    x = Tensor(np.random.default_rng(seed).uniform(-2, 2, size), requires_grad=True)
    report = gradcheck(with_backward(lambda x, dy: 3 * x**2 * dy), x)
    assert report.checked == (size if size <= 100 else 5)
    assert report.max_error < 1e-7 and not report.skipped


def test_skips_a_kink_and_says_so():
    report = gradcheck(F.relu, leaf(-1, 0, 2))
    assert report.checked == 2 and report.skipped == ["input 0[1]"]
    assert "1 skipped, where there is no derivative: input 0[1]" in str(report)


def test_a_kink_close_by_is_no_kink():
    report = gradcheck(F.relu, leaf(-1, 3e-7, 2))
    assert report.checked == 3 and not report.skipped


def test_a_tie_of_max_pooling_is_skipped():
    x = Tensor(np.array([[1.0, 1.0], [0.0, -1.0]]).reshape(1, 1, 2, 2), requires_grad=True)
    report = gradcheck(lambda x: F.max_pool2d(x, 2), x)
    assert len(report.skipped) == 2 and report.checked == 2


def test_nothing_but_kinks_is_an_error():
    with pytest.raises(GradcheckError, match="nothing could be checked"):
        gradcheck(F.relu, leaf(0.0))


def test_a_wrong_gradient_beside_a_kink_is_still_found():
    class Wrong(Function):
        def forward(self, x):
            self.save(x)
            return np.abs(x)

        def backward(self, dy):
            return dy  # right for x > 0 only

    with pytest.raises(GradcheckError, match=r"wrong gradient for input 0\[2\]"):
        gradcheck(Wrong.apply, leaf(0.0, 1.0, -1.0))


def test_checks_the_parameters_of_a_model_and_puts_everything_back():
    layer = nn.Linear(3, 2).to(np.float64)
    x = leaf([1.0, 2.0, 3.0])
    x.grad = kept = Tensor(np.zeros((1, 3)))
    before = {name: value.copy() for name, value in layer.state_dict().items()}
    report = gradcheck(lambda *_: layer(x), x, *layer.parameters())
    assert report.checked == 3 + 6 + 2
    assert x.grad is kept and layer.weight.grad is None
    for name, value in layer.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_replayed_choices_leave_no_kinks(backend):
    """At relu's kink the pass chose slope 0, and so do the differences."""
    with backend.running():
        report = gradcheck(lambda x: F.relu(x.to(backend.device)), leaf(-1, 0, 2), replay=True)
    assert report.checked == 3 and not report.skipped
    ties = Tensor(np.zeros((1, 1, 4, 4)), requires_grad=True)
    with backend.running():
        report = gradcheck(
            lambda x: F.max_pool2d(x.to(backend.device), 2).max(), ties, replay=True
        )
    assert report.checked == 16 and not report.skipped


def test_replay_still_finds_a_wrong_gradient():
    def function(x):
        return with_backward(WRONG["factor"])(F.relu(x))

    with pytest.raises(GradcheckError, match="wrong gradient"):
        gradcheck(function, leaf(0.0, 1.0, -1.0), replay=True)


def test_another_pass_is_not_replayed():
    choices, x = Choices(), leaf(1.0, -1.0)
    with choices.record():
        F.relu(x)
    with choices.replay():
        F.relu(x)
        with pytest.raises(RuntimeError, match="asks for a choice of ReLU, but recorded was noth"):
            F.relu(x)
    with choices.replay(), pytest.raises(RuntimeError, match="of Max, but recorded was ReLU"):
        x.max()


def test_inputs_without_gradient_are_left_out():
    x, c = leaf(1.0, 2.0), Tensor(np.array([3.0, 4.0]))
    assert gradcheck(lambda x, c: x * c, x, c).checked == 2


ERRORS = {
    "float32": (
        lambda: gradcheck(F.relu, Tensor([1.0], requires_grad=True)), TypeError,
        "input 0 is float32, but differences need float64"),
    "array": (lambda: gradcheck(F.relu, np.ones(3)), TypeError, "must be a Tensor, but is ndarray"),
    "no gradient": (
        lambda: gradcheck(F.relu, Tensor(np.ones(3))), ValueError, "no input has requires_grad"),
    "no leaf": (
        lambda: gradcheck(F.relu, leaf(1.0) * 2), ValueError, "input 0 must be a leaf"),
    "no tensor": (
        lambda: gradcheck(lambda x: 3, leaf(1.0)), TypeError, "must return a Tensor, but .* int"),
    "random": (
        lambda: gradcheck(lambda x: x * np.random.default_rng().normal(), leaf(1.0)), ValueError,
        "different values for the same inputs"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors_say_what_was_given_and_what_the_rule_is(name):
    call, error, text = ERRORS[name]
    with pytest.raises(error, match=text):
        call()
