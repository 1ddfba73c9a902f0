"""Whether an ensemble tells cases with an event from those without."""

from __future__ import annotations

import numpy as np
import xarray as xr
from scores.processing import aggregate
from xarray import DataArray, Dataset

from gridcast.metrics._checks import Dims, named
from gridcast.metrics._thresholds import event_of
from gridcast.metrics._weights import Weights

THRESHOLD = "probability_threshold"


def roc(
    forecast: DataArray,
    observed: DataArray,
    threshold: float | DataArray,
    *,
    dim: Dims = None,
    weights: Weights = "auto",
    member_dim: str = "member",
) -> Dataset:
    """
    Relative operating characteristic of an event: hits against false alarms, and the area below.

    The event is a value of at least `threshold`, its probability the share of the members that show it. Who warns from
    a probability on, has a hit rate and a false-alarm rate; the curve has one point for each probability that M
    members can give (Mason, Aust. Met. Mag. 30, 1982). The area is the chance that a case with the event had the
    higher probability than one without, ties counted half: 1 is perfect, 0.5 tells nothing. It does not see whether
    the probabilities are right, as :func:`gridcast.metrics.reliability` does.

    Parameters
    ----------
    forecast, observed, threshold, dim, weights, member_dim
        As in :func:`gridcast.metrics.brier_score`, which also lists the errors raised.

    Returns
    -------
    Dataset
        Without units, over the dimensions that are not averaged and the first two over ``probability_threshold`` too,
        from 0, always a warning, over 1 / M to 1, and infinity, never one:

        - ``hit_rate``, the share of the observed events that are warned of, NaN where none is observed;
        - ``false_alarm_rate``, the share of the cases without an event that are warned of, NaN where there is none;
        - ``roc_area``, the area below the straight lines between the points.

    Raises
    ------
    ValueError
        If the data have a dimension ``probability_threshold``, which is that of the curve.

    Examples
    --------
    >>> ensemble = DataArray([[0.0, 0.0, 5.0, 5.0], [0.0, 5.0, 0.0, 5.0]], dims=("member", "time"))
    >>> curve = roc(ensemble, DataArray([0.0, 4.0, 0.0, 4.0], dims="time"), 1.0)
    >>> curve.hit_rate.values, curve.false_alarm_rate.values, curve.roc_area.item()
    (array([1. , 1. , 0.5, 0. ]), array([1. , 0.5, 0. , 0. ]), 0.875)
    """
    votes, occurred, seen, n_members, dims, weights = event_of(forecast, observed, threshold, dim, weights, member_dim)
    if THRESHOLD in (*votes.dims, *occurred.dims):
        raise ValueError("the data have a dimension 'probability_threshold', which is that of the curve: rename it")

    def rate(cases: DataArray) -> DataArray:
        # votes and not shares, for whole numbers compare without rounding; the last threshold is beyond all of them
        warned = [(votes >= count).where(cases) for count in range(n_members + 2)]
        return xr.concat([aggregate(cells, reduce_dims=dims, weights=weights) for cells in warned], along)

    along = xr.Variable(THRESHOLD, [*np.arange(n_members + 1) / n_members, np.inf], {"units": "1"})
    hits, false_alarms = rate(seen & (occurred == 1.0)), rate(seen & (occurred == 0.0))
    widths = -false_alarms.diff(THRESHOLD, label="lower")
    heights = (hits + hits.shift({THRESHOLD: -1})).isel({THRESHOLD: slice(-1)}) / 2.0
    area = (widths * heights).sum(THRESHOLD, skipna=False)
    parts = {"hit_rate": hits, "false_alarm_rate": false_alarms, "roc_area": area}
    curve = Dataset({name: named(part, name, "1") for name, part in parts.items()})
    return curve.assign_coords({THRESHOLD: along})
