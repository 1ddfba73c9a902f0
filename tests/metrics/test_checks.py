"""What every metric does: labels that must agree, dimensions, units, and lazy results."""

import functools

import dask
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from gridcast import metrics

NAN = float("nan")
ERRORS = [metrics.mse, metrics.rmse, metrics.mae, metrics.bias]
ENSEMBLE_SCORES = [
    metrics.crps,
    metrics.spread_skill_ratio,
    metrics.rank_histogram,
    functools.partial(metrics.brier_score, threshold=3.0),
    functools.partial(metrics.threshold_weighted_crps, lower=2.0),
    functools.partial(metrics.interval_score, level=0.5),
    functools.partial(metrics.coverage, level=0.5),
    metrics.energy_score,
    metrics.variogram_score,
]


def test_the_caller_s_arrays_are_left_alone(ensemble, observed):
    labels = {
        "lat": observed["lat"].assign_attrs(units="degrees_north"),
        "height": xr.DataArray(2.0, attrs={"units": "m"}),
    }
    ensemble, observed = ensemble.assign_coords(labels), observed.assign_coords(labels)
    before = ensemble.copy(deep=True), observed.copy(deep=True)
    score = metrics.mae(ensemble, observed, dim="lon")
    assert not any(coord.attrs for coord in score.coords.values())
    metrics.crps(ensemble, observed)
    assert ensemble.identical(before[0])
    assert observed.identical(before[1])


@pytest.mark.parametrize("metric", [*ERRORS, *ENSEMBLE_SCORES])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda x: x.assign_coords(time=x["time"] + np.timedelta64(1, "D")),
            r"'time': first 2001-01-02.*\.sel\(time=",
        ),
        (lambda x: x.isel(lat=slice(None, None, -1)), r"'lat': first 0\.0 against 60\.0.*\.sel\(lat="),
        (
            lambda x: x.assign_coords(lon=x["lon"] + 1e-6),
            r"'lon'.*rounding alone, observed\.assign_coords\(lon=",
        ),
        (lambda x: x.isel(time=[0]), "'time': 1 against 2 steps"),
        (lambda x: x.isel(lon=[0]).drop_vars("lon"), "'lon': 1 against 2 steps"),
        (lambda x: x.isel(time=0), r"'time': labels over \(\) against \('time',\)"),
    ],
    ids=[
        "shifted time",
        "reversed lat",
        "rounded lon",
        "shorter",
        "size one without labels",
        "one step of a series",
    ],
)
def test_misaligned_labels_are_an_error(metric, change, message, ensemble, forecast, observed):
    data = ensemble if metric in ENSEMBLE_SCORES else forecast
    with pytest.raises(ValueError, match=f"(?s)forecast and observed differ along {message}"):
        metric(change(data), observed)


def test_misaligned_reference_and_weights_are_an_error(forecast, observed):
    shifted = forecast.assign_coords(lon=[5.0, 6.0])
    with pytest.raises(ValueError, match="forecast and reference differ along 'lon'"):
        metrics.mse_skill(forecast, shifted, observed)
    with pytest.raises(ValueError, match="forecast and weights differ along 'lat'"):
        metrics.mse(forecast, observed, weights=metrics.latitude_weights(observed[:, ::-1]))


def test_valid_times_of_a_backtest(observed):
    valid = xr.DataArray(observed["time"].values[[[0], [1]]], dims=("init_time", "lead_time"))
    backtest = observed.sel(time=valid) + 1.0
    assert metrics.mse(backtest, observed.sel(time=valid)).item() == 1.0
    with pytest.raises(ValueError, match=r"'time': labels over \('init_time', 'lead_time'\) against \('time',\)"):
        metrics.mse(backtest, observed)
    with pytest.raises(ValueError, match="differ along 'time'"):
        metrics.mse(backtest, observed.sel(time=valid[::-1]))


def test_dimensions_of_one_side_broadcast(forecast, observed):
    leads = xr.concat([forecast, observed], "lead_time")
    np.testing.assert_allclose(metrics.mse(leads, observed, dim=("time", "lat", "lon"), weights=None), [37 / 7, 0.0])
    climatology = observed.mean("time")
    assert metrics.bias(climatology, observed, dim="lon").dims == ("lat", "time")


@pytest.mark.parametrize("metric", [*ERRORS, *ENSEMBLE_SCORES])
def test_unknown_dimensions_are_an_error(metric, ensemble, forecast, observed):
    data = ensemble if metric in ENSEMBLE_SCORES else forecast
    with pytest.raises(ValueError, match="dim has 'level', which is none of the dimensions"):
        metric(data, observed, dim=("time", "level"))
    with pytest.raises(ValueError, match="weights has 'level', which is none of the dimensions"):
        metric(data, observed, weights=xr.DataArray([1.0, 2.0], dims="level"))
    with pytest.raises(ValueError, match="dim has 'member'"):
        metric(data, observed, dim="member")


def test_arrays_without_labels_are_an_error(forecast, observed):
    with pytest.raises(TypeError, match="forecast must be a DataArray, not ndarray"):
        metrics.mse(forecast.values, observed)
    with pytest.raises(TypeError, match="observed must be a DataArray, not Dataset"):
        metrics.crps(forecast, observed.to_dataset(name="precip"))


@pytest.mark.parametrize("metric", [*ERRORS, *ENSEMBLE_SCORES])
def test_lazy_stays_lazy_and_chunks_change_nothing(metric, ensemble, forecast, observed):
    data = ensemble if metric in ENSEMBLE_SCORES else forecast
    weights = metrics.latitude_weights(observed)

    def no_compute(*args, **kwargs):
        raise AssertionError("a metric computed the caller's data")

    with dask.config.set(scheduler=no_compute):
        lazy = metric(data.chunk(1), observed.chunk({"time": 1}), dim="lat")
    assert lazy.chunks is not None
    xr.testing.assert_allclose(lazy.compute(), metric(data, observed, dim="lat", weights=weights))


@pytest.mark.parametrize("metric", ENSEMBLE_SCORES)
def test_a_lazy_backtest_stays_lazy(metric, ensemble, observed):
    valid = xr.DataArray(observed["time"].values[[[0], [1]]], dims=("init_time", "lead_time"))
    backtest, truth = ensemble.sel(time=valid), observed.sel(time=valid)
    lazy = backtest.copy(data=backtest.variable.chunk(1).data)

    def no_compute(*args, **kwargs):
        raise AssertionError("a metric computed the caller's data")

    with dask.config.set(scheduler=no_compute):
        score = metric(lazy, truth, dim=("init_time", "lat", "lon"))
    assert score.chunks is not None
    xr.testing.assert_allclose(score.compute(), metric(backtest, truth, dim=("init_time", "lat", "lon")))


def test_lazy_skill_stays_lazy(forecast, observed):
    def no_compute(*args, **kwargs):
        raise AssertionError("a metric computed the caller's data")

    with dask.config.set(scheduler=no_compute):
        lazy = metrics.mse_skill(forecast.chunk(1), forecast + 1.0, observed.chunk(1), dim="time")
    assert lazy.chunks is not None
    xr.testing.assert_allclose(lazy.compute(), metrics.mse_skill(forecast, forecast + 1.0, observed, dim="time"))


def test_units_and_names(forecast, ensemble, observed):
    named = {metric.__name__: metric(forecast, observed) for metric in ERRORS}
    named["crps"] = metrics.crps(ensemble, observed)
    named["spread_skill_ratio"] = metrics.spread_skill_ratio(ensemble, observed)
    named["mse_skill"] = metrics.mse_skill(forecast, forecast, observed)
    units = {"mse": "(mm/day)^2", "spread_skill_ratio": "1", "mse_skill": "1"}
    for name, score in named.items():
        assert score.name == name
        assert score.attrs == {"units": units.get(name, "mm/day")}
    with pytest.warns(UserWarning, match="forecast is in 'mm/day' and observed in 'K': nothing is converted"):
        assert metrics.mse(forecast, observed.assign_attrs(units="K")).attrs == {"units": "K^2"}
    forecast = forecast.drop_attrs()
    assert metrics.mse(forecast, observed.assign_attrs(units="1")).attrs == {"units": "1"}
    assert metrics.mse(forecast.drop_attrs(), observed.drop_attrs()).attrs == {}
    assert observed.attrs == {"units": "mm/day"}


def test_a_climatology_by_month_is_refused_and_the_advice_works():
    time = pd.date_range("2001-01-01", periods=48, freq="MS")
    observed = xr.DataArray(np.random.default_rng(0).normal(size=(48, 3)), dims=("time", "x"), coords={"time": time})
    forecast = observed + 0.1
    climatology = observed.groupby("time.month").mean()
    for score in (metrics.anomaly_correlation, lambda f, o, c: metrics.mse_skill(f, c, o)):
        with pytest.raises(ValueError, match=r"has the dimension 'month', .*\.sel\(month=observed.time.dt.month\)"):
            score(forecast, observed, climatology)
        assert np.isfinite(score(forecast, observed, climatology.sel(month=observed.time.dt.month).drop_vars("month")))
    with pytest.raises(ValueError, match=r"has the dimension 'level', .*climatology.isel\(level=0\)"):
        metrics.anomaly_correlation(forecast, observed, observed.expand_dims(level=[1, 2]))
