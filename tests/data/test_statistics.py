"""Gaps filled and statistics of each cell, against plain numpy."""

import warnings

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gridcast as gc
from gridcast.data.statistics import extremes, field_statistics, field_sums, fill_missing, sums_above

NAN = np.nan


def column(*values):
    """Return (time, 1, 1, 1)."""
    return np.array(values, dtype=np.float32)[:, None, None, None]


def test_a_gap_takes_the_last_value_before_it_else_the_default():
    x = column(NAN, 1, NAN, NAN, 4)
    filled, mask = fill_missing(x, np.full((1, 1, 1), 9, np.float32))
    assert filled.ravel().tolist() == [9, 1, 1, 1, 4]
    assert mask.ravel().tolist() == [0, 1, 0, 0, 1]
    assert np.isnan(x[0]).all()


def test_cells_and_windows_are_filled_on_their_own():
    x = np.stack([column(1, NAN), column(NAN, 2)])
    x = np.concatenate([x, x + 10], axis=-1)
    default = np.array([[[-1, -2]]], dtype=np.float32)
    filled, _ = fill_missing(x, default)
    assert filled[0, :, 0, 0].tolist() == [[1, 11], [1, 11]]
    assert filled[1, :, 0, 0].tolist() == [[-1, -2], [2, 12]]


def test_without_gaps_nothing_is_copied():
    x = column(1, 2)
    filled, mask = fill_missing(x, x[0])
    assert filled is x
    assert (mask == 1).all()


@pytest.mark.parametrize("lazy", [False, True])
def test_what_else_is_computed_comes_behind_the_extremes(lazy):
    values = np.array([[0, 2, NAN, 5], [-1, -1, -1, -1]], np.float32).T.reshape(1, 4, 2, 1, 1)
    values = da.from_array(values, chunks=(1, 3, 1, 1, 1)) if lazy else values
    found = extremes(values, (np.array([0.0, 0.0]), np.array([4.0, 4.0])), *sums_above(values, np.array([0.0, -1.0])))
    smallest, largest, n_observed, n_outside, total, n_above = found
    assert (smallest.tolist(), largest.tolist(), n_observed.tolist(), n_outside) == ([0, -1], [5, -1], [3, 4], 5)
    assert (total.tolist(), n_above.tolist()) == ([7, 0], [2, 0])
    assert total.dtype == np.float64


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 3, 2**20]), st.booleans())
def test_statistics_are_those_of_numpy(seed, buffer_bytes, lazy):
    rng = np.random.default_rng(seed)
    values = rng.normal(5, 2, size=(2, 7, 2, 3, 2)).astype(np.float32)
    values[rng.uniform(size=values.shape) < 0.3] = NAN
    values[..., 0, 0] = NAN
    chunked = da.from_array(values, chunks=(1, 3, 1, 3, 2)) if lazy else values
    statistics = field_statistics(chunked, buffer_bytes)
    seen = np.isfinite(values)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mean, std = np.nanmean(values, (0, 1)), np.nanstd(values, (0, 1))
    np.testing.assert_allclose(statistics.mean, np.nan_to_num(mean), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(statistics.std, np.nan_to_num(std), rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(statistics.observed, seen.any((0, 1)))
    assert not statistics.complete
    assert np.isneginf(statistics.low).all()
    assert np.isposinf(statistics.high).all()


@pytest.mark.parametrize(("buffer_bytes", "n_reads"), [(2**20, 6), (16 * 6 * 4, 6), (16 * 6 * 2, 12)])
def test_a_chunk_of_several_samples_is_read_once_where_it_fits(buffer_bytes, n_reads):
    values, reads = np.random.default_rng(0).normal(size=(9, 8, 1, 3, 2)), []
    chunks = da.from_array(values, chunks=(3, 4, -1, -1, -1))
    chunked = chunks.map_blocks(lambda block: (reads.append(block.shape), block)[1], meta=values[:0])
    found, expected = field_sums(chunked, buffer_bytes), field_sums(values, buffer_bytes)
    assert reads == [(3, 4, 1, 3, 2)] * n_reads
    np.testing.assert_array_equal(found.n_observed, expected.n_observed)
    for name in ("mean", "std", "low", "high"):
        np.testing.assert_array_equal(*(getattr(sums.statistics(), name) for sums in (found, expected)))


@pytest.mark.parametrize("buffer_bytes", [1, 2**20])
def test_bounds_are_extremes_where_many_values_lie(buffer_bytes):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(1, 50, 3, 4, 5)).astype(np.float32)
    values[:, :, 0] = np.maximum(values[:, :, 0], -0.5)  # rain
    values[:, :, 1] = np.minimum(values[:, :, 1], 0.5)
    values[0, 3, 0, 0, 0] = NAN
    statistics = field_statistics(values, buffer_bytes)
    np.testing.assert_array_equal(statistics.low, [-0.5, -np.inf, -np.inf])
    np.testing.assert_array_equal(statistics.high, [np.inf, 0.5, np.inf])


def test_complete():
    assert field_statistics(np.zeros((1, 3, 1, 2, 2))).complete
    constant = field_statistics(np.full((1, 3, 1, 2, 2), 280.1, np.float32))
    np.testing.assert_allclose(constant.mean, 280.1, rtol=1e-6)
    np.testing.assert_allclose(constant.std, 0, atol=1e-3)


def test_an_infinite_value():
    values = np.zeros((1, 3, 1, 2, 2))
    values[0, 1] = np.inf
    with pytest.raises(ValueError, match=r"X holds an infinite value.*X.where\(np.isfinite\(X\)\)"):
        field_statistics(values)


def test_a_likely_fill_value_is_pointed_at():
    values = np.random.default_rng(0).normal(size=(20, 3, 3))
    values[3, 1, 1] = -9999
    with pytest.warns(UserWarning, match=r"goes down to -9999, which many files write"):
        gc.MinMaxTransformer().fit(values)
