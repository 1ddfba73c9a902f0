"""Forecast from rolling origins, without retraining."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr

from gridcast.data.grid import CF, SAMPLE, TIME, Series, wrap
from gridcast.evaluation.estimators import Undo, refuse_units, resolve
from gridcast.forecasters.driven import UNDRIVEN, Driving


def backtest(
    estimator: Any,
    X: Any,
    horizon: int = 1,
    mode: Literal["multi_step", "one_step"] = "multi_step",
    stride: int = 1,
    n_samples: int | None = None,
    *,
    covariates: Any = None,
    past_covariates: Any = None,
    observation_error: Any = None,
) -> xr.DataArray:
    """Forecast `X` from rolling origins, without retraining.

    Where `X` follows the training series, the first forecast starts at its end; else the first `context` steps of `X`
    are context. Every forecast has its whole horizon inside `X`, so it can be verified.

    Parameters
    ----------
    estimator : forecaster, Pipeline, ForecastPipeline or a search over these
        Fitted. A plain Pipeline forecasts in the units of its last step, a search by its ``best_estimator_``.
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
    covariates, past_covariates : DataArray, Dataset, sequence of these, ndarray or None
        As in `fit`, at the times of `X`, where the forecaster was fitted with them.
    observation_error : float, ndarray or DataArray, optional
        Standard deviation of the error of each observation of `X`, as in `gridcast.forecasters.BaseForecaster.predict`;
        not with steps in front of the forecaster, which change the units.

    Returns
    -------
    DataArray, shape ([member,] [sample,] init_time, lead_time=horizon, [channel,] y, x)
        Physical units. ``init_time`` is the last observed step before the forecast, ``lead_time`` counts steps from 1,
        and the coordinate ``time`` (init_time, lead_time) is the time that is forecast:
        ``X.sel(time=forecast.time)`` is its observation. ``forecast.lead_time.attrs["mode"]`` is `mode`.

    Raises
    ------
    TypeError
        If `horizon`, `stride` or `n_samples` is not an integer of at least 1, or `estimator` has no forecaster.
    ValueError
        If `X` is too short for one forecast, `mode` is unknown, covariates are missing or end before `X` does, or
        `observation_error` is given with a pipeline of several steps.

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
    driving = covariates, past_covariates
    return roll(estimator, X, horizon, mode, stride, n_samples, driving, observation_error).forecast()


@dataclass(frozen=True)
class Rolled:
    """Forecasts from rolling origins; the observations behind them stay unread until they are asked for.

    Parameters
    ----------
    values : ndarray, (member, sample, origin, lead, channel, y, x)
        Forecasts in the units of the forecaster; one member, the mean, where `n_samples` is None.
    n_samples : int or None
    history : Series
        Context and observations.
    origins : ndarray of int, (origin,)
        The last observed step of each forecast, in `history`.
    mode : {"multi_step", "one_step"}
    undo : callable
        Brings a labelled array to the units of the estimator.
    """

    values: np.ndarray
    n_samples: int | None
    history: Series
    origins: np.ndarray
    mode: str
    undo: Undo

    @property
    def leads(self) -> np.ndarray:
        """The steps ahead: 1, 2, ..., horizon."""
        return np.arange(1, self.values.shape[3] + 1)

    def forecast(self) -> xr.DataArray:
        """Return the forecasts as `backtest` does."""
        leading = {} if self.n_samples is None else {"member": np.arange(self.n_samples)}
        values = self.values if leading else self.values[0]
        fields = []
        # lead by lead: `undo` needs one time axis, and leads overlap in time
        for lead in self.leads:
            times = self.history.times[self.origins + lead]
            fields.append(
                self._by_origin(self.undo(wrap(values.take(lead - 1, axis=-4), times, self.history, leading)))
            )
        joined = xr.concat(fields, xr.Variable("lead_time", self.leads, CF["lead_time"] | {"mode": self.mode}))
        if "lead_time" not in joined[TIME].dims:  # a single lead
            joined = joined.assign_coords({TIME: joined[TIME].expand_dims({"lead_time": self.leads}, axis=-1)})
        first = [d for d in ("member", SAMPLE, "init_time", "lead_time") if d in joined.dims]
        return joined.transpose(*first, ...)

    def observations(self) -> tuple[xr.DataArray, xr.DataArray]:
        """Return what was observed and what persistence says, ([sample,] init_time, lead_time, ...).

        Every step is read once, however many forecasts it verifies.
        """
        first, stop = int(self.origins[0]), int(self.origins[-1]) + len(self.leads) + 1
        series = self.undo(wrap(self.history.load(first, stop), self.history.times[first:stop], self.history))
        # what persistence knows: the step before, or the last one before the forecast
        known = self.leads - 1 if self.mode == "one_step" else 0 * self.leads

        def at(ahead: np.ndarray) -> xr.DataArray:
            steps = xr.DataArray(self.origins[:, None] - first + ahead, dims=("init_time", "lead_time"))
            labels = {"init_time": ("init_time", self.history.times[self.origins]), "lead_time": self.leads}
            return series.isel({TIME: steps}).assign_coords(labels)

        observed = at(self.leads)
        return observed, at(known).assign_coords({TIME: observed[TIME]})

    def _by_origin(self, field: xr.DataArray) -> xr.DataArray:
        """Name the times of one lead by their origins."""
        valid = field[TIME].variable  # the times that are forecast
        field = field.assign_coords({TIME: self.history.times[self.origins]}).rename({TIME: "init_time"})
        field = field.assign_coords({TIME: ("init_time", valid.values, valid.attrs)})
        field["init_time"].attrs.update(CF["init_time"])
        return field


def roll(
    estimator: Any,
    X: Any,
    horizon: int,
    mode: str,
    stride: int,
    n_samples: int | None,
    driving: Driving = UNDRIVEN,
    observation_error: Any = None,
) -> Rolled:
    """Forecast as `backtest` does, labels to come."""
    refuse_units(estimator, {"observation_error": observation_error})
    forecaster, series, undo = resolve(estimator, X)
    values, history, origins = forecaster._roll(series, horizon, mode, stride, n_samples, driving, observation_error)
    return Rolled(values, n_samples, history, origins, mode, undo)
