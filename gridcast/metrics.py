"""Scores of a forecast against observations, thin over the `scores` package.

Every metric has one signature, ``metric(forecast, observed, *, dim=None, weights=None)``, and one shape:
check the labels, score each cell, average over ``dim``. All of them

- leave out cells that are missing (NaN) in the forecast or in the observations,
- stay lazy on dask arrays (weights alone are computed, to see that none is negative),
- compute in float64, so that unsigned radar counts do not wrap around,
- demand equal labels on every shared dimension instead of joining them silently,
- broadcast dimensions that one side alone has (``member``, ``lead_time``, ``init_time``),
- return a DataArray whose ``units`` attribute is that of the score.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from itertools import combinations
from typing import TypeAlias

import dask
import numpy as np
from scores import continuous, probability
from scores.processing import aggregate
from xarray import DataArray

Dims: TypeAlias = str | Iterable[Hashable] | None
Weights: TypeAlias = DataArray | None

_LATITUDE_NAMES = ("lat", "latitude")
_LATITUDE_UNITS = ("degrees_north", "degree_north", "degrees_N", "degree_N", "degreesN", "degreeN")


def mse(forecast: DataArray, observed: DataArray, *, dim: Dims = None, weights: Weights = None) -> DataArray:
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
    weights : DataArray, default=None
        Non-negative weights of the average, for instance :func:`latitude_weights`, along some of the data's
        dimensions. None weighs every cell alike.

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

    Examples
    --------
    >>> from xarray import DataArray
    >>> from gridcast.metrics import mse
    >>> observed = DataArray([[0, 2], [4, float("nan")]], dims=("time", "x"), attrs={"units": "mm/day"})
    >>> mse(observed * 2.0, observed, dim="x").values
    array([ 2., 16.])
    >>> mse(observed, observed).attrs["units"]
    '(mm/day)^2'

    A backtest has its valid times as a coordinate; take the observations at those times:

    >>> times = DataArray([[1, 2], [2, 3]], dims=("init_time", "lead_time"))
    >>> backtest = DataArray([[1.0, 4.0], [2.0, 4.0]], dims=times.dims, coords={"time": times})
    >>> series = DataArray([0.0, 1.0, 2.0, 3.0], coords={"time": [0, 1, 2, 3]})
    >>> mse(backtest, series.sel(time=backtest["time"]), dim="init_time").values
    array([0. , 2.5])
    """
    forecast, observed, dims = _checked(forecast, observed, dim, weights)
    score = continuous.mse(forecast, observed, reduce_dims=dims, weights=weights)
    return _named(score, "mse", _squared(_units(observed, forecast)))


def rmse(forecast: DataArray, observed: DataArray, *, dim: Dims = None, weights: Weights = None) -> DataArray:
    """
    Root of the mean squared error; the root is taken after the average.

    Parameters
    ----------
    forecast, observed, dim, weights
        As in :func:`mse`, which also lists the errors raised.

    Returns
    -------
    DataArray
        The error over the dimensions not in `dim`, in the units of the observations.

    Examples
    --------
    >>> rmse(DataArray([1.0, 7.0], dims="x"), DataArray([0.0, 0.0], dims="x")).item()
    5.0
    """
    forecast, observed, dims = _checked(forecast, observed, dim, weights)
    score = continuous.rmse(forecast, observed, reduce_dims=dims, weights=weights)
    return _named(score, "rmse", _units(observed, forecast))


def mae(forecast: DataArray, observed: DataArray, *, dim: Dims = None, weights: Weights = None) -> DataArray:
    """
    Mean absolute error.

    Parameters
    ----------
    forecast, observed, dim, weights
        As in :func:`mse`, which also lists the errors raised.

    Returns
    -------
    DataArray
        The error over the dimensions not in `dim`, in the units of the observations.

    Examples
    --------
    >>> mae(DataArray([1.0, 7.0], dims="x"), DataArray([0.0, 8.0], dims="x")).item()
    1.0
    """
    forecast, observed, dims = _checked(forecast, observed, dim, weights)
    score = continuous.mae(forecast, observed, reduce_dims=dims, weights=weights)
    return _named(score, "mae", _units(observed, forecast))


def bias(forecast: DataArray, observed: DataArray, *, dim: Dims = None, weights: Weights = None) -> DataArray:
    """
    Mean error, forecast minus observed: positive where the forecast is too high.

    Parameters
    ----------
    forecast, observed, dim, weights
        As in :func:`mse`, which also lists the errors raised.

    Returns
    -------
    DataArray
        The bias over the dimensions not in `dim`, in the units of the observations.

    Examples
    --------
    >>> bias(DataArray([1.0, 7.0], dims="x"), DataArray([0.0, 6.0], dims="x")).item()
    1.0
    """
    forecast, observed, dims = _checked(forecast, observed, dim, weights)
    score = continuous.additive_bias(forecast, observed, reduce_dims=dims, weights=weights)
    return _named(score, "bias", _units(observed, forecast))


def mse_skill(
    forecast: DataArray,
    reference: DataArray,
    observed: DataArray,
    *,
    dim: Dims = None,
    weights: Weights = None,
) -> DataArray:
    """
    Skill against a reference, ``1 - MSE / MSE of the reference``: 1 is perfect, 0 equals the reference.

    Parameters
    ----------
    forecast, observed, dim, weights
        As in :func:`mse`, which also lists the errors raised.
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
    _check_same_labels(forecast=forecast, reference=reference, observed=observed)
    exists = forecast.notnull() & reference.notnull() & observed.notnull()
    error = mse(forecast.where(exists), observed, dim=dim, weights=weights)
    reference_error = mse(reference.where(exists), observed, dim=dim, weights=weights)
    return _named(1.0 - error / reference_error.where(reference_error > 0.0), "mse_skill", "1")


def crps(
    forecast: DataArray,
    observed: DataArray,
    *,
    dim: Dims = None,
    weights: Weights = None,
    member_dim: str = "member",
) -> DataArray:
    r"""
    Continuous ranked probability score of an ensemble, fair to its size; lower is better.

    With the members :math:`x_i` of M and the observation y,

    .. math:: \frac{1}{M} \sum_i |x_i - y| - \frac{1}{2 M (M - 1)} \sum_{i, j} |x_i - x_j|,

    whose expectation does not depend on M (Ferro, Q. J. R. Meteorol. Soc. 140, 2014). One member has no
    spread and scores its absolute error.

    Parameters
    ----------
    forecast : DataArray of shape (member, time, y, x), or any other with `member_dim`
        The ensemble. A cell where any member is missing is left out, so that every cell has the same M.
    observed, dim, weights
        As in :func:`mse`, which also lists the errors raised; none of them has `member_dim`.
    member_dim : str, default="member"
        The dimension of the ensemble members.

    Returns
    -------
    DataArray
        The score over the other dimensions than `dim` and `member_dim`, in the units of the observations.

    Examples
    --------
    >>> crps(DataArray([[1.0], [5.0]], dims=("member", "time")), DataArray([6.0], dims="time")).item()
    1.0
    """
    forecast, observed, dims = _checked(forecast, observed, dim, weights, member_dim)
    if forecast.sizes[member_dim] == 1:  # the fair formula divides by M - 1
        forecast = forecast.isel({member_dim: 0}, drop=True)
        score = continuous.mae(forecast, observed, reduce_dims=dims, weights=weights)
    else:
        lazy, options = forecast.chunks or observed.chunks, {"reduce_dims": dims, "weights": weights}
        with dask.config.set({"array.chunk-size": "1MiB"}):  # all pairs at once take M times the ensemble
            forecast = forecast.chunk({d: -1 if d == member_dim else "auto" for d in forecast.dims})
        pairs = probability.crps_for_ensemble(forecast, observed, member_dim, method="fair", **options)
        with np.errstate(invalid="ignore"):  # a cell without any observation
            score = pairs if lazy else pairs.compute(scheduler="synchronous")
    return _named(score, "crps", _units(observed, forecast))


def spread_skill_ratio(
    forecast: DataArray,
    observed: DataArray,
    *,
    dim: Dims = None,
    weights: Weights = None,
    member_dim: str = "member",
) -> DataArray:
    r"""
    Spread of an ensemble over the error of its mean: 1 is calibrated, below 1 is overconfident.

    .. math:: \sqrt{\frac{M + 1}{M} \, \overline{s^2}} \; / \; \mathrm{RMSE}(\bar x, y)

    with the unbiased variance :math:`s^2`, averaged over `dim` as the squared error is. The factor stands for
    the sampling error of the mean of M members (Fortin et al., J. Hydrometeorol. 15, 2014).

    Parameters
    ----------
    forecast, observed, dim, weights, member_dim
        As in :func:`crps`. One member alone has no spread and is a ValueError.

    Returns
    -------
    DataArray
        The ratio over the other dimensions than these, without units. NaN where the mean is perfect.

    Examples
    --------
    >>> ensemble = DataArray([[1.0, 5.0], [3.0, 7.0]], dims=("member", "time"))
    >>> round(spread_skill_ratio(ensemble, DataArray([2.0, 6.0 + 6**0.5], dims="time")).item(), 6)
    1.0
    """
    forecast, observed, dims = _checked(forecast, observed, dim, weights, member_dim)
    n_members = forecast.sizes[member_dim]
    if n_members < 2:
        raise ValueError(f"a spread needs two members or more, {member_dim!r} has {n_members}")
    variance = forecast.var(member_dim, ddof=1, skipna=False).where(observed.notnull())
    variance = aggregate(variance * (n_members + 1) / n_members, reduce_dims=dims, weights=weights)
    mean = forecast.mean(member_dim, skipna=False)
    error = continuous.mse(mean, observed, reduce_dims=dims, weights=weights)
    return _named((variance / error.where(error > 0.0)) ** 0.5, "spread_skill_ratio", "1")


def latitude_weights(data: DataArray) -> DataArray:
    """
    Weights proportional to the area of a cell of a regular grid, the cosine of latitude.

    Parameters
    ----------
    data : DataArray
        Data with a coordinate named ``lat`` or ``latitude``, or with units ``degrees_north``.

    Returns
    -------
    DataArray
        Weights between 0 and 1 along the dimensions of the latitude coordinate, not normalised.

    Raises
    ------
    ValueError
        If no coordinate is recognised as a latitude, or if it is not within 90 degrees of the equator.

    Examples
    --------
    >>> latitude_weights(DataArray([1.0, 2.0, 3.0], coords={"lat": [0, 60, 90]})).values.round(12)
    array([1. , 0.5, 0. ])
    """
    # In float32 the cosine of a pole rounds below zero, and a negative weight is an error.
    latitude = _latitude(data).reset_coords(drop=True).astype("float64")
    if not bool((abs(latitude) <= 90.0).all()):
        raise ValueError(f"coordinate {latitude.name!r} is not a latitude between -90 and 90 degrees")
    cosine = latitude.copy(data=np.cos(np.deg2rad(latitude.values)))
    return _named(cosine, "latitude_weights", "1")


def _latitude(data: DataArray) -> DataArray:
    for name, coordinate in data.coords.items():
        if str(name).lower() in _LATITUDE_NAMES or coordinate.attrs.get("units") in _LATITUDE_UNITS:
            return coordinate
    raise ValueError(
        f"no latitude among the coordinates {list(data.coords)}: name one of them 'lat' or 'latitude', "
        "or give it the attribute units='degrees_north'"
    )


def _checked(
    forecast: DataArray, observed: DataArray, dim: Dims, weights: Weights, member_dim: str | None = None
) -> tuple[DataArray, DataArray, list[Hashable]]:
    """Check a metric's arguments; return both sides in float64 and the dimensions to average over."""
    given = {} if weights is None else {"weights": weights}
    _check_same_labels(forecast=forecast, observed=observed, **given)
    if member_dim is not None:
        forecast = _complete_ensemble(forecast, observed, member_dim)
    available = [name for name in dict.fromkeys((*forecast.dims, *observed.dims)) if name != member_dim]
    dims: list[Hashable] = available if dim is None else [dim] if isinstance(dim, str) else list(dim)
    for parameter, names in (("dim", dims), ("weights", [] if weights is None else weights.dims)):
        for name in names:
            if name not in available:
                raise ValueError(f"{parameter} has {name!r}, which is none of the dimensions {available}")
    return forecast.astype("float64"), observed.astype("float64"), dims


def _complete_ensemble(forecast: DataArray, observed: DataArray, member_dim: str) -> DataArray:
    if member_dim not in forecast.dims:
        raise ValueError(f"forecast has no {member_dim!r} in {forecast.dims}: set member_dim")
    if member_dim in observed.dims:
        raise ValueError(f"observed has the dimension {member_dim!r}, but observations have no members")
    if forecast.chunks is not None:
        forecast = forecast.chunk({member_dim: -1})  # sorting takes all members at once
    return forecast.where(forecast.notnull().all(member_dim))


def _check_same_labels(**arrays: DataArray) -> None:
    """Raise where xarray's arithmetic would join or multiply out arrays that do not belong together."""
    for name, array in arrays.items():
        if not isinstance(array, DataArray):
            raise TypeError(f"{name} must be a DataArray, not {type(array).__name__}: wrap or select one")
    for (first, a), (second, b) in combinations(arrays.items(), 2):
        # A backtest's valid time is a coordinate over (init_time, lead_time) and no dimension.
        for dim in dict.fromkeys((*a.dims, *b.dims, "time")):
            difference = _difference(a, b, dim)
            if difference:
                raise ValueError(
                    f"{first} and {second} differ along {dim!r}: {difference}. Take the same labels first, "
                    f"{second}.sel({dim}={first}[{dim!r}]), or, where they differ by rounding alone, "
                    f"{second}.assign_coords({dim}={first}[{dim!r}])"
                )


def _difference(a: DataArray, b: DataArray, dim: Hashable) -> str:
    if dim in a.dims and dim in b.dims and a.sizes[dim] != b.sizes[dim]:
        return f"{a.sizes[dim]} against {b.sizes[dim]} steps"
    if dim not in a.coords or dim not in b.coords or a[dim].ndim == b[dim].ndim == 0:
        return ""
    if set(a[dim].dims) != set(b[dim].dims):
        return f"labels over {a[dim].dims} against {b[dim].dims}"
    ours, theirs = a[dim].variable, b[dim].variable.transpose(*a[dim].dims)
    if ours.equals(theirs):
        return ""
    where = tuple(np.argwhere(ours.values != theirs.values)[0])
    return f"first {ours.values[where]} against {theirs.values[where]}"


def _units(observed: DataArray, forecast: DataArray) -> str | None:
    return observed.attrs.get("units", forecast.attrs.get("units"))


def _squared(units: str | None) -> str | None:
    if units in (None, "1"):
        return units
    return f"{units}^2" if units.isalpha() else f"({units})^2"


def _named(score: DataArray, name: str, units: str | None) -> DataArray:
    return score.rename(name).drop_attrs().assign_attrs({} if units is None else {"units": units})
