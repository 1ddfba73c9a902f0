"""From physical units to what the networks see, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import clone

from gridcast.data.calendars import Calendar
from gridcast.data.grid import Series, unwrap, wrap
from gridcast.data.statistics import (
    FieldStatistics,
    FieldSums,
    check_precision,
    check_resolved,
    field_sums,
    fill_missing,
)
from gridcast.data.warn import warn
from gridcast.data.windows import near
from gridcast.transformers.anomaly import Anomaly
from gridcast.transformers.channels import ChannelTransformer
from gridcast.transformers.log import LogTransformer
from gridcast.transformers.minmax import MinMaxTransformer
from gridcast.transformers.response import Nowcast, Response

STEP = 1e-4  # of scaled values, over which a slope is told
ROUNDED = 2e-6  # of values between -1 and 1
OURS = (MinMaxTransformer, LogTransformer, Anomaly)  # exact types: a subclass may change what `transform` does
CYCLE_BYTES = 2**30  # an hourly cycle of a year fits for 30 000 cells


@dataclass(frozen=True)
class Scaling:
    """The fitted transformer, then anomalies from the climatology of the scaled training series.

    Parameters
    ----------
    transformer : transformer
        Fitted on the training series.
    climatology : Anomaly or None
        Fitted on the scaled series.
    statistics : FieldStatistics
        Of the scaled series, without the response where there is one.
    calendar : Calendar or None
    response : Response or None
        What covariates do to the anomalies.
    nowcast : Nowcast or None
        What covariates of the past say of the next step.
    compared : dict of str to float
        The errors that decided about both.
    """

    transformer: Any
    climatology: Anomaly | None
    statistics: FieldStatistics
    calendar: Calendar | None
    response: Response | None = None
    nowcast: Nowcast | None = None
    compared: dict[str, float] = field(default_factory=dict)

    @classmethod
    def fit(
        cls,
        transformer: Any,
        climatology: Any,
        series: Series,
        calendar: Calendar | None,
        choose: Callable[[Series, Calendar | None], Anomaly] | None = None,
    ) -> tuple[Self, Series]:
        """Fit on a series; return also the scaled series, lazy if `series` is, with what is observed in it.

        `choose` finds the cycle that ``climatology="auto"`` stands for, of the scaled series; without it that is what
        `Anomaly` takes.
        """
        # a clone, as scikit-learn asks: parameters of an estimator are never fitted
        transformer = clone(transformer)
        if type(transformer) in OURS:
            transformer.fit_series(series, calendar)
        else:
            check_resolved(series.values)
            transformer.fit(wrap(series.values, series.times, series))
        if isinstance(transformer, ChannelTransformer):
            check_precision(transformer.data_min_, transformer.data_max_, series.values.dtype)
        scaled = replace(series, values=_transformed(transformer, series.values, series.times, series))
        if climatology is None:
            sums = field_sums(scaled.values)
            return cls(transformer, None, sums.statistics(), calendar), replace(scaled, n_observed=sums.n_observed)
        if choose is not None and climatology == "auto":
            anomaly = choose(scaled, calendar)
        else:
            anomaly = _resolve_climatology(climatology, scaled, calendar)
        anomaly, sums = _affordable(anomaly, climatology, scaled, calendar), FieldSums(scaled.values.shape)
        anomaly.learn(scaled, sums.add)  # one pass for both
        anomaly.cycle_ = np.nan_to_num(anomaly.cycle_)  # cells never observed
        return cls(transformer, anomaly, sums.statistics(), calendar), replace(scaled, n_observed=sums.n_observed)

    def again(self, series: Series, calendar: Calendar | None) -> tuple[Self, Series]:
        """Return the scaling as it is, for another series of the grid, and that series in its units.

        Where the scaling has a response, `series` has drivers, and the scaled one is without the response.
        """
        scaled = replace(series, values=_transformed(self.transformer, series.values, series.times, series))
        if self.response is not None:
            scaled = self.response.subtracted(scaled)
        sums = field_sums(scaled.values)
        statistics = replace(self.statistics, missing=sums.statistics().missing)
        return replace(self, statistics=statistics, calendar=calendar), replace(scaled, n_observed=sums.n_observed)

    def responding(self, response: Response, scaled: Series) -> tuple[Scaling, Series]:
        """Return the scaling with a response, and a scaled series with drivers without it."""
        rest = response.subtracted(scaled)
        sums = field_sums(rest.values)
        # what is left of a series with natural bounds has none
        unbounded = np.full_like(response.low, np.inf)
        statistics = replace(sums.statistics(), low=-unbounded, high=unbounded)
        return replace(self, statistics=statistics, response=response), replace(rest, n_observed=sums.n_observed)

    def refitted(self, scaled: Series) -> Scaling:
        """Return the scaling with the climatology of another scaled series of the grid; the same if it is too short."""
        if self.climatology is None:
            return self
        # the period in use: "auto" may find another for a shorter series
        anomaly = Anomaly(self.climatology.period_, self.climatology.n_harmonics)
        try:
            anomaly.resolve(scaled, self.calendar)
        except ValueError:
            return self
        anomaly.learn(scaled)
        anomaly.cycle_ = np.nan_to_num(anomaly.cycle_)  # cells never observed
        return replace(self, climatology=anomaly)

    def counted(self, scaled: Series) -> np.ndarray | None:
        """Return how many values of each step of the series were seen; None if the user's transformer may fill gaps."""
        return scaled.n_observed if type(self.transformer) in OURS else None

    @property
    def default(self) -> np.ndarray:
        """What stands for a cell before its first observation, (channel, y, x)."""
        # anomalies have mean zero
        return self.statistics.mean if self.climatology is None else np.zeros_like(self.statistics.mean)

    @property
    def natural_bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """The bounds of the scaled series, each (channel,), infinite where there are none."""
        # what a response leaves of a series has none
        known = self.statistics if self.response is None else self.response
        return known.low, known.high

    @property
    def n_phases(self) -> int:
        """Steps of the longest cycle, 1 where there is none."""
        return max((c.n_phases_ for c in (self.transformer, self.climatology) if isinstance(c, Anomaly)), default=1)

    def subtract(self, values: np.ndarray, times: pd.Index) -> np.ndarray:
        """Return scaled `values` (..., time, channel, y, x) as anomalies."""
        return values if self.climatology is None else values - self.climatology.climatology(times)

    def anomalies(self, values: np.ndarray, times: pd.Index, series: Series) -> tuple[np.ndarray, np.ndarray]:
        """Return physical `values` (sample, time, channel, y, x) as anomalies, filled, and their mask."""
        scaled = np.asarray(_transformed(self.transformer, values, times, series), dtype=np.float32)
        scaled = self.subtract(scaled, times)
        if self.response is not None:
            scaled = scaled - self.response.at(series.drivers, times)
        return fill_missing(scaled, self.default)

    def scaled_errors(self, values: np.ndarray, errors: np.ndarray, times: pd.Index, series: Series) -> np.ndarray:
        """Return standard deviations of observed `values`, (sample, time, channel, y, x), in scaled units."""
        finite = np.isfinite(errors)
        known = np.where(finite, errors, np.float32(0))
        # of a curve its slope around the value
        above, below = (
            np.asarray(_transformed(self.transformer, values + sign * known, times, series)) for sign in (1, -1)
        )
        return np.where(finite, np.nan_to_num(np.abs(above - below) / 2), np.inf).astype(np.float32)

    def slope(self, values: np.ndarray, times: pd.Index, series: Series) -> np.ndarray:
        """Return by how much scaled values change with physical `values` (sample, time, channel, y, x)."""
        # of the way back, from scaled values: these are about one, whatever the units
        scaled = np.asarray(_transformed(self.transformer, values.astype(np.float64), times, series), dtype=np.float64)
        above, below = (_restored(self.transformer, (scaled + s)[None], times, series)[0] for s in (STEP, -STEP))
        return 2 * STEP / (above.astype(np.float64) - below.astype(np.float64))

    def linear(self, times: pd.Index, series: Series) -> tuple[np.ndarray, np.ndarray]:
        """Return the physical values of anomalies of zero, and by how much they change with anomalies.

        Of a series of one sample; both are (time, channel, y, x).

        Raises
        ------
        ValueError
            If the transformer is not linear.
        """
        zero = self._zero(times, series)
        base, one, two = (
            _restored(self.transformer, (zero + v)[None, None], times, series)[0, 0].astype(np.float64)
            for v in (0.0, 1.0, 2.0)
        )
        if not np.allclose(two - one, one - base, rtol=1e-2, equal_nan=True):
            raise ValueError(
                f"given: an AreaMean needs a transformer that is linear, not {self.transformer!r}: fit with "
                "MinMaxTransformer(), or give the cells of the region"
            )
        return np.nan_to_num(base), np.nan_to_num(one - base)

    def limits(self, times: pd.Index, series: Series) -> tuple[np.ndarray, np.ndarray]:
        """Return the bounds of anomalies of one sample that `restore` keeps to, each (time, channel, y, x)."""
        low, high = self.natural_bounds
        zero = self._zero(times, series)
        return low[:, None, None] - zero, high[:, None, None] - zero

    def _zero(self, times: pd.Index, series: Series) -> np.ndarray:
        """Return the scaled values of anomalies of zero of one sample, (time, channel, y, x)."""
        zero = np.zeros((len(times), *series.grid.shape), dtype=np.float32)
        if self.climatology is not None:
            zero = zero + self.climatology.climatology(times).astype(np.float32)
        if self.response is not None:
            zero = zero + self.response.at(series.drivers, times)[0]
        return zero

    def contexts(
        self, history: Series, batches: Sequence[np.ndarray], n: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield, batch by batch of ascending origins, the `n` steps up to each of them and their masks.

        Both are (sample * origin, n, channel, y, x). A step that several contexts hold is read once.
        """
        # apart where origins are: what lies between is not read
        parts = [near(origins, n) for origins in batches]
        stretches = [(int(some[0]) - n + 1, int(some[-1]) + 1) for groups in parts for some in groups]
        blocks = zip(stretches, history.load_in_order(stretches), strict=True)
        for groups in parts:
            contexts = []
            for some, ((first, stop), block) in zip(groups, blocks, strict=False):
                times = history.times[first:stop]
                values = np.asarray(_transformed(self.transformer, block, times, history), dtype=np.float32)
                values = self.subtract(values, times)
                if self.response is not None:
                    values = values - self.response.at(history.drivers, times)
                # (sample, origin, n, channel, y, x)
                contexts.append(np.stack([values[:, o - first - n + 1 : o - first + 1] for o in some], axis=1))
            joined = np.concatenate(contexts, axis=1) if len(contexts) > 1 else contexts[0]
            yield fill_missing(joined.reshape(-1, n, *history.grid.shape), self.default)

    def bounds(self, leads: list[pd.Index], drivers: Any = None) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the natural bounds of the anomalies at times of each lead, or None where there are none.

        Both are (time, lead, channel, y, x), infinite in channels without. None too where each sample has others, of
        `drivers` of its own.
        """
        limits = tuple(bound[:, None, None] for bound in self.natural_bounds)
        if not any(np.isfinite(limit).any() for limit in limits):
            return None
        effects = [] if self.response is None or drivers is None else [self.response.at(drivers, t) for t in leads]
        if self.response is not None and (not effects or len(effects[0]) > 1):
            return None
        shape = len(leads[0]), len(leads), *self.statistics.mean.shape
        low, high = (np.broadcast_to(limit, shape).astype(np.float32) for limit in limits)
        # the climatology is taken away from a bound too
        if self.climatology is not None:
            for lead, times in enumerate(leads):
                cycle = self.climatology.climatology(times)
                low[:, lead] -= cycle
                high[:, lead] -= cycle
        for lead, effect in enumerate(effects):
            low[:, lead] -= effect[0]
            high[:, lead] -= effect[0]
        return low, high

    def restore(self, values: np.ndarray, history: Series, leads: list[pd.Index], bounded: bool) -> np.ndarray:
        """Return `values` (member, sample, origin, lead, channel, y, x) in physical units, in place.

        `leads` holds the times of all origins for each lead. Cells that were never observed become NaN; with `bounded`
        values stay within the bounds of the training series.
        """
        # such cells, as land in a field of the sea, are networks' fancy
        values[..., ~self.statistics.observed] = np.nan
        # lead by lead: a copy of all leads would double the memory
        for lead, times in enumerate(leads):
            if self.climatology is not None:
                values[:, :, :, lead] += self.climatology.climatology(times)
            if self.response is not None:
                values[:, :, :, lead] += self.response.at(history.drivers, times)
            if bounded:
                low, high = (bound[:, None, None] for bound in self.natural_bounds)
                part = np.clip(values[:, :, :, lead], low, high, out=values[:, :, :, lead])
                # the climatology, taken away and added again, has rounded what was at a bound
                for limit in (low, high):
                    np.copyto(part, limit, where=np.abs(part - limit) < ROUNDED)
            values[:, :, :, lead] = _restored(self.transformer, values[:, :, :, lead], times, history)
        return values


def _transformed(transformer: Any, values: Any, times: pd.Index, series: Series) -> Any:
    """Return `values` (sample, time, channel, y, x) of the grid of `series`, transformed."""
    if type(transformer) in OURS:
        return transformer.transform_values(values, times)
    # one of the user's, that knows labels only
    return unwrap(transformer.transform(wrap(values, times, series)))[0].values


def _restored(transformer: Any, values: np.ndarray, times: pd.Index, series: Series) -> np.ndarray:
    """Return `values` (member, sample, time, channel, y, x) of the grid of `series`, transformed back."""
    if type(transformer) in OURS:
        return transformer.inverse_transform_values(values, times)
    member = {"member": np.arange(len(values))}
    return transformer.inverse_transform(wrap(values, times, series, member)).values.reshape(values.shape)


def _resolve_climatology(period: Any, scaled: Series, calendar: Calendar | None) -> Anomaly:
    """Return an `Anomaly` that knows its period, but not yet its cycle."""
    anomaly = Anomaly(1 if period == "mean" else period)  # a cycle of one step is the mean
    try:
        anomaly.resolve(scaled, calendar)
    except ValueError as error:
        raise ValueError(f'climatology={period!r}: {error}; or use "auto", "mean" or None') from error
    return anomaly


def _affordable(anomaly: Anomaly, period: Any, scaled: Series, calendar: Calendar | None) -> Anomaly:
    """Return the cycle, or the mean of each cell where it would be too large."""
    n_bytes = 4 * anomaly.n_weights * int(np.prod(scaled.grid.shape))  # float32
    if n_bytes > CYCLE_BYTES:
        warn(
            f"climatology={period!r} would keep {n_bytes / 2**30:.1f} GiB for its {anomaly.n_phases_} steps of "
            f"{scaled.grid.shape} cells: the mean of each cell is used instead",
        )
        anomaly = Anomaly(1)
        anomaly.resolve(scaled, calendar)
    return anomaly
