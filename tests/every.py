"""One list of small estimators and a series, for the tests that hold for each."""

import pickle
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from small import SMALL, TRAINING, small

import gridcast as gc

PERIOD, WINDOW, CONTEXT = 12, TRAINING["window"], TRAINING["context"]
N_TRAIN, N_TEST, SHAPE = 48, 12, (8, 12)


def make_estimators() -> dict:
    """Return unfitted estimators by name, new ones at each call."""
    return {
        "persistence": gc.NaiveForecaster(random_state=0),
        "climatology": gc.NaiveForecaster("climatology", period=PERIOD, random_state=0),
        "seasonal": gc.NaiveForecaster("seasonal", period=PERIOD, random_state=0),
    } | {name: small(name) for name in SMALL}


NAMES = list(make_estimators())
N_CONTEXT = {"persistence": 1, "climatology": 1, "seasonal": PERIOD}
every_estimator = pytest.mark.parametrize("name", NAMES)


def make_series(n_times=N_TRAIN + N_TEST, shape=SHAPE, time=None, seed=0, lead=()):
    """Return a seasonal wave that moves east, with noise, in K; `lead` are sizes in front of time."""
    y, x = (np.linspace(0, 1, size) for size in shape)
    phase = np.arange(n_times)[:, None, None] / PERIOD + x[None, None] + 0.5 * y[None, :, None]
    noise = np.random.default_rng(seed).normal(scale=0.5, size=(*lead, n_times, *shape))
    time = pd.date_range("2001-01-01", periods=n_times, freq="D") if time is None else time
    coords = {"time": time, "lat": np.linspace(60, 20, shape[0]), "lon": np.linspace(200, 260, shape[1])}
    dims = ("time", "lat", "lon")
    dims = ("sample", *dims) if lead else dims
    return xr.DataArray(
        (280 + 10 * np.sin(2 * np.pi * phase) + noise).astype(np.float32),
        dims=dims,
        coords=coords | {"height": 2.0},
        name="t2m",
        attrs={"units": "K", "long_name": "temperature"},
    )


def with_gaps(series, share=0.1):
    """Return a series whose first three columns are land and that lacks a share of the other values."""
    gaps = np.random.default_rng(3).uniform(size=series.shape) < share
    return series.where(~gaps).where(series["lon"] > series["lon"][2])


@dataclass
class Fitted:
    """An estimator fitted on the first part of `series`; `copy` before changing it."""

    name: str
    estimator: gc.NaiveForecaster
    series: xr.DataArray
    train: xr.DataArray = field(init=False)
    test: xr.DataArray = field(init=False)

    def __post_init__(self):
        self.train, self.test = self.series[:N_TRAIN], self.series[N_TRAIN:]

    @property
    def n_context(self):
        return N_CONTEXT.get(self.name, CONTEXT)

    def copy(self):
        return pickle.loads(pickle.dumps(self.estimator))
