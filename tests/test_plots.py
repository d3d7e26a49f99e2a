"""Arrays as pictures."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn import Tensor, plots

plt = pytest.importorskip("matplotlib.pyplot", reason="needs matplotlib")


@pytest.fixture(autouse=True)
def no_window():
    plt.switch_backend("agg")
    yield
    plt.close("all")


def test_small_arrays_show_their_numbers():
    small = Tensor([[1.0, -2.5], [-0.0, 1111.0]])
    plots.show(small, np.zeros((20, 20)), titles=["a", "b"])
    small, large = plt.gcf().axes
    assert [t.get_text() for t in small.texts] == ["1", "-2.5", "0", "1111"]
    assert small.get_title() == "a" and not large.texts


def test_one_colour_is_one_number_everywhere():
    plots.show(np.array([[1.0, 2.0]]), np.array([[-8.0, 0.0]]))
    assert {ax.images[0].get_clim() for ax in plt.gcf().axes} == {(-8.0, 8.0)}
    plots.show(np.array([[1.0, 2.0]]), np.array([[4.0, 0.0]]), same=False)
    assert [ax.images[0].get_clim() for ax in plt.gcf().axes] == [(0.0, 2.0), (0.0, 4.0)]


def test_numbers_are_dark_on_light_and_light_on_dark():
    plots.show(np.array([[0.0, 9.0]]))
    assert [t.get_color() for t in plt.gcf().axes[0].texts] == ["white", "black"]


def test_colours_and_rows():
    plots.show(*[np.full((4, 4, 3), 255, np.uint8)] * 5, columns=3)
    assert len(plt.gcf().axes) == 6 and sum(len(ax.images) for ax in plt.gcf().axes) == 5


def test_squares_have_one_size():
    plots.show(np.ones((3, 5)), np.ones((9, 1)), squares=True)
    plt.gcf().canvas.draw()
    wide, tall = (ax.get_window_extent() for ax in plt.gcf().axes)
    assert wide.width / 5 == pytest.approx(tall.width, rel=0.1)
    assert wide.height / 3 == pytest.approx(tall.height / 9, rel=0.1)


@pytest.mark.parametrize("arrays", [(), (np.zeros(3),), (np.zeros((2, 2, 4)),)])
def test_what_is_no_picture_is_refused(arrays):
    with pytest.raises(ValueError, match="show: expects"):
        plots.show(*arrays)
