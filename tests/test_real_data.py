"""The main job on real files: fit, forecast and verify, as a user does it."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import gridcast as gc

pytestmark = pytest.mark.slow

QUICK = {
    "window": 8, "context": 4, "batch_size": 8, "max_epochs": 1, "random_state": 0, "training": gc.Training(stride=40),
}  # fmt: skip
FORECASTERS = {
    "naive": gc.NaiveForecaster("persistence"),
    "convlstm": gc.ConvLSTMForecaster(**QUICK, patch_size=16),
    "dmm": gc.DMMForecaster(**QUICK, latent_channels=8, rnn_channels=8, transition_channels=8, encoder_features=16),
    "cnmm": gc.CNMMForecaster(**QUICK, patch_size=16, rnn_channels=8, transition_channels=8, lags=2),
}
every_forecaster = pytest.mark.parametrize("forecaster", FORECASTERS.values(), ids=FORECASTERS)


@pytest.fixture(scope="module")
def air(shared_data) -> xr.DataArray:
    return xr.open_zarr(shared_data / "air_temperature.zarr", decode_timedelta=False)["air"]


@every_forecaster
def test_six_hourly_air_temperature_from_zarr(forecaster, air):
    assert air.chunks
    train, test = gc.train_test_split(air, test_fraction=0.3)
    forecaster.fit(train)
    forecast = forecaster.predict(20)
    assert air.chunks
    assert forecast.dims == air.dims
    assert forecast.shape == (20, 25, 53)
    assert (forecast.name, forecast.attrs["units"]) == ("air", air.attrs["units"])
    steps = pd.DatetimeIndex(forecast["time"].values)
    assert steps[0] == pd.Timestamp(train["time"].values[-1]) + pd.Timedelta("6h")
    np.testing.assert_array_equal(steps, test["time"].values[:20])
    xr.testing.assert_equal(forecast["lat"], air["lat"])
    xr.testing.assert_equal(forecast["lon"], air["lon"])
    assert 200 < forecast.min() < forecast.max() < 340
    score = forecaster.score(test[:60])
    assert score == 0 if isinstance(forecaster, gc.NaiveForecaster) else np.isfinite(score)


@every_forecaster
def test_hourly_temperature_of_era5_from_netcdf(forecaster, shared_data):
    with xr.open_dataset(shared_data / "era5_t2m_uk_2019-03_hourly.nc", chunks={}) as dataset:
        (t2m,) = (v for v in dataset.data_vars.values() if v.ndim == 3)
        train, test = gc.train_test_split(t2m, test_fraction=0.3)
        forecaster.fit(train)
        forecast = forecaster.predict(5)
        np.testing.assert_array_equal(forecast["time"], test["time"][:5])
        np.testing.assert_array_equal(forecast[t2m.dims[1]], t2m[t2m.dims[1]])
        back = gc.backtest(forecaster, test[:40], horizon=5, stride=10)
        assert np.isfinite(gc.metrics.rmse(back, test.sel(time=back.time)))


@every_forecaster
def test_monthly_sea_surface_temperature_keeps_its_land(forecaster, shared_data):
    with xr.open_dataset(shared_data / "ersstv5_sst.mnmean.nc", chunks={}) as dataset:
        sst = dataset["sst"][:, ::2, ::2]
        forecaster.fit(sst[:100])
        forecast = forecaster.predict(3)
        pd.testing.assert_index_equal(forecast.get_index("time"), sst.get_index("time")[100:103], check_names=False)
        np.testing.assert_array_equal(np.isnan(forecast[0]), np.isnan(sst[:100]).all("time"))
        assert np.isfinite(forecaster.score(sst[100:]))


def test_monthly_precipitation_climatology_of_cmap(shared_data):
    precip = gc.datasets.open_cmap(shared_data / "cmap_precip.mon.ltm.nc")
    naive = gc.NaiveForecaster("persistence").fit(precip)
    assert naive.predict(2).attrs["units"] == precip.attrs["units"]
    assert naive.predict_samples(2, n_samples=5).sizes["member"] == 5


def test_climatology_knows_the_season_of_the_sea(shared_data):
    with xr.open_dataset(shared_data / "ersstv5_sst.mnmean.nc", chunks={}) as dataset:
        train, test = gc.train_test_split(dataset["sst"], test_fraction=0.3)
        errors = {}
        for strategy in ("persistence", "climatology", "seasonal"):
            back = gc.backtest(gc.NaiveForecaster(strategy).fit(train), test, horizon=6, stride=3)
            errors[strategy] = float(gc.metrics.mse(back.isel(lead_time=5), test.sel(time=back.time[:, 5])))
        assert errors["climatology"] < errors["seasonal"] < errors["persistence"]
