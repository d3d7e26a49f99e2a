"""Weights and results in files that other programs can read."""

from minicnn.interop import names
from minicnn.interop.files import write_file
from minicnn.interop.onnx import ExportError, export_onnx
from minicnn.interop.weights import WeightsError, load, load_into, read_metadata, save

__all__ = [
    "ExportError",
    "WeightsError",
    "export_onnx",
    "load",
    "load_into",
    "names",
    "read_metadata",
    "save",
    "write_file",
]
