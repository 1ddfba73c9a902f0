import math

import torch

from gridcast.modules.chains import FirstOrder
from gridcast.modules.clock import Clock, ClockedMemory, spread


def angles(t):
    steps = (2 * math.pi / 12, 2 * math.pi / 365)
    return torch.tensor([[f(step * t) for step in steps for f in (math.cos, math.sin)]])


def test_a_clock_turns_by_its_angles():
    clock = Clock((2 * math.pi / 12, 2 * math.pi / 365))
    assert clock.n_channels == 4
    torch.testing.assert_close(clock.advance(angles(5)), angles(6))
    path = clock.path(angles(0), 30)
    torch.testing.assert_close(path, torch.stack([angles(t) for t in range(30)], 1), atol=1e-5, rtol=0)


def test_a_state_ends_with_the_clock_of_the_next_step():
    clock = Clock((2 * math.pi / 12, 2 * math.pi / 365))
    memory = ClockedMemory(FirstOrder(), clock)
    z = torch.arange(8.0).reshape(1, 4, 2)
    start = torch.cat([torch.zeros(1, 2), angles(3)], 1)
    states = memory.states(start, z)
    torch.testing.assert_close(states[:, 1:, :2], z)
    torch.testing.assert_close(states[0, 2, 2:], angles(5)[0])
    state = start
    for t in range(4):
        torch.testing.assert_close(memory.push(state, z[:, t]), states[:, t + 1])
        state = memory.push(state, z[:, t])
        torch.testing.assert_close(state, states[:, t + 1])


def test_a_clock_is_spread_over_a_grid_and_left_alone_for_vectors():
    assert spread(angles(1), torch.zeros(1, 2, 3, 5)).shape == (1, 4, 3, 5)
    torch.testing.assert_close(spread(angles(1), torch.zeros(1, 2, 3, 5))[..., 2, 4], angles(1))
    assert spread(angles(1), torch.zeros(1, 7)) is not None
    torch.testing.assert_close(spread(angles(1), torch.zeros(1, 7)), angles(1))
