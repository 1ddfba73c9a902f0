"""Min-Max scaling of each channel."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from gridcast.data.calendars import Calendar
from gridcast.data.grid import Series
from gridcast.data.warn import warn
from gridcast.transformers.channels import ChannelTransformer, over_fields


class MinMaxTransformer(ChannelTransformer):
    """Scale each channel linearly so that its data range becomes `feature_range`.

    ``transform(x) = low + (x - data_min) * (high - low) / (data_max - data_min)``; `inverse_transform` is exact. Values
    outside the data range are scaled by the same line, never clipped. Missing values stay missing.

    Parameters
    ----------
    feature_range : (float, float), default=(-1, 1)
        Range of the scaled data.
    data_range : (float, float) or sequence of them, default=None
        Range of the data in physical units, one pair for all channels or one per channel, such as the paper's
        ``(0, 1000)`` K and ``(0, 80)`` mm/day. By default learned in one pass over the (possibly lazy) array. Where
        values of the training series lie outside, `fit` warns of their share.

    Attributes
    ----------
    data_min_, data_max_ : ndarray, shape (channel,)
        Data range in physical units.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.arange(8.0).reshape(2, 2, 2)
    >>> scaled = MinMaxTransformer().fit_transform(x)
    >>> float(scaled.min()), float(scaled.max())
    (-1.0, 1.0)
    """

    def __init__(self, feature_range: tuple[float, float] = (-1, 1), data_range: Any = None) -> None:
        self.feature_range = feature_range
        self.data_range = data_range

    def fit_series(self, series: Series, calendar: Calendar | None = None) -> Self:
        """Learn or check the data range of a series without labels; see `fit`.

        Raises
        ------
        ValueError
            If a range has no width, or `X` can not be scaled; see `fit`.

        Warns
        -----
        UserWarning
            If values lie outside `data_range`, with the share of such cells.
        """
        del calendar
        n_channels = series.grid.shape[0]
        given = None if self.data_range is None else self._given_range(n_channels)
        smallest, largest, n_observed, n_outside = self._read(series, given)
        if given is None:
            self.data_min_, self.data_max_ = smallest, largest
        else:
            # as given, even where X spans less: the paper's range is round numbers
            self.data_min_, self.data_max_ = given
            if n_outside:
                warn(
                    f"{n_outside / n_observed.sum():.2%} of the cells of X lie outside data_range={self.data_range!r} "
                    f"(X spans {smallest.min():g} to {largest.max():g}); they are scaled by the same line, not clipped",
                )
        flat = self.data_max_ <= self.data_min_  # (channel,)
        if flat.any() and given is None:
            # A constant channel has no scale of its own: keep the unit, so that it maps to the middle and back.
            unit = np.maximum(1.0, np.abs(smallest) * 2**-10)  # of a large constant a part, else 1 would be lost in it
            self.data_min_, self.data_max_ = (
                np.where(flat, smallest - unit, smallest),
                np.where(flat, largest + unit, largest),
            )
        return self

    def transform_values(self, values: Any, times: Any = None) -> Any:
        """Scale fields without labels (..., channel, y, x), numpy or dask; the times do not matter."""
        del times
        low, offset, factor = self._line(values)
        return low + (values - offset) * factor

    def inverse_transform_values(self, values: Any, times: Any = None) -> Any:
        """Undo `transform_values`."""
        del times
        low, offset, factor = self._line(values)
        return (values - low) / factor + offset

    def _line(self, values: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return what is added, the offset and the factor of the line, in the precision of `values`."""
        self._check_fitted_on(values)
        low, high = self.feature_range
        factor = (high - low) / (self.data_max_ - self.data_min_)
        first, offset, factor = over_fields(values.dtype, low, self.data_min_, factor)
        return first, offset, factor

    def _given_range(self, n_channels: int) -> tuple[np.ndarray, np.ndarray]:
        try:
            pairs = np.broadcast_to(np.asarray(self.data_range, dtype=float), (n_channels, 2))
        except ValueError:
            raise ValueError(
                f"data_range={self.data_range!r} is neither one (min, max) nor one for each of {n_channels} channels"
            ) from None
        if not (np.isfinite(pairs).all() and (pairs[:, 0] < pairs[:, 1]).all()):
            raise ValueError(
                f"data_range={self.data_range!r} has no width: give (min, max) with min < max, in X's units"
            )
        return pairs[:, 0].copy(), pairs[:, 1].copy()
