"""The last observed value of a cell, however long ago."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import gridcast as gc


def make_series(n_times=300, chunked=False):
    values = np.random.default_rng(0).normal(size=(n_times, 2, 3)).cumsum(0).astype(np.float32)
    time = pd.date_range("2001-01-01", periods=n_times)
    X = xr.DataArray(values, dims=("time", "y", "x"), coords={"time": time})
    X[-12:, 0, 0] = np.nan
    X[50:, 0, 1] = np.nan
    X[:, 1, 2] = np.nan
    return X.chunk(time=7) if chunked else X


def last_observed(X):
    return X.ffill("time")[-1].values


@pytest.mark.parametrize("chunked", [False, True])
def test_persistence_is_the_last_observed_value(chunked):
    X = make_series(chunked=chunked)
    model = gc.NaiveForecaster().fit(X)
    np.testing.assert_array_equal(model.predict(2), [last_observed(X)] * 2)
    np.testing.assert_array_equal(model.predict(X[:200], 1)[0], last_observed(X[:200]))


@pytest.mark.parametrize("step", [1, 40])
def test_it_lasts_through_updates_and_a_saved_file(step, tmp_path):
    X = make_series()
    model = gc.NaiveForecaster().fit(X[:60])
    for start in range(60, 300, step):
        model.update(X[start : start + step])
    model.save(tmp_path / "m.gridcast")
    for forecaster in (model, gc.load(tmp_path / "m.gridcast")):
        np.testing.assert_array_equal(forecaster.predict(1)[0], last_observed(X))


def test_every_step_of_a_backtest_starts_from_it():
    X = make_series()
    model = gc.NaiveForecaster().fit(X[:100])
    forecast = gc.backtest(model, X[100:], horizon=1)
    expected = X.ffill("time").shift(time=1).sel(time=forecast.time.isel(lead_time=0))
    np.testing.assert_array_equal(forecast.isel(lead_time=0), expected)


def test_an_update_that_can_not_be_read_changes_nothing(monkeypatch):
    X = make_series()
    model = gc.NaiveForecaster().fit(X[:60])
    before, calendar = model.recent_, model.calendar_
    monkeypatch.setattr(type(before), "tail", lambda *_: (_ for _ in ()).throw(OSError("gone")))
    with pytest.raises(OSError, match="gone"):
        model.update(X[60:])
    assert model.recent_ is before
    assert model.calendar_ is calendar


@pytest.mark.parametrize("strategy", ["persistence", "climatology"])
def test_gaps_make_no_narrower_members(strategy):
    rng = np.random.default_rng(0)
    time = pd.date_range("2001-01-01", periods=400)
    whole = xr.DataArray(rng.normal(size=(400, 4, 4)), dims=("time", "y", "x"), coords={"time": time})
    gapped = whole.where(rng.random(whole.shape) > 0.7)
    spread = [
        float(
            gc.NaiveForecaster(strategy, random_state=0).fit(X).predict_samples(3, n_samples=200).std("member").mean()
        )
        for X in (whole, gapped)
    ]
    assert spread[1] == pytest.approx(spread[0], rel=0.1)


@pytest.mark.parametrize("freq", ["D", "MS", "6h"])
def test_a_history_without_times_is_at_no_part_of_a_cycle(freq):
    X = make_series(800)
    X = X.assign_coords(time=pd.date_range("2001-01-01", periods=800, freq=freq)).fillna(0)
    model = gc.NaiveForecaster("climatology", period="day" if freq == "6h" else "year").fit(X)
    with pytest.raises(ValueError, match=r"X.assign_coords\(time=...\)"):
        model.predict(X[-40:].drop_vars("time"), 2)
