"""Covariates beside a history: which are needed, which are kept, and whether they reach far enough."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, Self

from gridcast.data.calendars import Calendar
from gridcast.data.drivers import AHEAD, FIELDS, MOST_LAG, PAST, Drivers, read_drivers
from gridcast.data.grid import Series, extend
from gridcast.forecasters.histories import HistoryForecaster

Driving = tuple[Any, Any]  # `covariates` and `past_covariates`, as the user gave them
UNDRIVEN: Driving = (None, None)


class DrivenForecaster(HistoryForecaster):
    """Puts covariates beside histories.

    Attributes
    ----------
    drivers_ : Drivers or None
        The latest covariates, those at the steps of `recent_` and a few before; None where the fit had none.
    """

    drivers_: Drivers | None = None

    def _fit_drivers(self, series: Series, calendar: Calendar, driving: Driving) -> Series:
        """Return a training series with its covariates."""
        drivers = read_drivers(*driving, series, calendar, learned=True)
        if drivers is None:
            return series
        for kind in (AHEAD, PAST):
            drivers.check_covers(kind, series.times[0], series.times[-1], calendar, "X", "or cut X")
        return replace(series, drivers=drivers)

    def _kept_drivers(self, series: Series, calendar: Calendar) -> Drivers | None:
        """Return of the covariates of a series what the next forecast needs."""
        if series.drivers is None:
            return None
        return series.drivers.tail(self._n_recent() + MOST_LAG, series.times[-1], calendar)

    def _as_fitted(self, learned: dict[str, Any]) -> Self:
        """Return a copy with learned attributes."""
        fitted = copy.copy(self)
        fitted.__dict__.update(learned)
        return fitted

    def _drive(
        self, history: Series, driving: Driving, stretch: tuple[int, int], horizon: int, begin: Any | None = None
    ) -> Series:
        """Return a history with its covariates, none where the fit had none.

        Parameters
        ----------
        history : Series
        driving : (covariates, past_covariates)
            Those of the history and the horizon, or of what is not kept.
        stretch : (int, int)
            The first step of the first context, and the last step that is forecast from.
        horizon : int
            Steps behind the latter; 0 asks for no covariates beyond it.
        begin : label, optional
            The step of covariates without time labels, which then stand behind what is kept.

        Raises
        ------
        ValueError
            If covariates are missing, too many or too short.
        """
        drivers = self._with_kept(history, driving, begin)
        if drivers is None:
            return history
        first, last = stretch
        # the last step that is forecast may lie beyond the history
        times = extend(history.times, self._times_after(history, horizon)) if horizon else history.times
        end, use = (times[last + horizon], "the horizon") if horizon else (times[last], "X")
        calendar = self.calendar_.settle(history.times) if history.has_times else self.calendar_
        drivers.check_covers(
            AHEAD, times[first], end, calendar, use, "or forecast fewer steps" if horizon else "or cut X"
        )
        drivers.check_covers(PAST, times[first], times[last], calendar, "the history", "or cut the history")
        return replace(history, drivers=drivers)

    def _check_fitted_with(self, driving: Driving) -> None:
        """Raise a ValueError where covariates are given of a kind that the fit had none of."""
        kept = self.drivers_
        for kind, value in zip((AHEAD, PAST), driving, strict=True):
            if value is not None and (kept is None or not kept.of(kind)):
                raise ValueError(
                    f"{kind} is given, but the model was fitted without: fit(X, {kind}=...), or leave it out"
                )

    def _with_kept(self, history: Series, driving: Driving, begin: Any | None) -> Drivers | None:
        kept = self.drivers_
        self._check_fitted_with(driving)
        if kept is None:
            return None
        if driving[0] is None and kept.of(AHEAD):
            raise ValueError(
                f"{AHEAD}=None, but the model was fitted with {AHEAD}: give those of the history and the horizon"
            )
        found = read_drivers(*driving, history, self.calendar_, begin)
        for name, part in kept.parts.items() if found is not None else ():
            kind = name.partition("/")[0]
            theirs = found.parts.get(name) if found is not None else None
            if driving[kind == PAST] is not None and (theirs is None or theirs.grid.shape != part.grid.shape):
                what = "gridded" if name.endswith(FIELDS) else "area-wide"
                n = 0 if theirs is None else theirs.grid.shape[0]
                raise ValueError(f"{kind} holds {n} {what} series, the model was fitted with {part.grid.shape[0]}")
        if found is not None and (surplus := set(found.parts) - set(kept.parts)):
            raise ValueError(f"{min(surplus)} are given, but the model was fitted without: leave them out")
        if history.has_times or begin is not None or history is self.recent_:
            return kept if found is None else kept.merged(found, self.calendar_)
        if kept.of(PAST) and driving[1] is None:  # numbers do not tell where a history lies
            raise ValueError(f"{PAST}=None, but the model was fitted with {PAST}: give those of X")
        return found
