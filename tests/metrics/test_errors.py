"""Errors and skill: hand-computed values, the scores package, missing cells and properties."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scores import continuous

from gridcast import metrics

NAN = float("nan")

values = st.lists(st.floats(-1e3, 1e3) | st.just(NAN), min_size=6, max_size=6)


def _series(numbers: list[float]) -> xr.DataArray:
    return xr.DataArray(np.reshape(numbers, (3, 2)), dims=("time", "x"))


@pytest.mark.parametrize(
    ("metric", "expected", "by_time"),
    [
        (metrics.mse, 37 / 7, [2.5, 9.0]),
        (metrics.rmse, (37 / 7) ** 0.5, [2.5**0.5, 3.0]),
        (metrics.mae, 15 / 7, [1.5, 3.0]),
        (metrics.bias, 9 / 7, [0.0, 3.0]),
    ],
)
def test_errors_by_hand_leave_out_the_missing_cell(metric, expected, by_time, forecast, observed):
    forecast, observed = (x.rename(lat="y", lon="x") for x in (forecast, observed))
    assert metric(forecast, observed).item() == pytest.approx(expected)
    np.testing.assert_allclose(metric(forecast, observed, dim=("y", "x")), by_time)
    np.testing.assert_allclose(metric(forecast.where(observed.notnull()), observed.fillna(9.0)), expected)


def test_dim_keeps_the_other_dimensions(forecast, observed):
    assert metrics.mse(forecast, observed, dim="time").dims == ("lat", "lon")
    cells = metrics.mse(forecast, observed, dim=[])
    xr.testing.assert_equal(cells, ((forecast - observed) ** 2).rename("mse"))


def test_a_cell_without_any_observation_is_nan(forecast, observed):
    score = metrics.mse(forecast, observed.where(observed["lon"] > 0.0), dim=("time", "lat"))
    np.testing.assert_array_equal(score.isnull(), [True, False])


def test_unsigned_counts_do_not_wrap_around():
    counts = xr.DataArray(np.array([1, 200], "uint8"), dims="x")
    assert metrics.mae(counts, counts[::-1].copy()).item() == 199.0
    assert metrics.mse(counts, counts[::-1].copy()).item() == 199.0**2


def test_skill_uses_the_cells_that_all_three_have(forecast, observed):
    # The second day is missing in the reference, so its large forecast error must not count.
    reference = (observed + 3.0).where(observed["time"] < observed["time"][1])
    assert metrics.mse_skill(forecast, reference, observed, weights=None).item() == pytest.approx(1.0 - 2.5 / 9.0)
    swapped = metrics.mse_skill(reference, forecast, observed, weights=None)
    assert swapped.item() == pytest.approx(1.0 - 9.0 / 2.5)
    reference = (observed + 3.0).where(observed["lat"] > 0.0)
    by_time = metrics.mse_skill(forecast, reference, observed, dim=("lat", "lon"))
    np.testing.assert_allclose(by_time, [1.0 - 1.0 / 9.0, 0.0])


def test_skill_against_a_perfect_reference_is_nan(forecast, observed):
    assert np.isnan(metrics.mse_skill(forecast, observed, observed))
    assert np.isnan(metrics.mse_skill(observed, observed, observed))


@settings(deadline=None, max_examples=40)
@given(values, values)
def test_skill_of_the_reference_itself_is_zero(reference, observed):
    reference, observed = _series(reference), _series(observed)
    skill = metrics.mse_skill(reference, reference, observed).item()
    assert skill == 0.0 or (np.isnan(skill) and not metrics.mse(reference, observed) > 0.0)


@settings(deadline=None, max_examples=40)
@given(values, values, st.floats(0.1, 10.0))
def test_errors_scale_with_the_data(forecast, observed, factor):
    forecast, observed = _series(forecast), _series(observed)
    for metric, power in ((metrics.rmse, 1), (metrics.mae, 1), (metrics.bias, 1), (metrics.mse, 2)):
        scaled = metric(forecast * factor, observed * factor)
        xr.testing.assert_allclose(scaled, metric(forecast, observed) * factor**power, atol=1e-6)


@pytest.mark.parametrize("name", ["mse", "rmse", "mae", "bias"])
def test_errors_are_those_of_scores(name, forecast, observed):
    of_scores = getattr(continuous, {"bias": "additive_bias"}.get(name, name))
    for weights in (None, metrics.latitude_weights(observed)):
        expected = of_scores(forecast, observed, reduce_dims="lat", weights=weights)
        np.testing.assert_allclose(getattr(metrics, name)(forecast, observed, dim="lat", weights=weights), expected)
