"""What forecasts of known fields say of a linear inverse model: its damping, and the size of its errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from gridcast.modules.censored import Bounds
from gridcast.modules.ranks import normal_scores
from gridcast.modules.spread import Spread

# candidates, dense near 1: a small damping adds up over the leads
DAMPINGS = (1.0, 0.999, 0.997, 0.995, 0.99, 0.98, 0.97, 0.95, 0.92, 0.9, 0.85, 0.8)  # a step
PRIOR_SHARE = 1.0  # of hindcasts that ask for no damping, beside those that were made: a tail may be unlike what comes
PRIOR_HINDCASTS = 30.0  # at each cell, of the size that the noise of the model has there
MOST_CELLS = 600  # of all channels, of which each hindcast is kept


@dataclass
class Hindcasts:
    """Sums over forecasts of known fields, for each lead and cell, (horizon, channel, y, x).

    Parameters
    ----------
    shape : sequence of int
    """

    shape: Sequence[int]
    count: Tensor = field(init=False)
    truth: Tensor = field(init=False)
    forecast: Tensor = field(init=False)
    product: Tensor = field(init=False)

    def __post_init__(self) -> None:
        # the error of any damping follows from these sums: hindcasts are made once
        self.count, self.truth, self.forecast, self.product = torch.zeros(4, *self.shape, dtype=torch.float64)
        # forecast and truth of some cells, (n, horizon, channel, cell), and their bounds
        self.kept: list[tuple[Tensor, Tensor]] = []
        self.bounds: list[Bounds] = []

    def add(self, forecast: Tensor, truth: Tensor, bounds: Bounds | None = None) -> None:
        """Take in forecasts and what came, NaN where that is not known, (n, horizon, channel, y, x)."""
        # a distribution that is not normal does not follow from sums
        self.kept.append((self._some(forecast), self._some(truth)))
        if bounds is not None:
            self.bounds.append(Bounds(*map(self._some, bounds)))
        seen = truth.isfinite() & forecast.isfinite()
        forecast, truth = (torch.where(seen, t, 0.0).double() for t in (forecast, truth))
        self.count += seen.sum(0)
        self.truth += truth.square().sum(0)
        self.forecast += forecast.square().sum(0)
        self.product += (forecast * truth).sum(0)

    @property
    def _cells(self) -> Tensor:
        n = self.shape[-2] * self.shape[-1]
        return torch.linspace(0, n - 1, min(n, max(1, MOST_CELLS // self.shape[1])), dtype=torch.float64).long()

    def near_bounds(self, damping: Tensor, std: Tensor) -> tuple[Tensor, Tensor, Tensor, Bounds, Tensor] | None:
        """Return what `gridcast.modules.spread.Spread.fit` takes of some cells; None where there are no bounds."""
        if not self.bounds:
            return None
        forecast, truth, (low, high) = self._together()
        cases = self.count.amax((1, 2, 3)).float()
        # channels without bounds have their scale already
        bounded = low.isfinite() | high.isfinite()
        truth = torch.where(bounded, truth, torch.nan)
        mean = damping[:, None, None] * forecast
        return mean, self._some(std), truth, Bounds(low, high), cases

    def scores(self, spread: Spread, damping: Tensor, std: Tensor) -> Tensor:
        """Return the normal scores of what came, (n, horizon, channel, cell), see `normal_scores`."""
        forecast, truth, bounds = self._together()
        return normal_scores(spread, damping[:, None, None] * forecast, None, self._some(std), truth, bounds)

    def _some(self, fields: Tensor) -> Tensor:
        return fields.flatten(-2)[..., self._cells]

    def _together(self) -> tuple[Tensor, Tensor, Any]:
        forecast, truth = (torch.cat(part) for part in zip(*self.kept, strict=True))
        return forecast, truth, Bounds(*map(torch.cat, zip(*self.bounds, strict=True))) if self.bounds else None

    def damping(self) -> Tensor:
        """Return the factor of each lead, (horizon,): a power of the damping of a step that has the least error.

        The first lead is not damped, being fitted itself. The error of each lead counts in units of that without
        damping.
        """
        truth, square, product = (t.sum((1, 2, 3)) for t in (self.truth, self.forecast, self.product))  # (horizon,)
        prior = PRIOR_SHARE * square
        lead = torch.arange(len(square))
        # relative errors: else the late leads, with the largest, would decide alone
        undamped = (truth - 2 * product + square).clamp(min=1e-12)

        def error(damping: float) -> float:
            d = damping**lead  # lead 0, the first, is not damped
            total = truth - 2 * d * product + d.square() * square + prior * (1 - d).square()
            # leads that no hindcast reached do not count
            return float((total / undamped)[square > 0].sum())

        return (min(DAMPINGS, key=error) ** lead).float()

    def ratio(self, variance: Tensor, damping: Tensor) -> Tensor:
        """Return what a spread of this variance is to be multiplied by at each lead and cell, (horizon, ...).

        The error variance of a cell is drawn towards that of the noise, scaled for each lead and channel.
        """
        # (horizon, channel, y, x), (horizon, 1, 1, 1)
        variance, d = variance.double().clamp(min=1e-12), damping.double()[:, None, None, None]
        error = (self.truth - 2 * d * self.product + d.square() * self.forecast).clamp(min=0.0)
        # (horizon, channel, 1, 1)
        total, expected = (t.sum((2, 3), keepdim=True) for t in (error, self.count * variance))
        # 1 where no hindcast reached: the noise is taken as it is
        level = torch.where(expected > 0, total / expected.clamp(min=1e-12), 1.0)
        target = (error + PRIOR_HINDCASTS * level * variance) / (self.count + PRIOR_HINDCASTS)
        return (target / variance).sqrt().float()
