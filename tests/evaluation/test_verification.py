"""Scores of a backtest: those of the metrics, with intervals of the bootstrap."""

import dask
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import gridcast as gc
from gridcast import metrics
from gridcast.evaluation import verification
from gridcast.evaluation.bootstrap import block_counts

HORIZON = 2


def make_series(n_times=40, sample=0, channel=0):
    """Return a random walk on a latitude-longitude grid with some missing cells."""
    shape = (*[sample] * (sample > 0), n_times, *[channel] * (channel > 0), 3, 4)
    dims = (*["sample"] * (sample > 0), "time", *["level"] * (channel > 0), "lat", "lon")
    rng = np.random.default_rng(0)
    values = rng.normal(size=shape).cumsum(dims.index("time"))
    values[rng.random(shape) < 0.1] = np.nan
    values[..., 0, 0] = np.nan
    return xr.DataArray(
        values,
        dims=dims,
        coords={
            "time": pd.date_range("2001-01-01", periods=n_times),
            "lat": [60.0, 40.0, 0.0],
            "lon": [0.0, 1.0, 2.0, 3.0],
        },
        attrs={"units": "mm/day"},
    )


def make_backtest(series, n_members=0):
    """Return forecasts from every third day of the second half, with errors that grow."""
    origins = np.arange(series.sizes["time"] // 2, series.sizes["time"] - HORIZON, 3)
    times = series["time"].values
    valid = xr.DataArray(
        times[origins[:, None] + np.arange(1, HORIZON + 1)],
        dims=("init_time", "lead_time"),
        coords={"init_time": times[origins], "lead_time": np.arange(1, HORIZON + 1)},
    )
    truth = series.sel(time=valid).drop_attrs()
    rng = np.random.default_rng(1)
    size = (max(1, n_members), *truth.shape)
    noise = xr.DataArray(rng.normal(0.3, 1.0, size=size), dims=("member", *truth.dims)) * truth["lead_time"]
    forecast = truth.fillna(0.0).where(truth["lon"] > 0) + noise
    forecast = forecast if n_members else forecast.isel(member=0)
    return forecast.transpose(*(d for d in ("member", "sample", "init_time", "lead_time") if d in forecast.dims), ...)


@pytest.fixture
def series():
    return make_series()


@pytest.fixture
def normal(series):
    return series.mean("time") + 0.5


def reference_arrays(forecast, series):
    """Return what verifies the forecast, and persistence."""
    truth = series.sel(time=forecast["time"])
    persistence = series.sel(time=forecast["init_time"]).drop_vars("time").expand_dims(lead_time=forecast["lead_time"])
    return truth, persistence


@pytest.mark.parametrize("weights", ["auto", None])
@pytest.mark.parametrize("n_members", [0, 5])
def test_scores_are_those_of_the_metrics(weights, n_members, series, normal):
    forecast = make_backtest(series, n_members)
    scores = gc.verify(forecast, series, climatology=normal, weights=weights, random_state=0, n_resamples=50)
    truth, persistence = reference_arrays(forecast, series)
    options = {"dim": ("init_time", "lat", "lon"), "weights": weights}
    mean = forecast.mean("member", skipna=False) if n_members else forecast
    expected = {name: getattr(metrics, name)(mean, truth, **options) for name in ("mse", "rmse", "mae", "bias")}
    expected["mse_skill_persistence"] = metrics.mse_skill(mean, persistence, truth, **options)
    expected["mse_skill_climatology"] = metrics.mse_skill(mean, normal, truth, **options)
    expected["anomaly_correlation"] = metrics.anomaly_correlation(mean, truth, normal, **options)
    if n_members:
        expected["crps"] = metrics.crps(forecast, truth, **options)
        expected["spread_skill_ratio"] = metrics.spread_skill_ratio(forecast, truth, **options)
    assert list(scores) == [f"{name}{end}" for name in expected for end in ("", "_lower", "_upper")]
    for name, score in expected.items():
        assert scores[name].dims == ("lead_time",)
        np.testing.assert_allclose(scores[name], score, err_msg=name)
        assert (scores[f"{name}_lower"] < scores[name]).all(), name
        assert (scores[name] < scores[f"{name}_upper"]).all(), name
        assert scores[name].attrs["units"] == score.attrs["units"]
    np.testing.assert_array_equal(scores["lead_time"], forecast["lead_time"])
    assert scores.attrs["n_init_times"] == forecast.sizes["init_time"]


def test_scores_by_hand():
    series = xr.DataArray([[[0.0]], [[2.0]], [[6.0]], [[5.0]]], dims=("time", "y", "x"))
    series = series.assign_coords(time=[10, 11, 12, 13])
    valid = xr.DataArray(
        [[11, 12], [12, 13]], dims=("init_time", "lead_time"), coords={"init_time": [10, 11], "lead_time": [1, 2]}
    )
    forecast = series.sel(time=valid) + xr.DataArray([[1.0, 2.0], [3.0, -2.0]], dims=valid.dims)
    scores = gc.verify(forecast, series, climatology=series.isel(time=0, drop=True), random_state=0)
    np.testing.assert_allclose(scores["mse"], [5.0, 4.0])
    np.testing.assert_allclose(scores["mae"], [2.0, 2.0])
    np.testing.assert_allclose(scores["bias"], [2.0, 0.0])
    # Persistence says 0 and 2, where 2 and 6, then 6 and 5 were observed.
    np.testing.assert_allclose(scores["mse_skill_persistence"], [1 - 10 / (4 + 16), 1 - 8 / (36 + 9)])
    np.testing.assert_allclose(scores["mse_skill_climatology"], [1 - 10 / (4 + 36), 1 - 8 / (36 + 25)])
    products = np.array([3 * 2 + 9 * 6, 8 * 6 + 3 * 5])
    np.testing.assert_allclose(
        scores["anomaly_correlation"], products / (np.array([9 + 81, 64 + 9]) * np.array([4 + 36, 36 + 25])) ** 0.5
    )


@pytest.mark.parametrize("block", [1, 2])
def test_intervals_are_percentiles_of_the_metrics_of_resampled_initial_times(block, series, normal):
    forecast = make_backtest(series, 3)
    truth, persistence = reference_arrays(forecast, series)
    options = {"confidence": 0.8, "n_resamples": 20, "block": block}
    scores = gc.verify(forecast, series, climatology=normal, random_state=np.random.RandomState(3), **options)
    seed = int(np.random.RandomState(3).randint(2**31))
    counts = block_counts(forecast.sizes["init_time"], block, 20, np.random.default_rng(seed)).astype(int)
    over = {"dim": ("init_time", "lat", "lon")}
    drawn = {name: [] for name in ("rmse", "mse_skill_persistence", "anomaly_correlation", "spread_skill_ratio")}
    for row in counts:
        index = np.repeat(np.arange(len(row)), row)
        f, o, p = (x.isel(init_time=index) for x in (forecast, truth, persistence))
        mean = f.mean("member", skipna=False)
        drawn["rmse"].append(metrics.rmse(mean, o, **over))
        drawn["mse_skill_persistence"].append(metrics.mse_skill(mean, p, o, **over))
        drawn["anomaly_correlation"].append(metrics.anomaly_correlation(mean, o, normal, **over))
        drawn["spread_skill_ratio"].append(metrics.spread_skill_ratio(f, o, **over))
    for name, values in drawn.items():
        ends = np.quantile(np.stack(values), [0.1, 0.9], axis=0)
        np.testing.assert_allclose(scores[f"{name}_lower"], ends[0], err_msg=name)
        np.testing.assert_allclose(scores[f"{name}_upper"], ends[1], err_msg=name)
    assert {key: scores.attrs[key] for key in options} == options


def test_an_interval_holds_the_score_as_often_as_it_says():
    # Squared errors of white noise; 200 archives of 60 independent forecasts.
    rng = np.random.default_rng(0)
    times = np.arange(61)
    valid = xr.DataArray(
        times[1:, None], dims=("init_time", "lead_time"), coords={"init_time": times[:-1], "lead_time": [1]}
    )
    series = xr.DataArray(rng.normal(size=(61, 1, 200)), dims=("time", "y", "x"), coords={"time": times})
    forecast = xr.zeros_like(series.sel(time=valid))
    scores = gc.verify(forecast, series, dim="y", block=1, confidence=0.9, random_state=0, n_resamples=400)
    held = (scores["mse_lower"] < 1.0) & (scores["mse_upper"] > 1.0)
    assert 0.8 < held.mean().item() < 0.95


def test_blocks_are_longer_and_intervals_wider_where_errors_last():
    rng = np.random.default_rng(0)
    times = np.arange(301)
    valid = xr.DataArray(
        times[1:, None], dims=("init_time", "lead_time"), coords={"init_time": times[:-1], "lead_time": [1]}
    )
    slow = np.convolve(rng.normal(size=320), np.ones(20), "valid")
    series = xr.DataArray(slow[:, None, None], dims=("time", "y", "x"), coords={"time": times})
    forecast = xr.zeros_like(series.sel(time=valid))
    blocks, single = (gc.verify(forecast, series, block=b, random_state=0) for b in ("auto", 1))
    assert blocks.attrs["block"] > 10
    assert single.attrs["block"] == 1
    xr.testing.assert_equal(blocks["mse"], single["mse"])
    width, narrow = (s["mse_upper"] - s["mse_lower"] for s in (blocks, single))
    assert (width > 2.0 * narrow).all()


def test_a_random_state_makes_it_reproducible(series):
    forecast = make_backtest(series)
    first, second, other = (gc.verify(forecast, series, random_state=seed) for seed in (1, 1, 2))
    xr.testing.assert_identical(first, second)
    xr.testing.assert_equal(first["mse"], other["mse"])
    assert not first.equals(other)


def test_samples_are_averaged_and_channels_kept():
    series = make_series(sample=2, channel=2)
    forecast = make_backtest(series, 4)
    scores = gc.verify(forecast, series, climatology=series.mean(("sample", "time")), random_state=0, n_resamples=50)
    truth, persistence = reference_arrays(forecast, series)
    over = {"dim": ("sample", "init_time", "lat", "lon")}
    assert scores["mse"].dims == ("lead_time", "level")
    mean = forecast.mean("member", skipna=False)
    xr.testing.assert_allclose(scores["rmse"].drop_attrs(), metrics.rmse(mean, truth, **over).drop_attrs())
    np.testing.assert_allclose(scores["crps"], metrics.crps(forecast, truth, **over))
    np.testing.assert_allclose(scores["mse_skill_persistence"], metrics.mse_skill(mean, persistence, truth, **over))
    together = gc.verify(forecast, series, dim=("sample", "level", "lat", "lon"), random_state=0, n_resamples=50)
    np.testing.assert_allclose(together["mse"], metrics.mse(mean, truth, dim=("level", *over["dim"])))


def test_maps_of_scores(series):
    forecast = make_backtest(series)
    maps = gc.verify(forecast, series, dim=(), random_state=0, n_resamples=50)
    truth, _ = reference_arrays(forecast, series)
    assert maps["mse"].dims == ("lead_time", "lat", "lon")
    np.testing.assert_allclose(maps["mse"], metrics.mse(forecast, truth, dim="init_time").transpose("lead_time", ...))
    assert maps["mse_upper"].isel(lon=0).isnull().all()


@pytest.mark.parametrize("n_members", [0, 3])
def test_dask_and_blocks_change_nothing(n_members, series, normal, monkeypatch):
    forecast = make_backtest(series, n_members).isel(init_time=slice(4))
    options = {"climatology": normal, "random_state": 0, "n_resamples": 50}
    expected = gc.verify(forecast, series, **options)
    computes = []

    def count(*args, **kwargs):
        computes.append(1)
        return dask.get(*args, **kwargs)

    with dask.config.set(scheduler=count):
        lazy = gc.verify(forecast.chunk({"init_time": 2, "lat": 2}), series.chunk({"time": 20}), **options)
    assert len(computes) == 2  # the times, which are labels, and then all scores at once
    xr.testing.assert_allclose(lazy, expected)
    monkeypatch.setattr(verification, "_VALUES_AT_ONCE", 2 * forecast.isel(init_time=0, lead_time=0).size)
    xr.testing.assert_allclose(gc.verify(forecast, series, **options), expected)


def test_of_a_backtest_whose_first_origin_is_the_end_of_training(series):
    series = series.fillna(0.0)
    train, test = series[:20], series[20:]
    forecast = gc.backtest(gc.NaiveForecaster().fit(train), test, horizon=HORIZON)
    assert forecast["init_time"][0] == train["time"][-1]
    scores = gc.verify(forecast, test, climatology=gc.Anomaly().fit(train), random_state=0)
    np.testing.assert_allclose(scores["mse_skill_persistence"], 0.0, atol=1e-6)
    everything = gc.verify(forecast, series, climatology=gc.Anomaly().fit(train), random_state=0)
    xr.testing.assert_allclose(scores["mse"], everything["mse"])
    truth, normal = test.sel(time=forecast["time"]), train.mean("time")
    skill = metrics.mse_skill(forecast, normal, truth, dim=("init_time", "lat", "lon"))
    np.testing.assert_allclose(scores["mse_skill_climatology"], skill, rtol=1e-5)


def test_of_a_backtest_of_one_lead(series):
    series = series.fillna(0.0)
    forecast = gc.backtest(gc.NaiveForecaster().fit(series[:20]), series[20:])
    scores = gc.verify(forecast, series, random_state=0)
    expected = (
        ((series - series.shift(time=1)) ** 2)[20:].mean(("time", "lon")).weighted(metrics.latitude_weights(series))
    )
    np.testing.assert_allclose(scores["mse"], [expected.mean()], rtol=1e-5)


def test_a_backtest_of_one_step_forecasts_has_no_lead_times(series):
    series = series.fillna(0.0)
    forecast = gc.backtest(gc.NaiveForecaster().fit(series[:20]), series[20:], horizon=3, mode="one_step")
    assert forecast["lead_time"].attrs["mode"] == "one_step"
    with pytest.raises(ValueError, match=r'mode="one_step".*give backtest\(\.\.\., horizon=1\)'):
        gc.verify(forecast, series)


def test_climatologies_of_a_season():
    times = xr.date_range("2001-01-01", periods=72, freq="MS", calendar="noleap", use_cftime=True)
    cycle = 10.0 * np.sin(2 * np.pi * np.arange(72) / 12)
    values = cycle[:, None, None] + np.random.default_rng(0).normal(size=(72, 2, 2))
    series = xr.DataArray(values, dims=("time", "y", "x"), coords={"time": times})
    train, test = series[:48], series[48:]
    anomaly = gc.Anomaly().fit(train)
    forecast = gc.backtest(gc.NaiveForecaster("climatology").fit(train), test, horizon=HORIZON, stride=2)
    scores = gc.verify(forecast, test, climatology=anomaly, random_state=0)
    np.testing.assert_allclose(scores["mse_skill_climatology"], 0.0, atol=1e-5)
    assert (scores["mse_skill_persistence"] > 0.5).all()
    by_time = anomaly.inverse_transform(xr.zeros_like(test))
    xr.testing.assert_allclose(gc.verify(forecast, test, climatology=by_time, random_state=0), scores)
    assert gc.verify(forecast, test.chunk({"time": 5}), climatology=anomaly, random_state=0).equals(scores)
    with pytest.raises(ValueError, match=r"climatology has no 2005-.*climatology=gridcast.Anomaly\(\)\.fit\(train\)"):
        gc.verify(forecast, test, climatology=train)


def test_one_initial_time_has_no_interval(series):
    scores = gc.verify(make_backtest(series).isel(init_time=[0]), series)
    assert scores["mse"].notnull().all()
    assert scores["mse_lower"].isnull().all()
    assert scores["mse_upper"].isnull().all()


def test_one_member_has_no_spread(series):
    scores = gc.verify(make_backtest(series, 1), series, random_state=0, n_resamples=20)
    assert "spread_skill_ratio" not in scores
    np.testing.assert_allclose(scores["crps"], scores["mae"])


def test_attributes(series):
    scores = gc.verify(make_backtest(series), series, n_resamples=20, confidence=0.9, block=2)
    assert scores["mse"].attrs == {"long_name": "mean squared error", "units": "(mm/day)^2"}
    assert scores["mae_upper"].attrs["units"] == "mm/day"
    assert scores["mae_upper"].attrs["long_name"] == "mean absolute error, upper end of the confidence interval"
    assert scores.attrs == {"confidence": 0.9, "n_resamples": 20, "block": 2, "n_init_times": 6}
    assert series.attrs == {"units": "mm/day"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"confidence": 1.0}, "confidence=1.0 must lie between 0 and 1"),
        ({"n_resamples": 0}, "n_resamples=0 must be an integer of at least 1"),
        ({"block": 6}, 'block=6 must be "auto" or a number of initial times from 1 to 5'),
        ({"block": "long"}, "block='long' must be \"auto\""),
        ({"dim": "time"}, r"dim has 'time', which is none of the dimensions \['lat', 'lon'\]"),
        ({"weights": "area"}, "weights='area' is unknown"),
        ({"weights": xr.DataArray([1.0], dims="level")}, "weights has 'level'"),
        ({"weights": xr.DataArray([1.0, 2.0], dims="lat")}, "observations and weights differ along 'lat'"),
        ({"weights": xr.DataArray([1.0, -2.0, 1.0], dims="lat")}, "weights"),
        ({"random_state": -1}, "random_state=-1"),
        ({"climatology": xr.DataArray([1.0], dims="lat")}, "forecast and climatology differ along 'lat'"),
    ],
)
def test_parameters_that_make_no_sense_are_an_error(options, message, series):
    with pytest.raises(ValueError, match=message):
        gc.verify(make_backtest(series), series, **options)


def test_what_is_no_backtest_is_an_error(series):
    forecast = make_backtest(series)
    with pytest.raises(TypeError, match="forecast must be a DataArray, not Dataset"):
        gc.verify(forecast.to_dataset(name="precip"), series)
    with pytest.raises(TypeError, match="observations must be a DataArray, not ndarray"):
        gc.verify(forecast, series.values)
    with pytest.raises(TypeError, match="climatology must be a DataArray or a fitted Anomaly, not float"):
        gc.verify(forecast, series, climatology=1.0)
    with pytest.raises(ValueError, match=r"forecast has the dimensions .*isel\(lead_time=\[0\]\) keeps"):
        gc.verify(forecast.isel(lead_time=0), series)
    with pytest.raises(ValueError, match=r"forecast has the dimensions .*gridcast\.backtest"):
        gc.verify(forecast.drop_vars("time"), series)
    with pytest.raises(ValueError, match="observations have no time along a dimension 'time'"):
        gc.verify(forecast, series.drop_vars("time"))
    with pytest.raises(ValueError, match="observations have times that occur twice"):
        gc.verify(forecast, xr.concat([series, series[:1]], "time"))
    with pytest.raises(ValueError, match=r"observations have no 2001-02-06.*one of 2 times that are forecast"):
        gc.verify(forecast, series[:36])
    with pytest.raises(ValueError, match="forecast and observations differ along 'lat'"):
        gc.verify(forecast, series.isel(lat=slice(None, None, -1)))


def test_a_climatology_by_month_is_refused_and_the_advice_works():
    time = pd.date_range("2001-01-01", periods=48, freq="MS")
    values = np.random.default_rng(0).normal(size=(48, 2, 3))
    series = xr.DataArray(values, dims=("time", "y", "x"), coords={"time": time})
    observations = series[24:]
    backtest = gc.backtest(gc.NaiveForecaster().fit(series[:24]), observations, horizon=2)
    climatology = series[:24].groupby("time.month").mean()
    with pytest.raises(ValueError, match="has the dimension 'month'") as caught:
        gc.verify(backtest, observations, climatology=climatology, n_resamples=5)
    advice = str(caught.value).split("take its value at each time, ")[1].split(", or")[0]
    advised = eval(advice, {"climatology": climatology, "observations": observations})
    scores = gc.verify(backtest, observations, climatology=advised, n_resamples=5)
    assert np.isfinite(scores["mse_skill_climatology"]).all()


def test_steps_without_labels_are_verified_by_the_advice(series):
    series = series.fillna(0)  # else one of them knows older observations
    plain = series.drop_vars("time")
    train, test = gc.train_test_split(plain, test_fraction=0.4)
    forecast = gc.backtest(gc.NaiveForecaster().fit(train), test, horizon=2)
    with pytest.raises(ValueError, match="steps without labels are numbered, ") as caught:
        gc.verify(forecast, test)
    numbered = eval(str(caught.value).split("are numbered, ")[1], {"observations": test})
    labelled_train, labelled = gc.train_test_split(series, test_fraction=0.4)
    model = gc.NaiveForecaster().fit(labelled_train)
    expected = gc.verify(gc.backtest(model, labelled, horizon=2).isel(init_time=slice(1, None)), labelled)
    np.testing.assert_allclose(gc.verify(forecast, numbered)["mse"], expected["mse"], rtol=1e-5)
