"""Noise as forecasts meet it: errors of neighbouring places are alike."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gridcast.modules.linear import LinearForecast

N_ERRORS = 256
CELLS = 2**24
SHRINKAGE = 32  # errors at which half of the variance is left uncorrelated


class CorrelatedNoise(nn.Module):
    """Gaussian noise of unit variance with the correlations of a sample of error fields.

    A draw is a random combination of the errors, which has their sample covariance, and white noise: the covariance is
    shrunk towards a diagonal one, the more the fewer errors there are (Ledoit and Wolf 2004).

    Parameters
    ----------
    n_errors : int
        Size of the sample, which is zero until `fit`.
    shape : (int, int, int)
        Channels, rows and columns of an error.
    """

    errors: Tensor

    def __init__(self, n_errors: int, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.register_buffer("errors", torch.zeros(n_errors, *shape))
        self.share = n_errors / (n_errors + SHRINKAGE)

    @torch.no_grad()
    def fit(self, errors: Tensor) -> None:
        """Take the sample of errors, (n_errors, channel, y, x), of the same grid."""
        self.errors.copy_(errors / errors.square().mean(0).sqrt().clamp(min=1e-3))

    def forward(self, like: Tensor) -> Tensor:
        """Return noise like `like` (n, channel, y, x), whole grids; channels beyond those of the errors are white."""
        noise = torch.randn_like(like)
        n_channels = self.errors.shape[1]
        weight = torch.randn(len(like), len(self.errors), dtype=like.dtype, device=like.device)
        common = weight @ self.errors.flatten(1) * (self.share / len(self.errors)) ** 0.5
        white = noise[:, :n_channels] * (1 - self.share) ** 0.5
        return torch.cat([white + common.unflatten(1, self.errors.shape[1:]), noise[:, n_channels:]], dim=1)


def sample_size(n_cells: int, n_stretches: int) -> int:
    """Return how many errors of `n_cells` values are kept of a series of so many stretches."""
    return max(1, min(N_ERRORS, CELLS // n_cells, n_stretches))


@torch.no_grad()
def fit_correlated_noise(
    noise: CorrelatedNoise, linear: LinearForecast, x: Tensor, local: Tensor | None = None
) -> None:
    """Give `noise` the correlations of the errors that `linear` makes.

    Parameters
    ----------
    noise : CorrelatedNoise
        Of at most as many errors as there are stretches.
    linear : LinearForecast
    x : Tensor, (stretch, n_lags + 1, channel, y, x)
        Whole fields, in the order of time.
    local : Tensor, (1, n_local, y, x), optional
        Maps as in `LinearForecast`.
    """
    chosen = x[torch.linspace(0, len(x) - 1, len(noise.errors)).long(), -linear.n_lags - 1 :]
    features, following = linear.pair(chosen)
    noise.fit(following - linear(features, local))
