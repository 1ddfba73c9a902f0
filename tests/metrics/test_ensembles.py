"""Scores of ensembles: hand-computed values, the scores package, missing members and ties."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scores import probability

from gridcast import metrics

NAN = float("nan")
ENSEMBLE_SCORES = [metrics.crps, metrics.spread_skill_ratio]

values = st.lists(st.floats(-1e3, 1e3) | st.just(NAN), min_size=6, max_size=6)


def _series(numbers: list[float]) -> xr.DataArray:
    return xr.DataArray(np.reshape(numbers, (3, 2)), dims=("time", "x"))


def test_crps_by_hand(ensemble, observed):
    # Members at 0, 1 and 2 around an observation of 0.
    first_cell = ensemble.isel(time=0, lat=0, lon=0).expand_dims("time")
    score = metrics.crps(first_cell, observed.isel(time=[0], lat=0, lon=0))
    assert score.item() == pytest.approx((0.0 + 1.0 + 2.0) / 3 - (1.0 + 1.0 + 2.0) / 6)


def test_spread_skill_ratio_by_hand(ensemble, observed):
    wide_where_missing = ensemble * xr.where(observed.isnull(), 100.0, 1.0)
    score = metrics.spread_skill_ratio(wide_where_missing, observed, dim=("lat", "lon"), weights=None)
    np.testing.assert_allclose(score, [(4 / 3 / 2.5) ** 0.5, (4 / 3 / 9.0) ** 0.5])


@pytest.mark.parametrize("metric", ENSEMBLE_SCORES)
def test_a_cell_with_a_missing_member_is_left_out(metric, ensemble, observed):
    gap = ensemble.where((ensemble["lat"] > 0.0) | (ensemble["member"] > 0))
    expected = metric(ensemble.sel(lat=[60.0]), observed.sel(lat=[60.0]))
    xr.testing.assert_allclose(metric(gap, observed), expected)


def test_a_calibrated_ensemble_has_ratio_one_whatever_its_size():
    rng = np.random.default_rng(0)
    observed = xr.DataArray(rng.normal(size=40_000), dims="time")
    for n_members in (2, 5):
        ensemble = xr.DataArray(rng.normal(size=(n_members, 40_000)), dims=("member", "time"))
        assert metrics.spread_skill_ratio(ensemble, observed).item() == pytest.approx(1.0, abs=0.02)


def test_member_dimension_by_another_name(ensemble, observed):
    renamed = ensemble.rename(member="number")
    for metric in ENSEMBLE_SCORES:
        assert metric(renamed, observed, member_dim="number").identical(metric(ensemble, observed))
        with pytest.raises(ValueError, match=r"no 'member' in .*set member_dim"):
            metric(renamed, observed)


def test_a_spread_needs_two_members(ensemble, observed):
    with pytest.raises(ValueError, match="two members or more, 'member' has 1"):
        metrics.spread_skill_ratio(ensemble.isel(member=[0]), observed)


def test_observations_have_no_members(ensemble):
    with pytest.raises(ValueError, match="observations have no members"):
        metrics.crps(ensemble, ensemble)


@settings(deadline=None, max_examples=40)
@given(values, values)
def test_crps_of_one_member_is_the_absolute_error(forecast, observed):
    forecast, observed = _series(forecast), _series(observed)
    for dim in (None, "x"):
        score = metrics.crps(forecast.expand_dims("member"), observed, dim=dim)
        xr.testing.assert_allclose(score, metrics.mae(forecast, observed, dim=dim).rename("crps"))


def test_ensemble_scores_are_those_of_scores(ensemble, observed):
    weights = metrics.latitude_weights(observed)
    options = {"reduce_dims": ["lat", "time"], "weights": weights}
    crps = probability.crps_for_ensemble(ensemble, observed, "member", method="fair", **options)
    xr.testing.assert_allclose(metrics.crps(ensemble, observed, dim=("lat", "time")), crps.rename("crps"))
    ranks = probability.rank_histogram(ensemble, observed, "member", **options)
    np.testing.assert_allclose(metrics.rank_histogram(ensemble, observed, dim=("lat", "time")), ranks)


def test_ranks_by_hand_share_ties():
    # Below both members, between them, equal to one, equal to both; the fifth day lacks a member, the sixth the truth.
    members = [[1.0, 1.0, 1.0, 0.0, NAN, 1.0], [3.0, 3.0, 3.0, 0.0, 3.0, 3.0]]
    ensemble = xr.DataArray(members, dims=("member", "time"))
    observed = xr.DataArray([0.0, 2.0, 3.0, 0.0, 5.0, NAN], dims="time")
    shares = np.array([[1, 0, 0], [0, 1, 0], [0, 1 / 2, 1 / 2], [1 / 3, 1 / 3, 1 / 3]])
    by_time = metrics.rank_histogram(ensemble, observed, dim=[])
    assert by_time.dims == ("time", "rank")
    np.testing.assert_array_equal(by_time["rank"], [1, 2, 3])
    np.testing.assert_allclose(by_time[:4], shares)
    assert by_time[4:].isnull().all()
    histogram = metrics.rank_histogram(ensemble, observed)
    np.testing.assert_allclose(histogram, shares.mean(0))
    assert histogram.identical(metrics.rank_histogram(ensemble, observed))


def test_ranks_of_a_calibrated_ensemble_are_flat():
    rng = np.random.default_rng(0)
    draws = xr.DataArray(rng.poisson(1.0, size=(5, 40_000)), dims=("member", "time"))
    histogram = metrics.rank_histogram(draws[:4], draws[4].drop_vars("member", errors="ignore"))
    np.testing.assert_allclose(histogram, 0.2, atol=0.01)


def test_ranks_broadcast_over_lead_times(ensemble, observed):
    leads = xr.concat([ensemble, ensemble + 100.0], "lead_time")
    histogram = metrics.rank_histogram(leads, observed, dim=("time", "lat", "lon"))
    np.testing.assert_allclose(histogram.sum("rank"), 1.0)
    np.testing.assert_allclose(histogram.isel(lead_time=1, rank=0), 1.0)


def test_a_dimension_named_rank_is_an_error(ensemble, observed):
    with pytest.raises(ValueError, match=r"dimension 'rank'.*rename it"):
        metrics.rank_histogram(ensemble.rename(lat="rank"), observed.rename(lat="rank"))
