"""Transformers: exact inverses, channel by channel, lazy, and clear about bad input."""

import warnings

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from gridcast import Anomaly, MinMaxTransformer

TRANSFORMERS = [MinMaxTransformer(), MinMaxTransformer((0, 1), data_range=(-500, 500)), Anomaly(period=4)]
every_transformer = pytest.mark.parametrize("transformer", TRANSFORMERS, ids=str)


def make_series(n_times=20, channels=None, seed=0, freq="D", shape=(3, 4)):
    fields = shape if channels is None else (len(channels), *shape)
    values = np.random.default_rng(seed).normal(280, 10, size=(n_times, *fields)).astype(np.float32)
    coords = {"time": pd.date_range("2001-01-01", periods=n_times, freq=freq), "lat": np.arange(shape[0])}
    dims = ("time", "lat", "lon")
    if channels is not None:
        dims, coords["variable"] = ("time", "variable", "lat", "lon"), channels
    return xr.DataArray(values, dims=dims, coords=coords, name="t", attrs={"units": "K"})


class Archive:
    """What dask slices like an array; counts its reads."""

    def __init__(self, values):
        self.values, self.n_reads = values, 0
        self.shape, self.dtype, self.ndim = values.shape, values.dtype, values.ndim

    def __getitem__(self, key):
        self.n_reads += 1
        return self.values[key]


def lazy(series, chunk):
    archive = Archive(series.values)
    chunks = (chunk, *(-1,) * (series.ndim - 1))
    meta = np.empty((0,) * series.ndim, series.dtype)
    return series.copy(data=da.from_array(archive, chunks=chunks, meta=meta)), archive


# What both have in common


@every_transformer
def test_the_inverse_gives_back_the_series_with_its_labels(transformer):
    X = make_series()
    transformer = clone(transformer)
    again = transformer.inverse_transform(transformer.fit_transform(X))
    xr.testing.assert_allclose(again, X, rtol=1e-5)
    xr.testing.assert_identical(again.copy(data=X.values), X)


@every_transformer
@given(
    seed=st.integers(0, 2**32 - 1),
    scale=st.floats(1e-3, 1e3),
    offset=st.floats(-100, 100),
    missing=st.floats(0, 0.9),
    n_channels=st.integers(1, 3),
)
def test_the_inverse_is_exact_for_any_series(transformer, seed, scale, offset, missing, n_channels):
    rng = np.random.default_rng(seed)
    values = offset + scale * rng.normal(size=(12, n_channels, 2, 3))
    values[rng.uniform(size=values.shape) < missing] = np.nan
    values[0] = offset
    X = xr.DataArray(values, dims=("time", "variable", "y", "x"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        transformed = clone(transformer).fit(X)
    there = transformed.transform(X)
    back = transformed.inverse_transform(there)
    np.testing.assert_array_equal(there.isnull(), X.isnull())
    np.testing.assert_allclose(back, X, rtol=1e-9, atol=1e-9 * (scale + abs(offset)))


@every_transformer
def test_lazy_input_gives_the_same_lazy_output_and_is_read_once(transformer):
    X = make_series(channels=["t", "q"])
    chunked, archive = lazy(X, 5)
    transformer = clone(transformer).fit(chunked)
    assert archive.n_reads == 4
    transformed = transformer.transform(chunked)
    back = transformer.inverse_transform(transformed)
    assert archive.n_reads == 4
    for result in (transformed, back):
        assert result.chunksizes == chunked.chunksizes
    expected = clone(transformer).fit(X)
    xr.testing.assert_allclose(transformed.compute(), expected.transform(X))
    assert transformed.dtype == expected.transform(X).dtype
    xr.testing.assert_allclose(back.compute(), X)


@every_transformer
def test_a_file_opened_without_chunks_is_never_loaded(transformer, tmp_path):
    make_series().to_netcdf(tmp_path / "t.nc")
    with xr.open_dataarray(tmp_path / "t.nc") as X:
        transformer = clone(transformer).fit(X)
        transformer.inverse_transform(transformer.transform(X)).compute()
        assert not X.variable._in_memory


@every_transformer
def test_the_callers_array_is_not_changed(transformer):
    X = make_series()
    before = X.copy(deep=True)
    transformed = clone(transformer).fit_transform(X)
    transformed += 1
    transformed.attrs["units"] = "1"
    xr.testing.assert_identical(X, before)


@every_transformer
def test_plain_arrays_and_integers(transformer):
    X = np.arange(96).reshape(8, 3, 4)
    transformer = clone(transformer).fit(X)
    transformed = transformer.transform(X)
    assert transformed.dims == ("time", "y", "x")
    np.testing.assert_allclose(transformer.inverse_transform(transformed), X, atol=1e-5)


@every_transformer
def test_leading_dimensions_in_the_inverse(transformer):
    X = make_series(channels=["t", "q"])
    transformer = clone(transformer).fit(X)
    scaled = transformer.transform(X)
    ensemble = xr.concat([scaled, scaled + 0.01], "member")
    physical = transformer.inverse_transform(ensemble)
    assert physical.dims == ("member", *X.dims)
    for member in range(2):
        xr.testing.assert_allclose(physical[member], transformer.inverse_transform(ensemble[member]))
    samples = X.expand_dims(sample=3)
    xr.testing.assert_allclose(transformer.transform(samples)[1].drop_vars("sample", errors="ignore"), scaled)
    one = clone(transformer).fit(X.isel(variable=0, drop=True))
    flat = one.transform(X.isel(variable=0, drop=True))
    many = one.inverse_transform(flat.expand_dims(sample=2).expand_dims(member=2))
    assert many.dims == ("member", "sample", "time", "lat", "lon")
    xr.testing.assert_allclose(many[1, 0].drop_vars(["member", "sample"], errors="ignore"), one.inverse_transform(flat))


@every_transformer
@pytest.mark.parametrize("number", [12, 2.5, True, np.int64(3)])
def test_a_horizon_instead_of_data_raises(transformer, number):
    transformer = clone(transformer).fit(make_series())
    for call in (transformer.transform, transformer.inverse_transform, transformer.fit):
        with pytest.raises(TypeError, match=r"X is the number .*ForecastPipeline for predict.*predict\(X, horizon="):
            call(number)


@every_transformer
def test_transforming_before_fit(transformer):
    for call in (clone(transformer).transform, clone(transformer).inverse_transform):
        with pytest.raises(NotFittedError, match="is not fitted"):
            call(make_series())


@every_transformer
def test_bad_series(transformer):
    X = make_series()
    transformer = clone(transformer).fit(X)
    expected = transformer.transform(X)
    infinite = X.copy(deep=True)
    infinite[7, 0, 0] = np.inf
    for bad, error, message in (
        (X.to_dataset(), TypeError, "X is a Dataset"),
        (infinite, ValueError, r"X holds an infinite value.*X.where\(np.isfinite\(X\)\)"),
        (X.drop_isel(time=3), ValueError, "time step 3 .*a gap"),
    ):
        with pytest.raises((error, ValueError), match=message):
            transformer.fit(bad)
    xr.testing.assert_identical(transformer.transform(X), expected)
    with pytest.raises(ValueError, match=r"X has .*2.*: fit it on X"):
        transformer.transform(make_series(channels=["t", "q"]))


# MinMaxTransformer


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


# Anomaly


def test_a_cycle_by_hand():
    X = np.array([1.0, 10, 3, 20, 5, 30])[:, None, None]
    transformer = Anomaly(period=2).fit(X)
    assert transformer.cycle_.ravel().tolist() == [3, 20]
    assert transformer.transform(X).values.ravel().tolist() == [-2, -10, 0, 0, 2, 10]
    assert transformer.n_phases_ == 2


def test_the_phase_goes_on_behind_and_in_front_of_the_training_series():
    X = make_series(30)
    X[:] = np.tile([1.0, 2, 4], 10)[:, None, None]
    transformer = Anomaly(period=3, n_harmonics=None).fit(X[7:20])
    np.testing.assert_allclose(transformer.transform(X), 0, atol=1e-6)
    assert transformer.climatology(X.indexes["time"][:4])[:, 0, 0, 0].tolist() == [1, 2, 4, 1]


def test_harmonics_smooth_the_cycle():
    t = np.arange(36)
    wave = np.cos(2 * np.pi * t / 12)
    X = (wave + 0.5 * np.cos(2 * np.pi * 4 * t / 12))[:, None, None]
    smooth = Anomaly(period=12, n_harmonics=1).fit(X)
    np.testing.assert_allclose(smooth.cycle_.ravel(), wave[:12], atol=1e-6)
    np.testing.assert_allclose(Anomaly(period=12, n_harmonics=0).fit(X).cycle_, 0, atol=1e-6)
    np.testing.assert_allclose(Anomaly(period=12, n_harmonics=None).fit_transform(X), 0, atol=1e-6)


def test_phases_that_a_cell_never_shows_are_interpolated_around_the_cycle():
    cycle = np.array([10.0, 12, 14, 16])
    X = np.tile(cycle, 3)[:, None, None] * np.ones((1, 1, 4))
    X[2::4, 0, 1] = np.nan
    X[0::4, 0, 2] = np.nan
    X[:, 0, 3] = np.nan
    learned = Anomaly(period=4, n_harmonics=None).fit(X).cycle_[:, 0, 0]
    assert learned[:, 0].tolist() == cycle.tolist()
    assert learned[:, 1].tolist() == [10, 12, 14, 16]
    assert learned[:, 2].tolist() == [14, 12, 14, 16]
    assert np.isnan(learned[:, 3]).all()


def test_gaps_do_not_bias_the_cycle():
    X = make_series(40)
    X[:] = np.tile([1.0, 5.0], 20)[:, None, None]
    X[3:6, 1] = np.nan
    np.testing.assert_allclose(Anomaly(period=2).fit(X).cycle_.reshape(2, -1).T, [[1, 5]] * 12)


@pytest.mark.parametrize(
    ("freq", "n_times", "period", "n_phases"),
    [
        ("MS", 36, "year", 12),
        ("D", 800, "year", 365),
        ("h", 240, "day", 24),
        ("D", 100, 1, 1),
        ("6h", 1600, "year", 1460),
    ],
)
def test_the_period_is_found(freq, n_times, period, n_phases):
    transformer = Anomaly().fit(make_series(n_times, freq=freq, shape=(1, 2)))
    assert (transformer.period_, transformer.n_phases_) == (period, n_phases)


def test_without_time_labels_the_cycle_is_a_mean():
    X = make_series().values
    transformer = Anomaly().fit(X)
    assert transformer.n_phases_ == 1
    np.testing.assert_allclose(transformer.cycle_[0, 0], X.mean(0), rtol=1e-6)


def test_a_leap_day_belongs_to_28_february():
    time = pd.date_range("2003-01-01", "2005-12-31", freq="D")
    day = np.where(time.is_leap_year & (time.day_of_year > 59), time.day_of_year - 1, time.day_of_year)
    values = np.cos(2 * np.pi * (day - 1) / 365)
    X = xr.DataArray(values[:, None, None], dims=("time", "y", "x"), coords={"time": time})
    transformer = Anomaly().fit(X)
    assert transformer.n_phases_ == 365
    np.testing.assert_allclose(transformer.transform(X), 0, atol=1e-6)
    xr.testing.assert_allclose(transformer.inverse_transform(transformer.transform(X)), X)


def test_6_hourly_air_temperature(shared_data):
    air = xr.open_zarr(shared_data / "air_temperature.zarr", consolidated=False)["air"][:, ::6, ::13]
    transformer = Anomaly().fit(air)
    assert (transformer.period_, transformer.n_phases_) == ("year", 1460)
    anomaly = transformer.transform(air)
    assert isinstance(anomaly.data, da.Array)
    assert anomaly.attrs == air.attrs
    assert abs(anomaly.mean("time")).max() < 0.05
    # The annual and the daily cycle are gone, so that no month and no hour stands out.
    assert (anomaly.std("time") < air.std("time")).all()
    for part in ("time.month", "time.hour"):
        left, raw = (x.groupby(part).mean().std(part.split(".")[1]) for x in (anomaly, air))
        assert (left < 0.5 * raw + 0.3).all()
    xr.testing.assert_allclose(transformer.inverse_transform(anomaly).compute(), air.compute(), rtol=1e-6)
    members = xr.concat([anomaly[:8], anomaly[:8] + 1], "member")
    np.testing.assert_allclose(transformer.inverse_transform(members)[1], air[:8] + 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"period": "week"}, r"period='week' must be \"auto\", \"year\", \"day\" or a number of steps"),
        ({"period": 0}, "period=0 must be"),
        ({"period": True}, "period=True must be"),
        ({"period": 21}, r"X has 20 steps, period=21 needs at least 21: give a longer series or a shorter period"),
        ({"period": "year"}, r"X has 20 steps, period='year' needs at least 365"),
        ({"n_harmonics": 2.5}, r"n_harmonics=2\.5 must be an integer of at least 0, or None"),
    ],
)
def test_bad_parameters_of_the_anomaly(parameters, message):
    X = make_series()
    transformer = Anomaly(period=5).fit(X)
    expected = transformer.transform(X)
    with pytest.raises(ValueError, match=message):
        transformer.set_params(**parameters).fit(X)
    xr.testing.assert_identical(transformer.transform(X), expected)


def test_a_year_needs_time_labels():
    with pytest.raises(ValueError, match=r"period='year' needs time labels: give the number of steps, period=12"):
        Anomaly(period="year").fit(make_series().values)
