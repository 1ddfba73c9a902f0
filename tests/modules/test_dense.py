"""The vector model: patterns of a field that is made of known ones, and parts that start as what they add to."""

import pytest
import torch

from gridcast.modules.convolutional import LATENT_FLOOR, ConvEncoder, Upsampler
from gridcast.modules.dense import DenseCombiner, DenseEmitter, DenseEncoder, DenseTransition, Patterns, fit_patterns
from gridcast.modules.residual import SCALE_FLOOR

SHAPE, SIZES, WEIGHTS = (2, 3, 4), torch.tensor([3.0, 1.0]), torch.tensor([0.9, -0.6])


def known_patterns():
    """Two orthonormal fields, (2, channel * y * x)."""
    return torch.linalg.qr(torch.randn(24, 2, generator=torch.Generator().manual_seed(0)))[0].T


def amplitudes(n_times=25):
    """Four runs of exact autoregressions; with all signs of the start their products sum to zero at each step."""
    signs = torch.tensor([[1, 1], [1, -1], [-1, 1], [-1, -1]])
    return (SIZES * signs)[:, None] * WEIGHTS ** torch.arange(n_times)[:, None]  # (run, time, 2)


def runs():
    return list((amplitudes() @ known_patterns()).unflatten(2, SHAPE))


@pytest.fixture
def patterns():
    made = Patterns(3, SHAPE)
    fit_patterns(made, runs())
    return made


def test_a_field_of_two_orthogonal_patterns_gives_them_back(patterns):
    cosine = patterns.patterns[:2] @ known_patterns().T
    torch.testing.assert_close(cosine.abs(), torch.eye(2), atol=1e-4, rtol=0)
    assert not patterns.patterns[2].any()  # there is no third one
    torch.testing.assert_close(patterns.scale[:2], amplitudes().square().mean((0, 1)).sqrt())


def test_fields_of_amplitudes_are_the_fields(patterns):
    x = torch.cat(runs())
    z = patterns(x)
    torch.testing.assert_close(patterns.fields(z).view_as(x), x, atol=1e-5, rtol=0)
    torch.testing.assert_close(z[:, :2].square().mean(0), torch.ones(2))
    assert not z[:, 2].any()


def test_the_untrained_transition_is_the_autoregression_of_the_amplitudes(patterns):
    transition = DenseTransition(3, 5, n_clock=2, patterns=patterns)
    now, after = (patterns(torch.cat([run[t] for run in runs()])) for t in (slice(None, -1), slice(1, None)))
    loc, scale = transition(torch.cat([now, torch.randn(len(now), 2)], dim=1))  # whatever the clock says
    torch.testing.assert_close(loc, after, atol=0.02, rtol=0)  # a small penalty draws to persistence
    assert (now - after)[:, 1].abs().max() > 1  # which would be far off
    torch.testing.assert_close(scale, ((1 + LATENT_FLOOR) * patterns.step).expand_as(scale))


def test_what_patterns_leave_is_the_scale_of_the_untrained_emission():
    """A third pattern, of which two are kept, is what they leave."""
    field = torch.linalg.qr(torch.randn(24, 3, generator=torch.Generator().manual_seed(0)))[0].T
    signs = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    x = (torch.tensor([3.0, 1.0, 0.1]) * signs.repeat(20, 1) @ field).unflatten(1, SHAPE)
    kept = Patterns(2, SHAPE)
    fit_patterns(kept, [x])
    left = 0.1 * field[2].view(SHAPE).square().mean((1, 2)).sqrt()
    torch.testing.assert_close(kept.cell_step.flatten(), left, rtol=1e-3, atol=0)
    emitter = DenseEmitter(2, (6, 3, 4), Upsampler((6, 4), 2, 3, downsampling=1), patterns=kept)
    loc, scale = emitter(kept(x))
    torch.testing.assert_close((x - loc).square().mean((0, 2, 3)).sqrt(), left, rtol=1e-3, atol=0)
    # the emission is never sharper than what is left
    torch.testing.assert_close(scale.mean((0, 2, 3)), (1 + SCALE_FLOOR) * left, rtol=0.01, atol=0)


def test_the_untrained_posterior_is_the_observed_amplitudes(patterns):
    combiner = DenseCombiner(3, 5, n_clock=2, patterns=patterns)
    observed = torch.randn(4, 3)
    loc, scale = combiner(torch.randn(4, 5), torch.randn(4, 5), observed, None)
    torch.testing.assert_close(loc, observed)
    assert scale.shape == (4, 3)
    assert float(scale.detach().min()) > 0


@pytest.mark.parametrize("downsampling", [1, 2, 4])
def test_shapes_without_patterns(downsampling):
    rows, columns = 8 // downsampling, 12 // downsampling
    convolutions = ConvEncoder(2, (4, 6), 3, downsampling=downsampling)
    features = DenseEncoder(convolutions, 6 * rows * columns, 7)(torch.randn(5, 2, 8, 12))
    assert features.shape == (5, 7)
    emitter = DenseEmitter(3, (6, rows, columns), Upsampler((6, 4), 2, 3, downsampling=downsampling))
    for part, shape in [
        (DenseCombiner(3, 7)(torch.randn(5, 3), features, None, None), (5, 3)),
        (DenseTransition(3, 4)(torch.randn(5, 3)), (5, 3)),
        (emitter(torch.randn(5, 3)), (5, 2, 8, 12)),
    ]:
        loc, scale = part
        assert loc.shape == scale.shape == shape
        assert float(scale.detach().min()) > 0
