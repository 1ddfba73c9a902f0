"""Time labels of other kinds: each refusal names the call that mends it, and the call works."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import gridcast as gc

N = 40
DAYS = pd.date_range("2001-01-01", periods=N)
KINDS = {
    "timedelta64": (pd.timedelta_range("0h", periods=N, freq="6h"), {}),
    "periods": (pd.period_range("2001-01", periods=N, freq="M"), {}),
    "text": ([f"{d:%Y-%m-%d_%H:%M:%S}" for d in DAYS], {}),
    "bytes": (np.array([f"{d:%Y-%m-%d_%H:%M:%S}" for d in DAYS], "S19"), {}),
    "dates": (pd.Index([d.date() for d in DAYS], dtype=object), {}),
    "zone": (pd.date_range("2001-01-01", periods=N, freq="h", tz="Europe/Zurich"), {}),
    "days as numbers": (np.array([int(f"{d:%Y%m%d}") for d in DAYS]), {}),
    "days as floats": (np.array([float(f"{d:%Y%m%d}") for d in DAYS]), {"units": "day as %Y%m%d.%f"}),
    "months as numbers": (np.array([100 * y + m for y in (2001, 2002, 2003, 2004) for m in range(1, 11)]), {}),
    "months by units": (np.arange(200101, 200111), {"units": "month as %Y%m.%f"}),
}


def make_series(labels, attrs):
    X = xr.DataArray(np.random.default_rng(0).normal(size=(len(labels), 2, 3)), dims=("time", "y", "x"))
    return X.assign_coords(time=("time", labels, attrs))


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_refused_everywhere_and_the_advice_works(kind):
    X = make_series(*KINDS[kind])
    model = gc.NaiveForecaster().fit(make_series(DAYS, {}))
    texts = set()
    for use in (gc.NaiveForecaster().fit, model.update, model.score, lambda X: gc.backtest(model, X, horizon=2)):
        with pytest.raises((TypeError, ValueError), match=r"X.assign_coords\(time=") as caught:
            use(X)
        texts.add(str(caught.value))
    (text,) = texts
    if kind == "months as numbers":  # ten months a year: regular only as numbers
        return
    mended = eval("X.assign_coords" + text.split("X.assign_coords", 1)[1], {"X": X, "pd": pd, "np": np})
    assert gc.NaiveForecaster().fit(mended).predict(2).sizes["time"] == 2


@pytest.mark.parametrize("labels", [np.arange(N), 1850 + np.arange(N) / 12, np.arange(N) * 6.0 + 700000])
def test_numbers_that_count_are_taken(labels):
    assert gc.NaiveForecaster().fit(make_series(labels, {})).predict(2).sizes["time"] == 2


def test_observations_of_another_calendar_are_named_by_verify_as_by_score():
    X = make_series(DAYS, {})
    model = gc.NaiveForecaster().fit(X[:20])
    forecast = gc.backtest(model, X[20:], horizon=2)
    other = X.convert_calendar("noleap", use_cftime=True)
    for use in (lambda: gc.verify(forecast, other, n_resamples=5), lambda: model.score(other[20:])):
        with pytest.raises(ValueError, match=r"time axis is noleap, .* has datetime64: convert it, X.convert_calendar"):
            use()
    back = other.convert_calendar("standard", use_cftime=False)
    assert gc.verify(forecast, back, n_resamples=5).sizes["lead_time"] == 2
