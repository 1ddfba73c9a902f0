"""Covariates without their labels."""

import cftime
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from gridcast.data.drivers import read_drivers
from gridcast.data.grid import unwrap


def make_series(n=10, time=None):
    time = pd.date_range("2001-01-01", periods=n, freq="D") if time is None else time
    coords = {"time": time, "lat": [10.0, 20.0, 30.0], "lon": [1.0, 2.0]}
    return xr.DataArray(np.arange(6.0 * n).reshape(n, 3, 2), dims=("time", "lat", "lon"), coords=coords)


def read(covariates, past=None, series=None):
    return read_drivers(covariates, past, *unwrap(make_series() if series is None else series))


def test_area_wide_and_gridded_ones_stand_apart_over_the_times_that_all_have():
    series = make_series()
    tide = series.mean(("lat", "lon"))
    drivers = read([tide, series[2:], xr.Dataset({"u": tide[1:9], "v": 2 * tide[1:9]})], 3 * tide)
    assert {name: part.values.shape for name, part in drivers.parts.items()} == {
        "covariates": (1, 8, 3, 1, 1),
        "covariates/fields": (1, 8, 1, 3, 2),
        "past_covariates": (1, 10, 1, 1, 1),
    }
    area = drivers.parts["covariates"]
    assert (area.times == series.indexes["time"][1:9]).all()
    np.testing.assert_allclose(area.values[0, :, 2, 0, 0], 2 * tide[1:9])
    np.testing.assert_allclose(drivers.parts["covariates/fields"].values[0, :, 0], series[2:])
    assert read(None) is None


def test_dimensions_come_in_any_order_and_lazy_fields_stay_lazy():
    series = make_series()
    both = xr.concat([series, 2 * series], "covariate").transpose("lat", "covariate", "lon", "time")
    expected = np.stack([series, 2 * series], axis=1)[None]
    for given in (both, both.chunk(time=3)):
        part = read(given).parts["covariates/fields"]
        np.testing.assert_array_equal(part.values, expected)
        assert isinstance(part.values, np.ndarray) == (given.chunks is None)


def test_what_is_known_goes_on_in_what_is_given():
    series = make_series(12)
    calendar = unwrap(series)[1]
    tide = series.mean(("lat", "lon"))
    known, later = (read(part, series=series).parts for part in (tide[:8], 0 * tide[6:]))
    assert {"covariates"} == set(known) == set(later)
    merged = read(tide[:8]).merged(read(0 * tide[6:], series=series), calendar).parts["covariates"]
    assert (merged.times == series.indexes["time"]).all()
    np.testing.assert_allclose(merged.values.ravel(), [*tide[:6], *np.zeros(6)])
    apart = read(tide[:4]).merged(read(tide[6:], series=series), calendar).parts["covariates"]
    assert apart.times[0] == series.indexes["time"][6]
    kept = read(tide, series=series).tail(3, series.indexes["time"][9], calendar).parts["covariates"]
    assert (kept.times == series.indexes["time"][7:10]).all()


def test_a_series_that_is_too_short_on_either_side_is_named():
    series, (_, calendar) = make_series(), unwrap(make_series())
    drivers, times = read(series.mean(("lat", "lon"))[2:8]), series.indexes["time"]
    drivers.check_covers("covariates", times[2], times[7], calendar, "the horizon", "or less")
    with pytest.raises(ValueError, match=r"covariates end at 2001-01-08.*the horizon reaches 2001-01-10.*up to there"):
        drivers.check_covers("covariates", times[2], times[9], calendar, "the horizon", "or less")
    with pytest.raises(ValueError, match=r"covariates begin at 2001-01-03.*needed from 2001-01-01.*give earlier"):
        drivers.check_covers("covariates", times[0], times[5], calendar, "the horizon", "or less")


NOLEAP = [cftime.DatetimeNoLeap(2001, 1, day) for day in range(1, 11)]
TEXT = [f"2001-01-{day:02}" for day in range(1, 11)]
NUMBERS = [20010100 + day for day in range(1, 11)]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda s: s.isel(lat=slice(2)), ValueError, r"covariates, of 2 lat x 2 lon, is not on the grid.*interp_like"),
        (lambda s: s.assign_coords(lon=[1.0, 3.0]), ValueError, r"covariates, of 3 lat x 2 lon, is not on the grid"),
        (lambda s: s.mean("lat"), ValueError, r"covariates has the dimensions \('time', 'lon'\), expected .*area-wide"),
        (lambda s: s.rename(lat="y"), ValueError, r"covariates has the dimensions \('time', 'y', 'lon'\).*rename them"),
        (lambda s: s.isel(time=0), ValueError, r"covariates has the dimensions \('lat', 'lon'\), expected"),
        (lambda s: s.isel(time=[0, 1, 3]), ValueError, r"covariates is not on the time steps of X, 1 day.*interp"),
        (lambda s: s.isel(time=[0, 2, 4]), ValueError, r"covariates is not on the time steps of X, 1 day"),
        (lambda s: s.assign_coords(time=NOLEAP), ValueError, r"covariates is not on the time steps of X"),
        (lambda s: s.assign_coords(time=TEXT), TypeError, r"covariates: time must .*covariates\.assign_coords\(time="),
        (lambda s: s.assign_coords(time=NUMBERS), ValueError, r"covariates: its times are dates written as numbers"),
        (lambda s: s.drop_vars("time"), ValueError, r"covariates has no time labels, X has: .*assign_coords\(time"),
        (lambda s: s.where(s > 5, np.inf), ValueError, r"covariates holds an infinite value: mark missing"),
        (lambda s: s.astype(str), TypeError, r"covariates holds <U\d+: give numbers"),
        (lambda s: "tide", TypeError, r"covariates holds a str: give a DataArray over time"),
        (lambda s: [], ValueError, r"covariates holds nothing: give a DataArray, or None"),
        (lambda s: [s[:3], s[5:]], ValueError, r"covariates have no time in common"),
        (lambda s: s.expand_dims(sample=2), ValueError, r"covariates has 2 samples, X has 1"),
    ],
)
def test_what_can_not_be_used_is_named(change, error, message):
    with pytest.raises(error, match=message):
        read(change(make_series()))
    with pytest.raises(error, match=f"past_{message}"):
        read(None, change(make_series()))


def test_other_hours_of_the_same_step_are_named():
    series = make_series()
    late = series.assign_coords(time=series.indexes["time"] + pd.Timedelta("6h"))
    drivers, times = read(late), series.indexes["time"]
    with pytest.raises(ValueError, match=r"covariates have the time 2001-01-02 06:00:00 where X has 2001-01-02 00:00"):
        drivers.check_covers("covariates", times[1], times[3], unwrap(series)[1], "X", "or cut X")


@pytest.mark.parametrize("chunks", [{}, {"time": 3}])
def test_what_single_precision_can_not_tell_apart_is_not_learned_from(chunks):
    series = make_series()
    far = 1e8 + series / 100
    far = far.chunk(chunks) if chunks else far
    for covariates, past, name in ((far, None, "covariates"), (None, far, "past_covariates")):
        with pytest.raises(
            ValueError, match=rf"^{name} lies between 1.* single precision .* common, {name} - 100000000"
        ):
            read_drivers(covariates, past, *unwrap(series), learned=True)
    read(far)  # a few steps of what was learned from
    assert read_drivers(far - 1e8, None, *unwrap(series), learned=True).parts["covariates/fields"].values.dtype == "f4"
