"""Scores of events: reliability and fractions skill, by hand and against the scores package."""

import dask
import numpy as np
import pytest
import xarray as xr
from scores.spatial import fss_2d

from gridcast import metrics

NAN = float("nan")


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


def test_reliability_by_hand(votes, seen):
    curve = metrics.reliability(votes, seen, 1.0)
    assert dict(curve.sizes) == {"probability_bin": 3}
    np.testing.assert_array_equal(curve["probability_bin"], [0.0, 0.5, 1.0])
    np.testing.assert_array_equal(curve["forecast_probability"], [0.0, 0.5, 1.0])
    np.testing.assert_array_equal(curve["observed_frequency"], [0.5, 0.5, 1.0])
    np.testing.assert_array_equal(curve["count"], [2, 2, 1])


def test_reliability_in_equal_bins(votes, seen):
    curve = metrics.reliability(votes, seen, 1.0, n_bins=2)
    np.testing.assert_array_equal(curve["probability_bin"], [0.25, 0.75])
    np.testing.assert_allclose(curve["forecast_probability"], [0.0, 2 / 3])
    np.testing.assert_allclose(curve["observed_frequency"], [0.5, 2 / 3])
    empty = metrics.reliability(votes, seen, 1.0, n_bins=10)
    assert empty["count"].values.tolist() == [2, 0, 0, 0, 0, 2, 0, 0, 0, 1]
    assert np.isnan(empty["observed_frequency"][1])


def test_a_probability_on_an_edge_belongs_to_the_bin_above():
    members = xr.DataArray(np.tri(101, 100, -1).T, dims=("member", "time"))
    counts = metrics.reliability(members, xr.zeros_like(members[0]), 0.5, n_bins=100)["count"]
    assert counts.values.tolist() == [1] * 99 + [2]


def test_reliability_with_weights_and_kept_dimensions():
    ensemble = xr.DataArray(np.ones((2, 2, 2)), dims=("member", "lead_time", "lat"), coords={"lat": [60.0, 0.0]})
    observed = xr.DataArray([1.0, 0.0], coords={"lat": [60.0, 0.0]})
    curve = metrics.reliability(ensemble, observed, 1.0, dim="lat")
    np.testing.assert_allclose(curve["observed_frequency"].isel(probability_bin=2), [1 / 3, 1 / 3])
    np.testing.assert_array_equal(curve["count"].isel(probability_bin=2), [2, 2])
    assert metrics.reliability(ensemble, observed, 1.0, weights=None)["observed_frequency"][2].item() == 0.5


def test_a_calibrated_ensemble_is_reliable():
    rng = np.random.default_rng(0)
    centre = rng.normal(size=60_000)
    draws = xr.DataArray(centre + rng.normal(size=(41, 60_000)), dims=("member", "time"))
    curve = metrics.reliability(draws[:40], draws[40], 0.5, n_bins=5)
    np.testing.assert_allclose(curve["observed_frequency"], curve["forecast_probability"], atol=0.03)


def test_a_threshold_may_vary(votes, seen):
    threshold = xr.where(seen.time < 2, 0.0, NAN)
    curve = metrics.reliability(votes, seen, threshold)
    assert curve["count"].values.tolist() == [0, 0, 2]
    assert curve["observed_frequency"][2].item() == 1.0


def test_fractions_by_hand():
    observed = xr.DataArray([[5.0, 0.0, 0.0, 0.0]], dims=("y", "x"))
    forecast = xr.DataArray([[0.0, 1.0, 0.0, 0.0]], dims=("y", "x"))
    # Windows of two cells: fractions 1/2, 0, 0 are observed and 1/2, 1/2, 0 forecast.
    score = metrics.fractions_skill_score(forecast, observed, 1.0, (1, 2))
    assert score.item() == pytest.approx(1.0 - 0.25 / (0.25 + 0.5))
    assert (score.name, score.attrs) == ("fractions_skill_score", {"units": "1"})
    assert metrics.fractions_skill_score(forecast, observed, 1.0, 1).item() == 0.0
    assert metrics.fractions_skill_score(observed, observed, 1.0, (1, 3)).item() == 1.0
    assert np.isnan(metrics.fractions_skill_score(forecast, observed, 9.0, 1))


@pytest.fixture
def rain():
    rng = np.random.default_rng(0)
    return [
        xr.DataArray(rng.gamma(0.5, size=(3, 9, 11)), dims=("time", "lat", "lon")).assign_coords(
            lat=np.linspace(80, 0, 9)
        )
        for _ in range(2)
    ]


@pytest.mark.parametrize("window", [1, 3, (2, 5), (9, 11)])
@pytest.mark.parametrize("reduced", [["time"], []])
def test_fractions_are_those_of_scores(window, reduced, rain):
    size = window if isinstance(window, tuple) else (window, window)
    dims = [*reduced, "lat", "lon"]
    options = {"event_threshold": 0.7, "threshold_operator": np.greater_equal, "reduce_dims": dims}
    expected = fss_2d(*rain, window_size=size, spatial_dims=("lat", "lon"), **options)
    score = metrics.fractions_skill_score(*rain, 0.7, window, dim=reduced, weights=None)
    np.testing.assert_allclose(score, expected)


def test_a_window_weighs_what_its_cells_weigh(rain):
    forecast, observed = rain
    weights = metrics.latitude_weights(observed).values
    weights = (weights[:-1] + weights[1:]) / 2
    fractions = [np.lib.stride_tricks.sliding_window_view(x >= 0.7, (2, 2), (1, 2)).mean((-1, -2)) for x in rain]
    above = (weights[:, None] * (fractions[0] - fractions[1]) ** 2).sum()
    below = (weights[:, None] * (fractions[0] ** 2 + fractions[1] ** 2)).sum()
    score = metrics.fractions_skill_score(forecast, observed, 0.7, 2)
    assert score.item() == pytest.approx(1.0 - above / below)


def test_a_missing_cell_shows_no_event_on_either_side(rain):
    forecast, observed = rain
    gap = observed.where(observed["lat"] > 20.0)
    expected = metrics.fractions_skill_score(forecast.where(gap.notnull(), 0.0), gap.fillna(0.0), 0.7, 3)
    for sides in ((forecast, gap), (forecast.where(gap.notnull()), observed)):
        assert metrics.fractions_skill_score(*sides, 0.7, 3).item() == pytest.approx(expected.item())


def test_event_scores_stay_lazy(rain, votes, seen):
    forecast, observed = rain
    with dask.config.set(scheduler=no_compute):
        fractions = metrics.fractions_skill_score(forecast.chunk(2), observed.chunk(3), 0.7, 3, dim=[])
        curve = metrics.reliability(votes.chunk(1), seen.chunk(2), 1.0)
    assert fractions.chunks is not None
    assert all(score.chunks is not None for score in curve.values())
    xr.testing.assert_allclose(fractions.compute(), metrics.fractions_skill_score(*rain, 0.7, 3, dim=[]))
    xr.testing.assert_identical(curve.compute(), metrics.reliability(votes, seen, 1.0))


@pytest.mark.parametrize(
    ("window", "options", "error", "message"),
    [
        (0, {}, ValueError, "window=0 must be an integer of at least 1"),
        (2.0, {}, TypeError, "window=2.0 must be an integer of at least 1"),
        (10, {}, ValueError, "window=10 is larger than the 9 cells along 'lat'"),
        ((1, 2, 3), {}, ValueError, r"window=\(1, 2, 3\) and spatial_dims"),
        (1, {"spatial_dims": ("lat", "x")}, ValueError, "spatial_dims has 'x'"),
    ],
)
def test_windows_that_do_not_fit_are_an_error(window, options, error, message, rain):
    with pytest.raises(error, match=message):
        metrics.fractions_skill_score(*rain, 0.7, window, **options)


def test_thresholds_and_bins_that_make_no_sense_are_an_error(votes, seen):
    with pytest.raises(ValueError, match="threshold=nan must be finite"):
        metrics.reliability(votes, seen, NAN)
    with pytest.raises(TypeError, match="threshold must be a number or a DataArray, not list"):
        metrics.reliability(votes, seen, [1.0])
    with pytest.raises(ValueError, match="n_bins=0 must be an integer of at least 1"):
        metrics.reliability(votes, seen, 1.0, n_bins=0)
    with pytest.raises(ValueError, match="forecast and threshold differ along 'time'"):
        metrics.reliability(votes, seen, seen[:3])
