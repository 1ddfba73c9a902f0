"""Dense parts of the Markov module: the vanilla deep Markov model, whose latent is a vector."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gridcast.modules.convolutional import LATENT_FLOOR, ConvEncoder, Upsampler
from gridcast.modules.layers import fill_bias_, positive, single_precision, softplus_inverse, zero_
from gridcast.modules.linear import LinearForecast
from gridcast.modules.regression import STEP_FLOOR, fit_linear_forecast, leading_patterns, measure_errors
from gridcast.modules.residual import SCALE_FLOOR


class DenseEncoder(nn.Module):
    """The convolutional encoder, flattened into a vector of `n_features`."""

    def __init__(self, convolutions: ConvEncoder, n_flat: int, n_features: int) -> None:
        super().__init__()
        self.convolutions = convolutions
        self.dense = nn.Linear(n_flat, n_features)

    def forward(self, x: Tensor) -> Tensor:
        """Map frames (n, n_in, y, x) to (n, n_features)."""
        return F.relu(self.dense(self.convolutions(x).flatten(1)))


class Patterns(nn.Module):
    """The leading patterns of a series (empirical orthogonal functions) and a linear inverse model of their amplitudes.

    Amplitudes are those of the patterns divided by their standard deviations. Nothing here is trained further.

    Parameters
    ----------
    n_latent : int
        Number of patterns.
    shape : (int, int, int)
        Channels, rows and columns of a field.

    Attributes
    ----------
    patterns : Tensor, (n_latent, channel * y * x)
        Orthonormal, or zero where the series has fewer (and before `fit_patterns`).
    scale : Tensor, (n_latent,)
        Standard deviations of the amplitudes.
    linear : LinearForecast
        Of the amplitudes as channels of one cell.
    cell_step : Tensor, (channel, 1, 1)
        Standard deviation of what the patterns leave of a field.
    """

    patterns: Tensor
    scale: Tensor
    cell_step: Tensor

    def __init__(self, n_latent: int, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.register_buffer("patterns", torch.zeros(n_latent, math.prod(shape)))
        self.register_buffer("scale", torch.ones(n_latent))
        self.register_buffer("cell_step", torch.ones(shape[0], 1, 1))
        # amplitudes as channels of one cell: the kernel mixes all of them, without neighbours
        self.linear = LinearForecast((n_latent, 1, 1), 1, 1, kernel_size=1)

    @property
    def step(self) -> Tensor:
        """Standard deviation of the linear forecast's error, (n_latent,), in amplitudes."""
        return self.linear.step.flatten()

    @single_precision
    def forward(self, x: Tensor) -> Tensor:
        """Map fields (n, channel, y, x) to amplitudes (n, n_latent)."""
        return x.flatten(1) @ self.patterns.T / self.scale  # orthonormal patterns: a projection

    @single_precision
    def fields(self, z: Tensor) -> Tensor:
        """Map amplitudes (n, n_latent) to pixels (n, channel * y * x)."""
        return (z * self.scale) @ self.patterns

    def forecast(self, z: Tensor) -> Tensor:
        """Return the linear forecast of the amplitudes after `z` (n, n_latent)."""
        return self.linear(self.linear.features(z[:, :, None, None])).flatten(1)


@torch.no_grad()
def fit_patterns(patterns: Patterns, runs: Sequence[Tensor]) -> None:
    """Fit new `Patterns`, in place, to runs of consecutive fields (time, channel, y, x) with a mean near zero."""
    leading = leading_patterns(runs, len(patterns.patterns)).flatten(1)  # (at most n_latent, channel * y * x)
    # a short series has fewer; the other latents are then free
    patterns.patterns[: len(leading)] = leading
    amplitudes = [run.flatten(1) @ patterns.patterns.T for run in runs]
    # the floor keeps patterns that are zero from a division by zero
    patterns.scale.copy_(torch.cat(amplitudes).square().mean(0).sqrt().clamp(min=1e-6))
    runs_of_amplitudes = [(a / patterns.scale)[..., None, None] for a in amplitudes]
    fit_linear_forecast(patterns.linear, runs_of_amplitudes)
    measure_errors(patterns.linear, runs_of_amplitudes)
    squares = [  # of what the patterns leave, (time, channel) for each run
        (run.flatten(1) - a @ patterns.patterns).view_as(run).square().mean((2, 3))
        for run, a in zip(runs, amplitudes, strict=True)
    ]
    patterns.cell_step.copy_(torch.cat(squares).mean(0).sqrt().clamp(min=STEP_FLOOR)[:, None, None])


class DenseCombiner(nn.Module):
    """Posterior of one step as in `ConvCombiner`, with dense layers (Krishnan et al. 2017).

    With `patterns` it is what the hidden states add to the observed amplitudes, in units of the linear forecast error.
    """

    def __init__(
        self,
        n_latent: int,
        n_hidden: int,
        *,
        n_clock: int = 0,
        patterns: Patterns | None = None,
    ) -> None:
        super().__init__()
        self.previous = nn.Linear(n_latent + n_clock, n_hidden)
        self.loc = nn.Linear(n_hidden, n_latent)
        self.scale = nn.Linear(n_hidden, n_latent)
        self.patterns = patterns
        if patterns is not None:
            # untrained, the posterior is the observed amplitudes
            zero_(self.loc)
            # 0.3 steps: an observation tells more than a forecast
            fill_bias_(self.scale, softplus_inverse(0.3))

    def forward(
        self, previous: Tensor, hidden: Tensor, skip: Tensor | None, ahead: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor]:
        """Return loc and scale (n, n_latent); `skip` are the observed amplitudes."""
        combined = (hidden + torch.tanh(self.previous(previous))) / 2  # equation (8)
        loc, scale = self.loc(combined).float(), self.scale(combined)
        if self.patterns is None or skip is None:  # the paper's networks
            return loc, positive(scale, LATENT_FLOOR)
        # in steps: corrections of all amplitudes are then of size one, whatever their variance
        return skip + self.patterns.step * loc, self.patterns.step * positive(scale, SCALE_FLOOR)


class DenseTransition(nn.Module):
    """Gated transition as in `ConvTransition`, with dense layers.

    With `patterns` it is what to add to their linear forecast, in units of its error.
    """

    def __init__(self, n_latent: int, n_hidden: int, *, n_clock: int = 0, patterns: Patterns | None = None) -> None:
        super().__init__()
        n_state = n_latent + n_clock
        self.gate = nn.Sequential(nn.Linear(n_state, n_hidden), nn.ReLU(), nn.Linear(n_hidden, n_latent))
        self.jump = nn.Sequential(nn.Linear(n_state, n_hidden), nn.ReLU(), nn.Linear(n_hidden, n_latent))
        self.linear = nn.Linear(n_state, n_latent)
        self.scale = nn.Linear(n_latent, n_latent)
        self.n_latent, self.patterns = n_latent, patterns
        if patterns is not None:
            # with `jump` zero as well the untrained model is the linear forecast
            zero_(self.linear)
            # the last layer alone: with all at zero no gradient would reach it
            zero_(self.jump[-1])
            fill_bias_(self.scale, softplus_inverse(1.0))

    def forward(self, state: Tensor, location: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return loc and scale (n, n_latent) of the latent after `state`, z and a clock; a vector has no `location`."""
        jump = self.jump(state)
        loc = torch.lerp(self.linear(state), jump, torch.sigmoid(self.gate(state))).float()
        scale = positive(self.scale(F.relu(jump)), LATENT_FLOOR)
        if self.patterns is None:
            return loc, scale
        # the clock stands behind the latent and is not forecast by the patterns
        ahead = self.patterns.forecast(state[:, : self.n_latent])
        return ahead + self.patterns.step * loc, self.patterns.step * scale


class DenseEmitter(nn.Module):
    """Latent vector to fields: a dense layer, then the deconvolutions of the convolutional emitter.

    With `patterns` it is what to add to their sum, in units of what they leave.
    """

    def __init__(
        self,
        n_latent: int,
        grid_shape: tuple[int, int, int],
        upsampler: Upsampler,
        *,
        patterns: Patterns | None = None,
    ) -> None:
        super().__init__()
        self.grid_shape = grid_shape
        self.dense = nn.Linear(n_latent, math.prod(grid_shape))
        self.upsampler = upsampler
        self.patterns = patterns
        if patterns is not None:
            # untrained, a field is the sum of its patterns, and what they leave is noise of its own size
            upsampler.start_as_zero(1.0)

    def forward(self, z: Tensor, location: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return loc and scale (n, channel, y, x); a vector has no `location`."""
        loc, scale = self.upsampler(self.dense(z).unflatten(1, self.grid_shape))
        if self.patterns is None:
            return loc, scale
        field = self.patterns.fields(z).unflatten(1, loc.shape[1:])  # (n, channel, y, x)
        return field + self.patterns.cell_step * loc, self.patterns.cell_step * (scale + SCALE_FLOOR)
