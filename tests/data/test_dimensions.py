"""The advice on dimensions makes a series of what files hold."""

import re

import cftime
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import gridcast as gc
from gridcast.data.grid import unwrap

TIMES = pd.date_range("2001-01-01", periods=8)
CFTIMES = [cftime.Datetime360Day(2001, 1, day) for day in range(1, 9)]


def made(*dims, **coords):
    sizes = {"number": 3, "level": 2, "lat": 4, "lon": 5, "station": 6}
    return xr.DataArray(np.zeros([sizes.get(dim, 8) for dim in dims]), dims=dims, coords=coords)


FROM_FILES = {
    "valid times": made("valid_time", "lat", "lon", valid_time=TIMES),
    "steps of one forecast of GRIB": made(
        "step", "lat", "lon", step=np.arange(8), valid_time=("step", TIMES), time=TIMES[0]
    ),
    "WRF": made("Time", "lat", "lon", XTIME=("Time", TIMES)),
    "months since": made("T", "lat", "lon", T=np.arange(8) + 0.5),
    "cftime": made("when", "lat", "lon", when=CFTIMES),
    "a capital": made("TIME", "lat", "lon", TIME=TIMES),
    "steps without labels": made("timestep", "lat", "lon"),
    "an ensemble first": made("number", "time", "lat", "lon", time=TIMES),
    "an ensemble on levels": made("time", "number", "level", "lat", "lon", time=TIMES),
    "stations": made("time", "station", time=TIMES),
    "one series": made("time", time=TIMES),
    "time last": made("lat", "lon", "time", time=TIMES),
    "samples, time last": made("sample", "lat", "lon", "time", time=TIMES),
    "one place, levels of a buoy": made("level", "time", time=TIMES),
}


@pytest.mark.parametrize("name", FROM_FILES)
def test_the_advice_makes_a_series(name):
    X = FROM_FILES[name]
    for _ in range(3):
        try:
            series, _ = unwrap(X)
            break
        except ValueError as error:
            X = eval(re.search(r"X\.\w+\(.*?\)(?=, or select|$)", str(error)).group(), {"X": X})
    assert len(series) == 8
    assert gc.NaiveForecaster().fit(X).predict(2).sizes == X.isel(time=slice(2)).sizes


def test_members_are_samples_or_one_of_them_is_selected():
    X = FROM_FILES["an ensemble first"]
    with pytest.raises(ValueError, match=r"as samples.* or select one, X\.isel\({'number': 0}\)"):
        unwrap(X)
    assert unwrap(X.isel({"number": 0}))[0].values.shape == (1, 8, 1, 4, 5)


def test_one_step_is_to_be_joined():
    with pytest.raises(ValueError, match=r"one step; join those of a series, xr.concat"):
        unwrap(made("lat", "lon", time=TIMES[0]))
