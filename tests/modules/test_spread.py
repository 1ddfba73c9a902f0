"""Factors of the deviations of members against the errors that they are to have."""

import pytest
import torch

from gridcast.modules.censored import Bounds
from gridcast.modules.layers import by_lead
from gridcast.modules.spread import AROUND, Spread, changes

HORIZON, N, CELLS = 3, 300, 12
MANY = torch.full((HORIZON,), 300.0)


def errors(std):
    torch.manual_seed(0)
    return std * torch.randn(N, HORIZON, 1, CELLS)


def fitted(truth, variance, std=1.0, cases=MANY, bounds=None, activity=None, linear=None, earlier=None):
    spread = Spread(HORIZON, (1, 3, 4))
    std = torch.full((HORIZON, 1, CELLS), std)
    spread.fit(torch.zeros_like(truth), variance, std, truth, bounds, cases, activity, linear, earlier)
    return spread


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_paths_are_brought_to_the_size_of_the_error(factor):
    spread = fitted(errors(factor), None)
    torch.testing.assert_close(spread.paths, torch.full_like(spread.paths, factor), rtol=0.05, atol=0)
    assert not spread.networks.any()


def test_where_errors_follow_the_state_the_networks_have_the_spread():
    torch.manual_seed(1)
    std = 0.2 + 2 * torch.rand(N, HORIZON, 1, CELLS)
    spread = fitted(errors(std), 4 * std.square())  # twice too wide
    assert spread.paths.max() < 0.4
    torch.testing.assert_close(spread.networks, torch.full_like(spread.networks, 0.5), atol=0.06, rtol=0)


def test_where_errors_have_nothing_to_do_with_the_state_the_paths_have_it():
    torch.manual_seed(1)
    spread = fitted(errors(1.0), (0.05 + 3 * torch.rand(N, HORIZON, 1, CELLS)).square())
    assert spread.networks.max() < 0.5
    assert spread.paths.min() > 0.8


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_the_power_of_the_activity_is_that_of_the_errors(power):
    torch.manual_seed(2)
    activity = torch.exp(torch.randn(N, 1, CELLS))
    spread = fitted(errors(activity[:, None] ** power), torch.ones(N, HORIZON, 1, CELLS), activity=activity)
    assert (spread.power - power).abs().max() <= 0.25
    size = (spread.networks.square() + spread.paths.square()).sqrt()
    torch.testing.assert_close(size, torch.ones_like(size), atol=0.2, rtol=0)


def test_members_spread_where_much_has_changed():
    spread = Spread(HORIZON, (1, 3, 4))
    spread.power.fill_(1.0)
    activity = torch.tensor([0.5, 2.0]).reshape(2, 1, 1, 1).expand(2, 1, 3, 4)
    field = (2, HORIZON, 1, 3, 4)
    torch.manual_seed(0)
    paths = torch.randn(500, *field)
    members = spread.members(torch.zeros(field), torch.zeros(1, *field), paths, torch.ones(field[1:]), None, activity)
    torch.testing.assert_close(members, paths * activity[:, None])


def test_activity_is_of_the_changes_around_a_cell_in_units_of_the_usual_ones():
    torch.manual_seed(0)
    x = torch.randn(2, 5, 1, 20, 30).cumsum(1)
    spread = Spread(HORIZON, (1, 20, 30))
    spread.usual.fill_(4.0)
    squared = x.diff(dim=1).square().mean(1)
    half = AROUND // 2
    expected = squared[0, 0, 10 - half : 10 + half + 1, 15 - half : 15 + half + 1].mean()
    mask = torch.ones_like(x)
    torch.testing.assert_close(changes(x, mask)[0, 0, 10, 15], expected)
    torch.testing.assert_close(spread.activity(x, mask)[0, 0, 10, 15], (expected / 4).sqrt())
    # at a corner those that there are
    torch.testing.assert_close(changes(x, mask)[1, 0, 0, 0], squared[1, 0, : half + 1, : half + 1].mean())
    assert changes(x[:, :1], mask[:, :1]).eq(1).all()  # one step shows no change


def test_a_gap_shows_no_change_and_says_nothing_of_the_spread():
    torch.manual_seed(0)
    x, spread = torch.randn(1, 6, 1, 20, 30).cumsum(1), Spread(HORIZON, (1, 20, 30))
    whole, mask = changes(x, torch.ones_like(x)), torch.ones_like(x)
    mask[:, 3, :, :5] = 0.0
    filled = torch.where(mask > 0, x, x[:, 2:3])
    found = changes(filled, mask)
    torch.testing.assert_close(found[..., 10:, :], whole[..., 10:, :])  # nothing is missing around
    observed = x.diff(dim=1)[:, [0, 1, 4], :, :1].square().mean()  # two of five changes are not seen
    assert found[..., 0, :].mean() == pytest.approx(float(observed), rel=0.5)
    nothing = spread.activity(filled, torch.zeros_like(mask))
    assert nothing.eq(1).all()


def test_few_cases_leave_the_spread_to_the_paths_and_near_what_it_is():
    spread = fitted(errors(3.0), torch.ones(N, HORIZON, 1, CELLS), cases=torch.ones(HORIZON))
    assert not spread.networks.any()
    assert spread.paths.square().max() == pytest.approx((9 + 2) / 3, rel=0.1)


@pytest.mark.parametrize("hard", [0.5, 1.0, 2.0])
def test_a_season_is_not_taken_for_the_year_and_what_the_sum_gains_in_it_counts(hard):
    """Few forecasts, all easy or all hard; the combined ones err by half as much as those of the linear model."""
    truth = errors(0.5 * hard)
    torch.manual_seed(4)
    linear = truth + hard * torch.randn_like(truth)
    paths = fitted(truth, None, cases=torch.full((HORIZON,), 4.0), linear=linear).paths
    assert float(paths.mean()) == pytest.approx(0.5, rel=0.2)


@pytest.mark.parametrize("activity", [0.5, 2.0])
def test_what_hindcasts_of_the_year_say_of_the_activity_holds_in_a_season(activity):
    """Errors as large as the activity; few forecasts, all of a quiet or of a lively season, do not show it."""
    torch.manual_seed(5)
    of_the_year = torch.exp(torch.randn(N, 1, CELLS))
    hindcasts = fitted(errors(of_the_year[:, None]), None, activity=of_the_year)
    truth, cases, season = errors(activity), torch.full((HORIZON,), 4.0), torch.full((N, 1, CELLS), activity)
    spread = fitted(truth, None, 1.0, cases, None, season, torch.zeros_like(truth), hindcasts.found)
    assert torch.equal(spread.power, torch.ones_like(spread.power))
    assert spread.paths.flatten().tolist() == pytest.approx([1.0] * HORIZON, rel=0.15)


def test_hindcasts_of_others_errors_do_not_say_how_these_depend_on_the_activity():
    torch.manual_seed(6)
    activity = torch.exp(torch.randn(N, 1, CELLS))
    linear = errors(activity[:, None])
    hindcasts = fitted(linear, None, activity=activity)
    few = torch.full((HORIZON,), 8.0)
    spread = fitted(0.5 * torch.randn_like(linear), None, 1.0, few, None, activity, linear, hindcasts.found)
    assert spread.power.max() <= 0.25


def test_a_lead_that_no_case_reached_has_the_factors_before_it():
    truth = errors(2.0)
    truth[:, 1:] = torch.nan
    paths = fitted(truth, None).paths
    assert torch.equal(paths[1:], paths[:1].expand(2, 1, 1, 1))


def test_a_channel_without_bounds_beside_one_with_them_keeps_its_own_spread():
    torch.manual_seed(0)
    truth = torch.randn(N, HORIZON, 2, CELLS)
    truth[:, :, 1] = truth[:, :, 1].clamp(min=0)
    low = torch.full_like(truth, -torch.inf)
    low[:, :, 1] = 0.0
    spread, std = Spread(HORIZON, (2, 3, 4)), torch.ones(HORIZON, 2, CELLS)
    bounds = Bounds(low, torch.full_like(low, torch.inf))
    spread.fit(torch.zeros_like(truth), None, std, truth, bounds, MANY)
    torch.testing.assert_close(spread.paths[:, 0], torch.ones(HORIZON, 1, 1), rtol=0.1, atol=0)

    field = (1, HORIZON, 2, 3, 4)
    one = Bounds(*(b[:1].reshape(field) for b in bounds))
    paths = torch.randn(500, *field)
    members = spread.members(torch.zeros(field), torch.zeros(1, *field), paths, std.reshape(field[1:]), one)
    torch.testing.assert_close(members[:, :, :, 0], (spread.paths * paths)[:, :, :, 0])
    assert members[:, :, :, 1].min() == 0
    assert (members[:, :, :, 1] > 0).any()


def test_later_leads_take_the_factors_of_the_last():
    assert by_lead(torch.arange(3), 5).tolist() == [0, 1, 2, 2, 2]
