"""Scores of several models: by lead time, by sample, and as bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from numpy.typing import NDArray

from gridcast.data.units import squared, units_of
from gridcast.plotting._checks import check_array, check_axes, check_forecasts, like_observed
from gridcast.plotting._labels import (
    date_names,
    label_lead_axis,
    lead_times,
    score_name,
    with_units,
)
from gridcast.plotting._style import BASELINES, GREY, legend_above, line_styles, new_axes, without_box

Score = xr.DataArray | xr.Dataset | tuple[xr.DataArray, ...]

_BOUNDS = ("lower", "upper")  # suffixes of `verify`'s intervals


class _Interval(NamedTuple):
    """A score and the bounds of its confidence interval, along one dimension."""

    value: xr.DataArray
    lower: xr.DataArray | None
    upper: xr.DataArray | None


def plot_error_by_lead(errors: Mapping[str, Score], *, score: str = "mse", ax: Axes | None = None) -> Axes:
    """
    Draw a score against lead time, one line a model, with confidence intervals where there are any.

    Parameters
    ----------
    errors : mapping of str to DataArray of shape (lead_time,) or Dataset
        Each model's scores as :func:`gridcast.verify` returns them, or one score with its units, as
        :func:`gridcast.metrics.mse` returns it; its ``long_name`` or name labels the axis. For a band of
        confidence of one's own, write ``(score, lower, upper)``, or ``(score, bounds)`` with a dimension ``bound`` of
        the labels ``lower`` and ``upper``. The coordinate ``lead_time`` counts steps or is a timedelta; without one,
        steps count from 1. ``persistence`` and ``climatology`` are dashed and grey.
    score : str, default="mse"
        Which variable of a Dataset to draw; where it has ``<score>_lower`` and ``<score>_upper``, with a band.
    ax : Axes, default=None
        Where to draw; None makes a new figure.

    Returns
    -------
    Axes
        The lines and the bands, in the order of `errors`. It begins at zero, unless a score is negative.

    Raises
    ------
    TypeError
        If a score or a bound is no DataArray.
    ValueError
        If `errors` is empty, if one of them has another dimension than ``lead_time`` or lacks `score`, if bounds
        have other lead times than their score, or if units differ.

    Examples
    --------
    >>> import xarray as xr
    >>> from gridcast.plotting import plot_error_by_lead
    >>> error = xr.DataArray([1.0, 4.0], coords={"lead_time": [1, 2]}, name="mse", attrs={"units": "K^2"})
    >>> models = {"CNMM": (error, 0.9 * error, 1.1 * error), "persistence": 2.0 * error}
    >>> plot_error_by_lead(models).get_ylabel()
    'MSE [K²]'
    """
    return lines_by_lead("errors", errors, score, ax)


def lines_by_lead(parameter: str, scores: Mapping[str, Score], score: str, ax: Axes | None) -> Axes:
    """Draw lines and bands against lead time of scores that are given as `parameter`."""
    intervals = _intervals(parameter, scores, score, "lead_time")
    if len({i.value["lead_time"].dtype.kind == "m" for i in intervals.values()}) > 1:
        raise ValueError(f"{parameter} count lead_time in steps and in time: give all of them one kind")
    ax = new_axes(6.0, 4.0) if ax is None else ax
    leads, unit = lead_times([interval.value for interval in intervals.values()])
    styles = line_styles(intervals)
    for (name, interval), lead in zip(intervals.items(), leads, strict=True):
        ax.plot(lead, interval.value.values, label=name, **styles[name])
        if interval.lower is not None and interval.upper is not None:
            band = {"color": styles[name]["color"], "alpha": 0.2, "linewidth": 0.0}
            ax.fill_between(lead, interval.lower.values, interval.upper.values, **band)
    _label_scores(ax, intervals)
    label_lead_axis(ax, unit)
    legend_above(ax)
    return ax


def plot_error_by_sample(
    observed: xr.DataArray,
    forecasts: Mapping[str, xr.DataArray],
    *,
    dim: str = "sample",
    n_samples: int = 9,
    axes: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """
    Draw the squared error of several samples, averaged over space, against lead time; a panel a sample.

    Parameters
    ----------
    observed : DataArray of shape (sample, lead_time, y, x)
        The truth; with ``time`` in place of ``lead_time``, leads count from 1.
    forecasts : mapping of str to DataArray of the shape of `observed`
        Each model's forecast, with the labels and units of `observed`.
    dim : str, default="sample"
        The dimension of the samples, such as ``init_time`` of :func:`gridcast.backtest`.
    n_samples : int, default=9
        Most panels; further samples are left out evenly.
    axes : ndarray of Axes of shape (n_panels,), default=None
        Where to draw; None makes a new figure, three panels a row, whose error axis is logarithmic and the same
        for all.

    Returns
    -------
    ndarray of Axes of shape (n_panels,)
        The averages are unweighted and leave missing cells out.

    Raises
    ------
    TypeError
        If `observed` or a forecast is no DataArray, or `forecasts` no mapping.
    ValueError
        If `forecasts` is empty, if `observed` lacks `dim` or lead times, if `n_samples` is below 1, if labels
        differ, or if `axes` has another shape.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> from gridcast.plotting import plot_error_by_sample
    >>> observed = xr.DataArray(np.zeros((2, 3, 4, 5)), dims=("sample", "lead_time", "y", "x"))
    >>> axes = plot_error_by_sample(observed, {"CNMM": observed + 2.0})
    >>> axes[1].lines[0].get_ydata().tolist()
    [4.0, 4.0, 4.0]
    """
    check_array("observed", observed)
    check_forecasts(forecasts)
    lead_dim = "lead_time" if "lead_time" in observed.dims else "time"
    if dim not in observed.dims or lead_dim not in observed.dims:
        raise ValueError(f"observed has dimensions {observed.dims}, without {dim!r} or lead times: set dim")
    if n_samples < 1:
        raise ValueError(f"n_samples={n_samples!r} must be 1 or more")
    count = observed.sizes[dim]
    shown = np.linspace(0, count - 1, min(n_samples, count)).round().astype(int)
    over = [d for d in observed.dims if d not in (dim, lead_dim)]
    truth = observed.isel({dim: shown})
    errors = {}
    for name, forecast in like_observed(observed, forecasts).items():
        difference = forecast.isel({dim: shown}).astype(float) - truth.astype(float)
        errors[name] = (difference**2).mean(over).transpose(dim, lead_dim).compute()
    if axes is None:
        axes, figure = _panels(len(shown))
    else:
        axes, figure = check_axes(axes, (len(shown),)), None
    leads, unit = lead_times(errors.values(), lead_dim)
    for i, (ax, title) in enumerate(zip(axes, _sample_titles(truth, dim, shown), strict=True)):
        for (name, style), lead in zip(line_styles(errors).items(), leads, strict=True):
            ax.plot(lead, errors[name].values[i], label=name, **style)
        ax.set_title(title, fontsize="medium")
        label_lead_axis(ax, unit)
    if all(bool((error > 0.0).all()) for error in errors.values()):
        for ax in axes:
            ax.set_yscale("log")
    label = with_units("squared error", squared(units_of(observed, *forecasts.values())))
    if figure is None:
        axes[0].set_ylabel(label)
        axes[0].legend(frameon=False)
        return axes
    for ax in axes:
        ax.label_outer()
        ax.set_xlabel("")
    figure.supxlabel(f"lead time [{unit}]", fontsize="medium")
    figure.supylabel(label, fontsize="medium")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=6, frameon=False)
    return axes


def plot_score_bars(
    scores: Mapping[str, Score],
    *,
    limits: Mapping[str, Score] | None = None,
    score: str = "mse",
    ax: Axes | None = None,
) -> Axes:
    """
    Draw scores as groups of bars, one bar a model in each group.

    Parameters
    ----------
    scores : mapping of str to DataArray of shape (group,) or Dataset
        Each model's score with its units and name, along one dimension of any name, such as the length of a
        window or the lead time, whose labels name the groups. A Dataset of :func:`gridcast.verify`,
        ``(score, lower, upper)`` and ``(score, bounds)`` have whiskers of confidence, as the bands in
        :func:`plot_error_by_lead`.
    limits : mapping of str to DataArray of shape (group,), default=None
        What no model can beat, such as a Kalman filter's score; a dashed line across each group.
    score : str, default="mse"
        Which variable of a Dataset to draw.
    ax : Axes, default=None
        Where to draw; None makes a new figure.

    Returns
    -------
    Axes
        A container of bars for each model, in the order of `scores`.

    Raises
    ------
    TypeError
        If a score, a bound or a limit is no DataArray.
    ValueError
        If `scores` is empty, or if dimensions, labels or units differ.

    Examples
    --------
    >>> import xarray as xr
    >>> from gridcast.plotting import plot_score_bars
    >>> mse = xr.DataArray([1.0, 2.0], coords={"length": [5, 10]}, name="mse", attrs={"units": "K^2"})
    >>> ax = plot_score_bars({"CNMM": mse, "persistence": 2.0 * mse}, limits={"Kalman filter": 0.5 * mse})
    >>> ax.get_xlabel(), [label.get_text() for label in ax.get_xticklabels()]
    ('length', ['5', '10'])
    """
    intervals = _intervals("scores", scores, score)
    first = next(iter(intervals.values())).value
    dim, groups = str(first.dims[0]), first[first.dims[0]]
    lines = _intervals("limits", limits, score, dim) if limits else {}
    for name, interval in (intervals | lines).items():
        if not interval.value[dim].equals(groups):
            parameter = "limits" if name in lines else "scores"
            raise ValueError(f"{parameter}[{name!r}] has other labels along {dim!r} than the first: select the same")
    ax = new_axes(max(5.0, 0.35 * len(intervals) * groups.size + 1.5), 3.8) if ax is None else ax
    centres, width = np.arange(groups.size), 0.8 / len(intervals)
    for i, ((name, interval), style) in enumerate(zip(intervals.items(), _bar_styles(intervals), strict=True)):
        at = centres + (i - (len(intervals) - 1) / 2) * width
        ax.bar(at, interval.value.values, 0.92 * width, label=name, yerr=_whiskers(interval), capsize=2.5, **style)
    for (name, limit), dashes in zip(lines.items(), ("--", ":", "-.", "-") * len(lines), strict=False):
        ends = (centres - 0.45, centres + 0.45)
        ax.hlines(limit.value.values, *ends, color="black", linestyle=dashes, linewidth=1.2, label=name)
    _label_scores(ax, intervals)
    if groups.dtype.kind == "m" or dim == "lead_time":
        (labels,), unit = lead_times([first], dim)
        ax.set_xticks(centres, [f"{label:g}" for label in labels])
        ax.set_xlabel(f"lead time [{unit}]")
    else:
        ax.set_xticks(centres, [str(label) for label in groups.values])
        ax.set_xlabel(with_units(str(groups.attrs.get("long_name", dim)), groups.attrs.get("units")))
    legend_above(ax)
    return ax


def _intervals(
    parameter: str, scores: Mapping[str, Score], variable: str, dim: str | None = None
) -> dict[str, _Interval]:
    """Return each score and its bounds along `dim`, by default that of the first, checked to be of one unit."""
    intervals: dict[str, _Interval] = {}
    for name, score in scores.items():
        intervals[name] = _interval(f"{parameter}[{name!r}]", score, variable, dim)
        dim = dim or str(intervals[name].value.dims[0])
    units = {str(i.value.attrs["units"]) for i in intervals.values() if "units" in i.value.attrs}
    if not intervals or len(units) > 1:
        raise ValueError(f"{parameter} must hold models of one unit, got {list(scores)} in {sorted(units)}")
    return intervals


def _interval(name: str, score: Any, variable: str, dim: str | None) -> _Interval:
    parts: Sequence[Any] = score if isinstance(score, tuple) else (score,)
    if isinstance(score, xr.Dataset):
        if variable not in score:
            raise ValueError(f"{name} has no score={variable!r}: choose one of {sorted(map(str, score.data_vars))}")
        ends = [f"{variable}_{bound}" for bound in _BOUNDS]
        parts = [score[key] for key in (variable, *ends) if key == variable or set(ends) <= set(score)]
    for part in parts:
        check_array(name, part)
    if len(parts) == 2:
        bounds = parts[1]
        if "bound" not in bounds.dims or set(_BOUNDS) - {str(label) for label in bounds["bound"].values}:
            raise ValueError(f"{name} has bounds without a dimension 'bound' of 'lower' and 'upper': label them")
        parts = (parts[0], *(bounds.sel(bound=label, drop=True) for label in _BOUNDS))
    if len(parts) not in (1, 3):
        raise ValueError(f"{name} has {len(parts)} parts: write (score, lower, upper)")
    for part in parts:
        if len(part.dims) != 1 or part.dims[0] != (dim or parts[0].dims[0]):
            way_out = f"average all but {dim or 'one'}"
            if "bound" in part.dims:
                way_out = "write (score, bounds), as the bounds alone have no score"
            raise ValueError(f"{name} has dimensions {part.dims}: {way_out}")
        along = part.dims[0]
        if not part[along].equals(parts[0][along]):
            raise ValueError(f"{name} has bounds at other labels of {along!r} than its score: select the same")
    return _Interval(*parts) if len(parts) == 3 else _Interval(parts[0], None, None)


def _label_scores(ax: Axes, intervals: Mapping[str, _Interval]) -> None:
    """Name the score, and begin at zero unless one is negative."""
    first = next(iter(intervals.values())).value
    parts = [part for interval in intervals.values() for part in interval if part is not None]
    ax.set_ylabel(with_units(str(first.attrs.get("long_name", score_name(first))), first.attrs.get("units")))
    if any(bool((part < 0.0).any()) for part in parts):
        ax.axhline(0.0, color=GREY, linewidth=0.8, zorder=0)
    else:
        ax.set_ylim(bottom=0.0)


def _whiskers(interval: _Interval) -> NDArray[np.float64] | None:
    """Return the lengths of the whiskers below and above a bar."""
    if interval.lower is None or interval.upper is None:
        return None
    value, lower, upper = (np.asarray(part, dtype=float) for part in interval)
    return np.stack([value - lower, upper - value]).clip(min=0.0)


def _bar_styles(names: Mapping[str, Any]) -> list[dict[str, Any]]:
    styles = line_styles(names)
    hatches = {name: {"hatch": "///", "edgecolor": "white", "linewidth": 0.0} for name in BASELINES}
    return [{"color": styles[name]["color"], **hatches.get(name, {})} for name in names]


def _panels(n_panels: int) -> tuple[NDArray[Any], Any]:
    columns = min(3, n_panels)
    rows = -(-n_panels // columns)
    figure = plt.figure(figsize=(3.1 * columns + 0.5, 2.3 * rows + 0.8), layout="constrained")
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for ax in axes[n_panels:]:
        ax.remove()
    for ax in axes[:n_panels]:
        without_box(ax)
    return axes[:n_panels], figure


def _sample_titles(data: xr.DataArray, dim: str, numbers: NDArray[np.int_]) -> list[str]:
    """Return the label of each sample, or its number from 1."""
    if dim not in data.coords:
        return [f"{dim} {number + 1}".replace("_", " ") for number in numbers]
    if data[dim].dtype.kind in "MO":
        return date_names(data.drop_vars("time", errors="ignore").rename({dim: "time"}))
    return [f"{dim} {label}".replace("_", " ") for label in data[dim].values]
