"""An example launch of each CUDA kernel: what minicnn itself launches for a small operation.

`example` runs operations on the emulator until one of them launches the kernel that is asked for,
and takes that launch: grid, block and arguments are the library's own.
"""

from __future__ import annotations

import difflib
import re
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minicnn import functional as F
from minicnn import use_backend
from minicnn.emulator import launch, load
from minicnn.emulator.signature import blank_comments, parse_signature
from minicnn.paths import kernels_dir
from minicnn.tensor import Tensor


@dataclass(frozen=True)
class Launch:
    """A kernel with all that it is launched with."""

    kernel: launch.Kernel
    grid: tuple
    block: tuple
    args: tuple
    shared_mem: int


def example(file, name: str | None = None) -> Launch:
    """A launch of a kernel with small arguments.

    Parameters
    ----------
    file : str or Path
        A `.cu` file, as given or below the `kernels` folder. One of your own will do, if its kernel
        has the name and the parameters of one of minicnn's.
    name : str, optional
        Which kernel of the file; the first one if left out.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file has no such kernel, or no example fits it.
    """
    path = _path(file)
    source = path.read_text(encoding="utf-8")
    name = name or next(iter(kernels_in(source)), None)
    if name not in kernels_in(source):
        names = ", ".join(kernels_in(source)) or "none"
        raise ValueError(f"{path.name} has no kernel {name!r}; its kernels: {names}")
    home = kernels_dir().resolve()
    if path.is_relative_to(home):
        found = captured(path.relative_to(home).as_posix(), name)
    else:
        found = _borrowed(path, source, name)
    if found is None:
        raise ValueError(
            f"no example launch is known for kernel {name} of {path.name}; step through it from "
            "Python: minicnn.emulator.step(minicnn.emulator.load(file, name), grid, block, args)"
        )
    return found


def _path(file) -> Path:
    for path in (Path(file), kernels_dir() / file):
        if path.is_file():
            return path.resolve()
    near = difflib.get_close_matches(str(file), files(), n=3, cutoff=0.4)
    hint = f"; did you mean {', '.join(near)}?" if near else ""
    raise FileNotFoundError(
        f"there is no kernel file {str(file)!r}, neither here nor in {kernels_dir()}{hint}"
    )


def files() -> list[str]:
    """The kernel files that come with minicnn, by their paths below `kernels`."""
    return [path.relative_to(kernels_dir()).as_posix() for path in kernels_dir().rglob("*.cu")]


def kernels_in(source: str) -> list[str]:
    """The names of the kernels in a source text, in order."""
    code = re.sub(r"^[ \t]*#(?:\\\n|[^\n])*", "", blank_comments(source), flags=re.MULTILINE)
    found = re.findall(r"__global__[^;{}]*?\b(\w+)\s*\((?=[^;{}()]*\)\s*[{;])", code)
    return list(dict.fromkeys(found))


def _borrowed(path: Path, source: str, name: str) -> Launch | None:
    """The launch of minicnn's kernel of the same name and parameters, for a file of one's own."""
    for file in sorted(files()):
        theirs = (kernels_dir() / file).read_text(encoding="utf-8")
        if name in kernels_in(theirs) and _kinds(theirs, name) == _kinds(source, name):
            found = captured(file, name)
            if found is not None:
                kernel = load(path, name, found.kernel.source.defines)
                return Launch(kernel, found.grid, found.block, found.args, found.shared_mem)
    return None


def _kinds(source: str, name: str) -> list[tuple]:
    return [(p.ctype, p.pointer and p.const) for p in parse_signature(source, name)]


# ---------------------------------------------------------------------------
# Catching a launch
# ---------------------------------------------------------------------------
class _Caught(Exception):  # noqa: N818 (no error: it ends the operation that launched)
    def __init__(self, found: Launch):
        super().__init__(found.kernel.name)
        self.found = found


def captured(file: str, name: str) -> Launch | None:
    """The first launch of a kernel of `kernels/<file>` by the examples of its folder."""
    examples = EXAMPLES.get(file.partition("/")[0])
    if examples is None:
        return None
    try:
        with _launches_come_to(_catcher(kernels_dir() / file, name)), use_backend("emulator"):
            examples(file)
    except _Caught as caught:
        return caught.found
    return None


def _catcher(path: Path, name: str):
    def catch(kernel, grid, block, args, shared_mem, *settings):
        if kernel.name.partition("<")[0] == name and Path(kernel.source.label).samefile(path):
            raise _Caught(Launch(kernel, grid, block, tuple(args), shared_mem))
        with _launches_come_to(None):
            kernel(grid, block, args, shared_mem)

    return catch


@contextmanager
def _launches_come_to(function):
    token = launch.instead.set(function)
    try:
        yield
    finally:
        launch.instead.reset(token)


# ---------------------------------------------------------------------------
# The operations, by folder
# ---------------------------------------------------------------------------
def numbers(*shape, seed=0):
    """An array of small numbers with one decimal, easy to follow."""
    return np.random.default_rng(seed).integers(-20, 21, shape).astype(np.float32) / 10


def tensor(*shape, seed=0) -> Tensor:
    return Tensor(numbers(*shape, seed=seed), requires_grad=True)


def both(y: Tensor) -> None:
    """Goes backward from y, with a gradient of ones."""
    y.backward(Tensor(np.ones(y.shape, y.dtype)))


def activations(file):
    for function in (F.relu, F.leaky_relu, F.relu6, F.hardsigmoid, F.hardswish, F.tanh,
                     F.scaled_tanh, F.sigmoid, F.silu, F.gelu):  # fmt: skip
        both(function(tensor(2, 3, 4, 4)))
    both(F.gelu(tensor(2, 3, 4, 4), approximate="tanh"))
    both(F.prelu(tensor(2, 3, 4, 4), tensor(3, seed=1)))
    both(F.softmax(tensor(3, 40), dim=1))
    both(F.log_softmax(tensor(3, 40), dim=1))


def convolutions(file):
    from minicnn.backends.cuda import convolution

    stem = Path(file).stem.removesuffix("_forward")
    size = 48 if stem == "add_partials" else 6  # pixels enough for more than one partial sum
    x, w, settings = numbers(1, 4, size, size), numbers(8, 4, 3, 3, seed=1), {"padding": (1, 1)}
    if stem in ("im2col", "col2im"):
        col = F.im2col(tensor(1, 2, 5, 5), 3, padding=1)
        both(F.col2im(Tensor(col.numpy(), requires_grad=True), (1, 2, 5, 5), 3, padding=1))
    elif stem == "depthwise":
        both(F.conv2d(tensor(1, 4, 6, 6), tensor(4, 1, 3, 3, seed=1), padding=1, groups=4))
    else:
        for rung in convolution.RUNGS:
            if rung == stem or rung.startswith(stem) or stem.startswith((rung, "add")):
                y = convolution.forward(x, w, algorithm=rung, **settings)
                convolution.input_gradient(y, w, x.shape, algorithm=rung, **settings)
                convolution.weight_gradient(x, y, w.shape, algorithm=rung, **settings)


def dropouts(file):
    both(F.dropout(tensor(2, 3, 4, 4), seed=0))
    both(F.dropout2d(tensor(2, 3, 4, 4), seed=0))


def losses(file):
    both(F.cross_entropy(tensor(3, 10), Tensor(np.array([1, 7, 4]))))
    both(F.cross_entropy(tensor(3, 10), Tensor(np.full((3, 10), 0.1, np.float32))))


def products(file):
    from minicnn.backends.cuda import matmul

    a, b = numbers(20, 24), numbers(24, 28, seed=1)
    for name, rung in matmul.RUNGS.items():
        if rung.file == file:
            matmul.matmul(a, b, rung=name)


def normalizations(file):
    ones, zeros = np.ones(3, np.float32), np.zeros(3, np.float32)
    for training in (True, False):
        x, w, b = tensor(2, 3, 4, 4), tensor(3, seed=1), tensor(3, seed=2)
        both(F.batch_norm(x, zeros.copy(), ones.copy(), w, b, training=training))
    both(F.local_response_norm(tensor(2, 6, 4, 4), 5))


def optimisers(file):
    from minicnn import optim

    w = tensor(12)
    both(w * 2)
    adam = file.startswith("optim/adam")
    (optim.Adam([w]) if adam else optim.SGD([w], lr=0.1, momentum=0.9)).step()


def poolings(file):
    both(F.avg_pool2d(tensor(1, 2, 6, 6), 2))
    y, indices = F.max_pool2d(tensor(1, 2, 6, 6), 2, return_indices=True)
    both(F.max_unpool2d(Tensor(y.numpy(), requires_grad=True), indices, 2))
    both(F.max_pool2d(tensor(1, 2, 6, 6), 3, stride=2, padding=1))
    both(F.adaptive_avg_pool2d(tensor(1, 2, 7, 7), 3))
    both(F.adaptive_max_pool2d(tensor(1, 2, 7, 7), 3))


def reductions(file):
    from minicnn.backends.cuda import reduction

    stem = Path(file).stem
    for rung in reduction.SUM_RUNGS:
        if stem == f"sum_{rung}":
            reduction.sum(numbers(600), rung=rung)
    for rung in reduction.COLUMN_SUM_RUNGS:
        if stem in ("column_sum", f"column_sum_{rung}"):
            reduction.column_sum(numbers(64, 40), rung=rung)


def transpositions(file):
    from minicnn.backends.cuda import transpose

    transpose.transpose(numbers(40, 50), rung=Path(file).stem)


def upsamplings(file):
    both(F.interpolate(tensor(1, 2, 3, 3), scale_factor=2, mode="nearest"))
    both(F.interpolate(tensor(1, 2, 3, 3), scale_factor=2, mode="bilinear"))


EXAMPLES = {
    "activation": activations, "conv": convolutions, "dropout": dropouts, "loss": losses,
    "matmul": products, "normalization": normalizations, "optim": optimisers, "pooling": poolings,
    "reduction": reductions, "transpose": transpositions, "upsample": upsamplings,
}  # fmt: skip
