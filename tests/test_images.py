"""Pictures, folders of them, and archives: the right pixels, or an error that names the file."""

from __future__ import annotations

import gzip
import io
import struct
import sys
import tarfile
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from minicnn.data import DataError, DataLoader, ImageFolder, extract, pictures, read_picture
from minicnn.data.transforms import CenterCrop, Compose, RandomCrop, RandomHorizontalFlip, Resize

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)


def saved(folder, image, name="x.png", **settings):
    path = folder / name
    image.save(path, **settings)
    return path


def smooth(height=24, width=32):
    """A picture that JPEG keeps nearly as it is."""
    y, x = np.mgrid[:height, :width]
    planes = 40 + 4 * x, 60 + 5 * y, 200 - 2 * x - 2 * y
    return np.stack(planes, axis=-1).astype(np.uint8)


def shows(path, expected, atol=0, mode="RGB"):
    """Assert that a file has these pixels, given as (H, W, C)."""
    found = read_picture(path, mode)
    assert found.dtype == np.uint8
    np.testing.assert_allclose(found.transpose(1, 2, 0), expected, atol=atol)


# ---------------------------------------------------------------------------
# One picture, of every kind
# ---------------------------------------------------------------------------
def test_rgb(tmp_path):
    shows(saved(tmp_path, Image.fromarray(PIXELS)), PIXELS)


def test_jpeg(tmp_path):
    for name in ("x.jpg", "x.jpeg", "X.JPG"):
        path = saved(tmp_path, Image.fromarray(smooth()), name, quality=95, subsampling=0)
        shows(path, smooth(), atol=4)


def test_grey_and_one_bit(tmp_path):
    grey = PIXELS[..., :1]
    path = saved(tmp_path, Image.fromarray(grey[..., 0]))
    shows(path, np.repeat(grey, 3, axis=-1))
    shows(path, grey, mode="L")
    bits = Image.fromarray(np.where(grey[..., 0] > 99, 255, 0).astype(np.uint8)).convert("1")
    shows(saved(tmp_path, bits), np.where(grey > 99, 255, 0), mode="L")


def test_colour_as_grey(tmp_path):
    expected = PIXELS @ [0.299, 0.587, 0.114]
    shows(saved(tmp_path, Image.fromarray(PIXELS)), expected[..., None], atol=1, mode="L")


def test_palette(tmp_path):
    colours = np.array([[255, 0, 0], [0, 200, 10], [3, 4, 250]], np.uint8)
    numbers = np.array([[0, 1, 2], [2, 2, 1]], np.uint8)
    image = Image.new("P", (3, 2))
    image.putdata(numbers.ravel().tolist())
    image.putpalette(colours.ravel().tolist())
    shows(saved(tmp_path, image), colours[numbers])


def test_transparency_lies_on_white(tmp_path):
    rgba = np.dstack([PIXELS, np.full(PIXELS.shape[:2], 255, np.uint8)])
    rgba[0, :, 3], rgba[1, :, 3] = 0, 102
    expected = PIXELS.astype(float)
    expected[0], expected[1] = 255, 0.4 * PIXELS[1] + 0.6 * 255
    shows(saved(tmp_path, Image.fromarray(rgba)), expected, atol=1)
    grey = Image.fromarray(rgba).convert("LA")
    assert (read_picture(saved(tmp_path, grey))[:, 0] == 255).all()
    palette = Image.new("P", (2, 1))
    palette.putdata([0, 1])
    palette.putpalette([9, 9, 9, 40, 50, 60])
    shows(saved(tmp_path, palette, transparency=0), [[[255] * 3, [40, 50, 60]]])


def test_sixteen_bits_are_scaled_not_cut(tmp_path):
    deep = np.array([[0, 128, 129, 256], [257, 32768, 65407, 65535]], np.uint16)
    path = saved(tmp_path, Image.fromarray(deep))
    shows(path, [[[0], [0], [1], [1]], [[1], [128], [255], [255]]], mode="L")
    shows(path, np.repeat(np.rint(deep[..., None] / 257), 3, axis=-1))


def test_cmyk(tmp_path):
    inks = np.zeros((16, 16, 4), np.uint8)
    inks[:8, :, 0], inks[8:, :, 3] = 255, 128  # cyan above, half black below
    path = saved(tmp_path, cmyk(inks), "x.jpg", quality=98)
    expected = np.zeros((16, 16, 3))
    expected[:8], expected[8:] = (0, 255, 255), 127
    shows(path, expected, atol=6)


def cmyk(inks):
    return Image.merge("CMYK", [Image.fromarray(inks[..., k]) for k in range(4)])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["x.jpg", "x.png"])
def test_exif_says_which_way_is_up(tmp_path, orientation, name):
    upright = smooth()
    # What a camera stores so that turning it by the note gives the upright picture.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    quality = {"quality": 95, "subsampling": 0} if name == "x.jpg" else {}
    image = Image.fromarray(np.ascontiguousarray(stored))
    shows(saved(tmp_path, image, name, exif=exif, **quality), upright, atol=5)


# ---------------------------------------------------------------------------
# Pictures that are none
# ---------------------------------------------------------------------------
NOISE = Image.fromarray(PIXELS)


def in_memory(format, image=None):
    packed = io.BytesIO()
    (image or Image.fromarray(smooth())).save(packed, format)
    return packed.getvalue()


def chunk(kind, content):
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check


def bomb(width, height):
    """A PNG file of a few bytes that claims any size."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(99)))
    return b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b"")


BAD = {
    "empty": (b"", "is no picture: expects a whole JPEG or PNG file"),
    "text": (b"<html>no such page</html>", "is no picture"),
    "another format": (in_memory("GIF"), "is no picture"),
    "a BMP": (in_memory("BMP"), "is no picture"),
    "cut JPEG": (in_memory("JPEG")[:-50], "cannot be decoded: .*runcated.*; replace or remove"),
    "cut PNG": (in_memory("PNG", NOISE)[:-60], "cannot be decoded: .*; replace or remove"),
    "head only": (in_memory("PNG")[:20], "(cannot be decoded|is no picture)"),
    "large": (bomb(10_000, 9_000), "claims more than 89,478,485 pixels, the most that are decoded"),
    "huge": (bomb(2**31 - 1, 2**31 - 1), "claims more than 89,478,485 pixels"),
}


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD)
def test_a_bad_picture_is_named(tmp_path, content, message):
    path = tmp_path / "folder" / "bad.png"
    path.parent.mkdir()
    path.write_bytes(content)
    for treatment in ("error", "ignore"):  # of Pillow's own warnings
        with pytest.raises(DataError, match=message) as caught, warnings.catch_warnings():
            warnings.simplefilter(treatment)
            read_picture(path)
        assert str(caught.value).startswith(str(path))


@given(data=st.data())
def test_a_spoilt_picture_is_a_data_error_or_a_picture(data, tmp_path_factory):
    good = bytearray(in_memory(data.draw(st.sampled_from(["PNG", "JPEG"]))))
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("spoilt") / "x.png"
    path.write_bytes(bytes(good[: data.draw(st.integers(0, len(good)))]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            assert read_picture(path).shape[0] == 3
        except DataError as error:
            assert str(error).startswith(str(path))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_picture(tmp_path / "none.png")


def test_without_pillow(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(
        ImportError, match=r"needs Pillow, .*install it with: pip install minicnn\["
    ):
        read_picture(tmp_path / "x.png")


# ---------------------------------------------------------------------------
# A folder of them
# ---------------------------------------------------------------------------
@pytest.fixture
def flowers(tmp_path):
    """Two classes, pictures of several sizes and kinds, and files that are not to count."""
    root = tmp_path / "flowers"
    rng = np.random.default_rng(0)
    for name, count in (("rose", 3), ("daisy", 4)):
        (root / name / "deeper").mkdir(parents=True)
        for k in range(count):
            height, width = rng.integers(20, 40, 2)
            pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
            folder = root / name / ("deeper" if k == 1 else "")
            saved(folder, Image.fromarray(pixels), f"{k}{['.png', '.JPG', '.jpeg', '.PNG'][k]}")
    (root / "rose" / "notes.txt").write_text("no picture")
    (root / "rose" / "._0.png").write_bytes(b"hidden")
    (root / ".cache").mkdir()
    (root / "README.md").write_text("no class")
    return root


def test_folder(flowers):
    ds = ImageFolder(flowers)
    assert ds.classes == ("daisy", "rose") and len(ds) == 7 and ds.channels == 3
    assert ds.labels.tolist() == [0, 0, 0, 0, 1, 1, 1] and ds.labels.dtype == np.int64
    names = [path.relative_to(flowers).as_posix() for path in ds.paths]
    assert names[:4] == ["daisy/0.png", "daisy/2.jpeg", "daisy/3.PNG", "daisy/deeper/1.JPG"]
    assert names[4:] == ["rose/0.png", "rose/2.jpeg", "rose/deeper/1.JPG"]
    image, label = ds[4]
    np.testing.assert_array_equal(image, read_picture(ds.paths[4]))
    assert label == 1 and type(label) is int
    assert repr(ds) == f"<ImageFolder {flowers}: 7 pictures, 2 classes>"
    assert ImageFolder(str(flowers), mode="L")[0][0].shape[0] == 1


@pytest.mark.parametrize(
    ("index", "expected"),
    [(slice(1, 6, 2), [1, 3, 5]), ([6, 0], [6, 0]), ([], []), (np.arange(7) > 4, [5, 6])],
)
def test_parts_of_a_folder(flowers, index, expected):
    ds = ImageFolder(flowers)
    part = ds[index]
    assert part.paths == [ds.paths[k] for k in expected] and part.classes == ds.classes
    assert part.labels.tolist() == ds.labels[expected].tolist() and len(ds) == 7
    with pytest.raises(TypeError, match="ImageFolder: index is .* but must be an integer, a slice"):
        ds["rose"]


def test_folders_that_are_none(flowers):
    with pytest.raises(FileNotFoundError, match="none is no folder; name one that holds a folder"):
        ImageFolder(flowers / "none")
    with pytest.raises(DataError, match="deeper holds no folders, but must hold one for each cla"):
        ImageFolder(flowers / "rose" / "deeper")
    (flowers / "tulip").mkdir()
    with pytest.raises(DataError, match=r"tulip holds no picture \(a file ending in .jpg, .jpeg, "):
        ImageFolder(flowers)
    with pytest.raises(ValueError, match="ImageFolder: mode is 'CMYK', but must be 'RGB' or 'L'"):
        ImageFolder(flowers, mode="CMYK")


AUGMENT = Compose([Resize(18), RandomCrop(16, padding=2), RandomHorizontalFlip()])


def test_a_loader_of_a_folder_does_not_depend_on_workers_or_batch_size(flowers):
    ds = ImageFolder(flowers)
    walks = []
    for batch_size, workers in ((7, 0), (2, 0), (2, 1), (3, 3)):
        loader = DataLoader(ds, batch_size, True, 5, transform=AUGMENT, mean=0.5, workers=workers)
        walks.append([np.concatenate(part) for part in zip(*loader)])
    assert walks[0][0].shape == (7, 3, 16, 16)
    for x, y in walks[1:]:
        np.testing.assert_array_equal(x, walks[0][0])
        np.testing.assert_array_equal(y, walks[0][1])
    assert walks[0][1].tolist() == ds.labels[loader.order(0)].tolist()


def test_a_loader_names_the_picture_that_is_bad(flowers):
    ds = ImageFolder(flowers)
    ds.paths[5].write_bytes(b"bad")
    for workers in (0, 2):
        loader = DataLoader(ds, 2, transform=AUGMENT, workers=workers)
        walk = iter(loader)
        next(walk), next(walk)
        with pytest.raises(DataError, match=r"2\.jpeg is no picture"):
            next(walk)


def test_a_loader_asks_for_one_size(flowers):
    with pytest.raises(ValueError, match=r"images of one batch have sizes .*give a transform such"):
        next(iter(DataLoader(ImageFolder(flowers), 7)))


def test_real_flowers(data_dir, tmp_path):
    root = extract(data_dir / "flowers160.tar", tmp_path / "flowers")
    train, test = ImageFolder(root / "train"), ImageFolder(root / "test")
    assert len(train.classes) == 5 and train.classes == test.classes
    assert np.bincount(train.labels).tolist() == [100] * 5
    assert np.bincount(test.labels).tolist() == [40] * 5
    part = train[::25]
    view = Compose([Resize(64), CenterCrop(56)])
    x, y = next(iter(DataLoader(part, 20, transform=view, workers=2)))
    assert x.shape == (20, 3, 56, 56) and 0.02 < x.mean() < 0.98 and x.std() > 0.1
    assert min(min(image.shape[1:]) for image, _ in part) >= 160


# ---------------------------------------------------------------------------
# Archives
# ---------------------------------------------------------------------------
def tar(path, *members, zipped=False):
    """A tar file of (name, content) pairs, or of TarInfo objects."""
    with tarfile.open(path, "w:gz" if zipped else "w") as archive:
        for name, content in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def member(kind, name="link", target="/etc/passwd"):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


@pytest.mark.parametrize("zipped", [False, True])
def test_extract(tmp_path, zipped):
    folder = member(tarfile.DIRTYPE, "a/empty")
    archive = tar(tmp_path / "x", ("a/b/1", b"one"), folder, ("2", b"two" * 9999), zipped=zipped)
    root = extract(archive, tmp_path / "deep" / "out")
    found = {p.relative_to(root).as_posix(): p for p in root.rglob("*")}
    assert sorted(found) == ["2", "a", "a/b", "a/b/1", "a/empty"]
    assert found["a/b/1"].read_bytes() == b"one" and found["2"].read_bytes() == b"two" * 9999
    with pytest.raises(FileExistsError, match="out is there already; remove it or name another"):
        extract(archive, root)


GOOD = ("a/1", b"fine")
HOSTILE = {
    "up": ([GOOD, ("../evil", b"x")], r"holds '\.\./evil', which leads out of the folder"),
    "up inside": ([GOOD, ("a/../../evil", b"x")], "which leads out of the folder"),
    "absolute": ([GOOD, ("/tmp/evil", b"x")], "which leads out of the folder"),
    "Windows": ([GOOD, ("a\\..\\..\\evil", b"x")], "which leads out of the folder"),
    "drive": ([GOOD, ("C:evil", b"x")], "which leads out of the folder"),
    "symlink": ([GOOD, member(tarfile.SYMTYPE)], "holds 'link', a link, a device or a sparse"),
    "hard link": ([GOOD, member(tarfile.LNKTYPE)], "holds 'link', a link"),
    "device": ([GOOD, member(tarfile.CHRTYPE)], "holds 'link', a link, a device"),
    "pipe": ([GOOD, member(tarfile.FIFOTYPE)], "holds 'link', a link, a device"),
    "twice": ([GOOD, GOOD], "a/1 comes twice in the archive"),
    "file as folder": ([GOOD, ("a/1/2", b"x")], "a/1/2 comes twice in the archive"),
}


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(("members", "message"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_archive_leaves_nothing(tmp_path, members, message, zipped):
    archive = tar(tmp_path / "bad.tar", *members, zipped=zipped)
    with pytest.raises(DataError, match=message) as caught:
        extract(archive, tmp_path / "out")
    assert str(caught.value).startswith(str(archive))
    assert [path.name for path in tmp_path.iterdir()] == ["bad.tar"]
    assert not (tmp_path.parent / "evil").exists() and not Path("/tmp/evil").exists()


@pytest.mark.parametrize("zipped", [False, True])
def test_an_archive_cut_anywhere_is_refused(tmp_path, zipped):
    members = [(f"{k}", bytes([k + 1]) * 600) for k in range(3)]
    whole = tar(tmp_path / "whole", *members, zipped=zipped).read_bytes()
    # Where only zeros at the very end are lost, all members are whole.
    ends = range(0, len(whole), 3) if zipped else range(0, 3 * 1536 + 512, 97)
    for end in ends:
        (tmp_path / "cut").write_bytes(whole[:end])
        with pytest.raises(DataError, match="cut (is cut short|is damaged)"):
            extract(tmp_path / "cut", tmp_path / "out")
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is (damaged|cut short)"),
        (b"<html>" * 999, "is damaged: it is no whole tar file"),
        (gzip.compress(b"<html>" * 999), "is damaged: it is no whole tar file"),
        (b"\x1f\x8b" + bytes(600), "is damaged: it does not unpack"),
    ],
    ids=["nothing", "a page", "a packed page", "a gzip header and no more"],
)
def test_what_is_no_archive(tmp_path, content, message):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(DataError, match=f"x {message}"):
        extract(tmp_path / "x", tmp_path / "out")


def test_a_spoilt_gzip_checksum_is_found(tmp_path):
    content = bytearray(tar(tmp_path / "x", GOOD, zipped=True).read_bytes())
    content[-6] ^= 1
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(DataError, match="x is damaged: it does not unpack .*CRC"):
        extract(tmp_path / "x", tmp_path / "out")


def test_an_archive_that_swells_is_stopped(tmp_path):
    archive = tar(tmp_path / "x", ("zeros", bytes(10**6)), zipped=True)
    assert archive.stat().st_size < 5000
    with pytest.raises(DataError, match="x unpacks to more than the 100,000 bytes allowed"):
        extract(archive, tmp_path / "out", most_bytes=100_000)
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_the_limit_of_pixels_is_pillows():
    assert pictures.MOST_PIXELS == Image.MAX_IMAGE_PIXELS
