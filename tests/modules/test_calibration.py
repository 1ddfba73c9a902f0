"""Which of the held-out forecasts have members."""

import pytest
import torch

from gridcast.modules.calibration import some_forecasts

LEADS = 20


def truth_of(known):
    """Return the truth of forecasts of which so many leads are known."""
    truth = torch.full((len(known), LEADS, 1, 2, 2), torch.nan)
    for row, n in zip(truth, known, strict=True):
        row[:n] = 0.0
    return truth


@pytest.mark.parametrize(
    ("known", "n_far"),
    [
        ([20, 15, 10, 5, 1] * 6, 4),  # six simulations: half reach the last lead
        ([20] * 29 + [15, 10, 1], 7),  # one long series: nearly all do
        ([20] + [10] * 9, 1),
        ([20] * 3, 3),
        ([5, 3, 1], 1),  # none reaches the horizon: the longest
    ],
)
def test_half_of_them_reach_the_last_lead_that_is_known(known, n_far):
    chosen = some_forecasts(truth_of(known), 8)
    assert chosen == sorted(set(chosen))
    assert len(chosen) <= 8
    assert sum(known[i] == max(known) for i in chosen) == n_far


def test_they_are_evenly_spaced():
    assert some_forecasts(truth_of([20] * 29), 8) == [0, 4, 8, 12, 16, 20, 24, 28]


def test_without_any_observation_some_are_chosen_all_the_same():
    assert len(some_forecasts(truth_of([0] * 10), 8)) == 8
