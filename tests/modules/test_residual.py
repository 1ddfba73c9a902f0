"""The memory of coefficients, and parts that start as what they add to."""

import pytest
import torch

from gridcast.modules.deep import DeepTransition
from gridcast.modules.linear import LinearForecast
from gridcast.modules.noise import CorrelatedNoise
from gridcast.modules.residual import FEATURE_LIMIT, FieldEmitter, LatentLayout, ResidualCombiner, ResidualTransition


def make_layout(n_lags, shape=(1, 4, 6)):
    linear = LinearForecast(shape, 2, n_lags)
    for weights in (linear.own, linear.conv.weight):
        weights.normal_(std=0.1)
    noise = CorrelatedNoise(1, (linear.n_folded, shape[1] // 2, shape[2] // 2))
    return LatentLayout(linear, noise)


@pytest.mark.parametrize("n_lags", [1, 2, 4])
def test_states_of_a_sequence_are_those_that_pushing_builds(n_lags):
    layout = make_layout(n_lags)
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
    layout = make_layout(3)
    state = torch.randn(2, layout.n_state + n_clock, 2, 3)
    parts = layout.split(state)
    assert [p.shape[1] for p in (parts.now, parts.past, parts.clock)] == [4, 8, n_clock]
    assert torch.equal(torch.cat([parts.now, parts.past, parts.clock], dim=1), state)
    z = torch.randn(2, layout.n_latent, 2, 3)
    after = layout.split(layout.push(state[:, : layout.n_state], z))
    assert torch.equal(after.now, z)
    assert torch.equal(after.past, torch.cat([parts.now, parts.past[:, :4]], dim=1))


def test_the_transition_sees_the_latest_field_and_the_changes_before_it():
    layout, x = make_layout(3), torch.randn(2, 3, 1, 4, 6)
    layout.linear.cell_std.fill_(2.0)
    layout.cell_change.fill_(0.5)
    fields = layout.fields(layout.split(layout.observed(x)))
    expected = torch.cat([x[:, 2] / 2.0, (x[:, 2] - x[:, 1]) / 0.5, (x[:, 1] - x[:, 0]) / 0.5], dim=1)
    torch.testing.assert_close(fields, expected)


def test_what_networks_see_and_say_is_bounded():
    layout = make_layout(2)
    layout.linear.limit.fill_(3.0)
    state = 1e6 * torch.randn(1, layout.n_state + 2, 2, 3)
    parts = layout.split(state)
    for seen in (layout.inputs(parts), layout.fields(parts)):
        assert float(seen.abs().max()) == FEATURE_LIMIT == 10.0
    transition = ResidualTransition(layout, DeepTransition(2, 8, 4, 1, 3, 1, downsampling=2, n_clock=2))
    assert float(transition(state)[0].abs().max()) == 3.0


def test_an_untrained_transition_is_persistence_with_the_noise_of_a_step():
    layout = make_layout(2)
    layout.linear.step.uniform_(0.1, 1.0)
    layout.take(layout.linear)
    state = torch.randn(2, layout.n_state, 2, 3)
    loc, scale = ResidualTransition(layout, DeepTransition(2, 8, 4, 1, 3, 1, downsampling=2))(state)
    torch.testing.assert_close(loc, state[:, :4])
    torch.testing.assert_close(scale, layout.linear.step.expand_as(loc))


def test_a_layout_takes_the_size_of_changes_from_its_linear_model():
    layout, x = make_layout(1, shape=(2, 40, 60)), torch.randn(30, 2, 40, 60) * torch.tensor([1.0, 3.0])[:, None, None]
    linear = layout.linear
    folded = linear.fold(x)
    linear.change.copy_(folded.diff(dim=0).square().mean((0, 2, 3)).sqrt()[:, None, None])
    layout.take(layout.linear)
    expected = x.diff(dim=0).square().mean((0, 2, 3)).sqrt()
    torch.testing.assert_close(layout.cell_change[:, 0, 0], expected)


def test_an_untrained_filter_moves_98_percent_of_the_way_to_an_observation():
    layout = make_layout(2)
    combiner = ResidualCombiner(layout, 6, 3)
    state, ahead = torch.randn(2, layout.n_state, 2, 3), torch.randn(2, 4, 2, 3)
    observed = ahead + torch.randn_like(ahead)
    loc, _ = combiner(state, torch.randn(2, 6, 2, 3), observed, (ahead, torch.ones_like(ahead)))
    moved = (loc - ahead) / (observed - ahead)
    torch.testing.assert_close(moved, torch.full_like(moved, 0.98), atol=5e-3, rtol=0)


def test_a_posterior_is_as_sharp_as_the_forecast_that_it_corrects():
    layout = make_layout(2)
    combiner, ahead = ResidualCombiner(layout, 6, 3), torch.randn(2, 4, 2, 3)
    given = torch.randn(2, layout.n_state, 2, 3), torch.randn(2, 6, 2, 3), torch.randn(2, 4, 2, 3)
    wide, sharp = (combiner(*given, (ahead, torch.full_like(ahead, error)))[1] for error in (1.0, 1e-3))
    torch.testing.assert_close(sharp, 1e-3 * wide)


def test_an_observation_is_the_field_and_an_error_of_its_channel():
    layout, x = make_layout(1, shape=(2, 4, 6)), torch.randn(3, 2, 4, 6)
    layout.linear.cell_step.copy_(torch.tensor([1.0, 5.0])[:, None, None])
    loc, scale = FieldEmitter(layout)(layout.linear.fold(x))
    torch.testing.assert_close(loc, x)
    torch.testing.assert_close(scale[:, 1], 5 * scale[:, 0])
