"""Text on a figure: units, scores, dates and lead times."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

_DAY, _HOUR, _MINUTE = np.timedelta64(1, "D"), np.timedelta64(1, "h"), np.timedelta64(1, "m")
# the largest first: the first that leaves no fraction is taken
_LEAD_UNITS = {"days": _DAY, "hours": _HOUR, "minutes": _MINUTE, "seconds": np.timedelta64(1, "s")}
_PY_DAY = datetime.timedelta(days=1)  # differences of cftime dates are Python's
# what is not spelled as its name
_SCORES = {
    "mse": "MSE",
    "rmse": "RMSE",
    "mae": "MAE",
    "crps": "CRPS",
    "mse_skill": "MSE skill",
    "spread_skill_ratio": "spread-skill ratio",
}


def with_units(name: str, units: Any) -> str:
    """Return ``name [units]``, or the name alone for a number without units."""
    text = "" if units is None or str(units) == "1" else str(units).replace("^2", "²")
    return f"{name} [{text}]" if text else name


def score_name(score: xr.DataArray) -> str:
    """Return how an axis calls a score."""
    if score.name is None:
        return "error"
    return _SCORES.get(str(score.name), str(score.name).replace("_", " "))


def valid_times(data: xr.DataArray) -> xr.DataArray:
    """Return `data` along ``time`` where that is a coordinate of its lead times, as in one forecast of a backtest."""
    if "time" in data.dims or "time" not in data.coords or data["time"].ndim != 1:
        return data
    return data.swap_dims({data["time"].dims[0]: "time"})


def date_names(data: xr.DataArray) -> list[str]:
    """Return the steps of ``time`` as text, with the hour where one is not midnight."""
    labels = data.get_index("time")
    if not hasattr(labels, "strftime"):
        return [f"time {label:g}" if isinstance(label, float) else f"time {label}" for label in labels]
    names = list(labels.strftime("%Y-%m-%d %H:%M"))
    at_midnight = all(name.endswith(" 00:00") for name in names)
    return [name.removesuffix(" 00:00") for name in names] if at_midnight else names


def lead_times(arrays: Iterable[xr.DataArray], dim: str = "lead_time") -> tuple[list[NDArray[Any]], str]:
    """Return each array's lead times, and their largest unit that leaves no fraction; without labels, steps from 1."""
    leads: list[NDArray[Any]] = [
        data[dim].values if dim == "lead_time" and dim in data.coords else np.arange(1, data.sizes[dim] + 1)
        for data in arrays
    ]
    if leads[0].dtype.kind != "m":
        return leads, "steps"
    joined = np.concatenate(leads)
    whole = [name for name, unit in _LEAD_UNITS.items() if not (joined % unit).astype(int).any()]
    name = whole[0] if whole else "seconds"
    return [lead / _LEAD_UNITS[name] for lead in leads], name


def label_lead_axis(ax: Axes, unit: str) -> None:
    """Name the lead times below `ax` and put its ticks at whole ones."""
    ax.set_xlabel(f"lead time [{unit}]")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))


def time_positions(ax: Axes, *times: xr.DataArray) -> list[NDArray[Any]]:
    """Return where `ax` draws times, and put readable dates below it, whatever their calendar."""
    kinds = {data.dtype.kind for data in times}
    if kinds == {"M"}:
        locator = AutoDateLocator(minticks=3, maxticks=8)
        ax.xaxis.set_major_locator(locator)
        ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    elif kinds == {"O"}:
        return _calendar_positions(ax, times)
    elif len(kinds) > 1:
        raise ValueError("forecast and observed have times of different kinds: convert one of them first")
    ax.set_xlabel("time")
    return [data.values for data in times]


def _calendar_positions(ax: Axes, times: tuple[xr.DataArray, ...]) -> list[NDArray[Any]]:
    """Count days since the first time, as matplotlib knows no calendar but the standard one."""
    first = min(data.values.min() for data in times)
    days = [np.array([(time - first) / _PY_DAY for time in data.values]) for data in times]
    form = "%Y-%m-%d" if all(bool((d % 1 == 0).all()) for d in days) else "%Y-%m-%d %H:%M"
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=form == "%Y-%m-%d"))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: (first + x * _PY_DAY).strftime(form)))
    ax.set_xlabel("time")
    return list(days)
