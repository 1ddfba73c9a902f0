"""The linear inverse model of a training part, which forecasters are or are weighed against."""

from __future__ import annotations

import copy
import itertools
import math

import numpy as np
import torch

from gridcast.forecasters.markov import DOWNSAMPLING, KERNEL_SIZE
from gridcast.modules.censored import Bounds
from gridcast.modules.frames import Frames
from gridcast.modules.hindcasts import Hindcasts
from gridcast.modules.inverse_model import LinearInverseModel
from gridcast.modules.linear import LinearForecast
from gridcast.modules.noise import CorrelatedNoise, sample_size
from gridcast.training.data import TrainingData
from gridcast.training.spec import ModuleSpec

N_PATTERNS = 40  # more change little: those of small variance are drawn towards nothing
EARLIER = 0.75  # of the training part, from which the rest is forecast
N_HINDCASTS = 80  # enough for a damping and, with the prior, for a spread at each cell
MOST_TOGETHER = 36  # channels times lags whose neighbourhoods see each other: more regressors would take over 2 GiB
BATCH = 16  # hindcasts made at once
HINDCAST_ROWS = 2**15  # of the model that makes them, an eighth of what the model itself sees


def inverse_model(spec: ModuleSpec, n_lags: int, horizon: int, *, n_patterns: int = N_PATTERNS) -> LinearInverseModel:
    """Return a linear inverse model that is not fitted yet.

    Parameters
    ----------
    spec : ModuleSpec
    n_lags : int
    horizon : int
        Leads with a damping and a spread of their own.
    n_patterns : int
        0 where it is to work on patches.
    """
    channels, *size = spec.shape
    rows, columns = (-(-n // DOWNSAMPLING) for n in size)  # rounded up: `Frames` pads
    shape = (channels, rows * DOWNSAMPLING, columns * DOWNSAMPLING)
    linear = LinearForecast(
        shape,
        DOWNSAMPLING,
        n_lags,
        KERNEL_SIZE,
        n_patterns=n_patterns,
        apart=channels * n_lags > MOST_TOGETHER,
        periodic=spec.periodic,
    )
    noise = CorrelatedNoise(sample_size(math.prod(shape), spec.n_windows), (linear.n_folded, rows, columns))
    frames = Frames(None, multiple=DOWNSAMPLING, periodic=spec.periodic)
    return LinearInverseModel(linear, noise, frames, (size[0], size[1]), horizon)


def fit_inverse_model(model: LinearInverseModel, data: TrainingData, bounded: bool) -> None:
    """Fit a new linear inverse model to the training part, its damping and spread to hindcasts of the end of it.

    Parameters
    ----------
    model : LinearInverseModel
    data : TrainingData
    bounded : bool
        Whether natural bounds of the series shape its members.
    """
    n_lags, horizon = model.linear.n_lags, len(model.damping)
    divided = data.divided(EARLIER)
    if divided is not None:
        earlier, begins = divided
        # a model of the earlier part: errors of a fit on all of it would be too small
        past = copy.deepcopy(model)
        past.fit_mean(earlier.runs(n_lags + 1), most_rows=HINDCAST_ROWS)
        hindcasts = Hindcasts(model.ratio.shape)
        made = earlier.hindcasts(begins, data.part[2], horizon, N_HINDCASTS)
        while batch := list(itertools.islice(made, BATCH)):
            contexts, truths, origins = (np.concatenate(part) for part in zip(*batch, strict=True))
            limits = earlier.bounds(origins, horizon) if bounded else None
            bounds = None if limits is None else Bounds(*map(torch.from_numpy, limits))
            hindcasts.add(past.mean(torch.from_numpy(contexts), horizon), torch.from_numpy(truths), bounds)
    model.fit(data.runs(n_lags + 1))
    if divided is not None:
        model.calibrate(hindcasts)
