"""Scores of ensembles for `benchmark.py`.

Are members as far apart as forecasts are wrong, and zero as often as rain is?

Every list is by lead; scores are averages over forecasts and cells, all alike. With m members:

- ``crps``, fair to the number of members, and ``crps_gaussian``, that of a Gaussian with the mean that the forecaster
  predicts and the spread of its held-out errors (`held_out_spread`);
- ``spread_skill``, the root of the mean variance, times (m + 1) / m, over the root mean squared error of the mean;
- ``fifths``, the same in each fifth of the cells and forecasts by predicted variance, smallest first. One half of the
  members says which fifth, the other how large the spread is there: where all of them do both, the smallest variances
  are small by chance too, and a calibrated ensemble has up to a quarter too little spread in its first fifth
  (``fifths_plain``). ``slope`` is that of the line through the five points, root mean squared error against spread;
- ``coverage``, how often the central 50 and 90 % hold the truth. Among m calibrated members each of the m + 1 ranks of
  the truth is as probable; an interval whose ends lie within ranks has its share of them. Ties, as of zeros, are shared
  among their ranks;
- ``zeros``, of series that have a smallest value often, how often members and truth are exactly that.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import xarray as xr
from peers import divide, following
from scipy.stats import norm
from sklearn.base import clone

import gridcast as gc

N_MEMBERS = 20
LEVELS = (0.5, 0.9)
DIMS = ("origin", "lead_time", "y", "x")
OFTEN = 0.01  # share of values at the smallest from which a series is taken as bounded there, as gridcast has it
PRIOR = 10  # held-out forecasts that the average over cells is worth beside those of a cell
N_GIVEN = 10  # steps of a simulation that are given


def ensemble_scores(
    members: np.ndarray, mean: np.ndarray, truth: np.ndarray, spread: np.ndarray, bound: float | None
) -> dict[str, Any]:
    """Return the scores that the head of this file lists.

    Parameters
    ----------
    members : ndarray, (member, origin, lead, y, x)
    mean, truth : ndarray, (origin, lead, y, x)
        The predicted mean and what was observed; NaN is missing.
    spread : ndarray, (lead, y, x)
        Standard deviation of the Gaussian.
    bound : float or None
        The smallest value of a series that has one often.
    """
    labelled = xr.DataArray(members, dims=("member", *DIMS)), xr.DataArray(truth, dims=DIMS)
    shared: dict[str, Any] = {"dim": ("origin", "y", "x"), "weights": None}
    ranks = gc.metrics.rank_histogram(*labelled, **shared).transpose("lead_time", "rank").values
    z = (truth - mean) / spread
    gaussian = spread * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi))
    found: dict[str, Any] = {
        "crps": gc.metrics.crps(*labelled, **shared).values.tolist(),
        "crps_gaussian": np.nanmean(gaussian, (0, 2, 3)).tolist(),
        "spread_skill": gc.metrics.spread_skill_ratio(*labelled, **shared).values.tolist(),
        "coverage": {f"{level:g}": (ranks @ in_interval(len(members), level)).tolist() for level in LEVELS},
        "n_members": len(members),
    }
    found |= fifths(members, truth)
    if bound is not None:
        seen = np.isfinite(truth)
        found["zeros"] = {
            "members": [float((members[:, :, k] == bound)[:, seen[:, k]].mean()) for k in range(truth.shape[1])],
            "truth": [float((truth[:, k] == bound)[seen[:, k]].mean()) for k in range(truth.shape[1])],
        }
    return found


def fifths(members: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """Return ``fifths``, ``fifths_plain`` and ``slope`` of (member, origin, lead, y, x), see the head of this file."""
    found: dict[str, Any] = {"fifths": [], "fifths_plain": [], "slope": []}
    for k in range(truth.shape[1]):
        at, there = members[:, :, k].astype(float), truth[:, k]
        seen = np.isfinite(there) & np.isfinite(at).all(0)
        squared = np.square(at.mean(0) - there)[seen]
        inflation = (len(at) + 1) / len(at)
        whole, *halves = (inflation * part.var(0, ddof=1)[seen] for part in (at, at[::2], at[1::2]))
        plain = spread_and_error([(whole, whole)], squared)
        fair = spread_and_error([halves, halves[::-1]], squared)
        for name, (spread, error) in (("fifths_plain", plain), ("fifths", fair)):
            # where nothing happens both may be nothing
            found[name].append(np.divide(spread, error, out=np.full(5, np.nan), where=error > 0).tolist())
        found["slope"].append(float(np.polyfit(*fair, 1)[0]) if np.ptp(fair[0]) > 0 else float("nan"))
    return found


def spread_and_error(variances: list[Any], squared: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the roots of mean variance and mean squared error in fifths, of pairs (to sort by, to measure)."""
    sums = np.zeros((2, 5))
    for by, of in variances:
        parts = np.array_split(np.argsort(by, kind="stable"), 5)
        sums += [[values[part].mean() for part in parts] for values in (of, squared)]
    spread, error = np.sqrt(sums / len(variances))
    return spread, error


def in_interval(n_members: int, level: float) -> np.ndarray:
    """Return the part of each rank that lies in the central interval, (n_members + 1,)."""
    edges = np.linspace(0, 1, n_members + 2)
    inside = np.clip(edges, (1 - level) / 2, (1 + level) / 2)
    return np.diff(inside) * (n_members + 1)


def smallest(train: xr.DataArray) -> float | None:
    """Return the smallest value of a training part where many values are exactly that."""
    low = float(train.min())
    return low if float((train == low).sum() / train.notnull().sum()) >= OFTEN else None


def held_out_spread(model: Any, train: xr.DataArray, horizon: int) -> np.ndarray:
    """Return the root mean squared error of forecasts of the end of the training part, (lead, y, x).

    The end is what `peers.divide` holds out. Neural forecasters have held it out themselves; others are fitted once
    more to what comes before it. The square of each cell is drawn towards the mean over cells, as if by ten forecasts
    more: those of a short series tell little of a cell.
    """
    context = getattr(model, "context", 1)
    earlier, later = divide(train, context)
    if not hasattr(model, "history_"):
        model = clone(model).fit(earlier)
    if "sample" in train.dims:
        error = model.predict(later[:, :N_GIVEN], horizon).values - later.values[:, N_GIVEN : N_GIVEN + horizon]
    else:
        with warnings.catch_warnings():  # the training has seen the series, but not learned from its end
            warnings.filterwarnings("ignore", message=".*shares steps with the training series")
            forecast = gc.backtest(model, later, min(horizon, later.sizes["time"] - context))
        # a model fitted to the earlier part goes on where it ends, others after their context: the same step
        error = forecast.values - following(later, context - 1, forecast.sizes["lead_time"])
    squared = np.square(error, dtype=float)
    by_lead = np.nanmean(squared, (0, 2, 3))[:, None, None]
    variance = (np.nansum(squared, 0) + PRIOR * by_lead) / (np.isfinite(squared).sum(0) + PRIOR)
    if len(variance) < horizon:  # the tail is shorter: later errors are taken to be as large as its last
        variance = np.concatenate([variance, np.repeat(variance[-1:], horizon - len(variance), 0)])
    return np.sqrt(variance)
