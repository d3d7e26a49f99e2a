"""What moves elements, and sums over axes, in ONNX."""

from __future__ import annotations

import numpy as np

from minicnn.interop.onnx.base import ExportError, number_of_rows, value_of


def reshape(g, node, inputs):
    """Sizes that grow with the batch are left to be worked out: 0 is as before, -1 what is left."""
    shape, twin = list(node.op.shape), g.twin[node].op.shape
    grown = [k for k, (n, m) in enumerate(zip(shape, twin)) if n != m]
    if len(grown) > 1:
        raise ExportError(f"two sizes of {tuple(shape)} depend on the batch; ONNX can work out one")
    for k in grown:
        shape[k] = 0 if k == 0 and node.op.shapes[0][:1] == (shape[0],) else -1
    return g.add("Reshape", [inputs[0], g.constant(shape, np.int64)], node)


def permute(g, node, inputs):
    return g.add("Transpose", inputs, node, perm=node.op.dims)


def channel_shuffle(g, node, inputs):
    (_, C, H, W), groups = node.shape, node.op.groups
    table = g.constant([0, groups, C // groups, H, W], np.int64)
    y = g.add("Reshape", [inputs[0], table], node)
    y = g.add("Transpose", [y], node, perm=[0, 2, 1, 3, 4])
    return g.add("Reshape", [y, g.constant([0, C, H, W], np.int64)], node)


def cat(g, node, inputs):
    fed = [source in g.names or g.graph.is_input(source) for source in node.sources]
    rows, parts = number_of_rows(g, node, inputs[fed.index(True)]), []
    for name, source, known in zip(inputs, node.sources, fed):
        if not known:  # a constant, for one image
            rest = g.constant(value_of(source).shape[1:], np.int64)
            name = g.add("Expand", [name, g.add("Concat", [rows, rest], node, axis=0)], node)
        parts.append(name)
    return g.add("Concat", parts, node, axis=node.op.dim)


def index(g, node, inputs):
    """Slices, integers, None and ...; one list of integers."""
    x, shape = inputs[0], node.op.shapes[0]
    key = _whole_key(node.op.key, len(shape))
    axes = [k for k in key if k is not None]
    cuts = [(axis, *k.indices(shape[axis])) for axis, k in enumerate(axes) if isinstance(k, slice)]
    cuts = [cut for cut in cuts if cut[1:] != (0, shape[cut[0]], 1)]
    if any(cut[3] < 0 for cut in cuts) or any(cut[0] == 0 for cut in cuts):
        raise ExportError(f"an index {node.op.key} has no ONNX form here")
    if cuts:
        axis, start, stop, step = (g.constant(column, np.int64) for column in zip(*cuts))
        x = g.add("Slice", [x, start, stop, axis, step], node)
    picks = [axis for axis, k in enumerate(axes) if not isinstance(k, slice)]
    for axis in reversed(picks):
        value = np.asarray(axes[axis])
        if value.dtype.kind not in "iu" or (value.ndim and len(picks) > 1):
            raise ExportError(f"an index {node.op.key} has no ONNX form here")
        x = g.add("Gather", [x, g.constant(value, np.int64)], node, axis=axis)
    new = [k for k, part in enumerate(_kept(key)) if part is None]
    if new:
        x = g.add("Unsqueeze", [x, g.constant(new, np.int64)], node)
    return x


def _whole_key(key, ndim):
    """The key with an entry for each axis, and None for each new one."""
    key, given = list(key), sum(k is not None and k is not Ellipsis for k in key)
    place = next((i for i, k in enumerate(key) if k is Ellipsis), len(key))
    return [*key[:place], *[slice(None)] * (ndim - given), *key[place + 1 :]]


def _kept(key):
    """The key's entries that stand for an axis of the result."""
    for k in key:
        yield from [k] * (1 if k is None or isinstance(k, slice) else np.ndim(k))


def cast(g, node, inputs):
    kind = g.helper.np_dtype_to_tensor_dtype(node.op.dtype)
    return g.add("Cast", inputs, node, to=kind)


def reduction(kind):
    def form(g, node, inputs):
        dims = g.constant(node.op.dims, np.int64)
        return g.add(kind, [*inputs, dims], node, keepdims=int(node.op.keepdim))

    return form
