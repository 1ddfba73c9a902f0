import hashlib
import io
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from mutants import mutant
from torch import nn

from gridcast.training.checkpoints import HEAD, VERSION, Checkpoints, read_best
from gridcast.training.engine import make_fabric, seeded
from gridcast.training.loop import train
from gridcast.training.plan import TrainingPlan
from gridcast.training.streaming import Noise, WindowStream

N_WINDOWS, BATCH = 22, 4  # six steps an epoch, the last batch smaller


class Noisy(nn.Module):
    """A loss that depends on the order of the windows, the noise of the stream and torch's random numbers."""

    def __init__(self, stop_after=None):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3))
        self.stop_after, self.calls = stop_after, 0

    def loss(self, x, mask, origin, progress, target=None, clock=None):
        if self.calls == self.stop_after:
            raise KeyboardInterrupt
        self.calls += 1
        y = x.mean((0, 2, 3, 4))[:3] + 0.1 * torch.randn(3)
        loss = (1 + progress) * (self.weight - y).square().mean()
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
    weights, record = read_best(tmp_path)
    torch.testing.assert_close(weights["weight"], module.weight.detach(), rtol=0, atol=0)
    assert record == history[1]


def test_no_mutant_of_the_best_weights_is_opened(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no best.ckpt: its training has not judged an epoch"):
        read_best(tmp_path)
    run(tmp_path)
    path, draw = tmp_path / "best.ckpt", random.Random(0)
    whole = path.read_bytes()
    for data in [b"", sealed({"weights": {}}), whole[len(whole) // 2 :], *(mutant(whole, draw) for _ in range(100))]:
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"^path='.*best.ckpt' holds no weights ") as caught:
            read_best(tmp_path)
        assert len(str(caught.value)) < 2000


def test_another_training_is_refused_with_what_differs(tmp_path):
    run(tmp_path, identity={"learning_rate": "0.1", "the shape of X": "(1, 2)"})
    with pytest.raises(ValueError, match=r"another training: learning_rate was 0.1 and is 0.2.*remove .*last.ckpt"):
        run(tmp_path, identity={"learning_rate": "0.2", "the shape of X": "(1, 2)"})
    with pytest.raises(ValueError, match=r"the shape of X was .* and is absent"):
        run(tmp_path, identity={"learning_rate": "0.1"})


def sealed(content, version=VERSION):
    """Return the bytes of a checkpoint of any content."""
    body = io.BytesIO()
    torch.save(content, body)
    sha256 = hashlib.sha256(body.getvalue()).hexdigest()
    return f"gridcast checkpoint {version}\n{sha256}\n".encode() + body.getvalue()


def content_of(path):
    return torch.load(io.BytesIO(HEAD.sub(b"", path.read_bytes(), count=1)), weights_only=True)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK" + bytes(100), b"gridcast checkpoint 2\n"])
def test_a_damaged_checkpoint_is_named(tmp_path, content):
    (tmp_path / "last.ckpt").write_bytes(content)
    with pytest.raises(ValueError, match=r"last.ckpt can not be read .*; remove .*last.ckpt, or give another"):
        run(tmp_path)
    (tmp_path / "last.ckpt").unlink()  # the way out
    run(tmp_path)


def test_a_checkpoint_of_another_format_is_named(tmp_path):
    (tmp_path / "last.ckpt").write_bytes(sealed({}, version=99))
    with pytest.raises(ValueError, match=r"its format 99 is not 2.*remove"):
        run(tmp_path)


def test_a_folder_in_the_place_of_a_checkpoint_is_named(tmp_path):
    (tmp_path / "last.ckpt").mkdir()
    with pytest.raises(ValueError, match=r"last.ckpt can not be read .*is a folder.*remove"):
        run(tmp_path)


def test_no_mutant_of_a_checkpoint_is_resumed(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, 1, 8)
    path, draw = tmp_path / "last.ckpt", random.Random(0)
    whole = path.read_bytes()
    for _ in range(100):
        path.write_bytes(mutant(whole, draw))
        with pytest.raises(ValueError, match=r"last.ckpt can not be read .*; remove") as caught:
            Checkpoints(tmp_path, {"seed": "0"}).read()
        assert len(str(caught.value)) < 2000
    path.write_bytes(whole)
    assert run(tmp_path)[0].calls == 16


def replaced(*place, by):
    def change(content):
        at = content
        for name in place[:-1]:
            at = at[name]
        at[place[-1]] = by

    return change


STATE, PROGRESS = ("state",), ("state", "progress")
STRUCTURES = {
    "no seed": (lambda c: c.pop("seed"), "it is not of identity, seed and state"),
    "a negative seed": (replaced("seed", by=-1), "its seed is no number"),
    "identity": (replaced("identity", by={"seed": 0}), "its identity is not of texts"),
    "a list": (replaced("state", by=[]), "its state is a list"),
    "no weights": (lambda c: c["state"].pop("weights"), r"state differs in \['weights'\]"),
    "weights": (replaced(*STATE, "weights", "weight", by=torch.zeros(4)), r"weight is \(4,\).*, not \(3,\)"),
    "type": (replaced(*STATE, "weights", "weight", by=torch.zeros(3).double()), "of torch.float64, not"),
    "best": (replaced(*PROGRESS, "best", by={}), "best differs in"),
    "text": (replaced(*PROGRESS, "best_error", by="1"), "best_error is a str, not a number"),
    "epoch": (replaced(*PROGRESS, "epoch", by=7), "at batch 2 of 6 in epoch 7, with 1 records"),
    "batch": (replaced(*PROGRESS, "batch", by=2.0), "counts in fractions"),
    "history": (replaced(*PROGRESS, "history", by=[{"loss": "low"}]), "a record that is not of names and numbers"),
    "random": (replaced(*STATE, "random", "cpu", by=torch.zeros(5056, dtype=torch.uint8)), "fits no training"),
    "moments": (replaced(*STATE, "moments", "state", 0, "exp_avg", by=torch.zeros(4)), r"not of the shape \(3,\)"),
    "more moments": (replaced(*STATE, "moments", "state", 1, by={}), "belongs to no parameter"),
    "groups": (replaced(*STATE, "moments", "param_groups", by=[]), "has 0 entries, not 1"),
}


@pytest.mark.parametrize("case", STRUCTURES)
def test_a_checkpoint_of_another_structure_is_refused_with_the_way_out(tmp_path, case):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, 1, 8)
    change, message = STRUCTURES[case]
    content = content_of(tmp_path / "last.ckpt")
    change(content)
    (tmp_path / "last.ckpt").write_bytes(sealed(content))
    with pytest.raises(ValueError, match=rf"{message}.*; remove .*last.ckpt, or give another checkpoint_dir"):
        run(tmp_path)


def test_one_training_holds_a_folder_at_a_time(tmp_path):
    one, two = Checkpoints(tmp_path, {}), Checkpoints(tmp_path, {})
    with one.held():
        with pytest.raises(ValueError, match=r"another fit that is under way.*wait for its end, or give another"):
            two.held().__enter__()
        with Checkpoints(tmp_path / "other", {}).held(), Checkpoints(tmp_path, {}, writes=False).held():
            pass
    with two.held():
        pass


HOLDS = """
import sys, time
from pathlib import Path
from gridcast.training.checkpoints import Checkpoints
with Checkpoints(Path(sys.argv[1]), {}).held():
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_training_that_died_holds_nothing_and_leaves_nothing(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLDS, tmp_path], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    left = tmp_path / ".last.ckpt.0123abcd.partial"
    left.write_bytes(b"half")
    with pytest.raises(ValueError, match="another fit"):
        Checkpoints(tmp_path, {}).held().__enter__()
    assert left.exists()
    process.kill()
    process.wait()
    with Checkpoints(tmp_path, {}).held():
        assert not left.exists()


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


def test_a_kill_at_any_moment_leaves_a_checkpoint_that_opens(tmp_path):
    draw = random.Random(0)
    process = subprocess.Popen([sys.executable, "-c", KILLED, tmp_path], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    while not (tmp_path / "last.ckpt").exists():
        time.sleep(0.01)
    time.sleep(0.3 * draw.random())
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    state = Checkpoints(tmp_path, {}).read()
    assert (state["weights"] == state["step"]).all()
