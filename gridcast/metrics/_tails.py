"""Score of the part of a distribution that matters, such as its upper tail."""

from __future__ import annotations

from collections.abc import Callable

from xarray import DataArray

from gridcast.data.units import units_of
from gridcast.metrics._checks import Dims, checked, named
from gridcast.metrics._ensembles import mean_crps
from gridcast.metrics._thresholds import check_threshold
from gridcast.metrics._weights import Weights


def threshold_weighted_crps(
    forecast: DataArray,
    observed: DataArray,
    lower: float | DataArray | None = None,
    upper: float | DataArray | None = None,
    *,
    chaining: Callable[[DataArray], DataArray] | None = None,
    fair: bool = True,
    dim: Dims = None,
    weights: Weights = "auto",
    member_dim: str = "member",
) -> DataArray:
    r"""
    CRPS of a part of the distribution, such as a tail; lower is better.

    The integral of the Brier score over the thresholds z from `lower` to `upper` alone, or over all of them with a
    weight :math:`w(z) \ge 0` (Gneiting and Ranjan, J. Bus. Econ. Stat. 29, 2011). It is the CRPS of members and
    observations after a chaining function v, a primitive of w (Allen, Ginsbourger and Ziegel, SIAM/ASA J. Uncertain.
    Quantif. 11, 2023), here

    .. math:: v(z) = \min(\max(z, \text{lower}), \text{upper}).

    It is proper, where a score of the cases that were extreme is not: that one rewards who always warns.

    Parameters
    ----------
    forecast, observed, dim, weights, member_dim
        As in :func:`gridcast.metrics.crps`, which also says what is left out and the errors raised.
    lower, upper : float or DataArray, default=None
        Ends of the part, in the units of the observations; a DataArray where it varies, such as a quantile of each
        cell, which is left out where it is missing. ``lower`` alone scores the upper tail, ``upper`` alone the lower.
    chaining : callable, default=None
        An increasing function v of a DataArray instead of the two, for another weight, its derivative.
    fair : bool, default=True
        Whether the expectation is independent of the number of members, as :func:`gridcast.metrics.crps` is. Without,
        the score is that of the empirical distribution.

    Returns
    -------
    DataArray
        The score over the other dimensions than `dim` and `member_dim`, in the units of the observations.

    Raises
    ------
    TypeError
        If `lower` or `upper` is neither a number nor a DataArray, or `chaining` returns no DataArray.
    ValueError
        If none of `lower`, `upper` and `chaining` is given or `chaining` beside the others, if an end is not finite, or
        if `lower` is not below `upper`.

    Examples
    --------
    Only what is above 4 counts, 5 and 6 here:

    >>> ensemble = DataArray([[1.0], [5.0]], dims=("member", "time"))
    >>> threshold_weighted_crps(ensemble, DataArray([6.0], dims="time"), lower=4.0).item()
    1.0
    """
    forecast, observed, dims, weights = checked(forecast, observed, dim, weights, member_dim)
    units = units_of(observed, forecast)
    if (chaining is None) == (lower is None and upper is None):
        raise ValueError(f"give lower={lower!r}, upper={upper!r} or both, or chaining={chaining!r} in their place")
    _check_ends(lower, upper, forecast=forecast, observed=observed)

    def chained(values: DataArray) -> DataArray:
        if chaining is None:
            return values.clip(lower, upper)
        result = chaining(values)
        if not isinstance(result, DataArray) or set(result.dims) != set(values.dims):
            found = getattr(result, "dims", type(result).__name__)
            raise TypeError(f"chaining must return a DataArray over {values.dims}, got {found}: use numpy's ufuncs")
        return result

    score = mean_crps(chained(forecast), chained(observed), dims, weights, member_dim, fair)
    return named(score, "threshold_weighted_crps", units)


def _check_ends(lower: float | DataArray | None, upper: float | DataArray | None, **data: DataArray) -> None:
    for name, end in (("lower", lower), ("upper", upper)):
        if end is not None:
            check_threshold(end, name, **data)
    if lower is None or upper is None:
        return
    above = lower >= upper
    # one that varies may be lazy, and is not computed for a check
    if bool(above.any()) if isinstance(above, DataArray) and above.chunks is None else above is True:
        raise ValueError(f"lower={lower!r} must be below upper={upper!r}")
