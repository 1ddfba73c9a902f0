"""Forecast combination: networks beside a linear model and persistence, weighed by held-out steps."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator

import pandas as pd
import torch
from torch import Tensor, nn

from gridcast.modules.blend import Blend, Products
from gridcast.modules.censored import FLOOR, Bounds
from gridcast.modules.forecasting import Contexts, ForecastModule
from gridcast.modules.inverse_model import LinearInverseModel
from gridcast.modules.layers import by_lead
from gridcast.modules.spread import Spread

Draw = Callable[[int], tuple[Tensor, Tensor]]
N_DRAWN = 16  # members of the networks, by which their spread is told
SOURCES = ("networks", "linear", "persistence")


class Combination(nn.Module):
    """What makes one forecast of several; until it is fitted, the networks' own (Bates and Granger 1969).

    Parameters
    ----------
    linear : LinearInverseModel
        Fitted by its owner, before the networks.
    n_channels : int

    Attributes
    ----------
    earlier : Products or None
        What forecasts of known fields say of all sources but the networks; not saved, being part of the weights then.
    """

    earlier: Products | None = None

    def __init__(self, linear: LinearInverseModel, n_channels: int) -> None:
        super().__init__()
        horizon = len(linear.damping)
        self.linear = linear
        self.blend = Blend(SOURCES, "linear", horizon)
        self.spread = Spread(horizon, (n_channels, *linear.size))
        self.reset()

    def reset(self) -> None:
        """Leave the forecast, and its members, to the networks."""
        self.blend.reset()
        self.spread.reset()
        # the other way round from its own start
        self.spread.networks.fill_(1.0)
        self.spread.paths.zero_()

    @property
    def uses_networks(self) -> bool:
        """Whether the networks have a part in the mean or in the members."""
        return bool(self.blend.weights[:, 0].any() or self.spread.networks.any())

    def sources(self, mean: Tensor, x: Tensor) -> Tensor:
        """Return what is weighed, (n_sources, batch, horizon, channel, y, x), from the networks' forecast."""
        linear = self.linear.mean(x, mean.shape[1])
        return torch.stack([mean, linear, x[:, -1:].expand_as(mean)])

    @torch.no_grad()
    def fit_spread(
        self,
        activity: Tensor,
        std: Tensor,
        mean: Tensor,
        variance: Tensor | None,
        truth: Tensor,
        bounds: Bounds | None,
        cases: Tensor,
        linear: Tensor,
    ) -> None:
        """Take the spread of each lead that held-out forecasts ask for.

        Parameters
        ----------
        activity : Tensor, (n, channel, y, x)
            Before each forecast.
        std, mean : Tensor, (n, horizon, channel, y, x)
            The standard deviation of the paths, and the combined forecasts.
        variance : Tensor or None, same shape
            Of the networks' members.
        truth : Tensor, same shape
            NaN where it is not known.
        bounds : Bounds or None
        cases : Tensor, (horizon,)
            Independent forecasts of each lead.
        linear : Tensor, same shape
            The linear model's forecasts.
        """
        std, mean, truth, linear = (t.flatten(3) for t in (std, mean, truth, linear))
        variance = None if variance is None else variance.flatten(3)
        limits = None if bounds is None else Bounds(*(b.flatten(3) for b in bounds))
        earlier = self.linear.spread.found
        self.spread.fit(mean, variance, std, truth, limits, cases, activity.flatten(2), linear, earlier)

    def table(self) -> pd.DataFrame:
        """Return weights, spread and errors of each lead, see `gridcast.CNMMForecaster.decisions_`."""
        table, n = self.blend.table(), len(SOURCES)
        of_spread = {"networks": self.spread.networks, "linear": self.spread.paths, "activity": self.spread.power}
        for i, (name, factor) in enumerate(of_spread.items()):
            table.insert(n + i, f"spread_{name}", factor.mean((1, 2, 3)).cpu().numpy())
        return table


class CombinedModule(ForecastModule):
    """Base of the modules whose forecast may be combined with a linear one.

    Parameters
    ----------
    combination : Combination or None
    """

    def __init__(self, combination: Combination | None) -> None:
        super().__init__()
        self.combination = combination

    @abstractmethod
    def begin(self, x: Tensor, mask: Tensor, horizon: int, clock: Tensor | None) -> tuple[Tensor, Tensor, Draw]:
        """Read contexts, see `forecast`, without the combination.

        Returns
        -------
        mean, scale : Tensor, (batch, horizon, channel, y, x)
            Of the observations.
        draw : callable
            Returns so many members and their scale, each (member, batch, horizon, channel, y, x).
        """

    @property
    def _uses_networks(self) -> bool:
        return self.combination is None or self.combination.uses_networks

    @torch.no_grad()
    def predictive(self, contexts: Contexts) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of the next field, see `ForecastModule`; that of the networks by draws."""
        x, mask, clock, _ = contexts
        mean, variance = torch.zeros_like(x[:, :1]), torch.zeros_like(x[:, :1])
        if self._uses_networks:
            mean, _, draw = self.begin(x, mask, 1, clock)
            members, noise = draw(N_DRAWN)
            variance = (members - mean).square().mean(0) + noise.square().mean(0)
        if self.combination is None:
            return mean[:, 0], variance.sqrt()[:, 0]
        spread, std = self.combination.spread, self.combination.linear.std[:1]
        combined = self.combination.blend.mean(self.combination.sources(mean, x))
        variance = spread.networks[:1].square() * variance + spread.paths[:1].square() * std.square()
        active = spread.activity(x, mask)[:, None] ** spread.power[:1]
        return combined[:, 0], (active * variance.sqrt()).clamp(min=FLOOR)[:, 0]

    @torch.no_grad()
    def forecasts(self, contexts: Contexts, horizon: int, sizes: Iterable[int]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield forecasts, see `ForecastModule`."""
        x, mask, clock, bounds = contexts
        draw: Draw | None = None
        mean = scale = x.new_zeros(len(x), horizon, *x.shape[2:])
        if self._uses_networks:
            mean, scale, draw = self.begin(x, mask, horizon, clock)
        if self.combination is None:
            yield from (draw(n) if n and draw else (mean[None], scale[None]) for n in sizes)
            return
        combined = self.combination.blend.mean(self.combination.sources(mean, x))
        linear, spread = self.combination.linear, self.combination.spread
        std, activity = by_lead(linear.std, horizon), spread.activity(x, mask)
        for n in sizes:
            if not n:
                yield spread.mean(combined, std, bounds)[None], scale[None]
                continue
            deviations = torch.zeros_like(mean[None])
            # of a series with bounds members are paths of the linear model alone
            if draw is not None and spread.networks.any():
                loc, noise = draw(n)
                deviations = loc - mean + noise * torch.randn_like(loc)
            paths = linear.paths(n * len(x), horizon).unflatten(0, (n, len(x)))
            members = spread.members(combined, deviations, paths, std, bounds, activity)
            yield members, torch.zeros_like(members[:1, :1, :1]).expand(members.shape)
