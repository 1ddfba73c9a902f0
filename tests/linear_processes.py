"""Fields of which every cell is an autoregression of order 1: what is exact of them is known."""

import numpy as np
import torch
import xarray as xr

from gridcast.modules.frames import Frames
from gridcast.modules.inverse_model import LinearInverseModel
from gridcast.modules.linear import LinearForecast
from gridcast.modules.noise import CorrelatedNoise

WEIGHT, NOISE, SIZE = 0.8, 0.3, (7, 10)


def autoregression(n_times, seed=0, weight=WEIGHT):
    """Every cell an autoregression of order 1."""
    generator = torch.Generator().manual_seed(seed)
    x, path = torch.zeros(1, *SIZE), []
    for _ in range(n_times):
        x = weight * x + NOISE * torch.randn(1, *SIZE, generator=generator)
        path.append(x)
    return torch.stack(path)


def make_model(horizon=4, n_lags=2, n_errors=50, size=SIZE):
    frames = Frames(None, multiple=4)
    linear = LinearForecast((1, 8, 12), 4, n_lags, n_patterns=3)
    return LinearInverseModel(linear, CorrelatedNoise(n_errors, (16, 2, 3)), frames, size, horizon)


def linear_field(n_times, seed=0, shape=(8, 12), weight=0.8, noise=0.5):
    """Every cell an autoregression of order 1 around 280 K."""
    rng = np.random.default_rng(seed)
    x, path = np.zeros(shape), []
    for _ in range(n_times):
        x = weight * x + noise * rng.normal(size=shape)
        path.append(280 + x)
    return np.stack(path).astype(np.float32)


def labelled(values):
    time = np.datetime64("2001-01-01", "ns") + np.arange(len(values)) * np.timedelta64(1, "D")
    return xr.DataArray(values, dims=("time", "y", "x"), coords={"time": time}, name="t", attrs={"units": "K"})
