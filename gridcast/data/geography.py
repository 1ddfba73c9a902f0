"""Where the cells of a grid lie on the globe."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import xarray as xr

# without units, as many files are; and WRF's
NAMES = {
    "latitude": ("lat", "latitude", "xlat", "nav_lat"),
    "longitude": ("lon", "longitude", "long", "xlong", "nav_lon"),
}
# all spellings that the CF conventions allow
UNITS = {
    "latitude": ("degrees_north", "degree_north", "degrees_N", "degree_N", "degreesN", "degreeN"),
    "longitude": ("degrees_east", "degree_east", "degrees_E", "degree_E", "degreesE", "degreeE"),
}
SHARE = 0.9  # of the rows of a curvilinear grid that must close; others may run over a pole


def is_named(coordinate: xr.DataArray, what: str) -> bool:
    """Return whether a coordinate is a latitude or a longitude, by its name, its standard name or its units."""
    attributes = coordinate.attrs
    # rotated and projected axes are degrees or metres of another sphere, whatever their units say
    if str(attributes.get("standard_name", "")).startswith(("projection", "grid_")):
        return False
    return bool(
        str(coordinate.name).lower() in NAMES[what]
        or attributes.get("standard_name") == what
        or attributes.get("units") in UNITS[what]
    )


def around_the_globe(coords: Mapping[Hashable, xr.DataArray], dims: Sequence[Hashable]) -> bool:
    """Return whether the last of `dims` (..., y, x) is a longitude whose last column borders on its first."""
    return any(_closes(x, dims[-1]) for x in _longitudes(coords) if _lies_along(x, dims))


def advice(coords: Mapping[Hashable, xr.DataArray], dims: Sequence[Hashable]) -> str | None:
    """Return what keeps a grid that spans the globe from being known as such, or None.

    Parameters
    ----------
    coords : mapping
        Of the grid.
    dims : sequence
        Of the series, (..., y, x).
    """
    for x in _longitudes(coords):
        if dims[-2] in x.dims and _lies_along(x, (dims[-1], dims[-2])) and _closes(x, dims[-2]):
            if _lies_along(x, dims) and _closes(x, dims[-1]):
                continue
            order = ", ".join(repr(d) for d in (*dims[:-2], dims[-1], dims[-2]))
            return (
                f"{x.name!r} spans the globe, but is not the last dimension: networks do not go around it there; "
                f"X.transpose({order})"
            )
        if x.dims == (dims[-1],) and len(x) > 1 and _closes(x[:-1], dims[-1]) and _is_repeated(x):
            less = f"X.isel({{{dims[-1]!r}: slice(-1)}})"
            return f"{x.name!r} spans the globe, but its last column repeats the first: {less}"
        if x.dims == (dims[-1],) and not _closes(x, dims[-1]) and _closes(x[np.argsort(x.values)], dims[-1]):
            return f"{x.name!r} spans the globe, but is not sorted: X.sortby({x.name!r})"
    return None


def positions(data: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray] | None:
    """Return latitude and longitude of the last two dimensions of `data`, (y, x), or None.

    They are two rows of labels, one a dimension in either order, or two fields over both, as a curvilinear grid, a
    rotated pole or a swath has, which a file may repeat at every time; labels of the dimensions go first.
    """
    grid = set(data.dims[-2:])
    named = ([c for c in data.coords.values() if c.dtype.kind in "fiu" and is_named(c, what)] for what in NAMES)
    latitudes, longitudes = ([still for c in those if (still := _at_rest(c, grid)) is not None] for those in named)
    pairs = [
        (latitude, longitude)
        for latitude in latitudes
        for longitude in longitudes
        if latitude.ndim == longitude.ndim and {*latitude.dims, *longitude.dims} == grid
    ]
    return min(pairs, key=lambda pair: pair[0].ndim, default=None)


def _at_rest(coordinate: xr.DataArray, grid: set[Hashable]) -> xr.DataArray | None:
    """Return a coordinate over the dimensions of the grid alone, or None where it changes along others."""
    if not coordinate.size or grid.isdisjoint(coordinate.dims):
        return None
    first = coordinate.isel({d: 0 for d in coordinate.dims if d not in grid}, drop=True)
    same = first.dims == coordinate.dims or bool(((coordinate == first) | coordinate.isnull()).all())
    return first if same else None


def _lies_along(longitude: xr.DataArray, dims: Sequence[Hashable]) -> bool:
    return longitude.dims == (dims[-1],) or set(longitude.dims) == set(dims[-2:])


def _longitudes(coords: Mapping[Hashable, xr.DataArray]) -> list[xr.DataArray]:
    return [c for c in coords.values() if c.ndim in (1, 2) and c.dtype.kind in "fiu" and is_named(c, "longitude")]


def _is_repeated(x: xr.DataArray) -> bool:
    return bool(abs(abs(float(x[-1]) - float(x[0])) - 360) < 1e-3)


def _closes(longitude: xr.DataArray, along: Hashable) -> bool:
    values = np.atleast_2d(longitude.transpose(..., along).values.astype(float))
    if values.shape[1] < 3:
        return False
    # up to a full circle: a row may pass the date line
    steps = (np.diff(values, axis=1, append=values[:, :1]) + 180) % 360 - 180
    forward = np.sign(steps.mean(1, keepdims=True)) * steps
    # float32 longitudes are rounded
    closed = (forward > 0).all(1) & (np.abs(forward.sum(1) - 360) < 1e-3)
    if not closed.any():
        return False
    # columns of a curvilinear grid differ, but the last step is to be like the others and no gap
    unlike = np.abs(forward[closed] / np.median(forward[closed], axis=1, keepdims=True) - 1)
    fits = unlike.max(1) < 1e-2 if longitude.ndim == 1 else unlike[:, -1] < 1
    return bool(fits.sum() >= SHARE * len(values))
