"""Anomalies: the cycle, its harmonics and gaps."""

import warnings

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from fields import make_series

from gridcast import Anomaly
from gridcast.data.grid import Series
from gridcast.data.labels import of_any


def test_a_cycle_by_hand():
    X = np.array([1.0, 10, 3, 20, 5, 30])[:, None, None]
    transformer = Anomaly(period=2).fit(X)
    assert transformer.cycle_.ravel().tolist() == [3, 20]
    assert transformer.transform(X).values.ravel().tolist() == [-2, -10, 0, 0, 2, 10]
    assert transformer.n_phases_ == 2


def test_the_phase_goes_on_behind_and_in_front_of_the_training_series():
    X = make_series(30)
    X[:] = np.tile([1.0, 2, 4], 10)[:, None, None]
    transformer = Anomaly(period=3, n_harmonics=None).fit(X[7:20])
    np.testing.assert_allclose(transformer.transform(X), 0, atol=1e-6)
    assert transformer.climatology(X.indexes["time"][:4])[:, 0, 0, 0].tolist() == [1, 2, 4, 1]


def test_a_short_array_without_times_is_at_no_place_of_the_cycle():
    x = np.tile(np.arange(4.0).reshape(4, 1, 1), (5, 2, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        anomaly = Anomaly(period=4, n_harmonics=None)
        residual = anomaly.fit_transform(x)
        np.testing.assert_array_equal(anomaly.inverse_transform(residual), x)
        np.testing.assert_array_equal(anomaly.transform(x), residual)
        Anomaly().fit(x).transform(x[1:3])  # a mean is the same everywhere
    for call in (anomaly.transform, anomaly.inverse_transform):
        with pytest.warns(UserWarning, match=r"X has no time labels.*a cycle of 4 steps.*X.assign_coords\(time=range"):
            call(x[1:3])
    numbered = xr.DataArray(x, dims=("time", "y", "x"), coords={"time": range(20)})[1:3]
    assert (anomaly.transform(numbered) == 0).all()


def test_harmonics_smooth_the_cycle():
    t = np.arange(36)
    wave = np.cos(2 * np.pi * t / 12)
    X = (wave + 0.5 * np.cos(2 * np.pi * 4 * t / 12))[:, None, None]
    smooth = Anomaly(period=12, n_harmonics=1).fit(X)
    np.testing.assert_allclose(smooth.climatology(pd.RangeIndex(12)).ravel(), wave[:12], atol=1e-6)
    np.testing.assert_allclose(Anomaly(period=12, n_harmonics=0).fit(X).cycle_, 0, atol=1e-6)
    np.testing.assert_allclose(Anomaly(period=12, n_harmonics=None).fit_transform(X), 0, atol=1e-6)


def test_phases_that_a_cell_never_shows_are_interpolated_around_the_cycle():
    cycle = np.array([10.0, 12, 14, 16])
    X = np.tile(cycle, 3)[:, None, None] * np.ones((1, 1, 4))
    X[2::4, 0, 1] = np.nan
    X[0::4, 0, 2] = np.nan
    X[:, 0, 3] = np.nan
    learned = Anomaly(period=4, n_harmonics=None).fit(X).cycle_[:, 0, 0]
    assert learned[:, 0].tolist() == cycle.tolist()
    assert learned[:, 1].tolist() == [10, 12, 14, 16]
    assert learned[:, 2].tolist() == [14, 12, 14, 16]
    assert np.isnan(learned[:, 3]).all()


def test_gaps_do_not_bias_the_cycle():
    X = make_series(40)
    X[:] = np.tile([1.0, 5.0], 20)[:, None, None]
    X[3:6, 1] = np.nan
    np.testing.assert_allclose(Anomaly(period=2).fit(X).cycle_.reshape(2, -1).T, [[1, 5]] * 12)


@pytest.mark.parametrize(
    ("freq", "n_times", "period", "n_phases"),
    [
        ("MS", 36, "year", 12),
        ("D", 800, "year", 365),
        ("h", 240, "day", 24),
        ("D", 100, 1, 1),
        ("6h", 1600, "year", 1460),
    ],
)
def test_the_period_is_found(freq, n_times, period, n_phases):
    transformer = Anomaly().fit(make_series(n_times, freq=freq, shape=(1, 2)))
    assert (transformer.period_, transformer.n_phases_) == (period, n_phases)


def test_without_time_labels_the_cycle_is_a_mean():
    X = make_series().values
    transformer = Anomaly().fit(X)
    assert transformer.n_phases_ == 1
    np.testing.assert_allclose(transformer.cycle_[0, 0], X.mean(0), rtol=1e-6)


def test_a_leap_day_belongs_to_28_february():
    time = pd.date_range("2003-01-01", "2005-12-31", freq="D")
    day = np.where(time.is_leap_year & (time.day_of_year > 59), time.day_of_year - 1, time.day_of_year)
    values = np.cos(2 * np.pi * (day - 1) / 365)
    X = xr.DataArray(values[:, None, None], dims=("time", "y", "x"), coords={"time": time})
    transformer = Anomaly().fit(X)
    assert transformer.n_phases_ == 365
    assert transformer.year_ == "noleap"
    np.testing.assert_allclose(transformer.transform(X), 0, atol=1e-6)
    xr.testing.assert_allclose(transformer.inverse_transform(transformer.transform(X)), X)


@pytest.mark.parametrize("year", [365.2425, 365.25, "day of year", "decimal year"])
@pytest.mark.parametrize("step", [1, 5, 7])
def test_a_pure_annual_cycle_comes_back(year, step):
    time = pd.date_range("2001-01-01", "2006-12-31", freq=f"{step}D")
    day = np.arange(len(time)) * step
    if year == "day of year":
        position = time.day_of_year / 365.25
    elif year == "decimal year":
        position = (time.day_of_year - 1) / np.where(time.is_leap_year, 366, 365)
    else:
        position = day / year
    cycle = 20 * np.cos(2 * np.pi * np.asarray(position) + 0.3)
    X = xr.DataArray(cycle[:, None, None], dims=("time", "y", "x"), coords={"time": time})
    n = len(time) * 5 // 6
    found = Anomaly().fit(X[:n]).climatology(time)[:, 0, 0, 0]
    np.testing.assert_allclose(found[:n], cycle[:n], atol=0.01)
    np.testing.assert_allclose(found[n:], cycle[n:], atol=0.02)  # the year to come


def test_what_a_cell_never_shows_of_the_year_is_interpolated():
    X = make_series(1095, freq="D", shape=(1, 2))
    month = X.time.dt.month.values
    rng = np.random.default_rng(0)
    X[:] = (10 - np.cos(2 * np.pi * (X.time.dt.dayofyear.values - 15) / 365) + rng.normal(size=1095))[:, None, None]
    X.values[(month < 4) | (month > 10), 0, 0] = np.nan
    found = Anomaly().fit(X).climatology(X.indexes["time"])[:365, 0, 0]
    assert np.abs(found[:, 1] - 10).max() < 1.3
    assert np.abs(found[:, 0] - 10.5).max() < 1.3  # waves of the summer alone would be off by tens


def test_a_cycle_does_not_depend_on_the_blocks_it_is_read_in(monkeypatch):
    X = make_series(800, freq="D", shape=(2, 3))
    X.values[np.random.default_rng(0).random(X.shape) < 0.2] = np.nan
    X.values[:, 0, 0] = np.nan
    whole = Anomaly().fit(X).cycle_
    monkeypatch.setattr("gridcast.transformers.anomaly.BLOCK_VALUES", 100)
    np.testing.assert_allclose(Anomaly().fit(X).cycle_, whole, rtol=1e-6)
    assert np.isnan(whole[:, 0, 0, 0]).all()
    assert np.isfinite(whole[:, 0].reshape(7, -1)[:, 1:]).all()


def test_6_hourly_air_temperature(shared_data):
    air = xr.open_zarr(shared_data / "air_temperature.zarr", consolidated=False)["air"][:, ::6, ::13]
    transformer = Anomaly().fit(air)
    assert (transformer.period_, transformer.n_phases_) == ("year", 1460)
    anomaly = transformer.transform(air)
    assert isinstance(anomaly.data, da.Array)
    assert anomaly.attrs == of_any(air.attrs)
    assert abs(anomaly.mean("time")).max() < 0.05
    # The annual and the daily cycle are gone, so that no month and no hour stands out.
    assert (anomaly.std("time") < air.std("time")).all()
    for part in ("time.month", "time.hour"):
        left, raw = (x.groupby(part).mean().std(part.split(".")[1]) for x in (anomaly, air))
        assert (left < 0.5 * raw + 0.3).all()
    xr.testing.assert_allclose(transformer.inverse_transform(anomaly).compute(), air.compute(), rtol=1e-6)
    members = xr.concat([anomaly[:8], anomaly[:8] + 1], "member")
    np.testing.assert_allclose(transformer.inverse_transform(members)[1], air[:8] + 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"period": "week"}, r"period='week' must be \"auto\", \"year\", \"day\" or a number of steps"),
        ({"period": 0}, "period=0 must be"),
        ({"period": True}, "period=True must be"),
        ({"period": 21}, r"X has 20 steps, period=21 needs at least 21: give a longer series or a shorter period"),
        ({"period": "year"}, r"X has 20 steps, period='year' needs at least 365"),
        ({"n_harmonics": 2.5}, r"n_harmonics=2\.5 must be an integer of at least 0, or None"),
    ],
)
def test_bad_parameters_of_the_anomaly(parameters, message):
    X = make_series()
    transformer = Anomaly(period=5).fit(X)
    expected = transformer.transform(X)
    with pytest.raises(ValueError, match=message):
        transformer.set_params(**parameters).fit(X)
    xr.testing.assert_identical(transformer.transform(X), expected)


def test_a_year_needs_time_labels():
    with pytest.raises(ValueError, match=r"period='year' needs time labels: give the number of steps, period=12"):
        Anomaly(period="year").fit(make_series().values)


def test_samples_are_read_a_few_at_a_time(monkeypatch):
    steps, load = [], Series.load
    monkeypatch.setattr(Series, "load", lambda self, *of: steps.append(len(self.values)) or load(self, *of))
    monkeypatch.setattr("gridcast.transformers.anomaly.BLOCK_VALUES", 400)
    rng = np.random.default_rng(0)
    X = xr.DataArray(rng.normal(size=(20, 30, 2, 2)), dims=("sample", "time", "y", "x"))
    expected = Anomaly(period=3).fit(X).cycle_
    assert max(steps) <= 3
    found = Anomaly(period=3).fit(X.chunk(sample=5)).cycle_
    assert max(steps) == 5  # a chunk, which is read once
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(expected[:, 0], X.values.reshape(20, 10, 3, 2, 2).mean((0, 1)), atol=1e-5)


def test_a_field_upside_down_is_refused():
    X = make_series(30).assign_coords(lat=[10.0, 20.0, 30.0])
    transformer = Anomaly(period=3).fit(X)
    with pytest.raises(ValueError, match="other values in 'lat'"):
        transformer.transform(X[:, ::-1])


@pytest.mark.parametrize("chunks", [None, {"time": 4, "lat": 2}])
@pytest.mark.parametrize("n_harmonics", [None, 1])
def test_a_square_field_on_its_side_has_its_own_cycle(chunks, n_harmonics):
    X = make_series(30, shape=(3, 3))
    X = X if chunks is None else X.chunk(chunks)
    transformer = Anomaly(5, n_harmonics).fit(X)
    transposed = transformer.transform(X.transpose("time", "lon", "lat"))
    assert transposed.dims == ("time", "lon", "lat")
    xr.testing.assert_allclose(transposed.transpose(*X.dims), transformer.transform(X))
    with pytest.raises(ValueError, match=r"dimensions \('lat', 'x'\), the cycle was learned from \('lat', 'lon'\)"):
        transformer.transform(X.rename(lon="x"))


def test_a_channel_that_was_taken_out_is_refused():
    X = make_series(30, channels=["t", "q"])
    transformer = Anomaly(3).fit(X)
    with pytest.raises(ValueError, match=r"fields of \(1, 3, 4\), the cycle has \(2, 3, 4\): fit it on X"):
        transformer.transform(X.isel(variable=1))
    one = Anomaly(3).fit(X[:, :1])
    np.testing.assert_allclose(one.transform(X[:, 0]), one.transform(X[:, :1])[:, 0])


def test_other_units_than_those_of_the_cycle_are_told():
    X = make_series(30)
    transformer = Anomaly(3).fit(X)
    with pytest.warns(UserWarning, match="X is in 'degC' and the training series in 'K'") as told:
        transformer.transform(X.assign_attrs(units="degC"))
    assert told[0].filename == __file__
