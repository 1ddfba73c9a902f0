"""Quantiles of an ensemble."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from gridcast.data.grid import CF, SAMPLE, TIME, has_channels
from gridcast.data.recalibration import Recalibration, read_quantiles


def check_levels(q: Any) -> np.ndarray:
    """Return the probabilities `q` as an array; raise a ValueError unless they are between 0 and 1."""
    try:
        levels = np.atleast_1d(np.asarray(q, dtype=float))
    except (TypeError, ValueError):
        levels = np.empty(0)
    if levels.ndim != 1 or not levels.size or not ((levels > 0) & (levels < 1)).all():
        raise ValueError(
            f"q={q!r} must be probabilities between 0 and 1, without both; the smallest and the largest member are "
            'predict_samples(...).min("member") and max("member")'
        )
    return levels


def quantiles(
    samples: xr.DataArray, levels: np.ndarray, recalibration: Recalibration, closed: np.ndarray, mode: str
) -> xr.DataArray:
    """Return recalibrated quantiles over ``member``, as the first dimension ``quantile``, in the type of `samples`.

    Parameters
    ----------
    samples : DataArray, ([sample,] time, [channel,] y, x) and ``member``
    levels : ndarray, (level,)
    recalibration : Recalibration
    closed : ndarray of bool, (2, channel)
        As in `read_quantiles`.
    mode : {"multi_step", "one_step"}
        All steps of the latter have the lead 1.
    """
    samples = samples.transpose("member", ...)
    values = samples.values if SAMPLE in samples.dims else samples.values[:, None]
    values = values if has_channels(samples) else values[..., None, :, :]
    leads = np.arange(1, samples.sizes[TIME] + 1) if mode == "multi_step" else np.ones(samples.sizes[TIME], dtype=int)
    found = read_quantiles(values, recalibration.read(levels, leads), closed)
    one = samples.isel(member=0, drop=True)
    out = one.expand_dims({"quantile": levels}).copy(data=found.reshape(len(levels), *one.shape))
    out["quantile"].attrs.update(CF["quantile"])
    return out
