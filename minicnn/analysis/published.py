"""Published results of the ILSVRC challenge: figures to compare with, none of them minicnn's.

`print(ILSVRC)` shows them as a table. What single nets reach with the weights that are handed out
today stands with each model (`minicnn.models.info`), and `compare` shows that.
"""

from __future__ import annotations

from dataclasses import dataclass

PAPERS = {
    "alexnet": "Krizhevsky, Sutskever, Hinton 2012, Table 2",
    "ilsvrc": "Russakovsky et al. 2015 (the challenge's own report)",
    "vgg": "Simonyan and Zisserman 2014, Table 7",
    "googlenet": "Szegedy et al. 2014, Table 2",
    "resnet": "He, Zhang, Ren, Sun 2015, Table 5",
    "trimps": "Trimps-Soushen, talk at the ILSVRC workshop 2016",
    "senet": "Hu, Shen, Sun 2018",
}


@dataclass(frozen=True)
class Result:
    """One published error.

    Attributes
    ----------
    net : str
    year : int
        Of the challenge.
    top5 : float
        Error in percent: the right class is not among the first five guesses.
    split : "test" or "validation"
        The images it was found on. Those of the test are secret: a figure on them is the
        challenge's, one on validation is the authors' own.
    nets : str
        "one net", or how many took part in an ensemble.
    source : str
    """

    net: str
    year: int
    top5: float
    split: str
    nets: str
    source: str


class Results(tuple):
    """Published errors; printed, a table."""

    def __str__(self):
        head = ("net", "year", "top-5 error", "found on", "nets", "source")
        rows = [(r.net, str(r.year), f"{r.top5:g}%", r.split, r.nets, r.source) for r in self]
        widths = [max(map(len, column)) for column in zip(head, *rows)]
        lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths)).rstrip() for row in
                 (head, *rows)]  # fmt: skip
        return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])

    __repr__ = __str__


def _results():
    for net, year, top5, split, nets, source in (
        ("AlexNet", 2012, 16.4, "test", "5 nets", "alexnet"),
        ("AlexNet", 2012, 18.2, "validation", "one net", "alexnet"),
        ("AlexNet, more data", 2012, 15.4, "validation", "7 nets", "alexnet"),
        ("ZFNet (as Clarifai)", 2013, 11.7, "test", "several nets", "ilsvrc"),
        ("VGG", 2014, 7.3, "test", "7 nets", "vgg"),
        ("GoogLeNet", 2014, 6.7, "test", "7 nets", "googlenet"),
        ("ResNet", 2015, 3.57, "test", "6 nets", "resnet"),
        ("Inception-v3", 2016, 4.20, "validation", "one net", "trimps"),
        ("Inception-v4", 2016, 4.01, "validation", "one net", "trimps"),
        ("Inception-ResNet-v2", 2016, 3.52, "validation", "one net", "trimps"),
        ("ResNet-200", 2016, 4.26, "validation", "one net", "trimps"),
        ("Wide ResNet-68-3", 2016, 4.65, "validation", "one net", "trimps"),
        ("fusion of these five", 2016, 2.92, "validation", "5 nets", "trimps"),
        ("fusion of these five", 2016, 2.99, "test", "5 nets", "trimps"),
        ("SENet", 2017, 2.25, "test", "several nets", "senet"),
        ("a trained person", 2014, 5.1, "test", "one person", "ilsvrc"),
    ):
        yield Result(net, year, top5, split, nets, PAPERS[source])


ILSVRC = Results(_results())
