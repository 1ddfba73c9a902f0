"""The density of observations in the forecast before them."""

import numpy as np
import pytest
import xarray as xr
from linear_processes import labelled, linear_field
from scipy.stats import norm
from small import small

import gridcast as gc


@pytest.fixture(scope="module")
def train():
    return labelled(linear_field(1500))


@pytest.fixture(scope="module")
def model(train):
    return gc.LinearForecaster(climatology="mean", lags=2, context=6, random_state=0).fit(train)


@pytest.fixture(scope="module")
def later(train):
    series = labelled(linear_field(200, seed=8))
    return series.assign_coords(time=train.time.values[-1] + (1 + np.arange(200)) * np.timedelta64(1, "D"))


def test_it_is_scipys_for_a_linear_model(model, later):
    found = model.log_likelihood(later)
    assert found.dims == later.dims
    mean = gc.backtest(model, later, 1).isel(lead_time=0).values
    half = (model.transformer_.data_max_ - model.transformer_.data_min_).item() / 2
    std = model.module_.std[0, 0].numpy().astype(float) * half
    expected = norm.logpdf(later.values.astype(float), mean.astype(float), std)
    np.testing.assert_allclose(found.values, expected, rtol=1e-5, atol=1e-4)
    # and of the process itself
    exact = norm.logpdf(later.values[1:], 280 + 0.8 * (later.values[:-1] - 280), 0.5)
    assert float(found[1:].mean()) == pytest.approx(exact.mean(), abs=0.03)


def test_a_series_that_does_not_follow_lacks_its_context(model, later):
    found = model.log_likelihood(later[50:80])
    assert found.sizes["time"] == 30
    assert found[:6].isnull().all()
    assert found[6:].notnull().all()
    gapped = later[50:80].copy()
    gapped[20, 0, 0] = np.nan
    assert np.isnan(model.log_likelihood(gapped)[20, 0, 0])


def test_a_fault_stands_out(model, later):
    usual = model.log_likelihood(later).sum(("y", "x"))
    limit = float(usual.quantile(0.01))
    wrong = later.copy()
    wrong[100], wrong[150] = later[150].values, later[100].values
    found = model.log_likelihood(wrong).sum(("y", "x"))
    assert (found[[100, 150]] < limit).all()


def test_networks_have_one_too(train):
    for architecture in ("residual", "paper"):
        cnmm = small("cnmm", architecture=architecture, random_state=0).fit(train[:120])
        found = cnmm.log_likelihood(train[120:140])
        assert found.notnull().all()
        xr.testing.assert_identical(found, cnmm.log_likelihood(train[120:140]))  # nothing is drawn anew


def test_at_a_natural_bound_it_is_a_probability():
    rng = np.random.default_rng(0)
    rain = np.maximum(linear_field(600) - 280, 0).astype(np.float32) * (1 + rng.random((600, 1, 1), np.float32))
    model = gc.LinearForecaster(climatology="mean", lags=2, context=6, random_state=0).fit(labelled(rain[:500]))
    found = model.log_likelihood(labelled(rain)[500:])
    dry = rain[500:] == 0
    assert (found.values[dry] <= 0).all()
    assert np.isfinite(found.values).all()
