"""Whether a series responds to its covariates: by held-out forecasts."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from gridcast.data.calendars import Calendar
from gridcast.data.drivers import AHEAD, PAST, Drivers
from gridcast.data.grid import Grid, Series
from gridcast.forecasters.climatology import MARGIN, ClimatologyChoice, Comparison, thinned_series, thinning
from gridcast.forecasters.inverse_model import SHARE
from gridcast.persistence.forms import check, check_array, take
from gridcast.training.data import divide_part, part_of
from gridcast.transformers.anomaly import Anomaly
from gridcast.transformers.response import Influence, Response, fit_response, n_regressors
from gridcast.transformers.scaling import Scaling

NONE = "none"


@dataclass
class ResponseChoice:
    """Which covariates are used: none, those known ahead, those of the past, or both.

    The response to each set is learned from the first three quarters of the training part, and a linear inverse model
    of what it leaves forecasts the last quarter. The set with the least error, the geometric mean over leads, is taken,
    if it takes off more than a margin.

    Parameters
    ----------
    compared : ClimatologyChoice
        How the training part is divided and compared.

    Attributes
    ----------
    scores : dict of str to float
        The squared error with each set in units of that without covariates; empty where nothing was compared.
    """

    compared: ClimatologyChoice
    scores: dict[str, float] = field(init=False, default_factory=dict)

    def respond(self, scaling: Scaling, scaled: Series, calendar: Calendar) -> tuple[Scaling, Series]:
        """Return the scaling with the response that forecasts best, if any, and the scaled series without it."""
        windows, window, around = self.compared.windows, self.compared.window, self.compared.around
        climatology, statistics = scaling.climatology, scaling.statistics

        def learn(some: np.ndarray, names: list[str]) -> Response:
            samples, *stretch = part_of(some, window)
            limits = (statistics.low, statistics.high)
            first, stop = stretch
            return fit_response(scaled, climatology, calendar, names, samples, (first, stop), around, limits)

        divided = divide_part(windows, window, self.compared.context, SHARE)
        comparison = None if divided is None else self.compared.read(thinned_series(scaled), *divided)
        if divided is None or comparison is None:
            return scaling, scaled
        cycle = Anomaly(1) if climatology is None else Anomaly(climatology.period_, climatology.n_harmonics)
        cycle.resolve(scaled, calendar)
        logs = {NONE: comparison.error(cycle)}
        sets = _sets(scaled)
        for label, names in sets.items():
            logs[label] = _without(comparison, learn(divided[0], names), scaled).error(cycle)
        if not np.isfinite(list(logs.values())).all():
            return scaling, scaled
        self.scores = {label: math.exp(error - logs[NONE]) for label, error in logs.items()}
        best = min(logs, key=lambda label: logs[label])
        if best == NONE or logs[best] >= logs[NONE] + math.log1p(-MARGIN):
            return scaling, scaled
        return scaling.responding(learn(windows, sets[best]), scaled)


def _sets(scaled: Series) -> dict[str, list[str]]:
    """Return the parts of the drivers that are used together, by what tables call them."""
    assert scaled.drivers is not None
    found = {kind: list(scaled.drivers.of(kind)) for kind in (AHEAD, PAST)}
    sets = {kind: names for kind, names in found.items() if names}
    return sets | {"both": found[AHEAD] + found[PAST]} if len(sets) > 1 else sets


def _without(comparison: Comparison, response: Response, scaled: Series) -> Comparison:
    """Return a comparison without the response, in its forecasts that which is known where they start."""
    values, first = comparison.earlier.values, comparison.earlier.first
    n = values.shape[1]
    earlier = [
        block - _thin(response, scaled, sample, np.arange(start, start + n), 0)
        for block, start, sample in zip(values, first, comparison.earlier.samples, strict=True)
    ]
    context = comparison.later.values.shape[1] - comparison.horizon
    later = comparison.later.values.copy()
    for sample in np.unique(comparison.later.samples):
        of_sample = comparison.later.samples == sample
        starts = comparison.later.first[of_sample]
        for step in range(later.shape[1]):
            lead = max(step - context + 1, 0)
            later[of_sample, step] -= _thin(response, scaled, sample, starts + step, lead)
    return replace(
        comparison,
        earlier=replace(comparison.earlier, values=np.stack(earlier)),
        later=replace(comparison.later, values=later),
    )


def _thin(response: Response, scaled: Series, sample: int, steps: np.ndarray, lead: int) -> np.ndarray:
    """Return the response of a sample at some steps, on the cells that are compared, (time, channel, y, x)."""
    assert scaled.drivers is not None
    found = response.at(scaled.drivers, scaled.times[steps], lead)
    found = found[sample if len(found) > 1 else 0]
    rows, columns = thinning(scaled.grid.shape)
    return found[..., ::rows, ::columns]


def covariates_table(scores: dict[str, float], response: Response | None) -> pd.DataFrame:
    """Return what was compared, and what is in use, one row each."""
    kinds = {} if response is None else {name.partition("/")[0] for name in response.influences}
    used = NONE if not kinds else next(iter(kinds)) if len(kinds) == 1 else "both"
    errors = scores if used in scores else {**scores, used: math.nan}
    index = pd.Index(errors, name="covariates")
    return pd.DataFrame({"chosen": index == used, "error": list(errors.values())}, index=index)


# Saving


def response_parts(scaling: Scaling) -> dict[str, Any]:
    """Return what a file holds of a response; nothing where there were no covariates."""
    if not scaling.compared and scaling.response is None:
        return {}
    response = scaling.response
    influences = {} if response is None else {name: vars(part) for name, part in response.influences.items()}
    limits = {} if response is None else {"low": response.low, "high": response.high}
    return {"response": {"compared": scaling.compared, "influences": influences, "limits": limits}}


def check_response(
    saved: Any, grid: Grid, calendar: Calendar, around: tuple[bool, bool], drivers: Drivers | None
) -> tuple[Response | None, dict[str, float]]:
    """Return what `response_parts` has saved; raise a ValueError if it does not fit together."""
    if saved is None:
        return None, {}
    compared, influences, limits = take(check(saved, dict, "learned/response"), "compared", "influences", "limits")
    for name, error in check(compared, dict, "learned/response/compared").items():
        check(error, float, f"learned/response/compared/{name}")
    if not check(influences, dict, "learned/response/influences"):
        return None, compared
    made = {}
    for name, part in influences.items():
        where = f"learned/response/influences/{name}"
        if drivers is None or name not in drivers.parts:
            raise ValueError(f"{where} is of covariates that are not kept")
        made[name] = _influence(part, name, drivers.parts[name].grid.shape, grid.shape, where)
    low, high = take(check(limits, dict, "learned/response/limits"), "low", "high")
    for limit in (low, high):
        check_array(limit, grid.shape[:1], "learned/response/limits")
    return Response(made, calendar, around, low, high), compared


def _influence(
    part: Any, name: str, shape: tuple[int, int, int], grid_shape: tuple[int, int, int], where: str
) -> Influence:
    cycle, std, persistence, coefficients = take(
        check(part, dict, where), "cycle", "std", "persistence", "coefficients"
    )
    check_array(check(cycle, Anomaly, f"{where}/cycle").cycle_, (None, *shape), f"{where}/cycle")
    for key, values in (("std", std), ("persistence", persistence)):
        check_array(values, shape[:1], f"{where}/{key}")
    check_array(coefficients, (n_regressors(name, shape[0]), *grid_shape), f"{where}/coefficients")
    return Influence(cycle, std, persistence, coefficients)
