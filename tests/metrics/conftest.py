"""A forecast, an ensemble and observations that scores are computed of by hand."""

import numpy as np
import pytest
import xarray as xr

NAN = float("nan")


@pytest.fixture
def observed() -> xr.DataArray:
    """Two days on a 2 x 2 grid, one cell missing on the second day."""
    return xr.DataArray(
        [[[0.0, 1.0], [2.0, 3.0]], [[4.0, NAN], [6.0, 7.0]]],
        coords={
            "time": np.array(["2001-01-01", "2001-01-02"], "M8[ns]"),
            "lat": [60.0, 0.0],
            "lon": [0.0, 1.0],
        },
        attrs={"units": "mm/day"},
    )


@pytest.fixture
def forecast(observed: xr.DataArray) -> xr.DataArray:
    """Errors of 1, -1, 2, -2 on the first day, of 3 on the second."""
    errors = xr.DataArray([[[1.0, -1.0], [2.0, -2.0]], [[3.0, 3.0], [3.0, 3.0]]], dims=observed.dims)
    return (observed.fillna(0.0) + errors).assign_attrs(observed.attrs)


@pytest.fixture
def ensemble(forecast: xr.DataArray) -> xr.DataArray:
    """Three members around the forecast, with a variance of 1."""
    return (forecast + xr.DataArray([-1.0, 0.0, 1.0], coords={"member": [0, 1, 2]})).assign_attrs(forecast.attrs)
