"""Covariates of the past: they correct the forecast of the next step, from which the model runs on."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch

from gridcast.data.calendars import Calendar
from gridcast.data.drivers import PAST
from gridcast.data.grid import Series
from gridcast.data.statistics import fill_missing
from gridcast.data.windows import thinned
from gridcast.forecasters.climatology import MARGIN
from gridcast.forecasters.inverse_model import BATCH, N_HINDCASTS
from gridcast.modules.inverse_model import LinearInverseModel
from gridcast.modules.layers import ERROR_FLOOR
from gridcast.training.data import LAST, RUN_CELLS, part_of
from gridcast.transformers.response import Nowcast, fit_response
from gridcast.transformers.scaling import Scaling

Mean = Callable[[np.ndarray, int], np.ndarray]  # of contexts (batch, time, ...) and a horizon
LEAST_STEPS = 20  # of errors, from which is learned


def fit_nowcast(
    model: LinearInverseModel,
    scaling: Scaling,
    scaled: Series,
    calendar: Calendar,
    windows: np.ndarray,
    window: int,
    around: tuple[bool, bool],
) -> Scaling:
    """Return the scaling with what covariates of the past say of the next step, if they say anything.

    Their response is learned from the first three quarters of the training part; forecasts of the last quarter decide.

    Parameters
    ----------
    model : LinearInverseModel
        Fitted.
    scaling : Scaling
    scaled : Series
        With drivers; without the response where the scaling has one.
    calendar : Calendar
    windows, window
        As in `gridcast.training.data.TrainingData`.
    around : (bool, bool)
    """
    assert scaled.drivers is not None
    names = list(scaled.drivers.of(PAST))
    samples, first, stop = part_of(windows, window)
    n_lags, horizon = model.linear.n_lags, len(model.damping)
    # of an archive that memory does not hold the end
    first = max(first, stop - RUN_CELLS // (len(samples) * math.prod(scaled.grid.shape)))
    cut = first + int(LAST[0] * (stop - first))
    if not names or cut - first - n_lags < LEAST_STEPS or stop - cut < 2:
        return scaling
    mean = linear_mean(model)
    part = _anomalies(scaling, scaled, samples, first, stop)
    limits = np.full(scaled.grid.shape[0], -np.inf, np.float32), np.full(scaled.grid.shape[0], np.inf, np.float32)
    everyone = np.arange(len(samples))

    def learn(end: int) -> Nowcast:
        response = fit_response(scaled, scaling.climatology, calendar, names, samples, (first, end), around, limits)
        return Nowcast(response, np.ones(horizon, np.float32), np.ones(horizon, np.float32))

    # as (sample, origin): every lead of a forecast lies in the last quarter
    origins = thinned(
        np.array(list(itertools.product(everyone, range(cut - first - 1, stop - first - 1)))), N_HINDCASTS
    )
    plain, better, truth = _hindcast(mean, learn(cut), part, origins, n_lags, horizon)
    change, missed = better - plain, truth - plain
    seen = np.isfinite(truth)
    n = seen.sum((0, 2, 3, 4))
    of_lead = [np.where(seen, v, 0.0).sum((0, 2, 3, 4)) for v in (change * missed, change**2, missed**2)]
    weight = np.clip(of_lead[0] / np.maximum(of_lead[1], 1e-30), 0, 1)
    error = of_lead[2] - 2 * weight * of_lead[0] + weight**2 * of_lead[1]
    # what no hindcast reached, or had to forecast, is left as it is
    weight[(n == 0) | (of_lead[1] == 0)] = 0
    reached = n > 0
    ratio = np.where(reached, (error + ERROR_FLOOR * n) / np.maximum(of_lead[2] + ERROR_FLOOR * n, 1e-30), 1.0)
    score = float(np.exp(np.log(ratio[reached]).mean())) if reached.any() else math.nan
    compared = {"none": 1.0} | scaling.compared | {PAST: score}
    scaling = replace(scaling, compared=compared)
    # of the first lead: later ones see less of it, and their weights are never negative
    if not ratio[0] < 1 - MARGIN:
        return replace(scaling, nowcast=None)  # an earlier fit may have had one
    nowcast = replace(
        learn(stop), weight=weight.astype(np.float32), spread=np.sqrt(np.minimum(ratio, 1)).astype(np.float32)
    )
    return replace(scaling, nowcast=nowcast)


def unforeseen(mean: Mean, effects: np.ndarray) -> np.ndarray:
    """Return what covariates say of the errors of the first step, (batch, channel, y, x).

    A linear model forecasts the effect of covariates as it does the rest of the series: by the effects before.

    Parameters
    ----------
    mean : callable
        Of the linear model.
    effects : ndarray, (batch, time, channel, y, x)
        Of the covariates, up to the step that is forecast.
    """
    return effects[:, -1] - mean(effects[:, :-1], 1)[:, 0]


def linear_mean(model: LinearInverseModel) -> Mean:
    """Return the forecast of a linear model, of arrays."""

    @torch.no_grad()
    def mean(x: np.ndarray, horizon: int) -> np.ndarray:
        return model.mean(torch.as_tensor(x, device=model.damping.device), horizon).cpu().numpy()

    return mean


def corrections(
    nowcast: Nowcast, mean: Mean, plain: np.ndarray, contexts: np.ndarray, expected: np.ndarray
) -> np.ndarray:
    """Return what is added to forecasts, (batch, horizon, channel, y, x).

    Parameters
    ----------
    nowcast : Nowcast
    mean : callable
        Forecasts on from a context that ends one step later.
    plain : ndarray, (batch, horizon, channel, y, x)
        The forecasts.
    contexts : ndarray, (batch, time, channel, y, x)
    expected : ndarray, (batch, channel, y, x)
        What the covariates say of the errors of the first step, see `unforeseen`.
    """
    horizon = plain.shape[1]
    change = np.empty_like(plain)
    change[:, 0] = expected
    if horizon > 1:
        on = np.concatenate([contexts[:, 1:], (plain[:, 0] + expected)[:, None]], axis=1)
        change[:, 1:] = mean(on, horizon - 1) - plain[:, 1:]
    return by_lead(nowcast.weight, horizon) * change


def by_lead(table: np.ndarray, horizon: int) -> np.ndarray:
    """Return a number for each lead, (horizon, 1, 1, 1), those beyond the last being the last."""
    return table[np.minimum(np.arange(horizon), len(table) - 1), None, None, None]


def _anomalies(scaling: Scaling, scaled: Series, samples: np.ndarray, first: int, stop: int) -> Series:
    """Return the anomalies of the training part, in memory, with its drivers."""
    values = np.asarray(scaled.values[samples, first:stop], dtype=np.float32)
    drivers = scaled.drivers
    assert drivers is not None
    parts = {
        name: part if len(part.values) == 1 else replace(part, values=part.values[samples])
        for name, part in drivers.of(PAST).items()
    }
    times = scaled.times[first:stop]
    return Series(scaling.subtract(values, times), times, scaled.grid, drivers=replace(drivers, parts=parts))


def _hindcast(
    mean: Mean, nowcast: Nowcast, part: Series, origins: np.ndarray, n_lags: int, horizon: int
) -> Sequence[np.ndarray]:
    """Return forecasts without and with the covariates, and the truth, (origin, horizon, channel, y, x)."""
    filled, _ = fill_missing(part.values, np.zeros(part.grid.shape, np.float32))
    beyond = np.full((len(filled), horizon, *part.grid.shape), np.nan, np.float32)
    truth = np.concatenate([part.values, beyond], axis=1)
    known = nowcast.response.at(part.drivers, part.times)
    found = []
    for i in range(0, len(origins), BATCH):
        some = origins[i : i + BATCH]
        contexts = np.stack([filled[s, t + 1 - n_lags : t + 1] for s, t in some])
        effects = np.stack([known[min(s, len(known) - 1), t + 1 - n_lags : t + 2] for s, t in some])
        plain = mean(contexts, horizon)
        better = plain + corrections(nowcast, mean, plain, contexts, unforeseen(mean, effects))
        found.append((plain, better, np.stack([truth[s, t + 1 : t + 1 + horizon] for s, t in some])))
    return [np.concatenate(each) for each in zip(*found, strict=True)]
