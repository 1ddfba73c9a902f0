"""The linear inverse model, and what the convolutional Markov model starts from."""

from __future__ import annotations

import copy
import math

import torch

from gridcast.forecasters.markov import DOWNSAMPLING, KERNEL_SIZE
from gridcast.modules.frames import Frames
from gridcast.modules.inverse_model import Hindcasts, LinearInverseModel
from gridcast.modules.linear import LinearForecast
from gridcast.modules.noise import CorrelatedNoise, sample_size
from gridcast.training.data import TrainingData
from gridcast.training.spec import ModuleSpec

N_PATTERNS = 40
HORIZON = 20  # leads with a damping and a spread of their own
EARLIER = 0.75  # of the training part, from which the rest is forecast
N_HINDCASTS = 80
HINDCAST_ROWS = 2**15  # of the model that makes them, an eighth of what the model itself sees


def inverse_model(spec: ModuleSpec, n_lags: int, *, n_patterns: int = N_PATTERNS) -> LinearInverseModel:
    """Return a linear inverse model that is not fitted yet.

    Parameters
    ----------
    spec : ModuleSpec
    n_lags : int
    n_patterns : int
        0 where it is to work on patches.
    """
    channels, *size = spec.shape
    rows, columns = (-(-n // DOWNSAMPLING) for n in size)
    shape = (channels, rows * DOWNSAMPLING, columns * DOWNSAMPLING)
    linear = LinearForecast(shape, DOWNSAMPLING, n_lags, KERNEL_SIZE, n_patterns=n_patterns, periodic=spec.periodic)
    noise = CorrelatedNoise(sample_size(math.prod(shape), spec.n_windows), (linear.n_folded, rows, columns))
    frames = Frames(None, multiple=DOWNSAMPLING, periodic=spec.periodic)
    return LinearInverseModel(linear, noise, frames, (size[0], size[1]), HORIZON)


def fit_inverse_model(model: LinearInverseModel, data: TrainingData) -> None:
    """Fit a new linear inverse model to the training part, its damping and spread to hindcasts of the end of it."""
    n_lags = model.linear.n_lags
    divided = data.divided(EARLIER)
    if divided is not None:
        earlier, begins = divided
        past = copy.deepcopy(model)
        past.fit(earlier.runs(n_lags + 1), most_rows=HINDCAST_ROWS)
        hindcasts = Hindcasts(tuple(model.ratio.shape))
        for context, truth in earlier.hindcasts(begins, data.part[2], HORIZON, N_HINDCASTS):
            forecast, _ = past.forecast(torch.from_numpy(context), None, HORIZON)
            hindcasts.add(forecast[0], torch.from_numpy(truth))
    model.fit(data.runs(n_lags + 1))
    if divided is not None:
        model.calibrate(hindcasts)
