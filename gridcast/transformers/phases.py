"""Mean cycles as the mean of each step of a period, with gaps, in one pass over a series."""

from __future__ import annotations

import numpy as np


class PhaseSums:
    """The sum of each phase and cell, in double precision.

    Parameters
    ----------
    phases : ndarray of int, (time,)
        Of the whole series.
    n_phases, n_cells : int
    """

    def __init__(self, phases: np.ndarray, n_phases: int, n_cells: int) -> None:
        self.phases = phases
        self.total = np.zeros((n_phases, n_cells))
        self.count = np.zeros((n_phases, n_cells), dtype=np.int32)

    def add(self, start: int, values: np.ndarray) -> None:
        """Take in the steps from `start` on, (time, cell), NaN where nothing was observed."""
        phases = self.phases[start : start + len(values)]
        seen = np.isfinite(values)
        filled = np.where(seen, values, 0.0).astype(np.float64)
        for phase in np.unique(phases):
            here = phases == phase
            self.total[phase] += filled[here].sum(0)
            self.count[phase] += seen[here].sum(0)

    def solve(self) -> tuple[int, np.ndarray]:
        """Return 0 and the mean of each phase (phase, cell), interpolated around the cycle where a cell shows none.

        NaN where nothing was observed.
        """
        with np.errstate(invalid="ignore"):
            mean = np.where(self.count > 0, self.total / np.maximum(self.count, 1), np.nan)
        holes = (self.count == 0).any(0) & (self.count > 0).any(0)  # cells seen at some phases, but not at all
        n, phases = len(mean), np.arange(len(mean))
        for cell in np.flatnonzero(holes):
            seen = self.count[:, cell] > 0
            # `period` closes the cycle: December borders on January
            mean[:, cell] = np.interp(phases, phases[seen], mean[seen, cell], period=n)
        return 0, mean
