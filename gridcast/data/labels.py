"""Which labels and notes of a series its forecasts may carry."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

# Dimensions that a forecast adds
RESERVED = ("member", "quantile", "init_time", "lead_time")
# What is true of other values of the quantity too: conventions of Climate and Forecast, and the usual notes on origin
MEANING = (
    "units", "standard_name", "long_name", "short_name", "cell_methods", "cell_measures", "grid_mapping", "positive",
    "axis", "title", "description", "comment", "note", "source", "institution", "references", "license",
    "project", "product", "platform", "sensor", "instrument", "model", "experiment", "dataset", "var_desc",
    "level_desc", "Conventions", "crs", "GRIB_paramId", "GRIB_shortName", "GRIB_name", "GRIB_units", "GRIB_cfName",
    "GRIB_cfVarName", "GRIB_typeOfLevel", "GRIB_stepType",
)  # fmt: skip
SINGLE, CELL_SHARE = 4 * float(np.finfo(np.float32).eps), 1e-3  # of a label, of the step to the next: rounding
N_LOOKS = 5  # steps at which a coordinate over time is looked at; it may be as large as the series


def of_any(attributes: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return what attributes say of other values too.

    Left out is what describes the stored numbers (packing, valid ranges, marks of missing values, checksums), whose
    readers would mask or rescale a forecast, and what summarises the values of a file (actual ranges, statistics).
    """
    return {name: value for name, value in attributes.items() if name in MEANING}


def check_names(X: xr.DataArray) -> None:
    """Raise a ValueError for a dimension with the name of one that forecasts add."""
    for name in RESERVED:
        if name in X.dims:
            raise ValueError(f"X has the dimension {name!r}, as forecasts have: rename it, X.rename({name}='channel')")


def constant_labels(X: xr.DataArray, time: str, sample: str) -> dict[Hashable, xr.DataArray]:
    """Return the coordinates of a field: those that do not depend on sample and time, or do not change in time.

    Leftovers of a selection from forecasts, such as a scalar ``member``, are dropped: a forecast has its own.
    """
    kept = {}
    for name, coordinate in X.coords.items():
        if name in RESERVED or name in (time, *((sample,) if sample in X.dims else ())):
            continue
        # bare: coordinates of coordinates follow by themselves
        bare = coordinate.drop_vars([c for c in coordinate.coords if c != name and c not in coordinate.dims])
        if time in bare.dims and sample not in bare.dims and bare.ndim > 1:
            bare = _first_if_constant(bare, time)
        if not {time, sample} & set(bare.dims):
            kept[name] = bare
    return kept


def _first_if_constant(coordinate: xr.DataArray, time: str) -> xr.DataArray:
    looks = np.unique(np.linspace(0, coordinate.sizes[time] - 1, N_LOOKS).astype(int))
    seen = coordinate.isel({time: looks}).load()
    first = seen.isel({time: 0}, drop=True)
    # as WRF repeats its latitudes at every step
    return first if all(first.equals(seen.isel({time: i}, drop=True)) for i in range(1, len(looks))) else coordinate


def same_labels(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Whether two coordinates are alike, but for their precision; what is missing in both at a place is alike."""
    if ours.shape != theirs.shape:
        return False
    # ocean models and swaths leave the latitudes of cells that they do not have out
    both_missing = pd.isna(ours) & pd.isna(theirs)
    if ours.dtype.kind not in "fiu" or theirs.dtype.kind not in "fiu":
        return bool(((ours == theirs) | both_missing).all())
    ours, theirs = ours.astype(float), theirs.astype(float)
    steps = np.concatenate([np.abs(np.diff(ours, axis=axis)).ravel() for axis in range(ours.ndim)] or [np.zeros(0)])
    steps = steps[steps > 0]
    # the same grid in float32 and float64, or as text has rounded it; of metres to the equator a pixel is a small part
    tolerance = SINGLE * np.abs(ours) + (CELL_SHARE * np.median(steps) if len(steps) else 0.0)
    return bool(((np.abs(ours - theirs) <= tolerance) | both_missing).all())


def from_to(labels: np.ndarray) -> str:
    """Return the first and the last label that is not missing, for a message."""
    known = labels[~pd.isna(labels)]
    return f"{known[0]} to {known[-1]}" if known.size else "none"


def same_samples(ours: xr.DataArray | None, theirs: xr.DataArray | None) -> bool:
    """Whether the labels of samples, where both have some, are the same in the same order."""
    if ours is None or theirs is None or ours.name not in ours.coords or theirs.name not in theirs.coords:
        return True
    return np.array_equal(ours.values, theirs.values)
