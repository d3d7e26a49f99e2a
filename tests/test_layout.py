"""Images in channels-last memory, from whatever order they come in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn import layout

AXES = st.permutations(range(4))
STEPS = st.tuples(*[st.sampled_from([1, 2, -1])] * 4)


@pytest.mark.parametrize("small", [0, layout.SMALL], ids=["by channels", "at once"])
@given(shape=st.tuples(*[st.integers(0, 9)] * 4), axes=AXES, steps=STEPS, data=st.data())
def test_nhwc_is_the_same_numbers_in_one_piece(small, shape, axes, steps, data):
    dtype = data.draw(st.sampled_from([np.float32, np.float64, np.int64]))
    x = np.arange(np.prod(shape), dtype=dtype).reshape(shape).transpose(axes)
    x = x[tuple(slice(None, None, step) for step in steps)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "SMALL", small)
        y = layout.nhwc(x)
    assert y.flags.c_contiguous and y.dtype == x.dtype
    np.testing.assert_array_equal(y, np.moveaxis(x, 1, 3))
    np.testing.assert_array_equal(layout.nchw(y), x)


def test_nhwc_copies_nothing_that_lies_channels_last():
    x = layout.nchw(np.zeros((2, 5, 5, 3), np.float32))
    assert np.shares_memory(layout.nhwc(x), x) and layout.channels_last(x) is x
