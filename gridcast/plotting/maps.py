"""Fields side by side: truth, forecast and error; the errors of several models; the course of a forecast."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from gridcast.data.units import units_of
from gridcast.metrics._checks import check_reference, check_same_labels
from gridcast.plotting._checks import check_array, check_axes, check_forecasts, like_observed
from gridcast.plotting._fields import (
    MapGrid,
    add_colorbar,
    draw_coastlines,
    error_scale,
    field_scale,
    is_projected,
    size_scale,
)
from gridcast.plotting._labels import date_names, lead_times, valid_times

_MOST_STEPS_OF_FILM = 6  # more columns leave maps too small to read


def plot_maps(
    observed: xr.DataArray,
    forecast: xr.DataArray,
    *,
    times: Sequence[Any] | None = None,
    projection: Any = None,
    coastlines: bool = False,
    axes: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """
    Draw maps of truth, forecast and error, one column a time step.

    Truth and forecast share a colour scale over the central 96 % of their values, from zero if the truth is
    skewed as precipitation is. The scale of the error is symmetric. Missing cells are grey; y goes upward. Latitudes
    and longitudes over both y and x, as of a curvilinear ocean grid, a rotated pole or a swath, are drawn where they
    lie; plain axes count the cells where one of them covers a pole, which takes a `projection`.

    Parameters
    ----------
    observed : DataArray of shape (time, y, x)
        The truth; it may have other time steps than `forecast` as well.
    forecast : DataArray of shape (time, y, x)
        The forecast, on the grid and in the units of `observed`. Of both, a dimension ``lead_time`` with a
        coordinate ``time`` will do, so that one forecast of :func:`gridcast.backtest` can be drawn.
    times : sequence of time labels, default=None
        The steps to show, as ``forecast.sel(time=times)`` takes them. None shows up to 4, evenly spread over
        the steps that both have.
    projection : str or cartopy.crs.Projection, default=None
        Map projection of a grid of latitude and longitude, such as ``"Robinson"``, which is then centred on the
        data; it needs cartopy. None draws plain axes.
    coastlines : bool, default=False
        Draw coastlines on projected axes. Cartopy downloads them at the first time.
    axes : ndarray of Axes of shape (3, n_times), default=None
        Where to draw, maps of cartopy as well; None makes a new figure.

    Returns
    -------
    ndarray of Axes of shape (3, n_times)
        Rows are truth, forecast and error. An error has its root mean square, unweighted, as its title.

    Raises
    ------
    ImportError
        If `projection` is given and cartopy is not installed.
    TypeError
        If the data are no DataArrays.
    ValueError
        If the data are not (time, y, x) on one grid, if they lack a time, if `axes` has another shape, if
        `projection` is unknown or the grid has no latitude and longitude, or for coastlines without a projection.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> from gridcast.plotting import plot_maps
    >>> rng = np.random.default_rng(0)
    >>> observed = xr.DataArray(rng.gamma(1.0, 2.0, (3, 4, 5)), dims=("time", "y", "x"))
    >>> plot_maps(observed, observed + 1.0)[2, 0].get_title()
    'RMSE 1'
    """
    observed, forecast = same_steps({"observed": observed, "forecast": forecast}, times).values()
    grid = _grid(observed, projection, axes)
    shape = (3, observed.sizes["time"])
    axes = grid.new_axes(*shape) if axes is None else check_axes(axes, shape)
    units, error = units_of(observed, forecast), forecast - observed
    name = str(observed.name or forecast.name or "value")
    _draw_rows(axes[:2], (observed, forecast), grid, field_scale(observed, forecast), name, units)
    _draw_rows(axes[2:], (error,), grid, error_scale(error), "error", units)
    grid.name_axes(axes, ("truth", "forecast", "error"))
    for top, bottom, title, step in zip(axes[0], axes[2], date_names(observed), error, strict=True):
        top.set_title(title)
        bottom.set_title(f"RMSE {float(np.sqrt((step**2).mean())):.3g} {units or ''}".strip())
    if coastlines:
        draw_coastlines(axes)
    return axes


def plot_error_maps(
    observed: xr.DataArray,
    forecasts: Mapping[str, xr.DataArray],
    *,
    projection: Any = None,
    coastlines: bool = False,
    axes: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """
    Draw the mean absolute error of each cell, one map a model, on one colour scale.

    Parameters
    ----------
    observed : DataArray of shape (..., y, x)
        The truth, such as (init_time, lead_time, y, x). The error is averaged over all dimensions but the last two.
    forecasts : mapping of str to DataArray of shape (..., y, x)
        Each model's forecast, with the dimensions, labels and units of `observed`.
    projection, coastlines
        As in :func:`plot_maps`.
    axes : ndarray of Axes of shape (n_models,), default=None
        Where to draw; None makes a new figure, up to three maps a row.

    Returns
    -------
    ndarray of Axes of shape (n_models,)
        In the order of `forecasts`; a title has the mean over the cells, unweighted.

    Raises
    ------
    ImportError, TypeError, ValueError
        As in :func:`plot_maps`; if `forecasts` is empty or no mapping, or labels differ.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> from gridcast.plotting import plot_error_maps
    >>> observed = xr.DataArray(np.zeros((3, 4, 5)), dims=("time", "y", "x"), attrs={"units": "K"})
    >>> print(plot_error_maps(observed, {"CNMM": observed + 2.0})[0].get_title())
    CNMM
    mean 2 K
    """
    check_array("observed", observed)
    check_forecasts(forecasts)
    if observed.ndim < 2:
        raise ValueError(f"observed has the dimensions {observed.dims}: it needs y and x, the last two")
    over = observed.dims[:-2]
    errors = {
        name: abs(forecast.astype(float) - observed.astype(float)).mean(over).compute()
        for name, forecast in like_observed(observed, forecasts).items()
    }
    grid = _grid(observed, projection, axes)
    axes = grid.new_panels(len(errors)) if axes is None else check_axes(axes, (len(errors),))
    units, fields = units_of(observed, *forecasts.values()), tuple(errors.values())
    _draw_rows(axes, [[error] for error in fields], grid, size_scale(*fields), "mean absolute error", units)
    for ax in axes:
        grid.name_axes(np.array([[ax]]), ("",))
        if not is_projected(ax):
            ax.label_outer()
    for ax, (name, error) in zip(axes, errors.items(), strict=True):
        ax.set_title(f"{name}\nmean {float(error.mean()):.3g} {units or ''}".strip())
    if coastlines:
        draw_coastlines(axes)
    return axes


def plot_film(
    observed: xr.DataArray,
    forecasts: Mapping[str, xr.DataArray],
    *,
    leads: Sequence[Any] | xr.DataArray | None = None,
    projection: Any = None,
    coastlines: bool = False,
    axes: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """
    Draw the course of one forecast as a film strip: a row of truth, a row a model, a column a lead time.

    Parameters
    ----------
    observed : DataArray of shape (lead_time, y, x) or (time, y, x)
        The truth.
    forecasts : mapping of str to DataArray of the shape of `observed`
        Each model's forecast, with the labels and units of `observed`.
    leads : sequence of labels or DataArray, default=None
        The lead times (or times) to show. None shows up to 6, from the first to the last, closer at the start.
    projection, coastlines
        As in :func:`plot_maps`.
    axes : ndarray of Axes of shape (1 + n_models, n_leads), default=None
        Where to draw; None makes a new figure.

    Returns
    -------
    ndarray of Axes of shape (1 + n_models, n_leads)
        Truth first, then the models in the order of `forecasts`; all share one colour scale.

    Raises
    ------
    ImportError, TypeError, ValueError
        As in :func:`plot_error_maps`; if `observed` is not of that shape or `leads` has unknown labels.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> from gridcast.plotting import plot_film
    >>> observed = xr.DataArray(np.random.default_rng(0).random((20, 4, 5)), dims=("lead_time", "y", "x"))
    >>> axes = plot_film(observed, {"CNMM": 0.9 * observed})
    >>> [ax.get_title() for ax in axes[0]]
    ['lead 1', 'lead 2', 'lead 3', 'lead 6', 'lead 11', 'lead 20']
    """
    check_array("observed", observed)
    check_forecasts(forecasts)
    dim = "lead_time" if "lead_time" in observed.dims else "time"
    if observed.ndim != 3 or dim not in observed.dims:
        raise ValueError(f"observed has the dimensions {observed.dims}, not (lead_time, y, x): select or average")
    fields = {"truth": observed.transpose(dim, ...)}
    fields |= like_observed(fields["truth"], forecasts)
    shown = {name: _pick(data, dim, leads).astype(float).compute() for name, data in fields.items()}
    truth = shown["truth"]
    grid = _grid(truth, projection, axes)
    shape = (len(shown), truth.sizes[dim])
    axes = grid.new_axes(*shape, row_gap=0.06) if axes is None else check_axes(axes, shape)
    rows = tuple(shown.values())
    name = str(observed.name or "value")
    _draw_rows(axes, rows, grid, field_scale(*rows), name, units_of(observed, *forecasts.values()))
    for ax, title in zip(axes[0], _film_titles(truth, dim), strict=True):
        ax.set_title(title)
    for ax in axes.flat:
        if not is_projected(ax):
            ax.set(xticks=[], yticks=[])
    for ax, row_name in zip(axes[:, 0], shown, strict=True):
        if is_projected(ax):
            grid.name_axes(np.array([[ax]]), (row_name,))
        else:
            ax.set_ylabel(row_name)
    if coastlines:
        draw_coastlines(axes)
    return axes


def same_steps(
    arrays: Mapping[str, xr.DataArray], times: Sequence[Any] | None, most: int | None = 4
) -> dict[str, xr.DataArray]:
    """Return the chosen steps of all, (time, y, x), or up to `most` (None for all) that all have; loaded."""
    for name, data in arrays.items():
        check_array(name, data)
    arrays = {name: valid_times(data) for name, data in arrays.items()}
    for name, data in arrays.items():
        if data.ndim != 3 or "time" not in data.dims:
            known: list[Hashable] = [dim for other in arrays if other != name for dim in arrays[other].dims]
            check_reference(name, data, dict.fromkeys(["time", *known]))
            raise ValueError(f"{name} has dimensions {data.dims}, not (time, y, x): select or average")
    reference, *others = arrays
    dims = arrays[reference].transpose("time", ...).dims
    for name in others:
        check_reference(name, arrays[name], dims)
    found = {k: a.transpose(*dims).assign_coords(time=a.get_index("time")) for k, a in arrays.items()}
    names = " and ".join(arrays)
    if times is None:
        common = reduce(pd.Index.intersection, (data.get_index("time") for data in found.values()))
        spread = np.linspace(0, len(common) - 1, min(most or len(common), len(common))).round().astype(int)
        times = list(common[spread])
    if len(times) == 0:
        raise ValueError(f"no time to show: {names} have none in common, or times is empty")
    try:
        found = {name: data.sel(time=list(times)) for name, data in found.items()}
    except KeyError as error:
        raise ValueError(f"{names} must {'both' if len(found) == 2 else 'all'} have the times {list(times)}") from error
    check_same_labels(**found)
    return {name: data.astype(float).compute() for name, data in found.items()}


def _grid(data: xr.DataArray, projection: Any, axes: NDArray[Any] | None) -> MapGrid:
    if projection is not None and axes is not None:
        raise ValueError("give projection or axes, not both: maps of cartopy in axes keep their own projection")
    return MapGrid.of(data, projection, axes is not None and all(is_projected(ax) for ax in np.ravel(axes)))


def _draw_rows(
    axes: NDArray[Any],
    rows: Sequence[Any],
    grid: MapGrid,
    scale: dict[str, Any],
    name: str,
    units: str | None,
) -> None:
    """Draw rows of fields that share a scale, and their colour bar."""
    fields = [field for row in rows for field in row]
    for ax, field in zip(axes.flat, fields, strict=True):
        mesh = grid.draw(ax, field, scale)
    add_colorbar(axes, mesh, fields, name, units)


def _pick(data: xr.DataArray, dim: str, labels: Sequence[Any] | xr.DataArray | None) -> xr.DataArray:
    """Return the steps of a film."""
    if dim not in data.coords:
        data = data.assign_coords({dim: np.arange(1, data.sizes[dim] + 1)})
    if labels is None:
        count = data.sizes[dim]
        wanted = np.geomspace(1, max(count, 1), min(_MOST_STEPS_OF_FILM, count)).round().astype(int)
        return data.isel({dim: np.unique(wanted) - 1})
    labels = list(getattr(labels, "values", labels))  # a coordinate is labels too
    try:
        return data.sel({dim: labels})
    except KeyError as error:
        asked = ", ".join(map(str, labels))
        raise ValueError(f"leads has [{asked}], {dim} only {data[dim].values.tolist()}") from error


def _film_titles(data: xr.DataArray, dim: str) -> list[str]:
    """Return the lead time of each column, with the date where it is known."""
    if dim == "time":
        return date_names(data)
    (leads,), unit = lead_times([data])
    titles = [f"lead {lead}" if unit == "steps" else f"lead {lead:g} {unit}" for lead in leads]
    if "time" in data.coords and data["time"].dims == (dim,):
        titles = [f"{title}\n{date}" for title, date in zip(titles, date_names(valid_times(data)), strict=True)]
    return titles
