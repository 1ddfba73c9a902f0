"""Small forecasters that train in a second, with every part in them."""

import gridcast as gc

TRAINING = {
    "window": 8,
    "context": 4,
    "horizon": 4,
    "max_epochs": 1,
    "batch_size": 8,
    "random_state": 0,
    "device": "cpu",
    "verbose": 0,
}
MARKOV = {
    "encoder_channels": (4, 4),
    "emitter_channels": (4, 4),
    "rnn_channels": 8,
    "transition_channels": 4,
    "latent_channels": 4,
}
SMALL = {
    "linear": (gc.LinearForecaster, {"lags": 2, "context": 4, "horizon": 4, "random_state": 0, "device": "cpu"}),
    "cnmm": (gc.CNMMForecaster, {"lags": 2, **MARKOV, **TRAINING}),
    "dmm": (gc.DMMForecaster, {"encoder_features": 8, **MARKOV, **TRAINING}),
    "convlstm": (gc.ConvLSTMForecaster, {"rnn_channels": 4, "n_states": 2, **TRAINING}),
}
NEURAL = [name for name in SMALL if name != "linear"]
SETTINGS = gc.Training().get_params()


def small(name, **parameters):
    """Return a small, untrained forecaster; `parameters` come before those that make it small.

    Those of `gridcast.Training` may stand among them.
    """
    forecaster, defaults = SMALL[name]
    settings = {key: parameters.pop(key) for key in list(parameters) if key in SETTINGS}
    if settings:
        parameters["training"] = gc.Training(**settings)
    return forecaster(**defaults | parameters)
