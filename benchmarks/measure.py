"""The measurements of gpu.py: our kernels and their peers on the same arrays, in turns."""

from __future__ import annotations

from functools import partial

import cupy
import torch

from benchmarks import peers
from benchmarks.layers import Layer, layers
from benchmarks.peers import DIRECTIONS, LAYOUTS
from benchmarks.timing import milliseconds
from minicnn.backends.algorithm import allow_tf32
from minicnn.backends.cuda import convolution, matmul
from minicnn.backends.cuda.ladder import capability
from minicnn.layout import nchw, nhwc

SIZES = ((4096, 4096, 4096), (1024, 1024, 1024), (12544, 256, 2304), (256, 2304, 12544))
LADDER_LAYERS = (
    Layer("vgg16", 1, 16, 64, 224, 224, 64, 3, 3, 1, 1, 1, 1),
    Layer("resnet50", 1, 64, 256, 14, 14, 256, 3, 3, 1, 1, 1, 1),
    Layer("resnet50", 1, 64, 64, 56, 56, 256, 1, 1, 1, 1, 0, 0),
    Layer("resnet50", 1, 64, 256, 28, 28, 512, 1, 1, 2, 2, 0, 0),
    Layer("alexnet", 1, 64, 3, 224, 224, 64, 11, 11, 4, 4, 2, 2),
)


def normal(*shape, seed=0):
    """Random float32 numbers."""
    generator = cupy.random.default_rng(seed)
    return generator.standard_normal(shape, dtype=cupy.float32)


def error(got, exact):
    """The largest difference, over the largest exact number."""
    exact = cupy.from_dlpack(exact.contiguous()) if isinstance(exact, torch.Tensor) else exact
    return float(cupy.abs(got - exact).max() / cupy.abs(exact).max())


# ---------------------------------------------------------------------------
# Matrix products
# ---------------------------------------------------------------------------
def matmul_ladder(clock, not_run) -> list[dict]:
    """Every rung on each of SIZES, beside cuBLAS."""
    rows = []
    for M, N, K in SIZES:
        a, b = normal(M, K), normal(K, N, seed=1)
        exact = a.astype(cupy.float64) @ b.astype(cupy.float64)
        for rung in matmul.RUNGS:
            what = f"matmul {M}x{N}x{K} {rung}"
            if clock.left < 60:
                not_run.append(f"{what}: out of time")
                continue
            try:
                got = matmul.matmul(a, b, rung=rung)
            except ValueError as refusal:
                not_run.append(f"{what}: {refusal}")
                continue
            with peers.precision(rung == "tf32"):
                call = partial(matmul.matmul, a, b, rung=rung)
                ours, peer = milliseconds(call, peers.matmul(a, b))
            rows.append({
                "M": M, "N": N, "K": K, "rung": rung, "ms": ours, "cublas_ms": peer,
                "tflops": 2 * M * N * K / ours / 1e9, "error": error(got, exact),
            })  # fmt: skip
    return rows


# ---------------------------------------------------------------------------
# Convolutions
# ---------------------------------------------------------------------------
class Problem:
    """A layer's arrays, and its three directions as calls."""

    def __init__(self, layer):
        self.layer = layer
        self.x = nchw(normal(layer.N, layer.H, layer.W, layer.C))
        self.w = nchw(normal(layer.O, layer.KH, layer.KW, layer.C, seed=1))
        self.dy = nchw(normal(layer.N, *layer.size, layer.O, seed=2))
        self.windows = {"stride": layer.stride, "padding": layer.padding}

    def ours(self, direction, algorithm):
        """Our kernels, as a call."""
        settings = {**self.windows, "algorithm": algorithm}
        x, w, dy = self.x, self.w, self.dy
        if direction == "forward":
            return lambda: convolution.forward(x, w, **settings)
        if direction == "input gradient":
            return lambda: convolution.input_gradient(dy, w, x.shape, **settings)
        return lambda: convolution.weight_gradient(x, dy, w.shape, **settings)

    def cudnn(self, direction, layout):
        """cuDNN, as a call."""
        return peers.convolution(self.layer, direction, self.x, self.w, self.dy, layout)

    def exact(self, direction):
        """The float64 result, read as NHWC."""
        arrays = (a.astype(cupy.float64) for a in (self.x, self.w, self.dy))
        torch.backends.cudnn.benchmark = False  # to try all algorithms takes longer than to use one
        y = peers.convolution(self.layer, direction, *arrays, "NCHW")()
        return y.permute(0, 2, 3, 1)

    def cudnn_times(self, direction, tf32):
        """cuDNN's times in ms, by layout."""
        with peers.precision(tf32):
            calls = [self.cudnn(direction, layout) for layout in LAYOUTS]
            return dict(zip(LAYOUTS, milliseconds(*calls)))

    def time(self, direction, algorithm, tf32, exact, known=None):
        """A row of the result; ValueError if the rung refuses.

        In turns with cuDNN, unless its times are kept in `known`: then they are taken once.
        """
        ours = self.ours(direction, algorithm)
        wrong = error(nhwc(ours()), exact)
        if known is not None and tf32 not in known:
            known[tf32] = self.cudnn_times(direction, tf32)
        with peers.precision(tf32):
            theirs = [self.cudnn(direction, layout) for layout in LAYOUTS] if known is None else []
            ms, *peer_ms = milliseconds(ours, *theirs)
        return {
            **self.layer.__dict__, "direction": direction, "algorithm": algorithm, "tf32": tf32,
            "ms": ms, "cudnn_ms": known[tf32] if known else dict(zip(LAYOUTS, peer_ms)),
            "tflops": self.layer.operations / ms / 1e9, "error": wrong,
        }  # fmt: skip


def conv_ladder(clock, not_run) -> list[dict]:
    """Every rung on each of LADDER_LAYERS, in every direction; cuDNN once for all rungs."""
    rows = []
    for layer in LADDER_LAYERS:
        if clock.left < 5:
            not_run.append(f"{layer}, every rung: out of time")
            continue
        problem = Problem(layer)
        for direction in DIRECTIONS:
            exact, known = problem.exact(direction), {}
            for algorithm in convolution.RUNGS:
                tf32 = algorithm == "tf32"
                _try(rows, problem, direction, algorithm, tf32, exact, clock, not_run, known)
    return rows


def conv_layers(all_lists, tf32, clock, not_run, keep=5) -> list[dict]:
    """What "auto" chooses, on every layer in every direction, until `keep` seconds are left.

    The lightest come first: cuDNN tries its algorithms for seconds on one of the heaviest.
    """
    rows = []
    if tf32 and capability(cupy.empty(1)) < (8, 0):
        return rows
    for layer in sorted(layers(all_lists), key=lambda layer: layer.operations):
        if clock.left < keep:
            not_run.append(f"{layer}, {'TF32' if tf32 else 'fp32'}: out of time")
            continue
        problem = Problem(layer)
        allow_tf32(tf32)
        for direction in DIRECTIONS:
            exact = problem.exact(direction)
            _try(rows, problem, direction, "auto", tf32, exact, clock, not_run)
        allow_tf32(False)
    return rows


def _try(rows, problem, direction, algorithm, tf32, exact, clock, not_run, known=None):
    what = f"{problem.layer} {direction} {algorithm}"
    if clock.left < 5:
        not_run.append(f"{what}: out of time")
        return
    try:
        rows.append(problem.time(direction, algorithm, tf32, exact, known))
    except (ValueError, cupy.cuda.memory.OutOfMemoryError, torch.OutOfMemoryError) as problem_met:
        not_run.append(f"{what}: {problem_met}")
    free(problem)


def free(problem):
    """Give memory back, where a problem took enough of it to matter."""
    if problem.x.nbytes + problem.dy.nbytes > 2**28:
        cupy.get_default_memory_pool().free_all_blocks()
        torch.cuda.empty_cache()


def peaks(result) -> dict:
    """The most TFLOP/s that cuBLAS reached: what "share of the peak" is measured against."""
    best = {}
    for row in result["matmul"]:
        kind = "tf32" if row["rung"] == "tf32" else "fp32"
        reached = 2 * row["M"] * row["N"] * row["K"] / row["cublas_ms"] / 1e9
        best[kind] = max(best.get(kind, 0), reached)
    return best
