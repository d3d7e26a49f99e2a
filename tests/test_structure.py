"""The house: a floor imports only from floors below it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "minicnn"

# From the ground up. A module belongs to the longest prefix that fits.
FLOORS = [
    ["paths", "layout", "choices", "arguments", "plots"],
    ["emulator"],
    ["backends"],
    ["tensor"],
    ["ops"],
    ["functional"],
    ["checks"],
    ["nn", "optim", "data"],
    ["models"],
    ["interop"],
    ["training", "analysis", "grading"],
    ["stepper"],
    ["__main__"],
]
HEIGHT = {name: k for k, floor in enumerate(FLOORS) for name in floor}


def modules():
    return [p for p in sorted(PACKAGE.rglob("*.py")) if p != PACKAGE / "__init__.py"]


def imports(path):
    """The parts of minicnn that a file imports anywhere in it: {"tensor", "ops", ...}."""
    package = ["minicnn", *path.relative_to(PACKAGE).parts[:-1]]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names = [module] if module != "minicnn" else [f"minicnn.{a.name}" for a in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("minicnn.")}
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_downwards_only(path):
    place = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    assert place in HEIGHT, f"{place} has no floor: give it one in this test"
    above = {name for name in imports(path) & HEIGHT.keys() if HEIGHT[name] > HEIGHT[place]}
    assert not above


def test_every_floor_that_stands_is_known():
    standing = {p.name.removesuffix(".py") for p in PACKAGE.iterdir() if p.name != "__init__.py"}
    standing -= {"__pycache__", "kernels"}
    assert standing <= HEIGHT.keys()
