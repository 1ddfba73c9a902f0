"""Scores of an ensemble."""

from __future__ import annotations

from collections.abc import Hashable

import dask
import numpy as np
import xarray as xr
from scores import continuous, probability
from scores.processing import aggregate
from xarray import DataArray

from gridcast.data.units import units_of
from gridcast.metrics._checks import Dims, checked, chunked, named
from gridcast.metrics._weights import Weights


def crps(
    forecast: DataArray,
    observed: DataArray,
    *,
    dim: Dims = None,
    weights: Weights = "auto",
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
        As in :func:`gridcast.metrics.mse`, which also lists the errors raised; none of them has `member_dim`.
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
    forecast, observed, dims, weights = checked(forecast, observed, dim, weights, member_dim)
    score = mean_crps(forecast, observed, dims, weights, member_dim)
    return named(score, "crps", units_of(observed, forecast))


def mean_crps(
    forecast: DataArray,
    observed: DataArray,
    dims: list[Hashable],
    weights: DataArray | None,
    member_dim: str,
    fair: bool = True,
) -> DataArray:
    """Return the average of the CRPS, fair or of the empirical distribution, of what is already checked."""
    if forecast.sizes[member_dim] == 1:  # the fair formula divides by M - 1
        forecast = forecast.isel({member_dim: 0}, drop=True)  # the CRPS of one member is its absolute error
        return continuous.mae(forecast, observed, reduce_dims=dims, weights=weights)
    lazy, options = forecast.chunks or observed.chunks, {"reduce_dims": dims, "weights": weights}
    forecast = in_small_blocks(forecast, member_dim)  # all pairs at once take M times the ensemble
    method = "fair" if fair else "ecdf"
    pairs = probability.crps_for_ensemble(forecast, observed, member_dim, method=method, **options)
    return pairs if lazy else computed(pairs)  # lazy in, lazy out


def spread_skill_ratio(
    forecast: DataArray,
    observed: DataArray,
    *,
    dim: Dims = None,
    weights: Weights = "auto",
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
    forecast, observed, dims, weights = checked(forecast, observed, dim, weights, member_dim)
    variance = aggregate(sampling_variance(forecast, observed, member_dim), reduce_dims=dims, weights=weights)
    mean = forecast.mean(member_dim, skipna=False)  # a mean of fewer members has another spread
    error = continuous.mse(mean, observed, reduce_dims=dims, weights=weights)
    return named((variance / error.where(error > 0.0)) ** 0.5, "spread_skill_ratio", "1")


def sampling_variance(forecast: DataArray, observed: DataArray, member_dim: str) -> DataArray:
    """Return the squared error that the mean of a calibrated ensemble makes, its variance times (M + 1) / M.

    Raises
    ------
    ValueError
        If there is one member alone.
    """
    n_members = forecast.sizes[member_dim]
    if n_members < 2:
        raise ValueError(f"a spread needs two members or more, {member_dim!r} has {n_members}")
    variance = forecast.var(member_dim, ddof=1, skipna=False).where(observed.notnull())  # the same cells as the error
    # the mean of M members is itself uncertain, by 1 / M of the variance
    return variance * (n_members + 1) / n_members


def rank_histogram(
    forecast: DataArray,
    observed: DataArray,
    *,
    dim: Dims = None,
    weights: Weights = "auto",
    member_dim: str = "member",
) -> DataArray:
    """
    Share of the observations at each rank among the members: flat for a calibrated ensemble.

    A histogram that is high at both ends has too little spread, one that slopes has a bias (Hamill, Mon. Wea.
    Rev. 129, 2001). An observation that equals members, such as no rain, has several ranks and is shared among
    them in equal parts; so the histogram of a calibrated ensemble is flat with ties too, and nothing is drawn.

    Parameters
    ----------
    forecast, observed, dim, weights, member_dim
        As in :func:`gridcast.metrics.crps`.

    Returns
    -------
    DataArray
        Shares, which add up to 1, over the other dimensions than `dim` and `member_dim` and over ``rank``: 1 for
        an observation below all M members, M + 1 for one above them. NaN where no cell is observed.

    Examples
    --------
    >>> ensemble = DataArray([[1.0, 1.0, 0.0], [3.0, 3.0, 0.0]], dims=("member", "time"))
    >>> rank_histogram(ensemble, DataArray([2.0, 9.0, 0.0], dims="time")).values.round(3)
    array([0.111, 0.444, 0.444])
    """
    forecast, observed, dims, weights = checked(forecast, observed, dim, weights, member_dim)
    if "rank" in (*forecast.dims, *observed.dims):
        raise ValueError("the data have a dimension 'rank', which is that of the histogram: rename it")
    lazy = forecast.chunks or observed.chunks
    observed = observed.where(forecast.notnull().all(member_dim))  # a rank among fewer members is no rank
    # The scores package computes a lazy ensemble to warn of missing members, so it is given complete blocks.
    forecast = in_small_blocks(forecast.fillna(0.0), member_dim)
    forecast, observed = xr.broadcast(forecast, observed, exclude=[member_dim])
    shares = xr.apply_ufunc(
        _shares,
        forecast,
        observed,
        input_core_dims=[[member_dim], []],
        output_core_dims=[["rank"]],
        dask="parallelized",
        output_dtypes=["float64"],
        dask_gufunc_kwargs={"output_sizes": {"rank": forecast.sizes[member_dim] + 1}},
    )
    shares = shares.assign_coords(rank=np.arange(1, shares.sizes["rank"] + 1))
    histogram = aggregate(shares, reduce_dims=dims, weights=weights)
    return named(histogram if lazy else computed(histogram), "rank_histogram", "1")


def _shares(forecast: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Return the share of each case at every rank, (..., rank), from members (..., member)."""
    cases: list[Hashable] = [f"case_{i}" for i in range(observed.ndim)]
    members, truth = DataArray(forecast, dims=(*cases, "member")), DataArray(observed, dims=cases)
    shares = probability.rank_histogram(members, truth, "member", preserve_dims=cases)
    return shares.transpose(*cases, "rank").values


def in_small_blocks(data: DataArray, *whole: Hashable) -> DataArray:
    """Return lazy data in blocks of 1 MiB that are not cut along the dimensions `whole`."""
    with dask.config.set({"array.chunk-size": "1MiB"}):
        return chunked(data, {d: -1 if d in whole else "auto" for d in data.dims})


def computed(score: DataArray) -> DataArray:
    """Return a score in memory, from small blocks one after the other."""
    with np.errstate(invalid="ignore"):  # a cell without any observation
        # threads would hold many blocks at once
        return score.compute(scheduler="synchronous")
