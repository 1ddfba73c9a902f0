"""CRPS of a part of the distribution: by hand, and the CRPS where the part is everything."""

import numpy as np
import pytest
import xarray as xr
from scores import probability

from gridcast import metrics

NAN = float("nan")


@pytest.fixture
def wind():
    """Three members and the observation of two days."""
    ensemble = xr.DataArray([[1.0, 2.0], [5.0, 2.0], [9.0, 3.0]], dims=("member", "time"), attrs={"units": "m/s"})
    return ensemble, xr.DataArray([6.0, 1.0], dims="time", attrs={"units": "m/s"})


def test_tails_by_hand(wind):
    # Above 4: members 4, 5, 9 around 6, and all of the second day at 4.
    score = metrics.threshold_weighted_crps(*wind, lower=4.0, dim=())
    np.testing.assert_allclose(score, [(2 + 1 + 3) / 3 - (1 + 5 + 4) / 6, 0.0])
    assert (score.name, score.attrs) == ("threshold_weighted_crps", {"units": "m/s"})
    # Below 4: 1, 4, 4 around 4, and 2, 2, 3 around 1; plain, pairs are divided by nine instead of six.
    score = metrics.threshold_weighted_crps(*wind, upper=4.0, fair=False, dim=())
    np.testing.assert_allclose(score, [3 / 3 - 6 / 9, 4 / 3 - 2 / 9])
    # From 2 to 6: 2, 5, 6 around 6, and 2, 2, 3 around 2.
    score = metrics.threshold_weighted_crps(*wind, 2.0, 6.0, dim=())
    np.testing.assert_allclose(score, [5 / 3 - 8 / 6, 1 / 3 - 2 / 6], atol=1e-12)


def test_tails_are_those_of_scores(ensemble, observed):
    options = {"reduce_dims": ["time", "lat"], "weights": metrics.latitude_weights(observed), "method": "fair"}
    over = {"dim": ("time", "lat")}
    upper = probability.tail_tw_crps_for_ensemble(ensemble, observed, "member", 3.0, tail="upper", **options)
    np.testing.assert_allclose(metrics.threshold_weighted_crps(ensemble, observed, 3.0, **over), upper)
    inner = probability.interval_tw_crps_for_ensemble(ensemble, observed, "member", 1.0, 5.0, **options)
    np.testing.assert_allclose(metrics.threshold_weighted_crps(ensemble, observed, 1.0, 5.0, **over), inner)


def test_two_parts_add_up_to_the_crps(ensemble, observed):
    parts = [metrics.threshold_weighted_crps(ensemble, observed, **part) for part in ({"upper": 3.0}, {"lower": 3.0})]
    np.testing.assert_allclose(sum(parts), metrics.crps(ensemble, observed))
    by_function = metrics.threshold_weighted_crps(ensemble, observed, chaining=lambda x: np.maximum(x, 3.0))
    xr.testing.assert_allclose(by_function, parts[1])
    double = metrics.threshold_weighted_crps(ensemble, observed, chaining=lambda x: 2.0 * x)
    np.testing.assert_allclose(double, 2.0 * metrics.crps(ensemble, observed))


def test_a_part_may_vary_and_be_missing(ensemble, observed):
    lower = xr.where(observed["lat"] > 0.0, 3.0, NAN)
    expected = metrics.threshold_weighted_crps(ensemble.sel(lat=[60.0]), observed.sel(lat=[60.0]), 3.0)
    xr.testing.assert_allclose(metrics.threshold_weighted_crps(ensemble, observed, lower), expected)


def test_the_fair_score_does_not_depend_on_the_number_of_members():
    rng = np.random.default_rng(0)
    observed = xr.DataArray(rng.normal(size=40_000), dims="time")
    draws = xr.DataArray(rng.normal(size=(20, 40_000)), dims=("member", "time"))
    few, many = (metrics.threshold_weighted_crps(draws[:n], observed, 1.0).item() for n in (2, 20))
    assert few == pytest.approx(many, abs=0.004)
    assert metrics.threshold_weighted_crps(draws[:2], observed, 1.0, fair=False).item() > many + 0.015


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, ValueError, "give lower=None, upper=None or both, or chaining=None"),
        ({"lower": 1.0, "chaining": abs}, ValueError, "give lower=1.0, upper=None or both"),
        ({"lower": 4.0, "upper": 4.0}, ValueError, r"lower=4\.0 must be below upper=4\.0"),
        ({"lower": NAN}, ValueError, "lower=nan must be finite"),
        ({"upper": "4"}, TypeError, "upper must be a number or a DataArray, not str"),
        ({"upper": xr.DataArray([1.0], dims="time")}, ValueError, "forecast and upper differ along 'time'"),
        ({"lower": 2.0, "upper": xr.DataArray([3.0, 2.0], dims="time")}, ValueError, r"(?s)lower=2\.0 must be below"),
        ({"chaining": lambda x: x.values}, TypeError, "chaining must return a DataArray .*got ndarray"),
        ({"chaining": lambda x: x.sum()}, TypeError, r"chaining must return a DataArray over .*got \(\)"),
    ],
)
def test_parts_that_make_no_sense_are_an_error(options, error, message, wind):
    with pytest.raises(error, match=message):
        metrics.threshold_weighted_crps(*wind, **options)
