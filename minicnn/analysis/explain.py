"""Why a net said what it said: maps over the image of what its answer depends on."""

from __future__ import annotations

import numpy as np

from minicnn.functional.arguments import as_count
from minicnn.nn.graph import Graph, _Recorder, evaluating, first_tensor
from minicnn.tensor import Tensor, _recorder, no_grad


def saliency(model, image, target: int | None = None) -> np.ndarray:
    """How much each pixel moves the score of a class: max over c of `|dscore/dx[c,h,w]|`.

    Parameters
    ----------
    model : Module
        Runs in evaluation mode; its modes and gradients stay as they were.
    image : array or Tensor (C, H, W) or (1, C, H, W)
    target : int, optional
        The class; the one with the highest score if left out.

    Returns
    -------
    array (H, W)

    Raises
    ------
    ValueError, IndexError
        If the image is not one image, or there is no such class.

    Simonyan, Vedaldi, Zisserman, "Deep inside convolutional networks", 2013.
    """
    x = one_image("saliency", image)
    explained(model, x, target, "saliency")
    return np.abs(x.grad.numpy()[0]).max(axis=0)


def grad_cam(model, image, layer: str, target: int | None = None) -> np.ndarray:
    """Where a layer sees what speaks for a class: max(0, sum over c of a[c] A[c]).

    A (C, h, w) is the layer's output and a[c] the mean over h and w of dscore/dA[c]: a channel
    counts as much as more of it would raise the score.

    Parameters
    ----------
    model, image, target
        As in `saliency`.
    layer : str
        Dotted name of a layer whose output is a map, "layer4".

    Returns
    -------
    array (h, w)
        Of the layer's own size; `plot_map` spreads it over the image.

    Raises
    ------
    ValueError
        If there is no such layer in the pass, or its output is no map.

    Selvaraju et al., "Grad-CAM: visual explanations from deep networks via gradient-based
    localization", 2017.
    """
    x = one_image("grad_cam", image)
    graph, arrived = explained(model, x, target, "grad_cam")
    node = node_of_layer("grad_cam", graph, layer)
    if node not in arrived:
        raise ValueError(f"grad_cam: the score does not depend on {layer!r}, so there is no map")
    (maps,), (grads,) = node.output.numpy(), arrived[node]
    return np.maximum(np.tensordot(grads.mean(axis=(1, 2)), maps, 1), 0)


def occlusion_map(model, image, size: int = 5, stride: int = 2, target: int | None = None,
                  fill: float = 0.0, batch_size: int = 64) -> np.ndarray:  # fmt: skip
    """How much a class's probability falls where a square of the image is covered.

    Parameters
    ----------
    model, image, target
        As in `saliency`.
    size, stride : int
        Side of the square, and how far it moves each time, in pixels.
    fill : float
        What the covered pixels are set to.
    batch_size : int
        How many covered images run together.

    Returns
    -------
    array ((H - size) // stride + 1, (W - size) // stride + 1)
        p(target) of the image less that with the square at (i*stride, j*stride).

    Raises
    ------
    ValueError
        If the square is larger than the image.

    Zeiler and Fergus, "Visualizing and understanding convolutional networks", 2014.
    """
    x = one_image("occlusion_map", image).numpy()
    size, stride = as_count("occlusion_map", "size", size), as_count("occlusion_map", "stride",
                                                                     stride)  # fmt: skip
    _, _, H, W = x.shape
    if size > min(H, W):
        raise ValueError(
            f"occlusion_map: a square of {size} pixels does not fit into an image of {H} x {W}; "
            "choose a smaller size"
        )
    rows, columns = (range(0, n - size + 1, stride) for n in (H, W))
    places = [(i, j) for i in rows for j in columns]
    with evaluating(model), no_grad():
        whole = probabilities(first_tensor(model(Tensor(x))).numpy())[0]
        target = chosen_class("occlusion_map", whole, target)
        found = []
        for start in range(0, len(places), batch_size):
            some = places[start : start + batch_size]
            covered = np.repeat(x, len(some), axis=0)
            for one, (i, j) in zip(covered, some):
                one[:, i : i + size, j : j + size] = fill
            found.append(probabilities(first_tensor(model(Tensor(covered))).numpy())[:, target])
    return (whole[target] - np.concatenate(found)).reshape(len(rows), -1)


# ---------------------------------------------------------------------------
# One pass
# ---------------------------------------------------------------------------
def one_image(name: str, image) -> Tensor:
    """The image as a leaf (1, C, H, W) that wants a gradient."""
    array = np.asarray(image.numpy() if isinstance(image, Tensor) else image)
    array = array[None] if array.ndim == 3 else array
    if array.ndim != 4 or len(array) != 1:
        raise ValueError(
            f"{name}: image expects one image, (C, H, W) or (1, C, H, W), but has {array.shape}"
        )
    if array.dtype.kind != "f":
        array = array.astype(np.float32)
    return Tensor(array.copy(), requires_grad=True)


def probabilities(scores) -> np.ndarray:
    """Softmax of each row."""
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def chosen_class(name: str, scores, target) -> int:
    """`target`, or the class with the highest score."""
    if target is None:
        return int(scores.argmax())
    if not 0 <= target < len(scores):
        last = len(scores) - 1
        raise IndexError(f"{name}: there is no class {target}; they run from 0 to {last}")
    return int(target)


class _Gradients(_Recorder):
    """Writes down the pass, and keeps the gradient that arrives at each operation's output."""

    def __init__(self, graph, model):
        super().__init__(graph, model)
        self.arrived = {}

    def backward(self, entry, dy, grads):
        super().backward(entry, dy, grads)
        if entry in self.ran:
            self.arrived[self.ran[entry]] = dy


def explained(model, x, target, name):
    """(graph, gradients of the class's score by node) of a pass in evaluation mode."""
    if _recorder.get() is not None:
        raise RuntimeError(f"{name}: a recording is under way already; end it first")
    graph = Graph((x,))
    recorder = _Gradients(graph, model)
    token = _recorder.set(recorder)
    try:
        with evaluating(model):
            scores = first_tensor(model(x))
            seed = np.zeros(scores.shape, scores.dtype)
            seed[0, chosen_class(name, scores.numpy()[0], target)] = 1
            scores.backward(seed)
    finally:
        _recorder.reset(token)
    return graph, recorder.arrived


def node_of_layer(name: str, graph, layer: str):
    """The last operation of a layer whose output is a map."""
    nodes = [n for n in graph.nodes if n.layer == layer or n.layer.startswith(f"{layer}.")]
    if not nodes:
        known = ", ".join(dict.fromkeys(n.layer for n in graph.nodes if n.layer))
        raise ValueError(f"{name}: the pass has no layer {layer!r}; its layers: {known}")
    if len(nodes[-1].shape) != 4:
        raise ValueError(
            f"{name}: the output of {layer!r} has shape {nodes[-1].shape}, but a map (N, C, H, W) "
            "is needed; choose a layer before the image is flattened"
        )
    return nodes[-1]
