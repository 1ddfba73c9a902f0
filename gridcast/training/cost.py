"""What a training step costs: floating-point operations and memory, counted on one window."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from gridcast.training.engine import seeded


@dataclass(frozen=True)
class Cost:
    """Of training, for each frame of a window.

    Parameters
    ----------
    flop : float
        Floating-point operations of convolutions and matrix products, forward and backward, a mean over the training;
        a multiplication and an addition are two.
    saved_bytes : float
        What the forward pass keeps for the backward pass, at most.
    """

    flop: float
    saved_bytes: float

    def scaled(self, factor: float) -> Cost:
        """Return the cost of `factor` times as many cells."""
        return Cost(factor * self.flop, factor * self.saved_bytes)


def training_cost(
    module: nn.Module,
    shape: Sequence[int],
    *,
    stages: Sequence[float] = (),
    patch: bool = False,
    n_clock: int = 0,
    device: str = "cpu",
) -> Cost:
    """Count what a step on one window costs, for each of its frames.

    Parameters
    ----------
    module : Module
        With a method ``loss``.
    shape : (int, int, int, int)
        Steps, channels, rows and columns of the window.
    stages : sequence of float
        Shares of the training after which another stage begins, see `gridcast.training.plan.TrainingPlan`.
    patch : bool
        The window is a patch of a larger grid.
    n_clock : int
        Time features.
    device : str
    """
    x = torch.zeros(1, *shape, device=device)
    origin = torch.zeros(1, 2, dtype=torch.int64) if patch else None
    clock = torch.zeros(1, n_clock, device=device) if n_clock else None
    was_training = module.training
    flop, most = 0.0, 0
    # a seed of its own: to count must not move the random numbers of a training
    with seeded(0):
        module.train()
        try:
            for begin, end in itertools.pairwise((0.0, *stages, 1.0)):
                counted, saved = _count(module, x, origin, (begin + end) / 2, clock)
                flop, most = flop + (end - begin) * counted, max(most, saved)
        finally:
            module.train(was_training)
    return Cost(flop / shape[0], most / shape[0])


def _count(
    module: nn.Module, x: Tensor, origin: Tensor | None, progress: float, clock: Tensor | None
) -> tuple[int, int]:
    """Return the operations of a step after a share of the training, and the bytes that its forward pass keeps."""
    weights = list(module.parameters())
    # weights are saved for the backward pass too, but they are there anyway
    known = {p.untyped_storage().data_ptr() for p in weights}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            # by storage: views of one tensor take its memory once
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with FlopCounterMode(display=False) as counter:
        with saved_tensors_hooks(keep, lambda tensor: tensor):
            loss, _ = module.loss(x, torch.ones_like(x), origin, progress, None, clock)  # type: ignore[operator]
        # not `backward`: gradients that are there stay; a stage takes some weights out
        torch.autograd.grad(loss, [p for p in weights if p.requires_grad], allow_unused=True)
    return counter.get_total_flops(), sum(kept.values())
