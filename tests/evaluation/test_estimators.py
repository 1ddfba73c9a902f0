"""Estimators of scikit-learn with a forecaster behind them."""

import numpy as np
import pytest
import xarray as xr
from seasonal import PERIOD, make_series, steps
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline

import gridcast as gc


@pytest.fixture(scope="module")
def series():
    return make_series()


def make_search(estimator, grid, **options):
    return GridSearchCV(estimator, grid, cv=gc.WindowSplitter(window=8, n_splits=2), error_score="raise", **options)


SEARCHES = {
    "forecaster": lambda: make_search(gc.NaiveForecaster(period=PERIOD), {"strategy": ["persistence", "seasonal"]}),
    "pipeline": lambda: make_search(gc.ForecastPipeline(steps()), {"anomaly__period": [1, PERIOD]}),
}


@pytest.mark.parametrize("kind", SEARCHES)
def test_a_search_is_what_it_has_chosen(kind, series):
    search = SEARCHES[kind]().fit(series[:48])
    found, expected = (gc.backtest(e, series[48:], 2) for e in (search, search.best_estimator_))
    xr.testing.assert_identical(found, expected)
    scorer = gc.make_scorer("mae", horizon=2)
    assert scorer(search, series[48:]) == scorer(search.best_estimator_, series[48:])


def test_a_search_is_cross_validated():
    search, scoring, cv = SEARCHES["forecaster"](), gc.make_scorer("mse"), gc.WindowSplitter(window=8, n_splits=2)
    scores = cross_val_score(search, make_series(90), scoring=scoring, cv=cv, error_score="raise")
    assert np.isfinite(scores).all()


def test_a_search_behind_a_pipeline_of_scikit_learn(series):
    search = SEARCHES["forecaster"]()
    pipeline = Pipeline([("scale", gc.MinMaxTransformer()), ("search", search)]).fit(series[:48])
    expected = gc.backtest(search.best_estimator_, pipeline[:-1].transform(series[48:]))
    xr.testing.assert_identical(gc.backtest(pipeline, series[48:]), expected)


@pytest.mark.parametrize(
    "estimator",
    [Ridge(), SEARCHES["forecaster"](), Pipeline([("scale", gc.MinMaxTransformer())]), gc.MinMaxTransformer],
    ids=["regression", "search before its fit", "no forecaster at the end", "class"],
)
def test_what_is_no_forecaster_is_refused_with_what_is_one(estimator, series):
    for call in (gc.backtest, gc.make_scorer()):
        with pytest.raises(TypeError, match=r"estimator is a .*: give a fitted forecaster, a Pipeline"):
            call(estimator, series)
