"""The CPU benchmark's own code: its nets, the peer's nets, its tables. Times are never tested."""

from __future__ import annotations

import json

import numpy as np
import pytest

import minicnn
from benchmarks import common, cpu, cpu_tables, overhead, tables, worker
from benchmarks.nets import BY_NAME, NETS
from minicnn import Tensor, analysis, nn, no_grad, use_backend
from minicnn import functional as F
from minicnn.__main__ import main
from minicnn.analysis.profile import Timing


def row(net="vgg16", mode="train", ours=2.0, peers=(4.0, 1.0), errors=1e-6, memory=(90, 190)):
    """A net's row, as cpu.py makes it."""
    ms = dict(zip(worker.PEERS, (ours, *peers)))
    return {
        "net": net, "mode": mode, "batch": 2, "ms": ms, "least_ms": ms, "turns": 3,
        "errors": dict.fromkeys(cpu_tables.LARGEST, errors),
        "memory_mb": {"minicnn": memory, "NCHW": (200, 300), "channels-last": (200, 250)},
    }  # fmt: skip


def result(**parts):
    machine = {"device": "CPU Some", "cores": 2, "threads": 2, "date": "2026-01-02", "numpy": "2",
               "torch": "2.13", "commit": "abc", "backend": "fast", "loaded": True,
               "load_before": 5.25}  # fmt: skip
    return {"machine": machine, "not_run": [], "nets": [], "scaling": [], "layers": [], **parts}


# ---------------------------------------------------------------------------
# Tables
# ---------------------------------------------------------------------------
def test_the_ratio_is_against_the_better_layout_unless_one_is_named():
    assert cpu_tables.ratio(row(ours=2, peers=(4, 1))) == 0.5
    assert cpu_tables.ratio(row(ours=2, peers=(1, 4))) == 0.5
    assert cpu_tables.ratio(row(ours=2, peers=(4, 1)), "NCHW") == 2


def test_memory_is_compared_beyond_what_the_imports_take():
    assert cpu_tables.memory_ratio(row(memory=(90, 190))) == 100 / 50


def test_the_table_ends_in_the_geometric_mean():
    rows = [row(peers=(1, 9)), row(mode="infer", peers=(4, 9))]  # 0.5 and 2
    lines = cpu_tables.nets_table(result(nets=rows)).splitlines()
    assert lines[2].startswith("| vgg16, training step | 2 | 2 | 1 | 9 | 0.50 | 4.50 | 0.50 |")
    assert lines[-1].startswith("| geometric mean |  |  |  |  | 1.00 | 4.50 | 1.00 |")


@pytest.mark.parametrize(("error", "bad"), [(1e-6, False), (0.1, True), (float("nan"), True)])
def test_wrong_answers_are_named(error, bad):
    found = result(nets=[row(errors=error)])
    assert bool(cpu_tables.wrong(found)) == bad
    assert ("WRONG" in cpu_tables.report(found)) == bad


def test_the_report_says_that_the_machine_was_busy_and_what_was_left_out():
    report = cpu_tables.report(result(nets=[row()], not_run=["vgg16: out of time"]))
    assert "while other work ran (load 5.2)" in report
    assert report.endswith("Not run:\n- vgg16: out of time")


def test_layers_and_scaling_have_tables():
    ms = dict(zip(worker.PEERS, (2.0, 4.0, 8.0)))
    layer = {"net": "vgg16", "direction": "forward", "ms": ms, "error": 1e-6}
    scaled = {"net": "resnet18", "mode": "infer", "batch": 4, "threads": 2, "ms": ms}
    report = cpu_tables.report(result(layers=[layer], scaling=[scaled]))
    assert "| vgg16 | 1 | 2.00 |" in report and "| all | 1 | 2.00 |" in report
    assert "| 4 | 2 | 0.5 | 1 | 2 | 2.00 |" in report


# ---------------------------------------------------------------------------
# What the tape adds
# ---------------------------------------------------------------------------
@pytest.mark.parametrize("name", overhead.CASES)
def test_both_libraries_are_asked_for_the_same(name):
    torch = pytest.importorskip("torch")
    ours = overhead.CASES[name](F, overhead.tensors(Tensor, Tensor))
    theirs = overhead.CASES[name](
        torch.nn.functional, overhead.tensors(torch.from_numpy, torch.from_numpy)
    )
    assert ours.shape == tuple(theirs.shape)
    if name != "dropout":
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-4, atol=1e-5)


def test_the_tape_has_a_part_of_the_call_and_the_operation_is_left_as_it_was(monkeypatch):
    monkeypatch.setattr(overhead, "CALLS", 3)
    kind = type(F.relu(Tensor([1.0], requires_grad=True))._entry)
    forward = kind.forward
    found = overhead.ours()
    assert found.keys() == overhead.CASES.keys() and kind.forward is forward
    assert all(0 < tape < whole for whole, tape in found.values())
    rows = [{"operation": "relu", "whole_us": 10.4, "tape_us": 8.2, "pytorch_us": 3.0}]
    assert "| relu | 10 | 8 | 3 |" in cpu_tables.report(result(overhead=rows))


def test_a_cpu_result_does_not_become_the_gpus(tmp_path):
    path = common.write(result(), tmp_path)
    assert path.name == "2026-01-02-cpu-some.json"
    assert json.loads(path.read_text())["machine"]["loaded"] is True
    assert tables.measured(tmp_path) == tables.NOTHING


def test_differences_are_the_largest_of_both_layouts():
    ours = np.ones((2, 3)), 1.0, [1.0, 4.0]
    near = np.ones((2, 3)), 1.0, [1.0, 4.0]
    far = np.full((2, 3), 2.0), 4.0, [1.0, 5.0]
    found = cpu.compare(dict(zip(worker.PEERS, (ours, near, far))))
    assert found == {"scores": 0.5, "loss": 0.75, "gradients": 0.2}
    with pytest.raises(ValueError, match="3 parameters, minicnn 2"):
        cpu.compare(dict(zip(worker.PEERS, (ours, near, (*far[:2], [1, 2, 3])))))


# ---------------------------------------------------------------------------
# Nets
# ---------------------------------------------------------------------------
def test_the_nets_are_those_of_the_papers():
    assert [net.name for net in NETS] == [
        "lenet", "cifar", "vgg16", "resnet18", "googlenet", "mobilenet_v2"
    ]  # fmt: skip
    with nn.init.empty():
        sizes = {net.name: net.build().num_parameters() for net in NETS}
    assert sizes["cifar"] == 896 + 9_248 + 18_496 + 36_928 + 4_096 * 512 + 512 + 5_130
    assert sizes["resnet18"] == 11_689_512 and sizes["googlenet"] == 6_624_904


@pytest.mark.parametrize("name", ["lenet", "cifar", "resnet18", "googlenet", "mobilenet_v2"])
def test_the_peer_computes_the_same(name):
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    from benchmarks.pytorch_net import convert

    net = BY_NAME[name]
    minicnn.manual_seed(0)
    ours = net.build()
    for _, module in ours.named_modules():
        if isinstance(module, nn.BatchNorm2d):  # so that it matters whether they were taken over
            module.running_var.assign_(np.linspace(0.5, 2, module.num_features, dtype=np.float32))
    size = net.image if net.image[1] < 100 else (3, 32, 32)
    x = np.random.default_rng(0).standard_normal((2, *size), np.float32)
    with use_backend("fast"), no_grad():
        y = ours.eval()(Tensor(x)).numpy()
    theirs = convert(ours, size)  # leaves the running statistics as they were
    with torch.no_grad():
        expected = theirs.eval()(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(y, expected, rtol=1e-3, atol=1e-4 * abs(expected).max())
    assert sum(p.numel() for p in theirs.parameters()) == ours.num_parameters()


def test_fused_operations_are_taken_apart_for_the_peer():
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    from benchmarks.pytorch_net import convert

    class Fused(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1, activation="relu6")
            self.bn = nn.BatchNorm2d(3, activation="relu")

        def forward(self, x):
            return F.adaptive_avg_pool2d(self.bn(self.conv(x), add=x), 1).flatten(1)

    net, x = Fused(), np.random.default_rng(0).standard_normal((2, 3, 5, 5), np.float32)
    theirs = convert(net, (3, 5, 5)).eval()
    expected = theirs(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(net.eval()(Tensor(x)).numpy(), expected, atol=1e-5)


def test_an_operation_without_a_rule_is_named():
    pytest.importorskip("torch", reason="needs PyTorch")
    from benchmarks.pytorch_net import convert

    with pytest.raises(ValueError, match="no rule for Tanh"):
        convert(nn.Sequential(nn.Tanh()), (1, 2, 2))


# ---------------------------------------------------------------------------
# The profile
# ---------------------------------------------------------------------------
def small_net():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(),
        nn.Linear(4 * 36, 5),
    )  # fmt: skip


@pytest.mark.parametrize("backend", ["numpy", "fast", "compiled"])
def test_a_profile_has_a_row_for_every_operation_and_direction(backend):
    """On the readable backend layers run apart; on the others a ReLU is in the layer before it."""
    net = small_net()
    before = {name: array.copy() for name, array in net.state_dict().items()}
    with use_backend(backend):
        found = analysis.profile(net, batch=2, input_shape=(3, 6, 6), steps=2)
    rows = [
        ("Conv2d", "forward"), ("Moments", "forward"), ("BatchNorm", "forward"),
        ("ReLU", "forward"), ("Reshape", "forward"), ("Linear", "forward"),
        ("Linear", "backward"), ("Reshape", "backward"), ("ReLU", "backward"),
        ("BatchNorm", "backward"), ("Conv2d", "backward"), ("SGD", "update"),
    ]  # fmt: skip
    apart = backend == "numpy"
    assert [(t.name, t.direction) for t in found.timings] == [
        row for row in rows if apart or row[0] != "ReLU"
    ]
    of_conv = 2 * 2 * 36 * 4 * 27  # the image wants no gradient, so backward is one product, too
    of_linear = 2 * 2 * 144 * 5
    operations = {(t.name, t.direction): t.operations for t in found.timings if t.operations}
    assert operations == {
        ("Conv2d", "forward"): of_conv, ("Conv2d", "backward"): of_conv,
        ("Linear", "forward"): of_linear, ("Linear", "backward"): 2 * of_linear,
    }  # fmt: skip
    assert sum(t.seconds for t in found.by_operation()) == pytest.approx(found.seconds)
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    assert all(p.grad is None for p in net.parameters()) and net.training


def test_a_profile_of_inference_has_no_update():
    found = analysis.profile(nn.Conv2d(3, 8, 3), 1, (3, 8, 8), training=False, steps=1)
    assert {t.direction for t in found.timings} == {"forward"}


def test_a_profile_is_shown_as_a_table_of_shares():
    found = analysis.Profile("net, inference, batch 1", [
        Timing("a", "Conv2d", "forward", (1, 2, 3, 3), 3_000_000, 0.003),
        Timing("b", "ReLU", "forward", (1, 2, 3, 3), 0, 0.001),
    ], peak=4.0)  # fmt: skip
    lines = str(found).splitlines()
    assert lines[0] == "net, inference, batch 1: 4.0 ms, peak 4 GFLOP/s"
    assert lines[3].split() == [
        "Conv2d",
        "forward",
        "1",
        "of",
        "them",
        "3.00",
        "75.0%",
        "1.0",
        "25%",
    ]
    assert lines[4].split() == ["ReLU", "forward", "1", "of", "them", "1.00", "25.0%"]


def test_bench_prints_times_and_a_profile(capsys, tmp_path):
    assert main(["bench", "lenet", "--steps", "1", "--batch", "1"]) == 0
    output = capsys.readouterr().out
    assert "lenet, training step, batch 1: " in output and "lenet, inference" in output
    pytest.importorskip("matplotlib", reason="needs matplotlib").use("Agg")
    picture = tmp_path / "bars.png"
    assert main(["bench", "--profile", "lenet", "--steps", "1", "--picture", str(picture)]) == 0
    assert "Conv2d backward" in capsys.readouterr().out
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_bench_refuses_a_wrong_argument(capsys):
    assert main(["bench", "lenet", "--batch", "0"]) == 2
    assert "expects a whole number of 1 or more" in capsys.readouterr().err
