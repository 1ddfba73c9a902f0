"""Callbacks see a forecaster while it trains."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from gridcast.calendars import Calendar
from gridcast.forecasters._base import BaseForecaster
from gridcast.grid import Series
from gridcast.history import History

HOOKS = ("on_fit_begin", "on_epoch_end", "on_fit_end")


class Watch:
    """Calls the callbacks of a forecaster with a copy of it that has all that is learned so far.

    Parameters
    ----------
    forecaster : NeuralForecaster
    learned : dict
        The learned attributes; the module in it is the one that trains.
    series, calendar
        Of the training.
    """

    def __init__(self, forecaster: BaseForecaster, learned: dict[str, Any], series: Series, calendar: Calendar) -> None:
        self.callbacks: list[Any] = check_callbacks(forecaster.get_params(deep=False)["callbacks"])
        self.learned = learned
        if self.callbacks:
            self.est: Any = copy.copy(forecaster)
            self.est.__dict__.update(learned | forecaster._origin(learned, series, calendar))
            _call(self.callbacks, "on_fit_begin", self.est)

    def on_epoch_end(self, history: list[dict[str, float]]) -> bool:
        """Tell of an epoch; return whether the training shall end."""
        if not self.callbacks:
            return False
        self.est.history_ = History(history)
        return _call(self.callbacks, "on_epoch_end", self.est, history[-1])

    def on_fit_end(self) -> None:
        """Tell of the end, with the best weights in the module."""
        if self.callbacks:
            self.est.history_ = self.learned["history_"]
            _call(self.callbacks, "on_fit_end", self.est)


def check_callbacks(callbacks: Any) -> list[Any]:
    """Return the callbacks as a list; raise a TypeError for what is none."""
    if callbacks is None:
        return []
    if not isinstance(callbacks, Iterable) or isinstance(callbacks, str):
        raise TypeError(f"callbacks={callbacks!r} must be a list of gridcast.callbacks.Callback")
    found = list(callbacks)
    for callback in found:
        if isinstance(callback, type) or not any(hasattr(callback, hook) for hook in HOOKS):
            raise TypeError(f"callbacks holds {callback!r}: give instances that have one of the methods {HOOKS}")
    return found


def _call(callbacks: list[Any], hook: str, *arguments: Any) -> bool:
    """Call a method of every callback that has it; return whether one returned True."""
    return any([bool(getattr(c, hook)(*arguments)) for c in callbacks if hasattr(c, hook)])
