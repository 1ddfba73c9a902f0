"""What held-out steps decide of a module: the weights of its forecasts, and the spread of its members."""

from __future__ import annotations

from collections.abc import Container
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from gridcast.modules.censored import Bounds
from gridcast.modules.combination import SOURCES, Combination, CombinedModule
from gridcast.modules.ranks import normal_scores, some_cells
from gridcast.modules.region import Places
from gridcast.modules.spread import changes

N_MEMBERS = 6  # from which a spread is told
MOST_ENSEMBLES = 8  # contexts that have members: they cost the most


@dataclass(frozen=True)
class HeldOut:
    """Contexts of steps that a module was not trained on, and what followed.

    Parameters
    ----------
    x, mask : Tensor, (n, context, channel, y, x)
    clock : Tensor, (n, n_clock), or None
        Of the first step of each context.
    truth : Tensor, (n, horizon, channel, y, x)
        NaN where it is not known.
    bounds : Bounds or None
        Of the truth.
    cases : Tensor, (horizon,)
        Independent forecasts of each lead.
    places : Places or None
        Where the forecasts are, unless of whole fields.
    usual : Tensor, (channel, y, x), or None
        Mean square of the changes around each cell of whole fields; by default that of the contexts.
    """

    x: Tensor
    mask: Tensor
    clock: Tensor | None
    truth: Tensor
    bounds: Bounds | None
    cases: Tensor
    places: Places | None = None
    usual: Tensor | None = None

    def at(self, i: int, module: CombinedModule) -> AbstractContextManager[None]:
        """Let a module see the region of the `i`-th forecast."""
        return nullcontext() if self.places is None else self.places.at(i, module)

    def alone(self, module: CombinedModule, i: int, n_samples: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean, members and their scale of the `i`-th forecast of the networks alone, within `at`."""
        # one by one: a forecast of each takes the memory of a batch
        one = slice(i, i + 1)
        clock = None if self.clock is None else self.clock[one]
        mean, scale, draw = module.begin(self.x[one], self.mask[one], self.truth.shape[1], clock)
        return mean, *(draw(n_samples) if n_samples else (mean[None], scale[None]))


@torch.no_grad()
def weigh(module: CombinedModule, held_out: HeldOut) -> None:
    """Weigh the forecasts of each lead by held-out steps."""
    _weigh(module, held_out, [], networks=True)


@torch.no_grad()
def calibrate(module: CombinedModule, held_out: HeldOut, *, networks: bool = True) -> Tensor:
    """Weigh the forecasts, as `weigh`, and set the spread of members to the errors of the weighted mean.

    Without `networks` these are left out of both.

    Returns the normal scores of what came at some cells, (n, horizon, channel, cell), see `normal_scores`.
    """
    chosen = some_forecasts(held_out.truth, MOST_ENSEMBLES)
    combination = _combination(module)
    combination.spread.usual.copy_(_usual(combination, held_out))
    forecasts, found, seen = _weigh(module, held_out, chosen, networks=networks)
    variance, activity, std = (torch.cat(part) for part in zip(*found, strict=True))
    bounds = None if held_out.bounds is None else Bounds(*(b[chosen] for b in held_out.bounds))
    mean = combination.blend.mean(forecasts[:, chosen])
    truth = held_out.truth[chosen]
    cases = torch.minimum(held_out.cases, observed(truth))
    linear = forecasts[SOURCES.index("linear"), chosen]
    combination.fit_spread(activity, std, mean, variance if networks else None, truth, bounds, cases, linear)
    cells = some_cells(held_out.truth[0, 0, 0].numel())
    activity, std = (torch.cat(part) for part in zip(*seen, strict=True))
    mean = combination.blend.mean(forecasts.flatten(4)[..., cells, None])[..., 0]
    # the members of some tell about those of all
    variance = variance.mean(0).flatten(2)[..., cells].expand(mean.shape)
    truth = held_out.truth.flatten(3)[..., cells]
    limits = None if held_out.bounds is None else Bounds(*(b.flatten(3)[..., cells] for b in held_out.bounds))
    return normal_scores(combination.spread, mean, variance, std, truth, limits, activity)


def _weigh(
    module: CombinedModule, held_out: HeldOut, chosen: Container[int], *, networks: bool
) -> tuple[Tensor, list[tuple[Tensor, Tensor, Tensor]], list[tuple[Tensor, Tensor]]]:
    """Weigh the forecasts; return them, (n_sources, n, horizon, channel, y, x), and what is known of the chosen.

    That is the variance of the networks' members, the activity before them and the standard deviation of the paths; the
    last two also of some cells of all forecasts.
    """
    combination = _combination(module)
    found, seen = [], []
    # filled in place: a list that is joined holds all of them twice
    forecasts = held_out.truth.new_empty(len(SOURCES), *held_out.truth.shape)
    cells = some_cells(held_out.truth[0, 0, 0].numel())
    for i in range(len(held_out.x)):
        x = held_out.x[i : i + 1]
        with held_out.at(i, module):
            if networks:
                mean, loc, scale = held_out.alone(module, i, N_MEMBERS if i in chosen else 0)
            else:
                mean = torch.zeros_like(held_out.truth[i : i + 1])
                loc = scale = mean[None]
            forecasts[:, i : i + 1] = combination.sources(mean, x)
            activity, std = combination.spread.activity(x, held_out.mask[i : i + 1]), combination.linear.std[None]
            seen.append((activity.flatten(2)[..., cells], std.flatten(3)[..., cells]))
            if i in chosen:
                variance = (loc - mean).square().mean(0) + scale.square().mean(0)
                found.append((variance, activity, std))
    combination.blend.fit(forecasts, held_out.truth, held_out.cases, combination.earlier, with_first=networks)
    return forecasts, found, seen


def some_forecasts(truth: Tensor, most: int) -> list[int]:
    """Return which of the forecasts (n, horizon, channel, y, x) have members, evenly spaced; half reach the last lead.

    As far as there are so many of these.
    """
    reached = truth.isfinite().flatten(2).any(2)  # (n, horizon)
    far = reached[:, reached.any(0)][:, -1] if reached.any() else reached[:, 0]
    n_far = max(most // 2, round(most * float(far.float().mean())))
    found = [part.nonzero()[:, 0] for part in (far, ~far)]
    n_far = min(n_far, len(found[0]))
    picked = []
    for part, n in zip(found, (n_far, most - n_far), strict=True):
        picked += part[torch.linspace(0, len(part) - 1, min(n, len(part)), dtype=torch.float64).long()].tolist()
    return sorted(picked)


def _usual(combination: Combination, held_out: HeldOut) -> Tensor:
    """Return the changes that are usual around each cell, of all seasons where hindcasts know them."""
    hindcasts = combination.linear.spread
    if hindcasts.found.any():
        return hindcasts.usual
    usual = changes(held_out.x, held_out.mask).nanmean(0) if held_out.usual is None else held_out.usual
    return usual.nan_to_num(1.0)  # where nothing was observed


def observed(truth: Tensor) -> Tensor:
    """Return of how many forecasts (n, horizon, channel, y, x) anything is known at each lead, (horizon,)."""
    return truth.isfinite().flatten(2).any(2).sum(0)


def _combination(module: CombinedModule) -> Combination:
    if module.combination is None:
        raise ValueError("combination=None: the module has nothing to weigh")
    return module.combination
