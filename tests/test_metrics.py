"""Metrics: hand-computed values, missing cells, labels, laziness and properties."""

import dask
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from gridcast import metrics

NAN = float("nan")
ERRORS = [metrics.mse, metrics.rmse, metrics.mae, metrics.bias]
ENSEMBLE_SCORES = [metrics.crps, metrics.spread_skill_ratio]


@pytest.fixture
def observed() -> xr.DataArray:
    """Two days on a 2 x 2 grid, one cell missing on the second day."""
    return xr.DataArray(
        [[[0.0, 1.0], [2.0, 3.0]], [[4.0, NAN], [6.0, 7.0]]],
        coords={
            "time": np.array(["2001-01-01", "2001-01-02"], "M8[ns]"),
            "lat": [60.0, 0.0],
            "lon": [0.0, 1.0],
        },
        attrs={"units": "mm/day"},
    )


@pytest.fixture
def forecast(observed: xr.DataArray) -> xr.DataArray:
    """Errors of 1, -1, 2, -2 on the first day, of 3 on the second."""
    return observed.fillna(0.0) + xr.DataArray(
        [[[1.0, -1.0], [2.0, -2.0]], [[3.0, 3.0], [3.0, 3.0]]], dims=observed.dims
    )


@pytest.fixture
def ensemble(forecast: xr.DataArray) -> xr.DataArray:
    """Three members around the forecast, with a variance of 1."""
    return forecast + xr.DataArray([-1.0, 0.0, 1.0], coords={"member": [0, 1, 2]})


@pytest.mark.parametrize(
    ("metric", "expected", "by_time"),
    [
        (metrics.mse, 37 / 7, [2.5, 9.0]),
        (metrics.rmse, (37 / 7) ** 0.5, [2.5**0.5, 3.0]),
        (metrics.mae, 15 / 7, [1.5, 3.0]),
        (metrics.bias, 9 / 7, [0.0, 3.0]),
    ],
)
def test_errors_by_hand_leave_out_the_missing_cell(metric, expected, by_time, forecast, observed):
    assert metric(forecast, observed).item() == pytest.approx(expected)
    np.testing.assert_allclose(metric(forecast, observed, dim=("lat", "lon")), by_time)
    np.testing.assert_allclose(metric(forecast.fillna(NAN).where(observed.notnull()), observed.fillna(9.0)), expected)


def test_dim_keeps_the_other_dimensions(forecast, observed):
    assert metrics.mse(forecast, observed, dim="time").dims == ("lat", "lon")
    cells = metrics.mse(forecast, observed, dim=[])
    xr.testing.assert_equal(cells, ((forecast - observed) ** 2).rename("mse"))


def test_weights_by_hand(forecast, observed):
    weights = metrics.latitude_weights(observed)
    expected = (0.5 * (1.0 + 1.0 + 9.0) + (4.0 + 4.0 + 9.0 + 9.0)) / (0.5 * 3 + 4)
    assert metrics.mse(forecast, observed, weights=weights).item() == pytest.approx(expected)


def test_a_cell_without_any_observation_is_nan(forecast, observed):
    score = metrics.mse(forecast, observed.where(observed["lon"] > 0.0), dim=("time", "lat"))
    np.testing.assert_array_equal(score.isnull(), [True, False])


def test_units_and_names(forecast, ensemble, observed):
    named = {metric.__name__: metric(forecast, observed) for metric in ERRORS}
    named["crps"] = metrics.crps(ensemble, observed)
    named["spread_skill_ratio"] = metrics.spread_skill_ratio(ensemble, observed)
    named["mse_skill"] = metrics.mse_skill(forecast, forecast, observed)
    units = {"mse": "(mm/day)^2", "spread_skill_ratio": "1", "mse_skill": "1"}
    for name, score in named.items():
        assert score.name == name
        assert score.attrs == {"units": units.get(name, "mm/day")}
    assert metrics.mse(forecast, observed.assign_attrs(units="K")).attrs == {"units": "K^2"}
    assert metrics.mse(forecast, observed.assign_attrs(units="1")).attrs == {"units": "1"}
    assert metrics.mse(forecast.drop_attrs(), observed.drop_attrs()).attrs == {}
    assert observed.attrs == {"units": "mm/day"}


def test_unsigned_counts_do_not_wrap_around():
    counts = xr.DataArray(np.array([1, 200], "uint8"), dims="x")
    assert metrics.mae(counts, counts[::-1].copy()).item() == 199.0
    assert metrics.mse(counts, counts[::-1].copy()).item() == 199.0**2


def test_crps_by_hand(ensemble, observed):
    # Members at 0, 1 and 2 around an observation of 0.
    first_cell = ensemble.isel(time=0, lat=0, lon=0).expand_dims("time")
    score = metrics.crps(first_cell, observed.isel(time=[0], lat=0, lon=0))
    assert score.item() == pytest.approx((0.0 + 1.0 + 2.0) / 3 - (1.0 + 1.0 + 2.0) / 6)


def test_spread_skill_ratio_by_hand(ensemble, observed):
    wide_where_missing = ensemble * xr.where(observed.isnull(), 100.0, 1.0)
    score = metrics.spread_skill_ratio(wide_where_missing, observed, dim=("lat", "lon"))
    np.testing.assert_allclose(score, [(4 / 3 / 2.5) ** 0.5, (4 / 3 / 9.0) ** 0.5])


@pytest.mark.parametrize("metric", ENSEMBLE_SCORES)
def test_a_cell_with_a_missing_member_is_left_out(metric, ensemble, observed):
    gap = ensemble.where((ensemble["lat"] > 0.0) | (ensemble["member"] > 0))
    expected = metric(ensemble.sel(lat=[60.0]), observed.sel(lat=[60.0]))
    xr.testing.assert_allclose(metric(gap, observed), expected)


def test_a_calibrated_ensemble_has_ratio_one_whatever_its_size():
    rng = np.random.default_rng(0)
    observed = xr.DataArray(rng.normal(size=40_000), dims="time")
    for n_members in (2, 5):
        ensemble = xr.DataArray(rng.normal(size=(n_members, 40_000)), dims=("member", "time"))
        assert metrics.spread_skill_ratio(ensemble, observed).item() == pytest.approx(1.0, abs=0.02)


def test_member_dimension_by_another_name(ensemble, observed):
    renamed = ensemble.rename(member="number")
    for metric in ENSEMBLE_SCORES:
        assert metric(renamed, observed, member_dim="number").identical(metric(ensemble, observed))
        with pytest.raises(ValueError, match=r"no 'member' in .*set member_dim"):
            metric(renamed, observed)


def test_a_spread_needs_two_members(ensemble, observed):
    with pytest.raises(ValueError, match="two members or more, 'member' has 1"):
        metrics.spread_skill_ratio(ensemble.isel(member=[0]), observed)


def test_observations_have_no_members(ensemble):
    with pytest.raises(ValueError, match="observations have no members"):
        metrics.crps(ensemble, ensemble)


def test_skill_uses_the_cells_that_all_three_have(forecast, observed):
    # The second day is missing in the reference, so its large forecast error must not count.
    reference = (observed + 3.0).where(observed["time"] < observed["time"][1])
    assert metrics.mse_skill(forecast, reference, observed).item() == pytest.approx(1.0 - 2.5 / 9.0)
    swapped = metrics.mse_skill(reference, forecast, observed)
    assert swapped.item() == pytest.approx(1.0 - 9.0 / 2.5)
    reference = (observed + 3.0).where(observed["lat"] > 0.0)
    by_time = metrics.mse_skill(forecast, reference, observed, dim=("lat", "lon"))
    np.testing.assert_allclose(by_time, [1.0 - 1.0 / 9.0, 0.0])


def test_skill_against_a_perfect_reference_is_nan(forecast, observed):
    assert np.isnan(metrics.mse_skill(forecast, observed, observed))
    assert np.isnan(metrics.mse_skill(observed, observed, observed))


@pytest.mark.parametrize("metric", [*ERRORS, *ENSEMBLE_SCORES])
def test_lazy_stays_lazy_and_chunks_change_nothing(metric, ensemble, forecast, observed):
    data = ensemble if metric in ENSEMBLE_SCORES else forecast
    weights = metrics.latitude_weights(observed)

    def no_compute(*args, **kwargs):
        raise AssertionError("a metric computed the caller's data")

    with dask.config.set(scheduler=no_compute):
        lazy = metric(data.chunk(1), observed.chunk({"time": 1}), dim="lat", weights=weights)
    assert lazy.chunks is not None
    xr.testing.assert_allclose(lazy.compute(), metric(data, observed, dim="lat", weights=weights))


def test_lazy_skill_stays_lazy(forecast, observed):
    def no_compute(*args, **kwargs):
        raise AssertionError("a metric computed the caller's data")

    with dask.config.set(scheduler=no_compute):
        lazy = metrics.mse_skill(forecast.chunk(1), forecast + 1.0, observed.chunk(1), dim="time")
    assert lazy.chunks is not None
    xr.testing.assert_allclose(lazy.compute(), metrics.mse_skill(forecast, forecast + 1.0, observed, dim="time"))


def test_the_caller_s_arrays_are_left_alone(ensemble, observed):
    before = ensemble.copy(deep=True), observed.copy(deep=True)
    metrics.crps(ensemble, observed)
    assert ensemble.identical(before[0])
    assert observed.identical(before[1])


@pytest.mark.parametrize("metric", [*ERRORS, *ENSEMBLE_SCORES])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda x: x.assign_coords(time=x["time"] + np.timedelta64(1, "D")),
            r"'time': first 2001-01-02.*\.sel\(time=",
        ),
        (lambda x: x.isel(lat=slice(None, None, -1)), r"'lat': first 0\.0 against 60\.0.*\.sel\(lat="),
        (
            lambda x: x.assign_coords(lon=x["lon"] + 1e-6),
            r"'lon'.*rounding alone, observed\.assign_coords\(lon=",
        ),
        (lambda x: x.isel(time=[0]), "'time': 1 against 2 steps"),
        (lambda x: x.isel(lon=[0]).drop_vars("lon"), "'lon': 1 against 2 steps"),
        (lambda x: x.isel(time=0), r"'time': labels over \(\) against \('time',\)"),
    ],
    ids=[
        "shifted time",
        "reversed lat",
        "rounded lon",
        "shorter",
        "size one without labels",
        "one step of a series",
    ],
)
def test_misaligned_labels_are_an_error(metric, change, message, ensemble, forecast, observed):
    data = ensemble if metric in ENSEMBLE_SCORES else forecast
    with pytest.raises(ValueError, match=f"(?s)forecast and observed differ along {message}"):
        metric(change(data), observed)


def test_misaligned_reference_and_weights_are_an_error(forecast, observed):
    shifted = forecast.assign_coords(lon=[5.0, 6.0])
    with pytest.raises(ValueError, match="forecast and reference differ along 'lon'"):
        metrics.mse_skill(forecast, shifted, observed)
    with pytest.raises(ValueError, match="forecast and weights differ along 'lat'"):
        metrics.mse(forecast, observed, weights=metrics.latitude_weights(observed[:, ::-1]))


def test_valid_times_of_a_backtest(observed):
    valid = xr.DataArray(observed["time"].values[[[0], [1]]], dims=("init_time", "lead_time"))
    backtest = observed.sel(time=valid) + 1.0
    assert metrics.mse(backtest, observed.sel(time=valid)).item() == 1.0
    with pytest.raises(ValueError, match=r"'time': labels over \('init_time', 'lead_time'\) against \('time',\)"):
        metrics.mse(backtest, observed)
    with pytest.raises(ValueError, match="differ along 'time'"):
        metrics.mse(backtest, observed.sel(time=valid[::-1]))


def test_dimensions_of_one_side_broadcast(forecast, observed):
    leads = xr.concat([forecast, observed], "lead_time")
    np.testing.assert_allclose(metrics.mse(leads, observed, dim=("time", "lat", "lon")), [37 / 7, 0.0])
    climatology = observed.mean("time")
    assert metrics.bias(climatology, observed, dim="lon").dims == ("lat", "time")


@pytest.mark.parametrize("metric", [*ERRORS, *ENSEMBLE_SCORES])
def test_unknown_dimensions_are_an_error(metric, ensemble, forecast, observed):
    data = ensemble if metric in ENSEMBLE_SCORES else forecast
    with pytest.raises(ValueError, match="dim has 'level', which is none of the dimensions"):
        metric(data, observed, dim=("time", "level"))
    with pytest.raises(ValueError, match="weights has 'level', which is none of the dimensions"):
        metric(data, observed, weights=xr.DataArray([1.0, 2.0], dims="level"))
    with pytest.raises(ValueError, match="dim has 'member'"):
        metric(data, observed, dim="member")


@pytest.mark.parametrize("metric", [*ERRORS, *ENSEMBLE_SCORES])
def test_invalid_weights_are_an_error(metric, ensemble, forecast, observed):
    data = ensemble if metric in ENSEMBLE_SCORES else forecast
    for values in ([-1.0, 1.0], [NAN, 1.0], [0.0, 0.0]):
        with pytest.raises(ValueError, match="invalid weights"):
            metric(data, observed, weights=xr.DataArray(values, dims="lat"))


def test_arrays_without_labels_are_an_error(forecast, observed):
    with pytest.raises(TypeError, match="forecast must be a DataArray, not ndarray"):
        metrics.mse(forecast.values, observed)
    with pytest.raises(TypeError, match="observed must be a DataArray, not Dataset"):
        metrics.crps(forecast, observed.to_dataset(name="precip"))


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


values = st.lists(st.floats(-1e3, 1e3) | st.just(NAN), min_size=6, max_size=6)


def _series(numbers: list[float]) -> xr.DataArray:
    return xr.DataArray(np.reshape(numbers, (3, 2)), dims=("time", "x"))


@settings(deadline=None, max_examples=40)
@given(values, values)
def test_crps_of_one_member_is_the_absolute_error(forecast, observed):
    forecast, observed = _series(forecast), _series(observed)
    for dim in (None, "x"):
        score = metrics.crps(forecast.expand_dims("member"), observed, dim=dim)
        xr.testing.assert_allclose(score, metrics.mae(forecast, observed, dim=dim).rename("crps"))


@settings(deadline=None, max_examples=40)
@given(values, values)
def test_skill_of_the_reference_itself_is_zero(reference, observed):
    reference, observed = _series(reference), _series(observed)
    skill = metrics.mse_skill(reference, reference, observed).item()
    assert skill == 0.0 or (np.isnan(skill) and not metrics.mse(reference, observed) > 0.0)


@settings(deadline=None, max_examples=40)
@given(values, values, st.floats(0.1, 10.0))
def test_errors_scale_with_the_data(forecast, observed, factor):
    forecast, observed = _series(forecast), _series(observed)
    for metric, power in ((metrics.rmse, 1), (metrics.mae, 1), (metrics.bias, 1), (metrics.mse, 2)):
        scaled = metric(forecast * factor, observed * factor)
        xr.testing.assert_allclose(scaled, metric(forecast, observed) * factor**power, atol=1e-6)
