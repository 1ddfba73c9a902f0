"""The card of a model: what a reader of the file must know, in Markdown."""

from __future__ import annotations

import inspect
import numbers
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from gridcast.data.calendars import Calendar
from gridcast.data.grid import Grid
from gridcast.data.parameters import same, shown

CITATION = (
    "Halim, C. J. and Kawamoto, K.: 2D Convolutional Neural Markov Models for Spatiotemporal Sequence Forecasting. "
    "Sensors 2020, 20, 4195. https://doi.org/10.3390/s20154195"
)
MOST_ROWS = 1000


def make_card(
    cls: type,
    *,
    grid: Grid,
    calendar: Calendar,
    period: tuple[Any, Any, int],
    n_samples: int | None,
    missing_share: float,
    parameters: Mapping[str, Any],
    defaults: Mapping[str, Any],
    n_parameters: int,
    history: Sequence[Mapping[str, float]],
    versions: Mapping[str, str],
    climatology: pd.DataFrame | None = None,
    decisions: pd.DataFrame | None = None,
    scores: Any = None,
) -> str:
    """Return the card of a forecaster; see `SavedForecaster.card`.

    Parameters
    ----------
    cls : type
        Of the forecaster; the first line of its docstring says what it is.
    grid, calendar
        Of the training series.
    period : (label, label, int)
        Its first and last time, and the number of steps.
    n_samples : int or None
        Its samples, None for a single series.
    missing_share : float
        Share of its values that were not observed.
    parameters, defaults : mapping
        By name.
    n_parameters : int
        Trained weights.
    history : sequence of mapping
        One record per epoch.
    versions : mapping of str to str
    climatology : DataFrame or None
        What was compared, and what was chosen.
    decisions : DataFrame or None
        What held-out forecasts decided, by lead.
    scores : mapping, Dataset or None
    """
    about = (inspect.getdoc(cls) or "").splitlines()[0]
    changed = {name: value for name, value in parameters.items() if not same(value, defaults.get(name))}
    kept = {name: value for name, value in parameters.items() if name not in changed}
    sections = [
        f"# {cls.__name__}\n\n{about}",
        "## Data\n\n" + table(("what", "value"), _data(grid, calendar, period, n_samples, missing_share)),
        *([] if scores is None else ["## Scores\n\n" + _scores(scores)]),
        "## Training\n\n" + table(("what", "value"), _training(n_parameters, history)),
        *([] if climatology is None else ["## Climatology\n\n" + _scores(climatology.to_xarray())]),
        *(
            []
            if decisions is None
            else ["## Decided by held-out forecasts\n\n" + _scores(decisions.iloc[:MOST_ROWS].to_xarray())]
        ),
        "## Parameters that differ from the defaults\n\n" + _parameters(changed),
        "## Parameters at their defaults\n\n" + _parameters(kept),
        "## Versions\n\n" + table(("package", "version"), versions.items()),
        f"## Citation\n\n{CITATION}",
        "Open with `gridcast.load(path)`.",
    ]
    return "\n\n".join(sections) + "\n"


def _data(
    grid: Grid, calendar: Calendar, period: tuple[Any, Any, int], n_samples: int | None, missing_share: float
) -> list[tuple[str, str]]:
    first, last, n_steps = period
    sizes = zip(grid.dims, grid.shape[-len(grid.dims) :], strict=True)
    rows = [
        ("name", "unnamed" if grid.name is None else str(grid.name)),
        ("units", str(grid.attrs.get("units", "not given"))),
        ("dimensions of a field", ", ".join(f"{dim}: {size}" for dim, size in sizes)),
        ("period", f"{first} to {last}, {n_steps} steps"),
        ("step", str(calendar)),
        *([] if n_samples is None else [("samples", str(n_samples))]),
        ("missing values", f"{missing_share:.2%}"),
    ]
    if "long_name" in grid.attrs:
        rows.insert(1, ("long name", str(grid.attrs["long_name"])))
    for dim in grid.dims:
        coord = grid.coords.get(dim)
        if coord is not None:
            ends = " to ".join(_number(value) for value in coord.values[[0, -1]])
            rows.append((f"extent of {dim}", f"{ends} {coord.attrs.get('units', '')}".rstrip()))
    return rows


def _training(n_parameters: int, history: Sequence[Mapping[str, float]]) -> list[tuple[str, str]]:
    rows = [("trained weights", f"{n_parameters:,}"), ("epochs", str(len(history)))]
    errors = [record["validation_error"] for record in history if "validation_error" in record]
    if errors:
        rows.append(("best validation error (scaled data, squared)", _number(np.nanmin(errors))))
    if history:
        rows.append(("seconds", f"{sum(record.get('seconds', 0.0) for record in history):.1f}"))
    return rows


def _parameters(parameters: Mapping[str, Any]) -> str:
    if not parameters:
        return "None."
    return table(("parameter", "value"), ((name, f"`{shown(value)}`") for name, value in parameters.items()))


def _scores(scores: Any) -> str:
    if isinstance(scores, xr.Dataset):
        n_rows = int(np.prod(list(scores.sizes.values())))
        _check_rows(n_rows, f"a Dataset of the sizes {dict(scores.sizes)}")
        labels = [str(dim) for dim in scores.sizes]
        plain = scores.reset_coords(drop=True)
        rows = (
            plain.to_dataframe().reset_index()[[*scores.sizes, *scores.data_vars]].values
            if labels
            else [[score.item() for score in plain.data_vars.values()]]
        )
        return table([*labels, *map(str, scores.data_vars)], ([_number(value) for value in row] for row in rows))
    if not isinstance(scores, Mapping):
        raise TypeError(f"scores is a {type(scores).__name__}: give a mapping of names to numbers, or a Dataset")
    if any(isinstance(value, Mapping) for value in scores.values()):
        parts = {name: value if isinstance(value, Mapping) else {"": value} for name, value in scores.items()}
        columns = list(dict.fromkeys(key for part in parts.values() for key in part))
        _check_rows(len(parts), "a mapping")
        parts_table = [(str(name), *(_number(part.get(key, "")) for key in columns)) for name, part in parts.items()]
        return table(("score", *map(str, columns)), parts_table)
    _check_rows(len(scores), "a mapping")
    return table(("score", "value"), ((str(name), _number(value)) for name, value in scores.items()))


def _check_rows(n_rows: int, what: str) -> None:
    if n_rows > MOST_ROWS:
        raise ValueError(
            f"scores is {what}, {n_rows} rows; the most is {MOST_ROWS}: average it, over space for instance"
        )


def _number(value: Any) -> str:
    value = value.item() if isinstance(value, np.ndarray | xr.DataArray) and value.size == 1 else value
    if isinstance(value, numbers.Real) and not isinstance(value, numbers.Integral):
        return f"{float(value):.6g}"
    return str(value)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(text) for text in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
