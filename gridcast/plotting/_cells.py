"""Where the borders of a grid's cells lie."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from gridcast.data.cells import corner_points
from gridcast.data.geography import is_named

Borders = NDArray[np.float64]


def edges(data: xr.DataArray, dim: Hashable) -> Borders:
    """Return the borders of the cells along `dim`, counted where its labels are no monotonic numbers.

    Longitudes may pass the date line, 0 ... 180, -179 ... -1.
    """
    size, centres = data.sizes[dim], np.arange(data.sizes[dim], dtype=float)
    steps = np.ones(max(size - 1, 1))
    if size > 1 and (numbers := ascending(data[dim])) is not None:
        centres, steps = numbers, np.diff(numbers)
    half = np.append(steps, steps[-1])[:size] / 2.0
    return np.append(centres[0] - half[0], centres + half)


def ascending(labels: xr.DataArray) -> Borders | None:
    """Return numeric labels that rise or fall all along, longitudes beyond the date line where need be; else None."""
    if labels.dtype.kind not in "iuf":
        return None
    numbers = labels.values.astype(float)
    ways = (numbers, np.unwrap(numbers, period=360.0)) if is_named(labels, "longitude") else (numbers,)
    return next((way for way in ways if abs(np.sign(np.diff(way)).sum()) == len(way) - 1), None)


def corners(latitude: Borders, longitude: Borders) -> tuple[Borders, Borders]:
    """Return latitude and longitude of the corners of cells, (y + 1, x + 1), from their centres, (y, x)."""
    x, y, z = corner_points(latitude, longitude)
    return np.rad2deg(np.arctan2(z, np.hypot(x, y))), _unwrapped(np.rad2deg(np.arctan2(y, x)))


def is_plane(longitude: Borders) -> bool:
    """Return whether the corners can be drawn over plain degrees: no cell goes around the globe or over a pole."""
    return all(bool((abs(np.diff(longitude, axis=axis)) < 180.0).all()) for axis in (0, 1))


def _unwrapped(longitude: Borders) -> Borders:
    """Return rows without jumps at the date line, each beginning near the one before, the middle of all within 180."""
    rows = np.unwrap(longitude, axis=1, period=360.0)
    first = np.unwrap(rows[:, 0], period=360.0)
    rows += (first - rows[:, 0])[:, None]
    return rows - 360.0 * np.round((rows.min() + rows.max()) / 720.0)
