"""The optimisers' steps as kernels: NumPy's bits, in every order of threads."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from launches import numbers, threads_run

from minicnn import Tensor, emulator, use_backend
from minicnn.backends.cuda import optim as kernels
from minicnn.emulator import load
from minicnn.emulator.launch import ORDERS
from minicnn.optim import SGD, Adam, AdamW

pytestmark = pytest.mark.usefixtures("compiler")

LR, DECAY = st.floats(1e-6, 10), st.sampled_from([0.0, 1e-4, 0.1])
SGD_SETTINGS = st.fixed_dictionaries({
    "lr": LR,
    "momentum": st.sampled_from([0.0, 0.5, 0.9, 0.999]),
    "weight_decay": DECAY,
    "nesterov": st.booleans(),
}).map(lambda s: {**s, "nesterov": s["nesterov"] and s["momentum"] > 0})  # fmt: skip
ADAM_SETTINGS = st.fixed_dictionaries({
    "lr": LR,
    "betas": st.sampled_from([(0.9, 0.999), (0.0, 0.5), (0.8, 0.0)]),
    "eps": st.sampled_from([1e-8, 1e-3]),
    "weight_decay": DECAY,
    "amsgrad": st.booleans(),
})  # fmt: skip
OPTIMIZERS = {SGD: SGD_SETTINGS, Adam: ADAM_SETTINGS, AdamW: ADAM_SETTINGS}
SHAPES = [(1,), (7, 5), (300,), (3, 2, 5, 4)]


def trained(optimizer, backend, options, dtype, layout):
    """Parameters and what is remembered of them after three steps; lr changes in between."""
    parameters = []
    for k, shape in enumerate(SHAPES):
        values = numbers(*shape, dtype=dtype, seed=k)
        if layout == "channels last" and len(shape) == 4:
            values = np.ascontiguousarray(values.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        elif layout == "reversed":
            values = np.ascontiguousarray(values.T).T
        parameters.append(Tensor(values, requires_grad=True))
    optimizer = optimizer(parameters, **options)
    with use_backend(backend):
        for step in range(3):
            optimizer.zero_grad()
            for k, p in enumerate(parameters):
                weights = Tensor(numbers(*p.shape, dtype=dtype, seed=10 * step + k))
                (p * weights).sum().backward()
            optimizer.step()
            optimizer.lr /= 3
    return [(p.numpy(), optimizer.state[p]) for p in parameters]


@pytest.mark.parametrize("layout", ["row-major", "channels last", "reversed"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda o: o.__name__)
def test_gives_numpys_bits(optimizer, layout):
    @settings(max_examples=15)
    @given(OPTIMIZERS[optimizer], st.sampled_from([np.float32, np.float64]),
           st.sampled_from(list(ORDERS)))  # fmt: skip
    def run(options, dtype, order):
        wanted = trained(optimizer, "numpy", options, dtype, layout)
        with threads_run(order):
            found = trained(optimizer, "emulator", options, dtype, layout)
        for (w, state), (w_, state_) in zip(found, wanted):
            assert w.dtype == dtype and state.keys() == state_.keys()
            np.testing.assert_array_equal(w, w_)
            for name, values in state.items():
                np.testing.assert_array_equal(values, state_[name], err_msg=name)

    run()


@pytest.mark.parametrize("optimizer, file, options", [
    (SGD, "optim/sgd.cu", {"momentum": 0.9, "weight_decay": 0.1, "nesterov": True}),
    (Adam, "optim/adam.cu", {"amsgrad": True}),
    (AdamW, "optim/adam.cu", {}),
], ids=["SGD", "Adam", "AdamW"])  # fmt: skip
def test_a_step_is_one_launch_a_parameter(monkeypatch, optimizer, file, options):
    launches = []
    monkeypatch.setattr(kernels, "launch_each", lambda *args, **_: launches.append(args[:3]))
    w = Tensor(numbers(4, 3), requires_grad=True)
    with use_backend("emulator"):
        (w * w).sum().backward()
        optimizer([w], lr=0.1, **options).step()
    assert launches == [(file, file[6:-3], 12)]


@pytest.mark.parametrize("name, arrays, scalars, moved", [
    ("sgd", 3, (0.1, 0.9, 0.01, 1, 0), 20),
    ("adam", 5, (0.1, 0.9, 0.1, 0.01, 0.5, 1e-8), 36),
])  # fmt: skip
def test_bytes_are_what_the_headers_say(name, arrays, scalars, moved):
    scalars = (np.float32(x) if isinstance(x, float) else x for x in scalars)
    args = (*(abs(numbers(512)) for _ in range(arrays)), 512, *scalars)
    with emulator.checking() as findings:
        load(f"optim/{name}.cu", name)((2,), (256,), args)
    assert not findings
    trace = emulator.trace(load(f"optim/{name}.cu", name), (2,), (256,), args)
    assert (trace.bytes_read() + trace.bytes_written()) / 512 == moved


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda o: o.__name__)
def test_a_step_is_noticed_by_the_tape(optimizer):
    w = Tensor(numbers(3), requires_grad=True)
    with use_backend("emulator"):
        (w * w).sum().backward()
        loss = (w * w).sum()
        optimizer([w], lr=0.1).step()
        with pytest.raises(RuntimeError, match="changed in place"):
            loss.backward()
