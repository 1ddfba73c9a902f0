"""Covariates over time, of every forecaster."""

import pickle
from functools import partial

import numpy as np
import pandas as pd
import pytest
import sklearn
import xarray as xr
from every import NAMES, make_estimators
from linear_processes import labelled, linear_field
from sklearn.model_selection import GridSearchCV
from small import NEURAL, small

import gridcast as gc

N_TRAIN, N, SHAPE = 120, 140, (8, 8)
DRIVEN = ["linear", *NEURAL]


def make_driven(n=N, seed=0):
    """Return a series that responds to a tide (now) and an index (of the step before), and both."""
    rng = np.random.default_rng(seed)
    time = pd.date_range("2001-01-01", periods=n, freq="D")
    tide, index = (xr.DataArray(rng.normal(size=n), dims="time", coords={"time": time}) for _ in range(2))
    errors = rng.normal(scale=0.3, size=(n, *SHAPE))
    for t in range(1, n):
        errors[t] += 0.7 * errors[t - 1]
    effects = 2 * tide.values + np.roll(index.values, 1)
    coords = {"time": time, "lat": np.linspace(60, 20, SHAPE[0]), "lon": np.linspace(200, 260, SHAPE[1])}
    values = (280 + effects[:, None, None] + errors).astype(np.float32)
    series = xr.DataArray(values, dims=("time", "lat", "lon"), coords=coords, name="t2m", attrs={"units": "K"})
    return series, tide, index


@pytest.fixture(scope="module", params=NAMES)
def driven(request):
    """A name, a forecaster fitted with both kinds on the first part, and all three series."""
    series, tide, index = make_driven()
    model = make_estimators()[request.param]
    train = slice(N_TRAIN)
    return request.param, model.fit(series[train], covariates=tide[train], past_covariates=index[train]), make_driven()


@pytest.fixture(scope="module")
def linear():
    series, tide, index = make_driven()
    model = small("linear").fit(series[:N_TRAIN], covariates=tide[:N_TRAIN], past_covariates=index[:N_TRAIN])
    return model, series, tide, index


def mse(model, series, horizon=1, **given):
    table = gc.backtest(model, series, horizon=horizon, **given)
    squares = np.square(table - series.sel(time=table["time"])).mean(("init_time", "lat", "lon"))
    return squares.values


# What forecasts are worth


@pytest.mark.slow
def test_forecasts_are_near_the_best_there_are():
    series, tide, index = make_driven(700)
    train, test = slice(600), slice(600, None)
    fit = partial(gc.LinearForecaster(lags=2, context=4, horizon=4, random_state=0).fit, series[train])
    model = fit(covariates=tide[train], past_covariates=index[train])
    assert model.covariates_["chosen"].to_dict() == {"none": False, "covariates": True, "past_covariates": True}
    error = mse(model, series[test], 3, covariates=tide[test], past_covariates=index[test])
    best = 0.09 * np.cumsum(0.49 ** np.arange(3))  # of the autoregression
    # the index of the last observed step says what comes next, and nothing of what comes then
    np.testing.assert_allclose(error, best + np.array([0, 1, 1]), rtol=0.25)
    without = mse(gc.LinearForecaster(lags=2, context=4, horizon=4).fit(series[train]), series[test])
    assert without > 10 * error[0]
    # members are as far apart as forecasts are from the truth
    members = gc.backtest(model, series[test], 2, n_samples=30, covariates=tide[test], past_covariates=index[test])
    ratio = members.var("member", ddof=1).mean(("init_time", "lat", "lon")) / error[:2]
    assert ((ratio > 0.6) & (ratio < 1.6)).all()


def test_a_covariate_far_from_zero_is_heard_or_refused():
    series, tide, _ = make_driven()
    with pytest.raises(ValueError, match=r"take away what all values have in common, covariates - "):
        gc.NaiveForecaster().fit(series, covariates=tide + 1e9)
    with pytest.raises(ValueError, match=r"\(the variable 'tide'\)"):
        gc.NaiveForecaster().fit(series, covariates=xr.Dataset({"tide": tide + 1e9}))
    model = small("linear").fit(series[:N_TRAIN], covariates=tide[:N_TRAIN] + 1000)
    assert model.covariates_["chosen"].to_dict() == {"none": False, "covariates": True}
    model.predict(2, covariates=(tide + 1000)[N_TRAIN : N_TRAIN + 2])


def test_what_the_past_says_of_the_next_step_lasts_as_long_as_the_series_remembers():
    rng, n = np.random.default_rng(2), 500
    index = rng.normal(size=n)
    values = rng.normal(scale=0.3, size=(n, *SHAPE))
    for t in range(1, n):
        values[t] += 0.6 * values[t - 1] + index[t - 1]
    time = pd.date_range("2001-01-01", periods=n, freq="D")
    series = xr.DataArray(values.astype("f4"), dims=("time", "lat", "lon"), coords={"time": time})
    index = xr.DataArray(index, dims="time", coords={"time": time})
    model = small("linear").fit(series[:400], past_covariates=index[:400])
    forecast = gc.backtest(model, series[400:], 2, past_covariates=index[400:])[:, 1]
    # but for the index after the last step, which nobody knows; one that forgets the index before errs by 0.36 more
    known = series.sel(time=forecast["time"]) - index.shift(time=1).sel(time=forecast["time"])
    assert np.square(forecast - known).mean() < 0.09 * 1.36 * 1.5


@pytest.mark.parametrize("kind", ["covariates", "past_covariates"])
def test_noise_is_not_used(kind):
    series, _, _ = make_driven(300)
    noise = xr.DataArray(
        np.random.default_rng(1).normal(size=(300, 2)), dims=("time", "k"), coords={"time": series["time"]}
    )
    model = small("linear").fit(series[:240], **{kind: noise[:240]})
    assert model.covariates_["chosen"].to_dict() == {"none": True, kind: False}
    expected = mse(small("linear").fit(series[:240]), series[240:], 3)
    np.testing.assert_array_equal(mse(model, series[240:], 3, **{kind: noise[240:]}), expected)


def test_networks_and_linear_models_forecast_what_covariates_leave(driven):
    name, model, (series, tide, index) = driven
    error = mse(model, series[N_TRAIN:], covariates=tide[N_TRAIN:], past_covariates=index[N_TRAIN:])[0]
    if name not in DRIVEN:
        assert error > 3
        return
    assert model.covariates_["chosen"].to_dict() == {"none": False, "covariates": True, "past_covariates": True}
    assert error < 0.5  # of 5, which both covariates make of the variance
    if name in NEURAL:
        assert model.linear_.predict(2, covariates=tide).sizes == model.predict(2, covariates=tide).sizes


def test_a_bounded_series_stays_within_its_bounds():
    series, tide, _ = make_driven()
    rain = (series - 281).clip(0)
    model = small("linear").fit(rain[:N_TRAIN], covariates=tide[:N_TRAIN])
    assert model.covariates_["chosen"]["covariates"]
    assert (model.predict_samples(5, n_samples=20, covariates=tide) >= 0).all()
    assert (model.predict_quantiles(5, q=[0.001, 0.5], n_samples=20, covariates=tide) >= 0).all()


# The contract


def test_a_forecast_has_its_labels_and_is_the_same_in_every_form(driven):
    name, model, (series, tide, index) = driven
    ahead, past = tide[: N_TRAIN + 3], index[:N_TRAIN]
    forecast = model.predict(3, covariates=ahead[N_TRAIN:])
    expected = series[N_TRAIN : N_TRAIN + 3]
    xr.testing.assert_identical(forecast.copy(data=expected.values), expected)
    for other in (
        model.predict(3, covariates=ahead),
        model.predict(3, covariates=ahead, past_covariates=past),
        model.predict(series[:N_TRAIN], 3, covariates=ahead, past_covariates=past),
        model.predict(series[:N_TRAIN].chunk(time=9), 3, covariates=ahead.chunk(time=7), past_covariates=past),
        model.predict(3, covariates=xr.Dataset({"tide": ahead})),
        pickle.loads(pickle.dumps(model)).predict(3, covariates=ahead),
    ):
        xr.testing.assert_allclose(other, forecast, rtol=1e-6)
    changed = model.predict(3, covariates=ahead + 1)
    assert (changed == forecast).all() if name not in DRIVEN else (changed != forecast).all()
    one_step = model.predict(3, mode="one_step", covariates=ahead[: N_TRAIN + 1])
    np.testing.assert_allclose(one_step[-1], forecast[0], rtol=1e-6)


def test_ensembles_have_the_mean_that_is_forecast(driven):
    _, model, (_, tide, _) = driven
    ensemble = model.predict_samples(2, n_samples=60, covariates=tide)
    spread = ensemble.std("member")
    assert (abs(ensemble.mean("member") - model.predict(2, covariates=tide)).mean() < 0.5 * spread.mean()).all()
    quantiles = model.predict_quantiles(2, q=0.5, n_samples=60, covariates=tide)
    # near the median: which level stands for it is learned from held-out forecasts
    assert (abs(quantiles[0] - ensemble.median("member")).mean() < 0.5 * spread.mean()).all()


def test_a_backtest_holds_the_forecast_of_each_origin(driven):
    _, model, (series, tide, index) = driven
    given = {"covariates": tide[N_TRAIN:], "past_covariates": index[N_TRAIN:]}
    table = gc.backtest(model, series[N_TRAIN:], horizon=3, stride=4, **given)
    for i, origin in enumerate(range(N_TRAIN, N - 3, 4)):
        expected = model.predict(series[:origin], 3, covariates=tide, past_covariates=index[:origin])
        np.testing.assert_allclose(table[i], expected, rtol=1e-5)
    assert np.isfinite(model.score(series[N_TRAIN:], **given))


def test_update_moves_on(driven):
    _, model, (series, tide, index) = driven
    moved, stop = pickle.loads(pickle.dumps(model)), N_TRAIN + 6
    for start in (N_TRAIN, N_TRAIN + 3):
        steps = slice(start, start + 3)
        moved.update(series[steps], covariates=tide[steps], past_covariates=index[steps])
    expected = model.predict(series[:stop], 2, covariates=tide, past_covariates=index[:stop])
    xr.testing.assert_allclose(moved.predict(2, covariates=tide[stop:]), expected, rtol=1e-6)


def test_a_saved_one_forecasts_the_same(driven, tmp_path):
    _, model, (series, tide, index) = driven
    model.save(tmp_path / "model.gridcast")
    opened = gc.load(tmp_path / "model.gridcast", device="cpu")
    xr.testing.assert_identical(opened.predict(3, covariates=tide), model.predict(3, covariates=tide))
    given = {"covariates": tide[N_TRAIN:], "past_covariates": index[N_TRAIN:]}
    assert opened.score(series[N_TRAIN:], **given) == model.score(series[N_TRAIN:], **given)
    if hasattr(model, "covariates_"):
        pd.testing.assert_frame_equal(opened.covariates_, model.covariates_)


def test_samples_share_covariates_or_have_their_own():
    parts = [make_driven(60, seed) for seed in range(4)]
    series = xr.concat([part[0] for part in parts], "sample")
    tide = xr.concat([part[1] for part in parts], "sample")
    model = small("linear").fit(series[:, :50], covariates=tide[:, :50])
    assert model.covariates_["chosen"]["covariates"]
    forecast = model.predict(2, covariates=tide)
    swapped = model.predict(2, covariates=tide[::-1])
    assert (abs(forecast - swapped) > 0.01).any(("time", "lat", "lon")).all()
    shared = model.fit(series[:, :50], covariates=tide[0, :50]).predict(2, covariates=tide[0])
    assert shared.shape == forecast.shape


def test_the_gaps_of_samples_are_filled_with_covariates_of_their_own():
    parts = [make_driven(60, seed) for seed in range(3)]
    series, tide = (xr.concat(each, "sample") for each in list(zip(*parts, strict=True))[:2])
    model = small("linear").fit(series, covariates=tide)
    assert model.covariates_["chosen"]["covariates"]
    gapped = series.where(series.time != series.time[30])
    error = xr.zeros_like(series).where(series.time != series.time[40], np.inf)
    found = model.reconstruct(gapped, covariates=tide, observation_error=error)
    hidden = found.isel(time=[30, 40]) - series.isel(time=[30, 40])
    assert np.square(hidden).mean() < 2  # the tide alone makes 4 of the variance, the index that is not given 1
    for sample in range(3):
        alone = model.reconstruct(gapped[[sample]], covariates=tide[[sample]], observation_error=error[[sample]])
        np.testing.assert_allclose(found[[sample]], alone, rtol=1e-6)


def test_plain_arrays_go_by_their_place():
    series, tide, index = (part.values for part in make_driven())
    model = small("linear").fit(series[:N_TRAIN], covariates=tide[:N_TRAIN], past_covariates=index[:N_TRAIN])
    expected = model.predict(series[:N_TRAIN], 3, covariates=tide, past_covariates=index[:N_TRAIN])
    np.testing.assert_allclose(model.predict(3, covariates=tide[N_TRAIN:]), expected, rtol=1e-6)
    given = {"covariates": tide[N_TRAIN:], "past_covariates": index[N_TRAIN:]}
    assert model.score(series[N_TRAIN:], **given) > 0.5
    moved = model.update(series[N_TRAIN:130], covariates=tide[N_TRAIN:130], past_covariates=index[N_TRAIN:130])
    expected = moved.predict(series[:130], 2, covariates=tide, past_covariates=index[:130])
    np.testing.assert_allclose(moved.predict(2, covariates=tide[130:]), expected, rtol=1e-6)


# What can not be


def test_covariates_that_end_too_early_are_named(linear):
    model, series, tide, index = linear
    with pytest.raises(ValueError, match=r"covariates end at 2001-05-03.*the horizon reaches 2001-05-05.*fewer steps"):
        model.predict(5, covariates=tide[: N_TRAIN + 3])
    with pytest.raises(ValueError, match=r"covariates begin at .*are needed from"):
        model.predict(5, covariates=tide[N_TRAIN + 1 :])
    with pytest.raises(ValueError, match=r"past_covariates end at 2001-04-30.*the history reaches 2001-05-10"):
        model.predict(series[: N_TRAIN + 10], covariates=tide)
    with pytest.raises(ValueError, match=r"covariates end at .*but X reaches"):
        small("linear").fit(series, covariates=tide[:-1])
    with pytest.raises(ValueError, match=r"covariates end at .*but X reaches .*or cut X"):
        model.update(series[N_TRAIN:], covariates=tide[:-1], past_covariates=index)
    with pytest.raises(ValueError, match=r"covariates end at .*but the horizon reaches"):
        gc.backtest(model, series[N_TRAIN:], covariates=tide[:-1], past_covariates=index)


def test_covariates_that_were_not_fitted_or_are_missing_are_named(linear):
    model, series, tide, _ = linear
    with pytest.raises(ValueError, match=r"covariates=None, but the model was fitted with covariates: give those"):
        model.predict(2)
    with pytest.raises(ValueError, match=r"covariates holds 2 area-wide series, the model was fitted with 1"):
        model.predict(2, covariates=[tide, tide])
    with pytest.raises(ValueError, match=r"covariates holds 0 area-wide series, the model was fitted with 1"):
        model.predict(2, covariates=series)
    with pytest.raises(ValueError, match=r"covariates/fields are given, but the model was fitted without"):
        model.predict(2, covariates=[tide, series])
    free = small("linear").fit(series[:N_TRAIN])
    for kind in ("covariates", "past_covariates"):
        with pytest.raises(ValueError, match=rf"^{kind} is given, but the model was fitted without: fit\(X, {kind}="):
            free.predict(2, **{kind: tide})
        with pytest.raises(ValueError, match=rf"^{kind} is given, but the model was fitted without: fit\(X, {kind}="):
            free.reconstruct(series, **{kind: tide})
    assert free.covariates_["chosen"].to_dict() == {"none": True}
    assert "covariates" not in free.fit(series[:N_TRAIN])._learned()


def test_a_refused_covariate_keeps_the_earlier_fit(linear):
    model, series, tide, _ = linear
    expected = model.predict(2, covariates=tide)
    with pytest.raises(ValueError, match="is not on the grid of X"):
        model.fit(series, covariates=series[:, :4])
    moved = pickle.loads(pickle.dumps(model))
    with pytest.raises(ValueError, match="covariates=None"):
        moved.update(series[N_TRAIN:])
    xr.testing.assert_identical(moved.predict(2, covariates=tide), expected)


# Pipelines and searches


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def test_a_pipeline_passes_them_on():
    series, tide, _ = make_driven()
    pipeline = gc.ForecastPipeline([("scale", gc.MinMaxTransformer()), ("model", small("linear"))])
    pipeline.fit(series[:N_TRAIN], covariates=tide[:N_TRAIN])
    assert pipeline[-1].covariates_["chosen"]["covariates"]
    alone = small("linear").fit(series[:N_TRAIN], covariates=tide[:N_TRAIN])
    np.testing.assert_allclose(pipeline.predict(2, covariates=tide), alone.predict(2, covariates=tide), atol=0.05)
    score = pipeline.score(series[N_TRAIN:], covariates=tide)
    assert score == pytest.approx(alone.score(series[N_TRAIN:], covariates=tide), abs=0.01)
    assert pipeline.predict_samples(2, n_samples=3, covariates=tide).sizes["member"] == 3
    assert pipeline.predict_quantiles(2, q=0.5, n_samples=3, covariates=tide).sizes["quantile"] == 1
    pipeline.update(series[N_TRAIN:130], covariates=tide[N_TRAIN:130]).predict(2, covariates=tide)


@pytest.mark.slow
@pytest.mark.parametrize("length", [N, N + 5])  # folds are cut out of the former by scikit-learn
def test_a_search_routes_them(routing, length):
    series, (_, tide, _) = make_driven()[0], make_driven(N + 5)
    tide = xr.concat([make_driven()[1], tide[N:]], "time")[:length]
    model = small("linear").set_fit_request(covariates=True).set_score_request(covariates=True)
    cv = gc.WindowSplitter(window=8)
    search = GridSearchCV(model, {"lags": [1, 2]}, cv=cv, error_score="raise").fit(series, covariates=tide)
    best = clone_fit(search, series, tide)
    expected = [
        clone_fit(search, series[train], tide[train]).score(series[test], covariates=tide[test])
        for train, test in cv.split(series)
    ]
    assert search.best_score_ == pytest.approx(np.mean(expected))
    assert search.best_score_ > 0.5
    ahead = make_driven(N + 5)[1]
    xr.testing.assert_identical(search.best_estimator_.predict(2, covariates=ahead), best.predict(2, covariates=ahead))


def clone_fit(search, series, tide):
    return sklearn.base.clone(search.best_estimator_).fit(series, covariates=tide)


def test_a_search_over_a_pipeline_by_a_scorer_routes_them(routing):
    series, tide, index = make_driven()
    model = small("linear").set_fit_request(covariates=True, past_covariates=True)
    pipeline = gc.ForecastPipeline([("scale", gc.MinMaxTransformer()), ("model", model)])
    scorer = gc.make_scorer("skill", horizon=2).set_score_request(covariates=True, past_covariates=True)
    search = GridSearchCV(
        pipeline, {"model__lags": [1, 2]}, scoring=scorer, cv=gc.WindowSplitter(window=8), error_score="raise"
    ).fit(series, covariates=tide, past_covariates=index)
    assert search.best_estimator_[-1].covariates_["chosen"]["covariates"]
    assert search.best_score_ > 0.3


def test_what_was_is_judged_and_filled_beside_its_covariates():
    rng = np.random.default_rng(0)
    series = labelled(linear_field(260))
    tide = xr.DataArray(rng.normal(size=260), dims="time", coords={"time": series.time})
    driven = (series + 2 * tide).astype("float32").transpose(*series.dims)
    options = {"lags": 2, "context": 6, "climatology": "mean", "random_state": 0}
    model = gc.LinearForecaster(**options).fit(driven[:200], covariates=tide)
    plain = gc.LinearForecaster(**options).fit(series[:200])
    density = model.log_likelihood(driven[200:], covariates=tide)
    assert float(density.mean()) == pytest.approx(float(plain.log_likelihood(series[200:]).mean()), abs=0.1)
    gapped = driven[200:].copy()
    gapped[30:33] = np.nan
    filled = model.reconstruct(gapped, covariates=tide)
    assert np.square(filled - driven[200:])[30:33].mean() < 0.6  # the covariate alone has a variance of 4
    model.reconstruct()  # of the training series they are known
    model.calibrate(driven[200:], covariates=tide)
    box = xr.ones_like(series[0]).drop_vars("time")
    members = model.predict_samples(3, n_samples=5, covariates=tide, given=gc.AreaMean(box, (281.0, 281.0)))
    np.testing.assert_allclose(members.mean(("time", "y", "x")), 281, atol=0.01)
    for ask in (model.log_likelihood, model.reconstruct, model.calibrate):
        with pytest.raises(ValueError, match="covariates=None, but the model was fitted with covariates"):
            ask(driven[200:])
