"""What is special to AlexNet, ZFNet, VGG, the Inceptions, SqueezeNet and DenseNet."""

from __future__ import annotations

import numpy as np
import pytest

import minicnn
from minicnn import Tensor, models, no_grad
from minicnn import functional as F
from minicnn.backends.shapes import blank
from minicnn.models.alexnet import AlexNet2012
from minicnn.models.blocks import Branches, auxiliary_loss, centred
from minicnn.models.densenet import DenseBlock
from minicnn.models.googlenet import (
    GoogLeNet,
    GoogLeNetOutputs,
    HeadPool,
    Inception,
    NaiveInception,
)
from minicnn.models.inception_resnet import ResidualInception
from minicnn.models.inception_v3 import InceptionAux, InceptionOutputs, Mixed, mixed_8
from minicnn.models.vgg import VGG
from minicnn.nn import Conv2d, Dropout, Linear, MaxPool2d, Module, init
from minicnn.training import Trainer


def random(*shape, dtype=np.float64):
    return np.random.default_rng(5).standard_normal(shape).astype(dtype)


def blank_build(name, **settings) -> Module:
    """A net whose first weights were not drawn."""
    with init.empty():
        return models.build(name, **settings).eval()


def shape_after(module, shape):
    """The shape that a module makes of a shape."""
    with minicnn.use_backend("shapes"), no_grad():
        return module(Tensor(blank(shape))).shape


def sizes_in(features, shape, kinds=(Conv2d, MaxPool2d)):
    """(channels, height) after each convolution and pooling of a Sequential."""
    found = []
    for layer in features:
        shape = shape_after(layer, shape)
        if isinstance(layer, kinds):
            assert shape[2] == shape[3]
            found.append(shape[1:3])
    return found


def multiplications(module, size):
    """Products of all convolutions, if every one gives a map of size x size."""
    convs = [m for _, m in module.named_modules() if isinstance(m, Conv2d)]
    return sum(m.weight.size for m in convs) * size**2


# ---------------------------------------------------------------------------
# AlexNet, ZFNet, VGG
# ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    "name, image, maps, sizes",
    [
        ("alexnet_2012", 227, "96 96 256 256 384 384 256 256", "55 27 27 13 13 13 13 6"),
        ("alexnet", 224, "64 64 192 192 384 256 256 256", "55 27 27 13 13 13 13 6"),
        ("zfnet", 224, "96 96 256 256 384 384 256 256", "110 55 26 13 13 13 13 6"),
        ("zfnet_512", 224, "96 96 256 256 512 1024 512 512", "110 55 26 13 13 13 13 6"),
    ],
)
def test_maps_have_the_papers_sizes(name, image, maps, sizes):
    expected = [(int(c), int(size)) for c, size in zip(maps.split(), sizes.split(), strict=True)]
    assert sizes_in(blank_build(name).features, (1, 3, image, image)) == expected


def test_two_towers_are_a_convolution_in_two_groups():
    net = AlexNet2012(num_classes=2).to(np.float64).eval()
    convs = [layer for layer in net.features if isinstance(layer, Conv2d)]
    halves = [
        [(w[: len(w) // 2], b[: len(b) // 2]), (w[len(w) // 2 :], b[len(b) // 2 :])]
        for w, b in ((c.weight.numpy(), c.bias.numpy()) for c in convs)
    ]

    def towers(maps, k, **settings):
        """Layer k: each tower convolves its own maps."""
        return [
            F.relu(F.conv2d(x, Tensor(w), Tensor(b), **settings))
            for x, (w, b) in zip(maps, halves[k], strict=True)
        ]

    def normalized(maps):
        """Over the maps of both towers, then pooled in each."""
        n = maps[0].shape[1]
        x = F.local_response_norm(F.cat(maps, 1), 5, alpha=5e-4, beta=0.75, k=2)
        return [F.max_pool2d(tower, 3, 2) for tower in (x[:, :n], x[:, n:])]

    image = Tensor(random(1, 3, 67, 67))
    x = normalized(towers([image, image], 0, stride=4))
    x = normalized(towers(x, 1, padding=2))
    both = F.cat(x, 1)  # the third layer sees both towers
    x = towers([both, both], 2, padding=1)
    x = towers(towers(x, 3, padding=1), 4, padding=1)
    got = F.cat([F.max_pool2d(maps, 3, 2) for maps in x], 1)
    np.testing.assert_allclose(got.numpy(), net.features(image).numpy(), rtol=1e-10, atol=1e-13)


def test_alexnet_on_one_gpu():
    assert blank_build("alexnet_2012", groups=1).num_parameters() == 62_378_344


def test_alexnet_starts_with_biases_of_one_where_the_paper_says():
    net = AlexNet2012(num_classes=2)
    start = {n[:-5]: p.numpy() for n, p in net.named_parameters() if n.endswith("bias")}
    ones = {name for name, bias in start.items() if (bias == 1).all()}
    assert ones == {"features.4", "features.10", "features.12", "classifier.1", "classifier.4"}
    assert all((bias == 0).all() for name, bias in start.items() if name not in ones)


@pytest.mark.parametrize(
    "name, layers",
    [("vgg11", 11), ("vgg11_lrn", 11), ("vgg13", 13), ("vgg16", 16), ("vgg16_c", 16),
     ("vgg19", 19), ("vgg16_bn", 16)],
)  # fmt: skip
def test_vgg_has_as_many_weighted_layers_as_its_name_says(name, layers):
    net = blank_build(name)
    weighted = [m for _, m in net.named_modules() if isinstance(m, (Conv2d, Linear))]
    assert len(weighted) == layers
    kernels = [m.kernel_size for m in weighted if isinstance(m, Conv2d)]
    ones = [k for k, kernel in enumerate(kernels) if kernel == (1, 1)]
    assert ones == ([6, 9, 12] if name == "vgg16_c" else [])
    assert [s[1] for s in sizes_in(net.features, (1, 3, 224, 224), MaxPool2d)] == [
        112, 56, 28, 14, 7
    ]  # fmt: skip


def test_vgg_names_its_columns():
    with pytest.raises(ValueError, match="column expects 'A', 'A-LRN', 'B', .* but got 'F'"):
        VGG("F")


# ---------------------------------------------------------------------------
# Inception modules
# ---------------------------------------------------------------------------
def test_a_naive_module_can_only_grow():
    module = NaiveInception(256, 128, 192, 96)
    assert shape_after(module, (1, 256, 28, 28)) == (1, 672, 28, 28)
    assert multiplications(module, 28) == 854_196_224
    assert shape_after(NaiveInception(672, 128, 192, 96), (1, 672, 28, 28))[1] == 1088


def test_reductions_make_a_module_cheaper_and_its_output_smaller():
    module = Inception(256, 128, 64, 192, 64, 96, 64)
    assert shape_after(module, (1, 256, 28, 28)) == (1, 480, 28, 28)
    assert multiplications(module, 28) == 271_351_808


def test_a_naive_module_joins_its_paths_in_order(backend):
    module = NaiveInception(3, 2, 4, 5).to(np.float64).to(backend.device)
    x = Tensor(random(2, 3, 6, 7)).to(backend.device)
    with backend.running():
        y = module(x).numpy()
        one, three, five = (
            F.conv2d(x, m.weight, m.bias, padding=k // 2).numpy()
            for k, m in ((1, module.branch1), (3, module.branch2), (5, module.branch3))
        )
        pooled = F.max_pool2d(x, 3, 1, 1).numpy()
    expected = np.maximum(np.concatenate([one, three, five, pooled], 1), 0)
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["googlenet", "googlenet_2014"])
def test_googlenets_maps_have_the_papers_sizes(name):
    net = blank_build(name)
    shape = shape_after(net.maxpool1, shape_after(net.conv1, (1, 3, 224, 224)))
    assert shape == (1, 64, 56, 56)
    shape = shape_after(net.maxpool2, shape_after(net.conv3, shape_after(net.conv2, shape)))
    found = []
    for place in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"):
        shape = shape_after(getattr(net, f"inception{place}"), shape)
        found.append(shape[1:3])
        if place in ("3b", "4e"):
            shape = shape_after(net.maxpool3 if place == "3b" else net.maxpool4, shape)
    assert found == [
        (256, 28), (480, 28), (512, 14), (512, 14), (512, 14), (528, 14), (832, 14), (832, 7),
        (1024, 7),
    ]  # fmt: skip


def test_googlenet_has_22_weighted_layers_on_its_way():
    net = blank_build("googlenet_2014", aux_logits=False)
    modules = [m for _, m in net.named_modules() if isinstance(m, Inception)]
    stem_and_end = [net.conv1, net.conv2, net.conv3, net.fc]
    assert len(modules) == 9 and len(stem_and_end) + 2 * len(modules) == 22


@pytest.mark.parametrize(
    "name, heads, without",
    [("googlenet_2014", 13_378_280, 6_998_552), ("googlenet", 13_004_888, 6_624_904),
     ("inception_v3", 27_161_264, 23_834_568)],
)  # fmt: skip
def test_heads_are_counted(name, heads, without):
    assert blank_build(name).num_parameters() == heads
    net = blank_build(name, aux_logits=False)
    assert net.num_parameters() == without
    if name == "googlenet_2014":
        assert without - sum(p.size for p in net.fc.parameters()) == 5_973_552


def test_a_fork_gives_two_parts_of_the_joined_map():
    module = mixed_8(1280)
    assert shape_after(module, (2, 1280, 8, 8)) == (2, 2048, 8, 8)
    small = Mixed(2, HeadPool(), path=[(3, 1), [(4, (1, 3)), (5, (3, 1))]]).to(np.float64).eval()
    x = Tensor(random(2, 2, 5, 6))
    inner = small.path_1(x)
    expected = np.concatenate([small.path_2a(inner).numpy(), small.path_2b(inner).numpy()], axis=1)
    np.testing.assert_array_equal(small(x).numpy(), expected)
    assert [name for name, _ in small.children()] == ["pool", "path_1", "path_2a", "path_2b"]


@pytest.mark.parametrize("relu", [True, False])
def test_a_residual_module_that_adds_nothing_passes_its_input_on(relu):
    module = ResidualInception(3, 2, 0.1, relu, branch0=Conv2d(3, 2, 1))
    x = random(2, 3, 4, 4, dtype=np.float32)
    added = module.conv2d(module.branch0(Tensor(x))).numpy() * np.float32(0.1)
    got = module(Tensor(x)).numpy()
    np.testing.assert_allclose(
        got, np.maximum(x + added, 0) if relu else x + added, rtol=1e-5, atol=1e-6
    )
    init.constant_(module.conv2d.weight, 0)
    np.testing.assert_array_equal(module(Tensor(x)).numpy(), np.maximum(x, 0) if relu else x)


# ---------------------------------------------------------------------------
# Auxiliary heads
# ---------------------------------------------------------------------------
HEADS = [("googlenet", GoogLeNetOutputs), ("googlenet_2014", GoogLeNetOutputs),
         ("inception_v3", InceptionOutputs)]  # fmt: skip


@pytest.mark.parametrize("name, kind", HEADS)
def test_heads_speak_in_training_only(name, kind):
    minicnn.manual_seed(0)
    net = models.build(name, num_classes=4)
    x = Tensor(random(2, 3, 96, 96, dtype=np.float32))
    scores = net(x)
    assert type(scores) is kind
    assert [s.shape for s in scores] == [(2, 4)] * len(kind._fields)
    auxiliary_loss(scores, np.array([1, 3])).backward()
    assert all(p.grad is not None for p in net.parameters())
    net.zero_grad()
    alone = net.eval()(x)
    F.cross_entropy(alone, np.array([1, 3])).backward()
    assert alone.shape == (2, 4)
    silent = {name.split(".")[0] for name, p in net.named_parameters() if p.grad is None}
    assert silent == ({"AuxLogits"} if name == "inception_v3" else {"aux1", "aux2"})


@pytest.mark.parametrize("name, kind", HEADS)
def test_a_net_without_heads_gives_scores_in_training_too(name, kind):
    net = models.build(name, num_classes=4, aux_logits=False)
    assert net(Tensor(random(2, 3, 96, 96, dtype=np.float32))).shape == (2, 4)


def test_the_loss_weighs_the_heads():
    scores = GoogLeNetOutputs(*(Tensor(s) for s in random(3, 5, 4)))
    target = np.array([0, 1, 2, 3, 0])
    main, second, first = (F.cross_entropy(s, target).item() for s in scores)
    assert auxiliary_loss(scores, target).item() == pytest.approx(main + 0.3 * (second + first))
    assert auxiliary_loss(scores, target, 1.0).item() == pytest.approx(main + second + first)
    assert auxiliary_loss(scores.logits, target).item() == main


def test_the_trainer_trains_a_net_with_heads():
    minicnn.manual_seed(0)
    net = GoogLeNet(num_classes=2)
    batch = (random(2, 3, 32, 32, dtype=np.float32), np.array([0, 1]))
    before = {name: p.numpy().copy() for name, p in net.named_parameters()}
    optimizer = minicnn.optim.SGD(net.parameters(), lr=0.01)
    trainer = Trainer(net, optimizer, loss=auxiliary_loss, progress=False)
    history = trainer.fit([batch], [batch], epochs=1)
    assert np.isfinite(history[0]["train_loss"]) and 0 <= history[0]["train_accuracy"] <= 1
    assert any((p.numpy() != before[n]).any() for n, p in net.named_parameters() if "aux1" in n)


def test_a_head_pools_as_in_the_paper_and_at_other_sizes_all_the_same():
    x = random(2, 3, 14, 14)
    windows = np.lib.stride_tricks.sliding_window_view(x, (5, 5), (2, 3))[:, :, ::3, ::3]
    np.testing.assert_allclose(HeadPool()(Tensor(x)).numpy(), windows.mean((4, 5)), rtol=1e-12)
    for size in (1, 4, 7, 21):
        assert HeadPool()(Tensor(random(1, 2, size, size))).shape == (1, 2, 4, 4)


@pytest.mark.parametrize("size", [1, 5, 16, 17, 20, 23])
def test_inception_v3s_head_takes_maps_of_all_sizes(size):
    with init.empty():
        head = InceptionAux(8, 3).eval()
    assert shape_after(head, (2, 8, size, size)) == (2, 3)


# ---------------------------------------------------------------------------
# What comes in
# ---------------------------------------------------------------------------
def test_centred_undoes_one_normalization_and_makes_the_other():
    pixels = np.random.default_rng(0).random((2, 3, 4, 5))
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    x = (pixels - mean.reshape(3, 1, 1)) / deviation.reshape(3, 1, 1)
    np.testing.assert_allclose(centred(Tensor(x)).numpy(), pixels / 0.5 - 1, rtol=1e-12, atol=1e-12)
    assert centred(Tensor(x.astype(np.float32))).dtype == np.float32


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_transform_input_centres_the_images(name):
    net = models.build(name, num_classes=3, aux_logits=False).to(np.float64).eval()
    x = Tensor(random(1, 3, 80, 80))
    expected = net(centred(x)).numpy()
    assert (net(x).numpy() != expected).any()
    net.transform_input = True
    np.testing.assert_array_equal(net(x).numpy(), expected)


@pytest.mark.parametrize(
    "name",
    ["alexnet", "alexnet_2012", "zfnet", "zfnet_512", "vgg11", "vgg16_c", "vgg19_bn", "googlenet",
     "googlenet_2014", "squeezenet1_0", "squeezenet1_1", "densenet121", "densenet161",
     "inception_v3", "inception_v4", "inception_resnet_v2"],
)  # fmt: skip
def test_an_image_too_small_is_refused_by_name_and_with_the_least_size(name):
    net = blank_build(name, num_classes=7)
    least = net.smallest
    assert shape_after(net, (1, 3, least, least)) == (1, 7)
    assert shape_after(net, (1, 3, least + 5, least)) == (1, 7)
    kind = type(net).__name__
    for shape in ((1, 3, least - 1, least), (1, 3, least + 9, least - 1)):
        with pytest.raises(ValueError, match=rf"{kind}: expects .* {least} x {least} pixels"):
            shape_after(net, shape)
    net.smallest = 0  # and it is the least indeed: something inside breaks
    with pytest.raises(ValueError, match=rf"^(?!{kind})"):
        shape_after(net, (1, 3, least - 1, least - 1))


# ---------------------------------------------------------------------------
# SqueezeNet, DenseNet
# ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    "name, expected",
    [("squeezenet1_0", [(96, 109), (96, 54), (256, 27), (512, 13)]),
     ("squeezenet1_1", [(64, 111), (64, 55), (128, 27), (256, 13)])],
)  # fmt: skip
def test_squeezenets_maps_have_the_published_sizes(name, expected):
    net = blank_build(name, num_classes=5)
    assert sizes_in(net.features, (1, 3, 224, 224)) == expected
    assert shape_after(net.features, (1, 3, 224, 224)) == (1, 512, 13, 13)


def test_a_dense_layer_reads_what_all_before_it_gave(backend):
    block = DenseBlock(4, 5, growth=3, bottleneck=2, dropout=0.0)
    block = block.to(np.float64).to(backend.device).eval()
    with backend.running():
        store = [Tensor(random(2, 5, 4, 6)).to(backend.device)]
        whole = block(store[0]).numpy()
        for k, (_, layer) in enumerate(block.children()):
            assert layer.norm1.num_features == 5 + 3 * k
            store.append(layer(F.cat(store, 1)))
        np.testing.assert_allclose(whole, F.cat(store, 1).numpy(), rtol=1e-12, atol=1e-13)
    assert whole.shape == (2, 5 + 4 * 3, 4, 6)


def test_densenets_dropout_is_in_every_layer():
    net = blank_build("densenet121", drop_rate=0.2, num_classes=2)
    rates = [m.p for _, m in net.named_modules() if isinstance(m, Dropout)]
    assert rates == [0.2] * (6 + 12 + 24 + 16)


def test_branches_are_joined_in_the_order_they_were_named():
    module = Branches(b=Conv2d(2, 3, 1), a=Conv2d(2, 4, 1)).to(np.float64)
    x = Tensor(random(1, 2, 3, 3))
    expected = np.concatenate([module.b(x).numpy(), module.a(x).numpy()], axis=1)
    np.testing.assert_array_equal(module(x).numpy(), expected)


# ---------------------------------------------------------------------------
# Forms that others mix up
# ---------------------------------------------------------------------------
def filters(name):
    """(O, C, KH, KW) of every convolution, by name."""
    with init.empty():
        state = models.build(name).state_dict()
    return {key: value.shape for key, value in state.items() if value.ndim == 4}


def test_googlenets_5x5_is_3x3_in_torchvisions_weights():
    branch = "inception3a.branch3.1.conv.weight"
    assert filters("googlenet_2014")[branch] == (32, 16, 5, 5)
    assert filters("googlenet")[branch] == (32, 16, 3, 3)


def test_alexnet_of_2012_is_not_the_one_weird_tricks():
    of_2012, of_2014 = (list(filters(name).values()) for name in ("alexnet_2012", "alexnet"))
    assert [shape[0] for shape in of_2012] == [96, 256, 384, 384, 256]
    assert [shape[1] for shape in of_2012] == [3, 48, 256, 192, 192]  # towers: 2, 4 and 5 see one
    assert [shape[0] for shape in of_2014] == [64, 192, 384, 256, 256]
    assert [shape[1] for shape in of_2014] == [3, 64, 192, 384, 256]
