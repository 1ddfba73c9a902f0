"""Oracles are pandas' and xarray's own date ranges; pentads are built from CMAP's definition."""

import dataclasses
import json
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import assume, given
from hypothesis import strategies as st

from gridcast.data.calendars import Calendar
from gridcast.data.inference import infer_calendar

pytestmark = pytest.mark.filterwarnings("error")


def dates(start, n, freq, calendar="datetime64", unit="ns"):
    if calendar == "datetime64":
        return pd.date_range(start, periods=n, freq=freq).as_unit(unit)
    return xr.date_range(start, periods=n, freq=freq, calendar=calendar, use_cftime=True)


def pentads(first_year, n, calendar="datetime64"):
    """73 a year; the twelfth runs from 25 February to 1 March and has six days in a leap year."""
    years = range(first_year, first_year + n // 73 + 2)
    starts = pd.date_range("2001-01-01", periods=73, freq="5D")
    labels = [f"{year:04}-{start:%m-%d}" for year in years for start in starts][:n]
    if calendar == "datetime64":
        return pd.DatetimeIndex(labels)
    return xr.CFTimeIndex([xr.date_range(label, periods=1, calendar=calendar, use_cftime=True)[0] for label in labels])


def without_leap_days(times):
    return times[~((times.month == 2) & (times.day == 29))]


def middle_of_months(start, n, calendar="datetime64"):
    edges = dates(start, n + 1, "MS", calendar)
    middles = [a + (b - a) / 2 for a, b in pairwise(edges)]
    return (pd.DatetimeIndex if calendar == "datetime64" else xr.CFTimeIndex)(middles)


AXES = {
    "hourly": (dates("2019-03-01", 2000, "h"), "equal", "1 hour"),
    "6-hourly": (dates("2012-01-01", 3000, "6h"), "equal", "6 hours"),
    "5 minutes": (dates("2012-02-28", 1000, "5min", unit="s"), "equal", "5 minutes"),
    "daily": (dates("2011-12-01", 800, "D", unit="s"), "equal", "1 day"),
    "weekly": (dates("2011-12-01", 200, "7D"), "equal", "7 days"),
    "5 days": (dates("2011-01-01", 200, "5D"), "equal", "5 days"),
    "pentads": (pentads(1979, 400), "noleap", "5 days"),
    "pentads cftime": (pentads(1979, 250, "standard"), "noleap", "5 days"),
    "daily without leap days": (without_leap_days(dates("2011-06-01", 1500, "D")), "noleap", "1 day"),
    "6-hourly without leap days": (without_leap_days(dates("2012-02-01", 900, "6h")), "noleap", "6 hours"),
    "cftime without leap days": (
        without_leap_days(dates("2012-01-01", 800, "D", "julian")),
        "noleap",
        "1 day",
    ),
    "months": (dates("2010-01-01", 128, "MS"), "months", "1 month"),
    "months in seconds": (dates("1850-01-01", 128, "MS", unit="s"), "months", "1 month"),
    "months at 15th noon": (
        dates("2010-01-01", 60, "MS") + pd.Timedelta(days=14, hours=12),
        "months",
        "1 month",
    ),
    "ends of months": (dates("2010-01-01", 60, "ME"), "months", "1 month"),
    "middles of months": (middle_of_months("2010-01-01", 60), "months", "1 month"),
    "middles noleap": (middle_of_months("0001-01-01", 60, "noleap"), "months", "1 month"),
    "middles of months without leap days": (
        pd.DatetimeIndex([pd.Timestamp(str(t)) for t in middle_of_months("1970-01-01", 90, "noleap")]),
        "months",
        "1 month",
    ),
    "half a second early": (middle_of_months("1870-01-01", 60) - pd.Timedelta("0.5s"), "months", "1 month"),
    "seasons": (dates("2009-12-01", 40, "3MS"), "months", "3 months"),
    "years": (dates("1999-07-02", 40, "12MS", unit="s"), "months", "1 year"),
    "months in year 1": (dates("0001-01-01", 40, "MS", "standard"), "months", "1 month"),
    "noleap months": (dates("1850-01-01", 40, "MS", "noleap"), "months", "1 month"),
    "360_day months": (dates("1850-01-16", 40, "30D", "360_day"), "months", "1 month"),
    "noleap days": (dates("1850-01-01", 800, "D", "noleap"), "equal", "1 day"),
    "360_day days": (dates("1850-01-01", 800, "D", "360_day"), "equal", "1 day"),
    "all_leap days": (dates("1850-01-01", 800, "D", "all_leap"), "equal", "1 day"),
    "across October 1582": (dates("1582-09-01", 100, "D", "standard"), "equal", "1 day"),
    "counted": (pd.RangeIndex(100), "equal", "1"),
    "integers": (pd.Index(np.arange(-50, 1000, 7)), "equal", "7"),
    "floats": (pd.Index(np.arange(500) * 0.1), "equal", "0.1"),
    "float32": (pd.Index((np.arange(500) * 0.1).astype("float32")), "equal", "0.1"),
    "large floats": (pd.Index(1_700_000_000.0 + np.arange(500) / 3), "equal", "0.333333"),
}
every_axis = pytest.mark.parametrize(("times", "kind", "step"), AXES.values(), ids=AXES.keys())


def assert_same(got, want):
    assert type(got) is (pd.Index if isinstance(want, pd.RangeIndex) else type(want))
    assert got.dtype == want.dtype
    if want.dtype.kind == "f":
        np.testing.assert_allclose(got, want, rtol=2 * np.finfo(want.dtype).eps * len(want))
    else:
        assert got.tolist() == want.tolist()


@every_axis
def test_an_axis_is_known_and_named(times, kind, step):
    calendar = infer_calendar(times)
    assert calendar.kind == kind
    assert str(calendar) == step
    calendar.check(times)
    calendar.check(times[:1])


@every_axis
def test_the_axis_continues_as_it_went_on(times, kind, step):
    known = len(times) * 3 // 4
    calendar = infer_calendar(times[:known])
    assert_same(calendar.after(times[known - 1], len(times) - known), times[known:])
    assert calendar.follows(times[known - 1], times[known])
    assert not calendar.follows(times[known - 1], times[known + 1])
    assert not calendar.follows(times[known - 1], times[known - 1])
    assert not calendar.follows(times[known], times[known - 1])


@every_axis
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_gap_is_named(times, kind, step, share):
    missing = 1 + round(share * (len(times) - 3))
    gappy = times.delete(missing)
    with pytest.raises(ValueError, match=rf"^X: time step {missing} .* by {step}: a gap\. .*WindowSplitter"):
        infer_calendar(gappy)
    with pytest.raises(ValueError, match=rf"^X: time step {missing} .* by {step}: a gap"):
        infer_calendar(times).check(gappy)


@every_axis
@pytest.mark.parametrize(
    ("order", "step_named", "problem"),
    [
        ([0, 1, 2, 3, 3, 4, 5], 4, "a repeat"),
        ([0, 1, 2, 4, 3, 5, 6, 7], 3, "a gap"),
        ([3, 4, 5, 6, 0, 1, 2], 4, "a decrease"),
        ([0, 1, 2, 3, 8, 9, 10], 4, "a gap"),
        ([6, 5, 4, 3, 2, 1, 0], 1, "a decrease"),
        ([0, 0, 0, 0], 1, "a repeat"),
        ([4, 9, 2, 0, 1, 7], 2, "a decrease"),
    ],
)
def test_a_repeat_or_decrease_or_join_is_named(times, kind, step, order, step_named, problem):
    with pytest.raises(ValueError, match=rf"^X: time step {step_named} .*: {problem}\. .*WindowSplitter"):
        infer_calendar(times[order])


@every_axis
def test_the_rule_survives_json(times, kind, step):
    calendar = infer_calendar(times)
    assert Calendar(**json.loads(json.dumps(dataclasses.asdict(calendar)))) == calendar


def test_the_message_in_full():
    times = pentads(1980, 146)
    with pytest.raises(ValueError, match="gap") as caught:
        infer_calendar(times.delete(slice(66, 73)))
    assert str(caught.value) == (
        "X: time step 66 (1981-01-01) does not follow 1980-11-22 by 5 days: a gap. Fill it with missing "
        "values, X.reindex(time=X.indexes['time'].union(pd.to_datetime(['1980-11-27', '1980-12-02', '1980-12-07', "
        "'1980-12-12', '1980-12-17', '1980-12-22', '1980-12-27'], format='ISO8601'))), or split with gridcast."
        "WindowSplitter, which keeps time in order."
    )


def test_an_irregular_axis_says_so():
    times = pd.DatetimeIndex(["2000-01-01", "2000-01-02", "2000-01-05", "2000-01-11", "2000-01-25", "2000-03-09"])
    with pytest.raises(ValueError, match=r"time step 2 \(2000-01-05\).*the steps are irregular.*WindowSplitter"):
        infer_calendar(times)


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (pd.DatetimeIndex(["2000-01-01", "NaT", "2000-01-03"]), "time step 1 is missing"),
        (pd.Index([0.0, 1.0, np.nan]), "time step 2 is missing"),
        (pd.Index([0.0, np.inf, 2.0]), "time step 1 is inf"),
        (pd.DatetimeIndex(["2000-01-01"]), r"got 1 time step\(s\), but at least 2"),
        (pd.DatetimeIndex([]), r"got 0 time step\(s\), but at least 2"),
    ],
)
def test_bad_times(times, message):
    with pytest.raises(ValueError, match=message):
        infer_calendar(times)


@pytest.mark.parametrize("times", [pd.Index(["a", "b"]), pd.Index([True, False]), pd.to_timedelta([1, 2], unit="D")])
def test_other_axes_are_refused(times):
    with pytest.raises(TypeError, match="time must be datetime64, cftime or numeric"):
        infer_calendar(times)


def test_another_kind_of_axis_is_refused():
    calendar = infer_calendar(dates("2000-01-01", 9, "D"))
    noleap = dates("2000-01-01", 9, "D", "noleap")
    for use in (
        lambda: calendar.check(noleap),
        lambda: calendar.after(noleap[0], 1),
        lambda: calendar.phase(noleap, "day"),
    ):
        with pytest.raises(ValueError, match="time axis is noleap, but the series before it has datetime64"):
            use()
    with pytest.raises(ValueError, match="n=0: must be at least 1"):
        calendar.after(pd.Timestamp("2000-01-09"), 0)


@pytest.mark.parametrize(
    ("known", "then"),
    [
        (["2001-01-01", "2001-02-01"], "2001-03-01"),
        (["2001-01-31", "2001-03-31", "2001-05-31"], "2001-07-31"),
        (["2001-03-31", "2001-05-31", "2001-07-31"], "2001-09-30"),
        (["2001-07-16T12", "2001-08-16T12"], "2001-09-16"),
        (["2001-07-15", "2001-08-15"], "2001-09-15"),
        (["2001-07-29", "2001-08-29"], "2001-09-29"),
        (["2001-01-29", "2001-02-28"], "2001-03-30"),
        (["2001-10-30", "2001-11-30", "2001-12-30", "2002-01-30"], "2002-02-28"),
        (["2001-12-30", "2002-01-30", "2002-02-28"], "2002-03-30"),
        (["2001-02-28", "2002-02-28", "2003-02-28"], "2004-02-28"),
        (["2000-02-29", "2001-02-28", "2002-02-28", "2003-02-28"], "2004-02-29"),
        (["2003-02-15", "2003-02-20"], "2003-02-25"),
        (["2004-02-15", "2004-02-20", "2004-02-25"], "2004-03-02"),
        (["2004-02-16", "2004-02-21", "2004-02-26"], "2004-03-02"),
        (["2004-02-27", "2004-02-28"], "2004-02-29"),
    ],
)
def test_the_likelier_rule_is_taken(known, then):
    times = pd.DatetimeIndex(known)
    assert infer_calendar(times).after(times[-1], 1).tolist() == [pd.Timestamp(then)]


def test_hours_a_microsecond_beside_the_hour():
    hours = dates("2011-12-30", 2000, "h")
    times = hours + pd.to_timedelta(np.random.default_rng(0).integers(-1, 2, 2000), unit="us")
    calendar = infer_calendar(times)
    assert str(calendar) == "1 hour"
    assert calendar.phase(times, "day").tolist() == (np.arange(2000) % 24).tolist()


@pytest.mark.parametrize(
    ("times", "other", "message"),
    [
        (dates("2000-01-01", 9, "MS"), "2000-03-11", r"3 \(2000-03-11\) .* by 1 month: a step too short"),
        (
            without_leap_days(dates("2012-01-01", 800, "D")),
            "2012-02-29",
            r"59 \(2012-02-29\) .* a step too short",
        ),
    ],
)
def test_a_step_too_short_is_named(times, other, message):
    index = times.searchsorted(pd.Timestamp(other))
    with pytest.raises(ValueError, match=f"^X: time step {message}"):
        infer_calendar(times).check(times.insert(index, pd.Timestamp(other)))
    with pytest.raises(ValueError, match=f"^X: time step {index} .*: a gap"):
        infer_calendar(times).check(times.delete(index).insert(index, times[index] + pd.Timedelta("12h")))


def test_integers_that_outgrow_their_type():
    short = pd.Index(np.arange(0, 120, 7, dtype="int8"))
    assert infer_calendar(short).after(short[-1], 2).tolist() == [126, 133]


def test_numpy_times_are_times():
    calendar = infer_calendar(dates("2000-01-01", 9, "D", unit="s"))
    assert_same(calendar.after(np.datetime64("2000-01-09", "s"), 1), dates("2000-01-10", 1, "D", unit="s"))


@pytest.mark.parametrize(
    ("times", "per_year", "per_day"),
    [
        (dates("2010-01-01", 24, "MS"), 12, None),
        (dates("2009-12-01", 24, "3MS"), 4, None),
        (dates("2009-12-01", 24, "YS"), 1, None),
        (dates("2009-12-01", 24, "2YS"), None, None),
        (pentads(2010, 150), 73, None),
        (dates("2009-12-01", 24, "7D"), 52, None),
        (dates("2010-01-01", 24, "D"), 365, 1),
        (dates("2010-01-01", 24, "6h"), 1460, 4),
        (dates("2010-01-01", 24, "5h"), 1752, 5),
        (dates("2010-01-01", 24, "h"), 8760, 24),
        (dates("2010-01-01", 24, "D", "360_day"), 360, 1),
        (dates("2010-01-01", 24, "D", "all_leap"), 366, 1),
        (pd.RangeIndex(9), None, None),
    ],
)
def test_steps_per_period(times, per_year, per_day):
    calendar = infer_calendar(times)
    for period, wanted in (("year", per_year), ("day", per_day)):
        if wanted is None:
            with pytest.raises(ValueError, match=rf"period='{period}': .*(is longer than a|has no) {period}"):
                calendar.phase(times, period)
        else:
            assert calendar.steps_per(period) == wanted
    with pytest.raises(ValueError, match="period='week'"):
        calendar.steps_per("week")


def test_phase_oracles():
    months = dates("2010-03-01", 30, "MS")
    assert infer_calendar(months).phase(months, "year").tolist() == (months.month - 1).tolist()
    steps = pentads(1979, 400)
    assert infer_calendar(steps).phase(steps, "year").tolist() == (np.arange(400) % 73).tolist()
    hours = dates("2019-03-01 05:00", 200, "h")
    assert infer_calendar(hours).phase(hours, "day").tolist() == ((np.arange(200) + 5) % 24).tolist()
    days = dates("2001-01-01", 1500, "D", "360_day")
    assert infer_calendar(days).phase(days, "year").tolist() == (np.arange(1500) % 360).tolist()


@pytest.mark.parametrize("calendar", ["datetime64", "standard"])
def test_a_leap_day_shares_the_phases_of_the_day_before(calendar):
    times = dates("2012-01-01", 5844, "6h", calendar)  # four years
    phase = infer_calendar(times).phase(times, "year")
    leap = (times.month == 2) & (times.day == 29)
    assert phase[~leap].tolist() == (np.arange((~leap).sum()) % 1460).tolist()
    assert phase[leap].tolist() == [232, 233, 234, 235]
    assert phase[(times.month == 2) & (times.day == 28)].tolist() == [232, 233, 234, 235] * 4


@st.composite
def axes(draw):
    """A long series of a random calendar, and its first `known` steps, enough to know it by."""
    calendar = draw(st.sampled_from(["datetime64", "standard", "proleptic_gregorian", "julian", "noleap", "360_day"]))
    year = draw(st.integers(1700, 2100))
    kind = draw(st.sampled_from(["equal", "months", "pentads", "noleap", "number"]))
    if kind == "number":
        dtype = draw(st.sampled_from(["int32", "int64", "float32", "float64"]))
        step, start = draw(st.integers(1, 1000)), draw(st.integers(-(10**4), 10**4))
        scale = 1 if dtype.startswith("int") else draw(st.sampled_from([1, 0.1, 1 / 24]))
        return pd.Index(((start + step * np.arange(60)) * scale).astype(dtype)), 30
    if kind == "pentads":
        calendar = "standard" if calendar in ("noleap", "360_day") else calendar
        return pentads(year, 170, calendar), draw(st.integers(75, 90))
    if kind == "months":
        step, day = draw(st.integers(1, 24)), draw(st.integers(1, 28))
        place = draw(st.sampled_from(["day", "middle", "end"]))
        if place == "middle":
            return middle_of_months(f"{year}-01-01", 60, calendar)[:: min(step, 5)], 6
        if place == "end":
            return dates(f"{year}-01", 60, "ME", calendar)[:: min(step, 5)], 6
        start = dates(f"{year}-01-01", 60 * step, "MS", calendar)[::step]
        return start + timedelta(days=day - 1, hours=draw(st.integers(0, 23))), 20
    hours = draw(st.integers(1, 1000) if kind == "equal" else st.sampled_from([3, 6, 12, 24]))
    # 160 days from 1 December pass every leap day, as a series without leap days must to be known as one.
    start = f"{year - year % 4 - 1}-12-01" if kind == "noleap" else f"{year}-{draw(st.integers(1, 12)):02}-01"
    n = 60 if kind == "equal" else 200 * 24 // hours
    long = dates(start, n, f"{hours}h", calendar)
    if kind == "noleap" and calendar not in ("noleap", "360_day"):
        assume(calendar == "julian" or year - year % 4 not in (1700, 1800, 1900, 2100, 2200))
        long = without_leap_days(long)
    return long, n * 4 // 5


@given(axes())
def test_any_axis_continues_as_it_went_on(axis):
    times, known = axis
    calendar = infer_calendar(times[:known])
    assert_same(calendar.after(times[known - 1], len(times) - known), times[known:])
    calendar.check(times)


@given(axes(), st.data())
def test_any_gap_raises_at_its_step(axis, data):
    times, _ = axis
    missing = data.draw(st.integers(1, len(times) - 2))
    with pytest.raises(ValueError, match=f"^X: time step {missing} .*: a gap"):
        infer_calendar(times).check(times.delete(missing))


@given(axes(), st.sampled_from(["year", "day"]))
def test_any_phase_repeats_after_a_period(axis, period):
    times, _ = axis
    calendar = infer_calendar(times)
    try:
        steps = calendar.steps_per(period)
    except ValueError:
        return
    phase = calendar.phase(times, period)
    assert phase.min() >= 0
    assert phase.max() < steps
    # Every 14 hours or every 5 months are no whole number of times a year, and equal steps pass 29 February.
    day = pd.Timedelta(days=1) // pd.Timedelta(microseconds=1)
    whole = {
        "noleap": True,
        "months": 12 % calendar.step == 0,
        "equal": period == "day" and day % calendar.step == 0,
    }
    if whole[calendar.kind]:
        assert phase.tolist() == ((np.arange(len(times)) + phase[0]) % steps).tolist()


@pytest.mark.parametrize(
    ("file", "kind", "step", "steps_per_year"),
    [
        ("ersstv5_sst.mnmean.nc", "months", "1 month", 12),
        ("cmap_precip.mon.ltm.nc", "months", "1 month", 12),
        ("era5_t2m_uk_2019-03_hourly.nc", "equal", "1 hour", 8760),
        ("air_temperature.zarr", "equal", "6 hours", 1460),
    ],
)
def test_real_axes(shared_data: Path, file, kind, step, steps_per_year):
    path = shared_data / file
    coder = xr.coders.CFDatetimeCoder(use_cftime=True) if "ltm" in file else True
    with xr.open_dataset(path, engine="zarr" if path.suffix == ".zarr" else None, decode_times=coder) as data:
        times = data.indexes["time"]
    calendar = infer_calendar(times[: len(times) * 2 // 3])
    assert (calendar.kind, str(calendar), calendar.steps_per("year")) == (kind, step, steps_per_year)
    known = len(times) * 2 // 3
    assert_same(calendar.after(times[known - 1], len(times) - known), times[known:])
    assert calendar.phase(times, "year")[0] == (0 if "era5" not in file else 59 * 24)
