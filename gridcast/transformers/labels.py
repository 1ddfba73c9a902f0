"""What a transformer takes."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import Any

import xarray as xr

from gridcast.data.grid import as_dataarray, as_lazy, has_channels
from gridcast.data.labels import RESERVED, of_any

LEADING = (*RESERVED, "sample", "time")  # before the dimensions of a field


def labelled(X: Any) -> xr.DataArray:
    """Return `X` as a DataArray, lazy unless it is in memory; raise a TypeError for a horizon in its place."""
    if isinstance(X, numbers.Number):
        raise TypeError(
            f"X is the number {X!r}: a transformer takes data; in a pipeline use ForecastPipeline for predict({X}), "
            f"or predict(X, horizon={X})"
        )
    X = as_dataarray(X)
    lead = tuple(d for d in X.dims if d in LEADING)
    if X.dims[: len(lead)] != lead:
        order = ", ".join(repr(d) for d in (*lead, *(d for d in X.dims if d not in LEADING)))
        raise ValueError(f"X has the dimensions {X.dims}, but those of a field come last: X.transpose({order})")
    return as_lazy(X)


def map_fields(X: xr.DataArray, function: Callable[[Any], Any]) -> xr.DataArray:
    """Return `X` with its values, (..., channel, y, x) whether it has a channel or not, mapped by `function`."""
    data = function(X.data) if has_channels(X) else function(X.data[..., None, :, :])[..., 0, :, :]
    return like(X, data)


def like(X: xr.DataArray, data: Any) -> xr.DataArray:
    """Return `X` with other values, without what its attributes and its encoding say of the stored ones."""
    out = X.copy(data=data)
    out.attrs, out.encoding = of_any(X.attrs), {}
    return out
