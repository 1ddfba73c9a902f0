"""A field drawn as a map: where its cells lie, which colours it gets, and the axes of many maps."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Hashable, Iterable, Sequence
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

from gridcast.data.geography import positions
from gridcast.plotting._cells import ascending, corners, edges, is_plane
from gridcast.plotting._labels import with_units
from gridcast.plotting._style import MISSING

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
    names : tuple of str
        What y and x are called on plain axes.
    y, x : ndarray
        Borders of the cells, one more than there are cells; of a curvilinear grid (y + 1, x + 1).
    known : ndarray of bool or None
        Which cells of a curvilinear grid have a position; None for all.
    projection : cartopy.crs.Projection or None
        Of the axes; None draws y and x as they are.
    """

    dims: tuple[str, str]
    names: tuple[str, str]
    y: NDArray[np.float64]
    x: NDArray[np.float64]
    known: NDArray[np.bool_] | None = None
    projection: Any = None

    @classmethod
    def of(cls, data: xr.DataArray, projection: Any = None, on_map: bool = False) -> MapGrid:
        """Return the grid of the last two dimensions of `data`, in a projection of its name or of cartopy.

        Where they have latitudes and longitudes over both, these are drawn; on plain axes only if no cell lies over a
        pole. `on_map` says that the axes are maps already.
        """
        found = positions(data)
        if projection is not None or on_map:
            _check_positions(data, found)
        dims = data.dims[-2:]
        if found is not None and found[0].ndim == 2 and min(data.shape[-2:]) > 1:
            centres = [c.transpose(*dims).values.astype(float) for c in found]
            y, x = corners(*centres)
            if projection is not None or on_map or is_plane(x):
                known = np.isfinite(centres[0]) & np.isfinite(centres[1])
                return cls(_texts(dims), _texts([c.name for c in found]), y, x, known, _projection(projection, x))
        elif found is not None and found[0].ndim == 1:
            dims = found[0].dims + found[1].dims  # (lon, lat) is turned
            data = data.assign_coords({c.dims[0]: c.variable for c in found})
        y, x = edges(data, dims[0]), edges(data, dims[1])
        return cls(_texts(dims), _texts(dims), y, x, None, _projection(projection, x))

    def values(self, field: xr.DataArray) -> NDArray[Any]:
        """Return a field, or a series of them, as (..., y, x); NaN where a cell has no position."""
        values = field.transpose(..., *self.dims).values
        return values if self.known is None else np.where(self.known, values, np.nan)

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

    def draw(self, ax: Axes, field: xr.DataArray, scale: dict[str, Any]) -> QuadMesh:
        """Draw a field over y and x; missing cells are grey, y goes upward."""
        values = self.values(field)
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
                ax.set_ylabel(f"{name}\n{self.names[0]}".lstrip("\n"))
        for ax in axes[-1]:
            if not is_projected(ax):
                ax.set_xlabel(self.names[1])
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


def _texts(names: Iterable[Hashable]) -> tuple[str, str]:
    y, x = names
    return str(y), str(x)


def _label_degrees(ax: Any, sides: dict[str, str]) -> bool:
    """Write degrees at the border of a map whose border is one of latitude and longitude."""
    is_rectangle = type(ax.projection).__name__ in ("PlateCarree", "Mercator", "LambertCylindrical", "Miller")
    if is_rectangle:
        ax.gridlines(draw_labels=sides, linewidth=0.0, xlabel_style={"size": 8}, ylabel_style={"size": 8})
    return is_rectangle


def _check_positions(data: xr.DataArray, found: tuple[xr.DataArray, xr.DataArray] | None) -> None:
    """Raise a ValueError where a map can not tell where the cells of `data` lie."""
    if found is None:
        raise ValueError(
            f"projection needs a grid of latitude and longitude; among {list(data.coords)} are none along "
            f"{data.dims[-2:]} that are named lat and lon or are in degrees_north and degrees_east: leave projection "
            "out, or name them"
        )
    for labels in found:
        if labels.ndim == 1 and labels.size > 1 and ascending(labels) is None:
            dim, name = labels.dims[0], labels.name
            raise ValueError(
                f"projection needs sorted coordinates, and {name!r} neither rises nor falls all along: sort all data "
                f"first, data.sortby({name!r})"
                + ("" if dim == name else f", or, where cells over {dim!r} are no grid, leave projection out")
            )


def _projection(projection: Any, x: NDArray[np.float64]) -> Any:
    """Return a projection of cartopy, or None; one that is asked for by its name is centred on the data."""
    if projection is None:
        return None
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
