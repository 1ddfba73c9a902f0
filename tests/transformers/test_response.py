"""The response to covariates."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from gridcast.data.drivers import AHEAD, PAST, read_drivers
from gridcast.data.grid import unwrap
from gridcast.transformers.response import LAGS, fit_response

N, SHAPE = 400, (4, 6)
BOUNDED = (False, False)


def noise(rng, persistence, *shape):
    """Return first-order autoregressions of unit variance along the first dimension."""
    out = rng.normal(size=shape)
    for t in range(1, len(out)):
        out[t] = persistence * out[t - 1] + np.sqrt(1 - persistence**2) * out[t]
    return out


def labelled(values, *dims):
    time = pd.date_range("2001-01-01", periods=len(values), freq="D")
    coords = {"time": time} | ({"y": np.arange(4.0), "x": np.arange(6.0)} if "y" in dims else {})
    return xr.DataArray(values, dims=("time", *dims), coords=coords)


def learn(series, covariates=None, past=None, *, around=BOUNDED):
    unwrapped, calendar = unwrap(series)
    drivers = read_drivers(covariates, past, unwrapped, calendar)
    scaled = type(unwrapped)(unwrapped.values, unwrapped.times, unwrapped.grid, drivers=drivers)
    limits = np.full(1, -np.inf, np.float32), np.full(1, np.inf, np.float32)
    response = fit_response(scaled, None, calendar, list(drivers.parts), np.array([0]), (0, 300), around, limits)
    return response, scaled


def test_the_coefficients_of_an_area_wide_series_are_recovered():
    rng = np.random.default_rng(0)
    tide, slope = noise(rng, 0.5, N), rng.normal(size=SHAPE)
    lagged = np.concatenate([tide[:1], tide[:1], tide[:-2]])  # two steps ago
    truth = slope * tide[:, None, None] - 0.5 * lagged[:, None, None]
    response, scaled = learn(labelled(truth + 0.3 * noise(rng, 0.9, N, *SHAPE), "y", "x"), labelled(tide))
    influence = response.influences[AHEAD]
    found = influence.coefficients[:, 0] / influence.std[0]
    assert found.shape == (len(LAGS[False]), *SHAPE)
    np.testing.assert_allclose(found[0], slope, atol=0.06)
    np.testing.assert_allclose(found[2], -0.5, atol=0.06)
    np.testing.assert_allclose(found[[1, 3, 4]], 0, atol=0.06)
    # what is left out of the fit too
    rest = response.at(scaled.drivers, scaled.times)[0, 300:, 0] - truth[300:]
    assert np.square(rest - rest.mean(0)).mean() < 0.01


def test_the_persistence_of_the_errors_is_accounted_for():
    # slow errors drown a static regression: two standard errors of it are about 0.3 here
    rng = np.random.default_rng(1)
    tide = noise(rng, 0.0, N)
    response, _ = learn(labelled(tide[:, None, None] + 3 * noise(rng, 0.98, N, *SHAPE), "y", "x"), labelled(tide))
    influence = response.influences[AHEAD]
    assert np.abs(influence.coefficients[0] / influence.std[0] - 1).max() < 0.15


def test_a_gridded_one_acts_at_its_cell_and_around():
    rng = np.random.default_rng(2)
    wind = noise(rng, 0.3, N, *SHAPE)
    around = np.mean([np.roll(wind, (i, j), (1, 2)) for i in (-1, 0, 1) for j in (-1, 0, 1)], axis=0)
    truth = 2 * wind - 3 * around
    series = labelled(truth + 0.2 * noise(rng, 0.8, N, *SHAPE), "y", "x")
    response, scaled = learn(series, labelled(wind, "y", "x"), around=(True, True))
    rest = response.at(scaled.drivers, scaled.times)[0, 300:, 0] - truth[300:]
    assert np.square(rest).mean() < 0.02 * np.square(truth).mean()
    bounded, scaled = learn(series, labelled(wind, "y", "x"))
    assert np.square(bounded.at(scaled.drivers, scaled.times)[0, 300:, 0] - truth[300:]).mean() > np.square(rest).mean()


def test_those_of_the_past_begin_one_step_ago():
    rng = np.random.default_rng(3)
    index = noise(rng, 0.0, N)
    late = np.concatenate([[0.0], index[:-1]])[:, None, None]
    series = labelled(late + 0.1 * noise(rng, 0.0, N, *SHAPE), "y", "x")
    response, scaled = learn(series, None, labelled(index))
    np.testing.assert_allclose(
        response.influences[PAST].coefficients[0] / response.influences[PAST].std[0], 1, atol=0.05
    )
    # the covariate of a step says nothing of that step
    changed = labelled(np.where(np.arange(N) == 350, 100.0, index))
    unwrapped, calendar = unwrap(series)
    other = response.at(read_drivers(None, changed, unwrapped, calendar), scaled.times)
    same = response.at(scaled.drivers, scaled.times)
    np.testing.assert_array_equal(other[:, :351], same[:, :351])
    assert (other[:, 351] > same[:, 351] + 50).all()


def test_what_is_missing_is_as_usual_and_what_never_varies_says_nothing():
    rng = np.random.default_rng(4)
    tide = 5 + noise(rng, 0.5, N)
    gaps = np.where(rng.uniform(size=N) < 0.1, np.nan, tide)
    series = labelled(tide[:, None, None] + 0.1 * noise(rng, 0.5, N, *SHAPE), "y", "x")
    response, scaled = learn(series.where(rng.uniform(size=series.shape) > 0.1), labelled(gaps))
    found = response.at(scaled.drivers, scaled.times)
    assert np.isfinite(found).all()
    # a little smaller than 1: a tenth of it was taken for usual
    np.testing.assert_allclose(
        response.influences[AHEAD].coefficients[0] / response.influences[AHEAD].std, 0.95, atol=0.15
    )
    constant, scaled = learn(series, labelled(np.full(N, 7.3)))
    assert (constant.at(scaled.drivers, scaled.times) == 0).all()
    with pytest.raises(ValueError, match="covariates holds a series without any value at the times of X"):
        learn(series, labelled(np.full(N, np.nan)))


def test_lazy_and_in_memory_leave_the_same():
    rng = np.random.default_rng(5)
    wind, series = (labelled(noise(rng, 0.5, N, *SHAPE).astype("f4"), "y", "x") for _ in range(2))
    eager, scaled = learn(series + wind, wind)
    lazy, chunked = learn((series + wind).chunk(time=70, y=2), wind.chunk(time=90, x=3))
    expected, found = eager.subtracted(scaled).values, lazy.subtracted(chunked).values
    assert not isinstance(found, np.ndarray)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert expected.var() < 0.6 * scaled.values.var()
