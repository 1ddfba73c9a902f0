"""Bad input gets an error that names the parameter, its value and the way out, and loses nothing."""

import re

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from sklearn.model_selection import KFold
from small import NEURAL, small

import gridcast as gc

NAIVE = ["persistence", "climatology", "seasonal"]


def make_estimator(name):
    if name in NAIVE:
        period = "auto" if name == "persistence" else 6
        return gc.NaiveForecaster(name, period=period, random_state=0)
    return small(name)


def make_series(n_times=30, shape=(5, 6)):
    values = np.random.default_rng(0).normal(280, 5, size=(n_times, *shape))
    return xr.DataArray(
        values.astype(np.float32),
        dims=("time", "lat", "lon"),
        coords={
            "time": pd.date_range("2001-01-01", periods=n_times, freq="D"),
            "lat": np.linspace(50, 30, shape[0]),
            "lon": np.linspace(10, 40, shape[1]),
        },
        name="t2m",
        attrs={"units": "K"},
    )


@pytest.fixture(scope="module", params=[*NAIVE, "linear", *NEURAL])
def fitted(request):
    return make_estimator(request.param).fit(make_series())


@pytest.fixture
def survivor(fitted):
    """Yield a fitted estimator, and check afterwards that it forecasts as before."""
    before = fitted.predict(2)
    yield fitted
    xr.testing.assert_identical(fitted.predict(2), before)


def with_value(value, step=20):
    series = make_series()
    series[step, 2, 3] = value
    return series


SERIES = make_series()
FOLD = next(KFold(3, shuffle=True, random_state=0).split(SERIES))[0]
MIDDLE_FOLD = list(KFold(3).split(SERIES))[1][0]

BAD_SERIES = {
    "shuffled fold": (SERIES[FOLD], ValueError, r"time step \d+ .*gridcast.WindowSplitter"),
    "fold that joins two periods": (
        SERIES[MIDDLE_FOLD],
        ValueError,
        r"time step 10 \(2001-01-21\) does not follow 2001-01-10 by 1 day: a gap.*reindex.*WindowSplitter",
    ),
    "gap": (
        SERIES.drop_isel(time=7),
        ValueError,
        r"time step 7 \(2001-01-09\) does not follow 2001-01-07.*a gap.*X.reindex",
    ),
    "repeat": (
        SERIES[[*range(5), 4, *range(5, 30)]],
        ValueError,
        r"time step 5 \(2001-01-05\).*a repeat.*drop_duplicates",
    ),
    "decrease": (
        SERIES[[*range(5), 3, *range(5, 30)]],
        ValueError,
        r"time step 5 \(2001-01-04\).*a decrease.*sortby",
    ),
    "reversed": (SERIES[::-1], ValueError, r"time step 1 \(2001-01-29\).*a decrease.*sortby"),
    "time last": (
        SERIES.transpose("lat", "lon", "time"),
        ValueError,
        r"dimensions \('lat', 'lon', 'time'\).*X.transpose\('time', 'lat', 'lon'\)",
    ),
    "channel first": (
        SERIES.expand_dims("variable"),
        ValueError,
        r"dimensions \('variable', 'time', 'lat', 'lon'\).*X.transpose\('time', 'variable', 'lat', 'lon'\)",
    ),
    "time before sample": (
        SERIES.expand_dims("sample", 1),
        ValueError,
        r"dimensions \('time', 'sample', 'lat', 'lon'\).*X.transpose\('sample', 'time', 'lat', 'lon'\)",
    ),
    "no time": (
        SERIES.rename(time="valid_time"),
        ValueError,
        r"\('valid_time', 'lat', 'lon'\).*none is named 'time'.*rename",
    ),
    "one spatial dimension": (SERIES[:, 0], ValueError, r"\('time', 'lon'\).*two spatial dimensions"),
    "two channel dimensions": (
        SERIES.expand_dims(["a", "b"], [1, 2]),
        ValueError,
        r"\('time', 'a', 'b', 'lat', 'lon'\).*at most one channel dimension",
    ),
    "no steps": (SERIES[:0], ValueError, r"'time': 0.*a dimension is empty"),
    "four plain dimensions": (np.zeros((20, 2, 3, 4)), ValueError, r"shape \(20, 2, 3, 4\).*\(time, y, x\)"),
    "Dataset": (
        SERIES.to_dataset(),
        TypeError,
        r"X is a Dataset with the variables \['t2m'\].*ds\['t2m'\].*ds.to_dataarray\(\"variable\"\)",
    ),
    "list": ([[1.0]], TypeError, "X is a list: pass an xarray.DataArray"),
    "text": (SERIES.astype(str), TypeError, r"dtype <U\d+.*astype"),
    "all missing": (xr.full_like(SERIES, np.nan), ValueError, r"X holds .*\(all NaN\).*fill value"),
    "infinite": (with_value(np.inf), ValueError, r"X holds an infinite value.*X.where\(np.isfinite\(X\)\)"),
    "minus infinite": (with_value(-np.inf), ValueError, r"X holds an infinite value.*X.where"),
    "infinite at the end": (with_value(np.inf, -1), ValueError, r"X holds an infinite value.*X.where"),
    "one step": (SERIES[:1], ValueError, r"X has 1 step.*at least 2"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_SERIES)
def test_fit_on_a_bad_series(survivor, case):
    X, error, message = BAD_SERIES[case]
    with pytest.raises(error, match=message):
        survivor.fit(X)


@pytest.mark.parametrize(
    "case", ["gap", "repeat", "decrease", "reversed", "time last", "no time", "no steps", "Dataset", "list", "text"]
)
@pytest.mark.parametrize("method", ["predict", "predict_samples", "predict_quantiles", "update", "score"])
def test_a_bad_history(survivor, method, case):
    X, error, message = BAD_SERIES[case]
    with pytest.raises(error, match=message):
        getattr(survivor, method)(X)


@pytest.mark.parametrize("method", ["predict", "update", "score"])
def test_an_infinite_value_in_the_history_is_named(survivor, method):
    series = make_series(60)[30:].copy()
    series[-2, 0, 0] = np.inf
    if method == "predict":
        series = series[:-1]
    with pytest.raises(ValueError, match=r"infinite value at time=2001-02-28.*step \d+.*X.where"):
        getattr(survivor, method)(series)


def test_an_all_missing_channel(survivor):
    series = xr.concat([SERIES, SERIES * np.nan], pd.Index(["t", "q"], name="variable")).transpose("time", ...)
    with pytest.raises(ValueError, match=r"X holds .*channel.*\(all NaN\): drop it or check the fill value"):
        survivor.fit(series)


@pytest.mark.parametrize("name", NEURAL)
def test_a_series_shorter_than_a_window(name):
    estimator = make_estimator(name).fit(SERIES)
    before = estimator.predict(2)
    with pytest.raises(ValueError, match=r"X has 7 steps, shorter than one window of window=8.*at most 7"):
        estimator.fit(SERIES[:7])
    with pytest.raises(ValueError, match=r"validation_fraction=0\.5 leaves 5.*window=8.*validation_fraction=0"):
        make_estimator(name).set_params(training__validation_fraction=0.5).fit(SERIES[:10])
    xr.testing.assert_identical(estimator.predict(2), before)


@pytest.mark.parametrize("name", ["climatology", "seasonal"])
def test_a_series_shorter_than_a_period(name):
    with pytest.raises(ValueError, match=r"X has 5 steps, period=6 needs .*6"):
        make_estimator(name).fit(SERIES[:5])


@pytest.mark.parametrize("method", ["predict", "predict_samples", "predict_quantiles", "update", "score"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x[:, 1:], r"X has 4 entries along 'lat', the training series had 5.*fit again"),
        (lambda x: x[..., :-2], r"X has 4 entries along 'lon', the training series had 6"),
        (lambda x: x.isel(lat=slice(None, None, -1)), r"other values in the coordinate 'lat' \(30\.0 to 50\.0\).*fit"),
        (lambda x: x.assign_coords(lon=x["lon"] + 180), r"other values in the coordinate 'lon'"),
        (lambda x: x.rename(lat="y"), r"dimensions \('y', 'lon'\).*had \('lat', 'lon'\)"),
        (lambda x: x.transpose("time", "lon", "lat"), r"dimensions \('lon', 'lat'\).*had \('lat', 'lon'\)"),
        (lambda x: x.expand_dims(variable=["t", "q"], axis=1), r"\('variable', 'lat', 'lon'\).*had \('lat', 'lon'\)"),
    ],
)  # fmt: skip
def test_another_grid_than_the_fitted_one(survivor, method, change, message):
    with pytest.raises(ValueError, match=message):
        getattr(survivor, method)(change(make_series(40)[30:]))


@pytest.mark.parametrize("name", ["persistence", "cnmm"])
def test_other_channels_than_the_fitted_ones(name):
    series = SERIES.expand_dims(variable=["t", "q"], axis=1).copy()
    estimator = make_estimator(name).fit(series)
    with pytest.raises(ValueError, match=r"X has 1 entries along 'variable', the training series had 2"):
        estimator.predict(series[:, :1], 2)
    with pytest.raises(ValueError, match=r"other values in the coordinate 'variable' \(q to t\)"):
        estimator.predict(series[:, ::-1], 2)


def test_another_time_step_or_calendar_than_the_fitted_one(survivor):
    hours = make_series(30).assign_coords(time=pd.date_range("2001-01-01", periods=30, freq="h"))
    with pytest.raises(ValueError, match=r"time step 1 .* does not follow .* by 1 day: a step too short"):
        survivor.predict(hours, 2)
    noleap = xr.date_range("2001-01-01", periods=30, calendar="noleap", use_cftime=True)
    with pytest.raises(ValueError, match=r"time axis is noleap.*datetime64"):
        survivor.predict(make_series(30).assign_coords(time=noleap), 2)


@pytest.mark.parametrize("horizon", [0, -3, 2.5, 3.0, True, np.True_, "5", None])
@pytest.mark.parametrize("method", ["predict", "predict_samples", "predict_quantiles"])
def test_horizon_is_an_integer_of_at_least_one(survivor, method, horizon):
    message = r"horizon=.*must be an integer of at least 1"
    call = getattr(survivor, method)
    with pytest.raises(TypeError, match=message) as error:
        call(horizon=horizon)
    assert repr(horizon) in str(error.value)
    with pytest.raises(TypeError, match=message):
        call(SERIES, horizon=horizon)
    if horizon is not None:
        with pytest.raises(TypeError, match=message):
            call(horizon)
    with pytest.raises(TypeError, match=message):
        gc.backtest(survivor, make_series(40)[30:], horizon=horizon)


def test_horizon_given_twice(survivor):
    with pytest.raises(TypeError, match=r"horizon is given twice, 3 and 5: call predict\(5\) or predict\(X, 3\)"):
        survivor.predict(3, 5)


@pytest.mark.parametrize("n_samples", [0, 2.5, True])
def test_n_samples(survivor, n_samples):
    for call in (survivor.predict_samples, survivor.predict_quantiles):
        with pytest.raises((TypeError, ValueError), match=f"n_samples={n_samples}.*at least 1"):
            call(2, n_samples=n_samples)
    with pytest.raises((TypeError, ValueError), match=f"n_samples={n_samples}.*at least 1"):
        gc.backtest(survivor, make_series(40)[30:], n_samples=n_samples)


@pytest.mark.parametrize("q", [1.5, (-0.1, 0.5), (), [[0.5]]])
def test_quantiles_are_probabilities(survivor, q):
    with pytest.raises(ValueError, match=r"q=.*must be probabilities between 0 and 1"):
        survivor.predict_quantiles(2, q=q)


def test_an_unknown_mode(survivor):
    message = r"mode='onestep' is unknown: use \"multi_step\" or \"one_step\""
    for call in (survivor.predict, survivor.predict_samples, survivor.predict_quantiles):
        with pytest.raises(ValueError, match=message):
            call(2, mode="onestep")
    with pytest.raises(ValueError, match=message):
        gc.backtest(survivor, make_series(40)[30:], mode="onestep")


@pytest.mark.parametrize("name", ["seasonal", "linear", *NEURAL])
def test_a_history_that_is_too_short_says_how_many_steps_it_needs(name):
    estimator = make_estimator(name).fit(SERIES)
    context = 6 if name == "seasonal" else 4
    with pytest.raises(
        ValueError, match=rf"X has 3 steps, a multi_step forecast with horizon=9 needs at least {context} "
    ):
        estimator.predict(SERIES[:3], 9)
    with pytest.raises(ValueError, match=rf"a one_step forecast with horizon=9 needs at least {context + 8} steps"):
        estimator.predict(SERIES[: context + 7], 9, mode="one_step")
    with pytest.raises(ValueError, match=r"kept from training has 30 steps.*horizon=99.*predict\(X, horizon\)"):
        estimator.predict(99, mode="one_step")
    with pytest.raises(ValueError, match=rf"X has 3 steps .*{context} are context.*at least {context + 1} are needed"):
        estimator.score(make_series(40)[33:36])
    with pytest.raises(ValueError, match=r"X allows 5 forecast steps, horizon=6 needs 6"):
        gc.backtest(estimator, make_series(35)[30:], horizon=6)


@pytest.mark.parametrize("device", ["gpu", "tpu", "cuda:x", "cpu0", ""])
@pytest.mark.parametrize("name", NEURAL)
def test_an_unknown_device(name, device):
    with pytest.raises(ValueError, match=rf"device='{device}' is unknown or not available: use \"auto\" or .*cpu"):
        make_estimator(name).set_params(device=device).fit(SERIES)


@pytest.mark.parametrize("data_range", [(5, 5), (80, 0), (0, np.nan), (0, 1, 2), "auto"])
@pytest.mark.parametrize("name", NEURAL)
def test_a_data_range_without_width(name, data_range):
    estimator = make_estimator(name).fit(SERIES)
    before = estimator.predict(2)
    estimator.set_params(transformer__data_range=data_range)
    with pytest.raises(ValueError, match=r"data_range=.*(no width: give \(min, max\)|neither one \(min, max\))"):
        estimator.fit(SERIES)
    xr.testing.assert_identical(estimator.predict(2), before)


@pytest.mark.parametrize("name", NEURAL)
def test_values_outside_the_data_range_are_counted_not_clipped(name):
    series = SERIES.clip(271, 289)
    series[:3] = 290.0
    estimator = make_estimator(name).set_params(transformer__data_range=(270, 289.5))
    with pytest.warns(
        UserWarning, match=r"^10\.00% of the cells of X lie outside data_range=\(270, 289\.5\).*not clipped"
    ):
        estimator.fit(series)
    hot = series.copy(data=np.full(series.shape, 350, np.float32))
    assert estimator.transformer_.transform(hot).max() > 7


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("window", 0), ("window", 1), ("context", 0), ("horizon", 0), ("batch_size", 0), ("max_epochs", 0),
        ("max_steps", 0), ("window", 2.5), ("patch_size", 0),
        ("patch_size", "big"), ("learning_rate", 0.0), ("learning_rate", "1e-3"),
        ("transformer", "minmax"), ("periodic", "globe"), ("periodic", 1), ("random_state", "seed"),
        ("random_state", -1),
        ("climatology", "week"), ("rnn_channels", 0), ("architecture", "unet"), ("bounded", "yes"),
        ("time_features", "week"),
        ("training__validation_fraction", 1.0), ("training__gradient_clip", "a"), ("training__gradient_clip", 0),
        ("training__schedule", "cosine"), ("training__precision", "33"), ("training__patience", 0),
        ("training__observation_noise", -1.0), ("training__buffer_bytes", 0), ("training__compile", 1),
        ("training__checkpoint_every", "soon"), ("training__stride", 0),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", NEURAL)
def test_parameters_of_the_neural_forecasters(name, parameter, value):
    with pytest.raises((TypeError, ValueError), match=rf"^{parameter.removeprefix('training__')}={value!r}"):
        make_estimator(name).set_params(**{parameter: value}).fit(SERIES)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("encoder_channels", (4,)), ("encoder_channels", 4), ("emitter_channels", (4, 0)), ("latent_channels", 0),
        ("transition_channels", 1.5),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["cnmm", "dmm"])
def test_parameters_of_the_markov_models(name, parameter, value):
    with pytest.raises(ValueError, match=rf"^{parameter}=({re.escape(repr(value))}|0) must be"):
        make_estimator(name).set_params(**{parameter: value}).fit(SERIES)


def test_a_latent_vector_does_not_learn_from_patches():
    with pytest.raises(ValueError, match=r"patch_size=8: the latent vector of a DMMForecaster .*use CNMMForecaster"):
        make_estimator("dmm").set_params(patch_size=8).fit(SERIES)


def test_parameters_of_the_linear_forecaster():
    with pytest.raises(ValueError, match="lags=0 must be an integer of at least 1"):
        gc.LinearForecaster(lags=0).fit(SERIES)
    with pytest.raises(ValueError, match="lags=6 must not exceed context=4: raise context"):
        gc.LinearForecaster(lags=6, context=4).fit(SERIES)
    with pytest.raises(ValueError, match="X has 5 steps, lags=6 needs at least 7: give a longer series or fewer lags"):
        gc.LinearForecaster().fit(SERIES[:5])


@pytest.mark.parametrize(
    ("name", "way_out"),
    [
        ("lerning_rate", "did you mean 'learning_rate'?"),
        ("patience", r"it belongs to training, training=gridcast.Training\(patience=...\) or set_params"),
        ("training__patienc", "did you mean"),
        ("xyz", "it has "),
    ],
)
@pytest.mark.parametrize("cls", [gc.CNMMForecaster, gc.ConvLSTMForecaster])
def test_a_misspelt_parameter_says_the_right_one(cls, name, way_out):
    with pytest.raises(TypeError, match=f"{cls.__name__} has no parameter {name!r}: {way_out}"):
        cls(**{name: 1})
    with pytest.raises(
        ValueError, match=f"has no parameter .*{way_out if name != 'training__patienc' else 'patience'}"
    ):
        cls().set_params(**{name: 1})


def test_parameters_of_the_naive_forecaster():
    with pytest.raises(ValueError, match=r"strategy='drift' is unknown: use \"persistence\", \"climatology\" or"):
        gc.NaiveForecaster("drift").fit(SERIES)
    with pytest.raises(ValueError, match=r"period='week' must be \"auto\", \"year\", \"day\" or a number of steps"):
        gc.NaiveForecaster("climatology", period="week").fit(SERIES)
    with pytest.raises(ValueError, match=r"period='year' needs time labels"):
        gc.NaiveForecaster("climatology", period="year").fit(SERIES.values)
    with pytest.raises(ValueError, match=r"n_harmonics=-1 must be an integer of at least 0, or None"):
        gc.NaiveForecaster("climatology", n_harmonics=-1).fit(SERIES)
    with pytest.raises(ValueError, match=r"random_state='seed' must be"):
        gc.NaiveForecaster(random_state="seed").fit(SERIES).predict_samples(2)
    with pytest.raises(
        ValueError, match=r"horizon=30 is too long for an ensemble.*at most 29.*predict has no such limit"
    ):
        gc.NaiveForecaster().fit(SERIES).predict_samples(30)


def test_an_update_of_another_number_of_samples():
    series = SERIES.expand_dims(sample=3).copy()
    estimator = gc.NaiveForecaster().fit(series[:, :20])
    with pytest.raises(ValueError, match=r"X has 2 samples, the series that it continues has 3"):
        estimator.update(series[:2, 20:])
    assert estimator.update(series[:, 20:]).predict(1)["time"] == np.datetime64("2001-01-31")


@pytest.mark.parametrize("value", [-9.969209968386869e36, 1e20, np.float32(1e20)])
@pytest.mark.parametrize("name", [*NAIVE, "linear", *NEURAL])
def test_a_fill_value_that_was_not_decoded(name, value):
    with pytest.raises(ValueError, match=r"X holds .*e\+\d+, which files write .*X\.where\(abs\(X\) < 1e19\)"):
        make_estimator(name).fit(SERIES.where(SERIES["lat"] > SERIES["lat"][1], value))


def test_other_units_are_told():
    series = SERIES.assign_attrs(units="degC")
    estimator = gc.NaiveForecaster().fit(series[:20])
    with pytest.warns(UserWarning, match="X is in 'K' and the training series in 'degC': nothing is converted"):
        estimator.predict((series + 273).assign_attrs(units="K"), 2)
    forecast = gc.backtest(estimator, series[20:], 2)
    with pytest.warns(UserWarning, match="forecast is in 'degC' and observations in 'K'"):
        gc.verify(forecast, (series + 273).assign_attrs(units="K"), random_state=0)


def test_a_dataset_is_not_split():
    with pytest.raises(TypeError, match=r"X is a Dataset with the variables \['t'\]: select one, ds\['t'\]"):
        gc.train_test_split(SERIES.to_dataset(name="t"))


def test_a_scorer_of_no_lead_time():
    with pytest.raises(ValueError, match="horizon=0 must be an integer of at least 1"):
        gc.make_scorer("crps", horizon=0)
