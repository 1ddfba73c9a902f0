"""Time labels of a kind that no time axis has: text, periods, time zones, dates written as numbers."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

_UNITS_OF_DATES = re.compile(r"%Y|yyyymm|yyyy-?ddd", re.IGNORECASE)
# by their number of digits; 5 to 7 digits could be counts, so their years must be likely ones
_FORMATS = {6: "%Y%m", 8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_TEXTS = ("ISO8601", "%Y-%m-%d_%H:%M:%S", "%Y%m%d", "%Y%m%d%H", "%Y%m", "%d.%m.%Y", "mixed")
_TIMEDELTAS = {"D": 86_400, "h": 3600, "m": 60, "s": 1}


def refuse_other_kinds(X: xr.DataArray, what: str = "X") -> None:
    """Raise an error, which says how to mend it, unless the times of `X` are datetime64, cftime or numbers.

    Parameters
    ----------
    X : DataArray
        With a coordinate ``time``.
    what : str
        The parameter that `X` is.

    Raises
    ------
    TypeError
        If its times are text, timedelta64, periods, dates without a time of day or have a time zone.
    ValueError
        If its times are dates written as numbers, as 20010131 is.
    """
    index = X.get_index("time")
    if isinstance(index, pd.DatetimeIndex | xr.CFTimeIndex) and getattr(index, "tz", None) is None:
        return
    if isinstance(index.dtype, np.dtype) and index.dtype.kind in "iuf":
        _refuse_dates(what, index.to_numpy(), str(X["time"].attrs.get("units", "")))
        return
    kind, call = _other_kind(what, index)
    raise TypeError(f"{what}: time must be datetime64, cftime or numeric, got {kind}: {call}")


def _other_kind(what: str, index: pd.Index) -> tuple[str, str]:
    """Return what the labels are, and the call that turns them into times."""

    def assign(labels: str) -> str:
        return f"{what}.assign_coords(time={labels})"

    first = index[0] if len(index) else None
    if isinstance(index, pd.DatetimeIndex):
        return f"times of the zone {index.tz}", assign(f"{what}.indexes['time'].tz_convert(None)")
    if isinstance(index, pd.PeriodIndex):
        return f"periods ({first})", assign(f"{what}.indexes['time'].to_timestamp()")
    if isinstance(index, pd.TimedeltaIndex):
        seconds = index.total_seconds()
        unit = next((name for name, size in _TIMEDELTAS.items() if not (seconds % size).any()), "s")
        return f"{index.dtype} ({first})", assign(f"{what}.time / np.timedelta64(1, {unit!r})")
    if isinstance(first, bytes | str):
        values, text = f"{what}.time.values", "text"
        if isinstance(first, bytes):
            values, text = f"{values}.astype(str)", "bytes"
            index = pd.Index(index.to_numpy().astype(str))
        for form in _TEXTS:
            if not pd.isna(pd.to_datetime(index, format=form, errors="coerce")).any():
                return f"{text} ({first!r})", assign(f"pd.to_datetime({values}, format={form!r})")
    # datetime is a date too
    if isinstance(first, date) and not pd.isna(pd.to_datetime(index, errors="coerce", utc=True)).any():
        zone = getattr(first, "tzinfo", None) is not None
        parsed = f"pd.to_datetime({what}.time.values{', utc=True).tz_convert(None)' if zone else ')'}"
        return f"{type(first).__name__} objects ({first})", assign(parsed)
    return f"{index.dtype}", f"give other times, {assign('...')}, or number the steps, {assign(f'range({len(index)})')}"


def _refuse_dates(what: str, values: np.ndarray, units: str) -> None:
    """Raise a ValueError for numbers that are dates, by their units or because all are valid ones."""
    if not len(values) or not np.isfinite(values).all():
        return
    named = bool(_UNITS_OF_DATES.search(units))
    whole = np.floor(values.astype(np.float64)).astype(np.int64)
    form = _format_of(whole)
    if not named and (" since " in units or form is None or (whole != values).any() or len(whole) < 2):
        return
    if form is None:
        call = "give the dates, pd.DatetimeIndex([...])"
    else:
        number = f"{what}.time.values.astype(int).astype(str)"
        if (whole != values).any() and form == "%Y%m%d":
            number += f", format={form!r}) + pd.to_timedelta({what}.time.values % 1, unit='D'"
        else:
            number += f", format={form!r}"
        call = f"{what}.assign_coords(time=pd.to_datetime({number}))"
    said = f"units {units!r}" if named else "all are valid dates"
    raise ValueError(
        f"{what}: its times are dates written as numbers ({values[0]}, ..., {values[-1]}; {said}), which do not count "
        f"time: {call}"
    )


def _format_of(values: np.ndarray) -> str | None:
    """Return the format of which all values are valid dates of the years 1000 to 2999; None if there is none."""
    digits = len(str(int(values[0])))
    if values.min() < 10 ** (digits - 1) or values.max() >= 10**digits:
        return None
    candidates: list[Any] = [_FORMATS.get(digits)]
    if digits == 7 and (np.diff(values) > 1).any():
        candidates = ["%Y%j"]  # equal steps of one may as well count
    for form in candidates:
        if form is None:
            continue
        years = values // 10 ** (digits - 4)
        low, high = (1700, 2300) if digits < 8 else (1000, 2999)
        if ((years >= low) & (years <= high)).all():
            parsed = pd.to_datetime(pd.Index(values.astype(str)), format=form, errors="coerce")
            if not pd.isna(parsed).any():
                return str(form)
    return None
