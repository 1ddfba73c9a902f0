"""The vanilla deep Markov model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from gridcast.data.parameters import channels, parameter, whole
from gridcast.forecasters.decisions import combination
from gridcast.forecasters.markov import DOWNSAMPLING, KERNEL_SIZE, PAPER_OBJECTIVE
from gridcast.forecasters.neural import NeuralForecaster
from gridcast.forecasters.registry import forecaster
from gridcast.modules.convolutional import ConvEncoder, Upsampler
from gridcast.modules.dense import (
    DenseCombiner,
    DenseEmitter,
    DenseEncoder,
    DenseTransition,
    Patterns,
    fit_patterns,
)
from gridcast.modules.markov import MarkovModule
from gridcast.modules.objective import Objective
from gridcast.modules.recurrent import DenseLSTM
from gridcast.training.data import TrainingData
from gridcast.training.spec import ModuleSpec


@forecaster
class DMMForecaster(NeuralForecaster):
    """Deep Markov model (Krishnan, Shalit and Sontag, AAAI 2017) of gridded series, as in Halim and Kawamoto 2020.

    The fields go through a convolutional encoder and a dense layer into a latent **vector**; deconvolutions bring it
    back. It describes a whole grid with few numbers, so it suits large-scale patterns rather than local detail, and one
    grid size.

    In the residual architecture the latent holds the amplitudes of the leading patterns of the training series
    (empirical orthogonal functions), and the untrained model is a linear inverse model of them.

    With the paper's settings: ``DMMForecaster(**presets.paper("dmm", "heat"))``.

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

    encoder_channels: Sequence[int] = parameter(
        channels, "(int, int)", "Channels of the encoder's two convolutions.", default=(32, 64)
    )
    encoder_features: int = parameter(whole(), "int", "Units of the dense layer behind them.", default=256)
    rnn_channels: int = parameter(whole(), "int", "Units of the LSTM and the combiner.", default=128)
    latent_channels: int = parameter(whole(), "int", "Size of the latent vector.", default=50)
    transition_channels: int = parameter(whole(), "int", "Hidden units of the gated transition.", default=64)
    emitter_channels: Sequence[int] = parameter(
        channels, "(int, int)", "Channels of the emitter's dense layer and first deconvolution.", default=(64, 32)
    )

    _learns_from_patches = False

    def _build_module(self, spec: ModuleSpec) -> nn.Module:
        paper, n_channels, n_latent = self.architecture == "paper", spec.shape[0], self.latent_channels
        frames, clock, periodic = spec.frames(DOWNSAMPLING), spec.clock(), spec.periodic
        n_clock = clock.n_channels if clock else 0
        rows, columns = (-(-size // DOWNSAMPLING) * DOWNSAMPLING for size in spec.shape[1:])
        latent_grid = (rows // DOWNSAMPLING, columns // DOWNSAMPLING)
        n_flat = self.encoder_channels[-1] * latent_grid[0] * latent_grid[1]  # what the encoder leaves, flattened
        convolutions = ConvEncoder(
            frames.n_inputs(n_channels),
            self.encoder_channels,
            KERNEL_SIZE,
            downsampling=DOWNSAMPLING,
            periodic=periodic,
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
            # forward otherwise: a filter sees the past alone
            rnn=DenseLSTM(self.encoder_features, self.rnn_channels, reverse=paper),
            combiner=DenseCombiner(n_latent, self.rnn_channels, n_clock=n_clock, patterns=patterns),
            transition=DenseTransition(n_latent, self.transition_channels, n_clock=n_clock, patterns=patterns),
            emitter=DenseEmitter(n_latent, (self.emitter_channels[0], *latent_grid), upsampler, patterns=patterns),
            start=torch.zeros(n_latent),
            frames=frames,
            skip=patterns,  # the observed amplitudes
            free_start=not paper,
            filtering=not paper,
            clock=clock,
            objective=PAPER_OBJECTIVE if paper else Objective(),
            combination=None if paper else combination(spec, self._n_lags(), self.horizon, patches=False),
        )

    def _fit_start(self, module: Any, data: TrainingData) -> None:
        if module.skip is not None:
            # runs of two steps at least: the linear model needs pairs
            fit_patterns(module.skip, [module.frames.pad(run) for run in data.runs(2)])
