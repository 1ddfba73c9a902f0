"""Logarithmic scaling: against numpy's log1p, exact at the bound, and clear about what lies below it."""

import numpy as np
import pytest
import xarray as xr
from fields import make_series
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone

from gridcast import LinearForecaster, LogTransformer, MinMaxTransformer
from gridcast.data.grid import unwrap
from gridcast.transformers.scaling import Scaling

NAN = np.nan


def make_rain(n_times=40, *, dtype=np.float32, bound=0.0, seed=0):
    """Return daily rain, in mm/day, two thirds of it zero; `bound` stands for the zero."""
    rng = np.random.default_rng(seed)
    values = make_series(n_times).astype(dtype)
    return values.copy(data=(np.maximum(rng.normal(-1, 2, values.shape), 0) ** 2 + bound).astype(dtype))


def test_the_formula_by_hand():
    X = np.array([0.0, 3.0, 8.0, 24.0]).reshape(2, 2, 1)
    z = np.log1p(X / 0.5)
    transformer = LogTransformer(offset=0.5).fit(X)
    np.testing.assert_allclose(transformer.transform(X), 2 * z / z.max() - 1)
    np.testing.assert_allclose(LogTransformer(0.5, (0, 10)).fit(X).transform(X), 10 * z / z.max())
    np.testing.assert_allclose(LogTransformer(0.5, bound=-7).fit(X - 7).transform(X - 7), 2 * z / z.max() - 1)
    later = np.full((1, 2, 1), 100.0)  # above the range: by the same logarithm
    np.testing.assert_allclose(transformer.transform(later), 2 * np.log1p(200) / z.max() - 1)


def test_the_range_is_that_of_the_data_and_not_of_the_bound():
    X = np.array([3.0, 15.0, 7.0, 4.0]).reshape(4, 1, 1)
    scaled = LogTransformer(offset=1.0, feature_range=(0, 2)).fit_transform(X).values.ravel()
    np.testing.assert_allclose(scaled, [0, 2, 1, np.log(5 / 4) / np.log(2)], atol=1e-12)


@pytest.mark.parametrize("chunk", [None, 2])
def test_the_offset_is_half_of_the_mean_above_the_bound_of_each_channel(chunk):
    X = make_series(6, channels=["rain", "snow"])
    X[:, 0] = np.array([0, 0, 2, NAN, 4, 0])[:, None, None]
    X[:, 1] = np.array([-1, -1, 9, 9, -1, -1])[:, None, None]
    transformer = LogTransformer(bound=[0, -1]).fit(X if chunk is None else X.chunk(time=chunk))
    assert transformer.offset_.tolist() == [1.5, 5.0]
    assert transformer.bound_.tolist() == [0, -1]
    assert (transformer.data_min_.tolist(), transformer.data_max_.tolist()) == ([0, -1], [4, 9])
    assert LogTransformer(offset=[2, 7], bound=-1).fit(X).offset_.tolist() == [2, 7]


@given(
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from([np.float32, np.float64]),
    bound=st.sampled_from([0.0, 0.1, 0.7, -3.3, 250.1]),
    offset=st.one_of(st.just("auto"), st.floats(1e-3, 1e3)),
    feature_range=st.sampled_from([(-1, 1), (0.1, 0.9), (-0.3, 7)]),
    dry=st.booleans(),
)
def test_the_bound_comes_back_to_the_bit_and_all_else_to_rounding(seed, dtype, bound, offset, feature_range, dry):
    X = make_rain(dtype=dtype, bound=bound, seed=seed)
    X = X if dry else X + 1  # a series that never was at the bound
    transformer = LogTransformer(offset, feature_range, bound).fit(X)
    scaled = transformer.transform(X)
    assert scaled.dtype == dtype
    assert scaled.min() == pytest.approx(feature_range[0], abs=1e-5)
    assert scaled.max() == pytest.approx(feature_range[1], abs=1e-5)
    again = transformer.inverse_transform(scaled)
    assert again.dtype == dtype
    eps = 100 * np.finfo(dtype).eps * (abs(bound) + transformer.offset_[0] + float(X.max() - bound))
    np.testing.assert_allclose(again, X, rtol=0, atol=eps)
    at_bound = X.copy(data=np.full(X.shape, bound, dtype))
    xr.testing.assert_equal(transformer.inverse_transform(transformer.transform(at_bound)), at_bound)


def test_large_values_keep_their_digits_and_small_ones_too():
    X = np.array([0.0, 1e-6, 1e-3, 1.0, 1e3, 1e6]).reshape(6, 1, 1)
    transformer = LogTransformer(offset=1e-4).fit(X)
    np.testing.assert_allclose(transformer.inverse_transform(transformer.transform(X)), X, rtol=1e-9)


def test_missing_values_stay_missing_and_do_not_count():
    X = make_rain()
    expected = LogTransformer().fit(X[:30])
    X[30:] = np.nan
    transformer = LogTransformer().fit(X)
    np.testing.assert_allclose(transformer.offset_, expected.offset_)
    np.testing.assert_array_equal(transformer.transform(X).isnull(), X.isnull())


@pytest.mark.parametrize("lazy", [False, True])
def test_a_series_below_the_bound_is_refused(lazy):
    X = make_series(channels=["rain", "t"])
    X[:, 1] -= 273
    X[4, 1, 0, 0] = -61.5
    message = (
        r"bound=0\.0, but channel 1 of X goes down to -61\.5: clip what is rounding, X\.clip\(min=0\), "
        r"give a bound below all values, bound=-62\.0, or use MinMaxTransformer\(\)"
    )
    X = X.chunk(time=5) if lazy else X
    with pytest.raises(ValueError, match=message):
        LogTransformer().fit(X)
    LogTransformer(bound=[0, -62.0]).fit(X)
    LogTransformer().fit(X.clip(min=0))


def test_a_bound_that_single_precision_rounds_is_no_bound_below_which_values_lie():
    for bound in (0.7, 0.1, 0.3):  # the nearest float32 is below, above, above
        X = make_rain(bound=bound)
        wet = X.values[X.values > X.values.min()]
        assert LogTransformer(bound=bound).fit(X).offset_ == pytest.approx((wet.mean() - bound) / 2, rel=1e-4)


@pytest.mark.parametrize("lazy", [False, True])
def test_later_values_below_the_bound_are_scaled_by_the_tangent(lazy):
    X = make_rain(dtype=np.float64)
    transformer = LogTransformer(offset=2.0).fit(X)
    later = X - 5  # so far below that a logarithm would not be a number
    later = later.chunk(time=7) if lazy else later
    scaled = transformer.transform(later)
    factor = 2 / np.log1p(float(X.max()) / 2)
    np.testing.assert_allclose(scaled.where(later < 0), -1 + later.where(later < 0) / 2 * factor)
    assert (scaled.min() < -1) & (scaled.notnull()).all()
    xr.testing.assert_allclose(transformer.inverse_transform(scaled).compute(), later.compute(), rtol=1e-9, atol=1e-9)


def test_a_channel_without_rain_maps_to_the_middle_and_back():
    X = np.zeros((4, 2, 2))
    transformer = LogTransformer().fit(X)
    assert transformer.offset_.tolist() == [1]
    np.testing.assert_allclose(transformer.transform(X), 0, atol=1e-12)
    np.testing.assert_array_equal(transformer.inverse_transform(transformer.transform(X)), 0)
    constant = LogTransformer(feature_range=(0, 1)).fit(X + 7)
    np.testing.assert_allclose(constant.transform(X + 7), 0.5)
    np.testing.assert_allclose(constant.inverse_transform(constant.transform(X + 7)), 7)


def test_a_large_offset_scales_linearly():
    X = make_rain(dtype=np.float64)
    np.testing.assert_allclose(LogTransformer(1e6).fit_transform(X), MinMaxTransformer().fit_transform(X), atol=1e-4)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"offset": 0}, r'offset=0 must be positive and finite, in the units of X, or "auto"'),
        ({"offset": -1.5}, r"offset=-1\.5 must be positive"),
        ({"offset": np.inf}, r"offset=inf must be positive and finite"),
        ({"offset": "mean"}, r'offset=\'mean\' is neither one number .* nor one for each of 1 channels, nor "auto"'),
        ({"offset": [1, 2]}, r"offset=\[1, 2\] is neither one number in the units of X nor one for each of 1 channels"),
        ({"offset": None}, "offset=None"),
        ({"bound": np.nan}, r"bound=nan must be finite, in the units of X"),
        ({"bound": (0, 1)}, r"bound=\(0, 1\) is neither one number in the units of X nor one for each of 1 channels$"),
        ({"bound": "auto"}, "bound='auto' is neither one number"),
        ({"feature_range": (1, 1)}, r"feature_range=\(1, 1\) has no width: give \(low, high\)"),
        ({"offset": 1e-32}, r"offset=1e-32, bound=0\.0: the logarithms of X lie between 0 and 7.*an offset near"),
        ({"offset": 1.0, "bound": -1e9}, r"bound=-1000000000\.0: .*can not hold apart: give a bound near"),
    ],
    ids=str,
)
def test_bad_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        LogTransformer(**parameters).fit(make_rain())


def test_parameters_are_those_of_scikit_learn():
    transformer = LogTransformer(0.3, (0, 1), bound=-2)
    assert transformer.get_params() == {"offset": 0.3, "feature_range": (0, 1), "bound": -2}
    again = clone(transformer.fit(make_rain())).set_params(offset="auto")
    assert repr(again) == "LogTransformer(bound=-2, feature_range=(0, 1))"
    assert not hasattr(again, "offset_")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("climatology", [None, "mean", 7])
@pytest.mark.parametrize(("feature_range", "bound"), [((-1, 1), 0.0), ((0.1, 0.9), 0.0), ((0.1, 0.9), 0.3)])
def test_bounded_forecasts_are_exactly_at_the_bound(dtype, climatology, feature_range, bound):
    X = make_rain(dtype=dtype, bound=bound)
    series, calendar = unwrap(X)
    scaling, scaled = Scaling.fit(
        LogTransformer(feature_range=feature_range, bound=bound), climatology, series, calendar
    )
    assert scaling.statistics.low.astype(np.float32) == scaled.values.min().astype(np.float32)
    values, lead = np.full((1, 1, 1, 1, 1, 3, 4), -50.0, np.float32), [series.times[:1]]
    assert (scaling.restore(values.copy(), series, lead, bounded=True) == np.float32(bound)).all()
    assert (scaling.restore(values, series, lead, bounded=False) < bound).all()


def test_a_bound_near_the_values_does_not_save_what_single_precision_loses():
    X = make_rain(dtype=np.float64, bound=1e8)
    LogTransformer(bound=1e8).fit(X)  # on its own it may work in double precision, a forecaster never does
    with pytest.raises(ValueError, match=r"single precision has steps of .*, X - 100000000$"):
        Scaling.fit(LogTransformer(bound=1e8), None, *unwrap(X))


@pytest.mark.parametrize("n_chunk", [None, 10])
def test_a_forecaster_of_rain_has_members_that_are_exactly_dry(n_chunk):
    X = make_rain(80)
    X = X if n_chunk is None else X.chunk(time=n_chunk)
    model = LinearForecaster(lags=2, context=4, random_state=0, device="cpu", transformer=LogTransformer()).fit(X)
    members = model.predict_samples(3, n_samples=20)
    assert members.min() == 0
    assert 0.05 < float((members == 0).mean()) < 0.95
    assert members.max() < 10 * X.max()
