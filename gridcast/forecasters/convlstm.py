"""The convolutional LSTM."""

from __future__ import annotations

from torch import nn

from gridcast.data.parameters import parameter, whole
from gridcast.forecasters.decisions import combination
from gridcast.forecasters.markov import DOWNSAMPLING, KERNEL_SIZE
from gridcast.forecasters.neural import NeuralForecaster
from gridcast.forecasters.registry import forecaster
from gridcast.modules.convlstm import ConvLSTMModule
from gridcast.modules.convolutional import ConvLocator
from gridcast.training.spec import ModuleSpec

N_LOCATION = 16  # channels of what is known of a place


@forecaster
class ConvLSTMForecaster(NeuralForecaster):
    """Convolutional LSTM (Shi et al., NeurIPS 2015), with the read-out of Halim and Kawamoto 2020.

    One ConvLSTM layer reads the context; its last hidden states and a 1 x 1 convolution give the next field, which is
    fed back for longer forecasts. The mean is deterministic; samples come from one learned error scale a channel, fed
    back too, so that the ensemble spreads with lead time, beside noise of the linear model where held-out forecasts ask
    for it.

    With the paper's settings: ``ConvLSTMForecaster(**presets.paper("convlstm", "heat"))``.

    Examples
    --------
    >>> import gridcast as gc
    >>> heat = gc.datasets.make_heat(2, n_windows=2, window=12, shape=(16, 16), random_state=0)
    >>> model = gc.ConvLSTMForecaster(window=12, context=6, max_epochs=1, random_state=0, verbose=0).fit(heat)
    >>> model.predict(3).sizes["time"]
    3
    """

    window: int = parameter(whole(2), "int", "Steps of a training window.", default=20)
    rnn_channels: int = parameter(whole(), "int", "Channels of the hidden state.", default=64)
    n_states: int = parameter(whole(), "int", "Number of hidden states that a forecast sees.", default=10)

    def _build_module(self, spec: ModuleSpec) -> nn.Module:
        residual = self.architecture == "residual"
        factor = DOWNSAMPLING if residual else 1
        frames = spec.frames(factor)
        n_location = N_LOCATION if residual and frames.n_static else 0
        patches = self._patch(spec.shape) is not None
        return ConvLSTMModule(
            spec.shape[0],
            self.rnn_channels,
            KERNEL_SIZE,
            n_states=self.n_states,
            context=self.context,
            frames=frames,
            locator=ConvLocator(frames.n_static, N_LOCATION, downsampling=factor) if n_location else None,
            n_location=n_location,
            clock=spec.clock(),
            downsampling=factor,
            residual=residual,
            teacher_forcing=residual,
            relative=residual,
            periodic=spec.periodic,
            combination=combination(spec, self._n_lags(), self.horizon, patches=patches) if residual else None,
        )
