"""Thresholds that make events of values."""

from __future__ import annotations

import math
import numbers
from collections.abc import Hashable
from typing import NamedTuple

from xarray import DataArray

from gridcast.metrics._checks import Dims, check_same_labels, checked
from gridcast.metrics._weights import Weights


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


class Event(NamedTuple):
    """An event in an ensemble and in the observations.

    Parameters
    ----------
    votes, occurred, seen : DataArray
        How many members show it, whether it was observed (0 or 1), and where both are known.
    n_members : int
    dims : list
        To average over.
    weights : DataArray or None
    """

    votes: DataArray
    occurred: DataArray
    seen: DataArray
    n_members: int
    dims: list[Hashable]
    weights: DataArray | None


def event_of(
    forecast: DataArray,
    observed: DataArray,
    threshold: float | DataArray,
    dim: Dims,
    weights: Weights,
    member_dim: str,
) -> Event:
    """Check what a score of an event is given, and return the event of a value of at least `threshold`."""
    forecast, observed, dims, found = checked(forecast, observed, dim, weights, member_dim)
    check_threshold(threshold, forecast=forecast, observed=observed)
    # a comparison with NaN is False, not missing
    seen = forecast.notnull().all(member_dim) & observed.notnull() & defined(threshold)
    votes = (forecast >= threshold).sum(member_dim)
    return Event(votes, (observed >= threshold).astype("float64"), seen, forecast.sizes[member_dim], dims, found)
