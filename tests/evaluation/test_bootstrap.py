"""Block bootstrap: what a sample consists of, and how long a block is."""

import numpy as np
import pytest

from gridcast.evaluation.bootstrap import block_counts, block_length


@pytest.mark.parametrize("length", [1, 3, 7, 10])
def test_a_sample_consists_of_blocks_on_a_circle(length):
    counts = block_counts(10, length, 500, np.random.default_rng(0))
    assert counts.shape == (500, 10)
    np.testing.assert_array_equal(counts.sum(1), 10)
    # Every entry is drawn once on average, the ends too.
    np.testing.assert_allclose(counts.mean(0), 1.0, atol=0.15)
    if length == 10:
        np.testing.assert_array_equal(counts, 1.0)


def test_neighbours_are_drawn_together():
    def together(length):
        counts = block_counts(100, length, 2000, np.random.default_rng(0))
        return np.corrcoef(counts[:, 50], counts[:, 51])[0, 1]

    assert abs(together(1)) < 0.1
    assert together(10) > 0.8


def test_the_error_of_a_mean_of_a_correlated_series():
    # The variance of the mean of an AR(1) series of coefficient 0.8 is 9 times that of white noise.
    rng = np.random.default_rng(0)
    noise = rng.normal(size=4000)
    series = np.empty(4000)
    series[0] = noise[0] / 0.6
    for t in range(1, 4000):
        series[t] = 0.8 * series[t - 1] + noise[t]
    truth = 5.0 / 4000**0.5
    length = block_length(series)
    assert 50 < length < 200
    means = block_counts(4000, length, 1000, rng) @ series / 4000
    assert means.std() == pytest.approx(truth, rel=0.25)
    independent = block_counts(4000, 1, 1000, rng) @ series / 4000
    assert independent.std() < 0.5 * truth


def test_the_length_solves_the_equation_of_wilks():
    # r = 0.5, n' / n = 1/3: the length solves l = (n - l + 1) ** (4 / 9).
    t = np.arange(300)
    series = np.cos(np.pi / 3 * t)
    assert block_length(series) == pytest.approx((300 - 12.5 + 1) ** (4 / 9), abs=0.6)


def test_lengths_at_the_ends():
    assert block_length(np.array([3.0])) == 1
    assert block_length(np.zeros(10)) == 1
    assert block_length(np.array([1.0, -1.0] * 20)) == 1
    # Samples of blocks as long as the series would all be alike.
    assert all(block_length(np.arange(1.0 * n)) <= n // 2 for n in range(2, 60))
    assert block_length(np.full((5, 2), np.nan)) == 1


def test_the_longest_memory_decides_and_missing_entries_are_left_out():
    rng = np.random.default_rng(0)
    slow, white = np.sin(np.arange(200) / 20), rng.normal(size=200)
    slow[20] = np.nan
    assert block_length(np.stack([white, slow], -1)) == block_length(slow) > block_length(white)
