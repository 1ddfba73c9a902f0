"""Split a series in time: who may see which steps."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr

from gridcast.data.checks import check_positive_integer
from gridcast.data.dimensions import way_to_time
from gridcast.data.grid import SAMPLE, TIME, refuse_dataset
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
    train_steps : int, default=None
        Steps of each training part, the last ones before its test part (a rolling window); all of them by default.
    gap : int, default=0
        Steps that are left out between a training part and its test part.

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

    def __init__(
        self,
        window: int = 30,
        stride: int = 1,
        n_splits: int = 1,
        test_fraction: float = 0.3,
        train_steps: int | None = None,
        gap: int = 0,
    ) -> None:
        self.window = window
        self.stride = stride
        self.n_splits = n_splits
        self.test_fraction = test_fraction
        self.train_steps = train_steps
        self.gap = gap

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
        refuse_dataset(X)
        dim, n = split_along(X)
        independent = dim == SAMPLE
        if n < 2:
            raise ValueError(f"X has {n} entries along its first dimension, too few for a split in two parts")
        # A window that straddles the cut is lost on either side: 2 (window - 1) starts fewer than steps.
        margin = 0 if independent else self.window - 1
        # 1e-9: the product may lie just below a whole number
        first_test = int((1 - self.test_fraction) * (n - 2 * margin) + 1e-9) + margin
        edges = np.linspace(first_test, n, self.n_splits + 1).astype(int)
        trained = first_test - self.gap if self.train_steps is None else min(first_test - self.gap, self.train_steps)
        shortest = min(trained, int(np.diff(edges).min()))
        if shortest < margin + 1:
            raise ValueError(
                f"X has {n} steps: n_splits={self.n_splits}, test_fraction={self.test_fraction}, "
                f"train_steps={self.train_steps} and gap={self.gap} leave a part of {max(shortest, 0)} steps, "
                f"which must hold at least {margin + 1}; use a longer series, fewer splits, a shorter window or gap"
            )
        for start, stop in itertools.pairwise(edges):
            stop_train = start - self.gap
            start_train = 0 if self.train_steps is None else max(0, stop_train - self.train_steps)
            yield np.arange(start_train, stop_train), np.arange(start, stop)

    def _check(self) -> None:
        for name in ("window", "stride", "n_splits"):
            check_positive_integer(name, getattr(self, name))
        if self.train_steps is not None:
            check_positive_integer("train_steps", self.train_steps)
        if self.gap != 0:
            check_positive_integer("gap", self.gap)
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
    n = split_along(X)[1]
    n_train = round(n * (1 - test_fraction))  # rounded: the product may lie just below a whole number
    if not 0 < n_train < n:
        raise ValueError(f"X has {n} steps, test_fraction={test_fraction!r} leaves an empty part")
    return X[:n_train], X[n_train:]


def split_along(X: Any) -> tuple[str | None, int]:
    """Return the first dimension of a series, sample or time, along which it is split, and its length.

    None for a plain array, whose dimensions have no names.

    Raises
    ------
    ValueError
        If the first dimension of a DataArray is neither.
    """
    if not isinstance(X, xr.DataArray):
        return None, len(X)
    dim = next((d for d in (SAMPLE, TIME) if d in X.dims), None)
    if dim is None:
        raise ValueError(f"X has the dimensions {X.dims} and none is named 'time': {way_to_time(X)}")
    if X.dims[0] != dim:
        raise ValueError(f"X has the dimensions {X.dims}, but {dim!r} comes first: X.transpose({dim!r}, ...)")
    return dim, X.sizes[dim]
