"""Scores of intervals: by hand, against the scores package, of quantiles and of ensembles."""

import numpy as np
import pytest
import xarray as xr
from scores.continuous import interval_score as interval_score_of_scores

import gridcast as gc
from gridcast import metrics

NAN = float("nan")
INTERVAL_SCORES = [metrics.interval_score, metrics.coverage]


@pytest.fixture
def quantiles():
    """Intervals 1 to 3 around a median, that of the last day missing."""
    values = [[1.0, 1.0, 1.0, 1.0, NAN], [2.0] * 5, [3.0, 3.0, 3.0, 3.0, 3.0]]
    labels = {"quantile": [0.1, 0.5, 0.9]}
    return xr.DataArray(values, dims=("quantile", "time"), coords=labels, attrs={"units": "K"})


@pytest.fixture
def seen():
    return xr.DataArray([2.0, 0.5, 4.0, NAN, 2.0], dims="time", attrs={"units": "K"})


def test_by_hand(quantiles, seen):
    # Inside, 0.5 below and 1 above; what is outside costs 2 / 0.2.
    score = metrics.interval_score(quantiles, seen, 0.8, dim=())
    np.testing.assert_allclose(score, [2.0, 2.0 + 5.0, 2.0 + 10.0, NAN, NAN])
    assert metrics.interval_score(quantiles, seen, 0.8).item() == pytest.approx(21.0 / 3)
    assert (score.name, score.attrs) == ("interval_score", {"units": "K"})
    share = metrics.coverage(quantiles, seen, 0.8)
    assert share.item() == pytest.approx(1 / 3)
    assert (share.name, share.attrs) == ("coverage", {"units": "1"})
    assert metrics.coverage(quantiles, xr.full_like(seen, 3.0), 0.8).item() == 1.0


def test_an_interval_of_members_by_hand():
    # Nine members 1 ... 9: the tenth and the ninetieth percent end at the first and the last, 1/4 and 3/4 in between.
    members = xr.DataArray(np.arange(1.0, 10.0)[::-1, None], dims=("member", "time"))
    for level, ends in ((0.8, (1.0, 9.0)), (0.5, (2.5, 7.5)), (0.2, (4.0, 6.0))):
        width = metrics.interval_score(members, xr.DataArray([5.0], dims="time"), level).item()
        assert width == pytest.approx(ends[1] - ends[0])
        for value, inside in ((ends[0], 1.0), (ends[0] - 1e-6, 0.0), (ends[1] + 1e-6, 0.0)):
            assert metrics.coverage(members, xr.DataArray([value], dims="time"), level).item() == inside


def test_interval_score_is_that_of_scores(ensemble, observed):
    labels = xr.DataArray([0.25, 0.5, 0.75], dims="member")
    bounds = ensemble.assign_coords(member=labels).rename(member="quantile")
    lower, upper = (bounds.sel(quantile=q, drop=True) for q in (0.25, 0.75))
    options = {"reduce_dims": ["time", "lat"], "weights": metrics.latitude_weights(observed)}
    expected = interval_score_of_scores(lower, upper, observed, 0.5, **options)["total"]
    np.testing.assert_allclose(metrics.interval_score(bounds, observed, 0.5, dim=("time", "lat")), expected)


def test_a_calibrated_ensemble_covers_what_it_promises():
    rng = np.random.default_rng(0)
    draws = xr.DataArray(rng.normal(size=(20, 40_000)), dims=("member", "time"))
    for n_members, level in ((19, 0.9), (19, 0.5), (9, 0.8), (3, 0.5)):
        share = metrics.coverage(draws[1 : n_members + 1], draws[0], level)
        assert share.item() == pytest.approx(level, abs=0.01)


def test_the_score_is_best_for_the_right_width():
    rng = np.random.default_rng(0)
    observed = xr.DataArray(rng.normal(size=40_000), dims="time")
    labels = {"quantile": [0.05, 0.95]}
    scores = [
        metrics.interval_score(xr.DataArray([-z, z], dims="quantile", coords=labels), observed).item()
        for z in (1.2, 1.645, 2.1)
    ]
    assert scores[1] < min(scores[0], scores[2])


def test_quantiles_of_a_forecaster():
    noise = np.random.default_rng(0).normal(size=(120, 3, 4))
    series = xr.DataArray(noise, dims=("time", "y", "x"), coords={"time": np.arange(120)})
    model = gc.NaiveForecaster("climatology").fit(series[:100])
    forecast = model.predict_quantiles(horizon=20, q=(0.1, 0.9), n_samples=50)
    share = metrics.coverage(forecast, series[100:], level=0.8)
    assert share.item() == pytest.approx(0.8, abs=0.12)


def test_latitude_weighs(ensemble, observed):
    inside = xr.where(observed["lat"] > 0.0, 1.0, 100.0) * xr.ones_like(observed).where(observed.notnull())
    members = xr.DataArray([0.0, 1.0, 2.0], dims="member")
    # Three of the seven cells that are observed lie at 60 degrees and weigh half.
    assert metrics.coverage(members, inside, 0.5).item() == pytest.approx(1.5 / 5.5)
    assert metrics.coverage(members, inside, 0.5, weights=None).item() == pytest.approx(3 / 7)


@pytest.mark.parametrize("metric", INTERVAL_SCORES)
def test_levels_that_make_no_sense_are_an_error(metric, quantiles, seen):
    for level in (0.0, 1.0, 90, -0.5, NAN):
        with pytest.raises(ValueError, match=rf"level={level!r} must lie between 0 and 1"):
            metric(quantiles, seen, level)
    with pytest.raises(TypeError, match="level must be a number between 0 and 1, not str"):
        metric(quantiles, seen, "0.9")
    with pytest.raises(ValueError, match=r"level=0.9 .*quantiles 0.05 and 0.95, forecast has \[0.1, 0.5, 0.9\]: give"):
        metric(quantiles, seen)
    with pytest.raises(ValueError, match="forecast has no labels"):
        metric(quantiles.drop_vars("quantile"), seen, 0.8)
    members = quantiles.drop_vars("quantile").rename(quantile="member")
    with pytest.raises(ValueError, match=r"level=0.9 needs 19 members or more, 'member' has 3: .*at most 0.5"):
        metric(members, seen)
    with pytest.raises(ValueError, match=r"no 'member' in .*set member_dim"):
        metric(members[0], seen)
    with pytest.raises(TypeError, match="forecast must be a DataArray, not ndarray"):
        metric(members.values, seen)
