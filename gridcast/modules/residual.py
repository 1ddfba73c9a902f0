"""The convolutional parts around a linear forecast: each adds to it, in units of its error, what the data ask for."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gridcast.modules.convolutional import ConvCombiner, ConvEmitter, ConvTransition
from gridcast.modules.layers import GridConv2d, fill_bias_, pad_columns, positive, softplus_inverse, zero_
from gridcast.modules.linear import LinearForecast, fit_linear_forecast
from gridcast.modules.noise import CorrelatedNoise, fit_correlated_noise

FEATURE_LIMIT = 10.0
FREE_STEP, FREE_LIMIT = 0.3, 10.0
SCALE_FLOOR = 0.1  # of the posterior and the emission, in steps: sharper ones only stiffen the objective
SCALE_LIMIT = 3.0  # of the transition, in steps: noise that widens the noise after it would explode in a long run
FORGETTING = 0.85  # of the evidence, a step
WEIGHT_LIMIT = 1.5  # of the neighbours' share
GAIN = 4.0  # sigmoid(4) = 0.98: observations are trusted until trained


class LatentLayout(nn.Module):
    """The memory of a Markov chain of order `n_lags` over the coefficients of fields.

    A latent z_t is the coefficients of the field and free channels, `n_latent` in all. A state holds the latest latent,
    the coefficients of the `n_lags` - 1 before it (the companion form of an autoregression), two channels of evidence
    and `n_local` maps of what each place is like, `n_state` in all.

    The evidence is how far the neighbours' share of the linear forecast was right in the steps before: the weight that
    it has in the next is a recursive least-squares estimate with exponential forgetting, near the block and pulled
    towards 1. Weather changes between regimes in which neighbours tell much (wind) and little (calm).
    """

    step: Tensor
    carry: Tensor

    def __init__(self, linear: LinearForecast, n_free: int, noise: CorrelatedNoise | None = None) -> None:
        super().__init__()
        self.linear, self.correlated = linear, noise
        self.n_local = len(linear.own) - 1
        self.n_free, self.n_folded = n_free, linear.n_folded
        self.n_latent = self.n_folded + n_free
        self.n_fields = self.n_latent + (linear.n_lags - 1) * self.n_folded
        self.n_state = self.n_fields + 2 + self.n_local
        self.register_buffer("step", torch.cat([linear.step, torch.full((n_free, 1, 1), FREE_STEP)]))
        self.register_buffer("carry", torch.cat([linear.persistence(), torch.zeros(n_free, 1, 1)]))

    @torch.no_grad()
    def fit(self, x: Tensor, local: Tensor | None = None) -> None:
        """Fit the linear forecast and its noise to stretches, as `fit_linear_forecast` takes them."""
        fit_linear_forecast(self.linear, x, local)
        if self.correlated is not None:
            fit_correlated_noise(self.correlated, self.linear, x, local)
        self.step[: self.n_folded] = self.linear.step
        self.carry[: self.n_folded] = self.linear.persistence()

    def start(self, x: Tensor, location: Tensor | None = None) -> Tensor:
        """Return the state before a window (batch, time, channel, y, x): its first field, as if it had always been.

        The last `n_local` channels of `location` (batch or 1, ..., y, x) are the maps.
        """
        now = self.linear.fold(x[:, 0])
        free, evidence = (now.new_zeros(now.shape[0], n, *now.shape[2:]) for n in (self.n_free, 2))
        fields = [now, free, now.repeat(1, self.linear.n_lags - 1, 1, 1), evidence]
        if location is not None and self.n_local:
            fields.append(location[:, -self.n_local :].expand(now.shape[0], -1, -1, -1))
        return torch.cat(fields, dim=1)

    def push(self, state: Tensor, z: Tensor) -> Tensor:
        """Return the state (n, n_state, y, x) after `z` (n, n_latent, y, x) has followed it."""
        evidence = FORGETTING * self.evidence(state) + self._moments(state, z)
        return torch.cat([self.advance(state, z)[:, : self.n_fields], evidence, state[:, self.n_fields + 2 :]], dim=1)

    def advance(self, state: Tensor, z: Tensor) -> Tensor:
        """Return the state after `z` where that is a forecast, which is no evidence."""
        past = state[:, self.n_latent : max(self.n_latent, self.n_fields - self.n_folded)]
        now = state[:, : self.n_folded] if self.linear.n_lags > 1 else past
        return torch.cat([z, now, past, state[:, self.n_fields :]], dim=1)

    def states(self, start: Tensor, z: Tensor) -> Tensor:
        """Return `start` and the states after each step of `z` (batch, time, ...), (batch, 1 + time, n_state, y, x)."""
        n, n_times, n_past = self.n_folded, z.shape[1], self.linear.n_lags - 1
        first = start[:, : self.n_latent].unsqueeze(1)
        before = start[:, self.n_latent : self.n_fields].unflatten(1, (n_past, n)).flip(1)
        now = torch.cat([before, first[:, :, :n], z[:, :, :n]], dim=1)
        lags = [now[:, n_past - lag : n_past - lag + 1 + n_times] for lag in range(1, n_past + 1)]
        fields = torch.cat([torch.cat([first, z], dim=1), *lags], dim=2)
        rest = start[:, self.n_fields :].unsqueeze(1).expand(-1, 1 + n_times, -1, -1, -1)
        before = torch.cat([fields, rest], dim=2)[:, :-1].flatten(0, 1)
        new = self._moments(before, z.flatten(0, 1)).unflatten(0, z.shape[:2])
        evidence = [self.evidence(start)]
        for t in range(n_times):
            evidence.append(FORGETTING * evidence[-1] + new[:, t])
        return torch.cat([fields, torch.stack(evidence, dim=1), rest[:, :, 2:]], dim=2)

    def evidence(self, state: Tensor) -> Tensor:
        """Return the two channels of evidence of a state, (n, 2, y, x)."""
        return state[:, self.n_fields : self.n_fields + 2]

    def local(self, state: Tensor) -> Tensor | None:
        """Return the maps of a state, (n, n_local, y, x)."""
        return state[:, self.n_fields + 2 : self.n_state] if self.n_local else None

    def noise(self, like: Tensor) -> Tensor:
        """Return noise of unit variance with the shape of `like` (n, n_latent, y, x)."""
        return torch.randn_like(like) if self.correlated is None else self.correlated(like)

    def carried(self, scale: Tensor) -> Tensor:
        """Return what is left of the uncertainty `scale` (..., n_latent, y, x) of a latent one step later."""
        return self.carry * scale

    def features(self, state: Tensor) -> Tensor:
        """Return the latest coefficients and the standardised changes before them, (n, n_lags * n_folded, y, x)."""
        return self.linear.features(
            torch.cat([state[:, : self.n_folded], state[:, self.n_latent : self.n_fields]], dim=1)
        )

    def forecast(self, features: Tensor, state: Tensor) -> Tensor:
        """Return the linear forecast of the coefficients (n, n_folded, y, x), its neighbours weighted by evidence."""
        around = self.linear.periodic and self.linear.conv.around
        evidence = F.pad(pad_columns(self.evidence(state), 1, around), (0, 0, 1, 1))
        near = F.avg_pool2d(evidence, 3, stride=1)
        weight = (near[:, :1] + 1) / (near[:, 1:] + 1)
        return self.linear(features, self.local(state), weight.clamp(0.0, WEIGHT_LIMIT))

    def inputs(self, features: Tensor, state: Tensor) -> Tensor:
        """Return what the networks see: bounded features, the free channels and what else a state ends with.

        (n, n_fields + channels beyond `n_state`, y, x); a clock, for instance.
        """
        all_ = torch.cat([features, state[:, self.n_folded : self.n_latent], state[:, self.n_state :]], dim=1)
        return all_.clamp(-FEATURE_LIMIT, FEATURE_LIMIT)

    def latent(self, now: Tensor, correction: Tensor) -> Tensor:
        """Return coefficients `now` and zeros, plus `correction` (n, n_latent, y, x) in units of `step`, bounded."""
        free = (FREE_STEP * correction[:, self.n_folded :]).clamp(-FREE_LIMIT, FREE_LIMIT)
        now = now + self.linear.step * correction[:, : self.n_folded]
        return torch.cat([self.linear.bounded(now), free], dim=1)

    @torch.no_grad()
    def _moments(self, state: Tensor, z: Tensor) -> Tensor:
        """Return the moments of the neighbours' share with what the own past left, and with itself, (n, 2, y, x)."""
        linear = self.linear
        own, neighbours = linear.parts(self.features(state), self.local(state))
        share, left = linear.scale * neighbours, linear.scale * (z[:, : self.n_folded] - own)
        moments = (left * share).sum(1, keepdim=True), share.square().sum(1, keepdim=True)
        return self._has_past(state) * torch.cat(moments, dim=1) / linear.share

    def _has_past(self, state: Tensor) -> Tensor | float:
        """Return 0 where the oldest fields of a state still stand in for a past before the window, else 1."""
        if self.linear.n_lags == 1:
            return 1.0
        n, end = self.n_folded, self.n_fields
        newer = state[:, end - 2 * n : end - n] if self.linear.n_lags > 2 else state[:, :n]
        return (state[:, end - n : end] != newer).any(1, keepdim=True).to(state.dtype)


class LocalMaps(nn.Module):
    """What a block is like: block means of the first constant channels, over the grid of mean 0 and variance 1.

    Parameters
    ----------
    n_local : int
        How many of them count.
    downsampling : int
        Cells of a block and side.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, n_local: int, downsampling: int) -> None:
        super().__init__()
        self.n_local, self.downsampling = n_local, downsampling
        self.register_buffer("mean", torch.zeros(1, n_local, 1, 1))
        self.register_buffer("std", torch.ones(1, n_local, 1, 1))

    @torch.no_grad()
    def fit(self, static: Tensor) -> None:
        """Learn mean and variance from the constant channels of the whole grid, (1, n_static, y, x)."""
        blocks = F.avg_pool2d(static[:, : self.n_local], self.downsampling)
        self.mean.copy_(blocks.mean((2, 3), keepdim=True))
        self.std.copy_(blocks.std((2, 3), keepdim=True, correction=0).clamp(min=1e-6))

    def forward(self, static: Tensor) -> Tensor:
        """Map (n, n_static, y, x) to (n, n_local, y / d, x / d)."""
        return (F.avg_pool2d(static[:, : self.n_local], self.downsampling) - self.mean) / self.std


class ResidualCombiner(nn.Module):
    """Posterior of one step as the update of a Kalman filter whose gain and correction are networks.

    ``loc = forecast + gain * (observed_t - forecast) + step * CNN(h)`` with the linear forecast from the state,
    ``gain = sigmoid(CNN(h))`` for each coefficient and h of equation (8). Without the state (mean field) the gain is 1.
    """

    def __init__(
        self,
        layout: LatentLayout,
        n_hidden: int,
        kernel_size: int,
        *,
        use_previous: bool = True,
        n_clock: int = 0,
        batch_norm: bool = False,
        periodic: bool = False,
    ) -> None:
        super().__init__()
        self.layout = layout
        self.network = ConvCombiner(
            layout.n_fields + n_clock,
            n_hidden,
            layout.n_latent,
            kernel_size,
            use_previous=use_previous,
            batch_norm=batch_norm,
            periodic=periodic,
        )
        self.gain = GridConv2d(n_hidden, layout.n_folded, kernel_size, periodic=periodic) if use_previous else None
        zero_(self.network.loc)
        fill_bias_(self.network.scale, softplus_inverse(0.3))
        if self.gain is not None:
            zero_(self.gain)
            fill_bias_(self.gain, GAIN)

    def forward(self, previous: Tensor, hidden: Sequence[Tensor], skip: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return loc and scale (n, n_latent, y, x) from the state, the hidden states and the observed coefficients."""
        if skip is None:
            raise ValueError("skip=None: the combiner needs the observed coefficients")
        if self.gain is None:
            now, combined = skip, self.network.combine(previous, hidden)
        else:
            features = self.layout.features(previous)
            combined = self.network.combine(self.layout.inputs(features, previous), hidden)
            now = torch.lerp(self.layout.forecast(features, previous), skip, torch.sigmoid(self.gain(combined).float()))
        loc = self.layout.latent(now, self.network.loc(combined))
        return loc, self.layout.step * positive(self.network.scale(combined), SCALE_FLOOR)


class ResidualTransition(nn.Module):
    """The linear forecast plus `step` times the gated transition of its features."""

    def __init__(self, layout: LatentLayout, network: ConvTransition) -> None:
        super().__init__()
        self.layout, self.network = layout, network
        network.start_as_zero()

    def forward(self, state: Tensor, location: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return loc and scale (n, n_latent, y, x) of the latent after `state` (n, n_state, y, x)."""
        features = self.layout.features(state)
        loc, scale = self.network(self.layout.inputs(features, state), location)
        now = self.layout.forecast(features, state)
        return self.layout.latent(now, loc), self.layout.step * scale.clamp(max=SCALE_LIMIT)


class ResidualEmitter(nn.Module):
    """The field that the coefficients stand for, plus the deconvolutions in units of the linear forecast's error."""

    def __init__(self, layout: LatentLayout, network: ConvEmitter) -> None:
        super().__init__()
        self.layout, self.network = layout, network
        network.upsampler.start_as_zero(0.3)

    def forward(self, z: Tensor, location: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return loc and scale (n, channel, y, x) of the observation of `z` (n, n_latent, y / d, x / d)."""
        linear = self.layout.linear
        loc, scale = self.network(z, location)
        scale = linear.cell_step * (scale + SCALE_FLOOR)
        return linear.unfold(z[:, : linear.n_folded]) + linear.cell_step * loc, scale
