"""Forecasts of a history with gaps, by a model that has learned from a series without."""

import numpy as np
import pytest
import xarray as xr
from every import N_TRAIN, make_estimators, make_series

import gridcast as gc
from gridcast.training.engine import seeded

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


@pytest.fixture(scope="module")
def sea():
    """Fields of which a corner is land."""
    series = make_series(N_TRAIN + 30)
    return series.where((series.lon > series.lon[1]) | (series.lat < series.lat[1]))


@pytest.mark.parametrize("name", ["linear", "convlstm", "dmm", "cnmm"])
def test_origins_without_gaps_are_forecast_as_if_there_were_none(name, sea):
    model, later = make_estimators()[name].fit(sea[:N_TRAIN]), sea[N_TRAIN:]
    gapped = later.copy()
    gapped[20:22, 4:] = np.nan
    found, whole = gc.backtest(model, gapped, 1), gc.backtest(model, later, 1)
    xr.testing.assert_allclose(found[:20], whole[:20], rtol=1e-5)
    assert not np.allclose(found[21], whole[21], atol=1e-3, equal_nan=True)
    assert (found.isnull() == sea.isnull().all("time")).all()


def test_land_is_not_taken_for_seen(monkeypatch, sea):
    model, seen = make_estimators()["linear"].fit(sea[:N_TRAIN]), []
    forecasts = type(model.module_).forecasts

    def looking(self, contexts, *args):
        seen.append(contexts.mask.numpy())
        return forecasts(self, contexts, *args)

    monkeypatch.setattr(type(model.module_), "forecasts", looking)
    gapped = sea[: N_TRAIN + 10].copy()
    gapped[-1, 4:] = np.nan
    model.predict_samples(gapped, 1, n_samples=3)
    land = sea.isnull().all("time").values
    assert (seen[-1] == ~land).all()


def test_rain_that_is_drawn_is_none_or_more():
    rain = gc.datasets.make_precipitation(N_TRAIN, shape=(8, 12), random_state=0)
    model = make_estimators()["cnmm"].fit(rain)
    gapped = rain.copy()
    gapped[-3:, 2:6] = np.nan
    context = rain.get_index("time")[-model.context :]
    with seeded(0):
        drawn, _ = next(model._analysed(model._check_history(gapped), np.array([N_TRAIN - 1]), model.context, [4]))
    assert (drawn >= model.scaling_.bounds([context])[0][:, 0] - 1e-6).all()


def test_covariates_of_the_past_correct_what_the_gaps_were_estimated_to_be(linear_train, linear_later):
    index = xr.concat([linear_train, linear_later], "time").mean(("y", "x")).shift(time=-1).dropna("time")
    model = gc.LinearForecaster(climatology="mean", lags=2, context=6, random_state=0)
    model.fit(linear_train[:400], past_covariates=index[:400])
    gapped = linear_train[:450].copy()
    gapped[-2:, 4:] = np.nan
    mean = model.predict(gapped, 2, past_covariates=index[:450])
    members = model.predict_samples(gapped, 2, n_samples=300, past_covariates=index[:450])
    np.testing.assert_allclose(members.mean("member"), mean, atol=0.25)
