"""Every backend against what PyTorch computed (tests/make_references.py), PyTorch or no PyTorch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pytorch import output_gradient
from test_operations import NAMES, NOT_IN_PYTORCH, assert_close, forward_backward

from minicnn.checks.strategies import Case

with np.load(Path(__file__).with_name("references.npz"), allow_pickle=False) as archive:
    STORED = {key: archive[key] for key in archive.files}
FUNCTIONS = sorted({key.split("/")[0] for key in STORED} - {"made with"})


def as_settings(text):
    """Settings as they were before JSON made their tuples lists."""
    settings = json.loads(text)
    return {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}


def entries(name):
    """(case, output, gradients) of a function."""
    for k in sorted({key.split("/")[1] for key in STORED if key.startswith(f"{name}/")}):
        entry = {
            key.split("/")[2]: value for key, value in STORED.items()
            if key.startswith(f"{name}/{k}/")
        }  # fmt: skip
        count = int(entry["inputs"])
        arrays = tuple(entry.get(f"input{i}") for i in range(count))
        gradients = [entry.get(f"gradient{i}") for i in range(count)]
        case = Case(str(entry["function"]), arrays, as_settings(str(entry["settings"])))
        yield case, entry["output"], gradients


@pytest.mark.parametrize("name", FUNCTIONS)
def test_equals_what_pytorch_computed(name, backend):
    for case, output, gradients in entries(name):
        y, grads, _ = forward_backward(backend, case)
        assert_close(y.numpy(), output, 1e-10, f"output of {case}")
        for got, expected in zip(grads, gradients, strict=True):
            if expected is not None:
                assert_close(got, expected, 1e-10, f"gradient of {case}")


def test_there_are_references_for_every_function_that_pytorch_has():
    expected = sorted(set(NAMES) - set(NOT_IN_PYTORCH))
    assert expected == FUNCTIONS
    assert set(json.loads(str(STORED["made with"]))) == {"torch", "numpy", "hypothesis"}


def test_gradients_were_started_with_what_the_tests_start_with():
    case, output, gradients = next(entries("relu"))
    expected = output_gradient(output.shape) * (case.arrays[0] > 0)
    np.testing.assert_array_equal(gradients[0], expected)
