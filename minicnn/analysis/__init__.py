"""Nets by numbers: what they cost, what they see, and how they compare."""

from minicnn.analysis.compare import Comparison, compare
from minicnn.analysis.cost import Cost, cost
from minicnn.analysis.profile import Profile, profile
from minicnn.analysis.receptive import ReceptiveField, receptive_field
from minicnn.analysis.summary import Summary, summary

__all__ = [
    "Comparison",
    "Cost",
    "Profile",
    "ReceptiveField",
    "Summary",
    "compare",
    "cost",
    "profile",
    "receptive_field",
    "summary",
]
