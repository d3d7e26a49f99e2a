"""The work of one peer of the CPU benchmark, in a process of its own.

Whoever measures two libraries in one process measures how their threads get into each other's way,
so every peer has a `Worker`: a process that lives on, keeps what it has built, and is asked in
turns. Functions at the end of the file run in that process, on the `Peer` it holds.
"""

from __future__ import annotations

import dataclasses
import os
import re
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

PEERS = ("minicnn", "NCHW", "channels-last")  # ours, and PyTorch in each of its memory layouts
PLAIN = "NumPy alone"  # ours once more, without what a C++ compiler makes
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
DIRECTIONS = ("forward", "input gradient", "weight gradient")
LEARNING_RATE = 1e-4  # small, so that random labels drive no number out of its range


class Worker:
    """A process that runs one peer; `worker(function, *args)` calls a function of this file there.

    Parameters
    ----------
    peer : str
        One of PEERS, or PLAIN.
    threads : int
        How many it may compute with.
    backend : str
        Which of our backends runs, where the peer is ours.
    """

    def __init__(self, peer, threads, backend):
        self.peer = peer
        old = {name: os.environ.get(name) for name in THREAD_VARIABLES}
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
        try:  # a library reads its variable when the new process imports it
            self.pool = ProcessPoolExecutor(1, get_context("spawn"))
            self(start, peer, threads, backend)
        finally:
            for name, value in old.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})

    def __call__(self, function, *args):
        """The function's result, computed there; its exception is raised here."""
        return self.pool.submit(function, *args).result()

    def close(self):
        """End the process."""
        self.pool.shutdown()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


# ---------------------------------------------------------------------------
# The peers
# ---------------------------------------------------------------------------
class Ours:
    """minicnn."""

    def __init__(self, threads, backend):
        import minicnn
        from minicnn import functional, optim

        self.lib, self.F, self.optim = minicnn, functional, optim
        self.context = minicnn.use_backend(backend)
        self.context.__enter__()  # for the life of the process

    def build(self, net, x, t):
        """The net, its data and its optimiser."""
        self.lib.manual_seed(0)
        self.net = net.build()
        x = x.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2)  # channels-last, as a loader's
        self.x, self.t = self.lib.Tensor(x), self.lib.Tensor(t)
        self.optimizer = self.optim.SGD(
            self.net.parameters(), LEARNING_RATE, momentum=0.9, weight_decay=5e-4
        )

    def infer(self):
        """Scores in evaluation mode."""
        with self.lib.no_grad():
            return self.net(self.x)

    def loss(self):
        """The loss, its gradient left in the parameters."""
        loss = self.F.cross_entropy(self.net(self.x), self.t)
        self.optimizer.zero_grad()
        loss.backward()
        return loss

    def train(self):
        """A whole training step."""
        self.loss()
        self.optimizer.step()

    def layer(self, layer, direction, x, w, dy):
        """A convolution layer's direction, as a call."""
        from minicnn.backends import drawing
        from minicnn.ops.conv import Conv2d

        op, needs = drawing(Conv2d, "cpu")(), DIRECTIONS.index(direction)
        op.__dict__.update(stride=layer.stride, padding=layer.padding, dilation=(1, 1), groups=1,
                           shapes=(x.shape, w.shape, None, None),
                           needs=(needs == 1, needs == 2, False, False))  # fmt: skip
        forward = lambda: op.forward(x, w, None, None)  # noqa: E731
        if direction == "forward":
            return forward
        forward()
        return lambda: op.backward(dy)


class PyTorch:
    """PyTorch, in a memory layout."""

    def __init__(self, threads, layout):
        import torch

        torch.set_num_threads(threads)
        self.lib = torch
        formats = {"NCHW": torch.contiguous_format, "channels-last": torch.channels_last}
        self.format = {"memory_format": formats[layout]}

    def build(self, net, x, t):
        """The net, its data and its optimiser."""
        import minicnn
        from benchmarks.pytorch_net import convert

        minicnn.manual_seed(0)
        self.net = convert(net.build(), net.image).to(**self.format)
        self.x, self.t = self.lib.from_numpy(x).to(**self.format), self.lib.from_numpy(t)
        self.optimizer = self.lib.optim.SGD(
            self.net.parameters(), LEARNING_RATE, momentum=0.9, weight_decay=5e-4
        )

    def infer(self):
        """Scores in evaluation mode."""
        with self.lib.inference_mode():
            return self.net(self.x)

    def loss(self):
        """The loss, its gradient left in the parameters."""
        loss = self.lib.nn.functional.cross_entropy(self.net(self.x), self.t)
        self.optimizer.zero_grad()
        loss.backward()
        return loss

    def train(self):
        """A whole training step."""
        self.loss()
        self.optimizer.step()

    def layer(self, layer, direction, x, w, dy):
        """A convolution layer's direction, as a call."""
        torch = self.lib
        x, w, dy = (torch.from_numpy(a).contiguous(**self.format) for a in (x, w, dy))
        if direction == "forward":
            return lambda: torch.conv2d(x, w, None, layer.stride, layer.padding)
        which = DIRECTIONS.index(direction)
        wanted = [which == 1, which == 2, False]
        return lambda: torch.ops.aten.convolution_backward(
            dy, x, w, None, layer.stride, layer.padding, (1, 1), False, (0, 0), 1, wanted
        )[which - 1]


# ---------------------------------------------------------------------------
# What a worker can be asked
# ---------------------------------------------------------------------------
_peer = None  # of this process
_call = None  # what `times` runs


def start(peer, threads, backend):
    """Import the library."""
    global _peer
    backends = {"minicnn": backend, PLAIN: "fast"}
    _peer = Ours(threads, backends[peer]) if peer in backends else PyTorch(threads, peer)


def build(net, batch):
    """Build a net and its data: the same weights and numbers in every process."""
    import numpy as np

    random = np.random.default_rng(0)
    x = random.standard_normal((batch, *net.image), np.float32)
    _peer.build(net, x, random.integers(0, net.classes, batch))


def overhead():
    """What `benchmarks.overhead` finds of this peer."""
    from benchmarks import overhead

    return overhead.ours() if isinstance(_peer, Ours) else overhead.pytorch()


def prepare(what):
    """Make "train" or "infer" what `times` runs."""
    global _call
    _peer.net.train(what == "train")
    _call = getattr(_peer, what)


def prepare_layer(layer, direction):
    """Make a direction of a convolution layer what `times` runs; returns a part of its result."""
    global _call
    import numpy as np

    random = np.random.default_rng(0)

    def normal(N, C, H, W):
        return random.standard_normal((N, H, W, C), np.float32).transpose(0, 3, 1, 2)

    x, w = normal(layer.N, layer.C, layer.H, layer.W), normal(layer.O, layer.C, layer.KH, layer.KW)
    _call = _peer.layer(layer, direction, x, w, normal(layer.N, layer.O, *layer.size))
    result = _call()
    if isinstance(result, tuple):  # the gradients of all inputs
        result = result[DIRECTIONS.index(direction) - 1]
    return np.ascontiguousarray(result[:1, :8])


def times(count) -> list[float]:
    """Seconds of each of `count` calls."""
    seconds = []
    for _ in range(count):
        begin = time.perf_counter()
        _call()
        seconds.append(time.perf_counter() - begin)
    return seconds


def answers():
    """Scores, then the loss in training and its gradients with respect to all parameters.

    Dropout is off, since the peers' masks differ, and the statistics of batch normalization are
    those of the batch. Gradients come as one number each: the sum of their squares.
    """
    import numpy as np

    _peer.net.eval()
    scores = np.array(_peer.infer())
    _peer.net.train()
    for module in _modules(_peer.net):
        if type(module).__name__ == "Dropout":
            module.p, module.old_p = 0.0, module.p
    loss = _peer.loss().item()
    norms = [float((p.grad.numpy().astype(np.float64) ** 2).sum()) for p in _peer.net.parameters()]
    for module in _modules(_peer.net):
        if type(module).__name__ == "Dropout":
            module.p = module.old_p
    return scores, loss, sorted(norms)


def _modules(net):
    return [module for _, module in net.named_modules()]


def memory(net, what, count) -> tuple[float, float]:
    """MB of this process, at the most: before it had the net, and while running it."""
    before = peak_mb()
    build(net, net.batch)
    prepare(what)
    times(count)
    return before, peak_mb()


def peak_mb() -> float:
    """The most memory this process has had at once, in MB."""
    try:
        with open("/proc/self/status") as file:
            return int(re.search(r"VmHWM:\s+(\d+) kB", file.read()).group(1)) / 1024
    except OSError:  # not Linux
        unit = 2**20 if sys.platform == "darwin" else 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def resized(layer, batch):
    """The layer on another batch."""
    return dataclasses.replace(layer, N=batch)
