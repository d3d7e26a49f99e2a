"""Weights in files: names, shapes and numbers, and nothing that could be executed.

    from minicnn import interop

    interop.save(model, "lenet.safetensors", metadata={"data": "digits"})
    interop.load_into(model, "lenet.safetensors")

PyTorch reads the same files (`safetensors.torch.load_file`): shapes are NCHW in the file. A name
that ends in ".npz" makes, or reads, NumPy's kind of file.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from minicnn.interop import npz
from minicnn.interop.files import write_file
from minicnn.nn import Module
from minicnn.tensor import Tensor


class WeightsError(ValueError):
    """A file of weights is not what it must be, or does not fit the model."""


def save(model_or_state, path, metadata=None) -> None:
    """Write weights to a safetensors or npz file: all of it, or nothing.

    Parameters
    ----------
    model_or_state : Module or dict of str to array
    path : str or Path
        Should end in ".safetensors"; ".npz" makes an npz file. An older file there is replaced.
    metadata : dict of str to str, optional
        Kept in the file's head; `read_metadata` gives it back. An npz file has none.

    Raises
    ------
    TypeError
        If the metadata are not strings, or a value is no array of numbers.
    OSError
        If the file cannot be written; an older file stays as it was.
    """
    from safetensors.numpy import save as to_bytes

    state = model_or_state
    if isinstance(state, Module):
        state = state.state_dict()
    metadata = dict(metadata or {})
    for entry in metadata.items():
        if not all(isinstance(word, str) for word in entry):
            raise TypeError(f"save: metadata expects strings by name, but got {entry!r}")
    arrays = {name: _plain(Tensor(value).numpy()) for name, value in state.items()}
    if _is_npz(path):
        if metadata:
            raise TypeError(
                "save: an npz file has no place for metadata; leave them out, or save to a "
                ".safetensors file"
            )
        write_file(path, npz.to_bytes(arrays))
    else:
        write_file(path, _in_order(to_bytes(arrays, metadata)))


def _is_npz(path):
    return Path(path).suffix == ".npz"


def _in_order(content: bytes) -> bytes:
    """The same file with its head sorted: the library writes metadata in a random order, and equal
    weights shall make equal files."""
    end = 8 + int.from_bytes(content[:8], "little")
    head = json.dumps(json.loads(content[8:end]), sort_keys=True).encode()
    head += b" " * (-len(head) % 8)  # the numbers behind it stay aligned
    return len(head).to_bytes(8, "little") + head + content[end:]


def _plain(array):
    """The array in C order of its own shape: safetensors writes memory as it lies there, so a
    channels-last array would come back with its numbers in other places."""
    return np.asarray(array, array.dtype.newbyteorder("="), order="C")


def load(path) -> dict[str, np.ndarray]:
    """The arrays of a safetensors or npz file by name.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    WeightsError
        If it is cut short, is no such file, or holds a kind of number NumPy lacks.
    """
    if _is_npz(path):
        return _load_npz(path)
    with _open(path) as file:
        state = {}
        for name in file.keys():  # noqa: SIM118 - the file is no dict
            try:
                state[name] = file.get_tensor(name)
                known = state[name].dtype.kind in "biuf"  # a library may have added others
            except (TypeError, AttributeError):
                known = False
            if not known:
                kind = file.get_slice(name).get_dtype()
                raise WeightsError(
                    f"{path}: {name} holds {kind} numbers, which NumPy lacks; convert the file "
                    "to float32 with the program that wrote it"
                )
        return state


def _load_npz(path):
    _check_there(path)
    try:
        return npz.read(path)
    except ValueError as error:
        raise WeightsError(
            f"{path} is no whole npz file of numbers ({error}); copy, download or save it again"
        ) from None


def load_into(model: Module, path, rename=None) -> None:
    """Set a model's parameters and buffers from a file. Either all are set, or none.

    Weights of torchvision's nets have the names that minicnn's have. The counts of batches that
    batch normalizations keep may be missing, as in files that are older than they: they become 0.

    Parameters
    ----------
    model : Module
    path : str or Path
        A safetensors or npz file.
    rename : function, optional
        From a name in the file to the model's; see `minicnn.interop.names`.

    Raises
    ------
    FileNotFoundError, WeightsError
        As `load`, and if names are missing or unknown or shapes differ; the message lists them all.
    """
    state = {rename(name) if rename else name: value for name, value in load(path).items()}
    for name, buffer in model.named_buffers():
        if name.endswith("num_batches_tracked"):
            state.setdefault(name, np.zeros(buffer.shape, buffer.dtype))
    try:
        model.load_state_dict(state)
    except ValueError as error:
        raise WeightsError(f"{path} does not fit: {error}") from None


def read_metadata(path) -> dict[str, str]:
    """What `save` was given as metadata; raises as `load` does."""
    with _open(path) as file:
        return file.metadata() or {}


def _open(path):
    """The opened file, its head read and checked."""
    from safetensors import SafetensorError, safe_open

    _check_there(path)
    try:
        return safe_open(path, framework="numpy")
    except SafetensorError as error:
        raise WeightsError(
            f"{path} is no whole safetensors file ({error}); it may have been cut short: "
            "copy, download or save it again"
        ) from None
    except OSError as error:
        raise type(error)(f"{path} could not be read ({error}); see that you may read it") from None


def _check_there(path):
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"{path}: there is no such file; give the path of a .safetensors file, such as "
            "the one that training has saved"
        )
