"""A small seasonal series, and a pipeline and a network for it."""

import numpy as np
import pandas as pd
import xarray as xr
from small import small

import gridcast as gc

PERIOD = 6


def make_series(n_times=60, shape=(4, 6)):
    """Return a seasonal cycle with noise around 280 K."""
    noise = np.random.default_rng(0).normal(size=(n_times, *shape))
    cycle = 280 + 10 * np.sin(2 * np.pi * np.arange(n_times) / PERIOD)
    return xr.DataArray(
        (cycle[:, None, None] + noise).astype(np.float32),
        dims=("time", "lat", "lon"),
        coords={
            "time": pd.date_range("2001-01-01", periods=n_times, freq="D"),
            "lat": np.linspace(50, 30, shape[0]),
            "lon": np.linspace(10, 40, shape[1]),
        },
        name="t2m",
        attrs={"units": "K"},
    )


def make_cnmm(**parameters):
    return small("cnmm", **{"latent_channels": 16} | parameters)


def steps():
    return [("anomaly", gc.Anomaly(period=PERIOD)), ("scale", gc.MinMaxTransformer()), ("naive", gc.NaiveForecaster())]
