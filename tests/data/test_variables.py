"""Variables of a Dataset that describe others are none of what it gives."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from gridcast.data.covariates import static_fields
from gridcast.data.drivers import read_drivers
from gridcast.data.grid import unwrap
from gridcast.data.variables import each_of


def make_series():
    coords = {"time": pd.date_range("2001-01-01", periods=10), "lat": [10.0, 20.0, 30.0], "lon": [1.0, 2.0]}
    return xr.DataArray(np.arange(60.0).reshape(10, 3, 2), dims=("time", "lat", "lon"), coords=coords)


def with_notes(name, field):
    """Return a Dataset as a file has it: bounds, and a mapping of the grid."""
    ds = field.to_dataset(name=name).assign(crs=0, lat_bnds=(("lat", "bnds"), np.zeros((3, 2))))
    ds[name].attrs["grid_mapping"] = "crs"
    if "time" in ds.coords:
        times = ds.indexes["time"].values
        ds = ds.assign(
            steps=(("time", "nv"), np.stack([times, times], 1)), time_bounds=(("time", "nv"), np.ones((10, 2)))
        )
        ds.time.encoding["bounds"] = "steps"
    return ds


def test_bounds_and_mappings_drive_nothing():
    series = make_series()
    tide = series.mean(("lat", "lon"))
    drivers = read_drivers([with_notes("tide", tide)], None, *unwrap(series))
    assert drivers.parts["covariates"].values.shape == (1, 10, 1, 1, 1)


def test_bounds_and_mappings_are_no_static_fields():
    series = make_series()
    ds = with_notes("height", series[0].drop_vars("time"))
    assert static_fields(ds, unwrap(series)[0].grid).shape == (1, 3, 2)


def test_what_only_ends_as_bounds_do_is_data():
    series = make_series()
    ds = xr.Dataset({"ice_bnds": series, "crs": ((), 0, {"grid_mapping_name": "latitude_longitude"})})
    assert [one.name for one in each_of("covariates", ds, series.dims)] == ["ice_bnds"]


def test_the_variable_that_can_not_be_used_is_named():
    series = make_series()
    unwrapped = unwrap(series)
    with pytest.raises(ValueError, match=r"covariates has the dimensions \(\), .* \(the variable 'crs'\)"):
        read_drivers(xr.Dataset({"tide": series.mean(("lat", "lon")), "crs": 0}), None, *unwrapped)
    with pytest.raises(TypeError, match=r"static holds datetime64.*: give numbers \(the variable 'day'\)"):
        static_fields(
            [series[0], xr.full_like(series[0], pd.Timestamp("2001"), "M8[ns]").rename("day")], unwrapped[0].grid
        )
    with pytest.raises(ValueError, match="static holds nothing: give a DataArray, or None"):
        static_fields(xr.Dataset(), unwrapped[0].grid)
