"""What hindcasts say of damping and errors."""

import pytest
import torch

from gridcast.modules.censored import Bounds
from gridcast.modules.hindcasts import Hindcasts
from gridcast.modules.spread import Spread

SIZE = (7, 10)


def hindcasts_of(factor, n=400, horizon=4):
    """Forecasts that are `factor` times too large beside what came."""
    torch.manual_seed(0)
    shape = (n, horizon, 1, *SIZE)
    forecast, noise = torch.randn(shape), 0.5 * torch.randn(shape)
    found = Hindcasts((horizon, 1, *SIZE))
    found.add(forecast, factor * forecast + noise)
    return found


def test_a_forecast_that_needs_no_damping_has_none_and_one_that_is_of_no_use_is_damped():
    assert torch.equal(hindcasts_of(1.0).damping(), torch.ones(4))
    assert torch.equal(hindcasts_of(1.3).damping(), torch.ones(4))
    damped = hindcasts_of(0.0).damping()
    assert damped[0] == 1  # it was fitted itself
    assert (damped.diff() < 0).all()
    assert 0.4 < damped[2] < 0.9  # drawn towards 1 by as much again as was seen


def test_what_was_not_observed_does_not_count():
    seen, part = hindcasts_of(1.0), Hindcasts((4, 1, *SIZE))
    forecast = torch.randn(10, 4, 1, *SIZE)
    truth = torch.full_like(forecast, torch.nan)
    truth[:, :2] = forecast[:, :2]
    part.add(forecast, truth)
    assert not part.count[2:].any()
    assert float(part.count[:2].min()) == 10
    variance = torch.ones(4, 1, *SIZE)
    ratio = part.ratio(variance, torch.ones(4))
    torch.testing.assert_close(ratio[2:], torch.ones(2, 1, *SIZE))  # nothing known: the model's own
    assert float(ratio[0].max()) < 1e-3
    assert seen.ratio(variance, torch.ones(4)).mean() == pytest.approx(0.5, rel=0.1)


def test_a_cell_with_larger_errors_has_a_larger_spread():
    torch.manual_seed(0)
    truth = torch.randn(2000, 2, 1, *SIZE)
    truth[..., 0, 0] *= 3
    found = Hindcasts((2, 1, *SIZE))
    found.add(torch.zeros_like(truth), truth)
    ratio = found.ratio(torch.ones(2, 1, *SIZE), torch.ones(2))
    assert ratio[0, 0, 0, 0] == pytest.approx(3.0, rel=0.1)
    assert ratio[0, 0, 1:].mean() == pytest.approx(1.0, rel=0.1)


def test_a_late_lead_of_no_use_is_halved_as_if_as_many_useful_hindcasts_had_been_made():
    """Forecasts of no use ask for 0; those of the prior, as many, for 1."""
    forecast = torch.ones(20, 21, 1, *SIZE)
    forecast[:, :-1] = torch.nan  # only the last lead is known
    truth = torch.ones_like(forecast)
    truth[::2] = -1.0
    found = Hindcasts((21, 1, *SIZE))
    found.add(forecast, truth)
    assert found.damping()[-1] == pytest.approx(0.5, abs=0.1)  # a power of one of the candidates


def test_thirty_hindcasts_of_a_cell_weigh_as_much_as_the_noise_of_the_model():
    shape = (1, 1, 30, 40)
    found = Hindcasts(shape)
    truth = torch.ones(30, *shape)
    truth[..., 0, 0] = 3.0
    found.add(torch.zeros_like(truth), truth)
    ratio = found.ratio(torch.ones(shape), torch.ones(1))
    assert ratio[0, 0, 0, 0].square() == pytest.approx((9 + 1) / 2, rel=0.05)


CASES = torch.full((2,), 100.0)


def test_what_came_near_a_bound_shapes_the_distribution_there_with_damped_forecasts():
    """Forecasts that are twice what came, halved again by the damping: what is left is noise of the given size."""
    torch.manual_seed(0)
    shape, found, spread = (60, 2, 1, *SIZE), Hindcasts((2, 1, *SIZE)), Spread(2, (1, *SIZE))
    forecast, noise = torch.randn(2, *shape)
    truth = (forecast + 0.5 * noise).clamp(min=0.0)
    bounds = Bounds(torch.zeros(shape), torch.full(shape, torch.inf))
    for part in (slice(20), slice(20, 60)):
        found.add(2.0 * forecast[part], truth[part], Bounds(*(b[part] for b in bounds)))
    std = torch.full((2, 1, *SIZE), 0.5)
    found.fit_spread(spread, torch.full((2,), 0.5), std, CASES)
    assert spread.censored.fitted.all()
    scores = found.scores(spread, torch.full((2,), 0.5), std)
    assert scores.mean() == pytest.approx(0.0, abs=0.1)
    assert scores.std() == pytest.approx(1.0, abs=0.1)


def test_a_spread_follows_how_much_has_changed_before():
    torch.manual_seed(0)
    n, usual = 300, 0.1 + torch.rand(1, *SIZE)
    active = torch.exp(0.7 * torch.randn(n, 1, 1, 1))  # of each forecast, everywhere
    x = (usual * active)[:, None] * torch.randn(n, 30, 1, *SIZE).cumsum(1)
    truth = (active**0.5)[:, None] * torch.randn(n, 2, 1, *SIZE)
    found, spread = Hindcasts((2, 1, *SIZE)), Spread(2, (1, *SIZE))
    for part in (slice(100), slice(100, n)):
        found.add(torch.zeros_like(truth[part]), truth[part], contexts=(x[part], torch.ones_like(x[part])))
    std = torch.ones(2, 1, *SIZE)
    found.fit_spread(spread, torch.ones(2), std, CASES)
    assert spread.power.flatten().tolist() == [0.5, 0.5]
    scores = found.scores(spread, torch.ones(2), std)
    assert scores.std() == pytest.approx(1.0, abs=0.05)
    assert scores.pow(4).mean() == pytest.approx(3.0, rel=0.1)  # without the activity tails are those of a mixture
