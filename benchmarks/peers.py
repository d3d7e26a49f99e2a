"""The peers: cuBLAS and cuDNN, as PyTorch calls them.

A convolution is asked for in both of PyTorch's memory layouts, with cudnn.benchmark on, so that
cuDNN tries its algorithms and keeps the fastest. Their work and ours run on one stream, where it is
timed.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache

import cupy
import torch

LAYOUTS = {"NCHW": torch.contiguous_format, "NHWC": torch.channels_last}
DIRECTIONS = ("forward", "input gradient", "weight gradient")


@cache
def _stream():
    """One for all, as each has a memory pool of its own; CuPy's null stream has no number."""
    return cupy.cuda.Stream()


@contextmanager
def precision(tf32):
    """PyTorch with TF32 allowed or forbidden; it and CuPy on `_stream`."""
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = True
    stream = _stream()
    theirs = torch.cuda.ExternalStream(stream.ptr)
    with stream, torch.cuda.stream(theirs), torch.no_grad():
        if torch.cuda.current_stream().cuda_stream != cupy.cuda.get_current_stream().ptr:
            raise RuntimeError("PyTorch is not on CuPy's stream: its times would mean nothing")
        yield


def matmul(a, b):
    """A call of cuBLAS for CuPy matrices."""
    a, b = torch.from_dlpack(a), torch.from_dlpack(b)
    out = torch.empty((a.shape[0], b.shape[1]), dtype=a.dtype, device=a.device)
    return lambda: torch.mm(a, b, out=out)


def convolution(layer, direction, x, w, dy, layout):
    """A call of cuDNN for CuPy arrays x, w, dy that read as NCHW, in a memory layout of LAYOUTS.

    Returns
    -------
    callable
        Gives the output or the gradient as a torch tensor.
    """
    to = {"memory_format": LAYOUTS[layout]}
    x, w, dy = (torch.from_dlpack(cupy.ascontiguousarray(a)).contiguous(**to) for a in (x, w, dy))
    if direction == "forward":
        return lambda: torch.conv2d(x, w, None, layer.stride, layer.padding)
    which = DIRECTIONS.index(direction) - 1
    wanted = [which == 0, which == 1, False]

    def gradient():
        gradients = torch.ops.aten.convolution_backward(
            dy, x, w, None, layer.stride, layer.padding, (1, 1), False, (0, 0), 1, wanted
        )
        return gradients[which]

    return gradient
