"""Lazy series: every forecaster reads what it needs and no more, and leaves them lazy."""

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from archives import Archive, lazy
from every import (
    N_TRAIN,
    every_estimator,
    make_estimators,
    make_series,
    with_gaps,
)

import gridcast as gc
from gridcast.data.grid import Series


def test_dask_and_numpy_give_the_same_forecast_and_only_needed_chunks_are_read(fitted):
    chunked, archive = lazy(fitted.series, 20)
    for arguments in ({"horizon": 3}, {"horizon": 5, "mode": "one_step"}):
        forecast = fitted.estimator.predict(chunked, **arguments)
        xr.testing.assert_identical(forecast, fitted.estimator.predict(fitted.series, **arguments))
    assert archive.first == 40
    fitted.estimator.predict_quantiles(chunked, 2, n_samples=2)
    assert archive.first == 40
    assert isinstance(chunked.data, da.Array)


def test_update_reads_only_what_the_next_forecast_needs(fitted):
    long = make_series(300)
    chunked, archive = lazy(long[N_TRAIN:], 20)
    fitted.copy().update(chunked)
    assert archive.first >= len(chunked) - 60


@every_estimator
def test_fit_on_dask_leaves_the_array_lazy_and_gives_the_same_model(name):
    series = make_series()
    chunked, archive = lazy(series[:N_TRAIN], 20)
    data = chunked.data
    estimator = make_estimators()[name].fit(chunked)
    assert chunked.data is data
    assert archive.n_reads > 0
    expected = make_estimators()[name].fit(series[:N_TRAIN]).predict(3)
    np.testing.assert_allclose(estimator.predict(3), expected, rtol=1e-5)
    chunked_test, _ = lazy(series[N_TRAIN:], 5)
    score = estimator.score(chunked_test)
    assert score == pytest.approx(estimator.score(series[N_TRAIN:]), rel=1e-4)
    assert isinstance(chunked_test.data, da.Array)


@every_estimator
def test_a_file_opened_without_chunks_is_never_loaded(name, tmp_path):
    make_series().to_netcdf(tmp_path / "t2m.nc")
    with xr.open_dataarray(tmp_path / "t2m.nc") as series:
        train, test = series[:N_TRAIN], series[N_TRAIN:]
        estimator = make_estimators()[name].fit(train)
        estimator.predict(series, 2)
        estimator.score(test)
        estimator.update(test)
        for array in (series, train, test):
            assert not array.variable._in_memory


@every_estimator
def test_the_callers_array_is_not_changed(name):
    series = with_gaps(make_series())
    before = series.copy(deep=True)
    train, test = series[:N_TRAIN], series[N_TRAIN:]
    estimator = make_estimators()[name].fit(train)
    estimator.score(test)
    estimator.predict_samples(train, 2, n_samples=2)
    forecast = estimator.update(test).predict(2)
    forecast += 1e6
    xr.testing.assert_identical(series, before)
    assert estimator.predict(2).max() < 1e5


def test_a_read_error_during_fit_keeps_the_earlier_one(fitted):
    class Broken(Archive):
        def __getitem__(self, key):
            if key[0].indices(self.shape[0])[1] == self.shape[0] and self.n_reads >= self.healthy:
                raise OSError("the disk is gone")
            return super().__getitem__(key)

    estimator, expected = fitted.copy(), fitted.estimator.predict(3)
    meta = np.empty((0, 0, 0), np.float32)
    for healthy in (0, 1, 2, 3, 4):
        archive = Broken(fitted.series.values)
        archive.healthy = healthy
        broken = fitted.series.copy(data=da.from_array(archive, chunks=(60, -1, -1), meta=meta))
        try:
            estimator.fit(broken)
        except OSError:
            xr.testing.assert_identical(estimator.predict(3), expected)
        else:
            estimator = fitted.copy()


def test_what_lies_between_distant_origins_is_not_read(monkeypatch):
    steps = []
    load = Series.load
    monkeypatch.setattr(Series, "load", lambda self, first, stop: steps.append(stop - first) or load(self, first, stop))
    model = gc.LinearForecaster(lags=2, context=6, climatology="mean", random_state=0).fit(make_series()[:N_TRAIN])
    later = make_series(N_TRAIN + 500)[N_TRAIN:].chunk(time=20)
    expected = gc.backtest(model, later, 1, stride=40).compute()
    assert max(steps) < 60
    np.testing.assert_allclose(gc.backtest(model, later, 1)[::40], expected, rtol=1e-5)
    steps.clear()
    model.calibrate(later, horizon=1, n_samples=10)
    assert max(steps) < 60
