"""Nets as ONNX files, which other programs run: onnxruntime, OpenCV, a phone's accelerator.

    interop.export_onnx(model, "lenet.onnx", (1, 28, 28))

The graph is written down while the net runs, so it holds what `forward` did and no more: in
evaluation mode, for images of one size, in batches of any number. Weights have their names of
`state_dict`.
"""

from __future__ import annotations

import numpy as np

from minicnn.interop.files import write_file
from minicnn.interop.onnx.base import ExportError
from minicnn.interop.onnx.writer import Writer
from minicnn.nn import Module
from minicnn.nn.graph import Graph, evaluating, trace
from minicnn.tensor import Tensor, no_grad

__all__ = ["ExportError", "export_onnx"]


def export_onnx(model: Module, path, input_shape) -> None:
    """Write a net to an ONNX file: all of it, checked, or nothing.

    Parameters
    ----------
    model : Module
        In float32 or float64; it is exported as it is in evaluation mode, and stays as it is.
    path : str or Path
        Should end in ".onnx"; an older file there is replaced.
    input_shape : (C, H, W)
        Of one image, in pixels. The file takes batches (N, C, H, W) of any N.

    Raises
    ------
    ExportError
        If an operation has no ONNX form, or depends on the batch as a whole.
    ImportError
        If the onnx package is not installed.
    OSError
        If the file cannot be written; an older file stays as it was.
    """
    try:
        import onnx
    except ImportError as error:
        raise ImportError(
            "export_onnx: needs the package onnx; install it with: pip install minicnn[onnx]"
        ) from error
    proto = Writer(model, _passes(model, input_shape)).model(type(model).__name__)
    onnx.checker.check_model(proto)
    write_file(path, proto.SerializeToString())


def _passes(model, input_shape) -> tuple[Graph, Graph]:
    """The graphs of one image and of two: what differs is the batch's size."""
    dtype = next((p.dtype for p in model.parameters()), np.dtype(np.float32))
    with evaluating(model), no_grad():
        return tuple(trace(model, Tensor(np.zeros((n, *input_shape), dtype))) for n in (1, 2))
