"""What all transformers have in common: exact inverses, lazy, and clear about bad input."""

import warnings

import numpy as np
import pytest
import xarray as xr
from archives import lazy
from fields import make_series
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from gridcast import Anomaly, LogTransformer, MinMaxTransformer

TRANSFORMERS = [
    MinMaxTransformer(),
    MinMaxTransformer((0, 1), data_range=(-500, 500)),
    LogTransformer(bound=-50),
    LogTransformer(40.0, (0, 1), bound=-50),
    Anomaly(period=4),
]
every_transformer = pytest.mark.parametrize("transformer", TRANSFORMERS, ids=str)


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
    transformer = clone(transformer)
    if "bound" in transformer.get_params():
        transformer.set_params(bound=offset - 10 * scale)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        transformed = transformer.fit(X)
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


@every_transformer
def test_channels_in_another_order_are_refused(transformer):
    X = make_series(channels=[500, 850])
    transformer = clone(transformer).fit(X)
    for method in (transformer.transform, transformer.inverse_transform):
        with pytest.raises(ValueError, match=r"X has other .*'variable'"):
            method(X[:, ::-1])
        unnamed = method(X.drop_vars("variable"))
        np.testing.assert_array_equal(unnamed, method(X.assign_coords(variable=[500.0, 850.0])))


@pytest.mark.parametrize("transformer", TRANSFORMERS[:-1], ids=str)
def test_what_is_scaled_is_in_no_units_until_it_is_restored(transformer):
    X = make_series()
    scale = clone(transformer).fit(X)
    scaled = scale.transform(X)
    assert (scaled.attrs["units"], scale.inverse_transform(scaled).attrs["units"]) == ("1", "K")
    with pytest.warns(UserWarning, match="X is in 'degC' and the training series in 'K'"):
        scale.transform(X.assign_attrs(units="degC"))
    unnamed = X.drop_attrs()
    assert scale.inverse_transform(scale.transform(unnamed)).attrs["units"] == "K"
    scale = clone(transformer).fit(unnamed)
    assert "units" not in scale.inverse_transform(scale.transform(unnamed)).attrs


@every_transformer
@pytest.mark.parametrize("channels", [None, ["t", "q"]])
def test_a_backtest_is_transformed_by_its_valid_times(transformer, channels):
    X = make_series(channels=channels)
    transformer = clone(transformer).fit(X)
    steps = xr.DataArray(np.arange(3) + np.arange(5)[:, None], dims=("init_time", "lead_time"))
    forecasts = X.isel(time=steps)
    for method in (transformer.transform, transformer.inverse_transform):
        expected = method(X).isel(time=steps)
        xr.testing.assert_allclose(method(forecasts), expected)
        xr.testing.assert_allclose(method(forecasts.chunk(init_time=2)), expected)
    if isinstance(transformer, Anomaly):
        with pytest.raises(ValueError, match=r"no times, which say .* X\.assign_coords\(time="):
            transformer.transform(forecasts.drop_vars("time"))
