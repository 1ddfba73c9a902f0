"""What a transformer takes."""

from __future__ import annotations

import numbers
from typing import Any

import xarray as xr

from gridcast.data.grid import as_dataarray, as_lazy


def labelled(X: Any) -> xr.DataArray:
    """Return `X` as a DataArray, lazy unless it is in memory; raise a TypeError for a horizon in its place."""
    if isinstance(X, numbers.Number):
        raise TypeError(
            f"X is the number {X!r}: a transformer takes data; in a pipeline use ForecastPipeline for predict({X}), "
            f"or predict(X, horizon={X})"
        )
    return as_lazy(as_dataarray(X))
