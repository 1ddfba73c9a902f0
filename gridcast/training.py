"""The one training loop: epochs of steps, with annealing, clipping, early stopping and recovery."""

from __future__ import annotations

import copy
import ctypes
import functools
import itertools
import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from lightning_fabric import Fabric
from torch import nn
from tqdm.auto import tqdm

from gridcast.streaming import Batch, WindowStream

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
MMAP_THRESHOLD_BYTES = 2**30


@dataclass(frozen=True)
class TrainingPlan:
    """How a module is trained.

    Parameters
    ----------
    max_epochs : int
        Largest number of passes over the windows.
    max_steps : int or None
        Largest number of steps; the last pass may end early.
    learning_rate : float
        Peak of the schedule.
    schedule : {"one_cycle", "constant"}
        One cycle warms up linearly over a tenth of the steps and decays with a cosine to a hundredth.
    gradient_clip : float or None
        Largest gradient norm.
    annealing : (float, float)
        Weight of the KL divergence at the start, and the share of the training after which it is 1.
    patience : int or None
        Epochs without a better validation error after which training ends.
    verbose : int
        Progress bar where 1.
    """

    max_epochs: int
    learning_rate: float
    schedule: Literal["one_cycle", "constant"] = "one_cycle"
    gradient_clip: float | None = 1.0
    annealing: tuple[float, float] = (0.2, 0.5)
    patience: int | None = None
    verbose: int = 0
    max_steps: int | None = None

    def n_steps(self, steps_per_epoch: int) -> int:
        """Return the number of steps of the whole training."""
        n = self.max_epochs * steps_per_epoch
        return n if self.max_steps is None else min(n, self.max_steps)

    def learning_rate_at(self, progress: float) -> float:
        """Return the learning rate after a share `progress` of all steps."""
        if self.schedule == "constant":
            return self.learning_rate
        warm = 0.1
        if progress < warm:
            return self.learning_rate * (0.04 + 0.96 * progress / warm)
        decay = 0.5 * (1 + math.cos(math.pi * (progress - warm) / (1 - warm)))
        return self.learning_rate * (0.01 + 0.99 * decay)

    def annealing_at(self, progress: float) -> float:
        """Return the weight of the KL divergence after a share `progress` of all steps."""
        start, share = self.annealing
        return 1.0 if share <= 0 else min(1.0, start + (1 - start) * progress / share)


class Trainable(Protocol):
    """What the loop needs of a module."""

    def loss(
        self,
        x: torch.Tensor,
        mask: torch.Tensor,
        origin: torch.Tensor | None,
        annealing: float,
        target: torch.Tensor | None,
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return a scalar loss and detached scalars to record."""
        ...


class _Recovery:
    """The last good weights, and how often training had to go back to them."""

    limit = 3

    def __init__(self, module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self.module, self.optimizer = module, optimizer
        self.failures = 0
        self.keep()

    @property
    def rate_factor(self) -> float:
        return 0.5**self.failures

    def keep(self) -> None:
        self.good = copy.deepcopy((self.module.state_dict(), self.optimizer.state_dict()))

    def go_back(self, what: str) -> None:
        self.failures += 1
        weights, moments = copy.deepcopy(self.good)
        self.module.load_state_dict(weights)
        self.optimizer.load_state_dict(moments)
        if self.failures > self.limit:
            raise FloatingPointError(
                f"training gave up: {what} was not finite {self.failures} times, with the learning rate halved each "
                "time; lower learning_rate or gradient_clip, and look for extreme values in the data"
            )
        warnings.warn(
            f"{what} was not finite: back to the last good weights with {self.rate_factor:g} times the learning rate",
            stacklevel=2,
        )


def make_fabric(device: str, precision: str, strategy: str = "auto") -> Fabric:
    """Return the engine that places modules and batches; of all processes together where ``torchrun`` started them.

    Parameters
    ----------
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``.
    precision : str
        Fabric's: ``"32"``, ``"bf16-mixed"``, ...
    strategy : str
        Fabric's.

    Raises
    ------
    ValueError
        If the device or the precision is unknown or not there.
    """
    kind, _, index = str(device).partition(":")
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if (kind != "auto" and not available.get(kind, False)) or (index and not index.isdecimal()):
        there = [name for name, present in available.items() if present]
        raise ValueError(f'device={device!r} is unknown or not available: use "auto" or one of {there}')
    accelerator = next((k for k in ("cuda", "mps") if available[k]), "cpu") if kind == "auto" else kind
    devices: int | list[int] = [int(index)] if index and accelerator != "cpu" else 1
    n_nodes, together = 1, int(os.environ.get("WORLD_SIZE", 1))
    if together > 1:  # started by torchrun
        devices = int(os.environ.get("LOCAL_WORLD_SIZE", together))
        n_nodes, strategy = together // devices, "ddp" if strategy == "auto" else strategy
    try:
        fabric = Fabric(
            accelerator=accelerator,
            devices=devices,
            num_nodes=n_nodes,
            precision=precision,  # type: ignore[arg-type]
            strategy=strategy,
        )
        fabric.launch()
        return fabric
    except (ValueError, TypeError) as error:
        raise ValueError(f"precision={precision!r} or strategy={strategy!r} is not known here: {error}") from error


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw torch's random numbers from `seed` inside, and leave the global state as it was."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


@functools.cache
def keep_freed_memory() -> None:
    """Tell glibc to keep large freed buffers for the next step; fresh ones cost page faults at every first touch.

    It holds for the process from then on: memory that was once in use stays with it. Elsewhere it does nothing.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "gnu_get_libc_version"):
        libc.mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES)
        libc.mallopt(M_TRIM_THRESHOLD, MMAP_THRESHOLD_BYTES)


def train(
    module: nn.Module,
    stream: WindowStream,
    validate: Callable[[nn.Module], float] | None,
    plan: TrainingPlan,
    fabric: Fabric,
) -> list[dict[str, float]]:
    """Train `module` in place and leave its best weights in it.

    Parameters
    ----------
    module : Module
        With a method ``loss(x, mask, origin, annealing, target)``.
    stream : WindowStream
        One pass over the training windows each time it is iterated.
    validate : callable or None
        Returns the validation forecast error of a module; the weights of the epoch where it is smallest are kept.
    plan : TrainingPlan
    fabric : Fabric

    Returns
    -------
    list of dict
        One record per epoch: ``epoch``, ``loss`` and its terms (``elbo``, ``nll``, ``kl``, ...; nats per observed
        value), ``gradient_norm``, ``learning_rate``, ``annealing``, ``validation_error`` (scaled data squared),
        ``seconds``.

    Raises
    ------
    FloatingPointError
        If the loss is not finite after three returns to the last good weights.
    """
    keep_freed_memory()
    optimizer = torch.optim.Adam(module.parameters(), lr=plan.learning_rate)
    wrapped, wrapped_optimizer = fabric.setup(module, optimizer)
    wrapped.mark_forward_method("loss")
    recovery = _Recovery(module, optimizer)
    best, best_error, since_best = recovery.good[0], math.inf, 0
    history: list[dict[str, float]] = []
    n_steps, quiet = plan.n_steps(len(stream)), not (plan.verbose and fabric.is_global_zero)
    with tqdm(total=n_steps, disable=quiet, unit="step", mininterval=0.5) as bar:
        for epoch in range(math.ceil(n_steps / len(stream))):
            began = time.perf_counter()
            module.train()
            record = _run_epoch(epoch, wrapped, wrapped_optimizer, stream, plan, fabric, recovery, bar)
            module.eval()
            if validate is not None:
                error = record["validation_error"] = validate(module)
            else:
                error = record["loss"]
            record["seconds"] = time.perf_counter() - began
            history.append(record)
            if not math.isfinite(error):
                recovery.go_back("the validation error" if validate else "the loss")
                continue
            recovery.keep()
            since_best += 1
            if error < best_error:
                best, best_error, since_best = recovery.good[0], error, 0
            if plan.patience is not None and since_best >= plan.patience:
                break
    module.load_state_dict(best)
    module.eval()
    return history


def _run_epoch(
    epoch: int,
    module: Any,
    optimizer: Any,
    stream: WindowStream,
    plan: TrainingPlan,
    fabric: Fabric,
    recovery: _Recovery,
    bar: tqdm,
) -> dict[str, float]:
    """Take one step for each batch and return the mean of what they recorded."""
    sums: dict[str, float] = {}
    n_steps, rate, annealing = 0, plan.learning_rate, 1.0
    n_total, n_before = plan.n_steps(len(stream)), epoch * len(stream)
    with closing(iter(stream)) as batches:  # its thread ends here, whatever happens
        for i, batch in enumerate(itertools.islice(batches, n_total - n_before)):
            progress = (n_before + i) / n_total
            rate = plan.learning_rate_at(progress) * recovery.rate_factor
            annealing = plan.annealing_at(progress)
            for group in optimizer.param_groups:
                group["lr"] = rate
            terms = _step(batch, module, optimizer, plan, fabric, annealing)
            bar.update()
            if not all(math.isfinite(value) for value in terms.values()):
                recovery.go_back("the loss or its gradient")
                continue
            n_steps += 1
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + value
            shown = {"epoch": epoch + 1, "loss": f"{terms['loss']:.4g}"}
            bar.set_postfix(shown | {k: f"{terms[k]:.4g}" for k in ("elbo", "nll", "kl") if k in terms}, refresh=False)
    means = {name: value / n_steps for name, value in sums.items()} if n_steps else {"loss": math.nan}
    return {"epoch": epoch, **means, "learning_rate": rate, "annealing": annealing}


def _step(
    batch: Batch, module: Any, optimizer: Any, plan: TrainingPlan, fabric: Fabric, annealing: float
) -> dict[str, float]:
    """Update the weights on one batch, unless its loss or gradient is not finite."""
    x, mask, origin, target = (
        None if t is None else fabric.to_device(t) for t in (batch.x, batch.mask, batch.origin, batch.target)
    )
    optimizer.zero_grad()
    with fabric.autocast():  # a method that is not `forward` runs in full precision otherwise
        loss, terms = module.loss(x, mask, origin, annealing, target)
    named = {"loss": loss.detach(), **terms}
    means: Any = fabric.all_reduce(torch.stack(list(named.values())), reduce_op="mean")  # the processes agree
    values = dict(zip(named, means.tolist(), strict=True))
    if not math.isfinite(values["loss"]):
        return values
    fabric.backward(loss)
    limit = math.inf if plan.gradient_clip is None else plan.gradient_clip
    norm = torch.nn.utils.clip_grad_norm_(module.parameters(), limit)
    values["gradient_norm"] = float(norm)
    if math.isfinite(values["gradient_norm"]):
        optimizer.step()
    return values


def place(module: nn.Module, fabric: Fabric) -> nn.Module:
    """Move a module to the engine's device."""
    return module.to(device=fabric.device)
