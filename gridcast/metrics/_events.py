"""Scores of an event, such as rain above a threshold."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

import numpy as np
import xarray as xr
from scores.processing import aggregate
from xarray import DataArray, Dataset

from gridcast.data.checks import check_positive_integer
from gridcast.metrics._checks import Dims, checked, named
from gridcast.metrics._thresholds import check_threshold, defined, event_of
from gridcast.metrics._weights import Weights


def reliability(
    forecast: DataArray,
    observed: DataArray,
    threshold: float | DataArray,
    *,
    n_bins: int | None = None,
    dim: Dims = None,
    weights: Weights = "auto",
    member_dim: str = "member",
) -> Dataset:
    """
    Reliability curve: how often an event is observed where an ensemble gives it a probability.

    The event is a value of at least `threshold`, its probability the share of the members that show it. A reliable
    ensemble has ``observed_frequency`` equal to ``forecast_probability``; the latter is the mean of the
    probabilities in a bin and not the middle of the bin, which they need not surround (Bröcker and Smith, Weather
    Forecast. 22, 2007).

    Parameters
    ----------
    forecast, observed, dim, weights, member_dim
        As in :func:`gridcast.metrics.crps`.
    threshold : float or DataArray
        In the units of the observations; a DataArray where it varies, such as a quantile of each cell. A cell
        where it is missing is left out.
    n_bins : int, default=None
        Equal bins of the probability from 0 to 1. None has a bin for each of the M + 1 probabilities that M
        members can give.

    Returns
    -------
    Dataset
        Over ``probability_bin``, whose label is the middle of the bin, and the dimensions that are not averaged:

        - ``forecast_probability``, the mean probability of the bin, NaN where it is empty;
        - ``observed_frequency``, the share of its cells where the event was observed, NaN where it is empty;
        - ``count``, the number of its cells, not weighted.

    Raises
    ------
    TypeError
        If `threshold` is neither a number nor a DataArray, or `n_bins` is no integer.
    ValueError
        If `threshold` is not finite or `n_bins` is below 1, and as :func:`gridcast.metrics.mse` says.

    Examples
    --------
    >>> ensemble = DataArray([[0.0, 0.0, 5.0], [0.0, 5.0, 5.0]], dims=("member", "time"))
    >>> curve = reliability(ensemble, DataArray([0.0, 4.0, 3.0], dims="time"), threshold=1.0)
    >>> curve.observed_frequency.to_series().to_dict()
    {0.0: 0.0, 0.5: 1.0, 1.0: 1.0}
    """
    votes, occurred, seen, n_members, dims, weights = event_of(forecast, observed, threshold, dim, weights, member_dim)
    if n_bins is None:
        # one bin for each probability that M members can give
        n_bins, middles = n_members + 1, np.arange(n_members + 1) / n_members
        highest = n_members + 1
    else:
        check_positive_integer("n_bins", n_bins)
        middles, highest = (np.arange(n_bins) + 0.5) / n_bins, n_members
    # Whole numbers, for 0.29 * 100 is below 29.
    bins = np.minimum(votes * n_bins // highest, n_bins - 1)

    def curve() -> Iterator[Dataset]:
        for index in range(n_bins):
            inside = seen & (bins == index)
            probability = aggregate((votes / n_members).where(inside), reduce_dims=dims, weights=weights)
            frequency = aggregate(occurred.where(inside), reduce_dims=dims, weights=weights)
            scores = (
                (probability, "forecast_probability"),
                (frequency, "observed_frequency"),
                (inside.sum(dims), "count"),
            )
            yield Dataset({name: named(score, name, "1") for score, name in scores})

    return xr.concat(list(curve()), xr.Variable("probability_bin", middles, {"units": "1"}))


def fractions_skill_score(
    forecast: DataArray,
    observed: DataArray,
    threshold: float | DataArray,
    window: int | tuple[int, int],
    *,
    dim: Dims = None,
    weights: Weights = "auto",
    spatial_dims: tuple[Hashable, Hashable] | None = None,
) -> DataArray:
    r"""
    Fractions skill score: is the event forecast in the right neighbourhood, if not in the right cell.

    With the fractions :math:`P_f` and :math:`P_o` of the cells of a window in which the event, a value of at least
    `threshold`, is forecast and observed, over all windows that lie inside the field,

    .. math:: 1 - \overline{(P_f - P_o)^2} \; / \; (\overline{P_f^2} + \overline{P_o^2}).

    1 is perfect, 0 means that no window shares an event (Roberts and Lean, Mon. Wea. Rev. 136, 2008). Averages over
    `dim` are taken before the ratio (Mittermaier, Mon. Wea. Rev. 149, 2021).

    Parameters
    ----------
    forecast, observed, weights
        As in :func:`gridcast.metrics.mse`, which also lists the errors raised. A window weighs what its cells weigh
        on average. A cell that is missing on one side shows no event on either, so that a window counts by its
        observed cells.
    threshold : float or DataArray
        In the units of the observations; a DataArray where it varies, such as a quantile of each cell.
    window : int or (int, int)
        Size of the neighbourhood in cells, along y and x. A window of 1 compares cell with cell.
    dim : str or iterable of hashable, default=None
        Dimensions to average over besides `spatial_dims`; None averages over all of them.
    spatial_dims : (hashable, hashable), default=None
        Dimensions (y, x) of a field; the last two of `observed` by default.

    Returns
    -------
    DataArray
        The score over the dimensions not in `dim`, between 0 and 1 and without units. NaN where neither side shows
        an event.

    Raises
    ------
    TypeError
        If `threshold` is neither a number nor a DataArray, or `window` is no integer.
    ValueError
        If `threshold` is not finite, `window` does not fit into the field, or a spatial dimension is missing.

    Examples
    --------
    >>> observed = DataArray([[5.0, 0.0, 0.0, 0.0]], dims=("y", "x"))
    >>> forecast = observed.roll(x=1)
    >>> [round(fractions_skill_score(forecast, observed, 1.0, (1, n)).item(), 2) for n in (1, 2, 4)]
    [0.0, 0.67, 1.0]
    """
    spatial = tuple(observed.dims[-2:] if spatial_dims is None else spatial_dims)
    if dim is not None:
        dim = [*([dim] if isinstance(dim, str) else dim), *spatial]
    forecast, observed, dims, weights = checked(forecast, observed, dim, weights)
    check_threshold(threshold, forecast=forecast, observed=observed)
    sizes = _window_sizes(window, spatial, forecast, observed)
    seen = forecast.notnull() & observed.notnull() & defined(threshold)
    events = [((data >= threshold) & seen).astype("float64") for data in (forecast, observed)]
    ours, theirs = (_windows(event, sizes) for event in events)
    if weights is not None:
        weights = _windows(weights, sizes)
    difference = aggregate((ours - theirs) ** 2, reduce_dims=dims, weights=weights)
    largest = aggregate(ours**2 + theirs**2, reduce_dims=dims, weights=weights)
    return named(1.0 - difference / largest.where(largest > 0.0), "fractions_skill_score", "1")


def _windows(cells: DataArray, sizes: dict[Hashable, int]) -> DataArray:
    """Return the sum over each window inside the field, along those of its dimensions that `cells` has."""
    for dim, size in sizes.items():
        if dim in cells.dims:
            cells = cells.drop_vars([name for name, coordinate in cells.coords.items() if dim in coordinate.dims])
            # differences of cumulative sums: the cost does not depend on the window
            total = cells.pad({dim: (1, 0)}, constant_values=0.0).cumsum([dim])
            cells = total.isel({dim: slice(size, None)}) - total.isel({dim: slice(None, -size)})
    return cells


def _window_sizes(
    window: int | tuple[int, int], spatial: tuple[Hashable, ...], *fields: DataArray
) -> dict[Hashable, int]:
    sizes = tuple(window) if isinstance(window, tuple | list) else (window, window)
    if len(spatial) != 2 or len(sizes) != 2:
        raise ValueError(f"window={window!r} and spatial_dims={spatial!r} must have two entries, for y and x")
    for dim, size in zip(spatial, sizes, strict=True):
        check_positive_integer("window", size)
        for field in fields:
            if dim not in field.dims:
                raise ValueError(f"spatial_dims has {dim!r}, forecast and observed have not both: {field.dims}")
            if size > field.sizes[dim]:
                raise ValueError(f"window={size} is larger than the {field.sizes[dim]} cells along {dim!r}")
    return dict(zip(spatial, sizes, strict=True))
