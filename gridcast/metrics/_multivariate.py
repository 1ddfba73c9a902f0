"""Scores of whole fields, whose members are to be right together and not only cell by cell."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import numpy as np
import xarray as xr
from scores.processing import aggregate
from scores.utils import check_weights
from xarray import DataArray

from gridcast.data.checks import check_positive_integer
from gridcast.data.units import squared, units_of
from gridcast.metrics._checks import Dims, check_same_labels, checked, chunked, named
from gridcast.metrics._ensembles import computed, in_small_blocks
from gridcast.metrics._weights import Weights

SpatialDims = tuple[Hashable, Hashable] | None


def energy_score(
    forecast: DataArray,
    observed: DataArray,
    *,
    fair: bool = True,
    dim: Dims = None,
    weights: Weights = "auto",
    member_dim: str = "member",
    spatial_dims: SpatialDims = None,
) -> DataArray:
    r"""
    Energy score of an ensemble of fields, the CRPS in many dimensions; lower is better.

    With the fields :math:`x_i` of M members and the observed field y,

    .. math:: \frac{1}{M} \sum_i \|x_i - y\| - \frac{1}{2 M (M - 1)} \sum_{i, j} \|x_i - x_j\|

    (Gneiting and Raftery, J. Am. Stat. Assoc. 102, 2007). The distance of two fields is the root of their mean squared
    difference, weighted over the cells: so one member scores the RMSE of each map, and a larger grid does not score
    more. It sees errors of mean and spread best; see :func:`gridcast.metrics.variogram_score` for those of structure.

    Parameters
    ----------
    forecast : DataArray of shape (member, time, y, x), or any other with `member_dim`
        The ensemble. A cell where any member or the observation is missing is left out of its field.
    observed, weights
        As in :func:`gridcast.metrics.mse`, which also lists the errors raised.
    fair : bool, default=True
        Whether the expectation is independent of M, as that of :func:`gridcast.metrics.crps`; without, the second term
        has :math:`M^2` for :math:`M (M - 1)`.
    dim : str or iterable of hashable, default=None
        Dimensions to average over besides `spatial_dims`; None averages over all of them.
    member_dim : str, default="member"
        The dimension of the ensemble members.
    spatial_dims : (hashable, hashable), default=None
        Dimensions (y, x) of a field; the last two of `observed` by default.

    Returns
    -------
    DataArray
        The score over the dimensions not in `dim`, in the units of the observations.

    Raises
    ------
    ValueError
        If `forecast` or `observed` lacks one of `spatial_dims`, or these are not two.

    Examples
    --------
    >>> ensemble = DataArray([[[0.0, 0.0]], [[2.0, 2.0]]], dims=("member", "y", "x"))
    >>> energy_score(ensemble, DataArray([[2.0, 2.0]], dims=("y", "x"))).item()
    0.0
    """
    spatial = check_fields(spatial_dims, forecast=forecast, observed=observed)
    forecast, observed, dims, weights = checked(forecast, observed, with_fields(dim, spatial), weights, member_dim)
    n_members, forecast = forecast.sizes[member_dim], forecast.where(observed.notnull())
    forecast = forecast.drop_vars(member_dim, errors="ignore")  # members are compared with others

    def distance(a: DataArray, b: DataArray) -> DataArray:
        return aggregate((a - b) ** 2, reduce_dims=list(spatial), weights=weights) ** 0.5

    score = distance(forecast, observed).mean(member_dim, skipna=False)
    for shift in range(1, n_members):
        ahead, behind = (forecast.isel({member_dim: part}) for part in (slice(shift, None), slice(-shift)))
        pairs = distance(ahead, behind).sum(member_dim, skipna=False)
        score = score - pairs / (n_members * (n_members - 1 if fair else n_members))
    others = [d for d in dims if d not in spatial]
    score = aggregate(score, reduce_dims=others, weights=over_fields(weights, spatial, others))
    return named(score, "energy_score", units_of(observed, forecast))


def variogram_score(
    forecast: DataArray,
    observed: DataArray,
    *,
    order: float = 0.5,
    max_lag: int | None = 5,
    fair: bool = True,
    dim: Dims = None,
    weights: Weights = "auto",
    member_dim: str = "member",
    spatial_dims: SpatialDims = None,
) -> DataArray:
    r"""
    Variogram score of an ensemble of fields: do cells differ from their neighbours as they should; lower is better.

    With the values y of the observed field and :math:`x_k` of M members in the cells i and j, averaged over the pairs
    of cells with the product of their weights,

    .. math:: \left(|y_i - y_j|^p - \frac{1}{M} \sum_k |x_{k, i} - x_{k, j}|^p\right)^2

    (Scheuerer and Hamill, Mon. Wea. Rev. 143, 2015). Fields that are too smooth, or members without correlations in
    space, score badly, while an error that all cells share is not seen; beside it belongs
    :func:`gridcast.metrics.energy_score`. Distant pairs are all but independent and drown the others in noise, so
    those further apart than `max_lag` are left out.

    Parameters
    ----------
    forecast, observed, dim, weights, member_dim, spatial_dims
        As in :func:`gridcast.metrics.energy_score`, which also lists the errors raised. A pair of which one cell is
        missing is left out.
    order : float, default=0.5
        The exponent p, above 0; the smaller, the less single large differences count.
    max_lag : int, default=5
        Most cells between a pair, along y and along x; None compares all pairs, which takes as many times longer as
        there are cells. Grids are not taken to go around.
    fair : bool, default=True
        Whether to subtract what the mean over M members errs by itself, its variance over the members divided by M,
        so that the expectation is independent of M. One member has no variance and is not corrected.

    Returns
    -------
    DataArray
        The score over the dimensions not in `dim`, in the units of the observations to the power of 2 p, which the
        attribute ``units`` says where p is 0.5 or 1.

    Raises
    ------
    TypeError
        If `max_lag` is neither an integer nor None.
    ValueError
        If `order` is not above 0 or `max_lag` below 1.

    Examples
    --------
    >>> ensemble = DataArray([[[0.0, 4.0]], [[1.0, 5.0]]], dims=("member", "y", "x"))
    >>> variogram_score(ensemble, DataArray([[3.0, 4.0]], dims=("y", "x"))).item()
    1.0
    """
    if not order > 0.0 or not np.isfinite(order):
        raise ValueError(f"order={order!r} must be a finite number above 0, such as 0.5")
    if max_lag is not None:
        check_positive_integer("max_lag", max_lag)
    spatial = check_fields(spatial_dims, forecast=forecast, observed=observed)
    forecast, observed, dims, weights = checked(forecast, observed, with_fields(dim, spatial), weights, member_dim)
    if weights is not None:
        check_weights(weights)  # pairs are not averaged by the scores package, which would check them
    lazy = forecast.chunks or observed.chunks
    cells = DataArray(1.0) if weights is None else weights
    cells = cells.expand_dims({d: observed.sizes[d] for d in spatial if d not in cells.dims})
    fields = observed if observed.chunks is None else chunked(observed, dict.fromkeys(spatial, -1))
    score = xr.apply_ufunc(
        _variogram,
        in_small_blocks(forecast, member_dim, *spatial),
        fields,
        cells,
        input_core_dims=[[member_dim, *spatial], [*spatial], [*spatial]],
        kwargs={"order": float(order), "max_lag": max_lag, "fair": fair},
        dask="parallelized",
        output_dtypes=["float64"],
    )
    others = [d for d in dims if d not in spatial]
    score = aggregate(score, reduce_dims=others, weights=over_fields(weights, spatial, others))
    units = units_of(observed, forecast)
    units = units if order == 0.5 or units == "1" else squared(units) if order == 1.0 else None
    return named(score if lazy else computed(score), "variogram_score", units)


def check_fields(spatial_dims: SpatialDims, **fields: DataArray) -> tuple[Hashable, Hashable]:
    """Return the dimensions (y, x), by default the last two of the last field.

    Raises
    ------
    TypeError
        If a field is no DataArray.
    ValueError
        If a field lacks one of them, or there are not two.
    """
    check_same_labels(**fields)
    *_, last = fields.values()
    spatial = tuple(last.dims[-2:] if spatial_dims is None else spatial_dims)
    if len(set(spatial)) != 2 or len(spatial) != 2:
        raise ValueError(f"spatial_dims={spatial!r} must be two dimensions, (y, x), as a field has")
    for parameter, field in fields.items():
        for name in spatial:
            if name not in field.dims:
                raise ValueError(
                    f"spatial_dims has {name!r}, which is none of the dimensions {list(field.dims)} of {parameter}"
                )
    return spatial


def with_fields(dim: Dims, spatial: Iterable[Hashable]) -> Dims:
    """Return `dim` and the dimensions of a field."""
    return None if dim is None else [*([dim] if isinstance(dim, str) else dim), *spatial]


def over_fields(weights: DataArray | None, spatial: Iterable[Hashable], others: Iterable[Hashable]) -> DataArray | None:
    """Return the weights of an average over scores of whole fields, None where all fields weigh alike."""
    if weights is None:
        return None
    weights = weights.mean([d for d in spatial if d in weights.dims])
    return weights if weights.dims and not set(weights.dims).isdisjoint(others) else None


def _variogram(
    forecast: np.ndarray, observed: np.ndarray, cells: np.ndarray, *, order: float, max_lag: int | None, fair: bool
) -> np.ndarray:
    """Return the mean over pairs of cells, (...), from members (..., member, y, x) and two fields (..., y, x)."""
    n_members, (height, width) = forecast.shape[-3], forecast.shape[-2:]
    most = (height - 1, width - 1) if max_lag is None else (min(max_lag, height - 1), min(max_lag, width - 1))
    above = below = np.zeros(np.broadcast_shapes(forecast.shape[:-3], observed.shape[:-2]))
    for dy in range(most[0] + 1):
        for dx in range(-most[1] if dy else 1, most[1] + 1):  # each pair once
            a = (..., slice(dy, None), slice(max(dx, 0), width + min(dx, 0)))
            b = (..., slice(height - dy), slice(max(-dx, 0), width - max(dx, 0)))
            theirs = abs(observed[a] - observed[b]) ** order
            ours = abs(forecast[a] - forecast[b]) ** order  # (..., member, y, x)
            square = (theirs - ours.mean(-3)) ** 2
            if fair and n_members > 1:
                square = square - ours.var(-3, ddof=1) / n_members
            weight = np.where(np.isfinite(square), cells[a] * cells[b], 0.0)
            above = above + (weight * np.where(weight > 0.0, square, 0.0)).sum((-2, -1))
            below = below + weight.sum((-2, -1))
    return np.where(below > 0.0, above / np.where(below > 0.0, below, 1.0), np.nan)
