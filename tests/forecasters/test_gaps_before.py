"""Forecasts of a history with gaps, by a model that has learned from a series without."""

import numpy as np
import pytest
import xarray as xr

import gridcast as gc

WEIGHT, NOISE = 0.8, 0.5


@pytest.fixture
def gapped(linear_later):
    """Two whole steps at the end are not observed."""
    series = linear_later.copy()
    series[-2:] = np.nan
    return series


def test_missing_steps_are_forecast_themselves(linear_model, linear_later, gapped):
    found, before = linear_model.predict(gapped, 3), linear_model.predict(linear_later[:-2], 5)
    xr.testing.assert_allclose(found, before[2:], atol=0.05)


@pytest.mark.parametrize("mode", ["multi_step", "one_step"])
def test_members_are_wider_by_what_is_not_known(linear_model, gapped, mode):
    members = linear_model.predict_samples(gapped, 1, mode, n_samples=150)
    expected = NOISE * np.sqrt(1 + WEIGHT**2 + WEIGHT**4)
    assert float(members.std("member").mean()) == pytest.approx(expected, rel=0.1)


def test_a_backtest_starts_from_the_gaps_as_a_forecast_does(linear_model, linear_later):
    series = linear_later[:20].copy()
    series[12:14] = np.nan
    found = gc.backtest(linear_model, series, 2)
    expected = linear_model.predict(series[:14], 2)
    np.testing.assert_allclose(found.sel(init_time=series.time[13]).values, expected.values, atol=0.03)
    untouched = gc.backtest(linear_model, linear_later[:20], 2)
    xr.testing.assert_allclose(found[:2], untouched[:2], atol=1e-3)


def test_what_learned_from_gaps_keeps_its_way_with_them(linear_train, linear_later, gapped):
    rng = np.random.default_rng(0)
    train = linear_train[:300].where(xr.DataArray(rng.random((300, 8, 12)) < 0.9, dims=linear_train.dims))
    model = gc.LinearForecaster(climatology="mean", lags=2, context=6, random_state=0).fit(train)
    held = linear_later.ffill("time")
    held[-2:] = held[-3].values
    xr.testing.assert_allclose(model.predict(gapped, 1), model.predict(held, 1), atol=1e-3)
