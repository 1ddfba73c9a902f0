"""The response of a series to covariates: a climatology that depends on more than the time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import dask.array as da
import numpy as np
import pandas as pd
from scipy.ndimage import uniform_filter

from gridcast.data.calendars import Calendar
from gridcast.data.drivers import FIELDS, MOST_LAG, PAST, Drivers
from gridcast.data.grid import Grid, Series
from gridcast.transformers.anomaly import Anomaly

# Steps back that a covariate is looked at. One of the past is known from one step back on
LAGS = {of_past: tuple(range(int(of_past), MOST_LAG + 1)) for of_past in (False, True)}
SCALES = (1, 3)  # cells on a side over which a gridded covariate is averaged
N_FOLDS = 4  # contiguous parts of the series, which choose the penalty
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)  # in units of the mean square of the regressors
BLOCK_VALUES, GRAM_BYTES = 2**23, 2**28  # of regressors at a time; of their products


@dataclass(frozen=True)
class Influence:
    """What one part of the covariates does.

    Parameters
    ----------
    cycle : Anomaly
        Climatology of the covariates.
    std : ndarray, (covariate,)
        Of their anomalies.
    coefficients : ndarray, (lag * scale * covariate, channel, y, x)
    """

    cycle: Anomaly
    std: np.ndarray
    coefficients: np.ndarray


@dataclass(frozen=True)
class Response:
    """The part of the scaled anomalies that is linear in covariates.

    The series of each cell is ``x(t) = sum_k b_k c_k(t) + e(t)``, where the regressors ``c_k`` are the anomalies of the
    covariates now and up to four steps ago, gridded ones at the cell and averaged over its neighbours, and ``e`` is
    what a model forecasts. As ``e`` is autocorrelated, the coefficients are those of generalised least squares: both
    sides less the persistence of the step before (Cochrane and Orcutt, JASA 1949), with a ridge penalty. Covariates of
    the past begin one step ago.

    Parameters
    ----------
    influences : mapping of str to Influence
        By the names of the parts of `gridcast.data.drivers.Drivers`.
    calendar : Calendar
    around : (bool, bool)
        Whether rows and columns go around.
    low, high : ndarray, (channel,)
        Natural bounds of the scaled series.
    """

    influences: dict[str, Influence]
    calendar: Calendar
    around: tuple[bool, bool]
    low: np.ndarray
    high: np.ndarray

    def at(self, drivers: Drivers, times: pd.Index) -> np.ndarray:
        """Return the response at `times`, (sample, time, channel, y, x), one sample where all share the covariates."""
        total: Any = np.float32(0)
        for name, influence in self.influences.items():
            z = self.regressors(name, influence, drivers, times)
            # an area-wide one is the same in all cells
            total = total + np.einsum("snpyx,pcyx->sncyx", z, influence.coefficients, optimize=False)
        return total

    def regressors(self, name: str, influence: Influence, drivers: Drivers, times: pd.Index) -> np.ndarray:
        """Return the regressors of one part at `times`, (sample, time, lag * scale * covariate, y, x)."""
        part, lags = drivers.parts[name], LAGS[name.startswith(PAST)]
        steps = self.calendar.steps_between(part.times[0], times)
        first, stop = max(int(steps.min()) - max(lags), 0), max(int(steps.max()) - min(lags), 0) + 1
        anomalies = _anomalies(part, influence.cycle, first, stop) / influence.std[:, None, None]
        fields = [_averaged(anomalies, scale, self.around) for scale in (SCALES if name.endswith(FIELDS) else (1,))]
        # the first step stands for those before it
        lagged = [np.maximum(steps - lag, 0) - first for lag in lags]
        return np.concatenate([field[:, at] for at in lagged for field in fields], axis=2)

    def subtracted(self, series: Series, sign: int = -1) -> Series:
        """Return a series with drivers without its response, lazy if it was."""
        drivers, times = series.drivers, series.times
        assert drivers is not None

        def without(block: np.ndarray, place: Sequence[Sequence[int]]) -> np.ndarray:
            samples, steps, channels, rows, columns = (slice(*p) for p in place)
            found = self.at(drivers, times[steps])
            found = found if len(found) == 1 else found[samples]
            return (block + sign * found[:, :, channels, rows, columns]).astype(np.float32)

        values = series.values
        if isinstance(values, np.ndarray):
            out = np.empty(values.shape, np.float32)
            n = max(1, BLOCK_VALUES // values[0, 0].size)
            for start in range(0, len(series), n):
                stop = min(start + n, len(series))
                place = [(0, len(values)), (start, stop), *((0, size) for size in values.shape[2:])]
                out[:, start:stop] = without(values[:, start:stop], place)
            return replace(series, values=out)

        def of_block(block: np.ndarray, block_info: Any = None) -> np.ndarray:
            return without(block, block_info[0]["array-location"])

        return replace(series, values=da.map_blocks(of_block, values, dtype=np.float32, meta=np.empty((0,) * 5, "f4")))


@dataclass(frozen=True)
class Nowcast:
    """What covariates of the past say of the step after the last observed one.

    Parameters
    ----------
    response : Response
        Of the series to them.
    weight, spread : ndarray, (horizon,)
        Share of its effect that the forecast of each lead takes, and what deviations of members are multiplied by.
    """

    response: Response
    weight: np.ndarray
    spread: np.ndarray


def fit_response(
    scaled: Series,
    climatology: Anomaly | None,
    calendar: Calendar,
    names: Sequence[str],
    samples: np.ndarray,
    stretch: tuple[int, int],
    around: tuple[bool, bool],
    bounds: tuple[np.ndarray, np.ndarray],
) -> Response:
    """Learn the response to some parts of the covariates.

    Parameters
    ----------
    scaled : Series
        With drivers.
    climatology : Anomaly or None
        Of the series.
    calendar : Calendar
    names : sequence of str
        Parts of the drivers.
    samples : ndarray of int
    stretch : (int, int)
        First step, and the step after the last, that may be looked at.
    around : (bool, bool)
    bounds : (ndarray, ndarray), each (channel,)
    """
    assert scaled.drivers is not None
    first, stop = stretch
    drivers, times = scaled.drivers, scaled.times[first:stop]
    known = {
        name: _describe(drivers.parts[name], climatology, calendar, times, samples, name.partition("/")[0])
        for name in names
    }
    response = Response(known, calendar, around, *bounds)
    sums = _Sums(response, scaled, climatology, samples, first, stop)
    shape = scaled.grid.shape
    sizes = [n_regressors(name, len(part.std)) for name, part in known.items()]
    weights = np.zeros((sum(sizes), *shape), np.float32)
    n_rows = max(1, GRAM_BYTES // (8 * (N_FOLDS + 1) * sum(sizes) ** 2 * shape[2]))
    for row in range(0, shape[1], n_rows):
        weights[:, :, row : row + n_rows] = sums.solve(slice(row, row + n_rows))
    of_parts = np.split(weights, np.cumsum(sizes)[:-1])
    return replace(
        response,
        influences={
            name: replace(part, coefficients=of_part)
            for (name, part), of_part in zip(known.items(), of_parts, strict=True)
        },
    )


def n_regressors(name: str, n_covariates: int) -> int:
    """Return how many regressors the covariates of a part make."""
    return len(LAGS[name.startswith(PAST)]) * (len(SCALES) if name.endswith(FIELDS) else 1) * n_covariates


def _describe(
    part: Series, climatology: Anomaly | None, calendar: Calendar, times: pd.Index, samples: np.ndarray, kind: str
) -> Influence:
    """Learn climatology and size of covariates at the times from which is learned."""
    begin = int(calendar.steps_between(part.times[0], times[:1])[0])
    few = samples if len(part.values) > 1 else [0]
    shape = part.values.shape[2:]
    seen = Series(part.values[few, begin : begin + len(times)], times, Grid(part.grid.dims, shape, {}), None, {})
    # the cycle of the series, or the part of it that both share would be laid to the covariate
    cycle = Anomaly(1) if climatology is None else Anomaly(climatology.period_, climatology.n_harmonics)
    try:
        cycle.resolve(seen, calendar)
    except ValueError:  # a part of the series that is shorter than the period
        cycle = Anomaly(1)
        cycle.resolve(seen, calendar)
    cycle.learn(seen)
    cycle.cycle_ = np.nan_to_num(cycle.cycle_)
    found, total = np.zeros(shape[0]), np.zeros(shape[0])
    block = max(1, BLOCK_VALUES // max(1, int(np.prod(shape)) * len(few)))
    for start in range(0, len(times), block):
        values = seen.load(start, min(start + block, len(times)))
        found += np.isfinite(values).sum((0, 1, 3, 4))
        anomalies = values - cycle.climatology(times[start : start + block])
        total += np.square(np.nan_to_num(anomalies), dtype=np.float64).sum((0, 1, 3, 4))
    if not np.all(found):
        raise ValueError(f"{kind} holds a series without any value at the times of X: drop it or check the fill value")
    variance = total / found
    floor = (1e-6 * np.abs(cycle.cycle_).max((0, 2, 3)).astype(float)) ** 2  # what is constant but for rounding
    std = np.where(variance > floor, np.sqrt(variance), np.inf)  # and then says nothing
    empty = np.empty((0, 1, 1, 1), np.float32)
    return Influence(cycle, std.astype(np.float32), empty)


def _anomalies(part: Series, cycle: Anomaly, first: int, stop: int) -> np.ndarray:
    """Return anomalies of the steps ``first:stop``; what is missing is as usual."""
    values = np.asarray(part.values[:, first:stop], dtype=np.float32)
    if np.isinf(values).any():  # of a lazy one, which was not looked at before
        raise ValueError("covariates hold an infinite value: mark missing values with NaN")
    return np.nan_to_num(values - cycle.climatology(part.times[first:stop]), copy=False)


def _averaged(fields: np.ndarray, size: int, around: tuple[bool, bool]) -> np.ndarray:
    if size == 1:
        return fields
    modes = ["wrap" if goes else "nearest" for goes in around]
    return uniform_filter(fields, (1, 1, 1, size, size), mode=["nearest", "nearest", "nearest", *modes])


class _Sums:
    """The regression of the cells of some rows."""

    def __init__(
        self, response: Response, scaled: Series, climatology: Anomaly | None, samples: np.ndarray, *stretch: int
    ) -> None:
        self.response, self.scaled, self.climatology, self.samples = response, scaled, climatology, samples
        self.first, self.stop = stretch

    def solve(self, rows: slice) -> np.ndarray:
        """Return the coefficients of some rows, (regressor, channel, y, x)."""
        persistence = self._persistence(rows)  # (y, x)
        grams, crosses, squares = [], [], []
        edges = np.linspace(self.first, self.stop, N_FOLDS + 1).astype(int)
        for first, stop in itertools.pairwise(edges):
            gram: Any = 0.0
            cross: Any = 0.0
            square: Any = 0.0
            for x, z in self._blocks(rows, first, stop):
                # without what the step before tells; of the first step of a block there is none
                left, right = (v[:, 1:] - persistence * v[:, :-1] for v in (x, z))
                seen = np.isfinite(left).all(2, keepdims=True)
                # (cell, regressor or channel, sample * time)
                right, left = (_by_cell(np.where(seen, v, 0.0)) for v in (right, left))
                gram = gram + (right @ right.mT).astype(np.float64)
                cross = cross + (right @ left.mT).astype(np.float64)
                square = square + np.square(left).sum(2).astype(np.float64)
            grams.append(gram)
            crosses.append(cross)
            squares.append(square)
        weights = _cross_validated(np.stack(grams), np.stack(crosses), np.stack(squares))
        return weights.transpose(1, 2, 0).reshape(*weights.shape[1:], *persistence.shape)

    def _persistence(self, rows: slice) -> np.ndarray:
        """Return the autocorrelation of a step of each cell, (y, x), the mean of all channels."""
        both: Any = 0.0
        square: Any = 1e-12
        for x, _ in self._blocks(rows, self.first, self.stop, regressors=False):
            now, before = np.nan_to_num(x[:, 1:]), np.nan_to_num(x[:, :-1])
            both = both + (now * before).sum((0, 1, 2))
            square = square + 0.5 * (np.square(now) + np.square(before)).sum((0, 1, 2))
        return np.clip(both / square, 0.0, 1.0).astype(np.float32)

    def _blocks(
        self, rows: slice, first: int, stop: int, *, regressors: bool = True
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield anomalies and regressors of stretches that overlap by a step, (sample, time, ..., y, x)."""
        values, times, drivers = self.scaled.values, self.scaled.times, self.scaled.drivers
        assert drivers is not None
        n_cells = len(self.samples) * len(range(*rows.indices(values.shape[3]))) * values.shape[4]
        block = max(2, BLOCK_VALUES // (n_cells * 16))
        for start in range(first, stop, block):
            end = min(start + block + 1, stop)
            if end - start < 2:
                continue
            at = times[start:end]
            x = np.asarray(values[self.samples, start:end, :, rows], dtype=np.float32)
            if self.climatology is not None:
                x = x - self.climatology.climatology(at)[..., rows, :]
            z = x[:, :, :0]
            if regressors:
                parts = []
                for name, influence in self.response.influences.items():
                    part = self.response.regressors(name, influence, drivers, at)
                    part = part if len(part) == 1 else part[self.samples]
                    part = part[..., rows, :] if name.endswith(FIELDS) else part
                    parts.append(np.broadcast_to(part, (len(x), len(at), part.shape[2], *x.shape[3:])))
                z = np.concatenate(parts, axis=2)
            yield x, z


def _by_cell(values: np.ndarray) -> np.ndarray:
    """Map (sample, time, k, y, x) to (y * x, k, sample * time)."""
    return np.ascontiguousarray(values.transpose(3, 4, 2, 0, 1).reshape(-1, values.shape[2], np.prod(values.shape[:2])))


def _cross_validated(grams: np.ndarray, crosses: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """Return the ridge weights (cell, regressor, channel) whose penalty errs least on the folds left out.

    Parameters
    ----------
    grams, crosses, squares : ndarray, (fold, cell, regressor, regressor), (..., regressor, channel), (..., channel)
    """
    gram, cross = grams.sum(0), crosses.sum(0)
    errors = []
    for penalty in PENALTIES:
        error = 0.0
        for fold in range(len(grams)):
            w = _ridge(gram - grams[fold], cross - crosses[fold], penalty)
            missed = squares[fold] - 2 * (w * crosses[fold]).sum(1) + (w * (grams[fold] @ w)).sum(1)
            error += float(missed.sum())
        errors.append(error)
    return _ridge(gram, cross, PENALTIES[int(np.argmin(errors))]).astype(np.float32)


def _ridge(gram: np.ndarray, cross: np.ndarray, penalty: float) -> np.ndarray:
    n = gram.shape[-1]
    # one size for all regressors of a cell, whose anomalies have unit variance
    size = np.trace(gram, axis1=1, axis2=2)[:, None, None] / n
    return np.linalg.solve(gram + (penalty * size + 1e-9 * np.maximum(size, 1.0)) * np.eye(n), cross)
