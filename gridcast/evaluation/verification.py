"""All scores of a backtest by lead time, with confidence intervals."""

from __future__ import annotations

import functools
import numbers
import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Literal

import dask
import numpy as np
import xarray as xr
from scores.utils import check_weights
from xarray import DataArray, Dataset

from gridcast.data.checks import check_positive_integer
from gridcast.data.grid import SAMPLE, TIME
from gridcast.data.labels import RESERVED
from gridcast.data.random import generator
from gridcast.data.time_kinds import refuse_other_kinds
from gridcast.data.times import as_index, check_same_axis, take_apart
from gridcast.data.units import units_of, warn_of_other_units
from gridcast.evaluation.bootstrap import block_counts
from gridcast.evaluation.comparison import (
    MODEL,
    alongside,
    beyond_chance,
    joined,
    named_backtests,
    scores_and_differences,
)
from gridcast.evaluation.score_intervals import interval_of, labelled, memory_of
from gridcast.evaluation.score_sums import INIT, LEAD, at, normal_at, positions_of, score_cells, scores_of
from gridcast.metrics._checks import Dims, check_dims, check_same_labels
from gridcast.metrics._weights import Weights, resolve_weights
from gridcast.transformers.anomaly import Anomaly

_VALUES_AT_ONCE = 1 << 21  # of the forecast: 16 MiB in double precision


def verify(
    forecast: DataArray | Mapping[str, DataArray] | Sequence[DataArray],
    observations: DataArray,
    *,
    reference: Hashable | None = None,
    climatology: DataArray | Anomaly | None = None,
    dim: Dims = None,
    weights: Weights = "auto",
    confidence: float = 0.95,
    n_resamples: int = 1000,
    block: int | Literal["auto"] = "auto",
    random_state: int | np.random.RandomState | np.random.Generator | None = None,
    member_dim: str = "member",
) -> Dataset:
    """Score a backtest or compare several, by lead time, with bootstrap confidence intervals.

    Parameters
    ----------
    forecast : DataArray, shape ([member,] [sample,] init_time, lead_time, [channel,] y, x), or several by name
        What `gridcast.backtest` returns, with the coordinate ``time`` over (init_time, lead_time). The error of an
        ensemble is that of its mean. A mapping of names to backtests, or a sequence, whose names are 0, 1, ...,
        compares them over the initial times that all have, and without the cells that one of them lacks.
    observations : DataArray, shape ([sample,] time, [channel,] y, x)
        Every time that is forecast, in the same units.
    reference : str, optional
        Name of the backtest that the others are compared with; the first by default.
    climatology : DataArray or Anomaly, optional
        The normal value of each cell: ``gridcast.Anomaly().fit(train)``, or a DataArray, either without ``time`` or
        with every time that is forecast. It must not have seen `observations`.
    dim : str or iterable of hashable, optional
        Dimensions of the observations to average over, besides ``init_time``; ``sample`` and the last two by default.
        So channels, which have units of their own, are scored one by one, and ``dim=()`` makes maps of every score.
    weights : DataArray, "auto" or None, default="auto"
        Weights of that average. ``"auto"`` takes areas or a latitude along `dim`, as `gridcast.metrics.mse` says; None
        weighs every cell alike.
    confidence : float, default=0.95
        Probability that an interval holds the score, between 0 and 1.
    n_resamples : int, default=1000
        Bootstrap samples.
    block : int or "auto", default="auto"
        Consecutive initial times that are drawn together. ``"auto"`` fits the block to the autocorrelation of the
        squared error, see Notes; 1 takes initial times for independent.
    random_state : int, RandomState, Generator or None, default=None
        Of the bootstrap; an integer makes the intervals reproducible.
    member_dim : str, default="member"
        The dimension of the ensemble members.

    Returns
    -------
    Dataset
        In memory, over ``lead_time`` and the dimensions that are not averaged. For each score below its value, and
        ``<score>_lower`` and ``<score>_upper``, the ends of its confidence interval:

        ============================  ================================================================================
        ``mse``, ``rmse``, ``mae``    errors; squared for the first, else in the units of the observations
        ``bias``                      forecast minus observation, in the units of the observations
        ``mse_skill_persistence``     ``1 - MSE / MSE of persistence``, the observation at ``init_time``
        ``mse_skill_climatology``     the same against `climatology`, where it is given
        ``anomaly_correlation``       uncentred, where `climatology` is given
        ``crps``                      fair to the number of members, of ensembles
        ``spread_skill_ratio``        of ensembles of two members or more
        ============================  ================================================================================

        Attributes say ``confidence``, ``n_resamples``, ``block`` and ``n_init_times``. Intervals are NaN where there is
        one initial time.

        Of several backtests, over ``model`` too, with three more variables of each score and the attribute
        ``reference``: ``<score>_difference``, the score minus that of the reference, with its interval
        ``<score>_difference_lower`` and ``_upper``; and ``<score>_differs``, true where this interval leaves out zero,
        a difference beyond chance.

    Raises
    ------
    TypeError
        If `forecast`, `observations` or `climatology` is of another type, or `n_resamples` no positive integer.
    ValueError
        If `forecast` is no backtest or one of ``mode="one_step"``, a time that it forecasts is not in `observations`
        or in `climatology`, labels differ along a dimension, several backtests have no initial time in common, or
        another parameter is out of its range.

    Warns
    -----
    UserWarning
        If both sides name units, and other ones: nothing is converted.

    See Also
    --------
    gridcast.metrics : each score by itself.
    gridcast.metrics.diebold_mariano : a test of two backtests.

    Notes
    -----
    Cells are averaged once, into sums for every initial and lead time; what is resampled are these sums, and the root
    or ratio is taken after. So the value of a score is that of `gridcast.metrics` over the same cells, and cells that
    are missing in the forecast or the observations count nowhere. An initial time that `observations` lack, as
    the end of the training series, has no persistence and is left out of that skill.

    Forecasts from neighbouring initial times verify at common times and share the weather, so their errors are
    correlated, and an ordinary bootstrap would find intervals that are too narrow. Blocks of consecutive initial times
    are resampled instead (Künsch, Ann. Stat. 17, 1989), on a circle (Politis and Romano, 1992), with a length that
    follows the lag-one autocorrelation (Wilks, J. Climate 10, 1997), largest over the lead times. Intervals are the
    percentiles of the resampled scores; they are too narrow where there are only a few blocks. All lead times and
    scores share the samples.

    Intervals of a difference come from the samples that all backtests share, so that weather that is hard for all of
    them cancels; they are narrower than those of the two scores, which may overlap where the difference is clear. One
    in twenty of many differences is beyond a ``confidence`` of 0.95 by chance.

    In a backtest with ``mode="one_step"`` only the first lead starts from ``init_time``; verify it with ``horizon=1``.

    Examples
    --------
    >>> import numpy as np
    >>> import gridcast as gc
    >>> noise = np.random.default_rng(0).normal(size=(200, 2, 2))
    >>> series = xr.DataArray(noise.cumsum(0), dims=("time", "y", "x"), coords={"time": np.arange(200)})
    >>> model = gc.NaiveForecaster().fit(series[:100])
    >>> scores = gc.verify(gc.backtest(model, series[100:], horizon=3), series[100:], random_state=0)
    >>> scores.mse.values.round(1)
    array([1., 2., 3.])
    >>> bool((scores.mse_lower < scores.mse).all() and (scores.mse < scores.mse_upper).all())
    True

    Is the mean of the training series better, or worse beyond chance?

    >>> models = {"persistence": model, "climatology": gc.NaiveForecaster("climatology").fit(series[:100])}
    >>> backtests = {name: gc.backtest(model, series[100:], horizon=3) for name, model in models.items()}
    >>> scores = gc.verify(backtests, series[100:], random_state=0).sel(model="climatology")
    >>> bool((scores.mse_difference > 0.0).all()), scores.mse_differs.values
    (True, array([ True,  True,  True]))
    """
    several = named_backtests(forecast, reference)
    parameters = {"forecast": forecast} if several is None else {f"forecast[{n!r}]": one for n, one in several.items()}
    forecasts = [_check_backtest(name, one, observations) for name, one in parameters.items()]
    if several is not None:
        forecasts = alongside(dict(zip(several, forecasts, strict=True)), member_dim)
    # leftovers of a selection from forecasts, such as a scalar lead_time, would stand in the way of the dimension
    observations = observations.drop_vars(set(RESERVED) & set(observations.coords) - set(observations.dims))
    for one in forecasts:
        warn_of_other_units("forecast", units_of(one), "observations", units_of(observations))
    averaged = _averaged_dims(observations, dim)
    found = _resolved(weights, averaged, observations, forecasts[0])
    n_init = forecasts[0].sizes[INIT]
    _check_bootstrap(confidence, n_resamples, block, n_init)
    if not isinstance(climatology, DataArray | Anomaly | None):
        raise TypeError(f"climatology must be a DataArray or a fitted Anomaly, not {type(climatology).__name__}")
    random = generator(random_state)
    lazy = [_sums(one, observations, climatology, averaged, found, member_dim) for one in forecasts]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "invalid value", RuntimeWarning)  # the CRPS of a cell that is never observed
        computed = dask.compute(*lazy)  # together: each reads the gaps of the others
    totals, leading = computed[0], [LEAD]
    score: Callable[[Dataset], Dataset] = scores_of
    if several is not None:
        reference = next(iter(several)) if reference is None else reference
        score = functools.partial(scores_and_differences, reference=reference)
        totals, leading = joined(dict(zip(several, computed, strict=True))), [MODEL, LEAD]
    length = memory_of(totals) if block == "auto" else int(block)
    # the same samples for all leads, scores and backtests, so that they can be compared
    counts = DataArray(block_counts(n_init, length, n_resamples, random), dims=("resample", INIT))
    interval = interval_of(totals, counts, confidence, score)
    unit = units_of(observations, *forecasts)
    scores = labelled(score(totals.sum(INIT, skipna=False)), *interval, unit, leading)
    scores = scores.assign_attrs(confidence=confidence, n_resamples=n_resamples, block=length, n_init_times=n_init)
    return scores if several is None else beyond_chance(scores.assign_attrs(reference=reference))


def _sums(
    forecast: DataArray,
    observations: DataArray,
    climatology: DataArray | Anomaly | None,
    averaged: list[Hashable],
    weights: DataArray,
    member_dim: str,
) -> Dataset:
    """Return the sums over cells by (lead_time, init_time, ...), lazy where the data are."""
    positions, starts = (positions_of(observations, forecast[name].values) for name in (TIME, INIT))

    def sums(lead: int, inits: slice) -> Dataset:
        single, observed = forecast.isel({LEAD: lead, INIT: inits}), at(observations, positions[inits, lead])
        normal = None if climatology is None else normal_at(climatology, observed)
        cells = score_cells(single, observed, at(observations, starts[inits]), normal, member_dim)
        return cells.weighted(weights).sum(averaged).reset_coords(drop=True)

    n_init, n_lead = forecast.sizes[INIT], forecast.sizes[LEAD]
    step = max(1, _VALUES_AT_ONCE * n_init * n_lead // forecast.size)  # initial times of a block
    blocks = [slice(start, start + step) for start in range(0, n_init, step)]
    leads = forecast[LEAD].variable  # 0, 1, ... where it has no labels
    by_lead = [xr.concat([sums(lead, inits) for inits in blocks], INIT) for lead in range(n_lead)]
    return xr.concat(by_lead, leads)


def _check_backtest(parameter: str, forecast: Any, observations: DataArray) -> DataArray:
    """Return the forecast with its times in memory, by (init_time, lead_time)."""
    for name, array in ((parameter, forecast), ("observations", observations)):
        if not isinstance(array, DataArray):
            raise TypeError(f"{name} must be a DataArray, not {type(array).__name__}: wrap or select one")
    if not {INIT, LEAD} <= set(forecast.dims) or INIT not in forecast.coords or TIME not in forecast.coords:
        raise ValueError(
            f"{parameter} has the dimensions {forecast.dims} and the coordinates {list(forecast.coords)}, a backtest "
            "has init_time and lead_time and the time over both: give what gridcast.backtest returns; of one lead, "
            ".isel(lead_time=[0]) keeps the dimension"
        )
    if forecast.sizes[LEAD] > 1 and forecast[LEAD].attrs.get("mode") == "one_step":
        raise ValueError(
            f'{parameter} comes from backtest(..., mode="one_step"): its steps are all forecast one step ahead and '
            "have no lead times to score; give backtest(..., horizon=1), or average gridcast.metrics over it"
        )
    if set(forecast[TIME].dims) != {INIT, LEAD}:
        raise ValueError(f"{parameter} has its time over {forecast[TIME].dims}, not over ('init_time', 'lead_time')")
    if TIME not in observations.dims or TIME not in observations.coords:
        numbered = f"observations.assign_coords(time=range({observations.sizes.get(TIME, '...')}))"
        raise ValueError(
            f"observations have no time along a dimension 'time', but {observations.dims}: label them as what was "
            f"forecast; steps without labels are numbered, {numbered}"
        )
    refuse_other_kinds(observations, "observations")
    if not observations.get_index(TIME).is_unique:
        raise ValueError("observations have times that occur twice: drop them, .drop_duplicates('time')")
    forecast = forecast.assign_coords({TIME: forecast[TIME].transpose(INIT, LEAD).compute()})
    valid = forecast[TIME].values
    axes = (take_apart(as_index([times[0]])).axis for times in (observations.get_index(TIME), valid.ravel()))
    check_same_axis("observations", *axes)
    positions = positions_of(observations, valid)
    if (positions < 0).any():
        raise ValueError(
            f"observations have no {valid[positions < 0][0]}, one of {(positions < 0).sum()} times that are forecast: "
            "give a series that holds them all, or select the initial times that it verifies"
        )
    return forecast


def _averaged_dims(observations: DataArray, dim: Dims) -> list[Hashable]:
    available = [name for name in observations.dims if name != TIME]
    if dim is None:
        return [d for d in available if d == SAMPLE] + [d for d in available if d != SAMPLE][-2:]
    dims: list[Hashable] = [dim] if isinstance(dim, str) else list(dim)
    check_dims("dim", dims, available)
    return dims


def _resolved(weights: Weights, averaged: list[Hashable], observations: DataArray, forecast: DataArray) -> DataArray:
    found = resolve_weights(weights, averaged, observations, forecast)
    if found is None:
        return DataArray(1.0)
    check_same_labels(observations=observations, weights=found)
    check_dims("weights", found.dims, [name for name in observations.dims if name != TIME])
    check_weights(found)
    return found


def _check_bootstrap(confidence: float, n_resamples: int, block: int | str, n_init_times: int) -> None:
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence={confidence!r} must lie between 0 and 1, both excluded")
    check_positive_integer("n_resamples", n_resamples)
    if block == "auto":
        return
    longest = max(1, n_init_times - 1)
    if not isinstance(block, numbers.Integral) or not 1 <= block <= longest:
        raise ValueError(
            f'block={block!r} must be "auto" or a number of initial times from 1 to {longest}, fewer than there are'
        )
