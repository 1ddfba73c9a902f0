"""Windows over numpy or dask arrays, shuffled and batched within bounded memory."""

from __future__ import annotations

import bisect
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch

from gridcast.data.read_errors import check_unchanged
from gridcast.data.statistics import BUFFER_BYTES, fill_missing
from gridcast.training.prefetch import run_ahead
from gridcast.transformers.harmonics import combine

AHEAD = 2  # batches that wait


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
    clock : Tensor, (batch, n_clock), or None
        Time features of the first step of each window.
    """

    x: torch.Tensor
    mask: torch.Tensor
    target: torch.Tensor | None = None
    origin: torch.Tensor | None = None
    clock: torch.Tensor | None = None

    def pinned(self) -> Batch:
        """Return the batch in page-locked memory."""
        tensors = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: t.pin_memory() for name, t in tensors.items() if t is not None})


@dataclass(frozen=True)
class Cycle:
    """What is subtracted from each step: its climatology.

    Parameters
    ----------
    values : ndarray, (phase or regressor, channel, y, x)
    weights : ndarray, (time,) or (time, regressor)
        Phase, or regressors, of each step of the series.
    """

    values: np.ndarray
    weights: np.ndarray

    def at(self, steps: slice, patch: tuple[Any, ...] = (...,)) -> np.ndarray:
        """Return the climatology of `steps` on a patch, (time, channel, y, x)."""
        return combine(self.weights[steps], self.values[patch])


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
        # single precision throughout: a double draw would take twice the time and memory
        return np.clip(x + scale.astype(np.float32) * rng.standard_normal(x.shape, dtype=np.float32), *self.bounds)


class WindowStream:
    """One epoch of training windows; iterate again for the next, in another order.

    An array in memory is one block. A dask array is read in blocks of whole chunks, visited in random order, with the
    windows of a block shuffled: of the windows that reach into the next block that part is read again. A thread reads
    the next block while windows are cut from the last and a model trains on those before.

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
    clock : ndarray, (time, n_clock), optional
        Time features of each step.
    n_observed : ndarray of int, (sample, time), optional
        Observed values of each step, as an earlier pass has counted them.
    buffer_bytes : int
        Memory for blocks of a dask array: one that windows are cut from and one that is being read.
    pin : bool
        Put the batches into page-locked memory, from which a GPU copies while it computes.
    process, n_processes : int
        Which of the processes that train together this is: each gets its share of every batch, from blocks of its own
        where there are enough.
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
        clock: np.ndarray | None = None,
        n_observed: np.ndarray | None = None,
        buffer_bytes: int = BUFFER_BYTES,
        pin: bool = False,
        process: int = 0,
        n_processes: int = 1,
    ) -> None:
        # unequal shares would weigh some windows more in the mean of the gradients
        if batch_size % n_processes:
            raise ValueError(
                f"batch_size={batch_size} must be a multiple of the {n_processes} processes that train together"
            )
        self.values, self.windows, self.window = values, windows, window
        self.batch_size, self.default, self.rng = batch_size, default, rng
        self.patch, self.alignment = patch, alignment
        self.cycle, self.noise, self.clock, self.pin = cycle, noise, clock, pin
        self.n_observed = n_observed
        self.process, self.n_processes = process, n_processes
        # half the memory: one block is read while another is cut
        self.blocks = [windows] if isinstance(values, np.ndarray) else self._blocks(buffer_bytes // 2)

    def __len__(self) -> int:
        return -(-len(self.windows) // self.batch_size)

    def __iter__(self) -> Generator[Batch]:
        return self.batches()

    def batches(self, first: int = 0) -> Generator[Batch]:
        """Return the batches of an epoch from the batch `first` on, without reading what comes before it alone."""
        # one key an epoch: what a window draws then depends on it alone, not on the order or the process
        key, plan = int(self.rng.integers(2**32)), self._epoch()
        # `first` counts batches of all processes together
        plan = _without_first(first * self.batch_size // self.n_processes, plan)
        return run_ahead(self._batches(key, plan), AHEAD)

    def _batches(self, key: int, plan: list[tuple[int, np.ndarray]]) -> Generator[Batch]:
        if not plan:
            return
        waiting: list[_Cut] = []
        with ThreadPoolExecutor(1, thread_name_prefix="gridcast-block") as reader:
            # one thread: dask reads a block with threads of its own
            coming = reader.submit(self._read, self.blocks[plan[0][0]])
            for (_, windows), following in zip(plan, [*plan[1:], None], strict=True):
                block, first = coming.result()
                if following is not None:
                    coming = reader.submit(self._read, self.blocks[following[0]])
                for sample, start in windows:
                    begin = start - first[1]  # within the block
                    rng = np.random.default_rng((key, sample, start))  # the same whichever process cuts it
                    waiting.append(self._cut(block[sample - first[0], begin : begin + self.window], int(start), rng))
                    if len(waiting) == self.batch_size // self.n_processes:
                        yield self._collate(waiting)
                        waiting = []
        if waiting:  # the last batch of an epoch may be smaller
            yield self._collate(waiting)

    def _epoch(self) -> list[tuple[int, np.ndarray]]:
        """Return the blocks that this process reads, in order, and the windows that it cuts from each."""
        # every process draws the whole plan, so that all agree without a word
        plan = [(i, self.rng.permutation(self.blocks[i])) for i in self.rng.permutation(len(self.blocks))]
        if self.n_processes == 1:
            return plan
        n_mine = -(-len(self.windows) // self.n_processes)  # all processes take the same number of equal steps
        if len(plan) < self.n_processes:  # too few blocks to have some of one's own: every batch is dealt out
            every = np.concatenate([np.column_stack([np.full(len(w), i), w]) for i, w in plan])
            mine = every[(self.process + self.n_processes * np.arange(n_mine)) % len(every)]
        else:
            # blocks of its own: a block is then read by one process only
            own = plan[self.process :: self.n_processes]
            mine = np.concatenate([np.column_stack([np.full(len(w), i), w]) for i, w in own])
            # repeated or cut: processes wait for each other at every step, so one with fewer would block the rest
            mine = mine[np.arange(n_mine) % len(mine)]
        # where the block changes
        runs = np.split(mine, np.flatnonzero(np.diff(mine[:, 0])) + 1)
        return [(int(run[0, 0]), run[:, 1:]) for run in runs]

    def _blocks(self, block_bytes: int) -> list[np.ndarray]:
        """Group neighbouring windows into blocks of at most `block_bytes` that begin with a chunk, where they can."""
        ordered = self.windows[np.lexsort((self.windows[:, 1], self.windows[:, 0]))]
        frame_bytes = 4 * int(np.prod(self.values.shape[2:]))  # float32
        ends = [np.cumsum(sizes) for sizes in self.values.chunks[:2]]  # of the chunks along sample and time
        chunk = np.stack([np.searchsorted(e, ordered[:, i], side="right") for i, e in enumerate(ends)])
        new_chunk = np.append(np.diff(chunk).any(0), True)  # whether the window after this one begins in another

        def fits(first: int, last: int) -> bool:
            samples, steps = np.ptp(ordered[first : last + 1], axis=0) + np.array([1, self.window])
            return samples * steps * frame_bytes <= block_bytes

        blocks, start = [], 0
        while start < len(ordered):
            # bisection: the bytes of a block grow with its last window
            stop = start + bisect.bisect_left(range(start + 1, len(ordered)), True, key=lambda i: not fits(start, i))
            boundaries = np.flatnonzero(new_chunk[start : stop + 1])
            # end where a chunk ends, else it would be read for two blocks
            stop = start + boundaries[-1] if len(boundaries) else stop
            blocks.append(ordered[start : stop + 1])
            start = stop + 1
        return blocks

    def _read(self, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the values that hold `windows` and the sample and step at which they begin."""
        if isinstance(self.values, np.ndarray):
            # the array itself, not a copy
            return self.values, np.zeros(2, dtype=int)
        low, high = windows.min(0), windows.max(0)
        part = slice(low[0], high[0] + 1), slice(low[1], high[1] + self.window)
        block = np.asarray(self.values[part], dtype=np.float32)
        if self.n_observed is not None:
            check_unchanged(block, self.n_observed[part], self.values)
        return block, low

    def _cut(self, x: np.ndarray, start: int, rng: np.random.Generator) -> _Cut:
        """Return what the model sees of a window, or of a random patch of it."""
        origin = np.zeros(2, dtype=int)
        rows, columns = x.shape[-2:] if self.patch is None else self.patch
        if self.patch is not None:
            # aligned: the networks then fold the same cells into a block as in a forecast of the whole grid
            free = np.subtract(x.shape[-2:], self.patch) // self.alignment
            origin = rng.integers(0, free + 1) * self.alignment
        patch = (..., slice(origin[0], origin[0] + rows), slice(origin[1], origin[1] + columns))
        clean = x[patch]
        # before the cycle is subtracted: the bounds are those of the values
        noisy = clean if self.noise is None else self.noise.add(clean, rng)
        if self.cycle is not None:
            cycle = self.cycle.at(slice(start, start + self.window), patch)
            # most windows have no noise: one subtraction, not two
            same = noisy is clean
            clean = clean - cycle
            noisy = clean if same else noisy - cycle
        return _Cut(noisy, clean, origin, start)

    def _collate(self, cut: list[_Cut]) -> Batch:
        origin = np.stack([c.origin for c in cut])
        x, mask = self._fill(np.stack([c.noisy for c in cut]).astype(np.float32, copy=False), origin)
        target = None
        if self.noise is not None:
            target = torch.from_numpy(
                self._fill(np.stack([c.clean for c in cut]).astype(np.float32, copy=False), origin)[0]
            )
        batch = Batch(
            torch.from_numpy(x),
            torch.from_numpy(mask),
            target,
            None if self.patch is None else torch.from_numpy(origin),
            None if self.clock is None else torch.from_numpy(self.clock[[c.start for c in cut]].astype(np.float32)),
        )
        return batch.pinned() if self.pin else batch

    def _fill(self, x: np.ndarray, origin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if np.isfinite(x).all():
            return x, np.ones_like(x)
        if np.isinf(x).any():
            raise ValueError("X holds an infinite value: mark missing values with NaN, X.where(np.isfinite(X))")
        rows, columns = x.shape[-2:]
        # a patch has its own part of the default field
        filled = [
            fill_missing(window, self.default[:, row : row + rows, column : column + columns])
            for window, (row, column) in zip(x, origin, strict=True)
        ]
        return np.stack([f for f, _ in filled]), np.stack([m for _, m in filled])


@dataclass(frozen=True)
class _Cut:
    """A window, or a patch of it: what the model sees, its clean values, its first row and column, its first step."""

    noisy: np.ndarray
    clean: np.ndarray
    origin: np.ndarray
    start: int


def _without_first(n: int, plan: list[tuple[int, np.ndarray]]) -> list[tuple[int, np.ndarray]]:
    """Return a plan without its first `n` windows, and without the blocks that held no others."""
    left = []
    # blocks that held only skipped windows are never read: resuming costs no pass
    for block, windows in plan:
        skipped = min(n, len(windows))
        n -= skipped
        if skipped < len(windows):
            left.append((block, windows[skipped:]))
    return left
