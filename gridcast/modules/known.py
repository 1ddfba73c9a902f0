"""What a Markov module is told of windows beside the fields themselves."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Covariates:
    """What is known of windows besides what was observed.

    Parameters
    ----------
    static : Tensor, (batch or 1, n_static, y, x), or None
        Constant channels of the padded frames.
    location : Tensor, (batch or 1, n_location, y', x'), or None
        What the locator makes of them.
    clock : Tensor, (batch, n_clock), or None
        Time features of the first step.
    """

    static: Tensor | None = None
    location: Tensor | None = None
    clock: Tensor | None = None
