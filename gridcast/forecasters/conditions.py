"""What is taken to be known of the future: single cells, or the mean of a region."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from gridcast.data.grid import TIME, Series, unwrap
from gridcast.data.labels import same_labels
from gridcast.data.time_kinds import refuse_other_kinds
from gridcast.data.units import warn_of_other_units


@dataclass(frozen=True)
class AreaMean:
    """A condition on the mean of a region and of some times of a forecast, for ``predict_samples(..., given=)``.

    Parameters
    ----------
    region : DataArray, dims among those of a field
        The weight of each cell, or True inside of the region; multiply by `gridcast.metrics.latitude_weights` where
        cells differ in size.
    between : (float, float)
        The smallest and the largest mean, in the units of the series; twice the same for one value.
    times : sequence of time labels, optional
        The times whose mean it is; by default all that are forecast.

    Raises
    ------
    TypeError
        If `region` is no DataArray.
    ValueError
        If `between` is no pair of finite numbers in order, or the weights are negative or all zero.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> box = xr.DataArray(np.ones((2, 2)), dims=("y", "x"))
    >>> AreaMean(box, between=(28.5, 29.5)).between
    (28.5, 29.5)
    """

    region: xr.DataArray
    between: tuple[float, float]
    times: Sequence[Any] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.region, xr.DataArray):
            raise TypeError(f"region must be a DataArray of weights, not {type(self.region).__name__}")
        low, high = self.between
        if not np.isfinite([low, high]).all() or low > high:
            raise ValueError(f"between={self.between!r} must be two finite numbers, the smaller first")
        weights = np.nan_to_num(np.asarray(self.region.values, dtype=float))
        if (weights < 0).any() or not weights.any():
            raise ValueError("region has negative weights or none above zero: give 1 or True inside of the region")

    def weights(self, times: pd.Index, series: Series) -> np.ndarray:
        """Return the weights of cells at times that are forecast, (time, channel, y, x), which add up to 1."""
        grid = series.grid
        if unknown := [d for d in self.region.dims if d not in grid.dims]:
            raise ValueError(f"given: region has a dimension {unknown[0]!r}, a field has {grid.dims}")
        labels = dict(self.region.coords)  # whose own `get` makes a coordinate where a dimension has none
        for dim in self.region.dims:
            ours, theirs = grid.coords.get(dim), labels.get(dim)
            size = grid.shape[-len(grid.dims) :][grid.dims.index(dim)]
            differ = ours is not None and theirs is not None and not same_labels(ours.values, theirs.values)
            if self.region.sizes[dim] != size or differ:
                raise ValueError(f"given: region is of another grid along {dim!r}: reindex it like the series")
        region = self.region.transpose(*[d for d in grid.dims if d in self.region.dims])
        axes = tuple(slice(None) if d in self.region.dims else None for d in grid.dims)
        cells = np.nan_to_num(np.asarray(region.values, dtype=float))[axes]
        if len(grid.dims) == 2:
            cells = cells[None]
        chosen = np.ones(len(times), dtype=bool)
        if self.times is not None:
            at = times.get_indexer(pd.Index(self.times))
            if (at < 0).any():
                raise ValueError(
                    f"given: times holds {self.times[int(np.argmax(at < 0))]}, which is not forecast: the forecast "
                    f"goes from {times[0]} to {times[-1]}"
                )
            chosen[:] = False
            chosen[at] = True
        weights = chosen[:, None, None, None] * np.broadcast_to(cells, grid.shape)
        return weights / weights.sum()


def known_future(given: xr.DataArray, times: pd.Index, series: Series) -> np.ndarray:
    """Return what a DataArray says of times that are forecast, (sample, time, channel, y, x), NaN where nothing.

    Raises
    ------
    TypeError, ValueError
        If it is no series of numbers, of another grid, or knows of a time that is not forecast.

    Warns
    -----
    UserWarning
        If it says that it is in other units than the series.
    """
    labels = given.get_index(TIME) if TIME in given.indexes and series.has_times else None
    try:
        if labels is not None:
            refuse_other_kinds(given)
        # chosen times are not equally far apart
        future, _ = unwrap(given.drop_vars(TIME) if TIME in given.indexes else given)
        series.grid.check_same(future.grid)
    except (TypeError, ValueError) as error:
        raise type(error)(f"given: {error}") from error
    ours, theirs = (grid.attrs.get("units") for grid in (series.grid, future.grid))
    warn_of_other_units("given", theirs, "the training series", ours)
    n_samples = series.values.shape[0]
    if future.values.shape[0] not in (1, n_samples):
        raise ValueError(f"given has {future.values.shape[0]} samples, the series has {n_samples}")
    at = np.arange(len(future)) if labels is None else times.get_indexer(labels)
    if (at < 0).any() or len(at) > len(times):
        beyond = len(future) if labels is None else labels[int(np.argmax(at < 0))]
        raise ValueError(
            f"given has {beyond}, which is not forecast: the forecast goes from {times[0]} to {times[-1]}; "
            "select these times or raise horizon"
        )
    out = np.full((n_samples, len(times), *series.grid.shape), np.nan, dtype=np.float32)
    out[:, at] = future.load(0, len(future))
    return out
