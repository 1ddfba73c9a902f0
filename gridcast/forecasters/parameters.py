"""Checks of the parameters that the neural forecasters share."""

from __future__ import annotations

import numbers
from typing import Any

from sklearn.utils._param_validation import InvalidParameterError

from gridcast.data.checks import check_positive_integer
from gridcast.data.covariates import check_time_features
from gridcast.training.callbacks import check_callbacks
from gridcast.training.checkpoints import check_checkpoint_every


def check_training_parameters(forecaster: Any) -> None:
    """Raise a ValueError that names the first parameter with an impossible value."""
    for name in ("window", "context", "stride", "batch_size", "max_epochs", "buffer_bytes"):
        check_positive_integer(name, getattr(forecaster, name))
    if forecaster.window < 2:
        raise ValueError(f"window={forecaster.window!r} must be at least 2")
    for name in ("patch_size", "max_steps"):
        if getattr(forecaster, name) is not None:
            check_positive_integer(name, getattr(forecaster, name))
    for name in ("validation_fraction", "learning_rate", "observation_noise", "gradient_clip"):
        value = getattr(forecaster, name)
        if not isinstance(value, numbers.Real) and not (name == "gradient_clip" and value is None):
            raise InvalidParameterError(f"{name}={value!r} must be a number")
    if not callable(getattr(forecaster.transformer, "inverse_transform", None)):
        raise InvalidParameterError(
            f"transformer={forecaster.transformer!r} has no inverse_transform: use gridcast.MinMaxTransformer()"
        )
    if not 0 <= forecaster.validation_fraction < 1:
        raise ValueError(f"validation_fraction={forecaster.validation_fraction!r} must be at least 0 and below 1")
    if not forecaster.learning_rate > 0:
        raise ValueError(f"learning_rate={forecaster.learning_rate!r} must be positive")
    if not forecaster.observation_noise >= 0:
        raise ValueError(f"observation_noise={forecaster.observation_noise!r} must not be negative")
    if forecaster.learning_rate_schedule not in ("one_cycle", "constant"):
        raise ValueError(f'learning_rate_schedule={forecaster.learning_rate_schedule!r}: use "one_cycle" or "constant"')
    if forecaster.downsampling not in (1, 2, 4):
        raise ValueError(f"downsampling={forecaster.downsampling!r} must be 1, 2 or 4")
    if forecaster.kernel_size % 2 != 1:
        raise ValueError(f"kernel_size={forecaster.kernel_size!r} must be odd")
    check_checkpoint_every(forecaster.checkpoint_every)
    check_time_features(forecaster.time_features)
    check_callbacks(forecaster.callbacks)
