"""Scores of an interval that is to hold the observation with a given probability."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
from scores.processing import aggregate
from xarray import DataArray

from gridcast.data.units import units_of
from gridcast.metrics._checks import Dims, checked, named
from gridcast.metrics._weights import Weights


def interval_score(
    forecast: DataArray,
    observed: DataArray,
    level: float = 0.9,
    *,
    dim: Dims = None,
    weights: Weights = "auto",
    member_dim: str = "member",
) -> DataArray:
    r"""
    Score of an interval: its width, and a penalty for observations outside; lower is better.

    With the quantiles l and u of the probabilities :math:`\alpha / 2` and :math:`1 - \alpha / 2`, where
    :math:`\alpha` is 1 minus `level`, and the observation y,

    .. math:: u - l + \frac{2}{\alpha} \max(l - y, 0) + \frac{2}{\alpha} \max(y - u, 0)

    (Gneiting and Raftery, J. Am. Stat. Assoc. 102, 2007). A narrow interval wins as long as it holds what it promises.

    Parameters
    ----------
    forecast : DataArray of shape (quantile, time, y, x) or (member, time, y, x), or any other with one of the two
        Quantiles with their labels, as ``model.predict_quantiles(20, q=(0.05, 0.95))`` returns them, of which the two
        ends are taken; or an ensemble, see Notes. A cell where any of them is missing is left out.
    observed, dim, weights
        As in :func:`gridcast.metrics.mse`, which also lists the errors raised.
    level : float, default=0.9
        Probability of the interval, between 0 and 1; as much is left out below as above.
    member_dim : str, default="member"
        The dimension of the ensemble members, where `forecast` has no dimension ``quantile``.

    Returns
    -------
    DataArray
        The score over the dimensions not in `dim`, in the units of the observations.

    Raises
    ------
    TypeError
        If `level` is no number.
    ValueError
        If `level` is not between 0 and 1, if `forecast` lacks one of its quantiles or has too few members for it.

    Notes
    -----
    An observation that is drawn as the M members are, is between the i-th and the j-th of them with the probability
    (j - i) / (M + 1). So an interval of an ensemble ends at the members (M + 1) times the probability of its ends, in
    between if need be (Weibull's positions), and `level` is at most (M - 1) / (M + 1).

    Examples
    --------
    >>> quantiles = DataArray([[1.0, 1.0], [3.0, 3.0]], coords={"quantile": [0.25, 0.75]}, dims=("quantile", "time"))
    >>> interval_score(quantiles, DataArray([2.0, 4.0], dims="time"), 0.5, dim=()).values
    array([2., 6.])
    """
    (lower, upper), observed, dims, weights = _interval(forecast, observed, level, dim, weights, member_dim)
    outside = (lower - observed).clip(min=0.0) + (observed - upper).clip(min=0.0)
    score = upper - lower + 2.0 / (1.0 - level) * outside  # NaN where either side is missing
    return named(aggregate(score, reduce_dims=dims, weights=weights), "interval_score", units_of(observed, forecast))


def coverage(
    forecast: DataArray,
    observed: DataArray,
    level: float = 0.9,
    *,
    dim: Dims = None,
    weights: Weights = "auto",
    member_dim: str = "member",
) -> DataArray:
    """
    Share of the observations inside an interval: `level` for a calibrated forecast, less for an overconfident one.

    It says nothing about the width: the range of all that was ever observed covers everything. See
    :func:`gridcast.metrics.interval_score` for both. An observation on an end of the interval is inside, so that
    values that repeat, such as no rain, are covered more often than `level`.

    Parameters
    ----------
    forecast, observed, level, dim, weights, member_dim
        As in :func:`gridcast.metrics.interval_score`, which also lists the errors raised.

    Returns
    -------
    DataArray
        The share over the dimensions not in `dim`, from 0 to 1 and without units.

    Examples
    --------
    >>> quantiles = DataArray([[1.0, 1.0], [3.0, 3.0]], coords={"quantile": [0.25, 0.75]}, dims=("quantile", "time"))
    >>> coverage(quantiles, DataArray([2.0, 4.0], dims="time"), 0.5).item()
    0.5
    """
    (lower, upper), observed, dims, weights = _interval(forecast, observed, level, dim, weights, member_dim)
    inside = ((lower <= observed) & (observed <= upper)).astype("float64")
    seen = (lower + upper + observed).notnull()
    return named(aggregate(inside.where(seen), reduce_dims=dims, weights=weights), "coverage", "1")


def _interval(
    forecast: DataArray, observed: DataArray, level: float, dim: Dims, weights: Weights, member_dim: str
) -> tuple[tuple[DataArray, DataArray], DataArray, list[Hashable], DataArray | None]:
    """Check what a score of an interval is given; return its ends, the observations, `dim` and the weights."""
    along = _check_level(forecast, level, member_dim)
    forecast, observed, dims, found = checked(forecast, observed, dim, weights, along)
    return _ends(forecast, level, along), observed, dims, found


def _check_level(forecast: Any, level: Any, member_dim: str) -> str:
    """Return the dimension that the interval is taken of, if the forecast has one of this level."""
    try:
        inside = 0.0 < level < 1.0
    except (TypeError, ValueError) as error:
        raise TypeError(f"level must be a number between 0 and 1, not {type(level).__name__}") from error
    if not inside:
        raise ValueError(f"level={level!r} must lie between 0 and 1, both excluded: 0.9 is an interval of 90 %")
    dims = getattr(forecast, "dims", ())
    if "quantile" in dims:
        ends, labels = _probabilities(level), forecast["quantile"].values
        if "quantile" not in forecast.coords or not np.isclose(ends[:, None], labels, atol=1e-6).any(1).all():
            found = labels.tolist() if "quantile" in forecast.coords else "no labels"
            lower, upper = (f"{end:.6g}" for end in ends)
            raise ValueError(
                f"level={level!r} is the interval of the quantiles {lower} and {upper}, forecast has {found}: give "
                f"predict_quantiles(..., q=({lower}, {upper}))"
            )
        return "quantile"
    n_members = forecast.sizes[member_dim] if member_dim in dims else 0
    if n_members and level > (n_members - 1) / (n_members + 1) + 1e-9:
        # beyond the outermost members is more than the interval leaves out
        needed = int(np.ceil((1.0 + level) / (1.0 - level) - 1e-9))
        raise ValueError(
            f"level={level!r} needs {needed} members or more, {member_dim!r} has {n_members}: draw more, or take "
            f"a level of at most {(n_members - 1) / (n_members + 1):.3g}"
        )
    return member_dim


def _probabilities(level: float) -> np.ndarray:
    return np.array([(1.0 - level) / 2.0, (1.0 + level) / 2.0])


def _ends(forecast: DataArray, level: float, along: str) -> tuple[DataArray, DataArray]:
    """Return the ends of the interval, from quantiles or from members."""
    ends = _probabilities(level)
    if along == "quantile":
        at = [int(abs(forecast["quantile"].values - end).argmin()) for end in ends]
        return forecast.isel(quantile=at[0], drop=True), forecast.isel(quantile=at[1], drop=True)
    found = forecast.quantile(ends, along, method="weibull", skipna=False)
    return found.isel(quantile=0, drop=True), found.isel(quantile=1, drop=True)
