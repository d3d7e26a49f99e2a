"""The benchmarks' own code, as far as no GPU and no clock is needed. Times are never tested."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import has_gpu

from benchmarks import layers, loader, tables

GPU = Path(layers.__file__).with_name("gpu.py")


def row(net="vgg16", direction="forward", ms=2.0, peers=(4.0, 1.0), tf32=False, error=1e-6):
    """A layer's row, as measure.py makes it."""
    layer = next(each for each in layers.layers() if each.net == net)
    return {
        **layer.__dict__, "direction": direction, "algorithm": "auto", "tf32": tf32, "ms": ms,
        "cudnn_ms": dict(zip(("NCHW", "NHWC"), peers)), "tflops": 1.0, "error": error,
    }  # fmt: skip


def result(**parts):
    machine = {"device": "A card", "date": "2026-01-02", "cuda_runtime": "13.0", "torch": "2.13.0"}
    peaks = {"fp32": 47.0, "tf32": 300.0}
    whole = {"machine": machine, "peak_tflops": peaks, "matmul": [], "conv": [], "layers": [],
             "not_run": []}  # fmt: skip
    return {**whole, **parts}


def test_the_nets_have_the_multiplications_that_their_papers_imply():
    of_net = {
        net: sum(each.count * each.operations // each.N for each in layers.layers() if
                 each.net == net) / 2e9
        for net in layers.NETS
    }  # fmt: skip
    assert of_net["alexnet"] == pytest.approx(0.6556, abs=1e-4)
    assert of_net["vgg16"] == pytest.approx(15.3466, abs=1e-4)
    assert of_net["resnet50"] == pytest.approx(4.0871, abs=1e-4)
    assert len(layers.layers()) == 96 and len(layers.layers(all_lists=True)) == 195


def test_the_ratio_is_against_the_better_of_the_peers_layouts():
    assert tables.ratio(row(ms=2.0, peers=(4.0, 1.0))) == 0.5
    assert tables.ratio(row(ms=2.0, peers=(1.0, 4.0))) == 0.5


def test_a_net_is_summed_up_by_the_geometric_mean():
    rows = [row(peers=(p, 100.0)) for p in (1.0, 4.0)]  # 0.5 and 2
    rows += [row("alexnet", direction="input gradient", peers=(8.0, 100.0))]  # 4
    table = tables.layers_table(result(layers=rows))
    assert "| vgg16, fp32 | 2 | 1.00 | – | – | 1.00 | 1.0 (2%) |" in table
    assert "| alexnet, fp32 | 1 | – | 4.00 | – | 4.00 | 1.0 (2%) |" in table
    assert "| all, fp32 | 2 | 1.00 | 4.00 | – | 1.59 | 1.0 (2%) |" in table


@pytest.mark.parametrize(
    ("error", "tf32", "is_wrong"),
    [(1e-6, False, False), (1e-3, False, True), (1e-3, True, False), (0.1, True, True),
     (float("nan"), False, True)],
)  # fmt: skip
def test_a_wrong_result_is_named(error, tf32, is_wrong):
    measured = result(layers=[row(error=error, tf32=tf32)])
    assert bool(tables.wrong(measured)) == is_wrong
    assert ("WRONG" in tables.report(measured)) == is_wrong


def test_what_was_not_run_is_named():
    report = tables.report(result(not_run=["racecheck: it is not installed"]))
    assert "Not run:\n- racecheck: it is not installed" in report


def test_readme_shows_the_newest_result(tmp_path):
    assert tables.measured(tmp_path) == tables.NOTHING
    readme = f"before\n{tables.START}\nold\n{tables.END}\nafter\n"
    text = tables.renewed(readme, "new")
    assert text == f"before\n{tables.START}\nnew\n{tables.END}\nafter\n"
    assert tables.renewed(text, "new") == text
    with pytest.raises(ValueError, match="lacks its marks"):
        tables.renewed("nothing here", "new")


def test_kernels_readme_is_up_to_date():
    readme = tables.README.read_text(encoding="utf-8")
    assert tables.renewed(readme, tables.measured()) == readme, "run benchmarks/tables.py"


@pytest.mark.skipif(has_gpu(), reason="needs a machine without a GPU")
def test_without_a_gpu_it_says_so_and_writes_nothing(tmp_path):
    command = [sys.executable, str(GPU), "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and not list(tmp_path.iterdir())
    assert "gpu.py: " in done.stderr and "Traceback" not in done.stderr


def test_the_loaders_benchmark_runs(data_dir, capsys):
    loader.main(["--images", "128", "--epochs", "2"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["0 workers", "1 workers", "2 workers"]
    assert all("% waiting, " in line for line in lines)
