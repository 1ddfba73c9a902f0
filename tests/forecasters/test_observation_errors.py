"""Errors of observations that are known."""

import numpy as np
import pytest
import xarray as xr
from linear_processes import labelled, linear_field
from small import small

import gridcast as gc


def mse(forecast, truth):
    return float(np.square(forecast - truth.sel(time=forecast.time)).mean())


def test_a_cell_with_a_large_error_counts_little(linear_model, linear_later):
    rng = np.random.default_rng(0)
    error = xr.ones_like(linear_later[0]) * xr.DataArray(np.where(np.arange(12) < 6, 0.0, 2.0), dims="x")
    noisy = linear_later + error * linear_later.copy(data=rng.normal(size=linear_later.shape))
    plain = gc.backtest(linear_model, noisy, 1)
    known = gc.backtest(linear_model, noisy, 1, observation_error=error)
    assert mse(known, linear_later) < 0.5 * mse(plain, linear_later)
    # cells that are exact are forecast as before
    np.testing.assert_allclose(known.values[..., :4], plain.values[..., :4], atol=0.3)
    # the least that a filter can reach: the variance of a forecast from estimates of variance p
    p = 0.25
    for _ in range(50):
        p = 0.64 * (p * 4 / (p + 4)) + 0.25
    assert mse(known[..., 8:], linear_later[..., 8:]) == pytest.approx(p, rel=0.1)


def test_an_infinite_error_is_a_gap_and_none_is_exact(linear_model, linear_later):
    gapped = linear_later.copy()
    gapped[-2:, :4] = np.nan
    error = xr.zeros_like(linear_later).where(gapped.notnull(), np.inf)
    with_error = linear_model.predict(linear_later, 2, observation_error=error)
    xr.testing.assert_allclose(with_error, linear_model.predict(gapped, 2, observation_error=0.0), atol=0.05)
    # nothing is missing, and nothing is wrong
    xr.testing.assert_allclose(
        linear_model.predict(linear_later, 2, observation_error=0.0), linear_model.predict(linear_later, 2), atol=1e-3
    )


@pytest.mark.parametrize("form", ["number", "field", "series", "array"])
def test_an_error_is_a_number_a_field_or_a_series(linear_model, linear_later, form):
    number = 0.7
    forms = {
        "number": number,
        "field": xr.full_like(linear_later[0], number),
        "series": xr.full_like(linear_later, number),
        "array": np.full(linear_later.shape[1:], number),
    }
    found = linear_model.predict(linear_later, 3, observation_error=forms[form])
    xr.testing.assert_allclose(found, linear_model.predict(linear_later, 3, observation_error=number), atol=1e-4)


def test_members_start_from_what_is_not_known(linear_model, linear_later):
    plain, known = (
        linear_model.predict_samples(linear_later, 1, n_samples=60, observation_error=e).std("member").mean()
        for e in (None, 1.5)
    )
    assert float(known) > 1.1 * float(plain)
    quantiles = linear_model.predict_quantiles(linear_later, 2, n_samples=20, observation_error=0.5)
    assert quantiles.sizes["quantile"] == 3
    steps = linear_model.predict(linear_later, 4, mode="one_step", observation_error=0.5)
    assert steps.sizes["time"] == 4


def test_an_update_keeps_its_errors(linear_train, linear_later, tmp_path):
    one, other = (
        gc.LinearForecaster(climatology="mean", lags=2, context=6, random_state=0).fit(linear_train) for _ in range(2)
    )
    one.update(linear_later[:20], observation_error=1.0)
    error = xr.full_like(xr.concat([linear_train[-36:], linear_later[:20]], "time"), 1.0)
    error[:36] = 0.0
    history = xr.concat([linear_train[-36:], linear_later[:20]], "time")
    expected = other.predict(history, 2, observation_error=error)
    xr.testing.assert_allclose(one.predict(2), expected, atol=1e-3)
    one.save(tmp_path / "m.gridcast")
    xr.testing.assert_identical(gc.load(tmp_path / "m.gridcast").predict(2), one.predict(2))


def test_networks_take_errors_too():
    series = labelled(linear_field(120))
    model = small("cnmm", random_state=0).fit(series)
    forecast = model.predict(series, 2, observation_error=0.5)
    assert forecast.notnull().all()
    assert not np.array_equal(forecast, model.predict(series, 2))
    assert model.predict_samples(series, 2, n_samples=3, observation_error=0.5).sizes["member"] == 3


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (-1.0, ValueError, "observation_error=-1.0 is negative"),
        ("big", TypeError, "observation_error must be a number, an ndarray or a DataArray, not str"),
        (np.ones((3, 3)), ValueError, r"observation_error has the shape \(3, 3\)"),
        (xr.DataArray(np.ones(5), dims="x"), ValueError, "observation_error has 5 entries along 'x'"),
        (xr.DataArray(np.ones(5), dims="z"), ValueError, "observation_error has a dimension 'z'"),
        (xr.DataArray(-np.ones(12), dims="x"), ValueError, "observation_error holds a negative value, -1"),
    ],
)
def test_other_errors_are_refused(linear_model, linear_later, error, kind, message):
    with pytest.raises(kind, match=message):
        linear_model.predict(linear_later, 1, observation_error=error)


def test_errors_of_other_times_are_refused(linear_model, linear_later):
    error = xr.ones_like(linear_later).assign_coords(time=linear_later.time + np.timedelta64(900, "D"))
    with pytest.raises(ValueError, match="observation_error has no time"):
        linear_model.predict(linear_later, 1, observation_error=error)


def test_what_has_no_linear_model_says_so(linear_later):
    naive = gc.NaiveForecaster().fit(linear_later)
    with pytest.raises(ValueError, match=r"observation_error needs the linear model.*NaiveForecaster has none"):
        naive.predict(1, observation_error=1.0)


def test_a_missing_cell_leaves_what_is_known_of_the_noise():
    rng = np.random.default_rng(1)
    x, t = np.arange(16), np.arange(600)
    signal = 5 * np.sin(2 * np.pi * (x[None, None] / 16 + t[:, None, None] / 60)) * np.ones((1, 8, 1))
    noisy = labelled((280 + signal + rng.normal(size=signal.shape)).astype(np.float32))
    model = gc.LinearForecaster(climatology="mean", context=6, random_state=0).fit(noisy[:500])
    whole = model.predict(noisy[500:], 1, observation_error=1.0)
    gapped = noisy[500:].copy()
    gapped[-2, 0, 0] = np.nan
    found = model.predict(gapped, 1, observation_error=1.0)
    np.testing.assert_allclose(found[..., 8:], whole[..., 8:], atol=0.02)


@pytest.mark.parametrize("dtype", [float, int])
def test_a_masked_error_is_a_gap(linear_model, linear_later, dtype):
    error = np.ones(linear_later.shape, dtype)
    masked = np.ma.masked_array(error, mask=False)
    masked[-2:, :4] = np.ma.masked
    expected = linear_model.predict(linear_later, 2, observation_error=np.where(masked.mask, np.nan, error))
    xr.testing.assert_identical(linear_model.predict(linear_later, 2, observation_error=masked), expected)
