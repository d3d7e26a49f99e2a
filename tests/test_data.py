"""Data sets and the loader: right values, clear errors, no bad file left behind."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import os
import socket
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minicnn.data import (
    DataError,
    DataLoader,
    Dataset,
    DataUnavailableError,
    cifar,
    digits,
    download,
    idx,
    load,
    make_digits,
    mnist,
)
from minicnn.data.transforms import (
    ColorJitter,
    Compose,
    RandomCrop,
    RandomHorizontalFlip,
    TenCrop,
)

IMAGES, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"
IDX_CODES = {"uint8": 8, "int8": 9, "int16": 11, "int32": 12, "float32": 13, "float64": 14}
REAL_DATA = os.environ.get("MINICNN_DATA", "")


def write_idx(array):
    """The idx format, written from its description."""
    header = bytes([0, 0, IDX_CODES[array.dtype.name], array.ndim])
    header += b"".join(extent.to_bytes(4, "big") for extent in array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def zipped(array):
    return gzip.compress(write_idx(array), mtime=0)


def pictures(count, height=28):
    return np.random.default_rng(count).integers(0, 256, (count, height, 28), np.uint8)


TINY = {
    IMAGES: pictures(5),
    LABELS: np.array([5, 0, 4, 1, 9], np.uint8),
    IMAGES.replace("train", "t10k"): pictures(3),
    LABELS.replace("train", "t10k"): np.array([7, 2, 1], np.uint8),
}
GOOD = {file: zipped(array) for file, array in TINY.items()}
MNIST_FILE = GOOD[IMAGES]


# ---------------------------------------------------------------- the idx format


@given(
    st.sampled_from(sorted(IDX_CODES)).flatmap(
        lambda name: hnp.arrays(name, hnp.array_shapes(max_dims=4, min_side=0, max_side=4))
    )
)
def test_idx_round_trip(array):
    back = idx.parse_idx(idx.gunzip(zipped(array), "f"), "f")
    assert back.dtype == array.dtype and back.dtype.isnative and back.flags.writeable
    np.testing.assert_array_equal(back, array)


@given(st.binary(max_size=60), st.integers(0, 3))
def test_idx_readers_raise_nothing_but_data_errors(content, magic):
    starts = [b"", b"\0\0", b"\0\0\x08\x01", b"\0\0\x08\x20"]
    for read, start in ((idx.parse_idx, starts[magic]), (idx.gunzip, MNIST_FILE[: 5 * magic])):
        try:
            read(start + content, "some/file")
        except DataError as error:
            assert str(error).startswith("some/file ")


@given(st.data())
def test_idx_of_any_other_length_is_refused(data):
    content = write_idx(TINY[LABELS])
    cut = data.draw(st.integers(0, len(content) - 1))
    for wrong in (content[:cut], content + b"x" * (cut + 1)):
        with pytest.raises(DataError, match="f has the wrong (size|magic number)"):
            idx.parse_idx(wrong, "f")


def test_idx_huge_extents_cost_no_memory():
    with pytest.raises(DataError, match="wrong size: .*its header says 18,446,744,065,"):
        idx.parse_idx(b"\0\0\x08\x02" + b"\xff" * 8, "f")


def test_gunzip_stops_at_the_limit(monkeypatch):
    monkeypatch.setattr(idx, "MOST_BYTES", 100)
    assert idx.gunzip(gzip.compress(bytes(100)), "f") == bytes(100)
    with pytest.raises(DataError, match="f unpacks to more than the 100 bytes allowed"):
        idx.gunzip(gzip.compress(bytes(101)), "f")


# ---------------------------------------------------------------- finding and checking files


@pytest.fixture
def place(monkeypatch, tmp_path):
    """Tiny stand-ins for both data sets; a cache and a MINICNN_DATA of this test's own."""
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("MINICNN_DATA", raising=False)
    for name in mnist.SOURCES:
        set_source(monkeypatch, name, home=f"http://127.0.0.1:{closed_port()}/")
    return tmp_path


def set_source(monkeypatch, name, **changes):
    source = mnist.SOURCES[name]
    unpacked = source.md5_of == "unpacked bytes"
    md5 = {
        file: hashlib.md5(gzip.decompress(content) if unpacked else content).hexdigest()
        for file, content in GOOD.items()
    }
    changed = dataclasses.replace(source, **{"md5": md5, **changes})
    monkeypatch.setitem(mnist.SOURCES, name, changed)


def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def put(folder, name="mnist", **changed):
    """The four good files, or others in their place (`images=b"..."`), in `folder/name`."""
    contents = GOOD | {{"images": IMAGES, "labels": LABELS}[k]: v for k, v in changed.items()}
    (folder / name).mkdir(parents=True)
    for file, content in contents.items():
        (folder / name / file).write_bytes(content)
    return folder / name


def cached_files(place):
    return sorted(p.name for p in (place / "cache").rglob("*") if p.is_file())


def use_data_folder(monkeypatch, place, *args, **changed):
    monkeypatch.setenv("MINICNN_DATA", str(place / "own"))
    return put(place / "own", *args, **changed)


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
@pytest.mark.parametrize(("split", "prefix"), [("train", "train"), ("test", "t10k")])
def test_files_under_minicnn_data_are_read_where_they_are(monkeypatch, place, name, split, prefix):
    use_data_folder(monkeypatch, place, name)
    ds = load(name, split)
    np.testing.assert_array_equal(ds.images[:, 0], TINY[IMAGES.replace("train", prefix)])
    np.testing.assert_array_equal(ds.labels, TINY[LABELS.replace("train", prefix)])
    assert (ds.name, ds.split, len(ds.classes)) == (name, split, 10)
    assert cached_files(place) == []


REPACKED = gzip.compress(gzip.decompress(MNIST_FILE), compresslevel=1, mtime=7)


def test_checksum_is_of_the_bytes_that_are_canonical(monkeypatch, place):
    assert REPACKED != MNIST_FILE
    use_data_folder(monkeypatch, place, "mnist", images=REPACKED)
    put(place / "own", "fashion-mnist", images=REPACKED)
    np.testing.assert_array_equal(load("mnist").images[:, 0], TINY[IMAGES])
    with pytest.raises(DataError, match="wrong checksum: the MD5 of the file is"):
        load("fashion-mnist")


BROKEN = {
    "empty": (dict(images=b""), "is not a gzip file: it begins with nothing, but must begin"),
    "not gzip": (
        dict(images=b"<html>"),
        "is not a gzip file: it begins with 3c 68, but must begin with 1f 8b",
    ),
    "truncated": (dict(images=MNIST_FILE[:-9]), "is cut short: its gzip stream does not end"),
    "bad crc": (
        dict(images=MNIST_FILE[:-8] + b"oops" + MNIST_FILE[-4:]),
        "is damaged: its gzip stream does not unpack",
    ),
    "bad stream": (
        dict(images=MNIST_FILE[:10] + b"\xff" * 50 + MNIST_FILE[60:]),
        "is damaged: its gzip stream does not unpack",
    ),
    "not idx": (
        dict(images=gzip.compress(b"\1\2\3\4...")),
        "has the wrong magic number 01 02 03 04: an idx file begins with 00 00, a type",
    ),
    "swapped": (
        dict(images=GOOD[LABELS]),
        f"has the wrong magic number 00 00 08 01: {IMAGES} begins with 00 00 08 03",
    ),
    "other type": (
        dict(labels=zipped(np.zeros(5, np.int32))),
        f"has the wrong magic number 00 00 0c 01: {LABELS} begins with 00 00 08 01",
    ),
    "no header": (
        dict(images=gzip.compress(b"\0\0\x08\x03\0")),
        "has the wrong size: 5 bytes, but the header alone takes 16",
    ),
    "too short": (
        dict(images=gzip.compress(write_idx(TINY[IMAGES])[:-1])),
        r"has the wrong size: 3,935 bytes, but its header says 3,936 \(shape \(5, 28, 28\)",
    ),
    "too long": (
        dict(images=gzip.compress(write_idx(TINY[IMAGES]) + b"x")),
        "has the wrong size: 3,937 bytes, but its header says 3,936",
    ),
    "wrong extent": (
        dict(images=zipped(pictures(5, height=27))),
        r"holds images of size \(27, 28\), but train-images-idx3-ubyte.gz has \(28, 28\)",
    ),
    "label out of range": (
        dict(labels=zipped(np.array([5, 0, 4, 10, 9], np.uint8))),
        r"holds the label 10, but labels must be in 0\.\.9",
    ),
    "other content": (
        dict(images=zipped(255 - TINY[IMAGES])),
        "has the wrong checksum: the MD5 of the unpacked bytes is [0-9a-f]{32}, "
        "but must be [0-9a-f]{32}",
    ),
}
broken = pytest.mark.parametrize(("changed", "message"), BROKEN.values(), ids=BROKEN)


@broken
def test_bad_file_under_minicnn_data_is_an_error_and_stays(monkeypatch, place, changed, message):
    folder = use_data_folder(monkeypatch, place, **changed)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    bad = folder / (IMAGES if "images" in changed else LABELS)
    with pytest.raises(DataError, match=message) as caught:
        load("mnist")
    assert str(caught.value).startswith(str(bad))
    assert "; replace the file by a good copy, or move it away" in str(caught.value)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert cached_files(place) == []


def test_unreadable_file_under_minicnn_data_is_an_error(monkeypatch, place):
    monkeypatch.setenv("MINICNN_DATA", str(place / "own"))
    (place / "own" / "mnist" / IMAGES).mkdir(parents=True)
    with pytest.raises(DataError, match=f"{IMAGES}.*; replace the file by a good copy"):
        load("mnist")


def test_minicnn_data_must_name_a_folder(monkeypatch, place):
    monkeypatch.setenv("MINICNN_DATA", str(place / "nowhere"))
    with pytest.raises(DataUnavailableError, match="nowhere, but must name a folder; correct it"):
        load("mnist")


# ---------------------------------------------------------------- download


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append(self.path)
        file = self.path.rpartition("/")[2]
        content = self.server.contents.get(file)
        if content is None:
            return self.send_error(404)
        time.sleep(self.server.delay)
        self.send_response(200)
        self.send_header("Content-Length", str(len(content) + self.server.withheld))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch, place):
    """A web server on this machine; `contents`, `withheld` and `delay` say what it does."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.requests, running.contents = [], dict(GOOD)
        running.withheld, running.delay = 0, 0.0
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        running.url = f"http://127.0.0.1:{running.server_port}/mnist/"
        set_source(monkeypatch, "mnist", home=running.url)
        yield running
        running.shutdown()
        thread.join()


def test_download_fills_the_cache_once(server, place, capfd):
    first, again = load("mnist"), load("mnist")
    np.testing.assert_array_equal(first.images[:, 0], TINY[IMAGES])
    np.testing.assert_array_equal(again.labels, TINY[LABELS])
    assert server.requests == [f"/mnist/{IMAGES}", f"/mnist/{LABELS}"]
    assert cached_files(place) == [IMAGES, LABELS]
    assert (place / "cache" / "data" / "mnist" / IMAGES).read_bytes() == MNIST_FILE
    assert IMAGES in capfd.readouterr().err  # the progress bar


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10", "cifar100"])
def test_without_leave_nothing_is_fetched(server, place, name):
    with pytest.raises(DataUnavailableError, match="is neither .*, and download=False") as error:
        load(name, download=False)
    assert str(place / "cache" / "data") in str(error.value)
    assert server.requests == [] and cached_files(place) == []
    assert len(load("digits", download=False)) == 1437


def test_without_leave_the_cache_is_read(server, place):
    first = load("mnist")
    np.testing.assert_array_equal(load("mnist", download=False).images, first.images)
    assert len(server.requests) == 2


def test_minicnn_data_without_the_file_falls_through_to_the_cache(monkeypatch, server, place):
    (use_data_folder(monkeypatch, place) / LABELS).unlink()
    np.testing.assert_array_equal(load("mnist").labels, TINY[LABELS])
    assert server.requests == [f"/mnist/{LABELS}"]


def spoil(server, monkeypatch, how):
    if how == "cut":
        server.withheld, server.contents[IMAGES] = 9, MNIST_FILE[:-9]
    elif how == "404":
        del server.contents[IMAGES]
    elif how == "silent":
        server.delay = 0.5
        monkeypatch.setattr(download, "TIMEOUT", 0.05)
    elif how == "refused":
        set_source(monkeypatch, "mnist", home=f"http://127.0.0.1:{closed_port()}/mnist/")
    elif how == "full":
        monkeypatch.setattr(os, "replace", lambda *args: (_ for _ in ()).throw(OSError("full")))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("cut", f"arrived cut short: {len(MNIST_FILE) - 9:,} of {len(MNIST_FILE):,} bytes"),
        ("404", rf"{IMAGES} could not be downloaded \(HTTP Error 404"),
        ("silent", rf"{IMAGES} could not be downloaded \(.*timed out"),
        ("refused", rf"{IMAGES} could not be downloaded \("),
        ("full", rf"{IMAGES} could not be downloaded \(full\)"),
    ],
)
def test_failed_download_is_one_clear_error_and_leaves_nothing(
    monkeypatch, server, place, how, message
):
    spoil(server, monkeypatch, how)
    with pytest.raises(DataUnavailableError, match=message) as caught:
        load("mnist")
    home = mnist.SOURCES["mnist"].home
    assert isinstance(caught.value, OSError) and str(caught.value).startswith(home + IMAGES)
    assert (
        f"{IMAGES} is neither under MINICNN_DATA (not set) nor in "
        f"{place / 'cache' / 'data' / 'mnist'}: try again with a network, "
        f"or put a good copy at MINICNN_DATA/mnist/{IMAGES}"
    ) in str(caught.value)
    assert cached_files(place) == []


@broken
def test_bad_download_is_refused_and_leaves_nothing(server, place, changed, message):
    bad = IMAGES if "images" in changed else LABELS
    server.contents[bad] = next(iter(changed.values()))
    with pytest.raises(DataError, match=message) as caught:
        load("mnist")
    assert str(caught.value).startswith(server.url + bad)
    assert "put a good copy at MINICNN_DATA/mnist/" in str(caught.value)
    assert cached_files(place) == ([] if bad == IMAGES else [IMAGES])


@broken
def test_bad_file_in_the_cache_is_fetched_again(server, place, changed, message):
    folder = put(place / "cache" / "data", **changed)
    bad = IMAGES if "images" in changed else LABELS
    np.testing.assert_array_equal(load("mnist").images[:, 0], TINY[IMAGES])
    assert server.requests == [f"/mnist/{bad}"]
    assert (folder / bad).read_bytes() == GOOD[bad]


def test_bad_file_in_the_cache_goes_even_without_a_network(place):
    folder = put(place / "cache" / "data", images=b"junk")
    with pytest.raises(DataUnavailableError, match="could not be downloaded"):
        load("mnist")
    assert not (folder / IMAGES).exists()


def test_interrupted_download_leaves_nothing(monkeypatch, server, place):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(mnist, "decode", interrupt)
    with pytest.raises(KeyboardInterrupt):
        load("mnist")
    assert cached_files(place) == []


# ---------------------------------------------------------------- the real files


@pytest.mark.parametrize(
    ("name", "split", "count", "first", "per_class"),
    [
        ("mnist", "train", 60_000, [5, 0, 4, 1, 9], (5421, 6742)),
        ("mnist", "test", 10_000, [7, 2, 1, 0, 4], (892, 1135)),
        ("fashion-mnist", "train", 60_000, [9, 0, 0, 3, 0], (6000, 6000)),
        ("fashion-mnist", "test", 10_000, [9, 2, 1, 1, 6], (1000, 1000)),
    ],
)
def test_real_files(name, split, count, first, per_class):
    if not (REAL_DATA and (Path(REAL_DATA) / name).is_dir()):
        pytest.skip("needs MINICNN_DATA")
    ds = load(name, split)
    counts = np.bincount(ds.labels)
    assert ds.images.shape == (count, 1, 28, 28) and ds.images.dtype == np.uint8
    assert ds.labels.dtype == np.int64 and ds.labels[:5].tolist() == first
    assert (counts.min(), counts.max(), len(counts)) == (*per_class, 10)


# ---------------------------------------------------------------- digits


def test_digits_content():
    images, labels = digits.read_embedded()
    assert (images.shape, images.dtype, images.max()) == ((1797, 8, 8), np.uint8, 16)
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert labels[:10].tolist() == list(range(10))
    assert images[0, 0].tolist() == [0, 0, 5, 13, 9, 1, 0, 0]
    assert images[0, 7].tolist() == [0, 0, 6, 13, 10, 0, 0, 0]
    assert hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest() == (
        "87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826"
    )


def test_digits_split():
    _, labels = digits.read_embedded()
    train, test = digits.members(labels, "train"), digits.members(labels, "test")
    assert (len(train), len(test)) == (1437, 360)
    assert sorted([*train, *test]) == list(range(1797))
    table = [line.split() for line in digits.__doc__.splitlines() if line.startswith("    t")]
    for (word, *counts), members in zip(table, (train, test), strict=True):
        assert counts == [*map(str, np.bincount(labels[members])), str(len(members))], word
    # The rule, spelled out.
    by_class = [i for c in range(10) for i in range(1797) if labels[i] == c]
    assert sorted(by_class[::5]) == test.tolist()


def test_digits_loaded():
    raw, labels = digits.read_embedded()
    ds = load("digits", "test")
    test = digits.members(labels, "test")
    assert ds.images.shape == (360, 1, 8, 8) and ds.classes == tuple("0123456789")
    np.testing.assert_array_equal(ds.labels, labels[test])
    np.testing.assert_array_equal(np.rint(ds.images[:, 0] * (16 / 255)), raw[test])
    assert ds.images.max() == 255
    assert ds.images[0, 0, 0].tolist() == [0, 0, 80, 207, 143, 16, 0, 0]


def test_digits_enlarged_to_the_size_of_mnist():
    small, large = load("digits"), load("digits", size=28)
    assert large.images.shape == (1437, 1, 28, 28)
    inside = large.images[:, :, 2:-2, 2:-2]
    for row in range(3):
        for column in range(3):
            np.testing.assert_array_equal(inside[:, :, row::3, column::3], small.images)
    assert large.images.sum(dtype=np.int64) == inside.sum(dtype=np.int64)  # the border is zero


def test_digits_file_depends_on_the_arrays_alone(monkeypatch, tmp_path):
    images, labels = digits.read_embedded()
    arrays = {"images": images, "labels": labels}
    monkeypatch.setattr(make_digits, "from_scikit_learn", lambda: arrays)
    made = []
    for moment in (1e9, 2e9):
        monkeypatch.setattr(make_digits, "EMBEDDED", tmp_path / f"{moment}.npz")
        monkeypatch.setattr(time, "time", lambda moment=moment: moment)
        assert make_digits.main([]) == 0
        made.append((tmp_path / f"{moment}.npz").read_bytes())
    assert made[0] == made[1] and len(list(tmp_path.iterdir())) == 2
    with zipfile.ZipFile(digits.EMBEDDED) as archive:
        entries = archive.infolist()
    assert [(e.filename, e.date_time) for e in entries] == [
        ("images.npy", (1980, 1, 1, 0, 0, 0)),
        ("labels.npy", (1980, 1, 1, 0, 0, 0)),
    ]


@pytest.mark.parametrize(("change", "code", "said"), [(0, 0, "equal to"), (1, 1, "differs from")])
def test_digits_check_finds_a_difference(monkeypatch, capsys, change, code, said):
    images, labels = digits.read_embedded()
    images[0, 0, 0] += change
    arrays = {"images": images, "labels": labels}
    monkeypatch.setattr(make_digits, "from_scikit_learn", lambda: arrays)
    assert make_digits.main(["--check"]) == code
    assert said in capsys.readouterr().out


def test_digits_are_those_of_scikit_learn(capsys):
    pytest.importorskip("sklearn")
    assert make_digits.main(["--check"]) == 0


def test_digits_name_their_authors_and_licence():
    text = digits.EMBEDDED.with_name("DIGITS_LICENSE.txt").read_text(encoding="utf-8")
    for needed in ("Alpaydin", "Kaynak", "CC BY 4.0", "creativecommons.org/licenses/by/4.0"):
        assert needed in text


# ---------------------------------------------------------------- load and Dataset


@pytest.mark.parametrize(
    ("args", "error", "message"),
    [
        (("svhn",), ValueError, "load: unknown name 'svhn'; choose one of digits, mnist, fashion"),
        ((3,), TypeError, "load: name is 3, but must be one of digits, mnist, fashion-mnist"),
        (("digits", "valid"), ValueError, "load: unknown split 'valid'; choose one of train, test"),
        (("digits", None), TypeError, "load: split is None, but must be one of train, test"),
        (("digits", "test", 32), ValueError, "digits has images of size 8, or 28 .* not 32"),
        (("cifar10", "test", 28), ValueError, "cifar10 has images of size 32 only, not 28"),
        (("mnist", "test", 32), ValueError, "mnist has images of size 28 only, not 32"),
    ],
)
def test_load_refuses(args, error, message):
    with pytest.raises(error, match=message):
        load(*args[:2], **({"size": args[2]} if len(args) > 2 else {}))


def numbered(count, channels=1, height=2, width=3):
    """A Dataset whose image i holds the value i (below 256) everywhere; its label is i % 3."""
    images = np.arange(count, dtype=np.uint8).reshape(-1, 1, 1, 1)
    shape = (count, channels, height, width)
    return Dataset(np.broadcast_to(images, shape).copy(), np.arange(count) % 3, ("a", "b", "c"))


def test_dataset_is_a_sequence_of_images():
    ds = numbered(10)
    image, label = ds[4]
    assert image.shape == (1, 2, 3) and image.max() == 4 and label == 1 and type(label) is int
    assert [label for _, label in ds] == [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]
    assert repr(ds) == "<Dataset custom/all: 10 images of 1x2x3, 3 classes>"
    assert "10,000 images" in repr(ds[[0] * 10_000])


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (slice(2, 5), [2, 3, 4]),
        (slice(None, None, -4), [9, 5, 1]),
        ([7, 0, 7], [7, 0, 7]),
        ([], []),
        (np.arange(10) > 7, [8, 9]),
    ],
)
def test_dataset_parts(index, expected):
    part = numbered(10)[index]
    assert part.images[:, 0, 0, 0].tolist() == expected and len(part) == len(expected)
    assert part.labels.tolist() == [i % 3 for i in expected] and part.classes == ("a", "b", "c")


@pytest.mark.parametrize("index", ["a", 1.5, [0.5], [[1, 2]], None])
def test_dataset_refuses_other_indices(index):
    with pytest.raises(TypeError, match="Dataset: index is .* but must be an integer, a slice"):
        numbered(10)[index]


@pytest.mark.parametrize(
    ("images", "labels", "error", "message"),
    [
        (np.zeros((2, 1, 4, 4)), [0, 1], TypeError, "images are float64, but must be uint8"),
        (np.zeros((2, 1, 4, 4), np.uint8), [0.0, 1.0], TypeError, "labels are float64"),
        (np.zeros((2, 4, 4), np.uint8), [0, 1], ValueError, r"images \(2, 4, 4\) and labels"),
        (np.zeros((2, 1, 4, 4), np.uint8), [0], ValueError, r"labels \(1,\) do not fit"),
        (np.zeros((2, 1, 4, 4), np.uint8), [0, 2], ValueError, r"from 0 to 2, .* 0\.\.1 \(2 cl"),
        (np.zeros((2, 1, 4, 4), np.uint8), [-1, 0], ValueError, "labels run from -1 to 0"),
    ],
)
def test_dataset_refuses(images, labels, error, message):
    with pytest.raises(error, match=message):
        Dataset(images, labels, ("cat", "dog"))


def test_dataset_names_its_classes_itself():
    ds = Dataset(np.zeros((3, 1, 2, 2), np.uint8), np.array([0, 2, 1], np.uint8))
    assert ds.classes == ("0", "1", "2") and ds.labels.dtype == np.int64


# ---------------------------------------------------------------- DataLoader


def values(loader):
    """Which images came, batch by batch (image i of `numbered` holds i)."""
    return [np.rint(x[:, 0, 0, 0] * 255).astype(int).tolist() for x, _ in loader]


@pytest.mark.parametrize("channels", [1, 3])
def test_loader_values_types_and_memory(channels):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (7, channels, 4, 5), np.uint8)
    ds = Dataset(images, np.arange(7))
    mean, std = [0.1, 0.2, 0.3][:channels], [0.5, 0.6, 0.7][:channels]
    batches = list(DataLoader(ds, batch_size=3, mean=mean, std=std))
    assert [x.shape for x, _ in batches] == [(n, channels, 4, 5) for n in (3, 3, 1)]
    for x, y in batches:
        assert type(x) is type(y) is np.ndarray
        assert x.dtype == np.float32 and y.dtype == np.int64
        assert x.transpose(0, 2, 3, 1).flags.c_contiguous
    per_channel = np.reshape([mean, std], (2, channels, 1, 1))
    expected = (images / 255 - per_channel[0]) / per_channel[1]
    np.testing.assert_allclose(np.concatenate([x for x, _ in batches]), expected, atol=1e-6)
    np.testing.assert_array_equal(np.concatenate([y for _, y in batches]), np.arange(7))


def test_loader_scales_exactly_to_one():
    ds = Dataset(np.full((1, 1, 1, 1), 255, np.uint8), [0])
    assert next(iter(DataLoader(ds)))[0].item() == 1.0
    assert next(iter(DataLoader(ds, mean=1)))[0].item() == 0.0
    assert next(iter(DataLoader(ds, std=0.5)))[0].item() == 2.0


@pytest.mark.parametrize(
    ("count", "drop_last", "sizes"),
    [
        (10, False, [4, 4, 2]),
        (10, True, [4, 4]),
        (8, False, [4, 4]),
        (8, True, [4, 4]),
        (3, False, [3]),
    ],
)
def test_loader_batches(count, drop_last, sizes):
    loader = DataLoader(numbered(count), batch_size=4, drop_last=drop_last)
    assert len(loader) == len(sizes)
    assert values(loader) == [list(range(count))[4 * i : 4 * i + n] for i, n in enumerate(sizes)]


@given(
    count=st.integers(1, 60),
    batch_size=st.integers(1, 70),
    seed=st.integers(0, 2**70),
    epoch=st.integers(0, 2**40),
)
def test_loader_order_is_a_function_of_seed_and_epoch(count, batch_size, seed, epoch):
    ds = numbered(count)
    first = DataLoader(ds, batch_size, shuffle=True, seed=seed)
    again = DataLoader(ds, batch_size, shuffle=True, seed=seed)
    values(again)  # what was drawn before must not matter
    first.epoch = again.epoch = epoch
    seen = values(first)
    assert seen == values(again) and first.epoch == again.epoch == epoch + 1
    assert [len(batch) for batch in seen[:-1]] == [batch_size] * (len(first) - 1)
    flat = [i for batch in seen for i in batch]
    assert flat == first.order(epoch).tolist() and sorted(flat) == list(range(count))


def test_loader_orders_differ_between_epochs_and_seeds():
    loaders = [DataLoader(numbered(50), shuffle=True, seed=seed) for seed in range(3)]
    orders = {tuple(loader.order(epoch)) for loader in loaders for epoch in range(4)}
    assert len(orders) == 12
    plain = DataLoader(numbered(50))
    assert plain.order(0).tolist() == plain.order(1).tolist() == list(range(50))


def test_loader_numbers_of_the_order_the_images_and_the_batches_are_apart():
    drawn = []

    def mix(x, y, rng):
        drawn.append(tuple(rng.permutation(40)))
        return x, y

    def transform(x, rng):
        drawn.append(tuple(np.argsort([*rng.random(len(x)), *rng.random(len(x))])))
        return x

    loader = DataLoader(numbered(40), 20, True, transform=transform, mix=mix)
    assert len(list(loader)) == 2 and len(drawn) == 4
    assert len({*drawn, tuple(loader.order(0)), tuple(loader.order(1))}) == 6


def test_loader_epoch_advances_when_a_walk_starts():
    loader = DataLoader(numbered(9), batch_size=2, shuffle=True)
    assert loader.epoch == 0
    walk = iter(loader)
    assert loader.epoch == 1
    loader.epoch = 7  # a walk that has begun keeps its own order
    assert [np.rint(x[0, 0, 0, 0] * 255) for x, _ in walk] == list(loader.order(0)[::2])
    assert values(loader) == [loader.order(7)[i : i + 2].tolist() for i in range(0, 9, 2)]
    assert loader.epoch == 8


def test_loader_labels_go_with_their_images():
    for x, y in DataLoader(numbered(40), batch_size=7, shuffle=True, seed=5):
        np.testing.assert_array_equal(np.rint(x[:, 0, 0, 0] * 255) % 3, y)


def test_loader_batches_are_fresh():
    ds = numbered(6)
    for x, y in DataLoader(ds, batch_size=4, transform=lambda x, rng: x):
        x[:], y[:] = 9, 9
    np.testing.assert_array_equal(ds.images, numbered(6).images)
    np.testing.assert_array_equal(ds.labels, numbered(6).labels)


def test_transform_sees_the_batch_in_0_to_1_and_may_be_repeated():
    def crop(x, rng):
        assert x.dtype == np.float32 and x.min() >= 0 and x.max() <= 1
        left = rng.integers(0, 3, len(x))[0]
        return x[..., left : left + 2] + rng.random((len(x), 1, 1, 1))

    ds = Dataset(np.arange(240, dtype=np.uint8).reshape(5, 3, 4, 4), np.zeros(5, int))
    loader = DataLoader(ds, batch_size=2, transform=crop, mean=0.5, std=2)
    first, other = list(loader), list(loader)
    loader.epoch = 0
    for (x, _), (again, _), (differs, _) in zip(first, loader, other, strict=True):
        np.testing.assert_array_equal(x, again)
        assert not np.array_equal(x, differs)
        assert x.shape[1:] == (3, 4, 2) and x.dtype == np.float32
        assert x.transpose(0, 2, 3, 1).flags.c_contiguous
    kept = np.ones((5, 3, 4, 4), np.float64)
    ((x, _),) = DataLoader(ds, transform=lambda x, rng: kept, mean=0.25)
    assert (x == 0.75).all() and (kept == 1).all()  # what a transform returns is not changed


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"dataset": [1]}, TypeError, "dataset is list, but must be a Dataset; make one with"),
        ({"batch_size": 0}, ValueError, "batch_size is 0, but must be 1 or more"),
        ({"batch_size": 2.0}, TypeError, r"batch_size is 2\.0, but must be an integer"),
        ({"batch_size": True}, TypeError, "batch_size is True, but must be an integer"),
        ({"batch_size": 11, "drop_last": True}, ValueError, "no batch comes of 10 images"),
        ({"dataset": numbered(0)}, ValueError, "no batch comes of 0 images"),
        ({"seed": -1}, ValueError, "seed is -1, but must be 0 or more"),
        ({"seed": None}, TypeError, "seed is None, but must be an integer"),
        ({"transform": 3}, TypeError, "transform is 3, but must be callable"),
        ({"mean": [0.1, 0.2]}, ValueError, r"mean is \[0.1, 0.2\], .* each of the 1 channels"),
        ({"mean": "grey"}, TypeError, "mean is 'grey', but must be numbers"),
        ({"mix": 3}, TypeError, "mix is 3, but must be callable"),
        ({"workers": -1}, ValueError, "workers is -1, but must be 0 or more"),
        ({"std": float("nan")}, ValueError, "std is nan, but must be one finite number"),
        ({"std": 0}, ValueError, "std is 0, but must be greater than 0"),
    ],
)
def test_loader_refuses(settings, error, message):
    with pytest.raises(error, match=f"DataLoader: {message}"):
        DataLoader(**{"dataset": numbered(10), **settings})


def test_loader_refuses_a_bad_epoch_and_keeps_its_own():
    loader = DataLoader(numbered(10))
    with pytest.raises(ValueError, match="DataLoader: epoch is -1, but must be 0 or more"):
        loader.epoch = -1
    assert loader.epoch == 0


@pytest.mark.parametrize(
    ("returned", "error", "message"),
    [
        (None, TypeError, "transform returned NoneType, but must return an ndarray"),
        (np.zeros((3, 1, 2, 3)), ValueError, r"shape \(3, 1, 2, 3\), but must return \(10, 1, "),
        (np.zeros((10, 2, 3, 1, 1)), ValueError, r"or \(10, crops, 1, H, W\)"),
        (np.zeros((10, 6)), ValueError, r"returned shape \(10, 6\)"),
    ],
)
def test_loader_refuses_what_a_transform_returns(returned, error, message):
    with pytest.raises(error, match=message):
        next(iter(DataLoader(numbered(10), transform=lambda x, rng: returned)))


# ---------------------------------------------------------------- augmentation and workers


AUGMENT = Compose([RandomCrop(4, padding=1), RandomHorizontalFlip(), ColorJitter(0.3)])


@given(
    count=st.integers(1, 30),
    batch_size=st.integers(1, 33),
    workers=st.integers(0, 3),
    seed=st.integers(0, 2**70),
    epoch=st.integers(0, 2**40),
)
def test_augmentation_depends_on_seed_epoch_and_image_alone(
    count, batch_size, workers, seed, epoch
):
    images = np.random.default_rng(count).integers(0, 256, (count, 3, 5, 6), np.uint8)
    ds = Dataset(images, np.arange(count))
    whole = DataLoader(ds, count, seed=seed, transform=AUGMENT)
    parts = DataLoader(ds, batch_size, True, seed, transform=AUGMENT, workers=workers)
    whole.epoch = parts.epoch = epoch
    ((expected, _),) = whole  # in the data set's own order
    order = parts.order(epoch)
    x, y = (np.concatenate(part) for part in zip(*parts))
    np.testing.assert_array_equal(y, order)
    np.testing.assert_array_equal(x, expected[order])


def test_augmentation_differs_between_epochs_seeds_and_images():
    ds = Dataset(np.tile(np.arange(48, dtype=np.uint8).reshape(1, 3, 4, 4), (9, 1, 1, 1)), [0] * 9)
    seen = set()
    for seed in range(3):
        loader = DataLoader(
            ds, 9, seed=seed, transform=lambda x, rng: rng.random((len(x), 1, 1, 1)) + x
        )
        for _ in range(2):
            seen.update(float(image.min()) for image in next(iter(loader))[0])
    assert len(seen) == 3 * 2 * 9


def test_ten_crops_go_through_the_loader():
    ds = Dataset(
        np.random.default_rng(0).integers(0, 256, (5, 3, 6, 7), np.uint8), np.zeros(5, int)
    )
    batches = [x for x, _ in DataLoader(ds, 2, transform=TenCrop(4), mean=(0.1, 0.2, 0.3), std=2)]
    assert [x.shape for x in batches] == [(2, 10, 3, 4, 4), (2, 10, 3, 4, 4), (1, 10, 3, 4, 4)]
    mean = np.reshape([0.1, 0.2, 0.3], (3, 1, 1))
    middle = (ds.images[0, :, 1:5, 1:5] / 255 - mean) / 2
    np.testing.assert_allclose(batches[0][0, 4], middle, atol=1e-6)


class Gate:
    """A transform that notes which batches it made, and in which thread."""

    def __init__(self):
        self.made, self.threads = [], set()

    def __call__(self, x, rng):
        self.made.append(round(float(x[0, 0, 0, 0]) * 255))
        self.threads.add(threading.current_thread().name)
        return x


def test_workers_run_ahead_but_not_far():
    gate = Gate()
    walk = iter(DataLoader(numbered(60), 1, transform=gate, workers=2))
    next(walk)
    deadline = time.monotonic() + 30
    while len(gate.made) < 4 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert 4 <= len(gate.made) <= 5 and threading.current_thread().name not in gate.threads
    walk.close()
    made = len(gate.made)
    assert not any(t.name.startswith("minicnn-loader") for t in threading.enumerate())
    assert len(gate.made) == made < 60


def test_without_workers_a_batch_is_made_when_it_is_asked_for():
    gate = Gate()
    walk = iter(DataLoader(numbered(9), 1, transform=gate))
    assert gate.made == []
    next(walk)
    assert gate.made == [0] and gate.threads == {threading.current_thread().name}


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_an_error_comes_in_its_turn(workers):
    def fail_at_5(x, rng):
        if round(float(x[0, 0, 0, 0]) * 255) == 5:
            raise DataError("number 5")
        return x

    walk = iter(DataLoader(numbered(9), 1, transform=fail_at_5, workers=workers))
    for _ in range(5):
        next(walk)
    with pytest.raises(DataError, match="number 5"):
        next(walk)
    assert not any(t.name.startswith("minicnn-loader") for t in threading.enumerate())


def test_waiting_is_counted():
    def slow(x, rng):
        time.sleep(0.01)
        return x

    loader = DataLoader(numbered(5), 1, transform=slow)
    assert loader.waited == 0
    list(loader)
    before = loader.waited
    assert before >= 0.05
    walk = iter(loader)
    next(walk)
    assert 0.01 <= loader.waited < before  # it starts afresh with each walk


# ---------------------------------------------------------------- CIFAR


def cifar_records(count, classes, labels, seed=0):
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, 256, (count, labels + 3072), np.uint8)
    rows[:, :labels] = np.arange(count)[:, None] % classes
    return rows


def tar_gz(contents):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def small_cifar(monkeypatch, name):
    """Stand-ins of a few images with their checksums: {name in the archive: bytes}."""
    source = cifar.SOURCES[name]
    contents, sums = {}, {}
    for split, files in source.sha256.items():
        sums[split] = {}
        for k, file in enumerate(files):
            rows = cifar_records(12, source.count, source.labels, seed=k)
            contents[f"{source.inside}/{file}"] = rows.tobytes()
            sums[split][file] = hashlib.sha256(rows).hexdigest()
    names = "".join(f"class-{k}\n" for k in range(source.count)) + "\n"
    contents = {f"{source.inside}/readme.html": b"", **contents}
    contents[f"{source.inside}/{source.classes}"] = names.encode()
    monkeypatch.setitem(cifar.SOURCES, name, dataclasses.replace(source, sha256=sums))
    return contents


def put_cifar(monkeypatch, place, name, content):
    source = cifar.SOURCES[name]
    file = place / "own" / source.folder / source.archive
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    monkeypatch.setenv("MINICNN_DATA", str(place / "own"))
    return file


@pytest.mark.parametrize(("name", "labels"), [("cifar10", 1), ("cifar100", 2)])
def test_cifar(monkeypatch, place, name, labels):
    contents = small_cifar(monkeypatch, name)
    put_cifar(monkeypatch, place, name, tar_gz(contents))
    source = cifar.SOURCES[name]
    for split, batches in source.sha256.items():
        ds = load(name, split)
        rows = np.concatenate(
            [cifar_records(12, source.count, labels, seed=k) for k in range(len(batches))]
        )
        assert ds.images.shape == (len(rows), 3, 32, 32)
        assert ds.images.transpose(0, 2, 3, 1).flags.c_contiguous
        np.testing.assert_array_equal(ds.images.reshape(len(rows), -1), rows[:, labels:])
        np.testing.assert_array_equal(ds.labels, rows[:, labels - 1])
        assert ds.classes == tuple(f"class-{k}" for k in range(source.count))
        assert (ds.name, ds.split) == (name, split)
    assert cached_files(place) == []


def spoilt_cifar(contents, how):
    """Bytes of an archive that is not what it must be."""
    first = "cifar-10-batches-bin/data_batch_1.bin"
    names = "cifar-10-batches-bin/batches.meta.txt"
    if how == "truncated":
        return tar_gz(contents)[:-30_000]
    if how == "no archive":
        return b"<html>404</html>"
    changed = {
        "wrong bytes": {first: contents[first][:-1] + b"\0"},
        "wrong size": {first: contents[first][:-1]},
        "empty": {first: b""},
        "label": {first: b"\x0a" + contents[first][1:]},
        "few names": {names: b"cat dog"},
        "traversal": {"../evil": b"x"},
        "pickle": {"cifar-10-batches-py/data_batch_1": b"cos\nsystem\n"},
    }
    if how == "missing":
        return tar_gz({name: content for name, content in contents.items() if name != first})
    return tar_gz(changed[how] | contents | changed[how])


SPOILT_CIFAR = {
    "truncated": "(is cut short|is damaged)",
    "no archive": "is damaged: it is no whole tar file",
    "wrong bytes": "data_batch_1.bin has the wrong checksum: its SHA-256 is .*, but must be ",
    "wrong size": "data_batch_1.bin has the wrong size: 36,875 bytes, but must be a multiple of",
    "empty": "data_batch_1.bin has the wrong size: 0 bytes",
    "label": r"data_batch_1.bin holds the label 10, but labels must be in 0\.\.9",
    "few names": "batches.meta.txt names 2 classes, but must name 10",
    "traversal": r"holds '\.\./evil', which leads out of the folder",
    "pickle": "is the Python version of the archive, whose files are pickles .* cifar-10-binary",
    "missing": "lacks cifar-10-batches-bin/data_batch_1.bin",
}


@pytest.mark.parametrize("how", SPOILT_CIFAR)
def test_a_bad_cifar_archive_is_named_and_stays(monkeypatch, place, how):
    contents = small_cifar(monkeypatch, "cifar10")
    bad = spoilt_cifar(contents, how)
    file = put_cifar(monkeypatch, place, "cifar10", bad)
    with pytest.raises(DataError, match=SPOILT_CIFAR[how]) as caught:
        load("cifar10")
    assert str(caught.value).startswith(str(file)) and "replace the file by a good" in str(
        caught.value
    )
    assert file.read_bytes() == bad


def test_a_cifar_archive_that_swells_is_stopped(monkeypatch, place):
    small_cifar(monkeypatch, "cifar10")
    put_cifar(monkeypatch, place, "cifar10", tar_gz({"zeros": bytes(10**6)}))
    monkeypatch.setattr(cifar, "MOST_BYTES", 10**5)
    with pytest.raises(DataError, match="unpacks to more than the 100,000 bytes allowed"):
        load("cifar10")


def test_cifar_is_downloaded_once(monkeypatch, server, place):
    archive = tar_gz(small_cifar(monkeypatch, "cifar10"))
    monkeypatch.setattr(cifar, "HOME", server.url)
    server.contents["cifar-10-binary.tar.gz"] = archive
    assert len(load("cifar10", "train")) == 60 and len(load("cifar10", "test")) == 12
    assert server.requests == ["/mnist/cifar-10-binary.tar.gz"]
    assert cached_files(place) == ["cifar-10-binary.tar.gz"]


@pytest.mark.parametrize("how", ["wrong bytes", "pickle", "traversal"])
def test_a_bad_cifar_download_leaves_nothing(monkeypatch, server, place, how):
    contents = small_cifar(monkeypatch, "cifar10")
    monkeypatch.setattr(cifar, "HOME", server.url)
    server.contents["cifar-10-binary.tar.gz"] = spoilt_cifar(contents, how)
    with pytest.raises(DataError, match=SPOILT_CIFAR[how]) as caught:
        load("cifar10")
    assert "put a good copy at MINICNN_DATA/cifar-10/cifar-10-binary.tar.gz" in str(caught.value)
    assert cached_files(place) == []


def test_real_cifar10(data_dir):
    ds = load("cifar10", "test")
    assert ds.images.shape == (10_000, 3, 32, 32) and ds.labels[:5].tolist() == [3, 8, 8, 0, 6]
    assert np.bincount(ds.labels).tolist() == [1000] * 10
    assert ds.classes[:4] == ("airplane", "automobile", "bird", "cat")


@pytest.mark.slow
def test_real_cifar10_has_the_mean_and_deviation_of_its_recipe(data_dir):
    from minicnn.training.recipes import preparation

    images, prepared = load("cifar10", "train").images, preparation("cifar10")
    assert images.shape == (50_000, 3, 32, 32)
    for c, (mean, std) in enumerate(zip(prepared.mean, prepared.std)):
        share = np.bincount(images[:, c].ravel()) / (50_000 * 32 * 32)
        values = np.arange(256) / 255
        found = share @ values
        assert found == pytest.approx(mean, abs=1e-4)
        assert np.sqrt(share @ (values - found) ** 2) == pytest.approx(std, abs=1e-4)


# ---------------------------------------------------------------- cheap to import


def test_import_is_cheap():
    heavy = [
        "urllib.request",
        "http.client",
        "tqdm",
        "gzip",
        "zipfile",
        "tempfile",
        "sklearn",
        "tarfile",
        "concurrent.futures",
        "PIL",
    ]
    code = (
        "import sys, numpy; before = set(sys.modules); import minicnn.data; "
        f"print(sorted(set({heavy}) & (set(sys.modules) - before)))"
    )
    root = str(Path(digits.__file__).parents[2])
    env = {**os.environ, "PYTHONPATH": root}
    run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert (run.stdout.strip(), run.stderr, run.returncode) == ("[]", "", 0)
