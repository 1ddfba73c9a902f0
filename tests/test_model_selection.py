"""Splits, searches, scorers and pipelines: everything around a forecaster that scikit-learn takes part in."""

import pickle
import warnings

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, KFold, TimeSeriesSplit, cross_val_score
from sklearn.pipeline import Pipeline
from small import small

import gridcast as gc

PERIOD = 6


def make_series(n_times=60, shape=(4, 6)):
    """Return a seasonal cycle with noise around 280 K."""
    noise = np.random.default_rng(0).normal(size=(n_times, *shape))
    cycle = 280 + 10 * np.sin(2 * np.pi * np.arange(n_times) / PERIOD)
    return xr.DataArray(
        (cycle[:, None, None] + noise).astype(np.float32),
        dims=("time", "lat", "lon"),
        coords={
            "time": pd.date_range("2001-01-01", periods=n_times, freq="D"),
            "lat": np.linspace(50, 30, shape[0]),
            "lon": np.linspace(10, 40, shape[1]),
        },
        name="t2m",
        attrs={"units": "K"},
    )


def make_cnmm(**parameters):
    return small("cnmm", **{"latent_channels": 16, "lags": 6} | parameters)


def steps():
    return [("anomaly", gc.Anomaly(period=PERIOD)), ("scale", gc.MinMaxTransformer()), ("naive", gc.NaiveForecaster())]


@pytest.fixture(scope="module")
def series():
    return make_series()


# Splits


@pytest.mark.parametrize("lazy", [False, True])
def test_train_test_split_cuts_in_time(series, lazy):
    X = series.chunk(time=7) if lazy else series
    train, test = gc.train_test_split(X, test_fraction=0.3)
    assert train.sizes["time"] == 42
    xr.testing.assert_identical(xr.concat([train, test], "time"), X)
    assert (train.chunks is not None) == lazy
    if not lazy:
        assert np.shares_memory(train.values, series.values)


def test_train_test_split_takes_arrays_and_samples(series):
    train, test = gc.train_test_split(series.values, 0.5)
    assert isinstance(train, np.ndarray)
    assert (len(train), len(test)) == (30, 30)
    samples = series.expand_dims(sample=10)
    train, test = gc.train_test_split(samples)
    assert (train.sizes["sample"], test.sizes["sample"]) == (7, 3)


@pytest.mark.parametrize("test_fraction", [0, 1, -0.1, 1.5])
def test_train_test_split_needs_a_share(series, test_fraction):
    with pytest.raises(ValueError, match=f"test_fraction={test_fraction} must lie between 0 and 1"):
        gc.train_test_split(series, test_fraction)
    with pytest.raises(ValueError, match=r"X has 2 steps, test_fraction=0\.01 leaves an empty part"):
        gc.train_test_split(series[:2], 0.01)


# Searches


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
        cv=gc.WindowSplitter(window=8),
        error_score="raise",
    ).fit(series)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_.transformer_.data_range == search.best_params_["transformer__data_range"]
    assert 250 < search.best_estimator_.predict(5).mean() < 310
    assert make_cnmm().get_params()["transformer__data_range"] is None


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
    with pytest.raises(ValueError, match=r"time step \d+ .* does not follow .*WindowSplitter"):
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


# Scorers


@pytest.fixture
def ramp():
    """Return 0, 1, 2, ... on every cell, which persistence misses by the lead time."""
    values = np.arange(20.0, dtype=np.float32)[:, None, None] * np.ones((1, 2, 2), np.float32)
    time = pd.date_range("2001-01-01", periods=20, freq="D")
    return xr.DataArray(values, dims=("time", "y", "x"), coords={"time": time}, attrs={"units": "mm"})


@pytest.mark.parametrize(
    ("metric", "horizon", "mode", "expected"),
    [
        ("mse", 1, "multi_step", -1),
        ("mse", 3, "multi_step", -(1 + 4 + 9) / 3),
        ("mae", 3, "multi_step", -2),
        ("mse", 3, "one_step", -1),
        ("mae", 3, "one_step", -1),
        ("skill", 3, "multi_step", 0),
        ("skill", 3, "one_step", 0),
        ("crps", 3, "multi_step", 0),
    ],
)
def test_scores_by_hand(ramp, metric, horizon, mode, expected):
    scorer = gc.make_scorer(metric, horizon=horizon, mode=mode, n_samples=5)
    score = scorer(gc.NaiveForecaster(random_state=0).fit(ramp[:10]), ramp[10:])
    assert isinstance(score, float)
    # Past errors of a ramp are its future errors, so that the ensemble is perfect.
    assert score == pytest.approx(expected, abs=1e-6)


def test_crps_of_members_that_differ_by_hand():
    steps = np.tile([0.0, 2.0, 0.0, -2.0], 10)[:, None, None] * np.ones((1, 2, 2))
    estimator = gc.NaiveForecaster(random_state=0).fit(steps[:20])
    scorer = gc.make_scorer("crps", n_samples=7, stride=4)
    forecast = gc.backtest(estimator, steps[20:], n_samples=7, stride=4)
    observed = steps[21::4][: forecast.sizes["init_time"], None]
    members = forecast.values
    pairs = abs(members[:, None] - members[None]).sum((0, 1)) / (7 * 6)
    expected = abs(members - observed).mean(0) - 0.5 * pairs
    assert scorer(estimator, steps[20:]) == pytest.approx(-expected.mean())


def test_skill_against_persistence_by_hand(ramp):
    # The mean of the first ten steps is 4.5; the forecast of step t errs by t - 4.5, persistence by 1.
    estimator = gc.NaiveForecaster("climatology", period=1).fit(ramp[:10])
    errors = np.square(np.arange(10, 20) - 4.5)
    assert gc.make_scorer("skill")(estimator, ramp[10:]) == pytest.approx(1 - errors.mean())
    assert estimator.score(ramp[10:]) == pytest.approx(1 - errors.mean())
    assert gc.make_scorer()(estimator, ramp[10:], None) == pytest.approx(1 - errors.mean())


def test_scorers_in_a_search(series):
    cv = gc.WindowSplitter(window=8, n_splits=2)
    for metric in ("mse", "mae", "crps", "skill"):
        scorer = pickle.loads(pickle.dumps(gc.make_scorer(metric, horizon=2, n_samples=4)))
        scores = cross_val_score(gc.NaiveForecaster(random_state=0), series, scoring=scorer, cv=cv, error_score="raise")
        assert np.isfinite(scores).all()
        assert (scores == 0).all() if metric == "skill" else (scores < 0).all()


def test_unknown_metric():
    with pytest.raises(ValueError, match=r"metric='rmsd' is unknown: use \"skill\", \"mse\", \"mae\" or \"crps\""):
        gc.make_scorer("rmsd")


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


# Pipelines


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


def test_a_backtest_of_a_forecast_pipeline_is_in_physical_units(pipeline, series):
    table = gc.backtest(pipeline, series[48:], horizon=2, stride=3)
    assert table.dims == ("init_time", "lead_time", "lat", "lon")
    for i, stop in enumerate(range(48, 59, 3)):
        np.testing.assert_allclose(table[i], pipeline.predict(series[:stop], 2), rtol=1e-5)
    plain = Pipeline(steps()).fit(series[:48])
    assert abs(gc.backtest(plain, series[48:], horizon=2)).max() < 5


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


@pytest.mark.parametrize("metric", ["mse", "skill"])
def test_scorers_weigh_by_latitude_unless_told_otherwise(series, metric):
    model = gc.NaiveForecaster("climatology", period=PERIOD).fit(series[:30])
    forecast = gc.backtest(model, series[30:])
    truth = series.sel(time=forecast["time"])
    persistence = truth.copy(data=series.sel(time=forecast["init_time"]).values[:, None])
    for weights in ("auto", None):
        expected = (
            -gc.metrics.mse(forecast, truth, weights=weights)
            if metric == "mse"
            else gc.metrics.mse_skill(forecast, persistence, truth, weights=weights)
        )
        assert gc.make_scorer(metric, weights=weights)(model, series[30:]) == pytest.approx(expected.item())
    assert gc.make_scorer("skill", weights=None)(model, series[30:]) == pytest.approx(model.score(series[30:]))
    with pytest.raises(ValueError, match="weights='area' is unknown"):
        gc.make_scorer(weights="area")
