"""minicnn beside PyTorch on a CPU, in one command: `make bench`, or `python -m benchmarks.cpu`.

1. Six nets, a training step and inference each: LeNet, the course's CIFAR net, VGG-16, ResNet-18,
   GoogLeNet without auxiliary heads, MobileNet v2. A training step is forward, loss, backward and
   SGD with momentum. First the answers are compared: scores, loss, gradients.
2. The most memory that a process of its own needs for each.
3. ResNet-18 by batch size, and by the number of threads.
4. The convolution layers of four nets, forward and both gradients.
5. What the tape adds to an operation on tiny arrays.

Peers are PyTorch in its two memory layouts, eager, at the same number of threads; and for the nets
minicnn without a C++ compiler, NumPy alone. Each runs in a
process of its own, which lives on; they take turns, and a time is the median of the turns. The
machine may have other work: the load before the start and the least time of each are written
down, too. What was not run is named, with the reason.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import re
import statistics
import sys
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

from benchmarks import common, cpu_tables, worker
from benchmarks.layers import layers
from benchmarks.nets import BY_NAME, NETS
from benchmarks.worker import DIRECTIONS, PEERS, PLAIN, Worker
from minicnn.backends import CHOICES, current_backend

MODES = ("train", "infer")
TURN = 0.15  # seconds that one turn takes at least
SCALED = "resnet18"
BATCHES = (1, 2, 4, 8, 16, 32, 64)


def main(argv=None) -> int:
    """Run, write a JSON file, print the tables; 1 if the answers differ."""
    options = arguments(argv)
    clock = common.Clock(60 * options.minutes)
    result = {"machine": machine(options), "not_run": [], "nets": [], "scaling": [], "layers": [],
              "overhead": overhead(options)}  # fmt: skip
    for net in NETS:
        if not options.nets or net.name in options.nets:
            result["nets"] += measure_net(net, options, clock, result["not_run"])
            common.write(result, options.out)  # whatever happens to the next
    if options.quick:
        result["not_run"].append("scaling and convolution layers: --quick leaves them out")
    else:
        result["scaling"] = scaling(options, clock, result["not_run"])
        result["layers"] = conv_layers(options, clock, result["not_run"])
    path, report = common.write(result, options.out), cpu_tables.report(result)
    path.with_suffix(".md").write_text(report + "\n", encoding="utf-8")
    print(f"{report}\n\nwritten: {path}, and these tables beside it")
    return 1 if cpu_tables.wrong(result) else 0


def arguments(argv):
    """The command line's settings."""
    about = __doc__.partition("\n\n")[0]
    parser = argparse.ArgumentParser(prog="benchmarks.cpu", description=about)
    parser.add_argument("--quick", action="store_true", help="the six nets only, few turns")
    parser.add_argument("--nets", nargs="+", choices=sorted(BY_NAME), help="only these nets")
    parser.add_argument("--minutes", type=float, default=20, help="time for everything (20)")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parser.add_argument("--threads", type=int, default=cores, help=f"for every peer ({cores})")
    parser.add_argument("--backend", choices=CHOICES, default=current_backend(),
                        help="of minicnn's (%(default)s)")  # fmt: skip
    parser.add_argument("--layer-batch", type=int, default=4, help="images in a layer's batch (4)")
    parser.add_argument("--out", type=Path, default=common.RESULTS)
    options = parser.parse_args(argv)
    options.turns = 3 if options.quick else 7
    try:
        version("torch")
    except ModuleNotFoundError:
        parser.exit(2, "benchmarks.cpu: PyTorch is not installed; `make bench` installs it\n")
    return options


def machine(options) -> dict:
    """What is measured on, and how busy it was before."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "date": datetime.date.today().isoformat(),
        "device": f"CPU {processor()}",
        "cores": os.cpu_count(),
        "threads": options.threads,
        "backend": options.backend,
        "load_before": load,
        "loaded": load is None or load > 0.3,
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "numpy": version("numpy"),
        "torch": version("torch"),
        "commit": common.commit(),
    }


def processor() -> str:
    """The processor's name."""
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    name = found.group(1) if found else platform.processor() or platform.machine()
    return re.sub(r"\((R|TM)\)", "", name).removesuffix("Processor").strip()


# ---------------------------------------------------------------------------
# Nets
# ---------------------------------------------------------------------------
def measure_net(net, options, clock, not_run) -> list[dict]:
    """Two rows: training step and inference."""
    if clock.left < 20:
        not_run.append(f"{net.name}: out of time")
        return []
    rows, peers = [], (*PEERS, PLAIN) if options.backend == "compiled" else PEERS
    with workers(options.threads, options.backend, peers) as team:
        for peer in team.values():
            peer(worker.build, net, net.batch)
        errors = compare({name: peer(worker.answers) for name, peer in team.items()})
        for mode in MODES:
            row = {"net": net.name, "mode": mode, "batch": net.batch, "errors": errors}
            rows.append(row | timed(team, options.turns, clock, worker.prepare, mode))
    for row in rows:
        row["memory_mb"] = memory(net, row["mode"], options)
        print(cpu_tables.progress(row), flush=True)
    return rows


class workers(ExitStack):  # noqa: N801 - used as a function
    """A worker for each peer, by name, as a context: they end together."""

    def __init__(self, threads, backend, peers=PEERS):
        super().__init__()
        self.team = {p: self.enter_context(Worker(p, threads, backend)) for p in peers}

    def __enter__(self):
        return self.team


def timed(team, turns, clock, prepare, *args) -> dict:
    """{"ms": median, "least_ms": smallest} of each peer; the peers take turns.

    A turn is as many calls as take TURN seconds, and one more before, which brings the data back
    into the caches and is not counted; its time is the median of its calls.
    """
    counts, found = {}, {name: [] for name in team}
    for name, peer in team.items():
        peer(prepare, *args)
        peer(worker.times, 2)
        (once,) = peer(worker.times, 1)
        counts[name] = max(1, min(1000, int(TURN / once)))
    for turn in range(turns):
        if turn >= 2 and clock.left < 5:
            break
        for name, peer in team.items():
            warm = 1 if counts[name] > 1 else 0
            found[name].append(statistics.median(peer(worker.times, warm + counts[name])[warm:]))
    return {
        "ms": {name: 1e3 * statistics.median(of) for name, of in found.items()},
        "least_ms": {name: 1e3 * min(of) for name, of in found.items()},
        "turns": min(map(len, found.values())),
    }


def compare(answers) -> dict:
    """The largest relative differences of our answers from others': scores, loss, gradients."""
    scores, loss, norms = answers[PEERS[0]]
    found = {"scores": 0.0, "loss": 0.0, "gradients": 0.0}
    for name in answers.keys() - {PEERS[0]}:
        their_scores, their_loss, their_norms = answers[name]
        if len(norms) != len(their_norms):
            raise ValueError(f"{name} has {len(their_norms)} parameters, minicnn {len(norms)}")
        size = max(their_norms)
        differences = {
            "scores": float(abs(scores - their_scores).max() / abs(their_scores).max()),
            "loss": abs(loss - their_loss) / abs(their_loss),
            "gradients": max(abs(a - b) for a, b in zip(norms, their_norms)) / size,
        }
        found = {key: max(found[key], differences[key]) for key in found}
    return found


def memory(net, mode, options) -> dict:
    """{peer: [MB before, most MB]} of processes that do nothing else."""
    found = {}
    for peer in PEERS:
        with Worker(peer, options.threads, options.backend) as process:
            found[peer] = process(worker.memory, net, mode, 3)
    return found


def overhead(options) -> list[dict]:
    """What the tape adds to an operation, and PyTorch's whole call, in microseconds."""
    with workers(1, options.backend, PEERS[:2]) as team:
        ours, theirs = (team[name](worker.overhead) for name in PEERS[:2])
    return [
        {"operation": name, "whole_us": whole, "tape_us": tape, "pytorch_us": theirs[name]}
        for name, (whole, tape) in ours.items()
    ]


# ---------------------------------------------------------------------------
# By batch size and by threads
# ---------------------------------------------------------------------------
def scaling(options, clock, not_run) -> list[dict]:
    """ResNet-18 with other batches at all threads, and its own batch with fewer threads."""
    net, rows = BY_NAME[SCALED], []
    threads = sorted({1, *(2**k for k in range(1, 8) if 2**k < options.threads), options.threads})
    cases = [(options.threads, batch) for batch in BATCHES]
    cases += [(count, net.batch) for count in threads if count != options.threads]
    for count, batch in cases:
        with workers(count, options.backend) as team:
            for mode in reversed(MODES):
                what = f"{net.name}, {mode}, batch {batch}, threads {count}"
                if clock.left < 6 * batch:  # a step and its warming, for three peers
                    not_run.append(f"{what}: out of time")
                    continue
                for peer in team.values():
                    peer(worker.build, net, batch)
                row = {"net": net.name, "mode": mode, "batch": batch, "threads": count}
                rows.append(row | timed(team, 3, clock, worker.prepare, mode))
                print(cpu_tables.progress(rows[-1]), flush=True)
    return rows


# ---------------------------------------------------------------------------
# Layers
# ---------------------------------------------------------------------------
def conv_layers(options, clock, not_run) -> list[dict]:
    """The convolution layers of conv_layers.csv's nets, the heaviest first."""
    rows = []
    todo = sorted(layers(), key=lambda layer: -layer.count * layer.operations / layer.N)
    with workers(options.threads, options.backend) as team:
        for layer in [worker.resized(layer, options.layer_batch) for layer in todo]:
            for direction in DIRECTIONS:
                if clock.left < 5:
                    not_run.append(f"{layer} {direction}: out of time")
                    continue
                row = {**layer.__dict__, "direction": direction}
                row |= timed(team, 3, clock, worker.prepare_layer, layer, direction)
                row["error"] = layer_error(team, layer, direction)
                row["gflops"] = layer.operations / row["ms"][PEERS[0]] / 1e6
                rows.append(row)
    return rows


def layer_error(team, layer, direction) -> float:
    """The largest relative difference of our result from PyTorch's, on a part of it."""
    ours, theirs = (team[p](worker.prepare_layer, layer, direction) for p in PEERS[:2])
    return float(abs(ours - theirs).max() / abs(theirs).max())


if __name__ == "__main__":
    sys.exit(main())
