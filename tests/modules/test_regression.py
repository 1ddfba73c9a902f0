"""The bound that a fitted linear forecast keeps its coefficients in."""

import pytest
import torch

from gridcast.modules.linear import LinearForecast
from gridcast.modules.regression import fit_linear_forecast


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
