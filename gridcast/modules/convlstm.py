"""The ConvLSTM forecaster's module: reads a context, then feeds its own forecasts back."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gridcast.modules.clock import Clock, spread
from gridcast.modules.combination import Combination, CombinedModule, Draw
from gridcast.modules.frames import Frames
from gridcast.modules.layers import BOUNDED, Around, LocatedConv2d, go_around, identity_, log_rms, zero_
from gridcast.modules.recurrent import ConvLSTM

SCALE_FLOOR = 1e-3  # of scaled data: a field that never errs would have an infinite density
SCALE_PACE = 10.0  # the logarithm of the scale goes as many times as far in a training step as a weight


class ConvLSTMModule(CombinedModule):
    """One ConvLSTM layer; the last `n_states` hidden states and a 1 x 1 convolution give the next frame.

    ``x_{t+1} = sum_k W_k h_{t-k}``, ``k < n_states``, which is the 1 x 1 convolution of the concatenated states. With
    `residual` a 1 x 1 convolution of x_t that starts as the identity is added: the untrained module is persistence. The
    one-step error has one scale a channel, learned beside the mean; samples feed noisy forecasts back, so spread grows
    with lead time.

    Parameters
    ----------
    n_channels : int
        Channels of a frame.
    n_hidden : int
        Channels of the state.
    kernel_size : int
    n_states : int
        Number of hidden states that a forecast sees.
    context : int
        Frames that are read before forecasts are fed back.
    frames : Frames
    locator : Module or None
    n_location : int
        Channels of the locator.
    clock : Clock or None
        Time features that the ConvLSTM sees with each frame.
    downsampling : int
        Pixels are folded into channels by this factor (space to depth), as in Shi et al. 2015.
    residual : bool
    teacher_forcing : bool
        Also train on the one-step forecasts inside the context.
    relative : bool
        Train on the logarithm of each field's error, else on the mean of all squared errors.
    combination : Combination or None
    """

    def __init__(
        self,
        n_channels: int,
        n_hidden: int,
        kernel_size: int,
        *,
        n_states: int,
        context: int,
        frames: Frames,
        locator: nn.Module | None = None,
        n_location: int = 0,
        clock: Clock | None = None,
        downsampling: int = 1,
        residual: bool = False,
        teacher_forcing: bool = True,
        relative: bool = True,
        periodic: Around = BOUNDED,
        combination: Combination | None = None,
    ) -> None:
        super().__init__(combination)
        self.relative = relative
        self.frames, self.locator, self.clock = frames, locator, clock
        self.context, self.n_states = context, n_states
        self.downsampling, self.teacher_forcing = downsampling, teacher_forcing
        folded = n_channels * downsampling**2  # channels of a folded frame
        self.lstm = ConvLSTM(
            # the clock is added after folding: all cells of a block share it
            frames.n_inputs(n_channels) * downsampling**2 + (clock.n_channels if clock else 0),
            n_hidden,
            kernel_size,
            n_location=n_location,
            periodic=periodic,
        )
        # the parts for all lags at once: each state is read when it comes and then only its parts are kept
        self.readout = nn.Conv2d(n_hidden, n_states * folded, 1)
        self.skip = LocatedConv2d(folded, folded, 1, n_location=n_location) if residual else None
        # exp(SCALE_PACE * raw) = 0.1 at the start
        self.raw_scale = nn.Parameter(torch.full((n_channels, 1, 1), math.log(0.1) / SCALE_PACE))
        if self.skip is not None:
            # the untrained forecast is then the last frame: persistence, whatever the context
            zero_(self.readout)
            identity_(self.skip.conv)
            if self.skip.location is not None:
                zero_(self.skip.location)

    def loss(
        self,
        x: Tensor,
        mask: Tensor,
        origin: Tensor | None = None,
        progress: float = 1.0,
        target: Tensor | None = None,
        clock: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the training loss of a batch of windows, per observed value.

        The mean is trained on all errors, the scale on the likelihood of those one step ahead in windows without added
        noise.

        Parameters
        ----------
        x, mask : Tensor, (batch, time, channel, y, x)
            Scaled fields, finite everywhere, and 1 where observed.
        origin : Tensor of int, (batch, 2), optional
            First row and column of each patch in the grid.
        progress : float
            Without meaning here.
        target : Tensor, same shape, optional
            What is to be forecast, where `x` is noisier than that.
        clock : Tensor, (batch, n_clock), optional
            Time features of the first step, for a module with a clock.

        Returns
        -------
        loss : Tensor, scalar
        terms : dict of scalar Tensor
            ``mse`` and ``nll`` (nats per observed value).
        """
        del progress
        go_around(self, origin is None)
        static = self.frames.static_of(origin, (x.shape[-2], x.shape[-1]))
        # one step at least is left to forecast
        n_context = min(self.context, x.shape[1] - 1)
        padded, padded_mask = self.frames.pad(x), self.frames.pad_mask(mask)
        horizon = x.shape[1] - n_context
        inside, outside = self._run(padded[:, :n_context], padded_mask[:, :n_context], horizon, static, clock)
        first = 1 if self.teacher_forcing else n_context  # the first step that is forecast and verified
        # inside[:, t] forecasts step t + 1; the last one is the first of `outside`
        predicted = torch.cat([inside[:, first - 1 : n_context - 1], outside], dim=1)
        wanted = padded if target is None else self.frames.pad(target)
        error, seen = predicted - wanted[:, first:], padded_mask[:, first:]
        mse = (error.square() * seen).sum() / seen.sum().clamp(min=1)
        one_step = slice(n_context + 1 - first)  # what follows is fed back
        # (batch, step, channel, y, x), 0 for windows with added noise
        clean = seen[:, one_step] * (padded == wanted).flatten(1).all(1)[:, None, None, None, None]
        variance = self.scale**2
        # detached: the mean must not be trained on the likelihood, which weighs early leads most
        squared = error[:, one_step].detach().square()
        likelihood = -0.5 * (squared / variance + torch.log(2 * torch.pi * variance))
        total = -(likelihood * clean).sum()  # nats
        loss = log_rms(error, seen).mean() if self.relative else mse
        # per value seen, not per clean one, so that the parts of a batch average to the whole
        loss = loss + total / seen[:, one_step].sum().clamp(min=1)
        return loss, {"mse": mse.detach(), "nll": total.detach() / clean.sum().clamp(min=1)}

    @property
    def scale(self) -> Tensor:
        """Standard deviation of a one-step forecast error, (channel, 1, 1)."""
        # single precision: the exponential of a rounded logarithm is off by percents
        return torch.exp(SCALE_PACE * self.raw_scale.float()) + SCALE_FLOOR

    def begin(self, x: Tensor, mask: Tensor, horizon: int, clock: Tensor | None) -> tuple[Tensor, Tensor, Draw]:
        """Return the mean, its scale and what draws members; see `CombinedModule`.

        The mean feeds itself back, a member a draw around it, which is in the member as well: its leads agree.
        """

        def draw(n: int) -> tuple[Tensor, Tensor]:
            loc = self._fed_back(x, mask, horizon, n, clock)
            # of one step: what noise grows to later is in the members
            scale = self.scale.expand(loc.shape)
            if n and not self.noise_apart:
                scale = scale.clone()
                scale[:, :, :-1] = 0.0  # drawn already
            return loc, scale

        mean, scale = draw(0)
        return mean[0], scale[0], draw

    def _fed_back(self, x: Tensor, mask: Tensor, horizon: int, n_samples: int, clock: Tensor | None) -> Tensor:
        """Return forecasts, (max(n_samples, 1), batch, horizon, channel, y, x)."""
        batch, size, members = x.shape[0], (x.shape[-2], x.shape[-1]), max(n_samples, 1)
        go_around(self, True)
        static = self.frames.static_of(None, size)
        padded, padded_mask = self.frames.pad(x), self.frames.pad_mask(mask)
        _, out = self._run(padded, padded_mask, horizon, static, clock, members, noisy=n_samples > 0)
        return self.frames.crop(out, size).unflatten(0, (batch, members)).transpose(0, 1)

    def _run(
        self,
        x: Tensor,
        mask: Tensor,
        horizon: int,
        static: Tensor | None,
        clock: Tensor | None,
        members: int = 1,
        noisy: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Return the one-step forecasts inside the context and `horizon` fed-back forecasts after it."""
        location = self.locator(static) if self.locator is not None and static is not None else None
        clocks = self._clocks(clock, x.shape[1] + horizon)  # (batch, context + horizon, n_clock)
        # (batch, time, n_hidden, y / d, x / d)
        hidden, state = self.lstm.run(self._fold(x, mask, static, clocks), location)
        parts = self.readout(hidden.flatten(0, 1)).unflatten(0, hidden.shape[:2])
        parts = parts.unflatten(2, (self.n_states, -1))  # (batch, time, lag, folded, y, x)
        inside = self._unfold(self._sum_lags(parts), x, location)  # (batch, context, channel, y, x)

        def repeat(t: Tensor) -> Tensor:
            return t.repeat_interleave(members, 0) if members > 1 else t

        # only the states that a later forecast still sees, the oldest first
        lags = [repeat(p) for p in parts[:, -self.n_states :].unbind(1)]
        hidden_state, cell = (repeat(s) for s in state)
        # members share the context, and so the first forecast but for its noise
        frame, forecasts = repeat(inside[:, -1]), []
        ones = torch.ones_like(frame)[:, None]  # the mask: a forecast has no gaps
        for lead in range(horizon):
            # the last forecast is fed to nothing
            if lead == horizon - 1:
                forecasts.append(frame)
                break
            fed_back = frame + self.scale * torch.randn_like(frame) if noisy else frame
            forecasts.append(frame if self.noise_apart else fed_back)
            frame = fed_back
            # the clock of the step whose frame is now fed back
            later = None if clocks is None else repeat(clocks[:, x.shape[1] + lead :])
            folded = self._fold(frame[:, None], ones, static, later)[:, 0]
            hidden_state, cell = self.lstm.step(folded, (hidden_state, cell), location)
            lags = [*lags, self.readout(hidden_state).unflatten(1, (self.n_states, -1))][-self.n_states :]
            total = sum(part[:, lag] for lag, part in enumerate(reversed(lags)))  # part k of the state k steps ago
            frame = self._unfold(total[:, None], frame[:, None], location)[:, 0]  # type: ignore[index]
        return inside, torch.stack(forecasts, dim=1)

    def _clocks(self, clock: Tensor | None, n_times: int) -> Tensor | None:
        """Return the time features of a context and a forecast, (batch, n_times, n_clock)."""
        if self.clock is None:
            return None
        if clock is None:
            raise ValueError("clock=None: the module has a clock, give the time features of the first steps")
        return self.clock.path(clock, n_times)

    def _fold(self, x: Tensor, mask: Tensor, static: Tensor | None, clocks: Tensor | None) -> Tensor:
        """Return what the ConvLSTM sees of frames: pixels folded into channels, and the clock of each."""
        # members are in the batch, the constant channels of a patch are one for each window
        static = (
            static if static is None or static.shape[0] == 1 else static.repeat_interleave(len(x) // len(static), 0)
        )
        folded = F.pixel_unshuffle(self.frames.inputs(x, mask, static), self.downsampling)
        if clocks is None:
            return folded
        now = clocks[:, : x.shape[1]].flatten(0, 1)  # (batch * time, n_clock)
        return torch.cat([folded, spread(now, folded).unflatten(0, x.shape[:2])], dim=2)

    def _unfold(self, total: Tensor, x: Tensor, location: Tensor | None) -> Tensor:
        """Return forecasts (batch, time, channel, y, x) from the read-out and the frames before them."""
        if self.skip is not None:
            folded = F.pixel_unshuffle(x, self.downsampling)
            total = total + self.skip(folded.flatten(0, 1), location).unflatten(0, x.shape[:2])
        return F.pixel_shuffle(total, self.downsampling)  # (batch, time, channel, y, x)

    def _sum_lags(self, parts: Tensor) -> Tensor:
        """Return ``sum_k parts[:, t - k, k]`` for every t, (batch, time, folded, y, x)."""
        n_times = parts.shape[1]
        total = parts[:, :, 0]
        for lag in range(1, min(self.n_states, n_times)):
            # zeros before the first step: at the start of a window fewer states are seen
            total = total + F.pad(parts[:, : n_times - lag, lag], (0, 0, 0, 0, 0, 0, lag, 0))
        return total
