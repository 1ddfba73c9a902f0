"""Errors of a single forecast, and their skill against a reference."""

from __future__ import annotations

from scores import continuous
from xarray import DataArray

from gridcast.data.units import squared, units_of
from gridcast.metrics._checks import Dims, check_reference, check_same_labels, checked, named
from gridcast.metrics._weights import Weights


def mse(forecast: DataArray, observed: DataArray, *, dim: Dims = None, weights: Weights = "auto") -> DataArray:
    """
    Mean squared error.

    Parameters
    ----------
    forecast : DataArray of shape (time, y, x), or any other
        The forecast, in the units of the observations, with their labels on every dimension that both have.
    observed : DataArray of shape (time, y, x), or any other
        The observations. A dimension that one of the two lacks is broadcast.
    dim : str or iterable of hashable, default=None
        Dimensions to average over; None averages over all of them.
    weights : DataArray, "auto" or None, default="auto"
        Non-negative weights of the average, along some of the data's dimensions. ``"auto"`` takes
        a coordinate with the standard name ``cell_area``, else :func:`gridcast.metrics.latitude_weights`, where `dim`
        includes one of its dimensions; None weighs every cell alike, as does ``"auto"`` for data without a latitude.

    Returns
    -------
    DataArray
        The error over the dimensions not in `dim`, in squared units; NaN where no cell is observed.

    Raises
    ------
    TypeError
        If `forecast`, `observed` or `weights` is not a DataArray.
    ValueError
        If labels differ along a shared dimension, if `dim` or `weights` names a dimension that the data lack,
        or if weights are negative, missing or all zero.

    Warns
    -----
    UserWarning
        If both sides name units, and other ones: nothing is converted.

    Examples
    --------
    >>> from xarray import DataArray
    >>> from gridcast.metrics import mse
    >>> observed = DataArray([[0, 2], [4, float("nan")]], dims=("time", "x"), attrs={"units": "mm/day"})
    >>> mse(observed * 2.0, observed, dim="x").values
    array([ 2., 16.])
    >>> mse(observed, observed).attrs["units"]
    '(mm/day)^2'

    The row at 60 degrees has half the area of the row at the equator:

    >>> error = DataArray([[1.0], [4.0]], coords={"lat": [0.0, 60.0], "lon": [5.0]})
    >>> round(mse(error, 0.0 * error).item(), 6), mse(error, 0.0 * error, weights=None).item()
    (6.0, 8.5)

    A backtest has its valid times as a coordinate; take the observations at those times:

    >>> times = DataArray([[1, 2], [2, 3]], dims=("init_time", "lead_time"))
    >>> backtest = DataArray([[1.0, 4.0], [2.0, 4.0]], dims=times.dims, coords={"time": times})
    >>> series = DataArray([0.0, 1.0, 2.0, 3.0], coords={"time": [0, 1, 2, 3]})
    >>> mse(backtest, series.sel(time=backtest["time"]), dim="init_time").values
    array([0. , 2.5])
    """
    forecast, observed, dims, weights = checked(forecast, observed, dim, weights)
    score = continuous.mse(forecast, observed, reduce_dims=dims, weights=weights)
    return named(score, "mse", squared(units_of(observed, forecast)))


def rmse(forecast: DataArray, observed: DataArray, *, dim: Dims = None, weights: Weights = "auto") -> DataArray:
    """
    Root of the mean squared error; the root is taken after the average.

    Parameters
    ----------
    forecast, observed, dim, weights
        As in :func:`gridcast.metrics.mse`, which also lists the errors raised.

    Returns
    -------
    DataArray
        The error over the dimensions not in `dim`, in the units of the observations.

    Examples
    --------
    >>> rmse(DataArray([1.0, 7.0], dims="x"), DataArray([0.0, 0.0], dims="x")).item()
    5.0
    """
    forecast, observed, dims, weights = checked(forecast, observed, dim, weights)
    score = continuous.rmse(forecast, observed, reduce_dims=dims, weights=weights)
    return named(score, "rmse", units_of(observed, forecast))


def mae(forecast: DataArray, observed: DataArray, *, dim: Dims = None, weights: Weights = "auto") -> DataArray:
    """
    Mean absolute error.

    Parameters
    ----------
    forecast, observed, dim, weights
        As in :func:`gridcast.metrics.mse`, which also lists the errors raised.

    Returns
    -------
    DataArray
        The error over the dimensions not in `dim`, in the units of the observations.

    Examples
    --------
    >>> mae(DataArray([1.0, 7.0], dims="x"), DataArray([0.0, 8.0], dims="x")).item()
    1.0
    """
    forecast, observed, dims, weights = checked(forecast, observed, dim, weights)
    score = continuous.mae(forecast, observed, reduce_dims=dims, weights=weights)
    return named(score, "mae", units_of(observed, forecast))


def bias(forecast: DataArray, observed: DataArray, *, dim: Dims = None, weights: Weights = "auto") -> DataArray:
    """
    Mean error, forecast minus observed: positive where the forecast is too high.

    Parameters
    ----------
    forecast, observed, dim, weights
        As in :func:`gridcast.metrics.mse`, which also lists the errors raised.

    Returns
    -------
    DataArray
        The bias over the dimensions not in `dim`, in the units of the observations.

    Examples
    --------
    >>> bias(DataArray([1.0, 7.0], dims="x"), DataArray([0.0, 6.0], dims="x")).item()
    1.0
    """
    forecast, observed, dims, weights = checked(forecast, observed, dim, weights)
    score = continuous.additive_bias(forecast, observed, reduce_dims=dims, weights=weights)
    return named(score, "bias", units_of(observed, forecast))


def mse_skill(
    forecast: DataArray,
    reference: DataArray,
    observed: DataArray,
    *,
    dim: Dims = None,
    weights: Weights = "auto",
) -> DataArray:
    """
    Skill against a reference, ``1 - MSE / MSE of the reference``: 1 is perfect, 0 equals the reference.

    Parameters
    ----------
    forecast, observed, dim, weights
        As in :func:`gridcast.metrics.mse`, which also lists the errors raised.
    reference : DataArray
        The forecast to beat, such as persistence. Both errors are taken where all three arrays have values.

    Returns
    -------
    DataArray
        The skill over the dimensions not in `dim`, without units. NaN where the reference is perfect: no
        forecast can be better, and the ratio says nothing.

    Examples
    --------
    >>> observed = DataArray([1.0, 2.0, 3.0], dims="time")
    >>> mse_skill(observed + 1.0, observed + 2.0, observed).item()
    0.75
    """
    check_same_labels(forecast=forecast, reference=reference, observed=observed)
    check_reference("reference", reference, dict.fromkeys((*forecast.dims, *observed.dims)))
    weights = checked(forecast, observed, dim, weights)[-1]
    exists = forecast.notnull() & reference.notnull() & observed.notnull()  # the same cells for both
    error = mse(forecast.where(exists), observed, dim=dim, weights=weights)
    reference_error = mse(reference.where(exists), observed, dim=dim, weights=weights)
    return named(1.0 - error / reference_error.where(reference_error > 0.0), "mse_skill", "1")
