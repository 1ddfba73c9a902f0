"""Forecasts of gridded time series with deep Markov models behind scikit-learn's estimator contract."""

from gridcast import datasets, metrics, plotting, presets
from gridcast._version import __version__
from gridcast.evaluation.backtest import backtest
from gridcast.evaluation.scorers import make_scorer
from gridcast.evaluation.splitters import WindowSplitter, train_test_split
from gridcast.evaluation.verification import verify
from gridcast.forecasters import CNMMForecaster, ConvLSTMForecaster, DMMForecaster, NaiveForecaster, load
from gridcast.pipeline import ForecastPipeline
from gridcast.training import callbacks
from gridcast.transformers.anomaly import Anomaly
from gridcast.transformers.minmax import MinMaxTransformer

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
