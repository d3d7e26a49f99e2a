"""Weights and results in files that other programs can read."""

from minicnn.interop.files import write_file
from minicnn.interop.weights import WeightsError, load, load_into, read_metadata, save

__all__ = ["WeightsError", "load", "load_into", "read_metadata", "save", "write_file"]
