"""The course's section 8, what nets cost, and the published results of 6.23.

A case's id is the number it has in the course. Of published results that are nobody's to compute
it is checked that the table has them, each with its source. What was measured is read from where it
is kept, the notebook 15_cost, which names its machine: no clock is asked here.
"""

from __future__ import annotations

import json
import math
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from course import registrar

from minicnn import models
from minicnn.analysis import ILSVRC, compare

CASES = {}
fact = registrar(CASES)


# ---------------------------------------------------------------------------
# 6.23 ILSVRC, classification, top-5 error in percent
# ---------------------------------------------------------------------------
@fact(
    "6.23",  # [P]
    ("alexnet-test", [("5 nets", 16.4)]),
    ("alexnet-validation", [("one net", 18.2)]),
    ("alexnet-more-data-validation", [("7 nets", 15.4)]),
    ("zfnet-test", [("several nets", 11.7)]),
    ("vgg-test", [("7 nets", 7.3)]),
    ("googlenet-test", [("7 nets", 6.7)]),
    ("resnet-test", [("6 nets", 3.57)]),
    ("2016-single-nets", [4.20, 4.01, 3.52, 4.26, 4.65]),
    ("fusion-validation", [("5 nets", 2.92)]),
    ("fusion-test", [("5 nets", 2.99)]),
    ("senet-test", [("several nets", 2.25)]),
    ("a-trained-person", [("one person", 5.1)]),
    ("every-one-has-its-source", True),
)
def ilsvrc(name):
    if name == "every-one-has-its-source":
        return all(r.source and 2010 <= r.year <= 2017 and r.split in ("test", "validation")
                   for r in ILSVRC)  # fmt: skip
    if name == "2016-single-nets":
        return [r.top5 for r in ILSVRC if r.year == 2016 and r.nets == "one net"]
    net, _, split = name.rpartition("-")
    if name == "a-trained-person":
        net, split = name, "test"
    known = {
        "zfnet": "ZFNet (as Clarifai)", "alexnet-more-data": "AlexNet, more data",
        "fusion": "fusion of these five", "a-trained-person": "a trained person",
    }  # fmt: skip
    wanted = known.get(net, net).lower()
    return [(r.nets, r.top5) for r in ILSVRC if r.net.lower() == wanted and r.split == split]


# ---------------------------------------------------------------------------
# 8 Cost. What was measured stands in the notebook, made on one machine, which it names.
# ---------------------------------------------------------------------------
PAPER = ("alexnet", "googlenet", "vgg16", "vgg19", "resnet18", "resnet34", "resnet50", "resnet101",
         "resnet152", "inception_v3", "inception_v4")  # fmt: skip
MEASURED = ("alexnet", "squeezenet1_0", "resnet18")
TUTORIALS = Path(__file__).resolve().parent.parent / "tutorials"


@cache
def entries():
    """What Canziani's nets cost, as far as the zoo has them, by name."""
    return {e.info.name: e for e in compare(list(PAPER)).entries}


@cache
def kept():
    """All that the notebook 15_cost printed."""
    cells = json.loads((TUTORIALS / "15_cost.ipynb").read_text(encoding="utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", ())]
    return "".join("".join(output.get("text", ())) for output in outputs)


def kept_row(pattern):
    """The numbers behind a pattern on a line of what was printed."""
    found = re.search(pattern + r"(.*)", kept())
    return [float(number) for number in re.findall(r"\d+\.?\d*", found[1])]


@fact(
    "8.1",
    ("alexnet", (56.5, 61_100_840, 1.43, 0.93)),
    ("vgg16", (71.6, 138_357_544, 30.9, 0.52)),
    ("resnet50", (76.1, 25_557_032, 8.18, 2.98)),
)
def canziani_row(name):
    """Top-1 [P], parameters, thousand million operations, accuracy density."""
    e = entries()[name]
    assert e.info.accuracy_source
    operations = float(f"{e.cost.operations / 1e9:.3g}")
    return round(e.top1, 1), e.cost.parameters, operations, round(e.density, 2)


@fact("8.1-time-and-memory-are-measured", True)
def measured():
    """[M] Of twelve nets the time, of three both against the batch; and on which machine."""
    times = re.findall(r"G operations +[\d.]+ ms an image", kept())
    batches = [kept_row(rf"{name} +ms an image at batch [\d, ]+:") for name in MEASURED]
    memories = [kept_row(rf"{name} +parameters +[\d.]+ MB; in all.*:") for name in MEASURED]
    named = re.search(r"measured on \S+, \d+ CPUs", kept())
    return bool(named) and (len(times), *map(len, batches), *map(len, memories)) == (
        12, 4, 4, 4, 7, 7, 7
    )  # fmt: skip


@fact("8.2-time-is-a-line-in-operations", True)
def line():
    """[M] r of twelve nets; Winograd's algorithm, which makes fewer operations than are counted,
    takes the nets of large 3x3 convolutions off the line (0.96 without its compiled transforms)."""
    slope, intercept, r = re.search(
        r"time = ([\d.]+) ms for each thousand million operations \+ ([\d.-]+) ms, r = ([\d.]+)",
        kept(),
    ).groups()
    return float(slope) > 0 and float(r) > 0.85


@fact("8.3-accuracy-is-a-hyperbola-in-operations", True)
def hyperbola():
    """[P + counted] Of the nets that no other beats in both: accuracy = A - c / operations."""
    points = sorted((e.cost.operations / 1e9, e.top1) for e in entries().values())
    front = np.array([p for p in points if all(q[1] < p[1] for q in points if q[0] < p[0])])
    r = np.corrcoef(1 / front[:, 0], front[:, 1])[0, 1]
    return len(front) >= 6 and r < -0.98


@fact("8.4", ("memory-is-flat-first", True), ("memory-is-a-line-then", True),
      ("time-of-an-image-falls", True))  # fmt: skip
def batches(name):
    """[M] At batches of 1, 2, 4, ... 64 images; times up to 8."""
    if name == "time-of-an-image-falls":
        times = [kept_row(rf"{net} +ms an image at batch [\d, ]+:") for net in MEASURED]
        return all(row[-1] < row[0] for row in times)
    memory = {net: kept_row(rf"{net} +parameters +[\d.]+ MB; in all.*:") for net in MEASURED}
    if name == "memory-is-flat-first":  # AlexNet's parameters are 244 of its megabytes
        return memory["alexnet"][2] < 1.1 * memory["alexnet"][0]
    # Twice the images, twice the growth (to a quarter: the pool rounds its blocks up). AlexNet's
    # maps are too small against what a layer takes for scratch.
    growth = [np.diff(memory[net])[-2:] for net in ("squeezenet1_0", "resnet18")]
    return all(1.5 < later / earlier < 2.5 for earlier, later in growth)


@fact("8.6", ("most-operations", "vgg19"), ("fewest-operations", "alexnet"),
      ("more-parameters-than-alexnet", ["vgg16", "vgg19"]), ("enet-by-alexnet-and-by-vgg", True),
      ("enet-times-smaller-than-vgg19", 308))  # fmt: skip
def extremes(name):
    """VGG costs most; AlexNet is cheap in operations and heavy in memory; ENet is the densest."""
    e = entries()
    by_operations = sorted(e, key=lambda net: e[net].cost.operations)
    enet = models.info("enet_classifier").parameters
    return {
        "most-operations": by_operations[-1],
        "fewest-operations": by_operations[0],
        "more-parameters-than-alexnet": sorted(
            net for net in e if e[net].cost.parameters > e["alexnet"].cost.parameters
        ),
        # [P] 13 times AlexNet's accuracy per parameter, 24 times VGG-19's: the two agree.
        "enet-by-alexnet-and-by-vgg": math.isclose(
            13 * e["alexnet"].density, 24 * e["vgg19"].density, rel_tol=0.02
        ),
        "enet-times-smaller-than-vgg19": round(e["vgg19"].cost.parameters / enet),
    }[name]


NOT_HERE = ("8.5-power-depends-on-neither-batch-nor-net",)


@pytest.mark.parametrize("case", NOT_HERE)
def test_fact_that_was_not_measured(case):
    """Power is read from a GPU's board; the notebook says that nothing about it was measured."""
    text = (TUTORIALS / "sources" / "15_cost.py").read_text(encoding="utf-8")
    assert "nothing about power was measured" in text.replace("\n# ", " ")
    pytest.skip("needs a GPU")


@pytest.mark.parametrize("case", CASES)
def test_fact(case):
    function, expected = CASES[case]
    assert function() == expected
