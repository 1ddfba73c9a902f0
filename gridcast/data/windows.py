"""Which windows of a series exist: pure integers."""

from __future__ import annotations

import numpy as np


def window_starts(n_times: int, window: int, stride: int = 1) -> np.ndarray:
    """Return the first step of every window that fits, ascending.

    Parameters
    ----------
    n_times : int
        Steps of the series.
    window, stride : int
        Steps of a window, and between the starts of two.

    Raises
    ------
    ValueError
        If no window fits.
    """
    if n_times < window:
        raise ValueError(
            f"X has {n_times} steps, shorter than one window of window={window} steps: "
            f"give a longer series or a window of at most {n_times}"
        )
    return np.arange(0, n_times - window + 1, stride)
