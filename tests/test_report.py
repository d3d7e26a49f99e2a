"""The report of a run: what it counts, which mistakes it shows, and its files."""

from __future__ import annotations

import json
import re
import sys

import numpy as np
import pytest

from minicnn import Tensor, manual_seed, nn
from minicnn import data as data_module
from minicnn.__main__ import main
from minicnn.data import DataLoader, Dataset
from minicnn.training import plots
from minicnn.training.report import MISTAKES, Report

pytest.importorskip("matplotlib", reason="needs matplotlib")


class Fixed(nn.Module):
    """Gives the scores that are written in the first pixels of an image."""

    def __init__(self, channels=1):
        super().__init__()
        self.conv = nn.Conv2d(channels, 4, 3)

    def forward(self, x):
        return x[:, 0, 0, :3] * 10


def images(scores, right, channels=1):
    pixels = np.zeros((len(scores), channels, 5, 5), np.uint8)
    pixels[:, 0, 0, :3] = np.round(np.array(scores) * 255)
    return Dataset(pixels, np.array(right), ("cat", "dog & <co>", "a bird with a long name"))


SCORES = [[1, 0, 0], [0, 1, 0], [0.5, 0.4, 0.6], [1, 0, 0], [0, 0, 1]]
HISTORY = [
    {"epoch": k, "train_loss": 1 / k, "val_loss": 2 / k, "train_accuracy": 0.5, "val_accuracy": 0.4}
    for k in (1, 2, 3)
]


def report(channels=1, history=HISTORY, **loader):
    data = images(SCORES, [0, 1, 1, 1, 0], channels)
    return Report(Fixed(channels), DataLoader(data, 2, **loader), history, "A <run>", {"lr": 0.1})


def test_the_worst_mistakes_come_first():
    made = report()
    assert made.result.accuracy == 0.4 and made.result.confusion.sum() == 5
    found = [(right, answer, round(p, 3)) for _, right, answer, p in made.mistakes]
    e = np.exp(np.array([5.02, 4, 6]))  # 0.5, 0.4 and 0.6 of 255, rounded
    assert found[:2] == [(1, 0, 1.0), (0, 2, 1.0)] or found[:2] == [(0, 2, 1.0), (1, 0, 1.0)]
    assert found[2][:2] == (1, 2) and found[2][2] == pytest.approx(e[2] / e.sum(), abs=0.01)


def test_images_are_shown_as_they_were():
    plain, normalized = report(), report(mean=0.3, std=0.2)
    for image, right, *_ in plain.mistakes:
        assert image.min() >= 0 and image.max() <= 1
        assert any(
            np.allclose(image, other, atol=1e-6) for other, its, *_ in normalized.mistakes
            if its == right
        )  # fmt: skip


def test_many_mistakes_are_cut():
    data = images([[1, 0, 0]] * 40, [1] * 40)
    assert len(Report(Fixed(), DataLoader(data, 7), []).mistakes) == MISTAKES


def test_the_page_is_whole_and_escaped():
    page = report().html()
    assert page.startswith("<!doctype html>") and page.endswith("</html>\n")
    assert "A &lt;run&gt;" in page and "dog &amp; &lt;co&gt;" in page and "<run>" not in page
    assert "40.00% of 5 test images right" in page
    assert page.count("data:image/png;base64,") == 4
    assert not re.search(r'(src|href)="(?!data:)', page)  # nothing is fetched
    assert report(history=[]).html().count("data:image/png") == 3


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("history", [HISTORY, []])
def test_the_picture(channels, history, tmp_path):
    path = report(channels, history).save(tmp_path / "report.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert [p.name for p in tmp_path.iterdir()] == ["report.png"]


def test_no_convolution_and_no_mistakes(tmp_path):
    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(2, 2)

        def forward(self, x):
            return x[:, 0, 0, :3]

    data = images(SCORES[:2], [0, 1])
    made = Report(Plain(), DataLoader(data, 2), HISTORY)
    texts = [text.get_text() for place in _figures(made.picture()) for text in place.texts]
    assert "this net has no convolution" in texts and "no mistakes" in texts


def _figures(figure):
    for part in figure.subfigs:
        yield part
        yield from _figures(part)


def test_filters_as_a_picture():
    w = np.zeros((3, 1, 2, 2))
    w[0, 0, 0, 0], w[1, 0, 1, 1] = 2.0, -1.0
    picture = plots.filters(w, columns=2)
    assert picture.shape == (5, 5, 3)
    np.testing.assert_array_equal(picture[0, 0], [1, 0, 0])  # the largest: red
    np.testing.assert_array_equal(picture[1, 4], [0.5, 0.5, 1])  # half as far below: light blue
    np.testing.assert_array_equal(picture[0, 1], [1, 1, 1])
    colour = plots.filters(np.random.default_rng(0).normal(size=(5, 3, 4, 4)), columns=4)
    assert colour.shape == (9, 19, 3) and colour.min() >= 0 and colour.max() <= 1
    assert plots.filters(np.zeros((2, 5, 3, 3)), columns=5).shape == (7, 19, 3)


def test_confusion_of_many_classes_has_no_numbers():
    for K, legible in ((3, True), (40, False)):
        ax = plots.figure(3, 3).subplots()
        plots.confusion(np.eye(K, dtype=int), [str(k) for k in range(K)], ax)
        assert bool(ax.texts) is legible


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"need matplotlib, .* pip install 'minicnn\[plots\]'"):
        report().picture()


# ---------------------------------------------------------------------------
# The command
# ---------------------------------------------------------------------------
def test_report_of_a_run(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    whole = data_module.load
    few = lambda name, split="train", size=None: whole(name, split, size=size)[:48]  # noqa: E731
    monkeypatch.setattr("minicnn.training.run.load", few)
    assert main(["train", "lenet", "--epochs", "1", "--out", "here", "--quiet"]) == 0
    capsys.readouterr()
    assert main(["report", "here"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "saved here/report.html",
        "saved here/report.png",
    ]
    page = (tmp_path / "here" / "report.html").read_text(encoding="utf-8")
    assert "lenet on digits" in page and "of 360 test images right" in page


RECORD = ("parameters", "seconds", "minicnn", "numpy", "python", "epochs")


def test_report_of_nothing(capsys, tmp_path):
    assert main(["report", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert "history.json: there is no such file; give the folder of a run" in err
    for text in ("{", "{}", "[]", '{"settings": {"model": "lenet"}}'):
        (tmp_path / "history.json").write_text(text, encoding="utf-8")
        assert main(["report", str(tmp_path)]) == 2
        assert "history.json is no record of a run" in capsys.readouterr().err
    (tmp_path / "history.json").write_text(
        json.dumps(dict.fromkeys(RECORD, 0) | {"settings": {"model": "lenet", "data": "digits"}}),
        encoding="utf-8",
    )
    assert main(["report", str(tmp_path)]) == 2
    assert "weights.safetensors: there is no such file" in capsys.readouterr().err


def test_the_model_is_left_in_its_mode():
    manual_seed(0)
    model = Fixed().train()
    Report(model, DataLoader(images(SCORES, [0] * 5), 2), [])
    assert model.training
    assert isinstance(model(Tensor(np.zeros((1, 1, 5, 5)))), Tensor)
