"""Resampling of a correlated series: which of its entries are in each bootstrap sample."""

from __future__ import annotations

import numpy as np


def block_counts(n: int, length: int, n_resamples: int, random: np.random.Generator) -> np.ndarray:
    """Return how often each entry of a series is in each sample of the circular block bootstrap.

    Samples consist of blocks of consecutive entries, so that correlations within a block are kept. The series is
    closed to a circle, so that its ends are drawn as often as its middle (Politis and Romano, in Exploring the Limits
    of Bootstrap, 1992). The sum over a sample is ``counts @ values``.

    Parameters
    ----------
    n : int
        Entries of the series.
    length : int
        Entries of a block; 1 is the ordinary bootstrap.
    n_resamples : int
    random : Generator

    Returns
    -------
    ndarray of float, shape (n_resamples, n)
        Every row adds up to `n`; the last block of a sample is cut.

    Examples
    --------
    >>> block_counts(4, 2, 1000, np.random.default_rng(0)).mean(0).round(1)
    array([1., 1., 1., 1.])
    """
    starts = random.integers(n, size=(n_resamples, -(-n // length), 1))  # (resample, block, 1)
    drawn = ((starts + np.arange(length)) % n).reshape(n_resamples, -1)[:, :n]
    # one bincount for all samples: each has a range of its own
    rows = n * np.arange(n_resamples)[:, None]
    return np.bincount((drawn + rows).ravel(), minlength=n_resamples * n).reshape(n_resamples, n).astype("float64")


def block_length(series: np.ndarray) -> int:
    r"""Return the length of a block that fits the memory of a series.

    Wilks (J. Climate 10, 1997) gives, for a series of n entries that is about autoregressive of first order, the
    length :math:`\ell` that solves

    .. math:: \ell = (n - \ell + 1)^{\frac{2}{3} (1 - n' / n)}, \quad n' / n = \frac{1 - r}{1 + r},

    with the autocorrelation r at lag one: 1 without memory, about :math:`n^{2/3}` with a long one.

    Parameters
    ----------
    series : ndarray, shape (n, ...)
        NaN where an entry is missing. The series of the longest memory decides.

    Returns
    -------
    int

    Examples
    --------
    >>> block_length(np.random.default_rng(0).normal(size=1000))
    1
    >>> block_length(np.sin(np.arange(1000) / 20))
    93
    """
    n = len(series)
    memory = np.clip(np.nan_to_num(_autocorrelation(series)).max(), 0.0, 1.0)  # negative correlation needs no blocks
    lengths = np.arange(1, n + 1)
    solved = lengths >= (n - lengths + 1.0) ** (2.0 / 3.0 * (1.0 - (1.0 - memory) / (1.0 + memory))) - 0.5
    return int(lengths[solved][0])


def _autocorrelation(series: np.ndarray) -> np.ndarray:
    """Return the autocorrelation at lag one; NaN for a constant series."""
    seen = np.isfinite(series)
    values = np.where(seen, series, 0.0)
    deviations = np.where(seen, values - values.sum(0) / np.maximum(seen.sum(0), 1), 0.0)
    variance = (deviations**2).sum(0)
    with np.errstate(invalid="ignore"):
        return (deviations[1:] * deviations[:-1]).sum(0) / np.where(variance > 0.0, variance, np.nan)
