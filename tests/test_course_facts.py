"""The course's numbers, computed: sections 4 and 6 (1 to 3: test_course_basics.py, 8 and the
published results of 6.23: test_course_cost.py).

A case's id is the number it has in the course. Those marked [*] there are figures in print that do
not survive the computation: `printed` is what was printed, and the case shows both. What needs
training has files of its own.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from course import registrar

import minicnn
from minicnn import Tensor, models, nn, no_grad
from minicnn import functional as F
from minicnn.analysis import cost, receptive_field, summary
from minicnn.models.googlenet import Inception, NaiveInception
from minicnn.nn import init

CASES = {}
fact = registrar(CASES)


def build(name, **settings):
    """A net whose weights nobody looks at."""
    with init.empty():
        return models.build(name, **settings)


def weights(model):
    """Numbers of the weights, without biases and normalization, in order."""
    return [p.size for key, p in model.named_parameters() if p.ndim > 1]


def shapes(name, kinds):
    """(H, W, C), or (C,), of the rows of these classes in a summary."""
    found = []
    for row in summary(name).rows:
        if row.kind.split(" ")[0] in kinds:
            C, *size = row.shape
            found.append((*size, C))
    return found


# ---------------------------------------------------------------------------
# 4 First networks
# ---------------------------------------------------------------------------
@fact(
    "4.1",
    ("lenet-parameters", 61_706),
    ("lenet-parameters-at-32-pixels", 61_706),
    ("lenet-parameters-unpadded", 44_426),
    ("lenet-parameters-of-1998", 60_000),
)
def lenets(name):
    return {
        "lenet-parameters": lambda: models.LeNet(),
        "lenet-parameters-at-32-pixels": lambda: models.LeNet(image_size=32, padding=0),
        "lenet-parameters-unpadded": lambda: models.LeNet(padding=0),
        "lenet-parameters-of-1998": lambda: models.LeNet5_1998(),
    }[name]().num_parameters()


@fact("4.1-lenet-dense-layers", [120, 84, 10])  # [*] printed: "FC-FC"
def lenet_dense():
    return [row.shape[0] for row in summary("lenet").rows if row.kind == "Linear"]


@fact("4.1-lenet-plan", "conv pool conv pool fc fc fc")
def lenet_plan():
    words = {"Conv2d": "conv", "MaxPool2d": "pool", "Linear": "fc"}
    kinds = [row.kind.split(" ")[0] for row in summary("lenet").rows]
    return " ".join(words[kind] for kind in kinds if kind in words)


@fact(
    "4.3",
    # parameters, MACs, numbers out: by hand for each layer
    ("conv-by-hand", (6 * 25 + 6, 28 * 28 * 6 * 25, 28 * 28 * 6)),
    ("pool-by-hand", (0, 0, 14 * 14 * 6)),
    ("dense-by-hand", (400 * 120 + 120, 400 * 120, 120)),
)
def by_summary(name):
    layer = {"conv-by-hand": "conv1", "pool-by-hand": "pool1", "dense-by-hand": "fc1"}[name]
    row = next(row for row in summary("lenet").rows if row.layer == layer)
    assert row.activations == math.prod(row.shape)
    return row.parameters, row.macs, row.activations


@fact("4.4", ("vgg16-layers", (13, 3)), ("vgg16-parameters", 138_357_544),
      ("vgg16-parameters-without-biases", 138_344_128))  # fmt: skip
def vgg16(name):
    model = build("vgg16")
    dims = [p.ndim for p in model.parameters()]
    return {
        "vgg16-layers": (dims.count(4), dims.count(2)),
        "vgg16-parameters": model.num_parameters(),
        "vgg16-parameters-without-biases": sum(weights(model)),
    }[name]


@fact(
    "4.5-vgg16-weights",
    [1_728, 36_864, 73_728, 147_456, 294_912, 589_824, 589_824, 1_179_648, 2_359_296, 2_359_296,
     2_359_296, 2_359_296, 2_359_296, 102_760_448, 16_777_216, 4_096_000],
)  # fmt: skip
def vgg16_weights():
    return weights(build("vgg16"))


@fact("4.5-printed", {"conv2": (1_728, 36_864), "pool2": (200_704, 802_816)})
def vgg16_misprints():
    """[*] (as printed, as it is): (3*3*3)*64 = "36,864", 56*56*64 = "800K"."""
    assert shapes("vgg16", ["MaxPool2d"])[0] == (112, 112, 64)
    return {
        "conv2": ((3 * 3 * 3) * 64, weights(build("vgg16"))[1]),
        "pool2": (56 * 56 * 64, math.prod(shapes("vgg16", ["MaxPool2d"])[0])),
    }


@fact(
    "4.6",  # [*] printed: 24M values, 96 MB
    ("vgg16-values", "15.2M, 61.0 MB"),
    ("vgg16-values-with-relus-of-convolutions", "28.8M, 115.1 MB"),
    ("vgg16-values-with-every-relu", "28.8M, 115.2 MB"),  # the dense layers' two, as well
    ("vgg16-values-by-its-own-column", "15.2M, 61.0 MB"),
    ("backward-adds", "28.6M, 114.6 MB"),
    ("backward-about-doubles", 2.0),
)
def vgg16_memory(name):
    found = cost("vgg16")
    wide = [math.prod(shape) for shape in shapes("vgg16", ["Conv2d", "MaxPool2d", "Linear"])]
    if name == "backward-about-doubles":
        return round((found.activations + found.gradients) / found.activations, 1)
    pooled = 7 * 7 * 512  # the adaptive pooling, which the paper's net has no need of
    values = {
        "vgg16-values": found.activations_in_place - pooled,
        "vgg16-values-with-relus-of-convolutions": found.activations - pooled - 2 * 4096,
        "vgg16-values-with-every-relu": found.activations - pooled,
        "vgg16-values-by-its-own-column": 224 * 224 * 3 + sum(wide),
        "backward-adds": found.gradients - pooled,
    }[name]
    return f"{values / 1e6:.1f}M, {4 * values / 1e6:.1f} MB"


@fact("4.7", ("memory-is-first", True), ("parameters-are-in-the-first-dense", 0.74))
def vgg16_where(name):
    rows = [row for row in summary("vgg16").rows if row.kind]
    if name == "parameters-are-in-the-first-dense":
        dense = next(row for row in rows if row.kind == "Linear")
        return round(dense.parameters / sum(row.parameters for row in rows), 2)
    most = sorted(rows, key=lambda row: -row.activations)
    return {row.layer for row in most if row.kind.startswith("Conv2d")} >= {
        "features.0", "features.2"
    } and {row.layer for row in most[:4]} == {f"features.{k}" for k in range(4)}  # fmt: skip


# ---------------------------------------------------------------------------
# 6 Architectures
# ---------------------------------------------------------------------------
@fact(
    "6.1-alexnet-sizes",
    [(55, 55, 96), (27, 27, 96), (27, 27, 256), (13, 13, 256), (13, 13, 384), (13, 13, 384),
     (13, 13, 256), (6, 6, 256), (4096,), (4096,), (1000,)],
)  # fmt: skip
def alexnet_sizes():
    assert models.info("alexnet_2012").input_shape == (3, 227, 227)
    return shapes("alexnet_2012", ["Conv2d", "MaxPool2d", "Linear"])


@fact("6.2", ("conv1-weights", 34_848), ("pool1-weights", 0), ("alexnet-parameters", 60_965_224),
      ("alexnet-parameters-ungrouped", 62_378_344), ("one-weird-trick", 61_100_840))  # fmt: skip
def alexnet(name):
    model = build("alexnet_2012")
    return {
        "conv1-weights": lambda: weights(model)[0],
        "pool1-weights": lambda: nn.MaxPool2d(3, 2).num_parameters(),
        "alexnet-parameters": model.num_parameters,
        "alexnet-parameters-ungrouped": build("alexnet_2012", groups=1).num_parameters,
        "one-weird-trick": build("alexnet").num_parameters,
    }[name]()


@fact("6.3-towers-are-groups", True)
def towers():
    """Two convolutions, each on its own half of the maps, are one convolution in two groups."""
    rng = np.random.default_rng(0)
    x, w = (Tensor(rng.standard_normal(shape)) for shape in ((2, 96, 9, 9), (256, 48, 5, 5)))
    joined = F.conv2d(x, w, padding=2, groups=2).numpy()
    halves = [F.conv2d(x[:, :48], w[:128], padding=2), F.conv2d(x[:, 48:], w[128:], padding=2)]
    return np.allclose(joined, F.cat(halves, 1).numpy(), rtol=0, atol=1e-12)


@fact("6.3-groups-by-layer", [1, 2, 1, 2, 2])
def groups():
    model = build("alexnet_2012")
    return [m.groups for _, m in model.named_modules() if isinstance(m, nn.Conv2d)]


@fact("6.3-normalized-then-pooled", ["LocalResponseNorm", "MaxPool2d"] * 2 + ["MaxPool2d"])
def normalized_first():
    """[*] A lecture pools before it normalizes."""
    kinds = [row.kind.split(" ")[0] for row in summary("alexnet_2012").rows]
    return [kind for kind in kinds if kind in ("LocalResponseNorm", "MaxPool2d")]


@fact("6.5", ("zfnet-conv1", (7, 7, 2)), ("zfnet-parameters", 62_357_608),
      ("zfnet-parameters-512-1024-512", 107_627_624))  # fmt: skip
def zfnet(name):
    model = build("zfnet")
    first = model.features[0]
    return {
        "zfnet-conv1": (*first.kernel_size, first.stride[0]),
        "zfnet-parameters": model.num_parameters(),
        "zfnet-parameters-512-1024-512": build("zfnet_512").num_parameters(),
    }[name]


@fact("6.5-fc6-with-conv2-of-stride-1", 354_418_688)
def zfnet_fc6():
    """[*] "AlexNet but": with AlexNet's second convolution, pool5 has 13 x 13 pixels."""
    features = build("zfnet_512").features
    conv2 = features[4]
    conv2.stride, conv2.padding = (1, 1), (2, 2)
    _, H, W = summary(features, (3, 224, 224)).rows[-1].shape
    return H * W * 512 * 4096


@fact(
    "6.6",
    ("two-3x3", 5),
    ("three-3x3", 7),
    ("weights-of-two-3x3", 18),
    ("weights-of-5x5", 25),
    ("weights-of-three-3x3-at-C", 27),
    ("weights-of-7x7-at-C", 49),
)
def stacks(name):
    def stack(*kernels):
        return nn.Sequential(*(nn.Conv2d(1, 1, k, bias=False) for k in kernels))

    if name.startswith("weights"):
        kernels = {"two-3x3": (3, 3), "5x5": (5,), "three-3x3-at-C": (3, 3, 3), "7x7-at-C": (7,)}
        return stack(*kernels[name.removeprefix("weights-of-")]).num_parameters()
    model = stack(*[3] * {"two-3x3": 2, "three-3x3": 3}[name])
    fields = [receptive_field(model, (1, 15, 15), by=by) for by in ("formula", "gradient")]
    assert fields[0].rows == fields[1].rows and fields[0].columns == fields[1].columns
    return fields[0].size[0]


@fact("6.7", ("vgg-A", 132_863_336), ("vgg-A-LRN", 132_863_336), ("vgg-B", 133_047_848),
      ("vgg-C", 133_638_952), ("vgg-D", 138_357_544), ("vgg-E", 143_667_240))  # fmt: skip
def vggs(name):
    column = {"A": "vgg11", "A-LRN": "vgg11_lrn", "B": "vgg13", "C": "vgg16_c", "D": "vgg16",
              "E": "vgg19"}[name.removeprefix("vgg-")]  # fmt: skip
    return build(column).num_parameters()


@fact("6.7-vgg-C-has-1x1", 3)
def vgg_c():
    kernels = [m.kernel_size for _, m in build("vgg16_c").named_modules()
               if isinstance(m, nn.Conv2d)]  # fmt: skip
    return kernels.count((1, 1))


@fact("6.8-fc7-features", 4096)
def fc7():
    return [row.shape for row in summary("vgg16").rows if row.kind == "Linear"][1][0]


@fact("6.9", ("naive-inception-channels", 672), ("naive-inception-multiplications", 854_196_224),
      ("next-one", 1_088))  # fmt: skip
def naive(name):
    def module(channels):
        with init.empty():
            return summary(NaiveInception(channels, 128, 192, 96), (channels, 28, 28))

    found = module(256)
    if name == "naive-inception-channels":
        return found.rows[-1].shape[0]
    if name == "naive-inception-multiplications":
        return found.cost.macs
    return module(found.rows[-1].shape[0]).rows[-1].shape[0]  # the pooling hands on 672


@fact("6.9-values", 526_848)  # [*] printed: 529k
def naive_values():
    with init.empty():
        return math.prod(summary(NaiveInception(256, 128, 192, 96), (256, 28, 28)).rows[-1].shape)


@fact("6.10", ("inception-channels", 480), ("inception-multiplications", 271_351_808),
      ("as-printed", 358))  # fmt: skip
def reduced(name):
    """[*] printed: 358M, which counts the 3x3 product twice."""
    with init.empty():
        found = summary(Inception(256, 128, 64, 192, 64, 96, 64), (256, 28, 28))
    three = next(row.macs for row in found.rows if row.macs == 28 * 28 * 192 * 9 * 64)
    return {
        "inception-channels": found.rows[-1].shape[0],
        "inception-multiplications": found.cost.macs,
        "as-printed": round((found.cost.macs + three) / 1e6),
    }[name]


@fact("6.10-3x3-product", 86_704_128)
def three_by_three():
    return cost(nn.Conv2d(64, 192, 3, padding=1), (64, 28, 28)).macs


@fact(
    "6.11",
    ("googlenet-parameters", 6_998_552),
    ("googlenet-parameters-without-fc", 5_973_552),
    ("googlenet-parameters-with-heads", 13_378_280),
    ("googlenet-modules", 9),
    ("googlenet-weighted-layers", 22),  # [*] "28 layers"
    ("googlenet-dense-layers", 1),  # [*] "no FC layers"
    ("times-under-alexnet", 8.7),  # [*] "12x"
    ("times-under-vgg16", 19.8),  # [*] "27x"
)
def googlenet(name):
    model = build("googlenet_2014", aux_logits=False)
    count = model.num_parameters()
    modules = [m for _, m in model.named_modules()]
    inceptions = sum(isinstance(m, Inception) for m in modules)
    inside = sum(isinstance(m, nn.Conv2d) for i in modules if isinstance(i, Inception)
                 for _, m in i.named_modules())  # fmt: skip
    convs = sum(isinstance(m, nn.Conv2d) for m in modules) - inside
    dense = sum(isinstance(m, nn.Linear) for m in modules)
    return {
        "googlenet-parameters": count,
        "googlenet-parameters-without-fc": count - model.fc.num_parameters(),
        "googlenet-parameters-with-heads": build("googlenet_2014").num_parameters(),
        "googlenet-modules": inceptions,
        "googlenet-weighted-layers": convs + 2 * inceptions + dense,
        "googlenet-dense-layers": dense,
        "times-under-alexnet": round(build("alexnet_2012").num_parameters() / count, 1),
        "times-under-vgg16": round(build("vgg16").num_parameters() / count, 1),
    }[name]


@fact("6.12", ("resnet18", 11_689_512), ("resnet34", 21_797_672), ("resnet50", 25_557_032),
      ("resnet101", 44_549_160), ("resnet152", 60_192_808))  # fmt: skip
def resnets(name):
    return build(name).num_parameters()


@fact("6.12-stages-halve-the-volume", [0.5, 0.5, 0.5])
def stages():
    rows = [row for row in summary("resnet50", depth=1).rows if row.layer.startswith("layer")]
    sizes = [row.shape for row in rows]
    for (C, H, W), (D, I, J) in pairwise(sizes):
        assert (D, I, J) == (2 * C, H // 2, W // 2)
    volumes = [math.prod(size) for size in sizes]
    return [b / a for a, b in pairwise(volumes)]


@fact("6.12-other-sizes", [(1000,)] * 3)
def other_sizes():
    shapes = [(3, 224, 224), (3, 160, 256), (3, 65, 33)]
    return [summary("resnet50", shape).rows[-1].shape for shape in shapes]


@fact("6.12-weighted-layers-of-resnet34", 34)  # [*] printed: 35
def resnet34_layers():
    return len([p for key, p in build("resnet34").named_parameters()
                if p.ndim > 1 and "downsample" not in key])  # fmt: skip


@fact("6.14-a-block-of-scale-0-passes-on", True)
def passes_on():
    minicnn.manual_seed(0)
    block = models.resnet.BasicBlock(8, 8).eval()
    init.constant_(block.last_norm().weight, 0)
    x = np.abs(np.random.default_rng(0).standard_normal((2, 8, 6, 6))).astype(np.float32)
    with no_grad():
        return np.array_equal(block(Tensor(x)).numpy(), x)


@fact("6.15", ("bottleneck", 69_632), ("two-3x3", 1_179_648))
def bottleneck(name):
    from minicnn.models.resnet import BasicBlock, Bottleneck

    with init.empty():
        block = Bottleneck(256, 64) if name == "bottleneck" else BasicBlock(256, 256)
    return sum(weights(block))


@fact("6.16", ("wrn_28_10", 36_479_194), ("wide_resnet50_2", 68_883_240),
      ("resnext50_32x4d", 25_028_904))  # fmt: skip
def wide(name):
    return build(name).num_parameters()


@fact("6.16-groups-are-parallel-paths", True)
def paths():
    """ResNeXt's block: 32 paths of 4 channels are one convolution in 32 groups."""
    rng = np.random.default_rng(0)
    x, w = (Tensor(rng.standard_normal(shape)) for shape in ((1, 128, 7, 7), (128, 4, 3, 3)))
    joined = F.conv2d(x, w, padding=1, groups=32).numpy()
    parts = [slice(4 * k, 4 * k + 4) for k in range(32)]
    alone = F.cat([F.conv2d(x[:, part], w[part], padding=1) for part in parts], 1)
    return np.allclose(joined, alone.numpy(), rtol=0, atol=1e-12)


@fact("6.16-idle-blocks-pass-all-numbers", {"BasicBlock": False, "PreActBasicBlock": True})
def pre_activation():
    """Blocks whose f is 0: behind the sum of 2015 a ReLU stops what is negative."""
    passed = {}
    for kind in (models.resnet.BasicBlock, models.preact_resnet.PreActBasicBlock):
        block = kind(8, 8).eval()
        init.constant_(block.conv2.weight, 0)
        x = np.random.default_rng(0).standard_normal((2, 8, 6, 6)).astype(np.float32)
        with no_grad():
            passed[kind.__name__] = np.array_equal(block(Tensor(x)).numpy(), x)
    return passed


@fact("6.17", ("seresnet50", 28_088_024), ("more-than-resnet50", 2_530_992),
      ("by-hand", 2_530_992))  # fmt: skip
def se(name):
    more = build("seresnet50").num_parameters()
    if name == "by-hand":  # S = C / 16; the channels and blocks of each stage
        stages = {256: 3, 512: 4, 1024: 6, 2048: 3}
        return sum(n * (2 * C * (C // 16) + C + C // 16) for C, n in stages.items())
    return more if name == "seresnet50" else more - build("resnet50").num_parameters()


@fact("6.17-squeeze-excite-scale", ["AdaptiveAvgPool2d", "Linear", "ReLU", "Linear", "Sigmoid",
                                   "Multiply"])  # fmt: skip
def se_block():
    """The two 1x1 convolutions see one pixel: they are dense layers."""
    from minicnn.models.blocks import SqueezeExcitation
    from minicnn.nn.graph import trace

    block = SqueezeExcitation(8, 2)
    graph = trace(block, Tensor(np.ones((1, 8, 5, 5), np.float32)))
    return ["Linear" if n.name == "Conv2d" and n.op.shapes[0][2:] == (1, 1) else n.name
            for n in graph.nodes]  # fmt: skip


@fact("6.18", ("densenet121", 7_978_856), ("connections-in-a-block-of-6", 21))
def densenet(name):
    if name == "densenet121":
        return build(name).num_parameters()
    model = build("densenet121")
    layers = [m for _, m in model.features.denseblock1.named_modules()
              if type(m).__name__ == "DenseLayer"]  # fmt: skip
    start, growth = 64, 32
    return sum(1 + (m.conv1.in_channels - start) // growth for m in layers)  # maps each one sees


@fact("6.19", ("mobilenet_v1", 4_231_976), ("mobilenet_v2", 3_504_872))
def mobile(name):
    return build(name).num_parameters()


@fact("6.19-separable-cost-ratio", True)
def separable():
    """1/N + 1/k^2 of a full convolution, for N filters of k x k."""
    C, N, k = 16, 24, 3
    full = cost(nn.Conv2d(C, N, k, padding=1), (C, 14, 14)).macs
    parts = nn.Sequential(nn.Conv2d(C, C, k, padding=1, groups=C), nn.Conv2d(C, N, 1))
    return math.isclose(cost(parts, (C, 14, 14)).macs / full, 1 / N + 1 / k**2)


@fact("6.19-work-in-1x1-of-mobilenet_v1", 0.95)
def pointwise():
    rows = [row for row in summary("mobilenet_v1").rows if row.macs and row.kind]
    convs = [row for row in rows if row.kind.startswith("Conv2d")]
    mixing = sum(row.macs for row in convs if row.layer.endswith("conv_pw"))
    return round(mixing / sum(row.macs for row in convs), 2)


@fact("6.19-channel-shuffle-is-a-transpose", True)
def shuffle():
    x = Tensor(np.arange(2 * 12 * 3 * 3, dtype=np.float32).reshape(2, 12, 3, 3))
    table = x.reshape(2, 3, 4, 3, 3).permute(0, 2, 1, 3, 4).reshape(2, 12, 3, 3)
    return np.array_equal(F.channel_shuffle(x, 3).numpy(), table.numpy())


@fact("6.21", ("efficientnet_b0", 5_288_548), ("efficientnet_b7", 66_347_960))
def efficient(name):
    return build(name).num_parameters()


@fact("6.21-compound-factor", 1.92)
def compound():
    depth, width, resolution = models.efficientnet.compound_scale(1)
    return round(depth * width**2 * resolution**2, 2)


@fact("6.22-residuals", {"inception_v4": 0, "inception_resnet_v2": 40})
def residuals():
    """[*] "Inception-v4 = ResNet + Inception": v4 only joins, Inception-ResNet adds."""
    counts = {}
    for name in ("inception_v4", "inception_resnet_v2"):
        names = [row.layer for row in summary(name).rows]
        counts[name] = names.count("add()")
    return counts


@pytest.mark.parametrize("case", CASES)
def test_fact(case):
    function, expected = CASES[case]
    assert function() == expected
