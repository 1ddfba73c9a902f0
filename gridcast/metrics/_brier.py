"""Score of the probabilities of an event, and what it is made of."""

from __future__ import annotations

from scores.processing import aggregate
from xarray import DataArray, Dataset

from gridcast.metrics._checks import Dims, named
from gridcast.metrics._thresholds import event_of
from gridcast.metrics._weights import Weights


def brier_score(
    forecast: DataArray,
    observed: DataArray,
    threshold: float | DataArray,
    *,
    fair: bool = True,
    dim: Dims = None,
    weights: Weights = "auto",
    member_dim: str = "member",
) -> DataArray:
    r"""
    Brier score of an event, the squared error of its probability; lower is better.

    The event is a value of at least `threshold`. Where m of M members show it, with o = 1 where it was observed and 0
    where it was not,

    .. math:: \overline{\left(\frac{m}{M} - o\right)^2 - \frac{m (M - m)}{M^2 (M - 1)}},

    whose expectation does not depend on M (Ferro, Q. J. R. Meteorol. Soc. 140, 2014). Its integral over all thresholds
    is :func:`gridcast.metrics.crps`.

    Parameters
    ----------
    forecast, observed, dim, weights, member_dim
        As in :func:`gridcast.metrics.crps`, which also says what is left out and the errors raised.
    threshold : float or DataArray
        In the units of the observations; a DataArray where it varies, such as a quantile of each cell. A cell
        where it is missing is left out.
    fair : bool, default=True
        Whether to subtract the second term. Without it the score is the sum of the parts of
        :func:`gridcast.metrics.brier_decomposition`, and smaller ensembles score worse.

    Returns
    -------
    DataArray
        The score over the other dimensions than `dim` and `member_dim`, without units.

    Raises
    ------
    TypeError
        If `threshold` is neither a number nor a DataArray.
    ValueError
        If `threshold` is not finite, and as :func:`gridcast.metrics.mse` says.

    Examples
    --------
    >>> ensemble = DataArray([[0.0, 5.0], [5.0, 5.0]], dims=("member", "time"))
    >>> observed = DataArray([4.0, 3.0], dims="time")
    >>> brier_score(ensemble, observed, 1.0, fair=False).item(), brier_score(ensemble, observed, 1.0).item()
    (0.125, 0.0)
    """
    votes, occurred, seen, n_members, dims, weights = event_of(forecast, observed, threshold, dim, weights, member_dim)
    score = (votes / n_members - occurred) ** 2
    if fair and n_members > 1:  # the probabilities of one member are not uncertain but 0 or 1
        score = score - votes * (n_members - votes) / (n_members**2 * (n_members - 1))
    return named(aggregate(score.where(seen), reduce_dims=dims, weights=weights), "brier_score", "1")


def brier_decomposition(
    forecast: DataArray,
    observed: DataArray,
    threshold: float | DataArray,
    *,
    dim: Dims = None,
    weights: Weights = "auto",
    member_dim: str = "member",
) -> Dataset:
    r"""
    Reliability, resolution and uncertainty, which add up to the Brier score of an event.

    Of the cells where k of M members show the event, a share :math:`n_k` of all, it is observed in the share
    :math:`o_k`, and in the share :math:`\bar o` of all cells. Then the Brier score without its term of fairness is

    .. math::
        \sum_{k=0}^M n_k \left(\frac{k}{M} - o_k\right)^2 - \sum_{k=0}^M n_k (o_k - \bar o)^2 + \bar o (1 - \bar o),

    exactly, as every probability that M members can give is a class of its own (Murphy, J. Appl. Meteorol. 12, 1973).

    Parameters
    ----------
    forecast, observed, threshold, dim, weights, member_dim
        As in :func:`gridcast.metrics.brier_score`, which also lists the errors raised.

    Returns
    -------
    Dataset
        Over the dimensions that are not averaged, all without units:

        - ``reliability``, 0 where the event is observed as often as forecast, and lower is better;
        - ``resolution``, how far the frequencies :math:`o_k` are apart, and higher is better;
        - ``uncertainty``, the score of the frequency of the event, which no forecast changes;
        - ``brier_score``, ``reliability - resolution + uncertainty``, that of ``brier_score(..., fair=False)``.

    Notes
    -----
    Few cases in a class make reliability and resolution too large, both by about the same.

    Examples
    --------
    >>> ensemble = DataArray([[0.0, 0.0, 5.0, 5.0], [0.0, 5.0, 0.0, 5.0]], dims=("member", "time"))
    >>> parts = brier_decomposition(ensemble, DataArray([0.0, 4.0, 0.0, 4.0], dims="time"), 1.0)
    >>> [parts[name].item() for name in ("reliability", "resolution", "uncertainty", "brier_score")]
    [0.0, 0.125, 0.25, 0.125]
    """
    votes, occurred, seen, n_members, dims, weights = event_of(forecast, observed, threshold, dim, weights, member_dim)

    def mean(cells: DataArray) -> DataArray:
        return aggregate(cells.where(seen), reduce_dims=dims, weights=weights)

    frequency = mean(occurred)
    reliability = resolution = 0.0 * frequency
    for count in range(n_members + 1):
        inside = (votes == count).astype("float64")
        share = mean(inside)
        observed_frequency = mean(inside * occurred) / share.where(share > 0.0)
        reliability = reliability + (share * (count / n_members - observed_frequency) ** 2).fillna(0.0)
        resolution = resolution + (share * (observed_frequency - frequency) ** 2).fillna(0.0)
    uncertainty = frequency * (1.0 - frequency)
    parts = {"reliability": reliability, "resolution": resolution, "uncertainty": uncertainty}
    parts["brier_score"] = reliability - resolution + uncertainty
    return Dataset({name: named(part, name, "1") for name, part in parts.items()})
