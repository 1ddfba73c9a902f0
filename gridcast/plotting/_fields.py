"""A field drawn as a map: where its cells lie, which colours it gets, and the axes of many maps."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gridcast.plotting._labels import with_units
from gridcast.plotting._style import MISSING

_LATITUDE = ("lat", "latitude", "degrees_north")  # names, then CF's units
_LONGITUDE = ("lon", "longitude", "degrees_east")
# (values below, values above the scale) -> arrows of its colour bar
_EXTEND = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}


@dataclass(frozen=True)
class MapGrid:
    """
    Where the cells of a field lie.

    Parameters
    ----------
    dims : tuple of str
        Names of y and x.
    y, x : ndarray
        Borders of the cells, one more than there are cells.
    projection : cartopy.crs.Projection or None
        Of the axes; None draws y and x as they are.
    """

    dims: tuple[str, str]
    y: NDArray[np.float64]
    x: NDArray[np.float64]
    projection: Any = None

    @classmethod
    def of(cls, data: xr.DataArray, projection: Any = None) -> MapGrid:
        """Return the grid of the last two dimensions of `data`, in a projection of its name or of cartopy."""
        y_dim, x_dim = data.dims[-2:]
        y, x = edges(data, y_dim), edges(data, x_dim)
        if projection is not None:
            _check_latitude_and_longitude(data)
            projection = _projection(projection, x)
        return cls((str(y_dim), str(x_dim)), y, x, projection)

    @property
    def aspect(self) -> float | None:
        """Height over width where a unit of y can be as long as one of x, else None."""
        if self.projection is not None:
            ratio = float(np.ptp(self.projection.y_limits) / np.ptp(self.projection.x_limits))
            is_global = np.ptp(self.x) > 300.0
            return ratio if is_global else float(np.clip(np.ptp(self.y) / np.ptp(self.x), 0.4, 2.0))
        ratio = float(np.ptp(self.y) / np.ptp(self.x))
        # a true shape would make a strip of such a map
        return ratio if 0.25 <= ratio <= 4.0 else None

    def new_axes(
        self, n_rows: int, n_columns: int, figure: Figure | None = None, *, row_gap: float = 0.3
    ) -> NDArray[Any]:
        """Return the axes of a new figure of maps, or of a `figure` without any; `row_gap` inches lie between rows."""
        width = min(3.2 if n_rows > 1 else 3.8, 14.0 / n_columns)
        size = (width * n_columns + 1.2, n_rows * (width * (self.aspect or 0.75) + row_gap) + 0.9)
        figure = plt.figure(layout="compressed") if figure is None else figure
        figure.set_size_inches(*size)
        if self.projection is None:
            return figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False)
        return figure.subplots(n_rows, n_columns, squeeze=False, subplot_kw={"projection": self.projection})

    def new_panels(self, n_panels: int) -> NDArray[Any]:
        """Return that many axes of a new figure, up to three a row."""
        columns = min(3, n_panels)
        axes = self.new_axes(-(-n_panels // columns), columns).ravel()
        for ax in axes[n_panels:]:
            ax.remove()
        # shared axes hide the labels above an empty place
        for ax in axes[max(n_panels - columns, 0) : n_panels]:
            ax.tick_params(labelbottom=True)
        return axes[:n_panels]

    def draw(self, ax: Axes, values: NDArray[Any], scale: dict[str, Any]) -> QuadMesh:
        """Draw a field of shape (y, x); missing cells are grey, y goes upward."""
        if not is_projected(ax):
            mesh = ax.pcolormesh(self.x, self.y, values, rasterized=True, **scale)
            ax.set_aspect("auto" if self.aspect is None else "equal")
            return mesh
        # Cells that a map cuts in two are masked in cartopy's mesh: grey would show them as missing.
        scale = scale | {"cmap": scale["cmap"].with_extremes(bad=(0.0, 0.0, 0.0, 0.0))}
        ax.set_facecolor(MISSING)
        plate = importlib.import_module("cartopy.crs").PlateCarree()
        y = self.y.clip(-90.0, 90.0)
        mesh = ax.pcolormesh(self.x, y, np.ma.masked_invalid(values), transform=plate, rasterized=True, **scale)
        ax.gridlines(color="0.3", linewidth=0.4, alpha=0.5)  # type: ignore[attr-defined]
        return mesh

    def name_axes(self, axes: NDArray[Any], row_names: Sequence[str]) -> None:
        """Write the names of the rows at the left, and the dimensions of plain axes at the border."""
        for ax, name in zip(axes[:, 0], row_names, strict=True):
            if is_projected(ax):
                away = -36 if _label_degrees(ax, {"left": "y"}) else -6
                at = {"xy": (0.0, 0.5), "xycoords": "axes fraction", "xytext": (away, 0), "textcoords": "offset points"}
                ax.annotate(name, rotation=90, ha="right", va="center", **at)
            else:
                ax.set_ylabel(f"{name}\n{self.dims[0]}".lstrip("\n"))
        for ax in axes[-1]:
            if not is_projected(ax):
                ax.set_xlabel(self.dims[1])
            else:
                _label_degrees(ax, {"bottom": "x"})


def is_projected(ax: Axes) -> bool:
    """Return whether `ax` is a map of cartopy."""
    return hasattr(ax, "coastlines")


def draw_coastlines(axes: NDArray[Any]) -> None:
    """Draw the coastlines of Natural Earth, which cartopy downloads once; a ValueError without a projection."""
    if not all(is_projected(ax) for ax in axes.flat):
        raise ValueError('coastlines=True needs a map projection: give projection="PlateCarree" as well')
    for ax in axes.flat:
        ax.coastlines(linewidth=0.6)


def edges(data: xr.DataArray, dim: Hashable) -> NDArray[np.float64]:
    """Return the borders of the cells along `dim`, counted where its labels are no monotonic numbers."""
    size, centres = data.sizes[dim], np.arange(data.sizes[dim], dtype=float)
    steps = np.ones(max(size - 1, 1))
    if data[dim].dtype.kind in "iuf" and size > 1:
        numbers = data[dim].values.astype(float)
        if abs(np.sign(np.diff(numbers)).sum()) == size - 1:
            centres, steps = numbers, np.diff(numbers)
    half = np.append(steps, steps[-1])[:size] / 2.0
    return np.append(centres[0] - half[0], centres + half)


def field_scale(*fields: xr.DataArray) -> dict[str, Any]:
    """Return the scale of the central 96 % of all values, from zero if the first field is skewed as rain is."""
    values = np.concatenate([data.values[np.isfinite(data.values)] for data in fields])
    low, middle, high = np.percentile(values, [2, 50, 98]) if values.size else (0.0, 0.5, 1.0)
    if float(fields[0].min()) >= 0.0 and middle < 0.4 * values.max():
        low, high = 0.0, high if high > 0.0 else values.max()
    if low == high:
        low, high = low - 0.5, high + 0.5
    return _scale(low, high, "viridis")


def size_scale(*fields: xr.DataArray) -> dict[str, Any]:
    """Return a scale from zero, for sizes of errors."""
    values = np.concatenate([data.values[np.isfinite(data.values)] for data in fields])
    return _scale(0.0, (np.percentile(values, 99) or values.max() or 1.0) if values.size else 1.0, "viridis")


def error_scale(error: xr.DataArray) -> dict[str, Any]:
    """Return a scale that is symmetric around zero."""
    size = np.abs(error.values[np.isfinite(error.values)])
    limit = (np.percentile(size, 98) or size.max() or 1.0) if size.size else 1.0
    return _scale(-limit, limit, "RdBu_r")


def add_colorbar(
    axes: NDArray[Any], mesh: QuadMesh, fields: Sequence[xr.DataArray], name: str, units: str | None
) -> None:
    """Draw the colour bar of `axes`, with arrows where the fields have values beyond the scale."""
    low, high = mesh.get_clim()
    below = any(bool((data < low).any()) for data in fields)
    above = any(bool((data > high).any()) for data in fields)
    bar = {"extend": _EXTEND[below, above], "aspect": 12 * len(axes) if axes.ndim > 1 else 20, "pad": 0.02}
    axes.flat[0].figure.colorbar(mesh, ax=list(axes.flat), label=with_units(name, units), **bar)


def _scale(low: float, high: float, colormap: str) -> dict[str, Any]:
    return {"vmin": low, "vmax": high, "cmap": matplotlib.colormaps[colormap].with_extremes(bad=MISSING)}


def _label_degrees(ax: Any, sides: dict[str, str]) -> bool:
    """Write degrees at the border of a map whose border is one of latitude and longitude."""
    is_rectangle = type(ax.projection).__name__ in ("PlateCarree", "Mercator", "LambertCylindrical", "Miller")
    if is_rectangle:
        ax.gridlines(draw_labels=sides, linewidth=0.0, xlabel_style={"size": 8}, ylabel_style={"size": 8})
    return is_rectangle


def _check_latitude_and_longitude(data: xr.DataArray) -> None:
    for dim, known in zip(data.dims[-2:], (_LATITUDE, _LONGITUDE), strict=True):
        if str(dim).lower() not in known and data[dim].attrs.get("units") not in known:
            raise ValueError(
                f"projection needs a grid of latitude and longitude, {dim!r} is neither named {known[0]!r} nor in "
                f"{known[-1]}: leave projection out, or rename it"
            )


def _projection(projection: Any, x: NDArray[np.float64]) -> Any:
    """Return a projection of cartopy; one that is asked for by its name is centred on the data."""
    try:
        crs = importlib.import_module("cartopy.crs")
    except ImportError as error:
        raise ImportError(
            f"projection={projection!r} needs cartopy, which is not installed: run `pip install cartopy`, or leave "
            "projection out for plain axes"
        ) from error
    if isinstance(projection, crs.Projection):
        return projection
    kind = getattr(crs, projection, None) if isinstance(projection, str) else None
    if not (isinstance(kind, type) and issubclass(kind, crs.Projection)):
        raise ValueError(
            f"projection={projection!r} is no projection of cartopy.crs: use a name such as 'PlateCarree', 'Robinson' "
            "or 'NorthPolarStereo', or an instance"
        )
    centre = (float(x.min() + x.max()) / 2.0 + 180.0) % 360.0 - 180.0
    takes_centre = "central_longitude" in inspect.signature(kind).parameters
    return kind(central_longitude=centre) if takes_centre else kind()
