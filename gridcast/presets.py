"""The paper's settings by name: Tables 3 and 4 of Halim and Kawamoto (Sensors 2020, 20, 4195)."""

from __future__ import annotations

from typing import Any, Literal

from gridcast.training.settings import Training
from gridcast.transformers.minmax import MinMaxTransformer

__all__ = ["paper"]

_DATA_RANGE = {"heat": (0, 1000), "cmap": (0, 80)}

_SHARED: dict[str, Any] = {
    "architecture": "paper",
    "window": 30,
    "context": 10,
    "max_steps": None,
    "batch_size": 16,
    "climatology": None,
    "bounded": False,
    "periodic": (),
}

_CONVLSTM: dict[str, Any] = {"context": 20, "rnn_channels": 64, "n_states": 10, "learning_rate": 1e-3}

_DMM: dict[str, Any] = {
    "encoder_channels": (32, 64),
    "encoder_features": 256,
    "rnn_channels": 128,
    "latent_channels": 50,
    "transition_channels": 64,
    "emitter_channels": (64, 32),
    "learning_rate": 1e-4,
    "max_epochs": 150,
}

_CNMM = {
    "heat": {
        "encoder_channels": (32, 64),
        "rnn_channels": 64,
        "latent_channels": 64,
        "transition_channels": 64,
        "emitter_channels": (32, 16),
        "learning_rate": 5e-5,
        "max_epochs": 300,
    },
    "cmap": {
        "encoder_channels": (32, 64),
        "rnn_channels": 16,
        "latent_channels": 16,
        "transition_channels": 16,
        "emitter_channels": (16, 8),
        "learning_rate": 1e-4,
        "max_epochs": 150,
    },
}


def paper(model: Literal["convlstm", "dmm", "cnmm"], experiment: Literal["heat", "cmap"]) -> dict[str, Any]:
    """Return the parameters with which the paper trained a model.

    Parameters
    ----------
    model : {"convlstm", "dmm", "cnmm"}
    experiment : {"heat", "cmap"}
        2D heat equation (0 to 1000 K) or CMAP pentads (0 to 80 mm/day).

    Returns
    -------
    dict
        Keyword arguments of the forecaster.

    Raises
    ------
    ValueError
        If there is no such model or experiment.

    Examples
    --------
    >>> import gridcast as gc
    >>> gc.CNMMForecaster(**gc.presets.paper("cnmm", "cmap")).latent_channels
    16
    """
    if model not in ("convlstm", "dmm", "cnmm") or experiment not in _DATA_RANGE:
        raise ValueError(
            f"the paper has no settings for model={model!r} on experiment={experiment!r}: "
            'use "convlstm", "dmm" or "cnmm" on "heat" or "cmap"'
        )
    parameters = dict(
        _SHARED,
        transformer=MinMaxTransformer(data_range=_DATA_RANGE[experiment]),
        training=Training(
            schedule="constant",
            observation_noise=0.0,
            gradient_clip=None if model == "convlstm" else 10.0,
            precision="32",
        ),
    )
    if model == "convlstm":
        return parameters | _CONVLSTM | {"max_epochs": 100 if experiment == "heat" else 150}
    return parameters | (_DMM if model == "dmm" else _CNMM[experiment])
