"""The one training loop: epochs of steps, with annealing, clipping, early stopping, recovery and resumption."""

from __future__ import annotations

import copy
import itertools
import math
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from torch import nn
from tqdm.auto import tqdm

from gridcast.data.warn import warn
from gridcast.persistence.refusal import shorten
from gridcast.training.checkpoints import Checkpoints
from gridcast.training.engine import draw_apart, keep_freed_memory
from gridcast.training.history import History
from gridcast.training.muon import Muon
from gridcast.training.plan import PROBE, PROBE_STEPS, TrainingPlan
from gridcast.training.resumption import misfit
from gridcast.training.streaming import Batch, WindowStream

Record = dict[str, float]

LOG_SECONDS = 60.0  # between two lines of progress in a file


class Trainable(Protocol):
    """What the loop needs of a module."""

    def loss(
        self,
        x: torch.Tensor,
        mask: torch.Tensor,
        origin: torch.Tensor | None,
        progress: float,
        target: torch.Tensor | None,
        clock: torch.Tensor | None,
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return a scalar loss and detached scalars to record."""
        ...


class _Recovery:
    """The last good weights, and how often training had to go back to them."""

    limit = 3  # more returns mean a fault of the data or the rate, not bad luck

    def __init__(self, module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self.module, self.optimizer = module, optimizer
        self.failures = 0
        self.keep()

    @property
    def rate_factor(self) -> float:
        return 0.5**self.failures  # from the same weights at the same rate it would fail again

    def keep(self) -> None:
        # a copy: the state dictionaries are views that the optimiser goes on changing
        self.good = copy.deepcopy((self.module.state_dict(), self.optimizer.state_dict()))

    def go_back(self, what: str) -> None:
        self.failures += 1
        # before the error is raised: whoever catches it finds finite weights
        self.restore(self.good)
        if self.failures > self.limit:
            raise FloatingPointError(
                f"training gave up: {what} was not finite {self.failures} times, with the learning rate halved each "
                "time; lower learning_rate or gradient_clip, and look for extreme values in the data"
            )
        warn(
            f"{what} was not finite: back to the last good weights with {self.rate_factor:g} times the learning rate",
        )

    def restore(self, state: tuple[dict[str, Any], dict[str, Any]]) -> None:
        # a copy again: loading keeps the tensors of the moments, and `good` may be needed twice
        weights, moments = copy.deepcopy(state)
        self.module.load_state_dict(weights)
        self.optimizer.load_state_dict(moments)


@dataclass
class _Progress:
    """How far a training has come: what it needs, besides weights and moments, to go on.

    The last step began at `share` of the training. Within an epoch `batch` batches are done, `sums` of their finite
    terms over `counts` of them; `order` is the stream's random state at the start of the epoch.
    """

    best: dict[str, torch.Tensor]
    epoch: int = 0
    batch: int = 0
    share: float = 0.0
    sums: Record = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    order: dict[str, Any] = field(default_factory=dict)
    history: list[Record] = field(default_factory=list)
    start_error: float | None = None
    best_error: float = math.inf
    since_best: int = 0
    probed: bool = False
    stopped_early: bool = False
    finished: bool = False

    def begin(self, epoch: int) -> None:
        self.epoch, self.batch, self.sums, self.counts, self.seconds = epoch, 0, {}, {}, 0.0


def train(
    module: nn.Module,
    stream: WindowStream,
    validate: Callable[[nn.Module], float] | None,
    plan: TrainingPlan,
    fabric: Fabric,
    checkpoints: Checkpoints | None = None,
    saved: dict[str, Any] | None = None,
    on_epoch_end: Callable[[list[Record]], bool] | None = None,
    should_stop: Callable[[nn.Module], bool] | None = None,
) -> History:
    """Train `module` in place and leave its best weights in it.

    Parameters
    ----------
    module : Module
        With a method ``loss(x, mask, origin, progress, target, clock)``.
    stream : WindowStream
        One pass over the training windows each time it is iterated.
    validate : callable or None
        Returns the validation forecast error of a module; the weights of the epoch where it is smallest are kept.
    plan : TrainingPlan
    fabric : Fabric
    checkpoints : Checkpoints, optional
        Where to write the state from time to time.
    saved : dict, optional
        A state that was written, to go on from.
    on_epoch_end : callable, optional
        Sees the records so far; training ends where it returns True.
    should_stop : callable, optional
        Says once, after the first part of the training, `PROBE`, whether to train on is in vain.

    Returns
    -------
    History
        One record per epoch: ``epoch``, ``loss`` and its terms (``elbo``, ``nll``, ``kl``, ...; nats per observed
        value), ``gradient_norm``, ``learning_rate``, ``validation_error`` (scaled data squared), ``seconds``.

    Raises
    ------
    FloatingPointError
        If the loss is not finite after three returns to the last good weights.
    """
    keep_freed_memory()
    run = _Run(module, stream, plan, fabric, checkpoints)
    if saved is not None:
        run.resume(saved)
    progress = run.progress
    if saved is None and validate is not None:
        module.eval()
        # of the untrained module, which tells what training adds to the reference forecast
        progress.start_error = validate(module)
        if plan.from_trained and math.isfinite(progress.start_error):
            progress.best_error = progress.start_error
    with run.bar:
        while not progress.finished:
            module.train()
            record = run.epoch(should_stop)
            module.eval()
            run.judge(record, validate)
            if on_epoch_end is not None and on_epoch_end(progress.history):
                progress.finished = True
            if checkpoints is not None and progress.finished:
                # a finished training that is started again returns at once
                checkpoints.write(run.state)
    # the best epoch, not the last
    module.load_state_dict(progress.best)
    module.eval()
    return History(progress.history, progress.start_error, stopped_early=progress.stopped_early)


class _Run:
    """A training under way."""

    def __init__(
        self,
        module: nn.Module,
        stream: WindowStream,
        plan: TrainingPlan,
        fabric: Fabric,
        checkpoints: Checkpoints | None,
    ) -> None:
        self.raw, self.stream, self.plan, self.fabric, self.checkpoints = module, stream, plan, fabric, checkpoints
        # what the last stage of an earlier training kept too: several processes would never average its gradients
        module.requires_grad_(True)
        make = Muon if plan.optimizer == "muon" else torch.optim.AdamW
        optimizer = make(module.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay)
        self.module: Any
        self.module, self.optimizer = fabric.setup(module, optimizer)
        # else the gradients of several processes would not be averaged
        self.module.mark_forward_method("loss")
        # the bare ones: names without the wrapper's prefix, whatever the engine
        self.recovery = _Recovery(module, optimizer)
        self.progress = _Progress(best=self.recovery.good[0])
        self.n_steps = plan.n_steps(len(stream))
        # `seeded` has set it; `draw_apart` makes the seeds of other processes of it
        self.seed = torch.initial_seed()
        quiet = not (plan.verbose and fabric.is_global_zero)
        # a line in a log file now and then; a terminal and a notebook redraw theirs
        redrawn = sys.stderr.isatty() or "ipykernel" in sys.modules
        total = None if plan.max_seconds is not None else self.n_steps  # the time ends it, after nobody knows how many
        self.bar = tqdm(total=total, disable=quiet, unit="step", mininterval=0.5 if redrawn else LOG_SECONDS)

    def state(self) -> dict[str, Any]:
        """Return everything that the rest of the training depends on."""
        return {
            "progress": vars(self.progress),
            "weights": self.raw.state_dict(),
            "moments": self.recovery.optimizer.state_dict(),
            "good": self.recovery.good,
            "failures": self.recovery.failures,
            "random": _random_state(),
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from a state; one that fits no such training is a ValueError."""
        problem = misfit(state, self.state(), list(self.raw.parameters()), len(self.stream))
        try:
            if problem is None:
                _set_random_state(state["random"])
                self.recovery.restore((state["weights"], state["moments"]))
        except (RuntimeError, TypeError, ValueError, LookupError, AttributeError) as error:
            problem = str(error)
        if problem is not None and self.checkpoints is not None:
            self.checkpoints.refuse(f"fits no training of this kind ({shorten(problem)})")
        vars(self.progress).update(state["progress"])
        self.recovery.good, self.recovery.failures = state["good"], state["failures"]
        self.bar.update(self.progress.epoch * len(self.stream) + self.progress.batch)

    def epoch(self, should_stop: Callable[[nn.Module], bool] | None) -> Record:
        """Take one step for each batch that is left of the epoch and return the mean of what they recorded.

        It ends early where the time is over, or to train on is in vain.
        """
        progress, began = self.progress, time.perf_counter() - self.progress.seconds
        n_before = progress.epoch * len(self.stream)
        if progress.batch:
            # the same order again, of which the first batches are skipped
            self.stream.rng.bit_generator.state = progress.order
        else:
            progress.order = dict(self.stream.rng.bit_generator.state)
        left = min(len(self.stream), self.n_steps - n_before) - progress.batch  # `max_steps` may end an epoch early
        with closing(self.stream.batches(progress.batch)) as batches:  # its thread ends here, whatever happens
            for batch in itertools.islice(batches, left):
                share = self._share(n_before + progress.batch)
                if share >= 1 or progress.stopped_early:
                    break
                progress.share = share
                for group in self.optimizer.param_groups:
                    group["lr"] = self._rate(share)
                draw_apart(self.seed, self.fabric.global_rank, n_before + progress.batch)
                self._record(_step(batch, self.module, self.optimizer, self.plan, self.fabric, share))
                progress.batch += 1
                progress.seconds = time.perf_counter() - began
                # within the epoch: one may be longer than the part of the training that tells
                self._ask_to_stop(should_stop, n_before + progress.batch)
                if self.checkpoints is not None and self.checkpoints.due(n_before + progress.batch):
                    self.checkpoints.write(self.state)
        # over finite steps only; an epoch without any has the loss NaN
        means = {name: value / progress.counts[name] for name, value in progress.sums.items()}
        rate = self._rate(progress.share)  # of the last step
        return {"epoch": progress.epoch, **(means or {"loss": math.nan}), "learning_rate": rate}

    def judge(self, record: Record, validate: Callable[[nn.Module], float] | None) -> None:
        """Close the epoch: keep its weights where they are the best, go back where they are not finite."""
        progress, began = self.progress, time.perf_counter()
        # without a held-out part the training loss decides
        error = record["loss"]
        if validate is not None:
            error = record["validation_error"] = validate(self.raw)
        record["seconds"] = progress.seconds + time.perf_counter() - began
        progress.history.append(record)
        # before anything is written: a checkpoint then goes on with the next epoch
        progress.begin(progress.epoch + 1)
        progress.finished = progress.stopped_early or self._share(progress.epoch * len(self.stream)) >= 1
        if not math.isfinite(error):
            self.recovery.go_back("the validation error" if validate else "the loss")
            return
        self.recovery.keep()
        progress.since_best += 1
        if error < progress.best_error:
            # the copy that was just kept: no second one is made
            progress.best, progress.best_error, progress.since_best = self.recovery.good[0], error, 0
            if self.checkpoints is not None:
                self.checkpoints.write_best(progress.best, record)
        if self.plan.patience is not None and progress.since_best >= self.plan.patience:
            progress.finished = True

    def _ask_to_stop(self, should_stop: Callable[[nn.Module], bool] | None, step: int) -> None:
        """Find out, once, whether the first part of the training has shown that nothing is to be gained."""
        if should_stop is None or self.progress.probed or step < PROBE_STEPS or not PROBE <= self._share(step) < 1:
            return
        self.progress.probed = True
        self.raw.eval()
        # the processes of a training decide together
        self.progress.stopped_early = bool(self.fabric.broadcast(should_stop(self.raw)))
        self.raw.train()
        if self.progress.stopped_early and not self.bar.disable:
            self.bar.write(
                "training ends here, and the networks are left out: held-out forecasts gain nothing by them",
                file=sys.stderr,
            )

    def _share(self, step: int) -> float:
        """Return the share of the training that is done before a step, by steps or, where that is more, by time."""
        share = step / self.n_steps
        if self.plan.max_seconds is None:
            return share
        spent = self.progress.seconds + sum(record["seconds"] for record in self.progress.history)
        # the processes of a training stop together
        return float(self.fabric.broadcast(max(share, spent / self.plan.max_seconds)))

    def _rate(self, share: float) -> float:
        return self.plan.learning_rate_at(share) * self.recovery.rate_factor

    def _record(self, terms: Record) -> None:
        """Add the terms of a step to those of its epoch, or go back where one is not finite."""
        progress = self.progress
        self.bar.update()
        if not all(math.isfinite(value) for value in terms.values()):
            self.recovery.go_back("the loss or its gradient")
            return
        # each of its own: the terms of a stage are those of its steps alone
        for name, value in terms.items():
            progress.sums[name] = progress.sums.get(name, 0.0) + value
            progress.counts[name] = progress.counts.get(name, 0) + 1
        shown = {"epoch": progress.epoch, "loss": f"{terms['loss']:.4g}"}
        # no refresh: the bar redraws itself in its own time
        self.bar.set_postfix(shown | {k: f"{terms[k]:.4g}" for k in ("elbo", "nll", "kl") if k in terms}, refresh=False)


def _random_state() -> dict[str, Any]:
    # asked only where a GPU is in use: to ask would start one
    on_gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return {"cpu": torch.get_rng_state(), "cuda": on_gpus}


def _set_random_state(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["cpu"])
    # a training may go on with another number of GPUs, though not bit by bit
    if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])


def _step(
    batch: Batch, module: Any, optimizer: Any, plan: TrainingPlan, fabric: Fabric, progress: float
) -> dict[str, float]:
    """Update the weights on one batch, unless its loss or gradient is not finite."""
    x, mask, origin, target, clock = (
        None if t is None else fabric.to_device(t)
        for t in (batch.x, batch.mask, batch.origin, batch.target, batch.clock)
    )
    optimizer.zero_grad()
    with fabric.autocast():  # a method that is not `forward` runs in full precision otherwise
        loss, terms = module.loss(x, mask, origin, progress, target, clock)
    named = {"loss": loss.detach(), **terms}
    means: Any = fabric.all_reduce(torch.stack(list(named.values())), reduce_op="mean")  # the processes agree
    values = dict(zip(named, means.tolist(), strict=True))
    # before the backward pass, which would carry it into every gradient
    if not math.isfinite(values["loss"]):
        return values
    fabric.backward(loss)
    limit = math.inf if plan.gradient_clip is None else plan.gradient_clip
    norm = torch.nn.utils.clip_grad_norm_(module.parameters(), limit)
    values["gradient_norm"] = float(norm)  # the norm before clipping
    # Adam's moments would keep an infinite gradient for ever
    if math.isfinite(values["gradient_norm"]):
        optimizer.step()
    return values
