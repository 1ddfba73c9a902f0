"""Recalibrated quantiles: nominal coverage of what has a wrong spread, the identity of what has the right one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtri

from gridcast.data.quantiles import check_levels
from gridcast.data.recalibration import LEVELS, PRIOR_CASES, Recalibration, normal_scores, read_quantiles

OPEN, FLOOR = np.zeros((2, 1), dtype=bool), np.array([[True], [False]])
MANY = np.full(1, 1e9)


def drawn(n, factor=1.0, n_members=40, seed=0, rain=False):
    """Return truths (n,) around means that vary, and ensembles (member, n) with `factor` times their spread."""
    rng = np.random.default_rng(seed)
    mean = rng.normal(size=n)
    truth, members = mean + rng.standard_t(4, size=n), mean + factor * rng.normal(size=(n_members, n))
    return (np.maximum(truth, 0), np.maximum(members, 0)) if rain else (truth, members)


def fields(members):
    """Return ensembles (member, n) as (member, sample, lead, channel, y, x)."""
    return members[:, None, None, None, None]


def coverage(truth, members, recalibration, share, closed=OPEN):
    levels = np.array([0.5 - share / 2, 0.5 + share / 2])
    low, high = read_quantiles(fields(members), recalibration.read(levels, np.array([1])), closed)
    return float(((truth >= low.ravel()) & (truth <= high.ravel())).mean())


@pytest.mark.parametrize("share", [0.5, 0.9])
@pytest.mark.parametrize("n_members", [12, 40])
@pytest.mark.parametrize("factor", [0.3, 1.0, 3.0])
def test_intervals_of_a_wrong_spread_hold_once_their_ranks_are_known(factor, n_members, share):
    truth, members = drawn(8_000, factor, n_members)
    found = normal_scores(members, truth, OPEN[:, 0])
    learned = Recalibration.learn(found[:, None, None, None], MANY)
    later, made = drawn(8_000, factor, n_members, seed=1)
    assert coverage(later, made, learned, share) == pytest.approx(share, abs=0.02)
    if factor != 1:
        assert abs(coverage(later, made, Recalibration.identity(1), share) - share) > 0.05


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_intervals_next_to_a_natural_bound_hold_and_never_cross_it(share):
    truth, members = drawn(8_000, 2.0, rain=True)
    learned = Recalibration.learn(normal_scores(members, truth, FLOOR[:, 0])[:, None, None, None], MANY)
    later, made = drawn(8_000, 2.0, seed=1, rain=True)
    # a closed interval from 0 holds more than its share where it is dry, so its upper end is looked at
    (high,) = read_quantiles(fields(made), learned.read(np.array([0.5 + share / 2]), np.array([1])), FLOOR)
    wet = high.ravel() > 0
    below = float((later <= high.ravel())[wet].mean())
    assert below == pytest.approx(0.5 + share / 2, abs=0.03)
    levels = np.array([1e-4, 0.01, 0.5, 0.9999])
    assert read_quantiles(fields(made), learned.read(levels, np.array([1])), FLOOR).min() == 0


@pytest.mark.parametrize("n_members", [5, 9, 19])
def test_few_members_of_the_right_spread_are_no_reason_for_narrow_intervals(n_members):
    rng = np.random.default_rng(0)
    truth, members = rng.normal(size=8_000), rng.normal(size=(n_members, 8_000))
    for share in (0.5, 0.9):
        assert coverage(truth, members, Recalibration.identity(1), share) > share - 0.03
    # two of 19 members are the 5 and 95 % quantiles
    if n_members == 19:
        rows = read_quantiles(fields(members), ndtri([0.05, 0.95])[:, None, None], OPEN)
        np.testing.assert_allclose(rows[0].ravel(), members.min(0), rtol=1e-5)


def test_scores_undo_the_reading_of_quantiles():
    _, members = drawn(50)
    for score in (-3.0, -1.0, 0.2, 2.5):
        value = read_quantiles(fields(members), np.full((1, 1, 1), score), OPEN).ravel()
        np.testing.assert_allclose(normal_scores(members, value, OPEN[:, 0]), score, atol=1e-6)


def test_ranks_among_equal_members_are_spread_over_their_levels():
    members, truth = np.zeros((9, 5000)), np.zeros(5000)
    members[6:] = [[1.0], [2.0], [3.0]]
    scores = normal_scores(members, truth, FLOOR[:, 0])
    np.testing.assert_allclose(np.quantile(scores, [0.25, 0.5, 0.75]), ndtri([0.15, 0.3, 0.45]), atol=0.01)
    assert np.isnan(normal_scores(members, np.full(5000, np.nan), FLOOR[:, 0])).all()


def test_few_cases_hardly_move_the_levels_and_a_lead_without_any_has_those_before_it():
    found = np.full((50, 3, 2, 10), np.nan)
    found[:, 0] = 2 * np.random.default_rng(0).normal(size=(50, 2, 10))
    found[:, 1] = found[:, 0]
    nominal = ndtri(LEVELS)
    learned = Recalibration.learn(found, np.array([0.0, PRIOR_CASES, 0.0])).scores
    np.testing.assert_array_equal(learned[0], np.broadcast_to(nominal, (2, len(LEVELS))))
    # as many cases as those that found the levels right: half of what they ask for
    raw = np.quantile(found[:, 1, 0], LEVELS)
    np.testing.assert_allclose(learned[1, 0], (raw + nominal) / 2)
    np.testing.assert_array_equal(learned[2], learned[1])


def test_later_leads_take_the_levels_of_the_last():
    made = Recalibration(np.stack([ndtri(LEVELS), 2 * ndtri(LEVELS)])[:, None])
    read = made.read(np.array([0.1, 0.999]), np.array([1, 2, 30]))[..., 0]
    wanted = ndtri([0.1, 0.999])
    np.testing.assert_allclose(read, np.outer(wanted, [1, 2, 2]), rtol=1e-6)


@given(
    st.lists(st.floats(-5, 5), min_size=1, max_size=30),
    st.integers(1, 12),
    st.floats(0, 20),
    st.lists(st.floats(0.0001, 0.9999), min_size=2, max_size=6),
)
def test_quantiles_never_cross(found, n_members, cases, levels):
    learned = Recalibration.learn(np.array(found)[:, None, None, None], np.array([cases]))
    members = np.random.default_rng(0).normal(size=(n_members, 1, 1, 1, 2, 2))
    for closed in (OPEN, FLOOR):
        rows = read_quantiles(members, learned.read(np.sort(levels), np.array([1])), closed)
        assert (np.diff(rows, axis=0) >= -1e-9).all()
        assert not closed[0] or rows.min() >= members.min()


def test_an_ensemble_that_is_not_defined_has_no_quantiles():
    members = np.full((4, 1, 1, 1, 1, 2), np.nan)
    members[..., 0] = 1.0
    rows = read_quantiles(members, np.full((1, 1, 1), -3.0), OPEN)
    np.testing.assert_array_equal(rows.ravel(), [1.0, np.nan])


@pytest.mark.parametrize("q", [0, 1, 1.5, -0.1, (0.5, 1.0), (), "half", [[0.5]], np.nan, None])
def test_what_is_no_probability_is_named(q):
    with pytest.raises(ValueError, match=r"q=.* must be probabilities between 0 and 1, without both; .*samples"):
        check_levels(q)


@pytest.mark.parametrize("unit", [1e-14, 1e14])
def test_scores_do_not_depend_on_units(unit):
    rng = np.random.default_rng(0)
    members, truth, closed = rng.normal(size=(20, 200)), rng.standard_t(3, size=200), OPEN
    np.testing.assert_allclose(
        normal_scores(unit * members, unit * truth, closed), normal_scores(members, truth, closed), atol=1e-6
    )
    same = normal_scores(np.full((5, 3), 2.0), np.array([1.0, 2.0, 3.0]), OPEN)  # members without any spread
    assert same[0] < -2 < abs(same[1]) < 2 < same[2]
