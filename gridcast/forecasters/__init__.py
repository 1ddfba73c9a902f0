"""The estimator family: one signature, one behaviour."""

from gridcast.forecasters._base import BaseForecaster
from gridcast.forecasters._load import load
from gridcast.forecasters._neural import NeuralForecaster
from gridcast.forecasters.cnmm import CNMMForecaster
from gridcast.forecasters.convlstm import ConvLSTMForecaster
from gridcast.forecasters.dmm import DMMForecaster
from gridcast.forecasters.naive import NaiveForecaster

__all__ = [
    "BaseForecaster",
    "CNMMForecaster",
    "ConvLSTMForecaster",
    "DMMForecaster",
    "NaiveForecaster",
    "NeuralForecaster",
    "load",
]
