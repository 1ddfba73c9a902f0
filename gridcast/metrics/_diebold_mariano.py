"""Whether one backtest is better than another beyond chance."""

from __future__ import annotations

import warnings
from collections.abc import Hashable
from typing import Literal

import numpy as np
from scores.processing import aggregate
from scores.stats import statistical_tests
from xarray import DataArray, Dataset

from gridcast.data.units import squared, units_of
from gridcast.metrics._checks import Dims, check_dims, check_reference, check_same_labels, checked, named
from gridcast.metrics._ensembles import mean_crps
from gridcast.metrics._weights import Weights

INIT, LEAD = "init_time", "lead_time"


def diebold_mariano(
    first: DataArray,
    second: DataArray,
    observed: DataArray,
    *,
    score: Literal["mse", "crps"] = "mse",
    dim: Dims = None,
    weights: Weights = "auto",
    member_dim: str = "member",
) -> Dataset:
    r"""
    Test of Diebold and Mariano: do two backtests differ in their scores at a lead time by more than chance.

    With the difference :math:`d_t` of the scores of both from the initial time t, averaged over space, and its mean
    over the n initial times, the statistic of Diebold and Mariano (J. Bus. Econ. Stat. 13, 1995) with the correction
    of Harvey, Leybourne and Newbold (Int. J. Forecast. 13, 1997) is

    .. math::
        \sqrt{\frac{n + 1 - 2 h + h (h - 1) / n}{n}} \;
        \frac{\bar d}{\sqrt{\left(\gamma_0 + 2 \sum_{k=1}^{h-1} \gamma_k\right) / n}},

    and is held against Student's t distribution with n - 1 degrees of freedom. Forecasts whose lead times overlap share
    what happens in them: each with h - 1 of those before, so that the autocovariances :math:`\gamma_k` of the
    difference count up to there. h is read from the initial and the valid times, 1 where none overlap.

    Parameters
    ----------
    first, second : DataArray of shape ([member,] init_time, lead_time, y, x)
        What :func:`gridcast.backtest` returns, from the same initial times, with their coordinate ``time``.
    observed : DataArray of shape (init_time, lead_time, y, x)
        The observations at those times, ``series.sel(time=first.time)``. A cell that is missing in one of the three
        is left out of all of them.
    score : {"mse", "crps"}, default="mse"
        The squared error, of an ensemble that of its mean, or :func:`gridcast.metrics.crps` of two ensembles.
    dim : str or iterable of hashable, default=None
        Dimensions to average over before the test; None averages over all but ``init_time`` and ``lead_time``. So
        ``dim=()`` tests every cell by itself.
    weights, member_dim
        As in :func:`gridcast.metrics.crps`, which also lists the errors raised.

    Returns
    -------
    Dataset
        In memory, over ``lead_time`` and the dimensions that are not averaged:

        - ``difference``, the mean score of `first` minus that of `second`, negative where `first` is better, in the
          units of the score;
        - ``statistic``, without units, of the same sign;
        - ``p_value``, the probability of a statistic at least as far from zero where both forecast equally well. NaN,
          as the statistic, where the estimate of the variance is not positive, as few initial times may make it at
          long leads;
        - ``overlap``, the number h.

    Raises
    ------
    ValueError
        If `first` is no backtest, if `score` is unknown, or if there are not more initial times than h at a lead.

    See Also
    --------
    gridcast.verify : all scores of several backtests, and where they differ, by resampling.

    Notes
    -----
    It takes differences of forecasts that do not overlap for independent. Of many tests, one in twenty has a p-value
    below 0.05 by chance.

    Examples
    --------
    >>> valid = DataArray([[1], [2], [3], [4]], dims=("init_time", "lead_time"), coords={"init_time": [0, 1, 2, 3]})
    >>> observed = (0.0 * valid).assign_coords(time=valid)
    >>> first, second = observed + 1.0, observed + DataArray([2.0, 1.0, 3.0, 2.0], dims="init_time")
    >>> test = diebold_mariano(first, second, observed)
    >>> test.difference.item(), round(test.statistic.item(), 3), round(test.p_value.item(), 3)
    (-3.5, -2.111, 0.125)
    """
    if score not in ("mse", "crps"):
        raise ValueError(f'score={score!r} is unknown: use "mse" or "crps"')
    sides = {"first": first, "second": second, "observed": observed}
    _check_backtests(sides, member_dim)
    exists = observed.notnull()
    for side in (first, second):
        exists = exists & (side.notnull().all(member_dim) if member_dim in side.dims else side.notnull())
    available = [d for d in observed.dims if d not in (INIT, LEAD)]
    dims: list[Hashable] = available if dim is None else [dim] if isinstance(dim, str) else list(dim)
    check_dims("dim", dims, available)
    scores = []
    for side in (first, second):
        mean = side.mean(member_dim, skipna=False) if score == "mse" and member_dim in side.dims else side
        along = member_dim if score == "crps" else None
        ours, truth, _, found = checked(mean.assign_attrs(side.attrs), observed.where(exists), dims, weights, along)
        cells = (ours - truth) ** 2 if along is None else mean_crps(ours, truth, [], None, member_dim)
        scores.append(aggregate(cells, reduce_dims=dims, weights=found))
    difference = (scores[0] - scores[1]).transpose(INIT, LEAD, ...).compute()
    unit = units_of(observed, first, second)
    return _tests(difference, _overlap(first), squared(unit) if score == "mse" else unit)


def _tests(difference: DataArray, overlap: np.ndarray, unit: str | None) -> Dataset:
    """Return the tests of a difference by (init_time, lead_time, ...)."""
    n_inits, shape = difference.sizes[INIT], difference.shape[1:]
    for lead, h in enumerate(overlap):
        if n_inits <= h:
            raise ValueError(
                f"first has {n_inits} initial times, of which {h} overlap at lead {lead + 1}: give more than these"
            )
    series = difference.values.reshape(n_inits, -1).T  # (case, init_time)
    hs = np.repeat(overlap, series.shape[0] // len(overlap))
    statistic, p_value = np.full((2, len(series)), np.nan)
    enough = np.isfinite(series).sum(1) > hs  # a cell that is never observed has no test
    if enough.any():
        cases = DataArray(series[enough], dims=("case", INIT), coords={"h": ("case", hs[enough])})
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "A least one NaN", RuntimeWarning)  # it drops them
            warnings.filterwarnings("ignore", "divide by zero|invalid value", RuntimeWarning)  # of equal backtests
            found = statistical_tests.diebold_mariano(
                cases.assign_coords(case=np.arange(enough.sum())), "case", "h", method="HLN", statistic_distribution="t"
            )
        above = found["confidence_gt_0"].values
        statistic[enough], p_value[enough] = found["dm_test_stat"].values, 2.0 * np.minimum(above, 1.0 - above)
    mean = difference.mean(INIT)
    tests = {
        "difference": named(mean, "difference", unit),
        "statistic": named(mean.copy(data=statistic.reshape(shape)), "statistic", "1"),
        "p_value": named(mean.copy(data=p_value.reshape(shape)), "p_value", "1"),
        "overlap": named(DataArray(overlap, dims=LEAD, coords=mean[LEAD].coords), "overlap", "1"),
    }
    return Dataset(tests)


def _check_backtests(sides: dict[str, DataArray], member_dim: str) -> None:
    """Raise where the three arrays do not belong together, members apart, or are no backtests."""
    for name, side in sides.items():
        if not isinstance(side, DataArray):
            raise TypeError(f"{name} must be a DataArray, not {type(side).__name__}: wrap or select one")
    check_same_labels(
        **{
            name: side.isel({member_dim: 0}, drop=True) if member_dim in side.dims else side
            for name, side in sides.items()
        }
    )
    first, observed = sides["first"], sides["observed"]
    if not {INIT, LEAD} <= set(first.dims) or INIT not in first.coords or "time" not in first.coords:
        raise ValueError(
            f"first has the dimensions {first.dims} and the coordinates {list(first.coords)}, a backtest has init_time "
            "and lead_time and the time over both: give what gridcast.backtest returns"
        )
    for name in ("first", "second"):
        check_reference(
            name, sides[name].isel({member_dim: 0}) if member_dim in sides[name].dims else sides[name], observed.dims
        )
        check_reference("observed", observed, [d for d in sides[name].dims if d != member_dim], name)


def _overlap(backtest: DataArray) -> np.ndarray:
    """Return how many forecasts begin before the first of them is over, itself included, by lead time."""
    starts = backtest[INIT].values
    valid = backtest["time"].transpose(INIT, LEAD).values
    begun = np.array([[(starts < time).sum() for time in row] for row in valid])  # (init_time, lead_time)
    return np.maximum((begun - np.arange(len(starts))[:, None]).max(0), 1)
