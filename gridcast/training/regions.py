"""Regions of a large grid, of which its held-out forecasts are: the cost of a decision does not grow with the grid."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gridcast.modules.region import Places
from gridcast.training.data import TrainingData

SIZE = 128  # rows and columns of a region
MARGIN = 32  # within it, beside its sides, to which much comes from beyond: nothing is scored there
STEPS = (0.7548776662466927, 0.5698402909980532)  # of places, which fill the grid evenly (Roberts 2018)


@dataclass(frozen=True)
class Region:
    """A part of the grid.

    Parameters
    ----------
    place : (int, int)
        Its first row and column.
    data : TrainingData
        Of these cells.
    scored : ndarray of bool, (y, x)
        Cells that a forecast of it can be held against.
    """

    place: tuple[int, int]
    data: TrainingData
    scored: np.ndarray


def regions(data: TrainingData, multiple: int) -> tuple[list[Region], Places | None]:
    """Return a region for each held-out forecast, spread over the grid, and where they are; of whole fields one, None.

    Parameters
    ----------
    data : TrainingData
    multiple : int
        Cells of a block and side: regions are of whole blocks.
    """
    grid = data.scaled.grid.shape[1:]
    if not data.regional or max(grid) <= SIZE:
        return [Region((0, 0), data, np.ones(grid, dtype=bool))], None
    # a side that is no longer than a region is whole, but for a part of a block; one of less than a block all the same
    size = tuple(min(SIZE, n) // multiple * multiple or n for n in grid)
    found = []
    for i, held_out in enumerate(data.held_out):
        place = tuple(
            int((i + 1) * step % 1 * (n - side + 1)) // multiple * multiple
            for step, n, side in zip(STEPS, grid, size, strict=True)
        )
        along = [_scored(*side, multiple) for side in zip(place, size, grid, data.periodic, strict=True)]
        part = _cut(data, [slice(p, p + n) for p, n in zip(place, size, strict=True)])
        view = replace(part, held_out=held_out[None])
        found.append(Region((place[0], place[1]), view, along[0][:, None] & along[1]))
    places = Places(grid, (size[0], size[1]), [region.place for region in found], multiple, data.periodic)
    return found, places


def validation(found: list[Region], horizon: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray]:
    """Return what `TrainingData.validation` does of all regions; the truth is NaN where nothing is scored."""
    fields = [region.data.validation(horizon) for region in found]
    x, mask, truth = (np.concatenate([f[i] for f in fields]) for i in (0, 1, 3))
    clocks = [clock for _, _, clock, _ in fields if clock is not None]
    scored = np.concatenate([np.broadcast_to(r.scored, f[3].shape) for r, f in zip(found, fields, strict=True)])
    return x, mask, np.concatenate(clocks) if clocks else None, np.where(scored, truth, np.nan)


def bounds(found: list[Region], horizon: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the natural bounds of the truth of all regions, see `gridcast.transformers.scaling.Scaling.bounds`."""
    limits = [region.data.bounds(region.data.held_out[:, 1], horizon) for region in found]
    known = [limit for limit in limits if limit is not None]
    if not known:
        return None
    low, high = (np.concatenate(part) for part in zip(*known, strict=True))
    return low, high


def _scored(first: int, n: int, n_grid: int, periodic: bool, multiple: int) -> np.ndarray:
    """Return which of the rows of a region are far from its sides, or at a side of the grid."""
    rows = np.arange(first, first + n)
    # rows that go around have no side, and all of them none at all
    begins, ends = first == 0, first + n > n_grid - multiple
    if periodic:
        begins = ends = n == n_grid
    return ((rows >= first + MARGIN) | begins) & ((rows < first + n - MARGIN) | ends)


def _cut(data: TrainingData, sides: Sequence[slice]) -> TrainingData:
    """Return the data of some rows and columns, lazy if they are."""
    at: tuple[Any, ...] = (..., *sides)
    scaled, scaling = data.scaled, data.scaling
    values = scaled.values[at]
    grid = replace(scaled.grid, shape=values.shape[2:], coords={})
    statistics = scaling.statistics
    statistics = replace(statistics, mean=statistics.mean[at], std=statistics.std[at], observed=statistics.observed[at])
    climatology = copy.copy(scaling.climatology)
    if climatology is not None:
        climatology.cycle_ = climatology.cycle_[at]
    return replace(
        data,
        # counts of observed values are those of whole fields
        scaled=replace(scaled, values=values, grid=grid, n_observed=None, drivers=None),
        scaling=replace(scaling, climatology=climatology, statistics=statistics),
    )
