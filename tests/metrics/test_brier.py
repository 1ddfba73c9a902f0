"""Brier score, its parts and the relative operating characteristic, by hand and against the scores package."""

import dask
import numpy as np
import pytest
import xarray as xr
from scores.probability import brier_score_for_ensemble, roc_curve_data

from gridcast import metrics

NAN = float("nan")
EVENT_SCORES = [metrics.brier_score, metrics.brier_decomposition, metrics.roc]


def no_compute(*args, **kwargs):
    raise AssertionError("a metric computed the caller's data")


@pytest.fixture
def votes():
    """Two members of seven days: probabilities 0, 0, 1/2, 1/2, 1/2, 1 and a missing member."""
    return xr.DataArray(
        [[0.0, 0.0, 5.0, 0.0, 0.0, 1.0, NAN], [0.0, 0.0, 0.0, 5.0, 5.0, 5.0, 5.0]], dims=("member", "time")
    )


@pytest.fixture
def seen():
    return xr.DataArray([0.0, 2.0, 3.0, 0.0, NAN, 1.0, 9.0], dims="time")


@pytest.fixture
def rain():
    """Five members and their observations on a latitude, with gaps."""
    rng = np.random.default_rng(0)
    labels = {"lat": [0.0, 30.0, 60.0, 80.0]}
    ensemble = xr.DataArray(rng.gamma(0.5, size=(5, 30, 4, 3)), dims=("member", "time", "lat", "lon"), coords=labels)
    observed = xr.DataArray(rng.gamma(0.5, size=(30, 4, 3)), dims=("time", "lat", "lon"), coords=labels)
    return ensemble.where(rng.random(ensemble.shape) < 0.98), observed.where(rng.random(observed.shape) < 0.9)


def test_brier_score_by_hand(votes, seen):
    # Of five days: (0, no), (0, yes), (1/2, yes), (1/2, no), (1, yes).
    plain = metrics.brier_score(votes, seen, 1.0, fair=False)
    assert plain.item() == pytest.approx((0.0 + 1.0 + 0.25 + 0.25 + 0.0) / 5)
    assert (plain.name, plain.attrs) == ("brier_score", {"units": "1"})
    # m (M - m) / (M^2 (M - 1)) is 1/4 where one of two members shows the event.
    assert metrics.brier_score(votes, seen, 1.0).item() == pytest.approx((0.0 + 1.0 + 0.0 + 0.0 + 0.0) / 5)


def test_brier_decomposition_by_hand(votes, seen):
    parts = metrics.brier_decomposition(votes, seen, 1.0)
    # Probabilities 0, 1/2, 1 on 2, 2, 1 days, observed frequencies 1/2, 1/2, 1, of all 3/5.
    assert parts["reliability"].item() == pytest.approx((2 * 0.25 + 0.0 + 0.0) / 5)
    assert parts["resolution"].item() == pytest.approx((2 * 0.01 + 2 * 0.01 + 0.16) / 5)
    assert parts["uncertainty"].item() == pytest.approx(0.6 * 0.4)
    assert {part.attrs["units"] for part in parts.values()} == {"1"}


@pytest.mark.parametrize("dim", [None, ("time", "lat"), "lon"])
@pytest.mark.parametrize("weights", ["auto", None])
def test_the_parts_add_up_to_the_score(dim, weights, rain):
    options = {"dim": dim, "weights": weights}
    parts = metrics.brier_decomposition(*rain, 0.4, **options)
    score = metrics.brier_score(*rain, 0.4, fair=False, **options)
    xr.testing.assert_allclose(parts["reliability"] - parts["resolution"] + parts["uncertainty"], score)
    xr.testing.assert_allclose(parts["brier_score"], score)


@pytest.mark.parametrize("fair", [True, False])
def test_brier_score_is_that_of_scores(fair, rain):
    ensemble, observed = rain
    complete = ensemble.where(ensemble.notnull().all("member"))
    options = {"reduce_dims": ["time", "lat"], "weights": metrics.latitude_weights(observed), "fair_correction": fair}
    with np.errstate(invalid="ignore"):
        expected = brier_score_for_ensemble(complete, observed, "member", 0.4, **options).isel(threshold=0)
    np.testing.assert_allclose(metrics.brier_score(*rain, 0.4, fair=fair, dim=("time", "lat")), expected)


def test_the_fair_score_does_not_depend_on_the_number_of_members():
    rng = np.random.default_rng(0)
    probability = rng.random(60_000)
    observed = xr.DataArray((rng.random(60_000) < probability) * 1.0, dims="time")
    members = xr.DataArray((rng.random((20, 60_000)) < probability) * 1.0, dims=("member", "time"))
    few, many = (metrics.brier_score(members[:n], observed, 0.5).item() for n in (2, 20))
    assert few == pytest.approx(many, abs=0.005) == pytest.approx(1 / 6, abs=0.005)
    assert metrics.brier_score(members[:2], observed, 0.5, fair=False).item() > many + 0.05


def test_the_integral_over_thresholds_is_the_crps():
    ensemble = xr.DataArray([[1.0], [5.0], [2.0]], dims=("member", "time"))
    observed = xr.DataArray([6.0], dims="time")
    thresholds = xr.DataArray(np.arange(0.0, 8.0, 0.01) + 0.005, dims="threshold")
    integral = metrics.brier_score(ensemble, observed, thresholds).sum() * 0.01
    assert integral.item() == pytest.approx(metrics.crps(ensemble, observed).item(), abs=0.01)


def test_one_member_is_not_corrected(votes, seen):
    single = votes.isel(member=[1])
    assert metrics.brier_score(single, seen, 1.0).item() == metrics.brier_score(single, seen, 1.0, fair=False).item()


def test_roc_by_hand(votes, seen):
    curve = metrics.roc(votes, seen, 1.0)
    # Events have the probabilities 0, 1/2, 1, the other two days 0 and 1/2.
    np.testing.assert_array_equal(curve["probability_threshold"], [0.0, 0.5, 1.0, np.inf])
    np.testing.assert_allclose(curve["hit_rate"], [1.0, 2 / 3, 1 / 3, 0.0])
    np.testing.assert_allclose(curve["false_alarm_rate"], [1.0, 1 / 2, 0.0, 0.0])
    # Of six pairs of an event and none: 0 ties with 0 and loses, 1/2 wins and ties, 1 wins twice.
    assert curve["roc_area"].item() == pytest.approx((0.5 + 0.0 + 1.0 + 0.5 + 1.0 + 1.0) / 6)
    assert {part.attrs["units"] for part in (*curve.values(), curve["probability_threshold"])} == {"1"}


@pytest.mark.parametrize("dim", ["time", "lat", "lon"])
def test_roc_is_that_of_scores(dim, rain):
    ensemble, observed = rain
    complete = ensemble.notnull().all("member") & observed.notnull()
    probability = (ensemble >= 0.4).mean("member").where(complete)
    weights = metrics.latitude_weights(observed) if dim == "lat" else None
    happened = (observed >= 0.4).astype(float).where(complete)
    expected = roc_curve_data(probability, happened, np.arange(6) / 5, reduce_dims=[dim], weights=weights)
    curve = metrics.roc(*rain, 0.4, dim=dim)
    expected = expected.transpose("threshold", ...)
    np.testing.assert_allclose(curve["hit_rate"], expected["POD"])
    np.testing.assert_allclose(curve["false_alarm_rate"], expected["POFD"])
    both = curve["roc_area"].notnull().values  # scores says 0 where there is no event
    np.testing.assert_allclose(curve["roc_area"].values[both], expected["AUC"].values[both])
    assert both.any()


def test_an_area_without_events_is_missing(votes, seen):
    assert np.isnan(metrics.roc(votes, seen, 100.0)["roc_area"])
    assert np.isnan(metrics.roc(votes, seen, -100.0)["roc_area"])


def test_event_scores_stay_lazy(rain):
    ensemble, observed = rain
    for metric in EVENT_SCORES:
        with dask.config.set(scheduler=no_compute):
            lazy = metric(ensemble.chunk(2), observed.chunk(3), 0.4, dim=("time", "lat"))
        parts = lazy.values() if isinstance(lazy, xr.Dataset) else [lazy]
        assert all(part.chunks is not None for part in parts)
        xr.testing.assert_allclose(lazy.compute(), metric(ensemble, observed, 0.4, dim=("time", "lat")))


@pytest.mark.parametrize("metric", EVENT_SCORES)
def test_cells_without_a_threshold_are_left_out(metric, rain):
    ensemble, observed = rain
    threshold = xr.where(observed["lat"] < 50.0, 0.4, NAN)
    part = (data.sel(lat=slice(0, 50)) for data in rain)
    xr.testing.assert_allclose(metric(ensemble, observed, threshold), metric(*part, 0.4))


@pytest.mark.parametrize("metric", EVENT_SCORES)
def test_thresholds_that_make_no_sense_are_an_error(metric, votes, seen):
    with pytest.raises(ValueError, match="threshold=inf must be finite"):
        metric(votes, seen, np.inf)
    with pytest.raises(TypeError, match="threshold must be a number or a DataArray, not str"):
        metric(votes, seen, "1")
    with pytest.raises(ValueError, match="forecast and threshold differ along 'time'"):
        metric(votes, seen, seen[:3])
    with pytest.raises(ValueError, match=r"no 'member' in .*set member_dim"):
        metric(votes[0], seen, 1.0)


def test_a_dimension_of_the_curve_is_an_error(votes, seen):
    renamed = (data.rename(time="probability_threshold") for data in (votes, seen))
    with pytest.raises(ValueError, match=r"dimension 'probability_threshold'.*rename it"):
        metrics.roc(*renamed, 1.0)
