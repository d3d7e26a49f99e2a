"""What came out of an experiment: numbers in a JSON file, and what a reader sees of them."""

from __future__ import annotations

import io
import json
import math
import os
import platform
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import minicnn
from minicnn.interop import write_file
from minicnn.training import plots
from minicnn.training.experiments.experiment import Experiment

HERE = Path(__file__).parent / "results"
DIGITS = 6  # significant ones that are kept


@dataclass(frozen=True)
class Results:
    """The measures of all runs of an experiment.

    Attributes
    ----------
    experiment : str
    runs : list of dict
        variant, seed, seconds, cpu_seconds, and the variant's measures.
    machine : dict
        What they ran on.
    """

    experiment: str
    runs: list[dict]
    machine: dict

    def of(self, variant: str) -> list[dict]:
        """The runs of a variant, one for each seed."""
        return [run for run in self.runs if run["variant"] == variant]

    def values(self, variant: str, measure: str) -> list:
        """A measure of a variant for each seed."""
        return [run[measure] for run in self.of(variant)]

    def mean(self, variant: str, measure: str):
        """The mean over the seeds; of lists, place by place."""
        return np.mean(self.values(variant, measure), axis=0)

    def curve(self, variant: str, name: str) -> np.ndarray:
        """A number of the history by epoch, the mean over the seeds."""
        histories = self.values(variant, "history")
        return np.mean([[entry[name] for entry in h] for h in histories], axis=0)

    @property
    def seeds(self) -> list[int]:
        return sorted({run["seed"] for run in self.runs})

    @property
    def seconds(self) -> float:
        """Of all runs together."""
        return sum(run["seconds"] for run in self.runs)

    # -- files --------------------------------------------------------------
    def to_json(self) -> str:
        """As text; a line for each run."""
        runs = ",\n    ".join(json.dumps(rounded(run), allow_nan=False) for run in self.runs)
        return (
            f'{{\n  "experiment": {json.dumps(self.experiment)},\n'
            f'  "machine": {json.dumps(self.machine)},\n  "runs": [\n    {runs}\n  ]\n}}\n'
        )

    @classmethod
    def read(cls, path) -> Results:
        """From a file; ValueError if it is no such file."""
        try:
            saved = json.loads(Path(path).read_text(encoding="utf-8"))
            return cls(saved["experiment"], saved["runs"], saved["machine"])
        except (json.JSONDecodeError, KeyError, TypeError):
            raise ValueError(f"{path} holds no results of an experiment; run it again") from None


def committed(name: str) -> Results | None:
    """The results that minicnn comes with, or None if this experiment has none yet."""
    path = HERE / f"{name}.json"
    return Results.read(path) if path.is_file() else None


def rounded(value):
    """Numbers with six significant digits, in whatever holds them."""
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(v) for v in value]
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.{DIGITS}g}")
    return int(value) if isinstance(value, np.integer) else value


def this_machine(device: str, quick: bool) -> dict:
    """What results depend on beside the experiment."""
    return {
        "device": device,
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": minicnn.get_num_threads(),
        "backend": minicnn.current_backend() if device == "cpu" else "cuda",
        "minicnn": minicnn.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "system": platform.system(),
        **({"quick": True} if quick else {}),
    }


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        names = [
            line.split(":", 1)[1].strip() for line in text.splitlines() if "model name" in line
        ]
        return names[0]
    except (OSError, IndexError):
        return platform.processor() or platform.machine()


# ---------------------------------------------------------------------------
# For a reader
# ---------------------------------------------------------------------------
def save(experiment: Experiment, results: Results, folder, stem: str) -> list[Path]:
    """Write STEM.json, STEM.md and STEM.png; returns their paths. OSError if one cannot be."""
    folder = Path(folder)
    contents = {
        "json": results.to_json().encode(),
        "md": page(experiment, results).encode(),
        "png": picture(experiment, results),
    }
    for kind, content in contents.items():
        write_file(folder / f"{stem}.{kind}", content)
    return [folder / f"{stem}.{kind}" for kind in contents]


def page(experiment: Experiment, results: Results) -> str:
    """Question, table, claims and circumstances, in Markdown."""
    parts = [f"# {experiment.title}", experiment.question, table(experiment, results)]
    if not results.machine.get("quick"):  # a few steps bear out nothing
        claims = experiment.claims(results)
        parts.append("\n".join(f"- {'Yes' if c.holds else '**No**'}: {c.text}" for c in claims))
    return "\n\n".join([*parts, experiment.setup, circumstances(results)]) + "\n"


def table(experiment: Experiment, results: Results) -> str:
    """A row for each variant, numbers as means over the seeds with their standard deviation."""
    rows = [["run", *(column.heading for column in experiment.columns)]]
    for variant in experiment.variants:
        rows.append([variant, *(_cell(c, results, variant) for c in experiment.columns)])
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = [
        f"| {row[0]:<{widths[0]}} | "
        + " | ".join(f"{cell:>{w}}" for cell, w in zip(row[1:], widths[1:])) + " |"
        for row in rows
    ]  # fmt: skip
    ruler = f"|{'-' * (widths[0] + 2)}|" + "|".join(f"{'-' * (w + 1)}:" for w in widths[1:]) + "|"
    return "\n".join([lines[0], ruler, *lines[1:]])


def _cell(column, results, variant) -> str:
    values = [run[column.measure] for run in results.of(variant) if column.measure in run]
    if not values:
        return "–"
    text = column.form.format(np.mean(values))
    return text if len(values) == 1 else f"{text} ± {column.form.format(np.std(values, ddof=1))}"


def circumstances(results: Results) -> str:
    """With which seeds, where and how long."""
    m, seeds = results.machine, results.seeds
    cpu = sum(run["cpu_seconds"] for run in results.runs)
    few = "A quick run, of a few images: its numbers mean nothing. " if m.get("quick") else ""
    spread = ", the numbers are means ± standard deviations over them" if len(seeds) > 1 else ""
    return (
        f"{few}Seed{'s'[: len(seeds) > 1]} {', '.join(map(str, seeds))}{spread}. "
        f"{duration(results.seconds)}, {duration(cpu)} of processor time, on {m['device']} "
        f"({m['processor']}, {m['cores']} cores, {m['backend']}); minicnn {m['minicnn']}, "
        f"NumPy {m['numpy']}, Python {m['python']}. "
        f"`minicnn experiment {results.experiment}` does it again."
    )


def picture(experiment: Experiment, results: Results) -> bytes:
    """The figure as a PNG file; ImportError without matplotlib."""
    figure = plots.figure(*experiment.size)
    experiment.draw(results, figure)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110, metadata={"Software": None})
    return file.getvalue()


def duration(seconds: float) -> str:
    """In words that a person can use: "40 s", "12 min", "3 h 20 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
