"""A fit that goes on from the weights of the one before it."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from every import make_series
from sklearn.base import clone
from small import NEURAL, small

import gridcast as gc
from gridcast.forecasters import decisions, neural, patches
from gridcast.training.plan import TrainingPlan

pytestmark = pytest.mark.slow

every_forecaster = pytest.mark.parametrize("name", NEURAL)
N = 60


@pytest.fixture(scope="module", params=NEURAL)
def fitted(request):
    X = make_series(2 * N)
    options = {"validation_fraction": 0.3, "max_steps": 4, "max_epochs": 4, "climatology": "mean"}
    return small(request.param, **options).fit(X[:N]), X[:N], X[N:]


def trained(model):
    return {name: p.detach().clone() for name, p in model.module_.named_parameters()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


class Epochs(gc.callbacks.Callback):
    """Counts epochs, or raises."""

    def __init__(self, error=None):
        self.error, self.weights = error, None

    def on_fit_begin(self, est):
        self.weights = trained(est)

    def on_epoch_end(self, est, record):
        if self.error is not None:
            raise self.error


def test_a_warm_start_begins_with_the_weights_and_the_units_that_are_there(fitted):
    first, _, later = fitted
    model, seen = copy.deepcopy(first), Epochs()
    model.set_params(training__warm_start=1.0, training__callbacks=[seen]).fit(later)
    assert same(seen.weights, trained(first))
    assert model.transformer_.data_min_ == first.transformer_.data_min_
    np.testing.assert_array_equal(model.scaling_.climatology.cycle_, first.scaling_.climatology.cycle_)
    np.testing.assert_array_equal(model.scaling_.statistics.std, first.scaling_.statistics.std)
    # what the held-out part of the new series decides is new
    assert not model.decisions_.equals(first.decisions_)
    assert not np.array_equal(model.recalibration_.scores, first.recalibration_.scores)
    assert (model.predict(1)["time"] > later["time"][-1]).all()
    assert model.trained_on_ == (first.trained_on_[0], later.indexes["time"][-1])
    # the earlier one is what it was
    assert first.trained_on_[1] < later.indexes["time"][0]


@pytest.mark.parametrize(("n_new", "n_judged"), [(10, 10), (2, 22)])
def test_steps_that_the_linear_model_has_learned_do_not_judge_it(fitted, monkeypatch, n_new, n_judged):
    """A tail that was held out is learned in the end: of the same series, grown, what is new decides, if enough is."""
    first, earlier, later = fitted
    found, decide = [], neural.decide
    monkeypatch.setattr(
        neural,
        "decide",
        lambda module, data, *rest, **options: (
            found.append(data.held_out[:, 1]),
            decide(module, data, *rest, **options),
        )[1],
    )
    grown = xr.concat([earlier, later[:n_new]], "time")
    # a third of the steps
    copy.deepcopy(first).set_params(training__warm_start=True, training__validation_fraction=0.35).fit(grown)
    (origins,) = found
    assert len(origins) == n_judged
    assert origins[-1] == len(grown) - 2
    assert (origins >= N - 1).all() == (n_new == n_judged)


def test_what_is_held_out_is_judged_with_the_climatology_that_stays(fitted, monkeypatch):
    first, _, later = fitted
    cycles, regions = [], decisions.regions
    monkeypatch.setattr(
        decisions,
        "regions",
        lambda data, multiple: (cycles.append(data.scaling.climatology.cycle_), regions(data, multiple))[1],
    )
    copy.deepcopy(first).set_params(training__warm_start=True).fit(later)
    assert cycles
    for cycle in cycles:
        np.testing.assert_array_equal(cycle, first.scaling_.climatology.cycle_)


def test_it_takes_the_share_of_the_steps_at_a_lower_rate(fitted):
    first, _, later = fitted
    model = copy.deepcopy(first).set_params(max_steps=40, max_epochs=40, training__schedule="constant")
    for share, epochs in ((True, 1), (0.5, 4)):
        history = copy.deepcopy(model).set_params(training__warm_start=share).fit(later).history_
        # 5 batches of 8 windows an epoch
        assert len(history) == epochs
        assert history[-1]["learning_rate"] == pytest.approx(model.learning_rate / 4)


def test_a_tenth_of_a_schedule_is_at_least_a_step():
    assert [TrainingPlan(10, 0.1, share=0.1).n_steps(n) for n in (1, 5, 100)] == [1, 5, 100]
    assert TrainingPlan(1, 0.1, share=0.1).n_steps(3) == 1
    assert TrainingPlan(10, 0.1, max_steps=300, share=0.25).n_steps(100) == 75


def test_weights_that_no_epoch_improves_are_kept(fitted, monkeypatch):
    first, _, later = fitted
    model = copy.deepcopy(first)
    errors = iter([1.0, *[2.0] * 50])
    monkeypatch.setattr("gridcast.forecasters.neural.validation_error", lambda data, fraction: lambda m: next(errors))
    model.set_params(training__warm_start=1.0).fit(later)
    assert same(trained(model), trained(first))
    errors = iter([1.0, *[0.5] * 50])
    assert not same(trained(copy.deepcopy(first).set_params(training__warm_start=1.0).fit(later)), trained(first))


@every_forecaster
def test_a_forecaster_that_is_not_fitted_begins_from_scratch(name):
    X = make_series(N)
    plain = small(name, max_steps=2).fit(X)
    warm = small(name, max_steps=2, warm_start=True).fit(X)
    assert same(trained(plain), trained(warm))
    # a clone is not fitted
    assert same(trained(clone(warm).fit(X)), trained(plain))


def test_an_opened_forecaster_goes_on_as_the_saved_one_and_lasts(fitted, tmp_path):
    first, _, later = fitted
    first.save(tmp_path / "first")
    opened = gc.load(tmp_path / "first", device="cpu").set_params(training__warm_start=1.0).fit(later)
    model = copy.deepcopy(first).set_params(training__warm_start=1.0).fit(later)
    assert same(trained(opened), trained(model))
    opened.save(tmp_path / "second")
    again = gc.load(tmp_path / "second", device="cpu")
    xr.testing.assert_identical(again.predict(3), model.predict(3))
    xr.testing.assert_identical(again.predict_quantiles(3, n_samples=5), model.predict_quantiles(3, n_samples=5))
    # and so on, year by year
    assert np.isfinite(again.fit(later).predict(2)).all()


def test_a_warm_start_that_fails_leaves_the_earlier_fit(fitted):
    first, _, later = fitted
    model = copy.deepcopy(first)
    before = model.predict_quantiles(2, n_samples=5)
    model.set_params(training__warm_start=1.0, training__callbacks=[Epochs(RuntimeError("enough"))])
    with pytest.raises(RuntimeError, match="enough"):
        model.fit(later)
    assert same(trained(model), trained(first))
    xr.testing.assert_identical(model.predict_quantiles(2, n_samples=5), before)


def test_what_the_weights_do_not_fit_is_named(fitted):
    first, _, later = fitted
    model = copy.deepcopy(first).set_params(training__warm_start=True)
    for wrong, message in (
        (later[:, 1:], "X has 7 entries along 'lat'"),
        (later.assign_coords(lon=later.lon + 5), "other values in the coordinate 'lon'"),
        (later[::2], "time"),
    ):
        with pytest.raises(ValueError, match=rf"training__warm_start=True goes on .*{message}.*=False fits from scr"):
            model.fit(wrong)
    for name, value in (("rnn_channels", 3), ("context", 5), ("transformer__data_range", (0, 400)), ("horizon", 5)):
        changed = copy.deepcopy(model).set_params(**{name: value})
        message = rf"{name}=.* was .* in the earlier fit, whose weights training__warm_start=True goes on with: set it"
        with pytest.raises(ValueError, match=message):
            changed.fit(later)
    xr.testing.assert_identical(model.predict(2), first.predict(2))
    free = {"batch_size": 4, "learning_rate": 1e-4, "max_steps": 2, "training__gradient_clip": 0.5}
    model.set_params(**free).fit(later)


def test_a_calendar_that_fewer_steps_do_not_tell_stays():
    times = pd.date_range("2004-02-01", periods=2 * N + 1)
    X = make_series(2 * N, time=times[times != "2004-02-29"])
    first = small("convlstm", max_steps=2, climatology="mean").fit(X[:N])
    assert first.calendar_.kind == "noleap"
    assert gc.NaiveForecaster().fit(X[N:]).calendar_.kind == "equal"  # without a 29 February
    model = copy.deepcopy(first).set_params(training__warm_start=True).fit(X[N:])
    assert model.calendar_ == first.calendar_


@pytest.fixture(scope="module")
def driven():
    """A forecaster of a series that follows a tide and an index, the series and both of them."""
    X, rng = make_series(2 * N), np.random.default_rng(1)
    tide, index = (xr.DataArray(rng.normal(size=2 * N), dims="time", coords={"time": X.time}) for _ in range(2))
    X = X + 20 * tide + 20 * index.shift(time=1, fill_value=0.0)
    model = small("convlstm", max_steps=4, climatology="mean")
    model.fit(X[:N], covariates=tide[:N], past_covariates=index[:N])
    assert model.covariates_.chosen.to_dict() == {"none": False, "covariates": True, "past_covariates": True}
    return model.set_params(training__warm_start=True), X, tide, index


def test_other_covariates_than_the_earlier_fit_had_are_refused(driven):
    model, X, tide, index = driven
    later, tide, index = X[N:], tide[N:], index[N:]
    for given, message in (
        ({}, "covariates holds 0 area-wide series, that fit had 1"),
        ({"covariates": tide}, "past_covariates holds 0 area-wide series, that fit had 1"),
        ({"covariates": [tide, tide], "past_covariates": index}, "covariates holds 2 area-wide series, that fit had 1"),
        ({"covariates": [tide, later], "past_covariates": index}, "covariates holds 1 gridded series, that fit had 0"),
    ):
        with pytest.raises(ValueError, match=rf"warm_start=True goes on .* earlier fit: {message}; .*=False fits"):
            copy.deepcopy(model).fit(later, **given)
    going_on = copy.deepcopy(model).fit(later, covariates=tide, past_covariates=index)
    after = xr.DataArray(np.zeros(2), dims="time", coords={"time": X.indexes["time"][-2:] + pd.Timedelta("2D")})
    assert np.isfinite(going_on.predict(2, covariates=after)).all()


def test_covariates_of_the_past_that_no_longer_tell_are_left_out(driven):
    model, X, tide, index = driven
    noise = index.copy(data=np.random.default_rng(2).normal(size=2 * N))
    model = copy.deepcopy(model).fit(X[N:], covariates=tide[N:], past_covariates=noise[N:])
    assert not model.covariates_.chosen["past_covariates"]


@pytest.mark.parametrize("name", ["cnmm", "convlstm"])
def test_batches_that_are_too_large_for_whole_fields_are_named(name, monkeypatch, tmp_path):
    X = make_series(2 * N)
    model = small(name, max_steps=1, batch_size=2).fit(X[:N])
    monkeypatch.setattr(patches, "STEP_BYTES", 2_000_000)  # whole fields of 2 windows, not of 8
    assert model._patch(model.grid_.shape) is None
    model.set_params(training__warm_start=True, batch_size=8)
    with pytest.raises(ValueError, match=r"batch_size=8 was one of whole fields in the earlier fit.*: set it back"):
        model.fit(X[N:])
    model.set_params(batch_size=1).fit(X[N:]).save(tmp_path / "model")
    gc.load(tmp_path / "model", device="cpu")


@pytest.mark.parametrize("share", [0, -0.1, 1.5, "yes", None])
def test_warm_start_is_a_switch_or_a_share(share):
    with pytest.raises(ValueError, match=r"warm_start=.* must be"):
        small("convlstm", warm_start=share).fit(make_series(N))


def test_checkpoints_of_a_warm_start_belong_to_the_weights_that_it_began_with(tmp_path):
    X = make_series(2 * N)
    first = small("convlstm", max_steps=2).fit(X[:N])
    other = small("convlstm", max_steps=2, random_state=1).fit(X[:N]).set_params(random_state=0)
    kept = {"training__warm_start": 1.0, "training__checkpoint_dir": tmp_path, "training__checkpoint_every": 1}
    done = copy.deepcopy(first).set_params(**kept).fit(X[N:])
    # the same again reads what is there
    assert same(trained(copy.deepcopy(first).set_params(**kept).fit(X[N:])), trained(done))
    with pytest.raises(ValueError, match="holds another training: the weights before was"):
        other.set_params(**kept).fit(X[N:])
