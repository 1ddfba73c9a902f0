"""Split a series in time: who may see which steps."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from gridcast.data.checks import check_positive_integer
from gridcast.data.grid import refuse_dataset
from gridcast.data.windows import window_starts


class WindowSplitter:
    """Split a series in time so that no window of one part shares a step with the other.

    The series is cut at a step, not at a window: windows of `window` steps that start before the cut and would reach
    over it belong to neither part. Of the windows that remain, ``1 - test_fraction`` train. For 2774 steps and windows
    of 30 that gives the paper's 1901 training windows (starts 0 to 1900) and 815 test windows (starts 1930 to 2744).

    With ``n_splits > 1`` the test part is cut into `n_splits` consecutive blocks of equal length; each is forecast by a
    model trained on everything before it (an expanding window, as `sklearn.model_selection.TimeSeriesSplit` has it).

    A series with a leading ``sample`` dimension holds independent sequences: there the sequences are split, not the
    steps.

    Parameters
    ----------
    window : int, default=30
        Steps of a window.
    stride : int, default=1
        Steps between the starts of two consecutive windows.
    n_splits : int, default=1
        Number of train/test pairs.
    test_fraction : float, default=0.3
        Share of the windows (of the sequences, where there is a ``sample`` dimension) kept for testing.

    Examples
    --------
    >>> import numpy as np
    >>> train, test = next(WindowSplitter(window=30, test_fraction=0.3).split(np.zeros((2774, 4, 4))))
    >>> len(train), test[0]
    (1930, np.int64(1930))
    >>> splitter = WindowSplitter(window=30)
    >>> len(splitter.windows(len(train))), len(splitter.windows(len(test)))
    (1901, 815)
    """

    def __init__(self, window: int = 30, stride: int = 1, n_splits: int = 1, test_fraction: float = 0.3) -> None:
        self.window = window
        self.stride = stride
        self.n_splits = n_splits
        self.test_fraction = test_fraction

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({arguments})"

    def windows(self, n_times: int) -> np.ndarray:
        """Return the first step of every window that fits into `n_times` steps.

        Parameters
        ----------
        n_times : int
            Number of steps.

        Returns
        -------
        ndarray of int, shape (n_windows,)
            Window starts, ascending.

        Raises
        ------
        ValueError
            If no window fits, or a parameter is not a positive integer.
        """
        self._check()
        return window_starts(n_times, self.window, self.stride)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of train/test pairs."""
        return self.n_splits

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the train and test indices of the first dimension of `X`.

        Parameters
        ----------
        X : DataArray or array, shape (time, ...) or (sample, time, ...)
            The series; only its shape and dimension names are looked at.
        y, groups : ignored
            Present for scikit-learn.

        Yields
        ------
        train, test : ndarray of int
            Consecutive indices; every train index is before every test index.

        Raises
        ------
        ValueError
            If a part of a split would hold no window.
        """
        self._check()
        n = len(X)
        independent = getattr(X, "dims", ("time",))[0] == "sample"
        if n < 2:
            raise ValueError(f"X has {n} entries along its first dimension, too few for a split in two parts")
        # A window that straddles the cut is lost on either side: 2 (window - 1) starts fewer than steps.
        margin = 0 if independent else self.window - 1
        # 1e-9: the product may lie just below a whole number
        first_test = int((1 - self.test_fraction) * (n - 2 * margin) + 1e-9) + margin
        edges = np.linspace(first_test, n, self.n_splits + 1).astype(int)
        shortest = min(first_test, int(np.diff(edges).min()))
        if shortest < margin + 1:
            raise ValueError(
                f"X has {n} steps: n_splits={self.n_splits} and test_fraction={self.test_fraction} leave a part of "
                f"{max(shortest, 0)} steps, which must hold at least {margin + 1}; "
                "use a longer series, fewer splits or a shorter window"
            )
        for start, stop in itertools.pairwise(edges):
            yield np.arange(start), np.arange(start, stop)

    def _check(self) -> None:
        for name in ("window", "stride", "n_splits"):
            check_positive_integer(name, getattr(self, name))
        if not 0 < self.test_fraction < 1:
            raise ValueError(f"test_fraction={self.test_fraction!r} must lie between 0 and 1, both excluded")


def train_test_split(X: Any, test_fraction: float = 0.3) -> tuple[Any, Any]:
    """Split a series in two parts, the later one for testing; they share no step.

    Parameters
    ----------
    X : DataArray or ndarray, shape ([sample,] time, [channel,] y, x)
        A series; independent samples are split, where there is a ``sample`` dimension.
    test_fraction : float, default=0.3
        Share of the steps (of the samples) in the test part.

    Returns
    -------
    train, test : same type as `X`
        Views, lazy if `X` is.

    Raises
    ------
    TypeError
        If `X` is a Dataset.
    ValueError
        If `test_fraction` does not lie between 0 and 1, or a part would be empty.

    Examples
    --------
    >>> import numpy as np
    >>> train, test = train_test_split(np.zeros((10, 2, 2)))
    >>> len(train), len(test)
    (7, 3)
    """
    if not 0 < test_fraction < 1:
        raise ValueError(f"test_fraction={test_fraction!r} must lie between 0 and 1, both excluded")
    refuse_dataset(X)
    n_train = round(len(X) * (1 - test_fraction))  # rounded: the product may lie just below a whole number
    if not 0 < n_train < len(X):
        raise ValueError(f"X has {len(X)} steps, test_fraction={test_fraction!r} leaves an empty part")
    return X[:n_train], X[n_train:]
