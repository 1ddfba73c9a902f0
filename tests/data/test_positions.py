"""Positions in the year and the day."""

import cftime
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from gridcast.data.calendars import Calendar
from gridcast.data.positions import positions


def test_the_meanings_of_a_year_by_hand():
    times = pd.DatetimeIndex(["2003-01-01", "2003-07-02 12:00", "2004-02-28", "2004-02-29", "2004-03-01", "2004-12-31"])
    found = positions(Calendar("equal", 86_400_000_000, "datetime64"), times, "year")
    assert [round(365 * p) for p in found["noleap"].tolist()] == [0, 182, 58, 58, 59, 364]
    np.testing.assert_allclose(365.25 * found["days"], [0, 182.5, 58, 59, 60, 365])
    np.testing.assert_allclose(found["calendar"][[1, 5]], [0.5, 365 / 366])
    np.testing.assert_allclose(365.2425 * np.diff(found["mean"]), [182.5, 240.5, 1, 1, 305])


@pytest.mark.parametrize("calendar", ["noleap", "360_day"])
def test_a_calendar_without_leap_years_has_one_year(calendar):
    times = xr.CFTimeIndex([cftime.datetime(2001, 7, 1, calendar=calendar)])
    (position,) = positions(Calendar("equal", 86_400_000_000, calendar), times, "year").values()
    assert position.tolist() == [{"noleap": 181 / 365, "360_day": 0.5}[calendar]]


def test_months_and_days():
    times = pd.DatetimeIndex(["2001-01-15", "2001-04-16 18:00"])
    months = positions(Calendar("months", 3, "datetime64"), times, "year")
    assert {name: p.tolist() for name, p in months.items()} == {"months": [0, 0.25]}
    assert positions(Calendar("equal", 1, "datetime64"), times, "day")["day"].tolist() == [0, 0.75]


@pytest.mark.parametrize("calendar", [Calendar("equal", 86_400_000_000, "datetime64"), Calendar("months", 1, "noleap")])
def test_steps_without_labels_have_no_position(calendar):
    with pytest.raises(ValueError, match=r"no time labels, .* in the year .* X\.assign_coords\(time="):
        positions(calendar, pd.RangeIndex(3), "year")
