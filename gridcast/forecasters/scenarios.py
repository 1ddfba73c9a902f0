"""Members of a forecast that agree with what is taken to be known of the future."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from scipy.stats import norm

from gridcast.data.grid import Series
from gridcast.forecasters.conditions import AreaMean, known_future
from gridcast.modules.smoother import Smoother
from gridcast.transformers.scaling import Scaling

LEAST_PROBABILITY = 1e-4  # of a range of a mean, below which no member could be drawn into it


def conditioned(
    smoother: Smoother, scaling: Scaling, members: np.ndarray, given: Any, times: pd.Index, history: Series
) -> np.ndarray:
    """Return members moved to what is given, by the covariances of the linear model (Matheron's rule, Journel 1974).

    Parameters
    ----------
    smoother : Smoother
    scaling : Scaling
    members : ndarray, (member, sample, time, channel, y, x)
        Scaled anomalies.
    given : DataArray, AreaMean, or a list of these
    times : Index
        Of the members.
    history : Series
        What they follow.

    Raises
    ------
    TypeError, ValueError
        If a condition is of another kind, of another grid or other times, contradicts itself, or is beyond what the
        forecast holds for possible.
    """
    conditions = given if isinstance(given, list | tuple) else [given]
    for condition in conditions:
        if not isinstance(condition, xr.DataArray | AreaMean):
            raise TypeError(
                f"given must be a DataArray, a gridcast.AreaMean or a list of these, not {type(condition).__name__}"
            )
    cells = np.full(members.shape[1:], np.nan, dtype=np.float32)
    for condition in conditions:
        if isinstance(condition, xr.DataArray):
            future = known_future(condition, times, history)
            cells = np.where(np.isnan(future), cells, future)
    ever = scaling.statistics.observed
    known = ~np.isnan(cells) & ever
    wanted, _ = scaling.anomalies(cells, times, history)
    out = np.empty_like(members)
    means = [condition for condition in conditions if isinstance(condition, AreaMean)]
    for sample in range(members.shape[1]):
        runs, at, there, observed = (
            torch.as_tensor(np.ascontiguousarray(a), device=smoother.device)
            for a in (members[:, sample], known[sample : sample + 1], wanted[sample : sample + 1], ever)
        )
        if known[sample].any():
            runs = torch.where(at, there, runs + smoother.condition(there - runs, at))
        # never observed: it does not vary
        free = ~at & observed
        moved = _with_means(smoother, scaling, runs, free, means, times, history, sample)
        out[:, sample] = moved.cpu().numpy()
    return out


def _with_means(
    smoother: Smoother,
    scaling: Scaling,
    runs: torch.Tensor,
    free: torch.Tensor,
    means: list[AreaMean],
    times: pd.Index,
    history: Series,
    sample: int,
) -> torch.Tensor:
    """Return runs (member, time, channel, y, x) whose means are within their ranges, one mean after the other."""
    before: list[tuple[torch.Tensor, torch.Tensor]] = []
    for condition in means:
        weights = condition.weights(times, history) * scaling.statistics.observed
        base, slope = scaling.linear(times, history, sample)
        offset = float((weights * base).sum() / weights.sum())
        w = torch.as_tensor((weights / weights.sum() * slope).astype(np.float32), device=runs.device)[None]
        response = smoother.response(w, free)
        for direction, weight in before:  # what was fixed stays
            response = response - direction * (weight * response).sum() / (weight * direction).sum()
        variance = float((w * response).sum())
        found = (w * runs).sum((1, 2, 3, 4)).double().cpu().numpy() + offset
        if variance <= 0:
            raise ValueError(f"given: the mean {_shown(condition)} is fixed by the other conditions: leave it out")
        wanted = _within(found, condition)
        moved = torch.as_tensor((wanted - found) / variance, dtype=runs.dtype, device=runs.device)
        runs = runs + response * moved[:, None, None, None, None]
        before.append((response, w))
    return runs


def _within(found: np.ndarray, condition: AreaMean) -> np.ndarray:
    """Return the means of members moved into a range, in their order: those of a normal distribution cut off there."""
    low, high = condition.between
    if low == high:
        return np.full_like(found, low)
    mean, std = found.mean(), max(float(found.std(ddof=min(1, len(found) - 1))), 1e-12)
    first, last = norm.cdf([(low - mean) / std, (high - mean) / std])
    if last - first < LEAST_PROBABILITY:
        raise ValueError(
            f"given: no member meets {_shown(condition)}: the forecast has {mean:.4g} with a standard deviation of "
            f"{std:.2g}; give a range nearer to it, or twice the same number to force a value"
        )
    share = norm.cdf((found - mean) / std)
    return np.clip(mean + std * norm.ppf(first + share * (last - first)), low, high)


def _shown(condition: AreaMean) -> str:
    return f"AreaMean(between={condition.between!r})"
