"""Puts together what `save` took apart, and refuses what makes no forecaster."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from gridcast.data.calendars import Calendar
from gridcast.data.drivers import FIELDS, PARTS, Drivers
from gridcast.data.grid import Grid, Series
from gridcast.data.observation_errors import with_array
from gridcast.data.parameters import defaults
from gridcast.data.recalibration import LEVELS, Recalibration
from gridcast.forecasters.base import BaseForecaster
from gridcast.forecasters.registry import find
from gridcast.forecasters.saved import ALL_FORMS
from gridcast.persistence.container import PathLike, read_file
from gridcast.persistence.encoding import Decoder
from gridcast.persistence.forms import check, check_array, check_transformer, take
from gridcast.persistence.refusal import refusing

NUMBERS = (int, float, np.number)
SECTIONS = {"class", "versions", "parameters", "learned"}  # of a pipeline "steps" too


def restore(path: PathLike, device: str) -> tuple[BaseForecaster, list[tuple[str, Any]] | None]:
    """Return the forecaster of a file, and the steps of its pipeline if it has one, the last of which is None.

    See `gridcast.load` for the parameters and errors.
    """
    values, arrays, _ = read_file(path)
    with refusing(path, "holds no forecaster that can be opened"):
        forecaster, steps = _restore(values, arrays)
    if hasattr(forecaster, "module_"):
        from gridcast.training.engine import make_fabric, place

        place(forecaster.module_, make_fabric(device, "32"))
        forecaster.set_params(device=device)
    return forecaster, steps


def _restore(
    values: dict[str, Any], arrays: dict[str, np.ndarray]
) -> tuple[BaseForecaster, list[tuple[str, Any]] | None]:
    if set(values) - {"steps"} != SECTIONS:
        raise ValueError(f"its sections are {sorted(values)}, expected {sorted(SECTIONS)}")
    cls: type[BaseForecaster] = find(values["class"])
    decoder = Decoder(arrays, ALL_FORMS)
    forecaster = cls(**_parameters(cls, decoder.decode(values["parameters"], "parameters")))
    learned = check(decoder.decode(values["learned"], "learned"), dict, "learned")
    forecaster.__dict__.update(_origin(learned))
    forecaster.__dict__.update(forecaster._relearn(learned))
    if learned:
        raise ValueError(f"learned holds {sorted(learned)}, which a {cls.__name__} does not learn")
    steps = _steps(decoder.decode(values["steps"], "steps"), forecaster.grid_) if "steps" in values else None
    decoder.check_all_used()
    return forecaster, steps


def _steps(steps: Any, grid: Grid) -> list[tuple[str, Any]]:
    """Return the names and fitted transformers of a pipeline; the last, that of its forecaster, is None."""
    checked: dict[str, Any] = {}
    for i, pair in enumerate(check(steps, list, "steps")):
        if len(check(pair, list, f"steps/{i}")) != 2:
            raise ValueError(f"steps/{i} is not a name and a transformer")
        name, step = pair
        if check(name, str, f"steps/{i}") in checked or "__" in name or not name:
            raise ValueError(f"steps/{i}: {name!r} is no name of a step, or that of two")
        if step is not None and step != "passthrough":
            check_transformer(step, grid.shape, f"steps/{i}")
        checked[name] = step
    if not checked or step is not None:
        raise ValueError("steps do not end in the forecaster")
    return list(checked.items())


def _parameters(cls: type[BaseForecaster], parameters: Any) -> dict[str, Any]:
    check(parameters, dict, "parameters")
    if unknown := sorted(set(parameters) - set(defaults(cls))):
        raise ValueError(f"{cls.__name__} has no parameters {unknown}: a newer gridcast may")
    return parameters


def _origin(learned: dict[str, Any]) -> dict[str, Any]:
    """Take out of `learned` what every forecaster learns, and return it as attributes."""
    grid, calendar, ends, recent, missing = take(learned, "grid", "calendar", "trained_on", "recent", "missing_share")
    check(grid, Grid, "learned/grid")
    check(calendar, Calendar, "learned/calendar")
    if len(check(ends, tuple, "learned/trained_on")) != 2:
        raise ValueError(f"learned/trained_on={ends!r} is not a first and a last time")
    check(recent, dict, "learned/recent")
    values, times, samples, attrs = take(recent, "values", "times", "samples", "time_attrs")
    errors = recent.pop("errors", None)
    if recent:
        raise ValueError(f"learned/recent holds {sorted(recent)}, which is no part of a series")
    check(samples, (xr.DataArray, type(None)), "learned/recent/samples")
    n_samples = 1 if samples is None else samples.size
    check(times, pd.Index, "learned/recent/times")
    if min(n_samples, len(times)) < 1:
        raise ValueError(f"learned/recent has {n_samples} samples of {len(times)} times")
    # before the times are looked at: values lie in the file, a range of times need not
    check_array(values, (n_samples, len(times), *grid.shape), "learned/recent/values")
    calendar.check(times)
    for end in ends:
        check(end, (type(times[0]), *NUMBERS), "learned/trained_on")
    series = Series(values, times, grid, samples, check(attrs, (dict, type(None)), "learned/recent/time_attrs"))
    if errors is not None:
        series = with_array(series, check_array(errors, values.shape, "learned/recent/errors"))
    return {
        "grid_": grid,
        "calendar_": calendar,
        "trained_on_": ends,
        "recent_": series,
        "drivers_": _drivers(learned.pop("drivers", None), series, calendar),
        "missing_share_": float(check(missing, (int, float), "learned/missing_share")),
        "recalibration_": _recalibration(learned.pop("recalibration", None), grid.shape[0]),
    }


def _recalibration(scores: Any, n_channels: int) -> Recalibration:
    if scores is None:  # of a gridcast that took every ensemble as it is
        return Recalibration.identity(n_channels)
    check_array(scores, (None, n_channels, len(LEVELS)), "learned/recalibration")
    if not len(scores) or not np.isfinite(scores).all() or (np.diff(scores) < 0).any():
        raise ValueError("learned/recalibration holds nothing, or scores that are not finite or do not rise")
    return Recalibration(scores)


def _drivers(saved: Any, recent: Series, calendar: Calendar) -> Drivers | None:
    """Return the covariates that were kept, which end with the last observed step."""
    if saved is None:
        return None
    parts = {}
    for name, part in check(saved, dict, "learned/drivers").items():
        where = f"learned/drivers/{name}"
        if name not in PARTS:
            raise ValueError(f"{where} is no part of covariates")
        values, times = take(check(part, dict, where), "values", "times")
        check(times, pd.Index, f"{where}/times")
        size = recent.grid.shape[1:] if name.endswith(FIELDS) else (1, 1)
        n_covariates = check_array(values, (None, len(times), None, *size), f"{where}/values").shape[2]
        if values.shape[0] not in (1, recent.values.shape[0]) or not n_covariates or times[-1:] != recent.times[-1:]:
            raise ValueError(f"{where} does not end with the series, or is not of its samples")
        calendar.check(times)
        grid = Grid(("covariate", *recent.grid.dims[-2:]), (n_covariates, *size), {})
        parts[name] = Series(values, times, grid)
    if not parts:
        raise ValueError("learned/drivers holds none")
    return Drivers(parts)
