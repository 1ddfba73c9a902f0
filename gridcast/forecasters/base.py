"""The estimator template: what every forecaster does with labels, histories, modes and scores."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

import numpy as np
import pandas as pd
import xarray as xr

from gridcast.data.calendars import Calendar
from gridcast.data.checks import check_positive_integer
from gridcast.data.chunk_cache import kept
from gridcast.data.geography import advice
from gridcast.data.grid import Series, extend, unwrap
from gridcast.data.observation_errors import join_noisy, tail
from gridcast.data.parameters import anything, parameter, parameters
from gridcast.data.read_errors import naming_the_file
from gridcast.data.recalibration import Recalibration
from gridcast.data.warn import warn
from gridcast.forecasters.driven import UNDRIVEN, Driving
from gridcast.forecasters.fitted import remembering_refusal
from gridcast.forecasters.horizon import check_size
from gridcast.forecasters.labelled import check_mode
from gridcast.forecasters.predicting import PredictingForecaster
from gridcast.forecasters.saved import SavedForecaster


@parameters
class BaseForecaster(PredictingForecaster, SavedForecaster):
    """Forecaster of a gridded series: fit on a DataArray, forecast a DataArray.

    Subclasses learn in `_fit` and forecast in `_forecast`, on arrays without labels.

    Attributes
    ----------
    grid_ : Grid
        Dimensions and coordinates of the training series.
    calendar_ : Calendar
        Its time step.
    recent_ : Series
        The observed steps that the next forecast starts from: the end of the training series, then every `update`.
    trained_on_ : (label, label)
        First and last time of the training series.
    missing_share_ : float
        Share of its values that were not observed.
    recalibration_ : Recalibration
        Which levels of an ensemble stand for the probabilities of `predict_quantiles`, by lead and channel: its
        ``scores``.
    """

    random_state: Any = parameter(
        anything,
        "int, RandomState or None",
        "Seed of whatever is drawn: initial weights, order, samples.",
        default=None,
    )

    def fit(
        self, X: xr.DataArray | np.ndarray, y: None = None, *, covariates: Any = None, past_covariates: Any = None
    ) -> Self:
        """Train on a series; an earlier fit is forgotten, unless ``training__warm_start`` goes on from it.

        Parameters
        ----------
        X : DataArray or ndarray, shape ([sample,] time, [channel,] y, x)
            Training series in physical units, numpy- or dask-backed; NaN is not observed. It is not changed, and stays
            lazy if it was.
        y : ignored
            Present for scikit-learn.
        covariates : DataArray, Dataset, sequence of these, ndarray or None
            Series that are known ahead (a weather forecast, a tide, a schedule), shape ([sample,] time, [covariate,]
            y, x) on the grid of `X`, or without y and x where they are area-wide. They are taken by their time labels
            and must have those of `X`; NaN is as usual. What is linear in them is subtracted from the series, where
            held-out forecasts get better by it, and added to forecasts: see `covariates_`. A `NaiveForecaster` checks
            them and uses none.
        past_covariates : DataArray, Dataset, sequence of these, ndarray or None
            Series that are known up to the last observed step, of the same shapes.

        Returns
        -------
        self

        Raises
        ------
        TypeError
            If `X` is a Dataset or holds no numbers.
        ValueError
            If dimensions are missing or in another order, a time step does not follow the one before it, values are
            infinite or never observed, `X` is too short, or covariates are on another grid or calendar, or lack steps.
        """
        with remembering_refusal(self):
            return self._checked_fit(X, (covariates, past_covariates))

    def _checked_fit(self, X: xr.DataArray | np.ndarray, driving: Driving = UNDRIVEN) -> Self:
        series, calendar = unwrap(X)
        if calendar is None:
            raise ValueError(
                f"X has {len(series)} step: give a series of at least 2, from which time steps can be told"
            )
        lead = ("time",) if series.samples is None else ("sample", "time")
        if problem := advice(series.grid.coords, (*lead, *series.grid.dims)):
            warn(f"X: {problem}")
        if self._reads_often:
            series = replace(series, values=kept(series.values))
        series = self._fit_drivers(series, calendar, driving)
        with naming_the_file():
            # returned, not set: a fit that fails leaves the earlier one whole
            learned = self._fit(series, calendar)
            series = replace(series, n_observed=learned.pop("n_observed", None))
            # If this read fails, `self` still has its earlier fit.
            learned |= self._origin(learned, series, calendar)
        # an earlier fit may have learned what this one does not
        for name in [name for name in vars(self) if name.endswith("_") and not name.startswith("_")]:
            delattr(self, name)
        self.__dict__.update(learned)
        self._series = series  # for `reconstruct`, for as long as the object lives
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy is made of: all but the training series."""
        state = dict(super().__getstate__())
        state.pop("_series", None)
        return state

    def update(
        self,
        X: xr.DataArray | np.ndarray,
        *,
        covariates: Any = None,
        past_covariates: Any = None,
        observation_error: Any = None,
    ) -> Self:
        """Move the forecast origin past newly observed steps, without retraining.

        Parameters
        ----------
        X : DataArray or ndarray, shape ([sample,] time, [channel,] y, x)
            The steps that follow the training series and every earlier update, without a gap.
        covariates, past_covariates : as in `fit`
            Those of `X`, where the model was fitted with them.
        observation_error : float, ndarray or DataArray, optional
            Standard deviation of the error of each observation, as in `predict`; it is kept for later forecasts.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the first step of `X` is not the one after the last observed step, or covariates do not cover `X`.
        """
        series = self._as_counted(self._unwrap(X))
        if series.has_times and not self._follows(series):
            raise ValueError(
                f"X begins at {series.times[0]}, but the last observed step is {self.recent_.times[-1]}: update needs "
                "the steps that follow it without a gap or overlap"
            )
        calendar = self.calendar_
        if series.has_times and self.recent_.has_times:
            calendar = calendar.settle(extend(self.recent_.times, series.times))
        # lazy, so that only the steps that are kept are loaded
        series = self._with_errors(self._relabel(series), observation_error)
        joined = join_noisy(self.recent_, series)
        stretch = len(joined) - len(series), len(joined) - 1
        begin = None if series.has_times else series.times[0]
        joined = self._drive(joined, (covariates, past_covariates), stretch, 0, begin)
        drivers = self._kept_drivers(joined, calendar)
        # set together: a read that fails leaves all
        self.recent_, self.calendar_ = tail(joined, self._n_recent(), self._needed_cells(vars(self))), calendar
        self.drivers_ = drivers
        return self

    def score(
        self, X: xr.DataArray | np.ndarray, y: None = None, *, covariates: Any = None, past_covariates: Any = None
    ) -> float:
        """Return the one-step skill against persistence, ``1 - MSE / MSE of persistence``.

        Every step of `X` is forecast from the observations before it: from the first step on where `X` follows the
        training series, else from step `context` on. Missing values do not count.

        Parameters
        ----------
        X : DataArray or ndarray, shape ([sample,] time, [channel,] y, x)
            Observations that the model was not trained on.
        y : ignored
            Present for scikit-learn.
        covariates, past_covariates : as in `fit`
            Those of `X`, where the model was fitted with them.

        Returns
        -------
        float
            1 is perfect, 0 is persistence; NaN where persistence makes no error at all.

        Raises
        ------
        ValueError
            If `X` is too short for one forecast, or ends right where the training series begins.

        Warns
        -----
        UserWarning
            If the model was trained on steps of `X`.
        """
        series = self._check_history(X)
        self._check_unseen(series)
        history, first = self._with_context(series)
        stretch = first - self._n_context(), len(history) - 2
        history = self._drive(history, (covariates, past_covariates), stretch, 1)
        errors = np.zeros(2)  # of the forecast, of persistence
        for origins in self._blocks(np.arange(first - 1, len(history) - 1), history, 1):
            forecast = self._forecast(history, origins, 1, None)[0, :, :, 0]
            # consecutive origins: every step is the truth of one and the persistence of the next
            block = history.load(origins[0], origins[-1] + 2)
            truth, persistence = block[:, 1:], block[:, :-1]
            # the same cells for both, or the ratio would compare different things
            seen = np.isfinite(truth) & np.isfinite(persistence) & np.isfinite(forecast)
            errors += [np.square(f - truth, dtype=np.float64)[seen].sum() for f in (forecast, persistence)]
        return float(1 - errors[0] / errors[1]) if errors[1] > 0 else float("nan")

    def __sklearn_tags__(self) -> Any:
        """Say to scikit-learn that data has three dimensions or more, may have gaps, and needs no target."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = True
        tags.target_tags.required = False
        return tags

    def _roll(
        self,
        X: Any,
        horizon: int,
        mode: str,
        stride: int,
        n_samples: int | None,
        driving: Driving = UNDRIVEN,
        observation_error: Any = None,
    ) -> tuple[np.ndarray, Series, np.ndarray]:
        """Forecast every stretch of `horizon` steps inside `X`; `gridcast.backtest` is the labelled form.

        Parameters
        ----------
        X, horizon, mode, stride, n_samples, observation_error
            As in `gridcast.backtest`.
        driving : (covariates, past_covariates)

        Returns
        -------
        values : ndarray, shape (member, sample, origin, lead, channel, y, x)
        history : Series
            `X` behind its context.
        origins : ndarray of int, shape (origin,)
            The last observed step of each forecast, in `history`.
        """
        horizon, stride = check_positive_integer("horizon", horizon), check_positive_integer("stride", stride)
        n_samples = None if n_samples is None else check_positive_integer("n_samples", n_samples)
        check_mode(mode)
        series = self._check_history(X)
        self._check_unseen(series)
        history, first = self._with_context(self._with_errors(series, observation_error))
        origins = np.arange(first - 1, len(history) - horizon, stride)
        if not len(origins):
            raise ValueError(
                f"X allows {len(history) - first} forecast steps, horizon={horizon} needs {horizon}: give a longer "
                "series or a shorter horizon"
            )
        n_values = (n_samples or 1) * len(series.values) * len(origins) * horizon * int(np.prod(series.grid.shape))
        check_size(4 * n_values, horizon, n_samples, f", from fewer origins, stride={10 * stride}, or of a region")
        last = int(origins[-1])
        reached = (last, horizon) if mode == "multi_step" else (last + horizon - 1, 1)
        history = self._drive(history, driving, (first - self._n_context(), reached[0]), reached[1])
        if mode == "multi_step":
            return self._forecast(history, origins, horizon, n_samples), history, origins
        steps = origins[:, None] + np.arange(horizon)  # (origin, lead): the step before each that is forecast
        # rows overlap: each step is forecast once
        targets, where = np.unique(steps, return_inverse=True)
        values = self._forecast(history, targets, 1, n_samples)[:, :, :, 0]
        return values[:, :, where.reshape(steps.shape)], history, origins

    # What a forecaster defines

    @abstractmethod
    def _fit(self, series: Series, calendar: Calendar) -> dict[str, Any]:
        """Learn from a checked series and return the learned attributes, and as ``n_observed`` what was counted."""

    def _dynamics(self) -> Any:
        """Return nothing, unless overridden: no linear model, and so no smoother and no scenarios."""

    def _given(self, values: np.ndarray, times: pd.Index, history: Series, given: Any, mode: str) -> Any:
        """Return nothing, unless overridden: there are no scenarios."""

    def _closed_sides(self) -> np.ndarray | None:
        """Return nothing, unless overridden: no channel has a natural bound."""

    def _n_phases(self) -> int | None:
        """Return nothing, unless overridden: there is no cycle."""

    def _needed_cells(self, learned: Mapping[str, Any]) -> np.ndarray | None:
        """Return nothing, unless overridden: a context is enough."""

    # Shared steps

    def _origin(self, learned: dict[str, Any], series: Series, calendar: Calendar) -> dict[str, Any]:
        """Return the learned attributes that say what a forecast starts from."""
        fitted, calendar = self._as_fitted(learned), learned.get("calendar_", calendar)
        return {
            "grid_": series.grid,
            "calendar_": calendar,
            "trained_on_": learned.get("trained_on_", (series.times[0], series.times[-1])),
            "recent_": series.tail(fitted._n_recent(), self._needed_cells(learned)),
            "drivers_": fitted._kept_drivers(series, calendar),
            "recalibration_": learned.get("recalibration_", Recalibration.identity(series.grid.shape[0])),
        }
