"""Checks of parameters that many take."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
from sklearn.utils._param_validation import InvalidParameterError


def check_positive_integer(name: str, value: Any) -> int:
    """Return `value` as an int, or raise scikit-learn's error for parameters, a TypeError and a ValueError in one."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Integral) or value < 1:
        raise InvalidParameterError(f"{name}={value!r} must be an integer of at least 1")
    return int(value)
