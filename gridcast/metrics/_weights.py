"""Weights of an average over cells: by their area where there is a latitude."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator
from typing import Literal, TypeAlias

import numpy as np
from xarray import DataArray

from gridcast.data.cells import areas
from gridcast.data.geography import is_named

Weights: TypeAlias = DataArray | Literal["auto"] | None


def latitude_weights(data: DataArray) -> DataArray:
    """
    Weights proportional to the area of a cell.

    The metrics take them by default, ``weights="auto"``, where they average along a latitude: a coordinate of that
    name, standard name or units. One that runs along a dimension, monotonically, gives the areas of a regular grid, its
    cosine, as the ``grid_latitude`` of a rotated pole does for its own. Else latitudes and longitudes over two
    dimensions, of a curvilinear grid or a swath, give the areas between the midpoints of neighbouring cells. A
    coordinate with the standard name ``cell_area`` goes before all of them where ``"auto"`` looks. The latitudes of
    stations are none, for a station has no area.

    Parameters
    ----------
    data : DataArray
        Data with a coordinate named ``lat`` or ``latitude``, of that standard name, or with units ``degrees_north``;
        over two dimensions with a longitude beside it.

    Returns
    -------
    DataArray
        Weights between 0 and 1 along the dimensions of the latitude coordinate, not normalised; 0 where a cell of a
        curvilinear grid has no position.

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
    beyond = latitude.dtype.kind not in "iuf" or bool((abs(latitude) > 90.0).any())
    # a field may lack positions, as of land; a row may not
    if beyond or (latitude.ndim < 2 and bool(latitude.isnull().any())):
        raise ValueError(f"coordinate {latitude.name!r} is not a latitude between -90 and 90 degrees")
    if latitude.ndim < 2:
        return _cosine(latitude)
    weights = _areas(latitude, data)
    if weights is None:
        raise ValueError(
            f"coordinate {latitude.name!r} over {latitude.dims} gives areas only with a longitude over the same two "
            "dimensions: name one 'lon', or give weights of your own"
        )
    return weights


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
    found = [(x, array) for array in arrays for x in _latitudes(array) if _is_of_cells(x)]
    rows = [(x, array) for x, array in found if x.ndim == 1]  # their cosine is the area, whatever else is known
    along = [(x, array) for x, array in rows or found if not set(dims).isdisjoint(x.dims)]
    ways = (_cosine(x) if x.ndim == 1 else _areas(x, array) for x, array in along)
    return next((way for way in ways if way is not None), None)


def _areas(latitude: DataArray, data: DataArray) -> DataArray | None:
    """Return the areas of the cells of a curvilinear grid, or None where it has no longitude like its latitude."""
    longitudes = (c for c in data.coords.values() if c.dtype.kind in "iuf" and is_named(c, "longitude"))
    longitude = next((c for c in longitudes if set(c.dims) == set(latitude.dims)), None)
    if longitude is None or latitude.ndim != 2 or min(latitude.shape) < 2:
        return None
    centres = (c.transpose(*latitude.dims).values.astype("float64") for c in (latitude, longitude))
    values = areas(*centres)
    plain = latitude.reset_coords(drop=True).copy(data=values / values.max())
    return plain.rename("latitude_weights").drop_attrs().assign_attrs(units="1")


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
    cosine = latitude.copy(data=np.cos(np.deg2rad(latitude.values)))
    return cosine.rename("latitude_weights").drop_attrs().assign_attrs(units="1")
