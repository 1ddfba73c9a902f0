"""Horizons: steps and durations."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import gridcast as gc
from gridcast.forecasters import horizon as horizon_module


def fitted(freq="6h"):
    time = pd.date_range("2001-01-01", periods=40, freq=freq)
    values = np.random.default_rng(0).normal(size=(40, 2, 3))
    return gc.NaiveForecaster(random_state=0).fit(xr.DataArray(values, dims=("time", "y", "x"), coords={"time": time}))


@pytest.mark.parametrize("horizon", [np.timedelta64(1, "D"), pd.Timedelta("1D"), np.array(4), np.int64(4)])
def test_a_duration_is_its_number_of_steps(horizon):
    model = fitted()
    xr.testing.assert_identical(model.predict(horizon), model.predict(4))
    assert model.predict_samples(horizon, n_samples=2).sizes["time"] == 4
    pipeline = gc.ForecastPipeline([("naive", model)])
    assert pipeline.predict(horizon).sizes["time"] == 4


@pytest.mark.parametrize(
    ("freq", "horizon", "message"),
    [
        ("6h", pd.Timedelta("7h"), "horizon=0 days 07:00:00 is 1.16667 steps of 6 hours: .*horizon=1$"),
        ("6h", pd.Timedelta("1h"), "give a whole number of steps, horizon=1$"),
        ("6h", pd.Timedelta("-1D"), "give a whole number of steps, horizon=1$"),
        ("MS", pd.Timedelta("31D"), "a step of X, 1 month, is not always as long: give the number of steps"),
        ("6h", np.array(2.5), "horizon=.*2.5.* must be an integer of at least 1"),
        ("6h", 10**9, "horizon=1000000000 make a forecast of 22 GiB, more than 8: forecast fewer steps at a time"),
    ],
)
def test_another_horizon_is_refused_by_name(freq, horizon, message):
    with pytest.raises(ValueError, match=message):
        fitted(freq).predict(horizon)


def test_members_count_in_the_size_of_a_forecast(monkeypatch):
    monkeypatch.setattr(horizon_module, "FORECAST_LIMIT", 4 * 6 * 2 * 10)
    model = fitted()
    model.predict_samples(2, n_samples=10)
    with pytest.raises(ValueError, match=r"horizon=2 and n_samples=11 make .* fewer steps or members"):
        model.predict_samples(2, n_samples=11)


def test_the_size_of_a_forecast_is_that_of_the_samples_given(monkeypatch):
    rng = np.random.default_rng(0)
    series = xr.DataArray(rng.normal(size=(40, 12, 4, 4)), dims=("sample", "time", "y", "x"))
    model = gc.NaiveForecaster().fit(series)
    monkeypatch.setattr("gridcast.forecasters.horizon.FORECAST_LIMIT", 4 * 16 * 100)
    assert model.predict(series[:2], 50).sizes["time"] == 50
    with pytest.raises(ValueError, match="more than"):
        model.predict(series, 50)
