"""The estimator template: what every forecaster does with labels, histories, modes and scores."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, Self

import numpy as np
import xarray as xr

from gridcast.data.calendars import Calendar
from gridcast.data.checks import check_positive_integer
from gridcast.data.chunk_cache import kept
from gridcast.data.geography import advice
from gridcast.data.grid import Series, extend, join, unwrap, wrap
from gridcast.data.parameters import anything, parameter, parameters
from gridcast.data.quantiles import check_levels, quantiles
from gridcast.data.read_errors import naming_the_file
from gridcast.forecasters.driven import UNDRIVEN, Given
from gridcast.forecasters.fitted import remembering_refusal
from gridcast.forecasters.labelled import LabelledForecaster, check_mode
from gridcast.forecasters.saved import SavedForecaster

Mode = Literal["multi_step", "one_step"]


@parameters
class BaseForecaster(LabelledForecaster, SavedForecaster):
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
        """Train on a series; an earlier fit is forgotten.

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

    def _checked_fit(self, X: xr.DataArray | np.ndarray, given: Given = UNDRIVEN) -> Self:
        series, calendar = unwrap(X)
        if calendar is None:
            raise ValueError(
                f"X has {len(series)} step: give a series of at least 2, from which time steps can be told"
            )
        lead = ("time",) if series.samples is None else ("sample", "time")
        if problem := advice(series.grid.coords, (*lead, *series.grid.dims)):
            warnings.warn(f"X: {problem}", stacklevel=3)
        if self._reads_often:
            series = replace(series, values=kept(series.values))
        series = self._fit_drivers(series, calendar, given)
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
        return self

    def predict(
        self,
        X: Any = None,
        horizon: int = 1,
        mode: Mode = "multi_step",
        *,
        covariates: Any = None,
        past_covariates: Any = None,
    ) -> xr.DataArray:
        """Forecast the predictive mean.

        Two forms: ``predict(horizon)`` forecasts from the end of the training series (and every `update`),
        ``predict(X, horizon)`` from the end of `X`.

        Parameters
        ----------
        X : DataArray or ndarray, shape ([sample,] time, [channel,] y, x), or int or timedelta
            History to forecast from, on the grid and calendar of the training series; or the horizon. Only its last
            steps are read.
        horizon : int or timedelta, default=1
            Number of steps, or a duration of a whole number of equal steps.
        mode : {"multi_step", "one_step"}, default="multi_step"
            With T the last step of the history: ``"multi_step"`` forecasts T+1 to T+horizon from the history alone;
            ``"one_step"`` forecasts T-horizon+2 to T+1, each from the observations before it (data assimilation).
        covariates : as in `fit`
            Those of the last `context` steps and of the horizon, where the model was fitted with them. What `fit` and
            `update` have seen of them is kept, so that from the end of the training series those of the horizon are
            enough.
        past_covariates : as in `fit`
            Those of the last `context` steps; by default what is kept.

        Returns
        -------
        DataArray, shape ([sample,] time=horizon, [channel,] y, x)
            Physical units, with the coordinates, name and attributes of the series; time goes on in its calendar.

        Raises
        ------
        TypeError
            If `horizon` is not an integer of at least 1.
        ValueError
            If `mode` is unknown, the history is too short or of another grid, `horizon` is a duration of no whole
            number of steps, covariates end before the horizon does, are missing or were not fitted, or the forecast
            would take more than 8 GiB.
        NotFittedError
            Before `fit`.

        Warns
        -----
        UserWarning
            If `X` names other units than the training series: nothing is converted.
        """
        given = covariates, past_covariates
        values, times, history = self._forecast_labelled(X, horizon, mode, None, given)
        return wrap(values[0], times, history)

    def predict_samples(
        self,
        X: Any = None,
        horizon: int = 1,
        mode: Mode = "multi_step",
        n_samples: int = 100,
        *,
        covariates: Any = None,
        past_covariates: Any = None,
    ) -> xr.DataArray:
        """Draw an ensemble from the predictive distribution.

        Parameters
        ----------
        X, horizon, mode
            As in `predict`.
        n_samples : int, default=100
            Number of members.
        covariates, past_covariates
            As in `predict`.

        Returns
        -------
        DataArray, shape (member=n_samples, [sample,] time=horizon, [channel,] y, x)
            Physical units. Each member is a possible future: coherent over the steps of a multi-step forecast.
        """
        n_samples = check_positive_integer("n_samples", n_samples)
        given = covariates, past_covariates
        values, times, history = self._forecast_labelled(X, horizon, mode, n_samples, given)
        return wrap(values, times, history, {"member": np.arange(n_samples)})

    def predict_quantiles(
        self,
        X: Any = None,
        horizon: int = 1,
        mode: Mode = "multi_step",
        q: float | Sequence[float] = (0.05, 0.5, 0.95),
        n_samples: int = 100,
        *,
        covariates: Any = None,
        past_covariates: Any = None,
    ) -> xr.DataArray:
        """Forecast quantiles of the predictive distribution, computed from samples in physical units.

        Parameters
        ----------
        X, horizon, mode
            As in `predict`.
        q : float or sequence of float, default=(0.05, 0.5, 0.95)
            Probabilities between 0 and 1.
        n_samples : int, default=100
            Number of members that the quantiles are computed from.
        covariates, past_covariates
            As in `predict`.

        Returns
        -------
        DataArray, shape (quantile=len(q), [sample,] time=horizon, [channel,] y, x)
            Physical units.
        """
        levels = check_levels(q)
        given = {"covariates": covariates, "past_covariates": past_covariates}
        return quantiles(self.predict_samples(X, horizon, mode, n_samples, **given), levels)

    def update(self, X: xr.DataArray | np.ndarray, *, covariates: Any = None, past_covariates: Any = None) -> Self:
        """Move the forecast origin past newly observed steps, without retraining.

        Parameters
        ----------
        X : DataArray or ndarray, shape ([sample,] time, [channel,] y, x)
            The steps that follow the training series and every earlier update, without a gap.
        covariates, past_covariates : as in `fit`
            Those of `X`, where the model was fitted with them.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the first step of `X` is not the one after the last observed step, or covariates do not cover `X`.
        """
        series = self._check_history(X)
        if series.has_times and not self._follows(series):
            raise ValueError(
                f"X begins at {series.times[0]}, but the last observed step is {self.recent_.times[-1]}: update needs "
                "the steps that follow it without a gap or overlap"
            )
        calendar = self.calendar_
        if series.has_times and self.recent_.has_times:
            calendar = calendar.settle(extend(self.recent_.times, series.times))
        # lazy, so that only the steps that are kept are loaded
        series = self._relabel(series)
        joined = join(self.recent_, series)
        stretch = len(joined) - len(series), len(joined) - 1
        begin = None if series.has_times else series.times[0]
        joined = self._drive(joined, (covariates, past_covariates), stretch, 0, begin)
        drivers = self._kept_drivers(joined, calendar)
        # set together: a read that fails leaves all
        self.recent_, self.calendar_ = joined.tail(self._n_recent(), self._needed_cells(vars(self))), calendar
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
        self, X: Any, horizon: int, mode: str, stride: int, n_samples: int | None, given: Given = UNDRIVEN
    ) -> tuple[np.ndarray, Series, np.ndarray]:
        """Forecast every stretch of `horizon` steps inside `X`; `gridcast.backtest` is the labelled form.

        Parameters
        ----------
        X, horizon, mode, stride, n_samples
            As in `gridcast.backtest`.
        given : (covariates, past_covariates)

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
        history, first = self._with_context(series)
        origins = np.arange(first - 1, len(history) - horizon, stride)
        if not len(origins):
            raise ValueError(
                f"X allows {len(history) - first} forecast steps, horizon={horizon} needs {horizon}: give a longer "
                "series or a shorter horizon"
            )
        last = int(origins[-1])
        reached = (last, horizon) if mode == "multi_step" else (last + horizon - 1, 1)
        history = self._drive(history, given, (first - self._n_context(), reached[0]), reached[1])
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

    def _needed_cells(self, learned: Mapping[str, Any]) -> np.ndarray | None:
        """Return nothing, unless overridden: a context is enough."""

    # Shared steps

    def _origin(self, learned: dict[str, Any], series: Series, calendar: Calendar) -> dict[str, Any]:
        """Return the learned attributes that say what a forecast starts from."""
        fitted = self._as_fitted(learned)
        return {
            "grid_": series.grid,
            "calendar_": calendar,
            "trained_on_": (series.times[0], series.times[-1]),
            "recent_": series.tail(fitted._n_recent(), self._needed_cells(learned)),
            "drivers_": fitted._kept_drivers(series, calendar),
        }
