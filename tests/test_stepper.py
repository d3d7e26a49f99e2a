"""The stepper: what is recorded, every lens against NumPy's own sum, the walk in a terminal."""

from __future__ import annotations

import codecs
import os
import re
import subprocess
import sys
import time
import zlib
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minicnn
from minicnn import Function, Tensor, nn
from minicnn import functional as F
from minicnn.models import LeNet, LeNet5_1998
from minicnn.stepper import Lens, Step, html, terminal, text
from minicnn.stepper.keys import Words
from minicnn.tensor import _recorder


def lenet(image_gradient=True, backend="numpy", batch=1):
    """The steps of LeNet on random images, forward and backward."""
    minicnn.manual_seed(0)
    rng = np.random.default_rng(1)
    image = rng.random((batch, 1, 28, 28), np.float32)
    x, model = Tensor(image, requires_grad=image_gradient), LeNet()
    with minicnn.use_backend(backend), minicnn.record() as steps:
        loss = F.cross_entropy(model(x), Tensor(np.arange(batch) % 10))
        loss.backward()
    steps.model = model
    return steps


@pytest.fixture(scope="module")
def lenet_steps():
    return lenet()


@pytest.fixture
def steps(lenet_steps):
    """LeNet's steps, with no step current."""
    lenet_steps._place = -1
    return lenet_steps


def recorded(function, *inputs, backend="numpy", seed=0):
    """The steps of `function(*inputs)` and of a backward with a random gradient."""
    with minicnn.use_backend(backend), minicnn.record() as steps:
        y = function(*inputs)
        rng = np.random.default_rng(seed)
        y.backward(np.asarray(rng.standard_normal(y.shape), y.dtype))
    return steps


def leaf(rng, *shape, dtype=np.float32):
    return Tensor(rng.standard_normal(shape).astype(dtype), requires_grad=True)


def every_lens(steps, rng, picks=3):
    """Lenses on a few random numbers of every array of every step."""
    for step in steps:
        names = [None]
        if step.direction == "backward":
            names = [k for k, g in step.grads.items() if g is not None]
        for of in names:
            shape = step.target(of)[1].shape
            for _ in range(picks):
                yield step.into(*(int(rng.integers(n)) for n in shape), of=of)


# ---------------------------------------------------------------------------
# What is recorded
# ---------------------------------------------------------------------------
def test_lenet_is_a_list_of_steps_forward_then_backward(steps):
    labels = [step.label for step in steps]
    forward = ["conv1", "relu1", "pool1", "conv2", "relu2", "pool2", "reshape", "fc1", "relu3",
               "fc2", "relu4", "fc3", "softmax_cross_entropy"]  # fmt: skip
    assert labels == forward + forward[::-1]
    assert [step.direction for step in steps] == ["forward"] * 13 + ["backward"] * 13
    assert [step.number for step in steps] == list(range(1, 27))
    assert steps[0].operation == "Conv2d" and steps[-1].partner is steps[0]
    assert isinstance(steps[3], Step) and len(steps[:3]) == 3


def test_a_step_knows_its_arrays_settings_and_lines(steps):
    conv, back = steps[0], steps[25]
    weight = steps.model.conv1.weight
    plain = {"dilation": (1, 1), "groups": 1, "activation": None}
    assert conv.settings == {"stride": (1, 1), "padding": (2, 2), **plain}
    assert conv.backend == "numpy" and conv.layer == "conv1"
    np.testing.assert_array_equal(conv.inputs["w"], weight.numpy())
    np.testing.assert_array_equal(steps[1].inputs["x"], conv.output)
    np.testing.assert_array_equal(back.grads["w"], weight.grad.numpy())
    np.testing.assert_array_equal(back.dy, steps[24].grads["x"])
    assert conv.dy is None and conv.grads == {}
    assert not conv.output.flags.writeable
    assert "28" in conv.formula and "u < 5" in conv.formula
    # A line of a model is what the student wants to see; backward also knows who started it.
    assert str(conv.site).startswith("lenet.py:") and "self.conv1(x)" in conv.site.source
    assert back.site == conv.site and back.run_by.source == "loss.backward()"
    assert steps[12].site.file == __file__


@pytest.mark.parametrize("function", [F.relu, lambda x: x + 1, lambda x: (x * x).sum()])
def test_plain_functions_can_be_recorded_without_a_net(function):
    with minicnn.record() as steps:
        function(Tensor([[1.0, -2.0]]))
    assert steps[0].layer == "" and steps[0].site.file == __file__
    assert len(steps) == len(steps.forward())


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
        self.hidden = [nn.Tanh()]  # a list hides a module from its parent

    def forward(self, x):
        return self.hidden[0](F.sigmoid(self.body(x)) + x)


def test_layers_are_named_by_their_place_in_the_tree():
    net = nn.Sequential(Block(), Block())
    with minicnn.record() as steps:
        net(Tensor(np.ones((1, 3), np.float32)))
    names = ["0.body.0", "0.body.1", "0", "0", "0.Tanh"]
    assert [step.layer for step in steps] == names + [n.replace("0", "1", 1) for n in names]
    assert steps.goto("1").number == 8 and steps.goto("1.body").number == 6
    assert [step.title for step in steps][:2] == ["0.body.0: Linear, forward",
                                                  "0.body.1: ReLU, forward"]  # fmt: skip


def test_nothing_is_kept_and_nothing_differs_outside_the_block():
    x = Tensor(np.ones((1, 1, 28, 28), np.float32))
    model = LeNet()
    plain = model(x)
    with minicnn.record() as steps:
        watched = model(x)
        count = len(steps)
    assert _recorder.get() is None
    after = model(x)
    assert len(steps) == count == 12
    np.testing.assert_array_equal(plain.numpy(), watched.numpy())
    assert after._entry.saved


def test_an_exception_closes_the_recording_and_keeps_what_ran():
    with pytest.raises(ZeroDivisionError), minicnn.record() as steps:
        F.relu(Tensor([1.0]))
        _ = 1 / 0
    assert _recorder.get() is None and len(steps) == 1


def test_a_changed_input_stays_readable_but_cannot_be_opened():
    steps = lenet()
    steps.model.conv1.weight.assign_(np.zeros((6, 1, 5, 5), np.float32))
    with pytest.raises(RuntimeError, match=r"w \(weight\) of conv1.*changed in place.*record agai"):
        steps[0].into(0, 0, 0, 0)
    with pytest.raises(RuntimeError, match="record again"):
        steps[25].into(0, 0, 0, 0)
    with pytest.raises(RuntimeError, match="record again"):
        _ = steps[0].inputs
    assert "w: changed in place since" in repr(steps[0])
    assert "changed in place" in steps[0]._repr_html_()
    assert steps[3].into(0, 0, 0, 0).exact is not None  # the others still open


# ---------------------------------------------------------------------------
# Wrong use
# ---------------------------------------------------------------------------
def walk_off(steps):
    steps.goto(26)
    steps.next()


@pytest.mark.parametrize(
    ("act", "kind", "message"),
    [
        (lambda s: s.back(), IndexError, "nothing before step 1"),
        (walk_off, IndexError, "step 26 is the last one; go back"),
        (lambda s: s.into(0, 0, 0, 0), RuntimeError, "no step is current yet"),
        (lambda s: s.goto(0), IndexError, "no step 0; they run from 1 to 26"),
        (lambda s: s.goto(27), IndexError, "no step 27"),
        (lambda s: s.goto(1.5), TypeError, "number or a name, but got 1.5"),
        (lambda s: s.goto("conv3"), ValueError, "did you mean 'conv2'.*names: conv1, relu1"),
        (lambda s: s.goto("conv1", "up"), ValueError, "'forward' or 'backward', but got 'up'"),
        (lambda s: s[0].into(0, 1), ValueError, r"takes 4 indices, but got 2: \(0, 1\)"),
        (lambda s: s[0].into(0, 6, 0, 0), IndexError, "index 6 .* axis 1 of y, .* 0 to 5"),
        (lambda s: s[0].into(0, 0, 0, -29), IndexError, "index -29 is out of range in axis 3"),
        (lambda s: s[0].into(0, 0, 0, "1"), TypeError, "indices must be ints"),
        (lambda s: s[0].into(0, 0, 0, 0, of="weight"), ValueError, "one of 'output' in conv1"),
        (lambda s: s[25].into(0, of="colour"), ValueError, "one of 'input', 'weight', 'bias'"),
        (lambda s: s[13].into(0, of="target"), ValueError, "because it holds int64, not floats"),
        (lambda s: s[25].into(6, of="bias"), IndexError, "axis 0 of db"),
    ],
)
def test_wrong_use_says_what_to_do(steps, act, kind, message):
    with pytest.raises(kind, match=message):
        act(steps)


def test_next_says_that_backward_was_not_recorded():
    with minicnn.record() as steps:
        F.relu(Tensor([1.0]))
    steps.next()
    with pytest.raises(IndexError, match=r"last one \(backward did not run inside"):
        steps.next()


@pytest.mark.parametrize("act", ["next", "back", "into", "goto"])
def test_an_empty_recording_says_so(act):
    with minicnn.record() as steps:
        pass
    with pytest.raises(RuntimeError, match=f"{act}: nothing was recorded.*put the forward pass"):
        getattr(steps, act)(*([1] if act == "goto" else []))
    with pytest.raises(RuntimeError, match="nothing was recorded"):
        terminal.walk(steps, read=lambda question=None: None)
    assert repr(steps).startswith("no steps") and "no steps" in steps._repr_html_()


def test_there_is_one_recording_at_a_time():
    with minicnn.record() as outer:
        with pytest.raises(RuntimeError, match="under way already"), minicnn.record():
            pass
        F.relu(Tensor([1.0]))
    assert len(outer) == 1 and _recorder.get() is None


def test_an_image_that_wants_no_gradient_has_none_and_it_says_how_to_get_it():
    steps = lenet(image_gradient=False)
    message = r"no gradient of its input.*Tensor\(\.\.\., requires_grad=True\).*of='weight' or"
    with pytest.raises(ValueError, match=message):
        steps.goto(26) and steps.into(0, 0, 5, 5)
    assert steps.into(0, 0, 2, 2, of="weight").recorded == steps.current.grads["w"][0, 0, 2, 2]


def test_a_missing_bias_is_named():
    x = Tensor(np.ones((1, 1, 3, 3), np.float32), requires_grad=True)
    steps = recorded(lambda x: F.conv2d(x, Tensor(np.ones((1, 1, 2, 2), np.float32))), x)
    assert steps[0].inputs["b"] is None and steps[0].into(0, 0, 1, 1).bias is None
    with pytest.raises(ValueError, match=r"no gradient of its bias, because it was given none"):
        steps[1].into(0, of="bias")


def test_an_operation_without_a_lens_says_where_its_arrays_are():
    class Linear(Function):  # a student's own, whatever its name
        def forward(self, x):
            return x * 2

        def backward(self, dy):
            return dy * 2

    x = Tensor(np.ones((2, 2), np.float32), requires_grad=True)
    for function in (lambda x: x.max(dim=1, keepdim=True), Linear.apply):
        steps = recorded(function, x)
        for step in steps:
            with pytest.raises(ValueError, match=r"has no lens; its arrays are step\.inputs"):
                step.into(0, 0)
            assert repr(step) and step._repr_html_()


def test_a_tape_from_before_the_recording_shows_its_gradients_only():
    x = Tensor([1.0, -2.0], requires_grad=True)
    y = F.relu(x).sum()
    with minicnn.record() as steps:
        y.backward()
    assert [step.label for step in steps] == ["sum", "relu"]
    np.testing.assert_array_equal(steps[1].grads["x"], [1, 0])
    with pytest.raises(RuntimeError, match=r"ran before the recording.*inside record\(\) too"):
        steps[1].into(0)
    assert repr(steps[1]) and repr(steps) and steps[1]._repr_html_() and steps._repr_html_()


# ---------------------------------------------------------------------------
# Lenses against NumPy
# ---------------------------------------------------------------------------
def pairs(low, high):
    return st.tuples(st.integers(low, high), st.integers(low, high))


@st.composite
def windowed(draw):
    """Sizes of a convolution or pooling that fits: batch, channels, image, kernel, ..."""
    kernel, stride, size = draw(pairs(1, 4)), draw(pairs(1, 3)), draw(pairs(1, 7))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    size = tuple(max(n, k - 2 * p) for n, k, p in zip(size, kernel, padding))
    N, C = draw(pairs(1, 3))
    return (N, C, *size), kernel, stride, padding


def unit(shape, index):
    """All zeros, and a one at the index."""
    array = np.zeros(shape)
    array[index] = 1
    return Tensor(array)


def check_sum(lens, expected):
    """A lens adds up to what NumPy got, its terms to its sum."""
    np.testing.assert_allclose(lens.sum, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(lens.recorded, expected, rtol=1e-9, atol=1e-12)
    assert "more than rounding" not in lens.agreement
    total = sum(term.product for term in lens.terms) / (lens.divisor or 1)
    total += 0 if lens.bias is None else lens.bias
    np.testing.assert_allclose(total, expected, rtol=1e-9, atol=1e-12)
    assert len(lens.terms) == lens.products.size


@settings(max_examples=40)
@given(windowed(), st.integers(1, 3), st.booleans(), st.integers(0, 99))
def test_convolution_lenses(case, O, with_bias, seed):
    shape, kernel, stride, padding = case
    rng = np.random.default_rng(seed)
    x, w = leaf(rng, *shape, dtype=float), leaf(rng, O, shape[1], *kernel, dtype=float)
    b = leaf(rng, O, dtype=float) if with_bias else None
    run = lambda x, w, b: F.conv2d(x, w, b, stride, padding)  # noqa: E731
    forward, backward = recorded(run, x, w, b, seed=seed)
    index = tuple(int(rng.integers(n)) for n in forward.output.shape)
    n, o, i, j = index
    lens = forward.into(*index)
    padded = np.pad(x.numpy()[n], ((0, 0), *((p, p) for p in padding)))
    rows, columns = (slice(k * s, k * s + m) for k, s, m in zip((i, j), stride, kernel))
    np.testing.assert_array_equal(lens.window, padded[:, rows, columns])
    np.testing.assert_array_equal(lens.weights, w.numpy()[o])
    check_sum(lens, (lens.window * lens.weights).sum() + (b.numpy()[o] if with_bias else 0))
    # The gradient of a linear map, by definition: dy . map(unit vector).
    dy = backward.dy
    p = tuple(int(rng.integers(k)) for k in x.shape)
    check_sum(backward.into(*p), (dy * run(unit(x.shape, p), w, None).numpy()).sum())
    p = tuple(int(rng.integers(k)) for k in w.shape)
    expected = (dy * run(x, unit(w.shape, p), None).numpy()).sum()
    check_sum(backward.into(*p, of="weight"), expected)
    if b is not None:
        check_sum(backward.into(o, of="bias"), dy[:, o].sum())


@settings(max_examples=40)
@given(windowed(), st.integers(0, 99))
def test_average_pooling_lenses(case, seed):
    shape, kernel, stride, padding = case
    rng = np.random.default_rng(seed)
    run = lambda x: F.avg_pool2d(x, kernel, stride, padding)  # noqa: E731
    x = leaf(rng, *shape, dtype=float)
    forward, backward = recorded(run, x, seed=seed)
    index = tuple(int(rng.integers(n)) for n in forward.output.shape)
    check_sum(forward.into(*index), forward.output[index])
    p = tuple(int(rng.integers(n)) for n in shape)
    check_sum(backward.into(*p), (backward.dy * run(unit(shape, p)).numpy()).sum())


@settings(max_examples=40)
@given(windowed(), st.integers(0, 99))
def test_max_pooling_lenses(case, seed):
    shape, kernel, stride, padding = case
    rng = np.random.default_rng(seed)
    x = Tensor(rng.integers(-3, 0, shape).astype(float), requires_grad=True)  # ties, no positives
    forward, backward = recorded(lambda x: F.max_pool2d(x, kernel, stride, padding), x, seed=seed)
    index = tuple(int(rng.integers(n)) for n in forward.output.shape)
    lens = forward.into(*index)
    assert lens.exact and lens.window[lens.winner] == lens.recorded == forward.output[index]
    p = tuple(int(rng.integers(n)) for n in shape)
    check_sum(backward.into(*p), backward.grads["x"][p])


@settings(max_examples=30)
@given(st.lists(st.integers(1, 3), max_size=3), pairs(1, 6), st.booleans(), st.integers(0, 99))
def test_linear_lenses(rows, size, with_bias, seed):
    (I, O), rng = size, np.random.default_rng(seed)
    x, w = leaf(rng, *rows, I, dtype=float), leaf(rng, O, I, dtype=float)
    b = leaf(rng, O, dtype=float) if with_bias else None
    forward, backward = recorded(F.linear, x, w, b, seed=seed)
    X, W, dy = x.numpy(), w.numpy(), backward.dy
    r = tuple(int(rng.integers(n)) for n in rows)
    o, i = int(rng.integers(O)), int(rng.integers(I))
    check_sum(forward.into(*r, o), X[r] @ W[o] + (b.numpy()[o] if with_bias else 0))
    check_sum(backward.into(*r, i), dy[r] @ W[:, i])
    check_sum(backward.into(o, i, of="weight"), (dy[..., o] * X[..., i]).sum())
    if b is not None:
        check_sum(backward.into(o, of="bias"), dy[..., o].sum())


ELEMENTWISE = {
    "relu": lambda a, b: F.relu(a),
    "tanh": lambda a, b: F.tanh(a),
    "sigmoid": lambda a, b: F.sigmoid(a),
    "exp": lambda a, b: a.exp(),
    "log": lambda a, b: a.log(),
    "negate": lambda a, b: -a,
    "cast": lambda a, b: a.to(np.float32),
    "add": lambda a, b: a + b,
    "add itself": lambda a, b: a + a,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "power": lambda a, b: a**b,
}


@pytest.mark.parametrize("name", ELEMENTWISE)
@given(
    shapes=st.sampled_from([((2, 3), (2, 3)), ((2, 3), (3,)), ((2, 1, 4), (3, 1)), ((), (2,))]),
    seed=st.integers(0, 99),
)
@settings(max_examples=12)
def test_elementwise_lenses(name, shapes, seed):
    rng = np.random.default_rng(seed)
    a, b = (Tensor(np.asarray(rng.random(s) + 0.1), requires_grad=True) for s in shapes)
    steps = recorded(ELEMENTWISE[name], a, b, seed=seed)
    for lens in every_lens(steps, rng):
        np.testing.assert_allclose(lens.sum, lens.recorded, rtol=1e-9)
        assert "more than rounding" not in lens.agreement
        if lens.terms:
            np.testing.assert_allclose(sum(t.product for t in lens.terms), lens.sum, rtol=1e-6)


def taken_twice(x):
    return x[[0, 1, 0]]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.reshape(4, 6),
        lambda x: x.permute(2, 0, 1),
        lambda x: x[1, :, ::2],
        taken_twice,
        lambda x: x[x.numpy() > 0],
        lambda x: x.sum(),
        lambda x: x.sum(dim=(0, 2)),
        lambda x: x.sum(dim=1, keepdim=True),
        lambda x: x.mean(dim=1),
        lambda x: x.mean(dim=(0, -1), keepdim=True),
    ],
)
def test_lenses_on_moving_and_adding(function):
    rng = np.random.default_rng(0)
    steps = recorded(function, leaf(rng, 2, 3, 4, dtype=float))
    for lens in every_lens(steps, rng, picks=12):
        np.testing.assert_allclose(lens.sum, lens.recorded, rtol=1e-12)


def test_an_element_that_was_taken_twice_gets_both_gradients():
    steps = recorded(taken_twice, leaf(np.random.default_rng(0), 2, 3))
    lens = steps[1].into(0, 1)
    assert lens.formula == "dy[0,1] + dy[2,1]"
    assert [term.product for term in lens.terms] == [steps[1].dy[0, 1], steps[1].dy[2, 1]]


@pytest.mark.parametrize("N", [1, 3])
def test_softmax_cross_entropy_lenses(N):
    rng = np.random.default_rng(0)
    x, t = leaf(rng, N, 5), Tensor(np.arange(N))
    with minicnn.record() as steps:
        F.cross_entropy(x, t).backward()
    p = np.exp(x.numpy().astype(float))
    p /= p.sum(axis=1, keepdims=True)
    losses = -np.log(p[np.arange(N), np.arange(N)])
    lens = steps[0].into()
    np.testing.assert_allclose(lens.products, losses, rtol=1e-6)
    np.testing.assert_allclose([lens.sum, lens.recorded], losses.mean(), rtol=1e-6)
    n = N - 1
    lens = steps[1].into(n, n)
    np.testing.assert_allclose([lens.sum, lens.recorded], (p[n, n] - 1) / N, rtol=1e-5)
    np.testing.assert_allclose(lens.parts[f"p[{n}]"], p[n], rtol=1e-5)


def test_the_loops_backend_adds_the_same_terms_in_the_same_order():
    rng = np.random.default_rng(0)
    x, w, b = leaf(rng, 2, 3, 7, 6), leaf(rng, 4, 3, 3, 2), leaf(rng, 4)
    v, c = leaf(rng, 5, 4), leaf(rng, 5)

    def net(x, w, b, v, c):
        y = F.conv2d(x, w, b, stride=(2, 1), padding=(1, 1))
        y = F.avg_pool2d(F.max_pool2d(y, 2, stride=1), (1, 2), stride=1)
        return F.linear(y.permute(0, 2, 3, 1), v, c)

    for lens in every_lens(recorded(net, x, w, b, v, c, backend="loops"), rng, picks=30):
        assert lens.exact, lens
        assert lens.agreement == "the same bits"


def test_a_difference_is_told_as_it_is():
    rng = np.random.default_rng(0)
    steps = recorded(lambda x, w: F.conv2d(x, w), leaf(rng, 1, 8, 9, 9), leaf(rng, 2, 8, 5, 5))
    texts = {lens.agreement.partition(" apart")[2] for lens in every_lens(steps, rng, 40)}
    assert ", by rounding: numpy adds in another order" in texts
    assert not any("more than rounding" in words for words in texts)
    lens = steps[0].into(0, 0, 0, 0)
    wrong = Lens(step=lens.step, name="y", formula="", sum=lens.sum, recorded=lens.sum + 1)
    assert "more than rounding explains" in wrong.agreement


def test_infinite_and_missing_numbers_can_be_opened():
    x = Tensor(np.array([[[[np.inf, np.nan], [1, 2]]]], np.float32), requires_grad=True)
    w = Tensor(np.zeros((1, 1, 2, 2), np.float32), requires_grad=True)
    with np.errstate(invalid="ignore"):
        steps = recorded(lambda x, w: F.max_pool2d(F.conv2d(x, w), 1), x, w)
    for step in steps:
        lens = step.into(0, 0, 0, 0)
        assert repr(lens) and lens._repr_html_() and repr(step) and step._repr_html_()
        assert "apart" not in lens.agreement


def test_a_pixel_no_window_looks_at_has_no_terms():
    x = Tensor(np.ones((1, 1, 6, 6), np.float32), requires_grad=True)
    w = Tensor(np.ones((1, 1, 2, 2), np.float32))
    lens = recorded(lambda x: F.conv2d(x, w, stride=3), x)[1].into(0, 0, 2, 5)
    assert lens.terms == [] and lens.sum == lens.recorded == 0
    assert "no window looks at this pixel" in repr(lens)


@pytest.mark.parametrize("model", [LeNet, LeNet5_1998])
def test_every_step_of_a_net_opens_and_agrees(model):
    minicnn.manual_seed(0)
    rng = np.random.default_rng(0)
    x, net = Tensor(rng.random((2, 1, 28, 28), np.float32), requires_grad=True), model()
    with minicnn.record() as steps:
        F.cross_entropy(net(x), Tensor([1, 2])).backward()
    for lens in every_lens(steps, rng, picks=1):
        assert "more than rounding" not in lens.agreement, lens
        for line in repr(lens).split("\n"):
            assert len(line) <= 100, line


@pytest.mark.gpu
def test_a_pass_on_a_gpu_can_be_stepped():
    rng, model = np.random.default_rng(0), LeNet().to("cuda")
    x = Tensor(rng.random((1, 1, 28, 28), np.float32)).to("cuda")
    x.requires_grad = True
    with minicnn.record() as steps:
        F.cross_entropy(model(x), Tensor([3])).backward()
    assert steps[0].backend == "cuda" and isinstance(steps[0].output, np.ndarray)
    for lens in every_lens(steps, rng):
        assert "more than rounding" not in lens.agreement, lens
        assert repr(lens) and repr(lens.step)


# ---------------------------------------------------------------------------
# How it reads
# ---------------------------------------------------------------------------
def test_a_lens_reads_from_the_formula_to_the_recorded_number(steps):
    lens = steps.goto("conv2") and steps.into(0, 3, 4, 5)
    shown = repr(lens)
    assert "y[0,3,4,5] = Σ x[0,c,4+u,5+v] · w[3,c,u,v] + b[3]" in shown
    assert re.search(r"window of x\[0,(\d)\] +× filter w\[3,\1\] +(= products|$)", shown, re.M)
    assert "sum of 150 terms" in shown and f"recorded {lens.recorded!s:>27}" in shown
    more = int(re.search(r"\.\.\. (\d+) more", shown).group(1))
    assert more + 12 == np.count_nonzero(lens.products)


def test_no_line_is_wider_than_a_hundred_columns(steps):
    for step in steps:
        for line in [*repr(step).split("\n"), *repr(steps).split("\n")]:
            assert len(line) <= 100, line


def test_a_card_tells_shapes_statistics_and_the_source_line(steps):
    shown = repr(steps.goto("pool1"))
    assert shown.startswith("step 3 of 26   pool1: MaxPool2d, forward\nlenet.py:")
    assert "kernel 2, stride 2, padding 0, ceil_mode False, dilation 1, backend numpy" in shown
    y = steps.current.output
    assert re.search(rf"y +\(1, 6, 14, 14\) +{y.min():.4g} +{y.mean():.4g} +{y.max():.4g}", shown)


def test_the_overview_folds_forward_and_backward(steps):
    steps.goto("fc3")
    assert re.search(r">12 +fc3 +Linear +\(1, 10\) +15", repr(steps))


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0"), (-0.0, "0"), (0.742, ".74"), (-0.02, "-.02"), (0.001, ".00"), (0.996, "1.0"),
     (-3.14159, "-3.1"), (42.4, "42"), (np.inf, "inf"), (np.nan, "nan")],
)  # fmt: skip
def test_cells_show_two_digits_and_zero_only_for_zero(value, shown):
    assert text.cell(value) == shown


def test_pictures_show_the_sign_by_shade_or_by_colour():
    image = np.array([[1.0, -1.0], [0.5, 0.0]])
    assert text.picture("", image)[1] == ["██≣≣", "▒▒  "]
    coloured = "".join(text.picture("", image, text.Paint(True))[1])
    assert "≣" not in coloured and "38;5;172m██" in coloured and "38;5;68m██" in coloured
    caption, lines, width = text.picture("x", np.ones((224, 224)))
    assert caption == "x at 1/7" and width == 32 and len(lines) == 16


class Balanced(HTMLParser):
    """Fails on a tag that is not closed, and collects the attributes."""

    def __init__(self):
        super().__init__()
        self.open, self.attributes = [], []

    def handle_starttag(self, tag, attributes):
        self.attributes += attributes
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_notebook_html_is_balanced_and_self_contained(steps):
    fragments = [steps._repr_html_()]
    for step in steps:
        fragments += [step._repr_html_(), step.into(*step.largest())._repr_html_()]
    fragments.append(steps[25].into(0, 0, 2, 2, of="weight")._repr_html_())
    for fragment in fragments:
        parser = Balanced()
        parser.feed(fragment)
        parser.close()
        assert parser.open == []
        for name, value in parser.attributes:
            assert name in ("style", "alt", "src")
            assert name != "src" or value.startswith("data:image/png;base64,")
    assert "×" in fragments[2] and "filter w" in fragments[2]
    assert len("".join(fragments)) < 400_000


def test_colours_are_signed_and_zero_is_transparent():
    assert html.colour(0, 1).endswith(",0.00)")
    red, _, blue = (int(n) for n in re.findall(r"\d+", html.colour(1, 1))[:3])
    assert red > blue
    red, _, blue = (int(n) for n in re.findall(r"\d+", html.colour(-1, 1))[:3])
    assert blue > red


def test_pictures_in_html_are_true_png_files():
    pixels = np.random.default_rng(0).integers(0, 256, (3, 5, 4), np.uint8)
    data = html.png(pixels)
    assert data[:8] == b"\x89PNG\r\n\x1a\n" and data[16:24] == b"\0\0\0\5\0\0\0\3"
    start = data.index(b"IDAT") + 4
    lines = np.frombuffer(zlib.decompressobj().decompress(data[start:]), np.uint8).reshape(3, 21)
    np.testing.assert_array_equal(lines[:, 1:].reshape(3, 5, 4), pixels)


# ---------------------------------------------------------------------------
# The terminal
# ---------------------------------------------------------------------------
def walked(steps, *keys):
    """What a walk shows for these keys; a tuple is a key and the answer to its question."""
    given, shown = [], []
    for key in keys:
        given += key if isinstance(key, tuple) else [key]
    given.reverse()
    terminal.walk(steps, lambda question=None: given.pop() if given else None, shown.append)
    return "\n".join(shown)


def titles(shown):
    return re.findall(r"^step (\d+) of 26", shown, re.M)


@pytest.mark.parametrize(
    ("keys", "numbers"),
    [
        (["n", "right", "b", "left", "b", "q", "n"], "12321"),
        ([("g", "conv2"), "f", "B", ("g", "20"), "n"], "1 4 23 4 20 21"),
        ([("g", "26"), "n", ("g", "pool2")], "1 26 21"),  # a name keeps the direction
        ([("i", "0 3 5 5"), "o", "n"], "1112"),
        ([("enter", ""), "escape"], "111"),
        (["f", ("i", "w 1,0,4,1"), ("i", "b 3"), "b"], "1 26 26 26 25"),
    ],
)
def test_keys_walk(steps, keys, numbers):
    expected = numbers.split() if " " in numbers else list(numbers)
    assert titles(walked(steps, *keys)) == expected


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["z"], "'z' is no key here; \\? shows the keys"),
        (["b"], "this is the first step"),
        ([("g", "26"), "n"], "this is the last step"),
        (["o"], "nothing to go out of"),
        ([("g", "conv9")], "no forward step named 'conv9'"),
        ([("g", "99")], "no step 99"),
        ([("i", "0 9 0 0")], "index 9 is out of range"),
        ([("i", "0 9")], "takes 4 indices, but got 2"),
        ([("i", "0 a 0 0")], "whole numbers, but got '0 a 0 0'"),
        (["?"], "flip: the same operation"),
        (["l"], r">1 +conv1"),
        (["p"], r"w \(6, 1, 5, 5\) weight"),
        ([("i", "0 1 9 9"), "p"], "(?s)0   4   4 .*sum of 25 terms"),
        ([("i", "")], r"y\[0,\d,\d+,\d+\] = Σ"),
    ],
)
def test_keys_tell(steps, keys, message):
    assert re.search(message, walked(steps, *keys))


@pytest.mark.parametrize("stop", [KeyboardInterrupt, EOFError])
def test_an_interrupt_leaves_the_walk_cleanly(steps, stop):
    def read(question=None):
        raise stop

    shown = []
    terminal.walk(steps, read, shown.append)
    assert titles("\n".join(shown)) == ["1"]


def test_the_walk_goes_on_from_where_the_steps_are(steps):
    steps.goto("fc1")
    assert titles(walked(steps, "n")) == ["8", "9"]


def test_words_are_keys_and_answers():
    class Lines:
        def __init__(self, *lines):
            self.lines = [*lines, ""]

        def readline(self):
            return self.lines.pop(0)

    read = Words(Lines("n i 0 3 -5 5 g conv1 i o\n", "i b 2 n\n", "\n", "i\n", "1 2\n"))
    got = [read(), read(), read("?"), read(), read("?"), read(), read("?"), read()]
    assert got == ["n", "i", "0 3 -5 5", "g", "conv1", "i", "", "o"]
    got = [read(), read("?"), read(), read(), read(), read("?"), read()]
    assert got == ["i", "b 2", "n", "enter", "i", "1 2", None]


PATIENCE = 600  # seconds after which a program is taken to hang, however busy the machine
WALK = """
import sys
from minicnn.stepper.terminal import main
main("lenet", index=3)
"""


def test_a_pipe_walks_without_colour():
    done = subprocess.run(
        [sys.executable, "-c", WALK], input="n i 0 0 5 5\nz q", capture_output=True, text=True,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"}, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("lenet, untrained (no weights given): test image 3 of digits")
    assert titles(done.stdout) == ["1", "2", "2"]
    assert "y[0,0,5,5] = max(x, 0)" in done.stdout and "'z' is no key" in done.stdout
    assert "\x1b" not in done.stdout and done.stderr == ""


def test_a_narrow_encoding_is_no_error():
    done = subprocess.run(
        [sys.executable, "-c", WALK], input=b"q", capture_output=True, timeout=PATIENCE,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert done.returncode == 0 and b"step 1 of 26" in done.stdout


class Terminal:
    """A program in a pseudo-terminal."""

    def __init__(self, **environment):
        pty, termios = pytest.importorskip("pty"), pytest.importorskip("termios")
        self.fd, slave = pty.openpty()
        self.flags = termios.tcgetattr(slave)  # before the program can have changed them
        # What is read may end in the middle of a character.
        self.decoder = codecs.getincrementaldecoder("utf-8")()
        env = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
        self.program = subprocess.Popen(
            [sys.executable, "-c", WALK], stdin=slave, stdout=slave, stderr=slave,
            env={**env, "PYTHONIOENCODING": "utf-8", **environment}, start_new_session=True,
            preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(slave)

    def expect(self, pattern):
        """Wait until the pattern is shown after what was seen before; return what came."""
        from select import select

        end, came = time.monotonic() + PATIENCE, ""
        while not re.search(pattern, came):
            assert time.monotonic() < end, f"{pattern} did not come, but {came}"
            if select([self.fd], [], [], 0.2)[0]:
                try:
                    came += self.decoder.decode(os.read(self.fd, 65536))
                except OSError:  # the program has ended
                    break
        assert re.search(pattern, came), f"{pattern} did not come, but {came}"
        return came

    def send(self, keys):
        os.write(self.fd, keys.encode())

    def close(self):
        code = self.program.wait(timeout=PATIENCE)
        os.close(self.fd)
        return code


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_single_keys_in_a_pseudo_terminal():
    screen = Terminal()
    shown = screen.expect("step 1 of 26.*(?s:.*)recor|y\\[0,\\d\\](?s:.*)\n")
    assert "\x1b[1;38;5;30mconv1: Conv2d, forward\x1b[0m" in shown
    screen.send("\x1b[C")
    assert "relu1, forward" in screen.expect("step 2 of 26.*\n.*lenet")
    screen.send("\x1b[D")
    screen.expect("step 1 of 26.*\n.*lenet")
    screen.send("i")
    screen.expect(r"indices into y, shape \(1, 6, 28, 28\) \[0 \d \d+ \d+\]: ")
    screen.send("0 9\x7f3 5 5\n")  # Backspace takes the 9 back
    screen.expect(r"y\[0,3,5,5\] = Σ(?s:.*)recorded.*\n")
    screen.send("\x1b")
    screen.expect("step 1 of 26.*\n.*lenet")
    screen.send("f")
    screen.expect("step 26 of 26(?s:.*)lenet")
    screen.send("gfc3\n")  # typed ahead
    screen.expect("step 15 of 26(?s:.*)lenet")
    screen.send("\u00e9")
    screen.expect("'\u00e9' is no key here")
    screen.send("q")
    assert screen.close() == 0


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("end", ["\x03", "\x04"])  # Ctrl-C, Ctrl-D
def test_ctrl_c_and_ctrl_d_leave_a_pseudo_terminal_as_it_was(end):
    import termios

    screen = Terminal(NO_COLOR="1")
    shown = screen.expect("step 1 of 26.*(?s:.*)y\\[0")
    assert "\x1b" not in shown
    screen.send(end)
    screen.program.wait(timeout=PATIENCE)
    assert termios.tcgetattr(screen.fd) == screen.flags
    assert screen.close() == 0


def test_main_refuses_what_it_cannot_show():
    with pytest.raises(ValueError, match="no function to load them"):
        terminal.main("lenet", weights="w.safetensors")
    with pytest.raises(ValueError, match="there is no model 'lenett'"):
        terminal.main("lenett")
    with pytest.raises(IndexError, match="no image 360; digits has test images 0 to 359"):
        terminal.main("lenet", index=360)


def test_main_loads_weights_by_the_function_it_is_given(monkeypatch, capsys):
    loaded = []
    monkeypatch.setattr(terminal, "walk", lambda steps: loaded.append(len(steps)))
    terminal.main("lenet", weights="w.safetensors", load=lambda m, path: loaded.append((m, path)))
    (model, path), count = loaded
    assert isinstance(model, LeNet) and path == "w.safetensors" and count == 26
    assert "with weights w.safetensors" in capsys.readouterr().out
