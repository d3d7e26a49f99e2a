"""Walk recorded steps with single keys, in a terminal or from a pipe."""

from __future__ import annotations

import os
import sys

import numpy as np

from minicnn.stepper.cards import card, overview, rows
from minicnn.stepper.keys import reader
from minicnn.stepper.lens_cards import lens_text
from minicnn.stepper.text import Paint

HELP = """\
  n  right    next step                       i  Enter   into one number of this step
  b  left     back                            o  Esc     out again
  f  B        flip: the same operation,       p          print the arrays (in a number: all terms)
              forward or backward             l          list all steps
  g           go to a step by number or name  q          quit
"""
BRIEF = "n next  b back  i into  o out  f flip  g go to  l list  p print  ? help  q quit"


def walk(steps, read=None, write=None) -> None:
    """Walk recorded steps, key by key, until q or the end of the input.

    Parameters
    ----------
    steps : Steps
        From `minicnn.record()`.
    read : function, optional
        `read()` gives the next key ("n", "right", ...), `read(question)` the answer to a question,
        None at the end of the input. Left out: single keys where stdin is a terminal, else words
        from its lines ("n n q").
    write : function, optional
        Takes text to show. Left out: stdout, in colour if it is a terminal and NO_COLOR is unset.

    Raises
    ------
    RuntimeError
        If nothing was recorded.
    """
    steps._check_any("walk")
    colour = write is None and sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    with reader(read) as keys:
        Walker(steps, keys, write or print_text, Paint(colour)).run()


def print_text(text: str) -> None:
    """Print, replacing what the terminal's encoding lacks."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding), flush=True)


class Walker:
    """The state of a walk: the steps' place, and the open lens if there is one."""

    def __init__(self, steps, read, write, paint):
        self.steps, self.read, self.paint = steps, read, paint
        self.write = write
        self.lens = None
        self.keys = {
            "n": self.next, "right": self.next, "b": self.back, "left": self.back,
            "i": self.into, "enter": self.into, "o": self.out, "escape": self.out,
            "f": self.flip, "B": self.flip, "g": self.go, "l": self.list, "p": self.print,
            "?": self.help, "h": self.help,
        }  # fmt: skip

    def run(self):
        """Show the first step, then obey keys."""
        if self.steps.current is None:
            self.steps.next()
        self.write(f"{len(self.steps)} steps recorded.  {BRIEF}\n")
        try:
            self.show()
            while (key := self.read()) not in (None, "q"):
                act = self.keys.get(key)
                if act is None:
                    self.write(f"{key!r} is no key here; ? shows the keys")
                else:
                    act()
        except (KeyboardInterrupt, EOFError):
            self.write("")

    def show(self):
        """Show where one is: the lens if one is open, else the step."""
        line = self.paint("dim", "\u2500" * 96)
        text = card(self.steps.current, self.paint) if self.lens is None else (
            lens_text(self.lens, self.paint)
        )
        self.write(f"{line}\n{text}\n")

    # -- moving -------------------------------------------------------------
    def move(self, to):
        self.lens = None
        self.steps.goto(to)
        self.show()

    def next(self):
        if self.steps.current.number == len(self.steps):
            self.write("this is the last step; b goes back, q quits")
        else:
            self.move(self.steps.current.number + 1)

    def back(self):
        if self.steps.current.number == 1:
            self.write("this is the first step; n goes on")
        else:
            self.move(self.steps.current.number - 1)

    def flip(self):
        partner = self.steps.current.partner
        if partner is None:
            self.write(f"{self.steps.current.title}: the other direction was not recorded")
        else:
            self.move(partner.number)

    def go(self):
        answer = (self.read("go to step number or name: ") or "").strip()
        if not answer:
            return
        try:
            where, direction = int(answer), "forward"
        except ValueError:
            where, direction = answer, self.steps.current.direction
        try:
            self.steps.goto(where, direction)
        except (ValueError, IndexError) as error:
            self.write(str(error).removeprefix("goto: "))
            return
        self.lens = None
        self.show()

    # -- into and out -------------------------------------------------------
    def into(self):
        """Ask for the indices, in backward after the name of an input if one is given."""
        step = self.steps.current
        try:
            question = self.question(step)
            words = (self.read(question) or "").replace(",", " ").split()
            of = words.pop(0) if words and not words[0].lstrip("-").isdigit() else None
            if of is None and step.direction == "backward":
                of = self.first_gradient(step)
            if not all(word.lstrip("-").isdigit() for word in words):
                raise ValueError(f"indices must be whole numbers, but got {' '.join(words)!r}")
            self.lens = step.into(*(map(int, words) if words else step.largest(of)), of=of)
        except (ValueError, IndexError, RuntimeError) as error:
            self.write(str(error).removeprefix("into: "))
            return
        self.show()

    def question(self, step):
        """What to ask for, such as "number of y (1, 6, 28, 28) [0 1 5 9]: "."""
        if step.direction == "forward":
            shape, example = step.output.shape, step.largest()
            name = "y"
        else:
            of = self.first_gradient(step)
            shape, example, name = step.target(of)[1].shape, step.largest(of), f"d{of}"
            others = [k for k, g in step.grads.items() if g is not None and k != of]
            if others:
                name = f"{name} (or first {', '.join(others)})"
        return f"indices into {name}, shape {shape} [{' '.join(map(str, example))}]: "

    @staticmethod
    def first_gradient(step):
        return next(k for k, g in step.grads.items() if g is not None)

    def out(self):
        if self.lens is None:
            self.write("nothing to go out of; i goes into a number")
        else:
            self.lens = None
            self.show()

    # -- telling ------------------------------------------------------------
    def list(self):
        self.write(overview(self.steps, self.paint, most=len(self.steps)) + "\n")

    def print(self):
        if self.lens is not None:
            size = 0 if self.lens.products is None else self.lens.products.size
            self.write(lens_text(self.lens, self.paint, most=size) + "\n")
            return
        step = self.steps.current
        with np.printoptions(precision=4, suppress=True, linewidth=96, threshold=400, edgeitems=3):
            for name, what, array in rows(step):
                self.write(f"{name} {array.shape} {what}\n{array}\n")

    def help(self):
        self.write(HELP)


def main(model_name, data="digits", index=0, seed=0, weights=None, load=None, page=None):
    """Record one image through a net, forward and backward, and walk it.

    Parameters
    ----------
    model_name : str
        A name that `minicnn.models.build` knows.
    data : str
        Data set whose test images are used, as in `minicnn.data.load`.
    index : int
        Which image.
    seed : int
        For the initial weights.
    weights : path, optional
        Saved weights; without them the net is untrained.
    load : function, optional
        `load(model, weights)` puts them into the net; needed with weights.
    page : path, optional
        Where to write the steps as a page, in place of walking them here.

    Raises
    ------
    IndexError
        If there is no such image.
    ValueError
        If weights are given without a way to load them, a name is unknown, or the model cannot
        take the images.
    """
    import minicnn
    from minicnn import functional as F
    from minicnn.training.fitting import build_for

    if weights is not None and load is None:
        raise ValueError("step: weights were given, but no function to load them; give load too")
    image, target, num_classes = one_image(data, index)
    minicnn.manual_seed(seed)
    model = build_for(model_name, image.shape[1:], num_classes)
    if weights is not None:
        load(model, weights)
    model.eval()
    with minicnn.record() as steps:
        loss = F.cross_entropy(model(image), target)
        loss.backward()
    trained = "untrained (no weights given)" if weights is None else f"with weights {weights}"
    title = f"{model_name}, {trained}: test image {index} of {data}, class {int(target)}"
    print_text(title)
    if page is None:
        walk(steps)
    else:
        print_text(f"open {steps.to_html(page, title=title)} in a browser")


def one_image(data, index):
    """Image `index` of a test set, its class and the number of classes.

    Image and class are tensors of one row, prepared as in training; the image wants a gradient.
    """
    from minicnn import Tensor
    from minicnn.data import DataLoader, load
    from minicnn.training.recipes import preparation

    prepared = preparation(data)
    dataset = load(data, "test", size=prepared.size)
    if not 0 <= index < len(dataset):
        raise IndexError(
            f"step: there is no image {index}; {data} has test images 0 to {len(dataset) - 1}"
        )
    loader = DataLoader(dataset[[index]], batch_size=1, **prepared.loader(training=False))
    ((x, y),) = loader
    return Tensor(x, requires_grad=True), Tensor(y), len(dataset.classes)
