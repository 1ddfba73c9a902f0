"""What a training step costs: floating-point operations and memory, counted on one window."""

from __future__ import annotations

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
        Floating-point operations of convolutions and matrix products, forward and backward; a multiplication and an
        addition are two.
    saved_bytes : float
        What the forward pass keeps for the backward pass.
    """

    flop: float
    saved_bytes: float

    def scaled(self, factor: float) -> Cost:
        """Return the cost of `factor` times as many cells."""
        return Cost(factor * self.flop, factor * self.saved_bytes)


def training_cost(
    module: nn.Module, shape: Sequence[int], *, patch: bool = False, n_clock: int = 0, device: str = "cpu"
) -> Cost:
    """Count what a step of the last stage on one window costs, for each of its frames.

    Parameters
    ----------
    module : Module
        With a method ``loss``.
    shape : (int, int, int, int)
        Steps, channels, rows and columns of the window.
    patch : bool
        The window is a patch of a larger grid.
    n_clock : int
        Time features.
    device : str
    """
    x = torch.zeros(1, *shape, device=device)
    origin = torch.zeros(1, 2, dtype=torch.int64) if patch else None
    clock = torch.zeros(1, n_clock, device=device) if n_clock else None
    weights = [p for p in module.parameters() if p.requires_grad]
    # weights are saved for the backward pass too, but they are there anyway
    known = {p.untyped_storage().data_ptr() for p in weights}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            # by storage: views of one tensor take its memory once
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    was_training = module.training
    # a seed of its own: to count must not move the random numbers of a training
    with seeded(0), FlopCounterMode(display=False) as counter:
        module.train()
        try:
            with saved_tensors_hooks(keep, lambda tensor: tensor):
                loss, _ = module.loss(x, torch.ones_like(x), origin, 1.0, None, clock)  # type: ignore[operator]
            # not `backward`: gradients that are there stay; a stage may have taken weights out
            torch.autograd.grad(loss, [p for p in weights if p.requires_grad], allow_unused=True)
        finally:
            module.train(was_training)
    return Cost(counter.get_total_flops() / shape[0], sum(kept.values()) / shape[0])
