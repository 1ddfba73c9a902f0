"""What is known of the time of a step: angles of the year and the day, carried along with the state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gridcast.modules.chains import Memory


class Clock(nn.Module):
    """Cosine and sine of some cycles, which a step turns by fixed angles.

    Parameters
    ----------
    angles : sequence of float
        Of one step, in radians, for each cycle.
    """

    turn: Tensor

    def __init__(self, angles: Sequence[float]) -> None:
        super().__init__()
        # double: a rotation that is off by 1e-7 drifts in a long run
        angle = torch.tensor(angles, dtype=torch.float64)
        cos, sin = angle.cos(), angle.sin()
        blocks = torch.stack([torch.stack([cos, sin], 1), torch.stack([-sin, cos], 1)], 1)  # (cycle, from, to)
        self.register_buffer("turn", torch.block_diag(*blocks).float())

    @property
    def n_channels(self) -> int:
        """Channels of the clock: two a cycle."""
        return len(self.turn)

    def advance(self, clock: Tensor) -> Tensor:
        """Return the clock (n, n_channels, ...) one step later."""
        return torch.einsum("nc...,cd->nd...", clock, self.turn)  # a vector or a map of each clock

    def path(self, clock: Tensor, n_times: int) -> Tensor:
        """Return the clocks of `n_times` steps from `clock` (n, n_channels, ...) on, (n, n_times, n_channels, ...)."""
        path = [clock]
        for _ in range(n_times - 1):
            path.append(self.advance(path[-1]))
        return torch.stack(path, dim=1)


def spread(clock: Tensor, like: Tensor) -> Tensor:
    """Return a clock (n, n_channels) as maps over the grid of `like` (n, ..., y, x); for vectors as it is."""
    if like.ndim == 2:  # a latent vector has no grid
        return clock
    return clock[:, :, None, None].expand(-1, -1, *like.shape[-2:])


@dataclass(frozen=True)
class ClockedMemory:
    """A memory whose state ends with the clock of the step that comes next."""

    memory: Memory
    clock: Clock

    def push(self, state: Tensor, z: Tensor) -> Tensor:
        """Return the state after `z` has followed it."""
        inner, clock = self._split(state)
        # the clock of a forecast is known: it turns on, no network learns it
        return torch.cat([self.memory.push(inner, z), self.clock.advance(clock)], dim=1)

    def states(self, start: Tensor, z: Tensor) -> Tensor:
        """Return `start` and the states after each step of `z`, (batch, 1 + time, *state)."""
        inner, clock = self._split(start)
        return torch.cat([self.memory.states(inner, z), self.clock.path(clock, 1 + z.shape[1])], dim=2)

    def noise(self, like: Tensor) -> Tensor:
        """Return the noise of a forecast."""
        return self.memory.noise(like)

    def _split(self, state: Tensor) -> tuple[Tensor, Tensor]:
        n = state.shape[1] - self.clock.n_channels  # the clock stands last
        return state[:, :n], state[:, n:]
