"""Which mean cycle a series bears: by held-out forecasts, where its length alone does not tell."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from gridcast.data.calendars import Calendar
from gridcast.data.grid import Series
from gridcast.data.statistics import fill_missing
from gridcast.data.windows import thinned
from gridcast.forecasters.inverse_model import BATCH, FOLDS, N_HINDCASTS, inverse_model
from gridcast.modules.hindcasts import Hindcasts
from gridcast.modules.layers import ERROR_FLOOR, Around
from gridcast.persistence.forms import check
from gridcast.training.data import Part, Runs, divide_part, part_of, parts_beside, pieces, read_fields
from gridcast.training.engine import seeded
from gridcast.training.spec import ModuleSpec
from gridcast.transformers.anomaly import Anomaly

SAFE = {"day": 60, "year": 10}  # periods from which a cycle is taken unasked: what it gets wrong is then small
# periods that the part must show from which a cycle is learned; nearly a year tells a harmonic of it
LEAST = {"day": 3, "year": 0.9}
FEW, MANY = 1, 3  # harmonics; the second is the default of `Anomaly`
MOST_FIELDS = 2**12  # that are read of the earlier part, in evenly spaced pieces
MOST_CELLS = 2**12  # of a field: of a larger one every second, third, ... row and column
N_LAGS = 2  # of the linear model: a wave goes on from two fields, and one model for each candidate must be cheap
MOST_ROWS = 2**13  # blocks from which it learns, a quarter of those behind the damping
# Of the error, which a richer cycle must take off. One that is learned of weather makes errors larger, so that little
# is needed against chance; a larger margin misses cycles that are there
MARGIN = 0.005


@dataclass
class ClimatologyChoice:
    """What ``climatology="auto"`` stands for: the mean, the day or the year, by hindcasts of a linear inverse model.

    Candidates go from the mean or the day, the safest, to the richest. Each quarter of the training part is forecast
    from the others, with each candidate and a linear inverse model of the anomalies from it. A richer one takes the
    place of a safer one where its error, the geometric mean over leads and quarters, is smaller by more than a margin.
    Nothing is read where the length decides: a series of many periods has the richest, one that is too short to compare
    anything has the safest.

    Parameters
    ----------
    windows : ndarray of int, (n_windows, 2)
        Sample and first step of each training window, which tell the training part.
    window, context : int
        Steps of a window, and observed steps that a forecast starts from.
    horizon : int
        Leads that are compared, fewer where a quarter is short.
    around : (bool, bool)
        Whether rows and columns go around.

    Attributes
    ----------
    scores : dict of str to float
        The squared error of each candidate in units of that of the safest; empty where nothing was compared.
    """

    windows: np.ndarray
    window: int
    context: int
    horizon: int
    around: Around
    scores: dict[str, float] = field(init=False, default_factory=dict)

    def choose(self, scaled: Series, calendar: Calendar | None) -> Anomaly:
        """Return the cycle of a scaled series; it is not learned yet."""
        samples, first, stop = part_of(self.windows, self.window)
        # the last quarter of a long series is long as well
        tried = FOLDS if len(samples) * (stop - first) <= MOST_FIELDS else FOLDS[:1]
        folds = [divide_part(self.windows, self.window, self.context, fold) for fold in tried]
        divided = [fold for fold in folds if fold is not None]
        n_shown = min((sum(map(len_of, self._beside(*fold))) for fold in divided), default=0)
        found = candidates(scaled, calendar, n_shown)
        if not divided or len(found) == 1:
            return found[0]
        thin = thinned_series(scaled)
        read = [self.read(thin, *fold) for fold in divided]
        comparisons = [comparison for comparison in read if comparison is not None]
        logs = np.array([[comparison.error(anomaly) for anomaly in found] for comparison in comparisons])
        logs = logs[np.isfinite(logs).all(axis=1)] if comparisons else np.empty((0, len(found)))
        if not len(logs):  # nothing that could be forecast was observed
            return found[0]
        logs = logs.mean(axis=0)
        self.scores = dict(zip(map(name_of, found), np.exp(logs - logs[0]).tolist(), strict=True))
        best = 0
        for i in range(1, len(found)):
            if logs[i] < logs[best] + math.log1p(-MARGIN):
                best = i
        return found[best]

    def read(self, series: Series, earlier: np.ndarray, later: Runs) -> Comparison | None:
        """Read the earlier part, and contexts with what came after them; None where too little came."""
        n_later = later.stop - int(later.begins[0, 1]) - self.context  # steps of each run that are forecast
        horizon = min(self.horizon, n_later // 2)
        if horizon < 1:
            return None
        n = self.context + horizon
        starts = np.array(
            [(sample, step) for sample, begin in later.begins for step in range(begin, later.stop - n + 1)]
        )
        starts = thinned(starts, N_HINDCASTS // 2)  # of each quarter
        runs, length = pieces(self._beside(earlier, later), self.window, MOST_FIELDS)
        return Comparison(
            series,
            Stretches(runs[:, 0], runs[:, 1], read_fields(series, runs, length)),
            Stretches(starts[:, 0], starts[:, 1], read_fields(series, starts, n)),
            horizon,
            self.around,
        )

    def _beside(self, earlier: np.ndarray, later: Runs) -> list[Part]:
        found = parts_beside(earlier, self.window, self.context, later)
        return [part for part in found if len_of(part) >= self.window]


@dataclass(frozen=True)
class Stretches:
    """Stretches of a series.

    Parameters
    ----------
    samples, first : ndarray of int, (n,)
        The sample and the first step of each.
    values : ndarray, (n, time, channel, y, x)
        Gaps as NaN.
    """

    samples: np.ndarray
    first: np.ndarray
    values: np.ndarray

    @property
    def steps(self) -> np.ndarray:
        """The step of each field, one stretch after the other."""
        return (self.first[:, None] + np.arange(self.values.shape[1])).ravel()

    def joined(self, series: Series) -> Series:
        """Return them one behind the other, as one sample with the labels of `series`."""
        values = self.values.reshape(1, -1, *self.values.shape[2:])
        return replace(series, values=values, times=series.times[self.steps])

    def anomalies(self, anomaly: Anomaly, times: pd.Index) -> np.ndarray:
        """Return the values without a cycle, (n, time, channel, y, x); `times` are those of the series."""
        return self.values - anomaly.climatology(times[self.steps]).reshape(self.values.shape)


@dataclass(frozen=True)
class Comparison:
    """What candidates are learned from, and what they forecast.

    Parameters
    ----------
    series : Series
        Whose labels count alone.
    earlier, later : Stretches
        The part from which is learned; contexts with what came after them.
    horizon : int
        Fields of each that came after the context.
    around : (bool, bool)
    """

    series: Series
    earlier: Stretches
    later: Stretches
    horizon: int
    around: Around

    @torch.no_grad()
    def error(self, anomaly: Anomaly) -> float:
        """Return the mean logarithm of the squared errors of all leads; NaN where nothing was observed."""
        anomaly, grid, context = copy.copy(anomaly), self.series.grid, self.later.values.shape[1] - self.horizon
        anomaly.learn(self.earlier.joined(self.series))
        anomaly.cycle_ = np.nan_to_num(anomaly.cycle_)  # cells never observed
        runs, later = (part.anomalies(anomaly, self.series.times) for part in (self.earlier, self.later))
        default = np.zeros(grid.shape, dtype=np.float32)
        with seeded(0):  # weights are drawn before they are fitted
            n_lags = min(N_LAGS, context, runs.shape[1] - 1)
            model = inverse_model(ModuleSpec(grid.shape, True, None, self.around, 1), n_lags, self.horizon)
        model.fit_mean(list(torch.from_numpy(fill_missing(runs, default)[0])), most_rows=MOST_ROWS)
        contexts, truth = fill_missing(later[:, :context], default)[0], torch.from_numpy(later[:, context:])
        parts = torch.from_numpy(contexts).split(BATCH)
        forecast = torch.cat([model.mean(part, self.horizon) for part in parts])
        # damped, as forecasts are
        hindcasts = Hindcasts(model.ratio.shape)
        hindcasts.add(forecast, truth)
        damped = hindcasts.damping()[:, None, None, None] * forecast
        by_lead = (damped - truth).square().double().nanmean((0, 2, 3, 4))
        return float(torch.log(by_lead + ERROR_FLOOR).nanmean())


def len_of(part: Part) -> int:
    """Return the steps of a part."""
    return part[2] - part[1]


def candidates(series: Series, calendar: Calendar | None, n_shown: int) -> list[Anomaly]:
    """Return the cycles that a series may have, the safest first; one alone where nothing is to be compared.

    Parameters
    ----------
    series : Series
    calendar : Calendar or None
    n_shown : int
        Steps of the part from which the candidates are learned.
    """
    found = [_resolved(1, MANY, series, calendar)]
    for period in ("day", "year"):
        try:
            steps = 0 if calendar is None or not series.has_times else calendar.steps_per(period)
        except ValueError:  # plain numbers, or steps longer than the period
            continue
        if steps < 2 or len(series) < steps:
            continue
        if len(series) * series.values.shape[0] >= SAFE[period] * steps:
            found = [_resolved(period, MANY, series, calendar)]
        elif n_shown >= LEAST[period] * steps:
            few, many = (_resolved(period, n, series, calendar) for n in (FEW, MANY))
            # a day of two steps has one form
            found += [few, many] if few.n_weights < many.n_weights else [many]
    return found


def _resolved(period: str | int, n_harmonics: int, series: Series, calendar: Calendar | None) -> Anomaly:
    anomaly = Anomaly(period, n_harmonics)
    anomaly.resolve(series, calendar)
    return anomaly


def name_of(anomaly: Anomaly | None) -> str:
    """Return what a climatology is called in tables."""
    if anomaly is None:
        return "none"
    if isinstance(anomaly.period_, int):
        return "mean" if anomaly.period_ == 1 else f"{anomaly.period_} steps"
    return f"{anomaly.period_}, {anomaly.n_harmonics} harmonic{'s' * (anomaly.n_harmonics != 1)}"


def climatology_table(scores: dict[str, float], chosen: Anomaly | None) -> pd.DataFrame:
    """Return what was compared, and what is in use, one row each."""
    name = name_of(chosen)
    errors = scores if name in scores else {**scores, name: math.nan}
    index = pd.Index(errors, name="climatology")
    return pd.DataFrame({"chosen": index == name, "error": list(errors.values())}, index=index)


def scores_of(table: pd.DataFrame) -> dict[str, float]:
    """Return the scores that a table was made of."""
    return {str(name): float(error) for name, error in table["error"].dropna().items()}


def check_scores(scores: Any) -> dict[str, float]:
    """Return the scores of a file; raise a ValueError unless they are numbers by name."""
    for name, error in check(scores, dict, "learned/compared").items():
        check(error, float, f"learned/compared/{name}")
    return scores


def thinned_series(series: Series) -> Series:
    """Return a series with at most about `MOST_CELLS` values a step, lazy if it was."""
    rows, columns = thinning(series.grid.shape)
    values = series.values[..., ::rows, ::columns]
    return replace(series, values=values, grid=replace(series.grid, shape=values.shape[2:], coords={}), n_observed=None)


def thinning(shape: tuple[int, int, int]) -> tuple[int, int]:
    """Return how many rows and columns a thinned series goes on from one to the next."""
    channels, rows, columns = shape
    share = channels * rows * columns / MOST_CELLS
    every = min(math.ceil(math.sqrt(share)), columns)
    # as many more rows where there are few columns, and the other way round
    row = max(min(math.ceil(share / every), rows), 1)
    return row, max(math.ceil(share / row), 1)
