"""Noise with the correlations of a sample."""

import numpy as np
import pytest
import torch

from gridcast.modules.noise import CELLS, N_ERRORS, CorrelatedNoise, sample_size


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


def test_what_was_divided_out_is_kept():
    torch.manual_seed(0)
    noise = CorrelatedNoise(500, (1, 2, 2))
    noise.fit(torch.randn(500, 1, 2, 2) * torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]))
    torch.testing.assert_close(noise.std, torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), rtol=0.1, atol=0)
    torch.testing.assert_close(noise.errors.square().mean(0), torch.ones(1, 2, 2))


def test_the_sample_is_bounded_by_memory_and_by_the_series():
    assert sample_size(100, 10_000) == N_ERRORS == 256
    assert sample_size(100, 7) == 7
    assert sample_size(CELLS // 3, 10_000) == 3
    assert sample_size(10 * CELLS, 10_000) == 1
