"""Pipelines, of gridcast and of scikit-learn."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from seasonal import make_cnmm, make_series, steps
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline

import gridcast as gc


@pytest.fixture(scope="module")
def series():
    return make_series()


@pytest.fixture(scope="module")
def pipeline(series):
    return gc.ForecastPipeline(steps()).fit(series[:48])


def undone_by_hand(pipeline, forecast):
    return pipeline["anomaly"].inverse_transform(pipeline["scale"].inverse_transform(forecast))


def test_a_forecast_pipeline_undoes_every_step_in_reverse_order(pipeline, series):
    anomalies = pipeline["anomaly"].transform(series[:48])
    scaled = pipeline["scale"].transform(anomalies)
    naive = gc.NaiveForecaster().fit(scaled)
    forecast = pipeline.predict(5)
    xr.testing.assert_allclose(forecast, undone_by_hand(pipeline, naive.predict(5)))
    np.testing.assert_array_equal(forecast["time"], series["time"][48:53])
    assert forecast.attrs["units"] == "K"
    assert forecast.name == "t2m"
    # Persistence of the anomaly: the last anomaly on top of the cycle that goes on.
    cycle = pipeline["anomaly"].climatology(series.indexes["time"])[:, 0]
    np.testing.assert_allclose(forecast, cycle[48:53] + (series.values[47] - cycle[47]), rtol=1e-5)


def test_a_forecast_pipeline_has_both_call_forms_and_modes(pipeline, series):
    history = series[:48]
    xr.testing.assert_identical(pipeline.predict(history, 3), pipeline.predict(3))
    xr.testing.assert_identical(pipeline.predict(history, horizon=3), pipeline.predict(horizon=3))
    one_step = pipeline.predict(series, 3, mode="one_step")
    np.testing.assert_array_equal(one_step["time"], pd.date_range("2001-02-28", periods=3))
    xr.testing.assert_allclose(pipeline.predict(1), pipeline.predict(1, mode="one_step"))


def test_samples_and_quantiles_of_a_forecast_pipeline(pipeline):
    ensemble = pipeline.predict_samples(3, n_samples=30)
    assert ensemble.dims == ("member", "time", "lat", "lon")
    assert abs(ensemble.mean("member") - pipeline.predict(3)).max() < 3
    seeded = clone(pipeline).set_params(naive__random_state=0).fit(make_series()[:48])
    quantiles = seeded.predict_quantiles(3, q=(0.1, 0.9), n_samples=30)
    assert quantiles.dims == ("quantile", "time", "lat", "lon")
    expected = np.quantile(seeded.predict_samples(3, n_samples=30), (0.1, 0.9), axis=0)
    np.testing.assert_allclose(quantiles, expected, rtol=1e-5)
    with pytest.raises(ValueError, match="q=2 must be probabilities"):
        pipeline.predict_quantiles(3, q=2)


def test_land_in_a_forecast_pipeline(series):
    land = series.where(series["lon"] > 20)
    pipeline = gc.ForecastPipeline(steps()).fit(land[:48])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for forecast in (pipeline.predict(2), pipeline.predict_quantiles(2, n_samples=3)):
            np.testing.assert_array_equal(forecast.isnull(), np.broadcast_to(land[0].isnull(), forecast.shape))
        assert np.isfinite(pipeline.score(land[48:]))


def test_update_and_score_of_a_forecast_pipeline(pipeline, series):
    moved = pickle.loads(pickle.dumps(pipeline))
    assert moved.update(series[48:52]) is moved
    xr.testing.assert_allclose(moved.predict(3), pipeline.predict(series[:52], 3))
    forecast = pipeline.predict(series[:-1], horizon=12, mode="one_step")
    truth, before = series.values[48:], series.values[47:-1]
    expected = 1 - np.square(forecast.values - truth).mean() / np.square(before - truth).mean()
    assert pipeline.score(series[48:]) == pytest.approx(expected, abs=1e-4)
    assert expected > 0.5


def test_steps_that_pass_and_pipelines_of_one_step(series):
    alone = gc.ForecastPipeline([("naive", gc.NaiveForecaster())]).fit(series)
    xr.testing.assert_identical(alone.predict(2), gc.NaiveForecaster().fit(series).predict(2))
    assert gc.backtest(alone.fit(series[:48]), series[48:]).sizes["init_time"] == 12
    passing = gc.ForecastPipeline(steps()).set_params(scale="passthrough", anomaly=None).fit(series[:48])
    np.testing.assert_array_equal(passing.predict(2), [series[47]] * 2)
    assert passing.score(series[48:]) == 0


def test_a_forecast_pipeline_before_fit_and_with_bad_input(pipeline, series):
    unfitted = gc.ForecastPipeline(steps())
    for call in (lambda: unfitted.predict(2), lambda: unfitted.predict(series, 2), lambda: unfitted.update(series)):
        with pytest.raises(NotFittedError, match="is not fitted"):
            call()
    for horizon in (0, 2.5, True, "5"):
        with pytest.raises(TypeError, match=r"horizon=.*must be an integer of at least 1"):
            pipeline.predict(horizon)
        with pytest.raises(TypeError, match=r"horizon=.*must be an integer of at least 1"):
            pipeline.predict(series, horizon=horizon)
    with pytest.raises(ValueError, match=r"mode='now' is unknown"):
        pipeline.predict(3, mode="now")
    with pytest.raises(ValueError, match=r"update needs the steps that follow"):
        pickle.loads(pickle.dumps(pipeline)).update(series[50:])


def test_a_plain_pipeline_forecasts_and_scores(series):
    plain = Pipeline([("scale", gc.MinMaxTransformer()), ("cnmm", make_cnmm())]).fit(series[:48])
    assert plain.predict(series[:48], horizon=12).sizes["time"] == 12
    assert np.isfinite(plain.score(series[48:]))
    for step in (gc.MinMaxTransformer(), gc.Anomaly()):
        with pytest.raises(TypeError, match=r"X is the number 12.*predict\(X, horizon=12\)"):
            step.fit(series).transform(12)
