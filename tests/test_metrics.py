"""Metrics: accuracy by rank and by class, confusion, and what runs along."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn import Tensor
from minicnn.training import Evaluation, Running, accuracy, confusion_matrix


@st.composite
def answers(draw):
    """Scores (N, K) with many equal ones, and the right classes."""
    n, K = draw(st.integers(1, 6)), draw(st.integers(1, 7))
    scores = draw(st.lists(st.integers(-2, 2), min_size=n * K, max_size=n * K))
    target = draw(st.lists(st.integers(0, K - 1), min_size=n, max_size=n))
    return np.array(scores, np.float32).reshape(n, K), np.array(target)


@given(answers(), st.integers(1, 8))
def test_top_k_by_sorting(case, k):
    scores, target = case
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]  # of equal ones the first
    assert accuracy(scores, target, k) == np.mean((best == target[:, None]).any(axis=1))


@given(st.integers(0, 99), st.integers(1, 5))
def test_top_k_agrees_with_pytorch(seed, k):
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    rng = np.random.default_rng(seed)
    scores, target = rng.normal(size=(9, 6)), rng.integers(0, 6, 9)
    best = torch.tensor(scores).topk(k, dim=1).indices.numpy()
    assert accuracy(scores, target, k) == np.mean((best == target[:, None]).any(axis=1))


def test_nan_counts_as_the_highest():
    scores = np.array([[1.0, np.nan, 2.0]])
    assert [accuracy(scores, [1], k) for k in (1, 2, 3)] == [1.0, 1.0, 1.0]
    assert [accuracy(scores, [2], k) for k in (1, 2, 3)] == [0.0, 1.0, 1.0]
    assert [accuracy(scores, [0], k) for k in (1, 2, 3)] == [0.0, 0.0, 1.0]


@given(answers())
def test_confusion_by_loops(case):
    scores, target = case
    expected = np.zeros((scores.shape[1],) * 2, int)
    for row, right in zip(scores, target):
        expected[right, row.argmax()] += 1
    matrix = confusion_matrix(Tensor(scores), Tensor(target))
    np.testing.assert_array_equal(matrix, expected)
    assert matrix.dtype.kind == "i"
    assert np.trace(matrix) / len(target) == pytest.approx(accuracy(scores, target))


def test_evaluation():
    evaluation = Evaluation()
    rng = np.random.default_rng(0)
    scores, target = rng.normal(size=(40, 7)), rng.integers(0, 6, 40)  # none of the last class
    for part in (slice(0, 15), slice(15, 40)):
        evaluation.add(1.0, (scores[part], None), target[part])  # a net with auxiliary heads
    assert evaluation.accuracy == pytest.approx(accuracy(scores, target))
    assert evaluation.top5 == pytest.approx(accuracy(scores, target, 5))
    np.testing.assert_array_equal(evaluation.confusion, confusion_matrix(scores, target))
    for k, share in enumerate(evaluation.class_accuracy):
        of_class = target == k
        if of_class.any():
            assert share == pytest.approx(accuracy(scores[of_class], target[of_class]))
        else:
            assert np.isnan(share)


def test_running_goes_on():
    first, second = Running(), Running()
    scores = np.eye(4)
    first.add(2.0, scores, [0, 1, 0, 0])
    second.load_state_dict(first.state_dict())
    second.add(1.0, scores[:2], [0, 1])
    assert (second.images, second.loss, second.accuracy) == (6, 10 / 6, 4 / 6)
    assert second.elapsed >= first.state_dict()["seconds"] * 0.5 and second.images_per_second > 0


@pytest.mark.parametrize("function", [accuracy, confusion_matrix])
@pytest.mark.parametrize(
    "scores, target, error, text",
    [
        (np.zeros(3), [0], ValueError, r"expects scores \(N, K\) and one class per row"),
        (np.zeros((0, 2)), np.zeros(0, int), ValueError, "none of size 0, but got"),
        (np.zeros((2, 2)), [0], ValueError, "one class per row"),
        (np.zeros((2, 2)), [0, 2], ValueError, "target expects classes 0 to 1, .* but has 0 to 2"),
        (np.zeros((2, 2)), [-1, 0], ValueError, "target expects classes 0 to 1, .* but has -1"),
        (np.zeros((2, 2)), [0.0, 1.0], TypeError, "target expects class numbers, but holds float"),
    ],
)
def test_errors(function, scores, target, error, text):
    with pytest.raises(error, match=f"{function.__name__}: .*{text}"):
        function(scores, target)


def test_k_is_a_count():
    with pytest.raises(ValueError, match="accuracy: k expects 1 or more, but got 0"):
        accuracy(np.zeros((1, 2)), [0], 0)
