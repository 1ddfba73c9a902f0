"""Opens what `save` wrote."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from gridcast.data.calendars import Calendar
from gridcast.data.grid import Grid, Series
from gridcast.data.parameters import defaults
from gridcast.forecasters.base import BaseForecaster
from gridcast.forecasters.registry import find
from gridcast.forecasters.saved import ALL_FORMS
from gridcast.persistence.container import PathLike, read_file
from gridcast.persistence.encoding import Decoder
from gridcast.persistence.forms import check, check_array, take
from gridcast.persistence.refusal import refusing

NUMBERS = (int, float, np.number)
SECTIONS = {"class", "versions", "parameters", "learned"}


def load(path: PathLike, device: str = "auto") -> Any:
    """Open a forecaster that was saved with its method `save`.

    It forecasts what the saved one did, to the last bit on the same kind of device and with the same versions of the
    libraries (``README.md`` in the file names them). No code of the file is run: it may come from anyone.

    Parameters
    ----------
    path : str or path
    device : str, default="auto"
        Where it forecasts: ``"auto"`` (a GPU where there is one), ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``,
        wherever it was trained. It is the parameter `device` of the loaded forecaster.

    Returns
    -------
    forecaster
        Fitted. What belongs to one training (`callbacks`, `checkpoint_dir`) has its defaults, as have
        those that the gridcast which wrote the file did not know.

    Raises
    ------
    ValueError
        If the file is not a saved forecaster, of a newer format, damaged or changed, or would take far more memory
        than it has bytes; if `path` is a folder, a device or a pipe; if `device` is not there for a trained one.
    FileNotFoundError
        If there is none.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> import numpy as np
    >>> import gridcast as gc
    >>> model = gc.NaiveForecaster().fit(np.arange(24.0).reshape(6, 2, 2))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "persistence.gridcast"
    ...     model.save(path)
    ...     gc.load(path).predict(2).values[:, 0, 0].tolist()
    [20.0, 20.0]
    """
    values, arrays, _ = read_file(path)
    with refusing(path, "holds no forecaster that can be opened"):
        forecaster = _restore(values, arrays)
    if hasattr(forecaster, "module_"):
        from gridcast.training.engine import make_fabric, place

        place(forecaster.module_, make_fabric(device, "32"))
        forecaster.set_params(device=device)
    return forecaster


def _restore(values: dict[str, Any], arrays: dict[str, np.ndarray]) -> BaseForecaster:
    if set(values) != SECTIONS:
        raise ValueError(f"its sections are {sorted(values)}, expected {sorted(SECTIONS)}")
    cls: type[BaseForecaster] = find(values["class"])
    decoder = Decoder(arrays, ALL_FORMS)
    forecaster = cls(**_parameters(cls, decoder.decode(values["parameters"], "parameters")))
    learned = check(decoder.decode(values["learned"], "learned"), dict, "learned")
    forecaster.__dict__.update(_origin(learned))
    forecaster.__dict__.update(forecaster._relearn(learned))
    if learned:
        raise ValueError(f"learned holds {sorted(learned)}, which a {cls.__name__} does not learn")
    decoder.check_all_used()
    return forecaster


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
    return {
        "grid_": grid,
        "calendar_": calendar,
        "trained_on_": ends,
        "recent_": series,
        "missing_share_": float(check(missing, (int, float), "learned/missing_share")),
    }
