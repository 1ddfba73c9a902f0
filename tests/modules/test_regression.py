"""The bound that a fitted linear forecast keeps its coefficients in, and what a second fit leaves as it is."""

import pytest
import torch

from gridcast.modules.linear import LinearForecast
from gridcast.modules.regression import fit_linear_forecast, refit_linear_forecast


def test_a_record_is_forecast_as_it_is_and_an_explosion_is_held_near_the_largest_value_seen():
    waves = 2.0 * torch.sin(0.3 * torch.arange(200))[:, None, None, None].expand(200, 1, 2, 2)
    linear = LinearForecast((1, 2, 2), 1, 1)
    fit_linear_forecast(linear, [waves])
    largest = linear.fold(waves).abs().max()
    record, explosion = (torch.full((1, 1, 2, 2), float(factor * largest)) for factor in (1.3, 5.0))
    assert torch.equal(linear.bounded(record), record)
    for sign in (1, -1):
        held = linear.bounded(sign * explosion)
        assert (sign * held > 1.3 * largest).all()
        assert (sign * held < 2 * largest).all()


def test_a_run_of_an_unstable_forecast_stays_bounded():
    growing = 1.1 ** torch.arange(30.0)[:, None, None, None].expand(30, 1, 2, 2)
    linear = LinearForecast((1, 2, 2), 1, 1)
    fit_linear_forecast(linear, [growing])
    largest = float(linear.fold(growing).max())
    z = linear.fold(growing[-1:])
    for _ in range(100):
        z = linear(linear.features(z))
    assert largest < float(z.max()) < 2 * largest


@pytest.mark.parametrize("n_times", [3, 4])
def test_a_short_quiet_series_leaves_room_for_one_standard_deviation(n_times):
    linear = LinearForecast((1, 2, 2), 1, 1)
    fit_linear_forecast(linear, [torch.ones(n_times, 1, 2, 2)])
    assert float(linear.bounded(torch.ones(1, 1, 2, 2)).min()) == 1


def oscillating(period, n_times=120, size=(4, 6)):
    torch.manual_seed(0)
    angle = 2 * torch.pi * torch.arange(n_times) / period
    return torch.sin(angle)[:, None, None, None] * torch.randn(1, 1, *size) + 0.01 * torch.randn(n_times, 1, *size)


def made(runs):
    linear = LinearForecast((1, 4, 6), 2, 2, n_patterns=3)
    fit_linear_forecast(linear, runs)
    return linear


def test_fitted_again_to_what_it_was_fitted_to_it_stays():
    runs = [oscillating(9)]
    again = made(runs)
    refit_linear_forecast(again, runs)
    for name, value in made(runs).state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, rtol=1e-4, atol=1e-5)


def test_fitted_again_it_has_new_weights_in_its_old_units():
    slow, fast = oscillating(20), 3.0 * oscillating(5)
    linear, before = made([slow]), made([slow])
    refit_linear_forecast(linear, [fast])
    for name in ("scale", "change", "step", "limit", "cell_std", "cell_step"):
        assert torch.equal(getattr(linear, name), getattr(before, name))
    features, following = linear.pair(fast)

    def error(forecast):
        return float((forecast.unbounded(features) - following).square().mean())

    assert error(linear) < 0.05 * error(before)
