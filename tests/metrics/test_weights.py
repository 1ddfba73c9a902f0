"""Weights by latitude: where they are found, and where not."""

import functools

import numpy as np
import pytest
import xarray as xr

from gridcast import metrics

NAN = float("nan")
ERRORS = [metrics.mse, metrics.rmse, metrics.mae, metrics.bias]
ENSEMBLE_SCORES = [
    metrics.crps,
    metrics.spread_skill_ratio,
    metrics.rank_histogram,
    functools.partial(metrics.brier_score, threshold=3.0),
    functools.partial(metrics.brier_decomposition, threshold=3.0),
    functools.partial(metrics.roc, threshold=3.0),
    functools.partial(metrics.threshold_weighted_crps, lower=2.0),
    functools.partial(metrics.interval_score, level=0.5),
    functools.partial(metrics.coverage, level=0.5),
    metrics.energy_score,
    metrics.variogram_score,
]


def test_weights_by_hand(forecast, observed):
    weights = metrics.latitude_weights(observed)
    expected = (0.5 * (1.0 + 1.0 + 9.0) + (4.0 + 4.0 + 9.0 + 9.0)) / (0.5 * 3 + 4)
    assert metrics.mse(forecast, observed, weights=weights).item() == pytest.approx(expected)


@pytest.mark.parametrize("metric", [*ERRORS, *ENSEMBLE_SCORES])
def test_invalid_weights_are_an_error(metric, ensemble, forecast, observed):
    data = ensemble if metric in ENSEMBLE_SCORES else forecast
    for values in ([-1.0, 1.0], [NAN, 1.0], [0.0, 0.0]):
        with pytest.raises(ValueError, match="invalid weights"):
            metric(data, observed, weights=xr.DataArray(values, dims="lat"))


@pytest.mark.parametrize(("name", "attrs"), [("lat", {}), ("Latitude", {}), ("FNOCY", {"units": "degrees_north"})])
def test_latitude_is_recognised(name, attrs):
    data = xr.DataArray(np.zeros((3, 2)), coords={name: [-60, 0, 90], "x": [7, 8]}).assign_coords(time=3)
    data[name].attrs = attrs
    weights = metrics.latitude_weights(data)
    assert set(weights.coords) == {name}
    np.testing.assert_allclose(weights, [0.5, 1.0, 0.0], atol=1e-12)


def test_weights_of_a_pole_in_float32_are_not_negative():
    data = xr.DataArray(np.zeros(2), coords={"lat": np.array([90, -90], "float32")})
    assert (metrics.latitude_weights(data) >= 0.0).all()


def test_latitude_errors():
    with pytest.raises(ValueError, match=r"no latitude among the coordinates \['y'\].*degrees_north"):
        metrics.latitude_weights(xr.DataArray([1.0], coords={"y": [0.0]}))
    with pytest.raises(ValueError, match="'lat' is not a latitude between -90 and 90"):
        metrics.latitude_weights(xr.DataArray([1.0], coords={"lat": [91.0]}))
    with pytest.raises(ValueError, match="'lat' is not a latitude between -90 and 90"):
        metrics.latitude_weights(xr.DataArray([1.0, 2.0], coords={"lat": [0.0, NAN]}))


def test_latitude_weights_are_the_default(forecast, observed):
    # Squared errors 1, 1 at 60 degrees and 4, 4 at the equator; then 9 but for the missing cell at 60 degrees.
    expected = (0.5 * (1.0 + 1.0 + 9.0) + (4.0 + 4.0 + 9.0 + 9.0)) / (0.5 * 3 + 4)
    assert metrics.mse(forecast, observed).item() == pytest.approx(expected)
    np.testing.assert_allclose(metrics.mse(forecast, observed, dim="lat"), [[(0.5 + 4) / 1.5] * 2, [9.0, 9.0]])
    unlabelled = forecast.drop_vars("lat")
    assert metrics.mse(unlabelled, observed).item() == pytest.approx(expected)
    assert metrics.mse(observed, unlabelled).item() == pytest.approx(expected)


def test_a_global_mean_counts_every_area_once():
    # An error of 1 north of 30 degrees: a quarter of the sphere, but a third of the rows.
    latitude = np.arange(-89.5, 90.0)
    error = xr.DataArray((latitude > 30.0) * 1.0, coords={"latitude": latitude})
    assert metrics.mse(error, 0.0 * error).item() == pytest.approx(0.25, abs=1e-4)
    assert metrics.mse(error, 0.0 * error, weights=None).item() == pytest.approx(1 / 3)


@pytest.mark.parametrize("dim", ["time", "lon", ("time", "lon"), ()])
def test_no_weights_where_latitude_is_not_averaged(dim, forecast, observed):
    xr.testing.assert_identical(
        metrics.mse(forecast, observed, dim=dim), metrics.mse(forecast, observed, dim=dim, weights=None)
    )


@pytest.mark.parametrize(
    "lat",
    [
        ("y", ["north", "south"]),
        ("y", [91.0, 0.0]),
        ("y", [NAN, 0.0]),
        ("y", [40.0, 40.0]),
        ("y", np.array(["2001-01-01", "2001-01-02"], "M8[ns]")),
        ("y", [None, {}]),
        ("y", [True, False]),
        ((), 60.0),
        (("y", "x"), [[60.0, 91.0], [0.0, 1.0]]),
        (("y", "x"), [[NAN, NAN], [NAN, NAN]]),
    ],
    ids=["text", "too far", "missing", "repeated", "times", "objects", "flags", "scalar", "field too far", "no field"],
)
def test_a_strange_latitude_has_no_weights(lat):
    data = xr.DataArray([[1.0, 1.0], [3.0, 3.0]], dims=("y", "x")).assign_coords(lat=lat)
    assert metrics.mae(data, xr.zeros_like(data)).item() == 2.0


def test_stations_have_no_weights_and_a_second_latitude_is_found():
    stations = xr.DataArray([1.0, 3.0, 2.0], dims="station").assign_coords(lat=("station", [60.0, 0.0, 50.0]))
    assert metrics.mae(stations, xr.zeros_like(stations)).item() == 2.0
    rows = xr.DataArray([1.0, 4.0], dims="y").assign_coords(lat=("y", ["a", "b"]), phi=("y", [60.0, 0.0]))
    rows["phi"].attrs["units"] = "degrees_north"
    assert metrics.mae(rows, xr.zeros_like(rows)).item() == pytest.approx(3.0)


def test_a_skill_weighs_both_errors(forecast, observed):
    weights = metrics.latitude_weights(observed)
    reference = (observed + observed["lat"] / 60.0 + 1.0).drop_vars("lat")
    expected = metrics.mse_skill(forecast, reference, observed, weights=weights)
    xr.testing.assert_allclose(metrics.mse_skill(forecast, reference, observed), expected)
    assert metrics.mse_skill(forecast, reference, observed, weights=None).item() != pytest.approx(expected.item())


def test_unknown_weights_are_an_error(forecast, observed):
    with pytest.raises(ValueError, match=r"weights='area' is unknown: use \"auto\", None or a DataArray"):
        metrics.mse(forecast, observed, weights="area")


TWO_COLUMNS = np.array([[0.0, 1.0], [0.0, 1.0]])


def curvilinear(values, latitude, longitude=TWO_COLUMNS, dims=("y", "x"), **attrs):
    """Return data with positions over both dimensions that only their attributes tell."""
    data = xr.DataArray(values, dims=("y", "x")).assign_coords(gphit=(dims, latitude), glamt=(dims, longitude))
    data["gphit"].attrs = attrs or {"standard_name": "latitude"}
    data["glamt"].attrs = {"standard_name": "longitude"}
    return data


def rotated(latitude, longitude, tilt):
    """Return where a regular grid lies after its pole was tilted."""
    phi, lam = np.deg2rad(latitude), np.deg2rad(longitude)
    x, y, z = np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)
    x, z = np.cos(tilt) * x - np.sin(tilt) * z, np.sin(tilt) * x + np.cos(tilt) * z
    return np.rad2deg(np.arcsin(z)), np.rad2deg(np.arctan2(y, x))


@pytest.mark.parametrize("attrs", [{"standard_name": "latitude"}, {"units": "degreesN"}])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("tilt", [0.0, 0.7, np.pi / 2])
def test_a_curvilinear_grid_is_weighted_by_the_areas_of_its_cells(attrs, transposed, tilt):
    # turned as a whole, cells keep the area that the cosine of their own latitude gives
    own, along = np.meshgrid(np.arange(-23.0, 24.0), np.arange(-30.0, 31.0), indexing="ij")
    given = rotated(own, along, tilt)
    values = own + along
    expected = np.average(values, weights=np.cos(np.deg2rad(own)))
    dims = ("x", "y") if transposed else ("y", "x")
    data = curvilinear(values, *(g.T if transposed else g for g in given), dims=dims, **attrs)
    assert metrics.bias(data, xr.zeros_like(data)).item() == pytest.approx(expected, abs=2e-3)
    weights = metrics.latitude_weights(data).transpose("y", "x")
    np.testing.assert_allclose(weights, np.cos(np.deg2rad(own)), rtol=2e-3)


def test_weights_of_your_own_go_before_areas():
    data = curvilinear([[1.0, 2.0], [3.0, 100.0]], [[60.0, 60.0], [0.0, 0.0]])
    given = xr.DataArray([[1.0, 0.0], [1.0, 0.0]], dims=("y", "x"))
    assert metrics.mae(data, xr.zeros_like(data), weights=given).item() == 2.0


def test_latitudes_over_both_dimensions_need_longitudes():
    data = curvilinear([[1.0, 2.0], [3.0, 4.0]], [[60.0, 60.0], [0.0, 0.0]]).drop_vars("glamt")
    assert metrics.mae(data, xr.zeros_like(data)).item() == 2.5  # no areas are known
    with pytest.raises(ValueError, match=r"'gphit' over \('y', 'x'\) gives areas only with a longitude"):
        metrics.latitude_weights(data)


def test_a_cell_without_a_position_weighs_nothing():
    latitude, longitude = np.meshgrid([0.0, 1.0, 2.0], [5.0, 6.0], indexing="ij")
    latitude[0, 1] = NAN
    data = curvilinear([[1.0, 7.0], [1.0, 1.0], [1.0, 1.0]], latitude, longitude)
    assert metrics.mae(data, xr.zeros_like(data)).item() == pytest.approx(1.0)


def test_a_rotated_pole_is_weighted_by_its_own_latitude_whose_cosine_is_the_area():
    data = curvilinear([[1.0, 2.0], [3.0, 4.0]], [[50.0, 55.0], [60.0, 65.0]])
    told = data.assign_coords(y=("y", [60.0, 0.0], {"standard_name": "grid_latitude", "units": "degrees_north"}))
    for rotated in (told, data.rename(y="rlat").assign_coords(rlat=[60.0, 0.0])):
        assert metrics.mae(rotated, xr.zeros_like(rotated)).item() == pytest.approx((0.5 * 1.5 + 3.5) / 1.5)
        np.testing.assert_allclose(metrics.mae(rotated, xr.zeros_like(rotated), dim="x"), [1.5, 3.5])


def test_areas_that_are_given_go_before_a_latitude():
    data = curvilinear([[1.0, 2.0], [3.0, 4.0]], [[50.0, 55.0], [60.0, 65.0]])
    area = (("y", "x"), [[0.0, NAN], [1.0, 3.0]], {"standard_name": "cell_area", "units": "m2"})
    data = data.assign_coords(areacello=area)
    assert metrics.mae(data, xr.zeros_like(data)).item() == pytest.approx(3.75)


def test_another_curvilinear_grid_of_the_same_size_is_an_error_whose_advice_works():
    latitude = np.array([[60.0, NAN], [0.0, 1.0]])
    data = curvilinear([[1.0, 2.0], [3.0, 4.0]], latitude)
    other = curvilinear([[1.0, 2.0], [3.0, 4.0]], latitude + np.array([[0.0, 0.0], [0.0, 1e-5]]))
    with pytest.raises(ValueError, match=r"'gphit' differ: first 1.0 against 1.00001.*observed.assign_coords\(gphit="):
        metrics.mse(data, other)
    assert metrics.mse(data, other.assign_coords(gphit=data["gphit"])).item() == 0.0
