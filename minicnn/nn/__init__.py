"""Layers: operations that own their parameters."""

from minicnn.nn import init
from minicnn.nn.activation import (
    GELU,
    Hardsigmoid,
    Hardswish,
    LeakyReLU,
    LogSoftmax,
    PReLU,
    ReLU,
    ReLU6,
    ScaledTanh,
    Sigmoid,
    SiLU,
    Softmax,
    Tanh,
)
from minicnn.nn.conv import Conv2d, ConvTranspose2d
from minicnn.nn.dropout import Dropout, Dropout2d
from minicnn.nn.joining import ChannelShuffle
from minicnn.nn.linear import Flatten, Linear
from minicnn.nn.loss import CrossEntropyLoss, MarginLoss, MSELoss, NLLLoss
from minicnn.nn.module import Buffer, Module, Parameter, Sequential
from minicnn.nn.normalization import (
    BatchNorm1d,
    BatchNorm2d,
    FrozenBatchNorm2d,
    LocalResponseNorm,
)
from minicnn.nn.pooling import (
    AdaptiveAvgPool2d,
    AdaptiveMaxPool2d,
    AvgPool2d,
    MaxPool2d,
    MaxUnpool2d,
)
from minicnn.nn.recurrent import GRU, LSTM, GRUCell, LSTMCell
from minicnn.nn.shortcut import ZeroPadShortcut
from minicnn.nn.upsample import Upsample

__all__ = [
    "GELU",
    "GRU",
    "LSTM",
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool2d",
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "Buffer",
    "ChannelShuffle",
    "Conv2d",
    "ConvTranspose2d",
    "CrossEntropyLoss",
    "Dropout",
    "Dropout2d",
    "Flatten",
    "FrozenBatchNorm2d",
    "GRUCell",
    "Hardsigmoid",
    "Hardswish",
    "LSTMCell",
    "LeakyReLU",
    "Linear",
    "LocalResponseNorm",
    "LogSoftmax",
    "MSELoss",
    "MarginLoss",
    "MaxPool2d",
    "MaxUnpool2d",
    "Module",
    "NLLLoss",
    "PReLU",
    "Parameter",
    "ReLU",
    "ReLU6",
    "ScaledTanh",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "Upsample",
    "ZeroPadShortcut",
    "init",
]
