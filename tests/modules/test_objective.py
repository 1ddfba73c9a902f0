"""When a term of the loss counts, and by how much."""

import pytest

from gridcast.modules.objective import Objective


def test_the_transition_is_taught_one_step_then_several():
    taught = Objective(taught=(0.5, 0.9), taught_steps=4)
    assert [taught.ahead_at(p) for p in (0.0, 0.49, 0.5, 0.89)] == [1, 1, 4, 4]


def test_annealing_grows_linearly_and_stays_at_one():
    warm = Objective(annealing=(0.2, 0.5))
    assert [warm.annealing_at(s) for s in (0, 0.25, 0.5, 1)] == pytest.approx([0.2, 0.6, 1, 1])
    assert Objective().annealing_at(0) == 1
