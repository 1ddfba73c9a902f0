"""A forecast as it was asked for: both call forms, both modes, the size and the history that it needs."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import pandas as pd

from gridcast.data.grid import Series, extend
from gridcast.forecasters.driven import UNDRIVEN, DrivenForecaster, Driving
from gridcast.forecasters.fitted import check_fitted
from gridcast.forecasters.horizon import check_size, is_horizon, resolve_horizon

FORECAST_BYTES = 256 * 2**20  # of forecasts that `score` holds at a time


class LabelledForecaster(DrivenForecaster):
    """Resolves what a user asks of a forecast to origins in a history, which a subclass forecasts from."""

    @abstractmethod
    def _forecast(self, history: Series, origins: np.ndarray, horizon: int, n_samples: int | None) -> np.ndarray:
        """Forecast 1 to `horizon` steps after each of the steps `origins` of `history`.

        Returns (member, sample, origin, lead, channel, y, x) in physical units; one member, the mean, where `n_samples`
        is None. Cells that the training series never observed are NaN.
        """

    @abstractmethod
    def _given(self, values: np.ndarray, times: pd.Index, history: Series, given: Any, mode: str) -> Any:
        """Return members (member, sample, time, channel, y, x) that agree with what is given of the future."""

    def _forecast_labelled(
        self,
        X: Any,
        horizon: Any,
        mode: str,
        n_samples: int | None,
        driving: Driving = UNDRIVEN,
        observation_error: Any = None,
    ) -> tuple[np.ndarray, pd.Index, Series]:
        """Resolve both call forms and modes; return (member, sample, time, channel, y, x), times and the history."""
        check_fitted(self)
        if is_horizon(X):  # predict(horizon)
            if not np.array_equal(horizon, 1):
                raise TypeError(
                    f"horizon is given twice, {X!r} and {horizon!r}: call predict({horizon!r}) or predict(X, {X!r})"
                )
            X, horizon = None, X
        horizon = resolve_horizon(horizon, self.calendar_)
        check_mode(mode)
        history = self.recent_ if X is None else self._check_history(X)
        n_cells = history.values.shape[0] * int(np.prod(self.grid_.shape))
        check_size(4 * horizon * n_cells * (n_samples or 1), horizon, n_samples)  # float32
        history = self._with_errors(history, observation_error)
        # in one-step mode the first forecast starts horizon - 1 steps before the end
        n_needed = self._n_context() + (horizon - 1 if mode == "one_step" else 0)
        if len(history) < n_needed:
            kept = "the history kept from training" if X is None else "X"
            way_out = "pass a longer one, predict(X, horizon)" if X is None else "give a longer one"
            raise ValueError(
                f"{kept} has {len(history)} steps, a {mode} forecast with horizon={horizon} needs at least {n_needed} "
                f"steps of history: {way_out}{self._or_less_context()}"
            )
        last = len(history) - 1
        begin = self._times_after(history, 1)[0] if X is None else None
        history = self._drive(
            history,
            driving,
            (len(history) - n_needed, last),
            1 if mode == "one_step" else horizon,
            begin if not history.has_times else None,
        )
        if mode == "multi_step":
            values = self._forecast(history, np.array([last]), horizon, n_samples)[:, :, 0]
            return values, self._times_after(history, horizon), history
        values = self._forecast(history, np.arange(last - horizon + 1, last + 1), 1, n_samples)[:, :, :, 0]
        return values, extend(history.times[last - horizon + 2 :], self._times_after(history, 1)), history

    def _blocks(self, origins: np.ndarray, history: Series, horizon: int) -> list[np.ndarray]:
        """Cut origins into runs whose forecasts fit into memory."""
        bytes_each = 4 * horizon * history.values.shape[0] * int(np.prod(history.grid.shape))  # float32
        n = max(1, FORECAST_BYTES // bytes_each)
        return [origins[i : i + n] for i in range(0, len(origins), n)]


def check_mode(mode: str) -> None:
    """Raise a ValueError for a mode that does not exist."""
    if mode not in ("multi_step", "one_step"):
        raise ValueError(f'mode={mode!r} is unknown: use "multi_step" or "one_step"')
