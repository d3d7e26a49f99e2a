"""Makes tests/references.npz: what PyTorch computes for some cases of every function it has.

    python tests/make_references.py

With it the tests can compare with PyTorch where PyTorch is not installed. The cases are drawn from
the strategies, always the same ones, and stored whole (arrays, settings, output, gradients) with
the versions they were made with; reading needs no pickle.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import hypothesis
import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from pytorch import in_pytorch
from test_operations import NAMES, NOT_IN_PYTORCH, cases

TARGET = Path(__file__).with_name("references.npz")
KEPT, DRAWN = 6, 60  # of so many drawn cases, the largest are kept, of different settings first


def some_cases(name):
    """Some of DRAWN cases of a function: the largest of each settings, then the second largest."""
    drawn = {}

    @settings(
        max_examples=DRAWN, derandomize=True, database=None, deadline=None,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(cases(name))
    def collect(case):
        drawn[repr(case)] = case

    collect()
    turns = Counter()

    def turn(case):
        turns[repr(case.settings)] += 1
        return turns[repr(case.settings)]

    def size(case):
        return sum(a.size for a in case.arrays if a is not None)

    return sorted(sorted(drawn.values(), key=size, reverse=True), key=turn)[:KEPT]


def main():
    import torch

    stored = {}
    for name in NAMES:
        if name in NOT_IN_PYTORCH:
            continue
        for k, case in enumerate(some_cases(name)):
            y, grads = in_pytorch(case)
            entry = {"output": y, "settings": np.array(json.dumps(case.settings))}
            entry["function"] = np.array(case.name)
            entry |= {f"input{i}": a for i, a in enumerate(case.arrays) if a is not None}
            entry |= {f"gradient{i}": g for i, g in enumerate(grads) if g is not None}
            entry["inputs"] = np.array(len(case.arrays))
            stored |= {f"{name}/{k}/{key}": value for key, value in entry.items()}
    made_with = {"torch": torch.__version__, "numpy": np.__version__}
    made_with["hypothesis"] = hypothesis.__version__
    stored["made with"] = np.array(json.dumps(made_with))
    temporary = TARGET.with_suffix(".tmp.npz")
    np.savez_compressed(temporary, **stored)
    os.replace(temporary, TARGET)
    functions = len({key.split("/")[0] for key in stored} - {"made with"})
    print(f"{TARGET}: {functions} functions, {TARGET.stat().st_size / 1000:.0f} kB, {made_with}")


if __name__ == "__main__":
    main()
