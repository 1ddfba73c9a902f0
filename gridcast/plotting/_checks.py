"""What every figure asks of its arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray


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


def exactly_aligned(
    observed: xr.DataArray, forecast: xr.DataArray, name: str = "forecast"
) -> tuple[xr.DataArray, xr.DataArray]:
    """Return both, or raise a ValueError where their labels differ."""
    try:
        return xr.align(observed, forecast, join="exact")
    except ValueError as error:
        raise ValueError(
            f"select the same labels of observed and {name} first, observed.sel(time=forecast.time): {error}"
        ) from error


def like_observed(observed: xr.DataArray, forecasts: Mapping[str, xr.DataArray]) -> dict[str, xr.DataArray]:
    """Return the forecasts with the dimensions, and checked for the labels, of the observations."""
    found = {}
    for name, forecast in forecasts.items():
        if set(forecast.dims) != set(observed.dims):
            raise ValueError(
                f"forecasts[{name!r}] has the dimensions {forecast.dims}, observed has {observed.dims}: "
                "select the same, for example observed.sel(time=forecast.time) for one forecast, or average"
            )
        _, found[name] = exactly_aligned(observed, forecast.transpose(*observed.dims), f"forecasts[{name!r}]")
    return found
