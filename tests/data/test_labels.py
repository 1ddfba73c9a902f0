"""Labels and notes that a forecast carries."""

import netCDF4
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import gridcast as gc
from gridcast.data.labels import RESERVED, of_any, same_labels


def make_series(n_times=30, seed=0):
    values = np.random.default_rng(seed).normal(size=(n_times, 4, 6)).cumsum(0).astype(np.float32)
    coords = {"time": pd.date_range("2001-01-01", periods=n_times), "y": np.arange(4.0), "x": np.arange(6.0)}
    return xr.DataArray(values, dims=("time", "y", "x"), coords=coords, name="t", attrs={"units": "K"})


def test_a_packed_file_leaves_nothing_of_its_packing_in_a_forecast(tmp_path):
    X = make_series()
    X.attrs |= {"valid_min": np.int16(-100), "valid_range": np.array([-100, 100], "i2"), "actual_range": [-3.0, 3.0]}
    X.attrs |= {"long_name": "temperature", "statistic": "Mean", "flag_values": np.array([1, 2], "i2")}
    encoding = {"dtype": "int16", "scale_factor": 0.01, "add_offset": 5.0, "_FillValue": -9999}
    X.to_netcdf(tmp_path / "packed.nc", encoding={"t": encoding})
    with xr.open_dataset(tmp_path / "packed.nc") as ds:
        forecast = gc.NaiveForecaster().fit(ds["t"]).predict(2)
        scaled = gc.MinMaxTransformer().fit_transform(ds["t"]).compute()
    assert forecast.attrs == {"units": "K", "long_name": "temperature"}
    for name, array in {"forecast": forecast + 1000, "scaled": scaled}.items():
        array.rename("t").to_netcdf(tmp_path / f"{name}.nc")
        with netCDF4.Dataset(tmp_path / f"{name}.nc") as file:  # masks and rescales as the attributes say
            read = np.ma.filled(file["t"][:].astype(float), np.nan)
        np.testing.assert_allclose(read, array.values, rtol=1e-6)


def test_what_describes_stored_numbers_is_not_of_any_value():
    stored = ("scale_factor", "add_offset", "_FillValue", "missing_value", "valid_min", "valid_max", "valid_range")
    summary = ("actual_range", "statistics_mean", "checksum", "GRIB_missingValue", "GRIB_numberOfPoints")
    assert of_any(dict.fromkeys((*stored, *summary, "units", "GRIB_units"), 1)) == {"units": 1, "GRIB_units": 1}


@pytest.mark.parametrize("name", RESERVED)
def test_a_dimension_of_forecasts_is_refused_and_renamed(name):
    X = xr.concat([make_series(), make_series(seed=1)], name).transpose("time", name, "y", "x")
    model = gc.NaiveForecaster(random_state=0)
    with pytest.raises(ValueError, match=rf"X.rename\({name}='channel'\)"):
        model.fit(X)
    with pytest.raises(ValueError, match=rf"last fit was refused: .*X.rename\({name}='channel'\)"):
        model.predict(1)
    advised = X.rename({name: "channel"})
    model.fit(advised[:20])
    assert model.predict_samples(2, n_samples=3).dims == ("member", "time", "channel", "y", "x")
    assert gc.backtest(model, advised[20:], horizon=2).sizes["channel"] == 2
    assert "_refusal" not in vars(model)


def test_leftovers_of_a_selection_from_forecasts_are_dropped():
    X = make_series().assign_coords(dict.fromkeys(RESERVED, 3) | {"height": 2.0})
    model = gc.NaiveForecaster(random_state=0).fit(X[:20])
    assert set(model.predict(1).coords) == {"time", "y", "x", "height"}
    assert model.predict_samples(1, n_samples=3).member.values.tolist() == [0, 1, 2]
    verified = gc.verify(gc.backtest(model, X[20:], horizon=2), X[20:], n_resamples=5)
    assert verified.sizes["lead_time"] == 2


def test_coordinates_that_do_not_change_in_time_come_back():
    X = make_series()
    lat = np.random.default_rng(0).normal(size=(4, 6))
    X = X.assign_coords(
        XLAT=(X.dims, np.repeat(lat[None], 30, 0)), moving=(X.dims, np.arange(720.0).reshape(X.shape)), run="a"
    )
    X = X.assign_coords(XLONG=(("y", "x"), lat + 1), week=("time", np.arange(30) // 7), sample=3)
    forecast = gc.NaiveForecaster().fit(X).predict(2)
    assert set(forecast.coords) == {"time", "y", "x", "XLAT", "XLONG", "run", "sample"}
    np.testing.assert_array_equal(forecast.XLAT, lat)
    assert forecast.XLAT.dims == ("y", "x")


def test_labels_along_samples_come_back_from_a_saved_model_too(tmp_path):
    X = xr.concat([make_series(seed=i) for i in range(3)], "sample").assign_coords(run=("sample", list("abc")))
    model = gc.NaiveForecaster().fit(X)
    model.save(tmp_path / "m.gridcast")
    for forecaster in (model, gc.load(tmp_path / "m.gridcast")):
        assert forecaster.predict(2).run.values.tolist() == ["a", "b", "c"]


def test_a_history_on_another_grid_of_the_same_size_is_an_error():
    X = make_series().assign_coords(lat=(("y", "x"), np.random.default_rng(0).normal(size=(4, 6))))
    model = gc.NaiveForecaster().fit(X)
    with pytest.raises(ValueError, match="other values in the coordinate 'lat'"):
        model.predict(X.assign_coords(lat=X.lat + 1), 2)
    levels = X.expand_dims(channel=["u", "v"], axis=1)
    model.fit(levels)
    with pytest.raises(ValueError, match="other values in the coordinate 'channel'"):
        model.predict(levels.assign_coords(channel=["v", "u"]), 2)


def test_a_quantity_keeps_its_units():
    class Quantity(np.ndarray):
        units = "degC"
        magnitude = property(np.asarray)

    X = make_series().drop_attrs()
    expected = gc.NaiveForecaster().fit(X).predict(1)
    X.variable._data = X.values.view(Quantity)
    forecast = gc.NaiveForecaster().fit(X).predict(1)
    assert forecast.attrs["units"] == "degC"
    np.testing.assert_array_equal(forecast, expected)


def levels(names):
    """Samples of which each has a value of its own."""
    values = np.broadcast_to(np.array([0.0, 100.0, 200.0])[:, None, None, None], (3, 60, 2, 3))
    time = pd.date_range("2001-01-01", periods=60)
    noise = np.random.default_rng(0).normal(size=values.shape)
    return xr.DataArray(values + noise, dims=("sample", "time", "y", "x"), coords={"sample": names, "time": time})


def test_samples_in_another_order_are_not_taken_for_one_another():
    series = levels(["a", "b", "c"])
    model = gc.NaiveForecaster().fit(series[:, :40])
    other = series.isel(sample=[2, 1, 0], time=slice(40, 60))
    with pytest.raises(ValueError, match=r"other samples than the series that it continues, or in another order"):
        model.update(other)
    found = gc.backtest(model, other, 1)  # behind a context of its own
    assert float(np.abs(found.sel(sample="a")).max()) < 10
    assert float(np.abs(found.sel(sample="c") - 200).max()) < 10
    assert model.update(series[:, 40:]).predict(1).sel(sample="c").mean() > 190


def test_errors_of_samples_are_taken_by_their_labels():
    series = levels(["a", "b", "c"])
    model = gc.LinearForecaster(lags=1, context=2, climatology="mean", random_state=0).fit(series)
    error = xr.DataArray([30.0, 0.0, 0.0], dims="sample", coords={"sample": ["c", "b", "a"]})
    ordered = error.isel(sample=[2, 1, 0])
    xr.testing.assert_identical(
        model.predict(series, 1, observation_error=error), model.predict(series, 1, observation_error=ordered)
    )
    with pytest.raises(ValueError, match="observation_error has no sample"):
        model.predict(series, 1, observation_error=error[:2])


@pytest.mark.parametrize(("shift", "same"), [(0.2, True), (30.0, False)])
def test_a_pixel_next_to_it_is_another_one_far_from_the_equator_too(shift, same):
    y = 5.5e6 + 30.0 * np.arange(8)
    assert same_labels(y, y + shift) is same
    assert same_labels(y, y.astype(np.float32))
    latitude = np.linspace(-90, 90, 721)
    assert same_labels(latitude, latitude.astype(np.float32))
    assert not same_labels(latitude, latitude[::-1])


def test_a_cell_without_a_latitude_is_on_the_same_grid():
    latitude = np.linspace(60, 50, 4)[:, None] + np.zeros((4, 6))
    latitude[0, 0] = np.nan
    X = make_series().drop_vars(["y", "x"]).assign_coords(nav_lat=(("y", "x"), latitude))
    model = gc.NaiveForecaster().fit(X[:20])
    np.testing.assert_array_equal(model.predict(X[20:], 1).nav_lat, latitude)
    with pytest.raises(ValueError, match=r"'nav_lat' \(61.0 to 51.0\) than the training series \(60.0 to 50.0\)"):
        model.predict(X[20:].assign_coords(nav_lat=(("y", "x"), latitude + 1)), 1)


@pytest.mark.parametrize(
    "labels", [np.array([1.0, np.nan]), np.array(["a", np.nan], object), np.array(["2001-01-01", "NaT"], "M8[ns]")]
)
def test_a_missing_label_is_alike_where_both_miss_it(labels):
    assert same_labels(labels, labels.copy())
    assert not same_labels(labels, labels[::-1])
