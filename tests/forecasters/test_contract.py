"""The contract that every forecaster keeps: forecasts, updates, scores, scikit-learn's expectations."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from every import N_TEST, N_TRAIN, SHAPE, every_estimator, make_estimators, make_series, with_gaps
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import gridcast as gc
from gridcast.data.recalibration import Recalibration

# Both call forms, both modes


def test_fit_returns_self_and_predict_takes_a_horizon_or_a_history(fitted):
    estimator, train = fitted.estimator, fitted.train
    assert clone(estimator).fit(train).predict(2).sizes["time"] == 2
    forecast = estimator.predict(3)
    for other in (
        estimator.predict(horizon=3),
        estimator.predict(np.int64(3)),
        estimator.predict(train, 3),
        estimator.predict(train, horizon=3),
        estimator.predict(X=train, horizon=3, mode="multi_step"),
        estimator.predict(train[-20:], horizon=3),
    ):
        xr.testing.assert_identical(other, forecast)
    assert estimator.predict().sizes["time"] == 1


def test_a_forecast_has_the_labels_of_the_series_and_continues_its_calendar(fitted):
    forecast = fitted.estimator.predict(5)
    expected = fitted.series[N_TRAIN : N_TRAIN + 5]
    xr.testing.assert_identical(forecast.copy(data=expected.values), expected)
    assert forecast.dtype == np.float32
    assert np.isfinite(forecast).all()
    later = fitted.estimator.predict(fitted.series[:55], 5)
    assert (later["time"] == fitted.series["time"][55:60]).all()


def test_one_step_forecasts_the_latest_steps_each_from_what_was_observed_before_it(fitted):
    estimator, series = fitted.estimator, fitted.series
    forecast = estimator.predict(series[:55], horizon=4, mode="one_step")
    np.testing.assert_array_equal(forecast["time"], series["time"][52:56])
    alone = [estimator.predict(series[:stop]) for stop in range(52, 56)]
    np.testing.assert_allclose(forecast, xr.concat(alone, "time"), rtol=1e-5)
    kept = estimator.predict(4, mode="one_step")
    np.testing.assert_allclose(kept, estimator.predict(fitted.train, 4, mode="one_step"), rtol=1e-6)
    np.testing.assert_array_equal(kept["time"], series["time"][N_TRAIN - 3 : N_TRAIN + 1])


def test_the_modes_agree_at_horizon_one(fitted):
    multi, one = (fitted.estimator.predict(1, mode=mode) for mode in ("multi_step", "one_step"))
    xr.testing.assert_identical(multi, one)


def test_later_observations_do_not_change_earlier_one_step_forecasts(fitted):
    changed = fitted.series[:55].copy(deep=True)
    changed[54] += 100
    before = fitted.estimator.predict(fitted.series[:55], 3, mode="one_step")
    after = fitted.estimator.predict(changed, 3, mode="one_step")
    np.testing.assert_allclose(after[:2], before[:2], rtol=1e-6)
    if fitted.name not in ("climatology", "seasonal"):
        assert (after[2] != before[2]).any()


# Ensembles


def test_samples(fitted):
    estimator = fitted.estimator
    ensemble = estimator.predict_samples(3, n_samples=60)
    assert ensemble.dims == ("member", "time", "lat", "lon")
    assert ensemble["member"].values.tolist() == list(range(60))
    assert ensemble.name == "t2m"
    assert ensemble.attrs["units"] == "K"
    mean = estimator.predict(3)
    xr.testing.assert_identical(ensemble[0].drop_vars("member").copy(data=mean.values), mean)
    spread = ensemble.std("member")
    assert (spread > 0).all()
    assert abs(ensemble.mean("member") - mean).mean() < 0.5 * spread.mean()
    one_step = estimator.predict_samples(fitted.series, 3, mode="one_step", n_samples=2)
    assert one_step.shape == (2, 3, *SHAPE)
    assert estimator.predict_samples(n_samples=1).shape == (1, 1, *SHAPE)


def test_quantiles(fitted):
    q = (0.1, 0.5, 0.9)
    quantiles = fitted.estimator.predict_quantiles(3, q=q, n_samples=50)
    assert quantiles.dims == ("quantile", "time", "lat", "lon")
    assert tuple(quantiles["quantile"].values) == q
    assert quantiles.attrs["units"] == "K"
    assert (quantiles.diff("quantile") >= 0).all()
    assert (quantiles[2] > quantiles[0]).all()
    ensemble = fitted.estimator.predict_samples(3, n_samples=50)
    # of the levels that held-out forecasts ask for; the k-th of M members stands for k / (M + 1)
    estimator = fitted.copy()
    estimator.recalibration_ = Recalibration.identity(1)
    plain = estimator.predict_quantiles(3, q=q, n_samples=50)
    np.testing.assert_allclose(plain, np.quantile(ensemble, q, axis=0, method="weibull"), rtol=1e-5)
    assert fitted.estimator.predict_quantiles(fitted.train, 1, q=0.5, n_samples=2).sizes["quantile"] == 1


def test_random_state_makes_samples_reproducible(fitted):
    first, again = (fitted.estimator.predict_samples(2, n_samples=3) for _ in range(2))
    xr.testing.assert_identical(first, again)
    free = fitted.copy().set_params(random_state=None)
    assert (free.predict_samples(2, n_samples=3) != free.predict_samples(2, n_samples=3)).any()
    drawn = fitted.copy().set_params(random_state=np.random.RandomState(0))
    assert (drawn.predict_samples(2, n_samples=3) != drawn.predict_samples(2, n_samples=3)).any()


# Updates


def test_update_moves_the_origin(fitted):
    estimator = fitted.copy()
    for start in range(N_TRAIN, N_TRAIN + N_TEST, 4):
        assert estimator.update(fitted.series[start : start + 4]) is estimator
        history = fitted.series[: start + 4]
        xr.testing.assert_identical(estimator.predict(3), fitted.estimator.predict(history, 3))
    np.testing.assert_array_equal(estimator.predict(1)["time"], pd.date_range("2001-03-02", periods=1))


def test_update_by_single_steps_and_by_many_at_once_agree(fitted):
    long = make_series(150)
    at_once = fitted.copy().update(long[N_TRAIN:])
    by_step = fitted.copy()
    for step in range(N_TRAIN, 150):
        by_step.update(long[step : step + 1])
    xr.testing.assert_identical(at_once.predict(2), by_step.predict(2))
    xr.testing.assert_identical(at_once.predict(5, mode="one_step"), by_step.predict(5, mode="one_step"))


@pytest.mark.parametrize("start", [N_TRAIN + 1, N_TRAIN - 1, 0])
def test_an_update_with_a_gap_or_overlap_raises_and_keeps_the_origin(fitted, start):
    estimator = fitted.copy()
    with pytest.raises(ValueError, match=r"X begins at .*last observed step is 2001-02-17.*without a gap"):
        estimator.update(fitted.series[start : start + 5])
    xr.testing.assert_identical(estimator.predict(2), fitted.estimator.predict(2))


# Scores


def skill(forecast, truth, persistence):
    forecast, truth, persistence = (np.asarray(a, dtype=float) for a in (forecast, truth, persistence))
    return 1 - np.square(forecast - truth).mean() / np.square(persistence - truth).mean()


def test_score_is_the_one_step_skill_over_all_of_x_where_it_follows(fitted):
    series, n = fitted.series, N_TEST
    forecast = fitted.estimator.predict(series[:-1], horizon=n, mode="one_step")
    expected = skill(forecast, series[-n:], series[-n - 1 : -1])
    assert fitted.estimator.score(fitted.test) == pytest.approx(expected, abs=1e-5)


def test_score_is_taken_from_the_context_on_where_x_does_not_follow(fitted):
    later = make_series(N_TRAIN + 30)[N_TRAIN + 5 :]
    n = len(later) - fitted.n_context
    forecast = fitted.estimator.predict(later[:-1], horizon=n, mode="one_step")
    expected = skill(forecast, later[-n:], later[-n - 1 : -1])
    assert fitted.estimator.score(later) == pytest.approx(expected, abs=1e-5)


def test_a_training_series_that_is_shorter_than_the_context_is_named():
    series = make_series(12)
    model = gc.LinearForecaster(lags=2, context=10).fit(series[:8])
    with pytest.raises(ValueError, match=r"8 steps, .* needs at least 10 .*, or fit with a smaller context"):
        model.predict(2)
    message = r"4 steps and follows a training series of only 8: .* at least 11 are needed, or fit with a smaller"
    with pytest.raises(ValueError, match=message):
        model.score(series[8:])
    model.set_params(context=8).fit(series[:8]).predict(2)
    assert np.isfinite(model.score(series[8:]))


def test_score_does_not_move_the_origin_and_ignores_y(fitted):
    before = fitted.estimator.predict(2)
    score = fitted.estimator.score(fitted.test, None)
    assert isinstance(score, float)
    xr.testing.assert_identical(fitted.estimator.predict(2), before)


def test_score_of_persistence_is_zero():
    series = with_gaps(make_series())
    estimator = gc.NaiveForecaster().fit(series[:N_TRAIN])
    assert estimator.score(series[N_TRAIN:]) == 0.0
    assert estimator.score(series[N_TRAIN + 3 :]) == 0.0


def test_score_is_nan_where_persistence_is_perfect():
    series = xr.zeros_like(make_series(20))
    assert np.isnan(gc.NaiveForecaster().fit(series[:10]).score(series[10:]))


def test_score_warns_on_steps_that_the_model_was_trained_on(fitted):
    with pytest.warns(UserWarning, match=r"2001-02-1.*shares steps with the training series.*WindowSplitter"):
        fitted.estimator.score(fitted.series[N_TRAIN - 8 :])


# scikit-learn


@every_estimator
def test_clone_and_parameters(name):
    estimator = make_estimators()[name]
    parameters = estimator.get_params()
    copy = clone(estimator)
    assert copy is not estimator
    assert {k: repr(v) for k, v in copy.get_params().items()} == {k: repr(v) for k, v in parameters.items()}
    assert estimator.set_params(random_state=7) is estimator
    assert estimator.random_state == 7
    assert copy.random_state == 0
    with pytest.raises(ValueError, match="has no parameter 'windoww'"):
        estimator.set_params(windoww=3)


@pytest.mark.parametrize("name", ["convlstm", "dmm", "cnmm"])
def test_a_nested_parameter_does_not_leak_into_other_estimators(name):
    first, second = make_estimators()[name], make_estimators()[name]
    copy = clone(first)
    first.set_params(transformer__data_range=(0, 1000))
    assert first.get_params()["transformer__data_range"] == (0, 1000)
    for other in (second, copy, make_estimators()[name], *make_estimators().values()):
        assert other.get_params().get("transformer__data_range") is None
    first.fit(make_series(20))
    assert first.transformer_.data_max_ == 1000
    assert not hasattr(first.transformer, "data_max_")


@every_estimator
def test_representations(name):
    estimator = make_estimators()[name]
    assert type(estimator).__name__ in repr(estimator)
    assert "random_state=0" in repr(estimator)
    assert type(estimator).__name__ in estimator._repr_html_()
    assert type(estimator).__name__ in estimator.fit(make_series(20))._repr_html_()


@every_estimator
def test_everything_but_fit_asks_for_a_fit(name):
    series = make_series(20)
    estimator = make_estimators()[name]
    for call in (
        lambda: estimator.predict(2),
        lambda: estimator.predict(series, 2),
        lambda: estimator.predict_samples(2),
        lambda: estimator.predict_quantiles(2),
        lambda: estimator.calibrate(series),
        lambda: estimator.update(series),
        lambda: estimator.score(series),
        lambda: gc.backtest(estimator, series),
    ):
        with pytest.raises(NotFittedError, match=rf"{type(estimator).__name__} instance is not fitted.*'fit'"):
            call()


@every_estimator
def test_fit_twice_gives_the_same_result_and_forgets(name):
    series, other = make_series(), make_series(30, (4, 8), seed=9)
    estimator = make_estimators()[name].fit(series[:N_TRAIN])
    expected = estimator.predict_samples(3, n_samples=2)
    estimator.extra_ = "of an earlier fit"
    assert estimator.fit(other).predict(2).shape == (2, 4, 8)
    assert not hasattr(estimator, "extra_")
    xr.testing.assert_identical(estimator.fit(series[:N_TRAIN]).predict_samples(3, n_samples=2), expected)
    xr.testing.assert_identical(make_estimators()[name].fit(series[:N_TRAIN]).predict_samples(3, n_samples=2), expected)


@pytest.mark.parametrize("name", ["convlstm", "dmm", "cnmm"])
def test_another_random_state_trains_another_model(name):
    series = make_series(20)
    first, second = (make_estimators()[name].set_params(random_state=s).fit(series) for s in (0, 1))
    assert (first.predict_samples(2, n_samples=1) != second.predict_samples(2, n_samples=1)).any()


def test_pickle(fitted):
    xr.testing.assert_identical(fitted.copy().predict(3), fitted.estimator.predict(3))
    copy = fitted.copy().update(fitted.test)
    xr.testing.assert_identical(copy.predict(3), fitted.estimator.predict(fitted.series, 3))


def test_a_failing_fit_keeps_the_earlier_one(fitted):
    estimator, expected = fitted.copy(), fitted.estimator.predict(3)
    infinite = fitted.series.copy(deep=True)
    infinite[-1, 0, 0] = np.inf
    gap = fitted.series.isel(time=[*range(20), *range(21, 60)])
    for bad, error in (
        (infinite, ValueError),
        (gap, ValueError),
        (xr.full_like(fitted.series, np.nan), ValueError),
        (fitted.series.to_dataset(), TypeError),
    ):
        with pytest.raises(error, match="X"):
            estimator.fit(bad)
        xr.testing.assert_identical(estimator.predict(3), expected)


# Backtests


@pytest.mark.parametrize("mode", ["multi_step", "one_step"])
def test_a_backtest_holds_the_forecast_of_each_origin(fitted, mode):
    estimator, series, horizon = fitted.estimator, fitted.series, 3
    table = gc.backtest(estimator, fitted.test, horizon=horizon, mode=mode, stride=2)
    assert table.dims == ("init_time", "lead_time", "lat", "lon")
    assert table["lead_time"].values.tolist() == [1, 2, 3]
    origins = np.arange(N_TRAIN - 1, len(series) - horizon, 2)
    np.testing.assert_array_equal(table["init_time"], series["time"][origins])
    assert table.name == "t2m"
    assert table.attrs["units"] == "K"
    for i, origin in enumerate(origins):
        if mode == "multi_step":
            expected = estimator.predict(series[: origin + 1], horizon)
        else:
            expected = estimator.predict(series[: origin + horizon], horizon, mode="one_step")
        np.testing.assert_allclose(table[i], expected, rtol=1e-5)
        np.testing.assert_array_equal(table["time"][i], expected["time"])


def test_a_backtest_elsewhere_starts_behind_its_context(fitted):
    later = make_series(N_TRAIN + 30)[N_TRAIN + 5 :]
    table = gc.backtest(fitted.estimator, later, horizon=2)
    first = fitted.n_context - 1
    np.testing.assert_array_equal(table["init_time"], later["time"][first:-2])
    expected = fitted.estimator.predict(later[: first + 1], 2)
    np.testing.assert_allclose(table[0], expected, rtol=1e-5)


def test_a_backtest_of_an_ensemble(fitted):
    ensemble = gc.backtest(fitted.estimator, fitted.test, horizon=3, stride=4, n_samples=2)
    assert ensemble.dims == ("member", "init_time", "lead_time", "lat", "lon")
    assert np.isfinite(ensemble).all()
    assert (ensemble[0] != ensemble[1]).any()


# What the neural forecasters share


def test_training_leaves_a_record(fitted_neural):
    estimator = fitted_neural.estimator
    assert [record["epoch"] for record in estimator.history_] == [0]
    assert np.isfinite(list(estimator.history_[0].values())).all()
    assert {"loss", "gradient_norm", "validation_error", "seconds"} <= set(estimator.history_[0])
    assert estimator.n_parameters_ == sum(p.numel() for p in estimator.module_.parameters()) > 0


def test_the_transformer_is_cloned_and_learns_from_the_training_series_alone(fitted_neural):
    estimator, train = fitted_neural.estimator, fitted_neural.train
    assert not hasattr(estimator.transformer, "data_min_")
    assert estimator.transformer_.data_min_ == float(train.min())
    assert estimator.transformer_.data_max_ == float(train.max())


@pytest.mark.parametrize("name", ["convlstm", "dmm", "cnmm"])
@pytest.mark.parametrize("bounded", [True, False])
def test_rain_stays_non_negative(name, bounded):
    series = (make_series() - 285).clip(min=0)
    estimator = make_estimators()[name].set_params(bounded=bounded).fit(series)
    lowest = estimator.predict_samples(3, n_samples=10).min()
    assert lowest == 0 if bounded else lowest < 0
    assert estimator.predict(3).min() >= 0 or not bounded
