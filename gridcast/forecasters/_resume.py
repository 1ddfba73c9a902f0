"""Where a training is kept, and what tells it from another."""

from __future__ import annotations

import hashlib
import numbers
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from gridcast.checkpoints import Checkpoints
from gridcast.forecasters._scaling import Scaling
from gridcast.grid import Series

# What may differ between the runs of one training
FREE_PARAMETERS = ("callbacks", "checkpoint_dir", "checkpoint_every", "device", "strategy", "verbose")


def check_checkpoint_every(every: Any) -> tuple[int | None, float | None]:
    """Return the steps or the seconds between two checkpoints."""
    try:
        if isinstance(every, numbers.Integral) and not isinstance(every, bool) and int(every) >= 1:
            return int(every), None
        if isinstance(every, str) and (seconds := pd.Timedelta(every).total_seconds()) > 0:
            return None, seconds
    except ValueError:
        pass
    raise ValueError(f'checkpoint_every={every!r} must be a number of steps or a duration such as "10min"')


def make_checkpoints(forecaster: Any, series: Series, scaling: Scaling, seed: int, writes: bool) -> Checkpoints:
    """Return the checkpoints of a forecaster with a `checkpoint_dir`."""
    steps, seconds = check_checkpoint_every(forecaster.checkpoint_every)
    identity = training_identity(forecaster, series, scaling)
    return Checkpoints(Path(forecaster.checkpoint_dir), identity, seed, steps, seconds, writes)


def training_identity(forecaster: Any, series: Series, scaling: Scaling) -> dict[str, str]:
    """Return what a training depends on, by name, in words or as a digest."""
    parameters = forecaster.get_params(deep=True)
    fixed = {name: value for name, value in parameters.items() if name not in FREE_PARAMETERS}
    identity = {name: _text(value) for name, value in fixed.items() if not hasattr(value, "get_params")}
    statistics = scaling.statistics
    learned = [v for k, v in sorted(vars(scaling.transformer).items()) if k.endswith("_") and isinstance(v, np.ndarray)]
    chunks = getattr(series.values, "chunks", None)
    return identity | {
        "forecaster": type(forecaster).__name__,
        "the shape of X": str(tuple(series.values.shape)),
        "the period of X": f"{series.times[0]} to {series.times[-1]}",
        "the values of X": _digest(statistics.mean, statistics.std, *learned),
        "the chunks of X": "none, in memory" if chunks is None else str(chunks[:2]),
    }


def _text(value: Any) -> str:
    if isinstance(value, np.random.RandomState | np.random.Generator):
        return type(value).__name__
    if isinstance(value, np.ndarray | xr.DataArray):
        return _digest(np.asarray(value))
    return repr(value)


def _digest(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(str((array.shape, array.dtype)).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:12]
