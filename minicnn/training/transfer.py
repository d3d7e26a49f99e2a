"""Transfer learning: a net that has learnt one thing learns another.

    model = models.build("squeezenet1_0")
    interop.load_into(model, "imagenet.safetensors")
    replace_head(model, 5)                    # five kinds of flowers in place of 1,000 classes
    freeze(model, until="classifier")         # all before the head stays as it is
    SGD([p for p in model.parameters() if p.requires_grad], lr=0.01)

Or not to train at all: `feature_extractor(model, "features")` gives what a layer makes of an image,
and `nearest_neighbors` finds the images that it makes nearly the same of.

Donahue et al., "DeCAF: a deep convolutional activation feature", 2014; Yosinski, Clune, Bengio,
Lipson, "How transferable are features in deep neural networks?", 2014.
"""

from __future__ import annotations

import difflib

import numpy as np

from minicnn.functional.arguments import as_count
from minicnn.nn import Conv2d, Linear, Module
from minicnn.nn.graph import evaluating
from minicnn.optim.groups import fits
from minicnn.tensor import Tensor, no_grad


# ---------------------------------------------------------------------------
# Frozen layers
# ---------------------------------------------------------------------------
def freeze(model: Module, *patterns: str, until: str | None = None) -> list[str]:
    """Stop parameters from learning; the names of all that are frozen now.

    A batch normalization whose weight and bias are frozen uses its running statistics and leaves
    them as they are, in training mode, too; dropout goes on. An optimiser made before leaves alone
    what is frozen, since that has no gradient.

    Parameters
    ----------
    model : Module
    patterns : str
        Names of modules or parameters, * for any letters. Without any, and without `until`: all.
    until : str, optional
        A module's name: everything before its first parameter is frozen, in the order of
        `named_parameters`, which in the zoo is the order in which they run.

    Returns
    -------
    list of str
        In the model's order; a parameter that was frozen before is among them.

    Raises
    ------
    ValueError
        If a name fits no parameter; the message suggests the nearest.
    """
    _set(model, patterns or (() if until else ("*",)), until, False)
    return [name for name, p in model.named_parameters() if not p.requires_grad]


def unfreeze(model: Module, *patterns: str) -> list[str]:
    """Let parameters learn again: the opposite of `freeze`. The names of all that learn now."""
    _set(model, patterns or ("*",), None, True)
    return [name for name, p in model.named_parameters() if p.requires_grad]


def _set(model, patterns, until, learns):
    """Give requires_grad to the parameters that are meant, or raise and change nothing."""
    named = dict(model.named_parameters())
    chosen = set()
    for pattern in patterns:
        found = {name for name, p in named.items() if fits(pattern, name, p)}
        if not found:
            raise _unknown(model, pattern)
        chosen |= found
    if until is not None:
        before = _before(list(named), until)
        if before is None:
            raise _unknown(model, until)
        chosen |= before
    for name in chosen:
        named[name].requires_grad = learns
        named[name].grad = None


def _before(names, module):
    """The names before the module's first parameter, or None if it has none."""
    for k, name in enumerate(names):
        if name == module or name.startswith(f"{module}."):
            return set(names[:k])
    return None


def _unknown(model, name):
    modules = [module for module, _ in model.named_modules() if module]
    names = [*modules, *(parameter for parameter, _ in model.named_parameters())]
    near = difflib.get_close_matches(name, names, n=3) or names[:5]
    return ValueError(
        f"{type(model).__name__} has no parameters called {name!r}; names are "
        f"{', '.join(near)}, ..."
    )


# ---------------------------------------------------------------------------
# Another head
# ---------------------------------------------------------------------------
def replace_head(model: Module, head: int | Module, layer: str | None = None) -> Module:
    """Put a new last layer in place of a net's own; returns the new one.

    Parameters
    ----------
    model : Module
    head : int or Module
        A number of classes: the new layer is of the old one's kind, Linear or Conv2d, with its
        settings, fresh weights and so many outputs. Or the module to put there, which takes what
        the old one took.
    layer : str, optional
        The name of what is replaced; by default the model's last layer with parameters.

    Raises
    ------
    TypeError, ValueError
        If there is no such layer, or it is of another kind and head is a number.
    """
    layer = _last_layer(model) if layer is None else layer
    old = _module(model, layer)
    if not isinstance(head, Module):
        head = _like(old, as_count("replace_head", "head", head), layer)
    parent, _, name = layer.rpartition(".")
    parameter = next(old.parameters(), None)
    if parameter is not None:
        head.to(parameter.device).to(parameter.dtype)
    setattr(_module(model, parent), name, head)
    return head


def _last_layer(model):
    """The name of the last layer that may decide the number of outputs."""
    for name, module in reversed(list(model.named_modules())):
        inside = [*module.children(), *module.parameters()]
        keeps = type(module).__module__.startswith("minicnn.nn.") and not inside
        if name and not keeps and not list(module.children()):
            return name
    raise ValueError(
        f"replace_head: {type(model).__name__} has no layer that could be a head; name what to "
        "replace, and give the module to put there"
    )


def _module(model, name):
    modules = dict(model.named_modules())
    if name not in modules:
        near = difflib.get_close_matches(name, modules, n=3) or list(modules)[1:6]
        raise ValueError(
            f"{type(model).__name__} has no module {name!r}; names are {', '.join(near)}, ..."
        )
    return modules[name]


def _like(old, outputs, layer):
    bias = getattr(old, "bias", None) is not None
    if isinstance(old, Linear):
        return Linear(old.in_features, outputs, bias, activation=old.activation)
    if isinstance(old, Conv2d) and old.groups == 1:
        return Conv2d(
            old.in_channels, outputs, old.kernel_size, old.stride, old.padding, old.dilation,
            bias=bias, padding_mode=old.padding_mode, activation=old.activation,
        )  # fmt: skip
    raise TypeError(
        f"replace_head: {layer} is {type(old).__name__}, but a number of classes needs a Linear, "
        "or a Conv2d in one group; give the module to put there"
    )


# ---------------------------------------------------------------------------
# Features
# ---------------------------------------------------------------------------
class _Reached(Exception):  # noqa: N818 - it is no error
    """Carries a layer's output out of the pass that the rest is not needed of."""


class FeatureExtractor(Module):
    """See `feature_extractor`."""

    def __init__(self, model: Module, layer: str):
        super().__init__()
        self.layer = layer
        _module(model, layer)  # raises if there is none
        self.model = model

    def forward(self, x):
        target = _module(self.model, self.layer)

        def reached(*inputs, **settings):
            raise _Reached(type(target).forward(target, *inputs, **settings))

        target.forward = reached  # of this one object, for this one pass
        try:
            self.model(x)
        except _Reached as stop:
            return stop.args[0]
        finally:
            del target.forward
        raise ValueError(
            f"feature_extractor: {self.layer} of {type(self.model).__name__} did not run on an "
            f"input of shape {x.shape}; choose a layer that runs"
        )

    def extra_repr(self):
        return self.layer


def feature_extractor(model: Module, layer: str) -> FeatureExtractor:
    """A module that gives what a layer inside a net puts out; what comes after does not run.

    It shares the net's parameters, and gradients flow through it.

    Parameters
    ----------
    model : Module
    layer : str
        The module's name, as in `model.named_modules()`. Of one that runs several times the first
        output counts. What a net does in passing (`F.relu(self.bn1(x))`) belongs to no layer.

    Raises
    ------
    ValueError
        If there is no module of that name; from its call, if the module did not run.
    """
    return FeatureExtractor(model, layer)


@no_grad()
def features(extractor: Module, loader) -> tuple[np.ndarray, np.ndarray]:
    """The features of all images of a loader, in evaluation mode, and their labels.

    Returns
    -------
    (N, D) float array, (N,) integer array
        Maps (N, C, H, W) become their means over H and W: D is C.
    """
    rows, labels = [], []
    parameter = next(extractor.parameters())
    with evaluating(extractor):
        for x, y in loader:
            f = extractor(Tensor(x).to(parameter.device).to(parameter.dtype)).numpy()
            f = f.mean(axis=(2, 3)) if f.ndim == 4 else f.reshape(len(f), -1)
            rows.append(f.copy())
            labels.append(np.array(y))
    return np.concatenate(rows), np.concatenate(labels)


def nearest_neighbors(references, queries, k: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """For each query the k references with the smallest L2 distance, nearest first.

    `d[i,j] = |queries[i] - references[j]|`. Of equal distances the smaller position comes first.

    Parameters
    ----------
    references : array (M, D)
    queries : array (N, D)
    k : int
        1 to M.

    Returns
    -------
    (N, k) int64, (N, k) float64
        Positions among the references, and distances.

    Raises
    ------
    ValueError
        If the shapes do not fit, or k is over M.
    """
    references, queries = (np.asarray(a, np.float64) for a in (references, queries))
    if references.ndim != 2 or queries.ndim != 2 or references.shape[1] != queries.shape[1]:
        raise ValueError(
            "nearest_neighbors: expects references (M, D) and queries (N, D), but got "
            f"{references.shape} and {queries.shape}"
        )
    if as_count("nearest_neighbors", "k", k) > len(references):
        raise ValueError(f"nearest_neighbors: k is {k}, but there are {len(references)} references")
    chosen = np.empty((len(queries), k), np.int64)
    distances = np.empty((len(queries), k))
    for i, query in enumerate(queries):  # |a|^2 - 2ab + |b|^2 would be inexact for near ones
        d = np.sqrt(((references - query) ** 2).sum(axis=1))
        chosen[i] = np.argsort(d, kind="stable")[:k]
        distances[i] = d[chosen[i]]
    return chosen, distances


def precision_at(k: int, references, reference_labels, queries, query_labels) -> float:
    """Of each query's k nearest references the share with its label, the mean over all queries."""
    found, _ = nearest_neighbors(references, queries, k)
    return float(np.mean(np.asarray(reference_labels)[found] == np.asarray(query_labels)[:, None]))
