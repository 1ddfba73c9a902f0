"""Intervals that hold: `calibrate` of every forecaster, and what a fit learns from its held-out part."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from every import N_TRAIN, every_estimator, make_estimators, make_series
from scipy.special import ndtri
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from small import NEURAL, small

import gridcast as gc
from gridcast.data.recalibration import LEVELS, Recalibration

IDENTITY = Recalibration.identity(1).scores


def noise_of(scale, n=260, seed=0, before=100):
    """Return white noise whose standard deviation becomes `scale` after `before` steps: what was right once."""
    values = np.random.default_rng(seed).normal(size=(n, 6, 8))
    values[before:] *= scale
    times = pd.date_range("2001-01-01", periods=n)
    return xr.DataArray(values.astype(np.float32), dims=("time", "y", "x"), coords={"time": times})


def covered(model, X, share):
    """Return how often what came was within the central intervals, one step ahead at all steps of `X` but the first."""
    low, high = model.predict_quantiles(X[:-1], 40, "one_step", (0.5 - share / 2, 0.5 + share / 2), 30)
    truth = X.sel(time=low.time)
    return float(((truth >= low) & (truth <= high)).mean())


@pytest.mark.parametrize("make", [lambda: gc.NaiveForecaster("climatology", period=1, random_state=0),
                                  lambda: small("linear", climatology="mean")])  # fmt: skip
@pytest.mark.parametrize("scale", [0.4, 2.5])
def test_intervals_hold_after_calibrate_on_data_whose_spread_is_another(make, scale):
    X = noise_of(scale)
    model = make().fit(X[:100])
    assert all(abs(covered(model, X[200:], share) - share) > 0.07 for share in (0.5, 0.9))
    assert model.calibrate(X[100:200], horizon=1, n_samples=30) is model
    for share in (0.5, 0.9):
        assert covered(model, X[200:], share) == pytest.approx(share, abs=0.045)


def test_calibrate_learns_of_every_forecaster_is_saved_and_forgotten_by_a_fit(fitted, tmp_path):
    estimator, before = fitted.copy(), fitted.estimator.recalibration_.scores
    forecast, members = estimator.predict(3), estimator.predict_samples(3, n_samples=4)
    assert estimator.calibrate(fitted.test, horizon=3, n_samples=20) is estimator
    scores = estimator.recalibration_.scores
    assert scores.shape == (3, 1, len(LEVELS))
    assert not np.allclose(scores[0], before[0])
    # the forecast, its members and its origin are what they were
    xr.testing.assert_identical(estimator.predict(3), forecast)
    xr.testing.assert_identical(estimator.predict_samples(3, n_samples=4), members)
    estimator.save(tmp_path / "model.gridcast")
    opened = gc.load(tmp_path / "model.gridcast", device="cpu")
    np.testing.assert_array_equal(opened.recalibration_.scores, scores)
    options = {"q": (0.05, 0.3, 0.95), "n_samples": 20}
    xr.testing.assert_identical(opened.predict_quantiles(5, **options), estimator.predict_quantiles(5, **options))
    assert (estimator.predict_quantiles(5, **options) != fitted.estimator.predict_quantiles(5, **options)).any()
    assert estimator.get_params().keys() == clone(estimator).get_params().keys()
    np.testing.assert_array_equal(estimator.fit(fitted.train).recalibration_.scores, before)


def test_an_update_keeps_what_was_learned(fitted):
    estimator = fitted.copy().calibrate(fitted.test, horizon=2, n_samples=10)
    scores = estimator.recalibration_.scores
    np.testing.assert_array_equal(estimator.update(fitted.test).recalibration_.scores, scores)


@pytest.mark.parametrize("mode", ["multi_step", "one_step"])
def test_quantiles_rise_and_one_step_forecasts_have_the_levels_of_the_first_lead(fitted, mode):
    estimator = fitted.copy()
    estimator.recalibration_ = Recalibration(np.stack([0.5 * ndtri(LEVELS), 3 * ndtri(LEVELS)])[:, None])
    rows = estimator.predict_quantiles(fitted.series, 3, mode=mode, q=(0.01, 0.2, 0.5, 0.8, 0.99))
    assert (rows.diff("quantile") >= 0).all()
    plain = fitted.copy()
    plain.recalibration_ = Recalibration.identity(1)
    width, usual = ((r[-2] - r[1]).mean(("lat", "lon")) for r in (rows, plain.predict_quantiles(
        fitted.series, 3, mode=mode, q=(0.01, 0.2, 0.5, 0.8, 0.99))))  # fmt: skip
    ratio = (width / usual).values
    assert (ratio[0] < 0.8).all()
    assert (ratio[1:] < 0.8).all() if mode == "one_step" else (ratio[1:] > 1.5).all()


@pytest.mark.parametrize("name", ["linear", *NEURAL])
def test_a_fit_learns_from_held_out_forecasts_and_stays_within_natural_bounds(name):
    X = (make_series(120) - 285).clip(min=0)
    options = {} if name == "linear" else {"validation_fraction": 0.3, "max_steps": 2}
    model = small(name, **options).fit(X)
    scores = model.recalibration_.scores
    assert scores.shape == (4, 1, len(LEVELS))
    assert not np.allclose(scores, IDENTITY)
    assert (np.diff(scores) >= 0).all()
    model.recalibration_ = Recalibration(3 * scores)
    assert model.predict_quantiles(4, q=(0.01, 0.5, 0.99), n_samples=10).min() == 0


@pytest.mark.parametrize("name", NEURAL)
def test_without_held_out_forecasts_every_ensemble_is_taken_as_it_is(name):
    X = make_series(40)
    for options in ({"validation_fraction": 0}, {"architecture": "paper"}):
        model = small(name, max_steps=1, **options).fit(X)
        np.testing.assert_array_equal(model.recalibration_.scores, IDENTITY)
    np.testing.assert_array_equal(gc.NaiveForecaster().fit(X).recalibration_.scores, IDENTITY)


def test_channels_and_samples_have_levels_of_their_own():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, 60, 2, 4, 5)).astype(np.float32)
    X = xr.DataArray(values, dims=("sample", "time", "variable", "y", "x"))
    model = gc.NaiveForecaster("climatology", period=1, random_state=0).fit(X)
    later = X.copy(data=X.values * np.array([0.3, 3.0], np.float32)[:, None, None])
    scores = model.calibrate(later, horizon=2).recalibration_.scores
    assert scores.shape == (2, 2, len(LEVELS))
    assert (abs(scores[:, 0, [0, -1]]) < 1.5).all()
    assert (abs(scores[:, 1, [0, -1]]) > 3).all()
    found = model.predict_quantiles(X, 2, q=(0.1, 0.9))
    assert found.dims == ("quantile", "sample", "time", "variable", "y", "x")
    assert (found[1] - found[0]).mean(("sample", "time", "y", "x")).diff("variable").item() > 3


def test_a_search_is_none_the_wiser():
    X = make_series(80)
    search = GridSearchCV(small("linear"), {"lags": [1, 2]}, cv=gc.WindowSplitter(window=12))
    best = search.fit(X).best_estimator_
    expected = small("linear", lags=best.lags).fit(X)
    np.testing.assert_array_equal(best.recalibration_.scores, expected.recalibration_.scores)


def test_a_pipeline_calibrates_its_forecaster():
    X = make_series(120)
    steps = [("anomaly", gc.Anomaly(period=12)), ("naive", gc.NaiveForecaster(random_state=0))]
    pipeline = gc.ForecastPipeline(steps).fit(X[:N_TRAIN])
    before = pipeline.predict_quantiles(2, q=(0.1, 0.9))
    assert pipeline.calibrate(X[N_TRAIN:], horizon=2, n_samples=20) is pipeline
    inner = gc.NaiveForecaster(random_state=0).fit(pipeline[:-1].transform(X[:N_TRAIN]))
    inner.calibrate(pipeline[:-1].transform(X[N_TRAIN:]), 2, 20)
    np.testing.assert_array_equal(pipeline[-1].recalibration_.scores, inner.recalibration_.scores)
    assert (pipeline.predict_quantiles(2, q=(0.1, 0.9)) != before).any()


@every_estimator
def test_what_can_not_be_calibrated_is_named_and_changes_nothing(name):
    X = make_series(70)
    model = make_estimators()[name].fit(X[:N_TRAIN])
    before = model.recalibration_
    with pytest.raises(ValueError, match=r"X allows 3 forecast steps, horizon=5 needs 5: .* a shorter horizon"):
        model.calibrate(X[N_TRAIN : N_TRAIN + 3], horizon=5)
    with pytest.raises(ValueError, match=r"X has 1 steps and does not follow .* are context, so at least"):
        model.calibrate(X[N_TRAIN + 5 : N_TRAIN + 6])
    with pytest.raises(ValueError, match="X has 7 entries along 'lat', the training series had 8"):
        model.calibrate(X[N_TRAIN:, 1:])
    with pytest.raises(ValueError, match=r"X has no observation in its 22 forecast steps \(all NaN\)"):
        model.calibrate(X[N_TRAIN:].where(False), horizon=2, n_samples=3)
    for wrong in ({"horizon": 0}, {"horizon": 1.5}, {"n_samples": 0}):
        with pytest.raises((TypeError, ValueError), match=next(iter(wrong))):
            model.calibrate(X[N_TRAIN:], **wrong)
    assert model.recalibration_ is before
    with pytest.warns(UserWarning, match="shares steps with the training series"):
        model.calibrate(X, horizon=1, n_samples=2)


def test_a_horizon_that_is_not_given_is_as_long_as_the_data_allow():
    X = make_series(70)
    assert len(small("linear").fit(X[:60]).calibrate(X[60:63], n_samples=3).recalibration_.scores) == 3
    naive = gc.NaiveForecaster(random_state=0).fit(X[:40])
    assert len(naive.calibrate(X[40:], n_samples=3).recalibration_.scores) == 20
