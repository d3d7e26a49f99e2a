"""Checkpoints: all of a training in one file, to go on from as if nothing had happened.

    Trainer(model, optimizer, callbacks=[Checkpoints("run/checkpoints", keep=3)]).fit(...)

    trainer = Trainer(model, optimizer, callbacks=[Checkpoints("run/checkpoints", keep=3)])
    load_checkpoint(trainer, newest("run/checkpoints"))
    trainer.fit(...)                                     # the rest, to the same bits

A file is whole or not there, whenever the machine stops. It is safetensors: the arrays by name,
and everything else as JSON in the head; nothing in it can be executed.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np

import minicnn
from minicnn import interop
from minicnn.functional.arguments import as_count
from minicnn.interop import WeightsError
from minicnn.training.callbacks import Callback
from minicnn.training.state import capture, restore

HEAD = "minicnn.checkpoint"  # where in the file's metadata the JSON is
NAME = re.compile(r"step-(\d{8,})\.safetensors")


# ---------------------------------------------------------------------------
# One file
# ---------------------------------------------------------------------------
def save_checkpoint(trainer, path, extra=None) -> None:
    """Write all that the rest of a trainer's `fit` depends on; an older file there is replaced.

    Parameters
    ----------
    trainer : Trainer
    path : str or Path
    extra : dict, optional
        Anything else that JSON can hold; `load_checkpoint` gives it back.

    Raises
    ------
    OSError
        If it cannot be written (no room, no permission); an older file stays as it was.
    """
    arrays = {}
    state = _pack({"trainer": capture(trainer), "extra": extra or {}}, "", arrays)
    state["minicnn"] = minicnn.__version__
    interop.save(arrays, path, {HEAD: json.dumps(state, allow_nan=False)})


def load_checkpoint(trainer, path) -> dict:
    """Set a trainer as it was when the checkpoint was written; its next `fit` does the rest.

    The trainer must have been made as that one was: the same model, optimiser and callbacks; and
    the same loaders go to `fit`. On the same machine, with the same number of threads, every bit
    comes out as it would have without a break.

    Returns
    -------
    dict
        What `save_checkpoint` was given as `extra`.

    Raises
    ------
    FileNotFoundError, WeightsError
        If there is no such file, or it is no whole checkpoint.
    ValueError
        If it is that of another model, optimiser or set of callbacks; nothing is changed then.
    """
    state = _read(path)
    restore(trainer, _unpack(state["trainer"], interop.load(path)))
    return state["extra"]


def read_extra(path) -> dict:
    """What `save_checkpoint` was given as `extra`; raises as `load_checkpoint` does."""
    return _read(path)["extra"]


def progress_of(path) -> tuple[int, int]:
    """(epochs done, epochs in all) of the `fit` a checkpoint was written in.

    A training that a callback stopped early is done with all. Raises as `load_checkpoint` does.
    """
    state = _read(path)["trainer"]
    return state["epochs"] if state["stop"] else state["epoch"], state["epochs"]


def _read(path) -> dict:
    text = interop.read_metadata(path).get(HEAD)
    if text is None:
        raise WeightsError(
            f"{path} is no checkpoint of a training: its head has no {HEAD}; give one of the files "
            "step-N.safetensors, or load weights with interop.load_into"
        )
    return json.loads(text)


def _pack(value, path, arrays):
    """`value` with every array replaced by its name; the arrays go to `arrays`."""
    if isinstance(value, np.ndarray):
        arrays[path] = value
        return {HEAD: path}
    below = f"{path}." if path else ""
    if isinstance(value, dict):
        return {k: _pack(v, f"{below}{k}", arrays) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_pack(v, f"{below}{k}", arrays) for k, v in enumerate(value)]
    return value


def _unpack(value, arrays):
    if isinstance(value, dict):
        if value.keys() == {HEAD}:
            return arrays[value[HEAD]]
        return {k: _unpack(v, arrays) for k, v in value.items()}
    return [_unpack(v, arrays) for v in value] if isinstance(value, list) else value


# ---------------------------------------------------------------------------
# A folder of them
# ---------------------------------------------------------------------------
def checkpoints(folder) -> list[Path]:
    """The checkpoints of a folder, oldest first; none if there is no such folder."""
    found = Path(folder).glob("step-*.safetensors")
    return sorted((path for path in found if NAME.fullmatch(path.name)), key=_step)


def newest(folder) -> Path:
    """The newest checkpoint of a folder.

    Raises
    ------
    FileNotFoundError
        If there is none.
    """
    found = checkpoints(folder)
    if not found:
        raise FileNotFoundError(
            f"{folder} holds no checkpoint to go on from; begin a training that writes them there"
        )
    return found[-1]


def _step(path) -> int:
    return int(NAME.fullmatch(path.name)[1])


class Checkpoints(Callback):
    """Writes a checkpoint after each epoch, and keeps the last ones.

    Parameters
    ----------
    folder : str or Path
        Made if it is not there. The files are called step-00000450.safetensors, after the number
        of steps done.
    keep : int
        How many to keep; older ones are removed when a new one is on disk.
    every : int, optional
        Write one after so many steps, too, for epochs that are long.
    extra : dict, optional
        Goes into each file; see `save_checkpoint`.
    replace : bool
        Remove another training's checkpoints from the folder, once one of this training is there.

    Raises
    ------
    OSError
        From `fit`, if the folder cannot be made or written to; older files stay as they were.
    FileExistsError
        From a `fit` that does not go on from a checkpoint, if the folder holds some (and not
        `replace`).
    """

    last = True

    def __init__(self, folder, keep=1, every=None, extra=None, replace=False):
        self.folder = Path(folder)
        self.keep = as_count("Checkpoints", "keep", keep)
        self.every = None if every is None else as_count("Checkpoints", "every", every)
        self.extra = extra
        self.replace = bool(replace)

    def before_fit(self, trainer):
        make_folder(self.folder)
        self.strangers = checkpoints(self.folder) if trainer.step == 0 else []
        if self.strangers and not self.replace:
            raise FileExistsError(
                f"{self.folder} holds checkpoints of another training; go on from them with "
                "load_checkpoint, choose another folder, or remove them"
            )
        for part in self.folder.glob(".step-*.part"):  # of a process that was killed
            part.unlink(missing_ok=True)

    def after_step(self, trainer):
        if self.every and trainer.step % self.every == 0:
            self._write(trainer)

    def after_epoch(self, trainer):
        self._write(trainer)

    def _write(self, trainer):
        path = self.folder / f"step-{trainer.step:08d}.safetensors"
        save_checkpoint(trainer, path, self.extra)
        strangers, self.strangers = self.strangers, []
        own = [p for p in checkpoints(self.folder) if p not in strangers or p == path]
        later = [p for p in own if _step(p) > trainer.step]  # of a future that is no more
        older = [p for p in own if _step(p) <= trainer.step][: -self.keep]
        for old in {*strangers, *later, *older} - {path}:
            old.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make a folder that can be written to, or raise an OSError that says why not."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise type(error)(
            f"{folder} cannot be made a folder ({error.strerror}); choose another place with out"
        ) from error
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{folder} is a folder that must not be written to; choose another")
