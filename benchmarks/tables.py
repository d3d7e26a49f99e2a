"""The results of gpu.py as tables: for the terminal, and, as a script, for kernels/README.md."""

from __future__ import annotations

import json
import math
import os
from collections import defaultdict
from pathlib import Path

from minicnn.backends.cuda import convolution, matmul

LARGEST_ERROR = {False: 1e-4, True: 1e-2}  # of a result in float32, and in TF32


def better(row):
    """The peer's time in the better of its layouts."""
    return min(row["cudnn_ms"].values())


def ratio(row):
    """The peer's time over ours: above 1 ours is faster."""
    return better(row) / row["ms"]


def geometric_mean(numbers):
    """exp of the mean logarithm."""
    numbers = list(numbers)
    return math.exp(sum(map(math.log, numbers)) / len(numbers)) if numbers else math.nan


def speed(rows, peak):
    """Multiplications and additions of the definition in a second, and their share of the peak."""
    tflops = sum(r["tflops"] * r["ms"] for r in rows) / sum(r["ms"] for r in rows)
    return f"{tflops:.1f} ({tflops / peak:.0%})" if peak else f"{tflops:.1f}"


def wrong(result):
    """Rows whose error is larger than its precision explains."""
    rows = [*result["conv"], *result["layers"]]
    bad = [row for row in rows if not row["error"] <= LARGEST_ERROR[row["tf32"]]]
    bad += [row for row in result["matmul"]
            if not row["error"] <= LARGEST_ERROR[row["rung"] == "tf32"]]  # fmt: skip
    return bad


def markdown(head, rows):
    """A table; numbers to the right."""
    lines = [head, ["---", *["--:"] * (len(head) - 1)]]
    lines += [[*row, *[""] * (len(head) - len(row))] for row in rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def matmul_table(result):
    """Rungs down, sizes across: TFLOP/s, and the share of cuBLAS."""
    sizes = list(dict.fromkeys((r["M"], r["N"], r["K"]) for r in result["matmul"]))
    by_rung = defaultdict(dict)
    for r in result["matmul"]:
        share = f" ({r['cublas_ms'] / r['ms']:.0%})" if r["cublas_ms"] else ""
        by_rung[r["rung"]][r["M"], r["N"], r["K"]] = f"{r['tflops']:.1f}{share}"
    rows = [[rung, *(of.get(size, "") for size in sizes)] for rung, of in by_rung.items()]
    rows += [[rung, "not in this run"] for rung in matmul.RUNGS if rung not in by_rung]
    return markdown(["rung", *("×".join(map(str, size)) for size in sizes)], rows)


def conv_table(result, direction):
    """Rungs down, layers across: ms, and the ratio to cuDNN."""
    rows = [r for r in result["conv"] if r["direction"] == direction]
    names = list(dict.fromkeys(_layer(r) for r in rows))
    by_rung = defaultdict(dict)
    for r in rows:
        beside = f" ({ratio(r):.2f})" if r["cudnn_ms"] else ""
        by_rung[r["algorithm"]][_layer(r)] = f"{r['ms']:.3g} ms{beside}"
    body = [[rung, *(of.get(name, "") for name in names)] for rung, of in by_rung.items()]
    body += [[rung, "not in this run"] for rung in convolution.RUNGS if rung not in by_rung]
    return markdown([direction, *names], body)


def _layer(r):
    return f"{r['C']}→{r['O']} {r['KH']}×{r['KW']}/{r['SH']} @{r['H']}"


def layers_table(result):
    """Nets down, directions across: the geometric mean of cuDNN's time over ours; our speed."""
    body, directions = [], ("forward", "input gradient", "weight gradient")
    for tf32 in (False, True):
        kind = "TF32" if tf32 else "fp32"
        rows = [r for r in result["layers"] if r["tf32"] == tf32]
        for net in [*dict.fromkeys(r["net"] for r in rows), "all"] if rows else []:
            of_net = [r for r in rows if net in (r["net"], "all")]
            parts = [[r for r in of_net if r["direction"] == d] for d in directions]
            body.append([
                f"{net}, {kind}", max(map(len, parts)),
                *(f"{geometric_mean(map(ratio, p)):.2f}" if p else "–" for p in (*parts, of_net)),
                speed(of_net, result["peak_tflops"].get(kind.lower())),
            ])  # fmt: skip
    head = ["net", "layers", *directions, "all", "TFLOP/s (share of cuBLAS's best)"]
    return markdown(head, body)


def sections(result):
    """(heading, table) for each part that was measured."""
    m = result["machine"]
    peak = ", ".join(f"{t:.1f} TFLOP/s in {k}" for k, t in result["peak_tflops"].items())
    yield (
        f"{m['device']}, {m['date']}, CUDA {m['cuda_runtime']}, PyTorch {m['torch']}",
        " ".join(filter(None, [peak and f"cuBLAS reached {peak} here.", result.get("note")])),
    )
    if result["layers"]:
        yield "All layers, chosen by shape: cuDNN's time over ours", layers_table(result)
    if result["matmul"]:
        yield "Matrix product: TFLOP/s (share of cuBLAS, where it was timed)", matmul_table(result)
    for direction in ("forward", "input gradient", "weight gradient"):
        if result["conv"]:
            yield (
                f"Convolution, {direction}: time (cuDNN's time over ours, where it was timed)",
                conv_table(result, direction),
            )


def report(result) -> str:
    """What gpu.py prints."""
    parts = [f"{heading}\n{text}" for heading, text in sections(result)]
    for row in wrong(result):
        parts.append(f"WRONG, error {row['error']:.1e}: {row}")
    if result["not_run"]:
        parts.append("Not run:\n" + "\n".join(f"- {line}" for line in result["not_run"]))
    return "\n\n".join(parts)


# ---------------------------------------------------------------------------
# kernels/README.md
# ---------------------------------------------------------------------------
HERE = Path(__file__).resolve().parent
README = HERE.parent / "kernels" / "README.md"
START, END = "<!-- measured: written by benchmarks/tables.py -->", "<!-- end of measured -->"
NOTHING = "Not yet run on a GPU. `make gpu` fills this in, on a machine that has one."


def measured(results=HERE / "results") -> str:
    """The newest result as Markdown, or a line that says that there is none."""
    files = sorted(path for path in results.glob("*.json") if "-cpu-" not in path.name)
    if not files:
        return NOTHING
    result = json.loads(files[-1].read_text(encoding="utf-8"))
    parts = [f"**{heading}**\n\n{text}" for heading, text in sections(result)]
    return "\n\n".join(parts)


def renewed(readme: str, text: str) -> str:
    """The README with `text` between its two marks."""
    before, start, rest = readme.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise ValueError(f"kernels/README.md lacks its marks {START!r} and {END!r}; put them back")
    return f"{before}{START}\n{text}\n{END}{after}"


if __name__ == "__main__":
    new = README.with_suffix(".new")
    new.write_text(renewed(README.read_text(encoding="utf-8"), measured()), encoding="utf-8")
    os.replace(new, README)
