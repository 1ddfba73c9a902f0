"""Errors of observations that are known: their standard deviation beside a series."""

from __future__ import annotations

import numbers
from dataclasses import dataclass, field, fields, replace
from typing import Any

import dask.array as da
import numpy as np
import pandas as pd
import xarray as xr

from gridcast.data.grid import SAMPLE, TIME, Grid, Series, join
from gridcast.data.labels import same_labels


@dataclass(frozen=True)
class NoisySeries(Series):
    """A series with the standard deviation of the error of each observation.

    Parameters
    ----------
    errors : numpy or dask array, shape (sample, time, channel, y, x)
        In the units of the values; infinite where an observation is not to count.
    """

    errors: Any = field(default=None, compare=False)

    def load_errors(self, start: int, stop: int) -> np.ndarray:
        """Return the errors of the steps ``start:stop`` in memory as float32.

        Raises
        ------
        ValueError
            If one is negative.
        """
        block = np.asarray(self.errors[:, start:stop], dtype=np.float32)
        if (block < 0).any():
            raise ValueError(
                f"observation_error holds a negative value, {float(block[block < 0][0]):g}: give standard deviations "
                "in the units of X"
            )
        return np.where(np.isnan(block), np.float32(np.inf), block)


def of_sample(series: Series, sample: int) -> Series:
    """Return a series of one sample, with its own covariates and errors; lazy if it was."""
    at = slice(sample, sample + 1)
    own = {
        "values": series.values[at],
        "samples": None if series.samples is None else series.samples[at],
        "n_observed": None if series.n_observed is None else series.n_observed[at],
        "drivers": None if series.drivers is None else series.drivers.of_sample(sample),
    }
    return replace(series, **own, **({"errors": series.errors[at]} if isinstance(series, NoisySeries) else {}))


def tail(series: Series, n: int, needed: np.ndarray | None = None) -> Series:
    """Return the last `n` steps, in memory, as `Series.tail` does, with the errors of a `NoisySeries`."""
    last = series.tail(n, needed)
    if not isinstance(series, NoisySeries):
        return last
    return with_array(last, series.load_errors(max(len(series) - n, 0), len(series)))


def with_array(series: Series, errors: Any) -> NoisySeries:
    """Return `series` with errors of its shape."""
    return NoisySeries(**{f.name: getattr(series, f.name) for f in fields(Series)}, errors=errors)


def join_noisy(first: Series, second: Series) -> Series:
    """Return what `join` returns, with the errors of both; a series without any has none."""
    joined = join(first, second)
    if not any(isinstance(part, NoisySeries) for part in (first, second)):
        return joined
    parts = [
        part.errors if isinstance(part, NoisySeries) else np.zeros(part.values.shape, np.float32)
        for part in (first, second)
    ]
    library = np if all(isinstance(part, np.ndarray) for part in parts) else da
    return with_array(joined, library.concatenate(parts, axis=1))


def with_errors(series: Series, observation_error: Any) -> Series:
    """Return a series with the errors that a user gives.

    Parameters
    ----------
    series : Series
    observation_error : float, ndarray, DataArray or None
        Standard deviation in the units of the series: one number, a field, or a series. Infinite, NaN or masked is
        an observation that does not count. None leaves the series as it is.

    Raises
    ------
    TypeError
        If it is none of these.
    ValueError
        If it is negative, or of another grid or other times.
    """
    if observation_error is None:
        return series
    shape = series.values.shape
    if isinstance(observation_error, numbers.Real) and not isinstance(observation_error, bool):
        if observation_error < 0:
            raise ValueError(f"observation_error={observation_error!r} is negative: give a standard deviation")
        return with_array(series, np.broadcast_to(np.float32(observation_error), shape))
    if isinstance(observation_error, np.ma.MaskedArray):
        observation_error = np.ma.filled(observation_error.astype(np.float32), np.nan)
    if isinstance(observation_error, np.ndarray):
        try:
            given = _with_channel(observation_error, series.grid)
            return with_array(series, np.broadcast_to(given, shape))
        except ValueError:
            raise ValueError(
                f"observation_error has the shape {observation_error.shape}, which does not fit the series, {shape}: "
                "give a number, a field or a series of the same grid"
            ) from None
    if not isinstance(observation_error, xr.DataArray):
        raise TypeError(
            f"observation_error must be a number, an ndarray or a DataArray, not {type(observation_error).__name__}"
        )
    return with_array(series, _broadcast(_selected(observation_error, series), series))


def _selected(error: xr.DataArray, series: Series) -> xr.DataArray:
    """Return the errors of the steps of a series, on its grid."""
    dims = [SAMPLE, TIME, *series.grid.dims]
    unknown = [d for d in error.dims if d not in dims]
    if unknown:
        raise ValueError(
            f"observation_error has a dimension {unknown[0]!r}, which X has not: it may have those of {tuple(dims)}"
        )
    labels = dict(error.coords)  # whose own `get` makes a coordinate where a dimension has none
    for name, ours in series.grid.coords.items():
        theirs = labels.get(name)
        if theirs is None or theirs.dims != ours.dims or not ours.dims:
            continue
        if not same_labels(ours.values, theirs.values):
            raise ValueError(f"observation_error has other values in {name!r} than the series: put it on the same grid")
    sizes = dict(zip(series.grid.dims, series.grid.shape[-len(series.grid.dims) :], strict=True))
    for dim in error.dims:
        if error.sizes[dim] != (expected := sizes.get(dim, error.sizes[dim])):
            raise ValueError(
                f"observation_error has {error.sizes[dim]} entries along {dim!r}, the series has {expected}: "
                "put it on the same grid"
            )
    if SAMPLE in error.dims:
        error = _of_samples(error, series)
    if TIME not in error.dims:
        return error
    if series.has_times and TIME in error.coords:
        at = error.get_index(TIME).get_indexer(series.times)
        if (at < 0).any():
            raise ValueError(
                f"observation_error has no time {series.times[int(np.argmax(at < 0))]}, which X has: give one for each "
                "step, or a field for all"
            )
        return error.isel({TIME: at})
    if error.sizes[TIME] != len(series):
        raise ValueError(f"observation_error has {error.sizes[TIME]} steps, the series has {len(series)}")
    return error


def _of_samples(error: xr.DataArray, series: Series) -> xr.DataArray:
    """Return the errors of the samples of a series, in its order."""
    samples = series.samples
    if samples is None or SAMPLE not in samples.coords or SAMPLE not in error.coords:
        return error
    at = error.get_index(SAMPLE).get_indexer(pd.Index(samples.values))
    if (at < 0).any():
        missing = samples.values[int(np.argmax(at < 0))]
        raise ValueError(f"observation_error has no {SAMPLE} {missing!r}, which X has: give one for each, or for all")
    return error.isel({SAMPLE: at})


def _broadcast(error: xr.DataArray, series: Series) -> Any:
    dims = [d for d in (SAMPLE, TIME, *series.grid.dims) if d in error.dims]
    values = error.transpose(*dims).data
    # an axis of size 1 for each dimension that it lacks
    index = tuple(slice(None) if d in dims else None for d in (SAMPLE, TIME, *series.grid.dims))
    values = values[index]
    if len(series.grid.dims) == 2:
        values = values[:, :, None]
    library = np if isinstance(values, np.ndarray) else da
    return library.broadcast_to(values, series.values.shape)


def _with_channel(values: np.ndarray, grid: Grid) -> np.ndarray:
    """Return a plain array with the axis of the channel that `unwrap` added."""
    return values[..., None, :, :] if len(grid.dims) == 2 and values.ndim >= 2 else values
