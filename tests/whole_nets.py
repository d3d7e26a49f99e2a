"""What the tests of whole nets share: sizes, running statistics, and a gradient check."""

from __future__ import annotations

from contextlib import contextmanager
from functools import reduce

import numpy as np

from minicnn import Tensor, models, no_grad, use_backend
from minicnn.backends.shapes import blank
from minicnn.choices import Choices
from minicnn.nn import init
from minicnn.nn.graph import trace

SIZES = (8, 16, 28, 32, 48, 64, 80, 96, 112, 128)


def tensors_of(result) -> list[Tensor]:
    """All tensors that a net returned: one, or several in training."""
    if isinstance(result, Tensor):
        return [result]
    return [t for part in result for t in tensors_of(part)]


def images(count, shape, dtype=np.float32, seed=0):
    """Noise around 0, as images are after normalization."""
    return Tensor(np.random.default_rng(seed).standard_normal((count, *shape)).astype(dtype))


def smallest_shape(name) -> tuple[int, int, int]:
    """The smallest (C, H, W) on which every mean and every batch normalization sees 2 x 2 pixels.

    Fewer pixels would hide a pooling's mistakes. And a batch normalization of 4 images of one pixel
    divides by the spread of 4 numbers, which now and then is tiny, and the net very steep: ENet's
    differences over 1e-7 are off by 2e-3 on 8 x 8 pixels (and by 8e-8 over 1e-9, so its gradient is
    right), but by 5e-9 on 16 x 16.
    """
    info = models.info(name)
    with init.empty():
        model = models.build(name)
    squares = [(*info.input_shape[:-2], size, size) for size in SIZES]
    for shape in (*squares, info.second_shape):
        x = Tensor(blank((4, *shape)))
        try:
            with use_backend("shapes"), no_grad():
                model.train()(x)  # the heads of training need more pixels than the net itself
                graph = trace(model.eval(), x)
        except ValueError:  # too small
            continue
        if all(map(_has_pixels, graph.nodes)):
            return shape
    return info.input_shape


def _has_pixels(node) -> bool:
    """Whether an operation that makes a mean of maps makes it of 2 x 2 pixels or more each."""
    before, after = node.op.shapes[0], node.shape
    if len(before or ()) != 4:
        return True
    pools = node.name in ("AdaptiveAvgPool2d", "AvgPool2d", "Mean") and after[2:] in ((1, 1), ())
    return min(before[2:]) >= 2 or not (pools or node.name == "BatchNorm")


@contextmanager
def every(model, attribute, value):
    """Each module's attribute of this name, set inside the block."""
    changed = [
        (m, getattr(m, attribute)) for _, m in model.named_modules() if hasattr(m, attribute)
    ]
    for module, _ in changed:
        setattr(module, attribute, value)
    try:
        yield
    finally:
        for module, old in changed:
            setattr(module, attribute, old)


def settle(model, x):
    """Bring the batch normalizations' statistics halfway to those of this batch.

    With a new layer's (0 and 1) numbers grow from block to block; with the batch's own, a channel
    that hardly varies is blown up, and its rounding with it.
    """
    with no_grad(), every(model.train(), "momentum", 0.5):
        model(x)
    return model.eval()


def gradient_errors(model, x, directions=5, eps=1e-7) -> list[float]:
    """Relative errors of a whole net's slopes, against central differences, in float64.

    Along each direction all parameters and the image move at once, each tensor by random signs
    times its rms. ReLU and max pooling choose as they chose at the start.

    A difference over eps is off by a term of order eps^2, the curvature. In deep nets it is large:
    along one of five directions 3e-5 in resnet152 and 1e-4 in resnet200, at eps = 1e-7. So where
    slope and gradient differ by more than 1e-6, the differences over eps and eps/2 are extrapolated
    to 0 (Richardson), which takes that term away: 2e-8 is left in resnet200. A smaller eps would
    do it at the price of rounding. A wrong gradient stays wrong: no extrapolation leads to it.
    """
    tensors = [x, *model.parameters()]
    rng = np.random.default_rng(0)
    for t in tensors:
        if not t.data.any():  # a bias of zeros would not move
            t.assign_(rng.normal(0, 0.1, t.shape))
        t.requires_grad = True
    choices = Choices()
    with choices.record():
        results = tensors_of(model(x))
    weights = [rng.standard_normal(y.shape) for y in results]
    sum(((y * Tensor(w).to(y.device)).sum() for y, w in zip(results, weights)), 0.0).backward()
    dead = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.data.any()]
    assert not dead, f"no gradient reaches {dead}"
    bases = [t.numpy().copy() for t in tensors]
    scratch = np.empty(max(base.size for base in bases))
    scales = [float(np.linalg.norm(base)) / base.size**0.5 for base in bases]

    def moves(k):
        """The direction, tensor by tensor; the same whenever it is asked for.

        The signs of a tensor are products of one for each of its rows, columns, ...: they can be
        drawn quickly for a hundred million weights.
        """
        signs = np.random.default_rng(k)
        for base, scale in zip(bases, scales):
            lines = [signs.choice([-1.0, 1.0], n) for n in base.shape]
            yield [scale * lines[0], *lines[1:]] if lines else [scale]

    def loss(k, step):
        for t, base, lines in zip(tensors, bases, moves(k)):
            moved = scratch[: base.size].reshape(base.shape)  # no fresh memory for each
            *first, last = lines
            np.multiply.outer(reduce(np.multiply.outer, first, step), last, out=moved)
            t.assign_(np.add(base, moved, out=moved))
        with no_grad(), choices.replay():
            results = tensors_of(model(x))
        return sum(float((y.numpy() * w).sum()) for y, w in zip(results, weights))

    def difference(k, step):
        return (loss(k, step) - loss(k, -step)) / (2 * step)

    def error(slope, expected):
        return abs(slope - expected) / max(abs(slope), abs(expected))

    def along(gradient, lines):
        """Sum of gradient * direction."""
        return float(reduce(np.dot, reversed(lines), gradient))

    errors = []
    for k in range(directions):
        expected = sum(along(t.grad.numpy(), lines) for t, lines in zip(tensors, moves(k)))
        slope = difference(k, eps)
        if error(slope, expected) > 1e-6:
            slope = (4 * difference(k, eps / 2) - slope) / 3
        errors.append(error(slope, expected))
    return errors
