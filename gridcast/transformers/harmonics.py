"""Mean cycles as a few harmonics of each cell: least squares, with gaps, in one pass over a series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RIDGE = 1e-9  # relative: only against a sine that is zero at all steps
BINS_PER_HARMONIC = 4  # of a cycle, to see which part of it a cell never shows
CELLS = 2**14  # that are solved at a time


@dataclass(frozen=True)
class Rhythm:
    """One cycle, of a year or a day, at the steps of a series.

    Parameters
    ----------
    position : ndarray, (time,)
        In cycles.
    n_harmonics : int
    """

    position: np.ndarray
    n_harmonics: int

    @property
    def n_bins(self) -> int:
        """Parts of the cycle."""
        return BINS_PER_HARMONIC * self.n_harmonics

    @property
    def bins(self) -> np.ndarray:
        """The part of the cycle that each step is in, (time,)."""
        # a step that is at the border but for rounding belongs behind it
        return np.floor(self.position % 1 * self.n_bins + 1e-6).astype(int) % max(self.n_bins, 1)

    def waves(self) -> np.ndarray:
        """Return cosines and sines, (time, 2 * n_harmonics)."""
        return waves(self.position, self.n_harmonics)


def waves(position: np.ndarray, n_harmonics: int) -> np.ndarray:
    """Return the cosines and sines of the first harmonics at positions (n,) in a cycle, (n, 2 * n_harmonics)."""
    angles = 2 * np.pi * position[:, None] * np.arange(1, n_harmonics + 1)
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=1)


def design(rhythms: Sequence[Rhythm]) -> np.ndarray:
    """Return the regressors of a mean and of the waves of each cycle, (time, 1 + 2 * n_harmonics + ...)."""
    n_times = len(rhythms[0].position)
    return np.concatenate([np.ones((n_times, 1)), *(rhythm.waves() for rhythm in rhythms)], axis=1)


def combine(weights: np.ndarray, cycle: np.ndarray) -> np.ndarray:
    """Return the fields (time, ...) of a cycle (phase or regressor, ...) at steps of these phases or regressors."""
    return cycle[weights] if weights.ndim == 1 else np.tensordot(weights, cycle, 1)


class HarmonicSums:
    """The normal equations of each cell, for several candidates of the cycles, in double precision.

    Parameters
    ----------
    candidates : sequence of sequences of Rhythm
        The cycles of the whole series, by each candidate, of equally many harmonics.
    n_cells : int
    """

    def __init__(self, candidates: Sequence[Sequence[Rhythm]], n_cells: int) -> None:
        self.rhythms = candidates[0]
        self.designs = np.stack([design(rhythms) for rhythms in candidates])  # (candidate, time, k)
        self.k = self.designs.shape[-1]
        self.pairs = np.triu_indices(self.k)
        n_candidates, n_pairs = len(candidates), len(self.pairs[0])
        self.gram = np.zeros((n_candidates, n_pairs))  # as if nothing were missing
        self.cross = np.zeros((n_candidates, self.k, n_cells))
        self.gaps: np.ndarray | None = None  # what is missing of `gram`, (candidate, pair, cell)
        self.binned = [np.zeros((rhythm.n_bins, n_cells)) for rhythm in self.rhythms]
        self.counts = [np.zeros((rhythm.n_bins, n_cells), dtype=np.int32) for rhythm in self.rhythms]
        self.bins = [rhythm.bins for rhythm in self.rhythms]
        self.n_seen = np.zeros(n_cells, dtype=np.int64)

    def add(self, start: int, values: np.ndarray) -> None:
        """Take in the steps from `start` on, (time, cell), NaN where nothing was observed."""
        steps = slice(start, start + len(values))
        designs = self.designs[:, steps]
        products = designs[..., self.pairs[0]] * designs[..., self.pairs[1]]  # (candidate, time, pair)
        self.gram += products.sum(1)
        missing = np.isnan(values)
        filled = np.where(missing, 0.0, values.astype(np.float64))
        self.cross += designs.swapaxes(1, 2) @ filled
        self.n_seen += len(values) - missing.sum(0)
        partly = missing.any(0)
        if partly.any():
            if self.gaps is None:
                self.gaps = np.zeros((*self.gram.shape, missing.shape[1]))
            self.gaps[..., partly] += products.swapaxes(1, 2) @ missing[:, partly].astype(np.float64)
        for bins, total, count in zip(self.bins, self.binned, self.counts, strict=True):
            one_hot = (np.arange(len(total))[:, None] == bins[steps]).astype(np.float64)  # (bin, time)
            total += one_hot @ filled
            count += np.rint(one_hot @ ~missing).astype(np.int32)

    def solve(self) -> tuple[int, np.ndarray]:
        """Return the candidate that fits best, and its coefficients (k, cell), NaN where nothing was observed."""
        n_cells = len(self.n_seen)
        coefficients = np.full((len(self.cross), self.k, n_cells), np.nan)
        explained = np.zeros(len(self.cross))
        for first in range(0, n_cells, CELLS):
            cells = np.arange(first, min(first + CELLS, n_cells))
            cells = cells[self.n_seen[cells] > 0]
            for candidate in range(len(self.cross)):
                found, gain = self._solve(candidate, cells)
                coefficients[candidate][:, cells] = found
                explained[candidate] += gain
        # all have as many coefficients, so that the best fit is the best guess; of equals the first
        best = int(np.argmax(explained > explained.max() - 1e-9 * abs(explained.max())))
        return best, coefficients[best]

    def _solve(self, candidate: int, cells: np.ndarray) -> tuple[np.ndarray, float]:
        """Return the coefficients (k, cell) and how much of the sum of squares they explain."""
        gram = np.empty((len(cells), self.k, self.k))
        flat = np.broadcast_to(self.gram[candidate][:, None], (len(self.pairs[0]), len(cells)))
        if self.gaps is not None:
            flat = flat - self.gaps[candidate][:, cells]
        gram[:, self.pairs[0], self.pairs[1]] = gram[:, self.pairs[1], self.pairs[0]] = flat.T
        cross = self.cross[candidate][:, cells].T.copy()  # (cell, k)
        observed = cross.copy()
        for rows, weights, values in self._stand_ins(cells):
            gram += np.einsum("bc,bi,bj->cij", weights, rows, rows)
            cross += np.einsum("bc,bi->ci", weights * values, rows)
        gram += RIDGE * self.n_seen[cells, None, None] * np.eye(self.k)
        found = np.linalg.solve(gram, cross[..., None])[..., 0]  # (cell, k)
        return found.T, float((found * observed).sum())

    def _stand_ins(self, cells: np.ndarray) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Return regressors, weights and values for the parts of a cycle that a cell never shows.

        They are interpolated around the cycle: waves that were fitted to a summer alone would be wild in the winter.
        """
        found, first = [], 1
        for rhythm, total, count in zip(self.rhythms, self.binned, self.counts, strict=True):
            n, width = rhythm.n_bins, 2 * rhythm.n_harmonics
            empty = count[:, cells] == 0
            # parts that no cell shows lie between steps: three-monthly data have four
            empty[(count == 0).all(1)] = False
            if empty.any():
                centres = (np.arange(n) + 0.5) / n
                rows = np.zeros((n, self.k))
                rows[:, 0], rows[:, first : first + width] = 1.0, waves(centres, rhythm.n_harmonics)
                with np.errstate(invalid="ignore"):
                    means = total[:, cells] / count[:, cells]
                values = np.zeros(empty.shape)
                for cell in np.flatnonzero(empty.any(0)):
                    seen = count[:, cells[cell]] > 0
                    values[:, cell] = np.interp(centres, centres[seen], means[seen, cell], period=1.0)
                weights = empty * (self.n_seen[cells] / n)
                found.append((rows, weights, values))
            first += width
        return found
