"""What a gridded series is: labels come off once (`unwrap`) and go on once (`wrap`)."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import dask.array as da
import numpy as np
import pandas as pd
import xarray as xr

from gridcast.data.calendars import Calendar
from gridcast.data.dimensions import way_to_fields, way_to_order, way_to_time
from gridcast.data.geography import around_the_globe
from gridcast.data.inference import infer_calendar
from gridcast.data.labels import RESERVED, check_names, constant_labels, from_to, of_any, same_labels, same_samples
from gridcast.data.read_errors import check_unchanged, naming_the_file
from gridcast.data.statistics import beyond_precision
from gridcast.data.time_kinds import refuse_other_kinds

TIME, SAMPLE = "time", "sample"  # the only names that are fixed
STEPS_BACK = 64  # that are read at a time in search of a last observation
# Attributes of the dimensions that a forecast adds, by the Climate and Forecast conventions
CF: dict[str, dict[str, str]] = {
    "member": {"standard_name": "realization", "long_name": "ensemble member", "units": "1"},
    "quantile": {"long_name": "quantile of the forecast distribution", "units": "1"},
    "init_time": {"standard_name": "forecast_reference_time", "long_name": "last observed time"},
    "lead_time": {"long_name": "lead time in steps", "units": "1"},
}


@dataclass(frozen=True)
class Grid:
    """Dimensions, coordinates, name and attributes of one field of a series: everything but ``sample`` and ``time``.

    Parameters
    ----------
    dims : tuple of str
        ``(y, x)`` or ``(channel, y, x)``, by the user's names.
    shape : tuple of int
        ``(channel, y, x)``, with 1 channel where the user has no channel dimension.
    coords : mapping
        The user's coordinates that do not depend on ``sample`` or ``time``.
    name, attrs
        Of the user's array.
    """

    dims: tuple[Hashable, ...]
    shape: tuple[int, int, int]
    # compared by `check_same`, with a tolerance and a message
    coords: Mapping[Hashable, xr.DataArray] = field(compare=False)
    name: Hashable | None = field(default=None, compare=False)
    attrs: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def check_same(self, other: Grid) -> None:
        """Raise a ValueError that says how `other` differs from the grid of the training series."""
        if other.dims != self.dims:
            raise ValueError(f"X has the dimensions {other.dims} behind time, the training series had {self.dims}")
        sizes = self.shape[-len(self.dims) :]  # without the channel that was added
        for dim, size, expected in zip(self.dims, other.shape[-len(self.dims) :], sizes, strict=True):
            if size != expected:
                raise ValueError(
                    f"X has {size} entries along {dim!r}, the training series had {expected}: "
                    "forecast the grid that was fitted, or fit again"
                )
        # those of a dimension and those over several, such as the latitudes of a curvilinear grid
        for name, ours in self.coords.items():
            theirs = other.coords.get(name)
            # a scalar, such as a height, is a note
            if not ours.dims or theirs is None:
                continue
            if theirs.dims != ours.dims or not same_labels(ours.values, theirs.values):
                raise ValueError(
                    f"X has other values in the coordinate {name!r} ({from_to(theirs.values)}) than the training "
                    f"series ({from_to(ours.values)}): sort or select it alike, or fit again"
                )

    def spans_the_globe(self) -> bool:
        """Whether the last dimension is a longitude whose last column borders on its first."""
        return around_the_globe(self.coords, self.dims)

    def around(self, periodic: Any) -> tuple[bool, bool]:
        """Return whether rows and columns go around: as named, or by ``"auto"`` a longitude that spans the globe."""
        if periodic == "auto":
            return False, self.spans_the_globe()
        named, last = (periodic,) if isinstance(periodic, str) else tuple(periodic), self.dims[-2:]
        unknown = [name for name in named if name not in last]
        if unknown:
            known = f'is not among the last dimensions of X, {last}; name some of them, or give "auto" or ()'
            raise ValueError(f"periodic={periodic!r}: {unknown[0]!r} {known}")
        return last[0] in named, last[1] in named


@dataclass(frozen=True)
class Series:
    """A gridded series without its labels.

    Parameters
    ----------
    values : numpy or dask array, shape (sample, time, channel, y, x)
        Physical units; NaN is not observed. One sample, one channel where the user has none.
    times : Index, length time
        Time labels; step numbers where the user has none.
    grid : Grid
        The labels of a field.
    samples : DataArray or None
        The ``sample`` coordinate (step numbers where it has no labels), None for a single series.
    time_attrs : mapping or None
        Attributes of the time coordinate; None where the user's array has no time coordinate.
    n_observed : ndarray of int, (sample, time), or None
        How many values of each step an earlier pass has observed: a later one is to find as many.
    drivers : gridcast.data.drivers.Drivers or None
        Covariates, by the times of their own.
    """

    values: Any
    times: pd.Index
    grid: Grid
    samples: xr.DataArray | None = None
    time_attrs: Mapping[str, Any] | None = None
    n_observed: np.ndarray | None = field(default=None, compare=False)
    drivers: Any = field(default=None, compare=False)

    def __len__(self) -> int:
        return len(self.times)

    @property
    def has_times(self) -> bool:
        """Whether the time labels are the user's."""
        return self.time_attrs is not None

    def load(self, start: int, stop: int) -> np.ndarray:
        """Return the steps ``start:stop`` in memory as float32, (sample, time, channel, y, x)."""
        with naming_the_file(), np.errstate(over="ignore"):  # what is too large is said below
            values = np.asarray(self.values[:, start:stop])  # the one place where a file is read
            block = values.astype(np.float32, copy=False)
        if np.isinf(block).any():
            if not np.isinf(values).any():
                raise beyond_precision(float(values[np.isinf(block)][0]))
            step = start + int(np.argwhere(np.isinf(block).any((0, 2, 3, 4)))[0, 0])
            raise ValueError(
                f"X holds an infinite value at {TIME}={self.times[step]} (step {step}): "
                "mark missing values with NaN, X.where(np.isfinite(X))"
            )
        if self.n_observed is not None:
            check_unchanged(block, self.n_observed[:, start:stop], self.values)
        return block

    def load_in_order(self, stretches: Iterable[tuple[int, int]]) -> Iterator[np.ndarray]:
        """Yield the steps ``start:stop`` of each stretch as `load` does; where stretches overlap, steps are read once.

        Parameters
        ----------
        stretches : iterable of (int, int)
            Starts and stops, each ascending.
        """
        block, end = None, 0
        for start, stop in stretches:
            # no overlap: what lies between is not needed
            if block is None or end <= start:
                block = self.load(start, stop)
            else:
                block = np.concatenate([block[:, start - end :], self.load(end, stop)], axis=1)
            end = stop
            yield block

    def tail(self, n: int, needed: np.ndarray | None = None) -> Series:
        """Return the last `n` steps, in memory; the first of them as `load_carried` has it."""
        first = max(len(self) - n, 0)
        values = np.array(load_carried(self, first, len(self), needed))  # what is kept is no view of the user's array
        return Series(values, self.times[first:], self.grid, self.samples, self.time_attrs)


def unwrap(X: Any, calendar: Calendar | None = None) -> tuple[Series, Calendar | None]:
    """Check a gridded series and take its labels off.

    Parameters
    ----------
    X : DataArray or ndarray
        Dimensions ``([sample,] time, [channel,] y, x)``; a plain array is ``(time, y, x)``. Numpy- or
        dask-backed; it is not loaded.
    calendar : Calendar, optional
        The calendar that the time steps must follow, inferred by default.

    Returns
    -------
    Series
        Shape ``(sample, time, channel, y, x)``, still lazy if `X` was.
    Calendar or None
        None only for a single step without `calendar`.

    Raises
    ------
    TypeError
        If `X` is a Dataset or no array of numbers.
    ValueError
        If dimensions are missing, stacked or in another order, or a time step does not follow the one before it.
    """
    X = as_dataarray(X)
    field_dims = _check_dims(X)
    _refuse_stacked(X)
    X = as_lazy(X)
    has_times = TIME in X.coords
    if has_times:
        refuse_other_kinds(X)
    times = X.get_index(TIME) if has_times else pd.RangeIndex(X.sizes[TIME], name=TIME)
    if calendar is None and len(times) > 1:
        try:
            calendar = infer_calendar(times)
        except ValueError as error:
            raise ValueError(f"{error}{_advice_of_attributes(X)}") from None
    elif calendar is not None:
        calendar = calendar.settle(times)
    values = X.data
    if SAMPLE not in X.dims:
        values = values[None]
    if len(field_dims) == 2:
        values = values[:, :, None]
    grid = Grid(field_dims, tuple(values.shape[2:]), constant_labels(X, TIME, SAMPLE), X.name, dict(X.attrs))
    # with what is told along it, without what the grid or the time has
    samples = X[SAMPLE].drop_vars([c for c in X[SAMPLE].coords if X[c].dims != (SAMPLE,)]) if SAMPLE in X.dims else None
    return Series(values, times, grid, samples, dict(X[TIME].attrs) if has_times else None), calendar


def wrap(values: np.ndarray, times: pd.Index, series: Series, leading: Mapping[str, Any] | None = None) -> xr.DataArray:
    """Put the labels back on.

    Parameters
    ----------
    values : ndarray, shape (*leading, sample, time, channel, y, x)
        Physical units.
    times : Index, length time
        Their time labels.
    series : Series
        A series of the same grid and samples.
    leading : mapping of str to array-like, optional
        Coordinates of dimensions in front of all others (``member``, ``quantile``).

    Returns
    -------
    DataArray
        Dimensions, coordinates, name and attributes of the user's array, as far as these are true of other values; see
        `gridcast.data.labels.of_any`.
    """
    grid, leading = series.grid, dict(leading or {})
    if len(grid.dims) == 2:
        values = values[..., 0, :, :]
    dims = [*leading, SAMPLE, TIME, *grid.dims]
    if series.samples is None:
        values = values[(slice(None),) * len(leading) + (0,)]  # without the sample that `unwrap` added
        dims.remove(SAMPLE)
    out = xr.DataArray(values, dims=dims, coords=dict(grid.coords), name=grid.name, attrs=of_any(grid.attrs))
    out = out.assign_coords({name: (name, np.asarray(labels), CF.get(name)) for name, labels in leading.items()})
    out = out.assign_coords({TIME: (TIME, times, of_any(series.time_attrs or {}))})
    if series.samples is not None:
        out = out.assign_coords({SAMPLE: series.samples} | dict(series.samples.coords))
    return out


def load_carried(series: Series, start: int, stop: int, needed: np.ndarray | None) -> np.ndarray:
    """Return the steps ``start:stop`` as `Series.load` does; gaps of the first hold what was last observed before.

    Parameters
    ----------
    series : Series
    start, stop : int
    needed : ndarray of bool, (channel, y, x), or None
        Cells that are looked for; None for none.
    """
    values = series.load(start, stop)
    if needed is None:
        return values
    missing = np.isnan(values[:, 0]) & needed
    if missing.any():
        values = values.copy()
    while start and missing.any():
        before = max(0, start - STEPS_BACK)
        # backwards: the latest observation counts
        for earlier in series.load(before, start).swapaxes(0, 1)[::-1]:
            found = missing & ~np.isnan(earlier)
            values[:, 0][found] = earlier[found]
            missing &= ~found
        start = before
    return values


def join(first: Series, second: Series) -> Series:
    """Return `second` appended to `first`, which it must follow; `first` must be in memory."""
    if first.values.shape[0] != second.values.shape[0]:
        raise ValueError(
            f"X has {second.values.shape[0]} samples, the series that it continues has {first.values.shape[0]}"
        )
    if not same_samples(first.samples, second.samples):
        raise ValueError(
            "X has other samples than the series that it continues, or in another order: X.sel(sample=...)"
        )
    library = np if isinstance(second.values, np.ndarray) else da  # stays lazy if `second` is
    values = library.concatenate([first.values, second.values], axis=1)
    return Series(values, extend(first.times, second.times), first.grid, first.samples, first.time_attrs)


def extend(times: Any, more: Any) -> pd.Index:
    """Return `more` appended to `times`, in an index of the same type."""
    try:
        joined = times.append(more)
    except pd.errors.OutOfBoundsDatetime:  # nanoseconds end in 2262
        joined = times.as_unit(more.unit).append(more)
    # `append` makes a plain index of objects of it
    return xr.CFTimeIndex(joined) if isinstance(times, xr.CFTimeIndex) else joined


def as_lazy(X: xr.DataArray) -> xr.DataArray:
    """Return `X` dask-backed, unless it is in memory.

    A file opened without `chunks` would be loaded whole, and kept, by the first look at its values.
    """
    return X if X.chunks or X.variable._in_memory else X.copy(data=X.variable.chunk({TIME: "auto"}).data)


def has_channels(X: xr.DataArray) -> bool:
    """Whether a field of `X`, a series or forecasts of it, has a channel dimension."""
    return X.ndim - len({*RESERVED, SAMPLE, TIME} & set(X.dims)) == 3


def refuse_dataset(X: Any) -> None:
    """Raise a TypeError for a Dataset, which says how to make a series of it."""
    if not isinstance(X, xr.Dataset):
        return
    names = list(X.data_vars)
    # not the bounds of cells, mappings and the like that files keep beside them
    fields = [name for name in names if TIME in X[name].dims and X[name].ndim > 2] or names
    alike = [name for name in fields if X[name].dims == X[fields[0]].dims]
    chosen = "ds" if alike == names else f"ds[{alike}]"
    raise TypeError(
        f"X is a Dataset with the variables {names}: select one, ds[{next(iter(fields), 'name')!r}], "
        f'or stack them as channels, {chosen}.to_dataarray("variable").transpose("time", "variable", ...)'
    )


def as_dataarray(X: Any) -> xr.DataArray:
    """Return `X` with its dimensions named; raise for what is no gridded series of numbers."""
    refuse_dataset(X)
    if isinstance(X, np.ndarray):
        if X.ndim != 3:
            raise ValueError(
                f"X is a plain array of shape {X.shape}: a plain array is (time, y, x); for samples or channels pass a "
                'DataArray with named dimensions, xr.DataArray(X, dims=("sample", "time", "y", "x"))'
            )
        X = xr.DataArray(X, dims=(TIME, "y", "x"))
    if not isinstance(X, xr.DataArray):
        raise TypeError(f"X is a {type(X).__name__}: pass an xarray.DataArray or a numpy array (time, y, x)")
    quantity = X.variable._data  # as it is: `data` would load a file
    if hasattr(quantity, "magnitude") and hasattr(quantity, "units"):  # of pint
        X = X.copy(data=quantity.magnitude).assign_attrs(units=str(quantity.units))
    if X.dtype.kind not in "fiub":
        raise TypeError(f"X has the dtype {X.dtype}: pass numbers, X.astype('float32')")
    return X


def _check_dims(X: xr.DataArray) -> tuple[Hashable, ...]:
    """Return the dimensions of a field, ([channel,] y, x)."""
    expected = "([sample,] time, [channel,] y, x)"
    if TIME not in X.dims:
        raise ValueError(f"X has the dimensions {X.dims} and none is named 'time': {way_to_time(X)}")
    check_names(X)
    lead = tuple(d for d in (SAMPLE, TIME) if d in X.dims)
    fields = tuple(d for d in X.dims if d not in lead)
    wrong = f"X has the dimensions {X.dims}, expected"
    if len(fields) not in (2, 3):
        raise ValueError(f"{wrong} {expected}: {way_to_fields(X, fields)}")
    if X.dims[: len(lead)] != lead:
        raise ValueError(f"{wrong} the order {expected}: {way_to_order(X, lead, fields)}")
    if 0 in X.shape:
        raise ValueError(f"X has the sizes {dict(X.sizes)}: a dimension is empty")
    return fields


def _advice_of_attributes(X: xr.DataArray) -> str:
    """Return how labels that follow a rule come from the units of numbers, or from bounds, which no DataArray holds."""
    attrs = X[TIME].encoding | X[TIME].attrs
    if X[TIME].dtype.kind in "iuf" and " since " in str(attrs.get("units")):
        return f" They count {attrs['units']}: decode them, xr.decode_cf(X.to_dataset(name='x'))['x']."
    if not attrs.get("bounds"):
        return ""
    middles = f"X.assign_coords(time=ds[{attrs['bounds']!r}].mean(axis=1))"
    return f" Where labels wander within their steps, take the middles of the bounds in the dataset `ds`, {middles}."


def _refuse_stacked(X: xr.DataArray) -> None:
    for dim in X.dims:
        index = X.indexes.get(dim)
        if isinstance(index, pd.MultiIndex):
            raise ValueError(
                f"X has stacked labels along {dim!r}, of {tuple(index.names)}, which no file holds: take them off, "
                f"X.reset_index({dim!r})"
            )
