"""Scorers: what they say by hand, and in the searches of scikit-learn."""

import pickle

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from seasonal import PERIOD, make_series
from sklearn.model_selection import cross_val_score

import gridcast as gc


@pytest.fixture(scope="module")
def series():
    return make_series()


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
