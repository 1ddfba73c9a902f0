"""The fields of the past, as a user has them."""

import numpy as np
import pytest
import xarray as xr
from linear_processes import labelled, linear_field
from small import small

import gridcast as gc
from gridcast.modules.smoother import Smoother

WEIGHT, NOISE = 0.8, 0.5


@pytest.fixture(scope="module")
def series():
    return labelled(linear_field(150, seed=5)).assign_coords(
        time=np.datetime64("2010-01-01", "ns") + np.arange(150) * np.timedelta64(1, "D")
    )


def bridge(before, after, n):
    """Mean and variance of an autoregression given the steps around a gap of `n`."""
    steps = np.arange(1, n + 1)
    variance = NOISE**2 / (1 - WEIGHT**2)
    lag = np.array([0, n + 1])
    cross = variance * WEIGHT ** np.abs(steps[:, None] - lag)
    ends = variance * WEIGHT ** np.abs(lag[:, None] - lag)
    gain = cross @ np.linalg.inv(ends)
    mean = 280 + np.einsum("ke,e...->k...", gain, np.stack([before, after]) - 280)
    return mean, variance - (gain * cross).sum(1)


@pytest.mark.parametrize("n", [1, 5])
def test_gaps_of_a_linear_process_are_filled_as_the_exact_smoother_does(linear_model, series, n):
    gapped = series.copy()
    starts = range(10, 140, 12)
    for start in starts:
        gapped[start : start + n] = np.nan
    found, errors, exact = linear_model.reconstruct(gapped), [], []
    for start in starts:
        mean, _ = bridge(series.values[start - 1], series.values[start + n], n)
        truth = series.values[start : start + n]
        errors.append(np.square(found.values[start : start + n] - truth).mean())
        exact.append(np.square(mean - truth).mean())
    assert np.mean(errors) == pytest.approx(np.mean(exact), rel=0.05)
    assert np.mean(errors) >= np.mean(exact) * 0.98
    xr.testing.assert_identical(found.where(gapped.notnull()), gapped.where(gapped.notnull()))


def test_the_width_of_members_is_learned_where_there_are_steps_enough(linear_model):
    assert 0.9 <= float(linear_model.module_.widening) <= 1.1  # the model is right
    assert float(linear_model.module_.widening) != 1
    short = gc.LinearForecaster(lags=2, context=4, random_state=0).fit(labelled(linear_field(50)))
    assert float(short.module_.widening) == 1


def test_members_cover_what_is_hidden_and_agree_where_it_was_seen(linear_model, series):
    rng = np.random.default_rng(0)
    hidden = rng.random(series.shape) < 0.4
    hidden[60:63] = True
    members = linear_model.reconstruct(series.where(~hidden), n_samples=40)
    assert members.dims == ("member", "time", "y", "x")
    low, high = members.quantile([0.05, 0.95], "member").values
    covered = ((series.values >= low) & (series.values <= high))[hidden].mean()
    assert 0.83 <= covered <= 0.93  # of 40 members the quantiles are a little narrow
    assert (members.values[:, ~hidden] == series.values[~hidden]).all()
    crps = gc.metrics.crps(members, series, dim=[], weights=None).values[hidden].mean()
    mean, _ = bridge(series.values[59], series.values[63], 3)
    assert crps < 0.6 * np.abs(series.values - 280)[hidden].mean()
    assert np.square(members.mean("member").values[60:63] - mean).mean() < 0.08  # of 40 members


def test_smoothing_beats_filtering_and_agrees_with_it_at_the_end(linear_model, series):
    gapped = series.copy()
    gapped[20:24], gapped[-3:] = np.nan, np.nan
    smoothed = linear_model.reconstruct(gapped)
    filtered = linear_model.predict(gapped[:20], 4)
    truth = series.values[20:24]
    assert np.square(smoothed.values[20:24] - truth).mean() < np.square(filtered.values - truth).mean()
    last = linear_model.predict(gapped[:-3], 3)
    np.testing.assert_allclose(smoothed.values[-3:], last.values, atol=0.15)


def test_noise_is_taken_off_where_asked():
    rng = np.random.default_rng(1)
    # a slow wave under white noise
    x, t = np.arange(16), np.arange(900)
    signal = 5 * np.sin(2 * np.pi * (x[None, None] / 16 + t[:, None, None] / 60)) * np.ones((1, 8, 1))
    noisy = labelled((280 + signal + rng.normal(size=signal.shape)).astype(np.float32))
    model = gc.LinearForecaster(climatology="mean", random_state=0).fit(noisy[:800])
    half = float(model.transformer_.data_max_[0] - model.transformer_.data_min_[0]) / 2
    assert float(Smoother(model.module_).noise_floor().sqrt()) * half == pytest.approx(1, rel=0.1)
    kept = model.reconstruct(noisy[800:])
    xr.testing.assert_identical(kept, noisy[800:])
    clean = model.reconstruct(noisy[800:], keep_observed=False)
    error = np.square(clean.values - 280 - signal[800:]).mean()
    assert error < 0.6
    drawn = model.reconstruct(noisy[800:820], n_samples=5, keep_observed=False)
    assert 0 < float(drawn.std("member").mean()) < 1


@pytest.mark.parametrize("name", ["cnmm", "convlstm", "dmm"])
def test_networks_reconstruct_along_their_linear_model(name):
    train = labelled(linear_field(120))
    train[:, 0, 0] = np.nan  # as land
    model = small(name, random_state=0).fit(train)
    gapped = train.copy()
    gapped[50] = np.nan
    found = model.reconstruct(gapped)
    assert found.isnull().sum() == len(train)  # land alone
    xr.testing.assert_identical(found, model.linear_.reconstruct(gapped))
    # without X the training series
    xr.testing.assert_identical(model.reconstruct(), model.reconstruct(train))


def test_a_lazy_series_is_filled_as_one_in_memory(linear_model, series):
    gapped = series.copy()
    gapped[5:8], gapped[100, :4] = np.nan, np.nan
    xr.testing.assert_identical(linear_model.reconstruct(gapped.chunk(time=16)), linear_model.reconstruct(gapped))


def test_samples_are_filled_each_for_itself(series):
    both = xr.concat([series, series + 0.5], "sample")
    gapped = both.where((both.sample == 0) | (both.time != both.time[30]))
    model = gc.LinearForecaster(climatology="mean", lags=2, context=6, random_state=0).fit(both)
    found = model.reconstruct(gapped)
    assert found.dims == both.dims
    assert found.notnull().all()
    xr.testing.assert_identical(found[0], both[0].drop_vars("sample", errors="ignore").assign_coords(found[0].coords))


def test_what_can_not_be_reconstructed_is_said(linear_model, series, tmp_path):
    linear_model.save(tmp_path / "m.gridcast")
    with pytest.raises(ValueError, match="X=None: the training series is not kept"):
        gc.load(tmp_path / "m.gridcast").reconstruct()
    with pytest.raises(TypeError, match="n_samples"):
        linear_model.reconstruct(series, n_samples=2.5)
    with pytest.raises(ValueError, match="entries along 'y'"):
        linear_model.reconstruct(series[:, :4])
    paper = small("cnmm", architecture="paper", random_state=0).fit(labelled(linear_field(60)))
    with pytest.raises(AttributeError, match="architecture='paper' has no linear model"):
        paper.reconstruct()


def test_an_observation_whose_error_has_no_limit_is_filled(linear_model, series):
    wrong = series.copy()
    wrong[40, 3, 3], wrong[60] = 9999.0, -9999.0
    error = xr.zeros_like(series).where(np.abs(wrong) < 9000, np.inf)
    found = linear_model.reconstruct(wrong, observation_error=error)
    assert float(np.abs(found - 280).max()) < 10
    xr.testing.assert_identical(found.where(error == 0), series.where(error == 0))


def test_what_was_observed_stays_where_training_never_saw_anything(series):
    train = labelled(linear_field(200))
    train[:, 0, 0] = np.nan
    model = gc.LinearForecaster(climatology="mean", lags=2, context=6, random_state=0).fit(train)
    gapped = series.copy()
    gapped[5], gapped[7, 0, 0] = np.nan, np.nan
    found = model.reconstruct(gapped)
    expected = series[:, 0, 0].where(gapped[:, 0, 0].notnull())  # as it was observed, and not filled
    np.testing.assert_array_equal(found[:, 0, 0], expected)
    assert model.reconstruct(gapped, keep_observed=False)[:, 0, 0].isnull().all()
