"""What a training sees of a scaled series: windows, held-out forecasts, runs of fields, noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import dask
import numpy as np
import torch

from gridcast.data.covariates import TimeFeatures
from gridcast.data.grid import Series
from gridcast.data.read_errors import check_unchanged
from gridcast.data.statistics import fill_missing
from gridcast.data.windows import thinned, window_starts
from gridcast.training.streaming import Cycle, Noise
from gridcast.transformers.scaling import Scaling

N_VALIDATION = 32  # held-out forecasts: enough to tell epochs apart, cheap beside an epoch
LEAST_ORIGINS = 3  # of a held-out sample: its beginning, middle and end
N_CHANGES = 500  # pairs of steps from which the size of a change is told
READ_TOGETHER = 32  # blocks in one call of dask
RUN_CELLS = 2**26  # values of all runs: 256 MiB
PIECE = 64  # steps of a run where there are more than that, so that few are lost to the lags of the first
LAST = (0.75, 1.0)  # shares of a training part between which lies what is forecast from the rest
NOISE_SHARE, NOISE_RANGE = 0.25, 40.0  # of the windows; from the largest standard deviation to the smallest

Part = tuple[np.ndarray, int, int]  # samples, first step, step after the last


@dataclass(frozen=True)
class Runs:
    """Runs of consecutive fields that end together.

    Parameters
    ----------
    begins : ndarray of int, (n_runs, 2)
        Sample and first step of each.
    stop : int
        The step after their last.
    """

    begins: np.ndarray
    stop: int


@dataclass(frozen=True)
class TrainingData:
    """A scaled series, divided for training and validation.

    Parameters
    ----------
    scaled : Series
    scaling : Scaling
    window, context : int
        Steps of a training window; observed steps that a forecast starts from.
    windows : ndarray of int, (n_windows, 2)
        Sample and first step of each training window.
    held_out : ndarray of int, (n, 2)
        Sample and last observed step of each validation forecast.
    time_features : TimeFeatures or None
    regional : bool
        Whether held-out forecasts are of regions, see `gridcast.training.regions`.
    periodic : (bool, bool)
        Whether rows and columns of the grid go around.
    beside : sequence of Part
        The parts of the training part beside what is left out of its middle; itself, where there are none.
    settled : bool
        Whether the climatology is that of an earlier fit, and stays.
    """

    scaled: Series
    scaling: Scaling
    window: int
    context: int
    windows: np.ndarray
    held_out: np.ndarray
    time_features: TimeFeatures | None = None
    regional: bool = False
    periodic: tuple[bool, bool] = (False, False)
    beside: Sequence[Part] = ()
    settled: bool = False

    @property
    def clock(self) -> np.ndarray | None:
        """The time features of each step, (time, n_clock)."""
        return None if self.time_features is None else self.time_features.at(self.scaled.times)

    @property
    def cycle(self) -> Cycle | None:
        """The climatology of each step."""
        anomaly = self.scaling.climatology
        return None if anomaly is None else Cycle(anomaly.cycle_, anomaly.weights(self.scaled.times))

    def validation(self, horizon: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray]:
        """Return contexts (n, context, channel, y, x) of the held-out forecasts, masks, first clocks, and the truth.

        The truth, (n, horizon, channel, y, x), is NaN beyond the end of the series.
        """
        first = self.held_out - (0, self.context - 1)  # (sample, step) where each context begins
        n, n_times = self.context + horizon, len(self.scaled.times)
        blocks = np.full((len(first), n, *self.scaled.grid.shape), np.nan, dtype=np.float32)
        for length in np.unique(lengths := np.minimum(n, n_times - first[:, 1])):
            blocks[lengths == length, :length] = self._read(first[lengths == length], length)
        x, mask = fill_missing(blocks[:, : self.context], self.scaling.default)
        return x, mask, None if self.clock is None else self.clock[first[:, 1]], blocks[:, self.context :]

    def with_few(self, most: int) -> TrainingData:
        """Return the data with at most so many held-out forecasts, evenly spaced."""
        return replace(self, held_out=thinned(self.held_out, most))

    def unseen(self) -> TrainingData:
        """Return the data with the climatology of the training part alone, where they are few enough to read it again.

        What is held out would else be judged against a climatology that has seen it; one of a long series has hardly.
        """
        if self.settled or not self.is_small:
            return self
        samples, _, stop = self.part
        values = self.scaled.values[samples.min() : samples.max() + 1, :stop]
        return replace(self, scaling=self.scaling.refitted(Series(values, self.scaled.times[:stop], self.scaled.grid)))

    def whole(self) -> TrainingData:
        """Return the data with the held-out part in the training part."""
        shape = self.scaled.values.shape
        windows, _ = divide(shape, window=self.window, stride=1, context=self.context, validation_fraction=0.0)
        return replace(self, windows=windows)

    def bounds(self, origins: np.ndarray, horizon: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the natural bounds of the steps after `origins`, see `Scaling.bounds`."""
        # beyond the end no truth is known, and any bound will do
        later = np.minimum(origins[:, None] + 1 + np.arange(horizon), len(self.scaled.times) - 1)
        return self.scaling.bounds([self.scaled.times[lead] for lead in later.T], self.scaled.drivers)

    @property
    def part(self) -> Part:
        """The training part."""
        return part_of(self.windows, self.window)

    @property
    def parts(self) -> Sequence[Part]:
        """The training part, or what is left of it beside its middle."""
        return self.beside or [self.part]

    def runs(self, least: int) -> list[torch.Tensor]:
        """Return runs of consecutive fields of the training part, gaps filled, (time, channel, y, x) each.

        All of it, where it is small; else evenly spaced pieces of at least `least` steps.
        """
        parts = [part for part in self.parts if part[2] - part[1] >= least]
        blocks = self._read(*pieces(parts, least, self._most_fields))
        return list(torch.from_numpy(fill_missing(blocks, self.scaling.default)[0]))

    def stretches(self, length: int, most: int) -> tuple[np.ndarray, np.ndarray]:
        """Return at most so many stretches of the training part, evenly spaced, gaps filled, and their masks.

        Both are (n, length, channel, y, x).
        """
        samples, first, stop = self.part
        starts = np.array([(sample, start) for sample in samples for start in range(first, stop - length + 1)])
        return fill_missing(self._read(thinned(starts, most), length), self.scaling.default)

    def divided(self, begin: float, end: float) -> tuple[TrainingData, Runs] | None:
        """Return the training part without what lies between two shares of it, and the runs of fields in that.

        The climatology of what is left is its own. None where one of both would be empty.
        """
        found = divide_part(self.windows, self.window, self.context, (begin, end))
        if found is None:
            return None
        windows, runs = found
        beside = parts_beside(windows, self.window, self.context, runs)
        # lazy still, and a view where they lie side by side: only slices of the values
        samples, times = beside[0][0], self.scaled.times
        row = slice(samples[0], samples[-1] + 1) if np.ptp(samples) == len(samples) - 1 else samples
        values = [self.scaled.values[row, first:stop] for _, first, stop in beside]
        known = Series(
            values[0] if len(values) == 1 else np.concatenate(values, axis=1),
            times[np.concatenate([np.arange(first, stop) for _, first, stop in beside])],
            self.scaled.grid,
        )
        # a climatology of the whole part would have seen the hindcasts' truth
        return replace(self, scaling=self.scaling.refitted(known), windows=windows, beside=beside), runs

    def hindcasts(self, runs: Runs, horizon: int, most: int) -> Iterator[tuple[np.ndarray, ...]]:
        """Yield contexts (1, context, channel, y, x), masks, the fields after them and origins (sample, step), (1, 2).

        Parameters
        ----------
        runs : Runs
        horizon : int
        most : int
            Contexts, evenly spaced over all runs.

        What lies behind the end of a run, and what was not observed, is NaN.
        """
        begins, stop = runs.begins, runs.stop
        n_runs = min(len(begins), most)
        for sample, start in thinned(begins, n_runs):
            length = min(stop - start, max(self._most_fields // n_runs, self.context + 1))
            (block,) = self._read(np.array([(sample, start)]), length)
            filled, mask = fill_missing(block, self.scaling.default)
            # so that the last origins have a whole horizon too
            truth = np.concatenate([block, np.full((horizon, *block.shape[1:]), np.nan, block.dtype)])
            origins = np.arange(self.context, length)  # the first step that is forecast
            for origin in thinned(origins, -(-most // n_runs)):
                context, after = slice(origin - self.context, origin), slice(origin, origin + horizon)
                yield (
                    filled[None, context],
                    mask[None, context],
                    truth[None, after],
                    np.array([(sample, start + origin - 1)]),
                )

    @property
    def is_small(self) -> bool:
        """Whether the training part is read at once, and further passes over it cost little."""
        samples, _, stop = self.part
        return len(samples) * stop <= self._most_fields

    @property
    def _most_fields(self) -> int:
        return max(1, RUN_CELLS // int(np.prod(self.scaled.grid.shape)))

    def noise(self, level: float) -> Noise:
        """Return the noise for training, up to `level` times the changes from one step to the next."""
        n = min(max(1, self._most_fields // 2), len(self.windows), N_CHANGES)  # two fields each
        chosen = thinned(self.windows, n)
        # changes of the values: the noise is added before the cycle is subtracted
        blocks = self._read(chosen, 2, anomalies=False)
        squared = np.square(blocks[:, 1] - blocks[:, 0])
        n_known = np.isfinite(squared).sum((0, 2, 3))
        # none where no two steps in a row were observed: how much it changes is not known
        change = np.sqrt(np.nansum(squared, axis=(0, 2, 3)) / np.maximum(n_known, 1))[:, None, None]
        # a series that never changes would have a standard deviation of zero, and no logarithm
        high = level * np.maximum(change, 1e-6)
        statistics = self.scaling.statistics
        return Noise(
            NOISE_SHARE, high / NOISE_RANGE, high, (statistics.low[:, None, None], statistics.high[:, None, None])
        )

    def _read(self, starts: np.ndarray, n: int, anomalies: bool = True) -> np.ndarray:
        """Return `n` steps from each of `starts` (sample, step), gaps as NaN."""
        blocks = read_fields(self.scaled, starts, n)
        if anomalies:
            for block, (_, start) in zip(blocks, starts, strict=True):
                block[:] = self.scaling.subtract(block, self.scaled.times[start : start + n])
        return blocks


def part_of(windows: np.ndarray, window: int) -> Part:
    """Return the samples, the first step and the step after the last that windows (sample, first step) cover."""
    # told by the windows, so that nothing held out is ever part of it
    starts = windows[:, 1]
    return np.unique(windows[:, 0]), int(starts.min()), int(starts.max()) + window


def divide_part(
    windows: np.ndarray, window: int, context: int, left_out: tuple[float, float] = LAST
) -> tuple[np.ndarray, Runs] | None:
    """Return the windows beside what lies between two shares of the training part, and the runs of fields in that.

    A run behind steps that are known begins with `context` of them, from which its first forecast starts. None where
    one of both would be empty.
    """
    samples, first, stop = part_of(windows, window)
    # independent samples are divided among themselves, a single series in time
    if len(samples) > 1:
        begin, end = (round(share * len(samples)) for share in left_out)
        inside = ~np.isin(windows[:, 0], samples[begin:end])
        runs = Runs(np.array([(sample, first) for sample in samples[begin:end]]), stop)
    else:
        begin, end = (first + round(share * (stop - first)) for share in left_out)
        # windows that reach over the cut would know what is forecast
        inside = (windows[:, 1] + window <= begin) | (windows[:, 1] >= end)
        runs = Runs(np.array([(samples[0], begin - context if begin > first else first)]), end)
    if (
        not inside.any()
        or not len(runs.begins)
        or runs.begins[0, 1] < first
        or runs.stop - runs.begins[0, 1] <= context
    ):
        return None
    return windows[inside], runs


def parts_beside(windows: np.ndarray, window: int, context: int, runs: Runs) -> list[Part]:
    """Return the parts that windows cover, without the steps of runs that begin with `context` known ones."""
    samples, first, stop = part_of(windows, window)
    begin, end = int(runs.begins[0, 1]) + context, runs.stop
    inside = first < begin and end < stop
    return [(samples, first, begin), (samples, end, stop)] if inside else [(samples, first, stop)]


def pieces(parts: Sequence[Part], least: int, most: int) -> tuple[np.ndarray, int]:
    """Return where runs of consecutive fields of some parts begin, (sample, step), and their length.

    The whole parts, where they have at most `most` fields; else evenly spaced pieces of at least `least` steps. Several
    parts are in pieces as long as the shortest.
    """
    samples = parts[0][0]
    n_steps = [stop - first for _, first, stop in parts]
    # whole runs where memory allows; each run loses as many pairs as there are lags
    whole = len(samples) * sum(n_steps) <= most
    length = min(n_steps) if whole else min(max(least, PIECE), *n_steps)
    starts = [
        (sample, start)
        for sample in samples
        for _, first, stop in parts
        for start in range(first, stop - length + 1, length)
    ]
    return thinned(np.array(starts), max(1, most // length)), length


def read_fields(series: Series, starts: np.ndarray, n: int) -> np.ndarray:
    """Return `n` steps from each of `starts` (sample, step), (start, step, channel, y, x), gaps as NaN."""
    blocks = np.empty((len(starts), n, *series.grid.shape), dtype=np.float32)
    for i in range(0, len(starts), READ_TOGETHER):
        some = starts[i : i + READ_TOGETHER]
        # together: chunks that several of them share are read once
        blocks[i : i + len(some)] = np.stack(dask.compute(*(series.values[s, t : t + n] for s, t in some)))
    if series.n_observed is not None:
        check_unchanged(blocks, np.stack([series.n_observed[s, t : t + n] for s, t in starts]), series.values)
    return blocks


def divide(
    shape: tuple[int, ...], *, window: int, stride: int, context: int, validation_fraction: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return (sample, first step) of the training windows and (sample, origin) of the validation forecasts.

    Parameters
    ----------
    shape : tuple of int
        Of the series: samples, steps, ...
    window, stride, context, validation_fraction
        As in `NeuralForecaster` and `gridcast.Training`.

    Raises
    ------
    ValueError
        If no window is left beside the validation part.
    """
    n_samples, n_times = shape[:2]
    starts = window_starts(n_times, window, stride)
    samples = np.arange(n_samples)
    n_held = round(validation_fraction * n_samples)
    n_last = round(validation_fraction * n_times)
    if n_samples > 1 and not n_held and n_last > n_times - window:
        n_held = 1  # they are too short for the end of each
    if n_held and n_samples > 1:
        n_held = min(n_held, n_samples - 1)
        held, samples = samples[n_samples - n_held :], samples[: n_samples - n_held]
        origins = np.arange(context - 1, n_times - 1)  # the last observed step
        # the first origin of each among them: it alone may reach the last lead
        n_origins = max(LEAST_ORIGINS, N_VALIDATION // n_held)
        held, origins = thinned(held, max(1, N_VALIDATION // n_origins)), thinned(origins, n_origins)
    else:
        # of few samples the end of each, as of a single series
        # a window must end before the held-out steps; their contexts may reach into the training part
        last_start = n_times - n_last - window
        if n_last and last_start < 0:
            raise ValueError(
                f"X has {n_times} steps: validation_fraction={validation_fraction} leaves {n_times - n_last} "
                f"for training, shorter than window={window}; give a longer series, a shorter window, or "
                "validation_fraction=0"
            )
        held, starts = samples if n_last else samples[:0], starts[starts <= last_start]
        origins = np.arange(max(n_times - n_last, context) - 1, n_times - 1)
    pairs = np.array(np.meshgrid(held, origins, indexing="ij")).reshape(2, -1).T
    # evenly spaced: all seasons have a say
    windows = np.array(np.meshgrid(samples, starts, indexing="ij")).reshape(2, -1).T
    return windows, thinned(pairs, N_VALIDATION)
