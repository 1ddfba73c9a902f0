"""Which windows of a series exist: pure integers."""

from __future__ import annotations

import itertools

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


def independent(origins: np.ndarray, stop: int, horizon: int) -> np.ndarray:
    """Return how many forecasts of each lead are independent, (horizon,): those that overlap are not.

    Those from one sample are as many as leads fit in between the first and the last, and one more.

    Parameters
    ----------
    origins : ndarray of int, (n, 2)
        Sample and last observed step of each forecast.
    stop : int
        The step after the last of which the truth is known.
    horizon : int
    """
    n = np.zeros(horizon)
    for lead, sample in itertools.product(range(1, horizon + 1), np.unique(origins[:, 0])):
        of_sample = origins[origins[:, 0] == sample, 1]
        of_sample = of_sample[of_sample + lead < stop]  # the others have no truth
        if len(of_sample):
            n[lead - 1] += min(len(of_sample), 1 + np.ptp(of_sample) / lead)
    return n


def near(origins: np.ndarray, reach: int) -> list[np.ndarray]:
    """Return ascending origins in groups within which none lies further than `reach` from the next."""
    return np.split(origins, np.flatnonzero(np.diff(origins) > reach) + 1)


def thinned(rows: np.ndarray, most: int) -> np.ndarray:
    """Return at most so many of the rows, evenly spaced."""
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(int)]
