"""The calls that make the dimensions of an array those of a series."""

from __future__ import annotations

from collections.abc import Hashable

import cftime
import xarray as xr

ENSEMBLE = ("number", "realization", "realisation", "ensemble", "ens")  # what files call the members of one
TIMES = ("t", "date", "dates", "month", "year", "day", "step")  # besides what has "time" in its name


def way_to_time(X: xr.DataArray) -> str:
    """Return the call that names the dimension of time ``time``, for an array without a dimension of that name."""
    start = "X.drop_vars('time')" if "time" in X.coords else "X"  # a scalar, as of a forecast from one time
    for dim in X.dims:
        labels = [name for name, coordinate in X.coords.items() if coordinate.dims == (dim,) and _has_times(coordinate)]
        if labels:
            name = dim if dim in labels else labels[0]
            swap = "" if name == dim else f".swap_dims({{{dim!r}: {name!r}}})"
            return f"rename it, {start}{swap}.rename({{{name!r}: 'time'}})"
    named = [dim for dim in X.dims if "time" in str(dim).lower() or str(dim).lower() in TIMES]
    if named:
        return f"rename it, {start}.rename({{{named[0]!r}: 'time'}})"
    if "time" in X.coords:
        return "it is one step; join those of a series, xr.concat(steps, 'time')"
    return "rename that of time, X.rename({'its name': 'time'})"


def way_to_fields(X: xr.DataArray, fields: tuple[Hashable, ...]) -> str:
    """Return what to do with too many dimensions, or too few."""
    if len(fields) < 2:
        added = [name for name in ("y", "x") if name not in X.dims][: 2 - len(fields)]
        axes = list(range(X.ndim - len(fields), X.ndim - len(fields) + len(added)))
        added_dims = f"X.expand_dims({added}, axis={axes})"
        return f"two spatial dimensions are needed, of which one may have the length 1, {added_dims}"
    ensemble = _ensemble(X)
    if ensemble is not None and len(fields) == 4:
        return way_to_order(X, ("sample", "time"), tuple(dim for dim in fields if dim != ensemble))
    return "select or stack until two spatial dimensions and at most one channel dimension are left"


def way_to_order(X: xr.DataArray, lead: tuple[Hashable, ...], fields: tuple[Hashable, ...]) -> str:
    """Return the call that brings the dimensions in order; the members of an ensemble become samples."""
    ensemble = _ensemble(X)
    if ensemble is None:
        return f"X.transpose({', '.join(repr(dim) for dim in (*lead, *fields))})"
    order = ", ".join(repr(dim) for dim in ("sample", "time", *(dim for dim in fields if dim != ensemble)))
    return (
        f"take its members as samples, X.rename({{{ensemble!r}: 'sample'}}).transpose({order}), or select one, "
        f"X.isel({{{ensemble!r}: 0}})"
    )


def _ensemble(X: xr.DataArray) -> Hashable | None:
    return next((dim for dim in X.dims if "sample" not in X.dims and str(dim).lower() in ENSEMBLE), None)


def _has_times(coordinate: xr.DataArray) -> bool:
    kind = coordinate.dtype.kind
    return kind == "M" or (kind == "O" and coordinate.size > 0 and isinstance(coordinate.values[0], cftime.datetime))
