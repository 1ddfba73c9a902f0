from .base import BaseForecaster as BaseForecaster
from .cnmm import CNMMForecaster as CNMMForecaster
from .convlstm import ConvLSTMForecaster as ConvLSTMForecaster
from .dmm import DMMForecaster as DMMForecaster
from .load import load as load
from .naive import NaiveForecaster as NaiveForecaster
from .neural import NeuralForecaster as NeuralForecaster
