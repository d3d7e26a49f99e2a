"""Step through what a net did: forward and backward, operation by operation, number by number.

    with minicnn.record() as steps:
        loss = F.cross_entropy(model(x), y)
        loss.backward()

    steps.next()                   # the first operation
    steps.goto("conv2")            # a layer by name, or a step by its number
    steps.into(0, 3, 5, 5)         # one number of its output: window, weights, products, sum

Each of these is an object with the arrays in it, and reads as text in a terminal and as a table in
a notebook. Of a large net some arrays are samples: see `record`.
`minicnn.stepper.terminal.walk(steps)` walks with single keys.

`kernel_terminal.walk_kernel(walk)` does the same for one thread of a CUDA kernel, line by line: see
`minicnn.emulator.step`.
"""

from minicnn.stepper.lens import Lens, Term
from minicnn.stepper.record import record
from minicnn.stepper.step import Step
from minicnn.stepper.steps import Steps

__all__ = ["Lens", "Step", "Steps", "Term", "record"]
