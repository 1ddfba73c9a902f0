"""Forecasts, damping and spread of a linear inverse model, against what is known exactly."""

import math

import pytest
import torch

from gridcast.modules.frames import Frames
from gridcast.modules.inverse_model import Hindcasts, LinearInverseModel
from gridcast.modules.linear import LinearForecast
from gridcast.modules.noise import CorrelatedNoise

WEIGHT, NOISE, SIZE = 0.8, 0.3, (7, 10)


def autoregression(n_times, seed=0, weight=WEIGHT):
    """Every cell an autoregression of order 1."""
    generator = torch.Generator().manual_seed(seed)
    x, path = torch.zeros(1, *SIZE), []
    for _ in range(n_times):
        x = weight * x + NOISE * torch.randn(1, *SIZE, generator=generator)
        path.append(x)
    return torch.stack(path)


def make_model(horizon=4, n_lags=2, n_errors=50):
    frames = Frames(None, multiple=4)
    linear = LinearForecast((1, 8, 12), 4, n_lags, n_patterns=3)
    return LinearInverseModel(linear, CorrelatedNoise(n_errors, (16, 2, 3)), frames, SIZE, horizon)


def spread_of(lead):
    """Standard deviation of the error of a forecast of the autoregression."""
    return NOISE * math.sqrt(sum(WEIGHT ** (2 * k) for k in range(lead)))


@pytest.fixture(scope="module")
def model():
    made = make_model()
    made.fit([autoregression(3000)])
    return made


def test_the_mean_of_an_autoregression_decays_with_its_weight(model):
    x = autoregression(40, seed=1)
    contexts = torch.stack([x[i : i + 10] for i in range(30)])
    loc, scale = model.forecast(contexts, None, 6)
    assert loc.shape == scale.shape == (1, 30, 6, 1, *SIZE)
    assert not scale.any()
    for lead in (1, 3, 6):
        error = loc[0, :, lead - 1] - WEIGHT**lead * contexts[:, -1]
        assert error.square().mean().sqrt() < 0.15


def test_members_spread_as_the_noise_adds_up(model):
    torch.manual_seed(0)
    loc, _ = model.forecast(autoregression(10, seed=1)[None], None, 4, 300)
    assert loc.shape == (300, 1, 4, 1, *SIZE)
    mean, _ = model.forecast(autoregression(10, seed=1)[None], None, 4)
    for lead in (1, 2, 4):
        assert loc[:, :, lead - 1].std(0).mean() == pytest.approx(spread_of(lead), rel=0.1)
    assert (loc.mean(0) - mean[0]).abs().mean() < 0.1 * spread_of(4)


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


def test_calibrated_spread_is_that_of_the_hindcasts_whatever_the_noise_of_the_model(model):
    torch.manual_seed(0)
    made = make_model()
    made.fit([autoregression(500)])
    truth = 2.0 * torch.randn(2000, 4, 1, *SIZE)
    found = Hindcasts((4, 1, *SIZE))
    found.add(torch.zeros_like(truth), truth)
    made.calibrate(found)
    loc, _ = made.forecast(torch.zeros(1, 10, 1, *SIZE), None, 5, 400)
    for lead in (1, 4, 5):  # a lead beyond the horizon has the scale of the last
        assert loc[:, 0, lead - 1].std() == pytest.approx(2.0, rel=0.15)


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
