"""The convolutional LSTM."""

from __future__ import annotations

from typing import Any, Literal

from torch import nn

from gridcast.data.checks import check_positive_integer
from gridcast.data.statistics import BUFFER_BYTES
from gridcast.forecasters.neural import DEFAULT_TRANSFORMER, NeuralForecaster
from gridcast.modules.convlstm import ConvLSTMModule
from gridcast.modules.convolutional import ConvLocator
from gridcast.training.spec import ModuleSpec

N_LOCATION = 16


class ConvLSTMForecaster(NeuralForecaster):
    """Convolutional LSTM (Shi et al., NeurIPS 2015), with the read-out of Halim and Kawamoto 2020.

    One ConvLSTM layer reads the context; its last hidden states and a 1 x 1 convolution give the next field, which is
    fed back for longer forecasts. The mean is deterministic; samples come from one learned error scale a channel, fed
    back too, so that the ensemble spreads with lead time.

    The parameters that it shares with the other neural forecasters (windows, training, scaling, device) are described
    in `gridcast.forecasters.NeuralForecaster`. With the paper's settings:
    ``ConvLSTMForecaster(**presets.paper("convlstm", "heat"))``.

    Parameters
    ----------
    rnn_channels : int, default=64
        Channels of the hidden state.
    kernel_size : int, default=3
        Odd.
    n_states : int, default=10
        Number of hidden states that a forecast sees.
    downsampling : {1, 2, 4}, default=4
        Pixels are folded into channels by this factor, as in Shi et al.; 1 is the paper's.
    teacher_forcing : bool, default=True
        Also train on the one-step forecasts inside the context, not only on those fed back behind it.
    loss : {"log_rms", "mse"}, default="log_rms"
        Mean of the logarithm of each field's root mean squared error, to which windows with and without noise and all
        leads count alike, or the mean squared error (the paper).

    Examples
    --------
    >>> import gridcast as gc
    >>> heat = gc.datasets.make_heat(2, n_windows=2, window=12, shape=(16, 16), random_state=0)
    >>> model = gc.ConvLSTMForecaster(window=12, context=6, max_epochs=1, random_state=0, verbose=0).fit(heat)
    >>> model.predict(3).sizes["time"]
    3
    """

    def __init__(
        self,
        *,
        rnn_channels: int = 64,
        kernel_size: int = 3,
        n_states: int = 10,
        downsampling: int = 4,
        teacher_forcing: bool = True,
        loss: Literal["log_rms", "mse"] = "log_rms",
        window: int = 20,
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
        self.rnn_channels = rnn_channels
        self.kernel_size = kernel_size
        self.n_states = n_states
        self.downsampling = downsampling
        self.teacher_forcing = teacher_forcing
        self.loss = loss

    @property
    def _annealing(self) -> tuple[float, float]:
        return 1.0, 0.0  # there is no divergence

    def _check_architecture(self) -> None:
        for name in ("rnn_channels", "n_states"):
            check_positive_integer(name, getattr(self, name))
        if self.loss not in ("log_rms", "mse"):
            raise ValueError(f'loss={self.loss!r} is unknown: use "log_rms" or "mse"')

    def _build_module(self, spec: ModuleSpec) -> nn.Module:
        frames = spec.frames(self.downsampling)
        n_location = N_LOCATION if frames.n_static else 0
        return ConvLSTMModule(
            spec.shape[0],
            self.rnn_channels,
            self.kernel_size,
            n_states=self.n_states,
            context=self.context,
            frames=frames,
            locator=ConvLocator(frames.n_static, N_LOCATION, downsampling=self.downsampling) if n_location else None,
            n_location=n_location,
            clock=spec.clock(),
            downsampling=self.downsampling,
            residual=self.residual,
            teacher_forcing=self.teacher_forcing,
            relative=self.loss == "log_rms",
            periodic=spec.periodic,
        )
