"""Weights of an average over cells: by their area where there is a latitude."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator
from typing import Literal, TypeAlias

import numpy as np
from xarray import DataArray

from gridcast.data.geography import is_named

Weights: TypeAlias = DataArray | Literal["auto"] | None


def latitude_weights(data: DataArray) -> DataArray:
    """
    Weights proportional to the area of a cell, the cosine of latitude.

    The metrics take them by default, ``weights="auto"``, where they average along a latitude: a coordinate of that
    name, standard name or units. One that runs along a dimension, monotonically, gives the areas of a regular grid, as
    the ``grid_latitude`` of a rotated pole does for its own. Else a latitude over several dimensions is taken, of a
    curvilinear grid or a swath: an approximation, for such cells narrow towards the poles by other rules, and those of
    a Lambert or a stereographic projection hardly at all. There a coordinate with the standard name ``cell_area`` is
    better, which ``"auto"`` takes before any latitude, or weights of your own. The latitudes of stations are none, for
    a station has no area.

    Parameters
    ----------
    data : DataArray
        Data with a coordinate named ``lat`` or ``latitude``, of that standard name, or with units ``degrees_north``.

    Returns
    -------
    DataArray
        Weights between 0 and 1 along the dimensions of the latitude coordinate, not normalised; 0 where a cell of a
        curvilinear grid has no latitude.

    Raises
    ------
    ValueError
        If no coordinate is recognised as a latitude, or if it is not within 90 degrees of the equator.

    Examples
    --------
    >>> from xarray import DataArray
    >>> latitude_weights(DataArray([1.0, 2.0, 3.0], coords={"lat": [0, 60, 90]})).values.round(12)
    array([1. , 0.5, 0. ])
    """
    latitude = min(_latitudes(data), key=lambda x: x.ndim, default=None)
    if latitude is None:
        raise ValueError(
            f"no latitude among the coordinates {list(data.coords)}: name one of them 'lat' or 'latitude', "
            "or give it the attribute units='degrees_north'"
        )
    if latitude.dtype.kind not in "iuf" or bool((abs(latitude) > 90.0).any()):
        raise ValueError(f"coordinate {latitude.name!r} is not a latitude between -90 and 90 degrees")
    return _cosine(latitude)


def resolve_weights(weights: Weights, dims: Collection[Hashable], *arrays: DataArray) -> DataArray | None:
    """Return the weights of an average over `dims`; ``"auto"`` finds the areas or a latitude of `arrays` along them.

    Raises
    ------
    ValueError
        If `weights` is another text than ``"auto"``.
    """
    if isinstance(weights, DataArray) or weights is None:
        return weights
    if weights != "auto":
        raise ValueError(f'weights={weights!r} is unknown: use "auto", None or a DataArray')
    coordinates = [c for array in arrays for c in array.coords.values()]
    for c in coordinates:
        if c.attrs.get("standard_name") == "cell_area" and not set(dims).isdisjoint(c.dims):
            return c.reset_coords(drop=True).astype("float64").fillna(0.0)
    latitudes = [x for array in arrays for x in _latitudes(array) if _is_of_cells(x)]
    rows = [x for x in latitudes if x.ndim == 1]  # of rows the cosine is the area
    return next((_cosine(x) for x in rows or latitudes if not set(dims).isdisjoint(x.dims)), None)


def _latitudes(data: DataArray) -> Iterator[DataArray]:
    for coordinate in data.coords.values():
        of_a_rotated_pole = coordinate.name == "rlat" or coordinate.attrs.get("standard_name") == "grid_latitude"
        if of_a_rotated_pole or is_named(coordinate, "latitude"):
            yield coordinate


def _is_of_cells(latitude: DataArray) -> bool:
    if latitude.ndim == 0 or latitude.dtype.kind not in "iuf":
        return False
    values = latitude.values.astype("float64")
    if latitude.ndim > 1:
        return not (abs(values) > 90.0).any() and bool((values == values).any())
    steps = np.diff(values)
    return bool((abs(values) <= 90.0).all() and ((steps > 0.0).all() or (steps < 0.0).all()))


def _cosine(latitude: DataArray) -> DataArray:
    # In float32 the cosine of a pole rounds below zero, and a negative weight is an error.
    latitude = latitude.reset_coords(drop=True).astype("float64")
    cosine = latitude.copy(data=np.nan_to_num(np.cos(np.deg2rad(latitude.values))))
    return cosine.rename("latitude_weights").drop_attrs().assign_attrs(units="1")
