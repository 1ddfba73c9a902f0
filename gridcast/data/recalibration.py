"""Which levels of an ensemble stand for the probabilities that are asked for, as forecasts that came due say.

What came is ranked in its ensemble (the probability integral transform). If the ensemble is right, ranks are uniform,
and their normal scores standard normal; where they are not, the quantile of these scores says which level to read
instead (Kuleshov, Fenner and Ermon, ICML 2018; Romano, Patterson and Candes, NeurIPS 2019).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.special import ndtr, ndtri, stdtr, stdtrit

LEVELS = (0.01, 0.025, *(k / 20 for k in range(1, 20)), 0.975, 0.99)  # at which the scores are kept
PRIOR_CASES = 1.0  # forecasts in which the levels were right, beside those that were made
MOST = 8.0  # largest normal score: of a probability of 1e-15
GOLDEN = 0.6180339887498949  # multiples of it, without the whole numbers, are evenly spread


@dataclass(frozen=True)
class Recalibration:
    """A monotone map of probabilities for each lead and channel.

    Parameters
    ----------
    scores : ndarray, (horizon, channel, level)
        Normal scores of the levels of an ensemble that stand for `LEVELS`. Later leads take those of the last.
    """

    scores: np.ndarray

    @classmethod
    def identity(cls, n_channels: int) -> Self:
        """Return the map that takes every ensemble as it is."""
        return cls(np.broadcast_to(ndtri(LEVELS), (1, n_channels, len(LEVELS))).copy())

    @classmethod
    def learn(cls, found: np.ndarray, cases: np.ndarray) -> Self:
        """Return what the normal scores of what came ask for.

        Few cases hardly move the levels from where they are; a lead without any has those of the lead before.

        Parameters
        ----------
        found : ndarray, (n, horizon, channel, cell)
            NaN where nothing is known.
        cases : ndarray, (horizon,)
            Independent forecasts of each lead.
        """
        nominal, (_, horizon, n_channels, _) = ndtri(LEVELS), found.shape
        scores = np.empty((horizon, n_channels, len(LEVELS)))
        for lead, channel in np.ndindex(horizon, n_channels):
            known = found[:, lead, channel]
            known = known[np.isfinite(known)]
            if not len(known) or not cases[lead] > 0:
                scores[lead, channel] = scores[lead - 1, channel] if lead else nominal
                continue
            share = cases[lead] / (cases[lead] + PRIOR_CASES)
            # both rise, and so does their sum
            scores[lead, channel] = share * np.quantile(known, LEVELS) + (1 - share) * nominal
        return cls(scores)

    def read(self, levels: np.ndarray, leads: np.ndarray) -> np.ndarray:
        """Return the normal scores of the levels to read for `levels` at `leads` (from 1), (level, lead, channel)."""
        nominal, wanted = ndtri(LEVELS), ndtri(levels)
        rows = self.scores[np.minimum(leads, len(self.scores)) - 1]  # (lead, channel, level)
        # straight on beyond the first and the last
        at = np.clip(np.searchsorted(nominal, wanted) - 1, 0, len(nominal) - 2)
        share = (wanted - nominal[at]) / (nominal[at + 1] - nominal[at])
        found = rows[..., at] + share * (rows[..., at + 1] - rows[..., at])
        return np.moveaxis(found.clip(-MOST, MOST), -1, 0)


def read_quantiles(members: np.ndarray, scores: np.ndarray, closed: np.ndarray) -> np.ndarray:
    """Return quantiles of ensembles, (level, sample, lead, channel, y, x).

    The k-th of M members stands for the level k / (M + 1): so many of what comes lies below it, where it is one of the
    same kind. Beyond the outermost members Student's tail goes on, as of a normal sample of this size, unless that side
    has a natural bound.

    Parameters
    ----------
    members : ndarray, (member, sample, lead, channel, y, x)
    scores : ndarray, (level, lead, channel)
        Normal scores of the levels, see `Recalibration.read`.
    closed : ndarray of bool, (2, channel)
        Channels with a natural bound below and above.
    """
    n = len(members)
    out = np.empty((len(scores), *members.shape[1:]), dtype=members.dtype)
    for lead, channel in np.ndindex(*members.shape[2:4]):
        rows = np.sort(members[:, :, lead, channel], axis=0)
        deviation = _deviation(rows)
        for i, score in enumerate(scores[:, lead, channel]):
            position = float(ndtr(score)) * (n + 1) - 1
            low = int(np.clip(np.floor(position), 0, n - 1))
            share = min(max(position - low, 0.0), 1.0)
            value = rows[low] + share * (rows[min(low + 1, n - 1)] - rows[low])
            outside = max(-position, position - (n - 1))
            if outside > 0 and n > 1 and not closed[int(score > 0), channel]:
                far = stdtrit(n - 1, float(ndtr(-abs(score)))) - stdtrit(n - 1, 1 / (n + 1))
                value = value - np.sign(score) * far * deviation
            out[i, :, lead, channel] = value
    return out


def normal_scores(members: np.ndarray, truth: np.ndarray, closed: np.ndarray) -> np.ndarray:
    """Return the normal score of the level that each truth is at in its ensemble; the inverse of `read_quantiles`.

    Where a truth equals several members, or a natural bound, one of the levels that they stand for.

    Parameters
    ----------
    members : ndarray, (member, n)
    truth : ndarray, (n,)
        NaN where it is not known; its score is NaN too.
    closed : ndarray of bool, (2,)
        Whether there is a natural bound below and above.
    """
    n, rows = len(members), np.sort(members, axis=0)
    below, upto = (rows < truth).sum(0), (rows <= truth).sum(0)
    lower, upper = (np.take_along_axis(rows, k.clip(0, n - 1)[None], 0)[0] for k in (below - 1, below))
    width = upper - lower
    between = np.divide(truth - lower, width, out=np.zeros_like(width), where=width > 0)
    level = (below + between) / (n + 1)
    first, last = below + 1.0, upto + 0.0  # of the members that are equal to it
    first[(below == 0) & closed[0]] = 0.0
    last[(upto == n) & closed[1]] = n + 1.0
    # evenly spread over the levels that they share, without a random number
    drawn = (first + (GOLDEN * np.arange(1, len(truth) + 1)) % 1 * (last - first)) / (n + 1)
    outside = ((upto == 0) & closed[0]) | ((below == n) & closed[1])
    bound = (GOLDEN * np.arange(1, len(truth) + 1)) % 1 / (n + 1)
    level = np.where(upto > below, drawn, level)
    level = np.where(outside, np.where(below == n, 1 - bound, bound), level)
    score = ndtri(level.clip(1e-15, 1 - 1e-15))
    if n > 1:
        deviation = _deviation(rows)
        # how far it lies beyond the outermost member, on either side; without a limit where all are the same
        far = np.where(upto == 0, rows[0] - truth, truth - rows[-1]).clip(min=0)
        far = np.divide(far, deviation, out=np.where(far > 0, np.inf, 0.0), where=deviation > 0)
        tail = ndtri(stdtr(n - 1, stdtrit(n - 1, 1 / (n + 1)) - far).clip(min=1e-15))
        score = np.where((upto == 0) & ~closed[0], tail, score)
        score = np.where((below == n) & ~closed[1], -tail, score)
    return np.where(np.isfinite(truth) & np.isfinite(rows[-1]), score.clip(-MOST, MOST), np.nan)


def _deviation(rows: np.ndarray) -> np.ndarray:
    """Return the standard deviation with which one more of the members lies around their mean."""
    n = len(rows)
    return rows.std(axis=0) * np.sqrt((n + 1) / max(n - 1, 1))
