"""What a transformer takes."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import Any

import xarray as xr

from gridcast.data.grid import as_dataarray, as_lazy, has_channels


def labelled(X: Any) -> xr.DataArray:
    """Return `X` as a DataArray, lazy unless it is in memory; raise a TypeError for a horizon in its place."""
    if isinstance(X, numbers.Number):
        raise TypeError(
            f"X is the number {X!r}: a transformer takes data; in a pipeline use ForecastPipeline for predict({X}), "
            f"or predict(X, horizon={X})"
        )
    return as_lazy(as_dataarray(X))


def map_fields(X: xr.DataArray, function: Callable[[Any], Any]) -> xr.DataArray:
    """Return `X` with its values, (..., channel, y, x) whether it has a channel or not, mapped by `function`."""
    if has_channels(X):
        return X.copy(data=function(X.data))
    return X.copy(data=function(X.data[..., None, :, :])[..., 0, :, :])
