"""Recurrent cells and layers: against PyTorch, by differences, facts and errors."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minicnn
from minicnn import Tensor, nn
from minicnn import functional as F
from minicnn.checks import gradcheck

GATES = {"lstm": 4, "gru": 3}
CELLS = {"lstm": nn.LSTMCell, "gru": nn.GRUCell}
LAYERS = {"lstm": nn.LSTM, "gru": nn.GRU}
KINDS = sorted(GATES)


def random(*shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def arguments(kind, N=3, I=4, H=5, bias=True):
    """Tensors for a cell function: input, states, weights and biases."""
    rows = GATES[kind] * H
    shapes = [(N, I), *[(N, H)] * (2 if kind == "lstm" else 1), (rows, I), (rows, H)]
    shapes += [(rows,)] * 2 if bias else []
    return [Tensor(random(*s, seed=k), requires_grad=True) for k, s in enumerate(shapes)]


def call(kind, tensors):
    """All that the cell function gives, in one tensor."""
    if kind == "gru":
        return F.gru_cell(*tensors)
    x, h, c, *weights = tensors
    return F.cat(F.lstm_cell(x, (h, c), *weights), dim=1)


def flat(result):
    """The tensors of nested tuples."""
    return [t for part in result for t in flat(part)] if isinstance(result, tuple) else [result]


def weights_of(layer):
    return [p for _, p in layer.named_parameters()]


# ---------------------------------------------------------------------------
# The cell functions
# ---------------------------------------------------------------------------
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_cells_equal_pytorchs(backend, kind, bias):
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    ours = arguments(kind, bias=bias)
    with backend.running():
        y = call(kind, [t.to(backend.device) for t in ours])
        dy = random(*y.shape, seed=9)
        y.backward(dy)
    theirs = [torch.tensor(t.numpy(), requires_grad=True) for t in ours]
    if kind == "gru":
        z = torch.gru_cell(*theirs)
    else:
        z = torch.cat(torch.lstm_cell(theirs[0], theirs[1:3], *theirs[3:]), 1)
    z.backward(torch.from_numpy(dy))
    np.testing.assert_allclose(y.numpy(), z.detach().numpy(), rtol=1e-10, atol=1e-12)
    for t, u in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(t.grad.numpy(), u.grad.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_cells_equal_differences(backend, kind):
    with backend.running():
        report = gradcheck(
            lambda *tensors: call(kind, [t.to(backend.device) for t in tensors]),
            *arguments(kind, N=2, I=2, H=3), max_coordinates=30, directions=3,
        )  # fmt: skip
    assert report.checked and not report.skipped


def test_an_lstm_keeps_what_its_gates_say():
    """Forget gate open, input gate shut: the memory stays. Both the other way: it is written."""
    H, c = 2, Tensor(np.array([[3.0, -2.0]]))
    zeros = [Tensor(np.zeros(s)) for s in ((1, H), (4 * H, 1), (4 * H, H))]
    for gates, expected in (((-99, 99, 1, 99), c.numpy()), ((99, -99, 99, 99), [[1, 1]])):
        bias = Tensor(np.repeat(np.array(gates, float), H))
        h, memory = F.lstm_cell(np.zeros((1, 1)), (zeros[0], c), *zeros[1:], bias)
        np.testing.assert_allclose(memory.numpy(), expected)
        np.testing.assert_allclose(h.numpy(), np.tanh(expected))


def test_a_gru_keeps_its_memory_where_z_is_1():
    h = Tensor(np.array([[0.5, -0.25]]))
    bias = Tensor(np.repeat([0.0, 99, 0], 2))
    y = F.gru_cell(np.zeros((1, 1)), h, np.zeros((6, 1)), np.zeros((6, 2)), bias)
    np.testing.assert_allclose(y.numpy(), h.numpy())


@pytest.mark.parametrize("kind", KINDS)
def test_a_cell_takes_an_empty_batch(kind):
    tensors = arguments(kind, N=0)
    y = call(kind, tensors)
    y.sum().backward()
    assert y.shape == (0, 10 if kind == "lstm" else 5)
    assert not tensors[-1].grad.numpy().any()


# ---------------------------------------------------------------------------
# Layers
# ---------------------------------------------------------------------------
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_cell_layers_start_with_zeros(kind, bias):
    cell = CELLS[kind](4, 5, bias=bias)
    x = Tensor(random(3, 4, dtype=np.float32))
    zeros = np.zeros((3, 5), np.float32)
    hx = (zeros, zeros) if kind == "lstm" else zeros
    for got, expected in zip(flat(cell(x)), flat(cell(x, hx)), strict=True):
        assert got.shape == (3, 5) and got.dtype == np.float32
        np.testing.assert_array_equal(got.numpy(), expected.numpy())


CONFIGURATIONS = [
    dict(),
    dict(bias=False, num_layers=2),
    dict(bidirectional=True),
    dict(num_layers=2, bidirectional=True, batch_first=True),
    dict(num_layers=3, batch_first=True),
]


@pytest.mark.parametrize("given_state", [False, True])
@pytest.mark.parametrize("settings", CONFIGURATIONS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_layers_equal_pytorchs(kind, settings, given_state):
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    T, N, I, H = 4, 3, 2, 5
    layer = LAYERS[kind](I, H, **settings).to(np.float64)
    peer = getattr(torch.nn, kind.upper())(I, H, **settings).double()
    state = {name: torch.tensor(value) for name, value in layer.state_dict().items()}
    assert list(state) == list(peer.state_dict())
    peer.load_state_dict(state)
    x = random(*((N, T, I) if settings.get("batch_first") else (T, N, I)))
    arrays = [x]
    if given_state:
        count = settings.get("num_layers", 1) * (2 if settings.get("bidirectional") else 1)
        arrays += [random(count, N, H, seed=k) for k in range(2 if kind == "lstm" else 1)]
    ours = [Tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    got, expected = (
        flat(call(t[0], *([tuple(t[1:])] if len(t) == 3 else t[1:])))
        for call, t in ((layer, ours), (peer, theirs))
    )
    grads = [random(*y.shape, seed=k) for k, y in enumerate(got)]
    sum((y * dy).sum() for y, dy in zip(got, grads, strict=True)).backward()
    torch.autograd.backward(expected, [torch.from_numpy(dy) for dy in grads])
    for y, z in zip(got, expected, strict=True):
        np.testing.assert_allclose(y.numpy(), z.detach().numpy(), rtol=1e-10, atol=1e-12)
    leaves = zip([*ours, *weights_of(layer)], [*theirs, *peer.parameters()], strict=True)
    for t, u in leaves:
        np.testing.assert_allclose(t.grad.numpy(), u.grad.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_a_whole_layer_equal_differences(backend, kind):
    layer = LAYERS[kind](2, 2, num_layers=2, bidirectional=True).to(np.float64)
    layer.to(backend.device)
    x = Tensor(random(2, 2, 2), requires_grad=True)

    def function(x):
        y, end = layer(x.to(backend.device))
        return sum((part.sum() for part in flat(end)), (y * y).sum())

    with backend.running():
        report = gradcheck(function, x, max_coordinates=10)
    assert report.checked and not report.skipped


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_is_its_cell_step_by_step(kind):
    layer, cell = LAYERS[kind](3, 4), CELLS[kind](3, 4)
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in layer.state_dict().items()})
    x = Tensor(random(5, 2, 3, dtype=np.float32))
    y, end = layer(x)
    state = None
    for t in range(5):
        state = cell(x[t], state)
        np.testing.assert_array_equal(y[t].numpy(), flat(state)[0].numpy())
    for got, expected in zip(flat(end), flat(state), strict=True):
        np.testing.assert_array_equal(got.numpy()[0], expected.numpy())


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_works_between_layers_in_training_only(kind):
    x = Tensor(random(3, 2, 4, dtype=np.float32))
    layer = LAYERS[kind](4, 8, num_layers=2, dropout=0.5)
    minicnn.manual_seed(1)
    first = layer(x)[0].numpy()
    assert not np.array_equal(layer(x)[0].numpy(), first)
    minicnn.manual_seed(1)
    np.testing.assert_array_equal(layer(x)[0].numpy(), first)
    layer.eval()
    np.testing.assert_array_equal(layer(x)[0].numpy(), layer(x)[0].numpy())
    single = LAYERS[kind](4, 8, dropout=0.5)  # there is nothing between
    np.testing.assert_array_equal(single(x)[0].numpy(), single(x)[0].numpy())


@pytest.mark.parametrize("kind", KINDS)
def test_weights_start_uniform_within_one_over_the_root_of_h(kind):
    minicnn.manual_seed(0)
    layer, bound = LAYERS[kind](50, 64), 1 / math.sqrt(64)
    values = np.concatenate([p.numpy().ravel() for p in layer.parameters()])
    assert values.size == layer.num_parameters() == GATES[kind] * 64 * (50 + 64 + 2)
    assert np.abs(values).max() <= bound
    assert np.abs(values).max() > 0.99 * bound
    assert values.std() == pytest.approx(bound / math.sqrt(3), rel=0.02)


def test_a_gru_learns_to_remember_the_first_number():
    """The sign of x[0], after two steps of other numbers: the loss falls to a fifth."""
    minicnn.manual_seed(0)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 64, 1)).astype(np.float32)
    target = (x[0, :, 0] > 0).astype(np.int64)
    layer, head = nn.GRU(1, 8), nn.Linear(8, 2)
    optimiser = minicnn.optim.SGD([*layer.parameters(), *head.parameters()], 0.3, momentum=0.9)
    losses = []
    for _ in range(60):
        loss = F.cross_entropy(head(layer(x)[1][0]), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 5


def test_layers_show_themselves():
    assert repr(nn.LSTM(3, 4)) == "LSTM(3, 4)"
    layer = nn.GRU(3, 4, 2, bias=False, batch_first=True, dropout=0.1, bidirectional=True)
    assert repr(layer) == (
        "GRU(3, 4, num_layers=2, bias=False, batch_first=True, dropout=0.1, bidirectional=True)"
    )
    assert repr(nn.LSTMCell(3, 4)) == "LSTMCell(3, 4)"
    assert repr(nn.GRUCell(3, 4, bias=False)) == "GRUCell(3, 4, bias=False)"


# ---------------------------------------------------------------------------
# Errors
# ---------------------------------------------------------------------------
X, H = np.ones((2, 3), np.float32), np.ones((2, 4), np.float32)
W16, U16 = np.ones((16, 3), np.float32), np.ones((16, 4), np.float32)
W12, U12 = np.ones((12, 3), np.float32), np.ones((12, 4), np.float32)
SEQUENCE = Tensor(np.ones((5, 2, 3), np.float32))

ERRORS = {
    "lstm_cell state": (
        lambda: F.lstm_cell(X, H, W16, U16), TypeError,
        r"lstm_cell: hx expects a pair \(h, c\) of tensors, but got a ndarray"),
    "lstm_cell state of three": (
        lambda: F.lstm_cell(X, (H, H, H), W16, U16), TypeError, r"but got a tuple of 3"),
    "lstm_cell weight_hh": (
        lambda: F.lstm_cell(X, (H, H), W12, U12), ValueError,
        r"lstm_cell: weight_hh expects shape \(4H, H\), 4 blocks .*, but has \(12, 4\)"),
    "lstm_cell weight_ih": (
        lambda: F.lstm_cell(X, (H, H), W12, U16), ValueError,
        r"lstm_cell: weight_ih expects shape \(16, I\), .*, but has \(12, 3\)"),
    "lstm_cell input": (
        lambda: F.lstm_cell(H, (H, H), W16, U16), ValueError,
        r"lstm_cell: input expects shape \(N, 3\), .*, but has \(2, 4\)"),
    "lstm_cell hx": (
        lambda: F.lstm_cell(X, (H, H[:1]), W16, U16), ValueError,
        r"lstm_cell: hx expects shape \(2, 4\), .*, but has \(1, 4\)"),
    "lstm_cell bias": (
        lambda: F.lstm_cell(X, (H, H), W16, U16, np.ones(4, np.float32)), ValueError,
        r"lstm_cell: bias expects shape \(16,\), .* but has \(4,\)"),
    "lstm_cell dtype": (
        lambda: F.lstm_cell(X, (H, H.astype(np.float64)), W16, U16), TypeError,
        r"lstm_cell: input is float32 but hx is float64; they must be equal"),
    "lstm_cell integers": (
        lambda: F.lstm_cell(X.astype(int), (H, H), W16, U16), TypeError, r"lstm_cell: expects a"),
    "gru_cell weight_hh": (
        lambda: F.gru_cell(X, H, W16, U16), ValueError,
        r"gru_cell: weight_hh expects shape \(3H, H\), 3 blocks .*, but has \(16, 4\)"),
    "gru_cell hx": (
        lambda: F.gru_cell(X, X, W12, U12), ValueError, r"gru_cell: hx expects shape \(2, 4\)"),
    "gru_cell dtype": (
        lambda: F.gru_cell(X, H, W12.astype(np.float64), U12), TypeError,
        r"gru_cell: input is float32 but weight_ih is float64"),
    "LSTM sizes": (
        lambda: nn.LSTM(3, 0), ValueError, r"LSTM: hidden_size expects 1 or more, but got 0"),
    "LSTM layers": (lambda: nn.LSTM(3, 4, 1.5), TypeError, r"LSTM: num_layers expects an int"),
    "GRU bias": (lambda: nn.GRU(3, 4, bias=1), TypeError, r"GRU: bias expects True or False"),
    "GRU dropout": (lambda: nn.GRU(3, 4, dropout=2), ValueError, r"GRU: .* but got 2"),
    "LSTM input": (
        lambda: nn.LSTM(4, 4)(SEQUENCE), ValueError,
        r"LSTM: input expects shape \(T, N, 4\), but has \(5, 2, 3\)"),
    "GRU input": (
        lambda: nn.GRU(4, 4, batch_first=True)(SEQUENCE[0]), ValueError,
        r"GRU: input expects shape \(N, T, 4\), but has \(2, 3\)"),
    "GRU no steps": (
        lambda: nn.GRU(3, 4)(SEQUENCE[:0]), ValueError,
        r"GRU: expects a sequence of at least one step, but got none"),
    "LSTM state": (
        lambda: nn.LSTM(3, 4)(SEQUENCE, H), TypeError, r"LSTM: hx expects a pair \(h, c\)"),
    "LSTM state shape": (
        lambda: nn.LSTM(3, 4, 2)(SEQUENCE, (H, H)), ValueError,
        r"LSTM: hx expects shape \(2, 2, 4\), but has \(2, 4\)"),
    "GRUCell input": (
        lambda: nn.GRUCell(3, 4)(SEQUENCE), ValueError,
        r"GRUCell: input expects shape \(N, 3\), but has \(5, 2, 3\)"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors_say_what_was_given_and_what_the_rule_is(name):
    call, error, text = ERRORS[name]
    with pytest.raises(error, match=text):
        call()
