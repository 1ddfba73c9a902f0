"""
Figures of a forecast and of its errors; they take labelled data and return matplotlib axes.

No function shows the figure or changes matplotlib's settings: call ``ax.figure.savefig`` or ``plt.show``.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

# Okabe and Ito's palette, without its yellow, which is faint on white.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_BASELINES = {"persistence": (0, (5, 2)), "climatology": (0, (2, 2))}
_GREY, _MISSING = "0.45", "0.75"
_DAY, _HOUR, _MINUTE = np.timedelta64(1, "D"), np.timedelta64(1, "h"), np.timedelta64(1, "m")
_LEAD_UNITS = {"days": _DAY, "hours": _HOUR, "minutes": _MINUTE, "seconds": np.timedelta64(1, "s")}


def plot_maps(
    observed: xr.DataArray,
    forecast: xr.DataArray,
    *,
    times: Sequence[Any] | None = None,
    axes: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """
    Draw maps of truth, forecast and error, one column a time step.

    Truth and forecast share a colour scale over the central 96 % of their values, from zero if the truth is
    skewed as precipitation is. The scale of the error is symmetric. Missing cells are grey; y goes upward.

    Parameters
    ----------
    observed : DataArray of shape (time, y, x)
        The truth; it may have other time steps than `forecast` as well.
    forecast : DataArray of shape (time, y, x)
        The forecast, on the grid and in the units of `observed`.
    times : sequence of time labels, default=None
        The steps to show, as ``forecast.sel(time=times)`` takes them. None shows up to 4, evenly spread over
        the steps that both have.
    axes : ndarray of Axes of shape (3, n_times), default=None
        Where to draw; None makes a new figure.

    Returns
    -------
    ndarray of Axes of shape (3, n_times)
        Rows are truth, forecast and error. An error has its root mean square, unweighted, as its title.

    Raises
    ------
    ValueError
        If the data are not (time, y, x) on one grid, if they lack a time, or if `axes` has another shape.

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
    observed, forecast = _same_steps(observed, forecast, times)
    y, x = (_edges(observed, dim) for dim in observed.dims[1:])
    if axes is None:
        axes = _grid_of_maps(observed.sizes["time"], y, x)
    elif np.shape(axes) != (3, observed.sizes["time"]):
        raise ValueError(f"axes must have the shape (3, {observed.sizes['time']}), got {np.shape(axes)}")
    error = forecast - observed
    name = str(observed.name or "value")
    _draw_maps(axes[:2], (observed, forecast), (y, x), _field_scale(observed, forecast), name)
    _draw_maps(axes[2:], (error,), (y, x), _error_scale(error), "error")
    for row, row_name in enumerate(("truth", "forecast", "error")):
        axes[row, 0].set_ylabel(f"{row_name}\n{observed.dims[1]}")
    for top, bottom, title, step in zip(axes[0], axes[2], _step_names(observed), error, strict=True):
        top.set_title(title)
        rmse = f"RMSE {float(np.sqrt((step**2).mean())):.3g} {observed.attrs.get('units', '')}"
        bottom.set(title=rmse.strip(), xlabel=observed.dims[2])
    return axes


def plot_error_by_lead(errors: Mapping[str, xr.DataArray], *, ax: Axes | None = None) -> Axes:
    """
    Draw error against lead time, one line a model.

    Parameters
    ----------
    errors : mapping of str to DataArray of shape (lead_time,)
        Each model's mean squared error with its squared units, as :func:`gridcast.metrics.mse` returns it; an
        ``rmse``, ``mae`` or ``crps`` is labelled as such. The coordinate ``lead_time`` counts steps or is a
        timedelta; without one, steps count from 1. ``persistence`` and ``climatology`` are dashed and grey.
    ax : Axes, default=None
        Where to draw; None makes a new figure.

    Returns
    -------
    Axes
        The lines, in the order of `errors`.

    Raises
    ------
    ValueError
        If `errors` is empty, if one of them has another dimension than ``lead_time``, or if units differ.

    Examples
    --------
    >>> import xarray as xr
    >>> from gridcast.plotting import plot_error_by_lead
    >>> error = xr.DataArray([1.0, 4.0], coords={"lead_time": [1, 2]}, attrs={"units": "K^2"})
    >>> plot_error_by_lead({"CNMM": error, "persistence": 2.0 * error}).get_ylabel()
    'MSE [K²]'
    """
    _check_errors(errors)
    ax = _new_axes(6.0, 4.0) if ax is None else ax
    leads, unit = _lead_times(errors)
    colors = itertools.cycle(_COLORS)
    for (name, error), lead in zip(errors.items(), leads, strict=True):
        if name in _BASELINES:
            ax.plot(lead, error.values, label=name, color=_GREY, linestyle=_BASELINES[name])
        else:
            ax.plot(lead, error.values, label=name, color=next(colors), marker="o", markersize=3.5)
    first = next(iter(errors.values()))
    metric = str(first.name).upper() if first.name in ("rmse", "mae", "crps") else "MSE"
    ax.set(xlabel=f"lead time [{unit}]", ylabel=_with_units(metric, first))
    ax.set_ylim(bottom=0.0)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    ax.legend(frameon=False)
    return ax


def plot_spread_skill(
    forecast: xr.DataArray,
    observed: xr.DataArray,
    *,
    n_bins: int = 10,
    ax: Axes | None = None,
    member_dim: str = "member",
) -> Axes:
    """
    Draw the error of the ensemble mean against the spread of the ensemble, in bins of equal count.

    Spread is ``sqrt((M + 1) / M * variance)`` of M members. A calibrated ensemble lies on the 1:1 line, an
    overconfident one above it. Few members flatten the line, as their spread is itself an estimate.

    Parameters
    ----------
    forecast : DataArray of shape (member, time, y, x), or any other with `member_dim`
        The ensemble, of two members or more.
    observed : DataArray of shape (time, y, x)
        The observations, with the labels of `forecast`. Cells that are missing in either are left out.
    n_bins : int, default=10
        Number of bins, each of as many cells, sorted by their spread.
    ax : Axes, default=None
        Where to draw; None makes a new figure.
    member_dim : str, default="member"
        The dimension of the ensemble members.

    Returns
    -------
    Axes
        Its first line holds a point a bin (spread, RMSE), its second is the 1:1 line.

    Raises
    ------
    ValueError
        If there are fewer than two members or fewer cells than bins, or if labels differ.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> from gridcast.plotting import plot_spread_skill
    >>> rng = np.random.default_rng(0)
    >>> ensemble = xr.DataArray(rng.normal(size=(5, 100)), dims=("member", "time"))
    >>> plot_spread_skill(ensemble, ensemble[0], n_bins=4).lines[0].get_xdata().size
    4
    """
    spread, error = _binned_spread_and_error(forecast, observed, n_bins, member_dim)
    ax = _new_axes(4.5, 4.5) if ax is None else ax
    ax.plot(spread, error, color=_COLORS[0], marker="o", markersize=5, label="forecast")
    limit = 1.05 * max(spread.max(), error.max()) or 1.0
    ax.plot([0.0, limit], [0.0, limit], color=_GREY, linestyle="--", zorder=1, label="1:1")
    ax.set(xlim=(0.0, limit), ylim=(0.0, limit), aspect="equal")
    ax.set(xlabel=_with_units("ensemble spread", observed), ylabel=_with_units("RMSE of the mean", observed))
    ax.legend(frameon=False)
    return ax


def plot_history(history: Sequence[Mapping[str, float]], *, ax: Axes | None = None) -> NDArray[Any]:
    """
    Draw the training objective and the validation error of each epoch, on two scales.

    Parameters
    ----------
    history : sequence of mappings
        One record an epoch, as a fitted forecaster's ``history_``: ``elbo`` (nats per observed value) or
        ``loss``, ``validation_error`` where there was one, and ``epoch``, which counts from 1 by default.
    ax : Axes, default=None
        Where to draw; None makes a new figure.

    Returns
    -------
    ndarray of Axes of shape (2,), or (1,) without validation
        The axes of the objective (left) and of the validation error (right).

    Raises
    ------
    ValueError
        If `history` is empty or has neither ``elbo`` nor ``loss``.

    Examples
    --------
    >>> from gridcast.plotting import plot_history
    >>> history = [{"epoch": 1, "elbo": -2.0, "validation_error": 0.3}, {"epoch": 2, "elbo": -1.0}]
    >>> [ax.get_ylabel() for ax in plot_history(history)]
    ['ELBO [nats]', 'validation error']
    """
    objective = next((key for key in ("elbo", "loss") if any(key in record for record in history)), None)
    if objective is None:
        raise ValueError(f"history must have 'elbo' or 'loss' in its {len(history)} records: fit first")
    ax = _new_axes(6.0, 4.0) if ax is None else ax
    lines = {objective: ("ELBO [nats]" if objective == "elbo" else "loss", ax)}
    if any(record.get("validation_error") is not None for record in history):
        lines["validation_error"] = ("validation error", ax.twinx())
    epochs = [record.get("epoch", number) for number, record in enumerate(history, start=1)]
    for (key, (label, side)), color in zip(lines.items(), _COLORS, strict=False):
        values = [np.nan if record.get(key) is None else record[key] for record in history]
        side.plot(epochs, values, color=color, marker="o", markersize=3.5)
        side.set_ylabel(label, color=color)
        side.tick_params(axis="y", colors=color)
        side.spines["top"].set_visible(False)
    ax.set_xlabel("epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return np.array([side for _, side in lines.values()])


def _same_steps(
    observed: xr.DataArray, forecast: xr.DataArray, times: Sequence[Any] | None
) -> tuple[xr.DataArray, xr.DataArray]:
    for name, data in (("observed", observed), ("forecast", forecast)):
        if data.ndim != 3 or "time" not in data.dims:
            raise ValueError(f"{name} has dimensions {data.dims}, not (time, y, x): select or average")
    observed = observed.transpose("time", ...).assign_coords(time=observed.get_index("time"))
    forecast = forecast.transpose(*observed.dims).assign_coords(time=forecast.get_index("time"))
    if times is None:
        common = observed.get_index("time").intersection(forecast.get_index("time"))
        spread = np.linspace(0, len(common) - 1, min(4, len(common))).round().astype(int)
        times = list(common[spread])
    if len(times) == 0:
        raise ValueError("no time to show: observed and forecast have none in common, or times is empty")
    try:
        observed, forecast = (data.sel(time=list(times)) for data in (observed, forecast))
    except KeyError as error:
        raise ValueError(f"observed and forecast must both have the times {list(times)}") from error
    observed, forecast = _exactly_aligned(observed, forecast)
    return observed.astype(float).compute(), forecast.astype(float).compute()


def _exactly_aligned(observed: xr.DataArray, forecast: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    try:
        return xr.align(observed, forecast, join="exact")
    except ValueError as error:
        raise ValueError(f"select the same labels of observed and forecast first: {error}") from error


def _edges(data: xr.DataArray, dim: Hashable) -> NDArray[np.float64]:
    """Return the borders of the cells along `dim`, counted where its labels are no monotonic numbers."""
    size, centres = data.sizes[dim], np.arange(data.sizes[dim], dtype=float)
    steps = np.ones(max(size - 1, 1))
    if data[dim].dtype.kind in "iuf" and size > 1:
        numbers = data[dim].values.astype(float)
        if abs(np.sign(np.diff(numbers)).sum()) == size - 1:
            centres, steps = numbers, np.diff(numbers)
    half = np.append(steps, steps[-1])[:size] / 2.0
    return np.append(centres[0] - half[0], centres + half)


def _aspect(y: NDArray[np.float64], x: NDArray[np.float64]) -> float | None:
    """Return height over width where a unit of y can be as long as one of x, else None."""
    ratio = float(np.ptp(y) / np.ptp(x))
    return ratio if 0.25 <= ratio <= 4.0 else None


def _grid_of_maps(n_times: int, y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[Any]:
    width = min(3.2, 14.0 / n_times)
    size = (width * n_times + 1.2, 3.0 * width * (_aspect(y, x) or 0.75) + 1.0)
    figure = plt.figure(figsize=size, layout="compressed")
    return figure.subplots(3, n_times, sharex=True, sharey=True, squeeze=False)


def _draw_maps(
    axes: NDArray[Any],
    rows: Sequence[xr.DataArray],
    edges: tuple[NDArray[np.float64], NDArray[np.float64]],
    scale: dict[str, Any],
    name: str,
) -> None:
    """Draw rows that share a scale, and their colour bar, with arrows where values lie beyond it."""
    y, x = edges
    for ax, step in zip(axes.flat, (step for data in rows for step in data), strict=True):
        mesh = ax.pcolormesh(x, y, step.values, rasterized=True, **scale)
        ax.set_aspect("auto" if _aspect(y, x) is None else "equal")
    below = any(bool((data < scale["vmin"]).any()) for data in rows)
    above = any(bool((data > scale["vmax"]).any()) for data in rows)
    extend = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}
    bar = {"extend": extend[below, above], "aspect": 12 * len(rows), "pad": 0.02}
    axes[0, 0].figure.colorbar(mesh, ax=list(axes.flat), label=_with_units(name, rows[0]), **bar)


def _field_scale(observed: xr.DataArray, forecast: xr.DataArray) -> dict[str, Any]:
    values = np.concatenate([data.values[np.isfinite(data.values)] for data in (observed, forecast)])
    low, middle, high = np.percentile(values, [2, 50, 98]) if values.size else (0.0, 0.5, 1.0)
    if float(observed.min()) >= 0.0 and middle < 0.4 * values.max():
        low, high = 0.0, high if high > 0.0 else values.max()
    if low == high:
        low, high = low - 0.5, high + 0.5
    return {"vmin": low, "vmax": high, "cmap": matplotlib.colormaps["viridis"].with_extremes(bad=_MISSING)}


def _error_scale(error: xr.DataArray) -> dict[str, Any]:
    size = np.abs(error.values[np.isfinite(error.values)])
    limit = (np.percentile(size, 98) or size.max() or 1.0) if size.size else 1.0
    return {"vmin": -limit, "vmax": limit, "cmap": matplotlib.colormaps["RdBu_r"].with_extremes(bad=_MISSING)}


def _step_names(data: xr.DataArray) -> list[str]:
    labels = data.get_index("time")
    if not hasattr(labels, "strftime"):
        return [f"time {label}" for label in labels]
    names = list(labels.strftime("%Y-%m-%d %H:%M"))
    at_midnight = all(name.endswith(" 00:00") for name in names)
    return [name.removesuffix(" 00:00") for name in names] if at_midnight else names


def _with_units(name: str, data: xr.DataArray) -> str:
    units = str(data.attrs.get("units", "")).replace("^2", "²")
    return f"{name} [{units}]" if units else name


def _new_axes(width: float, height: float) -> Axes:
    ax = plt.figure(figsize=(width, height), layout="constrained").add_subplot()
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _check_errors(errors: Mapping[str, xr.DataArray]) -> None:
    for name, error in errors.items():
        if error.dims != ("lead_time",):
            raise ValueError(f"errors[{name!r}] has dimensions {error.dims}: average all but lead_time")
    units = {str(error.attrs["units"]) for error in errors.values() if "units" in error.attrs}
    if not errors or len(units) > 1:
        raise ValueError(f"errors must hold models of one unit, got {list(errors)} in {sorted(units)}")
    if len({error["lead_time"].dtype.kind == "m" for error in errors.values()}) > 1:
        raise ValueError("errors count lead_time in steps and in time: give all of them one kind")


def _lead_times(errors: Mapping[str, xr.DataArray]) -> tuple[list[NDArray[Any]], str]:
    """Return each model's lead times, and their largest unit that leaves no fraction."""
    leads: list[NDArray[Any]] = [
        error["lead_time"].values if "lead_time" in error.coords else np.arange(1, error.size + 1)
        for error in errors.values()
    ]
    if leads[0].dtype.kind != "m":
        return leads, "steps"
    joined = np.concatenate(leads)
    whole = [name for name, unit in _LEAD_UNITS.items() if not (joined % unit).astype(int).any()]
    name = whole[0] if whole else "seconds"
    return [lead / _LEAD_UNITS[name] for lead in leads], name


def _binned_spread_and_error(
    forecast: xr.DataArray, observed: xr.DataArray, n_bins: int, member_dim: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the root mean variance and the root mean squared error of each bin."""
    n_members = forecast.sizes.get(member_dim, 0)
    if n_members < 2:
        raise ValueError(f"a spread needs two members or more, {member_dim!r} has {n_members}")
    observed, forecast = _exactly_aligned(observed, forecast.astype(float))
    variance = forecast.var(member_dim, ddof=1, skipna=False) * (n_members + 1) / n_members
    error = (forecast.mean(member_dim, skipna=False) - observed) ** 2
    pairs = np.stack([side.values.ravel() for side in xr.broadcast(variance, error)])
    pairs = pairs[:, np.isfinite(pairs).all(axis=0)]
    if not 1 <= n_bins <= pairs.shape[1]:
        raise ValueError(f"n_bins must lie between 1 and the {pairs.shape[1]} cells with data, got {n_bins}")
    bins = np.array_split(pairs[:, pairs[0].argsort(kind="stable")], n_bins, axis=1)
    spread, rmse = np.sqrt([pair.mean(axis=1) for pair in bins]).T
    return spread, rmse
