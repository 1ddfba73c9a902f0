"""Several backtests beside each other: the scores of each, and differences beyond chance."""

import dask
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import gridcast as gc
from gridcast.evaluation.bootstrap import block_counts

NAN = float("nan")
OPTIONS = {"random_state": 0, "n_resamples": 100}


@pytest.fixture
def series():
    return xr.DataArray(
        np.random.default_rng(0).normal(size=(60, 2, 3)),
        dims=("time", "lat", "lon"),
        coords={"time": pd.date_range("2001-01-01", periods=60), "lat": [60.0, 0.0]},
        attrs={"units": "K"},
    )


def make_backtest(series, error, first=0, n_members=0, seed=1):
    """Return two leads from every second day, with errors of noise and a common part."""
    origins = np.arange(first, 58, 2)
    times = series["time"].values
    valid = xr.DataArray(
        times[origins[:, None] + [1, 2]],
        dims=("init_time", "lead_time"),
        coords={"init_time": times[origins], "lead_time": [1, 2]},
    )
    truth = series.sel(time=valid)
    noise = np.random.default_rng(seed).normal(size=(max(1, n_members), 29, *truth.shape[1:]))[:, -len(origins) :]
    forecast = truth + error * xr.DataArray(noise, dims=("member", *truth.dims))
    forecast = (forecast if n_members else forecast.isel(member=0)).assign_attrs(series.attrs)
    return forecast.transpose("member", ..., missing_dims="ignore")


@pytest.fixture
def backtests(series):
    return {"good": make_backtest(series, 1.0), "bad": make_backtest(series, 1.5, seed=2)}


def test_scores_are_those_of_each(series, backtests):
    scores = gc.verify(backtests, series, **OPTIONS)
    assert scores["mse"].dims == ("model", "lead_time")
    assert scores["model"].values.tolist() == ["good", "bad"]
    block = scores.attrs["block"]
    for name, backtest in backtests.items():
        alone = gc.verify(backtest, series, block=block, **OPTIONS)
        for variable in alone:
            ours = scores[variable].sel(model=name, drop=True)
            xr.testing.assert_allclose(ours, alone[variable])
            assert ours.attrs == alone[variable].attrs
    assert scores.attrs == {"confidence": 0.95, "n_resamples": 100, "block": block, "n_init_times": 29} | {
        "reference": "good"
    }


def test_differences_by_hand(series):
    series = series[:5, :1, :1] * 0.0
    valid = xr.DataArray(
        series["time"].values[[[1], [2], [3], [4]]],
        dims=("init_time", "lead_time"),
        coords={"init_time": series["time"].values[:4], "lead_time": [1]},
    )
    truth = series.sel(time=valid)
    one, other = (truth + xr.DataArray(errors, dims="init_time") for errors in ([1.0, 2.0, 3.0, 4.0], [2.0, 3.0, 4, 5]))
    scores = gc.verify({"a": one, "b": other}, series, block=1, confidence=0.8, **OPTIONS)
    np.testing.assert_allclose(scores["mse"][:, 0], [7.5, 13.5])
    np.testing.assert_allclose(scores["mse_difference"][:, 0], [0.0, 6.0])
    np.testing.assert_allclose(scores["rmse_difference"][1, 0], 13.5**0.5 - 7.5**0.5)
    np.testing.assert_allclose(scores["mae_difference_lower"][1, 0], 1.0)  # the errors differ by 1 in every sample
    np.testing.assert_allclose(scores["mae_difference_upper"][1, 0], 1.0)
    counts = block_counts(4, 1, 100, np.random.default_rng(0)) / 4
    drawn = counts @ (np.array([2.0, 3.0, 4.0, 5.0]) ** 2 - np.array([1.0, 2.0, 3.0, 4.0]) ** 2)
    ends = np.quantile(drawn, [0.1, 0.9])
    np.testing.assert_allclose(scores["mse_difference_lower"][1, 0], ends[0])
    np.testing.assert_allclose(scores["mse_difference_upper"][1, 0], ends[1])
    assert scores["mse_differs"].dtype == bool
    assert scores["mse_differs"].values.tolist() == [[False], [True]]


def test_a_common_difficulty_cancels(series):
    # Days that are hard for both: intervals of the scores overlap, that of the difference is clear.
    hard = xr.DataArray(np.random.default_rng(3).gamma(0.3, 8.0, size=29), dims="init_time")
    good = make_backtest(series, 1.0)
    error = (good - series.sel(time=good["time"])) * hard
    backtests = {"good": good + error, "bad": good + 1.2 * error}
    scores = gc.verify(backtests, series, **OPTIONS)
    assert (scores["mse_lower"].sel(model="bad") < scores["mse_upper"].sel(model="good")).all()
    assert scores["mse_differs"].sel(model="bad").all()
    assert (scores["mse_difference"].sel(model="bad") > 0.0).all()


def test_equal_backtests_differ_as_often_as_chance():
    # Errors of white noise in 200 cells, each a comparison of its own.
    rng = np.random.default_rng(0)
    times = np.arange(61)
    valid = xr.DataArray(
        times[1:, None], dims=("init_time", "lead_time"), coords={"init_time": times[:-1], "lead_time": [1]}
    )
    series = xr.DataArray(np.zeros((61, 1, 200)), dims=("time", "y", "x"), coords={"time": times})
    truth = series.sel(time=valid)
    pair = [truth + rng.normal(size=truth.shape) for _ in range(2)]
    scores = gc.verify(pair, series, dim=(), block=1, random_state=0, n_resamples=300)
    assert 0.01 < scores["mse_differs"].sel(model=1).mean() < 0.12
    assert not scores["mse_differs"].sel(model=0).any()


def test_another_reference_and_a_sequence(series, backtests):
    first, second = (gc.verify(backtests, series, reference=name, **OPTIONS) for name in ("good", "bad"))
    np.testing.assert_allclose(second["mse_difference"].sel(model="good"), -first["mse_difference"].sel(model="bad"))
    np.testing.assert_allclose(
        second["mse_difference_lower"].sel(model="good"), -first["mse_difference_upper"].sel(model="bad")
    )
    assert first["mse_differs"].sel(model="bad").all()
    assert second["mse_differs"].sel(model="good").all()
    assert second.attrs["reference"] == "bad"
    numbered = gc.verify(list(backtests.values()), series, reference=1, **OPTIONS)
    assert numbered["model"].values.tolist() == [0, 1]
    np.testing.assert_array_equal(numbered["mse_difference"], second["mse_difference"])
    alone = gc.verify({"good": backtests["good"]}, series, **OPTIONS)
    assert not alone["mse_differs"].any()


def test_common_initial_times_and_cells_alone_count(series, backtests):
    later = make_backtest(series, 1.5, first=10, seed=2)
    gap = backtests["good"].copy()
    gap[8, 0, 1, 1] = NAN
    scores = gc.verify({"good": gap, "bad": later}, series, block=1, **OPTIONS)
    assert scores.attrs["n_init_times"] == 24
    common = later["init_time"]
    seen = gap.sel(init_time=common).notnull()
    for name, backtest in (("good", gap), ("bad", later)):
        expected = gc.verify(backtest.sel(init_time=common).where(seen), series, block=1, **OPTIONS)
        xr.testing.assert_allclose(scores["mse"].sel(model=name, drop=True), expected["mse"])
        xr.testing.assert_allclose(scores["mse_upper"].sel(model=name, drop=True), expected["mse_upper"])
    other = gc.verify({"bad": later, "good": gap}, series, block=1, reference="good", **OPTIONS)
    xr.testing.assert_allclose(other.sel(model=["good", "bad"]), scores)


def test_ensembles_beside_a_single_forecast(series, backtests):
    ensembles = {"few": make_backtest(series, 1.0, n_members=3), "more": make_backtest(series, 1.0, n_members=8)}
    scores = gc.verify(ensembles | {"single": backtests["good"]}, series, block=1, **OPTIONS)
    for name, ensemble in ensembles.items():
        alone = gc.verify(ensemble, series, block=1, **OPTIONS)
        np.testing.assert_allclose(scores["crps"].sel(model=name), alone["crps"])
        np.testing.assert_allclose(scores["crps_lower"].sel(model=name), alone["crps_lower"])
        np.testing.assert_allclose(scores["spread_skill_ratio"].sel(model=name), alone["spread_skill_ratio"])
    for name in ("crps", "crps_lower", "crps_difference", "spread_skill_ratio"):
        assert scores[name].sel(model="single").isnull().all()
    assert not scores["crps_differs"].sel(model="single").any()


def test_lazy_backtests_and_climatology(series, backtests):
    normal = series.mean("time")
    expected = gc.verify(backtests, series, climatology=normal, **OPTIONS)
    assert "anomaly_correlation_difference" in expected
    computes = []

    def count(*args, **kwargs):
        computes.append(1)
        return dask.get(*args, **kwargs)

    with dask.config.set(scheduler=count):
        chunks = {"init_time": 5, "lat": 1}
        lazy = gc.verify({n: b.chunk(chunks) for n, b in backtests.items()}, series, climatology=normal, **OPTIONS)
    assert len(computes) == 3  # the times of both, then all scores of both at once
    xr.testing.assert_allclose(lazy, expected)


def test_one_initial_time_tells_no_difference(series, backtests):
    scores = gc.verify({n: b[:1] for n, b in backtests.items()}, series, **OPTIONS)
    assert scores["mse_difference"].sel(model="bad").notnull().all()
    assert scores["mse_difference_lower"].isnull().all()
    assert not scores["mse_differs"].any()


def test_attributes_and_the_figure(series, backtests):
    scores = gc.verify(backtests, series, **OPTIONS)
    assert scores["mse_difference"].attrs == {
        "long_name": "mean squared error, difference from the reference",
        "units": "K^2",
    }
    assert scores["mse_differs"].attrs == {"long_name": "mean squared error, difference beyond chance"}
    ax = gc.plotting.plot_error_by_lead({name: scores.sel(model=name) for name in backtests})
    assert [line.get_label() for line in ax.lines] == ["good", "bad"]


def test_what_can_not_be_compared_is_an_error(series, backtests):
    good = backtests["good"]
    for empty in ({}, []):
        with pytest.raises(ValueError, match="forecast is empty: give one backtest or more"):
            gc.verify(empty, series)
    with pytest.raises(ValueError, match=r"a backtest named \('a', 1\): name it by text or a number, 'a 1'"):
        gc.verify({("a", 1): good, ("a", 2): good}, series)
    with pytest.raises(ValueError, match=r"reference='worst' must name one of .*the backtests \['good', 'bad'\]"):
        gc.verify(backtests, series, reference="worst")
    with pytest.raises(ValueError, match=r"reference='good' must name one of .*one backtest without a name"):
        gc.verify(good, series, reference="good")
    with pytest.raises(TypeError, match=r"forecast\['other'\] must be a DataArray, not ndarray"):
        gc.verify(backtests | {"other": good.values}, series)
    with pytest.raises(ValueError, match=r"forecast\['other'\] has the dimensions .*a backtest has"):
        gc.verify(backtests | {"other": good.isel(lead_time=0)}, series)
    with pytest.raises(ValueError, match=r"backtests \['good', 'odd'\] without a common init_time"):
        gc.verify({"good": good[::2], "odd": good[1::2]}, series)
    with pytest.raises(
        ValueError, match=r"forecast\['good'\] and forecast\['short'\] differ along 'lead_time': 2 against"
    ):
        gc.verify({"good": good, "short": good.isel(lead_time=[0])}, series)
    with pytest.raises(ValueError, match=r"forecast\['levels'\] has the dimensions .*select the same"):
        gc.verify({"good": good, "levels": good.expand_dims(level=2)}, series)
    with pytest.raises(ValueError, match=r"has a dimension 'model', .*rename it"):
        gc.verify([good.expand_dims(model=2)], series.expand_dims(model=2))
