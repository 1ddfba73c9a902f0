"""The convolutional parts around a linear forecast: each adds to it, in units of its error, what the data ask for."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gridcast.modules.convolutional import ConvCombiner, ConvEmitter, ConvTransition
from gridcast.modules.inverse_model import LinearInverseModel
from gridcast.modules.layers import BOUNDED, Around, GridConv2d, fill_bias_, positive, softplus_inverse, zero_

FEATURE_LIMIT = 10.0  # standard deviations: what the networks see of a record is not beyond what they learned from
# the limit is that of the features, among which the networks see these channels
FREE_STEP, FREE_LIMIT = 0.3, 10.0  # of the free channels, which have no scale of their own
SCALE_FLOOR = 1e-3  # of the posterior and the emission, in steps: a scale of zero has no density
SCALE_LIMIT = 3.0  # of the transition, in steps: noise that widens the noise after it would explode in a long run
GAIN = 4.0  # sigmoid(4) = 0.98: observations are trusted until trained


@dataclass(frozen=True)
class State:
    """The parts of a state, views of one tensor.

    Parameters
    ----------
    now : Tensor, (n, n_folded, y, x)
        Coefficients of the latest field.
    free : Tensor, (n, n_free, y, x)
        Free channels of the latest latent.
    past : Tensor, (n, (n_lags - 1) * n_folded, y, x)
        Coefficients of the fields before, the latest first.
    clock : Tensor, (n, n_clock, y, x)
        Time features of the next step; no channels without a clock.
    """

    now: Tensor
    free: Tensor
    past: Tensor
    clock: Tensor


class LatentLayout(nn.Module):
    """The memory of a Markov chain of order `n_lags` over the coefficients of fields.

    A latent z_t is the coefficients of the field and free channels, `n_latent` in all. A state holds the latest latent
    and the coefficients of the `n_lags` - 1 fields before it (the companion form of an autoregression), `n_state` in
    all; see `State`.

    Parameters
    ----------
    model : LinearInverseModel
        What the networks add to, and the noise of its forecasts.
    n_free : int
        Free channels of a latent.
    """

    step: Tensor

    def __init__(self, model: LinearInverseModel, n_free: int) -> None:
        super().__init__()
        self.model, self.n_free = model, n_free
        self.n_folded = model.linear.n_folded
        self.n_latent = self.n_folded + n_free
        self.n_state = self.n_latent + (model.linear.n_lags - 1) * self.n_folded
        # a buffer: fitted, not trained, and saved with the module
        self.register_buffer("step", torch.ones(self.n_latent, 1, 1))

    @torch.no_grad()
    def take_steps(self) -> None:
        """Take the size of a step from the linear model, once that is fitted."""
        # first all, then the coefficients, which have a step of their own
        self.step.fill_(FREE_STEP)
        self.step[: self.n_folded] = self.model.linear.step

    def split(self, state: Tensor) -> State:
        """Return the parts of a state (n, n_state + n_clock, y, x)."""
        sizes = (self.n_folded, self.n_free, self.n_state - self.n_latent, state.shape[1] - self.n_state)
        return State(*state.split(sizes, dim=1))

    def start(self, x: Tensor) -> Tensor:
        """Return the state before a window (batch, time, channel, y, x): its first field, as if it had always been."""
        now = self.model.linear.fold(x[:, 0])
        free = now.new_zeros(now.shape[0], self.n_free, *now.shape[2:])
        # no change before the window: the linear forecast then starts near persistence
        return torch.cat([now, free, now.repeat(1, self.model.linear.n_lags - 1, 1, 1)], dim=1)

    def push(self, state: Tensor, z: Tensor) -> Tensor:
        """Return the state (n, n_state, y, x) after `z` (n, n_latent, y, x) has followed it."""
        parts = self.split(state)
        # the oldest field falls off the end
        return torch.cat([z, torch.cat([parts.now, parts.past], dim=1)[:, : self.n_state - self.n_latent]], dim=1)

    def states(self, start: Tensor, z: Tensor) -> Tensor:
        """Return `start` and the states after each step of `z` (batch, time, ...), (batch, 1 + time, n_state, y, x)."""
        n_times, n_past = z.shape[1], self.model.linear.n_lags - 1
        first = self.split(start)
        before = first.past.unflatten(1, (n_past, self.n_folded)).flip(1)  # the oldest first, as time goes
        # (batch, n_past + 1 + time, n_folded, y, x)
        now = torch.cat([before, first.now.unsqueeze(1), z[:, :, : self.n_folded]], dim=1)
        # views of one sequence, shifted: no loop over time
        lags = [now[:, n_past - lag : n_past - lag + 1 + n_times] for lag in range(1, n_past + 1)]
        latents = torch.cat([torch.cat([first.now, first.free], dim=1).unsqueeze(1), z], dim=1)
        return torch.cat([latents, *lags], dim=2)

    def noise(self, like: Tensor) -> Tensor:
        """Return noise of unit variance with the shape of `like` (n, n_latent, y, x)."""
        return self.model.noise(like)

    def features(self, parts: State) -> Tensor:
        """Return the latest coefficients and the standardised changes before them, (n, n_lags * n_folded, y, x)."""
        return self.model.linear.features(torch.cat([parts.now, parts.past], dim=1))

    def inputs(self, features: Tensor, parts: State) -> Tensor:
        """Return what the networks see: bounded features, the free channels and the clock."""
        # the linear forecast sees the features unbounded: a record is still extrapolated, only not by networks
        return torch.cat([features, parts.free, parts.clock], dim=1).clamp(-FEATURE_LIMIT, FEATURE_LIMIT)

    def latent(self, now: Tensor, correction: Tensor) -> Tensor:
        """Return coefficients `now` and zeros, plus `correction` (n, n_latent, y, x) in units of `step`, bounded."""
        # bounded, since nothing pulls these channels back in a long run
        free = (FREE_STEP * correction[:, self.n_folded :]).clamp(-FREE_LIMIT, FREE_LIMIT)
        now = now + self.step[: self.n_folded] * correction[:, : self.n_folded]  # in units of the forecast's error
        return torch.cat([self.model.linear.bounded(now), free], dim=1)


class ResidualCombiner(nn.Module):
    """Posterior of one step as the update of a Kalman filter whose gain and correction are networks.

    ``loc = forecast + gain * (observed_t - forecast) + step * CNN(h)`` with the linear forecast from the state,
    ``gain = sigmoid(CNN(h))`` for each coefficient and h of equation (8).
    """

    def __init__(
        self, layout: LatentLayout, n_hidden: int, kernel_size: int, *, n_clock: int = 0, periodic: Around = BOUNDED
    ) -> None:
        super().__init__()
        self.layout = layout
        self.network = ConvCombiner(layout.n_state + n_clock, n_hidden, layout.n_latent, kernel_size, periodic=periodic)
        self.gain = GridConv2d(n_hidden, layout.n_folded, kernel_size, periodic=periodic)
        # untrained, the posterior is the Kalman update with a constant gain
        zero_(self.network.loc)
        # 0.3 steps: an observation tells more than a forecast
        fill_bias_(self.network.scale, softplus_inverse(0.3))
        zero_(self.gain)
        fill_bias_(self.gain, GAIN)

    def forward(self, previous: Tensor, hidden: Tensor, skip: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return loc and scale (n, n_latent, y, x) from the state, the hidden state and the observed coefficients."""
        if skip is None:
            raise ValueError("skip=None: the combiner needs the observed coefficients")
        parts = self.layout.split(previous)
        features = self.layout.features(parts)
        combined = self.network.combine(self.layout.inputs(features, parts), hidden)
        # the same forecast as the transition's: what the gain weighs is the innovation
        ahead = self.layout.model.linear(features)
        now = torch.lerp(ahead, skip, torch.sigmoid(self.gain(combined).float()))  # ahead + gain * (observed - ahead)
        loc = self.layout.latent(now, self.network.loc(combined))
        return loc, self.layout.step * positive(self.network.scale(combined), SCALE_FLOOR)


class ResidualTransition(nn.Module):
    """The linear forecast plus `step` times the gated transition of its features."""

    def __init__(self, layout: LatentLayout, network: ConvTransition) -> None:
        super().__init__()
        self.layout, self.network = layout, network
        # untrained, the model is the linear inverse model
        network.start_as_zero()

    def forward(self, state: Tensor, location: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return loc and scale (n, n_latent, y, x) of the latent after `state` (n, n_state + n_clock, y, x)."""
        parts = self.layout.split(state)
        features = self.layout.features(parts)
        loc, scale = self.network(self.layout.inputs(features, parts), location)
        loc = self.layout.latent(self.layout.model.linear(features), loc)
        return loc, self.layout.step * scale.clamp(max=SCALE_LIMIT)


class ResidualEmitter(nn.Module):
    """The field that the coefficients stand for, plus the deconvolutions in units of the linear forecast's error."""

    def __init__(self, layout: LatentLayout, network: ConvEmitter) -> None:
        super().__init__()
        self.layout, self.network = layout, network
        # untrained, a field is what its coefficients say, with an error less than a step's
        network.upsampler.start_as_zero(0.3)

    def forward(self, z: Tensor, location: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return loc and scale (n, channel, y, x) of the observation of `z` (n, n_latent, y / d, x / d)."""
        linear = self.layout.model.linear
        loc, scale = self.network(z, location)
        scale = linear.cell_step * (scale + SCALE_FLOOR)  # (n, channel, y, x)
        return linear.unfold(z[:, : linear.n_folded]) + linear.cell_step * loc, scale
