"""Dense parts of the Markov module: the vanilla deep Markov model, whose latent is a vector."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gridcast.modules.convolutional import LATENT_FLOOR, ConvEncoder, Upsampler
from gridcast.modules.layers import fill_bias_, positive, softplus_inverse, zero_


class DenseEncoder(nn.Module):
    """The convolutional encoder, flattened into a vector of `n_features`."""

    def __init__(self, convolutions: ConvEncoder, n_flat: int, n_features: int) -> None:
        super().__init__()
        self.convolutions = convolutions
        self.dense = nn.Linear(n_flat, n_features)

    def forward(self, x: Tensor) -> Tensor:
        """Map frames (n, n_in, y, x) to (n, n_features)."""
        return F.relu(self.dense(self.convolutions(x).flatten(1)))


class DenseSkip(nn.Module):
    """A linear map of all pixels to the latent: the leading patterns of the fields, learned."""

    def __init__(self, n_pixels: int, n_latent: int) -> None:
        super().__init__()
        self.linear = nn.Linear(n_pixels, n_latent)

    def forward(self, x: Tensor) -> Tensor:
        """Map frames (n, channel, y, x) to (n, n_latent)."""
        return self.linear(x.flatten(1))


class DenseCombiner(nn.Module):
    """Posterior of one step as in `ConvCombiner`, with dense layers (Krishnan et al. 2017)."""

    def __init__(self, n_latent: int, n_hidden: int, *, use_previous: bool = True) -> None:
        super().__init__()
        self.previous = nn.Linear(n_latent, n_hidden) if use_previous else None
        self.loc = nn.Linear(n_hidden, n_latent)
        self.scale = nn.Linear(n_hidden, n_latent)

    def forward(self, previous: Tensor, hidden: Sequence[Tensor], skip: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return loc and scale (n, n_latent)."""
        terms = [*hidden, torch.tanh(self.previous(previous))] if self.previous is not None else list(hidden)
        combined = sum(terms[1:], terms[0]) / len(terms)
        loc = self.loc(combined)
        return loc if skip is None else loc + skip, positive(self.scale(combined), LATENT_FLOOR)


class DenseTransition(nn.Module):
    """Gated transition as in `ConvTransition`, with dense layers."""

    def __init__(self, n_latent: int, n_hidden: int, *, residual: bool = False) -> None:
        super().__init__()
        self.gate = nn.Sequential(nn.Linear(n_latent, n_hidden), nn.ReLU(), nn.Linear(n_hidden, n_latent))
        self.jump = nn.Sequential(nn.Linear(n_latent, n_hidden), nn.ReLU(), nn.Linear(n_hidden, n_latent))
        self.linear = nn.Linear(n_latent, n_latent)
        self.scale = nn.Linear(n_latent, n_latent)
        self.residual = residual
        if residual:
            nn.init.eye_(self.linear.weight)
            nn.init.zeros_(self.linear.bias)
            zero_(self.jump[-1])
            fill_bias_(self.scale, softplus_inverse(0.1))

    def forward(self, z: Tensor, location: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return loc and scale (n, n_latent) of the latent after `z`; a vector has no `location`."""
        jump = z + self.jump(z) if self.residual else self.jump(z)
        loc = torch.lerp(self.linear(z), jump, torch.sigmoid(self.gate(z)))
        return loc, positive(self.scale(F.relu(jump)), LATENT_FLOOR)


class DenseEmitter(nn.Module):
    """Latent vector to fields: a dense layer, then the deconvolutions of the convolutional emitter.

    With `patterns`, the shape of a frame, the mean is a linear map of z plus what the deconvolutions add.
    """

    def __init__(
        self,
        n_latent: int,
        grid_shape: tuple[int, int, int],
        upsampler: Upsampler,
        *,
        patterns: tuple[int, int, int] | None = None,
    ) -> None:
        super().__init__()
        self.grid_shape, self.frame_shape = grid_shape, patterns
        self.dense = nn.Linear(n_latent, math.prod(grid_shape))
        self.upsampler = upsampler
        self.patterns = nn.Linear(n_latent, math.prod(patterns), bias=False) if patterns else None
        if patterns:
            upsampler.start_as_zero(0.05)

    def forward(self, z: Tensor, location: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return loc and scale (n, channel, y, x); a vector has no `location`."""
        skip = 0.0 if self.patterns is None else self.patterns(z).unflatten(1, self.frame_shape)
        return self.upsampler(self.dense(z).unflatten(1, self.grid_shape), skip)
