"""Nets by numbers: what they cost, what they see, and how they compare."""

from minicnn.analysis.compare import Comparison, compare
from minicnn.analysis.cost import Cost, cost
from minicnn.analysis.receptive import ReceptiveField, receptive_field
from minicnn.analysis.summary import Summary, summary

__all__ = [
    "Comparison",
    "Cost",
    "ReceptiveField",
    "Summary",
    "compare",
    "cost",
    "receptive_field",
    "summary",
]
