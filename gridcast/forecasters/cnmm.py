"""The convolutional neural Markov model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import nn

from gridcast.data.statistics import BUFFER_BYTES
from gridcast.forecasters.linear import N_PATTERNS, fit_inverse_model, inverse_model
from gridcast.forecasters.markov import DOWNSAMPLING, KERNEL_SIZE, PAPER_OBJECTIVE
from gridcast.forecasters.neural import DEFAULT_TRANSFORMER, NeuralForecaster
from gridcast.modules.convolutional import (
    ConvCombiner,
    ConvEmitter,
    ConvEncoder,
    ConvLocator,
    ConvTransition,
    Upsampler,
)
from gridcast.modules.markov import MarkovModule, Objective
from gridcast.modules.recurrent import ConvLSTM
from gridcast.modules.residual import LatentLayout, ResidualCombiner, ResidualEmitter, ResidualTransition
from gridcast.training.data import TrainingData
from gridcast.training.spec import ModuleSpec

N_LOCATION = 16  # channels of what is known of a place


class CNMMForecaster(NeuralForecaster):
    """2D convolutional neural Markov model (Halim and Kawamoto, Sensors 2020, 20, 4195).

    A Gaussian state-space model whose transition, emission and posterior are convolutional networks, trained by
    variational inference, equations (4) to (20). The latent fields keep the shape of the grid, so the model works on
    any size and learns from patches. Its forecasts run the transition from the last posterior latent on.

    The parameters that it shares with the other neural forecasters (windows, training, scaling, device) are described
    in `gridcast.forecasters.NeuralForecaster`. With the paper's settings:
    ``CNMMForecaster(**presets.paper("cnmm", "heat"))``.

    Parameters
    ----------
    encoder_channels : (int, int), default=(32, 64)
        Channels of the encoder's two convolutions.
    rnn_channels : int, default=48
        Channels of the ConvLSTM and the combiner.
    latent_channels : int, default=16
        Channels of the latent field; with `residual`, beside the coefficients of the last `lags` fields.
    lags : int, default=6
        Past fields in the latent field with `residual`, at most ``window - 1``.
    transition_channels : int, default=48
        Hidden channels of the gated transition.
    emitter_channels : (int, int), default=(32, 16)
        Channels of the emitter's convolution and first deconvolution.
    kernel_size : int, default=3
        Odd.
    downsampling : {1, 2, 4}, default=4
        Cells per latent cell and side: 4 is the paper's bottleneck, 1 its size-preserving variant.
    posterior : {"filter", "forward", "backward", "bidirectional", "mean_field"}, default="filter"
        Factorisation of the posterior; the paper's is ``"backward"``. See `gridcast.modules.recurrent.Recurrence`.
    kl : {"analytic", "monte_carlo"}, default="analytic"
        Per-step analytic divergence, or the paper's Monte-Carlo estimate.
    annealing : (float, float), default=(1.0, 0.0)
        Weight of the KL divergence at the start, and the share of training after which it is 1.
    forecast_weight : float, default=1.0
        Weight of the forecast term in the objective, see `gridcast.modules.markov.Objective`; 0 is the paper's.
    forecast_steps : int, default=10
        Largest lead of the forecast term, at most ``window - 1``.
    head : {"linear", "tanh"}, default="linear"
        Last activation of the emitter's mean; the paper's is ``"tanh"``.
    batch_norm : bool, default=False
        Batch normalisation in encoder, combiner, transition and emitter.
    initial_state : {"channel", "cell"}, default="channel"
        Whether the trainable Z_0, H_init and C_init have one value per channel or, as in the paper, per cell.

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

    def __init__(
        self,
        *,
        encoder_channels: Sequence[int] = (32, 64),
        rnn_channels: int = 48,
        latent_channels: int = 16,
        lags: int = 6,
        transition_channels: int = 48,
        emitter_channels: Sequence[int] = (32, 16),
        kernel_size: int = 3,
        downsampling: Literal[1, 2, 4] = 4,
        posterior: str = "filter",
        kl: Literal["analytic", "monte_carlo"] = "analytic",
        annealing: tuple[float, float] = (1.0, 0.0),
        forecast_weight: float = 1.0,
        forecast_steps: int = 10,
        head: Literal["linear", "tanh"] = "linear",
        batch_norm: bool = False,
        initial_state: Literal["channel", "cell"] = "channel",
        window: int = 12,
        context: int = 10,
        stride: int = 1,
        batch_size: int = 8,
        max_epochs: int = 10,
        max_steps: int | None = 3000,
        learning_rate: float = 1e-3,
        learning_rate_schedule: str = "one_cycle",
        gradient_clip: float | None = 1.0,
        validation_fraction: float = 0.1,
        patience: int | None = None,
        patch_size: int | None = None,
        location_features: bool = True,
        residual: bool = True,
        climatology: Any = "auto",
        bounded: bool = True,
        observation_noise: float = 1.75,
        buffer_bytes: int = BUFFER_BYTES,
        precision: str = "32",
        device: str = "auto",
        strategy: str = "auto",
        compile: bool = False,
        checkpoint_dir: Any = None,
        checkpoint_every: int | str = "5min",
        callbacks: Any = None,
        static: Any = None,
        time_features: Any = None,
        transformer: Any = DEFAULT_TRANSFORMER,
        longitude: str = "auto",
        random_state: Any = None,
        verbose: int = 1,
    ) -> None:
        super().__init__(
            window=window,
            context=context,
            stride=stride,
            batch_size=batch_size,
            max_epochs=max_epochs,
            max_steps=max_steps,
            learning_rate=learning_rate,
            learning_rate_schedule=learning_rate_schedule,
            gradient_clip=gradient_clip,
            validation_fraction=validation_fraction,
            patience=patience,
            patch_size=patch_size,
            location_features=location_features,
            residual=residual,
            climatology=climatology,
            bounded=bounded,
            observation_noise=observation_noise,
            buffer_bytes=buffer_bytes,
            precision=precision,
            device=device,
            strategy=strategy,
            compile=compile,
            checkpoint_dir=checkpoint_dir,
            checkpoint_every=checkpoint_every,
            callbacks=callbacks,
            static=static,
            time_features=time_features,
            transformer=transformer,
            longitude=longitude,
            random_state=random_state,
            verbose=verbose,
        )
        self.encoder_channels = encoder_channels
        self.rnn_channels = rnn_channels
        self.latent_channels = latent_channels
        self.lags = lags
        self.transition_channels = transition_channels
        self.emitter_channels = emitter_channels
        self.kernel_size = kernel_size
        self.downsampling = downsampling
        self.posterior = posterior
        self.kl = kl
        self.annealing = annealing
        self.forecast_weight = forecast_weight
        self.forecast_steps = forecast_steps
        self.head = head
        self.batch_norm = batch_norm
        self.initial_state = initial_state

    @property
    def _annealing(self) -> tuple[float, float]:
        return self.annealing

    def _check_architecture(self) -> None:
        pass

    def _build_module(self, spec: ModuleSpec) -> nn.Module:
        return self._paper_module(spec) if self.architecture == "paper" else self._residual_module(spec)

    def _fit_start(self, module: Any, data: TrainingData) -> None:
        if module.layout is not None:
            fit_inverse_model(module.layout.model, data)
            module.layout.take_steps()

    def _residual_module(self, spec: ModuleSpec) -> MarkovModule:
        """Return the networks that add to a linear inverse model."""
        frames, clock, periodic = spec.frames(DOWNSAMPLING), spec.clock(), spec.periodic
        n_clock = clock.n_channels if clock else 0
        n_location = N_LOCATION if frames.n_static else 0
        n_patterns = 0 if self.patch_size else N_PATTERNS  # a patch does not show how large its patterns are
        model = inverse_model(spec, min(self.lags, self.window - 1), n_patterns=n_patterns)
        layout = LatentLayout(model, self.latent_channels)
        transition = ConvTransition(
            layout.n_state + n_clock,
            self.transition_channels,
            layout.n_latent,
            KERNEL_SIZE,
            n_location=n_location,
            periodic=periodic,
        )
        upsampler = Upsampler(
            self.emitter_channels, spec.shape[0], KERNEL_SIZE, downsampling=DOWNSAMPLING, periodic=periodic
        )
        emitter = ConvEmitter(layout.n_latent, upsampler, KERNEL_SIZE, n_location=n_location, periodic=periodic)
        return MarkovModule(
            encoder=self._encoder(frames.n_inputs(spec.shape[0], spec.shape[0]), periodic),
            rnn=ConvLSTM(self.encoder_channels[-1], self.rnn_channels, KERNEL_SIZE, periodic=periodic),
            combiner=ResidualCombiner(layout, self.rnn_channels, KERNEL_SIZE, n_clock=n_clock, periodic=periodic),
            transition=ResidualTransition(layout, transition),
            emitter=ResidualEmitter(layout, emitter),
            start=torch.zeros(layout.n_latent, 1, 1),
            frames=frames,
            layout=layout,
            locator=ConvLocator(frames.n_static, N_LOCATION, downsampling=DOWNSAMPLING) if n_location else None,
            filtering=True,
            clock=clock,
            objective=Objective(),
        )

    def _paper_module(self, spec: ModuleSpec) -> MarkovModule:
        """Return the published networks."""
        frames, clock, periodic = spec.frames(DOWNSAMPLING), spec.clock(), spec.periodic
        n_latent, n_state = self.latent_channels, self.latent_channels + (clock.n_channels if clock else 0)
        cells = (1, 1) if self.patch_size else tuple(-(-size // DOWNSAMPLING) for size in spec.shape[1:])
        upsampler = Upsampler(
            self.emitter_channels, spec.shape[0], KERNEL_SIZE, downsampling=DOWNSAMPLING, head="tanh", periodic=periodic
        )
        rnn = ConvLSTM(
            self.encoder_channels[-1],
            self.rnn_channels,
            KERNEL_SIZE,
            reverse=True,
            state_shape=cells,
            periodic=periodic,
        )
        return MarkovModule(
            encoder=self._encoder(frames.n_inputs(spec.shape[0]), periodic),
            rnn=rnn,
            combiner=ConvCombiner(n_state, self.rnn_channels, n_latent, KERNEL_SIZE, periodic=periodic),
            transition=ConvTransition(n_state, self.transition_channels, n_latent, KERNEL_SIZE, periodic=periodic),
            emitter=ConvEmitter(n_latent, upsampler, KERNEL_SIZE, periodic=periodic),
            start=torch.zeros(n_latent, *cells),
            frames=frames,
            clock=clock,
            objective=PAPER_OBJECTIVE,
        )

    def _encoder(self, n_inputs: int, periodic: bool) -> ConvEncoder:
        return ConvEncoder(
            n_inputs, self.encoder_channels, KERNEL_SIZE, downsampling=DOWNSAMPLING, periodic=periodic
        )
