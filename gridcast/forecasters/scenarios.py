"""Members of a forecast that agree with what is taken to be known of the future."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
import xarray as xr
from scipy.stats import norm

from gridcast.data.grid import Series
from gridcast.data.observation_errors import of_sample
from gridcast.forecasters.conditions import AreaMean, known_future
from gridcast.modules.smoother import Smoother
from gridcast.transformers.scaling import ROUNDED, Scaling

LEAST_PROBABILITY = 1e-4  # of a range of a mean, below which no member could be drawn into it
MOST_ROUNDS = 100  # of moves of means between bounds
NEAR = 1e-3  # of what the means are moved by, or of their standard deviation
LEAST_SLOPE = 0.05  # of that of all cells, where nearly all are at their bound


@dataclass(frozen=True)
class _Future:
    """The steps that are forecast: `times`, after a `history` of one sample."""

    scaling: Scaling
    times: pd.Index
    history: Series

    def limits(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the natural bounds of anomalies, (time, channel, y, x)."""
        return self.scaling.limits(self.times, self.history)

    def linear(self) -> tuple[np.ndarray, np.ndarray]:
        """Return base and slope of physical values in anomalies, (time, channel, y, x)."""
        return self.scaling.linear(self.times, self.history)


@dataclass(frozen=True)
class _Move:
    """How the mean of a region is moved.

    Parameters
    ----------
    condition : AreaMean
    weights : Tensor, (1, time, channel, y, x)
        Of anomalies in the mean, in physical units.
    response : Tensor, same shape
        What each cell does while the mean moves.
    offset : float
        The mean of anomalies of zero.
    wanted : ndarray, (member,)
        The means.
    """

    condition: AreaMean
    weights: torch.Tensor
    response: torch.Tensor
    offset: float
    wanted: np.ndarray

    def found(self, runs: torch.Tensor) -> np.ndarray:
        """Return the means of runs (member, time, channel, y, x)."""
        return _sums(self.weights * runs) + self.offset

    def slope(self, moving: torch.Tensor | float = 1.0) -> np.ndarray:
        """Return by how much the means change while the cells that are `moving` do."""
        return _sums(self.weights * self.response * moving)


@dataclass(frozen=True)
class _Limits:
    """The natural bounds of members, and how far beyond them what stands at one is taken to lie.

    A member that is dry is one of a distribution of which a part is below zero: that part's mean stands for it, so that
    little more rain elsewhere leaves it dry, and much does not.

    Parameters
    ----------
    low, high : Tensor, (time, channel, y, x)
    below, above : Tensor, same shape
    """

    low: torch.Tensor
    high: torch.Tensor
    below: torch.Tensor
    above: torch.Tensor

    @classmethod
    def of(cls, future: _Future, runs: torch.Tensor, std: torch.Tensor) -> Self:
        """Return those of a sample, from the share of its members (member, time, channel, y, x) at each bound."""
        low, high = (torch.as_tensor(limit, dtype=runs.dtype, device=runs.device) for limit in future.limits())
        return cls(low, high, *(_depth((runs - at).abs() < ROUNDED, std) for at in (low, high)))

    def within(self, runs: torch.Tensor) -> torch.Tensor:
        """Return runs as they are seen."""
        return runs.clamp(self.low, self.high)

    def beyond(self, runs: torch.Tensor) -> torch.Tensor:
        """Return runs of which what is at a bound lies beyond it."""
        runs = torch.where(runs <= self.low + ROUNDED, self.low - self.below, runs)
        return torch.where(runs >= self.high - ROUNDED, self.high + self.above, runs)


def _depth(at: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """Return how far the part of normal distributions beyond a bound lies from it, of members that are at it."""
    share = (at.float().sum(0) + 0.5) / (len(at) + 1)
    quantile = torch.special.ndtri(share)
    return std * (quantile + torch.exp(-quantile.square() / 2) / (2 * torch.pi) ** 0.5 / share)


def conditioned(
    smoother: Smoother,
    scaling: Scaling,
    members: np.ndarray,
    given: Any,
    times: pd.Index,
    history: Series,
    *,
    std: torch.Tensor | None,
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
    std : Tensor, (time, channel, y, x), or None
        Of members that keep to the natural bounds of the series; None where there are none. What is given then moves
        what lies beyond a bound as well, and a mean is one of members that keep to it.

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
            told = known_future(condition, times, history)
            cells = np.where(np.isnan(told), cells, told)
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
        future = _Future(scaling, times, of_sample(history, sample))
        limits = None if std is None else _Limits.of(future, runs, std)
        if limits is not None:
            runs, there = limits.beyond(runs), limits.beyond(there)
        if known[sample].any():
            runs = torch.where(at, there, runs + smoother.condition(there - runs, at))
        # never observed: it does not vary
        free = ~at & observed
        runs = _with_means(smoother, future, runs, free, means, limits)
        out[:, sample] = runs.cpu().numpy()
    return out


def _with_means(
    smoother: Smoother,
    future: _Future,
    runs: torch.Tensor,
    free: torch.Tensor,
    means: list[AreaMean],
    limits: _Limits | None,
) -> torch.Tensor:
    """Return runs (member, time, channel, y, x) whose means are within their ranges."""
    moves: list[_Move] = []
    for condition in means:
        weights = condition.weights(future.times, future.history) * future.scaling.statistics.observed
        if not weights.any():
            raise ValueError(
                f"given: {_shown(condition)} is the mean of a region that was never observed in training, as land in a "
                "field of the sea is: look whether its latitudes and longitudes are those of the series"
            )
        base, slope = future.linear()
        offset = float((weights * base).sum() / weights.sum())
        w = torch.as_tensor((weights / weights.sum() * slope).astype(np.float32), device=runs.device)[None]
        response = smoother.response(w, free)
        for before in moves:  # what was fixed stays
            share = (before.weights * response).sum() / (before.weights * before.response).sum()
            response = response - before.response * share
        variance = float((w * response).sum())
        if not variance > 0:
            raise ValueError(f"given: the mean {_shown(condition)} is fixed by the other conditions: leave it out")
        found = _sums(w * (runs if limits is None else limits.within(runs))) + offset
        moves.append(_Move(condition, w, response, offset, _within(found, condition)))
        if limits is None:
            runs = runs + response * _of_members((moves[-1].wanted - found) / variance, runs)
    return runs if limits is None else _within_bounds(runs, moves, limits)


def _within_bounds(runs: torch.Tensor, moves: list[_Move], limits: _Limits) -> torch.Tensor:
    """Return runs between bounds with the means that are wanted."""
    # at least a standard deviation of the mean: one that holds already asks for no more than another
    scales = [max(_gap(move, limits.within(runs)), float(move.slope()[0]) ** 0.5) for move in moves]
    for _ in range(MOST_ROUNDS):
        left = 0.0
        for move, scale in zip(moves, scales, strict=True):
            clamped = limits.within(runs)
            gap = move.wanted - move.found(clamped)
            left = max(left, float(np.abs(gap).max()) / scale)
            # by Newton's method: what is beyond a bound moves too, but counts in no mean before it comes back
            slope = np.maximum(move.slope(clamped == runs), LEAST_SLOPE * move.slope())
            runs = runs + move.response * _of_members(gap / slope, runs)
        if left <= NEAR:
            return limits.within(runs)
    worst = max(moves, key=lambda move: _gap(move, limits.within(runs)))
    raise ValueError(
        f"given: {_shown(worst.condition)} is beyond what members reach within the natural bound of the series: give a "
        "range nearer to the forecast, or fit with bounded=False"
    )


def _gap(move: _Move, runs: torch.Tensor) -> float:
    return float(np.abs(move.wanted - move.found(runs)).max())


def _sums(x: torch.Tensor) -> np.ndarray:
    # on the CPU: not all devices know double precision
    return x.cpu().sum((1, 2, 3, 4), dtype=torch.float64).numpy()


def _of_members(values: np.ndarray, like: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(values, dtype=like.dtype, device=like.device)[:, None, None, None, None]


def _within(found: np.ndarray, condition: AreaMean) -> np.ndarray:
    """Return the means of members moved into a range, in their order: those of a normal distribution cut off there."""
    low, high = condition.between
    if low <= found.min() and found.max() <= high:
        return found
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
