import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from torch import nn

from gridcast.training.checkpoints import Checkpoints
from gridcast.training.engine import make_fabric, seeded
from gridcast.training.loop import TrainingPlan, train
from gridcast.training.streaming import Noise, WindowStream

N_WINDOWS, BATCH = 22, 4  # six steps an epoch, the last batch smaller


class Noisy(nn.Module):
    """A loss that depends on the order of the windows, the noise of the stream and torch's random numbers."""

    def __init__(self, stop_after=None):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3))
        self.stop_after, self.calls = stop_after, 0

    def loss(self, x, mask, origin, annealing, target=None, clock=None):
        if self.calls == self.stop_after:
            raise KeyboardInterrupt
        self.calls += 1
        y = x.mean((0, 2, 3, 4))[:3] + 0.1 * torch.randn(3)
        loss = annealing * (self.weight - y).square().mean()
        return loss, {"nll": loss.detach()}


def stream():
    values = np.random.default_rng(1).normal(size=(1, N_WINDOWS + 4, 1, 2, 2)).astype(np.float32)
    windows = np.array([(0, t) for t in range(N_WINDOWS)])
    one, bounds = np.ones((1, 1, 1)), np.full((1, 1, 1), np.inf)
    noise = Noise(0.5, 0.1 * one, one, (-bounds, bounds))
    return WindowStream(values, windows, 5, BATCH, np.zeros((1, 2, 2)), np.random.default_rng(0), noise=noise)


def run(folder=None, steps=1, stop_after=None, identity=None, errors=(9.0, 3.0, 1.0, 2.0, 4.0), patience=None):
    """Train four epochs; return the module and the history. The first of `errors` is that of the start."""
    plan = TrainingPlan(max_epochs=4, learning_rate=0.05, patience=patience)
    module, validation = Noisy(stop_after), dict(enumerate(errors))
    checkpoints = saved = None
    if folder is not None:
        checkpoints = Checkpoints(folder, identity or {"seed": "0"}, seed=0, steps=steps)
        saved = checkpoints.read()
    n_judged = 0 if saved is None else 1 + len(saved["progress"]["history"])

    def validate(module):
        nonlocal n_judged
        n_judged += 1
        return validation[n_judged - 1]

    with seeded(0):
        history = train(module, stream(), validate, plan, make_fabric("cpu", "32"), checkpoints, saved)
    return module, history


def without_times(history):
    return [{k: v for k, v in record.items() if k != "seconds"} for record in history]


@pytest.mark.parametrize("stop_after", [1, 5, 6, 7, 12, 17, 23])
@pytest.mark.parametrize("steps", [1, 4])
def test_a_resumed_training_ends_with_the_weights_of_an_uninterrupted_one(tmp_path, stop_after, steps):
    expected, history = run()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, steps, stop_after)
    resumed, resumed_history = run(tmp_path, steps)
    assert resumed.calls == 24 - stop_after // steps * steps  # what was done is not done again
    torch.testing.assert_close(resumed.weight, expected.weight, rtol=0, atol=0)
    assert without_times(resumed_history) == without_times(history)


def test_a_finished_training_is_not_run_again(tmp_path):
    first, history = run(tmp_path)
    again, same = run(tmp_path)
    assert again.calls == 0
    assert same == history
    torch.testing.assert_close(again.weight, first.weight, rtol=0, atol=0)


def test_patience_counts_on_over_a_resumption(tmp_path):
    _, history = run(patience=1)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, 1, 14, patience=1)
    assert without_times(run(tmp_path, patience=1)[1]) == without_times(history)
    assert len(history) == 3


def test_the_best_weights_are_kept_beside(tmp_path):
    module, history = run(tmp_path)
    best = torch.load(tmp_path / "best.ckpt", weights_only=True)
    torch.testing.assert_close(best["weights"]["weight"], module.weight.detach(), rtol=0, atol=0)
    assert best["record"] == history[1]


def test_another_training_is_refused_with_what_differs(tmp_path):
    run(tmp_path, identity={"learning_rate": "0.1", "the shape of X": "(1, 2)"})
    with pytest.raises(ValueError, match=r"another training: learning_rate was 0.1 and is 0.2.*remove .*last.ckpt"):
        run(tmp_path, identity={"learning_rate": "0.2", "the shape of X": "(1, 2)"})
    with pytest.raises(ValueError, match=r"the shape of X was .* and is absent"):
        run(tmp_path, identity={"learning_rate": "0.1"})


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK" + bytes(100)])
def test_a_damaged_checkpoint_is_named(tmp_path, content):
    (tmp_path / "last.ckpt").write_bytes(content)
    with pytest.raises(ValueError, match=r"last.ckpt can not be read; remove .*last.ckpt, or give another"):
        run(tmp_path)


def test_a_checkpoint_of_another_format_is_named(tmp_path):
    torch.save({"version": 99, "identity": {}, "seed": 0, "state": {}}, tmp_path / "last.ckpt")
    with pytest.raises(ValueError, match="format 99 is not 1"):
        run(tmp_path)


def test_a_duration_decides_when_to_write(tmp_path):
    checkpoints = Checkpoints(tmp_path, {}, seconds=0.05)
    assert not checkpoints.due(1)
    time.sleep(0.06)
    assert checkpoints.due(2)
    checkpoints.write(dict)
    assert not checkpoints.due(3)


def test_of_several_processes_one_writes(tmp_path):
    Checkpoints(tmp_path, {}, steps=1, writes=False).write(dict)
    assert not list(tmp_path.iterdir())


KILLED = """
import sys, torch
from pathlib import Path
from gridcast.training.checkpoints import Checkpoints
checkpoints = Checkpoints(Path(sys.argv[1]), {}, steps=1)
print("ready", flush=True)
step = 0
while True:
    checkpoints.write(lambda: {"step": step, "weights": torch.full((200_000,), float(step))})
    step += 1
"""


@pytest.mark.parametrize("round_", range(2))
def test_a_kill_at_any_moment_leaves_a_checkpoint_that_opens(tmp_path, round_):
    draw = random.Random(round_)
    process = subprocess.Popen([sys.executable, "-c", KILLED, tmp_path], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    while not (tmp_path / "last.ckpt").exists():
        time.sleep(0.01)
    time.sleep(0.3 * draw.random())
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    state = Checkpoints(tmp_path, {}).read()
    assert (state["weights"] == state["step"]).all()
