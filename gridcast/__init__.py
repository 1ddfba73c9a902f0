"""Forecasts of gridded time series with deep Markov models behind scikit-learn's estimator contract."""

from gridcast import datasets, metrics, plotting, presets
from gridcast.anomaly import Anomaly
from gridcast.forecasters import CNMMForecaster, ConvLSTMForecaster, DMMForecaster, NaiveForecaster
from gridcast.model_selection import backtest, make_scorer, train_test_split
from gridcast.pipeline import ForecastPipeline
from gridcast.preprocessing import MinMaxTransformer
from gridcast.windows import WindowSplitter

__version__ = "0.1.0"

__all__ = [
    "Anomaly",
    "CNMMForecaster",
    "ConvLSTMForecaster",
    "DMMForecaster",
    "ForecastPipeline",
    "MinMaxTransformer",
    "NaiveForecaster",
    "WindowSplitter",
    "backtest",
    "datasets",
    "make_scorer",
    "metrics",
    "plotting",
    "presets",
    "train_test_split",
]
