"""The vanilla deep Markov model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import nn

from gridcast.data.statistics import BUFFER_BYTES
from gridcast.forecasters.markov import DOWNSAMPLING, KERNEL_SIZE, PAPER_OBJECTIVE
from gridcast.forecasters.neural import DEFAULT_TRANSFORMER, NeuralForecaster
from gridcast.modules.convolutional import ConvEncoder, Upsampler
from gridcast.modules.dense import (
    DenseCombiner,
    DenseEmitter,
    DenseEncoder,
    DenseTransition,
    Patterns,
    fit_patterns,
)
from gridcast.modules.markov import MarkovModule, Objective
from gridcast.modules.recurrent import DenseLSTM
from gridcast.training.data import TrainingData
from gridcast.training.spec import ModuleSpec


class DMMForecaster(NeuralForecaster):
    """Deep Markov model (Krishnan, Shalit and Sontag, AAAI 2017) of gridded series, as in Halim and Kawamoto 2020.

    The fields go through a convolutional encoder and a dense layer into a latent **vector**; deconvolutions bring it
    back. It describes a whole grid with few numbers, so it suits large-scale patterns rather than local detail, and one
    grid size.

    With `residual` the latent holds the amplitudes of the leading patterns of the training series (empirical orthogonal
    functions), and the untrained model is a linear inverse model of them.

    The parameters that it shares with the other neural forecasters (windows, training, scaling, device) are described
    in `gridcast.forecasters.NeuralForecaster`. With the paper's settings:
    ``DMMForecaster(**presets.paper("dmm", "heat"))``.

    Parameters
    ----------
    encoder_channels : (int, int), default=(32, 64)
        Channels of the encoder's two convolutions.
    encoder_features : int, default=256
        Units of the dense layer behind them.
    rnn_channels : int, default=128
        Units of the LSTM and the combiner.
    latent_channels : int, default=50
        Size of the latent vector.
    transition_channels : int, default=64
        Hidden units of the gated transition.
    emitter_channels : (int, int), default=(64, 32)
        Channels of the emitter's dense layer and first deconvolution.
    kernel_size : int, default=3
        Odd.
    downsampling : {1, 2, 4}, default=4
        Of the encoder's convolutions.
    posterior : {"filter", "forward", "backward", "bidirectional", "mean_field"}, default="filter"
        Factorisation of the posterior; the paper's is ``"backward"``.
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
        Batch normalisation in the encoder's convolutions and the emitter.

    Examples
    --------
    >>> import gridcast as gc
    >>> heat = gc.datasets.make_heat(2, n_windows=2, window=12, shape=(16, 16), random_state=0)
    >>> model = gc.DMMForecaster(window=12, context=6, max_epochs=1, random_state=0, verbose=0).fit(heat)
    >>> model.predict(3).sizes["time"]
    3

    See Also
    --------
    CNMMForecaster : the same model with latent fields.
    """

    _learns_from_patches = False

    def __init__(
        self,
        *,
        encoder_channels: Sequence[int] = (32, 64),
        encoder_features: int = 256,
        rnn_channels: int = 128,
        latent_channels: int = 50,
        transition_channels: int = 64,
        emitter_channels: Sequence[int] = (64, 32),
        kernel_size: int = 3,
        downsampling: Literal[1, 2, 4] = 4,
        posterior: str = "filter",
        kl: Literal["analytic", "monte_carlo"] = "analytic",
        annealing: tuple[float, float] = (1.0, 0.0),
        forecast_weight: float = 1.0,
        forecast_steps: int = 10,
        head: Literal["linear", "tanh"] = "linear",
        batch_norm: bool = False,
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
        self.encoder_features = encoder_features
        self.rnn_channels = rnn_channels
        self.latent_channels = latent_channels
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

    @property
    def _annealing(self) -> tuple[float, float]:
        return self.annealing

    def _check_architecture(self) -> None:
        if self.patch_size is not None:
            raise ValueError(
                f"patch_size={self.patch_size!r}: the latent vector of a DMM describes the whole grid; "
                "leave patch_size=None, or use CNMMForecaster"
            )

    def _build_module(self, spec: ModuleSpec) -> nn.Module:
        paper, n_channels, n_latent = self.architecture == "paper", spec.shape[0], self.latent_channels
        frames, clock, periodic = spec.frames(DOWNSAMPLING), spec.clock(), spec.periodic
        n_clock = clock.n_channels if clock else 0
        rows, columns = (-(-size // DOWNSAMPLING) * DOWNSAMPLING for size in spec.shape[1:])
        latent_grid = (rows // DOWNSAMPLING, columns // DOWNSAMPLING)
        n_flat = self.encoder_channels[-1] * latent_grid[0] * latent_grid[1]
        convolutions = ConvEncoder(
            frames.n_inputs(n_channels), self.encoder_channels, KERNEL_SIZE, downsampling=DOWNSAMPLING, periodic=periodic
        )
        upsampler = Upsampler(
            self.emitter_channels,
            n_channels,
            KERNEL_SIZE,
            downsampling=DOWNSAMPLING,
            head="tanh" if paper else "linear",
            periodic=periodic,
        )
        patterns = None if paper else Patterns(n_latent, (n_channels, rows, columns))
        return MarkovModule(
            encoder=DenseEncoder(convolutions, n_flat, self.encoder_features),
            rnn=DenseLSTM(self.encoder_features, self.rnn_channels, reverse=paper),
            combiner=DenseCombiner(n_latent, self.rnn_channels, n_clock=n_clock, patterns=patterns),
            transition=DenseTransition(n_latent, self.transition_channels, n_clock=n_clock, patterns=patterns),
            emitter=DenseEmitter(n_latent, (self.emitter_channels[0], *latent_grid), upsampler, patterns=patterns),
            start=torch.zeros(n_latent),
            frames=frames,
            skip=patterns,
            free_start=not paper,
            filtering=not paper,
            clock=clock,
            objective=PAPER_OBJECTIVE if paper else Objective(),
        )

    def _fit_start(self, module: Any, data: TrainingData) -> None:
        if module.skip is not None:
            fit_patterns(module.skip, [module.frames.pad(run) for run in data.runs(2)])
