"""Forecasts of networks beside a linear model, and what held-out forecasts make of both."""

import math

import pytest
import torch

from gridcast.modules.calibration import MOST_ENSEMBLES, HeldOut, calibrate, observed, weigh
from gridcast.modules.censored import Bounds
from gridcast.modules.combination import Combination, CombinedModule
from gridcast.modules.forecasting import Contexts
from gridcast.modules.frames import Frames
from gridcast.modules.inverse_model import LinearInverseModel
from gridcast.modules.linear import LinearForecast
from gridcast.modules.noise import CorrelatedNoise

SIZE, CONTEXT, HORIZON, N = (4, 8), 3, 4, 24


class Fixed(CombinedModule):
    """Networks that forecast a multiple of the last field, with members around it, and count them."""

    def __init__(self, factor, spread=1.0, n_channels=1):
        torch.manual_seed(0)
        linear = LinearForecast((n_channels, *SIZE), 4, 1)
        noise = CorrelatedNoise(20, (16 * n_channels, 1, 2))
        model = LinearInverseModel(linear, noise, Frames(None, multiple=4), SIZE, HORIZON)
        model.fit([0.3 * torch.randn(80, n_channels, *SIZE)])
        super().__init__(Combination(model, n_channels))
        self.factor, self.spread, self.drawn = factor, spread, 0

    def begin(self, x, mask, horizon, clock):
        mean = self.factor * x[:, -1:].repeat(1, horizon, 1, 1, 1)

        def draw(n):
            self.drawn += n
            loc = mean + self.spread * torch.randn(n, *mean.shape)
            return loc, torch.zeros_like(loc)

        return mean, torch.zeros_like(mean), draw


def held_out(factor, noise=0.0, bounds=None, n=N, n_channels=1):
    """What came is a multiple of the last field, and noise."""
    torch.manual_seed(1)
    x = torch.randn(n, CONTEXT, n_channels, *SIZE)
    truth = factor * x[:, -1:].repeat(1, HORIZON, 1, 1, 1)
    truth = truth + noise * torch.randn_like(truth)
    if bounds is not None:
        truth = truth.clamp(min=bounds)
        bounds = Bounds(torch.full_like(truth, bounds), torch.full_like(truth, math.inf))
    return HeldOut(x, torch.ones_like(x), None, truth, bounds, torch.full((HORIZON,), float(n)))


def test_networks_that_are_right_leave_their_errors_alone_and_members_are_as_wide():
    module, known = Fixed(0.7, spread=2.0), held_out(0.7, noise=0.5)
    calibrate(module, known)
    loc, scale = module.forecast(known.x[:4], known.mask[:4], HORIZON, 200)
    assert loc.shape == (200, 4, HORIZON, 1, *SIZE)
    assert not scale.any()
    assert loc.std(0).mean() == pytest.approx(0.5, rel=0.2)
    mean, _ = module.forecast(known.x, known.mask, HORIZON)
    assert (mean[0] - known.truth).square().mean() == pytest.approx(0.25, rel=0.15)


def test_useless_networks_lose_their_weight_to_what_is_better():
    module, known = Fixed(-3.0), held_out(1.0)
    weigh(module, known)
    assert module.combination.blend.weights[:, 0].max() < 0.2
    forecast, _ = module.forecast(known.x, known.mask, HORIZON)
    assert (forecast[0] - known.truth).square().mean() < 0.1


def test_members_are_drawn_for_few_contexts_alone():
    module = Fixed(0.7)
    calibrate(module, held_out(0.7, noise=0.5))
    assert 0 < module.drawn <= MOST_ENSEMBLES * 6


def test_until_something_was_held_out_the_networks_forecast_alone_within_bounds():
    module = Fixed(0.7)
    x = torch.randn(2, CONTEXT, 1, *SIZE)
    torch.manual_seed(3)
    alone, _ = module.begin(x, torch.ones_like(x), HORIZON, None)[2](5)
    torch.manual_seed(3)
    torch.testing.assert_close(module.forecast(x, torch.ones_like(x), HORIZON, 5)[0], alone)
    bounds = Bounds(torch.zeros_like(alone[0]), torch.full_like(alone[0], math.inf))
    torch.manual_seed(3)
    bounded = module.forecast(x, torch.ones_like(x), HORIZON, 5, bounds=bounds)[0]
    torch.testing.assert_close(bounded, alone.clamp(min=0))


def test_members_at_a_bound_are_paths_of_the_linear_model_and_ask_the_networks_for_none():
    module, known = Fixed(0.7), held_out(0.7, noise=0.5, bounds=0.0)
    calibrate(module, known)
    drawn = module.drawn
    loc, _ = module.forecast(known.x, known.mask, HORIZON, 50, bounds=known.bounds)
    assert module.drawn == drawn
    assert loc.min() == 0
    assert float((loc == 0).float().mean()) == pytest.approx(float((known.truth == 0).float().mean()), abs=0.08)


def test_after_a_reset_nothing_is_decided():
    module = Fixed(-3.0)
    weigh(module, held_out(1.0))
    module.combination.reset()
    table = module.combination.table()
    assert table["networks"].eq(1).all()
    assert table["error"].isna().all()


def test_after_a_reset_members_within_bounds_are_those_of_the_networks():
    module = Fixed(0.7)
    known = held_out(0.7, noise=0.5, bounds=-0.3)
    calibrate(module, known)
    module.combination.reset()
    assert not module.combination.spread.censored.fitted.any()
    far = Bounds(torch.full_like(known.truth[:2], -9.0), known.bounds.high[:2])
    torch.manual_seed(3)
    loc, _ = module.forecast(known.x[:2], known.mask[:2], HORIZON, 400, bounds=far)
    assert float((loc - known.x[:2, -1:] * 0.7).std()) == pytest.approx(1.0, rel=0.05)


def test_forecasts_of_which_nothing_came_are_no_cases():
    module, known = Fixed(0.7, spread=2.0), held_out(0.7, noise=0.5)
    known.truth[1:] = torch.nan  # one is left, whose errors have the size of half the members'
    few = torch.minimum(known.cases, observed(known.truth))
    assert few.tolist() == [1.0] * HORIZON
    calibrate(module, known)
    assert not module.combination.spread.networks.any()


def test_members_in_batches_come_of_one_reading_of_the_contexts(monkeypatch):
    module, known = Fixed(0.7, spread=2.0), held_out(0.7, noise=0.5)
    calibrate(module, known)
    calls, begin = [], module.begin
    monkeypatch.setattr(module, "begin", lambda *given: (calls.append(1), begin(*given))[1])
    batches = list(module.forecasts(Contexts(known.x, known.mask), HORIZON, [3, 2, 0]))
    assert [len(loc) for loc, _ in batches] == [3, 2, 1]
    assert len(calls) == 1
    torch.testing.assert_close(batches[2][0], module.forecast(known.x, known.mask, HORIZON)[0])
