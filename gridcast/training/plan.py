"""How long and how fast a module is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

# Share of the training after which it is asked whether it pays, and steps that tell: fewer cost little anyway
PROBE, PROBE_STEPS = 0.15, 100


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
    patience : int or None
        Epochs without a better validation error after which training ends.
    verbose : int
        Progress bar where 1.
    max_seconds : float or None
        Time after which training ends; schedules then follow whichever is further, the steps or the time.
    stages : tuple of float
        Shares of the training after which another stage begins, with a cycle of its own.
    rates : tuple of float
        Peak of each stage, in units of the learning rate; the same for all by default.
    optimizer : {"adam", "muon"}
        See `gridcast.training.muon.Muon`; both with the weight decay.
    weight_decay : float
        Share of a weight that a step takes off it, in units of the learning rate (Loshchilov and Hutter 2019).
    share : float
        Of the steps that the limits allow, which are taken.
    from_trained : bool
        Whether the weights are good at the start: they are kept where no epoch has better ones.
    """

    max_epochs: int
    learning_rate: float
    schedule: Literal["one_cycle", "constant"] = "one_cycle"  # warm-up, then cosine decay (Smith and Topin 2019)
    gradient_clip: float | None = 1.0
    patience: int | None = None
    verbose: int = 0
    max_steps: int | None = None
    max_seconds: float | None = None
    stages: tuple[float, ...] = ()
    rates: tuple[float, ...] = ()
    optimizer: Literal["adam", "muon"] = "adam"
    weight_decay: float = 0.0
    share: float = 1.0
    from_trained: bool = False

    def n_steps(self, steps_per_epoch: int) -> int:
        """Return the number of steps of the whole training."""
        n = self.max_epochs * steps_per_epoch
        n = n if self.max_steps is None else min(n, self.max_steps)
        return n if self.share == 1 else max(1, math.ceil(self.share * n))

    def learning_rate_at(self, progress: float) -> float:
        """Return the learning rate after a share `progress` of all steps."""
        if self.schedule == "constant":
            return self.learning_rate
        # within the stage
        began = [s for s in self.stages if s <= progress]
        begin = max(began, default=0.0)
        end = min((s for s in self.stages if s > progress), default=1.0)
        progress = (progress - begin) / (end - begin)
        peak = self.learning_rate * (self.rates[len(began)] if self.rates else 1.0)
        warm = 0.1  # share of the steps: Adam's moments are poor estimates in the first ones
        if progress < warm:
            # not from zero: the first steps would be lost
            return peak * (0.04 + 0.96 * progress / warm)
        decay = 0.5 * (1 + math.cos(math.pi * (progress - warm) / (1 - warm)))
        return peak * (0.01 + 0.99 * decay)
