"""What is wrong with a time step, and the call that mends it."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import pandas as pd

from gridcast.data.times import DAY, UNITS, Parts, Time, take_apart

_MOST_NAMED = 50  # missing labels that a message lists
_CFTIME = "%Y-%m-%d %H:%M:%S"
_FREQUENCIES = {"day": "D", "hour": "h", "minute": "min", "second": "s", "microsecond": "us"}


class Rule(Protocol):
    """What is asked of the rule that a step breaks."""

    @property
    def kind(self) -> str:
        """Its kind, see `Calendar`."""
        ...

    @property
    def step(self) -> int | float:
        """Its step."""
        ...

    @property
    def axis(self) -> str:
        """Its axis."""
        ...

    def holds(self, parts: Parts) -> np.ndarray:
        """Return whether each step but the first follows the one before."""
        ...

    def after(self, last: Time, n: int) -> pd.Index:
        """Return the `n` times after `last`."""
        ...


def complaint(times: pd.Index, parts: Parts, rule: Rule) -> str:
    """Say why the first time that breaks `rule` does not follow the one before it, and what to do."""
    i = int(np.argmin(rule.holds(parts))) + 1
    before, here = times[i - 1], times[i]
    if here <= before:
        return _disorder(times, i, f" by {rule}")
    if here > rule.after(before, 1)[0]:
        problem, remedy = "a gap", _fill(times, i, rule)
    else:
        problem, remedy = "a step too short", _drop(times, i, rule)
    return _sentence(times, i, f" by {rule}", problem, remedy)


def irregular(times: pd.Index, parts: Parts, rule: Rule | None) -> str:
    """Say that most steps break every rule."""
    backwards = np.flatnonzero(np.diff(parts.count) <= 0)  # an unsorted axis is the likelier fault
    by = "" if rule is None else f" by {rule}"
    if len(backwards):
        return _disorder(times, int(backwards[0]) + 1, by)
    i = 1 if rule is None else int(np.argmin(rule.holds(parts))) + 1
    return _sentence(times, i, by, "the steps are irregular", _average(times))


def _sentence(times: pd.Index, i: int, by: str, problem: str, remedy: str) -> str:
    return (
        f"X: time step {i} ({text(times[i])}) does not follow {text(times[i - 1])}{by}: {problem}. "
        f"{remedy}, or split with gridcast.WindowSplitter, which keeps time in order."
    )


def _disorder(times: pd.Index, i: int, by: str) -> str:
    if times[i] == times[i - 1]:
        return _sentence(times, i, by, "a repeat", 'Drop it (X.drop_duplicates("time"))')
    return _sentence(times, i, by, "a decrease", 'Sort it (X.sortby("time"))')


def _average(times: pd.Index) -> str:
    if times.dtype.kind in "iuf":
        steps = np.diff(times)
        if steps.min() >= 28 and steps.max() <= 31:
            dates = f"pd.date_range('2001-01-01', periods={len(times)}, freq='MS')"
            return f"They are months counted in days: date them, X.assign_coords(time={dates}) with your first month"
        return f"Count the steps instead, X.assign_coords(time=range({len(times)}))"
    days = float(np.median(np.diff(take_apart(times).count))) / DAY
    freq = next((name for name, least in (("YS", 200), ("MS", 20), ("D", 0.75), ("h", 0.03)) if days > least), "min")
    return f"Average to regular steps, X.resample(time={freq!r}).mean()"


def _fill(times: pd.Index, i: int, rule: Rule) -> str:
    """Name the call that puts missing values in a gap; every label of the series is kept."""
    regular = _range(times, rule)
    if regular is not None:
        return f"Fill it with missing values, X.reindex(time={regular})"
    here, n = times[i], _MOST_NAMED + 2
    while (labels := rule.after(times[i - 1], n))[-1] < here:
        n *= 2
    if here not in labels:
        return _average(times)
    missing = labels[: labels.get_loc(here)]
    if len(missing) > _MOST_NAMED:
        return (
            f"Fill it with missing values, X.reindex to the labels of the rule too, {text(missing[0])}, "
            f"{text(missing[1])}, ..., {text(missing[-1])}"
        )
    if rule.axis == "number":
        added = str(missing.tolist())
    elif rule.axis == "datetime64":
        added = f"pd.to_datetime({[text(time) for time in missing]}, format='ISO8601')"
    else:
        named = [time.strftime(_CFTIME) for time in missing]
        added = f"[cftime.datetime.strptime(t, {_CFTIME!r}, calendar={rule.axis!r}) for t in {named}]"
    return f"Fill it with missing values, X.reindex(time=X.indexes['time'].union({added}))"


def _range(times: pd.Index, rule: Rule) -> str | None:
    """Return the call for all labels between the first and the last; None where one of `times` is not among them."""
    if rule.axis != "datetime64" or rule.kind not in ("equal", "months"):
        return None
    if rule.kind == "months":
        freq = f"{rule.step}MS"
    else:
        unit = next(name for name, size in UNITS.items() if rule.step % size == 0)
        freq = f"{rule.step // UNITS[unit]}{_FREQUENCIES[unit]}"
    labels = pd.date_range(times[0], times[-1], freq=freq.removeprefix("1") if freq[1:2].isalpha() else freq)
    if not times.is_monotonic_increasing or not times.isin(labels).all():
        return None
    return f"pd.date_range(X.time.values[0], X.time.values[-1], freq={freq!r})"


def _drop(times: pd.Index, i: int, rule: Rule) -> str:
    """Name the label to drop, if the rule holds without it."""
    for stray in (i, i - 1):
        if rule.holds(take_apart(times.delete(stray))).all():
            return f"Drop it, X.drop_isel(time=[{stray}])"
    return _average(times)


def text(time: Any) -> str:
    """Return a time label as in an error."""
    return time.isoformat().removesuffix("T00:00:00") if hasattr(time, "isoformat") else str(time)
