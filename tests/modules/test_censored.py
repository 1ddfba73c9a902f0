"""Censored distributions against scipy, and what members near a bound must be."""

import numpy as np
import pytest
import torch
from scipy import stats

from gridcast.modules.censored import NODES, Bounds, CensoredForecast

INF, N = float("inf"), 4000


def bounds_of(low, high, shape):
    return Bounds(torch.full(shape, low), torch.full(shape, high))


def normal_nodes():
    return torch.tensor(stats.norm.ppf(NODES), dtype=torch.float32)[:, None]


def exact_mean(loc, scale, low, high):
    """Mean of a censored normal distribution, by its survival function."""
    z = np.linspace(-8, 8, 20001)
    return np.trapezoid(np.clip(loc + scale * z, low, high) * stats.norm.pdf(z), z)


@pytest.mark.parametrize(("low", "high"), [(0.0, INF), (-INF, 0.0), (0.0, 1.0), (-INF, INF)])
@pytest.mark.parametrize("loc", [-1.0, 0.2, 2.0])
def test_the_mean_is_that_of_the_censored_normal_distribution(loc, low, high):
    bounds = bounds_of(low, high, (1,))
    mean = bounds.mean(torch.tensor([loc]), torch.tensor([0.7]), normal_nodes())
    assert float(mean) == pytest.approx(exact_mean(loc, 0.7, low, high), abs=0.02)


@pytest.mark.parametrize(("low", "high"), [(0.0, INF), (-INF, 1.0), (0.0, 1.0), (-INF, INF)])
def test_the_location_is_the_one_whose_mean_was_given(low, high):
    mean = torch.linspace(0.05, 0.95, 7)
    bounds, scale = bounds_of(low, high, (7,)), torch.full((7,), 0.4)
    nodes = normal_nodes()
    again = bounds.mean(bounds.location(mean, scale, nodes), scale, nodes)
    torch.testing.assert_close(again, mean, atol=1e-4, rtol=0)


def test_the_distance_is_that_of_the_nearest_bound_and_nothing_without_one():
    value = torch.tensor([0.2, 0.9, -0.3])
    torch.testing.assert_close(bounds_of(0.0, 1.0, (3,)).distance(value), torch.tensor([0.2, 0.1, 0.0]))
    torch.testing.assert_close(bounds_of(0.0, INF, (3,)).distance(value), torch.tensor([0.2, 0.9, 0.0]))
    assert not bounds_of(-INF, INF, (3,)).distance(value).any()


def rain(slope, n=N, seed=0):
    """Forecast means and rain that scatters around them in proportion, none below zero."""
    generator = torch.Generator().manual_seed(seed)
    wet = 2 * torch.rand(n, generator=generator)
    loc = wet - 0.5
    truth = (loc + slope * wet * torch.randn(n, generator=generator)).clamp(min=0)
    return loc, truth


def fitted(forecast, truth, low=0.0):
    made = CensoredForecast(1, 1)
    made.fit(0, 0, forecast, truth, torch.full_like(truth, 0.5), bounds_of(low, INF, truth.shape))
    return made


def members_of(made, forecast, n=200):
    """Members and mean for forecasts (n,), as cells of one field."""
    field, std = forecast.view(1, 1, 1, 1, -1), torch.full((1, 1, 1, len(forecast)), 0.5)
    bounds = bounds_of(0.0, INF, field.shape)
    mean = made.mean(field, std, bounds)
    members = made.members(mean, torch.randn(n, *field.shape), std, bounds)
    return mean.flatten(), members.flatten(1)


def test_members_are_at_the_bound_as_often_as_rain_is_none_and_their_mean_is_the_forecast():
    torch.manual_seed(0)
    forecast, truth = rain(0.6)
    later, came = rain(0.6, seed=1)
    mean, members = members_of(fitted(forecast, truth), later)
    assert members.min() == 0
    assert float((members == 0).float().mean()) == pytest.approx(float((came == 0).float().mean()), abs=0.03)
    torch.testing.assert_close(members.mean(0).mean(), mean.mean(), atol=0.02, rtol=0)
    assert float((mean - came).mean()) == pytest.approx(0.0, abs=0.05)


def crps_of(members, truth):
    ordered = members.sort(0).values
    levels = (torch.arange(len(members)) + 0.5)[:, None] / len(members)
    error = truth - ordered
    return float(2 * torch.maximum(levels * error, (levels - 1) * error).mean())


def test_members_score_better_than_a_normal_distribution_of_the_same_mean_and_errors():
    torch.manual_seed(0)
    forecast, truth = rain(0.6)
    later, came = rain(0.6, seed=1)
    mean, members = members_of(fitted(forecast, truth), later)
    normal = mean + (mean - came).std() * torch.randn_like(members)
    assert crps_of(members, came) < 0.9 * crps_of(normal, came)


def test_where_it_is_dry_members_hardly_differ_and_where_it_rains_they_do():
    torch.manual_seed(0)
    _, members = members_of(fitted(*rain(0.6)), torch.tensor([-2.0, 1.5]))
    dry, wet = members.std(0)
    assert dry < 0.05 * wet


def test_factors_of_a_lead_are_those_of_later_ones_until_they_have_their_own():
    made, (forecast, truth) = CensoredForecast(3, 2), rain(0.6)
    made.fit(1, 0, forecast, truth, torch.full_like(truth, 0.5), bounds_of(0.0, INF, truth.shape))
    assert made.paths[:, 1].eq(1).all()
    assert made.paths[0, 0] == 1
    assert torch.equal(made.slope[1], made.slope[2])
    assert made.slope[1, 0] > 0
