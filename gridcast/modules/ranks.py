"""Where what came lies in the distribution that was forecast for it, without drawing from that."""

from __future__ import annotations

import torch
from torch import Tensor

from gridcast.modules.censored import FLOOR, NEAR, Bounds
from gridcast.modules.layers import by_lead
from gridcast.modules.spread import Spread

GOLDEN = 0.6180339887498949  # multiples of it, without the whole numbers, are evenly spread
MOST_CELLS = 600  # of a channel, from which the ranks of a forecast are told


def some_cells(n: int, most: int = MOST_CELLS) -> Tensor:
    """Return the indices of at most so many of `n` cells, evenly spaced."""
    return torch.linspace(0, n - 1, min(n, most), dtype=torch.float64).long()


@torch.no_grad()
def normal_scores(
    spread: Spread,
    forecast: Tensor,
    variance: Tensor | None,
    std: Tensor,
    truth: Tensor,
    bounds: Bounds | None,
    activity: Tensor | None = None,
) -> Tensor:
    """Return the normal scores of what came: errors in units of the standard deviation that members have.

    Near a natural bound they are those of the censored distribution; what is at the bound has one of the scores that
    the distribution has there.

    Parameters
    ----------
    spread : Spread
        Fitted.
    forecast, truth : Tensor, (n, horizon, channel, cell)
    variance : Tensor or None, same shape
        Of the networks' members.
    std : Tensor, (horizon, channel, cell) or as `forecast`
        Of the paths.
    bounds : Bounds or None
        Each as `forecast`.
    activity : Tensor, (n, channel, cell), optional
        Before each forecast.
    """
    horizon = forecast.shape[1]
    networks, paths, power = (by_lead(t, horizon)[..., 0] for t in (spread.networks, spread.paths, spread.power))
    std = std.expand(forecast.shape)
    total = (paths * std).square() + (0.0 if variance is None else networks.square() * variance)
    if activity is not None:
        total = total * activity[:, None] ** (2 * power)
    scores = (truth - forecast) / total.sqrt().clamp(min=FLOOR)
    if bounds is None:
        return scores
    fields, limits = (t[..., None] for t in (forecast, truth, std)), Bounds(*(b[..., None] for b in bounds))
    mean, came, s = fields
    bounded = limits.low.isfinite() | limits.high.isfinite()
    censored = spread.censored
    mean = censored.mean(mean, s, limits)
    within = censored.scores(mean, came, s, limits)[..., 0]
    fitted = bounded[..., 0] & (by_lead(censored.fitted, horizon)[..., 0] > 0)
    scores = torch.where(fitted, within, scores)
    # the levels of all that lies beyond a bound belong to what is at it
    level = torch.special.ndtr(scores)
    even = (GOLDEN * torch.arange(1, scores.numel() + 1, dtype=torch.float64) % 1.0).to(scores)
    even = even.view_as(scores)
    drawn = torch.where(truth <= bounds.low + NEAR, even * level, level)
    drawn = torch.where(truth >= bounds.high - NEAR, 1 - even * (1 - level), drawn)
    at_bound = (truth <= bounds.low + NEAR) | (truth >= bounds.high - NEAR)
    return torch.where(at_bound, torch.special.ndtri(drawn.clamp(1e-7, 1 - 1e-7)), scores)
