"""What is special to the residual nets, the small nets, capsules, and the nets of other tasks."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from whole_nets import gradient_errors, images, settle

import minicnn
from minicnn import Tensor, models, no_grad, use_backend
from minicnn import functional as F
from minicnn.backends.shapes import blank
from minicnn.checks import gradcheck
from minicnn.models.blocks import (
    ConvBNActivation,
    SqueezeExcitation,
    StochasticDepth,
    make_divisible,
)
from minicnn.models.capsnet import CapsNet, DigitCaps, lengths, squash
from minicnn.models.efficientnet import SCALES, compound_scale
from minicnn.models.enet import DownBottleneck, ENet, ENetBottleneck, UpBottleneck
from minicnn.models.localization import Localizer, cut_head, overlap
from minicnn.models.mobilenet_v1 import DepthwiseSeparable
from minicnn.models.mobilenet_v3 import MBConv
from minicnn.models.nasnet import NASNet, Pool, SameConv2d
from minicnn.models.preact_resnet import PreActBasicBlock, PreActBottleneck, cifar_net
from minicnn.models.resnet import BasicBlock, Bottleneck, ResNet
from minicnn.models.resnet_cifar import CifarResNet
from minicnn.models.senet import SEBottleneck
from minicnn.models.shufflenet_v1 import ShuffleNetV1, ShuffleUnit
from minicnn.models.shufflenet_v2 import ShuffleBlock
from minicnn.models.unet import UNet
from minicnn.models.video import VideoClassifier
from minicnn.models.wide_resnet import wide_resnet
from minicnn.nn import LSTM, BatchNorm2d, Conv2d, MaxPool2d, ReLU, Sequential, init


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def shape_after(module, *shape):
    """The shape that a module makes of images of this shape."""
    with use_backend("shapes"), no_grad():
        return module(Tensor(blank(shape))).shape


def empty(build, *arguments, **settings):
    """A net without first weights."""
    with init.empty():
        return build(*arguments, **settings)


def weights(module):
    """Numbers in the filters of all convolutions."""
    return sum(m.weight.size for _, m in module.named_modules() if isinstance(m, Conv2d))


# ---------------------------------------------------------------------------
# Residual blocks
# ---------------------------------------------------------------------------
@pytest.mark.parametrize("block", [BasicBlock, Bottleneck, SEBottleneck])
def test_a_block_whose_last_scale_is_0_passes_positive_input_on(block):
    block = block(32 * block.expansion, 32)
    x = Tensor(np.abs(random(2, block.conv1.in_channels, 5, 5)).astype(np.float32))
    assert np.abs(block(x).numpy() - x.numpy()).max() > 0.1
    init.constant_(block.last_norm().weight, 0)
    np.testing.assert_array_equal(block(x).numpy(), x.numpy())


def test_zero_init_residual_starts_every_block_so():
    net = models.build("resnet18", zero_init_residual=True)
    x = Tensor(np.abs(random(1, 64, 8, 8)).astype(np.float32))
    np.testing.assert_array_equal(net.layer1(x).numpy(), x.numpy())


@pytest.mark.parametrize("block", [PreActBasicBlock, PreActBottleneck])
def test_the_way_around_a_preactivated_block_is_clear(block):
    block = block(16 * block.expansion, 16)
    init.constant_(getattr(block, "conv3", block.conv2).weight, 0)
    x = random(2, block.conv1.in_channels, 5, 5).astype(np.float32)  # negative numbers, too
    t = Tensor(x, requires_grad=True)
    y = block(t)
    np.testing.assert_array_equal(y.numpy(), x)
    dy = random(*x.shape, seed=1).astype(np.float32)
    y.backward(dy)
    np.testing.assert_array_equal(t.grad.numpy(), dy)


def as_identity(block):
    """Make a plain block of two layers pass positive numbers on."""
    for conv, norm in ((block.conv1, block.bn1), (block.conv2, block.bn2)):
        delta = np.zeros(conv.weight.shape, np.float32)
        delta[range(len(delta)), range(len(delta)), 1, 1] = 1
        conv.weight.assign_(delta)
        init.constant_(norm.weight, np.sqrt(1 + norm.eps))


def test_a_deeper_plain_net_can_copy_a_shallower_one():
    shallow = settle(CifarResNet(20, shortcut=None), images(8, (3, 32, 32)))
    deep = CifarResNet(32, shortcut=None).eval()
    state = {**deep.state_dict(), **shallow.state_dict()}
    deep.load_state_dict(state)
    for stage in (deep.layer1, deep.layer2, deep.layer3):
        for block in list(stage)[3:]:
            as_identity(block)
    x = images(4, (3, 32, 32), seed=1)
    with no_grad():
        expected = shallow(x).numpy()
        np.testing.assert_allclose(deep(x).numpy(), expected, atol=1e-5 * np.abs(expected).max())


def test_a_grouped_bottleneck_is_many_paths_added_up():
    groups, width = 4, 3
    block = Bottleneck(64, 16, groups=groups, width_per_group=16 * width // 4)
    assert block.conv2.groups == groups and block.conv2.in_channels == groups * width
    block = settle(block.to(np.float64), Tensor(random(4, 64, 6, 6)))
    x = Tensor(random(2, 64, 6, 6, seed=1))

    def normalized(y, norm, part):
        state = (norm.running_mean, norm.running_var, norm.weight, norm.bias)
        return F.batch_norm(y, *(t.detach()[part] for t in state))

    paths = []
    for g in range(groups):
        own = slice(g * width, (g + 1) * width)
        y = F.relu(normalized(F.conv2d(x, block.conv1.weight[own]), block.bn1, own))
        y = F.relu(normalized(F.conv2d(y, block.conv2.weight[own], padding=1), block.bn2, own))
        paths.append(F.conv2d(y, block.conv3.weight[:, own]))
    together = F.relu(block.bn3(sum(paths[1:], paths[0])) + x)
    np.testing.assert_allclose(block(x).numpy(), together.numpy(), rtol=1e-10, atol=1e-12)


def test_a_bottleneck_has_a_seventeenth_of_the_weights():
    assert weights(Bottleneck(256, 64)) == 69_632
    assert weights(BasicBlock(256, 256)) == 1_179_648


@pytest.mark.parametrize(("shortcut", "projections"), [("A", 0), ("B", 2), ("C", 9), (None, 0)])
def test_ways_around(shortcut, projections):
    net = CifarResNet(20, shortcut=shortcut)
    found = [m for _, m in net.named_modules() if isinstance(m, Conv2d) and m.kernel_size == (1, 1)]
    assert len(found) == projections
    assert (net.num_parameters() == 269_722) is (projections == 0)
    assert shape_after(net, 2, 3, 32, 32) == (2, 10)


def test_the_papers_bottleneck_has_its_stride_in_front():
    ours, papers = models.build("resnet50"), models.build("resnet50_2015")
    assert [c.stride for c in (ours.layer2[0].conv1, ours.layer2[0].conv2)] == [(1, 1), (2, 2)]
    assert [c.stride for c in (papers.layer2[0].conv1, papers.layer2[0].conv2)] == [(2, 2), (1, 1)]
    papers.load_state_dict(ours.state_dict())  # the same names and shapes
    x = images(2, (3, 64, 64))
    assert np.abs(ours(x).numpy() - papers(x).numpy()).max() > 1e-3


# ---------------------------------------------------------------------------
# Forms of the nets
# ---------------------------------------------------------------------------
def test_sizes_in_resnet_50():
    net, shape, sizes = empty(models.build, "resnet50").eval(), (2, 3, 224, 224), []
    for layer in (net.conv1, net.maxpool, net.layer1, net.layer2, net.layer3, net.layer4):
        shape = shape_after(layer, *shape)
        sizes.append(shape[1:3])
    assert sizes == [(64, 112), (64, 56), (256, 56), (512, 28), (1024, 14), (2048, 7)]
    assert shape_after(net.maxpool, 1, 64, 32, 32) == (1, 64, 16, 16)  # and not 15


def test_what_counts_as_a_parameter_of_resnet_50():
    net = empty(models.build, "resnet50")
    assert net.conv1.bias is None
    assert net.num_parameters() == 25_557_032
    statistics = sum(b.size for _, b in net.named_buffers())
    assert statistics == 2 * 26_560 + 53  # means, variances, and a count in each normalization


def test_stages_of_resnet_halve_the_volume():
    net = empty(models.build, "resnet34")
    volumes, shape = [], (1, 64, 56, 56)
    for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
        shape = shape_after(stage, *shape)
        volumes.append(int(np.prod(shape)))
    assert all(a == 2 * b for a, b in pairwise(volumes))


def test_the_net_for_cifar_is_not_the_net_for_imagenet():
    cifar, imagenet = CifarResNet(20), empty(models.build, "resnet18", num_classes=10)
    assert shape_after(cifar.layer1, 1, 16, 32, 32) == (1, 16, 32, 32)
    assert cifar.conv1.kernel_size == (3, 3) and imagenet.conv1.kernel_size == (7, 7)
    assert not any(isinstance(m, MaxPool2d) for _, m in cifar.named_modules())
    assert imagenet.num_parameters() == 11_181_642 > 40 * cifar.num_parameters()
    layers = [m for _, m in cifar.named_modules() if isinstance(m, Conv2d)]
    assert len(layers) + 1 == 20  # and the dense one


@pytest.mark.parametrize("depth", [20, 32, 44, 56, 110])
def test_a_plain_net_for_cifar_has_the_parameters_of_the_residual_one(depth):
    residual, plain = (models.info(f"cifar_{kind}{depth}") for kind in ("resnet", "plain"))
    assert residual.parameters == plain.parameters


def test_wide_and_deep_can_have_equal_size():
    thin, wide = models.info("cifar_preact1001").parameters, models.info("wrn_16_8").parameters
    assert abs(thin / wide - 1) < 0.06


# ---------------------------------------------------------------------------
# Squeeze-and-excitation, stochastic depth
# ---------------------------------------------------------------------------
def test_squeeze_and_excitation_scales_whole_channels():
    module, x = SqueezeExcitation(6, 3).to(np.float64), random(2, 6, 4, 5)
    y = module(Tensor(x)).numpy()
    ratio = y / x
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:, :, :1, :1], x.shape))
    means = x.mean((2, 3))
    hidden = np.maximum(means @ module.fc1.weight.numpy()[:, :, 0, 0].T, 0)
    scores = hidden @ module.fc2.weight.numpy()[:, :, 0, 0].T
    np.testing.assert_allclose(ratio[:, :, 0, 0], 1 / (1 + np.exp(-scores)))


def test_stochastic_depth_drops_whole_samples():
    layer, x = StochasticDepth(0.25), Tensor(np.ones((400, 2, 3, 3), np.float32))
    y = layer(x).numpy()
    assert set(np.unique(y)) == {0, np.float32(1 / 0.75)}
    assert (y == y[:, :1, :1, :1]).all()
    assert 0.18 < (y[:, 0, 0, 0] == 0).mean() < 0.32
    np.testing.assert_array_equal(layer.eval()(x).numpy(), x.numpy())


def test_later_blocks_of_efficientnet_are_dropped_more_often():
    net = empty(models.build, "efficientnet_b0")
    drops = [m.stochastic_depth.p for _, m in net.named_modules() if isinstance(m, MBConv)]
    np.testing.assert_allclose(drops, 0.2 * np.arange(16) / 16)


# ---------------------------------------------------------------------------
# Small nets
# ---------------------------------------------------------------------------
def test_a_depthwise_separable_convolution_costs_one_nth_and_a_ninth():
    C, N = 64, 128
    assert weights(DepthwiseSeparable(C, N)) / weights(ConvBNActivation(C, N, 3)) == 1 / N + 1 / 9


def test_mobilenet_v1_with_the_papers_relu():
    net = models.build("mobilenet_v1", activation=ReLU, width=0.25)
    assert not any(type(m).__name__ == "ReLU6" for _, m in net.named_modules())
    assert net.conv_stem.out_channels == 8
    assert shape_after(net.eval(), 2, 3, 64, 64) == (2, 1000)


@pytest.mark.parametrize(
    ("channels", "rounded"), [(83, 80), (84, 88), (1, 8), (16, 16), (35.2, 32), (11, 16), (10, 16)]
)
def test_numbers_of_channels_are_multiples_of_8(channels, rounded):
    """The nearest; but of 10 channels 8 would lose a fifth."""
    assert make_divisible(channels) == rounded


def test_groups_of_a_shuffle_unit_hear_of_each_other():
    unit, x = settle(ShuffleUnit(72, 72, 1, 3), images(4, (72, 6, 6))), random(1, 72, 6, 6)
    changed = x.copy()
    changed[:, :24] += 1  # the first group's input

    def reached(shuffle):
        old, F.channel_shuffle = F.channel_shuffle, shuffle
        try:
            a, b = (unit(Tensor(v.astype(np.float32))).numpy() for v in (x, changed))
        finally:
            F.channel_shuffle = old
        return (a != b).any(axis=(0, 2, 3)).reshape(3, 24).any(axis=1).tolist()

    assert reached(F.channel_shuffle) == [True, True, True]
    assert reached(lambda y, groups: y) == [True, False, False]


def test_a_shuffle_is_a_transposed_table():
    x = random(2, 12, 3, 3)
    table = x.reshape(2, 3, 4, 3, 3).swapaxes(1, 2).reshape(x.shape)
    np.testing.assert_array_equal(F.channel_shuffle(Tensor(x), 3).numpy(), table)


def test_half_of_a_shuffle_block_passes_straight_through():
    x = Tensor(random(1, 16, 4, 4).astype(np.float32))
    y = ShuffleBlock(16, 16, 1)(x).numpy()
    np.testing.assert_array_equal(y[:, 0::2], x.numpy()[:, :8])


@pytest.mark.parametrize("groups", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("width", [0.25, 0.5, 1.0, 1.5, 2.0])
def test_shufflenet_at_all_widths_of_the_paper(groups, width):
    net = empty(ShuffleNetV1, groups, width)
    assert shape_after(net.eval(), 2, 3, 64, 64) == (2, 1000)
    assert net.stage2[0].conv1.groups == 1 and net.stage3[0].conv1.groups == groups


def test_compound_scaling():
    depth, width, resolution = compound_scale(1)
    assert round(depth * width**2 * resolution**2, 2) == 1.92
    published = [SCALES[size][0] * SCALES[size][1] for size in SCALES]
    assert published == sorted(published) and SCALES["b0"][:3] == (1.0, 1.0, 224)
    counts = [models.info(f"efficientnet_{size}").parameters for size in SCALES]
    assert counts[0] == 5_288_548 and counts[-1] == 66_347_960 and counts == sorted(counts)


# ---------------------------------------------------------------------------
# NASNet
# ---------------------------------------------------------------------------
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 8), (9, 6)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_padding_called_same(size, stride, kernel):
    """The size / stride, rounded up; an odd pixel goes to the end."""
    conv = SameConv2d(2, 3, kernel, stride).to(np.float64)
    x = random(1, 2, *size)
    up = [-(-n // stride) for n in size]
    spare = [max((o - 1) * stride + kernel - n, 0) for o, n in zip(up, size)]
    padded = np.pad(x, ((0, 0), (0, 0), *((s // 2, s - s // 2) for s in spare)))
    y = conv(Tensor(x)).numpy()
    assert y.shape == (1, 3, *up)
    expected = F.conv2d(Tensor(padded), conv.weight, stride=stride).numpy()
    np.testing.assert_allclose(y, expected, atol=1e-12)


@pytest.mark.parametrize("size", [(2, 3), (7, 8), (6, 9)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kind", ["max", "mean"])
def test_poolings_of_a_cell_look_at_the_image_only(kind, stride, size):
    x = random(1, 1, *size)
    y = Pool(kind, stride)(Tensor(x)).numpy()
    up = [-(-n // stride) for n in size]
    before = [max((o - 1) * stride + 3 - n, 0) // 2 for o, n in zip(up, size)]
    assert y.shape == (1, 1, *up)
    for i, j in np.ndindex(*up):
        top, left = i * stride - before[0], j * stride - before[1]
        window = x[0, 0, max(top, 0) : top + 3, max(left, 0) : left + 3]
        expected = window.max() if kind == "max" else window.mean()
        np.testing.assert_allclose(y[0, 0, i, j], expected)


def test_nasnet_gives_the_features_it_is_called_after():
    assert shape_after(empty(NASNet, 4, 1056, 32).eval(), 1, 3, 97, 64) == (1, 1000)
    net = empty(NASNet, 1, 96, 8).eval()
    with use_backend("shapes"):
        assert net.features(Tensor(blank((1, 3, 64, 96)))).shape == (1, 96, 2, 3)


# ---------------------------------------------------------------------------
# Capsules
# ---------------------------------------------------------------------------
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=8))
def test_squashed_vectors_are_shorter_than_1_and_keep_their_direction(numbers):
    s = np.array([numbers])
    v = squash(Tensor(s)).numpy()
    length = np.linalg.norm(v)
    assert 0 <= length < 1
    square = (s * s).sum()
    np.testing.assert_allclose(length, square / (1 + square), atol=1e-6)
    np.testing.assert_allclose(v * np.linalg.norm(s), s * length, atol=1e-6 * np.abs(s).max())


def test_routing_is_that_of_the_paper():
    layer = DigitCaps(5, 3, 4, 6, iterations=3).to(np.float64)
    u = random(2, 5, 3)
    predicted = np.einsum("nik,ikjd->nijd", u, layer.weight.numpy().reshape(5, 3, 4, 6))
    b = np.zeros((2, 5, 4))
    for _ in range(3):
        c = np.exp(b) / np.exp(b).sum(2, keepdims=True)
        s = np.einsum("nij,nijd->njd", c, predicted)
        length = np.linalg.norm(s, axis=2, keepdims=True)
        v = s / length * length**2 / (1 + length**2)
        b = b + np.einsum("nijd,njd->nij", predicted, v)
    np.testing.assert_allclose(layer(Tensor(u)).numpy(), v, rtol=1e-6, atol=1e-9)


def test_gradients_of_routing_equal_differences():
    layer = DigitCaps(4, 3, 3, 2).to(np.float64)
    u = Tensor(random(2, 4, 3), requires_grad=True)
    assert gradcheck(lambda u, _: lengths(layer(u)).sum(), u, layer.weight).max_error < 1e-6


def test_capsules_of_an_image():
    net = CapsNet(image_size=20, reconstruction=True, num_classes=4)
    x = images(3, (1, 20, 20))
    found = net(x).numpy()
    assert found.shape == (3, 4) and (found >= 0).all() and (found < 1).all()
    v = net.capsules(x)
    assert net.reconstruct(v, [1, 2, 3]).shape == (3, 1, 20, 20)
    longest = found.argmax(1)
    np.testing.assert_array_equal(net.reconstruct(v).numpy(), net.reconstruct(v, longest).numpy())
    net.loss(x, np.array([0, 1, 2])).backward()
    assert all(p.grad is not None and p.grad.numpy().any() for p in net.parameters())
    assert CapsNet(reconstruction=True).num_parameters() == 8_215_568


# ---------------------------------------------------------------------------
# Segmentation
# ---------------------------------------------------------------------------
@pytest.mark.parametrize("size", [(64, 64), (8, 8), (33, 47), (90, 121), (1, 9)])
def test_enet_gives_scores_for_every_pixel(size):
    assert shape_after(empty(ENet, num_classes=5), 2, 3, *size) == (2, 5, *size)
    assert shape_after(empty(models.build, "enet_classifier"), 2, 3, *size) == (2, 1000)


def test_enet_brings_maxima_back_to_their_places():
    down, up = DownBottleneck(4, 8, 0.0), UpBottleneck(8, 4, 0.0)
    for branch in (down.expand, up.expand):  # the way around alone
        init.constant_(branch[1].weight, 0)
    init.constant_(down.prelu.weight, 1)
    init.constant_(up.prelu.weight, 1)
    up.narrow[0].weight.assign_(np.eye(4, 8, dtype=np.float32)[:, :, None, None])
    init.constant_(up.narrow[1].weight, np.sqrt(1 + 1e-5))
    x = random(2, 4, 7, 6).astype(np.float32)
    down, up = down.eval(), up.eval()
    small, places = down(Tensor(x))
    assert small.shape == (2, 8, 4, 3)
    y = up(small, places, (7, 6)).numpy()
    kept = y != 0
    np.testing.assert_allclose(y[kept], x[kept], rtol=1e-6)
    assert kept.sum() == 2 * 4 * 4 * 3


def test_kinds_of_enet_bottlenecks():
    five = ENetBottleneck(16, 0.1, "5x1")
    assert (
        weights(five.middle) == 4 * 4 * (5 + 5) and weights(ENetBottleneck(16, 0.1).middle) == 144
    )
    wide = ENetBottleneck(16, 0.1, 8).middle[0]
    assert wide.dilation == (8, 8) and wide.padding == (8, 8)


@pytest.mark.parametrize(("size", "map_size"), [(572, 388), (188, 4), (348, 164)])
def test_unet_without_padding(size, map_size):
    net = empty(UNet)
    assert net.output_size(size) == map_size
    assert shape_after(net, 1, 1, size, size) == (1, 2, map_size, map_size)


def test_unet_with_padding_keeps_the_size():
    net = empty(models.build, "unet_small", num_classes=4)
    assert shape_after(net, 2, 3, 24, 40) == (2, 4, 24, 40)


@pytest.mark.parametrize("name", [n for n in models.names(None) if n not in models.names()])
def test_nets_of_other_tasks(name):
    info, net = models.info(name), empty(models.build, name)
    assert net.num_parameters() == info.parameters
    for shape in (info.input_shape, info.second_shape):
        with use_backend("shapes"):
            y = net(Tensor(blank((2, *shape))))
            outputs = y if isinstance(y, tuple) else (y,)
            sum((t.sum() for t in outputs), 0.0).backward()
        assert all(len(t) == 2 for t in outputs)
        assert (outputs[0].ndim == 4) is (info.task == "segmentation")
    assert all(p.grad is not None for p in net.parameters())


@pytest.mark.parametrize(("build", "shape"), [
    (lambda: ENet(3), (3, 20, 26)), (lambda: UNet(2, 3, 4, 2, same=True), (3, 20, 24)),
    (lambda: UNet(2, 3, 4, 1), (3, 18, 20)), (lambda: CapsNet(4, image_size=20), (1, 20, 20)),
    (lambda: VideoClassifier(CifarResNet(8), 4), (3, 3, 16, 16)),
    (lambda: Localizer(CifarResNet(8), 4), (3, 16, 16)),
    (lambda: NASNet(2, 96, 8), (3, 40, 40)),
])  # fmt: skip
def test_whole_nets_have_the_right_gradients(build, shape):
    minicnn.manual_seed(0)
    net = settle(build().to(np.float64), images(4, shape, np.float64))
    assert max(gradient_errors(net, images(2, shape, np.float64, seed=1))) < 1e-5


# ---------------------------------------------------------------------------
# Localisation and video
# ---------------------------------------------------------------------------
@pytest.mark.parametrize(("name", "features"), [
    ("resnet50", 2048), ("vgg11", 4096), ("squeezenet1_1", 512), ("mobilenet_v2", 1280),
    ("resnetv2_50", 2048), ("cifar_resnet20", 64), ("lenet", 84), ("shufflenet_v2_x2_0", 2048),
])  # fmt: skip
def test_a_head_can_be_cut_off(name, features):
    net = empty(models.build, name).eval()
    assert cut_head(net) == features
    assert shape_after(net, 2, *models.info(name).input_shape) == (2, features)


def test_boxes_and_classes():
    net = Localizer(CifarResNet(20), 6)
    x = images(3, (3, 32, 32))
    scores, boxes = net(x)
    assert scores.shape == (3, 6) and boxes.shape == (3, 4)
    assert (boxes.numpy() > 0).all() and (boxes.numpy() < 1).all()
    net.loss(x, np.array([0, 1, 2]), np.full((3, 4), 0.25, np.float32)).backward()
    assert all(p.grad is not None for p in net.parameters())


@pytest.mark.parametrize(("a", "b", "expected"), [
    ((0.5, 0.5, 1, 1), (0.5, 0.5, 1, 1), 1), ((0.5, 0.5, 1, 1), (0.25, 0.5, 0.5, 1), 0.5),
    ((0.2, 0.2, 0.2, 0.2), (0.8, 0.8, 0.2, 0.2), 0), ((0.5, 0.5, 0, 0), (0.5, 0.5, 0, 0), 0),
    ((0.25, 0.5, 0.5, 1), (0.5, 0.5, 0.5, 1), 1 / 3),
])  # fmt: skip
def test_overlap_of_boxes(a, b, expected):
    np.testing.assert_allclose(overlap(np.array(a), Tensor(np.array(b))), expected)


def test_a_video_net_sees_frames_alone_and_their_order():
    minicnn.manual_seed(0)
    net = VideoClassifier(CifarResNet(20), 5).eval()
    clip = random(1, 4, 3, 16, 16).astype(np.float32)
    features = net.features(Tensor(clip))
    assert features.shape == (1, 4, 64)
    alone = net.features(Tensor(clip[:, 2:3])).numpy()[0, 0]
    np.testing.assert_allclose(features.numpy()[0, 2], alone, rtol=1e-4, atol=1e-5)
    forth, back = (net(Tensor(c)).numpy() for c in (clip, clip[:, ::-1].copy()))
    assert np.abs(forth - back).max() > 1e-6
    assert isinstance(net.lstm, LSTM) and forth.shape == (1, 5)


# ---------------------------------------------------------------------------
# Errors
# ---------------------------------------------------------------------------
@pytest.mark.parametrize(("build", "message"), [
    (lambda: CifarResNet(21), r"depth must be 6n \+ 2 .* but got 21; use 20, 32"),
    (lambda: CifarResNet(20, shortcut="D"), "shortcut expects 'A', 'B', 'C' or None, but got 'D'"),
    (lambda: wide_resnet(20, 2), r"depth must be 6n \+ 4 with PreActBasicBlock, but got 20"),
    (lambda: cifar_net(PreActBottleneck, 112), r"depth must be 9n \+ 2 with PreActBottleneck"),
    (lambda: ResNet(Bottleneck, (1, 1, 1, 1), stride_in="5x5"), "stride_in expects '1x1' or '3x3'"),
    (lambda: ShuffleNetV1(5), "groups expects 1, 2, 3, 4 or 8, but got 5"),
    (lambda: ShuffleBlock(16, 24, 1), "equal to in_channels where the stride is 1"),
    (lambda: models.build("mobilenet_v2", width=0), "width expects a number above 0, but got 0"),
    (lambda: StochasticDepth(1.5), "StochasticDepth: p expects"),
    (lambda: NASNet(7, 4032, 96), "cells must be 1 to 6 and features a multiple of 96"),
    (lambda: ENet(in_channels=16), "in_channels must be 1 to 15"),
    (lambda: CapsNet(image_size=16), "image_size of 16 leaves nothing .* use at least 18"),
    (lambda: empty(CapsNet).reconstruct(Tensor(np.ones((1, 10, 16)))), "no decoder to draw with"),
    (lambda: empty(UNet)(Tensor(blank((1, 1, 570, 572)))), "even before each of the 4 .* take 572"),
    (lambda: cut_head(Sequential(Conv2d(3, 4, 1), BatchNorm2d(4))), "must be a Linear or a 1x1"),
    (lambda: cut_head(Sequential(ReLU())), "the last layer with weights must be"),
    (lambda: empty(models.build, "cnn_lstm")(images(1, (1, 32, 32))), r"expects clips \(N, T, C"),
])  # fmt: skip
def test_errors_name_the_rule(build, message):
    with pytest.raises(ValueError, match=message):
        build()
