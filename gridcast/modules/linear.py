"""The best linear forecast of folded fields: where the convolutional Markov model starts from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gridcast.modules.layers import GridConv2d, single_precision

PENALTIES = (1e-3, 1e-2, 1e-1, 0.3, 1.0, 10.0, 100.0)
OWN_PENALTY = 1e-3
N_FOLDS = 4
BLOCK_CELLS = 2**22
LIMIT = 1.5
STEP_FLOOR = 1e-4

Moments = tuple[Tensor, Tensor, Tensor]


class LinearForecast(nn.Module):
    """A linear inverse model of neighbouring blocks, and the coordinates in which it is well conditioned.

    A field is cut into blocks of ``d x d`` cells. The coefficients of a block are the two-dimensional cosine transform
    of its cells, per channel, divided by their standard deviations: smooth fields are nearly white in them. The next
    field is forecast from the coefficients of the last `n_lags` fields in the neighbouring blocks: an autoregression of
    each coefficient, whose weights may vary with what a place is like, and a ridge regression of what it leaves on all
    of them (`fit_linear_forecast`), the share of the neighbours. Nothing here is trained further: the networks learn
    what is left, in units of its error.

    Parameters
    ----------
    n_channels : int
        Channels of a field.
    downsampling : int
        Cells of a block and side, d.
    n_lags : int
        Fields that a forecast sees.
    kernel_size : int
        Neighbouring blocks that it sees, on a side.
    n_local : int
        Maps of what a place is like, with which the weights of the autoregression vary.
    periodic : bool
        Whether columns go around the globe.

    Attributes
    ----------
    n_folded : int
        Coefficients of a block, ``n_channels * d ** 2``.
    scale, change, step : Tensor, (n_folded, 1, 1)
        Standard deviation of a coefficient, and, in units of `scale`, of its change in a step and of the error of its
        forecast.
    own : Tensor, (1 + n_local, n_lags, n_folded, 1, 1)
        Weights of the autoregression, in units of `step`, and their slopes along the maps.
    limit : Tensor, (n_folded, 1, 1)
        Largest magnitude of a forecast, so that a long run stays finite.
    share : Tensor, scalar
        Mean over blocks of the square of the neighbours' share, in the units of the field.
    cell_std, cell_step : Tensor, (n_channels, 1, 1)
        Standard deviation of a cell, and of the error of its forecast, in the units of the field.
    """

    basis: Tensor
    scale: Tensor
    change: Tensor
    step: Tensor
    own: Tensor
    limit: Tensor
    share: Tensor
    cell_std: Tensor
    cell_step: Tensor

    def __init__(
        self,
        n_channels: int,
        downsampling: int,
        n_lags: int,
        kernel_size: int = 3,
        *,
        n_local: int = 0,
        periodic: bool = False,
    ) -> None:
        super().__init__()
        self.downsampling, self.n_lags, self.periodic = downsampling, n_lags, periodic
        self.n_folded = n_channels * downsampling**2
        self.register_buffer("basis", torch.kron(torch.eye(n_channels), cosines(downsampling)))
        for name in ("scale", "change", "step"):
            self.register_buffer(name, torch.ones(self.n_folded, 1, 1))
        self.register_buffer("own", torch.zeros(1 + n_local, n_lags, self.n_folded, 1, 1))
        self.register_buffer("limit", torch.full((self.n_folded, 1, 1), math.inf))
        self.register_buffer("share", torch.ones(()))
        for name in ("cell_std", "cell_step"):
            self.register_buffer(name, torch.ones(n_channels, 1, 1))
        self.conv = GridConv2d(n_lags * self.n_folded, self.n_folded, kernel_size, periodic=periodic, bias=False)
        weight = torch.zeros_like(self.conv.weight)
        del self.conv.weight  # a buffer: it is not trained
        self.conv.register_buffer("weight", weight)

    @single_precision
    def fold(self, x: Tensor) -> Tensor:
        """Map fields (n, channel, y, x) to coefficients (n, n_folded, y / d, x / d)."""
        weight = self.basis / self.scale[:, :, 0]
        return F.conv2d(F.pixel_unshuffle(x, self.downsampling), weight[:, :, None, None])

    @single_precision
    def unfold(self, coefficients: Tensor) -> Tensor:
        """Undo `fold`."""
        weight = (self.basis * self.scale[:, :, 0]).T
        return F.pixel_shuffle(F.conv2d(coefficients, weight[:, :, None, None]), self.downsampling)

    def lags(self, x: Tensor) -> Tensor:
        """Map (batch, time, channel, y, x) to the coefficients of each field and those before it.

        Returns (batch, time, n_lags * n_folded, y / d, x / d), the latest first; before the first field stands the
        first again.
        """
        lagged = [self.fold(x.flatten(0, 1)).unflatten(0, x.shape[:2])]
        for _ in range(self.n_lags - 1):
            lagged.append(torch.cat([lagged[0][:, :1], lagged[-1][:, :-1]], dim=1))
        return torch.cat(lagged, dim=2)

    def pair(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Split stretches (n, n_lags + 1, channel, y, x) into features and the coefficients that follow."""
        folded = self.fold(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        return self.features(folded[:, :-1].flip(1).flatten(1, 2)), folded[:, -1]

    def features(self, lagged: Tensor) -> Tensor:
        """Map lags (n, n_lags * n_folded, y, x) to the latest coefficients and the standardised changes before."""
        parts = lagged.unflatten(1, (self.n_lags, self.n_folded))
        return torch.cat([parts[:, :1], (parts[:, :-1] - parts[:, 1:]) / self.change], dim=1).flatten(1, 2)

    def forward(self, features: Tensor, local: Tensor | None = None, weight: Tensor | float = 1.0) -> Tensor:
        """Map features (n, n_lags * n_folded, y, x) to the next coefficients (n, n_folded, y, x).

        `local` (n or 1, n_local, y, x) are the maps, `weight` (n, 1, y, x) multiplies the neighbours' share.
        """
        own, neighbours = self.parts(features, local)
        return self.bounded(own + weight * neighbours)

    @single_precision
    def parts(self, features: Tensor, local: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the forecast from a coefficient's own past and the neighbours' share, (n, n_folded, y, x) each."""
        past = features.unflatten(1, (self.n_lags, self.n_folded))
        own = (self.own[0] * past).sum(1)
        if local is not None:
            for slope, place in zip(self.own[1:], local.unbind(1), strict=True):
                own = own + place[:, None] * (slope * past).sum(1)
        return past[:, 0] + self.step * own, self.step * self.conv(features)

    def persistence(self) -> Tensor:
        """Return how much of a change of a coefficient is left one step later by its own past, (n_folded, 1, 1)."""
        own = self.own[0]
        change = own[1] / self.change if self.n_lags > 1 else 0.0
        return (1 + self.step * (own[0] + change)).clamp(0.0, 1.0)

    def bounded(self, coefficients: Tensor) -> Tensor:
        """Return coefficients (n, n_folded, y, x) within `limit`."""
        return torch.clamp(coefficients, -self.limit, self.limit)

    def errors(self, x: Tensor, lagged: Tensor, local: Tensor | None = None) -> Tensor:
        """Return the error of the forecast of each field of `x` (batch, time, ...) in units of `cell_step`; first 0."""
        if local is not None:
            local = local.repeat_interleave(x.shape[1] - 1, 0)
        forecast = self.unfold(self(self.features(lagged[:, :-1].flatten(0, 1)), local)).unflatten(0, (x.shape[0], -1))
        return F.pad((x[:, 1:] - forecast) / self.cell_step, (0, 0, 0, 0, 0, 0, 1, 0))


@torch.no_grad()
def fit_linear_forecast(linear: LinearForecast, x: Tensor, local: Tensor | None = None) -> None:
    """Fit a new `LinearForecast` to stretches of a series, in place.

    The ridge penalty has the smallest error in cross-validation over contiguous stretches; where a series is short, a
    large one leaves the autoregression of each coefficient.

    Parameters
    ----------
    linear : LinearForecast
        As it was constructed.
    x : Tensor, (stretch, time, channel, y, x)
        At least `n_lags` + 1 steps, of which the last are used; in the order of time; rows and columns multiples of
        `downsampling`; with a mean near zero.
    local : Tensor, (1, n_local, y / d, x / d), optional
        Maps of what each block is like, of mean 0 and variance 1.
    """
    x = x[:, -linear.n_lags - 1 :]
    blocks = x.split(max(1, BLOCK_CELLS // x[0].numel()))
    linear.cell_std.copy_(_rms(block.flatten(0, 1) for block in blocks))
    linear.scale.copy_(_rms(linear.fold(block.flatten(0, 1)) for block in blocks))

    def pairs() -> Iterator[tuple[Tensor, Tensor]]:
        return (linear.pair(block) for block in blocks)  # folded again each time: that is cheaper than to keep it

    def errors() -> Iterator[Tensor]:
        for features, following in pairs():
            yield linear(features, local) - following

    largest = torch.stack([linear.fold(block.flatten(0, 1)).abs().amax((0, 2, 3)) for block in blocks]).amax(0)
    linear.limit.copy_(LIMIT * largest.clamp(min=1.0)[:, None, None])
    linear.change.copy_(_rms(_change(block, linear) for block in blocks))
    linear.own[:1].copy_(_autoregress(linear, pairs(), None))  # step is still 1
    weight = _regress(_folds(linear, pairs(), len(x), local)).unflatten(1, linear.conv.weight.shape[1:])
    linear.conv.weight.copy_(weight * linear.change[..., None])
    if local is not None:
        linear.own[1:].copy_(_autoregress(linear, pairs(), local))
    share = _rms(linear.scale * linear.parts(features)[1] for features, _ in pairs())
    linear.share.copy_(share.square().sum().clamp(min=STEP_FLOOR**2))
    step, cell_step = _rms(errors()), _rms(linear.unfold(error) for error in errors())
    linear.step.copy_(step.clamp(min=STEP_FLOOR))
    linear.cell_step.copy_(cell_step.clamp(min=STEP_FLOOR))
    linear.own.div_(linear.step)
    linear.conv.weight.div_(linear.step[..., None])


def _change(block: Tensor, linear: LinearForecast) -> Tensor:
    """Return the last change of the coefficients of stretches, (n, n_folded, y, x)."""
    before, after = (linear.fold(block[:, i]) for i in (-2, -1))
    return after - before


def _autoregress(linear: LinearForecast, pairs: Iterable[tuple[Tensor, Tensor]], local: Tensor | None) -> Tensor:
    """Return weights of each coefficient's own past for what is left so far, (1 or n_local, n_lags, n_folded, 1, 1)."""
    n_maps = 1 if local is None else local.shape[1]
    n_own = n_maps * linear.n_lags
    gram = torch.zeros(linear.n_folded, n_own, n_own, dtype=torch.float64)
    cross = torch.zeros(linear.n_folded, n_own, 1, dtype=torch.float64)
    for features, following in pairs:
        seen = features.unflatten(1, (linear.n_lags, linear.n_folded))[:, None]
        seen = seen if local is None else seen * local[:, :, None, None]
        seen = seen.flatten(1, 2).permute(2, 1, 0, 3, 4).flatten(2)  # (n_folded, n_own, everywhere)
        left = (following - sum(linear.parts(features, local))).transpose(0, 1).flatten(1)[..., None]
        gram += (seen @ seen.mT).double()
        cross += (seen @ left).double()
    weight = torch.stack([_ridge(g, c, OWN_PENALTY)[:, 0] for g, c in zip(gram, cross, strict=True)], dim=1)
    return weight.float().unflatten(0, (n_maps, linear.n_lags))[..., None, None]


def _folds(
    linear: LinearForecast, pairs: Iterable[tuple[Tensor, Tensor]], n: int, local: Tensor | None
) -> list[Moments]:
    """Return the moments of features and what the autoregression leaves, in units of `change`, by parts of a series."""
    first = 0
    folds: dict[int, Moments] = {}
    for features, following in pairs:
        left = (following - linear.parts(features, local)[0]) / linear.change
        fold = torch.arange(first, first + len(features)) * N_FOLDS // n
        for k in fold.unique().tolist():
            parts = _moments(features[fold == k], left[fold == k], linear.conv.kernel_size[0], linear.periodic)
            folds[k] = _add(folds[k], parts) if k in folds else parts
        first += len(features)
    return list(folds.values())


def _add(one: Moments, other: Moments) -> Moments:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]


def _moments(features: Tensor, target: Tensor, kernel_size: int, periodic: bool) -> Moments:
    """Return features' features, features' target and the square of the target, in double precision."""
    half = kernel_size // 2
    columns = F.pad(features, (half, half, 0, 0), mode="circular" if periodic else "constant")
    padded = F.pad(columns, (0, 0, half, half))
    n_features = features.shape[1] * kernel_size**2
    gram = torch.zeros(n_features, n_features, dtype=torch.float64)
    cross = torch.zeros(n_features, target.shape[1], dtype=torch.float64)
    for block, following in zip(padded.split(8), target.split(8), strict=True):
        seen = F.unfold(block, kernel_size).transpose(1, 2).flatten(0, 1)
        wanted = following.flatten(2).transpose(1, 2).flatten(0, 1)
        gram += (seen.T @ seen).double()
        cross += (seen.T @ wanted).double()
    return gram, cross, target.double().square().sum()


def _regress(folds: list[Moments]) -> Tensor:
    """Return the weights (n_target, n_features) with the penalty that is best in cross-validation."""
    gram, cross, _ = (torch.stack(parts).sum(0) for parts in zip(*folds, strict=True))

    def error(penalty: float) -> float:
        total = 0.0
        for own_gram, own_cross, square in folds:
            weight = _ridge(gram - own_gram, cross - own_cross, penalty)
            total += float(square - 2 * (weight * own_cross).sum() + (weight * (own_gram @ weight)).sum())
        return total

    best = min(PENALTIES, key=error) if len(folds) > 1 else PENALTIES[-1]
    return _ridge(gram, cross, best).T.float()


def _ridge(gram: Tensor, cross: Tensor, penalty: float) -> Tensor:
    """Solve the normal equations with a penalty relative to the mean variance of a feature."""
    ridge = penalty * gram.diagonal().mean().clamp(min=1e-12) * torch.eye(len(gram), dtype=gram.dtype)
    return torch.cholesky_solve(cross, torch.linalg.cholesky(gram + ridge))


def _rms(parts: Iterable[Tensor]) -> Tensor:
    """Return the root mean square of each channel of the parts, (n, channel, y, x), (channel, 1, 1)."""
    squares, count = [], 0
    for part in parts:
        squares.append(part.square().sum((0, 2, 3)))
        count += part[:, 0].numel()
    return (torch.stack(squares).sum(0) / count).sqrt().clamp(min=1e-6)[:, None, None]


def cosines(n: int) -> Tensor:
    """Return the orthonormal cosine transform (type II) of an ``n x n`` block, (n * n, n * n)."""
    k, i = torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij")
    line = torch.cos(math.pi * (2 * i + 1) * k / (2 * n)) * math.sqrt(2 / n)
    line[0] /= math.sqrt(2)
    return torch.kron(line, line)
