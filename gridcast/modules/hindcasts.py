"""What forecasts of known fields say of a linear inverse model: its damping, and the size of its errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gridcast.modules.censored import Bounds
from gridcast.modules.ranks import normal_scores
from gridcast.modules.spread import Spread, activity_of, changes

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
        # changes before each of them, (n, channel, cell)
        self.changes: list[Tensor] = []
        self.usual, self.known = torch.zeros(2, *self.shape[1:])

    def add(
        self,
        forecast: Tensor,
        truth: Tensor,
        bounds: Bounds | None = None,
        contexts: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        """Take in forecasts and what came.

        Parameters
        ----------
        forecast, truth : Tensor, (n, horizon, channel, y, x)
            NaN where it is not known.
        bounds : Bounds or None
            Each as `truth`.
        contexts : (Tensor, Tensor), each (n, context, channel, y, x), optional
            What the forecasts are from, and its mask; for all of them, or for none.
        """
        # a distribution that is not normal, or depends on the state, does not follow from sums
        self.kept.append((self._some(forecast), self._some(truth)))
        if bounds is not None:
            self.bounds.append(Bounds(*map(self._some, bounds)))
        if contexts is not None:
            before = changes(*contexts)
            self.changes.append(self._some(before))
            self.usual += before.nansum(0)
            self.known += before.isfinite().sum(0)
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

    @property
    def usual_changes(self) -> Tensor:
        """The mean square of the changes around each cell, (channel, y, x); 1 where none was observed."""
        return torch.where(self.known > 0, self.usual / self.known.clamp(min=1.0), 1.0)

    def fit_spread(self, spread: Spread, damping: Tensor, std: Tensor, cases: Tensor) -> None:
        """Fit what does not follow from sums: how the spread depends on the activity, and what is near bounds.

        Parameters
        ----------
        spread : Spread
        damping : Tensor, (horizon,)
        std : Tensor, (horizon, channel, y, x)
            Of the paths.
        cases : Tensor, (horizon,)
            Independent forecasts of each lead.
        """
        mean, truth, bounds, activity = self._together(damping)
        spread.usual.copy_(self.usual_changes)
        spread.fit(mean, None, self._some(std), truth, bounds, cases, activity)

    def scores(self, spread: Spread, damping: Tensor, std: Tensor) -> Tensor:
        """Return the normal scores of what came, (n, horizon, channel, cell), see `normal_scores`."""
        mean, truth, bounds, activity = self._together(damping)
        return normal_scores(spread, mean, None, self._some(std), truth, bounds, activity)

    def _some(self, fields: Tensor) -> Tensor:
        return fields.flatten(-2)[..., self._cells]

    def _together(self, damping: Tensor) -> tuple[Tensor, Tensor, Bounds | None, Tensor | None]:
        """Return mean, truth, bounds and activity of some cells of all hindcasts."""
        forecast, truth = (torch.cat(part) for part in zip(*self.kept, strict=True))
        bounds = Bounds(*map(torch.cat, zip(*self.bounds, strict=True))) if self.bounds else None
        activity = None
        if self.changes:
            activity = activity_of(torch.cat(self.changes), self._some(self.usual_changes))
        return damping[:, None, None] * forecast, truth, bounds, activity

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
