"""Weights of leads against least squares, and what they never do."""

import numpy as np
import pytest
import torch
from single import on_device

from gridcast.modules.blend import Blend, Products

SOURCES, HORIZON, N, CELLS = ("networks", "linear", "persistence"), 3, 400, (1, 2, 3)


def made(weights, noise=0.0):
    forecasts = torch.randn(len(SOURCES), N, HORIZON, *CELLS)
    truth = torch.einsum("snhcyx,s->nhcyx", forecasts, torch.tensor(weights)) + noise * torch.randn(N, HORIZON, *CELLS)
    return forecasts, truth


def fitted(forecasts, truth, cases=None):
    blend = Blend(SOURCES, "linear", HORIZON)
    blend.fit(forecasts, truth, torch.full((HORIZON,), float(len(truth))) if cases is None else cases)
    return blend


@pytest.mark.parametrize("weights", [(1.0, 0.0, 0.0), (0.3, 0.6, 0.1), (0.0, 0.0, 0.0)])
def test_weights_are_those_of_least_squares_where_cases_are_many(weights):
    blend = fitted(*made(weights, noise=0.1))
    torch.testing.assert_close(blend.weights, torch.tensor(weights).expand(HORIZON, 3), atol=0.04, rtol=0)


def test_until_it_is_fitted_a_blend_is_its_first_source():
    forecasts, _ = made((0.0, 1.0, 0.0))
    torch.testing.assert_close(Blend(SOURCES, "linear", HORIZON).mean(forecasts), forecasts[0])


def test_few_cases_hardly_move_the_weights_from_the_trusted_source_and_many_do():
    forecasts, truth = made((1.0, 0.0, 0.0))
    few, many = fitted(forecasts[:, :1], truth[:1]).weights, fitted(forecasts, truth).weights
    # one case of the first source beside those of the prior
    assert few[:, 0].mean() < 0.6
    assert few[:, 1].mean() > 0.3
    assert many[:, 1].max() < 0.1


def test_who_is_right_is_told_by_fewer_cases_than_whether_all_are_too_large():
    """Two sources that agree but for a little, of which the first has it right, and both are twice too large."""
    common, apart, _ = torch.randn(3, N, HORIZON, *CELLS)
    forecasts = torch.stack([common + apart, common - apart, torch.zeros_like(common)])
    weights = fitted(forecasts, 0.5 * (common + apart), torch.tensor([400.0, 4.0, 1.0])).weights
    total = weights.sum(1)
    assert total[0] == pytest.approx(0.5, abs=0.05)
    assert total[0] < total[1] < total[2]
    assert total[2] > 0.8
    # the first has most of it all the same
    assert (weights[:2, 0] > 2 * weights[:2, 1]).all()


def test_cases_that_overlap_count_as_few():
    forecasts, truth = made((1.0, 0.0, 0.0))
    weights = fitted(forecasts, truth, torch.tensor([400.0, 20.0, 1.0])).weights
    assert weights[0, 0] > 0.98 > weights[1, 0] > 0.85 > 0.5 > weights[2, 0]
    assert weights[0, 1] < weights[1, 1] < weights[2, 1]


def test_what_is_known_of_the_other_sources_counts_by_its_cases():
    # the held-out case says persistence, ten times as many before it said the linear forecast
    forecasts, truth = made((0.0, 0.0, 1.0))
    before, came = made((0.0, 1.0, 0.0))
    earlier = Products.of(before[1:], came, torch.full((HORIZON,), 10.0))
    blend = Blend(SOURCES, "linear", HORIZON)
    blend.fit(forecasts, truth, torch.ones(HORIZON), earlier)
    beside = blend.weights[:, 1:] / blend.weights[:, 1:].sum(1, keepdim=True)
    torch.testing.assert_close(beside, torch.tensor([18 / 19, 1 / 19]).expand(HORIZON, 2), atol=0.06, rtol=0)


def test_a_lead_of_which_only_earlier_forecasts_tell_has_their_weights():
    forecasts, truth = made((0.5, 0.5, 0.0))
    truth[:, 1:] = torch.nan
    before, came = made((0.0, 0.0, 0.8))
    earlier = Products.of(before[1:], came, torch.tensor([0.0, 400.0, 0.0]))
    blend = Blend(SOURCES, "linear", HORIZON)
    blend.fit(forecasts, truth, torch.tensor([400.0, 0.0, 0.0]), earlier)
    torch.testing.assert_close(blend.weights[0], torch.tensor([0.5, 0.5, 0.0]), atol=0.05, rtol=0)
    # the networks keep their share, what is left goes to what was better
    assert blend.weights[1, 2] > 0.7
    assert blend.weights[1, 1] < 0.05
    assert torch.equal(blend.weights[2], blend.weights[1])
    assert blend.errors[1:].isinf().all()


def test_products_of_two_samples_are_those_of_both_together():
    forecasts, truth = made((0.3, 0.6, 0.1), noise=0.3)
    cases = torch.full((HORIZON,), float(N))
    parts = [
        Products.of(forecasts[:, part], truth[part], cases * share)
        for part, share in ((slice(0, 100), 0.25), (slice(100, N), 0.75))
    ]
    whole = Products.of(forecasts, truth, cases)
    for name in ("gram", "cross", "square", "cases"):
        torch.testing.assert_close(getattr(parts[0].plus(parts[1]), name), getattr(whole, name))


def test_after_a_reset_the_first_source_has_the_weight_again():
    blend = fitted(*made((0.0, 1.0, 0.0)))
    blend.reset()
    assert torch.equal(blend.weights, torch.tensor([1.0, 0.0, 0.0]).expand(HORIZON, 3))


def test_the_gain_is_what_the_first_source_takes_off_the_error():
    forecasts, _ = made((0.0, 0.0, 0.0))
    # half of the truth is what the first source says, the other half what the second says
    truth = forecasts[0] + forecasts[1]
    assert fitted(forecasts, truth + 0.01 * torch.randn_like(truth)).gain() > 0.99
    assert fitted(forecasts, forecasts[1] + forecasts[2]).gain() == pytest.approx(0.0, abs=0.02)
    assert np.isnan(Blend(SOURCES, "linear", HORIZON).gain())  # nothing was held out


def test_a_device_without_double_precision_tells_the_gain_and_the_table():
    blend = fitted(*made((0.3, 0.6, 0.1), noise=0.5))
    gain, table = blend.gain(), blend.table()
    blend.errors, blend.weights = on_device(blend.errors), on_device(blend.weights)
    assert blend.gain() == gain
    assert blend.table().equals(table)


def test_errors_are_those_of_each_source_of_the_climatology_and_of_the_sums():
    forecasts, truth = made((0.3, 0.6, 0.1), noise=0.5)
    blend = fitted(forecasts, truth)
    expected = [*((f - truth).square().mean((0, 2, 3, 4)) for f in forecasts), truth.square().mean((0, 2, 3, 4))]
    torch.testing.assert_close(blend.errors[:, :4], torch.stack(expected, dim=1))
    torch.testing.assert_close(blend.errors[:, 5], (blend.mean(forecasts) - truth).square().mean((0, 2, 3, 4)))
    assert (blend.errors[:, 5] < blend.errors[:, 4]).all()


@pytest.mark.parametrize("weights", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0)])
def test_sources_that_say_the_same_or_nothing_are_no_harm(weights):
    forecasts, truth = made(weights)
    forecasts[2] = forecasts[1]
    blended = fitted(forecasts, truth).mean(forecasts)
    torch.testing.assert_close(blended, truth, atol=0.3, rtol=0)
    nothing = fitted(torch.zeros_like(forecasts), torch.zeros_like(truth))
    assert nothing.weights.isfinite().all()
    assert nothing.gain() == 0.0


def test_no_weight_is_negative():
    assert fitted(*made((0.5, -0.7, 0.2))).weights.min() >= 0


def test_a_source_that_says_next_to_nothing_is_not_blown_up():
    forecasts, truth = made((0.0, 1.0, 0.0))
    assert fitted(torch.cat([forecasts[:1], 1e-3 * forecasts[1:]]), truth).weights.max() == pytest.approx(1.5)


def test_a_lead_that_no_case_reached_takes_the_weights_before_it():
    forecasts, truth = made((0.0, 1.0, 0.0))
    truth[:, 1:] = torch.nan
    weights = fitted(forecasts, truth).weights
    torch.testing.assert_close(weights[1:], weights[:1].expand(2, 3))
    assert weights[0, 1] > 0.9


def test_without_the_first_source_a_lead_that_no_case_reached_is_no_climatology():
    forecasts, truth = made((0.0, 1.0, 0.0), noise=0.3)
    earlier = Products.of(forecasts[1:], truth, torch.full((HORIZON,), 20.0))
    truth[:, 1:] = torch.nan
    blend = Blend(SOURCES, "linear", HORIZON)
    blend.fit(forecasts, truth, torch.tensor([20.0, 0.0, 0.0]), earlier, with_first=False)
    assert not blend.weights[:, 0].any()
    assert (blend.weights[:, 1] > 0.5).all()


def test_what_was_not_observed_does_not_matter():
    forecasts, truth = made((0.3, 0.6, 0.1))
    truth[::3, :, :, 0] = torch.nan
    wrong = forecasts.clone()
    wrong[:, ::3, :, :, 0] = 100.0
    torch.testing.assert_close(fitted(wrong, truth).weights, fitted(forecasts, truth).weights)


def test_later_leads_take_the_weights_of_the_last():
    blend = fitted(*made((0.3, 0.6, 0.1)))
    longer = torch.randn(3, 2, HORIZON + 2, *CELLS)
    later = torch.einsum("snhcyx,s->nhcyx", longer[:, :, HORIZON:], blend.weights[-1])
    torch.testing.assert_close(blend.mean(longer)[:, HORIZON:], later)
