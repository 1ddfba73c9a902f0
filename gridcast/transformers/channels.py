"""What the transformers that scale each channel have in common: labels off and on, and which data they refuse."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np
import xarray as xr
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from gridcast.data.calendars import Calendar
from gridcast.data.grid import Series, has_channels, unwrap
from gridcast.data.labels import from_to, same_labels
from gridcast.data.statistics import check_no_fill_values, extremes
from gridcast.data.units import warn_of_other_units
from gridcast.transformers.labels import labelled, map_fields


class ChannelTransformer(TransformerMixin, BaseEstimator, ABC):
    """Base of the transformers that map the data range of each channel to `feature_range`, whatever the time.

    Attributes
    ----------
    data_min_, data_max_ : ndarray, shape (channel,)
        Data range in physical units.
    channels_ : DataArray or None
        Labels of the channels, whose order `transform` expects; None where the training series has none.
    units_ : str or None
        Units of the training series, which come back with `inverse_transform`; None where it names none.
    """

    feature_range: tuple[float, float]
    data_min_: np.ndarray
    data_max_: np.ndarray
    channels_: xr.DataArray | None
    units_: str | None

    def fit(self, X: Any, y: None = None) -> Self:
        """Learn the scales of the channels, or check those given, in one pass.

        Parameters
        ----------
        X : DataArray or ndarray, shape ([sample,] time, [channel,] y, x)
            Physical units.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter does not fit `X`, or `X` holds infinite values, undeclared fill values such as 1e20, or a
            channel without any observation.
        """
        series, _ = unwrap(labelled(X))
        self.fit_series(series)
        grid = series.grid
        self.channels_ = grid.coords.get(grid.dims[0]) if len(grid.dims) == 3 else None
        self.units_ = str(grid.attrs["units"]) if grid.attrs.get("units") else None
        return self

    def transform(self, X: Any) -> xr.DataArray:
        """Scale `X`.

        Parameters
        ----------
        X : DataArray or ndarray, shape ([sample,] time, [channel,] y, x)
            Physical units.

        Returns
        -------
        DataArray
            Scaled, lazy if `X` is; its units, where they are named, are ``"1"``.

        Warns
        -----
        UserWarning
            If `X` says that it is in other units than the training series.
        """
        scaled = map_fields(self._of_same_channels(labelled(X)), self.transform_values)
        warn_of_other_units("X", scaled.attrs.get("units"), "the training series", self._units())
        return scaled.assign_attrs(units="1") if self._units() else scaled

    def inverse_transform(self, X: Any) -> xr.DataArray:
        """Undo `transform`.

        Parameters
        ----------
        X : DataArray or ndarray, shape ([member,] [sample,] time, [channel,] y, x)
            Scaled data or forecasts, with any leading dimensions.

        Returns
        -------
        DataArray
            Physical units, lazy if `X` is.
        """
        restored = map_fields(self._of_same_channels(labelled(X)), self.inverse_transform_values)
        return restored.assign_attrs(units=self._units()) if self._units() else restored

    def _units(self) -> str | None:
        return vars(self).get("units_")  # one inside of a forecaster has none

    @abstractmethod
    def fit_series(self, series: Series, calendar: Calendar | None = None) -> Self:
        """Learn from a series without labels; see `fit`."""

    @abstractmethod
    def transform_values(self, values: Any, times: Any = None) -> Any:
        """Scale fields without labels (..., channel, y, x), numpy or dask; the times do not matter."""

    @abstractmethod
    def inverse_transform_values(self, values: Any, times: Any = None) -> Any:
        """Undo `transform_values`."""

    def _read(self, series: Series, given: tuple[np.ndarray, np.ndarray] | None = None, *also: Any) -> tuple[Any, ...]:
        """Return what `extremes` does, of a series that can be scaled; raise a ValueError for any other."""
        low, high = self.feature_range
        if not low < high:
            raise ValueError(f"feature_range={self.feature_range!r} has no width: give (low, high) with low < high")
        smallest, largest, n_observed, *others = extremes(series.values, given, *also)
        if (n_observed == 0).any():
            channel = int(np.flatnonzero(n_observed == 0)[0])
            raise ValueError(
                f"X holds no observed value in channel {channel} (all NaN): drop it or check the fill value"
            )
        if not np.isfinite([smallest, largest]).all():
            raise ValueError("X holds an infinite value: mark missing values with NaN, X.where(np.isfinite(X))")
        # a fill value of 1e20 would squeeze all data into one point
        check_no_fill_values(smallest, largest)
        return smallest, largest, n_observed, *others

    def _of_same_channels(self, X: xr.DataArray) -> xr.DataArray:
        """Return `X`; raise a ValueError where its channels have other labels than those of the training series."""
        known = vars(self).get("channels_")  # not of one inside of a forecaster
        # whose own `get` makes a coordinate where a dimension has none
        theirs = dict(X.coords).get(X.dims[-3]) if has_channels(X) else None
        # another number of channels is refused with the values
        if known is None or theirs is None or known.shape != theirs.shape:
            return X
        if not same_labels(known.values, theirs.values):
            raise ValueError(
                f"X has other labels along {theirs.name!r} ({from_to(theirs.values)}) than the series that the "
                f"transformer was fitted on ({from_to(known.values)}): sort or select it alike, or fit again"
            )
        return X

    def _check_fitted_on(self, values: Any) -> None:
        """Raise an error unless this is fitted, on as many channels as `values` (..., channel, y, x) has."""
        check_is_fitted(self)
        if values.shape[-3] != len(self.data_min_):
            raise ValueError(
                f"X has {values.shape[-3]} channels, the transformer was fitted on {len(self.data_min_)}: fit it on X"
            )


def floating(dtype: np.dtype) -> np.dtype:
    """Return the type of scaled values: integers become floats, doubles stay doubles."""
    return np.result_type(dtype, np.float32)


def over_fields(dtype: np.dtype, *parts: Any) -> list[np.ndarray]:
    """Return numbers or arrays (channel,) as (channel, 1, 1), in the type of what is scaled from `dtype`."""
    return [np.asarray(part).astype(floating(dtype)).reshape(-1, 1, 1) for part in parts]
