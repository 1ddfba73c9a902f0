"""Distributions censored at natural bounds: what lies beyond a bound is at the bound (Tobin 1958)."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gridcast.modules.layers import by_lead

N_NODES = 16  # equally likely values of a distribution, by which its mean and its score are told
NODES = [(k + 0.5) / N_NODES for k in range(N_NODES)]
FAR = 8.0  # standard deviations beyond which a bound changes nothing
BISECTIONS = 20  # of a bracket of some ten standard deviations: to a hundred-thousandth of one
ROUNDS = 2  # of a search along one factor after the other
# candidates for the factors
SOFTNESS = (0.0, 0.25, 0.5, 0.75, 1.0)
PATHS = (0.02, 0.1, 0.25, 0.5, 0.75, 1.0, 1.4)
SLOPE = (0.0, 0.1, 0.2, 0.4, 0.7, 1.0, 1.5)
SKEW = (-1.0, -0.6, -0.3, 0.0, 0.3, 0.6, 1.0)
TOGETHER = 2**14  # values whose distributions are computed together
NEAR = 1e-5  # of values between -1 and 1: at a bound
FLOOR = 1e-6  # of a standard deviation


class Bounds(NamedTuple):
    """The smallest and the largest value of each cell and lead, infinite where there is none.

    Parameters
    ----------
    low, high : Tensor, (batch, horizon, channel, y, x)
        In the units of a forecast: anomalies of a bound vary with the time of the year.
    """

    low: Tensor
    high: Tensor

    def clip(self, values: Tensor) -> Tensor:
        """Return values (..., batch, horizon, channel, y, x) within the bounds."""
        return torch.minimum(torch.maximum(values, self.low), self.high)

    def distance(self, values: Tensor) -> Tensor:
        """Return how far values are from the nearest bound; 0 where there is none."""
        nearest = torch.minimum(values - self.low, self.high - values)
        return torch.where(nearest.isfinite(), nearest.clamp(min=0.0), 0.0)

    def mean(self, loc: Tensor, scale: Tensor, nodes: Tensor) -> Tensor:
        """Return the mean of distributions that are censored at the bounds, of equally likely standard values."""
        if loc.numel() < TOGETHER:
            nodes = nodes.view(len(nodes), *[1] * (loc.ndim + 1 - nodes.ndim), *nodes.shape[1:])
            return self.clip(loc + scale * nodes).mean(0)
        total = torch.zeros_like(loc)
        for node in nodes:  # one by one: all together would take as many times the memory
            total += self.clip(loc + scale * node)
        return total / len(nodes)

    def location(self, mean: Tensor, scale: Tensor, nodes: Tensor) -> Tensor:
        """Return the location of the distributions whose censored mean is `mean`, by bisection."""
        # a bound below raises the mean, so that the location is lower than it; a bound above lowers it
        first = torch.where(self.low.isfinite(), self.low - FAR * scale, mean)
        last = torch.where(self.high.isfinite(), self.high + FAR * scale, mean)
        for _ in range(BISECTIONS):
            middle = (first + last) / 2
            under = self.mean(middle, scale, nodes) < mean
            first, last = torch.where(under, middle, first), torch.where(under, last, middle)
        return (first + last) / 2


class CensoredForecast(nn.Module):
    """Mean and members of a series with natural bounds, from a forecast that knows none.

    The mean is that of the normal distribution around the forecast, censored at the bounds, of the standard deviation
    ``soft * s``: near a bound it lies within. Members are drawn from the distribution, censored too, that has this
    mean, the scale ``paths * s + slope * d`` and a skewness (sinh-arcsinh, Jones and Pewsey 2009), with the standard
    deviation s of the linear model's noise and the distance d of the mean from the bound. So members are at a bound as
    often as the distribution says, and where nothing happens they hardly differ.

    Parameters
    ----------
    horizon, n_channels : int

    Attributes
    ----------
    fitted, soft, paths, slope, skew : Tensor, (horizon, n_channels, 1, 1)
        The first is 1 where the others were fitted.
    """

    fitted: Tensor
    soft: Tensor
    paths: Tensor
    slope: Tensor
    skew: Tensor

    def __init__(self, horizon: int, n_channels: int) -> None:
        super().__init__()
        for name in ("fitted", "soft", "paths", "slope", "skew"):
            self.register_buffer(name, torch.empty(horizon, n_channels, 1, 1))
        self.reset()

    def reset(self) -> None:
        """Forget what was fitted."""
        for buffer in self.buffers():
            buffer.zero_()
        self.paths.fill_(1.0)

    def mean(self, forecast: Tensor, std: Tensor, bounds: Bounds) -> Tensor:
        """Return the mean for a forecast (batch, horizon, ...), `std` (horizon, channel, y, x) of its noise."""
        return _softened(forecast, by_lead(self.soft, forecast.shape[1]) * std, bounds)

    def members(self, mean: Tensor, noise: Tensor, std: Tensor, bounds: Bounds) -> Tensor:
        """Return members (member, batch, horizon, channel, y, x) from noise of unit variance, normally distributed."""
        paths, slope, skew = (by_lead(factor, mean.shape[1]) for factor in (self.paths, self.slope, self.skew))
        scale = _scale(paths, slope, mean, std, bounds)
        return bounds.clip(bounds.location(mean, scale, _nodes(skew)) + scale * _skewed(noise, skew))

    def scores(self, mean: Tensor, truth: Tensor, std: Tensor, bounds: Bounds) -> Tensor:
        """Return the noise of which `members` would make `truth`, a standard normal value; `mean` is that of `mean`."""
        paths, slope, skew = (by_lead(factor, mean.shape[1]) for factor in (self.paths, self.slope, self.skew))
        scale = _scale(paths, slope, mean, std, bounds)
        return _unskewed((truth - bounds.location(mean, scale, _nodes(skew))) / scale, skew)

    @torch.no_grad()
    def fit(self, lead: int, channel: int, forecast: Tensor, truth: Tensor, std: Tensor, bounds: Bounds) -> None:
        """Take the factors that held-out values ask for: least squares for the mean, then the least CRPS.

        Parameters
        ----------
        lead, channel : int
            Later leads, which held-out forecasts may not reach, take the factors too.
        forecast, truth, std : Tensor, (n,)
        bounds : Bounds
            Each (n,).
        """
        soft = min(SOFTNESS, key=lambda k: float((_softened(forecast, k * std, bounds) - truth).square().mean()))
        mean, levels = _softened(forecast, soft * std, bounds), truth.new_tensor(NODES)[:, None]
        at_bound = bounds.distance(truth) < NEAR

        def cost(paths: float, slope: float, skew: float) -> float:
            nodes = _nodes(mean.new_full((1,), skew))
            scale = _scale(paths, slope, mean, std, bounds)
            made = bounds.clip(bounds.location(mean, scale, nodes) + scale * nodes)
            error = truth - made
            crps = torch.maximum(levels * error, (levels - 1) * error).mean()
            # of two that score alike, the one that is at the bound as often as the truth
            missed = (bounds.distance(made) < NEAR).float().mean() - at_bound.float().mean()
            return float(crps * (1 + missed.abs() / 2))

        paths, slope = min(itertools.product(PATHS, SLOPE), key=lambda pair: cost(pair[0], pair[1], 0.0))
        for _ in range(ROUNDS):
            skew = min(SKEW, key=lambda value: cost(paths, slope, value))
            paths = min(PATHS, key=lambda value: cost(value, slope, skew))
            slope = min(SLOPE, key=lambda value: cost(paths, value, skew))
        found = {"fitted": 1.0, "soft": soft, "paths": paths, "slope": slope, "skew": skew}
        for name, value in found.items():
            getattr(self, name)[lead:, channel] = value


def _scale(paths: Tensor | float, slope: Tensor | float, mean: Tensor, std: Tensor, bounds: Bounds) -> Tensor:
    return (paths * std + slope * bounds.distance(mean)).clamp(min=FLOOR)


def _softened(forecast: Tensor, scale: Tensor, bounds: Bounds) -> Tensor:
    return bounds.mean(forecast, scale, _nodes(scale.new_zeros(1)))


def _skewed(z: Tensor, skew: Tensor) -> Tensor:
    """Return standard normal values made skew, of zero mean and unit variance over the nodes."""
    nodes = torch.sinh(_normal(skew) + skew)
    return (torch.sinh(torch.asinh(z) + skew) - nodes.mean(0)) / nodes.std(0, correction=0)


def _unskewed(value: Tensor, skew: Tensor) -> Tensor:
    """Undo `_skewed`."""
    nodes = torch.sinh(_normal(skew) + skew)
    return torch.sinh(torch.asinh(value * nodes.std(0, correction=0) + nodes.mean(0)) - skew)


def _nodes(skew: Tensor) -> Tensor:
    """Return equally likely values of the standard distribution of this skewness, (N_NODES, ...)."""
    return _skewed(torch.sinh(_normal(skew)), skew)


def _normal(like: Tensor) -> Tensor:
    """Return the inverse hyperbolic sines of equally likely standard normal values, (N_NODES, 1, ...)."""
    normal = torch.asinh(torch.special.ndtri(like.new_tensor(NODES)))
    return normal.view(-1, *[1] * like.ndim)
