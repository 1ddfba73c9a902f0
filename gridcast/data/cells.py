"""Corners and areas of the cells of a curvilinear grid, from their centres on the sphere."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

Degrees = NDArray[np.float64]


def corner_points(latitude: Degrees, longitude: Degrees) -> NDArray[np.float64]:
    """Return the corners of cells as points in space, (3, y + 1, x + 1), from their centres in degrees, (y, x).

    A corner lies amid the four centres around it, so that poles and the date line need no care; beyond the border the
    grid goes on as it ends. A cell without a position takes that of the nearest one. At least two rows and columns.
    """
    missing = np.isnan(latitude) | np.isnan(longitude)
    if missing.any():
        nearest = tuple(distance_transform_edt(missing, return_distances=False, return_indices=True))
        latitude, longitude = latitude[nearest], longitude[nearest]
    phi, lam = np.deg2rad(latitude), np.deg2rad(longitude)
    points = np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)])
    for axis in (1, 2):
        points = np.moveaxis(points, axis, 0)
        points = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
        points = np.moveaxis((points[1:] + points[:-1]) / 2.0, 0, axis)
    return points


def areas(latitude: Degrees, longitude: Degrees) -> NDArray[np.float64]:
    """Return the areas of cells on the unit sphere, (y, x), from their centres; 0 where a position is missing."""
    corners = corner_points(latitude, longitude)
    corners = corners / np.linalg.norm(corners, axis=0)
    rising, falling = corners[:, 1:, 1:] - corners[:, :-1, :-1], corners[:, 1:, :-1] - corners[:, :-1, 1:]
    # of a quadrilateral, half the product of its diagonals
    area = np.linalg.norm(np.cross(rising, falling, axis=0), axis=0) / 2.0
    return np.where(np.isnan(latitude) | np.isnan(longitude), 0.0, area)
