"""The report of a training: how it went and what the net gets wrong, as one page or one picture.

    from minicnn.training.report import Report

    report = Report(model, test_loader, trainer.history, title="LeNet on digits")
    report.save("report.html")           # or .png, .pdf, .svg
"""

from __future__ import annotations

import base64
import io
from html import escape
from pathlib import Path

import numpy as np

from minicnn.interop import write_file
from minicnn.nn.graph import evaluating
from minicnn.tensor import Tensor, no_grad
from minicnn.training import plots
from minicnn.training.metrics import Evaluation

MISTAKES = 16
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 60rem; margin: 2rem auto;
       padding: 0 1rem; }
h1 { margin-bottom: 0 } h2 { margin: 2.5rem 0 .5rem; border-bottom: 1px solid #ddd }
.result { font-size: 1.2rem; margin: .2rem 0 1rem } img { max-width: 100% }
table { border-collapse: collapse } td, th { padding: .1rem 1.2rem .1rem 0; text-align: left }
td.number { text-align: right; font-variant-numeric: tabular-nums } p.note { color: #666 }
"""


class Report:
    """What a trained net does with test images, beside how it was trained.

    Parameters
    ----------
    model : Module
    loader : DataLoader
        Of the images to test with.
    history : list of dict
        The trainer's; may be empty.
    title : str
    settings : dict, optional
        Shown as a table.

    Attributes
    ----------
    result : Evaluation
        Without a loss.
    mistakes : list of (image (C, H, W) in 0..1, right class, answer, its probability)
        The net's worst: those with the smallest probability for the right class, worst first.
    """

    def __init__(self, model, loader, history, title="Training", settings=None):
        self.model, self.history, self.title = model, history, title
        self.settings = settings or {}
        self.classes = loader.dataset.classes
        self.result = Evaluation()
        self.mistakes = self._examine(loader)

    @no_grad()
    def _examine(self, loader):
        found = []  # (probability of the right class, image, right class, answer, probability)
        parameter = next(self.model.parameters())
        with evaluating(self.model):
            for x, y in loader:
                scores = self.model(Tensor(x).to(parameter.device).to(parameter.dtype))
                scores = scores[0] if isinstance(scores, tuple) else scores
                self.result.add(0.0, scores, y)
                p = _softmax(scores.numpy().astype(np.float64))
                answers = p.argmax(axis=1)
                for k in np.flatnonzero(answers != y):
                    one = _seen(x[k], loader), int(y[k]), int(answers[k]), p[k].max()
                    found.append((p[k, y[k]], *one))
                found = sorted(found, key=lambda mistake: mistake[0])[:MISTAKES]
        return [tuple(mistake) for _, *mistake in found]

    def save(self, path) -> Path:
        """Write the page (".html") or the picture (".png", ".pdf", ".svg"); returns its path.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        OSError
            If it cannot be written; an older file stays as it was.
        """
        path = Path(path)
        if path.suffix == ".html":
            content = self.html().encode()
        else:
            content = _bytes(self.picture(), path.suffix.removeprefix(".") or "png")
        write_file(path, content)
        return path

    # -- pictures -----------------------------------------------------------
    def picture(self):
        """Everything in one matplotlib figure."""
        heights = (3, 5.5, 4.5) if self.history else (5.5, 4.5)
        whole = plots.figure(11, sum(heights))
        whole.suptitle(f"{self.title}: {self.summary()}", x=0.01, ha="left", fontsize=13)
        *top, middle, bottom = whole.subfigures(len(heights), 1, height_ratios=heights, hspace=0.04)
        for place in top:
            self._curves(place)
        left, right = middle.subfigures(1, 2, width_ratios=(3, 2))
        self._confusion(left)
        self._filters(right)
        self._mistakes(bottom)
        return whole

    def _curves(self, place):
        plots.curves(self.history, place.subplots(1, 2))

    def _confusion(self, place):
        ax = place.subplots()
        plots.confusion(self.result.confusion, self.classes, ax)
        ax.set_title("Confusion: numbers of images", loc="left", fontsize=10)

    def _filters(self, place):
        found = [(name, p) for name, p in self.model.named_parameters() if p.ndim == 4]
        if not found:
            _note(place, "this net has no convolution")
            return
        name, weight = found[0]
        ax = place.subplots()
        count = weight.shape[0] * (1 if weight.shape[1] == 3 else weight.shape[1])
        columns = max(2, round(count**0.5))
        ax.imshow(plots.filters(weight.numpy(), columns), interpolation="nearest")
        colours = "" if weight.shape[1] == 3 else "; blue under 0, red over 0"
        ax.set_title(f"Filters {name}{colours}", loc="left", fontsize=10)
        ax.set_axis_off()

    def _mistakes(self, place):
        if not self.mistakes:
            _note(place, "no mistakes")
            return
        axes = place.subplots(2, MISTAKES // 2).ravel()
        for ax in axes:
            ax.set_axis_off()
        for ax, (image, right, answer, p) in zip(axes, self.mistakes):
            plots.image(image, ax)
            ax.set_title(_short(self.classes[right]), fontsize=9)
            ax.text(
                0.5, -0.04, f"{_short(self.classes[answer])} {p:.0%}", color=plots.WRONG,
                fontsize=9, ha="center", va="top", transform=ax.transAxes,
            )  # fmt: skip
        place.suptitle(
            "Worst mistakes: above the right class, below the net's answer and how sure it was",
            x=0.01, ha="left", fontsize=10,
        )  # fmt: skip

    # -- the page -----------------------------------------------------------
    def summary(self) -> str:
        """The result in one line."""
        top5 = f", {self.result.top5:.2%} among the five best" if len(self.classes) > 10 else ""
        return f"{self.result.accuracy:.2%} of {self.result.images:,} test images right{top5}"

    def html(self) -> str:
        """The page: one file, with everything in it."""
        sections = [
            ("Curves", self._embedded(self._curves, 9, 3.2) if self.history else ""),
            ("Classes", self._class_table()),
            ("Confusion", self._embedded(self._confusion, 7, 6)),
            ("Worst mistakes", self._embedded(self._mistakes, 10, 4)),
            ("First filters", self._embedded(self._filters, 4, 4)),
            ("Settings", self._settings_table()),
        ]
        body = "\n".join(f"<h2>{name}</h2>\n{content}" for name, content in sections if content)
        return (
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            f"<title>{escape(self.title)}</title><style>{STYLE}</style></head>\n<body>"
            f'<h1>{escape(self.title)}</h1>\n<p class="result">{escape(self.summary())}</p>\n'
            f"{body}\n</body></html>\n"
        )

    def _embedded(self, draw, width, height) -> str:
        drawn = plots.figure(width, height)
        draw(drawn)
        data = base64.b64encode(_bytes(drawn, "png")).decode()
        name = escape(draw.__name__.strip("_"))
        return f'<img alt="{name}" width="{int(96 * width)}" src="data:image/png;base64,{data}">'

    def _class_table(self) -> str:
        counts, matrix = self.result.confusion.sum(axis=1), self.result.confusion
        rows = ["<tr><th>class</th><th>images</th><th>right</th><th>most often taken for</th></tr>"]
        order = np.argsort(self.result.class_accuracy, kind="stable")  # NaN last
        for k in order:
            others = matrix[k] * (np.arange(len(matrix)) != k)
            worst = others.argmax()
            taken = f"{self.classes[worst]} ({others[worst]})" if others[worst] else ""
            share = f"{self.result.class_accuracy[k]:.1%}" if counts[k] else ""
            rows.append(
                f'<tr><td>{escape(str(self.classes[k]))}</td><td class="number">{counts[k]:,}</td>'
                f'<td class="number">{share}</td><td>{escape(taken)}</td></tr>'
            )
        return f"<table>{''.join(rows)}</table>"

    def _settings_table(self) -> str:
        rows = [
            f"<tr><td>{escape(str(name))}</td><td>{escape(str(value))}</td></tr>"
            for name, value in self.settings.items()
        ]
        return f"<table>{''.join(rows)}</table>" if rows else ""


def _softmax(scores):
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def _seen(x, loader):
    """An image of a batch as it was before the loader's normalization, in 0..1."""
    std = 1 if loader.std is None else loader.std
    mean = 0 if loader.mean is None else loader.mean
    pixels = np.moveaxis(x, -3, -1) * std + mean
    return np.clip(np.moveaxis(pixels, -1, -3), 0, 1)


def _short(name) -> str:
    return name if len(name) <= 13 else f"{name[:12]}…"


def _bytes(drawn, kind) -> bytes:
    file = io.BytesIO()
    drawn.savefig(file, format=kind, dpi=120)
    return file.getvalue()


def _note(place, text):
    place.text(0.5, 0.5, text, ha="center", va="center", color="grey")
