"""Min-Max scaling: channel by channel, and clear about ranges."""

import warnings

import numpy as np
import pytest
import xarray as xr
from fields import make_series

from gridcast import MinMaxTransformer


def test_scaling_by_hand():
    X = np.array([0.0, 5.0, 10.0, 20.0]).reshape(2, 2, 1)
    assert MinMaxTransformer().fit_transform(X).values.ravel().tolist() == [-1, -0.5, 0, 1]
    assert MinMaxTransformer((0, 1)).fit_transform(X).values.ravel().tolist() == [0, 0.25, 0.5, 1]
    given_range = MinMaxTransformer(data_range=(0, 40)).fit(X)
    assert given_range.transform(X).values.ravel().tolist() == [-1, -0.75, -0.5, 0]
    assert (given_range.data_min_.tolist(), given_range.data_max_.tolist()) == ([0], [40])


def test_each_channel_has_its_own_range():
    X = make_series(channels=["t", "q"])
    X[:, 1] = X[:, 1] * 1e-3 - 50
    scaled = MinMaxTransformer().fit_transform(X)
    np.testing.assert_allclose(scaled.min(("time", "lat", "lon")), -1, atol=1e-4)
    np.testing.assert_allclose(scaled.max(("time", "lat", "lon")), 1, atol=1e-4)
    each = MinMaxTransformer(data_range=[(200, 360), (-51, -49)]).fit(X)
    assert each.data_min_.tolist() == [200, -51]
    both = MinMaxTransformer(data_range=(-100, 400)).fit(X)
    assert both.data_max_.tolist() == [400, 400]
    with pytest.raises(ValueError, match=r"is neither one \(min, max\) nor one for each of 2 channels"):
        MinMaxTransformer(data_range=[(0, 1), (0, 1), (0, 1)]).fit(X)


def test_missing_values_are_left_out_and_stay_missing():
    X = make_series()
    X[3, 1] = np.nan
    scaled = MinMaxTransformer().fit_transform(X)
    np.testing.assert_array_equal(scaled.isnull(), X.isnull())
    assert scaled.min() == -1
    assert scaled.max() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("chunk", [None, 3])
def test_values_outside_the_range_are_counted_and_not_clipped(chunk):
    X = xr.DataArray(np.linspace(0, 99, 100).reshape(10, 2, 5), dims=("time", "y", "x"))
    X = X if chunk is None else X.chunk(time=chunk)
    transformer = MinMaxTransformer(data_range=(0, 79.5))
    message = r"^20\.00% of the cells of X lie outside data_range=\(0, 79\.5\) \(X spans 0 to 99\).*not clipped"
    with pytest.warns(UserWarning, match=message):
        transformer.fit(X)
    assert transformer.transform(X).max() == pytest.approx(2 * 99 / 79.5 - 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MinMaxTransformer(data_range=(0, 99)).fit(X)


def test_missing_values_do_not_count_as_outside():
    X = np.array([0.0, 1.0, 2.0, np.nan]).reshape(4, 1, 1)
    with pytest.warns(UserWarning, match=r"^33\.33% of the cells"):
        MinMaxTransformer(data_range=(0, 1)).fit(X)


@pytest.mark.parametrize("data_range", [(3, 3), (5, 0), (0, np.inf), (np.nan, 1)])
def test_a_range_without_width(data_range):
    with pytest.raises(ValueError, match=r"data_range=.* has no width: give \(min, max\) with min < max"):
        MinMaxTransformer(data_range=data_range).fit(make_series())


@pytest.mark.parametrize("feature_range", [(1, 1), (1, -1)])
def test_a_feature_range_without_width(feature_range):
    with pytest.raises(ValueError, match=r"feature_range=\(1, -?1\) has no width: give \(low, high\)"):
        MinMaxTransformer(feature_range).fit(make_series())


def test_a_constant_channel_maps_to_the_middle_and_back():
    X = np.full((4, 2, 2), 7.0)
    transformer = MinMaxTransformer().fit(X)
    np.testing.assert_array_equal(transformer.transform(X), 0)
    np.testing.assert_array_equal(transformer.inverse_transform(transformer.transform(X)), X)


def test_a_channel_without_values():
    X = make_series(channels=["t", "q"])
    X[:, 1] = np.nan
    with pytest.raises(ValueError, match=r"X holds no observed value in channel 1 \(all NaN\): drop it"):
        MinMaxTransformer().fit(X)
