"""Dropout: the same mask everywhere, its statistics, its edge cases and errors.

The contract is in test_operations.py.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minicnn
from minicnn import Tensor, nn
from minicnn import functional as F
from minicnn.backends.loops.dropout import philox
from minicnn.functional.dropout import stream

FUNCTIONS = {"dropout": F.dropout, "dropout2d": F.dropout2d}


def kept(backend, function, shape, p, **options):
    """Where `function` keeps an array of ones of this shape."""
    with backend.running():
        y = FUNCTIONS[function](Tensor(np.ones(shape)).to(backend.device), p, **options)
    return y.numpy() != 0


def tosses(seed, size, skip=0):
    """32-bit random numbers straight from NumPy: two from each word, the low half first."""
    words = np.random.Philox(key=seed).random_raw(skip + size)[skip:]
    return np.array([half for word in words for half in (word & 0xFFFFFFFF, word >> 32)])[:size]


# ---------------------------------------------------------------------------
# The mask
# ---------------------------------------------------------------------------
@pytest.mark.parametrize("seed", [0, 7, 2**64 - 1])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.75])
@pytest.mark.parametrize("shape", [(), (5,), (8,), (3, 7), (2, 3, 5)], ids=str)
def test_the_mask_is_that_of_numpys_philox(backend, shape, p, seed):
    size = int(np.prod(shape))
    expected = (tosses(seed, size) < round((1 - p) * 2**32)).reshape(shape)
    np.testing.assert_array_equal(kept(backend, "dropout", shape, p, seed=seed), expected)


def test_elements_of_images_are_counted_channels_last(backend):
    N, C, H, W = 2, 3, 4, 5
    expected = (tosses(1, N * C * H * W) < 2**31).reshape(N, H, W, C).transpose(0, 3, 1, 2)
    got = kept(backend, "dropout", (N, C, H, W), 0.5, seed=1)
    np.testing.assert_array_equal(got, expected)


def test_whole_channels_go_or_stay(backend):
    expected = (tosses(1, 8 * 5) < 2**31).reshape(8, 5, 1, 1)
    got = kept(backend, "dropout2d", (8, 5, 3, 2), 0.5, seed=1)
    np.testing.assert_array_equal(got, np.broadcast_to(expected, got.shape))


@settings(max_examples=20)
@given(counter=st.integers(0, 2**64 - 10), key=st.integers(0, 2**64 - 1))
def test_philox_by_hand_is_numpys(counter, key):
    words = np.random.Philox(key=key, counter=counter).random_raw(8)
    by_hand = [philox((counter + k, 0, 0, 0), (key, 0)) for k in (1, 2)]
    assert [word for block in by_hand for word in block] == words.tolist()


def test_the_mask_does_not_depend_on_the_dtype_or_the_memory_order(backend):
    x = np.ones((2, 3, 4, 5))
    with backend.running():
        masks = [
            F.dropout(Tensor(a).to(backend.device), seed=3).numpy() != 0
            for a in (x, x.astype(np.float32), np.asfortranarray(x))
        ]
    np.testing.assert_array_equal(masks[0], masks[1])
    np.testing.assert_array_equal(masks[0], masks[2])


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_the_kept_share_is_what_was_asked_for(p):
    n = 200_000
    y = F.dropout(np.ones(n), p, seed=5).numpy()
    deviation = np.sqrt(p * (1 - p) / n)
    assert abs((y != 0).mean() - (1 - p)) < 4 * deviation
    assert y.mean() == pytest.approx(1, abs=4 * deviation / (1 - p))
    # Neighbours are independent: both of a pair are kept as often as chance says.
    both = (y[::2] != 0) & (y[1::2] != 0)
    assert both.mean() == pytest.approx((1 - p) ** 2, abs=4 * np.sqrt(0.25 / (n / 2)))


# ---------------------------------------------------------------------------
# Values and gradients
# ---------------------------------------------------------------------------
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("p", [0.0, 0.25, 1.0])
def test_what_stays_is_scaled_and_the_gradient_takes_the_same_way(backend, function, p):
    x = Tensor(np.full((4, 6, 3, 3), 2.0), requires_grad=True)
    with backend.running():
        y = FUNCTIONS[function](x.to(backend.device), p, seed=9)
        y.backward(np.full(y.shape, 3.0))
    expected = {0.0: {1.0}, 0.25: {0.0, 1 / 0.75}, 1.0: {0.0}}[p]
    assert set(np.unique(y.numpy() / 2)) == expected
    np.testing.assert_allclose(x.grad.numpy() / 3, y.numpy() / 2)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_evaluation_is_the_identity_and_takes_no_random_numbers(backend, function):
    x = Tensor(np.ones((1, 2, 3, 4)))
    before = stream.counter
    with backend.running():
        assert FUNCTIONS[function](x, 0.9, training=False) is x
    assert stream.counter == before


def test_a_vector_shorter_than_a_block_and_one_longer(backend):
    short, long = (kept(backend, "dropout", (n,), 0.5, seed=2) for n in (3, 30))
    np.testing.assert_array_equal(long[:3], short)


# ---------------------------------------------------------------------------
# The stream of masks
# ---------------------------------------------------------------------------
def test_a_forward_pass_is_reproducible_from_the_seed(backend):
    net = nn.Sequential(nn.Dropout(0.5), nn.Dropout2d(0.5), nn.Dropout(0.25)).to(backend.device)
    x = Tensor(np.random.default_rng(0).standard_normal((2, 8, 5, 3))).to(backend.device)
    with backend.running():
        minicnn.manual_seed(4)
        first, second = net(x).numpy(), net(x).numpy()
        minicnn.manual_seed(4)
        again = net(x).numpy()
        minicnn.manual_seed(5)
        other = net(x).numpy()
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, second) and not np.array_equal(first, other)


def test_calls_follow_each_other_in_one_sequence():
    minicnn.manual_seed(11)
    first, second = (F.dropout(np.ones(12)).numpy() != 0 for _ in range(2))
    np.testing.assert_array_equal(first, F.dropout(np.ones(12), seed=11).numpy() != 0)
    # 12 elements take two blocks of 8: the second mask begins with the third block, word 8.
    np.testing.assert_array_equal(second, tosses(11, 12, skip=8) < 2**31)


def test_a_seed_of_its_own_leaves_the_stream_alone():
    minicnn.manual_seed(1)
    before = stream.counter
    F.dropout(np.ones(100), seed=3)
    assert stream.counter == before


def test_initialising_a_layer_leaves_the_masks_alone():
    minicnn.manual_seed(1)
    expected = F.dropout(np.ones(50)).numpy()
    minicnn.manual_seed(1)
    nn.Linear(5, 5)
    np.testing.assert_array_equal(F.dropout(np.ones(50)).numpy(), expected)


def test_layers_drop_in_training_mode_only():
    for layer in (nn.Dropout(0.9), nn.Dropout2d(0.9)):
        x = Tensor(np.ones((4, 4, 4, 4), np.float32))
        assert not layer(x).numpy().all()
        assert layer.eval()(x) is x
        assert layer.state_dict() == {}
    assert repr(nn.Dropout()) == "Dropout(p=0.5)" and repr(nn.Dropout2d(1)) == "Dropout2d(p=1.0)"


# ---------------------------------------------------------------------------
# Errors
# ---------------------------------------------------------------------------
ERRORS = {
    "dropout p": (
        lambda: F.dropout(np.ones(3), 1.5), ValueError,
        r"dropout: p expects a number from 0 to 1, a probability, but got 1.5"),
    "dropout p kind": (lambda: F.dropout(np.ones(3), "a"), TypeError, r"p expects .* got 'a'"),
    "dropout p in evaluation": (
        lambda: F.dropout(np.ones(3), -0.1, training=False), ValueError, r"but got -0.1"),
    "dropout integers": (lambda: F.dropout([1, 2]), TypeError, r"dropout: expects a float32 or"),
    "dropout seed": (
        lambda: F.dropout(np.ones(3), seed=2**64), ValueError,
        r"dropout: seed expects an int from 0 to 2\^64 - 1, but got 18446744073709551616"),
    "dropout seed kind": (lambda: F.dropout(np.ones(3), seed=1.0), TypeError, r"but got 1.0"),
    "dropout2d p": (
        lambda: F.dropout2d(np.ones((1, 1, 2, 2)), np.nan), ValueError, r"dropout2d: p .* got nan"),
    "dropout2d dimensions": (
        lambda: F.dropout2d(np.ones((3, 2))), ValueError,
        r"dropout2d: input expects 4 dimensions \(N, C, H, W\), but has 2"),
    "Dropout p": (lambda: nn.Dropout(2), ValueError, r"Dropout: p expects .* but got 2"),
    "Dropout2d p": (lambda: nn.Dropout2d(None), TypeError, r"Dropout2d: p expects .* got None"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors_say_what_was_given_and_what_the_rule_is(name):
    call, error, text = ERRORS[name]
    before = stream.counter
    with pytest.raises(error, match=text):
        call()
    assert stream.counter == before
