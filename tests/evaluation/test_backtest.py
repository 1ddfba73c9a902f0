"""Backtests; what every forecaster does in one is in tests/forecasters/test_contract.py."""

import warnings

import numpy as np
import pytest
import xarray as xr
from archives import lazy
from seasonal import make_series, steps
from sklearn.pipeline import Pipeline
from small import small

import gridcast as gc
from gridcast.evaluation.backtest import roll
from gridcast.forecasters import scaled


@pytest.fixture(scope="module")
def series():
    return make_series()


def test_a_backtest_or_score_on_training_steps_warns(series):
    for estimator in (gc.NaiveForecaster(), gc.ForecastPipeline(steps()), Pipeline(steps())):
        estimator.fit(series[:40])
        for call in (
            estimator.score,
            lambda X, e=estimator: gc.make_scorer("mse")(e, X),
            lambda X, e=estimator: gc.backtest(e, X),
        ):
            with pytest.warns(UserWarning, match="shares steps with the training series"):
                call(series[35:])
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                call(series[40:])


@pytest.fixture(scope="module")
def pipeline(series):
    return gc.ForecastPipeline(steps()).fit(series[:48])


@pytest.fixture(scope="module", params=["persistence", "cnmm", "convlstm", "pipeline"])
def model(request):
    """Return a forecaster fitted on the first 40 steps of `long`."""
    made = {"persistence": gc.NaiveForecaster(), "pipeline": gc.ForecastPipeline(steps())}
    return (made.get(request.param) or small(request.param)).fit(make_series()[:40])


@pytest.mark.parametrize("mode", ["multi_step", "one_step"])
@pytest.mark.parametrize("first", [40, 41], ids=["goes on", "elsewhere"])
def test_a_backtest_reads_every_step_once_and_a_score_twice(model, mode, first, monkeypatch):
    monkeypatch.setattr(scaled, "BATCH_BYTES", 4 * 64 * 4 * 6 * 20 * 3)  # of 20 leads, three origins a batch
    series = make_series(90)[first:]
    chunked, archive = lazy(series, 1)
    table = gc.backtest(model, chunked, horizon=20, mode=mode)
    assert archive.n_reads <= len(series)
    xr.testing.assert_identical(table, gc.backtest(model, series, horizon=20, mode=mode))
    for metric in ("skill", "mae"):
        archive.n_reads = 0
        scorer = gc.make_scorer(metric, horizon=20, mode=mode)
        assert scorer(model, chunked) == pytest.approx(scorer(model, series))
        assert archive.n_reads <= 2 * len(series)


def test_what_is_observed_and_persisted_stands_beside_its_forecast(model):
    series = make_series(60)
    for mode in ("multi_step", "one_step"):
        rolled = roll(model, series[40:], 3, mode, 2, None)
        forecast, (observed, persistence) = rolled.forecast(), rolled.observations()
        known = forecast["time"].shift(lead_time=1).fillna(forecast["init_time"])
        known = known if mode == "one_step" else forecast["init_time"].broadcast_like(forecast["time"])
        for found, times in ((observed, forecast["time"]), (persistence, known)):
            assert found.sizes == forecast.sizes
            np.testing.assert_allclose(found, series.sel(time=times.drop_vars("time", errors="ignore")), rtol=1e-5)
            xr.testing.assert_equal(found["time"], forecast["time"])


def test_a_backtest_of_a_forecast_pipeline_is_in_physical_units(pipeline, series):
    table = gc.backtest(pipeline, series[48:], horizon=2, stride=3)
    assert table.dims == ("init_time", "lead_time", "lat", "lon")
    for i, stop in enumerate(range(48, 59, 3)):
        np.testing.assert_allclose(table[i], pipeline.predict(series[:stop], 2), rtol=1e-5)
    plain = Pipeline(steps()).fit(series[:48])
    assert abs(gc.backtest(plain, series[48:], horizon=2)).max() < 5


def test_forecasts_that_no_memory_holds_are_refused(monkeypatch):
    monkeypatch.setattr("gridcast.forecasters.horizon.FORECAST_LIMIT", 1000)
    series = np.random.default_rng(0).normal(size=(60, 4, 4))
    with pytest.raises(ValueError, match=r"from fewer origins, stride=20, or of a region"):
        gc.backtest(gc.NaiveForecaster().fit(series[:40]), series, 2, stride=2)
