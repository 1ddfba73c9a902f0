"""Every forecaster takes every kind of series: calendars, channels, samples, sizes, gaps; its labels come back."""

import copy
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from every import N_TRAIN, PERIOD, SHAPE, every_estimator, make_estimators, make_series, with_gaps
from shift import Fill
from small import small

import gridcast as gc

CALENDARS = {
    "days over a leap day": pd.date_range("2004-02-01", periods=51, freq="D"),
    "six hours": pd.date_range("2013-12-30", periods=51, freq="6h"),
    "months": pd.date_range("1999-01-01", periods=51, freq="MS"),
    "pentads": pd.DatetimeIndex(
        [pd.Timestamp(f"{year}-01-01") + pd.Timedelta(days=5 * i + (year == 1980 and 5 * i > 58))
         for year in (1979, 1980) for i in range(73)][60:111]
    ),
    "days without leap days": xr.date_range("2004-02-01", periods=51, freq="D", calendar="noleap", use_cftime=True),
    "months of 30 days": xr.date_range("2004-02-01", periods=51, freq="MS", calendar="360_day", use_cftime=True),
    "numbers": pd.Index(np.arange(51) * 0.5 + 7),
}  # fmt: skip


@pytest.mark.parametrize("calendar", CALENDARS)
@every_estimator
def test_time_goes_on_in_every_calendar(name, calendar):
    time = CALENDARS[calendar]
    series = make_series(51, (4, 8), time=time)
    estimator = make_estimators()[name].fit(series[:46])
    assert estimator.predict(5).indexes["time"].equals(time[46:])
    one_step = estimator.predict(series[:50], 4, mode="one_step")
    assert one_step.indexes["time"].equals(time[47:])
    assert estimator.update(series[46:49]).predict(2).indexes["time"].equals(time[49:])


@every_estimator
def test_a_plain_array_is_time_y_x(name):
    series = make_series()
    estimator = make_estimators()[name].fit(series.values[:N_TRAIN])
    forecast = estimator.predict(2)
    assert forecast.dims == ("time", "y", "x")
    assert forecast["time"].values.tolist() == [N_TRAIN, N_TRAIN + 1]
    labelled = make_estimators()[name].fit(series[:N_TRAIN])
    np.testing.assert_array_equal(forecast, labelled.predict(2))
    np.testing.assert_array_equal(estimator.predict(series.values[:N_TRAIN], 2), forecast)
    long = np.concatenate([series.values] * 2)[N_TRAIN:]
    assert estimator.update(long).predict(1)["time"].item() == N_TRAIN + len(long)


@every_estimator
def test_an_update_takes_the_numbers_that_its_steps_get_anyway(name):
    x = make_series().drop_vars("time")
    estimator = make_estimators()[name].fit(x[:N_TRAIN])
    plain = copy.deepcopy(estimator).update(x[N_TRAIN:])
    numbered = copy.deepcopy(estimator)
    for start, stop in ((N_TRAIN, N_TRAIN + 4), (N_TRAIN + 4, len(x))):
        numbered.update(x[start:stop].assign_coords(time=range(start, stop)))
    xr.testing.assert_identical(numbered.predict(2), plain.predict(2))
    for time in (range(N_TRAIN + 1, N_TRAIN + 5), pd.date_range("2001-01-01", periods=4)):
        with pytest.raises(ValueError, match=f"but the last observed step is {N_TRAIN - 1}"):
            estimator.update(x[-4:].assign_coords(time=time))


@pytest.mark.parametrize("chunked", [False, True])
@every_estimator
def test_what_is_kept_is_not_the_array_of_the_user(name, chunked):
    series = make_series()
    X = series.chunk() if chunked else series
    estimator = make_estimators()[name].fit(X[:N_TRAIN])
    other = copy.deepcopy(estimator).update(X[N_TRAIN:])
    expected = [e.predict_samples(2, n_samples=2).values for e in (estimator, other)]
    series.values[:] = 0
    for e, values in zip((estimator, other), expected, strict=True):
        np.testing.assert_array_equal(e.predict_samples(2, n_samples=2), values)


@every_estimator
def test_an_array_without_time_labels_counts_steps(name):
    series = make_series().drop_vars("time")
    forecast = make_estimators()[name].fit(series[:N_TRAIN]).predict(2)
    assert forecast.dims == series.dims
    assert forecast["time"].values.tolist() == [N_TRAIN, N_TRAIN + 1]


CYCLES = {
    "naive": lambda: gc.NaiveForecaster("climatology", period=PERIOD),
    "climatology": lambda: small("linear", climatology=PERIOD),
    "transformer": lambda: small("linear", climatology="mean", transformer=gc.Anomaly(PERIOD)),
    "pipeline": lambda: gc.ForecastPipeline([("anomaly", gc.Anomaly(PERIOD)), ("naive", gc.NaiveForecaster())]),
}


@pytest.mark.parametrize("cycle", CYCLES)
def test_an_array_without_times_is_at_no_place_in_a_cycle(cycle):
    x = make_series().values
    first = N_TRAIN + 5  # not where a cycle begins
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = CYCLES[cycle]().fit(x[:N_TRAIN])
        assert np.isfinite(model.predict(x, 2)).all()
        moved = copy.deepcopy(model).update(x[N_TRAIN:first])
        if cycle != "pipeline":
            np.testing.assert_allclose(moved.predict(x[:first], 2), moved.predict(2), rtol=1e-5)
        numbered = xr.DataArray(x, dims=("time", "y", "x")).assign_coords(time=range(len(x)))[first:]
        later = model.predict(numbered, 2)
    np.testing.assert_array_equal(later["time"], [len(x), len(x) + 1])
    with pytest.warns(UserWarning, match=rf"cycle of {PERIOD} steps.*X.assign_coords\(time=range") as found:
        elsewhere = model.predict(x[first:], 2)
    assert {Path(w.filename).name for w in found} == {"test_series.py"}
    assert abs(elsewhere - later.values).max() > 3
    for call in (model.score, lambda X: gc.backtest(model, X)):
        with pytest.warns(UserWarning, match="X has no time labels"):
            call(x[first - 5 :])


@pytest.mark.parametrize(
    "make",
    [
        lambda: gc.NaiveForecaster(),
        lambda: gc.NaiveForecaster("seasonal", period=PERIOD),
        lambda: gc.NaiveForecaster("climatology"),
        lambda: small("linear"),
        lambda: gc.ForecastPipeline([("anomaly", gc.Anomaly()), ("naive", gc.NaiveForecaster())]),
    ],
)
def test_without_a_cycle_times_do_not_matter(make):
    x = make_series().values
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = make().fit(x[:N_TRAIN])
        model.score(x[-15:])
        gc.backtest(model, x[-15:])
        forecast = model.predict(x[-15:], 2)
    # wherever its steps stand in the series
    numbered = xr.DataArray(x, dims=("time", "y", "x")).assign_coords(time=range(len(x)))
    np.testing.assert_allclose(forecast, model.predict(numbered[-15:], 2), rtol=1e-6)


@every_estimator
def test_channels(name):
    first, second = make_series(seed=1), make_series(seed=2) * 100 - 4e4
    series = xr.concat([first, second], pd.Index(["t", "z"], name="variable")).transpose("time", ...)
    estimator = make_estimators()[name].fit(series[:N_TRAIN])
    forecast = estimator.predict(3)
    assert forecast.dims == ("time", "variable", "lat", "lon")
    assert forecast["variable"].values.tolist() == ["t", "z"]
    for channel in ("t", "z"):
        seen = series.sel(variable=channel)
        margin = 3 * float(seen.max() - seen.min())
        assert seen.min() - margin < forecast.sel(variable=channel).mean() < seen.max() + margin
    assert estimator.predict_samples(3, n_samples=2).dims == ("member", *forecast.dims)
    assert np.isfinite(estimator.score(series[N_TRAIN:]))


@every_estimator
def test_samples_are_independent_sequences(name):
    series = make_series(30, lead=(3,)).assign_coords(sample=["a", "b", "c"])
    estimator = make_estimators()[name].fit(series)
    forecast = estimator.predict(2)
    assert forecast.dims == series.dims
    assert forecast["sample"].values.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(forecast["time"], pd.date_range("2001-01-31", periods=2))
    other = make_series(20, lead=(2,), seed=5)
    both = estimator.predict(other, 2)
    assert both.sizes["sample"] == 2
    for i in range(2):
        np.testing.assert_allclose(both[i], estimator.predict(other[i], 2), rtol=1e-5)
    assert np.isfinite(estimator.score(other))
    assert estimator.predict_samples(other, 2, n_samples=3).dims == ("member", *series.dims)
    assert gc.backtest(estimator, other, horizon=2).dims == ("sample", "init_time", "lead_time", "lat", "lon")


@pytest.mark.parametrize("shape", [(25, 53), (5, 3)])
@every_estimator
def test_any_grid_size(name, shape):
    series = make_series(30, shape)
    estimator = make_estimators()[name].fit(series[:25])
    assert estimator.predict(2).shape == (2, *shape)
    assert np.isfinite(estimator.predict_samples(2, n_samples=2)).all()
    assert np.isfinite(estimator.score(series[25:]))


@pytest.mark.parametrize(("periodic", "on_globe", "around"), [
    ("auto", True, True), ("auto", False, False), ((), True, False), ("lon", False, True),
])  # fmt: skip
@pytest.mark.parametrize("name", ["cnmm", "convlstm"])
def test_longitude_goes_around_the_globe_where_it_spans_it(name, periodic, on_globe, around):
    step = 30.0 if on_globe else 5.0
    series = make_series(24).assign_coords(lon=step * np.arange(SHAPE[1]))
    estimator = make_estimators()[name].set_params(periodic=periodic, climatology=None)
    estimator.set_params(architecture="paper", patch_size=8).fit(series)  # all places alike
    turned = series.copy(data=np.roll(series, 4, axis=-1))
    forecast = np.roll(estimator.predict(series, 2), 4, axis=-1)
    assert np.allclose(estimator.predict(turned, 2), forecast, rtol=1e-5) == around


# Missing values


@every_estimator
def test_land_stays_missing_and_gaps_are_filled(name):
    series = with_gaps(make_series())
    estimator = make_estimators()[name].fit(series[:N_TRAIN])
    for forecast in (
        estimator.predict(3),
        estimator.predict(series, 3, mode="one_step"),
        estimator.predict_samples(3, n_samples=3),
        estimator.predict_quantiles(3, n_samples=3),
        gc.backtest(estimator, series[N_TRAIN:], horizon=3),
    ):
        assert forecast[..., :3].isnull().all()
        assert np.isfinite(forecast[..., 3:]).all()
    assert np.isfinite(estimator.score(series[N_TRAIN:]))


@every_estimator
def test_a_cell_that_is_missing_for_long_still_gets_a_forecast(name):
    series = make_series()
    series[N_TRAIN - 20 :, 2, 3] = np.nan
    estimator = make_estimators()[name].fit(series[:N_TRAIN])
    assert np.isfinite(estimator.predict(3)).all()
    one_step = estimator.predict(series, 6, mode="one_step")
    assert np.isfinite(one_step).all()


@pytest.mark.parametrize("name", ["linear", "convlstm"])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_transformer_of_the_user_may_fill_gaps(name, chunked):
    series = with_gaps(make_series())
    X = series.chunk(time=7) if chunked else series
    estimator = small(name, transformer=Fill()).fit(X[:N_TRAIN])
    assert np.isfinite(estimator.predict(2)).all()
    assert np.isfinite(estimator.score(X[N_TRAIN:]))


@every_estimator
def test_land_of_the_training_series_stays_missing_whatever_is_observed_later(name):
    series = make_series()
    land = series[:N_TRAIN].where(series["lon"] > series["lon"][2])
    estimator = make_estimators()[name].fit(land)
    assert estimator.predict(series, 2)[..., :3].isnull().all()


# Files


def test_forecasts_keep_their_labels_in_files(tmp_path):
    series = make_series().assign_attrs(actual_range=[0.0, 1.0])
    model = make_estimators()["persistence"].fit(series[:N_TRAIN])
    forecasts = {
        "mean": model.predict(3),
        "members": model.predict_samples(3, n_samples=4),
        "quantiles": model.predict_quantiles(3, n_samples=4),
        "backtest": gc.backtest(model, series[N_TRAIN:], 3, n_samples=4),
    }
    for name, forecast in forecasts.items():
        assert forecast.attrs == make_series().attrs
        forecast.to_netcdf(tmp_path / f"{name}.nc")
        xr.testing.assert_identical(xr.load_dataarray(tmp_path / f"{name}.nc"), forecast)
        forecast.to_zarr(tmp_path / f"{name}.zarr", zarr_format=2)
        xr.testing.assert_identical(xr.open_dataarray(tmp_path / f"{name}.zarr", engine="zarr").load(), forecast)
    assert forecasts["members"]["member"].attrs["standard_name"] == "realization"
    assert forecasts["backtest"]["init_time"].attrs["standard_name"] == "forecast_reference_time"
