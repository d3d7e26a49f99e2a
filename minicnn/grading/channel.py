"""Messages between the marker and a student's process: lines of JSON, arrays in base64.

Not pickle: what a student's process sends must never be executed.
"""

from __future__ import annotations

import base64
import json

import numpy as np

LARGEST = 64_000_000  # bytes of a message
KINDS = "biuf"  # of arrays: bool, integers, floats


def encode(value):
    """A value as JSON can hold it; what is neither number nor array becomes its type's name."""
    if isinstance(value, np.ndarray) and value.dtype.kind in KINDS:
        # Axes from the longest step to the shortest: the memory order is kept, too.
        order = sorted(range(value.ndim), key=lambda k: -abs(value.strides[k]))
        data = value.transpose(order)
        return {
            "array": base64.b64encode(data.tobytes()).decode(), "dtype": data.dtype.str,
            "shape": list(data.shape), "order": order,
        }  # fmt: skip
    if isinstance(value, np.generic) and value.dtype.kind in KINDS:
        return {"scalar": encode(np.asarray(value))}
    if type(value) in (tuple, list):
        return {type(value).__name__: [encode(v) for v in value]}
    if value is None or type(value) in (bool, int, float, str):
        return value
    return {"other": type(value).__name__, "numpy": hasattr(value, "numpy")}


def decode(value):
    """The value that `encode` was given.

    Raises
    ------
    ValueError, TypeError, KeyError
        If it is no such value.
    """
    if not isinstance(value, dict):
        return value
    if "array" in value:
        dtype = np.dtype(value["dtype"])
        if dtype.kind not in KINDS:
            raise ValueError(f"expects an array of numbers, but got {dtype}")
        data = np.frombuffer(base64.b64decode(value["array"]), dtype).reshape(value["shape"])
        back = [value["order"].index(axis) for axis in range(data.ndim)]
        return data.transpose(back).copy(order="K")
    if "scalar" in value:
        return decode(value["scalar"])[()]
    if "other" in value:
        return _stand_in(str(value["other"]), bool(value["numpy"]))
    (kind,) = value
    return {"tuple": tuple, "list": list}[kind](decode(v) for v in value[kind])


def _stand_in(name, has_numpy):
    """An object of a class of this name, for messages such as "returned a Tensor"."""
    return type(name, (), {"numpy": None} if has_numpy else {})()


def send(file, message) -> None:
    """Write one message."""
    file.write(json.dumps(message).encode() + b"\n")
    file.flush()


def receive(file):
    """Read one message; None at the end, or if it is none."""
    line = file.readline(LARGEST)
    try:
        message = json.loads(line)
    except ValueError:  # cut off, or something else that was written there
        return None
    return message if isinstance(message, dict) else None
