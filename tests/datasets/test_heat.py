import pickle

import numpy as np
import pytest

from gridcast.datasets import make_heat


def persistence_mse(heat, n_targets=20):
    """One-step MSE of persistence on data scaled by (0, 1000) -> (-1, 1)."""
    values = heat.values[:, -n_targets - 1 :]
    return np.mean((np.diff(values, axis=1) / 500) ** 2, dtype=np.float64)


@pytest.fixture(scope="module")
def states():
    """States of large plates without emission noise."""
    return make_heat(4, 10, 4, emission_sd=0, random_state=0)


def test_labels():
    heat = make_heat(2, 3, 5, shape=(6, 8), random_state=0)
    assert heat.dims == ("sample", "time", "y", "x")
    assert heat.shape == (6, 5, 6, 8)
    assert heat.dtype == np.float32
    assert heat.name == "temperature"
    assert heat.attrs["units"] == "K"
    assert heat.attrs["long_name"]
    assert heat.time.attrs["units"] == "s"
    np.testing.assert_allclose(heat.time, 0.001875 * np.arange(5))
    np.testing.assert_array_equal(heat.sample, np.arange(6))
    np.testing.assert_allclose(heat.x, 0.1 * np.arange(8) + 0.05)
    np.testing.assert_allclose(heat.y, 0.1 * np.arange(6) + 0.05)


# The paper's figures. The MSE of single simulations has a standard deviation of 8 % of the mean (measured on
# 50), so three standard errors of eight simulations are 8.5 %.
@pytest.mark.parametrize(("emission_sd", "expected"), [(1, 1.8876e-4), (10, 8.4692e-4)])
def test_persistence_has_the_published_error(emission_sd, expected):
    heat = make_heat(8, 10, emission_sd=emission_sd, random_state=0)
    assert persistence_mse(heat) == pytest.approx(expected, rel=0.085)


def test_three_steps_are_three_means_of_the_neighbours_plus_process_noise(states):
    # By hand, the variance is 9 (1 + 4 / 4**2 + (4**2 + 4 * 2**2 + 4) / 16**2): each noise averaged on.
    before, after = states.values[:, 0], states.values[:, 1]
    mean = before
    for _ in range(3):
        mean = (np.roll(mean, 1, 1) + np.roll(mean, -1, 1) + np.roll(mean, 1, 2) + np.roll(mean, -1, 2)) / 4
    hot = before > 100
    hot[:, :5] = hot[:, -5:] = hot[:, :, :5] = hot[:, :, -5:] = False
    noise = (after - mean)[hot]
    assert noise.size > 10_000
    assert noise.mean() == pytest.approx(0, abs=0.1)
    assert noise.var() == pytest.approx(9 * (1 + 4 / 16 + 36 / 256), rel=0.05)


@pytest.mark.parametrize("emission_sd", [1, 10])
def test_emission_noise_is_added_to_the_same_states(states, emission_sd):
    observed = make_heat(4, 10, 4, emission_sd=emission_sd, random_state=0)
    noise = (observed - states).values[states.values > 100]
    assert noise.mean() == pytest.approx(0, abs=0.02 * emission_sd)
    assert noise.std() == pytest.approx(emission_sd, rel=0.02)


def test_border_is_cold_and_values_are_clipped():
    heat = make_heat(3, 20, 10, emission_sd=200, shape=(12, 9), random_state=0)
    border = np.ones((12, 9), dtype=bool)
    border[1:-1, 1:-1] = False
    assert (heat.values[..., border] == 0).all()
    assert (heat.values[..., ~border] > 0).any()
    assert heat.min() == 0
    assert heat.max() <= 1000


@pytest.fixture(scope="module")
def whole_runs():
    """Every state of eight simulations on plates of 2 m, (simulation, frame, y, x) in random order."""
    heat = make_heat(8, 2002, 1, emission_sd=0, shape=(20, 20), random_state=1)
    return heat.values.reshape(8, 2002, 20, 20)


@pytest.fixture(scope="module")
def discs(whole_runs):
    """The first state of each simulation, which no noise has touched: of two temperatures, warm and 0 K."""
    return np.concatenate([run[[len(np.unique(state)) == 2 for state in run]] for run in whole_runs])


def test_every_step_can_start_a_window_and_none_does_twice(whole_runs):
    for run in whole_runs:
        assert len(np.unique(run.reshape(2002, -1), axis=0)) == 2002


def test_each_simulation_begins_with_another_disc(discs):
    assert len(discs) == 8
    assert len(np.unique(discs > 0, axis=0)) == 8
    temperatures = discs.max(axis=(1, 2))
    assert len(np.unique(temperatures)) == 8
    assert temperatures.min() >= 500
    assert temperatures.max() <= 700


def test_discs_shrink_with_the_plate(discs):
    # Radii of 0.1 to 1 m on plates of 4 m2.
    areas = 0.01 * (discs > 0).sum(axis=(1, 2))
    assert areas.max() <= np.pi
    assert np.median(areas) < 1.5


def test_states_stay_below_the_first_temperature(whole_runs, discs):
    # The scheme averages, so that nothing but noise, sd 3.5 K over many steps, exceeds the disc.
    assert (whole_runs.max(axis=(1, 2, 3)) < discs.max(axis=(1, 2)) + 6 * 3.5).all()


def test_windows_that_overlap_share_their_observations():
    heat = make_heat(1, 1999, 2, shape=(20, 20), random_state=0).values
    firsts = {first.tobytes() for first in heat[:, 0]}
    shared = [last.tobytes() in firsts for last in heat[:, 1]]
    assert sum(shared) == 1999 - 3


def test_random_state_decides_everything():
    kwargs = {"n_simulations": 2, "n_windows": 3, "window": 2, "shape": (8, 8)}
    first = make_heat(**kwargs, random_state=1)
    assert first.identical(make_heat(**kwargs, random_state=1))
    assert not first.equals(make_heat(**kwargs, random_state=2))
    assert not make_heat(**kwargs).equals(make_heat(**kwargs))
    longer = make_heat(**{**kwargs, "n_simulations": 4}, random_state=1)
    assert longer[:6].equals(first)


@pytest.mark.parametrize("kind", [np.random.default_rng, np.random.RandomState])
def test_generators_are_accepted_and_advanced(kind):
    kwargs = {"n_simulations": 1, "n_windows": 2, "window": 2, "shape": (8, 8)}
    generator = kind(0)
    first, second = (make_heat(**kwargs, random_state=generator) for _ in range(2))
    assert first.equals(make_heat(**kwargs, random_state=kind(0)))
    assert not first.equals(second)


@pytest.mark.parametrize("random_state", [None, 0, np.random.default_rng(0), np.random.RandomState(0)])
def test_global_random_state_is_untouched(random_state):
    before = pickle.dumps(np.random.get_state())  # noqa: NPY002
    make_heat(1, 1, 2, shape=(5, 5), random_state=random_state)
    assert pickle.dumps(np.random.get_state()) == before  # noqa: NPY002


@pytest.mark.parametrize(
    ("kwargs", "error", "match"),
    [
        ({"n_simulations": 0}, ValueError, "n_simulations must be at least 1, got 0"),
        ({"n_windows": 1916}, ValueError, "n_windows=1916 exceeds the 1915 start points.*window=30.*fewer"),
        ({"window": 669}, ValueError, "window=669 spans 2004 steps.*at most 668"),
        ({"window": 2.0}, TypeError, "window must be an integer, got 2.0 of type float"),
        ({"n_windows": True}, TypeError, "n_windows must be an integer"),
        ({"emission_sd": -1}, ValueError, "emission_sd must be finite and at least 0, got -1"),
        ({"emission_sd": np.nan}, ValueError, "emission_sd must be finite and at least 0, got nan"),
        ({"shape": (2, 10)}, ValueError, r"shape\[0\] must be at least 3, got 2"),
        ({"shape": (10, 10, 10)}, ValueError, r"shape must have two entries.*got \(10, 10, 10\)"),
        ({"shape": 10}, ValueError, "shape must have two entries.*got 10"),
        ({"random_state": "1"}, TypeError, "random_state must be None, an integer.*got '1' of type str"),
        ({"random_state": -1}, ValueError, "random_state must not be negative, got -1"),
    ],
)
def test_bad_arguments(kwargs, error, match):
    with pytest.raises(error, match=match):
        make_heat(**kwargs)
