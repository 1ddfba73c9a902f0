"""Scores of rolling forecasts, for scikit-learn's searches."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Self

from sklearn.utils.metadata_routing import MetadataRequest

from gridcast import metrics
from gridcast.data.checks import check_positive_integer
from gridcast.data.drivers import AHEAD, PAST
from gridcast.evaluation.backtest import roll

Metric = Literal["mse", "mae", "crps", "skill"]


@dataclass(frozen=True)
class ForecastScorer:
    """What `make_scorer` returns: call it with a fitted estimator and a series."""

    metric: Metric
    horizon: int = 1
    mode: Literal["multi_step", "one_step"] = "multi_step"
    stride: int = 1
    n_samples: int = 20
    weights: Literal["auto"] | None = "auto"
    _requests: MetadataRequest = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_requests", MetadataRequest(owner=self))
        for name in (AHEAD, PAST):
            self._requests.score.add_request(param=name, alias=None)

    def __call__(
        self, estimator: Any, X: Any, y: None = None, *, covariates: Any = None, past_covariates: Any = None
    ) -> float:
        """Return the score of `estimator` on `X`; higher is better.

        Parameters
        ----------
        estimator : forecaster, Pipeline, ForecastPipeline or a search over these
            Fitted.
        X : DataArray or ndarray, shape ([sample,] time, [channel,] y, x)
            Observations.
        y : ignored
        covariates, past_covariates : as in `backtest`

        Returns
        -------
        float
        """
        n_samples = self.n_samples if self.metric == "crps" else None  # the others score the mean
        given = covariates, past_covariates
        rolled = roll(estimator, X, self.horizon, self.mode, self.stride, n_samples, given)
        forecast, (observed, persistence) = rolled.forecast(), rolled.observations()
        if self.metric == "skill":
            return float(metrics.mse_skill(forecast, persistence, observed, weights=self.weights))
        return -float(getattr(metrics, self.metric)(forecast, observed, weights=self.weights))  # scikit-learn maximises

    def set_score_request(self, **requests: bool | str | None) -> Self:
        """Ask for metadata in searches with scikit-learn's metadata routing, ``set_score_request(covariates=True)``.

        Parameters
        ----------
        **requests : bool, str or None
            For `covariates` and `past_covariates`, as in scikit-learn.

        Returns
        -------
        self
        """
        for name, alias in requests.items():
            self.get_metadata_routing().score.add_request(param=name, alias=alias)
        return self

    def get_metadata_routing(self) -> MetadataRequest:
        """Return what the scorer asks for, for scikit-learn."""
        return self._requests


def make_scorer(
    metric: Metric = "skill",
    *,
    horizon: int = 1,
    mode: Literal["multi_step", "one_step"] = "multi_step",
    stride: int = 1,
    n_samples: int = 20,
    weights: Literal["auto"] | None = "auto",
) -> ForecastScorer:
    """Return a scorer for ``GridSearchCV(scoring=...)`` and ``cross_val_score(scoring=...)``.

    Parameters
    ----------
    metric : {"skill", "mse", "mae", "crps"}, default="skill"
        ``"skill"`` is ``1 - MSE / MSE of persistence``; the others are negated, so that higher is better, and are in
        the units of the forecast (squared for the MSE).
    horizon : int, default=1
        Lead times that are averaged over.
    mode : {"multi_step", "one_step"}, default="multi_step"
        See `backtest`.
    stride : int, default=1
        Steps between two origins.
    n_samples : int, default=20
        Members of the ensemble whose CRPS is taken.
    weights : "auto" or None, default="auto"
        ``"auto"`` weighs the cells of a latitude-longitude grid by their area, see `gridcast.metrics`; None weighs all
        cells alike, as the forecasters' own ``score`` does.

    Returns
    -------
    ForecastScorer
        A callable ``(estimator, X, y=None) -> float`` that can be pickled.

    Raises
    ------
    TypeError
        If `horizon`, `stride` or `n_samples` is not an integer of at least 1.
    ValueError
        If `metric` or `weights` is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> import gridcast as gc
    >>> x = np.arange(80.0).reshape(20, 2, 2)
    >>> make_scorer("mae", horizon=2)(gc.NaiveForecaster().fit(x[:10]), x[10:])
    -6.0
    """
    if metric not in ("mse", "mae", "crps", "skill"):
        raise ValueError(f'metric={metric!r} is unknown: use "skill", "mse", "mae" or "crps"')
    for name, value in (("horizon", horizon), ("stride", stride), ("n_samples", n_samples)):
        check_positive_integer(name, value)
    if weights not in ("auto", None):
        raise ValueError(f'weights={weights!r} is unknown: use "auto" or None')
    return ForecastScorer(metric, horizon, mode, stride, n_samples, weights)
