"""Running a torch module on scaled contexts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from gridcast.modules.censored import Bounds
from gridcast.modules.forecasting import Contexts

BATCH_BYTES = 256 * 2**20  # of activations while a forecast runs
ACTIVATIONS = 64  # channels that a network holds of a frame: a rough bound, which only sizes the batches


class Inputs(NamedTuple):
    """What a module forecasts from, sample by sample and in each origin by origin.

    Parameters
    ----------
    x, mask : ndarray, (sample * origin, context, channel, y, x)
    clock : ndarray, (sample * origin, n_clock), or None
    bounds : (ndarray, ndarray) or None
        Each (sample * origin, horizon, channel, y, x).
    """

    x: np.ndarray
    mask: np.ndarray
    clock: np.ndarray | None
    bounds: tuple[np.ndarray, np.ndarray] | None

    def at(self, where: np.ndarray, n_origins: int) -> Inputs:
        """Return those of some of so many origins."""
        if len(where) == n_origins:
            return self
        rows = np.arange(len(self.x)).reshape(-1, n_origins)[:, where].ravel()
        return self._each(lambda part: part[rows])

    def repeated(self, n: int) -> Inputs:
        """Return all of them `n` times, one after the other."""
        return self if n == 1 else self._each(lambda part: np.concatenate([part] * n))

    def _each(self, change: Callable[[np.ndarray], np.ndarray]) -> Inputs:
        bounds = None if self.bounds is None else (change(self.bounds[0]), change(self.bounds[1]))
        clock = None if self.clock is None else change(self.clock)
        return Inputs(change(self.x), change(self.mask), clock, bounds)


def shared_out(n: int, most: int) -> list[int]:
    """Return how many of `n` members are drawn at once, at most so many but one at least; [0], the mean, for none."""
    most = max(1, min(n, most))
    return [min(most, n - i) for i in range(0, n, most)] if n else [0]


def forecast_scaled(
    module: nn.Module,
    inputs: Inputs,
    horizon: int,
    sizes: Sequence[int] = (0,),
) -> Iterator[np.ndarray]:
    """Yield so many scaled draws, or the mean for 0, (member, batch, horizon, channel, y, x)."""
    # the state, not the parameters: a linear model has buffers alone
    device = next(iter(module.state_dict().values())).device
    x, mask = (torch.as_tensor(t, device=device) for t in (inputs.x, inputs.mask))
    clock = None if inputs.clock is None else torch.as_tensor(inputs.clock, device=device)
    bounds = None if inputs.bounds is None else Bounds(*(torch.as_tensor(b, device=device) for b in inputs.bounds))
    made = module.forecasts(Contexts(x, mask, clock, bounds), horizon, sizes)  # type: ignore[operator]
    for n, (loc, scale) in zip(sizes, made, strict=True):
        # members are observations, so they have the emission's noise too
        values = loc + scale * torch.randn_like(loc) if n else loc
        yield values.float().cpu().numpy()
