"""Layers: operations that own their parameters."""

from minicnn.nn import init
from minicnn.nn.activation import ReLU, Sigmoid, Tanh
from minicnn.nn.conv import Conv2d
from minicnn.nn.linear import Flatten, Linear
from minicnn.nn.loss import CrossEntropyLoss
from minicnn.nn.module import Module, Parameter, Sequential
from minicnn.nn.pooling import AvgPool2d, MaxPool2d

__all__ = [
    "AvgPool2d",
    "Conv2d",
    "CrossEntropyLoss",
    "Flatten",
    "Linear",
    "MaxPool2d",
    "Module",
    "Parameter",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Tanh",
    "init",
]
