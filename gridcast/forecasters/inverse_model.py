"""The linear inverse model of a training part, which forecasters are or are weighed against."""

from __future__ import annotations

import copy
import dataclasses
import functools
import itertools
import math

import numpy as np
import torch

from gridcast.data.recalibration import Recalibration
from gridcast.data.windows import independent
from gridcast.forecasters.hidden import width_of_draws
from gridcast.forecasters.markov import DOWNSAMPLING, KERNEL_SIZE
from gridcast.modules.blend import Products
from gridcast.modules.censored import Bounds
from gridcast.modules.frames import Frames
from gridcast.modules.hindcasts import Hindcasts
from gridcast.modules.inverse_model import LinearInverseModel
from gridcast.modules.linear import LinearForecast
from gridcast.modules.noise import CorrelatedNoise, sample_size
from gridcast.training.data import LAST, Runs, TrainingData
from gridcast.training.spec import ModuleSpec

N_PATTERNS = 40  # more change little: those of small variance are drawn towards nothing
# Shares of the training part between which lies what is forecast from the rest: all seasons, else the latest first
FOLDS = (LAST, (0.0, 0.25), (0.25, 0.5), (0.5, 0.75))
ALL_SEASONS = 2**24  # values of a series of which all quarters are forecast: four more models cost little there
ENOUGH_CASES = 10.0  # of a larger one, independent forecasts of the last lead
N_HINDCASTS = 80  # enough for a damping and, with the prior, for a spread at each cell
LEAST_HINDCASTS, HINDCAST_CELLS = 8, 2**23  # of a large grid, whose cells err alike: as many as have so many values
MOST_TOGETHER = 36  # channels times lags whose neighbourhoods see each other: more regressors would take over 2 GiB
BATCH = 16  # hindcasts made at once
BATCH_VALUES = 2**23  # of all their leads: 32 MiB
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


def fit_inverse_model(
    model: LinearInverseModel, data: TrainingData, bounded: bool
) -> tuple[Products | None, Recalibration]:
    """Fit a new linear inverse model to the training part, its damping and spread to hindcasts within it.

    Each quarter is forecast by a model of the others: what one of them shows may be its season, or an accident. Of a
    large series the last one alone, where it is long enough.

    Parameters
    ----------
    model : LinearInverseModel
    data : TrainingData
    bounded : bool
        Whether natural bounds of the series shape its members.

    Returns
    -------
    known : Products or None
        Of the forecasts of the model and of persistence that were made of known fields; None where they are too few.
    recalibration : Recalibration
        Of its members, by the same forecasts.
    """
    hindcasts, known = Hindcasts(model.ratio.shape), None
    large = math.prod(data.scaled.values.shape) > ALL_SEASONS
    for fold in FOLDS:
        enough = known is not None and known.cases[-1] >= ENOUGH_CASES and large
        divided = None if enough else data.divided(*fold)
        if divided is None:
            continue
        found = _hindcast(model, *divided, hindcasts, bounded)
        known = found if known is None else known.plus(found)
    model.fit(data.runs(model.linear.n_lags + 1))
    if known is None:
        return None, Recalibration.identity(data.scaled.grid.shape[0])
    scores = model.calibrate(hindcasts, known.cases)
    model.widening.copy_(width_of_draws(model, data))
    damped = torch.eye(2, dtype=torch.float64).repeat(len(model.damping), 1, 1)
    damped[:, 0, 0] = model.damping
    return known.to(damped), Recalibration.learn(scores.numpy(), known.cases.numpy())


def _hindcast(
    model: LinearInverseModel, earlier: TrainingData, later: Runs, hindcasts: Hindcasts, bounded: bool
) -> Products:
    """Add forecasts of later fields by a model of earlier ones; return their products, and those of persistence."""
    # a model of the earlier part: errors of a fit on all of it would be too small
    past, (horizon, *shape) = copy.deepcopy(model), model.std.shape
    n_cells = math.prod(shape)
    most = max(LEAST_HINDCASTS, min(N_HINDCASTS, HINDCAST_CELLS // n_cells))
    n_together = max(1, min(BATCH, BATCH_VALUES // (horizon * n_cells)))
    past.fit_mean(earlier.runs(model.linear.n_lags + 1), most_rows=HINDCAST_ROWS)
    made = earlier.hindcasts(later, horizon, most)
    found, began = [], []
    while batch := list(itertools.islice(made, n_together)):
        contexts, masks, truths, origins = (np.concatenate(part) for part in zip(*batch, strict=True))
        limits = earlier.bounds(origins[:, 1], horizon) if bounded else None
        bounds = None if limits is None else Bounds(*map(torch.from_numpy, limits))
        x, truth = torch.from_numpy(contexts), torch.from_numpy(truths)
        forecast = past.mean(x, horizon)
        hindcasts.add(forecast, truth, bounds, (x, torch.from_numpy(masks)))
        sources = torch.stack([forecast, x[:, -1:].expand_as(forecast)])
        found.append(Products.of(sources, truth, truth.isfinite().any(4).any(3).any(2).sum(0)))
        began.append(origins)
    total = functools.reduce(Products.plus, found)
    cases = torch.from_numpy(independent(np.concatenate(began), later.stop, horizon))
    # those of which nothing was observed do not count
    return dataclasses.replace(total, cases=torch.minimum(cases, total.cases))
