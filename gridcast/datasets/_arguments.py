"""Arguments that the synthetic makers share: counts, grid shapes, random states."""

from collections.abc import Sequence
from numbers import Integral

import numpy as np

RandomState = int | np.random.Generator | np.random.RandomState | None


def check_count(name: str, value: int, minimum: int = 1) -> int:
    """Return `value` as an int; raise unless it is an integer of at least `minimum`."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, got {value!r} of type {type(value).__name__}")
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {value}; pass a larger {name}")
    return int(value)


def check_shape(shape: Sequence[int], minimum: int = 3) -> tuple[int, int]:
    """Return `shape` as two ints; raise unless it has two integers of at least `minimum`."""
    if not isinstance(shape, Sequence) or len(shape) != 2:
        raise ValueError(f"shape must have two entries, (rows, columns), got {shape!r}")
    rows, columns = (check_count(f"shape[{axis}]", size, minimum) for axis, size in enumerate(shape))
    return rows, columns


def seed_sequence(random_state: RandomState) -> np.random.SeedSequence:
    """Turn any accepted `random_state` into the root of independent random streams.

    A generator that is passed in is advanced, so a second call with it gives other data. NumPy's
    global state is neither read nor changed.
    """
    if random_state is None:
        return np.random.SeedSequence()
    if isinstance(random_state, np.random.Generator):
        return np.random.SeedSequence(random_state.integers(0, 2**32, size=4).tolist())
    if isinstance(random_state, np.random.RandomState):
        return np.random.SeedSequence(random_state.randint(0, 2**32, size=4, dtype=np.uint32).tolist())
    if isinstance(random_state, bool) or not isinstance(random_state, Integral):
        raise TypeError(
            "random_state must be None, an integer, a numpy.random.Generator or a numpy.random.RandomState, "
            f"got {random_state!r} of type {type(random_state).__name__}"
        )
    if random_state < 0:
        raise ValueError(f"random_state must not be negative, got {random_state}; pass an integer from 0 on")
    return np.random.SeedSequence(int(random_state))
