"""What all metrics share: labels that must agree, dimensions to average over, units."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping
from itertools import combinations
from typing import TypeAlias

import numpy as np
from xarray import DataArray

from gridcast.data.geography import NAMES, is_named
from gridcast.data.units import units_of, warn_of_other_units
from gridcast.metrics._weights import Weights, resolve_weights

Dims: TypeAlias = str | Iterable[Hashable] | None

PARTS_OF_TIME = ("month", "dayofyear", "season", "hour", "year", "quarter", "day", "dayofweek")


def checked(
    forecast: DataArray, observed: DataArray, dim: Dims, weights: Weights, member_dim: str | None = None
) -> tuple[DataArray, DataArray, list[Hashable], DataArray | None]:
    """Check a metric's arguments; return both sides in float64, the dimensions to average over and the weights.

    Raises
    ------
    TypeError, ValueError
        As :func:`gridcast.metrics.mse` says.
    """
    check_same_labels(forecast=forecast, observed=observed)
    warn_of_other_units("forecast", units_of(forecast), "observed", units_of(observed))
    if member_dim is not None:
        forecast = complete_ensemble(forecast, observed, member_dim)
    available = [name for name in dict.fromkeys((*forecast.dims, *observed.dims)) if name != member_dim]
    dims: list[Hashable] = available if dim is None else [dim] if isinstance(dim, str) else list(dict.fromkeys(dim))
    check_dims("dim", dims, available)
    found = resolve_weights(weights, dims, forecast, observed)
    if found is not None:
        check_same_labels(forecast=forecast, observed=observed, weights=found)
        check_dims("weights", found.dims, available)
    return forecast.astype("float64"), observed.astype("float64"), dims, found


def check_dims(parameter: str, names: Iterable[Hashable], available: list[Hashable]) -> None:
    """Raise a ValueError if `parameter` names another dimension than those `available`."""
    for name in names:
        if name not in available:
            raise ValueError(f"{parameter} has {name!r}, which is none of the dimensions {available}")


def check_reference(
    name: str, reference: DataArray, available: Collection[Hashable], observed: str = "observed"
) -> None:
    """Raise a ValueError if a reference, such as a climatology, has a dimension that neither side has.

    Arithmetic would spread both sides over it, and the score would be nonsense.
    """
    foreign = [dim for dim in reference.dims if dim not in available]
    lacking = [dim for dim in available if dim not in reference.dims]
    for dim in foreign:
        if dim in PARTS_OF_TIME:
            way = f"take its value at each time, {name}.sel({dim}={observed}.time.dt.{dim}).drop_vars({dim!r}), or"
            way += " gridcast.Anomaly().fit(train).climatology"
        else:
            way = f"select or average it first, {name}.isel({dim}=0) or {name}.mean({dim!r})"
            if len(foreign) == len(lacking) == 1:
                way = f"rename it if it is {lacking[0]!r}, {name}.rename({dim}={lacking[0]!r}), else {way}"
        raise ValueError(f"{name} has the dimension {dim!r}, which is none of {list(available)}: {way}")


def complete_ensemble(forecast: DataArray, observed: DataArray, member_dim: str) -> DataArray:
    """Return `forecast` without the cells where a member is missing; raise a ValueError if it is no ensemble."""
    if member_dim not in forecast.dims:
        raise ValueError(f"forecast has no {member_dim!r} in {forecast.dims}: set member_dim")
    if member_dim in observed.dims:
        raise ValueError(f"observed has the dimension {member_dim!r}, but observations have no members")
    if forecast.chunks is not None:
        # one block along the members, whatever the file has
        forecast = chunked(forecast, {member_dim: -1})  # sorting takes all members at once
    return forecast.where(forecast.notnull().all(member_dim))


def chunked(data: DataArray, chunks: Mapping[Hashable, int | str]) -> DataArray:
    """Return `data` in other chunks. Its labels stay in memory, where the ``chunk`` of xarray makes them lazy too."""
    return data.copy(data=data.variable.chunk(chunks).data)


def check_same_labels(**arrays: DataArray) -> None:
    """Raise where xarray's arithmetic would join or multiply out arrays that do not belong together."""
    for name, array in arrays.items():
        if not isinstance(array, DataArray):
            raise TypeError(f"{name} must be a DataArray, not {type(array).__name__}: wrap or select one")
    for (first, a), (second, b) in combinations(arrays.items(), 2):
        # A backtest's valid time is a coordinate over (init_time, lead_time) and no dimension.
        for dim in dict.fromkeys((*a.dims, *b.dims, "time")):
            difference = _difference(a, b, dim)
            if difference:
                raise ValueError(
                    f"{first} and {second} differ along {dim!r}: {difference}. Take the same labels first, "
                    f"{second}.sel({dim}={first}[{dim!r}]), or, where they differ by rounding alone, "
                    f"{second}.assign_coords({dim}={first}[{dim!r}])"
                )
        for field in _fields_of_positions(a):
            difference = _difference(a, b, field) if field in b.coords else ""
            if difference:
                raise ValueError(
                    f"{first} and {second} lie on other grids, their {field!r} differ: {difference}. Interpolate one "
                    f"of them first, or, where they differ by rounding alone, "
                    f"{second}.assign_coords({field}={first}[{field!r}])"
                )


def _fields_of_positions(data: DataArray) -> list[Hashable]:
    """Return the latitudes and longitudes over several dimensions, as of a curvilinear grid."""
    return [k for k, c in data.coords.items() if c.ndim > 1 and any(is_named(c, what) for what in NAMES)]


def _difference(a: DataArray, b: DataArray, dim: Hashable) -> str:
    if dim in a.dims and dim in b.dims and a.sizes[dim] != b.sizes[dim]:
        return f"{a.sizes[dim]} against {b.sizes[dim]} steps"
    if dim not in a.coords or dim not in b.coords or a[dim].ndim == b[dim].ndim == 0:
        return ""
    if set(a[dim].dims) != set(b[dim].dims):
        return f"labels over {a[dim].dims} against {b[dim].dims}"
    ours, theirs = a[dim].variable, b[dim].variable.transpose(*a[dim].dims)
    if ours.equals(theirs):
        return ""
    # missing positions, as of land, are alike
    same = (ours.values == theirs.values) | (ours.isnull().values & theirs.isnull().values)
    where = tuple(np.argwhere(~same)[0])
    return f"first {ours.values[where]} against {theirs.values[where]}"


def named(score: DataArray, name: str, units: str | None) -> DataArray:
    """Return a score by its name, with no other attribute than its units."""
    score = score.rename(name).copy(deep=False)
    for part in (score, *score.coords.values()):  # drop_attrs aligns anew for each coordinate, 15 times slower
        part.attrs = {}
    return score.assign_attrs({} if units is None else {"units": units})
