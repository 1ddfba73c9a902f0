"""Going on with a training: what a fit takes over from the one before it."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd
from torch import nn

from gridcast.data.calendars import Calendar
from gridcast.data.covariates import TimeFeatures
from gridcast.data.drivers import FIELDS, Drivers
from gridcast.data.grid import Grid, Series
from gridcast.data.parameters import shown
from gridcast.forecasters.decisions import LEAST_FORECASTS
from gridcast.training.identity import describe, digest
from gridcast.training.plan import TrainingPlan
from gridcast.transformers.scaling import Scaling

SHARE = 0.1  # of the steps of a training from scratch, that one takes which goes on
RATE = 0.25  # of the learning rate, as in the stage that refines a trained transition
# What may be another one when a training goes on; all others decide what the weights are, or mean
FREE = (
    "device", "verbose", "random_state", "bounded", "batch_size", "max_epochs", "max_steps", "learning_rate",
)  # fmt: skip


def structure(forecaster: Any, grid: Grid) -> dict[str, str]:
    """Return the parameters of which weights depend in number and meaning, as texts."""
    given = forecaster.get_params(deep=True)
    found = {
        name: describe(value)
        for name, value in given.items()
        # nested parameters stand beside what holds them
        if name not in FREE and name.partition("__")[0] != "training" and not hasattr(value, "get_params")
    }
    # networks that learn from patches have no parts for whole fields, and batches may be too large for these
    seen = "whole fields" if forecaster._patch(grid.shape) is None else "patches"
    return found | {"batch_size": f"one of {seen}"}


@dataclass(frozen=True)
class Earlier:
    """What an earlier fit learned, of which nothing is changed.

    Parameters
    ----------
    weights : Module
        The trained module.
    scaling : Scaling
        The units that the weights live in.
    climatology : DataFrame
    time_features : TimeFeatures or None
    n_windows : int
        Of the fit that began.
    trained_on : (label, label)
    calendar : Calendar
        By which the series that is given now goes on.
    share : float
        Of the steps of a training from scratch that are taken now.
    """

    weights: nn.Module
    scaling: Scaling
    climatology: pd.DataFrame
    time_features: TimeFeatures | None
    n_windows: int
    trained_on: tuple[Any, Any]
    calendar: Calendar
    share: float

    @classmethod
    def of(cls, forecaster: Any, series: Series, calendar: Calendar) -> Self | None:
        """Return what a fit on `series` goes on from; None where it is to begin from scratch.

        Parameters
        ----------
        forecaster : NeuralForecaster
        series : Series
        calendar : Calendar
            Of the series, where the earlier fit knew no times.

        Raises
        ------
        ValueError
            If the series is of another grid or time step, has other covariates, or a parameter on which the weights
            depend is another one.
        """
        warm = forecaster.training.warm_start
        if not warm or "module_" not in vars(forecaster):
            return None
        way_out = "training__warm_start=False fits from scratch"
        try:
            forecaster.grid_.check_same(series.grid)
            if series.has_times and forecaster.recent_.has_times:
                # not the calendar of fewer steps, which may follow simpler rules too
                calendar = forecaster.calendar_.settle(series.times)
            _check_covariates(series.drivers, forecaster.drivers_)
        except ValueError as error:
            goes_on = f"training__warm_start={warm!r} goes on with the weights of the earlier fit"
            raise ValueError(f"{goes_on}: {error}; {way_out}") from error
        now, then = structure(forecaster, series.grid), forecaster._trained_with
        for name in now:
            if now[name] != then.get(name):
                raise ValueError(
                    f"{name}={shown(forecaster.get_params()[name])} was {then.get(name, 'absent')} in the earlier fit, "
                    f"whose weights training__warm_start={warm!r} goes on with: set it back, or {way_out}"
                )
        return cls(
            forecaster.module_,
            forecaster.scaling_,
            forecaster.climatology_,
            forecaster.time_features_,
            forecaster.n_windows_,
            forecaster.trained_on_,
            calendar,
            SHARE if warm is True else float(warm),
        )

    def scale(self, series: Series) -> tuple[Scaling, Series, pd.DataFrame]:
        """Return the scaling as it is, the series in its units, and what once decided the climatology."""
        return *self.scaling.again(series, self.calendar), self.climatology

    def module(self) -> Any:
        """Return a copy of the trained module whose forecast is that of its networks alone, as while it was trained."""
        module: Any = copy.deepcopy(self.weights)
        if getattr(module, "combination", None) is not None:
            module.combination.reset()
            module.combination.earlier = None  # of the old series, and not in a saved file: an opened one goes on alike
        return module

    def plan(self, plan: TrainingPlan) -> TrainingPlan:
        """Return the plan of a training that goes on: fewer steps, at a lower rate, from weights that count."""
        return replace(plan, share=self.share, learning_rate=RATE * plan.learning_rate, from_trained=True)

    def unseen(self, held_out: np.ndarray, series: Series) -> np.ndarray:
        """Return the held-out forecasts (sample, last observed step) of steps that the linear model has not learned.

        All of them where times do not tell, or too few are left.
        """
        last = self.trained_on[1]
        if not series.has_times or not isinstance(series.times[0], type(last)):
            return held_out
        later = held_out[series.times[held_out[:, 1]] >= last]
        return later if len(later) >= LEAST_FORECASTS else held_out

    def identity(self) -> dict[str, str]:
        """Return what tells the training from one that begins elsewhere."""
        state = self.weights.state_dict()
        return {"the weights before": digest(*(np.asarray(t.detach().cpu()) for t in state.values()))}

    def period(self, series: Series) -> dict[str, Any]:
        """Return the first and last time of all that was trained on, where times tell."""
        first, last = self.trained_on
        # numbers of steps begin anew with each series
        if not series.has_times or not isinstance(series.times[0], type(first)):
            return {}
        return {"trained_on_": (min(first, series.times[0]), max(last, series.times[-1]))}


def _check_covariates(given: Drivers | None, known: Drivers | None) -> None:
    """Raise a ValueError where covariates are not as many, of the same kinds, as those of the earlier fit."""
    now, then = ({} if drivers is None else drivers.parts for drivers in (given, known))
    for name in (*then, *now):
        n, expected = (parts[name].grid.shape[0] if name in parts else 0 for parts in (now, then))
        if n != expected:
            what = "gridded" if name.endswith(FIELDS) else "area-wide"
            raise ValueError(f"{name.partition('/')[0]} holds {n} {what} series, that fit had {expected}")
