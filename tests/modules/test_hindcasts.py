"""What hindcasts say of damping and errors."""

import pytest
import torch

from gridcast.modules.censored import Bounds
from gridcast.modules.hindcasts import Hindcasts

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


def test_cells_near_bounds_are_kept_with_their_damped_forecasts():
    torch.manual_seed(0)
    shape, found = (5, 3, 2, *SIZE), Hindcasts((3, 2, *SIZE))
    forecast, truth = torch.randn(2, *shape)
    bounds = Bounds(torch.full(shape, -1.0), torch.full(shape, torch.inf))
    assert found.near_bounds(torch.ones(3), torch.ones(3, 2, *SIZE)) is None
    for part in (slice(3), slice(3, 5)):
        found.add(forecast[part], truth[part], Bounds(*(b[part] for b in bounds)))
    damping, std = torch.tensor([1.0, 0.5, 0.2]), torch.rand(3, 2, *SIZE)
    mean, spread, kept, limits, cases = found.near_bounds(damping, std)
    torch.testing.assert_close(mean, (damping[:, None, None, None] * forecast).flatten(3))
    torch.testing.assert_close(kept, truth.flatten(3))
    torch.testing.assert_close(spread, std.flatten(2))
    torch.testing.assert_close(limits.low, bounds.low.flatten(3))
    assert cases.tolist() == [5.0, 5.0, 5.0]
