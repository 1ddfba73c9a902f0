"""Backtests; what every forecaster does in one is in tests/forecasters/test_contract.py."""

import warnings

import numpy as np
import pytest
from seasonal import make_series, steps
from sklearn.pipeline import Pipeline

import gridcast as gc


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


def test_a_backtest_of_a_forecast_pipeline_is_in_physical_units(pipeline, series):
    table = gc.backtest(pipeline, series[48:], horizon=2, stride=3)
    assert table.dims == ("init_time", "lead_time", "lat", "lon")
    for i, stop in enumerate(range(48, 59, 3)):
        np.testing.assert_allclose(table[i], pipeline.predict(series[:stop], 2), rtol=1e-5)
    plain = Pipeline(steps()).fit(series[:48])
    assert abs(gc.backtest(plain, series[48:], horizon=2)).max() < 5
