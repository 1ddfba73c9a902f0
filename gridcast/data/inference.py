"""Finding the rule by which a time axis steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from gridcast.data.calendars import RELATIVE_TOLERANCE, Calendar, Kind, Rounding
from gridcast.data.times import DAY, MIXED_LEAP, SECOND, Parts, take_apart
from gridcast.data.written import as_written
from gridcast.data.wrong_steps import complaint, irregular

_ROUND_TO = ("D", "12h", "6h", "3h", "h", "30min", "15min", "10min", "5min", "min", "10s", "s")
_COMPOSITES = (8 * DAY, 16 * DAY)  # begin anew with each year, whatever their first days
_MOST_A_MONTH = 6  # pentads
_PARTS_OF_A_MONTH = tuple(tuple(range(0, 30 * DAY, 30 * DAY // n)) for n in (2, 3, 6))  # half months, dekads, pentads
_ROUNDINGS: tuple[Rounding, ...] = ("", "down", "up", "even")


def infer_calendar(times: pd.Index) -> Calendar:
    """Find the rule that the commonest step of `times` follows, and check every step against it.

    Where several rules fit, months come first, then CMAP's pentads and composites of 8 or 16 days from 1 January, then
    equal steps, then the others: a series without leap days is known as such only if it passes one. All that fit are
    kept as the rule's ``alternatives``.

    Parameters
    ----------
    times : DatetimeIndex, CFTimeIndex or numeric Index
        At least two times.

    Raises
    ------
    ValueError
        If there are fewer than two times, one is missing, or no rule holds for all; the message names the first step
        that breaks it.
    TypeError
        If `times` are neither times nor numbers.
    """
    parts = take_apart(times)
    if len(times) < 2:
        raise ValueError(f"X: got {len(times)} time step(s), but at least 2 show how time steps.")
    rules = [(rule, rule.holds(parts)) for rule in _candidates(parts)]
    fitting = list(dict.fromkeys(rule for rule, holds in rules if holds.all()))
    if fitting:
        # a rule with tolerance is the last resort
        exact = [rule for rule in fitting if rule.rounding != "day"] or fitting[:1]
        return replace(exact[0], alternatives=tuple(exact[1:]))
    _refuse_jitter(times, parts)
    # Of equals, max takes the first.
    none = (None, np.zeros(len(times) - 1, bool))
    rule, holds = max(rules, key=lambda pair: pair[1].sum(), default=none)
    if rule is None or 2 * holds.sum() < len(holds):  # a rule that most steps break is none
        raise ValueError(irregular(times, parts, rule))
    raise ValueError(complaint(times, parts, rule))


def _refuse_jitter(times: Any, parts: Parts) -> None:
    """Raise a ValueError where times that are rounded follow a rule, as hours kept in float32 days do."""
    steps = np.diff(parts.count)
    if parts.axis == "number" or (steps <= 0).any():
        return
    for unit in _ROUND_TO:
        rounded = times.round(unit)
        off = np.abs(take_apart(rounded).count - parts.count)
        # farther than a quarter of a step, a time would be moved, not rounded
        if 4 * off.max() >= np.median(steps):
            continue
        parts_rounded = take_apart(rounded)
        if any(rule.holds(parts_rounded).all() for rule in _candidates(parts_rounded)):
            raise ValueError(
                f"X: its times lie up to {off.max() / SECOND:g} seconds beside regular ones, as times kept in float32 "
                f"do: round them, X.assign_coords(time=X.time.dt.round({unit!r}))"
            )


def _candidates(parts: Parts) -> Iterator[Calendar]:
    """Yield the rules by which most of the steps could go, the preferred ones first."""
    if parts.axis == "number":
        for rule in _stepping("equal", parts, np.diff(parts.count)):
            written = parts.count.dtype.kind == "f" and rule.holds(parts).all()
            yield as_written(rule, parts.count, parts.rounding) if written else rule
        return
    yield from _monthly(parts)
    equal = _stepping("equal", parts, np.diff(parts.count))
    noleap = _stepping("noleap", parts, np.diff(parts.noleap)) if parts.axis in MIXED_LEAP else []
    within_year = _within_year(parts)
    # CMAP's pentads begin on 1 January, 6 January, ..., 25 February, 2 March, ...
    if noleap and noleap[0].step == 5 * DAY and not (parts.in_year // DAY % 5).any():
        yield from noleap
    if within_year and within_year[0].step in _COMPOSITES and within_year[0].starts[0] == 0:
        yield from within_year
    yield from equal
    yield from noleap
    yield from _within_month(parts)
    yield from within_year
    yield from _middles(parts)


def _monthly(parts: Parts) -> Iterator[Calendar]:
    steps = np.diff(parts.months)
    if not (steps > 0).any():
        return
    step = int(_commonest(steps[steps > 0], 0))
    # With one time a year each anchor fits, and a plain day is meant; else a day that fits by chance is not.
    anchors = (0.0, 0.5, 1.0) if step % 12 == 0 else (0.5, 1.0, 0.0)
    for anchor in anchors:
        rule = Calendar("months", step, parts.axis, anchor)
        offset = _commonest(rule.offsets(parts), SECOND)
        near = {0.0: True, 0.5: abs(offset) < DAY / 2, 1.0: -DAY <= offset < 0}[anchor]
        if near:
            yield replace(rule, offset=round(offset))
    # a value a year may stand for one season
    spans = sorted({1, *range(2, 7), 12} if step % 12 == 0 else {1, step} if step <= 12 else {1})
    # of a model without leap days, put on a calendar with them
    noleap: list[tuple[Rounding, int]] = [("noleap", 1)] if parts.axis in MIXED_LEAP else []
    rounded = [(rounding, span) for rounding in _ROUNDINGS for span in spans]
    for rounding, span in rounded + noleap + [("day", s) for s in spans]:
        rule = Calendar("months", step, parts.axis, 0.5, span=span, rounding=rounding)
        offsets = rule.offsets(parts)
        # of days that vary only the time of day is common
        offset = _commonest(offsets % DAY if rounding == "day" else offsets, SECOND)
        if abs(offset) < DAY / 2 or (rounding and abs(offset) < DAY):
            yield replace(rule, offset=round(offset))


def _middles(parts: Parts) -> Iterator[Calendar]:
    """Yield the rules of middles of the parts of a month, and of equal parts that begin anew on 1 January."""
    step = round(_commonest(np.diff(parts.count), SECOND))
    if not 2 * DAY <= step <= 183 * DAY:
        return
    rules = [Calendar("within_month", starts[1], parts.axis, 0.5, starts=starts) for starts in _PARTS_OF_A_MONTH]
    if step % DAY == 0:
        starts = tuple(range(0, _year(parts.axis), step))
        rules.append(Calendar("within_year", step, parts.axis, 0.5, starts=starts))
    for rounding in _ROUNDINGS:
        yield from (replace(rule, rounding=rounding) for rule in rules)


def _within_year(parts: Parts) -> list[Calendar]:
    """Return the rule of equal steps, at least 2 days long, that begin anew on 1 January."""
    steps = np.diff(parts.count)
    if not (steps > 0).any():
        return []
    step = round(_commonest(steps[steps > 0], SECOND))
    if step % DAY or not 2 * DAY <= step <= 183 * DAY:
        return []
    first = round(_commonest(parts.since_new_year % step, SECOND))
    return [Calendar("within_year", step, parts.axis, starts=tuple(range(first, _year(parts.axis), step)))]


def _year(axis: str) -> int:
    return (360 if axis == "360_day" else 365) * DAY


def _within_month(parts: Parts) -> Iterator[Calendar]:
    """Yield the rules of the same days in each month, 2 to 6 of them, counted from its start or, late ones, its end."""
    in_month = _whole_seconds(parts.in_month)
    from_end = _whole_seconds(parts.in_month - parts.days_in_month * DAY)
    n_months = len(np.unique(parts.months))
    for places in (in_month, np.where(in_month < 21 * DAY, in_month, from_end)):
        values, counts = np.unique(places, return_counts=True)
        values = values[2 * counts >= n_months]
        if not 2 <= len(values) <= _MOST_A_MONTH:
            continue
        values = np.concatenate([values[values >= 0], values[values < 0]])
        length = np.where(values < 0, 31 * DAY, 0)
        between = np.diff(values + length, append=values[0] + 31 * DAY)
        # else they do not fill the month, and one month of a daily series would pass for a rule
        if between.min() > 0 and between.max() <= 2 * between.min():
            yield Calendar("within_month", int(between.min()), parts.axis, starts=tuple(values.tolist()))


def _whole_seconds(values: np.ndarray) -> np.ndarray:
    return np.rint(values / SECOND).astype(np.int64) * SECOND


def _stepping(kind: Kind, parts: Parts, steps: np.ndarray) -> list[Calendar]:
    forward = steps[steps > 0]
    if not len(forward):
        return []
    step = _commonest(forward, parts.rounding + RELATIVE_TOLERANCE * np.sort(forward))
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
