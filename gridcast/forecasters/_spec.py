"""What a module must know of the data that it is built for."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from gridcast.fields import FieldStatistics
from gridcast.modules.frames import Frames


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
    periodic : bool
        Whether columns go around the globe.
    stretches : callable
        Returns stretches of `n` steps of the training series, in the order of time, (stretch, n, channel, y, x).
    """

    shape: tuple[int, int, int]
    complete: bool
    static: torch.Tensor | None
    periodic: bool
    stretches: Callable[[int], torch.Tensor]

    def frames(self, multiple: int) -> Frames:
        """Return the module that pads and crops fields for a network of this downsampling."""
        return Frames(self.static, multiple=multiple, observed_channels=not self.complete, periodic=self.periodic)


def location_channels(statistics: FieldStatistics, periodic: bool) -> torch.Tensor:
    """Return training mean, standard deviation (per channel), row and column position, (n_static, y, x)."""
    rows, columns = statistics.mean.shape[1:]
    row = np.linspace(-1, 1, rows)[:, None] if rows > 1 else np.zeros((1, 1))
    angle = 2 * math.pi * np.arange(columns)[None] / columns
    across = [np.sin(angle), np.cos(angle)] if periodic else [np.linspace(-1, 1, columns)[None]]
    position = [np.broadcast_to(p, (rows, columns)) for p in (row, *across)]
    return torch.tensor(np.concatenate([statistics.mean, statistics.std, position]), dtype=torch.float32)
