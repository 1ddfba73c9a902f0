"""Quantiles of an ensemble."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from gridcast.data.grid import CF


def check_levels(q: Any) -> np.ndarray:
    """Return the probabilities `q` as an array; raise a ValueError unless they are between 0 and 1."""
    levels = np.atleast_1d(np.asarray(q, dtype=float))
    if levels.ndim != 1 or not levels.size or not ((levels >= 0) & (levels <= 1)).all():
        raise ValueError(f"q={q!r} must be probabilities between 0 and 1")
    return levels


def quantiles(samples: xr.DataArray, levels: np.ndarray) -> xr.DataArray:
    """Return the quantiles over ``member``, as the first dimension ``quantile``, in the type of `samples`."""
    found = samples.quantile(levels, dim="member", keep_attrs=True, skipna=False).astype(samples.dtype)
    found["quantile"].attrs.update(CF["quantile"])
    return found
