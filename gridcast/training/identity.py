"""What tells one training from another: parameters and data by their content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from gridcast.data.grid import Series
from gridcast.data.statistics import BUFFER_BYTES


def describe(value: Any) -> str:
    """Return what tells a parameter from another: its repr, with a digest of the values of arrays."""
    # its state moves with every draw; the seed is kept apart
    if isinstance(value, np.random.RandomState | np.random.Generator):
        return type(value).__name__
    # a repr would leave most values out
    if isinstance(value, xr.Dataset):
        return describe({name: value[name] for name in sorted(value.variables, key=str)})
    if isinstance(value, xr.DataArray):
        return f"{value.dims} {digest(value.values)}"
    if isinstance(value, np.ndarray | pd.Series | pd.Index) or hasattr(value, "__array__"):
        return digest(np.asarray(value))
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {describe(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "(" + ", ".join(map(describe, value)) + ")"
    return repr(value)


def describe_series(series: Series) -> dict[str, str]:
    """Return what tells a training series from another, by the names that a message has for it."""
    chunks = getattr(series.values, "chunks", None)
    return {
        "the shape of X": str(tuple(series.values.shape)),
        "the period of X": f"{series.times[0]} to {series.times[-1]}",
        "the coordinates of X": digest_labels(series),
        "the values of X": digest_series(series),
        # chunks decide the order of the windows, and so what a resumed training would see
        "the chunks of X": "none, in memory" if chunks is None else str(chunks[:2]),
    }


def digest(*arrays: np.ndarray) -> str:
    """Return a digest of the values of arrays."""
    found = hashlib.sha256()
    for array in arrays:
        # the same bytes in another shape are other values
        found.update(str((array.shape, array.dtype)).encode())
        # the bytes of objects are where they lie
        content = repr(array.tolist()).encode() if array.dtype == object else np.ascontiguousarray(array).tobytes()
        found.update(content)
    return _short(found)


def digest_series(series: Series, buffer_bytes: int = BUFFER_BYTES) -> str:
    """Return a digest of all values of a series, in their order, read once and block by block."""
    found = hashlib.sha256()
    step = series.values.nbytes // max(len(series), 1)
    n = max(1, buffer_bytes // max(4 * step, 1))
    for start in range(0, len(series), n):
        # time first: the digest is the same whatever the blocks are
        found.update(np.ascontiguousarray(np.moveaxis(series.load(start, min(start + n, len(series))), 1, 0)).data)
    return _short(found)


def digest_labels(series: Series) -> str:
    """Return a digest of the times of a series and of the coordinates along the dimensions of its fields."""
    coords = (series.grid.coords.get(dim) for dim in series.grid.dims)
    return digest(np.asarray(series.times), *(np.asarray(c.values) for c in coords if c is not None))


def _short(found: Any) -> str:
    return found.hexdigest()[:12]  # 48 bits: short enough for a message
