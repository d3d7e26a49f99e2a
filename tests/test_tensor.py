"""The tape: what a Tensor is, and what the walk back promises."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minicnn
from minicnn import Function, Tensor, no_grad, use_backend
from minicnn import functional as F
from minicnn.checks import gradcheck
from minicnn.checks.strategies import MEMORY_ORDERS, in_memory_order


def leaf(*values, dtype=np.float64):
    return Tensor(np.array(values, dtype), requires_grad=True)


# ---------------------------------------------------------------------------
# Arithmetic
# ---------------------------------------------------------------------------
BINARY = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "power": lambda a, b: a**b,
}
UNARY = {
    "negate": lambda x: -x,
    "exp": lambda x: x.exp(),
    "log": lambda x: x.log(),
    "square": lambda x: x**2,
    "reciprocal": lambda x: 1 / x,
    "base": lambda x: 2**x,
    "sum": lambda x: x.sum(),
    "mean": lambda x: x.mean(),
    "max": lambda x: x.max(),
    "reshape": lambda x: x.reshape(-1),
    "flatten": lambda x: x.flatten(),
}
positive = st.floats(0.5, 3, width=16)


@pytest.mark.parametrize("name", BINARY)
@given(shapes=hnp.mutually_broadcastable_shapes(num_shapes=2, max_side=3), data=st.data())
def test_binary_operations_broadcast_and_their_gradients_come_back(name, shapes, data):
    a, b = (
        Tensor(data.draw(hnp.arrays(np.float64, s, elements=positive)), requires_grad=True)
        for s in shapes.input_shapes
    )
    y = BINARY[name](a, b)
    np.testing.assert_allclose(y.numpy(), BINARY[name](a.numpy(), b.numpy()))
    assert y.shape == shapes.result_shape
    gradcheck(BINARY[name], a, b)


@pytest.mark.parametrize("name", UNARY)
@given(x=hnp.arrays(np.float64, hnp.array_shapes(max_side=3), elements=positive, unique=True))
def test_unary_operations(name, x):
    t = Tensor(x, requires_grad=True)
    expected = {
        "exp": np.exp, "log": np.log, "sum": np.sum, "mean": np.mean, "max": np.max,
        "flatten": np.ravel,
    }.get(name, UNARY[name])  # fmt: skip
    np.testing.assert_allclose(UNARY[name](t).numpy(), expected(x))
    gradcheck(UNARY[name], t)


@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("dim", [None, 0, -1, (0, 2), (2, 0), (1,)])
@pytest.mark.parametrize("name", ["sum", "mean", "max"])
def test_reductions_over_some_axes(name, dim, keepdim):
    values = np.random.default_rng(0).permutation(np.arange(24.0))
    x = Tensor(values.reshape(2, 3, 4), requires_grad=True)
    axis = dim if dim is None or isinstance(dim, int) else tuple(dim)
    expected = getattr(np, name)(x.numpy(), axis=axis, keepdims=keepdim)
    y = getattr(x, name)(dim, keepdim)
    np.testing.assert_allclose(y.numpy(), expected)
    assert y.shape == expected.shape
    gradcheck(lambda x: getattr(x, name)(dim, keepdim), x)


def test_max_gives_the_gradient_to_the_first_of_equals():
    x = leaf([3, 7, 7], [7, 1, 7])
    x.max().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [[0, 1, 0], [0, 0, 0]])
    x.grad = None
    x.max(dim=0).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [[0, 1, 1], [1, 0, 0]])


@pytest.mark.parametrize(
    ("a", "b"),
    [((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 4)),
     ((5, 1, 2, 3), (4, 3, 2)), ((5, 2, 3), (3,)), ((0, 3), (3, 2))],
)  # fmt: skip
def test_matmul(a, b):
    rng = np.random.default_rng(0)
    a, b = (Tensor(rng.standard_normal(s), requires_grad=True) for s in (a, b))
    np.testing.assert_allclose((a @ b).numpy(), a.numpy() @ b.numpy())
    assert (a @ b).shape == (a.numpy() @ b.numpy()).shape
    gradcheck(lambda a, b: a @ b, a, b)


@pytest.mark.parametrize(
    "key",
    [0, -1, slice(1, None), (slice(None), 1), (..., 2), (None, 0), ([0, 0, 1],), np.array([1, 1]),
     (np.array([0, 1, 1]), np.array([2, 2, 2])), np.array([True, False]), (slice(None, None, -1),),
     Tensor([1, 0, 1]), (0, [2, 0, 2])],
)  # fmt: skip
def test_indexing(key):
    x = Tensor(np.arange(24.0).reshape(2, 3, 4), requires_grad=True)
    plain = key.numpy() if isinstance(key, Tensor) else key
    np.testing.assert_array_equal(x[key].numpy(), x.numpy()[plain])
    gradcheck(lambda x: x[key], x)


@pytest.mark.parametrize("dims", [(0, 1, 2), (2, 0, 1), (-1, 0, 1), (1, 2, 0)])
def test_permute_and_transpose(dims):
    x = Tensor(np.arange(24.0).reshape(2, 3, 4), requires_grad=True)
    np.testing.assert_array_equal(x.permute(*dims).numpy(), x.numpy().transpose(dims))
    np.testing.assert_array_equal(x.transpose(0, -1).numpy(), x.numpy().swapaxes(0, -1))
    gradcheck(lambda x: x.permute(dims), x)
    gradcheck(lambda x: x.transpose(0, -1), x)


shapes = hnp.array_shapes(min_dims=1, max_dims=4, max_side=3)


def drawn(data, shape):
    """A float64 leaf of this shape whose elements differ, in any memory order."""
    values = np.random.default_rng(int(np.prod(shape))).permutation(np.arange(np.prod(shape) + 1.0))
    order = data.draw(st.sampled_from(MEMORY_ORDERS))
    return Tensor(in_memory_order(values[1:].reshape(shape), order), requires_grad=True)


@given(data=st.data(), shape=shapes, keepdim=st.booleans())
def test_reductions_over_any_axes(data, shape, keepdim):
    x = drawn(data, shape)
    axes = data.draw(st.sets(st.integers(0, len(shape) - 1), min_size=1).map(tuple))
    name = data.draw(st.sampled_from(["sum", "mean", "max"]))
    expected = getattr(np, name)(x.numpy(), axis=axes, keepdims=keepdim)
    np.testing.assert_allclose(getattr(x, name)(axes, keepdim).numpy(), expected)
    gradcheck(lambda x: getattr(x, name)(axes, keepdim), x, max_coordinates=20, directions=2)


@given(data=st.data(), shape=shapes)
def test_moving_elements_in_any_way(data, shape):
    x = drawn(data, shape)
    dims = data.draw(st.permutations(range(len(shape))))
    flat = data.draw(st.permutations(shape))
    moved = x.permute(dims).reshape(flat)
    np.testing.assert_array_equal(moved.numpy(), x.numpy().transpose(dims).reshape(flat))
    gradcheck(lambda x: x.permute(dims).reshape(flat), x, max_coordinates=20, directions=2)


@given(data=st.data(), shape=shapes)
def test_any_index(data, shape):
    x = drawn(data, shape)
    kinds = hnp.basic_indices(shape, allow_newaxis=True) | hnp.integer_array_indices(shape)
    key = data.draw(kinds)
    np.testing.assert_array_equal(x[key].numpy(), x.numpy()[key])
    if x[key].size:
        gradcheck(lambda x: x[key], x, max_coordinates=20, directions=2)


STACKS = hnp.mutually_broadcastable_shapes(signature="(n,k),(k,m)->(n,m)", max_dims=2, max_side=3)


@given(data=st.data(), shapes=STACKS)
def test_matmul_of_any_stacks(data, shapes):
    a, b = (drawn(data, shape) for shape in shapes.input_shapes)
    np.testing.assert_allclose((a @ b).numpy(), a.numpy() @ b.numpy())
    gradcheck(lambda a, b: a @ b, a, b, max_coordinates=20, directions=2)


def test_power_of_zero():
    x = leaf(0.0, 2.0)
    (x**2).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [0, 4])
    x, p = leaf(0.0, 2.0), leaf(0.0, 3.0)
    (x**p).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [0, 12])
    np.testing.assert_allclose(p.grad.numpy(), [0, 8 * np.log(2)])


# ---------------------------------------------------------------------------
# dtypes, and other libraries
# ---------------------------------------------------------------------------
VALUES = {
    "f4": np.ones(2, np.float32), "f8": np.ones(2, np.float64), "i8": np.ones(2, np.int64),
    "i4": np.ones(2, np.int32), "u1": np.ones(2, np.uint8), "b": np.ones(2, bool),
    "f4 0-d": np.ones((), np.float32), "f8 0-d": np.ones((), np.float64),
    "i8 0-d": np.ones((), np.int64),
    "int": 2, "float": 2.0, "bool": True,
}  # fmt: skip


@pytest.mark.parametrize("operator", ["add", "multiply", "divide"])
@pytest.mark.parametrize("b", VALUES)
@pytest.mark.parametrize("a", [k for k in VALUES if k not in ("int", "float", "bool")])
def test_dtypes_meet_as_in_pytorch(a, b, operator):
    torch = pytest.importorskip("torch", reason="needs PyTorch")

    def theirs(v):
        return torch.from_numpy(np.array(v)) if isinstance(v, np.ndarray) else v

    ours = BINARY[operator](Tensor(VALUES[a]), VALUES[b] if b in ("int", "float", "bool") else
                            Tensor(VALUES[b]))  # fmt: skip
    expected = BINARY[operator](theirs(VALUES[a]), theirs(VALUES[b])).numpy()
    assert ours.dtype == expected.dtype
    np.testing.assert_array_equal(ours.numpy(), expected)


def test_numbers_become_float32_and_arrays_keep_their_dtype():
    assert Tensor([1.0, 2.0]).dtype == np.float32
    assert Tensor(np.float64(3)).dtype == np.float32  # a NumPy scalar counts as a Python number
    assert Tensor([1, 2]).dtype == np.int64
    assert Tensor(np.zeros(2)).dtype == np.float64
    assert (Tensor([1.0]) * np.float64(2)).dtype == np.float32
    assert (Tensor([1.0]) + np.ones(1)).dtype == np.float64
    assert (Tensor([1, 2]) / 2).dtype == np.float32


@pytest.mark.parametrize("data", [np.ones(2, np.float16), np.ones(2, complex), "a", [None], object])
def test_refuses_other_data(data):
    with pytest.raises(TypeError, match="expects float32, float64, integer or bool data"):
        Tensor(data)


def test_tensor_aliases_an_array_and_shows_it_read_only():
    array = np.zeros(3, np.float32)
    t = Tensor(array)
    array[0] = 5
    assert t.data[0] == 5
    with pytest.raises(ValueError, match="read-only"):
        t.data[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        t.numpy()[0] = 1


@pytest.mark.parametrize("operator", BINARY)
def test_numpy_on_the_left_keeps_the_gradient(operator):
    x = leaf(1.0, 2.0, 3.0)
    y = BINARY[operator](np.full(3, 2.0), x)
    assert isinstance(y, Tensor) and y.requires_grad
    y.sum().backward()
    assert x.grad is not None
    assert (np.ones((3, 3)) @ x).requires_grad
    assert (np.float32(2) * x).requires_grad


def test_goes_out_as_an_array_and_through_dlpack():
    t = leaf(1.0, 2.0)
    np.testing.assert_array_equal(np.asarray(t), [1, 2])
    assert np.asarray(t, np.float32).dtype == np.float32
    np.testing.assert_array_equal(np.from_dlpack(t), [1, 2])
    assert t.__dlpack_device__() == (1, 0)


def test_dlpack_to_pytorch():
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    t = Tensor(np.arange(6.0).reshape(2, 3))
    assert torch.equal(torch.from_dlpack(t), torch.arange(6.0, dtype=torch.float64).reshape(2, 3))


def test_comparisons_give_bool_tensors():
    t = Tensor([1.0, 2.0, 3.0])
    np.testing.assert_array_equal((t > 1.5).numpy(), [False, True, True])
    np.testing.assert_array_equal((t == Tensor([1.0, 0.0, 3.0])).numpy(), [True, False, True])
    assert len({t, t}) == 1  # hashed by identity
    with pytest.raises(ValueError, match="neither true nor false"):
        bool(t > 1.5)


def test_to_converts_with_a_gradient_and_returns_itself_if_nothing_changes():
    t = leaf(1.0, 2.0)
    assert t.to(np.float64) is t and t.to("cpu") is t
    y = t.to(np.float32)
    assert y.dtype == np.float32
    (y * y).sum().backward()
    assert t.grad.dtype == np.float64
    np.testing.assert_array_equal(t.grad.numpy(), [2, 4])


def test_repr_tells_what_matters():
    x = leaf(1.0, 2.0, dtype=np.float32)
    assert repr(x) == "Tensor([1., 2.], requires_grad=True)"
    assert repr((x * 2).sum()) == "Tensor(6., made by Sum)"
    assert repr(Tensor(np.ones(1))) == "Tensor([1.], dtype=float64)"


# ---------------------------------------------------------------------------
# The walk back
# ---------------------------------------------------------------------------
def test_a_tensor_used_more_than_once_gets_the_sum():
    x = leaf(3.0)
    y = x * x + x * 2 + x
    y.backward(np.ones(1))
    assert x.grad.item() == 2 * 3 + 2 + 1


def test_gradients_add_up_over_calls_without_touching_the_first():
    x = leaf(1.0, 2.0)
    (x * 2).sum().backward()
    first = x.grad
    (x * 3).sum().backward()
    np.testing.assert_array_equal(first.numpy(), [2, 2])
    np.testing.assert_array_equal(x.grad.numpy(), [5, 5])


def test_two_leaves_handed_the_same_gradient_stay_apart():
    a, b = leaf(1.0), leaf(2.0)
    (a + b).sum().backward()
    (a * 5).sum().backward()
    assert a.grad.item() == 6 and b.grad.item() == 1


def test_a_second_backward_is_refused():
    x = leaf(1.0, 2.0)
    middle = x * x
    loss = middle.sum()
    loss.backward()
    with pytest.raises(RuntimeError, match="already walked this tape; run the forward pass again"):
        loss.backward()
    with pytest.raises(RuntimeError, match="already walked"):
        (middle * 2).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [2, 4])


def test_a_saved_array_changed_in_place_is_an_error_not_a_wrong_gradient():
    w, x = leaf(1.0, 2.0), leaf(3.0, 4.0)
    y = w * x
    w.assign_(np.zeros(2))
    with pytest.raises(RuntimeError, match=r"Multiply saved was changed in place .*version 0 when"):
        y.sum().backward()
    assert x.grad is None and w.grad is None


def test_a_change_through_another_tensor_on_the_same_memory_is_noticed():
    base = leaf(1.0, 2.0)
    view = base.detach().reshape(2, 1)
    loss = (base * base).sum()
    view.detach().assign_(np.zeros((2, 1)))
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


def test_a_changed_array_that_was_not_saved_does_no_harm():
    b, x = leaf(1.0, 2.0), leaf(3.0, 4.0)
    y = (x + b).sum()
    b.assign_(np.zeros(2))
    y.backward()
    np.testing.assert_array_equal(b.grad.numpy(), [1, 1])


def test_memory_goes_with_the_last_name_and_without_the_collector():
    gc.collect()
    gc.disable()
    try:
        x = Tensor(np.ones((1, 1, 8, 8)), requires_grad=True)
        y = F.relu(F.max_pool2d(x, 2))
        alive = weakref.ref(y), weakref.ref(y._entry)
        del y
        assert [ref() for ref in alive] == [None, None]
    finally:
        gc.enable()


def test_backward_frees_what_was_saved_and_values_nobody_saved_go_at_once():
    x = leaf(1.0, 2.0)
    middle = x * 2  # Add saves nothing, so nothing keeps it
    array = weakref.ref(middle._data)
    y = (middle + 1).sum()
    del middle
    assert array() is None
    squared = x * x
    entry = squared._entry
    squared.sum().backward()
    assert entry.saved == ()
    y.backward()


def test_a_very_deep_tape():
    x = leaf(1.0)
    y = x
    for _ in range(20_000):
        y = y + 1
    y.backward(np.ones(1))
    assert x.grad.item() == 1
    del y


def test_no_grad_keeps_nothing():
    x = leaf(1.0)
    with no_grad():
        y = x * x
        assert not minicnn.is_grad_enabled()
    assert y.is_leaf and not y.requires_grad and minicnn.is_grad_enabled()

    @no_grad()
    def double(t):
        return t * 2

    assert double(x).is_leaf


def test_an_error_in_backward_changes_no_gradient():
    class Broken(Function):
        def forward(self, x):
            return x * 2

        def backward(self, dy):
            return dy[:1]

    x, other = leaf(1.0, 2.0), leaf(3.0, 4.0)
    loss = (Broken.apply(x) + other * x).sum()
    with pytest.raises(ValueError, match=r"Broken.backward returned a gradient of shape \(1,\)"):
        loss.backward()
    assert x.grad is None and other.grad is None


def test_a_function_of_ones_own_works_on_every_backend(backend):
    class Cube(Function):
        """y = x^3."""

        def forward(self, x):
            self.save(x)
            return x**3

        def backward(self, dy):
            (x,) = self.saved
            return 3 * dy * x**2

    with backend.running():
        y = Cube.apply(leaf(2.0, 3.0).to(backend.device))
        assert y._entry.backend == "numpy"
    gradcheck(Cube.apply, leaf(2.0, 3.0))


def test_backend_and_gradient_mode_belong_to_a_thread():
    seen = {}

    def other():
        seen["backend"], seen["grad"] = minicnn.current_backend(), minicnn.is_grad_enabled()

    with use_backend("loops"), no_grad():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert seen == {"backend": "compiled", "grad": True}


# ---------------------------------------------------------------------------
# Bad input
# ---------------------------------------------------------------------------
X = Tensor(np.ones((2, 3)), requires_grad=True)
ERRORS = {
    "integers have no gradient": (
        lambda: Tensor([1, 2], requires_grad=True), TypeError,
        "only float32 and float64 tensors have gradients, but this one is int64"),
    "freeze a result": (
        lambda: setattr(X * 2, "requires_grad", False), ValueError, "only leaves can be frozen"),
    "backward of many": (
        lambda: (X * 2).backward(), ValueError, r"shape \(2, 3\) needs the gradient"),
    "backward of nothing": (
        lambda: Tensor([1.0]).backward(), RuntimeError, "does not depend on any tensor"),
    "grad of another shape": (
        lambda: (X * 2).backward(np.ones(3)), ValueError,
        r"grad has shape \(3,\), but the tensor has \(2, 3\)"),
    "broadcast": (
        lambda: X + np.ones(4), ValueError, r"add: shapes \(2, 3\) and \(4,\) do not broadcast"),
    "matmul sizes": (
        lambda: X @ X, ValueError, r"matmul: the last size of \(2, 3\) must equal"),
    "matmul number": (lambda: X @ 2.0, ValueError, "multiply by a number with"),
    "reshape": (
        lambda: X.reshape(4), ValueError, r"reshape: \(2, 3\) has 6 elements, which do not fit"),
    "reshape twice -1": (lambda: X.reshape(-1, -1), ValueError, "at most one -1"),
    "permute": (lambda: X.permute(0, 0), ValueError, "names one axis twice"),
    "permute too few": (lambda: X.permute(1), ValueError, "must name each of the 2 axes"),
    "dim": (lambda: X.sum(2), ValueError, "dim 2 is out of range for a tensor of 2 dimensions"),
    "dim kind": (lambda: X.sum(1.5), TypeError, "dim expects None, an int or a tuple of ints"),
    "max of nothing": (
        lambda: Tensor(np.ones((0, 3))).max(), ValueError, "has no elements along dim None"),
    "argmax of nothing": (lambda: Tensor([]).argmax(), ValueError, "has no elements"),
    "mean of ints": (lambda: Tensor([1, 2]).mean(), TypeError, "mean: expects a float32 or"),
    "exp of ints": (lambda: Tensor([1, 2]).exp(), TypeError, "exp: expects a float32 or float64"),
    "index": (lambda: X[5], IndexError, r"index 5 is out of bounds.*of shape \(2, 3\)"),
    "index kind": (lambda: X[1.5], TypeError, "index: expects integers, slices"),
    "flatten": (lambda: X.flatten(1, 0), ValueError, "start_dim 1 lies behind end_dim 0"),
    "item": (lambda: X.item(), ValueError, r"one element, but got shape \(2, 3\)"),
    "len": (lambda: len(Tensor(1.0)), TypeError, "has no length"),
    "assign_ shape": (
        lambda: Tensor([1.0]).assign_([1.0, 2.0]), ValueError,
        r"expects values of shape \(1,\), but got \(2,\)"),
    "assign_ to a result": (
        lambda: (X * 2).assign_(np.ones((2, 3))), ValueError, "only leaves can be overwritten"),
    "to": (lambda: X.to("tpu"), TypeError, "to: expects a device .* or a dtype"),
    "to complex": (lambda: X.to(complex), TypeError, "to: expects a device .* or a dtype"),
    "backend": (
        lambda: use_backend("torch").__enter__(), ValueError,
        "expects one of 'loops', 'numpy', 'fast', 'compiled', 'emulator', but got 'torch'"),
    "backend cuda": (
        lambda: use_backend("cuda").__enter__(), ValueError, r"x.to\('cuda'\)"),
    "attribute": (lambda: minicnn.nonsense, AttributeError, "has no attribute 'nonsense'"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors_say_what_was_given_and_what_the_rule_is(name):
    call, error, text = ERRORS[name]
    with pytest.raises(error, match=text):
        call()


def test_a_device_that_is_not_there():
    from conftest import has_gpu

    device = "cuda:99" if has_gpu() else "cuda"
    with pytest.raises((RuntimeError, ValueError), match=r"cuda.*(GPU|CUDA devices)"):
        X.to(device)


@pytest.mark.gpu
def test_tensors_travel_to_the_gpu_and_back_in_channels_last_order():
    x = Tensor(np.random.default_rng(0).standard_normal((2, 3, 4, 5)), requires_grad=True)
    y = x.to("cuda")
    assert y.device == "cuda:0"
    assert y._data.transpose(0, 2, 3, 1).flags.c_contiguous
    (y * y).sum().backward()
    assert x.grad.device == "cpu"
    np.testing.assert_allclose(x.grad.numpy(), 2 * x.numpy())
    with pytest.raises(ValueError, match="tensors lie on cuda:0 and cpu"):
        y + Tensor(np.ones(5))
