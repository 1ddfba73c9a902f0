"""Checks that the two deep Markov forecasters share."""

from __future__ import annotations

from typing import Any

from gridcast.data.checks import check_positive_integer
from gridcast.modules.recurrent import Recurrence

CHOICES: dict[str, tuple[Any, ...]] = {
    "posterior": tuple(Recurrence.directions),
    "kl": ("analytic", "monte_carlo"),
    "head": ("linear", "tanh"),
    "initial_state": ("channel", "cell"),
}


def check_markov_parameters(forecaster: Any) -> None:
    """Raise a ValueError that names the first architecture parameter with an impossible value."""
    parameters = forecaster.get_params(deep=False)
    for name, choices in CHOICES.items():
        if name in parameters and parameters[name] not in choices:
            raise ValueError(f"{name}={parameters[name]!r} is unknown: use one of {choices}")
    for name in ("rnn_channels", "latent_channels", "transition_channels", "forecast_steps"):
        check_positive_integer(name, parameters[name])
    for name in ("encoder_channels", "emitter_channels"):
        if len(parameters[name]) != 2:
            raise ValueError(f"{name}={parameters[name]!r} must be the channels of two layers")
    if parameters["forecast_weight"] < 0:
        raise ValueError(f"forecast_weight={parameters['forecast_weight']!r} must not be negative")
    if "lags" in parameters:
        check_positive_integer("lags", parameters["lags"])
    if parameters["head"] == "tanh" and parameters["residual"]:
        raise ValueError('head="tanh" bounds the field itself, which with residual=True is a sum: use residual=False')
    if parameters.get("initial_state") == "cell" and parameters["patch_size"] is not None:
        raise ValueError(
            f"initial_state='cell' has one value for each cell of the grid, patch_size={parameters['patch_size']!r} "
            'trains on patches of it: use initial_state="channel"'
        )
