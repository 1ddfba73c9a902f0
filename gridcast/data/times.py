"""Time labels taken apart into counts, and made of them again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import cftime
import numpy as np
import pandas as pd
import xarray as xr

Time: TypeAlias = Any  # pd.Timestamp, np.datetime64, datetime, cftime.datetime or a number

# Times are counted in whole microseconds, the resolution of cftime.
SECOND = 1_000_000
DAY = 86_400 * SECOND
UNITS = {"day": DAY, "hour": 3600 * SECOND, "minute": 60 * SECOND, "second": SECOND, "microsecond": 1}
MIXED_LEAP = ("datetime64", "standard", "gregorian", "proleptic_gregorian", "julian")  # some years have 29 February
_MONTH_LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)  # of a year without a leap day
_ALL_LEAP = ("all_leap", "366_day")


@dataclass(frozen=True)
class Parts:
    """Times taken apart, each int of shape (n_times,); only `count` for numbers.

    Parameters
    ----------
    axis : str
        "datetime64", "number", or the name of a cftime calendar.
    count
        Microseconds since 1970, or the numbers.
    months
        Months since year 0.
    days_in_month
        Of the month of each time.
    in_month
        Microseconds since the month began.
    in_year
        Microseconds since the year began, where 29 February counts as 28 February.
    since_new_year
        Microseconds since the year began, with 29 February.
    rounding
        By which floats may be off.
    """

    axis: str
    count: np.ndarray
    months: np.ndarray
    days_in_month: np.ndarray
    in_month: np.ndarray
    in_year: np.ndarray
    since_new_year: np.ndarray
    rounding: float = 0.0

    @property
    def noleap(self) -> np.ndarray:
        """Microseconds since year 0, not counting 29 February."""
        return self.months // 12 * 365 * DAY + self.in_year


def take_apart(times: pd.Index) -> Parts:
    """Take times apart; raise for what is no time label, or none at all."""
    missing = np.flatnonzero(pd.isna(times))
    if len(missing):
        raise ValueError(f"X: time step {missing[0]} is missing (NaT or NaN). Drop it, or give it a time.")
    if isinstance(times, pd.DatetimeIndex):
        axis, count = "datetime64", times.as_unit("us").asi8
    elif isinstance(times, xr.CFTimeIndex):
        axis = str(times.calendar)
        count = cftime.date2num(times.to_numpy(), "microseconds since 1970-01-01", calendar=axis)
    elif times.dtype.kind in "iuf":
        return _take_numbers(times.to_numpy())
    else:
        raise TypeError(f"X: time must be datetime64, cftime or numeric, got {times.dtype}.")
    fields = (count, times.year, times.month, times.day, times.days_in_month)
    count, year, month, day, days_in_month = (np.asarray(field, np.int64) for field in fields)
    time_of_day = count % DAY
    in_month = (day - 1) * DAY + time_of_day
    leap_day = (_has_leap_day(axis, year) & (month > 2)) * DAY
    since_new_year = month_firsts(axis)[month - 1] * DAY + in_month + leap_day
    if axis in MIXED_LEAP:
        day = np.where(month == 2, np.minimum(day, 28), day)
    in_year = (month_firsts(axis)[month - 1] + day - 1) * DAY + time_of_day
    return Parts(axis, count, year * 12 + month - 1, days_in_month, in_month, in_year, since_new_year)


def month_firsts(axis: str) -> np.ndarray:
    """Return the day of the year on which each month starts, and the year's length, without 29 February."""
    return np.cumsum([0, *_month_lengths(axis)])


def span_lengths(axis: str, months: np.ndarray, n: np.ndarray | int) -> np.ndarray:
    """Return the microseconds that the `n` months from each of `months` last, int of shape (n_times,)."""
    ahead = np.arange(np.max(n, initial=0))
    months = months[:, None] + ahead
    years, month = months // 12, months % 12
    days = np.asarray(_month_lengths(axis))[month] + (_has_leap_day(axis, years) & (month == 1))
    return np.where(ahead < np.reshape(n, (-1, 1)), days, 0).sum(1) * DAY


def check_same_axis(what: str, axis: str, expected: str) -> None:
    """Raise a ValueError if a time axis is of another kind than the series before it."""
    if axis != expected:
        way_out = "convert it, X.convert_calendar(...), or open both files alike"
        if "number" in (axis, expected):
            way_out = "label both alike, X.assign_coords(time=...)"
        raise ValueError(f"{what}: its time axis is {axis}, but the series before it has {expected}: {way_out}")


def as_index(values: Sequence[Any], like: Any = None) -> pd.Index:
    """Make an index of scalars, in the resolution of the scalar `like`."""
    if isinstance(values[0], cftime.datetime):
        return xr.CFTimeIndex(values)
    if isinstance(values[0], int | float | np.number):
        return pd.Index(np.asarray(values))
    index = pd.DatetimeIndex(np.array([pd.Timestamp(value).to_datetime64() for value in values]))
    return index if like is None else index.as_unit(like.unit)


def month_start(like: Any, year: int, month: int) -> Any:
    """Return the start of a month in the calendar of the time `like`."""
    return like.replace(year=year, month=month, day=1, hour=0, minute=0, second=0, microsecond=0)


def _has_leap_day(axis: str, years: np.ndarray) -> np.ndarray:
    """Return which years have a 29 February that not every year has."""
    if axis not in MIXED_LEAP:
        return np.zeros(years.shape, bool)
    julian = (axis == "julian") | ((years < 1583) & (axis in ("standard", "gregorian")))
    return (years % 4 == 0) & (julian | (years % 100 != 0) | (years % 400 == 0))


def _month_lengths(axis: str) -> list[int]:
    """Return the days of each month, 28 for a February that has 29 in some years only."""
    lengths = [30] * 12 if axis == "360_day" else list(_MONTH_LENGTHS)
    if axis in _ALL_LEAP:
        lengths[1] = 29
    return lengths


def _take_numbers(values: np.ndarray) -> Parts:
    infinite = np.flatnonzero(~np.isfinite(values))
    if len(infinite):
        raise ValueError(f"X: time step {infinite[0]} is {values[infinite[0]]}. Drop it, or give it a time.")
    none = np.empty(0, np.int64)
    if values.dtype.kind != "f":
        return Parts("number", values.astype(np.int64), none, none, none, none, none)
    rounding = 2 * float(np.finfo(values.dtype).eps) * float(np.abs(values).max(initial=0))
    return Parts("number", values.astype(np.float64), none, none, none, none, none, rounding)
