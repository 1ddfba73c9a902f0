"""The memory of coefficients, and parts that start as what they add to."""

import pytest
import torch

from gridcast.modules.frames import Frames
from gridcast.modules.inverse_model import LinearInverseModel
from gridcast.modules.linear import LinearForecast
from gridcast.modules.noise import CorrelatedNoise
from gridcast.modules.residual import FEATURE_LIMIT, FREE_LIMIT, LatentLayout, ResidualCombiner


def make_layout(n_lags, n_free, shape=(1, 4, 6)):
    linear = LinearForecast(shape, 2, n_lags)
    for weights in (linear.own, linear.conv.weight):
        weights.normal_(std=0.1)
    noise = CorrelatedNoise(1, (linear.n_folded, shape[1] // 2, shape[2] // 2))
    return LatentLayout(LinearInverseModel(linear, noise, Frames(None, multiple=2), shape[1:], 3), n_free)


@pytest.mark.parametrize("n_lags", [1, 2, 4])
@pytest.mark.parametrize("n_free", [0, 3])
def test_states_of_a_sequence_are_those_that_pushing_builds(n_lags, n_free):
    layout = make_layout(n_lags, n_free)
    start = layout.start(torch.randn(2, 5, 1, 4, 6))
    assert start.shape == (2, layout.n_state, 2, 3)
    z = torch.randn(2, 6, layout.n_latent, 2, 3)
    states = layout.states(start, z)
    assert torch.equal(states[:, 0], start)
    state = start
    for t in range(6):
        state = layout.push(state, z[:, t])
        torch.testing.assert_close(states[:, t + 1], state)


@pytest.mark.parametrize("n_clock", [0, 2])
def test_the_parts_of_a_state_are_its_whole(n_clock):
    layout = make_layout(3, 2)
    state = torch.randn(2, layout.n_state + n_clock, 2, 3)
    parts = layout.split(state)
    assert [p.shape[1] for p in (parts.now, parts.free, parts.past, parts.clock)] == [4, 2, 8, n_clock]
    assert torch.equal(torch.cat([parts.now, parts.free, parts.past, parts.clock], dim=1), state)
    z = torch.randn(2, layout.n_latent, 2, 3)
    after = layout.split(layout.push(state[:, : layout.n_state], z))
    assert torch.equal(after.now, z[:, :4])
    assert torch.equal(after.past, torch.cat([parts.now, parts.past[:, :4]], dim=1))


def test_what_networks_see_and_say_is_bounded():
    layout = make_layout(2, 1)
    layout.model.linear.limit.fill_(3.0)
    state = 1e6 * torch.ones(1, layout.n_state + 2, 2, 3)
    parts = layout.split(state)
    seen = layout.inputs(layout.features(parts), parts)
    assert seen.shape[1] == layout.n_state + 2
    assert float(seen.abs().max()) == FEATURE_LIMIT == 10.0
    z = layout.latent(parts.now, 1e6 * torch.ones(1, layout.n_latent, 2, 3))
    assert float(z[:, :4].max()) == 3.0
    assert float(z[:, 4:].max()) == FREE_LIMIT == 10.0


def test_a_layout_takes_the_steps_of_its_linear_model():
    layout = make_layout(2, 1)
    layout.model.linear.step.uniform_(0.1, 1.0)
    layout.take_steps()
    torch.testing.assert_close(layout.step, torch.cat([layout.model.linear.step, torch.full((1, 1, 1), 0.3)]))


def test_an_untrained_filter_moves_98_percent_of_the_way_to_an_observation():
    layout = make_layout(2, 1)
    combiner = ResidualCombiner(layout, 6, 3)
    state = torch.randn(2, layout.n_state, 2, 3)
    layout.model.linear.limit.fill_(torch.inf)
    ahead = layout.model.linear(layout.features(layout.split(state)))
    observed = ahead + torch.randn_like(ahead)
    loc, _ = combiner(state, torch.randn(2, 6, 2, 3), observed)
    moved = (loc[:, :4] - ahead) / (observed - ahead)
    torch.testing.assert_close(moved, torch.full_like(moved, 0.98), atol=5e-3, rtol=0)
