"""The linear forecast that the CNMM starts from, against what is known exactly."""

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve

from gridcast.modules.linear import LinearForecast, cosines, fit_linear_forecast
from gridcast.modules.noise import CorrelatedNoise, fit_correlated_noise, sample_size
from gridcast.modules.residual import LatentLayout, LocalMaps


def diffusing(n=60, n_times=4, size=(12, 16), noise=0.05, seed=0):
    """Stretches of a field that a 3 x 3 stencil smooths, with white process noise; around the globe."""
    rng = np.random.default_rng(seed)
    stencil = np.array([[0, 1, 0], [1, 2, 1], [0, 1, 0]]) / 6
    x = rng.normal(size=(n, *size))
    path = []
    for _ in range(n_times + 3):
        x = np.stack([convolve(f, stencil, mode="wrap") for f in x]) + noise * rng.normal(size=x.shape)
        path.append(x)
    return torch.tensor(np.stack(path[3:], axis=1)[:, :, None], dtype=torch.float32)


def fitted(x, downsampling, n_lags, local=None, periodic=False):
    """Return a linear forecast of `x` (stretch, time, channel, y, x)."""
    n_local = 0 if local is None else local.shape[1]
    linear = LinearForecast(x.shape[2], downsampling, n_lags, n_local=n_local, periodic=periodic)
    fit_linear_forecast(linear, x, local)
    return linear


@pytest.mark.parametrize("n", [1, 2, 4])
def test_cosines_are_orthonormal_and_the_first_is_constant(n):
    torch.testing.assert_close(cosines(n) @ cosines(n).T, torch.eye(n * n), atol=1e-6, rtol=0)
    torch.testing.assert_close(cosines(n)[0], torch.full((n * n,), 1 / n))


@pytest.mark.parametrize(("downsampling", "n_channels"), [(1, 2), (2, 1), (4, 2)])
def test_unfold_undoes_fold(downsampling, n_channels):
    linear = LinearForecast(n_channels, downsampling, 2)
    linear.scale.uniform_(0.1, 2.0)
    x = torch.randn(3, n_channels, 8, 12)
    assert linear.fold(x).shape == (3, n_channels * downsampling**2, 8 // downsampling, 12 // downsampling)
    torch.testing.assert_close(linear.unfold(linear.fold(x)), x, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("downsampling", "n_lags"), [(1, 1), (2, 2), (4, 1), (4, 3)])
def test_error_of_a_local_linear_process_is_its_noise(downsampling, n_lags):
    x = diffusing(n_times=n_lags + 1, n=200)
    linear = fitted(x, downsampling, n_lags, periodic=True)
    new = diffusing(n_times=n_lags + 1, seed=1)
    forecast = linear.unfold(linear(linear.features(linear.lags(new)[:, -2])))
    inside = (slice(None), slice(None), slice(4, -4))  # rows are not periodic
    rms = (forecast - new[:, -1]).square().mean((1, 3))[:, 4:-4].mean().sqrt()
    assert rms == pytest.approx(0.05, rel=0.1)
    persistence = (new[:, -2] - new[:, -1])[inside].square().mean().sqrt()
    assert persistence > 1.2 * rms
    assert float(linear.cell_step) == pytest.approx(0.05, rel=0.15)


def test_a_random_walk_is_forecast_by_persistence():
    steps = torch.randn(40, 4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    x = steps.cumsum(1)
    linear = fitted(x, 4, 2)
    forecast = linear.unfold(linear(linear.features(linear.lags(x)[:, -2])))
    assert (forecast - x[:, -2]).square().mean().sqrt() < 0.15
    assert float(linear.cell_step) == pytest.approx(1.0, rel=0.1)


def test_errors_are_those_of_the_forecast_in_units_of_their_size():
    x = diffusing()
    linear = fitted(x, 4, 2, periodic=True)
    errors = linear.errors(x, linear.lags(x))
    assert not errors[:, 0].any()
    assert errors[:, 2:].square().mean().sqrt() == pytest.approx(1.0, rel=0.2)


def test_a_forecast_around_the_globe_turns_with_its_input():
    x = diffusing()
    linear = fitted(x, 4, 2, periodic=True)
    lagged = linear.lags(x)[:, -1]
    turned = linear.lags(x.roll(8, dims=-1))[:, -1]
    forecast = [linear(linear.features(f)) for f in (lagged, turned)]
    torch.testing.assert_close(forecast[0].roll(2, dims=-1), forecast[1], atol=1e-5, rtol=1e-5)


def test_a_long_run_stays_bounded_even_where_the_weights_would_explode():
    linear = fitted(diffusing(), 4, 1)
    linear.conv.weight.mul_(0).add_(3.0)
    z = torch.ones(1, linear.n_folded, 3, 4)
    for _ in range(50):
        z = linear(linear.features(z))
    assert (z.abs() <= linear.limit).all()


def test_weights_of_the_own_past_vary_with_the_place():
    """Every cell is an autoregression of order 1 whose weight is a line along the map."""
    torch.manual_seed(0)
    place = torch.tensor([-1.0, -0.5, 0.5, 1.0]).mul(1.26).expand(1, 1, 3, 4)
    weight = 0.5 + 0.3 * place.repeat_interleave(2, -1).repeat_interleave(2, -2)[0, 0]
    path = [torch.randn(2000, 1, 6, 8)]
    for _ in range(3):
        path.append(weight * path[-1] + 0.2 * torch.randn(2000, 1, 6, 8))
    x = torch.stack(path, dim=1)
    linear = fitted(x, 2, 2, local=place)
    error = linear.unfold(linear(linear.features(linear.lags(x)[:, -2]), place)) - x[:, -1]
    assert error.square().mean().sqrt() == pytest.approx(float(linear.cell_step), rel=1e-3)
    without = fitted(x, 2, 2)
    assert 0.2 < float(linear.cell_step) < 0.97 * float(without.cell_step)
    assert (linear.own[1, 0] > 0).all()  # the map's slope


def test_maps_have_mean_zero_and_variance_one_over_the_grid_and_follow_a_patch():
    static = torch.randn(1, 3, 8, 12) * torch.tensor([1.0, 5.0, 1.0])[:, None, None] + 3
    maps = LocalMaps(2, 4)
    maps.fit(static)
    whole = maps(static)
    torch.testing.assert_close(whole.mean((2, 3)), torch.zeros(1, 2), atol=1e-5, rtol=0)
    torch.testing.assert_close(whole.var((2, 3), correction=0), torch.ones(1, 2))
    torch.testing.assert_close(maps(static[..., 4:8, 4:12]), whole[..., 1:2, 1:3])


@pytest.mark.parametrize("n_lags", [1, 2, 4])
@pytest.mark.parametrize("n_free", [0, 3])
@pytest.mark.parametrize("n_local", [0, 2])
def test_states_of_a_sequence_are_those_that_pushing_builds(n_lags, n_free, n_local):
    linear = LinearForecast(1, 2, n_lags, n_local=n_local)
    for weights in (linear.own, linear.conv.weight):
        weights.normal_(std=0.1)
    layout = LatentLayout(linear, n_free)
    start = layout.start(torch.randn(2, 5, 1, 4, 6), torch.randn(1, 5, 2, 3))
    assert start.shape == (2, layout.n_state, 2, 3)
    z = torch.randn(2, 6, layout.n_latent, 2, 3)
    states = layout.states(start, z)
    assert torch.equal(states[:, 0], start)
    state = start
    for t in range(6):
        state = layout.push(state, z[:, t])
        torch.testing.assert_close(states[:, t + 1], state)


@pytest.mark.parametrize(("truth", "low", "high"), [(0.0, 0.0, 0.25), (0.6, 0.45, 0.75), (1.0, 0.9, 1.1)])
def test_neighbours_have_the_weight_that_the_steps_before_ask_for(truth, low, high):
    torch.manual_seed(0)
    linear = fitted(diffusing(n=200), 4, 2, periodic=True)
    layout = LatentLayout(linear, 0)
    evidence = 0.0
    for seed in range(13):
        x = diffusing(n=1, seed=seed)  # other weather under the same rule
        z = torch.stack([linear.fold(f) for f in x.unbind(1)], dim=1)
        state = layout.states(layout.start(x), z)[:, -1]
        state[:, layout.n_fields :] = evidence  # nothing comes after it: there are no maps
        own, neighbours = linear.parts(layout.features(state))
        followed = layout.push(state, own + truth * neighbours + 0.3 * linear.step * torch.randn_like(own))
        evidence = followed[:, layout.n_fields :]
    own, neighbours = linear.parts(layout.features(state))
    forecast = layout.forecast(layout.features(state), state)
    weight = ((forecast - own) * neighbours).sum() / neighbours.square().sum()
    assert low <= weight <= high


def test_evidence_is_forgotten_and_an_unknown_past_leaves_the_fitted_weight():
    linear = fitted(diffusing(n=200), 4, 2, periodic=True)
    layout = LatentLayout(linear, 0)
    start = layout.start(diffusing(n=1, seed=2))
    features = layout.features(start)
    assert torch.equal(layout.forecast(features, start), linear(features))
    assert 0 <= float(linear.persistence().min()) <= float(linear.persistence().max()) <= 1
    full = start.clone()
    full[:, layout.n_fields :] = 100.0
    still = layout.push(full, torch.randn_like(linear.parts(features)[0]))  # the past of a start is made up
    assert float((still[:, layout.n_fields :] / full[:, layout.n_fields :]).min()) == pytest.approx(0.85, abs=1e-6)


def test_noise_has_unit_variance_and_the_correlations_of_the_errors():
    torch.manual_seed(0)
    common = torch.randn(200, 1, 1, 1) * torch.tensor([1.0, 2.0])[:, None, None] + 0.1 * torch.randn(200, 2, 3, 4)
    correlated = CorrelatedNoise(200, (2, 3, 4))
    correlated.fit(common)
    noise = correlated(torch.zeros(4000, 3, 3, 4))
    assert noise.var(0).mean() == pytest.approx(1.0, rel=0.1)
    correlation = np.corrcoef(noise[:, [0, 0, 1, 2], [0, 2, 1, 0], [0, 3, 1, 0]].T)
    assert (np.abs(correlation[0, 1:3] - 200 / 232) < 0.05).all()
    assert abs(correlation[0, 3]) < 0.1


def test_noise_of_a_fit_follows_the_errors_of_the_linear_forecast():
    linear = fitted(diffusing(), 4, 2, periodic=True)
    noise = CorrelatedNoise(sample_size(16 * 3 * 4, 60), (16, 3, 4))
    fit_correlated_noise(noise, linear, diffusing(n_times=3))
    assert noise.errors.shape == (60, 16, 3, 4)
    torch.testing.assert_close(noise.errors.square().mean(0), torch.ones(16, 3, 4))


def test_a_layout_takes_the_steps_of_the_forecast_that_it_fits():
    x = diffusing(n_times=3)
    layout = LatentLayout(LinearForecast(1, 4, 2, periodic=True), 1, CorrelatedNoise(10, (16, 3, 4)))
    layout.fit(x)
    linear = fitted(x, 4, 2, periodic=True)
    torch.testing.assert_close(layout.linear.own, linear.own)
    torch.testing.assert_close(layout.step, torch.cat([linear.step, torch.full((1, 1, 1), 0.3)]))
    torch.testing.assert_close(layout.carry, torch.cat([linear.persistence(), torch.zeros(1, 1, 1)]))
    assert (layout.correlated.errors != 0).any()
