"""minicnn: how convolutional networks work, from a pixel to a trained net, in code you can read.

    import minicnn
    from minicnn import Tensor, nn, functional as F

    w = Tensor([[1.0, 2.0]], requires_grad=True)
    loss = (w * w).sum()
    loss.backward()
    w.grad                                  # Tensor([[2., 4.]])

`import minicnn` brings the tape and its operators; every other part is imported when it is first
used.
"""

from importlib import import_module

from minicnn import ops  # noqa: F401  (gives Tensor its operators)
from minicnn.backends import current_backend, use_backend
from minicnn.backends.algorithm import allow_tf32, use_algorithm
from minicnn.tensor import Function, Tensor, is_grad_enabled, no_grad

__version__ = "0.1.0"

_LATER = {  # name -> where it is found
    "analysis": "minicnn.analysis",
    "check": "minicnn.checks:check",
    "checks": "minicnn.checks",
    "data": "minicnn.data",
    "emulator": "minicnn.emulator",
    "functional": "minicnn.functional",
    "get_num_threads": "minicnn.backends.fast.workers:get_num_threads",
    "gradcheck": "minicnn.checks:gradcheck",
    "manual_seed": "minicnn.nn.init:manual_seed",
    "models": "minicnn.models",
    "nn": "minicnn.nn",
    "optim": "minicnn.optim",
    "plots": "minicnn.plots",
    "record": "minicnn.stepper:record",
    "set_num_threads": "minicnn.backends.fast.workers:set_num_threads",
    "stepper": "minicnn.stepper",
    "training": "minicnn.training",
}

__all__ = [
    "Function",
    "Tensor",
    "allow_tf32",
    "current_backend",
    "is_grad_enabled",
    "no_grad",
    "use_algorithm",
    "use_backend",
    *_LATER,
]


def __getattr__(name):
    if name not in _LATER:
        raise AttributeError(f"module 'minicnn' has no attribute {name!r}")
    module, _, attribute = _LATER[name].partition(":")
    value = import_module(module)
    return getattr(value, attribute) if attribute else value


def __dir__():
    return sorted({*globals(), *_LATER})
