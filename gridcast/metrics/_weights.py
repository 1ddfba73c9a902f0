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
    Weights proportional to the area of a cell of a regular grid, the cosine of latitude.

    The metrics take them by default, ``weights="auto"``, where they average along a latitude: a coordinate of that
    name or of its units that runs along one averaged dimension, monotonically, between -90 and 90 degrees. The
    latitudes of stations or of a curvilinear grid are none, for their cosine is no area.

    Parameters
    ----------
    data : DataArray
        Data with a coordinate named ``lat`` or ``latitude``, or with units ``degrees_north``.

    Returns
    -------
    DataArray
        Weights between 0 and 1 along the dimensions of the latitude coordinate, not normalised.

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
    latitude = next(_latitudes(data), None)
    if latitude is None:
        raise ValueError(
            f"no latitude among the coordinates {list(data.coords)}: name one of them 'lat' or 'latitude', "
            "or give it the attribute units='degrees_north'"
        )
    if latitude.dtype.kind not in "iuf" or not bool((abs(latitude) <= 90.0).all()):
        raise ValueError(f"coordinate {latitude.name!r} is not a latitude between -90 and 90 degrees")
    return _cosine(latitude)


def resolve_weights(weights: Weights, dims: Collection[Hashable], *arrays: DataArray) -> DataArray | None:
    """Return the weights of an average over `dims`; ``"auto"`` finds the first latitude of `arrays` along them.

    Raises
    ------
    ValueError
        If `weights` is another text than ``"auto"``.
    """
    if isinstance(weights, DataArray) or weights is None:
        return weights
    if weights != "auto":
        raise ValueError(f'weights={weights!r} is unknown: use "auto", None or a DataArray')
    latitudes = (latitude for array in arrays for latitude in _latitudes(array))
    return next((_cosine(x) for x in latitudes if x.ndim == 1 and x.dims[0] in dims and _spans_rows(x)), None)


def _latitudes(data: DataArray) -> Iterator[DataArray]:
    for coordinate in data.coords.values():
        if is_named(coordinate, "latitude"):
            yield coordinate


def _spans_rows(latitude: DataArray) -> bool:
    if latitude.dtype.kind not in "iuf":
        return False
    values = latitude.values.astype("float64")
    steps = np.diff(values)
    return bool((abs(values) <= 90.0).all() and ((steps > 0.0).all() or (steps < 0.0).all()))


def _cosine(latitude: DataArray) -> DataArray:
    # In float32 the cosine of a pole rounds below zero, and a negative weight is an error.
    latitude = latitude.reset_coords(drop=True).astype("float64")
    cosine = latitude.copy(data=np.cos(np.deg2rad(latitude.values)))
    return cosine.rename("latitude_weights").drop_attrs().assign_attrs(units="1")
