"""Forecasts, damping and spread of a linear inverse model, against what is known exactly."""

import math

import pytest
import torch
from linear_processes import NOISE, SIZE, WEIGHT, autoregression, make_model

from gridcast.modules.forecasting import Contexts
from gridcast.modules.hindcasts import Hindcasts
from gridcast.modules.spread import changes


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
    loc, scale = model.forecast(contexts, torch.ones_like(contexts), 6)
    assert loc.shape == scale.shape == (1, 30, 6, 1, *SIZE)
    assert not scale.any()
    for lead in (1, 3, 6):
        error = loc[0, :, lead - 1] - WEIGHT**lead * contexts[:, -1]
        assert error.square().mean().sqrt() < 0.15


def test_members_spread_as_the_noise_adds_up(model):
    torch.manual_seed(0)
    x = autoregression(10, seed=1)[None]
    loc, _ = model.forecast(x, torch.ones_like(x), 4, 300)
    assert loc.shape == (300, 1, 4, 1, *SIZE)
    mean, _ = model.forecast(x, torch.ones_like(x), 4)
    for lead in (1, 2, 4):
        assert loc[:, :, lead - 1].std(0).mean() == pytest.approx(spread_of(lead), rel=0.1)
    assert (loc.mean(0) - mean[0]).abs().mean() < 0.1 * spread_of(4)


def test_calibrated_spread_is_that_of_the_hindcasts_whatever_the_noise_of_the_model(model):
    torch.manual_seed(0)
    made = make_model()
    made.fit([autoregression(500)])
    truth = 2.0 * torch.randn(2000, 4, 1, *SIZE)
    found = Hindcasts((4, 1, *SIZE))
    found.add(torch.zeros_like(truth), truth)
    made.calibrate(found, torch.full((4,), 100.0))
    loc, _ = made.forecast(torch.zeros(1, 10, 1, *SIZE), torch.ones(1, 10, 1, *SIZE), 5, 400)
    for lead in (1, 4, 5):  # a lead beyond the horizon has the scale of the last
        assert loc[:, 0, lead - 1].std() == pytest.approx(2.0, rel=0.15)


def test_members_and_density_spread_with_the_activity_before_them(model):
    quiet, mask = 0.1 * autoregression(10, seed=1)[None], torch.ones(1, 10, 1, *SIZE)
    model.spread.usual.fill_(float(changes(quiet, mask).mean()))
    model.spread.power.fill_(1.0)
    stds, densities = [], []
    for times in (1.0, 3.0):
        loc, _ = model.forecast(times * quiet, mask, 2, 400)
        stds.append(loc.std(0).mean())
        densities.append(model.predictive(Contexts(times * quiet, mask))[1].mean())
    assert stds[1] / stds[0] == pytest.approx(3.0, rel=0.05)
    assert densities[1] / densities[0] == pytest.approx(3.0, rel=0.05)
    model.spread.power.zero_()
