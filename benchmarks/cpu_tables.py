"""The results of cpu.py as tables."""

from __future__ import annotations

from collections import defaultdict

from benchmarks.tables import geometric_mean, markdown
from benchmarks.worker import PLAIN

OURS, NCHW, CHANNELS_LAST = "minicnn", "NCHW", "channels-last"
LARGEST = {"scores": 1e-3, "loss": 1e-3, "gradients": 2e-2}  # differences that rounding explains
LARGEST_LAYER = 1e-4
MENTIONED = 12  # things that were not run, by name; the JSON file names them all
MODES = {"train": "training step", "infer": "inference"}


def ratio(row, peer=None, key="ms", ours=OURS):
    """PyTorch's time in a layout, or in its better one, over ours: above 1 ours is faster."""
    times = row[key]
    return (times[peer] if peer else min(times[NCHW], times[CHANNELS_LAST])) / times[ours]


def memory_ratio(row):
    """Our most memory over that of PyTorch's more frugal layout, beyond the library's own."""
    own = {name: most - before for name, (before, most) in row["memory_mb"].items()}
    return own[OURS] / max(min(mb for name, mb in own.items() if name != OURS), 1e-9)


def wrong(result):
    """Rows whose answers differ by more than rounding explains."""
    bad = [
        row for row in result["nets"]
        if any(not row["errors"][key] <= most for key, most in LARGEST.items())
    ]  # fmt: skip
    return bad + [row for row in result["layers"] if not row["error"] <= LARGEST_LAYER]


def progress(row):
    """A row in one line, while the benchmark runs."""
    times = ", ".join(f"{name} {ms:.4g} ms" for name, ms in row["ms"].items())
    threads = f", threads {row['threads']}" if "threads" in row else ""
    return f"{row['net']}, {row['mode']}, batch {row['batch']}{threads}: {times}"


def nets_table(result):
    """A line a net and mode: times, ratios, memory."""
    head = ["net", "batch", "minicnn, ms", "NCHW, ms", "channels-last, ms", "against NCHW",
            "against channels-last", "against the better", "by least times", "NumPy alone",
            "memory, MB", "PyTorch's, MB", "ratio beyond imports"]  # fmt: skip
    body = []
    for row in result["nets"]:
        memory = row["memory_mb"]
        body.append([
            f"{row['net']}, {MODES[row['mode']]}", row["batch"],
            *(f"{row['ms'][name]:.4g}" for name in (OURS, NCHW, CHANNELS_LAST)),
            *(f"{ratio(row, peer):.2f}" for peer in (NCHW, CHANNELS_LAST, None)),
            f"{ratio(row, key='least_ms'):.2f}", plain([row]),
            f"{memory[OURS][1]:.0f}", f"{memory[NCHW][1]:.0f} / {memory[CHANNELS_LAST][1]:.0f}",
            f"{memory_ratio(row):.2f}",
        ])  # fmt: skip
    means = [
        f"{geometric_mean(ratio(row, peer, key) for row in result['nets']):.2f}"
        for peer, key in ((NCHW, "ms"), (CHANNELS_LAST, "ms"), (None, "ms"), (None, "least_ms"))
    ]
    body.append(["geometric mean", "", "", "", "", *means, plain(result["nets"]), "", "", ""])
    return markdown(head, body)


def plain(rows):
    """The better layout's time over that of NumPy alone, where it was measured: the mean."""
    found = [ratio(row, ours=PLAIN) for row in rows if PLAIN in row["ms"]]
    return f"{geometric_mean(found):.2f}" if found else ""


def scaling_table(result, mode):
    """A line a batch size and number of threads: milliseconds an image."""
    body = []
    for row in result["scaling"]:
        if row["mode"] == mode:
            each = [f"{row['ms'][name] / row['batch']:.4g}" for name in (OURS, NCHW, CHANNELS_LAST)]
            body.append([row["batch"], row["threads"], *each, f"{ratio(row):.2f}"])
    head = ["batch", "threads", "minicnn, ms an image", "NCHW", "channels-last",
            "against the better"]  # fmt: skip
    return markdown(head, body)


def layers_table(result):
    """Nets down, directions across: the geometric mean of the better peer's time over ours."""
    rows, body = result["layers"], []
    for net in [*dict.fromkeys(row["net"] for row in rows), "all"]:
        parts = defaultdict(list)
        for row in rows:
            if net in (row["net"], "all"):
                parts[row["direction"]].append(ratio(row))
        means = [f"{geometric_mean(part):.2f}" for part in parts.values()]
        body.append([net, len(parts["forward"]), *means])
    return markdown(["net", "layers", *dict.fromkeys(row["direction"] for row in rows)], body)


def overhead_table(result):
    """A line an operation, in microseconds."""
    body = [
        [row["operation"], *(f"{row[key]:.0f}" for key in ("whole_us", "tape_us", "pytorch_us"))]
        for row in result["overhead"]
    ]
    head = ["operation", "whole call, us", "of it tape and checks", "PyTorch's whole call"]
    return markdown(head, body)


def sections(result):
    """(heading, table) for each part that was measured."""
    m = result["machine"]
    busy = f", while other work ran (load {m['load_before']:.1f})" if m["loaded"] else ""
    yield (
        f"{m['device']}, {m['cores']} cores, {m['threads']} threads, {m['date']}{busy}",
        f"minicnn {m['commit']} ({m['backend']}), NumPy {m['numpy']}, PyTorch {m['torch']}. "
        "A ratio is PyTorch's time over ours: above 1 minicnn is faster.",
    )
    if result["nets"]:
        yield "Nets", nets_table(result)
    for mode, words in MODES.items():
        if any(row["mode"] == mode for row in result["scaling"]):
            yield f"{result['scaling'][0]['net']}, {words}", scaling_table(result, mode)
    if result["layers"]:
        yield "Convolution layers: the better of PyTorch's times over ours", layers_table(result)
    if result.get("overhead"):
        yield "Operations on tiny arrays (4 channels of 6x6 pixels), one thread", (
            overhead_table(result)
        )


def report(result) -> str:
    """What cpu.py prints."""
    parts = [f"{heading}\n\n{text}" for heading, text in sections(result)]
    parts += [f"WRONG: {row}" for row in wrong(result)]
    if left := result["not_run"]:
        lines = left[:MENTIONED]
        if len(left) > MENTIONED:
            lines.append(f"and {len(left) - MENTIONED} more")
        parts.append("Not run:\n" + "\n".join(f"- {line}" for line in lines))
    return "\n\n".join(parts)
