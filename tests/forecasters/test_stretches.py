"""Stretches around what is unknown."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gridcast.forecasters.stretches import AFTER, LONGEST, MOST, stretches


@given(arrays(bool, st.integers(1, 300)), st.integers(1, 8), st.booleans())
def test_every_unknown_step_is_in_one_stretch(unknown, n_before, blank):
    found = stretches(unknown, unknown & blank, n_before)
    inside = np.zeros(len(unknown), int)
    for stretch in found:
        inside[stretch.first : stretch.last] += 1
        assert stretch.start == max(0, stretch.first - n_before)
        assert stretch.stop == min(len(unknown), stretch.last + AFTER)
        assert stretch.last - stretch.first <= (MOST if blank else LONGEST)
    assert inside.max(initial=0) <= 1
    assert (inside[unknown] == 1).all()


def test_a_gap_of_whole_fields_is_one_stretch():
    unknown = np.zeros(200, bool)
    unknown[20:90] = True
    assert [tuple(s) for s in stretches(unknown, unknown, 6)] == [(14, 20, 90, 102)]
    assert len(stretches(unknown, np.zeros(200, bool), 6)) == 3
