"""Scores of a forecast against observations, thin over the `scores` package.

Every metric has one signature, ``metric(forecast, observed, *, dim=None, weights="auto")``, and one shape:
check the labels, score each cell, average over ``dim``. Two of them differ: :func:`power_spectrum` is of one field, and
:func:`diebold_mariano`, a test of two backtests, is computed at once. All others

- weigh cells by their area where a latitude is averaged over (see :func:`latitude_weights`), unless ``weights=None``,
- leave out cells that are missing (NaN) in the forecast or in the observations,
- stay lazy on dask arrays (labels and weights alone are computed, to see that they agree and none is negative),
- compute in float64, so that unsigned radar counts do not wrap around,
- demand equal labels on every shared dimension instead of joining them silently,
- broadcast dimensions that one side alone has (``member``, ``lead_time``, ``init_time``),
- return labels and a ``units`` attribute, that of the score.

:func:`gridcast.verify` takes them all of a backtest, with confidence intervals.
"""

from gridcast.metrics._brier import brier_decomposition, brier_score
from gridcast.metrics._correlation import anomaly_correlation
from gridcast.metrics._diebold_mariano import diebold_mariano
from gridcast.metrics._ensembles import crps, rank_histogram, spread_skill_ratio
from gridcast.metrics._errors import bias, mae, mse, mse_skill, rmse
from gridcast.metrics._events import fractions_skill_score, reliability
from gridcast.metrics._intervals import coverage, interval_score
from gridcast.metrics._multivariate import energy_score, variogram_score
from gridcast.metrics._roc import roc
from gridcast.metrics._spectrum import power_spectrum
from gridcast.metrics._tails import threshold_weighted_crps
from gridcast.metrics._weights import latitude_weights

__all__ = [
    "anomaly_correlation",
    "bias",
    "brier_decomposition",
    "brier_score",
    "coverage",
    "crps",
    "diebold_mariano",
    "energy_score",
    "fractions_skill_score",
    "interval_score",
    "latitude_weights",
    "mae",
    "mse",
    "mse_skill",
    "power_spectrum",
    "rank_histogram",
    "reliability",
    "rmse",
    "roc",
    "spread_skill_ratio",
    "threshold_weighted_crps",
    "variogram_score",
]
