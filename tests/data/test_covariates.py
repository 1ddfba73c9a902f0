import cftime
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from small import small

from gridcast.data.covariates import make_time_features, static_fields
from gridcast.data.grid import unwrap
from gridcast.data.inference import infer_calendar


def make_series(n_times=48, freq="6h", shape=(8, 8)):
    time = pd.date_range("2001-01-01", periods=n_times, freq=freq)
    values = np.random.default_rng(0).normal(size=(n_times, *shape)).astype(np.float32).cumsum(0)
    coords = {"time": time, "lat": np.linspace(60, 20, shape[0]), "lon": np.linspace(200, 260, shape[1])}
    return xr.DataArray(values, dims=("time", "lat", "lon"), coords=coords, name="t")


def orography(series):
    return (series[0] * 100 + 500).drop_vars("time").rename("orography")


def features(series, names):
    unwrapped, calendar = unwrap(series)
    return make_time_features(names, unwrapped, calendar)


def test_time_features_are_cosine_and_sine_of_the_time_of_day_and_year():
    series = make_series()
    found = features(series, ("season", "day"))
    values = found.at(series.indexes["time"])
    hours = series.time.dt.hour.values
    np.testing.assert_allclose(values[:, 2], np.cos(2 * np.pi * hours / 24), atol=1e-6)
    np.testing.assert_allclose(values[:, 3], np.sin(2 * np.pi * hours / 24), atol=1e-6)
    np.testing.assert_allclose(np.hypot(values[:, 0], values[:, 1]), 1, atol=1e-6)
    angle = np.arctan2(values[:, 1], values[:, 0])
    np.testing.assert_allclose(np.diff(angle), 2 * np.pi / (4 * 365), rtol=1e-2)


def test_time_features_of_a_model_calendar():
    times = xr.date_range("2001-01-01", periods=30, freq="MS", calendar="noleap", use_cftime=True)
    assert isinstance(times[0], cftime.datetime)
    series = xr.DataArray(np.zeros((30, 4, 4)), dims=("time", "y", "x"), coords={"time": times})
    values = features(series, "season").at(times)
    np.testing.assert_allclose(values[12], values[0], atol=1e-6)
    np.testing.assert_allclose(values[3] - values[0], [-1, 1], atol=1e-6)


@pytest.mark.parametrize(
    ("names", "freq", "expected"),
    [
        ("hour", "6h", r"time_features='hour': use \"auto\", \"season\", \"day\""),
        (("day", "day"), "6h", "time_features="),
        ("day", "D", 'X has 1 step a day, leave out "day"'),
        ("day", "MS", "time_features='day'"),
    ],
)
def test_impossible_time_features_are_named(names, freq, expected):
    with pytest.raises(ValueError, match=expected):
        small("cnmm", time_features=names).fit(make_series(freq=freq))


def test_time_features_need_time_labels():
    with pytest.raises(ValueError, match="time_features='day' need time labels"):
        small("cnmm", time_features="day").fit(make_series().values)


def test_static_fields_have_mean_zero_and_variance_one_and_no_gaps():
    series = make_series()
    grid = unwrap(series)[0].grid
    land = (series[3] > 0).drop_vars("time")
    holes = orography(series).where(land)
    fields = static_fields([holes, xr.Dataset({"land": land, "other": series[1]})["land"], orography(series).T], grid)
    assert fields.shape == (3, 8, 8)
    np.testing.assert_allclose(fields.mean((1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(fields[1:].std((1, 2)), 1, rtol=1e-5)
    assert (fields[0][~land.values] == 0).all()
    np.testing.assert_allclose(fields[2], (series[0] - series[0].mean()) / series[0].std(), rtol=1e-4, atol=1e-5)
    levels = xr.concat([orography(series), 2 * orography(series) + 1], "level")
    both = static_fields(levels, grid)
    np.testing.assert_allclose(both[0], both[1], atol=1e-5)
    np.testing.assert_allclose(static_fields(orography(series).values, grid)[0], both[0], atol=1e-6)
    assert static_fields(xr.Dataset({"a": land, "b": orography(series)}), grid).shape == (2, 8, 8)


@pytest.mark.parametrize(
    ("static", "error", "expected"),
    [
        (lambda s: orography(s)[:-1], ValueError, r"static, of 7 lat x 8 lon, is not .*static\.interp_like\(X\)"),
        (lambda s: orography(s)[::-1], ValueError, "is not on the grid of X.* or has other labels"),
        (lambda s: s, ValueError, "constant fields have no time"),
        (lambda s: orography(s).rename(lat="y"), ValueError, "rename or interpolate"),
        (lambda s: "orography.nc", TypeError, "static holds a str"),
        (lambda s: np.zeros(8), TypeError, "static holds a ndarray of 1 dimensions"),
        (lambda s: orography(s).astype(str), TypeError, "give numbers"),
        (lambda s: orography(s) / 0, ValueError, "static holds an infinite value"),
    ],
)
def test_impossible_static_fields_are_named(static, error, expected):
    series = make_series()
    with pytest.raises(error, match=expected), np.errstate(all="ignore"):
        small("cnmm", static=static(series)).fit(series)


def test_a_calendar_that_is_not_there_has_no_features():
    assert make_time_features(None, unwrap(make_series())[0], infer_calendar(make_series().indexes["time"])) is None


@pytest.mark.parametrize("unit", [1e-16, 1.0, 1e13])
def test_the_units_of_a_static_field_do_not_matter(unit):
    series = make_series()
    grid = unwrap(series)[0].grid
    field = orography(series) - orography(series).min()
    np.testing.assert_allclose(static_fields(unit * field, grid)[0].std(), 1, rtol=1e-3)
    assert not static_fields(unit * (0 * field + 0.3), grid).any()
