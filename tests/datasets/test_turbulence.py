"""The turbulence maker: what the equation says of decay, steady flow and energy, and that streams are independent."""

import numpy as np
import pytest
import xarray as xr

from gridcast.datasets import make_turbulence
from gridcast.datasets._turbulence import _flow

SIZE = (32, 32)


@pytest.fixture(scope="module")
def vorticity():
    return make_turbulence(3, n_times=4, shape=SIZE, random_state=0)


def test_shape_labels_and_mean(vorticity):
    assert vorticity.dims == ("sample", "time", "y", "x")
    assert vorticity.dtype == np.float32
    np.testing.assert_array_equal(vorticity.time, [1, 2, 3, 4])
    np.testing.assert_allclose(vorticity.x, np.arange(32) / 32)
    # flow on a torus has no mean vorticity
    np.testing.assert_allclose(vorticity.mean(("y", "x")), 0, atol=1e-5)


def test_the_same_integer_gives_the_same_flow_and_fewer_simulations_are_the_first(vorticity):
    xr.testing.assert_identical(make_turbulence(3, n_times=4, shape=SIZE, random_state=0), vorticity)
    xr.testing.assert_identical(make_turbulence(1, n_times=2, shape=SIZE, random_state=0), vorticity[:1, :2])
    assert not np.allclose(make_turbulence(1, n_times=1, shape=SIZE, random_state=1), vorticity[0, 0])
    assert not np.allclose(vorticity[0], vorticity[1])


def test_a_wave_of_the_force_decays_and_is_driven_as_the_equation_says():
    # vorticity that depends on x + y alone is not advected by its own flow: w' = f - nu k^2 w, exactly
    viscosity, k2 = 1e-2, 8 * np.pi**2
    driven = np.zeros((1, *SIZE))
    flow = _flow(driven, viscosity)
    y, x = np.meshgrid(np.arange(32) / 32, np.arange(32) / 32, indexing="ij")
    force = 0.1 * (np.sin(2 * np.pi * (x + y)) + np.cos(2 * np.pi * (x + y)))
    for time in (1, 2):
        expected = force * (1 - np.exp(-viscosity * k2 * time)) / (viscosity * k2)
        np.testing.assert_allclose(next(flow)[0], expected, atol=2e-3 * np.abs(expected).max())


def test_a_finer_grid_shows_the_same_flow():
    # the same large-scale start on two grids: resolved flow does not depend on the grid
    noise = np.random.default_rng(0).standard_normal((1, 16, 16))
    spectrum = np.fft.fft2(noise)
    fine = np.zeros((1, 48, 48), complex)
    keep = np.r_[0:4, -3:0]
    fine[:, keep[:, None], keep] = spectrum[:, keep[:, None], keep]
    coarse = np.zeros((1, 32, 32), complex)
    coarse[:, keep[:, None], keep] = spectrum[:, keep[:, None], keep]
    # white noise has a variance of one on any grid
    fields = [next(_flow(np.fft.ifft2(s).real * n / 16, 1e-3)) for s, n in ((fine, 48), (coarse, 32))]
    np.testing.assert_allclose(fields[0][0, ::3, ::3], fields[1][0, ::2, ::2], atol=0.01 * np.std(fields[1]))


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"n_times": 0}, "n_times"),
        ({"n_simulations": 0}, "n_simulations"),
        ({"viscosity": 0.0}, "viscosity"),
        ({"shape": (4, 64)}, r"shape\[0\]"),
    ],
)
def test_wrong_arguments_are_named(options, error):
    with pytest.raises(ValueError, match=error):
        make_turbulence(**options)
