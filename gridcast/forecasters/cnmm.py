"""The convolutional neural Markov model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from gridcast.data.covariates import check_time_features
from gridcast.data.parameters import AUTO, channels, parameter, real, whole
from gridcast.forecasters.decisions import combination
from gridcast.forecasters.markov import DOWNSAMPLING, KERNEL_SIZE, PAPER_OBJECTIVE
from gridcast.forecasters.neural import NeuralForecaster
from gridcast.forecasters.registry import forecaster
from gridcast.modules.convolutional import (
    ConvCombiner,
    ConvEmitter,
    ConvEncoder,
    ConvLocator,
    ConvTransition,
    Upsampler,
)
from gridcast.modules.deep import DeepTransition
from gridcast.modules.layers import Around
from gridcast.modules.markov import MarkovModule
from gridcast.modules.objective import Objective
from gridcast.modules.recurrent import ConvLSTM
from gridcast.modules.residual import FieldEmitter, LatentLayout, ResidualCombiner, ResidualTransition
from gridcast.training.data import TrainingData
from gridcast.training.plan import PROBE
from gridcast.training.spec import ModuleSpec

N_LOCATION = 16  # channels of what is known of a place
TRANSITION_DEPTH = 4  # residual blocks
N_ROLLED = 4  # steps that the transition forecasts in the second stage
N_TRAINED, N_AHEAD = 2, 1  # steps of a window at which the filter is compared with the transition, and leads from one
# Shares of the training after which it forecasts several steps, and after which the filter is trained: its steps cost
# many times as much
TAUGHT = (0.7, 0.95)
RATES = (1.0, 1.0, 0.25, 1.0)  # of the stages: several steps refine what one has taught; the filter begins anew
WEIGHT_DECAY = 0.3  # a series of a few thousand fields is soon learned by heart


@forecaster
class CNMMForecaster(NeuralForecaster):
    """2D convolutional neural Markov model (Halim and Kawamoto, Sensors 2020, 20, 4195).

    A Gaussian state-space model whose transition, emission and posterior are convolutional networks, trained by
    variational inference, equations (4) to (20). The latent fields keep the shape of the grid, so the model works on
    any size and learns from patches. Its forecasts run the transition from the last posterior latent on.

    With the paper's settings: ``CNMMForecaster(**presets.paper("cnmm", "heat"))``.

    Examples
    --------
    >>> import gridcast as gc
    >>> heat = gc.datasets.make_heat(2, n_windows=2, window=12, shape=(16, 16), random_state=0)
    >>> model = gc.CNMMForecaster(window=12, context=6, max_epochs=1, random_state=0, verbose=0).fit(heat)
    >>> model.predict(3).sizes["time"]
    3

    See Also
    --------
    DMMForecaster : the same model with a latent vector.
    """

    encoder_channels: Sequence[int] = parameter(
        channels, "(int, int)", "Channels of the encoder's two convolutions.", default=(32, 64)
    )
    rnn_channels: int = parameter(whole(), "int", "Channels of the ConvLSTM and the combiner.", default=48)
    latent_channels: int = parameter(
        whole(),
        "int",
        "Channels of the latent field of the paper's architecture; that of the residual one is the field itself.",
        default=16,
    )
    lags: int = parameter(
        whole(),
        "int",
        "Past fields that the transition of the residual architecture sees, at most ``window - 1`` and `context`.",
        default=6,
    )
    time_features: Any = parameter(
        lambda name, value: check_time_features(value),
        '"auto", {"season", "day"}, tuple of both, or None',
        "The networks also see the time of the year or the day, as cosine and sine; by default that of the day, where "
        "there are several steps a day (nothing with the paper's architecture).",
        default=AUTO,
    )
    batch_size: int = parameter(whole(), "int", "Windows per training step.", default=4)
    max_epochs: int = parameter(whole(), "int", "Largest number of passes over the training windows.", default=30)
    learning_rate: float = parameter(
        real(lambda v: v > 0, "be positive"), "float", "Adam's; the peak of the schedule.", default=2e-3
    )
    transition_channels: int = parameter(whole(), "int", "Hidden channels of the transition.", default=96)
    emitter_channels: Sequence[int] = parameter(
        channels,
        "(int, int)",
        "Channels of the convolution and the first deconvolution of the paper's emitter.",
        default=(32, 16),
    )

    def _build_module(self, spec: ModuleSpec) -> nn.Module:
        return self._paper_module(spec) if self.architecture == "paper" else self._residual_module(spec)

    def _regime(self) -> dict[str, Any] | None:
        if self.architecture == "paper":
            return None
        # a cycle of its own for the part after which it is asked whether the training pays: its end tells
        return {"stages": (PROBE, *TAUGHT), "rates": RATES, "weight_decay": WEIGHT_DECAY, "optimizer": "muon"}

    def _fit_start(self, module: Any, data: TrainingData) -> None:
        if module.layout is not None:
            module.layout.take(module.combination.linear.linear)

    def _residual_module(self, spec: ModuleSpec) -> MarkovModule:
        """Return a deep transition and its filter, beside a linear inverse model."""
        frames, clock, periodic = spec.frames(DOWNSAMPLING), spec.clock(), spec.periodic
        n_clock = clock.n_channels if clock else 0
        n_location = N_LOCATION if frames.n_static else 0
        n_lags = min(self.lags, self.window - 1, self.context)
        patches = self._patch(spec.shape) is not None
        combined = combination(spec, n_lags, self.horizon, patches=patches)
        model, layout = combined.linear, LatentLayout(combined.linear.linear, combined.linear.noise)
        transition = DeepTransition(
            model.linear.n_lags * spec.shape[0],
            self.transition_channels,
            layout.n_latent,
            spec.shape[0],
            KERNEL_SIZE,
            TRANSITION_DEPTH,
            downsampling=DOWNSAMPLING,
            n_location=n_location,
            n_clock=n_clock,
            local=patches,
            periodic=periodic,
        )
        return MarkovModule(
            # as many channels again for the errors of the linear forecast
            encoder=self._encoder(frames.n_inputs(spec.shape[0], spec.shape[0]), periodic),
            rnn=ConvLSTM(self.encoder_channels[-1], self.rnn_channels, KERNEL_SIZE, periodic=periodic),
            combiner=ResidualCombiner(layout, self.rnn_channels, KERNEL_SIZE, n_clock=n_clock, periodic=periodic),
            transition=ResidualTransition(layout, transition),
            emitter=FieldEmitter(layout),
            # one mean for all places: coefficients of anomalies are about zero everywhere
            start=torch.zeros(layout.n_latent, 1, 1),
            frames=frames,
            layout=layout,
            locator=ConvLocator(frames.n_static, N_LOCATION, downsampling=DOWNSAMPLING) if n_location else None,
            # what is learned of the posterior is then what a forecast starts from
            filtering=True,
            clock=clock,
            objective=Objective(forecast_steps=N_AHEAD, n_steps=N_TRAINED, taught=TAUGHT, taught_steps=N_ROLLED),
            combination=combined,
        )

    def _paper_module(self, spec: ModuleSpec) -> MarkovModule:
        """Return the published networks."""
        frames, clock, periodic = spec.frames(DOWNSAMPLING), spec.clock(), spec.periodic
        n_latent, n_state = self.latent_channels, self.latent_channels + (clock.n_channels if clock else 0)
        # initial states for every cell, as published; patches do not say where they are
        rows, columns = (1 if self._patch(spec.shape) else -(-size // DOWNSAMPLING) for size in spec.shape[1:])
        upsampler = Upsampler(
            self.emitter_channels, spec.shape[0], KERNEL_SIZE, downsampling=DOWNSAMPLING, head="tanh", periodic=periodic
        )
        rnn = ConvLSTM(
            self.encoder_channels[-1],
            self.rnn_channels,
            KERNEL_SIZE,
            # equation (5): the hidden state of a step sees what comes after it
            reverse=True,
            state_shape=(rows, columns),
            periodic=periodic,
        )
        return MarkovModule(
            encoder=self._encoder(frames.n_inputs(spec.shape[0]), periodic),
            rnn=rnn,
            combiner=ConvCombiner(n_state, self.rnn_channels, n_latent, KERNEL_SIZE, periodic=periodic),
            transition=ConvTransition(n_state, self.transition_channels, n_latent, KERNEL_SIZE, periodic=periodic),
            emitter=ConvEmitter(n_latent, upsampler, KERNEL_SIZE, periodic=periodic),
            start=torch.zeros(n_latent, rows, columns),
            frames=frames,
            clock=clock,
            objective=PAPER_OBJECTIVE,
        )

    def _encoder(self, n_inputs: int, periodic: Around) -> ConvEncoder:
        return ConvEncoder(n_inputs, self.encoder_channels, KERNEL_SIZE, downsampling=DOWNSAMPLING, periodic=periodic)
