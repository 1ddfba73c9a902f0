"""Several processes against one: training under torchrun, a search on a cluster."""

import json
import os
import random
import runpy
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from dask.distributed import Client, LocalCluster
from sklearn.model_selection import GridSearchCV
from small import small

import gridcast as gc
from gridcast.training.engine import draw_apart, seeded

SCRIPT = """
import json, os, sys
import torch
import gridcast as gc

series = gc.datasets.make_heat(4, n_windows=4, window=12, shape=(16, 16), random_state=0)
model = gc.CNMMForecaster(
    window=6, context=4, lags=2, batch_size=4, max_epochs=2,
    training=gc.Training(stride=2, validation_fraction=0.25, observation_noise=0.5),
    encoder_channels=(4, 6), rnn_channels=6, latent_channels=3, transition_channels=6, emitter_channels=(6, 4),
    random_state=3, verbose=0, patch_size=8,
).fit(series)
without_draws = gc.ConvLSTMForecaster(
    window=6, context=4, batch_size=4, max_epochs=2, rnn_channels=4, n_states=2,
    # in 16 bits the halves of a batch round otherwise than the whole
    training=gc.Training(stride=2, observation_noise=0.5, precision="32"), random_state=3, verbose=0, patch_size=8,
).fit(series)
rank = os.environ.get("RANK", "alone")
weights = torch.cat([p.detach().flatten() for p in model.module_.parameters()])
found = {"history": model.history_, "weights": weights.tolist(), "without draws": without_draws.history_}
json.dump(found, open(f"{sys.argv[1]}/{rank}.json", "w"))
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parallel")
    script = folder / "script.py"
    script.write_text(SCRIPT)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    environment |= {"PYTHONPATH": str(Path(gc.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    two = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*two, str(script), str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [str(script), str(folder)])
        runpy.run_path(str(script))
    return {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}


@pytest.mark.slow
def test_two_processes_end_with_the_same_weights(runs):
    assert set(runs) == {"alone", "0", "1"}
    assert runs["0"]["weights"] == runs["1"]["weights"]
    assert runs["0"]["history"][0]["loss"] == runs["1"]["history"][0]["loss"]


@pytest.mark.slow
def test_two_processes_learn_what_one_does_from_the_same_batches(runs):
    for alone, together in zip(runs["alone"]["history"], runs["0"]["history"], strict=True):
        # the step of a window at which the transition is taught is drawn, by each process apart
        assert together["loss"] == pytest.approx(alone["loss"], rel=0.1)
        assert together["validation_error"] == pytest.approx(alone["validation_error"], rel=0.1)


@pytest.mark.slow
def test_without_draws_two_processes_are_one(runs):
    for alone, together in zip(runs["alone"]["without draws"], runs["0"]["without draws"], strict=True):
        assert together["loss"] == pytest.approx(alone["loss"], rel=1e-4)
        assert together["validation_error"] == pytest.approx(alone["validation_error"], rel=1e-4)


@pytest.fixture
def cluster():
    state = random.getstate()  # the cluster's, not ours, draws from it
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        client.run(
            __import__, "gridcast.forecasters.convlstm"
        )  # else a busy machine takes the import for a dead worker
        yield cluster
    random.setstate(state)


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_a_search_on_a_cluster_finds_what_it_finds_alone():
    series = gc.datasets.make_heat(1, n_windows=1, window=60, shape=(8, 8), random_state=0)[0]
    model = gc.ConvLSTMForecaster(
        window=8, context=4, rnn_channels=4, n_states=2, max_epochs=1, max_steps=3, random_state=0, verbose=0
    )
    search = GridSearchCV(
        model, {"learning_rate": [1e-4, 1e-2]}, cv=gc.WindowSplitter(window=8, n_splits=2), error_score="raise"
    )
    alone = search.fit(series).cv_results_["mean_test_score"]
    with joblib.parallel_backend("dask"):
        np.testing.assert_allclose(search.fit(series).cv_results_["mean_test_score"], alone, rtol=1e-4)
        forecast = search.best_estimator_.predict(series, 2)
    assert np.isfinite(forecast).all()


def test_every_process_draws_numbers_of_its_own():
    def draw(process, step):
        with seeded(3):
            draw_apart(3, process, step)
            return torch.randn(4)

    drawn = [draw(process, step) for process in (0, 1, 2) for step in (0, 1)]
    with seeded(3):
        assert torch.equal(drawn[0], torch.randn(4))  # the first goes on with its own
    assert torch.equal(drawn[0], drawn[1])
    assert len({tuple(numbers.tolist()) for numbers in drawn[1:]}) == 5
    assert torch.equal(drawn[3], draw(1, 1))


def walk():
    return np.random.default_rng(0).normal(size=(40, 6, 7)).cumsum(0)


def in_threads(function, n_threads, n_calls):
    with ThreadPoolExecutor(n_threads) as pool:
        return [call.result() for call in [pool.submit(function) for _ in range(n_calls)]]


@pytest.mark.parametrize("name", ["linear", "cnmm"])
def test_ensembles_drawn_in_threads_are_those_drawn_alone(name):
    model = small(name, **({} if name == "linear" else {"max_steps": 2})).fit(walk())
    alone = model.predict_samples(3, n_samples=4)
    before = torch.get_rng_state(), np.random.get_state()[1]  # noqa: NPY002
    for drawn in in_threads(lambda: model.predict_samples(3, n_samples=4), 8, 50):
        np.testing.assert_array_equal(drawn, alone)
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


@pytest.mark.parametrize("name", ["linear", "cnmm"])
def test_fits_in_threads_learn_what_they_learn_alone(name):
    def fit():
        return small(name, **({} if name == "linear" else {"max_steps": 2})).fit(walk()).module_.state_dict()

    alone, before = fit(), torch.get_rng_state()
    for weights in in_threads(fit, 4, 4):
        assert all(torch.equal(weights[key], value) for key, value in alone.items())
    assert torch.equal(torch.get_rng_state(), before)


def test_a_mean_does_not_wait_for_a_training():
    model = small("linear").fit(walk())
    with seeded(0):
        assert len(in_threads(lambda: model.predict(2), 1, 1)[0]) == 2


def test_a_failed_fit_lets_other_threads_go_on():
    def fail():
        with seeded(0):
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        fail()
    done = threading.Thread(target=lambda: small("linear").fit(walk()), daemon=True)
    done.start()
    done.join(60)
    assert not done.is_alive()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_does_not_wait_for_a_thread_that_it_has_not():
    held, end = threading.Event(), threading.Event()

    def hold():
        with seeded(0):
            held.set()
            end.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(60)
    child = os.fork()
    if not child:
        signal.alarm(20)  # ends a process that waits
        with seeded(1):
            os._exit(0)
    end.set()
    holder.join()
    assert os.waitpid(child, 0)[1] == 0
