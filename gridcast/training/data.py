"""What a training sees of a scaled series: windows, held-out forecasts, stretches, noise."""

from __future__ import annotations

from dataclasses import dataclass

import dask
import numpy as np
import torch

from gridcast.data.covariates import TimeFeatures
from gridcast.data.grid import Series
from gridcast.data.statistics import fill_missing
from gridcast.data.windows import window_starts
from gridcast.training.spec import stretch_count
from gridcast.training.streaming import Cycle, Noise
from gridcast.transformers.scaling import Scaling

N_VALIDATION = 32
N_NOISE = 500
READ_TOGETHER = 32
NOISE_SHARE, NOISE_RANGE = 0.25, 40.0


@dataclass(frozen=True)
class TrainingData:
    """A scaled series, divided for training and validation.

    Parameters
    ----------
    scaled : Series
    scaling : Scaling
    context : int
        Observed steps that a forecast starts from.
    windows : ndarray of int, (n_windows, 2)
        Sample and first step of each training window.
    held_out : ndarray of int, (n, 2)
        Sample and last observed step of each validation forecast.
    time_features : TimeFeatures or None
    """

    scaled: Series
    scaling: Scaling
    context: int
    windows: np.ndarray
    held_out: np.ndarray
    time_features: TimeFeatures | None = None

    @property
    def clock(self) -> np.ndarray | None:
        """The time features of each step, (time, n_clock)."""
        return None if self.time_features is None else self.time_features.at(self.scaled.times)

    @property
    def cycle(self) -> Cycle | None:
        """The climatology of each step."""
        anomaly = self.scaling.climatology
        return None if anomaly is None else Cycle(anomaly.cycle_, anomaly.phases(self.scaled.times))

    def validation(self) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray]:
        """Return contexts (n, context, channel, y, x) of the held-out forecasts, masks, first clocks, and the truth."""
        first = self.held_out - (0, self.context - 1)
        blocks = self._read(first, self.context + 1)
        x, mask = fill_missing(blocks[:, : self.context], self.scaling.default)
        return x, mask, None if self.clock is None else self.clock[first[:, 1]], blocks[:, self.context]

    def stretches(self, n_steps: int) -> torch.Tensor:
        """Return stretches at evenly spaced training windows; see `ModuleSpec`."""
        n = stretch_count(self.scaled.grid.shape, len(self.windows), n_steps)
        chosen = self.windows[np.linspace(0, len(self.windows) - 1, n).astype(int)]
        return torch.from_numpy(fill_missing(self._read(chosen, n_steps), self.scaling.default)[0])

    def noise(self, level: float) -> Noise:
        """Return the noise for training, up to `level` times the changes from one step to the next."""
        n = min(stretch_count(self.scaled.grid.shape, len(self.windows), 2), N_NOISE)
        chosen = self.windows[np.linspace(0, len(self.windows) - 1, n).astype(int)]
        blocks = self._read(chosen, 2, anomalies=False)
        change = np.sqrt(np.nanmean(np.square(blocks[:, 1] - blocks[:, 0]), axis=(0, 2, 3)))[:, None, None]
        high = level * np.maximum(change, 1e-6)
        statistics = self.scaling.statistics
        return Noise(
            NOISE_SHARE, high / NOISE_RANGE, high, (statistics.low[:, None, None], statistics.high[:, None, None])
        )

    def _read(self, starts: np.ndarray, n: int, anomalies: bool = True) -> np.ndarray:
        """Return `n` steps from each of `starts` (sample, step), gaps as NaN."""
        scaled = self.scaled
        blocks = np.empty((len(starts), n, *scaled.grid.shape), dtype=np.float32)
        for i in range(0, len(starts), READ_TOGETHER):
            part = starts[i : i + READ_TOGETHER]
            blocks[i : i + len(part)] = np.stack(dask.compute(*(scaled.values[s, t : t + n] for s, t in part)))
        if anomalies:
            for block, (_, start) in zip(blocks, starts, strict=True):
                block[:] = self.scaling.subtract(block, scaled.times[start : start + n])
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
        As in `NeuralForecaster`.

    Raises
    ------
    ValueError
        If no window is left beside the validation part.
    """
    n_samples, n_times = shape[:2]
    starts = window_starts(n_times, window, stride)
    samples = np.arange(n_samples)
    if n_samples > 1:
        n_held = round(validation_fraction * n_samples)
        held, samples = samples[n_samples - n_held :], samples[: n_samples - n_held]
        origins = np.arange(context - 1, n_times - 1)
    else:
        n_held = round(validation_fraction * n_times)
        last_start = n_times - n_held - window
        if n_held and last_start < 0:
            raise ValueError(
                f"X has {n_times} steps: validation_fraction={validation_fraction} leaves {n_times - n_held} "
                f"for training, shorter than window={window}; give a longer series, a shorter window, or "
                "validation_fraction=0"
            )
        held, starts = samples[: min(n_held, 1)], starts[starts <= last_start]
        origins = np.arange(max(n_times - n_held, context) - 1, n_times - 1)
    pairs = np.array(np.meshgrid(held, origins, indexing="ij")).reshape(2, -1).T
    chosen = np.unique(np.linspace(0, max(len(pairs) - 1, 0), N_VALIDATION).astype(int))
    windows = np.array(np.meshgrid(samples, starts, indexing="ij")).reshape(2, -1).T
    return windows, pairs[chosen] if len(pairs) else pairs
