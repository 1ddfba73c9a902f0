"""What every figure asks of its arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from gridcast.metrics._checks import check_reference, check_same_labels


def check_array(name: str, data: Any) -> None:
    """Raise a TypeError where `data` is no DataArray."""
    if not isinstance(data, xr.DataArray):
        raise TypeError(f"{name} must be a DataArray, not {type(data).__name__}: wrap or select one")


def check_forecasts(forecasts: Any) -> None:
    """Raise where `forecasts` is no mapping of names to DataArrays, or empty."""
    if not isinstance(forecasts, Mapping):
        raise TypeError(
            f"forecasts must be a mapping of names to DataArrays, not {type(forecasts).__name__}: "
            'write {"CNMM": forecast}'
        )
    if not forecasts:
        raise ValueError('forecasts is empty: give one model or more, {"CNMM": forecast}')
    for name, forecast in forecasts.items():
        check_array(f"forecasts[{name!r}]", forecast)


def check_axes(axes: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return the given axes as an array, or raise a ValueError where their shape is another."""
    if np.shape(axes) != shape:
        raise ValueError(f"axes must have the shape {shape}, got {np.shape(axes)}")
    return np.asarray(axes, dtype=object) if not isinstance(axes, np.ndarray) else axes


def like_observed(observed: xr.DataArray, forecasts: Mapping[str, xr.DataArray]) -> dict[str, xr.DataArray]:
    """Return the forecasts with the dimensions, and checked for the labels, of the observations."""
    found = {}
    for name, forecast in forecasts.items():
        check_reference(f"forecasts[{name!r}]", forecast, observed.dims)
        if set(forecast.dims) != set(observed.dims):
            raise ValueError(
                f"forecasts[{name!r}] has the dimensions {forecast.dims}, observed has {observed.dims}: "
                "select the same, for example observed.sel(time=forecast.time) for one forecast, or average"
            )
        found[name] = forecast.transpose(*observed.dims)
        check_same_labels(**{"observed": observed, f"forecasts[{name!r}]": found[name]})
    return found
