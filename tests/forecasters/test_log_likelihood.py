"""The density of observations in the forecast before them."""

import numpy as np
import pytest
import xarray as xr
from linear_processes import labelled, linear_field
from scipy.stats import norm
from single import on_device
from small import small

import gridcast as gc


def test_it_is_scipys_for_a_linear_model(linear_model, linear_later):
    found = linear_model.log_likelihood(linear_later)
    assert found.dims == linear_later.dims
    mean = gc.backtest(linear_model, linear_later, 1).isel(lead_time=0).values
    half = (linear_model.transformer_.data_max_ - linear_model.transformer_.data_min_).item() / 2
    spread = linear_model.module_.spread
    assert not spread.power[0].any()  # noise that is always the same
    std = linear_model.module_.std[0, 0].numpy().astype(float) * spread.paths[0, 0].numpy() * half
    expected = norm.logpdf(linear_later.values.astype(float), mean.astype(float), std)
    np.testing.assert_allclose(found.values, expected, rtol=1e-5, atol=1e-4)
    # and of the process itself
    exact = norm.logpdf(linear_later.values[1:], 280 + 0.8 * (linear_later.values[:-1] - 280), 0.5)
    assert float(found[1:].mean()) == pytest.approx(exact.mean(), abs=0.03)


def test_a_series_that_does_not_follow_lacks_its_context(linear_model, linear_later):
    found = linear_model.log_likelihood(linear_later[50:80])
    assert found.sizes["time"] == 30
    assert found[:6].isnull().all()
    assert found[6:].notnull().all()
    gapped = linear_later[50:80].copy()
    gapped[20, 0, 0] = np.nan
    assert np.isnan(linear_model.log_likelihood(gapped)[20, 0, 0])


def test_a_fault_stands_out(linear_model, linear_later):
    usual = linear_model.log_likelihood(linear_later).sum(("y", "x"))
    limit = float(usual.quantile(0.01))
    wrong = linear_later.copy()
    wrong[100], wrong[150] = linear_later[150].values, linear_later[100].values
    found = linear_model.log_likelihood(wrong).sum(("y", "x"))
    assert (found[[100, 150]] < limit).all()


def test_networks_have_one_too(linear_train):
    for architecture in ("residual", "paper"):
        cnmm = small("cnmm", architecture=architecture, random_state=0).fit(linear_train[:120])
        found = cnmm.log_likelihood(linear_train[120:140])
        assert found.notnull().all()
        xr.testing.assert_identical(found, cnmm.log_likelihood(linear_train[120:140]))  # nothing is drawn anew


def test_a_device_without_double_precision_has_the_same(linear_model, linear_later, monkeypatch):
    expected, module = linear_model.log_likelihood(linear_later), type(linear_model.module_)
    predictive = module.predictive
    monkeypatch.setattr(module, "predictive", lambda self, of: [on_device(part) for part in predictive(self, of)])
    xr.testing.assert_identical(linear_model.log_likelihood(linear_later), expected)


def test_at_a_natural_bound_it_is_a_probability():
    rng = np.random.default_rng(0)
    rain = np.maximum(linear_field(600) - 280, 0).astype(np.float32) * (1 + rng.random((600, 1, 1), np.float32))
    model = gc.LinearForecaster(climatology="mean", lags=2, context=6, random_state=0).fit(labelled(rain[:500]))
    found = model.log_likelihood(labelled(rain)[500:])
    dry = rain[500:] == 0
    assert (found.values[dry] <= 0).all()
    assert np.isfinite(found.values).all()


def test_units_change_a_density_by_their_factor_alone():
    rng = np.random.default_rng(0)
    rain = np.maximum(linear_field(300) - 280, 0).astype(np.float64) * (1 + rng.random((300, 1, 1)))
    found = []
    for unit in (1.0, 1 / 86400):  # mm/day, kg m-2 s-1
        model = gc.LinearForecaster(
            climatology="mean", lags=2, context=6, transformer=gc.LogTransformer(offset=0.5 * unit), random_state=0
        )
        values = labelled(unit * rain)
        wet = values[200:] > 0.05 * unit
        found.append(model.fit(values[:200]).log_likelihood(values[200:]).where(wet) + np.log(unit))
    np.testing.assert_allclose(found[0], found[1], atol=0.02)
