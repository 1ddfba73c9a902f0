"""The linear inverse model of a series: forecasts, their damping, and an ensemble of the size of past errors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from gridcast.modules.forecasting import Contexts, ForecastModule
from gridcast.modules.frames import Frames
from gridcast.modules.hindcasts import Hindcasts
from gridcast.modules.layers import by_lead, go_around, mean_around
from gridcast.modules.linear import LinearForecast
from gridcast.modules.noise import CorrelatedNoise
from gridcast.modules.regression import fit_linear_forecast, measure_errors, refit_linear_forecast
from gridcast.modules.spread import Spread

N_DRAWS = 100  # of the noise, from which its growth with lead time is told to a tenth
LEAST_DRAWS, DRAWN_CELLS = 16, 2**23  # of a large grid: as many as have so many values
DRAWN_TOGETHER, DRAWN_VALUES = 10, 2**23  # and the values of all their leads: 32 MiB


class LinearInverseModel(ForecastModule):
    """A linear inverse model (Penland and Sardeshmukh 1995): a linear forecast driven by correlated noise.

    The mean of a forecast runs `linear` on and is damped, lead by lead, towards zero (the climatology). Members add the
    paths of noise that runs through `linear` from zero, scaled at each lead and cell to the errors of hindcasts.

    Parameters
    ----------
    linear : LinearForecast
    noise : CorrelatedNoise
    frames : Frames
        Pads and crops.
    size : (int, int)
        Rows and columns of a field.
    horizon : int
        Leads with a damping and a scale of their own; later ones take those of the last.

    Attributes
    ----------
    damping : Tensor, (horizon,)
    ratio, std : Tensor, (horizon, channel, y, x)
        Scale of the paths, and the standard deviation that they then have.
    spread : Spread
        What members have beside that: a factor and a power of the activity, or the distribution near a bound.
    widening : Tensor, (channel, 1, 1)
        Factor of the deviations of draws of a smoother, see `gridcast.modules.smoother.Smoother`.
    """

    damping: Tensor
    widening: Tensor
    ratio: Tensor
    std: Tensor

    def __init__(
        self, linear: LinearForecast, noise: CorrelatedNoise, frames: Frames, size: tuple[int, int], horizon: int
    ) -> None:
        super().__init__()
        self.linear, self.noise, self.frames, self.size = linear, noise, frames, size
        self.register_buffer("damping", torch.ones(horizon))
        self.register_buffer("widening", torch.ones(len(linear.cell_std), 1, 1))
        for name in ("ratio", "std"):
            self.register_buffer(name, torch.ones(horizon, len(linear.cell_std), *size))
        self.spread = Spread(horizon, (len(linear.cell_std), *size))

    @torch.no_grad()
    def fit_mean(self, runs: Sequence[Tensor], **options: int) -> list[Tensor]:
        """Learn the forecast, without damping, from runs of consecutive fields; return these, padded.

        Parameters
        ----------
        runs : sequence of Tensor, each (time, channel, y, x)
            Anomalies, at least `n_lags` + 1 steps each.
        **options
            Of `fit_linear_forecast`.
        """
        # padding is what a forecast will see at the edges, so it is fitted with it
        padded = [self.frames.pad(run) for run in runs]
        fit_linear_forecast(self.linear, padded, **options)
        return padded

    @torch.no_grad()
    def fit(self, runs: Sequence[Tensor]) -> None:
        """Learn the forecast and the noise, without damping, from runs as for `fit_mean`."""
        padded = self.fit_mean(runs)
        measure_errors(self.linear, padded)
        self.noise.fit(self._errors(padded, len(self.noise.errors)))
        self.std.copy_(self._variance().sqrt())

    @torch.no_grad()
    def refit_mean(self, runs: Sequence[Tensor]) -> None:
        """Learn the forecast anew from runs as for `fit_mean`; units, noise, damping and spread stay as they are."""
        refit_linear_forecast(self.linear, [self.frames.pad(run) for run in runs])

    def _variance(self) -> Tensor:
        """Return the variance of the noise at each lead, (horizon, channel, y, x), from draws of it."""
        horizon, n_channels, *size = self.std.shape
        n_cells = n_channels * math.prod(size)
        n_draws = max(LEAST_DRAWS, min(N_DRAWS, DRAWN_CELLS // n_cells))
        # a few at a time: (draw, horizon, channel, y, x) is the largest of all that a fit needs
        together = max(1, min(DRAWN_TOGETHER, DRAWN_VALUES // (horizon * n_cells)))
        total = torch.zeros_like(self.std)
        for first in range(0, n_draws, together):
            total += self.deviations(min(together, n_draws - first), horizon).square().sum(0)
        # of a large grid the cells around have a say, so that there are as many draws as of a small one
        around = math.ceil(math.sqrt(N_DRAWS / n_draws)) // 2
        return mean_around(total / n_draws, 2 * around + 1)

    def _errors(self, runs: Sequence[Tensor], n: int) -> Tensor:
        """Return `n` errors of the forecast at evenly spaced steps of the runs."""
        n_lags = self.linear.n_lags
        places = [(i, first) for i, run in enumerate(runs) for first in range(len(run) - n_lags)]
        # evenly spaced, to show all seasons
        chosen = [places[k] for k in torch.linspace(0, len(places) - 1, n).long().tolist()]
        pairs = [self.linear.pair(runs[i][first : first + n_lags + 1]) for i, first in chosen]
        return torch.cat([following - self.linear(features) for features, following in pairs])

    @torch.no_grad()
    def calibrate(self, hindcasts: Hindcasts, cases: Tensor) -> Tensor:
        """Set damping and spread by hindcasts: forecasts of steps that the model was not fitted to.

        Parameters
        ----------
        hindcasts : Hindcasts
        cases : Tensor, (horizon,)
            Independent ones of each lead.

        Returns
        -------
        scores : Tensor, (n, horizon, channel, cell)
            Normal scores of what came in the forecasts that it then makes.
        """
        self.damping.copy_(hindcasts.damping())
        # after the damping, which makes the error smaller
        self.ratio.copy_(hindcasts.ratio(self.std.square(), self.damping))
        self.std.mul_(self.ratio)
        hindcasts.fit_spread(self.spread, self.damping, self.std, cases)
        return hindcasts.scores(self.spread, self.damping, self.std)

    @torch.no_grad()
    def forecasts(self, contexts: Contexts, horizon: int, sizes: Iterable[int]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield forecasts, see `ForecastModule`, of scale 0: the noise is in the paths."""
        x, bounds = contexts.x, contexts.bounds
        forecast, std = self.mean(x, horizon), by_lead(self.std, horizon)
        activity = self.spread.activity(x, contexts.mask)
        for n in sizes:
            if not n:
                loc = self.spread.mean(forecast, std, bounds)[None]
            else:
                # paths from zero: the model is linear but for its limit, so mean and noise may be run apart
                paths = self.paths(n * len(x), horizon).unflatten(0, (n, len(x)))
                loc = self.spread.members(forecast, torch.zeros_like(paths[:1]), paths, std, bounds, activity)
            # expanded from one field: zeros take no memory
            yield loc, torch.zeros_like(loc[:1, :1, :1]).expand(loc.shape)

    @torch.no_grad()
    def predictive(self, contexts: Contexts) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of the next field, see `ForecastModule`."""
        mean, spread = self.mean(contexts.x, 1)[:, 0], self.spread
        active = spread.activity(contexts.x, contexts.mask) ** spread.power[0]
        return mean, active * spread.paths[0] * self.std[0]

    @torch.no_grad()
    def mean(self, x: Tensor, horizon: int) -> Tensor:
        """Return the mean of the fields after contexts `x`, (batch, horizon, channel, y, x)."""
        # (batch, n_lags * n_folded, y / d, x / d)
        lagged = self.linear.lags(self.frames.pad(x[:, -self.linear.n_lags :]))[:, -1]
        return by_lead(self.damping, horizon)[:, None, None, None] * self._run(lagged, horizon)

    def paths(self, n: int, horizon: int) -> Tensor:
        """Draw `n` paths of noise of the size of past errors, (n, horizon, channel, y, x)."""
        return by_lead(self.ratio, horizon) * self.deviations(n, horizon)

    def deviations(self, n: int, horizon: int) -> Tensor:
        """Draw `n` paths of noise through the model from zero, (n, horizon, channel, y, x)."""
        shape = (n, self.linear.n_lags * self.linear.n_folded, *self.noise.std.shape[1:])
        return self._run(self.noise.std.new_zeros(shape), horizon, noisy=True)

    def _run(self, lagged: Tensor, horizon: int, *, noisy: bool = False) -> Tensor:
        """Run on from coefficients (n, n_lags * n_folded, y, x), the latest first; (n, horizon, channel, y, x)."""
        go_around(self.linear, True)  # what was learned from patches too: a forecast is of a whole grid
        path = []
        for _ in range(horizon):
            ahead = self.linear(self.linear.features(lagged))
            if noisy:
                ahead = ahead + self.noise.std * self.noise(ahead)  # the noise has unit variance
            path.append(ahead)
            lagged = torch.cat([ahead, lagged], dim=1)[:, : lagged.shape[1]]  # the oldest falls off
        fields = self.linear.unfold(torch.stack(path, dim=1).flatten(0, 1))
        return self.frames.crop(fields, self.size).unflatten(0, (-1, horizon))
