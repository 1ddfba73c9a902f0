"""Covariates over time: area-wide or gridded series that drive the one that is forecast, without their labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import dask.array as da
import numpy as np
import pandas as pd
import xarray as xr

from gridcast.data.calendars import Calendar
from gridcast.data.grid import SAMPLE, TIME, Grid, Series, as_lazy, extend
from gridcast.data.statistics import check_resolved
from gridcast.data.time_kinds import refuse_other_kinds
from gridcast.data.variables import each_of, naming_the_variable

AHEAD, PAST = "covariates", "past_covariates"  # the parameters of the methods
FIELDS = "/fields"  # behind the name of a part that is gridded
MOST_LAG = 4  # steps back that a covariate is looked at
PARTS = (AHEAD, AHEAD + FIELDS, PAST, PAST + FIELDS)


@dataclass(frozen=True)
class Drivers:
    """Covariates, those known ahead and those of the past, each area-wide or gridded.

    Parameters
    ----------
    parts : mapping of str to Series
        Those of `PARTS` that there are, of values (sample, time, covariate, y, x): one sample where all share it, one
        row and column where they are area-wide. Float, NaN is missing; gridded ones may be lazy.
    """

    parts: Mapping[str, Series]

    def of(self, kind: str) -> dict[str, Series]:
        """Return the parts of a kind, `AHEAD` or `PAST`."""
        return {name: part for name, part in self.parts.items() if name.partition("/")[0] == kind}

    def of_sample(self, sample: int) -> Drivers:
        """Return them for one sample, which has its own or shares those of all."""
        at = slice(sample, sample + 1)
        return Drivers(
            {
                name: part if len(part.values) == 1 else replace(part, values=part.values[at])
                for name, part in self.parts.items()
            }
        )

    def merged(self, later: Drivers, calendar: Calendar) -> Drivers:
        """Return them with those of `later` in place of their own and behind them, where it goes on without a gap."""
        return Drivers({name: _merged(part, later.parts.get(name), calendar) for name, part in self.parts.items()})

    def tail(self, n: int, last: Any, calendar: Calendar) -> Drivers:
        """Return `n` steps up to the time `last`, in memory."""
        kept = {}
        for name, part in self.parts.items():
            stop = _step_of(part, last, calendar) + 1
            first = max(stop - n, 0)
            kept[name] = replace(part, values=np.asarray(part.values[:, first:stop]), times=part.times[first:stop])
        return Drivers(kept)

    def check_covers(self, kind: str, first: Any, last: Any, calendar: Calendar, use: str, way_out: str) -> None:
        """Raise a ValueError unless those of a kind have all times from `first` to `last`.

        `use` says what reaches there, such as "the horizon", and `way_out` what else may be done about it.
        """
        for part in self.of(kind).values():
            if _step_of(part, last, calendar) >= len(part):
                raise ValueError(
                    f"{kind} end at {part.times[-1]}, but {use} reaches {last}: give {kind} up to there, {way_out}"
                )
            step = _step_of(part, first, calendar)
            if step < 0:
                raise ValueError(f"{kind} begin at {part.times[0]}, but are needed from {first} on: give earlier ones")
            if part.times[step] != first:
                raise ValueError(
                    f"{kind} have the time {part.times[step]} where X has {first}: give {kind} at the times of X, "
                    ".reindex(time=X.time) or .interp(time=X.time)"
                )


def read_drivers(
    covariates: Any,
    past_covariates: Any,
    series: Series,
    calendar: Calendar,
    first: Any | None = None,
    *,
    learned: bool = False,
) -> Drivers | None:
    """Take the labels off covariates; None where none are given.

    Parameters
    ----------
    covariates, past_covariates : DataArray, ndarray, Dataset, sequence of these, or None
        Known ahead; known up to the last observed step.
    series : Series
        The series that they drive: its grid, samples and kind of time labels.
    calendar : Calendar
        Of the series, which they must follow.
    first : label, optional
        Step of covariates without time labels, by default the first of `series`.
    learned : bool
        Whether a model is to learn from them: a few steps may be closer together than all of them.

    Raises
    ------
    TypeError, ValueError
        If one of them is no array of numbers over time, is on another grid or calendar, or holds an infinite value; of
        those that are learned from, also if single precision can not tell its values apart.
    """
    first = series.times[0] if first is None else first
    parts: dict[str, Series] = {}
    for kind, given in ((AHEAD, covariates), (PAST, past_covariates)):
        if given is None:
            continue
        found = []
        for one in each_of(kind, given, (SAMPLE, TIME, *series.grid.dims[-2:])):
            with naming_the_variable(one):
                part, gridded = _read(kind, one, series, calendar, first)
                if learned:
                    check_resolved(part.values, kind)
                found.append((replace(part, values=part.values.astype(np.float32)), gridded))
        for name, on_grid in ((kind, False), (kind + FIELDS, True)):
            some = [part for part, gridded in found if gridded == on_grid]
            if some:
                parts[name] = _side_by_side(kind, some, calendar)
    return Drivers(parts) if parts else None


def _read(kind: str, one: Any, series: Series, calendar: Calendar, first: Any) -> tuple[Series, bool]:
    """Return (sample, time, covariate, y, x) of one array, and whether it is gridded."""
    y, x = series.grid.dims[-2:]
    if isinstance(one, np.ndarray) and 1 <= one.ndim <= 4:
        one = xr.DataArray(one, dims={1: (TIME,), 2: (TIME, "covariate"), 3: (TIME, y, x)}.get(
            one.ndim, (TIME, "covariate", y, x)))  # fmt: skip
    if not isinstance(one, xr.DataArray):
        raise TypeError(f"{kind} holds a {type(one).__name__}: give a DataArray over time, a Dataset or a list of such")
    if one.dtype.kind not in "fiub":
        raise TypeError(f"{kind} holds {one.dtype}: give numbers")
    one = as_lazy(one.squeeze([d for d in one.dims if one.sizes[d] == 1 and d not in (TIME, SAMPLE, y, x)], drop=True))
    others = [d for d in one.dims if d not in (SAMPLE, TIME, y, x)]
    gridded = y in one.dims and x in one.dims
    if TIME not in one.dims or len(others) > 1 or (not gridded and (y in one.dims or x in one.dims)):
        raise ValueError(
            f"{kind} has the dimensions {one.dims}, expected ([sample,] time, [covariate,] {y}, {x}), or without the "
            "last two where it is area-wide: rename them, interpolate to the grid of X, or average"
        )
    order = [*(d for d in (SAMPLE, TIME) if d in one.dims), *others, *((y, x) if gridded else ())]
    one = one.transpose(*order)
    if gridded:
        _check_grid(kind, one, series.grid)
    if SAMPLE in one.dims and one.sizes[SAMPLE] not in (1, series.values.shape[0]):
        raise ValueError(f"{kind} has {one.sizes[SAMPLE]} samples, X has {series.values.shape[0]}")
    values = one.data
    for axis, lacks in ((0, SAMPLE not in one.dims), (2, not others)):
        values = np.expand_dims(values, axis) if lacks else values
    if not gridded:
        values = np.asarray(values)[..., None, None]
    if isinstance(values, np.ndarray) and np.isinf(values).any():
        raise ValueError(f"{kind} holds an infinite value: mark missing values with NaN")
    grid = Grid(("covariate", y, x), tuple(values.shape[2:]), {})
    return Series(values, _times(kind, one, series, calendar, first), grid), gridded


def _times(kind: str, one: xr.DataArray, series: Series, calendar: Calendar, first: Any) -> pd.Index:
    labelled, n = TIME in one.coords, one.sizes[TIME]
    if labelled != series.has_times:
        which = ("has time labels, X has none", "X") if labelled else ("has no time labels, X has", kind)
        raise ValueError(f"{kind} {which[0]}: {which[1]}.assign_coords(time=...) says which step is which")
    if not labelled:
        return pd.RangeIndex(first, first + n, name=TIME)
    refuse_other_kinds(one, kind)
    times = one.get_index(TIME)
    try:
        calendar.check(times)
    except ValueError as error:
        second = f" and {times[1]}" if len(times) > 1 else ""
        raise ValueError(
            f"{kind} is not on the time steps of X, {calendar}: it begins with {times[0]}{second}; give one value for "
            "each step, .interp(time=X.time)"
        ) from error
    return times


def _check_grid(kind: str, one: xr.DataArray, grid: Grid) -> None:
    dims, (rows, columns) = grid.dims[-2:], one.shape[-2:]
    try:
        Grid(dims, (1, *grid.shape[1:]), grid.coords).check_same(Grid(dims, (1, rows, columns), dict(one.coords)))
    except ValueError as error:
        sizes = " x ".join(f"{one.sizes[d]} {d}" for d in dims)
        raise ValueError(
            f"{kind}, of {sizes}, is not on the grid of X, whose sizes are {grid.shape[-2:]}, or has other labels: "
            "interpolate it, .interp_like(X)"
        ) from error


def _side_by_side(kind: str, parts: Sequence[Series], calendar: Calendar) -> Series:
    """Join arrays along the covariate, over the times that all have."""
    if len(parts) == 1:
        return parts[0]
    begins = [_step_of(parts[0], part.times[0], calendar) for part in parts]
    latest = int(np.argmax(begins))
    first, stop = begins[latest], min(begin + len(part) for begin, part in zip(begins, parts, strict=True))
    if stop <= first:
        raise ValueError(f"{kind} have no time in common: give all of them at the times of X")
    cut = [part.values[:, first - begin : stop - begin] for begin, part in zip(begins, parts, strict=True)]
    n_samples = max(len(values) for values in cut)
    cut = [values if len(values) == n_samples else values.repeat(n_samples, 0) for values in cut]
    joined = _library(*cut).concatenate(cut, axis=2)
    return Series(joined, parts[latest].times[: stop - first], replace(parts[0].grid, shape=tuple(joined.shape[2:])))


def _library(*arrays: Any) -> Any:
    """Return what joins arrays without reading those that are lazy."""
    return np if all(isinstance(array, np.ndarray) for array in arrays) else da


def _step_of(part: Series, time: Any, calendar: Calendar) -> int:
    """Return how many steps `time` lies behind the first of a part."""
    return int(calendar.steps_between(part.times[0], index_of(part.times, time))[0])


def index_of(times: pd.Index, time: Any) -> pd.Index:
    """Return one time as an index of the type of `times`."""
    return xr.CFTimeIndex([time]) if isinstance(times, xr.CFTimeIndex) else pd.Index([time])


def _merged(part: Series, later: Series | None, calendar: Calendar) -> Series:
    if later is None:
        return part
    begin = _step_of(part, later.times[0], calendar)
    if not 0 < begin <= len(part):  # earlier than what is known, or a gap between
        return later
    kept = part.values[:, :begin]
    if len(kept) != len(later.values):
        return later
    joined = _library(kept, later.values).concatenate([kept, later.values], axis=1)
    return Series(joined, extend(part.times[:begin], later.times), later.grid)
