"""How a time axis steps: equal steps, calendar months, or equal steps that skip 29 February."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypeAlias

import cftime
import numpy as np
import pandas as pd
import xarray as xr

__all__ = ["Calendar", "Kind", "Period", "Time"]

Kind: TypeAlias = Literal["equal", "months", "noleap"]
Period: TypeAlias = Literal["year", "day"]
Time: TypeAlias = Any  # pd.Timestamp, np.datetime64, datetime, cftime.datetime or a number

# Times are counted in whole microseconds, the resolution of cftime.
_SECOND = 1_000_000
DAY = 86_400 * _SECOND
_UNITS = {"day": DAY, "hour": 3600 * _SECOND, "minute": 60 * _SECOND, "second": _SECOND, "microsecond": 1}
_MONTH_LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)  # of a year without a leap day
_ALL_LEAP = ("all_leap", "366_day")
MIXED_LEAP = ("datetime64", "standard", "gregorian", "proleptic_gregorian", "julian")  # some years have 29 February

# Hours stored as fractions of a day decode to a microsecond beside the hour.
_RELATIVE_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Calendar:
    """The rule by which one time step follows another.

    All fields are plain values, so ``Calendar(**dataclasses.asdict(calendar))`` is the same calendar.

    Parameters
    ----------
    kind : {"equal", "months", "noleap"}
        Equal steps; a whole number of calendar months; or equal steps counted without 29 February, as CMAP's
        73 pentads a year and daily data without leap days are.
    step : int or float
        Microseconds for times, months for ``kind="months"``, the axis's own unit for numbers.
    axis : str
        "datetime64", "number", or the name of a cftime calendar.
    anchor : float
        Only for months: where in its month a time lies, as a share of the month's length (0 its start,
        0.5 its middle, 1 its end), to which `offset` is added.
    offset : int
        Only for months: microseconds from the anchor. A day that a month lacks becomes its last day.

    Examples
    --------
    >>> import pandas as pd
    >>> calendar = Calendar.infer(pd.DatetimeIndex(["1980-02-20", "1980-02-25", "1980-03-02"]))
    >>> calendar.kind, str(calendar)
    ('noleap', '5 days')
    >>> calendar.after(pd.Timestamp("1984-02-25"), 1)[0]
    Timestamp('1984-03-02 00:00:00')
    """

    kind: Kind
    step: int | float
    axis: str
    anchor: float = 0.0
    offset: int = 0

    @classmethod
    def infer(cls, times: pd.Index) -> Calendar:
        """Find the rule that the commonest step of `times` follows, and check every step against it.

        Where several rules fit, months come first, then CMAP's pentads, then equal steps, then equal steps
        without 29 February. So a series without leap days is known as such only if it passes one.

        Parameters
        ----------
        times : DatetimeIndex, CFTimeIndex or numeric Index
            At least two times.

        Raises
        ------
        ValueError
            If there are fewer than two times, one is missing, or no rule holds for all; the message names the
            first step that breaks it.
        TypeError
            If `times` are neither times nor numbers.
        """
        parts = take_apart(times)
        if len(times) < 2:
            raise ValueError(f"X: got {len(times)} time step(s), but at least 2 show how time steps.")
        rules = [(rule, rule._holds(parts)) for rule in _candidates(parts)]
        none = (None, np.zeros(len(times) - 1, bool))
        # Of equals, max takes the first.
        rule, holds = max(rules, key=lambda pair: pair[1].sum(), default=none)
        if rule is None or 2 * holds.sum() < len(holds):  # a rule that most steps break is none
            backwards = np.flatnonzero(np.diff(parts.count) <= 0)  # an unsorted axis is the likelier fault
            first = backwards[0] if len(backwards) else np.argmin(holds)
            raise ValueError(_complaint(times, int(first) + 1, rule, irregular=True))
        if not holds.all():
            raise ValueError(_complaint(times, int(np.argmin(holds)) + 1, rule))
        return rule

    def check(self, times: pd.Index) -> None:
        """Check that each of `times` follows the one before.

        Raises
        ------
        ValueError
            If one does not, or if `times` is another kind of axis; the message names the first such step.
        """
        holds = self._holds(self._own(times))
        if not holds.all():
            raise ValueError(_complaint(times, int(np.argmin(holds)) + 1, self))

    def after(self, last: Time, n: int) -> pd.Index:
        """Return the `n` times after `last`, in an index of the same type and resolution."""
        if n < 1:
            raise ValueError(f"n={n}: must be at least 1.")
        self._own(as_index([last]))
        return self._next(last, n)

    def follows(self, last: Time, first: Time) -> bool:
        """Return whether `first` is the step right after `last`."""
        return bool(self._holds(self._own(as_index([last, first])))[0])

    def steps_between(self, origin: Time, times: pd.Index) -> np.ndarray:
        """Return the number of steps from `origin` to each of `times`, int of shape (n_times,)."""
        parts, start = self._own(times), self._own(as_index([origin]))
        if self.kind == "months":
            return (parts.months - start.months) // int(self.step)
        count, first = (parts.noleap, start.noleap) if self.kind == "noleap" else (parts.count, start.count)
        return np.rint((count - first) / self.step).astype(np.int64)

    def steps_per(self, period: Period) -> int:
        """Return the number of steps in a year (without 29 February) or a day, to the nearest whole number.

        Raises
        ------
        ValueError
            If a step is longer than the period, or the axis is a number, which has neither years nor days.
        """
        if self.axis == "number":
            raise ValueError(f"period={period!r}: a numeric time axis has no {period}. Give a number of steps.")
        if period not in ("year", "day"):
            raise ValueError(f"period={period!r}: must be 'year' or 'day'.")
        if self.kind == "months":
            steps = 12 / self.step if period == "year" else 0.0
        else:
            steps = (month_firsts(self.axis)[-1] if period == "year" else 1) * DAY / self.step
        if steps < 1 - _RELATIVE_TOLERANCE:
            raise ValueError(f"period={period!r}: a step of {self} is longer than a {period}.")
        return round(float(steps))

    def phase(self, times: pd.Index, period: Period) -> np.ndarray:
        """Return the position of each of `times` within its year or day, 0 to ``steps_per(period) - 1``.

        29 February has the phases of 28 February, so that every year has the same ones.

        Returns
        -------
        ndarray of int, shape (n_times,)

        Raises
        ------
        ValueError
            As `steps_per`.
        """
        steps = self.steps_per(period)
        parts = self._own(times)
        if self.kind == "months":
            return parts.months % 12 * steps // 12
        days = month_firsts(self.axis)[-1] if period == "year" else 1
        share = (parts.in_year if period == "year" else parts.count % DAY) / (days * DAY)
        # A time that decodes to just before its hour belongs to the hour.
        return np.floor(share * steps + 1e-3).astype(np.int64) % steps

    def __str__(self) -> str:
        """Return the step in words."""
        if self.axis == "number":
            return f"{self.step:g}"
        if self.kind == "months":
            number, unit = (self.step // 12, "year") if self.step % 12 == 0 else (self.step, "month")
        else:
            unit = next(name for name, size in _UNITS.items() if self.step % size == 0)
            number = self.step // _UNITS[unit]
        return f"{number} {unit}" + ("s" if number != 1 else "")

    def _own(self, times: pd.Index) -> _Parts:
        parts = take_apart(times)
        if parts.axis != self.axis:
            raise ValueError(
                f"X: its time axis is {parts.axis}, but the series before it has {self.axis}: convert it, "
                "X.convert_calendar(...), or open both files alike"
            )
        return parts

    def _holds(self, parts: _Parts) -> np.ndarray:
        """Return whether each step but the first follows the one before, bool of shape (n_times - 1,)."""
        if self.kind == "months":
            placed = np.abs(parts.in_month - self._in_month(parts.days_in_month)) <= _SECOND
            return placed[1:] & placed[:-1] & (np.diff(parts.months) == self.step)
        steps = np.diff(parts.noleap if self.kind == "noleap" else parts.count)
        return np.abs(steps - self.step) <= parts.rounding + _RELATIVE_TOLERANCE * self.step

    def _in_month(self, days_in_month: np.ndarray) -> np.ndarray:
        """Return the microseconds from the start of a month to its time."""
        wanted = (self.anchor * days_in_month * DAY).astype(np.int64) + self.offset
        return np.minimum(wanted, (days_in_month - 1) * DAY + wanted % DAY)

    def _next(self, last: Time, n: int) -> pd.Index:
        if self.axis == "number":
            start = np.asarray(last)
            values = start + np.arange(1, n + 1) * self.step
            same = values.astype(start.dtype)
            return pd.Index(same if start.dtype.kind == "f" or (same == values).all() else values)
        origin = last if isinstance(last, cftime.datetime) else pd.Timestamp(last)
        if self.kind == "equal":
            step = timedelta(microseconds=int(self.step))
            return as_index([origin + step * i for i in range(1, n + 1)], origin)
        stepped = self._next_months if self.kind == "months" else self._next_noleap
        return as_index(list(stepped(origin, n)), origin)

    def _next_months(self, origin: Any, n: int) -> Iterator[Any]:
        months = origin.year * 12 + origin.month - 1 + int(self.step) * np.arange(1, n + 1)
        starts = [_month_start(origin, m // 12, m % 12 + 1) for m in months.tolist()]
        in_month = self._in_month(take_apart(as_index(starts)).days_in_month)
        for start, place in zip(starts, in_month.tolist(), strict=True):
            yield start + timedelta(microseconds=place)

    def _next_noleap(self, origin: Any, n: int) -> Iterator[Any]:
        count = int(take_apart(as_index([origin])).noleap[0])
        firsts = month_firsts(self.axis)
        for i in range(1, n + 1):
            year, place = divmod(count + int(self.step) * i, 365 * DAY)
            month = int(np.searchsorted(firsts, place // DAY, side="right"))
            place -= int(firsts[month - 1]) * DAY
            yield _month_start(origin, year, month) + timedelta(microseconds=place)


@dataclass(frozen=True)
class _Parts:
    """A time axis as integers, whatever its type; arrays of shape (n_times,)."""

    axis: str
    count: np.ndarray  # microseconds since 1970; of a numeric axis its values, and the rest is empty
    months: np.ndarray  # since year 0
    days_in_month: np.ndarray
    in_month: np.ndarray  # microseconds since the month began
    in_year: np.ndarray  # microseconds since the year began; 29 February counts as 28 February
    rounding: float = 0.0  # by how much the difference of two values may be off

    @property
    def noleap(self) -> np.ndarray:
        """Microseconds since year 0, not counting 29 February."""
        return self.months // 12 * 365 * DAY + self.in_year


def take_apart(times: pd.Index) -> _Parts:
    """Return a time axis as integers."""
    missing = np.flatnonzero(pd.isna(times))
    if len(missing):
        raise ValueError(f"X: time step {missing[0]} is missing (NaT or NaN). Drop it, or give it a time.")
    if isinstance(times, pd.DatetimeIndex):
        axis, count = "datetime64", times.as_unit("us").asi8
    elif isinstance(times, xr.CFTimeIndex):
        axis = str(times.calendar)
        count = cftime.date2num(times.to_numpy(), "microseconds since 1970-01-01", calendar=axis)
    elif times.dtype.kind in "iuf":
        return _take_numbers(times.to_numpy())
    else:
        raise TypeError(f"X: time must be datetime64, cftime or numeric, got {times.dtype}.")
    fields = (count, times.year, times.month, times.day, times.days_in_month)
    count, year, month, day, days_in_month = (np.asarray(field, np.int64) for field in fields)
    time_of_day = count % DAY
    in_month = (day - 1) * DAY + time_of_day
    if axis in MIXED_LEAP:
        day = np.where(month == 2, np.minimum(day, 28), day)
    in_year = (month_firsts(axis)[month - 1] + day - 1) * DAY + time_of_day
    return _Parts(axis, count, year * 12 + month - 1, days_in_month, in_month, in_year)


def _take_numbers(values: np.ndarray) -> _Parts:
    infinite = np.flatnonzero(~np.isfinite(values))
    if len(infinite):
        raise ValueError(f"X: time step {infinite[0]} is {values[infinite[0]]}. Drop it, or give it a time.")
    none = np.empty(0, np.int64)
    if values.dtype.kind != "f":
        return _Parts("number", values.astype(np.int64), none, none, none, none)
    rounding = 2 * float(np.finfo(values.dtype).eps) * float(np.abs(values).max(initial=0))
    return _Parts("number", values.astype(np.float64), none, none, none, none, rounding)


def _candidates(parts: _Parts) -> Iterator[Calendar]:
    """Yield the rules by which most of the steps could go, the preferred ones first."""
    if parts.axis != "number":
        yield from _monthly(parts)
    equal = _stepping("equal", parts, np.diff(parts.count))
    if parts.axis not in MIXED_LEAP:
        yield from equal
        return
    noleap = _stepping("noleap", parts, np.diff(parts.noleap))
    # CMAP's pentads begin on 1 January, 6 January, ..., 25 February, 2 March, ...
    if noleap and noleap[0].step == 5 * DAY and not (parts.in_year // DAY % 5).any():
        yield from noleap
    yield from equal
    yield from noleap


def _monthly(parts: _Parts) -> Iterator[Calendar]:
    steps = np.diff(parts.months)
    if not (steps > 0).any():
        return
    step = _commonest(steps[steps > 0], 0)
    # With one time a year each anchor fits, and a plain day is meant; else a day that fits by chance is not.
    anchors = (0.0, 0.5, 1.0) if step % 12 == 0 else (0.5, 1.0, 0.0)
    for anchor in anchors:
        places = (anchor * parts.days_in_month * DAY).astype(np.int64)
        offset = _commonest(parts.in_month - places, _SECOND)
        near = {0.0: True, 0.5: abs(offset) < DAY / 2, 1.0: -DAY <= offset < 0}[anchor]
        if near:
            yield Calendar("months", int(step), parts.axis, anchor, round(offset))


def _stepping(kind: Kind, parts: _Parts, steps: np.ndarray) -> list[Calendar]:
    forward = steps[steps > 0]
    if not len(forward):
        return []
    step = _commonest(forward, parts.rounding + _RELATIVE_TOLERANCE * np.sort(forward))
    return [Calendar(kind, step if parts.count.dtype.kind == "f" else round(step), parts.axis)]


def _commonest(values: np.ndarray, tolerance: np.ndarray | float) -> float:
    """Return the mean of the largest group of values that agree, of equally large ones the smallest."""
    ordered = np.sort(values)
    start = np.searchsorted(ordered, ordered - tolerance, side="left")
    stop = np.searchsorted(ordered, ordered + tolerance, side="right")
    largest = int(np.argmax(stop - start))
    group = ordered[start[largest] : stop[largest]]
    # The difference to one member keeps integers beyond 2**53 exact.
    first = group[0].item()
    return first if first == group[-1] else first + float(np.mean(group - first))


def _complaint(times: pd.Index, i: int, rule: Calendar | None, irregular: bool = False) -> str:
    """Say why time step `i` does not follow the one before it, and what to do."""
    before, here = times[i - 1], times[i]
    if here == before:
        problem, remedy = "a repeat", 'Drop it (X.drop_duplicates("time"))'
    elif here < before:
        problem, remedy = "a decrease", 'Sort it (X.sortby("time"))'
    elif irregular and rule is not None:
        problem, remedy = "the steps are irregular", "Interpolate to regular steps (X.interp, X.resample)"
    elif rule is not None and here > rule.after(before, 1)[0]:
        problem, remedy = "a gap", "Fill it with missing values (X.resample(time=...).asfreq() or X.reindex)"
    else:
        problem, remedy = "a step too short", "Drop it (X.drop_isel)"
    step = f" by {rule}" if rule is not None else ""
    return (
        f"X: time step {i} ({_text(here)}) does not follow {_text(before)}{step}: {problem}. "
        f"{remedy}, or split with gridcast.WindowSplitter, which keeps time in order."
    )


def _text(time: Any) -> str:
    return time.isoformat().removesuffix("T00:00:00") if hasattr(time, "isoformat") else str(time)


def month_firsts(axis: str) -> np.ndarray:
    """Return the day of the year on which each month starts, and the year's length, without 29 February."""
    lengths = [30] * 12 if axis == "360_day" else list(_MONTH_LENGTHS)
    if axis in _ALL_LEAP:
        lengths[1] = 29
    return np.cumsum([0, *lengths])


def _month_start(like: Any, year: int, month: int) -> Any:
    return like.replace(year=year, month=month, day=1, hour=0, minute=0, second=0, microsecond=0)


def as_index(values: Sequence[Any], like: Any = None) -> pd.Index:
    """Make an index of scalars, in the resolution of the scalar `like`."""
    if isinstance(values[0], cftime.datetime):
        return xr.CFTimeIndex(values)
    if isinstance(values[0], int | float | np.number):
        return pd.Index(np.asarray(values))
    index = pd.DatetimeIndex([pd.Timestamp(value) for value in values])
    return index if like is None else index.as_unit(like.unit)
