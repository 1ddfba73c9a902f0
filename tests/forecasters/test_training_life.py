"""A training as a user lives with it: callbacks, loggers, interruption and resumption, compilation."""

import copy
import csv
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from small import NEURAL, small

import gridcast as gc
from gridcast.training import loop

pytestmark = pytest.mark.slow

every_forecaster = pytest.mark.parametrize("name", NEURAL)


@pytest.fixture(scope="module")
def series():
    values = np.random.default_rng(0).normal(size=(40, 8, 8)).astype(np.float32).cumsum(0)
    return xr.DataArray(
        values,
        dims=("time", "lat", "lon"),
        coords={"time": pd.date_range("2001-01-01", periods=40), "lat": np.arange(8.0), "lon": np.arange(8.0)},
    )


def make(name, **parameters):
    return small(name, **{"max_epochs": 3} | parameters)


class Recorder(gc.callbacks.Callback):
    """Keeps what it sees; ends the training after `stop_after` epochs, or raises."""

    def __init__(self, stop_after=None, error=None):
        self.stop_after, self.error = stop_after, error
        self.began, self.ended, self.records, self.forecasts = 0, 0, [], []

    def on_fit_begin(self, est):
        self.began += 1
        assert est.history_ == []

    def on_epoch_end(self, est, record):
        self.records.append(record)
        assert est.history_[-1] is record
        self.forecasts.append(est.predict(2))
        if self.error is not None:
            raise self.error
        return len(self.records) == self.stop_after

    def on_fit_end(self, est):
        self.ended += 1


def same_weights(a, b):
    theirs = b.module_.state_dict()
    for key, value in a.module_.state_dict().items():
        torch.testing.assert_close(value, theirs[key], rtol=0, atol=0, msg=key)


@every_forecaster
def test_callbacks_see_every_epoch_and_a_forecaster_that_forecasts(name, series):
    recorder = Recorder()
    model = make(name, callbacks=[recorder]).fit(series)
    assert (recorder.began, recorder.ended) == (1, 1)
    assert recorder.records == model.history_
    assert len(recorder.records) == 3
    assert recorder.forecasts[0].sizes["time"] == 2
    assert not recorder.forecasts[0].equals(recorder.forecasts[-1])


def test_callbacks_change_nothing_and_one_that_returns_true_ends_the_training(series):
    plain = make("cnmm").fit(series)
    same_weights(plain, make("cnmm", callbacks=[Recorder()]).fit(series))
    assert len(make("cnmm", callbacks=[Recorder(stop_after=2)]).fit(series).history_) == 2


class Keeper(gc.callbacks.Callback):
    """Saves the forecaster in the end."""

    def __init__(self, path):
        self.path = path

    def on_fit_end(self, est):
        est.save(self.path)


def test_what_is_saved_in_the_end_is_the_fitted_forecaster(tmp_path):
    rng, time = np.random.default_rng(0), pd.date_range("2001-01-01", periods=120)
    index = xr.DataArray(rng.normal(size=120), dims="time", coords={"time": time})
    noise = xr.DataArray(rng.normal(size=(120, 8, 8)), dims=("time", "lat", "lon"), coords={"time": time})
    series = noise + 3 * index.shift(time=1, fill_value=0.0)
    options = {"max_steps": 2, "validation_fraction": 0.3, "climatology": "mean"}
    model = small("convlstm", callbacks=[Keeper(tmp_path / "kept")], **options).fit(series, past_covariates=index)
    assert model.covariates_.chosen["past_covariates"]
    assert model.recalibration_.scores.any()
    saved = gc.load(tmp_path / "kept", device="cpu")
    xr.testing.assert_identical(saved.predict_quantiles(3, n_samples=9), model.predict_quantiles(3, n_samples=9))
    np.testing.assert_array_equal(saved.recalibration_.scores, model.recalibration_.scores)
    pd.testing.assert_frame_equal(saved.covariates_, model.covariates_)


def test_an_error_of_a_callback_reaches_the_caller_and_leaves_the_earlier_fit(series):
    model = make("cnmm").fit(series)
    before = model.predict(1)
    with pytest.raises(RuntimeError, match="enough"):
        model.set_params(training__callbacks=[Recorder(error=RuntimeError("enough"))]).fit(series)
    xr.testing.assert_identical(model.predict(1), before)


@pytest.mark.parametrize("callbacks", ["print", [print], [Recorder], 3])
def test_what_is_no_callback_is_named(callbacks, series):
    with pytest.raises(TypeError, match="callbacks"):
        make("cnmm", callbacks=callbacks).fit(series)


def test_csv_logger_writes_the_history(series, tmp_path):
    path = tmp_path / "logs" / "history.csv"
    model = make("cnmm", callbacks=[gc.callbacks.CSVLogger(path)]).fit(series)
    rows = list(csv.DictReader(path.open()))
    assert [float(row["loss"]) for row in rows] == pytest.approx([record["loss"] for record in model.history_])
    assert list(path.parent.iterdir()) == [path]


def test_tensorboard_logger_writes_scalars_or_says_what_to_install(series, tmp_path, monkeypatch):
    written = []

    class Writer:
        def __init__(self, log_dir):
            written.append(log_dir)

        def __enter__(self):
            return self

        def __exit__(self, *args):
            pass

        def add_scalar(self, name, value, step):
            written.append((name, value, step))

    module = type(sys)("torch.utils.tensorboard")
    module.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    model = make("cnmm", callbacks=[gc.callbacks.TensorBoardLogger(tmp_path)]).fit(series)
    assert ("training/loss", model.history_[2]["loss"], 2) in written
    assert written[0] == str(tmp_path)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ImportError, match="pip install tensorboard"):
        model.fit(series)


@every_forecaster
@pytest.mark.parametrize("every", [1, 2, "1ms"])
def test_a_resumed_fit_ends_with_the_weights_of_an_uninterrupted_one(name, every, series, tmp_path):
    kept = {"checkpoint_dir": tmp_path, "checkpoint_every": every}
    expected = make(name).fit(series)
    with pytest.raises(KeyboardInterrupt):
        make(name, callbacks=[Recorder(error=KeyboardInterrupt())], **kept).fit(series)
    resumed = make(name, **kept).fit(series)
    same_weights(resumed, expected)
    assert len(resumed.history_) == 3
    xr.testing.assert_equal(resumed.predict_samples(3, n_samples=2), expected.predict_samples(3, n_samples=2))


def test_a_finished_fit_is_read_back(series, tmp_path):
    first = make("cnmm", checkpoint_dir=tmp_path).fit(series)
    recorder = Recorder()
    second = make("cnmm", checkpoint_dir=tmp_path, callbacks=[recorder]).fit(series)
    assert recorder.records == []
    same_weights(first, second)
    assert second.history_ == first.history_


def test_without_a_random_state_the_seed_is_that_of_the_checkpoint(series, tmp_path):
    first = make("cnmm", checkpoint_dir=tmp_path, random_state=None).fit(series)
    same_weights(first, make("cnmm", checkpoint_dir=tmp_path, random_state=None).fit(series))


@pytest.mark.parametrize(
    ("change", "data", "expected"),
    [
        ({"learning_rate": 0.5}, None, "learning_rate was 0.002 and is 0.5"),
        ({"random_state": 3}, None, "random_state was 0 and is 3"),
        ({"transformer__data_range": (-50, 50)}, None, r"transformer__data_range was None and is \(-50, 50\)"),
        ({}, lambda x: x * 2, "the values of X was"),
        ({}, lambda x: x.copy(data=x.values[::-1]), "the values of X was"),
        ({}, lambda x: x.assign_coords(lon=x.lon * 45), "the coordinates of X was"),
        ({"static": [np.eye(8)]}, None, "static was None and is"),
        ({}, lambda x: x[:-1], r"the shape of X was \(1, 40, 1, 8, 8\) and is \(1, 39, 1, 8, 8\)"),
        ({}, lambda x: x.assign_coords(time=pd.date_range("2002-01-01", periods=40)), "the period of X"),
        ({}, lambda x: x.chunk(time=10), "the chunks of X was none, in memory"),
    ],
)
def test_other_parameters_or_data_are_refused_by_name(change, data, expected, series, tmp_path):
    model = make("cnmm", checkpoint_dir=tmp_path, max_epochs=1).fit(series)
    with pytest.raises(ValueError, match=f"holds another training: .*{expected}"):
        model.set_params(**change).fit(series if data is None else data(series))


def test_a_second_fit_in_a_folder_is_refused_while_the_first_lives(series, tmp_path):
    class Second(gc.callbacks.Callback):
        def on_epoch_end(self, est, record):
            with pytest.raises(ValueError, match="another fit that is under way"):
                make("convlstm", checkpoint_dir=tmp_path, max_epochs=1).fit(series)

    make("convlstm", checkpoint_dir=tmp_path, max_epochs=1, callbacks=[Second()]).fit(series)
    make("convlstm", checkpoint_dir=tmp_path, max_epochs=1).fit(series)


def test_what_does_not_change_a_training_may_differ(series, tmp_path):
    model = make("cnmm", checkpoint_dir=tmp_path, max_epochs=1).fit(series)
    again = clone(model).set_params(training__checkpoint_every=7, training__callbacks=[Recorder()]).fit(series)
    same_weights(again, model)


@pytest.mark.parametrize("every", [0, -1, True, "soon", "-5min", 2.5, None])
def test_checkpoint_every_is_checked(every, series):
    with pytest.raises(ValueError, match=r"checkpoint_every=.* must be a number of steps or a duration"):
        make("cnmm", checkpoint_every=every).fit(series)


def test_streamed_trainings_resume_inside_an_epoch(series, tmp_path, monkeypatch):
    lazy = series.chunk(time=10)
    kept = {"checkpoint_dir": tmp_path, "checkpoint_every": 1, "buffer_bytes": 20_000, "max_epochs": 2}
    expected = make("cnmm", buffer_bytes=20_000, max_epochs=2).fit(lazy)
    stopped = make("cnmm", **kept)
    steps = iter(range(100))

    def stop(*args, **options):
        if next(steps) == 5:
            raise KeyboardInterrupt
        return step(*args, **options)

    step = loop._step
    monkeypatch.setattr(loop, "_step", stop)
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(lazy)
    monkeypatch.undo()
    same_weights(make("cnmm", **kept).fit(lazy), expected)


def test_compilation_changes_the_weights_by_rounding_alone(series):
    plain = make("convlstm", max_epochs=1).fit(series)
    model = make("convlstm", max_epochs=1, compile=True).fit(series)
    for key, value in model.module_.state_dict().items():
        torch.testing.assert_close(value, plain.module_.state_dict()[key], rtol=1e-3, atol=1e-4)
    assert copy.deepcopy(model).predict(1).equals(model.predict(1))


KILLED = """
import sys
import numpy as np, torch
import gridcast as gc
torch.set_num_threads(1)
x = np.random.default_rng(0).normal(size=(40, 8, 8)).astype(np.float32).cumsum(0)
model = gc.ConvLSTMForecaster(
    rnn_channels=4, n_states=2, window=8, context=4, max_epochs=int(sys.argv[2]), max_steps=None, batch_size=8,
    random_state=0, device="cpu", verbose=0, training=gc.Training(checkpoint_dir=sys.argv[1], checkpoint_every=1),
)
print("ready", flush=True)
model.fit(x)
np.save(sys.argv[1] + "/forecast.npy", model.predict(3).values)
"""


def test_a_training_that_is_killed_again_and_again_ends_as_if_it_never_was(tmp_path):
    def start(folder):
        process = subprocess.Popen([sys.executable, "-c", KILLED, folder, "12"], stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "ready\n"
        return process

    killed, whole = tmp_path / "killed", tmp_path / "whole"
    for folder in (killed, whole):
        folder.mkdir()
    assert start(str(whole)).wait() == 0
    draw = random.Random(0)
    for _ in range(2):
        process = start(str(killed))
        time.sleep(0.2 + 0.5 * draw.random())
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert start(str(killed)).wait() == 0
    np.testing.assert_array_equal(np.load(killed / "forecast.npy"), np.load(whole / "forecast.npy"))


def test_the_history_is_a_table_in_a_notebook(series):
    history = make("convlstm").fit(series).history_
    assert [record["epoch"] for record in history] == [0, 1, 2]
    html = history._repr_html_()
    for expected in ("3 epochs", "<table", "validation_error"):
        assert expected in html
    table = history.to_dataframe()
    assert table.index.name == "epoch"
    np.testing.assert_array_equal(table["loss"], [record["loss"] for record in history])


@every_forecaster
def test_a_summary_counts_every_weight_and_what_a_frame_costs(name, series):
    model = make(name, max_epochs=1, time_features="season", static=series[0].drop_vars("time")).fit(series)
    summary = model.summary()
    assert summary.n_parameters == model.n_parameters_
    assert summary.parts["share"].sum() == pytest.approx(1)
    assert summary.cost.flop > 0
    text = str(summary)
    assert f"{model.n_parameters_:,} parameters" in text
    assert "GFLOP" in text
    assert "a frame of 1 x 8 x 8" in text
    assert "<table" in summary._repr_html_()


def test_the_cost_of_a_large_grid_is_that_of_its_cells():
    values = np.random.default_rng(0).normal(size=(12, 100, 120)).astype(np.float32)
    small = make("convlstm", max_epochs=1, max_steps=1, patch_size=16)
    large = small.fit(values).summary().cost
    assert large.flop == pytest.approx(clone(small).fit(values[:, :60, :60]).summary().cost.flop * 100 * 120 / 60**2)


def test_a_summary_before_fit_says_so():
    with pytest.raises(NotFittedError):
        make("cnmm").summary()


@every_forecaster
def test_a_held_out_part_without_observations_is_no_divergence(name):
    values = np.random.default_rng(0).normal(size=(60, 8, 8)).cumsum(0)
    values[-12:] = np.nan
    with pytest.warns(UserWarning, match="hold out more"):
        blind = small(name, max_steps=3, validation_fraction=0.15).fit(values)
    assert "validation_error" not in blind.history_[-1]
    assert np.isfinite(blind.predict(values, 2)).all()
    seeing = small(name, max_steps=3, validation_fraction=0.3).fit(values)
    assert np.isfinite(seeing.history_[-1]["validation_error"])
