"""The forecasts that every model is held against: persistence, climatology, last season."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd

from gridcast.data.calendars import Calendar
from gridcast.data.grid import Series, extend, load_carried
from gridcast.data.parameters import anything, choice, parameter
from gridcast.data.random import generator
from gridcast.data.statistics import field_sums, fill_missing
from gridcast.forecasters.base import BaseForecaster
from gridcast.forecasters.registry import forecaster
from gridcast.persistence.forms import check, check_array, take
from gridcast.transformers.anomaly import Anomaly

ARCHIVE_BYTES = 64 * 2**20  # what a fitted forecaster keeps, and a saved file holds
MOST_TRIES = 20  # other origins whose errors stand for gaps
GAP = 10  # steps that persistence looks back at once for the last observation of a cell, and for past errors


@forecaster
class NaiveForecaster(BaseForecaster):
    """Persistence, climatology or the same step of the last season, with an ensemble of their past errors.

    A member of the ensemble is the forecast plus the errors that the same forecast made over the same leads from a
    random earlier origin: whole fields, so that errors keep their patterns in space and their growth with lead time.

    Attributes
    ----------
    cycle_ : Anomaly
        The fitted climatology (strategies ``"climatology"`` and ``"seasonal"``).
    archive_ : ndarray, shape (sample, time, channel, y, x)
        The end of the training series, whose forecast errors make the ensemble.
    mean_ : ndarray, shape (channel, y, x)
        Training mean, which stands in for a cell without a recent observation; NaN where it never had one.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.arange(24.0).reshape(6, 2, 2)
    >>> NaiveForecaster().fit(x).predict(2).values[:, 0, 0].tolist()
    [20.0, 20.0]
    """

    strategy: Literal["persistence", "climatology", "seasonal"] = parameter(
        choice("persistence", "climatology", "seasonal"),
        '{"persistence", "climatology", "seasonal"}',
        "The last observed value of each cell; the mean cycle of each cell at the forecast's time "
        "(`gridcast.Anomaly`); the value one period earlier.",
        kw_only=False,
        default="persistence",
    )
    period: str | int = parameter(
        anything,
        '{"auto", "year", "day"} or int',
        "Period of the climatology and of the season, see `gridcast.Anomaly`; persistence has none.",
        default="auto",
    )
    n_harmonics: int | None = parameter(
        anything,
        "int or None",
        "Smoothing of the climatology, see `gridcast.Anomaly`; None keeps the raw mean of each step of the period.",
        default=3,
    )

    _reads_often = False

    def _fit(self, series: Series, calendar: Calendar) -> dict[str, Any]:
        self.check_parameters()
        learned: dict[str, Any] = {}
        if self.strategy != "persistence":
            # of the physical values: nothing is scaled here
            learned["cycle_"] = Anomaly(self.period, self.n_harmonics).fit_series(series, calendar)
        if self.strategy == "seasonal" and len(series) <= learned["cycle_"].n_phases_:
            raise ValueError(
                f"X has {len(series)} steps, period={self.period!r} needs more than {learned['cycle_'].n_phases_}"
            )
        sums = field_sums(series.values)
        statistics = sums.statistics()
        if not statistics.observed.any((1, 2)).all():
            raise ValueError("X holds a channel without any observed value (all NaN): drop it or check the fill value")
        n_samples, n_times = series.values.shape[:2]
        frame_bytes = 4 * int(np.prod(series.grid.shape))
        # at least 64 steps even of large grids, or there would be too few errors
        steps = int(np.clip(ARCHIVE_BYTES // frame_bytes, min(64, n_times), n_times))
        samples = int(np.clip(ARCHIVE_BYTES // (frame_bytes * steps), 1, n_samples))
        part = Series(series.values[:samples], series.times, series.grid, n_observed=sums.n_observed[:samples])
        archive = part.tail(steps)  # first samples, last steps
        return learned | {
            "mean_": np.where(statistics.observed, statistics.mean, np.float32(np.nan)),
            "archive_": archive.values,
            "archive_times_": archive.times,
            "missing_share_": statistics.missing,
            "n_observed": sums.n_observed,
        }

    def _learned(self) -> dict[str, Any]:
        names = ("mean", "archive", "archive_times", *(("cycle",) if self.strategy != "persistence" else ()))
        return {name: getattr(self, f"{name}_") for name in names}

    def _relearn(self, learned: dict[str, Any]) -> dict[str, Any]:
        self.check_parameters()
        mean, archive, times = take(learned, "mean", "archive", "archive_times")
        n_times = len(check(times, pd.Index, "learned/archive_times"))
        shape = check_array(mean, self.grid_.shape, "learned/mean").shape
        if not check_array(archive, (None, n_times, *shape), "learned/archive").size:
            raise ValueError(f"learned/archive of the shape {archive.shape} holds nothing")
        self.calendar_.check(times)
        learned_again = {"mean_": mean, "archive_": archive, "archive_times_": times}
        if self.strategy != "persistence":
            (cycle,) = take(learned, "cycle")
            check_array(check(cycle, Anomaly, "learned/cycle").cycle_, (None, *shape), "learned/cycle/cycle_")
            learned_again["cycle_"] = cycle
        return learned_again

    def _n_context(self) -> int:
        return self.cycle_.n_phases_ if self.strategy == "seasonal" else 1

    def _n_phases(self) -> int:
        # a season ago is told by the history itself
        return self.cycle_.n_phases_ if self.strategy == "climatology" else 1

    def _forecast(self, history: Series, origins: np.ndarray, horizon: int, n_samples: int | None) -> np.ndarray:
        # no further back than is needed: the history may be lazy and long
        first = max(int(origins[0]) - max(self._n_context(), GAP) + 1, 0)
        past = load_carried(history, first, int(origins[-1]) + 1, self._needed_cells(vars(self)))
        times = extend(history.times, self._times_after(history, horizon))[first:]
        mean = self._mean(past, times, origins - first, horizon)[None]
        mean[..., np.isnan(self.mean_)] = np.nan
        if n_samples is None:
            return mean
        rng = generator(self.random_state)
        # member by member: (member, sample, origin, lead, channel, y, x)
        return np.concatenate([mean + self._errors(rng, mean.shape[2], horizon) for _ in range(n_samples)])

    def _needed_cells(self, learned: Mapping[str, Any]) -> np.ndarray | None:
        # cells that were never observed have no last value
        return ~np.isnan(learned["mean_"]) if self.strategy == "persistence" else None

    def _mean(self, past: np.ndarray, times: Any, origins: np.ndarray, horizon: int) -> np.ndarray:
        """Forecast from the steps `origins` of `past`, (sample, time, ...) -> (sample, origin, lead, ...)."""
        leads = origins[:, None] + 1 + np.arange(horizon)  # (origin, lead)
        if self.strategy == "climatology":
            cycle = self.cycle_.climatology(times[leads.ravel()]).reshape(*leads.shape, *past.shape[2:])
            return np.repeat(cycle[None], len(past), axis=0).astype(np.float32)
        filled, _ = fill_missing(past, self.mean_)
        if self.strategy == "persistence":
            return np.repeat(filled[:, origins, None], horizon, axis=2)
        period = self.cycle_.n_phases_
        seasons = -(-np.arange(1, horizon + 1) // period)  # whole periods back to the last one observed
        return filled[:, leads - seasons * period]

    def _errors(self, rng: np.random.Generator, n_origins: int, horizon: int) -> np.ndarray:
        """Return past forecast errors of random origins, (1, 1, origin, lead, channel, y, x)."""
        n_context, n_times = self._n_context(), self.archive_.shape[1]
        n_candidates = n_times - horizon - n_context + 1  # origins with a context before and the whole horizon behind
        if n_candidates < 1:
            raise ValueError(
                f"horizon={horizon!r} is too long for an ensemble of past errors: {n_times} steps are kept from "
                f"training, which allows a horizon of at most {n_times - n_context}; predict has no such limit"
            )
        ever = np.isfinite(self.archive_).any((0, 1))
        errors = []
        for _ in range(n_origins):
            error = self._error(rng, n_candidates, horizon)
            for _ in range(MOST_TRIES):
                if not np.isnan(error[:, ever]).any():
                    break
                # a gap is no error: that of another origin stands for it
                error = np.where(np.isnan(error), self._error(rng, n_candidates, horizon), error)
            errors.append(np.nan_to_num(error))
        return np.stack(errors)[None, None]

    def _error(self, rng: np.random.Generator, n_candidates: int, horizon: int) -> np.ndarray:
        """Return the error of a forecast from a random origin, (lead, channel, y, x), NaN in gaps."""
        n_context = self._n_context()
        sample = int(rng.integers(len(self.archive_)))
        origin = int(rng.integers(n_candidates)) + n_context - 1
        first = max(origin - max(n_context, GAP) + 1, 0)
        path = self.archive_[sample : sample + 1, first : origin + 1 + horizon]
        known = path[:, : origin + 1 - first]
        times = self.archive_times_[first : origin + 1 + horizon]
        mean = self._mean(known, times, np.array([origin - first]), horizon)[0, 0]
        return path[0, -horizon:] - mean
