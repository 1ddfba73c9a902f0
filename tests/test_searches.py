"""Searches of scikit-learn over forecasters and pipelines."""

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from seasonal import PERIOD, make_cnmm, make_series, steps
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold, TimeSeriesSplit, cross_val_score
from sklearn.pipeline import Pipeline
from small import small

import gridcast as gc

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def series():
    return make_series()


@pytest.mark.parametrize("kind", ["labelled", "dask", "plain array"])
def test_search_over_a_forecaster(series, kind):
    X = {"labelled": series, "dask": series.chunk(time=7), "plain array": series.values}[kind]
    search = GridSearchCV(
        gc.NaiveForecaster(period=PERIOD),
        {"strategy": ["persistence", "seasonal"]},
        cv=gc.WindowSplitter(window=8, n_splits=2),
        error_score="raise",
    ).fit(X)
    assert search.best_params_ == {"strategy": "seasonal"}
    scores = search.cv_results_["mean_test_score"]
    assert scores[0] == 0
    assert 0.5 < scores[1] < 1
    forecast = search.best_estimator_.predict(5)
    expected = gc.NaiveForecaster("seasonal", period=PERIOD).fit(series).predict(5)
    np.testing.assert_array_equal(forecast, expected)
    np.testing.assert_array_equal(search.predict(5), expected)
    if kind != "plain array":
        xr.testing.assert_identical(forecast, expected)
    if kind == "dask":
        assert isinstance(X.data, da.Array)


def test_the_folds_of_a_search_are_scored_from_the_end_of_their_training_part(series):
    cv = gc.WindowSplitter(window=8, n_splits=2)
    estimator = gc.NaiveForecaster("climatology", period=PERIOD)
    expected = [clone(estimator).fit(series[train]).score(series[test]) for train, test in cv.split(series)]
    np.testing.assert_allclose(cross_val_score(estimator, series, cv=cv, error_score="raise"), expected)
    by_time = cross_val_score(estimator, series, cv=TimeSeriesSplit(3), error_score="raise")
    assert np.isfinite(by_time).all()


def test_search_over_nested_and_training_parameters(series):
    search = GridSearchCV(
        make_cnmm(),
        {"learning_rate": [1e-4, 1e-3], "transformer__data_range": [(250, 310), None]},
        cv=gc.WindowSplitter(window=8, n_splits=2),
        error_score="raise",
    ).fit(series)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_.transformer_.data_range == search.best_params_["transformer__data_range"]
    assert 250 < search.best_estimator_.predict(5).mean() < 310
    assert make_cnmm().get_params()["transformer__data_range"] is None


def test_search_over_transformers_and_their_offset(series):
    rain = np.maximum(series - 281, 0) ** 2
    cv, scoring = gc.WindowSplitter(window=8, n_splits=2), gc.make_scorer("crps", horizon=1, n_samples=5)
    transformers = [gc.MinMaxTransformer(), gc.LogTransformer(), gc.LogTransformer(bound=-3)]
    search = GridSearchCV(
        small("linear"), {"transformer": transformers}, scoring=scoring, cv=cv, error_score="raise"
    ).fit(rain)
    assert len(set(search.cv_results_["mean_test_score"])) == 3
    assert type(search.best_estimator_.transformer_) is type(search.best_params_["transformer"])
    assert not hasattr(transformers[1], "offset_")
    model = small("linear", transformer=gc.LogTransformer())
    search = GridSearchCV(model, {"transformer__offset": ["auto", 0.5, 50.0]}, scoring=scoring, cv=cv).fit(rain)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_.transformer_.offset == search.best_params_["transformer__offset"]
    pipeline = gc.ForecastPipeline([("log", gc.LogTransformer()), ("naive", gc.NaiveForecaster(random_state=0))])
    search = GridSearchCV(pipeline, {"log__offset": [0.5, 50.0]}, cv=cv, error_score="raise").fit(rain)
    np.testing.assert_allclose(search.predict(2)[0], rain[-1], rtol=1e-4, atol=1e-4)


def test_search_over_a_plain_pipeline_forecasts_a_history(series):
    pipeline = Pipeline([("anomaly", gc.Anomaly()), ("naive", gc.NaiveForecaster())])
    search = GridSearchCV(
        pipeline,
        {"anomaly__period": [PERIOD, 5]},
        cv=gc.WindowSplitter(window=8, n_splits=2),
        error_score="raise",
    ).fit(series.chunk(time=20))
    assert search.best_params_ == {"anomaly__period": PERIOD}
    best = search.best_estimator_
    forecast = best.predict(series, horizon=5)
    assert forecast.sizes["time"] == 5
    # scikit-learn's rule: the units of the last step.
    anomalies = best[0].transform(series)
    assert abs(forecast).max() < 10
    xr.testing.assert_allclose(forecast, gc.NaiveForecaster().fit(anomalies).predict(5))
    with pytest.raises(
        TypeError, match=r"X is the number 5: .*ForecastPipeline for predict\(5\), or predict\(X, horizon=5\)"
    ):
        best.predict(5)


def test_search_over_a_forecast_pipeline_in_two_processes(series):
    search = GridSearchCV(
        gc.ForecastPipeline(steps()),
        {"anomaly__period": [1, PERIOD]},
        scoring=gc.make_scorer("mse", horizon=3),
        cv=gc.WindowSplitter(window=8, n_splits=2),
        n_jobs=2,
        error_score="raise",
    ).fit(series.chunk(time=20))
    assert search.best_params_ == {"anomaly__period": PERIOD}
    forecast = search.best_estimator_.predict(5)
    assert forecast.attrs["units"] == "K"
    assert forecast.name == "t2m"
    np.testing.assert_array_equal(forecast["time"], pd.date_range("2001-03-02", periods=5))
    cycle = 280 + 10 * np.sin(2 * np.pi * np.arange(60, 65) / PERIOD)
    np.testing.assert_allclose(forecast.mean(("lat", "lon")), cycle, atol=2)


def test_the_default_folds_end_in_an_error_that_names_the_splitter(series):
    search = GridSearchCV(gc.NaiveForecaster(), {"random_state": [0]}, error_score="raise")
    with pytest.raises(ValueError, match=r"gridcast\.WindowSplitter, which keeps time in order"):
        search.fit(series)


@pytest.mark.parametrize("cv", [KFold(3, shuffle=True, random_state=0), KFold(3)])
def test_folds_that_shuffle_time_end_in_an_error_that_names_the_splitter(series, cv):
    search = GridSearchCV(make_cnmm(), {"random_state": [0]}, cv=cv, error_score="raise")
    with pytest.raises(ValueError, match="WindowSplitter"):
        search.fit(series)


def test_all_fits_of_a_search_fail_where_every_fold_shuffles_time(series):
    search = GridSearchCV(gc.NaiveForecaster(), {"random_state": [0]}, cv=KFold(3, shuffle=True, random_state=0))
    with pytest.raises(ValueError, match=r"(?s)All the 3 fits failed.*WindowSplitter"):
        search.fit(series)
