"""Schedules: their values, and PyTorch's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.training import schedules
from minicnn.training.schedules import (
    constant,
    cosine,
    cosine_restarts,
    exponential,
    one_cycle,
    one_cycle_momentum,
    polynomial,
    steps,
    warm_up,
)

T = 40  # steps of a training
SHARES = st.floats(0, 1)


def factors(schedule, count=T):
    return [schedule(t / T) for t in range(count)]


def pytorchs(make, setting="lr", count=T, **settings):
    """lr (or another setting) at each step under one of PyTorch's schedulers; base lr 1."""
    import torch

    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0, momentum=0.9)
    scheduler, found = make(torch.optim.lr_scheduler)(optimizer, **settings), []
    for _ in range(count):
        found.append(optimizer.param_groups[0][setting])
        optimizer.step()
        scheduler.step()
    return found


# ---------------------------------------------------------------------------
# Values
# ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    "schedule, name, settings",
    [
        (cosine, "CosineAnnealingLR", {"T_max": T}),
        (steps((0.5, 0.75), 0.1), "MultiStepLR", {"milestones": [20, 30]}),
        (steps((0.25, 0.5, 0.75), 0.3), "StepLR", {"step_size": 10, "gamma": 0.3}),
        (exponential(0.01), "ExponentialLR", {"gamma": 0.01 ** (1 / T)}),
        (polynomial(1), "LinearLR", {"start_factor": 1.0, "end_factor": 0.0, "total_iters": T}),
        (polynomial(2.5), "PolynomialLR", {"power": 2.5, "total_iters": T}),
        (cosine_restarts(4, 1), "CosineAnnealingWarmRestarts", {"T_0": 10}),
        (cosine_restarts(3, 2), "CosineAnnealingWarmRestarts", {"T_0": T / 7, "T_mult": 2}),
        (constant, "ConstantLR", {"factor": 1.0}),
    ],
)
def test_agrees_with_pytorch(schedule, name, settings):
    pytest.importorskip("torch", reason="needs PyTorch")
    if name == "CosineAnnealingWarmRestarts" and settings["T_0"] != 10:
        settings, scale = {"T_0": 40, "T_mult": 2}, 280  # theirs takes whole numbers only
        expected = pytorchs(lambda m: getattr(m, name), count=scale, **settings)
        found = [schedule(t / scale) for t in range(scale)]
    else:
        expected, found = pytorchs(lambda m: getattr(m, name), **settings), factors(schedule)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_one_cycle_agrees_with_pytorch():
    pytest.importorskip("torch", reason="needs PyTorch")
    settings = {"max_lr": 1.0, "total_steps": T + 1, "pct_start": (0.3 * T + 1) / (T + 1)}
    one = pytorchs(lambda m: m.OneCycleLR, count=T, **settings)
    np.testing.assert_allclose(factors(one_cycle()), one, atol=1e-12)
    momenta = pytorchs(lambda m: m.OneCycleLR, "momentum", count=T, **settings)
    np.testing.assert_allclose(factors(one_cycle_momentum()), momenta, atol=1e-12)
    assert one_cycle()(1.0) == pytest.approx(1 / 250_000) and one_cycle_momentum()(1.0) == 0.95


def test_warm_up():
    schedule = warm_up(cosine, share=0.2, start=0.1)
    assert schedule(0.0) == pytest.approx(0.1) and schedule(0.1) == pytest.approx(0.55)
    assert schedule(0.2) == 1.0 and schedule(0.6) == pytest.approx(0.5) and schedule(1.0) == 0.0
    assert warm_up(steps((0.5,)), share=0.0)(0.0) == 1.0


@given(SHARES)
def test_every_factor_is_a_share(progress):
    for make in (steps, exponential, polynomial, cosine_restarts, one_cycle, one_cycle_momentum):
        assert 0 <= make()(progress) <= 1
    assert 0 <= warm_up(cosine)(progress) <= 1


@given(st.floats(0, 0.99), SHARES)
def test_warm_up_has_no_jump(share, start):
    schedule = warm_up(cosine, share, start)
    assert schedule(max(share - 1e-9, 0.0)) == pytest.approx(
        schedule(share), abs=1e-6 if share > 1e-3 else 1.0
    )


def test_ends():
    for make in (steps, exponential, polynomial, cosine_restarts):
        schedule = make()
        assert schedule(0.0) == 1.0
        assert schedule(1.0) <= 0.01 + 1e-12
    assert [constant(p) for p in (0, 0.5, 1)] == [1.0] * 3
    assert cosine(0) == 1 and cosine(0.5) == pytest.approx(0.5) and cosine(1) == 0
    assert all(a > b for a, b in zip(factors(cosine), factors(cosine)[1:]))


# ---------------------------------------------------------------------------
# Errors
# ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    "name, settings, error, text",
    [
        ("steps", {"at": (0.5, 2)}, ValueError, r"at\[1\] expects a number from 0 to 1, but got 2"),
        ("steps", {"factor": "x"}, TypeError, "factor expects a number from 0 to 1, but got 'x'"),
        ("exponential", {"end": 0}, ValueError, "end expects a number over 0 and at most 1"),
        ("polynomial", {"power": -1}, ValueError, "power expects a number over 0, but got -1"),
        ("cosine_restarts", {"cycles": 0}, ValueError, "cycles expects 1 or more, but got 0"),
        ("cosine_restarts", {"growth": 0.5}, ValueError, "growth expects a number of 1 or more"),
        ("warm_up", {"schedule": cosine, "share": 1}, ValueError, "share expects .* under 1"),
        ("one_cycle", {"peak": 0}, ValueError, "peak expects a number over 0 and under 1"),
        ("one_cycle", {"start": math.nan}, ValueError, "start expects .* but got nan"),
        ("one_cycle_momentum", {"high": 1.5}, ValueError, "high expects a number from 0 to 1"),
    ],
)
def test_errors(name, settings, error, text):
    with pytest.raises(error, match=f"{name}: {text}"):
        getattr(schedules, name)(**settings)
