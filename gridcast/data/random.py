"""scikit-learn's ``random_state`` without the global random state."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np


def draw_seed(random_state: Any) -> int:
    """Return a seed: the integer itself, a draw from a generator, or fresh entropy for None.

    Raises
    ------
    ValueError
        If `random_state` is none of these.
    """
    if random_state is None:
        return int(np.random.default_rng().integers(2**31))
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31))
    if isinstance(random_state, numbers.Integral) and not isinstance(random_state, bool) and int(random_state) >= 0:
        return int(random_state)
    raise ValueError(
        f"random_state={random_state!r} must be a non-negative integer, a numpy RandomState or Generator, or None"
    )


def generator(random_state: Any) -> np.random.Generator:
    """Return a numpy generator for `random_state`."""
    return np.random.default_rng(draw_seed(random_state))
