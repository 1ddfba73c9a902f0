"""The paper's experiments: what is trained on, what is forecast, in which units errors are printed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import xarray as xr
from oracle import KalmanOracle

import gridcast as gc

WINDOW = 30
CENTRAL = slice(36, 108)  # columns of CMAP
TRAIN_SEED, TEST_SEED, LONG_SEED = 1000, 2000, 4000


@dataclass(frozen=True)
class TestSet:
    """What nothing was trained on.

    Parameters
    ----------
    series : DataArray, ([sample,] time, y, x)
        Windows as samples, or one series that holds all windows.
    oracles : dict of KalmanOracle
        Where the limit is known: by the name under which it is reported.
    """

    series: xr.DataArray
    oracles: dict[str, KalmanOracle] = field(default_factory=dict)


@dataclass(frozen=True)
class Experiment:
    """One experiment.

    Parameters
    ----------
    name : str
    train : DataArray, ([sample,] time, y, x)
    tests : dict of TestSet
    data_range : (float, float)
        Physical values that the paper scales to -1 and 1.
    unit : float
        Errors are printed in multiples of this, 1e-4 or 1e-3.
    go_on : callable or None
        ``go_on(frame, n)`` simulates `n` frames after (sample, y, x), to hold long forecasts against.
    """

    name: str
    train: xr.DataArray
    tests: dict[str, TestSet]
    data_range: tuple[float, float]
    unit: float
    go_on: Callable[[xr.DataArray, int], xr.DataArray] | None = None

    @property
    def factor(self) -> float:
        """What turns a physical error into a scaled one."""
        return 2 / (self.data_range[1] - self.data_range[0])


def heat(scale: str) -> Experiment:
    """Train on emission 1; test on emissions 1 and 2 of other simulations."""
    n_train, n_test = {"smoke": (2, 1), "small": (30, 25), "paper": (100, 25)}[scale]
    train = gc.datasets.make_heat(n_train, emission_sd=1.0, random_state=TRAIN_SEED)
    tests = {}
    for name, emission_sd in (("emission 1", 1.0), ("emission 2", 10.0)):
        windows = gc.datasets.make_heat(n_test, emission_sd=emission_sd, random_state=TEST_SEED)
        if scale == "small":
            windows = windows[::6]
        oracles = {"Kalman filter": KalmanOracle(emission_sd)}
        if emission_sd != 1.0:
            oracles["Kalman filter with the gain of emission 1"] = KalmanOracle(emission_sd, 1.0)
        tests[name] = TestSet(windows, oracles)
    return Experiment("heat", train, tests, (0.0, 1000.0), 1e-4, go_on_heating)


def go_on_heating(frame: xr.DataArray, n: int) -> xr.DataArray:
    """Simulate the heat equation of `gridcast.datasets.make_heat` on from observed frames, every third step shown."""
    random, state = np.random.default_rng(LONG_SEED), frame.values.copy()
    frames = np.empty((len(state), n, *state.shape[1:]), np.float32)
    for step in range(3 * n):
        around = state[:, :-2, 1:-1] + state[:, 2:, 1:-1] + state[:, 1:-1, :-2] + state[:, 1:-1, 2:]
        noise = random.standard_normal(around.shape, dtype=np.float32)
        state[:, 1:-1, 1:-1] = np.maximum(around / 4 + 3 * noise, 0)
        frames[:, step // 3] = state  # the third step of each frame stays
    return xr.DataArray(frames, dims=("sample", "time", *frame.dims[-2:]))


def precipitation(scale: str) -> Experiment:
    """Cut a made CMAP-like archive as the paper cuts CMAP."""
    series = gc.datasets.make_precipitation(n_times=2774, random_state=TRAIN_SEED)
    return _pentads("precipitation", series, scale)


def cmap(scale: str, file: Path) -> Experiment:
    """Cut NOAA's enhanced pentads 1979 to 2016, ``precip.pentad.mean.nc``."""
    return _pentads("cmap", gc.datasets.open_cmap(file).sel(time=slice("1979", "2016")), scale)


def _pentads(name: str, series: xr.DataArray, scale: str) -> Experiment:
    """Train windows start at 0 to 1900, test windows at 1930 to the end: no shared step."""
    if series.sizes["lon"] == 144:
        series = series.isel(lon=CENTRAL)
    train, test = next(gc.WindowSplitter(window=WINDOW, test_fraction=0.3).split(series))
    if scale == "smoke":
        train, test = train[-100:], test[:60]
    tests = {"test": TestSet(series.isel(time=test).load())}
    return Experiment(name, series.isel(time=train).load(), tests, (0.0, 80.0), 1e-3)
