"""What a forecast starts from: the history kept from training, or one that is given."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from gridcast.data.calendars import Calendar
from gridcast.data.chunk_cache import kept
from gridcast.data.grid import Grid, Series, unwrap
from gridcast.data.labels import same_samples
from gridcast.data.observation_errors import join_noisy, tail, with_errors
from gridcast.data.units import warn_of_other_units
from gridcast.data.warn import warn
from gridcast.forecasters.fitted import check_fitted
from gridcast.transformers.anomaly import warn_of_no_place


class HistoryForecaster(ABC):
    """Checks histories against the training series and goes on in its calendar."""

    grid_: Grid
    calendar_: Calendar
    recent_: Series
    trained_on_: tuple[Any, Any]

    _reads_often = True  # so that chunks of files are worth keeping

    @abstractmethod
    def _n_context(self) -> int:
        """Return the number of observed steps that one forecast needs."""

    @abstractmethod
    def _n_phases(self) -> int | None:
        """Return the steps of the cycle in which times place a series, if there is one."""

    def _n_recent(self) -> int:
        """Return the number of observed steps kept for forecasts without `X`."""
        # some more, so that one-step forecasts of the last steps need no X
        return self._n_context() + 30

    @abstractmethod
    def _dynamics(self) -> Any:
        """Return the linear model along which is smoothed, if any; raise an AttributeError where the fit has none."""

    @abstractmethod
    def _needed_cells(self, learned: Mapping[str, Any]) -> np.ndarray | None:
        """Return cells (channel, y, x) whose last observation a forecast needs, however old; None for none."""

    def _times_after(self, history: Series, n: int) -> pd.Index:
        last = history.times[-1]
        if not history.has_times:
            return pd.RangeIndex(last + 1, last + 1 + n)
        return self.calendar_.settle(history.times).after(last, n)

    def _check_history(self, X: Any) -> Series:
        """Return a history as a series; warn where it does not say at which step of a cycle it begins."""
        series = self._unwrap(X)
        # with times that numbers do not continue there is an error
        if not series.has_times and self.calendar_.axis == "number" and not self._begins_with_training(series):
            warn_of_no_place(self._n_phases() or 1)
        return series

    def _begins_with_training(self, series: Series) -> bool:
        """Whether a series without times holds the last observed step where it was."""
        last = self.recent_.times[-1]
        if self.recent_.has_times or (self._n_phases() or 1) == 1 or len(series) <= last:
            return False
        return np.array_equal(series.load(last, last + 1), self.recent_.values[:, -1:], equal_nan=True)

    def _unwrap(self, X: Any) -> Series:
        """Return a series of the grid and the calendar of the training series."""
        check_fitted(self)
        labelled = isinstance(X, xr.DataArray) and "time" in X.coords
        # steps without labels are taken as they come
        series, _ = unwrap(X, self.calendar_ if labelled and self.recent_.has_times else None)
        self.grid_.check_same(series.grid)
        ours, theirs = (grid.attrs.get("units") for grid in (self.grid_, series.grid))
        warn_of_other_units("X", theirs, "the training series", ours)
        return replace(series, values=kept(series.values)) if self._reads_often else series

    def _with_errors(self, series: Series, observation_error: Any) -> Series:
        """Return a series with the errors of its observations, where they are given."""
        if observation_error is not None:
            self._needs_dynamics("observation_error")
        return with_errors(series, observation_error)

    def _needs_dynamics(self, name: str) -> None:
        """Raise a ValueError where there is no linear model for a parameter that needs one."""
        try:
            missing = None if self._dynamics() is not None else f"a {type(self).__name__} has none"
        except AttributeError as error:
            missing = str(error)
        if missing is not None:
            raise ValueError(
                f"{name} needs the linear model of a forecaster: {missing}; use LinearForecaster or CNMMForecaster"
            )

    def _follows(self, series: Series) -> bool:
        labelled = series.has_times and self.recent_.has_times
        return labelled and self.calendar_.follows(self.recent_.times[-1], series.times[0])

    def _as_counted(self, series: Series) -> Series:
        """Return a series without labels where they are the numbers that its steps get after a history without."""
        first = self.recent_.times[-1] + 1 if not self.recent_.has_times else None
        goes_on = first is not None and series.times.equals(pd.RangeIndex(first, first + len(series)))
        return replace(series, time_attrs=None) if goes_on else series

    def _relabel(self, series: Series) -> Series:
        """Give steps without labels the numbers that follow the history."""
        if series.has_times:
            return series
        return replace(series, times=self._times_after(self.recent_, len(series)))

    def _with_context(self, series: Series) -> tuple[Series, int]:
        """Return the series behind its context, and the first step of it that can be forecast from observations."""
        n_context = self._n_context()
        # one sample more, and nobody knows which continues which
        alike = series.values.shape[0] == self.recent_.values.shape[0]
        follows = alike and same_samples(self.recent_.samples, series.samples) and self._follows(series)
        if follows and len(self.recent_) >= n_context:
            context = tail(self.recent_, n_context, self._needed_cells(vars(self)))
            return join_noisy(context, series), n_context
        if len(series) <= n_context:
            known = f"a training series of only {len(self.recent_)}"
            why = f"follows {known}" if follows else "does not follow the training series"
            raise ValueError(
                f"X has {len(series)} steps and {why}: its first {n_context} are context, so at least {n_context + 1} "
                f"are needed{self._or_less_context()}"
            )
        return series, n_context

    def _or_less_context(self) -> str:
        """Return a further way out of a history that is too short."""
        return ", or fit with a smaller context" if hasattr(self, "context") else ""

    def _check_unseen(self, series: Series) -> None:
        """Warn if the model was trained on steps of a series; raise a ValueError if it was trained on what follows it.

        The latter is what cross-validation with `KFold` does.
        """
        if not series.has_times or series.samples is not None:  # step numbers and samples do not tell what was seen
            return
        first, last = self.trained_on_
        if self.calendar_.follows(series.times[-1], first):
            raise ValueError(
                f"X ends at {series.times[-1]}, right where the training series begins: a model would be scored on the "
                "past of what it has seen; split with gridcast.WindowSplitter, which keeps time in order"
            )
        if series.times[0] <= last and series.times[-1] >= first:
            warn(
                f"X ({series.times[0]} to {series.times[-1]}) shares steps with the training series ({first} to "
                f"{last}): its score is flattered; split with gridcast.train_test_split or WindowSplitter",
            )
