"""What the benchmarks of the GPU and of the CPU share: a time budget, a commit, a result's file."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"


class Clock:
    """What is left of a time budget, in seconds."""

    def __init__(self, seconds):
        self.end = time.monotonic() + seconds

    @property
    def left(self):
        return self.end - time.monotonic()


def commit() -> str:
    """The commit that is measured, "+" if files differ from it."""
    command = ["git", "-C", str(HERE), "describe", "--always", "--dirty=+"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


def write(result, folder) -> Path:
    """The result as a JSON file named after date and device, at once whole."""
    folder.mkdir(parents=True, exist_ok=True)
    name = "".join(c if c.isalnum() else "-" for c in result["machine"]["device"].lower())
    path = folder / f"{result['machine']['date']}-{name}.json"
    new = path.with_suffix(".new")
    new.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    os.replace(new, path)
    return path
