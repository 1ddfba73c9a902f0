"""What the training of a Markov module minimises, and when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Objective:
    """What training minimises.

    Parameters
    ----------
    kl : {"analytic", "monte_carlo"}
        Per-step analytic divergence along the drawn sequence, or ``log q - log p`` of it (the paper).
    forecast_weight : float
        Weight of the forecast term, the logarithm of the root mean squared error of forecasts as `forecast` makes them,
        on the means: one step ahead from every step of the window, plus several steps ahead from a random one (latent
        overshooting, Hafner et al. 2019), see `gridcast.modules.layers.log_rms`.
    forecast_steps : int
        Steps that the forecast from the random step looks ahead; at most the window allows.
    n_steps : int or None
        Steps of a window, drawn at random, at which the divergence and the one-step forecasts are evaluated; None takes
        all.
    taught : (float, float)
        Shares of the training. Up to the second the transition alone is trained, on observed states: no filter and no
        recurrence, so that a step costs a fraction; from the first on it forecasts several steps.
    taught_steps : int
        How many, at most the window allows.
    annealing : (float, float)
        Weight of the KL divergence at the start, and the share of the training after which it is 1.
    """

    kl: Literal["analytic", "monte_carlo"] = "analytic"
    forecast_weight: float = 1.0
    forecast_steps: int = 10
    n_steps: int | None = None
    taught: tuple[float, float] = (0.0, 0.0)
    taught_steps: int = 1
    annealing: tuple[float, float] = (1.0, 0.0)

    def annealing_at(self, progress: float) -> float:
        """Return the weight of the KL divergence after a share `progress` of the training."""
        start, share = self.annealing
        return 1.0 if share <= 0 else min(1.0, start + (1 - start) * progress / share)

    def ahead_at(self, progress: float) -> int:
        """Return the steps that the transition is taught to forecast after a share `progress` of the training."""
        return 1 if progress < self.taught[0] else self.taught_steps
