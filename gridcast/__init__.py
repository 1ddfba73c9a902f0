"""Forecasts of gridded time series with deep Markov models behind scikit-learn's estimator contract."""

from gridcast import callbacks, datasets, metrics, plotting, presets
from gridcast._version import __version__
from gridcast.anomaly import Anomaly
from gridcast.forecasters import CNMMForecaster, ConvLSTMForecaster, DMMForecaster, NaiveForecaster, load
from gridcast.model_selection import backtest, make_scorer, train_test_split
from gridcast.pipeline import ForecastPipeline
from gridcast.preprocessing import MinMaxTransformer
from gridcast.verification import verify
from gridcast.windows import WindowSplitter

__all__ = [
    "Anomaly",
    "CNMMForecaster",
    "ConvLSTMForecaster",
    "DMMForecaster",
    "ForecastPipeline",
    "MinMaxTransformer",
    "NaiveForecaster",
    "WindowSplitter",
    "__version__",
    "backtest",
    "callbacks",
    "datasets",
    "load",
    "make_scorer",
    "metrics",
    "plotting",
    "presets",
    "train_test_split",
    "verify",
]
