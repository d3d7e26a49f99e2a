"""What a recording keeps: all of a small net; of a large one what its budget of bytes allows."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import minicnn
from minicnn import Tensor, nn
from minicnn import functional as F
from minicnn.stepper import keep
from minicnn.stepper.keep import SMALL, Sample, largest
from minicnn.tensor import _owner

BUDGET = 600_000


class Net(nn.Module):
    """Arrays of 260 kB and less: convolution, batch norm, pooling, a shortcut, dropout, fusion."""

    def __init__(self):
        super().__init__()
        self.stem, self.bn = nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16)
        self.body = nn.Conv2d(16, 16, 3, padding=1, activation="relu")
        self.dropout, self.fc = nn.Dropout(0.3), nn.Linear(16 * 32 * 32, 10)

    def forward(self, x):
        x = F.relu(self.bn(self.stem(x)))
        x = F.max_pool2d(F.tanh(self.body(x) + x), 2)
        return self.fc(self.dropout(x).flatten(1))


def recorded(budget, backward=True):
    minicnn.manual_seed(0)
    rng, net = np.random.default_rng(1), Net()
    x = Tensor(rng.standard_normal((1, 3, 64, 64)).astype(np.float32), requires_grad=True)
    with minicnn.record(budget) as steps:
        loss = F.cross_entropy(net(x), [3])
        if backward:
            loss.backward()
    return steps, net


@pytest.fixture(scope="module")
def pair():
    """(steps with everything, the same steps over their budget)."""
    return recorded(1e9)[0], recorded(BUDGET)[0]


def kept_of(step):
    held = [h.kept for h in (*step.held, step.held_output) if h is not None]
    return [k for k in (step._dy, *step._grads, *held) if k is not None]


def bytes_kept(steps, but):
    """Bytes of the memory behind all arrays, each once, but for those that are the caller's own."""
    owners = {}
    for step in steps:
        for kept in kept_of(step):
            if isinstance(kept.array, np.ndarray) and id(_owner(kept.array)) not in but:
                owners[id(_owner(kept.array))] = keep._bytes(_owner(kept.array), kept.array)
        for lenses in (step.lenses or {}).values():
            owners |= {id(lens): lens.nbytes for lens in lenses.values()}
    return sum(owners.values())


def test_a_small_net_is_kept_whole(pair):
    steps, _ = pair
    assert all(step.whole and step.lenses is None for step in steps)
    assert "sample" not in repr(steps) + "".join(map(repr, steps))


@pytest.mark.parametrize("budget", [0, BUDGET, 3_000_000])
def test_what_is_kept_stays_in_the_budget(budget):
    steps, net = recorded(budget)
    own = {id(_owner(p._data)) for p in net.parameters()}
    own |= {id(_owner(steps[0].held[0].array))}
    small = sum(k.array.nbytes for s in steps for k in {*kept_of(s)} if k.array.nbytes <= SMALL)
    lenses = sum(
        lens.nbytes for s in steps for found in (s.lenses or {}).values()
        for lens in found.values() if lens.nbytes <= SMALL
    )  # fmt: skip
    assert bytes_kept(steps, own) <= budget + small + lenses
    assert any(not step.whole for step in steps)


def test_an_array_that_is_not_kept_dies_when_the_tape_lets_go_of_it():
    steps, _ = recorded(0, backward=False)
    gc.collect()
    dropped = [k for s in steps for k in kept_of(s) if not k.whole]
    assert len(dropped) > 8 and all(isinstance(k.array, Sample) for k in dropped)
    assert all(k.ref() is None and k._owner() is None for k in dropped)


def test_steps_keep_nothing_of_what_operations_saved():
    steps, _ = recorded(1e9)
    assert all(step.op.saved == () and step.op.parents == () for step in steps)


def test_the_elements_that_were_kept_are_those_of_a_whole_recording(pair):
    whole, small = pair
    opened = 0
    for step, other in zip(small, whole, strict=True):
        assert step.title == other.title
        if step.whole or step.operation == "Moments":  # which has no lens
            continue
        wanted = [k for k, g in other.grads.items() if g is not None] or ["y"]
        assert set(step.lenses) == set(wanted)
        for letter, lenses in step.lenses.items():
            assert 1 <= len(lenses) <= 3, (step.title, letter)
            for index in lenses:
                of = None if letter == "y" else letter
                lens, same = step.into(*index, of=of), other.into(*index, of=of)
                assert lens.sum == same.sum and lens.recorded == same.recorded
                assert lens.formula == same.formula and lens.agreement == same.agreement
                for name in ("window", "weights", "products", "running"):
                    np.testing.assert_array_equal(getattr(lens, name), getattr(same, name))
                # An input that backward had no use for is gone by then: a ReLU's, say.
                parts = {k: (same.parts or {})[k] for k in lens.parts or {}}
                assert all(np.array_equal(lens.parts[k], v) for k, v in parts.items())
                assert repr(lens)
                opened += 1
    assert opened > 40


def test_an_element_elsewhere_says_what_is_there(pair):
    _, steps = pair
    step = steps.goto("stem")
    shown = ", ".join(f"y[{','.join(map(str, k))}]" for k in step.lenses["y"])
    with pytest.raises(RuntimeError, match=r"into: what y\[0,0,0,0\].*was not kept.*budget") as say:
        steps.into(0, 0, 0, 0)
    assert shown in str(say.value) and "record(budget=...)" in str(say.value)
    with pytest.raises(IndexError, match="out of range"):
        steps.into(0, 0, 0, 64)
    back = steps.goto("stem", direction="backward")
    with pytest.raises(RuntimeError, match=r"what dw\[0,0,0,0\] was computed from was not kept"):
        back.into(0, 0, 0, 0, of="weight")


def test_a_sample_has_the_range_and_refuses_to_be_an_array(pair):
    whole, small = pair
    y, sample = whole[0].output, small[0].output
    assert isinstance(sample, Sample) and "sample" in repr(sample)
    assert (sample.min(), sample.max()) == (y.min(), y.max()) and sample.shape == y.shape
    np.testing.assert_allclose(sample.mean(), y.mean(dtype=np.float64), rtol=1e-6)
    for use in (np.asarray, lambda a: a[0], list):
        with pytest.raises(RuntimeError, match=r"was not kept whole.*record\(budget=\.\.\.\)"):
            use(sample)
    for leading, cells in sample.maps.items():
        image = sample.map(leading)
        blocks = np.abs(y[leading]).reshape(32, 2, 32, 2).max(axis=(1, 3))
        np.testing.assert_allclose(np.abs(image), blocks, atol=sample.top / 127)
        assert cells.dtype == np.int8


def test_cards_and_the_table_say_what_was_not_kept(pair):
    _, steps = pair
    for step in steps:
        shown, html = repr(step), step._repr_html_()
        assert ("recording's budget" in shown) == (not step.whole) == ("budget" in html)
        assert all(len(line) <= 100 for line in shown.split("\n"))
    count = sum(not step.whole for step in steps)
    assert f"{count} of {len(steps)} steps were not kept whole" in repr(steps)
    assert f"{count} of {len(steps)} steps were not kept whole" in steps._repr_html_()


def test_a_page_of_a_bounded_recording(pair, tmp_path):
    whole, small = pair
    path = small.to_html(tmp_path / "small.html")
    assert path.stat().st_size < whole.to_html(tmp_path / "whole.html").stat().st_size / 2


@pytest.mark.parametrize(
    ("budget", "error"),
    [(-1, ValueError), (float("nan"), ValueError), ("1 GB", TypeError), (True, TypeError)],
)
def test_a_budget_is_a_number_of_bytes(budget, error):
    with pytest.raises(error, match="record: budget expects"), minicnn.record(budget):
        pass


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 3, 1), (3, 2, 1, 0)])
def test_the_largest_number_is_found_in_any_memory_order(order):
    array = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).transpose(order)
    expected = np.unravel_index(np.abs(array).argmax(), array.shape)
    assert largest(array) == expected and largest(-array) == expected
    other = np.ascontiguousarray(array.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    assert largest(other) == expected
