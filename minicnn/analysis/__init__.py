"""Nets by numbers: what they cost, what they see, why they answer so, and how they compare."""

from minicnn.analysis.compare import Comparison, compare
from minicnn.analysis.cost import Cost, cost
from minicnn.analysis.explain import grad_cam, occlusion_map, saliency
from minicnn.analysis.pictures import (
    plot_feature_maps,
    plot_filters,
    plot_gradients,
    plot_map,
    plot_receptive_field,
)
from minicnn.analysis.profile import Profile, profile
from minicnn.analysis.published import ILSVRC
from minicnn.analysis.receptive import ReceptiveField, receptive_field
from minicnn.analysis.summary import Summary, summary

__all__ = [
    "ILSVRC",
    "Comparison",
    "Cost",
    "Profile",
    "ReceptiveField",
    "Summary",
    "compare",
    "cost",
    "grad_cam",
    "occlusion_map",
    "plot_feature_maps",
    "plot_filters",
    "plot_gradients",
    "plot_map",
    "plot_receptive_field",
    "profile",
    "receptive_field",
    "saliency",
    "summary",
]
