"""Periods that begin anew, labels in the middle, rules that later steps decide."""

import cftime
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import gridcast as gc
from gridcast.data.inference import infer_calendar


def anew(days, first="year", years=(2001, 2002, 2003, 2004, 2005)):
    starts = [pd.Timestamp(y, m, 1) for y in years for m in (range(1, 13) if first == "month" else [1])]
    return pd.DatetimeIndex([s + pd.Timedelta(days=d) for s in starts for d in days])


MONTHS = pd.date_range("1961-01-01", periods=120, freq="MS")
YEARS = pd.date_range("1961-01-01", periods=40, freq="YS")


def middles(starts, months):
    ends = [start + pd.DateOffset(months=months) for start in starts]
    return pd.DatetimeIndex([start + (end - start) / 2 for start, end in zip(starts, ends, strict=True)])


def middles_between(starts):
    return starts[:-1] + (starts[1:] - starts[:-1]) / 2


AXES = {
    "half months, middle": middles_between(anew((0, 15), "month")),
    "half months, middle in whole days": middles_between(anew((0, 15), "month")).floor("D"),
    "dekads, middle": middles_between(anew((0, 10, 20), "month")),
    "six pentads a month, middle": middles_between(anew((0, 5, 10, 15, 20, 25), "month")),
    "8 days, middle": middles_between(anew(range(0, 365, 8))),
    "10 days of the year, middle in whole days": middles_between(anew(range(0, 365, 10))).ceil("D"),
    "16 days": anew(range(0, 365, 16)),
    "8 days": anew(range(0, 365, 8)),
    "dekads": anew((0, 10, 20), "month"),
    "half months": anew((0, 15), "month"),
    "six pentads a month": anew((0, 5, 10, 15, 20, 25), "month"),
    "month, middle in whole days": MONTHS + pd.to_timedelta(MONTHS.days_in_month // 2, unit="D"),
    "year, middle": YEARS + pd.to_timedelta(np.where(YEARS.is_leap_year, 366, 365) * 12, unit="h"),
    "winters, middle": middles(YEARS - pd.DateOffset(months=1), 3),
    "seasons, middle": middles(MONTHS[2::3], 3),
    "month, middle to even days": MONTHS + pd.to_timedelta(np.rint(MONTHS.days_in_month / 2), unit="D"),
    "two months, middle": middles(MONTHS[::2], 2),  # at the end of a month or the start of the next
    "July to June, middle": middles(YEARS + pd.DateOffset(months=6), 12),
    "ends of dekads": (MONTHS + pd.Timedelta("9D"))
    .union(MONTHS + pd.Timedelta("19D"))
    .union(MONTHS + pd.offsets.MonthEnd(0)),
}


@pytest.mark.parametrize("name", AXES)
def test_a_forecast_goes_on_by_the_rule_of_the_series(name):
    times = AXES[name]
    n = len(times) * 2 // 3
    X = xr.DataArray(np.random.default_rng(0).normal(size=(len(times), 2, 3)), dims=("time", "y", "x"))
    X = X.assign_coords(time=times)
    forecast = gc.NaiveForecaster().fit(X[:n]).predict(len(times) - n)
    assert forecast.indexes["time"].equals(times[n:])
    X.sel(time=forecast.time)


@pytest.mark.parametrize("name", AXES)
def test_the_steps_of_a_year_have_phases(name):
    times = AXES[name]
    calendar = infer_calendar(times)
    if name.startswith(("year", "winters", "July")):
        assert calendar.steps_per("year") == 1
        return
    phases = calendar.phase(times, "year")
    assert len(np.unique(phases)) == calendar.steps_per("year")
    same_year = np.diff(times.year) == 0
    assert (np.diff(phases)[same_year & (np.diff(phases) > 0)] == 1).all()


def test_middles_of_months_may_be_a_day_beside():
    days = np.random.default_rng(0).integers(14, 17, len(MONTHS))
    times = MONTHS + pd.to_timedelta(np.minimum(days, MONTHS.days_in_month // 2 + 1), unit="D")
    calendar = infer_calendar(times[:60])
    calendar.check(times)
    assert np.abs((calendar.after(times[59], 60) - times[60:]).days).max() <= 1
    with pytest.raises(ValueError, match="gap"):
        calendar.check(times.delete(70))


GAPPY = AXES | {
    "days at noon": pd.date_range("2001-01-01 12:00", periods=200),
    "90 minutes": pd.date_range("2001-01-01", periods=200, freq="90min"),
    "days without leap days": xr.date_range("2001-01-01", periods=200, calendar="noleap", use_cftime=True),
    "numbers": pd.Index(np.arange(0, 20, 0.1)),
}


@pytest.mark.parametrize("missing", [1, 20])
@pytest.mark.parametrize("name", GAPPY)
def test_a_gap_is_filled_by_the_advice(name, missing):
    times = GAPPY[name].rename("time")
    X = xr.DataArray(np.zeros((len(times), 1, 1)), dims=("time", "y", "x"), coords={"time": times})
    X = X.drop_isel(time=range(7, 7 + min(missing, len(times) // 4)))
    with pytest.raises(ValueError, match=r"a gap\. .*X\.reindex\(time=(.*)\), or split") as caught:
        gc.NaiveForecaster().fit(X)
    advice = str(caught.value).split("missing values, ")[1].split(", or split")[0]
    filled = eval(advice, {"X": X, "pd": pd, "cftime": cftime})
    assert filled.indexes["time"].equals(times)


@pytest.mark.parametrize(
    ("later", "then"),
    [
        (["2004-03-01"], "2004-03-02"),  # without a leap day
        (["2004-02-29"], "2004-03-01"),
    ],
)
def test_later_steps_decide_between_rules_that_fit(later, then):
    times = pd.date_range("2004-01-20", "2004-02-28")
    X = xr.DataArray(np.zeros((len(times), 1, 1)), dims=("time", "y", "x"), coords={"time": times})
    more = pd.DatetimeIndex(later)
    model = gc.NaiveForecaster().fit(X)
    model.update(X[:1].assign_coords(time=more))
    assert model.predict(1).time.values[0] == np.datetime64(then)
    history = xr.concat([X, X[:1].assign_coords(time=more)], "time")
    assert gc.NaiveForecaster().fit(X).predict(history, 1).time.values[0] == np.datetime64(then)
    assert gc.NaiveForecaster().fit(history).predict(1).time.values[0] == np.datetime64(then)


def test_a_rule_that_is_open_is_saved(tmp_path):
    times = pd.date_range("2004-01-20", "2004-02-28")
    X = xr.DataArray(np.zeros((len(times), 1, 1)), dims=("time", "y", "x"), coords={"time": times})
    gc.NaiveForecaster().fit(X).save(tmp_path / "m.gridcast")
    model = gc.load(tmp_path / "m.gridcast").update(X[:1].assign_coords(time=pd.DatetimeIndex(["2004-03-01"])))
    assert str(model.calendar_.kind) == "noleap"


def test_a_rule_of_middles_is_saved(tmp_path):
    times = AXES["half months, middle in whole days"]
    X = xr.DataArray(np.zeros((len(times), 1, 1)), dims=("time", "y", "x"), coords={"time": times})
    gc.NaiveForecaster().fit(X[:50]).save(tmp_path / "m.gridcast")
    assert gc.load(tmp_path / "m.gridcast").predict(len(times) - 50).indexes["time"].equals(times[50:])


@pytest.mark.parametrize(
    "labels",
    [
        np.arange(0, 8, 0.1),
        np.arange(80) * 0.1,
        np.linspace(0, 7.9, 80),
        np.round(np.arange(80) * 0.1, 1),
        np.arange(80, dtype=np.float32) / 24 + 17897,
        np.arange(80) / 3,
        1e5 + np.arange(80) * 0.25,
    ],
)
def test_numeric_labels_are_those_of_the_series(labels):
    X = xr.DataArray(np.zeros((80, 1, 1)), dims=("time", "y", "x"), coords={"time": labels})
    forecast = gc.NaiveForecaster().fit(X[:50]).predict(30)
    assert X.sel(time=forecast.time).sizes["time"] == 30


WRITTEN = {
    "multiples": lambda step, n: np.arange(n) * step,
    "rounded multiples": lambda step, n: np.round(np.arange(n) * step, 4),
    "rounded middles": lambda step, n: np.round((np.arange(n) + 0.5) * step, 4),
    "arange": lambda step, n: np.arange(0, (n + 1) * step, step)[:n],
    "shares": lambda step, n: np.arange(n) / np.ceil(1 / step),
    "years of a model": lambda step, n: 1850 + np.arange(n) * step,
    "arange from a year": lambda step, n: np.arange(1850, 1850 + (n + 1) * step, step)[:n],
    "linspace": lambda step, n: np.linspace(0, (n - 1) * step, n),
}


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize("step", [0.1, 0.3, 0.05, 0.025, 0.001, 1.1])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_numeric_labels_of_a_series_cut_in_its_middle_are_those_that_come(written, step, dtype):
    labels = WRITTEN[written](step, 2000).astype(dtype)
    for start, stop in ((0, 60), (123, 183), (700, 1500)):
        after = infer_calendar(pd.Index(labels[start:stop])).after(labels[stop - 1], 100)
        np.testing.assert_array_equal(after, labels[stop : stop + 100])


def test_hours_kept_in_single_precision_are_to_be_rounded():
    days = (17897 + np.arange(80) / 24).astype("f4").astype("f8")
    times = pd.to_datetime(np.round(days * 86400e3).astype("i8"), unit="ms")
    X = xr.DataArray(np.zeros((80, 1, 1)), dims=("time", "y", "x"), coords={"time": times})
    with pytest.raises(ValueError, match=r"round them, X.assign_coords\(time=X.time.dt.round\('h'\)\)"):
        gc.NaiveForecaster().fit(X)
    X = X.assign_coords(time=X.time.dt.round("h"))
    assert gc.NaiveForecaster().fit(X).predict(1).time.values[0] == X.time.values[-1] + np.timedelta64(1, "h")


def test_nanoseconds_go_on_beyond_2262():
    times = pd.date_range("2230-01-01", periods=30, freq="YS").as_unit("ns")
    X = xr.DataArray(np.zeros((30, 1, 1)), dims=("time", "y", "x"), coords={"time": times})
    model = gc.NaiveForecaster().fit(X)
    assert model.predict(6).indexes["time"].year.tolist() == [2260, 2261, 2262, 2263, 2264, 2265]
    assert gc.backtest(gc.NaiveForecaster().fit(X[:20]), X[20:], horizon=5).sizes["lead_time"] == 5


def test_composites_of_another_calendar():
    times = xr.CFTimeIndex(
        [cftime.DatetimeNoLeap(y, 1, 1) + pd.Timedelta(days=d) for y in range(2001, 2004) for d in range(0, 365, 16)]
    )
    calendar = infer_calendar(times[:40])
    assert list(calendar.after(times[39], len(times) - 40)) == list(times[40:])
