"""The parts whose latent is the field itself: a filter, a deep transition and an emitter on its coefficients."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gridcast.modules.bands import in_bands
from gridcast.modules.convolutional import ConvCombiner
from gridcast.modules.deep import DeepTransition
from gridcast.modules.layers import BOUNDED, Around, GridConv2d, fill_bias_, positive, softplus_inverse, zero_
from gridcast.modules.linear import LinearForecast
from gridcast.modules.noise import CorrelatedNoise

FEATURE_LIMIT = 10.0  # standard deviations: what the networks see of a record is not beyond what they learned from
SCALE_FLOOR = 1e-3  # of the posterior and the emission, in steps: a scale of zero has no density
SCALE_LIMIT = 3.0  # of the transition, in steps: noise that widens the noise after it would explode in a long run
GAIN = 4.0  # sigmoid(4) = 0.98: observations are trusted until trained


@dataclass(frozen=True)
class State:
    """The parts of a state, views of one tensor.

    Parameters
    ----------
    now : Tensor, (n, n_latent, y, x)
        Coefficients of the latest field.
    past : Tensor, (n, (n_lags - 1) * n_latent, y, x)
        Coefficients of the fields before, the latest first.
    clock : Tensor, (n, n_clock, y, x)
        Time features of the next step; no channels without a clock.
    """

    now: Tensor
    past: Tensor
    clock: Tensor


class LatentLayout(nn.Module):
    """The memory of a Markov chain of order `n_lags` over the coefficients of fields.

    A latent z_t is the `n_latent` coefficients of the field without what the observation added. A state holds it and
    the `n_lags` - 1 latents before it (the companion form of an autoregression), `n_state` channels in all; see
    `State`.

    Parameters
    ----------
    linear : LinearForecast
        The coefficients. A copy of it is kept: what networks see of a forecast is not to change after their training.
    noise : CorrelatedNoise
        Of its forecasts.
    """

    step: Tensor
    cell_change: Tensor

    def __init__(self, linear: LinearForecast, noise: CorrelatedNoise) -> None:
        super().__init__()
        self.linear, self.noise = copy.deepcopy(linear), noise
        self.n_latent = linear.n_folded
        self.n_state = linear.n_lags * self.n_latent
        # buffers: fitted, not trained, and saved with the module
        self.register_buffer("step", torch.ones(self.n_latent, 1, 1))
        self.register_buffer("cell_change", torch.ones(len(linear.cell_std), 1, 1))

    @torch.no_grad()
    def take(self, linear: LinearForecast) -> None:
        """Take what a linear forecast has learned, and the size of its steps and changes."""
        self.linear.load_state_dict(linear.state_dict())
        self.step.copy_(linear.step)
        # the basis is orthonormal: the mean square of the cells is that of their coefficients
        squared = (linear.scale * linear.change).square().unflatten(0, (len(self.cell_change), -1))
        self.cell_change.copy_(squared.mean(1).sqrt())

    def split(self, state: Tensor) -> State:
        """Return the parts of a state (n, n_state + n_clock, y, x)."""
        sizes = (self.n_latent, self.n_state - self.n_latent, state.shape[1] - self.n_state)
        return State(*state.split(sizes, dim=1))

    def start(self, x: Tensor) -> Tensor:
        """Return the state before a window (batch, time, channel, y, x): its first field, as if it had always been."""
        # no change before the window: the forecast then starts near persistence
        return self.observed(x[:, :1])

    def observed(self, x: Tensor) -> Tensor:
        """Return the state after fields (batch, at most n_lags, channel, y, x) that are taken as they were observed."""
        return self.linear.lags(x)[:, -1]

    def push(self, state: Tensor, z: Tensor) -> Tensor:
        """Return the state (n, n_state, y, x) after `z` (n, n_latent, y, x) has followed it."""
        # the oldest field falls off the end
        return torch.cat([z, state], dim=1)[:, : self.n_state]

    def states(self, start: Tensor, z: Tensor) -> Tensor:
        """Return `start` and the states after each step of `z` (batch, time, ...), (batch, 1 + time, n_state, y, x)."""
        n_times, n_past = z.shape[1], self.linear.n_lags - 1
        before = start.unflatten(1, (n_past + 1, self.n_latent)).flip(1)  # the oldest first, as time goes
        path = torch.cat([before, z], dim=1)  # (batch, n_lags + time, n_latent, y, x)
        # views of one sequence, shifted: no loop over time
        return torch.cat([path[:, n_past - lag : n_past - lag + 1 + n_times] for lag in range(n_past + 1)], dim=2)

    def inputs(self, parts: State) -> Tensor:
        """Return what the filter sees: the coefficients, the standardised changes before and the clock, bounded."""
        features = self.linear.features(torch.cat([parts.now, parts.past], dim=1))
        return torch.cat([features, parts.clock], dim=1).clamp(-FEATURE_LIMIT, FEATURE_LIMIT)

    def fields(self, parts: State) -> Tensor:
        """Return the latest field and the changes before it, standardised and bounded, (n, n_lags * channel, y, x)."""
        linear = self.linear
        lags = torch.cat([parts.now, parts.past], dim=1).unflatten(1, (linear.n_lags, self.n_latent))
        fields = linear.unfold(lags.flatten(0, 1)).unflatten(0, lags.shape[:2])  # (n, n_lags, channel, y, x)
        changes = (fields[:, :-1] - fields[:, 1:]) / self.cell_change
        seen = torch.cat([fields[:, :1] / linear.cell_std, changes], dim=1).flatten(1, 2)
        return seen.clamp(-FEATURE_LIMIT, FEATURE_LIMIT)


class ResidualCombiner(nn.Module):
    """Posterior of one step as the update of a Kalman filter whose gain and correction are networks.

    ``loc = forecast + gain * (observed_t - forecast) + error * CNN(h)``, with the transition's forecast from the state
    and the scale of its error, ``gain = sigmoid(CNN(h))`` for each coefficient and h of equation (8). The scale is in
    units of that error as well, so that the posterior is as sharp as the transition wherever that is sharp.
    """

    def __init__(
        self, layout: LatentLayout, n_hidden: int, kernel_size: int, *, n_clock: int = 0, periodic: Around = BOUNDED
    ) -> None:
        super().__init__()
        self.layout = layout
        self.network = ConvCombiner(layout.n_state + n_clock, n_hidden, layout.n_latent, kernel_size, periodic=periodic)
        self.gain = GridConv2d(n_hidden, layout.n_latent, kernel_size, periodic=periodic)
        # untrained, the posterior is the Kalman update with a constant gain
        zero_(self.network.loc)
        # an observation tells more than a forecast
        fill_bias_(self.network.scale, softplus_inverse(0.3))
        zero_(self.gain)
        fill_bias_(self.gain, GAIN)

    def forward(
        self, previous: Tensor, hidden: Tensor, skip: Tensor | None, ahead: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor]:
        """Return loc and scale (n, n_latent, y, x).

        Parameters
        ----------
        previous, hidden : Tensor
            The state and the hidden state.
        skip : Tensor, (n, n_latent, y, x)
            Observed coefficients.
        ahead : (Tensor, Tensor), each (n, n_latent, y, x)
            The forecast from the state and its scale.
        """
        if skip is None or ahead is None:
            raise ValueError("skip=None or ahead=None: the combiner needs observed coefficients and their forecast")
        parts = self.layout.split(previous)
        combined = self.network.combine(self.layout.inputs(parts), hidden)
        forecast, error = ahead
        now = torch.lerp(forecast, skip, torch.sigmoid(self.gain(combined).float()))
        loc = self.layout.linear.bounded(now + error * self.network.loc(combined).float())
        return loc, error * positive(self.network.scale(combined), SCALE_FLOOR)


class ResidualTransition(nn.Module):
    """Persistence plus the change that a network makes of the last fields, nothing until trained.

    It adds to persistence and not to the linear forecast: the errors of that are smaller where it was fitted than on
    new data, and a network that is to mend them learns the wrong ones. The two are weighed against each other by
    `gridcast.modules.blend.Blend`.
    """

    def __init__(self, layout: LatentLayout, network: DeepTransition) -> None:
        super().__init__()
        self.layout, self.network = layout, network

    def forward(self, state: Tensor, location: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return loc and scale (n, n_latent, y, x) of the latent after `state` (n, n_state + n_clock, y, x)."""
        parts, linear = self.layout.split(state), self.layout.linear
        seen, network = (self.layout.fields(parts), parts.clock, location), self.network
        if network.local:
            change, scale = in_bands(network, seen, state.shape[-2], network.reach, network.around)
        else:
            change, scale = network(*seen)
        ahead = parts.now + linear.fold(self.layout.cell_change * change)
        return linear.bounded(ahead), self.layout.step * scale.clamp(max=SCALE_LIMIT)


class FieldEmitter(nn.Module):
    """The field that the coefficients stand for, with an observation error of one size for each channel."""

    def __init__(self, layout: LatentLayout) -> None:
        super().__init__()
        self.layout = layout
        # untrained, less than the error of a step
        self.raw_scale = nn.Parameter(torch.full_like(layout.cell_change, softplus_inverse(0.3)))

    def forward(self, z: Tensor, location: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return loc and scale (n, channel, y, x) of the observation of `z` (n, n_latent, y / d, x / d)."""
        del location
        loc = self.layout.linear.unfold(z)
        return loc, (self.layout.linear.cell_step * positive(self.raw_scale, SCALE_FLOOR)).expand_as(loc)
