"""The linear inverse model of a series: forecasts, their damping, and an ensemble of the size of past errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from gridcast.modules.frames import Frames
from gridcast.modules.linear import LinearForecast
from gridcast.modules.noise import CorrelatedNoise
from gridcast.modules.regression import fit_linear_forecast, measure_errors

N_DRAWS, DRAWN_TOGETHER = 100, 10  # of the noise, from which its growth with lead time is told to a tenth
# candidates, dense near 1: a small damping adds up over the leads
DAMPINGS = (1.0, 0.999, 0.997, 0.995, 0.99, 0.98, 0.97, 0.95, 0.92, 0.9, 0.85, 0.8)  # a step
PRIOR_SHARE = 1.0  # of hindcasts that ask for no damping, beside those that were made: a tail may be unlike what comes
PRIOR_HINDCASTS = 30.0  # at each cell, of the size that the noise of the model has there


class LinearInverseModel(nn.Module):
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
    ratio : Tensor, (horizon, channel, y, x)
        Scale of the paths.
    """

    damping: Tensor
    ratio: Tensor

    def __init__(
        self, linear: LinearForecast, noise: CorrelatedNoise, frames: Frames, size: tuple[int, int], horizon: int
    ) -> None:
        super().__init__()
        self.linear, self.noise, self.frames, self.size = linear, noise, frames, size
        self.register_buffer("damping", torch.ones(horizon))
        self.register_buffer("ratio", torch.ones(horizon, len(linear.cell_std), *size))

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

    def _errors(self, runs: Sequence[Tensor], n: int) -> Tensor:
        """Return `n` errors of the forecast at evenly spaced steps of the runs."""
        n_lags = self.linear.n_lags
        places = [(i, first) for i, run in enumerate(runs) for first in range(len(run) - n_lags)]
        # evenly spaced, to show all seasons
        chosen = [places[k] for k in torch.linspace(0, len(places) - 1, n).long().tolist()]
        pairs = [self.linear.pair(runs[i][first : first + n_lags + 1]) for i, first in chosen]
        return torch.cat([following - self.linear(features) for features, following in pairs])

    @torch.no_grad()
    def calibrate(self, hindcasts: Hindcasts) -> None:
        """Set damping and scale by hindcasts: forecasts of steps that the model was not fitted to."""
        self.damping.copy_(hindcasts.damping())
        # a few at a time: (draw, horizon, channel, y, x) is the largest of all that a fit needs
        parts = (self.deviations(DRAWN_TOGETHER, len(self.damping)) for _ in range(N_DRAWS // DRAWN_TOGETHER))
        variance = sum((paths.square().sum(0) for paths in parts), torch.zeros_like(self.ratio)) / N_DRAWS
        # after the damping, which makes the error smaller
        self.ratio.copy_(hindcasts.ratio(variance, self.damping))

    @torch.no_grad()
    def forecast(
        self, x: Tensor, mask: Tensor, horizon: int, n_samples: int = 0, clock: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Forecast the fields after a context.

        Parameters
        ----------
        x : Tensor, (batch, context, channel, y, x)
            Whole grids, gaps filled.
        mask, clock
            Without meaning here.
        horizon : int
        n_samples : int
            Paths of noise for each context; 0 gives the mean.

        Returns
        -------
        loc, scale : Tensor, (max(n_samples, 1), batch, horizon, channel, y, x)
            The scale is 0: the noise is in the paths.
        """
        del mask, clock
        # (batch, n_lags * n_folded, y / d, x / d)
        lagged = self.linear.lags(self.frames.pad(x[:, -self.linear.n_lags :]))[:, -1]
        lead = torch.arange(horizon, device=x.device).clamp(max=len(self.damping) - 1)
        loc = self.damping[lead, None, None, None] * self._run(lagged, horizon)
        # a view: members share the mean
        loc = loc.expand(max(n_samples, 1), *loc.shape)
        if n_samples:
            paths = self.deviations(n_samples * len(x), horizon).unflatten(0, (n_samples, len(x)))
            # paths from zero: the model is linear but for its limit, so mean and noise may be run apart
            loc = loc + self.ratio[lead] * paths
        # expanded from one field: zeros take no memory
        return loc, torch.zeros_like(loc[:1, :1, :1]).expand(loc.shape)

    def deviations(self, n: int, horizon: int) -> Tensor:
        """Draw `n` paths of noise through the model from zero, (n, horizon, channel, y, x)."""
        shape = (n, self.linear.n_lags * self.linear.n_folded, *self.noise.std.shape[1:])
        return self._run(self.noise.std.new_zeros(shape), horizon, noisy=True)

    def _run(self, lagged: Tensor, horizon: int, *, noisy: bool = False) -> Tensor:
        """Run on from coefficients (n, n_lags * n_folded, y, x), the latest first; (n, horizon, channel, y, x)."""
        path = []
        for _ in range(horizon):
            ahead = self.linear(self.linear.features(lagged))
            if noisy:
                ahead = ahead + self.noise.std * self.noise(ahead)  # the noise has unit variance
            path.append(ahead)
            lagged = torch.cat([ahead, lagged], dim=1)[:, : lagged.shape[1]]  # the oldest falls off
        fields = self.linear.unfold(torch.stack(path, dim=1).flatten(0, 1))
        return self.frames.crop(fields, self.size).unflatten(0, (-1, horizon))


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

    def add(self, forecast: Tensor, truth: Tensor) -> None:
        """Take in forecasts and what came, NaN where that is not known, (n, horizon, channel, y, x)."""
        seen = truth.isfinite() & forecast.isfinite()
        forecast, truth = (torch.where(seen, t, 0.0).double() for t in (forecast, truth))
        self.count += seen.sum(0)
        self.truth += truth.square().sum(0)
        self.forecast += forecast.square().sum(0)
        self.product += (forecast * truth).sum(0)

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
