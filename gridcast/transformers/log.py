"""Logarithmic scaling of each channel above a natural bound."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from gridcast.data.calendars import Calendar
from gridcast.data.grid import Series
from gridcast.data.statistics import LEAST_STEPS, MARGIN, sums_above
from gridcast.transformers.channels import ChannelTransformer, floating, over_fields

# Of the mean above the bound, well below which a value is scaled linearly. With a much smaller share the logarithm
# stretches drizzle, and members are huge; with a much larger one it is no logarithm
SHARE = 0.5
SINGLE = np.finfo(np.float32)
MOST = float(np.log(SINGLE.max / MARGIN))  # of a logarithm whose inverse single precision holds


class LogTransformer(ChannelTransformer):
    """Take the logarithm of each channel above a bound, and scale it so that its data range becomes `feature_range`.

    For fields of many small values and a few large ones, such as rain, snow, discharge, aerosol or a tracer: an error
    then counts by its ratio to the value, not by its size. With the logarithm

    ``z(x) = log(1 + (x - bound) / offset)``

    ``transform(x) = low + (z(x) - z(data_min)) * (high - low) / (z(data_max) - z(data_min))``. `inverse_transform` is
    exact: up to rounding, and to the bit at the bound, so that no rain comes back as 0. Missing values stay missing.

    A training series that goes below the bound is refused. Later values that do, and forecasts without `bounded`, are
    scaled by the tangent at the bound, ``z(x) = (x - bound) / offset``, never clipped; those above ``data_max`` are by
    the logarithm. `predict` of a forecaster gives the mean of the logarithm, undone: about the median in physical
    units, which lies below the mean of a skewed field. For that one take the mean of `predict_samples`.

    Parameters
    ----------
    offset : "auto", float or sequence of float, default="auto"
        In the units of the series, one number for all channels or one per channel. What is well below it is scaled
        linearly, what is well above by its logarithm; with an offset far above the largest value a channel is scaled as
        `MinMaxTransformer` does. ``"auto"`` takes half of the mean of the values above the bound, learned in the one
        pass over the (possibly lazy) array, or 1 where there are none.
    feature_range : (float, float), default=(-1, 1)
        Range of the scaled data.
    bound : float or sequence of float, default=0.0
        The smallest value there can be, in the units of the series, one number for all channels or one per channel.

    Attributes
    ----------
    data_min_, data_max_ : ndarray, shape (channel,)
        Data range in physical units.
    offset_, bound_ : ndarray, shape (channel,)
        In use, in physical units.

    See Also
    --------
    MinMaxTransformer : Scales linearly; for fields without a bound, such as temperatures.

    References
    ----------
    Rasp, S. and Thuerey, N. (2021). Data-driven medium-range weather prediction with a Resnet pretrained on climate
    simulations: a new model for WeatherBench. J. Adv. Model. Earth Syst. 13, e2020MS002405, who scale precipitation so.

    Examples
    --------
    >>> import numpy as np
    >>> rain = np.array([0.0, 0.0, 1.0, 3.0, 0.0, 15.0]).reshape(3, 2, 1)  # mm/day
    >>> transformer = LogTransformer(offset=1.0, feature_range=(0, 4)).fit(rain)
    >>> scaled = transformer.transform(rain)
    >>> scaled.values.ravel().round(3).tolist()
    [0.0, 0.0, 1.0, 2.0, 0.0, 4.0]
    >>> transformer.inverse_transform(scaled).values.ravel().round(3).tolist()
    [0.0, 0.0, 1.0, 3.0, 0.0, 15.0]
    """

    def __init__(self, offset: Any = "auto", feature_range: tuple[float, float] = (-1, 1), bound: Any = 0.0) -> None:
        self.offset = offset
        self.feature_range = feature_range
        self.bound = bound

    def fit_series(self, series: Series, calendar: Calendar | None = None) -> Self:
        """Learn from a series without labels; see `fit`.

        Raises
        ------
        ValueError
            Also if a channel goes below `bound`, `offset` is not positive, or single precision can not tell the
            logarithms of `X` apart.
        """
        del calendar
        n_channels = series.grid.shape[0]
        bound = self._given("bound", n_channels)
        if not np.isfinite(bound).all():
            raise ValueError(f"bound={self.bound!r} must be finite, in the units of X")
        is_auto = isinstance(self.offset, str) and self.offset == "auto"
        offset = None if is_auto else self._given("offset", n_channels)
        if offset is not None and not (np.isfinite(offset) & (offset > 0)).all():
            raise ValueError(f'offset={self.offset!r} must be positive and finite, in the units of X, or "auto"')
        # as the values have it: a float32 of 0.7 lies below the double
        least = bound.astype(floating(series.values.dtype))
        smallest, largest, _, _, total, count = self._read(series, None, *sums_above(series.values, least))
        self._check_above(smallest, bound, least)
        if offset is None:
            offset = np.where(count > 0, SHARE * (total / np.maximum(count, 1) - least), 1.0)
        self._check_resolved(*_logarithms(smallest, largest, bound, offset))
        # a fit that fails keeps the earlier one
        self.data_min_, self.data_max_, self.bound_, self.offset_ = smallest, largest, bound, offset
        return self

    def transform_values(self, values: Any, times: Any = None) -> Any:
        """Scale fields without labels (..., channel, y, x), numpy or dask; the times do not matter."""
        del times
        at_bound, factor, bound, offset = self._curve(values)
        return at_bound + _log((values - bound) / offset) * factor

    def inverse_transform_values(self, values: Any, times: Any = None) -> Any:
        """Undo `transform_values`."""
        del times
        at_bound, factor, bound, offset = self._curve(values)
        return bound + _exp((values - at_bound) / factor) * offset

    def _curve(self, values: Any) -> list[np.ndarray]:
        """Return the scaled bound, the factor of the logarithm, bound and offset, in the precision of `values`."""
        self._check_fitted_on(values)
        bottom, top = _logarithms(self.data_min_, self.data_max_, self.bound_, self.offset_)
        low, high = self.feature_range
        factor = (high - low) / (top - bottom)
        # the line starts at the bound, not at the data's minimum: there its inverse is exact
        return over_fields(values.dtype, low - bottom * factor, factor, self.bound_, self.offset_)

    def _given(self, name: str, n_channels: int) -> np.ndarray:
        """Return a parameter for each channel."""
        value = getattr(self, name)
        try:
            return np.broadcast_to(np.asarray(value, dtype=float), (n_channels,)).copy()
        except (TypeError, ValueError):
            or_auto = ', nor "auto"' if name == "offset" else ""
            raise ValueError(
                f"{name}={value!r} is neither one number in the units of X nor one for each of {n_channels} channels"
                + or_auto
            ) from None

    def _check_above(self, smallest: np.ndarray, bound: np.ndarray, least: np.ndarray) -> None:
        """Raise a ValueError if a channel goes below its bound."""
        below = np.flatnonzero(smallest < least)
        if len(below):
            value, limit = smallest[below[0]], bound[below[0]]
            raise ValueError(
                f"bound={self.bound!r}, but channel {below[0]} of X goes down to {value:.6g}: clip what is rounding, "
                f"X.clip(min={limit:g}), give a bound below all values, bound={float(np.floor(value))!r}, or use "
                "MinMaxTransformer()"
            )

    def _check_resolved(self, bottom: np.ndarray, top: np.ndarray) -> None:
        """Raise a ValueError if single precision can not hold the logarithms, or tell them apart."""
        for low, high in zip(bottom, top, strict=True):
            if not LEAST_STEPS * SINGLE.eps * high < high - low or high > MOST:
                raise ValueError(
                    f"offset={self.offset!r}, bound={self.bound!r}: the logarithms of X lie between {low:.9g} and "
                    f"{high:.9g}, which single precision can not hold apart: give a bound near the smallest value and "
                    "an offset near the usual values above it, or use MinMaxTransformer()"
                )


def _log(excess: Any) -> Any:
    """Return the logarithm of 1 + `excess`, and its tangent at 0 below, numpy or dask."""
    return np.log1p(np.maximum(excess, 0)) + np.minimum(excess, 0)


def _exp(z: Any) -> Any:
    """Undo `_log`."""
    return np.expm1(np.maximum(z, 0)) + np.minimum(z, 0)


def _logarithms(
    smallest: np.ndarray, largest: np.ndarray, bound: np.ndarray, offset: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the logarithms (channel,) that are mapped to the range: of the extremes, or around those of a constant."""
    bottom, top = _log((smallest - bound) / offset), _log((largest - bound) / offset)
    flat = top <= bottom  # no scale of its own: it maps to the middle and back
    return np.where(flat, bottom - 1, bottom), np.where(flat, top + 1, top)
