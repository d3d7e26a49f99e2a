"""Transforms: the right pixels, numbers of an image's own, and clear refusals."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn import Tensor, nn
from minicnn import functional as F
from minicnn.data import DataLoader, Dataset
from minicnn.data.streams import ImageStreams
from minicnn.data.transforms import (
    CenterCrop,
    ColorJitter,
    Compose,
    Cutout,
    MixUp,
    Normalize,
    PCALighting,
    RandomCrop,
    RandomHorizontalFlip,
    Resize,
    TenCrop,
    Transform,
)
from minicnn.optim import SGD
from minicnn.training import Trainer


def images(n=4, c=3, h=7, w=9, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).random((n, c, h, w)).astype(dtype)


def streams(n, key=5, start=0):
    return ImageStreams(key, np.arange(start, start + n))


# ---------------------------------------------------------------------------
# Random numbers of an image's own
# ---------------------------------------------------------------------------
def splitmix64(state):
    """The reference, in Python's own integers: numbers after `state`, without end."""
    mask = 2**64 - 1
    while True:
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        yield z ^ (z >> 31)


def test_the_hash_is_splitmix64():
    reference = splitmix64(1234567)
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert [next(reference) for _ in range(3)] == published


@given(key=st.integers(0, 2**64 - 1), index=st.integers(0, 2**40))
def test_streams_are_their_definition(key, index):
    mine = ImageStreams(key, [index])
    mask = 2**64 - 1
    start = next(splitmix64((key + (index - 1) * 0x9E3779B97F4A7C15) & mask))
    numbers = splitmix64(start)
    expected = [(next(numbers) >> 11) * 2.0**-53 for _ in range(5)]
    assert [*mine.random(1), *mine.random((1, 4))[0]] == expected


@given(
    indices=st.lists(st.integers(0, 10**9), min_size=1, max_size=20),
    place=st.integers(0, 19),
    key=st.integers(0, 2**64 - 1),
)
def test_a_stream_depends_on_its_image_alone(indices, place, key):
    place %= len(indices)
    together, alone = ImageStreams(key, indices), ImageStreams(key, indices[place : place + 1])
    n = len(indices)
    for draw in (
        lambda rng, n: rng.random(n),
        lambda rng, n: rng.integers(-3, 9, (n, 2)),
        lambda rng, n: rng.uniform(2, 3, (n, 2, 2)),
        lambda rng, n: rng.standard_normal((n, 3)),
    ):
        np.testing.assert_array_equal(draw(together, n)[place], draw(alone, 1)[0])


def test_streams_have_the_right_distribution():
    n = 200_000
    rng = streams(n)
    u, z, k = rng.random(n), rng.standard_normal(n), rng.integers(3, 8, n)
    assert u.min() >= 0 and u.max() < 1 and abs(u.mean() - 0.5) < 0.003
    assert abs(u.var() - 1 / 12) < 0.001
    assert abs(z.mean()) < 0.01 and abs(z.std() - 1) < 0.01 and abs((z**4).mean() - 3) < 0.1
    counts = np.bincount(k)
    assert len(counts) == 8 and not counts[:3].any()
    assert abs(counts[3:] / n - 0.2).max() < 0.005
    # Neighbours, and one image's successive numbers, are strangers to each other.
    again = rng.random(n)
    for a, b in ((u[1:], u[:-1]), (u, again)):
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.01


@pytest.mark.parametrize("size", [None, 3, (), (3, 2)])
def test_streams_give_one_row_an_image(size):
    with pytest.raises(ValueError, match=r"size is .*, but must begin with 4, the number of imag"):
        streams(4).random(size)


def test_streams_refuse_an_empty_range():
    with pytest.raises(ValueError, match="high is 2, but must be over low, which is 2"):
        streams(4).integers(2, 2, 4)


# ---------------------------------------------------------------------------
# What all transforms keep
# ---------------------------------------------------------------------------
EVERY = [
    RandomCrop((5, 6)),
    RandomCrop(7, padding=2, padding_mode="reflect"),
    CenterCrop(4),
    TenCrop((3, 4)),
    RandomHorizontalFlip(),
    Resize((5, 11)),
    Resize(4),
    Normalize((0.1, 0.2, 0.3), 0.5),
    PCALighting(),
    ColorJitter(0.4, 0.4, 0.4, 0.1),
    Cutout(3, fill=(0.1, 0.2, 0.3)),
    Compose([RandomCrop(5), RandomHorizontalFlip()]),
]
every = pytest.mark.parametrize("transform", EVERY, ids=str)


@every
def test_inputs_stay_and_dtype_and_order_of_memory_do_not_matter(transform):
    for dtype in (np.float32, np.float64):
        x = images(dtype=dtype)
        before = x.copy()
        y = transform(x, streams(4))
        np.testing.assert_array_equal(x, before)
        assert y.dtype == dtype and not np.shares_memory(x, y)
        other = np.asfortranarray(x)
        np.testing.assert_allclose(transform(other, streams(4)), y, rtol=1e-6, atol=1e-7)


@every
def test_an_image_is_changed_alike_alone_and_in_any_batch(transform):
    x = images(6)
    together = transform(x, streams(6))
    for k in range(6):
        alone = transform(x[k], streams(1, start=k))
        np.testing.assert_allclose(alone, together[k], rtol=1e-6, atol=1e-7)


@every
def test_numpys_generator_will_do(transform):
    x = images()
    first, again = (transform(x, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first, again)


@every
@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ([[1]], TypeError, "images are list, but must be an ndarray"),
        (np.zeros((3, 4)), ValueError, r"images have shape \(3, 4\), but must be \(N, C, H, W\)"),
    ],
)
def test_other_things_are_refused(transform, x, error, message):
    with pytest.raises(error, match=f"{transform.name}: {message}"):
        transform(x, streams(4))


@pytest.mark.parametrize("transform", [t for t in EVERY if t.draws], ids=str)
def test_numbers_are_asked_for(transform):
    with pytest.raises(TypeError, match=f"{transform.name}: rng is None, but must be a generator"):
        transform(images())


def test_a_transform_of_ones_own():
    class Invert(Transform):
        def apply(self, x, rng):
            return 1 - x

    x = images()
    np.testing.assert_array_equal(Compose([Invert(), Invert()])(x)[0], 1 - (1 - x[0]))
    with pytest.raises(TypeError, match="Compose: 3 is in transforms, but is not callable"):
        Compose([Invert(), 3])


# ---------------------------------------------------------------------------
# Crops and flips
# ---------------------------------------------------------------------------
@given(
    h=st.integers(1, 6), w=st.integers(1, 6), ph=st.integers(0, 3), pw=st.integers(0, 3),
    mode=st.sampled_from(["constant", "edge", "reflect", "symmetric"]), seed=st.integers(0, 99),
)  # fmt: skip
def test_random_crop_is_a_window_of_the_padded_image(h, w, ph, pw, mode, seed):
    x = images(3, 2, 5, 6)
    size = min(h, 5 + 2 * ph), min(w, 6 + 2 * pw)
    settings = {"constant_values": 0.5} if mode == "constant" else {}
    padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)), mode, **settings)
    y = RandomCrop(size, (ph, pw), fill=0.5, padding_mode=mode)(x, streams(3, key=seed))
    windows = np.lib.stride_tricks.sliding_window_view(padded, size, axis=(2, 3))
    for n in range(3):
        assert (windows[n] == y[n][:, None, None]).all(axis=(0, 3, 4)).any()


def test_random_crop_visits_every_place_equally():
    n = 20_000
    x = np.broadcast_to(np.arange(12.0).reshape(1, 1, 3, 4), (n, 1, 3, 4))
    corners = RandomCrop(2)(x, streams(n))[:, 0, 0, 0].astype(int)
    counts = np.bincount(corners, minlength=12)
    places = [0, 1, 2, 4, 5, 6]
    assert counts[places].sum() == n and abs(counts[places] / n - 1 / 6).max() < 0.01


def test_center_crop_and_ten_crop_by_hand():
    x = np.arange(20, dtype=np.uint8).reshape(1, 1, 4, 5)
    np.testing.assert_array_equal(CenterCrop(2)(x)[0, 0], [[6, 7], [11, 12]])
    np.testing.assert_array_equal(CenterCrop((4, 5))(x), x)
    ten = TenCrop(2)(x)
    assert ten.shape == (1, 10, 1, 2, 2) and ten.dtype == np.uint8
    assert ten[0, :, 0, 0, 0].tolist() == [0, 3, 10, 13, 6, 4, 1, 14, 11, 8]
    np.testing.assert_array_equal(ten[0, 5, 0], [[4, 3], [9, 8]])


def test_flip():
    x = images(1000)
    y = RandomHorizontalFlip(0.3)(x, streams(1000))
    flipped = (y == x[..., ::-1]).all(axis=(1, 2, 3))
    np.testing.assert_array_equal(y[~flipped], x[~flipped])
    assert 0.25 < flipped.mean() < 0.35
    np.testing.assert_array_equal(RandomHorizontalFlip(1)(x, streams(1000)), x[..., ::-1])
    np.testing.assert_array_equal(RandomHorizontalFlip(0)(x, streams(1000)), x)


@pytest.mark.parametrize("transform", [RandomCrop(8), CenterCrop(8), TenCrop(8)], ids=str)
def test_crops_that_do_not_fit(transform):
    with pytest.raises(ValueError, match="a crop of 8x8 does not fit into images of 7x9; use a"):
        transform(images(), streams(4))


# ---------------------------------------------------------------------------
# Resize
# ---------------------------------------------------------------------------
@pytest.mark.parametrize("size", [(5, 4), (7, 20), (23, 9), (1, 1), (14, 18), (7, 9)])
def test_resize_is_pytorchs(size):
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    x = images(dtype=np.float64)
    expected = torch.nn.functional.interpolate(
        torch.tensor(x), size, mode="bilinear", antialias=True, align_corners=False
    )
    np.testing.assert_allclose(Resize(size)(x), expected, atol=1e-12)


def test_resize_is_pillows():
    from PIL import Image

    x = images(1, 1, 40, 61)
    found = Resize((16, 25))(x)[0, 0]
    expected = Image.fromarray(x[0, 0]).resize((25, 16), Image.Resampling.BILINEAR)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("before", "size", "after"),
    [((20, 30), 10, (10, 15)), ((31, 20), 10, (15, 10)), ((5, 5), 8, (8, 8)), ((7, 9), 7, (7, 9))],
)
def test_resize_to_the_shorter_side(before, size, after):
    assert Resize(size)(images(2, 1, *before)).shape == (2, 1, *after)


def test_resize_keeps_what_is_constant():
    x = np.full((1, 3, 9, 7), 0.3)
    np.testing.assert_allclose(Resize((4, 13))(x), 0.3)
    with pytest.raises(TypeError, match="Resize: images are uint8, but must be floats; divide by"):
        Resize(4)(np.zeros((1, 3, 9, 7), np.uint8))


# ---------------------------------------------------------------------------
# Colours
# ---------------------------------------------------------------------------
def test_normalize():
    x = images()
    mean, std = np.float32([0.1, 0.2, 0.3]), np.float32([0.5, 0.6, 0.7])
    y = Normalize(tuple(mean), tuple(std))(x)
    np.testing.assert_allclose(
        y, (x - mean[:, None, None]) / std[:, None, None], rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(Normalize(0.5, 2)(x), (x - 0.5) / 2, rtol=1e-6, atol=1e-7)


def test_pca_lighting_adds_one_colour_to_an_image():
    n = 20_000
    x = np.full((n, 3, 2, 2), 0.5)
    values = 0.3, 0.2, 0.1
    vectors = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    added = PCALighting(0.1, values, vectors)(x, streams(n)) - x
    np.testing.assert_array_equal(added, np.broadcast_to(added[:, :, :1, :1], added.shape))
    along = added[:, :, 0, 0] @ vectors
    np.testing.assert_allclose(along.std(axis=0), 0.1 * np.array(values), rtol=0.03)
    assert abs(np.corrcoef(along.T) - np.eye(3)).max() < 0.03


def test_pca_of_a_data_set():
    rng = np.random.default_rng(0)
    vectors = np.array([[1, 1, 1], [1, -1, 0], [1, 1, -2]]).T / np.sqrt([3, 2, 6])
    amounts = rng.normal(size=(8, 32 * 32, 3)) * np.sqrt([0.03, 0.002, 0.0005])
    pixels = 0.5 + (amounts @ vectors.T).reshape(8, 32, 32, 3).transpose(0, 3, 1, 2)
    found = PCALighting.of(pixels)
    np.testing.assert_allclose(found.eigenvalues, [0.03, 0.002, 0.0005], rtol=0.05)
    dots = np.abs(np.sum(np.array(found.eigenvectors) * vectors, axis=0))
    np.testing.assert_allclose(dots, 1, atol=1e-2)
    whole = PCALighting.of(np.rint(pixels.clip(0, 1) * 255).astype(np.uint8))
    np.testing.assert_allclose(whole.eigenvalues, found.eigenvalues, rtol=0.02)
    with pytest.raises(
        ValueError, match=r"PCALighting: images have shape \(2, 1, 3, 3\), but must"
    ):
        PCALighting.of(np.zeros((2, 1, 3, 3)))


def grey(pixel):
    return np.float32([0.2989, 0.587, 0.114]) @ pixel


JITTERS = {
    "brightness": lambda x, f: f * x,
    "contrast": lambda x, f: f * x + (1 - f) * np.mean([grey(p) for p in x.reshape(3, -1).T]),
    "saturation": lambda x, f: f * x + (1 - f) * np.tensordot([0.2989, 0.587, 0.114], x, 1),
    "hue": lambda x, f: np.apply_along_axis(turned, 0, x, f),
}


def turned(pixel, f):
    h, s, v = colorsys.rgb_to_hsv(*pixel)
    return colorsys.hsv_to_rgb((h + f) % 1, s, v)


@pytest.mark.parametrize("what", JITTERS)
@pytest.mark.parametrize("f", [-0.5, -0.21, 0, 0.1, 0.33, 0.5])
def test_each_jitter_by_its_formula(what, f):
    factor = f if what == "hue" else 1 + f
    x = images(2, dtype=np.float64)
    x[0, :, 0, 0], x[0, :, 0, 1], x[0, :, 0, 2] = 0.4, 0, 1  # greys
    x[0, :, 1, 0], x[0, :, 1, 1], x[0, :, 1, 2] = (1, 0, 0), (1, 1, 0), (0, 0, 0.5)
    y = ColorJitter(**{what: (factor, factor)})(x, streams(2))
    for image, found in zip(x, y):
        np.testing.assert_allclose(found, JITTERS[what](image, factor).clip(0, 1), atol=1e-6)


def test_jitter_draws_its_factors_and_its_order():
    n = 3000
    x = np.full((n, 3, 1, 1), 0.5)
    y = ColorJitter(brightness=0.4)(x, streams(n))[:, 0, 0, 0]
    assert y.min() > 0.3 - 1e-9 and y.max() < 0.7 + 1e-9 and abs(y.mean() - 0.5) < 0.01
    x[:] = np.array([0.9, 0.1, 0.1]).reshape(1, 3, 1, 1)
    y = ColorJitter(brightness=(2, 2), saturation=(0, 0))(x, streams(n))[:, 0, 0, 0]
    first = (np.abs(y - grey(np.array([1, 0.2, 0.2]))) < 1e-6).mean()
    second = (np.abs(y - 2 * grey(np.array([0.9, 0.1, 0.1]))) < 1e-6).mean()
    assert abs(first - 0.5) < 0.05 and first + second == 1


@pytest.mark.parametrize(
    "make",
    [lambda: PCALighting(), lambda: ColorJitter(0.1)],
)
def test_colours_need_colours(make):
    with pytest.raises(ValueError, match="images have 1 channels, but must have 3"):
        make()(images(c=1), streams(4))
    with pytest.raises(TypeError, match="images are uint8, but must be floats; divide by 255"):
        make()(np.zeros((4, 3, 2, 2), np.uint8), streams(4))


# ---------------------------------------------------------------------------
# Cutout and mixup
# ---------------------------------------------------------------------------
@given(size=st.integers(1, 9), seed=st.integers(0, 99))
def test_cutout_hides_one_square_cut_by_the_border(size, seed):
    x = np.ones((5, 3, 6, 7), np.float32)
    y = Cutout(size, fill=(0.1, 0.2, 0.3))(x, streams(5, key=seed))
    for image in y:
        hidden = image[0] != 1
        rows, columns = np.flatnonzero(hidden.any(1)), np.flatnonzero(hidden.any(0))
        assert hidden[np.ix_(rows, columns)].all() and hidden.sum() == len(rows) * len(columns)
        for places, extent in ((rows, 6), (columns, 7)):
            assert np.array_equal(places, np.arange(places[0], places[-1] + 1))
            at_border = places[0] == 0 or places[-1] == extent - 1
            assert len(places) == size or (at_border and (size - 1) // 2 < len(places) < size)
        np.testing.assert_array_equal(
            image[:, hidden].T, [np.float32([0.1, 0.2, 0.3])] * hidden.sum()
        )


def test_cutout_of_one_pixel_visits_every_pixel_equally():
    n = 20_000
    y = Cutout(1)(np.ones((n, 1, 4, 5), np.float32), streams(n))
    assert ((y == 0).sum(axis=(1, 2, 3)) == 1).all()
    assert abs((y == 0).mean(axis=0) - 1 / 20).max() < 0.01


def test_mixup_mixes_images_and_classes_alike():
    K = 6
    y = np.array([0, 1, 2, 3, 4, 5])
    x = np.eye(K, dtype=np.float32).reshape(K, K, 1, 1) * np.ones((1, 1, 2, 3), np.float32)
    mixed, target = MixUp(K, alpha=1)(x, y, np.random.default_rng(0))
    np.testing.assert_allclose(mixed[:, :, 0, 0], target, rtol=1e-6)  # image k has 1 in channel k
    np.testing.assert_allclose(target.sum(axis=1), 1, rtol=1e-6)
    assert mixed.dtype == target.dtype == np.float32
    share = target.max(axis=1)
    assert len(np.unique(share.round(6))) <= 2  # one share for the batch; 1 for what met itself
    loss = F.cross_entropy(Tensor(np.zeros((K, K), np.float32)), target)
    assert loss.item() == pytest.approx(np.log(K), rel=1e-6)


def test_mixup_draws_its_share_from_beta():
    x, y = np.array([0.0, 1.0]).reshape(2, 1, 1, 1), np.array([0, 1])
    rng = np.random.default_rng(0)
    shares = np.array([MixUp(2, alpha=0.4)(x, y, rng)[1][0, 0] for _ in range(8000)])
    mixed = shares[shares < 1]  # half of the permutations of two leave them where they are
    assert abs(len(mixed) / 8000 - 0.5) < 0.03
    assert abs(mixed.mean() - 0.5) < 0.02
    assert mixed.var() == pytest.approx(1 / (4 * (2 * 0.4 + 1)), rel=0.05)


def test_mixup_in_a_loader():
    rng = np.random.default_rng(0)
    ds = Dataset(rng.integers(0, 256, (20, 3, 8, 8), np.uint8), np.arange(20) % 4)
    settings = {"batch_size": 8, "shuffle": True, "seed": 3}
    plain = list(DataLoader(ds, **settings))
    for workers in (0, 2):
        loader = DataLoader(ds, **settings, mix=MixUp(4), workers=workers)
        batches = list(loader)
        assert [t.shape for _, t in batches] == [(8, 4), (8, 4), (4, 4)]
        assert all(x.transpose(0, 2, 3, 1).flags.c_contiguous for x, _ in batches)
        assert not any(np.array_equal(a, b) for (a, _), (b, _) in zip(plain, batches))
        loader.epoch = 0
        for (a, b), (c, d) in zip(batches, loader):
            np.testing.assert_array_equal(a, c)
            np.testing.assert_array_equal(b, d)


def test_a_net_learns_from_mixed_images():
    images = np.zeros((60, 3, 4, 4), np.uint8)
    images[np.arange(60), np.arange(60) % 3] = 255  # red, green, blue
    ds = Dataset(images, np.arange(60) % 3)
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 3))
    coach = Trainer(model, SGD(model.parameters(), lr=0.1), progress=False)
    mixed = DataLoader(ds, 12, True, mix=MixUp(3, alpha=0.4))
    history = coach.fit(mixed, DataLoader(ds, 60), epochs=8)
    assert history[-1]["val_accuracy"] == 1 and history[-1]["train_accuracy"] > 0.7


@pytest.mark.parametrize("y", [np.array([0, 1]), np.array([0, 1, 2, 4]), np.array([0, -1, 2, 3])])
def test_mixup_refuses_labels_that_do_not_fit(y):
    with pytest.raises(ValueError, match=r"MixUp: labels .* each of the 4 images, in 0\.\.3"):
        MixUp(4)(images(), y, np.random.default_rng(0))


# ---------------------------------------------------------------------------
# Refusals when they are made
# ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: RandomCrop(0), ValueError, "RandomCrop: size expects an int or a pair of ints"),
        (lambda: RandomCrop(2.5), TypeError, "RandomCrop: size expects an int or a pair"),
        (lambda: RandomCrop(4, padding=-1), ValueError, "RandomCrop: padding expects"),
        (lambda: RandomCrop(4, 1, padding_mode="wrap"), ValueError, "padding_mode is 'wrap', but"),
        (lambda: CenterCrop((1, 2, 3)), ValueError, "CenterCrop: size expects"),
        (lambda: TenCrop(-1), ValueError, "TenCrop: size expects"),
        (lambda: Resize(0), ValueError, "Resize: size expects"),
        (lambda: RandomHorizontalFlip(1.5), ValueError, "p expects a number from 0 to 1, but got"),
        (lambda: Normalize(0, 0), ValueError, "Normalize: std is 0, but must be greater than 0"),
        (lambda: Normalize("x", 1), TypeError, "Normalize: mean is 'x', but must be numbers"),
        (lambda: PCALighting(-1), ValueError, "PCALighting: std expects a number of 0 or more"),
        (lambda: PCALighting(0.1, (1, 2)), ValueError, r"eigenvalues have shape \(2,\), but must"),
        (lambda: ColorJitter(brightness=-1), ValueError, "ColorJitter: brightness expects a numb"),
        (
            lambda: ColorJitter(contrast=(2, 1)),
            ValueError,
            r"contrast is \(2, 1\), but must be one",
        ),
        (lambda: ColorJitter(hue=0.6), ValueError, "ColorJitter: hue expects a number of 0 to 0.5"),
        (lambda: ColorJitter(hue=(1,)), ValueError, r"hue is \(1,\), but must be one number, or"),
        (lambda: Cutout(0), ValueError, "Cutout: size expects 1 or more, but got 0"),
        (lambda: MixUp(0), ValueError, "MixUp: num_classes expects 1 or more"),
        (lambda: MixUp(10, 0), ValueError, "MixUp: alpha expects a number over 0, but got 0"),
    ],
)
def test_refusals(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_number_for_each_channel_must_fit():
    with pytest.raises(ValueError, match=r"Normalize: mean is \(0, 0\), .* of the 3 channels"):
        Normalize((0, 0), 1)(images())
    with pytest.raises(ValueError, match=r"Cutout: fill is \(0, 0\), .* of the 3 channels"):
        Cutout(2, (0, 0))(images(), streams(4))
