"""All scores of a backtest by lead time, with confidence intervals."""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Hashable
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr
from scores.utils import check_weights
from xarray import DataArray, Dataset

from gridcast import metrics
from gridcast.data.checks import check_positive_integer
from gridcast.data.grid import SAMPLE, TIME
from gridcast.data.labels import RESERVED
from gridcast.data.random import generator
from gridcast.data.time_kinds import refuse_other_kinds
from gridcast.data.times import as_index, check_same_axis, take_apart
from gridcast.data.units import squared, units_of, warn_of_other_units
from gridcast.evaluation.bootstrap import block_counts, block_length
from gridcast.metrics._checks import Dims, check_dims, check_reference, check_same_labels
from gridcast.metrics._ensembles import sampling_variance
from gridcast.metrics._weights import Weights, resolve_weights
from gridcast.transformers.anomaly import Anomaly

INIT, LEAD = "init_time", "lead_time"  # the dimensions of a backtest
_VALUES_AT_ONCE = 1 << 21  # of the forecast: 16 MiB in double precision
# for the attributes of the result, which plots take their labels from
_LONG_NAMES = {
    "mse": "mean squared error",
    "rmse": "root mean squared error",
    "mae": "mean absolute error",
    "bias": "bias",
    "mse_skill_persistence": "MSE skill against persistence",
    "mse_skill_climatology": "MSE skill against climatology",
    "anomaly_correlation": "anomaly correlation",
    "crps": "continuous ranked probability score",
    "spread_skill_ratio": "spread-skill ratio",
}
# suffix of a variable -> what it adds to the long name
_ENDS = {"": "", "_lower": ", lower end of the confidence interval", "_upper": ", upper end of the confidence interval"}


def verify(
    forecast: DataArray,
    observations: DataArray,
    *,
    climatology: DataArray | Anomaly | None = None,
    dim: Dims = None,
    weights: Weights = "auto",
    confidence: float = 0.95,
    n_resamples: int = 1000,
    block: int | Literal["auto"] = "auto",
    random_state: int | np.random.RandomState | np.random.Generator | None = None,
    member_dim: str = "member",
) -> Dataset:
    """Score a backtest by lead time, with bootstrap confidence intervals.

    Parameters
    ----------
    forecast : DataArray, shape ([member,] [sample,] init_time, lead_time, [channel,] y, x)
        What `gridcast.backtest` returns, with the coordinate ``time`` over (init_time, lead_time). The error of an
        ensemble is that of its mean.
    observations : DataArray, shape ([sample,] time, [channel,] y, x)
        Every time that is forecast, in the same units.
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

    Raises
    ------
    TypeError
        If `forecast`, `observations` or `climatology` is of another type, or `n_resamples` no positive integer.
    ValueError
        If `forecast` is no backtest or one of ``mode="one_step"``, a time that it forecasts is not in `observations`
        or in `climatology`, labels differ along a dimension, or another parameter is out of its range.

    Warns
    -----
    UserWarning
        If both sides name units, and other ones: nothing is converted.

    See Also
    --------
    gridcast.metrics : each score by itself.

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
    """
    forecast, positions, starts = _check_backtest(forecast, observations)
    # leftovers of a selection from forecasts, such as a scalar lead_time, would stand in the way of the dimension
    observations = observations.drop_vars(set(RESERVED) & set(observations.coords) - set(observations.dims))
    warn_of_other_units("forecast", units_of(forecast), "observations", units_of(observations))
    averaged = _averaged_dims(observations, dim)
    found = _resolved(weights, averaged, observations, forecast)
    _check_bootstrap(confidence, n_resamples, block, forecast.sizes[INIT])
    if not isinstance(climatology, DataArray | Anomaly | None):
        raise TypeError(f"climatology must be a DataArray or a fitted Anomaly, not {type(climatology).__name__}")
    random = generator(random_state)

    def sums(lead: int, inits: slice) -> Dataset:
        single, observed = forecast.isel({LEAD: lead, INIT: inits}), _at(observations, positions[inits, lead])
        normal = None if climatology is None else _normal(climatology, observed)
        cells = _score_cells(single, observed, _at(observations, starts[inits]), normal, member_dim)
        return cells.weighted(found).sum(averaged).reset_coords(drop=True)

    n_init, n_lead = forecast.sizes[INIT], forecast.sizes[LEAD]
    step = max(1, _VALUES_AT_ONCE * n_init * n_lead // forecast.size)  # initial times of a block
    blocks = [slice(start, start + step) for start in range(0, n_init, step)]
    leads = forecast[LEAD].variable  # 0, 1, ... where it has no labels
    by_lead = [xr.concat([sums(lead, inits) for inits in blocks], INIT) for lead in range(n_lead)]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "invalid value", RuntimeWarning)  # the CRPS of a cell that is never observed
        totals = xr.concat(by_lead, leads).compute()
    length = _memory(totals) if block == "auto" else int(block)
    # the same samples for all leads and scores, so that they can be compared
    counts = DataArray(block_counts(n_init, length, n_resamples, random), dims=("resample", INIT))
    interval = _interval(totals, counts, confidence)
    scores = _labelled(_scores(totals.sum(INIT)), *interval, units_of(observations, forecast))
    return scores.assign_attrs(confidence=confidence, n_resamples=n_resamples, block=length, n_init_times=n_init)


def _score_cells(
    forecast: DataArray, observed: DataArray, persistence: DataArray, normal: DataArray | None, member_dim: str
) -> Dataset:
    """Return what each cell adds to the scores of one lead time, NaN where it adds nothing."""
    normals = {} if normal is None else {"climatology": normal}
    check_same_labels(forecast=forecast, observations=observed, **normals)
    forecast, observed, persistence = (x.astype("float64") for x in (forecast, observed, persistence.drop_vars(TIME)))
    mean = forecast.mean(member_dim, skipna=False) if member_dim in forecast.dims else forecast
    error = mean - observed  # NaN where either is missing
    squared_error, of_persistence = error**2, (persistence - observed) ** 2
    cells = {
        "seen": error.notnull().astype("float64"),
        "error": error,
        "absolute": abs(error),
        "squared": squared_error,
        # each skill over cells where both errors exist
        "squared_beside_persistence": squared_error.where(of_persistence.notnull()),
        "squared_of_persistence": of_persistence.where(error.notnull()),
    }
    if normal is not None:
        ours, theirs = mean - normal, observed - normal
        both = (ours * theirs).notnull()
        cells |= {
            "squared_beside_climatology": squared_error.where(both),
            "squared_of_climatology": (theirs**2).where(both),
            "anomaly_product": ours * theirs,
            "anomaly_of_forecast": (ours**2).where(both),
        }
    if member_dim in forecast.dims:
        cells["crps"] = metrics.crps(forecast, observed, dim=[], weights=None, member_dim=member_dim)
        if forecast.sizes[member_dim] > 1:
            variance = sampling_variance(forecast, observed, member_dim)
            cells["sampling_variance"] = variance.where(error.notnull())
    return Dataset({name: cell.drop_attrs() for name, cell in cells.items()}).reset_coords(drop=True)


def _scores(sums: Dataset) -> Dataset:
    """Return the scores of sums over cells."""

    def ratio(above: str, below: str) -> DataArray:
        return sums[above] / sums[below].where(sums[below] > 0.0)

    scores = {
        "mse": ratio("squared", "seen"),
        "rmse": ratio("squared", "seen") ** 0.5,
        "mae": ratio("absolute", "seen"),
        "bias": ratio("error", "seen"),
        "mse_skill_persistence": 1.0 - ratio("squared_beside_persistence", "squared_of_persistence"),
    }
    if "anomaly_product" in sums:
        scale = (sums["anomaly_of_forecast"] * sums["squared_of_climatology"]) ** 0.5
        scores["mse_skill_climatology"] = 1.0 - ratio("squared_beside_climatology", "squared_of_climatology")
        scores["anomaly_correlation"] = sums["anomaly_product"] / scale.where(scale > 0.0)
    if "crps" in sums:
        scores["crps"] = ratio("crps", "seen")
    if "sampling_variance" in sums:
        scores["spread_skill_ratio"] = ratio("sampling_variance", "squared") ** 0.5
    return Dataset(scores)


def _interval(sums: Dataset, counts: DataArray, confidence: float) -> tuple[Dataset, Dataset]:
    """Return the ends of the percentile intervals, from sums by (lead_time, init_time, ...)."""
    ends = [(1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0]  # as much left out below as above

    def percentiles(score: DataArray) -> DataArray:
        return score.quantile(ends, "resample", skipna=bool(score.isnull().any()))

    def at(lead: int) -> Dataset:
        return _scores(sums.isel({LEAD: [lead]}).map(lambda sum: xr.dot(counts, sum, dim=INIT))).map(percentiles)

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN", RuntimeWarning)  # a cell that is never observed
        interval = xr.concat([at(lead) for lead in range(sums.sizes[LEAD])], LEAD)
    if sums.sizes[INIT] < 2:
        interval = interval.where(False)  # one entry resampled is always itself: no spread to tell
    return interval.isel(quantile=0, drop=True), interval.isel(quantile=1, drop=True)


def _memory(sums: Dataset) -> int:
    """Return the length of a block that fits the squared error by initial time."""
    errors = sums["squared"] / sums["seen"].where(sums["seen"] > 0.0)
    return block_length(errors.transpose(INIT, ...).values)


def _labelled(value: Dataset, lower: Dataset, upper: Dataset, unit: str | None) -> Dataset:
    scores = Dataset()
    for name in value:
        unit_of_score = squared(unit) if name == "mse" else unit if name in ("rmse", "mae", "bias", "crps") else "1"
        for suffix, part in (("", value), ("_lower", lower), ("_upper", upper)):
            attrs = {"long_name": _LONG_NAMES[str(name)] + _ENDS[suffix]}
            attrs |= {} if unit_of_score is None else {"units": unit_of_score}
            scores[f"{name}{suffix}"] = part[name].transpose(LEAD, ...).assign_attrs(attrs)
    return scores


def _at(observations: DataArray, positions: np.ndarray) -> DataArray:
    """Return the observations at `positions`, by init_time in the place of time, NaN where one is -1."""
    taken = observations.isel({TIME: DataArray(positions, dims=INIT)})
    return taken if (positions >= 0).all() else taken.where(DataArray(positions >= 0, dims=INIT))


def _normal(climatology: DataArray | Anomaly, observed: DataArray) -> DataArray:
    """Return the climatology at the times of `observed`."""
    if isinstance(climatology, Anomaly):
        zeros = xr.zeros_like(observed.swap_dims({INIT: TIME}))  # the cycle added to nothing is the cycle
        return climatology.inverse_transform(zeros).swap_dims({TIME: INIT})
    check_reference("climatology", climatology, (TIME, *(d for d in observed.dims if d != INIT)), "observations")
    if TIME not in climatology.dims:
        return climatology
    positions = _positions(climatology, observed[TIME].values)
    if (positions < 0).any():
        raise ValueError(
            f"climatology has no {observed[TIME].values[positions < 0][0]}, which is forecast: give every such time, "
            "no time at all, or learn it from a training series, climatology=gridcast.Anomaly().fit(train)"
        )
    return _at(climatology, positions)


def _positions(series: DataArray, times: np.ndarray) -> np.ndarray:
    """Return where `times` are in a series, -1 where they are not."""
    return series.get_index(TIME).get_indexer(pd.Index(times.ravel())).reshape(times.shape)


def _check_backtest(forecast: DataArray, observations: DataArray) -> tuple[DataArray, np.ndarray, np.ndarray]:
    """Return the forecast with its times in memory, and where these and its initial times are in the observations."""
    for name, array in (("forecast", forecast), ("observations", observations)):
        if not isinstance(array, DataArray):
            raise TypeError(f"{name} must be a DataArray, not {type(array).__name__}: wrap or select one")
    if not {INIT, LEAD} <= set(forecast.dims) or INIT not in forecast.coords or TIME not in forecast.coords:
        raise ValueError(
            f"forecast has the dimensions {forecast.dims} and the coordinates {list(forecast.coords)}, a backtest has "
            "init_time and lead_time and the time over both: give what gridcast.backtest returns; of one lead, "
            ".isel(lead_time=[0]) keeps the dimension"
        )
    if forecast.sizes[LEAD] > 1 and forecast[LEAD].attrs.get("mode") == "one_step":
        raise ValueError(
            'forecast comes from backtest(..., mode="one_step"): its steps are all forecast one step ahead and have no '
            "lead times to score; give backtest(..., horizon=1), or average gridcast.metrics over it"
        )
    if set(forecast[TIME].dims) != {INIT, LEAD}:
        raise ValueError(f"forecast has its time over {forecast[TIME].dims}, not over ('init_time', 'lead_time')")
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
    positions = _positions(observations, valid)
    if (positions < 0).any():
        raise ValueError(
            f"observations have no {valid[positions < 0][0]}, one of {(positions < 0).sum()} times that are forecast: "
            "give a series that holds them all, or select the initial times that it verifies"
        )
    return forecast, positions, _positions(observations, forecast[INIT].values)


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
