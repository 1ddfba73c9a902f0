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
from gridcast.forecasters.climatology import MARGIN, ClimatologyChoice, Comparison, Stretches, thinned_series, thinning
from gridcast.persistence.forms import check, check_array, take
from gridcast.training.data import divide_part, part_of
from gridcast.transformers.anomaly import Anomaly
from gridcast.transformers.response import Influence, Nowcast, Response, fit_response, n_regressors
from gridcast.transformers.scaling import Scaling

NONE = "none"


@dataclass
class ResponseChoice:
    """Whether covariates that are known ahead are used.

    The response to them is learned from the first three quarters of the training part, and a linear inverse model of
    what it leaves forecasts the last quarter. It is used if the error, the geometric mean over leads, falls by more
    than a margin.

    Parameters
    ----------
    compared : ClimatologyChoice
        How the training part is divided and compared.

    Attributes
    ----------
    scores : dict of str to float
        The squared error with the covariates in units of that without; empty where nothing was compared.
    """

    compared: ClimatologyChoice
    scores: dict[str, float] = field(init=False, default_factory=dict)

    def respond(self, scaling: Scaling, scaled: Series, calendar: Calendar) -> tuple[Scaling, Series]:
        """Return the scaling with the response, if it is used, and the scaled series without it."""
        assert scaled.drivers is not None
        names = list(scaled.drivers.of(AHEAD))
        windows, window, around = self.compared.windows, self.compared.window, self.compared.around
        climatology, statistics = scaling.climatology, scaling.statistics
        divided = divide_part(windows, window, self.compared.context) if names else None
        comparison = None if divided is None else self.compared.read(thinned_series(scaled), *divided)
        if divided is None or comparison is None:
            return scaling, scaled

        def learn(some: np.ndarray) -> Response:
            samples, first, stop = part_of(some, window)
            limits = (statistics.low, statistics.high)
            return fit_response(scaled, climatology, calendar, names, samples, (first, stop), around, limits)

        cycle = Anomaly(1) if climatology is None else Anomaly(climatology.period_, climatology.n_harmonics)
        cycle.resolve(scaled, calendar)
        without, used = comparison.error(cycle), _without(comparison, learn(divided[0]), scaled).error(cycle)
        if not (math.isfinite(without) and math.isfinite(used)):
            return scaling, scaled
        self.scores = {NONE: 1.0, AHEAD: math.exp(used - without)}
        if used >= without + math.log1p(-MARGIN):
            return scaling, scaled
        return scaling.responding(learn(windows), scaled)


def _without(comparison: Comparison, response: Response, scaled: Series) -> Comparison:
    """Return a comparison of what the response leaves."""

    def rest(part: Stretches) -> Stretches:
        n = part.values.shape[1]
        blocks = [
            block - _thin(response, scaled, sample, np.arange(start, start + n))
            for block, start, sample in zip(part.values, part.first, part.samples, strict=True)
        ]
        return replace(part, values=np.stack(blocks))

    return replace(comparison, earlier=rest(comparison.earlier), later=rest(comparison.later))


def _thin(response: Response, scaled: Series, sample: int, steps: np.ndarray) -> np.ndarray:
    """Return the response of a sample at some steps, on the cells that are compared, (time, channel, y, x)."""
    assert scaled.drivers is not None
    found = response.at(scaled.drivers, scaled.times[steps])
    found = found[sample if len(found) > 1 else 0]
    rows, columns = thinning(scaled.grid.shape)
    return found[..., ::rows, ::columns]


def covariates_table(scaling: Scaling) -> pd.DataFrame:
    """Return what was compared, and what is in use, one row each."""
    used = {AHEAD: scaling.response is not None, PAST: scaling.nowcast is not None}
    errors = {NONE: 1.0} | scaling.compared
    chosen = [used.get(name, not any(used.values())) for name in errors]
    return pd.DataFrame({"chosen": chosen, "error": list(errors.values())}, index=pd.Index(errors, name="covariates"))


# Saving


def response_parts(scaling: Scaling) -> dict[str, Any]:
    """Return what a file holds of the covariates; nothing where there were none."""
    if not scaling.compared:
        return {}
    nowcast = scaling.nowcast
    of_next = None if nowcast is None else {"weight": nowcast.weight, "spread": nowcast.spread}
    return {
        "covariates": {
            "compared": scaling.compared,
            "response": _apart(scaling.response),
            "nowcast": None if nowcast is None or of_next is None else of_next | {"response": _apart(nowcast.response)},
        }
    }


def _apart(response: Response | None) -> dict[str, Any] | None:
    if response is None:
        return None
    influences = {name: dict(vars(part)) for name, part in response.influences.items()}
    return {"influences": influences, "low": response.low, "high": response.high}


@dataclass(frozen=True)
class Saved:
    """Puts together what `response_parts` has taken apart."""

    grid: Grid
    calendar: Calendar
    around: tuple[bool, bool]
    drivers: Drivers | None

    def parts(self, saved: Any) -> tuple[Response | None, Nowcast | None, dict[str, float]]:
        """Return the last parameters of a `Scaling`; raise a ValueError if they do not fit together."""
        if saved is None:
            return None, None, {}
        where = "learned/covariates"
        compared, response, nowcast = take(check(saved, dict, where), "compared", "response", "nowcast")
        for name, error in check(compared, dict, f"{where}/compared").items():
            check(error, float, f"{where}/compared/{name}")
        made = None
        if nowcast is not None:
            inner, weight, spread = take(check(nowcast, dict, f"{where}/nowcast"), "response", "weight", "spread")
            (n,) = check_array(weight, (None,), f"{where}/nowcast/weight").shape
            if not n:
                raise ValueError(f"{where}/nowcast/weight is empty")
            check_array(spread, (n,), f"{where}/nowcast/spread")
            made = Nowcast(self._response(inner, PAST, f"{where}/nowcast/response"), weight, spread)
        return None if response is None else self._response(response, AHEAD, f"{where}/response"), made, compared

    def _response(self, saved: Any, kind: str, where: str) -> Response:
        influences, low, high = take(check(saved, dict, where), "influences", "low", "high")
        known = {} if self.drivers is None else self.drivers.of(kind)
        made = {}
        for name, part in check(influences, dict, f"{where}/influences").items():
            if name not in known:
                raise ValueError(f"{where}/influences/{name} is of covariates that are not kept")
            shape = known[name].grid.shape
            cycle, std, coefficients = take(check(part, dict, f"{where}/{name}"), "cycle", "std", "coefficients")
            table = vars(check(cycle, Anomaly, f"{where}/{name}/cycle")).get("cycle_")
            check_array(table, (None, *shape), f"{where}/{name}/cycle")
            check_array(std, shape[:1], f"{where}/{name}/std")
            size = n_regressors(name, shape[0]), *self.grid.shape
            made[name] = Influence(cycle, std, check_array(coefficients, size, f"{where}/{name}/coefficients"))
        for limit in (low, high):
            check_array(limit, self.grid.shape[:1], f"{where}/limits")
        return Response(made, self.calendar, self.around, low, high)
