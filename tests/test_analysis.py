"""What a net costs and sees: counted by hand for small nets, by independent programs for large."""

from __future__ import annotations

import numpy as np
import pytest

import minicnn
from minicnn import Tensor, analysis, models, nn
from minicnn import functional as F
from minicnn.__main__ import main
from minicnn.analysis import compare, cost, receptive_field, summary
from minicnn.nn.graph import trace


class TwoBranches(nn.Module):
    """A shared layer, a function in passing, branches that meet twice, and an idle part."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3, padding=1, bias=False)
        self.shared = nn.Conv2d(4, 4, 1)
        self.head = nn.Linear(8, 3)
        self.idle = nn.Linear(5, 5)
        self.drop = nn.Dropout()

    def forward(self, x):
        x = F.relu(self.stem(x))
        y = self.shared(self.shared(x)) + x
        y = F.cat([y, x], dim=1)
        return self.head(self.drop(F.adaptive_avg_pool2d(y, 1).flatten(1)))


# ---------------------------------------------------------------------------
# Cost
# ---------------------------------------------------------------------------
def test_counted_by_hand():
    found = cost(TwoBranches(), (2, 6, 6))
    assert found.parameters == 4 * 2 * 9 + (16 + 4) + (24 + 3) + 30
    assert found.idle_parameters == 30
    assert found.macs == 36 * 4 * 18 + 2 * 36 * 4 * 4 + 3 * 8
    assert found.operations == 2 * found.macs
    # image, stem, relu, shared twice, +, cat, pool, head; the flattened array is the pooled one
    assert found.activations == 72 + 5 * 144 + 288 + 8 + 3
    assert found.activations_in_place == found.activations - 144
    assert found.gradients == found.activations - 72
    assert found.parameter_bytes == 4 * found.parameters


LAYERS = {
    "conv": (nn.Conv2d(4, 6, (3, 2), stride=2, groups=2), (4, 9, 9), 6 * 4 * 4 * 2 * 6),
    "depthwise": (nn.Conv2d(4, 8, 3, groups=4), (4, 9, 9), 8 * 49 * 9),
    "transposed": (nn.ConvTranspose2d(4, 6, 3, stride=2), (4, 5, 5), 4 * 25 * 6 * 9),
    "dense": (nn.Linear(7, 3), (7,), 21),
    "pool": (nn.MaxPool2d(2), (4, 8, 8), 0),
    "lstm": (nn.LSTM(3, 5, batch_first=True), (6, 3), 6 * 4 * 5 * (3 + 5)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_macs_of_a_layer(name):
    layer, shape, expected = LAYERS[name]
    found = cost(nn.Sequential(layer), shape)
    assert found.macs == expected
    assert found.parameters == layer.num_parameters() and not found.idle_parameters


def test_the_model_stays_as_it_is():
    minicnn.manual_seed(0)
    model = TwoBranches()
    model.drop.eval()
    before = {name: a.copy() for name, a in model.state_dict().items()}
    modes = [m.training for _, m in model.named_modules()]
    cost(model, (2, 6, 6)), summary(model, (2, 6, 6))
    receptive_field(model, (2, 6, 6), "shared", by="gradient")
    assert [m.training for _, m in model.named_modules()] == modes and not all(modes)
    assert all(p.grad is None for p in model.parameters())
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_gradients_stop_at_a_frozen_part():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 3))
    assert cost(model, (1, 8, 8)).gradients == 2 * 36 + 2 * 36 + 2 * 16
    for p in model[0].parameters():
        p.requires_grad = False
    assert cost(model, (1, 8, 8)).gradients == 2 * 16


@pytest.mark.parametrize("name", ["lenet", "lenet5_1998"])
def test_a_real_pass_has_the_same_shapes(name):
    """What is counted without numbers is what runs with them."""
    model = models.build(name).eval()
    x = np.random.default_rng(0).random((1, *models.info(name).input_shape), np.float32)
    real = trace(model, Tensor(x), backward=True)
    _, blank = analysis.passes.shape_pass(model, models.info(name).input_shape, backward=True)
    for a, b in zip(real.nodes, blank.nodes, strict=True):
        assert (a.name, a.shape, a.layer, a.gradient) == (b.name, b.shape, b.layer, b.gradient)


# ---------------------------------------------------------------------------
# Summary
# ---------------------------------------------------------------------------
def test_a_row_for_everything_that_runs():
    found = summary(TwoBranches(), (2, 6, 6))
    rows = [(row.layer, row.sources, row.shape, row.parameters) for row in found.rows]
    assert rows == [
        ("stem", (0,), (4, 6, 6), 72),
        ("relu()", (1,), (4, 6, 6), 0),
        ("shared", (2,), (4, 6, 6), 20),
        ("shared", (3,), (4, 6, 6), 0),  # its parameters were counted above
        ("add()", (4, 2), (4, 6, 6), 0),
        ("cat()", (5, 2), (8, 6, 6), 0),
        ("adaptiveavgpool2d()", (6,), (8, 1, 1), 0),
        ("reshape()", (7,), (8,), 0),
        ("drop", (), (8,), 0),
        ("head", (8,), (3,), 27),
    ]
    assert [row.number for row in found.rows if row.branches] == [5, 6]
    assert sum(row.macs for row in found.rows) == found.cost.macs
    assert sum(row.parameters for row in found.rows) + 30 == found.cost.parameters
    assert "30 of them in parts that run in training only" in str(found)
    assert [row.field for row in found.rows[:3]] == [(3, 3)] * 3


@pytest.mark.parametrize("depth", [1, 2, None])
def test_deep_modules_as_one_row(depth):
    block = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Sequential(nn.ReLU(), nn.Conv2d(2, 2, 3)))
    found = summary(nn.Sequential(block, nn.ReLU()), (1, 8, 8), depth)
    expected = {1: ["0", "1"], 2: ["0", "0.0", "0.1", "1"],
                None: ["0", "0.0", "0.1", "0.1.0", "0.1.1", "1"]}  # fmt: skip
    assert [row.layer for row in found.rows] == expected[depth]
    for total in ("parameters", "macs"):
        assert sum(getattr(r, total) for r in found.rows) == getattr(found.cost, total)
    assert found.rows[-1].field == (5, 5)


@pytest.mark.parametrize("name", models.names(None))
def test_every_net_fits_into_100_columns(name):
    found = summary(name)
    assert max(map(len, str(found).splitlines())) <= 100
    ran = found.cost.parameters - found.cost.idle_parameters
    assert sum(row.parameters for row in found.rows) == ran
    assert sum(row.macs for row in found.rows) == found.cost.macs


@pytest.mark.parametrize(
    "name, gigamacs",
    [  # torchvision's own figures for its weights, conv and dense layers
        ("alexnet", 0.714), ("vgg16", 15.47), ("resnet18", 1.814), ("resnet50", 4.089),
        ("resnext50_32x4d", 4.23), ("wide_resnet50_2", 11.398), ("googlenet", 1.498),
        ("densenet121", 2.834), ("mobilenet_v2", 0.301), ("efficientnet_b0", 0.386),
        ("squeezenet1_0", 0.819), ("shufflenet_v2_x1_0", 0.145), ("mnasnet1_0", 0.314),
    ],
)  # fmt: skip
def test_macs_are_the_published_ones(name, gigamacs):
    assert round(cost(name).macs / 1e9, 3) == gigamacs


@pytest.mark.parametrize(
    "arguments, error, text",
    [
        (("lente",), ValueError, "there is no model 'lente'; did you mean 'lenet'"),
        ((3, (1, 8, 8)), TypeError, "expects a Module or a model's name, but got 3"),
        ((nn.ReLU(),), TypeError, r"input_shape: expects \(C, H, W\), .* but got None"),
        ((nn.ReLU(), (1, 8.5)), TypeError, "input_shape: expects"),
        ((nn.ReLU(), (1, 0)), ValueError, "sizes of 1 or more"),
        ((nn.Conv2d(3, 4, 3), (1, 8, 8)), ValueError, "expects 3 input channels"),
        ((nn.ReLU(), (1,), 0), ValueError, "depth expects 1 or more"),
        ((nn.ReLU(), (1,), "2"), TypeError, "depth expects an int or None"),
    ],
)
def test_errors(arguments, error, text):
    with pytest.raises(error, match=text):
        summary(*arguments)


def test_it_takes_no_more_for_a_larger_image():
    """An image of 5 GB: nothing is computed, whatever its size."""
    small, large = summary("vgg16"), summary("vgg16", (3, 22_400, 22_400))
    assert large.cost.parameters == small.cost.parameters
    convs = [sum(r.macs for r in s.rows if "Conv" in r.kind) for s in (small, large)]
    assert convs[1] == 10_000 * convs[0]


def test_the_command(capsys):
    assert main(["summary", "lenet"]) == 0
    assert "61,706" in capsys.readouterr().out
    assert main(["summary", "lenet5_1998", "--input", "1x32x32", "--depth", "1"]) == 2
    assert main(["summary", "resnet18", "--input", "3x64x96", "--depth", "1"]) == 0
    out = capsys.readouterr().out
    assert "64×32×48" in out and "one image of 3×64×96" in out
    for wrong, text in (
        (["lenet", "--input", "1x28"], "conv2d: input expects 4 dimensions"),
        (["lenet", "--input", "big"], "expects channels, height and width"),
        (["lenet", "--depth", "0"], "expects a whole number of 1 or more"),
        (["lente"], "did you mean 'lenet'"),
    ):
        assert main(["summary", *wrong]) == 2
        assert text in capsys.readouterr().err


# ---------------------------------------------------------------------------
# Receptive field
# ---------------------------------------------------------------------------
def convs(count):
    return nn.Sequential(nn.Conv2d(1, 2, 3), *[nn.Conv2d(2, 2, 3) for _ in range(count - 1)])


NETS = {
    "one 3x3": (convs(1), (1, 15, 15), None, (3, 3)),
    "two 3x3": (convs(2), (1, 15, 15), None, (5, 5)),
    "three 3x3": (convs(3), (1, 15, 15), None, (7, 7)),
    "oblong": (nn.Conv2d(1, 2, (3, 5), dilation=(2, 1)), (1, 15, 15), None, (5, 5)),
    "oblong stride": (nn.Sequential(nn.Conv2d(1, 2, (2, 5), (2, 3), padding=(0, 2)),
                                    nn.AvgPool2d((3, 2))), (1, 40, 40), None, (6, 8)),
    "pools": (nn.Sequential(nn.MaxPool2d(3, 2, 1), nn.Conv2d(1, 1, 3, padding=1),
                            nn.MaxPool2d(2), nn.AvgPool2d(2, 1)), (1, 40, 40), None, (13, 13)),
    "transposed": (nn.Sequential(nn.Conv2d(1, 2, 3, 2, 1), nn.ConvTranspose2d(2, 1, 2, 2)),
                   (1, 24, 24), None, (3, 3)),
    "branches": (TwoBranches(), (2, 16, 16), "shared", (3, 3)),
    "lenet": (models.build("lenet"), (1, 28, 28), "pool2", (16, 16)),
    "lenet 1998": (models.build("lenet5_1998"), (1, 28, 28), "s4", (16, 16)),
    "resnet18": (models.build("resnet18"), (3, 160, 160), "layer2", (99, 99)),
}  # fmt: skip


@pytest.mark.parametrize("name", NETS)
def test_formula_and_gradient_agree(name):
    model, shape, layer, size = NETS[name]
    formula = receptive_field(model, shape, layer)
    gradient = receptive_field(model, shape, layer, by="gradient")
    assert formula.inside(shape).size == formula.size, "choose a larger image"
    if name != "transposed":  # the formula gives the largest of its units' fields
        assert gradient.size == formula.size == size
        assert (gradient.rows, gradient.columns) == (formula.rows, formula.columns)
    assert formula.rows[0] <= gradient.rows[0] <= gradient.rows[1] <= formula.rows[1]


def test_at_the_border_the_field_is_cut():
    conv = nn.Conv2d(1, 1, 5, padding=2)
    formula = receptive_field(conv, (1, 9, 9), unit=(0, 8))
    assert (formula.rows, formula.columns) == ((-2, 2), (6, 10))
    assert (formula.inside((1, 9, 9)).rows, formula.inside((1, 9, 9)).columns) == ((0, 2), (6, 8))
    gradient = receptive_field(conv, (1, 9, 9), unit=(0, 8), by="gradient")
    assert (gradient.rows, gradient.columns) == ((0, 2), (6, 8))


def test_known_fields():
    """Araujo, Norris, Sim, 2019: VGG-16's last pooling sees 212 pixels, AlexNet's 195."""
    assert receptive_field("vgg16", (3, 224, 224), "features").spans[0].size == 212
    assert receptive_field("alexnet", (3, 224, 224), "features").spans[0].size == 195


@pytest.mark.parametrize(
    "settings, text",
    [
        ({"layer": "fc9"}, "no operation ran in a layer 'fc9'"),
        ({"layer": "fc1"}, r"gives \(1, 120\), which has no rows and columns"),
        ({"unit": (5, 0)}, r"unit expects \(row, column\) in an output of \(5, 5\)"),
        ({"by": "magic"}, "by expects 'formula' or 'gradient'"),
    ],
)
def test_no_such_field(settings, text):
    with pytest.raises(ValueError, match=text):
        receptive_field("lenet", (1, 28, 28), **settings)


# ---------------------------------------------------------------------------
# Comparison
# ---------------------------------------------------------------------------
def test_published_and_measured_are_apart():
    found = compare(["resnet18", "lenet"], measured={"resnet18": 12.5})
    by_name = {entry.info.name: entry for entry in found.entries}
    entry = by_name["resnet18"]
    assert (entry.top1, entry.measured) == (69.758, 12.5)
    assert entry.density == pytest.approx(69.758 / 11.689512)
    assert by_name["lenet"].top1 is None and by_name["lenet"].density is None
    assert "torchvision" in str(found) and " 12.5" in str(found)


def test_every_published_accuracy_has_a_source():
    for name in models.names():
        info = models.info(name)
        assert info.top1 is None or (0 < info.top1 < 100 and info.accuracy_source and info.dataset)
        assert info.top5 is None or info.top1 < info.top5 < 100


def test_the_ball_chart():
    matplotlib = pytest.importorskip("matplotlib", reason="needs matplotlib")
    matplotlib.use("Agg")
    found = compare(["alexnet", "vgg16", "resnet18"], measured={"resnet18": 40.0})
    figure = found.plot()
    axes = figure.axes[0]
    names = [text.get_text() for text in axes.texts]
    assert sorted(names) == ["alexnet", "resnet18", "resnet18", "vgg16"]
    areas = sorted(
        float(ball.get_sizes()[0]) for ball in axes.collections if len(ball.get_offsets())
    )
    assert areas[-1] / areas[0] == pytest.approx(138_357_544 / 11_689_512)
    matplotlib.pyplot.close(figure)
    with pytest.raises(ValueError, match="no net of this comparison has an accuracy"):
        compare(["lenet"]).plot()
    with pytest.raises(ValueError, match="no net has a published accuracy on 'Moon'"):
        compare(dataset="Moon")


def test_a_container_does_not_count_its_layers_again():
    conv = nn.Conv2d(3, 4, 3, bias=False)
    nested = nn.Sequential(nn.Sequential(nn.Sequential(conv)))
    assert cost(nested, (3, 8, 8)).macs == cost(conv, (3, 8, 8)).macs == 36 * 4 * 27
    assert sum(row.macs for row in summary(nested, (3, 8, 8)).rows) == 36 * 4 * 27
