"""The linear inverse model as a user has it."""

import numpy as np
import pytest
import xarray as xr
from every import N_TRAIN, make_series, with_gaps
from linear_processes import linear_field
from small import small

import gridcast as gc
from gridcast.forecasters import inverse_model
from gridcast.training.data import TrainingData


def test_mean_and_spread_of_a_linear_process_are_the_exact_ones():
    series = linear_field(2000)
    model = gc.LinearForecaster(climatology="mean", random_state=0).fit(series)
    for lead in (1, 3, 10):
        variance = 0.25 * sum(0.8 ** (2 * k) for k in range(lead))
        forecast = gc.backtest(model, linear_field(300, seed=1), lead)[:, -1]
        truth = linear_field(300, seed=1)[-len(forecast) :]
        assert np.square(forecast.values - truth).mean() == pytest.approx(variance, rel=0.08)
        spread = model.predict_samples(lead, n_samples=200).isel(time=-1).std("member")
        assert float(np.square(spread).mean()) == pytest.approx(variance, rel=0.15)


def test_its_ensemble_is_as_good_as_a_gaussian_of_the_true_error():
    model = gc.LinearForecaster(climatology="mean", random_state=0).fit(linear_field(1500))
    test = linear_field(200, seed=2)
    ensemble = gc.backtest(model, test, 5, stride=5, n_samples=50)
    test = xr.DataArray(test, dims=("time", "y", "x"))
    observed = test.isel(
        time=xr.DataArray(ensemble.init_time.values[:, None] + np.arange(1, 6), dims=("init_time", "lead_time"))
    )
    crps = gc.metrics.crps(ensemble, observed, dim=["init_time", "y", "x"], weights=None)
    for lead in range(1, 6):
        sd = 0.5 * np.sqrt(sum(0.8 ** (2 * k) for k in range(lead)))
        assert float(crps[lead - 1]) == pytest.approx(sd / np.sqrt(np.pi), rel=0.08)  # of a Gaussian that is right


def test_the_convolutional_model_shows_the_linear_one_that_it_starts_from():
    series = make_series()
    train = series[:N_TRAIN]
    untrained = small("cnmm", max_steps=1, learning_rate=1e-9, observation_noise=0.0).fit(train)
    linear = untrained.linear_
    assert isinstance(linear, gc.LinearForecaster)
    assert linear.lags == untrained.lags
    assert linear.predict(3).dims == series.dims
    error, apart = (
        float(np.square(untrained.predict(2) - other).mean()) for other in (series[:2].values, linear.predict(2))
    )
    assert apart < 0.1 * error
    xr.testing.assert_identical(linear.update(series[N_TRAIN:]).predict(2)["time"], linear.predict(2)["time"])
    assert untrained.recent_.times[-1] == train.indexes["time"][-1]  # the other forecaster is left alone
    with pytest.raises(AttributeError, match="architecture='paper' has no linear model"):
        _ = small("cnmm", architecture="paper").fit(train).linear_


def test_the_linear_part_of_a_model_of_patches_is_saved(tmp_path):
    linear = small("cnmm", max_steps=1, patch_size=4).fit(make_series()[:N_TRAIN]).linear_
    assert linear.patterns == linear.module_.linear.n_patterns == 0
    linear.save(tmp_path / "linear")
    xr.testing.assert_identical(gc.load(tmp_path / "linear", device="cpu").predict(3), linear.predict(3))


def test_a_short_series_without_hindcasts_is_forecast_all_the_same():
    model = gc.LinearForecaster(lags=2, context=4, climatology="mean", random_state=0).fit(make_series(5))
    assert np.isfinite(model.predict_samples(3, n_samples=3)).all()


def test_channels_and_samples_and_gaps():
    series = with_gaps(make_series(40))
    pair = xr.concat([series, series + 5], "level").transpose("time", "level", ...)
    model = gc.LinearForecaster(lags=2, context=4, random_state=0).fit(pair[:30])
    forecast = model.predict(pair[:30], 2)
    assert forecast.dims == ("time", "level", "lat", "lon")
    assert (forecast.isnull() == pair[0].isnull().all()).all() or forecast.isnull().any()
    many = make_series(20, lead=(12,))
    assert gc.LinearForecaster(lags=2, context=4).fit(many[:10]).predict(many[10:], 2).sizes["sample"] == 2


@pytest.mark.parametrize("name", ["linear", "cnmm"])
def test_many_channels_are_fitted_apart(name, monkeypatch):
    three = xr.concat([make_series(40)] * 3, "level").transpose("time", "level", ...)
    monkeypatch.setattr("gridcast.forecasters.inverse_model.MOST_TOGETHER", 4)
    model = small(name, lags=2, **({} if name == "linear" else {"max_steps": 1})).fit(three)
    linear = model.module_.linear if name == "linear" else model.module_.layout.linear
    assert linear.n_groups == 3
    assert small("linear", lags=1).fit(three).module_.linear.n_groups == 1
    assert model.predict(2).sizes["level"] == 3


@pytest.mark.parametrize(("most", "tried"), [(10**9, 4), (0, 1)])
def test_each_quarter_is_forecast_but_of_a_large_series_the_last_alone(monkeypatch, most, tried):
    folds, divided = [], TrainingData.divided
    monkeypatch.setattr(inverse_model, "ALL_SEASONS", most)
    monkeypatch.setattr(TrainingData, "divided", lambda self, *fold: (folds.append(fold), divided(self, *fold))[1])
    gc.LinearForecaster(climatology="mean", horizon=3, random_state=0).fit(linear_field(400))
    assert len(folds) == tried
    assert folds[0] == (0.75, 1.0)
    assert sum(end - begin for begin, end in folds) == tried / 4
