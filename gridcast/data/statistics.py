"""Fields without labels: gaps filled, statistics of each cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import dask
import dask.array as da
import numpy as np

from gridcast.data.warn import warn

BUFFER_BYTES = 256 * 2**20  # for blocks of a lazy series
MARGIN = 1e6  # of single precision, so that squares of scales and sums of values do not leave it either
LEAST_STEPS = 100  # of single precision within the spread of a channel
BOUND_SHARE, BOUND_COUNT = 0.01, 10  # fewer values at an extreme are chance, not a bound


# the default of netCDF, 1e20 of CMIP, and others in use
LIKELY_FILL_VALUES = (-999.0, -9999.0, -99999.0, -32768.0)  # of GRDC, ESRI grids, GeoTIFF
FILL_VALUES = (9.969209968386869e36, 1e20, 9.999e20, 1e30, 1e35, 1e36, float(np.finfo(np.float32).max))


def check_no_fill_values(smallest: np.ndarray, largest: np.ndarray) -> None:
    """Raise a ValueError if an extreme of a channel is one of the values that files write where nothing is observed.

    Of those that may be values as well there is a warning.
    """
    for value in np.ravel(smallest):
        if value in LIKELY_FILL_VALUES:
            warn(
                f"X goes down to {value:g}, which many files write where nothing is observed: if it is no value, mark "
                f"it as missing, X.where(X != {value:g})",
            )
    for value in np.concatenate([np.ravel(smallest), np.ravel(largest)]):
        if np.isclose(abs(value), FILL_VALUES, rtol=1e-5, atol=0).any():
            raise ValueError(
                f"X holds {value:g}, which files write where nothing is observed: mark missing values with NaN, "
                "X.where(abs(X) < 1e19)"
            )


def check_resolved(values: Any, name: str = "X") -> None:
    """Raise a ValueError if single precision can not tell the values of a channel apart, of a series as it is given.

    Parameters
    ----------
    values : numpy or dask array, (sample, time, channel, y, x)
        Read once more where they are in double precision or whole numbers.
    name : str
        Of the parameter that they are.
    """
    if values.dtype not in (np.float16, np.float32):  # single precision has told apart what is told apart
        smallest, largest, *_ = extremes(values)
        check_precision(smallest, largest, values.dtype, name)


def check_precision(smallest: np.ndarray, largest: np.ndarray, dtype: np.dtype, name: str = "X") -> None:
    """Raise a ValueError if single precision can not tell the values of a channel between its extremes apart.

    Parameters
    ----------
    smallest, largest : ndarray, (channel,)
    dtype : dtype
        Of the values; single precision has already told apart what is told apart.
    name : str
        Of the parameter that they are.
    """
    single = np.finfo(np.float32)
    for low, high in zip(np.ravel(smallest).astype(float), np.ravel(largest).astype(float), strict=True):
        size, spread = max(abs(low), abs(high)), high - low
        if not np.isfinite(size) or size == 0:  # never observed, infinite or all zero: said elsewhere
            continue
        if size > single.max / MARGIN or (0 < spread < single.tiny * MARGIN):
            raise beyond_precision(low if abs(low) == size else high, spread if size < 1 else size, name)
        if 0 < spread < LEAST_STEPS * single.eps * size and dtype.kind + str(dtype.itemsize) not in "f2 f4":
            raise ValueError(
                f"{name} lies between {low:.10g} and {high:.10g}, where single precision has steps of "
                f"{single.eps * size:.1g}: take away what all values have in common, {name} - {low:.10g}"
            )


def extremes(values: Any, given: tuple[np.ndarray, np.ndarray] | None = None, *also: Any) -> tuple[Any, ...]:
    """Return per channel the extremes and the count, and how many cells lie outside `given`, in one pass.

    Parameters
    ----------
    values : numpy or dask array, (sample, time, channel, y, x)
    given : (ndarray, ndarray), (channel,), optional
        Limits from below and above.
    *also : array
        What else is computed from `values`, perhaps lazily: it is read in the same pass and stands behind the others.

    Returns
    -------
    smallest, largest : ndarray, (channel,)
        Infinite where nothing is observed.
    n_observed : ndarray of int, (channel,)
    n_outside : int
    """
    library = da if isinstance(values, da.Array) else np
    axes, observed = (
        (0, 1, 3, 4),
        ~library.isnan(values) if values.dtype.kind == "f" else library.ones_like(values, bool),
    )
    low = library.where(observed, values, np.inf).min(axes)  # (channel,), infinite where nothing is observed
    high = library.where(observed, values, -np.inf).max(axes)
    outside = 0
    if given is not None:
        bottom, top = (limit.reshape(-1, 1, 1) for limit in given)
        outside = ((values < bottom) | (values > top)).sum()
    # one call: the file is read once for all of them
    low, high, count, outside, *others = dask.compute(low, high, observed.sum(axes), outside, *also)
    return low.astype(float), high.astype(float), count, int(outside), *others


def sums_above(values: Any, bound: np.ndarray) -> tuple[Any, Any]:
    """Return per channel the sum and the count of the values above `bound` (channel,), lazy if `values` are."""
    library = da if isinstance(values, da.Array) else np
    above = values > bound.reshape(-1, 1, 1)  # NaN is not
    return library.where(above, values, 0).sum((0, 1, 3, 4), dtype=float), above.sum((0, 1, 3, 4))


def beyond_precision(value: float, unit: float | None = None, name: str = "X") -> ValueError:
    """Return the error for a value that is too large, or too small, for single precision."""
    return ValueError(
        f"{name} holds {value:g}, which single precision can not hold: mark values that are wrong with NaN, "
        f"{name}.where(abs({name}) < 1e30), or take another unit, {name} / {unit or abs(value):.0e}"
    )


def fill_missing(x: np.ndarray, default: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fill missing values with the last one observed before them in the window, else with a default.

    Parameters
    ----------
    x : ndarray, (..., time, channel, y, x)
    default : ndarray, (channel, y, x)
        What fills a cell before its first observation.

    Returns
    -------
    filled, mask : ndarray, same shape, float32
        Mask is 1 where `x` was observed.
    """
    observed = ~np.isnan(x)
    if observed.all():
        return x, np.ones_like(x)
    filled, last = np.empty_like(x), np.broadcast_to(default, (*x.shape[:-4], *x.shape[-3:]))
    # time is the fourth from the end, whatever stands before it
    for t in range(x.shape[-4]):
        last = np.where(observed[..., t, :, :, :], x[..., t, :, :, :], last)
        filled[..., t, :, :, :] = last
    return filled, observed.astype(x.dtype)


@dataclass(frozen=True)
class FieldStatistics:
    """What the cells of a training series look like.

    Parameters
    ----------
    mean, std : ndarray, (channel, y, x)
        Over samples and time; 0 where a cell is never observed.
    observed : ndarray of bool, (channel, y, x)
        Whether a cell is ever observed.
    complete : bool
        Whether every value is observed.
    low, high : ndarray, (channel,)
        The smallest and largest value of a channel where at least a hundredth of its values are there, as rain has 0;
        else infinite.
    missing : float
        Share of the values that are not observed.
    """

    mean: np.ndarray
    std: np.ndarray
    observed: np.ndarray
    complete: bool
    low: np.ndarray
    high: np.ndarray
    missing: float


def field_statistics(values: Any, buffer_bytes: int = BUFFER_BYTES) -> FieldStatistics:
    """Return the statistics of each cell in one pass over (sample, time, channel, y, x), block by block."""
    return field_sums(values, buffer_bytes).statistics()


def field_sums(values: Any, buffer_bytes: int = BUFFER_BYTES) -> FieldSums:
    """Return what the statistics are made of."""
    n_samples, n_times, *shape = values.shape
    sums, n = FieldSums(values.shape), samples_at_once(values)
    steps = max(1, buffer_bytes // (16 * int(np.prod(shape))))  # a double copy and its square
    if n > 1:  # fewer steps of several samples, but all of a chunk
        steps = max(steps // n, min(steps, values.chunks[1][0]))
    for first in range(0, n_samples, n):
        for start in range(0, n_times, steps):
            block = np.asarray(values[first : first + n, start : start + steps])
            for sample, fields in enumerate(block, first):
                sums.add(fields, sample, start)
    return sums


def samples_at_once(values: Any, most: int = 1) -> int:
    """Return how many samples (sample, time, ...) to read together: `most`, or a chunk of them, which is read once."""
    chunks = getattr(values, "chunks", None)
    return most if chunks is None else max(most, chunks[0][0])


class FieldSums:
    """What `FieldStatistics` are made of, fed block by block.

    Parameters
    ----------
    shape : (int, int, int, int, int)
        Samples, steps, channels, rows and columns.

    Attributes
    ----------
    n_observed : ndarray of int, (sample, time)
        Observed values of each step.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.n_observed, shape = np.zeros(shape[:2], dtype=np.int64), shape[2:]
        self.total, self.squares = np.zeros(shape), np.zeros(shape)
        self.count = np.zeros(shape, dtype=np.int64)
        self.n_fields = 0
        self.dtype = np.dtype(np.float32)
        self.extremes = _Extreme(shape[0], 1), _Extreme(shape[0], -1)

    def add(self, block: np.ndarray, sample: int, start: int) -> None:
        """Take in fields (n, channel, y, x), of a sample from the step `start` on."""
        self.dtype = block.dtype
        # sums of squares in single precision lose the variance of a large mean
        block = block.astype(np.float64)
        if np.isinf(block).any():
            raise ValueError("X holds an infinite value: mark missing values with NaN, X.where(np.isfinite(X))")
        seen = np.isfinite(block)
        for extreme in self.extremes:
            extreme.update(block)
        block = np.where(seen, block, 0.0)
        with np.errstate(over="ignore"):  # `statistics` refuses what is that large
            self.total += block.sum(0)
            self.squares += (block**2).sum(0)
        self.count += seen.sum(0)
        self.n_observed[sample, start : start + len(block)] = seen.sum((1, 2, 3))
        self.n_fields += len(block)

    def statistics(self) -> FieldStatistics:
        """Return the statistics of all fields so far."""
        smallest, largest = (extreme.sign * extreme.value for extreme in self.extremes)
        check_no_fill_values(smallest, largest)
        check_precision(smallest, largest, self.dtype)
        mean = self.total / np.maximum(self.count, 1)
        # rounding may take it below zero
        variance = np.maximum(self.squares / np.maximum(self.count, 1) - mean**2, 0.0)
        complete = bool((self.count == self.n_fields).all())
        missing = 1 - float(self.count.mean()) / max(self.n_fields, 1)
        low, high = (extreme.bound(self.count.sum((1, 2))) for extreme in self.extremes)
        std = np.sqrt(variance).astype(np.float32)
        return FieldStatistics(mean.astype(np.float32), std, self.count > 0, complete, low, high, missing)


class _Extreme:
    """The smallest value of each channel so far (of the negated values with `sign` -1), and how often it came."""

    def __init__(self, n_channels: int, sign: int) -> None:
        self.sign = sign
        self.value = np.full(n_channels, np.inf)
        self.count = np.zeros(n_channels, dtype=np.int64)

    def update(self, block: np.ndarray) -> None:
        for channel in range(len(self.value)):
            values = self.sign * block[:, channel]
            least = np.nanmin(values, initial=np.inf)  # `initial`: an empty or missing block has no minimum
            if least < self.value[channel]:
                self.value[channel], self.count[channel] = least, 0
            if least == self.value[channel]:
                self.count[channel] += np.count_nonzero(values == least)

    def bound(self, n_observed: np.ndarray) -> np.ndarray:
        many = self.count >= np.maximum(BOUND_SHARE * n_observed, BOUND_COUNT)
        return self.sign * np.where(many, self.value, -np.inf)  # no bound: -inf below, +inf above
