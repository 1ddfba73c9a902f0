"""Figures are closed after each test, and matplotlib has its settings back."""

from collections.abc import Iterator

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import xarray as xr

mpl.use("Agg")

import matplotlib.pyplot as plt


@pytest.fixture(autouse=True)
def _clean_figures() -> Iterator[None]:
    """Close every figure, and fail a test after which matplotlib has other settings."""
    before = dict(mpl.rcParams)
    yield
    plt.close("all")
    assert dict(mpl.rcParams) == before


@pytest.fixture
def observed() -> xr.DataArray:
    """Ten days of skewed rain on a grid with descending latitude and one column of land."""
    values = np.random.default_rng(0).gamma(0.3, 5.0, (10, 4, 6))
    values[:, :, 2] = np.nan
    return xr.DataArray(
        values,
        coords={
            "time": pd.date_range("2001-01-01", periods=10),
            "lat": [30.0, 20.0, 10.0, 0.0],
            "lon": np.arange(6) * 10.0,
        },
        name="precip",
        attrs={"units": "mm/day"},
    )


@pytest.fixture
def forecast(observed: xr.DataArray) -> xr.DataArray:
    """The last six days, with noise."""
    last = observed[4:]
    return last.copy(data=last + np.random.default_rng(1).normal(size=last.shape))


@pytest.fixture
def by_lead(observed: xr.DataArray) -> xr.DataArray:
    """The rain as what one forecast of a backtest is verified against: lead times, with dates."""
    return observed.rename(time="lead_time").assign_coords(
        lead_time=np.arange(1, 11), time=("lead_time", observed["time"].values), init_time=observed["time"].values[0]
    )
