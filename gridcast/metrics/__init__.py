"""Scores of a forecast against observations, thin over the `scores` package.

Every metric has one signature, ``metric(forecast, observed, *, dim=None, weights="auto")``, and one shape:
check the labels, score each cell, average over ``dim``. All of them

- weigh cells by their area where a latitude is averaged over (see :func:`latitude_weights`), unless ``weights=None``,
- leave out cells that are missing (NaN) in the forecast or in the observations,
- stay lazy on dask arrays (labels and weights alone are computed, to see that they agree and none is negative),
- compute in float64, so that unsigned radar counts do not wrap around,
- demand equal labels on every shared dimension instead of joining them silently,
- broadcast dimensions that one side alone has (``member``, ``lead_time``, ``init_time``),
- return labels and a ``units`` attribute, that of the score.

:func:`gridcast.verify` takes them all of a backtest, with confidence intervals.
"""

from gridcast.metrics._correlation import anomaly_correlation
from gridcast.metrics._ensembles import crps, rank_histogram, spread_skill_ratio
from gridcast.metrics._errors import bias, mae, mse, mse_skill, rmse
from gridcast.metrics._events import fractions_skill_score, reliability
from gridcast.metrics._weights import latitude_weights

__all__ = [
    "anomaly_correlation",
    "bias",
    "crps",
    "fractions_skill_score",
    "latitude_weights",
    "mae",
    "mse",
    "mse_skill",
    "rank_histogram",
    "reliability",
    "rmse",
    "spread_skill_ratio",
]
