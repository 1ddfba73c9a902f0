"""Several processes against one: training under torchrun, a search on a cluster."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from dask.distributed import Client, LocalCluster
from sklearn.model_selection import GridSearchCV

import gridcast as gc
from gridcast.training.engine import draw_apart, seeded

SCRIPT = """
import json, os, sys
import torch
import gridcast as gc

torch.set_num_threads(1)
series = gc.datasets.make_heat(4, n_windows=4, window=12, shape=(16, 16), random_state=0)
model = gc.CNMMForecaster(
    window=6, context=4, stride=2, lags=2, batch_size=4, max_epochs=2,
    training=gc.Training(validation_fraction=0.25, observation_noise=0.5),
    encoder_channels=(4, 6), rnn_channels=6, latent_channels=3, transition_channels=6, emitter_channels=(6, 4),
    random_state=3, verbose=0, patch_size=8,
).fit(series)
without_draws = gc.ConvLSTMForecaster(
    window=6, context=4, stride=2, batch_size=4, max_epochs=2, rnn_channels=4, n_states=2,
    training=gc.Training(observation_noise=0.5), random_state=3, verbose=0, patch_size=8,
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
    for start in ([], ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]):
        command = [sys.executable, *start, str(script), str(folder)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
    return {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}


def test_two_processes_end_with_the_same_weights(runs):
    assert set(runs) == {"alone", "0", "1"}
    assert runs["0"]["weights"] == runs["1"]["weights"]
    assert runs["0"]["history"][0]["loss"] == runs["1"]["history"][0]["loss"]


def test_two_processes_learn_what_one_does_from_the_same_batches(runs):
    for alone, together in zip(runs["alone"]["history"], runs["0"]["history"], strict=True):
        assert together["loss"] == pytest.approx(alone["loss"], rel=0.02)
        assert together["validation_error"] == pytest.approx(alone["validation_error"], rel=0.02)


def test_without_draws_two_processes_are_one(runs):
    for alone, together in zip(runs["alone"]["without draws"], runs["0"]["without draws"], strict=True):
        assert together["loss"] == pytest.approx(alone["loss"], rel=1e-4)
        assert together["validation_error"] == pytest.approx(alone["validation_error"], rel=1e-4)


@pytest.fixture
def cluster():
    state = random.getstate()  # the cluster's, not ours, draws from it
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        client.run(
            __import__, "gridcast.forecasters.convlstm"
        )  # else a busy machine takes the import for a dead worker
        yield cluster
    random.setstate(state)


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
