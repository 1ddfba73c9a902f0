"""Several backtests beside each other: from the same initial times, over the same cells."""

from __future__ import annotations

import functools
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd
import xarray as xr
from xarray import DataArray, Dataset

from gridcast.evaluation.score_intervals import DIFFERENCE, LONG_NAMES
from gridcast.evaluation.score_sums import INIT, LEAD, scores_of
from gridcast.metrics._checks import check_same_labels

MODEL = "model"  # the dimension of what is compared


def named_backtests(forecast: Any, reference: Hashable | None) -> dict[Hashable, Any] | None:
    """Return several backtests by their names, counted from 0 where they have none, or None where one is given.

    Raises
    ------
    ValueError
        If there are none, a name is a tuple, or `reference` is none of them.
    """
    backtests: dict[Hashable, Any] | None = None
    if isinstance(forecast, Mapping) and not isinstance(forecast, Dataset):
        backtests = dict(forecast)
    elif isinstance(forecast, Sequence) and not isinstance(forecast, str | bytes):
        backtests = dict(enumerate(forecast))
    if backtests is not None and not backtests:
        raise ValueError('forecast is empty: give one backtest or more, {"CNMM": forecast}')
    for name in backtests or {}:
        if isinstance(name, tuple):  # several labels to pandas, and to a selection
            text = " ".join(map(str, name))
            raise ValueError(f"forecast holds a backtest named {name!r}: name it by text or a number, {text!r}")
    if reference is not None and reference not in (backtests or {}):
        names = "one backtest without a name" if backtests is None else f"the backtests {list(backtests)}"
        raise ValueError(f"reference={reference!r} must name one of several backtests, forecast is {names}")
    return backtests


def alongside(backtests: Mapping[Hashable, DataArray], member_dim: str) -> list[DataArray]:
    """Return backtests from the initial times that all have, without the cells that one of them lacks.

    Raises
    ------
    ValueError
        If they have no initial time in common, or other dimensions or labels.
    """
    common = functools.reduce(lambda a, b: a.intersection(b), (f.get_index(INIT) for f in backtests.values()))
    if not len(common):
        raise ValueError(
            f"forecast holds backtests {list(backtests)} without a common init_time: give backtest the same series and "
            "multiples of one stride"
        )
    found = {name: forecast.sel({INIT: common.sort_values()}) for name, forecast in backtests.items()}
    seen = {f"forecast[{name!r}]": _seen(forecast, member_dim) for name, forecast in found.items()}
    (first, ours), *others = seen.items()
    for name, theirs in others:
        if set(theirs.dims) != set(ours.dims):
            raise ValueError(f"{name} has the dimensions {theirs.dims}, {first} has {ours.dims}: select the same")
    if MODEL in ours.dims:
        raise ValueError(f"{first} has a dimension 'model', which is that of the comparison: rename it")
    check_same_labels(**seen)
    everywhere = functools.reduce(lambda a, b: a & b, seen.values())
    return [forecast.where(everywhere).assign_attrs(forecast.attrs) for forecast in found.values()]


def joined(sums: Mapping[Hashable, Dataset]) -> Dataset:
    """Return the sums of all backtests along ``model``, NaN for a score that one of them has not."""
    names = dict.fromkeys(name for part in sums.values() for name in part)
    missing = {
        key: {n: xr.full_like(part["seen"], float("nan")) for n in names if n not in part} for key, part in sums.items()
    }
    return xr.concat([part.assign(missing[key]) for key, part in sums.items()], pd.Index(list(sums), name=MODEL))


def scores_and_differences(sums: Dataset, reference: Hashable) -> Dataset:
    """Return each score of each backtest, and what it is above that of the reference."""
    scores = scores_of(sums)
    of_reference = scores.sel({MODEL: reference}, drop=True)
    for name in list(scores):
        scores[f"{name}{DIFFERENCE}"] = scores[name] - of_reference[name]
    return scores


def beyond_chance(scores: Dataset) -> Dataset:
    """Return the scores with a boolean of each, beside its difference, of whether the interval leaves out zero."""
    found = Dataset(attrs=scores.attrs)
    for name in scores:
        found[name] = scores[name]
        of, is_last, rest = str(name).partition(f"{DIFFERENCE}_upper")
        if is_last and not rest:
            differs = (scores[f"{of}{DIFFERENCE}_lower"] > 0.0) | (scores[name] < 0.0)
            found[f"{of}_differs"] = differs.drop_attrs(deep=False).assign_attrs(
                long_name=f"{LONG_NAMES[of]}, difference beyond chance"
            )
    return found


def _seen(forecast: DataArray, member_dim: str) -> DataArray:
    """Return where all members are, in the order of the dimensions of a backtest."""
    seen = forecast.notnull()
    return (seen.all(member_dim) if member_dim in seen.dims else seen).transpose(INIT, LEAD, ...)
