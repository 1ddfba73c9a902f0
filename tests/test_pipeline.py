"""Pipelines, of gridcast and of scikit-learn."""

import pickle
import warnings
import zipfile

import joblib
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from linear_processes import labelled, linear_field
from seasonal import make_cnmm, make_series, steps
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

import gridcast as gc
from gridcast.forecasters.restore import SECTIONS
from gridcast.persistence.container import read_file, write_file


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
    expected = np.quantile(seeded.predict_samples(3, n_samples=30), (0.1, 0.9), axis=0, method="weibull")
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


@pytest.mark.parametrize("forecaster", [gc.NaiveForecaster(random_state=0), make_cnmm(max_epochs=1, random_state=0)])
def test_a_saved_pipeline_forecasts_the_same(forecaster, series, tmp_path):
    pipeline = gc.ForecastPipeline([*steps()[:-1], ("pass", "passthrough"), ("none", None), ("model", forecaster)])
    path = tmp_path / "pipeline.gridcast"
    with pytest.raises(NotFittedError, match="is not fitted"):
        pipeline.save(path)
    pipeline.fit(series[:48]).save(path, scores={"skill": 0.25})
    loaded = gc.load(path, device="cpu")
    assert type(loaded) is gc.ForecastPipeline
    assert [name for name, _ in loaded.steps] == ["anomaly", "scale", "pass", "none", "model"]
    xr.testing.assert_identical(loaded.predict(3), pipeline.predict(3))
    xr.testing.assert_identical(loaded.predict_samples(3, n_samples=4), pipeline.predict_samples(3, n_samples=4))
    xr.testing.assert_identical(loaded.predict(series, 2), pipeline.predict(series, 2))
    moved = gc.load(path).update(series[48:50])
    xr.testing.assert_identical(moved.predict(3), pipeline.predict(series[:50], 3))
    loaded.save(tmp_path / "again", scores={"skill": 0.25})
    assert (tmp_path / "again").read_bytes() == path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        text = archive.read("README.md").decode()
    assert text == loaded.card(scores={"skill": 0.25})
    assert "| anomaly | `Anomaly(period=6)` |" in text
    assert "| skill | 0.25 |" in text


class MyAnomaly(gc.Anomaly):
    pass


class MyPipeline(gc.ForecastPipeline):
    pass


def test_a_step_of_someone_else_is_named_before_anything_is_written(series, tmp_path):
    path = tmp_path / "pipeline.gridcast"
    path.write_bytes(b"before")
    naive = ("naive", gc.NaiveForecaster())
    searched = GridSearchCV(gc.NaiveForecaster(), {"random_state": [0]}, cv=gc.WindowSplitter(window=2, n_splits=2))
    for steps_, name in (
        ([("mine", MyAnomaly(period=6)), naive], "mine=MyAnomaly"),
        ([("same", FunctionTransformer()), naive], "same=FunctionTransformer"),
        ([("inner", gc.ForecastPipeline([("scale", gc.MinMaxTransformer())])), naive], "inner=ForecastPipeline"),
        ([("scale", gc.MinMaxTransformer()), ("search", searched)], "search=GridSearchCV"),
    ):
        fitted = gc.ForecastPipeline(steps_).fit(series)
        with pytest.raises(ValueError, match=rf"steps: {name}.*can not be saved.*or keep .* with joblib.dump"):
            fitted.save(path)
        joblib.dump(fitted, tmp_path / "way_out")
        assert [step for step, _ in joblib.load(tmp_path / "way_out").steps] == [step for step, _ in steps_]
    with pytest.raises(TypeError, match=r"MyPipeline is a class that load does not know: use joblib\.dump"):
        MyPipeline([naive]).fit(series).save(path)
    assert path.read_bytes() == b"before"


@pytest.mark.parametrize(
    ("steps_", "message"),
    [
        (None, "steps is a NoneType"),
        ([], "do not end in the forecaster"),
        ([["naive", "passthrough"]], "do not end in the forecaster"),
        ([["naive", None], ["naive", None]], "no name of a step"),
        ([["a__b", None]], "no name of a step"),
        ([["naive"]], "not a name and a transformer"),
        ([["a", 5], ["naive", None]], "steps/0 is a int"),
        (
            [["a", {"$type": "Anomaly", "parameters": {}, "learned": {}}], ["naive", None]],
            "steps/0/cycle_ is a NoneType",
        ),
    ],
)
def test_a_file_with_other_steps_is_refused(steps_, message, series, tmp_path):
    path = tmp_path / "pipeline.gridcast"
    gc.ForecastPipeline([("naive", gc.NaiveForecaster())]).fit(series).save(path)
    values, arrays, text = read_file(path)
    write_file(path, {key: values[key] for key in SECTIONS} | {"steps": steps_}, arrays, text)
    with pytest.raises(ValueError, match=message):
        gc.load(path)


def test_transformers_of_another_field_are_refused(pipeline, series, tmp_path):
    path = tmp_path / "pipeline.gridcast"
    other = gc.ForecastPipeline([("anomaly", gc.Anomaly().fit(series[..., :3])), ("naive", pipeline["naive"])])
    other.save(path)
    with pytest.raises(ValueError, match=r"steps/0/cycle_ has the shape"):
        gc.load(path)


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


def test_units_are_those_of_what_is_forecast(series, tmp_path):
    plain = Pipeline([("scale", gc.MinMaxTransformer()), ("naive", gc.NaiveForecaster())]).fit(series[:48])
    with pytest.warns(UserWarning, match="forecast is in '1' and observations in 'K'"):
        gc.verify(gc.backtest(plain, series[48:]), series[47:])
    pipeline = gc.ForecastPipeline(plain.steps)
    pipeline.save(tmp_path / "pipeline.gridcast")
    for estimator in (pipeline, gc.load(tmp_path / "pipeline.gridcast")):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            gc.verify(gc.backtest(estimator, series[48:]), series[47:])
        assert estimator.update(series[48:50]).predict(2).attrs["units"] == "K"
        assert estimator.predict_quantiles(2, n_samples=3).attrs["units"] == "K"
        with pytest.warns(UserWarning, match="X is in 'degC' and the training series in 'K'"):
            estimator.predict(series.assign_attrs(units="degC"), 2)


def test_gaps_are_filled_in_the_units_of_the_series():
    series = labelled(linear_field(200))
    gapped = series.copy()
    gapped[100] = np.nan
    alone = gc.LinearForecaster(lags=2, context=6, climatology="mean", random_state=0).fit(series)
    steps = [("scale", gc.MinMaxTransformer((0, 5))), ("linear", clone(alone))]
    found = gc.ForecastPipeline(steps).fit(series).reconstruct(gapped)
    np.testing.assert_allclose(found, alone.reconstruct(gapped), atol=0.01)


def test_what_is_in_other_units_is_refused():
    series = labelled(linear_field(100))
    model = gc.LinearForecaster(lags=2, context=6, random_state=0)
    pipeline = gc.ForecastPipeline([("anomaly", gc.Anomaly(period=5)), ("linear", model)]).fit(series)
    with pytest.raises(ValueError, match="observation_error is in the units of X"):
        pipeline.predict(2, observation_error=1.0)
    with pytest.raises(ValueError, match="observation_error is in the units of X"):
        pipeline.update(series[:2], observation_error=1.0)
    for estimator in (pipeline, Pipeline(pipeline.steps)):
        with pytest.raises(ValueError, match="observation_error is in the units of X"):
            gc.backtest(estimator, series, observation_error=1.0)
    passing = Pipeline([("none", "passthrough"), ("linear", pipeline["linear"])])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it has seen the series
        found, expected = (gc.backtest(e, series, observation_error=1.0) for e in (passing, pipeline["linear"]))
    xr.testing.assert_identical(found, expected)


def test_steps_without_labels_go_on_in_an_update():
    x = np.tile(10.0 * np.arange(12), 10)[:, None, None] * np.ones((1, 2, 2))
    pipeline = gc.ForecastPipeline([("a", gc.Anomaly(period=12, n_harmonics=None)), ("n", gc.NaiveForecaster())])
    found = pipeline.fit(x[:40]).update(x[40:50]).predict(3)
    np.testing.assert_allclose(found, x[50:53], atol=1e-4)
    assert "time" in pipeline.update(x[50:53]).predict(1).dims
