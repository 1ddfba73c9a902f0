"""How far a forecast goes: a number of steps, or a duration that is one."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pandas as pd

from gridcast.data.calendars import Calendar
from gridcast.data.checks import check_positive_integer

FORECAST_LIMIT = 2**33  # bytes of a forecast


def is_horizon(value: Any) -> bool:
    """Return whether `value` is a horizon and no series: a number, or a duration."""
    return np.isscalar(value) or isinstance(value, datetime.timedelta) or getattr(value, "shape", None) == ()


def resolve_horizon(value: Any, calendar: Calendar) -> int:
    """Return a horizon as a number of steps.

    Raises
    ------
    TypeError, ValueError
        If it is neither a positive integer nor a duration of a whole number of steps.
    """
    if isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype.kind != "O":
        value = value[()]
    if not isinstance(value, datetime.timedelta | np.timedelta64):
        return check_positive_integer("horizon", value)
    duration = pd.Timedelta(value)
    if calendar.kind not in ("equal", "noleap") or calendar.axis == "number":
        raise ValueError(
            f"horizon={duration} is a duration, but a step of X, {calendar}, is not always as long: give the number of "
            "steps, horizon=12"
        )
    steps = duration / pd.Timedelta(microseconds=int(calendar.step))
    if steps < 1 or steps != round(steps):
        raise ValueError(
            f"horizon={duration} is {steps:g} steps of {calendar}: give a whole number of steps, "
            f"horizon={max(1, int(steps))}"
        )
    return round(steps)


def check_size(n_bytes: int, horizon: int, n_samples: int | None, further: str = "") -> None:
    """Raise a ValueError for a forecast of more than `FORECAST_LIMIT` bytes; `further` is another way out."""
    if n_bytes > FORECAST_LIMIT:
        drawn = "" if n_samples is None else f" and n_samples={n_samples}"
        raise ValueError(
            f"horizon={horizon}{drawn} make a forecast of {n_bytes / 2**30:.0f} GiB, more than "
            f"{FORECAST_LIMIT / 2**30:.0f}: forecast fewer steps{' or members' if drawn else ''} at a time{further}"
        )
