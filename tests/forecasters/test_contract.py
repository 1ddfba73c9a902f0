"""The contract that every forecaster keeps: one list of small estimators, the same tests for each."""

import pickle
from dataclasses import dataclass, field

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from small import NEURAL, TRAINING, small

import gridcast as gc

PERIOD, WINDOW, CONTEXT = 12, TRAINING["window"], TRAINING["context"]
N_TRAIN, N_TEST, SHAPE = 48, 12, (8, 12)


def make_estimators() -> dict:
    """Return unfitted estimators by name, new ones at each call."""
    return {
        "persistence": gc.NaiveForecaster(random_state=0),
        "climatology": gc.NaiveForecaster("climatology", period=PERIOD, random_state=0),
        "seasonal": gc.NaiveForecaster("seasonal", period=PERIOD, random_state=0),
    } | {name: small(name) for name in NEURAL}


NAMES = list(make_estimators())
N_CONTEXT = {"persistence": 1, "climatology": 1, "seasonal": PERIOD}
every_estimator = pytest.mark.parametrize("name", NAMES)


def make_series(n_times=N_TRAIN + N_TEST, shape=SHAPE, time=None, seed=0, lead=()):
    """Return a seasonal wave that moves east, with noise, in K; `lead` are sizes in front of time."""
    y, x = (np.linspace(0, 1, size) for size in shape)
    phase = np.arange(n_times)[:, None, None] / PERIOD + x[None, None] + 0.5 * y[None, :, None]
    noise = np.random.default_rng(seed).normal(scale=0.5, size=(*lead, n_times, *shape))
    time = pd.date_range("2001-01-01", periods=n_times, freq="D") if time is None else time
    coords = {"time": time, "lat": np.linspace(60, 20, shape[0]), "lon": np.linspace(200, 260, shape[1])}
    dims = ("time", "lat", "lon")
    dims = ("sample", *dims) if lead else dims
    return xr.DataArray(
        (280 + 10 * np.sin(2 * np.pi * phase) + noise).astype(np.float32),
        dims=dims,
        coords=coords | {"height": 2.0},
        name="t2m",
        attrs={"units": "K", "long_name": "temperature"},
    )


@dataclass
class Fitted:
    """An estimator fitted on the first part of `series`; `copy` before changing it."""

    name: str
    estimator: gc.NaiveForecaster
    series: xr.DataArray
    train: xr.DataArray = field(init=False)
    test: xr.DataArray = field(init=False)

    def __post_init__(self):
        self.train, self.test = self.series[:N_TRAIN], self.series[N_TRAIN:]

    @property
    def n_context(self):
        return N_CONTEXT.get(self.name, CONTEXT)

    def copy(self):
        return pickle.loads(pickle.dumps(self.estimator))


@pytest.fixture(scope="module", params=NAMES)
def fitted(request):
    series = make_series()
    return Fitted(request.param, make_estimators()[request.param].fit(series[:N_TRAIN]), series)


@pytest.fixture(scope="module", params=NEURAL)
def fitted_neural(request):
    series = make_series()
    return Fitted(request.param, make_estimators()[request.param].fit(series[:N_TRAIN]), series)


@dataclass
class Archive:
    """What dask slices like an array; `first` is the earliest step that anyone read."""

    values: np.ndarray
    first: int | None = None
    n_reads: int = 0

    def __post_init__(self):
        self.shape, self.dtype, self.ndim = self.values.shape, self.values.dtype, self.values.ndim

    def __getitem__(self, key):
        start = key[0].indices(self.shape[0])[0]
        self.first = start if self.first is None else min(self.first, start)
        self.n_reads += 1
        return self.values[key]


def lazy(series, chunk):
    """Return a dask-backed copy of a series and the archive that counts its reads."""
    archive = Archive(series.values)
    meta = np.empty((0,) * series.ndim, series.dtype)
    chunks = (chunk, *(-1,) * (series.ndim - 1))
    return series.copy(data=da.from_array(archive, chunks=chunks, meta=meta)), archive


# Both call forms, both modes


def test_fit_returns_self_and_predict_takes_a_horizon_or_a_history(fitted):
    estimator, train = fitted.estimator, fitted.train
    assert clone(estimator).fit(train).predict(2).sizes["time"] == 2
    forecast = estimator.predict(3)
    for other in (
        estimator.predict(horizon=3),
        estimator.predict(np.int64(3)),
        estimator.predict(train, 3),
        estimator.predict(train, horizon=3),
        estimator.predict(X=train, horizon=3, mode="multi_step"),
        estimator.predict(train[-20:], horizon=3),
    ):
        xr.testing.assert_identical(other, forecast)
    assert estimator.predict().sizes["time"] == 1


def test_a_forecast_has_the_labels_of_the_series_and_continues_its_calendar(fitted):
    forecast = fitted.estimator.predict(5)
    expected = fitted.series[N_TRAIN : N_TRAIN + 5]
    xr.testing.assert_identical(forecast.copy(data=expected.values), expected)
    assert forecast.dtype == np.float32
    assert np.isfinite(forecast).all()
    later = fitted.estimator.predict(fitted.series[:55], 5)
    assert (later["time"] == fitted.series["time"][55:60]).all()


def test_one_step_forecasts_the_latest_steps_each_from_what_was_observed_before_it(fitted):
    estimator, series = fitted.estimator, fitted.series
    forecast = estimator.predict(series[:55], horizon=4, mode="one_step")
    np.testing.assert_array_equal(forecast["time"], series["time"][52:56])
    alone = [estimator.predict(series[:stop]) for stop in range(52, 56)]
    np.testing.assert_allclose(forecast, xr.concat(alone, "time"), rtol=1e-5)
    kept = estimator.predict(4, mode="one_step")
    np.testing.assert_allclose(kept, estimator.predict(fitted.train, 4, mode="one_step"), rtol=1e-6)
    np.testing.assert_array_equal(kept["time"], series["time"][N_TRAIN - 3 : N_TRAIN + 1])


def test_the_modes_agree_at_horizon_one(fitted):
    multi, one = (fitted.estimator.predict(1, mode=mode) for mode in ("multi_step", "one_step"))
    xr.testing.assert_identical(multi, one)


def test_later_observations_do_not_change_earlier_one_step_forecasts(fitted):
    changed = fitted.series[:55].copy(deep=True)
    changed[54] += 100
    before = fitted.estimator.predict(fitted.series[:55], 3, mode="one_step")
    after = fitted.estimator.predict(changed, 3, mode="one_step")
    np.testing.assert_allclose(after[:2], before[:2], rtol=1e-6)
    if fitted.name not in ("climatology", "seasonal"):
        assert (after[2] != before[2]).any()


# Every kind of data


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
def test_an_array_without_time_labels_counts_steps(name):
    series = make_series().drop_vars("time")
    forecast = make_estimators()[name].fit(series[:N_TRAIN]).predict(2)
    assert forecast.dims == series.dims
    assert forecast["time"].values.tolist() == [N_TRAIN, N_TRAIN + 1]


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


@pytest.mark.parametrize(("longitude", "on_globe", "periodic"), [
    ("auto", True, True), ("auto", False, False), ("bounded", True, False), ("periodic", False, True),
])  # fmt: skip
@pytest.mark.parametrize("name", ["cnmm", "convlstm"])
def test_longitude_goes_around_the_globe_where_it_spans_it(name, longitude, on_globe, periodic):
    step = 30.0 if on_globe else 5.0
    series = make_series(24).assign_coords(lon=step * np.arange(SHAPE[1]))
    estimator = make_estimators()[name].set_params(longitude=longitude, location_features=False)
    estimator.set_params(climatology=None).fit(series)
    turned = series.copy(data=np.roll(series, 4, axis=-1))
    forecast = np.roll(estimator.predict(series, 2), 4, axis=-1)
    assert np.allclose(estimator.predict(turned, 2), forecast, rtol=1e-5) == periodic


# Missing values


def with_gaps(series, share=0.1):
    """Return a series whose first three columns are land and that lacks a share of the other values."""
    gaps = np.random.default_rng(3).uniform(size=series.shape) < share
    return series.where(~gaps).where(series["lon"] > series["lon"][2])


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


@every_estimator
def test_land_of_the_training_series_stays_missing_whatever_is_observed_later(name):
    series = make_series()
    land = series[:N_TRAIN].where(series["lon"] > series["lon"][2])
    estimator = make_estimators()[name].fit(land)
    assert estimator.predict(series, 2)[..., :3].isnull().all()


# Lazy arrays


def test_dask_and_numpy_give_the_same_forecast_and_only_needed_chunks_are_read(fitted):
    chunked, archive = lazy(fitted.series, 20)
    for arguments in ({"horizon": 3}, {"horizon": 5, "mode": "one_step"}):
        forecast = fitted.estimator.predict(chunked, **arguments)
        xr.testing.assert_identical(forecast, fitted.estimator.predict(fitted.series, **arguments))
    assert archive.first == 40
    fitted.estimator.predict_quantiles(chunked, 2, n_samples=2)
    assert archive.first == 40
    assert isinstance(chunked.data, da.Array)


def test_update_reads_only_what_the_next_forecast_needs(fitted):
    long = make_series(300)
    chunked, archive = lazy(long[N_TRAIN:], 20)
    fitted.copy().update(chunked)
    assert archive.first >= len(chunked) - 60


@every_estimator
def test_fit_on_dask_leaves_the_array_lazy_and_gives_the_same_model(name):
    series = make_series()
    chunked, archive = lazy(series[:N_TRAIN], 20)
    data = chunked.data
    estimator = make_estimators()[name].fit(chunked)
    assert chunked.data is data
    assert archive.n_reads > 0
    expected = make_estimators()[name].fit(series[:N_TRAIN]).predict(3)
    np.testing.assert_allclose(estimator.predict(3), expected, rtol=1e-5)
    chunked_test, _ = lazy(series[N_TRAIN:], 5)
    score = estimator.score(chunked_test)
    assert score == pytest.approx(estimator.score(series[N_TRAIN:]), rel=1e-4)
    assert isinstance(chunked_test.data, da.Array)


@every_estimator
def test_a_file_opened_without_chunks_is_never_loaded(name, tmp_path):
    make_series().to_netcdf(tmp_path / "t2m.nc")
    with xr.open_dataarray(tmp_path / "t2m.nc") as series:
        train, test = series[:N_TRAIN], series[N_TRAIN:]
        estimator = make_estimators()[name].fit(train)
        estimator.predict(series, 2)
        estimator.score(test)
        estimator.update(test)
        for array in (series, train, test):
            assert not array.variable._in_memory


@every_estimator
def test_the_callers_array_is_not_changed(name):
    series = with_gaps(make_series())
    before = series.copy(deep=True)
    train, test = series[:N_TRAIN], series[N_TRAIN:]
    estimator = make_estimators()[name].fit(train)
    estimator.score(test)
    estimator.predict_samples(train, 2, n_samples=2)
    forecast = estimator.update(test).predict(2)
    forecast += 1e6
    xr.testing.assert_identical(series, before)
    assert estimator.predict(2).max() < 1e5


# Ensembles


def test_samples(fitted):
    estimator = fitted.estimator
    ensemble = estimator.predict_samples(3, n_samples=60)
    assert ensemble.dims == ("member", "time", "lat", "lon")
    assert ensemble["member"].values.tolist() == list(range(60))
    assert ensemble.name == "t2m"
    assert ensemble.attrs["units"] == "K"
    mean = estimator.predict(3)
    xr.testing.assert_identical(ensemble[0].drop_vars("member").copy(data=mean.values), mean)
    spread = ensemble.std("member")
    assert (spread > 0).all()
    assert abs(ensemble.mean("member") - mean).mean() < 0.5 * spread.mean()
    one_step = estimator.predict_samples(fitted.series, 3, mode="one_step", n_samples=2)
    assert one_step.shape == (2, 3, *SHAPE)
    assert estimator.predict_samples(n_samples=1).shape == (1, 1, *SHAPE)


def test_quantiles(fitted):
    q = (0.1, 0.5, 0.9)
    quantiles = fitted.estimator.predict_quantiles(3, q=q, n_samples=50)
    assert quantiles.dims == ("quantile", "time", "lat", "lon")
    assert tuple(quantiles["quantile"].values) == q
    assert quantiles.attrs["units"] == "K"
    assert (quantiles.diff("quantile") >= 0).all()
    assert (quantiles[2] > quantiles[0]).all()
    ensemble = fitted.estimator.predict_samples(3, n_samples=50)
    np.testing.assert_allclose(quantiles, np.quantile(ensemble, q, axis=0), rtol=1e-6)
    assert fitted.estimator.predict_quantiles(fitted.train, 1, q=0.5, n_samples=2).sizes["quantile"] == 1


def test_random_state_makes_samples_reproducible(fitted):
    first, again = (fitted.estimator.predict_samples(2, n_samples=3) for _ in range(2))
    xr.testing.assert_identical(first, again)
    free = fitted.copy().set_params(random_state=None)
    assert (free.predict_samples(2, n_samples=3) != free.predict_samples(2, n_samples=3)).any()
    drawn = fitted.copy().set_params(random_state=np.random.RandomState(0))
    assert (drawn.predict_samples(2, n_samples=3) != drawn.predict_samples(2, n_samples=3)).any()


# Updates


def test_update_moves_the_origin(fitted):
    estimator = fitted.copy()
    for start in range(N_TRAIN, N_TRAIN + N_TEST, 4):
        assert estimator.update(fitted.series[start : start + 4]) is estimator
        history = fitted.series[: start + 4]
        xr.testing.assert_identical(estimator.predict(3), fitted.estimator.predict(history, 3))
    np.testing.assert_array_equal(estimator.predict(1)["time"], pd.date_range("2001-03-02", periods=1))


def test_update_by_single_steps_and_by_many_at_once_agree(fitted):
    long = make_series(150)
    at_once = fitted.copy().update(long[N_TRAIN:])
    by_step = fitted.copy()
    for step in range(N_TRAIN, 150):
        by_step.update(long[step : step + 1])
    xr.testing.assert_identical(at_once.predict(2), by_step.predict(2))
    xr.testing.assert_identical(at_once.predict(5, mode="one_step"), by_step.predict(5, mode="one_step"))


@pytest.mark.parametrize("start", [N_TRAIN + 1, N_TRAIN - 1, 0])
def test_an_update_with_a_gap_or_overlap_raises_and_keeps_the_origin(fitted, start):
    estimator = fitted.copy()
    with pytest.raises(ValueError, match=r"X begins at .*last observed step is 2001-02-17.*without a gap"):
        estimator.update(fitted.series[start : start + 5])
    xr.testing.assert_identical(estimator.predict(2), fitted.estimator.predict(2))


# Scores


def skill(forecast, truth, persistence):
    forecast, truth, persistence = (np.asarray(a, dtype=float) for a in (forecast, truth, persistence))
    return 1 - np.square(forecast - truth).mean() / np.square(persistence - truth).mean()


def test_score_is_the_one_step_skill_over_all_of_x_where_it_follows(fitted):
    series, n = fitted.series, N_TEST
    forecast = fitted.estimator.predict(series[:-1], horizon=n, mode="one_step")
    expected = skill(forecast, series[-n:], series[-n - 1 : -1])
    assert fitted.estimator.score(fitted.test) == pytest.approx(expected, abs=1e-5)


def test_score_is_taken_from_the_context_on_where_x_does_not_follow(fitted):
    later = make_series(N_TRAIN + 30)[N_TRAIN + 5 :]
    n = len(later) - fitted.n_context
    forecast = fitted.estimator.predict(later[:-1], horizon=n, mode="one_step")
    expected = skill(forecast, later[-n:], later[-n - 1 : -1])
    assert fitted.estimator.score(later) == pytest.approx(expected, abs=1e-5)


def test_score_does_not_move_the_origin_and_ignores_y(fitted):
    before = fitted.estimator.predict(2)
    score = fitted.estimator.score(fitted.test, None)
    assert isinstance(score, float)
    xr.testing.assert_identical(fitted.estimator.predict(2), before)


def test_score_of_persistence_is_zero():
    series = with_gaps(make_series())
    estimator = gc.NaiveForecaster().fit(series[:N_TRAIN])
    assert estimator.score(series[N_TRAIN:]) == 0.0
    assert estimator.score(series[N_TRAIN + 3 :]) == 0.0


def test_score_is_nan_where_persistence_is_perfect():
    series = xr.zeros_like(make_series(20))
    assert np.isnan(gc.NaiveForecaster().fit(series[:10]).score(series[10:]))


def test_score_warns_on_steps_that_the_model_was_trained_on(fitted):
    with pytest.warns(UserWarning, match=r"2001-02-1.*shares steps with the training series.*WindowSplitter"):
        fitted.estimator.score(fitted.series[N_TRAIN - 8 :])


# scikit-learn


@every_estimator
def test_clone_and_parameters(name):
    estimator = make_estimators()[name]
    parameters = estimator.get_params()
    copy = clone(estimator)
    assert copy is not estimator
    assert {k: repr(v) for k, v in copy.get_params().items()} == {k: repr(v) for k, v in parameters.items()}
    assert estimator.set_params(random_state=7) is estimator
    assert estimator.random_state == 7
    assert copy.random_state == 0
    with pytest.raises(ValueError, match="Invalid parameter 'windoww'"):
        estimator.set_params(windoww=3)


@pytest.mark.parametrize("name", ["convlstm", "dmm", "cnmm"])
def test_a_nested_parameter_does_not_leak_into_other_estimators(name):
    first, second = make_estimators()[name], make_estimators()[name]
    copy = clone(first)
    first.set_params(transformer__data_range=(0, 1000))
    assert first.get_params()["transformer__data_range"] == (0, 1000)
    for other in (second, copy, make_estimators()[name], *make_estimators().values()):
        assert other.get_params().get("transformer__data_range") is None
    first.fit(make_series(20))
    assert first.transformer_.data_max_ == 1000
    assert not hasattr(first.transformer, "data_max_")


@every_estimator
def test_representations(name):
    estimator = make_estimators()[name]
    assert type(estimator).__name__ in repr(estimator)
    assert "random_state=0" in repr(estimator)
    assert type(estimator).__name__ in estimator._repr_html_()
    assert type(estimator).__name__ in estimator.fit(make_series(20))._repr_html_()


@every_estimator
def test_everything_but_fit_asks_for_a_fit(name):
    series = make_series(20)
    estimator = make_estimators()[name]
    for call in (
        lambda: estimator.predict(2),
        lambda: estimator.predict(series, 2),
        lambda: estimator.predict_samples(2),
        lambda: estimator.predict_quantiles(2),
        lambda: estimator.update(series),
        lambda: estimator.score(series),
        lambda: gc.backtest(estimator, series),
    ):
        with pytest.raises(NotFittedError, match=rf"{type(estimator).__name__} instance is not fitted.*'fit'"):
            call()


@every_estimator
def test_fit_twice_gives_the_same_result_and_forgets(name):
    series, other = make_series(), make_series(30, (4, 8), seed=9)
    estimator = make_estimators()[name].fit(series[:N_TRAIN])
    expected = estimator.predict_samples(3, n_samples=2)
    estimator.extra_ = "of an earlier fit"
    assert estimator.fit(other).predict(2).shape == (2, 4, 8)
    assert not hasattr(estimator, "extra_")
    xr.testing.assert_identical(estimator.fit(series[:N_TRAIN]).predict_samples(3, n_samples=2), expected)
    xr.testing.assert_identical(make_estimators()[name].fit(series[:N_TRAIN]).predict_samples(3, n_samples=2), expected)


@pytest.mark.parametrize("name", ["convlstm", "dmm", "cnmm"])
def test_another_random_state_trains_another_model(name):
    series = make_series(20)
    first, second = (make_estimators()[name].set_params(random_state=s).fit(series) for s in (0, 1))
    assert (first.predict_samples(2, n_samples=1) != second.predict_samples(2, n_samples=1)).any()


def test_pickle(fitted):
    xr.testing.assert_identical(fitted.copy().predict(3), fitted.estimator.predict(3))
    copy = fitted.copy().update(fitted.test)
    xr.testing.assert_identical(copy.predict(3), fitted.estimator.predict(fitted.series, 3))


def test_a_failing_fit_keeps_the_earlier_one(fitted):
    estimator, expected = fitted.copy(), fitted.estimator.predict(3)
    infinite = fitted.series.copy(deep=True)
    infinite[-1, 0, 0] = np.inf
    gap = fitted.series.isel(time=[*range(20), *range(21, 60)])
    for bad, error in (
        (infinite, ValueError),
        (gap, ValueError),
        (xr.full_like(fitted.series, np.nan), ValueError),
        (fitted.series.to_dataset(), TypeError),
    ):
        with pytest.raises(error, match="X"):
            estimator.fit(bad)
        xr.testing.assert_identical(estimator.predict(3), expected)


def test_a_read_error_during_fit_keeps_the_earlier_one(fitted):
    class Broken(Archive):
        def __getitem__(self, key):
            if key[0].indices(self.shape[0])[1] == self.shape[0] and self.n_reads >= self.healthy:
                raise OSError("the disk is gone")
            return super().__getitem__(key)

    estimator, expected = fitted.copy(), fitted.estimator.predict(3)
    meta = np.empty((0, 0, 0), np.float32)
    for healthy in (0, 1, 2, 3, 4):
        archive = Broken(fitted.series.values)
        archive.healthy = healthy
        broken = fitted.series.copy(data=da.from_array(archive, chunks=(60, -1, -1), meta=meta))
        try:
            estimator.fit(broken)
        except OSError:
            xr.testing.assert_identical(estimator.predict(3), expected)
        else:
            estimator = fitted.copy()


# Backtests


@pytest.mark.parametrize("mode", ["multi_step", "one_step"])
def test_a_backtest_holds_the_forecast_of_each_origin(fitted, mode):
    estimator, series, horizon = fitted.estimator, fitted.series, 3
    table = gc.backtest(estimator, fitted.test, horizon=horizon, mode=mode, stride=2)
    assert table.dims == ("init_time", "lead_time", "lat", "lon")
    assert table["lead_time"].values.tolist() == [1, 2, 3]
    origins = np.arange(N_TRAIN - 1, len(series) - horizon, 2)
    np.testing.assert_array_equal(table["init_time"], series["time"][origins])
    assert table.name == "t2m"
    assert table.attrs["units"] == "K"
    for i, origin in enumerate(origins):
        if mode == "multi_step":
            expected = estimator.predict(series[: origin + 1], horizon)
        else:
            expected = estimator.predict(series[: origin + horizon], horizon, mode="one_step")
        np.testing.assert_allclose(table[i], expected, rtol=1e-5)
        np.testing.assert_array_equal(table["time"][i], expected["time"])


def test_a_backtest_elsewhere_starts_behind_its_context(fitted):
    later = make_series(N_TRAIN + 30)[N_TRAIN + 5 :]
    table = gc.backtest(fitted.estimator, later, horizon=2)
    first = fitted.n_context - 1
    np.testing.assert_array_equal(table["init_time"], later["time"][first:-2])
    expected = fitted.estimator.predict(later[: first + 1], 2)
    np.testing.assert_allclose(table[0], expected, rtol=1e-5)


def test_a_backtest_of_an_ensemble(fitted):
    ensemble = gc.backtest(fitted.estimator, fitted.test, horizon=3, stride=4, n_samples=2)
    assert ensemble.dims == ("member", "init_time", "lead_time", "lat", "lon")
    assert np.isfinite(ensemble).all()
    assert (ensemble[0] != ensemble[1]).any()


# What the neural forecasters share


def test_training_leaves_a_record(fitted_neural):
    estimator = fitted_neural.estimator
    assert [record["epoch"] for record in estimator.history_] == [0]
    assert np.isfinite(list(estimator.history_[0].values())).all()
    assert {"loss", "gradient_norm", "validation_error", "seconds"} <= set(estimator.history_[0])
    assert estimator.n_parameters_ == sum(p.numel() for p in estimator.module_.parameters()) > 0


def test_the_transformer_is_cloned_and_learns_from_the_training_series_alone(fitted_neural):
    estimator, train = fitted_neural.estimator, fitted_neural.train
    assert not hasattr(estimator.transformer, "data_min_")
    assert estimator.transformer_.data_min_ == float(train.min())
    assert estimator.transformer_.data_max_ == float(train.max())


@pytest.mark.parametrize("name", ["convlstm", "dmm", "cnmm"])
@pytest.mark.parametrize("bounded", [True, False])
def test_rain_stays_non_negative(name, bounded):
    series = (make_series() - 285).clip(min=0)
    estimator = make_estimators()[name].set_params(bounded=bounded).fit(series)
    lowest = estimator.predict_samples(3, n_samples=10).min()
    assert lowest == 0 if bounded else lowest < 0
    assert estimator.predict(3).min() >= 0 or not bounded


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
