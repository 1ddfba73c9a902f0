"""How far members of an ensemble lie from their mean, as held-out errors say."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gridcast.modules.censored import FLOOR, Bounds, CensoredForecast
from gridcast.modules.layers import by_lead, mean_around

PRIOR_CASES = 2.0  # held-out forecasts in which the spread was right, beside those that were made
PRIOR_OF_PATHS = 30.0  # of the paths: hindcasts of all seasons say how large they are, and what is held out is one
LEAST = 1e-6  # of an error in units of the spread
MOST = 4.0  # factor that a spread is multiplied by
LEAST_CASES = 4.0  # from fewer it can not be told how the spread depends on the state
POWERS = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the activity, candidates
POWER_COST = 0.01  # of a power of 1, in log-likelihood of a value: several times what none gains by accident
AROUND = 9  # cells of a side, whose changes are the activity of the middle one
ACTIVITY = (1e-4, 1e2)  # mean square in units of the usual one, at least and at most
SHARES = [k / 10 for k in range(11)]  # of the variance, candidates
FITTED = (1, 2, 3, 5, 8, 13, 20)  # leads of which a censored distribution is fitted: it takes a while
MOST_VALUES = 1000  # of a lead and channel: a fit is no better for more


class Spread(nn.Module):
    """Deviations of members: those of the networks and paths of the linear model's noise, in shares of each lead.

    Channels with natural bounds have `censored` instead, whose noise are the paths.

    Parameters
    ----------
    horizon : int
    shape : (int, int, int)
        Channels, rows and columns of a field.

    Attributes
    ----------
    networks, paths : Tensor, (horizon, n_channels, 1, 1)
        Factors of the deviations.
    power : Tensor, (horizon, n_channels, 1, 1)
        Of the activity, by which both are multiplied: where much has changed of late, much will.
    usual : Tensor, (n_channels, y, x)
        Mean square of the changes before held-out forecasts, or hindcasts.
    found : Tensor, (horizon, n_channels, n_powers, 2)
        Negative log-likelihood of a value with each of `POWERS`, and the factor of the paths' variance, as `fit` found
        them; 0 where it did not.
    """

    networks: Tensor
    paths: Tensor
    power: Tensor
    usual: Tensor
    found: Tensor

    def __init__(self, horizon: int, shape: tuple[int, int, int]) -> None:
        super().__init__()
        n_channels = shape[0]
        for name in ("networks", "paths", "power"):
            self.register_buffer(name, torch.empty(horizon, n_channels, 1, 1))
        self.register_buffer("usual", torch.ones(shape))
        self.register_buffer("found", torch.zeros(horizon, n_channels, len(POWERS), 2))
        self.censored = CensoredForecast(horizon, n_channels)
        self.reset()

    def reset(self) -> None:
        """Leave members to the paths, as they are."""
        self.networks.zero_()
        self.paths.fill_(1.0)
        self.power.zero_()
        self.found.zero_()
        self.censored.reset()

    def activity(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return the root mean square of the changes around each cell, in units of the usual one, (n, channel, y, x).

        It is 1 where none was observed.

        Parameters
        ----------
        x, mask : Tensor, (n, context, channel, y, x)
        """
        return activity_of(changes(x, mask), self.usual)

    def mean(self, forecast: Tensor, std: Tensor, bounds: Bounds | None) -> Tensor:
        """Return the mean (batch, horizon, channel, y, x) for a forecast and `std` (horizon, channel, y, x)."""
        if bounds is None:
            return forecast
        return self.censored.mean(forecast, std, bounds)

    def members(
        self,
        forecast: Tensor,
        deviations: Tensor,
        paths: Tensor,
        std: Tensor,
        bounds: Bounds | None,
        activity: Tensor | None = None,
    ) -> Tensor:
        """Return members around the mean, (member, batch, horizon, channel, y, x).

        Parameters
        ----------
        forecast : Tensor, (batch, horizon, channel, y, x)
        deviations : Tensor, (member, batch, horizon, channel, y, x)
            Of the networks' members from their mean.
        paths : Tensor, (member, batch, horizon, channel, y, x)
            Noise of the linear model.
        std : Tensor, (horizon, channel, y, x)
            Its standard deviation.
        bounds : Bounds or None
        activity : Tensor, (batch, channel, y, x), optional
        """
        horizon = forecast.shape[1]
        away = by_lead(self.networks, horizon) * deviations + by_lead(self.paths, horizon) * paths
        if activity is not None:
            away = away * activity[:, None] ** by_lead(self.power, horizon)
        members = forecast + away
        if bounds is None:
            return members
        mean = self.mean(forecast, std, bounds)
        censored = self.censored.members(mean, paths / std.clamp(min=FLOOR), std, bounds)
        # without held-out forecasts nothing is known of the distribution but its bounds
        return torch.where(by_lead(self.censored.fitted, horizon) > 0, censored, bounds.clip(members))

    @torch.no_grad()
    def fit(
        self,
        forecast: Tensor,
        variance: Tensor | None,
        std: Tensor,
        truth: Tensor,
        bounds: Bounds | None,
        cases: Tensor,
        activity: Tensor | None = None,
        linear: Tensor | None = None,
        earlier: Tensor | None = None,
    ) -> None:
        """Take the factors that held-out forecasts ask for.

        Parameters
        ----------
        forecast : Tensor, (n, horizon, channel, cell)
            Of steps that nothing was fitted to.
        variance : Tensor or None, same shape
            Of the networks' members.
        std : Tensor, (horizon, channel, cell) or as `forecast`
            Of the paths.
        truth : Tensor, same shape as `forecast`
            NaN where it is not known.
        bounds : Bounds or None
            Each (n, horizon, channel, cell).
        cases : Tensor, (horizon,)
            Independent forecasts of each lead.
        activity : Tensor, (n, channel, cell), optional
            Before each forecast.
        linear : Tensor, same shape as `forecast`, optional
            Forecasts of which hindcasts have said how large the paths are; by default it is `forecast` that tells.
        earlier : Tensor, (horizon, channel, n_powers, 2), optional
            What was `found` in these hindcasts.
        """
        self.found.zero_()
        for lead, channel in itertools.product(range(len(self.paths)), range(self.paths.shape[1])):
            at = truth[:, lead, channel].isfinite().flatten().nonzero()[:, 0]
            if not len(at):
                continue  # with the factors of the lead before
            # evenly spaced, in double precision: single would round past the end of many
            evenly = torch.linspace(0, len(at) - 1, min(len(at), MOST_VALUES), dtype=torch.float64)
            at = at[evenly.long().tolist()]

            def pick(t: Tensor, lead: int = lead, channel: int = channel, at: Tensor = at) -> Tensor:
                return t[:, lead, channel].flatten()[at]

            f, y, s = pick(forecast), pick(truth), pick(std.expand(forecast.shape))
            if bounds is not None:
                limits = Bounds(pick(bounds.low), pick(bounds.high))
                if any(bool(limit.isfinite().any()) for limit in limits):
                    # its noise is that of the paths
                    self.networks[lead:, channel], self.paths[lead:, channel] = 0.0, 1.0
                    self.power[lead:, channel] = 0.0
                    if lead + 1 in FITTED:
                        self.censored.fit(lead, channel, f, y, s, limits)
                    continue
            told = None if earlier is None or not earlier[lead, channel, :, 1].all() else earlier[lead, channel].cpu()
            # what can not be told from few cases stays out
            few = bool(cases[lead] < LEAST_CASES)
            v = None if variance is None or few else pick(variance)
            active = None
            if activity is not None and not (few and told is None):
                active = pick(activity[:, None].expand(forecast.shape))
            of_paths = None if linear is None else (y - pick(linear)).square()
            seen = _Seen((y - f).square(), v, s.square(), float(cases[lead]), active, of_paths)
            factors, powers = seen.best(told)
            self.found[lead, channel, : len(powers)] = powers
            for buffer, factor in zip((self.networks, self.paths, self.power), factors, strict=True):
                # later leads, which held-out forecasts may not reach, take it too
                buffer[lead:, channel] = factor


def changes(x: Tensor, mask: Tensor) -> Tensor:
    """Return the mean square of the changes of contexts (n, context, channel, y, x) around each cell.

    Those between two steps that were observed, which the mask says; NaN where there are none.
    """
    if x.shape[1] == 1:
        return torch.ones_like(x[:, 0])
    seen = mask[:, 1:] * mask[:, :-1]
    squared, share = (mean_around(t.mean(1), AROUND) for t in (seen * x.diff(dim=1).square(), seen))
    return torch.where(share > 0, squared / share, torch.nan)


def activity_of(before: Tensor, usual: Tensor) -> Tensor:
    """Return the root of mean squares (n, ...) in units of the usual ones, bounded; 1 where one is not known."""
    return (before / usual.clamp(min=FLOOR)).clamp(*ACTIVITY).sqrt().nan_to_num(1.0)


@dataclass(frozen=True)
class _Seen:
    """What held-out forecasts say of a lead and channel.

    Parameters
    ----------
    squared : Tensor, (value,)
        Squared errors.
    networks : Tensor or None, (value,)
        Variance of the networks' members.
    paths : Tensor, (value,)
        That of the paths.
    cases : float
    activity : Tensor or None, (value,)
    squared_of_paths : Tensor or None, (value,)
        Squared errors of what the paths are of, of which more is known.
    """

    squared: Tensor
    networks: Tensor | None
    paths: Tensor
    cases: float
    activity: Tensor | None
    squared_of_paths: Tensor | None

    def best(self, earlier: Tensor | None) -> tuple[tuple[float, float, float], Tensor]:
        """Return factors of both deviations and the power of the activity, and what was found of each power.

        What is not given has the factor 0. `earlier` was found in as many forecasts as the prior has.
        """
        powers = POWERS if self.activity is not None else POWERS[:1]
        each = [self._with(power, None if earlier is None else float(earlier[i, 1])) for i, power in enumerate(powers)]
        found = torch.tensor([(cost, level) for cost, level, *_ in each])
        costs = found[:, 0]
        if earlier is not None:
            # as far as the errors are those of the paths
            prior = PRIOR_OF_PATHS * min(1.0, self._left(torch.ones_like(self.paths)))
            costs = torch.lerp(costs, earlier[: len(powers), 0], prior / (prior + self.cases))
        chosen = int((costs + POWER_COST * torch.tensor(powers)).argmin())
        return (*each[chosen][2:], powers[chosen]), found

    def _with(self, power: float, told: float | None) -> tuple[float, float, float, float]:
        """Return the least cost with a power, the paths' level, and the factors; `told` is a level found before."""
        by = torch.ones_like(self.paths) if self.activity is None else self.activity ** (2 * power)
        expected, prior = 1 / float(by.mean()) if told is None else told, PRIOR_CASES
        if self.squared_of_paths is not None:
            expected, prior = expected * self._left(by), PRIOR_OF_PATHS
        # (share, value): all shares at once, or that of the paths alone
        networks, shares = self.networks, torch.tensor(SHARES, device=by.device)[:, None]
        if networks is None:
            networks, shares = torch.zeros_like(self.paths), shares[:1]
        first = self._level(by * networks, 1.0, PRIOR_CASES)
        second = self._level(by * self.paths, expected, prior)
        variance = by * (shares * first * networks + (1 - shares) * second * self.paths) + self._least
        costs = (variance.log() + self.squared / variance).mean(1)  # the negative log-likelihood
        best = int(costs.argmin())
        share = SHARES[best]
        return float(costs[best]), float(second), (share * float(first)) ** 0.5, ((1 - share) * float(second)) ** 0.5

    def _left(self, by: Tensor) -> float:
        """Return the share of the squared errors of what the paths are of that is left, 1 where it is all.

        In the same forecasts, so that it does not matter how hard these are.
        """
        both = (self.squared, self.squared if self.squared_of_paths is None else self.squared_of_paths)
        ratios = [(each / (by * self.paths + self._least)).mean().clamp(min=LEAST) for each in both]
        return float(ratios[0] / ratios[1])

    def _level(self, variance: Tensor, expected: float, prior: float) -> Tensor:
        # Of the likelihood, which asks for the mean of the ratios: the few largest variances would else decide alone.
        # Towards what is expected where held-out forecasts are few.
        found = (self.squared / (variance + self._least)).mean()
        return ((found * self.cases + expected * prior) / (self.cases + prior)).clamp(MOST**-2, MOST**2)

    @functools.cached_property
    def _least(self) -> Tensor:
        return 1e-4 * self.squared.mean() + 1e-12  # a spread of no more than this is none
