"""Random fields for transformers."""

import numpy as np
import pandas as pd
import xarray as xr


def make_series(n_times=20, channels=None, seed=0, freq="D", shape=(3, 4)):
    fields = shape if channels is None else (len(channels), *shape)
    values = np.random.default_rng(seed).normal(280, 10, size=(n_times, *fields)).astype(np.float32)
    coords = {"time": pd.date_range("2001-01-01", periods=n_times, freq=freq), "lat": np.arange(shape[0])}
    dims = ("time", "lat", "lon")
    if channels is not None:
        dims, coords["variable"] = ("time", "variable", "lat", "lon"), channels
    return xr.DataArray(values, dims=dims, coords=coords, name="t", attrs={"units": "K"})
