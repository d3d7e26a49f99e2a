"""Weights in files: the same numbers come back, errors are clear, nothing is half-written."""

from __future__ import annotations

import errno
import json
import os
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors import numpy as safetensors

from minicnn import Tensor, interop, manual_seed, models
from minicnn.interop import WeightsError
from minicnn.layout import channels_last

KINDS = ["float32", "float64", "int64", "int32", "uint8", "bool"]
MODELS = ["lenet", "lenet5_1998"]


def net(name="lenet", seed=0):
    manual_seed(seed)
    return models.build(name)


def by_hand(kind, content):
    """A safetensors file with one array "w" of two elements, from the format's description."""
    head = {"w": {"dtype": kind, "shape": [2], "data_offsets": [0, len(content)]}}
    head = json.dumps(head).encode()
    return struct.pack("<Q", len(head)) + head + content


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array, strict=True)


# ---------------------------------------------------------------------------
# Round trips
# ---------------------------------------------------------------------------
@pytest.mark.parametrize("name", MODELS)
def test_a_model_comes_back(name, tmp_path):
    old, new = net(name, seed=1), net(name, seed=2)
    interop.save(old, tmp_path / "w.safetensors")
    interop.load_into(new, tmp_path / "w.safetensors")
    assert_same(new.state_dict(), old.state_dict())
    assert_same(interop.load(tmp_path / "w.safetensors"), old.state_dict())


def test_channels_last_weights_keep_their_places(tmp_path):
    """safetensors itself writes memory as it lies there, which is not NCHW order."""
    w = channels_last(np.arange(120, dtype=np.float32).reshape(2, 3, 4, 5))
    assert not w.flags.c_contiguous
    interop.save({"w": w}, tmp_path / "w")
    assert_same(safetensors.load_file(tmp_path / "w"), {"w": w})


@given(
    st.sampled_from(KINDS).flatmap(lambda kind: hnp.arrays(kind, hnp.array_shapes(min_dims=0))),
    st.data(),
)
def test_any_array_in_any_memory_order_comes_back(tmp_path_factory, array, data):
    order = data.draw(st.permutations(range(array.ndim)))
    array = np.array(array)  # 0-d: an array, not a scalar
    view = np.array(array.transpose(order), order="C").transpose(np.argsort(order))
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    interop.save({"a": view, "reversed": array.reshape(-1)[::-1]}, path)
    assert_same(interop.load(path), {"a": array, "reversed": array.reshape(-1)[::-1]})


def test_other_kinds_of_values(tmp_path):
    state = {
        "tensor": Tensor([1.5, 2.5]),
        "list": [1.0, 2.0],
        "big-endian": np.arange(3, dtype=">i4"),
    }
    interop.save(state, tmp_path / "w")
    found = interop.load(tmp_path / "w")
    assert {name: a.tolist() for name, a in found.items()} == {
        "tensor": [1.5, 2.5], "list": [1, 2], "big-endian": [0, 1, 2]
    }  # fmt: skip


def test_pytorch_reads_them(tmp_path):
    pytest.importorskip("torch", reason="needs PyTorch")
    from safetensors.torch import load_file

    model = net()
    interop.save(model, tmp_path / "w")
    found = {name: t.numpy() for name, t in load_file(tmp_path / "w").items()}
    assert_same(found, model.state_dict())


def test_metadata_come_back(tmp_path):
    interop.save({"w": np.ones(2)}, tmp_path / "with", metadata={"model": "lenet", "größe": "28"})
    interop.save({"w": np.ones(2)}, tmp_path / "without")
    assert interop.read_metadata(tmp_path / "with") == {"model": "lenet", "größe": "28"}
    assert interop.read_metadata(tmp_path / "without") == {}
    assert interop.load(tmp_path / "with").keys() == {"w"}


def test_equal_weights_make_equal_files(tmp_path):
    metadata = {str(k): "x" for k in range(20)}
    for name in "abc":
        interop.save(net(), tmp_path / name, metadata)
    assert len({(tmp_path / name).read_bytes() for name in "abc"}) == 1
    size = int.from_bytes((tmp_path / "a").read_bytes()[:8], "little")
    assert size % 8 == 0


# ---------------------------------------------------------------------------
# Bad files
# ---------------------------------------------------------------------------
GOOD = safetensors.save({"w": np.ones(100, np.float32)})


@pytest.mark.parametrize(
    "content, text",
    [
        pytest.param(b"", "is no whole safetensors file", id="empty"),
        pytest.param(GOOD[:5], "cut short: copy, download or save it again", id="a few bytes"),
        pytest.param(GOOD[:40], "is no whole safetensors file", id="cut in its head"),
        pytest.param(GOOD[:-1], "is no whole safetensors file", id="cut in its numbers"),
        pytest.param(GOOD + b"x", "is no whole safetensors file", id="too long"),
        pytest.param(b"\x80\x04N." * 20, "is no whole safetensors file", id="a pickle"),
        pytest.param(b"\xff" * 300, "is no whole safetensors file", id="nonsense"),
        pytest.param(by_hand("BF16", bytes(4)), "w holds BF16 numbers, .* convert", id="bfloat16"),
        pytest.param(by_hand("F8_E4M3", bytes(2)), "w holds F8_E4M3 numbers", id="float8"),
    ],
)
def test_a_bad_file_is_named(content, text, tmp_path):
    (tmp_path / "bad.safetensors").write_bytes(content)
    model, before = net(), net().state_dict()
    with pytest.raises(WeightsError, match=rf"bad\.safetensors.*{text}"):
        interop.load_into(model, tmp_path / "bad.safetensors")
    assert_same(model.state_dict(), before)


def test_bfloat16_is_refused_where_another_library_knows_it(tmp_path):
    pytest.importorskip("onnx", reason="needs onnx")  # it brings ml_dtypes, which NumPy then has
    (tmp_path / "w").write_bytes(by_hand("BF16", bytes(4)))
    with pytest.raises(WeightsError, match="w holds BF16 numbers, .* convert"):
        interop.load(tmp_path / "w")


@pytest.mark.parametrize("read", [interop.load, interop.read_metadata])
def test_a_missing_file_is_named(read, tmp_path):
    for path in (tmp_path / "missing.safetensors", tmp_path):
        with pytest.raises(FileNotFoundError, match=f"{path.name}: there is no such file; give"):
            read(path)


@pytest.mark.parametrize(
    "change, text",
    [
        (lambda s: s.pop("conv1.weight"), "missing: conv1.weight"),
        (lambda s: s.update(extra=np.ones(1)), "unexpected: extra"),
        (lambda s: s.update({"fc3.bias": np.ones(7)}), r"fc3.bias has shape \(7,\)"),
    ],
)
def test_weights_of_another_model_change_nothing(change, text, tmp_path):
    state = {name: array + 1 for name, array in net().state_dict().items()}
    change(state)
    interop.save(state, tmp_path / "other.safetensors")
    model, before = net(), net().state_dict()
    with pytest.raises(WeightsError, match=rf"other\.safetensors does not fit: .*{text}"):
        interop.load_into(model, tmp_path / "other.safetensors")
    assert_same(model.state_dict(), before)


# ---------------------------------------------------------------------------
# Writing fails
# ---------------------------------------------------------------------------
@pytest.mark.parametrize("place", ["fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_failed_write_leaves_the_old_file(place, number, tmp_path, monkeypatch):
    interop.save({"w": np.ones(3)}, tmp_path / "w")

    def fail(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(f"minicnn.interop.files.os.{place}", fail)
    with pytest.raises(OSError, match=rf"w could not be written \({os.strerror(number)}\), and is"):
        interop.save({"w": np.zeros(3)}, tmp_path / "w")
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["w"]
    np.testing.assert_array_equal(interop.load(tmp_path / "w")["w"], np.ones(3))


def test_a_disk_without_room(tmp_path):
    """A real limit on the size of files, met in the middle of writing."""
    resource = pytest.importorskip("resource")
    path = tmp_path / "w"
    interop.save({"w": np.ones(3)}, path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OSError, match="could not be written .* is as it was before"):
            interop.save({"w": np.ones(100_000)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [file.name for file in tmp_path.iterdir()] == ["w"]
    assert interop.load(path)["w"].shape == (3,)


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "none" / "w", tmp_path / "file" / "w", tmp_path / "folder"):
        with pytest.raises(OSError, match=f"{path.name} could not be written"):
            interop.save({"w": np.ones(3)}, path)
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder"}


@pytest.mark.parametrize(
    "state, metadata, text",
    [
        ({"w": np.ones(2)}, {"epochs": 3}, r"metadata expects strings .* got \('epochs', 3\)"),
        ({"w": np.ones(2, complex)}, None, "expects float32, float64, integer or bool"),
        ({"w": np.array([object()])}, None, "but got object"),
    ],
)
def test_what_cannot_be_saved(state, metadata, text, tmp_path):
    with pytest.raises(TypeError, match=text):
        interop.save(state, tmp_path / "w", metadata=metadata)
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------------------
# npz, and files of others
# ---------------------------------------------------------------------------
@pytest.mark.parametrize("name", MODELS)
def test_npz_files_come_back(name, tmp_path):
    old, new = net(name, seed=1), net(name, seed=2)
    interop.save(old, tmp_path / "w.npz")
    interop.load_into(new, tmp_path / "w.npz")
    assert_same(new.state_dict(), old.state_dict())
    with np.load(tmp_path / "w.npz") as file:  # NumPy itself reads it
        assert_same({key: file[key] for key in file.files}, old.state_dict())
    before = (tmp_path / "w.npz").read_bytes()
    interop.save(old, tmp_path / "w.npz")
    assert (tmp_path / "w.npz").read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no more", b"nonsense" * 9], ids=len)
def test_a_bad_npz_file_is_named(content, tmp_path):
    (tmp_path / "bad.npz").write_bytes(content)
    with pytest.raises(WeightsError, match=r"bad\.npz is no whole npz file of numbers"):
        interop.load(tmp_path / "bad.npz")
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        interop.load(tmp_path / "none.npz")


def test_an_npz_file_cut_short_or_changed_is_named(tmp_path):
    path = tmp_path / "w.npz"
    interop.save(net(), path)
    content = path.read_bytes()
    middle = len(content) // 2
    for bad in (content[:middle], content[:middle] + b"xxxx" + content[middle + 4 :]):
        path.write_bytes(bad)
        with pytest.raises(WeightsError, match="is no whole npz file of numbers"):
            interop.load(path)
    np.save(tmp_path / "one.npy", np.ones(3))
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    with pytest.raises(WeightsError, match="is no whole npz file of numbers"):
        interop.load(tmp_path / "one.npz")


def test_an_npz_file_executes_nothing(tmp_path):
    np.savez(tmp_path / "w.npz", w=np.array([object()], object))
    with pytest.raises(WeightsError, match="is no whole npz file of numbers .*pickle"):
        interop.load(tmp_path / "w.npz")
    with pytest.raises(TypeError, match="has no place for metadata"):
        interop.save({"w": np.ones(2)}, tmp_path / "m.npz", metadata={"a": "b"})


def test_counts_of_batches_may_be_missing(tmp_path):
    """Files from before PyTorch 0.4.1 lack them."""
    model = models.build("cifar_resnet20")
    state = {k: v + 1 for k, v in model.state_dict().items() if "num_batches" not in k}
    interop.save(state, tmp_path / "old.npz")
    interop.load_into(model, tmp_path / "old.npz")
    assert_same({k: v for k, v in model.state_dict().items() if "num_batches" not in k}, state)
    assert model.bn1.num_batches_tracked.item() == 0


def test_every_fault_of_a_file_is_reported(tmp_path):
    model = models.build("cifar_resnet20")
    before = {k: v.copy() for k, v in model.state_dict().items()}
    state = {k: v + 1 for k, v in before.items()}
    del state["conv1.weight"]
    state["fc.weight"] = state.pop("linear.weight")
    state["linear.bias"] = np.zeros(7, np.float32)
    interop.save(state, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError) as report:
        interop.load_into(model, tmp_path / "w.safetensors")
    for part in ("missing: conv1.weight", "missing: linear.weight", "unexpected: fc.weight",
                 "linear.bias has shape (7,), but the model's has (10,)"):  # fmt: skip
        assert part in str(report.value)
    assert_same(model.state_dict(), before)


def test_a_name_of_nobody_is_given_back():
    assert interop.names.squeezenet_v1_0("fire1/conv1x1_1.bias") == "fire1/conv1x1_1.bias"
