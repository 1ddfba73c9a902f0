"""Deviations from the mean cycle of the year or the day."""

from __future__ import annotations

import copy
import numbers
from collections.abc import Callable, Hashable, Iterator
from dataclasses import replace
from typing import Any, Self

import dask.array as da
import numpy as np
import pandas as pd
import xarray as xr
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from gridcast.data.calendars import Calendar
from gridcast.data.grid import TIME, Series, has_channels, unwrap
from gridcast.data.labels import same_labels
from gridcast.data.positions import positions
from gridcast.data.statistics import check_resolved, samples_at_once
from gridcast.data.units import warn_of_other_units
from gridcast.data.warn import warn
from gridcast.transformers.harmonics import HarmonicSums, Rhythm, combine, design
from gridcast.transformers.labels import labelled, like
from gridcast.transformers.phases import PhaseSums

BLOCK_VALUES = 2**23  # of a sample at a time: 64 MiB in double precision
DAYS = 7  # from fewer no daily cycle is learned unasked


class Anomaly(TransformerMixin, BaseEstimator):
    """Subtract the mean seasonal (and daily) cycle of each cell, and add it back in the inverse.

    The cycle is the sum of its first harmonics, as climatologies usually are, fitted by least squares to the observed
    steps at their very times; what a cell never shows of it is interpolated around the cycle. Of what a year may mean
    where there are leap years (365 steps of a day, 365.2425 days, each as long as it is) the one that fits best is
    taken. A cycle of few steps, or without `n_harmonics`, is the mean of each step of the period.

    Parameters
    ----------
    period : {"auto", "year", "day"} or int, default="auto"
        Length of the cycle: the calendar year, the day, or a number of steps. ``"auto"`` takes the year where the
        series covers one, else the day where it covers a week with several steps a day, else the mean of each cell.
    n_harmonics : int or None, default=3
        Annual harmonics; a cycle of several steps a day has as many daily harmonics. None takes the means of the steps.

    Attributes
    ----------
    cycle_ : ndarray, shape (phase or regressor, channel, y, x)
        The mean of each step of the period in physical units, or the coefficients of the mean and of the cosines and
        sines; NaN where a cell is always missing. `climatology` gives the fields.
    calendar_ : Calendar
        The calendar of the training series.
    period_ : {"year", "day"} or int
        The period in use.
    n_phases_ : int
        Number of steps of the period.
    year_ : {"noleap", "mean", "calendar", "days"} or None
        What a year is; see `gridcast.data.positions.positions`. None where there are no years of days.

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
            If `X` is shorter than the period, `period` is unknown, or single precision can not tell its values apart.
        """
        return self.fit_series(*unwrap(labelled(X)))

    def fit_series(self, series: Series, calendar: Calendar | None) -> Self:
        """Learn the cycle of a series without labels; see `fit`."""
        check_resolved(series.values)  # the cycle is in single precision
        learned = copy.copy(self)  # a fit that fails keeps the earlier one
        learned.resolve(series, calendar)
        learned.learn(series)
        learned.grid_, learned.n_steps_ = series.grid, len(series)
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
        n_cells = int(np.prod(series.grid.shape))
        # what a year means is found from the data; a cycle of phases has one candidate
        names, candidates = self._candidates(series.times)
        sums: HarmonicSums | PhaseSums
        if candidates:
            sums = HarmonicSums(candidates, n_cells)
        else:
            sums = PhaseSums(self.phases(series.times), self.n_phases_, n_cells)
        block = min(max(1, BLOCK_VALUES // n_cells), len(series))
        for first, some in _samples_together(series, max(1, BLOCK_VALUES // (n_cells * block))):
            for start in range(0, len(series), block):
                for i, sample in enumerate(some.load(start, min(start + block, len(series))), first):
                    sums.add(start, sample.reshape(len(sample), -1))
                    if observe is not None:
                        observe(sample, i, start)
        best, cycle = sums.solve()
        self.year_ = names[best] if names else None
        self.cycle_ = cycle.reshape(-1, *series.grid.shape).astype(np.float32)

    def _candidates(self, times: pd.Index) -> tuple[list[str], list[list[Rhythm]]]:
        """Return what a year may mean, and the cycles at `times` by each of them; nothing for a cycle of phases."""
        harmonics = self._harmonics()
        if not harmonics:
            return [], []
        if isinstance(self.period_, int):
            return [], [[Rhythm(self.phases(times) / self.n_phases_, *harmonics)]]
        daily = [Rhythm(positions(self.calendar_, times, "day")["day"], n) for n in harmonics[1:]]
        found = positions(self.calendar_, times, "year" if self.period_ == "year" else "day")
        return list(found), [[Rhythm(position, harmonics[0]), *daily] for position in found.values()]

    def _harmonics(self) -> tuple[int, ...]:
        """Return the number of harmonics of the period, and of the day if that is another; none for phases."""
        n, steps = self.n_harmonics, self.n_phases_
        if n is None or steps <= max(2 * n, 1):
            return ()
        if self.period_ == "year" and steps > 366:  # several steps a day
            # of the highest harmonic of a day of four steps there is only a cosine
            return n, min(n, self.calendar_.steps_per("day") // 2)
        return (n,)

    @property
    def n_weights(self) -> int:
        """Length of the first axis of `cycle_`."""
        harmonics = self._harmonics()
        return 1 + 2 * sum(harmonics) if harmonics else self.n_phases_

    def weights(self, times: pd.Index) -> np.ndarray:
        """Return the phase of each of `times` (n,), or its regressors (n, k); see `cycle_`."""
        names, candidates = self._candidates(times)
        if not candidates:
            return self.phases(times)
        if not names:
            return design(candidates[0]).astype(np.float32)
        if self.year_ not in names:
            raise ValueError(f"year_={self.year_!r} must be one of {names}")
        return design(candidates[names.index(self.year_)]).astype(np.float32)

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
        return combine(self.weights(times), self.cycle_)

    def transform(self, X: Any) -> xr.DataArray:
        """Subtract the cycle.

        Parameters
        ----------
        X : DataArray or ndarray, shape ([sample,] time, [channel,] y, x)

        Returns
        -------
        DataArray
            Anomalies in the units of `X`, lazy if `X` is.

        Warns
        -----
        UserWarning
            If `X` says that it is in other units than the training series, or is shorter and has no times, which say
            at which step of the cycle it begins.
        """
        X = labelled(X)
        check_is_fitted(self)
        self._check_place(X)
        return self._subtract(X)

    def fit_transform(self, X: Any, y: None = None) -> xr.DataArray:
        """Learn the cycle of a series and subtract it; see `fit` and `transform`."""
        return self.fit(X)._subtract(labelled(X))

    def _subtract(self, X: xr.DataArray) -> xr.DataArray:
        cycle = self._cycle_of(X)
        if known := vars(self).get("grid_"):
            ours, theirs = known.attrs.get("units"), X.attrs.get("units")
            warn_of_other_units("X", theirs, "the training series", ours)
        return like(X, (X - cycle).data)

    def inverse_transform(self, X: Any) -> xr.DataArray:
        """Add the cycle.

        Parameters
        ----------
        X : DataArray or ndarray, shape ([member,] [sample,] time, [channel,] y, x)
            Anomalies or forecasts of anomalies; the time labels say which part of the cycle is added. Those of a
            backtest have ``init_time, lead_time`` in the place of time.

        Returns
        -------
        DataArray
            In the units of the training series, lazy if `X` is.
        """
        X = labelled(X)
        check_is_fitted(self)
        self._check_place(X)
        return like(X, (X + self._cycle_of(X)).data)

    def transform_values(self, values: np.ndarray, times: pd.Index) -> np.ndarray:
        """Subtract the cycle from values without labels, (..., time, channel, y, x)."""
        return values - self.climatology(times)

    def inverse_transform_values(self, values: np.ndarray, times: pd.Index) -> np.ndarray:
        """Add the cycle to values without labels, (..., time, channel, y, x)."""
        return values + self.climatology(times)

    def _check_place(self, X: xr.DataArray) -> None:
        """Warn where a series does not say at which step of the cycle it begins."""
        if TIME not in X.dims or TIME in X.coords or getattr(self.calendar_, "axis", None) != "number":
            return
        # one as long as the training series begins with it; of one from a file that is not known
        if X.sizes[TIME] < vars(self).get("n_steps_", np.inf):
            warn_of_no_place(self.n_phases_)

    def _cycle_of(self, X: xr.DataArray) -> xr.DataArray:
        check_is_fitted(self)
        dims = self._field_dims(X)
        shape = (1, *(X.sizes[d] for d in dims))[-3:]
        if self.cycle_.shape[1:] != shape:
            raise ValueError(f"X has fields of {shape}, the cycle has {self.cycle_.shape[1:]}: fit it on X")
        cycle = self.cycle_ if len(dims) == 3 else self.cycle_[:, 0]
        if TIME not in X.dims:
            return self._at_valid_times(X, cycle, dims)
        weights = self.weights(X.get_index(TIME) if TIME in X.coords else pd.RangeIndex(X.sizes[TIME]))
        if X.chunks is None:
            return xr.DataArray(combine(weights, cycle), dims=(TIME, *dims))
        chunks = {d: X.chunksizes[d] for d in (TIME, *dims)}
        # lazy too: the cycle at all times is as large as the series
        lazy = da.from_array(cycle, chunks=(-1, *(chunks[d] for d in dims)))
        if weights.ndim == 1:
            return xr.DataArray(lazy[weights], dims=(TIME, *dims)).chunk(chunks)  # or dask would cut both sides up
        return xr.DataArray(
            da.tensordot(da.from_array(weights, chunks=(chunks[TIME], -1)), lazy, 1), dims=(TIME, *dims)
        )

    def _at_valid_times(self, X: xr.DataArray, cycle: np.ndarray, dims: tuple[Hashable, ...]) -> xr.DataArray:
        """Return the cycle at the times of a backtest, which lie along ``init_time`` and ``lead_time``."""
        if TIME not in X.coords:
            raise ValueError(
                f"X has the dimensions {X.dims} and no times, which say what part of the cycle it is at: "
                f"X.assign_coords({TIME}=...)"
            )
        labels = X[TIME]
        found = combine(self.weights(xr.IndexVariable(TIME, labels.values.ravel()).to_index()), cycle)
        return xr.DataArray(found.reshape(*labels.shape, *cycle.shape[1:]), dims=(*labels.dims, *dims))

    def _field_dims(self, X: xr.DataArray) -> tuple[Hashable, ...]:
        """Return the dimensions of the cycle, ([channel,] y, x), by the names of `X`; raise where it has others."""
        dims = X.dims[-3:] if has_channels(X) else X.dims[-2:]
        known = vars(self).get("grid_")  # not of one from a file, or inside of a forecaster
        if known is None:
            return dims
        cells, channel = known.dims[-2:], known.dims[:-2]
        others = tuple(d for d in dims if d not in cells)
        # a single channel may be with or without a dimension
        if len(others) != len(dims) - 2 or (others and channel and others != channel):
            raise ValueError(
                f"X has fields of the dimensions {dims}, the cycle was learned from {known.dims}: rename them, or fit "
                "it on X"
            )
        for dim, labels in known.coords.items():
            if labels.dims == (dim,) and dim in X.indexes and not same_labels(labels.values, X[dim].values):
                raise ValueError(f"X has other values in {dim!r} than the series that the cycle was learned from")
        return (*others, *cells)

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


def warn_of_no_place(n_phases: int) -> None:
    """Warn that a series without times is taken to begin with a cycle, if there is one."""
    if n_phases > 1:
        warn(
            f"X has no time labels, which say where it begins in a cycle of {n_phases} steps: its first step is taken "
            "for step 0 of the training series; number its steps as they go on from there, "
            "X.assign_coords(time=range(start, stop))"
        )


def _samples_together(series: Series, most: int) -> Iterator[tuple[int, Series]]:
    """Yield `most` samples of a series at a time, or a chunk of them, with the number of the first."""
    n = samples_at_once(series.values, most)
    for first in range(0, len(series.values), n):
        of = slice(first, first + n)
        counted = None if series.n_observed is None else series.n_observed[of]
        yield first, replace(series, values=series.values[of], n_observed=counted)
