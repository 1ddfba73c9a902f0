"""Thresholds that make events of values."""

from __future__ import annotations

import math
import numbers

from xarray import DataArray

from gridcast.metrics._checks import check_same_labels


def check_threshold(threshold: float | DataArray, name: str = "threshold", **data: DataArray) -> None:
    """Raise a TypeError or a ValueError if `threshold` is no finite number and no DataArray that fits `data`."""
    if isinstance(threshold, DataArray):
        check_same_labels(**data, **{name: threshold})
    elif not isinstance(threshold, numbers.Real):
        raise TypeError(f"{name} must be a number or a DataArray, not {type(threshold).__name__}")
    elif not math.isfinite(threshold):
        raise ValueError(f"{name}={threshold!r} must be finite")


def defined(threshold: float | DataArray) -> bool | DataArray:
    """Return where there is a threshold."""
    return threshold.notnull() if isinstance(threshold, DataArray) else True


def votes_and_events(
    forecast: DataArray, observed: DataArray, threshold: float | DataArray, member_dim: str
) -> tuple[DataArray, DataArray, DataArray]:
    """Return how many members show the event, whether it was observed (0 or 1), and where both are known."""
    # a comparison with NaN is False, not missing
    seen = forecast.notnull().all(member_dim) & observed.notnull() & defined(threshold)
    votes = (forecast >= threshold).sum(member_dim)
    return votes, (observed >= threshold).astype("float64"), seen
