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
    origin : Tensor of int, (batch, 2), or None
        First row and column of each patch.
    """

    x: torch.Tensor
    mask: torch.Tensor
    origin: torch.Tensor | None = None


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
        buffer_bytes: int = BUFFER_BYTES,
    ) -> None:
        self.values, self.windows, self.window = values, windows, window
        self.batch_size, self.default, self.rng = batch_size, default, rng
        self.patch, self.alignment = patch, alignment
        self.blocks = [windows] if isinstance(values, np.ndarray) else self._blocks(buffer_bytes)

    def __len__(self) -> int:
        return -(-len(self.windows) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        waiting: list[tuple[np.ndarray, np.ndarray]] = []
        for index in self.rng.permutation(len(self.blocks)):
            windows = self.blocks[index]
            block, first = self._read(windows)
            for sample, start in self.rng.permutation(windows) - first:
                waiting.append(self._cut(block[sample, start : start + self.window]))
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

    def _cut(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return a window, or a random patch of it, and the patch's first row and column."""
        if self.patch is None:
            return x, np.zeros(2, dtype=int)
        free = np.subtract(x.shape[-2:], self.patch) // self.alignment
        row, column = self.rng.integers(0, free + 1) * self.alignment
        return x[..., row : row + self.patch[0], column : column + self.patch[1]], np.array([row, column])

    def _collate(self, cut: list[tuple[np.ndarray, np.ndarray]]) -> Batch:
        x = np.stack([window for window, _ in cut]).astype(np.float32, copy=False)
        origin = np.stack([origin for _, origin in cut])
        if not np.isfinite(x).all():
            x, mask = self._fill(x, origin)
        else:
            mask = np.ones_like(x)
        start = torch.from_numpy(origin) if self.patch is not None else None
        return Batch(torch.from_numpy(x), torch.from_numpy(mask), start)

    def _fill(self, x: np.ndarray, origin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if np.isinf(x).any():
            raise ValueError("X holds an infinite value: mark missing values with NaN, X.where(np.isfinite(X))")
        rows, columns = x.shape[-2:]
        filled = [
            fill_missing(window, self.default[:, row : row + rows, column : column + columns])
            for window, (row, column) in zip(x, origin, strict=True)
        ]
        return np.stack([f for f, _ in filled]), np.stack([m for _, m in filled])
