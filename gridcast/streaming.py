"""Windows over numpy or dask arrays, shuffled and batched within bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from gridcast.fields import BUFFER_BYTES, fill_missing


@dataclass(frozen=True)
class Batch:
    """A batch of windows in memory.

    Parameters
    ----------
    x : Tensor, (batch, time, channel, y, x)
        Values, missing ones filled in.
    mask : Tensor, same shape
        1 where observed, else 0.
    target : Tensor, same shape, or None
        The values without added noise, where noise was added.
    origin : Tensor of int, (batch, 2), or None
        First row and column of each patch.
    """

    x: torch.Tensor
    mask: torch.Tensor
    target: torch.Tensor | None = None
    origin: torch.Tensor | None = None


@dataclass(frozen=True)
class Cycle:
    """What is subtracted from each step: its climatology.

    Parameters
    ----------
    values : ndarray, (phase, channel, y, x)
    phases : ndarray of int, (time,)
        Phase of each step of the series.
    """

    values: np.ndarray
    phases: np.ndarray

    def at(self, steps: slice | np.ndarray) -> np.ndarray:
        """Return the climatology of `steps`, (*steps, channel, y, x)."""
        return self.values[self.phases[steps]]


@dataclass(frozen=True)
class Noise:
    """Gaussian noise on some of the windows, so that a model meets observations worse than those it learns from.

    Parameters
    ----------
    share : float
        Share of windows with noise.
    low, high : ndarray, (channel, 1, 1)
        The standard deviation is log-uniform between these, one draw a window.
    bounds : (ndarray, ndarray), each (channel, 1, 1)
        Noisy values are clipped to these, as instruments do.
    """

    share: float
    low: np.ndarray
    high: np.ndarray
    bounds: tuple[np.ndarray, np.ndarray]

    def add(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return `x` (time, channel, y, x) with noise, or `x` itself."""
        if rng.random() >= self.share:
            return x
        scale = self.low * (self.high / self.low) ** rng.random()
        return np.clip(x + scale.astype(np.float32) * rng.standard_normal(x.shape, dtype=np.float32), *self.bounds)


class WindowStream:
    """One epoch of training windows; iterate again for the next, in another order.

    An array in memory is one block; a dask array is read in blocks of at most `buffer_bytes`, visited in random order,
    with the windows of a block shuffled, so that a chunk is read about once an epoch.

    Parameters
    ----------
    values : numpy or dask array, (sample, time, channel, y, x)
        Scaled; NaN is not observed.
    windows : ndarray of int, (n_windows, 2)
        Sample and first step of each window.
    window : int
        Steps of a window.
    batch_size : int
    default : ndarray, (channel, y, x)
        What fills a cell before its first observation.
    rng : Generator
        Draws the order and the patches.
    patch : tuple of int, optional
        Rows and columns of the random patch that is cut from each window.
    alignment : int
        Patches start at multiples of this many cells.
    cycle : Cycle, optional
        Subtracted from the windows, before gaps are filled.
    noise : Noise, optional
        Added to the windows; their clean values then come as the target.
    buffer_bytes : int
        Largest block of a dask array held in memory.
    """

    def __init__(
        self,
        values: Any,
        windows: np.ndarray,
        window: int,
        batch_size: int,
        default: np.ndarray,
        rng: np.random.Generator,
        *,
        patch: tuple[int, int] | None = None,
        alignment: int = 1,
        cycle: Cycle | None = None,
        noise: Noise | None = None,
        buffer_bytes: int = BUFFER_BYTES,
    ) -> None:
        self.values, self.windows, self.window = values, windows, window
        self.batch_size, self.default, self.rng = batch_size, default, rng
        self.patch, self.alignment = patch, alignment
        self.cycle, self.noise = cycle, noise
        self.blocks = [windows] if isinstance(values, np.ndarray) else self._blocks(buffer_bytes)

    def __len__(self) -> int:
        return -(-len(self.windows) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        waiting: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        for index in self.rng.permutation(len(self.blocks)):
            windows = self.blocks[index]
            block, first = self._read(windows)
            for sample, start in self.rng.permutation(windows):
                begin = start - first[1]
                waiting.append(self._cut(block[sample - first[0], begin : begin + self.window], start))
                if len(waiting) == self.batch_size:
                    yield self._collate(waiting)
                    waiting = []
        if waiting:
            yield self._collate(waiting)

    def _blocks(self, buffer_bytes: int) -> list[np.ndarray]:
        """Group neighbouring windows so that the block that holds them fits into the buffer."""
        ordered = self.windows[np.lexsort((self.windows[:, 1], self.windows[:, 0]))]
        frame_bytes = 4 * int(np.prod(self.values.shape[2:]))
        blocks, start = [], 0
        low, high = ordered[0].copy(), ordered[0].copy()
        for i, pair in enumerate(ordered):
            new_low, new_high = np.minimum(low, pair), np.maximum(high, pair)
            samples, steps = new_high - new_low + (1, self.window)
            if samples * steps * frame_bytes > buffer_bytes and i > start:
                blocks.append(ordered[start:i])
                start, new_low, new_high = i, pair, pair
            low, high = new_low, new_high
        return [*blocks, ordered[start:]]

    def _read(self, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the values that hold `windows` and the sample and step at which they begin."""
        if isinstance(self.values, np.ndarray):
            return self.values, np.zeros(2, dtype=int)
        low, high = windows.min(0), windows.max(0)
        block = self.values[low[0] : high[0] + 1, low[1] : high[1] + self.window]
        return np.asarray(block, dtype=np.float32), low

    def _cut(self, x: np.ndarray, start: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return what the model sees of a window or a random patch of it, its clean values, the patch's origin."""
        origin = np.zeros(2, dtype=int)
        rows, columns = x.shape[-2:] if self.patch is None else self.patch
        if self.patch is not None:
            free = np.subtract(x.shape[-2:], self.patch) // self.alignment
            origin = self.rng.integers(0, free + 1) * self.alignment
        patch = (..., slice(origin[0], origin[0] + rows), slice(origin[1], origin[1] + columns))
        clean = x[patch]
        noisy = clean if self.noise is None else self.noise.add(clean, self.rng)
        if self.cycle is not None:
            cycle = self.cycle.at(slice(start, start + self.window))[patch]
            same = noisy is clean
            clean = clean - cycle
            noisy = clean if same else noisy - cycle
        return noisy, clean, origin

    def _collate(self, cut: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Batch:
        noisy, clean, origins = zip(*cut, strict=True)
        origin = np.stack(origins)
        x, mask = self._fill(np.stack(noisy).astype(np.float32, copy=False), origin)
        target = None
        if self.noise is not None:
            target = torch.from_numpy(self._fill(np.stack(clean).astype(np.float32, copy=False), origin)[0])
        start = torch.from_numpy(origin) if self.patch is not None else None
        return Batch(torch.from_numpy(x), torch.from_numpy(mask), target, start)

    def _fill(self, x: np.ndarray, origin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if np.isfinite(x).all():
            return x, np.ones_like(x)
        if np.isinf(x).any():
            raise ValueError("X holds an infinite value: mark missing values with NaN, X.where(np.isfinite(X))")
        rows, columns = x.shape[-2:]
        filled = [
            fill_missing(window, self.default[:, row : row + rows, column : column + columns])
            for window, (row, column) in zip(x, origin, strict=True)
        ]
        return np.stack([f for f, _ in filled]), np.stack([m for _, m in filled])
