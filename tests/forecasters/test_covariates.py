import dask
import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from small import NEURAL, small

import gridcast as gc
from gridcast.data.covariates import make_time_features
from gridcast.data.grid import unwrap

every_forecaster = pytest.mark.parametrize("name", NEURAL)


def make_series(n_times=48, freq="6h", shape=(8, 8)):
    time = pd.date_range("2001-01-01", periods=n_times, freq=freq)
    values = np.random.default_rng(0).normal(size=(n_times, *shape)).astype(np.float32).cumsum(0)
    coords = {"time": time, "lat": np.linspace(60, 20, shape[0]), "lon": np.linspace(200, 260, shape[1])}
    return xr.DataArray(values, dims=("time", "lat", "lon"), coords=coords, name="t")


def orography(series):
    return (series[0] * 100 + 500).drop_vars("time").rename("orography")


def features(series, names):
    unwrapped, calendar = unwrap(series)
    return make_time_features(names, unwrapped, calendar)


@every_forecaster
@pytest.mark.parametrize("architecture", ["residual", "paper"])
def test_the_networks_see_static_fields_and_the_time(name, architecture):
    series = make_series()
    model = small(name, static=orography(series), time_features=("season", "day"), architecture=architecture)
    # nothing is held out, so that the networks alone forecast
    model.set_params(climatology=None, training__validation_fraction=0)
    module = model.fit(series).module_
    x, mask = torch.randn(2, 3, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.ones(2, 3, 1, 8, 8)
    clock = torch.from_numpy(model.time_features_.at(series.indexes["time"])[:2])
    for weight in module.parameters():  # untrained heads are zero
        weight.data.add_(0.1)
    now = module.forecast(x, mask, 2, clock=clock)[0]
    later = module.forecast(x, mask, 2, clock=clock.flip(0))[0]
    assert not torch.allclose(now, later)
    module.frames.static[-1] += 1
    assert not torch.allclose(now, module.forecast(x, mask, 2, clock=clock)[0])


@every_forecaster
def test_forecasts_take_the_clock_of_their_own_time(name):
    series = make_series()
    model = small(name, time_features="day", climatology=None).fit(series[:40])
    for weight in model.module_.parameters():
        weight.data.add_(0.1)
    shifted = series.assign_coords(time=series.indexes["time"] + pd.Timedelta("6h"))
    assert not np.allclose(model.predict(series[30:40], 2), model.predict(shifted[30:40], 2))
    whole = shifted.assign_coords(time=series.indexes["time"] + pd.Timedelta("24h"))
    np.testing.assert_allclose(model.predict(series[30:40], 2), model.predict(whole[30:40], 2), rtol=1e-6)
    rolled = gc.backtest(model, series[40:], 2, stride=3)
    one = model.predict(series[:43], 2)
    np.testing.assert_allclose(rolled.sel(init_time=series.time[42]), one, rtol=1e-4, atol=1e-4)
    members = model.predict_samples(series[:44], 2, n_samples=3)
    assert members.sizes["member"] == 3


@every_forecaster
def test_missing_values_samples_and_streams_go_with_covariates(name):
    series = make_series()
    lazy = xr.concat([series, series.where(series > -2)], "sample").chunk(time=12)
    with dask.config.set(scheduler="synchronous"):
        model = small(name, static=orography(series), time_features="day").fit(lazy)
        assert np.isfinite(model.predict(2)).all()


def test_patches_see_their_own_part_of_the_static_fields():
    series = make_series(shape=(16, 16))
    model = small("cnmm", static=orography(series), time_features="day", patch_size=8).fit(series)
    frames = model.module_.frames
    patch = frames.static_of(torch.tensor([[4, 8]]), (8, 8))
    torch.testing.assert_close(patch[0], frames.static[:, 4:12, 8:16])
    assert frames.n_given == 1


@pytest.mark.parametrize(
    ("freq", "architecture", "names"),
    [("6h", "residual", ("day",)), ("12h", "residual", ("day",)), ("D", "residual", None), ("6h", "paper", None)],
)
def test_by_default_a_cnmm_sees_the_time_of_the_day_where_there_is_one(freq, architecture, names):
    model = small("cnmm", architecture=architecture, max_steps=1).fit(make_series(freq=freq))
    found = model.time_features_
    assert (found and found.names) == names


def test_a_series_without_labels_has_no_time_of_the_day():
    series = make_series().drop_vars("time")
    assert small("cnmm", max_steps=1).fit(series).time_features_ is None


def test_rain_that_a_covariate_drives_is_dry_as_often_as_it_is():
    rng = np.random.default_rng(0)
    z, noise = np.zeros(500), rng.normal(size=(500, 6, 8))
    for t in range(1, len(z)):
        z[t], noise[t] = 0.8 * z[t - 1] + 0.6 * rng.normal(), 0.6 * noise[t - 1] + noise[t]
    time = pd.date_range("2020-01-01", periods=len(z), freq="6h")
    rain = np.maximum(3 * z[:, None, None] - 2 + noise, 0).astype(np.float32)
    X = xr.DataArray(rain, dims=("time", "y", "x"), coords={"time": time})
    C = xr.DataArray(z, dims="time", coords={"time": time})
    model = gc.LinearForecaster(climatology="mean", lags=2, context=6, random_state=0).fit(X[:350], covariates=C)
    assert model.covariates_.loc["covariates", "chosen"]
    members = gc.backtest(model, X[350:], 2, stride=4, n_samples=20, covariates=C)
    truth = X.sel(time=members.time)
    assert float((members == 0).mean()) == pytest.approx(float((truth == 0).mean()), abs=0.12)
    assert float(members.min()) == 0
