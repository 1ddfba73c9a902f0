"""The convolutional neural Markov model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import nn

from gridcast.forecasters._markov import check_markov_parameters
from gridcast.forecasters._neural import DEFAULT_TRANSFORMER, ModuleSpec, NeuralForecaster
from gridcast.modules.convolutional import ConvCombiner, ConvEmitter, ConvEncoder, ConvLocator, ConvTransition
from gridcast.modules.markov import MarkovModule, Objective
from gridcast.modules.recurrent import ConvLSTM, Recurrence

N_LOCATION = 16


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
    latent_channels : int, default=48
        Channels of the latent field. With `residual` at least ``channels * downsampling ** 2``, so that a frame fits.
    transition_channels : int, default=48
        Hidden channels of the gated transition.
    emitter_channels : (int, int), default=(32, 16)
        Channels of the emitter's convolution and first deconvolution.
    kernel_size : int, default=3
        Odd.
    downsampling : {1, 2, 4}, default=4
        Cells per latent cell and side: 4 is the paper's bottleneck, 1 its size-preserving variant.
    posterior : {"forward", "backward", "bidirectional", "mean_field"}, default="forward"
        Factorisation of the posterior; the paper's is ``"backward"``. See `gridcast.modules.recurrent.Recurrence`.
    kl : {"analytic", "monte_carlo"}, default="analytic"
        Per-step analytic divergence, or the paper's Monte-Carlo estimate.
    annealing : (float, float), default=(0.2, 0.5)
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
        latent_channels: int = 48,
        transition_channels: int = 48,
        emitter_channels: Sequence[int] = (32, 16),
        kernel_size: int = 3,
        downsampling: Literal[1, 2, 4] = 4,
        posterior: str = "forward",
        kl: Literal["analytic", "monte_carlo"] = "analytic",
        annealing: tuple[float, float] = (0.2, 0.5),
        forecast_weight: float = 1.0,
        forecast_steps: int = 10,
        head: Literal["linear", "tanh"] = "linear",
        batch_norm: bool = False,
        initial_state: Literal["channel", "cell"] = "channel",
        window: int = 30,
        context: int = 10,
        stride: int = 1,
        batch_size: int = 16,
        max_epochs: int = 30,
        learning_rate: float = 1e-3,
        learning_rate_schedule: str = "one_cycle",
        gradient_clip: float | None = 1.0,
        validation_fraction: float = 0.1,
        patience: int | None = None,
        patch_size: int | None = None,
        location_features: bool = True,
        residual: bool = True,
        precision: str = "32",
        device: str = "auto",
        strategy: str = "auto",
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
            learning_rate=learning_rate,
            learning_rate_schedule=learning_rate_schedule,
            gradient_clip=gradient_clip,
            validation_fraction=validation_fraction,
            patience=patience,
            patch_size=patch_size,
            location_features=location_features,
            residual=residual,
            precision=precision,
            device=device,
            strategy=strategy,
            transformer=transformer,
            longitude=longitude,
            random_state=random_state,
            verbose=verbose,
        )
        self.encoder_channels = encoder_channels
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
        self.initial_state = initial_state

    @property
    def _annealing(self) -> tuple[float, float]:
        return self.annealing

    def _check_architecture(self) -> None:
        check_markov_parameters(self)

    def _build_module(self, spec: ModuleSpec) -> nn.Module:
        n_channels, rows, columns = spec.shape
        factor, kernel, n_latent = self.downsampling, self.kernel_size, self.latent_channels
        frames = spec.frames(factor)
        folded = n_channels * factor**2 if self.residual else 0
        n_location = N_LOCATION if frames.n_static else 0
        per_cell = self.initial_state == "cell"
        state_shape = (-(-rows // factor), -(-columns // factor)) if per_cell else (1, 1)
        common = {"batch_norm": self.batch_norm, "periodic": spec.periodic}

        def recurrence(reverse: bool) -> ConvLSTM:
            n_in = self.encoder_channels[-1]
            return ConvLSTM(
                n_in, self.rnn_channels, kernel, reverse=reverse, state_shape=state_shape, periodic=spec.periodic
            )

        return MarkovModule(
            encoder=ConvEncoder(
                frames.n_inputs(n_channels), self.encoder_channels, kernel, downsampling=factor, **common
            ),
            rnn=Recurrence([recurrence(reverse) for reverse in Recurrence.directions[self.posterior]]),
            combiner=ConvCombiner(
                n_latent,
                self.rnn_channels,
                kernel,
                n_skip=folded,
                use_previous=self.posterior != "mean_field",
                **common,
            ),
            transition=ConvTransition(
                n_latent,
                self.transition_channels,
                kernel,
                n_location=n_location,
                residual=self.residual,
                **common,
            ),
            emitter=ConvEmitter(
                n_latent,
                n_channels,
                self.emitter_channels,
                kernel,
                downsampling=factor,
                head=self.head,
                n_location=n_location,
                residual=self.residual,
                **common,
            ),
            start=torch.zeros(n_latent, *state_shape),
            frames=frames,
            skip=nn.PixelUnshuffle(factor) if self.residual else None,
            locator=ConvLocator(frames.n_static, N_LOCATION, downsampling=factor) if n_location else None,
            objective=Objective(self.kl, self.forecast_weight, self.forecast_steps),
        )
