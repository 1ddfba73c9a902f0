"""What held-out forecasts decide of every neural forecaster."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from seasonal import make_series
from small import NEURAL, small

import gridcast as gc
from gridcast.forecasters import decisions, neural
from gridcast.modules.inverse_model import LinearInverseModel

N = 120


def season_and_noise(seed=0):
    """A season of twelve steps under white noise: nothing to learn beyond the climatology."""
    noise = np.random.default_rng(seed).normal(size=(N, 8, 12))
    season = np.sin(2 * np.pi * np.arange(N) / 12)[:, None, None]
    return xr.DataArray(season + noise, dims=("time", "y", "x"), coords={"time": np.arange(1.0, N + 1)})


def rain(seed=0):
    """Showers that move on, much of the field dry."""
    x = np.random.default_rng(seed).normal(size=(N, 8, 12))
    for t in range(1, N):
        x[t] = 0.9 * np.roll(x[t - 1], 1, axis=1) + 0.4 * x[t]
    return xr.DataArray(np.maximum(x - 0.3, 0), dims=("time", "y", "x"), coords={"time": np.arange(1.0, N + 1)})


@pytest.mark.parametrize("name", NEURAL)
def test_decisions_are_a_table_by_lead_that_a_saved_model_keeps(name, tmp_path):
    model = small(name, validation_fraction=0.3, max_steps=3, horizon=20).fit(make_series(60))
    decisions = model.decisions_
    known = decisions.dropna()  # of late leads no forecast is held out
    assert decisions.index.name == "lead"
    weights = decisions[["networks", "linear", "persistence"]]
    assert ((weights >= 0) & (weights <= 1.5)).all(axis=None)
    # the weighted sum is no worse than any of its parts where it was fitted, but for the trust in the linear model
    least = known[["error_networks", "error_linear", "error_persistence"]].min(axis=1)
    assert len(known) > 5
    assert (known["error"] <= 1.1 * least).all()
    model.save(tmp_path / "model.gridcast")
    opened = gc.load(tmp_path / "model.gridcast")
    xr.testing.assert_identical(opened.decisions_.to_xarray(), decisions.to_xarray())
    xr.testing.assert_identical(opened.linear_.predict(3), model.linear_.predict(3))
    assert "Decided by held-out forecasts" in model.card()


@pytest.mark.parametrize("name", NEURAL)
def test_without_a_held_out_part_the_networks_forecast_alone(name):
    decisions = small(name, validation_fraction=0, max_steps=2).fit(make_series(60)).decisions_
    assert decisions["networks"].eq(1).all()
    assert decisions[["linear", "persistence", "spread_linear"]].eq(0).all(axis=None)
    assert decisions["gain"].isna().all()


@pytest.mark.parametrize("name", NEURAL)
def test_the_paper_decides_nothing(name):
    model = small(name, architecture="paper", max_steps=1).fit(make_series(60))
    with pytest.raises(AttributeError, match="decides nothing by held-out forecasts"):
        _ = model.decisions_


@pytest.mark.parametrize("name", NEURAL)
def test_a_training_that_gains_nothing_ends_early_and_its_networks_are_left_out(name, monkeypatch):
    monkeypatch.setattr("gridcast.training.loop.PROBE_STEPS", 3)
    X = season_and_noise()
    model = small(name, climatology=12, max_epochs=30, learning_rate=1e-6, stride=4).fit(X)
    assert len(model.history_) < 15
    assert model.history_.stopped_early
    assert not model.decisions_[["networks", "spread_networks"]].any(axis=None)
    assert (model.decisions_["gain"].dropna() == 0).all()
    monkeypatch.setattr(type(model.module_), "begin", lambda *of: pytest.fail("the networks were asked"))
    members = model.predict_samples(3, n_samples=50)
    assert members.std("member").mean() == pytest.approx(1.0, rel=0.25)
    assert np.abs(members.mean("member") - model.predict(3)).mean() < members.std("member").mean()
    later = X[-20:].assign_coords(time=X.time[-20:] + 20)
    assert np.isfinite(model.log_likelihood(later)).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["linear", *NEURAL])
def test_members_of_rain_are_none_as_often_as_it_does_not_rain(name):
    X = rain()
    train, test = X[:90], X[90:]
    options = {} if name == "linear" else {"validation_fraction": 0.3, "max_steps": 3}
    model = small(name, climatology="mean", **options).fit(train)
    members = gc.backtest(model, test, 3, n_samples=20)
    assert float(members.min()) == 0.0
    dry = float((test == 0).mean())
    assert float((members == 0).mean()) == pytest.approx(dry, abs=0.12)
    assert not (
        small(name, climatology="mean", bounded=False, **options).fit(train).predict_samples(3, n_samples=20) == 0
    ).any()


@pytest.mark.parametrize(("minutes", "least", "most"), [(60, 2000, 2600), (1, 1, 1)])
def test_what_a_fit_does_before_and_after_its_training_is_part_of_its_minutes(minutes, least, most, monkeypatch):
    plans, train = [], neural.train

    def planned(module, stream, validate, plan, *rest):
        plans.append(plan)
        return train(module, stream, validate, replace(plan, max_seconds=None), *rest)

    monkeypatch.setattr(neural, "train", planned)
    monkeypatch.setattr(neural, "seconds_to_decide", lambda module, data: 1000.0)
    small("convlstm", validation_fraction=0.3, max_steps=1, max_minutes=minutes).fit(make_series(60))
    assert least <= plans[0].max_seconds <= most


@pytest.mark.parametrize("name", NEURAL)
def test_a_fit_in_minutes_trains_and_decides(name):
    model = small(name, validation_fraction=0.3, max_epochs=10**6, max_steps=None, max_minutes=0.01).fit(
        make_series(60)
    )
    assert len(model.history_) > 0
    assert model.decisions_["error"].notna().any()


@pytest.mark.parametrize("name", NEURAL)
def test_the_linear_model_learns_what_was_held_out_once_it_has_decided(name):
    """White noise but for its held-out end, which turns around each step: only a model of the whole has seen that."""
    x = np.random.default_rng(0).normal(size=(N, 8, 12))
    x[84:] = x[84] * (-1.0) ** np.arange(N - 84)[:, None, None] + 0.05 * x[84:]
    series = xr.DataArray(x, dims=("time", "y", "x"), coords={"time": np.arange(1.0, N + 1)})
    settings = {"validation_fraction": 0.3, "max_steps": 2, "climatology": "mean"}
    model = small(name, **settings).fit(series)
    # what decided has not seen it
    assert model.decisions_["error_linear"][1] > 0.9
    error = model.linear_.predict(1)[0] + series[-1]
    assert float(np.square(error).mean()) < 0.5 * float(np.square(series[-1]).mean())


def test_networks_forecast_alike_before_and_after_the_linear_model_learns_what_was_held_out(monkeypatch):
    found = []

    def watched(module, data):
        x = torch.randn(1, 4, 1, *module.combination.linear.size)
        before = module.begin(x, torch.ones_like(x), 3, None)[0]
        weights = module.combination.linear.linear.own.clone()
        decisions.learn_held_out(module, data)
        found.extend([before, module.begin(x, torch.ones_like(x), 3, None)[0]])
        assert not torch.equal(weights, module.combination.linear.linear.own)

    monkeypatch.setattr(neural, "learn_held_out", watched)
    small("cnmm", validation_fraction=0.3, max_steps=3).fit(make_series(60))
    assert torch.equal(*found)


def test_a_spread_is_decided_by_the_scale_of_each_step_and_not_by_a_few_draws(monkeypatch):
    found, calibrate = [], decisions.calibrate

    def watched(module, held_out, **options):
        *_, scale = held_out.alone(module, 0, 3)
        found.append((scale / module.scale).flatten())
        return calibrate(module, held_out, **options)

    monkeypatch.setattr(decisions, "calibrate", watched)
    model = small("convlstm", validation_fraction=0.3, max_steps=1).fit(make_series(60))
    assert (found[0] == 1).all()
    assert not model.module_.noise_apart


def test_a_long_series_keeps_the_linear_model_of_its_training_part(monkeypatch):
    refitted, series = [], make_series(60)
    monkeypatch.setattr(LinearInverseModel, "refit_mean", lambda self, *known: refitted.append(known))
    for values in (series.size, series.size - 1):
        monkeypatch.setattr("gridcast.training.data.RUN_CELLS", values)
        small("convlstm", validation_fraction=0.3, max_steps=1).fit(series)
        assert len(refitted) == 1
