import math
import threading

import numpy as np
import pytest
import torch
from torch import nn

from gridcast.training import loop
from gridcast.training.engine import compiled, make_fabric, seeded
from gridcast.training.loop import train
from gridcast.training.plan import TrainingPlan
from gridcast.training.streaming import WindowStream


class Mean(nn.Module):
    """Learns the mean of the data; its loss turns into NaN at the steps in `fail_at`."""

    def __init__(self, fail_at=()):
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(()))
        self.fail_at, self.calls = set(fail_at), 0

    def loss(self, x, mask, origin, progress, target=None, clock=None):
        self.calls += 1
        loss = ((x - self.mean) ** 2).mean()
        loss = loss * math.nan if self.calls in self.fail_at else loss
        return loss, {"nll": loss.detach()}


@pytest.fixture
def stream():
    values = np.full((1, 20, 1, 2, 2), 3.0, np.float32)
    windows = np.array([(0, t) for t in range(16)])
    return WindowStream(values, windows, 5, 4, np.zeros((1, 2, 2)), np.random.default_rng(0))


@pytest.fixture
def fabric():
    return make_fabric("cpu", "32")


def plan(**options):
    return TrainingPlan(**({"max_epochs": 20, "learning_rate": 0.3, "schedule": "constant"} | options))


def test_training_minimises_the_loss_and_records_every_epoch(stream, fabric):
    module = Mean()
    history = train(module, stream, None, plan(max_epochs=40), fabric)
    assert float(module.mean.detach()) == pytest.approx(3.0, abs=0.05)
    assert [r["epoch"] for r in history] == list(range(40))
    assert set(history[0]) == {"epoch", "loss", "nll", "gradient_norm", "learning_rate", "seconds"}


def test_weights_that_the_end_of_an_earlier_training_kept_are_trained(stream, fabric):
    module = Mean().requires_grad_(False)
    train(module, stream, None, plan(), fabric)
    assert float(module.mean.detach()) == pytest.approx(3.0, abs=0.5)


def test_max_steps_ends_the_last_pass_early(stream, fabric):
    module = Mean()
    history = train(module, stream, None, plan(max_steps=10, schedule="one_cycle"), fabric)
    assert module.calls == 10
    assert len(history) == 3  # 4 + 4 + 2
    assert history[-1]["learning_rate"] < 0.1 * 0.3
    assert plan(max_epochs=2, max_steps=10).n_steps(4) == 8


def test_a_budget_of_time_ends_the_training_with_its_schedule(stream, fabric, monkeypatch):
    now = 0.0

    class Slow(Mean):
        def loss(self, *batch, **options):
            nonlocal now
            now += 1.0  # a second a step
            return super().loss(*batch, **options)

    monkeypatch.setattr(loop.time, "perf_counter", lambda: now)
    module = Slow()
    history = train(module, stream, None, plan(max_seconds=10.0, schedule="one_cycle"), fabric)
    assert module.calls == 10
    assert len(history) == 3
    # as with ten steps: the rate has gone through its whole cycle
    in_steps = train(Mean(), stream, None, plan(max_steps=10, schedule="one_cycle"), fabric)
    assert [r["learning_rate"] for r in history] == pytest.approx([r["learning_rate"] for r in in_steps], rel=1e-6)


def test_steps_end_a_training_that_has_time_left(stream, fabric, monkeypatch):
    monkeypatch.setattr(loop.time, "perf_counter", lambda: 0.0)
    module = Mean()
    train(module, stream, None, plan(max_steps=6, max_seconds=10.0), fabric)
    assert module.calls == 6


def test_best_weights_are_kept_and_patience_ends_training(stream, fabric):
    errors = iter([6.0, 5.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    seen = []

    def validate(module):
        seen.append(float(module.mean.detach()))
        return next(errors)

    module = Mean()
    history = train(module, stream, validate, plan(patience=3), fabric)
    assert len(history) == 5
    assert float(module.mean.detach()) == pytest.approx(seen[2])


def test_a_non_finite_loss_goes_back_and_halves_the_learning_rate(stream, fabric):
    module = Mean(fail_at=[6])
    with pytest.warns(UserWarning, match=r"loss.*not finite: back to the last good weights with 0\.5 times"):
        history = train(module, stream, None, plan(max_epochs=3), fabric)
    assert [r["learning_rate"] for r in history] == pytest.approx([0.3, 0.15, 0.15])
    assert math.isfinite(float(module.mean.detach()))


def test_it_gives_up_after_three_returns(stream, fabric):
    with (
        pytest.warns(UserWarning, match="not finite"),
        pytest.raises(FloatingPointError, match=r"gave up.*lower learning_rate"),
    ):
        train(Mean(fail_at=range(1, 99)), stream, None, plan(), fabric)


def test_weights_after_a_failed_step_are_those_of_the_last_epoch(stream, fabric):
    kept = []
    module = Mean(fail_at=[8])  # the last step of the second epoch
    with pytest.warns(UserWarning, match="not finite"):
        train(module, stream, lambda m: kept.append(float(m.mean.detach())) or 1.0, plan(max_epochs=2), fabric)
    assert kept[1] == kept[2]  # kept[0] is the start


def test_each_stage_has_a_cycle_of_its_own():
    whole, staged = (plan(schedule="one_cycle", learning_rate=1.0, stages=s) for s in ((), (0.8,)))
    for share in (0.0, 0.3, 0.999):
        assert staged.learning_rate_at(0.8 * share) == pytest.approx(whole.learning_rate_at(share))
        assert staged.learning_rate_at(0.8 + 0.2 * share) == pytest.approx(whole.learning_rate_at(share))


def test_each_stage_has_a_rate_of_its_own():
    staged = plan(schedule="one_cycle", learning_rate=1.0, stages=(0.5,), rates=(1.0, 0.25))
    rates = [staged.learning_rate_at(share) for share in np.linspace(0, 0.999, 200)]
    assert max(rates[:100]) == pytest.approx(1.0, rel=0.05)
    assert max(rates[100:]) == pytest.approx(0.25, rel=0.05)


def test_a_training_in_vain_ends_within_its_epoch_and_is_asked_once(stream, fabric, capsys, monkeypatch):
    asked, taken, n = [], [], len(stream)
    assert n > 3
    assert len(train(Mean(), stream, None, plan(max_epochs=10), fabric, should_stop=lambda m: True)) == 10  # too short
    monkeypatch.setattr(loop, "PROBE_STEPS", n + 2)  # within the second epoch

    class Counted(Mean):
        def loss(self, *batch, **options):
            taken.append(self)
            return super().loss(*batch, **options)

    whole = train(Mean(), stream, None, plan(max_epochs=10), fabric, should_stop=lambda m: bool(asked.append(m)))
    assert len(asked) == 1
    assert len(whole) == 10
    ended = train(Counted(), stream, None, plan(max_epochs=10, verbose=1), fabric, should_stop=lambda m: True)
    assert len(ended) == 2
    assert len(taken) == n + 2
    assert "gain nothing" in capsys.readouterr().err


def test_weights_decay_by_the_share_of_the_rate(stream, fabric):
    class Idle(Mean):
        def __init__(self):
            super().__init__()
            self.idle = nn.Parameter(torch.ones(()))

        def loss(self, *batch, **options):
            loss, terms = super().loss(*batch, **options)
            return loss + 0 * self.idle, terms  # no gradient: Adam alone would leave it

    module = Idle()
    train(module, stream, None, plan(max_epochs=1, learning_rate=0.1, weight_decay=0.5), fabric)
    assert float(module.idle.detach()) == pytest.approx(0.95 ** len(stream), rel=1e-5)


def test_terms_of_a_stage_are_means_over_its_own_steps(stream, fabric):
    class Staged(Mean):
        def loss(self, *batch, **options):
            loss, terms = super().loss(*batch, **options)
            return loss, terms | ({"late": loss.new_tensor(2.0)} if self.calls > 2 else {"early": loss.new_tensor(1.0)})

    (record,) = train(Staged(), stream, None, plan(max_epochs=1), fabric)
    assert (record["early"], record["late"]) == (1.0, 2.0)


def test_one_cycle_warms_up_peaks_and_decays():
    p = plan(schedule="one_cycle", learning_rate=1.0)
    rates = [p.learning_rate_at(s) for s in np.linspace(0, 1, 101)]
    assert max(rates) == pytest.approx(1)
    assert np.argmax(rates) == 10
    assert rates[-1] == pytest.approx(0.01)


def test_clipping_bounds_the_step(stream, fabric):
    small = train(Mean(), stream, None, plan(max_epochs=1, gradient_clip=1e-3), fabric)
    assert small[0]["gradient_norm"] > 1  # what is recorded is the norm before clipping


@pytest.mark.parametrize("device", ["gpu9", "cuda:x", "tpu", ""])
def test_unknown_device_names_those_that_are_there(device):
    with pytest.raises(ValueError, match=r"device='.*' is unknown or not available: use \"auto\" or one of \['cpu'"):
        make_fabric(device, "32")


def test_unknown_precision_is_an_error():
    with pytest.raises(ValueError, match="precision='12'"):
        make_fabric("cpu", "12")


def test_seeded_repeats_and_leaves_the_global_state_alone():
    before = torch.random.get_rng_state()
    draws = []
    for _ in range(2):
        with seeded(3):
            draws.append(torch.randn(4))
    assert torch.equal(*draws)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError("out of memory")])
def test_interrupted_training_leaves_no_thread_behind(stream, fabric, error):
    class Interrupted(Mean):
        def loss(self, *args):
            raise error  # at the first batch, with more waiting than the queue holds

    with pytest.raises((KeyboardInterrupt, RuntimeError)) as caught:  # its traceback holds on to every frame
        train(Interrupted(), stream, None, plan(), fabric)
    assert caught.tb
    assert not [t for t in threading.enumerate() if t.name.startswith("gridcast")]


@pytest.mark.parametrize(("precision", "mixed"), [("32", False), ("bf16-mixed", True)])
def test_the_loss_is_computed_in_the_precision_that_was_asked_for(stream, precision, mixed):
    seen = []

    class Looking(Mean):
        def loss(self, *args):
            seen.append(torch.is_autocast_enabled("cpu"))
            return super().loss(*args)

    train(Looking(), stream, None, plan(max_epochs=1), make_fabric("cpu", precision))
    assert seen == [mixed] * 4


@pytest.mark.parametrize(
    ("known", "precision"),
    [({"avx512_bf16": True}, "bf16-mixed"), ({"amx_bf16": True}, "bf16-mixed"), ({"avx512_f": True}, "32"), ({}, "32")],
)
def test_the_precision_is_the_one_that_a_processor_is_made_for(monkeypatch, known, precision):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known)
    with make_fabric("cpu", "auto").autocast():
        assert torch.is_autocast_enabled("cpu") == (precision == "bf16-mixed")


@pytest.mark.slow
def test_compiled_parts_compute_the_same_and_are_as_before_outside():
    with seeded(0):
        module, x = nn.Sequential(nn.Linear(3, 4), nn.ReLU()), torch.randn(5, 3)
    expected = module(x)
    with compiled(module, True):
        assert all(part._compiled_call_impl is not None for part in module.children())
        torch.testing.assert_close(module(x), expected)
    assert all(part._compiled_call_impl is None for part in module.children())


def test_without_a_compiler_the_module_runs_as_it_is(monkeypatch):
    def fail(*args, **options):
        raise RuntimeError("no C++ compiler")

    monkeypatch.setattr(torch, "compile", fail)
    module = nn.Sequential(nn.ReLU())
    expected = r"compile=True has no effect.*RuntimeError: no C\+\+ compiler"
    with pytest.warns(UserWarning, match=expected), compiled(module, True):
        assert module[0]._compiled_call_impl is None


def test_the_error_of_the_start_is_recorded_but_not_kept(stream, fabric):
    errors = iter([1.0, 5.0, 3.0, 4.0])
    module = Mean()
    history = train(module, stream, lambda module: next(errors), plan(max_epochs=3), fabric)
    assert history.start_error == 1.0
    assert module.mean != 0
    assert [record["validation_error"] for record in history] == [5.0, 3.0, 4.0]
    assert train(Mean(), stream, None, plan(max_epochs=1), fabric).start_error is None
