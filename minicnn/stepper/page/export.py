"""What a page knows about recorded steps: nodes, tensors and arrays, as plain data.

A node is an operation with both its directions. A tensor is what an operation makes or what none
made (an image, a parameter); nodes name tensors, tensors name arrays, all by number.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from minicnn.stepper.cards import settings_text
from minicnn.stepper.chosen import Path, lenses_at
from minicnn.stepper.elementwise import TEXTS, texts
from minicnn.stepper.keep import Sample, on_cpu
from minicnn.stepper.moving_lenses import MOVES, moved_from
from minicnn.stepper.notation import snake
from minicnn.stepper.page.encode import Arrays, thumbnail, whole
from minicnn.stepper.page.lens_data import plain
from minicnn.stepper.resampling_lenses import UPSAMPLING, positions

FORMAT = "minicnn-steps/1"


class Export:
    """Recorded steps on their way into a page.

    Parameters
    ----------
    steps : Steps
    budget : int
        Bytes for the arrays. Over it the largest become thumbnails, and each operation that needs
        one of those keeps the lenses of a few chosen elements.
    """

    def __init__(self, steps, budget):
        self.pairs = [(s, s.partner) for s in steps if s.direction == "forward"]
        self.names = names([s for s, _ in self.pairs])
        self.order = [
            [self.place_of(s), s.direction] for s in steps if s.direction == "forward" or s.partner
        ]
        self.arrays, self.tensors, self._made = Arrays(), [], {}
        self.chosen = chosen_places(self.pairs)
        self.nodes = [self.node(k, *pair) for k, pair in enumerate(self.pairs)]
        self.thumbs = self.arrays.over(budget)

    def place_of(self, step):
        """The number of a step's node."""
        if not hasattr(self, "_places"):
            self._places = {id(s): k for k, pair in enumerate(self.pairs) for s in pair if s}
        return self._places[id(step)]

    def data(self) -> dict:
        """All of it, ready for JSON."""
        for node, pair in zip(self.nodes, self.pairs):
            if not self.thumbs.isdisjoint(arrays_of(node, self.tensors)):
                node["lenses"] = {
                    letter: [plain(lens, k) for k, lens in lenses.items()]
                    for step in filter(None, pair)
                    for letter, lenses in kept_lenses(step, self.chosen[id(step)]).items()
                }
        return {
            "format": FORMAT,
            "nodes": self.nodes,
            "tensors": self.tensors,
            "steps": self.order,
            "arrays": [
                thumbnail(a, wanted) if k in self.thumbs else whole(a)
                for k, (a, wanted) in enumerate(zip(self.arrays.arrays, self.arrays.wanted))
            ],
        }

    # -- tensors ------------------------------------------------------------
    def tensor(self, held, name):
        """The number of a tensor that an operation reads."""
        if held is None:
            return None
        number = self._made.get(held.kept)
        if number is None:
            number = self.new_tensor(held, name, None)
        return number

    def new_tensor(self, held, name, node):
        kind = held.kind if node is None else "activation"
        if kind == "input" and name != "input":
            kind = "constant"  # classes, running statistics: nothing to follow a value back to
        self.tensors.append({
            "name": name, "kind": kind, "node": node, "array": self.arrays.add(on_cpu(held.array)),
            "users": [],
        })  # fmt: skip
        self._made[held.kept] = len(self.tensors) - 1
        return len(self.tensors) - 1

    # -- nodes --------------------------------------------------------------
    def node(self, k, step, back):
        """An operation, with the numbers of its arrays."""
        step.output  # an error, if what was recorded has been changed since  # noqa: B018
        name = self.names[k]
        chosen = self.chosen[id(step)] | self.chosen.get(id(back), {})
        inputs = {
            letter: self.tensor(h, name_of(h, letter, name)) for letter, h in
            zip(step.letters, step.held)
        }  # fmt: skip
        for letter, number in inputs.items():
            if number is not None:
                self.tensors[number]["users"].append([k, letter])
        node = {
            "name": name, "operation": step.operation, "layer": step.layer,
            "ours": step.ours, "backend": step.backend, "letters": list(step.letters),
            "titles": {letter: step.long_name(letter) for letter in (*step.letters, "y")},
            "inputs": inputs, "output": self.new_tensor(step.held_output, name, k),
            "settings": settings_of(step), "detail": settings_text(step),
            "activation": step.activation, "formula": step.formula,
            "site": site(step.site), "macs": step.macs, "seconds": step.seconds,
            "memory": step.memory, "extra": {},
        }  # fmt: skip
        self.arrays.add(step.output, chosen.get("y", ()))
        for key, array in extras(step).items():
            node["extra"][key] = self.arrays.add(array)
        if step.activation and step.whole:
            node["z"] = self.arrays.add(step.z, chosen.get("y", ()))
        if step.operation in TEXTS:
            node["text"], node["slopes"] = texts(step)
        if back is not None:
            node["back"] = self.back(step, back, chosen)
        return node

    def back(self, step, back, chosen):
        grads = {
            letter: self.arrays.add(g, chosen.get(letter, ())) for letter, g in back.grads.items()
        }
        data = {
            "formula": back.formula, "run_by": site(back.run_by), "grads": grads,
            "dy": self.arrays.add(back.dy, chosen.get("y", ())), "seconds": back.seconds,
        }  # fmt: skip
        if step.activation and back.whole:
            data["dz"] = self.arrays.add(back.dz, chosen.get("y", ()))
        return data


def chosen_places(pairs) -> dict[int, dict[str, list[tuple]]]:
    """For each step, by its id: letter ("y", "x", "w", ...) -> indices of elements to keep."""
    path, found = Path(), {}
    for step in (s for k in (0, 1) for pair in pairs if (s := pair[k])):
        if step.lenses is None:
            found[id(step)] = path.places(step)
        else:
            found[id(step)] = {letter: list(lenses) for letter, lenses in step.lenses.items()}
            if step.lenses.get("y"):
                path.at[step.held_output.kept] = next(iter(step.lenses["y"]))
    return found


def kept_lenses(step, places):
    """letter -> {index: lens} of those that the page keeps of a step."""
    if step.lenses is None:
        return lenses_at(step, places)
    return {k: {i: lens.open() for i, lens in kept.items()} for k, kept in step.lenses.items()}


def names(steps) -> list[str]:
    """What each operation is called: its layer; where that has several or is a block, both."""
    layers = Counter(s.layer for s in steps if s.layer)
    blocks = {s.layer[:k] for s in steps for k, c in enumerate(s.layer) if c == "."}
    found = []
    for step in steps:
        several = layers[step.layer] > 1 or step.layer in blocks
        found.append(f"{step.layer}.{snake(step.operation)}" if step.layer and several
                     else step.label)  # fmt: skip
    total, seen = Counter(found), Counter()
    for k, name in enumerate(found):
        if total[name] > 1:
            seen[name] += 1
            found[k] = f"{name}{seen[name]}"
    return found


def name_of(held, letter, user):
    """What a tensor that no operation made is called."""
    if held is None:
        return ""
    if held.kind == "input" and letter in ("x", "a", "xs"):
        array = on_cpu(held.array)
        return "input" if isinstance(array, Sample) or np.any(array) else "zeros"  # LSTM's start
    if held.kind == "input":
        return letter
    return f"{user}.{letter}"


def site(where):
    return None if where is None else {"at": str(where), "source": where.source}


def settings_of(step) -> dict:
    """The settings that JSON can hold: numbers, pairs and words."""
    found = {}
    for name, value in step.settings.items():
        plain = list(value) if isinstance(value, tuple) else value
        parts = plain if isinstance(plain, list) else [plain]
        if all(isinstance(v, (int, float, str, bool, type(None))) for v in parts):
            found[name] = plain
    return found


def extras(step) -> dict:
    """Arrays on the way that a lens wants to see and that are no input and no output."""
    if not (step.ours and step.whole):
        return {}
    op, x = step.op, step.inputs.get("x")
    if step.operation in ("Dropout", "Dropout2d"):
        return {"mask": np.broadcast_to(op.mask(x), x.shape)}
    if step.operation == "AvgPool2d":
        return {"divisors": op.divisors()}
    if step.operation in UPSAMPLING:
        return {key: np.stack(positions(op, k)) for k, key in enumerate(("rows", "columns"))}
    if step.operation in ("Pad", *MOVES) and step.operation != "Reshape":
        return {"source": moved_from(step).astype(np.int32)}
    return {}


def arrays_of(node, tensors):
    """The numbers of all arrays that a node's lenses may read."""
    found = [tensors[t]["array"] for t in (*node["inputs"].values(), node["output"])
             if t is not None]  # fmt: skip
    found += [*node["extra"].values(), node.get("z")]
    if back := node.get("back"):
        found += [back["dy"], back.get("dz"), *back["grads"].values()]
    return {k for k in found if k is not None}
