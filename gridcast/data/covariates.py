"""What a model is told besides the series: constant fields, and the time of the year and the day."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from gridcast.data.calendars import Calendar
from gridcast.data.grid import TIME, Grid, Series
from gridcast.data.parameters import AUTO
from gridcast.data.variables import each_of, naming_the_variable

ROUNDING = 1e-7  # of the largest value, below which a standard deviation is rounding
PERIODS = {"season": "year", "day": "day"}  # name of a feature -> period of the calendar


@dataclass(frozen=True)
class TimeFeatures:
    """Cosine and sine of the time of the year or the day.

    Parameters
    ----------
    names : tuple of {"season", "day"}
    calendar : Calendar
    """

    names: tuple[str, ...]
    calendar: Calendar

    @property
    def angles(self) -> list[float]:
        """What one step turns each cycle by, in radians."""
        return [2 * math.pi / self.calendar.steps_per(PERIODS[name]) for name in self.names]  # type: ignore[arg-type]

    def at(self, times: pd.Index) -> np.ndarray:
        """Return cosine and sine of each cycle, (time, 2 * cycle)."""
        phases = [self.calendar.phase(times, PERIODS[name]) for name in self.names]  # type: ignore[arg-type]
        angles = [phase * angle for phase, angle in zip(phases, self.angles, strict=True)]
        # pairs of cosine and sine, the order that `Clock` turns
        return np.stack([f(a) for a in angles for f in (np.cos, np.sin)], axis=1).astype(np.float32)


def check_time_features(time_features: Any) -> tuple[str, ...]:
    """Return the names as a tuple, none for "auto"; raise a ValueError for an unknown one."""
    if isinstance(time_features, str) and time_features == AUTO:
        return ()
    given = (time_features,) if isinstance(time_features, str) else tuple(time_features or ())
    if not all(name in PERIODS for name in given) or len(set(given)) < len(given):
        raise ValueError(f'time_features={time_features!r}: use "auto", "season", "day", both in a tuple, or None')
    return given


def make_time_features(time_features: Any, series: Series, calendar: Calendar | None) -> TimeFeatures | None:
    """Return the features of a series; raise a ValueError where its time steps do not say them.

    "auto" takes the time of the day where there are several steps a day. That of the year is not taken unasked: a
    series shows few years, and the climatology has its cycle.
    """
    names = check_time_features(time_features)
    if isinstance(time_features, str) and time_features == AUTO:
        names = ("day",) if _shows_days(series, calendar) else ()
    if not names:
        return None
    if calendar is None or not series.has_times:
        raise ValueError(f"time_features={time_features!r} need time labels: give X a time coordinate")
    for name in names:
        try:
            n_steps = calendar.steps_per(PERIODS[name])  # type: ignore[arg-type]
        except ValueError as error:
            raise ValueError(f"time_features={time_features!r}: {error}") from error
        if n_steps < 2:
            raise ValueError(
                f'time_features={time_features!r}: X has {n_steps} step a {PERIODS[name]}, leave out "{name}"'
            )
    return TimeFeatures(names, calendar)


def _shows_days(series: Series, calendar: Calendar | None) -> bool:
    try:
        return calendar is not None and series.has_times and calendar.steps_per("day") >= 2
    except ValueError:  # steps longer than a day
        return False


def static_fields(static: Any, grid: Grid) -> np.ndarray | None:
    """Return constant fields, each with mean 0 and variance 1 over the grid, 0 where missing, (n_static, y, x).

    Parameters
    ----------
    static : DataArray, Dataset, sequence of these, ndarray or None
        On the grid, in any order of its dimensions; further dimensions become channels.
    grid : Grid

    Raises
    ------
    TypeError, ValueError
        If `static` is none of these, or not on the grid.
    """
    if static is None:
        return None
    found = []
    for part in each_of("static", static, (TIME, *grid.dims[-2:])):
        with naming_the_variable(part):
            found.append(_fields(part, grid))
    fields = np.concatenate(found)
    if np.isinf(fields).any():
        raise ValueError("static holds an infinite value: mark missing values with NaN")
    seen = np.isfinite(fields)
    n = np.maximum(seen.sum((1, 2), keepdims=True), 1)
    mean = np.where(seen, fields, 0).sum((1, 2), keepdims=True) / n
    centred = np.where(seen, fields - mean, 0)  # missing values become the mean
    std = np.sqrt(np.square(centred).sum((1, 2), keepdims=True) / n)
    # a field without variance, or with that of rounding, becomes zero
    varies = std > ROUNDING * np.abs(np.where(seen, fields, 0)).max((1, 2), keepdims=True)
    return np.divide(centred, std, out=np.zeros_like(centred), where=varies).astype(np.float32)


def _fields(part: Any, grid: Grid) -> np.ndarray:
    y, x = grid.dims[-2:]
    if isinstance(part, np.ndarray):
        part = xr.DataArray(part, dims=("field", y, x)[-part.ndim :]) if part.ndim in (2, 3) else part
    if not isinstance(part, xr.DataArray):
        shape = f" of {part.ndim} dimensions" if isinstance(part, np.ndarray) else ""
        raise TypeError(
            f"static holds a {type(part).__name__}{shape}: give a DataArray over {(y, x)}, a Dataset of such, or a list"
        )
    if y not in part.dims or x not in part.dims:
        raise ValueError(f"static has the dimensions {part.dims}, X has {(y, x)}: rename or interpolate it")
    if TIME in part.dims:
        raise ValueError(f"static has the dimensions {part.dims}: constant fields have no time, select or average it")
    if part.dtype.kind not in "fiub":
        raise TypeError(f"static holds {part.dtype}: give numbers")
    part = part.transpose(..., y, x)
    field = Grid((y, x), (1, *part.shape[-2:]), dict(part.coords))  # the check of a series, for a field
    try:
        Grid((y, x), (1, *grid.shape[1:]), grid.coords).check_same(field)
    except ValueError as error:
        sizes = " x ".join(f"{part.sizes[dim]} {dim}" for dim in (y, x))
        raise ValueError(
            f"static, of {sizes}, is not on the grid of X, whose sizes are {grid.shape[-2:]}, or has other labels: "
            "interpolate it, static.interp_like(X)"
        ) from error
    return part.values.astype(np.float64).reshape(-1, *part.shape[-2:])
