"""Training in two processes against training in one, started as a user would."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import gridcast

SCRIPT = """
import json, os, sys
import torch
import gridcast as gc

torch.set_num_threads(1)
series = gc.datasets.make_heat(4, n_windows=4, window=12, shape=(16, 16), random_state=0)
model = gc.CNMMForecaster(
    window=6, context=4, stride=2, lags=2, batch_size=4, max_epochs=2, validation_fraction=0.25, observation_noise=0.5,
    encoder_channels=(4, 6), rnn_channels=6, latent_channels=3, transition_channels=6, emitter_channels=(6, 4),
    random_state=3, verbose=0, patch_size=8,
).fit(series)
rank = os.environ.get("RANK", "alone")
weights = torch.cat([p.detach().flatten() for p in model.module_.parameters()])
json.dump({"history": model.history_, "weights": weights.tolist()}, open(f"{sys.argv[1]}/{rank}.json", "w"))
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parallel")
    script = folder / "script.py"
    script.write_text(SCRIPT)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    environment |= {"PYTHONPATH": str(Path(gridcast.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
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
