"""Forecast from rolling origins, without retraining."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr
from sklearn.pipeline import Pipeline

from gridcast.data.grid import CF, SAMPLE, TIME, wrap
from gridcast.forecasters.base import BaseForecaster


def backtest(
    estimator: Any,
    X: Any,
    horizon: int = 1,
    mode: Literal["multi_step", "one_step"] = "multi_step",
    stride: int = 1,
    n_samples: int | None = None,
) -> xr.DataArray:
    """Forecast `X` from rolling origins, without retraining.

    Where `X` follows the training series, the first forecast starts at its end; else the first `context` steps of `X`
    are context. Every forecast has its whole horizon inside `X`, so it can be verified.

    Parameters
    ----------
    estimator : forecaster, Pipeline or ForecastPipeline
        Fitted. A plain Pipeline forecasts in the units of its last step.
    X : DataArray or ndarray, shape ([sample,] time, [channel,] y, x)
        Observations.
    horizon : int, default=1
        Lead times of each forecast, in steps.
    mode : {"multi_step", "one_step"}, default="multi_step"
        In ``"one_step"`` every lead is forecast from the observations right before it, so a row holds the one-step
        forecasts of `horizon` consecutive steps.
    stride : int, default=1
        Steps between two origins.
    n_samples : int, optional
        Members of an ensemble; the predictive mean by default.

    Returns
    -------
    DataArray, shape ([member,] [sample,] init_time, lead_time=horizon, [channel,] y, x)
        Physical units. ``init_time`` is the last observed step before the forecast, ``lead_time`` counts steps from 1,
        and the coordinate ``time`` (init_time, lead_time) is the time that is forecast:
        ``X.sel(time=forecast.time)`` is its observation. ``forecast.lead_time.attrs["mode"]`` is `mode`.

    Raises
    ------
    TypeError
        If `horizon`, `stride` or `n_samples` is not an integer of at least 1.
    ValueError
        If `X` is too short for one forecast, or `mode` is unknown.

    Warns
    -----
    UserWarning
        If the model was trained on steps of `X`.

    Examples
    --------
    >>> import numpy as np
    >>> import gridcast as gc
    >>> x = np.arange(80.0).reshape(20, 2, 2)
    >>> gc.backtest(gc.NaiveForecaster().fit(x[:10]), x[10:], horizon=3).sizes["init_time"]
    7
    """
    return roll(estimator, X, horizon, mode, stride, n_samples).forecast


@dataclass(frozen=True)
class Rolled:
    """Forecasts from rolling origins, what was observed, and what persistence says, (init_time, lead_time, ...)."""

    forecast: xr.DataArray
    observed: xr.DataArray
    persistence: xr.DataArray


def roll(estimator: Any, X: Any, horizon: int, mode: str, stride: int, n_samples: int | None) -> Rolled:
    """Forecast as `backtest` does, and return also what was observed and persisted."""
    forecaster, series, undo = _resolve(estimator, X)
    values, history, origins = forecaster._roll(series, horizon, mode, stride, n_samples)
    init_times = history.times[origins]
    leading = {} if n_samples is None else {"member": np.arange(n_samples)}
    values = values[0] if n_samples is None else values

    def label(fields: xr.DataArray) -> xr.DataArray:
        """Name the time of a forecast by its origin."""
        valid = fields[TIME].variable
        fields = fields.assign_coords({TIME: init_times}).rename({TIME: "init_time"})
        fields = fields.assign_coords({TIME: ("init_time", valid.values, valid.attrs)})
        fields["init_time"].attrs.update(CF["init_time"])
        return fields

    def observe(steps: np.ndarray) -> xr.DataArray:
        block = history.load(int(steps[0]), int(steps[-1]) + 1)[:, steps - steps[0]]
        return label(undo(wrap(block, history.times[steps], history)))

    leads = np.arange(1, horizon + 1)
    lead_axis = values.ndim - 4
    forecasts = [
        label(undo(wrap(values.take(k - 1, axis=lead_axis), history.times[origins + k], history, leading)))
        for k in leads
    ]
    persisted = [observe(origins + (k - 1 if mode == "one_step" else 0)) for k in leads]
    return Rolled(
        _stack(forecasts, leads, mode),
        _stack([observe(origins + k) for k in leads], leads, mode),
        _stack([p.assign_coords({TIME: f[TIME]}) for p, f in zip(persisted, forecasts, strict=True)], leads, mode),
    )


def _stack(fields: list[xr.DataArray], leads: np.ndarray, mode: str) -> xr.DataArray:
    """Join the fields of each lead, (..., init_time, lead_time, ...)."""
    joined = xr.concat(fields, xr.Variable("lead_time", leads, CF["lead_time"] | {"mode": mode}))
    if "lead_time" not in joined[TIME].dims:  # a single lead
        joined = joined.assign_coords({TIME: joined[TIME].expand_dims({"lead_time": leads}, axis=-1)})
    first = [d for d in ("member", SAMPLE, "init_time", "lead_time") if d in joined.dims]
    return joined.transpose(*first, ...)


def _resolve(estimator: Any, X: Any) -> tuple[BaseForecaster, Any, Callable[[xr.DataArray], xr.DataArray]]:
    """Return the forecaster, the series as it takes it, and what brings its forecasts to the units of the estimator."""
    if not isinstance(estimator, Pipeline):
        return estimator, X, lambda forecast: forecast
    undo = getattr(estimator, "inverse_transform_forecast", lambda forecast: forecast)
    return estimator[-1], estimator[:-1].transform(X) if len(estimator) > 1 else X, undo
