"""The linear forecast, against what is known exactly."""

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve

from gridcast.modules.linear import LinearForecast, cosines
from gridcast.modules.regression import Moments, cross_validated, fit_linear_forecast, leading_patterns, measure_errors
from gridcast.modules.regression import moments as moments_of


def diffusing(n_times=200, size=(12, 16), noise=0.05, seed=0):
    """A field that a 3 x 3 stencil smooths, with white process noise; around the globe."""
    rng = np.random.default_rng(seed)
    stencil = np.array([[0, 1, 0], [1, 2, 1], [0, 1, 0]]) / 6
    x, path = rng.normal(size=size), []
    for _ in range(n_times + 3):
        x = convolve(x, stencil, mode="wrap") + noise * rng.normal(size=size)
        path.append(x)
    return torch.tensor(np.stack(path[3:])[:, None], dtype=torch.float32)


def fitted(runs, downsampling, n_lags, *, n_patterns=0, periodic=(False, False)):
    """Return a linear forecast of runs (time, channel, y, x)."""
    runs = runs if isinstance(runs, list) else [runs]
    linear = LinearForecast(runs[0].shape[1:], downsampling, n_lags, n_patterns=n_patterns, periodic=periodic)
    fit_linear_forecast(linear, runs)
    measure_errors(linear, runs)
    return linear


def errors_of(linear, run):
    """Return the errors of the forecasts of a run, in the units of its fields."""
    features, following = linear.pair(run)
    return linear.unfold(linear(features) - following)


def rms(x):
    return float(x.square().mean().sqrt())


@pytest.mark.parametrize("n", [1, 2, 4])
def test_cosines_are_orthonormal_and_the_first_is_constant(n):
    torch.testing.assert_close(cosines(n) @ cosines(n).T, torch.eye(n * n), atol=1e-6, rtol=0)
    torch.testing.assert_close(cosines(n)[0], torch.full((n * n,), 1 / n))


@pytest.mark.parametrize(("downsampling", "n_channels"), [(1, 2), (2, 1), (4, 2)])
def test_unfold_undoes_fold(downsampling, n_channels):
    linear = LinearForecast((n_channels, 8, 12), downsampling, 2)
    linear.scale.uniform_(0.1, 2.0)
    x = torch.randn(3, n_channels, 8, 12)
    assert linear.fold(x).shape == (3, n_channels * downsampling**2, 8 // downsampling, 12 // downsampling)
    torch.testing.assert_close(linear.unfold(linear.fold(x)), x, atol=1e-5, rtol=1e-5)


def test_a_pair_has_the_lags_of_each_field_and_the_field_after_it():
    linear = LinearForecast((1, 4, 8), 4, 3)
    linear.change.uniform_(0.5, 2.0)
    run = torch.randn(9, 1, 4, 8)
    features, following = linear.pair(run)
    torch.testing.assert_close(following, linear.fold(run)[3:])
    torch.testing.assert_close(features, linear.features(linear.lags(run[None])[0])[2:-1])


@pytest.mark.parametrize(("downsampling", "n_lags"), [(1, 1), (2, 2), (4, 1), (4, 3)])
@pytest.mark.parametrize("n_patterns", [0, 5])
def test_error_of_a_local_linear_process_is_its_noise(downsampling, n_lags, n_patterns):
    linear = fitted(diffusing(2000), downsampling, n_lags, n_patterns=n_patterns, periodic=(False, True))
    new = diffusing(seed=1)
    error = errors_of(linear, new)[:, :, 4:-4]  # rows are not periodic
    assert rms(error) == pytest.approx(0.05, rel=0.1)
    assert rms(new.diff(dim=0)[:, :, 4:-4]) > 1.2 * rms(error)
    assert float(linear.cell_step) == pytest.approx(0.05, rel=0.15)


def test_a_random_walk_is_forecast_by_persistence():
    x = torch.randn(400, 1, 8, 8, generator=torch.Generator().manual_seed(0)).cumsum(0)
    linear = fitted(x, 4, 2)
    features, _ = linear.pair(x)
    assert rms(linear.unfold(linear(features)) - x[1:-1]) < 0.3
    assert float(linear.cell_step) == pytest.approx(1.0, rel=0.1)


def test_channels_apart_are_what_each_is_alone():
    run = torch.cat([diffusing(80), 3.0 * diffusing(80, seed=1)], dim=1)
    alone = [fitted(run[:, [channel]], 2, 2) for channel in range(2)]
    both = LinearForecast(run.shape[1:], 2, 2, apart=True)
    fit_linear_forecast(both, [run])
    torch.testing.assert_close(both.conv.weight, torch.cat([linear.conv.weight for linear in alone]))
    features, _ = both.pair(run)
    expected = torch.cat([linear(linear.pair(run[:, [channel]])[0]) for channel, linear in enumerate(alone)], dim=1)
    torch.testing.assert_close(both(features), expected, atol=1e-4, rtol=1e-4)


def test_two_runs_are_not_joined():
    x = diffusing(300)
    whole, parted = fitted(x, 4, 2), fitted([x[:150], x[150:] + 100.0], 4, 2)
    assert float(parted.cell_step) < 3 * float(whole.cell_step)  # the jump of 100 between them is no change


def large_waves(n_times, seed=0, shape=(16, 24)):
    """Two patterns that span the grid, each the driver of the other, which no neighbourhood of a block can tell."""
    rng = np.random.default_rng(seed)
    y, x = np.meshgrid(np.arange(shape[0]), np.arange(shape[1]), indexing="ij")
    patterns = np.stack([np.where(x < 12, np.sin(y), 0), np.where(x >= 12, np.cos(y * x), 0)])
    amplitude, path = rng.normal(size=2), []
    for _ in range(n_times):
        amplitude = 0.9 * amplitude[::-1] + 0.3 * rng.normal(size=2)
        path.append(np.tensordot(amplitude, patterns, 1) + 0.05 * rng.normal(size=shape))
    return torch.tensor(np.stack(path)[:, None], dtype=torch.float32)


def test_patterns_tell_what_no_neighbour_does():
    x, new = large_waves(2000), large_waves(500, seed=1)
    with_patterns, without = (errors_of(fitted(x, 4, 1, n_patterns=n), new) for n in (4, 0))
    assert rms(with_patterns) < 0.75 * rms(without)
    assert rms(with_patterns) > 0.3 * 0.5**0.5  # the noise of the amplitudes: the variance of a pattern is a half


def test_patterns_of_an_orthogonal_mixture_are_its_parts():
    torch.manual_seed(0)
    parts = torch.linalg.qr(torch.randn(48, 3)).Q.T.reshape(3, 1, 6, 8)
    x = torch.einsum("tk,kcyx->tcyx", torch.randn(500, 3) * torch.tensor([5.0, 2.0, 1.0]), parts)
    found = leading_patterns([x[:200], x[200:]], 5)
    assert found.shape == (3, 1, 6, 8)  # there are no more
    overlap = torch.einsum("acyx,bcyx->ab", found, parts).abs()
    torch.testing.assert_close(overlap, torch.eye(3), atol=0.1, rtol=0)
    few = leading_patterns([x[:20]], 2)  # fewer fields than cells
    torch.testing.assert_close(torch.einsum("acyx,bcyx->ab", few, few), torch.eye(2), atol=1e-5, rtol=0)


def test_errors_are_those_of_the_forecast_in_units_of_their_size():
    x = diffusing()
    linear = fitted(x, 4, 2, periodic=(False, True))
    errors = linear.errors(x[None], linear.lags(x[None]))
    assert not errors[:, 0].any()
    assert rms(errors[:, 2:]) == pytest.approx(1.0, rel=0.2)


def test_a_forecast_around_the_globe_turns_with_its_input():
    x = diffusing()
    linear = fitted(x, 4, 2, periodic=(False, True))
    forecast = [linear(linear.pair(f)[0]) for f in (x, x.roll(8, dims=-1))]
    torch.testing.assert_close(forecast[0].roll(2, dims=-1), forecast[1], atol=1e-5, rtol=1e-5)


def test_a_long_run_stays_bounded_even_where_the_weights_would_explode():
    linear = fitted(diffusing(), 4, 1)
    linear.conv.weight.mul_(0).add_(3.0)
    z = torch.ones(1, linear.n_folded, 3, 4)
    for _ in range(50):
        z = linear(linear.features(z))
    assert (z.abs() <= linear.limit).all()
    assert float(linear.limit.min()) >= 1.4  # records of the series have room


def test_moments_of_parts_add_up_and_give_the_least_squares():
    torch.manual_seed(0)
    x, w = torch.randn(300, 4), torch.randn(4, 2)
    y = x @ w + 0.1 * torch.randn(300, 2)
    whole = moments_of(x[:100], y[:100]).plus(moments_of(x[100:], y[100:]))
    expected = torch.linalg.lstsq(x.double(), y.double()).solution
    torch.testing.assert_close(whole.ridge(1e-9), expected, atol=1e-5, rtol=1e-4)
    assert whole.error(expected) == pytest.approx(float((y - x @ expected.float()).square().sum()), rel=1e-3)
    first = whole.plus(moments_of(x[100:], y[100:]), -1)
    torch.testing.assert_close(first.gram, moments_of(x[:100], y[:100]).gram, atol=1e-3, rtol=1e-4)


def test_the_penalty_is_large_where_nothing_is_to_be_learned():
    torch.manual_seed(0)
    noise = [moments_of(torch.randn(40, 30), torch.randn(40, 1)) for _ in range(4)]
    assert cross_validated(noise)[0].abs().max() < 0.1
    x = [torch.randn(40, 3) for _ in range(4)]
    known = [moments_of(part, part.sum(1, keepdim=True)) for part in x]
    torch.testing.assert_close(cross_validated(known)[0], torch.ones(3, 1), atol=0.01, rtol=0)
    single, _ = cross_validated(
        [Moments(torch.eye(2, dtype=torch.float64), torch.ones(2, 1, dtype=torch.float64), 2.0)]
    )
    assert single.max() < 0.02  # no other part to judge by: the largest penalty
