"""There and back: transformer and climatology together."""

import contextlib
import dataclasses
import importlib

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import gridcast as gc
from gridcast.data.drivers import AHEAD, read_drivers
from gridcast.data.grid import unwrap
from gridcast.transformers.response import fit_response
from gridcast.transformers.scaling import Scaling


def make_series(n_times=48, *, n_samples=1, rain=False, seed=0):
    """Monthly fields with a seasonal cycle, (sample, time, y, x)."""
    wave = np.cos(2 * np.pi * np.arange(n_times) / 12)[:, None, None]
    values = 5 * wave + np.random.default_rng(seed).normal(size=(n_samples, n_times, 3, 4))
    values = np.maximum(values, 0) if rain else values + 280
    coords = {"time": pd.date_range("2001-01-01", periods=n_times, freq="MS")}
    X = xr.DataArray(values.astype(np.float32), dims=("sample", "time", "lat", "lon"), coords=coords)
    return X if n_samples > 1 else X[0]


def fit(X, climatology="year"):
    series, calendar = unwrap(X)
    scaling, scaled = Scaling.fit(gc.MinMaxTransformer(), climatology, series, calendar)
    return scaling, scaled, series


@pytest.mark.parametrize("climatology", [None, "mean", "year", 5])
@pytest.mark.parametrize("n_samples", [1, 2])
def test_restoring_contexts_gives_the_series_back(climatology, n_samples):
    X = make_series(n_samples=n_samples)
    scaling, _, series = fit(X, climatology)
    batches, n = [np.array([3, 9, 10]), np.array([20, 47])], 4
    for origins, (x, mask) in zip(batches, scaling.contexts(series, batches, n), strict=True):
        assert x.shape == mask.shape == (n_samples * len(origins), n, 1, 3, 4)
        assert mask.all()
        steps = [origins - n + 1 + lead for lead in range(n)]
        leads = [series.times[s] for s in steps]
        values = x.reshape(1, n_samples, len(origins), n, 1, 3, 4).copy()
        restored = scaling.restore(values, series, leads, bounded=False)
        for lead in range(n):
            expected = series.values[:, steps[lead]]  # (sample, origin, channel, y, x)
            np.testing.assert_allclose(restored[0, :, :, lead], expected, rtol=1e-5)


def test_anomalies_have_no_mean_at_any_step_of_the_cycle():
    scaling, scaled, _ = fit(make_series())
    anomalies = scaling.subtract(scaled.values, scaled.times)[0].reshape(4, 12, 3, 4)
    # three of the harmonics of a year are kept, so that single months may differ; the year and the season do not
    season = np.cos(2 * np.pi * np.arange(12) / 12)[:, None, None]
    np.testing.assert_allclose(anomalies.mean((0, 1)), 0, atol=1e-6)
    np.testing.assert_allclose((anomalies * season).mean((0, 1)), 0, atol=1e-6)
    assert not scaling.default.any()


def test_without_a_climatology_the_mean_stands_for_what_was_never_seen():
    X = make_series()
    X[:5, 1, 2] = np.nan
    scaling, scaled, series = fit(X, None)
    np.testing.assert_allclose(scaling.default, np.nanmean(scaled.values, (0, 1)), rtol=1e-5)
    ((x, mask),) = scaling.contexts(series, [np.array([3])], 4)
    np.testing.assert_allclose(x[0, :, 0, 1, 2], scaling.default[0, 1, 2])
    assert not mask[0, :, 0, 1, 2].any()


def restored_of(X, value, bounded):
    """Restore one scaled anomaly that is the same everywhere, in the month after the series."""
    scaling, _, series = fit(X)
    after = pd.date_range(X.time.values[-1], periods=2, freq="MS")[1:]
    return scaling.restore(np.full((1, 1, 1, 1, 1, 3, 4), value, np.float32), series, [after], bounded)


def test_values_are_clipped_to_a_natural_bound_alone():
    rain = make_series(rain=True)
    np.testing.assert_allclose(restored_of(rain, -50.0, True), 0, atol=1e-5)  # no rain falls upwards
    assert restored_of(rain, -50.0, False).max() < -10
    assert restored_of(rain, 50.0, True).min() > float(rain.max()) + 10  # a record is none
    air = make_series()
    assert restored_of(air, -50.0, True).max() < float(air.min()) - 10


def test_cells_never_observed_are_nan():
    X = make_series()
    X[:, 1, 2] = np.nan
    restored = restored_of(X, 0.0, False)
    assert np.argwhere(np.isnan(restored[0, 0, 0, 0, 0])).tolist() == [[1, 2]]
    scaling, _, series = fit(X)
    ((x, mask),) = scaling.contexts(series, [np.array([10])], 4)
    assert not np.isnan(x).any()
    assert (mask == 0).sum() == 4


def test_another_series_brings_its_own_cycle_but_not_where_it_is_too_short():
    scaling, scaled, _ = fit(make_series())
    other = unwrap(make_series(seed=1))[0]
    again = scaling.refitted(other)
    assert again.climatology.period_ == "year"
    np.testing.assert_allclose(again.climatology.cycle_[0], other.values.mean((0, 1)), rtol=1e-5)
    assert again.transformer is scaling.transformer
    assert again.statistics is scaling.statistics
    short = type(scaled)(scaled.values[:, :11], scaled.times[:11], scaled.grid, None, {})
    assert scaling.refitted(short) is scaling
    without, scaled, _ = fit(make_series(), None)
    assert without.refitted(scaled) is without


def test_another_series_is_scaled_as_the_first_and_without_the_response():
    X = make_series()
    tide = xr.DataArray(np.random.default_rng(1).normal(size=len(X)), dims="time", coords={"time": X.time})
    series, calendar = unwrap(X + 10 * tide)
    series = dataclasses.replace(series, drivers=read_drivers(tide, None, series, calendar))
    scaling, scaled = Scaling.fit(gc.MinMaxTransformer(), "mean", series, calendar)
    limits = np.full(1, -np.inf, np.float32), np.full(1, np.inf, np.float32)
    args = calendar, [AHEAD], np.array([0]), (0, len(X)), (False, False), limits
    response = fit_response(scaled, scaling.climatology, *args)
    scaling, rest = scaling.responding(response, scaled)
    assert rest.values.var() < 0.5 * scaled.values.var()
    np.testing.assert_array_equal(scaling.again(series, calendar)[1].values, rest.values)


def test_a_lazy_series_stays_lazy_and_parameters_are_not_fitted():
    transformer, X = gc.MinMaxTransformer(), make_series().chunk(time=10)
    scaling, scaled = Scaling.fit(transformer, "year", *unwrap(X))
    assert isinstance(scaled.values, da.Array)
    assert not hasattr(transformer, "data_min_")
    eager, _, _ = fit(make_series())
    np.testing.assert_allclose(scaling.climatology.cycle_, eager.climatology.cycle_, atol=1e-6)


def test_an_impossible_climatology_says_what_else_there_is():
    with pytest.raises(ValueError, match=r'climatology=\'year\': .*; or use "auto", "mean" or None'):
        fit(make_series(6))


def test_a_climatology_that_does_not_fit_into_memory_is_the_mean(monkeypatch):
    monkeypatch.setattr("gridcast.transformers.scaling.CYCLE_BYTES", 6 * 12 * 4)
    with pytest.warns(UserWarning, match="the mean of each cell is used instead"):
        scaling, scaled, _ = fit(make_series())
    np.testing.assert_allclose(scaling.climatology.cycle_[0], scaled.values.mean((0, 1)), atol=1e-5)


class Labelled(gc.MinMaxTransformer):
    """A transformer of the user's, which knows labels only."""

    def transform(self, X):
        assert isinstance(X, xr.DataArray)
        return super().transform(X)

    def inverse_transform(self, X):
        assert isinstance(X, xr.DataArray)
        return super().inverse_transform(X)


@pytest.mark.parametrize("n_samples", [1, 3])
def test_a_transformer_of_labels_gives_what_one_of_arrays_gives(n_samples):
    series, calendar = unwrap(make_series(n_samples=n_samples))
    results = []
    for transformer in (gc.MinMaxTransformer(), Labelled()):
        scaling, scaled = Scaling.fit(transformer, "year", series, calendar)
        ((x, _),) = scaling.contexts(series, [np.array([5, 9])], 4)
        forecast = np.full((2, n_samples, 3, 1, *series.grid.shape), 0.1, dtype=np.float32)
        restored = scaling.restore(forecast, series, [series.times[:3]], bounded=False)
        results.append((scaled.values, x, restored))
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)


def test_labels_come_off_once_and_go_on_once(monkeypatch):
    counts = {"unwrap": 0, "wrap": 0}

    def counted(name, function):
        def call(*arguments, **options):
            counts[name] += 1
            return function(*arguments, **options)

        return call

    rooms = ("forecasters.base", "forecasters.predicting", "transformers.scaling", "transformers.channels")
    for module in (f"gridcast.{room}" for room in rooms):
        for name in ("unwrap", "wrap"):
            with contextlib.suppress(AttributeError):
                monkeypatch.setattr(f"{module}.{name}", counted(name, getattr(importlib.import_module(module), name)))
    model = gc.LinearForecaster(lags=2, context=3, random_state=0).fit(make_series())
    assert counts == {"unwrap": 1, "wrap": 0}
    model.predict(5)
    assert counts == {"unwrap": 1, "wrap": 1}
