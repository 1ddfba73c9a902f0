"""Where in its year or its day a time lies, as a share of it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from gridcast.data.calendars import Calendar, Period
from gridcast.data.times import DAY, MIXED_LEAP, month_firsts, take_apart

MEAN_YEAR, LEAP_CYCLE = 365.2425, 365.25  # days


def positions(calendar: Calendar, times: pd.Index, period: Period) -> dict[str, np.ndarray]:
    """Return the position of each of `times` in the period, by each meaning that "a year" may have.

    Parameters
    ----------
    calendar : Calendar
        Of times.
    times : Index
    period : {"year", "day"}

    Returns
    -------
    dict of str to ndarray of float, shape (n_times,)
        In periods, from any origin: positions that differ by a whole number are the same. A day and a year of months
        have one meaning. A year of days has four where there are leap years: ``"noleap"``, in which 29 February is 28
        February; ``"mean"``, of 365.2425 days each; ``"calendar"``, as long as each is; and ``"days"``, days since
        1 January in years of 365.25.

    Raises
    ------
    ValueError
        If `times` are numbers, as of steps without labels.
    """
    parts = take_apart(times)
    if parts.axis == "number":
        raise ValueError(
            f"X has no time labels, which say where in the {period} its steps lie: X.assign_coords(time=...)"
        )
    if period == "day":
        return {"day": parts.count % DAY / DAY}
    if calendar.kind == "months":
        return {"months": parts.months % 12 / 12}
    found = {"noleap": parts.in_year / (month_firsts(parts.axis)[-1] * DAY)}
    if parts.axis not in MIXED_LEAP:
        return found
    years = parts.months // 12
    leap = (years % 4 == 0) & ((years % 100 != 0) | (years % 400 == 0))
    # days since 1 January, with 29 February
    leap_day = leap & (parts.months % 12 == 1) & (parts.in_month // DAY == 28)
    elapsed = parts.in_year / DAY + (leap_day | (leap & (parts.months % 12 > 1)))
    return found | {
        "mean": parts.count / (MEAN_YEAR * DAY),
        "calendar": elapsed / np.where(leap, 366, 365),
        "days": elapsed / LEAP_CYCLE,
    }
