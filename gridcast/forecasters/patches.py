"""Which part of a grid a training step sees: whole fields while they fit, else patches."""

from __future__ import annotations

import math
from typing import Any

from sklearn.utils._param_validation import InvalidParameterError

from gridcast.data.parameters import AUTO, whole
from gridcast.forecasters.markov import DOWNSAMPLING

STEP_BYTES = 2**31  # of the activations of a training step on whole fields
# Of a cell in one frame, at most: what the networks keep for the backward pass, of any architecture
CELL_BYTES, CHANNEL_BYTES = 1024, 128
# Rows and columns: a network that sees some ten blocks on each side has as many cells that see all they can
PATCH = 96


def check_patch_size(name: str, value: Any) -> None:
    """Check for a size in cells, "auto" or None."""
    if isinstance(value, str) and value != AUTO:
        raise InvalidParameterError(f'{name}={value!r} must be "auto", None or an integer of at least 1')
    if value != AUTO:
        whole(none=True)(name, value)


def patch_of(patch_size: int | str | None, shape: tuple[int, int, int], n_frames: int) -> tuple[int, int] | None:
    """Return rows and columns of the patches that are trained on, or None for whole fields.

    Parameters
    ----------
    patch_size : int, "auto" or None
    shape : (int, int, int)
        Channels, rows and columns of a field.
    n_frames : int
        In a training step.
    """
    channels, *size = shape
    if patch_size == AUTO:
        n_cells = STEP_BYTES // (n_frames * (CELL_BYTES + CHANNEL_BYTES * channels))
        patch_size = None if math.prod(size) <= n_cells else min(PATCH, math.isqrt(n_cells))
    if patch_size is None:
        return None
    # patches fold into the same blocks as the whole grid does
    side = max(int(patch_size) // DOWNSAMPLING, 1) * DOWNSAMPLING
    rows, columns = (min(side, n) for n in size)
    # a patch as large as the grid is the grid: it may go around the globe
    return None if [rows, columns] == size else (rows, columns)
