"""The linear model of gridded fields: neighbouring blocks and large-scale patterns, one step ahead."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gridcast.modules.layers import BOUNDED, Around, GridConv2d, single_precision


class LinearForecast(nn.Module):
    """A linear inverse model of neighbouring blocks and of patterns that span the grid.

    A field is cut into blocks of ``d x d`` cells. The coefficients of a block are the two-dimensional cosine transform
    of its cells, per channel, divided by their standard deviations: smooth fields are nearly white in them. The next
    field is forecast in three parts, each fitted to what those before it leave:

    - an autoregression of each coefficient on the last `n_lags` fields,
    - what the last `n_lags` fields of the neighbouring blocks add to it, a ridge regression,
    - what the leading patterns of the whole field add to both (empirical orthogonal functions; Penland and Sardeshmukh
      1995): their amplitudes are corrected by a ridge regression on the amplitudes now and on those of the forecast so
      far. Neighbours alone would miss errors of a larger scale than a few blocks.

    `gridcast.modules.regression.fit_linear_forecast` learns the weights. Nothing here is trained further: networks
    learn what is left, in units of its error.

    Parameters
    ----------
    shape : (int, int, int)
        Channels, rows and columns of a field; rows and columns are multiples of `downsampling`.
    downsampling : int
        Cells of a block and side, d.
    n_lags : int
        Fields that a forecast sees.
    kernel_size : int
        Neighbouring blocks that it sees, on a side.
    n_patterns : int
        Patterns; 0 for fields of another size than `shape`, such as patches.
    apart : bool
        A channel sees the neighbourhoods of its own alone: the regressors would grow with the square of the channels.
        The patterns tie the channels together all the same.
    periodic : (bool, bool)
        Whether rows and columns go around.

    Attributes
    ----------
    n_groups : int
        Groups of channels that see each other's neighbourhoods.
    n_folded : int
        Coefficients of a block, ``n_channels * d ** 2``.
    scale, change, step : Tensor, (n_folded, 1, 1)
        Standard deviation of a coefficient, and, in units of `scale`, of its change in a step and of the error of its
        forecast.
    own : Tensor, (n_lags, n_folded, 1, 1)
        Weights of the autoregression.
    patterns, duals : Tensor, (n_patterns, n_folded * y / d * x / d)
        The coefficients of each pattern, and the weights that give its amplitude.
    mixing : Tensor, (2 * n_patterns, n_patterns)
        Correction of the amplitudes from those now and from their change in the forecast so far.
    limit : Tensor, (n_folded, 1, 1)
        Largest magnitude of a forecast, so that a long run stays finite.
    cell_std, cell_step : Tensor, (n_channels, 1, 1)
        Standard deviation of a cell, and of the error of its forecast, in the units of the field.
    """

    basis: Tensor
    scale: Tensor
    change: Tensor
    step: Tensor
    own: Tensor
    patterns: Tensor
    duals: Tensor
    mixing: Tensor
    limit: Tensor
    cell_std: Tensor
    cell_step: Tensor

    def __init__(
        self,
        shape: tuple[int, int, int],
        downsampling: int,
        n_lags: int,
        kernel_size: int = 3,
        *,
        n_patterns: int = 0,
        apart: bool = False,
        periodic: Around = BOUNDED,
    ) -> None:
        super().__init__()
        self.n_groups = shape[0] if apart else 1
        n_channels, rows, columns = shape
        self.downsampling, self.n_lags, self.periodic = downsampling, n_lags, periodic
        self.n_folded, self.n_patterns = n_channels * downsampling**2, n_patterns
        blocks = (rows // downsampling, columns // downsampling)
        self.register_buffer("basis", cosines(downsampling))  # of a channel
        for name in ("scale", "change", "step"):
            self.register_buffer(name, torch.ones(self.n_folded, 1, 1))
        self.register_buffer("own", torch.zeros(n_lags, self.n_folded, 1, 1))
        for name in ("patterns", "duals"):
            self.register_buffer(name, torch.zeros(n_patterns, self.n_folded * math.prod(blocks)))
        self.register_buffer("mixing", torch.zeros(2 * n_patterns, n_patterns))
        # no limit until it is fitted
        self.register_buffer("limit", torch.full((self.n_folded, 1, 1), math.inf))
        for name in ("cell_std", "cell_step"):
            self.register_buffer(name, torch.ones(n_channels, 1, 1))
        # no bias: anomalies have mean zero, and a forecast of zero stays zero
        self.conv = GridConv2d(
            n_lags * self.n_folded,
            self.n_folded,
            kernel_size,
            groups=self.n_groups,
            periodic=periodic,
            bias=False,
        )
        weight = torch.zeros_like(self.conv.weight)
        del self.conv.weight  # a buffer: it is not trained
        self.conv.register_buffer("weight", weight)

    def of(self, table: Tensor, group: int | None) -> Tensor:
        """Return what a table (..., n_folded, 1, 1) says of a group of channels; of None all."""
        return table if group is None else table.chunk(self.n_groups, dim=-3)[group]

    @single_precision
    def fold(self, x: Tensor, group: int | None = None) -> Tensor:
        """Map fields (n, channel, y, x), of a group of channels or all, to coefficients (n, n_folded, y / d, x / d)."""
        scale = self.of(self.scale, group).view(x.shape[1], -1, 1)
        weight = (self.basis / scale).flatten(0, 1)  # rows are coefficients
        # a 1 x 1 convolution of each channel: unshuffle puts the cells of a block side by side, as the basis has them
        return F.conv2d(F.pixel_unshuffle(x, self.downsampling), weight[:, :, None, None], groups=x.shape[1])

    @single_precision
    def unfold(self, coefficients: Tensor) -> Tensor:
        """Undo `fold`."""
        # the basis is orthonormal: its transpose undoes it
        weight = (self.basis * self.scale.view(-1, len(self.basis), 1)).mT
        cells = F.conv2d(coefficients, weight.flatten(0, 1)[:, :, None, None], groups=len(weight))
        return F.pixel_shuffle(cells, self.downsampling)

    def lags(self, x: Tensor) -> Tensor:
        """Map (batch, time, channel, y, x) to the coefficients of each field and those before it.

        Returns (batch, time, n_lags * n_folded, y / d, x / d), the latest first; before the first field stands the
        first again.
        """
        lagged = [self.fold(x.flatten(0, 1)).unflatten(0, x.shape[:2])]
        for _ in range(self.n_lags - 1):
            # each lag is the one before it shifted by a step
            lagged.append(torch.cat([lagged[0][:, :1], lagged[-1][:, :-1]], dim=1))
        return torch.cat(lagged, dim=2)

    def pair(self, run: Tensor, group: int | None = None) -> tuple[Tensor, Tensor]:
        """Return features and the coefficients that follow of a run of fields (n_lags + n, channel, y, x), n each."""
        run = run if group is None else run.chunk(self.n_groups, dim=1)[group]
        folded, n = self.fold(run, group), len(run) - self.n_lags
        latest, changes = folded[self.n_lags - 1 : -1], folded.diff(dim=0) / self.of(self.change, group)
        # as `features`, but each change is computed once, not once for each lag that it is at
        before = [changes[first : first + n] for first in range(self.n_lags - 2, -1, -1)]
        return torch.cat([latest, *before], dim=1), folded[self.n_lags :]

    def features(self, lagged: Tensor) -> Tensor:
        """Map lags (n, n_lags * n_folded, y, x) to the latest coefficients and the standardised changes before."""
        parts = lagged.unflatten(1, (self.n_lags, self.n_folded))  # (n, lag, n_folded, y, x)
        # changes, not older fields: lags are nearly collinear, and a ridge penalty would shrink their differences
        return torch.cat([parts[:, :1], (parts[:, :-1] - parts[:, 1:]) / self.change], dim=1).flatten(1, 2)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (n, n_lags * n_folded, y, x) to the next coefficients (n, n_folded, y, x)."""
        return self.bounded(self.unbounded(features))

    def unbounded(self, features: Tensor) -> Tensor:
        """Return the forecast without its limit, which alone is not linear, (n, n_folded, y, x)."""
        now, ahead = features[:, : self.n_folded], self.neighbouring(features)
        return ahead + self.correction(now, ahead) if self.n_patterns else ahead

    def bounded(self, coefficients: Tensor) -> Tensor:
        """Return coefficients (n, n_folded, y, x) within `limit`."""
        return torch.clamp(coefficients, -self.limit, self.limit)

    @single_precision
    def autoregressed(self, features: Tensor, group: int | None = None) -> Tensor:
        """Return the forecast from each coefficient's own past, (n, n_folded, y, x), of a group of channels or all."""
        past = features.unflatten(1, (self.n_lags, -1))
        # weights are for the change: a penalty draws towards persistence, not towards zero
        return past[:, 0] + (self.of(self.own, group) * past).sum(1)

    def of_fields(self) -> Tensor:
        """Return each coefficient's own weights of the last fields, the latest first, (n_lags, n_folded)."""
        own, change = self.own[..., 0, 0], self.change[:, 0, 0]
        # those of the regression are of the latest field and of changes, differences of two fields
        weights = F.pad(own[1:] / change, (0, 0, 0, 1)) - F.pad(own[1:] / change, (0, 0, 1, 0))
        weights[0] += 1 + own[0]
        return weights

    @single_precision
    def neighbouring(self, features: Tensor) -> Tensor:
        """Return the forecast from the blocks around, without the patterns, (n, n_folded, y, x)."""
        seen = torch.cat([self.of_group(features, group) for group in range(self.n_groups)], dim=1)
        return self.autoregressed(features) + self.conv(seen)

    def of_group(self, features: Tensor, group: int) -> Tensor:
        """Return the features (n, n_lags * n_folded / n_groups, y, x) of a group of channels."""
        # features have the lags before the channels, which a grouped convolution has the other way round
        return features.unflatten(1, (self.n_lags, self.n_groups, -1))[:, :, group].flatten(1, 2)

    @single_precision
    def correction(self, now: Tensor, ahead: Tensor) -> Tensor:
        """Return what the patterns add to the forecast `ahead` from the coefficients `now`, (n, n_folded, y, x)."""
        amplitudes, forecast = (c.flatten(1) @ self.duals.T for c in (now, ahead))  # each (n, n_patterns)
        # as in `features`: now and change, which are less collinear than now and ahead
        correction = torch.cat([amplitudes, forecast - amplitudes], dim=1) @ self.mixing
        return (correction @ self.patterns).view_as(ahead)

    def errors(self, x: Tensor, lagged: Tensor) -> Tensor:
        """Return the error of the forecast of each field of `x` (batch, time, ...) in units of `cell_step`; first 0."""
        # (batch, time - 1, channel, y, x)
        forecast = self.unfold(self(self.features(lagged[:, :-1].flatten(0, 1)))).unflatten(0, (x.shape[0], -1))
        return F.pad((x[:, 1:] - forecast) / self.cell_step, (0, 0, 0, 0, 0, 0, 1, 0))


def cosines(n: int) -> Tensor:
    """Return the orthonormal cosine transform (type II) of an ``n x n`` block, (n * n, n * n)."""
    k, i = torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij")
    line = torch.cos(math.pi * (2 * i + 1) * k / (2 * n)) * math.sqrt(2 / n)
    line[0] /= math.sqrt(2)  # the mean is normalised apart, as the transform of type II asks
    return torch.kron(line, line)  # rows (k_y, k_x), columns (y, x)
