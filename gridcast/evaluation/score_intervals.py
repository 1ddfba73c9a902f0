"""Scores of a backtest with their confidence intervals, by their names and units."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import xarray as xr
from xarray import DataArray, Dataset

from gridcast.data.units import squared
from gridcast.evaluation.bootstrap import block_length
from gridcast.evaluation.score_sums import INIT, LEAD

# for the attributes of the result, which plots take their labels from
LONG_NAMES = {
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
DIFFERENCE = "_difference"  # suffix of a score less that of the reference
# suffix of a variable -> what it adds to the long name
_ENDS = {"": "", "_lower": ", lower end of the confidence interval", "_upper": ", upper end of the confidence interval"}


def interval_of(
    sums: Dataset, counts: DataArray, confidence: float, score: Callable[[Dataset], Dataset]
) -> tuple[Dataset, Dataset]:
    """Return the ends of the percentile intervals, from sums by (lead_time, init_time, ...)."""
    ends = [(1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0]  # as much left out below as above

    def percentiles(score: DataArray) -> DataArray:
        return score.quantile(ends, "resample", skipna=bool(score.isnull().any()))

    def at(lead: int) -> Dataset:
        return score(sums.isel({LEAD: [lead]}).map(lambda sum: xr.dot(counts, sum, dim=INIT))).map(percentiles)

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN", RuntimeWarning)  # a cell that is never observed
        interval = xr.concat([at(lead) for lead in range(sums.sizes[LEAD])], LEAD)
    if sums.sizes[INIT] < 2:
        interval = interval.where(False)  # one entry resampled is always itself: no spread to tell
    return interval.isel(quantile=0, drop=True), interval.isel(quantile=1, drop=True)


def memory_of(sums: Dataset) -> int:
    """Return the length of a block that fits the squared error by initial time."""
    errors = sums["squared"] / sums["seen"].where(sums["seen"] > 0.0)
    return block_length(errors.transpose(INIT, ...).values)


def labelled(value: Dataset, lower: Dataset, upper: Dataset, unit: str | None, leading: list[str]) -> Dataset:
    """Return values and ends of the intervals as variables of one Dataset, with the dimensions `leading` first."""
    scores = Dataset()
    for name in map(str, value):
        of = name.removesuffix(DIFFERENCE)
        long_name = LONG_NAMES[of] + (", difference from the reference" if of != name else "")
        unit_of_score = squared(unit) if of == "mse" else unit if of in ("rmse", "mae", "bias", "crps") else "1"
        for suffix, part in (("", value), ("_lower", lower), ("_upper", upper)):
            attrs = {"long_name": long_name + _ENDS[suffix]}
            attrs |= {} if unit_of_score is None else {"units": unit_of_score}
            scores[f"{name}{suffix}"] = part[name].transpose(*leading, ...).assign_attrs(attrs)
    return scores
