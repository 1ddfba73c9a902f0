"""The estimator family: one signature, one behaviour."""

from gridcast.forecasters.base import BaseForecaster
from gridcast.forecasters.cnmm import CNMMForecaster
from gridcast.forecasters.convlstm import ConvLSTMForecaster
from gridcast.forecasters.dmm import DMMForecaster
from gridcast.forecasters.load import load
from gridcast.forecasters.naive import NaiveForecaster
from gridcast.forecasters.neural import NeuralForecaster

__all__ = [
    "BaseForecaster",
    "CNMMForecaster",
    "ConvLSTMForecaster",
    "DMMForecaster",
    "NaiveForecaster",
    "NeuralForecaster",
    "load",
]
