"""Noise as forecasts meet it: errors of neighbouring places are alike."""

from __future__ import annotations

import torch
from torch import Tensor, nn

N_ERRORS = 256  # the rank of the covariance
CELLS = 2**24  # values of all errors that are kept: 64 MiB
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

    Attributes
    ----------
    errors : Tensor, (n_errors, channel, y, x)
        Each of unit variance at each place.
    std : Tensor, (channel, y, x)
        What they were divided by.
    """

    errors: Tensor
    std: Tensor

    def __init__(self, n_errors: int, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.register_buffer("errors", torch.zeros(n_errors, *shape))
        self.register_buffer("std", torch.ones(shape))
        self.share = n_errors / (n_errors + SHRINKAGE)  # 0.89 for 256 errors

    @torch.no_grad()
    def fit(self, errors: Tensor) -> None:
        """Take the sample of errors, (n_errors, channel, y, x), of the same grid."""
        self.std.copy_(errors.square().mean(0).sqrt().clamp(min=1e-6))  # about zero: errors of a fit have no mean
        self.errors.copy_(errors / self.std)

    def forward(self, like: Tensor) -> Tensor:
        """Return noise like `like` (n, channel, y, x), whole grids; channels beyond those of the errors are white."""
        noise = torch.randn_like(like)
        n_channels = self.errors.shape[1]
        weight = torch.randn(len(like), len(self.errors), dtype=like.dtype, device=like.device)  # (n, n_errors)
        # shares of the variance add up to 1
        common = weight @ self.errors.flatten(1) * (self.share / len(self.errors)) ** 0.5
        # without it no draw would leave the span of the sample
        white = noise[:, :n_channels] * (1 - self.share) ** 0.5
        return torch.cat([white + common.unflatten(1, self.errors.shape[1:]), noise[:, n_channels:]], dim=1)


def sample_size(n_cells: int, n_stretches: int) -> int:
    """Return how many errors of `n_cells` values are kept of a series of so many stretches."""
    # bounded by memory for large grids, by the series for short ones
    return max(1, min(N_ERRORS, CELLS // n_cells, n_stretches))
