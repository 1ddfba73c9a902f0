"""How a time axis steps: equally, by months, without 29 February, or anew in each month or year."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Literal, Self, TypeAlias

import cftime
import numpy as np
import pandas as pd

from gridcast.data.times import (
    DAY,
    SECOND,
    UNITS,
    Parts,
    Time,
    as_index,
    check_same_axis,
    month_firsts,
    month_start,
    span_lengths,
    take_apart,
)  # fmt: skip
from gridcast.data.wrong_steps import complaint

__all__ = ["RELATIVE_TOLERANCE", "Calendar", "Kind", "Period", "Rounding", "Time"]

Kind: TypeAlias = Literal["equal", "months", "noleap", "within_month", "within_year"]
Period: TypeAlias = Literal["year", "day"]
Rounding: TypeAlias = Literal["", "down", "up", "even", "noleap", "day"]

# Hours stored as fractions of a day decode to a microsecond beside the hour.
RELATIVE_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Calendar:
    """The rule by which one time step follows another.

    All fields are plain values, so ``Calendar(**dataclasses.asdict(calendar))`` is the same calendar.

    Parameters
    ----------
    kind : {"equal", "months", "noleap", "within_month", "within_year"}
        Equal steps; a whole number of calendar months; equal steps counted without 29 February, as CMAP's 73 pentads
        a year and daily data without leap days are; or the same `starts` in each month or year, as dekads and
        composites of 8 or 16 days have.
    step : int or float
        Microseconds for times (the shortest step of ``"within_month"`` and ``"within_year"``), months for
        ``kind="months"``, the axis's own unit for numbers.
    axis : str
        "datetime64", "number", or the name of a cftime calendar.
    anchor : float
        Only for months, and within a month or year: where in its span a time lies, as a share of the span's length
        (0 its start, 0.5 its middle, 1 its end), to which `offset` is added. A span within a month or year lasts from
        one of `starts` to the next.
    offset : int
        Only for months: microseconds from the anchor. A day that a month lacks becomes its last day.
    span : int
        Only for months: the whole months that a time stands for, 3 for the middle of a season.
    rounding : {"", "down", "up", "even", "noleap", "day"}
        Of an anchor: whether it is rounded to whole days, by ``"even"`` from halves to even ones. ``"day"``
        is ``"down"`` that takes times up to a day beside it, ``"noleap"`` is that of a February of 28 days.
    starts : tuple of int
        Only within a month or year: microseconds since it began, ascending; a negative one counts from its end.
    origin : float
        Only for floats: a time is ``origin + k * step`` for a whole number k.
    denominator : int
        Only for floats: unless 0, a time is ``origin + k * round(step * denominator) / denominator``, which differs in
        the last digit.
    decimals : int or None
        Only for floats: the times are rounded to so many.
    alternatives : tuple of Calendar
        Further rules that all known times follow. Later times decide: `settle`.

    Examples
    --------
    >>> import pandas as pd
    >>> from gridcast.data.inference import infer_calendar
    >>> calendar = infer_calendar(pd.DatetimeIndex(["1980-02-20", "1980-02-25", "1980-03-02"]))
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
    span: int = 1
    rounding: Rounding = ""
    starts: tuple[int, ...] = ()
    origin: float = 0.0
    denominator: int = 0
    decimals: int | None = None
    alternatives: tuple[Self, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        made = (rule if isinstance(rule, Calendar) else type(self)(**rule) for rule in self.alternatives)
        object.__setattr__(self, "alternatives", tuple(made))
        object.__setattr__(self, "starts", tuple(self.starts))

    def settle(self, times: pd.Index) -> Self:
        """Return the rule that `times` follow, with those of its alternatives that they follow too.

        Raises
        ------
        ValueError
            If no rule holds for all, or if `times` is another kind of axis; the message names the first step that
            breaks the preferred one.
        """
        parts = self._own(times)
        rules = [rule for rule in (self, *self.alternatives) if rule.holds(parts).all()]
        if not rules:
            raise ValueError(complaint(times, parts, self))
        if len(rules) == 1 + len(self.alternatives):
            return self
        return replace(rules[0], alternatives=tuple(rules[1:]))

    def check(self, times: pd.Index) -> None:
        """Check that each of `times` follows the one before.

        Raises
        ------
        ValueError
            As `settle`.
        """
        self.settle(times)

    def after(self, last: Time, n: int) -> pd.Index:
        """Return the `n` times after `last`, in an index of the same type, and of its resolution where that does."""
        if n < 1:
            raise ValueError(f"n={n}: must be at least 1.")
        self._own(as_index([last]))
        if self.axis == "number":
            return self._next_numbers(np.asarray(last), n)
        origin = last if isinstance(last, cftime.datetime) else pd.Timestamp(last)
        try:
            return as_index(list(self._next(origin, n)), origin)
        except (pd.errors.OutOfBoundsDatetime, pd.errors.OutOfBoundsTimedelta):  # nanoseconds end in 2262
            return as_index(list(self._next(origin.as_unit("us"), n)))

    def follows(self, last: Time, first: Time) -> bool:
        """Return whether `first` is the step right after `last`, by this rule or one of its alternatives."""
        parts = self._own(as_index([last, first]))
        return bool(self.holds(parts)[0]) or any(bool(rule.holds(parts)[0]) for rule in self.alternatives)

    def steps_between(self, origin: Time, times: pd.Index) -> np.ndarray:
        """Return the number of steps from `origin` to each of `times`, int of shape (n_times,)."""
        parts, start = self._own(times), self._own(as_index([origin]))
        if self.kind == "months":
            return (self._first(parts) - self._first(start)) // int(self.step)
        if self.kind in ("within_month", "within_year"):
            return self._numbered(parts)[0] - self._numbered(start)[0]
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
        per_year = {
            "months": 12 / self.step, "within_month": 12.0 * len(self.starts), "within_year": float(len(self.starts))
        }  # fmt: skip
        if self.kind in per_year:
            steps = per_year[self.kind] if period == "year" else 0.0
        else:
            steps = (month_firsts(self.axis)[-1] if period == "year" else 1) * DAY / self.step
        if steps < 1 - RELATIVE_TOLERANCE:
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
            return self._first(parts) % 12 * steps // 12
        if self.kind in ("within_month", "within_year"):
            return self._numbered(parts)[0] % steps
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
            unit = next(name for name, size in UNITS.items() if self.step % size == 0)
            number = self.step // UNITS[unit]
        anew = {"within_month": " anew each month", "within_year": " anew each year"}.get(self.kind, "")
        return f"{number} {unit}" + ("s" if number != 1 else "") + anew

    def holds(self, parts: Parts) -> np.ndarray:
        """Return whether each step but the first follows the one before, bool of shape (n_times - 1,)."""
        if self.kind == "equal" or self.kind == "noleap":
            steps = np.diff(parts.noleap if self.kind == "noleap" else parts.count)
            return np.abs(steps - self.step) <= parts.rounding + RELATIVE_TOLERANCE * self.step
        if self.kind == "months":
            first = self._first(parts)
            placed = np.abs(self._since(first, parts) - self._in_span(first)) <= (
                DAY if self.rounding == "day" else SECOND
            )
            steps = np.diff(first) == self.step
        else:
            number, beside = self._numbered(parts)
            placed, steps = beside <= SECOND, np.diff(number) == 1
        return placed[1:] & placed[:-1] & steps

    def offsets(self, parts: Parts) -> np.ndarray:
        """Return the microseconds from the anchor in its span to each time, for a rule of months."""
        first = self._first(parts)
        return self._since(first, parts) - self._anchored(span_lengths(self.axis, first, self.span))

    def _first(self, parts: Parts) -> np.ndarray:
        """Return the first month of the span of each time, int of shape (n_times,)."""
        if self.span == 1 or self.anchor != 0.5:
            return parts.months
        # the middle of two months is the end of one or the start of the next
        either = parts.months - self.span // 2 + np.array([[0], [1]])
        beside = [np.abs(self._since(first, parts) - self._in_span(first)) for first in either]
        return np.where(beside[0] <= beside[1], *either)

    def _since(self, first: np.ndarray, parts: Parts) -> np.ndarray:
        """Return the microseconds from the start of each span, whose first month is given, to its time."""
        return parts.in_month + span_lengths(self.axis, first, parts.months - first)

    def _in_span(self, first: np.ndarray) -> np.ndarray:
        """Return the microseconds from the start of each span to the time that the rule wants."""
        length = span_lengths(self.axis, first, self.span)
        wanted = self._anchored(length) + self.offset
        return np.minimum(wanted, length - DAY + wanted % DAY)

    def _anchored(self, length: np.ndarray) -> np.ndarray:
        if self.rounding == "noleap":
            return (self.anchor * np.where(length == 29 * DAY, 28 * DAY, length)).astype(np.int64)
        anchor = (self.anchor * length).astype(np.int64)
        if self.rounding:
            whole = {"up": np.ceil, "even": np.rint}.get(self.rounding, np.floor)
            anchor = whole(anchor / DAY).astype(np.int64) * DAY
        return anchor

    def _numbered(self, parts: Parts) -> tuple[np.ndarray, np.ndarray]:
        """Return the number of each time, counted from year 0, and by how many microseconds it is beside its start."""
        period = parts.months // self._per_period
        within = parts.since_new_year if self.kind == "within_year" else parts.in_month
        beside = np.abs(within[:, None] - self._places(period))
        return period * len(self.starts) + beside.argmin(1), beside.min(1)

    @property
    def _per_period(self) -> int:
        """The months of the period in which the starts begin anew."""
        return 12 if self.kind == "within_year" else 1

    def _places(self, period: np.ndarray) -> np.ndarray:
        """Return the microseconds from the start of each period to its times, int of shape (n_periods, n_starts)."""
        length = span_lengths(self.axis, period * self._per_period, self._per_period)[:, None]
        starts = np.asarray(self.starts)
        starts = np.where(starts < 0, length + starts, starts)
        return starts + self._anchored(np.diff(starts, append=length + starts[:, :1]))

    def _own(self, times: pd.Index) -> Parts:
        parts = take_apart(times)
        check_same_axis("X", parts.axis, self.axis)
        return parts

    def _next(self, origin: Any, n: int) -> Iterator[Any]:
        """Yield the next `n` times, of the type of `origin`."""
        if self.kind == "equal":
            step = timedelta(microseconds=int(self.step))
            return (origin + step * i for i in range(1, n + 1))
        if self.kind == "months":
            return self._next_months(origin, n)
        return self._next_noleap(origin, n) if self.kind == "noleap" else self._next_within(origin, n)

    def _next_numbers(self, last: np.ndarray, n: int) -> pd.Index:
        steps = np.arange(1, n + 1)
        if last.dtype.kind != "f":
            values = last + steps * self.step
            same = values.astype(last.dtype)
            return pd.Index(same if (same == values).all() else values)
        # counted from one origin, as sums of steps would drift away from the labels of the series
        known = round((float(last) - self.origin) / self.step)
        ours = self.number(np.asarray([known]))[0].astype(last.dtype)
        values = self.number(known + steps)
        near = 4 * np.finfo(last.dtype).eps * max(abs(float(last)), self.step)
        return pd.Index((values if abs(ours - last) <= near else last + steps * self.step).astype(last.dtype))

    def number(self, steps: np.ndarray) -> np.ndarray:
        """Return the labels of a float axis, by their number of steps from its origin."""
        if self.denominator:
            return self.origin + steps * round(self.step * self.denominator) / self.denominator
        numbers = self.origin + steps * self.step
        return numbers if self.decimals is None else np.round(numbers, self.decimals)

    def _next_months(self, origin: Any, n: int) -> Iterator[Any]:
        months = self._first(take_apart(as_index([origin]))) + int(self.step) * np.arange(1, n + 1)
        for month, place in zip(months.tolist(), self._in_span(months).tolist(), strict=True):
            yield month_start(origin, month // 12, month % 12 + 1) + timedelta(microseconds=place)

    def _next_noleap(self, origin: Any, n: int) -> Iterator[Any]:
        count = int(take_apart(as_index([origin])).noleap[0])
        firsts = month_firsts(self.axis)
        for i in range(1, n + 1):
            year, place = divmod(count + int(self.step) * i, 365 * DAY)
            month = int(np.searchsorted(firsts, place // DAY, side="right"))
            place -= int(firsts[month - 1]) * DAY
            yield month_start(origin, year, month) + timedelta(microseconds=place)

    def _next_within(self, origin: Any, n: int) -> Iterator[Any]:
        number = int(self._numbered(take_apart(as_index([origin])))[0][0])
        for i in range(number + 1, number + n + 1):
            period, slot = divmod(i, len(self.starts))
            place = int(self._places(np.asarray([period]))[0, slot])
            months = period * self._per_period
            yield month_start(origin, months // 12, months % 12 + 1) + timedelta(microseconds=place)
