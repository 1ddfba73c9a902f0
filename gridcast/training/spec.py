"""What a module must know of the data that it is built for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from gridcast.data.covariates import TimeFeatures
from gridcast.data.grid import Grid
from gridcast.data.statistics import FieldStatistics
from gridcast.modules.clock import Clock
from gridcast.modules.frames import Frames
from gridcast.modules.layers import Around


@dataclass(frozen=True)
class ModuleSpec:
    """The data of a module: fields as the networks see them.

    Parameters
    ----------
    shape : (int, int, int)
        Channels, rows and columns of a field.
    complete : bool
        Whether every value is observed.
    static : Tensor, (n_static, y, x), or None
        Constant channels.
    periodic : (bool, bool)
        Whether rows and columns go around.
    n_windows : int
        Training windows, which bound what is kept of the errors of a linear model.
    n_given : int
        How many of the constant channels, the last ones, the user gave.
    angles : tuple of float
        What one step turns each cycle of the time features by, in radians.
    """

    shape: tuple[int, int, int]
    complete: bool
    static: torch.Tensor | None
    periodic: Around
    n_windows: int
    n_given: int = 0
    angles: tuple[float, ...] = ()

    @classmethod
    def of(
        cls,
        grid: Grid,
        statistics: FieldStatistics,
        *,
        static: np.ndarray | None,
        time_features: TimeFeatures | None,
        n_windows: int,
        periodic: Any,
        located: bool,
    ) -> ModuleSpec:
        """Return the spec of a series.

        Parameters
        ----------
        grid, statistics
            Of the training series.
        static : ndarray, (n_static, y, x), or None
            Constant fields that the user gave.
        time_features, n_windows
            As in `ModuleSpec`.
        periodic
            As in `ScaledForecaster`.
        located : bool
            Whether the networks see where they are.
        """
        around = grid.around(periodic)
        channels = [location_channels(statistics, around)] if located else []
        channels += [] if static is None else [torch.from_numpy(static)]
        return cls(
            grid.shape,
            statistics.complete,
            torch.cat(channels) if channels else None,
            around,
            n_windows,
            n_given=0 if static is None else len(static),
            angles=() if time_features is None else tuple(time_features.angles),
        )

    def frames(self, multiple: int) -> Frames:
        """Return the module that pads and crops fields for a network of this downsampling."""
        return Frames(
            self.static,
            multiple=multiple,
            observed_channels=not self.complete,
            periodic=self.periodic,
            n_given=self.n_given,
        )

    def clock(self) -> Clock | None:
        """Return the module that carries the time features on."""
        return Clock(self.angles) if self.angles else None


def location_channels(statistics: FieldStatistics, around: Around) -> torch.Tensor:
    """Return training mean, standard deviation (per channel), row and column position, (n_static, y, x)."""
    rows, columns = statistics.mean.shape[1:]
    along = [p[:, None] for p in _positions(rows, around[0])] + [p[None] for p in _positions(columns, around[1])]
    position = [np.broadcast_to(p, (rows, columns)) for p in along]
    return torch.tensor(np.concatenate([statistics.mean, statistics.std, position]), dtype=torch.float32)


def _positions(n: int, around: bool) -> list[np.ndarray]:
    if around:  # the last is as near to the first as to its other neighbour
        angle = 2 * math.pi * np.arange(n) / n
        return [np.sin(angle), np.cos(angle)]
    return [np.linspace(-1, 1, n) if n > 1 else np.zeros(1)]
