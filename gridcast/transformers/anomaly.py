"""Deviations from the mean cycle of the year or the day."""

from __future__ import annotations

import copy
import numbers
from collections.abc import Callable
from typing import Any, Self

import dask.array as da
import numpy as np
import pandas as pd
import xarray as xr
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from gridcast.data.calendars import Calendar
from gridcast.data.grid import TIME, Series, has_channels, unwrap
from gridcast.transformers.labels import labelled

DAYS = 7  # from fewer no daily cycle is learned unasked


class Anomaly(TransformerMixin, BaseEstimator):
    """Subtract the mean seasonal (and daily) cycle of each cell, and add it back in the inverse.

    The cycle is the mean of each step of the period, steps that were never observed are interpolated around the cycle,
    and the result is smoothed to its first harmonics, as climatologies usually are.

    Parameters
    ----------
    period : {"auto", "year", "day"} or int, default="auto"
        Length of the cycle: the calendar year, the day, or a number of steps. ``"auto"`` takes the year where the
        series covers one, else the day where it covers a week with several steps a day, else the mean of each cell.
    n_harmonics : int or None, default=3
        Annual harmonics kept; a cycle of several steps a day keeps as many daily harmonics. None keeps the raw means.

    Attributes
    ----------
    cycle_ : ndarray, shape (phase, channel, y, x)
        The mean cycle in physical units, NaN where a cell is always missing.
    calendar_ : Calendar
        The calendar of the training series.
    period_ : {"year", "day"} or int
        The period in use.
    n_phases_ : int
        Number of steps of the period.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.tile(np.array([1.0, 2.0, 4.0]).reshape(3, 1, 1), (5, 2, 2))
    >>> bool(np.allclose(Anomaly(period=3).fit_transform(x), 0))
    True
    """

    def __init__(self, period: str | int = "auto", n_harmonics: int | None = 3) -> None:
        self.period = period
        self.n_harmonics = n_harmonics

    def fit(self, X: Any, y: None = None) -> Self:
        """Learn the cycle in one pass, block by block.

        Parameters
        ----------
        X : DataArray or ndarray, shape ([sample,] time, [channel,] y, x)
            At least one full period.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If `X` is shorter than the period or `period` is unknown.
        """
        learned = copy.copy(self)  # a fit that fails keeps the earlier one
        series, calendar = unwrap(labelled(X))
        learned.resolve(series, calendar)
        learned.learn(series)
        self.__dict__.update(learned.__dict__)
        return self

    def resolve(self, series: Series, calendar: Calendar | None) -> None:
        """Find the period of a series, without reading its values; the first half of `fit`.

        Parameters
        ----------
        series : Series
            Unwrapped; at least one full period.
        calendar : Calendar or None

        Raises
        ------
        ValueError
            If the series is shorter than the period, or `period` or `n_harmonics` is unknown.
        """
        self.calendar_: Any = calendar  # None for a single step
        if self.n_harmonics is not None and (
            not isinstance(self.n_harmonics, numbers.Integral) or self.n_harmonics < 0
        ):
            raise ValueError(f"n_harmonics={self.n_harmonics!r} must be an integer of at least 0, or None")
        self.period_ = self._resolve_period(series)
        self.origin_ = series.times[0]  # phase 0 of a period in steps
        self.n_phases_ = self._n_phases()
        if len(series) < self.n_phases_:
            raise ValueError(
                f"X has {len(series)} steps, period={self.period!r} needs at least {self.n_phases_}: "
                "give a longer series or a shorter period"
            )

    def learn(self, series: Series, observe: Callable[[np.ndarray, int, int], None] | None = None) -> None:
        """Learn the cycle of a series whose period is resolved; the second half of `fit`.

        Parameters
        ----------
        series : Series
        observe : callable, optional
            Is given the fields that are read, (n, channel, y, x), with their sample and first step: one pass for both.

        Raises
        ------
        ValueError
            If the series holds an infinite value.
        """
        phases = self.phases(series.times)
        total = np.zeros((self.n_phases_, *series.grid.shape))  # double: sums over decades
        count = np.zeros((self.n_phases_, *series.grid.shape), dtype=np.int32)
        block = max(1, (1 << 24) // int(np.prod(series.grid.shape)))  # values of a sample at a time: 64 MiB
        for start in range(0, len(series), block):
            for i, sample in enumerate(series.load(start, min(start + block, len(series)))):
                # unbuffered: a block holds the same phase many times, and `+=` would count it once
                np.add.at(total, phases[start : start + block], np.nan_to_num(sample))
                np.add.at(count, phases[start : start + block], np.isfinite(sample))
                if observe is not None:
                    observe(sample, i, start)
        # holes are filled first: a transform of NaN is NaN everywhere
        self.cycle_ = self._smooth(_fill_phases(total, count)).astype(np.float32)

    def climatology(self, times: pd.Index) -> np.ndarray:
        """Return the cycle at `times`.

        Parameters
        ----------
        times : Index
            Time labels of the training calendar.

        Returns
        -------
        ndarray, shape (time, channel, y, x)
        """
        check_is_fitted(self)
        return self.cycle_[self.phases(times)]

    def transform(self, X: Any) -> xr.DataArray:
        """Subtract the cycle.

        Parameters
        ----------
        X : DataArray or ndarray, shape ([sample,] time, [channel,] y, x)

        Returns
        -------
        DataArray
            Anomalies in the units of `X`, lazy if `X` is.
        """
        X = labelled(X)
        return (X - self._cycle_of(X)).assign_attrs(X.attrs).rename(X.name)  # arithmetic drops the attributes

    def inverse_transform(self, X: Any) -> xr.DataArray:
        """Add the cycle.

        Parameters
        ----------
        X : DataArray or ndarray, shape ([member,] [sample,] time, [channel,] y, x)
            Anomalies or forecasts of anomalies; the time labels say which part of the cycle is added.

        Returns
        -------
        DataArray
            In the units of the training series, lazy if `X` is.
        """
        X = labelled(X)
        return (X + self._cycle_of(X)).assign_attrs(X.attrs).rename(X.name)

    def _cycle_of(self, X: xr.DataArray) -> xr.DataArray:
        check_is_fitted(self)
        times = X.get_index(TIME) if TIME in X.coords else pd.RangeIndex(X.sizes[TIME])
        dims = X.dims[-3:] if has_channels(X) else X.dims[-2:]  # ([channel,] y, x)
        cycle = self.cycle_ if len(dims) == 3 else self.cycle_[:, 0]
        if cycle.shape[1:] != X.shape[-len(dims) :]:
            raise ValueError(f"X has fields of {X.shape[-len(dims) :]}, the cycle has {cycle.shape[1:]}: fit it on X")
        if X.chunks is None:
            return xr.DataArray(cycle[self.phases(times)], dims=(TIME, *dims))
        chunks = {d: X.chunksizes[d] for d in (TIME, *dims)}
        # lazy too: the cycle at all times is as large as the series
        lazy = da.from_array(cycle, chunks=-1)[self.phases(times)]
        # chunks alike, or dask would cut both sides up
        return xr.DataArray(lazy, dims=(TIME, *dims)).chunk(chunks)

    def _resolve_period(self, series: Series) -> str | int:
        if isinstance(self.period, numbers.Integral) and not isinstance(self.period, bool) and self.period >= 1:
            return int(self.period)
        if self.period in ("year", "day"):
            # `steps_per` raises where the step is longer than the period
            return self._need_calendar(series).steps_per(self.period) and self.period
        if self.period != "auto":
            raise ValueError(f'period={self.period!r} must be "auto", "year", "day" or a number of steps')
        for period, least in (("year", 1), ("day", DAYS)):
            try:
                if 1 < self._need_calendar(series).steps_per(period) <= len(series) // least:
                    return period
            except ValueError:  # a calendar of plain numbers, or steps longer than the period
                continue
        return 1  # the mean of each cell

    def _need_calendar(self, series: Series) -> Any:
        if self.calendar_ is None or not series.has_times:
            raise ValueError(f"period={self.period!r} needs time labels: give the number of steps, period=12")
        return self.calendar_

    def _n_phases(self) -> int:
        return self.period_ if isinstance(self.period_, int) else self.calendar_.steps_per(self.period_)

    def phases(self, times: pd.Index) -> np.ndarray:
        """Return the step of the cycle that each of `times` is at."""
        if not isinstance(self.period_, int):
            return self.calendar_.phase(times, self.period_)
        if self.period_ == 1 or self.calendar_ is None:
            return np.zeros(len(times), dtype=int)
        return self.calendar_.steps_between(self.origin_, times) % self.period_

    def _smooth(self, cycle: np.ndarray) -> np.ndarray:
        n_phases = len(cycle)
        if self.n_harmonics is None or n_phases <= 2 * self.n_harmonics:
            return cycle
        spectrum = np.fft.rfft(cycle, axis=0)
        kept = np.arange(len(spectrum)) <= self.n_harmonics
        if self.period_ == "year" and n_phases > 366:  # several steps a day
            # the n-th daily harmonic is the (n * days)-th annual one
            days = round(n_phases / self.calendar_.steps_per("day"))
            kept |= (np.arange(len(spectrum)) % days == 0) & (np.arange(len(spectrum)) <= days * self.n_harmonics)
        return np.fft.irfft(np.where(kept[:, None, None, None], spectrum, 0), n=n_phases, axis=0)


def _fill_phases(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Return the mean of each phase; phases that a cell never shows are interpolated around its cycle."""
    with np.errstate(invalid="ignore"):
        mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    holes = (count == 0).any(0) & (count > 0).any(0)  # cells seen at some phases, but not at all
    n, phases = len(mean), np.arange(len(mean))
    for cell in np.argwhere(holes):
        index = (slice(None), *cell)
        seen = count[index] > 0
        # `period` closes the cycle: December borders on January
        mean[index] = np.interp(phases, phases[seen], mean[index][seen], period=n)
    return mean
